"""What the set-up files promise."""

import importlib.metadata
import re
import runpy
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]


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
