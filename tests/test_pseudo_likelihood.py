"""Pseudo-log-likelihood and perplexity, against transformers and by hand."""

import math

import numpy as np
import pytest
import torch
import transformers

from minibert.config import BertConfig
from minibert.data.corpora import load_corpus
from minibert.files import SHIPPED
from minibert.inference import pseudo_likelihood
from minibert.inference.pseudo_likelihood import pseudo_log_likelihood, pseudo_perplexity
from minibert.model import BertForPreTraining, load
from minibert.tokenizer import MASK, SPECIAL_TOKENS, BertTokenizer


@pytest.fixture(scope="module")
def shipped():
    return load("mini")


@pytest.fixture(scope="module")
def theirs():
    return transformers.BertForMaskedLM.from_pretrained(SHIPPED["mini"], dtype=torch.float32).eval()


def log_probabilities(theirs, tokenizer, text, masked_with):
    """One token after the other, by transformers, in nats.

    `masked_with(i)` are the places that are masked for place i; [CLS] is 0.
    """
    ids = tokenizer([text], return_tensors="pt")["input_ids"]
    found = []
    for place in range(1, ids.shape[1] - 1):
        masked = ids.clone()
        masked[0, masked_with(place)] = tokenizer.vocab[MASK]
        with torch.no_grad():
            logits = theirs(input_ids=masked).logits[0, place].double()
        found.append(float(logits.log_softmax(-1)[ids[0, place]]))
    return found


SCORED = "The constitutionality of gerrymandering, in 1923, is a \U0001f600 matter."


def test_the_log_probabilities_of_transformers_one_by_one(shipped, theirs):
    scores = pseudo_log_likelihood(*shipped, SCORED)
    want = log_probabilities(theirs, shipped[1], SCORED, lambda place: [place])
    assert scores.tokens == tuple(shipped[1].tokenize(SCORED)) and "[UNK]" in scores.tokens
    assert list(scores.log_probabilities) == pytest.approx(want, abs=2e-4)
    assert scores.total == pytest.approx(sum(want), abs=2e-3)


def test_within_a_word_later_pieces_are_masked_too(shipped, theirs):
    model, tokenizer = shipped
    words = tokenizer.to_fast()(SCORED).word_ids()
    assert len(words) - 2 > len(set(words) - {None})  # there are words of several pieces

    def masked_with(place):
        return [i for i, word in enumerate(words) if i >= place and word == words[place]]

    scores = pseudo_log_likelihood(model, tokenizer, SCORED, within_word_l2r=True)
    want = log_probabilities(theirs, tokenizer, SCORED, masked_with)
    assert list(scores.log_probabilities) == pytest.approx(want, abs=2e-4)
    plain = pseudo_log_likelihood(model, tokenizer, SCORED)
    last = [i for i, word in enumerate(words) if word is not None and word != words[i + 1]]
    for place in last:  # nothing of its word comes after it
        assert scores.log_probabilities[place - 1] == pytest.approx(
            plain.log_probabilities[place - 1], abs=1e-4
        )


def test_perplexity_by_hand():
    """A model that is nothing but its decoder's bias guesses by frequency."""
    tokenizer = BertTokenizer([*SPECIAL_TOKENS, "a", "b", "c"])
    config = BertConfig.preset("tiny", vocab_size=8)
    model = BertForPreTraining(config, next_sentence=False).eval()
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight.zero_()
        model.mlm_head.decoder.bias.copy_(
            torch.tensor([0, 0, 0, 0, 0, 0.5, 0.25, 0.25]).log().clamp(min=-1e4)
        )
    first, second = (pseudo_log_likelihood(model, tokenizer, text) for text in ("a a b", "c"))
    assert first.tokens == ("a", "a", "b") and second.tokens == ("c",)
    assert first.log_probabilities == pytest.approx(np.log([0.5, 0.5, 0.25]), abs=1e-6)
    assert first.total == pytest.approx(math.log(1 / 16), abs=1e-6)
    assert pseudo_perplexity([first]) == pytest.approx(16 ** (1 / 3), rel=1e-6)
    assert pseudo_perplexity([first, second]) == pytest.approx(64 ** (1 / 4), rel=1e-6)


def test_only_so_many_copies_at_a_time(shipped, monkeypatch):
    model, tokenizer = shipped
    sizes = []
    hook = model.bert.embeddings.register_forward_pre_hook(
        lambda _, args: sizes.append(len(args[0]))
    )
    monkeypatch.setattr(pseudo_likelihood, "BATCH_TOKENS", 50)
    pseudo_log_likelihood(model, tokenizer, "the " * 10)  # 12 tokens with [CLS] and [SEP]
    hook.remove()
    assert sizes == [4, 4, 2]


def test_a_real_sentence_is_likelier_than_its_words_shuffled(shipped, record_property):
    """Sentences that the model never saw."""
    _, held_out = load_corpus("sotu").split()
    sentences = [
        sentence
        for document in held_out
        for sentence in document.sentences
        if 8 <= len(sentence.split()) <= 20 and sentence[-1] == "."
    ]
    rng = np.random.default_rng(0)
    pairs = []
    for sentence in (sentences[i] for i in rng.choice(len(sentences), 20, replace=False)):
        words = sentence[:-1].split()
        shuffled = " ".join(rng.permutation(words)) + "."
        pairs.append([pseudo_log_likelihood(*shipped, text) for text in (sentence, shuffled)])
    likelier = sum(real.total > shuffled.total for real, shuffled in pairs)
    real, shuffled = (pseudo_perplexity(scores) for scores in zip(*pairs, strict=True))
    record_property(
        "measured",
        f"mini: {likelier} of 20 held-out sentences likelier than shuffled; "
        f"pseudo-perplexity {real:.1f} and {shuffled:.0f}",
    )
    assert likelier >= 18 and shuffled > 5 * real


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the text is empty"),
        ("The [MASK].", r"a \[MASK\] in the text"),
        ("A. [SEP] B.", r"a \[SEP\] in the text"),
        ("the " * 127, "127 tokens long and 126 fit"),
    ],
)
def test_texts_that_cannot_be_scored(shipped, text, says):
    with pytest.raises(ValueError, match=says):
        pseudo_log_likelihood(*shipped, text)


def test_no_text_has_no_perplexity():
    with pytest.raises(ValueError, match="no text"):
        pseudo_perplexity([])
