"""Right answers to the exercises of chapter 9, at least two ways each besides the reference."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import softmax
from scipy.stats import entropy
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper


def entropy_at(temperature):
    return entropy(softmax(np.array([3.0, 3.0, 1.0, 0.0]) / temperature))


def loop_top_k(logits, temperature, k):
    rows = []
    for row in logits.tolist():
        kept = sorted(row, reverse=True)[:k]
        numbers = [math.exp(x / temperature) if x in kept else 0.0 for x in row]
        rows.append([number / sum(numbers) for number in numbers])
    return torch.tensor(rows)


def transformers_top_k(logits, temperature, k):
    return TopKLogitsWarper(k)(None, TemperatureLogitsWarper(temperature)(None, logits)).softmax(-1)


def cut_first(logits, temperature, k):
    """The temperature does not change which are the largest."""
    kept, ids = logits.topk(min(k, logits.shape[-1]))
    return torch.zeros_like(logits).scatter(-1, ids, (kept / temperature).softmax(-1))


def loop_top_p(logits, p):
    rows = []
    for shares in logits.softmax(-1).tolist():
        kept, total = [0.0] * len(shares), 0.0
        for token in sorted(range(len(shares)), key=lambda token: -shares[token]):
            kept[token] = shares[token]
            total += shares[token]
            if total >= p:
                break
        rows.append([share / total for share in kept])
    return torch.tensor(rows)


def transformers_top_p(logits, p):
    return TopPLogitsWarper(p)(None, logits).softmax(-1)


def least_share_kept(logits, p):
    """By the share of the token with which p is reached."""
    shares = logits.softmax(-1)
    ordered = shares.sort(descending=True).values
    last = (ordered.cumsum(-1) < p).sum(-1, keepdim=True).clamp(max=shares.shape[-1] - 1)
    return logits.masked_fill(shares < ordered.gather(-1, last), -torch.inf).softmax(-1)


def list_gibbs(guess, ids, places, mask_id, pick):
    text = ids.tolist()
    for place in places:
        asked = torch.tensor([*text[:place], mask_id, *text[place + 1 :]])
        text[place] = int(pick(guess(asked)[place]))
    return torch.tensor(text)


def where_gibbs(guess, ids, places, mask_id, pick):
    everywhere = torch.arange(len(ids))
    for place in places:
        logits = guess(ids.masked_fill(everywhere == place, mask_id))
        ids = torch.where(everywhere == place, pick(logits[place]), ids)
    return ids


def batched_pll(guess, ids, mask_id):
    """All the masked texts first: a row for each word."""
    words = torch.arange(1, len(ids) - 1)
    rows = ids.repeat(len(words), 1)
    rows[torch.arange(len(words)), words] = mask_id
    logits = torch.stack([guess(row)[word] for row, word in zip(rows, words, strict=True)])
    return -F.cross_entropy(logits, ids[1:-1], reduction="sum")


def plain_pll(guess, ids, mask_id):
    total = 0.0
    for place in range(1, len(ids) - 1):
        asked = ids.clone()
        asked[place] = mask_id
        logits = guess(asked)[place].tolist()
        total += logits[int(ids[place])] - math.log(sum(math.exp(x) for x in logits))
    return total


def weighted_perplexity(scores):
    """The texts' means, each weighed by its tokens."""
    lengths = [len(text) for text in scores]
    return np.exp(-np.average([np.mean(text) for text in scores], weights=lengths))


def product_perplexity(scores):
    """The geometric mean of 1 / p."""
    tokens = torch.cat([torch.tensor(text, dtype=torch.double) for text in scores])
    return (1 / tokens.exp()).prod() ** (1 / len(tokens))


def whole_text_mask_predict(guess, ids, mask_id, passes):
    """One sureness for every token of the text: given ones are sure without end."""
    open_places = ids == mask_id
    N = int(open_places.sum())
    sure = torch.where(open_places, -1.0, torch.inf)
    for n in (N * (passes - done) // passes for done in range(passes)):
        hidden = torch.zeros_like(open_places)
        hidden[sure.topk(n, largest=False).indices] = True
        text = ids.masked_fill(hidden, mask_id)
        shares, best = guess(text).softmax(-1).max(-1)
        ids, sure = torch.where(hidden, best, ids), torch.where(hidden, shares, sure)
    return ids


def list_mask_predict(guess, ids, mask_id, passes):
    text = ids.tolist()
    sure = {place: 0.0 for place, token in enumerate(text) if token == mask_id}
    for done in range(passes):
        left = (passes - done) / passes
        again = sorted(sure, key=sure.get)[: math.floor(len(sure) * left + 1e-9)]
        for place in again:
            text[place] = mask_id
        logits = guess(torch.tensor(text))
        for place in again:
            text[place] = int(logits[place].argmax())
            sure[place] = float(logits[place].softmax(0)[text[place]])
    return torch.tensor(text)


RIGHT = {
    "temperature_limits": [
        (math.log(2), math.log(4)),
        [0.69, 1.39],
        np.array([entropy_at(0.01), entropy_at(1e4)]),
    ],
    "top_k": [loop_top_k, transformers_top_k, cut_first],
    "top_p": [loop_top_p, transformers_top_p, least_share_kept],
    "gibbs_sweep": [list_gibbs, where_gibbs],
    "pseudo_log_likelihood": [batched_pll, plain_pll],
    "pseudo_perplexity": [
        weighted_perplexity,
        product_perplexity,
        lambda scores: math.exp(-sum(map(sum, scores)) / sum(map(len, scores))),
    ],
    "mask_predict": [whole_text_mask_predict, list_mask_predict],
}
