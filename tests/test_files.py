"""Files: what is refused in one line, and what is on the disk after a write that failed."""

import os
import stat
import sys

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from minibert.files import (
    JSON_LIMIT,
    errors_name,
    field,
    listed,
    new_folder,
    read_json,
    read_text,
    sha256,
    write_json,
    write_text,
    write_whole,
)
from minibert.training.run_folder import Session, run_folder

READERS = [read_text, read_json, sha256]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
@pytest.mark.parametrize("read", READERS)
def test_only_regular_files_are_read(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")  # reading it would wait for a writer
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link", "."):
        with pytest.raises(ValueError, match="is not a regular file"):
            read(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="missing does not exist"):
        read(tmp_path / "missing")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[1]", "does not hold a JSON object"),
        (b'{"a": ', "is not JSON"),
        (b'{"a": ' * 100_000, "is nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is not JSON"),
        (b'{"a": "\xff"}', "is not UTF-8: byte 0xff at offset 7"),
        (b"", "is not JSON"),
    ],
)
def test_what_is_no_json_object_is_named(tmp_path, content, says):
    file = tmp_path / "config.json"
    file.write_bytes(content)
    with pytest.raises(ValueError) as error:
        read_json(file)
    assert str(error.value).startswith(f"{file} {says}") and len(str(error.value)) < 300


@pytest.mark.skipif(sys.platform != "linux", reason="names that are not UTF-8")
def test_no_model_is_written_where_it_cannot_be_read(tmp_path):
    """safetensors writes into a folder whose name is not UTF-8, and then cannot open the file."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    save_file({"a": torch.zeros(1)}, folder / "model.safetensors")
    with pytest.raises(SafetensorError, match="not valid UTF-8"):
        load_file(folder / "model.safetensors")
    new = tmp_path / os.fsdecode(b"\xff")
    with pytest.raises(ValueError, match="is not UTF-8"):
        new_folder(new)
    with pytest.raises(ValueError, match="is not UTF-8"), run_folder(new, Session()):
        pass
    assert list(tmp_path.iterdir()) == [folder]


def test_a_huge_file_is_not_read(tmp_path):
    file = tmp_path / "config.json"
    with file.open("wb") as stream:
        stream.truncate(JSON_LIMIT + 1)  # sparse: it takes no room on the disk
    with pytest.raises(ValueError, match="at most 67,108,864 are read"):
        read_json(file)


def test_a_field_of_another_type_is_named():
    assert field({"a": [1]}, "a", list, []) == [1]
    assert field({"a": None}, "a", str, "b") == field({}, "a", str, "b") == "b"
    with pytest.raises(ValueError, match=r"^x: a must be an object, not 3$"), errors_name("x"):
        field({"a": 3}, "a", dict, {})


def test_long_lists_are_cut():
    assert listed("abc") == "a, b, c"
    assert listed(range(1000), 3) == "0, 1, 2 and 997 more"
    assert len(listed(["x" * 10**6])) == 80


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    file = tmp_path / "a.txt"
    write_text(file, "old\r\n")

    def half(writing):
        writing.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(file, half)
    with pytest.raises(TypeError):
        write_json(file, {"a": object()})
    assert file.read_bytes() == b"old\r\n" and os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_the_mode_is_what_the_umask_says(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_whole(tmp_path / "a", lambda writing: (writing.write_text("a"), writing.chmod(0o600)))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~umask
