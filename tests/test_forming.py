"""The view of a text that is being written: what was done, in a picture, in words and in lines."""

import re
import warnings
import xml.etree.ElementTree as ET

import matplotlib
import pytest
from hostile import HOSTILE_TOKENS
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from minibert.inference.generation import (
    Generation,
    Sampling,
    Step,
    gibbs,
    left_to_right,
    make_frame,
)
from minibert.model import load
from minibert.viz import forming
from minibert.viz.forming import describe_forming, forming_text

MASK = "[MASK]"


def generation(*steps):
    """Of steps (tokens, {place: probability})."""
    made = []
    for tokens, written in steps:
        ids = tuple(range(len(tokens)))
        made.append(Step(ids, tuple(tokens), tuple(written), tuple(written.values())))
    return Generation("some method", " ".join(made[-1].tokens), tuple(made))


THREE = generation(
    (["the", MASK, MASK, "."], {}),
    (["the", "old", MASK, "."], {1: 0.25}),
    (["the", "old", "cats", "."], {2: 0.9}),
    (["the", "new", "cats", "."], {1: 0.5}),
)


def texts(picture):
    return [text for text in picture.figure.axes[0].texts if text.get_text()]


def rows(picture):
    """Of each row its words, as (text, weight, colour), by where they stand."""
    found, at = [], {}
    for text in texts(picture)[1:]:
        name = text.get_text()
        if re.fullmatch(r"frame|step \d+", name):
            found.append((name, []))
            at[name] = text.get_position()[1]
        elif not name.startswith("Bold in a box"):
            found[-1][1].append((name, text.get_weight(), text.get_color()))
    assert list(at.values()) == sorted(at.values())  # downwards
    return found


def cells(picture):
    return [patch for patch in picture.figure.axes[0].patches if isinstance(patch, Rectangle)]


def test_a_row_for_each_step():
    picture = forming(THREE)
    assert texts(picture)[0].get_text() == "some method, 3 steps"
    assert [(name, [word for word, _, _ in words]) for name, words in rows(picture)] == [
        ("frame", ["the", MASK, MASK, "."]),
        ("step 1", ["the", "old", MASK, "."]),
        ("step 2", ["the", "old", "cats", "."]),
        ("step 3", ["the", "new", "cats", "."]),
    ]


def test_what_is_new_is_bold_and_boxed():
    picture = forming(THREE)
    bold = [[w for w, weight, _ in words if weight == "bold"] for _, words in rows(picture)]
    assert bold == [[], ["old"], ["cats"], ["new"]]
    boxed = [cell.get_linewidth() > 0 for cell in cells(picture)]
    assert boxed == [True, False, True, True, False]  # row by row; the frame's tokens have none


def test_a_cell_is_as_dark_as_the_model_was_sure():
    picture = forming(THREE)
    shades = [cell.get_facecolor() for cell in cells(picture)]
    blues = matplotlib.colormaps["Blues"]
    assert shades == [to_rgba(blues(share)) for share in (0.25, 0.25, 0.9, 0.5, 0.9)]
    colours = {word: colour for _, words in rows(picture) for word, _, colour in words}
    assert colours["cats"] == "white" and colours["old"] == "black"


def test_words_stand_one_below_the_other():
    places = {}
    for text in texts(forming(THREE)):
        places.setdefault(text.get_text(), set()).add(text.get_position()[0])
    assert len(places["the"]) == 1 and places["old"] == places["new"]


def contrast(one, other):
    """WCAG's, from 1 to 21."""

    def luminance(colour):
        parts = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgba(colour)[:3]
        ]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), parts, strict=True))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("share", [i / 20 for i in range(21)])
def test_words_can_be_read_on_every_shade(share):
    picture = forming(generation(([MASK], {}), (["x"], {0: share})))
    (cell,) = cells(picture)
    (_, ((_, _, colour),)) = rows(picture)[1]
    assert contrast(colour, cell.get_facecolor()) >= 4.5
    (_, ((_, _, grey),)) = rows(picture)[0]
    assert contrast(grey, "white") >= 4.5


@pytest.fixture(scope="module")
def long():
    return gibbs(*load("mini"), make_frame("The people", 8), Sampling(), steps=150)


