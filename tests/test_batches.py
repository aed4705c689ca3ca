"""Masked batches: what the original's checklist asks for, counted."""

import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch

from minibert.data.batches import PackedBatches, PairBatches, SentenceBatches
from minibert.data.corpora import load_corpus
from minibert.data.masking import Masker, Masking, choose_tokens, choose_words
from minibert.data.sentence_pairs import _fit_into, make_pairs
from minibert.data.tokenized_corpora import write_tokens
from minibert.tokenizer import SPECIAL_TOKENS, BertTokenizer


@pytest.fixture(scope="module")
def texts():
    rng = np.random.default_rng(0)
    words = "the cat sat unbelievably on a mat while dogs barked relentlessly at passing cars"
    words = words.split(" ")
    return [
        " ".join(
            " ".join(rng.choice(words, rng.integers(2, 14))).capitalize() + "."
            for _ in range(rng.integers(3, 30))
        )
        for _ in range(12)
    ]


@pytest.fixture(scope="module")
def tokenizer(texts):
    return BertTokenizer.train([*texts, "The the the."], vocab_size=140)


@pytest.fixture(scope="module")
def corpus(texts, tokenizer, tmp_path_factory):
    return write_tokens(load_corpus(texts), tokenizer, tmp_path_factory.mktemp("tokens"))


def test_tokens_on_the_disk(texts, tokenizer, corpus):
    want, starts = [], []
    for document in load_corpus(texts):
        for sentence in (*document.sentences, "[SEP]"):
            starts.append(len(want))
            want += tokenizer.convert_tokens_to_ids(tokenizer.tokenize(sentence))
    assert corpus.tokens.tolist() == want
    assert corpus.sentence_starts.tolist() == [*starts, len(want)]
    assert corpus.num_documents == 12
    assert isinstance(corpus.tokens, np.memmap)


# Masking


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"probability": 7}, "probability must be a number from 0 to 1, not 7"),
        ({"probability": float("nan")}, "probability must be .* not nan"),
        ({"mask": -0.1}, "mask must be .* not -0.1"),
        ({"random": "0.1"}, "random must be .* not '0.1'"),
        ({"mask": 0.9, "random": 0.9}, "mask 0.9 and random 0.9 add up to more than 1"),
        ({"whole_word": "no"}, "whole_word must be true or false, not 'no'"),
        ({"max_predictions": 0}, "max_predictions must be .* not 0"),
        ({"max_predictions": 2.5}, "max_predictions must be .* not 2.5"),
    ],
)
def test_a_masking_that_makes_no_sense_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Masking(**settings)


@pytest.mark.parametrize("probability", [0.15, 0.3])
def test_shares_of_masking(tokenizer, probability):
    rng = np.random.default_rng(1)
    ids = rng.integers(5, tokenizer.vocab_size, (4000, 66))
    ids[:, 0], ids[:, -1] = tokenizer.vocab["[CLS]"], tokenizer.vocab["[SEP]"]
    ids[::2, 40] = tokenizer.vocab["[SEP]"]
    ids[1::2, 50:] = tokenizer.vocab["[PAD]"]
    seen, labels = Masker(tokenizer, Masking(probability))(ids, rng)
    chosen = labels != -100
    # A fixed number in each row, by its length with [CLS] and [SEP].
    assert (chosen[::2].sum(1) == round(probability * 66)).all()
    assert (chosen[1::2].sum(1) == round(probability * 50)).all()
    assert not chosen[np.isin(ids, [tokenizer.vocab[t] for t in ("[CLS]", "[SEP]", "[PAD]")])].any()
    assert (labels[chosen] == ids[chosen]).all()
    assert (seen[~chosen] == ids[~chosen]).all()
    # 80 / 10 / 10, a random token being the same one by chance 1 time in V.
    number, by_chance = chosen.sum(), 0.1 / tokenizer.vocab_size
    masked = (seen[chosen] == tokenizer.vocab["[MASK]"]).mean()
    kept = (seen[chosen] == ids[chosen]).mean()
    error = 4 * np.sqrt(0.25 / number)
    assert abs(masked - (0.8 + by_chance)) < error
    assert abs(kept - (0.1 + by_chance)) < error
    # Every candidate is as likely as any other.
    places = chosen[::2].mean(0)[1:40]
    assert abs(places - places.mean()).max() < 4 * np.sqrt(0.25 / 2000)


