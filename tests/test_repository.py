"""What the set-up files promise."""

import ast
import importlib.metadata
import re
import runpy
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "minibert"
MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_FUNCTION = 450, 60
# Lists of wrong answers.
LONG_FILES = {f"course/checks/chapter_{n:02}.py" for n in range(1, 14)}


def test_environment_yml_has_no_list_of_its_own():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    python, pip, packages = environment["dependencies"]
    assert python.startswith("python") and pip == "pip"
    assert packages == {"pip": ["-e .[course]"]}


def test_pins_leave_the_oldest_python_a_choice():
    """A pin that Python 3.10 cannot install must not be asked of it."""
    oldest = {"python_version": "3.10", "python_full_version": "3.10.14"}
    pins = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines()]
    assert "torch" in {pin.name for pin in pins}
    for pin in pins:
        wants = importlib.metadata.metadata(pin.name).get("Requires-Python")
        if wants and not SpecifierSet(wants).contains("3.10.14"):
            assert pin.marker and not pin.marker.evaluate(oldest), f"{pin.name} needs {wants}"


def test_the_tables_of_tasks_are_those_of_its_runs():
    page = (ROOT / "docs" / "tasks.md").read_text("utf-8")
    assert runpy.run_path(str(ROOT / "docs" / "compare_tasks.py"))["with_tables"](page) == page


def test_tests_import_no_tests():
    """What two tests need is in a file of helpers: a test can be moved or removed by itself."""
    for file in (ROOT / "tests").rglob("*.py"):
        for line in file.read_text("utf-8").splitlines():
            assert not re.match(r"(from|import) (tests\.)?test_", line.strip()), f"{file}: {line}"


def test_files_and_functions_are_short():
    """A reader can take in each at once. A file that has become short leaves the exceptions."""
    sources = [file for kind in ("py", "js", "css") for file in PACKAGE.rglob(f"*.{kind}")]
    lines = {f.relative_to(PACKAGE).as_posix(): f.read_text("utf-8").splitlines() for f in sources}
    assert len(lines) > 100
    assert {name for name, of in lines.items() if len(of) > MOST_LINES_OF_A_FILE} == LONG_FILES
    long_functions = {
        f"{name}: {node.name}"
        for name, of in lines.items()
        if name.endswith(".py")
        for node in ast.walk(ast.parse("\n".join(of)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno + 1 > MOST_LINES_OF_A_FUNCTION
    }
    assert long_functions == set()
