"""Modules and styles joined, because a page in a file cannot load others."""

from __future__ import annotations

import re
from pathlib import Path

_IMPORT = re.compile(r'^import \{([^}]*)\} from "([^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:class|function\*?|const) (\w+))", re.MULTILINE)


def bundle(entry: Path) -> str:
    """The module `entry` and all that it imports, as a script without imports.

    Each module becomes a constant with its exports, named like its file: `dom`, `model`, `app`.
    Modules import by name, `import { a, b } from "./other.js"`, and export functions, classes and
    constants.
    """
    parts: dict[Path, str] = {}
    _add(entry.resolve(), parts)
    return "\n".join(parts.values())


def _add(path: Path, parts: dict[Path, str]) -> None:
    if path in parts:
        return
    source = path.read_text(encoding="utf-8")
    for _, other in _IMPORT.findall(source):
        _add((path.parent / other).resolve(), parts)
    source = _IMPORT.sub(lambda found: f"const {{{found[1]}}} = {Path(found[2]).stem};\n", source)
    exports = ", ".join(_EXPORT.findall(source))
    source = _EXPORT.sub("", source)
    parts[path] = f"const {path.stem} = (() => {{\n{source}\nreturn {{ {exports} }};\n}})();"


def join_styles(*files: Path) -> str:
    """The style sheets, one after the other."""
    return "".join(file.read_text(encoding="utf-8") for file in files)
