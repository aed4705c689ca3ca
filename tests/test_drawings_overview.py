"""The drawing of chapter 0 says what the course's table says."""

import re
from pathlib import Path

from minibert.viz.drawings.overview import PARTS, draw_overview

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def test_every_part_is_built_in_a_chapter_that_there_is():
    """In order, and in a chapter whose title names the part."""
    titles = {int(file.name[:2]): file.stem for file in NOTEBOOKS.glob("*.ipynb")}
    built = [int(n) for _, _, chapter in PARTS for n in re.findall(r"\d+", chapter)]
    assert built == [1, 2, 3, 4, 5, 6]
    for name, _, chapter in PARTS[1:5]:
        word = {"vectors": "embeddings"}.get(name, name)
        assert word in titles[int(chapter.split()[1])]


def test_its_words_say_all_of_it():
    alt = draw_overview().alt
    for name, what, chapter in PARTS:
        assert name in alt and " ".join(what.split()) in alt and chapter in alt
