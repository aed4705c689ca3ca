"""An index of passages by their vectors, and an exact search in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minibert.inference.sentence_vectors import sentence_vectors
from minibert.model import BertModel
from minibert.tokenizer import BertTokenizer


class Hit(NamedTuple):
    """A passage that was found: its number in the index, and its cosine with the query."""

    number: int
    score: float


class SearchIndex:
    """Passages with their vectors (N, D) at length 1, from one model."""

    def __init__(
        self,
        bert: BertModel,
        tokenizer: BertTokenizer,
        passages: Sequence[str],
        max_length: int | None = None,
        vectors: np.ndarray | None = None,
    ) -> None:
        """`vectors` are those of the passages, if this model has encoded them already."""
        self.bert, self.tokenizer, self.max_length = bert, tokenizer, max_length
        self.passages = list(passages)
        self.vectors = self.encode(passages) if vectors is None else vectors

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Texts -> vectors (Q, D) that can be compared with those of the index."""
        return sentence_vectors(
            self.bert, self.tokenizer, texts, normalize=True, max_length=self.max_length
        )

    def scores(self, queries: Sequence[str]) -> np.ndarray:
        """Queries -> the cosine of each with each passage (Q, N)."""
        return self.encode(queries) @ self.vectors.T

    def search(self, query: str, k: int = 10) -> list[Hit]:
        """The k passages that are nearest to the query, the nearest first."""
        (scores,) = self.scores([query])
        best = np.argsort(-scores, kind="stable")[:k]
        return [Hit(int(number), float(scores[number])) for number in best]
