"""What every score of a BERT is set beside: no reading at all, and the counting of words.

Counting is scikit-learn's: TF-IDF of words and word pairs, and a linear model on top, whose one
setting is chosen on the validation rows, as everything is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from minibert.labelled_data import Row, TaskData
from minibert.metrics import LOWER_IS_BETTER, MAIN_METRIC, score

STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0)
"""Of regularisation, to choose from: C of the logistic regression, 1 / alpha of ridge."""

Answers = dict[str, list[Any]]


def baseline_answers(data: TaskData, rows: Sequence[Row] | None = None) -> Answers:
    """The answers of each baseline to the test rows (or to `rows`), by its name.

    They are learned on the training rows. See `score` for what answers look like.
    """
    rows = data.test if rows is None else rows
    return _BASELINES[data.kind](data, rows)


def _text(row: Row) -> str:
    return f"{row['text']}\n{row['text_pair']}" if "text_pair" in row else row["text"]


def _features(data: TaskData, rows: Sequence[Row]) -> tuple[Any, Any]:
    """TF-IDF of the training rows and of `rows`; of a pair, what both share stands beside it."""
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    try:
        words.fit([_text(row) for row in data.train])
    except ValueError:  # no word stands twice
        words = TfidfVectorizer(analyzer="char", ngram_range=(1, 3))
        words.fit([_text(row) for row in data.train])

    def matrix(some: Sequence[Row]) -> Any:
        if not some or "text_pair" not in some[0]:
            return words.transform([_text(row) for row in some])
        first = words.transform([row["text"] for row in some])
        second = words.transform([row["text_pair"] for row in some])
        shared = first.multiply(second)
        return hstack([first, second, abs(first - second), shared, shared.sum(1)]).tocsr()

    return matrix(data.train), matrix(rows)


def _best(data: TaskData, fit: Any) -> Any:
    """The strength whose model, by `fit(strength)`, answers the validation rows best."""
    metric = MAIN_METRIC[data.kind]
    sign = -1 if metric in LOWER_IS_BETTER else 1
    return max(
        STRENGTHS,
        key=lambda strength: (
            sign * score(data.kind, data.validation, fit(strength)(data.validation))[metric]
        ),
    )


def _classification(data: TaskData, rows: Sequence[Row]) -> Answers:
    from sklearn.linear_model import LogisticRegression

    right = [row["label"] for row in data.train]
    train, validation = _features(data, data.validation)
    _, wanted = _features(data, rows)

    def model(strength: float) -> LogisticRegression:
        return LogisticRegression(C=strength, max_iter=1000).fit(train, right)

    strength = _best(data, lambda c: lambda _: list(model(c).predict(validation)))
    return {
        "the most frequent label": [Counter(right).most_common(1)[0][0]] * len(rows),
        "TF-IDF + logistic regression": list(model(strength).predict(wanted)),
    }


def _multi_label(data: TaskData, rows: Sequence[Row]) -> Answers:
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import MultiLabelBinarizer

    binary = MultiLabelBinarizer(classes=data.labels)
    right = binary.fit_transform([row["label"] for row in data.train])
    train, validation = _features(data, data.validation)
    _, wanted = _features(data, rows)

    def model(strength: float) -> OneVsRestClassifier:
        regression = LogisticRegression(C=strength, max_iter=1000)
        return OneVsRestClassifier(regression).fit(train, right)

    def answers(strength: float, matrix: Any) -> list[list[str]]:
        return [list(some) for some in binary.inverse_transform(model(strength).predict(matrix))]

    strength = _best(data, lambda c: lambda _: answers(c, validation))
    often = [label for label, share in zip(data.labels, right.mean(0), strict=True) if share > 0.5]
    return {
        "each label that most rows have": [often] * len(rows),
        "TF-IDF + logistic regression": answers(strength, wanted),
    }


def _regression(data: TaskData, rows: Sequence[Row]) -> Answers:
    from sklearn.linear_model import Ridge

    right = np.array([row["label"] for row in data.train])
    train, validation = _features(data, data.validation)
    _, wanted = _features(data, rows)

    def model(strength: float) -> Ridge:
        return Ridge(alpha=1 / strength).fit(train, right)

    strength = _best(data, lambda c: lambda _: list(model(c).predict(validation)))
    return {
        "the median": [float(np.median(right))] * len(rows),
        "TF-IDF + ridge regression": list(map(float, model(strength).predict(wanted))),
    }


def _tagging(data: TaskData, rows: Sequence[Row]) -> Answers:
    by_word: dict[str, Counter[str]] = defaultdict(Counter)
    for row in data.train:
        for word, tag in zip(row["words"], row["tags"], strict=True):
            by_word[word][tag] += 1
    (most, _), *_ = sum(by_word.values(), Counter()).most_common(1)
    known = {word: tags.most_common(1)[0][0] for word, tags in by_word.items()}
    return {
        "the most frequent tag": [[most] * len(row["words"]) for row in rows],
        "the most frequent tag of each word": [
            [known.get(word, most) for word in row["words"]] for row in rows
        ],
    }


def _question_answering(data: TaskData, rows: Sequence[Row]) -> Answers:
    return {
        "no answer, always": [""] * len(rows),
        "the words after the best match": [_after_the_best_match(row) for row in rows],
    }


def _after_the_best_match(row: Row, before: int = 3) -> str:
    """The word of the context whose surroundings share most with the question, and is not in it."""
    question = set(row["question"].lower().split())
    words = row["context"].split()
    if not words:
        return ""
    lower = [word.lower() for word in words]

    def surroundings(i: int) -> int:
        near = lower[max(0, i - before) : i] + lower[i + 1 : i + 1 + before]
        return len(question & set(near)) if lower[i] not in question else -1

    best = max(range(len(words)), key=surroundings)
    return words[best].strip(".,;:!?\"'()")


def _multiple_choice(data: TaskData, rows: Sequence[Row]) -> Answers:
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [text for row in data.train for text in (row["text"], *row["choices"])]
    words = TfidfVectorizer(sublinear_tf=True).fit(texts)
    often = Counter(row["label"] for row in data.train).most_common(1)[0][0]
    nearest = []
    for row in rows:
        likeness = words.transform(row["choices"]) @ words.transform([row["text"]]).T  # (C, 1)
        nearest.append(int(likeness.toarray().argmax()))
    return {"the most frequent place": [often] * len(rows), "the nearest by TF-IDF": nearest}


_BASELINES = {
    "classification": _classification,
    "multi-label": _multi_label,
    "regression": _regression,
    "tagging": _tagging,
    "question-answering": _question_answering,
    "multiple-choice": _multiple_choice,
}
