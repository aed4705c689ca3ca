"""The exercises of chapter 10, distillation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minibert.course.checks.engine import Case, Exercise, Mistake, call, draw, prediction

SMALLER = "A teacher and a smaller student"
SOFT = "Soft targets and temperature"
LOSS = "The loss, by hand"
HIDDEN = "Hidden states, and a map of layers"
RELATIONS = "Attention: maps and relations"
TEACHER = "The teacher must not learn"


def draw_ids(below: int, *shape: int, seed: int) -> Tensor:
    """Whole numbers from 0 up to `below`, which is left out."""
    return torch.randint(below, shape, generator=torch.Generator().manual_seed(seed))


def draw_mask(lengths: Sequence[int]) -> Tensor:
    """(B, T): 1 for each token, 0 for padding."""
    return (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()


# 1: the sizes of two students, before anything is made


def in_whole_numbers(answer: Any, *case: Any) -> Any:
    """Numbers that were worked out before anything was run, rounded."""
    found = prediction(answer)
    return tuple(map(round, found)) if isinstance(found, tuple) else found


student_sizes = Exercise(
    name="student_sizes",
    chapter=10,
    reference=(66, 33),
    cases=lambda seed: [()],
    returns={"the answer": ""},
    run=in_whole_numbers,
    mistakes=(
        Mistake("half of the layers is not half of the weights, nor is half of the width: the "
                "token matrix stays as it is in the first, and matrices shrink twice in the second",
                SMALLER, (54, 54)),
        Mistake("the first student keeps the whole token matrix, 23 million weights: only what is "
                "in the layers is halved", SMALLER, (54, 33)),
        Mistake("half of the width is a quarter of each matrix in a layer: both sides are halved",
                SMALLER, (66, 54)),
        Mistake("the second student has a quarter in its layers, but half of the token matrix: the "
                "vocabulary stays", SMALLER, (66, 27)),
        Mistake("neither is halved throughout: the first keeps its token matrix, the second half "
                "of it", SMALLER, (54, 27)),
        Mistake("the embeddings are missing: they are what a small model mostly consists of",
                SMALLER, (43, 21)),
        Mistake("the token matrix is as wide as the states: in the second student it is halved",
                SMALLER, (66, 45)),
        Mistake("the feed-forward layer gets narrower too: it stays four times as wide as the "
                "states", SMALLER, (66, 47)),
        Mistake("the second student has all twelve layers, at half of the width", SMALLER,
                (66, 23)),
        Mistake("the two are swapped: half of the width saves more than half of the layers",
                SMALLER, (33, 66)),
        Mistake("these are per cent of the teacher: millions of weights were asked for", SMALLER,
                (61, 31)),
        Mistake("these are weights: answer in millions", SMALLER, (66_364_416, 33_212_160)),
    ),
    hints=(
        "What in a BERT depends on the number of layers, and what on the width, once or twice?",
        "Token matrix 30522 x D, positions 512 x D. A layer has 12 matrices' worth of D x D, give "
        "or take its biases.",
        "(31036 * 768 + 6 * 12 * 768**2) / 1e6, and (31036 * 384 + 12 * 12 * 384**2) / 1e6",
    ),
)  # fmt: skip


# 2: soft targets


def reference_soft_target_loss(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float
) -> Tensor:
    student = (student_logits / temperature).log_softmax(dim=-1)
    teacher = (teacher_logits / temperature).log_softmax(dim=-1)
    return temperature**2 * (teacher.exp() * (teacher - student)).sum(dim=-1).mean()


def divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """Logarithms of shares (..., V) -> (...): KL(teacher || student)."""
    return (teacher.exp() * (teacher - student)).sum(-1)


def softened(logits: Tensor, temperature: float) -> Tensor:
    return (logits / temperature).log_softmax(-1)


def soft_with(
    compare: Callable[[Tensor, Tensor], Tensor] = divergence,
    of_student: Callable[[Tensor, float], Tensor] = softened,
    of_teacher: Callable[[Tensor, float], Tensor] = softened,
    scale: Callable[[float], float] = lambda t: t**2,
) -> Callable[..., Tensor]:
    """Another way to compare, to soften, or to scale; what is compared is then averaged."""
    return lambda s, t, temperature: (
        scale(temperature) * compare(of_student(s, temperature), of_teacher(t, temperature)).mean()
    )


def by_exponentials(logits: Tensor, temperature: float) -> Tensor:
    """The logarithm of the softmax as the formula says it, without care for large logits."""
    exponentials = (logits / temperature).exp()
    return (exponentials / exponentials.sum(-1, keepdim=True)).log()


def divided_afterwards(logits: Tensor, temperature: float) -> Tensor:
    return (logits.softmax(-1) / temperature).log()


def soft_cases(seed: int) -> list[Case]:
    cases = []
    for (M, V), temperature, shift in (((3, 5), 2.0, 0.0), ((6, 4), 3.0, 0.0), ((2, 7), 1.5, 200)):
        student_logits, teacher_logits = draw((M, V), (M, V), seed=seed + V)
        cases.append((2 * student_logits + shift, 3 * teacher_logits + shift, temperature))
    return cases


soft_target_loss = Exercise(
    name="soft_target_loss",
    chapter=10,
    reference=reference_soft_target_loss,
    cases=soft_cases,
    returns={"loss": ""},
    mistakes=(
        Mistake("the loss is not multiplied by the temperature squared: its gradient shrinks as "
                "1 / T**2, and the hard loss beside it drowns it", SOFT,
                soft_with(scale=lambda t: 1.0)),
        Mistake("this is T times the loss: the gradient is smaller by T twice, so it is T squared",
                SOFT, soft_with(scale=lambda t: t)),
        Mistake("the loss was divided by T squared: it is multiplied by it", SOFT,
                soft_with(scale=lambda t: t**-2)),
        Mistake("only the student is softened: the teacher's logits are divided by T too", SOFT,
                soft_with(of_teacher=lambda x, t: softened(x, 1.0))),
        Mistake("only the teacher is softened: the student's logits are divided by T too", SOFT,
                soft_with(of_student=lambda x, t: softened(x, 1.0))),
        Mistake("the temperature is not used in either softmax: divide the logits by it", SOFT,
                soft_with(of_student=lambda x, t: softened(x, 1.0),
                          of_teacher=lambda x, t: softened(x, 1.0))),
        Mistake("logits were multiplied by T, which makes the targets harder: divide", SOFT,
                soft_with(of_student=lambda x, t: softened(x, 1 / t),
                          of_teacher=lambda x, t: softened(x, 1 / t))),
        Mistake("shares were divided by T after the softmax: it is the logits that are divided",
                SOFT, soft_with(of_student=divided_afterwards, of_teacher=divided_afterwards)),
        Mistake("the divergence is the other way round: the teacher's shares weigh the "
                "differences; F.kl_div(input, target) wants the student first", LOSS,
                soft_with(lambda s, t: divergence(t, s))),
        Mistake("F.kl_div's \"mean\" divides by M times V: sum over the vocabulary, mean over the "
                "tokens, which is \"batchmean\"", LOSS,
                soft_with(lambda s, t: divergence(s, t) / s.shape[-1])),
        Mistake("this is the sum over the tokens, not their mean", LOSS,
                soft_with(lambda s, t: divergence(s, t).sum())),
        Mistake("F.kl_div was given the student's shares: its input is their logarithm", LOSS,
                soft_with(lambda s, t: divergence(s.exp(), t))),
        Mistake("F.kl_div was given logarithms of the teacher's shares, of which it takes the "
                "logarithm again: pass shares, or log_target=True", LOSS,
                soft_with(lambda s, t: F.kl_div(s, t, reduction="none").sum(-1))),
        Mistake("this is the cross-entropy: take the teacher's own entropy away, so that a "
                "student that says the same has a loss of 0", LOSS,
                soft_with(lambda s, t: -(t.exp() * s).sum(-1))),
        Mistake("the sign is wrong: a divergence is never below 0", LOSS,
                soft_with(lambda s, t: -divergence(s, t))),
        Mistake("only the teacher's likeliest token counts, as if it were the label: the shares of "
                "all the others are what a soft target adds", SOFT,
                soft_with(lambda s, t: -s.gather(-1, t.argmax(-1, keepdim=True)))),
        Mistake("these are squared differences of logits: that is the limit for a high "
                "temperature, not this loss", SOFT,
                lambda s, t, temperature: F.mse_loss(s, t)),
        Mistake("these are squared differences of shares: the divergence has logarithms", LOSS,
                soft_with(lambda s, t: (s.exp() - t.exp()) ** 2)),
        Mistake("the softmax was taken twice: shares went in as if they were logits", LOSS,
                soft_with(of_student=lambda x, t: softened(x, t).exp().log_softmax(-1),
                          of_teacher=lambda x, t: softened(x, t).exp().log_softmax(-1))),
        Mistake("the shares add up to 1 over the tokens, not over the vocabulary: wrong dim", LOSS,
                soft_with(of_student=lambda x, t: (x / t).log_softmax(0),
                          of_teacher=lambda x, t: (x / t).log_softmax(0))),
        Mistake("exp of a large logit is inf: log_softmax takes care of that", LOSS,
                soft_with(of_student=by_exponentials, of_teacher=by_exponentials)),
        Mistake("the loss is in bits, by log2: in nats it is the natural logarithm", LOSS,
                soft_with(lambda s, t: divergence(s, t) / torch.tensor(2.0).log())),
    ),
    hints=(
        "Two softmaxes at the same temperature, and a number that is 0 when they agree.",
        "Divide both by T, take log_softmax; sum of p_teacher * (log p_teacher - log p_student) "
        "over the vocabulary, mean over the tokens, times T squared.",
        "temperature**2 * F.kl_div((student_logits / temperature).log_softmax(-1), "
        "(teacher_logits / temperature).softmax(-1), reduction='batchmean')",
    ),
)  # fmt: skip


# 3: repair the loss that mixes both


def reference_distillation_loss(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, temperature: float, alpha: float
) -> Tensor:
    asked = labels != -100
    student, teacher = student_logits[asked], teacher_logits[asked]
    hard = F.cross_entropy(student, labels[asked])
    soft = reference_soft_target_loss(student, teacher, temperature)
    return alpha * hard + (1 - alpha) * soft


def mixed(hard: Tensor, soft: Tensor, alpha: float) -> Tensor:
    return alpha * hard + (1 - alpha) * soft


def hard_loss(student_logits: Tensor, labels: Tensor) -> Tensor:
    """(B, T, V), (B, T) -> (), with -100 left out."""
    return F.cross_entropy(student_logits.flatten(0, 1), labels.flatten())


def soft_by(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    temperature: float,
    everywhere: bool = False,
    over: Callable[[Tensor], int] | None = None,
    squared: bool = True,
) -> Tensor:
    """The soft loss at what is asked or everywhere, divided by another number of things."""
    each = divergence(softened(student_logits, temperature), softened(teacher_logits, temperature))
    counted = each if everywhere else each[labels != -100]
    number = over(labels) if over else counted.numel()
    return counted.sum() / number * (temperature**2 if squared else 1.0)


def mixed_with(
    hard: Callable[..., Tensor] = lambda s, t, y, temperature: hard_loss(s, y),
    soft: Callable[..., Tensor] = soft_by,
    mix: Callable[[Tensor, Tensor, float], Tensor] = mixed,
) -> Callable[..., Tensor]:
    """Another hard loss, another soft one, or another mixture of them."""
    return lambda s, t, y, temperature, alpha: mix(
        hard(s, t, y, temperature), soft(s, t, y, temperature), alpha
    )


def soft_as(**changes: Any) -> Callable[..., Tensor]:
    return mixed_with(soft=lambda *given: soft_by(*given, **changes))


def mixed_cases(seed: int) -> list[Case]:
    """Padding and words that were left alone: some positions ask nothing, in each row others."""
    cases = []
    for (B, T, V), temperature, alpha in (
        ((4, 6, 5), 2.0, 0.3),
        ((3, 5, 7), 1.5, 0.8),
        ((2, 7, 4), 3.0, 0.4),
    ):
        student_logits, teacher_logits = draw((B, T, V), (B, T, V), seed=seed + V)
        labels = draw_ids(V, B, T, seed=seed)
        for row in range(B):
            labels[row, row + 1 :] = -100
        cases.append((2 * student_logits, 3 * teacher_logits, labels, temperature, alpha))
    return cases


distillation_loss = Exercise(
    name="distillation_loss",
    chapter=10,
    reference=reference_distillation_loss,
    cases=mixed_cases,
    returns={"loss": ""},
    mistakes=(
        Mistake("the soft loss counts every position, padding too, batchmean has divided it by the "
                "number of texts, and T squared is missing", LOSS,
                soft_as(everywhere=True, over=len, squared=False)),
        Mistake("batchmean divides (B, T, V) by B, the first axis alone, and every position "
                "counts: pick the positions that are asked first", LOSS,
                soft_as(everywhere=True, over=len)),
        Mistake("the soft loss counts every position, padding too, and T squared is missing", LOSS,
                soft_as(everywhere=True, squared=False)),
        Mistake("the soft loss counts every position, padding too: it is asked where the hard one "
                "is", LOSS, soft_as(everywhere=True)),
        Mistake("T squared is missing: at a high temperature the soft loss is too small to count",
                SOFT, soft_as(squared=False)),
        Mistake("the soft loss is divided by all positions, not by those that are asked", LOSS,
                soft_as(over=Tensor.numel)),
        Mistake("the soft loss is divided by the number of texts, not of tokens asked", LOSS,
                soft_as(over=len)),
        Mistake("the soft loss is a sum over the tokens asked, not their mean", LOSS,
                soft_as(over=lambda labels: 1)),
        Mistake("alpha is on the wrong side: here it is the weight of the hard loss", LOSS,
                mixed_with(mix=lambda hard, soft, alpha: mixed(soft, hard, alpha))),
        Mistake("the temperature is in the hard loss too: labels are met at a temperature of 1",
                SOFT, mixed_with(lambda s, t, y, temperature: hard_loss(s / temperature, y))),
        Mistake("T squared multiplies the hard loss too: that one has not been softened", SOFT,
                mixed_with(lambda s, t, y, temperature: temperature**2 * hard_loss(s, y))),
        Mistake("the hard loss was taken with the teacher's guesses: the labels are what was "
                "hidden", LOSS, mixed_with(lambda s, t, y, temperature: hard_loss(
                    s, t.argmax(-1).masked_fill(y == -100, -100)))),
        Mistake("in the hard loss -100 counts as if token 0 were right there", LOSS,
                mixed_with(lambda s, t, y, temperature: hard_loss(s, y.clamp(min=0)))),
        Mistake("this is the teacher's hard loss, in which the student does not come in", LOSS,
                mixed_with(lambda s, t, y, temperature: hard_loss(t, y))),
        Mistake("alpha weighs the hard loss alone: the soft one has the weight 1 - alpha", LOSS,
                mixed_with(mix=lambda hard, soft, alpha: alpha * hard + soft)),
        Mistake("alpha weighs the soft loss alone, and on the wrong side: it is the hard loss's",
                LOSS, mixed_with(mix=lambda hard, soft, alpha: hard + alpha * soft)),
        Mistake("alpha is not used: this is the sum of both", LOSS,
                mixed_with(mix=lambda hard, soft, alpha: hard + soft)),
        Mistake("alpha is not used: this is the mean of both", LOSS,
                mixed_with(mix=lambda hard, soft, alpha: (hard + soft) / 2)),
        Mistake("the soft loss is missing", LOSS,
                mixed_with(mix=lambda hard, soft, alpha: hard)),
        Mistake("the hard loss is missing", LOSS,
                mixed_with(mix=lambda hard, soft, alpha: soft)),
        Mistake("the divergence is the other way round: the teacher's shares weigh the differences",
                LOSS, mixed_with(
                    soft=lambda s, t, y, temperature: soft_by(t, s, y, temperature))),
        Mistake("the teacher is not softened: both are divided by T", SOFT,
                mixed_with(soft=lambda s, t, y, temperature: soft_by(
                    s, t * temperature, y, temperature))),
    ),
    hints=(
        "Two means over the same tokens. What does batchmean divide by if there are three axes?",
        "Pick the positions whose label is not -100 first: (M, V). Then both losses are means over "
        "M, and only the soft one knows the temperature, twice: inside, and squared outside.",
        "student, teacher = student_logits[asked], teacher_logits[asked], and "
        "temperature**2 * F.kl_div(..., reduction='batchmean')",
    ),
)  # fmt: skip


# 4: which state is compared with which


def reference_matched_states(student_layers: int, teacher_layers: int) -> list[int]:
    return [state * teacher_layers // student_layers for state in range(student_layers + 1)]


def by_run(place: Callable[[int, int], int]) -> Callable[[int, int], list[int]]:
    """State 0, and for each layer of the student a state of its run of k layers of the teacher."""
    return lambda S, L: [0, *(place(layer, L // S) for layer in range(S))]


matched_states = Exercise(
    name="matched_states",
    chapter=10,
    reference=reference_matched_states,
    cases=lambda seed: [(2, 4), (4, 12), (3, 12), (6, 12), (2, 6)],
    returns={"states": ""},
    mistakes=(
        Mistake("these are the teacher's first states: its upper layers teach nothing then",
                HIDDEN, lambda S, L: list(range(S + 1))),
        Mistake("these are the teacher's last states: take every k-th", HIDDEN,
                lambda S, L: [0, *range(L - S + 1, L + 1)]),
        Mistake("these are layers counted from 0: state 0 is the embeddings', so what comes out "
                "of layer l is state l + 1", HIDDEN,
                by_run(lambda layer, k: (layer + 1) * k - 1)),
        Mistake("these are layers counted from 0, and the embeddings are missing: a model of S "
                "layers has S + 1 states", HIDDEN,
                lambda S, L: [(layer + 1) * (L // S) - 1 for layer in range(S)]),
        Mistake("the embeddings' state is missing: a model of S layers has S + 1 states", HIDDEN,
                lambda S, L: [(layer + 1) * (L // S) for layer in range(S)]),
        Mistake("the last state is missing: state S of the student learns from state L", HIDDEN,
                lambda S, L: [layer * (L // S) for layer in range(S)]),
        Mistake("this is the first layer of each run of k: the student's layer does the work of "
                "all k, so it learns from the last", HIDDEN,
                by_run(lambda layer, k: layer * k + 1)),
        Mistake("this is the middle of each run of k: it is the last of them that has done what "
                "the student's layer is to do", HIDDEN,
                by_run(lambda layer, k: layer * k + (k + 1) // 2)),
        Mistake("the order is reversed: state 0 learns from state 0", HIDDEN,
                lambda S, L: reference_matched_states(S, L)[::-1]),
        Mistake("these are the student's states, one for each of the teacher's: the list has one "
                "for each of the student's", HIDDEN,
                lambda S, L: [state * S // L for state in range(L + 1)]),
        Mistake("this goes in steps of S: the step is L / S, the layers that one layer replaces",
                HIDDEN, lambda S, L: [state * S for state in range(S + 1)]),
        Mistake("every state learns from the teacher's last one: that is what a map avoids", HIDDEN,
                lambda S, L: [L] * (S + 1)),
    ),
    hints=(
        "How many hidden states does a model of four layers have?",
        "The ends meet: 0 with 0, S with L. In between, each layer of the student replaces L / S.",
        "[state * teacher_layers // student_layers for state in range(student_layers + 1)]",
    ),
)  # fmt: skip


# 5: hidden states, through a projection


def reference_hidden_loss(
    student_states: list[Tensor],
    teacher_states: list[Tensor],
    projection: Tensor,
    attention_mask: Tensor,
) -> Tensor:
    real = attention_mask == 1
    losses = [
        (student[real] @ projection.T - teacher[real]).square().mean()
        for student, teacher in zip(student_states, teacher_states, strict=True)
    ]
    return torch.stack(losses).mean()


def squares(student_states: list[Tensor], teacher_states: list[Tensor], W: Tensor) -> Tensor:
    """(S, B, T, D): every squared difference."""
    return (torch.stack(student_states) @ W.T - torch.stack(teacher_states)) ** 2


def hidden_with(reduce: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """Another way from squares (S, B, T, D) and the mask (B, T), of truth values, to one number."""
    return lambda s, t, W, mask: reduce(squares(s, t, W), mask == 1)


def hidden_of(compare: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """Another comparison, of the real tokens' states (S, N, d) and (S, N, D), averaged."""
    return lambda s, t, W, mask: compare(
        torch.stack(s)[:, mask == 1], torch.stack(t)[:, mask == 1], W
    ).mean()


