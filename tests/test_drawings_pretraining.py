"""The drawings of chapter 6 show the numbers of their tensors."""

import math

import torch

from minibert.viz.drawings import pretraining


def texts(picture):
    """What is written in a drawing."""
    return [text.get_text() for text in picture.figure.axes[0].texts]


def test_the_mlm_head_shows_logits_and_probabilities():
    """By hand: h = (1, -1), so logits 2 and 0.5, and shares e^1.5 : 1."""
    token_matrix = torch.tensor([[1.0, -1.0], [0.0, 0.0]])
    picture = pretraining.draw_mlm_head(
        ["river", "union"], torch.tensor([3.0, 1.0]), torch.tensor([1.0, -1.0]),
        token_matrix, torch.tensor([0.0, 0.5]),
    )  # fmt: skip
    share = math.exp(1.5) / (1 + math.exp(1.5))
    assert {"2.00", "0.50", f"{share:.0%}", f"{1 - share:.0%}"} <= set(texts(picture))
    assert f"“union” logit 0.50, probability {1 - share:.0%}" in picture.alt


def test_two_losses_are_a_mean_and_a_sum():
    tokens = ["[CLS]", "the", "[MASK]", ".", "[SEP]", "we", "[MASK]", ".", "[SEP]"]
    picture = pretraining.draw_two_losses(tokens, ["river", "sat"], [3.0, 5.0], 0.25)
    written = texts(picture)
    assert "“river”: 3.00\n“sat”: 5.00" in written and "“B follows”: 0.25" in written
    total = "loss = 4.00 (MLM, the mean) + 0.25 (NSP) = 4.25 nats"
    assert total in written and total in picture.alt
    assert [w for w in written if w in tokens] == tokens
