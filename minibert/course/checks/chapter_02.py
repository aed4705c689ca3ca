"""The exercises of chapter 2, embeddings."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minibert.course.checks.engine import Case, Exercise, Mistake, draw, module, prediction

A_ROW = "A row for each id"
SUM = "Three rows, summed"
NORM = "LayerNorm, by hand"
COMPANY = "Optional: starts from counts and from waves"
NEIGHBOURS = "Nearest neighbours"
SLIPS = "Mistakes people make here"


# 1: which rows learn

position_gradient = Exercise(
    name="position_gradient",
    chapter=2,
    reference=(2, 2, 2, 2, 0, 0),
    cases=lambda seed: [()],
    returns={"the gradient": ""},
    run=prediction,
    mistakes=(
        Mistake("both sequences use the same position rows, and their gradients add up", SUM,
                (1, 1, 1, 1, 0, 0)),
        Mistake("positions 4 and 5 don't occur, and a row that isn't used gets no gradient", A_ROW,
                (2, 2, 2, 2, 2, 2)),
        Mistake("rows that aren't used get no gradient, and rows that are used twice get it twice",
                A_ROW,
                (1, 1, 1, 1, 1, 1)),
        Mistake("these are the rows of the token matrix, chosen by id: position rows are chosen by "
                "position", SUM, (2, 1, 1, 3, 0, 1)),
        Mistake("this is the whole row added up: each of its three numbers has its own "
                "gradient", A_ROW, (6, 6, 6, 6, 0, 0)),
        Mistake("positions are counted from 0: the first token takes row 0", SUM,
                (0, 2, 2, 2, 2, 0)),
        Mistake("the gradient has the shape of the matrix: rows that are not used have zeros in it",
                A_ROW, (2, 2, 2, 2)),
        Mistake("BERT's position rows are learned, like the token rows: they do get a gradient",
                SUM, (0, 0, 0, 0, 0, 0)),
        Mistake("this is the number of tokens: each row is used once per sequence", SUM,
                (8, 8, 8, 8, 0, 0)),
    ),
    hints=(
        "A row's gradient says how often it was used. What chooses a position row?",
        "Position t of every sequence takes row t. How many sequences are there, and how many "
        "positions?",
        "Rows 0 to 3 are used once by each of two sequences, rows 4 and 5 never: [2, 2, 2, 2, ...",
    ),
)  # fmt: skip


# 2: read the tokens back


def reference_read_back(
    x: Tensor,
    token_matrix: Tensor,
    position_matrix: Tensor,
    segment_matrix: Tensor,
    token_type_ids: Tensor,
) -> Tensor:
    rows = x - position_matrix[: x.shape[1]] - segment_matrix[token_type_ids]
    return torch.cdist(rows, token_matrix).argmin(-1)


def read_from(left: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]):
    """The token row that is nearest to what `left` makes of sums, position rows, segments."""

    def answer(x, words, positions, segments, types):
        return torch.cdist(left(x, positions, segments, types), words).argmin(-1)

    return answer


def read_by(scores: Callable[[Tensor, Tensor], Tensor]):
    """The token of highest score between rows (B, T, D) and the token matrix."""

    def answer(x, words, positions, segments, types):
        rows = x - positions[: x.shape[1]] - segments[types]
        return scores(rows, words).argmax(-1)

    return answer


def restarted(ids: Tensor, types: Tensor) -> Tensor:
    """Places (B, T) that begin anew at the second sentence."""
    first = (types == 0).sum(1, keepdim=True)  # (B, 1)
    return torch.arange(ids.shape[1]) - first * types


def read_cases(seed: int) -> list[Case]:
    cases = []
    for V, D, B, T in ((40, 4, 2, 9), (60, 3, 3, 8), (30, 5, 2, 11)):
        generator = torch.Generator().manual_seed(seed)
        ids = torch.randint(V, (B, T), generator=generator)
        border = torch.randint(1, T, (B, 1), generator=generator)
        types = (torch.arange(T) >= border).long()  # (B, T)
        words, positions, segments = draw((V, D), (T + 3, D), (2, D), seed=seed)
        sums = words[ids] + positions[:T] + segments[types]
        cases.append((sums, words, positions, segments, types))
    return cases


read_back = Exercise(
    name="read_back",
    chapter=2,
    reference=reference_read_back,
    cases=read_cases,
    returns={"ids": "B T"},
    mistakes=(
        Mistake("nothing was subtracted: these are the token rows nearest to the whole sum", SUM,
                read_from(lambda x, p, s, types: x)),
        Mistake("the segment rows are still in the sum: subtract them too", SUM,
                read_from(lambda x, p, s, types: x - p[: x.shape[1]])),
        Mistake("the position rows are still in the sum: subtract them too", SUM,
                read_from(lambda x, p, s, types: x - s[types])),
        Mistake("position and segment rows were added a second time: subtract them", SUM,
                read_from(lambda x, p, s, types: x + p[: x.shape[1]] + s[types])),
        Mistake("the segments are swapped: 0 is the first row of the segment matrix", SUM,
                read_from(lambda x, p, s, types: x - p[: x.shape[1]] - s[1 - types])),
        Mistake("positions are counted from 1: the first token has row 0", SUM,
                read_from(lambda x, p, s, types: x - p[1 : x.shape[1] + 1] - s[types])),
        Mistake("positions begin again at the second sentence: they run through the whole sequence",
                SUM, read_from(lambda x, p, s, types: x - p[restarted(x, types)] - s[types])),
        Mistake("these are the rows with the largest dot product: long rows win, so compare "
                "distances or cosines", NEIGHBOURS, read_by(lambda rows, words: rows @ words.T)),
        Mistake("these are the farthest rows: the smallest distance is the right one", SUM,
                read_by(torch.cdist)),
    ),
    hints=(
        "You know two of the three rows at every position. What remains of x without them?",
        "Subtract the rows of position and segment. A token row remains (up to rounding), so the "
        "right token has a distance of nearly 0.",
        "torch.cdist(x - position_matrix[: x.shape[1]] - segment_matrix[token_type_ids], "
        "token_matrix), and then the smallest in each row",
    ),
)  # fmt: skip


# 3: repair a LayerNorm


def reference_norm(x: Tensor, gain: Tensor, bias: Tensor, eps: float) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    variance = (x - mean).square().mean(-1, keepdim=True)
    return gain * (x - mean) / (variance + eps).sqrt() + bias


def norm_over(dims: Callable[[Tensor], tuple[int, ...]]):
    """LayerNorm with mean and variance over these dimensions."""

    def answer(x, gain, bias, eps):
        mean = x.mean(dims(x), keepdim=True)
        variance = (x - mean).square().mean(dims(x), keepdim=True)
        return gain * (x - mean) / (variance + eps).sqrt() + bias

    return answer


def spread_by(spread: Callable[[Tensor, float], Tensor]):
    """LayerNorm that divides by this (..., 1)."""
    return lambda x, g, b, eps: g * (x - x.mean(-1, keepdim=True)) / spread(x, eps) + b


def norm_cases(seed: int) -> list[Case]:
    cases = []
    # Rows of ordinary size, and rows so small that eps decides.
    for shape, size, shift, eps in (
        ((5, 7), 1.5, 2.0, 0.1), ((2, 4, 5), 0.1, 0.3, 1e-2), ((2, 4, 3), 0.002, 0.0, 1e-6),
    ):  # fmt: skip
        x, gain, bias = draw(shape, shape[-1:], shape[-1:], seed=seed)
        cases.append((size * x + shift, gain, bias, eps))
    cases[0][0][1] = 2.0  # a row of equal numbers
    return cases


OF_SPREAD = (
    Mistake("the variance is divided by D - 1, not by D: LayerNorm uses the biased variance", SLIPS,
            spread_by(lambda x, eps: (x.var(-1, keepdim=True) + eps).sqrt())),
    Mistake("eps is outside the root: it is added to the variance, before the root", NORM,
            spread_by(lambda x, eps: x.std(-1, keepdim=True, correction=0) + eps)),
    Mistake("the root is missing: this divides by the variance", NORM,
            spread_by(lambda x, eps: x.var(-1, keepdim=True, correction=0) + eps)),
    Mistake("eps is not used: a row of equal numbers is 0/0", NORM,
            lambda x, g, b, eps: reference_norm(x, g, b, 0.0)),
    Mistake("eps is torch's default of 1e-5, not the value that was passed in", SLIPS,
            lambda x, g, b, eps: reference_norm(x, g, b, 1e-5)),
    Mistake("eps is fixed at 1e-12, not the value that was passed in", NORM,
            lambda x, g, b, eps: reference_norm(x, g, b, 1e-12)),
    Mistake("the mean isn't subtracted before squaring, so this isn't a variance", NORM,
            spread_by(lambda x, eps: (x.square().mean(-1, keepdim=True) + eps).sqrt())),
    Mistake("nothing is subtracted: this is RMSNorm, but LayerNorm subtracts the mean", NORM,
            lambda x, g, b, eps:
            g * x / (x.square().mean(-1, keepdim=True) + eps).sqrt() + b),
    Mistake("the mean isn't subtracted, and only the standard deviation becomes 1", NORM,
            lambda x, g, b, eps:
            g * x / (x.var(-1, keepdim=True, correction=0) + eps).sqrt() + b),
    Mistake("mean and variance run over tokens: they run over the D numbers of each token",
            NORM, norm_over(lambda x: (-2,))),
    Mistake("a sequence shares one mean and variance: each token has its own", NORM,
            norm_over(lambda x: (-2, -1))),
    Mistake("the whole input shares one mean and variance: each token has its own", NORM,
            norm_over(lambda x: tuple(range(x.dim())))),
    Mistake("this is batch norm: mean and variance run over all tokens, for each column", NORM,
            norm_over(lambda x: tuple(range(x.dim() - 1)))),
)  # fmt: skip
"""What goes wrong with mean and variance."""

layer_norm = Exercise(
    name="layer_norm",
    chapter=2,
    reference=reference_norm,
    cases=norm_cases,
    returns={"normed": "... D"},
    mistakes=(
        Mistake("two errors in one line: torch's std divides by D - 1, and eps is outside the root",
                SLIPS, spread_by(lambda x, eps: x.std(-1, keepdim=True) + eps)),
        *OF_SPREAD,
        Mistake("gain and bias are not used", NORM,
                lambda x, g, b, eps: reference_norm(x, torch.ones(()), torch.zeros(()), eps)),
        Mistake("the gain is not used", NORM,
                lambda x, g, b, eps: reference_norm(x, torch.ones(()), b, eps)),
        Mistake("the bias is not used", NORM,
                lambda x, g, b, eps: reference_norm(x, g, torch.zeros(()), eps)),
        Mistake("the gain is added, not multiplied by", NORM,
                lambda x, g, b, eps: reference_norm(x, torch.ones(()), g + b, eps)),
        Mistake("the bias is multiplied by the gain: it is added last", NORM,
                lambda x, g, b, eps: reference_norm(x, g, g * b, eps)),
        Mistake("gain and bias are swapped", NORM,
                lambda x, g, b, eps: reference_norm(x, b, g, eps)),
    ),
    hints=(
        "Two things are wrong in one line. Does torch's `std` divide by D or by D - 1?",
        "Compute the variance, which divides by D. Then add eps to it, and take the root last.",
        "spread = (x.var(-1, keepdim=True, correction=0) + eps).sqrt()",
    ),
)  # fmt: skip


# 4: co-occurrence counts


def reference_pairs(documents: list[list[int]], vocab_size: int, window: int) -> np.ndarray:
    pairs = np.zeros((vocab_size, vocab_size))
    for ids in documents:
        for i, a in enumerate(ids):
            for j, b in enumerate(ids):
                if 0 < abs(i - j) <= window:
                    pairs[a, b] += 1 / abs(i - j)
    return pairs


def counted(
    weight: Callable[[int, int], float] = lambda d, window: 1 / d,
    sides: tuple[int, ...] = (-1, 1),
    wider: int = 0,
    around: bool = False,
):
    """Counts whose neighbour at distance d counts `weight(d, window)`, on these sides.

    The window is `wider` than asked; `around`, and it goes on at the document's other end.
    """

    def answer(documents, vocab_size, window):
        pairs = np.zeros((vocab_size, vocab_size))
        for ids in documents:
            for i in range(len(ids)):
                for d in range(1, window + wider + 1):
                    for j in (i + side * d for side in sides):
                        if around or 0 <= j < len(ids):
                            pairs[ids[i], ids[j % len(ids)]] += weight(d, window)
        return pairs

    return answer


def lost_repeats(documents: list[list[int]], vocab_size: int, window: int) -> np.ndarray:
    """`+=` with arrays of indices: a pair that is in them twice is added once."""
    pairs = np.zeros((vocab_size, vocab_size))
    for ids in map(np.array, documents):
        for d in range(1, window + 1):
            pairs[ids[:-d], ids[d:]] += 1 / d
            pairs[ids[d:], ids[:-d]] += 1 / d
    return pairs


def overwritten(documents: list[list[int]], vocab_size: int, window: int) -> np.ndarray:
    """`=` where `+=` was meant."""
    pairs = np.zeros((vocab_size, vocab_size))
    for ids in documents:
        for i, a in enumerate(ids):
            for j, b in enumerate(ids):
                if 0 < abs(i - j) <= window:
                    pairs[a, b] = 1 / abs(i - j)
    return pairs


def joined(documents: list[list[int]]) -> list[int]:
    return [token_id for ids in documents for token_id in ids]


def without_diagonal(pairs: np.ndarray, keep: float) -> np.ndarray:
    """Counts (V, V) with this much of the diagonal left."""
    return pairs - (1 - keep) * np.diag(np.diag(pairs))


def pair_cases(seed: int) -> list[Case]:
    rng = np.random.default_rng(seed)
    # Few kinds of tokens, so that pairs repeat; a document shorter than the window, and one token.
    shapes = ((5, 2, (9, 2, 7)), (4, 3, (8, 1, 6)), (6, 4, (3, 11)), (3, 1, (6, 5)))
    return [
        ([rng.integers(V, size=length).tolist() for length in lengths], V, window)
        for V, window, lengths in shapes
    ]


cooccurrence = Exercise(
    name="cooccurrence",
    chapter=2,
    reference=reference_pairs,
    cases=pair_cases,
    returns={"pairs": "V V"},
    mistakes=(
        Mistake("only neighbours to the right are counted: the window has two sides", COMPANY,
                counted(sides=(1,))),
        Mistake("only neighbours to the left are counted: the window has two sides", COMPANY,
                counted(sides=(-1,))),
        Mistake("every neighbour counts 1: a neighbour at distance d counts 1/d", COMPANY,
                counted(lambda d, window: 1.0)),
        Mistake("the weights fall in a straight line: a neighbour at distance d counts 1/d",
                COMPANY,
                counted(lambda d, window: (window - d + 1) / window)),
        Mistake("a neighbour at distance d counts 1/d², not 1/d", COMPANY,
                counted(lambda d, window: 1 / d**2)),
        Mistake("a direct neighbour counts 1/2 here, but its distance is 1, not 2", COMPANY,
                counted(lambda d, window: 1 / (d + 1))),
        Mistake("a neighbour at distance d counts d: far neighbours count less, 1/d", COMPANY,
                counted(lambda d, window: float(d))),
        Mistake("the window is one too narrow: a neighbour at distance `window` is in it", COMPANY,
                counted(wider=-1)),
        Mistake("the window is one too wide: it ends at distance `window`", COMPANY,
                counted(wider=1)),
        Mistake("the window wraps around to the other end of the document, because ids[-1] isn't "
                "an error",
                COMPANY, counted(around=True)),
        Mistake("the window reaches from one document into the next", COMPANY,
                lambda documents, V, window: reference_pairs([joined(documents)], V, window)),
        Mistake("only the first document is counted", COMPANY,
                lambda documents, V, window: reference_pairs(documents[:1], V, window)),
        Mistake("only the last document is counted", COMPANY,
                lambda documents, V, window: reference_pairs(documents[-1:], V, window)),
        Mistake("each token is counted as its own neighbour, at distance 0", COMPANY,
                lambda documents, V, window: reference_pairs(documents, V, window)
                + np.diag(np.bincount(joined(documents), minlength=V))),
        Mistake("every pair is counted twice", COMPANY,
                lambda *case: 2 * reference_pairs(*case)),
        Mistake("two equal tokens near each other are a pair too, so the diagonal isn't 0", COMPANY,
                lambda *case: without_diagonal(reference_pairs(*case), 0)),
        Mistake("two equal tokens near each other were counted once: each is a neighbour of the "
                "other", COMPANY,
                lambda *case: without_diagonal(reference_pairs(*case), 0.5)),
        Mistake("+= with arrays of indices adds a repeated pair only once", COMPANY, lost_repeats),
        Mistake("a pair's count is overwritten: add to it", COMPANY, overwritten),
    ),
    hints=(
        "Three loops will do: over documents, over positions, and over positions near them.",
        "Two positions i and j of one document are neighbours if their distance |i - j| is 1, 2, "
        "... or `window`. Each such (i, j) adds 1 / |i - j| to one cell.",
        "if 0 < abs(i - j) <= window: pairs[ids[i], ids[j]] += 1 / abs(i - j)",
    ),
)  # fmt: skip


# 5: PPMI


def reference_ppmi(counts: np.ndarray, context_power: float) -> np.ndarray:
    together = counts / counts.sum()
    words = counts.sum(1) / counts.sum()
    contexts = counts.sum(0) ** context_power
    chance = np.outer(words, contexts / contexts.sum())
    met = counts > 0
    times = np.ones_like(chance)
    times[met] = together[met] / chance[met]
    return np.log(np.maximum(times, 1))


def share(numbers: np.ndarray) -> np.ndarray:
    return numbers / numbers.sum()


def positive(together: np.ndarray, words: np.ndarray, contexts: np.ndarray) -> np.ndarray:
    """PPMI (V, V) of shares of pairs, words and contexts, whatever these shares are."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.maximum(np.nan_to_num(np.log(together / np.outer(words, contexts))), 0)


