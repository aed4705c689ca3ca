"""Right answers to the exercises and blanks of chapter 13, two ways each or more."""

import math
from functools import reduce

import numpy as np
import torch
import torch.nn.functional as F
from scipy import stats
from torch import nn
from transformers.models.modernbert.modeling_modernbert import apply_rotary_pos_emb

from minibert.attention import scaled_dot_product_attention
from minibert.finetuning.metrics import interval
from minibert.modernbert.config import ModernBertConfig
from minibert.modernbert.model import GatedFeedForward, RotaryPositions, local_mask


def counted_window():
    """From the package's mask and config, for a text of 1,001 tokens."""
    config, length = ModernBertConfig(), 1001
    seen = local_mask(None, torch.zeros(1, length), config.local_attention)[0]
    middle = length // 2
    twice = (seen[middle].float() @ seen.float()).nonzero()
    layers = range(config.num_hidden_layers)
    return int(seen[middle].sum()), sum(map(config.is_global, layers)), int(twice.max()) - middle


def package_rotary_attention(query, key, value, position_ids, theta):
    positions = RotaryPositions(query.shape[-1], theta)
    query, key = positions(query, position_ids), positions(key, position_ids)
    return scaled_dot_product_attention(query, key, value)[0]


def complex_rotary_attention(query, key, value, position_ids, theta):
    """A turn is a product of complex numbers, and attention is torch's own."""
    half = query.shape[-1] // 2
    speeds = torch.exp(-math.log(theta) * torch.arange(half) / half)
    angles = torch.einsum("bt,k->btk", position_ids.float(), speeds)[:, None]
    unit = torch.polar(torch.ones_like(angles), angles)

    def turned(x):
        arrows = torch.complex(x[..., :half].contiguous(), x[..., half:].contiguous()) * unit
        return torch.cat([arrows.real, arrows.imag], dim=-1)

    return F.scaled_dot_product_attention(turned(query), turned(key), value)


def their_rotary_attention(query, key, value, position_ids, theta):
    """Positions from 1: only distances count. Turned by Hugging Face's function."""
    K = query.shape[-1]
    speeds = 1 / theta ** (torch.arange(0, K, 2).float() / K)
    angles = ((position_ids + 1)[:, :, None] * speeds).repeat(1, 1, 2)
    query, key = apply_rotary_pos_emb(query, key, angles.cos(), angles.sin())
    weights = torch.softmax(query @ key.transpose(-2, -1) * K**-0.5, dim=-1)
    return weights @ value


def erf_gated(x, w_in, w_out):
    first, second = w_in.split(len(w_in) // 2)
    wide = torch.einsum("btd,fd->btf", x, first)
    return F.linear(wide * (1 + torch.erf(wide / 2**0.5)) / 2 * F.linear(x, second), w_out)


def package_gated(x, w_in, w_out):
    config = ModernBertConfig(  # any even hidden size, because the matrices are replaced
        hidden_size=2 * x.shape[-1], num_attention_heads=1, intermediate_size=w_out.shape[1]
    )
    part = GatedFeedForward(config).eval()
    part.intermediate.weight, part.output.weight = nn.Parameter(w_in), nn.Parameter(w_out)
    return part(x).detach()


class Gain(nn.Module):
    """LayerNorm with nothing but a gain, by its formula."""

    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        centred = x - x.mean(-1, keepdim=True)
        return centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + 1e-5) * self.weight


class ByFormula(nn.Module):
    def __init__(self, hidden_size, parts):
        super().__init__()
        self.last_norm = Gain(hidden_size)
        self.parts = nn.ModuleList(parts)
        self.norms = nn.ModuleList([Gain(hidden_size) for _ in range(len(parts))])

    def forward(self, x):
        pairs = zip(self.parts, self.norms, strict=True)
        return self.last_norm(reduce(lambda h, pair: h + pair[0](pair[1](h)), pairs, x))


class BiasesRemoved(nn.Module):
    """As the chapter's `remove_biases` does it."""

    def __init__(self, hidden_size, parts):
        super().__init__()
        self.parts, self.norms = nn.ModuleList(parts), nn.ModuleList()
        for _ in parts:
            self.norms.append(nn.LayerNorm(hidden_size))
        self.last_norm = nn.LayerNorm(hidden_size)
        for norm in (*self.norms, self.last_norm):
            norm.register_parameter("bias", None)

    def forward(self, x):
        added = [x]
        for number, part in enumerate(self.parts):
            added.append(part(self.norms[number](sum(added))))
        return self.last_norm(sum(added))


def package_layer_plan(attention_mask, num_layers, every, window, thetas):
    config = ModernBertConfig(
        num_hidden_layers=num_layers, global_attn_every_n_layers=every, local_attention=window
    )
    near = local_mask(attention_mask, attention_mask, window)
    whole = (attention_mask != 0)[:, None].expand_as(near)
    chosen = [config.is_global(number) for number in range(num_layers)]
    return torch.stack([whole if g else near for g in chosen]), [thetas[not g] for g in chosen]


