"""Chapter 2: the three rows of each token of a pair, and their sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from minibert.viz.drawings.canvas import STATE, Canvas
from minibert.viz.style import Picture

COLUMNS, LABELS = 15.0, 2.15
"""Units: the width of the drawing, and of the names of its lines."""
PLAIN, DARKER, DARKEST = "#f4f4f4", "#dddddd", "#bbbbbb"


def draw_embeddings(
    tokens: Sequence[str],
    ids: Tensor,
    segments: Tensor,
    matrices: Mapping[str, Tensor],
    zoom: int,
) -> Picture:
    """Which row each token takes from each matrix, and the numbers of token number `zoom`.

    `ids` and `segments` are (T,). `matrices` are "token" (V, D), "position" and "segment", with D
    up to 4. Each segment is a band of tokens, at most 14.
    """
    numbers = {
        "token": ids.tolist(),
        "position": list(range(len(tokens))),
        "segment": segments.tolist(),
    }
    bands = [
        [place for place, s in enumerate(numbers["segment"]) if s == segment]
        for segment in sorted(set(numbers["segment"]))
    ]
    canvas = Canvas(COLUMNS, 2.75 * len(bands) + 2.1)
    wide = (COLUMNS - LABELS) / max(map(len, bands))
    for number, band in enumerate(bands):
        top = 0.5 + 2.75 * number
        for line, name in enumerate(numbers):
            canvas.text((0.1, top + 0.8 + 0.5 * line), f"{name} row", size=0.28, ha="left")
        for column, place in enumerate(band):
            x = LABELS + (column + 0.5) * wide
            canvas.token((x, top), tokens[place], width=wide - 0.08, size=0.27)
            for line, rows in enumerate(numbers.values()):
                chosen = DARKEST if place == zoom else DARKER if number % 2 else PLAIN
                at = (x, top + 0.8 + 0.5 * line)
                canvas.step(at, f"{rows[place]}", wide - 0.08, 0.44, size=0.28, fill=chosen)
    picked = {name: matrices[name][rows[zoom]] for name, rows in numbers.items()}
    vectors = {f"{name} row {rows[zoom]}": picked[name].tolist() for name, rows in numbers.items()}
    summed = torch.stack(list(picked.values())).sum(0)  # (D,)
    vectors[f"their sum for “{tokens[zoom]}”"] = summed.tolist()
    _draw_sum(canvas, vectors, 2.75 * len(bands) + 0.55)
    taken = "; ".join(
        f"“{token}” {' + '.join(str(n[place]) for n in numbers.values())}"
        for place, token in enumerate(tokens)
    )
    said = ", ".join(
        f"{name} ({', '.join(f'{v:.1f}' for v in values)})" for name, values in vectors.items()
    )
    return canvas.picture(
        f"Each token takes a row of the token matrix, of the position matrix and of the segment "
        f"matrix: {taken}. The numbers of “{tokens[zoom]}”: {said}."
    )


def _draw_sum(canvas: Canvas, vectors: Mapping[str, list[float]], top: float) -> None:
    """Vectors in a row with their names above: the first ones are added, the last is the sum."""
    wide = COLUMNS / len(vectors)
    for number, (name, values) in enumerate(vectors.items()):
        x = (number + 0.5) * wide
        canvas.text((x, top), name, size=0.28, weight="bold")
        canvas.vector((x, top + 0.75), values, STATE)
        if number:
            sign = "=" if number == len(vectors) - 1 else "+"
            canvas.text((x - wide / 2, top + 0.75), sign, size=0.4)
