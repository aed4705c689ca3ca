"""BERT, and BERT with the two heads that it is pretrained with (Devlin et al., 2019, 3.1)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minibert.attention import additive_mask
from minibert.config import BertConfig, choose
from minibert.embeddings import BertEmbeddings, check_ids, positions_from_0
from minibert.encoder import ACTIVATIONS, BertEncoder, init_weights
from minibert.tokenizer import BertTokenizer
from minibert.weights import HEAD_PREFIXES, PretrainedModel, Shapes

if TYPE_CHECKING:
    from typing_extensions import Self

IGNORE_INDEX = -100
"""The MLM label of a token that is not to be predicted. It is no class, unlike NSP's label 0."""


@dataclass
class BertModelOutput:
    """What `BertModel` returns. The names are Hugging Face's."""

    last_hidden_state: Tensor  # (B, T, D)
    pooler_output: Tensor | None  # (B, D)
    hidden_states: tuple[Tensor, ...] | None  # L + 1 of (B, T, D), the embeddings first
    attentions: tuple[Tensor, ...] | None  # L of (B, H, T, T)


class BertModel(PretrainedModel):
    """Embeddings, encoder, and a pooler over `[CLS]` (left out if nothing needs it)."""

    passes_over = tuple(prefix for prefix in HEAD_PREFIXES if prefix != "pooler.")

    def __init__(self, config: BertConfig, add_pooling_layer: bool = True) -> None:
        super().__init__()
        self.config = config
        self.embeddings = BertEmbeddings(config)
        self.encoder = BertEncoder(config)
        self.pooler = (
            nn.Linear(config.hidden_size, config.hidden_size) if add_pooling_layer else None
        )
        init_weights(self, config.initializer_range)

    @classmethod
    def for_weights(cls, config: BertConfig, shapes: Shapes, values: dict[str, Any]) -> BertModel:
        """With a pooler if the weights have one."""
        return cls(config, add_pooling_layer="pooler.dense.weight" in shapes)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> BertModelOutput:
        """Ids (B, T) -> states (B, T, D).

        `attention_mask` is (B, T), 1 for real tokens, or (B, T, T), 1 where a query may see a key;
        without it every token is real.
        """
        if position_ids is None:
            position_ids = positions_from_0(input_ids)
        x = self.embeddings(input_ids, token_type_ids, position_ids)  # (B, T, D)
        mask = additive_mask(attention_mask, x.dtype)
        last, states, attentions = self.encoder(x, mask, output_attentions, position_ids)
        return BertModelOutput(
            last_hidden_state=last,
            pooler_output=None if self.pooler is None else self.pooler(last[:, 0]).tanh(),
            hidden_states=tuple(states) if output_hidden_states else None,
            attentions=tuple(attentions) if output_attentions else None,
        )


class MaskedLMHead(nn.Module):
    """Dense, activation, LayerNorm, then the token matrix itself as the decoder, plus a bias."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = choose("hidden_act", config.hidden_act, ACTIVATIONS)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)

    def transform(self, hidden_states: Tensor) -> Tensor:
        """(..., D) -> (..., D), what the decoder reads."""
        return self.norm(self.activation(self.dense(hidden_states)))

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(..., D) -> logits (..., V)."""
        return self.decoder(self.transform(hidden_states))


@dataclass
class BertForPreTrainingOutput:
    """What `BertForPreTraining` returns. Only the name `mlm_correct` is not Hugging Face's."""

    mlm_head: MaskedLMHead
    loss: Tensor | None = None  # (), the sum of the two below
    mlm_loss: Tensor | None = None  # (), mean over masked positions
    mlm_correct: Tensor | None = None  # (), how many masked tokens were predicted right
    next_sentence_loss: Tensor | None = None  # (), mean over sequences
    seq_relationship_logits: Tensor | None = None  # (B, 2): is next, is random
    last_hidden_state: Tensor | None = None  # (B, T, D)
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None

    @cached_property
    def prediction_logits(self) -> Tensor:
        """(B, T, V). With labels they are computed when first read: the loss does without them."""
        if self.last_hidden_state is None:
            raise ValueError("no logits of every token: in train mode, this model has a loss alone")
        return self.mlm_head(self.last_hidden_state)


