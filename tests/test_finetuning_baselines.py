"""Baselines, against counting by hand and scikit-learn's own pipelines and searches."""

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import Pipeline
from toy_tasks import toy

from minibert.data.labelled_rows import KINDS
from minibert.data.splits import TaskData
from minibert.data.tasks import load_task
from minibert.finetuning.baselines import STRENGTHS, baseline_answers
from minibert.finetuning.metrics import MAIN_METRIC, score

NO_READING = {
    "classification": "the most frequent label",
    "multi-label": "each label that most rows have",
    "regression": "the median",
    "tagging": "the most frequent tag",
    "question-answering": "no answer, always",
    "multiple-choice": "the most frequent place",
}


def noisy(kind, seed=0):
    """A task whose best strength is not the first: a fifth of its labels are wrong."""
    rng = random.Random(seed)
    data = toy(kind)

    def parts(rows):
        labels = [row["label"] for row in data.train]
        return [{**row, "label": rng.choice(labels)} if rng.random() < 0.2 else row for row in rows]

    return replace(data, train=parts(data.train), validation=parts(data.validation))


def sklearns(data, model, parameter, values, scoring):
    """The same, by scikit-learn's own search over a split that is given."""
    both = [*data.train, *data.validation]
    fold = [-1] * len(data.train) + [0] * len(data.validation)
    steps = [("words", TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True))]
    search = GridSearchCV(
        Pipeline([*steps, ("model", model)]),
        {f"model__{parameter}": values},
        scoring=scoring,
        cv=PredefinedSplit(fold),
        refit=False,
    ).fit([row["text"] for row in both], [row["label"] for row in both])
    best = search.estimator.set_params(**search.best_params_)
    best.fit([row["text"] for row in data.train], [row["label"] for row in data.train])
    return best.predict([row["text"] for row in data.test]), search.best_params_


@pytest.mark.parametrize("seed", range(3))
def test_classes_are_those_of_a_pipeline(seed):
    data = noisy("classification", seed)
    model = LogisticRegression(max_iter=1000)
    want, _ = sklearns(data, model, "C", list(STRENGTHS), "accuracy")
    answers = baseline_answers(data)
    assert answers["TF-IDF + logistic regression"] == list(want)
    counts = Counter(row["label"] for row in data.train)
    assert set(answers["the most frequent label"]) == {max(counts, key=counts.get)}


def test_numbers_are_those_of_a_pipeline_whose_strength_validation_chose():
    chosen = set()
    for seed in range(4):
        data = noisy("regression", seed)
        alphas = [1 / strength for strength in STRENGTHS]
        want, best = sklearns(data, Ridge(), "alpha", alphas, "neg_mean_absolute_error")
        chosen |= set(best.values())
        answers = baseline_answers(data)
        assert answers["TF-IDF + ridge regression"] == pytest.approx(list(want), rel=1e-6)
        assert set(answers["the median"]) == {np.median([row["label"] for row in data.train])}
    assert len(chosen) > 1  # or else any strength would do


def test_each_label_by_itself():
    data = toy("multi-label")
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    train = words.fit_transform([row["text"] for row in data.train])
    test = words.transform([row["text"] for row in data.test])
    answers = baseline_answers(data)["TF-IDF + logistic regression"]
    for label in data.labels:
        right = ["no" if label not in row["label"] else "yes" for row in data.train]
        possible = [
            [
                label if yes == "yes" else None
                for yes in LogisticRegression(C=c, max_iter=1000).fit(train, right).predict(test)
            ]
            for c in STRENGTHS
        ]
        given = [label if label in labels else None for labels in answers]
        assert given in possible


@pytest.mark.parametrize("everywhere", [False, True])
def test_a_label_that_no_row_or_every_row_has(everywhere, recwarn):
    data = toy("multi-label")
    rows = {
        part: [{**row, "label": [*row["label"], *["odd"] * everywhere]} for row in rows]
        for part, rows in (("train", data.train), ("validation", data.validation))
    }
    data = replace(data, labels=(*data.labels, "odd"), **rows)
    answers = baseline_answers(data)["TF-IDF + logistic regression"]
    assert all(("odd" in labels) is everywhere for labels in answers)
    alone = replace(data, labels=("odd",), **{
        part: [{**row, "label": [x for x in row["label"] if x == "odd"]} for row in rows[part]]
        for part in rows
    })  # fmt: skip
    given = baseline_answers(alone)["TF-IDF + logistic regression"]
    assert given == [["odd"] if everywhere else []] * len(data.test)
    assert not recwarn


def tagged(*texts):
    """`word/tag word/tag` as rows."""
    pairs = [[word.split("/") for word in text.split()] for text in texts]
    return [{"words": [w for w, _ in row], "tags": [t for _, t in row]} for row in pairs]


