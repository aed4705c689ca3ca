"""Tokens as the labels of a picture: any script, one line, not too long.

A browser finds a font for each character by itself. A PNG has the fonts that this machine gives
matplotlib, and what none of them has is written as its code point, `U+1F600`, and never as a box.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from functools import lru_cache
from typing import Any

from matplotlib import font_manager

FONT = "DejaVu Sans"
"""Comes with matplotlib. It has Latin, Greek, Cyrillic, Arabic and Hebrew, but no CJK."""
LAST_RESORT = "Last Resort"
"""Fonts of this name draw a box for every character."""
LONGEST = 16
"""Characters; a wide one, as of CJK, counts as two."""
JOINERS = "\u200c\u200d"
"""They change how their neighbours are drawn, in Persian, in Indic scripts and among emoji."""
UNPRINTABLE = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
"""Unicode's categories of controls, formats, private use, surrogates and separators of lines."""


def label(token: str, missing: Collection[str] = ()) -> str:
    """`token` on one line, cut with an ellipsis if it is too long.

    The characters in `missing` are written as code points, and so are those that no font draws:
    line breaks, direction marks, halves of a pair. None of them can disturb the picture.
    """
    text, width = "", 0
    for character in token:
        drawn = _is_printable(character) and character not in missing
        piece = character if drawn else f" U+{ord(character):04X} "
        width += _width(character) if drawn else len(piece) - 1  # its two spaces become one
        if width > LONGEST:
            return f"{_on_one_line(text).rstrip(JOINERS)}…"
        text += piece
    return _on_one_line(text)


@lru_cache(maxsize=16)
def find_fonts(text: str) -> tuple[list[str], frozenset[str]]:
    """Font families that together draw `text`, and the characters that no font here has.

    Other fonts than matplotlib's own are looked at only where that one lacks something.
    """
    families = [FONT]
    missing = {c for c in text if _is_printable(c)} - _drawn_by(FONT, text)
    others = {
        entry.name
        for entry in font_manager.fontManager.ttflist
        if (entry.style, entry.weight, entry.stretch) == ("normal", 400, "normal")
        and not entry.name.startswith(LAST_RESORT)
    }
    for family in sorted(others):
        if not missing:
            break
        drawn = _drawn_by(family, missing)
        if drawn:
            families.append(family)
            missing -= drawn
    return families, frozenset(missing)


def _drawn_by(family: str, characters: Collection[str]) -> set[str]:
    try:
        font = font_manager.get_font(font_manager.findfont(family))
    except (OSError, RuntimeError):  # it was deleted, or cannot be read
        return set()
    has = font.get_charmap()
    found = {c for c in characters if ord(c) in has}
    if family != FONT:  # a font of coloured emoji may have them without an outline to draw
        font.set_size(12, 72)
        found = {c for c in found if _has_outline(font, c)}
    return found


def _has_outline(font: Any, character: str) -> bool:
    font.load_char(ord(character))
    return len(font.get_path()[0]) > 0


def _is_printable(character: str) -> bool:
    """Characters too new for Python count as printable: the browser may have a font for them."""
    if character in JOINERS:
        return True
    no_character = ord(character) & 0xFFFE == 0xFFFE  # XML has no place for U+FFFE and U+FFFF
    return not no_character and unicodedata.category(character) not in UNPRINTABLE


def _width(character: str) -> int:
    """The width in columns. A combining mark has none, so it is not cut from its letter."""
    if character in JOINERS or unicodedata.category(character).startswith("M"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
