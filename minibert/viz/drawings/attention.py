"""Chapter 3: one query through attention, and heads side by side."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from minibert.viz.drawings.canvas import KEY, QUERY, STATE, VALUE, Canvas
from minibert.viz.style import Picture


def draw_one_query(
    tokens: Sequence[str], looks: int, query: Tensor, key: Tensor, value: Tensor
) -> Picture:
    """How token number `looks` takes from all: query, keys, scores, weights, values, context.

    `query`, `key` and `value` are (T, K), one row for each token, with T up to 5 and K up to 4.
    """
    scores = key @ query[looks] / key.shape[-1] ** 0.5  # (T, K) @ (K,) -> (T,)
    weights = scores.softmax(0)  # (T,)
    context = weights @ value  # (K,)
    row, column = 1.25, (1.3, 4.3, 7.5, 9.5, 12.4)
    canvas = Canvas(15, 2.9 + row * (len(tokens) + 1))
    for x, title, color in zip(
        column, ("", "keys", "score", "weight", "values"), (STATE, KEY, STATE, STATE, VALUE),
        strict=True,
    ):  # fmt: skip
        canvas.text((x, 1.9), title, color=color, weight="bold")
    canvas.token((column[0], 0.8), tokens[looks], color=QUERY)
    canvas.text((column[0] + 1.55, 0.8), "asks:", color=QUERY)
    canvas.vector((column[1], 0.8), query[looks].tolist(), QUERY)
    canvas.text((column[1] + 1.1, 0.8), "its query", color=QUERY, ha="left")
    for number, token in enumerate(tokens):
        y = 2.8 + row * number
        weight = float(weights[number])
        canvas.token((column[0], y), token)
        canvas.vector((column[1], y), key[number].tolist(), KEY)
        canvas.text((column[2], y), f"{float(scores[number]):.2f}")
        canvas.arrow((column[2] + 0.6, y), (column[3] - 0.75, y))
        canvas.text((column[3], y), f"{weight:.0%}", weight="bold")
        canvas.arrow((column[3] + 0.7, y), (column[4] - 1.6, y), VALUE, 0.6 + 5 * weight)
        canvas.vector((column[4], y), value[number].tolist(), VALUE)
    y = 2.8 + row * len(tokens)
    canvas.text((column[3] - 0.2, y), "sum of weight × value = context", ha="right")
    canvas.arrow((column[3] + 0.1, y), (column[4] - 1.6, y), VALUE)
    canvas.vector((column[4], y), context.tolist(), VALUE, "{:.2f}")
    said = "; ".join(
        f"“{token}” score {float(s):.2f}, weight {float(w):.0%}"
        for token, s, w in zip(tokens, scores, weights, strict=True)
    )
    return canvas.picture(
        f"The query of “{tokens[looks]}” and the key of each token give a score. A softmax turns "
        f"scores into weights, and the weighted values add up to the context. {said}. The context "
        f"is ({', '.join(f'{float(c):.2f}' for c in context)})."
    )


def draw_heads(tokens: Sequence[str], weights: Tensor, hidden_size: int) -> Picture:
    """One token in H heads: D numbers are cut into H runs, each head looks, runs are joined again.

    `weights` is (H, T): what the token takes from each token in each head. H is up to 4.
    """
    num_heads, length = weights.shape
    size = hidden_size // num_heads
    wide = 15 / num_heads
    canvas = Canvas(15, 9.2)
    canvas.text((7.5, 0.4), f"one vector of D = {hidden_size} numbers, projected and cut into "
                f"H = {num_heads} runs of K = {size}")  # fmt: skip
    for head in range(num_heads):
        middle = (head + 0.5) * wide
        canvas.vector((middle, 1.25), [1.0] * size, QUERY, " ")
        canvas.arrow((middle, 1.7), (middle, 2.5))
        canvas.text((middle, 2.85), f"head {head}", weight="bold")
        for number, token in enumerate(tokens):
            y = 3.5 + 2.4 * number / max(1, length - 1)
            weight = float(weights[head, number])
            canvas.text((middle - 0.15, y), token, ha="right")
            canvas.bar((middle + 0.05, y), 1.5 * weight, VALUE)
            canvas.text((middle + 0.15 + 1.5 * weight, y), f"{weight:.0%}", size=0.27, ha="left")
        canvas.arrow((middle, 6.3), (middle, 7.0))
        canvas.vector((middle, 7.5), [1.0] * size, VALUE, " ")
        canvas.arrow((middle, 7.95), (7.5 + (middle - 7.5) * 0.35, 8.4))
    canvas.step((7.5, 8.8), "side by side again: D numbers, then the output matrix", 11, 0.7)
    said = ". ".join(
        f"Head {head} gives " + ", ".join(
            f"{float(w):.0%} to “{token}”" for token, w in zip(tokens, weights[head], strict=True)
        )
        for head in range(num_heads)
    )  # fmt: skip
    return canvas.picture(
        f"A vector of {hidden_size} numbers becomes {num_heads} queries of {size}. Each head makes "
        f"weights of its own. {said}. What the heads took is put side by side again."
    )
