"""Which tokens a model must predict, and what it sees in their place (Devlin et al., 2019, 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minibert.model import IGNORE_INDEX
from minibert.settings import Count, Share, check
from minibert.tokenizer import CLS, MASK, PAD, SEP, SPECIAL_TOKENS, BertTokenizer


@dataclass(frozen=True)
class Masking:
    """How many tokens are chosen for prediction, and what replaces them.

    Raises `ValueError` for shares outside 0 to 1, or that add up to more than 1.
    """

    probability: Share = 0.15
    """The share of a sequence that is chosen."""
    mask: Share = 0.8
    """The share of the chosen tokens that become `[MASK]`."""
    random: Share = 0.1
    """The share that become a random token. The rest keep their place."""
    whole_word: bool = False
    """Choose all pieces of a word, or none."""
    max_predictions: Count | None = None
    """The most predictions in a sequence: 20 at T = 128 in the original."""
    random_specials: bool = True
    """Whether a random token may be `[CLS]`, `[PAD]` or another special token, as in the original.
    The model may then see a `[PAD]` that is not padding: take `attention_mask` from the batch."""

    def __post_init__(self) -> None:
        check(self)
        if self.mask + self.random > 1 + 1e-9:
            raise ValueError(
                f"mask {self.mask} and random {self.random} add up to more than 1: lower one"
            )


EVALUATION_MASKING = Masking(mask=1.0, random=0.0)
"""For measuring: 15 % are chosen, and all of them hidden. An unmasked target would leak the
answer."""


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

        A label is the token to predict, or -100. The number of predictions in a sequence depends
        only on its length, `[CLS]` and `[SEP]` included: max(1, round(probability x length)).
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
        # One draw decides between all three, so their shares add up exactly.
        fate = rng.random(ids.shape)
        random_ids = rng.choice(self.random_ids, ids.shape)
        seen = np.where(chosen & (fate < masking.mask), self.mask_id, ids)
        is_random = chosen & (fate >= masking.mask) & (fate < masking.mask + masking.random)
        return np.where(is_random, random_ids, seen), labels


def choose_tokens(
    candidates: np.ndarray, numbers: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """`numbers[b]` candidates of row b at random, or all if there are fewer: a mask (B, T)."""
    lots = np.where(candidates, rng.random(candidates.shape), 2.0)
    ranks = lots.argsort(1).argsort(1)  # (B, T): 0 for the lowest lot
    return candidates & (ranks < numbers[:, None])


def choose_words(
    candidates: np.ndarray, continues: np.ndarray, numbers: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Whole words in random order, each taken if it still fits into `numbers[b]` tokens: (B, T).

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
