"""Sentence vectors, and models passed on: what other programs make of the same folder."""

import numpy as np
import pytest
import torch
import transformers
from command import run
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from torch.testing import assert_close
from witnesses import minilm_directory

import minibert
from minibert.inference.sentence_vectors import export_sentence_transformer, sentence_vectors

SENTENCES = [
    "The animal didn't cross the street because it was too tired.",
    "A tired animal.",
    "",
    "Unaffable, 1789: the naïve 北京 reader wrote [PAD] and [SEP].",
    "word " * 700,
]


def test_sentence_vectors_are_sentence_transformers(monkeypatch):
    """Of real weights, padded or one at a time; its folder says to cut at 256 tokens."""
    want = SentenceTransformer(str(minilm_directory()), device="cpu").encode(SENTENCES)
    model = minibert.BertModel.from_pretrained(minilm_directory())
    tokenizer = minibert.BertTokenizer.from_pretrained(minilm_directory())
    for batch_size in (1, 32):
        monkeypatch.setattr("minibert.inference.sentence_vectors.BATCH_SIZE", batch_size)
        got = sentence_vectors(model, tokenizer, SENTENCES, normalize=True, max_length=256)
        assert got.shape == (5, 384) and got.dtype == np.float32
        assert np.abs(got - want).max() < 1e-5


def test_sentence_vectors_leave_a_model_as_it_is():
    model, tokenizer = minibert.load("mini")
    model.bert.embeddings.dropout.p = 0.5
    quiet = sentence_vectors(model, tokenizer, SENTENCES)
    model.train()
    assert np.array_equal(sentence_vectors(model, tokenizer, SENTENCES), quiet)
    assert model.training
    assert sentence_vectors(model, tokenizer, []).shape == (0, 256)


def test_a_model_with_any_head_has_the_vectors_of_its_body():
    model, tokenizer = minibert.load("mini")
    classifier = minibert.BertForSequenceClassification.from_bert(model.bert).eval()
    choice = minibert.BertForMultipleChoice.from_bert(model.bert).eval()
    want = sentence_vectors(model.bert, tokenizer, SENTENCES[:2])
    for other in (model, classifier, choice):
        assert np.array_equal(sentence_vectors(other, tokenizer, SENTENCES[:2]), want)


def test_what_makes_no_sentence_vectors_is_named():
    model, tokenizer = minibert.load("mini")
    for arguments, message in (
        ({"texts": "one"}, "not one string"),
        ({"texts": ["one"], "pooling": "max"}, "one of mean, cls, not 'max'"),
        ({"texts": ["one"], "max_length": 129}, r"2\.\.128"),
        ({"texts": ["one"], "max_length": 1}, r"2\.\.128"),
    ):
        with pytest.raises(ValueError, match=message):
            sentence_vectors(model, tokenizer, **arguments)


# Passed on


@pytest.mark.parametrize(("pooling", "normalize"), [("mean", True), ("cls", False)])
def test_sentence_transformers_loads_what_is_exported(tmp_path, pooling, normalize):
    """The same vectors in both, from a model with heads; what it saves is read here again."""
    model, tokenizer = minibert.load("mini")
    ours = sentence_vectors(model, tokenizer, SENTENCES, pooling, normalize)
    export_sentence_transformer(model, tokenizer, tmp_path / "out", pooling, normalize)
    theirs = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    assert np.abs(theirs.encode(SENTENCES) - ours).max() < 1e-5

    theirs.save(str(tmp_path / "theirs"))
    model = minibert.BertModel.from_pretrained(tmp_path / "theirs")
    tokenizer = minibert.BertTokenizer.from_pretrained(tmp_path / "theirs")
    again = sentence_vectors(model, tokenizer, SENTENCES, pooling, normalize)
    assert np.abs(again - ours).max() < 1e-5


def test_a_text_is_cut_there_where_it_is_cut_here(tmp_path):
    model, tokenizer = minibert.load("mini")
    export_sentence_transformer(model, tokenizer, tmp_path / "out", max_length=16)
    theirs = SentenceTransformer(str(tmp_path / "out"), device="cpu").encode(SENTENCES)
    assert (
        np.abs(theirs - sentence_vectors(model, tokenizer, SENTENCES, max_length=16)).max() < 1e-5
    )
    assert np.abs(theirs - sentence_vectors(model, tokenizer, SENTENCES)).max() > 1e-2


def test_export_from_the_command_line(tmp_path):
    """Heads travel with the plain export; for sentence vectors the body goes alone."""
    shown = run("export", "mini", tmp_path / "plain")
    assert "transformers.AutoModel.from_pretrained" in shown
    names = {p.name for p in (tmp_path / "plain").iterdir()}
    assert names == {"config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json"}
    model, tokenizer = minibert.load("mini")
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "plain").eval()
    inputs = transformers.AutoTokenizer.from_pretrained(tmp_path / "plain")(
        "The [MASK] of the Union", return_tensors="pt"
    )
    with torch.no_grad():
        assert_close(theirs(**inputs).logits, model(**inputs).prediction_logits, rtol=0, atol=1e-4)

    model.bert.pooler = None
    model.bert.save_pretrained(tmp_path / "headless", tokenizer)
    run("export", tmp_path / "headless", tmp_path / "body")
    assert minibert.BertModel.from_pretrained(tmp_path / "body").pooler is None
    vectors = ("--sentence-transformers", "--pooling", "cls", "--normalize", "--max-length", 64)
    run("export", "mini", tmp_path / "vectors", *vectors)
    theirs = SentenceTransformer(str(tmp_path / "vectors"), device="cpu").encode(SENTENCES)
    ours = sentence_vectors(model, tokenizer, SENTENCES, "cls", normalize=True, max_length=64)
    assert np.abs(theirs - ours).max() < 1e-5
    run("export", "mini", tmp_path / "default", "--sentence-transformers")
    theirs = SentenceTransformer(str(tmp_path / "default"), device="cpu").encode(SENTENCES[:2])
    assert np.abs(theirs - sentence_vectors(model, tokenizer, SENTENCES[:2], "mean")).max() < 1e-5


@pytest.mark.parametrize("options", [(), ("--sentence-transformers",)])
def test_an_export_overwrites_nothing(tmp_path, options):
    (tmp_path / "thesis.txt").write_text("years of work")
    for out in (tmp_path, tmp_path / "thesis.txt"):
        assert "choose another folder" in run("export", "mini", out, *options, expect=2)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["years of work"]


def test_an_export_loses_no_head(tmp_path):
    config = transformers.BertConfig(
        vocab_size=8192, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64,
    )  # fmt: skip
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path / "classifier")
    minibert.load("mini")[1].save(tmp_path / "classifier")
    shown = run("export", tmp_path / "classifier", tmp_path / "out", expect=2)
    assert "would be lost: classifier.bias, classifier.weight" in shown
    assert not (tmp_path / "out").exists()
    weights = tmp_path / "classifier" / "model.safetensors"
    more = {f"classifier.{n:03}": torch.zeros(1) for n in range(1000)}
    save_file({**load_file(weights), **more}, weights)
    shown = run("export", tmp_path / "classifier", tmp_path / "out", expect=2)
    assert "classifier.000, classifier.001, " in shown and " and 994 more" in shown
    assert "add --sentence-transformers" in run(
        "export", "mini", tmp_path / "out", "--normalize", expect=2
    )
