"""The drawing of the three embeddings shows the rows that a look-up takes, and their sum."""

import pytest
import torch

from minibert.viz.drawings.embeddings import draw_embeddings

TOKENS = ["[CLS]", "bank", "[SEP]", "it", "[SEP]"]
IDS, SEGMENTS = torch.tensor([2, 7, 3, 5, 3]), torch.tensor([0, 0, 0, 1, 1])
MATRICES = {
    "token": torch.arange(16.0).reshape(8, 2),  # row 7 is 14, 15
    "position": torch.tensor([[0.0, 0.0], [0.1, -0.3], [9.0, 9.0], [9.0, 9.0], [9.0, 9.0]]),
    "segment": torch.tensor([[0.2, 0.4], [8.0, 8.0]]),
}


@pytest.fixture(scope="module")
def picture():
    return draw_embeddings(TOKENS, IDS, SEGMENTS, MATRICES, zoom=1)


def at(text):
    return tuple(float(v) for v in text.get_position())


def test_each_token_has_three_row_numbers(picture):
    """In a column below the token: id, place, segment."""
    drawn = picture.figure.axes[0].texts
    boxes = [t for t in drawn if t.get_text() in TOKENS]  # in the order of the text
    assert [t.get_text() for t in boxes] == TOKENS
    for place, box in enumerate(boxes):
        below = [t for t in drawn if at(t)[0] == at(box)[0] and 0 < at(t)[1] - at(box)[1] < 2]
        rows = [t.get_text() for t in sorted(below, key=lambda t: at(t)[1])]
        assert rows == [str(int(IDS[place])), str(place), str(int(SEGMENTS[place]))]


def test_the_numbers_of_one_token_add_up(picture):
    """By hand: (14, 15) + (0.1, -0.3) + (0.2, 0.4)."""
    written = [text.get_text() for text in picture.figure.axes[0].texts]
    shown = written[written.index("token row 7") :]
    assert [t for t in shown if t not in ("+", "=")] == [
        "token row 7", "14.0", "15.0", "position row 1", "0.1", "-0.3",
        "segment row 0", "0.2", "0.4", "their sum for “bank”", "14.3", "15.1",
    ]  # fmt: skip
    assert "their sum for “bank” (14.3, 15.1)" in picture.alt


def test_the_words_say_the_same_rows(picture):
    assert "“bank” 7 + 1 + 0" in picture.alt and "“it” 5 + 3 + 1" in picture.alt
