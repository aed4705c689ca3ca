"""The reading order that the README gives is real: imports point upwards."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "minibert"
README = (ROOT / "README.md").read_text("utf-8")
CORE = re.findall(r"^\| `(\w+)\.py` \|", README, re.MULTILINE)
FOLDERS = re.findall(r"^\| `(\w+)/` \|", README, re.MULTILINE)
ORDER = [*CORE, *FOLDERS]
"""Modules of the core, then folders, from the top to the bottom."""
CORE_LINES = 1900


def imports(file: Path) -> set[str]:
    """The modules of minibert that a file imports, anywhere in it: `data.batches`."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("minibert."):
            found.add(node.module.removeprefix("minibert."))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module != "minibert", f"{file}: name the module"
        elif isinstance(node, ast.Import):
            assert not any(a.name.startswith("minibert") for a in node.names), f"{file}: use from"
    return found


def place(module: str) -> int:
    """Where a module stands in the README."""
    return ORDER.index(module.split(".")[0])


def test_everything_is_in_the_reading_order():
    modules = {f.stem for f in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    folders = {f.name for f in PACKAGE.iterdir() if any(f.glob("*.py"))}
    assert modules == set(CORE)
    assert folders == set(FOLDERS)


@pytest.mark.parametrize("module", CORE)
def test_modules_of_the_core_import_only_from_those_above(module):
    below = {m for m in imports(PACKAGE / f"{module}.py") if place(m) >= place(module)}
    assert not below, f"{module}.py imports from below itself: {below}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_folders_import_only_from_those_above(folder):
    for file in (PACKAGE / folder).rglob("*.py"):
        below = {m for m in imports(file) if place(m) > place(folder)}
        assert not below, f"{file} imports from below its folder: {below}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_circle_within_a_folder(folder):
    within = {
        file.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", "."): imports(file)
        for file in (PACKAGE / folder).rglob("*.py")
    }
    list(TopologicalSorter(within).static_order())  # raises CycleError


def test_the_core_can_be_read_in_an_afternoon():
    bert = [module for module in CORE if module not in ("files", "settings")]
    lines = sum(len((PACKAGE / f"{m}.py").read_text("utf-8").splitlines()) for m in bert)
    assert lines <= CORE_LINES
