"""The explorer's answers: what the model really gives, for a text, hidden words, and heads off."""

import html
import json
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import minibert
from minibert.analysis.ablation import without_heads
from minibert.config import BertConfig
from minibert.inference.fill_mask import fill_mask
from minibert.model import BertForPreTraining, BertModel
from minibert.tokenizer import SPECIAL_TOKENS
from minibert.viz.attention_data import AttentionData
from minibert.viz.attention_map import attention_map
from minibert.viz.explorer import explore
from tests.hostile import HOSTILE_TOKENS

TEXT = "The President of the United [MASK] must protect the people."


@pytest.fixture(scope="module")
def shipped():
    return minibert.load("mini")


def ask(explorer, **changes):
    """The first panel of the reply to a request with these changes."""
    panel = {name: changes.pop(name) for name in ("masked", "off") if name in changes}
    request = {**explorer.request, "seq": 1, **changes}
    request["panels"] = [{**p, **panel} for p in request["panels"]]
    reply = explorer.answer(request)
    assert reply["seq"] == 1 and reply["error"] == ""
    return reply["panels"][0]


def weights(panel):
    shape = (panel["layers"], panel["heads"], len(panel["tokens"]), len(panel["tokens"]))
    return np.frombuffer(panel["attention"], np.uint8).reshape(shape) / 255


def test_it_shows_the_attention_of_the_text(shipped):
    panel = explore(*shipped, TEXT).reply["panels"][0]
    data = AttentionData.from_model(*shipped, TEXT)
    assert tuple(panel["tokens"]) == data.tokens
    assert np.abs(weights(panel) - data.weights()).max() <= 0.5 / 255 + 1e-6
    assert (len(panel["roles"]), len(panel["roles"][0])) == (6, 4)


def test_its_guesses_are_those_of_fill_mask(shipped):
    (guess,) = explore(*shipped, TEXT).reply["panels"][0]["guesses"]
    shown = [(word["token"], word["share"]) for word in guess["words"]]
    for (token, share), (want, probability) in zip(
        shown, fill_mask(*shipped, TEXT, top_k=5)[0], strict=True
    ):
        assert token == want and share == pytest.approx(probability, abs=1e-4)
    assert guess["was"] is None and all(word["before"] is None for word in guess["words"])


def test_a_word_is_hidden_where_it_stands(shipped):
    explorer = explore(*shipped, TEXT.replace("[MASK]", "States"))
    panel = ask(explorer, masked=[6])
    assert panel["tokens"][6] == "[MASK]" and panel["guesses"][0]["was"] == "states"
    assert panel["guesses"][0]["words"][0]["share"] == pytest.approx(
        fill_mask(*shipped, TEXT, top_k=1)[0][0][1], abs=1e-4
    )
    assert weights(panel).tobytes() == weights(explore(*shipped, TEXT).reply["panels"][0]).tobytes()


def test_the_word_that_stood_there_is_listed_though_unlikely(shipped):
    panel = ask(explore(*shipped, "The cow must protect the people."), masked=[2])
    assert [w["token"] for w in panel["guesses"][0]["words"]][-1] == panel["guesses"][0]["was"]
    assert len(panel["guesses"][0]["words"]) == 6


def test_pieces_belong_to_one_word_and_special_tokens_to_none(shipped):
    panel = explore(*shipped, "[MASK] Xylophones, please").reply["panels"][0]
    words = dict(zip(panel["tokens"], panel["words"], strict=True))
    assert words["[CLS]"] is words["[MASK]"] is words["[SEP]"] is None
    pieces = [w for t, w in zip(panel["tokens"], panel["words"], strict=True) if w == 0]
    assert len(pieces) > 1 and words[","] == 1  # 'xylophones' is in no vocabulary of ours