def of_times(finish: Callable[[np.ndarray], np.ndarray]):
    """What becomes of p(a, b) / (p(a) p(b)), NaN and all."""

    def answer(counts, power):
        with np.errstate(divide="ignore", invalid="ignore"):
            contexts = share(counts.sum(0) ** power)
            return finish(share(counts) / np.outer(share(counts.sum(1)), contexts))

    return answer


def ppmi_cases(seed: int) -> list[Case]:
    rng = np.random.default_rng(seed)
    cases = []
    for V, power in ((6, 1.0), (5, 0.75), (7, 0.5)):
        counts = rng.integers(0, 4, (V, V)) / rng.integers(1, 4, (V, V))
        counts[2, 0] = counts[0, 2] = 3.0  # never an empty matrix
        counts[V - 1] = 0.0  # a word that never occurs
        counts[:, V - 2] = 0.0  # and a context that never does
        cases.append((counts, power))
    return cases


ppmi = Exercise(
    name="ppmi",
    chapter=2,
    reference=reference_ppmi,
    cases=ppmi_cases,
    returns={"information": "V V"},
    mistakes=(
        Mistake("values below 0 are still there: words that never occur together have log 0, "
                "minus infinity",
                COMPANY, of_times(np.log)),
        Mistake("a word that never occurs is NaN, by 0/0: its cells are 0", COMPANY,
                of_times(lambda times: np.maximum(np.log(times), 0))),
        Mistake("pairs that occur less often than by chance have negative values: they are set to "
                "0",
                COMPANY, of_times(lambda times: np.log(np.where(times > 0, times, 1)))),
        Mistake("negative values lost their sign: they are set to 0", COMPANY,
                of_times(lambda times: abs(np.log(np.where(times > 0, times, 1))))),
        Mistake("the logarithm has base 2: use the natural logarithm", COMPANY,
                lambda *case: reference_ppmi(*case) / math.log(2)),
        Mistake("the logarithm has base 10: use the natural logarithm", COMPANY,
                lambda *case: reference_ppmi(*case) / math.log(10)),
        Mistake("1 was added before the logarithm, so even a pair by chance is above 0", COMPANY,
                of_times(lambda times: np.log1p(np.nan_to_num(times)))),
        Mistake("the logarithm is missing", COMPANY,
                of_times(lambda times: np.nan_to_num(times))),
        Mistake("these are logarithms of counts: nothing was divided by chance", COMPANY,
                lambda counts, power: np.log(np.maximum(counts, 1))),
        Mistake("p(a, b) is the count itself: it is not divided by the sum of all counts", COMPANY,
                lambda counts, power: positive(
                    counts, share(counts.sum(1)), share(counts.sum(0) ** power))),
        Mistake("p(a, b) is the share of a row, not of all counts, so you divide by p(a) twice",
                COMPANY, lambda counts, power: positive(
                    counts / np.maximum(counts.sum(1, keepdims=True), 1e-9),
                    share(counts.sum(1)), share(counts.sum(0) ** power))),
        Mistake("the context's share is missing: a frequent context looks close to every word",
                COMPANY,
                lambda counts, power: positive(
                    share(counts), share(counts.sum(1)), np.ones(len(counts)) / len(counts))),
        Mistake("the power is not used", COMPANY,
                lambda counts, power: reference_ppmi(counts, 1.0)),
        Mistake("the power is fixed at 0.75, not the value that was passed in", COMPANY,
                lambda counts, power: reference_ppmi(counts, 0.75)),
        Mistake("the power was taken of the word's count, not of the context's", COMPANY,
                lambda counts, power: positive(
                    share(counts), share(counts.sum(1) ** power), share(counts.sum(0)))),
        Mistake("the power was taken of both counts, not of the context's alone", COMPANY,
                lambda counts, power: positive(
                    share(counts), share(counts.sum(1) ** power), share(counts.sum(0) ** power))),
        Mistake("after the power the contexts' shares no longer add up to 1: divide again", COMPANY,
                lambda counts, power: positive(
                    share(counts), share(counts.sum(1)), share(counts.sum(0)) ** power)),
        Mistake("each count was taken to the power, then added up: first add up the column, then "
                "the power", COMPANY,
                lambda counts, power: positive(
                    share(counts), share(counts.sum(1)), share((counts**power).sum(0)))),
        Mistake("the context's share was taken from a row: contexts are columns", COMPANY,
                lambda counts, power: positive(
                    share(counts), share(counts.sum(1)), share(counts.sum(1) ** power))),
        Mistake("words and contexts are swapped: words are rows, contexts are columns", COMPANY,
                lambda counts, power: positive(
                    share(counts), share(counts.sum(0)), share(counts.sum(1) ** power))),
    ),
    hints=(
        "Three shares: of the pair, the word and the context. What would the first be by chance?",
        "By chance, a pair's share is the product of the other two. Divide by this product. If "
        "the ratio is below 1, make it 1, because log 1 = 0.",
        "np.log(np.maximum(np.nan_to_num(together / np.outer(words, contexts)), 1))",
    ),
)  # fmt: skip


