"""Chapter 13: turned arrows, a gate, two masks, and a batch without its padding."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from matplotlib.patches import Circle, Rectangle
from torch import Tensor

from minibert.viz.drawings.canvas import FIRST, INK, KEY, QUERY, SECOND, STATE, Canvas, Point
from minibert.viz.drawings.encoder import numbers
from minibert.viz.style import Picture

SMALL = 0.27
"""Units: the height of letters that are still readable at 800 pixels."""


def draw_turns(
    query: Sequence[float], key: Sequence[float], places: Sequence[tuple[int, int]], speed: float
) -> Picture:
    """A query and a key of two numbers, turned by `speed` radians a position.

    Each pair of `places`, up to three, is a panel: the query's position and the key's.
    """
    wide = 15 / len(places)
    canvas = Canvas(15, 6.2)
    said = []
    for panel, (first, second) in enumerate(places):
        at = ((panel + 0.5) * wide, 2.75)
        canvas.ax.add_patch(Circle(at, 1.75, edgecolor="#cccccc", facecolor="none"))
        arrows = _turned(query, speed * first), _turned(key, speed * second)
        for (x, y), color, name in zip(arrows, (QUERY, KEY), "qk", strict=True):
            length = math.hypot(x, y)
            end = at[0] + 1.75 * x / length, at[1] - 1.75 * y / length  # y points down here
            canvas.arrow(at, end, color, 2.2)
            beyond = at[0] + 2.05 * x / length, at[1] - 2.05 * y / length
            canvas.text(beyond, name, color=color, weight="bold")
        score = sum(a * b for a, b in zip(*arrows, strict=True))
        shown = f"{score + 0.0:.2f}".replace("-", "−")
        distance = f"{second - first:+d}".replace("-", "−")
        canvas.text((at[0], 0.35), f"distance {distance}", weight="bold")
        canvas.text((at[0], 5.15), f"query at {first}, key at {second}")
        canvas.text((at[0], 5.75), f"score {shown}", weight="bold")
        said.append(f"query at {first}, key at {second}: score {shown}")
    return canvas.picture(
        "A query and a key as two arrows in a circle, both turned further with each position. "
        + "; ".join(said)
        + ". Where the distance is the same, the angle between the arrows is the same."
    )


def _turned(arrow: Sequence[float], angle: float) -> Point:
    (a, b), cos, sin = arrow, math.cos(angle), math.sin(angle)
    return a * cos - b * sin, b * cos + a * sin


def draw_gate(token: str, x: Tensor, wide: Tensor, gate: Tensor, out: Tensor) -> Picture:
    """One token through GeGLU. `x` and `out` are (D,), `wide` and `gate` (F,): up to 2 and 3."""
    active = torch.nn.functional.gelu(wide)  # (F,)
    canvas = Canvas(15, 5.4)
    upper, lower, middle = 1.3, 4.1, 2.7
    canvas.token((0.95, middle), token, 1.6)
    canvas.vector((2.65, middle), x.tolist(), shape="{:g}")
    for y, name, values in ((upper, "W₁", wide), (lower, "W₂", gate)):
        canvas.arrow((3.45, middle), (4.2, y))
        canvas.step((4.6, y), name, 0.8, 0.75)
        canvas.arrow((5.0, y), (5.4, y))
        canvas.vector((6.55, y), values.tolist(), shape="{:g}")
    canvas.text((6.55, upper - 0.75), "wide")
    canvas.text((6.55, lower + 0.75), "gate")
    canvas.arrow((7.7, upper), (8.0, upper))
    canvas.step((8.65, upper), "GELU", 1.3, 0.75)
    canvas.arrow((8.65, upper + 0.4), (8.65, middle - 0.3))
    canvas.path([(7.7, lower), (8.65, lower), (8.65, middle + 0.3)])
    canvas.ax.add_patch(Circle((8.65, middle), 0.28, edgecolor=INK, facecolor="white"))
    canvas.text((8.65, middle), "×", weight="bold")
    canvas.arrow((8.93, middle), (9.45, middle))
    canvas.vector((10.6, middle), (active * gate).tolist(), shape="{:.2f}")
    canvas.arrow((11.72, middle), (12.05, middle))
    canvas.step((12.45, middle), "W₃", 0.8, 0.75)
    canvas.arrow((12.85, middle), (13.2, middle))
    canvas.vector((14.0, middle), out.tolist(), shape="{:.2f}")
    product = ", ".join(f"{float(v) + 0.0:.2f}" for v in active * gate)
    ends = ", ".join(f"{float(v) + 0.0:.2f}" for v in out)
    return canvas.picture(
        f"GeGLU for “{token}” {numbers(x)}. One matrix makes the wide vector {numbers(wide)}, "
        f"which goes through GELU. A second matrix makes the gate {numbers(gate)}. Their product, "
        f"number by number, is ({product}). A third matrix makes it ({ends})."
    )


def draw_masks(tokens: Sequence[str], masks: dict[str, Tensor], looks: int) -> Picture:
    """Which keys each query sees, (T, T) bool, in up to two named masks; one row in blue."""
    length, wide = len(tokens), 15 / len(masks)
    cell = min(0.52, (wide - 2.1) / length)
    canvas = Canvas(15, 2.5 + cell * length)
    for panel, (name, mask) in enumerate(masks.items()):
        left, top = panel * wide + 1.7, 2.2
        canvas.text((left + cell * length / 2, 0.35), name, weight="bold")
        for row, token in enumerate(tokens):
            ink = QUERY if row == looks else INK
            y = top + (row + 0.5) * cell
            canvas.text((left - 0.12, y), token, SMALL, ha="right", color=ink)
            x = left + (row + 0.5) * cell
            canvas.text((x, top - 0.1), token, SMALL, va="bottom", rotation=90)
            for column in range(length):
                corner = left + column * cell, top + row * cell
                fill = (ink if row == looks else STATE) if mask[row, column] else "white"
                _square(canvas, corner, cell, fill)
    said = ". ".join(
        f"{name}: “{tokens[looks]}” sees "
        + " ".join(token for token, seen in zip(tokens, mask[looks], strict=True) if seen)
        for name, mask in masks.items()
    )
    return canvas.picture(
        f"Two squares of {length} by {length} cells, a row for each query and a column for each "
        f"key, filled where the query sees the key. {said}."
    )


def _square(canvas: Canvas, corner: Point, cell: float, fill: str) -> None:
    canvas.ax.add_patch(
        Rectangle(corner, cell, cell, facecolor=fill, edgecolor="#bbbbbb", linewidth=0.6, alpha=0.8)
    )


def draw_unpadding(texts: Sequence[Sequence[str]]) -> Picture:
    """Two texts as a batch with padding, then as one row with its positions and its mask.

    The texts have up to 16 tokens together.
    """
    row = [token for text in texts for token in text]
    places = [place for text in texts for place in range(len(text))]
    number = [index for index, text in enumerate(texts) for _ in text]
    longest, one = max(map(len, texts)), 14.8 / len(row)
    cell = 0.3
    canvas = Canvas(15, 6.1 + cell * len(row))
    canvas.text((0.1, 0.35), "padded", ha="left", weight="bold")
    for index, text in enumerate(texts):
        for place in range(longest):
            real = place < len(text)
            at = 0.1 + (place + 0.5) * one, 1.05 + 0.8 * index
            fill = (FIRST, SECOND)[index % 2] if real else "white"
            shown = text[place] if real else "[PAD]"
            canvas.token(at, shown, one - 0.06, INK if real else "#888888", fill, SMALL)
    middle = 0.1 + longest * one / 2
    canvas.arrow((middle, 2.3), (middle, 2.9))
    canvas.text((0.1, 3.1), "one row", ha="left", weight="bold")
    for x, (token, place, index) in enumerate(zip(row, places, number, strict=True)):
        middle = 0.1 + (x + 0.5) * one
        canvas.token((middle, 3.8), token, one - 0.06, fill=(FIRST, SECOND)[index % 2], size=SMALL)
        canvas.text((middle, 4.5), str(place), SMALL)
    canvas.text((0.1, 5.1), "positions start again at 0 with each text", SMALL, ha="left")
    left, top = 7.5 - cell * len(row) / 2, 5.6
    canvas.text((left - 0.3, top + cell * len(row) / 2), "the mask: who sees whom", ha="right")
    for i, mine in enumerate(number):
        for j, theirs in enumerate(number):
            fill = STATE if mine == theirs else "white"
            _square(canvas, (left + j * cell, top + i * cell), cell, fill)
    said = ". ".join(
        f"Text {index}: {' '.join(text)}, at positions 0 to {len(text) - 1}"
        for index, text in enumerate(texts)
    )
    padding = longest * len(texts) - len(row)
    return canvas.picture(
        f"A batch of {len(texts)} rows with {padding} [PAD] becomes one row of {len(row)} tokens. "
        f"{said}. In the mask of {len(row)} by {len(row)}, each text sees itself alone."
    )
