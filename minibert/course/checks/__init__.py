"""`from minibert import check`: ask whether an answer to an exercise is right.

    check.split_heads(my_function)     # passed, or what is wrong and where to read on
    check.hint("split_heads")          # first a nudge, then the idea, then the line
    check.progress()                   # a picture of what is done

Progress is kept in `progress.json` in the notebook's folder, and goes nowhere else.
"""

from __future__ import annotations

import contextlib
import json
import os
import textwrap
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from filelock import FileLock

from minibert.course.checks.engine import Exercise, Verdict, judge
from minibert.files import write_json
from minibert.viz.style import PALETTE, Picture, plot, show

PROGRESS = Path("progress.json")


def exercises() -> dict[str, Exercise]:
    """Every exercise by its name, in the order of the course."""
    return {exercise.name: exercise for module in _chapters() for exercise in module.EXERCISES}


def blanks() -> dict[str, Exercise]:
    """What a learner fills in while reading the chapters, by its name."""
    found = [getattr(module, "BLANKS", ()) for module in _chapters()]
    return {blank.name: blank for of_chapter in found for blank in of_chapter}


def _chapters() -> list[ModuleType]:
    names = sorted(m.name for m in iter_modules(__path__) if m.name.startswith("chapter_"))
    return [import_module(f"minibert.course.checks.{name}") for name in names]


class NotPassed(Exception):
    """Raised during grading for an answer that did not pass. It shows only its line."""

    def _render_traceback_(self) -> list[str]:
        return in_lines(str(self))


class Check:
    """The check of one exercise: call it with the answer."""

    def __init__(self, exercise: Exercise) -> None:
        self.exercise = exercise

    def __call__(self, answer: Any = None) -> None:
        """Say whether the answer is right. During grading, a wrong answer is an error."""
        verdict = judge(self.exercise, answer)
        line = f"{self.exercise.name}: {verdict.line}"
        if os.environ.get("NBGRADER_EXECUTION"):
            if not verdict.passed:
                raise NotPassed(line)
        elif self.exercise.name in exercises():
            remember(self.exercise.name, verdict)
        say(line)

    def __repr__(self) -> str:
        return f"the check of {self.exercise.name}: call it with your answer"


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    found = exercises() | blanks()
    if name not in found:
        raise AttributeError(f"there is no exercise {name!r}; there are {', '.join(found)}")
    return Check(found[name])


_hints_given: dict[str, int] = {}


def hint(name: Any) -> None:
    """The next hint of an exercise: first a nudge, then the idea, then the line."""
    if not isinstance(name, str):  # the function itself was given
        name = getattr(name, "__name__", repr(name))
    exercise = __getattr__(name).exercise
    if not exercise.hints:
        return say("the answer is in the folded cell below: click on its three dots")
    number = min(_hints_given.get(name, 0), len(exercise.hints) - 1)
    _hints_given[name] = number + 1
    say(f"hint {number + 1} of {len(exercise.hints)}: {exercise.hints[number]}")


def say(line: str) -> None:
    """Print what there is to say."""
    print("\n".join(in_lines(line)))


def in_lines(text: str) -> list[str]:
    """Wrap each line for a notebook and a page of feedback, without cutting words."""
    wrap = textwrap.TextWrapper(width=85, break_long_words=False, break_on_hyphens=False)
    return [part for line in text.split("\n") for part in wrap.wrap(line)]


# Progress


def remember(name: str, verdict: Verdict) -> None:
    """Note an attempt. An exercise that has passed once stays passed."""
    if not verdict.tried:
        return
    # The answer is judged even in a folder that cannot be written to.
    with contextlib.suppress(OSError), FileLock(PROGRESS.with_suffix(".lock")):
        done = read_progress()
        done[name] = "passed" if verdict.passed or done.get(name) == "passed" else "tried"
        write_json(PROGRESS, done)


def read_progress() -> dict[str, str]:
    """The state of every exercise that was tried. A damaged file counts as no progress."""
    try:
        found = json.loads(PROGRESS.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {k: v for k, v in found.items() if v in ("passed", "tried")}


def progress(chapter: int | None = None) -> Picture:
    """A picture with a row for each chapter and a box for each exercise, half full when tried."""
    done = read_progress()
    chapters: dict[int, list[str]] = {}
    for exercise in exercises().values():
        if chapter in (None, exercise.chapter):
            chapters.setdefault(exercise.chapter, []).append(exercise.name)
    if not chapters:
        raise ValueError(f"there are no exercises of chapter {chapter!r}")
    figure, ax = plot(width=7.0, height=0.8 + 0.45 * len(chapters))
    said = []
    for row, (number, names) in enumerate(chapters.items()):
        for column, name in enumerate(names):
            filled = {"passed": 1.0, "tried": 0.5}.get(done.get(name, ""), 0.0)
            ax.barh(row, 0.9, left=column, height=0.7, color="white", edgecolor="black")
            ax.barh(row, 0.9 * filled, left=column, height=0.7, color=PALETTE[0])
        passed = sum(done.get(name) == "passed" for name in names)
        tried = [name for name in names if done.get(name) == "tried"]
        said.append(
            f"chapter {number}: {passed} of {len(names)} passed"
            + (f", tried: {', '.join(tried)}" if tried else "")
        )
    ax.set_yticks(range(len(chapters)), [f"chapter {number}" for number in chapters])
    longest = max(map(len, chapters.values()), default=0)
    ax.set_xticks([column + 0.45 for column in range(longest)], range(1, longest + 1))
    ax.invert_yaxis()
    ax.grid(False)
    return show(figure, "Exercises. " + "; ".join(said) + ".")
