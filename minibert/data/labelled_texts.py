"""Labelled texts: files read into rows, rows checked and split into train, validation and test.

A row is a dictionary. What it holds depends on the kind of the task; each may have a "document",
the name of what it was taken from:

- classification: "text", perhaps "text_pair", "label" (a name)
- multi-label: the same, "label" a list of names, which may be empty
- regression: the same, "label" a number
- tagging: "words" and as many "tags"
- question-answering: "question", "context", "answers", a list of {"text", "start"} with the start
  in characters of the context; no answers: the context does not answer the question
- multiple-choice: "text", "choices", "label" (the place of the right one, from 0)
"""

from __future__ import annotations

import csv
import io
import json
import math
import random
import re
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from minibert.files import read_text

KINDS = (
    "classification",
    "multi-label",
    "regression",
    "tagging",
    "question-answering",
    "multiple-choice",
)
SUFFIXES = (".csv", ".tsv", ".jsonl")
PART_NAMES: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
"""What the files of a folder are called, without their suffix."""

Row = dict[str, Any]
Placed = tuple[str, Row]
"""A row and where it stands, for errors: ("train.csv, line 7", {...})."""


@dataclass(frozen=True)
class TaskData:
    """A task: its rows in three parts. `labels` is () for all but classes and tags."""

    name: str
    kind: str
    labels: tuple[str, ...]
    train: list[Row]
    validation: list[Row]
    test: list[Row]


def take(data: TaskData, rows: int | None, seed: int = 0) -> TaskData:
    """The task with so many of its training rows, drawn at random, and all the others."""
    if rows is None or rows >= len(data.train):
        return data
    drawn = random.Random(seed).sample(data.train, rows)
    if len({str(label) for row in drawn for label in row_labels(data.kind, row)}) < len(
        data.labels
    ):
        raise ValueError(f"among {rows} rows of {data.name} not every label stands: take more")
    return replace(data, train=drawn)


class Columns(NamedTuple):
    """The columns that hold a row: its first text, its second or its choices, what is learnt."""

    text: str
    text_pair: str | None
    label: str
    document: str | None


def load_data(
    source: str | Path,
    kind: str | None = None,
    *,
    text: str | None = None,
    text_pair: str | None = None,
    label: str | None = None,
    document: str | None = None,
    seed: int = 0,
) -> TaskData:
    """A task from a file, a folder, or a name of the library `datasets`.

    - a `.csv`, `.tsv` or `.jsonl` file: one group in ten becomes validation, one in ten test.
      A group is a document, where there is a column for it, else the rows with the same text, so
      that no text is learnt and asked for. The same seed gives the same split.
    - a folder with files named train, validation (or dev) and test: taken as they are. Where only
      one of them is held out, it is the test, and validation is taken from train as above.
    - `"hf:NAME"` or `"hf:NAME:CONFIG"`: the splits of a dataset of the Hugging Face hub.

    `kind` is one of `KINDS`. Where it is not told, columns named words and tags, question and
    context, or text and choices say it; else labels that are lists mean multi-label, numbers that
    are not whole or have more than 20 values mean regression, and all others classification.
    Where whole numbers could be either, a warning says what they were taken for.
    `text`, `text_pair` and `label` name the columns where they are not called as in a row: of
    questions, `text_pair` is the context, of multiple choice it is the choices. Columns text_pair
    and document are used where there are such.

    Raises `FileNotFoundError` where there is nothing, `ImportError` where `datasets` is not
    installed, and `ValueError`, naming the file and the line, for what cannot be learnt from.
    Warns of texts that stand in two parts.

    Labels that look alike are one: 1 and 1.0, and an accent however it is encoded (NFC and NFD).
    """
    given = (text, text_pair, label, document)
    if str(source).startswith("hf:"):
        parts, names = read_hub(str(source)[3:], label or _label_column(kind))
        return from_parts(str(source), parts, kind, *given, label_names=names, seed=seed)
    path = Path(source).expanduser()
    if path.is_dir():
        return from_parts(path.name, read_folder(path), kind, *given, seed=seed)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file or folder {path}")
    return from_parts(path.name, {"train": read_rows(path)}, kind, *given, seed=seed)


