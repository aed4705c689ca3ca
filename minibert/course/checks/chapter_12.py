"""The exercises of chapter 12, diffusion."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations, permutations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from minibert.course.checks.chapter_09 import (
    Guess,
    Pick,
    guesser,
    largest_share,
    lead,
    quantile,
    reference_mask_predict,
)
from minibert.course.checks.engine import (
    Case,
    Exercise,
    Mistake,
    draw,
    draw_ids,
    plain_numbers,
    prediction,
)

HOW_MUCH = "How much can you hide?"
FORWARD = "Hiding, a little at a time"
BOUND = "What should the loss be?"
LOSS = "The loss in six lines"
SPREAD = "Random, but evenly spread"
WRITE = "Write"
MASK_PREDICT = "Isn't that just mask-predict?"
PEOPLE = "Mistakes people make here"
PAD, UNK, CLS, SEP, MASK = range(5)  # as in every vocabulary of minibert
VOCABULARY = 40


# 1: numbers at equal distances, on paper

equal_distances = Exercise(
    name="equal_distances",
    chapter=12,
    reference=(5, 6, 1, 4),
    cases=lambda seed: [()],
    returns={"the numbers": ""},
    run=prediction,
    mistakes=(
        Mistake("1 is missing: t times the length, rounded down, goes from 0 to one less than "
                "all, but at least one token must be hidden", SPREAD, (4, 5, 0, 3)),
        Mistake("these are rounded to the nearest number, which may be 0, and hiding all is half "
                "as likely as any other number: round down and add 1", SPREAD, (4, 6, 0, 4)),
        Mistake("these are rounded to the nearest number, and 0 became 1, so 1 is three times as "
                "likely as all: round down and add 1", SPREAD, (4, 6, 1, 4)),
        Mistake("a text can't hide more tokens than it has: t has passed 1, so it must begin again "
                "at 0, as on a clock", SPREAD, (5, 6, 6, 16)),
        Mistake("t has passed 1 and was cut off there, so whole texts are hidden too often: begin "
                "again at 0, as on a clock", SPREAD, (5, 6, 5, 12)),
        Mistake("all texts have the same t: move a quarter of the clock on for each text",
                SPREAD, (5, 4, 3, 7)),
        Mistake("the four t were sorted: the first text has 0.55, and the others follow",
                SPREAD, (1, 3, 3, 10)),
        Mistake("these numbers go from 0 to all: if nothing is hidden, there is nothing to learn",
                SPREAD, (4, 6, 0, 3)),
        Mistake("these numbers go from 1 to one less than all: the whole page must be hidden too, "
                "because writing begins there", SPREAD, (4, 5, 1, 4)),
        Mistake("[CLS] and [SEP] were counted: they are never hidden, and a text of 8 tokens has 8 "
                "without them", SPREAD, (6, 8, 1, 5)),
        Mistake("you went round the clock backwards: each t is a quarter more than the last",
                SPREAD, (5, 3, 1, 10)),
        Mistake("only the part of the clock from 0.55 to 1 was divided, so low numbers would be "
                "rare", SPREAD, (5, 5, 4, 11)),
        Mistake("only the part of the clock from 0.55 to 1 was divided, with both ends, so low "
                "numbers would be rare", SPREAD, (5, 5, 5, 12)),
        Mistake("the distance is a third: four texts go once round the clock, so it is a quarter",
                SPREAD, (5, 7, 2, 7)),
        Mistake("these are the tokens that stay visible", SPREAD, (3, 1, 4, 8)),
        Mistake("0.55 was left out: without a random start, each text would hide the same number "
                "in every batch", SPREAD, (1, 2, 3, 10)),
    ),
    hints=(
        "Draw a clock whose hand goes from 0 to 1. Where do the four texts begin?",
        "Their t are 0.55, 0.8, then past 1 and so at 0.05, and 0.3. Which numbers does t times "
        "the length give, and how do you get from there to a whole number from 1 to all?",
        "[math.floor((0.55 + i / 4) % 1 * length) + 1 for i, length in enumerate((8, 7, 5, 12))]",
    ),
)  # fmt: skip


# 2: the forward process


def reference_hide(ids: Tensor, u: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    special = torch.isin(ids, torch.tensor([PAD, CLS, SEP]))
    u = u.masked_fill(special, 2.0)
    hidden = (u < t[:, None]) | (u == u.amin(1, keepdim=True))
    return ids.masked_fill(hidden, MASK), ids.masked_fill(~hidden, -100)


Hidden = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Which tokens may be hidden (B, T), their u (B, T) and t (B,) -> which are hidden, (B, T)."""


def below(may: Tensor, u: Tensor, t: Tensor) -> Tensor:
    return may & (u < t[:, None])


def lowest_of_text(may: Tensor, u: Tensor) -> Tensor:
    u = torch.where(may, u, 2.0)
    return may & (u == u.amin(1, keepdim=True))


def at_least_one(may: Tensor, u: Tensor, t: Tensor) -> Tensor:
    return below(may, u, t) | lowest_of_text(may, u)


def one_in_a_batch(may: Tensor, u: Tensor, t: Tensor) -> Tensor:
    """The rule looks only at whether anything is hidden in the whole batch."""
    hidden = below(may, u, t)
    return hidden if hidden.any() else lowest_of_text(may, u)


def lowest_of_row(may: Tensor, u: Tensor, t: Tensor) -> Tensor:
    """Where nothing is hidden, the lowest u of the row counts, even if it belongs to [CLS]."""
    hidden = below(may, u, t)
    return hidden | (~hidden.any(1, keepdim=True) & (u == u.amin(1, keepdim=True)))


def first_if_none(may: Tensor, u: Tensor, t: Tensor) -> Tensor:
    hidden = below(may, u, t)
    return hidden | (~hidden.any(1, keepdim=True) & may & (may.cumsum(1) == 1))


def all_if_none(may: Tensor, u: Tensor, t: Tensor) -> Tensor:
    hidden = below(may, u, t)
    return hidden | (~hidden.any(1, keepdim=True) & may)


def fixed_number(may: Tensor, u: Tensor, t: Tensor) -> Tensor:
    """As BERT's own masking: a share of the tokens."""
    number = (t * may.sum(1)).round().clamp(min=1)
    return may & (torch.where(may, u, 2.0).argsort(1).argsort(1) < number[:, None])


def is_text(ids: Tensor) -> Tensor:
    return ~torch.isin(ids, torch.tensor([PAD, CLS, SEP]))


def hide_with(
    hidden_of: Hidden = at_least_one,
    may_hide: Callable[[Tensor], Tensor] = is_text,
    see: Callable[[Tensor, Tensor], Tensor] = lambda ids, hidden: ids.masked_fill(hidden, MASK),
    label: Callable[[Tensor, Tensor], Tensor] = lambda ids, hidden: ids.masked_fill(~hidden, -100),
) -> Callable[..., tuple[Tensor, Tensor]]:
    """Other tokens hidden, or other things seen and asked."""

    def answer(ids, u, t):
        hidden = hidden_of(may_hide(ids), u, t)
        return see(ids, hidden), label(ids, hidden)

    return answer


def within_the_row(ids: Tensor) -> Tensor:
    """All but the first and the last column."""
    column = torch.arange(ids.shape[1])
    return ((column > 0) & (column < ids.shape[1] - 1)).expand_as(ids)