class BertForPreTraining(PretrainedModel):
    """BERT with its MLM and NSP heads; `next_sentence=False` leaves NSP and the pooler out."""

    def __init__(self, config: BertConfig, next_sentence: bool = True) -> None:
        super().__init__()
        self.config = config
        self.bert = BertModel(config, add_pooling_layer=next_sentence)
        self.mlm_head = MaskedLMHead(config)
        self.nsp_head = nn.Linear(config.hidden_size, 2) if next_sentence else None
        self.passes_over = () if next_sentence else ("pooler.",)
        init_weights(self, config.initializer_range)
        self.tie_weights()

    @classmethod
    def for_weights(cls, config: BertConfig, shapes: Shapes, values: dict[str, Any]) -> Self:
        """With NSP if the weights have it. Raises `ValueError` if they lack the MLM head."""
        if not any(name.startswith("cls.predictions.") for name in shapes):
            raise ValueError(
                "these weights have no head that guesses masked words: BertModel can load them "
                "(`attention` and `info` need none, and `pretrain --from` gives them one)"
            )
        return cls(config, next_sentence="cls.seq_relationship.weight" in shapes)

    @property
    def architecture(self) -> str:
        """Hugging Face has a separate class for the MLM head alone."""
        return "BertForPreTraining" if self.nsp_head else "BertForMaskedLM"

    def tie_weights(self) -> None:
        """One matrix for tokens in and tokens out (Press and Wolf, 2017)."""
        self.mlm_head.decoder.weight = self.bert.embeddings.word_embeddings.weight

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        next_sentence_label: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> BertForPreTrainingOutput:
        """Ids (B, T) -> logits, and the loss if there are labels.

        `labels` (B, T) hold the id to predict, or -100 where nothing is to be predicted.
        `next_sentence_label` (B,) is 0 if B followed A, 1 if B was drawn at random. The loss needs
        logits at the masked positions alone.
        """
        if next_sentence_label is not None and self.nsp_head is None:
            raise ValueError("this model was built without next_sentence: it takes no such label")
        inputs = (input_ids, attention_mask, token_type_ids, position_ids)
        bert = self.bert(*inputs, output_attentions, output_hidden_states)
        out = BertForPreTrainingOutput(
            self.mlm_head,
            last_hidden_state=bert.last_hidden_state,
            hidden_states=bert.hidden_states,
            attentions=bert.attentions,
        )
        if self.nsp_head is not None:
            nsp_logits = out.seq_relationship_logits = self.nsp_head(bert.pooler_output)  # (B, 2)
            if next_sentence_label is not None:
                next_label = next_sentence_label.view(-1)  # (B,)
                out.next_sentence_loss = F.cross_entropy(nsp_logits.float(), next_label)
        if labels is None:
            _ = out.prediction_logits  # computed now, under the caller's gradient mode
        else:
            masked = labels != IGNORE_INDEX  # (B, T)
            targets = labels[masked]  # (M,)
            check_ids("labels", targets, self.config.vocab_size)
            logits = self.mlm_head(bert.last_hidden_state[masked])  # (M, V)
            total = F.cross_entropy(logits.float(), targets, reduction="sum")
            out.mlm_loss = total / masked.sum().clamp(min=1)  # no mask, no loss: 0 and not NaN
            out.mlm_correct = (logits.argmax(-1) == targets).sum()
        losses = [loss for loss in (out.mlm_loss, out.next_sentence_loss) if loss is not None]
        out.loss = torch.stack(losses).sum() if losses else None
        return out


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode inside the block: no dropout. Each module's own mode is restored after it."""
    training = [module for module in model.modules() if module.training]
    if training:
        model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def load(name_or_path: str | Path) -> tuple[BertForPreTraining, BertTokenizer]:
    """A pretrained BERT, in eval mode, and its tokenizer.

    `name_or_path` is a name in `files.SHIPPED`, the folder of a run, or a Hugging Face BERT with a
    masked language head. Raises `FileNotFoundError` if there is no such model and `ValueError` if
    it is not a BERT.
    """
    return BertForPreTraining.from_pretrained(name_or_path), BertTokenizer.from_pretrained(
        name_or_path
    )