def read_unlabelled(
    source: str | Path, kind: str, text: str | None = None, text_pair: str | None = None
) -> list[Row]:
    """The rows of a file without what is to be predicted, whether the file has it or not."""
    rows = read_rows(Path(source).expanduser())
    columns = _columns(kind, rows, text, text_pair, None, None)
    return [_row(kind, place, raw, columns, labelled=False) for place, raw in rows]


# --- files -------------------------------------------------------------------------------------


def read_folder(
    folder: Path,
    names: Mapping[str, tuple[str, ...]] = PART_NAMES,
    header: Sequence[str] | None = None,
) -> dict[str, list[Placed]]:
    """The rows of each part that a folder has a file for. `header`: as for `read_rows`."""
    parts = {}
    for part, stems in names.items():
        paths = [folder / f"{stem}{suffix}" for stem in stems for suffix in SUFFIXES]
        files = [path for path in paths if path.is_file()]
        if len(files) > 1:
            raise ValueError(
                f"{folder} has two files for {part}: {files[0].name} and {files[1].name}"
            )
        if files:
            parts[part] = read_rows(files[0], header)
    if "train" not in parts:
        raise FileNotFoundError(
            f"{folder} has no file for train: {', '.join(f'train{s}' for s in SUFFIXES)}"
        )
    return parts