def loss_and_gradients(
    answer: Any,
    student_states: list[Tensor],
    teacher_states: list[Tensor],
    projection: Tensor,
    attention_mask: Tensor,
) -> Any:
    """The loss, and what it would change: the projection, and the student's states."""
    student_states = [state.clone().requires_grad_() for state in student_states]
    projection = projection.clone().requires_grad_()
    loss = call(answer, student_states, teacher_states, projection, attention_mask)
    learning = [projection, *student_states]
    found = [torch.zeros_like(x) for x in learning]
    if isinstance(loss, Tensor) and loss.requires_grad:
        gradients = torch.autograd.grad(loss.sum(), learning, allow_unused=True)
        found = [z if g is None else g for z, g in zip(found, gradients, strict=True)]
        loss = loss.detach()
    return loss, found[0], torch.stack(found[1:])


def hidden_cases(seed: int) -> list[Case]:
    cases = []
    for S, d, D, lengths in ((3, 2, 5, (4, 2, 6)), (2, 3, 4, (5, 1)), (4, 4, 7, (3, 7, 2, 5))):
        shape = (len(lengths), max(lengths))
        states = draw(*[(*shape, d)] * S, *[(*shape, D)] * S, (D, d), seed=seed + d)
        cases.append((states[:S], states[S:-1], states[-1], draw_mask(lengths)))
    return cases


