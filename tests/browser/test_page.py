"""BERT in a page, opened from a file without a network, by mouse and by keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Browser, Locator, Page, expect

import minibert
from minibert.config import BertConfig
from minibert.heads import BertForSequenceClassification
from minibert.inference.fill_mask import fill_mask
from minibert.model import BertForPreTraining
from minibert.tokenizer import SPECIAL_TOKENS, BertTokenizer
from minibert.viz import AttentionData
from minibert.viz import page as bert_page
from tests.browser.axe import axe
from tests.browser.notebook import Frontend
from tests.hostile import HOSTILE_TOKENS
from tests.rounded import rounded

TEXT = "The Congress must pass the [MASK] bill."
TABS = ("guess", "look", "walk", "layers")


@pytest.fixture(scope="module")
def shipped() -> tuple[BertForPreTraining, BertTokenizer]:
    """What the page holds of the model: its weights are rounded."""
    model, tokenizer = minibert.load("mini-sotu")
    model.load_state_dict(rounded(model))
    return model, tokenizer


@pytest.fixture(scope="module")
def file(shipped, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    return bert_page(*minibert.load("mini-sotu"), TEXT).save(folder / "bert.html")


@pytest.fixture(params=[(1400, "light"), (800, "dark"), (390, "light")], ids=str)
def sized(request: pytest.FixtureRequest, page: Page, file: Path) -> Iterator[Page]:
    """The page in a window of this width, in light or dark, once it has answered."""
    width, scheme = request.param
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    yield opened(page, file)


def opened(page: Page, file: Path) -> Page:
    page.goto(file.as_uri())
    answered(page, 0)
    return page


def answered(page: Page, number: int) -> int:
    """Wait for an answer after the one of this number. Returns the number of the new one."""
    page.wait_for_function(
        "n => Number(document.querySelector('.app')?.dataset.seq ?? 0) > n", arg=number
    )
    return number_of(page)


def number_of(page: Page) -> int:
    return int(page.locator(".app").get_attribute("data-seq"))


def do(page: Page, action) -> None:
    before = number_of(page)
    action()
    answered(page, before)


def show(page: Page, tab: str) -> Locator:
    do(page, lambda: page.locator(f"#tab-{tab}").click())
    return page.locator(f"#view-{tab}")


def bars(table: Locator) -> list[tuple[str, str]]:
    rows = table.locator("tbody tr").all()
    return [(r.locator("th").inner_text(), r.locator("td").last.inner_text()) for r in rows]


def percent(share: float) -> str:
    if share < 0.0005:
        return "< 0.1 %"
    return f"{100 * share:.{1 if share < 0.0995 else 0}f} %"


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


def test_the_walk_follows_the_head_that_was_looked_at(page: Page, file: Path):
    """And says so if that head is off: it passes nothing on."""
    opened(page, file)
    view = show(page, "look")
    view.get_by_role("radio").nth(6).click()
    do(page, lambda: view.get_by_role("button", name="Switch this head off").click())
    view = show(page, "walk")
    chosen = view.locator("select").evaluate_all("all => all.map((one) => one.value)")
    assert chosen[1:] == ["1", "2"]
    for _ in range(5):
        view.get_by_role("button", name="Next →").click()
    expect(view.locator(".saying")).to_contain_text("Head 2 of layer 1 is switched off")


def test_a_guess_can_be_put_into_the_text(page: Page, file: Path):
    opened(page, file)
    first = page.locator("#view-guess .bars button").first
    word = first.inner_text()
    do(page, first.click)
    expect(page.locator(".sentence input").first).to_have_value(TEXT.replace("[MASK]", word))


def test_a_head_that_is_switched_off_changes_the_guess(page: Page, file: Path):
    opened(page, file)
    view = show(page, "look")
    before = bars(view.locator(".bars"))
    view.get_by_role("radio").nth(4).click()
    expect(view.locator(".chosen")).to_contain_text("Layer 1, head 0: ")
    do(page, lambda: view.get_by_role("button", name="Switch this head off").click())
    expect(view.locator(".chosen")).to_have_text("Layer 1, head 0: off")
    after = dict(bars(view.locator(".bars")))
    for word, share in before:
        assert after[word].endswith(f", was {share}")
    do(page, lambda: page.get_by_role("button", name="1 head is off: switch on").click())
    assert bars(view.locator(".bars")) == before


def test_a_head_can_be_read_as_a_table(page: Page, file: Path, shipped):
    opened(page, file)
    view = show(page, "look")
    view.get_by_role("radio").nth(6).click()
    view.get_by_text("This head as a table").click()
    weights = AttentionData.from_model(*shipped, TEXT).weights()[1, 2]
    for row, cells in zip(weights, view.locator(".weights tbody tr").all(), strict=True):
        shown = cells.locator("td").all_inner_texts()
        assert shown == [percent(round(255 * float(w)) / 255) for w in row]
    assert axe(page) == []


def test_a_second_sentence_and_a_comparison(page: Page, file: Path):
    opened(page, file)
    do(page, lambda: page.get_by_role("button", name="+ second sentence").click())
    do(page, lambda: page.locator(".sentence input").nth(1).fill("It was [MASK]."))
    captions = page.locator("#view-guess caption")
    expect(captions).to_have_text(["Blank 1", "Blank 2"])
    do(page, lambda: page.get_by_role("button", name="− second sentence").click())
    do(page, lambda: page.get_by_role("button", name="+ compare with another text").click())
    other = "The Senate must pass the [MASK] law."
    do(page, lambda: page.locator(".sentence").nth(1).locator("input").first.fill(other))
    expect(captions).to_have_text(["Blank 1 of both texts"])
    rows = page.locator("#view-guess tbody tr")
    for row in rows.all():
        assert len(re.findall(r"%", row.inner_text())) == 2
    do(page, lambda: page.get_by_role("button", name="− comparison").click())
    expect(captions).to_have_text(["BERT’s guesses"])


def test_the_walk_goes_on_and_back_by_keyboard(page: Page, file: Path):
    opened(page, file)
    page.locator("#tab-guess").focus()
    for _ in range(2):
        do(page, lambda: page.keyboard.press("ArrowRight"))
    view = page.locator("#view-walk")
    titles = []
    view.get_by_role("button", name="Next →").focus()
    for stop in range(10):
        expect(view.locator(".place")).to_have_text(f"Stop {stop + 1} of 10")
        titles.append(view.locator("h2").inner_text())
        assert axe(page) == [], titles[-1]
        page.keyboard.press("ArrowRight")
    assert len(set(titles)) == 10
    expect(view.locator(".place")).to_have_text("Stop 1 of 10")  # it starts again
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowRight")
    expect(view.locator(".place")).to_have_text("Stop 9 of 10")
    do(page, lambda: view.locator(".picks select").nth(1).select_option("2"))
    expect(view.locator(".saying")).to_contain_text("That was layer 2.")


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


def test_a_copy_opens_with_what_was_shown(page: Page, file: Path, tmp_path: Path):
    opened(page, file)
    do(page, lambda: page.locator(".sentence input").first.fill("Peace is our aim."))
    do(page, lambda: page.get_by_role("button", name="hide aim").click())
    shown = bars(page.locator("#view-guess .bars"))
    with page.expect_download() as download:
        page.get_by_role("button", name="Save a copy of this page").click()
    copy = tmp_path / "copy.html"
    download.value.save_as(copy)
    opened(page, copy)
    expect(page.locator(".sentence input").first).to_have_value("Peace is our aim.")
    assert bars(page.locator("#view-guess .bars")) == shown


def test_pictures_are_saved(page: Page, file: Path, tmp_path: Path):
    opened(page, file)
    for kind, begins in (("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        with page.expect_download() as download:
            page.get_by_role("button", name=kind, exact=True).click()
        download.value.save_as(tmp_path / kind)
        assert (tmp_path / kind).read_bytes().startswith(begins)


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
        "import minibert\nfrom minibert.viz import page\n"
        f"page(*minibert.load('mini-sotu'), {TEXT!r})"
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
    do(page, lambda: page.locator(".sentence input").first.fill("The [MASK] States."))
    expect(page.get_by_role("alert")).to_be_hidden()
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
