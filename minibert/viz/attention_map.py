"""Attention as a static picture: one head, the heads of a layer, or all."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import PercentFormatter
from torch import Tensor

from minibert.viz.attention_data import AttentionData, as_attention
from minibert.viz.document import Document
from minibert.viz.labels import find_fonts, label
from minibert.viz.style import PALETTE, SEQUENTIAL, Picture

SPECIAL = ("[CLS]", "[SEP]")
LINKS = 3
"""How many the description puts into words."""
# Sizes in inches.
WIDTH, WIDEST = 9.0, 14.0
"""Of the maps together: as a page shows them well, and at most, to give labels room."""
SMALLEST_MAP, LARGEST_MAP, MAP_ALONE = 1.1, 2.4, 7.0
GAP, TITLE = 0.12, 0.3
LINE = 0.105
"""A label, 7 points high, needs so much."""
NUMBER = 0.42
"""A cell with its weight as a number needs so much, ..."""
MOST_NUMBERS = 20
"""... and a text of more tokens has no numbers."""
HEADS_IN_A_ROW = 4
"""Of a single layer."""


def attention_map(
    attention: AttentionData | Sequence[Tensor],
    tokens: Sequence[str] | None = None,
    sentence_b_start: int | None = None,
    layer: int | None = None,
    head: int | None = None,
) -> Picture:
    """What each token looks at: a (T, T) map for each head, in which rows look at columns.

    With `layer` and `head` it is one map, with the weights as numbers if the text is short; with
    one of them, the heads of that layer or that head in every layer; with neither, all, layers
    downwards. A colour means the same weight in all pictures of one attention. Lines part sentence
    A from sentence B. Labels that would be too small to read are left out.

    `attention` is an `AttentionData`, or one (1, H, T, T) for each layer with `tokens`, T strings.
    Raises `ValueError` for what is no attention over these tokens, and for a layer or head that the
    model does not have.
    """
    data = as_attention(attention, tokens, sentence_b_start)
    words = describe_attention(data, layer=layer, head=head)
    layers, heads = data.choose("layer", layer), data.choose("head", head)
    maps = [(i, h) for i in layers for h in heads]
    columns = len(heads) if len(layers) > 1 and len(heads) > 1 else min(len(maps), HEADS_IN_A_ROW)
    _, labelled = _side(columns, data.num_tokens)
    if not labelled and len(maps) > 1:
        words += (
            f" {data.num_tokens} tokens are too many to be named here: layer={maps[0][0]}, "
            f"head={maps[0][1]} draws one head alone, larger."
        )
    fonts, missing = find_fonts("".join(data.tokens))
    labels = [label(token) for token in data.tokens]
    spelled = [label(token, missing) for token in data.tokens]
    room = _longest(spelled, fonts, size=9 if len(maps) == 1 else 7) if labelled else 0.3
    figure = _draw(data, maps, columns, spelled, room, fonts)
    vector = _draw(data, maps, columns, labels, room, fonts) if spelled != labels else figure
    return Picture(figure, words, vector=vector)


def map_page(
    data: AttentionData, text: str, layer: int | None = None, head: int | None = None
) -> Document:
    """The attention map over `text` as a page that explains it."""
    picture = attention_map(data, layer=layer, head=head)
    title = f"Attention: {text}"
    body = f"""<h1>{escape(title)}</h1>
