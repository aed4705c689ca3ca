"""Slides of the chapters: whole, and without a network."""

import re
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))

from make_slides import FORMULA, deck, in_mathml  # noqa: E402

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TYPES = ("slide", "subslide", "fragment", "skip", "notes", "-")


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda file: file.stem)
def made(request):
    """A chapter and its page."""
    notebook = nbformat.read(request.param, as_version=4)
    return notebook, deck(notebook, "A title")


def slide_types(notebook):
    return [cell.metadata.slideshow.slide_type for cell in notebook.cells]


def test_every_cell_has_its_place(made):
    notebook, _ = made
    assert set(slide_types(notebook)) <= set(TYPES)
    for cell, kind in zip(notebook.cells, slide_types(notebook), strict=True):
        if cell.source.startswith("#") and cell.cell_type == "markdown":
            assert kind == "slide", cell.source[:40]


def test_as_many_slides_as_the_notebook_says(made):
    notebook, page = made
    kinds = slide_types(notebook)
    # nbconvert puts each stack of slides into a section of its own
    assert page.count("<section>") == 2 * kinds.count("slide") + kinds.count("subslide")


def test_all_pictures_and_no_address(made):
    notebook, page = made
    outputs = [o for c in notebook.cells for o in c.get("outputs", []) if "data" in o]
    pictures = sum("<img" in str(o["data"].get("text/html", "")) for o in outputs)
    assert page.count('src="data:image/') == pictures > 0
    assert not re.findall(r'(?:src|href)="(?:https?:)?//[^"]*"|@import|url\(["\']?http', page)
    assert "Reveal.initialize" in page


def test_formulas_are_written_out(made):
    notebook, page = made
    kinds = zip(notebook.cells, slide_types(notebook), strict=True)
    shown = [c.source for c, kind in kinds if c.cell_type == "markdown" and kind != "skip"]
    formulas = sum(m[1] is None for source in shown for m in FORMULA.finditer(source))
    assert page.count("<math ") == formulas
    assert "$$" not in re.sub(r"<(script|style)>.*?</\1>", "", page, flags=re.DOTALL)


def test_a_dollar_in_code_is_a_dollar():
    text = "`$1,000` and $x_i$, then\n```\n$y$\n```"
    made = FORMULA.sub(in_mathml, text)
    assert "`$1,000`" in made and "```\n$y$\n```" in made
    assert re.search(r"and <math [^>]*display=\"inline\">.*<msub>", made)
