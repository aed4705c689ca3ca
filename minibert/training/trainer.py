"""The one training loop. It knows nothing of BERT: a model, an objective, batches by number.

A run is a function of its seed. The batch of a step and its dropout depend on (seed, step) alone,
so a checkpoint is the weights, the optimisers' state and a few numbers, and a run that is resumed
goes on bitwise as if it had never stopped (same threads, same machine, same torch).

With many processes (`processes.py`) each has the whole model and a part of every batch. They take
the same step, from the loss over all parts.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import math
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from minibert.files import read_json, read_text, sha256, to_disk
from minibert.training.optimizers import Schedule
from minibert.training.processes import (
    is_main,
    main_first,
    no_sync,
    part_of,
    rank,
    replicate,
    sum_over_ranks,
    whole,
    world_size,
)

Batch = dict[str, Tensor]
Numbers = dict[str, float]

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h
CHECKPOINT_FILES = ("model.safetensors", "optimizers.pt", "state.json")
CHECKPOINTS_KEPT = 2
SECONDS_BETWEEN_SAVES = 60.0
"""At most, where the steps between saves take longer."""


class Objective(Protocol):
    """What is to be learned, as sums over things that can be counted.

    The loss of a step is, over all its batches together, the sum of `sums[name] / counts[name]`
    over every name that ends in `_loss`; the other names are metrics. Sums add up where means do
    not: batches with more masked tokens must weigh more.
    """

    def counts(self, batch: Batch) -> Numbers:
        """How many things each sum below is over, and the `tokens` that the model will see."""
        ...

    def sums(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Loss terms (with a gradient) and metrics, summed over the batch, each ()."""
        ...


