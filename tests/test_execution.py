"""Cells are run within their limits, and their outputs are made fit to be stored and graded."""

import json

import nbformat
import pytest
from jupyter_client.session import Session
from nbclient.exceptions import DeadKernelError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbgrader.preprocessors import Execute

from minibert.course import execution, kernel_guard

CHECK = {"nbgrader": {"grade_id": "check_a", "grade": True}}
ANSWER = {"nbgrader": {"grade_id": "a", "grade": False}}
PASSED = {"output_type": "stream", "name": "stdout", "text": "a: passed\n"}


class Kernel:
    """Stands in for Jupyter: each cell's outputs, or its error, and the calls of our own."""

    def __init__(self, monkeypatch, *cells):
        self.remarks, self.calls, self.ran, self.now = [], [], [], 0.0
        self.cells, self.given = [], dict(enumerate(outputs for _, outputs in cells))
        monkeypatch.setattr(Execute, "preprocess_cell", lambda _, *args: self.run(*args))
        monkeypatch.setattr(execution.time, "monotonic", lambda: self.now)
        job = {"memory": 7, "fenced": True, "seconds": 40}
        self.steps = execution.watched_execute(job, self.remarks)()
        self.steps.call = self.calls.append
        for number, (cell, _) in enumerate(cells):
            self.cells.append(self.steps.preprocess_cell(cell, {}, number)[0])

    def run(self, cell, resources, index):
        self.ran.append(index)
        self.calls.append(f"cell {index}, {self.steps._get_timeout(cell):g} s")
        outputs = self.given[index]
        if isinstance(outputs, Exception):
            raise outputs
        self.now += outputs if isinstance(outputs, int) else 1
        found = [] if isinstance(outputs, int) else outputs
        cell.outputs = [nbformat.from_dict(output) for output in found]
        return cell, resources


def test_limits_come_first_and_clean_checks_before_each_check(monkeypatch):
    cells = [(new_markdown_cell("x"), []), (new_code_cell("1", metadata=ANSWER), []),
             (new_code_cell("check.a(a)", metadata=CHECK), [PASSED])]  # fmt: skip
    kernel = Kernel(monkeypatch, *cells)
    assert kernel.calls == [
        "set_limits(7, False)", "cell 1, 10 s", "restore_checks()", "cell 2, 10 s"
    ]  # fmt: skip
    assert not kernel.remarks and kernel.cells[2].outputs == [PASSED]


def test_a_cell_gets_a_quarter_of_the_time_and_all_cells_together_all_of_it(monkeypatch):
    kernel = Kernel(monkeypatch, *[(new_code_cell("1"), seconds) for seconds in (10, 10, 13, 8, 1)])
    assert [call[-4:] for call in kernel.calls[1:]] == ["10 s", "10 s", "10 s", " 7 s"]
    assert kernel.remarks == ["the time was up after cell 4"]
    assert kernel.cells[4].outputs[0].evalue == "not run: the time is up"


@pytest.mark.parametrize(
    ("error", "remark"),
    [
        (DeadKernelError("dead"), "a ended Python"),
        (TimeoutError("late"), "a could not be interrupted"),
    ],
)
def test_after_a_python_that_is_gone_nothing_is_run(monkeypatch, error, remark):
    cells = [(new_code_cell("1", metadata=ANSWER), error),
             (new_code_cell("check.a(a)", metadata=CHECK), [PASSED])]  # fmt: skip
    kernel = Kernel(monkeypatch, *cells)
    assert kernel.ran == [0] and kernel.remarks == [f"{remark}: the cells after it were not run"]
    assert [c.outputs[-1].output_type for c in kernel.cells] == ["error", "error"]


def test_what_took_too_long_or_too_much_memory_is_remarked_on(monkeypatch):
    late = dict(execution.stopped("stopped: this took too long"))
    full = {"output_type": "error", "ename": "MemoryError", "evalue": "", "traceback": []}
    kernel = Kernel(monkeypatch, (new_code_cell("1"), [late]), (new_code_cell("2"), [full]))
    assert kernel.remarks == ["cell 1 took too long", "cell 2 ran out of memory"]
    assert kernel.calls[-2] == "restore_checks()"  # asks whether Python still answers


