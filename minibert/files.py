"""Files: found, read with errors that name the file, and never half written."""

from __future__ import annotations

import hashlib
import json
import os
import re
import reprlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

T = TypeVar("T")
SHIPPED = {name: Path(__file__).parent / name for name in ("mini", "mini-sotu")}
"""Models that come with the package. Each has a card beside its weights (`README.md`)."""
SHIPPED_NAMES = f"The package comes with {', '.join(SHIPPED)}"
LOCK = ".lock"
"""The file that `locked` leaves in a folder."""
JSON_LIMIT = 1 << 26
"""Bytes that a JSON file or a vocabulary may have. BERT's largest vocabularies have a tenth."""
_JSON_TYPES = {dict: "an object", list: "a list", str: "a string", bool: "true or false"}


def find_directory(name_or_path: str | Path) -> Path:
    """The folder of a model: a name in `SHIPPED`, a local folder, or a name on the hub."""
    if str(name_or_path) in SHIPPED:
        return SHIPPED[str(name_or_path)]
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return path
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", str(name_or_path)):
        raise FileNotFoundError(f"{path} is not a directory. {SHIPPED_NAMES}")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    patterns = ["*.json", "*.safetensors", "*.txt"]
    try:
        return Path(snapshot_download(str(name_or_path), allow_patterns=patterns))
    except (OSError, ValueError, HfHubHTTPError):  # no network, no valid name, no such model
        raise FileNotFoundError(
            f"there is no folder {name_or_path} here, and the Hugging Face hub gave no model of "
            f"that name (is there a network?). {SHIPPED_NAMES}"
        ) from None


def check_name(folder: Path) -> None:
    """Raise `ValueError` for a name that is not UTF-8: safetensors writes there but cannot read."""
    if any("\ud800" <= char <= "\udfff" for char in str(folder)):
        raise ValueError(f"{folder} is not UTF-8, so a model in it cannot be read: rename it")


def new_folder(path: str | Path) -> Path:
    """Make a folder for a model. Raises `FileExistsError` if it exists and is not empty."""
    path = Path(path)
    check_name(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(f"{path} exists already and is not empty: choose another folder")
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Lock a folder while the block runs, which is for `what`: "training".

    Raises `FileExistsError` if another process holds the lock.
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


@contextmanager
def reserved(folder: Path, mark: str, what: str, left: Iterable[str] = ()) -> Iterator[bool]:
    """Make a folder and lock it while the block runs. Yields whether it holds the file `mark`.

    Without that file, the folder must be empty, except for files in `left`, which a process leaves
    if it is killed at its beginning. Raises `FileExistsError` or `PermissionError` for any other
    folder.
    """
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file, not a folder")
    begun = (folder / mark).exists()
    known = {LOCK, f"{mark}.writing", *left}
    if not begun and folder.exists() and {p.name for p in folder.iterdir()} - known:
        raise FileExistsError(f"{folder} holds other files: choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} cannot be written to")
    with locked(folder, what):
        yield begun


def regular(file: Path) -> Path:
    """`file`, if it is a regular file: reading a pipe could wait for ever."""
    if not file.exists():
        raise FileNotFoundError(f"{file} does not exist")
    if not file.is_file():
        raise ValueError(f"{file} is not a regular file")
    return file


def read_text(file: Path, limit: int | None = None) -> str:
    """A UTF-8 file's text. Raises `ValueError` for other bytes, or more than `limit`."""
    if limit is not None and (size := regular(file).stat().st_size) > limit:
        raise ValueError(f"{file} has {size:,} bytes, and at most {limit:,} are read")
    data = regular(file).read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = f"byte {data[error.start]:#04x} at offset {error.start}"
        raise ValueError(f"{file} is not UTF-8: {where}; convert it to UTF-8 first") from None


def read_json(file: Path) -> dict[str, Any]:
    """A file's JSON object. Raises `ValueError` for anything else."""
    text = read_text(file, JSON_LIMIT)
    try:
        values = json.loads(text)
    except RecursionError:
        raise ValueError(f"{file} is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{file} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{file} does not hold a JSON object")
    return values


def field(values: dict[str, Any], name: str, kind: type[T], default: T) -> T:
    """`values[name]`; `default` if it is missing or null; `ValueError` if it is of another type."""
    value = values.get(name)
    if value is not None and not isinstance(value, kind):
        raise ValueError(f"{name} must be {_JSON_TYPES[kind]}, not {reprlib.repr(value)}")
    return default if value is None else value


@contextmanager
def errors_name(where: object) -> Iterator[None]:
    """Put `where`, a file or folder, at the front of every `ValueError` from inside the block."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def listed(names: Iterable[object], most: int = 8) -> str:
    """`a, b, c and 997 more`: names in one line that people can read."""
    shown = [name if len(name) <= 80 else f"{name[:79]}…" for name in map(str, names)]
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more


def sha256(file: Path) -> str:
    """A file's checksum, in hexadecimal digits."""
    digest = hashlib.sha256()
    with regular(file).open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_whole(file: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file, then rename it to `file`. The umask decides its mode."""
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
    """Write a UTF-8 file as `write_whole` does, without changing line ends."""
    write_whole(file, lambda writing: writing.write_text(text, encoding="utf-8", newline=""))


def write_json(file: Path, values: Any) -> None:
    """Write indented JSON as `write_whole` does."""
    write_text(file, json.dumps(values, indent=2) + "\n")


def to_disk(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot, and does not need to
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
