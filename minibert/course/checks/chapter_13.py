"""The exercises and blanks of chapter 13, a modern encoder."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor, nn

from minibert.course.checks.engine import (
    Case,
    Exercise,
    Mistake,
    draw,
    draw_ids,
    module,
    plain_numbers,
    prediction,
)

ROPE = "RoPE: turn, don't add"
GATE = "GeGLU: a gate in the feed-forward"
NORM = "Pre-norm, without biases"
LOCAL = "Local attention"
UNPAD = "Unpadding"
FAIR = "Which change helps? The experiment"
PEOPLE = "Mistakes people make here"
ONE_QUERY = "One query, by hand"  # of chapter 3, like the next two
ROOT_K = "Why divide by √K?"
MASKS = "Masks: what must not be seen"
ACTIVATIONS = "Activations"  # of chapter 4


# 1: a window, the global layers, and how far two local layers reach

window_counts = Exercise(
    name="window_counts",
    chapter=13,
    reference=(129, 8, 128),
    cases=lambda seed: [()],
    returns={"the answer": ""},
    run=prediction,
    mistakes=(
        Mistake("the token sees itself too, so a window of 128 has 64 + 1 + 64 keys", LOCAL,
                (128, 8, 128)),
        Mistake("128 is the width of the whole window, so only 64 tokens on each side are in it",
                PEOPLE, (257, 8, 256)),
        Mistake("128 is the width of the whole window, not of one side, and the token sees itself "
                "too", PEOPLE, (256, 8, 256)),
        Mistake("the reach is right, but the keys aren't: 64 on each side and the token itself",
                PEOPLE, (257, 8, 128)),
        Mistake("these keys are on one side only: a token sees its left and its right neighbours",
                LOCAL, (65, 8, 128)),
        Mistake("layer 0 is global too: count 0, 3, 6, ... up to 21", LOCAL, (129, 7, 128)),
        Mistake("these are the local layers: the global layers are 0, 3, 6, ...", LOCAL,
                (129, 14, 128)),
        Mistake("64 is the reach of one local layer: in the second layer, each neighbour has "
                "already collected something from its own neighbours", LOCAL, (129, 8, 64)),
        Mistake("two layers of 64 to each side reach 128 tokens, not 256: 128 is the width of the "
                "whole window", LOCAL, (129, 8, 256)),
        Mistake("only two local layers lie between two global layers, for example layers 1 and 2",
                LOCAL, (129, 8, 192)),
        Mistake("the token itself is in the window, but it is no step to a side: the reach is 64 "
                "+ 64", LOCAL, (129, 8, 130)),
        Mistake("reaches add up, and they don't multiply", LOCAL, (129, 8, 64 * 64)),
        Mistake("the token sees itself too, so it has 129 keys, and layer 0 is global too", LOCAL,
                (128, 7, 128)),
        Mistake("the token sees itself too, so it has 129 keys, and the reaches of two layers "
                "add up", LOCAL, (128, 8, 64)),
        Mistake("layer 0 is global too, and in the second layer each neighbour has already "
                "collected something from its own neighbours", LOCAL, (129, 7, 64)),
        Mistake("your number of keys leaves out one side and the token itself: a token sees both "
                "sides", LOCAL, (64, 8, 128)),
        Mistake("your number of keys and your reach both count only half: a token sees both sides, "
                "and the reaches of two layers add up", LOCAL, (65, 8, 64)),
        Mistake("your reach is one token short: a key at a distance of exactly half the window is "
                "still seen, in both layers", LOCAL, (129, 8, 127)),
        Mistake("your reach adds up numbers of keys: add the tokens to one side, without the token "
                "itself", LOCAL, (129, 8, 258)),
    ),
    hints=(
        "Draw a window of 4 first. How many tokens are on each side, and who else is in it?",
        "Half of the window is on each side, and the token sees itself. Layers 0, 3, 6, ... are "
        "global. The reaches of two layers in a row add up.",
        "64 + 1 + 64, the length of range(0, 22, 3), and 64 + 64",
    ),
)  # fmt: skip


# 2: attention with rotated queries and keys


def reference_rotary_attention(
    query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor, theta: float
) -> Tensor:
    K = query.shape[-1]
    speeds = theta ** (-torch.arange(0, K, 2) / K)
    angles = position_ids[:, None, :, None] * speeds
    cos, sin = angles.cos(), angles.sin()
    turned = []
    for x in (query, key):
        a, b = x.chunk(2, dim=-1)
        turned.append(torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1))
    scores = turned[0] @ turned[1].mT / math.sqrt(K)
    return scores.softmax(-1) @ value


Turn = Callable[[Tensor, Tensor], Tensor]
"""What is done to x (B, H, T, K) with angles (B, 1, T, K / 2)."""


def turn(x: Tensor, angles: Tensor) -> Tensor:
    """Pair i consists of the numbers i and i + K / 2."""
    a, b = x.chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


def turn_neighbours(x: Tensor, angles: Tensor) -> Tensor:
    """Pair i consists of the numbers 2i and 2i + 1."""
    return turn(torch.cat([x[..., 0::2], x[..., 1::2]], dim=-1), angles)


def turn_neighbours_in_place(x: Tensor, angles: Tensor) -> Tensor:
    """Pair i consists of the numbers 2i and 2i + 1, and they stay where they are."""
    halves = turn_neighbours(x, angles).chunk(2, dim=-1)
    return torch.stack(halves, dim=-1).flatten(-2)


def turn_back(x: Tensor, angles: Tensor) -> Tensor:
    return turn(x, -angles)


def turn_without_minus(x: Tensor, angles: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([a * cos + b * sin, b * cos + a * sin], dim=-1)


def turn_with_two_minuses(x: Tensor, angles: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([a * cos - b * sin, b * cos - a * sin], dim=-1)


def turn_with_halves_swapped(x: Tensor, angles: Tensor) -> Tensor:
    """The second half has the sine of b, not of a."""
    a, b = x.chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([a * cos - b * sin, a * cos + b * sin], dim=-1)


def turn_with_mixed_speeds(x: Tensor, angles: Tensor) -> Tensor:
    """Halves form the pairs, but each speed is for two numbers in a row."""
    a, b = x.chunk(2, dim=-1)
    angles = angles.repeat_interleave(2, dim=-1)
    return x * angles.cos() + torch.cat([-b, a], dim=-1) * angles.sin()


def add_waves(x: Tensor, angles: Tensor) -> Tensor:
    return x + torch.cat([angles.sin(), angles.cos()], dim=-1)


def keep(x: Tensor, angles: Tensor) -> Tensor:
    return x


def falling(H: int, K: int, theta: float) -> Tensor:
    return theta ** (-torch.arange(0, K, 2) / K)


def rotary_with(
    speeds: Callable[[int, int, float], Tensor] = falling,
    places: Callable[[Tensor], Tensor] = lambda ids: ids,
    turns: tuple[Turn, Turn, Turn] = (turn, turn, keep),
    scale: Callable[[int], float] = math.sqrt,
    dim: int = -1,
) -> Callable[..., Tensor]:
    """Other speeds, positions or turns, another scale, or a softmax over another axis."""

    def answer(query, key, value, position_ids, theta):
        H, K = query.shape[1], query.shape[-1]
        angles = places(position_ids)[:, None, :, None] * speeds(H, K, theta)
        parts = (query, key, value)
        query, key, value = (how(x, angles) for how, x in zip(turns, parts, strict=True))
        return (query @ key.mT / scale(K)).softmax(dim) @ value

    return answer


def rotary_but_masked(seen: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """Right, except for a mask: position_ids (B, T) -> which keys are seen (B, T, T)."""

    def answer(query, key, value, position_ids, theta):
        H, K = query.shape[1], query.shape[-1]
        angles = position_ids[:, None, :, None] * falling(H, K, theta)
        scores = turn(query, angles) @ turn(key, angles).mT / math.sqrt(K)
        hidden = ~seen(position_ids)[:, None]
        return scores.masked_fill(hidden, -torch.inf).softmax(-1) @ value

    return answer


def to_the_left_only(position_ids: Tensor) -> Tensor:
    B, T = position_ids.shape
    return torch.ones(B, T, T).bool().tril()


def within_a_text(position_ids: Tensor) -> Tensor:
    """A text begins wherever positions fall."""
    text = F.pad(position_ids.diff(dim=1) <= 0, (1, 0)).cumsum(1)
    return text[:, :, None] == text[:, None]


def turned_by(how: Turn) -> Callable[..., Tensor]:
    """Queries and keys turned in another way."""
    return rotary_with(turns=(how, how, keep))


def rotary_cases(seed: int) -> list[Case]:
    """Positions start again within a row or leave some out, so counting tokens won't do."""
    cases = []
    for H, K, theta, positions in (
        (2, 6, 100.0, [[0, 1, 2, 0, 1], [3, 4, 5, 6, 9]]),
        (3, 8, 10_000.0, [[5, 2, 7, 3], [0, 1, 2, 3]]),
        (2, 4, 30.0, [[2, 3, 4, 0, 1, 2]]),
    ):
        shape = (len(positions), H, len(positions[0]), K)
        query, key, value = draw(shape, shape, shape, seed=seed + K)
        cases.append((2 * query, key, value, torch.tensor(positions), theta))
    return cases


