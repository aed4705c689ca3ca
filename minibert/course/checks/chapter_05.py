"""The exercises and blanks of chapter 5, pretraining data."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from minibert.course.checks.engine import Case, Exercise, Mistake, prediction

BY_HAND = "Text that asks its own questions"
ONE_DRAW = "80/10/10, with one draw"
WHAT_FOR = "What 80/10/10 is for"
HOW_MANY = "How many, and which"
PAIRS = "Pairs for next sentence prediction"
SEED_STEP = "A batch is a function of (seed, step)"
PEOPLE = "Mistakes people make here"
PAD, UNK, CLS, SEP, MASK = range(5)  # as in the vocabulary of mini-sotu
VOCABULARY = 60


# 1: how many, before anything runs

numbers_chosen = Exercise(
    name="numbers_chosen",
    chapter=5,
    reference=(9, 6, 3, 1),
    cases=lambda seed: [()],
    returns={"the numbers": ""},
    run=prediction,
    mistakes=(
        Mistake("padding is counted: take 15 % of the row's own length, not of T", ONE_DRAW,
                (10, 10, 10, 10)),
        Mistake("[CLS] and [SEP] are left out of the length: they can't be chosen, but they count",
                BY_HAND, (9, 5, 3, 1)),
        Mistake("15 % is rounded down: take the nearest number", BY_HAND,
                (8, 5, 3, 1)),
        Mistake("15 % is rounded down, and no token of the shortest row is chosen", BY_HAND,
                (8, 5, 3, 0)),
        Mistake("15 % is rounded up: take the nearest number", BY_HAND,
                (9, 6, 4, 1)),
        Mistake("no token of the shortest row is chosen: every row has at least one", BY_HAND,
                (9, 6, 3, 0)),
        Mistake("these are the tokens that become [MASK], 80 % of the chosen tokens", ONE_DRAW,
                (7, 5, 3, 1)),
    ),
    hints=(
        "15 % of which length: T, the row's own, or the number of tokens that may be chosen?",
        "15 % of the row's own length, including [CLS] and [SEP], rounded to the nearest number. "
        "And there is one more rule for short rows.",
        "[max(1, round(0.15 * length)) for length in (59, 38, 22, 3)]",
    ),
)  # fmt: skip


# 2: labels


def reference_labels(ids: np.ndarray, seen: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return np.where(chosen, ids, -100)


def label_cases(seed: int) -> list[Case]:
    rng = np.random.default_rng(seed)
    cases = []
    for (B, T), padding in (((3, 12), 3), ((4, 9), 2)):
        ids = rng.integers(5, VOCABULARY, (B, T))
        ids[:, 0], ids[:, -padding - 1], ids[:, -padding:] = CLS, SEP, PAD
        rows = np.arange(B)
        # Of each row four are chosen: two are hidden, one is replaced, one is kept.
        places = rng.permuted(np.tile(np.arange(1, T - padding - 1), (B, 1)), axis=1)[:, :4].T
        seen, chosen = ids.copy(), np.zeros((B, T), dtype=bool)
        chosen[rows, places] = True
        seen[rows, places[:2]] = MASK
        seen[rows, places[2]] = VOCABULARY + rows
        cases.append((ids, seen, chosen))
    return cases


make_labels = Exercise(
    name="make_labels",
    chapter=5,
    reference=reference_labels,
    cases=label_cases,
    returns={"labels": "B T"},
    mistakes=(
        Mistake("labels are set at every token: a model that copies its input is then nearly "
                "always right", PEOPLE, lambda ids, seen, chosen: ids),
        Mistake("labels are set only at [MASK]: chosen tokens that were replaced or kept need "
                "labels, too",
                PEOPLE, lambda ids, seen, chosen: np.where(seen == MASK, ids, -100)),
        Mistake("labels are made from what the model sees, so most of the answers are [MASK]",
                BY_HAND, lambda ids, seen, chosen: np.where(chosen, seen, -100)),
        Mistake("tokens that were chosen and kept have no label: they look untouched, but the "
                "model has to predict them", ONE_DRAW,
                lambda ids, seen, chosen: np.where(seen != ids, ids, -100)),
        Mistake("this is the wrong way round: labels are set where nothing was chosen", BY_HAND,
                lambda ids, seen, chosen: np.where(chosen, -100, ids)),
        Mistake("tokens that weren't chosen have the label -1, but torch ignores -100", BY_HAND,
                lambda ids, seen, chosen: np.where(chosen, ids, -1)),
        Mistake("tokens that weren't chosen have the label 0, but torch ignores -100: 0 is an id",
                BY_HAND, lambda ids, seen, chosen: np.where(chosen, ids, 0)),
        Mistake("tokens that weren't chosen have the label 100: the sign is missing", BY_HAND,
                lambda ids, seen, chosen: np.where(chosen, ids, 100)),
        Mistake("only padding is left out: every other token still has a label", PEOPLE,
                lambda ids, seen, chosen: np.where(ids != PAD, ids, -100)),
        Mistake("only [CLS], [SEP] and [PAD] are left out: tokens that weren't chosen have a label",
                PEOPLE, lambda ids, seen, chosen: np.where(ids > SEP, ids, -100)),
        Mistake("every label is [MASK]: that is what the model sees, not what it should predict",
                BY_HAND,
                lambda ids, seen, chosen: np.where(chosen, MASK, -100)),
    ),
    hints=(
        "Which of the three arrays says what was chosen? Which one holds the answers?",
        "The true id where `chosen` is true, and elsewhere the number that torch's cross-entropy "
        "ignores.",
        "np.where(chosen, ids, -100)",
    ),
)  # fmt: skip


# 3: which tokens


def reference_choose(ids: np.ndarray, lots: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    candidates = ~np.isin(ids, [CLS, SEP, PAD])
    ranks = np.where(candidates, lots, 2.0).argsort(1).argsort(1)
    return candidates & (ranks < numbers[:, None])


def lowest(candidates: np.ndarray, lots: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The lowest lots of each row's candidates."""
    ranks = np.where(candidates, lots, 2.0).argsort(1).argsort(1)
    return candidates & (ranks < numbers[:, None])


