"""BERT in a page: what its drawings, menus and questions do apart from a browser, in Node."""

import re

import numpy as np
import pytest
import torch
from node import PAGE, node

from minibert.config import BertConfig
from minibert.model import BertForPreTraining
from minibert.tokenizer import SPECIAL_TOKENS, BertTokenizer
from minibert.viz import page
from minibert.viz.page.characters import character_table


def test_numbers_and_words_are_written_as_pythons_are():
    shares = [0, 0.0004, 0.0006, 0.004, 0.0994, 0.0996, 0.126, 0.5, 1]
    numbers = [0, -0.004, -0.006, 1.236, -12.3]
    tokens = ["congress", "x" * 16, "x" * 17, "\U0001f600" * 16, "\U0001f600" * 17]
    got = node(
        """const { percent, shorten } = await load("dom");
        const { number } = await load("strips");
        const [shares, numbers, tokens] = given;
        const short = tokens.map((token) => shorten(token));
        return [shares.map(percent), numbers.map(number), short];""",
        [shares, numbers, tokens],
    )
    assert got[0][:2] == ["< 0.1 %", "< 0.1 %"]
    assert got[0][2:] == [f"{100 * x:.{int(x < 0.0995)}f} %" for x in shares[2:]]
    assert got[1] == [f"{x:.2f}".replace("-0.00", "0.00").replace("-", "−") for x in numbers]
    assert got[2] == [t if len(t) <= 16 else t[:15] + "…" for t in tokens]


def test_vectors_share_the_scale_of_their_largest_number():
    vectors = [[-3.0, 1.0], [2.0], [0.0]]
    got = node(
        """const { reach, strength } = await load("strips");
        const scale = reach(...given);
        return [scale, reach([0]) > 0, [-3, 0.75, 0, 9].map((x) => strength(x, scale))];""",
        vectors,
    )
    assert got == [3, True, [1, 0.5, 0, 1]]


def test_the_pixels_of_a_map_are_its_colours():
    """Red, green, blue and opacity are the bytes of a pixel, as a canvas keeps them."""
    given = ["#ffffff", "#4292c6", "#08306b"]
    got = node(
        """const { between, pixelRamp } = await load("dom");
        return [pixelRamp(given), between("#000000", "#ff8040", 0.5)];""",
        given,
    )
    pixels = np.array(got[0], "<u4").view(np.uint8).reshape(256, 4)
    for place, colour in zip((0, 128, 255), given, strict=True):
        assert bytes(pixels[place]).hex() == f"{colour[1:]}ff"
    assert (np.diff(pixels[:, 1].astype(int)) <= 0).all()  # the more, the darker
    assert got[1] == "#804020"


def luminance(colour):
    """The relative luminance of WCAG 2, 0 to 1."""
    channels = np.array(list(bytes.fromhex(colour[1:]))) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(one, other):
    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_marks_can_be_seen_on_the_paper(scheme):
    """At least 3 to 1 (WCAG 1.4.11): strips from half their scale on, lines, bars and edges."""
    light, dark = re.findall(r":root \{(.*?)\}", (PAGE / "page.css").read_text("utf-8"), re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", light))
    if scheme == "dark":
        colours |= dict(re.findall(r"--([\w-]+): (#\w{6})", dark))
    cells = node(
        """const { between } = await load("dom");
        const { strength } = await load("strips");
        return ["below", "above"].map((name) =>
          between(given.paper, given[name], strength(name === "below" ? -2 : 2, 4)));""",
        colours,
    )
    marks = [*cells, *(colours[name] for name in ("link", "chosen", "edge", "below", "above"))]
    assert min(contrast(mark, colours["paper"]) for mark in marks) >= 3
    assert contrast(colours["edge"], colours["back"]) >= 3


def test_questions_are_answered_in_turn_where_there_is_no_thread():
    """Node has no Worker, as a browser may have none for a file; or its script may not load."""
    tokens = [*SPECIAL_TOKENS, "cat", "dog", "mat"]
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 2}
    config = BertConfig(vocab_size=len(tokens), intermediate_size=8, **sizes)
    made = page(BertForPreTraining(config), BertTokenizer(tokens))
    got = node(
        """
        const { Kernel } = await load("kernel");
        const order = [];
        const askAll = async () => {
          const kernel = new Kernel(structuredClone(given.data), "");
          setTimeout(() => order.push("key"));  // what a reader types is heard in between
          const asked = given.texts.map((text, seq) =>
            kernel.ask({ seq, text }).then((reply) => order.push([reply.seq, reply.tokens[1]])));
          await Promise.all(asked);
        };
        await askAll();
        globalThis.Worker = class {
          postMessage() { setTimeout(() => this.onerror?.()); }
          terminate() { this.onerror = null; }
        };
        await askAll();
        return order;
        """,
        {"data": made.data, "texts": ["cat", "dog", "mat"]},
    )
    turns = [[0, "cat"], [1, "dog"], [2, "mat"]]
    assert [turn for turn in got if turn != "key"] == turns + turns
    assert got.index("key") < 3


def test_a_thread_answers_each_question_in_turn():
    """A thread that keeps its answers back for a while: the first is for the first question."""
    got = node(
        """
        const { Kernel } = await load("kernel");
        globalThis.Worker = class {
          postMessage(data) {
            if (data.seq) setTimeout(() => this.onmessage({ data: `answer ${data.seq}` }));
          }
        };
        const kernel = new Kernel({}, "");
        return Promise.all([1, 2, 3].map((seq) => kernel.ask({ seq })));
        """
    )
    assert got == ["answer 1", "answer 2", "answer 3"]


