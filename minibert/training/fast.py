"""Shortcuts for pretraining. Each has a plain twin, and a test that both agree.

- `FastBertForPreTraining`: the last layer and the heads, only where the loss reads them. Its twin
  is `BertForPreTraining`.
- `LinearCrossEntropy`: the loss without a matrix of all logits in memory. Its twin is
  `F.cross_entropy` of `F.linear`.
- `SampledSoftmax`: the loss over a part of the vocabulary. It is lower than over the whole
  vocabulary, but its minimum is in the same place.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from minibert.attention import (
    BertSelfAttention,
    additive_mask,
    merge_heads,
    scaled_dot_product_attention,
    split_heads,
)
from minibert.config import BertConfig
from minibert.embeddings import check_ids, positions_from_0
from minibert.encoder import BertEncoder, BertLayer
from minibert.model import IGNORE_INDEX, BertForPreTraining, BertForPreTrainingOutput, BertModel
from minibert.modernbert.model import ModernBertModel

SHAPE_STEP = 128
"""Numbers of rows that differ from step to step are rounded up to a multiple of this.

torch's bfloat16 products on a CPU (oneDNN) compile code for each new shape, and keep the code and
buffers of 1,024 shapes. A new shape in every step would cost time, and gigabytes.
"""


def missing_rows(number: int) -> int:
    """How many rows are missing to the next multiple of `SHAPE_STEP`."""
    return -number % SHAPE_STEP


def gather(x: Tensor, places: Tensor) -> Tensor:
    """(B, T, ...), (B, R) -> (B, R, ...): the entries of each sequence at its places."""
    rows = torch.arange(len(x), device=x.device)[:, None]
    return x[rows, places]


def states_at(
    bert: BertModel | ModernBertModel,
    places: Tensor,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    token_type_ids: Tensor | None = None,
    position_ids: Tensor | None = None,
) -> Tensor:
    """The last hidden state at `places` (B, R) alone: (B, R, D).

    The last layer is computed for these tokens only, unless a subclass of BERT's parts computes
    something else there. Equal to `gather(bert(input_ids, ...).last_hidden_state, places)`.
    """
    if not (isinstance(bert, BertModel) and _ends_as_bert(bert)):
        out = bert(input_ids, attention_mask, token_type_ids, position_ids)
        return gather(out.last_hidden_state, places)
    if position_ids is None:
        position_ids = positions_from_0(input_ids)
    x = bert.embeddings(input_ids, token_type_ids, position_ids)  # (B, T, D)
    mask = additive_mask(attention_mask, x.dtype)
    *before, last = bert.encoder.layers
    assert isinstance(last, BertLayer)
    for layer in before:
        x, _ = layer(x, mask, position_ids=position_ids)
    return _layer_at(last, x, mask, position_ids, places)


def _ends_as_bert(bert: BertModel) -> bool:
    """Whether encoder, last layer and its attention are BERT's own classes, not subclasses."""
    last: Any = bert.encoder.layers[-1]
    parts = (bert.encoder, BertEncoder), (last, BertLayer), (last.attention, BertSelfAttention)
    return all(type(part) is kind for part, kind in parts)


def _layer_at(
    layer: BertLayer, x: Tensor, mask: Tensor | None, position_ids: Tensor, places: Tensor
) -> Tensor:
    """`BertLayer.forward` for the tokens at `places` (B, R) alone: (B, R, D)."""
    attention = layer.attention
    asking = gather(x, places)  # (B, R, D)
    positions = gather(position_ids.expand(x.shape[:2]), places)  # (B, R)
    if mask is not None and mask.shape[2] > 1:  # (B, 1, T, T): each query has its own
        mask = gather(mask[:, 0], places)[:, None]  # (B, 1, R, T)
    query = split_heads(attention.query(asking), attention.num_heads)  # (B, H, R, K)
    key = split_heads(attention.key(x), attention.num_heads)  # (B, H, T, K)
    value = split_heads(attention.value(x), attention.num_heads)
    query, key = attention.positions(query, positions), attention.positions(key, position_ids)
    dropout_p = attention.dropout_prob if attention.training else 0.0
    if attention.implementation == "eager":
        context, _ = scaled_dot_product_attention(query, key, value, mask, dropout_p)
    else:
        context = F.scaled_dot_product_attention(query, key, value, mask, dropout_p)
    attended = attention.output(merge_heads(context))  # (B, R, D)
    x = layer.attention_norm(asking + layer.dropout(attended))
    return layer.feed_forward_norm(x + layer.dropout(layer.feed_forward(x)))


