"""The sizes of a ModernBERT, read from a Hugging Face `config.json` in its old and new form."""

from __future__ import annotations

import re
import reprlib
import warnings
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

from minibert.config import HARMLESS_KEYS
from minibert.encoder import ACTIVATIONS
from minibert.files import errors_name, field, find_directory, listed, read_json
from minibert.settings import Count, Dropout, Positive, Whole, check, one_of

# Keys of a config.json that change no number here. BERT's harmless keys are harmless here too.
_HARMLESS = re.compile(
    r"(cls|sep|mask|unk)_token_id|layer_norm_eps|position_embedding_type|initializer_cutoff_factor"
    r"|classifier_(pooling|dropout)|sparse_prediction|sparse_pred_ignore_index"
    r"|deterministic_flash_attn|reference_compile|repad_logits_with_grad"
)
# Keys that change numbers, and the values that change nothing.
_ONLY: dict[str, tuple[Any, ...]] = {
    "rope_scaling": (None,),
    "is_causal": (None, False),
    "causal_mask": (None, False),
    "quantization_config": (None, {}),
}
# Each kind of layer as transformers 5 calls it, and our field for its theta.
_THETAS = {"full_attention": "global_rope_theta", "sliding_attention": "local_rope_theta"}


@dataclass(frozen=True)
class ModernBertConfig:
    """Sizes and choices of one ModernBERT. The defaults are ModernBERT-base's.

    Fields have the names that published directories use, which transformers 4 wrote. Raises
    `ValueError` as `BertConfig` does.
    """

    vocab_size: Count = 50368
    hidden_size: Count = 768
    num_hidden_layers: Count = 22
    num_attention_heads: Count = 12
    intermediate_size: Count = 1152
    hidden_activation: Annotated[str, one_of(ACTIVATIONS)] = "gelu"
    max_position_embeddings: Count = 8192
    """The longest text of its training. Longer texts are computed too: no table of positions ends.
    """
    global_attn_every_n_layers: Count = 3
    """Layers 0, n, 2n, ... are global, and all others local."""
    local_attention: Count = 128
    """Width of the window: in local layers, a token sees half of it to each side."""
    global_rope_theta: Positive = 160_000.0
    """The larger theta is, the slower rotations are, and the farther apart positions can differ."""
    local_rope_theta: Positive = 10_000.0
    embedding_dropout: Dropout = 0.0
    attention_dropout: Dropout = 0.0
    mlp_dropout: Dropout = 0.0
    norm_bias: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    classifier_bias: bool = False
    """Of the first layer in the MLM head."""
    classifier_activation: Annotated[str, one_of(ACTIVATIONS)] = "gelu"
    """In the MLM head."""
    decoder_bias: bool = True
    tie_word_embeddings: bool = True
    """The token matrix is the decoder of the MLM head, as in BERT."""
    initializer_range: Positive = 0.02
    norm_eps: Positive = 1e-5
    pad_token_id: Whole | None = 50283
    """There is no such token if it is None or outside the vocabulary."""
    attn_implementation: Annotated[str, one_of(("sdpa", "eager"))] = "sdpa"

    def __post_init__(self) -> None:
        check(self)
        if self.hidden_size % (2 * self.num_attention_heads):
            raise ValueError(
                f"hidden_size {self.hidden_size} does not divide by 2 x num_attention_heads "
                f"{self.num_attention_heads}: rotations need an even number of dimensions per head"
            )

    @property
    def head_size(self) -> int:
        """K, the dimensions of one head."""
        return self.hidden_size // self.num_attention_heads

    def is_global(self, layer: int) -> bool:
        """Whether layer 0, 1, ... sees the whole text."""
        return layer % self.global_attn_every_n_layers == 0

    @property
    def padding_index(self) -> int | None:
        """`pad_token_id`, or None if the vocabulary has no such token."""
        pad = self.pad_token_id
        return pad if pad is not None and 0 <= pad < self.vocab_size else None

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModernBertConfig:
        """The config that the keys of a Hugging Face `config.json` describe.

        Reads the names of published directories, and `layer_types` and `rope_parameters`, which
        transformers 5 writes instead. Raises and warns as `BertConfig.from_dict` does.
        """
        if (kind := field(values, "model_type", str, "modernbert")) != "modernbert":
            raise ValueError(f"model_type is {reprlib.repr(kind)}, not 'modernbert'")
        for name, allowed in _ONLY.items():
            if (value := values.get(name)) not in allowed:
                raise ValueError(f"{name} is {reprlib.repr(value)}, which is not supported")
        known = {f.name for f in fields(cls)}
        others = set(values) - known - set(_ONLY) - {"layer_types", "rope_parameters"}
        harmless = {n for n in others if HARMLESS_KEYS.fullmatch(n) or _HARMLESS.fullmatch(n)}
        if unknown := sorted(others - harmless):
            warnings.warn(f"unknown config keys are ignored: {listed(unknown, 40)}", stacklevel=2)
        given = {name: value for name, value in values.items() if name in known}
        config = cls(**{**given, **_thetas(values)})
        if values.get("layer_types") is None:
            return config
        every = _global_every(values["layer_types"], config.num_hidden_layers)
        return replace(config, global_attn_every_n_layers=every)

    def to_dict(self) -> dict[str, Any]:
        """Every field by its name."""
        return asdict(self)

    def to_hf_dict(self) -> dict[str, Any]:
        """The fields of a Hugging Face `config.json`, under names that all versions read."""
        values = {**self.to_dict(), "pad_token_id": self.padding_index}
        del values["attn_implementation"]
        # Without these, Hugging Face has ids of ModernBERT-base's vocabulary.
        others = dict.fromkeys(f"{name}_token_id" for name in ("bos", "eos", "cls", "sep"))
        return {"model_type": "modernbert", **values, **others}

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, **overrides: Any) -> ModernBertConfig:
        """The `config.json` of a Hugging Face ModernBERT directory or hub name, with changes.

        Raises `FileNotFoundError` if it does not exist, and `ValueError` if it is not ModernBERT's.
        """
        if unknown := sorted(set(overrides) - {f.name for f in fields(cls)}):
            raise ValueError(f"there are no config fields {unknown} to change")
        file = find_directory(name_or_path) / "config.json"
        values = read_json(file)
        with errors_name(file):
            config = cls.from_dict(values)
        return replace(config, **overrides)


