"""Every shortcut of pretraining gives what its plain twin gives."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

import minibert
from minibert.attention import POSITION_SCHEMES
from minibert.model import IGNORE_INDEX
from minibert.training.fast import (
    FastBertForPreTraining,
    LinearCrossEntropy,
    SampledSoftmax,
    gather,
    places_read,
    states_at,
)

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
CONFIG = minibert.BertConfig.preset(
    "tiny",
    vocab_size=97,
    max_position_embeddings=20,
    initializer_range=0.2,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)


def batch():
    """Three rows of 11 tokens, the second and third padded; two, one and one masks."""
    generator = torch.Generator().manual_seed(0)
    mask = (torch.arange(11) < torch.tensor([[11], [7], [9]])).long()
    labels = torch.full((3, 11), -100)
    labels[0, [1, 5]], labels[1, 2], labels[2, 3] = torch.tensor([7, 8]), 9, 10
    inputs = {
        "input_ids": torch.randint(5, 97, (3, 11), generator=generator),
        "token_type_ids": (torch.arange(11) > 4).long().expand(3, 11),
        "attention_mask": mask,
    }
    return inputs, labels, torch.tensor([0, 1, 0])


def twins(**changes):
    """The plain model and the fast one, with the same weights."""
    torch.manual_seed(5)
    config = minibert.BertConfig(**{**CONFIG.to_dict(), **changes})
    plain, fast = minibert.BertForPreTraining(config), FastBertForPreTraining(config)
    with torch.no_grad():
        plain.mlm_head.decoder.bias.normal_()
    fast.load_state_dict(plain.state_dict())
    return plain.train(), fast.train()


def test_places_read_are_those_of_cls_and_of_the_labels():
    places = places_read(batch()[1])
    assert places.shape == (3, 3) and (places[:, 0] == 0).all()
    assert places[0].tolist() == [0, 1, 5] and places[1, 1] == 2 and places[2, 1] == 3


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("mask", ["none", "of tokens", "of queries and keys"])
def test_the_fast_model_has_the_loss_and_the_gradients_of_the_plain_one(attention, mask):
    plain, fast = twins(attn_implementation=attention)
    inputs, labels, next_label = batch()
    labels[1, 0] = 9  # [CLS] may be masked too, and is read once
    if mask == "none":
        del inputs["attention_mask"]
    if mask == "of queries and keys":  # each token sees those before it
        inputs["attention_mask"] = inputs["attention_mask"][:, None] * torch.ones(11, 11).tril()
    outs, gradients = [], []
    for model in (plain, fast):
        out = model(**inputs, labels=labels, next_sentence_label=next_label)
        outs.append(out)
        gradients.append(torch.autograd.grad(3 * out.loss, list(model.parameters())))
    wanted, got = outs
    assert_close(got.loss, wanted.loss, **CLOSE)
    assert_close(got.mlm_loss, wanted.mlm_loss, **CLOSE)
    assert_close(got.next_sentence_loss, wanted.next_sentence_loss, **CLOSE)
    assert_close(got.seq_relationship_logits, wanted.seq_relationship_logits, **CLOSE)
    assert got.mlm_correct == wanted.mlm_correct
    assert got.last_hidden_state is None
    for name, a, b in zip(dict(plain.named_parameters()), *gradients, strict=True):
        assert_close(b, a, **CLOSE, msg=name)


def test_the_loss_may_be_the_mean_of_each_texts_mean():
    plain, fast = twins()
    fast.mean_over_texts = True
    inputs, labels, _ = batch()
    labels[0] = -100  # a text without a mask adds nothing
    labels[1, 3:6] = torch.tensor([11, 12, 13])
    logits = plain(**inputs).prediction_logits  # (B, T, V)
    means = [F.cross_entropy(*pair) for pair in zip(logits[1:], labels[1:], strict=True)]
    wanted, got = sum(means) / len(labels), fast(**inputs, labels=labels).mlm_loss
    assert_close(got, wanted, **CLOSE)
    weights = [list(model.bert.parameters()) for model in (plain, fast)]
    for a, b in zip(
        torch.autograd.grad(wanted, weights[0], allow_unused=True),
        torch.autograd.grad(got, weights[1], allow_unused=True),
        strict=True,
    ):
        assert (a is None) == (b is None)
        if a is not None:
            assert_close(b, a, **CLOSE)


def test_without_labels_or_in_eval_mode_or_asked_for_more_the_fast_model_is_the_plain_one():
    plain, fast = twins()
    inputs, labels, next_label = batch()
    with pytest.raises(ValueError, match="a loss alone"):
        _ = fast(**inputs, labels=labels).prediction_logits
    wanted, got = plain(**inputs, labels=labels), fast.eval()(**inputs, labels=labels)
    assert_close(got.prediction_logits, wanted.prediction_logits)
    assert_close(got.loss, wanted.loss)
    fast.train()
    assert_close(fast(**inputs).prediction_logits, plain(**inputs).prediction_logits)
    asked = {"labels": labels, "next_sentence_label": next_label, "output_attentions": True}
    wanted, got = plain(**inputs, **asked), fast(**inputs, **asked)
    assert_close(got.attentions[-1], wanted.attentions[-1])
    assert_close(got.last_hidden_state, wanted.last_hidden_state)


def test_without_an_nsp_head_its_label_is_refused():
    model = FastBertForPreTraining(CONFIG, next_sentence=False)
    inputs, labels, next_label = batch()
    with pytest.raises(ValueError, match="built without next_sentence"):
        model(**inputs, labels=labels, next_sentence_label=next_label)
    assert model(**inputs, labels=labels).loss > 0


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("kind", ["attention weights", "attention", "feed-forward"])
def test_dropout_falls_in_the_last_layer_too(kind, attention):
    """One kind at a time: the same dropout layer serves both sums, so the other sum gets zeros."""
    inputs, labels, _ = batch()
    dropout = {"hidden_dropout_prob": 0.5, "attention_probs_dropout_prob": 0.5}
    model = twins(attn_implementation=attention, **dropout)[1].bert.eval()
    last = model.encoder.layers[-1]
    if kind == "attention weights":
        last.attention.train()
    else:
        last.dropout.train()
        silent = last.feed_forward if kind == "attention" else last.attention
        torch.nn.init.zeros_(silent.output.weight)
    one, other = (states_at(model, places_read(labels), **inputs) for _ in range(2))
    assert (one - other).abs().max() > 1e-3


def test_a_sampled_softmax_scores_the_masked_tokens_in_train_mode():
    _, fast = twins()
    inputs, labels, _ = batch()
    given = []

    def sampled(hidden, weight, bias, targets, shares):
        given.append(targets[shares > 0].tolist())
        return hidden.sum() * 0 + 8.0 * shares.sum() / 4, torch.tensor(3)

    fast.sampled_softmax = sampled
    out = fast(**inputs, labels=labels)
    assert given == [[7, 8, 9, 10]] and out.mlm_loss == 2 and out.mlm_correct == 3
    fast.eval()
    assert fast(**inputs, labels=labels).mlm_loss != 2


def test_a_model_that_is_always_right_is_as_often_right_as_there_are_masks():
    """Rows that only fill the products up are not counted, though their guess is right too."""
    _, fast = twins()
    inputs, labels, _ = batch()
    labels[labels != IGNORE_INDEX] = 7
    with torch.no_grad():
        fast.mlm_head.decoder.bias[7] = 1e4
    assert fast(**inputs, labels=labels).mlm_correct == 4


def products_of_a_step(masks, monkeypatch):
    """The shapes of all matrices that a training step with so many masks multiplies."""
    _, fast = twins()
    fast.nsp_head = None
    fast.sampled_softmax = SampledSoftmax(torch.arange(97, 0, -1).numpy(), 4, always=20, one_in=2)
    labels = torch.full((8, 20), -100)
    labels[:, 1] = 7
    labels[0, 2 : 2 + masks] = 8
    shapes = []

    def linear(x, weight, bias=None):
        shapes.append((tuple(x.shape), tuple(weight.shape)))
        return plain(x, weight, bias)

    plain = F.linear
    monkeypatch.setattr(F, "linear", linear)
    torch.manual_seed(masks)  # other candidates of the softmax in each step
    fast(torch.full((8, 20), 5), labels=labels)
    monkeypatch.undo()
    return shapes[-2:]  # the MLM head's: its transform, and one for the scores


def test_a_step_with_more_masks_multiplies_matrices_of_the_same_shape(monkeypatch):
    """Each new shape of a bfloat16 product costs time, and memory that is kept for long."""
    few, more = (products_of_a_step(masks, monkeypatch) for masks in (3, 9))
    assert few == more == [((128, 128), (128, 128)), ((128, 128), (128, 128))]


class Turning(torch.nn.Module):
    """Rotates the first two dimensions of each head by the position (Su et al., 2021)."""

    def __init__(self, config):
        super().__init__()

    def forward(self, x, position_ids):
        angle = position_ids[:, None].float()  # (B, 1, T)
        a, b = x[..., 0], x[..., 1]
        turned = (a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos())
        return torch.cat([torch.stack(turned, -1), x[..., 2:]], -1)


@pytest.mark.parametrize("part", ["encoder", "layer", "attention"])
def test_states_at_places_follow_a_subclass_of_a_part(part):
    """A variant of BERT, as chapter 13 builds them, is not computed as if it were BERT."""
    bert = minibert.BertModel(CONFIG).eval()
    last = bert.encoder.layers[-1]
    module = {"encoder": bert.encoder, "layer": last, "attention": last.attention}[part]

    class Variant(type(module)):
        def forward(self, x, *args, **kwargs):
            return super().forward(-x, *args, **kwargs)

    module.__class__ = Variant
    inputs, labels, _ = batch()
    places = places_read(labels)
    want = gather(bert(**inputs).last_hidden_state, places)
    assert_close(states_at(bert, places, **inputs), want, rtol=0, atol=0)


def test_states_at_places_are_told_their_positions(monkeypatch):
    monkeypatch.setitem(POSITION_SCHEMES, "turning", Turning)
    plain, fast = twins(position_embedding_type="turning")
    inputs, labels, _ = batch()
    ids = torch.arange(3, 14).expand(3, 11).flip(1)
    places = places_read(labels)
    for position_ids in (None, ids, ids[:1]):
        wanted = plain.bert(**inputs, position_ids=position_ids).last_hidden_state
        got = states_at(fast.bert, places, **inputs, position_ids=position_ids)
        assert_close(got, gather(wanted, places), **CLOSE)


@pytest.mark.parametrize("rows", [2, 3, 256])
def test_linear_cross_entropy_a_few_rows_at_a_time(rows, monkeypatch):
    monkeypatch.setattr(LinearCrossEntropy, "ROWS", rows)
    torch.manual_seed(4)
    hidden, weight = torch.randn(7, 5, requires_grad=True), torch.randn(11, 5, requires_grad=True)
    bias, targets = torch.randn(11, requires_grad=True), torch.randint(0, 11, (7,))
    shares = torch.rand(7)
    total, correct = LinearCrossEntropy.apply(hidden, weight, bias, targets, shares)
    logits = torch.nn.functional.linear(hidden, weight, bias)
    plain = torch.nn.functional.cross_entropy(logits, targets, reduction="none") @ shares
    assert_close(total, plain, **CLOSE)
    assert correct == (logits.argmax(-1) == targets).sum()
    for got, wanted in zip(
        torch.autograd.grad(3 * total, (hidden, weight, bias)),
        torch.autograd.grad(3 * plain, (hidden, weight, bias)),
        strict=True,
    ):
        assert_close(got, wanted, **CLOSE)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_loss_is_summed_widely_whatever_the_weights_are(dtype):
    torch.manual_seed(0)
    hidden = torch.randn(5000, 8).to(dtype).requires_grad_()
    weight, bias = torch.randn(97, 8).to(dtype).requires_grad_(), torch.zeros(97, dtype=dtype)
    targets = torch.randint(0, 97, (5000,))
    total, _ = LinearCrossEntropy.apply(hidden, weight, bias, targets, torch.ones(5000))
    exact = torch.nn.functional.cross_entropy(
        torch.nn.functional.linear(hidden, weight).double(), targets, reduction="sum"
    )
    assert_close(total.double(), exact, rtol=1e-5, atol=0)
    (got,) = torch.autograd.grad(total, weight)
    (wanted,) = torch.autograd.grad(exact, weight)
    tolerance = 1e-9 if dtype == torch.float64 else 0.02
    assert_close(got, wanted, rtol=tolerance, atol=tolerance)


def test_a_second_derivative_is_refused_and_not_wrong():
    hidden = torch.randn(3, 4, requires_grad=True)
    weight, bias = torch.randn(5, 4, requires_grad=True), torch.zeros(5, requires_grad=True)
    loss, _ = LinearCrossEntropy.apply(hidden, weight, bias, torch.tensor([0, 1, 2]), torch.ones(3))
    (gradient,) = torch.autograd.grad(loss, hidden, create_graph=True)
    with pytest.raises(RuntimeError, match="does not require grad"):
        gradient.sum().backward()
