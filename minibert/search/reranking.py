"""A cross-encoder: BERT reads query and passage together, and scores how well they fit.

It starts from the NSP head, which was trained on the same question: does B follow A? The words of a
query can attend to those of the passage, so a cross-encoder sees more than two vectors can tell it
(Nogueira and Cho, 2019). But it must read each pair anew. So it only reranks the best passages of a
faster search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minibert.data.batches import Batch
from minibert.model import BertForPreTraining, evaluating
from minibert.search.pairs import TextPair
from minibert.search.training import PairTraining, check_length, check_pairs, rows_of, train
from minibert.settings import Count
from minibert.tokenizer import BertTokenizer
from minibert.training.trainer import Numbers

BATCH_SIZE = 32


@dataclass(frozen=True)
class Reranking(PairTraining):
    """How a cross-encoder is trained. `max_length` is that of query and passage together."""

    steps: Count = 300
    batch_size: Count = 16
    """Queries. Each is read twice: with its own passage, and with a wrong one."""
    max_length: Count = 128
    """In tokens. The longer of query and passage is cut."""


class CrossEncoder(nn.Module):
    """BERT and its NSP head: the logit of "is next", minus the logit of "is random"."""

    def __init__(self, model: BertForPreTraining) -> None:
        super().__init__()
        if model.nsp_head is None:
            raise ValueError("the model has no NSP head, which a cross-encoder needs")
        self.bert, self.nsp_head = model.bert, model.nsp_head

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Ids of pairs (B, T) -> scores (B,)."""
        pooled = self.bert(input_ids, attention_mask, token_type_ids).pooler_output  # (B, D)
        logits = self.nsp_head(pooled)  # (B, 2)
        return logits[:, 0] - logits[:, 1]


@torch.no_grad()
def pair_scores(
    model: BertForPreTraining,
    tokenizer: BertTokenizer,
    pairs: Sequence[tuple[str, str]],
    max_length: int = 128,
) -> np.ndarray:
    """How well each query and passage fit (N,), by `CrossEncoder`."""
    encoder = CrossEncoder(model)
    scores = []
    with evaluating(encoder):
        for start in range(0, len(pairs), BATCH_SIZE):
            batch = _batch(tokenizer, pairs[start : start + BATCH_SIZE], max_length)
            device = next(model.parameters()).device
            scores.append(encoder(**{k: v.to(device) for k, v in batch.items()}).float().cpu())
    return torch.cat(scores).numpy() if scores else np.empty(0, np.float32)


def rerank(scores: np.ndarray, best: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Scores (Q, N) with new scores (Q, k) for the passages `best` (Q, k), above all others."""
    raised = new - new.min(1, keepdims=True) + scores.max(1, keepdims=True) + 1
    result = scores.astype(float)
    np.put_along_axis(result, best, raised, 1)
    return result


def _batch(tokenizer: BertTokenizer, pairs: Sequence[tuple[str, str]], max_length: int) -> Batch:
    """`[CLS] query [SEP] passage [SEP]`, with its mask and segments, each (B, T)."""
    queries, passages = map(list, zip(*pairs, strict=True))
    return tokenizer(queries, passages, max_length, return_tensors="pt")


class RerankingObjective:
    """A softmax over a query's own passage and a wrong one: InfoNCE with one negative."""

    def counts(self, batch: Batch) -> Numbers:
        """Queries, and `tokens` without padding."""
        queries = len(batch["input_ids"]) // 2
        tokens = int(batch["attention_mask"].sum())
        return {"tokens": tokens, "reranking_loss": queries, "right": queries}

    def sums(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The loss, and how many own passages have the higher score."""
        own, wrong = model(**batch).float().chunk(2)  # (B,) each
        return {"reranking_loss": F.softplus(wrong - own).sum(), "right": (own > wrong).sum()}


class RerankingBatches:
    """The batch of each step: pairs with their own passages, then the same with wrong passages.

    Each epoch visits every pair once, in a new order. Raises `ValueError` for fewer pairs than a
    batch has, or another number of negatives.
    """

    def __init__(
        self,
        pairs: Sequence[TextPair],
        negatives: Sequence[str],
        tokenizer: BertTokenizer,
        settings: Reranking,
    ) -> None:
        if len(pairs) != len(negatives):
            raise ValueError(f"there are {len(pairs)} pairs and {len(negatives)} negatives")
        check_pairs(len(pairs), settings)
        self.pairs, self.negatives = pairs, negatives
        self.tokenizer, self.settings = tokenizer, settings

    def __call__(self, step: int) -> list[Batch]:
        """`input_ids`, `attention_mask` and `token_type_ids`, each (2 B, T)."""
        rows = rows_of(step, len(self.pairs), self.settings)
        own = [(self.pairs[row].query, self.pairs[row].passage) for row in rows]
        wrong = [(self.pairs[row].query, self.negatives[row]) for row in rows]
        return [_batch(self.tokenizer, own + wrong, self.settings.max_length)]


def train_reranker(
    model: BertForPreTraining,
    tokenizer: BertTokenizer,
    pairs: Sequence[TextPair],
    negatives: Sequence[str],
    out: str | Path,
    settings: Reranking = Reranking(),
) -> BertForPreTraining:
    """Train `model` itself to prefer each pair's passage to its negative; return it in eval mode.

    `out` is the folder of the run. An interrupted run is resumed there. Raises `ValueError` as
    `RerankingBatches` does, for a model without an NSP head, and for a `max_length` that the model
    cannot read.
    """
    check_length(model.bert, settings, least=5)
    batches = RerankingBatches(pairs, negatives, tokenizer, settings)
    train(CrossEncoder(model), RerankingObjective(), batches, out, settings)
    return model.cpu().eval()
