"""bertviz's views: the same numbers, nothing from elsewhere, and any token is text."""

import hashlib
import importlib
import itertools
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path

import matplotlib.style
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from minibert.viz import bertviz_views
from minibert.viz.attention_data import AttentionData
from minibert.viz.bertviz_views import head_view, model_view, neuron_view
from tests.hostile import HOSTILE_TOKENS

ROOT = Path(__file__).parents[1]
D3 = ROOT / "minibert" / "viz" / "d3.min.js"
D3_SHA256 = "31470ce5b05adff57d2cc739a1ded575867b8959b324173761c3f2460c81fb14"
VIEWS = {"head": head_view, "model": model_view, "neuron": neuron_view}
# Of the words that the template is cut at, of JavaScript's, and what is no text at all.
AWKWARD_TOKENS = [
    "; // HACK: {} is a template marker",
    "PYTHON_PARAMS",
    "const params = {};",
    "<base href='//example.com/'>",
    "$(x)",
    "$x^2$",
    "\\",
    "\n</script>\n",
    "\ud800",
    "\x00",
    "",
]
WORDS = ["[CLS]", "a", "b", "[SEP]", "c", "[SEP]"]


def attention(tokens=WORDS, sentence_b_start=None, layers=2, heads=3):
    torch.manual_seed(0)
    length = len(tokens)
    weights = [(3 * torch.randn(1, heads, length, length)).softmax(-1) for _ in range(layers)]
    queries, keys = ([torch.randn(1, heads, length, 4) for _ in range(layers)] for _ in range(2))
    return AttentionData(weights, tokens, sentence_b_start, queries, keys)


def params(page):
    """What the page's code is given, read back."""
    (given,) = (s for s in page.scripts if s.startswith("window.bertviz_params = "))
    return json.loads(given.removeprefix("window.bertviz_params = ").removesuffix(";"))


def attention_in(page, part):
    """The attention in the page, (L, H, T, T); `part` is its place in the choice of sentences."""
    given = params(page)["attention"]
    return given[["all", "aa", "bb", "ab", "ba"][part] if isinstance(given, dict) else part]


class Parsed(HTMLParser):
    """What a browser would find in a page: its elements, and the text of its scripts."""

    def __init__(self, document):
        super().__init__()
        self.elements, self.scripts, self.text = [], [], ""
        self.feed(document)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.cdata_elem == "script":
            self.scripts[-1] += data
        else:
            self.text += data


@pytest.fixture(params=VIEWS)
def view(request):
    return VIEWS[request.param]


def test_the_page_holds_the_attention(view):
    data = attention()
    shown = attention_in(view(data), 0)
    assert shown["left_text"] == shown["right_text"] == WORDS
    assert np.array_equal(shown["attn"], np.round(data.weights().astype(float), 3))


def test_queries_and_keys():
    data = attention(sentence_b_start=4)
    page = neuron_view(data, layer=1, head=2)
    assert (params(page)["layer"], params(page)["head"]) == (1, 2)
    queries, keys = (torch.cat(list(x)).numpy() for x in (data.queries, data.keys))
    np.testing.assert_allclose(attention_in(page, 0)["queries"], queries, atol=0.00051)
    a_to_b = attention_in(page, 3)
    np.testing.assert_allclose(a_to_b["queries"], queries[:, :, :4], atol=0.00051)
    np.testing.assert_allclose(a_to_b["keys"], keys[:, :, 4:], atol=0.00051)


@pytest.mark.parametrize("start", [1, 4, 5])
def test_a_pair_has_its_four_parts(view, start):
    data = attention(sentence_b_start=start)
    page = view(data)
    whole = np.array(attention_in(page, 0)["attn"])
    a, b = slice(0, start), slice(start, None)
    for part, (rows, columns) in enumerate([(a, a), (b, b), (a, b), (b, a)], start=1):
        shown = attention_in(page, part)
        assert np.array_equal(shown["attn"], whole[:, :, rows, columns])
        assert (shown["left_text"], shown["right_text"]) == (WORDS[rows], WORDS[columns])
    options = [e["value"] for tag, e in Parsed(page.html).elements if tag == "option"]
    assert len(options) == 5


def test_what_is_included_and_what_is_shown_first():
    data = attention(layers=4)
    page = head_view(data, layer=3, heads=1, include_layers=[1, 3])
    assert params(page)["layer"] == 3 and params(page)["heads"] == [1]
    assert params(page)["include_layers"] == [1, 3]
    rounded = np.round(data.weights().astype(float), 3)
    assert np.array_equal(attention_in(page, 0)["attn"], rounded[[1, 3]])
    assert params(head_view(data, include_layers=[2, 3]))["layer"] == 2
    page = model_view(data, include_layers=2, include_heads=[0, 2])
    assert np.array_equal(attention_in(page, 0)["attn"], rounded[[2]][:, [0, 2]])
    assert params(page)["include_heads"] == [0, 2]


