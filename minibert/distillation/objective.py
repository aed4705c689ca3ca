"""What a student learns from its teacher: the wishes in a `Transfer`, and an objective for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minibert.attention import merge_heads
from minibert.config import BertConfig
from minibert.data.batches import Batch
from minibert.distillation.losses import (
    attention_map_loss,
    attention_scores,
    hidden_state_loss,
    relation_loss,
    relations,
    soft_target_loss,
)
from minibert.model import IGNORE_INDEX, BertForPreTraining, evaluating
from minibert.settings import NotNegative, Positive, Share, check, one_of
from minibert.training.recording import recording
from minibert.training.trainer import Numbers
from minibert.weights import PretrainedModel

VECTORS = ("query", "key", "value")


@dataclass(frozen=True)
class Transfer:
    """What the teacher passes on besides the masked token, and how much each part weighs."""

    temperature: Positive = 1.0
    alpha: Share = 0.0
    """The weight of the hard loss, over the masked tokens; the soft targets have the rest. After
    1000 steps a student of `mini-sotu` predicted 32.1 % of masked tokens with these defaults, and
    29.6 % with temperature 2 and alpha 0.5 (three seeds each, speeches for validation)."""
    hidden_weight: NotNegative = 0.0
    """Of the hidden states, embeddings included."""
    attention: Annotated[str, one_of(("none", "maps", "relations"))] = "none"
    """`maps`: the scores of each head (Jiao et al., 2020), at every layer of the student;
    `relations`: among queries, keys and values, at the last layer, with as many relation heads as
    the teacher has heads (Wang et al., 2021)."""
    attention_weight: NotNegative = 1.0

    def __post_init__(self) -> None:
        check(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Transfer:
        """From the transfer in a `run.json`, which an earlier minibert may have written."""
        once = {"relation_heads": None, "layers": "uniform"}
        return cls(**{n: v for n, v in values.items() if n not in once or v != once[n]})


def layer_map(student_layers: int, teacher_layers: int) -> tuple[int, ...]:
    """For each layer of the student, the teacher's layer that it imitates, both counted from 0.

    That is the last of every k layers, so the last layers imitate each other. Raises `ValueError`
    for a student with more layers than the teacher.
    """
    if not 1 <= student_layers <= teacher_layers:
        raise ValueError(
            f"a student with {student_layers} layers cannot imitate a teacher with "
            f"{teacher_layers}: it needs at least one, and no more than the teacher has"
        )
    return tuple((i + 1) * teacher_layers // student_layers - 1 for i in range(student_layers))


class StudentAndProjections(nn.Module):
    """What is trained: the student and, if it is narrower, projections that widen its states.

    Each hidden state has a projection (D of the student -> D of the teacher). It is learned with
    the student, and has no use afterwards.
    """

    def __init__(self, student: PretrainedModel, teacher: BertConfig, transfer: Transfer) -> None:
        super().__init__()
        self.student = student
        width = student.config.hidden_size
        states = student.config.num_hidden_layers + 1 if transfer.hidden_weight else 0
        self.projections = nn.ModuleList(
            nn.Identity()
            if width == teacher.hidden_size
            else nn.Linear(width, teacher.hidden_size, bias=False)
            for _ in range(states)
        )


@dataclass
class Activations:
    """What a model computed for a batch."""

    logits: Tensor  # (N, C), where the batch has a label; C is V for masked tokens
    hidden_states: tuple[Tensor, ...]  # L + 1 of (B, T, D)
    vectors: dict[str, list[Tensor]]  # queries, keys, values: L of (B, T, D)


def run_model(model: PretrainedModel, batch: Batch, vectors: Sequence[str] = ()) -> Activations:
    """Logits where the batch has a label, all hidden states, and the `vectors` asked for.

    Queries and keys are those that attention compares, so a position scheme has rotated them.
    """
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    asked = batch["labels"] != IGNORE_INDEX  # (B,) or (B, T)
    layers = [layer.attention for layer in model.body.encoder.layers] if vectors else []
    with (
        recording(attention.positions for attention in layers) as compared,
        recording(attention.value for attention in layers) as values,
    ):
        if isinstance(model, BertForPreTraining):  # its head is wide: the asked positions alone
            out = model.bert(**inputs, output_hidden_states=True)
            logits = model.mlm_head(out.last_hidden_state[asked])  # (N, V)
        else:
            out = model(**inputs, output_hidden_states=True)
            logits = out.logits[asked]  # (N, C)
    compared = [merge_heads(x) for x in compared]  # query, key, query, key ...: (B, T, D)
    caught = {"query": compared[0::2], "key": compared[1::2], "value": values}
    return Activations(logits, out.hidden_states, caught)


class DistillationObjective:
    """The student's own loss and the teacher's part in it, for a `StudentAndProjections`.

    Teacher and student both predict masked tokens, or both have the same head whose logits choose
    between classes. Every term includes its weight; `cross_entropy` is the hard loss without its
    weight. The teacher is in eval mode, has no gradient, and is not trained. Raises `ValueError`
    for two models that cannot be compared.
    """

    def __init__(
        self, teacher: PretrainedModel, student: PretrainedModel, transfer: Transfer
    ) -> None:
        check_pair(teacher.config, student.config, transfer)
        kinds = [
            BertForPreTraining if isinstance(model, BertForPreTraining) else type(model)
            for model in (teacher, student)
        ]
        if kinds[0] is not kinds[1]:
            raise ValueError(
                f"the teacher is a {kinds[0].__name__} and the student a {kinds[1].__name__}: "
                "they must have the same head"
            )
        theirs, mine = getattr(teacher, "labels", ()), getattr(student, "labels", ())
        if theirs != mine:
            raise ValueError(
                f"the teacher's labels are {list(theirs)} and the student's {list(mine)}: they "
                "must be the same, in the same order"
            )
        self.teacher = teacher
        self.transfer = transfer
        self.layers = layer_map(student.config.num_hidden_layers, teacher.config.num_hidden_layers)
        self.vectors = () if transfer.attention == "none" else VECTORS
        self.accuracy = "mlm_accuracy" if isinstance(teacher, BertForPreTraining) else "accuracy"

    def counts(self, batch: Batch) -> Numbers:
        """Labels for predictions; tokens without padding for states and attention."""
        labels = int((batch["labels"] != IGNORE_INDEX).sum())
        mask = batch.get("attention_mask")
        tokens = batch["input_ids"].numel() if mask is None else int(mask.sum())
        of_labels = ("hard_loss", "soft_loss", "cross_entropy", self.accuracy)
        return {
            "tokens": tokens,
            **dict.fromkeys(of_labels, labels),
            **dict.fromkeys(("hidden_loss", "attention_loss"), tokens),
        }

    def sums(self, model: StudentAndProjections, batch: Batch) -> dict[str, Tensor]:
        """Each term and metric, summed over what it counts. Unwanted terms are left out."""
        transfer, counts = self.transfer, self.counts(batch)
        student = run_model(model.student, batch, self.vectors)
        with torch.no_grad(), evaluating(self.teacher):
            teacher = run_model(self.teacher, batch, self.vectors)
        labels = batch["labels"][batch["labels"] != IGNORE_INDEX]  # (N,)
        mask = batch.get("attention_mask")
        if mask is not None:
            mask = mask.flatten(0, -2)  # (B, T); a row of several texts becomes several rows
        cross_entropy = F.cross_entropy(student.logits.float(), labels, reduction="sum")
        soft = soft_target_loss(student.logits, teacher.logits, transfer.temperature)
        terms = {
            "hard_loss": transfer.alpha * cross_entropy,
            "soft_loss": (1 - transfer.alpha) * soft * counts["soft_loss"],
        }
        if transfer.hidden_weight:
            loss = self.hidden_loss(model.projections, student, teacher, mask)
            terms["hidden_loss"] = transfer.hidden_weight * loss * counts["hidden_loss"]
        if transfer.attention != "none":
            loss = self.attention_loss(student, teacher, mask)
            terms["attention_loss"] = transfer.attention_weight * loss * counts["attention_loss"]
        right = (student.logits.argmax(-1) == labels).sum()
        return {**terms, "cross_entropy": cross_entropy.detach(), self.accuracy: right}

    def hidden_loss(
        self,
        projections: nn.ModuleList,
        student: Activations,
        teacher: Activations,
        mask: Tensor | None,
    ) -> Tensor:
        """Summed over the embeddings and the student's layers."""
        places = (0, *(layer + 1 for layer in self.layers))  # state 0 is the embeddings
        states = zip(projections, student.hidden_states, places, strict=True)
        losses = [
            hidden_state_loss(project(state), teacher.hidden_states[place], mask)
            for project, state, place in states
        ]
        return torch.stack(losses).sum()

    def attention_loss(
        self, student: Activations, teacher: Activations, mask: Tensor | None
    ) -> Tensor:
        """Maps: summed over the student's layers. Relations: over queries, keys and values."""
        heads = self.teacher.config.num_attention_heads

        def scores(seen: Activations, layer: int) -> Tensor:
            return attention_scores(seen.vectors["query"][layer], seen.vectors["key"][layer], heads)

        def last(seen: Activations, name: str) -> Tensor:
            return relations(seen.vectors[name][-1], seen.vectors[name][-1], heads, mask)

        if self.transfer.attention == "maps":
            losses = [
                attention_map_loss(scores(student, mine), scores(teacher, theirs), mask)
                for mine, theirs in enumerate(self.layers)
            ]
        else:
            losses = [relation_loss(last(student, n), last(teacher, n), mask) for n in VECTORS]
        return torch.stack(losses).sum()


def check_pair(teacher: BertConfig, student: BertConfig, transfer: Transfer) -> None:
    """Raise `ValueError` for a student that this teacher cannot teach in this way."""
    if teacher.vocab_size != student.vocab_size:
        raise ValueError(
            f"the teacher has {teacher.vocab_size} tokens and the student {student.vocab_size}: "
            "they must read the same vocabulary"
        )
    layer_map(student.num_hidden_layers, teacher.num_hidden_layers)
    mine, theirs = student.num_attention_heads, teacher.num_attention_heads
    if transfer.attention == "maps" and mine != theirs:
        raise ValueError(
            f"maps are compared head by head, and the student has {mine} heads and the teacher "
            f"{theirs}: give the student as many, or take relations"
        )
    if transfer.attention == "relations" and student.hidden_size % theirs:
        raise ValueError(
            f"the student is {student.hidden_size} wide, which does not divide by the teacher's "
            f"{theirs} heads, as relations need"
        )
