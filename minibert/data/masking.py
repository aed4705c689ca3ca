"""Which tokens a model must predict, and what it sees in their place (Devlin et al., 2019, 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minibert.model import IGNORE_INDEX
from minibert.tokenizer import CLS, MASK, PAD, SEP, SPECIAL_TOKENS, BertTokenizer


@dataclass(frozen=True)
class Masking:
    """Which tokens are to be predicted, and what is put in their place."""

    probability: float = 0.15
    mask: float = 0.8
    """Share of the chosen tokens that become `[MASK]`."""
    random: float = 0.1
    """Share that become a random token. The rest stay as they are."""
    whole_word: bool = False
    max_predictions: int | None = None
    """No more than so many in a sequence: 20 at T = 128 in the original."""
    random_specials: bool = True
    """Whether `[CLS]` and its like may be drawn as the random token: so in the original. Then the
    model may see a `[PAD]` that is no padding: take `attention_mask` from the batch."""


EVALUATION_MASKING = Masking(mask=1.0, random=0.0)
"""For measuring: 15 % chosen, all of them hidden. A token left in its place would be a gift."""


class Masker:
    """Masks batches of ids for one vocabulary."""

    def __init__(self, tokenizer: BertTokenizer, masking: Masking) -> None:
        self.masking = masking
        self.mask_id = tokenizer.vocab[MASK]
        self.never = np.array([tokenizer.vocab[t] for t in (CLS, SEP, PAD)])
        special = {tokenizer.vocab[token] for token in SPECIAL_TOKENS}
        ids = range(tokenizer.vocab_size)
        self.random_ids = np.array([i for i in ids if masking.random_specials or i not in special])
        self.continues = np.array([token.startswith("##") for token in tokenizer.tokens])  # (V,)

    def __call__(self, ids: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Ids (B, T) -> what the model sees (B, T), and labels (B, T).

        A label is the token to predict, or -100. The number of predictions of a sequence is fixed
        by its length, `[CLS]` and `[SEP]` counted: max(1, round(probability x length)).
        """
        masking = self.masking
        candidates = ~np.isin(ids, self.never)  # (B, T)
        lengths = (ids != self.never[2]).sum(1)
        numbers = np.maximum(1, np.rint(masking.probability * lengths)).astype(int)  # (B,)
        if masking.max_predictions is not None:
            numbers = np.minimum(numbers, masking.max_predictions)
        if masking.whole_word:
            chosen = choose_words(candidates, self.continues[ids], numbers, rng)
        else:
            chosen = choose_tokens(candidates, numbers, rng)
        labels = np.where(chosen, ids, IGNORE_INDEX)
        # One draw decides all three fates, so their shares cannot interfere.
        fate = rng.random(ids.shape)
        random_ids = rng.choice(self.random_ids, ids.shape)
        seen = np.where(chosen & (fate < masking.mask), self.mask_id, ids)
        is_random = chosen & (fate >= masking.mask) & (fate < masking.mask + masking.random)
        return np.where(is_random, random_ids, seen), labels


def choose_tokens(
    candidates: np.ndarray, numbers: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """`numbers[b]` of row b's candidates (all, if there are fewer), as a mask (B, T)."""
    lots = np.where(candidates, rng.random(candidates.shape), 2.0)
    ranks = lots.argsort(1).argsort(1)  # (B, T): 0 for the lowest lot
    return candidates & (ranks < numbers[:, None])


def choose_words(
    candidates: np.ndarray, continues: np.ndarray, numbers: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Whole words at random, each taken if it still fits into `numbers[b]` tokens: a mask (B, T).

    A word is a candidate and the `##` pieces after it.
    """
    rows, width = candidates.shape
    begins = candidates & ~(continues & np.roll(candidates, 1, axis=1))
    words = np.where(candidates, begins.cumsum(1), 0)  # (B, T): the word's number, 0 for none
    row_numbers = np.arange(rows)
    sizes = np.zeros((rows, width + 1), dtype=int)
    np.add.at(sizes, (row_numbers[:, None], words), 1)
    sizes[:, 0] = 0
    order = np.where(sizes > 0, rng.random(sizes.shape), 2.0).argsort(1)  # (B, T + 1)
    taken = np.zeros(sizes.shape, dtype=bool)
    left = numbers.copy()
    for rank in range((sizes > 0).sum(1).max()):
        word = order[:, rank]
        size = sizes[row_numbers, word]
        fits = (size > 0) & (size <= left)
        taken[row_numbers, word] = fits
        left = left - size * fits
    return taken[row_numbers[:, None], words]
