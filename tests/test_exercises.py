"""Exercises are made from solutions: up to date, free of solutions, and they run unsolved."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest

from minibert.course import checks

ROOT = Path(__file__).parents[1]
SOLUTIONS = sorted((ROOT / "solutions").glob("*.ipynb"))
BLOCK = re.compile(r"^ *### BEGIN SOLUTION\n(.*?)^ *### END SOLUTION", re.DOTALL | re.MULTILINE)


@pytest.fixture(params=SOLUTIONS, ids=lambda file: file.stem)
def pair(request):
    """A solution and its exercise."""
    return [
        nbformat.read(ROOT / folder / request.param.name, as_version=4)
        for folder in ("solutions", "exercises")
    ]


def code(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def test_exercises_are_up_to_date():
    command = [sys.executable, "docs/make_exercises.py", "--check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert {f.name for f in SOLUTIONS} == {f.name for f in (ROOT / "exercises").glob("*.ipynb")}


def statements(source):
    """Every statement in a source, written in one way."""
    tree = ast.parse(source)
    return {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.stmt)}


def test_no_solution_is_left(pair):
    """No statement of a solution, however it is laid out, is in its exercise."""
    solution, exercise = pair
    hidden = set()
    for cell in solution.cells:
        for block in BLOCK.findall(cell.source):
            if cell.cell_type == "code":
                lines = block.rstrip().splitlines()
                indent = min(len(line) - len(line.lstrip()) for line in lines if line)
                body = "\n".join(line[indent:] for line in lines)
                inside = f"def f():\n{body}".replace("\n", "\n    ")
                hidden |= statements(inside) - {ast.unparse(ast.parse(inside).body[0])}
            else:
                hidden.add(block.strip())
    assert hidden
    shown = set().union(*(statements(source) for source in code(exercise)))
    prose = "\n".join(cell.source for cell in exercise.cells if cell.cell_type == "markdown")
    assert hidden & shown == set()
    assert not any(text in prose for text in hidden if len(text) > 100)
    everything = nbformat.writes(exercise)
    assert "### " not in everything and not any(c.get("outputs") for c in exercise.cells)


def test_an_exercise_runs_unsolved_and_says_so(pair, tmp_path, monkeypatch, capsys):
    _, exercise = pair
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    names = {"__name__": "__main__"}
    for number, source in enumerate(code(exercise)):
        exec(compile(source, f"<cell {number}>", "exec"), names)
    plt.close("all")
    said = capsys.readouterr().out
    named = re.findall(r"^(\w+): ", said, re.MULTILINE)
    assert len(named) == len(set(named)) >= 4
    assert "passed" not in said
    assert said.count("not written yet") >= len(named) - 2  # what is to be repaired says more


def test_every_exercise_of_a_chapter_is_asked(pair):
    solution, _ = pair
    asked = {name for source in code(solution) for name in re.findall(r"check\.(\w+)\(", source)}
    number = int(re.search(r"# Exercises (\d+)", solution.cells[0].source)[1])
    there = {e.name for e in checks.exercises().values() if e.chapter == number}
    assert asked - {"progress", "hint"} == there
    prose = "\n".join(cell.source for cell in solution.cells if cell.cell_type == "markdown")
    assert 5 <= len(re.findall(r"^## \d", prose, re.MULTILINE)) <= 8
    assert len(re.findall(r"^\*.+, \d+ minutes\.\*", prose, re.MULTILINE)) == len(
        re.findall(r"^## \d", prose, re.MULTILINE)
    )


def test_cells_are_marked_for_nbgrader(pair):
    """What nbgrader asks for: ids that differ, answers to write, checks that are locked."""
    for notebook in pair:
        marked = [c.metadata.nbgrader for c in notebook.cells if "nbgrader" in c.metadata]
        ids = [m.grade_id for m in marked]
        assert len(ids) == len(set(ids))
        for cell in notebook.cells:
            mark = cell.metadata.get("nbgrader", {})
            if cell.source.startswith("check.") and "progress" not in cell.source:
                assert mark.grade and mark.locked and not mark.solution and mark.points > 0
            if "### BEGIN SOLUTION" in cell.source:
                assert mark.solution and not mark.locked
