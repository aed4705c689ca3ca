"""`minibert grade`: grades for the exercises of a class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from minibert.cli.group import command
from minibert.cli.options import FOLDER, count, option, out_folder, settings
from minibert.cli.terminal import say


@command(
    "minibert grade submissions/ -o grades/",
    "minibert grade submissions/ -o grades/ --exercises my-exercises/ --time-limit 300",
)
@click.argument(
    "submissions", type=FOLDER,
    help="A folder with a folder or a zip for each student, or one zip of the whole class, as "
    "learning platforms export it.",
)  # fmt: skip
@out_folder("Folder for the grades.")
@option("--exercises", "Folder of the given exercises.  [default: the course's]", FOLDER)
@count(
    "--time-limit seconds", "Seconds for a notebook. A cell gets a quarter of them.", 120, least=4
)
@option("--memory-limit gigabytes", "GB for a notebook.", click.FloatRange(min=0.5), 4.0)
@count("--jobs", "Notebooks to run at the same time.", 2)
def grade(submissions: Path, out: Path, exercises: Path | None, jobs: int, **limits: Any) -> None:
    """Grade the exercise notebooks in SUBMISSIONS.

    Grades go to grades.csv, feedback to a page for each notebook, and index.html links to all
    pages. Submissions that were graded and have not changed keep their grade. Notebooks are run:
    they can do whatever you can.
    """
    from minibert.course.grading import Limits, grade

    rows = grade(submissions, out, exercises, settings(Limits, limits), jobs, say=say)
    failed = sum(row["status"] == "not graded" for row in rows)
    say(f"{len(rows)} notebooks, {failed} of them not graded: see {out / 'index.html'}")
