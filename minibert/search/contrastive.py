"""Contrastive training: a query's vector moves towards its passage and away from all others.

The loss is InfoNCE (van den Oord et al., 2018): a softmax over the passages of the batch, in which
each query has to find its own. So every other passage of the batch is a negative for free
(Karpukhin et al., 2020, 3.2), and a larger batch is a harder task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minibert.attention import mean_of_real_tokens
from minibert.data.batches import Batch
from minibert.model import BertModel
from minibert.search.pairs import TextPair
from minibert.search.training import PairTraining, check_length, check_pairs, rows_of, train
from minibert.settings import Positive
from minibert.tokenizer import CLS, PAD, SEP, BertTokenizer
from minibert.training.trainer import Numbers


@dataclass(frozen=True)
class Contrastive(PairTraining):
    """How sentence vectors are trained. `max_length` holds for queries and for passages."""

    temperature: Positive = 0.05
    """Cosines are divided by it. The lower it is, the more the nearest wrong passages count."""


class SentenceEncoder(nn.Module):
    """BERT, and the mean of a text's last states at length 1: a dot product is a cosine."""

    def __init__(self, bert: BertModel) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Ids and their mask (B, T) -> vectors (B, D)."""
        states = self.bert(input_ids, attention_mask).last_hidden_state  # (B, T, D)
        return F.normalize(mean_of_real_tokens(states, attention_mask).float(), dim=-1)


def info_nce(queries: Tensor, passages: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Vectors (B, D) and (N, D) -> the summed loss () and how many queries find their passage ().

    Passage b belongs to query b. If N is larger than B, the passages after the first B are more
    negatives, such as passages that a weaker search confuses with the right ones.
    """
    scores = queries @ passages.T / temperature  # (B, N)
    own = torch.arange(len(queries), device=scores.device)  # (B,)
    return F.cross_entropy(scores, own, reduction="sum"), (scores.argmax(1) == own).sum()


class ContrastiveObjective:
    """InfoNCE over the pairs of a batch."""

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature

    def counts(self, batch: Batch) -> Numbers:
        """Pairs, and `tokens` without padding."""
        pairs = len(batch["query_ids"])
        tokens = int(batch["query_mask"].sum() + batch["passage_mask"].sum())
        return {"tokens": tokens, "contrastive_loss": pairs, "found": pairs}

    def sums(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The loss, and how many queries are nearest to their own passage."""
        queries = model(batch["query_ids"], batch["query_mask"])  # (B, D)
        passages = model(batch["passage_ids"], batch["passage_mask"])  # (N, D)
        loss, found = info_nce(queries, passages, self.temperature)
        return {"contrastive_loss": loss, "found": found}


class ContrastiveBatches:
    """The batch of each step. Each epoch visits every pair once, in a new order.

    `negatives[i]`, if given, is a wrong passage that looks right for pair i. Raises `ValueError`
    for fewer pairs than a batch has.
    """

    def __init__(
        self,
        pairs: Sequence[TextPair],
        tokenizer: BertTokenizer,
        settings: Contrastive,
        negatives: Sequence[str] | None = None,
    ) -> None:
        check_pairs(len(pairs), settings)
        self.tokenizer, self.settings = tokenizer, settings
        self.queries = tokenizer.encode_batch([pair.query for pair in pairs])
        self.passages = tokenizer.encode_batch([pair.passage for pair in pairs])
        self.negatives = None if negatives is None else tokenizer.encode_batch(list(negatives))

    def __call__(self, step: int) -> list[Batch]:
        """One batch: `query_ids`, `query_mask` (B, T) and `passage_ids`, `passage_mask` (N, T)."""
        rows = rows_of(step, len(self.queries), self.settings)
        passages = [self.passages[row] for row in rows]
        if self.negatives is not None:
            passages += [self.negatives[row] for row in rows]
        query_ids, query_mask = self._padded([self.queries[row] for row in rows])
        passage_ids, passage_mask = self._padded(passages)
        return [
            {
                "query_ids": query_ids,
                "query_mask": query_mask,
                "passage_ids": passage_ids,
                "passage_mask": passage_mask,
            }
        ]

    def _padded(self, texts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """`[CLS] text [SEP]`, padded to the longest: ids and their mask, (B, T)."""
        cls, sep, pad = (self.tokenizer.vocab[token] for token in (CLS, SEP, PAD))
        inner = self.settings.max_length - 2
        rows = [torch.tensor([cls, *ids[:inner], sep]) for ids in texts]
        lengths = torch.tensor([len(row) for row in rows])  # (B,)
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)  # (B, T)
        return ids, (torch.arange(ids.shape[1]) < lengths[:, None]).long()


def train_sentence_vectors(
    bert: BertModel,
    tokenizer: BertTokenizer,
    pairs: Sequence[TextPair],
    out: str | Path,
    settings: Contrastive = Contrastive(),
    negatives: Sequence[str] | None = None,
) -> BertModel:
    """Train `bert` itself on pairs, in the folder `out`, and return it in eval mode.

    An interrupted run is resumed there. `sentence_vectors(bert, ..., normalize=True)` then gives
    the trained vectors. Raises `ValueError` as `ContrastiveBatches` does, and for a `max_length`
    that the model cannot read.
    """
    check_length(bert, settings, least=3)
    batches = ContrastiveBatches(pairs, tokenizer, settings, negatives)
    encoder = SentenceEncoder(bert)
    train(encoder, ContrastiveObjective(settings.temperature), batches, out, settings)
    return encoder.bert