def hide_cases(seed: int) -> list[Case]:
    """Texts of any length and any t, also 0 and 1. In the first batch [CLS] has the lowest u."""
    rng = np.random.default_rng(seed)
    cases = []
    for T, lengths, times in (
        (9, (7, 4, 6, 2), (0.0, 0.55, 1.0, 0.01)),
        (14, (12, 5, 9), (0.3, 0.01, 0.7)),
        (8, (3, 6), (0.0, 0.01)),
    ):
        B = len(lengths)
        ids = np.full((B, T), PAD)
        for row, length in zip(ids, lengths, strict=True):
            row[: length + 2] = [CLS, *rng.integers(5, VOCABULARY, length), SEP]
        u = (2 + rng.permutation(B * T).reshape(B, T)) / (B * T + 2)
        u[0, 0], u[1, -1] = 0.005, 0.006
        t = np.array(times)
        ids[0, 2], ids[1, 3] = UNK, UNK
        u[1, 3] = max(t[1], 0.1)  # a u that t reaches exactly
        if t[1] > 0.1:
            u[1, 2] = t[1] / 2
        tensors = (torch.tensor(ids), torch.tensor(u).float(), torch.tensor(t).float())
        cases.append(tensors)
    return cases


hide_at = Exercise(
    name="hide_at",
    chapter=12,
    reference=reference_hide,
    cases=hide_cases,
    returns={"seen": "B T", "labels": "B T"},
    mistakes=(
        Mistake("it is the wrong way round: a token disappears when t has passed its u, so a small "
                "t hides few tokens", FORWARD,
                hide_with(lambda may, u, t: may & (u >= t[:, None]) | lowest_of_text(may, u))),
        Mistake("a token whose u equals t is hidden: a token is hidden only if its u is below t",
                FORWARD, hide_with(
                    lambda may, u, t: may & (u <= t[:, None]) | lowest_of_text(may, u))),
        Mistake("all texts have the t of the first: each row has its own t", FORWARD,
                hide_with(lambda may, u, t: at_least_one(may, u, t[:1].expand_as(t)))),
        Mistake("in some texts nothing is hidden: their loss would be a mean over no tokens, which "
                "is NaN, so hide at least one", FORWARD, hide_with(below)),
        Mistake("the rule of at least one looks at the batch: every text must have a hidden token",
                FORWARD, hide_with(one_in_a_batch)),
        Mistake("where nothing is hidden, [CLS], [SEP] or [PAD] had the lowest u and was hidden: "
                "choose among the tokens of the text", PEOPLE, hide_with(lowest_of_row)),
        Mistake("where nothing is hidden, the first token was taken: always hiding the first word "
                "would favour it, so take the token with the lowest u", FORWARD,
                hide_with(first_if_none)),
        Mistake("where nothing is hidden, the whole text was taken: one token is enough", FORWARD,
                hide_with(all_if_none)),
        Mistake("padding is hidden: it is known in advance, so the loss would fall and nothing "
                "would be learned", PEOPLE,
                hide_with(may_hide=lambda ids: ~torch.isin(ids, torch.tensor([CLS, SEP])))),
        Mistake("[CLS] and [SEP] are hidden: they are in every text, so they are known",
                PEOPLE, hide_with(may_hide=lambda ids: ids != PAD)),
        Mistake("[CLS], [SEP] and padding are hidden: a quarter of the questions would be free",
                PEOPLE, hide_with(may_hide=lambda ids: ids >= 0)),
        Mistake("everything below t is hidden: leave out [CLS], [SEP] and padding, and hide at "
                "least one token of each text", FORWARD,
                hide_with(below, may_hide=lambda ids: ids >= 0)),
        Mistake("padding was left out, but [CLS] and [SEP] are never hidden either, and each text "
                "needs at least one hidden token", FORWARD,
                hide_with(below, may_hide=lambda ids: ids != PAD)),
        Mistake("[CLS] and [SEP] were left out by their columns, the first and the last: in a "
                "padded text [SEP] comes earlier, so look at the ids", PEOPLE,
                hide_with(may_hide=within_the_row)),
        Mistake("[UNK] is never hidden: it is a token of the text like any other", FORWARD,
                hide_with(may_hide=lambda ids: ids > MASK)),
        Mistake("a fixed share was hidden, as in BERT: here each token is compared with t, and the "
                "number is left to chance", FORWARD, hide_with(fixed_number)),
        Mistake("nothing is replaced: the model sees the tokens that it is asked for", FORWARD,
                hide_with(see=lambda ids, hidden: ids)),
        Mistake("hidden tokens became [PAD], which is 0: the model's sign for a blank is [MASK]",
                FORWARD, hide_with(see=lambda ids, hidden: ids * ~hidden)),
        Mistake("every token has a label: the visible ones would be asked too, and they are free",
                LOSS, hide_with(label=lambda ids, hidden: ids)),
        Mistake("the labels were taken after hiding, so the right answer is always [MASK]", LOSS,
                hide_with(label=lambda ids, hidden: torch.where(hidden, MASK, -100))),
        Mistake("the labels are where nothing is hidden: ask for the hidden tokens", LOSS,
                hide_with(label=lambda ids, hidden: ids.masked_fill(hidden, -100))),
        Mistake("what is not asked has the label 0, and 0 is the id of [PAD]: use -100", LOSS,
                hide_with(label=lambda ids, hidden: ids * hidden)),
    ),
    hints=(
        "Which tokens may be hidden? Which of these does t hide? What if it hides none?",
        "Give [CLS], [SEP] and [PAD] a u that no t reaches. Hide what is below t, and the lowest u "
        "of each row in any case: if anything is below t, the lowest is too.",
        "hidden = (u < t[:, None]) | (u == u.amin(1, keepdim=True)), after "
        "u = u.masked_fill(special, 2.0)",
    ),
)  # fmt: skip


# 3: repair the loss


def reference_loss(logits: Tensor, labels: Tensor) -> Tensor:
    nats = F.cross_entropy(logits.transpose(1, 2), labels, reduction="none")
    return (nats.sum(1) / (labels != -100).sum(1)).mean()


def nats_of_hidden(logits: Tensor, labels: Tensor) -> Tensor:
    """(B, T, V), (B, T) -> (B, T), 0 where nothing is hidden."""
    return F.cross_entropy(logits.transpose(1, 2), labels, reduction="none")


def loss_with(
    join: Callable[[Tensor, Tensor], Tensor],
    nats_of: Callable[[Tensor, Tensor], Tensor] = nats_of_hidden,
) -> Callable[..., Tensor]:
    """Other nats of each token, or another way to make one number of (B, T) and (B,)."""
    return lambda logits, labels: join(nats_of(logits, labels), (labels != -100).sum(1))


def by_text(nats: Tensor, number: Tensor) -> Tensor:
    """The right way."""
    return (nats.sum(1) / number).mean()


def of_zero_too(logits: Tensor, labels: Tensor) -> Tensor:
    """Every place is asked: -100 became the token 0."""
    return nats_of_hidden(logits, labels.clamp(min=0))


def minus_probabilities(logits: Tensor, labels: Tensor) -> Tensor:
    return (labels != -100) * (1 - (-nats_of_hidden(logits, labels)).exp())


def minus_logits(logits: Tensor, labels: Tensor) -> Tensor:
    chosen = logits.gather(2, labels.clamp(min=0)[..., None])[..., 0]
    return (labels != -100) * -chosen


