"""A run of a recipe that is measured and not kept, for the scripts that compare recipes."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minibert.pretraining.recipes import Recipe, make_batches, make_optimizers, make_schedule
from minibert.pretraining.run_data import RunData
from minibert.pretraining.start_new import make_sampled_softmax
from minibert.training.fast import FastBertForPreTraining
from minibert.training.hardware import has_bf16
from minibert.training.history import read_history
from minibert.training.trainer import Data, Plan, Record, Trainer


@dataclass(frozen=True)
class Length:
    """How long a run takes: steps or minutes."""

    steps: int | None = None
    minutes: float | None = None


def train_briefly(
    model: FastBertForPreTraining,
    recipe: Recipe,
    data: RunData,
    length: Length,
    seed: int = 0,
    evaluate: bool = True,
) -> list[dict[str, Any]]:
    """Train a model by a recipe. Returns the history, whose last line is measured on held-out text.

    Ends the program if a signal stops it.
    """
    if recipe.sampled_softmax:
        vocab_size = model.config.vocab_size
        model.sampled_softmax = make_sampled_softmax(recipe, data.training, vocab_size)
    batches = make_batches(recipe, data.training, data.tokenizer, seed)
    plan = Plan(
        length.steps,
        length.minutes,
        make_schedule(recipe),
        seed=seed,
        bf16=recipe.bf16 and has_bf16(),
        evaluate_every=None,
        save_every=None,
    )
    with tempfile.TemporaryDirectory() as out:
        trainer = Trainer(
            model,
            recipe.task.make_objective(),
            make_optimizers(recipe, model),
            Data(lambda step: [batches(step)], data.held_out_batches() if evaluate else ()),
            plan,
            Record(Path(out)),
        )
        if not trainer.train():
            sys.exit("stopped")
        return read_history(Path(out))
