"""Files and folders that a command writes: it overwrites nothing, and leaves nothing unfinished."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click


def check_free(path: Path | None, suffixes: Sequence[str], overwrite: bool) -> None:
    """Raise `click.UsageError` for a file of another kind, or one that exists."""
    if path is None:
        return
    if path.suffix not in suffixes:
        raise click.UsageError(f"{path} must end in {' or '.join(suffixes)}")
    if path.exists() and not overwrite:
        raise click.UsageError(f"{path} exists already: choose another name, or add --overwrite")


@contextmanager
def all_or_none(*files: Path) -> Iterator[None]:
    """Remove the files that the block has made if it raises an error."""
    new = [file for file in files if not file.exists()]
    try:
        yield
    except BaseException:  # Ctrl-C too
        for file in new:
            file.unlink(missing_ok=True)
        raise


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A temporary folder whose files move to `out` at the end, or are removed after an error.

    Raises `FileExistsError` if `out` exists and is not empty.
    """
    from minibert.files import new_folder
    from minibert.training.run_folder import remove_files

    is_new = not out.exists()
    out = new_folder(out).resolve()
    writing = out.with_name(out.name + ".writing")
    shutil.rmtree(writing, ignore_errors=True)  # of a call that was killed
    try:
        writing.mkdir()
        yield writing
        for path in writing.iterdir():  # `out` itself stays, because a shell may be in it
            path.rename(out / path.name)
        writing.rmdir()
    except BaseException:  # Ctrl-C too
        shutil.rmtree(writing, ignore_errors=True)
        remove_files(out, ["*"])
        if is_new:
            out.rmdir()
        raise
