"""Right answers to the exercises of chapter 4, at least two ways each besides the reference."""

import copy
import math

import torch
import torch.nn.functional as F
from torch import nn

from minibert.attention import BertSelfAttention, additive_mask
from minibert.encoder import BertEncoder, BertLayer


def loop_gelu(x):
    values = [v * (1 + math.erf(v / 2**0.5)) / 2 for v in x.flatten().tolist()]
    return torch.tensor(values).view(x.shape)


def linear_feed_forward(x, weight_1, bias_1, weight_2, bias_2):
    return F.linear(F.gelu(F.linear(x, weight_1, bias_1)), weight_2, bias_2)


def einsum_feed_forward(x, weight_1, bias_1, weight_2, bias_2):
    wide = torch.einsum("...d,fd->...f", x, weight_1) + bias_1
    return torch.einsum("...f,df->...d", loop_gelu(wide), weight_2) + bias_2


def one_token_at_a_time(x, weight_1, bias_1, weight_2, bias_2):
    tokens = x.reshape(-1, x.shape[-1])
    made = [weight_2 @ F.gelu(weight_1 @ token + bias_1) + bias_2 for token in tokens]
    return torch.stack(made).view(x.shape)


def tried_one_linear(weight_1, bias_1, weight_2, bias_2):
    """Ask the two layers what they do to zeros, and to each unit vector."""

    def both(x):
        return F.linear(F.linear(x, weight_1, bias_1), weight_2, bias_2)

    D = len(bias_1)
    bias = both(torch.zeros(D))
    return (both(torch.eye(D)) - bias).T, bias


def einsum_one_linear(weight_1, bias_1, weight_2, bias_2):
    weight = torch.einsum("of,fi->oi", weight_2, weight_1)
    return weight, (weight_2 * bias_1).sum(1) + bias_2


def builtin_add_and_norm(x, sublayer, gain, bias):
    return F.layer_norm(x + sublayer(x), gain.shape, gain, bias, eps=1e-12)


def std_add_and_norm(x, sublayer, gain, bias):
    total = sublayer(x) + x
    std, mean = torch.std_mean(total, dim=-1, correction=0, keepdim=True)
    return (total - mean) / std * gain + bias


def looped_add_and_norm(x, sublayer, gain, bias):
    out = torch.empty_like(x)
    total = x + sublayer(x)
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            off = total[b, t] - total[b, t].mean()
            out[b, t] = gain * off / torch.sqrt((off**2).mean() + 1e-12) + bias
    return out


class Copies(nn.Module):
    """One block and copies of it."""

    def __init__(self, config):
        super().__init__()
        block = BertLayer(config)
        copies = [copy.deepcopy(block) for _ in range(config.num_hidden_layers - 1)]
        self.layers = nn.ModuleList([*copies, block])

    def forward(self, x, mask):
        states = [x]
        for place in range(len(self.layers)):
            output, _ = self.layers[place](states[-1], mask)
            states.append(output)
        return states[-1]


class Appended(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.layers = nn.ModuleList()
        for _ in range(config.num_hidden_layers):
            self.layers.append(BertLayer(config))

    def forward(self, x, mask):
        return BertEncoder.forward(_WithIdentity(self.layers), x, mask)[0]


class _WithIdentity:
    """What the package's encoder looks at."""

    final_norm = nn.Identity()

    def __init__(self, layers):
        self.layers = layers


class WithDropout(nn.Module):
    """Parts made in another order, dropout as in BERT."""

    def __init__(self, config):
        super().__init__()
        D, wide = config.hidden_size, config.intermediate_size
        self.feed_forward_norm = nn.LayerNorm(D, config.layer_norm_eps)
        self.attention_norm = nn.LayerNorm(D, config.layer_norm_eps)
        self.output, self.intermediate = nn.Linear(wide, D), nn.Linear(D, wide)
        self.attention = BertSelfAttention(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x, attention_mask):
        found, _ = self.attention(x, additive_mask(attention_mask, x.dtype))
        x = self.attention_norm(x + self.dropout(found))
        wide = F.gelu(self.intermediate(x))
        return self.feed_forward_norm(x + self.dropout(self.output(wide)))


class ByHand(nn.Module):
    """Another mask for padding, GELU and LayerNorm written out."""

    def __init__(self, config):
        super().__init__()
        D, wide = config.hidden_size, config.intermediate_size
        self.attention = BertSelfAttention(config)
        self.intermediate, self.output = nn.Linear(D, wide), nn.Linear(wide, D)
        self.attention_norm = nn.LayerNorm(D)
        self.feed_forward_norm = nn.LayerNorm(D)
        self.eps = config.layer_norm_eps

    def normed(self, x, norm):
        off = x - x.mean(-1, keepdim=True)
        return off / (off.square().mean(-1, keepdim=True) + self.eps).sqrt() * norm.weight + (
            norm.bias
        )

    def forward(self, x, attention_mask):
        hidden = (1 - attention_mask)[:, None, None, :] * -1e9  # (B, 1, 1, T)
        x = self.normed(
            self.attention(x, hidden, output_attentions=True)[0] + x, self.attention_norm
        )
        return self.normed(self.output(loop_gelu(self.intermediate(x))) + x, self.feed_forward_norm)


def two_sums(x, attend, norm_1, feed, norm_2):
    middle = norm_1(attend(x) + x)
    return norm_2(feed(middle) + middle)


def by_row(x, attend, norm_1, feed, norm_2):
    return torch.cat([two_sums(row[None], attend, norm_1, feed, norm_2) for row in x])


def indexed_stack(x, layers, mask):
    states = [x] * (len(layers) + 1)
    for place in range(len(layers)):
        states[place + 1] = layers[place](states[place], mask)
    return states


def recursive_stack(x, layers, mask):
    if not layers:
        return [x]
    return [x, *recursive_stack(layers[0](x, mask), layers[1:], mask)]


RIGHT = {
    "block_parameters": [
        12_596_224,
        sum(
            p.numel()
            for p in nn.TransformerEncoderLayer(1024, 16, 4096, device="meta").parameters()
        ),
    ],
    "gelu": [F.gelu, loop_gelu, lambda x: x * torch.distributions.Normal(0, 1).cdf(x)],
    "feed_forward": [linear_feed_forward, einsum_feed_forward, one_token_at_a_time],
    "one_linear": [tried_one_linear, einsum_one_linear],
    "add_and_norm": [builtin_add_and_norm, std_add_and_norm, looped_add_and_norm],
    "Stack": [Copies, Appended],
    "Block": [WithDropout, ByHand],
    "widen_and_narrow": [
        lambda x, up, f, down: down(f(up(x))),
        lambda x, up, f, down: torch.stack([down(f(up(token))) for token in x]),
    ],
    "one_block": [two_sums, by_row],
    "run_stack": [indexed_stack, recursive_stack],
}
