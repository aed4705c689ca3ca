"""From documents to masked batches (Devlin et al., 2019, 3.1 and appendix A).

Every batch is a pure function of (seed, step): nothing of a loader has to be saved, and any batch
can be looked at again. Tokens lie in files that are mapped into memory, so a corpus may be larger
than memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from minibert.data.corpora import Document
from minibert.files import read_json
from minibert.model import IGNORE_INDEX
from minibert.tokenizer import CLS, MASK, PAD, SEP, SPECIAL_TOKENS, BertTokenizer

CHARACTERS_AT_ONCE = 1 << 20

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class TokenizedCorpus:
    """The ids of a corpus in a row, and where its sentences and documents begin.

    Every document ends with one `[SEP]`, which counts as a sentence of its own: it keeps documents
    apart where sequences run over their borders.
    """

    tokens: np.ndarray  # (N,) ids
    sentence_starts: np.ndarray  # (S + 1,) places in `tokens`; the last is N
    document_starts: np.ndarray  # (documents + 1,) places in `sentence_starts`; the last is S

    @classmethod
    def open(cls, directory: Path) -> TokenizedCorpus:
        """What `write_tokens` wrote, mapped into memory and not read.

        Raises `ValueError` for a file that is not as long as it was.
        """
        arrays = {}
        for name, (dtype, length) in read_json(directory / "arrays.json").items():
            file = directory / f"{name}.bin"
            size, whole = file.stat().st_size, length * np.dtype(dtype).itemsize
            if size != whole:
                raise ValueError(f"{file} is damaged: it has {size} of {whole} bytes")
            arrays[name] = np.memmap(file, dtype=dtype, mode="r")
        return cls(**arrays)

    @property
    def num_documents(self) -> int:
        return len(self.document_starts) - 1

    @cached_property
    def document_starts_without_separators(self) -> np.ndarray:
        """Where documents begin (documents + 1,), counted in sentences other than `[SEP]`."""
        return self.document_starts - np.arange(len(self.document_starts))

    @property
    def num_tokens(self) -> int:
        return len(self.tokens)

    @property
    def sizes(self) -> np.ndarray:
        """It is a corpus of one shard (1, 2): its tokens and documents."""
        return np.array([[self.num_tokens, self.num_documents]])

    def shard(self, number: int) -> TokenizedCorpus:
        return self

    def read(self, number: int, start: int, length: int) -> np.ndarray:
        """Some tokens of a shard (length,)."""
        return self.tokens[start : start + length]


@dataclass(frozen=True)
class ShardedCorpus:
    """A corpus in shards, each a folder that `write_tokens` wrote.

    More of them may be there than files can be open, and more tokens than fit into memory: what is
    read here and there is not mapped.
    """

    directories: tuple[Path, ...]

    @cached_property
    def sizes(self) -> np.ndarray:
        """How many tokens and documents each shard has (shards, 2)."""
        opened = (TokenizedCorpus.open(directory) for directory in self.directories)
        return np.array([(shard.num_tokens, shard.num_documents) for shard in opened])

    @property
    def num_tokens(self) -> int:
        return int(self.sizes[:, 0].sum())

    def shard(self, number: int) -> TokenizedCorpus:
        """One shard, mapped into memory."""
        return TokenizedCorpus.open(self.directories[number])

    def read(self, number: int, start: int, length: int) -> np.ndarray:
        """Some tokens of a shard (length,), read from its file."""
        file, dtype = self.directories[number] / "tokens.bin", self._dtype
        return np.fromfile(file, dtype, length, offset=start * dtype.itemsize)

    @cached_property
    def _dtype(self) -> np.dtype:
        return self.shard(0).tokens.dtype


AnyCorpus = TokenizedCorpus | ShardedCorpus


def write_tokens(
    documents: Iterable[Document], tokenizer: BertTokenizer, directory: Path
) -> TokenizedCorpus:
    """Tokenize documents into files in `directory`, about a megabyte of text at a time.

    Raises `ValueError` where there is no document.
    """
    directory.mkdir(parents=True, exist_ok=True)
    dtypes = {
        "tokens": "uint16" if tokenizer.vocab_size <= 1 << 16 else "uint32",
        "sentence_starts": "int64",
        "document_starts": "int64",
    }
    files = {name: (directory / f"{name}.bin").open("wb") for name in dtypes}
    separator = tokenizer.vocab[SEP]
    num_tokens = num_sentences = num_documents = 0

    def write(name: str, values: list[int] | np.ndarray) -> None:
        files[name].write(np.asarray(values, dtype=dtypes[name]).tobytes())

    write("document_starts", [0])
    write("sentence_starts", [0])
    for group in _groups(documents):
        encoded = iter(tokenizer.encode_batch([s for doc in group for s in doc.sentences]))
        for document in group:
            sentences = [ids for ids in islice(encoded, len(document.sentences)) if ids]
            sentences.append([separator])
            starts = num_tokens + np.cumsum([len(ids) for ids in sentences])
            write("tokens", [token for ids in sentences for token in ids])
            write("sentence_starts", starts)
            num_tokens, num_sentences = int(starts[-1]), num_sentences + len(sentences)
            num_documents += 1
            write("document_starts", [num_sentences])
    for file in files.values():
        file.close()
    if num_sentences == 0:
        raise ValueError("the corpus is empty: there is no document in it")
    lengths = (num_tokens, num_sentences + 1, num_documents + 1)
    arrays = dict(zip(dtypes, zip(dtypes.values(), lengths, strict=True), strict=True))
    (directory / "arrays.json").write_text(json.dumps(arrays), encoding="utf-8")
    return TokenizedCorpus.open(directory)


def _groups(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Documents by handfuls of about the same amount of text."""
    group: list[Document] = []
    size = 0
    for document in documents:
        group.append(document)
        size += sum(len(sentence) for sentence in document.sentences)
        if size >= CHARACTERS_AT_ONCE:
            yield group
            group, size = [], 0
    if group:
        yield group


