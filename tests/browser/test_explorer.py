"""The explorer in a browser: live, saved, and in a file, by mouse and by keyboard."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import bertviz
import numpy as np
import pytest
import torch
from matplotlib.image import imread
from playwright.sync_api import Frame, Locator, Page, expect

import minibert
from minibert.config import BertConfig
from minibert.inference.fill_mask import fill_mask
from minibert.model import BertForPreTraining
from minibert.tokenizer import SPECIAL_TOKENS, BertTokenizer
from minibert.viz.attention_data import AttentionData
from minibert.viz.bertviz_views import head_view
from minibert.viz.explorer import explore
from tests.browser.axe import axe
from tests.browser.notebook import Frontend, cell_showing, notebook_of, write_html
from tests.hostile import HOSTILE_TOKENS

TEXT = "The Congress must pass the [MASK]."
FAINTEST = 0.02  # no line below it
SETUP = """
import minibert
from minibert.viz import explore

model, tokenizer = minibert.load("mini")
"""
EXPLORE = f"explore(model, tokenizer, {TEXT!r})"


@pytest.fixture(scope="module")
def shipped() -> tuple[BertForPreTraining, BertTokenizer]:
    return minibert.load("mini")


def weights_of(models: tuple[BertForPreTraining, BertTokenizer], *texts: str) -> np.ndarray:
    """The attention, (L, H, T, T), as the bytes that a browser is sent tell it."""
    return np.rint(255 * AttentionData.from_model(*models, *texts).weights()) / 255


def live(page: Page) -> Locator:
    """The explorer that a kernel answers, once it is drawn."""
    root = page.locator(".minibert-explorer")
    expect(root.locator("[role=radio]").first).to_be_visible()
    return root


def saved(page: Page) -> Frame:
    """The explorer in the frame of a saved notebook."""
    expect(page.locator("iframe.minibert-page")).to_be_visible()
    frame = page.frames[1]
    frame.wait_for_load_state()
    return frame


def tokens_in(root: Locator | Page | Frame) -> list[str]:
    """The tokens that look, in full."""
    titles = root.locator(".links [role=button] title").all_text_contents()
    return titles[: len(titles) // 2]


def type_text(root: Locator, text: str) -> None:
    """Put this in place of the text, and wait for the answer."""
    before = root.get_attribute("data-seq")
    root.locator("input[type=text]").first.fill(text)
    expect(root).not_to_have_attribute("data-seq", before)


def assert_guesses(root: Locator, models: tuple[BertForPreTraining, BertTokenizer], text: str):
    """Those of `fill_mask`, with their probabilities to the digits that are shown."""
    for table, wanted in enumerate(fill_mask(*models, text)):
        rows = root.locator(".guesses table").nth(table)
        expect(rows.locator("th")).to_have_text([token for token, _ in wanted])
        for told, (_, share) in zip(rows.locator("td:last-child").all(), wanted, strict=True):
            number = told.text_content().split(",")[0].strip("< %")
            assert float(number) == pytest.approx(
                100 * share, abs=0.5 if "." not in number else 0.1
            )


def assert_drawn(root: Locator | Frame, models, text: str) -> None:
    """Every head is darkest where its weight is largest, and the darker, the larger that is, on
    one scale for all; the links are those of the first."""
    weights = weights_of(models, text)
    layers, heads, length, _ = weights.shape
    darkest = root.locator("[role=radio] canvas").evaluate_all(
        """all => all.map((canvas) => {
            const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            const light = [...data.filter((_, i) => i % 4 === 1)];  // green grows with lightness
            return [light.indexOf(Math.min(...light)), Math.min(...light)];
        })"""
    )
    maps = weights.reshape(layers * heads, -1)
    drawn = [(row[place], light) for row, (place, light) in zip(maps, darkest, strict=True)]
    for row, (weight, _) in zip(maps, drawn, strict=True):
        assert weight == pytest.approx(row.max(), abs=0.01)  # a step of colour
    lights = [light for _, light in sorted(drawn)]
    assert lights == sorted(lights, reverse=True)
    expect(root.locator(".links path")).to_have_count(int((weights[0, 0] >= FAINTEST).sum()))
    assert len(tokens_in(root)) == length


# On the first run, on another day, and elsewhere


def assert_saved_is_drawn(page: Page, models) -> None:
    """The frame stands where the widget would be, and its heads can be looked at."""
    frame = saved(page)
    assert_drawn(frame.locator(".minibert-explorer"), models, TEXT)
    frame.get_by_role("radio").nth(6).click()
    expect(frame.locator(".chosen")).to_contain_text("Layer 1, head 2: ")
    expect(frame.get_by_role("textbox")).to_have_attribute("readonly", "")
    assert axe(frame) == []
    expect(page.get_by_role("img", name="Attention maps")).to_have_count(0)


def test_live_on_the_first_run_and_saved_on_another_day(frontend: Frontend, shipped):
    page = frontend.run(SETUP, EXPLORE)
    assert_drawn(live(page), shipped, TEXT)
    expect(page.locator(".minibert-saved")).to_be_hidden()
    frontend.reopen()
    widget_error = page.get_by_text("Error displaying widget")
    expect(widget_error).to_have_count(1)  # it is told a while after all else is there
    assert_saved_is_drawn(page, shipped)
    expect(widget_error.and_(page.locator(":visible"))).to_have_count(0)
    frontend.untrust()
    expect(page.get_by_role("img", name="Attention maps")).to_be_visible()
    expect(page.locator("iframe")).to_have_count(0)
    expect(widget_error.and_(page.locator(":visible"))).to_have_count(0)


def test_saved_in_the_html_of_nbconvert(page: Page, tmp_path, shipped):
    notebook = notebook_of(cell_showing(explore(*shipped, TEXT)))
    page.goto(write_html(notebook, tmp_path / "notebook.html").as_uri())
    assert_saved_is_drawn(page, shipped)


# Live


def test_typing_changes_all_and_what_cannot_be_taken_changes_nothing(lab: Frontend, shipped):
    root = live(lab.run(SETUP, EXPLORE))
    assert_guesses(root, shipped, TEXT)
    text = "We [MASK] peace with all [MASK]."
    field = root.get_by_label("Text")
    field.fill("")
    expect(root.get_by_role("alert")).to_have_text("the text is empty: give at least one word")
    field.press_sequentially(text)
    expect(root.get_by_role("alert")).to_be_hidden()
    assert_guesses(root, shipped, text)
    assert_drawn(root, shipped, text)
    assert "looks at" in root.get_by_role("status").text_content()
    type_text(root, "word " * 127)
    expect(root.get_by_role("alert")).to_contain_text("the text is 127 tokens long and 126 fit")
    assert_guesses(root, shipped, text)
    assert_drawn(root, shipped, text)
    # What is typed is never more than text: a few at a time, to be done sooner.
    for start in range(0, len(HOSTILE_TOKENS), 4):
        type_text(root, " ".join(HOSTILE_TOKENS[start : start + 4]))
        expect(root.get_by_role("alert")).to_be_hidden()
    assert root.page.evaluate("typeof owned") == "undefined"
    type_text(root, "a")
    expect(root.locator(".links [role=button]")).to_have_count(6)
    assert tokens_in(root) == ["[CLS]", "a", "[SEP]"]


def percents(told: str) -> list[float]:
    """`12 % was 3.4 %` in numbers."""
    return [float(part.strip(" <%")) for part in told.split("was")]


def test_words_are_hidden_and_heads_switched_off(lab: Frontend, shipped):
    root = live(lab.run(SETUP, EXPLORE))
    words = root.locator(".links [role=button]")
    captions = root.locator(".guesses caption")
    expect(captions).to_have_text(["[MASK] at token 6"])
    words.nth(2).click()
    expect(words.nth(2)).to_have_attribute("aria-pressed", "true")
    root.get_by_role("button", name="Hide this word").click()
    expect(captions).to_have_text(["[MASK] at token 2 (it was “congress”)", "[MASK] at token 6"])
    assert tokens_in(root)[2] == "[MASK]"
    assert_guesses(root, shipped, "The [MASK] must pass the [MASK].")
    root.get_by_role("button", name="Show this word again").click()
    expect(captions).to_have_text(["[MASK] at token 6"])
    words.nth(0).click()
    expect(root.get_by_role("button", name="Hide this word")).to_be_hidden()  # [CLS]: no word

    root.get_by_role("radio").nth(6).click()
    root.get_by_role("button", name="Switch this head off").click()
    off = root.get_by_role("radio", name="layer 1, head 2: off")
    expect(off).to_be_visible()
    (wanted,) = fill_mask(*shipped, TEXT)
    row = root.locator(".guesses tr").filter(has=root.page.get_by_text(wanted[0][0], exact=True))
    expect(row.locator("td").last).to_contain_text("was")
    now, before = percents(row.locator("td").last.text_content())
    assert before == pytest.approx(100 * wanted[0][1], abs=0.5) and now != before
    expect(root.get_by_role("radio", name="layer 5, head 0")).to_have_accessible_name(
        # what was computed after it has moved
        re.compile("changed by")
    )
    expect(root.get_by_role("status")).to_contain_text(" was ")
    root.get_by_role("button", name="All heads on").click()
    expect(off).to_have_count(0)
    expect(root.get_by_role("button", name="Switch this head off")).to_be_focused()
    assert_guesses(root, shipped, TEXT)


def focused(page: Page) -> str:
    """What a screen reader would say of what has the focus."""
    return page.evaluate(
        "(at => at.getAttribute('aria-label') ?? at.labels?.[0]?.textContent ?? at.textContent)"
        "(document.activeElement)"
    )


def press(page: Page, *keys: str) -> str:
    """What has the focus after these keys."""
    for key in keys:
        page.keyboard.press(key)
    return focused(page)


def test_the_keyboard_reaches_all_and_the_notebook_keeps_its_keys(lab: Frontend):
    """In JupyterLab `a` and `b` would add cells, `d` twice delete one, arrows leave the cell."""
    page = lab.run(SETUP, EXPLORE)
    root = live(page)
    root.get_by_label("Text").focus()
    assert press(page, "Tab") == "Save as HTML"
    assert press(page, "Tab").startswith("layer 0, head 0: ")
    assert press(page, "ArrowRight", "ArrowDown").startswith("layer 1, head 1: ")
    assert press(page, "ArrowUp", "ArrowUp", "ArrowLeft").startswith("layer 5, head 0: ")
    expect(root.locator(".chosen")).to_contain_text("Layer 5, head 0: ")
    expect(root.get_by_role("radio", checked=True)).to_have_count(1)
    press(page, *"abxddm")
    assert press(page, "Tab") == "Switch this head off"
    press(page, "Space")
    expect(root.get_by_role("radio", name="layer 5, head 0: off")).to_be_visible()
    assert press(page, "Tab") == "All heads on"
    press(page, "Enter")
    expect(root.get_by_role("button", name="All heads on")).to_be_hidden()
    assert press(page, "Tab").startswith("[CLS], token 0, looks at ")
    assert press(page, "ArrowDown", "ArrowDown").startswith("congress, token 2, looks at ")
    assert press(page, "ArrowRight").startswith("congress, token 2, is looked at by ")
    expect(root.locator(".links [role=button][tabindex='0']")).to_have_count(1)
    press(page, *"abxddm")
    press(page, "Enter")
    assert press(page, "Tab") == "Show all links"
    assert press(page, "Tab") == "Hide this word"
    press(page, "Enter")
    expect(root.locator(".guesses caption")).to_have_count(2)
    assert focused(page) == "Show this word again"
    assert press(page, "Shift+Tab") == "Show all links"
    assert press(page, "Shift+Tab").startswith("[MASK], token 2, is looked at by ")
    press(page, "Space")  # no longer chosen
    assert press(page, "Tab") == "Save links as SVG"
    assert press(page, "Tab") == "Save links as PNG"
    press(page, *"abxddm")
    sources = [cell.source for cell in lab.save().cells]
    assert sources == [SETUP, EXPLORE]
    assert axe(page, ".minibert-explorer") == []
    moves = root.evaluate(
        """(root) => [...root.querySelectorAll("*")].map((one) => getComputedStyle(one))
            .filter((s) => s.animationName !== "none" || parseFloat(s.transitionDuration)).length"""
    )
    assert moves == 0


@pytest.fixture
def run_folder(tmp_path, shipped) -> Path:
    """A run that kept three models."""
    _, tokenizer = shipped
    tiny = BertConfig.preset("tiny", vocab_size=tokenizer.vocab_size)
    for step in (0, 10, 20):
        torch.manual_seed(step)
        BertForPreTraining(tiny).save_pretrained(
            tmp_path / "run" / "snapshots" / f"step-{step:09d}", tokenizer
        )
    return tmp_path / "run"


def test_the_slider_goes_through_a_training_beside_a_second_model(
    lab: Frontend, shipped, run_folder
):
    page = lab.run(
        SETUP,
        f"explore(model, tokenizer, {TEXT!r}, compare=(model, tokenizer), "
        f"snapshots={str(run_folder)!r})",
    )
    root = live(page)
    then, now = root.locator(".side").all()
    slider = root.get_by_role("slider", name="Training")
    expect(slider).to_have_attribute("aria-valuetext", "step 20")
    slider.focus()
    press(page, "ArrowLeft")
    expect(then.get_by_role("heading")).to_have_text("After 10 steps of training")
    expect(slider).to_have_attribute("aria-valuetext", "step 10")
    snapshot = minibert.load(run_folder / "snapshots" / "step-000000010")
    assert_drawn(then, snapshot, TEXT)
    assert_guesses(then, snapshot, TEXT)
    expect(now.get_by_role("heading")).to_contain_text("6 layers of 4 heads")
    assert_drawn(now, shipped, TEXT)
    then.locator(".links [role=button]").nth(2).click()
    then.get_by_role("button", name="Hide this word").click()
    expect(then.locator("caption")).to_have_count(2)
    expect(now.locator("caption")).to_have_count(1)
    type_text(root, "We [MASK].")
    assert_guesses(then, snapshot, "We [MASK].")
    assert_guesses(now, shipped, "We [MASK].")
    assert axe(page, ".minibert-explorer") == []


SCRIPTS = "שלום مرحبا 你好 😀"


def test_every_script_is_drawn_in_both_sentences(lab: Frontend, tmp_path):
    words = [*SCRIPTS.replace("你好", "你 好").split(), "we"]
    tokenizer = BertTokenizer([*SPECIAL_TOKENS, *words])
    torch.manual_seed(0)
    model = BertForPreTraining(BertConfig.preset("tiny", vocab_size=tokenizer.vocab_size))
    model.save_pretrained(tmp_path / "model", tokenizer)
    page = lab.run(
        "import minibert\nfrom minibert.viz import explore",
        f"explore(*minibert.load({str(tmp_path / 'model')!r}), {SCRIPTS!r}, pair='[MASK] we')",
    )
    root = live(page)
    assert tokens_in(root) == ["[CLS]", *words[:-1], "[SEP]", "[MASK]", "we", "[SEP]"]
    shown = root.locator(".links text").all_text_contents()
    assert all(shown.count(word) == 2 for word in words)
    fields = root.get_by_role("textbox")
    assert [f.evaluate("(at) => getComputedStyle(at).direction") for f in fields.all()] == [
        "rtl",
        "ltr",
    ]
    assert fields.nth(0).input_value() == SCRIPTS
    root.get_by_label("Sentence B").fill("好 [MASK]")
    expect(root.locator(".guesses caption")).to_have_text(["[MASK] at token 8"])
    for guess in root.locator(".guesses th").all():
        assert guess.get_attribute("dir") == "auto"


# What is saved


def assert_saved_links(download: Callable[[str], Path], tokens: list[str]) -> None:
    """The drawing that a reader keeps: the tokens twice, in a picture of twice its size."""
    drawing = ElementTree.parse(download("Save links as SVG")).getroot()
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
    texts = [text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[1].startswith("Layer 1, head 2: ")
    assert texts[4:] == [*tokens, *tokens]
    assert drawing.get("viewBox") == f"0 0 {drawing.get('width')} {drawing.get('height')}"
    path = download("Save links as PNG")
    picture = path.read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    size = struct.unpack(">II", picture[16:24])
    assert size == (2 * int(drawing.get("width")), 2 * int(drawing.get("height")))
    assert imread(path).min() < 0.1  # there is ink


def test_what_is_saved_opens_by_itself(lab: Frontend, page: Page, tmp_path, shipped):
    hostile = "&amp; <b>must</b> pass"
    root = live(lab.run(SETUP, EXPLORE))
    type_text(root, hostile)
    root.get_by_role("radio").nth(6).click()

    def download(button: str) -> Path:
        with page.expect_download() as started:
            root.get_by_role("button", name=button).click()
        path = tmp_path / started.value.suggested_filename
        started.value.save_as(path)
        return path

    tokens = tokens_in(root)
    assert_saved_links(download, tokens)
    assert (tmp_path / "attention-layer-1-head-2.svg").exists()
    assert (tmp_path / "attention-layer-1-head-2.png").exists()
    page.goto(download("Save as HTML").as_uri())
    root = page.locator(".minibert-explorer")
    assert_drawn(root, shipped, hostile)
    expect(root.get_by_role("textbox")).to_have_value(hostile)
    root.get_by_role("radio").nth(6).click()
    assert_saved_links(download, tokens)
    assert axe(page) == []


def test_the_pointer_shows_the_links_of_one_token(page: Page, tmp_path, shipped):
    page.goto(explore(*shipped, TEXT).save(tmp_path / "page.html").as_uri())
    root = page.locator(".minibert-explorer")
    weights = weights_of(shipped, TEXT)[0, 0]
    length = len(weights)
    words, paths = root.locator(".links [role=button]"), root.locator(".links path")
    for column, those in ((0, weights[3]), (1, weights[:, 3])):
        words.nth(column * length + 3).hover()
        expect(paths).to_have_count(int((those >= FAINTEST).sum()))
        place = int(those.argmax())
        told = words.nth((1 - column) * length + place).locator("text").text_content()
        assert f"{100 * those[place]:.0f} %" in told
    root.get_by_label("Text").hover()
    expect(paths).to_have_count(int((weights >= FAINTEST).sum()))


def test_hostile_tokens_stay_text(page: Page, tmp_path, shipped):
    """As tokens and as guesses, which a vocabulary from elsewhere may hold."""
    explorer = explore(*shipped, "a " * (len(HOSTILE_TOKENS) - 2))
    (panel,) = explorer.reply["panels"]
    panel["tokens"] = list(HOSTILE_TOKENS)
    panel["guesses"] = [
        {"place": 0, "was": token, "words": [{"token": token, "share": 0.5, "before": None}]}
        for token in HOSTILE_TOKENS
    ]
    panel["name"] = panel["roles"][0][0] = HOSTILE_TOKENS[0]
    notebook = notebook_of(cell_showing(explorer))
    page.goto(write_html(notebook, tmp_path / "notebook.html").as_uri())
    frame = saved(page)
    assert tokens_in(frame) == list(HOSTILE_TOKENS)
    labels = frame.locator(".links [role=button] text").all_text_contents()
    assert [label[:15] for label in labels] == 2 * [token[:15] for token in HOSTILE_TOKENS]
    captions = frame.locator("caption").all_text_contents()
    short = [token if len(token) <= 16 else f"{token[:15]}…" for token in HOSTILE_TOKENS]
    assert captions == [f"[MASK] at token 0 (it was “{token}”)" for token in short]
    with page.expect_download() as started:
        frame.get_by_role("button", name="Save links as SVG").click()
    started.value.save_as(tmp_path / "links.svg")
    assert [f.evaluate("typeof owned") for f in page.frames] == ["undefined"] * 2
    page.goto((tmp_path / "links.svg").as_uri())  # by itself an SVG may run scripts
    assert page.locator("title").all_text_contents() == 2 * list(HOSTILE_TOKENS)
    assert page.evaluate("typeof owned") == "undefined"


# Sizes and times: those of the views, beside those of bertviz


LARGE = """
import minibert
from minibert.config import BertConfig
from minibert.model import BertForPreTraining
from minibert.viz import explore

