"""Chapter 6: from a state to a word, and the two losses of pretraining."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from minibert.viz.drawings.canvas import INK, QUERY, STATE, VALUE, Canvas
from minibert.viz.style import Picture


def draw_mlm_head(
    words: Sequence[str], state: Tensor, hidden: Tensor, token_matrix: Tensor, bias: Tensor
) -> Picture:
    """How the MLM head turns a state into a probability for each word.

    `state` and `hidden` are (D,), before and after dense layer, GELU and LayerNorm. `token_matrix`
    is (V, D) and `bias` (V,), one row for each word, with V up to 6 and D up to 4.
    """
    logits = token_matrix @ hidden + bias  # (V, D) @ (D,) -> (V,)
    shares = logits.softmax(0)  # (V,)
    row, column = 1.2, (1.4, 4.9, 7.6, 9.7, 11.2)
    canvas = Canvas(15, 3.1 + row * len(words))
    canvas.text((1.9, 0.5), "state at [MASK]", weight="bold")
    canvas.vector((1.9, 1.25), state.tolist(), QUERY)
    canvas.arrow((3.2, 1.25), (3.9, 1.25))
    canvas.step((6.3, 1.25), "dense, GELU, LayerNorm", 4.6)
    canvas.arrow((8.7, 1.25), (9.4, 1.25))
    canvas.text((11, 0.5), "h", weight="bold")
    canvas.vector((11, 1.25), hidden.tolist(), QUERY)
    for x, title in ((column[1], "token matrix"), (column[2], "bias"), (column[3], "logit")):
        canvas.text((x, 2.55), title, weight="bold")
    canvas.text((column[4], 2.55), "probability", weight="bold", ha="left")
    for number, word in enumerate(words):
        y = 3.5 + row * number
        share = float(shares[number])
        canvas.token((column[0], y), word)
        canvas.text((column[0] + 1.7, y), "h ·")
        canvas.vector((column[1], y), token_matrix[number].tolist(), STATE)
        canvas.text((column[1] + 1.65, y), "+")
        canvas.text((column[2], y), f"{float(bias[number]):.1f}")
        canvas.text((column[2] + 0.95, y), "=")
        canvas.text((column[3], y), f"{float(logits[number]):.2f}")
        canvas.bar((column[4], y), 2.4 * share, VALUE)
        canvas.text((column[4] + 2.4 * share + 0.15, y), f"{share:.0%}", ha="left")
    said = "; ".join(
        f"“{word}” logit {float(logit):.2f}, probability {float(share):.0%}"
        for word, logit, share in zip(words, logits, shares, strict=True)
    )
    return canvas.picture(
        "The state at [MASK] passes through a dense layer, GELU and LayerNorm. The dot product of "
        "the result h with each row of the token matrix, plus the row's bias, is a logit, and a "
        f"softmax makes probabilities. {said}."
    )


def draw_two_losses(
    tokens: Sequence[str], answers: Sequence[str], mlm_losses: Sequence[float], nsp_loss: float
) -> Picture:
    """Where BERT's two losses come from: the blanks of a sentence pair, and its `[CLS]`.

    `tokens` are those of the pair, with a `[MASK]` for each of the `answers`, whose losses are
    `mlm_losses`. `nsp_loss` is the loss of the pair, in which B follows A.
    """
    cut = list(tokens).index("[SEP]") + 1
    wide = 17 / max(cut, len(tokens) - cut)
    canvas = Canvas(17, 7.6)
    mlm = sum(mlm_losses) / len(mlm_losses)
    heads = {"nsp": (2.6, 3.3), "mlm": (9.8, 3.3)}
    for y, row in ((0.7, tokens[:cut]), (5.6, tokens[cut:])):
        for place, token in enumerate(row):
            x = (place + 0.5) * wide
            color = QUERY if token == "[MASK]" else VALUE if token == "[CLS]" else INK
            canvas.token((x, y), token, wide - 0.1, color)
            if token == "[MASK]":
                edge = heads["mlm"][1] + (0.5 if y > 4 else -0.5)
                canvas.arrow((x, y - 0.4 if y > 4 else y + 0.4), (8.6, edge), QUERY)
    canvas.arrow((0.5 * wide, 1.1), (1.8, heads["nsp"][1] - 0.5), VALUE)
    canvas.step(heads["nsp"], "pooler, 2 scores", 3.6)
    canvas.step(heads["mlm"], "MLM head, V scores", 4.4)
    canvas.text((2.6, 4.15), f"“B follows”: {nsp_loss:.2f}")
    blanks = zip(answers, mlm_losses, strict=True)
    lines = "\n".join(f"“{answer}”: {loss:.2f}" for answer, loss in blanks)
    canvas.text((12.4, 3.3), lines, ha="left", linespacing=1.5)
    total = f"loss = {mlm:.2f} (MLM, the mean) + {nsp_loss:.2f} (NSP) = {mlm + nsp_loss:.2f} nats"
    canvas.text((8.5, 7.0), total, weight="bold")
    said = ", ".join(
        f"“{answer}” {loss:.2f}" for answer, loss in zip(answers, mlm_losses, strict=True)
    )
    return canvas.picture(
        f"The pair {' '.join(tokens)}. The states at its blanks go to the MLM head, with losses of "
        f"{said}. The state of [CLS] goes through the pooler to NSP, with a loss of "
        f"{nsp_loss:.2f}. {total}."
    )
