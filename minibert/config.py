"""The shape of a BERT: every size, named once.

The dimensions that the whole package speaks of:

    B  batch            sequences in a batch
    T  tokens           positions in a sequence
    D  hidden           `hidden_size`
    H  heads            `num_attention_heads`
    K  head size        D / H
    F  feed-forward     `intermediate_size`
    V  vocabulary       `vocab_size`
    L  layers           `num_hidden_layers`
    M  masked           positions of a batch whose token is to be predicted
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from minibert.files import find_directory, read_json

# Keys of a Hugging Face BERT config that say nothing about the numbers BERT computes.
_HF_KEYS_WITHOUT_MEANING_HERE = frozenset(
    {
        "_attn_implementation",
        "_attn_implementation_autoset",
        "_name_or_path",
        "_num_labels",
        "add_cross_attention",
        "architectures",
        "bad_words_ids",
        "begin_suppress_tokens",
        "bos_token_id",
        "chunk_size_feed_forward",
        "cross_attention_hidden_size",
        "decoder_start_token_id",
        "directionality",
        "diversity_penalty",
        "do_sample",
        "dtype",
        "early_stopping",
        "encoder_no_repeat_ngram_size",
        "eos_token_id",
        "eos_token_ids",
        "exponential_decay_length_penalty",
        "finetuning_task",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "gradient_checkpointing",
        "id2label",
        "is_encoder_decoder",
        "label2id",
        "language",
        "length_penalty",
        "max_length",
        "min_length",
        "name",
        "no_repeat_ngram_size",
        "num_beam_groups",
        "num_beams",
        "num_labels",
        "num_return_sequences",
        "output_attentions",
        "output_hidden_states",
        "output_past",
        "output_scores",
        "pooler_fc_size",
        "pooler_num_attention_heads",
        "pooler_num_fc_layers",
        "pooler_size_per_head",
        "pooler_type",
        "pooling",
        "prefix",
        "problem_type",
        "remove_invalid_values",
        "repetition_penalty",
        "return_dict",
        "return_dict_in_generate",
        "sep_token_id",
        "suppress_tokens",
        "task_specific_params",
        "temperature",
        "tf_legacy_loss",
        "tie_encoder_decoder",
        "tokenizer_class",
        "top_k",
        "top_p",
        "torch_dtype",
        "torchscript",
        "transformers_version",
        "typical_p",
        "use_bfloat16",
        "use_cache",
        "xla_device",
    }
)


T = TypeVar("T")


def choose(field: str, name: str, table: Mapping[str, T]) -> T:
    """The entry of a table that a config names. Raises `ValueError` if the table lacks it."""
    if not isinstance(name, str) or name not in table:
        raise ValueError(f"{field} {name!r} is not one of {list(table)}")
    return table[name]


@dataclass(frozen=True)
class BertConfig:
    """Sizes and choices of one BERT; the defaults are those of BERT-base (Devlin et al., 2019, 3).

    Field names are those of Hugging Face. The probabilities of dropout lie in [0, 1).
    Raises `ValueError`, in one line, for sizes that do not fit together.
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0
    position_embedding_type: str = "absolute"
    """A name in `attention.POSITION_SCHEMES`. `absolute` is BERT's: learned vectors, added."""
    attn_implementation: str = "sdpa"
    """`sdpa` is torch's built-in, `eager` ours from scratch: equal results."""

    def __post_init__(self) -> None:
        for name in (
            "vocab_size",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "intermediate_size",
            "max_position_embeddings",
            "type_vocab_size",
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} does not divide by num_attention_heads "
                f"{self.num_attention_heads}: every head needs the same whole number of dimensions"
            )
        if self.attn_implementation not in ("sdpa", "eager"):
            raise ValueError(
                f"attn_implementation must be 'sdpa' or 'eager', not {self.attn_implementation!r}"
            )
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0.0 <= value < 1.0:
                raise ValueError(f"{name} must be a number in [0, 1), not {value!r}")

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
        """From the keys of a Hugging Face `config.json`; an unknown key is an error.

        Keys that do not change what BERT computes (`id2label`, `transformers_version`, ...) are
        passed over. Choices that would change it and are not built here are an error.
        """
        values = dict(values)
        if values.pop("model_type", "bert") != "bert":
            raise ValueError("this config is not of model_type 'bert'")
        if values.get("position_embedding_type", "absolute") is None:
            values["position_embedding_type"] = "absolute"
        if values.pop("is_decoder", False):
            raise ValueError("is_decoder: BERT is an encoder")
        if values.pop("tie_word_embeddings", True) is False:
            raise ValueError("tie_word_embeddings: BERT's MLM decoder shares the token matrix")
        if values.pop("pruned_heads", None):
            raise ValueError("pruned_heads: heads of unlike number are not built here")
        values.pop("classifier_dropout", None)
        values = {k: v for k, v in values.items() if k not in _HF_KEYS_WITHOUT_MEANING_HERE}
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"unknown config keys {unknown}; known are {sorted(known)}")
        if values.get("pad_token_id", 0) is None:
            values["pad_token_id"] = 0
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Every field, by its own name."""
        return asdict(self)

    def to_hf_dict(self) -> dict[str, Any]:
        """The fields as a Hugging Face `config.json` has them."""
        values = self.to_dict()
        del values["attn_implementation"]
        return {"model_type": "bert", **values}

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, **overrides: Any) -> BertConfig:
        """The `config.json` of a Hugging Face BERT directory or hub name, with changes.

        Raises `FileNotFoundError` where there is none, and `ValueError` for what is no BERT's.
        """
        if unknown := sorted(set(overrides) - {f.name for f in fields(cls)}):
            raise ValueError(f"there are no config fields {unknown} to change")
        file = find_directory(name_or_path) / "config.json"
        values = read_json(file)
        try:
            return cls.from_dict({**values, **overrides})
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None


def _size(layers: int, hidden: int, head_size: int = 64) -> BertConfig:
    # As Turc et al. (2019) have it: 64 dimensions a head, feed-forward four times as wide.
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