def test_a_check_that_printed_nothing_fails_and_a_warning_costs_nothing(monkeypatch):
    warning = PASSED | {"name": "stderr"}
    cells = [(new_code_cell("check.a(a)", metadata=CHECK), []),
             (new_code_cell("check.a(a)", metadata=CHECK), [warning]),
             (new_code_cell("1", metadata=ANSWER), [warning])]  # fmt: skip
    first, second, third = Kernel(monkeypatch, *cells).cells
    assert first.outputs[0].output_type == "error"
    assert second.outputs[0].name == "stdout" and third.outputs[0].name == "stderr"


def test_an_answer_in_code_that_a_person_grades_may_print_nothing(monkeypatch):
    by_hand = {"nbgrader": {"grade_id": "essay", "grade": True, "solution": True}}
    kernel = Kernel(
        monkeypatch, (new_code_cell("essay = 'BERT reads both ways'", metadata=by_hand), [])
    )
    assert not kernel.cells[0].outputs and not kernel.remarks


def test_whatever_a_cell_displays_can_be_stored(monkeypatch):
    strange = {"text/html": 5, "image/png": {"a": 1}, "text/plain": "\ud800x", "x/y": "z"}
    outputs = [
        {"output_type": "display_data", "data": strange, "metadata": {"a": {1: 2}}},
        {"output_type": "execute_result", "data": {}, "metadata": {}, "execution_count": 7},
        PASSED | {"text": "\udfff" * 3},
        {"output_type": "error", "ename": "\ud800", "evalue": "\ud800", "traceback": ["\ud800"]},
        PASSED | {"text": "x" * 3_000_000},
        {"output_type": "display_data", "data": {"text/html": "<p>" * 10**6}, "metadata": {}},
    ]
    (cell,) = Kernel(monkeypatch, (new_code_cell("1"), outputs)).cells
    assert cell.outputs[0].data == {"text/plain": "?x"} and cell.outputs[2].text == "???"
    assert len(cell.outputs[4].text) == execution.LONGEST_OUTPUT
    assert cell.outputs[5].data == {"text/html": "(too long to be shown)"}  # half would be broken
    text = nbformat.writes(new_notebook(cells=[cell]))
    assert json.loads(text.encode().decode()) and nbformat.validate(nbformat.reads(text, 4)) is None


def test_what_no_notebook_can_hold_ends_nothing():
    """A message with it comes from the cell's Python, and the notebook is graded all the same."""
    steps = execution.watched_execute({}, [])()
    steps.nb = new_notebook(cells=[new_code_cell("1")])
    steps.clear_before_next_output, outputs = False, []
    for data in ({"text/html": 5}, {"text/html": "5"}, {"image/png": {"a": 1}}):
        content = {"data": data, "metadata": {}}
        kind = "display_data"
        header, parent = {"msg_type": kind}, {"msg_id": "1"}
        message = dict(msg_type=kind, header=header, parent_header=parent, content=content)
        steps.output(outputs, message, None, 0)
    assert [output.data for output in outputs] == [{"text/html": "5"}]


def test_a_kernel_sends_what_utf_8_cannot_hold():
    session = Session()
    with pytest.raises(UnicodeEncodeError):
        session.pack({"text": "\ud800"})  # or this needs no mending any more
    kernel_guard.pack_anything(session)
    for message in ({"text": "\ud800 printed"}, {"text": "café", "number": 1.5}):
        assert session.unpack(session.pack(message)) == message


def test_a_python_that_cannot_clean_the_checks_is_an_error():
    """Otherwise a cell that breaks the cleaning would leave its own checks in place."""
    cell = new_code_cell("import sys; sys.modules.clear()")
    steps = execution.watched_execute({}, [])()
    steps.nb = new_notebook(cells=[cell])
    error = new_output("error", ename="KeyError", evalue="'os'", traceback=[])
    steps.execute_cell = lambda ours, *_, **__: ours.outputs.append(error)
    with pytest.raises(RuntimeError, match="KeyError: 'os'"):
        steps.call("restore_checks()")
    assert steps.nb.cells == [cell]


def test_an_error_behind_a_thousand_outputs_still_fails_a_check(monkeypatch):
    error = {"output_type": "error", "ename": "E", "evalue": "", "traceback": []}
    outputs = [PASSED] * 5_000 + [error]
    (cell,) = Kernel(monkeypatch, (new_code_cell("check.a(a)", metadata=CHECK), outputs)).cells
    assert len(cell.outputs) == 1_001 and cell.outputs[-1].ename == "E"