def read_rows(path: Path, header: Sequence[str] | None = None) -> list[Placed]:
    """The rows of a `.csv`, `.tsv` or `.jsonl` file by column, each with its place.

    A `.csv` is separated by commas, semicolons or tabs, whichever its first line has, or by what
    Excel's line `sep=;` names; fields may be quoted. Columns without a name are dropped. In a
    `.tsv` a quotation mark is a character like any other. `header` names the columns of a file that
    does not.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: give a .csv, .tsv or .jsonl file")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    content = read_text(path)
    if not content.strip():
        raise ValueError(f"{path} is empty")
    read = _jsonl if path.suffix.lower() == ".jsonl" else _table
    rows = list(read(path, content, header))
    if not rows:
        raise ValueError(f"{path} has a header and no rows")
    return rows


def _jsonl(path: Path, content: str, _: Sequence[str] | None) -> Iterator[Placed]:
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{path.name}, line {number}"
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", error)
            raise ValueError(f"{place} is not JSON: {reason}") from None
        if not isinstance(values, dict):
            raise ValueError(f"{place} is not a JSON object: a row is {{column: value, ...}}")
        yield place, values


def _table(path: Path, content: str, header: Sequence[str] | None) -> Iterator[Placed]:
    records = _records(path, content)
    place, first = (f"{path.name}, line 1", list(header)) if header else next(records, ("", []))
    names = [name.strip() for name in first]
    if twice := [name for number, name in enumerate(names) if name and name in names[:number]]:
        raise ValueError(f"{place}: the column {twice[0]!r} is there twice")
    for place, fields in records:
        if len(fields) != len(names):
            raise ValueError(
                f"{place}: {_count(len(fields), 'field')} where the header has {len(names)}"
                + ("" if path.suffix == ".tsv" else "; a field that holds a separator needs quotes")
            )
        yield place, {name: field for name, field in zip(names, fields, strict=True) if name}


def _records(path: Path, content: str) -> Iterator[tuple[str, list[str]]]:
    """The fields of each record that is not blank, with the line where it begins."""
    limit = csv.field_size_limit()
    csv.field_size_limit(max(limit, len(content)))  # no field of this file is too long
    try:
        yield from _fields(path, content)
    finally:
        csv.field_size_limit(limit)


def _fields(path: Path, content: str) -> Iterator[tuple[str, list[str]]]:
    begins = 1
    if path.suffix.lower() == ".tsv":
        lines = csv.reader(io.StringIO(content, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        if named := _EXCELS_SEPARATOR.match(content):
            content, begins, delimiter = content[named.end() :], 2, named[1]
        else:
            first_line = content.lstrip().splitlines()[:1]
            fields_by = lambda mark: len(next(csv.reader(first_line, delimiter=mark)))
            delimiter = max(",;\t", key=fields_by)
        lines = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    before = begins - 1  # lines that the reader does not see
    while True:
        place = f"{path.name}, line {begins}"
        try:
            fields = next(lines, None)
        except csv.Error as error:
            raise ValueError(f"{place}: {error} (is a quotation mark left open?)") from None
        if fields is None:
            return
        if any(field.strip() for field in fields):
            yield place, fields
        begins = before + lines.line_num + 1


_EXCELS_SEPARATOR = re.compile(r"sep=([^\w\s\"]|\t)\r?\n", re.IGNORECASE)


def read_hub(
    name: str, label: str, names: Mapping[str, tuple[str, ...]] = PART_NAMES
) -> tuple[dict[str, list[Placed]], list[str] | None]:
    """The parts of a dataset of the hub, and the names of its labels where they are numbered."""
    try:
        from datasets import load_dataset
    except ImportError:
        raise ImportError(
            f"to load {name!r} from the hub, install the library datasets: "
            "pip install 'minibert[datasets]'"
        ) from None
    path, _, config = name.partition(":")
    splits = load_dataset(path, config or None)
    parts = {
        part: place_rows(f"{name} {split}", splits[split])
        for part, stems in names.items()
        for split in stems
        if split in splits
    }
    if "train" not in parts:
        raise ValueError(f"the dataset {name} has no split train; it has {', '.join(splits)}")
    feature = splits["train"].features.get(label)
    feature = getattr(feature, "feature", feature)  # of a list of labels
    return parts, getattr(feature, "names", None)


def place_rows(name: str, rows: Iterable[Row]) -> list[Placed]:
    """Rows that come from no file, each with its place, from 1."""
    return [(f"{name}, row {number}", dict(row)) for number, row in enumerate(rows, start=1)]


# --- rows --------------------------------------------------------------------------------------

_COLUMNS = {
    "classification": ("text", "text_pair", "label"),
    "multi-label": ("text", "text_pair", "label"),
    "regression": ("text", "text_pair", "label"),
    "tagging": ("words", None, "tags"),
    "question-answering": ("question", "context", "answers"),
    "multiple-choice": ("text", "choices", "label"),
}


def from_parts(
    name: str,
    parts: Mapping[str, Sequence[Placed]],
    kind: str | None = None,
    text: str | None = None,
    text_pair: str | None = None,
    label: str | None = None,
    document: str | None = None,
    *,
    label_names: Sequence[str] | None = None,
    seed: int = 0,
) -> TaskData:
    """A task from rows as they were read: "train", and perhaps "validation" and "test".

    `label_names` are the names of labels that are numbers, as in `datasets`, in this order. A
    label of -1 stands for one that is kept hidden: such rows are left out.
    """
    if label_names:
        column = label or _label_column(kind)
        label_names = [_label(name, each) for each in label_names]
        parts = {part: _named(rows, column, label_names) for part, rows in parts.items()}
    parts = {part: rows for part, rows in parts.items() if rows}
    if "train" not in parts:
        raise ValueError(f"{name} has no labelled rows to train on")
    if kind is None:
        kind = _infer_kind(name, parts["train"], label or "label")
    columns = _columns(kind, parts["train"], text, text_pair, label, document)
    rows = {
        part: [(place, _row(kind, place, raw, columns, labelled=True)) for place, raw in placed]
        for part, placed in parts.items()
    }
    return checked(name, kind, _three_parts(name, kind, rows, seed), label_names)


def _label_column(kind: str | None) -> str:
    return _COLUMNS[kind][2] if kind in _COLUMNS else "label"


def _named(rows: Iterable[Placed], column: str, names: Sequence[str]) -> list[Placed]:
    def name(place: str, value: Any) -> Any:
        if isinstance(value, list):
            return [name(place, each) for each in value]
        if isinstance(value, str) and _label(place, value) in names:
            return _label(place, value)
        number = _number(value)
        if number is None or not number.is_integer() or not 0 <= number < len(names):
            raise ValueError(f"{place}: the label {value!r} is not one of {_some(names)}")
        return names[int(number)]

    hidden = (-1, "-1", None)
    return [
        (place, {**raw, column: name(place, raw[column])})
        for place, raw in rows
        if raw.get(column) not in hidden
    ]


MOST_NUMBERED_CLASSES = 20


def _infer_kind(name: str, rows: Sequence[Placed], label: str) -> str:
    """The kind that columns and labels say; warns where whole numbers could be another."""
    there = rows[0][1].keys()
    for kind in ("tagging", "question-answering"):
        if {column for column in _COLUMNS[kind] if column} <= there:
            return kind
    if {"text", "choices"} <= there:
        return "multiple-choice"
    values = [raw.get(label) for _, raw in rows]
    if any(isinstance(value, list) for value in values):
        return "multi-label"
    numbers = [_number(value) for value in values]
    known = [number for number in numbers if number is not None]
    if len(known) < len(numbers):
        return "classification"
    if not all(number.is_integer() for number in known):
        return "regression"
    several = len(set(known))
    kind, other = "classification", "regression"
    if several > MOST_NUMBERED_CLASSES:
        kind, other = other, kind
    if several > 2:
        meant = "names of classes" if kind == "regression" else "amounts"
        warnings.warn(
            f"{name}: the labels are {several} different whole numbers, taken as {kind}: up to "
            f"{MOST_NUMBERED_CLASSES} count as classes; if they are {meant}, give --kind {other}",
            stacklevel=4,
        )
    return kind


def _columns(
    kind: str,
    rows: Sequence[Placed],
    text: str | None,
    text_pair: str | None,
    label: str | None,
    document: str | None,
) -> Columns:
    if kind not in KINDS:
        raise ValueError(f"there is no kind {kind!r}: {', '.join(KINDS)}")
    usual_text, usual_pair, usual_label = _COLUMNS[kind]
    there = rows[0][1].keys()
    needs_pair = kind in ("question-answering", "multiple-choice")
    if usual_pair in there or needs_pair:
        text_pair = text_pair or usual_pair
    if "document" in there:
        document = document or "document"
    return Columns(text or usual_text, text_pair, label or usual_label, document)


def _row(kind: str, place: str, raw: Row, columns: Columns, labelled: bool) -> Row:
    """A row as the module's head describes it. Raises `ValueError` with the place."""
    wanted = [columns.text, columns.text_pair, columns.document]
    for name in [*wanted, columns.label] if labelled else wanted:
        if name is not None and name not in raw:
            there = ", ".join(repr(there) for there in raw)
            raise ValueError(f"{place}: there is no column {name!r}; there are {there}")
    row: Row = {}
    value = raw[columns.text]
    if kind == "tagging":
        row["words"] = _words(place, columns.text, value)
    elif kind == "question-answering":
        row["question"] = _text(place, columns.text, value)
        row["context"] = _text(place, columns.text_pair, raw[columns.text_pair])
    else:
        row["text"] = _text(place, columns.text, value)
        if kind == "multiple-choice":
            row["choices"] = _words(place, columns.text_pair, raw[columns.text_pair], "|")
            if len(row["choices"]) < 2:
                raise ValueError(f"{place}: a choice is between two or more")
        elif columns.text_pair:
            row["text_pair"] = _text(place, columns.text_pair, raw[columns.text_pair])
    if columns.document:
        row["document"] = _text(place, columns.document, str(raw[columns.document]))
    if labelled:
        target = "tags" if kind == "tagging" else "answers" if "question" in row else "label"
        row[target] = _target(kind, place, row, raw[columns.label])
    return row


