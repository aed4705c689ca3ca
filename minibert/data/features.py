"""Labelled rows as a head reads them, in ids and targets, and the best span of its scores.

`labelled_rows.py` describes the fields of a row. A text longer than `max_length` is cut if it has a
single answer. If every place may have an answer (a tag, a span), the text is read in several
windows, so no word is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minibert.data.batches import Batch
from minibert.data.tables import Row
from minibert.model import IGNORE_INDEX
from minibert.tokenizer import PAD, UNK, BertTokenizer

QUESTION_SHARE = 2
"""A question takes at most half of a window, and the rest of it is cut off."""
STRIDE_SHARE = 2
"""Windows over a long text overlap by half, so an answer at an edge is whole in the next window."""


@dataclass(frozen=True)
class Feature:
    """One sequence for the model (for multiple choice, one per choice), and its row."""

    row: int
    sequences: list[tuple[list[int], list[int]]]
    """Ids and segments. Only multiple choice has several."""
    target: Any = None
    """The source of `labels`. For a question it is (start, end), both inclusive."""
    places: tuple[int, ...] = ()
    """Tagging: the token at which each word of this window begins."""
    offsets: tuple[tuple[int, int] | None, ...] = ()
    """Question answering: the characters of the context that each token covers."""


def make_features(
    rows: Sequence[Row], kind: str, labels: Sequence[str], tokenizer: BertTokenizer, max_length: int
) -> list[Feature]:
    """Rows of one kind as features, in order. A row without a target gives features without one.

    Raises `ValueError` if `max_length` leaves no room for text.
    """
    if max_length < 8:
        raise ValueError(f"max_length {max_length} leaves no room for text: take 8 or more")
    numbers = {label: number for number, label in enumerate(labels)}
    if kind == "tagging":
        return _tagging(rows, numbers, tokenizer, max_length)
    if kind == "question-answering":
        return _question_answering(rows, tokenizer, max_length)
    if kind == "multiple-choice":
        return _multiple_choice(rows, tokenizer, max_length)
    texts = tokenizer.encode_batch([row["text"] for row in rows])
    pairs: list[list[int]] | list[None] = [None] * len(rows)
    if rows and "text_pair" in rows[0]:
        pairs = tokenizer.encode_batch([row["text_pair"] for row in rows])
    features = []
    for number, (row, text, pair) in enumerate(zip(rows, texts, pairs, strict=True)):
        target = row.get("label")
        if target is not None and kind == "classification":
            target = numbers[target]
        elif target is not None and kind == "multi-label":
            target = [float(label in target) for label in labels]
        features.append(Feature(number, [tokenizer.join(text, pair, max_length)], target))
    return features


def _tagging(
    rows: Sequence[Row], numbers: dict[str, int], tokenizer: BertTokenizer, max_length: int
) -> list[Feature]:
    """Windows of whole words, each word in one window. Its first piece has the label."""
    unknown = tokenizer.vocab[UNK]
    features = []
    for number, row in enumerate(rows):
        pieces = [ids or [unknown] for ids in tokenizer.encode_batch(row["words"])]
        tags = [numbers[tag] for tag in row["tags"]] if "tags" in row else None
        start = 0
        while start < len(pieces):
            ids: list[int] = []
            places: list[int] = []
            for word in pieces[start:]:
                word = word[: max_length - 2]  # cut a word that is longer than a window
                if len(ids) + len(word) > max_length - 2:
                    break
                places.append(len(ids) + 1)  # after [CLS]
                ids += word
            end = start + len(places)
            features.append(
                Feature(
                    number,
                    [tokenizer.join(ids, None, max_length)],
                    None if tags is None else tags[start:end],
                    tuple(places),
                )
            )
            start = end
    return features


def _question_answering(
    rows: Sequence[Row], tokenizer: BertTokenizer, max_length: int
) -> list[Feature]:
    """Windows over the context, each after the question. `[CLS]` is the target without an answer.

    The first of several answers is the target (all of them count in the score).
    """
    features = []
    for number, row in enumerate(rows):
        (question,) = tokenizer.encode_batch([row["question"]])
        question = question[: (max_length - 3) // QUESTION_SHARE]
        context, spans = tokenizer.encode_with_offsets(row["context"])
        room = max_length - 3 - len(question)
        step = max(1, room - room // STRIDE_SHARE)
        for start in range(0, max(1, len(context) - room + step), step):
            ids, segments = tokenizer.join(question, context[start : start + room], max_length)
            before = len(question) + 2  # [CLS] question [SEP]
            window = spans[start : start + room]
            offsets = (*[None] * before, *window, None)
            target = None
            if "answers" in row:
                target = _answer_tokens(row["answers"], window, before)
            features.append(Feature(number, [(ids, segments)], target, offsets=offsets))
    return features


def _answer_tokens(
    answers: Sequence[dict[str, Any]], window: Sequence[tuple[int, int]], before: int
) -> tuple[int, int]:
    """First and last token of the first answer, or (0, 0) if the window lacks a part of it."""
    if not answers or not window:
        return 0, 0
    first, last = answers[0]["start"], answers[0]["start"] + len(answers[0]["text"])
    inside = [i for i, (start, end) in enumerate(window) if start < last and end > first]
    if not inside or window[inside[0]][0] > first or window[inside[-1]][1] < last:
        return 0, 0
    return before + inside[0], before + inside[-1]


def _multiple_choice(
    rows: Sequence[Row], tokenizer: BertTokenizer, max_length: int
) -> list[Feature]:
    features = []
    for number, row in enumerate(rows):
        text, *choices = tokenizer.encode_batch([row["text"], *row["choices"]])
        sequences = [tokenizer.join(text, choice, max_length) for choice in choices]
        features.append(Feature(number, sequences, row.get("label")))
    return features


def collate(features: Sequence[Feature], kind: str, tokenizer: BertTokenizer) -> Batch:
    """Features as a batch: (B, T), or (B, C, T) for multiple choice, padded to the longest.

    If all have targets, the batch has `labels`, or `start_positions` and `end_positions`.
    """
    longest = max(len(ids) for feature in features for ids, _ in feature.sequences)
    most = max(len(feature.sequences) for feature in features)
    shape = (len(features), most, longest)  # (B, C, T)
    ids = np.full(shape, tokenizer.vocab[PAD])
    segments, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for b, feature in enumerate(features):
        for c, (row_ids, row_segments) in enumerate(feature.sequences):
            ids[b, c, : len(row_ids)] = row_ids
            segments[b, c, : len(row_ids)] = row_segments
            mask[b, c, : len(row_ids)] = 1
    arrays = {"input_ids": ids, "token_type_ids": segments, "attention_mask": mask}
    if kind != "multiple-choice":
        arrays = {name: array[:, 0] for name, array in arrays.items()}  # (B, T)
    batch = {name: torch.from_numpy(array) for name, array in arrays.items()}
    if any(feature.target is None for feature in features):
        return batch
    return {**batch, **_targets(features, kind, longest)}


def _targets(features: Sequence[Feature], kind: str, longest: int) -> Batch:
    targets = [feature.target for feature in features]
    if kind == "question-answering":
        starts, ends = zip(*targets, strict=True)
        return {"start_positions": torch.tensor(starts), "end_positions": torch.tensor(ends)}
    if kind == "tagging":
        labels = torch.full((len(features), longest), IGNORE_INDEX)  # (B, T)
        for row, feature in zip(labels, features, strict=True):
            row[list(feature.places)] = torch.tensor(feature.target)
        return {"labels": labels}
    dtype = torch.float if kind in ("regression", "multi-label") else torch.long
    return {"labels": torch.tensor(targets, dtype=dtype)}


# From logits back to words


def best_span(
    start_logits: Tensor, end_logits: Tensor, allowed: Tensor, longest: int
) -> tuple[int, int, float]:
    """The span of at most `longest` tokens with the highest sum of both logits.

    All are (T,). `allowed` is True for tokens of the context. Returns start, end and the sum.
    """
    T = len(start_logits)
    sums = start_logits[:, None] + end_logits[None, :]  # (T, T): from, to
    ordered = torch.ones(T, T).tril(longest - 1).triu().bool()
    possible = ordered & allowed[:, None] & allowed[None, :]
    sums = sums.masked_fill(~possible, -torch.inf)
    best = int(sums.argmax())
    return best // T, best % T, float(sums.flatten()[best])
