"""Pictures: words beside them, nothing that runs, the same bytes each time."""

import re
import subprocess
import sys

import pytest

from minibert.viz.style import PALETTE, plot, show


def picture(alt):
    figure, ax = plot()
    ax.plot([1, 2], [3, 4])
    return show(figure, alt)


def test_the_same_figure_is_the_same_page():
    assert picture("A line.")._repr_html_() == picture("A line.")._repr_html_()


def test_alt_text_stays_text():
    page = picture('"><script>alert(1)</script>\n  two   lines')._repr_html_()
    assert re.fullmatch(r'<img src="data:image/png;base64,[\w+/=]+" alt="[^"<>]*">', page)
    assert "two lines" in page


def test_a_picture_is_saved_as_its_name_says(tmp_path):
    png, svg = (picture("A line.").save(tmp_path / "new" / name) for name in ("a.png", "a.svg"))
    assert png.read_bytes() == picture("A line.").png()
    assert png.read_bytes().startswith(b"\x89PNG")
    text = svg.read_text("utf-8")
    assert text == picture("A line.").svg().decode("utf-8")
    assert "<svg " in text and "<dc:date>" not in text
    with pytest.raises(ValueError, match=r"a\.jpg must end in \.png or \.svg"):
        picture("A line.").save(tmp_path / "a.jpg")


def test_a_picture_needs_no_torch_and_a_view_goes_by_its_name():
    """Also after its module, which has the same name, was imported."""
    check = """
import sys, minibert.viz.style, minibert.viz
assert "torch" not in sys.modules
from minibert.viz.attention_map import describe_attention
from minibert.viz import AttentionData, attention_map
assert callable(attention_map) and minibert.viz.attention_map is attention_map
assert set(minibert.viz.__all__) <= set(dir(minibert.viz))
for name in minibert.viz.__all__:
    assert getattr(minibert.viz, name).__name__ == name
"""
    subprocess.run([sys.executable, "-c", check], check=True)


def luminance(colour):
    """Relative luminance as WCAG 2.1 defines it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_the_first_lines_stand_out_from_paper_and_from_each_other():
    """Contrast with white of at least 3 : 1 (WCAG 1.4.11); in grey, the first two differ."""
    for colour in PALETTE[:3]:
        assert 1.05 / (luminance(colour) + 0.05) >= 3
    figure, ax = plot()
    lines = [ax.plot([0, 1])[0] for _ in range(4)]
    assert len({line.get_linestyle() for line in lines}) == 4
    assert len({line.get_color() for line in lines}) == 4
    assert figure.axes == [ax]
