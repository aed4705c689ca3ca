"""BERT for tasks: one body, and a small head for each kind of task (Devlin et al., 2019, 4).

Classes, arguments and weights have Hugging Face's names and give the same numbers. To put a new
head on a pretrained body: `BertForSequenceClassification.from_bert(model.bert, labels)`.
"""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch.nn.functional as F
from torch import Tensor, nn

from minibert.attention import PooledQueryAttention, mean_of_real_tokens
from minibert.config import BertConfig, choose
from minibert.embeddings import check_ids
from minibert.encoder import init_weights
from minibert.files import field
from minibert.model import IGNORE_INDEX, BertModel, BertModelOutput
from minibert.weights import PretrainedModel, Shapes

if TYPE_CHECKING:
    from typing_extensions import Self


def _single_label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Class numbers (B,)."""
    check_ids("labels", labels, logits.shape[-1])
    return F.cross_entropy(logits, labels)


def _multi_label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Any number of classes for each text: (B, C) of 0 and 1."""
    return F.binary_cross_entropy_with_logits(logits, labels.float())


def _regression_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Numbers (B,), or (B, C) of several."""
    return F.mse_loss(logits, labels.float().view_as(logits))


PROBLEM_TYPES = {
    "single_label_classification": _single_label_loss,
    "multi_label_classification": _multi_label_loss,
    "regression": _regression_loss,
}
"""The mean loss of logits (B, C) for each `problem_type`."""
TWO_LABELS = ("LABEL_0", "LABEL_1")
"""Hugging Face's labels if a `config.json` names none."""


@dataclass
class ClassifierOutput:
    """What three of the four heads return; the names are Hugging Face's."""

    loss: Tensor | None  # ()
    logits: Tensor  # (B, C), for tokens (B, T, C)
    hidden_states: tuple[Tensor, ...] | None
    attentions: tuple[Tensor, ...] | None


@dataclass
class QuestionAnsweringOutput:
    """What `BertForQuestionAnswering` returns."""

    loss: Tensor | None  # ()
    start_logits: Tensor  # (B, T)
    end_logits: Tensor  # (B, T)
    hidden_states: tuple[Tensor, ...] | None
    attentions: tuple[Tensor, ...] | None


class Pooling(nn.Module):
    """How a text becomes one vector."""

    reads_pooler = False

    def __init__(self, config: BertConfig) -> None:
        super().__init__()

    def forward(self, out: BertModelOutput, attention_mask: Tensor | None) -> Tensor:
        """What the body returns, and a mask (B, T) -> a vector for each text (B, D)."""
        raise NotImplementedError


class ClsPooling(Pooling):
    """BERT's own way: the state of `[CLS]`, through the pooler."""

    reads_pooler = True

    def forward(self, out: BertModelOutput, attention_mask: Tensor | None) -> Tensor:
        """As `Pooling.forward`."""
        assert out.pooler_output is not None
        return out.pooler_output


class MeanPooling(Pooling):
    """The mean of the real tokens' states."""

    def forward(self, out: BertModelOutput, attention_mask: Tensor | None) -> Tensor:
        """As `Pooling.forward`."""
        return mean_of_real_tokens(out.last_hidden_state, attention_mask)


