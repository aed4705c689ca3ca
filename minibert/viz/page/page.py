"""`page(model, tokenizer)`: BERT in a page."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from torch import nn

from minibert.heads import (
    BertForMultipleChoice,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertWithHead,
)
from minibert.model import BertForPreTraining, BertModel, load
from minibert.pretraining.snapshots import read_snapshots
from minibert.tokenizer import BertTokenizer
from minibert.viz.document import Document, script_json
from minibert.viz.page.bundle import bundle, join_styles
from minibert.viz.page.characters import character_table
from minibert.viz.page.pack import pack

HERE = Path(__file__).parent
MODELS = BertForPreTraining | BertForSequenceClassification
TEXT_TO_JUDGE = "The cat sat on the mat."
EXAMPLES = (
    "The cat sat on the [MASK].",
    "Paris is the capital of [MASK].",
    "He opened the [MASK] and looked inside.",
    "We must protect the [MASK] of our people.",
)
"""What the page offers to try, the first of them when it opens."""
SPEECHES = (
    "We must protect the [MASK] of our people.",
    "The state of the Union is [MASK].",
    "Our children need better [MASK].",
    "The cat sat on the [MASK].",
)
"""The same for a model that knows speeches alone: the last is to show that."""
COMPARISON = {
    "words": ("he", "she"),
    "texts": ("He is a good [MASK].", "She is a good [MASK]."),
}
LEARNED_FROM = {
    "sotu": "It learned from speeches of American presidents, and knows little else.",
    "library": "It learned from encyclopedia articles, novels, definitions and speeches.",
}
"""What the page says of a corpus."""
PREDICT = "`minibert predict` gives its answers"
LOAD = "minibert.load(folder or name) gives a model that guesses words"
OTHERS: dict[type, tuple[str, str]] = {
    BertModel: ("gives vectors only", LOAD),
    BertForTokenClassification: ("labels single tokens", PREDICT),
    BertForQuestionAnswering: ("marks an answer in a text", PREDICT),
    BertForMultipleChoice: ("chooses among several texts", PREDICT),
}
"""What a model does that a page cannot show, and what to do with it instead."""
MOST_SNAPSHOTS = 5
LARGE, TOO_LARGE = 30_000_000, 100_000_000
"""Bytes of a page that opens slowly, and of one that many browsers and phones do not open."""
HEIGHT = 760
"""The height of the page in a notebook, in CSS pixels."""
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' blob:; worker-src blob:; "
    "style-src 'unsafe-inline'; img-src data: blob:"
)
"""The page's thread is a blob, which holds the same script."""
BODY = """<div id="app"><p>This page needs JavaScript: BERT runs in it.</p></div>
<script type="application/json" id="bert">{data}</script>
<script type="application/json" id="start">{start}</script>
<script id="code">{code}</script>"""
BEGIN = """
const read = (id) => document.getElementById(id).textContent;
new app.App(
  { ...JSON.parse(read("bert")), start: JSON.parse(read("start")) },
  read("code"), document.getElementById("app"));
"""


def page(
    model: BertForPreTraining | BertWithHead,
    tokenizer: BertTokenizer,
    text: str | None = None,
    pair: str | None = None,
    exact: bool = False,
    snapshots: str | Path | None = None,
    corpus: str | None = None,
    course: str | None = None,
) -> BertPage:
    """A page that holds this model and runs it, in any browser and without a network.

    The model is one with an MLM head, or a classifier. The page opens with `text` and `pair`.
    Weights are rounded to a byte each (`pack` says which); with `exact` to half precision, which
    doubles the page. `snapshots` is the folder of a run that kept them: at most five of them go
    into the page, with a slider. `corpus` is the name of what the model learned from, if the page
    should say it. `course` is the address of a site's chapters, such as `notebooks` beside the page
    or `https://example.org/minibert/notebooks`: each stop of the walk then links to the chapter
    that builds it. A copy that the page saves of itself has no links.

    Raises `ValueError` if the page would be larger than 100 MB, if the model has parts that the
    page cannot compute, or if `course` is no address of pages, and warns above 30 MB.
    """
    if not isinstance(model, MODELS):
        raise ValueError(_refusal(model))
    scheme = model.config.position_embedding_type
    if scheme != "absolute":
        raise ValueError(
            f"a page cannot compute positions of the kind {scheme!r}: look at this model in a "
            "notebook, with minibert.viz.explore"
        )
    if text is None:
        examples = SPEECHES if corpus == "sotu" else EXAMPLES
        text = examples[0] if isinstance(model, BertForPreTraining) else TEXT_TO_JUDGE
    models: dict[int | None, MODELS] = {None: model}
    if snapshots is not None:
        models = {step: load(path)[0] for step, path in _chosen(read_snapshots(snapshots)).items()}
    if course is not None and urlsplit(course).scheme not in ("", "http", "https"):
        raise ValueError(
            f"course is {course!r}: give a folder beside the page, or an https address"
        )
    start: dict[str, Any] = {"text": text, "pair": pair, "masked": [], "off": []}
    if course:
        start["course"] = course.rstrip("/")
    made = BertPage(models, tokenizer, start, exact, corpus)
    size = f"the page has {made.size / 1e6:.0f} MB"
    if made.size > TOO_LARGE:
        raise ValueError(
            f"{size}, and browsers open at most about {TOO_LARGE / 1e6:.0f}: take a smaller model"
            + (", or leave exact out" if exact else "")
            + (", or fewer snapshots" if snapshots is not None else "")
        )
    if made.size > LARGE:
        warnings.warn(f"{size}: it opens slowly, and maybe not at all on a phone", stacklevel=2)
    return made