@dataclass(frozen=True)
class Masking:
    """Which tokens are to be predicted, and what is put in their place."""

    probability: float = 0.15
    mask: float = 0.8
    """Share of the chosen tokens that become `[MASK]`."""
    random: float = 0.1
    """Share that become a random token. The rest stay as they are."""
    whole_word: bool = False
    max_predictions: int | None = None
    """No more than so many in a sequence: 20 at T = 128 in the original."""
    random_specials: bool = True
    """Whether `[CLS]` and its like may be drawn as the random token: so in the original. Then the
    model may see a `[PAD]` that is no padding: take `attention_mask` from the batch."""


EVALUATION_MASKING = Masking(mask=1.0, random=0.0)
"""For measuring: 15 % chosen, all of them hidden. A token left in its place would be a gift."""


class Masker:
    """Masks batches of ids for one vocabulary."""

    def __init__(self, tokenizer: BertTokenizer, masking: Masking) -> None:
        self.masking = masking
        self.mask_id = tokenizer.vocab[MASK]
        self.never = np.array([tokenizer.vocab[t] for t in (CLS, SEP, PAD)])
        special = {tokenizer.vocab[token] for token in SPECIAL_TOKENS}
        ids = range(tokenizer.vocab_size)
        self.random_ids = np.array([i for i in ids if masking.random_specials or i not in special])
        self.continues = np.array([token.startswith("##") for token in tokenizer.tokens])  # (V,)

    def __call__(self, ids: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Ids (B, T) -> what the model sees (B, T), and labels (B, T).

        A label is the token to predict, or -100. The number of predictions of a sequence is fixed
        by its length, `[CLS]` and `[SEP]` counted: max(1, round(probability x length)).
        """
        masking = self.masking
        candidates = ~np.isin(ids, self.never)  # (B, T)
        lengths = (ids != self.never[2]).sum(1)
        numbers = np.maximum(1, np.rint(masking.probability * lengths)).astype(int)  # (B,)
        if masking.max_predictions is not None:
            numbers = np.minimum(numbers, masking.max_predictions)
        if masking.whole_word:
            chosen = choose_words(candidates, self.continues[ids], numbers, rng)
        else:
            chosen = choose_tokens(candidates, numbers, rng)
        labels = np.where(chosen, ids, IGNORE_INDEX)
        # One draw decides all three fates, so their shares cannot interfere.
        fate = rng.random(ids.shape)
        random_ids = rng.choice(self.random_ids, ids.shape)
        seen = np.where(chosen & (fate < masking.mask), self.mask_id, ids)
        is_random = chosen & (fate >= masking.mask) & (fate < masking.mask + masking.random)
        return np.where(is_random, random_ids, seen), labels


def choose_tokens(
    candidates: np.ndarray, numbers: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """`numbers[b]` of row b's candidates (all, if there are fewer), as a mask (B, T)."""
    lots = np.where(candidates, rng.random(candidates.shape), 2.0)
    ranks = lots.argsort(1).argsort(1)  # (B, T): 0 for the lowest lot
    return candidates & (ranks < numbers[:, None])


def choose_words(
    candidates: np.ndarray, continues: np.ndarray, numbers: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Whole words at random, each taken if it still fits into `numbers[b]` tokens: a mask (B, T).

    A word is a candidate and the `##` pieces after it.
    """
    rows, width = candidates.shape
    begins = candidates & ~(continues & np.roll(candidates, 1, axis=1))
    words = np.where(candidates, begins.cumsum(1), 0)  # (B, T): the word's number, 0 for none
    row_numbers = np.arange(rows)
    sizes = np.zeros((rows, width + 1), dtype=int)
    np.add.at(sizes, (row_numbers[:, None], words), 1)
    sizes[:, 0] = 0
    order = np.where(sizes > 0, rng.random(sizes.shape), 2.0).argsort(1)  # (B, T + 1)
    taken = np.zeros(sizes.shape, dtype=bool)
    left = numbers.copy()
    for rank in range((sizes > 0).sum(1).max()):
        word = order[:, rank]
        size = sizes[row_numbers, word]
        fits = (size > 0) & (size <= left)
        taken[row_numbers, word] = fits
        left = left - size * fits
    return taken[row_numbers[:, None], words]


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
class Pairs:
    """Sentence pairs as places in the tokens: A is [a, a + a_length), B is [b, b + b_length)."""

    a: np.ndarray  # (P,)
    a_length: np.ndarray
    b: np.ndarray
    b_length: np.ndarray
    is_random: np.ndarray  # (P,) 0: B follows A; 1: B comes from another place


def make_pairs(
    corpus: TokenizedCorpus,
    max_length: int,
    rng: np.random.Generator,
    elsewhere: float = 0.0,
    short_sequence_probability: float = 0.1,
) -> Pairs:
    """One pass over a corpus as pairs for next sentence prediction, in the original's way.

    Sentences are gathered up to the length that is aimed at (a random shorter one with
    `short_sequence_probability`, drawn for each pair; the original draws it for each document) and
    cut in two at a random sentence. Half of the time B is what follows; else B begins at any
    sentence of another document, and the sentences that it displaced are put back for the next
    pair. A share of `elsewhere` of these random Bs comes from another place in the same document:
    harder to tell from a true B, as its topic is the same. What is too long loses tokens of its
    longer side, at its front or its back at random. Raises `ValueError` for a corpus of a single
    document: there is no other document to take a random B from.
    """
    check_pairs(corpus)
    room = max_length - 3  # [CLS] A [SEP] B [SEP]
    starts, documents = corpus.sentence_starts, corpus.document_starts
    rows: list[tuple[int, int, int, int, int]] = []  # a, end of a, b, end of b, is_random
    for document in range(corpus.num_documents):
        # Without the [SEP] that ends the document.
        borders = starts[documents[document] : documents[document + 1]].tolist()
        last = len(borders) - 1
        first = 0
        while first < last:
            target = room
            if rng.random() < short_sequence_probability:
                target = int(rng.integers(2, room + 1))
            end = _gather(borders, first, last, target)
            a_end = first + 1 if end - first == 1 else int(rng.integers(first + 1, end))
            if end - first == 1 or rng.random() < 0.5:
                length = target - (borders[a_end] - borders[first])
                if elsewhere and first + last - end > 0 and rng.random() < elsewhere:
                    b, b_end = _segment_elsewhere(borders, first, end, length, rng)
                else:
                    b, b_end = _random_segment(corpus, document, length, rng)
                rows.append((borders[first], borders[a_end], b, b_end, 1))
                first = a_end  # what B displaced is put back
            else:
                rows.append((borders[first], borders[a_end], borders[a_end], borders[end], 0))
                first = end
    a, a_end, b, b_end, is_random = np.array(rows, dtype=np.int64).T
    a, a_length, b, b_length = _fit_into(room, a, a_end - a, b, b_end - b, rng)
    return Pairs(a, a_length, b, b_length, is_random)


def _gather(borders: Sequence[int], first: int, last: int, target: int) -> int:
    """The end of the sentences from `first` on that have `target` tokens, `last` at most."""
    end = first + 1
    while end < last and borders[end] - borders[first] < target:
        end += 1
    return end


def check_pairs(corpus: AnyCorpus) -> None:
    """Raise `ValueError` if no pairs can be made of the corpus."""
    if corpus.sizes[:, 1].min() < 2:
        raise ValueError(
            "next sentence prediction needs at least two documents to train on, and there is one: "
            "a random sentence would come from the same text. Give more files (of two, one is held "
            "out), or train without it (--recipe fast)"
        )


def _random_segment(
    corpus: TokenizedCorpus, document: int, target: int, rng: np.random.Generator
) -> tuple[int, int]:
    """Sentences of another document, `target` tokens or what is left of it: start and end.

    Any sentence outside of `document` is as likely a beginning as any other, so long documents
    are drawn from more often. (The original draws a document first.)
    """
    starts = corpus.document_starts_without_separators
    own, after = starts[document : document + 2].tolist()
    sentence = int(rng.integers(starts[-1] - (after - own)))
    sentence += (after - own) * (sentence >= own)  # step over the document that A is from
    other = int(np.searchsorted(starts, sentence, side="right")) - 1
    begin, end = corpus.document_starts[other : other + 2].tolist()
    borders = corpus.sentence_starts[begin:end]  # without the document's [SEP]
    first = int(sentence - starts[other])
    return int(borders[first]), int(borders[_gather(borders, first, len(borders) - 1, target)])


def _segment_elsewhere(
    borders: Sequence[int], begin: int, end: int, target: int, rng: np.random.Generator
) -> tuple[int, int]:
    """Sentences of the same document that lie outside of sentences [begin, end): start and end."""
    last = len(borders) - 1
    first = int(rng.integers(begin + last - end))
    first += (end - begin) * (first >= begin)
    limit = begin if first < begin else last
    return borders[first], borders[_gather(borders, first, limit, target)]


def _fit_into(
    room: int,
    a: np.ndarray,
    a_length: np.ndarray,
    b: np.ndarray,
    b_length: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Shorten the longer side, token by token, until A and B fit into `room`: all pairs at once."""
    a_new = np.minimum(a_length, np.maximum(room - b_length, room - room // 2))
    b_new = np.minimum(b_length, np.maximum(room - a_length, room // 2))
    a_front = rng.binomial(a_length - a_new, 0.5)
    b_front = rng.binomial(b_length - b_new, 0.5)
    return a + a_front, a_new, b + b_front, b_new


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
