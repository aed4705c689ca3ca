"""The config, against Hugging Face's own `BertConfig`: fields, files, and what is refused."""

import json
import math
import warnings

import pytest
import transformers

from minibert.config import PRESETS, BertConfig
from minibert.model import BertModel


def test_defaults_are_those_of_hugging_face():
    theirs = transformers.BertConfig().to_dict()
    ours = BertConfig().to_dict()
    shared = set(ours) & set(theirs)
    assert set(ours) - shared == {"position_embedding_type", "attn_implementation"}
    assert {name: ours[name] for name in shared} == {name: theirs[name] for name in shared}


# Turc et al. (2019), table 1, and Devlin et al. (2019), 3: layers, hidden size, heads.
@pytest.mark.parametrize(
    ("name", "layers", "hidden", "heads"),
    [("tiny", 2, 128, 2), ("mini", 4, 256, 4), ("small", 4, 512, 8), ("base", 12, 768, 12)],
)
def test_presets_have_their_published_sizes(name, layers, hidden, heads):
    config = BertConfig.preset(name)
    assert config.num_hidden_layers == layers
    assert (config.hidden_size, config.num_attention_heads) == (hidden, heads)
    assert (config.head_size, config.intermediate_size) == (64, 4 * hidden)


def test_a_preset_takes_changes():
    config = BertConfig.preset("tiny-4-heads", vocab_size=97)
    assert (config.head_size, config.vocab_size) == (32, 97)
    assert PRESETS["tiny-4-heads"].vocab_size == 30522
    with pytest.raises(ValueError, match=r"preset 'huge' is not one of \['tiny'"):
        BertConfig.preset("huge")


# What loads from a config, and Hugging Face's name for it.
CHANGES = {
    "vocab_size": 97,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "intermediate_size": 56,
    "hidden_act": "gelu_new",
    "hidden_dropout_prob": 0.2,
    "attention_probs_dropout_prob": 0.0,
    "max_position_embeddings": 20,
    "type_vocab_size": 3,
    "initializer_range": 0.1,
    "layer_norm_eps": 1e-6,
    "pad_token_id": 4,
}


def test_a_file_of_hugging_face_comes_back_the_same(tmp_path):
    theirs = transformers.BertConfig(**CHANGES)
    theirs.save_pretrained(tmp_path)
    ours = BertConfig.from_pretrained(tmp_path)
    assert {name: getattr(ours, name) for name in CHANGES} == CHANGES
    (tmp_path / "config.json").write_text(json.dumps(ours.to_hf_dict()))
    again = transformers.BertConfig.from_pretrained(tmp_path)
    assert {name: getattr(again, name) for name in CHANGES} == CHANGES
    assert BertConfig.from_pretrained(tmp_path) == ours


def test_what_hugging_face_writes_itself_is_read_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert BertConfig.from_dict(transformers.BertConfig().to_dict()) == BertConfig()
        for key in ("directionality", "pooler_fc_size", "output_past", "_num_labels"):
            assert BertConfig.from_dict({key: 768}) == BertConfig()  # of released checkpoints
        nulls = {"pad_token_id": None, "position_embedding_type": None}
        assert BertConfig.from_dict(nulls) == BertConfig()


HARMLESS = {
    "embedding_size": 128,
    "sentence_transformers": {"version": "3"},
    "auto_map": {"AutoModel": "x.Y"},
    "_commit_hash": "abc",
    "transformers.js_config": {},
    "finetuning_task": "sst2",
    "classifier_dropout": 0.3,
    "x" * 500: 1,
}


def test_unknown_keys_give_one_warning_that_names_them():
    with pytest.warns(UserWarning) as caught:
        config = BertConfig.from_dict({**HARMLESS, "quantization_config": None, "vocab_size": 97})
    assert config == BertConfig(vocab_size=97)
    (warning,) = caught
    line = str(warning.message)
    assert all(key in line for key in HARMLESS if len(key) < 80) and len(line) < 400


@pytest.mark.parametrize(
    "values",
    [
        {"position_embedding_type": ["absolute"]},
        {"is_decoder": True},
        {"add_cross_attention": True},
        {"tie_word_embeddings": False},
        {"pruned_heads": {"0": [1]}},
        {"quantization_config": {"load_in_8bit": True}},
        {"model_type": "roberta"},
        {"model_type": 3},
    ],
)
def test_a_key_that_changes_numbers_is_refused(values):
    (name,) = values
    with pytest.raises(ValueError, match=f"^{name} "):
        BertConfig.from_dict(values)


SIZES = [name for name, value in CHANGES.items() if isinstance(value, int)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in SIZES for value in ("8", 8.0, True, [8], None)),
        *((name, value) for name in SIZES if name != "pad_token_id" for value in (0, -1)),
        *((name, v) for name in ("layer_norm_eps", "initializer_range")
          for v in ("1e-12", math.nan, math.inf, -1e-12, 0, True, None, [])),
        *((name, v) for name in ("hidden_dropout_prob", "attention_probs_dropout_prob")
          for v in ("0.1", math.nan, 1.0, -0.1, True, None, {})),
        *(("attn_implementation", v) for v in ("flash", None, 3, ["sdpa"], {})),
        *((name, v) for name in ("hidden_act", "position_embedding_type") for v in (3, ["a"], {})),
    ],
)  # fmt: skip
def test_a_bad_value_is_one_line_that_names_the_file_and_the_field(tmp_path, name, value):
    with pytest.raises(ValueError, match=f"^{name} must be"):
        BertConfig(**{name: value})
    if (name, value) == ("pad_token_id", None):
        return  # Hugging Face's word for none
    (tmp_path / "config.json").write_text(json.dumps({name: value}))
    with pytest.raises(ValueError) as error:
        BertConfig.from_pretrained(tmp_path)
    line = str(error.value)
    assert line.startswith(f"{tmp_path / 'config.json'}: {name} must be") and "\n" not in line


def test_a_long_value_gives_a_short_line():
    for name in ("hidden_act", "position_embedding_type", "attn_implementation"):
        with pytest.raises(ValueError) as error:
            BertModel(BertConfig.preset("tiny", **{name: "x" * 10**6}))
        assert name in str(error.value) and len(str(error.value)) < 300


def test_sizes_that_do_not_fit_together():
    with pytest.raises(ValueError, match="hidden_size 10 does not divide by num_attention_heads 3"):
        BertConfig(hidden_size=10, num_attention_heads=3)


def test_overrides(tmp_path):
    transformers.BertConfig(**CHANGES).save_pretrained(tmp_path)
    changed = BertConfig.from_pretrained(tmp_path, attn_implementation="eager")
    assert changed.attn_implementation == "eager" and changed.vocab_size == 97
    with pytest.raises(ValueError, match=r"no config fields \['dtype'\]"):
        BertConfig.from_pretrained(tmp_path, dtype="float16")
    with pytest.raises(FileNotFoundError, match=r"config\.json does not exist"):
        BertConfig.from_pretrained(tmp_path.parent)
