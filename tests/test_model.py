"""The model: what is added from outside, dropout, modes, the start."""

import math

import pytest
import torch
from torch.testing import assert_close

import minibert
from minibert.encoder import ACTIVATIONS
from minibert.model import evaluating

IDS = torch.tensor([[5, 6, 7, 8, 9, 5]])


def tiny(**changes):
    torch.manual_seed(1)
    return minibert.BertConfig.preset(
        "tiny", vocab_size=97, max_position_embeddings=20, initializer_range=0.2, **changes
    )


def no_dropout(**changes):
    return tiny(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **changes)


def test_an_activation_is_added_from_outside(monkeypatch):
    """Squared ReLU (So et al., 2021), in the feed-forward and in the MLM head."""
    monkeypatch.setitem(ACTIVATIONS, "squared_relu", lambda x: x.relu().square())
    model = minibert.BertForPreTraining(no_dropout(hidden_act="squared_relu"))
    x = torch.randn(1, 3, 128)
    feed = model.bert.encoder.layers[0].feed_forward
    inner = torch.clamp(feed.intermediate(x), min=0) ** 2
    assert_close(feed(x), feed.output(inner))
    head = model.mlm_head
    assert_close(head.transform(x), head.norm(torch.clamp(head.dense(x), min=0) ** 2))


def test_unknown_names_are_refused_with_the_choices():
    with pytest.raises(ValueError, match=r"hidden_act 'gelly' is not one of \['gelu'"):
        minibert.BertModel(tiny(hidden_act="gelly"))
    with pytest.raises(ValueError, match="position_embedding_type 'rotary' is not one of"):
        minibert.BertModel(tiny(position_embedding_type="rotary"))


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("kind", ["attention weights", "attention", "feed-forward", "embeddings"])
def test_dropout_falls_where_bert_has_it(kind, attention):
    """One kind at a time, in train mode: two passes differ, and in eval mode they do not."""
    weights = 0.5 if kind == "attention weights" else 0.0
    config = tiny(
        hidden_dropout_prob=0.5 - weights,
        attention_probs_dropout_prob=weights,
        attn_implementation=attention,
        num_hidden_layers=1,
    )
    model = minibert.BertModel(config).eval()
    layer = model.encoder.layers[0]
    if kind == "attention weights":
        layer.attention.train()
    elif kind == "embeddings":
        model.embeddings.dropout.train()
    else:  # the same dropout layer serves both sums: silence the other summand
        layer.dropout.train()
        silent = layer.feed_forward.output if kind == "attention" else layer.attention.output
        torch.nn.init.zeros_(silent.weight)
    one, other = model(IDS).last_hidden_state, model(IDS).last_hidden_state
    assert (one - other).abs().max() > 1e-3
    model.eval()
    assert torch.equal(model(IDS).last_hidden_state, model(IDS).last_hidden_state)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_dropout_has_the_probability_of_the_config_and_keeps_the_mean(attention):
    """Values of 1 under attention weights: what is left has mean 1, and the variance of dropout."""
    config = tiny(
        attention_probs_dropout_prob=0.3, hidden_dropout_prob=0.0, attn_implementation=attention
    )
    layer = minibert.attention.BertSelfAttention(config).train()
    for linear in (layer.query, layer.key, layer.value, layer.output):
        torch.nn.init.zeros_(linear.weight)
        torch.nn.init.zeros_(linear.bias)
    torch.nn.init.ones_(layer.value.bias)
    layer.output.weight.data.copy_(torch.eye(128))
    out, _ = layer(torch.zeros(256, 8, 128))  # every weight is 1/8, every value 1
    sums = out[..., ::64]  # of each head the same number for all its dimensions
    assert sums.mean().item() == pytest.approx(1, abs=0.02)
    # Eight weights, each kept with p = 0.7 and then divided by it.
    assert sums.var().item() == pytest.approx(0.3 / 0.7 / 8, rel=0.1)


