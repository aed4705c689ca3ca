"""The same numbers as Hugging Face, on random weights: values and gradients, both ways."""

import json

import pytest
import torch
import transformers
from hugging_face import CLOSE, CONFIGS, assert_same_gradients, batch, hf_model
from torch.testing import assert_close
from witnesses import minilm_directory

import minibert
from minibert import weights
from minibert.training.fast import FastBertForPreTraining


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("sizes", CONFIGS)
def test_bert_model(tmp_path, sizes, attention):
    theirs = hf_model(transformers.BertModel, sizes)
    theirs.save_pretrained(tmp_path)
    ours = minibert.BertModel.from_pretrained(tmp_path, attn_implementation=attention).train()
    inputs, _, _ = batch()
    want = theirs(**inputs, output_hidden_states=True, output_attentions=True)
    got = ours(**inputs, output_hidden_states=True, output_attentions=True)
    real = inputs["attention_mask"].bool()
    assert_close(got.last_hidden_state[real], want.last_hidden_state[real], **CLOSE)
    assert_close(got.pooler_output, want.pooler_output, **CLOSE)
    assert len(got.hidden_states) == len(want.hidden_states)
    for a, b in zip(got.hidden_states, want.hidden_states, strict=True):
        assert_close(a[real], b[real], **CLOSE)
    for a, b in zip(got.attentions, want.attentions, strict=True):
        assert_close(a.transpose(1, 2)[real], b.transpose(1, 2)[real], **CLOSE)
    # The path without weights, which is the one that `attention` chooses.
    plain = ours(**inputs)
    assert_close(plain.last_hidden_state[real], want.last_hidden_state[real], **CLOSE)
    for out in (plain, want):
        states = out.last_hidden_state[real]
        direction = torch.randn(states.shape, generator=torch.Generator().manual_seed(2))
        ((states * direction).mean() + out.pooler_output.mean()).backward()
    assert_same_gradients(ours, theirs)


@pytest.mark.parametrize("sizes", CONFIGS)
def test_bert_for_pre_training(tmp_path, sizes):
    theirs = hf_model(transformers.BertForPreTraining, sizes)
    theirs.save_pretrained(tmp_path)
    ours = minibert.BertForPreTraining.from_pretrained(tmp_path).train()
    inputs, labels, next_label = batch()
    want = theirs(**inputs, labels=labels, next_sentence_label=next_label)
    got = ours(**inputs, labels=labels, next_sentence_label=next_label)
    real = inputs["attention_mask"].bool()
    logits = ours(**inputs).prediction_logits
    assert_close(logits[real], want.prediction_logits[real], **CLOSE)
    assert_close(got.seq_relationship_logits, want.seq_relationship_logits, **CLOSE)
    want.loss.backward()
    for kind in (minibert.BertForPreTraining, FastBertForPreTraining):
        ours = kind.from_pretrained(tmp_path).train()
        got = ours(**inputs, labels=labels, next_sentence_label=next_label)
        assert_close(got.loss, want.loss, **CLOSE)
        got.loss.backward()
        assert_same_gradients(ours, theirs)


def test_bert_for_masked_lm(tmp_path):
    theirs = hf_model(transformers.BertForMaskedLM, CONFIGS[0])
    theirs.save_pretrained(tmp_path)
    ours = minibert.BertForPreTraining.from_pretrained(tmp_path).train()
    inputs, labels, _ = batch()
    want = theirs(**inputs, labels=labels)
    got = ours(**inputs, labels=labels)
    assert_close(got.loss, want.loss, **CLOSE)
    got.loss.backward()
    want.loss.backward()
    assert_same_gradients(ours, theirs)


@pytest.mark.parametrize(
    "kind",
    [
        transformers.BertForSequenceClassification,
        transformers.BertForTokenClassification,
        transformers.BertForQuestionAnswering,
        transformers.BertForPreTraining,
    ],
)
def test_the_encoder_of_any_model_loads(tmp_path, kind):
    theirs = hf_model(kind, CONFIGS[0]).eval()
    theirs.save_pretrained(tmp_path)
    ours = minibert.BertModel.from_pretrained(tmp_path)
    inputs, _, _ = batch()
    want = theirs.bert(**inputs).last_hidden_state
    real = inputs["attention_mask"].bool()
    assert_close(ours(**inputs).last_hidden_state[real], want[real], **CLOSE)


