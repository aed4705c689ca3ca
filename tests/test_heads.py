"""The heads: Hugging Face's numbers, gradients and files; freezing; pooling."""

import pytest
import torch
import transformers
from hugging_face import CLOSE, CONFIGS, assert_same_gradients, batch, hf_model
from torch.testing import assert_close

import minibert
from minibert import weights
from minibert.attention import mean_of_real_tokens
from minibert.heads import (
    POOLINGS,
    BertForMultipleChoice,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    Pooling,
)

THREE = {"num_labels": 3, "id2label": {0: "red", 1: "green", 2: "blue"}}
THREE["label2id"] = {label: number for number, label in THREE["id2label"].items()}
ONE = {"num_labels": 1, "id2label": {0: "year"}, "label2id": {"year": 0}}


def for_tokens():
    labels = torch.full((3, 11), -100)
    labels[0, [1, 5]], labels[1, 2], labels[2, 3] = 2, 1, 0
    return {"labels": labels}


CLASSES = torch.tensor([2, 0, 1])
SEVERAL = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 1]])
NUMBERS = torch.tensor([0.5, -2.0, 3.0])
SPANS = {"start_positions": torch.tensor([1, 0, 20]), "end_positions": torch.tensor([3, 0, 2])}
KINDS = [
    ("SequenceClassification", THREE, {"labels": CLASSES}),
    ("SequenceClassification", {"num_labels": 2}, {"labels": torch.tensor([1, 0, 1])}),
    (
        "SequenceClassification",
        {**THREE, "problem_type": "multi_label_classification"},
        {"labels": SEVERAL.float()},
    ),
    ("SequenceClassification", ONE, {"labels": NUMBERS}),
    ("SequenceClassification", {**THREE, "problem_type": "regression"}, {"labels": SEVERAL * 0.7}),
    ("TokenClassification", THREE, for_tokens()),
    ("QuestionAnswering", {}, SPANS),
    ("MultipleChoice", {}, {"labels": torch.tensor([2, 0])}),
]


def two_questions(inputs):
    """Three texts as the choices of one question, and of another in another order: (2, 3, T)."""
    return {name: torch.stack([value, value[[1, 2, 0]]]) for name, value in inputs.items()}


def inputs_for(kind):
    inputs = batch()[0]
    if kind == "MultipleChoice":
        return two_questions(inputs)
    return inputs


def logits(output):
    if hasattr(output, "logits"):
        return output.logits
    return torch.stack([output.start_logits, output.end_logits], -1)


@pytest.mark.parametrize("sizes", CONFIGS[:3])
@pytest.mark.parametrize(("kind", "head", "labels"), KINDS)
def test_the_same_as_hugging_face(tmp_path, kind, head, labels, sizes):
    theirs = hf_model(getattr(transformers, f"BertFor{kind}"), {**sizes, **head})
    theirs.save_pretrained(tmp_path / "theirs")
    ours = getattr(minibert, f"BertFor{kind}").from_pretrained(tmp_path / "theirs").train()
    inputs = inputs_for(kind)
    want = theirs(**inputs, **labels)
    got = ours(**inputs, **labels)
    real = inputs["attention_mask"].bool()
    if kind in ("TokenClassification", "QuestionAnswering"):
        assert_close(logits(got)[real], logits(want)[real], **CLOSE)
    else:
        assert_close(got.logits, want.logits, **CLOSE)
    assert_close(got.loss, want.loss, **CLOSE)
    want.loss.backward()
    got.loss.backward()
    assert_same_gradients(ours, theirs)
    # And back.
    ours.save_pretrained(tmp_path / "ours")
    again = getattr(transformers, f"BertFor{kind}").from_pretrained(tmp_path / "ours").train()
    assert_close(again(**inputs, **labels).loss, want.loss, **CLOSE)
    assert again.config.id2label == theirs.config.id2label
    assert type(again).__name__ == ours.architecture


