"""The drawings of chapter 1 say the pieces, ids and segments that they are given."""

import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import FancyBboxPatch

from minibert.tokenizer import SPECIAL_TOKENS, BertTokenizer
from minibert.viz.drawings import tokens
from minibert.viz.drawings.canvas import FIRST, NEW, SECOND

PIECES = ["the", "bank", "was", "mu", "##d", "##dy", "we", "fish", "##ed", "."]


@pytest.fixture
def tokenizer():
    return BertTokenizer([*SPECIAL_TOKENS, *PIECES])


def written(picture):
    """Texts by their height in the drawing, each line from left to right."""
    lines = {}
    for text in picture.figure.axes[0].texts:
        x, y = text.get_position()
        lines.setdefault(round(y, 2), []).append((x, text.get_text()))
    return [[text for _, text in sorted(line)] for _, line in sorted(lines.items())]


def boxes(picture):
    """The boxes of tokens: left edge, width and fill."""
    return [
        (patch.get_x(), patch.get_width(), to_hex(patch.get_facecolor()))
        for patch in picture.figure.axes[0].patches
        if isinstance(patch, FancyBboxPatch)
    ]


def test_a_text_with_its_words_pieces_and_ids(tokenizer):
    words = ["bank", "muddy"]
    pieces = [["bank"], ["mu", "##d", "##dy"]]
    ids = [tokenizer.convert_tokens_to_ids(found) for found in pieces]
    picture = tokens.draw_pieces("Bank muddy", words, pieces, ids)
    assert written(picture) == [
        ["text", "Bank muddy"],
        ["words", "bank", "muddy"],
        ["pieces", "bank", "mu", "##d", "##dy"],
        ["ids", "6", "8", "9", "10"],
    ]
    assert "muddy is mu ##d ##dy (8 9 10)" in picture.alt


def test_a_pair_with_its_segments_and_padding(tokenizer):
    batch = tokenizer(["the bank", "the bank was muddy"], ["we fished.", "we fished."])
    numbers = [batch[name][0] for name in batch]
    picture = tokens.draw_pair(tokenizer.convert_ids_to_tokens(numbers[0]), *numbers)
    lines = written(picture)
    assert lines[0] == ["token", "[CLS]", "the", "bank", "[SEP]"]
    assert lines[2] == ["token_type_ids", "0", "0", "0", "0"]
    assert lines[4] == ["token", "we", "fish", "##ed", ".", "[SEP]", *["[PAD]"] * 4]
    assert lines[6] == ["token_type_ids", *"111110000"]
    assert lines[7] == ["attention_mask", *"111110000"]
    fills = [fill for _, _, fill in boxes(picture)]
    assert fills == [FIRST] * 4 + [SECOND] * 5 + ["#ffffff"] * 4
    assert "13 tokens" in picture.alt and "mask is 1 for 9 of them" in picture.alt
    assert "##ed 13 . 14 [SEP] 3. The attention" in picture.alt
    assert "Segment 0: [CLS] 2 the 5 bank 6 [SEP] 3. Segment 1: we 11" in picture.alt


def test_only_cuts_that_changed_are_coloured_and_letters_stay_in_their_column():
    few, many = ["f", "##ish", "##ed"], ["f", "##ished"]
    picture = tokens.draw_cuts({"fished": {10: few, 20: many}, "the": {10: ["the"], 20: ["the"]}})
    assert written(picture)[1:] == [["10", *few, "the"], ["20", *many, "the"]]
    found = boxes(picture)
    assert [fill == NEW for _, _, fill in found] == [False] * 4 + [True] + [False] * 2
    (f, letter, _), (ish, *_), (ed, two, _), (again, *_), (ished, five, _) = found[:5]
    assert f == again and ish == pytest.approx(ished)
    assert ed + two == pytest.approx(ished + five)
    assert (two + 0.08) / 2 == pytest.approx(letter + 0.08)
    assert "With 20 entries: fished is f ##ished, the is the." in picture.alt


def test_text_is_readable_at_800_pixels():
    cuts = {"river": {500: ["r", "##iver"]}, "fished": {500: ["fish", "##ed"]}}
    pair = tokens.draw_pair(["[CLS]", "a", "[SEP]"], [2, 5, 3], [0, 0, 0], [1, 1, 1])
    for picture in (tokens.draw_cuts(cuts), pair):
        assert min(text.get_fontsize() for text in picture.figure.axes[0].texts) >= 9
