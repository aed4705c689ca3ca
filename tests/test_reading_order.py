"""The reading order that the README gives is real: a module imports only from those above it."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
ORDER = re.findall(r"^\| `([\w/]+)\.py` \|", README, re.MULTILINE)


def imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("minibert."):
            found.add("/".join(node.module.split(".")[1:]))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module != "minibert", f"{file}: name the module"
        elif isinstance(node, ast.Import):
            assert not any(a.name.startswith("minibert") for a in node.names), f"{file}: use from"
    return found


def test_every_module_is_in_the_reading_order():
    package = ROOT / "minibert"
    files = [f for f in package.rglob("*.py") if not f.stem.startswith("__")]
    assert {f.relative_to(package).with_suffix("").as_posix() for f in files} == set(ORDER)


def test_modules_import_only_from_those_above():
    for place, module in enumerate(ORDER):
        below = imports(ROOT / "minibert" / f"{module}.py") - set(ORDER[:place])
        assert not below, f"{module}.py imports from below itself: {below}"
