"""A chapter as the site shows it: pictures as files, predictions to make, quizzes to take."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import struct
from dataclasses import asdict
from pathlib import Path

from nbformat import NotebookNode

from minibert.course.quizzes import questions

PICTURE = re.compile(r'<img src="data:image/(png|svg\+xml);base64,([^"]+)"')
QUIZ = re.compile(r'^quiz\.(before|after)\((\d+), ""\)$')
PREDICT = "**Predict.**"
MINUTES = re.compile(r"\*\*Time\*\* (\d+) minutes")


def for_site(notebook: NotebookNode, file: str, pictures: Path) -> None:
    """Change a chapter in place. Its pictures are written into a folder beside its own."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            _show_quiz(cell)
            for output in cell.outputs:
                page = output.get("data", {}).get("text/html")
                if page:
                    output["data"]["text/html"] = PICTURE.sub(
                        lambda found: _saved(found, pictures), page
                    )
    _hide_what_answers(notebook.cells)
    _say_how_to_open(notebook.cells[0], file)


def _saved(found: re.Match, pictures: Path) -> str:
    """A picture as a file of its own, with its size, so that nothing moves when it arrives."""
    kind, data = found[1], base64.b64decode(found[2])
    width, height = png_size(data) if kind == "png" else svg_size(data)
    name = hashlib.sha256(data).hexdigest()[:16] + (".png" if kind == "png" else ".svg")
    pictures.mkdir(parents=True, exist_ok=True)
    (pictures / name).write_bytes(data)
    return f'<img loading="lazy" width="{width}" height="{height}" src="../{pictures.name}/{name}"'


def png_size(data: bytes) -> tuple[int, int]:
    """Pixels: width and height, from a PNG's header."""
    return struct.unpack(">II", data[16:24])


def svg_size(data: bytes) -> tuple[int, int]:
    """CSS pixels: width and height, which matplotlib writes in points."""
    points = re.search(rb'<svg [^>]*?height="([\d.]+)pt"[^>]*? width="([\d.]+)pt"', data, re.DOTALL)
    if not points:
        points = re.search(rb'<svg [^>]*?width="([\d.]+)pt" height="([\d.]+)pt"', data, re.DOTALL)
        return tuple(round(float(number) * 4 / 3) for number in points.groups())
    height, width = points.groups()
    return round(float(width) * 4 / 3), round(float(height) * 4 / 3)


def _show_quiz(cell: NotebookNode) -> None:
    """A quiz without its code. The script of the site makes buttons of the questions."""
    found = QUIZ.match(cell.source)
    if not found:
        return
    when, chapter = found[1], int(found[2])
    asked = json.dumps([asdict(one) for one in questions(chapter)], ensure_ascii=False)
    output = cell.outputs[0]["data"]
    output["text/html"] = (
        f'<div class="quiz" data-chapter="{chapter}" data-when="{when}" '
        f'data-questions="{html.escape(asked)}">{output["text/html"]}</div>'
    )
    cell.metadata.tags = [*cell.metadata.get("tags", ()), "remove-input"]


def _hide_what_answers(cells: list[NotebookNode]) -> None:
    """Mark where a prediction's answer begins and ends: its output, and the text about it."""
    for number, cell in enumerate(cells):
        if cell.cell_type != "markdown" or PREDICT not in cell.source:
            continue
        after = number + 1
        while after < len(cells) and cells[after].cell_type == "code":
            after += 1
        if after == number + 1 or after == len(cells):
            continue
        cell.source += '\n\n<div class="predict"></div>'
        talk = cells[after]
        end = '<div class="predicted"></div>'
        if talk.source.startswith("#") or PREDICT in talk.source:
            talk.source = f"{end}\n\n{talk.source}"
        else:
            talk.source = f"{talk.source}\n\n{end}"


def _say_how_to_open(cell: NotebookNode, file: str) -> None:
    """Under the title: minutes to read, and the command that opens this notebook."""
    title, rest = cell.source.split("\n", 1)
    minutes = MINUTES.search(rest)
    time, what = (f"{minutes[1]} minutes. ", "this chapter") if minutes else ("", "these exercises")
    cell.source = (
        f'{title}\n\n<p class="open">{time}To run {what}, type '
        f"<code>.venv/bin/jupyter lab {file}</code> in the course's folder.</p>\n{rest}"
    )
