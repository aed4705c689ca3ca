"""Weights that come from elsewhere: wrappers' names, and folders that do not fit together."""

import json
import os

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import minibert
from minibert.pretraining.start_from_model import load_with_new_heads
from minibert.tokenizer import SPECIAL_TOKENS

SIZES = {
    "vocab_size": 97,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 20,
}
IDS = torch.tensor([[2, 7, 9, 3]])


def saved(folder, kind=transformers.BertForPreTraining, **settings):
    torch.manual_seed(0)
    theirs = kind(transformers.BertConfig(**SIZES, initializer_range=0.2, **settings)).eval()
    theirs.save_pretrained(folder)
    minibert.BertTokenizer([*SPECIAL_TOKENS, *map(str, range(92))]).save(folder)
    return theirs


def change_config(folder, **changes):
    file = folder / "config.json"
    values = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({name: v for name, v in values.items() if v is not ...}))


def renamed(folder, rename):
    file = folder / "model.safetensors"
    tensors = {rename(name): tensor for name, tensor in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: f"module.{name}",
        lambda name: f"_orig_mod.{name}",
        lambda name: f"module._orig_mod.{name.removeprefix('bert.')}",
        lambda name: f"my.model.{name}" if name.startswith("bert.") else name,
    ],
)
def test_the_prefix_of_a_wrapper_is_stripped(tmp_path, rename):
    theirs = saved(tmp_path)
    renamed(tmp_path, rename)
    ours = minibert.BertForPreTraining.from_pretrained(tmp_path)
    with torch.no_grad():
        want = theirs(IDS)
        got = ours(IDS)
    torch.testing.assert_close(got.prediction_logits, want.prediction_logits)
    torch.testing.assert_close(got.seq_relationship_logits, want.seq_relationship_logits)


def test_only_weights_that_are_not_loaded_are_drawn(tmp_path):
    """To draw them takes ten times as long as to load them. After an error all is as before."""
    saved(tmp_path)
    before = torch.get_rng_state()
    minibert.BertForPreTraining.from_pretrained(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    renamed(tmp_path, lambda name: name.replace("pooler", "puller"))
    with pytest.raises(ValueError, match="missing"):
        minibert.BertForPreTraining.from_pretrained(tmp_path)
    model = minibert.BertModel(minibert.BertConfig(**SIZES))
    assert 0 < model.encoder.layers[0].attention.query.weight.std() < 0.02


def test_the_body_of_a_sentence_transformer_loads(tmp_path):
    theirs = saved(tmp_path, transformers.BertModel)
    renamed(tmp_path, lambda name: f"0.auto_model.{name}")
    with torch.no_grad():
        want = theirs(IDS).last_hidden_state
        got = minibert.BertModel.from_pretrained(tmp_path)(IDS).last_hidden_state
    torch.testing.assert_close(got, want)


def test_weights_of_two_models_are_not_mixed_up(tmp_path):
    saved(tmp_path, transformers.BertModel)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    two = {f"{who}.{n}": t.clone() for n, t in tensors.items() for who in ("query", "passage")}
    save_file(two, file)
    with pytest.raises(ValueError, match=r"extra: (query|passage)\.embeddings\.LayerNorm\.bias"):
        minibert.BertModel.from_pretrained(tmp_path)
    save_file({**tensors, **{f"bert.{name}": t + 1 for name, t in tensors.items()}}, file)
    with pytest.raises(ValueError, match=r"embeddings\.LayerNorm\.bias twice"):
        minibert.BertModel.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"vocab_size": 3_000_000}, minibert.BertForPreTraining),
        ({"hidden_size": 10**9}, minibert.BertForPreTraining),
        ({"intermediate_size": 10**9}, minibert.BertModel),
        ({"max_position_embeddings": 10**9}, minibert.BertModel),
        ({"type_vocab_size": 10**9}, minibert.BertModel),
        ({"num_hidden_layers": 1000}, minibert.BertModel),
        ({"num_hidden_layers": 20_000}, minibert.BertForPreTraining),
        ({"num_hidden_layers": 10**9}, minibert.BertModel),
        ({"num_labels": 10**9}, minibert.BertForSequenceClassification),
    ],
)
def test_no_model_is_built_of_sizes_that_the_weights_lack(tmp_path, monkeypatch, changes, kind):
    head = kind is minibert.BertForSequenceClassification
    theirs = transformers.BertForSequenceClassification if head else transformers.BertForPreTraining
    saved(tmp_path, theirs)
    change_config(tmp_path, **changes)
    monkeypatch.setattr("minibert.embeddings.BertEmbeddings.__init__", None)  # building would fail
    with pytest.raises(ValueError) as error:
        kind.from_pretrained(tmp_path)
    line = str(error.value)
    assert line.startswith(str(tmp_path)) and "\n" not in line and len(line) < 1000
    if kind is minibert.BertForPreTraining:
        with pytest.raises(ValueError, match="the weights do not have the sizes that config"):
            load_with_new_heads(tmp_path, minibert.BertForPreTraining)


@pytest.mark.parametrize(
    ("name", "value"), [("position_embedding_type", "relative_key"), ("hidden_act", "mish")]
)
def test_a_choice_that_is_not_built_here_is_refused(tmp_path, name, value):
    saved(tmp_path)
    change_config(tmp_path, **{name: value})
    with pytest.raises(ValueError, match=f"{tmp_path}.*{name} '{value}' is not one of"):
        minibert.BertModel.from_pretrained(tmp_path)


