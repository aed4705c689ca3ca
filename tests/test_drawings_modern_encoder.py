"""Chapter 13's drawings show the right scores, products, masks and positions."""

import math

import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.patches import FancyArrowPatch, Rectangle

from minibert.viz.drawings import modern_encoder
from minibert.viz.drawings.canvas import QUERY, STATE


def written(picture):
    return [text.get_text() for text in picture.figure.axes[0].texts]


def test_scores_depend_on_the_distance_alone():
    places = ((2, 5), (102, 105), (5, 2))
    picture = modern_encoder.draw_turns((1.0, 0.0), (0.0, -1.0), places, speed=0.4)
    texts = written(picture)
    score = f"{math.sin(3 * 0.4):.2f}"  # cos(a - 90 degrees)
    assert [t for t in texts if t.startswith("score")] == [
        f"score {score}", f"score {score}", f"score −{score}",
    ]  # fmt: skip
    assert texts.count("distance +3") == 2 and "distance −3" in texts
    assert f"query at 102, key at 105: score {score}" in picture.alt


def test_arrows_point_where_they_are_turned_to():
    """A quarter of a turn takes an arrow from the right to the top, where y is smaller."""
    picture = modern_encoder.draw_turns((1.0, 0.0), (1.0, 0.0), ((0, 1),), math.pi / 2)
    arrows = [p for p in picture.figure.axes[0].patches if isinstance(p, FancyArrowPatch)]
    (x, y), (right, top) = arrows[0]._posA_posB
    assert right > x and top == pytest.approx(y)
    (x, y), (right, top) = arrows[1]._posA_posB
    assert right == pytest.approx(x) and top < y


def test_the_gate_multiplies_what_gelu_gave():
    x, wide, gate = torch.tensor([1.0, 2.0]), torch.tensor([1.0, -1.0]), torch.tensor([2.0, 3.0])
    picture = modern_encoder.draw_gate("bank", x, wide, gate, torch.tensor([5.0, 6.0]))
    texts = written(picture)
    assert [t for t in texts if t.strip("-.0123456789") == ""] == [
        "1", "2", "1", "-1", "2", "3", "1.68", "-0.48", "5.00", "6.00",
    ]  # fmt: skip
    assert "Their product, number by number, is (1.68, -0.48)." in picture.alt


def squares(picture):
    """Colours of the filled squares, by their row from above and their column."""
    found = [p for p in picture.figure.axes[0].patches if isinstance(p, Rectangle)]
    rows = sorted({round(p.get_y(), 4) for p in found})
    columns = sorted({round(p.get_x(), 4) for p in found})
    return {
        (rows.index(round(p.get_y(), 4)), columns.index(round(p.get_x(), 4))): to_hex(
            p.get_facecolor()
        )
        for p in found
    }


def test_masks_are_filled_where_a_query_sees_a_key():
    tokens, mask = ["the", "bank", "of"], torch.tensor([[1, 1, 0], [1, 1, 1], [0, 1, 1]]).bool()
    picture = modern_encoder.draw_masks(tokens, {"local": mask}, looks=1)
    colors = {True: STATE, False: "#ffffff"}
    for (row, column), color in squares(picture).items():
        seen = bool(mask[row, column])
        assert color == (QUERY.lower() if row == 1 and seen else colors[seen])
    assert "local: “bank” sees the bank of." in picture.alt


def test_a_row_without_padding_counts_anew_in_each_text():
    texts = [["[CLS]", "the", "bank", "[SEP]"], ["[CLS]", "[SEP]"]]
    picture = modern_encoder.draw_unpadding(texts)
    said = written(picture)
    assert [t for t in said if t.isdigit()] == ["0", "1", "2", "3", "0", "1"]
    assert said.count("[PAD]") == 2
    filled = {at for at, color in squares(picture).items() if color == STATE}
    own = {(i, j) for i in range(6) for j in range(6) if (i < 4) == (j < 4)}
    assert filled == own
    assert "2 rows with 2 [PAD] becomes one row of 6 tokens" in picture.alt