@pytest.mark.parametrize("random_specials", [True, False])
def test_random_tokens_come_from_the_whole_vocabulary(tokenizer, random_specials):
    ids = np.full((500, 64), tokenizer.vocab["the"])
    masking = Masking(mask=0.0, random=1.0, random_specials=random_specials)
    seen, labels = Masker(tokenizer, masking)(ids, np.random.default_rng(0))
    drawn = set(seen[labels != -100].tolist())
    special = {tokenizer.vocab[token] for token in SPECIAL_TOKENS}
    everything = set(range(tokenizer.vocab_size))
    assert drawn == (everything if random_specials else everything - special)


def test_a_short_row_and_a_limit(tokenizer):
    cls, sep, pad, the = (tokenizer.vocab[t] for t in ("[CLS]", "[SEP]", "[PAD]", "the"))
    ids = np.array([[cls, the, sep, pad], [cls, sep, pad, pad]])
    _, labels = Masker(tokenizer, Masking())(ids, np.random.default_rng(0))
    assert labels.tolist() == [[-100, the, -100, -100], [-100] * 4]
    limited = Masker(tokenizer, Masking(probability=0.5, max_predictions=3))
    _, labels = limited(np.full((5, 40), the), np.random.default_rng(0))
    assert ((labels != -100).sum(1) == 3).all()


def test_choosing_takes_all_candidates_where_there_are_too_few():
    candidates = np.array([[True, False, True, False]])
    assert choose_tokens(candidates, np.array([3]), np.random.default_rng(0)).tolist() == [
        [True, False, True, False]
    ]


def test_whole_words_stay_whole():
    rng = np.random.default_rng(2)
    candidates = rng.random((300, 40)) < 0.9
    continues = (rng.random((300, 40)) < 0.4) & candidates
    numbers = rng.integers(1, 12, 300)
    chosen = choose_words(candidates, continues, numbers, rng)
    assert not (chosen & ~candidates).any()
    assert (chosen.sum(1) <= numbers).all()
    left_out = 0
    for row in range(300):
        words, word = [], []
        for place in range(40):  # the slow way to find the words
            if not candidates[row, place]:
                word = []
            elif continues[row, place] and word:
                word.append(place)
            else:
                word = [place]
                words.append(word)
        assert sum(map(len, words)) == candidates[row].sum()
        taken = [word for word in words if chosen[row, word].all()]
        assert sum(map(len, taken)) == chosen[row].sum()  # no word is taken in part
        spare = numbers[row] - chosen[row].sum()
        left_out += spare
        assert all(len(word) > spare for word in words if word not in taken)  # none would still fit
    assert left_out < 300


# Batches


KINDS = pytest.mark.parametrize("kind", [PackedBatches, PairBatches, SentenceBatches])


@KINDS
def test_a_batch_is_a_function_of_seed_and_step(kind, corpus, tokenizer):
    def make(seed=3):
        return kind(corpus, tokenizer, Masking(), 8, 32, seed)

    first, second = make(), make()
    far = 200  # some passes over the corpus
    wanted = {step: first(step) for step in (0, 1, far)}
    for step in (far, 0, 1):
        for name, tensor in second(step).items():
            assert torch.equal(tensor, wanted[step][name])
    assert not torch.equal(wanted[0]["input_ids"], wanted[1]["input_ids"])
    assert not torch.equal(make(seed=4)(0)["input_ids"], wanted[0]["input_ids"])


@KINDS
def test_masks_are_drawn_anew_for_each_step_and_seed(kind, corpus, tokenizer):
    draws = []

    def masker(ids, rng):
        draws.append(rng.random())
        return ids, ids

    for seed in (0, 1):
        batches = kind(corpus, tokenizer, Masking(), 4, 32, seed)
        batches.__dict__["masker"] = masker
        for step in range(3):
            batches(step)
    assert len(set(draws)) == 6


@KINDS
def test_a_pass_goes_everywhere(kind, corpus, tokenizer):
    batches = kind(corpus, tokenizer, Masking(), 16, 32, 0)
    seen = Counter()
    for step in range(60):
        batch = batches(step)
        seen.update(
            torch.where(batch["labels"] == -100, batch["input_ids"], batch["labels"])
            .flatten()
            .tolist()
        )
    assert set(corpus.tokens.tolist()) <= set(seen)


