"""Right answers to the exercises of chapter 2, at least two ways each besides the reference."""

from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import nn

from minibert.config import BertConfig
from minibert.embeddings import BertEmbeddings
from minibert.pretraining.counted_embeddings import cooccurrence_counts
from minibert.pretraining.counted_embeddings import ppmi as package_ppmi


def gradient_by_torch():
    ids = torch.tensor([[3, 0, 3, 5], [1, 3, 0, 2]])
    token, position = torch.randn(6, 3), torch.randn(6, 3, requires_grad=True)
    (token[ids] + position[torch.arange(4)]).sum().backward()
    return position.grad[:, 0].tolist()


def loop_sum(token_matrix, position_matrix, segment_matrix, input_ids, token_type_ids):
    out = torch.zeros(*input_ids.shape, token_matrix.shape[1])
    for b, (ids, types) in enumerate(zip(input_ids, token_type_ids, strict=True)):
        for t in range(len(ids)):
            out[b, t] = token_matrix[ids[t]] + position_matrix[t] + segment_matrix[types[t]]
    return out


def one_hot_sum(token_matrix, position_matrix, segment_matrix, input_ids, token_type_ids):
    tokens = F.one_hot(input_ids, len(token_matrix)).float() @ token_matrix
    segments = F.one_hot(token_type_ids, len(segment_matrix)).float() @ segment_matrix
    return tokens + segments + position_matrix[None, : input_ids.shape[1]]


def expanded_sum(token_matrix, position_matrix, segment_matrix, input_ids, token_type_ids):
    places = torch.arange(input_ids.shape[1]).expand_as(input_ids)
    parts = (token_matrix, input_ids), (position_matrix, places), (segment_matrix, token_type_ids)
    return sum(F.embedding(ids, matrix) for matrix, ids in parts)


def cosine_read(x, token_matrix, position_matrix, segment_matrix, token_type_ids):
    """The row that is left has a cosine of 1 with the right token row."""
    rest = x - F.embedding(token_type_ids, segment_matrix) - position_matrix[None, : x.shape[1]]
    return (F.normalize(rest, dim=-1) @ F.normalize(token_matrix, dim=-1).T).argmax(-1)


def loop_read(x, token_matrix, position_matrix, segment_matrix, token_type_ids):
    ids = torch.zeros_like(token_type_ids)
    for b, t in np.ndindex(*ids.shape):
        row = x[b, t] - position_matrix[t] - segment_matrix[token_type_ids[b, t]]
        ids[b, t] = min(range(len(token_matrix)), key=lambda i: (row - token_matrix[i]).norm())
    return ids


def loop_norm(x, gain, bias, eps):
    out = torch.empty_like(x)
    for place in np.ndindex(*x.shape[:-1]):
        row = x[place]
        mean = sum(row) / len(row)
        variance = sum((number - mean) ** 2 for number in row) / len(row)
        out[place] = gain * (row - mean) / (variance + eps) ** 0.5 + bias
    return out


def var_mean_norm(x, gain, bias, eps):
    variance, mean = torch.var_mean(x, dim=-1, keepdim=True, correction=0)
    return (x - mean) * torch.rsqrt(variance + eps) * gain + bias


def squares_norm(x, gain, bias, eps):
    """The variance as the mean of the squares, less the square of the mean."""
    mean = x.mean(-1, keepdim=True)
    variance = x.pow(2).mean(-1, keepdim=True) - mean.pow(2)
    return gain * ((x - mean) / torch.sqrt(variance + eps)) + bias


def add_at_pairs(documents, vocab_size, window):
    pairs = np.zeros((vocab_size, vocab_size))
    for ids in map(np.array, documents):
        for distance in range(1, window + 1):
            np.add.at(pairs, (ids[:-distance], ids[distance:]), 1 / distance)
    return pairs + pairs.T


def counter_pairs(documents, vocab_size, window):
    found = Counter()
    for ids in documents:
        for i, a in enumerate(ids):
            for distance, b in enumerate(ids[i + 1 : i + 1 + window], start=1):
                found[a, b] += 1 / distance
                found[b, a] += 1 / distance
    return np.array([[float(found[a, b]) for b in range(vocab_size)] for a in range(vocab_size)])


def package_pairs(documents, vocab_size, window):
    return sum(
        cooccurrence_counts(np.array(ids), vocab_size, window).toarray() for ids in documents
    )