def test_of_many_steps_some_are_shown_and_the_title_says_so(long):
    picture = forming(long, rows=6)
    assert texts(picture)[0].get_text() == "Gibbs sampling, 150 steps, 5 of them shown"
    assert "150 steps, 5 of them shown" in picture.alt
    names = [name for name, _ in rows(picture)]
    assert names == ["frame", "step 30", "step 60", "step 90", "step 120", "step 150"]
    # Bold is all that was written since the row above, not in the last step alone.
    previous = 0
    for name, words in rows(picture)[1:]:
        number = int(name.removeprefix("step "))
        new = {place for step in long.steps[previous + 1 : number + 1] for place in step.written}
        assert {i for i, (_, weight, _) in enumerate(words) if weight == "bold"} == new
        assert [word for word, _, _ in words] == list(long.steps[number].tokens)
        previous = number


def test_a_long_text_goes_on_in_the_next_line():
    made = left_to_right(*load("mini"), make_frame("The people", 30))
    picture = forming(made, rows=3)
    assert picture.figure.get_size_inches()[0] < 11
    figure = picture.figure
    inside = figure.bbox.padded(1)
    boxes = [text.get_window_extent() for ax in figure.axes for text in ax.texts]
    assert all(inside.contains(*box.min) and inside.contains(*box.max) for box in boxes)
    for one in range(len(boxes)):  # no word is written over another
        assert not any(boxes[one].shrunk(0.9, 0.9).overlaps(box) for box in boxes[one + 1 :])
    ticks = [t.get_window_extent() for t in figure.axes[1].get_xticklabels()]
    assert all(inside.contains(*box.max) for box in ticks)


def test_in_words():
    assert describe_forming(THREE) == forming(THREE).alt
    assert describe_forming(THREE) == (
        "A text forms by some method, 3 steps. It begins as: the [MASK] [MASK] . It ends as: the "
        "new cats . Of what it wrote, the model was least sure of 'new', with 50% and most sure "
        "of 'cats', with 90%."
    )


def test_as_lines():
    assert forming_text(THREE).splitlines() == [
        "some method, 3 steps",
        "0  the ___ ___ .",
        "1  the *old 25%* ___ .",
        "2  the old *cats 90%* .",
        "3  the *new 50%* cats .",
    ]
    assert forming_text(THREE, rows=2).splitlines() == [
        "some method, 3 steps, 1 of them shown",
        "0  the ___ ___ .",
        "3  the *new 50%* *cats 90%* .",
    ]


def test_lines_hold_no_control_characters():
    bad = "\x1b[31m\r\n\u202ered"
    made = generation(([bad, MASK], {}), ([bad, bad], {1: 0.5}))
    lines = forming_text(made).split("\n")
    assert len(lines) == 3 and all(line.isprintable() for line in lines)


def test_no_token_becomes_an_element():
    """The SVG is XML with the elements that plain tokens give, and nothing that runs or loads."""

    def elements(tokens):
        empty = [MASK] * len(tokens)
        given = generation((empty, {}), (tokens, dict.fromkeys(range(len(tokens)), 0.5)))
        root = ET.fromstring(forming(given).svg())
        assert forming(given)._repr_html_().count("<") == 1
        return [(node.tag.rpartition("}")[2], node) for node in root.iter()]

    found = elements(HOSTILE_TOKENS)
    assert not {"script", "img", "iframe", "a", "foreignObject"} & {tag for tag, _ in found}
    for _, node in found:
        for name, value in node.attrib.items():
            assert not name.startswith("on")
            if name.endswith("href"):
                assert value.startswith(("#", "data:image/png;base64,"))
    shown = [node.text for tag, node in found if tag == "text"]
    assert "<script>owned=1;…" in shown


def test_no_character_is_drawn_as_a_box():
    scripts = ["العربية", "中文", "👩‍💻", "हिन्दी", "e\u0301", "$\\$a$", "\U0001fae8"]
    given = generation(([MASK] * 7, {}), (scripts, dict.fromkeys(range(7), 0.1)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of each glyph that is missing
        picture = forming(given)
        picture.png()
        svg = picture.svg().decode("utf-8")
    assert all(f">{token}<" in svg for token in scripts)  # the browser has fonts of its own


def test_the_same_steps_are_the_same_picture(tmp_path):
    assert forming(THREE).png() == forming(THREE).png()
    assert forming(THREE).svg() == forming(THREE).svg()
    assert forming(THREE).save(tmp_path / "text.svg").read_bytes() == forming(THREE).svg()


@pytest.mark.parametrize("view", [forming, describe_forming, forming_text])
def test_one_row_shows_no_forming(view):
    with pytest.raises(ValueError, match="rows is 1"):
        view(THREE, rows=1)
