"""The engine of BERT in a page gives the numbers of Hugging Face and of minibert."""

import random
import re
import sys
import unicodedata

import numpy as np
import pytest
import torch
import transformers
from hard_texts import HARD
from hugging_face import CONFIGS, hf_model
from node import node
from rounded import rounded
from small_page import NEAR, PAIR, TEXT, TOKENIZER, WHERE, answer, look, small
from torch.testing import assert_close
from transformers.activations import ACT2FN
from witnesses import minilm_directory

import minibert
from minibert.analysis.attention_patterns import describe_heads
from minibert.data.corpora import load_corpus
from minibert.data.tokenized_corpora import write_tokens
from minibert.encoder import ACTIVATIONS
from minibert.heads import BertForSequenceClassification
from minibert.model import IGNORE_INDEX, BertForPreTraining
from minibert.pretraining.run_data import held_out_batches
from minibert.tokenizer import SPECIAL_TOKENS, BertTokenizer
from minibert.viz import page
from minibert.viz.explorer import _words
from minibert.viz.page.characters import character_table

# The tokenizer


def tokenize(texts, lower):
    """The tokens of texts, by the page and by Hugging Face, in BERT's English vocabulary."""
    tokens = BertTokenizer(minilm_directory() / "vocab.txt").tokens
    given = {"tokens": tokens, "lower": lower, "table": character_table(), "texts": texts}
    script = """
    const { BertTokenizer } = await load("tokenizer");
    const tokenizer = new BertTokenizer(given.tokens, given.lower, given.table);
    return given.texts.map((text) => tokenizer.tokenize(text));
    """
    vocab = {token: number for number, token in enumerate(tokens)}
    theirs = transformers.BertTokenizerFast(vocab=vocab, do_lower_case=lower)
    return node(script, given), [theirs.tokenize(text) for text in texts]


def fuzzed(number):
    """Texts of characters from all of Unicode, with the parts that plain chance hardly ever has."""
    chance = random.Random(0)
    chars = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    chars = [char for char in chars if unicodedata.category(char) != "Cn"]
    latin = [char for char in chars if char < "\u0530"]
    parts = [*SPECIAL_TOKENS, "##ing", "unaffable", "e\u0301", "x" * 101, " ", "我"]
    kinds = (chars, latin, parts)
    return [
        "".join(chance.choice(chance.choice(kinds)) for _ in range(chance.randrange(24)))
        for _ in range(number)
    ]


@pytest.mark.parametrize("lower", [True, False])
def test_word_pieces_of_hard_and_of_10_000_fuzzed_texts(lower):
    ours, theirs = tokenize(HARD + fuzzed(10_000), lower)
    assert ours == theirs


@pytest.mark.parametrize("lower", [True, False])
def test_word_pieces_of_every_character(lower):
    """A character that this Python knows, as the tables of another Unicode must not decide."""
    codes = range(sys.maxunicode + 1)
    chars = [c for c in map(chr, codes) if unicodedata.category(c) not in ("Cn", "Cs", "Co")]
    texts = [
        " ".join(f"a{char}b" for char in chars[start : start + 1024])
        for start in range(0, len(chars), 1024)
    ]
    ours, theirs = tokenize(texts, lower)
    assert ours == theirs


def test_characters_of_a_younger_unicode_stay_whole():
    """Node may know them and take them apart; Python does not."""
    codes = [n for n in range(0x20000) if unicodedata.category(chr(n)) == "Cn"]
    changed = node(
        """
        const { BertTokenizer } = await load("tokenizer");
        const tokenizer = new BertTokenizer([], true, given.table);
        const chars = given.codes.map((code) => String.fromCodePoint(code));
        return chars.filter((char) => tokenizer.stripAccents(char) !== char);
        """,
        {"table": character_table(), "codes": codes},
    )
    assert changed == []


# The forward pass

STATES = """
const { Bert } = await load("model");
const { decode, unpack } = await load("weights");
const { finish } = await load("answer");
const [{ table, bytes }] = given.data.models;
const bert = new Bert(given.data.config, unpack(table, decode(bytes)));
const { embeddings, blocks } = finish(bert.run(given.ids, given.segments));
const last = blocks.at(-1).states;
return {
  states: [embeddings.states, ...blocks.map((block) => block.states)],
  attentions: blocks.map((block) => block.attention.weights),
  logits: bert.predict(last).logits,
  next: bert.nextSentence(last),
};
"""


