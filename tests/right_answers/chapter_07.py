"""Right answers to the exercises of chapter 7, at least two ways each besides the reference."""

import math

import numpy as np
import torch
from scipy.special import entr
from scipy.stats import entropy

from minibert.analysis.ablation import without_heads
from minibert.analysis.attention_patterns import head_roles, rollout


def loop_entropy(attention):
    L, H, T, _ = attention.shape
    found = np.zeros((L, H))
    for layer, head in np.ndindex(L, H):
        for row in attention[layer, head].tolist():
            found[layer, head] -= sum(a * math.log(a) for a in row if a > 0) / T
    return found


def loop_words(attention, tokens):
    words = [i for i in range(len(tokens)) if tokens[i] not in {"[CLS]", "[SEP]"}]
    found = np.empty((len(words), len(words)))
    for row, i in enumerate(words):
        total = sum(attention[i, j] for j in words)
        for column, j in enumerate(words):
            found[row, column] = attention[i, j] / total
    return found


def masked_words(attention, tokens):
    special = np.isin(tokens, ["[CLS]", "[SEP]"])
    kept = np.where(special, 0.0, attention)
    return (kept / kept.sum(1)[:, None])[~special][:, ~special]


def loop_best(attentions):
    L, H = attentions[0].shape[:2]
    half = len(attentions) // 2

    def share(layer, head, texts):
        found = []
        for text in texts:
            rows = range(1, text.shape[-1])
            found.append(sum(text[layer, head, i, i - 1] for i in rows) / len(rows))
        return sum(found) / len(found)

    heads = [(layer, head) for layer in range(L) for head in range(H)]
    best = max(heads, key=lambda place: share(*place, attentions[:half]))
    return *best, share(*best, attentions[half:])


def package_best(attentions):
    """By the finished function, with tokens that do not matter."""
    shares = np.stack([head_roles(a, ["x"] * a.shape[-1])["previous"] for a in attentions])
    first, second = np.split(shares, [len(shares) // 2])
    layer, head = np.argwhere(first.mean(0) == first.mean(0).max())[0]
    return torch.tensor(layer), torch.tensor(head), second.mean(0)[layer, head]


def rows_made_whole(attention):
    """The residual added, and rows divided by what they add up to: without a half in it."""
    rolled = None
    for layer in attention.mean(1):
        layer = layer + np.eye(len(layer))
        layer = layer / layer.sum(-1, keepdims=True)
        rolled = layer if rolled is None else layer @ rolled
    return rolled


def row_by_row(attention):
    """From the top down: where one position comes from, layer by layer."""
    L, H, T, _ = attention.shape
    found = np.eye(T)
    for layer in range(L - 1, -1, -1):
        found = 0.5 * found + 0.5 * sum(found @ attention[layer, head] for head in range(H)) / H
    return found


def loop_norms(weights, value, output_weight):
    H, T, K = value.shape
    found = torch.zeros(H, T, T)
    for head in range(H):
        part = output_weight[:, head * K : head * K + K]
        for i in range(T):
            for j in range(T):
                found[head, i, j] = torch.linalg.norm(weights[head, i, j] * (part @ value[head, j]))
    return found


def padded_norms(weights, value, output_weight):
    """The whole output projection, given one head with zeros in place of the others."""
    H, T, K = value.shape
    alone = torch.zeros(H, T, H, K)
    for head in range(H):
        alone[head, :, head] = value[head]
    return weights * (alone.flatten(-2) @ output_weight.T).square().sum(-1).sqrt()[:, None, :]


def package_effects(model, input_ids, place, answer):
    """By the finished `with`."""
    config = model.config
    found = torch.zeros(config.num_hidden_layers, config.num_attention_heads)
    with torch.no_grad():
        all_on = model(input_ids).prediction_logits.log_softmax(-1)[0, place, answer]
        for layer, head in np.ndindex(*found.shape):
            with without_heads(model, [(layer, head)]):
                logits = model(input_ids).prediction_logits
            found[layer, head] = logits.log_softmax(-1)[0, place, answer] - all_on
    return found


def hook_effects(model, input_ids, place, answer):
    """What goes into the output projection is multiplied by ones and zeros."""

    def log_probability(logits):
        return (logits[0, place, answer] - logits[0, place].logsumexp(-1)).item()

    before = log_probability(model(input_ids).prediction_logits)
    rows = []
    for block in model.bert.encoder.layers:
        output, H = block.attention.output, block.attention.num_heads
        row = []
        for gates in 1 - torch.eye(H):
            gates = gates.repeat_interleave(output.in_features // H)  # (D,)
            hook = output.register_forward_pre_hook(lambda _, args, g=gates: (args[0] * g,))
            row.append(log_probability(model(input_ids).prediction_logits) - before)
            hook.remove()
        rows.append(row)
    return torch.tensor(rows)


def array_effects(model, input_ids, place, answer):
    """As numpy's float64."""
    return hook_effects(model, input_ids, place, answer).numpy().astype(np.float64)


def double_effects(model, input_ids, place, answer):
    """As a float64 tensor."""
    return package_effects(model, input_ids, place, answer).double()


@torch.no_grad()
def value_effects(model, input_ids, place, answer):
    """A head whose values are all 0, weight and bias, has nothing to give."""
    before = model(input_ids).prediction_logits[0, place].softmax(-1)[answer].log()
    rows = []
    for block in model.bert.encoder.layers:
        value, H = block.attention.value, block.attention.num_heads
        for rows_of_head in torch.arange(value.out_features).view(H, -1):
            weight, bias = value.weight.clone(), value.bias.clone()
            value.weight[rows_of_head], value.bias[rows_of_head] = 0.0, 0.0
            after = model(input_ids).prediction_logits[0, place].softmax(-1)[answer].log()
            value.weight.copy_(weight)
            value.bias.copy_(bias)
            rows.append(after - before)
    return torch.stack(rows).view(-1, H)


RIGHT = {
    "probe_of_words": [(1, 1, 0), [1.0, 1.0, 0.0], np.array([1.0, 1.0, 0.0])],
    "row_entropy": [
        loop_entropy,
        lambda a: entr(a).sum(-1).mean(-1),
        lambda a: entropy(a, axis=-1).mean(-1),
        lambda a: -(a * np.log(a + 1e-12)).sum(-1).mean(-1),
    ],
    "words_only": [loop_words, masked_words],
    "best_head": [loop_best, package_best],
    "rollout": [lambda a: rollout(a)[-1], rows_made_whole, row_by_row],
    "weighted_norms": [loop_norms, padded_norms],
    "head_effects": [
        package_effects,
        hook_effects,
        value_effects,
        array_effects,
        double_effects,
    ],
}
