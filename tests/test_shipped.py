"""The checkpoint that comes with the package: loads, is as good as its card says, and no larger."""

import json
import re

import pytest
import torch
import transformers
from safetensors import safe_open
from torch.testing import assert_close

import minibert
from minibert.data.corpora import load_corpus
from minibert.data.tokenized_corpora import write_tokens
from minibert.files import SHIPPED
from minibert.pretraining.objectives import PretrainingObjective
from minibert.pretraining.run_data import held_out_batches

FOLDER = SHIPPED["mini-sotu"]
MEASURED = json.loads((FOLDER / "measured.json").read_text("utf-8"))


def test_it_is_small():
    file = FOLDER / "model.safetensors"
    assert file.stat().st_size <= 12e6
    with safe_open(file, "pt") as weights:
        names = weights.keys()
        assert {weights.get_slice(name).get_dtype() for name in names} == {"F16"}


def test_it_guesses_as_well_as_was_measured(tmp_path):
    """On whole speeches that it never saw, from the texts anew."""
    model, tokenizer = minibert.load("mini-sotu")
    _, held_out = load_corpus("sotu").split()
    batches = held_out_batches(write_tokens(held_out, tokenizer, tmp_path), tokenizer)
    objective = PretrainingObjective()
    with torch.no_grad():
        right = sum(float(objective.sums(model, batch)["mlm_accuracy"]) for batch in batches)
    masked = sum(objective.counts(batch)["mlm_accuracy"] for batch in batches)
    assert right / masked == pytest.approx(MEASURED["mini-sotu"], abs=0.002)
    assert MEASURED["mini-sotu"] > MEASURED["neighbours"] + 0.05


def test_its_card_says_what_was_measured():
    card = (FOLDER / "README.md").read_text("utf-8")
    for name in ("mini-sotu", "neighbours", "most_frequent"):
        assert f"{MEASURED[name]:.1%}".replace("%", " %") in card, name
    assert f"sotu {MEASURED['sotu']}" in card
    for picture in re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", card):
        assert len(picture[0]) > 30 and (FOLDER / picture[1]).exists()


def test_transformers_reads_it():
    model, tokenizer = minibert.load("mini-sotu")
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(FOLDER, dtype=torch.float32).eval()
    inputs = tokenizer(["The [MASK] of the Union."], return_tensors="pt")
    with torch.no_grad():
        assert_close(
            model(**inputs).prediction_logits, theirs(**inputs).logits, rtol=1e-5, atol=1e-4
        )


def test_an_unknown_name_says_what_there_is(tmp_path):
    with pytest.raises(FileNotFoundError, match="not a directory"):
        minibert.load(tmp_path / "nothing")