def _target(kind: str, place: str, row: Row, value: Any) -> Any:
    if kind == "classification":
        return _label(place, value)
    if kind == "multi-label":
        return [_label(place, each) for each in _list(value, "|")]
    if kind == "regression":
        number = _number(value)
        if number is None or not math.isfinite(number):
            raise ValueError(f"{place}: the target {value!r} is not a finite number")
        return number
    if kind == "tagging":
        tags = [_label(place, each) for each in _list(value)]
        if len(tags) != len(row["words"]):
            raise ValueError(
                f"{place}: {_count(len(row['words']), 'word')} and {_count(len(tags), 'tag')}"
            )
        return tags
    if kind == "question-answering":
        return _answers(place, row["context"], value)
    number = _number(value)
    if number is None or not number.is_integer() or not 0 <= number < len(row["choices"]):
        raise ValueError(
            f"{place}: the label {value!r} is none of the {len(row['choices'])} choices, "
            "which count from 0"
        )
    return int(number)


def _answers(place: str, context: str, value: Any) -> list[Row]:
    """A list of {"text", "start"}, or SQuAD's {"text": [...], "answer_start": [...]}."""
    if isinstance(value, str):
        try:
            value = json.loads(value or "[]")
        except (ValueError, RecursionError):
            raise ValueError(f"{place}: the answers are not JSON: {value!r:.60}") from None
    try:
        if isinstance(value, dict):
            pairs = list(zip(value["text"], value["answer_start"], strict=True))
        else:
            pairs = [(answer["text"], answer["start"]) for answer in value or []]
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            f"{place}: the answers are not a list of {{text, start}}: {value!r:.60}"
        ) from None
    for text, start in pairs:
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{place}: an answer is empty; a question without one has none: []")
        if type(start) is not int or start < 0 or not context.startswith(text, start):
            raise ValueError(
                f"{place}: the answer {text!r:.60} does not stand at character {start} of the "
                "context"
            )
    return [{"text": text, "start": start} for text, start in pairs]


