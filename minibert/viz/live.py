"""The loss curve of a run, drawn while it trains."""

from __future__ import annotations

import time
from typing import Any

from IPython.display import display
from ipywidgets import HTML

from minibert.viz.style import Picture, plot, show

SECONDS_BETWEEN_PICTURES = 3.0
"""A picture takes about a tenth of a second, in which nothing is trained."""


class LiveCurve:
    """The loss curve of a run in a notebook: `Session(watch=LiveCurve())`.

    It appears where it is created, above the progress bar. It is called with each line of
    `history.jsonl`.
    """

    def __init__(self) -> None:
        self.history: list[dict[str, Any]] = []
        self.widget = HTML()
        self.drawn_at = -SECONDS_BETWEEN_PICTURES
        display(self.widget)

    def __call__(self, line: dict[str, Any]) -> None:
        """Add a line, and draw if the last picture is old enough."""
        self.history.append(line)
        # Held-out lines are few, and the last of them ends the run.
        if "held_out" in line or time.monotonic() - self.drawn_at >= SECONDS_BETWEEN_PICTURES:
            self.widget.value = draw_losses(self.history)._repr_html_()
            self.drawn_at = time.monotonic()


def draw_losses(history: list[dict[str, Any]]) -> Picture:
    """The loss in training and on held-out text by step, from the lines of `history.jsonl`."""
    training = [(line["step"], line["loss"]) for line in history if "loss" in line]
    held_out = [(line["step"], line["held_out"]["loss"]) for line in history if "held_out" in line]
    figure, ax = plot(height=2.6)
    said = []
    for name, marker, points in (("training", "", training), ("held-out text", "o", held_out)):
        if points:
            ax.plot(*zip(*points, strict=True), marker=marker, label=name)
            step, loss = points[-1]
            said.append(f"on {name} {loss:.2f} at step {step}")
    ax.set(xlabel="step", ylabel="loss (nats)")
    ax.legend()
    return show(figure, "The loss so far: " + ", ".join(said) + ".")
