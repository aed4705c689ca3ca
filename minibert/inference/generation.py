"""Writing with a bidirectional model.

BERT was trained to fill in blanks, with what stands on both sides. It does not go on from a
beginning: somebody must say how long the text is to be. So all writing here fills a *frame*, a text
in which some tokens are `[MASK]`; the tokens around them stay as they are. `make_frame` makes one
of nothing but a prompt and a length.

To fill one mask, the model is asked for its logits there, and a token is drawn from them as a
`Sampling` says. With several masks the question is in what order. There are three answers:

- `left_to_right` fills the first mask, then the next, each with all before it written;
- `gibbs` goes on when all is written: it masks a token at random and draws it anew, many times;
- `mask_predict` fills all masks at once, then masks again what it was least sure of, a few times.

Each gives a `Generation`: the text, and the steps on the way to it. How likely a text is to the
model, which cannot multiply probabilities from left to right, is told by `pseudo_log_likelihood`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from minibert.model import BertForPreTraining, evaluating
from minibert.tokenizer import CLS, MASK, PAD, SEP, SPECIAL_TOKENS, BertTokenizer
from minibert.training.fast import states_at


@torch.no_grad()
def fill_mask(
    model: BertForPreTraining, tokenizer: BertTokenizer, text: str, top_k: int = 5
) -> list[list[tuple[str, float]]]:
    """For each `[MASK]` in the text, the `top_k` likeliest tokens with their probabilities.

    Every mask is filled with the others still masked. Raises `ValueError` where there is none.
    """
    inputs = tokenizer([text], return_tensors="pt")
    masked = inputs["input_ids"] == tokenizer.vocab[MASK]  # (1, T)
    if not masked.any():
        raise ValueError(f"there is no {MASK} in the text: put one where a word is to be guessed")
    with evaluating(model):
        states = model.bert(**inputs).last_hidden_state[masked]  # (M, D)
        logits = model.mlm_head(states)  # (M, V)
    # A model may have more rows than its tokenizer has tokens: V is often rounded up.
    probabilities = logits.softmax(-1)[:, : tokenizer.vocab_size]
    probabilities, ids = probabilities.topk(min(top_k, probabilities.shape[-1]))
    return [
        list(zip(tokenizer.convert_ids_to_tokens(row), p.tolist(), strict=True))
        for row, p in zip(ids.tolist(), probabilities, strict=True)
    ]


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn from logits. The defaults draw from the softmax as it is.

    Raises `ValueError` for a value that makes no sense.
    """

    temperature: float = 1.0
    """Logits are divided by it: below 1 the likely becomes likelier, and 0 takes the likeliest."""
    top_k: int | None = None
    """Only the k likeliest tokens (Fan et al., 2018)."""
    top_p: float | None = None
    """Only the fewest tokens that have this share together, the nucleus (Holtzman et al., 2020)."""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature is {self.temperature}: it must be 0 or more, and finite")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k is {self.top_k}: it must be 1 or more, or None for all tokens")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}: it must be above 0 and at most 1")

    def probabilities(self, logits: Tensor) -> Tensor:
        """Logits (..., V) -> what each token is drawn with, (..., V), in float64."""
        logits = logits.double()
        if self.temperature == 0:
            return F.one_hot(logits.argmax(-1), logits.shape[-1]).double()
        logits = (logits - logits.amax(-1, keepdim=True)) / self.temperature
        if self.top_k is not None:
            lowest = logits.topk(min(self.top_k, logits.shape[-1])).values[..., -1:]
            logits = logits.masked_fill(logits < lowest, -math.inf)
        shares = logits.softmax(-1)
        if self.top_p not in (None, 1):
            ordered, order = shares.sort(descending=True, stable=True)
            before = ordered.cumsum(-1) - ordered  # what the likelier ones have together
            outside = torch.zeros_like(shares, dtype=torch.bool)
            shares = shares.masked_fill(outside.scatter(-1, order, before >= self.top_p), 0)
            shares = shares / shares.sum(-1, keepdim=True)
        return shares