@dataclass(frozen=True)
class Plan:
    """How long to train, and what to do on the way. Give `steps` or `minutes`.

    `evaluate_every` None: at the end alone. `save_every` None: never.
    """

    steps: int | None = None
    minutes: float | None = None
    clip_norm: float = 1.0
    bf16: bool = False
    log_every: int = 50
    evaluate_every: int | None = 500
    save_every: int | None = 500

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("give either steps or minutes")
        for name in ("steps", "minutes", "log_every", "evaluate_every", "save_every"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be a number above 0, not {value}")


class Trainer:
    """Trains `model` in the folder `out`, which exists: `out/checkpoints/`, `out/history.jsonl`.

    `batches(step)` gives the batches of a step, more than one where gradients are accumulated, and
    with many processes those of this one;
    `held_out` is what is evaluated on. `settings` is kept in every checkpoint, and a run with other
    settings cannot resume from it. `watch` is called with each line of the history, `after_step`
    with the number of steps that are done.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        optimizers: Sequence[torch.optim.Optimizer],
        schedule: Schedule,
        batches: Callable[[int], Sequence[Batch]],
        plan: Plan,
        out: Path,
        seed: int = 0,
        held_out: Sequence[Batch] = (),
        settings: dict[str, Any] | None = None,
        watch: Callable[[dict[str, Any]], None] | None = None,
        after_step: Callable[[int], None] | None = None,
    ) -> None:
        self.model = model
        self.replica = replicate(model)
        self.objective = objective
        self.optimizers = list(optimizers)
        self.schedule = schedule
        self.batches = batches
        self.plan = plan
        self.out = Path(out)
        self.seed = seed
        self.held_out = held_out
        self.settings = settings or {}
        self.watch = watch
        self.after_step = after_step
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
        """Train to the end of the plan. Returns whether it came there: signals and `stop` end it.

        Ctrl-C (SIGINT) and SIGTERM finish the step, save, and return. Raises `FloatingPointError`
        for a loss or gradient that is not finite, and keeps the last checkpoint.
        """
        self._stopping.clear()
        keep_freed_memory()
        with _stop_signals(self._stopping), self._progress_bar() as bar:
            started = time.monotonic() - self.seconds
            while (done := self._share_done()) < 1.0 and not self._stopping.is_set():
                self._train_step(done)
                self._look_at_clock(started)
                is_last = self._share_done() >= 1.0
                if is_last or self._is_due(self.plan.log_every):
                    self._log(bar)
                if self.held_out and (is_last or self._is_due(self.plan.evaluate_every)):
                    self._write_history({"held_out": self.evaluate()})
                    self._look_at_clock(started)
                if self.after_step is not None:
                    self.after_step(self.step)
                if self._is_due(self.plan.save_every) or self._is_long_since_saved():
                    self.save()
                self._advance(bar)
        if self.plan.save_every is not None:
            self.save()
        return self._share_done() >= 1.0

    def stop(self) -> None:
        """Finish this step, save, and return from `train`."""
        self._stopping.set()

    def _look_at_clock(self, started: float) -> None:
        """The main process has the clock, and a signal to one process stops them all."""
        seconds = time.monotonic() - started if is_main() else 0.0
        told = sum_over_ranks({"seconds": seconds, "stopping": self._stopping.is_set()})
        self.seconds = told["seconds"]
        if told["stopping"]:
            self._stopping.set()

    def _train_step(self, done: float) -> None:
        """One update, from all batches of this step."""
        torch.manual_seed(_mix(self.seed, self.step, rank()))
        self.model.train()
        rate = self.schedule(done)
        for optimizer, rates in zip(self.optimizers, self.base_rates, strict=True):
            for group, base in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = base * rate
            optimizer.zero_grad(set_to_none=True)
        batches = self.batches(self.step)
        counts: Numbers = {}
        for batch in batches:
            _add(counts, self.objective.counts(batch))
        counts = sum_over_ranks(counts)
        sums: Numbers = {}
        for number, batch in enumerate(batches, start=1):
            # Processes bring their gradients together once a step, with its last batch.
            with nullcontext() if number == len(batches) else no_sync(self.replica):
                of_batch = self._sums(self.replica, batch)
                part = sum(value / max(1, counts[name]) for name, value in _losses(of_batch))
                # The mean over processes is taken, where the sum is wanted.
                (part * world_size()).backward()
            _add(sums, {name: value.item() for name, value in of_batch.items()})
        sums = sum_over_ranks(sums)
        loss = self._means(sums, counts)["loss"]
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.plan.clip_norm)
        norm = whole(norm).item()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise FloatingPointError(self._not_finite(loss, norm))
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        _add(self.window["sums"], sums)
        _add(self.window["counts"], counts)

    def _sums(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        batch = {name: tensor.to(self.device) for name, tensor in batch.items()}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.plan.bf16):
            return self.objective.sums(model, batch)

    @torch.no_grad()
    def evaluate(self) -> Numbers:
        """Every loss term and metric as a mean over `held_out`, and `loss`; alike everywhere."""
        self.model.eval()
        sums: Numbers = {}
        counts: Numbers = {}
        for batch in self.held_out:
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
        return self.seconds / (60 * self.plan.minutes)

    def _is_due(self, every: int | None) -> bool:
        return every is not None and self.step % every == 0

    def _is_long_since_saved(self) -> bool:
        late = self.seconds - self.saved_at > SECONDS_BETWEEN_SAVES
        return self.plan.save_every is not None and late

    def _not_finite(self, loss: float, norm: float) -> str:
        what = f"the loss is {loss}" if not math.isfinite(loss) else f"the gradient norm is {norm}"
        return f"{what} at step {self.step}: stopped; {self._kept()}. Try a lower learning rate"

    # Progress and history

    def _progress_bar(self) -> tqdm:
        in_steps = self.plan.steps is not None
        return tqdm(
            total=self.plan.steps if in_steps else round(60 * self.plan.minutes),
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
        file = self.out / "history.jsonl"
        try:
            with file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
        except OSError as error:
            raise OSError(f"cannot write to {file}: {error}; {self._kept()}") from error
        if self.watch is not None:
            self.watch(line)

    # Checkpoints

    def _checkpoints(self) -> list[Path]:
        return sorted((self.out / "checkpoints").glob("step-*"))

    def _kept(self) -> str:
        """What a run that stops on an error leaves."""
        saved = self._checkpoints()
        return f"the last good checkpoint is {saved[-1]}" if saved else "nothing was saved yet"

    def save(self) -> Path:
        """Write a checkpoint; whatever happens meanwhile, there is a whole one on the disk.

        The main process does; where each has a part of every weight, the others hand it theirs.

        It is written beside the others under another name, with checksums, brought to the disk,
        and only then given its name, in one move.
        """
        final = self.out / "checkpoints" / f"step-{self.step:09d}"
        if self.saved_step == self.step:
            return final
        self.saved_step, self.saved_at = self.step, self.seconds
        weights = whole(dict(self.model.named_parameters()))  # a tied one is there once
        states = whole([optimizer.state_dict() for optimizer in self.optimizers])
        if final.exists() or not is_main():
            return final  # there already: the same step of the same run
        temporary = final.with_name(f"writing-{self.step:09d}")
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            save_file(weights, temporary / "model.safetensors")
            torch.save(states, temporary / "optimizers.pt")
            state = {
                "step": self.step,
                "seconds": self.seconds,
                "window": self.window,
                "settings": self.settings,
            }
            (temporary / "state.json").write_text(json.dumps(state), encoding="utf-8")
            sums = {name: sha256(temporary / name) for name in CHECKPOINT_FILES}
            (temporary / "sha256.json").write_text(json.dumps(sums), encoding="utf-8")
            for path in (*temporary.iterdir(), temporary, *self.out.glob("history.jsonl")):
                to_disk(path)
            temporary.rename(final)
            to_disk(final.parent)
        except Exception as error:  # safetensors has an error of its own for a full disk
            shutil.rmtree(temporary, ignore_errors=True)
            raise OSError(f"cannot save {final}: {error}; {self._kept()}") from error
        for old in self._checkpoints()[:-CHECKPOINTS_KEPT]:
            shutil.rmtree(old)
        return final

    def resume(self) -> str | None:
        """Go on from the newest whole checkpoint. Returns a warning if a newer one was damaged.

        Without any checkpoint the run starts at its beginning. Raises `ValueError` for a run with
        other settings (all differences are listed), and where no checkpoint is whole.
        """
        with main_first():
            directory, warning = self._newest_whole_checkpoint()
        if directory is not None:
            self._load(directory)
        self._cut_history()
        return warning

    def _newest_whole_checkpoint(self) -> tuple[Path | None, str | None]:
        """None where there is none; and a warning if newer ones are damaged, put aside now."""
        for unfinished in (self.out / "checkpoints").glob("writing-*"):
            shutil.rmtree(unfinished)
        damaged: dict[Path, str] = {}
        for directory in reversed(self._checkpoints()):
            if problem := _damage(directory):
                damaged[directory] = f"{directory.name} is damaged ({problem})"
                continue
            for other in damaged:  # its step will be saved again
                aside = other.with_name(other.name.replace("step", "damaged"))
                shutil.rmtree(aside, ignore_errors=True)
                other.rename(aside)
            if damaged:
                problems = "; ".join(damaged.values())
                return directory, f"{problems}: going on from {directory.name}, which is whole"
            return directory, None
        if damaged:
            problems = "; ".join(damaged.values())
            raise ValueError(f"no checkpoint in {self.out} is whole: {problems}")
        return None, None

    def _load(self, directory: Path) -> None:
        state = json.loads((directory / "state.json").read_text(encoding="utf-8"))
        check_settings(self.out, state["settings"], self.settings)
        weights = load_file(directory / "model.safetensors")
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(part_of(weights[name].to(self.device), parameter))
        states = torch.load(directory / "optimizers.pt", weights_only=True)
        for optimizer, optimizer_state in zip(self.optimizers, states, strict=True):
            optimizer.load_state_dict(optimizer_state)
            for parameter, of_parameter in optimizer.state.items():
                for name, value in of_parameter.items():
                    of_parameter[name] = part_of(value, parameter)
        self.step, self.seconds = state["step"], state["seconds"]
        self.saved_step, self.saved_at = self.step, self.seconds
        self.window = state["window"]

    def _cut_history(self) -> None:
        """Drop the lines of steps that will be done again, and half a line at the end."""
        if not is_main():
            return
        file = self.out / "history.jsonl"
        kept = [
            json.dumps(line) + "\n" for line in read_history(self.out) if line["step"] <= self.step
        ]
        temporary = file.with_name("history.writing")
        temporary.write_text("".join(kept), encoding="utf-8")
        temporary.replace(file)


def read_history(out: Path) -> list[dict[str, Any]]:
    """The lines of a run's `history.jsonl`: training means, and `held_out` where evaluated.

    Empty where nothing was written yet. Half a line at its end, of a run that was killed, is left
    out. Raises `ValueError` for any other line that is not JSON.
    """
    file = Path(out) / "history.jsonl"
    history: list[dict[str, Any]] = []
    if not file.exists():
        return history
    for number, line in enumerate(read_text(file).splitlines(keepends=True), start=1):
        if not line.endswith("\n"):
            break
        try:
            history.append(json.loads(line))
        except json.JSONDecodeError:
            raise ValueError(f"{file}, line {number}, is not JSON: remove that line") from None
    return history


def _losses(named: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in named.items() if name.endswith("_loss")]


def _new_window(since: float) -> dict[str, Any]:
    """What is gathered between two lines of history; `since` in seconds of training."""
    return {"sums": {}, "counts": {}, "since": since}


def _add(total: Numbers, more: Numbers) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0) + value


def _mix(seed: int, step: int, rank: int) -> int:
    """One number of 63 bits from three, far apart for neighbouring steps."""
    of_rank = f" {rank}" if rank else ""
    digest = hashlib.sha256(f"{seed} {step}{of_rank}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def _damage(directory: Path) -> str | None:
    """What is wrong with a checkpoint's files, or None."""
    try:
        sums = read_json(directory / "sha256.json")
        for name in CHECKPOINT_FILES:
            if sha256(directory / name) != sums.get(name):
                return f"{name} does not match its checksum"
    except (OSError, ValueError) as error:
        return str(error)
    return None


def check_settings(out: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raise a `ValueError` that lists what differs between a run's settings and the wanted ones."""
    if differences := _differences(old, new):
        raise ValueError(f"{out} was begun with other settings: {'; '.join(differences)}")


def _differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    differences = []
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name), new.get(name)
        if isinstance(was, dict) and isinstance(now, dict):
            differences += _differences(was, now, f"{prefix}{name}.")
        elif was != now:
            differences.append(f"{prefix}{name} was {was!r}, now {now!r}")
    return differences


def keep_freed_memory() -> None:
    """Let this process use freed memory again, which Linux's C library hands back otherwise.

    A step frees tensors as large as those that the next one needs, and each page that was handed
    back would have to be asked for, and zeroed by the kernel, anew.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        mallopt(M_MMAP_MAX, 0)  # no tensor gets pages of its own, which would go with it
        mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)


@contextmanager
def _stop_signals(stop: threading.Event) -> Iterator[None]:
    """SIGINT or SIGTERM sets the event. A second Ctrl-C stops at once, as it always does."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return

    def handler(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, before[number])

    before = {s: signal.signal(s, handler) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
