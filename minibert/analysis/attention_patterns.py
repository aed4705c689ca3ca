"""What each head attends to, in numbers.

Attention is a numpy array (L, H, T, T) after the softmax, rows attending to columns, as
`AttentionData.weights()` gives it. A measure of each head is an (L, H) array in float64. Attention
says where a head looks, and not how the model uses it: `ablation.py` and `gradients.py` measure
that.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import entr

from minibert.tokenizer import CLS, SEP, SPECIAL_TOKENS, is_punctuation

ROLES = {
    "previous": "previous token",
    "next": "next token",
    "self": "itself",
    "same": "same token",
    CLS: CLS,
    SEP: SEP,
    "punctuation": "punctuation",
}
"""What a head may attend to, and its name in a label."""
WORTH_NAMING = 0.25
"""A head is named after a role that gets at least this proportion of its attention."""
SPREAD_OUT = 0.9
"""A head whose entropy is above this proportion of the maximum, log T, attends to everything."""


def head_roles(attention: np.ndarray, tokens: Sequence[str]) -> dict[str, np.ndarray]:
    """How much each head attends to each role (Clark et al., 2019, section 3): (L, H) by role.

    A role's number is the proportion of a row's attention that goes to the role's columns, from 0
    to 1, averaged over the rows that have such a column. Roles are the `previous` and the `next`
    token, `self`, `same` (other occurrences of the same token, without special tokens, because two
    `[UNK]` are two words), `[CLS]`, `[SEP]` and `punctuation`. A role is NaN if it does not
    occur, such as `same` in a text without repetition: 0 would mean that the head looks away.
    Roles overlap, so they do not add up to 1. `same` is not in the paper.

    `entropy` is in nats, averaged over all rows. It is 0 if each row attends to a single column,
    and log T if all weights are equal.
    """
    attention = _checked(attention, tokens)
    roles = {}
    for role, columns in _columns(tokens).items():
        rows = columns.any(1)  # (T,)
        shares = (attention * columns).sum(-1)  # (L, H, T)
        found = shares[..., rows].mean(-1) if rows.any() else np.full(shares.shape[:2], np.nan)
        roles[role] = found  # (L, H)
    return roles | {"entropy": entr(attention).sum(-1).mean(-1)}


def describe_heads(attention: np.ndarray, tokens: Sequence[str]) -> list[list[str]]:
    """A short label for each head, such as `previous token 63 %`: L lists of H.

    It names the role with the largest number in `head_roles`. A head whose entropy is near the
    maximum is `spread out`, whatever its roles: in a text of commas it attends to commas too. A
    head is `no single role` if no role gets a quarter of its attention.
    """
    roles = head_roles(attention, tokens)
    spread_out = roles.pop("entropy") > SPREAD_OUT * np.log(len(tokens))  # (L, H)
    shares = np.stack([roles[role] for role in ROLES])  # (roles, L, H)
    best, share = np.nanargmax(shares, axis=0), np.nanmax(shares, axis=0)  # (L, H); `self` is there
    names = list(ROLES.values())

    def label(layer: int, head: int) -> str:
        if spread_out[layer, head]:
            return "spread out"
        if share[layer, head] < WORTH_NAMING:
            return "no single role"
        return f"{names[best[layer, head]]} {100 * share[layer, head]:.0f} %"

    layers, heads = best.shape
    return [[label(layer, head) for head in range(heads)] for layer in range(layers)]


def attention_distance(attention: np.ndarray) -> np.ndarray:
    """How far each head looks: (L, H), in tokens (Vig and Belinkov, 2019).

    It is the mean of `|i - j|`, weighted by the attention of row i to column j.
    """
    attention = _checked(attention)
    place = np.arange(attention.shape[-1])
    distance = np.abs(place[:, None] - place)  # (T, T)
    return (attention * distance).sum((-2, -1)) / attention.sum((-2, -1))


def rollout(attention: np.ndarray) -> np.ndarray:
    """How much of each input position is in each position after each layer: (L, T, T).

    Abnar and Zuidema (2020): the mean over heads, half of it replaced by the residual (each
    position looking at itself), multiplied up to the layer. Rows add up to 1.
    """
    attention = _checked(attention)
    mixed = (attention.mean(1) + np.eye(attention.shape[-1])) / 2  # (L, T, T)
    rolled = [mixed[0]]
    for layer in mixed[1:]:
        rolled.append(layer @ rolled[-1])
    return np.stack(rolled)


def _checked(attention: np.ndarray, tokens: Sequence[str] | None = None) -> np.ndarray:
    """Check that attention is (L, H, T, T), for T tokens, and return it in float64."""
    attention = np.asarray(attention, dtype=np.float64)
    if attention.ndim != 4 or attention.shape[2] != attention.shape[3] or 0 in attention.shape:
        raise ValueError(
            f"the attention is {attention.shape}: it must be (L, H, T, T), as "
            "AttentionData.weights() gives it"
        )
    if tokens is not None and len(tokens) != attention.shape[-1]:
        raise ValueError(f"there are {len(tokens)} tokens for attention over {attention.shape[-1]}")
    return attention


def _columns(tokens: Sequence[str]) -> dict[str, np.ndarray]:
    """For each of `ROLES` a (T, T) array, true where the column has that role for the row."""
    names = np.array(tokens, dtype=object)  # objects, because a numpy string loses NULs at its end
    place = np.arange(len(tokens))
    ahead = place - place[:, None]  # (T, T): how far the column is after the row
    word = np.array([token not in SPECIAL_TOKENS for token in tokens])
    punctuation = np.array([token != "" and all(map(is_punctuation, token)) for token in tokens])

    def for_every_row(columns: np.ndarray) -> np.ndarray:
        return np.broadcast_to(columns, ahead.shape)

    return {
        "previous": ahead == -1,
        "next": ahead == 1,
        "self": ahead == 0,
        "same": (names == names[:, None]) & (ahead != 0) & word,
        CLS: for_every_row(names == CLS),
        SEP: for_every_row(names == SEP),
        "punctuation": for_every_row(punctuation),
    }
