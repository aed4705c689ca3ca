"""Tables: rows by column, each with its place for errors, out of files and datasets of the hub."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from minibert.files import read_text

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
                f"{place}: {count(len(fields), 'field')} where the header has {len(names)}"
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


def count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