def of_the_place_before(logits: Tensor, labels: Tensor) -> Tensor:
    return nats_of_hidden(logits.roll(1, 1), labels)


def log_of_mean(logits: Tensor, labels: Tensor) -> Tensor:
    asked = labels != -100
    shares = asked * (-nats_of_hidden(logits, labels)).exp()
    return -(shares.sum(1) / asked.sum(1)).log().mean()


def loss_cases(seed: int) -> list[Case]:
    """From one hidden token to all of them. No label in the first column."""
    cases = []
    for number, (hidden, T, V) in enumerate((((1, 6, 3), 7, 9), ((8, 2, 5, 1), 9, 6))):
        B = len(hidden)
        (logits,) = draw((B, T, V), seed=seed + number)
        ids = draw_ids(V - 1, B, T, seed=seed + number) + 1
        ranks = draw((B, T - 1), seed=seed + T)[0].argsort(1).argsort(1) + 1
        ranks = torch.cat([torch.full((B, 1), T), ranks], 1)
        cases.append((2 * logits, ids.masked_fill(ranks > torch.tensor(hidden)[:, None], -100)))
    return cases


text_by_text = Exercise(
    name="text_by_text",
    chapter=12,
    reference=reference_loss,
    cases=loss_cases,
    returns={"the loss": ""},
    run=plain_numbers,
    mistakes=(
        Mistake("this is one mean over all hidden tokens of the batch, so a text with 6 of them "
                "counts six times as much as a text with 1, and the loss is no bound", PEOPLE,
                loss_with(lambda nats, number: nats.sum() / number.sum())),
        Mistake("1/n is missing: the nats of a text were added, not divided by the number of its "
                "hidden tokens", BOUND, loss_with(lambda nats, number: nats.sum(1).mean())),
        Mistake("the weight 1/t is missing: each text was divided by its length, not by the number "
                "of its hidden tokens", BOUND, loss_with(
                    lambda nats, number: nats.mean())),
        Mistake("1/n is there twice: a mean over hidden tokens is divided by n already", BOUND,
                loss_with(lambda nats, number: (nats.sum(1) / number**2).mean())),
        Mistake("these are nats of a whole text: leave out the factor T to get nats per token",
                BOUND, loss_with(
                    lambda nats, number: nats.shape[1] * by_text(nats, number))),
        Mistake("the texts' means were added up: take their mean, or the loss grows with the batch",
                LOSS, loss_with(lambda nats, number: (nats.sum(1) / number).sum())),
        Mistake("only the first text counts", LOSS,
                loss_with(lambda nats, number: nats[0].sum() / number[0])),
        Mistake("each text's t was used as the weight, not 1/t", BOUND, loss_with(
            lambda nats, number: (nats.sum(1) * number / nats.shape[1] ** 2).mean())),
        Mistake("visible tokens were asked too, as if -100 were the token 0", LOSS,
                lambda logits, labels: of_zero_too(logits, labels).mean()),
        Mistake("visible tokens were asked too, as if -100 were the token 0, and then divided by "
                "the number of hidden tokens", LOSS, loss_with(by_text, of_zero_too)),
        Mistake("the logits of the place before were read, as in a GPT: BERT guesses a token at "
                "its own place", LOSS, loss_with(by_text, of_the_place_before)),
        Mistake("the mean was taken of probabilities and the logarithm last: take the logarithm of "
                "each token first", BOUND, log_of_mean),
        Mistake("1 - p was averaged: the loss needs -log p", LOSS,
                loss_with(by_text, minus_probabilities)),
        Mistake("the logits themselves were averaged: the softmax is missing", LOSS,
                loss_with(by_text, minus_logits)),
        Mistake("there is one softmax too many: cross_entropy takes logits", LOSS, loss_with(
            by_text, lambda logits, labels: nats_of_hidden(logits.softmax(-1), labels))),
        Mistake("the softmax goes over the places: probabilities must add up to 1 over the "
                "vocabulary", LOSS, loss_with(by_text, lambda logits, labels: F.nll_loss(
                    logits.log_softmax(1).transpose(1, 2), labels, reduction="none"))),
        Mistake("these are bits: with the natural logarithm they would be nats", LOSS, loss_with(
            lambda nats, number: by_text(nats, number) / math.log(2))),
        Mistake("the sign is wrong: this is the mean of log p, and the loss is -log p", LOSS,
                loss_with(lambda nats, number: -by_text(nats, number))),
        Mistake("this is a perplexity: leave out exp", LOSS,
                loss_with(lambda nats, number: by_text(nats, number).exp())),
    ),
    hints=(
        "A text with one hidden token and a text with sixty: how much should each count?",
        "The same. Keep the nats of each token by reduction='none', take the mean over each text's "
        "hidden tokens, and then the mean of these means.",
        "(nats.sum(1) / (labels != -100).sum(1)).mean(), because cross_entropy gives 0 where the "
        "label is -100",
    ),
)  # fmt: skip


# 4: a writer and a bound, by going through all orders

Page = list[int | None]
GuessLetter = Callable[[Page, int], Sequence[float]]
"""What a model of a toy language does: a page and a place -> the probability of each letter."""


def reference_writer_and_bound(text: Sequence[int], guess: GuessLetter) -> tuple[float, float]:
    nats = []
    for order in permutations(range(len(text))):
        page, total = [None] * len(text), 0.0
        for place in order:
            total -= math.log(guess(page, place)[text[place]])
            page[place] = text[place]
        nats.append(total)
    return -math.log(np.mean(np.exp(-np.array(nats)))), float(np.mean(nats))


def letter_guesser(T: int, V: int, seed: int) -> GuessLetter:
    """A model that is not perfect: its orders do not agree. Each letter counts by its place."""
    table = np.random.default_rng(seed).normal(size=(T, T, V + 1, V))

    def guess(page: Page, place: int) -> list[float]:
        tokens = [V if token is None else token for token in page]
        logits = table[place, np.arange(T), tokens].sum(0)  # (V,)
        shares = np.exp(logits - logits.max())
        return (shares / shares.sum()).tolist()

    return guess


def nats_of_orders(
    text: Sequence[int],
    guess: GuessLetter,
    show: Callable[[Sequence[int], int, int], bool] = lambda order, step, place: (
        place in order[:step]
    ),
) -> np.ndarray:
    """The nats of a text in each order. `show` says what the page shows in a step of an order."""
    found = []
    for order in permutations(range(len(text))):
        total = 0.0
        for step, place in enumerate(order):
            page = [token if show(order, step, i) else None for i, token in enumerate(text)]
            total -= math.log(guess(page, place)[text[place]])
        found.append(total)
    return np.array(found)


def page_kept(text: Sequence[int], guess: GuessLetter) -> np.ndarray:
    """Every order but the first begins with the page that the last one has filled."""
    first = nats_of_orders(text, guess)[:1]
    later = nats_of_orders(text, guess, lambda order, step, place: True)[1:]
    return np.concatenate([first, later])


def writer_of(nats: np.ndarray) -> float:
    return float(-np.log(np.mean(np.exp(-nats))))


