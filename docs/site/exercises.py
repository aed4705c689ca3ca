"""An exercise as the site shows it: hints one by one below its check, then a solution."""

from __future__ import annotations

import html
import re

import nbformat
from nbformat import NotebookNode
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from minibert.course import checks

CHECK = re.compile(r"^check\.(\w+)\(")
SOLUTION = re.compile(r"[ \t]*### (BEGIN|END) SOLUTION\n?")
GIVEN = re.compile(r"[ \t]*### BEGIN GIVEN\n.*?### END GIVEN\n?", re.DOTALL)


def with_help(exercise: NotebookNode, solution: NotebookNode | None) -> None:
    """Add what helps below each check, in place. Without `solution` it is the hints alone."""
    solutions = answers(solution) if solution else {}
    cells = []
    for cell in exercise.cells:
        cells.append(cell)
        found = CHECK.match(cell.source) if cell.cell_type == "code" else None
        if found and found[1] in checks.exercises():
            name = found[1]
            parts = [_folded(f"Hint {n}", f"<p>{html.escape(text)}</p>") for n, text in
                     enumerate(checks.exercises()[name].hints, 1)]  # fmt: skip
            if name in solutions:
                code = highlight(solutions[name], PythonLexer(), HtmlFormatter())
                parts.append(_folded("Solution", code))
            cells.append(nbformat.v4.new_markdown_cell("\n".join(parts)))
    exercise.cells = cells


def answers(solution: NotebookNode) -> dict[str, str]:
    """By exercise: the cell that solves it."""
    found, before = {}, ""
    for cell in solution.cells:
        if cell.cell_type != "code":
            continue
        check = CHECK.match(cell.source)
        if check:
            found[check[1]] = SOLUTION.sub("", GIVEN.sub("", before)).strip("\n")
        before = cell.source
    return found


def _folded(summary: str, body: str) -> str:
    return f'<details class="help"><summary>{summary}</summary>\n{body}\n</details>\n'
