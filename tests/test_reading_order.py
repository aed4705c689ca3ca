"""The reading order that the README gives is real: a module imports only from those above it."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
ORDER = re.findall(r"^\| `(\w+)\.py` \|", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)


def imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("minibert."):
            found.add(node.module.split(".")[1])
    return found


def test_every_module_is_in_the_reading_order():
    modules = {p.stem for p in (ROOT / "minibert").glob("*.py")} - {"__init__", "__main__"}
    assert modules == set(ORDER)


def test_modules_import_only_from_those_above():
    for place, module in enumerate(ORDER):
        below = imports(ROOT / "minibert" / f"{module}.py") - set(ORDER[:place])
        assert not below, f"{module}.py imports from below itself: {below}"
