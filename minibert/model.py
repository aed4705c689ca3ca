"""BERT, and BERT with the two heads that it is pretrained with (Devlin et al., 2019, 3.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from minibert.attention import additive_mask
from minibert.config import BertConfig
from minibert.embeddings import BertEmbeddings, check_ids
from minibert.encoder import ACTIVATION_FUNCTIONS, BertEncoder, init_weights
from minibert.tokenizer import BertTokenizer
from minibert.weights import PretrainedModel

IGNORE_INDEX = -100
"""The MLM label of a token that is not to be predicted. No class: NSP's 0 must never match it."""


@dataclass
class BertModelOutput:
    """What `BertModel` gives; the names are Hugging Face's."""

    last_hidden_state: Tensor  # (B, T, D)
    pooler_output: Tensor | None  # (B, D)
    hidden_states: tuple[Tensor, ...] | None  # L + 1 of (B, T, D), the embeddings first
    attentions: tuple[Tensor, ...] | None  # L of (B, H, T, T)


class BertModel(PretrainedModel):
    """Embeddings, encoder, and a pooler over `[CLS]` (left out where nothing needs it)."""

    passes_over = ("cls.", "classifier.", "qa_outputs.", "pooled_query.")

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
    def for_weights(cls, config: BertConfig, names: set[str], values: dict[str, Any]) -> BertModel:
        """With a pooler if the weights have one."""
        return cls(config, add_pooling_layer="pooler.dense.weight" in names)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        places: Tensor | None = None,
    ) -> BertModelOutput:
        """Ids (B, T) -> states (B, T, D).

        `attention_mask` is (B, T), 1 for real tokens, or (B, T, T), 1 where a query may see a key;
        without it every token is real. With `places` (B, R), the first of which is that of `[CLS]`,
        the last states are worked out there alone: (B, R, D).
        """
        x = self.embeddings(input_ids, token_type_ids, position_ids)  # (B, T, D)
        mask = additive_mask(attention_mask, x.dtype)
        # An encoder from elsewhere, as a reader of chapter 4 writes it, need not know of places.
        reading = {} if places is None else {"places": places}
        last, states, attentions = self.encoder(x, mask, output_attentions, **reading)
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
        self.activation = ACTIVATION_FUNCTIONS[config.hidden_act]
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)

    def transform(self, hidden_states: Tensor) -> Tensor:
        """(..., D) -> (..., D), what the decoder reads."""
        return self.norm(self.activation(self.dense(hidden_states)))

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(..., D) -> logits (..., V)."""
        return self.decoder(self.transform(hidden_states))


class LinearCrossEntropy(torch.autograd.Function):
    """Cross-entropy of `hidden @ weight.T + bias`, some rows at a time.

    The long way, `F.cross_entropy(F.linear(hidden, weight, bias), targets, reduction="sum")`,
    writes an (M, V) matrix to memory half a dozen times, and waits for memory more than it
    computes. Here the gradient of the logits (softmax minus one-hot) is made in place, and used up
    at once. Same numbers, and about twice as fast. Sums are kept in fp32 at least, whatever the
    weights are in.
    """

    ROWS = 512

    @staticmethod
    def forward(ctx, hidden, weight, bias, targets):
        """(M, D), (V, D), (V,), (M,) -> the summed loss () and how many rows were right ()."""
        dtype = hidden.dtype
        if torch.is_autocast_enabled(hidden.device.type):
            dtype = torch.get_autocast_dtype(hidden.device.type)
        wide = torch.promote_types(dtype, torch.float32)  # thousands of terms are added up
        rows = LinearCrossEntropy.ROWS
        with torch.autocast(hidden.device.type, enabled=False):
            narrow_weight, narrow_bias = weight.to(dtype), bias.to(dtype)
            d_hidden = torch.empty_like(hidden, dtype=dtype)
            d_weight = torch.zeros_like(weight, dtype=wide)
            d_bias = torch.zeros_like(bias, dtype=wide)
            loss = weight.new_zeros((), dtype=wide)
            correct = weight.new_zeros((), dtype=torch.long)
            for h, target, d_h in zip(
                hidden.to(dtype).split(rows),
                targets[:, None].split(rows),
                d_hidden.split(rows),
                strict=True,
            ):
                d_logits = F.linear(h, narrow_weight, narrow_bias).softmax(1, wide)  # (rows, V)
                chosen = d_logits.gather(1, target)
                correct += (chosen >= d_logits.amax(1, keepdim=True)).sum()
                loss -= chosen.clamp_min(torch.finfo(wide).tiny).log().sum()
                narrow = d_logits.scatter_add_(1, target, -torch.ones_like(chosen)).to(dtype)
                torch.mm(narrow, narrow_weight, out=d_h)
                d_weight += narrow.T @ h
                d_bias += narrow.sum(0, dtype=wide)
        ctx.save_for_backward(d_hidden, d_weight, d_bias)
        ctx.mark_non_differentiable(correct)
        return loss, correct

    @staticmethod
    @once_differentiable
    def backward(ctx, d_loss, _):
        """The gradients are there already: scale them."""
        d_hidden, d_weight, d_bias = ctx.saved_tensors
        return d_hidden * d_loss, d_weight * d_loss, d_bias * d_loss, None


@dataclass
class BertForPreTrainingOutput:
    """What `BertForPreTraining` gives; the names are Hugging Face's."""

    loss: Tensor | None  # (), the sum of the two below
    mlm_loss: Tensor | None  # (), mean over masked positions
    mlm_correct: Tensor | None  # (), how many masked tokens were predicted right
    next_sentence_loss: Tensor | None  # (), mean over sequences
    seq_relationship_logits: Tensor | None  # (B, 2): is next, is random
    last_hidden_state: Tensor | None  # (B, T, D)
    hidden_states: tuple[Tensor, ...] | None
    attentions: tuple[Tensor, ...] | None
    mlm_head: MaskedLMHead

    @cached_property
    def prediction_logits(self) -> Tensor:
        """(B, T, V). With labels it is worked out when first read: training has no need of it."""
        if self.last_hidden_state is None:
            raise ValueError("there are no logits of every token: they need loss_only=False")
        return self.mlm_head(self.last_hidden_state)


