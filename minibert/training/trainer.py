"""The training loop. It knows nothing of BERT, only a model, an objective, batches by number.

A run is a function of its seed. The batch of a step and its dropout depend on (seed, step) alone.
So a checkpoint is the weights, the optimizers' state and a few numbers, and a resumed run is
bitwise the run that never stopped (same threads, same machine, same torch).

With many processes (`processes.py`) each has the whole model and a part of every batch. They take
the same step, from the loss over all parts.
"""

from __future__ import annotations

import hashlib
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from minibert.settings import Count, Natural, Positive, check
from minibert.training.checkpoints import Checkpoints, Progress, load_optimizers, load_weights
from minibert.training.hardware import keep_freed_memory, return_freed_memory
from minibert.training.history import HISTORY, append_line, cut_history
from minibert.training.optimizers import Schedule, constant
from minibert.training.processes import (
    full_state,
    is_main,
    main_first,
    no_sync,
    rank,
    replicate,
    sum_over_ranks,
    world_size,
)
from minibert.training.run_folder import check_same

Batch = dict[str, Tensor]
Numbers = dict[str, float]

MAX_GRADIENT_NORM = 1.0
"""Longer gradients are scaled down to this norm (Devlin et al., 2019, in their code)."""
SECONDS_BETWEEN_SAVES = 60.0
"""At most, if the steps between saves take longer."""


