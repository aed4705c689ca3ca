"""Documents of sentences, and what is held out."""

import hashlib
import os
import sys
import time

import pytest
from small_runs import small_texts

from minibert.data import corpora
from minibert.data.corpora import load_corpus, split_sentences
from minibert.data.shards import prepare


def test_sotu_is_held_out_by_whole_speeches():
    corpus = load_corpus("sotu")
    training, held_out = (list(part) for part in corpus.split())
    everything = list(corpus)
    assert len(everything) == 237
    assert everything[0].name == "sotu 1790 Washington"
    assert everything[0].sentences[0].startswith("Fellow-Citizens of the Senate")
    assert sorted(d.name for d in training + held_out) == sorted(d.name for d in everything)
    assert not {d.sentences for d in training} & {d.sentences for d in held_out}
    assert len(held_out) == 12
    words = sum(len(sentence.split()) for d in everything for sentence in d.sentences)
    assert 1_950_000 < words < 2_100_000  # its own count is 2.02 million


def test_a_folder_is_gone_through_again_and_again(tmp_path):
    (tmp_path / "b.txt").write_text("Second text. It has two sentences.", encoding="utf-8")
    (tmp_path / "a.txt").write_text("\ufeffFirst text.", encoding="utf-8")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "c.txt").write_text("Naïve 北京。", encoding="utf-8")
    (tmp_path / "d.txt").write_text(" \n", encoding="utf-8")
    (tmp_path / "no-text.csv").write_text("x", encoding="utf-8")
    corpus = load_corpus(tmp_path)
    for _ in range(2):
        assert [d.sentences for d in corpus] == [
            ("First text.",),
            ("Second text.", "It has two sentences."),
            ("Naïve 北京。",),
        ]
    training, held_out = corpus.split()
    assert [d.sentences[0] for d in held_out] == ["Second text."]
    assert [d.sentences[0] for d in training] == ["First text.", "Naïve 北京。"]


def test_one_file_and_texts(tmp_path):
    (tmp_path / "one.txt").write_text("A b c.\n\nD e f.", encoding="utf-8")
    (document,) = load_corpus(tmp_path / "one.txt")
    assert document.sentences == ("A b c.", "D e f.")
    for texts in (["One.", "Two."], (text for text in ("One.", "Two."))):
        corpus = load_corpus(texts)
        for _ in range(2):
            assert [d.sentences for d in corpus] == [("One.",), ("Two.",)]


def test_what_cannot_be_a_corpus_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_corpus("nowhere")
    with pytest.raises(ValueError, match=r"no \.txt file"):
        load_corpus(tmp_path)
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(ValueError, match="empty"):
        load_corpus(tmp_path)
    with pytest.raises(ValueError, match="empty"):
        load_corpus([])
    (tmp_path / "latin.txt").write_bytes("caf\u00e9".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin\.txt is not UTF-8: byte 0xe9 at offset 3"):
        list(load_corpus(tmp_path))


@pytest.mark.skipif(sys.platform != "linux", reason="names that are not UTF-8")
def test_a_name_that_is_not_utf_8_is_a_name(tmp_path):
    """Linux allows any bytes but a slash and 0. The checksum is of those bytes."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    file = folder / os.fsdecode(b"\xff.txt")
    file.write_text("One. Two.")
    corpus = load_corpus(folder)
    assert [d.sentences for d in corpus] == [("One.", "Two.")]
    stat = file.stat()
    line = b"%s/\xff.txt %d %d\n" % (os.fsencode(folder), stat.st_size, stat.st_mtime_ns)
    assert corpus.version == hashlib.sha256(line).hexdigest()
    assert prepare(str(folder), tmp_path / "tokens", vocab_size=80) == 1


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Mr. Adams met J. Q. Adams. They spoke.", ["Mr. Adams met J. Q. Adams.", "They spoke."]),
        ("So did I. He left.", ["So did I.", "He left."]),
        ('"Stop." She said no.', ['"Stop."', "She said no."]),
        ("It cost 3.50 in all. e.g. nothing", ["It cost 3.50 in all. e.g. nothing"]),
        ("One line\nof a sentence.\n\nA paragraph", ["One line of a sentence.", "A paragraph"]),
        ("好。是！", ["好。", "是！"]),
        ("", []),
    ],
)
def test_sentences(text, sentences):
    assert split_sentences(text) == sentences


@pytest.mark.parametrize("unit", ["J. ", "No. 5 "])
def test_marks_that_end_no_sentence_take_no_time(unit):
    """Time grows with the length, not its square: 1 second of the processor here, and not 20."""
    text = unit * (1_500_000 // len(unit))
    start = time.process_time()
    assert split_sentences(text) == [text.strip()]
    assert time.process_time() - start < 8


def test_a_folder_of_files_is_taken_in_parts(tmp_path, monkeypatch):
    for number, text in enumerate(small_texts(70)):
        (tmp_path / f"{number:02}.txt").write_text(text, encoding="utf-8")
    whole = list(load_corpus(tmp_path))
    assert len(load_corpus(tmp_path).parts) == 1
    monkeypatch.setattr(corpora, "PART_BYTES", 100)
    corpus = load_corpus(tmp_path)
    assert [len(list(part)) for part in corpus.parts] == [20, 20, 30]
    assert list(corpus) == whole
    training, held_out = corpus.split()
    assert [doc.name for doc in held_out] == [
        str(tmp_path / f"{n:02}.txt") for n in (1, 21, 41, 61)
    ]
    assert len(list(training)) == 66
