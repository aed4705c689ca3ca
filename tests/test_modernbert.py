"""ModernBERT against Hugging Face's, with random weights: numbers, gradients, files both ways."""

import json
import math
import warnings

import pytest
import torch
import transformers
from hugging_face import CLOSE
from safetensors.torch import load_file, save_file
from small_runs import small_texts
from torch.testing import assert_close
from transformers.models.modernbert import modeling_modernbert

import minibert
from minibert.data.batches import PackedBatches
from minibert.data.corpora import load_corpus
from minibert.data.masking import Masking
from minibert.data.tokenized_corpora import write_tokens
from minibert.inference.fill_mask import fill_mask
from minibert.inference.pseudo_likelihood import pseudo_log_likelihood
from minibert.inference.sentence_vectors import sentence_vectors
from minibert.modernbert.fast import unpadded_states, windowed_attention
from minibert.modernbert.model import RotaryPositions
from minibert.modernbert.weights import hf_name
from minibert.pretraining.mlm_and_nsp import PretrainingObjective

SIZES = {
    "vocab_size": 97,
    "hidden_size": 24,
    "intermediate_size": 20,
    "num_hidden_layers": 4,
    "num_attention_heads": 3,
    "local_attention": 6,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}
ALL_BIASES = dict.fromkeys(("norm_bias", "attention_bias", "mlp_bias", "classifier_bias"), True)
CONFIGS = [
    {},  # every third layer is global
    {"global_attn_every_n_layers": 1, "global_rope_theta": 100.0, "decoder_bias": False},
    {"global_attn_every_n_layers": 2, "local_rope_theta": 50.0, "tie_word_embeddings": False},
    {"num_attention_heads": 1, "local_attention": 1, "hidden_activation": "silu", **ALL_BIASES},
    {"num_hidden_layers": 1, "local_attention": 7, "classifier_activation": "relu"},
    {"num_hidden_layers": 7, "global_attn_every_n_layers": 4, "local_attention": 100},
]
TOKEN_IDS = dict.fromkeys(f"{name}_token_id" for name in ("bos", "eos", "cls", "sep"))


def hf_model(kind=transformers.ModernBertForMaskedLM, **sizes):
    torch.manual_seed(0)
    config = transformers.ModernBertConfig(
        **{**SIZES, **TOKEN_IDS, "initializer_range": 0.3, **sizes}, attn_implementation="eager"
    )
    model = kind(config)
    with torch.no_grad():  # biases and LayerNorms too, or a lost one would not be seen
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.train()


