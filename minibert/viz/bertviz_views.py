"""bertviz's three views, without a network: Vig, 2019, "A Multiscale Visualization of Attention in
the Transformer Model".

bertviz makes the page. What it would load from elsewhere is put in from this folder, and what it
lacks, a way for the keyboard above all, is in `bertviz_frame.js`. `d3.min.js` is built by
`docs/d3/build.mjs`.
"""

from __future__ import annotations

import importlib
import json
import re
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor

from minibert.viz.attention_data import AttentionData, as_attention
from minibert.viz.attention_map import attention_map
from minibert.viz.document import Document, script_json
from minibert.viz.style import Picture

BERTVIZ = "1.4.1"
"""The version whose page is taken apart here."""
DECIMALS = 3
"""The attention is rounded to these: no picture shows more."""

BYTES_A_NUMBER = 7
"""`0.123, ` in the page. A query or key may take one or two more."""
WARN_BYTES = 5_000_000
MOST_BYTES = 30_000_000
MOST_PIXELS = 700
"""The largest height of a frame. A longer page scrolls."""
PIXELS_AROUND = 130
"""The height of the text and the menus above a view."""

# Where bertviz's page is cut into parts.
LOADER = (
    '<script src="https://cdnjs.cloudflare.com/ajax/libs/require.js/2.3.6/require.min.js"></script>'
)
SCRIPT, END = '\n<script type="text/javascript">\n', "\n</script>\n"
PARAMS = "const params = "
GLOBAL_PARAMS = "window.bertviz_params = "
CODE = "requirejs(['jquery', 'd3'],"

FOLDER = Path(__file__).parent
CREDIT = (
    "/* From bertviz by Jesse Vig, Apache License 2.0, after Tensor2Tensor's attention.js.\n"
    "   What loads other code is taken out. */\n"
)
SELECT_LABELS = {"layer": "Layer", "att_head": "Head", "filter": "Attention between"}
STYLE = """
p { margin: 0 0 0.5rem; max-width: 60rem; }
#vis svg:has(#expanded) { min-width: 1010px; }
#vis [role]:focus { outline: none; }
#vis [role=checkbox]:focus-visible { stroke: #000; stroke-width: 4; }
#vis [role=button]:focus-visible > .attn_background { stroke: #000; stroke-opacity: 1; }
#vis [role]:focus-visible > text { font-weight: bold; text-decoration: underline; }
[role=alert] { border: 2px solid #bd1f01; padding: 0.5rem; }
"""
KEYS = "By keyboard: Tab to a part, arrows within it, "
HEAD_HINT = (
    "A line is what the token at its left end looks at: the stronger, the more. Point at a token "
    "to see its lines alone; click a square for its head, twice for this head alone. "
    f"{KEYS}Space and Enter on a square."
)
MODEL_HINT = (
    f"Each small picture is one head. Click one to read it; click it again to close it. {KEYS}"
    "Enter to open."
)
NEURON_HINT = (
    "Point at a token at the left, and click the plus beside it, to see how its query and the keys "
    f"make its attention: blue is above 0, orange below. {KEYS}Enter for the plus."
)


def head_view(
    attention: AttentionData | Sequence[Tensor],
    tokens: Sequence[str] | None = None,
    sentence_b_start: int | None = None,
    layer: int | None = None,
    heads: int | Sequence[int] | None = None,
    include_layers: int | Sequence[int] | None = None,
) -> Document:
    """bertviz's head view: the lines of one layer, a colour for each head.

    `attention` is an `AttentionData`, or a (1, H, T, T) for each layer with its T `tokens`.
    `layer` and `heads` are what is shown first: by default the first layer that is included, and
    all heads. Layers that are not in `include_layers` are left out of the page, which makes it
    smaller. Weights are rounded to 3 decimals. Raises `ValueError` for what is no attention, for a
    layer or head that there is not, and for a page above 30 MB; warns above 5 MB.
    """
    data = as_attention(attention, tokens, sentence_b_start)
    layers = data.choose("layer", include_layers)
    first = layers[0] if layer is None else data.choose("layer", layer)[0]
    if first not in layers:
        raise ValueError(f"layer {first} is not among include_layers, {layers}: add it")
    shown = None if heads is None else data.choose("head", heads)
    _check_size(data, len(layers) * data.num_heads, ["include_layers=[0]"])
    page = _bertviz("head_view").head_view(
        _rounded(data.attentions),
        list(data.tokens),
        data.sentence_b_start,
        layer=first,
        heads=shown,
        include_layers=layers,
        html_action="return",
    )
    height = 30 + 22.5 * data.num_tokens
    picture = attention_map(data, layer=first)
    return _page("Head view", HEAD_HINT, page.data, PARAMS, picture, height)


