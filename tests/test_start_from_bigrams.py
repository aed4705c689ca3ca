"""What a BERT knows that starts from counted neighbours."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from minibert.config import BertConfig
from minibert.model import BertForPreTraining
from minibert.pretraining.start_from_bigrams import (
    neighbour_vectors,
    position_codes,
    position_size,
    rotation,
    start_from_neighbours,
)

MASK = 4
V = 60


@pytest.fixture(scope="module")
def text():
    """Ids 5 ... 59 in a random walk: each is followed by one of two, of which one is frequent."""
    rng = np.random.default_rng(0)
    after = np.stack([5 + rng.permutation(V - 5), 5 + rng.permutation(V - 5)], axis=1)
    ids = [5]
    for _ in range(30_000):
        ids.append(after[ids[-1] - 5, int(rng.random() < 0.1)])
    return np.array(ids)


def masked_batch(text, length=32, every=5):
    ids = torch.from_numpy(text[: 64 * length].reshape(64, length).copy())
    labels = torch.full_like(ids, -100)
    labels[:, 2:-1:every] = ids[:, 2:-1:every]
    return {"input_ids": ids.masked_fill(labels != -100, MASK), "labels": labels}


def started(text, heads=4):
    config = BertConfig(
        vocab_size=V,
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=heads,
        intermediate_size=128,
        max_position_embeddings=32,
    )
    torch.manual_seed(0)
    model = BertForPreTraining(config, next_sentence=False).eval()
    start_from_neighbours(model, text, masked_batch(text))
    return model


def test_vectors_give_the_mutual_information_of_neighbours():
    """By hand, for a text of three tokens, and two dimensions of the three that there are."""
    text = np.array([0, 1, 0, 1, 0, 2, 2, 0, 1, 1])
    vectors = neighbour_vectors(text, 3, 2)
    pairs = np.array([[0, 3, 1], [2, 1, 0], [1, 0, 1]])  # [first, second]
    shares = pairs / pairs.sum()
    with np.errstate(divide="ignore"):
        information = np.log(shares / np.outer(shares.sum(1), shares.sum(0)))
    ppmi = np.maximum(0, information)
    got = np.concatenate([vectors.token @ vectors.left.T, vectors.token @ vectors.right.T], axis=1)
    wanted = np.concatenate([ppmi.T, ppmi], axis=1)
    # The best matrix of rank 2, where errors weigh as the roots of the counts.
    weights = np.sqrt(np.array([4, 4, 2]) + 1.0)
    weights /= weights.mean()
    weigh = np.outer(weights, np.tile(weights, 2))
    u, s, v = np.linalg.svd(weigh * wanted, full_matrices=False)
    assert_close(torch.from_numpy(weigh * got), torch.from_numpy((u[:, :2] * s[:2]) @ v[:2]))


def test_positions_are_orthogonal_and_one_rotation_leads_to_the_next():
    codes = position_codes(64, 32)
    near = (codes @ codes.T)[:32, :32]
    assert_close(near, torch.eye(32), atol=1e-5, rtol=0)
    for offset in (-1, 1, 3):
        turned = codes[5:20] @ rotation(32, offset).T
        assert_close(turned, codes[5 + offset : 20 + offset], atol=1e-5, rtol=0)
    assert position_size(64) == 32 and position_size(128) == 64
    codes = position_codes(128, position_size(128))
    others = (codes @ codes.T).fill_diagonal_(-1)
    assert others.max() < 1e-4  # no other position has the same code


@pytest.mark.parametrize("heads", [2, 4])
def test_heads_of_the_first_layer_look_at_the_neighbours(text, heads):
    batch = masked_batch(text)
    out = started(text, heads).bert(batch["input_ids"], output_attentions=True)
    rows, places = (batch["labels"] != -100).nonzero(as_tuple=True)
    first = out.attentions[0]  # (B, H, T, T)
    back = first[rows, :, places, places - 1]  # (masked, H)
    on = first[rows, :, places, places + 1]
    assert back[:, : heads // 2].mean() > 0.9 and on[:, heads // 2 :].mean() > 0.9
    assert back[:, heads // 2 :].max() < 0.1 and on[:, : heads // 2].max() < 0.1


def test_it_guesses_what_neighbours_tell(text):
    """In this text the neighbours say almost all: nine in ten, and more from both sides."""
    batch = masked_batch(text)
    labels = batch["labels"]
    model = started(text)
    with torch.no_grad():
        logits = model(batch["input_ids"]).prediction_logits
    masked = labels != -100
    right = (logits.argmax(-1) == labels)[masked].float().mean()
    assert right > 0.9
    torch.manual_seed(0)
    with torch.no_grad():
        random = BertForPreTraining(model.config, next_sentence=False).eval()(batch["input_ids"])
    assert (random.prediction_logits.argmax(-1) == labels)[masked].float().mean() < 0.1


def test_a_shape_that_cannot_hold_it_is_refused(text):
    with pytest.raises(ValueError, match=r"even number of heads with at least 32 .*1 heads of 128"):
        started(text, heads=1)
    with pytest.raises(ValueError, match="8 heads of 16"):
        started(text, heads=8)
