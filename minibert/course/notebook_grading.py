"""Grade one notebook with nbgrader, in a separate process: `python -m ... FOLDER`.

The folder holds `job.json`, `exercise.ipynb` and `submission.ipynb`. `result.json` is left in it.
"""

# ruff: noqa: E402, because a module is kept out before nbformat is imported

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

# jsonschema can do without it, and it builds a grammar of web addresses for 1.5 seconds.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

import nbformat
from traitlets.config import Config

from minibert.course import feedback
from minibert.course import submitted_notebook as submitted
from minibert.course.sandbox import nobody_left_behind

STUDENT = "student"
"""Everybody's name for nbgrader, which sees one notebook."""


def grade_notebook(folder: Path) -> dict[str, Any]:
    """What goes into the row of the notebook in a folder, and its page of feedback."""
    job = json.loads((folder / "job.json").read_text("utf-8"))
    name = job["name"]
    exercise = nbformat.read(folder / "exercise.ipynb", as_version=4)
    try:
        cells = submitted.read_cells((folder / "submission.ipynb").read_bytes())
    except ValueError as error:
        return {"reason": str(error)}
    notebook = submitted.rebuild(cells, exercise)
    if not any(submitted.grade_id(cell) for cell in notebook.cells):
        return {"reason": "none of the exercise's cells is in it: this is another notebook"}
    remarks = submitted.drop_copies(notebook, exercise)
    remarks += submitted.restore_checks(notebook, exercise)
    attempted = submitted.is_attempted(notebook, exercise)
    for place, content in ("source", exercise), (f"submitted/{STUDENT}", notebook):
        file = folder / place / name / f"{name}.ipynb"
        file.parent.mkdir(parents=True)
        nbformat.write(content, file)

    grades = autograde(folder, job, remarks)
    executed = nbformat.read(folder / f"autograded/{STUDENT}/{name}/{name}.ipynb", as_version=4)
    by_hand = {cell: most for cell, (got, most) in grades.items() if got is None}
    points = {cell: got for cell, (got, _) in grades.items() if got is not None}
    return {
        "status": "graded" if attempted else "not attempted",
        "points": sum(points.values()),
        "max_points": sum(most for _, most in grades.values()),
        "to_grade": sum(by_hand.values()),
        "to_grade_cells": ", ".join(by_hand),
        "reason": "; ".join(remarks),
        "page": feedback.page(executed, name, grades),
        "exercises": points,
    }


def autograde(folder: Path, job: dict[str, Any], remarks: list[str]) -> feedback.Grades:
    """Run nbgrader: points and maximum of each graded cell. Raises `RuntimeError` if it fails."""
    import nbgrader.api
    from nbgrader.apps import NbGraderAPI

    # It would start another Python to ask alembic for a number that only its upgrades read.
    nbgrader.api.get_alembic_version = lambda: ""
    api, name = NbGraderAPI(config=nbgraders_config(folder, job, remarks)), job["name"]
    for done in (api.generate_assignment(name), api.autograde(name, STUDENT)):
        if not done["success"]:
            errors = re.findall(
                r"^ *([\w.]*(?:Error|Exception)\b.*)", done.get("log", ""), re.MULTILINE
            )
            raise RuntimeError((errors or [done["error"]])[-1])
    with api.gradebook as book:
        return {
            grade.name: (None if grade.needs_manual_grade else grade.auto_score or 0.0,
                         grade.max_score)
            for grade in book.find_submission_notebook(name, name, STUDENT).grades
        }  # fmt: skip


def nbgraders_config(folder: Path, job: dict[str, Any], remarks: list[str]) -> Config:
    """How nbgrader is to work: in this folder, and with our way to run cells."""
    from nbgrader import preprocessors as steps

    from minibert.course.execution import watched_execute

    config = Config()
    config.CourseDirectory.root = str(folder)
    # An exercise has no solutions to be cleared.
    config.GenerateAssignment.preprocessors = [
        steps.LockCells, steps.CheckCellMetadata, steps.ComputeChecksums, steps.SaveCells,
    ]  # fmt: skip
    config.Autograde.autograde_preprocessors = [
        watched_execute(job, remarks), steps.LimitOutput, steps.SaveAutoGrades,
    ]  # fmt: skip
    if job["fenced"]:
        # The namespace's loopback is down: Jupyter talks through sockets in the folder.
        config.KernelManager.transport = "ipc"
        config.KernelManager.ip = str(folder / "ipc")
    return config


def main(folder: Path) -> None:
    """Grade the notebook in a folder, and leave nothing running."""
    with nobody_left_behind():
        result = grade_notebook(folder)
        (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
