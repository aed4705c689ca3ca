"""Labelled files: what they hold comes out, and what is wrong with them is named."""

import csv
import json
import os
import sys
import warnings
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_files import CSV, ROWS, everything, jsonl, write

from minibert.data.labelled_rows import KINDS, Columns
from minibert.data.labelled_texts import from_parts, load_data, read_unlabelled
from minibert.data.tables import place_rows, read_rows


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_every_kind_come_out_of_jsonl_as_they_went_in(tmp_path, kind):
    rows = [ROWS[kind](n) | {"document": f"d {n}"} for n in range(40)]
    task = load_data(jsonl(tmp_path / "rows.jsonl", rows))
    assert task.kind == kind
    assert sorted(everything(task), key=str) == sorted(rows, key=str)
    assert task.labels == {"tagging": ("X", "Y")}.get(kind, task.labels)
    assert task.labels == ("x", "y") or kind not in ("classification", "multi-label")


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_every_kind_come_out_of_csv_too(tmp_path, kind):
    rows = [ROWS[kind](n) for n in range(40)]
    with open(tmp_path / "rows.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        for row in rows:
            cells = {k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()}
            writer.writerow(cells)
    task = load_data(tmp_path / "rows.csv", kind)
    assert sorted(everything(task), key=str) == sorted(rows, key=str)


def test_lists_in_cells_as_people_write_them(tmp_path):
    sentences = "".join(f"the cat {n} [sat],D N C V\n" for n in range(10))
    task = load_data(write(tmp_path / "t.csv", "words,tags\n" + sentences))
    assert task.labels == ("C", "D", "N", "V")
    assert {"words": ["the", "cat", "3", "[sat]"], "tags": list("DNCV")} in everything(task)
    topics = "".join(f"text {n},law | the sea\n" for n in range(10))
    task = load_data(write(tmp_path / "m.csv", "text,label\n" + topics), "multi-label")
    assert {"text": "text 3", "label": ["law", "the sea"]} in everything(task)
    choices = write(tmp_path / "c.csv", "text,choices\nWhich?,red | dark blue|green\n")
    assert read_unlabelled(choices, "multiple-choice") == [
        {"text": "Which?", "choices": ["red", "dark blue", "green"]}
    ]


@pytest.mark.parametrize(
    "as_saved",
    [
        lambda text: text,
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace('",', '";').replace("text,", "text;"),
        lambda text: text.replace('",', '"\t').replace("text,", "text\t"),
        lambda text: "\n\n" + text + ",\n\n",
    ],
    ids=["plain", "byte-order mark", "Windows", "semicolons", "tabs", "blank lines"],
)
def test_csv_as_excel_saves_it(tmp_path, as_saved):
    task = load_data(write(tmp_path / "a.csv", as_saved(CSV)))
    assert Counter(row["label"] for row in everything(task)) == {"a": 20, "b": 20}
    assert {row["text"] for row in everything(task)} == {f"Text, number {n}" for n in range(40)}


def test_a_field_may_be_longer_than_the_standard_library_allows(tmp_path):
    """orange3 2404: 131,072 characters are its limit, and it is put back for other readers."""
    before = csv.field_size_limit()
    header = "h" * 150_000
    path = write(tmp_path / "a.csv", f"text,{header}\n{'long ' * 30_000},a\n")
    ((place, row),) = read_rows(path)
    assert place == "a.csv, line 2" and row == {"text": "long " * 30_000, header: "a"}
    tabs = write(tmp_path / "a.tsv", f"text\tlabel\n{'x' * 150_000}\ta\n")
    assert len(read_rows(tabs)[0][1]["text"]) == 150_000
    assert csv.field_size_limit() == before


def test_columns_without_a_name_are_dropped(tmp_path):
    """The header of a well-known file of text messages; the first column of pandas."""
    path = write(tmp_path / "a.csv", "v1,v2,, ,\nham,Hi,x,,\nspam,Buy,,y,\n")
    assert [row for _, row in read_rows(path)] == [
        {"v1": "ham", "v2": "Hi"},
        {"v1": "spam", "v2": "Buy"},
    ]
    path = write(tmp_path / "b.csv", ",text\n0,Hi\n")
    assert read_rows(path) == [("b.csv, line 2", {"text": "Hi"})]


@pytest.mark.parametrize("mark", [";", ",", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_excels_line_that_names_the_separator_is_read(tmp_path, mark, end):
    lines = [f"SEP={mark}", f"text{mark}label", f"a . b{mark}x", ""]
    path = write(tmp_path / "a.csv", "\ufeff" + end.join(lines))
    assert read_rows(path) == [("a.csv, line 3", {"text": "a . b", "label": "x"})]


cell = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=30)


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(cell, cell, cell), min_size=1, max_size=6), st.sampled_from(",;\t"))
def test_csv_holds_any_text_as_the_standard_library_writes_it(tmp_path_factory, rows, delimiter):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows([("one", "two", "three"), *rows])
    there = [row for row in rows if any(field.strip() for field in row)]
    if not there:
        with pytest.raises(ValueError, match="no rows"):
            read_rows(path)
        return
    assert [tuple(row.values()) for _, row in read_rows(path)] == there


