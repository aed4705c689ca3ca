"""Scores of answers, by the measures that are usual for each kind of task.

scikit-learn, scipy and seqeval compute what they can. They are imported where they are used, so
that the command line starts without them.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from minibert.data.tables import Row

Scores = dict[str, float]
Counts = dict[str, dict[str, int]]
"""A confusion matrix: right answer -> given answer -> how often."""

MAIN_METRIC = {
    "classification": "accuracy",
    "multi-label": "micro F1",
    "regression": "mean absolute error",
    "tagging": "accuracy",
    "question-answering": "F1",
    "multiple-choice": "accuracy",
}
"""The measure that is named first, for each kind of task."""
LOWER_IS_BETTER = frozenset({"mean absolute error", "root mean squared error"})


def score(kind: str, rows: Sequence[Row], answers: Sequence[Any]) -> Scores:
    """Every measure of a kind of task, the main one first.

    An answer is, by the kind of task: a label; a list of labels; a number; a list of tags; the text
    of an answer, empty for none; the number of a choice.
    """
    if len(rows) != len(answers) or not rows:
        raise ValueError(
            f"there are {len(rows)} rows and {len(answers)} answers: give one for each"
        )
    return _SCORES[kind](rows, answers)


def _classification(rows: Sequence[Row], answers: Sequence[str]) -> Scores:
    return _class_scores([row["label"] for row in rows], list(answers))


def _class_scores(right: list[str], given: list[str]) -> Scores:
    from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

    labels = sorted(set(right))  # a label that is never right has no F1
    return {
        "accuracy": float(accuracy_score(right, given)),
        "macro F1": float(f1_score(right, given, labels=labels, average="macro", zero_division=0)),
        # Not defined where all is one label.
        "Matthews correlation": float(matthews_corrcoef(right, given))
        if len({*right, *given}) > 1
        else 0.0,
    }


def class_f1(counts: Counts) -> dict[str, float]:
    """F1 of each class that is right somewhere."""
    from sklearn.metrics import f1_score

    cells = [(a, b, number) for a, of_a in counts.items() for b, number in of_a.items()]
    if not cells:
        return {}
    right, given, numbers = zip(*cells, strict=True)
    f1 = f1_score(
        right, given, labels=list(counts), average=None, sample_weight=numbers, zero_division=0
    )
    return dict(zip(counts, f1.tolist(), strict=True))


def _multi_label(rows: Sequence[Row], answers: Sequence[Sequence[str]]) -> Scores:
    from sklearn.metrics import f1_score
    from sklearn.preprocessing import MultiLabelBinarizer

    right = [row["label"] for row in rows]
    labels = sorted({label for row in (*right, *answers) for label in row}) or [""]
    binarizer = MultiLabelBinarizer(classes=labels)
    a, b = binarizer.fit_transform(right), binarizer.transform(answers)  # (N, C) of 0 and 1
    wanted = [label for label, is_right in enumerate(a.any(0)) if is_right]
    macro = [f1_score(a[:, label], b[:, label], zero_division=0) for label in wanted]
    return {
        "micro F1": float(f1_score(a.ravel(), b.ravel(), zero_division=1.0)),
        "macro F1": float(np.mean(macro)) if wanted else 0.0,
        "all labels right": float((a == b).all(1).mean()),
    }


def _regression(rows: Sequence[Row], answers: Sequence[float]) -> Scores:
    from scipy.stats import pearsonr, spearmanr
    from sklearn.metrics import mean_absolute_error, root_mean_squared_error

    right, given = np.array([row["label"] for row in rows]), np.array(answers, dtype=float)
    constant = np.ptp(given) == 0 or np.ptp(right) == 0  # then the correlations are not defined
    return {
        "mean absolute error": float(mean_absolute_error(right, given)),
        "root mean squared error": float(root_mean_squared_error(right, given)),
        "Pearson correlation": 0.0 if constant else float(pearsonr(right, given).statistic),
        "Spearman correlation": 0.0 if constant else float(spearmanr(right, given).statistic),
    }


def _tagging(rows: Sequence[Row], answers: Sequence[Sequence[str]]) -> Scores:
    tags = [row["tags"] for row in rows]
    right, given = ([tag for row in side for tag in row] for side in (tags, answers))
    scores = _class_scores(right, given)
    if all(tag == "O" or tag[:2] in ("B-", "I-") for tag in set(right)):
        scores = {"span F1": span_f1(tags, answers), **scores}
    return scores


def span_f1(right: Sequence[Sequence[str]], answers: Sequence[Sequence[str]]) -> float:
    """F1 over whole names in BIO tags: a name counts if its type and both ends are right."""
    from seqeval.metrics import f1_score

    right, given = ([list(row) for row in side] for side in (right, answers))
    return float(f1_score(right, given, zero_division=1))


def normalize_answer(text: str) -> list[str]:
    """The words of an answer as SQuAD compares them: lower case, no punctuation, no articles."""
    text = "".join(char for char in text.lower() if char not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def answer_f1(right: str, answer: str) -> float:
    """F1 over the words that two answers share (Rajpurkar et al., 2016)."""
    wanted, given = normalize_answer(right), normalize_answer(answer)
    if not wanted and not given:
        return 1.0
    return 2 * (Counter(wanted) & Counter(given)).total() / (len(wanted) + len(given))


def _question_answering(rows: Sequence[Row], answers: Sequence[str]) -> Scores:
    """The best over all right answers. Without any, the empty answer is right."""

    def best(measure: Callable[[str, str], float]) -> float:
        values = []
        for row, given in zip(rows, answers, strict=True):
            right = [answer["text"] for answer in row["answers"]] or [""]
            values.append(max(measure(text, given) for text in right))
        return float(np.mean(values))

    exact = lambda right, given: float(normalize_answer(right) == normalize_answer(given))
    return {"F1": best(answer_f1), "exact match": best(exact)}


def _multiple_choice(rows: Sequence[Row], answers: Sequence[int]) -> Scores:
    right = [row["label"] == given for row, given in zip(rows, answers, strict=True)]
    return {"accuracy": float(np.mean(right))}


_SCORES: dict[str, Callable[[Sequence[Row], Any], Scores]] = {
    "classification": _classification,
    "multi-label": _multi_label,
    "regression": _regression,
    "tagging": _tagging,
    "question-answering": _question_answering,
    "multiple-choice": _multiple_choice,
}


def class_counts(kind: str, rows: Sequence[Row], answers: Sequence[Any]) -> Counts:
    """The confusion matrix of classes or tags; empty for other kinds."""
    pairs: Iterable[tuple[str, str]] = ()
    if kind == "classification":
        pairs = zip((row["label"] for row in rows), answers, strict=True)
    elif kind == "tagging":
        pairs = (
            pair
            for row, given in zip(rows, answers, strict=True)
            for pair in zip(row["tags"], given, strict=True)
        )
    counts: Counts = {}
    for (right, answer), number in sorted(Counter(pairs).items()):
        counts.setdefault(right, {})[answer] = number
    return counts


def interval(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean, and half the width of its 95 % t-interval; None for a single value.

    It says how sure the mean over seeds is on this test set. Another test set would give another
    mean.
    """
    from scipy.stats import sem, t

    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, None
    return mean, float(t.ppf(0.975, len(values) - 1) * sem(values))


def proportion_interval(right: float, number: int) -> tuple[float, float]:
    """The ends of the 95 % interval of a proportion, `right` of `number` (Wilson, 1927).

    It stays within 0 and 1, and has a width even where all or none are right. With a `number` of 0
    it reaches from 0 to 1, because nothing is known.
    """
    if number == 0:
        return 0.0, 1.0
    z = 1.959964  # a normal variable is within z standard deviations in 95 % of cases
    share, spread = right / number, z**2 / number
    middle = share + spread / 2
    reach = math.sqrt(spread * (share * (1 - share) + spread / 4))
    return max(0.0, (middle - reach) / (1 + spread)), min(1.0, (middle + reach) / (1 + spread))
