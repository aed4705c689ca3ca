"""Optimisers against torch's, schedules against Hugging Face's."""

import math

import pytest
import torch
import transformers
from torch.testing import assert_close

import minibert
from minibert.training.optimizers import (
    BertAdam,
    adam,
    hidden_matrices,
    linear,
    muon,
    warmup_stable_decay,
)


def small_model():
    torch.manual_seed(0)
    config = minibert.BertConfig.preset("tiny", vocab_size=50, max_position_embeddings=16)
    return minibert.BertForPreTraining(config)


def test_bert_adam_is_adamw_without_its_correction():
    """With eps 0, the corrected one is the same at a rate that undoes the correction."""
    torch.manual_seed(0)
    ours = torch.randn(7, 5, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    lr, decay = 1e-2, 0.1
    one = BertAdam([ours], lr=lr, eps=0.0, weight_decay=decay)
    other = torch.optim.AdamW([theirs], lr=lr, betas=(0.9, 0.999), eps=0.0, weight_decay=0.0)
    for step in range(1, 30):
        gradient = torch.randn(7, 5)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        one.step()
        with torch.no_grad():
            theirs.mul_(1 - lr * decay)
        other.param_groups[0]["lr"] = lr * (1 - 0.9**step) / math.sqrt(1 - 0.999**step)
        other.step()
        assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_first_step_of_bert_adam_by_hand():
    weight = torch.tensor([2.0], requires_grad=True)
    weight.grad = torch.tensor([0.5])
    BertAdam([weight], lr=0.1, weight_decay=0.01).step()
    # m = 0.05, sqrt(v) = sqrt(0.001 * 0.25) = 0.0158114; 2 * (1 - 0.001) - 0.1 * m / sqrt(v)
    assert weight.item() == pytest.approx(1.998 - 0.1 * 0.05 / (0.0158114 + 1e-6), rel=1e-5)


@pytest.mark.parametrize("bias_correction", [True, False])
def test_only_biases_and_layer_norms_are_spared_decay(bias_correction):
    model = small_model()
    optimizer = adam(model.parameters(), 1e-3, bias_correction)
    decays = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    named = dict(model.named_parameters())
    assert len(decays) == len(named)
    spared = {name for name, p in named.items() if decays[id(p)] == 0}
    assert spared == {n for n in named if n.endswith(".bias") or "norm.weight" in n}
    assert "bert.embeddings.word_embeddings.weight" not in spared


def test_muon_takes_the_hidden_matrices():
    model = small_model()
    matrices = {id(p) for p in hidden_matrices(model)}
    names = {n for n, p in model.named_parameters() if id(p) in matrices}
    assert names == {
        n for n, p in model.named_parameters() if p.dim() == 2 and "embeddings" not in n
    }
    assert not any("word_embeddings" in n or "decoder" in n for n in names)
    first, second = muon(model, lr=1e-3, matrix_lr=0.02)
    assert isinstance(first, torch.optim.Muon)
    both = [p for o in (first, second) for g in o.param_groups for p in g["params"]]
    assert {id(p) for p in both} == {id(p) for p in model.parameters()}
    assert len(both) == len(set(map(id, both)))


def factors(make, steps):
    """What a scheduler of Hugging Face's multiplies the rate with at each step."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return rates


def test_linear_decay_counts_from_the_beginning():
    schedule = linear(warmup=0.1)
    assert [schedule(s / 100) for s in (0, 5, 10, 55, 100)] == pytest.approx([0, 0.5, 0.9, 0.45, 0])
    # Hugging Face's counts from the end of the warm-up: the same way up, and a way down from 1.
    theirs = factors(lambda o: transformers.get_linear_schedule_with_warmup(o, 10, 100), 100)
    ours = [schedule(s / 100) for s in range(100)]
    assert ours[:10] == pytest.approx(theirs[:10])
    assert ours[10:] == pytest.approx([0.9 * rate for rate in theirs[10:]])


def test_warmup_stable_decay():
    theirs = factors(
        lambda o: transformers.get_wsd_schedule(
            o,
            num_warmup_steps=10,
            num_decay_steps=30,
            num_training_steps=100,
            decay_type="linear",
        ),
        100,
    )
    schedule = warmup_stable_decay(warmup=0.1, decay=0.3)
    assert [schedule(s / 100) for s in range(100)] == pytest.approx(theirs)
    assert schedule(1.2) == 0