hidden_loss = Exercise(
    name="hidden_loss",
    chapter=10,
    reference=reference_hidden_loss,
    cases=hidden_cases,
    returns={"loss": "", "the projection's gradient": "D d", "the states' gradient": "S B T d"},
    run=loss_and_gradients,
    mistakes=(
        Mistake("padding counts too, though there is nothing to learn from it", HIDDEN,
                hidden_with(lambda x, real: x.mean())),
        Mistake("padding is left out of the sum, but still divided by: count the real tokens",
                HIDDEN, hidden_with(lambda x, real: x[:, real].sum() / x.numel())),
        Mistake("padding is in the sum, divided by the number of real tokens", HIDDEN,
                hidden_with(lambda x, real: x.sum() / x[:, real].numel())),
        Mistake("only padding counts: the mask is 1 where there is a token", HIDDEN,
                hidden_with(lambda x, real: x[:, ~real].mean())),
        Mistake("the D numbers of a state were added up: they are averaged", HIDDEN,
                hidden_with(lambda x, real: x[:, real].sum(-1).mean())),
        Mistake("the losses of the states were added up: they are averaged", HIDDEN,
                hidden_with(lambda x, real: len(x) * x[:, real].mean())),
        Mistake("each text's mean was averaged: every real token counts the same", HIDDEN,
                hidden_with(lambda x, real: torch.stack(
                    [x[:, row, real[row]].mean() for row in range(len(real))]).mean())),
        Mistake("only the last state is compared: all of them teach", HIDDEN,
                hidden_with(lambda x, real: x[-1, real].mean())),
        Mistake("the first state, the embeddings', is left out", HIDDEN,
                hidden_with(lambda x, real: x[1:, real].mean())),
        Mistake("only [CLS] is compared: every real token counts", HIDDEN,
                hidden_with(lambda x, real: x[:, :, 0].mean())),
        Mistake("this is the root of the loss: the mean of squares stays as it is", HIDDEN,
                hidden_with(lambda x, real: x[:, real].mean().sqrt())),
        Mistake("this is half of the loss", HIDDEN,
                hidden_with(lambda x, real: x[:, real].mean() / 2)),
        Mistake("differences were not squared: their sizes were averaged", HIDDEN,
                hidden_of(lambda s, t, W: (s @ W.T - t).abs())),
        Mistake("the teacher was brought to the student's width: a projection of zeros makes that "
                "loss small, and the student learns nothing", HIDDEN,
                hidden_of(lambda s, t, W: (s - t @ W) ** 2)),
        Mistake("the teacher's first numbers were compared, without the projection: dimensions of "
                "two models have nothing to do with each other", HIDDEN,
                hidden_of(lambda s, t, W: (s - t[..., : s.shape[-1]]) ** 2 + 0 * W.sum())),
        Mistake("this is the angle between the states, DistilBERT's loss: here it is squared "
                "differences", HIDDEN,
                hidden_of(lambda s, t, W: 1 - F.cosine_similarity(s @ W.T, t, dim=-1))),
        Mistake("the states were brought to length 1 first: their lengths are to be learned too",
                HIDDEN, hidden_of(lambda s, t, W: (
                    F.normalize(s @ W.T, dim=-1) - F.normalize(t, dim=-1)) ** 2)),
        Mistake("the loss is right, but the projection gets no gradient: it has to learn too",
                HIDDEN, lambda s, t, W, mask: reference_hidden_loss(s, t, W.detach(), mask)),
        Mistake("the loss is right, but the student gets no gradient: it is the teacher that is "
                "detached", TEACHER, lambda s, t, W, mask: reference_hidden_loss(
                    [state.detach() for state in s], t, W, mask)),
        Mistake("the loss is right, but nothing gets a gradient: keep it a tensor of the graph",
                TEACHER, torch.no_grad()(reference_hidden_loss)),
    ),
    hints=(
        "Which of the two can be brought to the other's width without making the task easy?",
        "Student states times the projection, as nn.Linear does it, less the teacher's: squared, "
        "averaged over D and over tokens whose mask is 1, then over the states.",
        "(student[real] @ projection.T - teacher[real]).square().mean(), with "
        "real = attention_mask == 1",
    ),
)  # fmt: skip


