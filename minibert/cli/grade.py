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
    help="Folder of the exercises as they were given; that of the course if not told.",
)  # fmt: skip
@click.option(
    "--time-limit", type=click.IntRange(min=4), default=120, show_default=True,
    help="Seconds for a notebook; a quarter of them for a cell.",
)  # fmt: skip
@click.option(
    "--memory-limit", type=click.FloatRange(min=0.5), default=4.0, show_default=True,
    help="GB for a notebook.",
)  # fmt: skip
@click.option(
    "--jobs", type=click.IntRange(min=1), default=2, show_default=True, help="So many at a time."
)
def grade(submissions: Path, out: Path, exercises: Path | None, jobs: int, **limits: Any) -> None:
    """Grade the exercise notebooks in SUBMISSIONS: a folder or a zip for each student.

    One zip of the whole class, as learning platforms export it, will do too. Grades go to
    grades.csv, feedback to a page for each notebook, and index.html links all. What is graded
    already and has not changed is kept. Notebooks are run, and could do whatever you can.
    """
    from minibert.course.grading import Limits, grade

    use = Limits(limits["time_limit"], limits["memory_limit"])
    rows = grade(submissions, out, exercises, use, jobs, say=click.echo)
    failed = sum(row["status"] == "not graded" for row in rows)
    click.echo(f"{len(rows)} notebooks, {failed} of them not graded: see {out / 'index.html'}")
