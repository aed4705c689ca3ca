"""Masked diffusion: pretraining in which any number of tokens may be hidden, from one to all.

The forward process hides each token of a text with probability t, from t = 0 (the whole text) to
t = 1 (nothing but `[MASK]`). The model learns the way back: what a hidden token was, for every t.
Its loss is a bound on the likelihood of the text (Sahoo et al., 2024; Nie et al., 2025):

    -log p(text) <= E over n of  T / n  *  sum over n hidden tokens of  -log p(token | the rest)

where n, how many of T tokens are hidden, is as often 1 as 2 or T. The 1/n is the 1/t of the papers,
with the number in place of its expectation. Divided by T, it is the mean over hidden tokens *of
each text*, so that a text with a single hidden token counts as much as one with sixty. That mean,
and the number of hidden tokens, are all that differs from BERT's own masking.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor, nn

from minibert.config import BertConfig
from minibert.data.batches import Batch, PackedBatches
from minibert.data.masking import Masker, choose_tokens
from minibert.model import IGNORE_INDEX
from minibert.pretraining.mlm_and_nsp import PretrainingObjective
from minibert.training.fast import FastBertForPreTraining
from minibert.training.trainer import Numbers


def numbers_hidden(lengths: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How many of each text's tokens are hidden: any number from 1 to all, each as likely (B,).

    The texts share one random number, and their t stand at equal distances, so every batch has easy
    and hard texts in the same proportion: the loss varies less (Kingma et al., 2021, I.1).
    """
    t = (rng.random() + np.arange(len(lengths)) / len(lengths)) % 1  # (B,), in [0, 1)
    return np.floor(t * lengths).astype(int) + 1


class DiffusionMasker(Masker):
    """Hides any number of tokens behind `[MASK]`. `Masking` has no part in it."""

    def __call__(self, ids: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Ids (B, T) -> what the model sees (B, T), and labels (B, T), as in `Masker`."""
        candidates = ~np.isin(ids, self.never)  # (B, T)
        hidden = choose_tokens(candidates, numbers_hidden(candidates.sum(1), rng), rng)
        return np.where(hidden, self.mask_id, ids), np.where(hidden, ids, IGNORE_INDEX)


@dataclass(frozen=True)
class DiffusionBatches(PackedBatches):
    """`PackedBatches` for diffusion."""

    @cached_property
    def masker(self) -> DiffusionMasker:
        return DiffusionMasker(self.tokenizer, self.masking)


def make_diffusion_model(config: BertConfig) -> FastBertForPreTraining:
    """BERT with its MLM head, whose loss is a mean over texts."""
    model = FastBertForPreTraining(config, next_sentence=False)
    model.mean_over_texts = True
    return model


class DiffusionObjective(PretrainingObjective):
    """Its loss is the bound, in nats per token."""

    def counts(self, batch: Batch) -> Numbers:
        """As for MLM, but the loss is a mean over texts."""
        return {**super().counts(batch), "mlm_loss": len(batch["labels"])}

    def sums(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The losses of texts summed, and how many predictions were right."""
        out = model(**batch)
        return {"mlm_loss": out.mlm_loss * len(batch["labels"]), "mlm_accuracy": out.mlm_correct}
