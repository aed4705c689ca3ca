"""Linear probes: can a linear model read labels off hidden states?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

TEST_SHARE = 0.2
L2 = 1e-3
"""The weight of the L2 penalty beside the mean cross-entropy."""


@dataclass(frozen=True)
class Probe:
    """How well a linear probe reads labels off states: accuracies from 0 to 1, on the test part."""

    accuracy: float
    control_accuracy: float
    """Accuracy on labels that depend on nothing but the word."""
    majority: float
    """Accuracy of always predicting the most frequent label of the training part."""

    @property
    def selectivity(self) -> float:
        """How much of the accuracy cannot come from remembering words."""
        return self.accuracy - self.control_accuracy


def linear_probe(states: np.ndarray, labels: np.ndarray, words: np.ndarray, seed: int = 0) -> Probe:
    """Can a linear map read these labels off the states (Hewitt and Liang, 2019)?

    `states` are (N, D), `labels` (N,) whole numbers, `words` (N,) the token ids of the states. A
    softmax regression with an L2 penalty learns from four fifths of the occurrences and is tested
    on the rest. A second probe does the paper's control task, in which every word type has a random
    label, drawn from the distribution of the labels. Remembering words is enough to learn it,
    because occurrences of a word are in both parts. The same seed gives the same numbers. Raises
    `ValueError` if the lengths differ, or for fewer than five states or two labels.
    """
    states, labels, words = np.asarray(states, np.float64), np.asarray(labels), np.asarray(words)
    number = len(states)
    if states.ndim != 2 or labels.shape != (number,) or words.shape != (number,):
        raise ValueError(
            f"states are {states.shape}, labels {labels.shape} and words {words.shape}: they must "
            "be (N, D), (N,) and (N,), one of each for every token"
        )
    names, labels = np.unique(labels, return_inverse=True)  # labels are now 0, 1, ...
    if number < 5 or len(names) < 2:
        raise ValueError(
            f"there are {number} states with {len(names)} different labels: a probe needs at least "
            "5 with 2"
        )
    rng = np.random.default_rng(seed)
    test, train = np.split(rng.permutation(number), [int(TEST_SHARE * number)])
    word_types, type_of = np.unique(words, return_inverse=True)
    control = rng.choice(labels, len(word_types))[type_of]  # (N,)

    def accuracy(targets: np.ndarray) -> float:
        model = softmax_regression(states[train], targets[train])
        return float(model.score(states[test], targets[test]))

    commonest = np.bincount(labels[train]).argmax()
    return Probe(accuracy(labels), accuracy(control), float((labels[test] == commonest).mean()))


def softmax_regression(states: np.ndarray, labels: np.ndarray) -> Any:
    """scikit-learn's pipeline for states (N, D) and labels (N,), fitted.

    It minimises the mean cross-entropy plus `L2` times the squared weights of all classes.
    scikit-learn instead minimises C times the sum of cross-entropies plus half the squared weights.
    For two classes it has one weight vector, the difference of both.
    """
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classes = len(np.unique(labels))
    if classes == 1:
        return DummyClassifier().fit(states, labels)
    strength = (1 if classes == 2 else 0.5) / (L2 * len(labels))
    model = LogisticRegression(C=strength, max_iter=500, tol=1e-6)
    return make_pipeline(StandardScaler(), model).fit(states, labels)