class Objective(Protocol):
    """What is to be learned, as sums over things that can be counted.

    The loss of a step is, over all its batches together, the sum of `sums[name] / counts[name]`
    over every name that ends in `_loss`. All remaining names are metrics. Objectives give sums and
    not means, because a batch with more masked tokens must weigh more.
    """

    def counts(self, batch: Batch) -> Numbers:
        """How many things each sum below is over, and the `tokens` that the model will see."""
        ...

    def sums(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Loss terms (with a gradient) and metrics, summed over the batch, each ()."""
        ...


@dataclass(frozen=True)
class Data:
    """Batches to learn from, and batches to measure on."""

    batches: Callable[[int], Sequence[Batch]]
    """The batches of a step. They are several if gradients are accumulated. Among many processes
    they are this process's own."""
    held_out: Sequence[Batch] = ()


@dataclass(frozen=True)
class Plan:
    """How long to train, how fast, and what to do on the way. Give `steps` or `minutes`."""

    steps: Count | None = None
    minutes: Positive | None = None
    schedule: Schedule = constant
    seed: Natural = 0
    bf16: bool = False
    log_every: Count = 50
    evaluate_every: Count | None = 500
    """None: at the end alone."""
    save_every: Count | None = 500
    """None: never."""

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("give either steps or minutes")
        check(self)


@dataclass(frozen=True)
class Record:
    """Where a run is kept, and what is called on the way."""

    out: Path
    """A folder that exists: it gets `checkpoints/` and `history.jsonl`."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Kept in every checkpoint. A run with other settings cannot resume from it."""
    watch: Callable[[dict[str, Any]], None] | None = None
    """Called with each line of the history."""
    after_step: Callable[[int], None] | None = None
    """Called with the number of steps done."""


class Trainer:
    """Trains `model`, and can stop and resume."""

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        optimizers: Sequence[torch.optim.Optimizer],
        data: Data,
        plan: Plan,
        record: Record,
    ) -> None:
        self.model = model
        self.replica = replicate(model)
        self.objective = objective
        self.optimizers = list(optimizers)
        self.data = data
        self.plan = plan
        self.record = record
        self.out = Path(record.out)
        self.checkpoints = Checkpoints(self.out)
        self.device = next(model.parameters()).device
        self.step = 0
        self.seconds = 0.0
        self.saved_step: int | None = None
        self.saved_at = 0.0  # in seconds of training
        self.window = _new_window(0.0)
        self._stopping = threading.Event()
        self.base_rates = [[g["lr"] for g in o.param_groups] for o in self.optimizers]

    # The loop

    def train(self) -> bool:
        """Train to the end of the plan. Returns False if a signal or `stop` ended it earlier.

        Ctrl-C (SIGINT) and SIGTERM finish the step, save, and return. Raises `FloatingPointError`
        for a loss or gradient that is not finite, and keeps the last checkpoint.
        """
        self._stopping.clear()
        keep_freed_memory()
        try:
            with _stop_signals(self._stopping), self._progress_bar() as bar:
                self._loop(bar)
            if self.plan.save_every is not None:
                self.save()
        finally:
            return_freed_memory()
        return self._share_done() >= 1.0

    def stop(self) -> None:
        """Finish this step, save, and return from `train`."""
        self._stopping.set()

    def _loop(self, bar: tqdm) -> None:
        started = time.monotonic() - self.seconds
        while (done := self._share_done()) < 1.0 and not self._stopping.is_set():
            self._train_step(done)
            self._look_at_clock(started)
            is_last = self._share_done() >= 1.0
            if is_last or self._is_due(self.plan.log_every):
                self._log(bar)
            if self.data.held_out and (is_last or self._is_due(self.plan.evaluate_every)):
                self._write_history({"held_out": self.evaluate()})
                self._look_at_clock(started)
            if self.record.after_step is not None:
                self.record.after_step(self.step)
            if self._is_due(self.plan.save_every) or self._is_long_since_saved():
                self.save()
            self._advance(bar)

    def _look_at_clock(self, started: float) -> None:
        """The main process has the clock, and a signal to one process stops them all."""
        seconds = time.monotonic() - started if is_main() else 0.0
        total = sum_over_ranks({"seconds": seconds, "stopping": self._stopping.is_set()})
        self.seconds = total["seconds"]
        if total["stopping"]:
            self._stopping.set()

    def _train_step(self, done: float) -> None:
        """One update, from all batches of this step."""
        torch.manual_seed(_mix(self.plan.seed, self.step, rank()))
        self.model.train()
        rate = self.plan.schedule(done)
        for optimizer, rates in zip(self.optimizers, self.base_rates, strict=True):
            for group, base in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = base * rate
            optimizer.zero_grad(set_to_none=True)
        batches = self.data.batches(self.step)
        counts: Numbers = {}
        for batch in batches:
            _add(counts, self.objective.counts(batch))
        counts = sum_over_ranks(counts)
        sums: Numbers = {}
        for number, batch in enumerate(batches, start=1):
            # Processes exchange their gradients once a step, with its last batch.
            with nullcontext() if number == len(batches) else no_sync(self.replica):
                of_batch = self._sums(self.replica, batch)
                part = sum(value / max(1, counts[name]) for name, value in _losses(of_batch))
                # Gradients will be averaged over the processes, but their sum is wanted.
                (part * world_size()).backward()
            _add(sums, {name: value.item() for name, value in of_batch.items()})
        sums = sum_over_ranks(sums)
        self._check_finite(self._means(sums, counts)["loss"])
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        _add(self.window["sums"], sums)
        _add(self.window["counts"], counts)

    def _check_finite(self, loss: float) -> None:
        """Clip the gradients, and raise if they or the loss are not finite."""
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), MAX_GRADIENT_NORM)
        norm = full_state(norm).item()
        if math.isfinite(loss) and math.isfinite(norm):
            return
        what = f"the loss is {loss}" if not math.isfinite(loss) else f"the gradient norm is {norm}"
        raise FloatingPointError(
            f"{what} at step {self.step}: stopped; {self.checkpoints.kept()}. Try a lower learning "
            "rate"
        )

    def _sums(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        batch = {name: tensor.to(self.device) for name, tensor in batch.items()}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.plan.bf16):
            return self.objective.sums(model, batch)

    @torch.no_grad()
    def evaluate(self) -> Numbers:
        """The mean of every loss term and metric over the held-out batches, and `loss`.

        The same on every rank.
        """
        self.model.eval()
        sums: Numbers = {}
        counts: Numbers = {}
        for batch in self.data.held_out:
            _add(counts, self.objective.counts(batch))
            of_batch = self._sums(self.model, batch)
            _add(sums, {name: value.item() for name, value in of_batch.items()})
        return self._means(sums, counts)

    def _means(self, sums: Numbers, counts: Numbers) -> Numbers:
        means = {name: value / max(1, counts[name]) for name, value in sums.items()}
        return {"loss": sum(value for _, value in _losses(means)), **means}

    def _share_done(self) -> float:
        if self.plan.steps is not None:
            return self.step / self.plan.steps
        return self.seconds / (60 * (self.plan.minutes or math.inf))

    def _is_due(self, every: int | None) -> bool:
        return every is not None and self.step % every == 0

    def _is_long_since_saved(self) -> bool:
        late = self.seconds - self.saved_at > SECONDS_BETWEEN_SAVES
        return self.plan.save_every is not None and late

    # Progress and history

    def _progress_bar(self) -> tqdm:
        in_steps = self.plan.steps is not None
        return tqdm(
            total=self.plan.steps if in_steps else round(60 * (self.plan.minutes or 0)),
            initial=self.step if in_steps else int(self.seconds),
            unit="step" if in_steps else "s",
            bar_format="{percentage:3.0f}% |{bar:20}| {n_fmt}/{total_fmt} {unit}, "
            "{remaining} left{postfix}",
            dynamic_ncols=True,
            mininterval=1.0,
            smoothing=0.0,  # the average since the start: a pause to evaluate is no slowing down
            file=sys.stderr,
            disable=not is_main(),
        )

    def _advance(self, bar: tqdm) -> None:
        now = self.step if self.plan.steps is not None else self.seconds
        bar.update(min(int(now), bar.total) - bar.n)

    def _log(self, bar: tqdm) -> None:
        counts = self.window["counts"]
        means = self._means(self.window["sums"], counts)
        speed = counts["tokens"] / max(self.seconds - self.window["since"], 1e-9)
        self._write_history({**means, "tokens_per_second": round(speed)})
        accuracy = [f"{n} {v:.1%}" for n, v in means.items() if n.endswith("accuracy")]
        bar.set_postfix_str(
            ", ".join([f"loss {means['loss']:.3f}", *accuracy, f"{speed / 1000:.1f}k tokens/s"])
        )
        self.window = _new_window(self.seconds)

    def _write_history(self, numbers: dict[str, Any]) -> None:
        if not is_main():
            return
        line = {"step": self.step, "seconds": round(self.seconds, 3), **numbers}
        try:
            append_line(self.out, line)
        except OSError as error:
            file = self.out / HISTORY
            raise OSError(f"cannot write to {file}: {error}; {self.checkpoints.kept()}") from error
        if self.record.watch is not None:
            self.record.watch(line)

    # Checkpoints

    def save(self) -> Path:
        """Write a checkpoint. The main process does, from all processes' parts of the weights."""
        final = self.checkpoints.path(self.step)
        if self.saved_step == self.step:
            return final
        self.saved_step, self.saved_at = self.step, self.seconds
        weights = full_state(dict(self.model.named_parameters()))  # a tied weight is there once
        states = full_state([optimizer.state_dict() for optimizer in self.optimizers])
        if is_main() and not final.exists():  # there already: the same step of the same run
            progress = Progress(self.step, self.seconds, self.window, self.record.settings)
            self.checkpoints.write(weights, states, progress)
        return final

    def resume(self) -> str | None:
        """Continue from the newest whole checkpoint. Returns a warning if a newer one is damaged.

        Without a checkpoint the run starts at its beginning. Raises `ValueError` for a run with
        other settings (all differences are listed), and if no checkpoint is whole.
        """
        with main_first():
            directory, warning = self.checkpoints.newest_whole()
        if directory is not None:
            self._load(directory)
        if is_main():
            cut_history(self.out, self.step)
        return warning

    def _load(self, directory: Path) -> None:
        progress = Progress.read(directory)
        check_same(self.out, progress.settings, self.record.settings)
        if self.plan.steps is not None and progress.step > self.plan.steps:
            raise ValueError(
                f"{directory} is of step {progress.step}, and this run has {self.plan.steps} steps"
            )
        load_weights(directory, self.model)
        load_optimizers(directory, self.optimizers)
        self.step, self.seconds = progress.step, progress.seconds
        self.saved_step, self.saved_at = self.step, self.seconds
        self.window = progress.window


def _losses(named: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in named.items() if name.endswith("_loss")]


def _new_window(since: float) -> dict[str, Any]:
    """What is gathered between two lines of history; `since` in seconds of training."""
    return {"sums": {}, "counts": {}, "since": since}


def _add(total: Numbers, more: Numbers) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0) + value


def _mix(seed: int, step: int, rank: int) -> int:
    """A number of 63 bits from three, far apart for neighbouring steps."""
    of_rank = f" {rank}" if rank else ""
    digest = hashlib.sha256(f"{seed} {step}{of_rank}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


@contextmanager
def _stop_signals(stop: threading.Event) -> Iterator[None]:
    """SIGINT or SIGTERM sets the event. A second Ctrl-C interrupts as usual."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return

    def handler(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    before = {s: signal.signal(s, handler) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
