"""One run: a head and its body trained on labelled rows, and the best weights kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from minibert.data.batches import Batch
from minibert.data.features import Feature, make_features
from minibert.data.splits import TaskData
from minibert.data.tables import Row
from minibert.files import write_whole
from minibert.finetuning.batches import ShuffledBatches, batches_by_length, validation_sample
from minibert.finetuning.settings import Finetuning, default_rate
from minibert.finetuning.task_heads import make_head
from minibert.heads import BertWithHead
from minibert.model import IGNORE_INDEX, BertModel
from minibert.tokenizer import BertTokenizer
from minibert.training.hardware import best_device, has_bf16
from minibert.training.history import read_history
from minibert.training.optimizers import adam, linear
from minibert.training.trainer import Data, Numbers, Plan, Record, Trainer

Watch = Callable[[dict[str, Any]], None]
LOG_EVERY = 5
"""In steps. The estimate of the whole time comes from the first line of the history."""
BEST = "best.safetensors"


class HeadTraining:
    """Fine-tuning a copy of `bert` in the folder `out`; an interrupted run is resumed there."""

    def __init__(
        self,
        bert: BertModel,
        tokenizer: BertTokenizer,
        data: TaskData,
        out: str | Path,
        settings: Finetuning = Finetuning(),
        seed: int = 0,
    ) -> None:
        self.tokenizer, self.data, self.out = tokenizer, data, Path(out)
        self.settings, self.seed = settings, seed
        self.lr = settings.lr or default_rate(bert.config)
        self.model = make_head(bert, data, settings, seed)
        self.units = StandardUnits.of(data)
        self.batches = ShuffledBatches(
            self._features(data.train), data.kind, tokenizer, settings.batch_size, seed
        )
        self.steps = max(1, round(settings.epochs * self.batches.steps_per_epoch))
        self.stopping = EarlyStopping(settings.patience)

    def train(self, watch: Watch | None = None) -> BertWithHead | None:
        """The model at its lowest validation loss, in eval mode; None if a signal interrupted it.

        That loss is measured on the `validation_sample` after each epoch and at the end. `watch`
        is called with each line of the history, to which the number of `steps` is added.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        self.model.to(best_device())
        trainer = self._trainer(lambda line: self._look(line, trainer, watch))
        trainer.resume()
        for line in read_history(self.out):
            if "held_out" in line:
                self.stopping.is_best(line["held_out"]["loss"])
        if not self.stopping.is_over() and not trainer.train() and not self.stopping.is_over():
            return None
        load_model(self.model, str(self.out / BEST))
        self.units.fold(self.model)
        return self.model.cpu().eval()

    def _features(self, rows: Sequence[Row]) -> list[Feature]:
        length = min(self.settings.max_length, self.model.config.max_position_embeddings)
        rows = self.units.rows(rows)
        return make_features(rows, self.data.kind, self.data.labels, self.tokenizer, length)

    def _trainer(self, watch: Watch | None = None) -> Trainer:
        plan = Plan(
            self.steps,
            schedule=linear(self.settings.warmup),
            seed=self.seed,
            bf16=has_bf16(),
            log_every=LOG_EVERY,
            evaluate_every=self.batches.steps_per_epoch,
            save_every=self.steps,  # and once a minute
        )
        kind, task = self.data.kind, self.data.name
        features = self._features(validation_sample(self.data))
        held_out = [batch for _, batch in batches_by_length(features, kind, self.tokenizer)]
        settings = {**asdict(self.settings), "lr": self.lr, "task": task, "seed": self.seed}
        return Trainer(
            self.model,
            TaskObjective(kind),
            optimizers_by_layer(self.model, self.lr, self.settings.layer_decay),
            Data(self.batches, held_out),
            plan,
            Record(self.out, settings, watch),
        )

    def _look(self, line: dict[str, Any], trainer: Trainer, watch: Watch | None) -> None:
        """Keep the best weights, and stop early, by the validation loss in this line."""
        if "held_out" in line:
            loss = line["held_out"]["loss"]
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"the validation loss at step {line['step']} is not finite: try a lower "
                    f"learning rate than {self.lr:g}"
                )
            if self.stopping.is_best(loss):
                write_whole(self.out / BEST, lambda writing: save_model(self.model, str(writing)))
            if self.stopping.is_over():
                trainer.stop()
        if watch is not None:
            watch({**line, "steps": self.steps})


def lowest_loss(out: Path) -> float:
    """The lowest validation loss of a run."""
    return min(line["held_out"]["loss"] for line in read_history(out) if "held_out" in line)


def optimizers_by_layer(
    model: BertWithHead, lr: float, layer_decay: float
) -> list[torch.optim.Optimizer]:
    """AdamW for each layer, with a rate that falls from the head down to the embeddings.

    Lower layers hold what all texts have in common, so they need to change less (Howard and Ruder,
    2018).
    """
    layers = list(model.bert.encoder.layers)
    below = [list(part.parameters()) for part in (model.bert.embeddings, *layers)]  # lowest first
    inside = {id(p) for part in below for p in part}
    parts = [*below, [p for p in model.parameters() if id(p) not in inside]]
    learning = [[p for p in part if p.requires_grad] for part in parts]
    highest = len(parts) - 1
    return [
        adam(part, lr * layer_decay ** (highest - depth))
        for depth, part in enumerate(learning)
        if part
    ]


@dataclass(frozen=True)
class TaskObjective:
    """The head's own loss, summed over rows; for tagging, over tagged words."""

    kind: str

    def counts(self, batch: Batch) -> Numbers:
        """Rows or tagged words; `tokens` without padding."""
        number = len(batch["input_ids"])
        if self.kind == "tagging":
            number = int((batch["labels"] != IGNORE_INDEX).sum())
        return {"tokens": int(batch["attention_mask"].sum()), "task_loss": number}

    def sums(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The head's mean loss as a sum."""
        return {"task_loss": model(**batch).loss * self.counts(batch)["task_loss"]}


@dataclass(frozen=True)
class StandardUnits:
    """Regression targets minus their mean, divided by their standard deviation.

    A head starts near 0 and moves in small steps, so it would need thousands of them to reach 1900.
    """

    mean: float = 0.0
    deviation: float = 1.0

    @classmethod
    def of(cls, data: TaskData) -> StandardUnits:
        """From the training rows of a regression. Other kinds keep their targets."""
        if data.kind != "regression":
            return cls()
        numbers = np.array([row["label"] for row in data.train], dtype=float)
        return cls(float(numbers.mean()), float(numbers.std()) or 1.0)

    def rows(self, rows: Sequence[Row]) -> list[Row]:
        """Rows with their targets in these units."""
        if self == StandardUnits():
            return list(rows)
        return [{**row, "label": (row["label"] - self.mean) / self.deviation} for row in rows]

    @torch.no_grad()
    def fold(self, model: Any) -> None:
        """Change the head so that it answers in the original units: its last layer is linear."""
        if self != StandardUnits():
            model.classifier.weight.mul_(self.deviation)
            model.classifier.bias.mul_(self.deviation).add_(self.mean)


class EarlyStopping:
    """Finds the lowest validation loss, and says stop after `patience` higher ones in a row."""

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.best = math.inf
        self.worse = 0

    def is_best(self, loss: float) -> bool:
        """Whether this validation loss is the lowest so far."""
        better = loss < self.best
        self.best, self.worse = (loss, 0) if better else (self.best, self.worse + 1)
        return better

    def is_over(self) -> bool:
        """Whether the last `patience` evaluations brought no improvement."""
        return self.worse >= self.patience
