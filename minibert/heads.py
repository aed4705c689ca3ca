"""BERT put to work: one body, a small head for each kind of task (Devlin et al., 2019, 4).

Classes, arguments and weights bear Hugging Face's names, and give the same numbers. A head is new
when it is put on a pretrained body: `BertForSequenceClassification.from_bert(model.bert, labels)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch.nn.functional as F
from torch import Tensor, nn

from minibert.attention import PooledQueryAttention
from minibert.config import BertConfig
from minibert.embeddings import check_ids
from minibert.encoder import init_weights
from minibert.model import IGNORE_INDEX, BertModel
from minibert.weights import PretrainedModel

if TYPE_CHECKING:
    from typing_extensions import Self

PROBLEM_TYPES = ("single_label_classification", "multi_label_classification", "regression")
POOLINGS = ("cls", "mean", "query")
TWO_LABELS = ("LABEL_0", "LABEL_1")
"""What Hugging Face means where a `config.json` names no label."""


@dataclass
class ClassifierOutput:
    """What three of the four heads give; the names are Hugging Face's."""

    loss: Tensor | None  # ()
    logits: Tensor  # (B, C), for tokens (B, T, C)
    hidden_states: tuple[Tensor, ...] | None
    attentions: tuple[Tensor, ...] | None


@dataclass
class QuestionAnsweringOutput:
    """What `BertForQuestionAnswering` gives."""

    loss: Tensor | None  # ()
    start_logits: Tensor  # (B, T)
    end_logits: Tensor  # (B, T)
    hidden_states: tuple[Tensor, ...] | None
    attentions: tuple[Tensor, ...] | None


class BertWithHead(PretrainedModel):
    """What the four have in common: a body `bert`, the names of their labels, freezing."""

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

        Further arguments are the class's own. A pooler is kept where both have one, and is new
        where the head needs one that the body lacks. Dropout is the body's:
        `BertModel.from_pretrained(path, hidden_dropout_prob=0.1)` has another.
        """
        model = cls(bert.config, *args, **kwargs)
        missing, extra = model.bert.load_state_dict(bert.state_dict(), strict=False)
        assert all(name.startswith("pooler.") for name in (*missing, *extra))
        return model

    @classmethod
    def for_weights(cls, config: BertConfig, names: set[str], values: dict[str, Any]) -> Self:
        """With the labels that `config.json` names. Raises `ValueError` for weights of another."""
        if f"{cls.head_name}.weight" not in names:
            raise ValueError(
                f"these weights have no {cls.head_name}: put a new head on their body with "
                f"{cls.__name__}.from_bert(BertModel.from_pretrained(...))"
            )
        return cls(config, **cls.arguments(values))

    @classmethod
    def arguments(cls, values: dict[str, Any]) -> dict[str, Any]:
        """The class's own arguments, from what a `config.json` says."""
        names = values.get("id2label") or dict(enumerate(TWO_LABELS))
        labels = [names[number] for number in sorted(names, key=int)]
        return {"labels": labels} if cls.takes_labels else {}

    def head_config(self) -> dict[str, Any]:
        """Labels as Hugging Face's `config.json` has them."""
        if not self.takes_labels:
            return {}
        return {
            "id2label": {str(number): label for number, label in enumerate(self.labels)},
            "label2id": {label: number for number, label in enumerate(self.labels)},
        }

    def freeze_body(self) -> None:
        """Keep embeddings and encoder as they are: no gradient, and no dropout either.

        The pooler goes on learning: in a body that was pretrained without NSP it is new.
        """
        self.is_frozen = True
        for part in (self.bert.embeddings, self.bert.encoder):
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """As torch has it, but that a frozen body stays in eval mode."""
        super().train(mode)
        if self.is_frozen:
            self.bert.embeddings.eval()
            self.bert.encoder.eval()
        return self