def test_a_tsv_has_no_quotes(tmp_path):
    path = write(tmp_path / "a.tsv", 'text\tlabel\n"Stop," he said\ta\nA 5" nail\tb\n')
    assert [row["text"] for _, row in read_rows(path)] == ['"Stop," he said', 'A 5" nail']


def test_the_line_is_where_the_row_begins(tmp_path):
    path = write(tmp_path / "a.csv", 'text,label\n"two\nlines",a\n\nthree,b\n')
    assert [place for place, _ in read_rows(path)] == ["a.csv, line 2", "a.csv, line 5"]


def test_columns_by_other_names(tmp_path):
    rows = [{"a": f"x {n}", "b": f"y {n}", "c": n % 2, "who": f"w {n}"} for n in range(20)]
    path = jsonl(tmp_path / "a.jsonl", rows)
    task = load_data(path, columns=Columns("a", "b", "c", "who"))
    first = min(everything(task), key=lambda row: int(row["text"][2:]))
    assert first == {"text": "x 0", "text_pair": "y 0", "label": "0", "document": "w 0"}
    assert read_unlabelled(path, "classification", Columns("a")) == [
        {"text": f"x {n}"} for n in range(20)
    ]


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        ([0, 1] * 20, "classification"),
        (range(40), "regression"),
        ([0.5, 1] * 20, "regression"),
        (["1", "2", "3", "4", "5"] * 8, "classification"),
        (["1", "2", "3", "4", "?"] * 8, "classification"),
        ([["a"], []] * 20, "multi-label"),
    ],
)
def test_the_kind_is_read_off_the_labels(tmp_path, labels, kind):
    rows = [{"text": f"t {n}", "label": label} for n, label in enumerate(labels)]
    assert load_data(jsonl(tmp_path / "a.jsonl", rows)).kind == kind


@pytest.mark.parametrize(
    ("written", "labels"),
    [
        ([0, 1, 0.0, 1.0], ("0", "1")),
        (["0", "1", "0.0", "1.00"], ("0", "1")),
        ([-1, -1.0, 0.0, -0.0], ("-1", "0")),
        (["caf\u00e9", "cafe\u0301", "bar", " bar "], ("bar", "caf\u00e9")),
        (["1.1", "1.10", "1.1", "1.10"], ("1.1", "1.10")),  # versions, not numbers
        (["9" * 5000 + ".0", "b", "c", "b"], ("9" * 5000 + ".0", "b", "c")),  # no number is so long
    ],
)
def test_labels_that_are_the_same_are_one_class(tmp_path, written, labels):
    rows = [{"text": f"t {n}", "label": written[n % 4]} for n in range(80)]
    task = load_data(jsonl(tmp_path / "a.jsonl", rows), "classification")
    assert task.labels == labels
    both = load_data(
        jsonl(tmp_path / "b.jsonl", [{**row, "label": [row["label"]]} for row in rows])
    )
    assert both.kind == "multi-label" and both.labels == labels


