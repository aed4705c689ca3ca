"""Baselines for every score: answers without reading, and answers from counting words.

Where weights are learned, scikit-learn learns them: a linear model on the TF-IDF of words and word
pairs. A baseline's own settings are chosen on the validation rows.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import compress
from typing import Any

import numpy as np

from minibert.data.splits import TaskData
from minibert.data.tables import Row
from minibert.finetuning.metrics import LOWER_IS_BETTER, MAIN_METRIC, score

STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0)
"""The values to choose from: C of the logistic regression, 1 / alpha of ridge."""
FEWEST_WORDS_AROUND = range(13)
"""The values to choose from: how many words around a gap must agree before it is filled."""
LONGEST_FILLING = 3
"""The most words that fill a gap."""
QUESTION_WORDS = frozenset(("what", "which", "who", "whom", "whose", "when", "where", "why", "how"))
MARKS = ".,;:!?\"'()[]“”‘’"

Answers = dict[str, list[Any]]
Matrix = Any
"""A sparse matrix of scipy, with a row for each text."""


def baseline_answers(data: TaskData, rows: Sequence[Row] | None = None) -> Answers:
    """The answers of each baseline to the test rows (or to `rows`), by its name.

    They are learned on the training rows, and labels of `rows` are ignored. `score` says what
    answers look like.
    """
    rows = data.test if rows is None else rows
    return _BASELINES[data.kind](data, rows)


def _best(data: TaskData, choices: Sequence[Any], answers: Callable[[Any], list[Any]]) -> Any:
    """The choice whose `answers(choice)` to the validation rows score best; the first of equals."""
    metric = MAIN_METRIC[data.kind]
    sign = -1 if metric in LOWER_IS_BETTER else 1
    return max(
        choices, key=lambda one: sign * score(data.kind, data.validation, answers(one))[metric]
    )


# One answer for a text or a pair


def _linear(
    data: TaskData,
    rows: Sequence[Row],
    right: np.ndarray,
    make: Callable[[float], Any],
    read: Callable[[np.ndarray], list[Any]],
) -> Answers:
    """The answers of linear models: `make(strength)` makes one, `read` reads its predictions.

    For pairs of texts, a second model sees only how many words they share.
    """

    def answers(features: Callable[[Sequence[Row]], Matrix]) -> list[Any]:
        train, validation, asked = map(features, (data.train, data.validation, rows))
        models = [make(strength).fit(train, right) for strength in STRENGTHS]
        best = _best(data, models, lambda model: read(model.predict(validation)))
        return read(best.predict(asked))

    name = "ridge" if data.kind == "regression" else "logistic"
    found = {f"TF-IDF + {name} regression": answers(_tfidf(data.train))}
    if "text_pair" in data.train[0]:
        found[f"shared words + {name} regression"] = answers(_shared_words(data.train))
    return found


def _texts(rows: Sequence[Row]) -> list[str]:
    return [text for row in rows for text in (row["text"], row.get("text_pair")) if text]


def _vectorizer(texts: list[str]) -> Any:
    """TF-IDF of words and of neighbouring pairs that occur in at least two texts."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    try:
        return TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True).fit(texts)
    except ValueError:  # no word is in two texts, or none has two letters
        return TfidfVectorizer(analyzer="char", ngram_range=(1, 3)).fit(texts)


def _tfidf(train: Sequence[Row]) -> Callable[[Sequence[Row]], Matrix]:
    """For a pair: both texts, their difference, and what they share."""
    from scipy.sparse import hstack

    words = _vectorizer(_texts(train))

    def matrix(rows: Sequence[Row]) -> Matrix:
        first = words.transform([row["text"] for row in rows])
        if "text_pair" not in train[0]:
            return first
        second = words.transform([row["text_pair"] for row in rows])
        shared = first.multiply(second)
        return hstack([first, second, abs(first - second), shared, shared.sum(1)]).tocsr()

    return matrix


def _shared_words(train: Sequence[Row]) -> Callable[[Sequence[Row]], np.ndarray]:
    """For a pair: the cosine of its TF-IDF, and its common words as a share of all words."""
    words = _vectorizer(_texts(train))

    def matrix(rows: Sequence[Row]) -> np.ndarray:
        first = words.transform([row["text"] for row in rows])
        second = words.transform([row["text_pair"] for row in rows])
        cosine = np.asarray(first.multiply(second).sum(1))  # (rows, 1)
        return np.hstack([cosine, [[_common(row["text"], row["text_pair"])] for row in rows]])

    return matrix


def _common(first: str, second: str) -> float:
    a, b = ({word for word, *_ in _words(text)} for text in (first, second))
    return len(a & b) / max(1, len(a | b))


def _classification(data: TaskData, rows: Sequence[Row]) -> Answers:
    from sklearn.linear_model import LogisticRegression

    right = [row["label"] for row in data.train]
    make = lambda strength: LogisticRegression(C=strength, max_iter=1000)
    most_frequent = Counter(right).most_common(1)[0][0]
    return {
        "the most frequent label": [most_frequent] * len(rows),
        **_linear(data, rows, np.array(right), make, np.ndarray.tolist),
    }