def loop_ppmi(counts, context_power):
    total, out = counts.sum(), np.zeros(counts.shape)
    powers = [column.sum() ** context_power for column in counts.T]
    for a, row in enumerate(counts):
        for b, count in enumerate(row):
            if count > 0:
                chance = row.sum() / total * powers[b] / sum(powers)
                out[a, b] = max(0.0, np.log(count / total / chance))
    return out


def sums_of_logs_ppmi(counts, context_power):
    with np.errstate(divide="ignore", invalid="ignore"):
        rows, columns = np.log(counts.sum(1)), context_power * np.log(counts.sum(0))
        all_contexts = np.log((counts.sum(0) ** context_power).sum())
        pmi = np.log(counts) - rows[:, None] - columns[None] + all_contexts
    return np.where(counts > 0, pmi, 0).clip(min=0)


def builtin_nearest(vectors, token_id, k):
    cosines = F.cosine_similarity(vectors, vectors[token_id][None], dim=-1)
    return torch.tensor([i for i in cosines.argsort(descending=True) if i != token_id][:k])


def by_distance_nearest(vectors, token_id, k):
    """Of rows of length 1 the nearest by distance are the nearest by cosine."""
    unit = F.normalize(vectors, dim=-1)
    distances = torch.cdist(unit[token_id][None], unit)[0]
    distances[token_id] = 9.0
    return distances.topk(k, largest=False).indices


def numpy_nearest(vectors, token_id, k):
    rows = vectors.numpy().astype(np.float64)
    cosines = rows @ rows[token_id] / np.linalg.norm(rows, axis=1)
    order = np.argsort(-cosines, kind="stable")
    return torch.from_numpy(order[order != token_id][:k])


class ByHand(nn.Module):
    """Parts made in another order, one-hot products, LayerNorm by hand."""

    def __init__(self, vocab_size, hidden_size, max_length):
        super().__init__()
        self.norm = nn.LayerNorm(hidden_size)
        self.token_type_embeddings = nn.Embedding(2, hidden_size)
        self.position_embeddings = nn.Embedding(max_length, hidden_size)
        self.word_embeddings = nn.Embedding(vocab_size, hidden_size, padding_idx=0)

    def forward(self, input_ids, token_type_ids=None, position_ids=None):
        B, T = input_ids.shape
        types = torch.zeros(B, T, dtype=torch.long) if token_type_ids is None else token_type_ids
        places = torch.arange(T).repeat(B, 1) if position_ids is None else position_ids
        pairs = (
            (self.word_embeddings, input_ids),
            (self.position_embeddings, places),
            (self.token_type_embeddings, types),
        )
        x = sum(F.one_hot(i, m.num_embeddings).float() @ m.weight for m, i in pairs)
        return loop_norm(x, self.norm.weight, self.norm.bias, 1e-12)


class Package(BertEmbeddings):
    def __init__(self, vocab_size, hidden_size, max_length):
        config = BertConfig(
            vocab_size=vocab_size,
            hidden_size=hidden_size,
            num_attention_heads=1,
            max_position_embeddings=max_length,
        )
        super().__init__(config)


def ones_and_zeros_look_up(ids, matrix):
    one_hot = (ids[..., None] == torch.arange(len(matrix))).to(matrix.dtype)
    return torch.einsum("...v,vd->...d", one_hot, matrix)


RIGHT = {
    "look_up": [ones_and_zeros_look_up, lambda ids, matrix: matrix[ids]],
    "normalise": [
        lambda x, eps: F.layer_norm(x, x.shape[-1:], eps=eps),
        lambda x, eps: var_mean_norm(x, 1.0, 0.0, eps),
        lambda x, eps: squares_norm(x, 1.0, 0.0, eps),
    ],
    "read_back": [cosine_read, loop_read],
    "position_gradient": [gradient_by_torch(), [2, 2, 2, 2, 0, 0]],
    "input_sum": [loop_sum, one_hot_sum, expanded_sum],
    "layer_norm": [
        lambda x, gain, bias, eps: F.layer_norm(x, x.shape[-1:], gain, bias, eps),
        loop_norm,
        var_mean_norm,
        squares_norm,
    ],
    "cooccurrence": [add_at_pairs, counter_pairs, package_pairs],
    "ppmi": [
        loop_ppmi,
        sums_of_logs_ppmi,
        lambda counts, power: package_ppmi(sparse.csr_matrix(counts), power).toarray(),
    ],
    "nearest": [builtin_nearest, by_distance_nearest, numpy_nearest],
    "Embeddings": [ByHand, Package],
}
