"""The history of a run: `history.jsonl`, a JSON object a line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minibert.files import read_text, write_text
from minibert.settings import Natural, NotNegative, check

HISTORY = "history.jsonl"


def read_history(out: str | Path) -> list[dict[str, Any]]:
    """The lines of a run's `history.jsonl`: training means, and `held_out` where evaluated.

    Empty if nothing was written yet. A half line at the end, which a killed run leaves, is ignored.
    Raises `ValueError` for any other line that is not a JSON object with a `step` and `seconds`.
    """
    file = Path(out) / HISTORY
    history: list[dict[str, Any]] = []
    if not file.exists():
        return history
    for number, text in enumerate(read_text(file).splitlines(keepends=True), start=1):
        if not text.endswith("\n"):
            break
        try:
            line = json.loads(text)
            _Moment(line.get("step"), line.get("seconds"))
        except (AttributeError, RecursionError, ValueError) as error:
            what = error if type(error) is ValueError else "it must be a JSON object"
            raise ValueError(f"{file}, line {number}: {what}; remove that line") from None
        history.append(line)
    return history


@dataclass(frozen=True)
class _Moment:
    """What every line of a history has."""

    step: Natural
    seconds: NotNegative

    def __post_init__(self) -> None:
        check(self)


def append_line(out: Path, line: dict[str, Any]) -> None:
    """Write one more line. Raises `OSError` if that fails."""
    with (out / HISTORY).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")


def cut_history(out: Path, step: int) -> None:
    """Drop the lines of later steps, which will be done again, and a half line at the end."""
    kept = [json.dumps(line) + "\n" for line in read_history(out) if line["step"] <= step]
    write_text(out / HISTORY, "".join(kept))
