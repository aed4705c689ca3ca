"""Chapter 12: a text disappears over t, the weights of its hidden tokens, and one step back."""

from __future__ import annotations

from collections.abc import Sequence

from minibert.tokenizer import MASK
from minibert.viz.drawings.canvas import INK, KEY, NEW, QUERY, STATE, Canvas
from minibert.viz.style import Picture

HIDDEN = "#8c8c8c"
"""Fill of a token that is hidden."""
GAP, LETTER = 0.14, 0.19  # units between two tokens, and for each letter
SHORTEST = 4.4  # letters: the width of a shorter token
LEFT = 2.0  # units for the names of the rows


def draw_noise(tokens: Sequence[str], u: Sequence[float], times: Sequence[float]) -> Picture:
    """A text at several times: a row for each t, in which the tokens whose u is below t are grey.

    At most 12 tokens fit.
    """
    middles, right = _columns(tokens)
    canvas = Canvas(right + 2.5, 1.3 + 1.1 * len(times))
    canvas.text((0.1, 0.6), "u", ha="left", color=STATE)
    canvas.text((right + 0.5, 0.6), "hidden", color=STATE)
    for x, number in zip(middles, u, strict=True):
        canvas.text((x, 0.6), f"{number:.2f}", color=STATE)
    said = []
    for row, t in enumerate(times):
        y = 1.6 + 1.1 * row
        canvas.text((0.1, y), f"t = {t:g}", ha="left", weight="bold")
        hidden = [number < t for number in u]
        for x, token, gone in zip(middles, tokens, hidden, strict=True):
            _box(canvas, (x, y), token, gone)
        canvas.text((right + 0.5, y), f"{sum(hidden)}", color=STATE)
        gone_by = [token for token, gone in zip(tokens, hidden, strict=True) if gone]
        said.append(f"t = {t:g}: {len(gone_by)} hidden{': ' * bool(gone_by)}{' '.join(gone_by)}")
    top, bottom = 1.3, 0.8 + 1.1 * len(times)
    for x, start, end, name, color in (
        (right + 1.3, top, bottom, "noise", KEY),
        (right + 2.05, bottom, top, "the model", QUERY),
    ):
        canvas.arrow((x, start), (x, end), color, 2)
        canvas.text((x + 0.27, (top + bottom) / 2), name, rotation=90)
    return canvas.picture(
        f"A text of {len(tokens)} tokens, each with a number u. A token is hidden when t passes "
        f"its u. {'. '.join(said)}. Noise goes down the rows, and the model goes up."
    )


def draw_weights(numbers: Sequence[int], length: int) -> Picture:
    """How much each text of a batch counts in two losses, by how many of its tokens are hidden.

    The first loss is one mean over all hidden tokens, as in BERT. The second is a mean over texts,
    in which a hidden token counts 1/n.
    """
    everything, texts = sum(numbers), len(numbers)
    left, plain, weighed = 5.6, 6.2, 12.0
    canvas = Canvas(18.2, 1.9 + 1.1 * texts)
    canvas.text((2.8, 0.7), f"texts of {length} tokens,\nhidden ones grey", weight="bold")
    canvas.text((plain, 0.7), "weight of each text,\none mean over all", ha="left", weight="bold")
    canvas.text((weighed, 0.7), "weight of each text,\neach token 1/n", ha="left", weight="bold")
    cell = (left - 0.4) / length
    said = []
    for row, n in enumerate(numbers):
        y = 2.0 + 1.1 * row
        for place in range(length):
            x = 0.2 + (place + 0.5) * cell
            fill = HIDDEN if place < n else "white"
            canvas.step((x, y), "", width=0.85 * cell, height=0.6, fill=fill)
        for at, share, color in ((plain, n / everything, KEY), (weighed, 1 / texts, QUERY)):
            canvas.bar((at, y), 3.0 * share, color)
            canvas.text((at + 3.0 * share + 0.15, y), f"{share:.0%}", ha="left")
        canvas.text((weighed + 3.6, y), f"{n} × 1/{n} × 1/{texts}", ha="left", color=STATE)
        said.append(f"{n} hidden: {n / everything:.0%} and {1 / texts:.0%}")
    return canvas.picture(
        f"{texts} texts of {length} tokens. The weight of each in one mean over all hidden tokens, "
        f"and in a mean over texts. {'. '.join(said)}."
    )


def draw_step_back(
    page: Sequence[str], drawn: Sequence[str], lots: Sequence[float], t: float, s: float
) -> Picture:
    """One step of a sampler, from t to s: each blank whose lot is low enough takes its draw.

    `page` has a `[MASK]` for each blank, `drawn` a token for each place, of which only the blanks'
    are shown. At most 12 tokens fit.
    """
    limit = (t - s) / t
    blank = [token == MASK for token in page]
    shown = [new if gone else old for old, new, gone in zip(page, drawn, blank, strict=True)]
    appears = [gone and lot < limit for gone, lot in zip(blank, lots, strict=True)]
    middles, right = _columns(shown)
    canvas = Canvas(right + 0.2, 5.9)
    for y, name in ((0.7, f"t = {t:g}"), (2.0, "drawn"), (3.0, "lot"), (4.3, f"s = {s:g}")):
        canvas.text((0.1, y), name, ha="left", weight="bold" if "=" in name else "normal")
    for x, token, gone, new, lot in zip(middles, shown, blank, appears, lots, strict=True):
        _box(canvas, (x, 0.7), token, gone)
        if gone:
            canvas.text((x, 2.0), token, weight="bold" if new else "normal")
            canvas.text((x, 3.0), f"{lot:.2f}", weight="bold" if new else "normal")
        if new:
            canvas.arrow((x, 3.3), (x, 3.9), QUERY, 1.6)
        _box(canvas, (x, 4.3), token, gone and not new, NEW if new else "white")
    rule = f"A blank takes its token if its lot is below (t - s) / t = {limit:.2f}"
    canvas.text(((right + 0.2) / 2, 5.4), rule)
    said = [
        f"“{token}” with lot {lot:.2f} {'is written' if new else 'is not'}"
        for token, lot, gone, new in zip(shown, lots, blank, appears, strict=True)
        if gone
    ]
    return canvas.picture(
        f"A page at t = {t:g} has {sum(blank)} blanks: "
        f"{' '.join('_' if gone else token for token, gone in zip(shown, blank, strict=True))}. "
        f"{rule}. {'. '.join(said)}. So {sum(blank) - sum(appears)} blanks are left at s = {s:g}."
    )


def _columns(tokens: Sequence[str]) -> tuple[list[float], float]:
    """The middle of each token's column, and where the last one ends."""
    middles: list[float] = []
    x = LEFT
    for token in tokens:
        width = _width(token)
        middles.append(x + width / 2)
        x += width + GAP
    return middles, x


def _width(token: str) -> float:
    return LETTER * max(SHORTEST, len(token) + 0.4 * token.count("#")) + GAP


def _box(
    canvas: Canvas, at: tuple[float, float], token: str, hidden: bool, fill: str = "white"
) -> None:
    """A token in its box, or a grey box without it."""
    width = _width(token)
    canvas.token(at, "" if hidden else token, width, INK, HIDDEN if hidden else fill)
