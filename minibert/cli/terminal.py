"""Everything that the command prints: no text can control the terminal, and none is lost."""

from __future__ import annotations

import os
import sys
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

LONGEST_ERROR = 2000
"""Characters of an error. The middle of a longer one is left out."""


def visible(text: str) -> str:
    r"""The text with an escape such as `\x1b` for each character that would not show itself.

    Those are control characters, newlines too, marks that change the direction of writing, and
    characters of no width.
    """
    return "".join(
        char
        if char.isprintable() or unicodedata.category(char) == "Zs"  # a space of any kind
        else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def say(text: str = "", err: bool = False) -> None:
    """Print one line. Newlines at its beginning are our own blank lines; all others are escaped."""
    line = text.lstrip("\n")
    blank = "\n" * (len(text) - len(line))
    print(blank + visible(line), file=sys.stderr if err else sys.stdout, flush=True)


def complain(error: str) -> None:
    """Print an error in one line: to standard output if standard error is closed."""
    line = " ".join(error.split())
    if len(line) > LONGEST_ERROR:
        line = f"{line[: LONGEST_ERROR // 2]} ... {line[-LONGEST_ERROR // 2 :]}"
    closed = getattr(sys.stderr, "name", None) == os.devnull
    with suppress(OSError):  # the reader may be gone; the exit code remains
        say(f"Error: {line}", err=not closed)


@contextmanager
def terminal() -> Iterator[None]:
    """Inside the block, warnings are lines, no encoding is too small, and closed streams are quiet.

    A closed descriptor is opened on nothing: the next file would otherwise take its number, and
    with it whatever a library prints.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):  # numbers 0, 1 and 2
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: say(f"Note: {message}", err=True)
        try:
            yield
        finally:
            for stream in (sys.stdout, sys.stderr):
                _flush(stream)


def _flush(stream: TextIO) -> None:
    """Flush a stream. If it is closed, drop what is left, because no one will read it."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError), open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), stream.fileno())


def percentages(guesses: list[tuple[str, float]]) -> str:
    """`state 61%  rest 7%`."""
    return "  ".join(f"{token} {share:.0%}" for token, share in guesses)
