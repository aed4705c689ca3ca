"""The table of grades, `grades.csv`, and the page that links the feedback, `index.html`."""

from __future__ import annotations

import csv
import hashlib
import html
import re
from io import StringIO
from pathlib import Path
from typing import Any

from minibert.course.submissions import JUNK, Submission
from minibert.data.tables import no_formula
from minibert.files import read_text

Row = dict[str, str]
Rows = dict[str, Row]
"""The rows of the table by `key_of` their submissions."""
COLUMNS = (
    "student", "notebook", "status", "points", "max_points", "to_grade", "to_grade_cells",
    "reason", "feedback", "file", "hash", "key",
)  # fmt: skip
"""The columns of every row. After these come the points of each exercise."""
NOT_GRADED = "not graded"
LONGEST = 300
"""Characters in a cell of the table."""


def key_of(student: str, file: str) -> str:
    """What identifies a submission: names may look the same once they are made fit for a table.

    It begins with a letter, so that no spreadsheet takes it for a number.
    """
    raw = f"{student}\n{file}".encode("utf-8", "surrogatepass")
    return "k" + hashlib.sha256(raw).hexdigest()[:16]


def row_of(found: Submission, result: dict[str, Any], fingerprint: str = "") -> Row:
    """The row of a submission. What could not be graded has no hash, so it is tried again."""
    row: dict[str, Any] = dict.fromkeys(COLUMNS, "")
    row |= {"student": found.student, "file": found.file, "status": NOT_GRADED}
    row["notebook"] = found.exercise or Path(found.file).name
    if "status" in result:
        row |= {"hash": fingerprint, "feedback": f"feedback/{page_name(found)}"}
    row |= {column: value for column, value in result.items() if column in COLUMNS}
    row |= {column_of(name): points for name, points in result.get("exercises", {}).items()}
    row["key"] = key_of(found.student, found.file)
    return {
        column: plain(f"{value:g}" if isinstance(value, float) else str(value))
        for column, value in row.items()
    }


def column_of(check: str) -> str:
    """The column of a check's points: its exercise's name, unless the table has that already."""
    name = check.removeprefix("check_")
    return f"check_{name}" if name in COLUMNS else name


def plain(text: str) -> str:
    """Text for a cell of a spreadsheet: one short line, and no formula."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    text = text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
    return no_formula(text)


def page_name(found: Submission) -> str:
    """A file name that no other submission has, and that every system allows."""
    start = f"{found.student[:20]}-{found.exercise[:30]}-{key_of(found.student, found.file)}"
    return re.sub(r"[^\w-]+", "-", start) + ".html"


def read_grades(out: Path) -> Rows:
    """The rows that are there already. Raises `ValueError` for a folder of something else."""
    table = out / "grades.csv"
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"{out} is not a folder")
    ours = {"grades.csv", "index.html", "feedback"} if table.is_file() else {"grades.csv"}
    names = sorted(p.name for p in out.glob("*") if not JUNK.search(p.name))
    foreign = [name for name in names if name.removesuffix(".writing") not in ours]
    if foreign:
        raise ValueError(f"{out} holds {foreign[0]}, which `minibert grade` did not write")
    if not table.exists():
        return {}
    reader = csv.DictReader(StringIO(read_text(table), newline=""))
    rows: Rows = {}
    try:
        if missing := sorted(set(COLUMNS) - {"key"} - set(reader.fieldnames or ())):
            raise ValueError(f"{table} has no column {missing[0]!r}: choose another folder with -o")
        for row in reader:
            whole = {column: text or "" for column, text in row.items() if column}
            # Tables of the first edition have no keys.
            rows[whole.get("key") or key_of(whole["student"], whole["file"])] = whole
    except csv.Error as error:
        raise ValueError(f"{table} cannot be read: {error} (line {reader.line_num})") from None
    return rows


def csv_text(rows: Rows) -> str:
    """The table, sorted by student, as spreadsheets read it."""
    table = in_order(rows)
    exercises = dict.fromkeys(key for row in table for key in row if key not in COLUMNS)
    text = StringIO()
    writer = csv.DictWriter(text, [*COLUMNS, *exercises], restval="")
    writer.writeheader()
    writer.writerows(table)
    return "\ufeff" + text.getvalue()  # the mark says to Excel that it is UTF-8


def in_order(rows: Rows) -> list[Row]:
    """The rows sorted by student, notebook and file."""
    return sorted(rows.values(), key=lambda r: (r["student"].casefold(), r["notebook"], r["file"]))


INDEX = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Grades</title><style>
body {{ font: 16px/1.4 system-ui, sans-serif; margin: 2em }}
td, th {{ text-align: left; padding: .2em 1em .2em 0; vertical-align: top }}
</style></head><body><h1>Grades</h1>
<p><a href="grades.csv">grades.csv</a> has the points of each exercise.</p>
<table><tr><th>student</th><th>notebook</th><th>status</th><th>points</th><th>to be graded by hand
</th><th>remarks</th></tr>
{rows}
</table></body></html>
"""


def index_page(rows: Rows) -> str:
    """The page that links every page of feedback, and in it every cell that waits for a reader."""
    lines = []
    for row in in_order(rows):
        safe = {key: html.escape(value) for key, value in row.items()}
        page, cells = safe["feedback"], filter(None, safe["to_grade_cells"].split(", "))
        by_hand = ", ".join(f'<a href="{page}#{cell}">{cell}</a>' for cell in cells)
        columns = (
            safe["student"],
            f'<a href="{page}">{safe["notebook"]}</a>' if page else safe["notebook"],
            safe["status"],
            f"{safe['points']} of {safe['max_points']}" if safe["max_points"] else "",
            f"{by_hand} ({safe['to_grade']})" if by_hand else "",
            safe["reason"],
        )
        lines.append("<tr>" + "".join(f"<td>{column}</td>" for column in columns) + "</tr>")
    return INDEX.format(rows="\n".join(lines))
