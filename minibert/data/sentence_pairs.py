"""Sentence pairs for next sentence prediction (Devlin et al., 2019, 3.1 and appendix A)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minibert.data.tokenized_corpora import AnyCorpus, TokenizedCorpus

SHORT_PAIRS = 0.1
"""The share of pairs that aim at a random length below the maximum."""


@dataclass(frozen=True)
class Pairs:
    """Sentence pairs as places in the tokens: A is [a, a + a_length), B is [b, b + b_length)."""

    a: np.ndarray  # (P,)
    a_length: np.ndarray
    b: np.ndarray
    b_length: np.ndarray
    is_random: np.ndarray  # (P,) 0: B follows A; 1: B comes from another place


def check_pairs(corpus: AnyCorpus) -> None:
    """Raise `ValueError` if a random B cannot come from another document."""
    if corpus.sizes[:, 1].min() < 2:
        raise ValueError(
            "next sentence prediction needs at least two documents to train on, and there is one: "
            "a random sentence would come from the same text. Give more files (of two, one is held "
            "out), or train without it (--recipe fast)"
        )


def make_pairs(
    corpus: TokenizedCorpus, max_length: int, rng: np.random.Generator, elsewhere: float = 0.0
) -> Pairs:
    """One pass over a corpus as pairs for next sentence prediction, made as in the original.

    Sentences are gathered up to a target length, which is the maximum or, for a share of
    `SHORT_PAIRS`, a random shorter one (the original draws it for each document, we for each pair).
    They are cut in two at a random sentence. Half of the time B is the second part. Otherwise B
    begins at any sentence of another document, and the sentences that it displaces go back for the
    next pair. A pair that is too long loses tokens of its longer side, each at random from the
    front or the back.

    `elsewhere` is the share of random Bs that come from another place in the same document. They
    are harder to distinguish from a true B, because the topic is the same.

    Raises `ValueError` for a corpus of a single document.
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
            is_short = rng.random() < SHORT_PAIRS
            target = int(rng.integers(2, room + 1)) if is_short else room
            end = _gather(borders, first, last, target)
            a_end = first + 1 if end - first == 1 else int(rng.integers(first + 1, end))
            if end - first == 1 or rng.random() < 0.5:
                length = target - (borders[a_end] - borders[first])
                if elsewhere and first + last - end > 0 and rng.random() < elsewhere:
                    b, b_end = _segment_elsewhere(borders, first, end, length, rng)
                else:
                    b, b_end = _random_segment(corpus, document, length, rng)
                rows.append((borders[first], borders[a_end], b, b_end, 1))
                first = a_end  # what B displaced goes back
            else:
                rows.append((borders[first], borders[a_end], borders[a_end], borders[end], 0))
                first = end
    a, a_end, b, b_end, is_random = np.array(rows, dtype=np.int64).T  # (N,) each
    return Pairs(*_fit_into(room, a, a_end - a, b, b_end - b, rng), is_random)


def _gather(borders: Sequence[int] | np.ndarray, first: int, last: int, target: int) -> int:
    """The end of as many sentences from `first` on as have `target` tokens, at most `last`."""
    end = first + 1
    while end < last and borders[end] - borders[first] < target:
        end += 1
    return end


def _random_segment(
    corpus: TokenizedCorpus, document: int, target: int, rng: np.random.Generator
) -> tuple[int, int]:
    """About `target` tokens of another document, in whole sentences: start and end.

    Every sentence outside `document` is an equally likely beginning, so long documents are drawn
    more often. (The original draws a document first.)
    """
    starts = corpus.document_starts_without_separators
    own, after = starts[document : document + 2].tolist()
    sentence = int(rng.integers(starts[-1] - (after - own)))
    sentence += (after - own) * (sentence >= own)  # step over A's document
    other = int(np.searchsorted(starts, sentence, side="right")) - 1
    begin, end = corpus.document_starts[other : other + 2].tolist()
    borders = corpus.sentence_starts[begin:end]  # without the document's [SEP]
    first = int(sentence - starts[other])
    return int(borders[first]), int(borders[_gather(borders, first, len(borders) - 1, target)])


def _segment_elsewhere(
    borders: Sequence[int], begin: int, end: int, target: int, rng: np.random.Generator
) -> tuple[int, int]:
    """Sentences of the same document outside sentences [begin, end): start and end."""
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
    """Shorten the longer side of every pair, token by token, until A and B fit into `room`."""
    a_new = np.minimum(a_length, np.maximum(room - b_length, room - room // 2))
    b_new = np.minimum(b_length, np.maximum(room - a_length, room // 2))
    a_front = rng.binomial(a_length - a_new, 0.5)
    b_front = rng.binomial(b_length - b_new, 0.5)
    return a + a_front, a_new, b + b_front, b_new
