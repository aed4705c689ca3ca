"""What heads attend to: attention set by hand."""

import numpy as np
import pytest
from scipy.stats import entropy

from minibert.analysis.attention_patterns import (
    attention_distance,
    describe_heads,
    head_roles,
    rollout,
)

TOKENS = ["[CLS]", "a", "b", "a", ".", "[SEP]"]


T = len(TOKENS)


ROLES = ("previous", "next", "self", "same", "[CLS]", "[SEP]", "punctuation")


def to_column(column):
    weights = np.zeros((T, T))
    weights[:, column] = 1
    return weights


BY_HAND = {
    "identity": np.eye(T),
    "before": np.eye(T, k=-1) + np.eye(T)[:1].T @ np.eye(T)[:1],  # the first looks at itself
    "after": np.eye(T, k=1) + np.eye(T)[-1:].T @ np.eye(T)[-1:],  # and so does the last
    "uniform": np.full((T, T), 1 / T),
    "to [CLS]": to_column(0),
    "to the full stop": to_column(4),
    "to the first a": to_column(1),
    "halves": np.eye(T, k=-1) * 0.5 + np.eye(T) * 0.5 + 0.5 * np.eye(T)[:1].T @ np.eye(T)[:1],
}


HEAD = {name: (number // 4, number % 4) for number, name in enumerate(BY_HAND)}


SET = np.stack(list(BY_HAND.values())).reshape(2, 4, T, T)  # (L, H, T, T)


def random_attention(layers=3, heads=2, length=7, seed=0):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(length, 0.3), (layers, heads, length))


@pytest.mark.parametrize(
    "name,want",
    {
        "identity": dict(previous=0, next=0, self=1, same=0, entropy=0),
        "before": dict(previous=1, next=0, self=1 / 6, same=0, entropy=0),
        "after": dict(previous=0, next=1, self=1 / 6, same=0, entropy=0),
        "to [CLS]": {"[CLS]": 1, "[SEP]": 0, "punctuation": 0, "previous": 1 / 5, "self": 1 / 6},
        "to the full stop": {"[CLS]": 0, "punctuation": 1, "previous": 1 / 5, "next": 1 / 5},
        "to the first a": dict(same=1 / 2, self=1 / 6, entropy=0),  # of two, one looks elsewhere
        "uniform": {**dict.fromkeys(ROLES, 1 / 6), "entropy": np.log(6)},
        "halves": dict(previous=1 / 2, entropy=np.log(2) * 5 / 6),
    }.items(),
)
def test_roles_of_attention_set_by_hand(name, want):
    roles = head_roles(SET, TOKENS)
    assert set(roles) == {*ROLES, "entropy"}
    assert {role: roles[role][HEAD[name]] for role in want} == pytest.approx(want, abs=1e-12)


def test_entropy_is_scipys():
    attention = random_attention()
    want = entropy(attention, axis=-1).mean(-1)
    np.testing.assert_allclose(head_roles(attention, list("abcdefg"))["entropy"], want)


def test_a_role_that_no_row_has_is_nan_and_not_0():
    roles = head_roles(random_attention(length=4), ["[UNK]", "[UNK]", "b", "##c"])
    for role in ("same", "[CLS]", "[SEP]", "punctuation"):
        assert np.isnan(roles[role]).all(), role
    assert np.isfinite(roles["previous"]).all()
    assert np.isnan(head_roles(np.ones((1, 1, 1, 1)), ["a"])["next"]).all()


def test_heads_are_called_after_their_strongest_role():
    labels = describe_heads(SET, TOKENS)
    assert {name: labels[layer][head] for name, (layer, head) in HEAD.items()} == {
        "identity": "itself 100 %",
        "before": "previous token 100 %",
        "after": "next token 100 %",
        "uniform": "spread out",
        "to [CLS]": "[CLS] 100 %",
        "to the full stop": "punctuation 100 %",
        "to the first a": "same token 50 %",
        "halves": "itself 58 %",
    }
    to_b = to_column(2)[None, None]
    assert describe_heads(to_b, TOKENS) == [["no single role"]]  # 20 % are of the previous token
    commas = np.full((1, 1, 4, 4), 1 / 4)
    assert describe_heads(commas, ["a", ",", ",", ","]) == [["spread out"]]


def test_distance():
    got = {name: attention_distance(SET)[head] for name, head in HEAD.items()}
    want = {
        "identity": 0,
        "before": 5 / 6,
        "after": 5 / 6,
        "uniform": 35 / 18,  # (n^2 - 1) / 3n for n = 6
        "to [CLS]": 15 / 6,
        "to the full stop": (4 + 3 + 2 + 1 + 0 + 1) / 6,
        "to the first a": (1 + 0 + 1 + 2 + 3 + 4) / 6,
        "halves": 5 / 12,
    }
    assert got == pytest.approx(want)


# Two tokens, two layers, two heads. Their means are [[1, 0], [.5, .5]] and [[.5, .5], [0, 1]]; with
# the residual that is [[1, 0], [.25, .75]] and [[.75, .25], [0, 1]].
SMALL = np.array(
    [
        [[[1, 0], [1, 0]], [[1, 0], [0, 1]]],
        [[[1, 0], [0, 1]], [[0, 1], [0, 1]]],
    ]
)


def test_rollout_by_hand():
    np.testing.assert_allclose(
        rollout(SMALL), [[[1, 0], [1 / 4, 3 / 4]], [[13 / 16, 3 / 16], [1 / 4, 3 / 4]]]
    )
    np.testing.assert_allclose(rollout(SET[:, :1])[0], np.eye(T))
    np.testing.assert_allclose(rollout(random_attention()).sum(-1), 1)


@pytest.mark.parametrize("shape", [(2, 3, 3), (1, 2, 2, 3), (0, 2, 3, 3)])
def test_attention_of_another_shape(shape):
    with pytest.raises(ValueError, match=r"must be \(L, H, T, T\), as AttentionData"):
        attention_distance(np.ones(shape))
    with pytest.raises(ValueError, match="5 tokens for attention over 6"):
        head_roles(SET, TOKENS[1:])
