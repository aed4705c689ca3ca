"""What becomes of one notebook: its status, its points, and what waits for a reader."""

import copy
import json
import shutil
from pathlib import Path

import nbformat
import pytest

from minibert.course import feedback, notebook_grading
from minibert.course.submitted_notebook import grade_id

ROOT = Path(__file__).parents[1]
NAME = "03_attention"
GRADES = {
    "check_a": (1.5, 2.0), "check_b": (0.0, 3.0), "words_1": (None, 4.0), "words_2": (None, 0.5),
}  # fmt: skip


def graded(folder, monkeypatch, submission):
    """The result for a submission whose cells are not run: nbgrader would give these grades."""

    def not_run(folder, job, remarks):
        shutil.copytree(folder / "submitted", folder / "autograded")
        return GRADES

    monkeypatch.setattr(notebook_grading, "autograde", not_run)
    shutil.copy(ROOT / "exercises" / f"{NAME}.ipynb", folder / "exercise.ipynb")
    nbformat.write(submission, folder / "submission.ipynb")
    (folder / "job.json").write_text(json.dumps({"name": NAME}))
    return notebook_grading.grade_notebook(folder)


def read(kind):
    return nbformat.read(ROOT / kind / f"{NAME}.ipynb", as_version=4)


@pytest.mark.parametrize(
    ("kind", "status"), [("exercises", "not attempted"), ("solutions", "graded")]
)
def test_what_was_not_changed_was_not_attempted(tmp_path, monkeypatch, kind, status):
    assert graded(tmp_path, monkeypatch, read(kind))["status"] == status


def test_points_are_added_and_what_waits_is_named(tmp_path, monkeypatch):
    result = graded(tmp_path, monkeypatch, read("solutions"))
    assert (result["points"], result["max_points"], result["to_grade"]) == (1.5, 9.5, 4.5)
    assert result["to_grade_cells"] == "words_1, words_2" and result["reason"] == ""
    assert result["exercises"] == {"check_a": 1.5, "check_b": 0.0}
    assert "1.5 of 9.5 points, and 4.5 to be graded by hand" in result["page"]


def test_what_was_put_right_is_said(tmp_path, monkeypatch):
    changed = read("solutions")
    (check,) = (c for c in changed.cells if grade_id(c) == "check_split_heads")
    check.source = "pass"
    changed.cells.append(nbformat.from_dict(copy.deepcopy(check) | {"id": "another"}))
    result = graded(tmp_path, monkeypatch, changed)
    assert result["reason"] == (
        "check_split_heads was there 2 times; check_split_heads was changed: put back"
    )


def test_a_huge_print_makes_no_huge_page(tmp_path):
    """nbgrader's steps after the run, over a cell that printed five megabytes."""
    printed = nbformat.v4.new_output("stream", text="x" * 200 + "\n")
    printed.text *= 25_000
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=[printed])])
    job = {"name": NAME, "seconds": 8, "memory": 2**30, "fenced": False}
    config = notebook_grading.nbgraders_config(tmp_path, job, [])
    _, *after, _ = config.Autograde.autograde_preprocessors  # what runs it, and what saves points
    for step in after:
        notebook, _ = step().preprocess(notebook, {})
    assert len(feedback.page(notebook, NAME, {})) < 500_000
