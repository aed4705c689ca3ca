"""Embeddings that start from counts and from waves, to save the first minutes of training."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

TOKENS_AT_ONCE = 1 << 20
STD = 0.02
"""BERT's `initializer_range`."""


def sinusoidal_positions(length: int, hidden_size: int) -> Tensor:
    """A position matrix (T, D) of sines and cosines (Vaswani et al., 2017, 3.5), at BERT's scale.

    BERT learns its positions from a random start, where any two are equally different. Here,
    neighbouring positions are similar, and the step to the next position is the same rotation
    everywhere, so heads learn sooner to look at a neighbour.
    """
    position = torch.arange(length)[:, None]  # (T, 1)
    wavelength = 10000 ** (torch.arange(0, hidden_size, 2) / hidden_size)  # (D / 2,), over 2 pi
    angle = position / wavelength  # (T, D / 2)
    waves = torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :hidden_size]  # (T, D)
    return waves * math.sqrt(2) * STD  # a sine's root mean square is 1 / sqrt(2)


def token_counts(tokens: np.ndarray, vocab_size: int) -> np.ndarray:
    """How often each token occurs: ids (N,) -> (V,)."""
    counts = np.zeros(vocab_size, dtype=np.int64)
    for start in range(0, len(tokens), TOKENS_AT_ONCE):
        counts += np.bincount(tokens[start : start + TOKENS_AT_ONCE], minlength=vocab_size)
    return counts


def cooccurrence_counts(tokens: np.ndarray, vocab_size: int, window: int = 4) -> sparse.csr_matrix:
    """How often two tokens occur near each other: ids (N,) -> symmetric counts (V, V).

    A neighbour at distance d counts 1/d, up to `window` (Pennington et al., 2014, 4.2).
    """
    counts = sparse.csr_matrix((vocab_size, vocab_size))
    for start in range(0, len(tokens), TOKENS_AT_ONCE):
        # The window reaches into the next part, or pairs over the border would be lost.
        part = np.asarray(tokens[start : start + TOKENS_AT_ONCE + window], dtype=np.int64)
        for distance in range(1, window + 1):
            left = part[: max(0, min(TOKENS_AT_ONCE, len(part) - distance))]
            right = part[distance : distance + len(left)]
            weights = np.full(len(left), 1 / distance)
            counts = counts + sparse.csr_matrix((weights, (left, right)), counts.shape)
    return counts + counts.T


def ppmi(counts: sparse.csr_matrix, context_power: float = 0.75) -> sparse.csr_matrix:
    """Positive pointwise mutual information: max(0, log p(a, b) / (p(a) p(b))), (V, V).

    Contexts count to the power of 0.75, because rare contexts would otherwise get too much weight
    (Levy, Goldberg and Dagan, 2015, 3.2).
    """
    pairs = counts.tocoo()
    row_share = np.asarray(counts.sum(1)).ravel() / counts.sum()  # (V,)
    context = np.asarray(counts.sum(0)).ravel() ** context_power
    context_share = context / context.sum()  # (V,)
    information = np.log(
        pairs.data / counts.sum() / (row_share[pairs.row] * context_share[pairs.col])
    )
    positive = information > 0
    kept = (information[positive], (pairs.row[positive], pairs.col[positive]))
    return sparse.csr_matrix(kept, counts.shape)


def cooccurrence_embeddings(
    tokens: np.ndarray, vocab_size: int, hidden_size: int, window: int = 4, seed: int = 0
) -> Tensor:
    """A token matrix (V, D) from counting alone: PPMI, its truncated SVD, BERT's scale.

    BERT learns its embeddings. If they start from counts, the first minutes of training need not
    find out which words are similar. `tokens` are the ids (N,) of a corpus. Rows are U sqrt(S)
    (Levy et al., 2015, 3.3), centred and scaled to BERT's standard deviation.
    Tokens that never occur start at random, as all tokens do in BERT.
    """
    information = ppmi(cooccurrence_counts(tokens, vocab_size, window))
    seen = np.flatnonzero(information.sum(1))
    information = information[seen][:, seen]
    rng = np.random.default_rng(seed)
    rank = min(hidden_size, len(seen))
    if len(seen) > 2 * hidden_size:
        left, singular, _ = sparse.linalg.svds(information, k=rank, rng=rng)
    else:  # a small matrix: the whole decomposition, which needs no random start
        left, singular, _ = np.linalg.svd(information.toarray())
    counted = left[:, :rank] * np.sqrt(singular[:rank])
    counted = counted - counted.mean(0)
    vectors = rng.normal(0.0, STD, (vocab_size, hidden_size))
    vectors[seen, :rank] = counted / counted.std() * STD
    return torch.from_numpy(vectors).float()
