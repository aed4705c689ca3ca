"""Rows as heads read them: the witnesses are transformers' tokenizer and counting by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert.data.features import best_span, collate, make_features
from minibert.files import find_directory
from minibert.model import IGNORE_INDEX
from minibert.tokenizer import BertTokenizer

TOKENIZER = BertTokenizer.from_pretrained(find_directory("mini"))
FAST = TOKENIZER.to_fast()
TEXT = "The Congress of the United States must pass the budget, Mr. Speaker; unbelievably, it did."


def words_of(sequence):
    return TOKENIZER.convert_ids_to_tokens(sequence[0])


@pytest.mark.parametrize("length", [8, 16, 64])
@pytest.mark.parametrize("pair", [None, "And the people pay for it, as they always have."])
def test_texts_and_pairs_are_encoded_as_transformers_does(pair, length):
    row = {"text": TEXT, "label": "b"} | ({"text_pair": pair} if pair else {})
    (feature,) = make_features([row], "classification", ("a", "b"), TOKENIZER, length)
    want = FAST(TEXT, pair, truncation="longest_first", max_length=length)
    assert feature.sequences == [(want["input_ids"], want["token_type_ids"])]
    assert feature.target == 1


def test_the_label_of_a_word_stands_at_its_first_piece():
    words = ["The", "unbelievably", "\u200b", "budget"]
    row = {"words": words, "tags": ["D", "A", "X", "N"]}
    features = make_features([row], "tagging", ("A", "D", "N", "X"), TOKENIZER, 32)
    labels = collate(features, "tagging", TOKENIZER)["labels"][0]
    (sequence,) = features[0].sequences
    # transformers says which word a piece is of; a word of no piece is [UNK] here, and lost there.
    alignment = FAST(words[:2] + words[3:], is_split_into_words=True).word_ids()
    wanted, seen = [], None
    for word in alignment:
        first = word is not None and word != seen
        wanted.append([1, 0, 2][word] if first else IGNORE_INDEX)
        seen = word
    place = sequence[0].index(TOKENIZER.vocab["[UNK]"])
    assert labels[place] == 3
    assert labels.tolist()[:place] + labels.tolist()[place + 1 :] == wanted
    assert (labels != IGNORE_INDEX).sum() == 4


@given(st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=60), st.integers(8, 40))
@settings(deadline=None, max_examples=60)
def test_every_word_is_read_once_whatever_it_is(words, length):
    rows = [{"words": words}, {"words": ["one"]}]
    features = make_features(rows, "tagging", ("a", "b"), TOKENIZER, length)
    assert sum(len(f.places) for f in features if f.row == 0) == len(words)
    assert all(len(ids) <= length for f in features for ids, _ in f.sequences)
    assert all(
        ids[p] not in (101, 102) for f in features for ids, _ in f.sequences for p in f.places
    )


def question(answers):
    context = "In 1790, " + TEXT + " " + "Nobody knows why. " * 30 + "It was in New York then."
    found = [{"text": a, "start": context.index(a)} for a in answers]
    return {"question": "Where was it?", "context": context, "answers": found}


@pytest.mark.parametrize("answer", ["1790", "New York", "unbelievably", "States"])
def test_an_answer_is_found_again_in_a_window(answer):
    row = question([answer])
    features = make_features([row], "question-answering", (), TOKENIZER, 48)
    assert len(features) > 3
    read = {s for f in features for s in f.offsets if s is not None}
    assert read == set(TOKENIZER.encode_with_offsets(row["context"])[1])  # nothing goes unread
    with_answer = [f for f in features if f.target != (0, 0)]
    assert with_answer
    for feature in with_answer:
        start, end = feature.target
        begin, stop = feature.offsets[start][0], feature.offsets[end][1]
        assert row["context"][begin:stop] == answer
    for feature in features:
        assert len(feature.offsets) == len(feature.sequences[0][0]) <= 48
        if feature.target == (0, 0):  # the answer is not whole in it
            inside = [s for s in feature.offsets if s]
            first = row["answers"][0]["start"]
            assert not (inside[0][0] <= first and inside[-1][1] >= first + len(answer))


def test_an_answer_at_the_edge_of_a_window_is_whole_in_another():
    words = "the old house of the people and the new house of the states " * 4
    starts = [0, *(place + 1 for place, letter in enumerate(words) if letter == " ")][:-2]
    for start in starts:
        text = " ".join(words[start:].split()[:2])
        row = {"question": "Who?", "context": words, "answers": [{"text": text, "start": start}]}
        features = make_features([row], "question-answering", (), TOKENIZER, 16)
        assert any(feature.target != (0, 0) for feature in features)


def test_the_first_of_several_answers_is_the_target():
    one, both = (
        make_features([question(answers)], "question-answering", (), TOKENIZER, 48)
        for answers in (["New York"], ["New York", "1790", "States"])
    )
    assert [f.target for f in both] == [f.target for f in one]


def test_without_an_answer_the_target_is_cls():
    features = make_features([question([])], "question-answering", (), TOKENIZER, 48)
    assert {f.target for f in features} == {(0, 0)}


@pytest.mark.parametrize("length", [8, 9, 12, 30])
def test_a_question_longer_than_a_window_leaves_room_for_the_text(length):
    row = {"question": TEXT * 3, "context": TEXT, "answers": []}
    features = make_features([row], "question-answering", (), TOKENIZER, length)
    read = {s for f in features for s in f.offsets if s is not None}
    assert read == set(TOKENIZER.encode_with_offsets(TEXT)[1])


def test_choices_stand_side_by_side():
    row = {"text": "The Congress", "choices": ["met.", "of the United States met."], "label": 1}
    batch = collate(
        make_features([row, row], "multiple-choice", (), TOKENIZER, 32),
        "multiple-choice",
        TOKENIZER,
    )
    assert batch["input_ids"].shape == (2, 2, 11)  # B, C, and the longer choice
    want = FAST(["The Congress"] * 2, row["choices"], padding=True, return_tensors="pt")
    assert torch.equal(batch["input_ids"][0], want["input_ids"])
    assert torch.equal(batch["attention_mask"][0], want["attention_mask"])
    assert torch.equal(batch["token_type_ids"][0], want["token_type_ids"])
    assert batch["labels"].tolist() == [1, 1]


def test_several_labels_and_numbers():
    rows = [{"text": "a", "label": ["x", "z"]}, {"text": "b", "label": []}]
    features = make_features(rows, "multi-label", ("x", "y", "z"), TOKENIZER, 8)
    labels = collate(features, "multi-label", TOKENIZER)["labels"]
    assert labels.tolist() == [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    features = make_features([{"text": "a", "label": 1.5}], "regression", (), TOKENIZER, 8)
    assert collate(features, "regression", TOKENIZER)["labels"].tolist() == [1.5]
    unlabelled = make_features([{"text": "a"}], "regression", (), TOKENIZER, 8)
    assert "labels" not in collate(unlabelled, "regression", TOKENIZER)


def test_the_best_span_is_the_best_of_all_that_may_be():
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        start, end = torch.randn(2, 9, generator=generator)
        allowed = torch.rand(9, generator=generator) > 0.3
        allowed[4] = True
        one_by_one = max(
            (float(start[i] + end[j]), i, j)
            for i in range(9)
            for j in range(i, min(9, i + 3))
            if allowed[i] and allowed[j]
        )
        i, j, sure = best_span(start, end, allowed, longest=3)
        assert (sure, i, j) == pytest.approx(one_by_one)


def test_too_short_a_window_is_refused():
    with pytest.raises(ValueError, match="max_length 7 leaves no room for text"):
        make_features([{"text": "a"}], "classification", ("a", "b"), TOKENIZER, 7)
