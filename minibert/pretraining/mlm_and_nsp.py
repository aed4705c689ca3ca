"""What BERT learns: masked tokens, and whether a second text follows (Devlin et al., 2019, 3.1)."""

from __future__ import annotations

from torch import Tensor, nn

from minibert.data.batches import Batch
from minibert.model import IGNORE_INDEX
from minibert.training.trainer import Numbers


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
