"""Going on from weights that are there: what is kept, what is new, what is learned, refused."""

import ast
import json
import shutil
import sysconfig
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from command import run
from safetensors.torch import load_file, save_file
from small_runs import small_texts
from stopping import stopped_in_step
from torch.testing import assert_close
from witnesses import minilm_directory

import minibert
from minibert import BertForPreTraining
from minibert.data.corpora import load_corpus
from minibert.data.tokenized_corpora import TokenizedCorpus
from minibert.files import find_directory
from minibert.pretraining.recipes import RECIPES
from minibert.pretraining.run import Run, prepare_data, pretrain, read_run
from minibert.pretraining.run_data import held_out_batches
from minibert.pretraining.snapshots import read_snapshots
from minibert.pretraining.start_from_model import load_with_new_heads
from minibert.training.history import read_history
from minibert.training.run_folder import Session

pytestmark = pytest.mark.usefixtures("measured_on_less")


@pytest.fixture(scope="module", autouse=True)
def few_rows(measured_on_less):
    """With 8192 tokens to choose from, 4096 held-out tokens take as long as the training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minibert.pretraining.run_data.HELD_OUT_ROWS", 16)
        yield


def small_run(start, steps=6, **changes):
    recipe = replace(RECIPES["continue"], **{"batch_size": 4, "max_length": 32, **changes})
    return Run("texts", recipe=recipe, steps=steps, start=str(start))


@cache
def docstrings(number=60):
    """What the modules of Python's own library say of themselves, each a text."""
    texts = []
    for file in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
        nodes = [n for n in ast.walk(ast.parse(file.read_bytes())) if isinstance(n, documented)]
        found = [doc for doc in map(ast.get_docstring, nodes) if doc and len(doc.split()) > 20]
        if found:
            texts.append("\n\n".join(found))
        if len(texts) == number:
            break
    return texts


@pytest.fixture(scope="module")
def headless(tmp_path_factory):
    """mini as a body alone."""
    out = tmp_path_factory.mktemp("headless")
    model, tokenizer = minibert.load("mini")
    model.bert.pooler = None
    model.bert.save_pretrained(out, tokenizer)
    return out


@pytest.fixture(scope="module")
def small_start(tmp_path_factory):
    """A small BERT with the vocabulary of mini, where its size does not matter."""
    sizes = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
    tokenizer = minibert.BertTokenizer.from_pretrained(find_directory("mini"))
    config = minibert.BertConfig.preset("tiny", vocab_size=tokenizer.vocab_size, **sizes)
    torch.manual_seed(0)
    model = BertForPreTraining(replace(config, max_position_embeddings=128), next_sentence=False)
    out = tmp_path_factory.mktemp("small")
    model.save_pretrained(out, tokenizer)
    return out


def test_it_learns_another_kind_of_text(tmp_path):
    """From general English to the documentation of programs, in texts of which it saw none."""
    recipe = replace(RECIPES["continue"], lr=1e-3, batch_size=8, max_length=64)
    settings = Run("texts", recipe=recipe, steps=30, start="mini")
    assert pretrain(load_corpus(docstrings()), tmp_path / "run", settings, snapshots=True)
    models = read_snapshots(tmp_path / "run")
    tokenizer = minibert.BertTokenizer.from_pretrained(tmp_path / "run")
    given = minibert.load("mini")[0].state_dict()
    for name, tensor in minibert.load(models[0])[0].state_dict().items():
        assert_close(tensor, given[name], rtol=0, atol=0, msg=name)
    batches = held_out_batches(TokenizedCorpus.open(tmp_path / "run/data/held_out"), tokenizer)
    losses = {}
    for step in (0, 30):
        model = minibert.load(models[step])[0]
        with torch.no_grad():
            losses[step] = np.mean([model(**batch).loss.item() for batch in batches])
    assert losses[30] < losses[0] - 0.5
    measured = [line["held_out"] for line in read_history(tmp_path / "run") if "held_out" in line]
    assert measured[-1]["loss"] == pytest.approx(losses[30], abs=0.02)