def test_a_config_of_too_few_layers_is_refused(tmp_path):
    saved(tmp_path)
    change_config(tmp_path, num_hidden_layers=1)
    with pytest.raises(ValueError, match=r"extra: encoder\.layer\.1\.attention.* and 8 more"):
        minibert.BertModel.from_pretrained(tmp_path)


def index(folder, entry):
    saved(folder, transformers.BertModel)
    (folder / "model.safetensors").unlink()
    file = folder / "model.safetensors.index.json"
    file.write_text(json.dumps(entry))
    return file


@pytest.mark.parametrize(
    "files", ["..", ".", "", "a/b.safetensors", "../x.safetensors", "a\0.safetensors", "\udcff",
              "\udcff.safetensors", 3, None, ["a.safetensors"], "config.json"]
)  # fmt: skip
def test_an_index_that_names_no_file_of_its_folder_is_named(tmp_path, files):
    file = index(tmp_path, {"weight_map": {"pooler.dense.bias": files, "a": "a.safetensors"}})
    with pytest.raises(ValueError) as error:
        minibert.BertModel.from_pretrained(tmp_path)
    line = str(error.value)
    assert line.startswith(f"{file}: weight_map must name") and line.isprintable()


@pytest.mark.parametrize("weight_map", [3, [], "a.safetensors", {}, None])
def test_an_index_of_another_type_is_named(tmp_path, weight_map):
    file = index(tmp_path, {"weight_map": weight_map})
    with pytest.raises(ValueError) as error:
        minibert.BertModel.from_pretrained(tmp_path)
    assert str(error.value).startswith(f"{file}: weight_map must")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_pipe_is_not_waited_for(tmp_path, name):
    saved(tmp_path)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match=f"{name} is not a regular file"):
        minibert.BertModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("rest", [b"", b"\xff" * 100])
def test_a_damaged_file_is_named_and_can_be_replaced(tmp_path, rest):
    saved(tmp_path)
    model = minibert.BertForPreTraining.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(rest)
    with pytest.raises(ValueError, match=r"model\.safetensors is not a whole safetensors file"):
        minibert.BertModel.from_pretrained(tmp_path)
    model.bert.save_pretrained(tmp_path)
    assert minibert.BertModel.from_pretrained(tmp_path).config == model.config


def test_a_larger_model_in_several_files_is_not_lost_either(tmp_path):
    saved(tmp_path).save_pretrained(tmp_path / "parts", max_shard_size="10KB")
    assert not (tmp_path / "parts" / "model.safetensors").exists()
    with pytest.raises(FileExistsError, match=r"cls\.predictions\.bias.* would be lost"):
        minibert.BertModel.from_pretrained(tmp_path).save_pretrained(tmp_path / "parts")


def test_a_save_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    saved(tmp_path)
    model = minibert.BertForPreTraining.from_pretrained(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def full_disk(tensors, file, metadata):
        file.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr("minibert.weights.save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        model.save_pretrained(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_every_file_of_a_model_has_the_same_mode(tmp_path):
    model = minibert.BertModel(minibert.BertConfig(**SIZES))
    model.save_pretrained(tmp_path, minibert.BertTokenizer(SPECIAL_TOKENS))
    assert len({file.stat().st_mode for file in tmp_path.iterdir()}) == 1


# Labels: `config.json` may leave them out.


@pytest.mark.parametrize(
    ("outputs", "changes"),
    [
        (5, {"num_labels": 5, "id2label": ..., "label2id": ...}),
        (1, {"num_labels": 1, "id2label": ..., "label2id": ...}),
        (3, {"num_labels": 3, "id2label": {"0": "no", "1": "yes"}}),
        (2, {"id2label": ..., "label2id": ...}),
        (2, {"num_labels": 2, "id2label": {"1": "yes", "0": "no"}}),
    ],
)
@pytest.mark.parametrize("task", ["SequenceClassification", "TokenClassification"])
def test_labels_are_those_of_hugging_face(tmp_path, task, outputs, changes):
    saved(tmp_path, getattr(transformers, f"BertFor{task}"), num_labels=outputs)
    change_config(tmp_path, **changes)
    theirs = getattr(transformers, f"AutoModelFor{task}").from_pretrained(tmp_path).eval()
    ours = getattr(minibert, f"BertFor{task}").from_pretrained(tmp_path)
    assert dict(enumerate(ours.labels)) == theirs.config.id2label
    with torch.no_grad():
        torch.testing.assert_close(ours(IDS).logits, theirs(IDS).logits)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"num_labels": 4}, "num_labels is 4"),
        ({"num_labels": "3"}, "num_labels is '3'"),
        ({"num_labels": 0}, "num_labels is 0"),
        ({"num_labels": [3]}, "num_labels is [3]"),
        ({"id2label": ["a", "b", "c"]}, "id2label must be an object"),
        ({"id2label": {"0": "a", "1": "b", "3": "c"}}, "id2label must name"),
        ({"id2label": {"0": "a", "1": "b", "two": "c"}}, "id2label must name"),
        ({"id2label": {"0": "a", "1": "b", "2": None}}, "id2label must name"),
        ({"problem_type": ["regression"]}, "problem_type"),
        ({"pooling": 3}, "pooling"),
    ],
)
def test_labels_that_do_not_fit_are_named(tmp_path, changes, field):
    saved(tmp_path, transformers.BertForSequenceClassification, num_labels=3)
    change_config(tmp_path, **changes)
    with pytest.raises(ValueError) as error:
        minibert.BertForSequenceClassification.from_pretrained(tmp_path)
    line = str(error.value)
    assert line.startswith(f"{tmp_path}") and field in line and "\n" not in line
