"""AttentionData: the same numbers from every source, and bad input told with its cure."""

import numpy as np
import pytest
import torch
from transformers import BertConfig as HFConfig
from transformers import BertModel as HFModel

from minibert.files import SHIPPED
from minibert.model import BertModel, load
from minibert.tokenizer import BertTokenizer
from minibert.viz.attention_data import AttentionData, as_attention

TEXT, PAIR = "The state of the Union is strong.", "Congress must act."


@pytest.fixture(scope="module")
def shipped():
    return load("mini")


@pytest.fixture(scope="module")
def theirs():
    """The same weights in Hugging Face's class, with the attention that gives weights."""
    return HFModel.from_pretrained(
        SHIPPED["mini"], attn_implementation="eager", dtype=torch.float32
    )


def weights(layers=2, heads=3, length=4):
    return [torch.rand(1, heads, length, length).softmax(-1) for _ in range(layers)]


def test_ours_and_hugging_faces_give_the_same(shipped, theirs):
    model, tokenizer = shipped
    ours = AttentionData.from_model(model, tokenizer, TEXT, PAIR, queries_and_keys=True)
    hf = AttentionData.from_model(theirs, tokenizer.to_fast(), TEXT, PAIR, queries_and_keys=True)
    assert ours.tokens == hf.tokens
    assert ours.tokens[ours.sentence_b_start] == "congress"
    assert ours.sentence_b_start == hf.sentence_b_start
    np.testing.assert_allclose(ours.weights(), hf.weights(), atol=1e-5)
    for name in ("queries", "keys"):
        for a, b in zip(getattr(ours, name), getattr(hf, name), strict=True):
            torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_queries_and_keys_make_the_attention(shipped):
    data = AttentionData.from_model(*shipped, TEXT, queries_and_keys=True)
    for weights_, query, key in zip(data.attentions, data.queries, data.keys, strict=True):
        scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
        torch.testing.assert_close(scores.softmax(-1), weights_)


def test_a_model_in_training_is_left_in_training_and_drops_nothing(shipped):
    model, tokenizer = shipped
    model.train()
    data = AttentionData.from_model(model, tokenizer, TEXT)
    assert model.training
    model.eval()
    again = AttentionData.from_model(model, tokenizer, TEXT)
    assert np.array_equal(data.weights(), again.weights())
    assert data.sentence_b_start is None


def test_arrays_and_tensors_with_and_without_the_batch(shipped):
    given = weights()
    data = AttentionData([layer[0].numpy() for layer in given], list("abcd"))
    assert (data.num_layers, data.num_heads, data.num_tokens) == (2, 3, 4)
    assert np.array_equal(data.weights(), torch.cat(given).numpy())
    stacked = AttentionData(torch.cat(given), list("abcd"))
    assert np.array_equal(stacked.weights(), data.weights())
    assert as_attention(data) is data


def test_a_single_token():
    data = AttentionData([torch.ones(1, 2, 1, 1)], ["[CLS]"])
    assert data.weights().shape == (1, 2, 1, 1)


def spoiled(layer, head, row, value):
    made = weights()
    made[layer][0, head, row] = value
    return made


BAD = {
    "none": (lambda: ((), list("abcd")), "attn_implementation='eager'"),
    "None": (lambda: (None, list("abcd")), "output_attentions=True"),
    "layers None": (lambda: ([None, None], list("abcd")), "attn_implementation='eager'"),
    "batch": (lambda: ([torch.rand(2, 1, 4, 4)], list("abcd")), "2 texts: choose one"),
    "tokens": (lambda: (weights(), list("abc")), "3 tokens for attention over 4"),
    "ids": (lambda: (weights(), [1, 2, 3, 4]), "convert_ids_to_tokens"),
    "no token": (lambda: ([torch.ones(1, 2, 0, 0)], []), "0 tokens"),
    "NaN": (lambda: (spoiled(1, 2, 3, torch.nan), list("abcd")), "layer 1, head 2, .* 3.*finite"),
    "sum": (lambda: (spoiled(0, 1, 2, 0.3), list("abcd")), r"head 1.*'c'.*1\.20 and not to 1"),
    "scores": (
        lambda: (spoiled(0, 0, 1, torch.tensor([2.0, -1, 0, 0])), list("abcd")),
        "below 0: give them after the softmax",
    ),
    "not square": (lambda: ([torch.full((1, 1, 4, 2), 0.5)], list("abcd")), r"\(1, H, T, T\)"),
    "shapes": (lambda: (weights(1, 3) + weights(1, 2), list("abcd")), "one shape"),
    "dimensions": (lambda: ([torch.ones(4, 4)], list("abcd")), r"layer 0 is \(4, 4\)"),
}