@pytest.mark.parametrize("objective", ["mlm", "mlm+nsp"])
def test_it_starts_as_what_it_was_given(tmp_path, objective):
    """Heads that are trained are kept, others left out; config and tokenizer are kept."""
    given = find_directory("mini")
    settings = small_run("mini", objective=objective)
    prepare_data(load_corpus(small_texts()), settings, tmp_path)
    start = tmp_path / "data" / "start"
    got, wanted = load_file(start / "model.safetensors"), load_file(given / "model.safetensors")
    for name, tensor in wanted.items():
        if objective == "mlm+nsp" or not name.startswith(("bert.pooler", "cls.seq_relationship")):
            assert_close(got.pop(name), tensor.float(), rtol=0, atol=0, msg=name)
    assert not got
    assert (tmp_path / "data/vocab.txt").read_bytes() == (given / "vocab.txt").read_bytes()
    config = minibert.BertConfig.from_pretrained(start)
    assert config == minibert.BertConfig.from_pretrained(given)


def test_real_weights_get_a_head_and_keep_their_body(tmp_path):
    """all-MiniLM-L6-v2, which has no head that guesses words, and a pooler that is not needed."""
    prepare_data(load_corpus(small_texts()), small_run(minilm_directory()), tmp_path)
    started = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "data" / "start")
    given = transformers.BertModel.from_pretrained(minilm_directory(), add_pooling_layer=False)
    wanted = given.state_dict()
    assert set(started.bert.state_dict()) == set(wanted)
    for name, tensor in started.bert.state_dict().items():
        assert_close(tensor, wanted[name], rtol=0, atol=0, msg=name)
    matrix = started.bert.embeddings.word_embeddings.weight
    assert started.cls.predictions.decoder.weight is matrix
    assert started.config.hidden_dropout_prob == given.config.hidden_dropout_prob == 0.1


def test_a_new_head_knows_how_often_each_token_occurs(small_start, tmp_path):
    """Its bias has the loss of -log((count + 1) / (N + V)); a random transform costs a little.

    How much it costs grows with the body's token vectors, which are as long here as in a new BERT.
    """
    given, tokenizer = minibert.load(small_start)
    given.bert.save_pretrained(tmp_path / "headless", tokenizer)
    corpus, held_out, tokenizer = prepare_data(
        load_corpus(docstrings()), small_run(tmp_path / "headless"), tmp_path
    )
    model = minibert.load(tmp_path / "data" / "start")[0]
    vocab_size = tokenizer.vocab_size
    counts = np.bincount(corpus.tokens, minlength=vocab_size) + 1
    batches = held_out_batches(held_out, tokenizer)
    labels = np.concatenate([b["labels"][b["labels"] != -100] for b in batches])
    unigram = -np.log(counts[labels] / (len(corpus.tokens) + vocab_size)).mean()

    def loss():
        with torch.no_grad():
            return np.mean([model(**batch).loss.item() for batch in batches])

    assert unigram < loss() < np.log(vocab_size)
    with torch.no_grad():
        model.mlm_head.norm.weight.zero_()  # nothing but the bias is left
    assert loss() == pytest.approx(unigram, abs=1e-3)
    with torch.no_grad():
        model.mlm_head.decoder.bias.zero_()
    assert loss() == pytest.approx(np.log(vocab_size), abs=1e-3)


def test_a_stopped_run_resumes_bitwise_without_what_it_started_from(small_start, tmp_path):
    """With dropout, in a folder that was made for it and is gone by then."""
    corpus = load_corpus(small_texts())
    given = tmp_path / "given"
    shutil.copytree(small_start, given)
    settings = small_run(given, dropout=0.1)
    assert pretrain(corpus, tmp_path / "whole", settings)

    with stopped_in_step(1):
        assert not pretrain(corpus, tmp_path / "run", settings)
    assert minibert.BertConfig.from_pretrained(tmp_path / "run").hidden_dropout_prob == 0.1
    shutil.copytree(tmp_path / "run", tmp_path / "unsaved")
    shutil.rmtree(tmp_path / "unsaved" / "checkpoints")
    shutil.rmtree(given)
    for name in ("run", "unsaved"):
        assert pretrain(corpus, tmp_path / name, read_run(tmp_path / name), Session(resume=True))
        for file in ("model.safetensors", "config.json", "vocab.txt"):
            whole = (tmp_path / "whole" / file).read_bytes()
            assert (tmp_path / name / file).read_bytes() == whole


def test_a_run_file_from_before_objectives_had_names_is_read():
    """mini's own."""
    values = json.loads((find_directory("mini") / "run.json").read_text())
    found = read_run(find_directory("mini"))
    assert values["recipe"].pop("next_sentence") is True  # what `objective` was then
    newer = {"ns_steps": 5, "sampled_softmax": False, "objective": "mlm+nsp", "sentences": 0.0}
    assert asdict(found) == {**values, "recipe": {**values["recipe"], **newer}}


