"""Reading and writing Hugging Face BERT directories: the directory *is* the format, both ways."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from minibert.config import BertConfig
from minibert.files import (
    errors_name,
    field,
    find_directory,
    listed,
    read_json,
    regular,
    write_json,
    write_whole,
)

if TYPE_CHECKING:
    from typing_extensions import Self

    from minibert.tokenizer import BertTokenizer

T = TypeVar("T")
Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of tensors by name, as the head of a safetensors file tells them."""

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

_TOKEN_MATRIX = "embeddings.word_embeddings.weight"
_A_TOKEN_MATRIX = r"embeddings\.(word|tok)_embeddings\.weight"  # ModernBERT's is the second
_BODY = r"(bert|model)\."
_NOT_LEARNED = re.compile(r"(^|\.)(position_ids|token_type_ids)$")


def hf_name(name: str) -> str:
    """The name that Hugging Face gives to one of our parameters."""
    for ours, theirs in _NAMES:
        name = name.replace(ours, theirs)
    return name


def plain(tensors: Mapping[str, T]) -> dict[str, T]:
    """The same tensors under plain names: today's Hugging Face names without `bert.` or `model.`.

    Old names (`gamma`, `beta`) change, buffers go, and so does a wrapper's prefix (`module.`,
    `_orig_mod.`, `0.auto_model.`). Raises `ValueError` if two tensors would share a name.
    """
    matrices = [re.fullmatch(rf"(|.*?\.)({_BODY})?{_A_TOKEN_MATRIX}", name) for name in tensors]
    wrapper = next((found[1] for found in matrices if found), "")
    renamed: dict[str, T] = {}
    for name, tensor in tensors.items():
        short = re.sub(f"^{_BODY}", "", name.removeprefix(wrapper))
        short = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", short))
        if _NOT_LEARNED.search(short):
            continue
        if short in renamed:
            raise ValueError(f"the weights hold {listed([short])} twice")
        renamed[short] = tensor
    return renamed


def to_hf_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """The model's tensors under Hugging Face's names; the tied decoder is there once."""
    tensors = model.state_dict().items()
    return {hf_name(name): t for name, t in tensors if name != "mlm_head.decoder.weight"}


