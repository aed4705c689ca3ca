"""Run chapters and solutions, and store their outputs: `make notebooks`, or with `ONLY=03`.

Each is run top to bottom in a fresh kernel in its own folder, with one thread. What differs from
run to run is taken out, so that a notebook in which nothing changed stays the same to the byte:
warnings and progress bars, times, cell ids.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbval.plugin import coalesce_streams

ROOT = Path(__file__).parents[1]
FOLDERS = ("notebooks", "solutions")
SECONDS_A_CELL = 1800
RESUMED = {"06_pretraining": ROOT / "runs" / "chapter-06"}
"""Runs that a chapter resumes. They are removed, so that its outputs show a whole run."""
WIDGET = "application/vnd.jupyter.widget-view+json"
KEPT = ("tags", "slideshow", "nbgrader")
FOLDED = "hide-input"  # the tag that folds code away; JupyterLab has a mark of its own for it
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def run(file: Path) -> None:
    """Execute a notebook in place; a cell that fails ends in an error that shows it."""
    if file.stem in RESUMED and file.parent.name == "notebooks":
        shutil.rmtree(RESUMED[file.stem], ignore_errors=True)
    notebook = nbformat.read(file, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=SECONDS_A_CELL,
        kernel_name="python3",
        resources={"metadata": {"path": str(file.parent)}},
        store_widget_state=False,
    )
    client.execute()
    tidy(notebook)
    nbformat.validate(notebook)
    nbformat.write(notebook, file)


def tidy(notebook: nbformat.NotebookNode) -> None:
    """Take out what says nothing of the notebook."""
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat_minor = 5
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02}"
        cell.metadata = nbformat.from_dict(
            {name: cell.metadata[name] for name in KEPT if cell.metadata.get(name)}
        )
        if FOLDED in cell.metadata.get("tags", ()):
            cell.metadata["jupyter"] = {"source_hidden": True}
        if cell.cell_type == "code":
            outputs = coalesce_streams(cell.outputs)
            cell.outputs = [o for o in outputs if not is_passing(o)]


def is_passing(output: nbformat.NotebookNode) -> bool:
    """Whether an output is a warning or a progress bar, as text or as a widget."""
    return output.get("name") == "stderr" or WIDGET in output.get("data", {})


def main(prefixes: list[str]) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    files = [f for folder in FOLDERS for f in sorted((ROOT / folder).glob("*.ipynb"))]
    for file in files:
        if not prefixes or file.name.startswith(tuple(prefixes)):
            print(file.relative_to(ROOT), flush=True)
            try:
                run(file)
            except CellExecutionError as error:
                sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
