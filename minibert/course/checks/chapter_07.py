"""The exercises of chapter 7, seeing attention."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from minibert.attention import BertSelfAttention
from minibert.config import BertConfig
from minibert.course.checks.engine import (
    Case,
    Exercise,
    Mistake,
    call,
    draw,
    plain_numbers,
    prediction,
)
from minibert.model import BertForPreTraining

MATRIX = "A printed matrix"
HEADS = "What heads do, over many sentences"
BEGAN = "How your own heads came about"
NOT_EXPLAINED = "What attention does not explain"
PROBE = "A probe, and its control"
PEOPLE = "Mistakes people make here"


def draw_attention(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Attention (..., T, T) in float64, rows that add up to 1."""
    return softmax(1.5 * rng.normal(size=shape))


def softmax(scores: np.ndarray) -> np.ndarray:
    return np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)


# 1: a probe and its control, before anything runs

probe_of_words = Exercise(
    name="probe_of_words",
    chapter=7,
    reference=(1.0, 1.0, 0.0),
    cases=lambda seed: [()],
    returns={"the answer": ""},
    run=prediction,
    mistakes=(
        Mistake("0.75 is what is above chance: in the control task each word type has one label, "
                "not each occurrence, so it can be remembered", PROBE, (1, 0.25, 0.75)),
        Mistake("labels that mean nothing can be learned all the same: each word keeps its own",
                PROBE, (1, 0, 1)),
        Mistake("a vector without context still says which word it is, and the class of a word "
                "never changes here", PROBE, (0.25, 0.25, 0)),
        Mistake("the class can be remembered word by word, just as the control label can", PROBE,
                (0.25, 1, -0.75)),
        Mistake("accuracy and control accuracy are swapped, and neither is at chance: the class "
                "can be remembered as well", PROBE, (0.25, 1, 0.75)),
        Mistake("the selectivity is a difference: accuracy less control accuracy", PROBE,
                (1, 1, 1)),
        Mistake("from the accuracy it is the control accuracy that is taken away, not chance",
                PROBE, (1, 1, 0.75)),
        Mistake("these are per cent: shares go from 0 to 1", PROBE, (100, 100, 0)),
        Mistake("the test part holds other occurrences, but no other words: nothing is new to it",
                PROBE, (0, 0, 0)),
    ),
    hints=(
        "What does each vector say, if nothing has looked at its neighbours yet?",
        "Which word it is, and nothing else. Is that enough for a label that a word always has: "
        "for its class, and for the one drawn at random?",
        "Both can be remembered from the training part. Selectivity is the one accuracy less the "
        "other.",
    ),
)  # fmt: skip


# 2: the entropy of rows


def reference_row_entropy(attention: np.ndarray) -> np.ndarray:
    safe = np.where(attention > 0, attention, 1.0)
    return -(attention * np.log(safe)).sum(-1).mean(-1)


@np.errstate(divide="ignore", invalid="ignore")
def surprise(attention: np.ndarray) -> np.ndarray:
    """-a log a of each weight: NaN where it is 0."""
    return -attention * np.log(attention)


@np.errstate(divide="ignore")
def unweighted(attention: np.ndarray) -> np.ndarray:
    return -np.log(attention)


def of_rows(attention: np.ndarray, axis: int = -1) -> np.ndarray:
    """(..., T, T) -> (..., T), in nats."""
    return np.nansum(surprise(attention), axis)


def entropy_cases(seed: int) -> list[Case]:
    """In each head one row that looks at one token alone, one with a 0, and full rows."""
    rng = np.random.default_rng(seed)
    cases = []
    for L, H, T in ((2, 3, 5), (3, 2, 4), (1, 4, 7)):
        attention = draw_attention(rng, L, H, T, T)
        attention[:, :, 1] = np.eye(T)[rng.integers(T, size=(L, H))]
        attention[:, :, 2, rng.integers(T)] = 0.0
        cases.append((attention / attention.sum(-1, keepdims=True),))
    return cases


