"""The exercises of chapter 4, the encoder."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minibert.attention import BertSelfAttention, additive_mask
from minibert.config import BertConfig
from minibert.course.checks.engine import (
    Case,
    Exercise,
    Mistake,
    call,
    draw,
    module,
    prediction,
)
from minibert.encoder import BertLayer

FEED_FORWARD = "The feed-forward: every token alone"
ACTIVATIONS = "Activations"
WHERE = "Where the non-linearity sits"
RESIDUALS = "Residuals, and LayerNorm again"
BLOCK = "The block"
STACK = "The stack"
COUNT = "Where 110 million parameters sit"
PEOPLE = "Mistakes people make here"


# 1: a count, before anything runs

HIDDEN, WIDE = 1024, 4096  # BERT-large
LINEAR = HIDDEN * HIDDEN + HIDDEN  # D -> D
UP, DOWN = HIDDEN * WIDE + WIDE, WIDE * HIDDEN + HIDDEN  # D -> F, F -> D
NORM = 2 * HIDDEN

block_parameters = Exercise(
    name="block_parameters",
    chapter=4,
    reference=4 * LINEAR + UP + DOWN + 2 * NORM,
    cases=lambda seed: [()],
    returns={"the number": ""},
    run=prediction,
    mistakes=(
        Mistake("the biases of the Linear layers are missing: a layer from a to b has ab + b "
                "numbers", COUNT, 4 * HIDDEN * HIDDEN + 2 * HIDDEN * WIDE + 2 * NORM),
        Mistake("only matrices are counted: biases and both LayerNorms are missing", COUNT,
                4 * HIDDEN * HIDDEN + 2 * HIDDEN * WIDE),
        Mistake("both LayerNorms are missing: each has a gain and a bias of D numbers", COUNT,
                4 * LINEAR + UP + DOWN),
        Mistake("half of the LayerNorms is missing: a block has two, each with a gain and a bias",
                BLOCK,
                4 * LINEAR + UP + DOWN + NORM),
        Mistake("attention's output projection is missing: it has four matrices, not three", COUNT,
                3 * LINEAR + UP + DOWN + 2 * NORM),
        Mistake("attention is counted as one matrix: it has four", COUNT,
                LINEAR + UP + DOWN + 2 * NORM),
        Mistake("query, key and value are counted once for each of 16 heads, but the heads share D",
                COUNT, (3 * 16 + 1) * LINEAR + UP + DOWN + 2 * NORM),
        Mistake("the feed-forward's way back, from F to D, is missing", FEED_FORWARD,
                4 * LINEAR + UP + 2 * NORM),
        Mistake("the feed-forward's last bias has D numbers, not F: it is added to the output",
                FEED_FORWARD, 4 * LINEAR + UP + WIDE * HIDDEN + WIDE + 2 * NORM),
        Mistake("the feed-forward's first bias has F numbers, not D: the vector is wide there",
                FEED_FORWARD, 4 * LINEAR + HIDDEN * WIDE + HIDDEN + DOWN + 2 * NORM),
        Mistake("this is the feed-forward alone", COUNT, UP + DOWN),
        Mistake("this is attention alone", COUNT, 4 * LINEAR),
        Mistake("this is a block of BERT-base: here D is 1,024 and F is 4,096", COUNT, 7_087_872),
    ),
    hints=(
        "Which boxes in the drawing at the top of the chapter hold parameters?",
        "Attention has four Linear layers from D to D. The feed-forward has one from D to F and "
        "one from F to D. Each of the two LayerNorms has 2 D numbers.",
        "4 * (D * D + D) + (D * F + F) + (F * D + D) + 2 * 2 * D",
    ),
)  # fmt: skip


# 2: GELU


def reference_gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def gelu_cases(seed: int) -> list[Case]:
    # A grid over both tails and the middle, where the tanh form is off by most (near 2).
    spread, row = draw((2, 3, 5), (4,), seed=seed)
    return [(torch.linspace(-6, 6, 49),), (2 * spread,), (row,)]


gelu = Exercise(
    name="gelu",
    chapter=4,
    reference=reference_gelu,
    cases=gelu_cases,
    returns={"GELU": "..."},
    mistakes=(
        Mistake("this is the tanh form, which is off by up to 0.0005: BERT was trained with erf",
                ACTIVATIONS, lambda x: F.gelu(x, approximate="tanh")),
        Mistake("x σ(1.702 x) only approximates GELU, with errors up to 0.02: compute Φ with erf",
                ACTIVATIONS, lambda x: x * torch.sigmoid(1.702 * x)),
        Mistake("this is SiLU, x σ(x): GELU uses Φ of the normal distribution instead of σ",
                ACTIVATIONS, F.silu),
        Mistake("this is ReLU: GELU lets a part of small negative numbers through", ACTIVATIONS,
                F.relu),
        Mistake("erf takes x / √2: without it the curve is too steep", ACTIVATIONS,
                lambda x: x * 0.5 * (1 + torch.erf(x))),
        Mistake("x is divided by 2 inside erf, not by √2", ACTIVATIONS,
                lambda x: x * 0.5 * (1 + torch.erf(x / 2))),
        Mistake("x is multiplied by √2 inside erf, not divided", ACTIVATIONS,
                lambda x: x * 0.5 * (1 + torch.erf(x * math.sqrt(2)))),
        Mistake("the factor 0.5 is missing: large numbers come out doubled", ACTIVATIONS,
                lambda x: x * (1 + torch.erf(x / math.sqrt(2)))),
        Mistake("0.5 multiplies only the 1 and not erf: brackets are missing", ACTIVATIONS,
                lambda x: x * (0.5 + torch.erf(x / math.sqrt(2)))),
        Mistake("the 1 is missing: erf runs from -1 to 1, and Φ from 0 to 1", ACTIVATIONS,
                lambda x: x * 0.5 * torch.erf(x / math.sqrt(2))),
        Mistake("this is only Φ(x): GELU is x times Φ(x)", ACTIVATIONS,
                lambda x: 0.5 * (1 + torch.erf(x / math.sqrt(2)))),
        Mistake("Φ is the share below x, not above it: the sign before erf is wrong", ACTIVATIONS,
                lambda x: x * 0.5 * (1 - torch.erf(x / math.sqrt(2)))),
        Mistake("x is multiplied by the height of the bell curve instead of the share below x",
                ACTIVATIONS, lambda x: x * torch.exp(-x * x / 2) / math.sqrt(2 * math.pi)),
    ),
    hints=(
        "Which share of normally distributed numbers lies below x?",
        "GELU(x) = x Φ(x), and erf gives Φ: Φ(x) = (1 + erf(x / √2)) / 2.",
        "x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))",
    ),
)  # fmt: skip


# 3: the feed-forward


def reference_feed_forward(
    x: Tensor, weight_1: Tensor, bias_1: Tensor, weight_2: Tensor, bias_2: Tensor
) -> Tensor:
    wide = x @ weight_1.T + bias_1
    return F.gelu(wide) @ weight_2.T + bias_2


def fed_with(inner: Callable[[Tensor], Tensor], outer: Callable[[Tensor], Tensor] = lambda y: y):
    """The feed-forward with `inner` between its matrices and `outer` on its output."""

    def answer(x, weight_1, bias_1, weight_2, bias_2):
        return outer(inner(x @ weight_1.T + bias_1) @ weight_2.T + bias_2)

    return answer


def feed_forward_cases(seed: int) -> list[Case]:
    sizes = (((5,), 3, 7), ((2, 4), 6, 5), ((3, 2, 1), 2, 9))  # x is (..., D)
    return [
        tuple(draw((*outer, D), (wide, D), (wide,), (D, wide), (D,), seed=seed))
        for outer, D, wide in sizes
    ]


feed_forward = Exercise(
    name="feed_forward",
    chapter=4,
    reference=reference_feed_forward,
    cases=feed_forward_cases,
    returns={"output": "... D"},
    mistakes=(
        Mistake("the activation comes after the second matrix: it belongs between the two", WHERE,
                fed_with(lambda y: y, F.gelu)),
        Mistake("a second activation follows the output, so a block could add but barely subtract",
                WHERE, fed_with(F.gelu, F.gelu)),
        Mistake("there is no activation, so the two matrices act as one", WHERE,
                fed_with(lambda y: y)),
        Mistake("this uses ReLU, not GELU", ACTIVATIONS, fed_with(F.relu)),
        Mistake("this is GELU's tanh form: BERT was trained with erf", ACTIVATIONS,
                fed_with(lambda y: F.gelu(y, approximate="tanh"))),
        Mistake("this uses SiLU, not GELU", ACTIVATIONS, fed_with(F.silu)),
        Mistake("the activation comes before the first bias: add the bias first", FEED_FORWARD,
                lambda x, w, b, v, c: (F.gelu(x @ w.T) + b) @ v.T + c),
        Mistake("the first bias is missing", FEED_FORWARD,
                lambda x, w, b, v, c: reference_feed_forward(x, w, 0 * b, v, c)),
        Mistake("the second bias is missing", FEED_FORWARD,
                lambda x, w, b, v, c: reference_feed_forward(x, w, b, v, 0 * c)),
        Mistake("both biases are missing", FEED_FORWARD,
                lambda x, w, b, v, c: reference_feed_forward(x, w, 0 * b, v, 0 * c)),
        Mistake("the weights were reshaped, which moves numbers to wrong places: transpose them",
                WHERE, lambda x, w, b, v, c: reference_feed_forward(
                    x, w.reshape(w.T.shape).T, b, v.reshape(v.T.shape).T, c)),
        Mistake("x was added to the output: the residual sum belongs to the block", RESIDUALS,
                lambda x, w, b, v, c: x + reference_feed_forward(x, w, b, v, c)),
    ),
    hints=(
        "Each weight is (out, in). What must you do to it before it fits x, which is (..., in)?",
        "From D to F with the first weight and bias, then GELU, then back to D with the second.",
        "F.gelu(x @ weight_1.T + bias_1) @ weight_2.T + bias_2",
    ),
)  # fmt: skip


# 4: two layers that are one


def reference_one_linear(
    weight_1: Tensor, bias_1: Tensor, weight_2: Tensor, bias_2: Tensor
) -> tuple[Tensor, Tensor]:
    weight = weight_2 @ weight_1
    bias = weight_2 @ bias_1 + bias_2
    return weight, bias


def square_cases(seed: int) -> list[Case]:
    # Square, so that a product in the wrong order runs and can be named.
    return [tuple(draw((D, D), (D,), (D, D), (D,), seed=seed)) for D in (3, 5, 2)]


one_linear = Exercise(
    name="one_linear",
    chapter=4,
    reference=reference_one_linear,
    cases=square_cases,
    returns={"weight": "D D", "bias": "D"},
    mistakes=(
        Mistake("the product is in the wrong order: with (out, in), layer 2 is on the left", WHERE,
                lambda w, b, v, c: (w @ v, v @ b + c)),
        Mistake("this weight is transposed: it fits x @ weight, but nn.Linear keeps (out, in)",
                WHERE, lambda w, b, v, c: (w.T @ v.T, v @ b + c)),
        Mistake("the first bias has to go through the second matrix as well", WHERE,
                lambda w, b, v, c: (v @ w, b + c)),
        Mistake("the first bias is missing", WHERE, lambda w, b, v, c: (v @ w, c.clone())),
        Mistake("the second bias is missing", WHERE, lambda w, b, v, c: (v @ w, v @ b)),
        Mistake("the first bias went through the first matrix: it is added after that one", WHERE,
                lambda w, b, v, c: (v @ w, w @ b + c)),
        Mistake("bias @ weight uses the second weight transposed: write weight @ bias", WHERE,
                lambda w, b, v, c: (v @ w, b @ v + c)),
        Mistake("the second bias went through the matrix too: it is added at the very end", WHERE,
                lambda w, b, v, c: (v @ w, v @ (b + c))),
        Mistake("both matrices are used as (in, out): nn.Linear keeps (out, in)", WHERE,
                lambda w, b, v, c: (w @ v, b @ v + c)),
        Mistake("the weights were multiplied number by number: use a matrix product", WHERE,
                lambda w, b, v, c: (v * w, v @ b + c)),
        Mistake("weights and biases were added, but one layer follows the other: multiply them",
                WHERE, lambda w, b, v, c: (w + v, b + c)),
    ),
    hints=(
        "Write down the second layer's input, and multiply out the brackets.",
        "nn.Linear computes W x + b for each token x. W_2 (W_1 x + b_1) + b_2 = ?",
        "weight_2 @ weight_1, weight_2 @ bias_1 + bias_2",
    ),
)  # fmt: skip


# 5: residual sum and LayerNorm


def reference_add_and_norm(
    x: Tensor, sublayer: Callable[[Tensor], Tensor], gain: Tensor, bias: Tensor
) -> Tensor:
    total = x + sublayer(x)
    centred = total - total.mean(-1, keepdim=True)
    variance = centred.square().mean(-1, keepdim=True)
    return centred / (variance + 1e-12).sqrt() * gain + bias


def normed(x: Tensor, gain: Tensor, bias: Tensor, over=-1, eps=1e-12, correction=0) -> Tensor:
    """LayerNorm over the dimensions `over`; `correction=1` divides by one number less."""
    variance = x.var(over, keepdim=True, correction=correction)
    return (x - x.mean(over, keepdim=True)) / (variance + eps).sqrt() * gain + bias


def without_mean(x: Tensor) -> Tensor:
    """The numbers divided by their typical size, with nothing taken off."""
    return x / x.square().mean(-1, keepdim=True).sqrt()


def sublayer_with(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """(B, T, D) -> (B, T, D): a little of every token, and a curve."""
    return lambda x: ((x + x.mean(1, keepdim=True)) @ weight).tanh()


def sum_cases(seed: int) -> list[Case]:
    cases = []
    # The last tokens are small, so that an eps of 1e-5 can be seen.
    for (B, T, D), size in (((2, 5, 4), 1.0), ((4, 3, 6), 2.0), ((3, 2, 5), 0.01)):
        x, weight, gain, bias = draw((B, T, D), (D, D), (D,), (D,), seed=seed)
        cases.append((size * x, sublayer_with(weight), gain, bias))
    return cases


add_and_norm = Exercise(
    name="add_and_norm",
    chapter=4,
    reference=reference_add_and_norm,
    cases=sum_cases,
    returns={"out": "B T D"},
    mistakes=(
        Mistake("this is pre-LN, x + sublayer(LN(x)): in BERT, LayerNorm comes after the sum",
                BLOCK, lambda x, s, g, b: x + s(normed(x, g, b))),
        Mistake("the residual is missing: add x to the sublayer's output before LayerNorm",
                RESIDUALS, lambda x, s, g, b: normed(s(x), g, b)),
        Mistake("LayerNorm comes before the sum here, so the result is not normalised", BLOCK,
                lambda x, s, g, b: x + normed(s(x), g, b)),
        Mistake("LayerNorm was applied to x alone, before the sum", BLOCK,
                lambda x, s, g, b: normed(x, g, b) + s(x)),
        Mistake("x was normalised before the sum as well: one LayerNorm, after the sum, is enough",
                BLOCK, lambda x, s, g, b: normed(normed(x, g, b) + s(normed(x, g, b)), g, b)),
        Mistake("LayerNorm is missing", RESIDUALS, lambda x, s, g, b: x + s(x)),
        Mistake("the sublayer's output is missing: this is only the LayerNorm of x", RESIDUALS,
                lambda x, s, g, b: normed(x, g, b)),
        Mistake("x was added twice", RESIDUALS, lambda x, s, g, b: normed(2 * x + s(x), g, b)),
        Mistake("LayerNorm ran over (T, D), so words and padding leak into each other", PEOPLE,
                lambda x, s, g, b: normed(x + s(x), g, b, over=(1, 2))),
        Mistake("LayerNorm ran over T instead of D: normalise each token separately", RESIDUALS,
                lambda x, s, g, b: normed(x + s(x), g, b, over=1)),
        Mistake("this normalises over the whole batch: LayerNorm takes each token separately",
                RESIDUALS, lambda x, s, g, b: normed(x + s(x), g, b, over=(0, 1))),
        Mistake("the gain and the bias are not used", RESIDUALS,
                lambda x, s, g, b: normed(x + s(x), 1, 0)),
        Mistake("the bias is missing", RESIDUALS, lambda x, s, g, b: normed(x + s(x), g, 0)),
        Mistake("the gain is missing", RESIDUALS, lambda x, s, g, b: normed(x + s(x), 1, b)),
        Mistake("the variance is divided by D - 1, torch's default: LayerNorm divides by D",
                RESIDUALS, lambda x, s, g, b: normed(x + s(x), g, b, correction=1)),
        Mistake("eps is 1e-5, torch's default, which shows in small vectors: BERT uses 1e-12",
                BLOCK, lambda x, s, g, b: normed(x + s(x), g, b, eps=1e-5)),
        Mistake("the sum was divided by its variance: the square root is missing", RESIDUALS,
                lambda x, s, g, b: (x + s(x) - (x + s(x)).mean(-1, keepdim=True))
                / (x + s(x)).var(-1, keepdim=True, correction=0) * g + b),
        Mistake("the mean was not subtracted", RESIDUALS,
                lambda x, s, g, b: without_mean(x + s(x)) * g + b),
    ),
    hints=(
        "There are three steps: sublayer, sum and LayerNorm. Which order does BERT use?",
        "LN(x + sublayer(x)). LayerNorm uses the mean and the spread of each token's D numbers.",
        "F.layer_norm(x + sublayer(x), gain.shape, gain, bias, eps=1e-12)",
    ),
)  # fmt: skip


# 6: repair a stack


class ReferenceStack(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(BertLayer(config) for _ in range(config.num_hidden_layers))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, mask)[0]
        return x


def other_stack(**methods):
    """The stack with some of its methods replaced."""
    return type("Wrong", (ReferenceStack,), methods)


def repeated(self, config: BertConfig) -> None:
    """One block under L names."""
    nn.Module.__init__(self)
    self.layers = nn.ModuleList([BertLayer(config)] * config.num_hidden_layers)


def paired(self, config: BertConfig) -> None:
    """Every other block is the one before it."""
    ReferenceStack.__init__(self, config)
    for place in range(1, len(self.layers), 2):
        self.layers[place] = self.layers[place - 1]


def through(x: Tensor, layers, mask: Tensor | None) -> Tensor:
    """Block after block, over these."""
    for layer in layers:
        x = layer(x, mask)[0]
    return x


def filled(made: nn.Module, seed: int) -> dict[str, Tensor]:
    """Weights for a module by name; LayerNorm's too, where 1 and 0 would hide a lost one."""
    shapes = {name: tuple(tensor.shape) for name, tensor in made.state_dict().items()}
    numbers = draw(*shapes.values(), seed=seed)
    return {name: 0.5 * tensor for name, tensor in zip(shapes, numbers, strict=True)}


