"""Texts that are hard to split as BERT does."""

HARD = [
    "The animal didn't cross the street because it was too tired.",
    "unaffable UNAFFABLE Ünäffäble",
    "我爱北京天安门 and 東京 ひらがな 한국어",
    "e\u0301 o\u0308\u0323 \u0130stanbul ΣΊΣΥΦΟΣ ß \u1e9e",
    "a\u200bb\u200dc\ufeffd\x00e\x07f\ufffdg\u00adh\ue000i",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1eb\U0001f1f7 \u2764\ufe0f",
    "x" * 100 + " " + "x" * 101,
    "before[MASK]after [CLS][SEP] [mask] [ MASK ] [PAD]x",
    "tabs\tand\r\nlines\u2028and\u3000spaces\u00a0\u1680here\x85\x0b\x0c\x1c",
    "$5 + 3 = <8> `x` ^ ~ | \u00a3 \u20ac \u00a7 \u2014 \u00ab\u00bb",
    "",
    "   ",
]