def test_each_pass_has_its_pairs_in_a_new_order(corpus, tokenizer):
    """A batch is drawn from the whole corpus, not from one document after another."""
    batches = PairBatches(corpus, tokenizer, Masking(), 8, 32, 0)
    orders = [batches._visit(number)[2].tolist() for number in (0, 1)]
    for order in orders:
        assert sorted(order) == list(range(len(order))) != order
    length = min(map(len, orders))
    assert orders[0][:length] != orders[1][:length]
    _, pairs, order = batches._visit(0)
    lengths = (pairs.a_length + pairs.b_length + 3)[order[8:16]]
    assert batches(1)["attention_mask"].sum(1).tolist() == lengths.tolist()


def test_packed_sequences_are_text_without_padding(corpus, tokenizer):
    batch = PackedBatches(corpus, tokenizer, Masking(), 16, 24, 0)(5)
    assert set(batch) == {"input_ids", "labels"}
    rows = torch.where(batch["labels"] == -100, batch["input_ids"], batch["labels"])
    assert rows.shape == (16, 24)
    text = corpus.tokens.tolist()
    for row in rows.tolist():
        assert row[0] == tokenizer.vocab["[CLS]"] and row[-1] == tokenizer.vocab["[SEP]"]
        assert any(text[i : i + 22] == row[1:-1] for i in range(len(text) - 21))
    with pytest.raises(ValueError, match="too few"):
        PackedBatches(corpus, tokenizer, Masking(), 16, 10**6, 0)


def test_pairs_say_the_truth(corpus):
    """0: B follows A. 1: B is of another document. Nothing is lost and nothing used twice."""
    document_of = np.zeros(len(corpus.tokens), dtype=int)
    borders = corpus.sentence_starts[corpus.document_starts]
    for number, (start, end) in enumerate(pairwise(borders)):
        document_of[start:end] = number
    separators = set((borders[1:] - 1).tolist())
    room = 10**6  # so that nothing is cut off
    pairs = make_pairs(corpus, room + 3, np.random.default_rng(0))
    short = make_pairs(corpus, 64, np.random.default_rng(0))
    assert short.is_random.mean() == pytest.approx(0.5, abs=0.2)
    used = Counter()
    random_documents = 0
    for a, a_length, b, b_length, is_random in zip(
        pairs.a, pairs.a_length, pairs.b, pairs.b_length, pairs.is_random, strict=True
    ):
        assert a_length > 0 and b_length > 0
        assert a in corpus.sentence_starts and b in corpus.sentence_starts
        used.update(range(a, a + a_length))
        assert not separators & set(range(b, b + b_length))
        if is_random:
            assert document_of[b] != document_of[a]
            assert len(set(document_of[b : b + b_length])) == 1
            random_documents += 1
        else:
            assert b == a + a_length and document_of[b] == document_of[a]
            used.update(range(b, b + b_length))
    assert random_documents > 0
    # What a random B displaced came back: every token once as A or as a true B, but the [SEP]s.
    assert set(used) == set(range(len(corpus.tokens))) - separators
    assert set(used.values()) == {1}


def test_a_random_b_may_come_from_elsewhere_in_the_same_document(corpus):
    """It is labelled as random, and is neither what follows A nor A itself."""
    borders = corpus.sentence_starts[corpus.document_starts]

    def document(place):
        return np.searchsorted(borders, place, side="right")

    pairs = make_pairs(corpus, 64, np.random.default_rng(0), elsewhere=1.0)
    random = pairs.is_random == 1
    same = document(pairs.a) == document(pairs.b)
    assert same[~random].all()
    assert same[random].mean() > 0.8  # the rest had no sentence left to choose
    a_end, b_end = pairs.a + pairs.a_length, pairs.b + pairs.b_length
    apart = (pairs.b >= a_end) | (b_end <= pairs.a)
    assert apart[random].all()
    assert (pairs.b != a_end)[random].all()
    assert not np.isin(b_end[random] - 1, borders[1:] - 1).any()  # the [SEP] is no sentence
    half = make_pairs(corpus, 64, np.random.default_rng(0), elsewhere=0.5)
    random = half.is_random == 1
    assert 0.3 < (document(half.a) == document(half.b))[random].mean() < 0.7