def test_tags_by_hand():
    train = tagged("a/X b/Y a/X", "c/X a/Z b/Y", "c/X b/X", "d/Y a/X")
    validation = tagged("c/X a/Z", "c/X b/X")  # only the word before tells
    test = tagged("c/? a/? b/? new/?", "a/? a/?")
    answers = baseline_answers(TaskData("t", "tagging", ("X", "Y", "Z"), train, validation, test))
    assert answers == {
        "the most frequent tag": [["X"] * 4, ["X"] * 2],
        "the most frequent tag of each word": [["X", "X", "Y", "X"], ["X", "X"]],
        # "c a" was Z, "a b" Y, "b new" never seen; an "a" that begins is X, "a a" never seen.
        "... of each word and the one before": [["X", "Z", "Y", "X"], ["X", "X"]],
    }
    validation = tagged("c/X a/X")  # the word before would say Z; that none follows says X
    data = TaskData("t", "tagging", ("X", "Y", "Z"), train, validation, test)
    names = list(baseline_answers(data))
    assert names[-1] == "... of each word and the next"


CONTEXT = "The sum of 1,200 dollars was paid. In 1790 the Congress met in New York, and sat."


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("In what the Congress met in New York, and sat.", "1790"),
        ("In 1790 the Congress met in what, and sat.", "New York"),
        ("The sum of what dollars was paid.", "1,200"),
        ("The what of 1,200 dollars was paid.", "sum"),
        ("Nobody knew what it was about.", ""),
    ],
)
def test_what_stands_in_the_gap_is_found(question, answer):
    rows = [{"question": question, "context": CONTEXT, "answers": []}]
    known = [
        {**rows[0], "question": "In what the Congress met", "answers": [{"text": "1790"}]},
        {**rows[0], "question": "Of what was the man?"},
    ]
    data = TaskData("t", "question-answering", (), known, known, rows)
    assert baseline_answers(data)["alignment of words"] == [answer]
    assert baseline_answers(data)["no answer, always"] == [""]


def test_the_nearest_choice_is_that_of_the_cosine():
    data = toy("multiple-choice", test=30)
    texts = [text for row in data.train for text in (row["text"], *row["choices"])]
    words = TfidfVectorizer(sublinear_tf=True).fit(texts)
    want = []
    for row in data.test:
        choices, text = words.transform(row["choices"]), words.transform([row["text"]])
        want.append(int(cosine_similarity(choices, text).ravel().argmax()))
    assert baseline_answers(data)["the nearest by TF-IDF"] == want


def test_of_pairs_it_is_seen_what_they_share():
    rng = random.Random(0)
    words = [f"w{i}" for i in range(40)]

    def pair():
        first = rng.sample(words, 6)
        same = rng.random() < 0.5
        second = rng.sample(first, 6) if same else rng.sample(words, 6)
        label = "same" if same else "other"
        return {"text": " ".join(first), "text_pair": " ".join(second), "label": label}

    rows = [pair() for _ in range(300)]
    data = TaskData("t", "classification", ("other", "same"), rows[:200], rows[200:250], rows[250:])
    answers = baseline_answers(data)
    accuracy = {n: score(data.kind, data.test, a)["accuracy"] for n, a in answers.items()}
    assert accuracy["shared words + logistic regression"] == 1.0
    assert accuracy["the most frequent label"] < 0.7
    assert "TF-IDF + logistic regression" in answers
    numbers = [{**row, "label": float(row["label"] == "same")} for row in rows]
    data = replace(data, kind="regression", labels=(), train=numbers[:200],
                   validation=numbers[200:250], test=numbers[250:])  # fmt: skip
    assert "shared words + ridge regression" in baseline_answers(data)


@pytest.mark.parametrize("kind", KINDS)
def test_the_labels_of_the_test_have_no_influence(kind):
    data = toy(kind, train=80)
    targets = ("label", "tags", "answers")
    bare = [{k: v for k, v in row.items() if k not in targets} for row in data.test]
    answers = baseline_answers(data)
    assert baseline_answers(replace(data, test=[]), bare) == answers
    assert next(iter(answers)) == NO_READING[kind] and len(answers) >= 2
    assert all(len(given) == len(data.test) for given in answers.values())
    counted = [score(kind, data.test, given)[MAIN_METRIC[kind]] for given in answers.values()]
    if kind not in ("multiple-choice", "question-answering"):  # nothing is shared in these
        assert counted[0] != counted[-1]


def test_texts_in_which_no_word_stands_twice():
    rows = [{"text": str(number), "label": "ab"[number % 2]} for number in range(12)]
    data = TaskData("t", "classification", ("a", "b"), rows[:8], rows[8:10], rows[10:])
    assert len(baseline_answers(data)["TF-IDF + logistic regression"]) == 2


def test_alignment_fills_the_gaps_of_the_cloze():
    """The sentence stands there: so a model has to be compared with this, not with chance."""
    data = load_task("sotu-cloze")
    data = replace(data, validation=data.validation[:100], test=data.test[:100])
    answers = baseline_answers(data)
    f1 = {name: score(data.kind, data.test, given)["F1"] for name, given in answers.items()}
    assert f1["alignment of words"] > 0.9 > 0.5 > f1["no answer, always"]
