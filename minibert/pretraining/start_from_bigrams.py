"""A BERT that starts where counting ends.

Counting which tokens are next to each other is enough to fill in a quarter of all masked tokens. A
new BERT needs its first minutes to learn as much. Here it gets that knowledge as weights:

1. The token matrix and two context matrices come from one factorisation of the bigram counts: the
   vector of a token, times the left context of `l` and the right context of `r`, is about
   log P(token | l, r) - log P(token).
2. Positions have dimensions of their own, where the codes of any two positions are orthogonal, and
   one rotation leads from each code to the next.
3. In the first layer, half of the heads look at the previous token and half at the next: queries
   are rotated positions, keys are positions. Their values turn a token's vector into its context.
4. The head for masked words passes its input on, scaled to fit.

Training starts from these weights. The model is an ordinary BERT.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from minibert.attention import BertSelfAttention
from minibert.data.batches import Batch
from minibert.model import IGNORE_INDEX, BertForPreTraining
from minibert.pretraining.counted_embeddings import ppmi, token_counts

TOKEN_STD = 0.03
"""Of the token matrix. The smaller, the faster it is learned; BERT's own is 0.02."""
ATTENTION_GAP = 8.0
"""How far the neighbour's score is above all others, before the softmax."""
CONTEXT_SHARE = 0.5
"""Length of what the first layer adds to a token, over the token's own."""
GAINS = (0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
"""Scales of the logits that are tried."""


@dataclass(frozen=True)
class NeighbourVectors:
    """`token[w] @ (left[l] + right[r])` is about log P(w | l, r) - log P(w); each (V, D)."""

    token: np.ndarray
    left: np.ndarray
    right: np.ndarray


def neighbour_vectors(
    tokens: np.ndarray, vocab_size: int, size: int, seed: int = 0
) -> NeighbourVectors:
    """Vectors of `size` dimensions from the bigrams of ids (N,).

    A truncated SVD of positive pointwise mutual information, left and right side by side (V, 2V).
    Each token is weighted by the square root of its frequency. Otherwise rare pairs, whose counts
    are least reliable, would take most dimensions.
    """
    tokens = np.asarray(tokens, dtype=np.int64)
    pairs = (np.ones(len(tokens) - 1), (tokens[:-1], tokens[1:]))
    follows = sparse.csr_matrix(pairs, (vocab_size, vocab_size))  # row: the first of a pair
    information = ppmi(follows, context_power=1.0)
    weights = np.sqrt(token_counts(tokens, vocab_size) + 1.0)
    weights /= weights.mean()
    weigh = sparse.diags(weights)
    sides = [weigh @ side @ weigh for side in (information.T, information)]
    both = sparse.hstack(sides).tocsr()  # (V, 2V)
    rank = min(size, vocab_size - 1)
    u, singular, v = sparse.linalg.svds(both, k=rank, rng=np.random.default_rng(seed))
    vectors = np.zeros((3, vocab_size, size))  # token, left, right
    vectors[:, :, :rank] = np.concatenate([u, v.T]).reshape(3, vocab_size, rank)
    vectors[:, :, :rank] *= np.sqrt(singular) / weights[:, None]
    return NeighbourVectors(*vectors)


def position_size(length: int) -> int:
    """How many dimensions hold the position alone, for sequences of so many tokens.

    Codes repeat after twice their size.
    """
    return max(32, 2 * math.ceil(length / 4))


def position_codes(length: int, size: int) -> Tensor:
    """Codes (length, size) of which any two are orthogonal, up to `size` apart; each of length 1.

    Sines and cosines as in Vaswani et al. (2017), but with frequencies spread evenly up to half a
    turn a token, so that the code of the next position is the same rotation everywhere.
    """
    angles = torch.arange(length)[:, None] * _frequencies(size)  # (T, P / 2)
    waves = torch.stack([angles.cos(), angles.sin()], dim=-1)  # (T, P / 2, 2)
    return waves.flatten(1) / math.sqrt(size / 2)


def _frequencies(size: int) -> Tensor:
    return math.pi * (2 * torch.arange(size // 2) + 1) / size


def rotation(size: int, offset: int) -> Tensor:
    """The matrix (P, P) that rotates a position's code into the code `offset` positions later."""
    turns = _frequencies(size) * offset
    blocks = [torch.tensor([[t.cos(), -t.sin()], [t.sin(), t.cos()]]) for t in turns]
    return torch.block_diag(*blocks)


@torch.no_grad()
def start_from_neighbours(
    model: BertForPreTraining, tokens: np.ndarray, batch: Batch, seed: int = 0
) -> None:
    """Put what the bigrams of `tokens` (N,) know into a new model.

    `batch` is a training batch, which chooses the scale of the logits. Raises `ValueError` for a
    model without an even number of heads, or whose heads have fewer dimensions than positions need.
    """
    config = model.config
    needed = position_size(config.max_position_embeddings)
    if config.num_attention_heads % 2 or config.head_size < needed:
        raise ValueError(
            f"to start from neighbours, a model of {config.max_position_embeddings} positions "
            f"needs an even number of heads with at least {needed} dimensions each: this one has "
            f"{config.num_attention_heads} heads of {config.head_size}"
        )
    size = config.hidden_size - needed
    vectors = neighbour_vectors(tokens, config.vocab_size, size, seed)
    counts = token_counts(tokens, config.vocab_size)
    _start_embeddings(model, vectors.token, counts)
    seen = model.bert.embeddings.norm(
        model.bert.embeddings.word_embeddings.weight
        + model.bert.embeddings.position_embeddings.weight[0]
    )  # (V, D), as the first layer sees the tokens
    maps = [_linear_map(seen[:, :size], side, counts) for side in (vectors.left, vectors.right)]
    first: Any = model.bert.encoder.layers[0]
    _start_attention(first.attention, maps, seen, counts)
    _start_head(model, batch)


def _start_embeddings(model: BertForPreTraining, vectors: np.ndarray, counts: np.ndarray) -> None:
    """Tokens in the first dimensions, positions in the last; a token that never occurs is near 0.

    So is `[MASK]`, because its state should hold what its neighbours say and nothing else.
    """
    embeddings = model.bert.embeddings
    size = vectors.shape[1]
    seen = torch.from_numpy(counts > 0)
    tokens = torch.from_numpy(vectors).float()
    words = embeddings.word_embeddings.weight
    words.mul_(0.05)
    words[seen] = 0.0
    words[seen, :size] = tokens[seen] * TOKEN_STD / tokens[seen].std()
    positions = embeddings.position_embeddings.weight
    positions.zero_()
    length = words[seen].norm(dim=1).median()
    positions[:, size:] = length * position_codes(len(positions), positions.shape[1] - size)
    embeddings.token_type_embeddings.weight.mul_(0.1)


def _linear_map(seen: Tensor, contexts: np.ndarray, counts: np.ndarray) -> Tensor:
    """The matrix (D', D') that best turns tokens (V, D') into their contexts (V, D')."""
    x, weights = seen.double(), torch.from_numpy((counts / counts.sum()) ** 0.75)[:, None]
    gram = x.T @ (weights * x)
    gram += 1e-5 * gram.diagonal().mean() * torch.eye(len(gram))
    return torch.linalg.solve(gram, x.T @ (weights * torch.from_numpy(contexts))).float()


def _start_attention(
    attention: BertSelfAttention, maps: list[Tensor], seen: Tensor, counts: np.ndarray
) -> None:
    """Half of the heads look at the previous token, half at the next; values become contexts."""
    size, width = maps[0].shape[0], seen.shape[1]
    codes = width - size
    head_size = width // attention.num_heads
    half = width // 2
    likely = torch.from_numpy(counts / counts.sum()).float()
    # Lengths as the layer sees them: of a token's position, and of both contexts together.
    key_length = float(likely @ seen[:, size:].norm(dim=1))
    context = (seen[:, :size] @ maps[0], seen[:, :size] @ maps[1])  # (V, D') each
    context_length = math.sqrt(sum(float(likely @ c.square().sum(1)) for c in context))
    # `[MASK]` is nothing but position, so it is as long as any normalised state.
    gap = ATTENTION_GAP * math.sqrt(head_size) / (key_length * math.sqrt(width))
    gain = CONTEXT_SHARE * math.sqrt(width) / context_length
    for linear in (attention.query, attention.key, attention.value, attention.output):
        linear.weight.mul_(0.25)  # little noise, so that the pattern is clear
    for side, (matrix, offset) in enumerate(zip(maps, (-1, 1), strict=True)):
        u, s, v = torch.linalg.svd(matrix)  # x @ u @ diag(s) @ v
        rank = min(half, size)
        heads = slice(side * half, side * half + rank)
        root = (gain * s[:rank]).sqrt()
        attention.value.weight[heads, :size] += (u[:, :rank] * root).T
        attention.output.weight[:size, heads] += v[:rank].T * root
        for start in range(side * half, (side + 1) * half, head_size):
            rows = slice(start, start + codes)
            attention.query.weight[rows, size:] += math.sqrt(gap) * rotation(codes, offset)
            attention.key.weight[rows, size:] += math.sqrt(gap) * torch.eye(codes)


def _start_head(model: BertForPreTraining, batch: Batch) -> None:
    """The transform passes its input on, and its LayerNorm scales it to fit the batch."""
    head = model.mlm_head
    head.dense.weight.mul_(0.25).add_(0.7 * torch.eye(len(head.dense.weight)))
    # At 2.5, GELU is a straight line. LayerNorm subtracts the constant again.
    nn.init.constant_(head.dense.bias, 2.5)
    labels = batch["labels"]
    masked = labels != IGNORE_INDEX  # (B, T)
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask") if name in batch}
    states = model.bert(**inputs).last_hidden_state[masked]  # (M, D)
    losses = {}
    for gain in GAINS:
        nn.init.constant_(head.norm.weight, gain)
        losses[gain] = float(nn.functional.cross_entropy(head(states), labels[masked]))
    nn.init.constant_(head.norm.weight, min(losses, key=losses.__getitem__))
