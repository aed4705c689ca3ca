"""What a class handed in is found, in folders and zips, and nothing of it reaches outside."""

import io
import os
import zipfile
from contextlib import nullcontext
from pathlib import Path

import pytest

from minibert.course import submissions as handed_in

NAME = "03_attention"


def zipped(files):
    """The bytes of a zip. Names may be ZipInfos."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, contents in files.items():
            archive.writestr(name, contents)
    return data.getvalue()


def hand_in(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{NAME}.ipynb").write_text("1")


def collected(folder, tmp_path):
    copies = tmp_path / "copies"
    copies.mkdir(exist_ok=True)
    return {
        (s.student, s.exercise, s.reason) for s in handed_in.collect(folder, [NAME, "04"], copies)
    }


def test_zips_of_students_with_what_windows_and_macs_leave_in_them(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "ann.zip").write_bytes(
        zipped(
            {
                f"my work\\{NAME}.ipynb": b"1",
                f"__MACOSX/my work/._{NAME}.ipynb": b"2",
                f".ipynb_checkpoints/{NAME}-checkpoint.ipynb": b"3",
                "Thumbs.db": b"4",
                "04 (1).ipynb": b"5",
            }
        )
    )
    hand_in(folder / "bob")
    assert collected(folder, tmp_path) == {("ann", NAME, ""), ("ann", "04", ""), ("bob", NAME, "")}


@pytest.mark.parametrize("as_folder", [True, False])
def test_a_zip_of_the_class(tmp_path, as_folder):
    inner = zipped({f"x/{NAME}.ipynb": b"1"})
    made = zipped(
        {
            f"Ann A_12_file/{NAME}.ipynb": b"1",
            f"Bob_13_file/deep/{NAME}.ipynb": b"1",
            "Cem.zip": inner,
            f"doe_14_{NAME}-1.ipynb": b"1",
            "Eve/essay.pdf": b"1",
        }
    )
    folder = tmp_path / "in"
    folder.mkdir()
    if as_folder:
        zipfile.ZipFile(io.BytesIO(made)).extractall(folder)
    else:
        (folder / "class.zip").write_bytes(made)
    assert collected(folder, tmp_path) == {
        ("Ann A_12_file", NAME, ""),
        ("Bob_13_file", NAME, ""),
        ("Cem", NAME, ""),
        ("doe_14", NAME, ""),
        ("Eve", "", "there is no notebook in it"),
    }


def test_one_students_zip_alone_is_hers(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "ann.zip").write_bytes(zipped({f"work/{NAME}.ipynb": b"1", "work/04.ipynb": b"2"}))
    assert collected(folder, tmp_path) == {("ann", NAME, ""), ("ann", "04", "")}
    (folder / "ann.zip").write_bytes(zipped({f"{NAME}.ipynb": b"1", "work/04.ipynb": b"2"}))
    assert collected(folder, tmp_path) == {("ann", NAME, ""), ("ann", "04", "")}


def test_endings_in_capitals_are_endings(tmp_path):
    for name in ("ann", "bob"):
        hand_in(tmp_path / "in" / name)
    (tmp_path / "in" / "ann" / f"{NAME}.ipynb").rename(tmp_path / "in" / "ann" / f"{NAME}.IPYNB")
    (tmp_path / "in" / "Cem.ZIP").write_bytes(zipped({f"{NAME}.Ipynb": b"1"}))
    expected = {(name, NAME, "") for name in ("ann", "bob", "Cem")}
    assert collected(tmp_path / "in", tmp_path) == expected


def test_what_cannot_be_read_and_what_holds_nothing_have_their_rows(tmp_path, monkeypatch):
    for name in ("ann", "bob"):
        hand_in(tmp_path / "in" / name)
    (tmp_path / "in" / "cem.zip").write_bytes(zipped({}))
    read_bytes = Path.read_bytes

    def forbidden(path):
        if path.parent.name == "ann":
            raise PermissionError(13, "Permission denied")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    assert collected(tmp_path / "in", tmp_path) == {
        ("ann", NAME, "this cannot be read: Permission denied"),
        ("bob", NAME, ""),
        ("cem", "", "there is no notebook in it"),
    }


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("Jörg".encode("cp437"), "Jörg"),
        ("Strauß".encode("cp437"), "Strauß"),
        ("Jörg".encode("cp1252"), "Jörg"),
        ("Zoë".encode(), "Zoë"),
        (b"a\\b", "a/b"),
    ],
)
def test_names_in_zips_are_read_as_they_were_meant(raw, name):
    assert handed_in.real_name(zipfile.ZipInfo(raw.decode("cp437"))) == name


def test_a_zip_cannot_reach_outside(tmp_path):
    link = zipfile.ZipInfo("link.ipynb")
    link.external_attr = 0o120777 << 16
    files = {f"../{NAME}.ipynb": b"1", f"/tmp/{NAME}.ipynb": b"1", f"C:\\{NAME}.ipynb": b"1"}
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "eve.zip").write_bytes(zipped(files | {link: b"/etc/passwd"}))
    (folder / "mal").mkdir()
    os.symlink("/etc/passwd", folder / "mal" / f"{NAME}.ipynb")
    os.symlink("/etc", folder / "mal" / "etc")
    before = sorted(p.name for p in tmp_path.iterdir())
    found = handed_in.collect(folder, [NAME], tmp_path)
    assert len(found) == 6 and all(s.reason and not s.contents for s in found)
    assert {s.student for s in found} == {"eve", "mal"}
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_zip_bombs_are_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(handed_in, "LARGEST", 10_000)
    monkeypatch.setattr(handed_in, "LARGEST_ZIP", 30_000)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "one.zip").write_bytes(zipped({f"{NAME}.ipynb": bytes(10_001)}))
    (folder / "many.zip").write_bytes(zipped({f"{i}/{NAME}.ipynb": bytes(9_000) for i in range(9)}))
    (folder / "deep.zip").write_bytes(
        zipped({"a.zip": zipped({"b.zip": zipped({f"{NAME}.ipynb": b"1"})})})
    )
    found = handed_in.collect(folder, [NAME], tmp_path)
    said = {s.student: s.reason for s in found if s.reason}
    assert set(said) == {"one", "many", "deep"}
    assert "larger than" in said["one"] and "unpacks to more" in said["many"]
    assert "zip in a zip" in said["deep"]
    assert sum(s.contents is not None for s in found) == 3
    assert not handed_in.too_large(10_000)  # which is not larger


def test_a_zip_of_too_many_files_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(handed_in, "MOST_FILES", 3)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "ann.zip").write_bytes(zipped({f"{i}/{NAME}.ipynb": b"1" for i in range(9)}))
    reasons = [s.reason for s in handed_in.collect(folder, [NAME], tmp_path) if s.reason]
    assert len(reasons) == 1 and "or 3 files" in reasons[0]


@pytest.mark.parametrize("ending", ["", "-1", " (2)", "(2)", "-Copy1", "-12"])
def test_a_file_that_was_submitted_again_is_known_by_its_name(ending):
    assert handed_in.split_name(f"doe_{NAME}{ending}", ["04", NAME]) == ("doe", NAME)
    assert handed_in.split_name(f"{NAME}{ending}", ["04", NAME]) == ("", NAME)
    assert handed_in.split_name(f"doe{NAME}{ending}", ["04", NAME]) == ("", "")


def test_a_damaged_or_encrypted_member_leaves_the_others(tmp_path):
    made = bytearray(zipped({f"a/{NAME}.ipynb": b"first " * 50, f"b/{NAME}.ipynb": b"2"}))
    made[made.index(b"ipynb") + 6] ^= 0xFF
    folder = tmp_path / "in"
    (folder / "other").mkdir(parents=True)
    (folder / "ann.zip").write_bytes(made)
    reasons = sorted(s.reason for s in handed_in.collect(folder, [NAME], tmp_path))
    assert reasons[0] == "" and "this cannot be unpacked" in reasons[-1]


@pytest.mark.parametrize(
    "names",
    [
        (f"{NAME}.ipynb", f"{NAME}.ipynb"),
        (f"a/{NAME}.ipynb", f"a//{NAME}.ipynb"),
        (f"a/{NAME}.ipynb", f"./a/{NAME}.ipynb", f"a\\{NAME}.ipynb"),
        (f"{NAME}.ipynb", f"{NAME}.ipynb", f"{NAME}.ipynb (2)", f"{NAME}.ipynb (2)/{NAME}.ipynb"),
    ],
)
def test_files_of_one_name_in_a_zip_are_all_found_and_named_apart(tmp_path, names):
    data = io.BytesIO()
    with (
        zipfile.ZipFile(data, "w") as archive,
        pytest.warns() if len({*names}) < len(names) else nullcontext(),
    ):
        for number, name in enumerate(names):
            archive.writestr(name, str(number))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "ann.zip").write_bytes(data.getvalue())
    found = [s for s in handed_in.collect(tmp_path / "in", [NAME], tmp_path) if s.contents]
    notebooks = [number for number, name in enumerate(names) if name.endswith(".ipynb")]
    assert sorted(s.contents.read_text() for s in found) == [str(n) for n in notebooks]
    assert len({(s.student, s.file) for s in found}) == len(found)
