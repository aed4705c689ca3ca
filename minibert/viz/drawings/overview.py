"""Chapter 0: the way of a text through BERT, and the chapter that builds each part."""

from __future__ import annotations

from minibert.viz.drawings.canvas import Canvas
from minibert.viz.style import Picture

PARTS = (
    ("text", "The bank of the\nriver was muddy.", ""),
    ("tokens", "[CLS] the bank\nof the river …", "chapter 1"),
    ("vectors", "numbers for\neach token", "chapter 2"),
    ("attention", "tokens gather\nfrom each other", "chapter 3"),
    ("encoder", "that, and more,\nlayer after layer", "chapter 4"),
    ("loss", "how wrong are\nits guesses?", "chapters 5, 6"),
)
"""Each part's name, what it is, and where the course builds it."""


def draw_overview() -> Picture:
    """Six boxes in two rows, each with an arrow to the next."""
    canvas = Canvas(15, 6.4)
    for number, (name, what, chapter) in enumerate(PARTS):
        row, column = divmod(number, 3)
        x, y = 2.4 + 5.1 * column, 1.7 + 3.2 * row
        canvas.text((x, y - 1.05), name, 0.4, weight="bold")
        canvas.step((x, y), what, width=3.9, height=1.3, size=0.36)
        canvas.text((x, y + 1.0), chapter, 0.32)
        if column:
            canvas.arrow((x - 3.1, y), (x - 2.0, y))
    canvas.path([(14.55, 1.7), (14.85, 1.7), (14.85, 3.4), (0.15, 3.4), (0.15, 4.9), (0.42, 4.9)])
    said = "; ".join(
        f"{name} ({' '.join(what.split())}{f', {chapter}' if chapter else ''})"
        for name, what, chapter in PARTS
    )
    return canvas.picture(f"Six boxes, with an arrow from each to the next: {said}.")
