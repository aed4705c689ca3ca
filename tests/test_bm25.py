"""BM25: scores as its formula says, and the best wrong passages."""

import math

import numpy as np
import pytest

from minibert.search.bm25 import WordIndex, hard_negatives
from minibert.search.pairs import TextPair

PASSAGES = ["the red house", "red red wine", "an old blue house by a blue lake", "nothing here"]


def by_formula(query, passages, k1=1.5, b=0.75):
    """Robertson and Zaragoza (2009), with the logarithm that is never below 0, as in Lucene."""
    stop = {"the", "an", "by", "a"}
    texts = [[word for word in passage.split() if word not in stop] for passage in passages]
    mean = np.mean([len(text) for text in texts])
    scores = np.zeros(len(texts))
    for word in query.split():
        df = sum(word in text for text in texts)
        idf = math.log(1 + (len(texts) - df + 0.5) / (df + 0.5))
        for number, text in enumerate(texts):
            tf = text.count(word)
            scores[number] += idf * tf / (tf + k1 * (1 - b + b * len(text) / mean))
    return scores


@pytest.mark.parametrize("query", ["red", "blue house", "red blue unknown"])
def test_scores_are_the_formulas(query):
    (scores,) = WordIndex(PASSAGES).scores([query])
    assert scores == pytest.approx(by_formula(query, PASSAGES), abs=1e-5)


def test_words_are_compared_by_their_stems():
    """The stems are from Porter's published examples: plastered -> plaster, motoring -> motor."""
    passages = ["they plastered walls", "motoring is fun", "taxes"]
    scores = WordIndex(passages).scores(["plaster", "motor", "taxed", "plastic"])
    assert ((scores > 0) == np.eye(4, 3, dtype=bool)).all()


def test_a_query_without_a_known_word_finds_nothing():
    assert WordIndex(PASSAGES).scores(["the", "unknown", ""]).tolist() == [[0.0] * 4] * 3


def test_a_hard_negative_is_the_best_passage_of_another_pair():
    queries = ["red wine", "wine", "blue lake house", "red house"]
    pairs = [TextPair(q, p, "d") for q, p in zip(queries, PASSAGES, strict=True)]
    wanted = []
    for number, query in enumerate(queries):
        scores = by_formula(query, PASSAGES)
        scores[number] = -1
        wanted.append(PASSAGES[int(scores.argmax())])
    assert hard_negatives(pairs) == wanted
    assert wanted[0] == PASSAGES[1] and wanted[3] == PASSAGES[0]
