"""bertviz's views and the map in a browser: what is drawn, what mouse and keyboard do, and that
every token is text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from playwright.sync_api import Frame, Locator, Page, expect

from minibert.viz.attention_data import AttentionData
from minibert.viz.attention_map import attention_map
from minibert.viz.bertviz_views import head_view, model_view, neuron_view
from minibert.viz.document import Document
from tests.browser.axe import axe
from tests.browser.notebook import Frontend, cell_showing, notebook_of, write_html
from tests.hostile import HOSTILE_TOKENS

LAYERS, HEADS, TOKENS = 2, 3, ("[CLS]", "we", "must", "[SEP]", "it", "passed", "[SEP]")
A_TO_B = "Sentence A -> Sentence B"  # a choice of what looks at what
VIEWS = {"head": head_view, "model": model_view, "neuron": neuron_view}
SETUP = f"""
import torch
from minibert.viz import AttentionData, attention_map, head_view, model_view, neuron_view

torch.manual_seed(0)
queries, keys = torch.randn(2, {LAYERS}, 1, {HEADS}, {len(TOKENS)}, 8)
attention = (queries @ keys.transpose(-1, -2) / 8**0.5).softmax(-1)
data = AttentionData(list(attention), {TOKENS}, 4, list(queries), list(keys))
"""


def attention_of(tokens: tuple[str, ...], sentence_b_start: int | None) -> AttentionData:
    """What the model would be that `SETUP` makes up."""
    torch.manual_seed(0)
    queries, keys = torch.randn(2, LAYERS, 1, HEADS, len(tokens), 8)
    attention = (queries @ keys.transpose(-1, -2) / 8**0.5).softmax(-1)
    return AttentionData(list(attention), tokens, sentence_b_start, list(queries), list(keys))


@pytest.fixture(scope="module")
def data() -> AttentionData:
    return attention_of(TOKENS, 4)


@pytest.fixture
def opened(page: Page, tmp_path) -> Callable[[Document], Page]:
    """Opens a view that was saved, as a page of its own."""

    def open_view(view: Document) -> Page:
        page.goto(view.save(tmp_path / "view.html").as_uri())
        return page

    return open_view


def numbers(elements: Locator, attribute: str) -> torch.Tensor:
    """That attribute of each element."""
    read = "(all, name) => all.map((one) => Number(one.getAttribute(name)))"
    return torch.tensor(elements.evaluate_all(read, attribute))


def assert_same(shown: torch.Tensor, wanted: torch.Tensor) -> None:
    """But for the rounding to three decimals, which the products of two roundings may double."""
    torch.testing.assert_close(shown, wanted.flatten(), atol=0.01, rtol=0)


def frames_of(page: Page, count: int) -> list[Frame]:
    """The views in a notebook, each loaded."""
    expect(page.locator("iframe.minibert-page")).to_have_count(count)
    frames = page.frames[1:]
    assert len(frames) == count
    for frame in frames:
        frame.wait_for_load_state()
    return frames


def assert_drawn(page: Page) -> None:
    """Each view has all its marks; the picture shows, and those of the views do not."""
    head, model, neuron = frames_of(page, 3)
    marks = LAYERS * HEADS * len(TOKENS) ** 2
    expect(head.locator("#attention line")).to_have_count(marks // LAYERS)
    expect(model.locator("g[role=button] line")).to_have_count(marks)
    expect(neuron.locator("#collapsed #leftText > g")).to_have_count(len(TOKENS))
    for frame in (head, model, neuron):
        expect(frame.get_by_role("alert")).to_have_count(0)
        assert axe(frame) == []
    pictures = page.get_by_role("img", name="Attention map")
    expect(pictures.and_(page.locator(":visible"))).to_have_count(1)


def test_the_views_are_drawn_on_the_first_run_and_on_another_day(frontend: Frontend):
    """The first run is where bertviz by itself fails, even with a network."""
    cells = ("head_view(data)", "model_view(data)", "neuron_view(data)", "attention_map(data)")
    page = frontend.run(SETUP, *cells)
    assert_drawn(page)
    frontend.reopen()
    assert_drawn(page)


def test_the_views_are_drawn_in_the_html_of_nbconvert(page: Page, tmp_path, data):
    shown = [*(view(data) for view in VIEWS.values()), attention_map(data)]
    page.goto(write_html(notebook_of(cell_showing(*shown)), tmp_path / "notebook.html").as_uri())
    assert_drawn(page)


# Head view


def test_head_view_draws_the_weights_of_the_chosen_layer_and_part(opened, data):
    """A line is as strong as its weight, shared by the heads that are on."""
    page = opened(head_view(data))
    lines = page.locator("#attention line")
    assert_same(numbers(lines, "stroke-opacity") * HEADS, data.attentions[0])
    page.locator("#layer").select_option("1")
    assert_same(numbers(lines, "stroke-opacity") * HEADS, data.attentions[1])
    page.locator("#filter").select_option(label=A_TO_B)
    assert_same(numbers(lines, "stroke-opacity") * HEADS, data.attentions[1][..., :4, 4:])
    assert page.locator("#left text").all_text_contents() == list(TOKENS[:4])
    assert page.locator("#right text").all_text_contents() == list(TOKENS[4:])
    assert page.errors == []


def test_head_view_shows_the_lines_of_the_token_that_is_pointed_at(opened, data):
    page = opened(head_view(data))
    seen = page.locator("line[visibility=visible]")
    for side, index in (("left", "left-token-index"), ("right", "right-token-index")):
        page.locator(f"#{side} text").nth(2).hover()
        expect(page.locator("#attention")).to_have_attribute("visibility", "hidden")
        expect(seen).to_have_count(HEADS * len(TOKENS))
        assert set(numbers(seen, index).tolist()) == {2}
        page.mouse.move(0, 0)
        expect(page.locator("#attention")).to_have_attribute("visibility", "visible")
        expect(seen).to_have_count(0)


def checked(page: Page) -> list[bool]:
    """Which heads are on, as the squares tell it and as the lines show it."""
    squares = page.get_by_role("checkbox").all()
    told = [square.get_attribute("aria-checked") == "true" for square in squares]
    per_head = numbers(page.locator("#attention line"), "stroke-opacity").view(HEADS, -1)
    assert told == (per_head.sum(-1) > 0).tolist()
    return told


def test_head_view_s_squares_turn_heads_on_and_off(opened, data):
    page = opened(head_view(data))
    squares = page.get_by_role("checkbox")
    assert checked(page) == [True, True, True]
    squares.nth(1).click()
    assert checked(page) == [True, False, True]
    squares.nth(2).dblclick()
    assert checked(page) == [False, False, True]
    squares.nth(2).dblclick()
    assert checked(page) == [True, True, True]


# Model view


def test_model_view_opens_the_head_that_is_clicked(opened, data):
    page = opened(model_view(data))
    pictures, title = page.locator("g[role=button]"), page.locator("text.detail")
    expect(pictures).to_have_count(LAYERS * HEADS)
    weights = torch.cat(list(data.attentions))
    assert_same(numbers(pictures.locator("line"), "stroke-opacity"), weights)
    last = pictures.last
    last.click()
    expect(title).to_have_text("Layer 1, Head 2")
    expect(last).to_have_attribute("aria-expanded", "true")
    lines = page.locator(".attn-line-group line")
    assert_same(numbers(lines, "stroke-opacity"), weights[1, 2])
    page.locator("g.detail text").nth(2).hover()
    rows = page.locator(".attn-line-group").evaluate_all("all => all.map((g) => g.style.opacity)")
    assert [row for row, opacity in enumerate(rows) if opacity == "1"] == [2]
    pictures.first.click()
    expect(title).to_have_text("Layer 0, Head 0")
    expect(last).to_have_attribute("aria-expanded", "false")
    pictures.first.click()
    expect(title).to_have_count(0)
    page.locator("#filter").select_option(label=A_TO_B)
    expect(pictures.locator("line")).to_have_count(LAYERS * HEADS * 4 * 3)
    assert page.errors == []


# Neuron view


def test_neuron_view_shows_how_query_and_keys_make_the_attention(opened, data):
    page = opened(neuron_view(data, layer=1, head=2))
    lines = page.locator("#collapsed line")
    assert_same(numbers(lines, "stroke-opacity"), data.attentions[1][0, 2])
    page.locator("#collapsed #leftText text").nth(2).hover()
    page.locator("#collapsed #leftText > g").nth(2).locator("rect").last.click()
    expect(page.locator("#expanded")).to_have_attribute("visibility", "visible")
    queries, keys = data.queries[1][0, 2], data.keys[1][0, 2]  # (T, K)
    assert_same(numbers(page.locator("#queries .element"), "data-value"), queries)
    assert_same(numbers(page.locator("#keys .element"), "data-value"), keys)
    assert_same(numbers(page.locator("#product .element"), "data-value"), queries[2] * keys)
    products = numbers(page.locator("#expanded .dotproduct"), "data-value")
    assert_same(products, queries[2] @ keys.T / 8**0.5)
    page.locator("#expanded #leftText > g").nth(2).locator("rect").last.click()
    expect(page.locator("#collapsed")).to_have_attribute("visibility", "visible")
    page.locator("#layer").select_option("0")
    page.locator("#att_head").select_option("1")
    page.locator("#filter").select_option(label=A_TO_B)
    expect(page.locator("#collapsed #leftText > g")).to_have_count(4)
    expect(page.locator("#collapsed #rightText > g")).to_have_count(3)
    assert page.errors == []


# The keyboard

ON = "document.activeElement"
NAME = f"{ON}.getAttribute('aria-label') ?? {ON}.tagName"


def press(page: Page, *keys: str) -> str:
    """The name of what has the focus after these keys."""
    for key in keys:
        page.keyboard.press(key)
    return page.evaluate(NAME)


def reached(page: Page) -> list[list[str]]:
    """The names of all that a keyboard reaches: by Tab from stop to stop, by arrows within one."""
    stops = []
    while (name := press(page, "Tab")) != "BODY":
        stop = [name]
        if page.evaluate(f"{ON}.tagName") != "SELECT":
            while (name := press(page, "ArrowRight")) != stop[-1]:
                stop.append(name)
        stops.append(stop)
    return stops


TOKEN_NAMES = [f"{token}, token {place}" for place, token in enumerate(TOKENS)]
HEAD_NAMES = [f"head {head}" for head in range(HEADS)]
PICTURE_NAMES = [f"layer {layer}, head {head}" for layer in range(LAYERS) for head in range(HEADS)]


@pytest.mark.parametrize(
    ("view", "stops"),
    [
        ("head", [["Layer"], ["Attention between"], TOKEN_NAMES, TOKEN_NAMES, HEAD_NAMES]),
        ("model", [["Attention between"], PICTURE_NAMES]),
        ("neuron", [["Layer"], ["Head"], ["Attention between"], TOKEN_NAMES]),
    ],
)
def test_the_keyboard_reaches_all(view, stops, opened, data):
    page = opened(VIEWS[view](data))
    assert reached(page) == stops


def test_keys_do_in_head_view_what_the_mouse_does(opened, data):
    page = opened(head_view(data))
    seen = page.locator("line[visibility=visible]")
    assert press(page, *["Tab"] * 3, "ArrowDown", "ArrowDown") == TOKEN_NAMES[2]
    expect(seen).to_have_count(HEADS * len(TOKENS))
    assert set(numbers(seen, "left-token-index").tolist()) == {2}
    press(page, "Tab", "Tab")
    expect(seen).to_have_count(0)
    assert press(page, "ArrowRight", "Space") == "head 1"
    assert checked(page) == [True, False, True]
    press(page, "ArrowRight", "Enter")
    assert checked(page) == [False, False, True]
    assert press(page, "Shift+Tab", "Shift+Tab") == TOKEN_NAMES[2]  # where it was before
    assert axe(page) == []


def test_keys_do_in_model_view_what_the_mouse_does(opened, data):
    page = opened(model_view(data))
    title = page.locator("text.detail")
    assert press(page, "Tab", "Tab", "ArrowDown", "ArrowRight") == "layer 1, head 1"
    press(page, "Enter")
    expect(title).to_have_text("Layer 1, Head 1")
    assert press(page, "Tab", "ArrowDown") == TOKEN_NAMES[1]
    rows = page.locator(".attn-line-group").evaluate_all("all => all.map((g) => g.style.opacity)")
    assert [row for row, opacity in enumerate(rows) if opacity == "1"] == [1]
    assert axe(page) == []
    assert press(page, "Shift+Tab", "ArrowLeft", "ArrowUp") == "layer 0, head 0"
    press(page, "ArrowDown", "ArrowRight", "Space")
    expect(title).to_have_count(0)


def test_keys_do_in_neuron_view_what_the_mouse_does(opened, data):
    page = opened(neuron_view(data))
    press(page, *["Tab"] * 4, "ArrowDown", "Enter")
    expect(page.locator("#expanded")).to_have_attribute("visibility", "visible")
    assert page.evaluate(f"{ON}.getAttribute('aria-expanded')") == "true"
    assert press(page, "ArrowDown") == TOKEN_NAMES[2]
    products = numbers(page.locator("#expanded .dotproduct"), "data-value")
    assert_same(products, data.queries[0][0, 0, 2] @ data.keys[0][0, 0].T / 8**0.5)
    assert axe(page) == []
    press(page, "Enter")
    expect(page.locator("#collapsed")).to_have_attribute("visibility", "visible")


def test_one_token_is_drawn(opened):
    for view in VIEWS.values():
        page = opened(view(attention_of(("alone",), None)))
        lines = page.locator(".headAttention line, g[role=button] line, #collapsed line")
        assert numbers(lines, "stroke-opacity").min() > 0.3
    assert page.errors == []


def test_a_mistake_in_a_view_is_told(opened, data):
    """To who sees a broken view, and to who hears it."""
    view = head_view(data)
    view.scripts = (*view.scripts, "nothing.at.all")
    expect(opened(view).get_by_role("alert")).to_have_text(
        "Something went wrong in this view: Uncaught ReferenceError: nothing is not defined"
    )


# Hostile tokens


def hostile_views() -> list[Any]:
    hostile = attention_of(HOSTILE_TOKENS, 5)
    return [*(view(hostile) for view in VIEWS.values()), attention_map(hostile)]


def assert_inert(views: list[Page | Frame]) -> None:
    """Every token is there as text, and none has run, however the view is used."""
    head, model, neuron = views
    head.locator("#left text").first.dispatch_event("mouseover")
    head.get_by_role("checkbox").first.click()
    model.locator("g[role=button]").first.click()
    neuron.locator("#collapsed #leftText > g").first.locator("rect").last.dispatch_event("click")
    for view, tokens in (
        (head, "#left text"),
        (model, "g.detail:nth-of-type(n) text.token"),
        (neuron, "#expanded #leftText text"),
    ):
        assert view.locator(tokens).all_text_contents()[: len(HOSTILE_TOKENS)] == list(
            HOSTILE_TOKENS
        )
        assert view.evaluate("typeof owned") == "undefined"


def test_hostile_tokens_stay_text_in_a_notebook(frontend: Frontend):
    """On another day than that of the run; and while nobody trusts it."""
    page = frontend.open(cell_showing(*hostile_views()), trusted=True)
    assert_inert(frames_of(page, 3))
    assert page.evaluate("typeof owned") == "undefined"
    frontend.untrust()
    pictures = page.get_by_role("img", name="Attention map")
    expect(pictures.and_(page.locator(":visible"))).to_have_count(4)
    expect(page.locator("iframe")).to_have_count(0)
    assert page.evaluate("typeof owned") == "undefined"


def test_hostile_tokens_stay_text_in_the_html_of_nbconvert(page: Page, tmp_path):
    notebook = notebook_of(cell_showing(*hostile_views()))
    page.goto(write_html(notebook, tmp_path / "notebook.html").as_uri())
    assert_inert(frames_of(page, 3))
    assert page.evaluate("typeof owned") == "undefined"


def test_hostile_tokens_stay_text_in_what_is_saved(page: Page, tmp_path):
    """An SVG that is opened by itself would run its scripts."""
    *views, picture = hostile_views()
    page.goto(picture.save(tmp_path / "map.svg").as_uri())
    assert page.evaluate("document.documentElement.tagName") == "svg"
    assert page.evaluate("typeof owned") == "undefined"
    pages = [page, page.context.new_page(), page.context.new_page()]
    for place, view in enumerate(views):
        pages[place].goto(view.save(tmp_path / f"{place}.html").as_uri())
    assert_inert(pages)