def choose_among(candidates_of):
    """The lowest lots among other candidates than the right ones."""
    return lambda ids, lots, numbers: lowest(candidates_of(ids), lots, numbers)


def text(ids: np.ndarray) -> np.ndarray:
    """What may be chosen."""
    return ~np.isin(ids, [CLS, SEP, PAD])


def by_place(ids: np.ndarray) -> np.ndarray:
    """All but the first and the last column."""
    column = np.arange(ids.shape[1])
    return np.broadcast_to((column > 0) & (column < ids.shape[1] - 1), ids.shape)


def whole_batch(ids: np.ndarray, lots: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    ranks = np.where(text(ids), lots, 2.0).ravel().argsort().argsort().reshape(ids.shape)
    return text(ids) & (ranks < numbers.sum())


def choose_cases(seed: int) -> list[Case]:
    rng = np.random.default_rng(seed)
    cases = []
    for T, sides, numbers in (
        (17, ((6, 7), (4, 5), (2, 3), (1, 2)), (3, 2, 4, 5)),  # the last has too few
        (11, ((3, 5), (4, 2), (1, 3)), (2, 1, 3)),
    ):
        ids = np.full((len(sides), T), PAD)
        for row, (a, b) in zip(ids, sides, strict=True):
            row[: a + b + 3] = rng.integers(5, VOCABULARY, a + b + 3)
            row[1] = UNK
            row[0], row[a + 1], row[a + b + 2] = CLS, SEP, SEP
        lots = (1 + rng.permutation(ids.size).reshape(ids.shape)) / (1 + ids.size)
        # An unknown word with the lowest lot of all: leaving it out makes a difference.
        lots[0, 1] /= 1000
        cases.append((ids, lots, np.array(numbers)))
    return cases


choose_tokens = Exercise(
    name="choose_tokens",
    chapter=5,
    reference=reference_choose,
    cases=choose_cases,
    returns={"chosen": "B T"},
    mistakes=(
        Mistake("one argsort gives places in the order of their lots: for ranks, argsort that "
                "again",
                ONE_DRAW, lambda ids, lots, numbers: text(ids) & (
                    np.where(text(ids), lots, 2.0).argsort(1) < numbers[:, None])),
        Mistake("[CLS] and [SEP] can be chosen: asking for them teaches nothing, because anyone "
                "can see where they belong", BY_HAND,
                choose_among(lambda ids: ids != PAD)),
        Mistake("padding can be chosen: there is no word to guess", BY_HAND,
                choose_among(lambda ids: ~np.isin(ids, [CLS, SEP]))),
        Mistake("every position can be chosen: leave out [CLS], [SEP] and [PAD]", BY_HAND,
                choose_among(lambda ids: ids >= 0)),
        Mistake("the candidates are inverted: only [CLS], [SEP] and [PAD] can be chosen", BY_HAND,
                choose_among(lambda ids: ~text(ids))),
        Mistake("only the first and the last column are left out: a [SEP] also comes between A "
                "and B",
                BY_HAND, choose_among(by_place)),
        Mistake("[UNK] is left out: it is a token of the text like any other, so it can be chosen",
                BY_HAND,
                choose_among(lambda ids: ids > MASK)),
        Mistake("[CLS], [SEP] and [PAD] take part in the draw, so rows get too few tokens",
                ONE_DRAW, lambda ids, lots, numbers: text(ids) & lowest(ids >= 0, lots, numbers)),
        Mistake("a row with too few candidates is filled up with [CLS], [SEP] or [PAD]", ONE_DRAW,
                lambda ids, lots, numbers:
                np.where(text(ids), lots, 2.0).argsort(1).argsort(1) < numbers[:, None]),
        Mistake("these are the highest lots, not the lowest", ONE_DRAW,
                lambda ids, lots, numbers: lowest(text(ids), 1 - lots, numbers)),
        Mistake("one token too many in each row: ranks count from 0", ONE_DRAW,
                lambda ids, lots, numbers: lowest(text(ids), lots, numbers + 1)),
        Mistake("all rows get the first row's number: each row has its own", ONE_DRAW,
                lambda ids, lots, numbers: lowest(text(ids), lots, 0 * numbers + numbers[0])),
        Mistake("lots are compared across the whole batch: compare them within each row", ONE_DRAW,
                whole_batch),
        Mistake("each token tosses a coin of 15 %, so the number in a row is a matter of luck",
                HOW_MANY, lambda ids, lots, numbers: text(ids) & (lots < 0.15)),
        Mistake("lots are ranked down the columns: rank them along each row", ONE_DRAW,
                lambda ids, lots, numbers: text(ids) & (
                    np.where(text(ids), lots, 2.0).argsort(0).argsort(0) < numbers[:, None])),
    ),
    hints=(
        "First decide who takes part, and then who has the lowest lots. What if a [PAD] drew the "
        "lowest of all?",
        "Give every token that must not be chosen a lot above all others. Then choose by the rank "
        "of each lot in its row, and keep only candidates.",
        "candidates & (np.where(candidates, lots, 2.0).argsort(1).argsort(1) < numbers[:, None])",
    ),
)  # fmt: skip


# 4: repair 81/10/9


def reference_mask(
    ids: np.ndarray, chosen: np.ndarray, first: np.ndarray, second: np.ndarray, others: np.ndarray
) -> np.ndarray:
    seen = np.where(chosen & (first < 0.8), MASK, ids)
    return np.where(chosen & (first >= 0.8) & (first < 0.9), others, seen)


def fates(is_hidden, is_replaced, among_chosen: bool = True):
    """What the model sees, by which draws hide a token and which replace it."""

    def answer(ids, chosen, first, second, others):
        of = chosen if among_chosen else np.full_like(chosen, True)
        seen = np.where(of & is_hidden(first, second), MASK, ids)
        return np.where(of & is_replaced(first, second), others, seen)

    return answer


def middle(first, second):
    return (first >= 0.8) & (first < 0.9)


def replaced_anywhere(ids, chosen, first, second, others):
    return np.where(middle(first, second), others, np.where(chosen & (first < 0.8), MASK, ids))


def hidden_anywhere(ids, chosen, first, second, others):
    return np.where(chosen & middle(first, second), others, np.where(first < 0.8, MASK, ids))


def random_by_text(ids, chosen, first, second, others):
    seen = reference_mask(ids, chosen, first, second, others)
    return np.where(chosen & middle(first, second), np.roll(ids, 1, axis=1), seen)


def mask_cases(seed: int) -> list[Case]:
    rng = np.random.default_rng(seed)
    # Draws on both sides of each border and on it, in all combinations, chosen or not.
    draws = [0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.49, 0.5, 0.79, 0.8, 0.85, 0.9, 0.95, 0.99]
    grid = np.array([(x, y, c) for x in draws for y in draws for c in (0, 1)])
    cases = []
    for table, shape in (
        (rng.permutation(grid), (8, 49)),
        (np.c_[rng.random((42, 2)), rng.integers(0, 2, 42)], (6, 7)),
    ):
        first, second, chosen = table.T.reshape(3, *shape)
        ids, others = rng.integers(5, VOCABULARY, (2, *shape))
        cases.append((ids, chosen == 1, first, second, others))
    return cases


mask_tokens = Exercise(
    name="mask_tokens",
    chapter=5,
    reference=reference_mask,
    cases=mask_cases,
    returns={"seen": "B T"},
    mistakes=(
        Mistake("this is 81/10/9: two draws overlap, and some tokens are both replaced and kept",
                PEOPLE, fates(lambda x, y: y >= 0.1, lambda x, y: x < 0.1)),
        Mistake("this is 81/9/10: two draws overlap, and a token with both answers is kept", PEOPLE,
                fates(lambda x, y: y >= 0.1, lambda x, y: (x < 0.1) & (y >= 0.1))),
        Mistake("this is 80/2/18: of the tokens that aren't hidden, 10 % are replaced, but it "
                "should be half", PEOPLE,
                fates(lambda x, y: x < 0.8, lambda x, y: (x >= 0.8) & (y < 0.1))),
        Mistake("the shares are right, but the second draw takes part: only `first` should decide",
                ONE_DRAW, fates(lambda x, y: x < 0.8, lambda x, y: (x >= 0.8) & (y < 0.5))),
        Mistake("the shares are right, but the order is reversed: [MASK] is for draws below 0.8",
                ONE_DRAW, fates(lambda x, y: x >= 0.2, lambda x, y: x < 0.1)),
        Mistake("hide and replace are swapped: 80 % see a random token, 10 % see [MASK]", ONE_DRAW,
                fates(middle, lambda x, y: x < 0.8)),
        Mistake("replace and keep are swapped: 0.8 to 0.9 is replaced, 0.9 and above is kept",
                ONE_DRAW, fates(lambda x, y: x < 0.8, lambda x, y: x >= 0.9)),
        Mistake("everything that was chosen is hidden: this is 100/0/0", WHAT_FOR,
                fates(lambda x, y: x >= 0, lambda x, y: x < 0)),
        Mistake("nothing is kept: this is 80/20/0", WHAT_FOR,
                fates(lambda x, y: x < 0.8, lambda x, y: x >= 0.8)),
        Mistake("nothing is replaced: this is 80/0/20", WHAT_FOR,
                fates(lambda x, y: x < 0.8, lambda x, y: x < 0)),
        Mistake("this is 90/0/10: everything below 0.9 is hidden, and nothing is replaced",
                ONE_DRAW, fates(lambda x, y: x < 0.9, lambda x, y: x < 0)),
        Mistake("this is 0/90/10: everything below 0.9 is replaced, even what should be hidden",
                ONE_DRAW,
                fates(lambda x, y: x < 0.8, lambda x, y: x < 0.9)),
        Mistake("`chosen` is not used, so tokens that weren't chosen change as well", ONE_DRAW,
                fates(lambda x, y: x < 0.8, middle, among_chosen=False)),
        Mistake("random tokens also appear at positions that weren't chosen", ONE_DRAW,
                replaced_anywhere),
        Mistake("[MASK] also appears at positions that weren't chosen", ONE_DRAW, hidden_anywhere),
        Mistake("a draw of exactly 0.8 hides: only draws below 0.8 should", ONE_DRAW,
                fates(lambda x, y: x <= 0.8, lambda x, y: (x > 0.8) & (x < 0.9))),
        Mistake("a draw of exactly 0.9 replaces: from 0.9 on, the token is kept", ONE_DRAW,
                fates(lambda x, y: x < 0.8, lambda x, y: (x >= 0.8) & (x <= 0.9))),
        Mistake("draws of exactly 0.8 and 0.9 fall on the wrong side: a border belongs to the part "
                "above it", ONE_DRAW,
                fates(lambda x, y: x <= 0.8, lambda x, y: (x > 0.8) & (x <= 0.9))),
        Mistake("the second draw decides: it should be the first", ONE_DRAW,
                fates(lambda x, y: y < 0.8, lambda x, y: middle(y, x))),
        Mistake("the replacement is a neighbour from the row, not the token of `others`", ONE_DRAW,
                random_by_text),
    ),
    hints=(
        "Which tokens are both replaced and kept? How many in a thousand?",
        "Cut the line from 0 to 1 at 0.8 and at 0.9. The three parts can't overlap.",
        "is_replaced = chosen & (first >= 0.8) & (first < 0.9); is_hidden = chosen & (first < 0.8)",
    ),
)  # fmt: skip


# 5: repair the loss


def reference_loss(losses: Tensor, labels: Tensor) -> Tensor:
    asked = labels != -100
    return (losses * asked).sum() / asked.sum().clamp(min=1)


def mean_over(of):
    """The mean of the losses at the places that `of` picks by their labels."""
    return lambda losses, labels: (
        (losses * of(labels)).sum() / of(labels).sum().clamp(min=1)
    )  # fmt: skip


def mean_of_rows(losses, labels):
    asked = labels != -100
    return ((losses * asked).sum(1) / asked.sum(1).clamp(min=1)).mean()


def loss_cases(seed: int) -> list[Case]:
    generator = torch.Generator().manual_seed(seed)
    cases = []
    for B, T, asked in ((3, 8, (1, 4, 0)), (2, 5, (1, 0)), (4, 6, (0, 0, 0, 0)), (5, 7, (2,) * 5)):
        losses = -torch.rand(B, T, generator=generator).clamp(min=0.01).log() + 0.5
        labels = torch.full((B, T), -100)
        for row, number in zip(labels, asked, strict=True):
            places = torch.randperm(T, generator=generator)[:number]
            row[places] = torch.randint(1, VOCABULARY, (number,), generator=generator)
        # An id may be 0. A row with two or more shows those who take it for "no label".
        if max(asked) > 1:
            row = asked.index(max(asked))
            labels[row, (labels[row] != -100).nonzero()[0]] = 0
        cases.append((losses, labels))
    return cases


loss_where_asked = Exercise(
    name="loss_where_asked",
    chapter=5,
    reference=reference_loss,
    cases=loss_cases,
    returns={"loss": ""},
    mistakes=(
        Mistake("the mean is taken first, so the mask scales one number and takes nothing out",
                PEOPLE, lambda losses, labels: (losses.mean() * (labels != -100)).mean()),
        Mistake("this is the mean over all positions: the labels are not used", PEOPLE,
                lambda losses, labels: losses.mean()),
        Mistake("the sum is divided by all B times T positions, so the loss is too small",
                PEOPLE, lambda losses, labels: (losses * (labels != -100)).mean()),
        Mistake("this is a sum, not a mean, so it grows with the batch", PEOPLE,
                lambda losses, labels: (losses * (labels != -100)).sum()),
        Mistake("the sum is divided by B, the number of rows: divide by the number of labels",
                PEOPLE,
                lambda losses, labels: (losses * (labels != -100)).sum() / len(losses)),
        Mistake("the sum is divided by T, the length of a row: divide by the number of labels",
                PEOPLE,
                lambda losses, labels: (losses * (labels != -100)).sum() / losses.shape[1]),
        Mistake("this is a mean of the rows' means, so rows with few labels weigh too much",
                PEOPLE,
                mean_of_rows),
        Mistake("a batch without labels gives 0/0, which is NaN: its loss should be 0", PEOPLE,
                lambda losses, labels: losses[labels != -100].mean()),
        Mistake("labels of 0 are ignored as well: 0 is an id, and only -100 means `no label`",
                PEOPLE,
                mean_over(lambda labels: labels > 0)),
        Mistake("labels of 0 are ignored, and -100 is not: this is ignore_index=0", PEOPLE,
                mean_over(lambda labels: labels != 0)),
        Mistake("this is the wrong way round: the mean is over tokens without a label",
                PEOPLE,
                mean_over(lambda labels: labels == -100)),
        Mistake("1 is added to the number of labels to avoid 0/0, so every loss is too small",
                PEOPLE, lambda losses, labels: (
                    (losses * (labels != -100)).sum() / ((labels != -100).sum() + 1))),
    ),
    hints=(
        "After `losses.mean()` only one number is left. What can a mask still take out of it?",
        "Set the losses that don't count to 0, add up, and divide by the number of labels, but "
        "at least by 1.",
        "(losses * asked).sum() / asked.sum().clamp(min=1)",
    ),
)  # fmt: skip


# 6: what comes after A


def reference_second(
    documents: list, own: int, place: int, coin: float, other: int, lot: float
) -> tuple[list[int], int]:
    if place + 1 < len(documents[own]) and coin < 0.5:
        return documents[own][place + 1], 0
    document = documents[other + (other >= own)]
    return document[int(lot * len(document))], 1


def random_from(pick):
    """B, if it is random, out of the document that `pick` names."""

    def answer(documents, own, place, coin, other, lot):
        if place + 1 < len(documents[own]) and coin < 0.5:
            return documents[own][place + 1], 0
        document = documents[pick(own, other, len(documents))]
        return document[int(lot * len(document))], 1

    return answer


def relabelled(label):
    """The right B, with another label."""

    def answer(documents, own, place, coin, other, lot):
        b, right = reference_second(documents, own, place, coin, other, lot)
        return b, label(right, coin)

    return answer


def over_the_border(documents, own, place, coin, other, lot):
    """The last sentence is followed by the first of the next document."""
    if coin < 0.5:
        following = [*documents[own], documents[(own + 1) % len(documents)][0]]
        return following[place + 1], 0
    return reference_second(documents, own, place, coin, other, lot)


def always_following(documents, own, place, coin, other, lot):
    b, label = reference_second(documents, own, place, coin, other, lot)
    return (documents[own][place + 1] if place + 1 < len(documents[own]) else b), label


def a_itself(documents, own, place, coin, other, lot):
    b, label = reference_second(documents, own, place, coin, other, lot)
    return (documents[own][place] if label == 0 else b), label


def at_a_coin_of(is_next):
    """Another rule for the coin."""
    return lambda documents, own, place, coin, other, lot: reference_second(
        documents, own, place, 0.0 if is_next(coin) else 1.0, other, lot
    )


def second_cases(seed: int) -> list[Case]:
    rng = np.random.default_rng(seed)
    documents = []
    for number, size in enumerate((3, 1, 4, 2), start=1):
        lengths = rng.integers(1, 4, size)
        begins = 100 * number + lengths.cumsum() - lengths
        documents.append(
            [[*range(int(b), int(b + n))] for b, n in zip(begins, lengths, strict=True)]
        )
    return [
        (documents, own, place, coin, other, float(lot))
        for own, document in enumerate(documents)
        for place in range(len(document))
        for coin in (0.1, 0.5, 0.8)
        for other, lot in zip(range(3), rng.permutation([0.0, 0.6, 0.99]), strict=True)
    ]


second_text = Exercise(
    name="second_text",
    chapter=5,
    reference=reference_second,
    cases=second_cases,
    returns={"b": "", "label": ""},
    mistakes=(
        Mistake("the labels are swapped: in BERT, 0 means next and 1 means random", PAIRS,
                relabelled(lambda right, coin: 1 - right)),
        Mistake("a random B can be from A's own document: skip that document", PAIRS,
                random_from(lambda own, other, n: other)),
        Mistake("the random B is always from A's own document: take it from another document",
                PAIRS,
                random_from(lambda own, other, n: own)),
        Mistake("A's document is skipped one too late: if `other` is `own`, B is from A's own",
                PAIRS, random_from(lambda own, other, n: other + (other > own))),
        Mistake("every number is raised by one, even for documents before A's", PAIRS,
                random_from(lambda own, other, n: other + 1)),
        Mistake("the other documents are counted from A's on: count from the first document", PAIRS,
                random_from(lambda own, other, n: (own + 1 + other) % n)),
        Mistake("after the last sentence, B is from the next document: that doesn't continue A",
                PAIRS, over_the_border),
        Mistake("the label only depends on the coin, but after a last sentence B is always random",
                PAIRS, relabelled(lambda right, coin: int(coin >= 0.5))),
        Mistake("with label 0, B is A itself: take the sentence after it", PAIRS, a_itself),
        Mistake("with label 1, B still follows A, so half of the labels are false", PAIRS,
                always_following),
        Mistake("the coin is read the wrong way round: below 0.5, B is the next sentence", PAIRS,
                at_a_coin_of(lambda coin: coin >= 0.5)),
        Mistake("a coin of exactly 0.5 gives the next sentence, but it should give a random one",
                PAIRS,
                at_a_coin_of(lambda coin: coin <= 0.5)),
        Mistake("B is always random: the coin is not used", PAIRS,
                at_a_coin_of(lambda coin: False)),
        Mistake("the lot is not used: B is always the first sentence of its document", PAIRS,
                lambda documents, own, place, coin, other, lot: reference_second(
                    documents, own, place, coin, other, 0.0)),
        Mistake("every label is 1: the next sentence has the label 0", PAIRS,
                relabelled(lambda right, coin: 1)),
    ),
    hints=(
        "B can be random for two reasons. And with four documents, `other` is 0, 1 or 2.",
        "Nothing follows the last sentence. And the documents after A's have each moved up by one "
        "place.",
        "documents[other + (other >= own)], and then the sentence int(lot * len(document))",
    ),
)  # fmt: skip


# 7: a batch is a function of (seed, step)


def reference_rows(num_rows: int, batch_size: int, seed: int, step: int) -> np.ndarray:
    rows = []
    for place in range(step * batch_size, (step + 1) * batch_size):
        number, place_in_pass = divmod(place, num_rows)
        order = np.random.default_rng([seed, number]).permutation(num_rows)
        rows.append(order[place_in_pass])
    return np.array(rows)


def rows_by(row_at):
    """(B,) rows, each by its place in the endless row of passes."""

    def answer(num_rows, batch_size, seed, step):
        places = range(step * batch_size, (step + 1) * batch_size)
        return np.array([row_at(place, num_rows, seed) for place in places])

    return answer


def order_by(seeds):
    """Other seeds for a pass's order: from the seed and the number of the pass."""

    def row_at(place, num_rows, seed):
        number, at = divmod(place, num_rows)
        return np.random.default_rng(seeds(seed, number)).permutation(num_rows)[at]

    return rows_by(row_at)


def one_generator(place, num_rows, seed):
    """Pass after pass from one generator."""
    rng, (number, at) = np.random.default_rng(seed), divmod(place, num_rows)
    return [rng.permutation(num_rows) for _ in range(number + 1)][-1][at]


def inverse(place, num_rows, seed):
    number, at = divmod(place, num_rows)
    return np.random.default_rng([seed, number]).permutation(num_rows).argsort()[at]


def wrapped(num_rows, batch_size, seed, step):
    """Over the end of a pass, and on in the same order."""
    number, at = divmod(step * batch_size, num_rows)
    order = np.random.default_rng([seed, number]).permutation(num_rows)
    return order.take(range(at, at + batch_size), mode="wrap")


def without_tail(num_rows, batch_size, seed, step):
    """As many whole batches as fit into a pass."""
    number, at = divmod(step, max(1, num_rows // batch_size))
    order = np.random.default_rng([seed, number]).permutation(num_rows)
    return order.take(range(at * batch_size, (at + 1) * batch_size), mode="wrap")


def order_of_step(num_rows, batch_size, seed, step):
    order = np.random.default_rng([seed, step]).permutation(num_rows)
    return order.take(range(step * batch_size, (step + 1) * batch_size), mode="wrap")


def first_of_step(num_rows, batch_size, seed, step):
    order = np.random.default_rng([seed, step]).permutation(num_rows)
    return order.take(range(batch_size), mode="wrap")


def drawn_anew(num_rows, batch_size, seed, step):
    return np.random.default_rng([seed, step]).integers(num_rows, size=batch_size)


def overlapping(num_rows, batch_size, seed, step):
    return np.array(
        [int(reference_rows(num_rows, 1, seed, step + i)[0]) for i in range(batch_size)]
    )


rows_of_step = Exercise(
    name="rows_of_step",
    chapter=5,
    reference=reference_rows,
    cases=lambda seed: [
        (10, 4, 3 + seed, step) for step in range(6)
    ] + [(7, 5, 11 + seed, 2), (9, 3, seed, 7), (3, 8, 5 + seed, 1), (12, 1, 2 + seed, 25)],
    returns={"rows": "B"},
    mistakes=(
        Mistake("every pass has the same order: its generator is seeded by the seed alone",
                SEED_STEP, order_by(lambda seed, number: seed)),
        Mistake("the seed and the pass are added, so pass 1 of seed 0 is pass 0 of seed 1",
                SEED_STEP, order_by(lambda seed, number: seed + number)),
        Mistake("the seed is not used: the order only depends on the pass", SEED_STEP,
                order_by(lambda seed, number: number)),
        Mistake("the pass comes before the seed: the exercise asks for [seed, number of the pass]",
                SEED_STEP, order_by(lambda seed, number: [number, seed])),
        Mistake("passes are counted from 1: the first is number 0", SEED_STEP,
                order_by(lambda seed, number: [seed, number + 1])),
        Mistake("one generator draws all orders: that is a state, and a pass needs all earlier "
                "passes",
                SEED_STEP, rows_by(one_generator)),
        Mistake("each step has a new order, so some rows come twice in a pass, and some never",
                SEED_STEP, order_of_step),
        Mistake("each step takes the front of a new order, so rows come twice in a pass",
                SEED_STEP, first_of_step),
        Mistake("rows are drawn anew in each step, so some come twice before others come once",
                SEED_STEP, drawn_anew),
        Mistake("a batch that crosses the end of a pass starts the old order again, not a new one",
                SEED_STEP, wrapped),
        Mistake("rows at the end of a pass are left out if they don't fill a batch", SEED_STEP,
                without_tail),
        Mistake("batches overlap: step s starts at row s, but it should be s times the batch size",
                SEED_STEP,
                overlapping),
        Mistake("nothing is shuffled: the rows come in the order of the corpus", SEED_STEP,
                rows_by(lambda place, num_rows, seed: place % num_rows)),
        Mistake("the order is inverted: these are the places of rows, not the rows at places",
                SEED_STEP, rows_by(inverse)),
    ),
    hints=(
        "Write down the passes one after the other. Which places of this endless list are step s?",
        "Place p is in pass p // num_rows, at p % num_rows. A batch may begin in one pass and end "
        "in the next, so compute this for each place.",
        "number, at = divmod(place, num_rows); "
        "np.random.default_rng([seed, number]).permutation(num_rows)[at]",
    ),
)  # fmt: skip

EXERCISES = (
    numbers_chosen,
    make_labels,
    choose_tokens,
    mask_tokens,
    loss_where_asked,
    second_text,
    rows_of_step,
)


# Blanks in the chapter


def reference_ask(ids: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    seen, labels = ids.copy(), np.full_like(ids, -100)
    labels[places] = ids[places]
    seen[places] = MASK
    return seen, labels


def asked_with(put_labels):
    """The right row for the model to see, with other labels."""

    def answer(ids, places):
        seen, labels = reference_ask(ids, places)
        return seen, put_labels(ids, seen, labels, places)

    return answer


def ask_cases(seed: int) -> list[Case]:
    rng = np.random.default_rng(seed)
    cases = []
    for length, number in ((9, 2), (13, 3)):
        ids = np.r_[CLS, rng.integers(5, VOCABULARY, length), SEP]
        cases.append((ids, np.sort(1 + rng.permutation(length)[:number])))
    return cases


ask = Exercise(
    name="ask",
    chapter=5,
    reference=reference_ask,
    cases=ask_cases,
    returns={"seen": "T", "labels": "T"},
    mistakes=(
        Mistake("the labels are [MASK]: take them from `ids`, where the words are still there",
                BY_HAND, asked_with(lambda ids, seen, labels, places: np.where(
                    labels != -100, seen, -100))),
        Mistake("every token has a label, so the loss also counts words that the model can "
                "see",
                BY_HAND, asked_with(lambda ids, seen, labels, places: ids)),
        Mistake("labels elsewhere are 0: torch ignores -100, and 0 is an id like any other",
                BY_HAND,
                asked_with(lambda ids, seen, labels, places: np.where(labels == -100, 0, labels))),
        Mistake("labels elsewhere are -1, but torch ignores -100", BY_HAND,
                asked_with(lambda ids, seen, labels, places: np.where(labels == -100, -1, labels))),
        Mistake("the labels are positions in the row: a label is the id of the hidden token",
                BY_HAND,
                asked_with(lambda ids, seen, labels, places: np.where(
                    labels != -100, np.arange(len(ids)), -100))),
        Mistake("nothing is hidden: the model can read the answers", BY_HAND,
                lambda ids, places: (ids, reference_ask(ids, places)[1])),
        Mistake("the row and the labels are swapped: return what the model sees first", BY_HAND,
                lambda ids, places: reference_ask(ids, places)[::-1]),
    ),
)  # fmt: skip


def reference_disguise(
    ids: np.ndarray, chosen: np.ndarray, draws: np.ndarray, others: np.ndarray,
    hide: float = 0.8, replace: float = 0.1,
) -> np.ndarray:  # fmt: skip
    seen = np.where(chosen & (draws < hide), MASK, ids)
    is_replaced = chosen & (draws >= hide) & (draws < hide + replace)
    return np.where(is_replaced, others, seen)


def disguised(is_hidden, is_replaced):
    """Another rule for the draws of the chosen tokens."""

    def answer(ids, chosen, draws, others, hide=0.8, replace=0.1):
        seen = np.where(chosen & is_hidden(draws, hide, replace), MASK, ids)
        return np.where(chosen & is_replaced(draws, hide, replace), others, seen)

    return answer


def below_hide(draws, hide, replace):
    return draws < hide


def between(draws, hide, replace):
    return (draws >= hide) & (draws < hide + replace)


def disguise_cases(seed: int) -> list[Case]:
    rng = np.random.default_rng(seed)
    cases = []
    for shape, shares in (((6, 40), ()), ((4, 30), (0.5, 0.25)), ((3, 20), (0.25, 0.75))):
        ids, others = rng.integers(5, VOCABULARY, (2, *shape))
        draws = rng.permuted(np.arange(ids.size) / ids.size).reshape(shape)  # on the borders, too
        cases.append((ids, rng.random(shape) < 0.6, draws, others, *shares))
    return cases


disguise = Exercise(
    name="disguise",
    chapter=5,
    reference=reference_disguise,
    cases=disguise_cases,
    returns={"seen": "B T"},
    mistakes=(
        Mistake("tokens that weren't chosen change as well: combine each condition with `chosen`",
                ONE_DRAW, lambda ids, chosen, *rest: reference_disguise(
                    ids, np.full_like(chosen, True), *rest)),
        Mistake("`replace` is a share, not a border: the draws from `hide` to "
                "`hide + replace` are replaced", ONE_DRAW,
                disguised(below_hide, lambda d, h, r: (d >= h) & (d < r))),
        Mistake("everything from `hide` up is replaced, so nothing is kept", ONE_DRAW,
                disguised(below_hide, lambda d, h, r: d >= h)),
        Mistake("all draws below `hide + replace` are replaced, even those that should hide",
                ONE_DRAW,
                disguised(below_hide, lambda d, h, r: d < h + r)),
        Mistake("the last part is replaced and the middle is kept: it should be the reverse",
                ONE_DRAW, disguised(below_hide, lambda d, h, r: d >= h + r)),
        Mistake("`replace` hides and `hide` replaces: [MASK] goes to the draws below `hide`",
                ONE_DRAW, disguised(between, below_hide)),
        Mistake("every chosen token is hidden: the draws aren't used", ONE_DRAW,
                disguised(lambda d, h, r: d >= 0, lambda d, h, r: d < 0)),
        Mistake("0.8 and 0.1 are written into the function: use `hide` and `replace`", ONE_DRAW,
                lambda ids, chosen, draws, others, hide=0.8, replace=0.1: reference_disguise(
                    ids, chosen, draws, others)),
    ),
)  # fmt: skip


def reference_pair(sentences: list, cut: int, other: list | None) -> tuple[list, list, int, int]:
    a, rest = sentences[:cut], sentences[cut:]
    if other is None:
        return a, rest, 0, len(sentences)
    return a, other, 1, cut


def paired(change):
    """The right pair, changed: `change` takes (a, b, label, used), sentences, cut and other."""
    return lambda sentences, cut, other: change(
        *reference_pair(sentences, cut, other), sentences, cut, other
    )


def pair_cases(seed: int) -> list[Case]:
    rng = np.random.default_rng(seed)
    cases = []
    for size, cut in ((5, 2), (4, 1), (3, 2), (1, 1)):
        sentences = [[int(i) for i in rng.integers(5, VOCABULARY, 3)] for _ in range(size)]
        other = [[int(i) for i in rng.integers(5, VOCABULARY, 2)] for _ in range(2)]
        cases += [(sentences, cut, other)] + [(sentences, cut, None)] * (size > 1)
    return cases


make_pair = Exercise(
    name="make_pair",
    chapter=5,
    reference=reference_pair,
    cases=pair_cases,
    returns={"a": "", "b": "", "label": "", "used": ""},
    mistakes=(
        Mistake("the labels are swapped: in BERT, 0 means that B is what follows A", PAIRS,
                paired(lambda a, b, label, used, *_: (a, b, 1 - label, used))),
        Mistake("every label is 0, even if B is from another document", PAIRS,
                paired(lambda a, b, label, used, *_: (a, b, 0, used))),
        Mistake("the sentences that a random B displaced are lost: only those of A are used up",
                PAIRS, paired(lambda a, b, label, used, sentences, *_: (
                    a, b, label, len(sentences)))),
        Mistake("after a true pair, the next one would begin with its B: all sentences are used up",
                PAIRS, paired(lambda a, b, label, used, sentences, cut, other: (a, b, label, cut))),
        Mistake("`used` counts sentences: these are tokens", PAIRS,
                paired(lambda a, b, label, used, sentences, *_: (
                    a, b, label, sum(map(len, sentences[:used]))))),
        Mistake("A has one sentence too many: the slice [:cut] has `cut` of them", PAIRS,
                paired(lambda a, b, label, used, sentences, cut, other: (
                    sentences[: cut + 1], b, label, used))),
        Mistake("A is all of the gathered sentences, so it contains its own B", PAIRS,
                paired(lambda a, b, label, used, sentences, *_: (sentences, b, label, used))),
        Mistake("B is always the text that follows A: if `other` is given, B is `other`", PAIRS,
                paired(lambda a, b, label, used, sentences, cut, other: (
                    a, sentences[cut:], label, used))),
    ),
)  # fmt: skip

BLANKS = (ask, disguise, make_pair)
