"""What heads do: attention set by hand, one head that carries the answer, and slower twins."""

import copy

import networkx
import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax
from scipy.stats import entropy

import minibert.attention
from minibert.analysis.heads import (
    _softmax_regression,
    ablate_log_probability,
    ablate_loss,
    attention_distance,
    attention_flow,
    describe_heads,
    gradient_x_attention,
    head_roles,
    linear_probe,
    rollout,
    without_heads,
)
from minibert.config import BertConfig
from minibert.data.corpora import load_corpus
from minibert.data.tokenized_corpora import write_tokens
from minibert.model import BertForPreTraining, BertModel, load
from minibert.pretraining.run_data import held_out_batches
from minibert.tokenizer import BertTokenizer
from minibert.viz.attention_data import AttentionData

TOKENS = ["[CLS]", "a", "b", "a", ".", "[SEP]"]
T = len(TOKENS)
ROLES = ("previous", "next", "self", "same", "[CLS]", "[SEP]", "punctuation")


def to_column(column):
    weights = np.zeros((T, T))
    weights[:, column] = 1
    return weights


BY_HAND = {
    "identity": np.eye(T),
    "before": np.eye(T, k=-1) + np.eye(T)[:1].T @ np.eye(T)[:1],  # the first looks at itself
    "after": np.eye(T, k=1) + np.eye(T)[-1:].T @ np.eye(T)[-1:],  # and so does the last
    "uniform": np.full((T, T), 1 / T),
    "to [CLS]": to_column(0),
    "to the full stop": to_column(4),
    "to the first a": to_column(1),
    "halves": np.eye(T, k=-1) * 0.5 + np.eye(T) * 0.5 + 0.5 * np.eye(T)[:1].T @ np.eye(T)[:1],
}
HEAD = {name: (number // 4, number % 4) for number, name in enumerate(BY_HAND)}
SET = np.stack(list(BY_HAND.values())).reshape(2, 4, T, T)  # (L, H, T, T)


@pytest.fixture(scope="module")
def shipped():
    return load("mini-sotu")


def random_attention(layers=3, heads=2, length=7, seed=0):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(length, 0.3), (layers, heads, length))


@pytest.mark.parametrize(
    "name,want",
    {
        "identity": dict(previous=0, next=0, self=1, same=0, entropy=0),
        "before": dict(previous=1, next=0, self=1 / 6, same=0, entropy=0),
        "after": dict(previous=0, next=1, self=1 / 6, same=0, entropy=0),
        "to [CLS]": {"[CLS]": 1, "[SEP]": 0, "punctuation": 0, "previous": 1 / 5, "self": 1 / 6},
        "to the full stop": {"[CLS]": 0, "punctuation": 1, "previous": 1 / 5, "next": 1 / 5},
        "to the first a": dict(same=1 / 2, self=1 / 6, entropy=0),  # of two, one looks elsewhere
        "uniform": {**dict.fromkeys(ROLES, 1 / 6), "entropy": np.log(6)},
        "halves": dict(previous=1 / 2, entropy=np.log(2) * 5 / 6),
    }.items(),
)
def test_roles_of_attention_set_by_hand(name, want):
    roles = head_roles(SET, TOKENS)
    assert set(roles) == {*ROLES, "entropy"}
    assert {role: roles[role][HEAD[name]] for role in want} == pytest.approx(want, abs=1e-12)


def test_entropy_is_scipys():
    attention = random_attention()
    want = entropy(attention, axis=-1).mean(-1)
    np.testing.assert_allclose(head_roles(attention, list("abcdefg"))["entropy"], want)


def test_a_role_that_no_row_has_is_nan_and_not_0():
    roles = head_roles(random_attention(length=4), ["[UNK]", "[UNK]", "b", "##c"])
    for role in ("same", "[CLS]", "[SEP]", "punctuation"):
        assert np.isnan(roles[role]).all(), role
    assert np.isfinite(roles["previous"]).all()
    assert np.isnan(head_roles(np.ones((1, 1, 1, 1)), ["a"])["next"]).all()


def test_heads_are_called_after_their_strongest_role():
    labels = describe_heads(SET, TOKENS)
    assert {name: labels[layer][head] for name, (layer, head) in HEAD.items()} == {
        "identity": "itself 100 %",
        "before": "previous token 100 %",
        "after": "next token 100 %",
        "uniform": "spread out",
        "to [CLS]": "[CLS] 100 %",
        "to the full stop": "punctuation 100 %",
        "to the first a": "same token 50 %",
        "halves": "itself 58 %",
    }
    to_b = to_column(2)[None, None]
    assert describe_heads(to_b, TOKENS) == [["no single role"]]  # 20 % are of the previous token
    commas = np.full((1, 1, 4, 4), 1 / 4)
    assert describe_heads(commas, ["a", ",", ",", ","]) == [["spread out"]]


def test_distance():
    got = {name: attention_distance(SET)[head] for name, head in HEAD.items()}
    want = {
        "identity": 0,
        "before": 5 / 6,
        "after": 5 / 6,
        "uniform": 35 / 18,  # (n^2 - 1) / 3n for n = 6
        "to [CLS]": 15 / 6,
        "to the full stop": (4 + 3 + 2 + 1 + 0 + 1) / 6,
        "to the first a": (1 + 0 + 1 + 2 + 3 + 4) / 6,
        "halves": 5 / 12,
    }
    assert got == pytest.approx(want)


# Two tokens, two layers, two heads. Their means are [[1, 0], [.5, .5]] and [[.5, .5], [0, 1]]; with
# the residual that is [[1, 0], [.25, .75]] and [[.75, .25], [0, 1]].
SMALL = np.array(
    [
        [[[1, 0], [1, 0]], [[1, 0], [0, 1]]],
        [[[1, 0], [0, 1]], [[0, 1], [0, 1]]],
    ]
)


def test_rollout_by_hand():
    np.testing.assert_allclose(
        rollout(SMALL), [[[1, 0], [1 / 4, 3 / 4]], [[13 / 16, 3 / 16], [1 / 4, 3 / 4]]]
    )
    np.testing.assert_allclose(rollout(SET[:, :1])[0], np.eye(T))
    np.testing.assert_allclose(rollout(random_attention()).sum(-1), 1)


def test_flow_by_hand():
    # From token 0: 3/4 through token 0 of the layer below, 1/4 through token 1. All of that can go
    # on to input 0; to input 1 there is a way from token 1 alone.
    np.testing.assert_allclose(attention_flow(SMALL, 0), [1, 1 / 4], atol=1e-8)
    np.testing.assert_allclose(attention_flow(SMALL, 1), [1 / 4, 3 / 4], atol=1e-8)


def test_flow_is_networkxs_and_no_less_than_the_rollout():
    attention = random_attention()
    layers, _, length, _ = attention.shape
    graph = networkx.DiGraph()
    for layer in range(layers):
        for i in range(length):
            for j in range(length):
                width = (attention[layer, :, i, j].mean() + (i == j)) / 2
                graph.add_edge((layer + 1, i), (layer, j), capacity=width)
    for token in (0, 4):
        want = [
            networkx.maximum_flow_value(graph, (layers, token), (0, place))
            for place in range(length)
        ]
        flow = attention_flow(attention, token)
        np.testing.assert_allclose(flow, want, atol=1e-7)
        assert (flow >= rollout(attention)[-1, token] - 1e-7).all()


@pytest.mark.parametrize("token", [-1, T])
def test_flow_to_a_token_that_is_there(token):
    with pytest.raises(ValueError, match=f"no token {token}: they go from 0 to 5"):
        attention_flow(SET, token)


@pytest.mark.parametrize("shape", [(2, 3, 3), (1, 2, 2, 3), (0, 2, 3, 3)])
def test_attention_of_another_shape(shape):
    with pytest.raises(ValueError, match=r"must be \(L, H, T, T\), as AttentionData"):
        attention_distance(np.ones(shape))
    with pytest.raises(ValueError, match="5 tokens for attention over 6"):
        head_roles(SET, TOKENS[1:])


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
        calls = iter(range(4))

        def moved(query, key, value, mask, dropout_p):
            context, weights = as_it_is(query, key, value, mask, dropout_p)
            if next(calls) == layer:
                weights = weights.clone()
                weights[0, head, row, column] += step
                context = weights @ value
            return context, weights

        monkeypatch.setattr(minibert.attention, "scaled_dot_product_attention", moved)
        return log_p(model, tokenizer, text, "state")

    for layer in range(4):  # the weight that counts most in each
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


WORDS = np.random.default_rng(0).integers(0, 20, 600)


def test_states_that_hold_the_label_are_selective():
    labels = np.random.default_rng(1).choice([3, 5, 9], 600)  # nothing to do with the word
    probe = linear_probe(np.eye(10)[labels], labels, WORDS)
    assert probe.accuracy == 1
    assert probe.control_accuracy < 0.7
    assert probe.selectivity == probe.accuracy - probe.control_accuracy


def test_states_that_hold_the_word_are_not():
    of_word = np.arange(20) % 3  # the label is the word's
    probe = linear_probe(np.eye(20)[WORDS], of_word[WORDS], WORDS)
    assert probe.accuracy == probe.control_accuracy == 1
    assert probe.selectivity == 0


def test_states_that_hold_nothing_are_no_better_than_the_majority():
    labels = (np.arange(600) % 10 == 0).astype(int)  # one in ten
    probe = linear_probe(np.ones((600, 4)), labels, WORDS)
    assert probe.accuracy == probe.majority == pytest.approx(0.9, abs=0.05)


def test_control_labels_are_drawn_as_the_labels_are_distributed():
    """With one occurrence a word nothing is to be remembered, and the commonest is the best."""
    labels = (np.arange(4000) % 10 == 0).astype(int)
    probe = linear_probe(np.ones((4000, 1)), labels, np.arange(4000))
    assert probe.control_accuracy == pytest.approx(0.9, abs=0.03)


def test_a_probe_is_tested_on_what_it_did_not_learn():
    rng = np.random.default_rng(0)
    probe = linear_probe(rng.normal(size=(100, 200)), rng.integers(0, 2, 100), np.arange(100))
    assert probe.accuracy < 0.85  # any labels of 80 states can be learned by heart with D = 200


def test_the_same_seed_gives_the_same_probe():
    rng = np.random.default_rng(2)
    given = rng.normal(size=(300, 5)), rng.integers(0, 3, 300), WORDS[:300]
    first = linear_probe(*given, seed=1)
    torch.manual_seed(5)
    assert linear_probe(*given, seed=1) == first != linear_probe(*given, seed=2)


def test_the_fit_is_the_minimum_that_scipy_finds():
    rng = np.random.default_rng(0)
    states, labels = rng.normal(size=(60, 3)), rng.integers(0, 3, 60)
    labels[states[:, 0] > 0.5] = 0

    def cost(parameters):
        weight, bias = parameters[:9].reshape(3, 3), parameters[9:]
        scores = log_softmax(states @ weight + bias, axis=1)
        return -scores[np.arange(60), labels].mean() + 1e-3 * (weight**2).sum()

    weight, bias = _softmax_regression(states, labels, 3)
    want = minimize(cost, np.zeros(12), options={"gtol": 1e-8})
    assert cost(np.r_[weight.ravel(), bias]) == pytest.approx(want.fun, abs=1e-8)
    np.testing.assert_allclose(weight.ravel(), want.x[:9], atol=1e-3)


def test_a_probe_needs_two_labels_and_one_of_each_for_every_token():
    states = np.ones((6, 2))
    with pytest.raises(ValueError, match=r"labels \(5,\) and words \(6,\)"):
        linear_probe(states, np.arange(5), np.arange(6))
    with pytest.raises(ValueError, match=r"6 states with 1 different labels"):
        linear_probe(states, np.zeros(6), np.arange(6))
    with pytest.raises(ValueError, match=r"4 states with 4 different labels: a probe needs"):
        linear_probe(states[:4], np.arange(4), np.arange(4))


def test_a_model_that_has_learned(shipped, tmp_path):
    """mini-sotu: what its heads look at, what they are good for, what they bring."""
    model, tokenizer = shipped
    data = AttentionData.from_model(
        model, tokenizer, "The state of the Union is strong, and the Congress must act."
    )
    attention = data.weights()
    roles = head_roles(attention, data.tokens)
    assert all(np.isfinite(role).all() for role in roles.values())
    assert all((role >= 0).all() and (role <= 1).all() for n, role in roles.items() if n in ROLES)
    assert roles["previous"].max() > 0.8 and roles["next"].max() > 0.8
    assert any(
        label.startswith("previous token")
        for row in describe_heads(attention, data.tokens)
        for label in row
    )
    assert (attention_distance(attention) < data.num_tokens).all()
    flow = attention_flow(attention, 0)
    assert (flow <= 1 + 1e-6).all() and (flow >= rollout(attention)[-1, 0] - 1e-6).all()

    held_out = load_corpus("sotu").split()[1]
    batch = held_out_batches(write_tokens(held_out, tokenizer, tmp_path), tokenizer)[0]
    change = ablate_loss(model, [{name: value[:16] for name, value in batch.items()}])
    looks_at_neighbour = np.maximum(roles["previous"], roles["next"]) > 0.8
    assert np.isfinite(change).all() and (change[looks_at_neighbour] > 0.1).all()

    with torch.no_grad():
        states = model(batch["input_ids"], output_hidden_states=True).hidden_states
    after_the = (batch["input_ids"][:, :-1] == tokenizer.vocab["the"]).flatten().numpy()
    words = batch["input_ids"][:, 1:].flatten().numpy()
    embeddings, layer_0 = (
        linear_probe(state[:, 1:].flatten(0, 1).numpy(), after_the, words) for state in states[:2]
    )
    assert embeddings.accuracy <= embeddings.majority + 0.01  # no token knows the one before
    assert layer_0.accuracy > 0.99 and layer_0.selectivity > 0.02
