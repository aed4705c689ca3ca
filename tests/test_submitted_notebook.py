"""What is handed in is graded by its sources alone, however an editor left the rest of it."""

import copy
import json
from pathlib import Path

import nbformat
import pytest

from minibert.course import submitted_notebook as submitted

ROOT = Path(__file__).parents[1]
EXERCISE = nbformat.read(ROOT / "exercises/03_attention.ipynb", as_version=4)
VALID = json.loads((ROOT / "solutions/03_attention.ipynb").read_text("utf-8"))
GIVEN = {submitted.grade_id(cell): cell.source for cell in EXERCISE.cells}


def graded_as(data):
    """What nbgrader would be given: the type, name and source of each cell."""
    if not isinstance(data, bytes):
        data = json.dumps(data).encode()
    notebook = submitted.rebuild(submitted.read_cells(data), EXERCISE)
    nbformat.validate(notebook)
    assert notebook.metadata == EXERCISE.metadata
    given = submitted.named_cells(EXERCISE)
    for cell in notebook.cells:  # nbgrader believes what it finds here
        name = submitted.grade_id(cell)
        assert cell.metadata == (given[name].metadata if name else {})
    return [(c.cell_type, submitted.grade_id(c), c.source) for c in notebook.cells]


def each_cell(**values):
    """A change: these values in every cell; ... takes one away."""

    def change(notebook):
        for cell in notebook["cells"]:
            for key, value in values.items():
                if value is ...:
                    cell.pop(key, None)
                else:
                    cell[key] = value

    return change


def outputs(*found):
    def change(notebook):
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                cell["outputs"] = list(found)

    return change


def whole(**values):
    return lambda notebook: notebook.update(values)


def in_metadata(**values):
    def change(notebook):
        for cell in notebook["cells"]:
            cell["metadata"].update(values)

    return change


def in_version_3(notebook):
    """As IPython 3 wrote it: cells in a worksheet, code under "input"."""
    cells = notebook.pop("cells")
    for cell in cells:
        if cell["cell_type"] == "code":
            cell["input"] = cell.pop("source")
    notebook.update(nbformat=3, nbformat_minor=0, worksheets=[{"cells": cells, "metadata": {}}])


