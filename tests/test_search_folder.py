"""A folder to search: passages and their lines, and vectors that are encoded once."""

import re
import shutil
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save

from minibert.config import BertConfig
from minibert.inference.sentence_vectors import sentence_vectors
from minibert.model import BertModel
from minibert.search import folder as module
from minibert.search.folder import LONGEST, OWN_FOLDER, VECTORS, cut_passages, index_folder
from minibert.tokenizer import SPECIAL_TOKENS, BertTokenizer

TOKENIZER = BertTokenizer([*SPECIAL_TOKENS, *"abcdefghijklmnopqrstuvwxyz.", "##a", "##b"])


def small_bert(seed=0):
    torch.manual_seed(seed)
    sizes = dict(hidden_size=16, intermediate_size=16, max_position_embeddings=24)
    return BertModel(BertConfig.preset("tiny", vocab_size=len(TOKENIZER.tokens), **sizes)).eval()


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "texts"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("A b c.\n\nD e f.", "utf-8")
    (folder / "deep" / "b.md").write_text("# G\nh i j. K l m.\n", "utf-8")
    (folder / "c.csv").write_text("no text", "utf-8")
    (folder / ".hidden.txt").write_text("no text", "utf-8")
    return folder


@pytest.fixture
def encoded(monkeypatch):
    """The texts that are encoded, in the order of the calls."""
    texts = []

    def watched(bert, tokenizer, passages, **how):
        texts.extend(passages)
        return sentence_vectors(bert, tokenizer, passages, **how)

    monkeypatch.setattr(module, "sentence_vectors", watched)
    return texts


def test_a_passage_is_sentences_in_a_row_with_the_line_of_its_first_word():
    rng = np.random.default_rng(0)
    words = [f"w{number}" + "." * (rng.random() < 0.1) for number in range(400)]
    words[7:9] = ["Mr.", "W8"]
    blanks = rng.choice([" ", "\n", "\n\n", "\t \r\n"], 400)
    text = "".join(f"{word}{blank}" for word, blank in zip(words, blanks, strict=True))
    lines = [line.split() for line in text.split("\n")]
    passages = cut_passages(text)
    assert " ".join(passage for _, passage in passages).split() == words
    assert len(passages) > 3
    for line, passage in passages:
        assert passage.split()[0] in lines[line - 1] and len(passage) <= LONGEST


@given(st.text(st.sampled_from("aA. \n\t。'!"), max_size=900), st.integers(0, 900))
def test_no_character_is_lost(text, long):
    text = text + "x" * long
    passages = cut_passages(text)
    assert "".join(passage for _, passage in passages).replace(" ", "") == "".join(text.split())
    assert all(0 < len(passage) <= LONGEST for _, passage in passages)


def test_passages_are_as_long_as_fits():
    """Two in a row would not fit into one, unless the first ends a sentence that was cut."""
    text = " ".join(f"{'Word ' * (5 + number % 9)}ends." for number in range(60))
    passages = [passage for _, passage in cut_passages(text)]
    for first, second in pairwise(passages):
        sentence = re.match(r".*?\.", second)[0]
        assert len(first) + 1 + len(sentence) > LONGEST


def test_an_index_of_a_folder(folder):
    bert = small_bert()
    index, passages = index_folder(folder, bert, TOKENIZER)
    places = [(str(p.file.relative_to(folder)), p.line, p.text) for p in passages]
    assert places == [("a.txt", 1, "A b c. D e f."), ("deep/b.md", 1, "# G h i j. K l m.")]
    wanted = sentence_vectors(bert, TOKENIZER, [p.text for p in passages], normalize=True)
    np.testing.assert_allclose(index.vectors, wanted, atol=1e-6)
    assert index.search("K l m.", 1)[0].number == (wanted @ index.encode(["K l m."])[0]).argmax()


def test_only_what_is_new_or_changed_is_encoded(folder, encoded):
    bert = small_bert()
    index_folder(folder, bert, TOKENIZER)
    assert encoded == ["A b c. D e f.", "# G h i j. K l m."]
    encoded.clear()
    (folder / "a.txt").rename(folder / "z.txt")
    index, passages = index_folder(folder, bert, TOKENIZER)
    assert encoded == [] and [p.file.name for p in passages] == ["b.md", "z.txt"]
    fresh = sentence_vectors(bert, TOKENIZER, [p.text for p in passages], normalize=True)
    np.testing.assert_allclose(index.vectors, fresh, atol=1e-6)
    (folder / "z.txt").write_text("N o.", "utf-8")
    (folder / "new.txt").write_text("P q.", "utf-8")
    index_folder(folder, bert, TOKENIZER)
    assert sorted(encoded) == ["N o.", "P q."]
    encoded.clear()
    index_folder(folder, small_bert(seed=1), TOKENIZER)
    assert len(encoded) == 3  # another model: all of them