def loop_layer_plan(attention_mask, num_layers, every, window, thetas):
    B, T = attention_mask.shape
    masks = torch.zeros(num_layers, B, T, T, dtype=torch.bool)
    kinds = ["global" if layer in range(0, num_layers, every) else "local"
             for layer in range(num_layers)]  # fmt: skip
    for layer, kind in enumerate(kinds):
        for i in range(T):
            first, end = (0, T) if kind == "global" else (max(0, i - window // 2), i + window // 2)
            masks[layer, :, i, first : end + 1] = attention_mask[:, first : end + 1] == 1
    return masks, [thetas[("global", "local").index(kind)] for kind in kinds]


def blocks_unpadded(body, input_ids, attention_mask):
    """Blocks on the diagonal; each text's positions start at 0, wherever its padding is."""
    lengths = attention_mask.sum(1).tolist()
    mask = torch.block_diag(*(torch.ones(n, n) for n in lengths)) == 1
    positions = torch.cat([torch.arange(n) for n in lengths])
    row = input_ids.masked_select(attention_mask == 1)
    states = body(row[None], mask[None], positions[None]).squeeze(0)
    where = (attention_mask == 1)[:, :, None].expand(-1, -1, states.shape[-1])
    return torch.zeros(where.shape).masked_scatter(where, states)


def bounds_unpadded(body, input_ids, attention_mask):
    """As flash attention wants it: the places in the row at which texts begin and end."""
    flat = attention_mask.flatten().nonzero()[:, 0]
    bounds = F.pad(attention_mask.sum(1).cumsum(0), (1, 0))
    text = torch.searchsorted(bounds, torch.arange(len(flat)), right=True) - 1
    positions = torch.arange(len(flat)) - bounds[text]
    see = (text == text[:, None])[None]
    states = body(input_ids.flatten()[flat][None], see, positions[None])[0]
    padded = states.new_zeros(attention_mask.numel(), states.shape[-1])
    return padded.index_copy(0, flat, states).view(*attention_mask.shape, -1)


def tested_gain(base, changed, base_ms, changed_ms):
    """The interval of scipy's paired t-test."""
    clocks = [ms * np.arange(1, base.shape[1] + 1) for ms in (base_ms, changed_ms)]
    end = min(clock[-1] for clock in clocks)
    before, after = (
        [np.interp(end, clock, curve) for curve in curves]
        for clock, curves in zip(clocks, (base, changed), strict=True)
    )
    low, high = stats.ttest_rel(after, before).confidence_interval(0.95)
    return (low + high) / 2, (high - low) / 2


def by_hand_gain(base, changed, base_ms, changed_ms):
    """A weighted mean of two measurements, and the course's `interval`."""
    slow, fast = (base, changed) if base_ms > changed_ms else (changed, base)
    done = base.shape[1] * min(base_ms, changed_ms) / max(base_ms, changed_ms)  # measurements
    whole, rest = int(done), done - int(done)
    slow = (1 - rest) * slow[:, whole - 1] + rest * slow[:, whole]
    gains = fast[:, -1] - slow
    return interval(gains if base_ms > changed_ms else -gains)


def complex_turn(x, angles):
    """A turn is a product with a complex number of length 1."""
    half = x.shape[-1] // 2
    arrows = torch.complex(x[..., :half].contiguous(), x[..., half:].contiguous())
    turned = arrows * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([turned.real, turned.imag], dim=-1)


def their_turn(x, angles):
    """By Hugging Face's function, which takes the cosines and sines of both halves."""
    both = torch.cat([angles, angles], dim=-1)
    apart = both.reshape(-1, *both.shape[-2:]) if both.dim() > 2 else both[None, None]
    if x.dim() == 1:
        return apply_rotary_pos_emb(x[None, None, None], x[None, None, None], apart.cos(),
                                    apart.sin())[0][0, 0, 0]  # fmt: skip
    return apply_rotary_pos_emb(x, x, apart.cos(), apart.sin())[0]


def package_gate(x, w_1, w_2, w_3):
    """The package's fused matrix, and its rows in the order of the formula."""
    return package_gated(x, torch.cat([w_1, w_2], dim=1).T, w_3.T)


def erf_gate(x, w_1, w_2, w_3):
    wide = torch.einsum("...d,df->...f", x, w_1)
    return torch.matmul(wide * (1 + torch.erf(wide / 2**0.5)) / 2 * torch.matmul(x, w_2), w_3)


def loop_window(length, window):
    rows = [[abs(i - j) <= window / 2 for j in range(length)] for i in range(length)]
    return torch.tensor(rows)


RIGHT = {
    "window_counts": [[129, 8, 128], counted_window()],
    "rotary_attention": [
        package_rotary_attention,
        complex_rotary_attention,
        their_rotary_attention,
    ],
    "gated": [erf_gated, package_gated],
    "PreNormStack": [ByFormula, BiasesRemoved],
    "layer_plan": [package_layer_plan, loop_layer_plan],
    "unpadded": [blocks_unpadded, bounds_unpadded],
    "gain_at_equal_time": [tested_gain, by_hand_gain],
    "turn_pairs": [complex_turn, their_turn],
    "gated_feed_forward": [erf_gate, package_gate],
    "window_mask": [
        loop_window,
        lambda length, window: local_mask(None, torch.zeros(1, length), window)[0],
        lambda length, window: torch.ones(length, length).tril(window // 2).triu(-window // 2) > 0,
    ],
}