def test_names_of_numbered_labels_are_compared_as_labels_are():
    rows = [{"text": f"t {n}", "label": [0, 1.0, "0", "1.0"][n % 4]} for n in range(40)]
    names = ["cafe\u0301", "bar"]
    task = from_parts("t", {"train": place_rows("t", rows)}, label_names=names)
    assert task.labels == ("caf\u00e9", "bar")
    assert {row["label"] for row in everything(task)} == {"caf\u00e9", "bar"}


@pytest.mark.parametrize(
    ("several", "says"),
    [
        (25, "25 different whole numbers, taken as regression: up to 20 .*; if they .* --kind cl"),
        (
            5,
            "5 different whole numbers, taken as classification: up to 20 .*; .* --kind reg",
        ),
    ],
)
def test_what_numbers_are_taken_for_is_said(tmp_path, several, says):
    rows = [{"text": f"t {n}", "label": n % several} for n in range(100)]
    path = jsonl(tmp_path / "a.jsonl", rows)
    with pytest.warns(UserWarning, match=f"a.jsonl: the labels are {says}"):
        load_data(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_data(path, "regression")
        load_data(write(tmp_path / "a.csv", CSV))
        yes_or_no = [{**row, "label": row["label"] % 2} for row in rows]
        load_data(jsonl(tmp_path / "b.jsonl", yes_or_no))


# --- what is wrong -------------------------------------------------------------------------------

BAD = {
    "a missing column": ("a.csv", CSV.replace("label", "class"), r"line 2: .*'label'.*'class'"),
    "an empty file": ("a.csv", " \n", "is empty"),
    "only a header": ("a.csv", "text,label\n", "no rows"),
    "separators and nothing else": ("a.csv", ",,\n,,\n", "no rows"),
    "a column twice": ("a.csv", "text,text\na,b\n", "'text' is there twice"),
    "not UTF-8": ("a.csv", CSV.encode() + b"caf\xe9,a\n", r"not UTF-8: byte 0xe9 at offset \d+"),
    "a field too many": ("a.csv", CSV + "One, two,a\n", "line 42: 3 fields where .* 2; .*quotes"),
    "a field too few": ("a.tsv", "text\tlabel\nx\n", "line 2: 1 field where the header has 2"),
    "an open quotation mark": ("a.csv", CSV + '"Never closed,a\n' + CSV, "line 42: .*quotation"),
    "an empty text": ("a.csv", CSV + " ,a\n", "line 42: 'text' is empty"),
    "an empty label": ("a.csv", CSV + "Text,\n", "line 42: the label is empty"),
    "one class": ("a.csv", CSV.replace(",b", ",a"), "no label but 'a'"),
    "too few rows": ("a.csv", "text,label\nx,a\ny,b\n", "2 different texts, too few"),
    "another kind of file": ("a.xlsx", "PK", r"give a \.csv, \.tsv or \.jsonl"),
    "not JSON": ("a.jsonl", '{"text": "x", "label": "a"}\n{"text": \n', "line 2 is not JSON"),
    "no object": ("a.jsonl", '{"text": "x", "label": "a"}\n\n[1]\n', "line 3 is not a JSON object"),
    "JSON too deep": ("a.jsonl", "[" * 100_000, "line 1 is not JSON"),
    "a number too long": ("a.jsonl", '{"text": "x", "label": ' + "9" * 5000 + "}", "line 1"),
    "a text that is none": ("a.jsonl", '{"text": 3, "label": "a"}', "line 1: 'text' is not text"),
    "half a character": ("a.jsonl", '{"text": "\\ud800", "label": "a"}', "line 1: .*surrogate"),
    "no label": ("a.jsonl", '{"text": "x", "label": null}', "line 1: the label is empty"),
    "half a label": ("a.jsonl", '{"text": "x", "label": "\\ud800"}', "line 1: 'label' has half"),
    "a label too deep": (
        "a.jsonl",
        '{"text": "x", "label": {"a": ' + "[" * 900 + "]" * 900 + "}}",
        "line 1: the label is",
    ),
    "a label that is an object": ("a.jsonl", '{"text": "x", "label": {"a": 1}}', "line 1: the lab"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_with_a_file_is_said_in_a_line(tmp_path, name):
    file, content, message = BAD[name]
    with pytest.raises(ValueError, match=message) as error:
        load_data(write(tmp_path / file, content))
    assert "\n" not in str(error.value) and file in str(error.value)


BAD_ROWS = {
    "a label that is no number": (
        "classification",
        {"text": "x", "text_pair": "p", "label": float("nan")},
        "the label is nan",
    ),
    "not a number": ("regression", {"text": "x", "label": "3,5"}, "target '3,5' is not a finite"),
    "not-a-number": ("regression", {"text": "x", "label": "NaN"}, "target 'NaN' is not a finite"),
    "infinite": ("regression", {"text": "x", "label": 1e999}, "target inf is not a finite"),
    "no target": ("regression", {"text": "x", "label": None}, "target None is not a finite"),
    "true": ("regression", {"text": "x", "label": True}, "target True is not a finite"),
    "fewer tags": ("tagging", {"words": ["a", "b"], "tags": ["X"]}, "2 words and 1 tag"),
    "no words": ("tagging", {"words": [], "tags": []}, "'words' is empty"),
    "an empty word": ("tagging", {"words": ["a", " "], "tags": ["X", "X"]}, "'words' is empty"),
    "an empty tag": ("tagging", {"words": ["a"], "tags": [""]}, "the label is empty"),
    "a choice too far": (
        "multiple-choice",
        {"text": "x", "choices": ["a", "b"], "label": 2},
        "the label 2 is none of the 2 choices",
    ),
    "a choice before the first": (
        "multiple-choice",
        {"text": "x", "choices": ["a", "b"], "label": -1},
        "the label -1 is none of the 2 choices",
    ),
    "half a choice": (
        "multiple-choice",
        {"text": "x", "choices": ["a", "b"], "label": 0.5},
        "the label 0.5 is none of the 2 choices",
    ),
    "no choice": (
        "multiple-choice",
        {"text": "x", "choices": ["a"], "label": 0},
        "there is only one choice",
    ),
    "more choices": (
        "multiple-choice",
        {"text": "x", "choices": ["a", "b", "c"], "label": 0},
        "3 choices, but the first row has 2",
    ),
    "a shifted answer": (
        "question-answering",
        {"question": "q", "context": "a b c", "answers": [{"text": "b", "start": 1}]},
        "'b' is not at character 1",
    ),
    "an answer from the end": (
        "question-answering",
        {"question": "q", "context": "a b", "answers": [{"text": "b", "start": -1}]},
        "'b' is not at character -1",
    ),
    "an empty answer": (
        "question-answering",
        {"question": "q", "context": "a b", "answers": [{"text": "", "start": 0}]},
        "an answer is empty",
    ),
    "answers without a start": (
        "question-answering",
        {"question": "q", "context": "a b", "answers": ["b"]},
        "not a list of",
    ),
    "no context": (
        "question-answering",
        {"question": "q", "context": "", "answers": []},
        "'context' is empty",
    ),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_what_is_wrong_with_a_row_is_said_with_its_line(tmp_path, name):
    kind, row, message = BAD_ROWS[name]
    path = jsonl(tmp_path / "a.jsonl", [*(ROWS[kind](n) for n in range(12)), row])
    with pytest.raises(ValueError, match=rf"a\.jsonl, line 13: .*{message}"):
        load_data(path, kind)


def test_nothing_and_no_such_kind(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file or folder"):
        load_data(tmp_path / "nowhere.csv")
    with pytest.raises(ValueError, match="no kind 'parsing': classification"):
        load_data(write(tmp_path / "a.csv", CSV), "parsing")
    with pytest.raises(ValueError, match="every target to train on is 1"):
        load_data(write(tmp_path / "b.csv", CSV.replace(",b", ",1").replace(",a", ",1")), KINDS[2])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with a name")
def test_a_pipe_is_no_file_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "train.csv")
    with pytest.raises(FileNotFoundError, match=r"there is no file .*train\.csv"):
        load_data(tmp_path / "train.csv")
    with pytest.raises(FileNotFoundError, match="has no file for train"):
        load_data(tmp_path)


def test_without_the_library_datasets_the_hub_is_out_of_reach(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'minibert\[datasets\]'"):
        load_data("hf:glue:sst2")
