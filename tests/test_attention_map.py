"""The static picture and its page: true, self-contained, and safe on any text."""

import re
import struct

import pytest
import torch

from minibert.viz.attention_map import (
    attention_map,
    attention_page,
    attention_png,
    describe_attention,
)

TOKENS = ["[CLS]", "<script>alert(1)</script>", "$x", "\"'><img src=x onerror=alert(2)>", "[SEP]"]


def attentions(layers=2, heads=3):
    torch.manual_seed(0)
    made = [torch.rand(1, heads, 5, 5).softmax(-1) for _ in range(layers)]
    made[1][0, 2, 1] = torch.tensor([0.0, 0.05, 0.9, 0.05, 0.0])
    made[0][0, 0, 2] = torch.tensor([0.99, 0.0, 0.0, 0.0, 0.01])
    return made


def test_the_picture_shows_every_head():
    figure = attention_map(attentions(), TOKENS)
    maps = [ax for ax in figure.axes if ax.images]
    titles = [ax.get_title() for ax in maps]
    assert titles == [f"layer {i}, head {h}" for i in range(2) for h in range(3)]
    shown = maps[5].images[0].get_array()
    assert shown[1, 2] == pytest.approx(0.9)
    figure.canvas.draw()  # `$` begins no formula, and nothing else goes wrong


def test_the_strongest_links_in_words():
    words = describe_attention(attentions(), ["[CLS]", "a", "b", "c", "[SEP]"], top_k=1)
    assert "2 layers with 3 heads over 5 tokens" in words
    assert "'a' looks at 'b' with 90% in layer 1, head 2" in words  # and not 'b' at [CLS], 99%


def test_no_links_no_claims():
    words = describe_attention([torch.eye(3)[None, None]], ["[CLS]", "a", "[SEP]"])
    assert words.endswith("Strongest links: none between two words.")


def test_a_large_picture_does_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr("minibert.viz.attention_map.LONGEST_SIDE", 300)
    png = attention_png(attentions(), TOKENS)
    width, height = struct.unpack(">II", png[16:24])
    assert max(width, height) in (299, 300, 301)


def test_the_page_needs_nothing_and_runs_nothing():
    picture = attention_png(attentions(), TOKENS)
    words = describe_attention(attentions(), TOKENS)
    page = attention_page(picture, words, "<script>alert(3)</script>")
    assert "<script" not in page and "onerror=alert(2)>" not in page
    assert page.count("<img") == 1
    for attribute in re.findall(r'(?:src|href)="([^"]*)"', page):
        assert attribute.startswith("data:image/png;base64,")
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)
    assert re.search(r'alt="Attention maps of 2 layers', page)


def test_what_does_not_belong_together_is_said():
    with pytest.raises(ValueError, match="output_attentions"):
        attention_map([], TOKENS)
    with pytest.raises(ValueError, match="4 tokens for attention over 5"):
        attention_map(attentions(), TOKENS[:4])
    with pytest.raises(ValueError, match="2 sequences"):
        attention_map([torch.rand(2, 1, 5, 5)], TOKENS)