# 6: value relations


def reference_relation_loss(
    student_values: Tensor, teacher_values: Tensor, attention_mask: Tensor
) -> Tensor:
    real = attention_mask == 1
    student, teacher = (
        (value @ value.mT / value.shape[-1] ** 0.5)
        .masked_fill(~real[:, None, None, :], -1e9)
        .log_softmax(dim=-1)
        for value in (student_values, teacher_values)
    )
    differences = (teacher.exp() * (teacher - student)).sum(dim=-1)
    return differences.transpose(1, 2)[real].mean()


def scores(value: Tensor) -> Tensor:
    """(B, H, T, K) -> (B, H, T, T)."""
    return value @ value.mT / value.shape[-1] ** 0.5


def relation(value: Tensor, real: Tensor, hidden: float = -1e9) -> Tensor:
    """(B, H, T, K) -> the logarithm of its relation (B, H, T, T)."""
    return scores(value).masked_fill(~real[:, None, None, :], hidden).log_softmax(-1)


def mean_of_real(x: Tensor, real: Tensor) -> Tensor:
    """(B, H, T), (B, T) -> ()."""
    return x.transpose(1, 2)[real].mean()


def relation_with(
    of_student: Callable[[Tensor, Tensor], Tensor] = relation,
    of_teacher: Callable[[Tensor, Tensor], Tensor] | None = None,
    compare: Callable[[Tensor, Tensor], Tensor] = divergence,
    reduce: Callable[[Tensor, Tensor], Tensor] = mean_of_real,
) -> Callable[..., Tensor]:
    """Another relation, comparison, or mean of what was compared, (B, H, T)."""
    of_teacher = of_teacher or of_student

    def answer(student_values, teacher_values, attention_mask):
        real = attention_mask == 1
        return reduce(
            compare(of_student(student_values, real), of_teacher(teacher_values, real)), real
        )

    return answer


