"""Reading and writing Hugging Face BERT directories: the directory *is* the format, both ways."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from minibert.config import BertConfig
from minibert.model import BertForPreTraining, BertModel

Model = TypeVar("Model", BertModel, BertForPreTraining)

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
    ("mlm_head.dense.", "cls.predictions.transform.dense."),
    ("mlm_head.norm.", "cls.predictions.transform.LayerNorm."),
    ("mlm_head.decoder.bias", "cls.predictions.bias"),
    ("nsp_head.", "cls.seq_relationship."),
)

# Tensors that repeat another one, or hold nothing that was learned.
_REDUNDANT = re.compile(
    r"(^|\.)(position_ids|token_type_ids)$|^cls\.predictions\.decoder\.(weight|bias)$"
)


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


def load_hf_state_dict(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Copy tensors under Hugging Face's names into `model`.

    Old names (`gamma`, `beta`) and either use of the `bert.` prefix are understood. A `BertModel`
    takes the trunk of a larger file and leaves its heads (`cls.`). Any other missing, extra or
    misshapen tensor is a `ValueError` that names them all; the model is then unchanged.
    """
    trunk_only = isinstance(model, BertModel)
    given: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        name = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", name))
        name = name.removeprefix("bert.")
        if _REDUNDANT.search(name) or (trunk_only and name.startswith("cls.")):
            continue
        given[name] = tensor
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
    index = directory / "model.safetensors.index.json"
    if index.exists():
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        if escaping := [s for s in sorted(shards) if Path(s).name != s]:
            raise ValueError(f"{index} names files outside its folder: {escaping}")
        files = [directory / shard for shard in sorted(shards)]
    else:
        files = [directory / "model.safetensors"]
    if not files[0].exists():
        if (directory / "pytorch_model.bin").exists():
            raise ValueError(
                f"{directory} holds pickled weights (pytorch_model.bin), and unpickling can run "
                "any code: not loaded. Convert it where you trust it: transformers' "
                "AutoModel.from_pretrained(...).save_pretrained(...) writes safetensors"
            )
        raise FileNotFoundError(f"{files[0]} does not exist: is this a model directory?")
    tensors: dict[str, Tensor] = {}
    for file in files:
        try:
            tensors.update(load_file(file))
        except SafetensorError as error:
            raise ValueError(f"{file} is not a whole safetensors file: {error}") from None
    return tensors


def find_directory(name_or_path: str | Path) -> Path:
    """A local directory as it is; any other name is asked of the Hugging Face hub.

    Raises `FileNotFoundError` where neither is to be had.
    """
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return path
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", str(name_or_path)):
        raise FileNotFoundError(f"{path} is not a directory")
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                str(name_or_path), allow_patterns=["*.json", "*.safetensors", "*.txt"]
            )
        )
    except Exception as error:  # the client raises a dozen kinds, all of them "not to be had"
        raise FileNotFoundError(
            f"{name_or_path} is neither a directory here nor to be had from the Hugging Face hub "
            f"({type(error).__name__})"
        ) from None


def from_pretrained(kind: type[Model], name_or_path: str | Path, **overrides: object) -> Model:
    """A model of `kind` with the weights of a Hugging Face BERT directory or hub name.

    `overrides` change config fields that no tensor's shape depends on (`attn_implementation`,
    `hidden_dropout_prob`, ...). The model comes in eval mode.
    """
    directory = find_directory(name_or_path)
    tensors = read_weights(directory)
    config = BertConfig.from_dict(
        {**json.loads((directory / "config.json").read_text(encoding="utf-8")), **overrides}
    )
    names = {name.removeprefix("bert.") for name in tensors}
    if kind is BertModel:
        model = BertModel(config, add_pooling_layer="pooler.dense.weight" in names)
    else:
        model = BertForPreTraining(config, "cls.seq_relationship.weight" in names)
    load_hf_state_dict(model, tensors)
    return model.eval()


def save_pretrained(model: BertModel | BertForPreTraining, directory: str | Path) -> None:
    """Write `config.json` and `model.safetensors` as `transformers` reads them."""
    directory = Path(directory)
    config = model.config.to_hf_dict()
    if isinstance(model, BertModel):
        config["architectures"] = ["BertModel"]
    else:
        config["architectures"] = ["BertForPreTraining" if model.nsp_head else "BertForMaskedLM"]
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config, indent=2) + "\n"
    (directory / "config.json").write_text(text, encoding="utf-8")
    save_file(to_hf_state_dict(model), directory / "model.safetensors", metadata={"format": "pt"})