row_entropy = Exercise(
    name="row_entropy",
    chapter=7,
    reference=reference_row_entropy,
    cases=entropy_cases,
    returns={"entropy": "L H"},
    mistakes=(
        Mistake("0 times log 0 is NaN to numpy: a weight of 0 adds nothing", BEGAN,
                lambda a: surprise(a).sum(-1).mean(-1)),
        Mistake("rows with a weight of 0 were left out: they count, and that weight adds nothing",
                BEGAN, lambda a: np.nanmean(surprise(a).sum(-1), -1)),
        Mistake("the entropy is in bits, by log2: in nats it is the natural logarithm", BEGAN,
                lambda a: reference_row_entropy(a) / math.log(2)),
        Mistake("the logarithm is to the base of 10: the natural one is meant", BEGAN,
                lambda a: reference_row_entropy(a) / math.log(10)),
        Mistake("this is the entropy of columns: a row is what a token gives away", PEOPLE,
                lambda a: of_rows(a / a.sum(-2, keepdims=True), -2).mean(-1)),
        Mistake("rows were averaged first: two rows that look at one token each then seem to look "
                "at two", BEGAN, lambda a: of_rows(a.mean(-2))),
        Mistake("the sign is wrong: a logarithm of a share is negative, and minus that is counted",
                BEGAN, lambda a: -reference_row_entropy(a)),
        Mistake("this is the sum over the rows, not their mean", BEGAN,
                lambda a: of_rows(a).sum(-1)),
        Mistake("the terms of a row are added up, not averaged: this is T times too small", BEGAN,
                lambda a: of_rows(a).mean(-1) / a.shape[-1]),
        Mistake("this is the share of the greatest entropy, log T: nats were asked for", BEGAN,
                lambda a: reference_row_entropy(a) / math.log(a.shape[-1])),
        Mistake("this is log T less the entropy: how far a head is from looking everywhere", BEGAN,
                lambda a: math.log(a.shape[-1]) - reference_row_entropy(a)),
        Mistake("these are numbers of tokens, exp of the entropy: leave the exp out", BEGAN,
                lambda a: np.exp(of_rows(a)).mean(-1)),
        Mistake("this is minus the log of the greatest weight alone: every weight counts", BEGAN,
                lambda a: -np.log(a.max(-1)).mean(-1)),
        Mistake("weights were squared, not multiplied by their logarithms", BEGAN,
                lambda a: 1 - (a**2).sum(-1).mean(-1)),
        Mistake("logarithms were averaged without their weights: each counts by its weight", BEGAN,
                lambda a: unweighted(a).sum(-1).mean(-1)),
        *(
            Mistake(f"{added:g} was added inside the logarithm: that changes every weight, not "
                    "only those of 0", BEGAN,
                    lambda a, added=added: -(a * np.log(a + added)).sum(-1).mean(-1))
            for added in (1, 0.1, 0.01, 0.001, 0.0001)
        ),
        Mistake("a row is a distribution as it is: the softmax was taken twice", BEGAN,
                lambda a: reference_row_entropy(softmax(a))),
    ),
    hints=(
        "One number a row, then a mean. What does a weight of 0 add, and what does numpy make of "
        "it?",
        "-sum of a log a over a row's columns; where a is 0 the term is 0, not 0 times -inf.",
        "scipy.special.entr(attention).sum(-1).mean(-1), or np.where(attention > 0, attention, 1) "
        "inside the logarithm",
    ),
)  # fmt: skip


# 3: repair the rows that lost [CLS] and [SEP]


def reference_words_only(attention: np.ndarray, tokens: list[str]) -> np.ndarray:
    words = [place for place, token in enumerate(tokens) if token not in ("[CLS]", "[SEP]")]
    kept = attention[words][:, words]
    return kept / kept.sum(axis=-1, keepdims=True)


def among_words(attention: np.ndarray, tokens: list[str]) -> np.ndarray:
    """(T, T) -> (W, W): the words' rows and columns, not yet made whole."""
    words = [place for place, token in enumerate(tokens) if token not in ("[CLS]", "[SEP]")]
    return attention[np.ix_(words, words)]


def words_with(rescale: Callable[[np.ndarray], np.ndarray]) -> Callable[..., np.ndarray]:
    """Another way to make the rows whole again."""
    return lambda attention, tokens: rescale(among_words(attention, tokens))


def words_cases(seed: int) -> list[Case]:
    rng = np.random.default_rng(seed)
    texts = (
        "[CLS] we must act now . [SEP]",
        "[CLS] who pays ? [SEP] the people pay . [SEP]",
        "[CLS] peace [SEP] war and peace [SEP]",
    )
    return [(draw_attention(rng, *2 * (len(t.split()),)), t.split()) for t in texts]