def test_padding_and_other_sequences_change_nothing():
    torch.manual_seed(0)
    config = minibert.BertConfig.preset("tiny", vocab_size=97, max_position_embeddings=20)
    ids = torch.randint(5, 97, (1, 9))
    longer = torch.cat([ids, torch.zeros(1, 4, dtype=torch.long)], 1)
    mask = (torch.arange(13) < 9).long()[None]
    for pooling in ("cls", "mean", "query"):
        model = BertForSequenceClassification(config, pooling=pooling).eval()
        assert_close(model(ids).logits, model(longer, mask).logits, **CLOSE)


def test_the_mean_is_over_real_tokens():
    states = torch.randn(2, 5, 3)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    by_hand = torch.stack([states[0, :3].mean(0), states[1].mean(0)])
    assert_close(mean_of_real_tokens(states, mask), by_hand)
    assert_close(mean_of_real_tokens(states, None), states.mean(1))


def tiny(**changes):
    torch.manual_seed(1)
    return minibert.BertConfig.preset(
        "tiny", vocab_size=97, max_position_embeddings=20, **{"hidden_dropout_prob": 0.5, **changes}
    )


@pytest.mark.parametrize("pooling", ["cls", "mean", "query"])
def test_what_is_saved_is_loaded(tmp_path, pooling):
    model = BertForSequenceClassification(tiny(), ("no", "yes", "<b>"), pooling=pooling).eval()
    model.save_pretrained(tmp_path)
    again = BertForSequenceClassification.from_pretrained(tmp_path)
    assert again.labels == ("no", "yes", "<b>") and again.pooling == pooling
    inputs = batch()[0]
    assert torch.equal(model(**inputs).logits, again(**inputs).logits)
    body = minibert.BertModel.from_pretrained(tmp_path)
    assert torch.equal(body(**inputs).last_hidden_state, model.bert(**inputs).last_hidden_state)


@pytest.mark.parametrize("with_pooler", [True, False])
@pytest.mark.parametrize(
    "kind", [BertForSequenceClassification, BertForTokenClassification, BertForQuestionAnswering]
)
def test_a_head_on_a_pretrained_body(kind, with_pooler):
    body = minibert.BertModel(tiny(), add_pooling_layer=with_pooler).eval()
    model = kind.from_bert(body).eval()
    inputs = batch()[0]
    assert torch.equal(model.bert(**inputs).last_hidden_state, body(**inputs).last_hidden_state)
    if with_pooler and model.bert.pooler is not None:
        assert torch.equal(model.bert.pooler.weight, body.pooler.weight)
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight.zero_()
    assert body.embeddings.word_embeddings.weight.abs().sum() > 0  # a copy


def test_a_frozen_body_neither_learns_nor_drops_out():
    model = BertForSequenceClassification.from_bert(minibert.BertModel(tiny()), pooling="mean")
    model.freeze_body()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    inputs = batch()[0]
    optimizer = torch.optim.AdamW(
        [parameter for parameter in model.parameters() if parameter.requires_grad], lr=0.1
    )
    model.train()
    states = [model.bert(**inputs).last_hidden_state for _ in range(2)]
    assert torch.equal(*states)  # with dropout they would differ
    assert model.dropout.training  # the head's own goes on
    model(**inputs, labels=torch.tensor([0, 1, 0])).loss.backward()
    optimizer.step()
    changed = {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}
    assert changed == {"classifier.weight", "classifier.bias"}


def test_what_cannot_be(tmp_path):
    with pytest.raises(ValueError, match=r"problem_type 'ranking' is not one of"):
        BertForSequenceClassification(tiny(), problem_type="ranking")
    with pytest.raises(ValueError, match=r"pooling 'max' is not one of"):
        BertForSequenceClassification(tiny(), pooling="max")
    with pytest.raises(ValueError, match="two labels at least"):
        BertForSequenceClassification(tiny(), ["only"])
    model = BertForTokenClassification(tiny())
    with pytest.raises(ValueError, match=r"labels has the id 5, outside 0\.\.1"):
        model(**batch()[0], labels=torch.full((3, 11), 5))
    minibert.BertForPreTraining(tiny()).save_pretrained(tmp_path / "pretrained")
    with pytest.raises(ValueError, match=r"no qa_outputs: put a new head on their body with"):
        BertForQuestionAnswering.from_pretrained(tmp_path / "pretrained")


