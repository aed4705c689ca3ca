"""Exercises from solutions: `make exercises`, or with `--check` whether they are up to date.

`solutions/` is the only source, and `exercises/` is never edited. In an exercise, the lines from
`### BEGIN SOLUTION` to `### END SOLUTION` are gone. In their place stand the lines of the
`### BEGIN GIVEN` block that follows, which in the solution are comments (something broken to be
repaired, or `...` for a value), or `raise NotImplementedError`. Outputs are left out.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
GIVEN, GIVEN_END = "### BEGIN GIVEN", "### END GIVEN"
STUB = "raise NotImplementedError  # your code here"
WORDS = "*Your answer, in words, here.*"


def exercise(solution: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook that a learner gets."""
    made = nbformat.from_dict(solution)
    for cell in made.cells:
        cell.source = clear(cell.source, cell.cell_type)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return made


def clear(source: str, cell_type: str) -> str:
    """A cell without its solutions. Raises `ValueError` for a marker without its partner."""
    lines, out = iter(source.split("\n")), []
    for line in lines:
        if line.strip() == BEGIN:
            indent = line[: len(line) - len(line.lstrip())]
            skip_to(END, lines)
            out.append(WORDS if cell_type == "markdown" else indent + STUB)
        elif line.strip() == GIVEN:
            out.pop()  # the stub
            out += [given.replace("# ", "", 1) for given in skip_to(GIVEN_END, lines)]
        else:
            out.append(line)
    return "\n".join(out)


def skip_to(marker: str, lines) -> list[str]:
    """The lines before the marker, which is used up."""
    found = []
    for line in lines:
        if line.strip() == marker:
            return found
        found.append(line)
    raise ValueError(f"there is no {marker}")


def main(check: bool) -> None:
    stale = []
    for file in sorted((ROOT / "solutions").glob("*.ipynb")):
        target = ROOT / "exercises" / file.name
        text = nbformat.writes(exercise(nbformat.read(file, as_version=4))) + "\n"
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            stale.append(target.name)
            if not check:
                target.parent.mkdir(exist_ok=True)
                target.write_text(text, encoding="utf-8")
    if check and stale:
        sys.exit(f"not up to date: {', '.join(stale)}; make exercises")


if __name__ == "__main__":
    main("--check" in sys.argv[1:])
