"""The folder of a run: its files, its settings, and a lock, so that one process writes to it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from minibert.files import check_name, read_json, reserved, to_disk, write_json

T = TypeVar("T")

SETTINGS = "run.json"
DATA, DATA_WRITING = "data", "data.writing"
MODEL_FILES = ("config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json")
REPORTS = ("distillation.json", "demo.json", "bert.html", "attention.html", "attention.png")
"""What commands leave beside a finished model. A later run of any kind must remove all of it."""
RUN_FILES = (DATA, "history.jsonl", "checkpoints", "snapshots", *MODEL_FILES, *REPORTS)


@dataclass(frozen=True)
class Session:
    """One call that works on a run: what it does with the folder, and where it reports."""

    resume: bool = False
    """Continue a stopped run."""
    overwrite: bool = False
    """Replace an earlier run."""
    say: Callable[[str], None] = print
    """Receives each message for the user."""
    watch: Callable[[dict[str, Any]], None] | None = None
    """Receives each line of `history.jsonl` when it is written."""


@contextmanager
def run_folder(
    out: Path, session: Session, settings_file: str = SETTINGS, files: Sequence[str] = RUN_FILES
) -> Iterator[None]:
    """Make and lock the folder of a run, which must be writable and hold no other files.

    A folder with a `settings_file` is a run. `session.overwrite` removes the `files` (names or
    patterns) of an earlier run, but not its settings, so that the folder is still a run if this one
    is interrupted before it writes new settings. Raises `FileExistsError`, `FileNotFoundError` or
    `PermissionError` for other folders.
    """
    if session.resume and session.overwrite:
        raise ValueError("--resume continues what is there, --overwrite removes it: choose one")
    check_name(out)
    if session.resume and not (out / settings_file).exists():
        raise FileNotFoundError(f"there is no run in {out} to resume")
    with reserved(out, settings_file, "training", [DATA_WRITING]) as is_run:
        if is_run and not (session.resume or session.overwrite):
            raise FileExistsError(
                f"{out} holds a run already: --resume continues it, --overwrite begins anew"
            )
        if session.overwrite:
            remove_files(out, files)
        yield


def remove_files(out: Path, patterns: Sequence[str]) -> None:
    """Remove the files and folders in `out` with these names."""
    for path in [path for pattern in patterns for path in out.glob(pattern)]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def read_settings(out: Path, what: str, make: Callable[[dict[str, Any]], T]) -> T:
    """What `make` makes of `out/run.json`, the settings of `what`: "run" or "distillation".

    Raises `FileNotFoundError` if there is no such file, and `ValueError` if it holds anything else.
    """
    file = out / SETTINGS
    if not file.exists():
        raise FileNotFoundError(f"there is no run in {out}")
    try:
        return make(read_json(file))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} is not a {what} of this minibert: {error}") from None


def write_data_once(out: Path, settings: dict[str, Any], write: Callable[[Path], None]) -> None:
    """`out/data` as `write` writes it, and `settings` as `out/run.json`: both, or neither."""
    data, writing = out / DATA, out / DATA_WRITING
    if data.exists():
        return
    shutil.rmtree(writing, ignore_errors=True)
    try:
        write(writing)
    except BaseException:  # Ctrl-C too: the next try must find nothing in its way
        shutil.rmtree(writing, ignore_errors=True)
        raise
    write_json(out / SETTINGS, settings)
    for path in (*writing.rglob("*"), writing):
        to_disk(path)
    writing.rename(data)
    to_disk(out)


def check_same(out: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raise a `ValueError` that lists what differs between the run in `out` and the wanted one.

    A setting that only one of the two has belongs to another version of minibert, and is ignored.
    """
    if differences := _differences(old, new):
        raise ValueError(f"{out} was begun with other settings: {'; '.join(differences)}")


def _differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    differences = []
    for name in sorted(old.keys() & new.keys()):
        was, now = old[name], new[name]
        if isinstance(was, dict) and isinstance(now, dict):
            differences += _differences(was, now, f"{prefix}{name}.")
        elif was != now:
            differences.append(f"{prefix}{name} was {was!r}, now {now!r}")
    return differences
