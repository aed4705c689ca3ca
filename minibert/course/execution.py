"""nbgrader's way to run a notebook, made to come to an end and to keep the checks clean."""

from __future__ import annotations

import math
import time
from typing import Any

from nbclient.exceptions import DeadKernelError
from nbformat.v4 import new_code_cell, new_output
from nbformat.validator import NotebookValidationError
from nbgrader.preprocessors import Execute

from minibert.course.submitted_notebook import clean_text, grade_id

IMPORT_SECONDS = 240.0
"""The time that the first call gets, which imports torch."""
MOST_OUTPUTS = 1000
LONGEST_OUTPUT = 2_000_000
"""How many outputs of a cell, and how many characters of each, are kept."""


def stopped(why: str) -> Any:
    """An output that says why a cell did not run to its end."""
    return new_output("error", ename="Stopped", evalue=why, traceback=[why])


def watched_execute(job: dict[str, Any], remarks: list[str]) -> type[Execute]:
    """A preprocessor for one notebook. It adds what happens to the remarks."""
    return type("WatchedExecute", (WatchedExecution,), {"job": job, "remarks": remarks})


class WatchedExecution(Execute):
    """Runs the cells within their limits. A subclass knows the job and where remarks go."""

    job: dict[str, Any]
    remarks: list[str]
    begun = False
    end, cell_seconds = math.inf, IMPORT_SECONDS
    over = ""
    """Why nothing more is run."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.error_on_timeout = stopped("stopped: this took too long")
        self.iopub_timeout = 30  # printed text may come late on a busy machine

    def output(self, outs: list[Any], msg: Any, display_id: str | None, cell_index: int) -> Any:
        """nbclient's, but what no notebook can hold, such as HTML that is a number, is left out."""
        try:
            return super().output(outs, msg, display_id, cell_index)
        except NotebookValidationError:
            return None

    def _get_timeout(self, cell: Any) -> float:
        return max(1, min(self.cell_seconds, self.end - time.monotonic()))

    def preprocess_cell(self, cell: Any, resources: Any, index: int) -> tuple[Any, Any]:
        if cell.cell_type != "code":
            return cell, resources
        if not self.begun:
            self.begin()
        if self.over:
            cell.outputs = [stopped(f"not run: {self.over}")]
            return cell, resources
        name = grade_id(cell) or f"cell {index + 1}"
        graded = bool(grade_id(cell)) and cell.metadata.nbgrader.grade
        try:
            if graded:
                self.call("restore_checks()")
            super().preprocess_cell(cell, resources, index)
            if any(output.get("ename") == "Stopped" for output in cell.outputs):
                self.remarks.append(f"{name} took too long")
                self.call("restore_checks()")  # does Python still answer?
        except (RuntimeError, TimeoutError) as error:
            dead = isinstance(error, DeadKernelError)
            self.over = f"{name} {'ended Python' if dead else 'could not be interrupted'}"
            self.remarks.append(f"{self.over}: the cells after it were not run")
            cell.outputs.append(stopped(self.over))
        self.look_at_outputs(cell, name, graded)
        if not self.over and time.monotonic() > self.end:
            self.over = "the time is up"
            self.remarks.append(f"the time was up after {name}")
        return cell, resources

    def begin(self) -> None:
        """Set the limits. The clock starts here, after torch has been imported."""
        self.call(f"set_limits({self.job['memory']}, {not self.job['fenced']})")
        self.begun, self.cell_seconds = True, self.job["seconds"] / 4
        self.end = time.monotonic() + self.job["seconds"]

    def look_at_outputs(self, cell: Any, name: str, graded: bool) -> None:
        """Remark on what the outputs show, and make them what nbgrader can store and grade."""
        errors = [output for output in cell.outputs[MOST_OUTPUTS:] if output.output_type == "error"]
        cell.outputs = [sound_output(o) for o in cell.outputs[:MOST_OUTPUTS] + errors]
        if graded and cell.source.startswith("check.") and not cell.outputs:
            self.remarks.append(f"{name} printed nothing, though a check always does: no points")
            cell.outputs = [stopped("this check was kept from running")]
        for output in cell.outputs:
            if output.get("ename") == "MemoryError":
                self.remarks.append(f"{name} ran out of memory")
            if graded and output.output_type == "stream":
                output.name = "stdout"  # nbgrader gives no points for a cell with a warning

    def call(self, function: str) -> None:
        """Call a function of `kernel_guard` in the notebook's Python."""
        code = f"__import__('minibert.course.kernel_guard').course.kernel_guard.{function}"
        cell, first = new_code_cell(code), self.nb.cells[0]
        self.execute_cell(cell, 0, store_history=False)
        self.nb.cells[0] = first  # nbclient puts what it runs into the notebook
        for output in cell.outputs:
            if output.output_type == "error":
                raise RuntimeError(f"{output.ename}: {output.evalue}")


def sound_output(output: Any) -> Any:
    """An output that can be stored: a cell may display anything, even what no notebook can hold."""

    def short(text: str) -> str:
        return clean_text(text[:LONGEST_OUTPUT])

    if output.output_type == "stream":
        return new_output("stream", name=output.name, text=short(output.text))
    if output.output_type == "error":
        lines = [short(line) for line in output.traceback]
        what, why = short(output.ename), short(output.evalue)
        return new_output("error", ename=what, evalue=why, traceback=lines)
    data = {
        mime: short(value) if len(value) <= LONGEST_OUTPUT else "(too long to be shown)"
        for mime, value in output.data.items()
        if isinstance(value, str) and mime.startswith(("text/", "image/"))
    }
    return new_output(output.output_type, data=data)
