"""The scores of several runs and of the baselines, as a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minibert.data.splits import TaskData
from minibert.files import read_json
from minibert.finetuning.metrics import (
    LOWER_IS_BETTER,
    Counts,
    Scores,
    class_counts,
    class_f1,
    interval,
    score,
)

MOST_LABELS_SHOWN = 6
LABEL_WIDTH = 11


@dataclass(frozen=True)
class Result:
    """Test scores of every seed, and of the baselines."""

    task: str
    kind: str
    scores: dict[str, list[Scores]]
    """By name, `minibert` first: one `Scores` for each seed; a baseline has a single one."""
    counts: dict[str, list[Counts]]
    """The confusion matrices of classes or tags, in the same order."""
    saved: int
    """The number of the run whose model was saved: its validation loss is the lowest."""

    @classmethod
    def of(cls, data: TaskData, answers: dict[str, list[list[Any]]], saved: int) -> Result:
        """From the answers to the test rows, by name: a list for each run."""

        def of_each(measure: Callable[..., Any]) -> dict[str, list[Any]]:
            return {
                name: [measure(data.kind, data.test, given) for given in runs]
                for name, runs in answers.items()
            }

        return cls(data.name, data.kind, of_each(score), of_each(class_counts), saved)

    @classmethod
    def read(cls, file: Path) -> Result:
        """From a `results.json`. Raises `ValueError` for any other file."""
        try:
            result = cls(**read_json(file))
            result.table()
            return result
        except (TypeError, KeyError, IndexError, AttributeError):
            raise ValueError(f"{file} does not hold the results of minibert finetune") from None

    def table(self) -> str:
        """A line for each measure and name; for a few classes, the confusion matrix too."""
        runs = len(self.scores["minibert"])
        width = max(len(name) for name in self.scores) + 3
        lines = [over_seeds(runs)] if runs > 1 else []
        for measure in self.scores["minibert"][0]:
            lines.append(measure)
            for name, of_name in self.scores.items():
                cell = shown(measure, [run[measure] for run in of_name])
                lines.append(f"  {name:{width}}{cell}")
        counts = self.counts["minibert"][self.saved]
        labels = sorted(set(counts).union(*counts.values()))
        if 0 < len(labels) <= MOST_LABELS_SHOWN:
            lines += confusion(counts, labels)
        return "\n".join(lines)


def confusion(counts: Counts, labels: Sequence[str]) -> list[str]:
    """The confusion matrix in lines: right labels by row, given labels by column, F1 at the end."""
    cut = lambda label: f"{label[: LABEL_WIDTH - 1]:>{LABEL_WIDTH}}"
    lines = [
        "the saved model: right by row, given by column",
        f"{'':{LABEL_WIDTH}}" + "".join(map(cut, labels)),
    ]
    f1 = class_f1(counts)
    for label in labels:
        given = counts.get(label, {})
        cells = "".join(f"{given.get(other, 0):{LABEL_WIDTH}}" for other in labels)
        lines.append(cut(label) + cells + (f"   F1 {f1[label]:6.1%}" if label in f1 else ""))
    return lines


def over_seeds(runs: int) -> str:
    """What the numbers of `shown` mean."""
    if runs == 2:
        return "minibert: mean of 2 seeds, and both in brackets; two say little about a third"
    return f"minibert: mean of {runs} seeds and its 95 % interval"


def shown(measure: str, values: Sequence[float]) -> str:
    """`84.1 ± 0.6 %`: the mean and its 95 % interval (Student's t), or a single value alone.

    For two values the interval would be thirteen times as wide as their difference, so both are
    shown instead.
    """
    mean, half = interval(values)
    factor, digits, unit = 100.0, 1, " %"
    if measure.endswith("correlation"):
        factor, digits, unit = 1.0, 3, ""
    elif measure in LOWER_IS_BETTER:  # in the units of the task, to three significant digits
        factor, digits, unit = 1.0, max(0, 2 - math.floor(math.log10(mean or 1))), ""
    cell = lambda value: f"{value * factor:.{digits}f}"
    if len(values) == 2:
        return f"{cell(mean)} ({cell(min(values))} to {cell(max(values))}){unit}"
    return cell(mean) + ("" if half is None else f" ± {cell(half)}") + unit
