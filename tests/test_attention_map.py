"""The static picture: the numbers it was given, in words too, and safe on any text."""

import hashlib
import struct
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch

from minibert.viz import AttentionData, attention_map
from minibert.viz.attention_map import describe_attention

TOKENS = ["[CLS]", "a", "b", "c", "[SEP]"]
HOSTILE = ["[CLS]", "<script>x()</script>", "$x", "\"'><g onload=y()>", "]]>&amp;\x00\ud800"]


def attentions(layers=2, heads=3, length=5):
    torch.manual_seed(0)
    made = [torch.rand(1, heads, length, length).softmax(-1) for _ in range(layers)]
    made[1][0, 2, 1, :4] = torch.tensor([0.0, 0.05, 0.9, 0.05])
    made[1][0, 2, 1, 4:] = 0
    made[0][0, 0, 2] = 0
    made[0][0, 0, 2, 0] = 1.0  # the largest of all
    return made


def maps(picture):
    return [ax for ax in picture.figure.axes if ax.get_title()]


def names(labels):
    return [text.get_text() for text in labels if text.get_visible()]


def shown(axis):
    return names(tick.label1 for tick in axis.get_major_ticks())


def test_one_head_has_its_weights_as_numbers():
    given = attentions()
    (ax,) = maps(attention_map(given, TOKENS, layer=1, head=2))
    assert ax.get_title() == "layer 1, head 2"
    assert shown(ax.yaxis) == shown(ax.xaxis) == TOKENS
    weights = given[1][0, 2].numpy()
    assert np.array_equal(ax.images[0].get_array(), weights)
    written = {tuple(map(round, text.get_position())): text.get_text() for text in ax.texts}
    assert written == {
        (column, row): str(round(100 * float(weights[row, column])))
        for row, column in np.ndindex(5, 5)
    }
    assert written[2, 1] == "90"  # row a looks at column b


def test_rows_look_at_columns():
    """Rows, downwards from the first token, add up to 1, and the axes say which is which."""
    picture = attention_map(attentions(), TOKENS, layer=0, head=1)
    (ax,) = maps(picture)
    np.testing.assert_allclose(ax.images[0].get_array().sum(axis=1), 1, rtol=1e-5)
    assert ax.images[0].origin == "upper" and ax.yaxis_inverted() and not ax.xaxis_inverted()
    assert picture.figure.get_supylabel() == "token that looks"
    assert picture.figure.get_supxlabel() == "token that is looked at"


def test_the_grid_shows_every_head():
    given = attentions()
    found = maps(attention_map(given, TOKENS))
    for place, ax in enumerate(found):
        layer, head = divmod(place, 3)
        assert ax.get_title() == f"layer {layer}, head {head}"
        assert np.array_equal(ax.images[0].get_array(), given[layer][0, head])
        assert shown(ax.yaxis) == (TOKENS if head == 0 else [])
        assert shown(ax.xaxis) == (TOKENS if layer == 1 else [])
    assert len(found) == 6
    places = np.array([[ax.get_position().x0, -ax.get_position().y0] for ax in found])
    assert (np.lexsort(places.T) == range(6)).all()  # layers downwards, heads to the right


def test_a_colour_is_the_same_weight_everywhere():
    given = attentions()
    pictures = [attention_map(given, TOKENS, layer=layer, head=0) for layer in (0, 1)]
    pictures.append(attention_map(given, TOKENS))
    scales = {ax.images[0].get_clim() for picture in pictures for ax in maps(picture)}
    assert scales == {(0.0, 1.0)}


def test_the_heads_of_a_layer_are_wrapped():
    found = maps(attention_map(attentions(heads=6), TOKENS, layer=1))
    assert [ax.get_title() for ax in found] == [f"layer 1, head {h}" for h in range(6)]
    rows = [round(ax.get_position().y0, 6) for ax in found]
    assert rows == [rows[0]] * 4 + [rows[4]] * 2 and rows[4] < rows[0]
    # Each column has its tokens under its lowest map.
    assert [bool(shown(ax.xaxis)) for ax in found] == [False, False, True, True, True, True]


def test_a_head_in_every_layer():
    found = maps(attention_map(attentions(), TOKENS, head=2))
    assert [ax.get_title() for ax in found] == ["layer 0, head 2", "layer 1, head 2"]


def test_the_strongest_links_in_words():
    words = describe_attention(attentions(), TOKENS)
    assert words.startswith("Attention maps of layers 0 to 1, heads 0 to 2, over 5 tokens; a row")
    # and not 'b' at [CLS], 100%
    assert "Strongest links: 'a' looks at 'b' with 90% in layer 1, head 2; " in words
    assert words.count("looks at '") == 3 and "[CLS]" not in words


def test_the_words_are_of_what_is_shown():
    picture = attention_map(attentions(), TOKENS, layer=0, head=1)
    assert picture.alt.startswith("Attention map of layer 0, head 1, over 5 tokens;")
    assert "90%" not in picture.alt and picture.alt.count("in layer 0, head 1") == 3
    assert repr(picture) == f"Picture: {picture.alt}"


def test_equal_links_are_told_in_order():
    """Rounding errors do not change the words: no notebook would be the same on two machines."""
    for noise in (1e-6, -1e-6):
        weights = torch.full((1, 1, 5, 5), 0.2)
        weights[0, 0, 1, 2] += noise
        words = describe_attention([weights], TOKENS)
        assert "links: 'a' looks at 'b' with 20% in layer 0, head 0; 'a' looks at 'c'" in words


def test_a_repeated_word_is_told_apart():
    weights = torch.eye(5).roll(-1, 0)[None, None]
    words = describe_attention([weights], ["the", "cat", "the", "dog", "the"])
    assert "'the' (token 0) looks at 'cat' with 100%" in words