@pytest.mark.parametrize("sizes", CONFIGS, ids=str)
def test_states_attention_and_logits_are_hugging_faces(tmp_path, sizes):
    theirs = hf_model(transformers.BertForPreTraining, sizes).eval()
    theirs.save_pretrained(tmp_path)
    ours = BertForPreTraining.from_pretrained(tmp_path)
    ours.load_state_dict(rounded(ours))
    ours.save_pretrained(tmp_path)
    theirs = transformers.BertForPreTraining.from_pretrained(tmp_path, attn_implementation="eager")
    encoded = TOKENIZER(TEXT, PAIR, return_tensors="pt")
    with torch.no_grad():
        want = theirs(**encoded, output_hidden_states=True, output_attentions=True)
    made = page(ours, TOKENIZER)
    got = node(
        STATES,
        {
            "data": made.data,
            "ids": encoded["input_ids"][0].tolist(),
            "segments": encoded["token_type_ids"][0].tolist(),
        },
    )
    assert_close(torch.tensor(got["logits"]), want.prediction_logits.flatten(), **NEAR)
    assert_close(torch.tensor(got["next"]), want.seq_relationship_logits.flatten(), **NEAR)
    for mine, yours in ((got["states"], want.hidden_states), (got["attentions"], want.attentions)):
        for a, b in zip(mine, yours, strict=True):
            assert_close(torch.tensor(a), b.flatten(), **NEAR)


@pytest.mark.parametrize("off", [[], [[1, 2]], [[0, 0], [0, 1], [0, 2], [2, 1]]], ids=str)
def test_guesses_and_heads_are_pythons_with_heads_on_and_off(off):
    model = small()
    (reply,) = answer(page(model, TOKENIZER), {"text": TEXT, "pair": PAIR, "off": off})
    out, before = look(model, off=off), look(model)
    tokens = TOKENIZER.convert_ids_to_tokens(TOKENIZER(TEXT, PAIR)["input_ids"])
    weights = torch.cat(out.attentions)
    assert reply["tokens"] == tokens and reply["words"] == _words(tokens)
    got = torch.tensor(reply["attention"]).view(weights.shape) / 255
    assert_close(got, weights, atol=0.501 / 255, rtol=0)
    assert reply["roles"] == describe_heads(weights.numpy(), tokens)
    places = [place for place, token in enumerate(tokens) if token == "[MASK]"]
    assert [guess["place"] for guess in reply["guesses"]] == places
    for guess in reply["guesses"]:
        now, then = (o.prediction_logits[0, guess["place"]].softmax(-1) for o in (out, before))
        assert_close(torch.tensor(guess["shares"]), now, **NEAR)
        for word in guess["words"]:
            number = TOKENIZER.vocab[word["token"]]
            assert word["share"] == pytest.approx(now[number].item(), rel=1e-3)
            assert word["before"] == (pytest.approx(then[number].item(), rel=1e-3) if off else None)
        shown = [word["token"] for word in guess["words"]]
        best, best_before = ([TOKENIZER.tokens[i] for i in x.topk(8).indices] for x in (now, then))
        assert shown[:8] == best and set(shown) == {*best, *best_before}
    follows = out.seq_relationship_logits[0].softmax(-1)[0].item()
    assert reply["follows"]["share"] == pytest.approx(follows, rel=1e-3)
    if off:
        moved = (weights - torch.cat(before.attentions)).abs().sum(-1).mean(-1) / 2
        assert_close(torch.tensor(reply["change"]), moved, **NEAR)
    else:
        assert reply["change"] is None


def test_a_word_that_is_hidden_is_a_mask_and_its_own_chances_are_listed():
    model = small()
    made = page(model, TOKENIZER)
    hidden, typed = answer(
        made, {"text": "the cats sat", "masked": [2, 3]}, {"text": "the [MASK] [MASK] sat"}
    )
    assert hidden["tokens"] == typed["tokens"]
    assert hidden["hidden"] == ["[CLS]", "the", "cat", "##s", "sat", "[SEP]"]
    assert [guess["was"] for guess in hidden["guesses"]] == ["cat", "##s"]
    assert "cat" in [word["token"] for word in hidden["guesses"][0]["words"]]
    assert [g["shares"] for g in hidden["guesses"]] == [g["shares"] for g in typed["guesses"]]


