"""Linear probes, on states that hold a label, a word, or nothing."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax

from minibert.analysis.probes import linear_probe, softmax_regression

WORDS = np.random.default_rng(0).integers(0, 20, 600)


def test_states_that_hold_the_label_are_selective():
    labels = np.random.default_rng(1).choice([3, 5, 9], 600)  # nothing to do with the word
    probe = linear_probe(np.eye(10)[labels], labels, WORDS)
    assert probe.accuracy == 1
    assert probe.control_accuracy < 0.7
    assert probe.selectivity == probe.accuracy - probe.control_accuracy


def test_states_that_hold_the_word_are_not():
    of_word = np.arange(20) % 3  # the label is the word's
    probe = linear_probe(np.eye(20)[WORDS], of_word[WORDS], WORDS)
    assert probe.accuracy == probe.control_accuracy == 1
    assert probe.selectivity == 0


def test_states_that_hold_nothing_are_no_better_than_the_majority():
    labels = (np.arange(600) % 10 == 0).astype(int)  # one in ten
    probe = linear_probe(np.ones((600, 4)), labels, WORDS)
    assert probe.accuracy == probe.majority == pytest.approx(0.9, abs=0.05)


def test_control_labels_are_drawn_as_the_labels_are_distributed():
    """With one occurrence a word nothing is to be remembered, and the commonest is the best."""
    labels = (np.arange(4000) % 10 == 0).astype(int)
    probe = linear_probe(np.ones((4000, 1)), labels, np.arange(4000))
    assert probe.control_accuracy == pytest.approx(0.9, abs=0.03)


def test_a_single_word_has_a_single_control_label():
    probe = linear_probe(np.eye(50), np.arange(50) % 2, np.zeros(50))
    assert probe.control_accuracy == 1


def test_a_probe_is_tested_on_what_it_did_not_learn():
    rng = np.random.default_rng(0)
    probe = linear_probe(rng.normal(size=(100, 200)), rng.integers(0, 2, 100), np.arange(100))
    assert probe.accuracy < 0.85  # any labels of 80 states can be learned by heart with D = 200


def test_the_same_seed_gives_the_same_probe():
    rng = np.random.default_rng(2)
    given = rng.normal(size=(300, 5)), rng.integers(0, 3, 300), WORDS[:300]
    first = linear_probe(*given, seed=1)
    torch.manual_seed(5)
    assert linear_probe(*given, seed=1) == first != linear_probe(*given, seed=2)


def test_the_fit_is_the_minimum_that_scipy_finds():
    rng = np.random.default_rng(0)
    states, labels = rng.normal(size=(60, 3)), rng.integers(0, 3, 60)
    states = (states - states.mean(0)) / states.std(0)
    labels[states[:, 0] > 0.5] = 0

    def cost(parameters):
        weight, bias = parameters[:9].reshape(3, 3), parameters[9:]
        scores = log_softmax(states @ weight + bias, axis=1)
        return -scores[np.arange(60), labels].mean() + 1e-3 * (weight**2).sum()

    model = softmax_regression(states, labels)[-1]
    want = minimize(cost, np.zeros(12), options={"gtol": 1e-8})
    found = np.r_[model.coef_.T.ravel(), model.intercept_]
    assert cost(found) == pytest.approx(want.fun, abs=1e-8)
    np.testing.assert_allclose(found[:9], want.x[:9], atol=1e-3)


def test_with_two_labels_the_penalty_is_on_both_classes():
    """One weight vector, the difference of both: the probabilities are those of the softmax."""
    rng = np.random.default_rng(1)
    states = rng.normal(size=(60, 3))
    states = (states - states.mean(0)) / states.std(0)
    labels = (states[:, 0] + rng.normal(size=60) > 0).astype(int)

    def cost(parameters):
        weight, bias = parameters[:6].reshape(3, 2), parameters[6:]
        scores = log_softmax(states @ weight + bias, axis=1)
        return -scores[np.arange(60), labels].mean() + 1e-3 * (weight**2).sum()

    weight, bias = np.split(minimize(cost, np.zeros(8), options={"gtol": 1e-8}).x, [6])
    want = np.exp(log_softmax(states @ weight.reshape(3, 2) + bias, axis=1))
    got = softmax_regression(states, labels).predict_proba(states)
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_a_probe_needs_two_labels_and_one_of_each_for_every_token():
    states = np.ones((6, 2))
    with pytest.raises(ValueError, match=r"labels \(5,\) and words \(6,\)"):
        linear_probe(states, np.arange(5), np.arange(6))
    with pytest.raises(ValueError, match=r"6 states with 1 different labels"):
        linear_probe(states, np.zeros(6), np.arange(6))
    with pytest.raises(ValueError, match=r"4 states with 4 different labels: a probe needs"):
        linear_probe(states[:4], np.arange(4), np.arange(4))
