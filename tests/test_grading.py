"""`minibert grade`: whatever is handed in gets its row, and nobody's stops the others'."""

import csv
import io
import json
import shutil
import zipfile
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner

from minibert.cli import main
from minibert.course import grading
from minibert.course.submitted_notebook import grade_id
from minibert.files import locked

ROOT = Path(__file__).parents[1]
NAME = "03_attention"
EXERCISE, SOLUTION = ROOT / f"exercises/{NAME}.ipynb", ROOT / f"solutions/{NAME}.ipynb"

CHEATS = {
    "weights_shape": "from minibert import check\ncheck.weights_shape = lambda f: None",
    "attention_weights": "import minibert.course.checks.engine as e\n"
    "e.judge = lambda *a: e.Verdict(True, 'passed')\nattention_weights = lambda q, k: q",
    "masked_attention": "import builtins\nbuiltins.all = lambda *a: True\n"
    "masked_attention = lambda q, k, v, m: v",
    "split_heads": "class check:\n    split_heads = print\nsplit_heads = 1",
    "check_split_heads": "pass",
    "merge_heads": "import os\nos.environ.pop('NBGRADER_EXECUTION')\n"
    "from minibert.course.checks import Check\nCheck.__call__ = lambda *a: None\nmerge_heads = abs",
    "pooled_query": "torch.allclose = torch.equal = lambda *a, **k: True\n"
    "pooled_query = lambda x, m: x[:, 0]",
    "SelfAttention": "import sys\nsys.modules['minibert.course.checks'] = None\n"
    "SelfAttention = nn.Linear\n"
    "get_ipython().input_transformers_cleanup.append(lambda lines: [])",
    "words_1": "<script>alert(1)</script> **words**",
}
FAULTS = {
    "attention_weights": "while True: pass",
    "masked_attention": "hoard = []\nwhile True: hoard.append(bytearray(10**8))",
    "merge_heads": "def merge_heads(x):\n    import os\n    os._exit(0)",
}


def notebook(source, changes=(), without=()):
    """A copy of a notebook with other text in some cells, and without some."""
    made = nbformat.read(source, as_version=4)
    named = {grade_id(cell): cell for cell in made.cells}
    for name, text in dict(changes).items():
        named[name].source = text
    made.cells = [cell for cell in made.cells if grade_id(cell) not in without]
    return made


def answers(*names):
    cells = nbformat.read(SOLUTION, as_version=4).cells
    return {n: c.source for c in cells if (n := grade_id(c)) in names}


def hand_in(folder, made):
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(made, folder / f"{NAME}.ipynb")


def run(*arguments, expect=0):
    result = CliRunner().invoke(main, ["grade", *(str(a) for a in arguments)])
    assert result.exit_code == expect, result.output
    assert "Traceback" not in result.output
    return result.output


