"""Labelled texts: a task from a file, a folder, or a dataset of the hub."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from minibert.data.hub import HUB, read_hub
from minibert.data.labelled_rows import (
    USUAL_COLUMNS,
    Columns,
    as_label,
    as_number,
    find_columns,
    infer_kind,
    label_column,
    read_row,
)
from minibert.data.splits import TaskData, checked, three_parts
from minibert.data.tables import Placed, Row, read_folder, read_rows, shown
from minibert.files import listed


def load_data(
    source: str | Path, kind: str | None = None, columns: Columns = USUAL_COLUMNS, seed: int = 0
) -> TaskData:
    """A task from a file, a folder, or a dataset of the Hugging Face hub.

    - a `.csv`, `.tsv` or `.jsonl` file: one group in ten becomes validation, and one in ten the
      test. A group is a document if there is a column for it, and otherwise the rows with the same
      text, so no text is both trained on and tested on. The same seed gives the same split.
    - a folder with files named train, validation (or dev) and test. If only one of them is held
      out, it is the test, and validation is taken from train as above.
    - `"hf:NAME"` or `"hf:NAME:CONFIG"`: the splits of a dataset of the hub.

    `kind` is one of `KINDS`. Without it, columns named words and tags, question and context, or
    text and choices decide. Otherwise labels that are lists mean multi-label, numbers that are not
    whole or have more than 20 values mean regression, and all other labels mean classification. A
    warning says how whole numbers were taken if they could be either.

    `columns` names the columns that have unusual names. Columns named text_pair and document are
    used if there are any.

    Raises `FileNotFoundError` if there is no such source, `ImportError` without the library
    `datasets`, and `ValueError`, with file and line, for data that nothing can be learned from.
    Warns of texts that are in two parts.
    """
    name, label_names = str(source), None
    if name.startswith(HUB):
        parts, label_names = read_hub(name.removeprefix(HUB), columns.label or label_column(kind))
    else:
        path = Path(source).expanduser()
        if not path.exists():
            raise FileNotFoundError(f"there is no file or folder {path}")
        name = path.name
        parts = read_folder(path) if path.is_dir() else {"train": read_rows(path)}
    return from_parts(name, parts, kind, columns, label_names, seed)


def read_unlabelled(source: str | Path, kind: str, columns: Columns = USUAL_COLUMNS) -> list[Row]:
    """The rows of a file without their targets, which the file may have or not."""
    rows = read_rows(Path(source).expanduser())
    names = find_columns(kind, rows, columns)
    del names["label"]
    return [read_row(kind, place, raw, names) for place, raw in rows]


def from_parts(
    name: str,
    parts: Mapping[str, Sequence[Placed]],
    kind: str | None = None,
    columns: Columns = USUAL_COLUMNS,
    label_names: Sequence[str] | None = None,
    seed: int = 0,
) -> TaskData:
    """A task from the rows of tables: "train", and perhaps "validation" and "test".

    `label_names` are the names of numbered labels, in order, as in `datasets`. A label of -1 is
    hidden, so its row is left out.
    """
    if label_names:
        column = columns.label or label_column(kind)
        label_names = [as_label(name, each) for each in label_names]
        parts = {part: _named(rows, column, label_names) for part, rows in parts.items()}
    parts = {part: rows for part, rows in parts.items() if rows}
    if "train" not in parts:
        raise ValueError(f"{name} has no labelled rows to train on")
    if kind is None:
        kind = infer_kind(name, parts["train"], columns.label or "label")
    names = find_columns(kind, parts["train"], columns)
    rows = {
        part: [(place, read_row(kind, place, raw, names)) for place, raw in placed]
        for part, placed in parts.items()
    }
    return checked(name, kind, three_parts(name, kind, rows, seed), label_names)


def _named(rows: Iterable[Placed], column: str, names: Sequence[str]) -> list[Placed]:
    def name(place: str, value: Any) -> Any:
        if isinstance(value, list):
            return [name(place, each) for each in value]
        if isinstance(value, str) and as_label(place, value) in names:
            return as_label(place, value)
        number = as_number(value)
        if number is None or not number.is_integer() or not 0 <= number < len(names):
            raise ValueError(
                f"{place}: the label {shown(value)} is not one of {listed(map(shown, names))}"
            )
        return names[int(number)]

    hidden = (-1, "-1", None)
    return [
        (place, {**raw, column: name(place, raw[column])})
        for place, raw in rows
        if raw.get(column) not in hidden
    ]
