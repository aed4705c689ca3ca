"""Pretraining end to end on a small corpus: what is left in the folder, and what is refused."""

import json
import math
import os
import re
import shutil
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from filelock import FileLock
from small_runs import small, small_run, small_texts
from stopping import stopped_in_step
from torch.testing import assert_close

import minibert
from minibert.data.batches import PackedBatches, PairBatches
from minibert.data.corpora import load_corpus
from minibert.data.masking import EVALUATION_MASKING, Masking
from minibert.data.tokenized_corpora import TokenizedCorpus
from minibert.files import sha256
from minibert.inference.fill_mask import fill_mask
from minibert.pretraining.objectives import PretrainingObjective
from minibert.pretraining.recipes import RECIPES, make_optimizers
from minibert.pretraining.run import cut, prepare_data, pretrain, read_run
from minibert.pretraining.run_data import held_out_batches, open_data
from minibert.pretraining.snapshots import is_snapshot, read_snapshots
from minibert.pretraining.start_new import make_config, make_model
from minibert.training.history import read_history
from minibert.training.run_folder import Session, run_folder, write_data_once

pytestmark = pytest.mark.usefixtures("measured_on_less")


@pytest.fixture(scope="module", params=["original", "fast"])
def trained(request, tmp_path_factory):
    out = tmp_path_factory.mktemp(request.param) / "run"
    assert pretrain(load_corpus(small_texts()), out, small_run(request.param))
    return out


@pytest.fixture(scope="module")
def first_step(tmp_path_factory):
    out = tmp_path_factory.mktemp("first") / "run"
    assert pretrain(load_corpus(small_texts()), out, small_run(steps=1))
    return out


@pytest.fixture
def one_step(first_step, tmp_path):
    """The folder of a run of one step, to be changed."""
    return Path(shutil.copytree(first_step, tmp_path / "run"))


def test_the_folder_is_a_hugging_face_model(trained):
    ours = minibert.BertForPreTraining.from_pretrained(trained)
    tokenizer = minibert.BertTokenizer.from_pretrained(trained)
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(trained).eval()
    fast = transformers.AutoTokenizer.from_pretrained(trained)
    text = "The cat [MASK] a dog."
    assert fast(text)["input_ids"] == tokenizer(text)["input_ids"]
    with torch.no_grad():
        want = theirs(**fast(text, return_tensors="pt")).logits
        got = ours(**tokenizer([text], return_tensors="pt")).prediction_logits
    assert_close(got, want, rtol=1e-5, atol=1e-5)


def test_the_folder_says_what_was_done(trained):
    name = trained.parent.name.rstrip("0123456789")
    assert asdict(read_run(trained)) == asdict(small_run(name))
    held_out = [line["held_out"] for line in read_history(trained) if "held_out" in line]
    assert len(held_out) == 1 and 0 <= held_out[0]["mlm_accuracy"] <= 1


@pytest.mark.parametrize(
    ("name", "steps"),
    [pytest.param("original", 2000, marks=pytest.mark.long), ("fast", 250)],
)
def test_pretraining_learns(tmp_path, name, steps):
    """Sentences of a subject, a verb and an object have an order, which is found."""
    run = small_run(name, steps=steps)
    out = tmp_path / "run"
    pretrain(load_corpus(small_texts()), out, run)
    model = minibert.BertForPreTraining.from_pretrained(out)
    tokenizer = minibert.BertTokenizer.from_pretrained(out)
    (guesses,) = fill_mask(model, tokenizer, "The old [MASK] likes a dog. My sister", top_k=2)
    assert guesses[0][0] == "man" and guesses[0][1] > 0.3
    (guesses,) = fill_mask(model, tokenizer, "A dog [MASK] my sister. The old man", top_k=4)
    assert {token for token, _ in guesses} == {"sees", "likes", "follows", "hears"}