def test_masked_lm_weights_may_have_a_pooler_or_the_bias_under_its_other_name():
    theirs = hf_model(transformers.BertForPreTraining, CONFIGS[0])
    tensors = theirs.state_dict()
    tensors = {name: t for name, t in tensors.items() if "seq_relationship" not in name}
    tensors["cls.predictions.decoder.bias"] = tensors.pop("cls.predictions.bias")
    ours = minibert.BertForPreTraining(
        minibert.BertConfig.from_dict(theirs.config.to_diff_dict()), next_sentence=False
    )
    weights.load_hf_state_dict(ours, tensors, ours.passes_over)
    bias = theirs.cls.predictions.bias
    assert_close(ours.mlm_head.decoder.bias, bias, rtol=0, atol=0)


def test_an_untied_decoder_is_refused():
    theirs = hf_model(transformers.BertForPreTraining, CONFIGS[0])
    tensors = dict(theirs.state_dict())
    tensors["cls.predictions.decoder.weight"] = tensors["cls.predictions.decoder.weight"] + 1
    ours = minibert.BertForPreTraining(minibert.BertConfig.from_dict(theirs.config.to_diff_dict()))
    with pytest.raises(ValueError, match="not the token matrix"):
        weights.load_hf_state_dict(ours, tensors)


def test_saving_over_another_model_leaves_nothing_of_it(tmp_path):
    theirs = hf_model(transformers.BertModel, CONFIGS[0])
    theirs.save_pretrained(tmp_path, max_shard_size="20KB")
    ours = minibert.BertModel.from_pretrained(tmp_path)
    with torch.no_grad():
        ours.embeddings.word_embeddings.weight.mul_(2)
    ours.save_pretrained(tmp_path)
    wanted = ours.embeddings.word_embeddings.weight
    again = minibert.BertModel.from_pretrained(tmp_path)
    assert_close(again.embeddings.word_embeddings.weight, wanted, rtol=0, atol=0)
    theirs = transformers.BertModel.from_pretrained(tmp_path)
    assert_close(theirs.embeddings.word_embeddings.weight, wanted, rtol=0, atol=0)


def test_saving_never_loses_a_head(tmp_path):
    config = minibert.BertConfig.preset("tiny", vocab_size=97, max_position_embeddings=20)
    minibert.BertForPreTraining(config).save_pretrained(tmp_path)
    encoder = minibert.BertModel.from_pretrained(tmp_path)
    with pytest.raises(FileExistsError, match=r"cls\.predictions\.bias.* would be lost"):
        encoder.save_pretrained(tmp_path)
    minibert.BertForPreTraining.from_pretrained(tmp_path).save_pretrained(tmp_path)
    encoder.save_pretrained(tmp_path / "encoder")
    with pytest.raises(ValueError, match="no head that guesses masked words"):
        minibert.BertForPreTraining.from_pretrained(tmp_path / "encoder")


def test_an_override_that_is_no_field_is_refused(tmp_path):
    hf_model(transformers.BertModel, CONFIGS[0]).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no config fields"):
        minibert.BertModel.from_pretrained(tmp_path, torch_dtype=torch.bfloat16)


@pytest.mark.parametrize("next_sentence", [True, False])
def test_ours_loads_into_transformers(tmp_path, next_sentence):
    torch.manual_seed(3)
    config = minibert.BertConfig.preset("tiny", vocab_size=97, max_position_embeddings=20)
    ours = minibert.BertForPreTraining(config, next_sentence).eval()
    ours.save_pretrained(tmp_path)
    kind = transformers.BertForPreTraining if next_sentence else transformers.BertForMaskedLM
    theirs = kind.from_pretrained(tmp_path).eval()
    inputs, _, _ = batch()
    want = theirs(**inputs)
    real = inputs["attention_mask"].bool()
    logits = want.prediction_logits if next_sentence else want.logits
    assert_close(ours(**inputs).prediction_logits[real], logits[real], **CLOSE)
    auto = transformers.AutoModel.from_pretrained(tmp_path).eval()
    state = ours(**inputs).last_hidden_state
    assert_close(state[real], auto(**inputs).last_hidden_state[real], **CLOSE)


def test_old_names_load(tmp_path):
    theirs = hf_model(transformers.BertForPreTraining, CONFIGS[0])
    new = theirs.state_dict()
    old = {
        n.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): t
        for n, t in new.items()
    }
    theirs.save_pretrained(tmp_path)
    ours = minibert.BertForPreTraining.from_pretrained(tmp_path)
    fresh = minibert.BertForPreTraining(ours.config)
    weights.load_hf_state_dict(fresh, old)
    for (name, a), b in zip(ours.state_dict().items(), fresh.state_dict().values(), strict=True):
        assert_close(a, b, rtol=0, atol=0, msg=name)


