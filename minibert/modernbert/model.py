"""ModernBERT (Warner et al., 2024): BERT with what the six years after it brought.

Four parts differ from BERT:

- Queries and keys are rotated, and no position vectors are added (RoPE, Su et al., 2021).
- In the feed-forward, a gate multiplies the activation (GeGLU, Shazeer, 2020).
- LayerNorm comes before each part, not after the sum. There are no biases, and a last LayerNorm.
- Most layers see a local window, and only every third layer sees the whole text.

The letters in shape comments are explained in `config.py`.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minibert.attention import (
    additive_mask,
    merge_heads,
    scaled_dot_product_attention,
    split_heads,
)
from minibert.embeddings import check_ids, positions_from_0
from minibert.encoder import ACTIVATIONS
from minibert.model import (
    IGNORE_INDEX,
    BertForPreTraining,
    BertForPreTrainingOutput,
    BertModelOutput,
    MaskedLMHead,
)
from minibert.modernbert.config import ModernBertConfig
from minibert.modernbert.weights import PretrainedModernBert


def _norm(config: ModernBertConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=config.norm_bias)


class RotaryPositions(nn.Module):
    """RoPE: turn queries and keys by an angle that grows with the position (Su et al., 2021, 3).

    The K dimensions of a head form K / 2 pairs: i and i + K / 2. Pair i of the token at position p
    is turned by the angle p / theta^(2i / K). A product of two vectors depends only on the
    difference of their angles, so a score depends on how far apart query and key are.
    """

    def __init__(self, head_size: int, theta: float) -> None:
        super().__init__()
        self.head_size, self.theta = head_size, theta

    def forward(self, x: Tensor, position_ids: Tensor) -> Tensor:
        """Queries or keys (B, H, T, K) of tokens at `position_ids` (B, T) -> (B, H, T, K)."""
        exponents = torch.arange(0, self.head_size, 2, device=x.device).float() / self.head_size
        speeds = 1.0 / self.theta**exponents  # (K / 2,)
        angles = position_ids[:, None, :, None].float() * speeds  # (B, 1, T, K / 2)
        cos, sin = angles.cos(), angles.sin()
        a, b = x.chunk(2, dim=-1)  # (B, H, T, K / 2) each
        return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1).type_as(x)


def local_mask(attention_mask: Tensor | None, input_ids: Tensor, window: int) -> Tensor:
    """Which keys a query sees in a local layer (B or 1, T, T), out of those in `attention_mask`."""
    place = torch.arange(input_ids.shape[1], device=input_ids.device)  # (T,)
    near = (place[:, None] - place).abs() <= window // 2  # (T, T)
    if attention_mask is None:
        return near[None]
    if attention_mask.dim() == 2:
        attention_mask = attention_mask[:, None]  # (B, 1, T): the same keys for every query
    return near & (attention_mask != 0)


class ModernBertEmbeddings(nn.Module):
    """A learned vector a token, LayerNorm, dropout: neither positions nor segments."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        sizes = config.vocab_size, config.hidden_size
        self.word_embeddings = nn.Embedding(*sizes, padding_idx=config.padding_index)
        self.norm = _norm(config)
        self.dropout = nn.Dropout(config.embedding_dropout)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Ids (B, T) -> vectors (B, T, D). Raises `ValueError` for one outside the vocabulary."""
        check_ids("input_ids", input_ids, self.word_embeddings.num_embeddings)
        return self.dropout(self.norm(self.word_embeddings(input_ids)))


class ModernBertAttention(nn.Module):
    """BERT's self-attention with rotated queries and keys; one matrix computes Q, K and V."""

    def __init__(self, config: ModernBertConfig, is_global: bool) -> None:
        super().__init__()
        D = config.hidden_size
        self.num_heads = config.num_attention_heads
        self.implementation = config.attn_implementation
        self.query_key_value = nn.Linear(D, 3 * D, bias=config.attention_bias)
        self.output = nn.Linear(D, D, bias=config.attention_bias)
        self.dropout = nn.Dropout(config.attention_dropout)
        self.window = None if is_global else config.local_attention
        theta = config.global_rope_theta if is_global else config.local_rope_theta
        self.positions = RotaryPositions(config.head_size, theta)

    def forward(
        self, x: Tensor, mask: Tensor | None, position_ids: Tensor, output_attentions: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, D) -> (B, T, D), and the weights (B, H, T, T) if they are asked for."""
        parts = self.query_key_value(x).chunk(3, dim=-1)  # (B, T, D) each
        query, key, value = (split_heads(part, self.num_heads) for part in parts)  # (B, H, T, K)
        query, key = self.positions(query, position_ids), self.positions(key, position_ids)
        dropout_p = self.dropout.p if self.training else 0.0
        if output_attentions or self.implementation == "eager":
            context, weights = scaled_dot_product_attention(query, key, value, mask, dropout_p)
        else:
            context = F.scaled_dot_product_attention(query, key, value, mask, dropout_p)
            weights = None
        attended = self.dropout(self.output(merge_heads(context)))  # (B, T, D)
        return attended, weights if output_attentions else None


class GatedFeedForward(nn.Module):
    """GeGLU (Shazeer, 2020): D -> 2F, of which one half gates the other, then F -> D.

    With F = 2/3 of BERT's feed-forward it has as many weights.
    """

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        hidden, between = config.hidden_size, config.intermediate_size
        self.intermediate = nn.Linear(hidden, 2 * between, bias=config.mlp_bias)
        self.activation = ACTIVATIONS[config.hidden_activation]
        self.dropout = nn.Dropout(config.mlp_dropout)
        self.output = nn.Linear(between, hidden, bias=config.mlp_bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        values, gate = self.intermediate(x).chunk(2, dim=-1)  # (B, T, F) each
        return self.output(self.dropout(self.activation(values) * gate))


class ModernBertLayer(nn.Module):
    """One block: LayerNorm, then attention or feed-forward, then the residual sum.

    BERT normalises the sum. Here nothing touches it, so that the input reaches the last layer.
    """

    def __init__(self, config: ModernBertConfig, number: int) -> None:
        super().__init__()
        # The embeddings end with a LayerNorm: layer 0 does not need another.
        self.attention_norm = nn.Identity() if number == 0 else _norm(config)
        self.attention = ModernBertAttention(config, config.is_global(number))
        self.feed_forward_norm = _norm(config)
        self.feed_forward = GatedFeedForward(config)

    def forward(
        self, x: Tensor, mask: Tensor | None, position_ids: Tensor, output_attentions: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, D) -> (B, T, D), and the weights (B, H, T, T) if they are asked for."""
        normed = self.attention_norm(x)
        attended, weights = self.attention(normed, mask, position_ids, output_attentions)
        x = x + attended
        return x + self.feed_forward(self.feed_forward_norm(x)), weights


