"""Pretraining with any number of hidden tokens: numbers, masks, and what the loss is a bound of."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_runs import small_run, small_texts

import minibert
from minibert.data.corpora import load_corpus
from minibert.data.masking import Masking
from minibert.model import BertForPreTrainingOutput
from minibert.pretraining.diffusion import DiffusionMasker, DiffusionObjective, numbers_hidden
from minibert.pretraining.objectives import OBJECTIVES
from minibert.pretraining.run import pretrain
from minibert.tokenizer import SPECIAL_TOKENS, BertTokenizer
from minibert.training.history import read_history

TOKENIZER = BertTokenizer([*SPECIAL_TOKENS, *"abcdefghij"])


@pytest.mark.parametrize(("texts", "length"), [(6, 6), (12, 6), (6, 3)])
def test_each_batch_has_every_number_equally_often(texts, length):
    """Not only on average: the texts' t are at equal distances."""
    for seed in range(20):
        numbers = numbers_hidden(np.full(texts, length), np.random.default_rng(seed))
        counts = np.bincount(numbers, minlength=length + 1)
        assert counts.tolist() == [0, *[texts // length] * length]


def test_numbers_are_uniform_for_each_text_and_within_its_length():
    lengths = np.array([1, 4, 4, 9])
    drawn = [numbers_hidden(lengths, np.random.default_rng(seed)) for seed in range(4000)]
    for length, numbers in zip(lengths, np.array(drawn).T, strict=True):
        shares = np.bincount(numbers, minlength=length + 1) / len(numbers)
        assert shares[0] == 0 and len(shares) == length + 1
        assert shares[1:] == pytest.approx(1 / length, abs=0.03)


def test_hidden_tokens_are_masks_and_the_rest_is_as_it_was():
    ids = np.tile(np.array([2, *range(5, 12), 3, 0, 0]), (64, 1))  # [CLS] a to g [SEP] [PAD] [PAD]
    seen, labels = DiffusionMasker(TOKENIZER, Masking())(ids, np.random.default_rng(0))
    hidden = labels != -100
    assert (seen[hidden] == TOKENIZER.vocab["[MASK]"]).all() and (labels == ids)[hidden].all()
    assert (seen == ids)[~hidden].all() and not hidden[:, [0, 8, 9, 10]].any()
    assert set(hidden.sum(1)) == set(range(1, 8))  # of the 7 that can be hidden
    assert (hidden.sum(0)[1:8] > 10).all()


class Knows(torch.nn.Module):
    """Knows all texts of three tokens and their probabilities, and so every conditional."""

    def __init__(self, joint):
        super().__init__()
        self.joint = joint  # (4, 4, 4), over a, b, c, d

    def forward(self, input_ids, labels):
        losses = []
        for row, label in zip(input_ids[:, 1:-1], labels[:, 1:-1], strict=True):
            seen = [slice(None) if t == TOKENIZER.vocab["[MASK]"] else int(t) - 5 for t in row]
            part = self.joint[tuple(slice(s, s + 1) if isinstance(s, int) else s for s in seen)]
            each = [
                -math.log(part.sum(axis=tuple({0, 1, 2} - {i}))[int(t) - 5] / part.sum())
                for i, t in enumerate(label)
                if t != -100
            ]
            losses.append(np.mean(each))
        return BertForPreTrainingOutput(
            None, mlm_loss=torch.tensor(np.mean(losses)), mlm_correct=torch.tensor(0)
        )


def test_the_loss_of_a_model_that_knows_all_is_the_likelihood_of_the_text():
    """Over all numbers and choices of hidden tokens its mean is -log p / T, with nothing to spare.

    Any other model's is higher on average, by Jensen's inequality.
    """
    joint = np.random.default_rng(0).dirichlet(np.full(64, 0.3)).reshape(4, 4, 4)
    objective = DiffusionObjective()
    for text in itertools.islice(itertools.product(range(4), repeat=3), 0, 64, 7):
        whole = torch.tensor([[2, *(t + 5 for t in text), 3]])
        total = 0.0
        for number in (1, 2, 3):
            choices = list(itertools.combinations((1, 2, 3), number))
            seen, labels = whole.repeat(len(choices), 1), torch.full((len(choices), 5), -100)
            for row, places in enumerate(choices):
                labels[row, places], seen[row, places] = whole[0, places], TOKENIZER.vocab["[MASK]"]
            batch = {"input_ids": seen, "labels": labels}
            sums, counts = objective.sums(Knows(joint), batch), objective.counts(batch)
            total += sums["mlm_loss"].item() / counts["mlm_loss"] / 3
        assert 3 * total == pytest.approx(-math.log(joint[text]), rel=1e-9)


def test_the_models_loss_is_the_mean_over_texts():
    """A text with one hidden token counts as much as one with five: by hand, from the logits."""
    torch.manual_seed(0)
    config = minibert.BertConfig.preset(
        "tiny",
        vocab_size=15,
        initializer_range=0.3,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = OBJECTIVES["diffusion"].make_model(config).train()
    ids = torch.tensor([[2, 5, 6, 7, 8, 9, 3], [2, 9, 8, 7, 6, 5, 3]])
    labels = torch.full_like(ids, -100)
    labels[0, 2], labels[1, 1:6] = ids[0, 2], ids[1, 1:6]
    batch = {"input_ids": ids.masked_fill(labels != -100, 4), "labels": labels}
    got = DiffusionObjective().sums(model, batch)["mlm_loss"]
    logits = model.eval()(batch["input_ids"]).prediction_logits
    of_texts = [F.cross_entropy(*pair) for pair in zip(logits, labels, strict=True)]
    torch.testing.assert_close(got, sum(of_texts), rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("measured_on_less")
def test_a_run_is_trained_for_diffusion(tmp_path):
    run = small_run("fast", steps=30)
    run = replace(run, recipe=replace(run.recipe, objective="diffusion"))
    assert pretrain(load_corpus(small_texts()), tmp_path / "run", run)
    assert minibert.load(tmp_path / "run")[0].nsp_head is None
    last = read_history(tmp_path / "run")[-1]
    assert last["held_out"]["mlm_loss"] < math.log(80)  # what knowing nothing costs
