"""`minibert grade`: grades for the exercises of a class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from minibert.cli.group import CommandWithExamples


@click.command(
    cls=CommandWithExamples,
    examples=(
        "minibert grade submissions/ -o grades/",
        "minibert grade submissions/ -o grades/ --exercises my-exercises/ --time-limit 300",
    ),
)
@click.argument("submissions", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder for the grades."
)
@click.option(
    "--exercises", type=click.Path(path_type=Path),
    help="Folder of the exercises as they were given out.  [default: the course's own]",
)  # fmt: skip
@click.option(
    "--time-limit", type=click.IntRange(min=4), default=120, show_default=True,
    help="Seconds for a notebook. A cell gets a quarter of them.",
)  # fmt: skip
@click.option(
    "--memory-limit", type=click.FloatRange(min=0.5), default=4.0, show_default=True,
    help="GB of memory for a notebook.",
)  # fmt: skip
@click.option(
    "--jobs", type=click.IntRange(min=1), default=2, show_default=True,
    help="Notebooks that are graded at the same time.",
)  # fmt: skip
def grade(submissions: Path, out: Path, exercises: Path | None, jobs: int, **limits: Any) -> None:
    """Grade the exercise notebooks in SUBMISSIONS: a folder or a zip for each student.

    SUBMISSIONS may also hold one zip of the whole class, as learning platforms export it. Grades
    go to grades.csv, feedback to a page for each notebook, and index.html links everything.
    Notebooks that were graded before and have not changed keep their grades. Grading runs the
    notebooks, and what they run could do whatever you can.
    """
    from minibert.course.grading import Limits, grade

    use = Limits(limits["time_limit"], limits["memory_limit"])
    rows = grade(submissions, out, exercises, use, jobs, say=click.echo)
    failed = sum(row["status"] == "not graded" for row in rows)
    click.echo(f"{len(rows)} notebooks, {failed} of them not graded: see {out / 'index.html'}")