def _refusal(model: nn.Module) -> str:
    does, instead = OTHERS.get(type(model), ("is not a BERT of minibert", LOAD))
    return (
        f"a page shows guesses for hidden words or the labels of a text, but a "
        f"{type(model).__name__} {does}: {instead}"
    )


def _chosen(snapshots: Mapping[int, Path]) -> dict[int, Path]:
    """At most five of them, the first and the last among them, evenly spaced between."""
    steps = list(snapshots)
    last = len(steps) - 1
    parts = min(MOST_SNAPSHOTS, len(steps)) - 1
    kept = sorted({round(last * part / max(1, parts)) for part in range(parts + 1)})
    return {steps[place]: snapshots[steps[place]] for place in kept}


class BertPage(Document):
    """What `page` gives: it saves itself as an HTML file, and a notebook shows it in a frame."""

    policy = POLICY
    base_style = ""

    def __init__(
        self,
        models: Mapping[int | None, MODELS],
        tokenizer: BertTokenizer,
        start: dict[str, Any],
        exact: bool,
        corpus: str | None,
    ) -> None:
        model = list(models.values())[-1]
        self.data = {
            "name": _name(model),
            "config": _config(model),
            "tokens": tokenizer.tokens,
            "lowerCase": tokenizer.do_lower_case,
            "characters": character_table(),
            "examples": SPEECHES if corpus == "sotu" else EXAMPLES,
            "comparison": COMPARISON,
            "learnedFrom": _learned_from(corpus),
            "steps": list(models),
            "models": [_packed(model, exact) for model in models.values()],
        }
        super().__init__(
            "BERT in a page",
            BODY.format(
                data=script_json(self.data), start=script_json(start), code=bundle(HERE / "app.js")
            ),
            picture=None,
            style=join_styles(HERE / "panel.css", HERE / "page.css"),
            scripts=[BEGIN],
            height=HEIGHT,
        )

    @property
    def size(self) -> int:
        """Bytes of the page."""
        return len(self.html.encode())

    def __repr__(self) -> str:
        return f"BERT in a page: {self.data['name']}, {self.size / 1e6:.1f} MB. Save it as .html"


def _learned_from(corpus: str | None) -> str | None:
    if corpus is None:
        return None
    return LEARNED_FROM.get(corpus, f"It learned from {Path(corpus).name}.")


def _name(model: MODELS) -> str:
    config, weights = model.config, sum(p.numel() for p in model.parameters())
    shape = f"{config.num_hidden_layers} layers of {config.num_attention_heads} heads"
    return f"{shape}, {weights / 1e6:.1f} million weights"


def _config(model: MODELS) -> dict[str, Any]:
    config = asdict(model.config)
    if isinstance(model, BertForSequenceClassification):
        config["labels"] = list(model.labels)
        config |= {"problem_type": model.problem_type, "pooling": model.pooling}
    return config


def _packed(model: MODELS, exact: bool) -> dict[str, Any]:
    table, content = pack(model, exact)
    return {"table": table, "bytes": base64.b64encode(content).decode("ascii")}