def scaled(factor: Callable[[int], float]) -> Callable[[Tensor, Tensor], Tensor]:
    """A relation of values multiplied beforehand by a number made of K."""
    return lambda value, real: relation(value * factor(value.shape[-1]), real)


def in_the_others_scale(student_values, teacher_values, attention_mask, of_student: bool) -> Tensor:
    ratio = (student_values.shape[-1] / teacher_values.shape[-1]) ** 0.25
    pair = (student_values, teacher_values / ratio)
    if not of_student:
        pair = (student_values * ratio, teacher_values)
    return reference_relation_loss(*pair, attention_mask)


def heads_joined(value: Tensor, real: Tensor) -> Tensor:
    """All heads side by side, as one: (B, 1, T, T)."""
    return relation(value.transpose(1, 2).flatten(2)[:, None], real)


def score_zero(value: Tensor, real: Tensor) -> Tensor:
    return (scores(value) * real[:, None, None, :]).log_softmax(-1)


def squared_shares(student: Tensor, teacher: Tensor) -> Tensor:
    return (student.exp() - teacher.exp()).square().mean(-1)


def relation_cases(seed: int) -> list[Case]:
    cases = []
    for H, k, K, lengths in ((3, 2, 5, (4, 6)), (2, 3, 7, (5, 3, 1)), (4, 5, 3, (7, 2))):
        shape = (len(lengths), H, max(lengths))
        student, teacher = draw((*shape, k), (*shape, K), seed=seed + H)
        cases.append((1.5 * student, 1.5 * teacher, draw_mask(lengths)))
    return cases


