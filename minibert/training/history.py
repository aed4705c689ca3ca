"""The history of a run: `history.jsonl`, a JSON object a line."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from minibert.files import read_text, to_disk

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
        if problem := _problem(line := _parsed(text)):
            raise ValueError(f"{file}, line {number}, {problem}: remove that line")
        history.append(line)
    return history


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return None


def _problem(line: Any) -> str | None:
    if not isinstance(line, dict):
        return "is not a JSON object"
    step: Any = line.get("step")
    seconds: Any = line.get("seconds")
    if not isinstance(step, int) or isinstance(step, bool) or step < 0:
        return f"has the step {step!r}, which is not a whole number"
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not 0 <= seconds < math.inf:
        return f"has {seconds!r} seconds, which is not a number"
    return None


def append_line(out: Path, line: dict[str, Any]) -> None:
    """Write one more line. Raises `OSError` if that fails."""
    with (out / HISTORY).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")


def cut_history(out: Path, step: int) -> None:
    """Drop the lines of later steps, which will be done again, and a half line at the end."""
    kept = [json.dumps(line) + "\n" for line in read_history(out) if line["step"] <= step]
    temporary = out / "history.writing"
    temporary.write_text("".join(kept), encoding="utf-8")
    to_disk(temporary)
    temporary.replace(out / HISTORY)
