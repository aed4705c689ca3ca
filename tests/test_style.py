"""Pictures: words beside them, nothing that runs, the same bytes each time."""

import re

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
