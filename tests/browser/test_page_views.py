"""The views of BERT in a page: attention, the walk, and layer by layer."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from playwright.sync_api import Page, expect

from minibert.analysis.ablation import without_heads
from minibert.viz import AttentionData
from tests.browser.axe import axe
from tests.browser.bert_page import TEXT, bars, do, opened, percent, show, widths


def test_a_head_that_is_switched_off_changes_the_guess(page: Page, file: Path, shipped):
    opened(page, file)
    view = show(page, "attention")
    before = bars(view.locator(".bars"))
    view.get_by_role("radio").nth(4).click()
    expect(view.locator(".chosen")).to_contain_text("Layer 1, head 0: ")
    do(page, lambda: view.get_by_role("button", name="Switch this head off").click())
    expect(view.locator(".chosen")).to_have_text("Layer 1, head 0: off")
    expect(view.get_by_role("radio").nth(4)).to_have_class("off")
    expect(view.locator(".links svg > g[aria-hidden]")).to_have_attribute("opacity", "0.25")
    after = dict(bars(view.locator(".bars")))
    for word, share in before:
        assert after[word].endswith(f"was {share}")
    model, tokenizer = shipped
    inputs = tokenizer([TEXT], return_tensors="pt")
    with torch.no_grad():
        then = model(**inputs, output_attentions=True)
        with without_heads(model, [(1, 0)]):
            now = model(**inputs, output_attentions=True)
    place = inputs["input_ids"][0].tolist().index(tokenizer.vocab["[MASK]"])
    # A bar is as long as the word's probability, and its mark is where that was.
    ids = [tokenizer.vocab[word] for word in after]
    shares, shares_then = (out.prediction_logits[0, place].softmax(-1)[ids] for out in (now, then))
    assert widths(view.locator(".bars b")) == pytest.approx(shares.tolist(), abs=0.01)
    marks = view.locator(".bars i").evaluate_all(
        "all => all.map((one) => parseFloat(one.style.left))"
    )
    assert marks == pytest.approx((100 * shares_then).tolist(), abs=0.5)
    expect(view.locator(".bars i").first).to_be_visible()
    # The line under a map is as long as the attention that moved.
    moved = (torch.cat(now.attentions) - torch.cat(then.attentions)).abs().sum(-1).mean(-1) / 2
    moved[1, 0] = 0  # the head that is off has none
    lines = widths(view.locator("[role=radio] i"))
    assert lines == pytest.approx(moved.flatten().tolist(), abs=0.02)
    assert max(lines) > 0.03
    do(page, lambda: page.get_by_role("button", name="1 head is off: switch on").click())
    assert bars(view.locator(".bars")) == before
    expect(view.locator(".bars i").first).to_be_hidden()
    for head in (4, 5):
        view.get_by_role("radio").nth(head).click()
        do(page, lambda: view.get_by_role("button", name="Switch this head off").click())
    expect(page.get_by_role("button", name="2 heads are off: switch on")).to_be_visible()
    do(page, lambda: view.get_by_role("button", name="Switch this head on").click())
    expect(page.get_by_role("button", name="1 head is off: switch on")).to_be_visible()
    expect(view.get_by_role("radio").nth(4)).to_have_class("off")


def test_heads_are_chosen_by_keyboard_and_said(page: Page, file: Path, shipped):
    opened(page, file)
    view = show(page, "attention")
    expect(page.locator("#tab-attention")).to_have_attribute("aria-selected", "true")
    expect(page.locator("[role=tab][aria-selected=true]")).to_have_count(1)
    view.get_by_role("radio").first.focus()
    last = shipped[0].config.num_hidden_layers - 1
    for keys, layer, head in (
        ("ArrowDown", 1, 0),
        ("ArrowLeft", 1, 3),
        ("ArrowUp ArrowUp", last, 3),
    ):
        for key in keys.split():
            page.keyboard.press(key)
        expect(view.locator(".chosen")).to_contain_text(f"Layer {layer}, head {head}: ")
        chosen = view.get_by_role("radio", checked=True)
        expect(chosen).to_have_accessible_name(re.compile(f"layer {layer}, head {head}: "))
        expect(chosen).to_be_focused()
    data = AttentionData.from_model(*shipped, TEXT)
    weights = np.rint(255 * data.weights()[last, 3])  # as the page has them: the first of equals
    row, column = np.unravel_index(weights.argmax(), weights.shape)
    strongest = f"strongest: {data.tokens[row]} looks at {data.tokens[column]} with"
    expect(page.get_by_role("status")).to_contain_text(strongest)
    names = view.locator(".links [role=button]")
    best = weights[2].argmax()
    expect(names.nth(2)).to_have_accessible_name(
        re.compile(rf"^congress, token 2, looks at {re.escape(data.tokens[best])} \d+ %")
    )


def test_a_word_that_is_clicked_in_the_links_is_chosen_and_a_button_hides_it(page, file, shipped):
    """Its links stay when the pointer goes away, and the text stays as it is."""
    opened(page, file)
    view = show(page, "attention")
    view.get_by_role("radio").nth(10).click()  # not symmetric
    weights = np.rint(255 * AttentionData.from_model(*shipped, TEXT).weights()[2, 2]) / 255
    length, lines, words = (
        len(weights),
        view.locator(".links path"),
        view.locator(".links [role=button]"),
    )
    hide = view.get_by_role("button", name="Hide this word")
    for place, those in ((2, weights[2]), (length + 4, weights[:, 4])):
        words.nth(place).click()
        page.locator("h1").hover()
        expect(lines).to_have_count(int((those >= 0.02).sum()))
        expect(words.nth(place)).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("button", name="hide congress")).to_have_attribute(
        "aria-pressed", "false"
    )
    view.get_by_role("button", name="Show all links").click()
    page.locator("h1").hover()
    expect(lines).to_have_count(int((weights >= 0.02).sum()))
    expect(hide).to_be_hidden()
    words.nth(0).click()  # [CLS] is no word
    expect(hide).to_be_hidden()
    words.nth(2).click()
    do(page, hide.click)
    expect(page.get_by_role("button", name="hide congress")).to_have_attribute(
        "aria-pressed", "true"
    )
    expect(view.locator("caption").first).to_have_text("Blank 1 (it was “congress”)")
    do(page, view.get_by_role("button", name="Show this word again").click)
    expect(page.get_by_role("button", name="hide congress")).to_have_attribute(
        "aria-pressed", "false"
    )


def test_links_run_from_the_word_that_looks_to_the_word_it_looks_at(
    page: Page, file: Path, shipped
):
    """The ends of each line, and its opacity, are a row, a column and a weight of the head."""
    opened(page, file)
    view = show(page, "attention")
    expect(view.locator(".word-attention select")).to_have_value("6")  # the blank, at first
    view.get_by_role("radio").nth(6).click()
    weights = np.rint(255 * AttentionData.from_model(*shipped, TEXT).weights()[1, 2]) / 255
    darkest = view.locator("[role=radio] canvas").evaluate_all(
        """all => all.map((canvas) => {
            const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            const green = [...data.filter((_, i) => i % 4 === 1)];  // it grows with lightness
            return green.indexOf(Math.min(...green));
        })"""
    )
    maps = AttentionData.from_model(*shipped, TEXT).weights()
    maps = maps.reshape(-1, maps.shape[-1] ** 2)
    assert [row[place] for row, place in zip(maps, darkest, strict=True)] == pytest.approx(
        maps.max(1).tolist(), abs=0.01
    )
    ends = [word.bounding_box() for word in view.locator(".links [role=button] rect").all()]
    height = [box["y"] + box["height"] / 2 for box in ends]
    drawn = view.locator(".links path").evaluate_all(
        """all => all.map((path) => {
            const at = (length) => {
                const {x, y} = path.getPointAtLength(length).matrixTransform(path.getScreenCTM());
                return [x, y];
            };
            const opacity = Number(path.getAttribute("stroke-opacity"));
            return [at(0)[1], at(path.getTotalLength())[1], opacity];
        })"""
    )
    rows, columns = np.nonzero(weights >= 0.02)
    for (start, end, opacity), row, column in zip(drawn, rows, columns, strict=True):
        assert start == pytest.approx(height[row], abs=1)
        assert end == pytest.approx(height[len(weights) + column], abs=1)
        assert opacity == pytest.approx(weights[row, column], abs=1e-3)


def test_a_saved_picture_of_links_says_what_it_shows(page: Page, file: Path, tmp_path: Path):
    opened(page, file)
    view = show(page, "attention")
    view.get_by_role("radio").nth(6).click()
    role = view.locator(".chosen").inner_text()
    for kind in ("SVG", "PNG"):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Save links as {kind}").click()
        assert download.value.suggested_filename == f"attention-layer-1-head-2.{kind.lower()}"
        download.value.save_as(tmp_path / kind)
    drawing = ElementTree.parse(tmp_path / "SVG").getroot()
    texts = [text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[:4] == ["the congress must pass the [MASK] bill .", role, "looks", "is looked at"]
    assert role.startswith("Layer 1, head 2: ") and texts[4:6] == ["[CLS]", "the"]
    size = struct.unpack(">II", (tmp_path / "PNG").read_bytes()[16:24])
    assert size == (2 * int(drawing.get("width")), 2 * int(drawing.get("height")))
    assert imread(tmp_path / "PNG").min() < 0.1  # there is ink


def test_a_head_can_be_read_as_a_table(page: Page, file: Path, shipped):
    opened(page, file)
    view = show(page, "attention")
    view.get_by_role("radio").nth(6).click()
    view.get_by_text("This head as a table").click()
    weights = AttentionData.from_model(*shipped, TEXT).weights()[1, 2]
    for row, cells in zip(weights, view.locator(".weights tbody tr").all(), strict=True):
        shown = cells.locator("td").all_inner_texts()
        assert shown == [percent(round(255 * float(w)) / 255) for w in row]
    view.get_by_role("radio").nth(0).click()  # while the table is open
    expect(view.locator(".weights caption")).to_contain_text(
        "Layer 0, head 0: how much the word of each row"
    )
    first = AttentionData.from_model(*shipped, TEXT).weights()[0, 0, 1]
    shown = view.locator(".weights tbody tr").nth(1).locator("td").all_inner_texts()
    assert shown == [percent(round(255 * float(w)) / 255) for w in first]
    assert axe(page) == []


def test_the_walk_follows_the_head_that_was_looked_at(page: Page, file: Path):
    """And says so if that head is off: it passes nothing on."""
    opened(page, file)
    view = show(page, "attention")
    view.get_by_role("radio").nth(6).click()
    do(page, lambda: view.get_by_role("button", name="Switch this head off").click())
    view = show(page, "walk")
    chosen = view.locator("select").evaluate_all("all => all.map((one) => one.value)")
    assert chosen[1:] == ["1", "2"]
    for _ in range(5):
        view.get_by_role("button", name="Next →").click()
    expect(view.locator(".saying")).to_contain_text("Head 2 of layer 1 is switched off")


def test_the_walk_goes_on_and_back_by_keyboard(page: Page, file: Path, shipped):
    opened(page, file)
    page.locator("#tab-guess").focus()
    for tab in ("attention", "walk"):
        do(page, lambda: page.keyboard.press("ArrowRight"))
        expect(page.locator(f"#tab-{tab}")).to_be_focused()
    view = page.locator("#view-walk")
    titles = []
    view.get_by_role("button", name="Next →").focus()
    for stop in range(10):
        expect(view.locator(".place")).to_have_text(f"Stop {stop + 1} of 10")
        titles.append(view.locator("h2").inner_text())
        assert axe(page) == [], titles[-1]
        has_squares = view.locator(".strip").count() > 0
        assert view.get_by_text("A coloured square is a number").is_visible() == has_squares
        if titles[-1] == "Scores become shares":
            rows = [row.locator("td").all_inner_texts() for row in view.locator("tbody tr").all()]
        page.keyboard.press("ArrowRight")
    assert len(set(titles)) == 10
    shares = AttentionData.from_model(*shipped, TEXT).weights()[0, 0, 6]  # of the blank
    assert [share.strip() for _, share in rows] == [percent(share) for share in shares]
    scores = torch.tensor([float(score.replace("−", "-")) for score, _ in rows])
    assert scores.softmax(-1).tolist() == pytest.approx(shares.tolist(), abs=0.005)
    expect(view.locator(".place")).to_have_text("Stop 1 of 10")  # it starts again
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowRight")
    expect(view.locator(".place")).to_have_text("Stop 9 of 10")
    do(page, lambda: view.locator(".picks select").nth(1).select_option("2"))
    expect(view.locator(".saying")).to_contain_text("That was layer 2.")
    names = view.locator(".vector .name").all_inner_texts()
    assert names == [
        "embedding",
        *(f"after layer {layer}" for layer in range(shipped[0].config.num_hidden_layers)),
    ]
    view.locator(".picks select").first.focus()
    page.keyboard.press("ArrowRight")  # the menu's own key
    expect(view.locator(".place")).to_have_text("Stop 9 of 10")


def test_a_square_is_purple_above_0_and_orange_below(page: Page, file: Path, shipped):
    """The embedding of the blank, a square for each number, row after row."""
    opened(page, file)
    view = show(page, "walk")
    view.get_by_role("button", name="Next →").click()
    pixels = view.locator("canvas.strip").last.evaluate(
        """(canvas) => [...canvas.getContext("2d")
            .getImageData(0, 0, canvas.width, canvas.height).data]"""
    )
    red, _, blue, _ = np.array(pixels).reshape(-1, 4).T
    model, tokenizer = shipped
    inputs = tokenizer([TEXT], return_tensors="pt")
    with torch.no_grad():
        state = model(**inputs, output_hidden_states=True).hidden_states[0][0, 6].numpy()
    clear = np.abs(state) > 0.05
    assert clear.mean() > 0.5
    np.testing.assert_array_equal((blue > red)[clear], (state > 0)[clear])
    expect(view.locator(".vector .name").first).to_have_text("[MASK]")


def test_the_answer_forms_layer_by_layer(page: Page, file: Path, shipped):
    opened(page, file)
    view = show(page, "layers")
    model, tokenizer = shipped
    inputs = tokenizer([TEXT], return_tensors="pt")
    place = inputs["input_ids"][0].tolist().index(tokenizer.vocab["[MASK]"])
    with torch.no_grad():
        states = model(**inputs, output_hidden_states=True).hidden_states
        best = [tokenizer.tokens[model.mlm_head(s[0, place]).argmax()] for s in states]
    first = view.locator("tbody tr").first.locator("td span").all_inner_texts()
    assert first == best
    winner = view.locator(".winner span")
    expect(winner.last).to_have_text(best[-1])
    number = tokenizer.vocab[best[-1]]
    with torch.no_grad():
        shares = [model.mlm_head(s[0, place]).softmax(-1)[number].item() for s in states]
    assert view.locator("tr.final td").all_inner_texts() == [percent(share) for share in shares]


def test_what_goes_on_to_the_right_is_said(page: Page, file: Path):
    hint = "There is more to the right"
    for width, is_wider in ((390, True), (1400, False)):
        page.set_viewport_size({"width": width, "height": 900})
        view = show(opened(page, file), "layers")
        expect(view.get_by_text(hint)).to_be_visible(visible=is_wider)
