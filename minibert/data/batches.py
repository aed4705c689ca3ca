"""Masked batches of a corpus, packed or in sentence pairs (Devlin et al., 2019, 3.1).

Every batch is a pure function of (seed, step), so a loader has no state to save, and any batch can
be made again.
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
from minibert.settings import Count, Natural, Share, check
from minibert.tokenizer import CLS, PAD, SEP, BertTokenizer

Batch = dict[str, Tensor]


def _rng(seed: int, *stream: int) -> np.random.Generator:
    return np.random.default_rng([seed, *stream])


def _to_batch(seen: np.ndarray, labels: np.ndarray, **more: np.ndarray) -> Batch:
    arrays = {"input_ids": seen, "labels": labels, **more}
    return {name: torch.from_numpy(value.astype(np.int64)) for name, value in arrays.items()}


@dataclass(frozen=True)
class _Batches:
    """What both kinds of batches are made from."""

    _shortest = 1
    corpus: AnyCorpus
    tokenizer: BertTokenizer
    masking: Masking
    batch_size: Count
    max_length: Count
    seed: Natural
    elsewhere: Share = 0.0
    """For sentence pairs: see `make_pairs`."""

    def __post_init__(self) -> None:
        check(self)
        if self.max_length < self._shortest:
            least = f"a whole number, {self._shortest} or more"
            raise ValueError(f"max_length must be {least}, not {self.max_length}")

    @cached_property
    def masker(self) -> Masker:
        return Masker(self.tokenizer, self.masking)


@dataclass(frozen=True)
class PackedBatches(_Batches):
    """Single segments without padding: `[CLS]`, T - 2 tokens from anywhere in the corpus, `[SEP]`.

    These are RoBERTa's full sentences (Liu et al., 2019, 4.2), with `[SEP]` between documents,
    except that a sequence may begin at any token. Raises `ValueError` for a corpus that is shorter
    than a sequence.
    """

    _shortest = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ends[-1] == 0:
            raise ValueError(
                f"the corpus has {self.corpus.num_tokens} tokens: too few for one sequence of "
                f"{self.max_length}"
            )

    @cached_property
    def ends(self) -> np.ndarray:
        """How many places a sequence can begin at, up to the end of each shard (shards,).

        No sequence runs from one shard into the next.
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
        shards = np.searchsorted(self.ends, starts, side="right")  # (B,)
        for row, (shard, start) in enumerate(zip(shards, starts, strict=True)):
            first = start - (self.ends[shard - 1] if shard else 0)
            ids[row, 1:-1] = self.corpus.read(shard, first, inner)
        return _to_batch(*self.masker(ids, rng))


@dataclass(frozen=True)
class PairBatches(_Batches):
    """Sentence pairs for MLM and NSP: `[CLS] A [SEP] B [SEP]`, padded to the longest of the batch.

    Every pass over the corpus has new pairs in a new order. A pass visits the shards of a corpus
    one after another, also in a new order, and a random B comes from the shard of A. Raises
    `ValueError` for a corpus, or a shard, of a single document.
    """

    _shortest = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_pairs(self.corpus)

    def _make_visit(self, number: int) -> tuple[TokenizedCorpus, Pairs, np.ndarray]:
        """A visit of one shard: its pairs, which are new, and their order."""
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
        """The visit that a step belongs to, and the number of its batch in that visit."""
        # Visits differ a little in their number of pairs. Counting every visit as long as the first
        # makes a step's place simple arithmetic: a shorter visit wraps around, a longer one is cut.
        _, _, order = self._visit(0)
        return divmod(step, max(1, len(order) // self.batch_size))

    def __call__(self, step: int) -> Batch:
        """The batch of a step, every tensor (B, T), except `next_sentence_label` (B,)."""
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


@dataclass(frozen=True)
class SentenceBatches(_Batches):
    """Single sentences for MLM, `[CLS] A [SEP]`, padded to the longest of the batch.

    People often give a BERT one sentence, in which there is less to go by than in `max_length`
    tokens of text. A batch has sentences of at most `LONGEST` tokens, and as many as have room in
    `batch_size` sequences of `max_length` tokens. All come from one shard.
    """

    LONGEST = 32

    @property
    def longest(self) -> int:
        """How many tokens a sentence may have, `[CLS]` and `[SEP]` included."""
        return min(self.LONGEST, self.max_length)

    @cached_property
    def _shard(self) -> Callable[[int], tuple[TokenizedCorpus, np.ndarray]]:
        return lru_cache(maxsize=2)(self._read_shard)

    def _read_shard(self, number: int) -> tuple[TokenizedCorpus, np.ndarray]:
        """A shard, and which of its sentences are short enough (sentences,)."""
        shard = self.corpus.shard(number)
        starts = shard.sentence_starts
        is_text = shard.tokens[starts[:-1]] != self.tokenizer.vocab[SEP]  # no end of a document
        return shard, np.flatnonzero(is_text & (np.diff(starts) <= self.longest - 2))

    def __call__(self, step: int) -> Batch:
        """The batch of a step, every tensor (B, T)."""
        rng = _rng(self.seed, step, 4)
        tokens = self.corpus.sizes[:, 0]
        shard, possible = self._shard(int(rng.choice(len(tokens), p=tokens / tokens.sum())))
        if not len(possible):
            raise ValueError(f"no sentence of the corpus fits into {self.longest} tokens")
        rows = rng.choice(possible, self.batch_size * self.max_length // self.longest)[:, None]
        start = shard.sentence_starts[rows]  # (B, 1)
        length = shard.sentence_starts[rows + 1] - start
        column = np.arange(int(length.max()) + 2)  # (T,)
        is_text = (column >= 1) & (column <= length)  # (B, T)
        vocab = self.tokenizer.vocab
        ids = np.full(is_text.shape, vocab[PAD], dtype=np.int64)
        ids[:, 0] = vocab[CLS]
        ids[column == length + 1] = vocab[SEP]
        ids[is_text] = shard.tokens[(start + column - 1)[is_text]]
        return _to_batch(*self.masker(ids, rng), attention_mask=column <= length + 1)
