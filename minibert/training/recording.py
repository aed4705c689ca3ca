"""What the modules of a model return while it runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def recording(modules: Iterable[nn.Module]) -> Iterator[list[Tensor]]:
    """Collect the outputs of `modules`, in the order of their calls, with their gradients."""
    outputs: list[Tensor] = []
    hooks = [
        module.register_forward_hook(lambda module, inputs, output: outputs.append(output))
        for module in modules
    ]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()