def test_a_stopped_run_resumes_bitwise(trained, tmp_path):
    """With dropout, sentence pairs, bf16 and Muon as the recipes have them."""
    name = trained.parent.name.rstrip("0123456789")
    corpus, run, out = load_corpus(small_texts()), small_run(name), tmp_path / "run"

    with stopped_in_step(1):
        assert not pretrain(corpus, out, run)
    assert pretrain(corpus, out, run, Session(resume=True))
    for file in ("model.safetensors", "config.json", "vocab.txt"):
        assert (out / file).read_bytes() == (trained / file).read_bytes()


@pytest.mark.parametrize("kind", ["original", "fast"])
def test_accumulating_changes_nothing(trained, kind):
    """A batch in one piece and in four: the gradient of all masked tokens and all pairs."""
    recipe = small(kind, dropout=0.0)
    tokenizer = minibert.BertTokenizer.from_pretrained(trained)
    corpus = TokenizedCorpus.open(trained / "data" / "training")
    config = minibert.BertConfig.preset("tiny", vocab_size=80, max_position_embeddings=64)
    model = make_model(recipe, config, corpus, seed=0).eval()
    objective = PretrainingObjective()
    whole = PairBatches(corpus, tokenizer, Masking(), 10, 24, 0)(0)
    if kind == "fast":
        whole = {name: whole[name] for name in ("input_ids", "labels", "attention_mask")}
    gradients = []
    for parts in (1, 4):
        pieces = cut(whole, parts)
        totals = {}
        for piece in pieces:
            for name, number in objective.counts(piece).items():
                totals[name] = totals.get(name, 0) + number
        model.zero_grad()
        for piece in pieces:
            sums = objective.sums(model, piece)
            sum(v / totals[n] for n, v in sums.items() if n.endswith("_loss")).backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for one, four in zip(*gradients, strict=True):
        assert_close(four, one, rtol=1e-5, atol=1e-6)


def test_a_random_start_has_the_uniform_loss():
    """A BERT that knows nothing guesses all V alike: loss log V. N(0, 1) embeddings start at 14."""
    torch.manual_seed(0)
    config = minibert.BertConfig.preset("tiny", vocab_size=8192, max_position_embeddings=64)
    model = minibert.BertForPreTraining(config)
    ids = torch.randint(0, 8192, (8, 64))
    assert model(ids, labels=ids).loss.item() == pytest.approx(math.log(8192), abs=0.2)


def test_a_counted_start_has_the_unigram_loss(tmp_path):
    run = small_run()
    corpus, held_out, tokenizer = prepare_data(load_corpus(small_texts()), run, tmp_path)
    config = make_config(run.recipe, "tiny", tokenizer.vocab_size)
    model = make_model(run.recipe, config, corpus, seed=0)
    batch = held_out_batches(held_out, tokenizer)[0]
    frequency = np.bincount(corpus.tokens, minlength=tokenizer.vocab_size) / len(corpus.tokens)
    labels = batch["labels"][batch["labels"] != -100]
    unigram_loss = -np.log(frequency[labels]).mean()
    assert unigram_loss < 0.8 * math.log(tokenizer.vocab_size)
    assert model(**batch).loss.item() == pytest.approx(unigram_loss, abs=0.1)


def test_nsp_learns_both_classes():
    """Class 0 is not passed over as a padding id would be: both labels have a gradient."""
    torch.manual_seed(0)
    config = minibert.BertConfig.preset("tiny", vocab_size=50, max_position_embeddings=16)
    model = minibert.BertForPreTraining(config)
    for label in (0, 1):
        model.zero_grad()
        loss = model(torch.randint(0, 50, (1, 8)), next_sentence_label=torch.tensor([label])).loss
        loss.backward()
        gradient = model.nsp_head.bias.grad
        assert gradient[label] < -0.1 and gradient[1 - label] > 0.1