# 6: nearest neighbours


def reference_nearest(vectors: Tensor, token_id: int, k: int) -> Tensor:
    unit = vectors / vectors.norm(dim=-1, keepdim=True)
    cosines = unit @ unit[token_id]
    cosines[token_id] = -math.inf
    return cosines.argsort(descending=True)[:k]


def by(scores: Callable[[Tensor, int], Tensor], own: float = -math.inf):
    """The k of highest score; a token's own is set to `own`."""

    def answer(vectors, token_id, k):
        found = scores(vectors, token_id).clone()
        found[token_id] = own
        return found.argsort(descending=True)[:k]

    return answer


def cosines_of(vectors: Tensor, token_id: int) -> Tensor:
    unit = F.normalize(vectors, dim=-1)
    return unit @ unit[token_id]


def products_of(vectors: Tensor, token_id: int) -> Tensor:
    return vectors @ vectors[token_id]


def distances_to(vectors: Tensor, token_id: int) -> Tensor:
    return (vectors - vectors[token_id]).norm(dim=-1)


def columns_normalised(vectors: Tensor, token_id: int) -> Tensor:
    unit = F.normalize(vectors, dim=0)
    return unit @ unit[token_id]


def nearest_cases(seed: int) -> list[Case]:
    cases = []
    for V, D, token_id, k in (
        (12, 3, 4, 4), (9, 4, 0, 3), (15, 2, 14, 6), (8, 5, 3, 1), (7, 2, 2, 5),
    ):  # fmt: skip
        directions, lengths = draw((V, D), (V, 1), seed=seed)
        lengths[token_id] = -0.5  # a row that is not long: by products it is not its own nearest
        cases.append((directions * lengths.exp(), token_id, k))
    return cases


