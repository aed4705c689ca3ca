"""Notebooks as a reader has them: in JupyterLab, in Notebook 7, and as nbconvert's HTML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nbconvert import HTMLExporter
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output
from playwright.sync_api import Page, expect

from tests.browser.server import JupyterServer

PATIENCE = 30_000  # milliseconds
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
# Before there is a connection, commands that run something do nothing or ask for a kernel.
HAS_KERNEL = """
() => globalThis.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel
    ?.connectionStatus === "connected"
"""
COMMAND = """
([command, patience]) => Promise.race([
    jupyterapp.commands.execute(command),
    new Promise((_, reject) => setTimeout(() => reject(Error(command + " hangs")), patience)),
])
"""


def notebook_of(*cells: str | NotebookNode) -> NotebookNode:
    """A notebook of these cells; a string is the source of one that has not run."""
    made = [new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    return new_notebook(cells=made, metadata=KERNEL)


def cell_showing(*values: Any) -> NotebookNode:
    """A cell that ran elsewhere, and showed these."""
    shown = [{"text/html": v._repr_html_(), "text/plain": repr(v)} for v in values]
    outputs = [new_output("display_data", data=data) for data in shown]
    return new_code_cell("show_them()", execution_count=1, outputs=outputs)


def write_html(notebook: NotebookNode, path: Path) -> Path:
    """The notebook as `jupyter nbconvert --to html` writes it, less what nbconvert adds itself."""
    # Whatever is in it, nbconvert's page asks a CDN for require.js and MathJax. Without them, each
    # request that is left is a view's.
    exporter = HTMLExporter(require_js_url="", mathjax_url="")
    path.write_text(exporter.from_notebook_node(notebook)[0], encoding="utf-8")
    return path


class Frontend:
    """A notebook in JupyterLab or in Notebook 7, worked on by the commands of its menus."""

    def __init__(self, server: JupyterServer, page: Page, path: str) -> None:
        self.server = server
        self.page = page
        self.path = path
        self.name = ""

    def run(self, *cells: str | NotebookNode) -> Page:
        """Open a new notebook of these cells and run them all, for the first time."""
        self.open(*cells)
        self.run_all()
        return self.page

    def open(self, *cells: str | NotebookNode, trusted: bool = False) -> Page:
        """Open a new notebook of these cells and run nothing; who opens it trusts it, or not."""
        self.name = self.server.write(notebook_of(*cells))
        if trusted:
            self.server.trust(self.name)
        self.reload()
        return self.page

    def reload(self) -> None:
        """Open the notebook anew, as it was saved, and wait for its kernel."""
        self.page.goto("about:blank")
        self.page.goto(self.server.url + self.path.format(name=self.name))
        expect(self.page.locator(".jp-Notebook .jp-Cell").first).to_be_visible()
        self.page.wait_for_function(HAS_KERNEL)

    def run_all(self) -> None:
        """Run every cell, and wait for the last. Raises `AssertionError` where one fails."""
        if not self.command("notebook:run-all-cells"):
            outputs = [o for cell in self.save().cells for o in cell.get("outputs", ())]
            errors = [f"{o.ename}: {o.evalue}" for o in outputs if o.output_type == "error"]
            raise AssertionError(f"a cell failed with {errors}")

    def save(self) -> NotebookNode:
        """Save the notebook. Returns what was saved."""
        self.command("docmanager:save")
        return self.server.read(self.name)

    def command(self, name: str) -> Any:
        """Do what the menu item of that name does, and wait until it is done."""
        return self.page.evaluate(COMMAND, [name, PATIENCE])

    def untrust(self) -> None:
        """Open the saved notebook as one that somebody else has run and sent."""
        self.server.untrust(self.name)
        self.reload()

    def reopen(self) -> None:
        """Save, and open again with a new kernel that has run nothing, as on another day."""
        self.save()
        self.server.shut_kernels_down()
        self.reload()
