"""Many processes that train one model: the number of this process, and what all of them share.

`torchrun` starts the processes and gives each a rank. Without it there is a single process, and
nothing here does anything. Torch itself averages the gradients: `DistributedDataParallel` if each
process has the whole model, `fully_shard` (Rajbhandari et al., 2020) if each has a part of every
weight.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

# Imports for many processes are where they are used, so that a single process need not wait.


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


def is_main() -> bool:
    """Whether this process writes files and talks to the user."""
    return rank() == 0


@contextmanager
def process_group() -> Iterator[None]:
    """Join the processes that `torchrun` started, if it did: NCCL on GPUs, else gloo."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    yield  # after an error there is nothing to wait for: torchrun ends all processes
    # A thread that still holds a tensor of the last exchange needs Python's lock to release it. It
    # gets the lock while we wait here. It would not while the group, which waits for the thread,
    # is destroyed.
    dist.barrier()
    dist.destroy_process_group()


def launcher() -> str:
    """What precedes `minibert` in the command that starts as many processes again."""
    if world_size() == 1:
        return ""
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    options = f"--nproc-per-node {here}" if here == world_size() else "..."  # on many machines
    return f"torchrun {options} -m "


@contextmanager
def main_first() -> Iterator[None]:
    """The main process runs the block first, then all others, which find what it wrote.

    The block may take hours, as tokenizing does. If it raises, the others wait until `torchrun`
    ends them.
    """
    if world_size() == 1:
        yield
        return
    patient = dist.new_group(backend="gloo", timeout=timedelta(days=7))
    if not is_main():
        dist.barrier(patient)
    yield
    if is_main():
        dist.barrier(patient)


def sum_over_ranks(numbers: dict[str, float]) -> dict[str, float]:
    """Each number summed over all processes. All must call this with the same names."""
    if world_size() == 1:
        return numbers
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    values = torch.tensor(list(numbers.values()), dtype=torch.float64, device=device)
    dist.all_reduce(values)
    return dict(zip(numbers, values.tolist(), strict=True))


def replicate(model: nn.Module) -> nn.Module:
    """The module to call instead of `model`, whose gradients are means over the processes."""
    return model if world_size() == 1 or is_sharded(model) else DistributedDataParallel(model)


def shard_weights(model: nn.Module, layers: Iterable[nn.Module]) -> None:
    """Leave each process a part of every weight. Each layer is put together while it is used."""
    from torch.distributed.fsdp import fully_shard

    for layer in layers:
        fully_shard(layer)
    fully_shard(model)


def is_sharded(model: nn.Module) -> bool:
    """Whether `shard_weights` has split this model."""
    if world_size() == 1:
        return False
    from torch.distributed.fsdp import FSDPModule

    return isinstance(model, FSDPModule)


@contextmanager
def no_sync(model: nn.Module) -> Iterator[None]:
    """Skip the exchange of gradients inside the block; the next backward pass makes up for it."""
    if isinstance(model, DistributedDataParallel):
        with model.no_sync():
            yield
    elif is_sharded(model):
        sharded: Any = model
        sharded.set_requires_gradient_sync(False)
        yield
        sharded.set_requires_gradient_sync(True)
    else:
        yield


def full_state(state: Any) -> Any:
    """A state in which every split tensor is put together. All processes must call it."""
    if world_size() == 1:
        return state
    from torch.distributed.tensor import DTensor

    if isinstance(state, DTensor):
        return state.full_tensor()
    if isinstance(state, dict):
        return {name: full_state(value) for name, value in state.items()}
    if isinstance(state, list):
        return [full_state(value) for value in state]
    return state


def part_of(tensor: Tensor, parameter: Tensor) -> Tensor:
    """This process's part of a full tensor, split like `parameter`. All processes must call it."""
    if world_size() == 1:
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(parameter, DTensor) or tensor.shape != parameter.shape:
        return tensor
    return distribute_tensor(tensor, parameter.device_mesh, parameter.placements)