_, tokenizer = minibert.load("mini")
sizes = dict(hidden_size=96, intermediate_size=96, vocab_size=tokenizer.vocab_size)
large = BertForPreTraining(BertConfig.preset("base", **sizes))  # 12 layers of 12 heads
"""
TYPE_AND_WAIT = """
(root, text) => new Promise((resolve) => {
    const begun = performance.now();
    new MutationObserver((_, observer) => {
        observer.disconnect();
        resolve(performance.now() - begun);
    }).observe(root, {attributeFilter: ["data-seq"]});
    const field = root.querySelector("input");
    field.value = text;
    field.dispatchEvent(new Event("input", {bubbles: true}));
})
"""
CHANGE_LAYER = """
() => {
    const begun = performance.now();
    const layer = document.querySelector("#layer");
    layer.value = "1";
    layer.dispatchEvent(new Event("change"));
    document.body.getBoundingClientRect();
    return performance.now() - begun;
}
"""


@pytest.mark.long
def test_a_large_model_is_drawn(lab: Frontend, page: Page, tmp_path, capsys):
    """12 layers of 12 heads. What it takes is printed; other work on the machine slows it."""
    names: dict = {}
    exec(LARGE, names)
    page = lab.run(LARGE, "explore(large, tokenizer, 'a')")
    root = live(page)
    lines = ["", "12 x 12 heads: MB that a browser is sent, and ms to draw another text or layer"]
    for length in (16, 64, 128):
        text = "a " * (length - 2)
        waited = root.evaluate(TYPE_AND_WAIT, text)
        expect(root.locator(".links [role=button]")).to_have_count(2 * length)
        widths = root.locator("canvas").evaluate_all("all => all.map((one) => one.width)")
        assert widths == [length] * 144
        drawn = root.get_attribute("data-milliseconds")
        sent = explore(names["large"], names["tokenizer"], text).reply["panels"][0]["attention"]
        lines.append(
            f"T={length:3}  explorer {len(sent) / 1e6:5.2f} MB, drawn in {drawn} ms, "
            f"{waited:.0f} ms after the key"
        )
    for length in (16, 64):
        text = "a " * (length - 2)
        data = AttentionData.from_model(names["large"], names["tokenizer"], text)
        view = head_view(data)
        by_itself = bertviz.head_view(data.attentions, list(data.tokens), html_action="return")
        page.goto(view.save(tmp_path / "view.html").as_uri())
        lines.append(
            f"T={length:3}  head_view {len(view.html) / 1e6:4.1f} MB (bertviz by itself "
            f"{len(by_itself.data) / 1e6:.1f} MB), drawn in {page.evaluate(CHANGE_LAYER):.0f} ms"
        )
    with capsys.disabled():
        print(*lines, sep="\n")
