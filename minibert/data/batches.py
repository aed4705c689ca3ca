"""Masked batches of a corpus, packed or in sentence pairs (Devlin et al., 2019, 3.1).

Every batch is a pure function of (seed, step): nothing of a loader has to be saved, and any batch
can be looked at again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from minibert.data.masking import Masker, Masking
from minibert.data.sentence_pairs import Pairs, check_pairs, make_pairs
from minibert.data.tokenized_corpora import AnyCorpus, TokenizedCorpus
from minibert.tokenizer import CLS, PAD, SEP, BertTokenizer

Batch = dict[str, Tensor]


def _rng(seed: int, *stream: int) -> np.random.Generator:
    return np.random.default_rng([seed, *stream])


def _to_batch(seen: np.ndarray, labels: np.ndarray, **more: np.ndarray) -> Batch:
    arrays = {"input_ids": seen, "labels": labels, **more}
    return {name: torch.from_numpy(value.astype(np.int64)) for name, value in arrays.items()}


@dataclass(frozen=True)
class PackedBatches:
    """Single segments without padding: `[CLS]`, T - 2 tokens from anywhere in the corpus, `[SEP]`.

    As RoBERTa's full sentences (Liu et al., 2019, 4.2), documents kept apart by `[SEP]`, but that a
    sequence may begin at any token. Raises `ValueError` for a corpus shorter than a sequence.
    """

    corpus: AnyCorpus
    tokenizer: BertTokenizer
    masking: Masking
    batch_size: int
    max_length: int
    seed: int

    def __post_init__(self) -> None:
        if self.ends[-1] == 0:
            raise ValueError(
                f"the corpus has {self.corpus.num_tokens} tokens: too few for one sequence of "
                f"{self.max_length}"
            )

    @cached_property
    def masker(self) -> Masker:
        return Masker(self.tokenizer, self.masking)

    @cached_property
    def ends(self) -> np.ndarray:
        """Where a sequence can begin, counted through all shards: up to the end of each (shards,).

        None goes over from one shard to the next.
        """
        inner = self.max_length - 2
        return np.cumsum(np.maximum(0, self.corpus.sizes[:, 0] - inner + 1))

    def __call__(self, step: int) -> Batch:
        """The batch of a step: `input_ids` and `labels`, (B, T)."""
        rng = _rng(self.seed, step)
        inner = self.max_length - 2
        starts = rng.integers(0, self.ends[-1], self.batch_size)
        ids = np.empty((self.batch_size, self.max_length), dtype=np.int64)
        ids[:, 0], ids[:, -1] = self.tokenizer.vocab[CLS], self.tokenizer.vocab[SEP]
        numbers = np.searchsorted(self.ends, starts, side="right")  # (B,), of the shards
        for row, (number, start) in enumerate(zip(numbers, starts, strict=True)):
            first = start - (self.ends[number - 1] if number else 0)
            ids[row, 1:-1] = self.corpus.read(number, first, inner)
        return _to_batch(*self.masker(ids, rng))


@dataclass(frozen=True)
class PairBatches:
    """Sentence pairs for MLM and NSP: `[CLS] A [SEP] B [SEP]`, padded to the longest of the batch.

    Pass after pass over the corpus, each with new pairs in a new order. Of a corpus in shards one
    is visited after the other, in a new order in each pass, and B is drawn from the shard of A.
    `elsewhere` is as in `make_pairs`. Raises `ValueError` for a corpus, or a shard, of a single
    document.
    """

    corpus: AnyCorpus
    tokenizer: BertTokenizer
    masking: Masking
    batch_size: int
    max_length: int
    seed: int
    elsewhere: float = 0.0

    def __post_init__(self) -> None:
        check_pairs(self.corpus)

    @cached_property
    def masker(self) -> Masker:
        return Masker(self.tokenizer, self.masking)

    def _make_visit(self, number: int) -> tuple[TokenizedCorpus, Pairs, np.ndarray]:
        """A visit of one shard: its pairs, new in each, and the order that they are taken in."""
        number_of_pass, place = divmod(number, len(self.corpus.sizes))
        turns = _rng(self.seed, number_of_pass, 3).permutation(len(self.corpus.sizes))
        shard = self.corpus.shard(turns[place])
        rng = _rng(self.seed, number, 1)
        pairs = make_pairs(shard, self.max_length, rng, self.elsewhere)
        return shard, pairs, rng.permutation(len(pairs.a))

    @cached_property
    def _visit(self) -> Callable[[int], tuple[TokenizedCorpus, Pairs, np.ndarray]]:
        return lru_cache(maxsize=2)(self._make_visit)  # the first, for its size, and the current

    def _place(self, step: int) -> tuple[int, int]:
        """The visit that a step belongs to, and its number of the batch in it."""
        # Visits differ a little in their number of pairs. Counting with the first one's keeps a
        # step's place a matter of arithmetic; a shorter visit wraps around, a longer one is cut.
        _, _, order = self._visit(0)
        return divmod(step, max(1, len(order) // self.batch_size))

    def __call__(self, step: int) -> Batch:
        """The batch of a step, every tensor (B, T) but for `next_sentence_label` (B,)."""
        number, place = self._place(step)
        shard, pairs, order = self._visit(number)
        rows = order.take(
            np.arange(place * self.batch_size, (place + 1) * self.batch_size), mode="wrap"
        )
        a, a_length, b, b_length = (
            x[rows, None] for x in (pairs.a, pairs.a_length, pairs.b, pairs.b_length)
        )  # each (B, 1)
        column = np.arange(int((a_length + b_length).max()) + 3)  # (T,)
        b_start = a_length + 2  # after [CLS] A [SEP]
        end = b_start + b_length
        in_a = (column >= 1) & (column <= a_length)  # (B, T)
        in_b = (column >= b_start) & (column < end)
        place_in_text = np.where(in_a, a + column - 1, np.where(in_b, b + column - b_start, 0))
        vocab = self.tokenizer.vocab
        ids = np.full(in_a.shape, vocab[PAD], dtype=np.int64)
        ids[:, 0] = vocab[CLS]
        ids[(column == a_length + 1) | (column == end)] = vocab[SEP]
        in_text = in_a | in_b
        ids[in_text] = shard.tokens[place_in_text[in_text]]
        seen, labels = self.masker(ids, _rng(self.seed, step, 2))
        return _to_batch(
            seen,
            labels,
            token_type_ids=(column >= b_start) & (column <= end),
            attention_mask=column <= end,
            next_sentence_label=pairs.is_random[rows],
        )