def test_heads_that_are_off_change_guesses_and_later_attention(shipped):
    model, tokenizer = shipped
    explorer = explore(model, tokenizer, TEXT)
    panel = ask(explorer, off=[[1, 0], [1, 2]])
    with without_heads(model, [(1, 0), (1, 2)]):
        want = dict(fill_mask(model, tokenizer, TEXT, top_k=5)[0])
        after = AttentionData.from_model(model, tokenizer, TEXT).weights()
    before = AttentionData.from_model(model, tokenizer, TEXT).weights()
    full = dict(fill_mask(model, tokenizer, TEXT, top_k=5)[0])
    words = {word["token"]: word for word in panel["guesses"][0]["words"]}
    assert set(words) == set(want) | set(full)
    for token, share in want.items():
        assert words[token]["share"] == pytest.approx(share, abs=1e-4)
    for token, share in full.items():
        assert words[token]["before"] == pytest.approx(share, abs=1e-4)
    np.testing.assert_allclose(
        panel["change"], np.abs(after - before).sum(-1).mean(-1) / 2, atol=1e-5
    )
    assert np.all(np.array(panel["change"])[:2] == 0) and np.array(panel["change"])[2:].min() > 0
    assert ask(explorer, off=[])["change"] is None


@pytest.mark.parametrize(
    "text,message",
    [("", "at least one word"), ("the " * 300, "126 fit")],
)
def test_what_is_wrong_is_told_and_the_last_view_kept(shipped, text, message):
    explorer = explore(*shipped, TEXT)
    reply = explorer.answer({**explorer.request, "seq": 7, "text": text})
    assert reply["seq"] == 7 and message in reply["error"] and "\n" not in reply["error"]
    assert explorer.request["text"] == TEXT
    with pytest.raises(ValueError, match=message):
        explore(*shipped, text)


def test_places_of_an_older_text_are_passed_over(shipped):
    panel = ask(explore(*shipped, TEXT), text="The people", masked=[0, 2, 9])
    assert panel["masked"] == [2]


def test_two_models_side_by_side(shipped):
    other = BertForPreTraining(BertConfig.preset("tiny", vocab_size=shipped[1].vocab_size))
    reply = explore(*shipped, TEXT, compare=(other, shipped[1])).reply
    first, second = reply["panels"]
    assert (first["layers"], second["layers"]) == (6, 2)
    assert first["name"].startswith("Model 1: 6 layers of 4 heads, 7")
    assert second["name"] == "Model 2: 2 layers of 2 heads, 1.6 million weights"
    assert sum(p.numel() for p in other.parameters()) == pytest.approx(1.6e6, abs=0.05e6)


def test_a_model_without_a_head_shows_attention_alone(shipped):
    body = BertModel(BertConfig.preset("tiny", vocab_size=shipped[1].vocab_size))
    assert explore(body, shipped[1], TEXT).reply["panels"][0]["guesses"] is None


def test_another_library_s_model_is_refused_with_the_way(shipped):
    with pytest.raises(ValueError, match=r"BertModel\.from_pretrained"):
        explore(torch.nn.Linear(1, 1), shipped[1], TEXT)
    with pytest.raises(ValueError, match=r"compare=\(model, tokenizer\)"):
        explore(*shipped, TEXT, compare=shipped[0])


def test_a_slider_through_a_training(shipped, tmp_path):
    model, tokenizer = shipped
    tiny = BertConfig.preset("tiny", vocab_size=tokenizer.vocab_size)
    for step in (0, 10):
        torch.manual_seed(step)
        BertForPreTraining(tiny).save_pretrained(
            tmp_path / "snapshots" / f"step-{step:09d}", tokenizer
        )
    explorer = explore(model, tokenizer, TEXT, snapshots=tmp_path)
    assert list(explorer.snapshots) == [0, 10] and explorer.request["snapshot"] == 1
    for index, step in enumerate((0, 10)):
        folder = tmp_path / "snapshots" / f"step-{step:09d}"
        want = AttentionData.from_model(*minibert.load(folder), TEXT).weights()
        panel = ask(explorer, snapshot=index)
        assert np.abs(weights(panel) - want).max() <= 0.5 / 255 + 1e-6
        assert panel["name"] == f"After {step} steps of training"


def state_of(document):
    return json.loads(re.search(r"const STATE = (.*?);</script>", document).group(1))


