"""Fine-tuning: every kind of task is learned, scored, saved, and answered again."""

import json
from dataclasses import replace

import pytest
import torch
import transformers
from toy_tasks import FAST, QUIET, TOKENIZER, small_bert, toy

from minibert.finetuning.head_training import BEST, HeadTraining, lowest_loss
from minibert.finetuning.predict import evaluate, predict
from minibert.finetuning.run import finetune
from minibert.finetuning.settings import Runs
from minibert.finetuning.task_heads import HEADS, kind_of, load_finetuned
from minibert.finetuning.time_estimate import TimeEstimate, duration
from minibert.heads import BertForSequenceClassification
from minibert.model import BertModel
from minibert.training.trainer import Trainer

LEARNED = {
    "classification": ("accuracy", 0.95),
    "multi-label": ("micro F1", 0.95),
    "tagging": ("accuracy", 0.97),
    "question-answering": ("exact match", 0.9),
    "multiple-choice": ("accuracy", 0.95),
}


@pytest.mark.parametrize("kind", list(HEADS))
def test_every_kind_is_learned_saved_and_answered_again(kind, tmp_path):
    data = toy(kind)
    out = tmp_path / "run"
    result = finetune(small_bert(), TOKENIZER, data, out, FAST, QUIET)
    (scores,) = result.scores["minibert"]
    names = list(result.scores)
    assert names[0] == "minibert" and len(names) >= 3
    unread = result.scores[names[1]][0]  # the same answer to every row
    if kind == "regression":  # years: the three classes are 50 apart
        assert scores["mean absolute error"] < 10 < unread["mean absolute error"]
    else:
        measure, enough = LEARNED[kind]
        assert scores[measure] > enough > unread[measure]
    model, tokenizer = load_finetuned(tmp_path / "run")
    assert kind_of(model) == kind
    assert evaluate(model, tokenizer, data.test, FAST.max_length) == pytest.approx(scores)
    kept = json.loads((tmp_path / "run" / "results.json").read_text())
    assert kept["scores"]["minibert"] == [scores]
    assert not list((tmp_path / "run" / "seed-0").glob("check*"))


def test_transformers_gives_the_same_answers(tmp_path):
    data = toy("classification", train=64)
    settings = replace(FAST, epochs=2, pooling="cls")
    finetune(small_bert(), TOKENIZER, data, tmp_path / "run", settings, QUIET)
    model, tokenizer = load_finetuned(tmp_path / "run")
    ours = predict(model, tokenizer, data.test)
    theirs = transformers.pipeline("text-classification", str(tmp_path / "run"))(
        [row["text"] for row in data.test]
    )
    assert [p.answer for p in ours] == [p["label"] for p in theirs]
    assert [p.probability for p in ours] == pytest.approx([p["score"] for p in theirs], abs=1e-5)


def test_a_stopped_call_resumes_and_refuses_other_settings(tmp_path, monkeypatch):
    data = toy("classification", train=32)
    settings = replace(FAST, epochs=2)
    both = replace(QUIET, seeds=[0, 1])
    resumed = replace(both, resume=True)
    train = Trainer.train

    def stopped(trainer):
        monkeypatch.setattr(Trainer, "train", train)
        watch = trainer.record.watch
        look = lambda line: (watch(line), trainer.stop())
        trainer.record = replace(trainer.record, watch=look)
        return train(trainer)

    def call(runs, settings=settings, data=data, bert=None, out=tmp_path / "run"):
        return finetune(bert or small_bert(), TOKENIZER, data, out, settings, runs)

    monkeypatch.setattr(Trainer, "train", stopped)
    assert call(both) is None
    with pytest.raises(FileExistsError, match="holds a run already: --resume continues it"):
        call(both)
    with pytest.raises(ValueError, match=r"begun with other settings: lr was 0.003, now 0.1"):
        call(resumed, replace(settings, lr=0.1))
    result = call(resumed)
    straight = call(both, out=tmp_path / "straight")
    assert result.scores == straight.scores
    assert len(result.scores["minibert"]) == 2
    monkeypatch.setattr(Trainer, "train", None)  # a finished run is not repeated
    assert call(resumed) == result
    monkeypatch.setattr(Trainer, "train", train)
    with pytest.raises(ValueError, match=r"rows was \[32, 40, 40\], now \[20"):
        call(resumed, data=replace(data, train=data.train[:20]))
    with pytest.raises(ValueError, match=r"body was '[0-9a-f]{12}', now"):
        call(resumed, bert=BertModel(small_bert().config))
    again = call(replace(QUIET, overwrite=True))
    assert again.scores["minibert"] == straight.scores["minibert"][:1]
    assert not (tmp_path / "run" / "seed-1").exists()