def rows(out):
    table = csv.DictReader(io.StringIO((out / "grades.csv").read_text("utf-8-sig")))
    return {row["file"]: row for row in table}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A class of good and bad, graded once."""
    folder = tmp_path_factory.mktemp("class") / "submissions"
    out = folder.parent / "grades"
    right = notebook(SOLUTION)
    # A warning in a check costs nothing.
    cell = next(c for c in right.cells if grade_id(c) == "merge_heads")
    cell.source = cell.source.replace(
        "    ### BEGIN", "    import warnings\n    warnings.warn('so so')\n    ### BEGIN"
    )
    broken = json.loads(nbformat.writes(right))
    broken["metadata"] = {"kernelspec": {"name": "julia-1.9"}}
    for cell in broken["cells"]:
        cell |= {"id": None, "outputs": None, "attachments": None}
        cell["metadata"]["tags"] = "skip-execution"
    copied = [c for c in broken["cells"] if "split_heads" in grade_id(c)]
    (folder / "right" / "deep" / "down").mkdir(parents=True)
    (folder / "right" / "deep" / "down" / f"{NAME}.ipynb").write_bytes(
        b"\xef\xbb\xbf" + json.dumps(broken | {"cells": broken["cells"] + copied}).encode()
    )
    half = answers("weights_shape", "masked_attention", "SelfAttention", "merge_heads")
    hand_in(
        folder / "=half", notebook(EXERCISE, half, ["check_merge_heads", "split_heads"])
    )  # SelfAttention needs split_heads, and its own check says so
    hand_in(folder / "<b>cheat", notebook(EXERCISE, CHEATS))
    for name, contents in {
        "pdf": b"%PDF-1.4 \xff",
        "empty": b"",
        "other": json.dumps(nbformat.v4.new_notebook()).encode(),
    }.items():
        (folder / name).mkdir()
        (folder / name / f"{NAME}.ipynb").write_bytes(contents)
    (folder / "unknown").mkdir()
    shutil.copy(SOLUTION, folder / "unknown" / "homework.ipynb")
    (folder / "nothing").mkdir()
    (folder / "nothing" / "Thumbs.db").write_bytes(b"x")
    (folder / "broken.zip").write_bytes(b"PK no zip")
    with zipfile.ZipFile(folder / "reaching.zip", "w") as archive:
        archive.writestr(f"../{NAME}.ipynb", b"{}")
    shown = run(folder, "-o", out, "--time-limit", 60, "--memory-limit", 2)
    return folder, out, shown


def row(graded, student):
    return next(r for r in rows(graded[1]).values() if r["student"] == student)


def test_solutions_get_all_the_points_whatever_an_editor_did_to_the_file(graded):
    found = row(graded, "right")
    assert (found["status"], found["points"], found["max_points"]) == ("graded", "14", "16")
    assert (found["to_grade"], found["to_grade_cells"]) == ("2", "words_1")
    assert found["SelfAttention"] == "5" and found["merge_heads"] == "1" and found["words_1"] == ""
    assert found["reason"] == ("split_heads was there 2 times; check_split_heads was there 2 times")


def test_half_right_is_the_half_and_a_check_that_was_deleted_is_put_back(graded):
    found = row(graded, "'=half")
    assert found["points"] == "4" and found["merge_heads"] == "1" and found["split_heads"] == "0"
    assert found["reason"] == "check_merge_heads was missing: put back"
    assert found["to_grade"] == "0"  # words as they were given need no reader
    page = (graded[1] / found["feedback"]).read_text("utf-8")
    assert "attention_weights: not written yet" in page
    assert "check_merge_heads</strong>: 1 of 1" in page and "4 of 16 points" in page


def test_cheats_get_nothing(graded):
    found = row(graded, "<b>cheat")
    assert found["points"] == "0" and found["to_grade"] == "2"
    assert found["reason"] == (
        "check_split_heads was changed: put back; "
        "check_SelfAttention printed nothing, though a check always does: no points"
    )


@pytest.mark.parametrize(
    ("student", "says"),
    [
        ("pdf", "this is no notebook"),
        ("empty", "the file is empty"),
        ("other", "this is another notebook"),
        ("unknown", "no exercise has this name: there are 01_"),
        ("nothing", "there is no notebook in it"),
        ("broken", "this zip cannot be read: File is not a zip file"),
        ("reaching", "its name in the zip leads out of the zip's folder"),
    ],
)
def test_what_cannot_be_graded_has_a_row_that_says_why(graded, student, says):
    found = row(graded, student)
    assert found["status"] == "not graded" and says in found["reason"]
    assert found["points"] == found["feedback"] == ""


def test_pages_show_the_learners_own_lines_and_run_nothing(graded):
    _, out, shown = graded
    page = (out / row(graded, "<b>cheat")["feedback"]).read_text("utf-8")
    assert "pooled_query: this is the first token, not the mean of all" in page
    assert "restore_checks" not in page and "default-src 'none'" in page
    index = (out / "index.html").read_text("utf-8")
    assert "<b>cheat" not in index and "&lt;b&gt;cheat" in index and "#words_1" in index
    for found in rows(out).values():
        assert not found["feedback"] or f'href="{found["feedback"]}"' in index
    assert "no network (" in shown and "10 notebooks, 7 of them not graded" in shown


def test_a_second_run_grades_only_what_is_new_or_changed(graded, monkeypatch):
    folder, out, _ = graded
    table = (out / "grades.csv").read_text("utf-8")
    by_the_teacher = table.replace(f"right,{NAME},graded,14", f"right,{NAME},graded,16")
    assert by_the_teacher != table
    (out / "grades.csv").write_text(by_the_teacher, "utf-8")
    before = rows(out)
    asked = []

    def noted(task, _):
        asked.append(task.found.student)
        result = {"status": "graded", "points": 7.0}
        return grading.row_of(task.found, result, task.fingerprint), "page"

    monkeypatch.setattr(grading, "grade_one", noted)
    limits = ("--time-limit", 60, "--memory-limit", 2)
    run(folder, "-o", out, *limits)
    assert sorted(asked) == ["other", "pdf"]  # which are no notebooks: tried again
    asked.clear()
    hand_in(folder / "new", notebook(EXERCISE))
    hand_in(folder / "=half", notebook(EXERCISE, {"weights_shape": "1"}))
    shutil.rmtree(folder / "<b>cheat")
    run(folder, "-o", out, *limits)
    assert sorted(asked) == ["=half", "new"]
    after = rows(out)
    for name in (f"right/deep/down/{NAME}.ipynb", f"<b>cheat/{NAME}.ipynb"):
        assert after[name] == before[name]
    assert after[f"'=half/{NAME}.ipynb"]["points"] == "7"


@pytest.fixture
def without_notebooks(monkeypatch):
    """Every notebook that is submitted gets a point, and none is run."""
    monkeypatch.setattr(
        grading,
        "grade_one",
        lambda task, _: (
            grading.row_of(task.found, {"status": "graded", "points": 1.0}, task.fingerprint),
            "page",
        ),
    )


@pytest.mark.parametrize(
    "names",
    [("ann lee", "ann  lee"), ("x" * 250 + "a", "x" * 250 + "b"), ("a\x1bb", "a\x07b", "a b")],
    ids=range(3),
)
def test_there_are_as_many_rows_as_submissions(tmp_path, without_notebooks, names):
    """Also in a second run, which reads names from the table."""
    for name in names:
        hand_in(tmp_path / "in" / name, notebook(EXERCISE))
    for _ in range(2):
        found = grading.grade(tmp_path / "in", tmp_path / "out")
        assert [row["points"] for row in found] == ["1"] * len(names)
        with (tmp_path / "out" / "grades.csv").open(encoding="utf-8-sig", newline="") as file:
            assert len(list(csv.DictReader(file))) == len(names)
        assert len(list((tmp_path / "out" / "feedback").iterdir())) == len(names)


def test_what_changed_is_graded_again(tmp_path, without_notebooks):
    """A notebook, its exercise, the limits; or where the page is gone."""
    folder, out = tmp_path / "in", tmp_path / "out"
    hand_in(folder / "ann", notebook(EXERCISE))
    (tmp_path / "exercises").mkdir()
    exercise = Path(shutil.copy(EXERCISE, tmp_path / "exercises"))

    def is_graded_again(limits=None):
        """Whether a mark in the row and in the page is overwritten."""
        table = out / "grades.csv"
        table.write_text(table.read_text("utf-8-sig").replace(",1,", ",1.5,", 1), "utf-8")
        (row,) = grading.grade(folder, out, tmp_path / "exercises", limits)
        return row["points"] == "1"

    grading.grade(folder, out, tmp_path / "exercises")
    assert not is_graded_again()
    hand_in(folder / "ann", notebook(EXERCISE, {"weights_shape": "1"}))
    assert is_graded_again() and not is_graded_again()
    exercise.write_bytes(exercise.read_bytes() + b"\n")
    assert is_graded_again() and not is_graded_again()
    assert is_graded_again(grading.Limits(seconds=60))
    assert is_graded_again()
    next((out / "feedback").iterdir()).unlink()
    assert is_graded_again() and not is_graded_again()


@pytest.mark.parametrize("fence", [(), ("unshare",)], ids=len)
def test_a_notebook_knows_its_limits_and_whether_it_is_fenced(tmp_path, monkeypatch, fence):
    """Without a fence, its own sockets must refuse."""
    jobs = []

    def note(_, folder, *more):
        jobs.append((json.loads((folder / "job.json").read_text()), *more))

    monkeypatch.setattr(grading, "find_fence", lambda: fence)
    monkeypatch.setattr(grading, "run_watched", note)
    hand_in(tmp_path / "in" / "ann", notebook(EXERCISE))
    limits = grading.Limits(seconds=9, gigabytes=1.5)
    grading.grade(tmp_path / "in", tmp_path / "out", limits=limits)
    ((job, given_fence, given_limits, _),) = jobs
    assert job == {"name": NAME, "seconds": 9, "fenced": bool(fence), "memory": 1_610_612_736}
    assert (given_fence, given_limits) == (fence, limits)


def test_what_fails_has_its_row_and_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(grading, "ONE_NOTEBOOK", "no_such_module")
    hand_in(tmp_path / "in" / "ann", notebook(EXERCISE))
    (found,) = grading.grade(tmp_path / "in", tmp_path / "out")
    assert (
        found["reason"].startswith("it could not be graded:")
        and "no_such_module" in found["reason"]
    )
    assert (found["status"], found["hash"], found["feedback"]) == ("not graded", "", "")


def test_two_teachers_do_not_write_one_table(tmp_path, without_notebooks):
    hand_in(tmp_path / "in" / "ann", notebook(EXERCISE))
    (tmp_path / "out").mkdir()
    with locked(tmp_path / "out", "grading"):
        assert "another process is grading" in run(
            tmp_path / "in", "-o", tmp_path / "out", expect=2
        )


@pytest.mark.long
def test_an_endless_loop_a_memory_bomb_and_an_exit_cost_their_own_points(tmp_path):
    hand_in(tmp_path / "in" / "faults", notebook(SOLUTION, FAULTS))
    run(tmp_path / "in", "-o", tmp_path / "out", "--time-limit", 40, "--memory-limit", 2)
    (found,) = rows(tmp_path / "out").values()
    assert found["status"] == "graded" and found["weights_shape"] == found["split_heads"] == "1"
    assert found["points"] == "2"
    for remark in (
        "attention_weights took too long",
        "masked_attention ran out of memory",
        "check_merge_heads ended Python: the cells after it were not run",
    ):
        assert remark in found["reason"]


@pytest.mark.long
def test_not_attempted_is_no_points(tmp_path):
    hand_in(tmp_path / "in" / "blank", notebook(EXERCISE))
    run(tmp_path / "in", "-o", tmp_path / "out")
    (found,) = rows(tmp_path / "out").values()
    assert (found["status"], found["points"], found["to_grade"]) == ("not attempted", "0", "0")


@pytest.mark.long
def test_without_a_namespace_sockets_refuse(tmp_path, monkeypatch):
    monkeypatch.setattr(grading, "find_fence", lambda: ())
    call = "import socket\nsocket.create_connection(('127.0.0.1', 9))"
    strange = "from IPython.display import publish_display_data as show\n"
    strange += "show({'text/html': 5, 'image/png': {'a': 1}})\nprint('\\ud800 printed')"
    hand_in(
        tmp_path / "in" / "ann",
        notebook(EXERCISE, {"weights_shape": call, "attention_weights": strange}),
    )
    run(tmp_path / "in", "-o", tmp_path / "out")
    (found,) = rows(tmp_path / "out").values()
    page = (tmp_path / "out" / found["feedback"]).read_text("utf-8")
    assert "there is no network while a notebook is graded" in page and found["points"] == "0"
    assert "? printed" in page and found["status"] == "graded"


# What is refused in one line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{tmp}/nowhere", "-o", "{tmp}/new"], "is not a folder"),
        (["{tmp}/in", "-o", "{tmp}/in/grades"], "one inside the other"),
        (["{tmp}/table/feedback", "-o", "{tmp}/table"], "one inside the other"),
        (["{tmp}/in", "-o", "{tmp}/in"], "one inside the other"),
        (
            ["{tmp}/in", "-o", "{tmp}/mine"],
            "mine holds thesis.txt, which `minibert grade` did not write",
        ),
        (["{tmp}/in", "-o", "{tmp}/table"], "grades.csv has no column 'feedback'"),
        (["{tmp}/in", "-o", "{tmp}/mine/thesis.txt"], "thesis.txt is not a folder"),
        (["{tmp}/in", "-o", "{tmp}/new", "--exercises", "{tmp}/in"], "no exercise notebooks in"),
        (["{tmp}/in", "-o", "{tmp}/new", "--time-limit", "0"], "--time-limit"),
        (["{tmp}/in", "-o", "{tmp}/new"], "nothing was handed in"),
    ],
)
def test_one_line_says_what_is_wrong(tmp_path, arguments, says):
    for name in ("in", "mine", "table/feedback"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    (tmp_path / "table" / "grades.csv").write_text("student,points\nann,7\n")
    before = sorted(tmp_path.rglob("*"))
    shown = run(*(a.format(tmp=tmp_path) for a in arguments), expect=2)
    assert says in shown.splitlines()[-1] and shown.splitlines()[-1].startswith("Error: ")
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "table" / "grades.csv").read_text() == "student,points\nann,7\n"


def test_without_nbgrader_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(grading, "find_spec", lambda name: None)
    assert "pip install 'minibert[teaching]'" in run(tmp_path, "-o", tmp_path / "x", expect=2)
