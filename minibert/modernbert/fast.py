"""ModernBERT without padding, and with local attention in time proportional to the text.

`ModernBertModel` is the plain twin, and a test checks that both agree. There, a local layer
computes all T x T scores and hides most of them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from minibert.attention import merge_heads, split_heads
from minibert.modernbert.model import ModernBertAttention, ModernBertLayer, ModernBertModel


def unpadded_states(bert: ModernBertModel, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """Ids and their mask (B, T) -> the last states (B, T, D), which are 0 at padding.

    The N real tokens of a batch form one row, so that nothing is computed for padding. Attention
    goes through that row text by text. Raises `ValueError` for padding inside of a text.
    """
    real = attention_mask.bool()  # (B, T)
    row, place = real.nonzero(as_tuple=True)  # (N,) each
    if ((place.diff() != 1) & (row.diff() == 0)).any():
        raise ValueError("attention_mask has padding inside of a text, not before or after it")
    lengths = [length for length in real.sum(1).tolist() if length]
    x = bert.embeddings(input_ids[real][None])  # (1, N, D)
    for layer in bert.layers:
        assert isinstance(layer, ModernBertLayer)
        normed = layer.attention_norm(x)
        x = x + _attend(layer.attention, normed, place[None], lengths)
        x = x + layer.feed_forward(layer.feed_forward_norm(x))
    states = x.new_zeros(*input_ids.shape, x.shape[-1])  # (B, T, D)
    return states.index_put((row, place), bert.final_norm(x)[0])


def _attend(
    attention: ModernBertAttention, x: Tensor, position_ids: Tensor, lengths: list[int]
) -> Tensor:
    """`ModernBertAttention.forward` for texts of these lengths in one row: (1, N, D)."""
    parts = attention.query_key_value(x).chunk(3, dim=-1)  # (1, N, D) each
    query, key, value = (split_heads(part, attention.num_heads) for part in parts)  # (1, H, N, K)
    query, key = attention.positions(query, position_ids), attention.positions(key, position_ids)
    dropout_p = attention.dropout.p if attention.training else 0.0
    texts = zip(*(part.split(lengths, dim=2) for part in (query, key, value)), strict=True)
    contexts = [windowed_attention(q, k, v, attention.window, dropout_p) for q, k, v in texts]
    return attention.dropout(attention.output(merge_heads(torch.cat(contexts, dim=2))))


def windowed_attention(
    query: Tensor, key: Tensor, value: Tensor, window: int | None, dropout_p: float = 0.0
) -> Tensor:
    """Attention within a window: (B, H, T, K) each -> the context (B, H, T, K).

    A block of `window` queries needs twice as many keys at most, so time and memory grow with
    T x window, not with T x T. None means no window.
    """
    length = query.shape[2]
    if window is None:
        return F.scaled_dot_product_attention(query, key, value, None, dropout_p)
    place, reach = torch.arange(length, device=query.device), window // 2
    blocks = []
    for start in range(0, length, window):
        asking = slice(start, start + window)
        seen = slice(max(0, start - reach), start + window + reach)
        near = (place[asking, None] - place[seen]).abs() <= reach  # (window, 2 x window)
        parts = query[:, :, asking], key[:, :, seen], value[:, :, seen]
        blocks.append(F.scaled_dot_product_attention(*parts, near, dropout_p))
    return torch.cat(blocks, dim=2)