def test_vectors_of_texts_that_are_gone_go_too(folder):
    index_folder(folder, small_bert(), TOKENIZER)
    kept = folder / OWN_FOLDER / VECTORS
    with safe_open(kept, "numpy") as vectors:
        assert len(vectors.keys()) == 2
    (folder / "a.txt").unlink()
    index_folder(folder, small_bert(), TOKENIZER)
    with safe_open(kept, "numpy") as vectors:
        assert len(vectors.keys()) == 1
    assert {path.name for path in kept.parent.iterdir()} == {VECTORS, ".lock"}


def test_an_index_elsewhere(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    index_folder(folder, small_bert(), TOKENIZER, tmp_path / "deep" / "kept")
    assert (tmp_path / "deep" / "kept" / VECTORS).exists()
    assert sorted(folder.rglob("*")) == sorted(
        folder / p.relative_to(tmp_path / "copy") for p in (tmp_path / "copy").rglob("*")
    )


def test_what_was_encoded_before_ctrl_c_is_kept(folder, encoded, monkeypatch):
    monkeypatch.setattr(module, "TEXTS_AT_ONCE", 1)
    watched = module.sentence_vectors

    def stopped(bert, tokenizer, passages, **how):
        if encoded:
            raise KeyboardInterrupt
        return watched(bert, tokenizer, passages, **how)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "sentence_vectors", stopped)
        index_folder(folder, small_bert(), TOKENIZER)
    index_folder(folder, small_bert(), TOKENIZER)
    assert encoded == ["A b c. D e f.", "# G h i j. K l m."]  # each once


def test_files_that_cannot_be_read_are_named_and_left_out(folder):
    (folder / "latin.txt").write_bytes("café".encode("latin-1"))
    with pytest.warns(UserWarning, match=r"left out: .*latin\.txt is not UTF-8: byte 0xe9"):
        _, passages = index_folder(folder, small_bert(), TOKENIZER)
    assert len(passages) == 2
    shutil.copy(folder / "latin.txt", folder / "more.txt")
    with pytest.warns(UserWarning, match=r"latin\.txt is not.*\(and 1 more\)"):
        index_folder(folder, small_bert(), TOKENIZER)


def test_what_cannot_be_searched(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        index_folder(tmp_path / "nowhere", small_bert(), TOKENIZER)
    (tmp_path / "blank.txt").write_text(" \n", "utf-8")
    with pytest.raises(ValueError, match=r"holds no text: files that end in \.txt or \.md"):
        index_folder(tmp_path, small_bert(), TOKENIZER)
    assert [path.name for path in tmp_path.iterdir()] == ["blank.txt"]


def test_where_vectors_cannot_be_written(folder, tmp_path, monkeypatch):
    """Root may write anywhere, so the answer of the system is replaced."""
    monkeypatch.setattr(module.os, "access", lambda path, mode: path != folder / OWN_FOLDER)
    with pytest.raises(PermissionError, match=r"\.minibert-search cannot be written to"):
        index_folder(folder, small_bert(), TOKENIZER)
    index_folder(folder, small_bert(), TOKENIZER, tmp_path / "kept")


FOREIGN = save({"x": np.zeros(3)})
"""A file of the same kind that is somebody else's."""


@pytest.mark.parametrize("damage", [b"", b"\xff" * 100, FOREIGN, None])
def test_damaged_vectors_are_named(folder, damage):
    index_folder(folder, small_bert(), TOKENIZER)
    kept = folder / OWN_FOLDER / VECTORS
    kept.write_bytes(kept.read_bytes()[:-8] if damage is None else damage)
    before = kept.read_bytes()
    with pytest.raises(ValueError, match=r"vectors\.safetensors is damaged.*delete it"):
        index_folder(folder, small_bert(), TOKENIZER)
    assert kept.read_bytes() == before


def test_vectors_of_another_shape_are_made_again(folder, encoded):
    """As a file has that was changed by hand."""
    index_folder(folder, small_bert(), TOKENIZER)
    kept = folder / OWN_FOLDER / VECTORS
    with safe_open(kept, "numpy") as vectors:
        made_by = vectors.metadata()
        names = list(vectors.keys())
        changed = {name: vectors.get_tensor(name)[:, :3].copy() for name in names}
    kept.write_bytes(save(changed, made_by))
    encoded.clear()
    index, _ = index_folder(folder, small_bert(), TOKENIZER)
    assert len(encoded) == 2 and index.vectors.shape == (2, 16)
    encoded.clear()
    index_folder(folder, small_bert(), TOKENIZER)
    assert encoded == []
