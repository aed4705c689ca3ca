"""Counting, against the slow way with dictionaries."""

from collections import Counter

import numpy as np
import pytest
import torch

from minibert.pretraining.counting_baselines import CountBaselines

TOKENS = np.random.default_rng(0).zipf(1.5, 3000).clip(max=30).astype(np.uint16)


def slow_neighbours(left, right):
    text = TOKENS.tolist()
    between, after, before = Counter(), Counter(), Counter()
    for i in range(len(text)):
        if 0 < i < len(text) - 1 and (text[i - 1], text[i + 1]) == (left, right):
            between[text[i]] += 1
        if i > 0 and text[i - 1] == left:
            after[text[i]] += 1
        if i < len(text) - 1 and text[i + 1] == right:
            before[text[i]] += 1
    for counts in (between, after, before, Counter(text)):
        if counts:
            best = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
            return [(token, number / counts.total()) for token, number in best]


@pytest.mark.parametrize("context", [(1, 1), (2, 7), (29, 28), (31, 1), (1, 31), (31, 31)])
def test_neighbours(context):
    baselines = CountBaselines(TOKENS, 32)
    want = slow_neighbours(*context)[:3]
    assert baselines.neighbours(*context, top_k=3) == [pytest.approx(pair) for pair in want]


def test_accuracy_is_over_masked_tokens_with_their_true_neighbours():
    baselines = CountBaselines(np.array([5, 6, 7, 5, 6, 7, 5, 6, 7, 5, 8, 5, 5]), 10)
    labels = torch.full((1, 5), -100)
    labels[0, 1:3] = torch.tensor([6, 7])
    ids = torch.tensor([[5, 4, 4, 5, 0]])  # 4 stands for [MASK]: the truth is 5 6 7 5
    got = baselines.accuracy([{"input_ids": ids, "labels": labels}])
    assert got == {"most_frequent": 0.0, "neighbours": 1.0}
    labels[0, 3] = 5
    assert baselines.accuracy([{"input_ids": ids, "labels": labels}])["most_frequent"] == 1 / 3
