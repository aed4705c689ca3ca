"""Checkpoints: never half written, and checked before they are loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from minibert.files import read_json, sha256, to_disk
from minibert.settings import Natural, NotNegative, check
from minibert.training.optimizers import STATE_NAMES
from minibert.training.processes import part_of

WEIGHTS, OPTIMIZERS, STATE = "model.safetensors", "optimizers.pt", "state.json"
CHECKSUMS = "sha256.json"
CHECKPOINTS_KEPT = 2

Optimizers = Sequence[torch.optim.Optimizer]


@dataclass(frozen=True)
class Progress:
    """How far a run has come, as in `state.json`."""

    step: Natural
    seconds: NotNegative
    window: dict[str, Any]
    """Sums and counts since the last line of the history, and the second when they began."""
    settings: dict[str, Any]

    def __post_init__(self) -> None:
        check(self)
        sums, counts, since = (self.window.get(name) for name in ("sums", "counts", "since"))
        groups = [g.values() if isinstance(g, dict) else [None] for g in (sums, counts)]
        if not all(type(v) in (int, float) for v in (since, *groups[0], *groups[1])):
            raise ValueError("window must hold sums and counts by name, and since")

    @classmethod
    def read(cls, directory: Path) -> Progress:
        """From the checkpoint in this folder. Raises `ValueError` for anything else."""
        file = directory / STATE
        try:
            progress = cls(**read_json(file))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{file} is not the state of a run: {error}") from None
        if progress.step != _step_of(directory):
            raise ValueError(f"{file} says step {progress.step}, its folder {directory.name}")
        return progress


class Checkpoints:
    """The checkpoints of the run in `out`: folders `checkpoints/step-000001234`."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.folder = out / "checkpoints"

    def all(self) -> list[Path]:
        """From the oldest to the newest."""
        return sorted((p for p in self.folder.glob("step-*") if _step_of(p) >= 0), key=_step_of)

    def path(self, step: int) -> Path:
        """Where the checkpoint of a step is, or would be."""
        return self.folder / f"step-{step:09d}"

    def kept(self) -> str:
        """Which checkpoint a failed run leaves, for its error message."""
        saved = self.all()
        return f"the last good checkpoint is {saved[-1]}" if saved else "nothing was saved yet"

    def write(self, weights: dict[str, Tensor], states: list[Any], progress: Progress) -> None:
        """Write a checkpoint. If the process is killed meanwhile, the earlier ones are still whole.

        The checkpoint is written under a temporary name, with checksums, and synced to the disk.
        Then it is renamed.
        """
        final = self.path(progress.step)
        temporary = final.with_name(f"writing-{progress.step:09d}")
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            save_file(weights, temporary / WEIGHTS)
            torch.save(states, temporary / OPTIMIZERS)
            (temporary / STATE).write_text(json.dumps(asdict(progress)), encoding="utf-8")
            sums = {name: sha256(temporary / name) for name in (WEIGHTS, OPTIMIZERS, STATE)}
            (temporary / CHECKSUMS).write_text(json.dumps(sums), encoding="utf-8")
            for path in (*temporary.iterdir(), temporary, *self.out.glob("history.jsonl")):
                to_disk(path)
            temporary.rename(final)
            to_disk(final.parent)
        except Exception as error:  # a full disk is an error of safetensors, and no OSError
            shutil.rmtree(temporary, ignore_errors=True)
            raise OSError(f"cannot save {final}: {error}; {self.kept()}") from error
        for old in self.all()[:-CHECKPOINTS_KEPT]:
            shutil.rmtree(old)

    def newest_whole(self) -> tuple[Path | None, str | None]:
        """The checkpoint to resume from, and a warning if newer ones are damaged.

        Damaged checkpoints are renamed to `damaged-...`. None if there is no checkpoint. Raises
        `ValueError` if none is whole.
        """
        for unfinished in self.folder.glob("writing-*"):
            shutil.rmtree(unfinished)
        damaged: dict[Path, str] = {}
        for directory in reversed(self.all()):
            if problem := _damage(directory):
                damaged[directory] = f"{directory.name} is damaged ({problem})"
                continue
            for other in damaged:  # its step will be saved again
                aside = other.with_name(other.name.replace("step", "damaged"))
                shutil.rmtree(aside, ignore_errors=True)
                other.rename(aside)
            if damaged:
                problems = "; ".join(damaged.values())
                return directory, f"{problems}; continuing from {directory.name}, which is whole"
            return directory, None
        if damaged:
            problems = "; ".join(damaged.values())
            raise ValueError(f"no checkpoint in {self.out} is whole: {problems}")
        return None, None


def _step_of(directory: Path) -> int:
    """The step in a folder's name; -1 for a name without one."""
    number = directory.name.removeprefix("step-")
    return int(number) if number.isascii() and number.isdigit() else -1


def _damage(directory: Path) -> str | None:
    """What is wrong with a checkpoint's files, or None."""
    try:
        sums = read_json(directory / CHECKSUMS)
        for name in (WEIGHTS, OPTIMIZERS, STATE):
            if sha256(directory / name) != sums.get(name):
                return f"{name} does not match its checksum"
    except (OSError, ValueError) as error:
        return str(error)
    return None


@torch.no_grad()
def load_weights(directory: Path, model: nn.Module) -> None:
    """Copy a checkpoint's weights into the model. Raises `ValueError` if they do not fit it."""
    file = directory / WEIGHTS
    try:
        weights = load_file(file)
    except Exception as error:  # safetensors' own, which is no ValueError
        raise ValueError(f"{file} is not a whole safetensors file: {error}") from None
    parameters = dict(model.named_parameters())
    for name, parameter in parameters.items():
        if name not in weights or weights[name].shape != parameter.shape:
            raise ValueError(f"{file} has no {name} of shape {tuple(parameter.shape)}")
        parameter.copy_(part_of(weights[name].to(parameter.device), parameter))


def load_optimizers(directory: Path, optimizers: Optimizers) -> None:
    """Give the optimizers their state in a checkpoint. Their settings do not change.

    Raises `ValueError` for the state of other optimizers, or of other parameters.
    """
    file = directory / OPTIMIZERS
    try:
        states = torch.load(file, weights_only=True)
        for optimizer, state in zip(optimizers, states, strict=True):
            groups = optimizer.state_dict()["param_groups"]
            if [g["params"] for g in state["param_groups"]] != [g["params"] for g in groups]:
                raise ValueError("it has other groups of parameters")
            optimizer.load_state_dict({"state": state["state"], "param_groups": groups})
            wanted = STATE_NAMES.get(type(optimizer).__name__)
            for parameter, of_parameter in optimizer.state.items():
                if wanted is not None and set(of_parameter) != wanted:
                    raise ValueError(f"it has {sorted(of_parameter)}, not {sorted(wanted)}")
                for name, value in of_parameter.items():
                    of_parameter[name] = _fitting(part_of(value, parameter), parameter, name)
    except Exception as error:  # whatever unpickling and torch make of a foreign file
        raise ValueError(f"{file} is not the state of this run's optimizers: {error}") from None


def _fitting(value: Tensor, parameter: Tensor, name: str) -> Tensor:
    """A tensor of a parameter's state: a number, or of the parameter's shape."""
    if value.dim() and value.shape != parameter.shape:
        raise ValueError(f"{name} has shape {tuple(value.shape)}, not {tuple(parameter.shape)}")
    return value