def forward_rows(monkeypatch, model_class):
    """How many rows are read, counted from now on: those with a gradient, and those without."""
    rows = {"trained": 0, "read": 0}
    forward = model_class.forward

    def counted(model, input_ids, *arguments, **named):
        rows["trained" if model.training else "read"] += len(input_ids)
        return forward(model, input_ids, *arguments, **named)

    monkeypatch.setattr(model_class, "forward", counted)
    return rows


def test_no_more_rows_are_read_than_the_scores_need(tmp_path, monkeypatch):
    """The issue's own case: 1,064 rows were validated seven times to train on 200."""
    data = toy("classification", train=200, validation=1064, test=50)
    rows = forward_rows(monkeypatch, BertForSequenceClassification)
    settings = replace(FAST, epochs=3)
    finetune(small_bert(), TOKENIZER, data, tmp_path, settings, replace(QUIET, seeds=[0, 1]))
    assert rows["trained"] == 2 * 3 * 200
    assert rows["read"] == 2 * (3 * 100 + 50)  # validation after each epoch; the test once, whole


def test_only_the_best_of_the_seeds_is_saved(tmp_path):
    data = toy("classification", train=32)
    settings = replace(FAST, epochs=2)
    runs = replace(QUIET, seeds=[3, 4])
    finetune(small_bert(), TOKENIZER, data, tmp_path / "run", settings, runs)
    lowest = min((3, 4), key=lambda seed: lowest_loss(tmp_path / "run" / f"seed-{seed}"))
    alone = HeadTraining(
        small_bert(), TOKENIZER, data, tmp_path / "alone", settings, lowest
    ).train()
    saved = BertForSequenceClassification.from_pretrained(tmp_path / "run")
    assert torch.equal(saved.classifier.weight, alone.classifier.weight)
    assert not (tmp_path / "run" / "seed-3" / BEST).exists()


def test_the_phases_and_the_whole_time_are_said(tmp_path):
    said = []
    data = toy("classification", train=64)
    runs = Runs(seeds=[3, 4], say=said.append)
    finetune(small_bert(), TOKENIZER, data, tmp_path, replace(FAST, epochs=2), runs)
    assert [line for line in said if not line.startswith("About ")] == [
        "Seed 1 of 2: training on 64 rows, learning rate 0.003.",
        "Seed 1 of 2: scoring 40 test rows.",
        "Seed 2 of 2: training on 64 rows, learning rate 0.003.",
        "Seed 2 of 2: scoring 40 test rows.",
        "Fitting the baselines.",
    ]
    assert [number for number, line in enumerate(said) if line.startswith("About ")] == [1]


def test_the_whole_time_by_hand():
    data = toy("classification", train=1000, validation=2000, test=900)
    line = {"step": 5, "seconds": 8.0, "steps": 126}  # 126 steps take 201.6 seconds
    estimate = TimeEstimate(data, replace(FAST, epochs=2), print, seeds_left=3)
    # Twice 1,000 rows to train on; twice 500 and once 900 to read, for a third of the price.
    minutes = 3 * 201.6 * (1 + (2 * 500 + 900) / 3 / (2 * 1000)) / 60
    assert (
        estimate.sentence(line) == f"About {round(minutes)} minutes for 3 seeds; --quick runs one."
    )
    frozen = replace(estimate, settings=replace(estimate.settings, frozen=True), seeds_left=1)
    minutes = 201.6 * (1 + 1900 / 2000) / 60  # a frozen body is only read, in training too
    assert frozen.sentence(line) == f"About {round(minutes)} minutes in all."
    assert [duration(s) for s in (3, 44, 89, 91, 5399, 5400)] == [
        "10 seconds", "40 seconds", "90 seconds", "2 minutes", "90 minutes", "1.5 hours"
    ]  # fmt: skip
