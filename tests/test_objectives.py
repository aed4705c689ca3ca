"""Objectives of pretraining: each is one entry of a table, and others can be added from outside."""

from dataclasses import dataclass, replace

import pytest
import torch
from command import run as run_command
from small_runs import small, small_run, small_texts

import minibert
from minibert.data.batches import PairBatches
from minibert.data.corpora import load_corpus
from minibert.model import BertForPreTrainingOutput
from minibert.pretraining.objectives import OBJECTIVES, PretrainingObjective, PretrainingTask
from minibert.pretraining.recipes import make_batches
from minibert.pretraining.run import pretrain, read_run
from minibert.pretraining.run_data import write_corpus
from minibert.training.fast import FastBertForPreTraining
from minibert.training.history import read_history
from minibert.training.run_folder import Session

pytestmark = pytest.mark.usefixtures("measured_on_less")


@dataclass(frozen=True)
class OrderBatches:
    """Sentence order prediction (Lan et al., 2020): B follows A, or they are swapped."""

    pairs: PairBatches

    def __call__(self, step):
        batch = self.pairs(step)
        swapped = torch.arange(len(batch["input_ids"])) % 2
        for row in swapped.nonzero()[:, 0]:
            segments = batch["token_type_ids"][row]
            segments[batch["attention_mask"][row].bool()] ^= 1  # enough for a test
        return {**batch, "next_sentence_label": swapped}


class OrderObjective(PretrainingObjective):
    """Its second loss has a name of its own."""

    def counts(self, batch):
        return {n.replace("nsp", "sop"): v for n, v in super().counts(batch).items()}

    def sums(self, model, batch):
        return {n.replace("nsp", "sop"): v for n, v in super().sums(model, batch).items()}


@pytest.fixture
def sentence_order(monkeypatch):
    task = PretrainingTask(
        make_model=FastBertForPreTraining,
        make_batches=lambda *settings: OrderBatches(PairBatches(*settings)),
        make_objective=OrderObjective,
        metric="mlm_loss",
        metric_says="of something else",
    )
    monkeypatch.setitem(OBJECTIVES, "mlm+sop", task)


def test_an_objective_from_outside_is_trained_resumed_and_shown(sentence_order, tmp_path):
    run = small_run("fast", steps=2)
    run = replace(run, recipe=replace(run.recipe, objective="mlm+sop"))
    out = tmp_path / "run"
    assert pretrain(load_corpus(small_texts()), out, run)
    assert pretrain(load_corpus(small_texts()), out, read_run(out), Session(resume=True))
    trained = [line for line in read_history(out) if "held_out" not in line][-1]
    assert {"mlm_loss", "mlm_accuracy", "sop_loss", "sop_accuracy"} <= set(trained)
    assert trained["loss"] == pytest.approx(trained["mlm_loss"] + trained["sop_loss"])
    assert minibert.load(out)[0].nsp_head is not None
    assert "of something else, after 2 steps" in run_command("info", out)


def test_an_unknown_objective_is_refused():
    with pytest.raises(ValueError, match=r"objective must be one of mlm, mlm\+nsp"):
        small("fast", objective="mlm+sop")


@pytest.mark.parametrize(("name", "pairs"), [("mlm", False), ("mlm+nsp", True)])
def test_an_objective_chooses_model_and_batches(name, pairs):
    config = minibert.BertConfig.preset("tiny", vocab_size=80)
    model = OBJECTIVES[name].make_model(config)
    assert (model.nsp_head is not None) == (model.bert.pooler is not None) == pairs


def test_sentence_pairs_are_made_as_the_recipe_says(tmp_path):
    """By its masking, sizes, seed and share of pairs from elsewhere."""
    corpus = load_corpus(small_texts())
    tokenizer = minibert.BertTokenizer.train(small_texts(), 80)
    tokens = write_corpus(corpus, tokenizer, tmp_path)
    made = []
    for elsewhere in (0.0, 1.0):
        recipe = small("fast", objective="mlm+nsp", elsewhere=elsewhere)
        got = make_batches(recipe, tokens, tokenizer, seed=3)(1)
        wanted = PairBatches(tokens, tokenizer, recipe.masking, 8, 24, 3, elsewhere)(1)
        assert all(torch.equal(got[name], wanted[name]) for name in wanted)
        made.append(got["input_ids"])
    assert made[0].shape != made[1].shape or not torch.equal(*made)


def test_single_sentences_take_their_share_of_the_steps(tmp_path):
    """The other steps have the batches that they would have had."""
    tokenizer = minibert.BertTokenizer.train(small_texts(), 80)
    tokens = write_corpus(load_corpus(small_texts()), tokenizer, tmp_path)
    recipe = small("fast", objective="mlm+nsp", sentences=0.25)
    mixed = make_batches(recipe, tokens, tokenizer, seed=3)
    pairs = make_batches(replace(recipe, sentences=0.0), tokens, tokenizer, seed=3)
    alone = 0
    for step in range(400):
        batch = mixed(step)
        if "next_sentence_label" in batch:
            assert torch.equal(batch["input_ids"], pairs(step)["input_ids"])
        else:
            alone += 1
            assert "token_type_ids" not in batch
    assert 60 < alone < 140  # 5 standard deviations around 100
    with pytest.raises(ValueError, match="sentences go with masked tokens, not with diffusion"):
        small("fast", objective="diffusion", sentences=0.25)


def test_pairs_and_single_sentences_may_be_in_one_step(tmp_path):
    """With accumulated gradients. NSP's loss is the mean over the pairs that there are."""
    run = small_run("fast", steps=6)
    recipe = replace(run.recipe, objective="mlm+nsp", sentences=0.5)
    assert pretrain(load_corpus(small_texts()), tmp_path, replace(run, recipe=recipe, accumulate=4))
    trained = [line for line in read_history(tmp_path) if "held_out" not in line][-1]
    assert trained["loss"] == pytest.approx(trained["mlm_loss"] + trained["nsp_loss"], rel=1e-4)
    assert 0.3 < trained["nsp_loss"] < 1.5


class Guesses(torch.nn.Module):
    """Says what it is told."""

    def forward(self, next_sentence_label, **inputs):
        logits = torch.tensor([[2.0, 1.0], [2.0, 1.0], [0.0, 3.0]])
        return BertForPreTrainingOutput(
            mlm_loss=torch.tensor(0.5),
            mlm_correct=torch.tensor(2),
            next_sentence_loss=torch.tensor(0.25),
            seq_relationship_logits=logits,
            mlm_head=None,
        )


def test_sums_and_counts_by_hand():
    batch = {
        "input_ids": torch.zeros(3, 4, dtype=torch.long),
        "attention_mask": torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]]),
        "labels": torch.tensor([[-100, 7, -100, -100], [-100, 7, -100, -100], [7, 7, -100, 7]]),
        "next_sentence_label": torch.tensor([0, 1, 1]),
    }
    objective = PretrainingObjective()
    masked = {"mlm_loss": 5, "mlm_accuracy": 5}
    assert objective.counts(batch) == {"tokens": 9, **masked, "nsp_loss": 3, "nsp_accuracy": 3}
    sums = objective.sums(Guesses(), batch)
    wanted = {"mlm_loss": 2.5, "mlm_accuracy": 2, "nsp_loss": 0.75, "nsp_accuracy": 2}
    assert {name: value.item() for name, value in sums.items()} == wanted
    packed = {name: batch[name] for name in ("input_ids", "labels")}
    assert objective.counts(packed) == {"tokens": 12, **masked}