def _thetas(values: dict[str, Any]) -> dict[str, Any]:
    """Our fields from `rope_parameters`, whose values count before those of the old names."""
    parameters = field(values, "rope_parameters", dict, {})
    if unknown := set(parameters) - set(_THETAS):
        raise ValueError(f"rope_parameters must have the keys {list(_THETAS)}, not {unknown}")
    found = {}
    for kind in parameters:
        rope = dict(field(parameters, kind, dict, {}))
        if (rope_type := rope.pop("rope_type", "default")) != "default":
            raise ValueError(f"rope_type {reprlib.repr(rope_type)} of {kind} is not supported")
        if "rope_theta" in rope:
            found[_THETAS[kind]] = rope.pop("rope_theta")
        if rope:
            raise ValueError(f"rope_parameters of {kind} with {list(rope)} are not supported")
    return found


def _global_every(layer_types: Any, num_layers: int) -> int:
    """n if layers 0, n, 2n, ... of `layer_types` are global, and all others local."""
    if isinstance(layer_types, list) and len(layer_types) == num_layers:
        rest = [n for n in range(1, num_layers) if layer_types[n] == "full_attention"]
        every = rest[0] if rest else num_layers
        local, full = "sliding_attention", "full_attention"
        if layer_types == [local if n % every else full for n in range(num_layers)]:
            return every
    raise ValueError(
        f"layer_types must be {num_layers} names, full_attention for layers 0, n, 2n, ... and "
        f"sliding_attention for all others, not {reprlib.repr(layer_types)}"
    )
