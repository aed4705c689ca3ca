"""Answers to new rows, for each kind of task."""

import json

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from toy_tasks import FAST, TOKENIZER, WORDS, small_bert, toy

from minibert.finetuning.predict import predict
from minibert.finetuning.task_heads import load_finetuned, make_head
from minibert.heads import BertForQuestionAnswering


def test_what_is_right_is_not_looked_at():
    data = toy("classification", train=16)
    model = make_head(small_bert(), data, FAST, 0).eval()
    bare = [{"text": row["text"]} for row in data.test]
    assert predict(model, TOKENIZER, data.test) == predict(model, TOKENIZER, bare)


def test_bfloat16_is_not_for_numbers():
    """Years near 1900 would be told in steps of 8."""
    model = make_head(small_bert(), toy("regression", train=4), FAST, 0).eval()
    with torch.no_grad():
        model.classifier.bias.fill_(1901.0)
    rows = toy("regression", test=40).test
    exact, fast = (predict(model, TOKENIZER, rows, bf16=bf16) for bf16 in (False, True))
    assert fast == exact
    data = toy("classification", train=4)
    model = make_head(small_bert(), data, FAST, 0).eval()
    exact, fast = (predict(model, TOKENIZER, data.test, bf16=bf16) for bf16 in (False, True))
    shares = [[prediction.probability for prediction in given] for given in (exact, fast)]
    assert shares[0] != shares[1] and shares[0] == pytest.approx(shares[1], abs=0.02)


def test_answers_come_back_in_the_order_of_the_rows():
    data = toy("classification", train=4, test=70)
    model = make_head(small_bert(), data, FAST, 0).eval()
    one_by_one = [predict(model, TOKENIZER, [row])[0] for row in data.test]
    together = predict(model, TOKENIZER, data.test)
    assert [p.answer for p in one_by_one] == [p.answer for p in together]
    assert_close(
        torch.tensor([p.probability for p in one_by_one]),
        torch.tensor([p.probability for p in together]),
    )


def test_every_word_gets_a_tag_however_long_the_text():
    data = toy("tagging", train=4)
    model = make_head(small_bert(), data, FAST, 0).eval()
    words = WORDS * 9
    (prediction,) = predict(model, TOKENIZER, [{"words": words}], max_length=12)
    assert len(prediction.answer) == len(prediction.probability) == len(words)
    alone = predict(model, TOKENIZER, [{"words": words[:10]}])[0]  # the first window
    assert prediction.answer[:10] == alone.answer


class Pointing(BertForQuestionAnswering):
    """Points at the word `red`, by how sure it is told to be, and to `[CLS]` with 1 in sum."""

    def __init__(self, sure):
        super().__init__(small_bert().config)
        self.sure = sure

    def forward(self, input_ids, **_):
        logits = (input_ids == TOKENIZER.vocab["red"]) * self.sure
        logits[:, 0] = 0.5
        return type("Output", (), {"start_logits": logits, "end_logits": logits})


@pytest.mark.parametrize(("sure", "answer"), [(0.6, "Red"), (0.4, "")])
def test_no_answer_where_cls_is_better_than_the_best_span(sure, answer):
    row = {"question": "red ?", "context": "one two " * 12 + "Red, one two", "answers": []}
    (prediction,) = predict(Pointing(sure), TOKENIZER, [row], max_length=16)
    assert prediction.answer == answer  # `red` in the question is no answer
    assert prediction.probability == pytest.approx(1 / (1 + np.exp(-0.2)))


def test_a_model_without_a_head_that_answers_is_refused():
    with pytest.raises(ValueError, match="BertForPreTraining, without a head that answers"):
        load_finetuned("mini")


@pytest.mark.parametrize(
    ("architectures", "says"),
    [
        (5, "config.json: architectures must be a list, not 5"),
        ("BertForSequenceClassification", "architectures must be a list, not 'BertForSeq"),
        ([5], "is a 5, without a head that answers"),
        ([["BertForTokenClassification"]], "without a head that answers"),
        ([], "is a model of no known kind, without a head that answers"),
        (None, "is a model of no known kind, without a head that answers"),
    ],
)
def test_a_config_that_names_no_head_is_bad_input(tmp_path, architectures, says):
    (tmp_path / "config.json").write_text(json.dumps({"architectures": architectures}))
    with pytest.raises(ValueError, match=says):
        load_finetuned(tmp_path)


def test_a_model_in_training_answers_without_dropout():
    data = toy("classification", train=4)
    model = make_head(small_bert(hidden_dropout_prob=0.5), data, FAST, 0)
    want = predict(model.eval(), TOKENIZER, data.test)
    assert predict(model.train(), TOKENIZER, data.test) == want
    assert model.training


def test_every_label_that_is_likelier_than_not_is_given():
    data = toy("multi-label", train=4)
    model = make_head(small_bert(), data, FAST, 0).eval()
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([-0.1, 0.1]))
    (prediction,) = predict(model, TOKENIZER, data.test[:1])
    assert prediction.answer == ["yes"]  # of no and yes
    assert prediction.probability == pytest.approx([1 / (1 + np.exp(-0.1))])


class Sure(BertForQuestionAnswering):
    """`[CLS]` scores 1 in the window that has `north`, and 5 elsewhere; every other token 1.5."""

    def __init__(self):
        super().__init__(small_bert().config)

    def forward(self, input_ids, **_):
        logits = torch.full(input_ids.shape, 1.5)
        has_north = (input_ids == TOKENIZER.vocab["north"]).any(1)
        logits[:, 0] = torch.where(has_north, 1.0, 5.0)
        return type("Output", (), {"start_logits": logits, "end_logits": logits})


def test_one_window_that_holds_an_answer_is_enough():
    """Devlin et al.: no answer means that `[CLS]` is better in every window."""
    context = "one two " * 12
    for text, has_answer in ((context, False), (context + "north", True)):
        row = {"question": "red ?", "context": text, "answers": []}
        (prediction,) = predict(Sure(), TOKENIZER, [row], max_length=16)
        assert bool(prediction.answer) == has_answer


def test_an_answer_has_at_most_thirty_tokens():
    class Everything(BertForQuestionAnswering):
        def forward(self, input_ids, **_):
            start = -torch.arange(input_ids.shape[1]).expand(input_ids.shape).float()
            end = -10 * start  # a long answer scores highest
            start[:, 0] = end[:, 0] = -1000
            return type("Output", (), {"start_logits": start, "end_logits": end})

    model = Everything(small_bert(max_position_embeddings=64).config)
    row = {"question": "red ?", "context": "one two " * 20, "answers": []}
    (prediction,) = predict(model, TOKENIZER, [row], max_length=64)
    assert len(prediction.answer.split()) == 30
