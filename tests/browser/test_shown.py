"""Pages and pictures as a reader sees them: drawn, shut in, and described."""

from __future__ import annotations

import html
from typing import Any

import pytest
from matplotlib.figure import Figure
from playwright.sync_api import Page, expect

from minibert.viz.document import Document, script_json
from minibert.viz.style import show
from tests.browser.axe import axe
from tests.browser.notebook import Frontend, cell_showing, notebook_of, write_html
from tests.hostile import HOSTILE_TOKENS

SOURCE = '''
from minibert.viz.document import Document
from minibert.viz.style import plot, show

script = """
const say = (id, text) => { document.getElementById(id).textContent = text; };
say("drawn", "drawn by a script");
fetch("https://example.org/").catch((error) => say("elsewhere", error.name));
try { say("parent", "the notebook is called " + window.parent.document.title); }
catch (error) { say("parent", error.name); }
"""
page = Document(
    "A page",
    "<h1>A page</h1><p id='drawn'></p><p id='parent'></p><p id='elsewhere'></p>",
    show(plot()[0], "An empty plot."),
    scripts=[script],
)
page
'''


@pytest.fixture
def shown() -> Any:
    """What the last line of `SOURCE` gives."""
    names: dict[str, Any] = {}
    exec(SOURCE, names)
    return names["page"]


def assert_drawn(page: Page) -> None:
    """The frame is drawn and shut in, and the picture that would stand in its place is not."""
    frame = page.frame_locator("iframe.minibert-page")
    expect(frame.locator("#drawn")).to_have_text("drawn by a script")
    expect(frame.locator("#parent")).to_have_text("SecurityError")
    expect(frame.locator("#elsewhere")).to_have_text("TypeError")
    expect(page.get_by_alt_text("An empty plot.")).to_be_hidden()


def test_a_page_is_drawn_when_its_cell_runs_and_on_another_day(frontend: Frontend):
    page = frontend.run(SOURCE)
    assert_drawn(page)
    frontend.reopen()
    assert_drawn(page)


def test_a_picture_stands_in_while_the_notebook_is_not_trusted(lab: Frontend, shown):
    page = lab.open(cell_showing(shown), trusted=True)
    assert_drawn(page)
    lab.untrust()
    expect(page.get_by_role("img", name="An empty plot.")).to_be_visible()
    expect(page.locator("iframe")).to_have_count(0)


def test_a_page_is_drawn_in_the_html_of_nbconvert(page: Page, tmp_path, shown):
    path = write_html(notebook_of(cell_showing(shown)), tmp_path / "notebook.html")
    page.goto(path.as_uri())
    assert_drawn(page)


def test_a_saved_page_is_drawn(page: Page, tmp_path, shown):
    page.goto(shown.save(tmp_path / "page.html").as_uri())
    expect(page.locator("#drawn")).to_have_text("drawn by a script")
    expect(page.locator("#elsewhere")).to_have_text("TypeError")
    assert page.title() == "A page"
    assert axe(page) == []


def test_pictures_have_their_words(lab: Frontend):
    """The one of a training, too, which changes while it is shown."""
    page = lab.run(
        "from minibert.viz.style import plot, show\nshow(plot()[0], 'An empty plot.')",
        "from minibert.viz.live import LiveCurve\ncurve = LiveCurve()",
        "curve({'step': 1, 'loss': 9.0})",
        "curve({'step': 1, 'held_out': {'loss': 8.5}})",
    )
    expect(page.get_by_role("img", name="An empty plot.")).to_be_visible()
    curve = page.get_by_role("img", name="The loss so far: on training 9.00 at step 1, ")
    expect(curve).to_be_visible()
    assert page.errors == []


def hostile_pages() -> list[Document]:
    """Each token where a text may stand: in the title, the body, a script and the alt text."""
    small = Figure(figsize=(1, 1))
    script = "document.getElementById('data').textContent = {}"
    return [
        Document(
            token,
            f"<p id='text'>{html.escape(token)}</p><p id='data'></p>",
            show(small, token),
            scripts=[script.format(script_json(token))],
        )
        for token in HOSTILE_TOKENS
    ]


def assert_inert(page: Page) -> None:
    """Every token is there as text, and none has run: neither in the page nor in a frame."""
    count = len(HOSTILE_TOKENS)
    expect(page.locator("iframe.minibert-page")).to_have_count(count)
    frames = page.frames[1:]
    assert len(frames) == count
    for frame in frames:
        frame.wait_for_load_state()
    assert [frame.text_content("#text") for frame in frames] == list(HOSTILE_TOKENS)
    assert [frame.text_content("#data") for frame in frames] == list(HOSTILE_TOKENS)
    alts = page.locator("img.minibert-picture").evaluate_all("all => all.map((img) => img.alt)")
    assert alts == [" ".join(token.split()) for token in HOSTILE_TOKENS]
    titles = page.locator("iframe").evaluate_all("all => all.map((frame) => frame.title)")
    assert titles == list(HOSTILE_TOKENS)
    assert [f.evaluate("typeof owned") for f in page.frames] == ["undefined"] * (count + 1)


def test_hostile_texts_stay_texts_in_lab(lab: Frontend):
    assert_inert(lab.open(cell_showing(*hostile_pages()), trusted=True))


def test_hostile_texts_stay_texts_in_the_html_of_nbconvert(page: Page, tmp_path):
    notebook = notebook_of(cell_showing(*hostile_pages()))
    page.goto(write_html(notebook, tmp_path / "notebook.html").as_uri())
    assert_inert(page)


def test_hostile_texts_stay_texts_in_saved_pages(page: Page, tmp_path):
    for token, hostile in zip(HOSTILE_TOKENS, hostile_pages(), strict=True):
        page.goto(hostile.save(tmp_path / "page.html").as_uri())
        assert page.title() == token
        assert page.text_content("#text") == page.text_content("#data") == token
        assert page.evaluate("typeof owned") == "undefined"