relation_loss = Exercise(
    name="relation_loss",
    chapter=10,
    reference=reference_relation_loss,
    cases=relation_cases,
    returns={"loss": ""},
    mistakes=(
        Mistake("the scaling is missing: divide by the root of the head size before the softmax",
                RELATIONS, relation_with(scaled(lambda K: K**0.25))),
        Mistake("scores were divided by the head size itself: by its root", RELATIONS,
                relation_with(scaled(lambda K: K**-0.25))),
        Mistake("both were scaled by the student's head size: each has its own", RELATIONS,
                lambda s, t, mask: in_the_others_scale(s, t, mask, of_student=True)),
        Mistake("both were scaled by the teacher's head size: each has its own", RELATIONS,
                lambda s, t, mask: in_the_others_scale(s, t, mask, of_student=False)),
        Mistake("padding gets attention: its columns are hidden before the softmax, in both",
                RELATIONS, relation_with(lambda v, real: scores(v).log_softmax(-1))),
        Mistake("padding has a score of 0, which is not nothing: hide it with a very low one",
                RELATIONS, relation_with(score_zero)),
        Mistake("with -inf for padding, 0 times (-inf - -inf) is NaN: take a very low number",
                RELATIONS, relation_with(lambda v, real: relation(v, real, -torch.inf))),
        Mistake("padding's own rows count: only rows of real tokens are averaged", RELATIONS,
                relation_with(reduce=lambda x, real: x.mean())),
        Mistake("padding's rows are left out of the sum, but still divided by", RELATIONS,
                relation_with(reduce=lambda x, real: x.transpose(1, 2)[real].sum() / x.numel())),
        Mistake("neither columns nor rows of padding were left out", RELATIONS,
                relation_with(lambda v, real: scores(v).log_softmax(-1),
                              reduce=lambda x, real: x.mean())),
        Mistake("each text's mean was averaged: every row of a real token counts the same",
                RELATIONS, relation_with(reduce=lambda x, real: torch.stack(
                    [x[row, :, real[row]].mean() for row in range(len(real))]).mean())),
        Mistake("the heads were added up: they are averaged", RELATIONS,
                relation_with(reduce=lambda x, real: x.shape[1] * mean_of_real(x, real))),
        Mistake("batchmean divides (B, H, T, T) by B alone: the mean is over rows and heads", LOSS,
                relation_with(reduce=lambda x, real: x.transpose(1, 2)[real].sum() / len(x))),
        Mistake("F.kl_div's \"mean\" divides by the columns too: sum over them", LOSS,
                relation_with(compare=lambda s, t: divergence(s, t) / s.shape[-1])),
        Mistake("the divergence is the other way round: the teacher's shares weigh the differences",
                LOSS, relation_with(compare=lambda s, t: divergence(t, s))),
        Mistake("this is the cross-entropy: two equal relations should have a loss of 0", LOSS,
                relation_with(compare=lambda s, t: -(t.exp() * s.clamp(min=-1e8)).sum(-1))),
        Mistake("the heads were joined: each head has its own relation", RELATIONS,
                relation_with(heads_joined)),
        Mistake("these are squared differences of the relations: it is a divergence of rows",
                RELATIONS, relation_with(compare=squared_shares)),
        Mistake("scores were compared before the softmax, as TinyBERT does with those of "
                "attention: relations are shares", RELATIONS,
                relation_with(lambda v, real: scores(v) * real[:, None, None, :],
                              compare=lambda s, t: (s - t).square().sum(-1)
                              / (t != 0).sum(-1).clamp(min=1))),
        Mistake("values were brought to length 1: these are cosines, relations keep the lengths",
                RELATIONS, relation_with(lambda v, real: relation(
                    F.normalize(v, dim=-1) * v.shape[-1] ** 0.25, real))),
    ),
    hints=(
        "It is attention in which the values stand in for queries and for keys.",
        "Scores value @ value.mT / sqrt(K), each with its own K, padding's columns hidden, "
        "softmax; then the teacher's rows against the student's, mean over heads and real rows.",
        "(value @ value.mT / value.shape[-1] ** 0.5).masked_fill(~real[:, None, None, :], -1e9)"
        ".log_softmax(-1), then (teacher.exp() * (teacher - student)).sum(-1)",
    ),
)  # fmt: skip


