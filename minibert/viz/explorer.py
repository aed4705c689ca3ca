"""The explorer: type, hide words, switch heads off, and see attention and guesses change.

A browser sends a request, `answer` returns a reply, and `explorer.js` draws it. A live widget draws
every reply, and a saved page only the first. They contain:

- request: its number `seq`; `text` and `pair`; `snapshot`, an index into the run's snapshots; and
  `panels`, one for each model, with the places of `masked` tokens and the (layer, head) pairs that
  are `off`;
- reply: the `seq` that it answers; `error`, one line or empty; and `panels`, as `_look` makes them,
  each with a `name`, which may be empty.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minibert.analysis.ablation import without_heads
from minibert.analysis.attention_patterns import describe_heads
from minibert.model import BertForPreTraining, BertModel, evaluating, load
from minibert.pretraining.snapshots import read_snapshots
from minibert.tokenizer import MASK, SPECIAL_TOKENS, BertTokenizer
from minibert.viz.attention_data import AttentionData, encode
from minibert.viz.attention_map import attention_map, describe_attention
from minibert.viz.document import Document, script_json
from minibert.viz.page.bundle import bundle, join_styles
from minibert.viz.style import Picture

HERE = Path(__file__).parent
GUESSES = 5
HEIGHT = 560
"""The height of the page in a notebook, in CSS pixels."""
LARGEST_PAGE = 8_000_000
"""Bytes of attention in a page that a notebook keeps. If there are more, it keeps a picture."""
LARGEST_PICTURE = 500_000
"""Bytes of attention that the picture beside that page draws completely."""
# The page for later is below the live widget, and JupyterLab shows one of the two. In a notebook
# that is opened again without its kernel, the widget is only a line that says so.
SAVED_STYLE = """<style>
.jp-OutputArea:has(.minibert-explorer) .minibert-saved { display: none; }
.jp-OutputArea:has(.minibert-saved) .jupyter-widgets:not(:has(*)) { display: none; }
</style>"""
Models = Sequence[tuple[BertModel | BertForPreTraining, BertTokenizer]]


def explore(
    model: BertModel | BertForPreTraining,
    tokenizer: BertTokenizer,
    text: str,
    pair: str | None = None,
    compare: tuple[BertModel | BertForPreTraining, BertTokenizer] | None = None,
    snapshots: str | Path | None = None,
) -> Explorer:
    """Explore what `model` looks at, and what it guesses for `[MASK]`, in a notebook.

    Models are minibert's; `from_pretrained` reads those of Hugging Face. `compare` is a second
    model with its tokenizer, shown beside. `snapshots` is the folder of a run that kept them: a
    slider goes through them, with `model` replaced by how it was then. Raises `ValueError` for a
    text that the model cannot take.
    """
    if compare is not None and not (isinstance(compare, tuple) and len(compare) == 2):
        raise ValueError("compare must be a pair: compare=(model, tokenizer)")
    models = [(model, tokenizer), *([compare] if compare else [])]
    for one, _ in models:
        if not isinstance(one, BertModel | BertForPreTraining):
            raise ValueError(
                f"explore takes minibert's models and not a {type(one).__name__}: "
                "BertModel.from_pretrained(folder or name) reads one of Hugging Face's"
            )
    return Explorer(models, text, pair, read_snapshots(snapshots) if snapshots else {})


class Explorer:
    """What `explore` gives: it shows itself as the notebook around it can.

    Where a kernel runs, a live widget; in a saved notebook, a page that can be looked at; where no
    script may run, a picture; in a terminal, words.
    """

    def __init__(
        self, models: Models, text: str, pair: str | None, snapshots: dict[int, Path]
    ) -> None:
        self.models = models
        self.snapshots = snapshots
        self.request = {
            "seq": 0,
            "text": text,
            "pair": pair,
            "snapshot": max(0, len(snapshots) - 1),
            "panels": [{"masked": [], "off": []} for _ in models],
        }
        self._load = lru_cache(maxsize=4)(load)
        self.reply, self.shown = self._reply(self.request)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reply to a request from a browser, which says what is wrong with a bad request.

        `page` and `save` show the last reply without an error.
        """
        try:
            reply, shown = self._reply(request)
        except Exception as error:  # any error, because a browser waits for the answer
            return {**self.reply, "seq": request["seq"], "error": " ".join(str(error).split())}
        self.request, self.reply, self.shown = request, reply, shown
        return reply

    def _models_at(self, request: dict[str, Any]) -> Models:
        if not self.snapshots:
            return self.models
        folder = list(self.snapshots.values())[request["snapshot"]]
        return [self._load(folder), *self.models[1:]]

    def _reply(self, request: dict[str, Any]) -> tuple[dict[str, Any], AttentionData]:
        """The reply to a request, and the attention of its first panel."""
        models = self._models_at(request)
        looked = [
            _look(model, tokenizer, request["text"], request["pair"], side["masked"], side["off"])
            for (model, tokenizer), side in zip(models, request["panels"], strict=True)
        ]
        panels = [panel for panel, _ in looked]
        for number, panel in enumerate(panels):
            panel["name"] = self._name(models[number][0], number, request["snapshot"])
        return {"seq": request["seq"], "error": "", "panels": panels}, looked[0][1]

    def _name(self, model: BertModel | BertForPreTraining, number: int, snapshot: int) -> str:
        """The heading of a panel; empty if there is only one model."""
        if number == 0 and self.snapshots:
            return f"After {list(self.snapshots)[snapshot]} steps of training"
        if len(self.models) == 1:
            return ""
        config, weights = model.config, sum(p.numel() for p in model.parameters())
        shape = f"{config.num_hidden_layers} layers of {config.num_attention_heads} heads"
        return f"Model {number + 1}: {shape}, {weights / 1e6:.1f} million weights"

    def page(self) -> Document:
        """The current view as a page that needs no kernel."""
        panels = [
            {**panel, "attention": _data_uri(panel["attention"])} for panel in self.reply["panels"]
        ]
        state = {
            "live": False,
            "steps": [],
            "request": self.request,
            "reply": {**self.reply, "panels": panels},
        }
        return Document(
            title="Attention explorer",
            body='<div id="explorer"></div>',
            picture=self._picture(),
            style=join_styles(HERE / "explorer.css", HERE / "page" / "panel.css"),
            scripts=[
                f"const STATE = {script_json(state)};",
                bundle(HERE / "explorer.js"),
                (HERE / "explorer_page.js").read_text(encoding="utf-8"),
            ],
            height=HEIGHT,
        )

    def _picture(self) -> Picture:
        """For where no script may run: all heads, or, not to fill a notebook, a layer of them."""
        size = len(self.reply["panels"][0]["attention"])
        return attention_map(self.shown, layer=None if size <= LARGEST_PICTURE else 0)

    def save(self, path: str | Path) -> Path:
        """Save the current view: a page for .html, a map of all heads for .svg and .png."""
        path = Path(path)
        view = self.page() if path.suffix == ".html" else attention_map(self.shown)
        return view.save(path)

    def __repr__(self) -> str:
        return f"Attention explorer. {describe_attention(self.shown)}"

    def _repr_html_(self) -> str:
        size = sum(len(panel["attention"]) for panel in self.reply["panels"])
        return (self.page() if size <= LARGEST_PAGE else self._picture())._repr_html_()

    def _ipython_display_(self) -> None:
        from IPython import get_ipython
        from IPython.display import display

        if getattr(get_ipython(), "kernel", None) is None:
            print(self)  # a terminal
            return
        try:
            from minibert.viz.explorer_widget import ExplorerWidget
        except ImportError:
            pass  # anywidget belongs to the extra `course`: without it the page is there
        else:
            steps = list(self.snapshots)
            widget = ExplorerWidget(
                steps, self.request, self.reply, self.answer, lambda: self.page().html
            )
            display(widget)
        saved = f'{SAVED_STYLE}<div class="minibert-saved">{self._repr_html_()}</div>'
        display({"text/html": saved, "text/plain": repr(self)}, raw=True)


