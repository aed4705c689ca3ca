"""What bi-encoder and cross-encoder share: settings, the pairs of a step, and the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from torch import nn

from minibert.attention import BertSelfAttention
from minibert.data.batches import Batch
from minibert.model import BertModel
from minibert.settings import Count, Natural, Positive, Share, check
from minibert.training.hardware import best_device, has_bf16
from minibert.training.optimizers import adam, linear
from minibert.training.trainer import Data, Objective, Plan, Record, Trainer


@dataclass(frozen=True)
class PairTraining:
    """How an encoder is trained on pairs. Raises `ValueError` for a value that is impossible."""

    steps: Count = 500
    batch_size: Count = 64
    max_length: Count = 64
    """In tokens. A longer text is cut."""
    lr: Positive = 1e-4
    warmup: Share = 0.1
    seed: Natural = 0

    def __post_init__(self) -> None:
        check(self)


def rows_of(step: int, pairs: int, settings: PairTraining) -> np.ndarray:
    """The numbers of a step's pairs (B,). Each epoch visits every pair once, in a new order."""
    size = settings.batch_size
    epoch, number = divmod(step, pairs // size)
    order = np.random.default_rng([settings.seed, epoch]).permutation(pairs)
    return order[number * size : (number + 1) * size]


def check_pairs(pairs: int, settings: PairTraining) -> None:
    """Raise `ValueError` for fewer pairs than a batch has."""
    if pairs < settings.batch_size:
        raise ValueError(
            f"there are {pairs} pairs, too few for a batch of {settings.batch_size}: "
            "lower batch_size, or give more text"
        )


def check_length(bert: BertModel, settings: PairTraining, least: int) -> None:
    """Raise `ValueError` for a `max_length` that the model cannot read."""
    positions = bert.config.max_position_embeddings
    if not least <= settings.max_length <= positions:
        raise ValueError(f"max_length must be in {least}..{positions}, not {settings.max_length}")


def train(
    encoder: nn.Module,
    objective: Objective,
    batches: Callable[[int], Sequence[Batch]],
    out: str | Path,
    settings: PairTraining,
) -> None:
    """Train all weights of `encoder` that need a gradient. A run in `out` is resumed."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    encoder.train().to(best_device())
    plan = Plan(
        settings.steps,
        schedule=linear(settings.warmup),
        seed=settings.seed,
        bf16=has_bf16(),
        evaluate_every=None,
    )
    optimizers = [adam([p for p in encoder.parameters() if p.requires_grad], settings.lr)]
    record = Record(out, asdict(settings))
    trainer = Trainer(encoder, objective, optimizers, Data(batches), plan, record)
    trainer.resume()
    with attention_from_scratch(encoder):
        trainer.train()
    encoder.cpu().eval()


@contextmanager
def attention_from_scratch(encoder: nn.Module) -> Iterator[None]:
    """On a CPU, do not use torch's fused attention inside the block: its backward pass is slow.

    With texts of 48 tokens, a step of two layers takes a third less time. On a GPU nothing changes.
    """
    attentions = [module for module in encoder.modules() if isinstance(module, BertSelfAttention)]
    before = [attention.implementation for attention in attentions]
    try:
        for attention in attentions:
            if not attention.query.weight.is_cuda:
                attention.implementation = "eager"
        yield
    finally:
        for attention, implementation in zip(attentions, before, strict=True):
            attention.implementation = implementation
