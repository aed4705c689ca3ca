"""The look of every picture: colours for any colour vision, and a description in words."""

from __future__ import annotations

import base64
import html
import io
import warnings
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from minibert.files import write_whole

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito (2008): distinct for any colour vision, and of different darkness in print."""
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
"""Lines also differ in their dashes."""
SEQUENTIAL = "Blues"
"""One hue from white to dark, for amounts."""
DIVERGING = "PuOr"
"""Purple to orange through white, for what may be below and above nothing."""


def plot(rows: int = 1, columns: int = 1, width: float = 7.0, height: float = 3.2) -> tuple:
    """A figure of `width` x `height` inches and its axes, as `plt.subplots` gives them.

    It belongs to nobody but the caller: nothing is shown until `show` is called.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns)
    for ax in figure.axes:
        ax.set_prop_cycle(color=PALETTE, linestyle=DASHES)
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.25)
        ax.set_axisbelow(True)
    return figure, axes


class Picture:
    """A figure with its description, which screen readers read out.

    `vector` is the same figure for SVG, where that is to be shown: its text stays text, and the
    browser finds the fonts for it.
    """

    def __init__(
        self, figure: Figure, alt: str, dpi: int = 110, vector: Figure | None = None
    ) -> None:
        self.figure = figure
        self.alt = " ".join(alt.split())
        self.dpi = dpi
        self.vector = vector

    def png(self) -> bytes:
        """The picture, the same bytes for the same figure."""
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=self.dpi, metadata={"Software": None})
        return buffer.getvalue()

    def svg(self) -> bytes:
        """The picture as lines and text. Nothing in it is random, and no date."""
        buffer = io.BytesIO()
        settings = {"svg.fonttype": "none", "svg.hashsalt": "minibert"}
        with rc_context(settings), warnings.catch_warnings():
            # Only the layout is made with this machine's fonts.
            warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")
            figure = self.vector or self.figure
            figure.savefig(buffer, format="svg", dpi=self.dpi, metadata={"Date": None})
        return buffer.getvalue()

    def save(self, path: str | Path) -> Path:
        """Write the picture to `path`, which ends in .png or .svg. Returns the path.

        Raises `ValueError` for another ending.
        """
        path = Path(path)
        formats = {".png": self.png, ".svg": self.svg}
        if path.suffix not in formats:
            raise ValueError(f"{path} must end in .png or .svg: it is a picture")
        path.parent.mkdir(parents=True, exist_ok=True)
        made = formats[path.suffix]()
        write_whole(path, lambda writing: writing.write_bytes(made))
        return path

    def __repr__(self) -> str:
        return f"Picture: {self.alt}"

    def _repr_html_(self) -> str:
        # As HTML and not as an image of its own, for which JupyterLab has no alt text.
        kind, made = ("svg+xml", self.svg()) if self.vector else ("png", self.png())
        data = base64.b64encode(made).decode("ascii")
        return f'<img src="data:image/{kind};base64,{data}" alt="{html.escape(self.alt)}">'


def show(figure: Figure, alt: str) -> Picture:
    """The figure as a notebook shows it, `alt` being what it shows in words."""
    return Picture(figure, alt)
