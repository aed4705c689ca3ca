"""What a model knows of grammar, along its training."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import PercentFormatter

from minibert.analysis.grammar import CHANCE, Score, by_category, mean_accuracy
from minibert.viz.style import PALETTE, Picture, plot, show

COLUMNS = 4
ALL = "all phenomena"


def draw_grammar_curve(along: Sequence[tuple[int, Sequence[Score]]]) -> Picture:
    """Accuracy on minimal pairs against steps: a panel for all phenomena, and for each category.

    `along` holds steps and their scores, as `score_snapshots` gives them. The band is the 95 %
    interval, and the dashed line is chance. The steps are on a logarithmic scale that has room for
    step 0. Raises `ValueError` where there is no step, or no pair.
    """
    if not along:
        raise ValueError("there is no step to draw: give the scores of at least one snapshot")
    steps = [step for step, _ in along]
    curves = _curves([scores for _, scores in along])
    rows = math.ceil(len(curves) / COLUMNS)
    figure, axes = plot(rows, COLUMNS, width=10, height=2.1 * rows)
    for ax in np.ravel(axes)[len(curves) :]:
        ax.set_visible(False)
    for ax, (name, curve) in zip(np.ravel(axes), curves.items(), strict=False):
        means, lows, highs = curve.T
        ax.axhline(CHANCE, color="black", linestyle="--", linewidth=0.8)
        ax.fill_between(steps, lows, highs, color=PALETTE[0], alpha=0.2, linewidth=0)
        ax.plot(steps, means, color=PALETTE[0], linestyle="-", marker="o", markersize=3)
        ax.set_xscale("symlog", linthresh=min([step for step in steps if step] or [1]))
        ax.set_ylim(0, 1)
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        ax.set_title(name, fontsize=9, fontweight="bold" if name == ALL else "normal")
    figure.supxlabel("step", fontsize=10)
    figure.supylabel("pairs that are right", fontsize=10)
    said = ", ".join(f"{name} {c[0, 0]:.0%} and {c[-1, 0]:.0%}" for name, c in curves.items())
    return show(
        figure,
        f"Accuracy on minimal pairs along a training, in {len(curves)} panels; chance is "
        f"{CHANCE:.0%}. At step {steps[0]:,} and at step {steps[-1]:,}: {said}.",
    )


def _curves(along: Sequence[Sequence[Score]]) -> dict[str, np.ndarray]:
    """By panel: (steps, 3), the mean and the ends of its interval."""
    curves = {ALL: np.array([mean_accuracy(scores) for scores in along])}
    for category, of_category in by_category(along[0]).items():
        if any(score.number for score in of_category):
            steps = [by_category(scores)[category] for scores in along]
            curves[category] = np.array([mean_accuracy(scores) for scores in steps])
    return curves
