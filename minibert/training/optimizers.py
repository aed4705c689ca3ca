"""Optimisers, which parameters they decay, and learning-rate schedules."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

Schedule = Callable[[float], float]
"""From the share of training that is done, in [0, 1], to the share of the learning rate."""

WEIGHT_DECAY = 0.01
STATE_NAMES = {
    "BertAdam": {"m", "v"},
    "AdamW": {"step", "exp_avg", "exp_avg_sq"},
    "Muon": {"momentum_buffer"},
}
"""What each optimizer keeps of every parameter, by the name of its class."""


class BertAdam(torch.optim.Optimizer):
    """The Adam that BERT was trained with: decoupled weight decay, and no bias correction.

    m and v start at 0 and are not corrected for that, so the first steps are larger than Adam's
    (Kingma and Ba, 2015, 3). For a constant gradient, m / sqrt(v) begins at
    (1 - beta1) / sqrt(1 - beta2), about 3, and peaks at 6.6 in step 12. Warm-up keeps this
    harmless. `torch.optim.AdamW` has the correction.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = WEIGHT_DECAY,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["m"] = torch.zeros_like(parameter)
                    state["v"] = torch.zeros_like(parameter)
                m, v = state["m"], state["v"]
                m.lerp_(parameter.grad, 1 - beta1)
                v.mul_(beta2).addcmul_(parameter.grad, parameter.grad, value=1 - beta2)
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.addcdiv_(m, v.sqrt().add_(group["eps"]), value=-group["lr"])


def is_decayed(parameter: Tensor) -> bool:
    """Matrices and embeddings decay; biases and LayerNorms, which are vectors, do not."""
    return parameter.dim() >= 2


def hidden_matrices(model: nn.Module) -> list[Tensor]:
    """The weights of `nn.Linear` layers, without a decoder that is tied to an embedding."""
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    return [
        m.weight
        for m in model.modules()
        if isinstance(m, nn.Linear) and id(m.weight) not in embeddings
    ]


def adam(
    parameters: Iterable[Tensor], lr: float, bias_correction: bool = True
) -> torch.optim.Optimizer:
    """AdamW over a decayed and an undecayed group, with BERT's betas (0.9, 0.999) and eps 1e-6."""
    parameters = list(parameters)
    groups = [
        {"params": [p for p in parameters if is_decayed(p)], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in parameters if not is_decayed(p)], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if bias_correction:
        return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.999), eps=1e-6, fused=True)
    return BertAdam(groups, lr=lr)


def muon(
    model: nn.Module, lr: float, matrix_lr: float, ns_steps: int = 5
) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al., 2024) for the hidden matrices, AdamW for everything else.

    Muon orthogonalises the update of every matrix with `ns_steps` Newton-Schulz iterations, so all
    directions move about equally fast.
    """
    matrices = hidden_matrices(model)
    ids = {id(matrix) for matrix in matrices}
    rest = [p for p in model.parameters() if id(p) not in ids]
    return [
        torch.optim.Muon(matrices, lr=matrix_lr, weight_decay=WEIGHT_DECAY, ns_steps=ns_steps),
        adam(rest, lr),
    ]


def constant(done: float) -> float:
    """The whole learning rate, always."""
    return 1.0


def linear(warmup: float) -> Schedule:
    """Up from 0 over the first `warmup` of training, then down to 0 at its end.

    As in the original, the way down is counted from the beginning of training: after the warm-up
    the rate jumps to 1 - `warmup`. Hugging Face's schedule falls from 1.
    """
    return lambda done: done / warmup if done < warmup else max(0.0, 1 - done)


def warmup_stable_decay(warmup: float, decay: float) -> Schedule:
    """Up over the first `warmup` of training, flat, and down to 0 over the last `decay` of it."""

    def factor(done: float) -> float:
        if done < warmup:
            return done / warmup
        return min(1.0, max(0.0, 1 - done) / decay)

    return factor