def test_any_sentence_of_another_document_may_be_the_random_b(tokenizer, tmp_path):
    """Documents of 1, 10 and 100 sentences: B is drawn from them in proportion."""
    texts = [" ".join(["The cat sat."] * number) for number in (100, 10, 1)]
    made = write_tokens(load_corpus(texts), tokenizer, tmp_path)
    borders = made.sentence_starts[made.document_starts]
    drawn = Counter()
    for seed in range(40):
        pairs = make_pairs(made, 16, np.random.default_rng(seed))
        for a, b in zip(pairs.a[pairs.is_random == 1], pairs.b[pairs.is_random == 1], strict=True):
            document_of_a, document_of_b = np.searchsorted(borders, [a, b], side="right") - 1
            if document_of_a == 0:
                drawn[document_of_b] += 1
    assert drawn.total() > 500
    assert drawn[1] / drawn.total() == pytest.approx(10 / 11, abs=0.03)


def test_pairs_are_cut_as_the_original_cuts(corpus):
    """Token by token from the longer side, the first one on a tie being B."""
    room = 21
    rng = np.random.default_rng(5)
    long = make_pairs(corpus, 10**6, rng)

    def slow(a_length, b_length):
        while a_length + b_length > room:
            if a_length > b_length:
                a_length -= 1
            else:
                b_length -= 1
        return a_length, b_length

    a, a_length, b, b_length = _fit_into(
        room, long.a, long.a_length, long.b, long.b_length, np.random.default_rng(0)
    )
    for i in range(len(a)):
        assert (a_length[i], b_length[i]) == slow(long.a_length[i], long.b_length[i])
        assert long.a[i] <= a[i] and a[i] + a_length[i] <= long.a[i] + long.a_length[i]
        assert long.b[i] <= b[i] and b[i] + b_length[i] <= long.b[i] + long.b_length[i]
    # Each lost token was the first or the last of its side, as a coin decided.
    for front, lost in (
        (a - long.a, long.a_length - a_length),
        (b - long.b, long.b_length - b_length),
    ):
        assert lost.sum() > 500
        assert front.sum() / lost.sum() == pytest.approx(0.5, abs=0.1)


def test_one_pair_in_ten_aims_at_a_shorter_length(tokenizer, tmp_path):
    """In documents without end, only these are shorter than they might be."""
    texts = [" ".join(["The cat sat."] * 2000) for _ in range(2)]
    made = write_tokens(load_corpus(texts), tokenizer, tmp_path)
    shorter, number = 0, 0
    for seed in range(4):
        pairs = make_pairs(made, 64, np.random.default_rng(seed))
        lengths = pairs.a_length + pairs.b_length
        assert lengths.max() == 61
        shorter, number = shorter + (lengths < 57).sum(), number + len(lengths)
    # Targets from 2 to 61 are equally likely, and a sentence has four tokens.
    assert number > 1000
    assert shorter / number == pytest.approx(0.1 * 54 / 60, abs=0.025)


def test_pair_batches_have_the_input_format(corpus, tokenizer):
    batches = PairBatches(corpus, tokenizer, Masking(), 32, 40, 0)
    lengths, next_labels = [], []
    for step in range(20):
        batch = batches(step)
        rows = torch.where(batch["labels"] == -100, batch["input_ids"], batch["labels"])
        next_labels += batch["next_sentence_label"].tolist()
        for row, types, mask in zip(
            rows.tolist(),
            batch["token_type_ids"].tolist(),
            batch["attention_mask"].tolist(),
            strict=True,
        ):
            length = sum(mask)
            lengths.append(length)
            first = row.index(tokenizer.vocab["[SEP]"])
            assert row[0] == tokenizer.vocab["[CLS]"]
            assert row[length - 1] == tokenizer.vocab["[SEP]"]
            assert row.count(tokenizer.vocab["[SEP]"]) == 2
            assert set(row[length:]) <= {tokenizer.vocab["[PAD]"]}
            assert mask == [1] * length + [0] * (len(row) - length)
            second = length - first - 1
            assert types == [0] * (first + 1) + [1] * second + [0] * (len(row) - length)
    assert max(lengths) == 40
    assert 0.3 < np.mean(next_labels) < 0.7