def padded(B: int, T: int, D: int, seed: int) -> tuple[Tensor, Tensor]:
    """Vectors (B, T, D), and a mask (B, T) in which each row has one token less than the last."""
    (x,) = draw((B, T, D), seed=seed + 100)
    return x, (torch.arange(T) < torch.arange(T, T - B, -1)[:, None]).long()


def stack_cases(seed: int) -> list[Case]:
    cases = []
    for B, T, D, H, wide, L in ((2, 5, 12, 3, 7, 3), (3, 4, 8, 2, 10, 4), (1, 3, 6, 1, 5, 1)):
        config = BertConfig(
            hidden_size=D, num_attention_heads=H, intermediate_size=wide, num_hidden_layers=L
        )
        x, real = padded(B, T, D, seed)
        weights = filled(ReferenceStack(config), seed)
        cases.append(({"config": config}, weights, x, additive_mask(real, x.dtype)))
    return cases


encoder_stack = Exercise(
    name="Stack",
    chapter=4,
    reference=ReferenceStack,
    cases=stack_cases,
    run=module,
    returns={"output": "B T D"},
    mistakes=(
        Mistake("every layer is the same block: [block] * L is L names for the same weights",
                PEOPLE, other_stack(__init__=repeated)),
        Mistake("pairs of layers share a block: each layer needs its own weights", PEOPLE,
                other_stack(__init__=paired)),
        Mistake("the first block runs L times, and the others never run", STACK,
                other_stack(forward=lambda self, x, m: through(
                    x, [self.layers[0]] * len(self.layers), m))),
        Mistake("every block gets the embeddings: pass on the output of the block before", STACK,
                other_stack(forward=lambda self, x, m: self.layers[-1](x, m)[0])),
        Mistake("only the first block runs: the return is inside the loop", STACK,
                other_stack(forward=lambda self, x, m: self.layers[0](x, m)[0])),
        Mistake("the blocks run from last to first", STACK,
                other_stack(forward=lambda self, x, m: through(x, self.layers[::-1], m))),
        Mistake("the last block does not run", STACK,
                other_stack(forward=lambda self, x, m: through(x, self.layers[:-1], m))),
        Mistake("the first block does not run", STACK,
                other_stack(forward=lambda self, x, m: through(x, self.layers[1:], m))),
        Mistake("the blocks don't get the mask", STACK,
                other_stack(forward=lambda self, x, m: through(x, self.layers, None))),
        Mistake("x was added to the result: the residual sums are inside the blocks", RESIDUALS,
                other_stack(forward=lambda self, x, m: x + through(x, self.layers, m))),
    ),
    hints=(
        "How many blocks does this code make? Count the calls of `BertLayer`.",
        "A list times L holds the same object L times. Make a new block for each layer.",
        "nn.ModuleList(BertLayer(config) for _ in range(config.num_hidden_layers))",
    ),
)  # fmt: skip