def test_words_of_several_pieces_are_hidden_as_one():
    got = node(
        """const { toggled, wordsOf, spelled } = await load("words");
        const tokens = "[CLS] the cat ##s [MASK] ##s [SEP] dog ##s [SEP]".split(" ");
        const words = wordsOf(tokens);
        return {
          words,
          hidden: toggled({ words, masked: [7, 8] }, 3),
          shown: toggled({ words, masked: [2, 3, 7, 8] }, 2),
          spelled: [spelled(tokens), spelled(tokens.slice(0, 4)), spelled(["##a", "b"])],
        };"""
    )
    assert got == {
        "words": [None, 0, 1, 1, None, 2, None, 3, 3, None],
        "hidden": [2, 3, 7, 8],
        "shown": [7, 8],
        "spelled": ["the cats [MASK]s / dogs", "the cats", "a b"],
    }


def test_a_guess_goes_into_its_own_blank():
    got = node(
        """const { filled } = await load("sentence");
        return [0, 1, 2, 3].map((number) =>
          filled({ text: "a [MASK] b [MASK].", pair: "[MASK] c [MASK]" }, number, "$&"));"""
    )
    assert got == [
        ["text", "a $& b [MASK]."],
        ["text", "a [MASK] b $&."],
        ["pair", "$& c [MASK]"],
        ["pair", "[MASK] c $&"],
    ]


def test_a_guess_takes_the_place_of_a_hidden_word():
    """Of the whole word as it was typed, whatever the tokenizer makes of it."""
    got = node(
        """
        const { replaced } = await load("sentence");
        const { BertTokenizer } = await load("tokenizer");
        const { wordsOf } = await load("words");
        const tokenizer = new BertTokenizer(given.tokens, true, given.characters);
        return given.asked.map(([text, pair, number]) =>
          replaced({ text, pair }, number, "X", (part) => tokenizer.tokenize(part)));
        """,
        {
            "tokens": [*SPECIAL_TOKENS, "he", "is", "a", "good", "##ish", "man", "."],
            "characters": character_table(),
            "asked": [
                ("He is a Goodish  man.", None, 3),
                ("  He is a good man", None, 0),
                ("He is a good man  ", None, 4),
                ("He is a good man.", None, 5),
                ("[MASK] is [MASK] good man.", None, 1),
                ("He.ïs.a", None, 2),
                ("he 漢字 is", None, 1),
                ("He is.", "A good man.", 4),
                ("he\u200b is", None, 1),
            ],
        },
    )
    assert got == [
        ["text", "He is a X  man."],
        ["text", "  X is a good man"],
        ["text", "He is a good X  "],
        ["text", "He is a good manX"],
        ["text", "[MASK] is [MASK] X man."],
        ["text", "He.X.a"],
        ["text", "he 漢字 X"],
        ["pair", "A X man."],
        ["text", "he\u200b X"],
    ]


def test_hidden_words_stay_hidden_when_others_are_edited():
    got = node(
        """
        const { carried } = await load("sentence");
        return given.map(([masked, ...texts]) =>
          carried(masked, ...texts.map((text) => text.split(" "))));
        """,
        [
            ([3], "a b c d e", "a x c d e"),  # another word before it
            ([3], "a b c d e", "a x y c d e"),  # a word more before it
            ([3], "a b c d e", "a c d e"),  # a word less
            ([1, 3], "a b c d e", "a b c d x e"),  # after it
            ([2], "a b c d e", "a b x d e"),  # the hidden word itself
            ([2], "a b c d e", "a b x y d e"),  # two words in its place: neither is it
        ],
    )
    assert got == [[3], [4], [2], [1, 3], [2], []]


def test_the_chosen_blank_keeps_its_number_while_there_are_enough():
    got = node(
        """const { BlankChoice } = await load("blanks");
        const asked = [], blank = new BlankChoice(() => asked.push(blank.number));
        const two = "a [MASK] b [MASK]".split(" "), one = ["a", "[MASK]"];
        const places = [blank.placeIn(two)];
        blank.choose(1);
        places.push(...[two, one, two, ["a"]].map((tokens) => blank.placeIn(tokens)));
        return [...places, asked];"""
    )
    assert got == [1, 3, 1, 1, None, [1]]


def test_tables_of_guesses_hold_the_likeliest():
    first, second = (torch.rand(3, 12, generator=torch.manual_seed(0))[i] for i in (0, 1))
    got = node(
        """const { ranked } = await load("likeliest_table");
        const { comparison } = await load("guess_view");
        return { ...ranked(given, 5), compared: comparison(...given, 3) };""",
        [first.tolist(), second.tolist()],
    )
    best = torch.stack([first.topk(5).indices, second.topk(5).indices])  # (2, 5)
    assert got["winner"] == second.argmax() and got["ranks"] == best.T.tolist()
    either = {*best[0, :3].tolist(), *best[1, :3].tolist()}
    wanted = sorted(either, key=lambda i: -max(first[i], second[i]))
    assert [row["id"] for row in got["compared"]] == wanted
    for row in got["compared"]:
        assert row["shares"] == pytest.approx([first[row["id"]].item(), second[row["id"]].item()])