def places_read(labels: Tensor) -> Tensor:
    """Labels (B, T) -> where pretraining reads the last layer (B, R): at `[CLS]`, then at masks.

    R is that of the row with most; others read a few more, whose label is -100.
    """
    is_read = labels != IGNORE_INDEX
    is_read[:, 0] = True
    order = torch.sort(is_read, dim=1, descending=True, stable=True).indices  # (B, T)
    return order[:, : int(is_read.sum(1).max())]


class BertForPreTraining(PretrainedModel):
    """BERT with its MLM and NSP heads; `next_sentence=False` leaves NSP and the pooler out."""

    def __init__(self, config: BertConfig, next_sentence: bool = True) -> None:
        super().__init__()
        self.config = config
        self.bert = BertModel(config, add_pooling_layer=next_sentence)
        self.mlm_head = MaskedLMHead(config)
        self.nsp_head = nn.Linear(config.hidden_size, 2) if next_sentence else None
        self.passes_over = () if next_sentence else ("pooler.",)
        self.training_loss: Callable[..., tuple[Tensor, Tensor]] = LinearCrossEntropy.apply
        """How masked tokens are scored in train mode: `SampledSoftmax` takes less time."""
        init_weights(self, config.initializer_range)
        self.tie_weights()

    @classmethod
    def for_weights(
        cls, config: BertConfig, names: set[str], values: dict[str, Any]
    ) -> BertForPreTraining:
        """With NSP if the weights have it. Raises `ValueError` where they lack the MLM head."""
        if not any(name.startswith("cls.predictions.") for name in names):
            raise ValueError(
                "these weights have no head that guesses masked words: BertModel can load them "
                "(`attention` and `info` need none, and `pretrain --from` gives them one)"
            )
        return cls(config, next_sentence="cls.seq_relationship.weight" in names)

    @property
    def architecture(self) -> str:
        """Hugging Face's class for the MLM head alone is another one."""
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
        loss_only: bool = False,
    ) -> BertForPreTrainingOutput:
        """Ids (B, T) -> logits, and the loss where there are labels.

        `labels` (B, T) hold the id to predict, or -100 where nothing is to be predicted.
        `next_sentence_label` (B,) is 0 where B followed A, 1 where it was drawn at random.
        Logits for the loss are computed at the masked positions alone: the others would be
        multiplied by a vocabulary and thrown away. `loss_only` goes one further: nothing reads the
        last layer elsewhere either, so it is worked out there alone, and `last_hidden_state` is
        None. Same loss, same gradients.
        """
        if loss_only and labels is None:
            raise ValueError("loss_only needs labels")
        places = places_read(labels) if loss_only else None  # (B, R)
        out = self.bert(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            output_attentions,
            output_hidden_states,
            places,
        )
        if loss_only:
            labels = labels.gather(1, places)  # (B, R)
        mlm_loss = mlm_correct = nsp_loss = nsp_logits = None
        if self.nsp_head is not None:
            nsp_logits = self.nsp_head(out.pooler_output)  # (B, 2)
        elif next_sentence_label is not None:
            raise ValueError("this model was built without next_sentence: it takes no such label")
        if labels is not None:
            masked = labels != IGNORE_INDEX  # (B, T), or (B, R)
            check_ids("labels", labels[masked], self.config.vocab_size)
            decoder = self.mlm_head.decoder
            loss_of = self.training_loss if self.training else LinearCrossEntropy.apply
            total, mlm_correct = loss_of(
                self.mlm_head.transform(out.last_hidden_state[masked]),  # (masked, D)
                decoder.weight,
                decoder.bias,
                labels[masked],
            )
            mlm_loss = total / masked.sum().clamp(min=1)  # no mask, no loss: 0 and not NaN
        if next_sentence_label is not None:
            nsp_loss = F.cross_entropy(nsp_logits.float(), next_sentence_label.view(-1))
        losses = [loss for loss in (mlm_loss, nsp_loss) if loss is not None]
        output = BertForPreTrainingOutput(
            loss=sum(losses) if losses else None,
            mlm_loss=mlm_loss,
            mlm_correct=mlm_correct,
            next_sentence_loss=nsp_loss,
            seq_relationship_logits=nsp_logits,
            last_hidden_state=None if loss_only else out.last_hidden_state,
            hidden_states=out.hidden_states,
            attentions=out.attentions,
            mlm_head=self.mlm_head,
        )
        if labels is None:
            _ = output.prediction_logits  # now, under the gradient mode that we are called in
        return output


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Without dropout for a while: it would be measured along."""
    was_training = model.training
    if is_changed := any(module.training for module in model.modules()):
        model.eval()  # takes a tenth of the time that a small model needs for a sentence
    try:
        yield
    finally:
        if is_changed:
            model.train(was_training)


def load(name_or_path: str | Path) -> tuple[BertForPreTraining, BertTokenizer]:
    """A pretrained BERT, in eval mode, and its tokenizer.

    `name_or_path` is a name in `files.SHIPPED`, the folder of a run, or a Hugging Face BERT with a
    masked language head. Raises `FileNotFoundError` if there is no such model and `ValueError` if
    it is not a BERT.
    """
    return BertForPreTraining.from_pretrained(name_or_path), BertTokenizer.from_pretrained(
        name_or_path
    )