class QueryPooling(Pooling):
    """Attention whose query is the mean of the real tokens' states."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.attention = PooledQueryAttention(config.hidden_size, config.num_attention_heads)

    def forward(self, out: BertModelOutput, attention_mask: Tensor | None) -> Tensor:
        """As `Pooling.forward`."""
        return self.attention(out.last_hidden_state, attention_mask)[0]


POOLINGS: dict[str, type[Pooling]] = {"cls": ClsPooling, "mean": MeanPooling, "query": QueryPooling}


def labels_of(values: dict[str, Any], outputs: int) -> list[str]:
    """The labels of a `config.json`, as in Hugging Face.

    They are LABEL_0, LABEL_1, ... if `id2label` is missing or does not name `num_labels` of them.
    Raises `ValueError` if the weights have another number of outputs.
    """
    names = field(values, "id2label", dict, {})
    number = len(names) or 2 if (given := values.get("num_labels")) is None else given
    if number != outputs:
        raise ValueError(f"num_labels is {number!r}, but the weights have {outputs} outputs")
    if len(names) != outputs:
        return [f"LABEL_{n}" for n in range(outputs)]
    labels = [names[str(n)] for n in range(outputs) if isinstance(names.get(str(n)), str)]
    if len(labels) < outputs:
        raise ValueError(f"id2label must name 0..{outputs - 1} and is {reprlib.repr(names)}")
    return labels


class BertWithHead(PretrainedModel):
    """What the four heads share: a body `bert`, the names of their labels, freezing."""

    head_name = "classifier"
    takes_labels = True

    def __init__(self, config: BertConfig, labels: Sequence[str], add_pooling_layer: bool) -> None:
        super().__init__()
        self.config = config
        self.labels = tuple(labels)
        self.passes_over = () if add_pooling_layer else ("pooler.",)
        self.bert = BertModel(config, add_pooling_layer)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.is_frozen = False

    @classmethod
    def from_bert(cls, bert: BertModel, *args: Any, **kwargs: Any) -> Self:
        """A new head, drawn at random, on a copy of a pretrained body.

        Further arguments are the class's own. A pooler is copied if the body has one and the head
        needs one; it is new if the body lacks it. Dropout is the body's, so set it there:
        `BertModel.from_pretrained(path, hidden_dropout_prob=0.1)`.
        """
        model = cls(bert.config, *args, **kwargs)
        missing, extra = model.bert.load_state_dict(bert.state_dict(), strict=False)
        assert all(name.startswith("pooler.") for name in (*missing, *extra))
        return model

    @classmethod
    def for_weights(cls, config: BertConfig, shapes: Shapes, values: dict[str, Any]) -> Self:
        """With the labels that `config.json` names. Raises `ValueError` for weights of another."""
        shape = shapes.get(f"{cls.head_name}.weight")
        if shape is None:
            raise ValueError(
                f"these weights have no {cls.head_name}: put a new head on their body with "
                f"{cls.__name__}.from_bert(BertModel.from_pretrained(...))"
            )
        return cls(config, **cls.arguments(values, outputs=next(iter(shape), 0)))

    @classmethod
    def arguments(cls, values: dict[str, Any], outputs: int) -> dict[str, Any]:
        """The class's own arguments, from what a `config.json` says."""
        return {"labels": labels_of(values, outputs)} if cls.takes_labels else {}

    def head_config(self) -> dict[str, Any]:
        """The labels for Hugging Face's `config.json`."""
        if not self.takes_labels:
            return {}
        return {
            "id2label": {str(number): label for number, label in enumerate(self.labels)},
            "label2id": {label: number for number, label in enumerate(self.labels)},
        }

    def freeze_body(self) -> None:
        """Keep embeddings and encoder unchanged: no gradient, and no dropout either.

        The pooler still learns, because it is new in a body that was pretrained without NSP.
        """
        self.is_frozen = True
        for part in (self.bert.embeddings, self.bert.encoder):
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """As in torch, except that a frozen body stays in eval mode."""
        super().train(mode)
        if self.is_frozen:
            self.bert.embeddings.eval()
            self.bert.encoder.eval()
        return self


class BertForSequenceClassification(BertWithHead):
    """One answer for a whole text, or a pair of texts: a class, several, or a number.

    `labels` names the outputs. `pooling` is a name in `POOLINGS`: `cls` is BERT's pooler, as in
    Hugging Face. Hugging Face's class has no other, so it reports a missing pooler if it loads a
    model with `mean` or `query`.
    """

    def __init__(
        self,
        config: BertConfig,
        labels: Sequence[str] = TWO_LABELS,
        problem_type: str = "single_label_classification",
        pooling: str = "cls",
    ) -> None:
        loss_function = choose("problem_type", problem_type, PROBLEM_TYPES)
        pooling_kind = choose("pooling", pooling, POOLINGS)
        if len(labels) < 2 and problem_type == "single_label_classification":
            raise ValueError(f"a classifier needs two labels at least, not {list(labels)}")
        super().__init__(config, labels, add_pooling_layer=pooling_kind.reads_pooler)
        self.problem_type = problem_type
        self.loss_function = loss_function
        self.pooling = pooling
        self.pooling_layer = pooling_kind(config)
        init_weights(self.pooling_layer, config.initializer_range)
        self.classifier = nn.Linear(config.hidden_size, len(labels))
        init_weights(self.classifier, config.initializer_range)

    @classmethod
    def arguments(cls, values: dict[str, Any], outputs: int) -> dict[str, Any]:
        """Without a `problem_type`, one output is a number and several are classes."""
        arguments = super().arguments(values, outputs)
        default = "regression" if outputs == 1 else "single_label_classification"
        return {
            **arguments,
            "problem_type": values.get("problem_type") or default,
            "pooling": values.get("pooling", "cls"),
        }

    def head_config(self) -> dict[str, Any]:
        """Labels, the problem type, and `pooling` if it is not Hugging Face's."""
        pooling = {} if self.pooling == "cls" else {"pooling": self.pooling}
        return {**super().head_config(), "problem_type": self.problem_type, **pooling}

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> ClassifierOutput:
        """Ids (B, T) -> logits (B, C), and the mean loss if there are labels.

        `labels` are class numbers (B,), or (B, C) of 0 and 1 if a text may have several classes.
        For regression they are numbers (B,), or (B, C) if there are several.
        """
        inputs = (input_ids, attention_mask, token_type_ids, position_ids)
        out = self.bert(*inputs, output_attentions, output_hidden_states)
        pooled = self.pooling_layer(out, attention_mask)  # (B, D)
        logits = self.classifier(self.dropout(pooled))  # (B, C)
        loss = None if labels is None else self.loss_function(logits.float(), labels)
        return ClassifierOutput(loss, logits, out.hidden_states, out.attentions)


