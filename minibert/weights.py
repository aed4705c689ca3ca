"""Reading and writing Hugging Face BERT directories: the directory *is* the format, both ways."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from minibert.config import BertConfig
from minibert.files import find_directory, read_json
from minibert.tokenizer import BertTokenizer

if TYPE_CHECKING:
    from typing_extensions import Self

# Our name -> Hugging Face's, for a whole `BertForPreTraining`; read top to bottom.
_NAMES = (
    ("embeddings.norm.", "embeddings.LayerNorm."),
    ("encoder.layers.", "encoder.layer."),
    (".attention.output.", ".attention.output.dense."),
    (".attention.query.", ".attention.self.query."),
    (".attention.key.", ".attention.self.key."),
    (".attention.value.", ".attention.self.value."),
    (".attention_norm.", ".attention.output.LayerNorm."),
    (".feed_forward.intermediate.", ".intermediate.dense."),
    (".feed_forward.output.", ".output.dense."),
    (".feed_forward_norm.", ".output.LayerNorm."),
    ("pooler.", "pooler.dense."),
    ("pooling_layer.attention.", "pooled_query."),
    ("mlm_head.dense.", "cls.predictions.transform.dense."),
    ("mlm_head.norm.", "cls.predictions.transform.LayerNorm."),
    ("mlm_head.decoder.bias", "cls.predictions.bias"),
    ("nsp_head.", "cls.seq_relationship."),
)

HEAD_PREFIXES = {
    "pooler.": "the pooler",
    "cls.predictions.": "the head that guesses masked words",
    "cls.seq_relationship.": "the NSP head",
    "classifier.": "a classifier",
    "qa_outputs.": "the head that finds answers",
    "pooled_query.": "a pooled query",
}
"""How the names of weights begin that are no part of the body, and what they are."""

_NOT_LEARNED = re.compile(r"(^|\.)(position_ids|token_type_ids)$")


def hf_name(name: str) -> str:
    """The name that Hugging Face gives to one of our parameters."""
    for ours, theirs in _NAMES:
        name = name.replace(ours, theirs)
    return name


def to_hf_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """The model's tensors under Hugging Face's names; the tied decoder is there once."""
    return {
        hf_name(name): tensor.detach().contiguous()
        for name, tensor in model.state_dict().items()
        if name != "mlm_head.decoder.weight"
    }


def load_hf_state_dict(
    model: nn.Module, tensors: dict[str, Tensor], passes_over: tuple[str, ...] = ()
) -> None:
    """Copy tensors under Hugging Face's names into `model`.

    Old names (`gamma`, `beta`) and either use of the `bert.` prefix are understood. What begins
    with one of `passes_over` is left. Any other missing, extra or misshapen tensor is a
    `ValueError` that names them all, and so is a decoder that is not the token matrix; the model
    is then unchanged.
    """
    given: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        name = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", name))
        name = name.removeprefix("bert.")
        if not _NOT_LEARNED.search(name) and not name.startswith(passes_over):
            given[name] = tensor
    # Both stand twice in most files: the decoder is the token matrix.
    token_matrix = given.get("embeddings.word_embeddings.weight")
    decoder = given.pop("cls.predictions.decoder.weight", token_matrix)
    if (bias := given.pop("cls.predictions.decoder.bias", None)) is not None:
        given.setdefault("cls.predictions.bias", bias)
    if decoder is not None and (token_matrix is None or not torch.equal(decoder, token_matrix)):
        raise ValueError(
            "cls.predictions.decoder.weight is not the token matrix: in BERT the two are one"
        )
    wanted = {
        hf_name(name).removeprefix("bert."): parameter
        for name, parameter in model.state_dict().items()
        if name != "mlm_head.decoder.weight"
    }
    misshapen = [
        f"{name} is {tuple(given[name].shape)}, wanted {tuple(wanted[name].shape)}"
        for name in sorted(set(given) & set(wanted))
        if given[name].shape != wanted[name].shape
    ]
    problems = [
        f"{what}: {', '.join(names)}"
        for what, names in (
            ("missing", sorted(set(wanted) - set(given))),
            ("extra", sorted(set(given) - set(wanted))),
            ("of another shape", misshapen),
        )
        if names
    ]
    if problems:
        raise ValueError(f"the weights do not fit {type(model).__name__}: {'; '.join(problems)}")
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(given[name])


def read_weights(directory: Path) -> dict[str, Tensor]:
    """All tensors of a directory's safetensors, sharded or not. Never unpickles anything."""
    files = [directory / "model.safetensors"]
    index = directory / "model.safetensors.index.json"
    if index.exists() and not files[0].exists():
        shards = set(read_json(index).get("weight_map", {}).values())
        if not shards:
            raise ValueError(f"{index} names no file")
        if escaping := [s for s in sorted(shards) if Path(s).name != s]:
            raise ValueError(f"{index} names files outside its folder: {escaping}")
        files = [directory / shard for shard in sorted(shards)]
    if not files[0].exists():
        if any(directory.glob("pytorch_model*")):
            raise ValueError(
                f"{directory} holds pickled weights (pytorch_model.bin), and unpickling can run "
                "any code: not loaded. Convert it where you trust it: transformers' "
                "AutoModel.from_pretrained(...).save_pretrained(...) writes safetensors"
            )
        raise FileNotFoundError(
            f"{files[0]} does not exist: is this a model directory, with weights as safetensors?"
        )
    tensors: dict[str, Tensor] = {}
    for file in files:
        try:
            tensors.update(load_file(file))
        except SafetensorError as error:
            raise ValueError(f"{file} is not a whole safetensors file: {error}") from None
    return tensors