def test_weights_in_several_files_load(tmp_path):
    theirs = hf_model(transformers.BertModel, CONFIGS[0])
    theirs.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    ours = minibert.BertModel.from_pretrained(tmp_path)
    wanted = theirs.state_dict()
    for name, tensor in weights.to_hf_state_dict(ours).items():
        assert_close(tensor, wanted[name], rtol=0, atol=0, msg=name)


def test_a_list_of_files_cannot_name_one_elsewhere(tmp_path):
    index = {"weight_map": {"pooler.dense.bias": "../secret.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="outside its folder"):
        minibert.BertModel.from_pretrained(tmp_path)


def test_weights_that_do_not_fit_are_all_named():
    theirs = hf_model(transformers.BertForPreTraining, CONFIGS[0])
    tensors = theirs.state_dict()
    del tensors["bert.pooler.dense.bias"], tensors["bert.embeddings.LayerNorm.weight"]
    tensors["bert.stranger"] = torch.zeros(1)
    tensors["cls.seq_relationship.bias"] = torch.zeros(3)
    config = minibert.BertConfig.from_dict(theirs.config.to_diff_dict())
    with pytest.raises(ValueError) as error:
        weights.load_hf_state_dict(minibert.BertForPreTraining(config), tensors)
    for name in (
        "pooler.dense.bias",
        "embeddings.LayerNorm.weight",
        "stranger",
        "(3,), wanted (2,)",
    ):
        assert name in str(error.value)


def test_pickled_weights_are_refused(tmp_path):
    torch.save({}, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="safetensors"):
        minibert.BertModel.from_pretrained(tmp_path)


def test_real_weights(tmp_path):
    """all-MiniLM-L6-v2, read, run, written and read again, on sentences of its own language."""
    directory = minilm_directory()
    theirs = transformers.BertModel.from_pretrained(directory).eval()
    ours = minibert.BertModel.from_pretrained(directory)
    tokenizer = minibert.BertTokenizer.from_pretrained(directory)
    sentences = [
        "The animal didn't cross the street because it was too tired.",
        "The animal didn't cross the street because it was too wide.",
        "Unaffable, 1789: the naïve 北京 reader.",
    ]
    inputs = tokenizer(sentences, return_tensors="pt")
    real = inputs["attention_mask"].bool()
    with torch.no_grad():
        want = theirs(**inputs, output_hidden_states=True)
        got = ours(**inputs, output_hidden_states=True, output_attentions=True)
        plain = ours(**inputs)
    for a, b in zip(got.hidden_states, want.hidden_states, strict=True):
        assert_close(a[real], b[real], rtol=1e-4, atol=1e-4)
    assert_close(plain.last_hidden_state[real], want.last_hidden_state[real], rtol=1e-4, atol=1e-4)
    assert_close(plain.pooler_output, want.pooler_output, rtol=1e-4, atol=1e-4)
    # A known fact about these weights: in the first sentence "it" looks at "animal".
    words = tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])
    it_to_animal = got.attentions[3][0, 1, words.index("it"), words.index("animal")]
    assert it_to_animal.item() == pytest.approx(0.68, abs=0.01)

    ours.save_pretrained(tmp_path, tokenizer)
    again = transformers.AutoModel.from_pretrained(tmp_path).eval()
    fast = transformers.AutoTokenizer.from_pretrained(tmp_path)
    with torch.no_grad():
        states = again(**fast(sentences, padding=True, return_tensors="pt")).last_hidden_state
    assert_close(states[real], want.last_hidden_state[real], rtol=1e-4, atol=1e-4)


def test_logits_without_labels_follow_the_gradient_mode():
    config = minibert.BertConfig.preset("tiny", vocab_size=97, max_position_embeddings=20)
    model = minibert.BertForPreTraining(config)
    inputs, labels, _ = batch()
    with torch.no_grad():
        out = model(**inputs)
    assert not out.prediction_logits.requires_grad
    with pytest.raises(ValueError, match=r"labels has the id 97, outside 0\.\.96"):
        model(**inputs, labels=labels.masked_fill(labels == 7, 97))


def test_no_masked_token_is_no_loss_and_not_nan():
    config = minibert.BertConfig.preset("tiny", vocab_size=97, max_position_embeddings=20)
    model = minibert.BertForPreTraining(config)
    inputs, labels, _ = batch()
    loss = model(**inputs, labels=torch.full_like(labels, -100)).loss
    loss.backward()
    assert loss == 0
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