@pytest.mark.parametrize("make,message", BAD.values(), ids=BAD)
def test_bad_attention_is_told_with_its_cure(make, message):
    with pytest.raises(ValueError, match=message):
        AttentionData(*make())


@pytest.mark.parametrize("start", [0, 4, -1])
def test_sentence_b_starts_within(start):
    with pytest.raises(ValueError, match="between 1 and 3"):
        AttentionData(weights(), list("abcd"), sentence_b_start=start)


def test_queries_fit():
    vectors = [torch.rand(1, 3, 4, 5)] * 2
    with pytest.raises(ValueError, match="or neither"):
        AttentionData(weights(), list("abcd"), queries=vectors)
    with pytest.raises(ValueError, match=r"keys must be \(1, H, T, K\)"):
        AttentionData(weights(), list("abcd"), queries=vectors, keys=vectors[:1])


def test_tokens_where_they_belong():
    with pytest.raises(ValueError, match="tokens are missing"):
        as_attention(weights())
    with pytest.raises(ValueError, match="give it alone"):
        as_attention(AttentionData(weights(), list("abcd")), list("abcd"))


def test_layers_and_heads_are_counted_from_0():
    data = AttentionData(weights(), list("abcd"))
    assert data.choose("layer", None) == [0, 1] and data.choose("head", 2) == [2]
    with pytest.raises(ValueError, match="no layer 2: they go from 0 to 1"):
        data.choose("layer", [0, 2])
    with pytest.raises(ValueError, match="no head -1"):
        data.choose("head", -1)
    with pytest.raises(ValueError, match="no head is chosen"):
        data.choose("head", [])


def test_a_model_that_gives_none():
    config = HFConfig(
        vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    model = HFModel(config, add_pooling_layer=False)
    model.set_attn_implementation("sdpa")
    tokenizer = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"])
    with pytest.raises(ValueError, match="attn_implementation='eager'"):
        AttentionData.from_model(model, tokenizer.to_fast(), "a b")


@pytest.mark.parametrize("text", ["", "   ", "\x00"])
def test_an_empty_text(shipped, text):
    with pytest.raises(ValueError, match="the text is empty: give at least one word"):
        AttentionData.from_model(*shipped, text)


def test_a_text_that_is_too_long(shipped):
    with pytest.raises(ValueError, match=r"300 tokens long and 126 fit: .* 128 positions"):
        AttentionData.from_model(*shipped, "the " * 300)
    with pytest.raises(ValueError, match="200 tokens long and 125 fit"):
        AttentionData.from_model(*shipped, "the " * 100, "the " * 100)


def test_a_body_alone_will_do(shipped):
    body = BertModel.from_pretrained(SHIPPED["mini"])
    data = AttentionData.from_model(body, shipped[1], TEXT)
    whole = AttentionData.from_model(*shipped, TEXT)
    assert np.array_equal(data.weights(), whole.weights())


def test_model_and_tokenizer_the_wrong_way_round(shipped):
    model, tokenizer = shipped
    with pytest.raises(ValueError, match="then its tokenizer: these are BertTokenizer and BertFor"):
        AttentionData.from_model(tokenizer, model, TEXT)
