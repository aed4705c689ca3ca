"""Measures, against scikit-learn, scipy and numbers worked out by hand."""

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from minibert.finetuning.metrics import (
    answer_f1,
    class_counts,
    class_f1,
    interval,
    score,
    span_f1,
)

RIGHT = ["a", "b", "b", "c", "b", "a", "b", "b"]
GIVEN = ["a", "b", "a", "b", "b", "a", "b", "d"]


def test_classes():
    scores = score("classification", [{"label": label} for label in RIGHT], GIVEN)
    assert scores["accuracy"] == 5 / 8
    # By hand: a has precision 2/3, recall 1; b 3/4 and 3/5; c is never found.
    by_hand = (2 * (2 / 3) / (5 / 3) + 2 * (3 / 4) * (3 / 5) / (27 / 20) + 0) / 3
    assert scores["macro F1"] == pytest.approx(by_hand)
    want = sklearn.metrics.matthews_corrcoef(RIGHT, GIVEN)
    assert scores["Matthews correlation"] == pytest.approx(want)
    assert next(iter(scores)) == "accuracy"


def test_one_answer_for_all_is_worth_nothing_where_classes_are_uneven():
    rows = [{"label": "often"}] * 9 + [{"label": "rare"}]
    scores = score("classification", rows, ["often"] * 10)
    assert scores["accuracy"] == 0.9
    assert scores["macro F1"] == pytest.approx((18 / 19) / 2)
    assert scores["Matthews correlation"] == 0


def test_several_labels():
    rows = [{"label": ["x", "y"]}, {"label": []}, {"label": ["z"]}]
    scores = score("multi-label", rows, [["x"], ["y"], ["z"]])
    # By hand: of 3 that are right 2 were given, of 3 given 2 are right.
    assert scores["micro F1"] == pytest.approx(2 / 3)
    assert scores["macro F1"] == pytest.approx((1 + 0 + 1) / 3)
    assert scores["all labels right"] == pytest.approx(1 / 3)


def test_numbers():
    rng = np.random.default_rng(0)
    right, given = rng.normal(size=(2, 50))
    scores = score("regression", [{"label": x} for x in right], list(given))
    assert scores["mean absolute error"] == pytest.approx(
        sklearn.metrics.mean_absolute_error(right, given)
    )
    assert scores["root mean squared error"] == pytest.approx(
        sklearn.metrics.root_mean_squared_error(right, given)
    )
    assert scores["Pearson correlation"] == pytest.approx(scipy.stats.pearsonr(right, given)[0])
    assert scores["Spearman correlation"] == pytest.approx(scipy.stats.spearmanr(right, given)[0])
    constant = score("regression", [{"label": x} for x in right], [1.0] * 50)
    assert constant["Pearson correlation"] == 0


def test_tags_count_by_word_and_names_as_a_whole():
    right = [["B-PER", "I-PER", "O"], ["B-LOC", "I-PER", "O", "O"]]
    given = [["B-PER", "O", "O"], ["B-LOC", "I-PER", "O", "O"]]
    scores = score("tagging", [{"tags": tags} for tags in right], given)
    assert scores["accuracy"] == 6 / 7
    assert next(iter(scores)) == "span F1"
    # By hand: wanted PER 0-2, LOC 0-1, PER 1-2; given PER 0-1, and the other two.
    assert scores["span F1"] == pytest.approx(2 / 3)
    assert "span F1" not in score("tagging", [{"tags": ["NN", "VB"]}], [["NN", "NN"]])


@pytest.mark.parametrize(
    ("right", "given", "f1"),
    [
        ("O O", "O O", 1),
        ("O O", "O B-A", 0),
        ("B-A I-A I-A", "B-A I-A I-A", 1),
        ("B-A I-A I-A", "B-A I-A O", 0),  # the end differs
        ("B-A B-A", "B-A I-A", 0),  # two names, and one
        ("I-A I-A O I-B", "B-A I-A O B-B", 1),  # an `I-` may begin a name
        ("B-A I-B", "B-A B-B", 1),  # and an `I-` of another type does
        ("O B-A", "O B-B", 0),
        ("B-A O B-A", "B-A O O", 2 / 3),
    ],
)
def test_names_in_tags(right, given, f1):
    assert span_f1([right.split()], [given.split()]) == pytest.approx(f1)


