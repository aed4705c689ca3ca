"""Chapter 4's drawings show the numbers of their tensors, and the steps in their order."""

import torch

from minibert.viz.drawings import encoder


def written(picture):
    return [text.get_text() for text in picture.figure.axes[0].texts]


def test_the_feed_forward_shows_each_token_on_its_way():
    x = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    wide = torch.tensor([[1.0, -2.0, 0.0], [4.0, 5.0, -6.0]])
    out = torch.tensor([[7.0, 0.0], [8.0, 9.0]])
    picture = encoder.draw_feed_forward(["the", "bank"], x, wide, wide.clamp(min=0), out)
    texts = written(picture)
    row = texts[texts.index("bank") + 1 :]
    assert row == ["0", "3", "4", "5", "-6", "4", "5", "0", "8", "9"]
    assert "“bank” (0, 3) becomes (4, 5, -6), then (4, 5, 0), and leaves as (8, 9)" in picture.alt
    assert "x: D = 2" in texts and "wide: F = 3" in texts


def test_in_the_block_only_attention_reaches_across_the_tokens():
    picture = encoder.draw_block(["the", "bank", "river"])
    texts = written(picture)
    assert texts.count("attention") == 1
    assert texts.count("feed-forward") == 3
    assert texts.count("+") == texts.count("LayerNorm") == 6
    heights = {patch.get_height() for patch in picture.figure.axes[0].patches
               if hasattr(patch, "get_boxstyle")}  # fmt: skip
    assert max(heights) > 3 * min(heights)
    assert "for the tokens the, bank, river" in picture.alt


def placed(picture):
    """The steps of each of the two lines, from left to right."""
    names = {"attention", "feed-forward", "LayerNorm", "+"}
    steps = [
        (*text.get_position(), text.get_text())
        for text in picture.figure.axes[0].texts
        if text.get_text() in names
    ]
    lines = sorted({y for _, y, _ in steps})
    return [[name for _, y, name in sorted(steps) if y == line] for line in lines]


def test_layernorm_comes_after_the_sum_or_before_the_part():
    post, pre = placed(encoder.draw_orders())
    assert post == ["attention", "+", "LayerNorm", "feed-forward", "+", "LayerNorm"]
    assert pre == ["LayerNorm", "attention", "+", "LayerNorm", "feed-forward", "+"]


def test_the_stack_shows_every_state_and_counts_layers_from_0():
    states = torch.tensor([[0.26, -0.01], [1.0, 2.0], [-3.0, 4.0]])
    picture = encoder.draw_stack("bank", states)
    texts = written(picture)
    assert [t for t in texts if t.startswith("layer ")] == ["layer 0", "layer 1"]
    assert [t for t in texts if t.startswith("state ")] == ["state 0", "state 1", "state 2"]
    assert "-0.0" not in texts
    assert "state 0: 0.3, 0.0; state 1: 1.0, 2.0; state 2: -3.0, 4.0." in picture.alt