GREEDY = Sampling(temperature=0)


@dataclass(frozen=True)
class Step:
    """The text after a step, without `[CLS]` and `[SEP]`."""

    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    written: tuple[int, ...]
    """The places in `tokens` that this step wrote, the same token as before perhaps."""
    probabilities: tuple[float, ...]
    """For each of them, what the model itself gave its token, before any temperature or cut."""


@dataclass(frozen=True)
class Generation:
    """What was written, and how."""

    method: str
    text: str
    """As `BertTokenizer.decode` joins it: in lower case where the model is uncased."""
    steps: tuple[Step, ...]
    """The first is the frame as it was given."""

    @property
    def tokens(self) -> tuple[str, ...]:
        """The text in word pieces."""
        return self.steps[-1].tokens


def make_frame(prompt: str, length: int, end: str = ".") -> str:
    """The prompt, which may be empty, `length` masks, and the end: a frame for free writing."""
    if length < 1:
        raise ValueError(f"the length is {length}: at least one token must be left to write")
    return " ".join(part for part in (prompt, *[MASK] * length, end) if part)


def left_to_right(
    model: BertForPreTraining,
    tokenizer: BertTokenizer,
    frame: str,
    sampling: Sampling = Sampling(),
    seed: int = 0,
) -> Generation:
    """Fill the masks one after the other, each while the later ones are still masked.

    The same seed gives the same text. Raises `ValueError` for a frame that has no mask, is longer
    than the model takes, or holds another special token (`[UNK]` may stand in it).
    """
    page = _Page(model, tokenizer, frame, seed)
    for place in page.masks:
        page.write([place], sampling)
    return page.generation("left to right")


def gibbs(
    model: BertForPreTraining,
    tokenizer: BertTokenizer,
    frame: str,
    sampling: Sampling = Sampling(),
    seed: int = 0,
    steps: int = 200,
    burn_in: int | None = None,
) -> Generation:
    """Mask one token at random and draw it anew, `steps` times (Wang and Cho, 2019).

    The first steps visit each mask of the frame once, in random order; after that all is written.
    The first `burn_in` steps, half of them if not told, draw from the model's softmax as it is,
    whatever `sampling` says, to get away from the beginning.

    It is Gibbs sampling in form. What the model says of one token given the others need not be
    the conditionals of any joint distribution, so there may be none that this samples from; the
    authors corrected their paper so, and Goyal et al. (2022) mend it with Metropolis-Hastings.
    Raises `ValueError` as `left_to_right` does, and for fewer steps than masks.
    """
    page = _Page(model, tokenizer, frame, seed)
    masks = len(page.masks)
    burn_in = steps // 2 if burn_in is None else burn_in
    if steps < masks:
        raise ValueError(f"steps is {steps}: the {masks} masks take at least one each")
    if not 0 <= burn_in <= steps:
        raise ValueError(f"burn_in is {burn_in}: it must be from 0 to the number of steps, {steps}")
    order = torch.randperm(masks, generator=page.generator).tolist()
    order += torch.randint(masks, (steps - masks,), generator=page.generator).tolist()
    for number, which in enumerate(order):
        places = [page.masks[which]]
        page.mask(places)
        page.write(places, Sampling() if number < burn_in else sampling)
    return page.generation("Gibbs sampling")


def mask_predict(
    model: BertForPreTraining,
    tokenizer: BertTokenizer,
    frame: str,
    sampling: Sampling = GREEDY,
    seed: int = 0,
    passes: int = 10,
) -> Generation:
    """Fill all masks at once, mask the least sure again, and so on (Ghazvininejad et al., 2019).

    Of N masks, pass t of `passes`, counted from 0, writes N (passes - t) / passes, rounded down:
    those whose probability was lowest when they were written. The others stay. Raises `ValueError`
    as `left_to_right` does, and for fewer than one pass.
    """
    page = _Page(model, tokenizer, frame, seed)
    if passes < 1:
        raise ValueError(f"passes is {passes}: it must be 1 or more")
    for number in range(passes):
        count = len(page.masks) * (passes - number) // passes
        if count == 0:
            break
        places = sorted(sorted(page.masks, key=page.sureness.__getitem__)[:count])
        page.mask(places)
        page.write(places, sampling)
    return page.generation("mask-predict")


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


