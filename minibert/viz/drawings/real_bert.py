"""Chapter 11: what is where in a safetensors file, and how states become a sentence vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from minibert.viz.drawings.canvas import FIRST, KEY, QUERY, SECOND, VALUE, Canvas
from minibert.viz.style import Picture


def draw_safetensors(length: int, entries: Mapping[str, Mapping[str, Any]], total: int) -> Picture:
    """A file of `total` bytes whose header takes `length`, and where its first tensors are.

    `entries` are the header's first, up to three: name -> dtype, shape, data_offsets.
    """
    rest, row, wide = total - 8 - length, 1.15, 1.6
    canvas = Canvas(15, 2.6 + row * len(entries))
    for x, width, inside, above, fill in (
        (1.1, 1.8, f"{length:,}", "8 bytes", FIRST),
        (4.0, 4.0, "header (JSON)", f"{length:,} bytes", SECOND),
        (10.4, 8.8, "", f"{rest:,} bytes of numbers", "white"),
    ):
        canvas.text((x, 0.4), above, size=0.3)
        canvas.step((x, 1.2), inside, width, 0.9, size=0.3, fill=fill)
    said = []
    for place, (name, entry) in enumerate(entries.items()):
        color = (QUERY, KEY, VALUE)[place]
        x, y = 6.0 + (place + 0.5) * wide, 2.5 + row * place
        begin, end = entry["data_offsets"]
        shape = " × ".join(map(str, entry["shape"]))
        what = f"{entry['dtype']}, {shape}, bytes {begin:,} to {end:,}"
        canvas.step((x, 1.2), f"tensor {place}", wide, 0.9, size=0.28, fill="white")
        canvas.text((0.2, y), name, size=0.28, ha="left", weight="bold", color=color)
        canvas.text((0.2, y + 0.45), what, size=0.28, ha="left")
        canvas.path([(6.2, y), (x, y), (x, 1.7)], color)
        said.append(f"{name}: {what}")
    canvas.text((6.4 + (len(entries) + 0.5) * wide, 1.2), "and so on", size=0.28)
    return canvas.picture(
        f"A safetensors file. Its first 8 bytes say that the header has {length:,} bytes. After "
        f"the header come {rest:,} bytes of numbers, one tensor after the other. The header "
        f"says where each of them is, counted from the header's end. {'; '.join(said)}."
    )


def draw_sentence_vector(tokens: Sequence[str], states: Tensor, shown: int = 4) -> Picture:
    """How the last states of a text become one vector: the mean of the real tokens, at length 1.

    `states` is (T, D), one row for each token, and `[PAD]` may be among the tokens. The drawing
    shows the first numbers of each row, with T up to 12 and `shown` up to 4.
    """
    real = [token != "[PAD]" for token in tokens]
    mean = states[real].mean(0)  # (D,)
    length = float(mean.norm())
    unit = mean / length
    canvas = Canvas(15, 1.4 + 0.95 * len(tokens))
    middle = 1.4 + 0.95 * len(tokens) / 2
    more = f"… {states.shape[1]} numbers"
    canvas.text((3.2, 0.5), f"last states, {more[2:]} each", weight="bold")
    canvas.text((7.0, 0.5), "mask", weight="bold")
    for place, token in enumerate(tokens):
        y = 1.4 + 0.95 * place
        color = VALUE if real[place] else "#aaaaaa"
        canvas.token((1.2, y), token, color=color)
        canvas.vector((4.0, y), states[place, :shown].tolist(), color)
        canvas.text((5.9, y), "…")
        canvas.text((7.0, y), str(int(real[place])), color=color)
        if real[place]:
            canvas.arrow((7.4, y), (9.0, middle - 1.0), VALUE, 0.8)
    for y, title, vector, color in (
        (middle - 1.0, "mean of the real tokens", mean, VALUE),
        (middle + 1.6, f"divided by its length, {length:.2f}", unit, QUERY),
    ):
        canvas.text((11.6, y - 0.75), title, weight="bold")
        canvas.vector((11.2, y), vector[:shown].tolist(), color, "{:.2f}")
        canvas.text((13.2, y), "…")
    canvas.arrow((11.2, middle - 0.5), (11.2, middle + 0.5))
    rows = "; ".join(
        f"{token} {_shown(row, shown, 1)}" + ("" if here else ", left out")
        for token, row, here in zip(tokens, states, real, strict=True)
    )
    return canvas.picture(
        f"The last states of {len(tokens)} tokens, {states.shape[1]} numbers each, of which the "
        f"first are shown. {rows}. The mean of the real tokens is {_shown(mean, shown, 2)}. "
        f"Divided by its length, {length:.2f}, it is {_shown(unit, shown, 2)}."
    )


def _shown(vector: Tensor, shown: int, digits: int) -> str:
    """The first numbers of a vector, as text."""
    return "(" + ", ".join(f"{float(v):.{digits}f}" for v in vector[:shown]) + ", …)"
