"""A pytest plugin: nbval, with a comparison that learners' machines pass and mistakes do not.

    pytest --nbval notebooks/03_attention.ipynb
    MINIBERT_PROFILE=smoke pytest --nbval notebooks solutions   # with shorter training runs

Words and whole numbers must be the same as in the stored outputs; numbers with a decimal point may
differ by two units of their last printed digit, or by 1e-4 of their size: other processors and
thread counts round differently. Left out are progress bars, warnings (stderr) and the bytes of
pictures and of the explorer's weights: their alt text is compared. A notebook that was not run top
to bottom fails, as does, at once, one whose kernel dies.
"""

from __future__ import annotations

import math
import re
import time
from queue import Empty

import pytest
from nbval.plugin import IPyNbCell, IPyNbFile, coalesce_streams

NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w])|-?\d+\.\d+(?:e[+-]?\d+)?")
WIDGET = "application/vnd.jupyter.widget-view+json"
UNITS = 2
RELATIVE = 1e-4
BYTES = re.compile(r"data:[\w/+-]+;base64,[\w+/=]+")
SECONDS_BETWEEN_LOOKS = 2.0
LONG = 24 * 3600
"""Seconds; in place of the unit tests' limits, because a chapter trains for minutes."""


def difference(reference: str, new: str) -> str | None:
    """The first place where two outputs differ by more than rounding, or None."""
    words, new_words = NUMBER.split(reference), NUMBER.split(new)
    numbers, new_numbers = NUMBER.findall(reference), NUMBER.findall(new)
    if [" ".join(w.split()) for w in words] != [" ".join(w.split()) for w in new_words]:
        return f"the words differ:\n{reference}\n--- now:\n{new}"
    for number, new_number in zip(numbers, new_numbers, strict=True):
        if not same_number(number, new_number):
            return f"{number} is now {new_number} in:\n{reference}\n--- now:\n{new}"
    return None


def same_number(reference: str, new: str) -> bool:
    """Whether two printed numbers are the same but for rounding."""
    if reference == new:
        return True
    if not ("." in reference and "." in new):
        return "e" in reference and "e" in new and close(reference, new)
    return close(reference, new)


def close(reference: str, new: str) -> bool:
    a, b = float(reference), float(new)
    return math.isclose(a, b, rel_tol=RELATIVE, abs_tol=UNITS * last_digit(reference) * 1.001)


def last_digit(number: str) -> float:
    """The size of one unit of the last digit that is printed: 0.01 for 3.77, 1e-9 for 1.2e-8."""
    mantissa, _, exponent = number.partition("e")
    return 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))


def shown(outputs: list, quiet: bool) -> list[tuple[str, str]]:
    """What a reader sees of a cell's outputs, as (kind, text) pairs."""
    found = []
    for output in coalesce_streams(outputs):
        kind = output["output_type"]
        if kind == "stream":
            if output["name"] == "stdout":
                found.append(("stdout", output["text"]))
        elif kind == "error":
            found.append(("error", f"{output['ename']}: {output['evalue']}"))
        elif kind in ("display_data", "execute_result"):
            if kind == "execute_result" and quiet:
                continue  # the cell ends in `;`: nbval's kernel shows it all the same
            if WIDGET in output["data"]:
                continue  # a progress bar
            for mime, data in sorted(output["data"].items()):
                found.append((mime, BYTES.sub("", str(data))))
        else:
            raise ValueError(f"an output of type {kind} cannot be compared")
    return found


class Cell(IPyNbCell):
    """A code cell: runs, and shows what is stored."""

    def compare_outputs(self, test, ref, skip_compare=None):
        quiet = self.cell.source.rstrip().endswith(";")
        new, stored = shown(test, quiet), shown(ref, quiet)
        kinds, new_kinds = [kind for kind, _ in stored], [kind for kind, _ in new]
        problem = None
        if kinds != new_kinds:
            problem = f"stored are outputs {kinds}, now there are {new_kinds}: {new}"
        else:
            pairs = zip(stored, new, strict=True)
            problem = next((d for (_, a), (_, b) in pairs if (d := difference(a, b))), None)
        self.comparison_traceback = [problem or ""]
        return problem is None


class Notebook(IPyNbFile):
    """A notebook: its code cells, in order, in one kernel."""

    def setup(self):
        super().setup()
        await_reply = self.kernel.await_reply

        def watchful(msg_id, timeout=None):
            """Wait for a cell, but not for a kernel that is dead."""
            ends = time.monotonic() + (timeout or math.inf)
            while True:
                try:
                    return await_reply(msg_id, SECONDS_BETWEEN_LOOKS)
                except Empty:
                    if not self.kernel.is_alive():
                        raise RuntimeError(f"the kernel of {self.path.name} died") from None
                    if time.monotonic() > ends:
                        raise

        self.kernel.await_reply = watchful

    def collect(self):
        cells = list(super().collect())
        counts = [c.cell.execution_count for c in cells if c.cell.source.strip()]
        if counts != list(range(1, len(counts) + 1)):
            raise self.CollectError(
                f"{self.path.name} was not run top to bottom (its cells are numbered {counts}): "
                "make notebooks"
            )
        for c in cells:
            yield Cell.from_parent(
                self, name=c.name, cell_num=c.cell_num, cell=c.cell, options=c.options
            )


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path, parent):
    """Put our class in the place of nbval's."""
    collected = yield
    return [
        Notebook.from_parent(parent, path=file_path) if isinstance(file, IPyNbFile) else file
        for file in collected
    ]


def pytest_ignore_collect(collection_path):
    """Jupyter's own copies are no notebooks of the course."""
    return True if ".ipynb_checkpoints" in collection_path.parts else None


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    """Notebooks have a limit for each cell: `--nbval-cell-timeout`."""
    if config.option.nbval:
        config.option.timeout = config.option.timeout or LONG
        config.option.session_timeout = config.option.session_timeout or LONG
