"""A submitted notebook made fit to be graded: source, cell type and grade_id are all that counts.

Editors and converters leave notebooks that break the schema in many ways, and nbgrader refuses
most of them. So a notebook is not repaired: its sources are put into a new one, with the metadata
of the exercise.
"""

from __future__ import annotations

import json
from typing import Any

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell

NEW_CELLS = {"code": new_code_cell, "markdown": new_markdown_cell, "raw": new_raw_cell}


def grade_id(cell: Any) -> str:
    """nbgrader's name of a cell, or "" for a cell without one."""
    metadata = cell.get("metadata")
    about = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    return str(about.get("grade_id") or "") if isinstance(about, dict) else ""


def named_cells(exercise: Any) -> dict[str, Any]:
    """The exercise's cells that hold answers or are graded, by name."""
    return {grade_id(cell): cell for cell in exercise.cells if grade_id(cell)}


def clean_text(text: str) -> str:
    """Text that can be written as UTF-8: halves of surrogate pairs become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def read_cells(data: bytes) -> list[dict[str, Any]]:
    """The cells in a notebook's bytes. Raises `ValueError` where it is no notebook."""
    try:
        notebook = json.loads(data.decode(json.detect_encoding(data), "replace"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"this is no notebook: {error}") from None
    if not isinstance(notebook, dict):
        raise ValueError("this is no notebook: it does not hold a JSON object")
    places = [notebook]
    if isinstance(sheets := notebook.get("worksheets"), list):  # before version 4 of the format
        places += [sheet for sheet in sheets if isinstance(sheet, dict)]
    lists = [place["cells"] for place in places if isinstance(place.get("cells"), list)]
    if not lists:
        raise ValueError("this is no notebook: it has no list of cells")
    return [cell for cells in lists for cell in cells if isinstance(cell, dict)]


def rebuild(cells: list[dict[str, Any]], exercise: Any) -> Any:
    """A valid notebook of these cells. Cells of the exercise get its metadata and cell types.

    nbgrader trusts the metadata of a submission: points, locks, kernel. So only names are kept.
    """
    own = named_cells(exercise)
    notebook = new_notebook(metadata=exercise.metadata)
    for cell in cells:
        ours = own.get(grade_id(cell))
        kind = ours.cell_type if ours else cell.get("cell_type")
        made = NEW_CELLS.get(str(kind), new_raw_cell)(source_of(cell))
        made.metadata = ours.metadata if ours else {}
        if kind == "markdown" and (pictures := attachments_of(cell)):
            made.attachments = pictures
        notebook.cells.append(made)
    return notebook


def source_of(cell: dict[str, Any]) -> str:
    """A cell's text, which may be in lines."""
    source = cell.get("source", cell.get("input"))
    lines = source if isinstance(source, list) else [source]
    return clean_text("".join(line for line in lines if isinstance(line, str)))


def attachments_of(cell: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The pictures that were pasted into a cell."""
    found = cell.get("attachments")
    return {
        clean_text(name): {mime: clean_text(text) for mime, text in picture.items()}
        for name, picture in (found.items() if isinstance(found, dict) else ())
        if isinstance(picture, dict) and all(isinstance(text, str) for text in picture.values())
    }


def is_filled_in(cell: Any, given: Any) -> bool:
    """Whether a cell holds something else than the exercise gave."""
    return cell.source.strip() not in ("", given.source.strip())


def drop_copies(notebook: Any, exercise: Any) -> list[str]:
    """Leave one cell of each name, and say which were copied.

    An answer stays where it is first, because later cells may need it, with the text of the last
    copy that is filled in. A check stays where it first comes after its answer.
    """
    remarks, dropped = [], set()
    names = [grade_id(cell) for cell in notebook.cells]
    answer = ""
    for name, given in named_cells(exercise).items():
        locked = given.metadata.nbgrader.locked
        copies = [place for place, other in enumerate(names) if other == name]
        if len(copies) > 1:
            after = names.index(answer) if locked and answer in names else -1
            keep = next((place for place in copies if place > after), copies[0])
            remark = f"{name} was there {len(copies)} times"
            if not locked and fill_in(notebook.cells, keep, copies, given):
                remark += ", and the last that is filled in counts"
            remarks.append(remark)
            dropped |= {*copies} - {keep}
        answer = answer if locked else name
    notebook.cells = [cell for place, cell in enumerate(notebook.cells) if place not in dropped]
    return remarks


def fill_in(cells: list[Any], keep: int, copies: list[int], given: Any) -> bool:
    """Give one copy of an answer the text of the last that is filled in; whether they differed."""
    filled = [cells[place] for place in copies if is_filled_in(cells[place], given)]
    if not filled:
        return False
    differed = len({cells[place].source.strip() for place in copies}) > 1
    cells[keep] = filled[-1]
    return differed


def restore_checks(notebook: Any, exercise: Any) -> list[str]:
    """Put back the checks that were changed or deleted, and say which."""
    own, remarks = named_cells(exercise), []
    for cell in notebook.cells:
        ours = own.get(grade_id(cell))
        if ours and ours.metadata.nbgrader.locked and cell.source.strip() != ours.source.strip():
            cell.source = ours.source
            remarks.append(f"{grade_id(cell)} was changed: put back")
    after = len(notebook.cells)
    for name, ours in own.items():
        names = [grade_id(cell) for cell in notebook.cells]
        if name in names:
            after = names.index(name) + 1
        elif ours.metadata.nbgrader.grade:
            notebook.cells.insert(
                after, NEW_CELLS[ours.cell_type](ours.source, metadata=ours.metadata)
            )
            after += 1
            remarks.append(f"{name} was missing: put back")
    return remarks


def is_attempted(notebook: Any, exercise: Any) -> bool:
    """Whether any of the cells for answers was changed."""
    given = named_cells(exercise)
    return any(
        cell.source.strip() != given[grade_id(cell)].source.strip()
        for cell in notebook.cells
        if grade_id(cell) and not cell.metadata.nbgrader.locked
    )
