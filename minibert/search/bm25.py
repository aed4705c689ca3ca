"""BM25: a search by words (Robertson and Zaragoza, 2009), which trained vectors have to beat.

The library `bm25s` does the counting. A passage scores high if it has the query's words, rare words
above all. Words are compared by their stems, so "taxes" matches "taxed"; `snowballstemmer` finds
the stems.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minibert.search.pairs import TextPair


class WordIndex:
    """Passages by the stems of their words. English stop words are left out."""

    def __init__(self, passages: Sequence[str]) -> None:
        import bm25s

        self.size = len(passages)
        self.bm25 = bm25s.BM25()
        self.bm25.index(self._stems(passages), show_progress=False)

    def scores(self, queries: Sequence[str]) -> np.ndarray:
        """Queries -> the score of each with each passage (Q, N)."""
        return np.stack([self._scores(words) for words in self._stems(queries)])

    def best_wrong(self, queries: Sequence[str], right: Sequence[int]) -> list[int]:
        """For each query, the number of the best passage that is not the right one."""
        best = []
        for words, own in zip(self._stems(queries), right, strict=True):
            scores = self._scores(words)
            scores[own] = -np.inf
            best.append(int(scores.argmax()))
        return best

    @staticmethod
    def _stems(texts: Sequence[str]) -> list[list[str]]:
        import bm25s
        import snowballstemmer

        stem = snowballstemmer.stemmer("english").stemWords
        stems: list[list[str]] = bm25s.tokenize(
            list(texts), stopwords="en", stemmer=stem, return_ids=False, show_progress=False
        )
        return stems

    def _scores(self, words: list[str]) -> np.ndarray:
        """The scores of all passages (N,), which are 0 if no word of the query is known."""
        known = [word for word in words if word in self.bm25.vocab_dict]
        return self.bm25.get_scores(known) if known else np.zeros(self.size, np.float32)


def hard_negatives(pairs: Sequence[TextPair]) -> list[str]:
    """For each pair, the passage of another pair that BM25 finds best for its query.

    Some of them answer the query too, because nobody has checked: these are false negatives.
    """
    passages = [pair.passage for pair in pairs]
    best = WordIndex(passages).best_wrong([pair.query for pair in pairs], range(len(pairs)))
    return [passages[number] for number in best]