def test_rows_beyond_the_vocabulary_are_no_guesses():
    """A model may have more rows than its tokenizer has tokens."""
    model = small(vocab_size=104)
    (reply,) = answer(page(model, TOKENIZER), {"text": TEXT, "trace": {**WHERE, "token": 7}})
    want = look(model, pair=None).prediction_logits[0, 7, : TOKENIZER.vocab_size].softmax(-1)
    assert_close(torch.tensor(reply["guesses"][0]["shares"]), want, **NEAR)
    guess = reply["trace"]["guess"]["words"][0]
    assert guess["share"] == pytest.approx(want.max().item(), rel=1e-3)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_hugging_faces(name):
    x = torch.linspace(-6, 6, 241)
    got = node(
        """const { ACTIVATIONS } = await load("model");
        return given.x.map(ACTIVATIONS[given.name]);""",
        {"x": x.tolist(), "name": name},
    )
    assert_close(torch.tensor(got).float(), ACT2FN[name](x), atol=2e-6, rtol=1e-5)


def test_heads_have_the_labels_that_they_have_in_python():
    """Heads of every role, clear and less clear, over a text with repeated words and marks."""
    tokens = [
        "[CLS]",
        "the",
        "cat",
        ",",
        "the",
        "cat",
        "...",
        "[SEP]",
        "the",
        ",",
        "##s",
        "[MASK]",
        "[MASK]",
        "[SEP]",
    ]
    T = len(tokens)
    row, column = np.indices((T, T))
    chance = np.random.default_rng(0)
    word = np.array(tokens)
    wished = [
        column == row - 1,
        column == row + 1,
        column == row,
        (word[row] == word[column]) & (row != column),
        word[column] == "[CLS]",
        word[column] == "[SEP]",
        np.isin(word[column], [",", "..."]),
    ]
    heads = [
        noise * chance.normal(size=(T, T)) + strength * wish
        for noise in (0.3, 2)
        for wish in wished
        for strength in np.linspace(0, 6, 13)
    ]
    tie = (word[column] == "[CLS]") | (column == T - 1)
    heads.append(np.where(tie, 0, -np.inf))
    weights = torch.tensor(np.array(heads), dtype=torch.float32).softmax(-1)
    got = node(
        """const { describeHeads } = await load("roles");
        const isMark = (char) => ",.".includes(char);
        return describeHeads(Float32Array.from(given.weights), given.tokens, isMark);""",
        {"weights": weights.flatten().tolist(), "tokens": tokens},
    )
    (want,) = describe_heads(weights[None].numpy(), tokens)
    assert got == want
    assert {"spread out", "no single role"} < {re.sub(r" \d+ %", "", label) for label in want}


def test_guesses_after_each_layer_are_the_heads_on_its_states():
    model = small()
    (reply,) = answer(page(model, TOKENIZER), {"text": TEXT, "layersOf": 7})
    inputs = TOKENIZER(TEXT, return_tensors="pt")
    with torch.no_grad():
        states = model(**inputs, output_hidden_states=True).hidden_states
        want = [model.mlm_head(state[0, 7]).softmax(-1) for state in states]
    for got, shares in zip(reply["byLayer"], want, strict=True):
        assert_close(torch.tensor(got), shares, **NEAR)


def test_a_word_looks_where_its_layers_heads_look_on_average():
    model = small()
    (reply,) = answer(page(model, TOKENIZER), {"text": TEXT})
    got = node(
        """const { meanOverHeads } = await load("word_attention");
        return [0, 1, 2].map((layer) => meanOverHeads(given, 7, layer));""",
        reply,
    )
    weights = torch.cat(look(model, pair=None).attentions)  # (L, H, T, T)
    assert_close(torch.tensor(got), weights[:, :, 7].mean(1), atol=0.501 / 255, rtol=0)


def test_the_walk_says_what_it_shows():
    """Where a word looks most, and that a head which is off passes nothing on."""
    model = small()
    request = {"text": TEXT, "trace": WHERE}
    given = answer(page(model, TOKENIZER), request, {**request, "off": [[1, 2]]})
    texts, texts_off = node(
        """const { STOPS } = await load("walk_stops");
        return given.map(({ trace }) => STOPS.map(({ say }) => say(trace)));""",
        given,
    )
    share, place = look(model, pair=None).attentions[1][0, 2, 4].max(-1)
    best = TOKENIZER.convert_ids_to_tokens(TOKENIZER(TEXT)["input_ids"])[place]
    assert f"gives most to “{best}” ({100 * share:.0f} %)" in texts[4]
    assert "what this head has found for “sat”" in texts[5]
    assert "Head 2 of layer 1 is switched off" in texts_off[5]
    assert "such layers" in texts[8] and "BERT has 3 such layers" in texts[8]


