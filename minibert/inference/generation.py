"""Writing with a bidirectional model.

BERT was trained to fill in blanks from the words on both sides. It cannot continue a beginning,
because it has to know how long the text will be. So all writing here fills a *frame*, a text in
which some tokens are `[MASK]`; the tokens around them do not change. `make_frame` makes a frame
from a prompt and a length.

To fill one mask, the model computes logits there, and a token is drawn from them as a `Sampling`
says. With several masks, methods differ in the order:

- `left_to_right` fills the first mask, then the next, each with everything before it written;
- `gibbs` continues when all is written: it masks a random token and draws it again, many times;
- `mask_predict` fills all masks together, then masks the least probable again, a few times;
- `ancestral` fills masks in random order, some in each step, and a written token stays;
- `by_confidence` fills some in each step too, and writes those that the model is surest of.

The last two are how a diffusion model writes (`pretraining/diffusion.py`). They need a model that
has learned to guess with any number of tokens hidden.

Each returns a `Generation`: the text, and the steps that led to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from minibert.inference.encode import encode_text
from minibert.model import BertForPreTraining, evaluating
from minibert.settings import Count, NotNegative, PositiveShare, check
from minibert.tokenizer import MASK, SPECIAL_TOKENS, BertTokenizer


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn from logits. The defaults draw from the unchanged softmax.

    Raises `ValueError` for a value that is impossible.
    """

    temperature: NotNegative = 1.0
    """Logits are divided by it: below 1 the likely becomes likelier, and 0 takes the likeliest."""
    top_k: Count | None = None
    """Draw only from the k likeliest tokens (Fan et al., 2018)."""
    top_p: PositiveShare | None = None
    """Draw only from the nucleus: the fewest tokens that reach this sum (Holtzman et al., 2020)."""

    def __post_init__(self) -> None:
        check(self)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Logits (..., V) -> the probability that each token is drawn, (..., V), in float64."""
        logits = logits.double()
        if self.temperature == 0:
            return F.one_hot(logits.argmax(-1), logits.shape[-1]).double()
        logits = (logits - logits.amax(-1, keepdim=True)) / self.temperature
        if self.top_k is not None:
            lowest = logits.topk(min(self.top_k, logits.shape[-1])).values[..., -1:]
            logits = logits.masked_fill(logits < lowest, -math.inf)
        probabilities = logits.softmax(-1)
        if self.top_p not in (None, 1):
            ordered, order = probabilities.sort(descending=True, stable=True)
            before = ordered.cumsum(-1) - ordered  # the total of all likelier tokens
            outside = torch.zeros_like(probabilities, dtype=torch.bool)
            outside = outside.scatter(-1, order, before >= self.top_p)
            probabilities = probabilities.masked_fill(outside, 0)
            probabilities = probabilities / probabilities.sum(-1, keepdim=True)
        return probabilities


GREEDY = Sampling(temperature=0)


@dataclass(frozen=True)
class Step:
    """The text after a step, without `[CLS]` and `[SEP]`."""

    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    written: tuple[int, ...]
    """The places in `tokens` that this step wrote, perhaps with the same token as before."""
    probabilities: tuple[float, ...]
    """The model's own probability of each written token, before any temperature or cut."""


@dataclass(frozen=True)
class Generation:
    """A written text, and the steps that led to it."""

    method: str
    text: str
    """As `BertTokenizer.decode` joins it: in lower case if the model is uncased."""
    steps: tuple[Step, ...]
    """The first is the given frame."""

    @property
    def tokens(self) -> tuple[str, ...]:
        """The text in word pieces."""
        return self.steps[-1].tokens


