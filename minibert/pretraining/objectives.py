"""What pretraining can learn. One table: an objective is an entry here, and nothing elsewhere.

An entry names the model, the batches that it learns from, and the loss. `minibert pretrain` and
`docs/make_mini.py` choose an entry by name, in `Recipe.objective`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from minibert.config import BertConfig
from minibert.data.batches import Batch, PackedBatches, PairBatches
from minibert.data.masking import Masking
from minibert.data.tokenized_corpora import AnyCorpus
from minibert.model import IGNORE_INDEX, BertForPreTraining
from minibert.tokenizer import BertTokenizer
from minibert.training.fast import FastBertForPreTraining
from minibert.training.trainer import Numbers, Objective


@dataclass(frozen=True)
class BatchSettings:
    """What every kind of batch is made by."""

    masking: Masking
    batch_size: int
    max_length: int
    seed: int
    elsewhere: float = 0.0
    """For sentence pairs: of the random second sentences, the share from the same document."""


@dataclass(frozen=True)
class PretrainingTask:
    """An objective with everything that depends on it."""

    make_model: Callable[[BertConfig], BertForPreTraining]
    """A new model with the heads that this objective trains."""
    make_batches: Callable[[AnyCorpus, BertTokenizer, BatchSettings], Callable[[int], Batch]]
    """Batches by step. Raises `ValueError` for a corpus that it cannot make batches of."""
    make_objective: Callable[[], Objective]
    metric: str = "mlm_accuracy"
    """The metric of the held-out text that `minibert info` shows ..."""
    metric_says: str = "of masked tokens right"
    """... and what it is a share of."""


class PretrainingObjective:
    """MLM over masked tokens and, if the batch has its labels, NSP over pairs."""

    def counts(self, batch: Batch) -> Numbers:
        """Masked tokens and pairs; `tokens` without padding."""
        masked = int((batch["labels"] != IGNORE_INDEX).sum())
        mask = batch.get("attention_mask")
        tokens = batch["input_ids"].numel() if mask is None else int(mask.sum())
        counts: Numbers = {"tokens": tokens, "mlm_loss": masked, "mlm_accuracy": masked}
        if "next_sentence_label" in batch:
            pairs = len(batch["next_sentence_label"])
            counts |= {"nsp_loss": pairs, "nsp_accuracy": pairs}
        return counts

    def sums(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Summed losses, and how many predictions were right."""
        out = model(**batch)
        masked = (batch["labels"] != IGNORE_INDEX).sum()
        sums = {"mlm_loss": out.mlm_loss * masked, "mlm_accuracy": out.mlm_correct}
        if "next_sentence_label" in batch:
            labels = batch["next_sentence_label"]  # (B,)
            sums["nsp_loss"] = out.next_sentence_loss * len(labels)
            sums["nsp_accuracy"] = (out.seq_relationship_logits.argmax(-1) == labels).sum()
        return sums


def _packed(corpus: AnyCorpus, tokenizer: BertTokenizer, by: BatchSettings) -> PackedBatches:
    return PackedBatches(corpus, tokenizer, by.masking, by.batch_size, by.max_length, by.seed)


def _pairs(corpus: AnyCorpus, tokenizer: BertTokenizer, by: BatchSettings) -> PairBatches:
    return PairBatches(
        corpus, tokenizer, by.masking, by.batch_size, by.max_length, by.seed, by.elsewhere
    )


OBJECTIVES: dict[str, PretrainingTask] = {
    # Masked tokens alone, in packed sequences without padding (Liu et al., 2019).
    "mlm": PretrainingTask(
        make_model=lambda config: FastBertForPreTraining(config, next_sentence=False),
        make_batches=_packed,
        make_objective=PretrainingObjective,
    ),
    # Masked tokens and next sentences, in sentence pairs (Devlin et al., 2019).
    "mlm+nsp": PretrainingTask(
        make_model=FastBertForPreTraining,
        make_batches=_pairs,
        make_objective=PretrainingObjective,
    ),
}