def test_the_numbers_of_the_walk_follow_from_one_another():
    """Each step is computed here again from the step before, with the model's own modules."""
    model = small()
    (reply,) = answer(page(model, TOKENIZER), {"text": TEXT, "pair": PAIR, "trace": WHERE})
    t = {
        name: torch.tensor(value) if isinstance(value, list) and name not in ("tokens",) else value
        for name, value in reply["trace"].items()
    }
    parts = {name: torch.tensor(value) for name, value in t["embedding"].items()}
    embeddings, layer = model.bert.embeddings, model.bert.encoder.layers[1]
    attention, feed_forward = layer.attention, layer.feed_forward
    mine, size = slice(16, 24), 8
    near = lambda a, b: assert_close(a, b, **NEAR)
    with torch.no_grad():
        inputs = TOKENIZER(TEXT, PAIR, return_tensors="pt")
        states = model(**inputs, output_hidden_states=True).hidden_states
        assert t["ids"].tolist() == inputs["input_ids"][0].tolist()
        near(parts["token"], embeddings.word_embeddings.weight[t["ids"][4]])
        near(parts["position"], embeddings.position_embeddings.weight[4])
        near(parts["segment"], embeddings.token_type_embeddings.weight[0])
        near(parts["sum"], parts["token"] + parts["position"] + parts["segment"])
        near(parts["states"], embeddings.norm(parts["sum"]))
        near(t["states"], torch.stack([state[0, 4] for state in states]))
        near(t["before"], states[1][0, 4])
        near(t["query"], attention.query(states[1][0, 4])[mine])
        near(t["keys"], attention.key(states[1][0])[:, mine])
        near(t["values"], attention.value(states[1][0])[:, mine])
        near(t["key"], t["keys"][4])
        near(t["value"], t["values"][4])
        near(t["scores"], t["keys"] @ t["query"] / size**0.5)
        near(t["weights"], t["scores"].softmax(-1))
        near(t["context"], t["weights"] @ t["values"])
        near(t["context"], t["contexts"][mine])
        near(t["output"], attention.output(t["contexts"]))
        near(t["attended"], layer.attention_norm(t["before"] + t["output"]))
        near(t["inner"], feed_forward.activation(feed_forward.intermediate(t["attended"])))
        near(t["forward"], feed_forward.output(t["inner"]))
        near(t["after"], layer.feed_forward_norm(t["attended"] + t["forward"]))
        near(t["after"], states[2][0, 4])
        transformed = model.mlm_head.transform(states[3][0, 4])
        logits = model.mlm_head.decoder(transformed)
    near(torch.tensor(t["guess"]["transformed"]), transformed)
    for word in t["guess"]["words"]:
        number = TOKENIZER.vocab[word["token"]]
        assert word["logit"] == pytest.approx(logits[number].item(), abs=1e-3)
        assert word["share"] == pytest.approx(logits.softmax(-1)[number].item(), abs=1e-3)


@pytest.mark.parametrize("pooling", ["cls", "mean", "query"])
@pytest.mark.parametrize(
    ("problem_type", "judge"),
    [
        ("single_label_classification", lambda logits: logits.softmax(-1)),
        ("multi_label_classification", torch.sigmoid),
        ("regression", lambda logits: logits),
    ],
)
def test_a_classifier_gives_its_labels(problem_type, judge, pooling):
    labels = ["no", "maybe", "</script>"]
    model = small(BertForSequenceClassification, labels, problem_type, pooling)
    (reply,) = answer(page(model, TOKENIZER), {"text": TEXT, "pair": PAIR})
    want = judge(look(model).logits[0])
    assert [one["label"] for one in reply["labels"]] == labels
    assert_close(torch.tensor([one["share"] for one in reply["labels"]]), want, **NEAR)
    assert reply["guesses"] is None
    request = {"text": TEXT, "pair": PAIR, "off": [[0, 0], [1, 2]]}
    (changed,) = answer(page(model, TOKENIZER), request)
    now, before = (
        torch.tensor([one[key] for one in changed["labels"]]) for key in ("share", "before")
    )
    assert_close(before, want, **NEAR)
    assert_close(now, judge(look(model, off=request["off"]).logits[0]), **NEAR)


