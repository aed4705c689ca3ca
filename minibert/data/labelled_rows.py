"""A labelled row: read from the columns of a table, and checked.

A row is a dictionary. Its fields depend on the kind of the task:

- classification: "text", perhaps "text_pair", and "label" (a name)
- multi-label: the same, but "label" is a list of names, which may be empty
- regression: the same, but "label" is a number
- tagging: "words", and as many "tags"
- question-answering: "question", "context" and "answers", a list of {"text", "start"}. The start
  counts characters of the context. The list is empty if the context does not answer the question
- multiple-choice: "text", "choices" and "label" (the place of the right choice, from 0)

Any row may have a "document", the name of the document that it comes from.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minibert.data.tables import Placed, Row, count, shown
from minibert.files import listed


@dataclass(frozen=True)
class Columns:
    """The names of a table's columns. None is the usual name, as in the rows above."""

    text: str | None = None
    """A row's first text, question or words."""
    text_pair: str | None = None
    """A row's second text, context or choices."""
    label: str | None = None
    document: str | None = None


USUAL_COLUMNS = Columns()
_COLUMNS = {
    "classification": ("text", "text_pair", "label"),
    "multi-label": ("text", "text_pair", "label"),
    "regression": ("text", "text_pair", "label"),
    "tagging": ("words", None, "tags"),
    "question-answering": ("question", "context", "answers"),
    "multiple-choice": ("text", "choices", "label"),
}
KINDS = tuple(_COLUMNS)


def label_column(kind: str | None) -> str:
    """The usual name of the column with the target."""
    return _COLUMNS[kind][2] if kind in _COLUMNS else "label"


MOST_NUMBERED_CLASSES = 20
"""Labels with more different whole numbers are taken as amounts."""


def infer_kind(name: str, rows: Sequence[Placed], label: str) -> str:
    """The kind that fits the columns and labels. Warns if whole numbers could be another kind."""
    there = rows[0][1].keys()
    for kind in ("tagging", "question-answering"):
        if {column for column in _COLUMNS[kind] if column} <= there:
            return kind
    if {"text", "choices"} <= there:
        return "multiple-choice"
    values = [raw.get(label) for _, raw in rows]
    if any(isinstance(value, list) for value in values):
        return "multi-label"
    numbers = [as_number(value) for value in values]
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


def find_columns(kind: str, rows: Sequence[Placed], given: Columns) -> dict[str, str]:
    """The columns to read, {"text": "review", "label": "stars"}: those given, or the usual ones.

    "text_pair" and "document" are in it only if there is something to read.
    """
    if kind not in KINDS:
        raise ValueError(f"there is no kind {kind!r}: {', '.join(KINDS)}")
    text, text_pair, label = _COLUMNS[kind]
    there = rows[0][1].keys()
    if text_pair not in there and kind not in ("question-answering", "multiple-choice"):
        text_pair = None
    found = {
        "text": given.text or text,
        "text_pair": given.text_pair or text_pair,
        "document": given.document or ("document" if "document" in there else None),
        "label": given.label or label,
    }
    return {role: name for role, name in found.items() if name}


def read_row(kind: str, place: str, raw: Row, columns: Mapping[str, str]) -> Row:
    """A row as this module's docstring describes it, without a target if `columns` has no label.

    Raises `ValueError` with the place.
    """
    for name in columns.values():
        if name not in raw:
            raise ValueError(
                f"{place}: there is no column {shown(name)}; there are {listed(map(shown, raw))}"
            )

    def text(role: str) -> str:
        return _text(place, columns[role], raw[columns[role]])

    def words(role: str, separator: str | None = None) -> list[str]:
        return _words(place, columns[role], raw[columns[role]], separator)

    row: Row
    if kind == "tagging":
        row = {"words": words("text")}
    elif kind == "question-answering":
        row = {"question": text("text"), "context": text("text_pair")}
    elif kind == "multiple-choice":
        row = {"text": text("text"), "choices": words("text_pair", "|")}
        if len(row["choices"]) < 2:
            raise ValueError(f"{place}: there is only one choice, and there must be two or more")
    else:
        row = {role: text(role) for role in ("text", "text_pair") if role in columns}
    if "document" in columns:
        row["document"] = _text(place, columns["document"], str(raw[columns["document"]]))
    if "label" in columns:
        target = {"tagging": "tags", "question-answering": "answers"}.get(kind, "label")
        row[target] = _target(kind, place, row, raw[columns["label"]])
    return row


