"""How good answers are, in the measures that each kind of task is known by."""

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
"""Right answer -> answer that was given -> how often."""

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

    `answers` are, row by row: a label; a list of labels; a number; a list of tags; the text of an
    answer, empty for none; the number of a choice.
    """
    if len(rows) != len(answers) or not rows:
        raise ValueError(
            f"there are {len(rows)} rows and {len(answers)} answers: give one for each"
        )
    return _SCORES[kind](rows, answers)


def _classification(rows: Sequence[Row], answers: Sequence[str]) -> Scores:
    return _class_scores([row["label"] for row in rows], list(answers))


def _class_scores(right: list[str], answers: list[str]) -> Scores:
    from sklearn.metrics import matthews_corrcoef

    pairs = list(zip(right, answers, strict=True))
    return {
        "accuracy": float(np.mean([a == b for a, b in pairs])),
        "macro F1": float(np.mean(list(class_f1(_counts(pairs)).values()))),
        # One label alone, right and given: nothing is told apart.
        "Matthews correlation": float(matthews_corrcoef(right, answers))
        if len({*right, *answers}) > 1
        else 0.0,
    }


def class_f1(counts: Counts) -> dict[str, float]:
    """F1 of each class that is right somewhere."""
    given: Counter[str] = Counter()
    for answers in counts.values():
        given.update(answers)
    return {
        label: _f1(answers.get(label, 0), sum(answers.values()), given[label])
        for label, answers in counts.items()
    }


def _multi_label(rows: Sequence[Row], answers: Sequence[Sequence[str]]) -> Scores:
    right = [set(row["label"]) for row in rows]
    given = [set(labels) for labels in answers]
    pairs = list(zip(right, given, strict=True))
    labels = sorted(set().union(*right))  # one that is never right has no F1 of its own
    of_each = [
        _f1(
            sum(label in a and label in b for a, b in pairs),
            sum(label in a for a in right),
            sum(label in b for b in given),
        )
        for label in labels
    ]
    both = sum(len(a & b) for a, b in pairs)
    return {
        "micro F1": _f1(both, sum(map(len, right)), sum(map(len, given))),
        "macro F1": float(np.mean(of_each)) if labels else 0.0,
        "all labels right": float(np.mean([a == b for a, b in pairs])),
    }


def _regression(rows: Sequence[Row], answers: Sequence[float]) -> Scores:
    from scipy.stats import spearmanr

    right, given = np.array([row["label"] for row in rows]), np.array(answers, dtype=float)
    errors = given - right
    scores = {
        "mean absolute error": float(np.abs(errors).mean()),
        "root mean squared error": float(np.sqrt((errors**2).mean())),
    }
    constant = np.ptp(given) == 0 or np.ptp(right) == 0
    # One answer for all goes with nothing: the correlation is not defined, and counts as none.
    scores["Pearson correlation"] = 0.0 if constant else float(np.corrcoef(given, right)[0, 1])
    scores["Spearman correlation"] = 0.0 if constant else float(spearmanr(given, right).statistic)
    return scores


def _tagging(rows: Sequence[Row], answers: Sequence[Sequence[str]]) -> Scores:
    right = [tag for row in rows for tag in row["tags"]]
    given = [tag for tags in answers for tag in tags]
    scores = _class_scores(right, given)
    if all(tag == "O" or tag[:2] in ("B-", "I-") for tag in set(right)):
        scores = {"span F1": span_f1([row["tags"] for row in rows], answers), **scores}
    return scores


def spans(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """Names in BIO tags: (type, first word, after the last). An `I-` of another type begins one."""
    found, start, kind = set(), 0, ""
    for i, tag in enumerate([*tags, "O"]):
        inside = tag[:2] == "I-" and tag[2:] == kind
        if not inside:
            if kind:
                found.add((kind, start, i))
            start, kind = i, tag[2:] if tag != "O" else ""
    return found


def span_f1(right: Sequence[Sequence[str]], answers: Sequence[Sequence[str]]) -> float:
    """F1 over whole names: one counts if its type and both ends are right (CoNLL-2003)."""
    wanted = [(i, *span) for i, tags in enumerate(right) for span in spans(tags)]
    given = [(i, *span) for i, tags in enumerate(answers) for span in spans(tags)]
    return _f1(len(set(wanted) & set(given)), len(wanted), len(given))


def _f1(both: int, wanted: int, given: int) -> float:
    """The harmonic mean of precision and recall; where nothing is wanted, nothing is right."""
    if wanted == 0 and given == 0:
        return 1.0
    return 2 * both / (wanted + given)


def normalize_answer(text: str) -> list[str]:
    """The words of an answer as SQuAD compares them: lower case, no marks, no articles."""
    text = "".join(char for char in text.lower() if char not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def answer_f1(right: str, answer: str) -> float:
    """F1 over the words that two answers share (Rajpurkar et al., 2016)."""
    wanted, given = normalize_answer(right), normalize_answer(answer)
    return _f1(sum((Counter(wanted) & Counter(given)).values()), len(wanted), len(given))


def _question_answering(rows: Sequence[Row], answers: Sequence[str]) -> Scores:
    """The best over all answers that are right; where there is none, the empty one is."""

    def best(measure: Callable[[str, str], float]) -> float:
        values = []
        for row, given in zip(rows, answers, strict=True):
            right = [answer["text"] for answer in row["answers"]] or [""]
            values.append(max(measure(text, given) for text in right))
        return float(np.mean(values))

    exact = lambda right, given: float(normalize_answer(right) == normalize_answer(given))
    return {"F1": best(answer_f1), "exact match": best(exact)}


def class_counts(kind: str, rows: Sequence[Row], answers: Sequence[Any]) -> Counts:
    """How often each class or tag was given, by what is right; of other kinds nothing."""
    if kind == "classification":
        return _counts(zip((row["label"] for row in rows), answers, strict=True))
    if kind == "tagging":
        tagged = zip((row["tags"] for row in rows), answers, strict=True)
        return _counts(pair for tags, given in tagged for pair in zip(tags, given, strict=True))
    return {}


def _counts(pairs: Iterable[tuple[str, str]]) -> Counts:
    counts: Counts = {}
    for (right, answer), number in sorted(Counter(pairs).items()):
        counts.setdefault(right, {})[answer] = number
    return counts


def _multiple_choice(rows: Sequence[Row], answers: Sequence[int]) -> Scores:
    return {
        "accuracy": float(
            np.mean([row["label"] == a for row, a in zip(rows, answers, strict=True)])
        )
    }


_SCORES: dict[str, Callable[[Sequence[Row], Any], Scores]] = {
    "classification": _classification,
    "multi-label": _multi_label,
    "regression": _regression,
    "tagging": _tagging,
    "question-answering": _question_answering,
    "multiple-choice": _multiple_choice,
}


def interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float | None]:
    """The mean, and how far to each side the t-interval reaches; None for a single value.

    It tells how sure the mean over seeds is, on this test set: another one would give another.
    """
    from scipy.stats import t

    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, None
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return mean, float(t.ppf((1 + confidence) / 2, len(values) - 1) * error)


def proportion_interval(right: float, number: int) -> tuple[float, float]:
    """The ends of the 95 % interval of a proportion, `right` of `number` (Wilson, 1927).

    It stays within 0 and 1, and has a width even where all or none are right. With a `number` of 0
    nothing is known: it reaches from 0 to 1.
    """
    if number == 0:
        return 0.0, 1.0
    z = 1.959964  # a normal variable is within z standard deviations in 95 % of cases
    share, spread = right / number, z**2 / number
    middle = share + spread / 2
    reach = math.sqrt(spread * (share * (1 - share) + spread / 4))
    return max(0.0, (middle - reach) / (1 + spread)), min(1.0, (middle + reach) / (1 + spread))