nearest = Exercise(
    name="nearest",
    chapter=2,
    reference=reference_nearest,
    cases=nearest_cases,
    returns={"ids": "k"},
    mistakes=(
        Mistake("these are the nearest by dot product: long rows win, whatever their direction",
                NEIGHBOURS,
                by(products_of)),
        Mistake("by dot product, a token needn't be first in its own list, so a neighbour is "
                "dropped here", NEIGHBOURS,
                lambda v, i, k: products_of(v, i).argsort(descending=True)[1 : k + 1]),
        Mistake("these are the nearest by dot product, and the token itself may be among them",
                NEIGHBOURS,
                lambda v, i, k: products_of(v, i).argsort(descending=True)[:k]),
        Mistake("the token itself is among its neighbours", NEIGHBOURS,
                lambda v, i, k: cosines_of(v, i).argsort(descending=True)[:k]),
        Mistake("these are the farthest rows: the nearest have the largest cosine", NEIGHBOURS,
                by(lambda v, i: -cosines_of(v, i))),
        Mistake("these are sorted from far to near: the nearest comes first", NEIGHBOURS,
                lambda *case: reference_nearest(*case).flip(0)),
        Mistake("these are sorted by id: the nearest comes first", NEIGHBOURS,
                lambda *case: reference_nearest(*case).sort().values),
        Mistake("these are nearest by distance, which depends on lengths: a cosine doesn't",
                NEIGHBOURS, by(lambda v, i: -distances_to(v, i))),
        Mistake("the sign of the cosine is lost: a row in the opposite direction isn't near",
                NEIGHBOURS,
                by(lambda v, i: cosines_of(v, i).abs())),
        Mistake("the columns were scaled to length 1: scale the rows",
                NEIGHBOURS, by(columns_normalised)),
        Mistake("rows are divided by the squares of their lengths: the root is missing", NEIGHBOURS,
                by(lambda v, i: products_of(v, i) / v.square().sum(-1))),
        Mistake("rows are divided by the sums of their absolute values, not by their lengths",
                NEIGHBOURS,
                by(lambda v, i: products_of(v, i) / v.abs().sum(-1))),
        Mistake("the mean of each row was subtracted first, which gives a correlation and not a "
                "cosine",
                NEIGHBOURS, by(lambda v, i: cosines_of(v - v.mean(-1, keepdim=True), i))),
        Mistake("the token itself got a cosine of 0, so it beats all rows with a negative cosine: "
                "-inf is below all of them", NEIGHBOURS, by(cosines_of, own=0.0)),
        Mistake("the nearest row is missing: leave out only the token itself", NEIGHBOURS,
                lambda v, i, k: reference_nearest(v, i, k + 1)[1:]),
    ),
    hints=(
        "A cosine doesn't depend on the lengths of the rows. What must you do to them before the "
        "product?",
        "Divide each row by its length. Then take products with one row, leave the token itself "
        "out, and sort.",
        "unit = F.normalize(vectors, dim=-1), and then the scores are unit @ unit[token_id]",
    ),
)  # fmt: skip


