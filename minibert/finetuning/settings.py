"""How a head is trained, and which runs one call makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch

from minibert.config import BertConfig
from minibert.heads import POOLINGS
from minibert.settings import Count, Positive, PositiveShare, Share, check, one_of
from minibert.training.run_folder import Session


@dataclass(frozen=True)
class Finetuning:
    """How a head and its body are trained. Raises `ValueError` for a value that is impossible."""

    epochs: Positive = 3.0
    batch_size: Count = 32
    max_length: Count = 128
    """In tokens; a longer text is cut. The model's number of positions is the upper limit."""
    lr: Positive | None = None
    """The learning rate. None: `default_rate` of the body."""
    frozen: bool = False
    """Train only the head and its pooler."""
    layer_decay: PositiveShare = 1.0
    """Each layer's learning rate is the rate of the layer above it, times this."""
    pooling: Annotated[str, one_of(POOLINGS)] = "cls"
    """How a text becomes one vector: see `BertForSequenceClassification`."""
    warmup: Share = 0.1
    """The proportion of all steps over which the learning rate rises."""
    patience: Count = 2
    """Stop after this many epochs without a lower validation loss, and keep the best weights."""

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Runs(Session):
    """One call of `finetune`, which makes a run for each seed."""

    seeds: Sequence[int] = (0, 1, 2)

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must be different numbers, at least one, not {self.seeds}")


def default_rate(config: BertConfig) -> float:
    """The learning rate for a body of this width D: 3e-4 * (256 / D)^2, to one digit.

    Wider bodies need smaller steps. The rule joins two rates that are known to work: 3e-4 for
    `mini-sotu` (D = 256, measured in `docs/tasks.md`), and 3e-5 for BERT-base (D = 768; Devlin et
    al., 2019, A.3, chose between 2e-5 and 5e-5). In between, MiniLM (D = 384) gets 1e-4. No rate
    is above 1e-3.
    """
    return float(f"{min(1e-3, 3e-4 * (256 / config.hidden_size) ** 2):.0e}")


def body_settings(dropout: float) -> dict[str, Any]:
    """Overrides for `BertModel.from_pretrained` when the body is going to be fine-tuned.

    Dropout applies to hidden states alone. On attention weights it changed no score and took a
    fifth of a step's time. On a CPU, torch's fused attention is slow with a gradient: a step takes
    a quarter less time with the attention from scratch.
    """
    return {
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": 0.0,
        "attn_implementation": "sdpa" if torch.cuda.is_available() else "eager",
    }
