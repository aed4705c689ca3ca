"""The drawings of chapter 5 show the tokens, labels and sentences that they are given."""

import pytest

from minibert.viz.drawings.pretraining_data import draw_masking, draw_pairs, fate

TOKENS = ["[CLS]", "the", "bank", "[SEP]", "we", "fish", "it", "[SEP]"]
SEEN = ["[CLS]", "the", "[MASK]", "[SEP]", "we", "boats", "it", "[SEP]"]
LABELS = [-100, -100, 1579, -100, -100, 3530, 194, -100]
STORY = ["It was muddy.", "We sat on it.", "Then it rained."]
OTHER = ["She had money.", "The bank lent it."]


def texts(picture):
    """What is written in a drawing."""
    return [text.get_text() for text in picture.figure.axes[0].texts]


@pytest.mark.parametrize(
    ("token", "seen", "label", "expected"),
    [
        ("bank", "[MASK]", 1579, "hidden"),
        ("bank", "boats", 1579, "replaced"),
        ("bank", "bank", 1579, "kept"),
        ("bank", "bank", -100, ""),
    ],
)
def test_a_fate_is_known_by_what_is_seen_and_asked(token, seen, label, expected):
    assert fate(token, seen, label) == expected


def test_masking_shows_text_and_what_is_seen_and_labels():
    picture = draw_masking(TOKENS, SEEN, LABELS)
    written = texts(picture)
    assert [t for t in written if t in ("hidden", "replaced", "kept")] == [
        "hidden", "replaced", "kept",
    ]  # fmt: skip
    for given in (TOKENS, SEEN, map(str, LABELS)):
        for text in given:
            assert text in written
    assert "[MASK]" not in TOKENS and written.count("[MASK]") == 1
    assert written.count("-100") == 5
    assert "3 have to be predicted" in picture.alt
    assert "“fish” is replaced by “boats”, label 3530" in picture.alt
    assert "“it” is kept, label 194" in picture.alt


def test_a_row_of_a_pair_fits_the_page():
    """Its letters are 9 points or larger, and no text leaves the drawing."""
    words = ("the", "bank", "of", "the", "river", "was", "m", "##ud", "##d", "##y", ".")
    text = ["[CLS]", *words, "[SEP]"]
    seen = ["[MASK]" if token == "bank" else token for token in text]
    picture = draw_masking(text, seen, [1579 if token == "bank" else -100 for token in text])
    ax = picture.figure.axes[0]
    assert min(text.get_fontsize() for text in ax.texts) >= 9
    assert all(0 < text.get_position()[0] < ax.get_xlim()[1] for text in ax.texts)


def test_pairs_show_where_b_is_from_and_where_the_next_pair_begins():
    picture = draw_pairs(STORY, OTHER, begin=1)
    ax, said = picture.figure.axes[0], picture.alt
    assert "Label 0: A is “It was muddy.”, B is “We sat on it.”" in said
    assert "the next pair begins at “Then it rained.”. Label 1" in said
    assert "B is “The bank lent it.”, the next pair begins at “We sat on it.”" in said
    at = {(text.get_text(), text.get_position()[0] > 8): text.get_position() for text in ax.texts}
    for right, b in ((False, STORY[1]), (True, OTHER[1])):  # the letters beside their sentences
        assert at["A", right][1] == at[STORY[0], right][1]
        assert at["B", right][1] == at[b, right][1]