def test_old_names_and_another_tasks_head(headless, tmp_path):
    """`gamma` and `beta`, no `bert.` before them, and a classifier, which is passed over."""
    shutil.copytree(headless, tmp_path / "old")
    file = tmp_path / "old" / "model.safetensors"
    wanted = load_file(file)
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in wanted.items()
    }
    save_file({**old, "classifier.weight": torch.zeros(2, 256)}, file)
    model, _, new = load_with_new_heads(tmp_path / "old", BertForPreTraining)
    for name, tensor in minibert.weights.to_hf_state_dict(model.bert).items():
        if not name.startswith("pooler."):
            assert_close(tensor, wanted[name], rtol=0, atol=0, msg=name)
    assert new == {"the head that guesses masked words", "the NSP head", "the pooler"}
    old["cls.predictions.bias"] = torch.zeros(8192)
    save_file(old, file)
    with pytest.raises(ValueError, match=r"missing: cls\.predictions\.transform"):
        load_with_new_heads(tmp_path / "old", BertForPreTraining)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preset": "mini"}, "own size and vocabulary: leave --preset and --vocab-size out"),
        ({"vocab_size": 500}, "own size and vocabulary: leave --preset and --vocab-size out"),
        ({"recipe": RECIPES["fast"]}, "take the recipe `continue`, without --init"),
        ({"start": None}, r"say which \(--from MODEL\)"),
    ],
)
def test_what_the_weights_decide_is_not_to_be_chosen(changes, message):
    settings = {"corpus": "texts", "recipe": RECIPES["continue"], "start": "mini"}
    with pytest.raises(ValueError, match=message):
        Run(**{**settings, **changes})


def test_an_unfit_start_is_refused_before_an_earlier_run_is_removed(headless, tmp_path):
    corpus, out = load_corpus(small_texts()), tmp_path / "run"
    pretrain(corpus, out, small_run("mini", steps=1))
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    wide = shutil.copytree(headless, tmp_path / "wide")
    lines = (wide / "vocab.txt").read_text("utf-8") + "onemore\n"
    (wide / "vocab.txt").write_text(lines, encoding="utf-8")
    for settings, message in (
        (small_run(out), "would replace"),
        (small_run(out / "data" / "start"), "would replace"),
        (small_run(tmp_path / "no such folder"), "is not a directory"),
        (small_run(wide), "8193 tokens, but vectors for only 8192"),
        (small_run("mini", max_length=129), "128 positions, too few for sequences of 129"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            pretrain(corpus, out, settings, Session(overwrite=True))
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


def test_going_on_from_the_command_line(tmp_path, monkeypatch):
    texts = tmp_path / "texts"
    texts.mkdir()
    for number, text in enumerate(small_texts()):
        (texts / f"{number:02}.txt").write_text(text, encoding="utf-8")
    shutil.copytree(find_directory("mini"), tmp_path / "given")
    monkeypatch.chdir(tmp_path)
    options = ("--steps", 2, "--batch-size", 4)
    shown = run("pretrain", texts, "-o", "run", "--from", "given", *options)
    assert "6.9 million weights" in shown and "Learning a vocabulary" not in shown
    assert f"started from  {tmp_path / 'given'}" in run("info", "run")
    run("pretrain", texts, "-o", "run", "--resume", "--from", "given")
    shutil.rmtree("given")
    run("pretrain", texts, "-o", "run", "--resume")
    for wrong, message in (
        (("--preset", "tiny"), "leave --preset"),
        (("--vocab-size", 8192), "leave --preset and --vocab-size"),
        (("--init", "random"), "without --init"),
        (("--recipe", "fast"), "take the recipe `continue`"),
    ):
        refused = run("pretrain", texts, "-o", "new", "--from", "mini", *options, *wrong, expect=2)
        assert message in refused
    nothing = run("pretrain", texts, "-o", "new", "--recipe", "continue", *options, expect=2)
    assert "say which (--from MODEL)" in nothing
    other = run("pretrain", texts, "-o", "run", "--resume", "--from", "mini", expect=2)
    assert f"start was '{tmp_path / 'given'}', now 'mini'" in other
    assert not (tmp_path / "new").exists()