def test_as_bertviz_takes_it():
    data = attention(sentence_b_start=4)
    for view in (head_view, model_view):
        assert view(data.attentions, WORDS, 4).html == view(data).html


def test_one_token(view):
    data = attention(["[CLS]"])
    assert attention_in(view(data), 0)["attn"] == [[[[1.0]]] * 3] * 2


@pytest.mark.parametrize("start", [None, 7])
def test_hostile_tokens_stay_text(view, start):
    tokens = [*HOSTILE_TOKENS, *AWKWARD_TOKENS]
    page = view(attention(tokens, start))
    assert attention_in(page, 0)["left_text"] == tokens
    found = Parsed(page.html)
    assert found.scripts == list(page.scripts)  # each ends where it should, and there is no other
    assert {tag for tag, _ in found.elements} <= {
        *("html", "head", "meta", "title", "style", "body", "main"),
        *("script", "p", "div", "span", "select", "option"),
    }
    for _, attributes in found.elements:
        assert not any(name.startswith("on") or name in ("src", "href") for name in attributes)
    assert "alert(" not in found.text
    # Both would let a script's end be missed (HTML standard, "script data double escaped state").
    assert all("<!--" not in script and "</" not in script for script in page.scripts)


def test_nothing_comes_from_elsewhere(view):
    document = view(attention(sentence_b_start=4)).html
    names = {  # of XML, in d3: never fetched
        "http://www.w3.org/1999/xhtml",
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
        "http://www.w3.org/XML/1998/namespace",
        "http://www.w3.org/2000/xmlns/",
    }
    assert set(re.findall(r"""(?:\w+:)?//[\w.]+\.[^"'\s]+""", document)) <= names
    assert "default-src 'none'" in document and "cdnjs" not in document


def test_every_choice_has_a_name_and_paper_is_white(view):
    page = view(attention(sentence_b_start=4))
    choices = [e for tag, e in Parsed(page.html).elements if tag == "select"]
    assert choices and all(e["aria-label"] for e in choices)
    assert params(page).get("display_mode", "light") == "light"


def digests():
    pages = [view(attention(sentence_b_start=4)) for view in VIEWS.values()]
    return [hashlib.sha256(page.html.encode()).hexdigest() for page in pages]


def test_the_same_in_every_process():
    """Ids come from no clock and no chance."""
    code = "import tests.test_bertviz_views as t; print(*t.digests())"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.stdout.split() == digests(), run.stderr


def test_the_data_is_there_once_and_takes_less(record_property):
    data = attention([f"t{i}" for i in range(32)], layers=4, heads=4)
    for name in ("head_view", "model_view"):
        view = getattr(bertviz_views, name)
        theirs = getattr(importlib.import_module(f"bertviz.{name}"), name)(
            data.attentions, list(data.tokens), html_action="return"
        )
        ours, theirs = len(view(data).html), len(theirs.data)
        record_property(
            "measured",
            f"{name}, 4 layers with 4 heads over 32 tokens: {ours / 1e3:.0f} kB, "
            f"bertviz's own page {theirs / 1e3:.0f} kB and d3 besides",
        )
        assert ours < theirs / 2


def test_a_large_page_is_told_and_a_huge_one_refused(monkeypatch):
    huge = AttentionData([torch.full((1, 12, 200, 200), 1 / 200)] * 12, ["a"] * 200)
    with pytest.raises(ValueError, match=r"200 tokens takes about 40 MB.*include_layers=.*30 MB"):
        head_view(huge)
    with pytest.raises(ValueError, match=r"include_heads=.*a shorter text.*attention_map"):
        model_view(huge)
    for view, start in itertools.product((head_view, model_view), (None, 4)):
        data = attention(sentence_b_start=start, layers=4, heads=4)
        page = view(data)  # without a warning
        (given,) = (s for s in page.scripts if s.startswith("window.bertviz_params"))
        taken = sum(len(f"{number}, ") for number in re.findall(r"\d\.\d+", given))
        monkeypatch.setattr(bertviz_views, "WARN_BYTES", taken - 1)
        with pytest.warns(UserWarning, match="include_layers") as caught:
            view(data)
        assert caught[0].filename == __file__
        monkeypatch.undo()


def test_neurons_count_too(monkeypatch):
    monkeypatch.setattr(bertviz_views, "MOST_BYTES", 3_000)
    monkeypatch.setattr(bertviz_views, "WARN_BYTES", 3_000)
    head_view(attention())  # 2 x 3 x 6 x 6 numbers: 1.5 kB
    with pytest.raises(ValueError, match="a shorter text"):
        neuron_view(attention())  # and 2 x 3 x 6 x 4 twice: 3.5 kB