_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def _text(place: str, name: str | None, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{place}: {name!r} is not text: {value!r:.60}")
    if not value.strip():
        raise ValueError(f"{place}: {name!r} is empty")
    if _LONE_SURROGATE.search(value):
        raise ValueError(f"{place}: {name!r} holds half a surrogate pair, which is no character")
    return value


def _words(place: str, name: str | None, value: Any, separator: str | None = None) -> list[str]:
    words = [_text(place, name, word) for word in _list(value, separator)]
    if not words:
        raise ValueError(f"{place}: {name!r} is empty")
    return words


def _list(value: Any, separator: str | None = None) -> list[Any]:
    """A list as it is; text that is a JSON list, or else has its items between separators."""
    if isinstance(value, list):
        return value
    if not isinstance(value, str):
        return [value]
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            pass  # "[" is a word too
    return [item.strip() for item in value.split(separator) if item.strip()]


_WHOLE = re.compile(r"-?[0-9]+\.0+")
"""A whole number as tables write it where other rows have none: 3.0."""


def _label(place: str, value: Any) -> str:
    if not isinstance(value, str | int | float) or not str(value).strip():
        raise ValueError(f"{place}: the label is {'empty' if value in ('', None) else repr(value)}")
    text = unicodedata.normalize("NFC", str(value).strip())
    return str(int(text.split(".")[0])) if _WHOLE.fullmatch(text) else text


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


# --- parts -------------------------------------------------------------------------------------


def _three_parts(
    name: str, kind: str, parts: dict[str, list[Placed]], seed: int
) -> dict[str, list[Placed]]:
    if len(parts) == 3:
        return parts
    train, *held_out = (parts[part] for part in PART_NAMES if part in parts)
    dealt = _deal(name, kind, train, seed, with_test=not held_out)
    return {**dealt, "test": held_out[0]} if held_out else dealt


def _deal(
    name: str, kind: str, rows: list[Placed], seed: int, with_test: bool
) -> dict[str, list[Placed]]:
    """One group in ten for validation, and one for test; the rest to train on.

    Groups that were shuffled are put in the order of their labels, and then every tenth is taken:
    so each label has its share in each part.
    """
    groups: dict[str, list[int]] = {}
    for number, (_, row) in enumerate(rows):
        groups.setdefault(_group(row), []).append(number)
    if len(groups) < 10:
        what = "document" if "document" in rows[0][1] else "different text"
        raise ValueError(
            f"{name} has {_count(len(groups), what)}, too few to hold some out: at least 10, or a "
            "folder with files train, validation and test"
        )
    order = list(groups.values())
    random.Random(seed).shuffle(order)
    order.sort(key=lambda group: _rank(kind, rows[group[0]][1]))
    dealt: dict[str, list[list[int]]] = {"train": [], "validation": [], "test": []}
    for number, group in enumerate(order):
        part = {4: "validation", 9: "test" if with_test else "train"}.get(number % 10, "train")
        dealt[part].append(group)

    def labels(group: list[int]) -> set[str]:
        return {label for number in group for label in row_labels(kind, rows[number][1])}

    # A label that only held-out rows have could not be learnt: they are trained on.
    known = set().union(*map(labels, dealt["train"]))
    for part in ("validation", "test"):
        dealt["train"] += [group for group in dealt[part] if labels(group) - known]
        dealt[part] = [group for group in dealt[part] if not labels(group) - known]
        if not dealt[part] and (part == "validation" or with_test):
            raise ValueError(f"{name}: too many labels are there only once to hold rows out")
    return {
        part: [rows[number] for number in sorted(number for group in groups for number in group)]
        for part, groups in dealt.items()
    }


def _group(row: Row) -> str:
    """What must stay together."""
    if "document" in row:
        return row["document"]
    text = row.get("context") or row.get("text") or " ".join(row["words"])
    return " ".join(text.casefold().split())


def _rank(kind: str, row: Row) -> Any:
    if kind == "regression":
        return row["label"]
    return str(row["label"]) if kind in ("classification", "multi-label") else ""


def row_labels(kind: str, row: Row) -> list[str]:
    """The labels or tags of a row, by name."""
    if kind == "classification":
        return [row["label"]]
    return row["label"] if kind == "multi-label" else row["tags"] if kind == "tagging" else []


def checked(
    name: str,
    kind: str,
    parts: Mapping[str, Sequence[Placed]],
    label_names: Sequence[str] | None = None,
) -> TaskData:
    """A task from three parts of rows that are well-formed, each by itself.

    Raises `ValueError` where there is nothing to tell apart, and for a label that training lacks.
    Warns of texts that stand in two parts.
    """
    labels: tuple[str, ...] = ()
    train = [row for _, row in parts["train"]]
    if kind in ("classification", "multi-label", "tagging"):
        found = {label for row in train for label in row_labels(kind, row)}
        labels = tuple(label_names or sorted(found))
        if len(found) < (1 if kind == "multi-label" else 2):
            only = f" but {min(found)!r}" if found else ""
            raise ValueError(f"{name}: there is no label{only} to train on: nothing to tell apart")
        for place, row in (*parts["validation"], *parts["test"]):
            if unknown := set(row_labels(kind, row)) - set(labels):
                raise ValueError(
                    f"{place}: the label {min(unknown)!r} is not one of those to train on: "
                    f"{_some(labels)}"
                )
    elif kind == "regression" and len({row["label"] for row in train}) < 2:
        raise ValueError(f"{name}: every target to train on is {train[0]['label']}")
    elif kind == "multiple-choice":
        several = len(train[0]["choices"])
        for place, row in (placed for part in parts.values() for placed in part):
            if len(row["choices"]) != several:
                raise ValueError(
                    f"{place}: {len(row['choices'])} choices, where the first row has {several}"
                )
    rows = {part: [row for _, row in placed] for part, placed in parts.items()}
    _warn_of_leaks(name, rows)
    return TaskData(name, kind, labels, rows["train"], rows["validation"], rows["test"])


def reads(row: Row) -> str:
    """All that a model reads of a row, whatever its case and spacing: the same is a duplicate."""
    texts = [row.get(name, "") for name in ("text", "text_pair", "question", "context")]
    texts += [" ".join(row.get("words", ())), *row.get("choices", ())]
    return "\n".join(" ".join(text.casefold().split()) for text in texts)


def _warn_of_leaks(name: str, parts: Mapping[str, list[Row]]) -> None:
    seen = {part: {reads(row) for row in rows} for part, rows in parts.items()}
    for held_out, learnt in (("test", "train"), ("validation", "train"), ("test", "validation")):
        if both := sum(reads(row) in seen[learnt] for row in parts[held_out]):
            warnings.warn(
                f"{name}: {both} of {len(parts[held_out])} rows of {held_out} stand in {learnt} "
                "too: a score on them says little",
                stacklevel=4,
            )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:10]) + (", ..." if len(names) > 10 else "")