def batch():
    """Texts longer than the window, one of them short; `labels` for some tokens."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 97, (3, 19), generator=generator)
    ids[0, 8] = 0  # [PAD], though no mask hides it
    mask = torch.ones_like(ids)
    mask[1, 11:] = 0
    mask[2, 2:] = 0
    ids[mask == 0] = 0
    labels = torch.full_like(ids, -100)
    labels[0, [1, 5]], labels[1, 2], labels[2, 1] = 7, 8, 0
    return {"input_ids": ids, "attention_mask": mask}, labels


def assert_same_gradients(ours, theirs):
    wanted = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    got = {hf_name(name): parameter.grad for name, parameter in ours.named_parameters()}
    assert set(got) == set(wanted)
    for name, gradient in wanted.items():
        assert_close(got[name], gradient, **CLOSE, msg=lambda m, name=name: f"{name}: {m}")


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("sizes", CONFIGS)
def test_states_attention_logits_and_gradients(tmp_path, sizes, attention):
    theirs = hf_model(**sizes)
    theirs.save_pretrained(tmp_path)
    ours = minibert.ModernBertForMaskedLM.from_pretrained(tmp_path, attn_implementation=attention)
    ours.train()
    inputs, labels = batch()
    real = inputs["attention_mask"].bool()
    want = theirs(**inputs, labels=labels, output_hidden_states=True, output_attentions=True)
    got = ours(**inputs, output_hidden_states=True, output_attentions=True)
    assert_close(got.prediction_logits[real], want.logits[real], **CLOSE)
    for a, b in zip(got.hidden_states, want.hidden_states, strict=True):
        assert_close(a[real], b[real], **CLOSE)
    for a, b in zip(got.attentions, want.attentions, strict=True):
        assert_close(a.transpose(1, 2)[real], b.transpose(1, 2)[real], **CLOSE)
    plain = ours(**inputs, labels=labels)  # the path that `attention` names
    assert_close(plain.last_hidden_state[real], want.hidden_states[-1][real], **CLOSE)
    assert_close(plain.loss, want.loss, **CLOSE)
    plain.loss.backward()
    want.loss.backward()
    assert_same_gradients(ours, theirs)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_long_text_without_a_mask(tmp_path, attention):
    theirs = hf_model(transformers.ModernBertModel).eval()
    theirs.save_pretrained(tmp_path)
    ours = minibert.ModernBertModel.from_pretrained(tmp_path, attn_implementation=attention)
    ids = torch.randint(0, 97, (1, 300))
    assert_close(ours(ids).last_hidden_state, theirs(ids).last_hidden_state, **CLOSE)
    moved = {"position_ids": torch.arange(300)[None] * 2}
    want = theirs(ids, **moved).last_hidden_state
    assert_close(ours(ids, **moved).last_hidden_state, want, **CLOSE)


def test_rotations_at_the_end_of_a_long_text():
    config = transformers.ModernBertConfig(**SIZES, **TOKEN_IDS)
    x, places = torch.randn(2, 3, 5, 8), torch.tensor([[0, 1, 777, 8190, 8191]])
    cos, sin = modeling_modernbert.ModernBertRotaryEmbedding(config)(x, places, "full_attention")
    want, _ = modeling_modernbert.apply_rotary_pos_emb(x, x, cos, sin)
    assert_close(RotaryPositions(8, 160_000.0)(x, places), want, **CLOSE)


def test_dropout_is_where_hugging_face_has_it(tmp_path):
    shares = {"embedding_dropout": 0.1, "attention_dropout": 0.2, "mlp_dropout": 0.3}
    theirs = hf_model(**shares)
    theirs.save_pretrained(tmp_path)
    ours = minibert.ModernBertForMaskedLM.from_pretrained(tmp_path, attn_implementation="eager")
    inputs, _ = batch()
    real = inputs["attention_mask"].bool()
    torch.manual_seed(5)
    want = theirs(**inputs).logits
    torch.manual_seed(5)
    got = ours.train()(**inputs).prediction_logits
    assert_close(got[real], want[real], **CLOSE)
    ours.eval()
    assert torch.equal(ours(**inputs).prediction_logits, ours(**inputs).prediction_logits)


@pytest.mark.parametrize("tied", [True, False])
def test_weights_start_as_hugging_faces_do(tied):
    sizes = {**SIZES, "hidden_size": 120, "intermediate_size": 100, "tie_word_embeddings": tied}
    torch.manual_seed(0)
    theirs = transformers.ModernBertForMaskedLM(
        transformers.ModernBertConfig(**sizes, **TOKEN_IDS, **ALL_BIASES)
    )
    ours = minibert.ModernBertForMaskedLM(minibert.ModernBertConfig(**sizes, **ALL_BIASES))
    wanted = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        want = wanted[hf_name(name)]
        if want.dim() == 1:
            assert_close(parameter, want, rtol=0, atol=0, msg=name)
        else:
            assert parameter.std().item() == pytest.approx(want.std().item(), rel=0.05), name
            bound = 2 * want.std().item() / 0.88  # cut off at two standard deviations
            assert parameter.abs().max() < 1.05 * bound, name


def test_weights_that_are_loaded_are_not_drawn_first(tmp_path):
    hf_model().save_pretrained(tmp_path)
    before = torch.get_rng_state()
    minibert.ModernBertForMaskedLM.from_pretrained(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("sizes", CONFIGS)
def test_ours_loads_into_transformers(tmp_path, sizes):
    torch.manual_seed(2)
    ours = minibert.ModernBertForMaskedLM(minibert.ModernBertConfig(**{**SIZES, **sizes})).eval()
    ours.save_pretrained(tmp_path)
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    inputs, _ = batch()
    real = inputs["attention_mask"].bool()
    with torch.no_grad():
        got, want = ours(**inputs), theirs(**inputs)
        body = transformers.AutoModel.from_pretrained(tmp_path).eval()(**inputs)
    assert_close(got.prediction_logits[real], want.logits[real], **CLOSE)
    assert_close(got.last_hidden_state[real], body.last_hidden_state[real], **CLOSE)
    again = minibert.ModernBertForMaskedLM.from_pretrained(tmp_path)
    assert torch.equal(again(**inputs).prediction_logits, got.prediction_logits)


def test_a_vocabulary_without_the_default_padding_token(tmp_path):
    config = minibert.ModernBertConfig(**{**SIZES, "pad_token_id": 50283})
    minibert.ModernBertModel(config).save_pretrained(tmp_path)
    theirs = transformers.AutoModel.from_pretrained(tmp_path)
    assert theirs.embeddings.tok_embeddings.padding_idx is None


@pytest.mark.parametrize(
    "kind",
    [
        transformers.ModernBertModel,
        transformers.ModernBertForMaskedLM,
        transformers.ModernBertForSequenceClassification,
        transformers.ModernBertForTokenClassification,
    ],
)
def test_the_body_of_any_model_loads(tmp_path, kind):
    theirs = hf_model(kind).eval()
    theirs.save_pretrained(tmp_path)
    body = theirs if kind is transformers.ModernBertModel else theirs.model
    ours = minibert.ModernBertModel.from_pretrained(tmp_path)
    inputs, _ = batch()
    real = inputs["attention_mask"].bool()
    want = body(**inputs).last_hidden_state
    assert_close(ours(**inputs).last_hidden_state[real], want[real], **CLOSE)


# The names that published directories use: ModernBERT's, and Ettin's position_embedding_type.
PUBLISHED = {
    "architectures": ["ModernBertForMaskedLM"],
    "attention_bias": False,
    "bos_token_id": 1,
    "classifier_pooling": "mean",
    "deterministic_flash_attn": False,
    "global_attn_every_n_layers": 2,
    "global_rope_theta": 170000.0,
    "gradient_checkpointing": False,
    "hidden_activation": "gelu",
    "hidden_size": 24,
    "initializer_cutoff_factor": 2.0,
    "intermediate_size": 20,
    "layer_norm_eps": 1e-05,
    "local_attention": 6,
    "local_rope_theta": 12000.0,
    "max_position_embeddings": 40,
    "model_type": "modernbert",
    "norm_eps": 1e-04,
    "num_attention_heads": 3,
    "num_hidden_layers": 4,
    "pad_token_id": 0,
    "position_embedding_type": "sans_pos",
    "repad_logits_with_grad": False,
    "sparse_pred_ignore_index": -100,
    "tie_word_embeddings": True,
    "torch_dtype": "float32",
    "vocab_size": 97,
}


def test_old_and_new_forms_of_a_config_are_read(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        old = minibert.ModernBertConfig.from_dict(PUBLISHED)
    assert (old.global_rope_theta, old.local_rope_theta) == (170000.0, 12000.0)
    assert (old.global_attn_every_n_layers, old.norm_eps) == (2, 1e-4)
    (tmp_path / "config.json").write_text(json.dumps(PUBLISHED))
    theirs = transformers.AutoConfig.from_pretrained(tmp_path)
    new = theirs.to_dict()
    assert new["layer_types"] == ["full_attention", "sliding_attention"] * 2
    assert "global_rope_theta" not in new
    for values in (new, {**new, "global_attn_every_n_layers": 3, "local_rope_theta": 1.0}):
        assert minibert.ModernBertConfig.from_dict(values) == old  # the new form counts
    assert minibert.ModernBertConfig.from_dict(old.to_hf_dict()) == old
    with pytest.warns(UserWarning, match="ignored: flavour"):
        minibert.ModernBertConfig.from_dict({"flavour": "sweet"})


def test_defaults_are_those_of_hugging_face():
    theirs = minibert.ModernBertConfig.from_dict(transformers.ModernBertConfig().to_dict())
    assert theirs == minibert.ModernBertConfig()


FULL, LOCAL = "full_attention", "sliding_attention"


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"model_type": "bert"}, "model_type is 'bert', not 'modernbert'"),
        ({"rope_scaling": {"factor": 2}}, "rope_scaling is .* not supported"),
        ({"is_causal": True}, "is_causal is True"),
        ({"rope_parameters": {FULL: {"rope_type": "yarn"}}}, "rope_type 'yarn' of full_attention"),
        ({"rope_parameters": {FULL: {"factor": 2.0}}}, r"full_attention with \['factor'\]"),
        ({"rope_parameters": {"rope_theta": 1.0}}, "rope_parameters must have the keys"),
        ({"rope_parameters": [1]}, "rope_parameters must be an object"),
        ({"rope_parameters": {FULL: 3}}, "full_attention must be an object"),
        ({"rope_parameters": {LOCAL: {"rope_theta": "x"}}}, "local_rope_theta must be a number"),
        ({"num_hidden_layers": 2, "layer_types": [LOCAL, FULL]}, "layer_types must be 2 names"),
        ({"num_hidden_layers": 3, "layer_types": [FULL] * 2}, "layer_types must be 3 names"),
        ({"num_hidden_layers": 4, "layer_types": [FULL, FULL, LOCAL, FULL]}, "layer_types must"),
        ({"num_hidden_layers": 1, "layer_types": 7}, "layer_types must"),
        ({"hidden_size": 36, "num_attention_heads": 4}, "hidden_size 36 does not divide by 2 x"),
        ({"hidden_activation": "gelu7"}, "hidden_activation must be one of gelu"),
        ({"local_rope_theta": None}, "local_rope_theta must be a number above 0"),
        ({"global_attn_every_n_layers": 0}, "global_attn_every_n_layers must be a whole number"),
        ({"norm_bias": "yes"}, "norm_bias must be true or false"),
        ({"norm_eps": math.nan}, "norm_eps must be a number above 0"),
        ({"embedding_dropout": 1.0}, "embedding_dropout must be"),
    ],
)
def test_a_config_that_is_not_supported_is_refused(tmp_path, values, line):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "modernbert", **values}))
    with pytest.raises(ValueError, match=f"config.json: .*{line}") as error:
        minibert.ModernBertConfig.from_pretrained(tmp_path)
    assert "\n" not in str(error.value)


def change(folder, config=None, weights=None):
    """Change what a folder's config says, or its tensors."""
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **(config or {})}))
    file = folder / "model.safetensors"
    tensors = load_file(file)
    save_file({**tensors, **(weights or {})}, file, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ({"vocab_size": 3_000_000}, "do not have the sizes"),
        ({"hidden_size": 6 * 10**8}, "do not have the sizes"),
        ({"intermediate_size": 10**9}, "do not have the sizes"),
        ({"num_hidden_layers": 10**9, "layer_types": None}, "missing: layers\.10\..* and 17 more"),
        ({"mlp_bias": True}, "do not fit ModernBertForMaskedLM: missing: .*mlp.Wi.bias"),
        ({"decoder_bias": False}, "extra: decoder.bias"),
        ({"tie_word_embeddings": False}, "missing: decoder.weight"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path, config, line):
    hf_model().save_pretrained(tmp_path)
    change(tmp_path, config)
    with pytest.raises(ValueError, match=line) as error:
        minibert.ModernBertForMaskedLM.from_pretrained(tmp_path)
    assert str(tmp_path) in str(error.value) and len(str(error.value)) < 1000


def test_a_tied_decoder_must_be_the_token_matrix(tmp_path):
    matrix = hf_model().decoder.weight.detach()
    hf_model().save_pretrained(tmp_path)
    change(tmp_path, weights={"decoder.weight": matrix.clone()})
    minibert.ModernBertForMaskedLM.from_pretrained(tmp_path)
    change(tmp_path, weights={"decoder.weight": matrix + 1})
    with pytest.raises(ValueError, match=r"decoder\.weight is not the token matrix"):
        minibert.ModernBertForMaskedLM.from_pretrained(tmp_path)


def test_saving_never_loses_a_head(tmp_path):
    config = minibert.ModernBertConfig(**SIZES)
    minibert.ModernBertModel(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"missing: decoder\.bias, head\.dense\.weight"):
        minibert.ModernBertForMaskedLM.from_pretrained(tmp_path)
    minibert.ModernBertForMaskedLM(config).save_pretrained(tmp_path)
    body = minibert.ModernBertModel.from_pretrained(tmp_path)
    with pytest.raises(
        FileExistsError, match=r"its decoder\.bias, head\.dense\.weight, head.* lost"
    ):
        body.save_pretrained(tmp_path)


def test_an_override_that_is_no_field_is_refused(tmp_path):
    minibert.ModernBertModel(minibert.ModernBertConfig(**SIZES)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no config fields"):
        minibert.ModernBertModel.from_pretrained(tmp_path, dtype="float32")


def test_the_wrapper_of_a_compiled_model_is_stripped(tmp_path):
    theirs = hf_model().eval()
    theirs.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = {f"_orig_mod.{name}": tensor for name, tensor in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    ours = minibert.ModernBertForMaskedLM.from_pretrained(tmp_path)
    inputs, _ = batch()
    assert_close(ours(**inputs).prediction_logits[0], theirs(**inputs).logits[0], **CLOSE)


def test_texts_in_one_row_with_a_mask_for_each_query():
    """A (B, T, T) mask keeps two texts of a row apart, in local layers too."""
    torch.manual_seed(0)
    config = minibert.ModernBertConfig(**SIZES, initializer_range=0.3)
    model = minibert.ModernBertModel(config).eval()
    ids = torch.randint(5, 97, (1, 20))
    text = torch.tensor([0] * 9 + [1] * 11)
    places = torch.cat([torch.arange(9), torch.arange(11)])[None]
    together = model(ids, (text[:, None] == text)[None], position_ids=places).last_hidden_state
    apart = [model(ids[:, text == number]).last_hidden_state for number in (0, 1)]
    assert_close(together, torch.cat(apart, dim=1), **CLOSE)


@pytest.mark.parametrize("window", [1, 2, 6, 7, 19, 100])
def test_states_without_padding_are_the_same(window):
    torch.manual_seed(0)
    sizes = {**SIZES, "local_attention": window}
    model = minibert.ModernBertModel(minibert.ModernBertConfig(**sizes, initializer_range=0.3))
    inputs, _ = batch()
    inputs["attention_mask"][1, :2] = 0  # before a text too
    inputs["attention_mask"][2] = 0  # no text
    real = inputs["attention_mask"].bool()
    direction = torch.randn(3, 19, 24) * real[..., None]
    results = []
    for states in (model(**inputs).last_hidden_state, unpadded_states(model, **inputs)):
        model.zero_grad()
        (states * direction).sum().backward()
        results.append((states[real], {n: p.grad.clone() for n, p in model.named_parameters()}))
    (want, want_gradients), (got, got_gradients) = results
    assert_close(got, want, **CLOSE)
    for name, gradient in want_gradients.items():
        assert_close(got_gradients[name], gradient, rtol=1e-4, atol=1e-4, msg=name)
    assert not states[~real].any()
    inputs["attention_mask"][0, 4] = 0
    with pytest.raises(ValueError, match="padding inside of a text"):
        unpadded_states(model, **inputs)


def test_windowed_attention_never_makes_a_square():
    """60,000 tokens: their scores alone would take 14 GB."""
    x = torch.zeros(1, 1, 60_000, 2)
    x[..., 30_000, 0] = 1.0
    context = windowed_attention(x, x, x, 400)[0, 0, :, 0]
    assert context.nonzero()[:, 0].tolist() == list(range(29_800, 30_201))


def test_it_learns_and_answers_as_a_bert_does(tmp_path):
    """The objective, the batches, and what reads a text, take it as it is."""
    texts = small_texts()
    tokenizer = minibert.BertTokenizer.train(texts, vocab_size=80)
    corpus = write_tokens(load_corpus(texts), tokenizer, tmp_path)
    batches = PackedBatches(corpus, tokenizer, Masking(probability=0.2), 8, 24, seed=0)
    torch.manual_seed(0)
    sizes = {**SIZES, "hidden_size": 48, "vocab_size": tokenizer.vocab_size}
    config = minibert.ModernBertConfig(**sizes, initializer_range=0.15)
    model = minibert.ModernBertForMaskedLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(80):
        sums = PretrainingObjective().sums(model, batches(step))
        optimizer.zero_grad()
        sums["mlm_loss"].backward()
        optimizer.step()
    model.save_pretrained(tmp_path / "model", tokenizer)
    model = minibert.ModernBertForMaskedLM.from_pretrained(tmp_path / "model")
    tokenizer = minibert.BertTokenizer.from_pretrained(tmp_path / "model")
    ((best, *_),) = fill_mask(model, tokenizer, "My [MASK] likes the cat.")
    assert best[0] == "sister"
    ids = tokenizer(["My sister."], return_tensors="pt")["input_ids"]
    hidden = ids.index_fill(1, torch.tensor([2]), tokenizer.vocab["[MASK]"])
    want = model(hidden).prediction_logits[0, 2].log_softmax(-1)[ids[0, 2]]
    scores = pseudo_log_likelihood(model, tokenizer, "My sister.").log_probabilities
    assert scores[1] == pytest.approx(want.item(), abs=1e-5)
    vectors = sentence_vectors(model, tokenizer, ["A dog sees the cat.", "My sister."])
    inputs = tokenizer(["My sister."], return_tensors="pt")
    want = model.body(**inputs).last_hidden_state.mean(1)
    assert_close(torch.from_numpy(vectors[1:]), want, **CLOSE)