def model_view(
    attention: AttentionData | Sequence[Tensor],
    tokens: Sequence[str] | None = None,
    sentence_b_start: int | None = None,
    include_layers: int | Sequence[int] | None = None,
    include_heads: int | Sequence[int] | None = None,
) -> Document:
    """bertviz's model view: all layers and heads at once, each in small.

    `attention` is an `AttentionData`, or a (1, H, T, T) for each layer with its T `tokens`.
    Layers and heads that are not included are left out of the page, which makes it smaller.
    Weights are rounded to 3 decimals. Raises `ValueError` for what is no attention, for a layer or
    head that there is not, and for a page above 30 MB; warns above 5 MB.
    """
    data = as_attention(attention, tokens, sentence_b_start)
    layers = data.choose("layer", include_layers)
    heads = data.choose("head", include_heads)
    _check_size(data, len(layers) * len(heads), ["include_layers=[0]", "include_heads=[0]"])
    page = _bertviz("model_view").model_view(
        _rounded(data.attentions),
        list(data.tokens),
        data.sentence_b_start,
        display_mode="light",
        include_layers=layers,
        include_heads=heads,
        html_action="return",
    )
    # bertviz gives a token 7 pixels if there are 12 heads, and more if there are fewer.
    grid = 38 + len(layers) * (data.num_tokens * 7 * 12 / data.num_heads + 10)
    detail = 55 + 18 * data.num_tokens
    height = max(grid, detail)
    return _page("Model view", MODEL_HINT, page.data, PARAMS, attention_map(data), height)


def neuron_view(data: AttentionData, layer: int = 0, head: int = 0) -> Document:
    """bertviz's neuron view: how a query and the keys, number by number, make the attention.

    `data` has queries and keys. `layer` and `head` are what is shown first. All numbers are
    rounded to 3 decimals. Raises `ValueError` for data without queries and keys, for a layer or
    head that there is not, and for a page above 30 MB; warns above 5 MB.
    """
    if not isinstance(data, AttentionData) or data.queries is None or data.keys is None:
        raise ValueError(
            "neuron_view needs queries and keys besides the attention: give it "
            "AttentionData.from_model(model, tokenizer, text, queries_and_keys=True)"
        )
    (layer,), (head,) = data.choose("layer", layer), data.choose("head", head)
    pairs = 1 if data.sentence_b_start is None else 3  # of query and key: whole, from A, from B
    vectors = pairs * 2 * data.num_tokens * data.queries[0].shape[-1]
    _check_size(data, data.num_layers * data.num_heads, [], vectors)
    stand_in = _StandIn(data)
    page = _bertviz("neuron_view").show(
        stand_in,
        "bert",
        stand_in,
        "a",
        None if data.sentence_b_start is None else "b",
        display_mode="light",
        layer=layer,
        head=head,
        html_action="return",
    )
    height = 116 + 26 * data.num_tokens
    picture = attention_map(data, layer=layer, head=head)
    return _page("Neuron view", NEURON_HINT, page.data, GLOBAL_PARAMS, picture, height)


def _bertviz(view: str) -> ModuleType:
    try:
        return importlib.import_module(f"bertviz.{view}")
    except ImportError as error:
        raise ImportError(f"{view} needs bertviz: pip install bertviz=={BERTVIZ}") from error


def _rounded(layers: Sequence[Tensor]) -> list[Tensor]:
    # In fp64, because a rounded fp32 number would still be written with all its digits.
    return [layer.double().round(decimals=DECIMALS) for layer in layers]


