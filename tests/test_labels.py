"""Labels: any script, drawn by a font that has it or written as code points."""

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont
from matplotlib import font_manager

from minibert.viz.labels import FONT, LAST_RESORT, find_fonts, label

SCRIPTS = (
    "العربية",
    "שלום",
    "中文",
    "한국어",
    "हिन्दी",
    "ไทย",
    "😀",
    "👩‍💻",
    "é",
    "Ω",
    "\U0001fae8",
)
UNSEEN = "\U00020bb7"  # a rare kanji, in no font of this machine once the others are put aside


@pytest.fixture
def one_font(tmp_path, monkeypatch):
    """A machine with matplotlib's own font and one more, which has a square for some characters."""

    def install(characters, outline=True):
        pen = TTGlyphPen(None)
        if outline:
            pen.moveTo((0, 0)), pen.lineTo((0, 500)), pen.lineTo((500, 500)), pen.closePath()
        builder = FontBuilder(1000)
        builder.setupGlyphOrder([".notdef", "square"])
        builder.setupCharacterMap({ord(c): "square" for c in characters})
        builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "square": pen.glyph()})
        builder.setupHorizontalMetrics({".notdef": (500, 0), "square": (500, 0)})
        builder.setupHorizontalHeader(ascent=800, descent=-200)
        builder.setupNameTable({"familyName": "Squares", "styleName": "Regular"})
        builder.setupOS2(usWeightClass=400)
        builder.setupPost()
        builder.save(tmp_path / "squares.ttf")
        own = [e for e in font_manager.fontManager.ttflist if e.name.startswith((FONT, "Last"))]
        monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
        font_manager.fontManager.addfont(tmp_path / "squares.ttf")

    find_fonts.cache_clear()
    font_manager.fontManager._findfont_cached.cache_clear()
    yield install
    find_fonts.cache_clear()
    font_manager.fontManager._findfont_cached.cache_clear()


def test_every_character_has_a_font_or_is_missing():
    """fontTools says what a font has."""
    text = "".join(SCRIPTS)
    fonts, missing = find_fonts(text)
    assert fonts[0] == FONT and not any(name.startswith(LAST_RESORT) for name in fonts)
    tables = [TTFont(font_manager.findfont(n), fontNumber=0).getBestCmap() for n in fonts]
    for character in text:
        assert (character in missing) != any(ord(character) in table for table in tables)


def test_arabic_and_hebrew_need_no_other_font():
    assert find_fonts("العربية שלום é") == ([FONT], frozenset())


def test_another_font_is_found(one_font):
    assert find_fonts(UNSEEN + "a") == ([FONT], {UNSEEN})
    one_font(UNSEEN)
    find_fonts.cache_clear()
    assert find_fonts(UNSEEN + "a") == ([FONT, "Squares"], frozenset())


def test_a_font_of_coloured_emoji_has_nothing_to_draw(one_font):
    one_font(UNSEEN, outline=False)
    assert find_fonts(UNSEEN) == ([FONT], {UNSEEN})


def test_what_is_missing_is_written_as_its_code_point():
    assert label("😀", "😀") == "U+1F600"
    assert label("a中文b", "中文") == "a U+4E2D U+6587 b"
    assert label("中文字", "中文字") == "U+4E2D U+6587…"
    assert label("x😀", "😀") == "x U+1F600"
    assert label("中文") == "中文"


@pytest.mark.parametrize(
    "token", ["\x00", "\x1b", "\ud800", "\u202e", "\u2028", "\ufeff", "\uffff"]
)
def test_what_no_font_draws_is_written_too(token):
    assert label(token) == f"U+{ord(token):04X}"


def test_joiners_stay():
    assert label("می‌خواهم") == "می‌خواهم"
    assert label("👩‍💻") == "👩‍💻"


def test_a_long_token_ends_in_an_ellipsis():
    assert label("a" * 16) == "a" * 16
    assert label("a" * 17) == "a" * 16 + "…"
    assert label("中" * 9) == "中" * 8 + "…"  # as wide as two letters each
    assert label("e\u0301" * 17) == "e\u0301" * 16 + "…"  # no mark is torn from its letter