class BertForTokenClassification(BertWithHead):
    """A class for every token: parts of speech, names, marks of punctuation."""

    def __init__(self, config: BertConfig, labels: Sequence[str] = TWO_LABELS) -> None:
        super().__init__(config, labels, add_pooling_layer=False)
        self.classifier = nn.Linear(config.hidden_size, len(self.labels))
        init_weights(self.classifier, config.initializer_range)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> ClassifierOutput:
        """Ids (B, T) -> logits (B, T, C), and the mean loss of the labels that are not -100.

        `labels` (B, T) are class numbers. The first piece of a word has the word's label; its other
        pieces, `[CLS]`, `[SEP]` and padding have -100.
        """
        inputs = (input_ids, attention_mask, token_type_ids, position_ids)
        out = self.bert(*inputs, output_attentions, output_hidden_states)
        logits = self.classifier(self.dropout(out.last_hidden_state))  # (B, T, C)
        loss = None
        if labels is not None:
            asked = labels != IGNORE_INDEX  # (B, T)
            check_ids("labels", labels[asked], len(self.labels))
            total = F.cross_entropy(logits[asked].float(), labels[asked], reduction="sum")
            loss = total / asked.sum().clamp(min=1)  # no label, no loss: 0 and not NaN
        return ClassifierOutput(loss, logits, out.hidden_states, out.attentions)


class BertForQuestionAnswering(BertWithHead):
    """Where an answer starts and ends in a text; at `[CLS]` if the text has no answer."""

    head_name = "qa_outputs"
    takes_labels = False

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config, (), add_pooling_layer=False)
        self.qa_outputs = nn.Linear(config.hidden_size, 2)
        init_weights(self.qa_outputs, config.initializer_range)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> QuestionAnsweringOutput:
        """Ids (B, T) -> logits (B, T) for the first and for the last token of the answer.

        `start_positions` and `end_positions` are (B,), both inclusive; a row whose position is T or
        more has no part in the loss, which is the mean of the two cross-entropies.
        """
        inputs = (input_ids, attention_mask, token_type_ids, position_ids)
        out = self.bert(*inputs, output_attentions, output_hidden_states)
        # No dropout here: neither the original nor Hugging Face has one.
        start_logits, end_logits = self.qa_outputs(out.last_hidden_state).unbind(-1)  # (B, T) each
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = (
                _position_loss(start_logits, start_positions)
                + _position_loss(end_logits, end_positions)
            ) / 2
        return QuestionAnsweringOutput(
            loss, start_logits, end_logits, out.hidden_states, out.attentions
        )


def _position_loss(logits: Tensor, positions: Tensor) -> Tensor:
    """Cross-entropy over the tokens (B, T), for rows whose position lies among them."""
    asked = positions < logits.shape[1]  # (B,)
    total = F.cross_entropy(logits[asked].float(), positions[asked], reduction="sum")
    return total / asked.sum().clamp(min=1)


class BertForMultipleChoice(BertWithHead):
    """One of several texts: each gets a score, and the highest wins."""

    takes_labels = False

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config, (), add_pooling_layer=True)
        self.classifier = nn.Linear(config.hidden_size, 1)
        init_weights(self.classifier, config.initializer_range)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> ClassifierOutput:
        """All inputs are (B, C, T) -> logits (B, C). `labels` (B,) are numbers of choices."""
        num_choices = input_ids.shape[1]

        def flat(x: Tensor | None) -> Tensor | None:
            return None if x is None else x.flatten(0, 1)  # (B * C, T)

        inputs = (input_ids, attention_mask, token_type_ids, position_ids)
        out = self.bert(*map(flat, inputs), output_attentions, output_hidden_states)
        scores = self.classifier(self.dropout(out.pooler_output))  # (B * C, 1)
        logits = scores.view(-1, num_choices)  # (B, C)
        loss = None
        if labels is not None:
            check_ids("labels", labels, num_choices)
            loss = F.cross_entropy(logits.float(), labels)
        return ClassifierOutput(loss, logits, out.hidden_states, out.attentions)