def places_read(labels: Tensor) -> Tensor:
    """Labels (B, T) -> where pretraining reads the last layer (B, R): at `[CLS]`, then at masks.

    R is the largest number that a row needs. Shorter rows are filled with positions whose label is
    -100.
    """
    is_read = labels != IGNORE_INDEX
    is_read[:, 0] = True
    order = torch.sort(is_read, dim=1, descending=True, stable=True).indices  # (B, T)
    return order[:, : int(is_read.sum(1).max())]


class LinearCrossEntropy(torch.autograd.Function):
    """Cross-entropy of `hidden @ weight.T + bias`, some rows at a time, each with its share.

    Its plain twin, `F.cross_entropy(F.linear(hidden, weight, bias), targets, reduction="none") @
    shares`, writes an (M, V) matrix to memory half a dozen times and mostly waits for memory. Here
    the gradient of the logits (softmax minus one-hot) is made in place and used at once, in about
    half the time. Sums are in fp32 or wider, whatever the weights are in. A row with a share of 0
    adds nothing, and is not counted as right.
    """

    ROWS = 512

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, shares: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(M, D), (V, D), (V,), (M,), (M,) -> the loss () and how many rows were right ()."""
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
            for h, target, share, d_h in zip(
                hidden.to(dtype).split(rows),
                targets[:, None].split(rows),
                shares.split(rows),
                d_hidden.split(rows),
                strict=True,
            ):
                d_logits = F.linear(h, narrow_weight, narrow_bias).softmax(1, wide)  # (rows, V)
                chosen = d_logits.gather(1, target)
                is_right = (chosen >= d_logits.amax(1, keepdim=True))[:, 0]  # (rows,)
                correct += (is_right & (share > 0)).sum()
                log_probability = chosen.clamp_min(torch.finfo(wide).tiny).log()[:, 0]  # (rows,)
                loss -= share.to(wide) @ log_probability
                narrow = d_logits.scatter_add_(1, target, -torch.ones_like(chosen)).to(dtype)
                torch.mm(narrow, narrow_weight, out=d_h)
                narrow_share = share.to(dtype)[:, None]  # (rows, 1)
                d_h *= narrow_share
                d_weight += narrow.T @ (h * narrow_share)
                d_bias += (narrow.T @ narrow_share)[:, 0]
        ctx.save_for_backward(d_hidden, d_weight, d_bias)
        ctx.mark_non_differentiable(correct)
        return loss, correct

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_loss: Tensor, _: Any) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """The gradients were computed in `forward`: scale them."""
        d_hidden, d_weight, d_bias = ctx.saved_tensors
        return d_hidden * d_loss, d_weight * d_loss, d_bias * d_loss, None, None


class SampledSoftmax:
    """Cross-entropy over about a sixth of the vocabulary, with its minimum in the same place.

    Each step takes the `always` most frequent tokens, the tokens to be predicted, and one in
    `one_in` of the rest, drawn with torch's generator. If a token is taken with probability q,
    log q is subtracted from its score, so that the best scores are the same as for the whole
    softmax (Jean et al., 2015, 3.1). The loss is lower because there is less to choose from.
    """

    def __init__(
        self, counts: np.ndarray, num_targets: int, always: int = 512, one_in: int = 16
    ) -> None:
        """From the tokens' counts (V,), and how many tokens a step predicts, about."""
        frequency = torch.from_numpy(np.asarray(counts, dtype=np.float64))
        self.one_in = one_in
        self.always = torch.zeros(len(counts), dtype=torch.bool)
        self.always[frequency.argsort(descending=True, stable=True)[:always]] = True
        is_no_target = (1 - frequency / frequency.sum()) ** num_targets
        there = 1 - (1 - 1 / one_in) * is_no_target
        there[self.always] = 1.0
        self.log_there = there.log().float()  # (V,)

    def candidates(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Targets (M,) -> the tokens of this step's softmax (S,), and the targets' places there."""
        taken = self.always | (torch.rand(len(self.always)) < 1 / self.one_in)
        taken[targets] = True
        tokens = taken.nonzero()[:, 0]
        places = taken.cumsum(0) - 1
        return tokens, places[targets]

    def __call__(
        self, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, shares: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(M, D), (V, D), (V,), (M,), (M,) -> the loss () and how many beat all candidates ()."""
        tokens, places = self.candidates(targets.cpu())
        tokens, places = tokens.to(hidden.device), places.to(hidden.device)
        scores_off = self.log_there.to(hidden.device)[tokens]
        biases = bias[tokens] - scores_off
        missing = missing_rows(len(tokens))  # filled with token 0, whose score is -inf
        tokens = F.pad(tokens, (0, missing))
        biases = F.pad(biases, (0, missing), value=-math.inf)
        return LinearCrossEntropy.apply(hidden, weight[tokens], biases, places, shares)


def shares_of(masked: Tensor, mean_over_texts: bool) -> Tensor:
    """Which tokens are masked (B, R) -> the share of each in the loss (B, R), if it is masked."""
    if not mean_over_texts:
        return (1 / masked.sum().clamp(min=1)).expand(masked.shape)
    return (1 / masked.sum(1, keepdim=True).clamp(min=1) / len(masked)).expand(masked.shape)


class FastBertForPreTraining(BertForPreTraining):
    """`BertForPreTraining` that, in train mode and given labels, computes the loss alone.

    Same weights, same loss, same gradients. `last_hidden_state` is None then.
    """

    def __init__(self, config: BertConfig, next_sentence: bool = True) -> None:
        super().__init__(config, next_sentence)
        self.sampled_softmax: SampledSoftmax | None = None
        """Scores masked tokens in train mode, if it is set."""
        self.mean_over_texts = False
        """Whether the loss of a batch is the mean of its texts' means, for diffusion. BERT's is the
        mean over all masked tokens. They differ if some texts have more masks than others."""

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
        """As `BertForPreTraining.forward`."""
        inputs = (input_ids, attention_mask, token_type_ids, position_ids)
        wants_states = output_attentions or output_hidden_states
        cannot_have_nsp = next_sentence_label is not None and self.nsp_head is None  # refused there
        if labels is None or not self.training or wants_states or cannot_have_nsp:
            wanted = (labels, next_sentence_label, output_attentions, output_hidden_states)
            return super().forward(*inputs, *wanted)
        places = places_read(labels)  # (B, R)
        states = states_at(self.bert, places, *inputs)  # (B, R, D)
        labels = labels.gather(1, places)  # (B, R)
        masked = labels != IGNORE_INDEX
        check_ids("labels", labels[masked], self.config.vocab_size)
        loss_of: Any = self.sampled_softmax or LinearCrossEntropy.apply
        decoder = self.mlm_head.decoder
        shares = shares_of(masked, self.mean_over_texts)[masked]  # (M,)
        rows = masked.flatten().nonzero()[:, 0]  # (M,)
        missing = missing_rows(len(rows))
        rows = torch.cat([rows, rows[-1:].expand(missing)])  # the last token again, with no share
        hidden = self.mlm_head.transform(states.flatten(0, 1)[rows])  # (M + missing, D)
        targets, shares = labels.flatten()[rows], F.pad(shares, (0, missing))
        loss, correct = loss_of(hidden, decoder.weight, decoder.bias, targets, shares)
        out = BertForPreTrainingOutput(self.mlm_head, mlm_correct=correct)
        out.loss = out.mlm_loss = loss
        if self.nsp_head is not None:
            assert self.bert.pooler is not None
            pooled = self.bert.pooler(states[:, 0]).tanh()  # `[CLS]` is at the first place
            nsp_logits = out.seq_relationship_logits = self.nsp_head(pooled)  # (B, 2)
            if next_sentence_label is not None:
                next_label = next_sentence_label.view(-1)  # (B,)
                out.next_sentence_loss = F.cross_entropy(nsp_logits.float(), next_label)
                out.loss = out.mlm_loss + out.next_sentence_loss
        return out