def test_what_does_not_fit_is_told():
    data = attention()
    bare = AttentionData(data.attentions, data.tokens)
    for given in (bare, data.attentions):
        with pytest.raises(ValueError, match="queries_and_keys=True"):
            neuron_view(given)
    with pytest.raises(ValueError, match="no layer 2: they go from 0 to 1"):
        head_view(data, layer=2)
    with pytest.raises(ValueError, match=r"layer 0 is not among include_layers, \[1\]: add it"):
        head_view(data, layer=0, include_layers=[1])
    with pytest.raises(ValueError, match="no head 3"):
        head_view(data, heads=[0, 3])
    with pytest.raises(ValueError, match="no layer is chosen"):
        model_view(data, include_layers=[])
    with pytest.raises(ValueError, match="no head -1"):
        neuron_view(data, head=-1)
    with pytest.raises(ValueError, match="tokens are missing"):
        model_view(data.attentions)


def test_a_frame_grows_with_the_text_up_to_a_screen(view):
    few, more, many = (view(attention(["a"] * n, layers=1)).height for n in (2, 8, 40))
    assert few < more < many == 700


def test_without_bertviz(view, monkeypatch):
    monkeypatch.setitem(sys.modules, f"bertviz.{view.__name__}", None)
    with pytest.raises(ImportError, match=f"{view.__name__} needs bertviz: pip install bertviz"):
        view(attention())


@pytest.mark.parametrize("marker", ["LOADER", "SCRIPT", "PARAMS", "CODE", "END"])
def test_another_bertviz_is_told_apart(view, marker, monkeypatch):
    """Should bertviz write its page in another way, it is said, and no half of a page is shown."""
    if marker == "PARAMS" and view is neuron_view:
        marker = "GLOBAL_PARAMS"
    changed = getattr(bertviz_views, marker)
    module = importlib.import_module(f"bertviz.{view.__name__}")
    name = "show" if view is neuron_view else view.__name__
    original = getattr(module, name)

    def other(*args, **kwargs):
        page = original(*args, **kwargs)
        page.data = "<!-- something new -->".join(page.data.rsplit(changed, 1))
        return page

    view(attention())  # as it is installed, all is found
    monkeypatch.setattr(module, name, other)
    told = re.escape(repr(changed.strip()))
    with pytest.raises(RuntimeError, match=f"{told}.*pip install bertviz=={version('bertviz')}"):
        view(attention())


@pytest.mark.parametrize("old,new", [("= {", "= JSON.parse({"), ("root_div_id", "root_id")])
def test_another_way_to_give_the_data_is_told_apart(old, new):
    module = importlib.import_module("bertviz.head_view")
    page = module.head_view(attention().attentions, WORDS, html_action="return").data
    with pytest.raises(RuntimeError, match=r"(JSON after|root_div_id).*pip install bertviz=="):
        bertviz_views._page("", "", page.replace(old, new), "const params = ", attention(), 9)


def test_the_pinned_bertviz_is_the_one_that_is_known():
    pins = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    assert f"bertviz=={bertviz_views.BERTVIZ}" in pins


def test_d3_is_the_one_that_was_built():
    """A change by hand would be lost: change docs/d3 and build it."""
    assert hashlib.sha256(D3.read_bytes()).hexdigest() == D3_SHA256
    text = D3.read_text("utf-8")
    versions = json.loads((ROOT / "docs" / "d3" / "package.json").read_text("utf-8"))
    for name, number in versions["dependencies"].items():
        assert f"{name} {number}: Copyright" in text
    assert "THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS" in text


def test_colours_are_petroffs():
    """Those of matplotlib, which has them from the paper."""
    cycle = matplotlib.style.library["petroff10"]["axes.prop_cycle"].by_key()["color"]
    (colours,) = re.findall(r"\[((?:\"#[0-9a-f]{6}\",?){10})\]", D3.read_text("utf-8"))
    assert json.loads(f"[{colours}]") == [to_hex(colour) for colour in cycle]


def test_d3_can_be_built_again(tmp_path):
    """The same bytes from the npm packages of the lock file, which names no host."""
    source = ROOT / "docs" / "d3"
    assert "http" not in (source / "package-lock.json").read_text("utf-8")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed: whether d3.min.js can be built again is NOT checked")
    for file in ("package.json", "package-lock.json", "d3.js", "build.mjs"):
        shutil.copy(source / file, tmp_path)

    def run(*command):
        return subprocess.run([npm, *command], cwd=tmp_path, capture_output=True, text=True)

    installed = run("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0")
    offline = re.search(r"ENOTFOUND|ECONN\w+|ETIMEDOUT|EAI_AGAIN|ENETUNREACH", installed.stderr)
    if installed.returncode and offline:
        pytest.skip(f"npm has no network ({offline[0]}): building d3.min.js again is NOT checked")
    assert installed.returncode == 0, installed.stderr
    built = run("run", "build", "--", "again.js")
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "again.js").read_bytes() == D3.read_bytes()
