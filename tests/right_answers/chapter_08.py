"""Right answers to the exercises of chapter 8, at least two ways each besides the reference."""

import itertools
import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score

RIGHT_CLASSES = [0] * 600 + [1] * 300 + [2] * 100
ALWAYS_0 = [0] * 1000


def seen_align(word_labels, word_ids):
    """A word is asked the first time that it is seen."""
    seen = {None}
    found = []
    for word in word_ids:
        found.append(-100 if word in seen else word_labels[word])
        seen.add(word)
    return found


def grouped_align(word_labels, word_ids):
    found = []
    for word, pieces in itertools.groupby(word_ids):
        rest = [-100] * len(list(pieces))
        found += rest if word is None else [word_labels[word], *rest[1:]]
    return found


def counted_split(documents, order, share):
    """A running count of rows, and a document's rows looked up at the end."""
    count, taken = 0, []
    for document in order:
        if count < share * len(documents):
            taken.append(document)
            count += documents.count(document)
    train, test = [], []
    for row, document in enumerate(documents):
        (test if document in taken else train).append(row)
    return train, test


def array_split(documents, order, share):
    names = np.array(documents)
    sizes = np.array([(names == document).sum() for document in order])
    before = sizes.cumsum() - sizes  # what is held out before each document
    held_out = np.isin(names, np.array(order)[before < share * len(names)])
    return np.flatnonzero(~held_out).tolist(), np.flatnonzero(held_out).tolist()


def written_out(logits, labels, problem_type):
    if problem_type == "regression":
        return ((logits - labels[:, None]) ** 2).mean()
    if problem_type == "multi_label_classification":
        shares = torch.sigmoid(logits)
        return -(labels * shares.log() + (1 - labels) * (1 - shares).log()).mean()
    return -logits.log_softmax(-1).gather(1, labels[:, None]).mean()


def by_shares(logits, labels, problem_type):
    """Losses that want shares, or their logarithms, given them."""
    if problem_type == "regression":
        return F.mse_loss(logits, labels.unsqueeze(-1))
    if problem_type == "multi_label_classification":
        return F.binary_cross_entropy(logits.sigmoid(), labels)
    return F.nll_loss(F.log_softmax(logits, dim=-1), labels)


def loop_train_head(model):
    for parameter in model.bert.parameters():
        parameter.requires_grad = False
    model.bert.train(False)
    for part in (model.dropout, model.classifier):
        part.train()


def train_head_without_modes(model):
    """Every share that is dropped in the body is set to 0."""
    model.train()
    model.bert.requires_grad_(False)
    for part in model.bert.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
        if hasattr(part, "dropout_prob"):
            part.dropout_prob = 0.0


class WholeMatrixLoRA(torch.nn.Module):
    """The changed matrix is computed each time; the given layer's tensors are kept apart."""

    def __init__(self, linear, r, alpha):
        super().__init__()
        self.register_buffer("weight", linear.weight.detach().clone())
        self.register_buffer("bias", linear.bias.detach().clone())
        out, into = self.weight.shape
        self.A = torch.nn.Parameter(torch.nn.init.kaiming_uniform_(torch.empty(r, into)))
        self.B = torch.nn.Parameter(self.weight.new_zeros(out, r))
        self.times = alpha / r

    def changed(self):
        return self.weight + torch.einsum("or,ri->oi", self.B, self.A) * self.times

    def forward(self, x):
        return F.linear(x, self.changed(), self.bias)

    def merged(self):
        linear = torch.nn.Linear(*reversed(self.weight.shape))
        linear.load_state_dict({"weight": self.changed(), "bias": self.bias})
        return linear


class TwoLayersLoRA(torch.nn.Module):
    """A and B applied by `F.linear`, one after the other."""

    def __init__(self, linear, r, alpha):
        super().__init__()
        self.base, self.r, self.alpha = linear, r, alpha
        for parameter in linear.parameters():
            parameter.requires_grad = False
        self.A = torch.nn.Parameter(0.02 * torch.randn(r, linear.in_features))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r))

    def forward(self, x):
        return self.base(x) + F.linear(F.linear(x, self.A), self.B) * self.alpha / self.r

    def merged(self):
        linear = torch.nn.Linear(self.base.in_features, self.base.out_features)
        linear.weight.data = self.base.weight + self.alpha / self.r * self.B @ self.A
        linear.bias.data = self.base.bias.clone()
        return linear


def scipy_interval(scores):
    low, high = stats.t.interval(
        0.95, len(scores) - 1, loc=np.mean(scores), scale=stats.sem(scores)
    )
    return (low + high) / 2, (high - low) / 2


def plain_interval(scores):
    R = len(scores)
    mean = sum(scores) / R
    variance = sum((score - mean) ** 2 for score in scores) / (R - 1)
    return mean, -stats.t(R - 1).ppf(0.025) * math.sqrt(variance / R)


def loop_span(start_logits, end_logits, context, max_length):
    best, found = start_logits[0] + end_logits[0], (0, 0)
    for start in range(len(context)):
        for end in range(start, min(start + max_length, len(context))):
            score = start_logits[start] + end_logits[end]
            if context[start] and context[end] and score > best:
                best, found = score, (start, end)
    return found


def tensor_span(start_logits, end_logits, context, max_length):
    """Places as tensors; lengths made by triu, and [CLS] as a span among the others."""
    scores = start_logits[:, None] + end_logits
    band = torch.ones_like(scores).triu().tril(max_length - 1).bool()
    allowed = band & context[:, None] & context
    allowed[0, 0] = True
    flat = torch.where(allowed, scores, -torch.inf).argmax()
    return flat // len(context), flat % len(context)


def share_span(start_logits, end_logits, context, max_length):
    """Shares multiplied: the same order as logits added."""
    T = len(context)
    table = torch.outer(start_logits.softmax(-1), end_logits.softmax(-1))
    band = torch.ones(T, T).triu() - torch.ones(T, T).triu(max_length)
    inside = torch.outer(context.float(), context.float())
    spans = table * band * inside
    spans[0, 0] = table[0, 0]
    return divmod(int(spans.argmax()), T)


RIGHT = {
    "majority_scores": [
        (0.6, 0.25),
        [0.6, 2 * 0.6 / 1.6 / 3],
        np.array([0.6, 0.25]),
        (
            accuracy_score(RIGHT_CLASSES, ALWAYS_0),
            f1_score(RIGHT_CLASSES, ALWAYS_0, average="macro"),
        ),
    ],
    "align_labels": [seen_align, grouped_align],
    "split_by_document": [counted_split, array_split],
    "head_loss": [written_out, by_shares],
    "train_head": [loop_train_head, train_head_without_modes],
    "lora": [WholeMatrixLoRA, TwoLayersLoRA],
    "seed_interval": [scipy_interval, plain_interval],
    "best_span": [loop_span, tensor_span, share_span],
}
