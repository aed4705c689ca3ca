"""Files that commands write are whole or not there, and a second try works."""

import csv
import errno
import json
import os
import stat
from pathlib import Path

import pytest
import torch
from command import run

from minibert.cli.predict import _write_csv
from minibert.config import BertConfig
from minibert.heads import BertForSequenceClassification
from minibert.model import BertForPreTraining, BertModel
from minibert.tokenizer import SPECIAL_TOKENS, BertTokenizer

FAULTS = [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
TOKENIZER = BertTokenizer([*SPECIAL_TOKENS, "a", "b", "."])


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Small models of random weights: one that guesses words, and one that classifies."""
    folder = tmp_path_factory.mktemp("models")
    config = BertConfig(
        vocab_size=TOKENIZER.vocab_size, hidden_size=8, num_hidden_layers=1,
        num_attention_heads=1, intermediate_size=8, max_position_embeddings=32,
    )  # fmt: skip
    torch.manual_seed(0)
    BertForPreTraining(config).save_pretrained(folder / "words", TOKENIZER)
    classifier = BertForSequenceClassification.from_bert(BertModel(config))
    classifier.save_pretrained(folder / "classes", TOKENIZER)
    (folder / "rows.jsonl").write_text('{"text": "a b"}\n{"text": "=1+1"}\n', encoding="utf-8")
    return folder


def commands(models, place):
    """Commands that write, each with a method that runs when a part is written already."""
    return {
        "attention": (
            ("attention", models / "words", "a b", "-o", place / "page.html"),
            "minibert.viz.style.Picture.png",
        ),
        "predict": (
            ("predict", models / "classes", "--data", models / "rows.jsonl", "-o", place / "a.csv"),
            "minibert.cli.predict._write_csv",
        ),
        "export": (
            ("export", models / "words", place / "out"),
            "minibert.tokenizer.BertTokenizer.save",
        ),
        "export vectors": (
            ("export", models / "words", place / "out", "--sentence-transformers"),
            "minibert.tokenizer.BertTokenizer.save",
        ),
    }


@pytest.mark.parametrize("fault", FAULTS, ids=["a full disk", "Ctrl-C"])
@pytest.mark.parametrize("name", ["attention", "predict", "export", "export vectors"])
def test_what_fails_leaves_nothing_in_the_way(models, tmp_path, monkeypatch, name, fault):
    arguments, part = commands(models, tmp_path)[name]

    def fail(first, *rest):
        for argument in (first, *rest):
            if isinstance(argument, os.PathLike) and not os.path.isdir(argument):
                with open(argument, "w") as stream:
                    stream.write("half")
        raise fault

    with monkeypatch.context() as patched:
        patched.setattr(part, fail)
        run(*arguments, expect=130 if isinstance(fault, KeyboardInterrupt) else 2)
    assert list(tmp_path.iterdir()) == []
    run(*arguments)
    assert not [path for path in tmp_path.rglob("*") if "writing" in path.name]


def test_what_fails_leaves_what_was_there(models, tmp_path, monkeypatch):
    for name in ("page.html", "page.png", "a.csv"):
        (tmp_path / name).write_text("mine")
    for name in ("attention", "predict"):
        arguments, part = commands(models, tmp_path)[name]
        with monkeypatch.context() as patched:
            patched.setattr(part, lambda *_: 1 / 0)
            run(*arguments, "--overwrite", expect=1)
    assert (tmp_path / "a.csv").read_text() == "mine"
    assert (tmp_path / "page.png").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"page.html", "page.png", "a.csv"}


def test_an_empty_folder_may_be_exported_into_and_others_not(models, tmp_path):
    (tmp_path / "out").mkdir()
    run("export", models / "words", tmp_path / "out")
    before = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert {"config.json", "model.safetensors", "vocab.txt"} <= set(before)
    assert "not empty" in run("export", models / "words", tmp_path / "out", expect=2)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == before


def test_a_folder_that_was_there_stays(models, tmp_path, monkeypatch):
    """A shell that is in it sees what is written, and finds it empty after what fails."""
    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.chdir(out)
    with monkeypatch.context() as patched:
        patched.setattr("minibert.tokenizer.BertTokenizer.save", lambda *_: 1 / 0)
        run("export", models / "words", ".", expect=1)
    assert os.listdir(".") == [] and os.listdir(out) == []
    run("export", models / "words", ".", "--sentence-transformers")
    assert {"config.json", "1_Pooling"} <= {*os.listdir(".")} and os.listdir("1_Pooling")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("was_there", [False, True])
def test_a_folder_is_not_left_with_some_of_its_files(models, tmp_path, monkeypatch, was_there):
    """Stopped when some have moved to their place, and some have not."""
    if was_there:
        (tmp_path / "out").mkdir()
    rename, moved = Path.rename, []

    def stop_at_the_third(path, target):
        moved.append(rename(path, target))
        if len(moved) == 3:
            raise KeyboardInterrupt
        return target

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", stop_at_the_third)
        run("export", models / "words", tmp_path / "out", expect=130)
    assert len(moved) == 3 and not list((tmp_path / "out").glob("*"))
    assert [path.name for path in tmp_path.iterdir()] == ["out"] * was_there
    run("export", models / "words", tmp_path / "out")


def test_what_a_killed_export_left_is_in_nobodys_way(models, tmp_path):
    left = tmp_path / "out.writing"
    (left / "1_Pooling").mkdir(parents=True)
    (left / "config.json").write_text("{")
    run("export", models / "words", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert not (tmp_path / "out" / "1_Pooling").exists()


def test_a_picture_that_is_there_is_not_replaced_by_a_page_beside_it(models, tmp_path):
    (tmp_path / "page.png").write_text("mine")
    shown = run("attention", models / "words", "a b", "-o", tmp_path / "page.html", expect=2)
    assert "page.png exists already" in shown
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"page.png": b"mine"}


@pytest.mark.skipif(os.name == "nt", reason="modes of a POSIX system")
def test_modes_are_what_the_umask_says(models, tmp_path):
    earlier = os.umask(0o027)
    try:
        for name in ("attention", "predict"):
            run(*commands(models, tmp_path)[name][0])
    finally:
        os.umask(earlier)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(("page.html", "page.png", "a.csv"), 0o640)


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("+1+cmd", "'+1+cmd"),
        ("-2+3", "'-2+3"),
        ("@SUM(1)", "'@SUM(1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("＝1", "'＝1"),
        ("-2", "-2"),
        ("+1.5e-3", "+1.5e-3"),
        ("a=b", "a=b"),
        ("", ""),
        (-0.5, "-0.5"),
        (["-a"], '["-a"]'),
    ],
)
def test_no_cell_of_a_csv_file_is_a_formula(tmp_path, cell, written):
    _write_csv([{"text": cell, "=prediction": cell}], tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as stream:
        header, row = csv.reader(stream)
    assert header == ["text", "'=prediction"] and row == [written, written]


def test_formulas_stay_in_jsonl(models, tmp_path):
    """It is for programs, which compute nothing."""
    out = tmp_path / "a.jsonl"
    run("predict", models / "classes", "--data", models / "rows.jsonl", "-o", out)
    assert [json.loads(line)["text"] for line in out.read_text().splitlines()] == ["a b", "=1+1"]
