"""BERT in a page, opened from a file without a network, by mouse and by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from playwright.sync_api import Browser, Page, expect

from minibert.config import BertConfig
from minibert.heads import BertForSequenceClassification
from minibert.inference.fill_mask import fill_mask
from minibert.model import BertForPreTraining
from minibert.tokenizer import SPECIAL_TOKENS, BertTokenizer
from minibert.viz import page as bert_page
from minibert.viz.page.page import COMPARISON
from tests.browser.axe import axe
from tests.browser.bert_page import TEXT, bars, do, opened, percent, show, slow_down, widths
from tests.browser.notebook import Frontend
from tests.hostile import HOSTILE_TOKENS

TABS = ("guess", "attention", "walk", "layers")


@pytest.fixture(params=[(1400, "light"), (800, "dark"), (390, "light")], ids=str)
def sized(request: pytest.FixtureRequest, page: Page, file: Path) -> Iterator[Page]:
    """The page in a window of this width, in light or dark, once it has answered."""
    width, scheme = request.param
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    yield opened(page, file)


def test_it_fits_and_can_be_used_by_everyone(sized: Page):
    """At three widths, light and dark: no part is cut off, and axe finds nothing."""
    for tab in TABS:
        view = show(sized, tab)
        expect(view).to_be_visible()
        assert sized.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        ), tab
        assert axe(sized) == [], tab
    assert sized.errors == []


def test_guesses_follow_what_is_typed_and_hidden(page: Page, file: Path, shipped):
    opened(page, file)
    table = page.locator("#view-guess .bars")

    def expected(text: str) -> list[tuple[str, str]]:
        (guesses,) = fill_mask(*shipped, text, top_k=8)
        return [(word, percent(share)) for word, share in guesses]

    assert bars(table) == expected(TEXT)
    typed = "We must protect the [MASK] of our people."
    do(page, lambda: page.locator(".sentence input").first.fill(typed))
    assert bars(table) == expected(typed)
    do(page, lambda: page.locator(".sentence input").first.fill("We must protect our people."))
    expect(page.locator("#view-guess")).to_contain_text("Press a word above to hide it")
    do(page, lambda: page.get_by_role("button", name="hide people").click())
    expect(page.locator("caption")).to_have_text("BERT’s guesses (it was “people”)")
    assert bars(table)[:8] == expected("We must protect our [MASK].")
    chip = page.get_by_role("button", name="hide people")
    expect(chip).to_have_attribute("aria-pressed", "true")
    expect(chip).to_be_focused()  # though drawn anew
    best, share = expected("We must protect our [MASK].")[0]
    expect(page.get_by_role("status")).to_have_text(f"Best guess: {best}, {share}.")
    # Another word is edited: the hidden one stays hidden.
    do(page, lambda: page.locator(".sentence input").first.fill("We will protect our people."))
    assert bars(table)[:8] == expected("We will protect our [MASK].")


def test_blanks_may_be_written_otherwise_and_there_are_examples(page: Page, file: Path):
    opened(page, file)
    shown = bars(page.locator("#view-guess .bars"))
    for blank in ("___", "[mask]"):
        text = TEXT.replace("[MASK]", blank)
        do(page, lambda text=text: page.locator(".sentence input").first.fill(text))
        assert bars(page.locator("#view-guess .bars")) == shown
    do(page, lambda: page.get_by_role("button", name="The cat sat on the ___.").click())
    expect(page.locator(".sentence input").first).to_have_value("The cat sat on the [MASK].")
    alike = "Paris is the capital of France."
    do(page, lambda: page.locator(".sentence input").first.fill(alike))
    do(page, lambda: page.get_by_role("button", name="hide capital").click())
    do(page, lambda: page.get_by_role("button", name="Paris is the capital of ___.").click())
    expect(page.locator(".chip[aria-pressed=true]")).to_have_count(
        0
    )  # a new text: nothing is hidden


def test_the_last_text_that_is_typed_is_answered(page: Page, file: Path, shipped):
    """Also if it is typed, or another tab is opened, while an answer is on its way."""
    opened(page, file)
    slow_down(page)
    page.locator(".sentence input").first.fill("The [MASK] is ours.")
    page.wait_for_timeout(200)  # the first text is asked about
    page.locator(".sentence input").first.fill("The [MASK] States.")
    (guesses,) = fill_mask(*shipped, "The [MASK] States.", top_k=8)
    names = page.locator("#view-guess .bars th")
    expect(names).to_have_text([word for word, _ in guesses])
    last = "The [MASK] is ours."
    page.locator(".sentence input").first.fill(last)
    page.wait_for_timeout(200)
    page.locator("#tab-walk").click()
    expect(page.locator("#view-walk .place")).to_have_text("Stop 1 of 10")
    tokens = shipped[1]([last])["input_ids"][0]
    expect(page.locator("#view-walk .piece")).to_have_count(len(tokens))
    assert page.errors == []


def test_a_guess_can_be_put_into_the_text(page: Page, file: Path):
    opened(page, file)
    first = page.locator("#view-guess .bars button").first
    word = first.inner_text()
    do(page, first.click)
    expect(page.locator(".sentence input").first).to_have_value(TEXT.replace("[MASK]", word))
    do(page, lambda: page.get_by_role("button", name="hide pass").click())
    other = page.locator("#view-guess .bars button").filter(has_not_text="pass").nth(2)
    written = TEXT.replace("[MASK]", word).replace("pass", other.inner_text())
    do(page, other.click)
    expect(page.locator(".sentence input").first).to_have_value(written)
    expect(page.locator(".chip[aria-pressed=true]")).to_have_count(0)


def test_a_second_sentence_and_a_comparison(page: Page, file: Path, shipped):
    opened(page, file)
    do(page, lambda: page.get_by_role("button", name="Add a second sentence").click())
    do(page, lambda: page.locator(".sentence input").nth(1).fill("It was [MASK]."))
    captions = page.locator("#view-guess caption")
    follows = "Does the second sentence follow the first?"
    expect(captions).to_have_text([follows, "Blank 1", "Blank 2"])
    what_for = page.get_by_text("BERT reads both sentences at once")
    expect(what_for).to_contain_text("learned to say whether the second sentence follows")
    do(page, lambda: page.get_by_role("button", name="Remove the second sentence").click())
    expect(what_for).to_be_hidden()
    do(page, lambda: page.get_by_role("button", name="Compare with another text").click())
    other = "The Senate must pass the [MASK] law."
    do(page, lambda: page.locator(".sentence").nth(1).locator("input").first.fill(other))
    expect(captions).to_have_text(["The blank in both texts"])
    rows = page.locator("#view-guess tbody tr")
    both = [dict(fill_mask(*shipped, text, top_k=5000)[0]) for text in (TEXT, other)]
    for row in rows.all():
        shares = [each[row.locator("th").inner_text()] for each in both]
        assert row.locator("td").all_inner_texts()[1:] == [percent(share) for share in shares]
        assert widths(row.locator(".bar span")) == pytest.approx(shares, abs=0.02)
    do(page, lambda: page.get_by_role("button", name="Stop comparing").click())
    do(page, lambda: page.get_by_role("button", name="Compare “he” with “she”").click())
    inputs = [one.locator("input").first.input_value() for one in page.locator(".sentence").all()]
    assert inputs == list(COMPARISON["texts"])
    expect(captions).to_have_text(["The blank in both texts"])
    do(page, lambda: page.get_by_role("button", name="Stop comparing").click())
    do(page, lambda: page.locator(".sentence input").first.fill(TEXT))
    expect(captions).to_have_text(["BERT’s guesses"])
    do(page, lambda: page.get_by_role("button", name="hide congress").click())
    do(page, lambda: page.get_by_role("button", name="Compare with another text").click())
    expect(page.locator(".chip[aria-pressed=true]")).to_have_text(["congress", "congress"])


def test_a_copy_opens_with_what_was_shown(page: Page, file: Path, tmp_path: Path):
    opened(page, file)
    text = "Peace </script> is our aim."
    do(page, lambda: page.locator(".sentence input").first.fill(text))
    do(page, lambda: page.get_by_role("button", name="hide aim").click())
    before = bars(page.locator("#view-guess .bars"))
    view = show(page, "attention")
    view.get_by_role("radio").nth(4).click()
    do(page, lambda: view.get_by_role("button", name="Switch this head off").click())
    show(page, "guess")
    shown = bars(page.locator("#view-guess .bars"))
    with page.expect_download() as download:
        page.get_by_role("button", name="Save a copy of this page").click()
    copy = tmp_path / "copy.html"
    download.value.save_as(copy)
    opened(page, copy)
    expect(page.locator(".sentence input").first).to_have_value(text)
    assert bars(page.locator("#view-guess .bars")) == shown != before
    expect(page.get_by_role("button", name="1 head is off: switch on")).to_be_visible()
    do(page, lambda: page.locator(".examples button").first.click())  # begins with all heads
    expect(page.get_by_role("button", name="1 head is off: switch on")).to_be_hidden()


def test_the_first_screen_of_a_phone_shows_guesses(page: Page, file: Path):
    page.set_viewport_size({"width": 390, "height": 844})
    opened(page, file)
    last = page.locator("#view-guess .bars tbody tr").nth(7).bounding_box()
    assert last["y"] + last["height"] < 844


def test_pictures_are_saved(page: Page, file: Path, tmp_path: Path, shipped):
    opened(page, file)
    for kind, begins in (("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        with page.expect_download() as download:
            page.get_by_role("button", name=kind, exact=True).click()
        download.value.save_as(tmp_path / kind)
        assert (tmp_path / kind).read_bytes().startswith(begins)
    drawing = ElementTree.parse(tmp_path / "SVG").getroot()
    _, *rects = drawing.iter("{http://www.w3.org/2000/svg}rect")
    texts = [text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    (guesses,) = fill_mask(*shipped, TEXT, top_k=8)
    assert texts[:2] == [TEXT, "BERT’s guesses"] and texts[2::2] == [word for word, _ in guesses]
    lengths = [float(rect.get("width")) for rect in rects]
    assert lengths == pytest.approx([290 * share for _, share in guesses], rel=0.02)


def test_without_a_thread_it_answers_all_the_same(browser: Browser, page: Page, file: Path):
    """Where a file may start none."""
    page.add_init_script("window.Worker = class { constructor() { throw new Error('no'); } };")
    opened(page, file)
    expect(page.locator("#view-guess .bars tbody tr")).to_have_count(8)
    do(page, lambda: page.locator(".sentence input").first.fill("The [MASK] States."))
    assert bars(page.locator("#view-guess .bars"))[0][0] == "united"


def test_a_notebook_shows_it(lab: Frontend, shipped):
    """In a frame that shares nothing with the notebook."""
    page = lab.run(
        f"import minibert\nfrom minibert.viz import page\npage(*minibert.load('mini'), {TEXT!r})"
    )
    frame = page.frame_locator("iframe.minibert-page")
    expect(frame.locator("#view-guess .bars tbody tr")).to_have_count(8)
    ((best, _),) = fill_mask(*shipped, TEXT, top_k=1)[0]
    expect(frame.locator("#view-guess .bars th").first).to_have_text(best)


def test_what_is_too_long_is_said_and_nothing_is_lost(page: Page, file: Path):
    opened(page, file)
    page.locator(".sentence input").first.fill("peace " * 200)
    expect(page.get_by_role("alert")).to_contain_text(
        "The text has 200 tokens, and this model reads"
    )
    faded = page.locator("#view-guess")
    expect(faded).to_have_css("opacity", "0.35")  # it is of an earlier text
    do(page, lambda: page.locator(".sentence input").first.fill("The [MASK] States."))
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(faded).to_have_css("opacity", "1")
    assert bars(page.locator("#view-guess .bars"))[0][0] == "united"


def test_hostile_words_and_labels_stay_text(page: Page, tmp_path: Path):
    torch.manual_seed(0)
    tokens = [*SPECIAL_TOKENS, *HOSTILE_TOKENS, "a"]
    tokenizer = BertTokenizer(tokens)
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1}
    config = BertConfig(vocab_size=len(tokens), intermediate_size=8, **sizes)
    text = f"{HOSTILE_TOKENS[0]} [MASK]"
    models = [
        BertForPreTraining(config),
        BertForSequenceClassification(config, HOSTILE_TOKENS),
    ]
    for model in models:
        opened(page, bert_page(model, tokenizer, text, HOSTILE_TOKENS[1]).save(tmp_path / "x.html"))
        for tab in TABS[:3]:
            show(page, tab)
        assert page.evaluate("typeof owned") == "undefined"
    labels = page.locator("#view-guess th").all_text_contents()
    assert all(any(label.startswith(shown[:15]) for label in HOSTILE_TOKENS) for shown in labels)


def test_a_classifier_shows_its_labels(page: Page, tmp_path: Path, shipped):
    torch.manual_seed(0)
    bert, tokenizer = shipped
    model = BertForSequenceClassification.from_bert(bert.bert, ("no", "yes"), pooling="mean").eval()
    path = bert_page(model, tokenizer, "We agree.").save(tmp_path / "yes.html")
    opened(page, path)
    expect(page.locator("#tab-layers")).to_have_count(0)
    assert [name for name, _ in bars(page.locator("#view-guess .bars"))] == ["no", "yes"]


def test_the_slider_goes_through_training(page: Page, tmp_path: Path, shipped):
    model, tokenizer = shipped
    for step in (0, 30):
        folder = tmp_path / f"snapshots/step-{step:09d}"
        torch.manual_seed(step)
        kept = BertForPreTraining(BertConfig(**{**vars(model.config), "num_hidden_layers": 1}))
        kept.save_pretrained(folder)
        (folder / "vocab.txt").write_text("\n".join(tokenizer.tokens), "utf-8")
    made = bert_page(kept, tokenizer, TEXT, snapshots=tmp_path)
    opened(page, made.save(tmp_path / "training.html"))
    expect(page.locator("output")).to_have_text("after 30 steps")
    last = bars(page.locator("#view-guess .bars"))
    do(page, lambda: page.get_by_role("slider").press("ArrowLeft"))
    expect(page.locator("output")).to_have_text("after 0 steps")
    assert bars(page.locator("#view-guess .bars")) != last
    view = show(page, "training")
    assert view.locator("thead th").all_inner_texts() == ["0", "30"]
    words = view.locator("tbody tr").first.locator("td span").all_inner_texts()
    assert last[0][0].startswith(words[1].rstrip("…"))


def test_a_second_sentence_for_a_model_that_never_learned_about_pairs(page: Page, tmp_path: Path):
    tokenizer = BertTokenizer([*SPECIAL_TOKENS, "we", "agree"])
    config = BertConfig.preset("tiny", vocab_size=tokenizer.vocab_size)
    model = BertForPreTraining(config, next_sentence=False)
    opened(page, bert_page(model, tokenizer, "We [MASK].").save(tmp_path / "alone.html"))
    do(page, lambda: page.get_by_role("button", name="Add a second sentence").click())
    what_for = page.get_by_text("BERT reads both sentences at once")
    expect(what_for).to_contain_text("was never taught whether one sentence follows another")
