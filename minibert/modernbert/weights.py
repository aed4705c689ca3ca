"""Reading and writing Hugging Face ModernBERT directories."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from minibert.files import errors_name, find_directory, write_json
from minibert.modernbert.config import ModernBertConfig
from minibert.weights import (
    Shapes,
    Undrawn,
    check_nothing_is_lost,
    misfits,
    plain,
    read_shapes,
    read_weights,
    write_weights,
)

if TYPE_CHECKING:
    from typing_extensions import Self

    from minibert.tokenizer import BertTokenizer

# Our name -> Hugging Face's; read top to bottom.
_NAMES = (
    ("bert.", "model."),
    ("word_embeddings.", "tok_embeddings."),
    (".attention_norm.", ".attn_norm."),
    (".attention.query_key_value.", ".attn.Wqkv."),
    (".attention.output.", ".attn.Wo."),
    (".feed_forward_norm.", ".mlp_norm."),
    (".feed_forward.intermediate.", ".mlp.Wi."),
    (".feed_forward.output.", ".mlp.Wo."),
    ("mlm_head.decoder.", "decoder."),
    ("mlm_head.", "head."),
)
_TOKEN_MATRIX = "embeddings.tok_embeddings.weight"


def hf_name(name: str) -> str:
    """The name that Hugging Face gives to one of our parameters."""
    for ours, theirs in _NAMES:
        name = name.replace(ours, theirs)
    return name


def _check_sizes(config: ModernBertConfig, shapes: Shapes) -> None:
    """Raise `ValueError` if weights do not have the config's sizes, which may not fit in memory."""
    D, F = config.hidden_size, config.intermediate_size
    wanted = {_TOKEN_MATRIX: (config.vocab_size, D)}
    for layer in range(min(config.num_hidden_layers, len(shapes))):
        wanted[f"layers.{layer}.mlp.Wi.weight"] = (2 * F, D)
    if problems := misfits({name: shapes[name] for name in wanted if name in shapes}, wanted):
        raise ValueError(f"the weights do not have the sizes that config.json gives: {problems}")


class PretrainedModernBert(nn.Module):
    """A model that reads Hugging Face ModernBERT directories and writes them."""

    passes_over: tuple[str, ...] = ()
    """Tensors of a larger model's file that this model does not use, by how their names begin."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.config = config

    @property
    def body(self) -> Any:
        """The `ModernBertModel` of this model, without its head."""
        return getattr(self, "bert", self)

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, **overrides: object) -> Self:
        """The model with the weights of a directory or hub name, in eval mode.

        `overrides` change config fields that no tensor's shape depends on. Raises
        `FileNotFoundError` if there is no such model, and `ValueError` if the weights do not fit.
        """
        directory = find_directory(name_or_path)
        config = ModernBertConfig.from_pretrained(directory, **overrides)
        shapes = read_shapes(directory)
        with errors_name(directory):
            _check_sizes(config, shapes)
            with Undrawn():
                model = cls(config)
            model.load_hf_state_dict(read_weights(directory))
        return model.eval()

    def save_pretrained(
        self, directory: str | Path, tokenizer: BertTokenizer | None = None
    ) -> None:
        """Write `config.json`, `model.safetensors`, and the tokenizer's files if one is given.

        `transformers.AutoModel.from_pretrained(directory)` then gives the same numbers. Raises
        `FileExistsError` if there is a model with more parts than this one, such as the MLM head.
        """
        directory = Path(directory)
        weights = self.hf_state_dict()
        check_nothing_is_lost(directory, weights)
        directory.mkdir(parents=True, exist_ok=True)
        write_weights(directory / "model.safetensors", weights)
        if tokenizer is not None:
            tokenizer.save(directory)
        architecture = {"architectures": [type(self).__name__]}
        write_json(directory / "config.json", {**self.config.to_hf_dict(), **architecture})

    def hf_state_dict(self) -> dict[str, Tensor]:
        """The model's tensors under Hugging Face's names; a tied decoder is there once."""
        tensors = {hf_name(name): tensor for name, tensor in self.state_dict().items()}
        if self.config.tie_word_embeddings:
            tensors.pop("decoder.weight", None)
        return tensors

    def load_hf_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy tensors under Hugging Face's names into the model.

        Raises `ValueError` for any missing, extra or misshapen tensor. The model is then unchanged.
        """
        given = {n: t for n, t in plain(tensors).items() if not n.startswith(self.passes_over)}
        if self.config.tie_word_embeddings and "decoder.weight" in given:
            decoder, matrix = given.pop("decoder.weight"), given.get(_TOKEN_MATRIX)
            if matrix is None or not torch.equal(decoder, matrix):
                raise ValueError(
                    "decoder.weight is not the token matrix, though tie_word_embeddings is true"
                )
        wanted = plain(self.hf_state_dict())
        if problems := misfits(given, wanted):
            raise ValueError(f"the weights do not fit {type(self).__name__}: {problems}")
        with torch.no_grad():
            for name, parameter in wanted.items():
                parameter.copy_(given[name])
