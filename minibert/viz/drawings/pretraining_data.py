"""Chapter 5: what masking does to each token, and where the second text of a pair comes from."""

from __future__ import annotations

from collections.abc import Sequence

from minibert.model import IGNORE_INDEX
from minibert.tokenizer import MASK, SEP
from minibert.viz.drawings.canvas import INK, STATE, Canvas, Point
from minibert.viz.style import Picture

FILLS = {"hidden": "#c7c7c7", "replaced": "#f3d9e8", "kept": "#fbecc2", "": "white"}
"""A background for each fate. Its word is written below the token, so that no colour is needed."""
GAP, LETTER = 0.2, 0.18  # units between two tokens, and for each letter
LEFT = 2.0  # units for the names of the rows
PARTS = {"A": "#c7c7c7", "B": "#ececec"}


def fate(token: str, seen: str, label: int) -> str:
    """What happened to a token: "hidden", "replaced", "kept", or "" if it was not chosen."""
    if label == IGNORE_INDEX:
        return ""
    if seen == MASK:
        return "hidden"
    return "kept" if seen == token else "replaced"


def draw_masking(tokens: Sequence[str], seen: Sequence[str], labels: Sequence[int]) -> Picture:
    """One row of a batch: its text, what the model sees, and the labels.

    A new line begins after each `[SEP]`, so a pair takes two lines of up to 13 tokens each.
    """
    fates = [fate(*column) for column in zip(tokens, seen, labels, strict=True)]
    ends = [place + 1 for place, token in enumerate(tokens) if token == SEP]
    lines = [range(start, end) for start, end in zip([0, *ends], ends, strict=False)]
    widths = [_width(column) for column in zip(tokens, seen, fates, strict=True)]
    longest = max(sum(widths[place] + GAP / 2 for place in line) for line in lines)
    canvas = Canvas(LEFT + longest + 0.1, 4.0 * len(lines))
    for number, line in enumerate(lines):
        top, x = 4.0 * number, LEFT
        for y, name in ((0.6, "text"), (1.6, "BERT sees"), (2.5, "label"), (3.2, "fate")):
            canvas.text((0.1, top + y), name, ha="left", color=STATE)
        for place in line:
            happened, width = fates[place], widths[place]
            middle, x = x + width / 2, x + width + GAP / 2
            weight, color = ("bold", INK) if happened else ("normal", "#6b6b6b")
            canvas.text((middle, top + 0.6), tokens[place], weight=weight)
            canvas.token((middle, top + 1.6), seen[place], width, INK, FILLS[happened])
            canvas.text((middle, top + 2.5), str(labels[place]), weight=weight, color=color)
            canvas.text((middle, top + 3.2), happened, weight=weight)
    said = [
        f"“{tokens[place]}” is {happened}"
        f"{f' by “{seen[place]}”' if happened == 'replaced' else ''}, label {labels[place]}"
        for place, happened in enumerate(fates)
        if happened
    ]
    return canvas.picture(
        f"One row of {len(tokens)} tokens, of which {len(said)} have to be predicted. "
        f"{'. '.join(said)}. Every other token is seen as it is and has the label {IGNORE_INDEX}."
    )


def _width(column: Sequence[str]) -> float:
    """Units for a token, what is seen in its place, and its fate; at least for the label -100."""
    letters = [len(text) + 0.4 * (text.count("#") + text.count("M")) for text in column]
    return LETTER * max(4.0, *letters) + GAP


def draw_pairs(story: Sequence[str], other: Sequence[str], begin: int) -> Picture:
    """A with its own B (left), and A with a random B (right).

    A is the first sentence of `story`. Its own B is the second sentence. The random B is the
    sentence number `begin` of the document `other`.
    """
    canvas = Canvas(16.6, 4.2 + 0.95 * (len(story) + len(other)))
    said = []
    for label, left in ((0, 0.0), (1, 8.4)):
        title = ("B is the text after A", "B is from another document")[label]
        canvas.text((left + 4.1, 0.5), title, weight="bold")
        text = (story[1], other[begin])[label]
        used = (2, 1)[label]  # sentences of the story: the others are left for the next pair
        y = 1.3
        for number, document in enumerate((story, other)):
            canvas.text((left + 0.2, y), f"document {number}", ha="left", color=STATE)
            for place, sentence in enumerate(document):
                y += 0.95
                name = _name(number, place, label, begin)
                _sentence(canvas, (left + 4.4, y), sentence, name)
                if (number, place) == (0, used):
                    canvas.arrow((left + 0.1, y), (left + 1.1, y))
            y += 0.9
        canvas.text((left + 4.1, y + 0.1), f"[CLS] A [SEP] B [SEP]   →   label {label}")
        start = story[used]
        canvas.text((left + 4.1, y + 0.7), "The next pair begins at the arrow.", color=STATE)
        said.append(f"Label {label}: A is “{story[0]}”, B is “{text}”, the next pair begins at "
                    f"“{start}”")  # fmt: skip
    return canvas.picture(f"Two pairs that begin with the same sentence. {'. '.join(said)}.")


def _name(number: int, place: int, label: int, begin: int) -> str:
    """The part that a sentence plays in a pair: A, B, or none."""
    if (number, place) == (0, 0):
        return "A"
    return "B" if (number, place) == ((0, 1), (1, begin))[label] else ""


def _sentence(canvas: Canvas, at: Point, text: str, name: str) -> None:
    canvas.step(at, text, width=6.4, height=0.75, fill=PARTS.get(name, "white"))
    canvas.text((at[0] + 3.5, at[1]), name, weight="bold")