words_only = Exercise(
    name="words_only",
    chapter=7,
    reference=reference_words_only,
    cases=words_cases,
    returns={"attention": "W W"},
    mistakes=(
        Mistake("column j was divided by the sum of row j: without keepdims the sums lie along the "
                "columns, and numpy does not complain", PEOPLE,
                words_with(lambda kept: kept / kept.sum(-1))),
        Mistake("rows do not add up to 1 any more: divide each by what it has left", MATRIX,
                words_with(lambda kept: kept)),
        Mistake("columns add up to 1, not rows: a row is what one token gives away", PEOPLE,
                words_with(lambda kept: kept / kept.sum(0))),
        Mistake("the whole matrix adds up to 1: each row has its own sum", MATRIX,
                words_with(lambda kept: kept / kept.sum())),
        Mistake("row i was divided by the sum of column i: sum over the last axis", PEOPLE,
                words_with(lambda kept: kept / kept.sum(0)[:, None])),
        Mistake("a second softmax makes rows flatter: they are shares already, divide by the sum",
                MATRIX, words_with(softmax)),
        Mistake("rows were divided by their greatest weight, not by their sum", MATRIX,
                words_with(lambda kept: kept / kept.max(-1, keepdims=True))),
        Mistake("what [CLS] and [SEP] had was shared out evenly: it goes by the weights that stay",
                MATRIX, words_with(
                    lambda kept: kept + (1 - kept.sum(-1, keepdims=True)) / kept.shape[1])),
        Mistake("rows have length 1, not sum 1: divide by the sum, not by the norm", MATRIX,
                words_with(lambda kept: kept / np.linalg.norm(kept, axis=-1, keepdims=True))),
        Mistake("rows were divided by what they lost, not by what they have left", MATRIX,
                words_with(lambda kept: kept / (1 - kept.sum(-1, keepdims=True)))),
        Mistake("rows were multiplied by what they have left: divide by it", MATRIX,
                words_with(lambda kept: kept * kept.sum(-1, keepdims=True))),
        Mistake("every row was divided by the mean of the sums: each has its own sum", MATRIX,
                words_with(lambda kept: kept / kept.sum(-1).mean())),
        Mistake("it is transposed: rows look, columns are looked at", PEOPLE,
                lambda a, tokens: reference_words_only(a, tokens).T),
    ),
    hints=(
        "Print the sums of the rows. Then the shapes of the two things that are divided.",
        "(W, W) / (W,) lines up the sums with columns. They have to stand in a column, (W, 1).",
        "kept / kept.sum(axis=-1, keepdims=True)",
    ),
)  # fmt: skip


# 4: the best head, chosen and tested


def reference_best_head(attentions: list[np.ndarray]) -> tuple[int, int, float]:
    shares = [np.diagonal(a, offset=-1, axis1=2, axis2=3).mean(-1) for a in attentions]
    half = len(shares) // 2
    chosen_by = np.mean(shares[:half], axis=0)
    layer, head = np.unravel_index(chosen_by.argmax(), chosen_by.shape)
    return layer, head, np.mean(shares[half:], axis=0)[layer, head]


Share = Callable[[np.ndarray], np.ndarray]


def diagonal(attention: np.ndarray, offset: int = -1) -> np.ndarray:
    """(L, H, T, T) -> (L, H, T - |offset|): what row i gives to column i + offset."""
    return np.diagonal(attention, offset, 2, 3)


def to_previous(attention: np.ndarray) -> np.ndarray:
    return diagonal(attention).mean(-1)