# 7: repair the step in which the teacher learned


def reference_distillation_step(
    student: nn.Module, teacher: nn.Module, inputs: Tensor, temperature: float, lr: float
) -> Tensor:
    teacher.eval()
    student.zero_grad()
    with torch.no_grad():
        teacher_logits = teacher(inputs)
    loss = reference_soft_target_loss(student(inputs), teacher_logits, temperature)
    loss.backward()
    with torch.no_grad():
        for weight in student.parameters():
            weight -= lr * weight.grad
    return loss.detach()


def step_with(
    training: bool = False,
    tracked: bool = False,
    learning: bool = False,
    student_training: bool = True,
    cleared: bool = True,
    loss_of: Callable[..., Tensor] = reference_soft_target_loss,
    sign: int = 1,
    mode_afterwards: bool | None = None,
    again: bool = False,
) -> Callable[..., Tensor]:
    """A step in which something is otherwise: the teacher's mode, whether it learns, the loss."""

    def answer(student, teacher, inputs, temperature, lr):
        teacher.train(training)
        student.train(student_training)
        if cleared:
            student.zero_grad()
        with torch.set_grad_enabled(tracked):
            teacher_logits = teacher(inputs)
        loss = loss_of(student(inputs), teacher_logits, temperature)
        loss.backward()
        moved = [*student.parameters(), *(teacher.parameters() if learning else ())]
        with torch.no_grad():
            for weight in moved:
                weight -= sign * lr * weight.grad
            if again:
                loss = loss_of(student(inputs), teacher_logits, temperature)
        if mode_afterwards is not None:
            teacher.train(mode_afterwards)
        return loss.detach()

    return answer


def no_step(student, teacher, inputs, temperature, lr) -> Tensor:
    return step_with()(student, teacher, inputs, temperature, 0.0)


def pulled_to_the_student(student, teacher, inputs, temperature, lr) -> Tensor:
    """The roles are swapped: the student is asked without a gradient, and the teacher learns."""
    teacher.eval()
    teacher.zero_grad()
    with torch.no_grad():
        student_logits = student(inputs)
    loss = reference_soft_target_loss(student_logits, teacher(inputs), temperature)
    loss.backward()
    with torch.no_grad():
        for weight in teacher.parameters():
            weight -= lr * weight.grad
    return loss.detach()


def small_model(weights: dict[str, Tensor]) -> nn.Sequential:
    """Two layers with dropout between them, in training mode, as any new module is."""
    (width, size), (classes, _) = weights["0.weight"].shape, weights["3.weight"].shape
    model = nn.Sequential(
        nn.Linear(size, width), nn.Tanh(), nn.Dropout(0.5), nn.Linear(width, classes)
    )
    model.load_state_dict(weights)
    return model