def test_a_batch_in_which_nothing_is_asked_has_no_loss():
    nothing = torch.full((3, 11), -100)
    assert BertForTokenClassification(tiny())(**batch()[0], labels=nothing).loss == 0
    past_the_end = torch.full((3,), 11)
    loss = BertForQuestionAnswering(tiny())(
        **batch()[0], start_positions=past_the_end, end_positions=past_the_end
    ).loss
    assert loss == 0


def test_choices_are_read_one_by_one():
    model = BertForMultipleChoice(tiny(hidden_dropout_prob=0.0)).eval()
    inputs = two_questions(batch()[0])
    together = model(**inputs).logits
    alone = [
        model(**{name: value[:, [c]] for name, value in inputs.items()}).logits for c in range(3)
    ]
    assert_close(together, torch.cat(alone, 1), **CLOSE)


def test_every_weight_has_its_hugging_face_name():
    ours = BertForSequenceClassification(tiny())
    theirs = hf_model(transformers.BertForSequenceClassification, CONFIGS[0])
    names = {weights.hf_name(name) for name in ours.state_dict() if ".layers.1." not in name}
    wanted = {n for n in theirs.state_dict() if ".layer.1." not in n and ".layer.2." not in n}
    assert names == {name for name in wanted if not name.endswith("position_ids")}


@pytest.mark.parametrize("kind", ["SequenceClassification", "TokenClassification"])
def test_a_head_reads_its_body_through_dropout(kind):
    """The head's dropout alone: in train mode half of what the classifier reads is 0."""
    model = getattr(minibert, f"BertFor{kind}")(tiny()).eval()
    inputs = batch()[0]
    without = model(**inputs).logits
    model.dropout.train()
    read = []
    model.classifier.register_forward_hook(lambda module, given, out: read.append(given[0]))
    assert (model(**inputs).logits - without).abs().max() > 1e-3
    assert (read[0] == 0).float().mean().item() == pytest.approx(0.5, abs=0.05)


def test_multiple_choice_has_dropout_and_question_answering_has_none():
    """As the original and Hugging Face have it."""
    inputs = batch()[0]
    choice = BertForMultipleChoice(tiny()).eval()
    without = choice(**two_questions(inputs)).logits
    choice.dropout.train()
    assert (choice(**two_questions(inputs)).logits - without).abs().max() > 1e-3
    answering = BertForQuestionAnswering(tiny()).eval()
    without = answering(**inputs).start_logits
    answering.dropout.train()
    assert torch.equal(answering(**inputs).start_logits, without)


def test_a_query_to_pool_with_starts_as_bert_does():
    """A normal distribution, cut at two standard deviations: 0.88 of them are left."""
    model = BertForSequenceClassification(tiny(initializer_range=0.1), pooling="query")
    for name, parameter in model.pooling_layer.named_parameters():
        if name.endswith("bias"):
            assert (parameter == 0).all(), name
        else:
            assert parameter.std().item() == pytest.approx(0.088, rel=0.05), name


def test_a_pooling_is_added_from_outside(tmp_path, monkeypatch):
    """The maximum over the tokens of a text."""

    class Maximum(Pooling):
        def forward(self, out, attention_mask):
            hidden = out.last_hidden_state.masked_fill(attention_mask[..., None] == 0, -1e9)
            return hidden.amax(1)

    monkeypatch.setitem(POOLINGS, "max", Maximum)
    model = BertForSequenceClassification(tiny(), pooling="max").eval()
    model.save_pretrained(tmp_path)
    again = BertForSequenceClassification.from_pretrained(tmp_path)
    inputs = batch()[0]
    states = model.bert(**inputs).last_hidden_state
    real = inputs["attention_mask"].bool()
    by_hand = torch.stack([s[r].max(0).values for s, r in zip(states, real, strict=True)])
    assert_close(again(**inputs).logits, model.classifier(by_hand), **CLOSE)
