"""The course as a site, opened from files: links, search, predictions, quizzes, for everyone."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from playwright.sync_api import Page, expect
from sphinx.util.inventory import InventoryFile

from tests.browser.axe import axe

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
KINDS = (
    ("index", "light"), ("index", "dark"), ("notebooks/03_attention", "dark"),
    ("exercises/03_attention", "light"), ("docs/glossary", "dark"), ("api/core", "light"),
)  # fmt: skip
"""A page of each kind, in light or dark."""
WORDS = {  # and the chapter that a reader who searches for it wants
    "wordpiece": "1 · Tokens",
    "LayerNorm": "2 · Embeddings",
    "causal mask": "3 · Attention",
    "residual": "4 · The encoder",
    "masking": "5 · Pretraining data",
    "warm-up": "6 · Pretraining",
    "ablation": "7 · Seeing",
    "LoRA": "8 · Fine-tuning",
    "perplexity": "9 · Generation",
    "teacher": "10 · Distillation",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, made anew. A warning is an error."""
    out = tmp_path_factory.mktemp("built")
    command = [sys.executable, "docs/site/build.py", str(out)]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert made.returncode == 0, made.stdout + made.stderr
    return out / "site"


class Links(HTMLParser):
    """What a page points at, and what can be pointed at in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.loaded: list[str] = []
        self.ids: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attributes}
        self.ids.add(found.get("id", ""))
        if tag == "a" and "href" in found:
            self.targets.append(found["href"])
        for name in ("src", "href", "data-src"):
            if tag != "a" and found.get(name) and found.get("rel") != "canonical":
                self.loaded.append(found[name])


@pytest.fixture(scope="module")
def links(site: Path) -> dict[Path, Links]:
    pages = [p for p in site.rglob("*.html") if "_static" not in p.parts and p.name != "bert.html"]
    return {page: Links(page.read_text("utf-8")) for page in pages}


def test_every_link_leads_somewhere(site: Path, links: dict[Path, Links]):
    wrong = []
    for page, found in links.items():
        for target in found.targets + found.loaded:
            parts = urlsplit(target)
            if parts.scheme in ("http", "https", "mailto", "data"):
                if not re.fullmatch(
                    r"https?://[\w.-]+\.\w+(:\d+)?(/\S*)?|mailto:\S+|data:.*", target
                ):
                    wrong.append((page.name, target))
                continue
            file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            there = file.exists() and file.is_relative_to(site)
            anchor = unquote(parts.fragment)
            if there and anchor and file in links:
                there = anchor in links[file].ids
            if not there:
                wrong.append((page.name, target))
    assert len(links) > 40 and not wrong


def test_nothing_is_loaded_from_elsewhere(site: Path, links: dict[Path, Links]):
    for page, found in links.items():
        assert not [a for a in found.loaded if urlsplit(a).scheme in ("http", "https")], page
    for style in site.rglob("*.css"):
        text = style.read_text("utf-8")
        assert not re.search(r"(@import\s*|url\()['\"]?(https?:)?//", text), style


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda file: file.stem)
def test_a_page_shows_what_its_notebook_printed(site: Path, chapter: Path):
    """Every line of output, numbers included."""
    page = (site / "notebooks" / f"{chapter.stem}.html").read_text("utf-8")
    shown = " ".join(text_of(page).split())
    for cell in nbformat.read(chapter, as_version=4).cells:
        for output in cell.get("outputs", []):
            for line in output.get("text", "").splitlines():
                assert " ".join(line.split()) in shown, line


class Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def text_of(page: str) -> str:
    parser = Words()
    parser.feed(page)
    return "".join(parser.parts)


def test_every_public_name_is_in_the_reference(site: Path):
    """Read from the source: functions and classes with a docstring, outside of catalogues."""
    with (site / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, name: name)
    known = {name for kind in inventory.values() for name in kind}
    missing = []
    for file in sorted((ROOT / "minibert").rglob("*.py")):
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if re.search(r"\.__main__|\.cli\b|\.(checks|quizzes)\.chapter_", module):
            continue
        for node in ast.parse(file.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
                name = f"{module}.{node.name}"
                if not node.name.startswith("_") and name not in known:
                    missing.append(name)
    assert len(known) > 500 and not missing


def test_every_subcommand_has_its_help(site: Path):
    page = text_of((site / "api" / "command.html").read_text("utf-8"))
    listed = subprocess.run([sys.executable, "-m", "minibert"], capture_output=True, text=True)
    commands = re.findall(
        r"^  ([a-z-]+)  +[A-Z]", listed.stdout.split("Start here:")[1], re.MULTILINE
    )
    assert len(commands) >= 15
    assert [name for name in commands if f"Usage: minibert {name} " not in page] == []


# In the browser


@pytest.fixture
def opened(page: Page, site: Path) -> Iterator:
    def open_page(name: str) -> Page:
        page.goto((site / f"{name}.html").as_uri())
        return page

    yield open_page
    assert not page.errors


@pytest.mark.parametrize(("name", "scheme"), KINDS)
def test_each_kind_of_page_is_for_everyone(opened, name: str, scheme: str):
    page = opened(name)
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1366, "height": 900})
    assert axe(page, "main") == []


@pytest.mark.long
def test_every_page_is_for_everyone(opened, site: Path, links: dict[Path, Links]):
    found = {}
    for file in links:
        page = opened(str(file.relative_to(site).with_suffix("")))
        found[file.name] = axe(page, "main")
    assert not {name: problems for name, problems in found.items() if problems}


def test_the_home_page_is_light_and_then_its_bert_answers(opened, site: Path, page: Page):
    loaded = []
    page.on("requestfinished", lambda request: loaded.append(request.url))
    opened("index")
    sizes = {url: Path(unquote(urlsplit(url).path)).stat().st_size
             for url in loaded if url.startswith("file:")}  # fmt: skip
    first = sum(size for url, size in sizes.items() if not url.endswith("bert.html"))
    assert 50e3 < first < 1e6
    frame = page.frame_locator("iframe.live")
    expect(frame.get_by_role("textbox").first).to_be_visible()


def test_every_stop_of_the_walk_leads_to_its_chapter(opened, site: Path, tmp_path: Path):
    page = opened("index")
    frame = page.frame_locator("iframe.live")
    frame.locator("#tab-walk").click()
    linked = set()
    for _ in range(10):
        link = frame.locator("#view-walk").get_by_role("link", name="chapter")
        linked.add(link.get_attribute("href"))
        frame.get_by_role("button", name="Next →").or_(
            frame.get_by_role("button", name="Start again")
        ).click()
    assert len(linked) == 5 and all((site / target).exists() for target in linked)
    with page.expect_download() as download:
        frame.get_by_role("button", name="Save a copy of this page").click()
    copy = tmp_path / "copy.html"
    download.value.save_as(copy)
    page.goto(copy.as_uri())
    page.locator("#tab-walk").click()
    expect(page.get_by_text("you build this in chapter 1")).to_be_visible()
    expect(page.locator("#view-walk").get_by_role("link")).to_have_count(0)
    opened("index")
    frame.locator("#tab-walk").click()
    frame.locator("#view-walk").get_by_role("link", name="chapter 1").click()
    expect(page.get_by_role("heading", name="1 · Tokens and segments")).to_be_visible()


def test_nothing_moves_when_pictures_arrive(opened):
    page = opened("notebooks/04_encoder")
    page.evaluate(
        "() => { window.moved = 0; new PerformanceObserver((list) => list.getEntries().forEach("
        "(e) => { window.moved += e.value; })).observe({type: 'layout-shift', buffered: true}); }"
    )
    for _ in range(30):
        page.mouse.wheel(0, 1500)
        page.wait_for_timeout(20)
    assert page.evaluate("window.moved") < 0.1


def test_an_answer_is_folded_until_its_reader_has_predicted(opened):
    page = opened("notebooks/03_attention")
    boxes = page.locator(".predict-box")
    notebook = nbformat.read(ROOT / "notebooks" / "03_attention.ipynb", as_version=4)
    asked = sum("**Predict.**" in c.source for c in notebook.cells if c.cell_type == "markdown")
    expect(boxes).to_have_count(asked)
    answer = page.get_by_text("0.670, 0.330")
    expect(answer).to_be_hidden()
    boxes.first.get_by_role("textbox").fill("(2, 2)")
    boxes.first.get_by_role("textbox").press("Enter")
    expect(answer).to_be_visible()
    expect(boxes.first).to_have_text("You predicted: (2, 2)")
    page.reload()
    expect(boxes.first).to_have_text("You predicted: (2, 2)")
    expect(boxes.nth(1).get_by_role("button")).to_be_visible()


def test_a_quiz_is_kept_and_says_why(opened):
    page = opened("notebooks/03_attention")
    before, after = page.locator(".quiz").first, page.locator(".quiz").last
    before.locator("summary").click()
    before.get_by_label("25: one for each pair of tokens").check()
    expect(before.locator(".because")).to_have_count(0)
    after.get_by_label("25: one for each pair of tokens").check()
    expect(after.get_by_text("That is one head.")).to_be_visible()
    after.get_by_label("300: each head has its own 25").check()
    expect(after.get_by_text("Every head fills its own 5 × 5 map")).to_be_visible()
    expect(after.locator(".because")).to_have_count(1)
    page.reload()
    expect(after.get_by_label("300: each head has its own 25")).to_be_checked()
    expect(after.get_by_text("Every head fills its own 5 × 5 map")).to_be_visible()


def test_hints_come_one_by_one_and_then_the_solution(opened):
    page = opened("exercises/03_attention")
    helps = page.locator("details.help")
    hint = page.get_by_text("Which token looks, and which is looked at?")
    expect(hint).to_be_hidden()
    helps.first.locator("summary").click()
    expect(hint).to_be_visible()
    expect(page.get_by_text("A dot product of two K's leaves one number.")).to_be_hidden()
    helps.nth(3).locator("summary").click()
    expect(helps.nth(3)).to_contain_text("weights_shape = (2, 3, 5, 5)")


@pytest.mark.parametrize("word", WORDS)
def test_the_search_finds_the_chapter_and_shows_where(opened, word: str):
    page = opened("search")
    box = page.locator("main").get_by_role("searchbox")
    box.fill(word)
    box.press("Enter")
    results = page.locator("#search-results li")
    wanted = results.filter(has_text=WORDS[word])
    expect(wanted.first).to_be_visible()
    expect(wanted.first.locator("p.context")).not_to_be_empty()


def test_without_the_solutions_none_is_there():
    sys.path.insert(0, str(ROOT / "docs" / "site"))
    from exercises import with_help

    file = "03_attention.ipynb"
    for solved in (True, False):
        exercise = nbformat.read(ROOT / "exercises" / file, as_version=4)
        solution = nbformat.read(ROOT / "solutions" / file, as_version=4)
        with_help(exercise, solution if solved else None)
        text = "".join(cell.source for cell in exercise.cells)
        assert ">Solution<" in text if solved else ">Solution<" not in text
        assert ">Hint 3<" in text


@pytest.mark.long
def test_the_course_prints_as_one_pdf(tmp_path: Path):
    """With its pictures, and an outline that names the chapters."""
    command = [sys.executable, "docs/site/pdf.py", str(tmp_path)]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert made.returncode == 0, made.stdout + made.stderr
    pdf = (tmp_path / "minibert.pdf").read_bytes()
    assert pdf.startswith(b"%PDF") and b"/Outlines" in pdf
    assert len(re.findall(rb"/Type /Page\b", pdf)) > 200
    assert pdf.count(b"/Subtype /Image") > 100
