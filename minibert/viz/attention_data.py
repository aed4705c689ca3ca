"""The attention of one text, checked once, as every view takes it.

Layers and heads are counted from 0, here and in every view: layer 0 reads the embeddings. That is
also bertviz's way, and that of the `attentions` of a model's output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from minibert.attention import BertSelfAttention, split_heads
from minibert.model import evaluating
from minibert.training.recording import recording

ROW_TOLERANCE = 0.01
"""How far the sum of a row may be from 1: bfloat16 rounds each weight to three digits."""
NO_ATTENTION = (
    "there is no attention to show: call the model with output_attentions=True. A model of "
    "transformers must be loaded with attn_implementation='eager' too: its default, sdpa, "
    "returns no weights"
)


@dataclass(frozen=True, eq=False)
class AttentionData:
    """The attention weights of one text, and its tokens.

    `attentions` has a tensor or array (1, H, T, T), or (H, T, T), for each of L layers, with rows
    attending to columns. `tokens` are T strings. `sentence_b_start` is the position of sentence B's
    first token. `queries` and `keys` have a (1, H, T, K) for each layer, if a view needs them.
    Raises `ValueError` if this is not attention over these tokens, and says what to do.
    """

    attentions: Sequence[Tensor]
    tokens: Sequence[str]
    sentence_b_start: int | None = None
    queries: Sequence[Tensor] | None = None
    keys: Sequence[Tensor] | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__  # the dataclass is frozen, and not yet made
        put(self, "attentions", _as_layers("attention", self.attentions))
        put(self, "tokens", tuple(self.tokens))
        if self.attentions[0].shape[2] != self.num_tokens:
            shape = tuple(self.attentions[0].shape)
            raise ValueError(f"the attention of a layer is {shape}: it must be (1, H, T, T)")
        _check_tokens(tuple(self.tokens), self.num_tokens)
        _check_weights(tuple(self.attentions), tuple(self.tokens))
        if self.sentence_b_start is not None and not 0 < self.sentence_b_start < len(self.tokens):
            raise ValueError(
                f"sentence_b_start is {self.sentence_b_start}: it must be the place of a token "
                f"after the first, so between 1 and {len(self.tokens) - 1}"
            )
        if (self.queries is None) != (self.keys is None):
            raise ValueError("give queries and keys, or neither")
        for name in ("queries", "keys") if self.queries is not None else ():
            vectors = _as_layers(name, getattr(self, name))
            if [v.shape[:3] for v in vectors] != [a.shape[:3] for a in self.attentions]:
                raise ValueError(f"{name} must be (1, H, T, K) for the L, H and T of the attention")
            put(self, name, vectors)

    @classmethod
    def from_model(
        cls,
        model: Any,
        tokenizer: Any,
        text: str,
        pair: str | None = None,
        queries_and_keys: bool = False,
    ) -> AttentionData:
        """The attention of `model` over `text`, or over `text` and `pair` as two segments.

        Model and tokenizer are minibert's or those of transformers. Raises `ValueError` for a text
        that is empty or longer than the model takes, and for a model that gives no attention.
        """
        inputs = encode(model, tokenizer, text, pair)
        modules, is_split = _compared(model) if queries_and_keys else ([], True)
        with torch.no_grad(), evaluating(model), recording(modules) as compared:
            attentions = model(**inputs, output_attentions=True).attentions
        tokens = tokenizer.convert_ids_to_tokens(inputs["input_ids"][0].tolist())
        segments = inputs.get("token_type_ids")
        second = [] if pair is None or segments is None else segments[0].nonzero().flatten()
        queries = keys = None
        if queries_and_keys and attentions:
            if not is_split:
                compared = [split_heads(x, attentions[0].shape[1]) for x in compared]
            queries, keys = compared[0::2], compared[1::2]
        b_start = int(second[0]) if len(second) else None
        return cls(attentions or (), tokens, b_start, queries, keys)

    @property
    def num_layers(self) -> int:
        """L."""
        return len(self.attentions)

    @property
    def num_heads(self) -> int:
        """H."""
        return self.attentions[0].shape[1]

    @property
    def num_tokens(self) -> int:
        """T."""
        return self.attentions[0].shape[-1]

    def weights(self) -> np.ndarray:
        """All weights as one array, (L, H, T, T)."""
        return torch.cat(list(self.attentions)).numpy()

    def choose(self, what: str, wanted: int | Sequence[int] | None) -> list[int]:
        """The layers or heads that are wanted, all for None. `what` is `layer` or `head`.

        Raises `ValueError` for one that the model does not have.
        """
        number = self.num_layers if what == "layer" else self.num_heads
        if wanted is None:
            return list(range(number))
        chosen = [wanted] if isinstance(wanted, int) else list(wanted)
        if not chosen:
            raise ValueError(f"no {what} is chosen: name one between 0 and {number - 1}")
        for one in chosen:
            if not 0 <= one < number:
                raise ValueError(f"there is no {what} {one}: they go from 0 to {number - 1}")
        return chosen


def as_attention(
    attention: AttentionData | Sequence[Tensor],
    tokens: Sequence[str] | None = None,
    sentence_b_start: int | None = None,
) -> AttentionData:
    """A view's arguments as `AttentionData`: one already, or attention and tokens as in bertviz."""
    if isinstance(attention, AttentionData):
        if tokens is not None or sentence_b_start is not None:
            raise ValueError("an AttentionData has its tokens: give it alone")
        return attention
    if tokens is None:
        raise ValueError("tokens are missing: head_view(attention, tokens), a string for each")
    return AttentionData(attention, tokens, sentence_b_start)


