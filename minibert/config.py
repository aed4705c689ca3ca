"""The sizes of a BERT, each named once.

The whole package speaks of these dimensions:

    B  batch            sequences in a batch
    T  tokens           positions in a sequence
    D  hidden           `hidden_size`
    H  heads            `num_attention_heads`
    K  head size        D / H
    F  feed-forward     `intermediate_size`
    V  vocabulary       `vocab_size`
    L  layers           `num_hidden_layers`
    M  masked           positions of a batch whose token the model predicts
"""

from __future__ import annotations

import re
import reprlib
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from minibert.files import errors_name, field, find_directory, listed, read_json
from minibert.settings import Count, Dropout, Positive, Whole, check, one_of

T = TypeVar("T")

# Keys of a Hugging Face config that change what BERT computes, and the values that are BERT's.
_BERT_ONLY: dict[str, tuple[Any, ...]] = {
    "is_decoder": (None, False),
    "add_cross_attention": (None, False),
    "tie_word_embeddings": (None, True),
    "pruned_heads": (None, {}),
    "quantization_config": (None, {}),
}
HARMLESS_KEYS = re.compile(
    r"model_type|architectures|transformers_version|_name_or_path|(torch_)?dtype|use_cache"
    r"|return_dict|output_(attentions|hidden_states|past)|gradient_checkpointing|is_encoder_decoder"
    r"|chunk_size_feed_forward|[be]os_token_id|directionality|pooler_\w+|pooling|problem_type"
    r"|_?num_labels|id2label|label2id"
)
"""Keys that change no number: what Hugging Face writes into every file, and what heads read."""


def choose(field: str, name: str, table: Mapping[str, T]) -> T:
    """The entry of a table that a config names. Raises `ValueError` if the table lacks it."""
    if not isinstance(name, str) or name not in table:
        raise ValueError(f"{field} {reprlib.repr(name)} is not one of {list(table)}")
    return table[name]


@dataclass(frozen=True)
class BertConfig:
    """Sizes and choices of one BERT. The defaults are BERT-base's (Devlin et al., 2019, 3).

    Fields have Hugging Face's names. Raises `ValueError` for a value of the wrong type or range,
    and for sizes that do not fit together.
    """

    vocab_size: Count = 30522
    hidden_size: Count = 768
    num_hidden_layers: Count = 12
    num_attention_heads: Count = 12
    intermediate_size: Count = 3072
    hidden_act: str = "gelu"
    """A name in `encoder.ACTIVATIONS`."""
    hidden_dropout_prob: Dropout = 0.1
    attention_probs_dropout_prob: Dropout = 0.1
    max_position_embeddings: Count = 512
    type_vocab_size: Count = 2
    initializer_range: Positive = 0.02
    layer_norm_eps: Positive = 1e-12
    pad_token_id: Whole = 0
    """There is no such token if it is outside the vocabulary."""
    position_embedding_type: str = "absolute"
    """A name in `attention.POSITION_SCHEMES`. `absolute` is BERT's: learned vectors, added."""
    attn_implementation: Annotated[str, one_of(("sdpa", "eager"))] = "sdpa"
    """`sdpa` is torch's built-in, `eager` ours from scratch. The results are equal."""

    def __post_init__(self) -> None:
        check(self)
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} does not divide by num_attention_heads "
                f"{self.num_attention_heads}: every head needs the same whole number of dimensions"
            )

    @property
    def head_size(self) -> int:
        """K, the dimensions of one head."""
        return self.hidden_size // self.num_attention_heads

    @classmethod
    def preset(cls, name: str, **overrides: Any) -> BertConfig:
        """A named size of `PRESETS` (Turc et al., 2019), with changes."""
        return replace(choose("preset", name, PRESETS), **overrides)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> BertConfig:
        """The config that the keys of a Hugging Face `config.json` describe.

        Raises `ValueError` for a key that changes what BERT computes in a way that is not built
        here. Unknown keys are ignored, with one warning that names them.
        """
        if (kind := field(values, "model_type", str, "bert")) != "bert":
            raise ValueError(f"model_type is {reprlib.repr(kind)}, not 'bert'")
        for name, allowed in _BERT_ONLY.items():
            if (value := values.get(name)) not in allowed:
                raise ValueError(f"{name} is {reprlib.repr(value)}, which is not supported")
        names = {f.name for f in fields(cls)}
        unknown = {
            n for n in set(values) - names - set(_BERT_ONLY) if not HARMLESS_KEYS.fullmatch(n)
        }
        if values.get("classifier_dropout") is None:  # the body's dropout, as here
            unknown.discard("classifier_dropout")
        if unknown:
            line = f"unknown config keys are ignored: {listed(sorted(unknown), 40)}"
            warnings.warn(line, stacklevel=2)
        default = ("pad_token_id", "position_embedding_type")  # if null
        known = names - {name for name in default if values.get(name) is None}
        return cls(**{name: value for name, value in values.items() if name in known})

    def to_dict(self) -> dict[str, Any]:
        """Every field by its name."""
        return asdict(self)

    def to_hf_dict(self) -> dict[str, Any]:
        """The fields of a Hugging Face `config.json`."""
        values = self.to_dict()
        del values["attn_implementation"]
        return {"model_type": "bert", **values}

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, **overrides: Any) -> BertConfig:
        """The `config.json` of a Hugging Face BERT directory or hub name, with changes.

        Raises `FileNotFoundError` if it does not exist, and `ValueError` if it is not BERT's.
        """
        if unknown := sorted(set(overrides) - {f.name for f in fields(cls)}):
            raise ValueError(f"there are no config fields {unknown} to change")
        file = find_directory(name_or_path) / "config.json"
        values = read_json(file)
        with errors_name(file):
            config = cls.from_dict(values)
        return replace(config, **overrides)


def _size(layers: int, hidden: int, head_size: int = 64) -> BertConfig:
    # Turc et al. (2019): 64 dimensions a head, and a feed-forward four times as wide.
    return BertConfig(
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=hidden // head_size,
        intermediate_size=4 * hidden,
    )


PRESETS = {
    "tiny": _size(2, 128),
    "tiny-4-heads": _size(2, 128, head_size=32),
    "mini": _size(4, 256),
    "mini-6-layers": _size(6, 256),
    "small": _size(4, 512),
    "base": _size(12, 768),
}
