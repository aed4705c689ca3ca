"""Fine-tuning: every kind of task is learned, scored, saved, and answered again."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from torch.testing import assert_close

from minibert.config import BertConfig
from minibert.data.features import Feature, make_features
from minibert.data.splits import TaskData
from minibert.finetuning.run import (
    BEST,
    HEADS,
    Clock,
    EarlyStopping,
    Finetuning,
    Result,
    ShuffledBatches,
    Standard,
    batches_by_length,
    default_rate,
    duration,
    evaluate,
    finetune,
    kind_of,
    load_finetuned,
    lowest_loss,
    make_head,
    make_optimizers,
    predict,
    shown,
    train_head,
    validation_sample,
)
from minibert.heads import BertForQuestionAnswering, BertForSequenceClassification
from minibert.model import BertModel
from minibert.tokenizer import BertTokenizer
from minibert.training.history import read_history
from minibert.training.trainer import Trainer

WORDS = "red green blue yes no north south one two three four five".split()  # noqa: SIM905
TOKENIZER = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "."])
COLOURS = ("red", "green", "blue")
FAST = Finetuning(epochs=12, batch_size=16, max_length=24, lr=3e-3, pooling="mean", patience=20)


def small_bert(**changes):
    torch.manual_seed(0)
    config = BertConfig.preset(
        "tiny",
        vocab_size=TOKENIZER.vocab_size,
        max_position_embeddings=24,
        hidden_size=32,
        num_attention_heads=4,
        intermediate_size=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        **changes,
    )
    return BertModel(config)


def row(kind, rng):
    """A task that reading solves and counting words does, too: what is right is in the text."""
    words = rng.choices([w for w in WORDS if w not in COLOURS], k=rng.randint(3, 7))
    colour = rng.choice(COLOURS)
    place = rng.randrange(len(words))
    coloured = [*words[:place], colour, *words[place:]]
    text = " ".join(coloured)
    if kind == "classification":
        return {"text": text, "label": colour}
    if kind == "multi-label":
        return {"text": text, "label": [w for w in ("yes", "no") if w in words]}
    if kind == "regression":
        return {"text": text, "label": 1900.0 + 50 * COLOURS.index(colour)}
    if kind == "tagging":
        return {"words": coloured, "tags": ["COL" if w in COLOURS else "O" for w in coloured]}
    if kind == "question-answering":
        answers = [{"text": colour, "start": text.index(colour)}]
        if rng.random() < 0.3:
            text, answers = " ".join(words), []
        return {"question": "one .", "context": text, "answers": answers}
    choices = [*rng.sample(["five", "four", "three"], 2), colour]
    rng.shuffle(choices)
    return {"text": " ".join(words), "choices": choices, "label": choices.index(colour)}


def toy(kind, train=240, validation=40, test=40):
    rng = random.Random(0)
    rows = [row(kind, rng) for _ in range(train + validation + test)]
    labels = {"classification": COLOURS, "multi-label": ("no", "yes"), "tagging": ("COL", "O")}
    return TaskData(
        f"toy {kind}",
        kind,
        labels.get(kind, ()),
        rows[:train],
        rows[train : train + validation],
        rows[train + validation :],
    )


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
    result = finetune(small_bert(), TOKENIZER, data, out, FAST, [0], say=lambda _: None)
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
    finetune(small_bert(), TOKENIZER, data, tmp_path / "run", settings, [0], say=lambda _: None)
    model, tokenizer = load_finetuned(tmp_path / "run")
    ours = predict(model, tokenizer, data.test)
    theirs = transformers.pipeline("text-classification", str(tmp_path / "run"))(
        [row["text"] for row in data.test]
    )
    assert [p.answer for p in ours] == [p["label"] for p in theirs]
    assert [p.probability for p in ours] == pytest.approx([p["score"] for p in theirs], abs=1e-5)


def test_what_is_right_is_not_looked_at():
    data = toy("classification", train=16)
    model = make_head(small_bert(), data, FAST, 0).eval()
    bare = [{"text": row["text"]} for row in data.test]
    assert predict(model, TOKENIZER, data.test) == predict(model, TOKENIZER, bare)


def test_the_weights_of_the_lowest_validation_loss_are_kept(tmp_path):
    data = toy("classification", train=48)
    wrong = [{**row, "label": "red"} for row in data.validation]  # gets worse once it has learned
    data = replace(data, validation=wrong)
    settings = replace(FAST, epochs=20, patience=3)
    model = train_head(small_bert(), TOKENIZER, data, tmp_path, settings)
    losses = [line["held_out"]["loss"] for line in read_history(tmp_path) if "held_out" in line]
    assert len(losses) < 20  # it stopped early
    assert losses.index(min(losses)) == len(losses) - 4 and lowest_loss(tmp_path) == min(losses)
    batches = batches_by_length(
        make_features(wrong, data.kind, data.labels, TOKENIZER, 24), data.kind, TOKENIZER
    )
    with torch.no_grad():
        sums = [float(model(**batch).loss) * len(chosen) for chosen, batch in batches]
    assert sum(sums) / len(wrong) == pytest.approx(min(losses), abs=2e-2)  # trained in bfloat16


def test_stopping_waits_for_patience_in_a_row():
    stopping = EarlyStopping(patience=2)
    seen = []
    for loss in (3.0, 2.0, 2.5, 1.0, 1.5, 1.2):
        best = stopping.is_best({"held_out": {"loss": loss}})
        seen.append((best, stopping.is_over()))
    assert seen == [
        (True, False), (True, False), (False, False), (True, False), (False, False), (False, True)
    ]  # fmt: skip
    again = EarlyStopping(patience=2)
    again.read([{"step": 1}, *({"held_out": {"loss": loss}} for loss in (1.0, 1.5, 1.2))])
    assert again.is_over() and again.best == 1.0


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
    whole = train_head(small_bert(), TOKENIZER, data, tmp_path / "whole", settings)
    method = getattr(Trainer, where)

    def killed(trainer, *arguments):
        if trainer.step == step:
            raise KeyboardInterrupt
        return method(trainer, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr("minibert.training.trainer.SECONDS_BETWEEN_SAVES", 0.0)  # after every step
        patch.setattr(Trainer, where, killed)
        with pytest.raises(KeyboardInterrupt):
            train_head(small_bert(), TOKENIZER, data, tmp_path / "cut", settings)
    assert (tmp_path / "cut" / BEST).exists()
    kept = sorted(path.name for path in (tmp_path / "cut" / "checkpoints").iterdir())
    assert kept[-1] == f"step-{last:09d}"
    again = train_head(small_bert(), TOKENIZER, data, tmp_path / "cut", settings)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    once_more = train_head(small_bert(), TOKENIZER, data, tmp_path / "cut", settings)
    assert torch.equal(again.classifier.weight, once_more.classifier.weight)


def test_a_stopped_call_resumes_and_refuses_other_settings(tmp_path, monkeypatch):
    data = toy("classification", train=32)
    settings = replace(FAST, epochs=2)
    quiet = {"say": lambda _: None}
    train = Trainer.train

    def stopped(trainer):
        monkeypatch.setattr(Trainer, "train", train)
        watch = trainer.record.watch
        look = lambda line: (watch(line), trainer.stop())
        trainer.record = replace(trainer.record, watch=look)
        return train(trainer)

    monkeypatch.setattr(Trainer, "train", stopped)
    out = tmp_path / "run"
    assert finetune(small_bert(), TOKENIZER, data, out, settings, [0, 1], **quiet) is None
    with pytest.raises(FileExistsError, match="holds a run already: --resume goes on"):
        finetune(small_bert(), TOKENIZER, data, out, settings, [0, 1], **quiet)
    with pytest.raises(ValueError, match=r"begun with other settings: lr was 0.003, now 0.1"):
        finetune(
            small_bert(), TOKENIZER, data, out, replace(settings, lr=0.1), [0, 1], True, **quiet
        )
    result = finetune(small_bert(), TOKENIZER, data, out, settings, [0, 1], True, **quiet)
    straight = finetune(small_bert(), TOKENIZER, data, tmp_path / "b", settings, [0, 1], **quiet)
    assert result.scores == straight.scores
    assert len(result.scores["minibert"]) == 2
    train = Trainer.train
    monkeypatch.setattr(Trainer, "train", None)  # what is finished is not done again
    assert finetune(small_bert(), TOKENIZER, data, out, settings, [0, 1], True, **quiet) == result
    monkeypatch.setattr(Trainer, "train", train)
    for changed, says in (
        (
            (small_bert(), replace(data, train=data.train[:20])),
            r"rows was \[32, 40, 40\], now \[20",
        ),
        ((BertModel(small_bert().config), data), "body was '[0-9a-f]{12}', now"),
    ):
        with pytest.raises(ValueError, match=says):
            bert, rows = changed
            finetune(bert, TOKENIZER, rows, out, settings, [0, 1], True, **quiet)
    again = finetune(small_bert(), TOKENIZER, data, out, settings, [0], overwrite=True, **quiet)
    assert again.scores["minibert"] == straight.scores["minibert"][:1]
    assert not (out / "seed-1").exists()


def test_rates_fall_from_the_head_to_the_embeddings():
    data = toy("classification", train=4)
    model = make_head(small_bert(), data, replace(FAST, pooling="cls"), 0)
    optimizers = make_optimizers(model, lr=1.0, layer_decay=0.5)
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


def test_a_frozen_body_is_the_one_that_was_given(tmp_path):
    data = toy("classification", train=32)
    bert = small_bert()
    model = train_head(bert, TOKENIZER, data, tmp_path, replace(FAST, epochs=2, frozen=True))
    for name, value in bert.encoder.state_dict().items():
        assert torch.equal(value, model.bert.encoder.state_dict()[name])
    assert not torch.equal(model.classifier.weight, torch.zeros(3, 32))


def test_units_are_folded_into_the_head():
    data = toy("regression", train=50)
    numbers = [row["label"] for row in data.train]
    standard = Standard.of(data)
    assert (standard.mean, standard.deviation) == pytest.approx((np.mean(numbers), np.std(numbers)))
    changed = [row["label"] for row in standard.rows(data.train)]
    assert np.mean(changed) == pytest.approx(0, abs=1e-9) and np.std(changed) == pytest.approx(1)
    model = make_head(small_bert(), data, FAST, 0).eval()
    before = [p.answer for p in predict(model, TOKENIZER, data.test)]
    standard.fold(model)
    after = [p.answer for p in predict(model, TOKENIZER, data.test)]
    by_hand = [x * np.std(numbers) + np.mean(numbers) for x in before]
    assert after == pytest.approx(by_hand, rel=1e-5)
    assert Standard.of(toy("classification", train=4)) == Standard()


def test_each_row_is_seen_once_an_epoch_in_another_order():
    features = [Feature(i, [([i], [0])], 0) for i in range(10)]
    batches = ShuffledBatches(features, "classification", TOKENIZER, batch_size=4, seed=1)
    assert batches.steps_per_epoch == 3

    def epoch(number):
        steps = range(3 * number, 3 * number + 3)
        return [int(i) for step in steps for batch in batches(step) for i in batch["input_ids"]]

    assert sorted(epoch(0)) == sorted(epoch(1)) == list(range(10))
    assert epoch(0) != epoch(1) and epoch(0) == epoch(0)


def test_texts_of_one_length_share_a_batch():
    """Padded alike, at random, each row would be about as long as the longest."""
    rng = random.Random(0)
    lengths = [rng.randint(4, 128) for _ in range(640)]
    features = [Feature(i, [([5] * length, [0] * length)], 0) for i, length in enumerate(lengths)]
    batches = ShuffledBatches(features, "classification", TOKENIZER, batch_size=16, seed=1)
    epoch = [batches(step)[0]["attention_mask"] for step in range(batches.steps_per_epoch)]
    padded = sum(mask.numel() for mask in epoch)
    assert padded < 1.15 * sum(lengths) < 0.7 * 640 * 128
    of_batches = [int(mask.sum(1).max()) for mask in epoch]
    assert of_batches != sorted(of_batches)  # short texts are not all read first


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
    finetune(small_bert(), TOKENIZER, data, tmp_path, settings, [0, 1], say=lambda _: None)
    assert rows["trained"] == 2 * 3 * 200
    assert rows["read"] == 2 * (3 * 100 + 50)  # validation after each epoch; the test once, whole


@pytest.mark.parametrize(
    ("train", "validation", "looked_at"), [(200, 1064, 100), (2000, 1064, 1000), (2000, 60, 60)]
)
def test_validation_is_on_a_sample_in_proportion(train, validation, looked_at):
    data = toy("classification", train=train, validation=validation)
    sample = validation_sample(data)
    assert len(sample) == looked_at
    assert {id(row) for row in sample} <= {id(row) for row in data.validation}
    assert len({id(row) for row in sample}) == looked_at
    assert sample == validation_sample(data)  # the same for every seed
    assert looked_at == validation or sample != data.validation[:looked_at]


@pytest.mark.parametrize(
    ("width", "rate"), [(256, 3e-4), (384, 1e-4), (768, 3e-5), (1024, 2e-5), (32, 1e-3)]
)
def test_the_rate_depends_on_the_width_of_the_body(width, rate):
    assert default_rate(BertConfig.preset("tiny", vocab_size=9, hidden_size=width)) == rate


def test_a_rate_of_ones_own_goes_before_that_of_the_body(tmp_path, monkeypatch):
    rates = []
    monkeypatch.setattr(
        "minibert.finetuning.run.make_optimizers", lambda model, lr, _: rates.append(lr) or 1 / 0
    )
    for lr in (None, 0.02):
        with pytest.raises(ZeroDivisionError):
            train_head(
                small_bert(), TOKENIZER, toy("classification"), tmp_path, replace(FAST, lr=lr)
            )
    assert rates == [1e-3, 0.02]


def test_the_phases_and_the_whole_time_are_said(tmp_path):
    said = []
    data = toy("classification", train=64)
    finetune(
        small_bert(), TOKENIZER, data, tmp_path, replace(FAST, epochs=2), [3, 4], say=said.append
    )
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
    clock = Clock(data, replace(FAST, epochs=2), print, seeds_left=3)
    # Twice 1,000 rows to train on; twice 500 and once 900 to read, for a third of the price.
    minutes = 3 * 201.6 * (1 + (2 * 500 + 900) / 3 / (2 * 1000)) / 60
    assert clock.estimate(line) == f"About {round(minutes)} minutes for 3 seeds; --quick runs one."
    frozen = replace(clock, settings=replace(clock.settings, frozen=True), seeds_left=1)
    minutes = 201.6 * (1 + 1900 / 2000) / 60  # a frozen body is only read, in training too
    assert frozen.estimate(line) == f"About {round(minutes)} minutes in all."
    assert [duration(s) for s in (3, 44, 89, 91, 5399, 5400)] == [
        "10 seconds", "40 seconds", "90 seconds", "2 minutes", "90 minutes", "1.5 hours"
    ]  # fmt: skip


def test_bfloat16_is_not_for_numbers():
    """Years near 1900 would be told in steps of 8."""
    model = make_head(small_bert(), toy("regression", train=4), FAST, 0).eval()
    with torch.no_grad():
        model.classifier.bias.fill_(1901.0)
    rows = toy("regression", test=40).test
    exact, fast = (predict(model, TOKENIZER, rows, bf16=bf16) for bf16 in (False, True))
    assert fast == exact
    data = toy("classification", train=4)
    model = make_head(small_bert(), data, FAST, 0).eval()
    exact, fast = (predict(model, TOKENIZER, data.test, bf16=bf16) for bf16 in (False, True))
    shares = [[prediction.probability for prediction in given] for given in (exact, fast)]
    assert shares[0] != shares[1] and shares[0] == pytest.approx(shares[1], abs=0.02)


def test_answers_come_back_in_the_order_of_the_rows():
    data = toy("classification", train=4, test=70)
    model = make_head(small_bert(), data, FAST, 0).eval()
    one_by_one = [predict(model, TOKENIZER, [row])[0] for row in data.test]
    together = predict(model, TOKENIZER, data.test)
    assert [p.answer for p in one_by_one] == [p.answer for p in together]
    assert_close(
        torch.tensor([p.probability for p in one_by_one]),
        torch.tensor([p.probability for p in together]),
    )


def test_every_word_gets_a_tag_however_long_the_text():
    data = toy("tagging", train=4)
    model = make_head(small_bert(), data, FAST, 0).eval()
    words = WORDS * 9
    (prediction,) = predict(model, TOKENIZER, [{"words": words}], max_length=12)
    assert len(prediction.answer) == len(prediction.probability) == len(words)
    alone = predict(model, TOKENIZER, [{"words": words[:10]}])[0]  # the first window
    assert prediction.answer[:10] == alone.answer


class Pointing(BertForQuestionAnswering):
    """Points at the word `red`, by how sure it is told to be, and to `[CLS]` with 1 in sum."""

    def __init__(self, sure):
        super().__init__(small_bert().config)
        self.sure = sure

    def forward(self, input_ids, **_):
        logits = (input_ids == TOKENIZER.vocab["red"]) * self.sure
        logits[:, 0] = 0.5
        return type("Output", (), {"start_logits": logits, "end_logits": logits})


@pytest.mark.parametrize(("sure", "answer"), [(0.6, "Red"), (0.4, "")])
def test_no_answer_where_cls_is_better_than_the_best_span(sure, answer):
    row = {"question": "red ?", "context": "one two " * 12 + "Red, one two", "answers": []}
    from minibert.finetuning import run as finetuning

    HEADS["question-answering"], before = Pointing, HEADS["question-answering"]
    try:
        (prediction,) = finetuning.predict(Pointing(sure), TOKENIZER, [row], max_length=16)
    finally:
        HEADS["question-answering"] = before
    assert prediction.answer == answer  # `red` in the question is no answer
    assert prediction.probability == pytest.approx(1 / (1 + np.exp(-0.2)))


def test_what_cannot_be(tmp_path):
    with pytest.raises(ValueError, match="epochs must be above 0, not 0"):
        Finetuning(epochs=0)
    with pytest.raises(ValueError, match=r"layer_decay must be above 0 and at most 1, not 1\.1"):
        Finetuning(layer_decay=1.1)
    with pytest.raises(ValueError, match="BertForMaskedLM, without a head that answers"):
        load_finetuned("mini-sotu")


def test_only_the_best_of_the_seeds_is_saved(tmp_path):
    data = toy("classification", train=32)
    settings = replace(FAST, epochs=2)
    finetune(small_bert(), TOKENIZER, data, tmp_path / "run", settings, [3, 4], say=lambda _: None)
    lowest = min((3, 4), key=lambda seed: lowest_loss(tmp_path / "run" / f"seed-{seed}"))
    alone = train_head(small_bert(), TOKENIZER, data, tmp_path / "alone", settings, lowest)
    saved = BertForSequenceClassification.from_pretrained(tmp_path / "run")
    assert torch.equal(saved.classifier.weight, alone.classifier.weight)
    assert not (tmp_path / "run" / "seed-3" / BEST).exists()


def result(*accuracies, labels=("a", "b"), counts=None):
    of_each = [{"accuracy": x, "macro F1": x / 2} for x in accuracies]
    counts = counts or {label: {label: 3, labels[0]: 1} for label in labels}
    return Result(
        "toy",
        "classification",
        {"minibert": of_each, "counting": of_each[:1]},
        {"minibert": [{}] * (len(accuracies) - 1) + [counts], "counting": [{}]},
        saved=len(accuracies) - 1,
    )


def test_the_table_of_three_seeds():
    table = result(0.81, 0.84, 0.86).table()
    half = 4.303 * np.std([81, 84, 86], ddof=1) / 3**0.5  # Student's t, from a table
    assert "mean of 3 seeds and its 95 % interval" in table
    lines = [line.split() for line in table.splitlines()]
    assert ["minibert", "83.7", "±", f"{half:.1f}", "%"] in lines
    assert ["counting", "81.0", "%"] in lines


def test_of_two_seeds_both_are_shown():
    """Their interval is 12.7 standard errors to each side: wider than anything one learns from."""
    table = result(0.81, 0.83).table()
    assert "82.0 (81.0 to 83.0) %" in table and "±" not in table
    assert "two tell little" in table
    assert "seeds" not in result(0.81).table() and "81.0 %" in result(0.81).table()


@pytest.mark.parametrize(
    ("measure", "values", "text"),
    [
        ("accuracy", [0.5], "50.0 %"),
        ("Pearson correlation", [0.9171], "0.917"),
        ("mean absolute error", [52.5537], "52.6"),
        ("mean absolute error", [0.98765], "0.988"),
        ("mean absolute error", [1234.5], "1234"),
        ("mean absolute error", [0.0], "0.00"),
        ("mean absolute error", [1.0, 1.1], "1.05 (1.00 to 1.10)"),
    ],
)
def test_as_many_digits_as_tell(measure, values, text):
    assert shown(measure, values) == text


def test_which_class_was_taken_for_which():
    counts = {"19th": {"19th": 7, "20th": 3}, "20th": {"20th": 9, "19th": 1, "other": 2}}
    lines = [line.split() for line in result(0.5, counts=counts).table().splitlines()]
    place = lines.index(["19th", "20th", "other"])
    by_hand = (14 / 18, 18 / 24)  # twice what is right, over what is there and what was given
    assert lines[place + 1] == ["19th", "7", "3", "0", "F1", f"{by_hand[0]:.1%}"]
    assert lines[place + 2] == ["20th", "1", "9", "2", "F1", f"{by_hand[1]:.1%}"]
    assert lines[place + 3] == ["other", "0", "0", "0"]  # never right: no F1


@pytest.mark.parametrize("several", [6, 7])
def test_a_table_is_narrow_however_long_names_are(several):
    labels = [f"{number} is a rather long label" for number in range(several)]
    table = result(0.81, 0.84, 0.86, labels=labels).table()
    assert max(map(len, table.splitlines())) <= 90
    assert ("by row" in table) == (several == 6)


def test_a_file_of_other_results_is_refused(tmp_path):
    (tmp_path / "results.json").write_text('{"task": "sotu"}')
    with pytest.raises(ValueError, match="does not hold the results of minibert finetune"):
        Result.read(tmp_path / "results.json")
