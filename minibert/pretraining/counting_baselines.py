"""What counting alone can fill in, which a masked language model has to beat."""

from __future__ import annotations

import numpy as np

from minibert.data.batches import Batch
from minibert.model import IGNORE_INDEX


class CountBaselines:
    """Two guesses at a masked token, from counts over the training tokens (N,).

    `most_frequent` is always the most frequent token. `neighbours` is the most frequent token
    between the same two neighbours. If they never occurred together, it is the most frequent token
    after the left neighbour, then before the right neighbour, then of all. It sees the true
    neighbours even if they are masked, which a model does not.
    """

    def __init__(self, tokens: np.ndarray, vocab_size: int) -> None:
        tokens = np.asarray(tokens, dtype=np.int64)
        self.vocab_size = vocab_size
        self.frequency = np.bincount(tokens, minlength=vocab_size)  # (V,)
        left, middle, right = tokens[:-2], tokens[1:-1], tokens[2:]
        self.between = _Counts(left * vocab_size + right, middle, vocab_size)
        self.after = _Counts(tokens[:-1], tokens[1:], vocab_size)
        self.before = _Counts(tokens[1:], tokens[:-1], vocab_size)

    def neighbours(self, left: int, right: int, top_k: int = 1) -> list[tuple[int, float]]:
        """The `top_k` likeliest tokens between two, each with its share of what was counted."""
        for counts, context in (
            (self.between, left * self.vocab_size + right),
            (self.after, left),
            (self.before, right),
        ):
            if found := counts.likeliest(context, top_k):
                return found
        return self.most_frequent(top_k)

    def most_frequent(self, top_k: int = 1) -> list[tuple[int, float]]:
        """The `top_k` most frequent tokens, each with its share of all."""
        best = np.argsort(-self.frequency, kind="stable")[:top_k]
        return [(int(i), float(self.frequency[i] / self.frequency.sum())) for i in best]

    def accuracy(self, batches: list[Batch]) -> dict[str, float]:
        """The share of the batches' masked tokens that each baseline gets right."""
        right_guesses = {"most_frequent": 0, "neighbours": 0}
        total = 0
        most_frequent = self.most_frequent()[0][0]
        for batch in batches:
            labels = batch["labels"].numpy()
            truth = np.where(labels == IGNORE_INDEX, batch["input_ids"].numpy(), labels)  # (B, T)
            for row, place in zip(*np.nonzero(labels != IGNORE_INDEX), strict=True):
                target = truth[row, place]
                left, right = int(truth[row, place - 1]), int(truth[row, place + 1])
                right_guesses["most_frequent"] += target == most_frequent
                right_guesses["neighbours"] += target == self.neighbours(left, right)[0][0]
                total += 1
        return {name: float(number / max(1, total)) for name, number in right_guesses.items()}


class _Counts:
    """How often each outcome was seen in each context, as three sorted arrays."""

    def __init__(self, contexts: np.ndarray, outcomes: np.ndarray, vocab_size: int) -> None:
        keys, counts = np.unique(contexts * vocab_size + outcomes, return_counts=True)
        contexts, outcomes = np.divmod(keys, vocab_size)
        order = np.lexsort((outcomes, -counts, contexts))  # per context, most frequent first
        self.contexts, self.outcomes = contexts[order], outcomes[order]
        self.counts = counts[order]

    def likeliest(self, context: int, top_k: int) -> list[tuple[int, float]]:
        low, high = np.searchsorted(self.contexts, [context, context + 1])
        total = self.counts[low:high].sum()
        best = range(low, min(high, low + top_k))
        return [(int(self.outcomes[i]), float(self.counts[i] / total)) for i in best]
