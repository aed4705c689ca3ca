"""What the tokenizer knows of every character, for JavaScript, whose Unicode is another version."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache

from minibert.tokenizer import IDEOGRAPH, NEWER, category, clean, is_punctuation

_KINDS: dict[str, Callable[[str], bool]] = {
    "dropped": lambda char: clean(char) == "",
    "space": str.isspace,
    "ideograph": lambda char: IDEOGRAPH.match(char) is not None,
    "punctuation": is_punctuation,
    "mark": lambda char: category(char) == "Mn",
    "capital": lambda char: char.lower() != char,
    # A younger Unicode may take these apart; here they stay as they are.
    "whole": lambda char: NEWER.match(char) is not None,
}
_ONLY_LETTERS = ((0xAC00, 0xD7A3), (0xD800, 0xDFFF))
"""Hangul, of which no question is true, and surrogates, which are no characters."""


@cache
def character_table() -> dict[str, str]:
    """The characters of each kind that `tokenizer.js` asks about, as ranges: `41-5A C0-D6 100`."""
    found: dict[str, list[int]] = {kind: [] for kind in _KINDS}
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        kind = unicodedata.category(char)
        if kind == "Cn":
            found["whole"].append(code)
            if IDEOGRAPH.match(char):
                found["ideograph"].append(code)
        elif kind == "Co":
            found["dropped"].append(code)
        elif not any(first <= code <= last for first, last in _ONLY_LETTERS):
            for name, has in _KINDS.items():
                if has(char):
                    found[name].append(code)
    return {kind: _ranges(codes) for kind, codes in found.items()}


def _ranges(codes: Iterable[int]) -> str:
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return " ".join(f"{a:X}" if a == b else f"{a:X}-{b:X}" for a, b in ranges)
