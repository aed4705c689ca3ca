"""Self-attention (Vaswani et al., 2017, 3.2), from scratch and through torch's built-in.

Both compute the same numbers. Ours returns the weights, so use it to look inside. Torch's never
forms the (T, T) matrix on a GPU, so use it to train.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minibert.config import BertConfig, choose


def additive_mask(attention_mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """The mask to add to the scores: 0 where a key may be seen, a huge negative number elsewhere.

    `attention_mask` is (B, T), 1 for real tokens and 0 for padding, or (B, T, T), 1 where the query
    (first T) may see the key (second T). Returns (B, 1, 1, T) or (B, 1, T, T), or None for None.

    The number is the lowest finite one, not -inf. A query that may see nothing then gets equal
    weights, because -inf would give 0/0.
    """
    if attention_mask is None:
        return None
    if attention_mask.dim() not in (2, 3):
        raise ValueError(
            f"attention_mask is {tuple(attention_mask.shape)}; it must be (B, T) or (B, T, T)"
        )
    if attention_mask.dim() == 2:
        attention_mask = attention_mask[:, None, :]  # (B, 1, T): the same keys for every query
    hidden_keys = attention_mask[:, None] == 0  # (B, 1, 1 or T, T): the same for every head
    zeros = torch.zeros(hidden_keys.shape, dtype=dtype, device=attention_mask.device)
    return zeros.masked_fill(hidden_keys, torch.finfo(dtype).min)


def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, dropout_p: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Attention with its weights: softmax(Q K^T / sqrt(K) + mask) V.

    `query`, `key`, `value` are (..., T, K); `mask` is added to the scores (..., T, T).
    Returns the context (..., T, K) and the weights (..., T, T), whose rows sum to 1. As in the
    original BERT, dropout is applied to the weights; those returned are without it.
    """
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])  # (..., T, T)
    if mask is not None:
        scores = scores + mask
    weights = scores.softmax(dim=-1)  # over keys
    return F.dropout(weights, dropout_p, training=dropout_p > 0) @ value, weights


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """(B, T, D) -> (B, H, T, K): each head takes K of the D dimensions."""
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(B, H, T, K) -> (B, T, D): the heads side by side again."""
    return x.transpose(1, 2).flatten(-2)


class AbsolutePositions(nn.Module):
    """BERT's positions are vectors added to the embeddings: queries and keys stay as they are."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()

    def forward(self, x: Tensor, position_ids: Tensor | None) -> Tensor:
        """Queries or keys (B, H, T, K) of tokens at `position_ids` (B, T) -> (B, H, T, K)."""
        return x


POSITION_SCHEMES: dict[str, Callable[[BertConfig], nn.Module]] = {"absolute": AbsolutePositions}
"""What each `position_embedding_type` does to queries and keys before they are compared."""


class BertSelfAttention(nn.Module):
    """Multi-head self-attention and its output projection."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.dropout_prob = config.attention_probs_dropout_prob
        self.implementation = config.attn_implementation
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)
        scheme = config.position_embedding_type
        self.positions = choose("position_embedding_type", scheme, POSITION_SCHEMES)(config)

    def forward(
        self,
        hidden_states: Tensor,
        mask: Tensor | None = None,
        output_attentions: bool = False,
        position_ids: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, D) -> (B, T, D), and the weights (B, H, T, T) if they are asked for.

        `mask` is what `additive_mask` returns. Torch's built-in has no weights to return, so asking
        for them takes the path from scratch, whatever `attn_implementation` says.
        """
        query = split_heads(self.query(hidden_states), self.num_heads)  # (B, H, T, K)
        key = split_heads(self.key(hidden_states), self.num_heads)
        value = split_heads(self.value(hidden_states), self.num_heads)
        query, key = self.positions(query, position_ids), self.positions(key, position_ids)
        dropout_p = self.dropout_prob if self.training else 0.0
        if output_attentions or self.implementation == "eager":
            context, weights = scaled_dot_product_attention(query, key, value, mask, dropout_p)
        else:
            context = F.scaled_dot_product_attention(query, key, value, mask, dropout_p)
            weights = None
        return self.output(merge_heads(context)), weights if output_attentions else None


def mean_of_real_tokens(hidden_states: Tensor, attention_mask: Tensor | None) -> Tensor:
    """States (B, T, D) and a mask (B, T) -> their mean (B, D), without padding."""
    if attention_mask is None:
        return hidden_states.mean(1)
    real = attention_mask[..., None].to(hidden_states.dtype)  # (B, T, 1)
    return (hidden_states * real).sum(1) / real.sum(1).clamp(min=1)


class PooledQueryAttention(nn.Module):
    """One vector for a whole sequence: attention whose single query is the mean of all tokens.

    In BERT each token has a query of its own. Here the mean asks once, and the answer is a sentence
    vector: a learned weighted mean of the values.
    """

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        if hidden_size % num_heads:
            raise ValueError(f"hidden_size {hidden_size} does not divide by {num_heads} heads")
        self.num_heads = num_heads
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)
        self.output = nn.Linear(hidden_size, hidden_size)

    def forward(
        self, hidden_states: Tensor, attention_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(B, T, D) and a mask (B, T) -> the vector (B, D) and the weights (B, H, T)."""
        pooled = mean_of_real_tokens(hidden_states, attention_mask)  # (B, D)
        query = split_heads(self.query(pooled)[:, None], self.num_heads)  # (B, H, 1, K)
        key = split_heads(self.key(hidden_states), self.num_heads)  # (B, H, T, K)
        value = split_heads(self.value(hidden_states), self.num_heads)
        mask = additive_mask(attention_mask, hidden_states.dtype)
        context, weights = scaled_dot_product_attention(query, key, value, mask)
        return self.output(merge_heads(context))[:, 0], weights[:, :, 0]
