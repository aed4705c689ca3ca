"""Embeddings from counting: counts, PPMI and the start that they give."""

import math

import numpy as np
import pytest
import torch

from minibert import embeddings
from minibert.embeddings import cooccurrence_counts, cooccurrence_embeddings, ppmi


@pytest.mark.parametrize("at_once", [3, 7, 1 << 20])
def test_counts_are_those_of_the_slow_way(monkeypatch, at_once):
    monkeypatch.setattr(embeddings, "TOKENS_AT_ONCE", at_once)
    tokens = np.random.default_rng(0).integers(0, 9, 60).astype(np.uint16)
    slow = np.zeros((9, 9))
    for i in range(len(tokens)):
        for j in range(len(tokens)):
            if 0 < abs(i - j) <= 4:
                slow[tokens[i], tokens[j]] += 1 / abs(i - j)
    np.testing.assert_allclose(cooccurrence_counts(tokens, 9, 4).toarray(), slow)


def test_ppmi_by_hand():
    """0 and 1 meet 3 times, 0 and 2 once."""
    counts = embeddings.sparse.csr_matrix(np.array([[0.0, 3, 1], [3, 0, 0], [1, 0, 0]]))
    context = np.array([4.0, 3, 1]) ** 0.75
    context /= context.sum()
    want = np.zeros((3, 3))
    for a, b in ((0, 1), (1, 0), (0, 2), (2, 0)):
        pair, row = counts[a, b] / 8, (4, 3, 1)[a] / 8
        want[a, b] = max(0, math.log(pair / (row * context[b])))
    np.testing.assert_allclose(ppmi(counts).toarray(), want)
    assert (want > 0).any() and (want == 0).any()


@pytest.mark.parametrize("vocab_size", [12, 400])
def test_words_that_stand_alike_start_alike(vocab_size):
    """Tokens 2 and 3 are told apart by nothing but their name; 4 and 5 stand elsewhere."""
    rng = np.random.default_rng(0)
    tokens = np.concatenate(
        [rng.choice([[6, 2, 7], [6, 3, 7], [8, 4, 9], [8, 5, 9]]) for _ in range(3000)]
        + [rng.integers(2, vocab_size, 3000)]
    )
    matrix = cooccurrence_embeddings(tokens, vocab_size, 16, window=1)
    assert matrix.shape == (vocab_size, 16) and matrix.dtype == torch.float32
    seen = matrix[2:, : min(16, vocab_size - 2)]  # with 10 tokens there are 10 dimensions to count
    similar = torch.nn.functional.cosine_similarity(seen[:4, None], seen[None, :4], dim=-1)
    assert similar[0, 1] > 0.8 and similar[2, 3] > 0.8  # 2 and 3, 4 and 5
    assert similar[:2, 2:].max() < 0.5
    assert seen.std().item() == pytest.approx(0.02, rel=0.02)
    assert seen.mean(0).abs().max() < 1e-6
    assert matrix[0].std() > 0.01  # never seen: at random
    assert torch.equal(matrix, cooccurrence_embeddings(tokens, vocab_size, 16, window=1))
