"""Files: found, read with errors that name the file and the place in it, brought to the disk."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

SHIPPED = {"mini-sotu": Path(__file__).parent / "mini-sotu"}
"""Models that come with the package, each with a card beside its weights (`README.md`)."""
SHIPPED_NAMES = f"With the package comes {', '.join(SHIPPED)}"
LOCK = ".lock"
"""The file that `locked` leaves in a folder."""


def find_directory(name_or_path: str | Path) -> Path:
    """The folder of a model: a name in `SHIPPED`, a local folder, or a name on the hub.

    Raises `FileNotFoundError` if there is no such model.
    """
    if str(name_or_path) in SHIPPED:
        return SHIPPED[str(name_or_path)]
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return path
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", str(name_or_path)):
        raise FileNotFoundError(f"{path} is not a directory. {SHIPPED_NAMES}")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(
            snapshot_download(
                str(name_or_path), allow_patterns=["*.json", "*.safetensors", "*.txt"]
            )
        )
    except (OSError, ValueError, HfHubHTTPError):  # no network, no valid name, no such model
        raise FileNotFoundError(
            f"there is no folder {name_or_path} here, and no model of that name could be had from "
            f"the Hugging Face hub (is there a network?). {SHIPPED_NAMES}"
        ) from None


def new_folder(path: str | Path) -> Path:
    """A folder to write into, made if it is not there.

    Raises `FileExistsError` where there is something that would be mixed up with it.
    """
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(f"{path} is there already, and not empty: choose another folder")
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Keep other processes that ask for it out of a folder, as long as the block runs.

    `what` says what goes on there: "training". Raises `FileExistsError` if another process has the
    folder.
    """
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise FileExistsError(
            f"another process is {what} in {folder}: stop it first, or choose another folder"
        ) from None
    try:
        yield
    finally:
        lock.release()


def read_text(file: Path) -> str:
    """A UTF-8 file's text. Raises `ValueError` with the place of the first byte that is not."""
    data = file.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{file} is not UTF-8: byte {data[error.start]:#04x} at offset {error.start}; "
            "convert it to UTF-8 first"
        ) from None


def read_json(file: Path) -> dict[str, Any]:
    """A file's JSON object. Raises `ValueError` for anything else."""
    try:
        values = json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise ValueError(f"{file} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{file} does not hold a JSON object")
    return values


def write_whole(file: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `file`, and rename it: `file` is whole and on the disk, or as
    it was. Its mode is what the user's umask says, whatever `write` sets.
    """
    writing = file.with_name(file.name + ".writing")
    try:
        writing.unlink(missing_ok=True)
        writing.touch()
        mode = writing.stat().st_mode
        write(writing)
        writing.chmod(mode)
        to_disk(writing)
        writing.replace(file)
    finally:
        writing.unlink(missing_ok=True)
    to_disk(file.parent)


def write_text(file: Path, text: str) -> None:
    """Write a UTF-8 file, whole or not at all; line ends stay as they are."""
    write_whole(file, lambda writing: writing.write_text(text, encoding="utf-8", newline=""))


def write_json(file: Path, values: dict[str, Any]) -> None:
    """Write a JSON object, whole and on the disk, or not at all."""
    write_text(file, json.dumps(values, indent=2) + "\n")


def sha256(file: Path) -> str:
    """A file's checksum, in hexadecimal digits."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def to_disk(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot, and does not need to
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
