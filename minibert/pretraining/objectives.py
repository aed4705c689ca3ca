"""What pretraining can learn. One table: an objective is an entry here, and nothing elsewhere.

An entry names the model, the batches that it learns from, and the loss. `minibert pretrain` and
`docs/make_mini.py` choose an entry by name, in `Recipe.objective`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from minibert.config import BertConfig
from minibert.data.batches import Batch, PackedBatches, PairBatches
from minibert.model import BertForPreTraining
from minibert.pretraining.diffusion import (
    DiffusionBatches,
    DiffusionObjective,
    make_diffusion_model,
)
from minibert.pretraining.mlm_and_nsp import PretrainingObjective
from minibert.training.fast import FastBertForPreTraining
from minibert.training.trainer import Objective


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
    # Any number of masked tokens, from one to all (Sahoo et al., 2024). No masking of a recipe.
    "diffusion": PretrainingTask(
        make_model=make_diffusion_model,
        make_batches=DiffusionBatches,
        make_objective=DiffusionObjective,
    ),
}
