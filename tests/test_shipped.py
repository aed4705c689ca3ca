"""The checkpoint that comes with the package: loads, is as good as its card says, and no larger."""

import json
import re
from pathlib import Path

import pytest
import torch
import transformers
from safetensors import safe_open
from torch.testing import assert_close

import minibert
from minibert.data.batches import PackedBatches
from minibert.data.corpora import load_corpus
from minibert.data.masking import EVALUATION_MASKING
from minibert.data.tokenized_corpora import write_tokens
from minibert.files import SHIPPED
from minibert.model import IGNORE_INDEX

FOLDER = SHIPPED["mini"]
MEASURED = json.loads((FOLDER / "measured.json").read_text("utf-8"))


@pytest.fixture
def docs(monkeypatch):
    """The scripts in `docs`, which made it, can be imported."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "docs"))


def test_it_is_small():
    file = FOLDER / "model.safetensors"
    assert file.stat().st_size <= 16e6
    with safe_open(file, "pt") as weights:
        names = weights.keys()
        assert {weights.get_slice(name).get_dtype() for name in names} == {"F16"}


def test_it_guesses_as_well_as_was_measured(tmp_path):
    """On speeches that it never saw, from the texts anew. They are there without `make data`."""
    model, tokenizer = minibert.load("mini")
    _, held_out = load_corpus("sotu").split()
    corpus = write_tokens(held_out, tokenizer, tmp_path)
    rows, length = 64, MEASURED["length"]
    batches = PackedBatches(corpus, tokenizer, EVALUATION_MASKING, rows, length, seed=12345)
    right = []
    for step in range(MEASURED["rows"] // rows):
        batch = batches(step)
        asked = batch["labels"] != IGNORE_INDEX  # (B, T)
        with torch.no_grad():
            guesses = model(batch["input_ids"]).prediction_logits.argmax(-1)
        right.append(((guesses == batch["labels"]) & asked).sum(1) / asked.sum(1))
    source = MEASURED["sources"]["sotu"]  # which has one speech more
    assert torch.cat(right).mean().item() == pytest.approx(source["mini"], abs=source["±"])


def test_it_beats_counting_on_every_source():
    for name, source in MEASURED["sources"].items():
        assert source["mini"] - source["±"] > source["neighbours"], name


@torch.no_grad()
def test_its_second_task_was_trained():
    """Sentences about different things do not follow each other."""
    model, tokenizer = minibert.load("mini")
    first = ["The king led his army against the town."] * 2
    second = ["The battle lasted until night.", "A triangle is a figure with three angles."]
    inputs = tokenizer(first, second, return_tensors="pt")
    follows, random = model(**inputs).seq_relationship_logits.softmax(-1)[:, 0]
    assert follows > 0.5 > random


def test_its_card_says_what_was_measured(docs, tmp_path):
    """The card is the one that the script writes from the numbers, and its picture is described."""
    from mini_card import write_card

    for name in ("config.json", "run.json", "history.jsonl", "model.safetensors"):
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    write_card(tmp_path, MEASURED)
    card = (FOLDER / "README.md").read_text("utf-8")
    assert card == (tmp_path / "README.md").read_text("utf-8")
    for description, file in re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", card):
        assert len(description) > 30 and (FOLDER / file).exists()


def test_transformers_reads_it():
    model, tokenizer = minibert.load("mini")
    theirs = transformers.BertForPreTraining.from_pretrained(FOLDER, dtype=torch.float32).eval()
    inputs = tokenizer(["The cat [MASK]."], ["It sat on the mat."], return_tensors="pt")
    with torch.no_grad():
        ours, wanted = model(**inputs), theirs(**inputs)
    assert_close(ours.prediction_logits, wanted.prediction_logits, rtol=1e-5, atol=1e-4)
    assert_close(ours.seq_relationship_logits, wanted.seq_relationship_logits, rtol=1e-5, atol=1e-4)


def test_an_unknown_name_says_what_there_is(tmp_path):
    with pytest.raises(FileNotFoundError, match="not a directory"):
        minibert.load(tmp_path / "nothing")
