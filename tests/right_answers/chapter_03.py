"""Right answers to the exercises of chapter 3, at least two ways each besides the reference."""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import nn


def loops_weights(query, key):
    *outer, T, K = query.shape
    out = torch.zeros(*outer, T, T)
    for place in itertools.product(*map(range, outer)):
        for i in range(T):
            fits = [sum(query[place][i] * key[place][j]) / K**0.5 for j in range(T)]
            total = sum(math.exp(fit) for fit in fits)
            for j in range(T):
                out[place][i, j] = math.exp(fits[j]) / total
    return out


def einsum_weights(query, key):
    scores = torch.einsum("...ik,...jk->...ij", query, key) * query.shape[-1] ** -0.5
    exponentials = (scores - scores.amax(-1, keepdim=True)).exp()
    return exponentials / exponentials.sum(-1, keepdim=True)


def builtin_masked(query, key, value, attention_mask):
    lowest = torch.zeros(attention_mask.shape).masked_fill(
        attention_mask == 0, torch.finfo(torch.float32).min
    )
    return F.scaled_dot_product_attention(query, key, value, attn_mask=lowest[:, None])


def added_masked(query, key, value, attention_mask):
    scores = torch.einsum("bik,bjk->bij", query, key) / query.shape[-1] ** 0.5
    return (scores + (1 - attention_mask[:, None]) * -1e9).softmax(-1) @ value


def loop_split(x, num_heads):
    K = x.shape[-1] // num_heads
    return torch.stack([x[:, :, h * K : (h + 1) * K] for h in range(num_heads)], dim=1)


def view_split(x, num_heads):
    B, T, D = x.shape
    return x.view(B, T, num_heads, D // num_heads).permute(0, 2, 1, 3)


def loop_pooled(x, attention_mask):
    return torch.stack(
        [row[real == 1].mean(0) for row, real in zip(x, attention_mask, strict=True)]
    )


class Builtin(nn.Module):
    """Parts made in another order, attention by torch."""

    def __init__(self, hidden_size, num_heads):
        super().__init__()
        for name in ("output", "value", "key", "query"):
            setattr(self, name, nn.Linear(hidden_size, hidden_size))
        self.num_heads = num_heads

    def forward(self, x, attention_mask):
        parts = (view_split(part(x), self.num_heads) for part in (self.query, self.key, self.value))
        seen = attention_mask[:, None, None, :].bool()
        found = F.scaled_dot_product_attention(*parts, attn_mask=seen)
        return self.output(found.transpose(1, 2).reshape(x.shape))


class OneHeadAtATime(nn.Module):
    def __init__(self, hidden_size, num_heads):
        super().__init__()
        self.query, self.key = (
            nn.Linear(hidden_size, hidden_size),
            nn.Linear(hidden_size, hidden_size),
        )
        self.value, self.output = (
            nn.Linear(hidden_size, hidden_size),
            nn.Linear(hidden_size, hidden_size),
        )
        self.K = hidden_size // num_heads

    def forward(self, x, attention_mask):
        q, k, v = (p(x).split(self.K, dim=-1) for p in (self.query, self.key, self.value))
        found = [added_masked(*parts, attention_mask) for parts in zip(q, k, v, strict=True)]
        return self.output(torch.cat(found, dim=-1))


RIGHT = {
    "weights_shape": [(2, 3, 5, 5), torch.Size([2, 3, 5, 5])],
    "attention_weights": [loops_weights, einsum_weights],
    "masked_attention": [builtin_masked, added_masked],
    "split_heads": [loop_split, view_split],
    "merge_heads": [
        lambda x: torch.cat(list(x.unbind(1)), dim=-1),
        lambda x: x.permute(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1),
    ],
    "pooled_query": [
        loop_pooled,
        lambda x, m: torch.einsum("btd,bt->bd", x, m / m.sum(1, keepdim=True)),
    ],
    "SelfAttention": [Builtin, OneHeadAtATime],
    "attention": [
        lambda q, k, v: (loops_weights(q, k) @ v, loops_weights(q, k)),
        lambda q, k, v: (F.scaled_dot_product_attention(q, k, v), einsum_weights(q, k)),
    ],
    "hide": [
        lambda scores, mask: scores + (1 - mask) * torch.finfo(scores.dtype).min,
        lambda scores, mask: torch.where(mask.bool(), scores, -1e9),
    ],
    "causal_mask": [
        lambda n: torch.tensor([[float(j <= i) for j in range(n)] for i in range(n)]),
        lambda n: (torch.arange(n)[:, None] >= torch.arange(n)).float(),
    ],
}