def _check_size(data: AttentionData, maps: int, choices: list[str], vectors: int = 0) -> None:
    """Warn of a large page and refuse a huge one: `maps` of (T, T), and `vectors` numbers each."""
    copies = 1 if data.sentence_b_start is None else 2  # the whole, and its four parts
    size = BYTES_A_NUMBER * maps * (copies * data.num_tokens**2 + vectors)
    if size <= WARN_BYTES:
        return
    ways = " or ".join([*choices, "a shorter text"])
    line = (
        f"this view of {data.num_tokens} tokens takes about {size / 1e6:.0f} MB: make it smaller "
        f"with {ways}, or look at a picture, attention_map"
    )
    if size > MOST_BYTES:
        raise ValueError(f"{line}. More than {MOST_BYTES // 10**6} MB would stop a browser")
    warnings.warn(line, stacklevel=3)


def _page(
    name: str, hint: str, document: str, given: str, picture: Picture, height: float
) -> Document:
    """bertviz's `document` as a self-contained page. `picture` replaces it if no script may run."""
    try:
        body, params, code = _take_apart(document, given)
    except LookupError as error:
        raise RuntimeError(
            f"bertviz {version('bertviz')} writes its page in another way than {BERTVIZ}: "
            f"{error} is not in it. Install that one: pip install bertviz=={BERTVIZ}"
        ) from error
    return Document(
        f"{name} of attention",
        f"<p>{hint}</p>\n{body}",
        picture,
        STYLE,
        [
            (FOLDER / "bertviz_frame.js").read_text("utf-8"),
            (FOLDER / "d3.min.js").read_text("utf-8"),
            f"{GLOBAL_PARAMS}{script_json(params)};",
            CREDIT + code,
        ],
        min(MOST_PIXELS, PIXELS_AROUND + round(height)),
    )


def _take_apart(document: str, given: str) -> tuple[str, dict[str, Any], str]:
    """The elements of bertviz's page, what its code is `given`, and the code, which asks for it.

    Raises `LookupError`, with what was looked for, where the page is not as expected.
    """
    body, script = _cut(_cut(document, LOADER)[1], SCRIPT)
    before, after = _cut(script, given)
    try:
        params, end = json.JSONDecoder().raw_decode(after)
    except json.JSONDecodeError as error:
        raise LookupError(f"JSON after {given!r}") from error
    # The rest of the line is a comment, which holds all of the data once more.
    _, rest = _cut(after[end:], "\n")
    if given == PARAMS:
        code = f"{before}{PARAMS}{GLOBAL_PARAMS.removesuffix(' = ')};\n{rest}"
    else:
        _, code = _cut(rest, SCRIPT)
    code, _ = _cut(_cut(code, CODE)[1], END)

    # Each page is a separate document, so all of them can have the same id.
    body = body.replace(params["root_div_id"], "bertviz")
    params["root_div_id"] = "bertviz"
    labelled = lambda match: f'{match[0]} aria-label="{SELECT_LABELS[match[1]]}"'
    return re.sub(r'<select id="(\w+)"', labelled, body), params, CODE + code


def _cut(text: str, marker: str) -> tuple[str, str]:
    """The text before and after `marker`. Data has no line breaks, so it cannot hold a marker."""
    before, found, after = text.partition(marker)
    if not found:
        raise LookupError(repr(marker.strip()))
    return before, after


class _StandIn:
    """Both model and tokenizer for neuron_view: it returns what was computed before."""

    cls_token = sep_token = None

    def __init__(self, data: AttentionData) -> None:
        self.tokens = {
            "a": _Tokens(data.tokens[: data.sentence_b_start]),
            "b": _Tokens(data.tokens[data.sentence_b_start or 0 :]),
        }
        vectors = (_rounded(x) for x in (data.attentions, data.queries or (), data.keys or ()))
        self.layers = [
            {"attn": attn, "queries": queries, "keys": keys}
            for attn, queries, keys in zip(*vectors, strict=True)
        ]

    def tokenize(self, sentence: str) -> _Tokens:
        return self.tokens[sentence]

    def convert_tokens_to_ids(self, tokens: list[str]) -> list[int]:
        return [0] * len(tokens)

    def eval(self) -> None:
        pass

    def __call__(self, ids: Tensor, token_type_ids: Tensor | None = None) -> tuple:
        return (self.layers,)


class _Tokens(list):
    """All tokens of a sentence. bertviz adds [CLS] and [SEP], which are among them already."""

    def __add__(self, other: list) -> _Tokens:
        return self

    __radd__ = __add__