def check_nothing_is_lost(file: Path, weights: dict[str, Tensor]) -> None:
    """Raise `FileExistsError` if `file` holds tensors that `weights` has not."""
    if not file.exists():
        return
    with safe_open(file, framework="pt") as old:
        names = old.keys()
        there = {name.removeprefix("bert.") for name in names}
    if lost := sorted(there - {name.removeprefix("bert.") for name in weights}):
        raise FileExistsError(
            f"{file} is of a larger model, whose {', '.join(lost)} would be lost: save elsewhere, "
            "or remove it first"
        )


class PretrainedModel(nn.Module):
    """A model that can be read from a Hugging Face BERT directory, and written as one."""

    config: BertConfig
    passes_over: tuple[str, ...] = ()
    """Tensors of a larger model's file that this one has no use for, by how their names begin."""

    @classmethod
    def for_weights(cls, config: BertConfig, names: set[str], values: dict[str, Any]) -> Self:
        """The model that weights of these names (without `bert.`) belong to.

        `values` is the whole `config.json`: what a head needs to know stands there too.
        """
        raise NotImplementedError

    def head_config(self) -> dict[str, Any]:
        """What `config.json` says of the head: nothing, where the weights say it all."""
        return {}

    @property
    def body(self) -> Any:
        """The `BertModel` of this model, without its heads."""
        return getattr(self, "bert", self)

    @property
    def architecture(self) -> str:
        """What Hugging Face calls the class of this model."""
        return type(self).__name__

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, **overrides: object) -> Self:
        """The model with the weights of a Hugging Face BERT directory or hub name, in eval mode.

        `overrides` change config fields that no tensor's shape depends on (`attn_implementation`,
        `hidden_dropout_prob`, ...). Raises `FileNotFoundError` where there is no such model, and
        `ValueError` where the weights do not fit or are pickled.
        """
        directory = find_directory(name_or_path)
        tensors = read_weights(directory)
        config = BertConfig.from_pretrained(directory, **overrides)
        names = {name.removeprefix("bert.") for name in tensors}
        model = cls.for_weights(config, names, read_json(directory / "config.json"))
        load_hf_state_dict(model, tensors, model.passes_over)
        return model.eval()

    def save_pretrained(
        self, directory: str | Path, tokenizer: BertTokenizer | None = None
    ) -> None:
        """Write `config.json` and `model.safetensors`, and the tokenizer's files if one is given.

        `transformers.AutoModel.from_pretrained(directory)` then gives the same numbers. A pre-LN
        model has no place in that format: `ValueError`. Raises `FileExistsError` where a model is
        there already that has more parts than this one, such as the head that guesses masked words.
        """
        directory = Path(directory)
        weights = to_hf_state_dict(self)
        check_nothing_is_lost(directory / "model.safetensors", weights)
        config = {
            **self.config.to_hf_dict(),
            **self.head_config(),
            "architectures": [self.architecture],
        }
        directory.mkdir(parents=True, exist_ok=True)
        text = json.dumps(config, indent=2) + "\n"
        (directory / "config.json").write_text(text, encoding="utf-8")
        save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
        if tokenizer is not None:
            tokenizer.save(directory)