def halves(attentions: Sequence[np.ndarray]) -> tuple[Sequence[np.ndarray], Sequence[np.ndarray]]:
    return attentions[: len(attentions) // 2], attentions[len(attentions) // 2 :]


def mean_of_texts(share: Share, texts: Sequence[np.ndarray]) -> np.ndarray:
    return np.mean([share(text) for text in texts], axis=0)


def mean_of_rows(share: Share, texts: Sequence[np.ndarray]) -> np.ndarray:
    """Each text counts by its rows."""
    return np.average([share(text) for text in texts], 0, [text.shape[-1] - 1 for text in texts])


def best_with(
    share: Share = to_previous,
    mean: Callable[[Share, Sequence[np.ndarray]], np.ndarray] = mean_of_texts,
    parts: Callable[[list[np.ndarray]], tuple[Sequence, Sequence]] = halves,
    place: Callable[[np.ndarray], int] = np.argmax,
) -> Callable[..., tuple[int, int, float]]:
    """Another share, mean of texts, division into halves, or choice."""

    def answer(attentions):
        first, second = (mean(share, part) for part in parts(attentions))
        layer, head = np.unravel_index(place(first), first.shape)
        return layer, head, second[layer, head]

    return answer


def divided_by_layers(attentions):
    """The flat number is taken apart by the number of layers."""
    first, second = (mean_of_texts(to_previous, part) for part in halves(attentions))
    layer, head = divmod(int(first.argmax()), first.shape[0])
    return layer, head, second.flat[first.argmax()]


def told(change: Callable[..., tuple]) -> Callable[..., tuple[int, int, float]]:
    """The right layer, head and share, told in another way."""
    return lambda attentions: change(*reference_best_head(attentions))


def greatest(attention: np.ndarray) -> np.ndarray:
    """In how many rows the previous token has the greatest weight."""
    rows = attention[:, :, 1:]
    return (rows.argmax(-1) == np.arange(rows.shape[2])).mean(-1)


def best_head_cases(seed: int) -> list[Case]:
    """In each half another head looks back most: what is best in one is not in the other."""
    rng = np.random.default_rng(seed)
    cases = []
    for L, H, lengths in ((3, 2, (4, 9, 5, 7)), (2, 4, (6, 3, 8, 5, 4)), (2, 3, (7, 5, 4, 6))):
        attentions = [draw_attention(rng, L, H, T, T) for T in lengths]
        in_halves = rng.permutation(L * H)[:2]
        for part, favourite in zip(halves(attentions), in_halves, strict=True):
            for attention in part:
                T = attention.shape[-1]
                head = attention.reshape(L * H, T, T)[favourite]
                head[:] = (head + np.eye(T, k=-1)) / (1 + (np.arange(T) > 0))[:, None]
        cases.append((attentions,))
    return cases


best_head = Exercise(
    name="best_head",
    chapter=7,
    reference=reference_best_head,
    cases=best_head_cases,
    returns={"layer": "", "head": "", "share": ""},
    run=plain_numbers,
    mistakes=(
        Mistake("the head was tested on the texts that it was chosen on: the best of many is "
                "partly luck", PEOPLE, best_with(parts=lambda a: (halves(a)[0],) * 2)),
        Mistake("the head was chosen on all texts, those that it is tested on too", PEOPLE,
                best_with(parts=lambda a: (a, halves(a)[1]))),
        Mistake("the head was chosen and tested on the second half: choose on the first", PEOPLE,
                best_with(parts=lambda a: (halves(a)[1],) * 2)),
        Mistake("it was chosen and tested on all texts: keep the second half for the test", PEOPLE,
                best_with(parts=lambda a: (a, a))),
        Mistake("the halves are swapped: choose on the first, test on the second", PEOPLE,
                best_with(parts=lambda a: halves(a)[::-1])),
        Mistake("this is the next token, not the previous one: the share is in row i, column i - 1",
                PEOPLE, best_with(lambda a: diagonal(a, 1).mean(-1))),
        Mistake("this is the token itself: the previous one is a column further left", HEADS,
                best_with(lambda a: diagonal(a, 0).mean(-1))),
        Mistake("row 0 was counted as 0: it has no previous token, so it is left out", HEADS,
                best_with(lambda a: diagonal(a).sum(-1) / a.shape[-1])),
        Mistake("column -1 is the last one: row 0 has no previous token, so it is left out", HEADS,
                best_with(lambda a: (diagonal(a).sum(-1) + a[:, :, 0, -1]) / a.shape[-1])),
        Mistake("the first column of each row was taken: that is [CLS]", HEADS,
                best_with(lambda a: a[:, :, 1:, 0].mean(-1))),
        Mistake("this is the token two places back", HEADS,
                best_with(lambda a: diagonal(a, -2).mean(-1))),
        Mistake("both neighbours were counted: only the one before", HEADS,
                best_with(lambda a: to_previous(a) + diagonal(a, 1).mean(-1))),
        Mistake("this is the share of what a column gets: rows add up to 1, columns do not", PEOPLE,
                best_with(lambda a: to_previous(a / a.sum(2, keepdims=True)))),
        Mistake("shares were added up over the rows, not averaged: long texts count more", HEADS,
                best_with(lambda a: diagonal(a).sum(-1))),
        Mistake("this is the greatest share of any row, not the mean of them", HEADS,
                best_with(lambda a: diagonal(a).max(-1))),
        Mistake("this counts the rows that look most at the previous token: their shares are asked",
                HEADS, best_with(greatest)),
        Mistake("all rows of a half went into one mean: here each text counts equally", HEADS,
                best_with(mean=mean_of_rows)),
        Mistake("only the first text of each half was used", PEOPLE,
                best_with(mean=lambda share, texts: share(texts[0]))),
        Mistake("this is the head that looks there least: argmax, not argmin", HEADS,
                best_with(place=np.argmin)),
        Mistake("layer and head are swapped", MATRIX,
                told(lambda layer, head, x: (head, layer, x))),
        Mistake("the flat number was divided by the number of layers: it counts heads first, so "
                "divide by H", MATRIX, divided_by_layers),
        Mistake("layers and heads are counted from 0", MATRIX,
                told(lambda layer, head, x: (layer + 1, head + 1, x))),
        Mistake("the share is in per cent: it goes from 0 to 1", HEADS,
                told(lambda layer, head, x: (layer, head, 100 * x))),
    ),
    hints=(
        "Two questions: what is the share of one head in one text, and which texts may choose?",
        "Row i, column i - 1, from row 1 on: a diagonal. Choose by the first half's mean, and look "
        "that one head up in the second half's.",
        "np.diagonal(a, offset=-1, axis1=2, axis2=3).mean(-1) for each text; "
        "np.unravel_index(first.argmax(), first.shape); second[layer, head]",
    ),
)  # fmt: skip


# 5: rollout


def reference_rollout(attention: np.ndarray) -> np.ndarray:
    rolled = np.eye(attention.shape[-1])
    for layer in attention.mean(axis=1):
        rolled = (layer + np.eye(len(layer))) / 2 @ rolled
    return rolled


def halved_with_itself(layers: np.ndarray) -> np.ndarray:
    return (layers + np.eye(layers.shape[-1])) / 2


def mixed(attention: np.ndarray) -> np.ndarray:
    """(L, H, T, T) -> (L, T, T): the mean over heads, half of it the residual."""
    return halved_with_itself(attention.mean(1))


def multiplied(layers: np.ndarray) -> np.ndarray:
    """(L, T, T) -> (T, T), later layers to the left."""
    return reduce(np.matmul, layers[::-1], np.eye(layers.shape[-1]))


def rollout_of(layers: Callable[[np.ndarray], np.ndarray]) -> Callable[..., np.ndarray]:
    """The product of these matrices (L, T, T), made of the attention."""
    return lambda attention: multiplied(layers(attention))


def rows_to_one(layers: np.ndarray) -> np.ndarray:
    return layers / layers.sum(-1, keepdims=True)


rollout = Exercise(
    name="rollout",
    chapter=7,
    reference=reference_rollout,
    cases=lambda seed: [
        (draw_attention(np.random.default_rng(seed), L, H, T, T),)
        for L, H, T in ((2, 3, 4), (4, 2, 5), (1, 3, 6))
    ],
    returns={"rollout": "T T"},
    mistakes=(
        Mistake("the residual is missing: half of each layer's position is itself", NOT_EXPLAINED,
                rollout_of(lambda a: a.mean(1))),
        Mistake("the residual was added, and nothing was halved: rows add up to 2 after one layer",
                NOT_EXPLAINED,
                rollout_of(lambda a: a.mean(1) + np.eye(a.shape[-1]))),
        Mistake("only the attention was halved: rows add up to 1.5 after one layer",
                NOT_EXPLAINED,
                rollout_of(lambda a: a.mean(1) / 2 + np.eye(a.shape[-1]))),
        Mistake("the order is wrong: a later layer looks at what the earlier one made, so it comes "
                "on the left", NOT_EXPLAINED, lambda a: multiplied(mixed(a)[::-1])),
        Mistake("it is transposed: row i says what position i is made of", PEOPLE,
                lambda a: multiplied(mixed(a)).T),
        Mistake("columns were looked up where rows were meant: the attention is transposed", PEOPLE,
                rollout_of(lambda a: mixed(a.swapaxes(-1, -2)))),
        Mistake("of the heads the greatest weight was taken: rows add up to more than 1",
                NOT_EXPLAINED, rollout_of(lambda a: halved_with_itself(a.max(1)))),
        Mistake("of the heads the greatest weight was taken, and rows made whole: here it is the "
                "mean", NOT_EXPLAINED,
                rollout_of(lambda a: rows_to_one(a.max(1) + np.eye(a.shape[-1])))),
        Mistake("heads were added up, not averaged", NOT_EXPLAINED,
                rollout_of(lambda a: halved_with_itself(a.sum(1)))),
        Mistake("heads were added up, and rows made whole: the residual is then 1 of H + 1 parts, "
                "not a half", NOT_EXPLAINED,
                rollout_of(lambda a: rows_to_one(a.sum(1) + np.eye(a.shape[-1])))),
        Mistake("only head 0 was rolled out: the mean over heads is meant", NOT_EXPLAINED,
                rollout_of(lambda a: mixed(a[:, :1]))),
        Mistake("each head was rolled out separately, then averaged: heads mix after every layer",
                NOT_EXPLAINED, lambda a: np.mean(
                    [multiplied(mixed(a[:, h : h + 1])) for h in range(a.shape[1])], axis=0)),
        Mistake("this is the last layer alone, without those below it", NOT_EXPLAINED,
                lambda a: mixed(a)[-1]),
        Mistake("this is the last layer's attention as it is: nothing was rolled out",
                NOT_EXPLAINED, lambda a: a.mean(1)[-1]),
        Mistake("layers were averaged: what passes through all of them is their product",
                NOT_EXPLAINED, lambda a: mixed(a).mean(0)),
        Mistake("layers were multiplied number by number: `@`, not `*`", NOT_EXPLAINED,
                lambda a: mixed(a).prod(0)),
        Mistake("layers were added up: what passes through all of them is their product",
                NOT_EXPLAINED, lambda a: mixed(a).sum(0)),
        Mistake("the residual came in once, at the end: every layer has one", NOT_EXPLAINED,
                lambda a: halved_with_itself(multiplied(a.mean(1)))),
        Mistake("the first layer was counted twice: begin with the identity, or with the second",
                NOT_EXPLAINED, lambda a: multiplied(mixed(a)) @ mixed(a)[0]),
        Mistake("the first layer was left out", NOT_EXPLAINED, lambda a: multiplied(mixed(a)[1:])),
        Mistake("the last layer was left out", NOT_EXPLAINED, lambda a: multiplied(mixed(a)[:-1])),
    ),
    hints=(
        "What is a position made of after one layer? After that, only products.",
        "Mean over heads, half of it replaced by the identity, and each layer times what came out "
        "of the layers below.",
        "rolled = (layer + np.eye(T)) / 2 @ rolled, for layer in attention.mean(axis=1)",
    ),
)  # fmt: skip


# 6: weights and what they are weights of


def reference_weighted_norms(weights: Tensor, value: Tensor, output_weight: Tensor) -> Tensor:
    K = value.shape[-1]
    found = []
    for head in range(len(value)):
        columns = output_weight[:, head * K : (head + 1) * K]
        moved = value[head] @ columns.T
        found.append(weights[head] * moved.norm(dim=-1))
    return torch.stack(found)


def moved_by(value: Tensor, output_weight: Tensor) -> Tensor:
    """(H, T, K) -> (H, T, D): what each head would add for each token, were its weight 1."""
    heads = output_weight.unflatten(1, (len(value), -1))  # (D, H, K)
    return torch.einsum("htk,dhk->htd", value, heads)


def weighted_with(size: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """Another size (H, T) of what is looked at, made of values and the output's weight."""
    return lambda weights, value, output_weight: weights * size(value, output_weight)[:, None]


def norms_with(columns: Callable[[Tensor, int, int], Tensor]) -> Callable[..., Tensor]:
    """Another part (D, K) of the output's weight for each head, given H and K as numbers."""

    def answer(weights, value, output_weight):
        parts = torch.stack(
            [columns(output_weight, head, value.shape[-1]) for head in range(len(value))]
        )
        return weights * (value @ parts.mT).norm(dim=-1)[:, None]

    return answer


def row_norms(value: Tensor, output_weight: Tensor) -> Tensor:
    return moved_by(value, output_weight).norm(dim=-1)


def norm_cases(seed: int) -> list[Case]:
    cases = []
    for H, T, K in ((2, 5, 3), (3, 4, 2), (4, 6, 5)):
        scores, value, output_weight = draw((H, T, T), (H, T, K), (H * K, H * K), seed=seed)
        cases.append(((2 * scores).softmax(-1), value, output_weight))
    return cases


weighted_norms = Exercise(
    name="weighted_norms",
    chapter=7,
    reference=reference_weighted_norms,
    cases=norm_cases,
    returns={"norms": "H T T"},
    mistakes=(
        Mistake("these are the weights alone: how long the vectors are that they weigh is missing",
                HEADS, lambda w, v, o: w),
        Mistake("these are norms of values: the output projection, which follows, is missing",
                HEADS, weighted_with(lambda v, o: v.norm(dim=-1))),
        Mistake("these are the head's rows of the output's weight: what comes from it enters by "
                "its columns", HEADS,
                norms_with(lambda o, h, K: o[h * K : (h + 1) * K].T)),
        Mistake("each head took every H-th column: it has a run of K", HEADS,
                norms_with(lambda o, h, K: o[:, h :: o.shape[1] // K])),
        Mistake("all heads took the columns of head 0", HEADS,
                norms_with(lambda o, h, K: o[:, :K])),
        Mistake("the heads' columns are in reverse order", HEADS,
                lambda w, v, o: w * row_norms(v.flip(0), o).flip(0)[:, None]),
        Mistake("row i was multiplied by the norm of token i, which looks: it is the norm of token "
                "j, which is looked at", PEOPLE, lambda w, v, o: w * row_norms(v, o)[..., None]),
        Mistake("the norm is squared: the root is missing", HEADS,
                weighted_with(lambda v, o: row_norms(v, o) ** 2)),
        Mistake("this is the sum of the sizes of the numbers, not the length of the vector",
                HEADS, weighted_with(lambda v, o: moved_by(v, o).norm(p=1, dim=-1))),
        Mistake("this is the root of the mean square: a length has the sum", HEADS,
                weighted_with(lambda v, o: row_norms(v, o) / len(o) ** 0.5)),
        Mistake("the numbers of the vector were averaged: they cancel, a length does not",
                HEADS, weighted_with(lambda v, o: moved_by(v, o).mean(-1))),
        Mistake("norms were multiplied: how far a vector is stretched depends on its direction",
                HEADS, weighted_with(lambda v, o: v.norm(dim=-1)
                * o.unflatten(1, (len(v), -1)).norm(dim=(0, 2))[:, None])),
        Mistake("rows were made to add up to 1 again: how much a row moves is the point",
                HEADS,
                lambda w, v, o: F.normalize(w * row_norms(v, o)[:, None], p=1, dim=-1)),
        Mistake("the weights are missing: these are the norms, the same for every row", HEADS,
                lambda w, v, o: row_norms(v, o)[:, None].expand_as(w).clone()),
        Mistake("weights and norms were added, not multiplied", HEADS,
                lambda w, v, o: w + row_norms(v, o)[:, None]),
        Mistake("each weight was divided by the norm, not multiplied", HEADS,
                lambda w, v, o: w / row_norms(v, o)[:, None]),
        Mistake("it is transposed: rows look, columns are looked at", PEOPLE,
                lambda w, v, o: (w * row_norms(v, o)[:, None]).mT.contiguous()),
    ),
    hints=(
        "A weight says how much of a vector comes through. Which vector, and how long is it?",
        "Head h's value of token j times head h's K columns of the output's weight is a vector "
        "(D,). Its length times the weight, row i, column j.",
        "weights[h] * (value[h] @ output_weight[:, h * K : (h + 1) * K].T).norm(dim=-1)",
    ),
)  # fmt: skip


# 7: heads switched off


@torch.no_grad()
def reference_head_effects(
    model: BertForPreTraining, input_ids: Tensor, place: int, answer: int
) -> Tensor:
    layers, H = model.bert.encoder.layers, model.config.num_attention_heads
    effects = torch.zeros(len(layers), H)
    before = model(input_ids).prediction_logits[0, place].log_softmax(-1)[answer]
    for layer, block in enumerate(layers):
        weight = block.attention.output.weight
        K = weight.shape[1] // H
        for head in range(H):
            columns = slice(head * K, (head + 1) * K)
            kept = weight[:, columns].clone()
            weight[:, columns] = 0.0
            after = model(input_ids).prediction_logits[0, place].log_softmax(-1)[answer]
            effects[layer, head] = after - before
            weight[:, columns] = kept
    return effects


def of_head(attention: BertSelfAttention, head: int) -> slice:
    """Which of the D numbers are the head's."""
    K = attention.output.in_features // attention.num_heads
    return slice(head * K, (head + 1) * K)


def off(attention: BertSelfAttention, head: int) -> None:
    attention.output.weight[:, of_head(attention, head)] = 0.0


def off_by_rows(attention: BertSelfAttention, head: int) -> None:
    attention.output.weight[of_head(attention, head)] = 0.0


def off_by_steps(attention: BertSelfAttention, head: int) -> None:
    attention.output.weight[:, head :: attention.num_heads] = 0.0


def off_by_number_of_heads(attention: BertSelfAttention, head: int) -> None:
    H = attention.num_heads
    attention.output.weight[:, head * H : (head + 1) * H] = 0.0


def one_number_off(attention: BertSelfAttention, head: int) -> None:
    attention.output.weight[:, head] = 0.0


def next_off(attention: BertSelfAttention, head: int) -> None:
    off(attention, head + 1)


def others_off(attention: BertSelfAttention, head: int) -> None:
    kept = attention.output.weight[:, of_head(attention, head)].clone()
    attention.output.weight.zero_()
    attention.output.weight[:, of_head(attention, head)] = kept


def layer_off(attention: BertSelfAttention, head: int) -> None:
    attention.output.weight.zero_()


def off_and_bias(attention: BertSelfAttention, head: int) -> None:
    off(attention, head)
    attention.output.bias.zero_()


def off_and_others_louder(attention: BertSelfAttention, head: int) -> None:
    off(attention, head)
    attention.output.weight.mul_(attention.num_heads / (attention.num_heads - 1))


def no_scores(attention: BertSelfAttention, head: int) -> None:
    attention.query.weight[of_head(attention, head)] = 0.0
    attention.query.bias[of_head(attention, head)] = 0.0


def no_value_weight(attention: BertSelfAttention, head: int) -> None:
    attention.value.weight[of_head(attention, head)] = 0.0


def log_probability(logits: Tensor, place: int, answer: int) -> Tensor:
    """Logits (T, V) -> ()."""
    return logits[place].log_softmax(-1)[answer]


def change(before: Tensor, after: Tensor) -> Tensor:
    return after - before


def effects_with(
    switch_off: Callable[[BertSelfAttention, int], None] = off,
    measure: Callable[[Tensor, int, int], Tensor] = log_probability,
    compare: Callable[[Tensor, Tensor], Tensor] = change,
    put_back: bool = True,
    off_at_the_end: int = 0,
) -> Callable[..., Tensor]:
    """Another way to switch off, to measure or to compare, or a model that stays changed."""

    @torch.no_grad()
    def answer(model, input_ids, place, answer):
        layers, H = model.bert.encoder.layers, model.config.num_attention_heads
        effects = torch.zeros(len(layers), H)
        before = measure(model(input_ids).prediction_logits[0], place, answer)
        for layer, head in np.ndindex(len(layers), H):
            attention = layers[layer].attention
            kept = copy.deepcopy(attention.state_dict())
            switch_off(attention, head)
            after = measure(model(input_ids).prediction_logits[0], place, answer)
            effects[layer, head] = compare(before, after)
            if put_back:
                attention.load_state_dict(kept)
        for head in range(H - off_at_the_end, H):
            off(layers[-1].attention, head)
        return effects

    return answer


def effects_and_afterwards(answer: Any, model: BertForPreTraining, *case: Any) -> Any:
    """What was found, and what the model says when the answer is done with it.

    The effects may be a tensor or an array, of any dtype: they come back as a float32 tensor.
    """
    effects = call(answer, model, *case)
    if isinstance(effects, Tensor | np.ndarray):
        effects = torch.tensor(effects.tolist(), dtype=torch.float32)
    with torch.no_grad():
        return effects, model(case[0]).prediction_logits


def effects_cases(seed: int) -> list[Case]:
    """Small models with large weights: no head is without effect, and no bias is 0."""
    cases = []
    for L, H, K, T in ((1, 2, 3, 4), (2, 3, 2, 6)):
        config = BertConfig(
            vocab_size=9, hidden_size=H * K, num_hidden_layers=L, num_attention_heads=H,
            intermediate_size=2 * H * K, max_position_embeddings=T,
        )  # fmt: skip
        model = BertForPreTraining(config, next_sentence=False).eval()
        names = list(model.state_dict())
        numbers = draw(*(model.state_dict()[name].shape for name in names), seed=seed + L + H)
        model.load_state_dict(dict(zip(names, (0.6 * x for x in numbers), strict=True)))
        model.tie_weights()
        ids = torch.randint(9, (1, T), generator=torch.Generator().manual_seed(seed))
        cases.append((model, ids, T - 2, 6 + L))
    return cases


head_effects = Exercise(
    name="head_effects",
    chapter=7,
    reference=reference_head_effects,
    cases=effects_cases,
    returns={"effects": "L H", "what the model says afterwards": "B T V"},
    run=effects_and_afterwards,
    mistakes=(
        Mistake("the sign is wrong: after minus before, so below 0 the head spoke for the answer",
                NOT_EXPLAINED, effects_with(compare=lambda before, after: before - after)),
        Mistake("heads that were off stay off: put each one back before the next", HEADS,
                effects_with(put_back=False)),
        Mistake("the effects are right, but the last head is still off afterwards: put it back",
                HEADS, effects_with(off_at_the_end=1)),
        Mistake("the head's rows of the output's weight are 0: those are numbers that all heads "
                "write to, it enters by its columns", HEADS, effects_with(off_by_rows)),
        Mistake("every H-th column is 0: a head has a run of K", HEADS,
                effects_with(off_by_steps)),
        Mistake("the columns go by H, the number of heads: a head has K of them", HEADS,
                effects_with(off_by_number_of_heads)),
        Mistake("one column is 0: a head has K of them", HEADS, effects_with(one_number_off)),
        Mistake("the next head was switched off: head 0 has the columns from 0 to K", HEADS,
                effects_with(next_off)),
        Mistake("all heads but this one were switched off", HEADS,
                effects_with(others_off)),
        Mistake("the whole layer's attention was switched off, for each of its heads",
                HEADS, effects_with(layer_off)),
        Mistake("the bias was switched off too: it is no head's", HEADS,
                effects_with(off_and_bias)),
        Mistake("the other heads were made louder, so that two things changed: leave them",
                HEADS, effects_with(off_and_others_louder)),
        Mistake("scores of 0 do not switch a head off: after the softmax all its weights are equal",
                BEGAN, effects_with(no_scores)),
        Mistake("the head still gives the bias of its values: take away what goes into the output "
                "projection", HEADS, effects_with(no_value_weight)),
        Mistake("these are changes of the probability: its logarithm is asked for", NOT_EXPLAINED,
                effects_with(measure=lambda x, p, a: x[p].softmax(-1)[a])),
        Mistake("these are changes of a logit, which says nothing without the others: log_softmax",
                NOT_EXPLAINED, effects_with(measure=lambda x, p, a: x[p, a])),
        Mistake("the effects are in bits, by log2: in nats it is the natural logarithm",
                NOT_EXPLAINED, effects_with(
                    measure=lambda x, p, a: x[p].softmax(-1)[a].log2())),
        Mistake("this was measured at [CLS], not at `place`", NOT_EXPLAINED,
                effects_with(measure=lambda x, p, a: log_probability(x, 0, a))),
        Mistake("this is a mean over all places: only `place` is asked", NOT_EXPLAINED,
                effects_with(measure=lambda x, p, a: x.log_softmax(-1)[:, a].mean())),
        Mistake("this is about the likeliest token: it is `answer` that is asked about",
                NOT_EXPLAINED, effects_with(measure=lambda x, p, a: x[p].log_softmax(-1).amax())),
        Mistake("the shares add up to 1 over places, not over the vocabulary: wrong dim",
                NOT_EXPLAINED, effects_with(measure=lambda x, p, a: x.log_softmax(0)[p, a])),
        Mistake("what was there before is not taken away: the change is asked for", NOT_EXPLAINED,
                effects_with(compare=lambda before, after: after)),
        Mistake("the logarithms were divided: a change of them is a difference", NOT_EXPLAINED,
                effects_with(compare=lambda before, after: after / before)),
        Mistake("the sign is lost: whether a head spoke for the answer or against it matters",
                NOT_EXPLAINED, effects_with(compare=lambda before, after: (after - before).abs())),
    ),
    hints=(
        "Which numbers of which matrix does a head have for itself, on its way out?",
        "The context (B, T, D) has the heads side by side, so head h has K columns of the output's "
        "weight. Set them to 0, measure, put them back.",
        "weight[:, h * K : (h + 1) * K] = 0, under torch.no_grad(); "
        "prediction_logits[0, place].log_softmax(-1)[answer]",
    ),
)  # fmt: skip


EXERCISES = (
    probe_of_words,
    row_entropy,
    words_only,
    best_head,
    rollout,
    weighted_norms,
    head_effects,
)