def test_names_are_compared_within_their_sentence():
    assert span_f1([["B-A"], ["O"]], [["O"], ["B-A"]]) == 0


@pytest.mark.parametrize(
    ("right", "given", "f1"),
    [
        ("the House", "House", 1.0),
        ("The House!", "a house", 1.0),
        ("New York", "York", 2 / 3),
        ("in New York", "New York City", 2 / 3),
        ("York", "", 0.0),
        ("", "", 1.0),
        ("York York", "York", 2 / 3),  # a word counts as often as it stands in both
    ],
)
def test_answers_share_words(right, given, f1):
    assert answer_f1(right, given) == pytest.approx(f1)


def test_the_best_of_several_right_answers_counts():
    rows = [{"answers": [{"text": "1790"}, {"text": "in 1790"}]}, {"answers": []}, {"answers": []}]
    scores = score("question-answering", rows, ["In 1790", "", "something"])
    assert scores == {"F1": pytest.approx(2 / 3), "exact match": pytest.approx(2 / 3)}


def test_the_interval_is_students():
    values = [0.81, 0.84, 0.86]
    mean, half = interval(values)
    want = scipy.stats.t.interval(0.95, 2, np.mean(values), scipy.stats.sem(values))
    assert (mean - half, mean + half) == pytest.approx(want)
    # By hand, from a table of Student's t: 4.303 for two degrees of freedom.
    assert half == pytest.approx(4.303 * np.std(values, ddof=1) / 3**0.5, rel=1e-3)
    assert interval([0.5]) == (0.5, None)


def test_as_many_answers_as_rows():
    with pytest.raises(ValueError, match="2 rows and 1 answers"):
        score("classification", [{"label": "a"}] * 2, ["a"])


def test_f1_of_classes_is_sklearns_and_never_of_one_that_is_never_right():
    rng = np.random.default_rng(0)
    right = list(rng.choice(list("abc"), 60))
    given = list(rng.choice(list("abcd"), 60))
    counts = class_counts("classification", [{"label": label} for label in right], given)
    confusion = sklearn.metrics.confusion_matrix(right, given, labels=list("abcd"))
    assert [[counts[a].get(b, 0) for b in "abcd"] for a in "abc"] == confusion[:3].tolist()
    want = sklearn.metrics.f1_score(right, given, labels=list("abc"), average=None)
    assert list(class_f1(counts).values()) == pytest.approx(list(want))
    scores = score("classification", [{"label": label} for label in right], given)
    assert scores["macro F1"] == pytest.approx(np.mean(want))


def test_tags_are_counted_by_word():
    rows = [{"tags": ["A", "B"]}, {"tags": ["B"]}]
    counts = class_counts("tagging", rows, [["A", "A"], ["B"]])
    assert counts == {"A": {"A": 1}, "B": {"A": 1, "B": 1}}
    assert class_counts("regression", [{"label": 1.0}], [1.0]) == {}


def test_several_labels_are_sklearns():
    rng = np.random.default_rng(0)
    right, given = rng.random((2, 40, 4)) < 0.3
    named = [[[name for name, yes in zip("abcd", row, strict=True) if yes] for row in side]
             for side in (right, given)]  # fmt: skip
    scores = score("multi-label", [{"label": labels} for labels in named[0]], named[1])
    f1 = sklearn.metrics.f1_score
    assert scores["micro F1"] == pytest.approx(f1(right, given, average="micro"))
    assert scores["macro F1"] == pytest.approx(f1(right, given, average="macro"))
    assert scores["all labels right"] == pytest.approx((right == given).all(1).mean())


def test_an_answer_that_is_never_right_changes_no_number_of_classes():
    """Else two models would be scored over different classes."""
    rows = [{"label": ["x"]}, {"label": ["x"]}]
    assert score("multi-label", rows, [["x"], ["x", "never"]])["macro F1"] == 1.0
    assert score("multi-label", rows, [["x"], ["x", "never"]])["micro F1"] == pytest.approx(4 / 5)
    nothing = score("multi-label", [{"label": []}], [[]])
    assert nothing == {"micro F1": 1.0, "macro F1": 0.0, "all labels right": 1.0}