def orders_with(
    join: Callable[[np.ndarray], tuple[float, float]] = lambda nats: (writer_of(nats), nats.mean()),
    nats_of: Callable[..., np.ndarray] = nats_of_orders,
    **how,
) -> Callable[..., tuple[float, float]]:
    """Another page in some step, or other numbers made of the orders' nats."""

    def answer(text, guess):
        writer, bound = join(nats_of(text, guess, **how))
        return float(writer), float(bound)

    return answer


def by_number_with(join: Callable[[list[list[float]]], float]) -> Callable[..., tuple]:
    """Another bound, of the sums of nats of each way to hide n tokens: for each n, a list."""

    def answer(text, guess):
        sums = []
        for n in range(1, len(text) + 1):
            sums.append([])
            for hidden in combinations(range(len(text)), n):
                page = [None if i in hidden else token for i, token in enumerate(text)]
                sums[-1].append(-sum(math.log(guess(page, i)[text[i]]) for i in hidden))
        return writer_of(nats_of_orders(text, guess)), float(join(sums))

    return answer


def sum_of_sums(sums: list[list[float]]) -> float:
    return sum(np.mean(of) for of in sums)


def one_mean(sums: list[list[float]]) -> float:
    """Every hidden token of every number counts the same: T times their mean."""
    T = len(sums)
    return T * sum_of_sums(sums) / sum(range(1, T + 1))


def mean_of_means(sums: list[list[float]]) -> float:
    """The right sum over n, divided by T."""
    return np.mean([np.mean(of) / n for n, of in enumerate(sums, 1)])


def coins(sums: list[list[float]]) -> float:
    """Every way to hide some of the tokens counts the same."""
    means = [nats / n for n, of in enumerate(sums, 1) for nats in of]
    return len(sums) * np.mean(means)


def bound_cases(seed: int) -> list[Case]:
    rng = np.random.default_rng(seed)
    return [
        (tuple(rng.integers(V, size=T).tolist()), letter_guesser(T, V, seed + T))
        for T, V in ((3, 2), (4, 3), (2, 4))
    ]


writer_and_bound = Exercise(
    name="writer_and_bound",
    chapter=12,
    reference=reference_writer_and_bound,
    cases=bound_cases,
    returns={"the writer's nats": "", "the bound": ""},
    run=plain_numbers,
    mistakes=(
        Mistake("the two are swapped: the bound is the mean of the nats, and it is never below the "
                "writer's nats", BOUND, orders_with(lambda nats: (nats.mean(), writer_of(nats)))),
        Mistake("both are the mean of the nats, which is the bound: the writer's probability is a "
                "mean of products, so take exp before the mean", BOUND,
                orders_with(lambda nats: (nats.mean(), nats.mean()))),
        Mistake("both are -log of the mean probability, which is the writer: for the bound, take "
                "the mean of the nats", BOUND,
                orders_with(lambda nats: (writer_of(nats), writer_of(nats)))),
        Mistake("the orders' probabilities were added up: each order is drawn with the same "
                "chance, so take their mean, or subtract log of the number of orders", BOUND,
                orders_with(lambda nats: (
                    writer_of(nats) - math.log(len(nats)), nats.mean()))),
        Mistake("the orders' nats were added up: the bound is their mean", BOUND,
                orders_with(lambda nats: (writer_of(nats), nats.sum()))),
        Mistake("both numbers belong to the best order, but the writer draws an order at random",
                BOUND,
                orders_with(lambda nats: (nats.min(), nats.min()))),
        Mistake("the writer's number belongs to the best order, but the writer draws an order at "
                "random", BOUND, orders_with(lambda nats: (nats.min(), nats.mean()))),
        Mistake("only the order from left to right was written: go through all orders", BOUND,
                orders_with(lambda nats: (nats[0], nats[0]))),
        Mistake("nothing was written on the page: each guess must see the letters before it in "
                "this order", BOUND, orders_with(show=lambda order, step, place: False)),
        Mistake("each guess sees all letters but its own: this is chapter 9's "
                "pseudo-likelihood, and here a letter sees only those written before", BOUND,
                orders_with(show=lambda order, step, place: place != order[step])),
        Mistake("the letter was written before its guess, so the model saw the answer", BOUND,
                orders_with(show=lambda order, step, place: place in order[: step + 1])),
        Mistake("the page was kept from order to order: each order begins with blanks", BOUND,
                orders_with(nats_of=page_kept)),
        Mistake("these are bits: in nats the logarithm is the natural one", BOUND,
                orders_with(lambda nats: (
                    writer_of(nats) / math.log(2), nats.mean() / math.log(2)))),
        Mistake("these are nats per letter: the text as a whole is asked for", BOUND,
                lambda text, guess: tuple(
                    nats / len(text) for nats in reference_writer_and_bound(text, guess))),
        Mistake("the signs are wrong: -log p is never below 0", BOUND,
                orders_with(lambda nats: (-writer_of(nats), -nats.mean()))),
        Mistake("these are probabilities: take -log", BOUND,
                orders_with(lambda nats: (math.exp(-writer_of(nats)), math.exp(-nats.mean())))),
        Mistake("the bound has 1/n missing: of each way to hide n letters take the mean over the "
                "hidden ones, not the sum", BOUND, by_number_with(sum_of_sums)),
        Mistake("the bound is one mean over all hidden letters: first the mean for each n, then "
                "the sum over n", PEOPLE, by_number_with(one_mean)),
        Mistake("in the bound every way to hide letters counts the same, as if a coin were tossed "
                "for each: every number n must count the same", FORWARD, by_number_with(coins)),
        Mistake("the bound is per letter: it is a sum over n, with a term for each number of "
                "hidden letters", BOUND, by_number_with(mean_of_means)),
    ),
    hints=(
        "Which letters may the model see in the third step of an order?",
        "Begin every order with a page of blanks. Guess, add -log of the text's letter, then write "
        "the letter. Two means are left: the mean of the nats, and -log of the mean of exp(-nats).",
        "for order in itertools.permutations(range(len(text))): page = [None] * len(text), and at "
        "the end -math.log(np.mean(np.exp(-nats))), nats.mean()",
    ),
)  # fmt: skip


# 5: how much can be hidden, by the share of each text


