"""The answers of a fine-tuned model to new rows, and their scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from minibert.data.features import Feature, best_span, make_features
from minibert.data.tables import Row
from minibert.finetuning.batches import batches_by_length
from minibert.finetuning.metrics import Scores, score
from minibert.finetuning.task_heads import kind_of
from minibert.heads import BertWithHead
from minibert.model import evaluating
from minibert.tokenizer import BertTokenizer

LONGEST_ANSWER = 30
"""In tokens, of an answer span."""
TARGETS = ("label", "tags", "answers")
"""The fields of a row that hold the right answer."""


@dataclass(frozen=True)
class Prediction:
    """An answer, in the form that `score` takes, and its probability."""

    answer: Any
    probability: Any
    """Of the answer; for several labels, or for tags, a list of one each; None for a number."""


def predict(
    model: BertWithHead,
    tokenizer: BertTokenizer,
    rows: Sequence[Row],
    max_length: int = 128,
    bf16: bool = False,
) -> list[Prediction]:
    """The model's answer to each row. Labels in the rows are ignored.

    `bf16` is faster on a processor that multiplies bfloat16 matrices. Now and then it changes an
    answer between two that are nearly equally probable. A regression is computed in float32
    regardless, because bfloat16 keeps only three digits of a number.
    """
    kind = kind_of(model)
    bare = [{k: v for k, v in row.items() if k not in TARGETS} for row in rows]
    max_length = min(max_length, model.config.max_position_embeddings)
    features = make_features(bare, kind, model.labels, tokenizer, max_length)
    windows: list[list[tuple[Feature, Tensor]]] = [[] for _ in rows]
    for feature, logits in zip(features, _logits(model, tokenizer, features, bf16), strict=True):
        windows[feature.row].append((feature, logits))
    if kind == "tagging":
        return [_tags(of_row, model.labels) for of_row in windows]
    if kind == "question-answering":
        return [_span(row, of_row) for row, of_row in zip(rows, windows, strict=True)]
    return [_one(kind, of_row[0][1], model.labels) for of_row in windows]


@torch.no_grad()
def _logits(
    model: BertWithHead, tokenizer: BertTokenizer, features: Sequence[Feature], bf16: bool
) -> list[Tensor]:
    """The logits of each feature; of a question (2, T), for the start and the end."""
    kind = kind_of(model)
    bf16 = bf16 and kind != "regression"
    device = next(model.parameters()).device
    outputs: list[Tensor] = [torch.empty(0)] * len(features)
    with evaluating(model), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for chosen, batch in batches_by_length(features, kind, tokenizer):
            out = model(**{name: tensor.to(device) for name, tensor in batch.items()})
            logits = (
                torch.stack([out.start_logits, out.end_logits], 1)  # (B, 2, T)
                if kind == "question-answering"
                else out.logits
            )
            for i, row in zip(chosen, logits.float().cpu(), strict=True):
                outputs[i] = row
    return outputs


def _one(kind: str, logits: Tensor, labels: tuple[str, ...]) -> Prediction:
    """The answer for one row, from its logits (C,)."""
    if kind == "regression":
        return Prediction(float(logits[0]), None)
    if kind == "multi-label":
        probabilities = dict(zip(labels, logits.sigmoid().tolist(), strict=True))
        given = {label: p for label, p in probabilities.items() if p > 0.5}
        return Prediction(list(given), list(given.values()))
    probability, number = logits.softmax(-1).max(-1)
    answer = int(number) if kind == "multiple-choice" else labels[int(number)]
    return Prediction(answer, float(probability))


def _tags(windows: list[tuple[Feature, Tensor]], labels: tuple[str, ...]) -> Prediction:
    """The tag of each word, from the logits (T, C) at its first piece."""
    found = [logits[list(feature.places)].softmax(-1).max(-1) for feature, logits in windows]
    tags = [labels[number] for _, numbers in found for number in numbers.tolist()]
    return Prediction(tags, [p for probabilities, _ in found for p in probabilities.tolist()])


def _span(row: Row, windows: list[tuple[Feature, Tensor]]) -> Prediction:
    """The best span of all windows, or no answer if `[CLS]` scores higher in every window."""
    best, text = -math.inf, ""
    null = math.inf
    for feature, (start_logits, end_logits) in windows:
        T = len(feature.offsets)
        start_logits, end_logits = start_logits[:T], end_logits[:T]
        null = min(null, float(start_logits[0] + end_logits[0]))
        allowed = torch.tensor([offset is not None for offset in feature.offsets])  # (T,)
        if not allowed.any():
            continue
        start, end, total = best_span(start_logits, end_logits, allowed, LONGEST_ANSWER)
        if total > best:
            best = total
            first, last = feature.offsets[start], feature.offsets[end]
            assert first is not None and last is not None  # they are allowed
            text = row["context"][first[0] : last[1]]
    probability = 1 / (1 + math.exp(-abs(best - null)))  # the softmax of the two sums
    return Prediction(text if best > null else "", probability)


def evaluate(
    model: BertWithHead, tokenizer: BertTokenizer, rows: Sequence[Row], max_length: int = 128
) -> Scores:
    """Every measure of the model's kind of task, on these rows."""
    answers = [p.answer for p in predict(model, tokenizer, rows, max_length)]
    return score(kind_of(model), rows, answers)