def _data_uri(content: bytes) -> str:
    return f"data:application/octet-stream;base64,{base64.b64encode(content).decode('ascii')}"


@torch.no_grad()
def _look(
    model: BertModel | BertForPreTraining,
    tokenizer: BertTokenizer,
    text: str,
    pair: str | None,
    masked: list[int],
    off: list[list[int]],
) -> tuple[dict[str, Any], AttentionData]:
    """The view of one model: a panel, and its attention.

    A panel has `tokens`, T strings; `words`, the number of each token's word, None for special
    tokens; `masked`, places; `layers` and `heads`, their numbers; `attention`, L * H * T * T bytes,
    255 for 1; `roles`, L x H short labels; `change`, L x H: how much attention moved when heads
    were switched off, 0 to 1, or None; `guesses`, one for each `[MASK]`, or None without an MLM
    head.
    """
    inputs = encode(model, tokenizer, text, pair)
    ids = inputs["input_ids"][0]  # (T,)
    tokens = tokenizer.convert_ids_to_tokens(ids.tolist())
    words = _words(tokens)
    masked = [place for place in masked if place < len(tokens) and words[place] is not None]
    ids[masked] = tokenizer.vocab[MASK]
    with evaluating(model):
        before = model(**inputs, output_attentions=True) if off else None
        with without_heads(model, [(layer, head) for layer, head in off]):
            out = model(**inputs, output_attentions=True)
    shown = tokenizer.convert_ids_to_tokens(ids.tolist())
    start = None if pair is None else int(inputs["token_type_ids"][0].argmax())
    data = AttentionData(out.attentions, shown, start)
    weights = torch.cat(list(data.attentions))  # (L, H, T, T)
    change = None
    if before is not None:
        moved = (weights - torch.cat(before.attentions).float().cpu()).abs().sum(-1) / 2
        change = moved.mean(-1).tolist()  # total variation, the mean of all rows: (L, H)
    guesses = None
    if isinstance(model, BertForPreTraining):
        places = (ids == tokenizer.vocab[MASK]).nonzero().flatten().tolist()
        guesses = [
            {
                "place": place,
                "was": tokens[place] if place in masked else None,
                "words": _guesses(out, before, place, tokens[place], tokenizer),
            }
            for place in places
        ]
    panel = {
        "tokens": shown,
        "words": words,
        "masked": masked,
        "layers": weights.shape[0],
        "heads": weights.shape[1],
        "attention": (weights * 255).round().to(torch.uint8).numpy().tobytes(),
        "roles": describe_heads(weights.numpy(), shown),
        "change": change,
        "guesses": guesses,
    }
    return panel, data