<p>Each square is one head. A row is a token that looks, a column a token that it looks at. The
darker the cell, the more it looks there. Every row adds up to 1.</p>
{picture._repr_html_()}
<p>{escape(picture.alt)}</p>"""
    style = "body { margin: 2rem auto; max-width: 70rem; padding: 0 1rem } img { max-width: 100% }"
    return Document(title, body, picture, style)


def describe_attention(
    attention: AttentionData | Sequence[Tensor],
    tokens: Sequence[str] | None = None,
    sentence_b_start: int | None = None,
    layer: int | None = None,
    head: int | None = None,
) -> str:
    """The picture in words: what it shows, and the strongest links between two words.

    Takes what `attention_map` takes. Links from or to `[CLS]` and `[SEP]` are left out: many heads
    rest there when they have nothing to say (Clark et al., 2019, 3.2).
    """
    data = as_attention(attention, tokens, sentence_b_start)
    layers, heads = data.choose("layer", layer), data.choose("head", head)
    weights = np.stack([data.attentions[i][0, heads].numpy() for i in layers])  # (L, H, T, T)
    special = np.array([token in SPECIAL for token in data.tokens])
    weights[:, :, special, :] = 0
    weights[:, :, :, special] = 0
    weights[:, :, np.arange(data.num_tokens), np.arange(data.num_tokens)] = 0
    percent = np.rint(100 * weights).astype(np.int8)
    links = []
    # In whole per cent and then by place, so that the order does not hang on a rounding error.
    for flat in np.argsort(-percent, axis=None, kind="stable")[:LINKS]:
        i, h, row, column = np.unravel_index(flat, percent.shape)
        if percent[i, h, row, column] > 0:
            links.append(
                f"{_quoted(data.tokens, row)} looks at {_quoted(data.tokens, column)} with "
                f"{percent[i, h, row, column]}% in layer {layers[i]}, head {heads[h]}"
            )
    several = "s" * (len(layers) * len(heads) > 1)
    start = data.sentence_b_start
    pair = "" if start is None else f" Sentence B begins with {_quoted(data.tokens, start)}."
    return (
        f"Attention map{several} of {_named('layer', layers)}, {_named('head', heads)}, over "
        f"{data.num_tokens} tokens; a row looks at columns.{pair} "
        f"Strongest links: {'; '.join(links) or 'none between two words'}."
    )


def _named(what: str, chosen: list[int]) -> str:
    if len(chosen) == 1:
        return f"{what} {chosen[0]}"
    return f"{what}s {chosen[0]} to {chosen[-1]}"


def _quoted(tokens: Sequence[str], place: int) -> str:
    """A token, with its position if the token occurs more than once."""
    which = f" (token {place})" if tokens.count(tokens[place]) > 1 else ""
    return f"'{tokens[place]}'{which}"


def _side(columns: int, length: int) -> tuple[float, bool]:
    """The side of a map, and whether there is room beside it for `length` labels."""
    if columns == 1 and length <= MOST_NUMBERS:
        return max(LARGEST_MAP, NUMBER * length), True
    side = MAP_ALONE if columns == 1 else min(LARGEST_MAP, max(SMALLEST_MAP, WIDTH / columns))
    needed = LINE * length
    return (max(side, needed), True) if columns * needed <= WIDEST else (side, False)


def _longest(labels: Sequence[str], fonts: list[str], size: float) -> float:
    """In inches."""
    figure = Figure()
    texts = [figure.text(0, 0, text, size=size, family=fonts, parse_math=False) for text in labels]
    return max(text.get_window_extent().width for text in texts) / figure.dpi


def _draw(
    data: AttentionData,
    maps: Sequence[tuple[int, int]],
    columns: int,
    labels: Sequence[str],
    room: float,
    fonts: list[str],
) -> Figure:
    """`room` is what the longest label takes, in inches; (layer, head) is a map."""
    alone = len(maps) == 1
    side, labelled = _side(columns, data.num_tokens)
    rows = ceil(len(maps) / columns)
    across, down = columns * (side + GAP) - GAP, rows * (side + TITLE) - TITLE
    left = below = room + 0.35
    width, height = left + across + 0.95, below + down + TITLE
    # Placed by hand: what matplotlib does by itself takes half a minute for 144 maps.
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(
        rows,
        columns,
        squeeze=False,
        gridspec_kw={
            **{"left": left / width, "right": (left + across) / width},
            **{"bottom": below / height, "top": (below + down) / height},
            **{"wspace": GAP / side, "hspace": TITLE / side},
        },
    ).flatten()
    strongest = max(float(layer.max()) for layer in data.attentions)  # one scale, of all heads
    with_numbers = alone and data.num_tokens <= MOST_NUMBERS
    for place, (ax, (layer, head)) in enumerate(zip(axes, maps, strict=False)):
        weights = data.attentions[layer][0, head].numpy()  # (T, T)
        image = ax.imshow(weights, cmap=SEQUENTIAL, vmin=0, vmax=strongest)
        if labelled:
            image.set_interpolation("none")  # sharp cells in an SVG; many small ones are blended
        ax.set_title(f"layer {layer}, head {head}", size=10 if alone else 8)
        ax.spines[:].set_color("#aaaaaa")
        ax.tick_params(length=0, labelsize=9 if with_numbers else 7)
        if labelled or not alone:  # one head with too many tokens has their places instead
            shown = range(data.num_tokens) if labelled else ()
            text = {"family": fonts, "parse_math": False}  # `$` would begin a formula
            upright = {"rotation": 90, "rotation_mode": "anchor", "ha": "right", "va": "center"}
            below_all, first = place + columns >= len(maps), place % columns == 0
            ax.set_xticks(shown, labels if labelled else (), **text, **upright)
            ax.set_yticks(shown, labels if labelled else (), **text)
            ax.tick_params(labelbottom=below_all, labelleft=first)
        if with_numbers:
            _write_weights(ax, weights, strongest)
        if data.sentence_b_start is not None:
            for line in (ax.axhline, ax.axvline):
                line(data.sentence_b_start - 0.5, color=PALETTE[1], linewidth=1)
    for ax in axes[len(maps) :]:
        ax.set_axis_off()
    part = "" if data.sentence_b_start is None else " (B after the line)"
    x, y = (left + across / 2) / width, (below + down / 2) / height
    figure.supxlabel(f"token that is looked at{part}", size=9, x=x, y=0.08 / height)
    figure.supylabel(f"token that looks{part}", size=9, x=0.08 / width, y=y)
    at, low = (width - 0.75) / width, (below + down / 10) / height
    beside = (at, low, 0.15 / width, 0.8 * down / height)
    _add_scale(figure, image, beside)
    return figure


def _add_scale(figure: Figure, image: AxesImage, place: tuple[float, float, float, float]) -> None:
    """What the colours mean, at (left, bottom, width, height) of the figure."""
    bar = figure.colorbar(image, cax=figure.add_axes(place), format=PercentFormatter(1))
    bar.set_label("share of the row's attention", size=9)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)


def _write_weights(ax: Axes, weights: np.ndarray, strongest: float) -> None:
    """Each weight in its cell, in per cent."""
    for row, column in np.ndindex(weights.shape):
        share = weights[row, column]
        colour = "white" if share > 0.7 * strongest else "black"
        ax.text(column, row, f"{share:.0%}"[:-1], ha="center", va="center", color=colour, size=8)
