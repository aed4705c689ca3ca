"""A judge of texts that only counts: how likely a token is after the tokens before it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class NGrams:
    """Probabilities of tokens from counts over training tokens (N,), interpolated.

    It counts what followed the last `before` tokens. Where that was seen rarely, it leans on what
    followed fewer tokens, and in the end on a uniform distribution over the vocabulary. The more
    different tokens followed a context, the more it leans (Witten and Bell, 1991). So every token
    has a probability above 0, and they sum to 1.
    """

    def __init__(self, tokens: np.ndarray, vocab_size: int, before: int = 2) -> None:
        if vocab_size ** (before + 1) >= 2**63:
            raise ValueError(
                f"before is {before}: {before + 1} of {vocab_size} tokens do not fit into one "
                "number, so look back at fewer"
            )
        self.vocab_size = vocab_size
        self._tables = [self._count(np.asarray(tokens), length) for length in range(1, before + 2)]

    def log_probabilities(self, ids: Sequence[int], start: int = 0) -> list[float]:
        """The log-probability of each of `ids[start:]`, given the tokens before it, in nats."""
        found = np.full(len(ids), 1 / self.vocab_size)
        for before, (grams, times, contexts, kinds, totals) in enumerate(self._tables):
            keys = self._pack(np.asarray(ids), before + 1)  # (len(ids) - before,)
            shorter = found[before:]
            context = keys // self.vocab_size
            kind, total = _look_up(contexts, kinds, context), _look_up(contexts, totals, context)
            longer = (_look_up(grams, times, keys) + kind * shorter) / np.maximum(1, total + kind)
            found[before:] = np.where(total > 0, longer, shorter)
        return np.log(found[start:]).tolist()

    def _count(self, tokens: np.ndarray, length: int) -> tuple[np.ndarray, ...]:
        """The n-grams of a length and how often each occurs, then their contexts (all tokens but
        the last), each with how many different tokens follow it, and how many in all."""
        grams, times = np.unique(self._pack(tokens, length), return_counts=True)
        contexts, first, kinds = np.unique(
            grams // self.vocab_size, return_index=True, return_counts=True
        )
        totals = np.add.reduceat(times, first) if len(first) else times
        return grams, times, contexts, kinds, totals

    def _pack(self, tokens: np.ndarray, length: int) -> np.ndarray:
        """Tokens (N,) -> each `length` in a row as one number (N - length + 1,)."""
        number = max(0, len(tokens) - length + 1)
        packed = np.zeros(number, dtype=np.int64)
        for place in range(length):
            packed = packed * self.vocab_size + tokens[place : place + number]
        return packed


def _look_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The value of each wanted key, or 0; `keys` are sorted."""
    if not len(keys):
        return np.zeros(len(wanted), dtype=np.int64)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)
