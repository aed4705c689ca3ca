"""How likely a text is to a model that cannot multiply probabilities from left to right.

Each token is masked in turn, and the model predicts it from all the others (Salazar et al., 2020).
The sum of the log-probabilities is the text's pseudo-log-likelihood. It compares texts for one
model, and is no log-probability of the text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from minibert.inference.encode import encode_text
from minibert.model import evaluating
from minibert.modernbert.model import MaskedLM
from minibert.tokenizer import MASK, BertTokenizer
from minibert.training.fast import states_at

BATCH_TOKENS = 8192
"""Masked copies go through the model together, up to this many tokens."""


@dataclass(frozen=True)
class TokenScores:
    """A text's pseudo-log-likelihood, token by token."""

    tokens: tuple[str, ...]
    log_probabilities: tuple[float, ...]
    """Of each token when it is masked, in nats."""

    @property
    def total(self) -> float:
        """The text's pseudo-log-likelihood, in nats."""
        return math.fsum(self.log_probabilities)


def pseudo_log_likelihood(
    model: MaskedLM, tokenizer: BertTokenizer, text: str, within_word_l2r: bool = False
) -> TokenScores:
    """The log-probability of each token while it alone is masked.

    A word of several pieces comes out too likely, because its other pieces give it away.
    `within_word_l2r=True` also masks the later pieces of the same word (Kauf and Ivanova, 2023).
    Raises `ValueError` for a text that is empty, longer than the model can read, or contains a
    special token other than `[UNK]`.
    """
    ids = _encode_whole(model, tokenizer, text)
    (values,) = _score(model, tokenizer, ids[None], within_word_l2r)
    tokens = tokenizer.convert_ids_to_tokens(ids[1:-1].tolist())
    return TokenScores(tuple(tokens), tuple(values))


def pseudo_log_likelihoods(
    model: MaskedLM, tokenizer: BertTokenizer, texts: Sequence[str]
) -> list[float]:
    """The total of `pseudo_log_likelihood` for each of many texts, in nats, and much faster.

    Texts of the same length go through the model together, so there is no padding. Raises
    `ValueError` as `pseudo_log_likelihood` does, and names the text.
    """
    by_length: dict[int, list[int]] = {}
    encoded: list[Tensor] = []  # of (T,)
    for number, text in enumerate(texts):
        try:
            encoded.append(_encode_whole(model, tokenizer, text))
        except ValueError as error:
            raise ValueError(f"{error} (text {number + 1}, {text[:60]!r})") from None
        by_length.setdefault(len(encoded[-1]), []).append(number)
    totals = [0.0] * len(texts)
    for numbers in by_length.values():
        ids = torch.stack([encoded[number] for number in numbers])  # (N, T)
        for number, values in zip(numbers, _score(model, tokenizer, ids), strict=True):
            totals[number] = math.fsum(values)
    return totals


def pseudo_perplexity(scores: Iterable[TokenScores]) -> float:
    """exp of minus the mean log-probability of all tokens of all texts (Salazar et al., 2020).

    Raises `ValueError` if there is no text.
    """
    log_probabilities = [value for one in scores for value in one.log_probabilities]
    if not log_probabilities:
        raise ValueError("there is no text to score: give at least one")
    return math.exp(-math.fsum(log_probabilities) / len(log_probabilities))


def _encode_whole(model: MaskedLM, tokenizer: BertTokenizer, text: str) -> Tensor:
    """The ids of a text without masks, (T,)."""
    ids = encode_text(model, tokenizer, text)
    if (ids == tokenizer.vocab[MASK]).any():
        raise ValueError(f"there is a {MASK} in the text: only a text without masks can be scored")
    return ids


@torch.no_grad()
def _score(
    model: MaskedLM, tokenizer: BertTokenizer, ids: Tensor, within_word_l2r: bool = False
) -> list[list[float]]:
    """Texts of one length (N, T) -> N lists with the log-probability of each token but the edges.

    The last layer is computed at the masked token alone.
    """
    number, length = ids.shape
    pieces = [tokenizer.convert_ids_to_tokens(row) for row in ids.tolist()]
    starts = torch.tensor([[not piece.startswith("##") for piece in row] for row in pieces])
    word = starts.to(ids.device).cumsum(1)  # (N, T): which word each token belongs to
    place = torch.arange(length, device=ids.device)  # (T,)
    text, at = torch.cartesian_prod(torch.arange(number), torch.arange(1, length - 1)).T
    values: list[float] = []
    size = max(1, BATCH_TOKENS // length)
    for n, t in zip(text.split(size), at.split(size), strict=True):
        n, t = n.to(ids.device), t.to(ids.device)  # (B,)
        hidden = place == t[:, None]  # (B, T)
        if within_word_l2r:
            hidden = (word[n] == word[n, t][:, None]) & (place >= t[:, None])
        rows = ids[n].masked_fill(hidden, tokenizer.vocab[MASK])  # (B, T)
        with evaluating(model):
            states = states_at(model.bert, t[:, None], rows)[:, 0]  # (B, D)
            logits = model.mlm_head(states).cpu().double()  # (B, V)
        picked = logits.log_softmax(-1).gather(1, ids[n, t, None].cpu())  # (B, 1)
        values += picked.flatten().tolist()
    each = length - 2
    return [values[start : start + each] for start in range(0, number * each, each)]
