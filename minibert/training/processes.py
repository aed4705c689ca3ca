"""Many processes that train one model: which one this is, and what all of them share.

`torchrun` starts the processes and tells each its rank; without it there is one, and nothing here
does anything. Torch itself brings gradients together: `DistributedDataParallel` where each process
has the whole model, `fully_shard` (Rajbhandari et al., 2020) where each has a part of every weight.
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

# What only many processes need is imported where it is used: one process should not wait for it.


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this one, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


def is_main() -> bool:
    """Whether this is the one that writes files and speaks to the user."""
    return rank() == 0


@contextmanager
def process_group() -> Iterator[None]:
    """Join the other processes, if `torchrun` has started this one: NCCL on GPUs, else gloo."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    yield  # after an error there is nobody to wait for: torchrun ends the others
    # A thread that still holds a tensor of the last exchange needs Python's lock to let it go. It
    # gets it while we wait here, and would not while the group is taken down, which waits for it.
    dist.barrier()
    dist.destroy_process_group()


def launcher() -> str:
    """What stands before `minibert` in the command that starts as many processes again."""
    if world_size() == 1:
        return ""
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    options = f"--nproc-per-node {here}" if here == world_size() else "..."  # on many machines
    return f"torchrun {options} -m "


@contextmanager
def main_first() -> Iterator[None]:
    """The main process goes through the block, then all others: what it wrote is there for them.

    It may take hours, as tokenizing does. Where it raises, the others wait until `torchrun` ends
    them.
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
    """Each number summed over all processes, which must call this with the same names."""
    if world_size() == 1:
        return numbers
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    values = torch.tensor(list(numbers.values()), dtype=torch.float64, device=device)
    dist.all_reduce(values)
    return dict(zip(numbers, values.tolist(), strict=True))


def replicate(model: nn.Module) -> nn.Module:
    """What to call in place of `model`, so that gradients are means over the processes."""
    return model if world_size() == 1 or is_sharded(model) else DistributedDataParallel(model)


def shard(model: nn.Module, layers: Iterable[nn.Module]) -> None:
    """Leave each process a part of every weight; layer by layer they are whole while used."""
    from torch.distributed.fsdp import fully_shard

    for layer in layers:
        fully_shard(layer)
    fully_shard(model)


def is_sharded(model: nn.Module) -> bool:
    """Whether `shard` has been at this model."""
    if world_size() == 1:
        return False
    from torch.distributed.fsdp import FSDPModule

    return isinstance(model, FSDPModule)


@contextmanager
def no_sync(model: nn.Module) -> Iterator[None]:
    """Gradients of this process alone meanwhile; the next ones bring all of them together."""
    if isinstance(model, DistributedDataParallel):
        with model.no_sync():
            yield
    elif is_sharded(model):
        model.set_requires_gradient_sync(False)
        yield
        model.set_requires_gradient_sync(True)
    else:
        yield


def whole(state: Any) -> Any:
    """A state with the whole of each tensor of which this process has a part. All must call it."""
    if world_size() == 1:
        return state
    from torch.distributed.tensor import DTensor

    if isinstance(state, DTensor):
        return state.full_tensor()
    if isinstance(state, dict):
        return {name: whole(value) for name, value in state.items()}
    if isinstance(state, list):
        return [whole(value) for value in state]
    return state


def part_of(tensor: Tensor, parameter: Tensor) -> Tensor:
    """Of a whole tensor, what this process has of a parameter of this shape. All must call it."""
    if world_size() == 1:
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(parameter, DTensor) or tensor.shape != parameter.shape:
        return tensor
    return distribute_tensor(tensor, parameter.device_mesh, parameter.placements)