# The weights


def test_weights_are_packed_as_they_are_read():
    """Half precision is numpy's, and int8 is a row's scale times whole numbers."""
    model = small()  # its large matrices are rounded to int8 already
    for exact in (False, True):
        got = node(
            """
            const { decode, unpack } = await load("weights");
            const [{ table, bytes }] = given.models;
            return unpack(table, decode(bytes));
            """,
            page(model, TOKENIZER, exact=exact).data,
        )
        for name, tensor in model.state_dict().items():
            if name == "mlm_head.decoder.weight":  # tied
                assert name not in got
                continue
            want = tensor.numpy()
            is_large = any(part in name for part in ("layers", "word_", "pooler"))
            if tensor.dim() == 2 and (exact or not is_large):
                want = want.astype(np.float16).astype(np.float32)
            np.testing.assert_allclose(got[name], want.ravel(), rtol=1e-6, atol=1e-7)


def test_every_number_of_half_precision_is_numpys():
    bits = [code for code in range(1 << 16) if code >> 10 & 31 != 31]  # not infinity, not NaN
    got = node(
        """const { half } = await load("weights");
        return given.map(half);""",
        bits,
    )
    want = np.array(bits, np.uint16).view(np.float16)
    np.testing.assert_array_equal(np.array(got, np.float64), want.astype(np.float64))


def test_a_softmax_of_large_numbers_is_torchs():
    rows = [[1000.0, 1001.0, 998.0], [-1000.0, -1001.0, -998.0], [0.0, -200.0, 3.0]]
    got = node(
        """const { softmax } = await load("model");
        return given.map((row) => softmax(Float32Array.from(row)));""",
        rows,
    )
    assert_close(torch.tensor(got), torch.tensor(rows).softmax(-1))


def test_the_norm_of_a_constant_row_is_torchs():
    """Its variance is 0, so only eps is left to divide by."""
    row, gain, shift = torch.full((4,), 3.0), torch.arange(4.0), torch.ones(4)
    got = node(
        """const { layerNorm } = await load("model");
        return layerNorm(...given.map((one) => Float32Array.from(one)), 1e-12);""",
        [x.tolist() for x in (row, gain, shift)],
    )
    assert_close(
        torch.tensor(got).float(), torch.nn.functional.layer_norm(row, (4,), gain, shift, 1e-12)
    )


def test_a_weight_moves_by_half_a_step_at_most():
    model = small()
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight[3] = 0  # a row of zeros has no scale
        for parameter in model.parameters():
            parameter.mul_(torch.rand_like(parameter))
    state = rounded(model)
    for name, tensor in model.state_dict().items():
        step = tensor.abs().amax(-1, keepdim=True) / 127 if tensor.dim() == 2 else 0
        moved = (state[name] - tensor).abs()
        assert (moved <= step / 2 + 1e-6).all(), name
        if "layers" in name and tensor.dim() == 2:
            assert moved.max() > 0, name


def test_int8_keeps_97_of_100_guesses(monkeypatch, tmp_path, record_property):
    """Over a thousand masked words of held-out speeches, with the model that is shipped."""
    monkeypatch.setattr("minibert.pretraining.run_data.HELD_OUT_BATCHES", 2)
    model, tokenizer = minibert.load("mini")
    _, held_out = load_corpus("sotu").split()
    batches = held_out_batches(write_tokens(held_out, tokenizer, tmp_path), tokenizer)

    def guesses():
        with torch.no_grad():
            return torch.cat(
                [
                    model(batch["input_ids"]).prediction_logits[masked].argmax(-1)
                    for batch, masked in asked
                ]
            )

    asked = [(batch, batch["labels"] != IGNORE_INDEX) for batch in batches]
    with torch.no_grad():
        before = guesses()
        model.load_state_dict(rounded(model))
        kept = (guesses() == before).float().mean().item()
    record_property("measured", f"int8: {kept:.1%} of {len(before)} guesses stay the same")
    assert len(before) > 1000
    assert kept >= 0.97