def init_weights(model: nn.Module, config: ModernBertConfig) -> None:
    """BERT's start, except that the matrices at the end of each part are smaller.

    2L of them add to one sum, so they are divided by sqrt(2L): its variance does not grow with L.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            sigma = config.initializer_range
            if name.endswith(("output", "dense", "decoder")):
                sigma /= math.sqrt(2 * config.num_hidden_layers)
            nn.init.trunc_normal_(module.weight, std=sigma, a=-2 * sigma, b=2 * sigma)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


class ModernBertModel(PretrainedModernBert):
    """Embeddings, L layers and a last LayerNorm. It is called as `BertModel` is."""

    passes_over = ("head.", "decoder.", "classifier.")

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__(config)
        self.embeddings = ModernBertEmbeddings(config)
        layers = range(config.num_hidden_layers)
        self.layers = nn.ModuleList(ModernBertLayer(config, number) for number in layers)
        self.final_norm = _norm(config)
        init_weights(self, config)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> BertModelOutput:
        """Ids (B, T) -> states (B, T, D).

        `attention_mask` is (B, T), 1 for real tokens, or (B, T, T), 1 where a query may see a key.
        The window of local layers is counted in places of the row. `token_type_ids` change nothing:
        they may be given, because BERT's tokenizer returns them. The last of the L + 1
        `hidden_states` has passed the last LayerNorm, as in Hugging Face.
        """
        if position_ids is None:
            position_ids = positions_from_0(input_ids)
        x = self.embeddings(input_ids)  # (B, T, D)
        near = local_mask(attention_mask, input_ids, self.config.local_attention)
        global_mask = additive_mask(attention_mask, x.dtype)  # (B, 1, 1 or T, T)
        near_mask = additive_mask(near, x.dtype)  # (B or 1, 1, T, T)
        states, attentions = [x], []
        for number, layer in enumerate(self.layers):
            mask = global_mask if self.config.is_global(number) else near_mask
            x, weights = layer(x, mask, position_ids, output_attentions)
            states.append(x)
            if weights is not None:
                attentions.append(weights)
        last = states[-1] = self.final_norm(x)
        return BertModelOutput(
            last_hidden_state=last,
            pooler_output=None,
            hidden_states=tuple(states) if output_hidden_states else None,
            attentions=tuple(attentions) if output_attentions else None,
        )


class ModernBertMaskedLMHead(MaskedLMHead):
    """As BERT's, with the biases that the config asks for."""

    def __init__(self, config: ModernBertConfig) -> None:
        nn.Module.__init__(self)
        D = config.hidden_size
        self.dense = nn.Linear(D, D, bias=config.classifier_bias)
        self.activation = ACTIVATIONS[config.classifier_activation]
        self.norm = _norm(config)
        self.decoder = nn.Linear(D, config.vocab_size, bias=config.decoder_bias)


class ModernBertForMaskedLM(PretrainedModernBert):
    """ModernBERT with its MLM head. Its parts are named as those of `BertForPreTraining`."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__(config)
        self.bert = ModernBertModel(config)
        self.mlm_head = ModernBertMaskedLMHead(config)
        init_weights(self.mlm_head, config)
        if config.tie_word_embeddings:
            self.mlm_head.decoder.weight = self.bert.embeddings.word_embeddings.weight

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> BertForPreTrainingOutput:
        """Ids (B, T) -> logits, and the loss if there are labels.

        `labels` (B, T) hold the id to predict, or -100 where nothing is to be predicted.
        """
        inputs = (input_ids, attention_mask, token_type_ids, position_ids)
        bert = self.bert(*inputs, output_attentions, output_hidden_states)
        out = BertForPreTrainingOutput(
            self.mlm_head,
            last_hidden_state=bert.last_hidden_state,
            hidden_states=bert.hidden_states,
            attentions=bert.attentions,
        )
        if labels is None:
            _ = out.prediction_logits  # computed now, under the caller's gradient mode
            return out
        masked = labels != IGNORE_INDEX  # (B, T)
        targets = labels[masked]  # (M,)
        check_ids("labels", targets, self.config.vocab_size)
        logits = self.mlm_head(bert.last_hidden_state[masked])  # (M, V)
        total = F.cross_entropy(logits.float(), targets, reduction="sum")
        out.loss = out.mlm_loss = total / masked.sum().clamp(min=1)  # no mask, no loss: 0, not NaN
        out.mlm_correct = (logits.argmax(-1) == targets).sum()
        return out


MaskedLM = BertForPreTraining | ModernBertForMaskedLM
"""A model with an MLM head: `bert` is its body, `mlm_head` its head."""
