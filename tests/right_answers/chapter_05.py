"""Right answers to the exercises of chapter 5, at least two ways each besides the reference."""

import numpy as np
import torch
import torch.nn.functional as F

import minibert.data.masking as package

PAD, UNK, CLS, SEP, MASK = range(5)


def copied_labels(ids, seen, chosen):
    labels = np.full_like(ids, -100)
    labels[chosen] = ids[chosen]
    return labels


def loop_labels(ids, seen, chosen):
    return np.array(
        [
            [int(token) if asked else -100 for token, asked in zip(*row, strict=True)]
            for row in zip(ids, chosen, strict=True)
        ]
    )


def sorted_choose(ids, lots, numbers):
    chosen = np.zeros(ids.shape, dtype=bool)
    for row in range(len(ids)):
        places = [i for i in range(ids.shape[1]) if ids[row, i] not in (CLS, SEP, PAD)]
        for place in sorted(places, key=lambda i: lots[row, i])[: numbers[row]]:
            chosen[row, place] = True
    return chosen


def threshold_choose(ids, lots, numbers):
    """Below the lot that is the first one not to be taken."""
    lots = np.where((ids == CLS) | (ids == SEP) | (ids == PAD), np.inf, lots)
    border = np.take_along_axis(np.sort(lots, axis=1), numbers[:, None], axis=1)
    return lots < border


class Drawn:
    """A generator whose numbers are known before."""

    def __init__(self, numbers):
        self.numbers = numbers

    def random(self, shape):
        return self.numbers


def package_choose(ids, lots, numbers):
    return package.choose_tokens(~np.isin(ids, [CLS, SEP, PAD]), numbers, Drawn(lots))


def loop_mask(ids, chosen, first, second, others):
    seen = ids.copy()
    for place in zip(*np.nonzero(chosen), strict=True):
        if first[place] < 0.8:
            seen[place] = MASK
        elif first[place] < 0.9:
            seen[place] = others[place]
    return seen


def selected_mask(ids, chosen, first, second, others):
    fates = [~chosen, first < 0.8, first < 0.9]
    return np.select(fates, [ids, np.full_like(ids, MASK), others], default=ids)


def reversed_mask(ids, chosen, first, second, others):
    """Replace all below 0.9, then hide all below 0.8."""
    seen = np.where(chosen & (first < 0.8 + 0.1), others, ids)
    return np.where(chosen & (first < 0.8), MASK, seen)


def picked_loss(losses, labels):
    picked = losses[labels != -100]
    return picked.mean() if len(picked) else torch.tensor(0.0)


def loop_loss(losses, labels):
    total, number = torch.tensor(0.0), 0
    for loss, label in zip(losses.flatten(), labels.flatten(), strict=True):
        if label != -100:
            total, number = total + loss, number + 1
    return total / max(1, number)


def builtin_loss(losses, labels):
    """By cross-entropy of two classes: the loss is log(1 + exp(x)) for a logit x."""
    x = losses.expm1().log().flatten()
    pairs = torch.stack([torch.zeros_like(x), x], dim=1)
    wanted = torch.where(labels.flatten() == -100, -100, 0)
    return F.cross_entropy(pairs, wanted, reduction="sum") / max(1, int((wanted == 0).sum()))


def listed_second(documents, own, place, coin, other, lot):
    rest = documents[:own] + documents[own + 1 :]
    following = documents[own][place + 1 :]
    if coin >= 0.5 or not following:
        return rest[other][int(len(rest[other]) * lot)], 1
    return following[0], 0


def branching_second(documents, own, place, coin, other, lot):
    is_last = place == len(documents[own]) - 1
    label = int(is_last or coin >= 0.5)
    if label == 0:
        return list(documents[own][place + 1]), label
    if other >= own:
        other += 1
    return list(documents[other][int(lot * len(documents[other]))]), label


def joined_rows(num_rows, batch_size, seed, step):
    """All passes up to the one in which the batch ends, side by side."""
    end = (step + 1) * batch_size
    passes = [
        np.random.default_rng([seed, number]).permutation(num_rows)
        for number in range(-(-end // num_rows))
    ]
    return np.concatenate(passes)[end - batch_size : end]


def cached_rows(num_rows, batch_size, seed, step):
    numbers, places = np.divmod(step * batch_size + np.arange(batch_size), num_rows)
    orders = {n: np.random.default_rng([seed, n]).permutation(num_rows) for n in set(numbers)}
    return np.array([orders[n][at] for n, at in zip(numbers, places, strict=True)])


def loop_ask(ids, places):
    wanted = set(places.tolist())
    seen = np.array([MASK if i in wanted else token for i, token in enumerate(ids)])
    return seen, np.array([token if i in wanted else -100 for i, token in enumerate(ids)])


def where_ask(ids, places):
    is_asked = np.isin(np.arange(len(ids)), places)
    return np.where(is_asked, MASK, ids), np.where(is_asked, ids, -100)


def loop_disguise(ids, chosen, draws, others, hide=0.8, replace=0.1):
    seen = ids.copy()
    for place in zip(*np.nonzero(chosen), strict=True):
        if draws[place] < hide:
            seen[place] = MASK
        elif draws[place] < hide + replace:
            seen[place] = others[place]
    return seen


def layered_disguise(ids, chosen, draws, others, hide=0.8, replace=0.1):
    """Replace all below the second border, then hide all below the first."""
    seen = np.where(draws < hide + replace, others, ids)
    return np.where(chosen, np.where(draws < hide, MASK, seen), ids)


def conditional_pair(sentences, cut, other):
    is_random = other is not None
    b = other if is_random else sentences[cut:]
    return sentences[:cut], b, int(is_random), cut if is_random else len(sentences)


def counting_pair(sentences, cut, other):
    b = sentences[cut:] if other is None else other
    used = cut + len(b) * (other is None)
    return [*sentences[:cut]], [*b], 0 if other is None else 1, used


RIGHT = {
    "numbers_chosen": [
        [max(1, round(0.15 * length)) for length in (59, 38, 22, 3)],
        tuple(np.maximum(1, np.rint(0.15 * np.array([59, 38, 22, 3]))).tolist()),
    ],
    "make_labels": [copied_labels, loop_labels],
    "choose_tokens": [sorted_choose, threshold_choose, package_choose],
    "mask_tokens": [loop_mask, selected_mask, reversed_mask],
    "loss_where_asked": [picked_loss, loop_loss, builtin_loss],
    "second_text": [listed_second, branching_second],
    "rows_of_step": [joined_rows, cached_rows],
    "ask": [loop_ask, where_ask],
    "disguise": [loop_disguise, layered_disguise],
    "make_pair": [conditional_pair, counting_pair],
}
