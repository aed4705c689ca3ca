"""Tables in files: rows by column, each with its place in the file, for error messages.

The module `csv` reads them, and not pandas, which fills up rows that are too short, accepts a
quotation mark in the wrong place, and cannot say in which line a row begins.
"""

from __future__ import annotations

import csv
import io
import json
import re
import reprlib
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
"""The names of a folder's files, without their suffix."""

Row = dict[str, Any]
Placed = tuple[str, Row]
"""A row and its place: ("train.csv, line 7", {...})."""


def read_folder(
    folder: Path,
    names: Mapping[str, tuple[str, ...]] = PART_NAMES,
    header: Sequence[str] | None = None,
) -> dict[str, list[Placed]]:
    """The rows of each part that a folder has a file for. `header` is passed to `read_rows`."""
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

    A `.csv` is separated by commas, semicolons or tabs, whichever gives its first line the most
    fields, or by the character in Excel's line `sep=;`. Its fields may be quoted. In a `.tsv`,
    quotation marks have no meaning. Columns without a name are dropped. `header` names the columns
    of a file that has no header.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path}: give a .csv, .tsv or .jsonl file")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    content = read_text(path)
    if not content.strip():
        raise ValueError(f"{path} is empty")
    if suffix == ".jsonl":
        rows = list(_jsonl(path.name, content))
    else:
        rows = list(_table(path.name, content, suffix == ".tsv", header))
    if not rows:
        raise ValueError(f"{path} has a header and no rows")
    return rows


def _jsonl(name: str, content: str) -> Iterator[Placed]:
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{name}, line {number}"
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", error)
            raise ValueError(f"{place} is not JSON: {reason}") from None
        if not isinstance(values, dict):
            raise ValueError(f"{place} is not a JSON object: a row is {{column: value, ...}}")
        yield place, values


def _table(name: str, content: str, is_tsv: bool, header: Sequence[str] | None) -> Iterator[Placed]:
    records = _records(name, content, is_tsv)
    place, first = (f"{name}, line 1", list(header)) if header else next(records, ("", []))
    columns = [column.strip() for column in first]
    if twice := [each for number, each in enumerate(columns) if each and each in columns[:number]]:
        raise ValueError(f"{place}: the column {shown(twice[0])} is there twice")
    for place, fields in records:
        if len(fields) != len(columns):
            raise ValueError(
                f"{place}: {count(len(fields), 'field')} where the header has {len(columns)}"
                + ("" if is_tsv else "; a field that holds a separator needs quotes")
            )
        yield (
            place,
            {column: field for column, field in zip(columns, fields, strict=True) if column},
        )


def _records(name: str, content: str, is_tsv: bool) -> Iterator[tuple[str, list[str]]]:
    """The fields of each record that is not blank, and the line where it begins."""
    limit = csv.field_size_limit()
    csv.field_size_limit(max(limit, len(content)))  # no field of this file is too long
    try:
        yield from _fields(name, content, is_tsv)
    finally:
        csv.field_size_limit(limit)


def _fields(name: str, content: str, is_tsv: bool) -> Iterator[tuple[str, list[str]]]:
    before = 0  # lines that the reader does not see
    if is_tsv:
        lines = csv.reader(io.StringIO(content, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        if named := _EXCELS_SEPARATOR.match(content):
            content, before, delimiter = content[named.end() :], 1, named[1]
        else:
            first_line = re.split("[\r\n]", content.lstrip(), maxsplit=1)[:1]
            fields_by = lambda mark: len(next(csv.reader(first_line, delimiter=mark)))
            delimiter = max(",;\t", key=fields_by)
        lines = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    while True:
        place = f"{name}, line {before + lines.line_num + 1}"
        try:
            fields = next(lines, None)
        except csv.Error as error:
            raise ValueError(f"{place}: {error} (is a quotation mark left open?)") from None
        if fields is None:
            return
        if any(field.strip() for field in fields):
            yield place, fields


_EXCELS_SEPARATOR = re.compile(r"sep=([^\w\s\"]|\t)\r?\n", re.IGNORECASE)


def place_rows(name: str, rows: Iterable[Row]) -> list[Placed]:
    """Rows from elsewhere than a file, numbered from 1 for their places."""
    return [(f"{name}, row {number}", dict(row)) for number, row in enumerate(rows, start=1)]


def count(number: int, noun: str) -> str:
    """A number and its noun: "1 field", "2 fields"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


shown = reprlib.repr
"""A value in an error message, shortened."""


FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")
NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?(e[+-]?\d+)?", re.IGNORECASE)


def no_formula(cell: str) -> str:
    """A cell of a .csv file, with `'` before what a spreadsheet would compute or run."""
    return f"'{cell}" if FORMULA.match(cell) and not NUMBER.fullmatch(cell) else cell