@torch.no_grad()
def pseudo_log_likelihood(
    model: BertForPreTraining,
    tokenizer: BertTokenizer,
    text: str,
    within_word_l2r: bool = False,
    batch_size: int = 32,
) -> TokenScores:
    """The log-probability of each token, it alone being masked (Salazar et al., 2020).

    Their sum is no log-probability of the text: each token is guessed from all others. It compares
    texts for one model, not models with different vocabularies. A word of several pieces comes out
    too likely, since its other pieces give it away; `within_word_l2r=True` masks the later pieces
    of the same word too (Kauf and Ivanova, 2023). `batch_size` copies of the text go through the
    model at a time. Raises `ValueError` for a text that is empty, longer than the model takes, or
    holds a special token other than `[UNK]`.
    """
    ids = _encode(model, tokenizer, text)  # (T,)
    if MASK in (tokens := tokenizer.convert_ids_to_tokens(ids[1:-1].tolist())):
        raise ValueError(f"there is a {MASK} in the text: only a text that is all there is scored")
    places = torch.arange(1, len(tokens) + 1, device=ids.device)  # of all but [CLS] and [SEP]
    rows = ids.repeat(len(tokens), 1)  # (T - 2, T): a row for each token that is guessed
    for row, place in enumerate(places.tolist()):
        end = place + 1
        while within_word_l2r and end <= len(tokens) and tokens[end - 1].startswith("##"):
            end += 1
        rows[row, place:end] = tokenizer.vocab[MASK]
    log_probabilities: list[float] = []
    for chunk, at in zip(rows.split(batch_size), places.split(batch_size), strict=True):
        with evaluating(model):
            states = model.bert(chunk).last_hidden_state  # (B, T, D)
            logits = model.mlm_head(states[range(len(at)), at]).cpu().double()  # (B, V)
        picked = logits.log_softmax(-1).gather(1, ids[at, None].cpu())  # (B, 1)
        log_probabilities += picked.flatten().tolist()
    return TokenScores(tuple(tokens), tuple(log_probabilities))


@torch.no_grad()
def pseudo_log_likelihoods(
    model: BertForPreTraining,
    tokenizer: BertTokenizer,
    texts: Sequence[str],
    batch_size: int = 256,
) -> list[float]:
    """The total of `pseudo_log_likelihood` for each of many texts, in nats, and much faster.

    Texts of the same length go through the model together, `batch_size` masked copies at a time, so
    nothing is padded; the last layer is computed at the mask alone. Raises `ValueError` as
    `pseudo_log_likelihood` does, naming the text.
    """
    by_length: dict[int, list[int]] = {}
    encoded: list[Tensor] = []  # of (T,)
    mask = tokenizer.vocab[MASK]
    for number, text in enumerate(texts):
        try:
            encoded.append(_encode(model, tokenizer, text))
            if (encoded[-1] == mask).any():
                raise ValueError(f"there is a {MASK} in the text: only a whole text is scored")
        except ValueError as error:
            raise ValueError(f"{error} (text {number + 1}, {text[:60]!r})") from None
        by_length.setdefault(len(encoded[-1]), []).append(number)
    log_probabilities: list[list[float]] = [[] for _ in texts]
    for length, numbers in by_length.items():
        ids = torch.stack([encoded[number] for number in numbers])  # (N, T)
        text, at = torch.cartesian_prod(torch.arange(len(numbers)), torch.arange(1, length - 1)).T
        for i, t in zip(text.split(batch_size), at.split(batch_size), strict=True):
            t = t.to(ids.device)
            rows = ids[i].scatter(1, t[:, None], mask)  # (B, T)
            places = t[:, None]  # (B, 1)
            with evaluating(model):
                states = states_at(model.bert, places, rows)[:, 0]  # (B, D)
                logits = model.mlm_head(states).cpu().double()  # (B, V)
            answers = ids[i].gather(1, t[:, None]).cpu()  # (B, 1)
            picked = logits.log_softmax(-1).gather(1, answers)  # (B, 1)
            for j, value in zip(i.tolist(), picked.flatten().tolist(), strict=True):
                log_probabilities[numbers[j]].append(value)
    return [math.fsum(values) for values in log_probabilities]


