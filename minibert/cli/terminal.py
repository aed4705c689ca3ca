"""What the commands print."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import click


@contextlib.contextmanager
def warnings_in_a_line() -> Iterator[None]:
    """Of texts that stand in two parts, and the like: without the place in the code."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: click.echo(f"Note: {message}", err=True)
        yield


def printable(text: str) -> str:
    """In one line, and nothing in it that a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in text)


def listed(guesses: list[tuple[str, float]]) -> str:
    return "  ".join(f"{token} {share:.0%}" for token, share in guesses)
