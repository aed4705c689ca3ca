"""The questions of each chapter's quiz, one module a chapter: `chapter_03.QUESTIONS`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

LETTERS = "abcd"


@dataclass(frozen=True)
class Option:
    """One answer to choose, and why it is right or wrong."""

    says: str
    because: str


@dataclass(frozen=True)
class Question:
    """A multiple-choice question with three or four options, of which one is right."""

    asks: str
    right: str
    """The letter of the right option: `"b"`."""
    options: tuple[Option, ...]
    see: str
    """The heading in the chapter that answers it, without its number."""

    def chosen(self, letter: str) -> Option:
        """The option of a letter."""
        return self.options[LETTERS.index(letter)]


def questions(chapter: int) -> tuple[Question, ...]:
    """The five questions of a chapter. Raises `ValueError` if the chapter has no quiz."""
    name = f"{__name__}.chapter_{chapter:02}"
    if find_spec(name) is None:
        raise ValueError(f"there is no quiz for chapter {chapter}")
    return import_module(name).QUESTIONS
