"""A judge that counts: its probabilities, calculated by hand."""

import itertools
import math

import numpy as np
import pytest

from minibert.analysis.ngrams import NGrams

A, B, C = 0, 1, 2
TOKENS = np.array([A, B, A, B, A, C], dtype=np.uint16)  # as a corpus stores them


def probabilities(judge, ids, start=0):
    return [math.exp(nats) for nats in judge.log_probabilities(ids, start)]


def test_probabilities_are_those_by_hand():
    """Witten and Bell: (times + kinds x the shorter context's) / (total + kinds)."""
    of_b = (2 + 3 * (1 / 3)) / (6 + 3)  # b: 2 of 6 tokens, of 3 kinds
    of_a = (3 + 3 * (1 / 3)) / (6 + 3)
    b_after_a = (2 + 2 * of_b) / (3 + 2)  # a was followed by b, b and c
    a_after_b = (2 + 1 * of_a) / (2 + 1)
    a_after_ab = (2 + 1 * a_after_b) / (2 + 1)
    wanted = [of_a, b_after_a, a_after_ab]
    assert probabilities(NGrams(TOKENS, 3), [A, B, A]) == pytest.approx(wanted)
    assert probabilities(NGrams(TOKENS, 3), [A, B, A], 2) == pytest.approx([a_after_ab])
    without_pairs = probabilities(NGrams(TOKENS, 3, before=0), [A, B, A])
    assert without_pairs == pytest.approx([of_a, of_b, of_a])


def test_a_context_that_never_occurred_leaves_the_shorter_one():
    """Nothing follows c, and nothing follows c a."""
    judge, shorter = NGrams(TOKENS, 3), NGrams(TOKENS, 3, before=1)
    of_a = (3 + 1) / 9
    assert probabilities(judge, [C, A], 1) == pytest.approx([of_a])
    assert probabilities(judge, [C, A, B], 2) == pytest.approx(probabilities(shorter, [A, B], 1))


def test_they_sum_to_1_after_every_context():
    judge = NGrams(TOKENS, 5)  # two tokens never occur
    for context in itertools.product(range(5), repeat=2):
        each = [probabilities(judge, [*context, token], 2)[0] for token in range(5)]
        assert min(each) > 0 and sum(each) == pytest.approx(1)


def test_a_corpus_shorter_than_a_context_has_no_counts_of_it():
    assert probabilities(NGrams(TOKENS[:1], 3), [A, A]) == pytest.approx([(1 + 1 / 3) / 2] * 2)
    assert NGrams(TOKENS, 3).log_probabilities([]) == []


def test_contexts_that_do_not_fit_into_a_number_are_refused():
    with pytest.raises(ValueError, match="before is 4: 5 of 30522 tokens"):
        NGrams(TOKENS, 30522, before=4)
    with pytest.raises(ValueError, match="3 of 2097152 tokens"):  # 2**63 is one too many
        NGrams(TOKENS, 2**21)
