"""The drawings of chapter 12 hide, weigh and write what they are given."""

import pytest

from minibert.viz.drawings.diffusion import HIDDEN, draw_noise, draw_step_back, draw_weights

TOKENS = ["the", "bank", "was", "m", "##ud", "##d", "##y", "."]
U = [0.1, 0.3, 0.5, 0.7, 0.2, 0.4, 0.6, 0.8]


def texts(picture):
    """What is written in a drawing."""
    return [text.get_text() for text in picture.figure.axes[0].texts]


def grey(picture):
    """How many boxes hide their token."""
    wanted = tuple(int(HIDDEN[i : i + 2], 16) / 255 for i in (1, 3, 5))
    patches = picture.figure.axes[0].patches
    return sum(patch.get_facecolor()[:3] == pytest.approx(wanted) for patch in patches)


def test_a_token_is_hidden_once_t_has_passed_its_u():
    """At t = 0.5 the u of "was" is equal to t, which doesn't hide it yet."""
    picture = draw_noise(TOKENS, U, (0, 0.5, 1))
    written = texts(picture)
    assert [written.count(token) for token in TOKENS] == [1, 1, 2, 2, 1, 1, 2, 2]
    assert grey(picture) == 0 + 4 + 8
    assert {"0", "4", "8", "0.30", "t = 0.5"} <= set(written)
    assert "t = 0.5: 4 hidden: the bank ##ud ##d. t = 1: 8 hidden" in picture.alt


def test_a_mean_over_texts_gives_each_the_same_share():
    """1 and 3 hidden tokens are 25 and 75 % of all four."""
    picture = draw_weights((1, 3), 5)
    assert [text for text in texts(picture) if "%" in text] == ["25%", "50%", "75%", "50%"]
    assert {"1 × 1/1 × 1/2", "3 × 1/3 × 1/2"} <= set(texts(picture))
    assert grey(picture) == 4
    assert "1 hidden: 25% and 50%. 3 hidden: 75% and 50%" in picture.alt


def test_a_step_back_writes_the_blanks_whose_lot_is_low():
    """From 0.5 to 0.375, a quarter of the blanks appears. What was written before stays."""
    page = ["the", "[MASK]", "was", "[MASK]", "[MASK]"]
    drawn = ["no", "bank", "no", "wet", "."]
    picture = draw_step_back(page, drawn, [0.1, 0.2, 0.1, 0.25, 0.9], 0.5, 0.375)
    written = texts(picture)
    assert "no" not in written
    assert [written.count(token) for token in ("the", "bank", "was", "wet", ".")] == [2, 2, 2, 1, 1]
    assert grey(picture) == 3 + 2
    assert "“bank” with lot 0.20 is written. “wet” with lot 0.25 is not" in picture.alt
    assert "= 0.25" in picture.alt and "So 2 blanks are left at s = 0.375" in picture.alt


@pytest.mark.parametrize(
    "picture",
    [
        lambda: draw_noise([*TOKENS, "muddy", "river", "."], [*U, 0.9, 0.9, 0.9], (0, 0.5, 1)),
        lambda: draw_weights((1, 4, 10), 10),
        lambda: draw_step_back(TOKENS, TOKENS, U, 0.5, 0.25),
    ],
)
def test_letters_are_readable(picture):
    """They are 9 points or larger, and no text leaves the drawing."""
    ax = picture().figure.axes[0]
    assert min(text.get_fontsize() for text in ax.texts) >= 9
    assert all(0 < text.get_position()[0] < ax.get_xlim()[1] for text in ax.texts)