def test_no_links_no_claims():
    words = describe_attention([torch.eye(3)[None, None]], ["[CLS]", "a", "[SEP]"])
    assert words.endswith("Strongest links: none between two words.")


def test_a_pair_is_parted():
    picture = attention_map(attentions(), TOKENS, sentence_b_start=3)
    for ax in maps(picture):
        across, down = ax.lines
        assert set(across.get_ydata()) == set(down.get_xdata()) == {2.5}
    assert "Sentence B begins with 'c'." in picture.alt
    assert picture.figure.get_supxlabel() == "token that is looked at (B after the line)"
    assert not maps(attention_map(attentions(), TOKENS))[0].lines


def test_long_tokens_are_cut_in_the_picture_alone():
    long = "pneumonoultramicroscopic"
    picture = attention_map(attentions(), ["[CLS]", "a", long, "c", "[SEP]"])
    assert shown(maps(picture)[0].yaxis)[2] == "pneumonoultramic…"
    assert f"'{long}'" in picture.alt


def elements(picture):
    root = ET.fromstring(picture.svg())
    return [(node.tag.rpartition("}")[2], node) for node in root.iter()]


def test_no_token_becomes_an_element():
    """The SVG is XML with the elements that plain tokens give, and nothing that runs or loads."""
    found = elements(attention_map(attentions(), HOSTILE, layer=1, head=2))
    plain = elements(attention_map(attentions(), list("vwxyz"), layer=1, head=2))
    assert [tag for tag, _ in found] == [tag for tag, _ in plain]
    assert "script" not in dict(found)
    for _, node in found:
        for name, value in node.attrib.items():
            assert not name.startswith("on")
            if name.endswith("href"):
                assert value.startswith(("#", "data:image/png;base64,"))
    texts = [node.text for tag, node in found if tag == "text"]
    for text in ("<script>x()</scr…", "$x", "\"'><g onload=y()…", "]]>&amp; U+0000…"):
        assert texts.count(text) == 2, texts  # once on each axis


def test_the_notebook_shows_an_image_with_its_words():
    page = attention_map(attentions(), [*HOSTILE[:4], "z"])._repr_html_()
    assert page.count("<") == page.count(">") == 1
    assert page.startswith('<img src="data:image/svg+xml;base64,')
    assert "&#x27;$x&#x27;" in page


SCRIPTS = ["العربية", "שלום", "中文", "👩‍💻", "हिन्दी", "e\u0301", "$\\$a$", "\U0001fae8"]


def test_no_character_is_drawn_as_a_box():
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of each glyph that is missing
        picture = attention_map([torch.full((1, 1, 8, 8), 1 / 8)], SCRIPTS)
        picture.png()
        picture.svg()
    assert shown(maps(picture)[0].yaxis)[0] == SCRIPTS[0]
    texts = [node.text for tag, node in elements(picture) if tag == "text"]
    assert all(texts.count(token) == 2 for token in SCRIPTS)  # the browser has fonts of its own


MAKE = """
import hashlib, sys, torch
from minibert.viz import attention_map
tokens = ["[CLS]", "\\u4e2d", "\\U0001f600", "a", "[SEP]"]
picture = attention_map([torch.eye(5)[None, None]] * 2, tokens)
print(hashlib.sha256(picture.png() + picture.svg()).hexdigest())
"""


def test_the_same_input_is_the_same_picture():
    """In another process, with other hashes of strings, and when it is drawn again."""
    elsewhere = subprocess.run(
        [sys.executable, "-c", MAKE],
        env={"PYTHONHASHSEED": "1", "PYTHONPATH": ":".join(sys.path)},  # here it is by chance
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    picture = attention_map([torch.eye(5)[None, None]] * 2, ["[CLS]", "中", "😀", "a", "[SEP]"])
    again = [hashlib.sha256(picture.png() + picture.svg()).hexdigest() for _ in range(2)]
    assert {elsewhere, *again} == {again[0]}


def test_a_large_picture_stays_small():
    """144 heads over 128 tokens: pixels are what takes memory, and bytes what fills a notebook."""
    torch.manual_seed(0)
    given = [torch.randn(1, 12, 128, 128).mul(3).softmax(-1) for _ in range(12)]
    data = AttentionData(given, [f"token{i}" for i in range(128)])
    picture = attention_map(data)
    png = picture.png()
    assert max(struct.unpack(">II", png[16:24])) < 2500
    assert len(png) < 4e6 and len(picture._repr_html_()) < 10e6
    assert not any(shown(ax.xaxis) + shown(ax.yaxis) for ax in maps(picture))
    assert "128 tokens are too many to be named here: layer=0, head=0 draws one" in picture.alt
    (ax,) = maps(attention_map(data, layer=0, head=0))
    assert shown(ax.yaxis) == list(data.tokens) and not ax.texts


def test_a_text_too_long_for_any_labels_has_places():
    picture = attention_map([torch.full((1, 1, 300, 300), 1 / 300)], ["a"] * 300)
    picture.png()  # only now matplotlib chooses them
    (ax,) = maps(picture)
    assert "200" in shown(ax.yaxis)


def test_what_does_not_belong_together_is_said():
    with pytest.raises(ValueError, match="output_attentions"):
        attention_map([], TOKENS)
    with pytest.raises(ValueError, match="4 tokens for attention over 5"):
        attention_map(attentions(), TOKENS[:4])
    with pytest.raises(ValueError, match="no layer 2: they go from 0 to 1"):
        attention_map(attentions(), TOKENS, layer=2)
    with pytest.raises(ValueError, match="no head 3"):
        attention_map(attentions(), TOKENS, head=3)
