"""A text while it is being written, step by step: as a picture, and as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter

from minibert.inference.generation import Generation
from minibert.tokenizer import MASK
from minibert.viz.labels import find_fonts, label
from minibert.viz.style import SEQUENTIAL, Picture

ROWS = 12
"""How many steps are shown by default."""
# Sizes in inches.
WIDTH = 9.0
"""The width of the text. A longer text is wrapped."""
NAME, TITLE, LEGEND = 0.8, 0.6, 0.7
LINE, BETWEEN, PAD = 0.27, 0.12, 0.07
SIZE = 9
"""Of the tokens, in points."""
DARK = 0.7
"""On shares above it, letters are white."""


def forming(generation: Generation, rows: int = ROWS) -> Picture:
    """How the text came about: a row for each step, the frame first.

    What was written since the row above is bold, in a box. The darker a token's cell, the higher
    the probability that the model gave it; tokens of the frame have no cell. Of more steps than
    `rows`, so many are shown, evenly spaced, and the title says so. Raises `ValueError` for fewer
    than two rows.
    """
    shown = list(_rows(generation, rows))
    fonts, missing = find_fonts("".join(token for row in shown for token in row.tokens))
    spelled = [[label(token, missing) for token in row.tokens] for row in shown]
    labels = [[label(token) for token in row.tokens] for row in shown]
    title = f"{generation.method}, {_extent(generation, shown)}"
    places = _places(spelled, fonts)
    figure = _draw(shown, spelled, places, title, fonts)
    vector = _draw(shown, labels, places, title, fonts) if spelled != labels else figure
    return Picture(figure, describe_forming(generation, rows), vector=vector)


def describe_forming(generation: Generation, rows: int = ROWS) -> str:
    """The picture in words: how the text began and ended, and what the model was surest of."""
    shown = list(_rows(generation, rows))
    first, last = shown[0], shown[-1]
    sure = sorted(last.sureness, key=lambda place: round(100 * last.sureness[place]))
    ends = " and ".join(
        f"{how} sure of '{last.tokens[place]}', with {last.sureness[place]:.0%}"
        for how, place in (("least", sure[0]), ("most", sure[-1]))
    )
    return (
        f"A text forms by {generation.method}, {_extent(generation, shown)}. "
        f"It begins as: {' '.join(first.tokens)} It ends as: {' '.join(last.tokens)} "
        f"Of what it wrote, the model was {ends}."
    )


def forming_text(generation: Generation, rows: int = ROWS) -> str:
    """The same as lines of text: `*word 43%*` was written since the line above; `___` is a mask."""
    shown = list(_rows(generation, rows))
    width = len(str(shown[-1].number))
    lines = [f"{generation.method}, {_extent(generation, shown)}"]
    for row in shown:
        words = [
            f"*{label(token)} {row.sureness[place]:.0%}*"
            if place in row.new
            else "___"
            if token == MASK
            else label(token)
            for place, token in enumerate(row.tokens)
        ]
        lines.append(f"{row.number:{width}d}  {' '.join(words)}")
    return "\n".join(lines)


@dataclass(frozen=True)
class _Row:
    number: int
    tokens: tuple[str, ...]
    new: frozenset[int]
    """Places that were written since the row above."""
    sureness: dict[int, float]
    """By place: the probability of what was written there."""


def _rows(generation: Generation, rows: int) -> Iterator[_Row]:
    """At most `rows` steps, the first and the last among them."""
    if rows < 2:
        raise ValueError(f"rows is {rows}: at least 2 are needed, the frame and the end")
    last = len(generation.steps) - 1
    chosen = (
        {round(i * last / (rows - 1)) for i in range(rows)} if last >= rows else range(last + 1)
    )
    new: set[int] = set()
    sureness: dict[int, float] = {}
    for number, step in enumerate(generation.steps):
        new.update(step.written)
        sureness.update(zip(step.written, step.probabilities, strict=True))
        if number in chosen:
            yield _Row(number, step.tokens, frozenset(new), dict(sureness))
            new.clear()


def _extent(generation: Generation, shown: Sequence[_Row]) -> str:
    steps = len(generation.steps) - 1
    several = f"{steps} step{'s' * (steps != 1)}"
    part = len(shown) - 1
    return several if part == steps else f"{several}, {part} of them shown"


def _places(labels: Sequence[Sequence[str]], fonts: list[str]) -> list[tuple[float, int, float]]:
    """The place of each token in all rows: left edge, line and width."""
    figure = Figure()
    widths: dict[str, float] = {}
    for text in {text for row in labels for text in row}:
        drawn = figure.text(
            0, 0, text, size=SIZE, family=fonts, weight="bold", parse_math=False
        ).get_window_extent()
        widths[text] = drawn.width / figure.dpi
    places = []
    left, line = 0.0, 0
    for column in zip(*labels, strict=True):
        width = max(widths[text] for text in column) + 2 * PAD
        if left > 0 and left + width > WIDTH:
            left, line = 0.0, line + 1
        places.append((left, line, width))
        left += width
    return places


def _draw(
    shown: Sequence[_Row],
    labels: Sequence[Sequence[str]],
    places: Sequence[tuple[float, int, float]],
    title: str,
    fonts: list[str],
) -> Figure:
    lines = places[-1][1] + 1
    each = lines * LINE + BETWEEN
    across = max(5.0, *(left + width for left, _, width in places))
    width, height = NAME + across + 0.1, TITLE + len(shown) * each + LEGEND
    figure = Figure(figsize=(width, height))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(height, 0))  # in inches, downwards
    ax.set_axis_off()
    ax.text(0.1, 0.3, title, size=11, va="center")
    for place, (row, texts) in enumerate(zip(shown, labels, strict=True)):
        top = TITLE + place * each
        name = f"step {row.number}" if row.number else "frame"
        ax.text(0.1, top + LINE / 2, name, size=SIZE, va="center", color="#555555")
        for token, (text, (left, line, wide)) in enumerate(zip(texts, places, strict=True)):
            corner = (NAME + left, top + line * LINE)
            _write(ax, text, corner, wide, row, token, fonts)
    legend = "Bold in a box: written since the row above"
    ax.text(0.1, height - 0.35, legend, size=8, va="center")
    beside = (1 - 2.3 / width, 0.4 / height, 2 / width, 0.12 / height)
    bar = figure.colorbar(
        ScalarMappable(cmap=SEQUENTIAL),
        cax=figure.add_axes(beside),
        orientation="horizontal",
        format=PercentFormatter(1),
    )
    bar.ax.tick_params(labelsize=7)
    bar.ax.set_title("probability that the model gave", size=8, pad=3)
    return figure


def _write(
    ax: Axes,
    text: str,
    corner: tuple[float, float],
    width: float,
    row: _Row,
    place: int,
    fonts: list[str],
) -> None:
    """One token in its cell."""
    share, new = row.sureness.get(place), place in row.new
    if share is not None:
        edge = {"edgecolor": "black", "linewidth": 1.2} if new else {"linewidth": 0}
        shade = matplotlib.colormaps[SEQUENTIAL](share)
        inside = (corner[0] + 0.015, corner[1] + 0.015)
        ax.add_patch(Rectangle(inside, width - 0.03, LINE - 0.03, facecolor=shade, **edge))
    masked = row.tokens[place] == MASK
    ax.text(
        corner[0] + width / 2,
        corner[1] + LINE / 2,
        text,
        size=SIZE,
        family=fonts,
        weight="bold" if new else "normal",
        color="#666666" if masked else "white" if (share or 0) > DARK else "black",
        ha="center",
        va="center_baseline",
        parse_math=False,
    )
