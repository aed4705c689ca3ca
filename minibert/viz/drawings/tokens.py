"""Chapter 1: a text becomes words, pieces and ids; a pair with its segments; a word cut anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise

from minibert.viz.drawings.canvas import FIRST, INK, NEW, SECOND, Canvas
from minibert.viz.style import Picture

SMALL = 0.27
"""Units: the height of letters that are still readable at 800 pixels."""


def draw_pieces(
    text: str,
    words: Sequence[str],
    pieces: Sequence[Sequence[str]],
    ids: Sequence[Sequence[int]],
) -> Picture:
    """A text above its words, each word above its pieces, each piece above its id.

    `pieces` and `ids` have one list for each word, and up to 12 pieces in all.
    """
    left, right = 1.7, 14.9
    one = (right - left) / sum(map(len, pieces))  # the width of a piece
    canvas = Canvas(15, 5.9)
    for y, name in zip((0.7, 2.2, 3.7, 5.2), ("text", "words", "pieces", "ids"), strict=True):
        canvas.text((0.1, y), name, ha="left", weight="bold")
    canvas.text(((left + right) / 2, 0.7), text, size=0.42)
    x = left
    for word, found, numbers in zip(words, pieces, ids, strict=True):
        middle = x + one * len(found) / 2
        canvas.arrow((middle, 1.15), (middle, 1.8))
        canvas.token((middle, 2.2), word, one * len(found) - 0.12)
        fill = "white" if len(found) == 1 else SECOND
        for piece, number in zip(found, numbers, strict=True):
            x += one
            here = x - one / 2
            canvas.arrow((here, 2.6), (here, 3.3))
            canvas.token((here, 3.7), piece, one - 0.12, fill=fill)
            canvas.arrow((here, 4.1), (here, 4.8))
            canvas.text((here, 5.2), str(number))
    said = ", ".join(
        f"{word} is {' '.join(found)} ({' '.join(map(str, numbers))})"
        for word, found, numbers in zip(words, pieces, ids, strict=True)
    )
    return canvas.picture(f"“{text}” becomes words, pieces and ids: {said}.")


def draw_pair(
    tokens: Sequence[str], ids: Sequence[int], segments: Sequence[int], mask: Sequence[int]
) -> Picture:
    """A pair of sentences as BERT gets it: A above B, each token with its three integers.

    Padding, whose mask is 0, is drawn in grey. A and B have up to 14 tokens each.
    """
    rows = list(zip(tokens, ids, segments, mask, strict=True))
    ends = [*(i for i, (a, b) in enumerate(pairwise(segments), 1) if a < b), len(rows)]
    parts = [rows[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    names = ("token", "input_ids", "token_type_ids", "attention_mask")
    left = 3.0
    one = (14.9 - left) / max(map(len, parts))
    canvas = Canvas(15, 3.5 * len(parts))
    for number, part in enumerate(parts):
        top = 0.65 + 3.5 * number
        for line, name in enumerate(names):
            canvas.text((0.1, top + 0.72 * line), name, SMALL, ha="left", weight="bold")
        for column, (token, *numbers) in enumerate(part):
            here = left + (column + 0.5) * one
            ink = INK if numbers[-1] else "#888888"
            fill = (FIRST, SECOND)[numbers[1]] if numbers[-1] else "white"
            canvas.token((here, top), token, one - 0.08, color=ink, fill=fill, size=SMALL)
            for line, value in enumerate(numbers, 1):
                canvas.text((here, top + 0.72 * line), str(value), SMALL, color=ink)
    said = ". ".join(
        f"Segment {part[0][2]}: " + " ".join(f"{row[0]} {row[1]}" for row in part if row[3])
        for part in parts
    )
    real = sum(mask)
    return canvas.picture(
        f"{len(rows)} tokens with their ids. {said}. The attention mask is 1 for {real} of them."
    )


def draw_cuts(cuts: Mapping[str, Mapping[int, Sequence[str]]]) -> Picture:
    """Words side by side, a line for each vocabulary, each letter in its column.

    `cuts` has for each word its pieces by the number of entries. A piece is coloured where the
    line above, with fewer entries, does not have the same piece.
    """
    sizes = list(next(iter(cuts.values())))
    left, gap = 1.65, 0.4
    one = (14.9 - left + gap - gap * len(cuts)) / sum(map(len, cuts))  # the width of a letter
    canvas = Canvas(15, 1.2 + 0.9 * len(sizes))
    canvas.text((0.1, 0.4), "entries", ha="left", weight="bold")
    for line, size in enumerate(sizes):
        canvas.text((0.1, 1.15 + 0.9 * line), f"{size:,}", ha="left")
    for word, by_size in cuts.items():
        canvas.text((left + len(word) / 2 * one, 0.4), word, weight="bold")
        above: set[tuple[int, int]] | None = None
        for line, size in enumerate(sizes):
            spans = _spans(by_size[size])
            for piece, (start, end) in zip(by_size[size], spans, strict=True):
                at = left + (start + end) / 2 * one, 1.15 + 0.9 * line
                fill = "white" if above is None or (start, end) in above else NEW
                canvas.token(at, piece, (end - start) * one - 0.08, fill=fill, size=SMALL)
            above = set(spans)
        left += len(word) * one + gap
    said = ". ".join(
        f"With {size} entries: "
        + ", ".join(f"{word} is {' '.join(by_size[size])}" for word, by_size in cuts.items())
        for size in sizes
    )
    return canvas.picture(f"The same words cut with vocabularies of different sizes. {said}.")


def _spans(pieces: Sequence[str]) -> list[tuple[int, int]]:
    """Where each piece of a word begins and ends, in letters."""
    return list(pairwise([0, *accumulate(len(piece.removeprefix("##")) for piece in pieces)]))
