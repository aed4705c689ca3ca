"""Right answers to the exercises of chapter 12, at least two more ways each than the reference."""

import itertools
import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import logsumexp

from minibert.pretraining.diffusion import numbers_hidden

PAD, UNK, CLS, SEP, MASK = range(5)


class Always:
    """A generator whose random number is known."""

    def __init__(self, number):
        self.number = number

    def random(self):
        return self.number


def loop_hide(ids, u, t):
    """Text by text and token by token."""
    seen, labels = ids.clone(), torch.full_like(ids, -100)
    for row in range(len(ids)):
        text = [i for i, token in enumerate(ids[row].tolist()) if token not in (PAD, CLS, SEP)]
        hidden = [i for i in text if u[row, i] < t[row]] or [min(text, key=lambda i: u[row, i])]
        for i in hidden:
            seen[row, i], labels[row, i] = MASK, ids[row, i]
    return seen, labels


def where_hide(ids, u, t):
    """The rule of at least one as an exception."""
    text = (ids != PAD) & (ids != CLS) & (ids != SEP)
    hidden = text & (u < t.unsqueeze(1))
    lowest = F.one_hot(torch.where(text, u, 9.0).argmin(1), ids.shape[1]).bool()
    hidden = torch.where(hidden.any(1)[:, None], hidden, lowest)
    return torch.where(hidden, MASK, ids), torch.where(hidden, ids, -100)


def number_first_hide(ids, u, t):
    """How many u are below t, and then that many of the lowest."""
    text = (ids == UNK) | (ids > MASK)
    number = (text & (u < t[:, None])).sum(1).clamp(min=1)
    ranks = (u + 5.0 * ~text).argsort(1).argsort(1)
    hidden = ranks < number[:, None]
    return ids * ~hidden + MASK * hidden, ids * hidden - 100 * ~hidden


def loop_loss(logits, labels):
    means = []
    for row, asked in zip(logits, labels, strict=True):
        means.append(F.cross_entropy(row[asked != -100], asked[asked != -100]))
    return sum(means) / len(means)


def torch_loss(logits, labels):
    """cross_entropy's own mean, text by text: it leaves out -100."""
    return torch.stack([F.cross_entropy(x, y) for x, y in zip(logits, labels, strict=True)]).mean()


def weighted_loss(logits, labels):
    """The chapter's index_add, with the weight 1/n in front."""
    asked = labels != -100
    weights = (1 / asked.sum(1))[asked.nonzero()[:, 0]]
    log_p = logits[asked].log_softmax(-1).gather(1, labels[asked][:, None])[:, 0]
    return float(-(weights * log_p).sum() / len(labels))


def numpy_loss(logits, labels):
    logits, labels = logits.double().numpy(), labels.numpy()
    asked = labels >= 0
    chosen = np.take_along_axis(logits, np.where(asked, labels, 0)[..., None], 2)[..., 0]
    nats = np.where(asked, logsumexp(logits, axis=2) - chosen, 0)
    return (nats.sum(1) / asked.sum(1)).mean()


def by_number(text, guess):
    """The bound by how many letters are hidden, the writer by logsumexp."""
    T = len(text)
    bound = 0.0
    for n in range(1, T + 1):
        ways = list(itertools.combinations(range(T), n))
        for hidden in ways:
            page = [None if i in hidden else text[i] for i in range(T)]
            bound -= sum(math.log(guess(page, i)[text[i]]) for i in hidden) / n / len(ways)
    along = []
    for order in itertools.permutations(range(T)):
        seen = [[text[i] if i in order[:k] else None for i in range(T)] for k in range(T)]
        along.append(sum(np.log(guess(seen[k], i)[text[i]]) for k, i in enumerate(order)))
    return math.log(len(along)) - logsumexp(along), bound


def step_by_step(text, guess):
    """From a page to all pages with one more letter: no order is written out."""

    def from_here(page):
        blanks = [i for i, token in enumerate(page) if token is None]
        if not blanks:
            return 1.0, 0.0
        chances, nats = [], []
        for i in blanks:
            p = guess(page, i)[text[i]]
            chance, rest = from_here([*page[:i], text[i], *page[i + 1 :]])
            chances.append(p * chance)
            nats.append(rest - math.log(p))
        return sum(chances) / len(blanks), sum(nats) / len(blanks)

    chance, bound = from_here([None] * len(text))
    return torch.tensor(chance, dtype=torch.double).log().neg(), bound


def bucket_shares(guesses, labels, lengths):
    hidden = labels != -100
    quarter = torch.bucketize(hidden.sum(1) / lengths, torch.tensor([0.25, 0.5, 0.75]))
    right = torch.bincount(quarter, ((guesses == labels) & hidden).sum(1), minlength=4)
    return (100 * right / torch.bincount(quarter, hidden.sum(1), minlength=4)).float()


