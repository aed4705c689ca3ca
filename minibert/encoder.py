"""The encoder: feed-forward, the block, the stack, and how weights begin."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from minibert.attention import BertSelfAttention, take
from minibert.config import BertConfig

ACTIVATION_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,  # x * Phi(x), with the exact erf (Hendrycks and Gimpel, 2016)
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "sigmoid": F.sigmoid,
    "tanh": F.tanh,
    "silu": F.silu,
}


class FeedForward(nn.Module):
    """The same two layers for every token alone: D -> F, the activation, F -> D.

    The encoder's non-linearity sits here (Vaswani et al., 2017, 3.3).
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.intermediate = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = ACTIVATION_FUNCTIONS[config.hidden_act]
        self.output = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        return self.output(self.activation(self.intermediate(hidden_states)))


class BertLayer(nn.Module):
    """One block: attention, then feed-forward, each with dropout, a residual sum and LayerNorm."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.pre_norm = config.norm_position == "pre"
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
        places: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, D) -> (B, T, D), and the weights (B, H, T, T) where they are asked for.

        With `places` (B, R) only the tokens there come out: (B, R, D), (B, H, R, T).
        """
        inputs = self.attention_norm(x) if self.pre_norm else x
        attended, weights = self.attention(inputs, mask, output_attentions, places)
        if places is not None:
            x = take(x, places)
        if self.pre_norm:  # x + sublayer(LN(x)): Xiong et al. (2020)
            x = x + self.dropout(attended)
            x = x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
        else:  # LN(x + sublayer(x)): BERT
            x = self.attention_norm(x + self.dropout(attended))
            x = self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))
        return x, weights


class BertEncoder(nn.Module):
    """The stack of L blocks; under pre-LN one LayerNorm more at its end."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(BertLayer(config) for _ in range(config.num_hidden_layers))
        self.final_norm = (
            nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
            if config.norm_position == "pre"
            else nn.Identity()
        )

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        output_attentions: bool = False,
        places: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """(B, T, D) -> the last state (B, T, D), all L + 1 states, and L weights (B, H, T, T).

        State 0 is the embeddings, state L the last one. The weights are empty unless asked for.
        With `places` (B, R) the last layer works these tokens out alone: (B, R, D), (B, H, R, T).
        """
        states, attentions = [x], []
        last = len(self.layers) - 1
        for number, layer in enumerate(self.layers):
            x, weights = layer(x, mask, output_attentions, places if number == last else None)
            states.append(x)
            if weights is not None:
                attentions.append(weights)
        states[-1] = self.final_norm(x)
        return states[-1], states, attentions


def init_weights(model: nn.Module, initializer_range: float) -> None:
    """BERT's start: normal, cut at two sigma, for every matrix; biases 0; LayerNorm 1 and 0.

    The row of `[PAD]` is drawn like any other, as in the original; Hugging Face sets it to 0.
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