def without_dropout(model: nn.Sequential) -> nn.Sequential:
    """The same, but nothing is dropped: what it says does not depend on the mode."""
    model[2] = nn.Dropout(0.0)
    return model


def one_vector(model: nn.Module) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def step_and_both(
    answer: Any,
    student_weights: dict[str, Tensor],
    teacher_weights: dict[str, Tensor],
    *case: Any,
) -> Any:
    """The loss, and what has become of the student and of the teacher.

    Both come in training mode, with the gradients that another step has left in the student.
    """
    student = without_dropout(small_model(student_weights))
    teacher = small_model(teacher_weights)
    for weight in student.parameters():
        weight.grad = torch.ones_like(weight)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        loss = call(answer, student, teacher, *case)
    has_gradient = any(weight.grad is not None for weight in teacher.parameters())
    return (
        loss, one_vector(student), one_vector(teacher), has_gradient, teacher.training,
        student.training,
    )  # fmt: skip


def step_cases(seed: int) -> list[Case]:
    cases = []
    for N, D, C, widths, temperature, lr in (
        (4, 3, 5, (2, 6), 2.0, 0.5),
        (3, 4, 3, (3, 5), 3, 0.2),
    ):
        inputs, *tensors = draw(
            (N, D), *(s for w in widths for s in ((w, D), (w,), (C, w), (C,))), seed=seed + N
        )
        names = ("0.weight", "0.bias", "3.weight", "3.bias")
        student, teacher = (
            dict(zip(names, part, strict=True)) for part in (tensors[:4], tensors[4:])
        )
        cases.append((student, teacher, inputs, temperature, lr))
    return cases


distillation_step = Exercise(
    name="distillation_step",
    chapter=10,
    reference=reference_distillation_step,
    cases=step_cases,
    returns={"loss": "", "the student's weight": "N", "the teacher's weight": "N",
             "whether the teacher has a gradient": "", "teacher.training": "",
             "student.training": ""},
    run=step_and_both,
    mistakes=(
        Mistake("the teacher is in training mode, so its answers are noise, and it learns too and "
                "drifts towards the student", TEACHER,
                step_with(training=True, tracked=True, learning=True)),
        Mistake("the teacher is in training mode: its dropout is on, and the targets are noise",
                TEACHER, step_with(training=True)),
        Mistake("the teacher is in training mode, its dropout on, and the gradient reaches it: "
                "torch.no_grad() turns off no dropout, and eval() no gradient", TEACHER,
                step_with(training=True, tracked=True)),
        Mistake("the teacher's weights moved: they are the optimiser's too, and the loss can fall "
                "because the teacher comes down to the student", TEACHER,
                step_with(tracked=True, learning=True)),
        Mistake("the step is right, but gradients were computed for the teacher, which costs time "
                "and memory: ask it under torch.no_grad()", TEACHER, step_with(tracked=True)),
        Mistake("the step is right, but the teacher was set back to training mode: at the next "
                "step its dropout is on", TEACHER, step_with(mode_afterwards=True)),
        Mistake("the step is right, but the student was set to evaluation mode: it would train "
                "without its dropout", TEACHER, step_with(student_training=False)),
        Mistake("the teacher drops out and the student does not: it is the teacher that is set to "
                "evaluation mode", TEACHER, step_with(training=True, student_training=False)),
        Mistake("it is the teacher that learns from the student: the roles are swapped", TEACHER,
                pulled_to_the_student),
        Mistake("the gradient of the step before was still there: zero_grad() first", LOSS,
                step_with(cleared=False)),
        Mistake("T squared is missing", SOFT, step_with(
            loss_of=lambda s, t, temperature: reference_soft_target_loss(s, t, temperature)
            / temperature**2)),
        Mistake("the divergence is the other way round: the teacher's shares weigh the differences",
                LOSS, step_with(loss_of=lambda s, t, temperature:
                                reference_soft_target_loss(t, s, temperature))),
        Mistake("the temperature is not used", SOFT, step_with(
            loss_of=lambda s, t, temperature: reference_soft_target_loss(s, t, 1.0))),
        Mistake("only the teacher's likeliest answer counts: its shares are the targets", SOFT,
                step_with(loss_of=lambda s, t, temperature: F.cross_entropy(s, t.argmax(-1)))),
        Mistake("the step goes uphill: lr times the gradient is taken away", LOSS,
                step_with(sign=-1)),
        Mistake("the student has not moved: after backward() comes the step", LOSS, no_step),
        Mistake("the loss was measured after the step: the gradient belongs to the loss before it",
                LOSS, step_with(again=True)),
    ),
    hints=(
        "Two models go in. Which of them may be different afterwards, and in what?",
        "eval() turns the teacher's dropout off, no_grad() keeps the gradient away from it, and "
        "the optimiser holds the student's parameters alone. Each does only its own part.",
        "optimizer = torch.optim.SGD(student.parameters(), lr=lr); with torch.no_grad(): "
        "teacher_logits = teacher.eval()(inputs)",
    ),
)  # fmt: skip


EXERCISES = (
    student_sizes,
    soft_target_loss,
    distillation_loss,
    matched_states,
    hidden_loss,
    relation_loss,
    distillation_step,
)