def pseudo_perplexity(scores: Iterable[TokenScores]) -> float:
    """exp of minus the mean log-probability of all tokens of all texts (Salazar et al., 2020).

    Raises `ValueError` where there is no text.
    """
    log_probabilities = [value for one in scores for value in one.log_probabilities]
    if not log_probabilities:
        raise ValueError("there is no text to score: give at least one")
    return math.exp(-math.fsum(log_probabilities) / len(log_probabilities))


class _Page:
    """A frame while it is being filled. Places are those of `ids`, `[CLS]` being 0."""

    def __init__(
        self, model: BertForPreTraining, tokenizer: BertTokenizer, frame: str, seed: int
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.ids = _encode(model, tokenizer, frame)  # (T,)
        self.masks = (self.ids == tokenizer.vocab[MASK]).nonzero().flatten().tolist()
        if not self.masks:
            raise ValueError(f"there is no {MASK} in the text: put one for each token to write")
        self.sureness = dict.fromkeys(self.masks, 0.0)
        self.generator = torch.Generator().manual_seed(seed)
        self.steps: list[Step] = []
        self._record([])

    def mask(self, places: Sequence[int]) -> None:
        """Take the tokens there away again."""
        self.ids[places] = self.tokenizer.vocab[MASK]

    @torch.no_grad()
    def write(self, places: Sequence[int], sampling: Sampling) -> None:
        """Draw a token for each of these masks, with what is masked now in sight of all."""
        with evaluating(self.model):
            states = self.model.bert(self.ids[None]).last_hidden_state[0, places]  # (M, D)
            logits = self.model.mlm_head(states).cpu().double()  # (M, V)
        probabilities = logits.softmax(-1)
        # A special token is nothing to read, and the tokenizer has no token for further rows.
        logits[:, [self.tokenizer.vocab[token] for token in SPECIAL_TOKENS]] = -math.inf
        logits[:, self.tokenizer.vocab_size :] = -math.inf
        drawn = sampling.probabilities(logits).multinomial(1, generator=self.generator)  # (M, 1)
        self.ids[places] = drawn.flatten().to(self.ids.device)
        sure = probabilities.gather(1, drawn).flatten().tolist()
        self.sureness.update(zip(places, sure, strict=True))
        self._record(places)

    def _record(self, places: Sequence[int]) -> None:
        ids = self.ids[1:-1].tolist()
        self.steps.append(
            Step(
                ids=tuple(ids),
                tokens=tuple(self.tokenizer.convert_ids_to_tokens(ids)),
                written=tuple(place - 1 for place in places),
                probabilities=tuple(self.sureness[place] for place in places),
            )
        )

    def generation(self, method: str) -> Generation:
        return Generation(method, self.tokenizer.decode(self.steps[-1].ids), tuple(self.steps))


def _encode(model: BertForPreTraining, tokenizer: BertTokenizer, text: str) -> Tensor:
    """The ids of one text (T,), on the model's device."""
    tokens = tokenizer.tokenize(text)
    room = model.config.max_position_embeddings - 2
    if not tokens:
        raise ValueError("the text is empty: give at least one word")
    if stray := [token for token in (PAD, CLS, SEP) if token in tokens]:
        raise ValueError(f"there is a {stray[0]} in the text: take it out, and give one text alone")
    if len(tokens) > room:
        raise ValueError(f"the text is {len(tokens)} tokens long and {room} fit: shorten it")
    device = next(model.parameters()).device
    return torch.tensor(tokenizer(text)["input_ids"], device=device)