def test_the_page_holds_what_was_last_seen(shipped, tmp_path):
    explorer = explore(*shipped, TEXT)
    ask(explorer, text="We are [MASK].")
    document = explorer.save(tmp_path / "page.html").read_text("utf-8")
    state = state_of(document)
    assert state["request"]["text"] == "We are [MASK]." and state["live"] is False
    assert "[MASK]" in state["reply"]["panels"][0]["tokens"]
    assert set(re.findall(r"https?://[^\"\s;]+", document)) == {"http://www.w3.org/2000/svg"}


def test_the_picture_shows_hidden_words_and_heads_that_are_off(shipped, tmp_path):
    model, tokenizer = shipped
    explorer = explore(model, tokenizer, "We are at peace.", "All nations.")
    ask(explorer, masked=[4], off=[[0, 0]])
    with without_heads(model, [(0, 0)]):
        want = AttentionData.from_model(model, tokenizer, "We are at [MASK].", "All nations.")
    assert explorer.shown.tokens == want.tokens
    assert explorer.shown.sentence_b_start == want.sentence_b_start == 7
    assert np.array_equal(explorer.shown.weights(), want.weights())
    saved = explorer.save(tmp_path / "page.svg").read_bytes()
    assert saved == attention_map(want).svg()
    assert explorer.save(tmp_path / "page.png").read_bytes() == attention_map(want).png()


def test_it_shows_itself_the_same_every_time(shipped):
    assert explore(*shipped, TEXT)._repr_html_() == explore(*shipped, TEXT)._repr_html_()
    assert repr(explore(*shipped, TEXT)).startswith("Attention explorer. ")


def test_where_the_page_would_be_too_large_there_is_a_picture(shipped, monkeypatch):
    monkeypatch.setattr("minibert.viz.explorer.LARGEST_PAGE", 100)
    shown = explore(*shipped, TEXT)._repr_html_()
    assert "<iframe" not in shown and "<img" in shown


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, tuple(sorted(name for name, _ in attributes))))


def tags(document):
    parser = Tags()
    parser.feed(document)
    return parser.found


def test_hostile_text_stays_text(monkeypatch):
    """In the page of a model with a small vocabulary: that of mini takes seconds for each."""
    # What a picture says of its tokens is tested in test_attention_map; here it would take longest.
    module = sys.modules[attention_map.__module__]  # `minibert.viz.attention_map` is the function
    monkeypatch.setattr(module, "_draw", lambda *_: Figure())
    pieces = [f"##{chr(number)}" for number in range(97, 123)]
    vocabulary = [*SPECIAL_TOKENS, *map(chr, range(33, 127)), *pieces]
    config = minibert.BertConfig.preset("tiny", vocab_size=len(vocabulary))
    small = (minibert.BertForPreTraining(config).eval(), minibert.BertTokenizer(vocabulary))
    harmless = explore(*small, "a")
    document = page_in(harmless)
    assert document == harmless.page().html
    for text in HOSTILE_TOKENS:
        hostile = page_in(explore(*small, f"a {text}", pair=f"b {text}"))
        assert tags(hostile) == tags(document)
        assert state_of(hostile)["request"]["text"] == f"a {text}"


def page_in(explorer):
    """The page in the frame that a notebook shows."""
    return html.unescape(re.search(r'srcdoc="([^"]*)"', explorer._repr_html_()).group(1))


def test_in_a_terminal_it_is_words(shipped, capsys):
    explorer = explore(*shipped, TEXT)
    explorer._ipython_display_()
    assert capsys.readouterr().out == f"{explorer!r}\n"
    assert "looks at" in repr(explorer)


def test_a_model_in_training_is_left_in_training_and_drops_nothing(shipped):
    model, tokenizer = shipped
    model.train()
    try:
        panel = explore(model, tokenizer, TEXT).reply["panels"][0]
        assert model.training
    finally:
        model.eval()
    assert panel["attention"] == explore(model, tokenizer, TEXT).reply["panels"][0]["attention"]
