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
from minibert.model import IGNORE_INDEX, BertForPreTraining
from minibert.training.fast import FastBertForPreTraining
from minibert.training.trainer import Numbers, Objective


@dataclass(frozen=True)
class PretrainingTask:
    """An objective with everything that depends on it."""

    make_model: Callable[[BertConfig], BertForPreTraining]
    """A new model with the heads that this objective trains."""
    make_batches: Callable[..., Callable[[int], Batch]]
    """Batches by step. Takes what `PackedBatches` takes, and raises `ValueError` for a corpus that
    it cannot make batches of."""
    make_objective: Callable[[], Objective]
    metric: str = "mlm_accuracy"
    """The metric of the held-out text that `minibert info` shows."""
    metric_says: str = "of masked tokens right"
    """What that metric is a share of."""


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


OBJECTIVES: dict[str, PretrainingTask] = {
    # Masked tokens alone, in packed sequences without padding (Liu et al., 2019).
    "mlm": PretrainingTask(
        make_model=lambda config: FastBertForPreTraining(config, next_sentence=False),
        make_batches=PackedBatches,
        make_objective=PretrainingObjective,
    ),
    # Masked tokens and next sentences, in sentence pairs (Devlin et al., 2019).
    "mlm+nsp": PretrainingTask(
        make_model=FastBertForPreTraining,
        make_batches=PairBatches,
        make_objective=PretrainingObjective,
    ),
}
