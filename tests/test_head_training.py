"""One run: what is trained and how fast, what is kept, and how it resumes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_tasks import FAST, TOKENIZER, small_bert, toy

from minibert.data.features import make_features
from minibert.finetuning.batches import batches_by_length
from minibert.finetuning.head_training import (
    BEST,
    EarlyStopping,
    HeadTraining,
    StandardUnits,
    TaskObjective,
    lowest_loss,
    optimizers_by_layer,
)
from minibert.finetuning.predict import predict
from minibert.finetuning.task_heads import make_head
from minibert.training.history import read_history
from minibert.training.trainer import Trainer


def test_the_weights_of_the_lowest_validation_loss_are_kept(tmp_path):
    data = toy("classification", train=48)
    wrong = [{**row, "label": "red"} for row in data.validation]  # gets worse once it has learned
    data = replace(data, validation=wrong)
    settings = replace(FAST, epochs=20, patience=3)
    model = HeadTraining(small_bert(), TOKENIZER, data, tmp_path, settings).train()
    losses = [line["held_out"]["loss"] for line in read_history(tmp_path) if "held_out" in line]
    assert len(losses) < 20  # it stopped early
    assert losses.index(min(losses)) == len(losses) - 4 and lowest_loss(tmp_path) == min(losses)
    batches = batches_by_length(
        make_features(wrong, data.kind, data.labels, TOKENIZER, 24), data.kind, TOKENIZER
    )
    with torch.no_grad():
        sums = [float(model(**batch).loss) * len(chosen) for chosen, batch in batches]
    assert sum(sums) / len(wrong) == pytest.approx(min(losses), abs=2e-2)  # trained in bfloat16


def test_weights_that_were_half_written_do_not_replace_the_best(tmp_path, monkeypatch):
    def full(model, file):
        Path(file).write_bytes(b"half")
        raise OSError("no space left on the device")

    data = toy("classification", train=16)
    (tmp_path / BEST).write_bytes(b"whole")
    monkeypatch.setattr("minibert.finetuning.head_training.save_model", full)
    with pytest.raises(OSError, match="no space left"):
        HeadTraining(small_bert(), TOKENIZER, data, tmp_path, replace(FAST, epochs=1)).train()
    assert (tmp_path / BEST).read_bytes() == b"whole"


def test_stopping_waits_for_patience_in_a_row():
    stopping = EarlyStopping(patience=2)
    seen = []
    for loss in (3.0, 2.0, 2.5, 1.0, 1.5, 1.2):
        best = stopping.is_best(loss)
        seen.append((best, stopping.is_over()))
    assert seen == [
        (True, False), (True, False), (False, False), (True, False), (False, False), (False, True)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("where", "step", "last"),
    [
        ("_train_step", 7, 7),
        # Between an evaluation that was the best so far and the checkpoint after it.
        ("save", 6, 5),
    ],
)
def test_a_run_that_is_stopped_goes_on_as_if_it_had_not(tmp_path, monkeypatch, where, step, last):
    data = toy("classification", train=48)
    settings = replace(FAST, epochs=4)
    whole = HeadTraining(small_bert(), TOKENIZER, data, tmp_path / "whole", settings).train()
    method = getattr(Trainer, where)

    def killed(trainer, *arguments):
        if trainer.step == step:
            raise KeyboardInterrupt
        return method(trainer, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr("minibert.training.trainer.SECONDS_BETWEEN_SAVES", 0.0)  # after every step
        patch.setattr(Trainer, where, killed)
        with pytest.raises(KeyboardInterrupt):
            HeadTraining(small_bert(), TOKENIZER, data, tmp_path / "cut", settings).train()
    assert (tmp_path / "cut" / BEST).exists()
    kept = sorted(path.name for path in (tmp_path / "cut" / "checkpoints").iterdir())
    assert kept[-1] == f"step-{last:09d}"
    again = HeadTraining(small_bert(), TOKENIZER, data, tmp_path / "cut", settings).train()
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    once_more = HeadTraining(small_bert(), TOKENIZER, data, tmp_path / "cut", settings).train()
    assert torch.equal(again.classifier.weight, once_more.classifier.weight)


def test_rates_fall_from_the_head_to_the_embeddings():
    data = toy("classification", train=4)
    model = make_head(small_bert(), data, replace(FAST, pooling="cls"), 0)
    optimizers = optimizers_by_layer(model, lr=1.0, layer_decay=0.5)
    rates = {
        id(p): group["lr"] for o in optimizers for group in o.param_groups for p in group["params"]
    }
    by_name = {name: rates[id(p)] for name, p in model.named_parameters()}
    assert len(rates) == len(by_name)  # each once
    for name, rate in by_name.items():
        if "embeddings" in name:
            assert rate == 0.125
        elif "layers.0" in name:
            assert rate == 0.25
        elif "layers.1" in name:
            assert rate == 0.5
        else:
            assert ("pooler" in name or "classifier" in name) and rate == 1.0
    decayed = {
        id(p) for o in optimizers for g in o.param_groups if g["weight_decay"] for p in g["params"]
    }
    assert decayed == {id(p) for p in model.parameters() if p.dim() >= 2}


def test_a_given_rate_goes_before_the_default_of_the_body(tmp_path):
    trainings = [
        HeadTraining(small_bert(), TOKENIZER, toy("classification"), tmp_path, replace(FAST, lr=lr))
        for lr in (None, 0.02)
    ]
    assert [training.lr for training in trainings] == [1e-3, 0.02]
    rates = {g["lr"] for o in trainings[1]._trainer().optimizers for g in o.param_groups}
    assert rates == {0.02}


def test_a_frozen_body_is_the_one_that_was_given(tmp_path):
    data = toy("classification", train=32)
    bert = small_bert()
    model = HeadTraining(
        bert, TOKENIZER, data, tmp_path, replace(FAST, epochs=2, frozen=True)
    ).train()
    for name, value in bert.encoder.state_dict().items():
        assert torch.equal(value, model.bert.encoder.state_dict()[name])
    assert not torch.equal(model.classifier.weight, torch.zeros(3, 32))


def test_units_are_folded_into_the_head():
    data = toy("regression", train=50)
    numbers = [row["label"] for row in data.train]
    standard = StandardUnits.of(data)
    assert (standard.mean, standard.deviation) == pytest.approx((np.mean(numbers), np.std(numbers)))
    changed = [row["label"] for row in standard.rows(data.train)]
    assert np.mean(changed) == pytest.approx(0, abs=1e-9) and np.std(changed) == pytest.approx(1)
    model = make_head(small_bert(), data, FAST, 0).eval()
    before = [p.answer for p in predict(model, TOKENIZER, data.test)]
    standard.fold(model)
    after = [p.answer for p in predict(model, TOKENIZER, data.test)]
    by_hand = [x * np.std(numbers) + np.mean(numbers) for x in before]
    assert after == pytest.approx(by_hand, rel=1e-5)
    assert StandardUnits.of(toy("classification", train=4)) == StandardUnits()


@pytest.mark.parametrize("frozen", [False, True])
def test_a_body_drops_out_unless_it_is_frozen_and_a_head_always_does(tmp_path, frozen):
    """Seen from inside a real run, at each of its steps."""
    bert = small_bert(hidden_dropout_prob=0.5)
    settings = replace(FAST, epochs=1, frozen=frozen)
    training = HeadTraining(bert, TOKENIZER, toy("classification", train=32), tmp_path, settings)
    seen = []

    def look(model, inputs, named, output):
        if model.training:
            ids = named["input_ids"]
            states = [model.bert(ids).last_hidden_state for _ in range(2)]
            dropped = (model.dropout(torch.ones(10_000)) == 0).float().mean()
            seen.append((torch.equal(*states), float(dropped)))

    training.model.register_forward_hook(look, with_kwargs=True)
    training.train()
    assert len(seen) == 2
    for is_same, dropped in seen:
        assert is_same == frozen and dropped == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("kind", ["classification", "tagging", "multiple-choice"])
def test_dropout_comes_before_the_last_layer_of_a_head(kind):
    """With everything dropped, only the bias is left."""
    data = toy(kind, train=4)
    model = make_head(small_bert(hidden_dropout_prob=0.5), data, replace(FAST, frozen=True), 0)
    features = make_features(data.train, kind, data.labels, TOKENIZER, 24)
    ((_, batch),) = batches_by_length(features, kind, TOKENIZER)
    with torch.no_grad():
        model.classifier.bias.fill_(3.0)
        assert not (model.eval()(**batch).logits == 3).any()
        model.train().dropout.p = 1.0
        assert (model(**batch).logits == 3).all()


def test_the_objective_counts_what_the_loss_is_a_mean_over():
    data = toy("tagging", train=4)
    features = make_features(data.train, "tagging", data.labels, TOKENIZER, 24)
    ((_, batch),) = batches_by_length(features, "tagging", TOKENIZER)
    counts = TaskObjective("tagging").counts(batch)
    words = sum(len(row["words"]) for row in data.train)
    assert counts == {"task_loss": words, "tokens": words + 2 * 4}  # [CLS] and [SEP]
    # As many labels as tokens: rows are counted all the same.
    several = {"input_ids": torch.ones(2, 5), "labels": torch.ones(2, 5)}
    several["attention_mask"] = torch.ones(2, 5)
    assert TaskObjective("multi-label").counts(several)["task_loss"] == 2


def test_the_rate_rises_over_the_warmup(tmp_path):
    data = toy("classification", train=16)
    settings = replace(FAST, warmup=0.4)
    trainer = HeadTraining(small_bert(), TOKENIZER, data, tmp_path, settings)._trainer()
    assert [trainer.plan.schedule(done) for done in (0, 0.2, 0.5, 1)] == pytest.approx(
        [0, 0.5, 0.5, 0]
    )


def test_each_seed_has_its_own_head_and_order(tmp_path):
    data = toy("classification", train=64)
    first, again, second = (
        HeadTraining(small_bert(), TOKENIZER, data, tmp_path, FAST, seed) for seed in (0, 0, 1)
    )
    weight = lambda training: training.model.classifier.weight
    ids = lambda training: training.batches(0)[0]["input_ids"]
    assert torch.equal(weight(first), weight(again)) and torch.equal(ids(first), ids(again))
    assert not torch.equal(weight(first), weight(second))
    assert not torch.equal(ids(first), ids(second))
