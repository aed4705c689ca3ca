"""A small BERT in a page, and what the page answers in Node."""

import torch
from node import node
from rounded import rounded

from minibert.analysis.ablation import without_heads
from minibert.config import BertConfig
from minibert.model import BertForPreTraining, evaluating
from minibert.tokenizer import SPECIAL_TOKENS, BertTokenizer

NEAR = {"rtol": 1e-3, "atol": 1e-3}
WORDS = ["cat", "dog", "sat", "on", "mat", "##s", "the", ".", ","]
TOKENIZER = BertTokenizer([*SPECIAL_TOKENS, *WORDS, *(f"[unused{n}]" for n in range(83))])  # 97
TEXT, PAIR = "the cats sat on the [MASK].", "the dog, the [MASK]"
WHERE = {"layer": 1, "head": 2, "token": 4}
"""What the walk follows."""
ANSWER = """
const { Answerer, finish } = await load("answer");
const answerer = new Answerer(given.data);
return given.requests.map((request) => finish(answerer.answer(request)));
"""


def small(kind=BertForPreTraining, *args, vocab_size=97, **kwargs):
    """A model with random weights that are large enough to tell its parts apart."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=vocab_size, hidden_size=24, num_attention_heads=3, num_hidden_layers=3,
        intermediate_size=56, max_position_embeddings=20, initializer_range=0.2,
    )  # fmt: skip
    model = kind(config, *args, **kwargs).eval()
    model.load_state_dict(rounded(model))
    return model


def look(model, text=TEXT, pair=PAIR, off=()):
    """What minibert computes, with some heads off."""
    with evaluating(model), torch.no_grad(), without_heads(model, off):
        return model(**TOKENIZER(text, pair, return_tensors="pt"), output_attentions=True)


def answer(made, *requests):
    """The replies of a page to requests."""
    filled = [{"seq": n, "pair": None, **request} for n, request in enumerate(requests)]
    return node(ANSWER, {"data": made.data, "requests": filled})
