"""Drawings of the mechanism show the numbers of their tensors, in the picture and in words."""

import math
import re

import torch

from minibert.viz.drawings import attention
from minibert.viz.drawings.canvas import Canvas


def texts(picture):
    """What is written in a drawing."""
    return [text.get_text() for text in picture.figure.axes[0].texts]


def test_one_query_shows_the_numbers_of_attention():
    """By hand: scores (0, 2 / √2), so weights 1 : e^1.414, and the context is their mean."""
    query = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    key = torch.tensor([[0.0, 2.0], [1.0, 1.0]])
    value = torch.eye(2)
    picture = attention.draw_one_query(["bank", "river"], 0, query, key, value)
    share = math.exp(2 / math.sqrt(2)) / (1 + math.exp(2 / math.sqrt(2)))
    written = texts(picture)
    assert {"0.00", "1.41", f"{share:.0%}", f"{1 - share:.0%}"} <= set(written)
    assert f"{share:.2f}" in written
    assert f"“river” score 1.41, weight {share:.0%}" in picture.alt


def test_heads_show_their_weights():
    weights = torch.tensor([[0.25, 0.75], [0.9, 0.1]])
    picture = attention.draw_heads(["the", "bank"], weights, hidden_size=6)
    written = texts(picture)
    assert [w for w in written if w.endswith("%")] == ["25%", "75%", "90%", "10%"]
    assert "D = 6" in written[0] and "K = 3" in written[0]
    assert "Head 1 gives 90% to “the”" in picture.alt


def test_a_vector_is_darker_where_it_is_larger():
    canvas = Canvas(10, 2)
    canvas.vector((5, 1), [0.0, -2.0, 1.0])
    light = [sum(patch.get_facecolor()[:3]) for patch in canvas.ax.patches]
    assert light[1] < light[2] < light[0]


def test_a_drawing_is_a_sharp_picture_with_words():
    canvas = Canvas(10, 2)
    canvas.token((5, 1), "bank")
    page = canvas.picture("A token.")._repr_html_()
    assert re.search(r'src="data:image/svg\+xml;base64,[^"]+" alt="A token\."', page)
    width = re.search(r'width="([\d.]+)pt"', canvas.picture("A token.").svg().decode())
    assert 500 < float(width[1]) < 600  # 800 pixels