def loop_shares(guesses, labels, lengths):
    right, asked = [0] * 4, [0] * 4
    for guess, label, length in zip(guesses, labels, lengths.tolist(), strict=True):
        places = (label != -100).nonzero()[:, 0].tolist()
        quarter = next(q for q in range(4) if len(places) <= (q + 1) / 4 * length)
        asked[quarter] += len(places)
        right[quarter] += sum(int(guess[i] == label[i]) for i in places)
    pairs = zip(right, asked, strict=True)
    return torch.tensor([100 * r / a if a else float("nan") for r, a in pairs])


def masked_shares(guesses, labels, lengths):
    """Token by token: what was guessed right in the rows of each quarter."""
    share = (labels >= 0).float().sum(1) / lengths
    found = []
    for low in (0, 0.25, 0.5, 0.75):
        rows = (low < share) & (share <= low + 0.25)
        asked = labels[rows] >= 0
        found.append((guesses[rows] == labels[rows])[asked].float().mean())
    return 100 * torch.stack(found)


def split_ancestral(guess, ids, mask_id, order, steps, pick):
    """numpy cuts the order at the ends of the parts."""
    ends = [len(order) * step // steps for step in range(1, steps)]
    new = ids.clone()
    for places in np.split(np.array(order), ends):
        logits = guess(new)[places]
        new[places] = torch.tensor([int(pick(row)) for row in logits], dtype=ids.dtype)
    return new


def counted_ancestral(guess, ids, mask_id, order, steps, pick):
    """Until as many are written as are due. Steps with nothing to write cost nothing."""
    text, waiting, N = ids.tolist(), list(order), len(order)
    for step in range(1, steps + 1):
        due = math.floor(N * step / steps) - (N - len(waiting))
        if due == 0:
            continue
        logits = guess(torch.tensor(text))
        for _ in range(due):
            place = waiting.pop(0)
            text[place] = int(pick(logits[place]))
    return torch.tensor(text)


def llada_by_confidence(guess, ids, mask_id, steps):
    """As in LLaDA's code: tokens that are there already have a sureness of minus infinity."""
    N = int((ids == mask_id).sum())
    for step in range(steps):
        sure, best = guess(ids).softmax(-1).max(-1)
        sure = torch.where(ids == mask_id, sure, -torch.inf)
        count = N * (step + 1) // steps - N * step // steps
        keep = torch.zeros_like(ids, dtype=torch.bool)
        keep[sure.topk(count).indices] = True
        ids = torch.where(keep, best, ids)
    return ids


def list_by_confidence(guess, ids, mask_id, steps):
    text = ids.tolist()
    N = text.count(mask_id)
    for step in range(1, steps + 1):
        log_p = guess(torch.tensor(text)).log_softmax(-1)
        blanks = [place for place, token in enumerate(text) if token == mask_id]
        blanks.sort(key=lambda place: -float(log_p[place].max()))
        for place in blanks[: len(blanks) - (N - N * step // steps)]:
            text[place] = int(log_p[place].argmax())
    return torch.tensor(text)


def loop_film(ids, u, times):
    """Row by row."""
    rows = [ids.masked_fill(u < t, MASK) for t in times.tolist()]
    return torch.stack(rows)


def kept_film(ids, u, times):
    """What stays, and [MASK] where nothing stays."""
    stays = u.expand(len(times), -1) >= times.unsqueeze(1)
    return ids * stays + MASK * ~stays


def loop_clock_loss(nats, hidden, t):
    texts = zip(nats, hidden, t.tolist(), strict=True)
    return sum(float(row[asked].sum()) / when / len(row) for row, asked, when in texts) / len(nats)


def weighted_clock_loss(nats, hidden, t):
    """A mean over all places, where hidden ones weigh 1/t and others nothing."""
    return torch.where(hidden, nats / t[:, None], 0.0).mean()


def loop_step_back(page, drawn, lots, t, s):
    new = page.clone()
    for place in range(len(page)):
        if page[place] == MASK and lots[place] < 1 - s / t:
            new[place] = drawn[place]
    return new


def stretched_step_back(page, drawn, lots, t, s):
    """A blank's u lies evenly between 0 and t. From the top down: between s and t it appears."""
    u = t * (1 - lots)
    appears = page.eq(MASK) & (u > s)
    return page.masked_scatter(appears, drawn[appears])


RIGHT = {
    "equal_distances": [
        [5, 6, 1, 4],
        numbers_hidden(np.array([8, 7, 5, 12]), Always(0.55)),
        torch.tensor([4.4, 5.6, 0.25, 3.6]).ceil().long(),
    ],
    "hide_at": [loop_hide, where_hide, number_first_hide],
    "text_by_text": [loop_loss, torch_loss, weighted_loss, numpy_loss],
    "writer_and_bound": [by_number, step_by_step],
    "right_by_share": [bucket_shares, loop_shares, masked_shares],
    "ancestral": [split_ancestral, counted_ancestral],
    "by_confidence": [llada_by_confidence, list_by_confidence],
    "film": [loop_film, kept_film],
    "clock_loss": [loop_clock_loss, weighted_clock_loss],
    "step_back": [loop_step_back, stretched_step_back],
}