def misfits(given: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """How tensors, or their shapes, differ by name and shape; empty if they do not."""
    has, wants = ({n: tuple(getattr(t, "shape", t)) for n, t in x.items()} for x in (given, wanted))
    both = sorted(set(has) & set(wants))
    problems = {
        "missing": sorted(set(wants) - set(has)),
        "extra": sorted(set(has) - set(wants)),
        "of another shape": [
            f"{n} is {has[n]}, wanted {wants[n]}" for n in both if has[n] != wants[n]
        ],
    }
    return "; ".join(f"{what}: {listed(names)}" for what, names in problems.items() if names)


def load_hf_state_dict(
    model: nn.Module, tensors: Mapping[str, Tensor], passes_over: tuple[str, ...] = ()
) -> None:
    """Copy tensors under Hugging Face's names into `model`, except those that `passes_over` begin.

    Raises `ValueError` for any missing, extra or misshapen tensor, and for a decoder that is not
    the token matrix. The model is then unchanged.
    """
    given = {n: tensor for n, tensor in plain(tensors).items() if not n.startswith(passes_over)}
    # Most files hold the token matrix twice: it is the decoder too.
    token_matrix = given.get(_TOKEN_MATRIX)
    decoder = given.pop("cls.predictions.decoder.weight", token_matrix)
    if (bias := given.pop("cls.predictions.decoder.bias", None)) is not None:
        given.setdefault("cls.predictions.bias", bias)
    if decoder is not None and (token_matrix is None or not torch.equal(decoder, token_matrix)):
        raise ValueError("cls.predictions.decoder.weight is not the token matrix, as it is in BERT")
    wanted = plain(to_hf_state_dict(model))
    if problems := misfits(given, wanted):
        raise ValueError(f"the weights do not fit {type(model).__name__}: {problems}")
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(given[name])


def check_sizes(config: BertConfig, shapes: Shapes) -> None:
    """Raise `ValueError` if weights do not have the config's sizes, which may not fit in memory."""
    D, L = config.hidden_size, config.num_hidden_layers
    wanted = {
        _TOKEN_MATRIX: (config.vocab_size, D),
        "embeddings.token_type_embeddings.weight": (config.type_vocab_size, D),
    }
    if config.position_embedding_type == "absolute":
        wanted["embeddings.position_embeddings.weight"] = (config.max_position_embeddings, D)
    for layer in range(min(L, len(shapes))):  # all further matrices are no larger than these
        wanted[f"encoder.layer.{layer}.attention.self.query.weight"] = (D, D)
        wanted[f"encoder.layer.{layer}.intermediate.dense.weight"] = (config.intermediate_size, D)
    if problems := misfits({name: shapes[name] for name in wanted if name in shapes}, wanted):
        raise ValueError(f"the weights do not have the sizes that config.json gives: {problems}")


def _weight_files(directory: Path) -> list[Path]:
    file, index = directory / "model.safetensors", directory / "model.safetensors.index.json"
    if file.exists():
        return [file]
    if index.exists():
        with errors_name(index):
            names = sorted({*map(str, field(read_json(index), "weight_map", dict, {}).values())})
            wrong = [ascii(n) for n in names if not re.fullmatch(r"[\w .-]+\.safetensors", n)]
            if wrong or not names:
                what = f"safetensors files, none outside its folder: {listed(wrong)}"
                raise ValueError(f"weight_map must name {what}")
        return [directory / name for name in names]
    if any(directory.glob("pytorch_model*")):
        raise ValueError(
            f"{directory} holds pickled weights, not loaded because they can run any code: "
            "transformers' from_pretrained and save_pretrained turn them into safetensors"
        )
    raise FileNotFoundError(f"{file} does not exist: is this a model directory, with safetensors?")


def _read(directory: Path, take: Callable[[Any, str], T]) -> dict[str, T]:
    """What `take` makes of each tensor of a directory's safetensors, by its plain name."""
    found = {}
    for file in _weight_files(directory):
        try:
            with safe_open(regular(file), framework="pt") as tensors:
                found.update({name: take(tensors, name) for name in tensors.keys()})  # noqa: SIM118
        except SafetensorError as error:
            raise ValueError(f"{file} is not a whole safetensors file: {error}") from None
    with errors_name(directory):
        return plain(found)


def read_shapes(directory: Path) -> Shapes:
    """The shape of every tensor in a directory, by its plain name."""
    return _read(directory, lambda file, name: tuple(file.get_slice(name).get_shape()))


def read_weights(directory: Path) -> dict[str, Tensor]:
    """Every tensor in a directory, by its plain name. Never unpickles anything."""
    return _read(directory, lambda file, name: file.get_tensor(name))


def write_weights(file: Path, tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file as `write_whole` does."""
    try:
        write_whole(file, lambda writing: save_file(tensors, writing, metadata={"format": "pt"}))
    except SafetensorError as error:  # its word for a full disk
        raise OSError(f"cannot write {file}: {error}") from None


def check_nothing_is_lost(directory: Path, weights: Mapping[str, Tensor]) -> None:
    """Raise `FileExistsError` if a model in `directory` has tensors that `weights` lacks."""
    try:
        there = read_shapes(directory)
    except (FileNotFoundError, ValueError):  # there is no model, or none that can be read
        return
    if lost := sorted(set(there) - set(plain(weights))):
        what = f"{directory} holds a larger model, and its {listed(lost)} would be lost"
        raise FileExistsError(f"{what}: save elsewhere, or remove it first")


class Undrawn(TorchFunctionMode):
    """Models made in this block start at zero, because weights from a file replace random ones."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func.__name__ in {"normal_", "uniform_", "kaiming_uniform_"}:
            drawn = args[0] if args else kwargs["tensor"]
            drawn.detach().zero_()
            return drawn
        return func(*args, **kwargs)


class PretrainedModel(nn.Module):
    """A model that reads Hugging Face BERT directories and writes them."""

    config: BertConfig
    passes_over: tuple[str, ...] = ()
    """Tensors of a larger model's file that this model does not use, by how their names begin."""

    @classmethod
    def for_weights(cls, config: BertConfig, shapes: Shapes, values: dict[str, Any]) -> Self:
        """The model that these weights belong to; `values` is the whole `config.json`."""
        raise NotImplementedError

    def head_config(self) -> dict[str, Any]:
        """What `config.json` says of the head: nothing if the weights say it all."""
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

        `overrides` change config fields that no tensor's shape depends on. Raises
        `FileNotFoundError` if there is no such model, and `ValueError` if the weights do not fit.
        """
        directory = find_directory(name_or_path)
        shapes = read_shapes(directory)
        config = BertConfig.from_pretrained(directory, **overrides)
        values = read_json(directory / "config.json")
        with errors_name(directory):
            check_sizes(config, shapes)
            with Undrawn():
                model = cls.for_weights(config, shapes, values)
            load_hf_state_dict(model, read_weights(directory), model.passes_over)
        return model.eval()

    def save_pretrained(
        self, directory: str | Path, tokenizer: BertTokenizer | None = None
    ) -> None:
        """Write `config.json` and `model.safetensors`, and the tokenizer's files if one is given.

        `transformers.AutoModel.from_pretrained(directory)` then gives the same numbers. Raises
        `FileExistsError` if there is a model with more parts than this one, such as the MLM head.
        """
        directory = Path(directory)
        weights = to_hf_state_dict(self)
        check_nothing_is_lost(directory, weights)
        config = {**self.config.to_hf_dict(), **self.head_config()}
        directory.mkdir(parents=True, exist_ok=True)
        write_weights(directory / "model.safetensors", weights)
        if tokenizer is not None:
            tokenizer.save(directory)
        write_json(directory / "config.json", {**config, "architectures": [self.architecture]})
