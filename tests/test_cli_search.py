"""The command `search`: the nearest passages with their places, in a terminal that stays whole."""

import pytest
import torch
from click.testing import CliRunner
from command import run

from minibert.cli import main
from minibert.config import BertConfig
from minibert.model import BertModel
from minibert.search.folder import OWN_FOLDER, VECTORS, index_folder
from minibert.tokenizer import SPECIAL_TOKENS, BertTokenizer


@pytest.fixture(scope="module")
def searcher(tmp_path_factory):
    """A body without heads, which is all that a search needs."""
    tokenizer = BertTokenizer([*SPECIAL_TOKENS, *"abcdefghijklmnopqrstuvwxyz."])
    torch.manual_seed(0)
    sizes = dict(hidden_size=16, intermediate_size=16, max_position_embeddings=24)
    config = BertConfig.preset("tiny", vocab_size=tokenizer.vocab_size, **sizes)
    out = tmp_path_factory.mktemp("searcher") / "model"
    bert = BertModel(config).eval()
    bert.save_pretrained(out, tokenizer)
    return out, bert, tokenizer


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "texts"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("A b c.", "utf-8")
    (folder / "deep" / "b.md").write_text("\n\nX y z.", "utf-8")
    return folder


def test_a_question(searcher, folder):
    out, bert, tokenizer = searcher
    shown = run("search", folder, "x y", "--model", out)
    index, passages = index_folder(folder, bert, tokenizer)
    places = {"A b c.": "a.txt:1", "X y z.": "deep/b.md:3"}
    wanted = []
    for hit in index.search("x y"):
        text = passages[hit.number].text
        wanted += [f"{hit.score:5.2f}  {places[text]}", f"       {text}"]
    assert shown.splitlines() == wanted and len(wanted) == 4
    assert run("search", folder, "x y", "--model", out, "--top-k", 1).splitlines() == wanted[:2]
    assert (folder / OWN_FOLDER / VECTORS).exists()


@pytest.mark.parametrize("typed", ["x y\nb\n\nc\n", "x y\nb\n", "x y\nb"])
def test_questions_until_an_empty_line(searcher, folder, tmp_path, typed):
    arguments = ["search", folder, "--model", searcher[0], "--index", tmp_path / "kept"]
    result = CliRunner().invoke(main, list(map(str, arguments)), input=typed)
    assert result.exit_code == 0
    assert result.output == run(*arguments, "x y") + run(*arguments, "b")
    assert not (folder / OWN_FOLDER).exists()


def test_names_and_texts_cannot_control_the_terminal(searcher, folder):
    (folder / "\x1b[2J.txt").write_text("A\x1b]0;owned\x07 \u202eb.", "utf-8")
    (folder / "\x07.txt").write_bytes(b"\xff")
    result = CliRunner().invoke(
        main, ["search", str(folder), "a", "--model", str(searcher[0])], color=True
    )
    assert result.exit_code == 0, result.output
    assert all(char.isprintable() for char in result.output.replace("\n", ""))
    assert r"\x1b[2J.txt:1" in result.output and r"A\x1b]0;owned\x07 \u202eb." in result.output
    assert r"Note: left out:" in result.output and r"\x07.txt is not UTF-8" in result.output


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (["nowhere", "a"], "nowhere is not a folder"),
        ([".", "  "], "the question is empty"),
        ([".", "a"], "holds no text"),
        ([".", "\udcff"], "is not UTF-8"),
        ([".", "a", "--top-k", 0], "--top-k"),
    ],
)
def test_what_cannot_be_searched(searcher, tmp_path, change, says):
    (tmp_path / "deep").mkdir()
    folder, *rest = change
    assert says in run(
        "search", tmp_path / "deep" / folder, *rest, "--model", searcher[0], expect=2
    )
    assert list(tmp_path.rglob("*")) == [tmp_path / "deep"]


def test_errors_of_the_model_and_of_the_index(searcher, folder, tmp_path):
    assert "--model" in run("search", folder, "a", expect=2)
    assert "a, b is not a directory" in run("search", folder, "a", "--model", "a, b", expect=2)
    (tmp_path / "file").write_text("mine", "utf-8")
    shown = run("search", folder, "a", "--model", searcher[0], "--index", tmp_path / "file",
                expect=2)  # fmt: skip
    assert "is a file, not a folder for vectors" in shown
    assert (tmp_path / "file").read_text("utf-8") == "mine"
    run("search", folder, "a", "--model", searcher[0])
    (folder / OWN_FOLDER / VECTORS).write_bytes(b"no")
    assert "delete it" in run("search", folder, "a", "--model", searcher[0], expect=2)