def test_embeddings_and_sums_drop_the_share_of_the_config():
    model = minibert.BertModel(tiny(hidden_dropout_prob=0.3)).train()
    ids = torch.randint(5, 97, (64, 10))
    zeros = (model.embeddings(ids) == 0).float().mean()
    assert zeros.item() == pytest.approx(0.3, abs=0.02)
    dropped = model.encoder.layers[0].dropout(torch.ones(64, 1000))
    assert (dropped == 0).float().mean().item() == pytest.approx(0.3, abs=0.02)


def test_the_start_is_normal_and_cut_at_two_standard_deviations():
    """The variance of a normal distribution cut at 2: 1 - 2 * 2 phi(2) / (2 Phi(2) - 1)."""
    torch.manual_seed(0)
    config = minibert.BertConfig(vocab_size=4000, num_hidden_layers=1, initializer_range=0.02)
    model = minibert.BertForPreTraining(config)
    density = math.exp(-2) / math.sqrt(2 * math.pi)
    inside = math.erf(2 / math.sqrt(2))
    deviation = math.sqrt(1 - 4 * density / inside)  # 0.880
    matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and p.numel() > 10**5]
    assert len(matrices) > 6
    for matrix in matrices:
        assert 0.0395 < matrix.abs().max() <= 0.04
        assert matrix.mean().abs() < 2e-4
        assert matrix.std().item() == pytest.approx(0.02 * deviation, rel=0.01)
    for name, vector in model.named_parameters():
        if vector.dim() == 1:
            assert (vector == (1.0 if name.endswith("norm.weight") else 0.0)).all(), name


def test_evaluating_restores_the_mode_of_each_module():
    model = minibert.BertForSequenceClassification(tiny())
    model.freeze_body()
    model.train()
    model.dropout.eval()
    before = {name: module.training for name, module in model.named_modules()}
    assert len(set(before.values())) == 2
    with evaluating(model):
        assert not any(module.training for module in model.modules())
    assert {name: module.training for name, module in model.named_modules()} == before
    with pytest.raises(KeyError), evaluating(model):
        raise KeyError
    assert {name: module.training for name, module in model.named_modules()} == before


def test_the_body_is_the_bert_without_heads():
    for kind in (minibert.BertForPreTraining, minibert.BertForSequenceClassification):
        model = kind(tiny())
        assert model.body is model.bert
    body = minibert.BertModel(tiny())
    assert body.body is body


def test_positions_segments_and_order_change_the_states():
    model = minibert.BertModel(no_dropout()).eval()
    state = model(IDS).last_hidden_state
    for changed in (
        model(IDS, token_type_ids=torch.tensor([[0, 0, 0, 1, 1, 1]])),
        model(IDS, position_ids=torch.tensor([[0, 1, 2, 3, 5, 4]])),
        model(IDS[:, [0, 2, 1, 3, 4, 5]]),
    ):
        assert (changed.last_hidden_state - state).abs().max() > 1e-2


def test_hidden_states_begin_with_the_embeddings_and_end_with_the_last_state():
    model = minibert.BertForPreTraining(no_dropout()).eval()
    out = model(IDS, output_hidden_states=True)
    assert len(out.hidden_states) == 3
    assert_close(out.hidden_states[0], model.bert.embeddings(IDS))
    assert torch.equal(out.hidden_states[-1], out.last_hidden_state)
    assert_close(out.prediction_logits, model.mlm_head(out.last_hidden_state))
    assert out.attentions is None and model(IDS).hidden_states is None


def test_the_loss_is_one_cross_entropy_over_the_masked_positions():
    model = minibert.BertForPreTraining(no_dropout()).eval()
    with torch.no_grad():
        model.mlm_head.decoder.bias.normal_()
    labels = torch.tensor([[-100, 6, -100, -100, 40, -100]])
    out = model(IDS, labels=labels)
    logits = model(IDS).prediction_logits
    wanted = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    assert_close(out.loss, wanted)
    assert out.mlm_correct == sum(int(logits[0, i].argmax() == labels[0, i]) for i in (1, 4))
    assert torch.equal(out.prediction_logits, logits)
