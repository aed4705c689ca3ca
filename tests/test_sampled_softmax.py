"""A softmax over some of the vocabulary teaches what the one over all of it would."""

import numpy as np
import torch
from torch.testing import assert_close

from minibert.training.fast import LinearCrossEntropy, SampledSoftmax

V, D, M = 400, 16, 64


def made():
    rng = np.random.default_rng(0)
    counts = 1e6 / np.arange(1, V + 1)
    targets = torch.from_numpy(rng.choice(V, M, p=counts / counts.sum()))
    torch.manual_seed(0)
    hidden, weight = torch.randn(M, D), 0.3 * torch.randn(V, D)
    bias = torch.from_numpy(np.log(counts / counts.sum())).float()
    shares = torch.rand(M)
    return counts, hidden, weight.requires_grad_(), bias.requires_grad_(), targets, shares


def test_with_every_token_it_is_the_whole_softmax():
    counts, *inputs = made()
    whole, right = LinearCrossEntropy.apply(*inputs)
    for everything in (SampledSoftmax(counts, M, always=V), SampledSoftmax(counts, M, 0, one_in=1)):
        loss, correct = everything(*inputs)
        assert_close(loss, whole)
        assert correct == right
        (got,) = torch.autograd.grad(loss, inputs[1])
        (wanted,) = torch.autograd.grad(LinearCrossEntropy.apply(*inputs)[0], inputs[1])
        assert_close(got, wanted)


def test_targets_and_frequent_tokens_are_always_there_and_others_in_their_share():
    counts, *_, targets, _ = made()
    sampled = SampledSoftmax(counts, M, always=20, one_in=8)
    seen = torch.zeros(V)
    for _ in range(400):
        tokens, places = sampled.candidates(targets)
        assert (tokens[places] == targets).all()
        assert set(range(20)) <= set(tokens.tolist())
        seen[tokens] += 1
    rest = torch.ones(V, dtype=torch.bool)
    rest[:20], rest[targets] = False, False
    assert abs(seen[rest].mean() / 400 - 1 / 8) < 0.01


def test_a_model_that_is_right_has_nothing_to_learn():
    """Scores of log p are the minimum of the loss: on average their gradient is 0.

    Without the weights it is not: then rare tokens, which are seldom there, get too low a score.
    """
    counts, *_ = made()
    p = counts / counts.sum()
    hidden, weight = torch.zeros(M, D), torch.zeros(V, D)
    sampled = SampledSoftmax(counts, M, always=40, one_in=4)
    unweighed = SampledSoftmax(counts, M, always=40, one_in=4)
    unweighed.log_there = torch.zeros(V)
    bias = torch.from_numpy(np.log(p)).float().requires_grad_()
    rng = np.random.default_rng(1)
    gradients = []
    for _ in range(2000):
        targets = torch.from_numpy(rng.choice(V, M, p=p))
        losses = (
            loss_of(hidden, weight, bias, targets, torch.ones(M))[0]
            for loss_of in (sampled, unweighed)
        )
        gradients.append(torch.stack([torch.autograd.grad(loss, bias)[0] for loss in losses]))
    right, wrong = torch.stack(gradients).mean(0)  # (V,) each
    rare = slice(40, V)
    assert abs(right[rare].sum()) < 0.2  # of 64 tokens a step
    assert wrong[rare].sum() < -2