def _multi_label(data: TaskData, rows: Sequence[Row]) -> Answers:
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    right = np.array([[name in row["label"] for name in data.labels] for row in data.train])
    make = lambda strength: OneVsRestClassifier(LogisticRegression(C=strength, max_iter=1000))

    def read(given: np.ndarray) -> list[list[str]]:
        table = given.reshape(-1, len(data.labels))  # a single label comes as (rows,)
        return [list(compress(data.labels, row)) for row in table]

    with warnings.catch_warnings():  # of a label that all rows have, or none
        warnings.filterwarnings("ignore", "Label .* is present in all training examples")
        answers = _linear(data, rows, right, make, read)
    frequent = list(compress(data.labels, right.mean(0) > 0.5))
    return {"each label that most rows have": [frequent] * len(rows), **answers}


def _regression(data: TaskData, rows: Sequence[Row]) -> Answers:
    from sklearn.linear_model import Ridge

    right = np.array([row["label"] for row in data.train])
    make = lambda strength: Ridge(alpha=1 / strength)
    return {
        "the median": [float(np.median(right))] * len(rows),
        **_linear(data, rows, right, make, np.ndarray.tolist),
    }


# A tag for each word


def _tagging(data: TaskData, rows: Sequence[Row]) -> Answers:
    most = Counter(tag for row in data.train for tag in row["tags"]).most_common(1)[0][0]
    alone = _most_frequent(data.train, lambda words: words)
    paired = {side: _most_frequent(data.train, partial(_neighbours, side=side)) for side in (-1, 1)}

    def by_word(words: list[str]) -> list[str]:
        return [alone.get(word, most) for word in words]

    def by_pair(side: int, rows: Sequence[Row]) -> list[list[str]]:
        return [
            [paired[side].get(pair, alone.get(pair[0], most)) for pair in _neighbours(words, side)]
            for words in (row["words"] for row in rows)
        ]

    best = _best(data, (-1, 1), lambda side: by_pair(side, data.validation))
    return {
        "the most frequent tag": [[most] * len(row["words"]) for row in rows],
        "the most frequent tag of each word": [by_word(row["words"]) for row in rows],
        f"... of each word and the {'one before' if best < 0 else 'next'}": by_pair(best, rows),
    }


def _neighbours(words: list[str], side: int) -> list[tuple[str, str]]:
    """Each word with the word before it (-1) or after it (1); at an edge, with an empty string."""
    return list(zip(words, ["", *words] if side < 0 else [*words[1:], ""], strict=False))


def _most_frequent(
    rows: Sequence[Row], keys: Callable[[list[str]], Sequence[Any]]
) -> dict[Any, str]:
    """The most frequent tag of each key; `keys` gives one for each word of a row."""
    counts: dict[Any, Counter[str]] = defaultdict(Counter)
    for row in rows:
        for key, tag in zip(keys(row["words"]), row["tags"], strict=True):
            counts[key][tag] += 1
    return {key: tags.most_common(1)[0][0] for key, tags in counts.items()}


# Questions and choices


def _question_answering(data: TaskData, rows: Sequence[Row]) -> Answers:
    def answers(found: Sequence[tuple[str, int]], fewest: int) -> list[str]:
        return [text if around >= fewest else "" for text, around in found]

    held_out = [_alignment(row) for row in data.validation]
    fewest = _best(data, FEWEST_WORDS_AROUND, partial(answers, held_out))
    aligned = answers([_alignment(row) for row in rows], fewest)
    return {"no answer, always": [""] * len(rows), "alignment of words": aligned}


def _words(text: str) -> list[tuple[str, int, int]]:
    """The words between blanks, without punctuation and in lower case: (word, start, end)."""
    found = []
    for match in re.finditer(r"\S+", text):
        bare = match[0].strip(MARKS)
        if bare:
            start = match.start() + match[0].index(bare)
            found.append((bare.casefold(), start, start + len(bare)))
    return found


def _alignment(row: Row) -> tuple[str, int]:
    """The words of the context that fill the question's gap, and how many words around it agree.

    A gap is a question word, or a word that the context lacks. Every span of one to three words in
    the context is tried as its filling. Words around it are counted to the left and to
    the right, up to the first that differs.
    """
    asked = [word for word, *_ in _words(row["question"])]
    placed = _words(row["context"])
    context = [word for word, *_ in placed]
    known = set(context) - QUESTION_WORDS
    best, text = 0, ""
    for gap, word in enumerate(asked):
        if word in known:
            continue
        for start in range(len(context)):
            left = _agreeing(asked[:gap][::-1], context[:start][::-1])
            for end in range(start + 1, min(len(context), start + LONGEST_FILLING) + 1):
                around = left + _agreeing(asked[gap + 1 :], context[end:])
                if around > best:
                    best, text = around, row["context"][placed[start][1] : placed[end - 1][2]]
    return text, best


def _agreeing(first: Sequence[str], second: Sequence[str]) -> int:
    """How many items at the start of both are the same."""
    for number, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return number
    return min(len(first), len(second))


def _multiple_choice(data: TaskData, rows: Sequence[Row]) -> Answers:
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [text for row in data.train for text in (row["text"], *row["choices"])]
    words = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\S+").fit(texts)
    most_frequent = Counter(row["label"] for row in data.train).most_common(1)[0][0]
    nearest = []
    for row in rows:
        cosines = words.transform(row["choices"]) @ words.transform([row["text"]]).T  # (C, 1)
        nearest.append(int(cosines.toarray().argmax()))
    return {
        "the most frequent place": [most_frequent] * len(rows),
        "the nearest by TF-IDF": nearest,
    }


_BASELINES: dict[str, Callable[[TaskData, Sequence[Row]], Answers]] = {
    "classification": _classification,
    "multi-label": _multi_label,
    "regression": _regression,
    "tagging": _tagging,
    "question-answering": _question_answering,
    "multiple-choice": _multiple_choice,
}