def reference_right_by_share(guesses: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
    hidden = (labels != -100).sum(1)
    right = (guesses == labels).sum(1)
    quarter = (4 * hidden / lengths).ceil().long() - 1
    sums = torch.zeros(4, 2).index_add(0, quarter, torch.stack([right, hidden], 1).float())
    return 100 * sums[:, 0] / sums[:, 1]


def quarter_of(share: Tensor) -> Tensor:
    """Up to a quarter, up to a half, and so on: 0, 1, 2, 3."""
    return (4 * share).ceil().long().clamp(1, 4) - 1


def of_all(right: Tensor, hidden: Tensor, lengths: Tensor, inside: Tensor) -> Tensor:
    return (right * inside).sum(1) / (hidden * inside).sum(1)


def grouped_with(
    share: Callable[[Tensor, Tensor, int], Tensor] = lambda hidden, lengths, T: hidden / lengths,
    quarter: Callable[[Tensor], Tensor] = quarter_of,
    join: Callable[..., Tensor] = of_all,
    inside: Callable[[Tensor, Tensor], Tensor] = torch.eq,
    scale: Callable[[Tensor], Tensor] = lambda found: 100 * found,
) -> Callable[..., Tensor]:
    """Another share of a text, other quarters, another mean, or other numbers made of it."""

    def answer(guesses, labels, lengths):
        hidden, right = (labels != -100).sum(1), (guesses == labels).sum(1)
        of = quarter(share(hidden, lengths, labels.shape[1]))
        found = join(right, hidden, lengths, inside(of, torch.arange(4)[:, None]).float())
        return scale(found).float()

    return answer


def of_texts(right: Tensor, hidden: Tensor, lengths: Tensor, inside: Tensor) -> Tensor:
    return (right / hidden * inside).sum(1) / inside.sum(1)


def share_cases(seed: int) -> list[Case]:
    """Shares between the borders and on them. In the second batch a quarter has no text."""
    rng = np.random.default_rng(seed)
    cases = []
    for T, texts in (
        (14, ((8, 2), (8, 4), (12, 9), (5, 5), (11, 1), (9, 4), (10, 6), (12, 11))),
        (11, ((8, 1), (9, 2), (4, 4), (7, 6), (6, 4), (8, 6), (8, 8))),
    ):
        B = len(texts)
        guesses, labels = rng.integers(5, VOCABULARY, (B, T)), np.full((B, T), -100)
        for row, (length, hidden) in enumerate(texts):
            places = 1 + rng.permutation(length)[:hidden]
            labels[row, places] = guesses[row, places] + rng.integers(0, 2, hidden)
        lengths = torch.tensor([length for length, _ in texts])
        cases.append((torch.tensor(guesses), torch.tensor(labels), lengths))
    return cases


right_by_share = Exercise(
    name="right_by_share",
    chapter=12,
    reference=reference_right_by_share,
    cases=share_cases,
    returns={"percentages": "quarter"},
    mistakes=(
        Mistake("the texts' percentages were averaged: here every hidden token of a quarter counts "
                "the same, so add up before you divide", HOW_MUCH, grouped_with(join=of_texts)),
        Mistake("visible tokens were counted as wrong: nothing was asked there, so divide by the "
                "number of hidden tokens", HOW_MUCH, grouped_with(
                    join=lambda right, hidden, lengths, inside: of_all(
                        right, lengths, lengths, inside))),
        Mistake("every place of a row was counted, padding too: divide by the number of hidden "
                "tokens", PEOPLE, lambda guesses, labels, lengths: grouped_with(
                    join=lambda right, hidden, lengths, inside: of_all(
                        right, torch.full_like(hidden, labels.shape[1]), lengths, inside))(
                            guesses, labels, lengths)),
        Mistake("the share was taken of the whole row, with padding: a short text seems to "
                "have fewer blanks than it has, so divide by its length", PEOPLE,
                grouped_with(share=lambda hidden, lengths, T: hidden / T)),
        Mistake("[CLS] and [SEP] were counted in the share: they are never hidden, so divide by "
                "the length of the text", PEOPLE,
                grouped_with(share=lambda hidden, lengths, T: hidden / (lengths + 2))),
        Mistake("the texts were sorted by their visible share: in the first quarter, few tokens "
                "are hidden", HOW_MUCH,
                grouped_with(share=lambda hidden, lengths, T: 1 - hidden / lengths)),
        Mistake("a share on a border went into the quarter above: 25 % belongs to the first",
                HOW_MUCH, grouped_with(quarter=lambda share: (4 * share).long().clamp(max=3))),
        Mistake("a share on a border went into the quarter above, and texts in which everything "
                "is hidden were lost: they belong to the last quarter", HOW_MUCH,
                grouped_with(quarter=lambda share: (4 * share).long())),
        Mistake("the shares were rounded to the nearest quarter: a text belongs to the quarter "
                "whose end it does not exceed", HOW_MUCH, grouped_with(
                    quarter=lambda share: (4 * share).round().long().clamp(1, 4) - 1)),
        Mistake("each quarter holds all texts with fewer tokens hidden too: a text belongs to one "
                "quarter only", HOW_MUCH, grouped_with(inside=torch.le)),
        Mistake("a quarter without a text has 0 %: that claims it was all wrong, so give NaN",
                HOW_MUCH, grouped_with(scale=lambda found: 100 * found.nan_to_num(0.0))),
        Mistake("a quarter without a text has 0 %, and these are shares: give percentages, and NaN "
                "for an empty quarter", HOW_MUCH, grouped_with(
                    scale=lambda found: found.nan_to_num(0.0))),
        Mistake("these are shares between 0 and 1: give percentages", HOW_MUCH,
                grouped_with(scale=lambda found: found)),
        Mistake("this is the percentage of wrong guesses", HOW_MUCH,
                grouped_with(scale=lambda found: 100 * (1 - found))),
        Mistake("each number was divided by all hidden tokens of the batch: divide by the hidden "
                "tokens of its quarter", HOW_MUCH, grouped_with(
                    join=lambda right, hidden, lengths, inside: (right * inside).sum(1)
                    / hidden.sum())),
        Mistake("these are numbers of right guesses: divide them by the number of hidden tokens",
                HOW_MUCH, grouped_with(
                    join=lambda right, hidden, lengths, inside: (right * inside).sum(1),
                    scale=lambda found: found)),
    ),
    hints=(
        "Three numbers for each text: how many are hidden, how many of these are right, and in "
        "which quarter it is.",
        "The quarter is 4 times the share, rounded up, and counted from 0. Add right and hidden "
        "tokens by quarter, then divide. 0 divided by 0 is the NaN that you need.",
        "quarter = (4 * hidden / lengths).ceil().long() - 1, and "
        "torch.zeros(4).index_add(0, quarter, right.float())",
    ),
)  # fmt: skip


# 6: repair ancestral sampling


def reference_ancestral(
    guess: Guess, ids: Tensor, mask_id: int, order: Sequence[int], steps: int, pick: Pick
) -> Tensor:
    ids, N = ids.clone(), len(order)
    for step in range(steps):
        logits = guess(ids)
        for place in order[N * step // steps : N * (step + 1) // steps]:
            ids[place] = pick(logits[place])
    return ids


Part = Callable[[int, int, int], tuple[int, ...]]
"""N blanks, a number of steps, which step -> where its part begins and ends, as for a slice."""


def even(N: int, steps: int, step: int) -> tuple[int, int]:
    return N * step // steps, N * (step + 1) // steps


def cut_down(N: int, steps: int, step: int) -> tuple[int, int]:
    """Parts of N / steps, rounded down: what is left over belongs to none."""
    return step * (N // steps), (step + 1) * (N // steps)


def larger_first(N: int, steps: int, step: int) -> tuple[int, int]:
    """As numpy.array_split cuts."""
    size, more = divmod(N, steps)
    return step * size + min(step, more), (step + 1) * size + min(step + 1, more)


def rounded_up(N: int, steps: int, step: int) -> tuple[int, int]:
    return -(-N * step // steps), -(-N * (step + 1) // steps)


def rest_at_the_end(N: int, steps: int, step: int) -> tuple[int, int]:
    start, end = cut_down(N, steps, step)
    return start, N if step == steps - 1 else end


def cut_up(N: int, steps: int, step: int) -> tuple[int, int]:
    size = -(-N // steps)
    return step * size, (step + 1) * size


def ancestral_with(
    part: Part = even,
    arrange: Callable[[Sequence[int], int], Sequence[int]] = lambda order, T: order,
    draw_from: Callable[[Tensor, Pick], Tensor] = lambda logits, pick: pick(logits),
    row: Callable[[int], int] = lambda place: place,
    guesses: str = "each step",
) -> Callable[..., Tensor]:
    """Other parts, another order, another way to draw, another row, or more or fewer guesses."""

    def answer(guess, ids, mask_id, order, steps, pick):
        order, ids = arrange(order, len(ids)), ids.clone()
        logits = guess(ids)
        for step in range(steps):
            if guesses == "each step":
                logits = guess(ids)
            for place in order[slice(*part(len(order), steps, step))]:
                if guesses == "each place":
                    logits = guess(ids)
                ids[place] = draw_from(logits[row(place)], pick)
        return ids

    return answer


def likeliest(logits: Tensor, pick: Pick) -> Tensor:
    return logits.argmax()


def draw_blanks(T: int, V: int, masks: int, seed: int) -> tuple[Tensor, list[int]]:
    """A frame (T,) in which V is [MASK], and its blanks in random order."""
    ids = draw_ids(V, T, seed=seed)
    places = torch.randperm(T - 2, generator=torch.Generator().manual_seed(seed))[:masks] + 1
    ids[places] = V
    return ids, places.tolist()


def ancestral_cases(seed: int) -> list[Case]:
    """Parts of the same size and others, and once more steps than blanks."""
    cases = []
    for number, (masks, steps, share) in enumerate(
        ((8, 3, 0.6), (7, 4, 0.35), (3, 5, 0.8), (8, 5, 0.45), (6, 1, 0.7))
    ):
        T, V = masks + 4, 8
        ids, order = draw_blanks(T, V, masks, seed + number)
        guess = guesser(T, V, 10 * seed + number)
        cases.append((guess, ids, V, order, steps, quantile(share)))
    return cases


ancestral = Exercise(
    name="ancestral",
    chapter=12,
    reference=reference_ancestral,
    cases=ancestral_cases,
    returns={"ids": "T"},
    mistakes=(
        Mistake("blanks are left, because N // steps drops what is left over. And the likeliest "
                "token was taken: draw each with `pick`", WRITE,
                ancestral_with(cut_down, draw_from=likeliest)),
        Mistake("blanks are left, because N // steps drops what is left over: after the last step, "
                "all must be written", WRITE, ancestral_with(cut_down)),
        Mistake("the likeliest token was taken: draw with `pick`, because the bound is about a "
                "writer who draws", WRITE, ancestral_with(draw_from=likeliest)),
        Mistake("the last step writes all that is left over: the parts must be as equal as "
                "possible", WRITE, ancestral_with(rest_at_the_end)),
        Mistake("N / steps was rounded up, so the last steps have little or nothing to write: "
                "round the ends of the parts down, not their size", WRITE, ancestral_with(cut_up)),
        Mistake("the larger parts come first, as numpy's array_split makes them: here N s / steps "
                "tokens are written after step s, rounded down", WRITE,
                ancestral_with(larger_first)),
        Mistake("the ends of the parts were rounded up: round N s / steps down", WRITE,
                ancestral_with(rounded_up)),
        Mistake("every step takes the first of `order` again: go on where the last step ended, or "
                "blanks are left", WRITE, ancestral_with(
                    lambda N, steps, step: (0, even(N, steps, 0)[1]))),
        Mistake("every step draws the earlier places again: a written token stays", MASK_PREDICT,
                ancestral_with(lambda N, steps, step: (0, even(N, steps, step)[1]))),
        Mistake("every step draws all blanks again: each step writes its part, and it stays",
                MASK_PREDICT, ancestral_with(lambda N, steps, step: (0, N))),
        Mistake("one token was written in each step, so blanks are left: a step writes its part of "
                "the N blanks", WRITE, ancestral_with(lambda N, steps, step: (step, step + 1))),
        Mistake("the model guessed anew for every token: make one guess in each step, for all its "
                "places, or few steps are no faster than many", WRITE,
                ancestral_with(guesses="each place")),
        Mistake("all blanks were written from one guess, so no token sees another: guess again in "
                "each step", WRITE, ancestral_with(guesses="once")),
        Mistake("the blanks were filled from left to right: take them in the order given", WRITE,
                ancestral_with(arrange=lambda order, T: sorted(order))),
        Mistake("a step takes every place of `order` that is `steps` after the last: take the "
                "next part of `order` in one piece", WRITE,
                ancestral_with(lambda N, steps, step: (step, N, steps))),
        Mistake("the blanks were filled from the end of `order`", WRITE,
                ancestral_with(arrange=lambda order, T: order[::-1])),
        Mistake("the whole text was drawn in each step, the given tokens too: only the blanks may "
                "change, and each of them once", WRITE, ancestral_with(
                    lambda N, steps, step: (0, N), arrange=lambda order, T: list(range(T)))),
        Mistake("the row of the place before was read, as in a GPT: BERT guesses a token at its "
                "own place", WRITE, ancestral_with(row=lambda place: place - 1)),
        Mistake("`pick` was given probabilities: it takes logits, and makes its own softmax",
                WRITE, ancestral_with(draw_from=lambda logits, pick: pick(logits.softmax(-1)))),
    ),
    hints=(
        "Ten blanks in four steps: how many does each step write, and how many does N // steps "
        "write in all?",
        "Round the ends of the parts, not their size: after step s, counted from 1, N * s // steps "
        "are written, so after the last all are. And whose job is it to draw?",
        "for place in order[N * step // steps : N * (step + 1) // steps]: "
        "ids[place] = pick(logits[place])",
    ),
)  # fmt: skip


# 7: by confidence


def reference_by_confidence(guess: Guess, ids: Tensor, mask_id: int, steps: int) -> Tensor:
    ids = ids.clone()
    N = int((ids == mask_id).sum())
    for step in range(steps):
        blanks = (ids == mask_id).nonzero()[:, 0]
        sure, best = guess(ids)[blanks].softmax(-1).max(-1)
        keep = sure.topk(N * (step + 1) // steps - N * step // steps).indices
        ids[blanks[keep]] = best[keep]
    return ids


Number = Callable[[int, int, int, int], int]
"""N blanks at first, steps, which step, how many are left -> how many this step writes."""


def size_of(part: Part) -> Number:
    """How many a step writes, by where its part begins and ends."""

    def number(N, steps, step, left):
        return len(range(*part(N, steps, step)))

    return number


equal_parts = size_of(even)


def by_cosine(N: int, steps: int, step: int, left: int) -> int:
    """As in MaskGIT: few tokens at first, and then more and more."""
    return left - int(N * math.cos(math.pi / 2 * (step + 1) / steps) + 1e-9)


def confident_with(
    number: Number = equal_parts,
    order: Callable[[Tensor], Tensor] = lambda sure: sure.argsort(descending=True),
    measure: Callable[[Tensor], Tensor] = largest_share,
    measure_once: bool = False,
) -> Callable[..., Tensor]:
    """Other numbers, another order, another measure, or one that is taken in the first step."""

    def answer(guess, ids, mask_id, steps):
        ids, at_first = ids.clone(), measure(guess(ids))
        N = int((ids == mask_id).sum())
        for step in range(steps):
            blanks = (ids == mask_id).nonzero()[:, 0]
            logits = guess(ids)[blanks]
            sure = at_first[blanks] if measure_once else measure(logits)
            keep = order(sure)[: number(N, steps, step, len(blanks))]
            ids[blanks[keep]] = logits[keep].argmax(-1)
        return ids

    return answer


def over_all_places(rewrite: bool) -> Callable[..., Tensor]:
    """Given and written tokens are among the surest: they are written over, or use up a turn."""

    def answer(guess, ids, mask_id, steps):
        ids = ids.clone()
        N = int((ids == mask_id).sum())
        for step in range(steps):
            sure, best = guess(ids).softmax(-1).max(-1)
            keep = sure.topk(equal_parts(N, steps, step, N)).indices
            if not rewrite:
                keep = keep[ids[keep] == mask_id]
            ids[keep] = best[keep]
        return ids

    return answer


def written_anew(guess: Guess, ids: Tensor, mask_id: int, steps: int) -> Tensor:
    """In each step the surest of all places that were blank at first, written or not."""
    ids = ids.clone()
    places = (ids == mask_id).nonzero()[:, 0]
    for step in range(steps):
        sure, best = guess(ids)[places].softmax(-1).max(-1)
        keep = sure.topk(even(len(places), steps, step)[1]).indices
        ids[places[keep]] = best[keep]
    return ids


def confident_cases(seed: int) -> list[Case]:
    """Parts of the same size and others, and once more steps than blanks."""
    cases = []
    for number, (masks, steps) in enumerate(
        ((8, 3), (7, 4), (3, 5), (8, 5), (10, 4), (14, 4), (9, 3), (11, 6), (14, 8))
    ):
        T, V = masks + 4, 7
        ids, _ = draw_blanks(T, V, masks, seed + number)
        cases.append((guesser(T, V, 10 * seed + number), ids, V, steps))
    return cases


by_confidence = Exercise(
    name="by_confidence",
    chapter=12,
    reference=reference_by_confidence,
    cases=confident_cases,
    returns={"ids": "T"},
    mistakes=(
        Mistake("given and written tokens were among the surest, and were written over: only "
                "blanks take part", WRITE, over_all_places(rewrite=True)),
        Mistake("given and written tokens were among the surest and used up the step's number, so "
                "blanks are left: choose among the blanks", WRITE, over_all_places(rewrite=False)),
        Mistake("written tokens were guessed again: what is written stays, and only blanks take "
                "part in a step", MASK_PREDICT, written_anew),
        Mistake("this is mask-predict: it fills all blanks and hides the least sure again, but "
                "here a written token stays", MASK_PREDICT, reference_mask_predict),
        Mistake("the least sure were written first: keep the surest", WRITE,
                confident_with(order=torch.argsort)),
        Mistake("the blanks were filled from left to right: keep the surest, wherever they are",
                WRITE, confident_with(order=lambda sure: torch.arange(len(sure)))),
        Mistake("the blanks were filled from right to left: keep the surest, wherever they are",
                WRITE, confident_with(order=lambda sure: torch.arange(len(sure)).flip(0))),
        Mistake("all blanks were written in the first step: guess again after each part", WRITE,
                confident_with(lambda N, steps, step, left: left)),
        Mistake("blanks are left, because N // steps drops what is left over: after the last step "
                "all must be written", WRITE, confident_with(
                    size_of(cut_down))),
        Mistake("the last step writes all that is left over: the parts must be as equal as "
                "possible", WRITE, confident_with(size_of(rest_at_the_end))),
        Mistake("N / steps was rounded up, so the last steps have little or nothing to write: "
                "divide first, and round what each step has written in all", WRITE,
                confident_with(size_of(cut_up))),
        Mistake("the blanks that are left were divided by the steps that are left: those parts "
                "are even as well, but N s / steps tokens must be written after step s", WRITE,
                confident_with(lambda N, steps, step, left: left // (steps - step))),
        Mistake("the larger parts come first, as numpy's array_split makes them: here N s / steps "
                "tokens are written after step s, rounded down", WRITE,
                confident_with(size_of(larger_first))),
        Mistake("the ends of the parts were rounded up: round N s / steps down", WRITE,
                confident_with(size_of(rounded_up))),
        Mistake("in step s, N s / steps tokens were written: that is how many are written in all "
                "by then, so subtract what the steps before have written", WRITE,
                confident_with(lambda N, steps, step, left: even(N, steps, step)[1])),
        Mistake("one token was written in each step, so blanks are left: a step writes its part of "
                "the N blanks", WRITE, confident_with(lambda N, steps, step, left: 1)),
        Mistake("the numbers follow a cosine, as in MaskGIT: here the parts are equal", WRITE,
                confident_with(by_cosine)),
        Mistake("the probabilities of the first step decided all steps: every written token "
                "changes them, so measure again in each step", WRITE,
                confident_with(measure_once=True)),
        Mistake("the largest logit was compared: it says nothing without the others, so take the "
                "softmax first", WRITE, confident_with(measure=lambda logits: logits.amax(-1))),
        Mistake("the lead over the second token was compared: sure means the probability of the "
                "likeliest", WRITE, confident_with(measure=lead)),
        Mistake("the entropy was compared: sure means the probability of the likeliest token",
                WRITE, confident_with(measure=lambda logits: (
                    logits.softmax(-1) * logits.log_softmax(-1)).sum(-1))),
        Mistake("the softmax goes over the places: probabilities must add up to 1 over the "
                "vocabulary", WRITE, confident_with(
                    measure=lambda logits: logits.softmax(0).amax(-1))),
    ),
    hints=(
        "Which places take part in a step, and what does the step know of each?",
        "The places that are [MASK] now. One guess gives each its likeliest token and how probable "
        "that is. Write as many of the surest as are due, and look again.",
        "sure, best = guess(ids)[blanks].softmax(-1).max(-1), then "
        "keep = sure.topk(N * (step + 1) // steps - N * step // steps).indices",
    ),
)  # fmt: skip


EXERCISES = (
    equal_distances,
    hide_at,
    text_by_text,
    writer_and_bound,
    right_by_share,
    ancestral,
    by_confidence,
)


# Blanks in the chapter


def reference_film(ids: Tensor, u: Tensor, times: Tensor) -> Tensor:
    return torch.where(u < times[:, None], MASK, ids)


def film_cases(seed: int) -> list[Case]:
    """Times that rise, times that fall, and one that equals a token's u."""
    cases: list[Case] = []
    for number, (T, times) in enumerate(((9, (0.0, 0.3, 0.7, 1.0)), (5, (0.9, 0.4)))):
        (u,) = draw((T,), seed=seed + number)
        u = (u.argsort().argsort() + 0.5) / T  # evenly from 0 to 1, in random order
        ids = draw_ids(VOCABULARY - 5, T, seed=seed + number) + 5
        u[1] = times[-2]
        cases.append((ids, u, torch.tensor(times)))
    return cases


def by_share(ids: Tensor, times: Tensor, rank: Tensor) -> Tensor:
    """A fixed share of the tokens is hidden, by rank."""
    return torch.where(rank < (times[:, None] * len(ids)).round(), MASK, ids)


film = Exercise(
    name="film",
    chapter=12,
    reference=reference_film,
    cases=film_cases,
    returns={"rows": "times T"},
    mistakes=(
        Mistake("tokens and blanks are swapped: a token is hidden if its u is below t, so at t = 0 "
                "nothing is hidden", FORWARD,
                lambda ids, u, times: torch.where(u >= times[:, None], MASK, ids)),
        Mistake("a token whose u equals t is hidden too: it disappears only when t has passed its "
                "u", FORWARD, lambda ids, u, times: torch.where(u <= times[:, None], MASK, ids)),
        Mistake("u was compared with 1 - t, so the text fades in instead of out", FORWARD,
                lambda ids, u, times: torch.where(u < 1 - times[:, None], MASK, ids)),
        Mistake("hidden tokens became 0, which is [PAD]: the sign for a blank is MASK", FORWARD,
                lambda ids, u, times: ids * (u >= times[:, None])),
        Mistake("every row is the same: compare u with each of the times, which needs "
                "`times[:, None]`", FORWARD,
                lambda ids, u, times: torch.where(u < times[-1], MASK, ids).repeat(len(times), 1)),
        Mistake("a fixed share of the tokens is hidden in each row: here every token is compared "
                "with t, and the number is left to chance", FORWARD,
                lambda ids, u, times: by_share(ids, times, u.argsort().argsort())),
        Mistake("the tokens disappear from left to right: each of them has a u of its own", FORWARD,
                lambda ids, u, times: by_share(ids, times, torch.arange(len(ids)))),
    ),
)  # fmt: skip


def reference_clock_loss(nats: Tensor, hidden: Tensor, t: Tensor) -> Tensor:
    return ((nats * hidden).sum(1) / t).mean() / nats.shape[1]


def clock_loss_cases(seed: int) -> list[Case]:
    """Some texts hide nothing, and their loss is 0."""
    cases: list[Case] = []
    for number, (B, T) in enumerate(((4, 7), (3, 5))):
        nats, u, t = draw((B, T), (B, T), (B,), seed=seed + number)
        t = 0.15 + 0.8 * t.sigmoid()
        hidden = u.sigmoid() < t[:, None]
        hidden[0] = False
        cases.append((nats.abs(), hidden, t))
    return cases


def clock_with(
    weight: Callable[[Tensor, Tensor], Tensor] = lambda hidden, t: 1 / t,
) -> Callable[..., Tensor]:
    """Another weight of each text: hidden (B, T), t (B,) -> (B,)."""
    return lambda nats, hidden, t: (
        ((nats * hidden).sum(1) * weight(hidden, t)).mean() / nats.shape[1]
    )


clock_loss = Exercise(
    name="clock_loss",
    chapter=12,
    reference=reference_clock_loss,
    cases=clock_loss_cases,
    returns={"the loss": ""},
    run=plain_numbers,
    mistakes=(
        Mistake("the weight 1/t is missing, so a text with many blanks counts more than a text "
                "with few", BOUND, clock_with(lambda hidden, t: torch.ones_like(t))),
        Mistake("the nats were multiplied by t: divide by it", BOUND,
                clock_with(lambda hidden, t: t)),
        Mistake("these are nats of a whole text: divide by the number of its tokens", BOUND,
                lambda nats, hidden, t: ((nats * hidden).sum(1) / t).mean()),
        Mistake("visible tokens count too: multiply by `hidden` first", BOUND,
                lambda nats, hidden, t: (nats.sum(1) / t).mean() / nats.shape[1]),
        Mistake("this counts the visible tokens and leaves out the hidden ones", BOUND,
                lambda nats, hidden, t: ((nats * ~hidden).sum(1) / t).mean() / nats.shape[1]),
        Mistake("the weight is 1/n, with the number of hidden tokens. That gives the same bound, "
                "but here you are asked for the clock's 1/t", BOUND,
                lambda nats, hidden, t: (
                    (nats * hidden).sum(1) / hidden.sum(1).clamp(min=1)).mean()),
        Mistake("each text was divided by n and by t: one of the two weights is enough", BOUND,
                lambda nats, hidden, t: (
                    (nats * hidden).sum(1) / hidden.sum(1).clamp(min=1) / t).mean()),
        Mistake("this is one mean over all hidden tokens of the batch: weigh each text by 1/t",
                PEOPLE, lambda nats, hidden, t: (nats * hidden).sum() / hidden.sum()),
        Mistake("the texts were added up: take their mean", BOUND,
                lambda nats, hidden, t: ((nats * hidden).sum(1) / t).sum() / nats.shape[1]),
        Mistake("the mean of all texts was divided by the mean t: each text has its own t", BOUND,
                lambda nats, hidden, t: (nats * hidden).mean() / t.mean()),
    ),
)  # fmt: skip


def reference_step_back(page: Tensor, drawn: Tensor, lots: Tensor, t: float, s: float) -> Tensor:
    return torch.where((page == MASK) & (lots < (t - s) / t), drawn, page)


def step_back_cases(seed: int) -> list[Case]:
    """In the middle, at the beginning and in the last step, in which everything is written."""
    cases: list[Case] = []
    for number, (t, s) in enumerate(((0.8, 0.5), (1.0, 0.75), (0.25, 0.0), (0.5, 0.3))):
        T = 24
        (lots,) = draw((T,), seed=seed + number)
        lots = (lots.argsort().argsort() + 0.5) / T
        tokens = draw_ids(VOCABULARY - 5, 2 * T, seed=seed + number) + 5
        page, drawn = tokens[:T].clone(), tokens[T:]
        (u,) = draw((T,), seed=seed + number + 10)
        page[u.argsort()[: round(t * T)]] = MASK
        cases.append((page, drawn, lots, t, s))
    return cases


def back_with(share: Callable[[float, float], float]) -> Callable[..., Tensor]:
    """Another probability that a blank is written in the step from t to s."""
    return lambda page, drawn, lots, t, s: torch.where(
        (page == MASK) & (lots < share(t, s)), drawn, page
    )


step_back = Exercise(
    name="step_back",
    chapter=12,
    reference=reference_step_back,
    cases=step_back_cases,
    returns={"page": "T"},
    mistakes=(
        Mistake("tokens that were written already are written again: only blanks change", WRITE,
                lambda page, drawn, lots, t, s: torch.where(lots < (t - s) / t, drawn, page)),
        Mistake("the probability is t - s: that is the share of all tokens, but only those still "
                "hidden at t can appear, so divide by t", WRITE, back_with(lambda t, s: t - s)),
        Mistake("the probability is s / t, with which a blank stays hidden", WRITE,
                back_with(lambda t, s: s / t)),
        Mistake("the probability is (t - s) / (1 - s), with which the forward process hides a "
                "visible token", WRITE, back_with(lambda t, s: (t - s) / (1 - s) if s < 1 else 1)),
        Mistake("the probability is 1 - s, as if the page had been blank just before: the step "
                "begins at t", WRITE, back_with(lambda t, s: 1 - s)),
        Mistake("the probability is (t - s) / s: divide by t, where the step begins", WRITE,
                back_with(lambda t, s: (t - s) / s if s > 0 else 1.0)),
        Mistake("every blank is written in this one step: compare `lots` with (t - s) / t", WRITE,
                back_with(lambda t, s: 1.0)),
        Mistake("the page is as it was: a blank whose lot is low enough takes its drawn token",
                WRITE, back_with(lambda t, s: 0.0)),
        Mistake("drawn and page are swapped: `torch.where` takes the value for True first", WRITE,
                lambda page, drawn, lots, t, s: torch.where(
                    (page == MASK) & (lots < (t - s) / t), page, drawn)),
    ),
)  # fmt: skip

BLANKS = (film, clock_loss, step_back)
