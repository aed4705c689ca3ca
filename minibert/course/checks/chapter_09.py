"""The exercises of chapter 9, generation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from minibert.course.checks.engine import (
    Case,
    Exercise,
    Mistake,
    draw,
    draw_ids,
    plain_numbers,
    two_decimals,
)

LEFT = "Left to right"
SHARES = "Temperature, top-k, top-p"
GIBBS = "Gibbs sampling"
PASSES = "Mask-predict: a few passes"
FRAME = "Infilling a frame"
LIKELY = "How likely is a sentence?"

Guess = Callable[[Tensor], Tensor]
"""What a masked language model does: ids (T,) -> logits (T, V)."""


def guesser(T: int, V: int, seed: int) -> Guess:
    """A small model: each token, [MASK] (whose id is V) too, speaks for others by its distance."""
    (table,) = draw((2 * T - 1, V + 1, V), seed=seed)
    table *= 2 / math.sqrt(T)
    places = torch.arange(T)

    def guess(ids: Tensor) -> Tensor:
        if ids.shape != (T,):
            raise ValueError(f"guess takes ids of the shape ({T},), not {tuple(ids.shape)}")
        return table[places[:, None] - places + T - 1, ids].sum(1)

    return guess


# 1: the two ends of temperature


temperature_limits = Exercise(
    name="temperature_limits",
    chapter=9,
    reference=(0.69, 1.39),
    cases=lambda seed: [()],
    returns={"the answer": ""},
    run=two_decimals,
    mistakes=(
        Mistake("near 0 not one token is left but two: their logits are the same, so they share",
                SHARES, (0, math.log(4))),
        Mistake("the two ends are swapped: a low temperature makes shares sharper", SHARES,
                (math.log(4), math.log(2))),
        Mistake("these are bits, by log2: in nats it is the natural logarithm", SHARES, (1, 2)),
        Mistake("this logarithm is to the base of 10: in nats it is the natural one", SHARES,
                (math.log10(2), math.log10(4))),
        Mistake("these are numbers of tokens: the entropy is the logarithm of each", SHARES,
                (2, 4)),
        Mistake("these are shares of the likeliest token: the entropy is asked for", SHARES,
                (0.5, 0.25)),
        Mistake("a temperature without end makes logits equal, and shares too: of four tokens the "
                "entropy is at most log 4", SHARES, (math.log(2), math.inf)),
        Mistake("near 0 two tokens share, and far up the entropy of four tokens is at most log 4",
                SHARES, (0, math.inf)),
        Mistake("far up nothing is decided: the entropy is then the greatest, not 0", SHARES,
                (math.log(2), 0)),
        Mistake("the sign is wrong: an entropy is never below 0", SHARES,
                (-math.log(2), -math.log(4))),
        Mistake("that is a temperature of 1, twice: shares depend on the temperature", SHARES,
                (0.97, 0.97)),
        Mistake("far up all four tokens come to the same share, not three of them", SHARES,
                (math.log(2), math.log(3))),
    ),
    hints=(
        "Divide the logits by 0.01, and by 100. Which shares come out of the softmax?",
        "Near 0 only what is greatest is left, however many tokens that are. Far up all logits are "
        "as good as 0.",
        "The entropy of n equal shares is log n",
    ),
)  # fmt: skip


# 2: temperature and top-k


def reference_top_k(logits: Tensor, temperature: float, k: int) -> Tensor:
    scaled = logits / temperature
    last = scaled.topk(min(k, logits.shape[-1])).values[:, -1:]
    return scaled.masked_fill(scaled < last, -torch.inf).softmax(-1)


def likeliest(logits: Tensor, k: int) -> Tensor:
    """(M, V) -> bool (M, V): the k largest of each row, or all where k is larger than V."""
    ids = logits.topk(min(max(k, 0), logits.shape[-1])).indices
    return torch.zeros_like(logits).scatter(-1, ids, 1.0).bool()


def divided(logits: Tensor, temperature: float) -> Tensor:
    return logits / temperature


def cut_and_softmax(scaled: Tensor, kept: Tensor) -> Tensor:
    return scaled.masked_fill(~kept, -torch.inf).softmax(-1)


def top_k_with(
    scale: Callable[[Tensor, float], Tensor] = divided,
    keep: Callable[[Tensor, int], Tensor] = likeliest,
    finish: Callable[[Tensor, Tensor], Tensor] = cut_and_softmax,
) -> Callable[..., Tensor]:
    """Another temperature, another choice, or other shares of what is chosen."""
    return lambda logits, temperature, k: finish(scale(logits, temperature), keep(logits, k))


def of_all_rows(logits: Tensor, k: int) -> Tensor:
    """The k largest of the whole batch."""
    return likeliest(logits.reshape(1, -1), k).view_as(logits)


def first_row_for_all(logits: Tensor, k: int) -> Tensor:
    return likeliest(logits[:1], k).expand_as(logits)


def first_ids(logits: Tensor, k: int) -> Tensor:
    return (torch.arange(logits.shape[-1]) < k).expand_as(logits)


def top_k_cases(seed: int) -> list[Case]:
    cases = []
    for M, V, temperature, k in ((2, 6, 0.5, 3), (3, 5, 2.0, 2), (2, 4, 0.7, 9), (4, 7, 1.5, 4)):
        (logits,) = draw((M, V), seed=seed + V)
        cases.append((2 * logits + 1, temperature, k))
    return cases


top_k = Exercise(
    name="top_k",
    chapter=9,
    reference=reference_top_k,
    cases=top_k_cases,
    returns={"shares": "M V"},
    mistakes=(
        Mistake("logits were multiplied by the temperature: divided by it, a low one is sharper",
                SHARES, top_k_with(lambda x, t: x * t)),
        Mistake("the temperature is not there, or it divides shares, which are then made whole "
                "again: it divides logits", SHARES, top_k_with(lambda x, t: x)),
        Mistake("the temperature was used twice", SHARES, top_k_with(lambda x, t: x / t / t)),
        Mistake("the root of the temperature was taken: that is attention's scale", SHARES,
                top_k_with(lambda x, t: x / math.sqrt(t))),
        Mistake("logits of 0 are no zeros after the softmax: what is cut off has to be -inf",
                SHARES, top_k_with(finish=lambda x, kept: (x * kept).softmax(-1))),
        Mistake("what is left does not add up to 1: divide by its sum, or cut logits, not shares",
                SHARES, top_k_with(finish=lambda x, kept: x.softmax(-1) * kept)),
        Mistake("what was cut off went to the kept tokens evenly: it goes by their shares", SHARES,
                top_k_with(finish=lambda x, kept: kept * (
                    x.softmax(-1) + (1 - (x.softmax(-1) * kept).sum(-1, keepdim=True))
                    / kept.sum(-1, keepdim=True)))),
        Mistake("shares went through a softmax once more, and are nearly even now", SHARES,
                top_k_with(finish=lambda x, kept: cut_and_softmax(x.softmax(-1), kept))),
        Mistake("the kept tokens have all the same share: the softmax is missing", SHARES,
                top_k_with(finish=lambda x, kept: kept / kept.sum(-1, keepdim=True))),
        Mistake("all tokens are there: nothing was cut off", SHARES,
                top_k_with(finish=lambda x, kept: x.softmax(-1))),
        Mistake("only the likeliest is left: that is k = 1, or a temperature of 0", SHARES,
                top_k_with(finish=lambda x, kept: likeliest(x, 1).float())),
        Mistake("these are logarithms of shares", SHARES,
                top_k_with(finish=lambda x, kept: cut_and_softmax(x, kept).log())),
        Mistake("these are logits: the softmax is missing", SHARES,
                top_k_with(finish=lambda x, kept: x.masked_fill(~kept, -torch.inf))),
        Mistake("shares add up to 1 over the places, not over the vocabulary: wrong dim", SHARES,
                top_k_with(finish=lambda x, kept: x.masked_fill(
                    ~kept, -torch.inf).softmax(0).nan_to_num(0.0))),
        Mistake("one token too many is kept: the k-th itself is the last", SHARES,
                top_k_with(keep=lambda x, k: likeliest(x, k + 1))),
        Mistake("one token too few is kept: the k-th itself stays", SHARES,
                top_k_with(keep=lambda x, k: likeliest(x, min(k, x.shape[-1]) - 1))),
        Mistake("the k least likely were kept", SHARES,
                top_k_with(keep=lambda x, k: likeliest(-x, k))),
        Mistake("the k likeliest were cut off, and the rest kept", SHARES,
                top_k_with(keep=lambda x, k: ~likeliest(x, min(k, x.shape[-1] - 1)))),
        Mistake("the k largest of all places were kept: each place has its own k", SHARES,
                top_k_with(keep=of_all_rows, finish=lambda x, kept: cut_and_softmax(
                    x, kept).nan_to_num(0.0))),
        Mistake("each place was given the tokens that the first one kept", SHARES,
                top_k_with(keep=first_row_for_all)),
        Mistake("the first k of the vocabulary were kept: it is the likeliest that count", SHARES,
                top_k_with(keep=first_ids)),
    ),
    hints=(
        "Three steps, and all of them on logits but the last.",
        "Divide by the temperature, put -inf where a logit is smaller than the k-th largest of its "
        "row, then the softmax. k may be larger than the vocabulary.",
        "last = scaled.topk(min(k, V)).values[:, -1:]; "
        "scaled.masked_fill(scaled < last, -torch.inf).softmax(-1)",
    ),
)  # fmt: skip


# 3: top-p


def reference_top_p(logits: Tensor, p: float) -> Tensor:
    ordered, ids = logits.softmax(-1).sort(descending=True)
    before = ordered.cumsum(-1) - ordered
    kept = ordered * (before < p)
    return torch.zeros_like(kept).scatter(-1, ids, kept / kept.sum(-1, keepdim=True))


def ranks(shares: Tensor) -> Tensor:
    """(M, V) -> the place of each token when the likeliest comes first."""
    return shares.argsort(descending=True).argsort()


def mass_before(shares: Tensor) -> Tensor:
    """(M, V) -> what the tokens that are likelier have together."""
    above = shares[:, None, :] > shares[:, :, None]
    return (above * shares[:, None, :]).sum(-1)


def whole(shares: Tensor) -> Tensor:
    """Rows that add up to 1."""
    return shares / shares.sum(-1, keepdim=True)


def nucleus(shares: Tensor, p: float) -> Tensor:
    return mass_before(shares) < p


def top_p_with(
    keep: Callable[[Tensor, float], Tensor] = nucleus,
    finish: Callable[[Tensor], Tensor] = whole,
) -> Callable[..., Tensor]:
    """Another choice by shares, or another way to make them whole."""

    def answer(logits, p):
        shares = logits.softmax(-1)
        return finish(shares * keep(shares, p))

    return answer


def left_in_order(logits: Tensor, p: float) -> Tensor:
    return reference_top_p(logits, p).sort(descending=True).values


def gathered(logits: Tensor, p: float) -> Tensor:
    ids = logits.argsort(descending=True)
    return left_in_order(logits, p).gather(-1, ids)


def first_places(logits: Tensor, p: float) -> Tensor:
    """How many are kept is right, and they are the first of the vocabulary."""
    shares = logits.softmax(-1)
    count = nucleus(shares, p).sum(-1, keepdim=True)
    return whole(shares * (torch.arange(shares.shape[-1]) < count))


def zeros_in_the_softmax(logits: Tensor, p: float) -> Tensor:
    return (logits * nucleus(logits.softmax(-1), p)).softmax(-1)


def one_number_for_all(shares: Tensor, p: float) -> Tensor:
    """As many tokens everywhere as the first place keeps."""
    return ranks(shares) < nucleus(shares, p)[0].sum()


def top_p_cases(seed: int) -> list[Case]:
    """Even and sharp rows; in some the first token is more than p."""
    cases = []
    for M, V, p, sharp in ((3, 6, 0.8, 1.0), (4, 5, 0.3, 1.5), (3, 8, 0.9, 2.0), (2, 4, 0.55, 0.5)):
        (logits,) = draw((M, V), seed=seed + V)
        cases.append((sharp * logits - 1, p))
    return cases


top_p = Exercise(
    name="top_p",
    chapter=9,
    reference=reference_top_p,
    cases=top_p_cases,
    returns={"shares": "M V"},
    mistakes=(
        Mistake("the token with which p is reached was cut off, and where the first alone has more "
                "than p none is left, so 0/0, NaN: keep it", SHARES,
                top_p_with(lambda s, p: mass_before(s) + s <= p)),
        Mistake("the token with which p is reached was cut off: the kept ones should have at least "
                "p together", SHARES, top_p_with(
                    lambda s, p: (mass_before(s) + s <= p) | (ranks(s) == 0))),
        Mistake("one token too many is kept: the last token kept is the one that reaches p", SHARES,
                top_p_with(lambda s, p: ranks(s) <= nucleus(s, p).sum(-1, keepdim=True))),
        Mistake("shares were added up in the order of the vocabulary: sort them first", SHARES,
                top_p_with(lambda s, p: s.cumsum(-1) - s < p)),
        Mistake("the least likely came first: sort from the largest down", SHARES,
                top_p_with(lambda s, p: (s[:, None, :] < s[:, :, None]).mul(
                    s[:, None, :]).sum(-1) < p)),
        Mistake("what is left does not add up to 1: divide by its sum", SHARES,
                top_p_with(finish=lambda kept: kept)),
        Mistake("the kept shares were divided by p: they have a little more than p together",
                SHARES, lambda logits, p: top_p_with(finish=lambda kept: kept)(logits, p) / p),
        Mistake("the shares are right, but sorted: bring each back to its token, by scatter",
                SHARES, left_in_order),
        Mistake("sorting was done once more, not undone: gather takes from the ids, scatter puts "
                "there", SHARES, gathered),
        Mistake("the mask is in sorted order, but the shares are in the order of the "
                "vocabulary", SHARES,
                first_places),
        Mistake("logits of 0 are no zeros after the softmax: what is cut off has to be -inf",
                SHARES, zeros_in_the_softmax),
        Mistake("tokens with a share of at least p were kept: it is their sum that p is about",
                SHARES, top_p_with(lambda s, p: s >= p, lambda kept: whole(kept).nan_to_num(0.0))),
        Mistake("tokens with a share of at least p were kept, where there are none NaN: it is "
                "their sum that p is about", SHARES, top_p_with(lambda s, p: s >= p)),
        Mistake("tokens with p times the largest share were kept: that is min-p, another method",
                SHARES, top_p_with(lambda s, p: s >= p * s.amax(-1, keepdim=True))),
        Mistake("p of the vocabulary was kept: p is a share of the probability, not of tokens",
                SHARES, top_p_with(lambda s, p: ranks(s) < math.ceil(p * s.shape[-1]))),
        Mistake("1 - p was kept, not p", SHARES, lambda logits, p: reference_top_p(logits, 1 - p)),
        Mistake("the nucleus was cut off and the tail kept", SHARES,
                top_p_with(lambda s, p: ~nucleus(s, p))),
        Mistake("logits were added up, not shares: the softmax comes first", SHARES,
                lambda logits, p: whole(logits.softmax(-1) * (mass_before(logits) < p))),
        Mistake("every place keeps as many tokens as the first: each has its own nucleus",
                SHARES, top_p_with(one_number_for_all)),
        Mistake("the kept tokens have all the same share: they keep theirs, made whole", SHARES,
                top_p_with(finish=lambda kept: whole((kept > 0).float()))),
        Mistake("the kept shares went through a softmax once more: divide them by their sum",
                SHARES, top_p_with(finish=lambda kept: kept.masked_fill(
                    kept == 0, -torch.inf).softmax(-1))),
        Mistake("all tokens are there: nothing was cut off", SHARES,
                lambda logits, p: logits.softmax(-1)),
    ),
    hints=(
        "Sort the shares of a row. What do the tokens before this one have together, and when is "
        "this one still needed?",
        "A token is kept if what comes before it is less than p: so the first always is. Then make "
        "the shares whole, and bring them back to where they came from.",
        "ordered.cumsum(-1) - ordered < p; and "
        "torch.zeros_like(shares).scatter(-1, ids, kept / kept.sum(-1, keepdim=True))",
    ),
)  # fmt: skip


# 4: repair a sweep of Gibbs sampling

Pick = Callable[[Tensor], Tensor]
"""Logits (V,) -> the id that is drawn."""


def reference_gibbs(
    guess: Guess, ids: Tensor, places: Sequence[int], mask_id: int, pick: Pick
) -> Tensor:
    ids = ids.clone()
    for place in places:
        ids[place] = mask_id
        ids[place] = pick(guess(ids)[place])
    return ids


def gibbs_with(
    hide: bool = True,
    row: Callable[[int], int] = lambda place: place,
    order: Callable[[Sequence[int], int], Sequence[int]] = lambda places, T: places,
    draw_from: Callable[[Tensor, Pick], Tensor] = lambda logits, pick: pick(logits),
) -> Callable[..., Tensor]:
    """Nothing hidden; another row of logits; another order of places; another way to draw."""

    def answer(guess, ids, places, mask_id, pick):
        ids = ids.clone()
        for place in order(places, len(ids)):
            if hide:
                ids[place] = mask_id
            ids[place] = draw_from(guess(ids)[row(place)], pick)
        return ids

    return answer


def hidden_first(at_once: bool) -> Callable[..., Tensor]:
    """All places are masked, and then drawn from one guess, or one after the other."""

    def answer(guess, ids, places, mask_id, pick):
        ids = ids.clone()
        ids[list(places)] = mask_id
        logits = guess(ids)
        for place in places:
            ids[place] = pick((logits if at_once else guess(ids))[place])
        return ids

    return answer


def from_the_old_text(hide: bool) -> Callable[..., Tensor]:
    """No place sees what was drawn before it."""

    def answer(guess, ids, places, mask_id, pick):
        new = ids.clone()
        for place in places:
            old = ids.clone()
            if hide:
                old[place] = mask_id
            new[place] = pick(guess(old)[place])
        return new

    return answer


def masks_kept(written: bool) -> Callable[..., Tensor]:
    """Masks stay until the end, and are then written over, or not."""

    def answer(guess, ids, places, mask_id, pick):
        ids, new = ids.clone(), ids.clone()
        for place in places:
            ids[place] = mask_id
            new[place] = pick(guess(ids)[place])
        return new if written else ids

    return answer


def quantile(share: float) -> Pick:
    """A draw that is the same each time: the token in which this share of the whole is reached."""
    return lambda logits: (logits.softmax(-1).cumsum(-1) < share).sum().clamp(max=len(logits) - 1)


def gibbs_cases(seed: int) -> list[Case]:
    cases = []
    for number, share in enumerate((0.3, 0.5, 0.75, 0.9)):
        T, V = 6 + number, 8
        places = (torch.randperm(T - 2, generator=torch.Generator().manual_seed(seed + T)) + 1)[:4]
        ids = draw_ids(V, T, seed=seed + T)
        cases.append((guesser(T, V, seed + T), ids, places.tolist(), V, quantile(share)))
    return cases


gibbs_sweep = Exercise(
    name="gibbs_sweep",
    chapter=9,
    reference=reference_gibbs,
    cases=gibbs_cases,
    returns={"ids": "T"},
    mistakes=(
        Mistake("the model still sees the token that it is to draw anew: mask it first", GIBBS,
                gibbs_with(hide=False)),
        Mistake("nothing is masked, and no place sees what was drawn before it", GIBBS,
                from_the_old_text(hide=False)),
        Mistake("all places were masked, and drawn from one guess: none sees what the others drew",
                GIBBS, hidden_first(at_once=True)),
        Mistake("all places were masked first, and filled one after the other: that is filling, in "
                "Gibbs sampling every other token is seen", GIBBS, hidden_first(at_once=False)),
        Mistake("every place sees the old text: what was drawn before it counts already", GIBBS,
                from_the_old_text(hide=True)),
        Mistake("places stay masked until the end: write each before the next", GIBBS,
                masks_kept(written=True)),
        Mistake("the masks are there still: what was drawn was not written", GIBBS,
                masks_kept(written=False)),
        Mistake("the row of the place before was read: a masked language model guesses a token at "
                "its own place", GIBBS, gibbs_with(row=lambda place: place - 1)),
        Mistake("the row of the place behind was read: a masked language model guesses a token at "
                "its own place", GIBBS, gibbs_with(row=lambda place: place + 1)),
        Mistake("the row of [CLS] was read", GIBBS, gibbs_with(row=lambda place: 0)),
        Mistake("the last row was read, as in a left-to-right model", GIBBS,
                gibbs_with(row=lambda place: -1)),
        Mistake("places were gone through from left to right: take them in the order given", GIBBS,
                gibbs_with(order=lambda places, T: sorted(places))),
        Mistake("places were gone through from the last to the first", GIBBS,
                gibbs_with(order=lambda places, T: places[::-1])),
        Mistake("every place was drawn anew, those too that are not in `places`", FRAME,
                gibbs_with(order=lambda places, T: range(T))),
        Mistake("only the first of the places was drawn anew", GIBBS,
                gibbs_with(order=lambda places, T: places[:1])),
        Mistake("only the last of the places was drawn anew", GIBBS,
                gibbs_with(order=lambda places, T: places[-1:])),
        Mistake("the sweep was made twice", GIBBS, gibbs_with(order=lambda places, T: places * 2)),
        Mistake("the likeliest token was taken: draw with `pick`, or the text soon stops changing",
                GIBBS, gibbs_with(draw_from=lambda logits, pick: logits.argmax())),
        Mistake("pick was given shares: it takes logits, and makes its own softmax", SHARES,
                gibbs_with(draw_from=lambda logits, pick: pick(logits.softmax(-1)))),
    ),
    hints=(
        "What does the model see at the place where it guesses?",
        "The token itself, so it says it again. Two steps for each place: mask it, draw it; and "
        "the next place sees what was drawn.",
        "ids[place] = mask_id, before ids[place] = pick(guess(ids)[place])",
    ),
)  # fmt: skip


# 5: the pseudo-log-likelihood


def reference_pll(guess: Guess, ids: Tensor, mask_id: int) -> float:
    total = 0.0
    for place in range(1, len(ids) - 1):
        masked = ids.clone()
        masked[place] = mask_id
        total += guess(masked)[place].log_softmax(-1)[ids[place]].item()
    return total


def words_of(T: int) -> list[int]:
    """All places but those of [CLS] and [SEP]."""
    return list(range(1, T - 1))


def pll_with(
    hidden: Callable[[int, int], Sequence[int]] = lambda place, T: [place],
    asked: Callable[[int], Sequence[int]] = words_of,
    score: Callable[[Tensor, int, int], Tensor] = lambda x, place, token: x[place].log_softmax(-1)[
        token
    ],
    combine: Callable[[Tensor], Tensor] = torch.sum,
) -> Callable[..., float]:
    """Other places hidden or asked; another score of a token; other than the sum."""

    def answer(guess, ids, mask_id):
        T, scores = len(ids), []
        for place in asked(T):
            masked = ids.clone()
            masked[list(hidden(place, T))] = mask_id
            scores.append(score(guess(masked), place, int(ids[place])))
        return combine(torch.stack(scores)).item()

    return answer


def pll_cases(seed: int) -> list[Case]:
    return [
        (guesser(T, V, seed + T), draw_ids(V, T, seed=seed + V), V)
        for T, V in ((5, 6), (8, 5), (6, 9))
    ]


pseudo_log_likelihood = Exercise(
    name="pseudo_log_likelihood",
    chapter=9,
    reference=reference_pll,
    cases=pll_cases,
    returns={"the pseudo-log-likelihood": ""},
    run=plain_numbers,
    mistakes=(
        Mistake("nothing is masked: the model sees each token that it is to guess", LIKELY,
                pll_with(lambda place, T: [])),
        Mistake("all tokens were masked together: each should be visible while another is asked "
                "for", LIKELY,
                pll_with(lambda place, T: words_of(T))),
        Mistake("what comes later is masked too: that is reading from left to right, here both "
                "sides are seen", LIKELY, pll_with(lambda place, T: range(place, T - 1))),
        Mistake("[SEP] and all that comes later are masked too: here both sides are seen", LIKELY,
                pll_with(lambda place, T: range(place, T))),
        Mistake("masks stay where they were: write each token back before the next is masked",
                LIKELY, pll_with(lambda place, T: range(1, place + 1))),
        Mistake("[CLS] and [SEP] were asked: every text has them, and they are no words", LIKELY,
                pll_with(asked=range)),
        Mistake("[SEP] was asked: every text has it, and it is no word", LIKELY,
                pll_with(asked=lambda T: range(1, T))),
        Mistake("[CLS] was asked: every text has it, and it is no word", LIKELY,
                pll_with(asked=lambda T: range(T - 1))),
        Mistake("the last word is missing: only [CLS] and [SEP] are left out", LIKELY,
                pll_with(asked=lambda T: range(1, T - 2))),
        Mistake("this is the mean over the tokens: the log of a product is a sum", LIKELY,
                pll_with(combine=torch.mean)),
        Mistake("the sign is wrong: minus the sum is a loss", LIKELY,
                pll_with(combine=lambda s: -s.sum())),
        Mistake("this is the pseudo-perplexity: the sum of logarithms is asked for", LIKELY,
                pll_with(combine=lambda s: (-s.mean()).exp())),
        Mistake("this is the product of the probabilities: of a long text a computer makes 0 of it",
                LIKELY, pll_with(combine=lambda s: s.sum().exp())),
        Mistake("this is in bits, by log2: in nats it is the natural logarithm", LIKELY,
                pll_with(combine=lambda s: s.sum() / math.log(2))),
        Mistake("this logarithm is to the base of 10: the natural one is meant", LIKELY,
                pll_with(combine=lambda s: s.sum() / math.log(10))),
        Mistake("probabilities were added: their logarithms are, as of a product", LIKELY,
                pll_with(score=lambda x, p, token: x[p].softmax(-1)[token])),
        Mistake("logits were added: they say nothing without the others, log_softmax", LIKELY,
                pll_with(score=lambda x, p, token: x[p, token])),
        Mistake("shares add up to 1 over places, not over the vocabulary: wrong dim", LIKELY,
                pll_with(score=lambda x, p, token: x.log_softmax(0)[p, token])),
        Mistake("these are the likeliest tokens, not the tokens of the text", LIKELY,
                pll_with(score=lambda x, p, token: x[p].log_softmax(-1).amax())),
        Mistake("the row of the place before was read, as in a left-to-right model: here a token "
                "is guessed at its own place", LIKELY,
                pll_with(score=lambda x, p, token: x[p - 1].log_softmax(-1)[token])),
        Mistake("all tokens of the vocabulary were averaged: only the token of the text counts",
                LIKELY, pll_with(score=lambda x, p, token: x[p].log_softmax(-1).mean())),
    ),
    hints=(
        "How many texts does the model read for a text of six words? What is masked in each?",
        "As many as there are words: in each another one is masked, alone. Take the logarithm of "
        "the probability of what stood there, and add.",
        "masked = ids.clone(); masked[place] = mask_id; "
        "guess(masked)[place].log_softmax(-1)[ids[place]]",
    ),
)  # fmt: skip


# 6: repair the perplexity of many texts

Scores = Sequence[Sequence[float]]


def reference_perplexity(scores: Scores) -> float:
    tokens = [score for text in scores for score in text]
    return math.exp(-sum(tokens) / len(tokens))


def mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)


def every_token(scores: Scores) -> list[float]:
    return [score for text in scores for score in text]


def of_texts(scores: Scores) -> list[float]:
    """The perplexity of each text."""
    return [math.exp(-mean(text)) for text in scores]


def perplexity_cases(seed: int) -> list[Case]:
    """Texts of unlike length, the short ones mostly less likely."""
    cases = []
    for lengths in ((2, 9, 5), (1, 12), (4, 3, 7, 2)):
        numbers = draw(*((length,) for length in lengths), seed=seed + len(lengths))
        cases.append(([(-(x.abs() + 3 / len(x) + 0.2)).tolist() for x in numbers],))
    return cases


pseudo_perplexity = Exercise(
    name="pseudo_perplexity",
    chapter=9,
    reference=reference_perplexity,
    cases=perplexity_cases,
    returns={"the pseudo-perplexity": ""},
    run=plain_numbers,
    mistakes=(
        Mistake("the texts' perplexities were averaged: one short odd text then outweighs all; "
                "every token counts the same", LIKELY, lambda s: mean(of_texts(s))),
        Mistake("the texts' means were averaged: every token counts the same, and a long text has "
                "more of them", LIKELY, lambda s: math.exp(-mean([mean(text) for text in s]))),
        Mistake("texts' perplexities were averaged by their tokens: the mean goes over logarithms, "
                "before exp", LIKELY, lambda s: sum(
                    p * len(text) for p, text in zip(of_texts(s), s, strict=True))
                / len(every_token(s))),
        Mistake("1 / p was averaged over the tokens: the mean goes over logarithms, before exp",
                LIKELY, lambda s: mean([math.exp(-x) for x in every_token(s)])),
        Mistake("p was averaged over the tokens: the mean goes over logarithms, before exp", LIKELY,
                lambda s: 1 / mean([math.exp(x) for x in every_token(s)])),
        Mistake("the minus is missing: this is a probability, a token's average one", LIKELY,
                lambda s: 1 / reference_perplexity(s)),
        Mistake("exp is missing: this is the mean loss", LIKELY,
                lambda s: -mean(every_token(s))),
        Mistake("exp and minus are missing: this is the mean log-probability", LIKELY,
                lambda s: mean(every_token(s))),
        Mistake("2 was raised to a number of nats: to nats belongs exp", LIKELY,
                lambda s: 2 ** -mean(every_token(s))),
        Mistake("10 was raised to a number of nats: to nats belongs exp", LIKELY,
                lambda s: 10 ** -mean(every_token(s))),
        Mistake("the sum was not divided by the number of tokens", LIKELY,
                lambda s: math.exp(-sum(every_token(s)))),
        Mistake("the sum was divided by the number of texts, not of tokens", LIKELY,
                lambda s: math.exp(-sum(every_token(s)) / len(s))),
        Mistake("two more for each text were counted: [CLS] and [SEP] have no score here", LIKELY,
                lambda s: math.exp(-sum(every_token(s)) / (len(every_token(s)) + 2 * len(s)))),
        Mistake("only the last text is there", LIKELY, lambda s: of_texts(s)[-1]),
        Mistake("only the first text is there", LIKELY, lambda s: of_texts(s)[0]),
        Mistake("this is the middle one of the texts' perplexities: every token counts", LIKELY,
                lambda s: sorted(of_texts(s))[len(s) // 2]),
        Mistake("texts' perplexities were added", LIKELY, lambda s: sum(of_texts(s))),
    ),
    hints=(
        "A text of one token and a text of a hundred: how much should each count?",
        "By its tokens. One sum over all of them, divided once by how many there are; exp comes "
        "last.",
        "math.exp(-sum(map(sum, scores)) / sum(map(len, scores)))",
    ),
)  # fmt: skip


# 7: mask-predict


def reference_mask_predict(guess: Guess, ids: Tensor, mask_id: int, passes: int) -> Tensor:
    ids = ids.clone()
    places = (ids == mask_id).nonzero()[:, 0]
    sure = torch.zeros(len(places))
    for done in range(passes):
        again = sure.argsort()[: len(places) * (passes - done) // passes]
        ids[places[again]] = mask_id
        shares, best = guess(ids)[places[again]].softmax(-1).max(-1)
        ids[places[again]], sure[again] = best, shares
    return ids


Count = Callable[[int, int, int], int]
"""How many are masked again: of N places, in so many passes, after so many of them."""


def falling(N: int, passes: int, done: int) -> int:
    return N * (passes - done) // passes


def largest_share(logits: Tensor) -> Tensor:
    """(N, V) -> (N,)."""
    return logits.softmax(-1).amax(-1)


def lead(logits: Tensor) -> Tensor:
    """The largest share less the second."""
    first, second = logits.softmax(-1).topk(2).values.unbind(-1)
    return first - second


def masked_places(ids: Tensor, mask_id: int) -> Tensor:
    return (ids == mask_id).nonzero()[:, 0]


def mask_predict_with(
    count: Count = falling,
    order: Callable[[Tensor], Tensor] = torch.argsort,
    measure: Callable[[Tensor], Tensor] = largest_share,
    places_of: Callable[[Tensor, int], Tensor] = masked_places,
    hide: bool = True,
    writes_all: bool = False,
    measures: str = "again",
    only_once: bool = False,
    ends_masked: bool = False,
) -> Callable[..., Tensor]:
    """Another number, order or measure of what is masked again; places that are not masked before
    the guess, or written all; tokens measured in the first pass only, or all of them in each."""

    def answer(guess, ids, mask_id, passes):
        ids = ids.clone()
        places = places_of(ids, mask_id)
        N = len(places)
        sure, again = torch.zeros(N), torch.arange(N)
        for done in range(passes):
            if done > 0:
                again = order(sure)[: count(N, passes, done)]
            if hide or done == 0:
                ids[places[again]] = mask_id
            logits = guess(ids)[places]
            written = torch.arange(N) if writes_all else again
            ids[places[written]] = logits[written].argmax(-1)
            if measures == "all":
                sure = logits.softmax(-1).gather(1, ids[places][:, None])[:, 0]
            elif measures == "again" or done == 0:
                sure[again] = measure(logits[again])
            if only_once:
                kept = torch.ones(N).bool()
                kept[again] = False
                sure[kept] = torch.inf
        if ends_masked:
            ids[places[order(sure)[: max(1, N // passes)]]] = mask_id
        return ids

    return answer


def of_all_tokens(guess: Guess, ids: Tensor, mask_id: int, passes: int) -> Tensor:
    """The numbers are shares of T, the length of the text."""
    T = len(ids)
    return mask_predict_with(lambda N, passes, done: falling(T, passes, done))(
        guess, ids, mask_id, passes
    )


def one_after_the_other(order: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """Masks are filled for good, one in a pass, the first in this order of sureness."""

    def answer(guess, ids, mask_id, passes):
        ids = ids.clone()
        while (open_places := (ids == mask_id).nonzero()[:, 0]).numel():
            shares, best = guess(ids)[open_places].softmax(-1).max(-1)
            chosen = order(shares)[0]
            ids[open_places[chosen]] = best[chosen]
        return ids

    return answer


def mask_predict_cases(seed: int) -> list[Case]:
    """Most of the tokens are masked; in one case there are more passes than masks."""
    cases = []
    for number, (masks, passes) in enumerate(
        ((6, 3), (7, 4), (3, 5), (8, 3), (9, 5), (7, 2), (10, 4), (6, 6), (12, 6), (14, 7))
    ):
        T, V = masks + 3, 6
        ids = draw_ids(V, T, seed=seed + number)
        order = torch.randperm(T - 2, generator=torch.Generator().manual_seed(seed + number)) + 1
        ids[order[:masks]] = V
        cases.append((guesser(T, V, 10 * seed + number), ids, V, passes))
    return cases


mask_predict = Exercise(
    name="mask_predict",
    chapter=9,
    reference=reference_mask_predict,
    cases=mask_predict_cases,
    returns={"ids": "T"},
    mistakes=(
        Mistake("this is what one pass gives: in each further one the least sure are masked again",
                PASSES, mask_predict_with(lambda N, passes, done: 0)),
        Mistake("the most sure were masked again: it is the least sure that are in doubt", PASSES,
                mask_predict_with(order=lambda sure: sure.argsort(descending=True))),
        Mistake("the first from the left were masked again, not the least sure", PASSES,
                mask_predict_with(order=lambda sure: torch.arange(len(sure)))),
        Mistake("the last from the left were masked again, not the least sure", PASSES,
                mask_predict_with(order=lambda sure: torch.arange(len(sure)).flip(0))),
        Mistake("the number falls one pass too early, so that nothing is left for the last", PASSES,
                mask_predict_with(lambda N, passes, done: falling(N, passes, done + 1))),
        Mistake("the number falls one pass too late: the second masks all once more", PASSES,
                mask_predict_with(lambda N, passes, done: falling(N, passes, done - 1))),
        Mistake("the number was rounded up: round down", PASSES,
                mask_predict_with(lambda N, passes, done: -(-N * (passes - done) // passes))),
        Mistake("every further pass masks the same number: it falls from pass to pass", PASSES,
                mask_predict_with(lambda N, passes, done: N // passes)),
        Mistake("the number rises from pass to pass: it should fall", PASSES,
                mask_predict_with(lambda N, passes, done: N * done // passes)),
        Mistake("the number is halved from pass to pass: it falls in a straight line", PASSES,
                mask_predict_with(lambda N, passes, done: N >> done)),
        Mistake("each pass masks one fewer than the last: in `passes` steps it goes from all to 0",
                PASSES, mask_predict_with(lambda N, passes, done: max(0, N - done))),
        Mistake("the number follows a cosine, as in MaskGIT: here it falls in a straight line",
                PASSES, mask_predict_with(
                    lambda N, passes, done: int(N * math.cos(math.pi / 2 * done / passes)))),
        Mistake("the number is a share of all tokens: it is one of those that were masked at first",
                FRAME, of_all_tokens),
        Mistake("given tokens were written over: only what was masked at first may change", FRAME,
                mask_predict_with(places_of=lambda ids, mask_id: torch.arange(len(ids)))),
        Mistake("given tokens between [CLS] and [SEP] were written over: only what was masked at "
                "first may change", FRAME, mask_predict_with(
                    places_of=lambda ids, mask_id: torch.arange(1, len(ids) - 1))),
        Mistake("the least sure are guessed again but not masked before: the model sees its old "
                "guess and keeps to it", PASSES, mask_predict_with(hide=False)),
        Mistake("all places were written in each pass: only those that were masked again are",
                PASSES, mask_predict_with(writes_all=True)),
        Mistake("all places were written and measured in each pass: only those that were masked "
                "again are", PASSES, mask_predict_with(writes_all=True, measures="all")),
        Mistake("tokens that stayed were measured anew, while the model sees them: they keep the "
                "share with which they were written", PASSES, mask_predict_with(measures="all")),
        Mistake("how sure a token is was measured in the first pass only: a new guess has a new "
                "share", PASSES, mask_predict_with(measures="first")),
        Mistake("the largest logit says nothing without the others: take its share, by a softmax",
                PASSES, mask_predict_with(measure=lambda logits: logits.amax(-1))),
        Mistake("the lead over the second token was measured: it is the share of the first", PASSES,
                mask_predict_with(measure=lead)),
        Mistake("the entropy was measured: it is the share of the token that was written", PASSES,
                mask_predict_with(measure=lambda logits: (
                    logits.softmax(-1) * logits.log_softmax(-1)).sum(-1))),
        Mistake("shares add up to 1 over places, not over the vocabulary: wrong dim", PASSES,
                mask_predict_with(measure=lambda logits: logits.softmax(0).amax(-1))),
        Mistake("what is written stays here, as in MaskGIT: a token that was sure once may be "
                "masked again later", PASSES, mask_predict_with(only_once=True)),
        Mistake("one mask was filled after the other, the surest first: here all are filled in "
                "each pass", PASSES, one_after_the_other(lambda s: s.argsort(descending=True))),
        Mistake("masks were filled one after the other, from left to right: here all are filled in "
                "each pass", LEFT, one_after_the_other(lambda s: torch.arange(len(s)))),
        Mistake("masks are left at the end: the last step is a guess, not a mask", PASSES,
                mask_predict_with(ends_masked=True)),
    ),
    hints=(
        "What has to be remembered from pass to pass, besides the text?",
        "Of each place that was masked at first, the share with which its token was written. In "
        "each pass the n lowest of these are masked, guessed, and measured anew; the rest stays.",
        "again = sure.argsort()[: N * (passes - done) // passes], then mask, guess once, write "
        "both ids[places[again]] and sure[again]",
    ),
)  # fmt: skip


EXERCISES = (
    temperature_limits,
    top_k,
    top_p,
    gibbs_sweep,
    pseudo_log_likelihood,
    pseudo_perplexity,
    mask_predict,
)
