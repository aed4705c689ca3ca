"""How long the remaining seeds will take, estimated from the first steps of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from minibert.data.splits import TaskData
from minibert.finetuning.batches import validation_sample
from minibert.finetuning.settings import Finetuning

FORWARD_SHARE = 1 / 3
"""Of a training step's time: the backward pass takes about twice as long as the forward pass."""


@dataclass
class TimeEstimate:
    """Says once, at the first line of a history, how long the remaining seeds will take.

    It assumes that all steps take as long as the first. A row that is only read, for validation or
    the test, takes a third of a training row's time.
    """

    data: TaskData
    settings: Finetuning
    say: Callable[[str], None]
    seeds_left: int = 1
    has_said: bool = False

    def __call__(self, line: dict[str, Any]) -> None:
        """A line of the history, with the number of `steps` of the run."""
        if not self.has_said:
            self.has_said = True
            with tqdm.external_write_mode():  # clears the progress bar meanwhile
                self.say(self.sentence(line))

    def sentence(self, line: dict[str, Any]) -> str:
        """`About 3 minutes for 3 seeds; --quick runs one.`"""
        training = line["seconds"] / line["step"] * line["steps"]
        trained = self.settings.epochs * len(self.data.train)
        read = self.settings.epochs * len(validation_sample(self.data)) + len(self.data.test)
        share = 1.0 if self.settings.frozen else FORWARD_SHARE
        seconds = self.seeds_left * training * (1 + share * read / trained)
        several = f"for {self.seeds_left} seeds; --quick runs one."
        return f"About {duration(seconds)} {several if self.seeds_left > 1 else 'in all.'}"


def duration(seconds: float) -> str:
    """`40 seconds`, `3 minutes` or `2.5 hours`: no more exact than an estimate can be."""
    if seconds < 90:
        return f"{max(10, 10 * round(seconds / 10))} seconds"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} minutes"
    return f"{seconds / 3600:.1f} hours"
