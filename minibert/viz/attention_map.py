"""Attention as a static picture, and as a page that needs nothing but itself."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

LONGEST_SIDE = 6000  # pixels
COLOURS = "Blues"
"""One hue from white to dark: reads the same with any colour vision, and in grey."""


def attention_map(attentions: Sequence[Tensor], tokens: Sequence[str]) -> Figure:
    """A grid of all heads, layers downwards, each head a (T, T) map: row looks at column.

    `attentions` is one (1, H, T, T) tensor a layer, as models give it with
    `output_attentions=True`. Layers and heads are counted from 0. Raises `ValueError` where
    tokens and attention do not belong together.
    """
    weights = _checked(attentions, tokens)  # (L, H, T, T)
    layers, heads, length, _ = weights.shape
    side = max(2.4, 0.24 * length)
    figure = Figure(figsize=(side * heads + 1.2, side * layers + 0.8), layout="constrained")
    axes = figure.subplots(layers, heads, squeeze=False)
    labels = [_printable(token) for token in tokens]
    strongest = weights.max()  # one scale for all heads
    for layer in range(layers):
        for head in range(heads):
            ax = axes[layer, head]
            image = ax.imshow(weights[layer, head], cmap=COLOURS, vmin=0, vmax=strongest)
            ax.set_title(f"layer {layer}, head {head}", fontsize=9)
            ax.set_xticks(range(length), labels if layer == layers - 1 else [], rotation=90)
            ax.set_yticks(range(length), labels if head == 0 else [])
            ax.tick_params(labelsize=7, length=0)
    figure.colorbar(image, ax=axes, label="share of the row's attention", shrink=0.6)
    return figure


def attention_png(attentions: Sequence[Tensor], tokens: Sequence[str]) -> bytes:
    """The picture as a PNG. A large one has fewer dots to the inch, or it would fill the memory."""
    figure = attention_map(attentions, tokens)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=min(150, LONGEST_SIDE / max(figure.get_size_inches())))
    return buffer.getvalue()


def describe_attention(attentions: Sequence[Tensor], tokens: Sequence[str], top_k: int = 3) -> str:
    """The picture in words: its shape, and the strongest links between two different words.

    Links from or to `[CLS]` and `[SEP]` are left out: many heads rest there when they have nothing
    to say (Clark et al., 2019, 3.2).
    """
    weights = _checked(attentions, tokens).copy()
    layers, heads, length, _ = weights.shape
    special = np.array([token in ("[CLS]", "[SEP]") for token in tokens])
    weights[:, :, special, :] = 0
    weights[:, :, :, special] = 0
    weights[:, :, np.arange(length), np.arange(length)] = 0
    links = []
    for flat in np.argsort(weights, axis=None)[::-1][:top_k]:
        layer, head, row, column = np.unravel_index(flat, weights.shape)
        share = weights[layer, head, row, column]
        if share == 0:
            break
        links.append(
            f"'{tokens[row]}' looks at '{tokens[column]}' with {share:.0%} in layer {layer}, "
            f"head {head}"
        )
    return (
        f"Attention maps of {layers} layers with {heads} heads over {length} tokens; a row looks "
        f"at columns. Strongest links: {'; '.join(links) or 'none between two words'}."
    )


def attention_page(picture: bytes, words: str, title: str) -> str:
    """A PNG and its description as an HTML page that asks for nothing from elsewhere.

    Whatever stands in the words and the title stays text.
    """
    data = base64.b64encode(picture).decode("ascii")
    words = html.escape(words)
    name = html.escape(title)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem;
        padding: 0 1rem; color: #111; background: #fff; }}
img {{ max-width: 100%; height: auto; }}
</style>
</head>
<body>
<h1>{name}</h1>
<p>Each square is one head. A row is a token that looks, a column one that is looked at; the darker,
the more. Every row adds up to 1.</p>
<img src="data:image/png;base64,{data}" alt="{words}">
<p>{words}</p>
</body>
</html>
"""


def _checked(attentions: Sequence[Tensor], tokens: Sequence[str]) -> np.ndarray:
    if len(attentions) == 0:
        raise ValueError("there is no attention to show: call the model with output_attentions")
    batch, _, length, _ = attentions[0].shape
    if batch != 1:
        raise ValueError(f"the attention is of {batch} sequences: choose one, attention[:1]")
    if length != len(tokens):
        raise ValueError(f"there are {len(tokens)} tokens for attention over {length}")
    return np.stack([layer[0].detach().float().cpu().numpy() for layer in attentions])


def _printable(token: str) -> str:
    """A token that matplotlib takes as it stands: `$` would begin a formula."""
    return token.replace("$", r"\$")