@pytest.mark.parametrize(("max_length", "rows", "longest"), [(64, 16, 14), (12, 8, 10)])
def test_single_sentences_are_whole_and_alone(corpus, tokenizer, max_length, rows, longest):
    """As many as have room in the sequences, and each from the corpus."""
    batches = SentenceBatches(corpus, tokenizer, Masking(), 8, max_length, 0)
    borders = corpus.sentence_starts
    known = {tuple(corpus.tokens[a:b].tolist()) for a, b in pairwise(borders)}
    cls, sep, pad = (tokenizer.vocab[name] for name in ("[CLS]", "[SEP]", "[PAD]"))
    lengths = []
    for step in range(20):
        batch = batches(step)
        assert set(batch) == {"input_ids", "labels", "attention_mask"}
        texts = torch.where(batch["labels"] == -100, batch["input_ids"], batch["labels"])
        assert len(texts) == rows
        for row, real in zip(texts.tolist(), batch["attention_mask"].tolist(), strict=True):
            first, *sentence, last = row[: sum(real)]
            assert (first, last) == (cls, sep) and sep not in sentence
            assert tuple(sentence) in known and set(row[sum(real) :]) <= {pad}
            lengths.append(len(sentence))
    assert max(lengths) == longest  # of 14 tokens in the corpus, or what fits


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (PackedBatches, {"batch_size": 0}, "batch_size must be a whole number, 1 or more, not 0"),
        (PackedBatches, {"max_length": 2}, "max_length must be a whole number, 3 or more, not 2"),
        (PairBatches, {"max_length": 4}, "max_length must be a whole number, 5 or more, not 4"),
        (PairBatches, {"seed": -1}, "seed must be a whole number, 0 or more, not -1"),
        (PairBatches, {"elsewhere": 1.5}, "elsewhere must be a number from 0 to 1, not 1.5"),
    ],
)
def test_batches_that_cannot_be_made_are_refused(corpus, tokenizer, kind, settings, message):
    usual = {"batch_size": 4, "max_length": 16, "seed": 0}
    with pytest.raises(ValueError, match=message):
        kind(corpus, tokenizer, Masking(), **{**usual, **settings})


def test_the_shortest_sequences_have_a_token_of_each_side(corpus, tokenizer):
    assert PackedBatches(corpus, tokenizer, Masking(), 4, 3, 0)(0)["input_ids"].shape == (4, 3)
    batch = PairBatches(corpus, tokenizer, Masking(), 4, 5, 0)(0)
    assert batch["attention_mask"].sum(1).tolist() == [5] * 4


def test_next_sentence_prediction_needs_two_documents(tokenizer, tmp_path):
    alone = write_tokens(load_corpus(["One cat sat. Two cats sat."]), tokenizer, tmp_path)
    with pytest.raises(ValueError, match="two documents"):
        PairBatches(alone, tokenizer, Masking(), 4, 16, 0)(0)


MEMORY = """
import ctypes
import gc
import sys
from pathlib import Path
from minibert.data.corpora import Corpus, Sentences
from minibert.data.batches import PackedBatches
from minibert.data.masking import Masking
from minibert.data.tokenized_corpora import write_tokens
from minibert.tokenizer import BertTokenizer

def anonymous():  # megabytes in use that are not a mapped file
    gc.collect()
    getattr(ctypes.CDLL(None), "malloc_trim", int)(0)  # what the allocator merely keeps is not used
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024

sentence = "Notwithstanding constitutional responsibilities, representatives disagreed. "
for number in map(int, sys.argv[2:]):
    texts = lambda: ((str(i), sentence * 1000) for i in range(number))
    corpus = Corpus("large", texts)
    tokenizer = BertTokenizer.train(Sentences(corpus), vocab_size=150)
    tokens = write_tokens(corpus, tokenizer, Path(sys.argv[1]) / str(number))
    batches = PackedBatches(tokens, tokenizer, Masking(), 64, 64, 0)
    for step in range(200):
        batches(step)
    print(anonymous(), len(tokens.tokens))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads Linux's /proc")
@pytest.mark.long
def test_a_corpus_need_not_fit_into_memory(tmp_path):
    """38 MB of text and 3.5 million tokens more leave next to nothing more in memory."""
    out = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path), "100", "600"],
        capture_output=True,
        text=True,
        env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},
    )
    assert out.returncode == 0, out.stderr
    (small, few), (large, many) = (line.split() for line in out.stdout.splitlines())
    assert int(many) == 6 * int(few) == 4_200_600
    assert float(large) - float(small) < 15