# 7: all of it


class ReferenceBlock(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = BertSelfAttention(config)
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.intermediate = nn.Linear(config.hidden_size, config.intermediate_size)
        self.output = nn.Linear(config.intermediate_size, config.hidden_size)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.p = config.hidden_dropout_prob

    def attend(self, x: Tensor, attention_mask: Tensor) -> Tensor:
        return self.attention(x, additive_mask(attention_mask, x.dtype))[0]

    def feed(self, x: Tensor) -> Tensor:
        return self.output(F.gelu(self.intermediate(x)))

    def forward(self, x: Tensor, attention_mask: Tensor) -> Tensor:
        x = self.attention_norm(x + self.attend(x, attention_mask))
        return self.feed_forward_norm(x + self.feed(x))


def other_block(**methods):
    """The block with some of its methods replaced."""
    return type("Wrong", (ReferenceBlock,), methods)


def with_forward(forward: Callable):
    """A block whose two halves are put together in another way.

    `forward` is given x, the halves (attention already has its mask) and their LayerNorms.
    """
    return other_block(
        forward=lambda self, x, m: forward(
            x, lambda h: self.attend(h, m), self.attention_norm, self.feed, self.feed_forward_norm
        )
    )


def with_feed(inner: Callable[[Tensor], Tensor], outer: Callable[[Tensor], Tensor] = lambda y: y):
    return other_block(feed=lambda self, x: outer(self.output(inner(self.intermediate(x)))))


def dropped(self, x: Tensor, m: Tensor) -> Tensor:
    """Dropout that does not know of evaluation mode."""
    x = self.attention_norm(x + F.dropout(self.attend(x, m), self.p))
    return self.feed_forward_norm(x + F.dropout(self.feed(x), self.p))


def another_eps(self, x: Tensor, m: Tensor) -> Tensor:
    """LayerNorm with torch's eps."""
    self.attention_norm.eps = self.feed_forward_norm.eps = 1e-5
    return ReferenceBlock.forward(self, x, m)


def over_tokens(norm: nn.LayerNorm) -> Callable[[Tensor], Tensor]:
    """The same LayerNorm over (T, D)."""
    return lambda x: F.layer_norm(x, x.shape[1:], eps=norm.eps) * norm.weight + norm.bias


def block_cases(seed: int) -> list[Case]:
    cases = []
    # A large eps shows whether the config's is used. Dropout at (nearly) 1 that is left on takes
    # everything, so it gives the same numbers each time and can be recognised.
    for B, T, D, H, wide, eps, p in (
        (2, 5, 12, 3, 7, 1e-12, 0.0),
        (3, 4, 8, 2, 11, 0.05, 1 - 1e-12),
    ):
        config = BertConfig(
            hidden_size=D,
            num_attention_heads=H,
            intermediate_size=wide,
            layer_norm_eps=eps,
            hidden_dropout_prob=p,
        )
        cases.append(
            ({"config": config}, filled(ReferenceBlock(config), seed), *padded(B, T, D, seed))
        )
    return cases


block = Exercise(
    name="Block",
    chapter=4,
    reference=ReferenceBlock,
    cases=block_cases,
    run=module,
    returns={"output": "B T D"},
    mistakes=(
        Mistake("this is pre-LN, x + sublayer(LN(x)): in BERT, LayerNorm comes after the sum",
                BLOCK, with_forward(lambda x, a, na, f, nf: (h := x + a(na(x))) + f(nf(h)))),
        Mistake("both residual sums are missing", RESIDUALS,
                with_forward(lambda x, a, na, f, nf: nf(f(na(a(x)))))),
        Mistake("the residual sum around attention is missing", RESIDUALS,
                with_forward(lambda x, a, na, f, nf: nf((h := na(a(x))) + f(h)))),
        Mistake("the residual sum around the feed-forward is missing", RESIDUALS,
                with_forward(lambda x, a, na, f, nf: nf(f(na(x + a(x)))))),
        Mistake("the second sum adds the block's input: it should add attention_norm's output",
                BLOCK, with_forward(lambda x, a, na, f, nf: nf(x + f(na(x + a(x)))))),
        Mistake("attention and feed-forward both got the block's input, but one follows the other",
                BLOCK, with_forward(lambda x, a, na, f, nf: nf(na(x + a(x)) + f(x)))),
        Mistake("the feed-forward comes before attention", BLOCK,
                with_forward(lambda x, a, na, f, nf: na((h := nf(x + f(x))) + a(h)))),
        Mistake("the two LayerNorms are swapped", BLOCK,
                with_forward(lambda x, a, na, f, nf: na((h := nf(x + a(x))) + f(h)))),
        Mistake("attention_norm is used twice, and feed_forward_norm is never used", BLOCK,
                with_forward(lambda x, a, na, f, nf: na((h := na(x + a(x))) + f(h)))),
        Mistake("attention_norm is missing: a LayerNorm follows each of the two sums", BLOCK,
                with_forward(lambda x, a, na, f, nf: nf((h := x + a(x)) + f(h)))),
        Mistake("feed_forward_norm is missing: a LayerNorm follows each of the two sums", BLOCK,
                with_forward(lambda x, a, na, f, nf: (h := na(x + a(x))) + f(h))),
        Mistake("LayerNorm comes before the sum here: write LN(x + sublayer(x))", BLOCK,
                with_forward(lambda x, a, na, f, nf: (h := x + na(a(x))) + nf(f(h)))),
        Mistake("LayerNorm ran over (T, D), so words and padding leak into each other", PEOPLE,
                with_forward(lambda x, a, na, f, nf: over_tokens(nf)(
                    (h := over_tokens(na)(x + a(x))) + f(h)))),
        Mistake("an activation follows attention: the only one belongs inside the feed-forward",
                WHERE,
                with_forward(lambda x, a, na, f, nf: nf((h := na(x + F.gelu(a(x)))) + f(h)))),
        Mistake("the activation comes after the second matrix: it belongs between the two", WHERE,
                with_feed(lambda y: y, F.gelu)),
        Mistake("a second activation follows the feed-forward's output", WHERE,
                with_feed(F.gelu, F.gelu)),
        Mistake("the activation is missing", WHERE, with_feed(lambda y: y)),
        Mistake("this uses ReLU, not GELU", ACTIVATIONS, with_feed(F.relu)),
        Mistake("this is GELU's tanh form: BERT was trained with erf", ACTIVATIONS,
                with_feed(lambda y: F.gelu(y, approximate="tanh"))),
        Mistake("the mask is not used", BLOCK,
                other_block(attend=lambda self, x, m: self.attention(x)[0])),
        Mistake("ones and zeros were added to the scores: turn the mask into additive_mask first",
                BLOCK, other_block(attend=lambda self, x, m: self.attention(
                    x, m[:, None, None].to(x.dtype))[0])),
        Mistake("eps is torch's 1e-5, not the config's layer_norm_eps", BLOCK,
                other_block(forward=another_eps)),
        Mistake("dropout is on in evaluation mode: give F.dropout training=self.training, or use "
                "nn.Dropout",
                PEOPLE, other_block(forward=dropped)),
    ),
    hints=(
        "The same step comes twice: sublayer, sum, LayerNorm. What does the second one start from?",
        "x = LN(x + attention(x)), then LN(x + feed_forward(x)) with this new x. Attention returns "
        "two things and needs the mask that additive_mask makes.",
        "x = self.attention_norm(x + self.attention(x, additive_mask(attention_mask, x.dtype))[0])",
    ),
)  # fmt: skip

EXERCISES = (
    block_parameters,
    gelu,
    feed_forward,
    one_linear,
    add_and_norm,
    encoder_stack,
    block,
)


# Blanks in the chapter

Function = Callable[[Tensor], Tensor]


def linear_with(weight: Tensor, bias: Tensor) -> Function:
    return lambda x: x @ weight + bias


def reference_widen(x: Tensor, up: Function, activation: Function, down: Function) -> Tensor:
    return down(activation(up(x)))


def widen_cases(seed: int) -> list[Case]:
    cases = []
    for outer, D, wide, activation in (((5,), 3, 7, F.gelu), ((2, 4), 6, 5, F.relu)):
        x, *numbers = draw((*outer, D), (D, wide), (wide,), (wide, D), (D,), seed=seed)
        cases.append((x, linear_with(*numbers[:2]), activation, linear_with(*numbers[2:])))
    return cases


widen_and_narrow = Exercise(
    name="widen_and_narrow",
    chapter=4,
    reference=reference_widen,
    cases=widen_cases,
    returns={"out": "... D"},
    mistakes=(
        Mistake("the activation is missing, so the two matrices act as one", WHERE,
                lambda x, up, f, down: down(up(x))),
        Mistake("the activation comes last: it belongs between `up` and `down`", FEED_FORWARD,
                lambda x, up, f, down: f(down(up(x)))),
        Mistake("the activation comes first: it belongs between `up` and `down`", FEED_FORWARD,
                lambda x, up, f, down: down(up(f(x)))),
        Mistake("there are two activations: nothing follows `down`", FEED_FORWARD,
                lambda x, up, f, down: f(down(f(up(x))))),
        Mistake("x was added to the output: that sum belongs to the block", RESIDUALS,
                lambda x, up, f, down: x + down(f(up(x)))),
        Mistake("x was added before the activation: nothing is added in the feed-forward",
                FEED_FORWARD, lambda x, up, f, down: down(f(up(x + x)))),
    ),
)  # fmt: skip


def reference_one_block(
    x: Tensor, attend: Function, norm_1: Function, feed: Function, norm_2: Function
) -> Tensor:
    x = norm_1(x + attend(x))
    return norm_2(x + feed(x))


def one_block_cases(seed: int) -> list[Case]:
    cases = []
    for B, T, D in ((2, 5, 4), (1, 3, 6)):
        x, *numbers = draw((B, T, D), (D, D), (D, D), (D,), (D,), (D,), (D,), seed=seed)
        mix, alone, *rest = numbers
        norm_1, norm_2 = (norm_with(*rest[place : place + 2]) for place in (0, 2))
        cases.append((x, sublayer_with(mix), norm_1, linear_with(alone, rest[0]), norm_2))
    return cases


def norm_with(gain: Tensor, bias: Tensor) -> Function:
    return lambda x: normed(x, gain, bias)


one_block = Exercise(
    name="one_block",
    chapter=4,
    reference=reference_one_block,
    cases=one_block_cases,
    returns={"out": "B T D"},
    mistakes=(
        Mistake("this is pre-LN, x + sublayer(LN(x)): in BERT, LayerNorm comes after the sum",
                BLOCK, lambda x, a, n, f, m: (h := x + a(n(x))) + f(m(h))),
        Mistake("LayerNorm comes before the sum here: write norm(x + sublayer(x))", BLOCK,
                lambda x, a, n, f, m: (h := x + n(a(x))) + m(f(h))),
        Mistake("both residual sums are missing: add what goes in to what comes out", RESIDUALS,
                lambda x, a, n, f, m: m(f(n(a(x))))),
        Mistake("the residual sum around attention is missing", RESIDUALS,
                lambda x, a, n, f, m: m((h := n(a(x))) + f(h))),
        Mistake("the residual sum around the feed-forward is missing", RESIDUALS,
                lambda x, a, n, f, m: m(f(n(x + a(x))))),
        Mistake("the second sum adds the block's input: it should add what norm_1 returned", BLOCK,
                lambda x, a, n, f, m: m(x + f(n(x + a(x))))),
        Mistake("the feed-forward got the block's input: it should get what norm_1 returned", BLOCK,
                lambda x, a, n, f, m: m(n(x + a(x)) + f(x))),
        Mistake("norm_2 is missing: a LayerNorm follows each of the two sums", BLOCK,
                lambda x, a, n, f, m: (h := n(x + a(x))) + f(h)),
        Mistake("norm_1 is missing: a LayerNorm follows each of the two sums", BLOCK,
                lambda x, a, n, f, m: m((h := x + a(x)) + f(h))),
        Mistake("norm_1 is used twice, and norm_2 is never used", BLOCK,
                lambda x, a, n, f, m: n((h := n(x + a(x))) + f(h))),
        Mistake("the feed-forward comes before attention", BLOCK,
                lambda x, a, n, f, m: n((h := m(x + f(x))) + a(h))),
    ),
)  # fmt: skip

Layer = Callable[[Tensor, Tensor | None], Tensor]


def reference_run_stack(x: Tensor, layers: list[Layer], mask: Tensor | None) -> list[Tensor]:
    states = [x]
    for layer in layers:
        states.append(layer(states[-1], mask))
    return states


def run_stack_cases(seed: int) -> list[Case]:
    def layer_with(weight: Tensor) -> Layer:
        return lambda x, mask=None: ((x + (0 if mask is None else mask)) @ weight).tanh()

    cases = []
    for B, T, D, L in ((2, 3, 4, 3), (1, 5, 2, 4)):
        x, mask, *weights = draw((B, T, D), (B, T, 1), *[(D, D)] * L, seed=seed)
        cases.append((x, [layer_with(weight) for weight in weights], mask))
    return cases


def stacked(answer: Callable, *case: Any) -> Any:
    """Run a function that returns a list of states."""
    states = call(answer, *case)
    if not isinstance(states, list | tuple):
        return states
    return torch.stack(list(states))


def one_too_late(x: Tensor, layers: list[Layer], mask: Tensor | None) -> list[Tensor]:
    """Each state is noted before its layer has run."""
    states = [x]
    for layer in layers:
        states.append(x)
        x = layer(x, mask)
    return states


def run_stack_with(step: Callable) -> Callable:
    """`step` is given the state, the layer, the mask, the embeddings and all layers."""

    def answer(x: Tensor, layers: list[Layer], mask: Tensor | None) -> list[Tensor]:
        states = [x]
        for layer in layers:
            states.append(step(states[-1], layer, mask, x, layers))
        return states

    return answer


run_stack = Exercise(
    name="run_stack",
    chapter=4,
    reference=reference_run_stack,
    cases=run_stack_cases,
    run=stacked,
    returns={"states": "L+1 B T D"},
    mistakes=(
        Mistake("every layer gets the embeddings: give each the state before it", STACK,
                run_stack_with(lambda h, layer, m, x, layers: layer(x, m))),
        Mistake("the first layer runs L times: use each layer once", STACK,
                run_stack_with(lambda h, layer, m, x, layers: layers[0](h, m))),
        Mistake("the layers don't get the mask", STACK,
                run_stack_with(lambda h, layer, m, x, layers: layer(h))),
        Mistake("x was added to each state: the residual sums are inside the layers", RESIDUALS,
                run_stack_with(lambda h, layer, m, x, layers: h + layer(h, m))),
        Mistake("each state is noted before its layer has run, so the last one is missing", STACK,
                one_too_late),
        Mistake("the layers run from last to first", STACK,
                lambda x, layers, m: reference_run_stack(x, layers[::-1], m)),
    ),
)  # fmt: skip

BLANKS = (widen_and_narrow, one_block, run_stack)