# 7: all of it


class Reference(nn.Module):
    """Ids (B, T) -> vectors (B, T, D): token + position + segment, then LayerNorm."""

    def __init__(self, vocab_size: int, hidden_size: int, max_length: int) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab_size, hidden_size)
        self.position_embeddings = nn.Embedding(max_length, hidden_size)
        self.token_type_embeddings = nn.Embedding(2, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=1e-12)

    def rows(self, ids: Tensor, types: Tensor | None, places: Tensor | None) -> tuple[Tensor, ...]:
        if types is None:
            types = torch.zeros_like(ids)
        if places is None:
            places = torch.arange(ids.shape[1])
        words = self.word_embeddings(ids)
        return words, self.position_embeddings(places), self.token_type_embeddings(types)

    def forward(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> Tensor:
        words, places, segments = self.rows(input_ids, token_type_ids, position_ids)
        return self.norm(words + places + segments)


def variant(forward: Callable[..., Tensor]):
    """The reference with another `forward(self, ids, types, places)`."""
    return type(
        "Wrong",
        (Reference,),
        {"forward": lambda self, ids, types=None, places=None: forward(self, ids, types, places)},
    )


def fed(change: Callable[..., tuple]):
    """The reference, called with what `change(ids, types, places)` makes of its inputs."""
    return variant(lambda self, *given: Reference.forward(self, *change(*given)))


def finished(finish: Callable[..., Tensor]):
    """The reference, whose three rows are put together by `finish(self, *rows)`."""
    return variant(lambda self, *given: finish(self, *Reference.rows(self, *given)))


def counted_from_one(ids: Tensor, types: Tensor | None, places: Tensor | None) -> tuple:
    return ids, types, torch.arange(ids.shape[1]) + 1 if places is None else places


def left_out_if_missing(
    self: Reference, ids: Tensor, types: Tensor | None, places: Tensor | None
) -> Tensor:
    """Without segment ids, no segment row is added."""
    words, positions, segments = self.rows(ids, types, places)
    return self.norm(words + positions + (0 if types is None else segments))


def module_cases(seed: int) -> list[Case]:
    cases = []
    for number, (V, D, L, B, T) in enumerate(
        ((7, 6, 9, 2, 5), (6, 5, 8, 3, 4), (5, 4, 7, 2, 6), (8, 3, 10, 4, 7))
    ):
        names = ("word_embeddings.weight", "position_embeddings.weight",
                 "token_type_embeddings.weight", "norm.weight", "norm.bias")  # fmt: skip
        numbers = draw((V, D), (L, D), (2, D), (D,), (D,), seed=seed)
        small = [0.02 * tensor for tensor in numbers[:3]]  # as BERT begins: eps = 1e-5 would show
        weights = dict(zip(names, [*small, *numbers[3:]], strict=True))
        generator = torch.Generator().manual_seed(seed)
        ids = torch.randint(V, (B, T), generator=generator)
        types = torch.randint(2, (B, T), generator=generator)
        padded = torch.arange(B)[:, None]  # so many tokens of padding, on the left
        places = (torch.arange(T) - padded).clamp(min=0)  # (B, T)
        inputs = ((ids, types), (ids,), (ids, None, places), (ids, types, places))[number]
        cases.append(({"vocab_size": V, "hidden_size": D, "max_length": L}, weights, *inputs))
    return cases


embeddings = Exercise(
    name="Embeddings",
    chapter=2,
    reference=Reference,
    cases=module_cases,
    run=module,
    returns={"vectors": "B T D"},
    mistakes=(
        Mistake("the LayerNorm is missing", NORM, finished(lambda self, w, p, s: w + p + s)),
        Mistake("eps is torch's default of 1e-5: BERT's is 1e-12, and its first sums are small",
                SLIPS, finished(lambda self, w, p, s: F.layer_norm(
                    w + p + s, w.shape[-1:], self.norm.weight, self.norm.bias, 1e-5))),
        Mistake("gain and bias of the LayerNorm are not used", NORM,
                finished(lambda self, w, p, s: F.layer_norm(w + p + s, w.shape[-1:], eps=1e-12))),
        Mistake("the LayerNorm ran before positions and segments were added", SUM,
                finished(lambda self, w, p, s: self.norm(w) + p + s)),
        Mistake("each of the three rows went through LayerNorm: only their sum should",
                SUM, finished(lambda self, w, p, s: self.norm(w) + self.norm(p) + self.norm(s))),
        Mistake("LayerNorm ran twice", NORM,
                finished(lambda self, w, p, s: self.norm(self.norm(w + p + s)))),
        Mistake("a sequence shares one mean and variance: each token has its own", NORM,
                finished(lambda self, w, p, s: F.layer_norm(w + p + s, w.shape[1:], eps=1e-12)
                         * self.norm.weight + self.norm.bias)),
        Mistake("positions are forgotten", SLIPS, finished(lambda self, w, p, s: self.norm(w + s))),
        Mistake("segments are forgotten: even where all are 0, a row is added", SLIPS,
                finished(lambda self, w, p, s: self.norm(w + p))),
        Mistake("without token_type_ids, no segment row is added: all tokens are in segment 0 then",
                SLIPS, variant(left_out_if_missing)),
        Mistake("every token has segment 0: token_type_ids is not used where it is given", SLIPS,
                fed(lambda ids, types, places: (ids, None, places))),
        Mistake("segments are swapped: 0 is the first row, 1 the second", SUM,
                fed(lambda ids, types, places:
                    (ids, 1 - (0 * ids if types is None else types), places))),
        Mistake("position_ids are not used where they are given", SUM,
                fed(lambda ids, types, places: (ids, types, None))),
        Mistake("positions are counted from 1", SUM, fed(counted_from_one)),
        Mistake("position rows are chosen by token id: they are chosen by position", SUM,
                fed(lambda ids, types, places: (ids, types, ids))),
        Mistake("position rows are chosen by the number of the sequence in the batch", SUM,
                fed(lambda ids, types, places: (ids, types, torch.arange(len(ids))[:, None]))),
        Mistake("token rows are multiplied by √D: the first Transformer did so, BERT does not", SUM,
                finished(lambda self, w, p, s: self.norm(w * math.sqrt(w.shape[-1]) + p + s))),
        Mistake("the three rows are multiplied, not added", SUM,
                finished(lambda self, w, p, s: self.norm(w * p * s))),
    ),
    hints=(
        "You need three nn.Embedding and one nn.LayerNorm. Which segments and positions do you use "
        "if none are given?",
        "Missing segments are zeros, which choose a row like any others. Missing positions are "
        "0, 1, ..., T - 1. The default eps of torch's LayerNorm isn't BERT's.",
        "self.norm = nn.LayerNorm(hidden_size, eps=1e-12), and all three rows are added before it",
    ),
)  # fmt: skip

EXERCISES = (
    position_gradient,
    read_back,
    layer_norm,
    cooccurrence,
    ppmi,
    nearest,
    embeddings,
)


# Blanks in the chapter


def reference_look_up(ids: Tensor, matrix: Tensor) -> Tensor:
    return F.one_hot(ids, len(matrix)).float() @ matrix


def look_up_cases(seed: int) -> list[Case]:
    cases = []
    for V, shape in ((6, (5,)), (5, (2, 4))):  # as many columns as rows: a slip keeps the shape
        generator = torch.Generator().manual_seed(seed)
        (matrix,) = draw((V, V), seed=seed)
        cases.append((torch.randint(V, shape, generator=generator), matrix))
    return cases


look_up = Exercise(
    name="look_up",
    chapter=2,
    reference=reference_look_up,
    cases=look_up_cases,
    returns={"rows": "... T D"},
    mistakes=(
        Mistake("these are columns of the matrix: a token has a row", A_ROW,
                lambda ids, m: m.T[ids]),
        Mistake("these are the one-hot rows: they still have to be multiplied by the matrix", A_ROW,
                lambda ids, m: F.one_hot(ids, len(m)).float()),
        Mistake("each id was used as an amount, id times a row: an id only says which row", A_ROW,
                lambda ids, m: ids[..., None] * m[0]),
        Mistake("ids are counted from 0: id 0 is the first row", A_ROW,
                lambda ids, m: m[ids - 1]),
        Mistake("the 1 is one column too far to the right: id 0 is the first row", A_ROW,
                lambda ids, m: m[(ids + 1) % len(m)]),
        Mistake("the rows are in the order of their ids: keep the order of the text", A_ROW,
                lambda ids, m: m[ids.sort(-1).values]),
        Mistake("all rows are the same mixture: each token needs a one-hot row to itself", A_ROW,
                lambda ids, m: m[ids].mean(-2, keepdim=True).expand(*ids.shape, -1)),
    ),
)  # fmt: skip


def reference_sum(
    token_matrix: Tensor,
    position_matrix: Tensor,
    segment_matrix: Tensor,
    input_ids: Tensor,
    token_type_ids: Tensor,
) -> Tensor:
    places = torch.arange(input_ids.shape[1])
    return token_matrix[input_ids] + position_matrix[places] + segment_matrix[token_type_ids]


def placed(places: Callable[[Tensor, Tensor], Tensor]):
    """The sum with position rows chosen by `places`, made from ids and segments."""

    def answer(words, positions, segments, ids, types):
        return words[ids] + positions[places(ids, types)] + segments[types]

    return answer


def sum_cases(seed: int) -> list[Case]:
    # More places than tokens, so that a look-up by the wrong index is no error.
    cases = []
    for V, L, D, B, T in ((7, 9, 4, 2, 5), (5, 8, 3, 3, 4), (6, 7, 5, 1, 6)):
        generator = torch.Generator().manual_seed(seed)
        ids = torch.randint(V, (B, T), generator=generator)
        border = torch.randint(1, T, (B, 1), generator=generator)
        types = (torch.arange(T) >= border).long()  # (B, T)
        cases.append((*draw((V, D), (L, D), (2, D), seed=seed), ids, types))
    return cases


input_sum = Exercise(
    name="input_sum",
    chapter=2,
    reference=reference_sum,
    cases=sum_cases,
    returns={"summed": "B T D"},
    mistakes=(
        Mistake("positions are forgotten: a sentence and its words shuffled have the same rows",
                SLIPS, lambda w, p, s, ids, types: w[ids] + s[types]),
        Mistake("segments are forgotten: nothing distinguishes the two sentences", SLIPS,
                lambda w, p, s, ids, types: reference_sum(w, p, s, ids, types) - s[types]),
        Mistake("segments are swapped: 0 is the first row of the segment matrix, 1 the second",
                SUM, lambda w, p, s, ids, types: reference_sum(w, p, s, ids, 1 - types)),
        Mistake("every token has segment 0: token_type_ids is not used", SLIPS,
                lambda w, p, s, ids, types: reference_sum(w, p, s, ids, 0 * types)),
        Mistake("position rows are chosen by token id: they are chosen by position, 0, 1, ...", SUM,
                placed(lambda ids, types: ids)),
        Mistake("positions are counted from 1: row 0 belongs to the first token", SUM,
                placed(lambda ids, types: torch.arange(ids.shape[1]) + 1)),
        Mistake("position rows are chosen by the number of the sequence in the batch, not by "
                "position",
                SUM, placed(lambda ids, types: torch.arange(len(ids))[:, None])),
        Mistake("positions begin again at the second sentence: they run through the whole sequence",
                SUM, placed(restarted)),
        Mistake("positions run backwards: row 0 belongs to the first token", SUM,
                placed(lambda ids, types: torch.arange(ids.shape[1]).flip(0))),
        Mistake("every token got the position row 0", SUM, placed(lambda ids, types: 0 * ids)),
        Mistake("this is the mean of the three rows, not their sum", SUM,
                lambda *case: reference_sum(*case) / 3),
        Mistake("the three rows are multiplied, not added", SUM,
                lambda w, p, s, ids, types: w[ids] * p[: ids.shape[1]] * s[types]),
        Mistake("token rows are multiplied by √D: the first Transformer did so, BERT does not", SUM,
                lambda w, *case: reference_sum(w * math.sqrt(w.shape[1]), *case)),
        Mistake("the segment's number was added, not its row", SUM,
                lambda w, p, s, ids, types: w[ids] + p[: ids.shape[1]] + types[..., None]),
        Mistake("the position's number was added, not its row", SUM,
                lambda w, p, s, ids, types:
                w[ids] + torch.arange(ids.shape[1])[:, None] + s[types]),
    ),
)  # fmt: skip


def reference_normalise(x: Tensor, eps: float) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    variance = (x - mean).square().mean(-1, keepdim=True)
    return (x - mean) / (variance + eps).sqrt()


def without_gain(answer: Callable[..., Tensor]):
    """A LayerNorm whose gain is 1 and whose bias is 0."""
    return lambda x, eps: answer(x, torch.ones(()), torch.zeros(()), eps)


normalise = Exercise(
    name="normalise",
    chapter=2,
    reference=reference_normalise,
    cases=lambda seed: [(x, eps) for x, _, _, eps in norm_cases(seed)],
    returns={"normed": "... D"},
    mistakes=tuple(Mistake(m.says, m.see, without_gain(m.answer)) for m in OF_SPREAD),
)

BLANKS = (look_up, input_sum, normalise)
