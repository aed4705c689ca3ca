"""What drawings are made of: tokens, vectors, steps and arrows, placed on a grid of units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle

from minibert.viz.labels import label
from minibert.viz.style import PALETTE, Picture

QUERY, KEY, VALUE = PALETTE[0], PALETTE[1], PALETTE[2]
STATE = "#555555"
"""Hidden states, and whatever is neither query, key nor value."""
INK = "#222222"
FIRST, SECOND = "#f3f3f3", "#d2d2d2"
"""Fills: light for the first sentence of a pair, darker for the second and for what was cut."""
NEW = "#edc9dd"
"""Fill: what changed from one line to the next."""
WIDTH = 7.2
"""Inches: 800 pixels in a browser."""

Point = tuple[float, float]


class Canvas:
    """A drawing of `columns` x `rows` units, whose origin is the upper left corner."""

    def __init__(self, columns: float, rows: float) -> None:
        self.figure = Figure(figsize=(WIDTH, WIDTH * rows / columns))
        self.ax = self.figure.add_axes((0, 0, 1, 1))
        self.ax.set(xlim=(0, columns), ylim=(rows, 0))
        self.ax.axis("off")
        self.points = 72 * WIDTH / columns  # of one unit

    def text(self, at: Point, text: str, size: float = 0.32, **how: Any) -> None:
        """Text centred on a point. `size` is the height of its letters in units."""
        style: dict[str, Any] = {"color": INK, "ha": "center", "va": "center"} | how
        self.ax.text(*at, text, fontsize=size * self.points, **style)

    def token(
        self, at: Point, token: str, width: float = 1.8, color: str = INK, fill: str = "white",
        size: float = 0.32,
    ) -> None:  # fmt: skip
        """A token: a rounded box with its text. `size` is that of `text`."""
        self._box(at, width, 0.7, color, style="round,pad=0,rounding_size=0.18", fill=fill)
        self.text(at, label(token), size)

    def step(
        self, at: Point, text: str, width: float = 2.4, height: float = 0.8,
        size: float = 0.32, fill: str = "#eeeeee",
    ) -> None:  # fmt: skip
        """A step that computes something: a box with its name."""
        self._box(at, width, height, INK, style="square,pad=0", fill=fill)
        self.text(at, text, size)

    def plus(self, at: Point) -> None:
        """A sum: a circle with a plus sign."""
        self.ax.add_patch(Circle(at, 0.28, edgecolor=INK, facecolor="white", linewidth=1.2))
        self.text(at, "+", weight="bold")

    def vector(
        self, at: Point, values: Sequence[float], color: str = STATE, shape: str = "{:.1f}"
    ) -> None:
        """Numbers in a row of squares, darker where they are larger in size."""
        largest = max(1e-9, *(abs(float(v)) for v in values))
        left = at[0] - len(values) / 2 * CELL
        for place, value in enumerate(values):
            strength = 0.12 + 0.5 * abs(float(value)) / largest
            self._cell((left + place * CELL, at[1] - CELL / 2), color, strength)
            middle = (left + (place + 0.5) * CELL, at[1])
            self.text(middle, shape.format(float(value)), size=0.26)

    def arrow(self, start: Point, end: Point, color: str = STATE, width: float = 1.2) -> None:
        """An arrow from one point to another; `width` is the line's, in points."""
        arrow = FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=9, color=color, linewidth=width,
            shrinkA=0, shrinkB=0,
        )  # fmt: skip
        self.ax.add_patch(arrow)

    def path(self, points: Sequence[Point], color: str = STATE) -> None:
        """An arrow with corners."""
        *begin, last, end = points
        self.ax.plot(*zip(*begin, last, strict=True), color=color, linewidth=1.6)
        self.arrow(last, end, color, 1.6)

    def bar(self, at: Point, length: float, color: str = STATE) -> None:
        """A bar that begins at a point, for a share."""
        self.ax.add_patch(Rectangle((at[0], at[1] - 0.16), length, 0.32, color=color, alpha=0.6))

    def picture(self, alt: str) -> Picture:
        """The drawing with its description. It is shown as SVG, which stays sharp at any size."""
        return Picture(self.figure, alt, vector=self.figure)

    def _box(
        self, at: Point, width: float, height: float, color: str, style: str, fill: str = "white"
    ) -> None:
        corner = (at[0] - width / 2, at[1] - height / 2)
        patch = FancyBboxPatch(
            corner, width, height, boxstyle=style, edgecolor=color, facecolor=fill, linewidth=1.2
        )
        self.ax.add_patch(patch)

    def _cell(self, corner: Point, color: str, strength: float) -> None:
        mixed = [1 - strength * (1 - part) for part in to_rgb(color)]  # on white
        square = Rectangle(corner, CELL, CELL, facecolor=mixed, edgecolor=color, linewidth=0.9)
        self.ax.add_patch(square)


CELL = 0.72
"""Units: the side of a square in a vector."""
