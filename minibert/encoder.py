"""The encoder: feed-forward, the block, the stack, and how weights begin."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from minibert.attention import BertSelfAttention
from minibert.config import BertConfig, choose

_gelu_tanh = partial(F.gelu, approximate="tanh")  # what GPT-2 and some released BERTs have
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,  # x * Phi(x), with the exact erf (Hendrycks and Gimpel, 2016)
    "gelu_python": F.gelu,
    "gelu_pytorch_tanh": _gelu_tanh,
    "gelu_new": _gelu_tanh,
    "relu": F.relu,
    "sigmoid": F.sigmoid,
    "tanh": F.tanh,
    "silu": F.silu,
    "swish": F.silu,
}
"""The activations that `hidden_act` may name, under Hugging Face's names."""


class FeedForward(nn.Module):
    """Two layers, applied to each token alone: D -> F, the activation, F -> D.

    The encoder's non-linearity is here (Vaswani et al., 2017, 3.3).
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.intermediate = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = choose("hidden_act", config.hidden_act, ACTIVATIONS)
        self.output = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        return self.output(self.activation(self.intermediate(hidden_states)))


class BertLayer(nn.Module):
    """One block: attention, then feed-forward, each with dropout, a residual sum and LayerNorm."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = BertSelfAttention(config)
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.feed_forward = FeedForward(config)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        output_attentions: bool = False,
        position_ids: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, D) -> (B, T, D), and the weights (B, H, T, T) if they are asked for."""
        attended, weights = self.attention(x, mask, output_attentions, position_ids)
        x = self.attention_norm(x + self.dropout(attended))
        x = self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))
        return x, weights


class BertEncoder(nn.Module):
    """The stack of L blocks."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(BertLayer(config) for _ in range(config.num_hidden_layers))

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        output_attentions: bool = False,
        position_ids: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """(B, T, D) -> the last state (B, T, D), all L + 1 states, and L weights (B, H, T, T).

        State 0 is the embeddings, state L the last. The weights are empty unless asked for.
        """
        states, attentions = [x], []
        for layer in self.layers:
            x, weights = layer(x, mask, output_attentions, position_ids)
            states.append(x)
            if weights is not None:
                attentions.append(weights)
        return x, states, attentions


def init_weights(model: nn.Module, initializer_range: float) -> None:
    """BERT's start: a normal distribution for every matrix, cut off at two standard deviations.

    Biases start at 0, LayerNorms at 1 and 0. The row of `[PAD]` is drawn like any other, as in the
    original; Hugging Face sets it to 0.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            sigma = initializer_range
            nn.init.trunc_normal_(module.weight, std=sigma, a=-2 * sigma, b=2 * sigma)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
