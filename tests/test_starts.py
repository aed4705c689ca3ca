"""Where weights start: each choice of a recipe does what it says, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_runs import small
from torch.testing import assert_close

import minibert
from minibert.data.tokenized_corpora import TokenizedCorpus
from minibert.heads import BertForSequenceClassification
from minibert.pretraining.counted_embeddings import cooccurrence_embeddings
from minibert.pretraining.objectives import OBJECTIVES
from minibert.pretraining.start_from_model import load_with_new_heads, read_start
from minibert.pretraining.start_new import make_config, make_model, make_sampled_softmax

V = 60


@pytest.fixture(scope="module")
def corpus():
    tokens = np.random.default_rng(0).integers(5, V, 3000) ** 2 // V
    return TokenizedCorpus(tokens, np.array([0, len(tokens)]), np.array([0, 1]))


def start(corpus, **changes):
    recipe = small("fast", **changes)
    return make_model(recipe, make_config(recipe, "tiny", V), corpus, seed=3)


def test_a_random_start_is_the_models_own(corpus):
    got = start(corpus, init="random", positions="random")
    torch.manual_seed(3)
    wanted = OBJECTIVES["mlm"].make_model(got.config)
    for name, tensor in wanted.state_dict().items():
        assert_close(got.state_dict()[name], tensor, rtol=0, atol=0, msg=name)


def test_each_start_changes_its_own_weights_alone(corpus):
    random = start(corpus, init="random", positions="random").state_dict()
    for changes, wanted in (
        ({"positions": "sinusoidal", "init": "random"}, {"position_embeddings.weight"}),
        (
            {"init": "cooccurrence", "positions": "random"},
            {"word_embeddings.weight", "mlm_head.decoder.weight", "mlm_head.decoder.bias"},
        ),
    ):
        got = start(corpus, **changes).state_dict()
        changed = {n.removeprefix("bert.embeddings.") for n in got if (got[n] != random[n]).any()}
        assert changed == wanted


def test_sinusoidal_positions_are_sines_by_hand(corpus):
    """Vaswani et al. (2017): position 7, dimensions 10 and 11 of 128, at BERT's scale."""
    positions = start(corpus, positions="sinusoidal").bert.embeddings.position_embeddings.weight
    angle = 7 / 10000 ** (10 / 128)
    wanted = torch.tensor([np.sin(angle), np.cos(angle)]).float() * 2**0.5 * 0.02
    assert_close(positions[7, 10:12], wanted)


def test_a_counted_start_has_counted_tokens_and_frequencies(corpus):
    model = start(corpus, init="cooccurrence")
    wanted = cooccurrence_embeddings(corpus.tokens, V, 128, seed=3)
    assert_close(model.bert.embeddings.word_embeddings.weight, wanted)
    shares = (np.bincount(corpus.tokens, minlength=V) + 1) / (len(corpus.tokens) + V)
    assert_close(model.mlm_head.decoder.bias, torch.from_numpy(np.log(shares)).float())


@pytest.mark.parametrize("pooling", ["cls", "mean", "query"])
def test_a_fine_tuned_body_is_a_start(tmp_path, pooling):
    """Its head is left out, whatever it is; its body is kept."""
    given, tokenizer = minibert.load("mini")
    head = BertForSequenceClassification.from_bert(
        given.bert, ("a", "b"), "single_label_classification", pooling
    )
    head.save_pretrained(tmp_path, tokenizer)
    recipe = replace(small("continue"), dropout=0.0)
    model, _, new = read_start(str(tmp_path), recipe, seed=0)
    assert new == {"the head that guesses masked words"}
    for name, tensor in given.bert.state_dict().items():
        if not name.startswith("pooler."):
            assert_close(model.bert.state_dict()[name], tensor, rtol=0, atol=0, msg=name)


def test_heads_that_are_there_are_kept_and_others_new(tmp_path):
    """A model trained without NSP has an MLM head, and neither an NSP head nor a pooler."""
    shipped, tokenizer = minibert.load("mini")
    given = OBJECTIVES["mlm"].make_model(shipped.config)
    given.save_pretrained(tmp_path, tokenizer)
    model, _, new = load_with_new_heads(str(tmp_path), OBJECTIVES["mlm+nsp"].make_model)
    assert new == {"the NSP head", "the pooler"}
    assert_close(model.mlm_head.dense.weight, given.mlm_head.dense.weight, rtol=0, atol=0)
    assert model.nsp_head.weight.std().item() == pytest.approx(0.02, rel=0.2)


def test_new_heads_depend_on_the_seed_alone(tmp_path):
    shipped, tokenizer = minibert.load("mini")
    OBJECTIVES["mlm"].make_model(shipped.config).save_pretrained(tmp_path, tokenizer)
    recipe = small("continue", objective="mlm+nsp")
    heads = [read_start(str(tmp_path), recipe, seed)[0].nsp_head.weight for seed in (0, 0, 1)]
    assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])


def test_what_is_given_is_not_drawn_first():
    """Drawing a body only to replace it takes seconds for a large one."""
    before = torch.get_rng_state()
    load_with_new_heads("mini", OBJECTIVES["mlm"].make_model)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_sampled_softmax_counts_on_as_many_targets_as_a_batch_has(corpus):
    """The most frequent 512 are always there, so all of 60 tokens; of 600, by hand."""
    recipe = small("speedrun", batch_size=8, max_length=25)  # 40 % of 200 are masked: 80
    sampled = make_sampled_softmax(recipe, corpus, 600)
    assert (sampled.log_there[corpus.tokens] == 0).all()
    rare = (sampled.log_there != 0).nonzero()
    assert len(rare) == 600 - 512
    never = torch.full((len(rare), 1), np.log(1 / sampled.one_in))  # they never occur
    assert_close(sampled.log_there[rare], never.float())
    counts = np.ones(600)
    counts[:512] = 2
    whole = TokenizedCorpus(
        np.repeat(np.arange(600), counts.astype(int)), corpus.sentence_starts, np.array([0, 1])
    )
    share = 1 / counts.sum()
    wanted = np.log(1 - (1 - 1 / sampled.one_in) * (1 - share) ** 80)
    got = make_sampled_softmax(recipe, whole, 600).log_there[-1]
    assert got.item() == pytest.approx(wanted, rel=1e-5)
