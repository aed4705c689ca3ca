"""Chapter 4: the feed-forward, the block, two places for LayerNorm, and the stack."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from minibert.viz.drawings.canvas import INK, Canvas
from minibert.viz.style import Picture

MIXES, ALONE, NORM = "#cccccc", "white", "#f0f0f0"
"""Fills: attention, in which tokens exchange something; the feed-forward; LayerNorm."""


def numbers(values: Tensor) -> str:
    """A vector in words: (1, 0, -1)."""
    return "(" + ", ".join(f"{float(v):g}" for v in values) + ")"


def draw_feed_forward(
    tokens: Sequence[str], x: Tensor, wide: Tensor, active: Tensor, out: Tensor
) -> Picture:
    """Each token alone: D numbers, F numbers, F numbers after the activation, D numbers.

    `x` and `out` are (T, D), `wide` and `active` (T, F), with D up to 2, F and T up to 4.
    """
    row, column = 1.2, (1.0, 3.4, 7.1, 11.0, 14.2)
    canvas = Canvas(15.3, 1.5 + row * len(tokens))
    titles = (f"x: D = {x.shape[1]}", f"wide: F = {wide.shape[1]}", "after ReLU", "out")
    for at, title in zip(column[1:], titles, strict=True):
        canvas.text((at, 0.5), title, weight="bold")
    for number, token in enumerate(tokens):
        y = 1.5 + row * number
        canvas.token((column[0], y), token)
        for at, rows in zip(column[1:], (x, wide, active, out), strict=True):
            canvas.vector((at, y), rows[number].tolist(), shape="{:g}")
        for start, end in ((4.2, 5.6), (8.6, 9.5), (12.5, 13.4)):
            canvas.arrow((start, y), (end, y))
    said = "; ".join(
        f"“{token}” {numbers(x[n])} becomes {numbers(wide[n])}, then {numbers(active[n])}, and "
        f"leaves as {numbers(out[n])}"
        for n, token in enumerate(tokens)
    )
    return canvas.picture(
        f"The feed-forward works on each token alone, and no arrow leads from one token to "
        f"another. {said}."
    )


def draw_block(tokens: Sequence[str]) -> Picture:
    """One block of BERT from left to right, with a lane for each token (three are enough)."""
    lane, top = 1.3, 2.6
    lanes = [top + lane * number for number in range(len(tokens))]
    canvas = Canvas(15.6, lanes[-1] + 1.3)
    middle = (lanes[0] + lanes[-1]) / 2
    for y, token in zip(lanes, tokens, strict=True):
        canvas.arrow((1.9, y), (15.4, y))
        canvas.token((1.05, y), token)
        canvas.plus((5.3, y))
        canvas.step((6.95, y), "LayerNorm", 2.1, 0.75, fill=NORM)
        canvas.step((9.75, y), "feed-forward", 2.5, 0.75, fill=ALONE)
        canvas.plus((11.65, y))
        canvas.step((13.3, y), "LayerNorm", 2.1, 0.75, fill=NORM)
    canvas.step((3.7, middle), "attention", 2.0, lanes[-1] - lanes[0] + 0.75, fill=MIXES)
    for start, end in ((2.3, 5.3), (8.25, 11.65)):
        canvas.path([(start, top), (start, 1.2), (end, 1.2), (end, top - 0.28)], INK)
        canvas.text(((start + end) / 2, 0.8), "residual", weight="bold")
    canvas.text((3.7, lanes[-1] + 0.9), "mixes the tokens")
    canvas.text((10.2, lanes[-1] + 0.9), "each token alone")
    return canvas.picture(
        f"One block of BERT, from left to right, for the tokens {', '.join(tokens)}: attention, a "
        "sum, LayerNorm, feed-forward, a sum, LayerNorm. Attention is one box across all tokens; "
        "all other steps have a box for each token. A line called residual carries what goes into "
        "attention past it to the first sum. A second line carries the first LayerNorm's output "
        "past the feed-forward to the second sum."
    )


def draw_orders() -> Picture:
    """A block with LayerNorm after the sum (BERT) and before each part (pre-LN)."""
    canvas = Canvas(15.6, 5.6)
    canvas.text((0.3, 0.4), "post-LN: BERT", ha="left")
    _order(canvas, 1.9, ("attention", "+", "LayerNorm", "feed-forward", "+", "LayerNorm"))
    canvas.text((0.3, 3.2), "pre-LN: GPT-2 and many later models", ha="left")
    _order(canvas, 4.7, ("LayerNorm", "attention", "+", "LayerNorm", "feed-forward", "+"))
    return canvas.picture(
        "Two blocks. Post-LN: attention, sum, LayerNorm, feed-forward, sum, LayerNorm, and both "
        "LayerNorms are on the main line, so every path passes through them. Pre-LN: LayerNorm, "
        "attention, sum, LayerNorm, feed-forward, sum. There the residual lines lead past both "
        "LayerNorms, and x reaches the end through sums alone."
    )


def _order(canvas: Canvas, y: float, steps: Sequence[str]) -> None:
    """One line of `draw_orders`. A residual line starts at x, or after the last sum."""
    canvas.text((0.4, y), "x")
    canvas.arrow((0.7, y), (15.3, y))
    at, start = 1.2, 1.0
    for place, name in enumerate(steps):
        if name != "+":
            fill = {"LayerNorm": NORM, "attention": MIXES}.get(name, ALONE)
            canvas.step((at + 1.25, y), name, 2.45, 0.8, fill=fill)
            at += 2.65
            continue
        canvas.path([(start, y), (start, y - 0.95), (at + 0.3, y - 0.95), (at + 0.3, y - 0.28)],
                    INK)  # fmt: skip
        canvas.plus((at + 0.3, y))
        after_norm = place + 1 < len(steps) and steps[place + 1] == "LayerNorm"
        at += 0.85
        # Post-LN's second residual starts behind its LayerNorm, pre-LN's right behind the sum.
        start = at + 2.58 if after_norm and steps[0] == "attention" else at - 0.1


def draw_stack(token: str, states: Tensor) -> Picture:
    """The states of one token on its way through the stack: L + 1 rows of a few numbers."""
    number = len(states) - 1
    row = 1.15
    canvas = Canvas(15, 1.4 + 2 * row * number)
    for place, state in enumerate(states):
        y = 0.7 + 2 * row * place
        canvas.vector((7.5, y), [round(float(v), 1) + 0.0 for v in state])
        canvas.text((3.9, y), f"state {place}", weight="bold")
        if place == 0:
            canvas.token((1.5, y), token)
            canvas.text((11.2, y), "the embeddings", ha="left")
        if place < number:
            canvas.arrow((7.5, y + 0.36), (7.5, y + row - 0.4))
            canvas.step((7.5, y + row), f"layer {place}", 4.2, 0.75)
            canvas.arrow((7.5, y + row + 0.4), (7.5, y + 2 * row - 0.4))
    canvas.text((11.2, 0.7 + 2 * row * number), "the last state", ha="left")
    said = "; ".join(
        f"state {place}: " + ", ".join(f"{round(float(v), 1) + 0.0}" for v in state)
        for place, state in enumerate(states)
    )
    return canvas.picture(
        f"A stack of {number} layers. State 0 is the embeddings, layer 0 makes state 1, and so on. "
        f"The first numbers of “{token}”: {said}."
    )