class BertForSequenceClassification(BertWithHead):
    """One answer for a whole text, or a pair of texts: a class, several, or a number.

    `labels` names the outputs. `pooling` says how a text becomes one vector: `cls` is BERT's
    pooler, as in Hugging Face; `mean` takes the mean of the real tokens' states; `query` attention
    whose query is that mean. The last two have no place in Hugging Face's class: it finds no
    pooler in a folder of theirs, and says so.
    """

    def __init__(
        self,
        config: BertConfig,
        labels: Sequence[str] = TWO_LABELS,
        problem_type: str = "single_label_classification",
        pooling: str = "cls",
    ) -> None:
        if problem_type not in PROBLEM_TYPES:
            raise ValueError(f"problem_type {problem_type!r} is not one of {list(PROBLEM_TYPES)}")
        if pooling not in POOLINGS:
            raise ValueError(f"pooling {pooling!r} is not one of {list(POOLINGS)}")
        if len(labels) < 2 and problem_type == "single_label_classification":
            raise ValueError(f"to tell classes apart takes two labels at least, not {list(labels)}")
        super().__init__(config, labels, add_pooling_layer=pooling == "cls")
        self.problem_type = problem_type
        self.pooling = pooling
        if pooling == "query":
            self.pooled_query = PooledQueryAttention(config.hidden_size, config.num_attention_heads)
            init_weights(self.pooled_query, config.initializer_range)
        self.classifier = nn.Linear(config.hidden_size, len(labels))
        init_weights(self.classifier, config.initializer_range)

    @classmethod
    def arguments(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Where no `problem_type` stands, one output is a number, and more are classes."""
        arguments = super().arguments(values)
        default = PROBLEM_TYPES[2 if len(arguments["labels"]) == 1 else 0]
        problem_type = values.get("problem_type") or default
        return {
            **arguments,
            "problem_type": problem_type,
            "pooling": values.get("pooling", "cls"),
        }

    def head_config(self) -> dict[str, Any]:
        """Labels, and what the loss is; `pooling` where it is not Hugging Face's."""
        pooling = {} if self.pooling == "cls" else {"pooling": self.pooling}
        return {**super().head_config(), "problem_type": self.problem_type, **pooling}

    def pool(
        self, hidden_states: Tensor, pooler_output: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """States (B, T, D) and mask (B, T) -> a vector for each text (B, D)."""
        if self.pooling == "cls":
            return pooler_output
        if self.pooling == "query":
            return self.pooled_query(hidden_states, mask)[0]
        return mean_of_real_tokens(hidden_states, mask)

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
        """Ids (B, T) -> logits (B, C), and the mean loss where there are labels.

        `labels` are (B,) class numbers; for several classes at once (B, C) of 0 and 1; for
        regression (B,), or (B, C) where there are several numbers.
        """
        out = self.bert(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            output_attentions,
            output_hidden_states,
        )
        pooled = self.pool(out.last_hidden_state, out.pooler_output, attention_mask)  # (B, D)
        logits = self.classifier(self.dropout(pooled))  # (B, C)
        loss = None
        if labels is not None:
            if self.problem_type == "single_label_classification":
                check_ids("labels", labels, len(self.labels))
                loss = F.cross_entropy(logits.float(), labels)
            elif self.problem_type == "multi_label_classification":
                loss = F.binary_cross_entropy_with_logits(logits.float(), labels.float())
            else:
                loss = F.mse_loss(logits.float(), labels.float().view_as(logits))
        return ClassifierOutput(loss, logits, out.hidden_states, out.attentions)


def mean_of_real_tokens(hidden_states: Tensor, attention_mask: Tensor | None) -> Tensor:
    """(B, T, D) and a mask (B, T) -> (B, D): padding has no part in the mean."""
    if attention_mask is None:
        return hidden_states.mean(1)
    real = attention_mask[..., None].to(hidden_states.dtype)  # (B, T, 1)
    return (hidden_states * real).sum(1) / real.sum(1).clamp(min=1)


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
        """Ids (B, T) -> logits (B, T, C), and the mean loss over the labels that are not -100.

        `labels` (B, T) are class numbers. A word is several pieces: its label stands at its first
        piece, and -100 at the others, at `[CLS]`, `[SEP]` and padding.
        """
        out = self.bert(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            output_attentions,
            output_hidden_states,
        )
        logits = self.classifier(self.dropout(out.last_hidden_state))  # (B, T, C)
        loss = None
        if labels is not None:
            asked = labels != IGNORE_INDEX  # (B, T)
            check_ids("labels", labels[asked], len(self.labels))
            total = F.cross_entropy(logits[asked].float(), labels[asked], reduction="sum")
            loss = total / asked.sum().clamp(min=1)  # no label, no loss: 0 and not NaN
        return ClassifierOutput(loss, logits, out.hidden_states, out.attentions)


class BertForQuestionAnswering(BertWithHead):
    """Where an answer starts and ends in a text; at `[CLS]` where it holds none."""

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

        `start_positions` and `end_positions` are (B,), both inclusive; T or more says that a row is
        not asked. The loss is the mean of the two cross-entropies.
        """
        out = self.bert(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            output_attentions,
            output_hidden_states,
        )
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
    """One of several texts: each is read by itself and given a score, the highest is chosen."""

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
        """Ids (B, C, T), as are the other inputs -> logits (B, C); `labels` (B,) are choices."""
        num_choices = input_ids.shape[1]

        def flat(x: Tensor | None) -> Tensor | None:
            return None if x is None else x.flatten(0, 1)  # (B * C, T)

        out = self.bert(
            flat(input_ids),
            flat(attention_mask),
            flat(token_type_ids),
            flat(position_ids),
            output_attentions,
            output_hidden_states,
        )
        scores = self.classifier(self.dropout(out.pooler_output))  # (B * C, 1)
        logits = scores.view(-1, num_choices)  # (B, C)
        loss = None
        if labels is not None:
            check_ids("labels", labels, num_choices)
            loss = F.cross_entropy(logits.float(), labels)
        return ClassifierOutput(loss, logits, out.hidden_states, out.attentions)
