"""The exercises of chapter 3, attention."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from minibert.attention import (
    BertSelfAttention,
    additive_mask,
    merge_heads,
    split_heads,
)
from minibert.course.checks.engine import (
    Case,
    Exercise,
    Mistake,
    call,
    draw,
    module,
    prediction,
)

ONE_QUERY = "One query, by hand"
WHY_DIVIDE = "Why divide by √K?"
MASKS = "Masks: what must not be seen"
HEADS = "Heads"
NOT_AN_AVERAGE = "A query is not an average"
LOWEST = torch.finfo(torch.float32).min


# 1: a shape, before anything runs

weights_shape = Exercise(
    name="weights_shape",
    chapter=3,
    reference=(2, 3, 5, 5),
    cases=lambda seed: [()],
    returns={"the shape": ""},
    run=prediction,
    mistakes=(
        Mistake("the dot product sums over K, so K is no longer in the shape", ONE_QUERY,
                (2, 3, 5, 4)),
        Mistake("a score belongs to a pair of tokens, so the last two dimensions are T by T, not "
                "K by K", ONE_QUERY, (2, 3, 4, 4)),
        Mistake("each head has its own weights: H stays in the shape", HEADS, (2, 5, 5)),
        Mistake("a sequence looks only at itself: B stays in the shape", ONE_QUERY, (3, 5, 5)),
        Mistake("after the split, heads come before tokens: (B, H, ...)", HEADS, (2, 5, 3, 5)),
        Mistake("one query has T weights, but there are T queries", ONE_QUERY, (2, 3, 5)),
    ),
    hints=(
        "Which token looks, and which is looked at? Count the ways to choose both.",
        "query and key are both (B, H, T, K). The dot product of two vectors of K numbers is one "
        "number.",
        "(B, H, T, K) @ (B, H, K, T) -> (B, H, T, T).",
    ),
)  # fmt: skip


# 2: the weights


def reference_weights(query: Tensor, key: Tensor) -> Tensor:
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    return scores.softmax(dim=-1)


def scores_of(query: Tensor, key: Tensor) -> Tensor:
    return query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])


def query_cases(seed: int) -> list[Case]:
    shapes = ((5, 4), (3, 6, 3), (2, 3, 7, 8))
    return [tuple(draw(shape, shape, seed=seed)) for shape in shapes]


attention_weights = Exercise(
    name="attention_weights",
    chapter=3,
    reference=reference_weights,
    cases=query_cases,
    returns={"weights": "... T T"},
    mistakes=(
        Mistake("the weights sum to 1 over queries, not over keys: softmax ran over dim -2",
                ONE_QUERY, lambda q, k: scores_of(q, k).softmax(-2)),
        Mistake("the scores are not divided by √K", WHY_DIVIDE,
                lambda q, k: (q @ k.transpose(-2, -1)).softmax(-1)),
        Mistake("the scores are divided by K, not by its square root", WHY_DIVIDE,
                lambda q, k: (q @ k.transpose(-2, -1) / q.shape[-1]).softmax(-1)),
        Mistake("the scores are divided by √2, where 2 is the K of the chapter's first example: "
                "take K from `query.shape[-1]`", WHY_DIVIDE,
                lambda q, k: (q @ k.transpose(-2, -1) / math.sqrt(2)).softmax(-1)),
        Mistake("the scores are multiplied by √K, not divided", WHY_DIVIDE,
                lambda q, k: (q @ k.transpose(-2, -1) * math.sqrt(q.shape[-1])).softmax(-1)),
        Mistake("the scores are divided by √T, but they grow with K, the length of a query",
                WHY_DIVIDE,
                lambda q, k: (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-2])).softmax(-1)),
        Mistake("these are scores: the softmax is missing", ONE_QUERY, scores_of),
        Mistake("query and key are swapped: row i must hold what token i gives to the others",
                ONE_QUERY,
                lambda q, k: scores_of(k, q).softmax(-1)),
        Mistake("a sigmoid treats each score separately, so the rows don't add up to 1", ONE_QUERY,
                lambda q, k: scores_of(q, k).sigmoid()),
        Mistake("these are logarithms of weights: use softmax instead of log_softmax", ONE_QUERY,
                lambda q, k: scores_of(q, k).log_softmax(-1)),
        Mistake("the whole matrix adds up to 1: each query has its own softmax", ONE_QUERY,
                lambda q, k: scores_of(q, k).flatten(-2).softmax(-1).view(scores_of(q, k).shape)),
        Mistake("the exponentials aren't divided by their sum", ONE_QUERY,
                lambda q, k: scores_of(q, k).exp()),
        Mistake("scores are divided by their sum without the exponential", ONE_QUERY,
                lambda q, k: scores_of(q, k) / scores_of(q, k).sum(-1, keepdim=True)),
    ),
    hints=(
        "First compute how well each query matches each key. Then make shares.",
        "Scores are dot products over √K. Shares come from a softmax along the keys.",
        "(query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])).softmax(dim=-1)",
    ),
)  # fmt: skip


# 3: repair a mask


def reference_masked(query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor) -> Tensor:
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    scores = scores.masked_fill(attention_mask[:, None, :] == 0, LOWEST)
    return scores.softmax(dim=-1) @ value


def masked_with(fill: float):
    """Scores of padding are set to `fill`."""

    def answer(query, key, value, attention_mask):
        hidden = attention_mask[:, None, :] == 0
        return scores_of(query, key).masked_fill(hidden, fill).softmax(-1) @ value

    return answer


def masked_cases(seed: int) -> list[Case]:
    cases = []
    for B, T, K, lengths in ((2, 5, 4, (5, 3)), (3, 4, 6, (1, 4, 2))):
        mask = (torch.arange(T) < torch.tensor(lengths)[:, None]).long()  # (B, T)
        cases.append((*draw((B, T, K), (B, T, K), (B, T, K), seed=seed), mask))
    B, T, K = 2, 3, 5
    nothing = torch.tensor([[1, 1, 0], [0, 0, 0]])  # a row of padding alone
    return [*cases, (*draw((B, T, K), (B, T, K), (B, T, K), seed=seed), nothing)]


masked_attention = Exercise(
    name="masked_attention",
    chapter=3,
    reference=reference_masked,
    cases=masked_cases,
    returns={"context": "B T K"},
    mistakes=(
        Mistake("padding still gets attention: exp(0) is 1, so a score of 0 isn't a weight of 0",
                MASKS, masked_with(0.0)),
        Mistake("padding still gets a little attention: -1 is not low enough", MASKS,
                masked_with(-1.0)),
        Mistake("a row that may see nothing becomes 0/0, which is NaN: with the lowest finite "
                "number it gets equal shares", MASKS, masked_with(-math.inf)),
        Mistake("the mask is inverted: padding is seen, and tokens are not", MASKS,
                lambda q, k, v, m: reference_masked(q, k, v, 1 - m)),
        Mistake("the mask hides queries, but it should hide keys", MASKS,
                lambda q, k, v, m: scores_of(q, k).masked_fill(m[:, :, None] == 0, LOWEST)
                .softmax(-1) @ v),
        Mistake("padding is removed after the softmax, so rows no longer add up to 1", MASKS,
                lambda q, k, v, m: scores_of(q, k).softmax(-1)
                .masked_fill(m[:, None, :] == 0, 0.0) @ v),
        Mistake("the mask is not used", MASKS, lambda q, k, v, m: scores_of(q, k).softmax(-1) @ v),
        Mistake("a row that may see nothing is 0: with the lowest finite number it gets equal "
                "shares", MASKS,
                lambda q, k, v, m: masked_with(-math.inf)(q, k, v, m).nan_to_num()),
        Mistake("a row that may see nothing still depends on its scores: the number isn't low "
                "enough", MASKS,
                lambda q, k, v, m: (scores_of(q, k) - 1e4 * (1 - m[:, None, :])).softmax(-1) @ v),
        Mistake("0 times -inf is NaN: write the low number only where there is padding", MASKS,
                lambda q, k, v, m: (
                    scores_of(q, k) + (1 - m[:, None, :]) * -math.inf).softmax(-1) @ v),
        Mistake("the mask was added to the scores as ones and zeros", MASKS,
                lambda q, k, v, m: (scores_of(q, k) + m[:, None, :]).softmax(-1) @ v),
        Mistake("the context is made of keys: average the values", ONE_QUERY,
                lambda q, k, v, m: reference_masked(q, k, k, m)),
        Mistake("the scores are not divided by √K", WHY_DIVIDE,
                lambda q, k, v, m: reference_masked(q * math.sqrt(q.shape[-1]), k, v, m)),
        Mistake("rows of padding are set to 0: leave them, because no token looks at them", MASKS,
                lambda q, k, v, m: reference_masked(q, k, v, m) * m[:, :, None]),
    ),
    hints=(
        "What is exp(0)? And which of the two T's in (B, T, T) has to be hidden, so that no token "
        "looks at padding?",
        "Before the softmax, give padding the lowest number there is. The mask (B, T) has to line "
        "up with the keys, which are the last dimension.",
        "scores.masked_fill(attention_mask[:, None, :] == 0, torch.finfo(scores.dtype).min)",
    ),
)  # fmt: skip


# 4 and 5: heads, split and merged


def head_cases(seed: int) -> list[Case]:
    shapes = (((2, 5, 12), 3), ((3, 4, 10), 2), ((1, 6, 8), 4))
    return [(*draw(shape, seed=seed), heads) for shape, heads in shapes]


split = Exercise(
    name="split_heads",
    chapter=3,
    reference=split_heads,
    cases=head_cases,
    returns={"heads": "B H T K"},
    mistakes=(
        Mistake("a reshape to (B, H, T, K) mixes tokens: split D into (H, K) first, then move H",
                HEADS, lambda x, h: x.reshape(x.shape[0], h, x.shape[1], -1)),
        Mistake("each head got every H-th number: cut D into H runs of K, so (H, K), not (K, H)",
                HEADS, lambda x, h: x.unflatten(-1, (-1, h)).permute(0, 3, 1, 2)),
        Mistake("the heads are in reverse order", HEADS, lambda x, h: split_heads(x, h).flip(1)),
    ),
    hints=(
        "Only two things happen. D becomes (H, K), and one dimension moves.",
        "First (B, T, D) -> (B, T, H, K), then H goes before T.",
        "x.unflatten(-1, (num_heads, -1)).transpose(1, 2)",
    ),
)  # fmt: skip


merge = Exercise(
    name="merge_heads",
    chapter=3,
    reference=merge_heads,
    cases=lambda seed: [
        tuple(draw(shape, seed=seed)) for shape in ((2, 3, 5, 4), (3, 2, 4, 5), (1, 4, 6, 2))
    ],
    returns={"merged": "B T D"},
    mistakes=(
        Mistake("heads were flattened in place: move H back behind T first", HEADS,
                lambda x: x.reshape(x.shape[0], x.shape[2], -1)),
        Mistake("numbers of different heads are interleaved: (H, K) is flattened, not (K, H)",
                HEADS, lambda x: x.permute(0, 2, 3, 1).flatten(-2)),
        Mistake("the heads are in reverse order", HEADS, lambda x: merge_heads(x.flip(1))),
    ),
    hints=(
        "Undo `split_heads` step by step, starting with its last step.",
        "(B, H, T, K) -> (B, T, H, K) -> (B, T, D).",
        "x.transpose(1, 2).flatten(-2)",
    ),
)  # fmt: skip


# 6: one vector for a sentence


def reference_pooled_query(x: Tensor, attention_mask: Tensor) -> Tensor:
    real = attention_mask[..., None]
    return (x * real).sum(1) / real.sum(1)


pooled_query = Exercise(
    name="pooled_query",
    chapter=3,
    reference=reference_pooled_query,
    cases=lambda seed: [
        (*draw((2, 5, 4), seed=seed), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])),
        (*draw((3, 4, 6), seed=seed), torch.tensor([[1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]])),
    ],
    returns={"query": "B D"},
    mistakes=(
        Mistake("padding is in the mean, because it has numbers too: leave it out", NOT_AN_AVERAGE,
                lambda x, m: x.mean(1)),
        Mistake("padding is out of the sum but still counted: divide by the real tokens, not by T",
                NOT_AN_AVERAGE, lambda x, m: (x * m[..., None]).mean(1)),
        Mistake("this is the sum of the real tokens, not their mean", NOT_AN_AVERAGE,
                lambda x, m: (x * m[..., None]).sum(1)),
        Mistake("this is the first token, not the mean of all", NOT_AN_AVERAGE,
                lambda x, m: x[:, 0]),
        Mistake("the mean runs over the batch too: each sequence has its own query",
                NOT_AN_AVERAGE,
                lambda x, m: x[m == 1].mean(0).expand(x.shape[0], -1)),
        Mistake("this is the largest of the real tokens, not their mean", NOT_AN_AVERAGE,
                lambda x, m: x.masked_fill(m[..., None] == 0, LOWEST).amax(1)),
    ),
    hints=(
        "If a sentence has two words and three tokens of padding, average only two vectors.",
        "Leave padding out of the sum and out of the count.",
        "(x * attention_mask[..., None]).sum(1) / attention_mask.sum(1, keepdim=True)",
    ),
)  # fmt: skip


# 7: all of it


def reference_config(hidden_size: int, num_heads: int):
    from minibert.config import BertConfig

    return BertConfig(
        hidden_size=hidden_size, num_attention_heads=num_heads, attn_implementation="eager"
    )


class Reference(nn.Module):
    """(B, T, D), (B, T) -> (B, T, D): what the learner's module does, by the package's."""

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        made = BertSelfAttention(reference_config(hidden_size, num_heads))
        self.query, self.key, self.value, self.output = (
            made.query,
            made.key,
            made.value,
            made.output,
        )
        self.num_heads = num_heads

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return tuple(
            split_heads(part(x), self.num_heads) for part in (self.query, self.key, self.value)
        )

    def context(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        hidden = additive_mask(mask, query.dtype)
        return (scores_of(query, key) + hidden).softmax(-1) @ value

    def forward(self, x: Tensor, attention_mask: Tensor) -> Tensor:
        return self.output(merge_heads(self.context(*self.heads(x), attention_mask)))


def variant(**methods):
    """The reference with some of its methods replaced."""
    return type("Wrong", (Reference,), methods)


def module_cases(seed: int) -> list[Case]:
    cases = []
    for B, T, D, H in ((2, 5, 12, 3), (3, 4, 8, 2)):
        numbers = draw(*[(D, D), (D,)] * 4, (B, T, D), seed=seed)
        names = [f"{part}.{kind}" for part in ("query", "key", "value", "output")
                 for kind in ("weight", "bias")]  # fmt: skip
        weights = {name: 0.5 * tensor for name, tensor in zip(names, numbers, strict=False)}
        mask = (torch.arange(T) < torch.arange(T, T - B, -1)[:, None]).long()  # (B, T)
        cases.append(({"hidden_size": D, "num_heads": H}, weights, numbers[-1], mask))
    return cases


self_attention = Exercise(
    name="SelfAttention",
    chapter=3,
    reference=Reference,
    cases=module_cases,
    run=module,
    returns={"output": "B T D"},
    mistakes=(
        Mistake("the output projection is missing: it mixes what the heads found", HEADS,
                variant(forward=lambda self, x, m: merge_heads(self.context(*self.heads(x), m)))),
        Mistake("heads were flattened in place: move H back behind T first", HEADS,
                variant(forward=lambda self, x, m: self.output(
                    self.context(*self.heads(x), m).reshape(x.shape)))),
        Mistake("the heads were made by a reshape to (B, H, T, K), which mixes tokens", HEADS,
                variant(heads=lambda self, x: tuple(
                    part(x).reshape(x.shape[0], self.num_heads, x.shape[1], -1)
                    for part in (self.query, self.key, self.value)))),
        Mistake("there is one head of D numbers, not H heads of K", HEADS,
                variant(heads=lambda self, x: tuple(
                    part(x)[:, None] for part in (self.query, self.key, self.value)))),
        Mistake("the mask is not used", MASKS,
                variant(context=lambda self, q, k, v, m: scores_of(q, k).softmax(-1) @ v)),
        Mistake("padding still gets attention: exp(0) is 1, so a score of 0 isn't a weight of 0",
                MASKS, variant(context=lambda self, q, k, v, m: scores_of(q, k)
                               .masked_fill(m[:, None, None] == 0, 0.0).softmax(-1) @ v)),
        Mistake("the mask hides queries, but it should hide keys", MASKS,
                variant(context=lambda self, q, k, v, m: scores_of(q, k)
                        .masked_fill(m[:, None, :, None] == 0, LOWEST).softmax(-1) @ v)),
        Mistake("padding is removed after the softmax, so rows no longer add up to 1", MASKS,
                variant(context=lambda self, q, k, v, m: scores_of(q, k).softmax(-1)
                        .masked_fill(m[:, None, None] == 0, 0.0) @ v)),
        Mistake("the mask is inverted: padding is seen, and tokens are not", MASKS,
                variant(context=lambda self, q, k, v, m: Reference.context(self, q, k, v, 1 - m))),
        Mistake("the context is made of keys: average the values", ONE_QUERY,
                variant(context=lambda self, q, k, v, m: Reference.context(self, q, k, k, m))),
        Mistake("these are scores: the softmax is missing", ONE_QUERY,
                variant(context=lambda self, q, k, v, m: scores_of(q, k)
                        .masked_fill(m[:, None, None] == 0, 0.0) @ v)),
        Mistake("rows of padding are set to 0: leave them, because no token looks at them", MASKS,
                variant(forward=lambda self, x, m: Reference.forward(self, x, m) * m[..., None])),
        Mistake("heads were made and merged by reshapes, which mix tokens: move H", HEADS,
                variant(
                    heads=lambda self, x: tuple(
                        part(x).reshape(x.shape[0], self.num_heads, x.shape[1], -1)
                        for part in (self.query, self.key, self.value)),
                    forward=lambda self, x, m: self.output(
                        self.context(*self.heads(x), m).reshape(x.shape)))),
        Mistake("the scores are divided by √D: each head has K = D / H numbers", WHY_DIVIDE,
                variant(context=lambda self, q, k, v, m: (
                    scores_of(q, k) / math.sqrt(self.num_heads)
                    + additive_mask(m, q.dtype)).softmax(-1) @ v)),
        Mistake("the scores are not divided by √K", WHY_DIVIDE,
                variant(context=lambda self, q, k, v, m: (
                    q @ k.transpose(-2, -1) + additive_mask(m, q.dtype)).softmax(-1) @ v)),
        Mistake("the softmax ran over queries, not over keys", ONE_QUERY,
                variant(context=lambda self, q, k, v, m: (
                    scores_of(q, k) + additive_mask(m, q.dtype)).softmax(-2) @ v)),
        Mistake("values were not projected: they are x itself", ONE_QUERY,
                variant(heads=lambda self, x: (
                    split_heads(self.query(x), self.num_heads),
                    split_heads(self.key(x), self.num_heads), split_heads(x, self.num_heads)))),
        Mistake("one projection serves as query and key", ONE_QUERY,
                variant(heads=lambda self, x: tuple(split_heads(part(x), self.num_heads)
                        for part in (self.query, self.query, self.value)))),
        Mistake("x was added to the output: the residual sum is the block's, in chapter 4", HEADS,
                variant(forward=lambda self, x, m: x + Reference.forward(self, x, m))),
    ),
    hints=(
        "You already have every part. Project, split, attend with the mask, merge, project.",
        "Four nn.Linear(hidden_size, hidden_size) named query, key, value, output. The mask (B, T) "
        "must broadcast over scores (B, H, T, T).",
        "return self.output(merge_heads(masked(query, key, value, attention_mask[:, None, None])))",
    ),
)  # fmt: skip

EXERCISES = (
    weights_shape,
    attention_weights,
    masked_attention,
    split,
    merge,
    pooled_query,
    self_attention,
)


# Blanks in the chapter


def of_attention(weights: Callable[[Tensor], Tensor] = lambda s: s.softmax(-1)) -> Callable:
    """Attention whose scores become weights in another way."""

    def answer(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        made = weights(scores_of(query, key))
        return made @ value, made

    return answer


def reference_attention(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    weights = reference_weights(query, key)
    return weights @ value, weights


def attention_cases(seed: int) -> list[Case]:
    return [tuple(draw(*[shape] * 3, seed=seed)) for shape in ((5, 4), (2, 3, 7, 8))]


attention = Exercise(
    name="attention",
    chapter=3,
    reference=reference_attention,
    cases=attention_cases,
    returns={"context": "... T K", "weights": "... T T"},
    mistakes=(
        Mistake("the softmax ran over queries (dim -2): each row of weights has to add up to 1",
                ONE_QUERY, of_attention(lambda s: s.softmax(-2))),
        Mistake("the softmax is missing: these are scores", ONE_QUERY, of_attention(lambda s: s)),
        Mistake("the softmax runs along the first dimension: with batches and heads, keys are the "
                "last one", ONE_QUERY, of_attention(lambda s: s.softmax(0))),
        Mistake("the context is made of keys: weights multiply the values", ONE_QUERY,
                lambda q, k, v: (reference_weights(q, k) @ k, reference_weights(q, k))),
        Mistake("query and key are swapped: row i belongs to the token that looks, so the query "
                "comes first", ONE_QUERY, lambda q, k, v: reference_attention(k, q, v)),
        Mistake("the scores are not divided by √K", WHY_DIVIDE,
                lambda q, k, v: reference_attention(q * math.sqrt(q.shape[-1]), k, v)),
        Mistake("the scores are divided by √2, where 2 is the K of the example above: take K from "
                "`query.shape[-1]`", WHY_DIVIDE,
                lambda q, k, v: reference_attention(q * math.sqrt(q.shape[-1] / 2), k, v)),
        Mistake("the scores are divided by K instead of √K", WHY_DIVIDE,
                lambda q, k, v: reference_attention(q / math.sqrt(q.shape[-1]), k, v)),
    ),
)  # fmt: skip


def reference_hide(scores: Tensor, attention_mask: Tensor) -> Tensor:
    return scores.masked_fill(attention_mask == 0, torch.finfo(scores.dtype).min)


def hide_cases(seed: int) -> list[Case]:
    scores, batch = draw((4, 4), (3, 2, 4, 4), seed=seed)
    padded = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]])[:, None, None, :]
    return [(scores, torch.tensor([1, 1, 1, 0])), (batch, padded)]


def weights_after(answer: Callable, scores: Tensor, attention_mask: Tensor) -> Any:
    """What the hidden scores become: every number that is low enough gives the same weights."""
    hidden = call(answer, scores, attention_mask)
    return hidden.softmax(-1) if isinstance(hidden, Tensor) else hidden


hide = Exercise(
    name="hide",
    chapter=3,
    reference=reference_hide,
    cases=hide_cases,
    returns={"scores": "... T T"},
    run=weights_after,
    mistakes=(
        Mistake("real tokens are hidden and padding is seen: the mask is 1 for what is real", MASKS,
                lambda s, m: s.masked_fill(m == 1, LOWEST)),
        Mistake("padding has a score of 0, and exp(0) is 1: it still gets a share", MASKS,
                lambda s, m: s * m),
        Mistake("with -inf, a row in which everything is hidden becomes nan: use the lowest finite "
                "number", MASKS, lambda s, m: s.masked_fill(m == 0, -math.inf)),
        Mistake("padding has the highest score, so it gets everything: the lowest number is "
                "negative", MASKS, lambda s, m: s.masked_fill(m == 0, -LOWEST)),
        Mistake("these are weights: the softmax comes after hiding, in the next function", MASKS,
                lambda s, m: reference_hide(s, m).softmax(-1)),
    ),
)  # fmt: skip


def reference_causal(length: int) -> Tensor:
    return torch.ones(length, length).tril()


causal_mask = Exercise(
    name="causal_mask",
    chapter=3,
    reference=reference_causal,
    cases=lambda seed: [(4,), (7,)],
    returns={"mask": "T T"},
    mistakes=(
        Mistake("this is the upper triangle: each token sees the future and not the past", MASKS,
                lambda n: torch.ones(n, n).triu()),
        Mistake("a token can't see itself here, and token 0 sees nothing: keep the diagonal",
                MASKS, lambda n: torch.ones(n, n).tril(-1)),
        Mistake("a token sees one token too far: the next word is what it has to guess", MASKS,
                lambda n: torch.ones(n, n).tril(1)),
        Mistake("ones and zeros are swapped: 1 means that a token may look", MASKS,
                lambda n: 1 - torch.ones(n, n).tril()),
        Mistake("each token sees itself alone: keep everything to its left as well", MASKS,
                lambda n: torch.eye(n)),
        Mistake("nothing is hidden yet", MASKS, lambda n: torch.ones(n, n)),
    ),
)  # fmt: skip

BLANKS = (attention, hide, causal_mask)
