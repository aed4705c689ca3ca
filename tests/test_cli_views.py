"""The commands `attention` and `page`: they write what the package draws, and overwrite nothing."""

import json
import re

import pytest
import torch
from command import run

import minibert
from minibert.heads import (
    BertForMultipleChoice,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
)


def test_attention(model, tmp_path):
    page = tmp_path / "deep" / "page.html"
    run("attention", model, "The <b>cat</b>", "-o", page)
    html = page.read_text("utf-8")
    assert "<b>cat" not in html and "&lt;b&gt;cat" in html
    assert html.count('src="data:image/svg+xml;base64,') == 1
    assert "<script" not in html and "http" not in re.sub(r"base64,[^\"]*|http-equiv", "", html)
    assert page.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    before = page.read_bytes()
    assert "--overwrite" in run("attention", model, "A dog", "-o", page, expect=2)
    assert page.read_bytes() == before
    run("attention", model, "A dog", "-o", page, "--overwrite")
    assert page.read_bytes() != before


@pytest.mark.parametrize(
    "view,shown", [("head", "Head view"), ("model", "Model view"), ("neuron", "Neuron view")]
)
def test_attention_in_other_views(model, tmp_path, view, shown):
    page = tmp_path / "page.html"
    assert run("attention", model, "The cat", "--view", view, "-o", page).strip() == str(page)
    document = page.read_text("utf-8")
    assert f"<title>{shown}" in document and '"cat"' in document
    assert set(tmp_path.iterdir()) == {page}


@pytest.mark.parametrize(
    ("view", "options"),
    [
        ("head", ("--layer", 1, "--head", 0, "--pair", "A dog")),
        ("model", ("--layer", 1, "--head", 0, "--pair", "A dog")),
        ("neuron", ("--layer", 1, "--head", 1, "--pair", "A dog")),
    ],
)
def test_a_view_is_the_packages_with_the_options(model, tmp_path, view, options):
    from minibert.model import load
    from minibert.viz.attention_data import AttentionData
    from minibert.viz.bertviz_views import head_view, model_view, neuron_view

    bert, tokenizer = load(model)
    data = AttentionData.from_model(bert, tokenizer, "The cat", "A dog", queries_and_keys=True)
    made = {
        "head": lambda: head_view(data, layer=1, heads=0),
        "model": lambda: model_view(data, include_layers=1, include_heads=0),
        "neuron": lambda: neuron_view(data, layer=1, head=1),
    }[view]()
    made.save(tmp_path / "expected.html")
    run("attention", model, "The cat", "--view", view, *options, "-o", tmp_path / "page.html")
    assert (tmp_path / "page.html").read_bytes() == (tmp_path / "expected.html").read_bytes()


def test_attention_of_one_head_in_a_pair(model, tmp_path):
    page = tmp_path / "page.html"
    run("attention", model, "The cat", "--pair", "A dog", "--layer", 1, "--head", 0, "-o", page)
    text = page.read_text("utf-8")
    assert "<p>Attention map of layer 1, head 0, over" in text
    assert "Sentence B begins with" in text and "Attention: The cat / A dog" in text


def test_page(model, tmp_path):
    file = tmp_path / "deep" / "bert.html"
    shown = run("page", model, "--text", "The </script> [MASK]", "--pair", "A dog.", "-o", file)
    assert shown.startswith(f"{file}, 0.") and shown.endswith(" MB: open it in a browser\n")
    html = file.read_text("utf-8")
    start = json.loads(html.split('id="start">')[1].split("</script>")[0])
    assert start == {"text": "The </script> [MASK]", "pair": "A dog.", "masked": [], "off": []}
    assert "exists already" in run("page", model, "-o", file, expect=2)
    assert "must end in .html" in run("page", model, "-o", tmp_path / "x.txt", expect=2)
    assert "has no snapshots" in run(
        "page", model, "--snapshots", "-o", tmp_path / "x.html", expect=2
    )
    assert file.read_text("utf-8") == html and not (tmp_path / "x.html").exists()
    assert '"learnedFrom":"It learned from texts' in html
    before = file.stat().st_size
    run("page", model, "--exact", "--overwrite", "-o", file)
    assert file.stat().st_size > before


def test_a_page_says_what_its_model_learned_from(tmp_path):
    run("page", "mini", "-o", tmp_path / "bert.html")
    html = (tmp_path / "bert.html").read_text("utf-8")
    assert "It learned from encyclopedia articles, novels" in html


def test_a_page_of_a_classifier(model, tmp_path):
    torch.manual_seed(0)
    bert, tokenizer = minibert.load(model)
    heads = {
        "classifier": BertForSequenceClassification.from_bert(
            bert.bert, ("no", "yes"), pooling="mean"
        ),
        "tagger": BertForTokenClassification.from_bert(bert.bert, ("no", "yes")),
        "reader": BertForQuestionAnswering.from_bert(bert.bert),
        "chooser": BertForMultipleChoice.from_bert(bert.bert),
        "body": bert.bert,
    }
    for name, made in heads.items():
        made.save_pretrained(tmp_path / name, tokenizer)
    run("page", tmp_path / "classifier", "-o", tmp_path / "yes.html")
    assert '"labels":["no","yes"]' in (tmp_path / "yes.html").read_text("utf-8")
    refused = {
        "tagger": ("labels single tokens", "minibert predict"),
        "reader": ("marks an answer in a text", "minibert predict"),
        "chooser": ("chooses among several texts", "minibert predict"),
        "body": ("no head that guesses masked words", "`pretrain --from` gives them one"),
    }
    for name, (what, instead) in refused.items():
        shown = run("page", tmp_path / name, "-o", tmp_path / "no.html", expect=2)
        assert what in shown and instead in shown
    assert not (tmp_path / "no.html").exists()


def test_a_page_of_a_damaged_classifier_says_what_is_damaged(model, tmp_path):
    """Not that it has no head that guesses words, which it needn't have."""
    bert, tokenizer = minibert.load(model)
    BertForSequenceClassification.from_bert(bert.bert).save_pretrained(tmp_path / "a", tokenizer)
    config = json.loads((tmp_path / "a" / "config.json").read_text("utf-8"))
    (tmp_path / "a" / "config.json").write_text(json.dumps({**config, "pooling": "max"}), "utf-8")
    shown = run("page", tmp_path / "a", "-o", tmp_path / "no.html", expect=2)
    assert "pooling" in shown and "guesses" not in shown
