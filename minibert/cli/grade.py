"""`minibert grade`: grades for the exercises of a class."""

from __future__ import annotations

from pathlib import Path

import click

from minibert.cli.group import command
from minibert.cli.options import out_folder
from minibert.cli.terminal import say


@command(
    "minibert grade submissions/ -o grades/",
    "minibert grade submissions/ -o grades/ --exercises my-exercises/ --time-limit 300",
)
@click.argument(
    "submissions", type=click.Path(path_type=Path),
    help="A folder with a folder or a zip for each student, or one zip of the whole class, as "
    "learning platforms export it.",
)  # fmt: skip
@out_folder("Folder for the grades.")
@click.option(
    "--exercises", type=click.Path(path_type=Path),
    help="Folder of the exercises that students were given.  [default: the course's]",
)  # fmt: skip
@click.option(
    "--time-limit", type=click.IntRange(min=4), default=120, show_default=True,
    help="Seconds for a notebook. A cell gets a quarter of them.",
)  # fmt: skip
@click.option(
    "--memory-limit", type=click.FloatRange(min=0.5), default=4.0, show_default=True,
    help="GB for a notebook.",
)  # fmt: skip
@click.option(
    "--jobs", type=click.IntRange(min=1), default=2, show_default=True,
    help="Notebooks to run at the same time.",
)  # fmt: skip
def grade(
    submissions: Path,
    out: Path,
    exercises: Path | None,
    jobs: int,
    time_limit: int,
    memory_limit: float,
) -> None:
    """Grade the exercise notebooks in SUBMISSIONS.

    Grades go to grades.csv, feedback to a page for each notebook, and index.html links to all
    pages. Submissions that were graded and have not changed keep their grade. Notebooks are run:
    they can do whatever you can.
    """
    from minibert.course.grading import Limits, grade

    limits = Limits(time_limit, memory_limit)
    rows = grade(submissions, out, exercises, limits, jobs, say=say)
    failed = sum(row["status"] == "not graded" for row in rows)
    say(f"{len(rows)} notebooks, {failed} of them not graded: see {out / 'index.html'}")