@pytest.mark.parametrize(
    ("optimizer", "kinds"),
    [("adam", ["BertAdam"]), ("adamw", ["AdamW"]), ("muon", ["Muon", "AdamW"])],
)
def test_recipes_name_their_optimizers(optimizer, kinds):
    config = minibert.BertConfig.preset("tiny", vocab_size=50, max_position_embeddings=16)
    made = make_optimizers(
        replace(RECIPES["fast"], optimizer=optimizer), minibert.BertForPreTraining(config)
    )
    assert [type(o).__name__ for o in made] == kinds


def test_the_original_recipe_is_the_papers():
    recipe = RECIPES["original"]
    assert recipe.masking == Masking(0.15, 0.8, 0.1) and recipe.objective == "mlm+nsp"
    assert (recipe.dropout, recipe.optimizer, recipe.schedule) == (0.1, "adam", "linear")
    assert EVALUATION_MASKING.probability == 0.15


class Caught(Exception):
    """What a run gives to its trainer."""


@pytest.mark.parametrize(("sampled", "accumulate", "bf16"), [(True, 1, True), (False, 4, False)])
def test_a_run_trains_as_its_recipe_says(tmp_path, monkeypatch, sampled, accumulate, bf16):
    def catch(*arguments):
        raise Caught(*arguments)

    monkeypatch.setattr("minibert.pretraining.run.Trainer", catch)
    monkeypatch.setattr("minibert.pretraining.recipes.has_bf16", lambda: True)
    run = small_run("fast", accumulate=accumulate, seed=3)
    run = replace(run, recipe=replace(run.recipe, sampled_softmax=sampled, bf16=bf16))
    with pytest.raises(Caught) as caught:
        pretrain(load_corpus(small_texts()), tmp_path / "run", run)
    model, _, _, data, plan, _ = caught.value.args
    assert (model.sampled_softmax is not None) == sampled
    assert (plan.steps, plan.seed, plan.bf16) == (12, 3, bf16)
    assert [len(part["input_ids"]) for part in data.batches(0)] == [8 // accumulate] * accumulate


# What is refused


def test_an_existing_folder_is_never_overwritten_unasked(tmp_path, one_step):
    corpus, run, out = load_corpus(small_texts()), small_run(steps=1), one_step
    (tmp_path / "thesis.txt").write_text("years of work")
    for session in (Session(), Session(overwrite=True)):
        with pytest.raises(FileExistsError, match="holds other files"):
            pretrain(corpus, tmp_path, run, session)
    with pytest.raises(FileExistsError, match="--resume continues it, --overwrite begins anew"):
        pretrain(corpus, out, run)
    (out / "notes.txt").write_text("mine")
    pretrain(corpus, out, replace(run, seed=5), Session(overwrite=True))
    assert read_run(out).seed == 5
    assert (out / "notes.txt").read_text() == "mine"
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    with pytest.raises(FileExistsError, match="is a file"):
        pretrain(corpus, out / "notes.txt", run)
    with pytest.raises(FileNotFoundError, match="no run"):
        pretrain(corpus, tmp_path / "new", run, Session(resume=True))
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no permissions of this kind")
@pytest.mark.parametrize("name", ["", "new"])
def test_an_unwritable_folder_is_named(name):
    """In a process that is not root, who may write everywhere."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / name
        Path(directory).chmod(0o555)
        if (child := os.fork()) == 0:
            code = 1
            try:
                if os.geteuid() == 0:
                    os.setuid(65534)
                with (
                    pytest.raises(PermissionError, match=re.escape(str(out))),
                    run_folder(out, Session()),
                ):
                    pass
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        Path(directory).chmod(0o755)
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize("resume", [False, True])
def test_two_runs_do_not_share_a_folder(one_step, resume):
    out = one_step
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    with FileLock(out / ".lock"), pytest.raises(FileExistsError, match="another process"):
        pretrain(load_corpus(small_texts()), out, small_run(steps=1), Session(resume, not resume))
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


def test_another_config_lists_what_differs(one_step):
    corpus, run = load_corpus(small_texts()), small_run(steps=1)
    other = replace(run, seed=1, recipe=replace(run.recipe, lr=0.5))
    with pytest.raises(
        ValueError, match=r"other settings: recipe\.lr was .*, now 0\.5; seed was 0"
    ):
        pretrain(corpus, one_step, other, Session(resume=True))


def test_one_document(tmp_path, capsys):
    alone = load_corpus(small_texts(1))
    with pytest.raises(ValueError, match="at least two documents"):
        pretrain(alone, tmp_path / "pairs", small_run("original"))
    assert pretrain(alone, tmp_path / "packed", small_run("fast", steps=2))
    assert "nothing is held out" in capsys.readouterr().out


def test_a_sequence_longer_than_the_model_is_named():
    config = minibert.BertConfig.preset("tiny", vocab_size=50, max_position_embeddings=16)
    model = minibert.BertForPreTraining(config)
    with pytest.raises(ValueError, match="17 tokens but the model holds at most 16"):
        model(torch.zeros(1, 17, dtype=torch.long))
    with pytest.raises(ValueError, match=r"id 50, outside 0\.\.49"):
        model(torch.full((1, 4), 50))


def test_an_interrupted_overwrite_can_be_repeated(one_step):
    (one_step / "mine.html").write_text("a page")
    for _ in range(2):  # the first try dies before it has written anything
        with run_folder(one_step, Session(overwrite=True)):
            names = {p.name for p in one_step.iterdir()}
    assert names == {".lock", "mine.html", "run.json"}


@pytest.mark.parametrize("kept", [0, 1000])
def test_a_run_is_resumed_although_its_model_is_damaged(one_step, kept):
    """As after a power cut: its checkpoint is whole."""
    file = one_step / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:kept])
    assert pretrain(load_corpus(small_texts()), one_step, small_run(steps=1), Session(resume=True))
    assert file.read_bytes() == whole


def test_damaged_data_is_named(one_step):
    file = one_step / "data" / "training" / "tokens.bin"
    file.write_bytes(file.read_bytes()[:-19])
    with pytest.raises(ValueError, match=r"tokens\.bin is damaged"):
        pretrain(load_corpus(small_texts()), one_step, small_run(steps=1), Session(resume=True))


def test_a_run_of_an_earlier_version_is_resumed(one_step):
    """Its run.json and its checkpoint have `next_sentence`, and lack what is newer."""

    def older(file):
        values = json.loads(file.read_text())
        recipe = values.get("settings", values)["recipe"]
        recipe["next_sentence"] = recipe.pop("objective") == "mlm+nsp"
        for name in ("ns_steps", "sampled_softmax"):
            del recipe[name]
        file.write_text(json.dumps(values))

    (checkpoint,) = (one_step / "checkpoints").iterdir()
    older(one_step / "run.json")
    older(checkpoint / "state.json")
    sums = json.loads((checkpoint / "sha256.json").read_text())
    sums["state.json"] = sha256(checkpoint / "state.json")
    (checkpoint / "sha256.json").write_text(json.dumps(sums))
    assert pretrain(load_corpus(small_texts()), one_step, small_run(steps=1), Session(resume=True))


@pytest.mark.parametrize("minutes", [math.nan, math.inf, -1.0])
def test_a_time_that_is_none_is_refused_before_anything_is_written(tmp_path, minutes):
    with pytest.raises(ValueError, match="minutes must be"):
        pretrain(
            load_corpus(small_texts()), tmp_path / "run", small_run(steps=None, minutes=minutes)
        )
    assert not (tmp_path / "run").exists()


def test_a_foreign_run_file_is_refused(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"recipe": {"masking": {}}, "colour": "red"}))
    with pytest.raises(ValueError, match="not a run of this minibert"):
        read_run(tmp_path)


def test_no_mask_no_guess(trained):
    model = minibert.BertForPreTraining.from_pretrained(trained)
    tokenizer = minibert.BertTokenizer.from_pretrained(trained)
    with pytest.raises(ValueError, match=r"no \[MASK\]"):
        fill_mask(model, tokenizer, "The cat.")
    guesses = fill_mask(model, tokenizer, "The [MASK] and the [MASK].", top_k=80)
    assert len(guesses) == 2
    assert all(sum(p for _, p in found) == pytest.approx(1) for found in guesses)


def test_a_model_in_training_stays_in_training(trained):
    """And guesses without dropout, so twice the same."""
    config = minibert.BertConfig.preset("tiny", vocab_size=80, hidden_dropout_prob=0.5)
    model = minibert.BertForPreTraining(config).train()
    tokenizer = minibert.BertTokenizer.from_pretrained(trained)
    first = fill_mask(model, tokenizer, "The [MASK].")
    assert model.training and first == fill_mask(model, tokenizer, "The [MASK].")


def test_a_model_may_have_more_rows_than_its_tokenizer_has_tokens(trained):
    tokenizer = minibert.BertTokenizer.from_pretrained(trained)
    config = minibert.BertConfig.preset("tiny", vocab_size=tokenizer.vocab_size + 50)
    (guesses,) = fill_mask(minibert.BertForPreTraining(config), tokenizer, "[MASK]", top_k=1000)
    assert len(guesses) == tokenizer.vocab_size


def test_snapshots_show_the_way_and_change_nothing(tmp_path):
    plain, kept = tmp_path / "plain", tmp_path / "kept"
    for out in (plain, kept):
        assert pretrain(load_corpus(small_texts()), out, small_run(), snapshots=out is kept)
    found = read_snapshots(kept)
    assert list(found) == [0, 10, 12] and found[12] == kept
    assert (plain / "model.safetensors").read_bytes() == (kept / "model.safetensors").read_bytes()
    weights = {step: minibert.load(folder)[0].state_dict() for step, folder in found.items()}
    name = "bert.encoder.layers.0.attention.query.weight"
    assert not torch.equal(weights[0][name], weights[10][name])
    run = small_run()
    training = TokenizedCorpus.open(kept / "data" / "training")
    config = minibert.load(kept)[0].config
    start = make_model(run.recipe, config, training, run.seed)
    assert torch.equal(weights[0][name], start.state_dict()[name])
    with pytest.raises(FileNotFoundError, match="snapshots=True"):
        read_snapshots(plain)
    assert pretrain(load_corpus(small_texts()), kept, small_run(), Session(overwrite=True))
    assert not (kept / "snapshots").exists()


def test_data_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    synced = []

    def to_disk(path):
        synced.append((path.relative_to(tmp_path).as_posix(), (tmp_path / "data").exists()))

    monkeypatch.setattr("minibert.training.run_folder.to_disk", to_disk)
    write_data_once(tmp_path, {}, lambda folder: (folder.mkdir(), (folder / "a").touch()))
    assert synced == [("data.writing/a", False), ("data.writing", False), (".", True)]


def test_every_run_is_measured_with_the_same_masks(first_step):
    """Another seed, length or share would make it impossible to compare runs of two versions."""
    _, held_out, tokenizer = open_data(first_step)
    (found,) = held_out_batches(held_out, tokenizer)
    wanted = PackedBatches(held_out, tokenizer, Masking(0.15, 1.0, 0.0), 64, 64, seed=12345)(0)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_a_run_that_was_killed_in_its_first_write_is_begun_again(tmp_path):
    (tmp_path / "run.json.writing").write_text('{"corp')
    (tmp_path / "data.writing").mkdir()
    assert pretrain(load_corpus(small_texts()), tmp_path, small_run(steps=1))


def test_a_resumed_run_goes_on_keeping_snapshots(tmp_path):
    with stopped_in_step(3):
        assert not pretrain(load_corpus(small_texts()), tmp_path, small_run(), snapshots=True)
    assert pretrain(load_corpus(small_texts()), tmp_path, small_run(), Session(resume=True))
    assert list(read_snapshots(tmp_path)) == [0, 10, 12]


def test_snapshots_lie_evenly_on_a_logarithmic_scale():
    assert [s for s in range(31_000) if is_snapshot(s)] == [
        0, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000,
    ]  # fmt: skip
