"""Embeddings from counting: counts, PPMI and the start that they give."""

import math

import numpy as np
import pytest
import torch

from minibert.pretraining import counted_embeddings
from minibert.pretraining.counted_embeddings import (
    cooccurrence_counts,
    cooccurrence_embeddings,
    ppmi,
    sinusoidal_positions,
    token_counts,
)


def test_sinusoidal_positions_by_hand():
    positions = sinusoidal_positions(7, 4) / 0.02
    for t in range(7):
        angles = (math.sin(t), math.cos(t), math.sin(t / 100), math.cos(t / 100))
        assert positions[t].tolist() == pytest.approx([math.sqrt(2) * a for a in angles], abs=1e-5)


def test_sinusoidal_positions_know_distance_alone():
    positions = sinusoidal_positions(64, 128)
    likeness = positions @ positions.T
    for distance in (0, 1, 2, 9):
        diagonal = likeness.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal))
    assert (likeness[0, :4].diff() < 0).all()  # the nearer, the more alike
    assert positions.square().mean().sqrt().item() == pytest.approx(0.02)


@pytest.mark.parametrize("at_once", [3, 7, 1 << 20])
def test_counts_are_those_of_the_slow_way(monkeypatch, at_once):
    monkeypatch.setattr(counted_embeddings, "TOKENS_AT_ONCE", at_once)
    tokens = np.random.default_rng(0).integers(0, 9, 60).astype(np.uint16)
    slow = np.zeros((9, 9))
    for i in range(len(tokens)):
        for j in range(len(tokens)):
            if 0 < abs(i - j) <= 4:
                slow[tokens[i], tokens[j]] += 1 / abs(i - j)
    np.testing.assert_allclose(cooccurrence_counts(tokens, 9, 4).toarray(), slow)
    assert token_counts(tokens, 10).tolist() == [list(tokens).count(i) for i in range(10)]


def test_ppmi_by_hand():
    """0 and 1 meet 3 times, 0 and 2 once."""
    counts = counted_embeddings.sparse.csr_matrix(np.array([[0.0, 3, 1], [3, 0, 0], [1, 0, 0]]))
    context = np.array([4.0, 3, 1]) ** 0.75
    context /= context.sum()
    want = np.zeros((3, 3))
    for a, b in ((0, 1), (1, 0), (0, 2), (2, 0)):
        pair, row = counts[a, b] / 8, (4, 3, 1)[a] / 8
        want[a, b] = max(0, math.log(pair / (row * context[b])))
    np.testing.assert_allclose(ppmi(counts).toarray(), want)
    assert (want > 0).any() and (want == 0).any()


@pytest.mark.parametrize("groups", [3, 10])
def test_words_that_stand_alike_start_alike(groups):
    """Each group is a left word, one of two in the middle, a right word: the two stand alike."""
    rng = np.random.default_rng(0)
    group = rng.integers(0, groups, 4000)
    middle = rng.integers(1, 3, 4000)
    tokens = np.stack([4 * group, 4 * group + middle, 4 * group + 3], 1).ravel() + 2
    vocab_size = 4 * groups + 2  # 0 and 1 never occur
    matrix = cooccurrence_embeddings(tokens, vocab_size, 16, window=1)
    assert matrix.shape == (vocab_size, 16) and matrix.dtype == torch.float32
    seen = matrix[2:, : min(16, 4 * groups)]
    middles = seen.view(groups, 4, -1)[:, 1:3].flatten(0, 1)  # the two of each group in a row
    similar = torch.nn.functional.cosine_similarity(middles[:, None], middles[None], dim=-1)
    same_group = torch.arange(2 * groups) // 2
    same_group = same_group[:, None] == same_group[None]
    assert similar[same_group].min() > 0.9
    assert similar[~same_group].max() < 0.5
    assert seen.std().item() == pytest.approx(0.02, rel=0.02)
    assert seen.mean(0).abs().max() < 1e-6
    assert matrix[0].std() > 0.01  # never seen: at random
    assert torch.equal(matrix, cooccurrence_embeddings(tokens, vocab_size, 16, window=1))