def _target(kind: str, place: str, row: Row, value: Any) -> Any:
    if kind == "classification":
        return as_label(place, value)
    if kind == "multi-label":
        return [as_label(place, each) for each in _list(value, "|")]
    if kind == "regression":
        number = as_number(value)
        if number is None or not math.isfinite(number):
            raise ValueError(f"{place}: the target {shown(value)} is not a finite number")
        return number
    if kind == "tagging":
        tags = [as_label(place, each) for each in _list(value)]
        if len(tags) != len(row["words"]):
            raise ValueError(
                f"{place}: {count(len(row['words']), 'word')} and {count(len(tags), 'tag')}"
            )
        return tags
    if kind == "question-answering":
        return _answers(place, row["context"], value)
    number = as_number(value)
    if number is None or not number.is_integer() or not 0 <= number < len(row["choices"]):
        raise ValueError(
            f"{place}: the label {shown(value)} is none of the {len(row['choices'])} choices, "
            "which count from 0"
        )
    return int(number)


def _answers(place: str, context: str, value: Any) -> list[Row]:
    """A list of {"text", "start"}, or SQuAD's {"text": [...], "answer_start": [...]}."""
    if isinstance(value, str):
        try:
            value = json.loads(value or "[]")
        except (ValueError, RecursionError):
            raise ValueError(f"{place}: the answers are not JSON: {shown(value)}") from None
    try:
        if isinstance(value, dict):
            pairs = list(zip(value["text"], value["answer_start"], strict=True))
        else:
            pairs = [(answer["text"], answer["start"]) for answer in value or []]
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            f"{place}: the answers are not a list of {{text, start}}: {shown(value)}"
        ) from None
    for text, start in pairs:
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{place}: an answer is empty; give [] for a question without answer")
        if type(start) is not int or start < 0 or not context.startswith(text, start):
            raise ValueError(
                f"{place}: the answer {shown(text)} is not at character {shown(start)} of the "
                "context"
            )
    return [{"text": text, "start": start} for text, start in pairs]


_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def _text(place: str, name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{place}: {shown(name)} is not text: {shown(value)}")
    if not value.strip():
        raise ValueError(f"{place}: {shown(name)} is empty")
    if _LONE_SURROGATE.search(value):
        raise ValueError(f"{place}: {shown(name)} has half a surrogate pair, which is no character")
    return value


def _words(place: str, name: str, value: Any, separator: str | None = None) -> list[str]:
    words = [_text(place, name, word) for word in _list(value, separator)]
    if not words:
        raise ValueError(f"{place}: {shown(name)} is empty")
    return words


def _list(value: Any, separator: str | None = None) -> list[Any]:
    """A list, or the items of a text, which is a JSON list or has separators."""
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


_WHOLE = re.compile(r"-?[0-9]{1,15}\.0+")
"""A whole number as some tables write it: 3.0."""


def as_label(place: str, value: Any) -> str:
    """A label's name: 3 and 3.0 are one label, and so is an accent in NFC and NFD."""
    is_nan = isinstance(value, float) and not math.isfinite(value)
    if not isinstance(value, str | int | float) or is_nan or not str(value).strip():
        what = "empty" if value is None or value == "" else shown(value)
        raise ValueError(f"{place}: the label is {what}")
    text = unicodedata.normalize("NFC", _text(place, "label", str(value)).strip())
    return str(int(text.split(".")[0])) if _WHOLE.fullmatch(text) else text


def as_number(value: Any) -> float | None:
    """A number or its digits as a float, and None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def row_labels(kind: str, row: Row) -> list[str]:
    """The labels or tags of a row, by name."""
    if kind == "classification":
        return [row["label"]]
    return row["label"] if kind == "multi-label" else row["tags"] if kind == "tagging" else []


def reads(row: Row) -> str:
    """All that a model reads of a row, without case and spacing, to find duplicates."""
    texts = [row.get(name, "") for name in ("text", "text_pair", "question", "context")]
    texts += [" ".join(row.get("words", ())), *row.get("choices", ())]
    return "\n".join(" ".join(text.casefold().split()) for text in texts)