def make_frame(prompt: str, length: int, end: str = ".") -> str:
    """A frame for free writing: the prompt, which may be empty, `length` masks, and the end."""
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
    """Fill the masks from left to right, each while the later ones are still masked.

    The same seed gives the same text. Raises `ValueError` for a frame that has no mask, is longer
    than the model can read, or contains a special token other than `[MASK]` and `[UNK]`.
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
) -> Generation:
    """Mask one token at random and draw it again, `steps` times (Wang and Cho, 2019).

    The first steps visit each mask of the frame once, in random order, until all is written. The
    first half of all steps, the burn-in, draws from the unchanged softmax, whatever `sampling`
    says, to forget where it started.

    It is Gibbs sampling only in form. The model's predictions of one token from the others need not
    be the conditionals of any joint distribution, so there may be no distribution that this samples
    from. The authors say so in their correction, and Goyal et al. (2022) repair it with
    Metropolis-Hastings. Raises `ValueError` as `left_to_right` does, and for fewer steps than
    masks.
    """
    page = _Page(model, tokenizer, frame, seed)
    masks = len(page.masks)
    if steps < masks:
        raise ValueError(f"steps is {steps}: the {masks} masks take at least one each")
    order = torch.randperm(masks, generator=page.generator).tolist()
    order += torch.randint(masks, (steps - masks,), generator=page.generator).tolist()
    for number, which in enumerate(order):
        places = [page.masks[which]]
        page.mask(places)
        page.write(places, Sampling() if number < steps // 2 else sampling)
    return page.generation("Gibbs sampling")


def mask_predict(
    model: BertForPreTraining,
    tokenizer: BertTokenizer,
    frame: str,
    sampling: Sampling = GREEDY,
    seed: int = 0,
    passes: int = 10,
) -> Generation:
    """Fill all masks, mask the least probable again, and so on (Ghazvininejad et al., 2019).

    Of N masks, pass t of `passes`, counted from 0, writes N (passes - t) / passes, rounded down:
    the tokens whose probability was lowest when they were written. Raises `ValueError` as
    `left_to_right` does, and for fewer than one pass.
    """
    page = _Page(model, tokenizer, frame, seed)
    if passes < 1:
        raise ValueError(f"passes is {passes}: it must be 1 or more")
    for number in range(passes):
        count = len(page.masks) * (passes - number) // passes
        if count == 0:
            break
        places = sorted(sorted(page.masks, key=page.probabilities.__getitem__)[:count])
        page.mask(places)
        page.write(places, sampling)
    return page.generation("mask-predict")


def ancestral(
    model: BertForPreTraining,
    tokenizer: BertTokenizer,
    frame: str,
    sampling: Sampling = Sampling(),
    seed: int = 0,
    steps: int | None = None,
) -> Generation:
    """Fill masks in random order, in `steps` equal parts (Sahoo et al., 2024, 3.2).

    By default each step writes one token, which draws from the distribution that the model was
    trained to give. Tokens of one step do not see each other, so fewer steps are faster and worse.
    Raises `ValueError` as `left_to_right` does, and for fewer than one step.
    """
    page = _Page(model, tokenizer, frame, seed)
    order = torch.randperm(len(page.masks), generator=page.generator).tolist()
    left = [page.masks[which] for which in order]
    for count in _parts(len(left), steps):
        page.write(sorted(left[:count]), sampling)
        left = left[count:]
    return page.generation("ancestral sampling")


def by_confidence(
    model: BertForPreTraining,
    tokenizer: BertTokenizer,
    frame: str,
    sampling: Sampling = GREEDY,
    seed: int = 0,
    steps: int | None = None,
) -> Generation:
    """In each of `steps` equal parts, write the tokens that the model is surest of.

    It draws a token for every mask, and keeps the most probable: LLaDA's low-confidence remasking
    (Nie et al., 2025, 2.4). Unlike in `mask_predict`, what is written stays. Raises `ValueError` as
    `ancestral` does.
    """
    page = _Page(model, tokenizer, frame, seed)
    left = page.masks
    for count in _parts(len(left), steps):
        written = page.write(left, sampling, keep=count)
        left = [place for place in left if place not in written]
    return page.generation("confidence")


def _parts(masks: int, steps: int | None) -> list[int]:
    """How many of the masks each step writes: as equal as whole numbers can be, none of them 0."""
    if steps is None:
        steps = masks
    if steps < 1:
        raise ValueError(f"steps is {steps}: it must be 1 or more")
    ends = [masks * number // steps for number in range(steps + 1)]
    return [end - start for start, end in pairwise(ends) if end > start]


class _Page:
    """A frame while it is filled. Places count from `[CLS]`, which is 0."""

    def __init__(
        self, model: BertForPreTraining, tokenizer: BertTokenizer, frame: str, seed: int
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.ids = encode_text(model, tokenizer, frame)  # (T,)
        self.masks = (self.ids == tokenizer.vocab[MASK]).nonzero().flatten().tolist()
        if not self.masks:
            raise ValueError(f"there is no {MASK} in the text: put one for each token to write")
        self.probabilities = dict.fromkeys(self.masks, 0.0)
        self.generator = torch.Generator().manual_seed(seed)
        self.steps: list[Step] = []
        self._record([])

    def mask(self, places: Sequence[int]) -> None:
        """Hide the tokens at these places again."""
        self.ids[places] = self.tokenizer.vocab[MASK]

    @torch.no_grad()
    def write(
        self, places: Sequence[int], sampling: Sampling, keep: int | None = None
    ) -> Sequence[int]:
        """Draw a token for each of these masks, all from the same logits.

        With `keep`, only that many are written, the most probable. Returns where it has written.
        """
        with evaluating(self.model):
            states = self.model.bert(self.ids[None]).last_hidden_state[0, places]  # (M, D)
            logits = self.model.mlm_head(states).cpu().double()  # (M, V)
        probabilities = logits.softmax(-1)
        # No special token is written, and no row that the tokenizer has no token for.
        logits[:, [self.tokenizer.vocab[token] for token in SPECIAL_TOKENS]] = -math.inf
        logits[:, self.tokenizer.vocab_size :] = -math.inf
        drawn = sampling.probabilities(logits).multinomial(1, generator=self.generator)  # (M, 1)
        of_drawn = probabilities.gather(1, drawn)[:, 0]  # (M,)
        kept = of_drawn.sort(descending=True, stable=True).indices[:keep].sort().values
        places = [places[which] for which in kept]
        self.ids[places] = drawn[kept, 0].to(self.ids.device)
        self.probabilities.update(zip(places, of_drawn[kept].tolist(), strict=True))
        self._record(places)
        return places

    def _record(self, places: Sequence[int]) -> None:
        ids = self.ids[1:-1].tolist()
        self.steps.append(
            Step(
                ids=tuple(ids),
                tokens=tuple(self.tokenizer.convert_ids_to_tokens(ids)),
                written=tuple(place - 1 for place in places),
                probabilities=tuple(self.probabilities[place] for place in places),
            )
        )

    def generation(self, method: str) -> Generation:
        return Generation(method, self.tokenizer.decode(self.steps[-1].ids), tuple(self.steps))
