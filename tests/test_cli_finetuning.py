"""`minibert finetune`, `predict` and `glue` as a user types them, and what they refuse."""

import csv
import json
import re
import shutil

import pytest
import torch
from click.testing import CliRunner
from command import run
from hostile import HOSTILE_TOKENS
from toy_tasks import COLOURS, TOKENIZER, small_bert, toy

from minibert.cli import main
from minibert.cli.finetuning_options import choose_seeds
from minibert.data.labelled_rows import KINDS
from minibert.data.tasks import TASKS
from minibert.finetuning.predict import predict
from minibert.finetuning.task_heads import load_finetuned
from minibert.heads import BertForQuestionAnswering, BertForSequenceClassification

FAST = ("--epochs", 1, "--seeds", 1, "--max-length", 16, "--batch-size", 16)


@pytest.fixture(scope="module")
def body(tmp_path_factory):
    """A small BERT of random weights."""
    out = tmp_path_factory.mktemp("body")
    small_bert().save_pretrained(out, TOKENIZER)
    return out


def write(file, rows):
    """As `.jsonl`, or as `.csv` where the name says so."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return file
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return file


def rows_of(kind, number=60):
    data = toy(kind, train=number, validation=0, test=0)
    return [{**row, "text": f"{row['text']} {i}"} if "text" in row else row
            for i, row in enumerate(data.train)]  # fmt: skip


@pytest.fixture(scope="module")
def finetuned(body, tmp_path_factory):
    """For each kind a folder of `minibert finetune`, and the file it learned from."""
    folder = tmp_path_factory.mktemp("finetuned")
    places = {}
    for kind in KINDS:
        out, file = folder / kind, write(folder / f"{kind}.jsonl", rows_of(kind))
        shown = run("finetune", body, "--data", file, "-o", out, *FAST, "--kind", kind)
        places[kind] = (out, file, shown)
    return places


def test_tasks_are_listed():
    shown = run("finetune", "--tasks")
    assert [line.split()[0] for line in shown.splitlines()] == list(TASKS)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_stand_beside_baselines_and_shares_of_labels_are_told(finetuned, kind):
    out, _, shown = finetuned[kind]
    result = json.loads((out / "results.json").read_text())
    for name in result["scores"]:
        assert f"  {name}  " in shown
    for part in ("train", "validation", "test"):
        assert f"{part}: " in shown
    if kind == "classification":
        train = next(line for line in shown.splitlines() if line.startswith("train: "))
        assert all(re.search(rf"{colour} \d+\.\d%", train) for colour in COLOURS)
    assert f"minibert predict {out}" in shown
    assert max(map(len, shown.split("On the ")[1].splitlines())) <= 90 + len(str(out))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_answers_to_a_file_are_the_packages(finetuned, tmp_path, kind, suffix):
    out, file, _ = finetuned[kind]
    answers = tmp_path / "deep" / f"answers{suffix}"
    assert f"60 answers in {answers}" in run("predict", out, "--data", file, "-o", answers)
    model, tokenizer = load_finetuned(out)
    want = predict(model, tokenizer, rows_of(kind), 16)
    if suffix == ".jsonl":
        got = [json.loads(line) for line in answers.read_text().splitlines()]
        assert [row["prediction"] for row in got] == [p.answer for p in want]
        assert [row["probability"] for row in got] == [p.probability for p in want]
    else:
        with answers.open(newline="") as stream:
            got = list(csv.DictReader(stream))
        as_text = lambda x: json.dumps(x) if isinstance(x, list) else str(x)
        assert [row["prediction"] for row in got] == [as_text(p.answer) for p in want]


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_printed(finetuned, kind):
    out, file, _ = finetuned[kind]
    assert len(run("predict", out, "--data", file).splitlines()) == 60
    if kind in ("question-answering", "multiple-choice"):
        assert "give its rows with --data" in run("predict", out, "red", expect=2)
        return
    shown = run("predict", out, "one red two", "blue").splitlines()
    assert len(shown) == 2
    assert "red" in shown[0] and "blue" in shown[1]
    assert ("%" in shown[0]) == (kind in ("classification",)) or kind == "multi-label"


def test_the_same_command_goes_on_and_other_options_do_not(finetuned, body):
    out, file, shown = finetuned["classification"]
    same = ("finetune", body, "--data", file, "-o", out, *FAST)
    before = (out / "model.safetensors").read_bytes()
    assert "--resume continues it" in run(*same, expect=2)
    assert run(*same, "--resume", "--kind", "classification").split("On the ")[1] in shown
    changed = ("finetune", body, "--data", file, "-o", out, "--resume")
    assert "epochs was 1.0, now 3.0" in run(*changed, expect=2)
    for option, says in (("--dropout=0.5", "dropout was 0.1, now 0.5"), ("--rows=20", "rows was")):
        assert says in run(*same, "--resume", option, expect=2)
    assert (out / "model.safetensors").read_bytes() == before


def test_a_quick_look_is_one_seed(body, tmp_path):
    file = write(tmp_path / "rows.jsonl", rows_of("classification", 80))
    start = ("finetune", body, "--data", file, *FAST[:2], *FAST[4:])  # without --seeds
    few = run(*start, "--rows", 20, "-o", tmp_path / "few")
    assert "One seed, because --rows 20 is a quick look" in few and "--seeds 3 shows" in few
    quick = run(*start, "--quick", "-o", tmp_path / "quick")
    assert "Seed 1 of 1" in few and "Seed 1 of 1" in quick and "One seed, because" not in quick
    asked = run(*start, "--rows", 20, "--seeds", 2, "-o", tmp_path / "asked")
    assert "Seed 2 of 2" in asked and "One seed, because" not in asked
    assert "Seed 3 of 3" in run(*start, "-o", tmp_path / "whole")
    both = run(*start, "--quick", "--seeds", 2, "-o", tmp_path / "both", expect=2)
    assert "either --quick or --seeds" in both and not (tmp_path / "both").exists()


@pytest.mark.parametrize(("rows", "seeds"), [(499, 1), (500, 3), (None, 3)])
def test_few_rows_are_fewer_than_the_help_says(rows, seeds):
    assert "1 with --quick or --rows below 500" in " ".join(run("finetune", "--help").split())
    options = {"seeds": None, "quick": False, "rows": rows}
    assert list(choose_seeds(options)) == list(range(seeds))


def test_the_rate_is_the_bodys_unless_one_is_given(finetuned, body, tmp_path):
    out, file, shown = finetuned["classification"]
    assert "learning rate 0.001." in shown
    assert json.loads((out / "finetuning.json").read_text())["lr"] == 1e-3
    run("finetune", body, "--data", file, "-o", tmp_path, *FAST, "--lr", 0.02)
    assert json.loads((tmp_path / "finetuning.json").read_text())["lr"] == 0.02


def read_jsonl(file):
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def decided(tmp_path_factory):
    """A classifier of random weights whose answers depend strongly on the words."""
    folder = tmp_path_factory.mktemp("decided")
    torch.manual_seed(0)
    model = BertForSequenceClassification.from_bert(small_bert(initializer_range=0.5))
    model.save_pretrained(folder, TOKENIZER)
    return folder


def test_texts_are_cut_where_they_were_in_training(decided, tmp_path):
    """At 16 tokens, which are 14 words between [CLS] and [SEP]."""
    model = shutil.copytree(decided, tmp_path / "model")
    (model / "finetuning.json").write_text('{"max_length": 16}')
    ones, data, out = 14 * ["one"], tmp_path / "long.jsonl", tmp_path / "a.jsonl"
    texts = [[*ones, "red", "red"], [*ones, "blue", "no"], [*ones[1:], "red"]]
    write(data, [{"text": " ".join(words)} for words in texts])
    run("predict", model, "--data", data, "-o", out)
    first, second, third = (row["probability"] for row in read_jsonl(out))
    assert first == pytest.approx(second, abs=1e-6) and abs(first - third) > 1e-4


def test_columns_may_have_other_names(decided, tmp_path):
    """The same answers as under the usual names, and others without the second text."""
    pairs = [("red one", "blue two"), ("red one", "green three"), ("yes", "south north")]
    found = {}
    for names in (("text", "text_pair"), ("review", "answer to it"), ("text", "ignored")):
        data = write(tmp_path / "in.csv", [dict(zip(names, pair, strict=True)) for pair in pairs])
        options = ("--text", names[0], "--text-pair", names[1]) if names[0] == "review" else ()
        out = tmp_path / "out.jsonl"
        run("predict", decided, "--data", data, *options, "-o", out, "--overwrite")
        found[names] = [row["probability"] for row in read_jsonl(out)]
    usual, others, without = found.values()
    assert usual == others and len({*usual}) == 3 and len({*without}) == 2


def test_hostile_texts_and_labels_stay_text(body, tmp_path):
    """A formula, markup, an order to the terminal: what is read is what is written."""
    texts = ["=HYPERLINK(1)", "@SUM(1)", "a\x1b[2Jb\nc", *HOSTILE_TOKENS]
    labels = ("=1+1", "<b>\x1b[31m")
    rows = [{"text": f"{text} {i}", "label": labels[i % 2]} for i, text in enumerate(texts * 2)]
    file, out = write(tmp_path / "in.csv", rows), tmp_path / "out"
    in_colour = lambda *arguments: CliRunner().invoke(main, list(map(str, arguments)), color=True)
    shown = in_colour("finetune", body, "--data", file, "-o", out, *FAST).stdout
    assert "[31m" in shown and "\x1b" not in shown
    answers = tmp_path / "answers.csv"
    run("predict", out, "--data", file, "-o", answers)
    with answers.open(newline="", encoding="utf-8") as stream:
        got = list(csv.DictReader(stream))
    assert [row["text"].removeprefix("'") for row in got] == [
        row["text"].removeprefix("'") for row in rows
    ]
    assert not any(row["text"].startswith(("=", "@")) for row in got)
    assert {row["prediction"] for row in got} <= {"'=1+1", labels[1]}
    shown = in_colour("predict", out, "--data", file).stdout
    assert "[2J" in shown and "\x1b" not in shown and len(shown.splitlines()) == len(rows)


def test_a_leak_is_told_in_a_line(body, tmp_path):
    for part in ("train", "dev", "test"):
        write(tmp_path / "data" / f"{part}.jsonl", rows_of("classification", 20))
    shown = run("finetune", body, "--data", tmp_path / "data", "-o", tmp_path / "out", *FAST)
    notes = [line for line in shown.splitlines() if line.startswith("Note: ")]
    assert any("20 of 20 rows of test are in train too" in note for note in notes)
    assert "UserWarning" not in shown


def test_what_numbers_are_taken_for_stands_on_the_screen(body, tmp_path):
    rows = [{"text": f"red {i}", "label": i % 25} for i in range(100)]
    file = write(tmp_path / "numbers.csv", rows)
    shown = run("finetune", body, "--data", file, "-o", tmp_path / "out", *FAST)
    (note,) = [line for line in shown.splitlines() if line.startswith("Note: ")]
    assert "25 different whole numbers" in note and "--kind classification" in note


GOOD = [{"text": f"red {i}", "label": "ab"[i % 2]} for i in range(30)]
NUMBERS = [{"text": f"red {i}", "label": i + 0.5} for i in range(30)]
FILES = {
    "good.csv": GOOD,
    "nolabel.csv": [{"text": row["text"], "stars": 1} for row in GOOD],
    "notext.csv": [{"review": row["text"], "label": row["label"]} for row in GOOD],
    "empty.jsonl": [*GOOD[:3], {"text": " ", "label": "a"}, *GOOD[3:]],
    "one.csv": [{**row, "label": "a"} for row in GOOD],
    "nan.csv": [*NUMBERS[:2], {"text": "x", "label": "nan"}, *NUMBERS[2:]],
    "inf.csv": [*NUMBERS[:2], {"text": "x", "label": "inf"}, *NUMBERS[2:]],
    "same.csv": [{**row, "label": 1.5} for row in NUMBERS],
    "few.csv": GOOD[:4],
    "parts/train.csv": GOOD,
    "parts/test.csv": [{"text": "new", "label": "c"}],
}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--data", "nolabel.csv"], "nolabel.csv, line 2: there is no column 'label'; there are"),
        (["--data", "notext.csv"], "no column 'text'; there are 'review', 'label'"),
        (["--data", "good.csv", "--text", "review"], "no column 'review'"),
        (["--data", "good.csv", "--kind", "emotion"], "there is no kind 'emotion'"),
        (["--data", "empty.jsonl"], "empty.jsonl, line 4: 'text' is empty"),
        (["--data", "one.csv"], "there is no label but 'a' to train on"),
        (["--data", "nan.csv", "--kind", "regression"], "line 4: the target 'nan' is not a finite"),
        (["--data", "inf.csv", "--kind", "regression"], "line 4: the target 'inf' is not a finite"),
        (["--data", "same.csv", "--kind", "regression"], "every target to train on is 1.5"),
        (["--data", "parts"], "test.csv, line 2: the label 'c' is not in the training rows"),
        (["--data", "few.csv"], "too few to hold some out"),
        (["--data", "blank.csv"], "blank.csv is empty"),
        (["--data", "broken.jsonl"], "broken.jsonl, line 2 is not JSON"),
        (["--data", "latin.csv"], "latin.csv is not UTF-8"),
        (["--data", "table.xlsx"], "give a .csv, .tsv or .jsonl file"),
        (["--data", "nowhere.csv"], "there is no file or folder nowhere.csv"),
        (["--task", "sotu-weather"], "there is no task 'sotu-weather'"),
        (["--task", "sotu-year", "--label", "year"], "--label is for --data"),
        (["--task", "sotu-year", "--kind", "regression"], "--kind is for --data"),
        (["--task", "sotu-year", "--text", "a"], "--text is for --data"),
        (["--task", "sotu-year", "--text-pair", "a"], "--text-pair is for --data"),
        (["--task", "sotu-year", "--document", "a"], "--document is for --data"),
        (["--task", "sotu-year", "--data", "good.csv"], "either --task or --data"),
        ([], "either --task or --data"),
        (["--data", "good.csv", "--epochs", "0"], "epochs must be a number above 0"),
        (["--data", "good.csv", "--epochs", "nan"], "epochs must be a number above 0"),
        (["--data", "good.csv", "--lr", "-1"], "lr must be a number above 0"),
        (
            ["--data", "good.csv", "--lr", "1e30"],
            "not finite: try a lower learning rate",
        ),
        (
            ["--data", "good.csv", "--layer-decay", "2"],
            "layer_decay must be a number",
        ),
        (["--data", "good.csv", "--resume"], "there is no run in out to resume"),
        (["--data", "good.csv", "--rows", "1"], "1"),
    ],
)
def test_finetune_says_in_a_line_what_is_wrong(arguments, says, body, tmp_path, monkeypatch):
    for name, rows in FILES.items():
        write(tmp_path / name, rows)
    (tmp_path / "blank.csv").write_text("\n")
    (tmp_path / "broken.jsonl").write_text('{"text": "a", "label": "b"}\n{"text":\n')
    (tmp_path / "latin.csv").write_bytes(b"text,label\ncaf\xe9,a\n")
    (tmp_path / "table.xlsx").write_bytes(b"PK")
    monkeypatch.chdir(tmp_path)
    options = [] if "--epochs" in arguments else FAST
    shown = run("finetune", body, *arguments, "-o", "out", *options, expect=2)
    assert says in shown.splitlines()[-1]
    assert not (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{classifier}"], "either texts or --data"),
        (["{classifier}", "red", "--data", "good.csv"], "either texts or --data"),
        (["{classifier}", " "], "a text is empty"),
        (["{classifier}", "--data", "nowhere.csv"], "there is no file nowhere.csv"),
        (["{classifier}", "--data", "blank.csv"], "blank.csv is empty"),
        (["{classifier}", "--data", "header.csv"], "has a header and no rows"),
        (["{classifier}", "--data", "other.csv"], "no column 'text'; there are 'review'"),
        (["{classifier}", "--data", "good.csv", "-o", "out.txt"], "must end in .csv or .jsonl"),
        (["{classifier}", "--data", "good.csv", "-o", "there.csv"], "exists already"),
        (["{body}", "red"], "without a head that answers: fine-tune it first"),
        (["mini", "red"], "without a head that answers: fine-tune it first"),
        (["nowhere/at/all", "red"], "nowhere/at/all"),
        (["{questions}", "--data", "good.csv"], "no column 'question'"),
    ],
)
def test_predict_says_in_a_line_what_is_wrong(arguments, says, body, tmp_path, monkeypatch):
    torch.manual_seed(0)
    bert = small_bert()
    BertForSequenceClassification.from_bert(bert).save_pretrained(tmp_path / "c", TOKENIZER)
    BertForQuestionAnswering.from_bert(bert).save_pretrained(tmp_path / "q", TOKENIZER)
    write(tmp_path / "good.csv", GOOD)
    write(tmp_path / "other.csv", [{"review": "red"}])
    (tmp_path / "blank.csv").write_text("")
    (tmp_path / "header.csv").write_text("text\n")
    (tmp_path / "there.csv").write_text("mine")
    monkeypatch.chdir(tmp_path)
    places = {"classifier": "c", "questions": "q", "body": body}
    assert says in run("predict", *(a.format(**places) for a in arguments), expect=2)
    assert (tmp_path / "there.csv").read_text() == "mine"


def test_glue_in_small(body, tmp_path):
    for name in ("SST-2", "RTE"):
        columns = ("sentence",) if name == "SST-2" else ("sentence1", "sentence2")
        for stem, first, last in (("train", 0, 30), ("dev", 30, 40)):
            names = ("entailment", "not_entailment") if name == "RTE" else ("0", "1")
            lines = [[*(f"red {c} {i}" for c in columns), names[i % 2]] for i in range(first, last)]
            file = tmp_path / "GLUE" / name / f"{stem}.tsv"
            file.parent.mkdir(parents=True, exist_ok=True)
            text = ["\t".join(line) for line in [(*columns, "label"), *lines]]
            file.write_text("\n".join(text))
    given = ("glue", body, "-o", tmp_path / "out", "--data", tmp_path / "GLUE", *FAST)
    shown = run(*given, "--tasks", "sst2,rte")
    table = (tmp_path / "out" / "glue.md").read_text()
    assert table in shown
    assert [line.split()[1] for line in table.splitlines()[2:]] == ["sst2", "rte", "average"]
    assert table in run(*given, "--tasks", "sst2,rte", "--resume")
    assert "GLUE has no task 'snli'" in run(*given, "--tasks", "sst2,snli", expect=2)
    assert "has no folder cola" in run(*given, expect=2)
    assert "--resume continues it" in run(*given, "--tasks", "rte", expect=2)
    other = ("--tasks", "rte", "--rows", 20, "--dropout", 0.3, "--overwrite")
    assert "rte: 20 training rows." in run(*given, *other)
    config = json.loads((tmp_path / "out" / "rte" / "config.json").read_text())
    assert config["hidden_dropout_prob"] == 0.3
