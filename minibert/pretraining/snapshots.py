"""Snapshots: copies of the model during training, which show how it learned."""

from __future__ import annotations

from pathlib import Path

from minibert.training.history import read_history

SNAPSHOTS = "snapshots"


def is_snapshot(step: int) -> bool:
    """Whether the model is kept after this many steps: 0, 10, 30, 100, 300, 1000 and so on.

    These steps are about evenly spaced on a logarithmic scale, because a model learns most early.
    """
    return step == 0 or (step >= 10 and str(step).rstrip("0") in ("1", "3"))


def snapshot_folder(out: Path, step: int) -> Path:
    """Where the model after a step is kept."""
    return out / SNAPSHOTS / f"step-{step:09d}"


def read_snapshots(out: str | Path) -> dict[int, Path]:
    """The models that `pretrain(..., snapshots=True)` kept, by step, and the finished model last.

    Each is a folder for `minibert.load`. Raises `FileNotFoundError` if there are none.
    """
    out = Path(out)
    folders = sorted((out / SNAPSHOTS).glob("step-*"))
    found = {int(folder.name.split("-")[1]): folder for folder in folders}
    if not found:
        raise FileNotFoundError(
            f"{out} has no snapshots: keep them with pretrain(..., snapshots=True), or --snapshots"
        )
    history = read_history(out)
    if history and (out / "model.safetensors").exists():
        found[history[-1]["step"]] = out
    return found