def _compared(model: nn.Module) -> tuple[list[Any], bool]:
    """The modules whose outputs are the queries and keys that attention compares, in turns.

    Ours return (B, H, T, K), after the position scheme: True. Those of transformers return
    (B, T, D), which are still to be split into heads: False.
    """
    ours = [m.positions for m in model.modules() if isinstance(m, BertSelfAttention)]
    if ours:
        return ours, True
    linears = [m for m in model.modules() if isinstance(getattr(m, "query", None), nn.Linear)]
    return [linear for m in linears for linear in (m.query, m.key)], False


def encode(model: Any, tokenizer: Any, text: str, pair: str | None = None) -> dict:
    """The model's inputs for the text, (1, T) each, on the model's device.

    Raises `ValueError` for a text that is empty, or longer than the model's positions.
    """
    if not (isinstance(model, nn.Module) and hasattr(tokenizer, "tokenize")):
        given = f"{type(model).__name__} and {type(tokenizer).__name__}"
        raise ValueError(f"give a model and then its tokenizer: these are {given}")
    for given in (text,) if pair is None else (text, pair):
        if not isinstance(given, str):
            raise ValueError(f"the text is a {type(given).__name__}: give one string")
        if not tokenizer.tokenize(given):
            raise ValueError("the text is empty: give at least one word")
    inputs = dict(tokenizer(text, pair, return_tensors="pt"))
    config: Any = model.config
    length, room = inputs["input_ids"].shape[1], config.max_position_embeddings
    if length > room:
        special = 2 if pair is None else 3
        raise ValueError(
            f"the text is {length - special} tokens long and {room - special} fit: the model has "
            f"{room} positions, and {special} go to [CLS] and [SEP]. Shorten it"
        )
    device = next(model.parameters()).device
    return {name: tensor.to(device) for name, tensor in inputs.items()}


def _as_layers(name: str, layers: Any) -> tuple[Tensor, ...]:
    """A tensor (1, H, T, ...) in fp32 on the CPU for each layer."""
    if layers is None or len(layers) == 0:
        raise ValueError(NO_ATTENTION)
    found = []
    for number, layer in enumerate(layers):
        if layer is None:
            raise ValueError(NO_ATTENTION)
        layer = torch.as_tensor(layer).detach().float().cpu()
        if layer.dim() == 3:
            layer = layer[None]
        if layer.dim() != 4:
            raise ValueError(
                f"the {name} of layer {number} is {tuple(layer.shape)}: it must be (1, H, T, ...)"
            )
        if len(layer) != 1:
            raise ValueError(
                f"the {name} is of {len(layer)} texts: choose one, [layer[:1] for layer in ...]"
            )
        found.append(layer)
    if any(layer.shape != found[0].shape for layer in found):
        shapes = [tuple(layer.shape) for layer in found]
        raise ValueError(f"the layers' {name} must be of one shape, and they are {shapes}")
    return tuple(found)


def _check_tokens(tokens: tuple[str, ...], length: int) -> None:
    if not all(isinstance(token, str) for token in tokens):
        raise ValueError("tokens must be strings: tokenizer.convert_ids_to_tokens gives them")
    if len(tokens) != length or not tokens:
        raise ValueError(
            f"there are {len(tokens)} tokens for attention over {length}: give all of one text, "
            "[CLS] and [SEP] included"
        )


def _check_weights(attentions: tuple[Tensor, ...], tokens: tuple[str, ...]) -> None:
    for layer, weights in enumerate(attentions):
        off = ~((weights.sum(-1) - 1).abs() <= ROW_TOLERANCE)  # (1, H, T); true for NaN too
        off |= (weights < 0).any(-1)
        for _, head, row in off.nonzero()[:1].tolist():
            where = f"layer {layer}, head {head}, the row of token {row} ({tokens[row]!r})"
            values = weights[0, head, row]
            if not values.isfinite().all():
                raise ValueError(f"{where} is not finite: look for NaN in the model's weights")
            if (values < 0).any():
                raise ValueError(f"{where} has weights below 0: give them after the softmax")
            raise ValueError(
                f"{where} adds up to {values.sum():.2f} and not to 1: give the weights after the "
                "softmax and without dropout (model.eval()), over all of the text"
            )