CHANGES = {
    "minor version 4 with ids": whole(nbformat_minor=4),
    "no version": lambda n: [n.pop("nbformat"), n.pop("nbformat_minor")],
    "a version of the future": whole(nbformat=5, nbformat_minor=99),
    "a version in words": whole(nbformat="4", nbformat_minor="x"),
    "version 3": in_version_3,
    "id null": each_cell(id=None),
    "ids that are no ids": each_cell(id="a b/c" * 50),
    "the same id everywhere": each_cell(id="same"),
    "no ids": each_cell(id=...),
    "no outputs": each_cell(outputs=...),
    "outputs null": each_cell(outputs=None),
    "outputs a string": each_cell(outputs="1"),
    "no execution count": each_cell(execution_count=...),
    "execution count *": each_cell(execution_count="*"),
    "execution count a float": each_cell(execution_count=1.5),
    "a stream without name": outputs({"output_type": "stream", "text": "x"}),
    "display data without metadata": outputs({"output_type": "display_data", "data": {}}),
    "an output of an unknown type": outputs({"output_type": "pyout"}, None, 7),
    "extra keys": each_cell(extra={"deep": [1]}, prompt_number=3, language="python"),
    "extra keys at the top": whole(worksheets=None, extra=1),
    "tags a string": in_metadata(tags="skip-execution"),
    "tags a number": in_metadata(tags=7),
    "collapsed null": in_metadata(collapsed=None, scrolled="x", name=3),
    "attachments null": each_cell(attachments=None),
    "attachments a list": each_cell(attachments=[1]),
    "attachments without types": each_cell(attachments={"a.png": None, "b.png": {"image/png": 7}}),
    "a kernel without a name to show": whole(metadata={"kernelspec": {"name": "julia"}}),
    "a kernelspec that is none": whole(metadata={"kernelspec": [], "language_info": 3}),
    "no metadata": lambda n: n.pop("metadata"),
    "metadata a list": whole(metadata=[]),
    "cells that are none": lambda n: n["cells"].extend([None, 7, "x", []]),
    "sources in one string": lambda n: [c.update(source="".join(c["source"])) for c in n["cells"]],
    "sources line by line": lambda n: [
        c.update(source="".join(c["source"]).splitlines(keepends=True)) for c in n["cells"]
    ],
    "answers as Markdown": lambda n: [
        c.update(cell_type="markdown") for c in n["cells"] if submitted.grade_id(c)
    ],
    "answers without a type": lambda n: [
        c.pop("cell_type") for c in n["cells"] if submitted.grade_id(c)
    ],
    "nbgrader's metadata changed": lambda n: [
        c["metadata"]["nbgrader"].update(points=99, grade=True, locked=False, schema_version="x")
        for c in n["cells"]
        if submitted.grade_id(c)
    ],
}  # fmt: skip
AS_BYTES = {
    "a byte order mark": b"\xef\xbb\xbf" + json.dumps(VALID).encode(),
    "UTF-16": json.dumps(VALID).encode("utf-16"),
    "not in ASCII": json.dumps(VALID, ensure_ascii=False).encode(),
    "blanks around it": b"\n\n  " + json.dumps(VALID).encode() + b"\r\n",
    "NaN": json.dumps(VALID | {"score": float("nan")}).encode(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_breaks_the_schema_is_graded_as_the_valid_one(change):
    notebook = copy.deepcopy(VALID)
    change(notebook)
    assert graded_as(notebook) == graded_as(VALID)


@pytest.mark.parametrize("data", AS_BYTES.values(), ids=AS_BYTES)
def test_what_is_not_plain_utf_8_is_graded_as_what_is(data):
    assert graded_as(data) == graded_as(VALID)


def test_the_valid_one_is_what_nbformat_reads():
    read = nbformat.reads(json.dumps(VALID), as_version=4)
    expected = [(c.cell_type, submitted.grade_id(c), c.source) for c in read.cells]
    assert graded_as(VALID) == expected


def test_a_byte_or_a_surrogate_that_is_wrong_costs_only_itself():
    text = json.dumps(VALID | {"cells": [code("café \ud800", "split_heads")]}, ensure_ascii=False)
    data = text.encode("utf-8", "surrogatepass").replace("é".encode(), b"\xe9")
    ((_, name, source),) = graded_as(data)
    assert name == "split_heads" and source.startswith("caf\ufffd ")
    escaped = json.dumps(VALID | {"cells": [code("\ud800 x", "split_heads")]}).encode()
    assert graded_as(escaped) == [("code", "split_heads", "? x")]


@pytest.mark.parametrize(
    ("metadata", "name"),
    [
        ({"nbgrader": {"grade_id": "split_heads"}}, "split_heads"),
        ({"nbgrader": {"grade_id": None}}, ""),
        ({"nbgrader": {"grade_id": 7}}, ""),
        ({"nbgrader": {"grade_id": ["split_heads"]}}, ""),
        ({"nbgrader": "split_heads"}, ""),
        ({"nbgrader": None}, ""),
        (None, ""),
        ([], ""),
        ("x", ""),
    ],
)
def test_metadata_that_names_no_cell_of_the_exercise_is_none(metadata, name):
    cell = {"cell_type": "code", "source": "1", "metadata": metadata}
    assert graded_as({"cells": [cell]}) == [("code", name, "1")]


@pytest.mark.parametrize("source", [None, 7, {"a": 1}, [None, 3], ...])
def test_a_source_that_is_none_is_empty(source):
    cell = code("", "split_heads") | {"source": source}
    if source is ...:
        del cell["source"]
    assert graded_as({"cells": [cell]}) == [("code", "split_heads", "")]


@pytest.mark.parametrize(
    "data",
    [b"", b"%PDF-1.4 \xff", b"[1, 2]", b'"cells"', b"{}", b'{"cells": {}}', b'{"cells": null}',
     b'{"cells": [', b"[" * 100_000, b"\x00\x00", b'{"worksheets": [7, {}]}'],
)  # fmt: skip
def test_what_is_no_notebook_is_said_to_be_none(data):
    with pytest.raises(ValueError, match="this is no notebook"):
        submitted.read_cells(data)


def test_pasted_pictures_are_kept_for_the_teacher():
    cell = {"cell_type": "markdown", "source": "x", "attachments": {"a.png": {"image/png": "AA"}}}
    notebook = submitted.rebuild([cell], EXERCISE)
    assert notebook.cells[0].attachments == {"a.png": {"image/png": "AA"}}


# Copies


def code(source, name=""):
    return {"cell_type": "code", "source": source, "metadata": {"nbgrader": {"grade_id": name}}}


def without_copies(*cells):
    """The cells that are left, and the remarks."""
    notebook = submitted.rebuild(list(cells), EXERCISE)
    remarks = submitted.drop_copies(notebook, EXERCISE)
    return [(submitted.grade_id(c), c.source) for c in notebook.cells], remarks


A, B = "split_heads", "merge_heads"
CHECK_A, CHECK_B = code("check", f"check_{A}"), code("check", f"check_{B}")
TWICE = f"{A} was there 2 times"
LAST = f"{TWICE}, and the last that is filled in counts"


@pytest.mark.parametrize(
    ("copies", "counts", "remark"),
    [
        (["one", "one"], "one", TWICE),
        (["one", " one\n"], " one\n", TWICE),
        (["one", "two"], "two", LAST),
        (["one", GIVEN[A]], "one", LAST),
        ([GIVEN[A], "one"], "one", LAST),
        (["one", ""], "one", LAST),
        (["one", " \n"], "one", LAST),
        ([GIVEN[A], GIVEN[A]], GIVEN[A], TWICE),
        (["", ""], "", TWICE),
        (["one", "two", GIVEN[A]], "two", LAST.replace("2", "3")),
        (["one"], "one", None),
    ],
)
def test_the_last_copy_that_is_filled_in_counts(copies, counts, remark):
    cells = [code(source, A) for source in copies]
    for together in ([*cells, CHECK_A], [cells[0], CHECK_A, *cells[1:]]):
        left, remarks = without_copies(*together)
        assert left == [(A, counts), (f"check_{A}", "check")]
        assert remarks == ([remark] if remark else [])


def test_an_answer_that_was_written_at_the_end_is_there_for_the_cells_that_need_it():
    cells = [code(GIVEN[A], A), CHECK_A, code("uses it", B), CHECK_B, code("done", A), CHECK_A]
    left, remarks = without_copies(*cells)
    assert left == [(A, "done"), (f"check_{A}", "check"), (B, "uses it"), (f"check_{B}", "check")]
    assert remarks == [LAST, f"check_{A} was there 2 times"]


def test_a_check_that_was_copied_before_its_answer_counts_after_it():
    left, _ = without_copies(CHECK_A, code("done", A), CHECK_A, code("x"))
    assert [name for name, _ in left] == [A, f"check_{A}", ""]


def test_words_that_were_copied_keep_the_last_text_and_its_picture():
    words = {"metadata": {"nbgrader": {"grade_id": "words_1"}}, "cell_type": "markdown"}
    picture = {"attachments": {"a.png": {"image/png": "AA"}}}
    cells = [words | {"source": "one"}, words | {"source": "two"} | picture]
    notebook = submitted.rebuild(cells, EXERCISE)
    submitted.drop_copies(notebook, EXERCISE)
    (left,) = notebook.cells
    assert left.source == "two" and left.attachments == picture["attachments"]


def test_cells_without_a_name_or_of_another_exercise_are_no_copies():
    cells = [code("x"), code("x"), code("y", "another"), code("y", "another")]
    left, remarks = without_copies(*cells)
    assert left == [("", "x"), ("", "x"), ("", "y"), ("", "y")] and not remarks


# Checks


def test_checks_that_are_gone_or_changed_are_put_back():
    cells = [code("done", A), code("pass", f"check_{A}"), code("done", B)]
    notebook = submitted.rebuild(cells, EXERCISE)
    remarks = submitted.restore_checks(notebook, EXERCISE)
    sources = {submitted.grade_id(cell): cell.source for cell in notebook.cells}
    checks = {name for name in GIVEN if name.startswith("check_")}
    assert all(sources[name] == GIVEN[name] for name in checks)
    names = [submitted.grade_id(cell) for cell in notebook.cells]
    assert names.index(f"check_{A}") == names.index(A) + 1
    assert names.index(f"check_{B}") == names.index(B) + 1
    assert f"check_{A} was changed: put back" in remarks
    assert f"check_{B} was missing: put back" in remarks and len(remarks) == len(checks) + 1
    nbformat.validate(notebook)


def test_an_answer_is_attempted_when_its_text_changes():
    given = [code(f"{source}\n", name) for name, source in GIVEN.items() if name]
    notebook = submitted.rebuild(given, EXERCISE)
    assert not submitted.is_attempted(notebook, EXERCISE)
    notebook.cells.append(submitted.rebuild([code("x")], EXERCISE).cells[0])
    assert not submitted.is_attempted(notebook, EXERCISE)
    assert submitted.is_attempted(submitted.rebuild([code("x", A)], EXERCISE), EXERCISE)
    check = submitted.rebuild([code("x", f"check_{A}")], EXERCISE)
    assert not submitted.is_attempted(check, EXERCISE)