rotary_attention = Exercise(
    name="rotary_attention",
    chapter=13,
    reference=reference_rotary_attention,
    cases=rotary_cases,
    returns={"context": "B H T K"},
    mistakes=(
        Mistake("the pairs are neighbours, 0 and 1, 2 and 3, as in the RoPE paper: here pair i "
                "consists of the numbers i and i + K / 2", PEOPLE, turned_by(turn_neighbours)),
        Mistake("nothing depends on position_ids: turn queries and keys before you compare them",
                ROPE, turned_by(keep)),
        Mistake("only the queries are turned, so a score depends on the query's position and not "
                "on the distance: turn the keys too", ROPE, rotary_with(turns=(turn, keep, keep))),
        Mistake("only the keys are turned, so a score depends on the key's position and not on the "
                "distance: turn the queries too", ROPE, rotary_with(turns=(keep, turn, keep))),
        Mistake("the values are turned too: positions only decide who looks at whom, so values "
                "stay unchanged", ROPE, rotary_with(turns=(turn, turn, turn))),
        Mistake("queries and keys turn in opposite directions, so a score depends on the sum of "
                "both positions, not on their distance", ROPE,
                rotary_with(turns=(turn, turn_back, keep))),
        Mistake("the turn goes backwards, which confuses left and right: cos and sin are swapped, "
                "or the minus is in the second half", ROPE, turned_by(turn_back)),
        Mistake("a minus is missing, so lengths change and this is no turn: the first half is "
                "a cos - b sin", ROPE, turned_by(turn_without_minus)),
        Mistake("your second half has a minus, so lengths change and this is no turn: it should be "
                "b cos + a sin", ROPE, turned_by(turn_with_two_minuses)),
        Mistake("a and b are swapped in your second half: it should be b cos + a sin", ROPE,
                turned_by(turn_with_halves_swapped)),
        Mistake("your answer has a causal mask, as in GPT: an encoder's token should also see what "
                "is to its right", MASKS, rotary_but_masked(to_the_left_only), 3),
        Mistake("your answer hides the other texts of a row: this exercise has no mask, so texts "
                "should see each other", UNPAD, rotary_but_masked(within_a_text)),
        Mistake("positions were added as sine waves: RoPE multiplies, by a turn", ROPE,
                turned_by(add_waves)),
        Mistake("cos and sin are for pairs of neighbours (repeat_interleave), but the halves are "
                "paired: the two numbers of a pair need the same speed", PEOPLE,
                turned_by(turn_with_mixed_speeds)),
        Mistake("tokens were counted from 0 instead of taking position_ids: in a row of several "
                "texts, positions start again", ROPE,
                rotary_with(places=lambda ids: torch.arange(ids.shape[1]).expand_as(ids))),
        Mistake("all rows got the positions of the first row", ROPE,
                rotary_with(places=lambda ids: ids[:1].expand_as(ids))),
        Mistake("all pairs turn at the same speed: pair i is slower by theta^(-2i/K)", ROPE,
                rotary_with(lambda H, K, theta: torch.ones(K // 2))),
        Mistake("the speeds fall half as fast as they should: the exponent of pair i is -2i/K, "
                "not -i/K", ROPE, rotary_with(lambda H, K, theta: theta ** (
                    -torch.arange(K // 2) / K))),
        Mistake("the speeds fall twice as fast as they should: the exponent of pair i is -2i/K, "
                "not -4i/K", ROPE, rotary_with(lambda H, K, theta: theta ** (
                    -torch.arange(0, 2 * K, 4) / K))),
        Mistake("the speeds rise from pair to pair: the exponent needs a minus", ROPE,
                rotary_with(lambda H, K, theta: theta ** (torch.arange(0, K, 2) / K))),
        Mistake("pairs were counted from 1: pair 0 turns by one radian per token", ROPE,
                rotary_with(lambda H, K, theta: theta ** (-torch.arange(2, K + 1, 2) / K))),
        Mistake("speeds were computed for the hidden size: each head has its own pairs, so K is "
                "the size of a head", ROPE, rotary_with(
                    lambda H, K, theta: falling(H, H * K, theta)[: K // 2])),
        Mistake("your theta is always 10,000: use the argument", ROPE,
                rotary_with(lambda H, K, theta: falling(H, K, 10_000.0))),
        Mistake("the scores were not divided by the root of K", ROOT_K,
                rotary_with(scale=lambda K: 1.0), 3),
        Mistake("the scores were divided by K, not by its root", ROOT_K,
                rotary_with(scale=float), 3),
        Mistake("your softmax goes over the queries: it should go over the last axis, so that each "
                "query's weights add up to 1", ONE_QUERY, rotary_with(dim=-2), 3),
    ),
    hints=(
        "What is turned, and what isn't? A score should depend only on a distance.",
        "Speeds (K / 2,) times positions (B, T) give angles (B, 1, T, K / 2). Turn the two halves "
        "of queries and keys by them. The rest is chapter 3's attention.",
        "First the angles, then each of the two x, with a and b as its halves:\n"
        "    angles = position_ids[:, None, :, None] * theta ** (-torch.arange(0, K, 2) / K)\n"
        "    turned = torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)",
    ),
)  # fmt: skip


# 3: repair a gate


def reference_gated(x: Tensor, w_in: Tensor, w_out: Tensor) -> Tensor:
    wide, gate = (x @ w_in.T).chunk(2, dim=-1)
    return (F.gelu(wide) * gate) @ w_out.T


def gated_with(
    between: Callable[[Tensor, Tensor], Tensor],
    halves: Callable[[Tensor], Sequence[Tensor]] = lambda x: x.chunk(2, dim=-1),
) -> Callable[..., Tensor]:
    """Something else between the matrices, or another division into two vectors."""
    return lambda x, w_in, w_out: between(*halves(x @ w_in.T)) @ w_out.T


def gated_cases(seed: int) -> list[Case]:
    cases = []
    for B, T, D, wide in ((2, 3, 4, 6), (1, 5, 6, 3), (3, 2, 3, 8)):
        x, w_in, w_out = draw((B, T, D), (2 * wide, D), (D, wide), seed=seed + wide)
        cases.append((x, w_in, w_out))
    return cases


gated = Exercise(
    name="gated",
    chapter=13,
    reference=reference_gated,
    cases=gated_cases,
    returns={"output": "B T D"},
    mistakes=(
        Mistake("GELU goes to the second half: these weights were trained with GELU on the first "
                "half and with the second half as the gate", GATE,
                gated_with(lambda a, b: a * F.gelu(b))),
        Mistake("GELU comes after the product: it belongs to the first half alone, before the "
                "gate multiplies it", GATE, gated_with(lambda a, b: F.gelu(a * b))),
        Mistake("GELU goes to both halves: the gate has no activation, so that it can also be "
                "negative", GATE, gated_with(lambda a, b: F.gelu(a) * F.gelu(b))),
        Mistake("the activation is missing: this is a product of two linear functions", GATE,
                gated_with(lambda a, b: a * b)),
        Mistake("the gate is missing: the second half isn't used", GATE,
                gated_with(lambda a, b: F.gelu(a))),
        Mistake("the gate is missing: only the second half is used, and it went through GELU", GATE,
                gated_with(lambda a, b: F.gelu(b))),
        Mistake("the gate is added: it multiplies, so that 0 switches a number off", GATE,
                gated_with(lambda a, b: F.gelu(a) + b)),
        Mistake("the halves are every second number: the first half is the first F numbers, so "
                "use chunk", GATE, gated_with(lambda a, b: F.gelu(a) * b,
                                              lambda x: (x[..., 0::2], x[..., 1::2]))),
        Mistake("this is the first GLU, whose gate is a sigmoid: here GELU takes its place", GATE,
                gated_with(lambda a, b: torch.sigmoid(a) * b)),
        Mistake("a sigmoid on the gate limits it to 0 to 1: this gate can be any number, also "
                "below 0", GATE, gated_with(lambda a, b: F.gelu(a) * torch.sigmoid(b))),
        Mistake("a softmax on the gate makes its numbers compete: each number of the gate is free",
                GATE, gated_with(lambda a, b: F.gelu(a) * b.softmax(-1))),
        Mistake("this is SwiGLU, with SiLU: ModernBERT has GELU", GATE,
                gated_with(lambda a, b: F.silu(a) * b)),
        Mistake("this is ReGLU, with ReLU: ModernBERT has GELU", GATE,
                gated_with(lambda a, b: F.relu(a) * b)),
        Mistake("GELU is approximated with tanh: these weights were trained with the exact GELU",
                ACTIVATIONS, gated_with(lambda a, b: F.gelu(a, approximate="tanh") * b), 4),
        Mistake("x was added: the residual sum belongs to the block, not to the feed-forward", NORM,
                lambda x, w_in, w_out: x + reference_gated(x, w_in, w_out)),
    ),
    hints=(
        "Nothing is wrong with the matrices. Which of the two halves should go through GELU?",
        "The rows of w_in are in the order of the chapter's formula: first W_1, whose result goes "
        "through GELU, then W_2, whose result is the gate.",
        "wide is the first of the two chunks:\n    return (F.gelu(wide) * gate) @ w_out.T",
    ),
)  # fmt: skip


# 4: a stack of pre-norm parts


class ReferenceStack(nn.Module):
    def __init__(self, hidden_size: int, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden_size, bias=False) for _ in parts)
        self.last_norm = nn.LayerNorm(hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        for norm, part in zip(self.norms, self.parts, strict=True):
            x = x + part(norm(x))
        return self.last_norm(x)


def other_stack(forward: Callable[..., Tensor]) -> type[nn.Module]:
    """A stack with another way from x to the output.

    `forward` is given x, a list with a LayerNorm and a part in each pair, and the last LayerNorm.
    """

    class Wrong(ReferenceStack):
        def forward(self, x: Tensor) -> Tensor:
            return forward(x, list(zip(self.norms, self.parts, strict=True)), self.last_norm)

    return Wrong


def other_step(step: Callable[..., Tensor]) -> type[nn.Module]:
    """A stack in which each part is put together in another way, `step(x, norm, part)`."""

    def forward(x, pairs, last):
        for norm, part in pairs:
            x = step(x, norm, part)
        return last(x)

    return other_stack(forward)


def biased_stack(
    norms: bool = True, last: bool = True, base: type[nn.Module] = ReferenceStack
) -> type[nn.Module]:
    """A stack whose LayerNorms have biases."""

    def with_biases(self, hidden_size: int, parts: Sequence[nn.Module]) -> None:
        base.__init__(self, hidden_size, parts)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden_size, bias=norms) for _ in parts)
        self.last_norm = nn.LayerNorm(hidden_size, bias=last)

    return type("Wrong", (base,), {"__init__": with_biases})


def last_after_each(x, pairs, last):
    for norm, part in pairs:
        x = last(x + part(norm(x)))
    return x


def without_last(x, pairs, last):
    for norm, part in pairs:
        x = x + part(norm(x))
    return x


def first_norm_for_all(x, pairs, last):
    for _, part in pairs:
        x = x + part(pairs[0][0](x))
    return last(x)


def sum_from_the_input(x, pairs, last):
    """Each sum takes the input of the stack."""
    state = x
    for norm, part in pairs:
        state = x + part(norm(state))
    return last(state)


def side_by_side(x, pairs, last):
    """Each part reads the input of the stack."""
    return last(x + sum(part(norm(x)) for norm, part in pairs))


def last_norm_first(x, pairs, last):
    x = last(x)
    for norm, part in pairs:
        x = x + part(norm(x))
    return x


def after_one_part(x, pairs, last):
    """`return` is inside the loop."""
    norm, part = pairs[0]
    return last(x + part(norm(x)))


def last_after_each_and_at_the_end(x, pairs, last):
    return last(last_after_each(x, pairs, last))


class OneNorm(ReferenceStack):
    """A list that repeats the same LayerNorm."""

    def __init__(self, hidden_size: int, parts: Sequence[nn.Module]) -> None:
        super().__init__(hidden_size, parts)
        self.norms = nn.ModuleList([nn.LayerNorm(hidden_size, bias=False)] * len(parts))


def last_on_the_path(x, pairs, last):
    for norm, part in pairs:
        x = last(x) + part(norm(x))
    return last(x)


def without_mean(norm: nn.LayerNorm) -> Callable[[Tensor], Tensor]:
    """RMSNorm: LayerNorm that doesn't subtract the mean."""
    return lambda x: x / (x.square().mean(-1, keepdim=True) + norm.eps).sqrt() * norm.weight


def rms_norms(x, pairs, last):
    for norm, part in pairs:
        x = x + part(without_mean(norm)(x))
    return without_mean(last)(x)


def module_with_biases(answer: Any, sizes: dict, weights: dict, *inputs: Any) -> Any:
    """As `module`, except that biases of LayerNorms get a number by which they are recognised."""
    made = answer(**sizes) if isinstance(answer, type) else None
    if isinstance(made, nn.Module):
        norms = [n for n in made.state_dict() if n.startswith(("norms.", "last_norm."))]
        biases = [n for n in norms if n.endswith(".bias") and n not in weights]
        own = made.state_dict()
        weights = weights | {n: torch.full_like(own[n], 0.5 + len(n) / 50) for n in biases}
    return module(answer, sizes, weights, *inputs)


def stack_cases(seed: int) -> list[Case]:
    cases = []
    for B, T, D, L in ((2, 3, 4, 3), (1, 4, 6, 4)):
        parts = [nn.Sequential(nn.Linear(D, D, bias=False), nn.Tanh()) for _ in range(L)]
        sizes = {"hidden_size": D, "parts": parts}
        made = ReferenceStack(**sizes)
        shapes = {name: tuple(weight.shape) for name, weight in made.state_dict().items()}
        *drawn, x = draw(*shapes.values(), (B, T, D), seed=seed + D)
        weights = dict(zip(shapes, drawn, strict=True))
        made.load_state_dict(weights)  # the parts themselves, too, so that a check leaves them so
        cases.append((sizes, weights, 2 * x + 1))
    return cases


pre_norm_stack = Exercise(
    name="PreNormStack",
    chapter=13,
    reference=ReferenceStack,
    cases=stack_cases,
    returns={"output": "B T D"},
    run=module_with_biases,
    mistakes=(
        Mistake("LayerNorm comes after the sum, as in BERT: here it normalises only what a part "
                "reads, x + part(norm(x))", NORM, other_step(lambda x, n, part: n(x + part(x)))),
        Mistake("LayerNorm is on the residual path: x itself was normalised before the sum, so the "
                "input has no straight way to the end", NORM,
                other_step(lambda x, n, part: n(x) + part(n(x)))),
        Mistake("the last LayerNorm is missing: each part adds to the sum, so it grows from part "
                "to part", NORM, other_stack(without_last)),
        Mistake("the last LayerNorm comes after every part: it comes once, after the stack", NORM,
                other_stack(last_after_each)),
        Mistake("the last LayerNorm comes before the stack: the sum that has grown is at its end",
                NORM, other_stack(last_norm_first)),
        Mistake("the residual sums are missing: each part adds to x", NORM,
                other_step(lambda x, n, part: part(n(x)))),
        Mistake("LayerNorm comes after the part, not before it: x + part(norm(x)), not "
                "x + norm(part(x))", NORM, other_step(lambda x, n, part: x + n(part(x)))),
        Mistake("LayerNorm comes before each part and once more after it: before it is enough",
                NORM, other_step(lambda x, n, part: x + n(part(n(x))))),
        Mistake("the parts read x without a LayerNorm: each part has its own, and reads norm(x)",
                NORM, other_step(lambda x, n, part: x + part(x))),
        Mistake("the first LayerNorm is used for all parts: each part has its own", NORM,
                other_stack(first_norm_for_all)),
        Mistake("all your parts share one LayerNorm, because [module] * n repeats the same module: "
                "make one for each part", NORM, OneNorm),
        Mistake("only your first part runs: `return` should come after the loop, not inside it",
                NORM, other_stack(after_one_part)),
        Mistake("your last LayerNorm comes after every part and again at the end: it should come "
                "once, at the end", NORM, other_stack(last_after_each_and_at_the_end)),
        Mistake("your last LayerNorm is on the residual path: x should go on unchanged, and "
                "last_norm should come once, after the loop", NORM,
                other_stack(last_on_the_path)),
        Mistake("each sum takes the input of the whole stack: add to the sum so far", NORM,
                other_stack(sum_from_the_input)),
        Mistake("all parts read the input of the whole stack: each part reads the sum so far",
                NORM, other_stack(side_by_side)),
        Mistake("the parts come in reverse order", NORM, other_stack(
            lambda x, pairs, last: last(without_last(x, pairs[::-1], last)))),
        Mistake("all LayerNorms have biases: ModernBERT leaves biases out, so bias=False", NORM,
                biased_stack()),
        Mistake("this is BERT's way, LayerNorm after the sum and with biases: here it has none and "
                "comes before each part, x + part(norm(x))", NORM,
                biased_stack(base=other_step(lambda x, n, part: n(x + part(x))))),
        Mistake("the LayerNorms before the parts have biases: ModernBERT leaves them out", NORM,
                biased_stack(last=False)),
        Mistake("the last LayerNorm has a bias: ModernBERT leaves it out there too", NORM,
                biased_stack(norms=False)),
        Mistake("this is RMSNorm, which doesn't subtract the mean: without a bias, LayerNorm still "
                "subtracts it", NORM, other_stack(rms_norms)),
    ),
    hints=(
        "Follow x through the stack. Is there a straight path from the first line to the last?",
        "Each part reads a normalised copy of the sum and adds its result to the sum itself. After "
        "all parts, one more LayerNorm. No LayerNorm has a bias.",
        "With nn.LayerNorm(hidden_size, bias=False) for all norms:\n"
        "    for norm, part in zip(self.norms, self.parts):\n"
        "        x = x + part(norm(x))\n"
        "    return self.last_norm(x)",
    ),
)  # fmt: skip


# 5: what each layer sees


def reference_layer_plan(
    attention_mask: Tensor,
    num_layers: int,
    every: int,
    window: int,
    thetas: tuple[float, float],
) -> tuple[Tensor, list[float]]:
    T = attention_mask.shape[1]
    place = torch.arange(T)
    near = (place[:, None] - place).abs() <= window // 2
    real = attention_mask.bool()[:, None].expand(-1, T, -1)
    whole = [number % every == 0 for number in range(num_layers)]
    masks = torch.stack([real if is_global else real & near for is_global in whole])
    return masks, [thetas[0] if is_global else thetas[1] for is_global in whole]


Near = Callable[[Tensor, int], Tensor]
"""Which keys are in the window: (T, T) distances, key less query, and its width -> bool (T, T)."""


def within(distance: Tensor, window: int) -> Tensor:
    return distance.abs() <= window // 2


def keys_are_real(real: Tensor) -> Tensor:
    """Bool (B, T) -> which keys a query sees (B, T, T)."""
    return real[:, None].expand(-1, real.shape[1], -1)


def both_are_real(real: Tensor) -> Tensor:
    return real[:, None] & real[:, :, None]


def everything(real: Tensor) -> Tensor:
    return torch.ones_like(keys_are_real(real))


def plan_with(
    near: Near = within,
    is_global: Callable[[int, int], bool] = lambda number, every: number % every == 0,
    seen: Callable[[Tensor], Tensor] = keys_are_real,
    seen_near: Callable[[Tensor], Tensor] | None = None,
    join: Callable[[Tensor, Tensor], Tensor] = torch.logical_and,
    pick: Callable[[bool, tuple[float, float]], float] = lambda whole, thetas: thetas[1 - whole],
) -> Callable[..., Any]:
    """Another window, other global layers, another use of the mask, or other thetas."""

    def answer(attention_mask, num_layers, every, window, thetas):
        real, place = attention_mask.bool(), torch.arange(attention_mask.shape[1])
        inside = near(place - place[:, None], window)
        local = join((seen_near or seen)(real), inside)
        whole = [is_global(number, every) for number in range(num_layers)]
        masks = torch.stack([seen(real) if g else local for g in whole])
        return masks, [pick(g, thetas) for g in whole]

    return answer


def in_blocks(distance: Tensor, window: int) -> Tensor:
    block = torch.arange(len(distance)) // window
    return block[:, None] == block


def with_itself(real: Tensor) -> Tensor:
    """Each query sees its own place, too, if that is padding."""
    return keys_are_real(real) | torch.eye(real.shape[1]).bool()


def counted_from_the_last(*case: Any) -> Any:
    masks, thetas = reference_layer_plan(*case)
    return masks.flip(0), thetas[::-1]


def first_mask_only(*case: Any) -> Any:
    """Only the mask of layer 0 is global, but the thetas are right."""
    masks, _ = plan_with(is_global=lambda number, every: number == 0)(*case)
    return masks, reference_layer_plan(*case)[1]


def hidden_places(*case: Any) -> Any:
    masks, thetas = reference_layer_plan(*case)
    return ~masks, thetas


def plan_cases(seed: int) -> list[Case]:
    """Padding after and before the text, and windows that are smaller than the texts."""
    cases = []
    for lengths, left, layers, every, window in (
        ((9, 5), False, 5, 3, 4), ((8, 6, 3), True, 4, 2, 2), ((10,), False, 6, 4, 6),
    ):  # fmt: skip
        real = torch.tensor(lengths)[:, None] + seed % 3  # (B, 1)
        mask = (torch.arange(int(real.max())) < real).long()
        thetas = (160_000.0, 10_000.0)
        cases.append((mask.flip(1) if left else mask, layers, every, window, thetas))
    return cases


layer_plan = Exercise(
    name="layer_plan",
    chapter=13,
    reference=reference_layer_plan,
    cases=plan_cases,
    returns={"masks": "L B T T", "thetas": ""},
    mistakes=(
        Mistake("the window has only its left side: a token sees its right neighbours too", LOCAL,
                plan_with(lambda d, w: (d <= 0) & (-d <= w // 2))),
        Mistake("the window has only its right side: a token sees its left neighbours too", LOCAL,
                plan_with(lambda d, w: (d >= 0) & (d <= w // 2))),
        Mistake("the window is one key short on each side: a key at a distance of exactly half the "
                "window is still seen, so <=", LOCAL, plan_with(lambda d, w: d.abs() < w // 2)),
        Mistake("the window is one key short on one side: it has half of its width on the left, "
                "half on the right, and the token itself", LOCAL,
                plan_with(lambda d, w: (d >= -(w // 2)) & (d < w // 2))),
        Mistake("the window is too wide: half of its width, not all of it, is on each side", PEOPLE,
                plan_with(lambda d, w: d.abs() <= w)),
        Mistake("the text was cut into blocks: a window moves along with its token", LOCAL,
                plan_with(in_blocks)),
        Mistake("your local layers see padding: their mask needs the window and attention_mask",
                MASKS, plan_with(seen_near=everything), 3),
        Mistake("your global layers see padding: they have no window, but they still need "
                "attention_mask", MASKS, plan_with(seen=everything, seen_near=keys_are_real), 3),
        Mistake("padding is seen everywhere: your answer doesn't use attention_mask", MASKS,
                plan_with(seen=everything), 3),
        Mistake("your answer hides padding as a query, too: hide it only as a key", MASKS,
                plan_with(seen=both_are_real), 3),
        Mistake("your answer hides padding as a query: hide it as a key, on the last axis", MASKS,
                plan_with(seen=lambda real: keys_are_real(real).mT), 3),
        Mistake("in your answer each token sees itself, padding too: no query should see padding, "
                "its own place included", MASKS, plan_with(seen=with_itself), 3),
        Mistake("your local layers see keys that are near *or* real: they should see only those "
                "that are both", LOCAL, plan_with(join=torch.logical_or)),
        Mistake("the masks are inverted: True means that a key is seen", LOCAL, hidden_places),
        Mistake("all layers are local, so distant tokens hardly exchange anything", LOCAL,
                plan_with(is_global=lambda number, every: False)),
        Mistake("all layers are global: layer 0 is, and then every n-th", LOCAL,
                plan_with(is_global=lambda number, every: True)),
        Mistake("layers were counted from 1: layers 0, n, 2n, ... are global", LOCAL,
                plan_with(is_global=lambda number, every: (number + 1) % every == 0)),
        Mistake("global and local layers are swapped: layers 0, n, 2n, ... are global", LOCAL,
                plan_with(is_global=lambda number, every: number % every != 0)),
        Mistake("only layer 0 is global: n, 2n, ... are global too", LOCAL,
                plan_with(is_global=lambda number, every: number == 0)),
        Mistake("your thetas are right, but in your masks only layer 0 is global: n, 2n, ... "
                "should be global too", LOCAL, first_mask_only),
        Mistake("you counted layers from the last: count from the first, so that layer 0 is global",
                LOCAL, counted_from_the_last),
        Mistake("too few layers are global: from one global layer to the next it is n layers, so "
                "n - 1 local layers lie between them", LOCAL,
                plan_with(is_global=lambda number, every: number % (every + 1) == 0)),
        Mistake("the masks are right, but the thetas are swapped: long distances need slow turns, "
                "so global layers have the large theta", ROPE,
                plan_with(pick=lambda whole, thetas: thetas[whole])),
        Mistake("the masks are right, but local layers got the theta of global layers", ROPE,
                plan_with(pick=lambda whole, thetas: thetas[0])),
        Mistake("the masks are right, but global layers got the theta of local layers", ROPE,
                plan_with(pick=lambda whole, thetas: thetas[1])),
    ),
    hints=(
        "Which two conditions must a key meet in a local layer, and which one remains in a global "
        "layer?",
        "near is (T, T): the distance is at most half of the window. real is (B, 1, T): the key is "
        "no padding. Global layers take real, local layers take real & near.",
        "Stack these masks, and choose thetas in the same way. real.expand(-1, T, -1) gives both "
        "one shape.\n"
        "    [real if n % every == 0 else real & near for n in range(num_layers)]",
    ),
)  # fmt: skip


# 6: repair a row without padding

Body = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Ids (1, N), a mask (1, N, N) and positions (1, N) -> states (1, N, D)."""


def reference_unpadded(body: Body, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    real = attention_mask.bool()
    text, place = real.nonzero(as_tuple=True)
    same_text = (text[:, None] == text)[None]
    states = body(input_ids[real][None], same_text, place[None])[0]
    padded = torch.zeros(*input_ids.shape, states.shape[-1])
    padded[real] = states
    return padded


def small_body(N: int, seed: int) -> Body:
    """One head over tokens: positions are added as vectors, and distances count, too."""
    D, V, far = 4, 9, 40
    words, places, distances, mix = draw((V, D), (far, D), (2 * far,), (3, D, D), seed=seed)

    def body(ids: Tensor, mask: Tensor, position_ids: Tensor) -> Tensor:
        for name, given, shape in (
            ("ids", ids, (1, N)), ("a mask", mask, (1, N, N)), ("positions", position_ids, (1, N)),
        ):  # fmt: skip
            if tuple(given.shape) != shape:
                raise ValueError(
                    f"body takes the {N} real tokens in one row, so {name} of shape {shape}, not "
                    f"{tuple(given.shape)}"
                )
        if mask.dtype != torch.bool:
            raise ValueError(f"body takes a bool mask, not one of {mask.dtype}")
        x = words[ids] + places[position_ids]  # (1, N, D)
        query, key, value = (x @ part for part in mix)
        apart = (position_ids[:, :, None] - position_ids[:, None]).clamp(-far, far - 1)  # (1, N, N)
        scores = query @ key.mT / D + distances[apart + far]
        return x + scores.masked_fill(~mask, -torch.inf).softmax(-1).nan_to_num(0.0) @ value

    return body


def same_text(text: Tensor, place: Tensor) -> Tensor:
    return text[:, None] == text


def where_it_was(states: Tensor, real: Tensor) -> Tensor:
    """(N, D) -> (B, T, D), 0 at padding."""
    padded = torch.zeros(*real.shape, states.shape[-1])
    padded[real] = states
    return padded


def one_after_another(states: Tensor, real: Tensor) -> Tensor:
    padded = torch.zeros(real.numel(), states.shape[-1])
    padded[: len(states)] = states
    return padded.view(*real.shape, -1)


def repeated(states: Tensor, real: Tensor) -> Tensor:
    """Padding gets the state of the real token before it."""
    before = real.flatten().cumsum(0) - 1
    return states[before.clamp(min=0)].view(*real.shape, -1)


def unpadded_with(
    see: Callable[[Tensor, Tensor], Tensor] = same_text,
    positions: Callable[[Tensor, Tensor], Tensor] = lambda text, place: place,
    back: Callable[[Tensor, Tensor], Tensor] = where_it_was,
) -> Callable[..., Tensor]:
    """Another mask, other positions, or another way back. Each token has a text and a place."""

    def answer(body, input_ids, attention_mask):
        real = attention_mask.bool()
        text, place = real.nonzero(as_tuple=True)
        row = input_ids[real][None]
        states = body(row, see(text, place)[None], positions(text, place)[None])[0]
        return back(states, real)

    return answer


def see_all(text: Tensor, place: Tensor) -> Tensor:
    return torch.ones(len(text), len(text)).bool()


def run_on(text: Tensor, place: Tensor) -> Tensor:
    return torch.arange(len(text))


def of_shifted(text: Tensor, place: Tensor) -> Tensor:
    """Each text ends one token too late."""
    return same_text(torch.cat([text[:1], text[:-1]]), place)


def of_equal_parts(text: Tensor, place: Tensor) -> Tensor:
    """As if all texts had the same length."""
    B, N = int(text.max()) + 1, len(text)
    return same_text(torch.arange(N) * B // N, place)


def by_columns(body: Body, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """The row has the first token of each text, then the second of each, and so on."""
    real = attention_mask.bool()
    place, text = real.T.nonzero(as_tuple=True)
    states = body(input_ids.T[real.T][None], same_text(text, place)[None], place[None])[0]
    return where_it_was(states, real)


def unpadded_cases(seed: int) -> list[Case]:
    """Padding after the texts, whichever is the longest."""
    cases = []
    for lengths in ((5, 2, 4), (3, 6), (2, 5, 3)):
        mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
        ids = draw_ids(9, *mask.shape, seed=seed + len(lengths))
        cases.append((small_body(sum(lengths), seed + lengths[0]), ids, mask))
    return cases


unpadded = Exercise(
    name="unpadded",
    chapter=13,
    reference=reference_unpadded,
    cases=unpadded_cases,
    returns={"states": "B T D"},
    mistakes=(
        Mistake("your texts see each other, and your positions run on from text to text: the mask "
                "should be True only within a text, and each text's positions should start at 0",
                UNPAD, unpadded_with(see_all, run_on)),
        Mistake("your texts see each other: the mask should be True only where query and key are "
                "from the same text", UNPAD, unpadded_with(see_all)),
        Mistake("your texts see the texts before them: the mask should be True only where query "
                "and key are from the same text, so == and not >=", UNPAD,
                unpadded_with(lambda text, place: text[:, None] >= text)),
        Mistake("your positions run on from text to text: each text's positions should start at 0",
                UNPAD, unpadded_with(positions=run_on)),
        Mistake("your positions start at 1: each text's positions should start at 0", UNPAD,
                unpadded_with(positions=lambda text, place: place + 1)),
        Mistake("all your tokens have the same position: it should be the token's place in its "
                "text", UNPAD,
                unpadded_with(positions=lambda text, place: torch.zeros_like(place))),
        Mistake("you gave the number of the text as position: it should be the place in the text",
                UNPAD, unpadded_with(positions=lambda text, place: text)),
        Mistake("your mask compares places: it should compare texts", UNPAD,
                unpadded_with(lambda text, place: place[:, None] == place)),
        Mistake("your tokens see the other texts and not their own: the mask is inverted", UNPAD,
                unpadded_with(lambda text, place: text[:, None] != text)),
        Mistake("each of your tokens sees only itself: it should see its whole text", UNPAD,
                unpadded_with(lambda text, place: torch.eye(len(text)).bool())),
        Mistake("your tokens see only what is to their left, as in GPT: an encoder's token should "
                "see its whole text", UNPAD, unpadded_with(
                    lambda text, place: same_text(text, place) & (place[:, None] >= place))),
        Mistake("the bounds between texts are off by one: the first token of a text is counted "
                "with the text before", UNPAD, unpadded_with(of_shifted)),
        Mistake("the row was cut into equal parts: texts differ in length", UNPAD,
                unpadded_with(of_equal_parts)),
        Mistake("tokens were taken column by column, but put back row by row", UNPAD, by_columns),
        Mistake("states were written one after another, with all padding at the end: put each "
                "state back where its token was", UNPAD, unpadded_with(back=one_after_another)),
        Mistake("padding has the state of a real token: it should be 0", UNPAD,
                unpadded_with(back=repeated)),
    ),
    hints=(
        "In the row, where does one text end and the next begin? Who in this code knows about it?",
        "attention_mask.nonzero() knows the text and the place of each real token. The mask "
        "compares the texts, and the places are the positions.",
        "With N tokens, text and place are (N,) each:\n"
        "    text, place = real.nonzero(as_tuple=True)\n"
        "    states = body(row, (text[:, None] == text)[None], place[None])[0]",
    ),
)  # fmt: skip


# 7: is it better at equal time?

Gain = tuple[float, float]


def reference_gain_at_equal_time(
    base: np.ndarray, changed: np.ndarray, base_ms: float, changed_ms: float
) -> Gain:
    steps = np.arange(1, base.shape[1] + 1)
    budget = min(base_ms, changed_ms) * steps[-1]
    before = np.array([np.interp(budget, steps * base_ms, curve) for curve in base])
    after = np.array([np.interp(budget, steps * changed_ms, curve) for curve in changed])
    gains = after - before
    return gains.mean(), stats.t.ppf(0.975, len(gains) - 1) * stats.sem(gains)


At = Callable[[np.ndarray, float, float], np.ndarray]
"""Accuracies (seeds,) of curves (seeds, evaluations), from ms per step and the budget's ms."""


def between_measurements(curves: np.ndarray, ms: float, fastest: float) -> np.ndarray:
    steps = np.arange(1, curves.shape[1] + 1)
    return np.array([np.interp(fastest * steps[-1], steps * ms, curve) for curve in curves])


def at_the_end(curves: np.ndarray, ms: float, fastest: float) -> np.ndarray:
    return curves[:, -1]


def last_before(curves: np.ndarray, ms: float, fastest: float) -> np.ndarray:
    """The last measurement within the budget."""
    return curves[:, int(fastest * curves.shape[1] / ms + 1e-9) - 1]


def first_after(curves: np.ndarray, ms: float, fastest: float) -> np.ndarray:
    return curves[:, math.ceil(fastest * curves.shape[1] / ms - 1e-9) - 1]


def clock_upside_down(curves: np.ndarray, ms: float, slowest: float) -> np.ndarray:
    steps = np.arange(1, curves.shape[1] + 1)
    return np.array([np.interp(steps[-1] / slowest, steps / ms, curve) for curve in curves])


def counted_from_0(curves: np.ndarray, ms: float, fastest: float) -> np.ndarray:
    steps = np.arange(curves.shape[1])
    return np.array([np.interp(fastest * steps[-1], steps * ms, curve) for curve in curves])


def mean_over_time(curves: np.ndarray, ms: float, fastest: float) -> np.ndarray:
    """The mean over the times at which the faster model was measured."""
    steps = np.arange(1, curves.shape[1] + 1)
    return np.array([np.interp(fastest * steps, ms * steps, curve).mean() for curve in curves])


def half_width(gains: np.ndarray) -> float:
    return stats.t.ppf(0.975, len(gains) - 1) * stats.sem(gains)


def gain_with(
    at: At = between_measurements,
    fastest: Callable[[float, float], float] = min,
    result: Callable[[np.ndarray, np.ndarray], Gain] = lambda before, after: (
        (after - before).mean(), half_width(after - before)),
) -> Callable[..., Gain]:  # fmt: skip
    """Another way to read a curve, another budget, or other numbers from both accuracies."""

    def answer(base, changed, base_ms, changed_ms):
        budget = fastest(base_ms, changed_ms)
        return result(at(base, base_ms, budget), at(changed, changed_ms, budget))

    return answer


def with_half(half: Callable[[np.ndarray, np.ndarray], float]) -> Callable[..., Gain]:
    """The right gain, and something else beside it."""
    return gain_with(result=lambda before, after: ((after - before).mean(), half(before, after)))


def at_the_slowest_steps(base, changed, base_ms, changed_ms):
    """Both at as many steps as the slower model makes within the budget."""
    slow, fast = max(base_ms, changed_ms), min(base_ms, changed_ms)
    before, after = (between_measurements(curves, slow, fast) for curves in (base, changed))
    return (after - before).mean(), half_width(after - before)


def gain_cases(seed: int) -> list[Case]:
    """Curves that rise. Either model may be slower, and all models of a seed share its luck."""
    cases = []
    for seeds, number, base_ms, changed_ms in (
        (3, 5, 50.0, 58.0),
        (4, 4, 60.0, 44.0),
        (5, 6, 40.0, 55.0),
    ):
        luck, base, changed = draw((seeds, 1), (seeds, number), (seeds, number), seed=seed + seeds)
        curves = [10 + 4 * luck + x.abs().cumsum(1) for x in (base, 1.3 * changed)]
        cases.append((*(x.double().numpy() for x in curves), base_ms, changed_ms))
    return cases


gain_at_equal_time = Exercise(
    name="gain_at_equal_time",
    chapter=13,
    reference=reference_gain_at_equal_time,
    cases=gain_cases,
    returns={"gain": "", "half the width": ""},
    run=plain_numbers,
    mistakes=(
        Mistake("these are final accuracies, at equal steps: the slower model had more time, so "
                "the budget is the time of the faster model", FAIR, gain_with(at_the_end)),
        Mistake("the budget is always base's time: the changed model may be the faster of the two",
                FAIR, gain_with(fastest=lambda base_ms, changed_ms: base_ms)),
        Mistake("the budget is always the changed model's time: base may be the faster of the two",
                FAIR, gain_with(fastest=lambda base_ms, changed_ms: changed_ms)),
        Mistake("both are read after the same number of steps: in the same time, the faster model "
                "makes more steps", FAIR, at_the_slowest_steps),
        Mistake("the slower curve was read at the last measurement before the budget ended: "
                "interpolate between two measurements", FAIR, gain_with(last_before)),
        Mistake("the slower curve was read at the first measurement after the budget ended: "
                "interpolate between two measurements", FAIR, gain_with(first_after)),
        Mistake("your two clocks are the wrong way round: multiply each model's steps by its own "
                "ms", FAIR, gain_with(clock_upside_down, fastest=max)),
        Mistake("you put the first measurement at step 0: it comes after the first S steps",
                FAIR, gain_with(counted_from_0)),
        Mistake("this is the mean over all measurements: compare when the budget ends", FAIR,
                gain_with(lambda curves, ms, fastest: curves.mean(1))),
        Mistake("this is the mean over the whole time: compare only when the budget ends", FAIR,
                gain_with(mean_over_time)),
        Mistake("the sign is wrong: a gain is changed less base", FAIR, gain_with(
            result=lambda before, after: (
                (before - after).mean(), half_width(before - after)))),
        Mistake("this is a gain in percent of base: take the difference in points", FAIR,
                gain_with(result=lambda before, after: (
                    100 * (after / before - 1).mean(), half_width(100 * (after / before - 1))))),
        Mistake("this is changed divided by base: a gain should be the difference, changed less "
                "base", FAIR, gain_with(result=lambda before, after: (
                    (after / before).mean(), half_width(after / before)))),
        Mistake("the interval is that of two independent samples: models with the same seed share "
                "their luck, so subtract seed by seed first", FAIR, with_half(
                    lambda before, after: stats.t.ppf(0.975, 2 * len(before) - 2)
                    * math.hypot(stats.sem(before), stats.sem(after)))),
        Mistake("the two models' intervals were combined: subtract seed by seed first, then take "
                "the interval of the differences", FAIR, with_half(
                    lambda before, after: math.hypot(half_width(before), half_width(after)))),
        Mistake("the two models' intervals were added: subtract seed by seed first, then take the "
                "interval of the differences", FAIR, with_half(
                    lambda before, after: half_width(before) + half_width(after))),
        Mistake("this is the interval of the changed model alone: take that of the differences",
                FAIR, with_half(lambda before, after: half_width(after))),
        Mistake("this is the standard deviation over seeds: the interval for the mean is "
                "t x deviation / root of the number of seeds", FAIR,
                with_half(lambda before, after: (after - before).std(ddof=1))),
        Mistake("this is numpy's standard deviation, which divides by n: the interval for the mean "
                "is t x deviation / root of n, with the deviation by n - 1", FAIR,
                with_half(lambda before, after: (after - before).std())),
        Mistake("your ± is the standard error: multiply it by the t value, which is 4.3 for three "
                "seeds, or let `interval` do it", FAIR,
                with_half(lambda before, after: stats.sem(after - before))),
        Mistake("you multiplied the standard error by 1.96, which is for many seeds: for three "
                "seeds the t value is 4.3, and `interval` knows it for any number", FAIR,
                with_half(lambda before, after: 1.96 * stats.sem(after - before))),
        Mistake("this t value leaves 5 % on one side: a 95 % interval leaves 2.5 % on each side",
                FAIR, with_half(lambda before, after: stats.t.ppf(0.95, len(before) - 1)
                                * stats.sem(after - before))),
        Mistake("the t value has one degree of freedom less than there are seeds", FAIR,
                with_half(lambda before, after: stats.t.ppf(0.975, len(before))
                          * stats.sem(after - before))),
        Mistake("this is the whole width of the interval: ± is half of it", FAIR,
                with_half(lambda before, after: 2 * half_width(after - before))),
    ),
    hints=(
        "When the faster model is done, how far is the slower model?",
        "Multiply steps by the ms of a step to get a clock for each model. Read all curves at the "
        "end of the shorter clock with np.interp. Then subtract seed by seed.",
        "With `steps` from 1 to the number of measurements:\n"
        "    def at(curves, ms):\n"
        "        return np.array([np.interp(budget, steps * ms, c) for c in curves])\n"
        "    return interval(at(changed, changed_ms) - at(base, base_ms))",
    ),
)  # fmt: skip


EXERCISES = (
    window_counts,
    rotary_attention,
    gated,
    pre_norm_stack,
    layer_plan,
    unpadded,
    gain_at_equal_time,
)


# Blanks in the chapter


def turn_pairs_cases(seed: int) -> list[Case]:
    """Angles of one vector, and of a batch with heads, where they are the same for each head."""
    x, angles = draw((6,), (3,), seed=seed)
    batch, turns = draw((2, 3, 4, 8), (2, 1, 4, 4), seed=seed + 1)
    return [(x, angles), (batch, turns)]


turn_pairs = Exercise(
    name="turn_pairs",
    chapter=13,
    reference=turn,
    cases=turn_pairs_cases,
    returns={"turned": "... K"},
    mistakes=(
        Mistake("the turn goes backwards: the first half is a cos − b sin, with a minus, and the "
                "second is b cos + a sin", ROPE, turn_back),
        Mistake("the minus is missing, so your arrows change their lengths: the first half is "
                "a cos − b sin", ROPE, turn_without_minus),
        Mistake("there is a minus in both halves: the second half is b cos + a sin", ROPE,
                turn_with_two_minuses),
        Mistake("a and b are swapped in the second half: it is b cos + a sin", ROPE,
                turn_with_halves_swapped),
        Mistake("your pairs are neighbours, 0 and 1, 2 and 3: here, pair i is made of the numbers "
                "i and i + K / 2, so take the two halves with chunk", PEOPLE,
                turn_neighbours_in_place),
        Mistake("your pairs are neighbours, and their results are in the two halves: here, pair i "
                "is made of the numbers i and i + K / 2, so take them with chunk", PEOPLE,
                turn_neighbours),
        Mistake("the two halves came back in the wrong order: the half that began with a comes "
                "first", ROPE, lambda x, angles: turn(x, angles).roll(x.shape[-1] // 2, -1)),
        Mistake("cos and sin are swapped: at an angle of 0, nothing should turn", ROPE,
                lambda x, angles: turn(x, torch.pi / 2 - angles)),
        Mistake("these are the products with the cosine alone: a turn needs the sine as well", ROPE,
                lambda x, angles: x * torch.cat([angles, angles], dim=-1).cos()),
    ),
)  # fmt: skip


def reference_gated_feed_forward(x: Tensor, w_1: Tensor, w_2: Tensor, w_3: Tensor) -> Tensor:
    return (F.gelu(x @ w_1) * (x @ w_2)) @ w_3


def gate_with(between: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """Something else between the two wide vectors and the last matrix."""
    return lambda x, w_1, w_2, w_3: between(x @ w_1, x @ w_2) @ w_3


def gate_cases(seed: int) -> list[Case]:
    cases = []
    for shape, wide in (((3,), 5), ((2, 4, 3), 6)):
        D = shape[-1]
        cases.append(tuple(draw(shape, (D, wide), (D, wide), (wide, D), seed=seed + wide)))
    return cases


gated_feed_forward = Exercise(
    name="gated_feed_forward",
    chapter=13,
    reference=reference_gated_feed_forward,
    cases=gate_cases,
    returns={"output": "... D"},
    mistakes=(
        Mistake("GELU is on the gate: it belongs to the first vector, x W_1", GATE,
                gate_with(lambda wide, gate: wide * F.gelu(gate))),
        Mistake("GELU comes after the product: first GELU, then the gate multiplies", GATE,
                gate_with(lambda wide, gate: F.gelu(wide * gate))),
        Mistake("GELU is on both vectors: the gate has none, so that it can turn a sign around",
                GATE, gate_with(lambda wide, gate: F.gelu(wide) * F.gelu(gate))),
        Mistake("GELU is missing", GATE, gate_with(lambda wide, gate: wide * gate)),
        Mistake("the gate is added: it multiplies, so that 0 lets nothing through", GATE,
                gate_with(lambda wide, gate: F.gelu(wide) + gate)),
        Mistake("the gate is missing: this is BERT's feed-forward, with W_1 and W_3", GATE,
                gate_with(lambda wide, gate: F.gelu(wide))),
        Mistake("a sigmoid limits your gate to 0 to 1: here it can be any number", GATE,
                gate_with(lambda wide, gate: F.gelu(wide) * gate.sigmoid())),
        Mistake("this is ReGLU, with ReLU: use F.gelu", GATE,
                gate_with(lambda wide, gate: F.relu(wide) * gate)),
        Mistake("x was added: the residual sum belongs to the block, not to the feed-forward", NORM,
                lambda x, *matrices: x + reference_gated_feed_forward(x, *matrices)),
    ),
)  # fmt: skip


def reference_window_mask(length: int, window: int) -> Tensor:
    place = torch.arange(length)
    return (place[:, None] - place).abs() <= window // 2


def mask_where(seen: Near) -> Callable[[int, int], Tensor]:
    """Another rule for what is in the window."""

    def answer(length: int, window: int) -> Tensor:
        place = torch.arange(length)
        return seen(place - place[:, None], window)

    return answer


window_mask = Exercise(
    name="window_mask",
    chapter=13,
    reference=reference_window_mask,
    cases=lambda seed: [(8, 4), (11, 6)],
    returns={"mask": "T T"},
    mistakes=(
        Mistake("your window is twice as wide: half of it is on each side", PEOPLE,
                mask_where(lambda d, w: d.abs() <= w)),
        Mistake("a key at a distance of exactly half the window is still seen, so <= and not <",
                LOCAL, mask_where(lambda d, w: d.abs() < w // 2)),
        Mistake("only keys to the left are seen: take the absolute value of the distance", LOCAL,
                mask_where(lambda d, w: (d <= 0) & (-d <= w // 2))),
        Mistake("only keys to the right are seen: take the absolute value of the distance", LOCAL,
                mask_where(lambda d, w: (d >= 0) & (d <= w // 2))),
        Mistake("one side has no limit: a distance may be negative, so take its absolute value",
                LOCAL, mask_where(lambda d, w: -d <= w // 2)),
        Mistake("the left side has no limit: a distance may be negative, so take its absolute "
                "value", LOCAL, mask_where(lambda d, w: d <= w // 2)),
        Mistake("True and False are swapped: True means that a key is seen", LOCAL,
                mask_where(lambda d, w: d.abs() > w // 2)),
        Mistake("a token can't see itself in your mask, but a distance of 0 is inside the window",
                LOCAL, mask_where(lambda d, w: (d.abs() <= w // 2) & (d != 0))),
        Mistake("the text was cut into blocks: the window moves along with its token", LOCAL,
                mask_where(in_blocks)),
        Mistake("only keys at exactly half the window are seen: those in between are, too", LOCAL,
                mask_where(lambda d, w: d.abs() == w // 2)),
    ),
)  # fmt: skip

BLANKS = (turn_pairs, gated_feed_forward, window_mask)
