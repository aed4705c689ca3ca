"""How a BERT is pretrained: recipes, and what they make of a model and a corpus."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import torch
from torch import nn

from minibert.data.batches import Batch, SentenceBatches
from minibert.data.masking import Masking
from minibert.data.streaming import StreamedBatches, StreamedCorpus, TrainingCorpus
from minibert.data.tokenized_corpora import AnyCorpus
from minibert.pretraining.objectives import OBJECTIVES, PretrainingTask
from minibert.settings import Count, Dropout, NotNegative, Positive, Share, at_least, check, one_of
from minibert.tokenizer import BertTokenizer
from minibert.training.hardware import has_bf16
from minibert.training.optimizers import Schedule, adam, linear, muon, warmup_stable_decay
from minibert.training.trainer import Plan


@dataclass(frozen=True)
class Recipe:
    """How a BERT is pretrained. Its architecture is in the config."""

    optimizer: Annotated[str, one_of(("adam", "adamw", "muon"))]
    """`adam`: without bias correction, as the original; `adamw`: with it; `muon`: Muon + AdamW."""
    lr: Positive
    schedule: Annotated[str, one_of(("linear", "wsd"))]
    """`linear` as the original, or `wsd`: warm-up, stable, decay."""
    warmup: Share
    """The share of training in which the learning rate rises."""
    masking: Masking
    objective: Annotated[str, one_of(OBJECTIVES)]
    """A name in `OBJECTIVES`."""
    dropout: Dropout | None
    """None: as in the config of the given weights."""
    batch_size: Count
    max_length: Annotated[int, at_least(8)]
    init: Annotated[str, one_of(("random", "cooccurrence", "neighbours", "given"))]
    """Where weights start. `random`: the MLM bias at 0. `cooccurrence`: the token matrix from
    counts, the bias from the log of each token's frequency. `neighbours`: the same, and the first
    layer attends to the tokens left and right. `given`: everything from existing weights."""
    bf16: bool
    """Matrix products in bfloat16, if the processor has it."""
    attention: Annotated[str, one_of(("sdpa", "eager"))] = "sdpa"
    """The config's `attn_implementation` while training. On a CPU ours is faster for short
    sequences: torch's built-in saves memory, but its backward pass is slow."""
    positions: Annotated[str, one_of(("random", "sinusoidal"))] = "random"
    """Where the position matrix starts: `random`, or `sinusoidal`."""
    matrix_lr: NotNegative = 0.0
    """Muon's learning rate."""
    ns_steps: Count = 5
    """Iterations with which Muon orthogonalises an update. 3 are faster, and train as well."""
    decay: Share = 0.0
    """The share of training in which `wsd` falls."""
    sampled_softmax: bool = False
    """Score masked tokens against a part of the vocabulary, drawn anew in each step."""
    elsewhere: Share = 0.0
    """In sentence pairs: of the random second sentences, the share from the same document."""
    sentences: Share = 0.0
    """The share of steps that train on single sentences instead, without NSP."""

    def __post_init__(self) -> None:
        check(self)
        if self.optimizer == "muon" and not self.matrix_lr:
            raise ValueError("matrix_lr must be above 0: it is Muon's learning rate")
        if self.schedule == "wsd" and not 0 < self.decay <= 1 - self.warmup + 1e-9:
            raise ValueError(
                f"decay must be above 0 and fit beside a warmup of {self.warmup}, not {self.decay}"
            )

        if self.sentences and self.objective == "diffusion":  # it masks in its own way
            raise ValueError(f"sentences go with masked tokens, not with {self.objective}")

    @property
    def task(self) -> PretrainingTask:
        """The entry of `OBJECTIVES`."""
        return OBJECTIVES[self.objective]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """From the recipe in a `run.json`, which an earlier minibert may have written."""
        values = dict(values)
        if "next_sentence" in values:  # what was an objective's name before there were several
            values["objective"] = "mlm+nsp" if values.pop("next_sentence") else "mlm"
        return cls(**{**values, "masking": Masking(**values["masking"])})


_ORIGINAL = Recipe(
    optimizer="adam",
    lr=1e-3,
    schedule="linear",
    warmup=0.1,
    masking=Masking(),
    objective="mlm+nsp",
    dropout=0.1,
    batch_size=32,
    max_length=64,
    init="random",
    bf16=False,
)
_FAST = Recipe(
    optimizer="muon",
    lr=3e-3,
    matrix_lr=0.02,
    schedule="wsd",
    warmup=0.02,
    decay=0.5,
    masking=Masking(probability=0.3),
    objective="mlm",
    dropout=0.0,
    batch_size=64,
    max_length=64,
    init="cooccurrence",
    positions="sinusoidal",
    bf16=True,
    attention="eager",
)
RECIPES = {
    "original": _ORIGINAL,
    "fast": _FAST,
    "speedrun": replace(
        _FAST,
        masking=Masking(probability=0.4, mask=1.0, random=0.0),
        init="neighbours",
        positions="random",
        sampled_softmax=True,
        ns_steps=3,
    ),
    "continue": replace(
        _ORIGINAL,
        optimizer="adamw",
        lr=3e-4,
        objective="mlm",
        dropout=None,
        init="given",
        bf16=True,
        attention="eager",
    ),
}
"""`continue` starts from the weights of another BERT, the others from nothing."""


def make_optimizers(recipe: Recipe, model: nn.Module) -> list[torch.optim.Optimizer]:
    """The optimizers of the recipe."""
    if recipe.optimizer == "muon":
        return muon(model, recipe.lr, recipe.matrix_lr, ns_steps=recipe.ns_steps)
    return [adam(model.parameters(), recipe.lr, bias_correction=recipe.optimizer == "adamw")]


def make_schedule(recipe: Recipe) -> Schedule:
    """The schedule of the recipe."""
    if recipe.schedule == "linear":
        return linear(recipe.warmup)
    return warmup_stable_decay(recipe.warmup, recipe.decay)


def make_plan(recipe: Recipe, steps: int | None, minutes: float | None, seed: int) -> Plan:
    """The recipe's schedule over `steps` or `minutes`, in bfloat16 if the machine supports it."""
    bf16 = recipe.bf16 and has_bf16()
    return Plan(steps, minutes, make_schedule(recipe), seed=seed, bf16=bf16)


def make_batches(
    recipe: Recipe, corpus: TrainingCorpus, tokenizer: BertTokenizer, seed: int
) -> Callable[[int], Batch]:
    """Batches by step."""

    def make(corpus: AnyCorpus, seed: int) -> Callable[[int], Batch]:
        what = corpus, tokenizer, recipe.masking, recipe.batch_size, recipe.max_length, seed
        batches = recipe.task.make_batches(*what, recipe.elsewhere)
        if not recipe.sentences:
            return batches
        alone = SentenceBatches(*what)

        def either(step: int) -> Batch:
            is_alone = np.random.default_rng([seed, step, 5]).random() < recipe.sentences
            return (alone if is_alone else batches)(step)

        return either

    if isinstance(corpus, StreamedCorpus):
        return StreamedBatches(corpus, make, recipe.batch_size * recipe.max_length, seed)
    return make(corpus, seed)