def _words(tokens: list[str]) -> list[int | None]:
    """The number of the word that each token is a piece of; None for special tokens."""
    words: list[int | None] = []
    number = -1
    for token in tokens:
        if token in SPECIAL_TOKENS:
            words.append(None)
            continue
        if not (token.startswith("##") and words and words[-1] is not None):
            number += 1
        words.append(number)
    return words


def _guesses(
    out: Any, before: Any, place: int, hidden: str, tokenizer: BertTokenizer
) -> list[dict[str, Any]]:
    """The likeliest tokens for a place and its hidden token, with their probabilities.

    `before` is what the model gives with all heads on, if some are off: its likeliest are listed
    too.
    """

    def shares(output: Any) -> Tensor:  # (V,); a model may have more rows than tokens
        return output.prediction_logits[0, place].softmax(-1)[: tokenizer.vocab_size]

    now = shares(out)
    then = None if before is None else shares(before)
    count = min(GUESSES, len(now))
    listed = now.topk(count).indices.tolist()
    if then is not None:
        listed += then.topk(count).indices.tolist()
    if hidden != MASK:
        listed.append(tokenizer.vocab[hidden])
    return [
        {
            "token": tokenizer.tokens[number],
            "share": round(now[number].item(), 4),
            "before": None if then is None else round(then[number].item(), 4),
        }
        for number in dict.fromkeys(listed)
    ]
