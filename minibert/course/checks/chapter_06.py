"""The exercises of chapter 6, pretraining."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minibert.course.checks.engine import (
    Case,
    Exercise,
    Mistake,
    Unfit,
    call,
    draw,
    draw_ids,
)

LOSS = "The loss, by hand"
ASKED = "Only at the hidden tokens"
NSP = "Two sentences: the pooler and NSP"
ADAM = "Adam, and its first steps"
AROUND = "Schedule and clipping"
LOOP = "The loop"
PARTS = "Optional: a batch in parts"


# 1: the first loss, before anything runs


def one_decimal(answer: Any, *case: Any) -> float:
    """A prediction, rounded to one decimal."""
    return round(float(answer), 1)


first_loss = Exercise(
    name="first_loss",
    chapter=6,
    reference=math.log(30522) + math.log(2),
    cases=lambda seed: [()],
    returns={"the loss": ""},
    run=one_decimal,
    mistakes=(
        Mistake("this is the MLM loss alone: NSP, which has two answers to choose from, is added",
                NSP, 10.3),
        Mistake("this is the NSP loss alone: MLM, with its 30522 answers, is added", LOSS, 0.7),
        Mistake("this is in bits: for nats, take the natural logarithm", LOSS,
                math.log2(30522) + 1),
        Mistake("this logarithm has base 10: the loss takes the natural one", LOSS,
                math.log10(30522) + math.log10(2)),
        Mistake("the 8192 tokens are the chapter's: BERT-base has 30522", LOSS,
                math.log(8192) + math.log(2)),
        Mistake("this is the mean of both losses: BERT adds them", NSP, 5.5),
        Mistake("the NSP loss isn't a half, but minus the logarithm of a half", NSP,
                math.log(30522) + 0.5),
        Mistake("the two losses were multiplied: BERT adds them", NSP,
                math.log(30522) * math.log(2)),
        Mistake("you added the numbers of answers: take the logarithm of each", LOSS, 30524),
        Mistake("the sign is wrong: minus the logarithm of a probability is positive",
                LOSS, -11.0),
        Mistake("a loss of 0 means that the model is certain, and right every time", LOSS, 0),
    ),
    hints=(
        "It knows nothing yet. What probability does it give to each answer, in each task?",
        "1 / 30522 for every token, 1 / 2 for each answer of NSP. A loss is minus the logarithm "
        "of a probability, and the two losses are added.",
        "math.log(30522) + math.log(2)",
    ),
)  # fmt: skip


# 2: cross-entropy


def reference_cross_entropy(logits: Tensor, right: Tensor) -> Tensor:
    log_shares = logits.log_softmax(dim=-1)
    return -log_shares[torch.arange(len(right)), right].mean()


def of_right(table: Tensor, right: Tensor) -> Tensor:
    """(M, V), (M,) -> (M,): from each row the number of the right token."""
    return table.gather(1, right[:, None]).squeeze(1)


def cross_entropy_cases(seed: int) -> list[Case]:
    cases = []
    for (M, V), shift in (((3, 5), 0.0), ((7, 4), 0.0), ((2, 6), 200.0)):
        (logits,) = draw((M, V), seed=seed)
        cases.append((2 * logits + shift, draw_ids(V, M, seed=seed + M)))
    return cases


cross_entropy = Exercise(
    name="cross_entropy",
    chapter=6,
    reference=reference_cross_entropy,
    cases=cross_entropy_cases,
    returns={"loss": ""},
    mistakes=(
        Mistake("the softmax was taken twice: F.cross_entropy wants logits, and has its own",
                LOSS, lambda x, y: F.cross_entropy(x.softmax(-1), y)),
        Mistake("the softmax runs over the tokens, not over the vocabulary: wrong dim",
                LOSS, lambda x, y: -of_right(x.log_softmax(0), y).mean()),
        Mistake("exp(200) is too large for a float32: subtract the row's largest logit first",
                LOSS, lambda x, y: -of_right(x.exp() / x.exp().sum(-1, keepdim=True), y)
                .log().mean()),
        Mistake("the sum of exponentials is inf if logits are large: torch.logsumexp avoids that",
                LOSS, lambda x, y: (x.exp().sum(-1).log() - of_right(x, y)).mean()),
        Mistake("the loss is in bits (log2): for nats, take the natural logarithm", LOSS,
                lambda x, y: reference_cross_entropy(x, y) / math.log(2)),
        Mistake("the logarithm has base 10: take the natural one", LOSS,
                lambda x, y: reference_cross_entropy(x, y) / math.log(10)),
        Mistake("this is the sum over the tokens, not their mean", LOSS,
                lambda x, y: len(y) * reference_cross_entropy(x, y)),
        Mistake("the sign is wrong: the loss is minus the logarithm", LOSS,
                lambda x, y: -reference_cross_entropy(x, y)),
        Mistake("this is the mean probability of the right tokens: its logarithm is missing", LOSS,
                lambda x, y: of_right(x.softmax(-1), y).mean()),
        Mistake("the probabilities were averaged: take each token's logarithm, then the mean",
                LOSS, lambda x, y: -of_right(x.softmax(-1), y).mean().log()),
        Mistake("these are minus the logits of the right tokens: the softmax is missing", LOSS,
                lambda x, y: -of_right(x, y).mean()),
        Mistake("the whole row was averaged: only the right token of each row counts",
                LOSS, lambda x, y: -x.log_softmax(-1).mean()),
        Mistake("this is the loss of the likeliest tokens: take the right ones", LOSS,
                lambda x, y: -x.log_softmax(-1).amax(-1).mean()),
        Mistake("this is the entropy of the guess, which doesn't depend on the right token", LOSS,
                lambda x, y: -(x.softmax(-1) * x.log_softmax(-1)).sum(-1).mean()),
    ),
    hints=(
        "Turn logits into probabilities. Only one of them in each row matters.",
        "Take a softmax over the vocabulary, pick the right token's probability, average its -log.",
        "-logits.log_softmax(-1)[torch.arange(len(right)), right].mean()",
    ),
)  # fmt: skip


# 3: repair the loss of both tasks


def reference_pretraining_loss(
    prediction_logits: Tensor, nsp_logits: Tensor, labels: Tensor, next_sentence_label: Tensor
) -> Tensor:
    asked = labels != -100
    mlm_loss = F.cross_entropy(prediction_logits[asked], labels[asked])
    return mlm_loss + F.cross_entropy(nsp_logits, next_sentence_label)


def mlm(prediction_logits: Tensor, labels: Tensor, reduction: str = "mean") -> Tensor:
    """(B, T, V), (B, T) -> (): the MLM loss, with -100 left out."""
    return F.cross_entropy(prediction_logits.flatten(0, 1), labels.flatten(), reduction=reduction)


def mlm_without_zeros(prediction_logits: Tensor, labels: Tensor) -> Tensor:
    """The MLM loss if 0 is ignored."""
    return mlm(prediction_logits, labels.masked_fill(labels == 0, -100))


def nsp_without_zeros(nsp_logits: Tensor, next_sentence_label: Tensor) -> Tensor:
    """The NSP loss if 0 is ignored, so that pairs that follow each other do not count."""
    return F.cross_entropy(nsp_logits, next_sentence_label, ignore_index=0)


def pretraining_cases(seed: int) -> list[Case]:
    cases = []
    for (B, T, V), pairs in (
        ((4, 6, 5), [0, 1, 1, 0]),
        ((3, 5, 7), [1, 0, 0]),
        ((2, 7, 4), [0, 0]),
    ):
        prediction_logits, nsp_logits = draw((B, T, V), (B, 2), seed=seed)
        labels = draw_ids(V, B, T, seed=seed)
        for row in range(B):  # in each row another number of tokens is asked, and 0 is one of them
            labels[row, row + 2 :] = -100
            labels[row, 0] = 0 if row % 2 == 0 else labels[row, 0]
        cases.append((prediction_logits, 2 * nsp_logits, labels, torch.tensor(pairs)))
    return cases


pretraining_loss = Exercise(
    name="pretraining_loss",
    chapter=6,
    reference=reference_pretraining_loss,
    cases=pretraining_cases,
    returns={"loss": ""},
    mistakes=(
        Mistake("0 is ignored in both losses: it is NSP's \"is next\", and a token of MLM", NSP,
                lambda p, n, y, z: mlm_without_zeros(p, y) + nsp_without_zeros(n, z)),
        Mistake("NSP ignores 0, which is \"is next\": then every pair is called random",
                NSP, lambda p, n, y, z: mlm(p, y) + nsp_without_zeros(n, z)),
        Mistake("MLM ignores 0, a token like any other: only -100 is to be ignored",
                ASKED, lambda p, n, y, z: mlm_without_zeros(p, y) + F.cross_entropy(n, z)),
        Mistake("all positions count in MLM, as if 0 were the answer at the label -100",
                ASKED, lambda p, n, y, z: mlm(p, y.clamp(min=0)) + F.cross_entropy(n, z)),
        Mistake("MLM is divided by all positions: divide by the hidden tokens", ASKED,
                lambda p, n, y, z: mlm(p, y, "sum") / y.numel() + F.cross_entropy(n, z)),
        Mistake("MLM is a sum: take the mean over the hidden tokens", ASKED,
                lambda p, n, y, z: mlm(p, y, "sum") + F.cross_entropy(n, z)),
        Mistake("each row's mean was averaged: every hidden token should count the same", AROUND,
                lambda p, n, y, z: torch.stack(
                    [F.cross_entropy(*row) for row in zip(p, y, strict=True)]
                ).mean() + F.cross_entropy(n, z)),
        Mistake("this is the mean of the two losses: BERT adds them", NSP,
                lambda p, n, y, z: (mlm(p, y) + F.cross_entropy(n, z)) / 2),
        Mistake("NSP's labels are inverted: 0 is \"is next\", 1 is \"is random\"", NSP,
                lambda p, n, y, z: mlm(p, y) + F.cross_entropy(n, 1 - z)),
        Mistake("tokens and pairs went into one mean: each task has its own mean", NSP,
                lambda p, n, y, z: (mlm(p, y, "sum") + F.cross_entropy(n, z, reduction="sum"))
                / ((y != -100).sum() + len(z))),
        Mistake("the NSP loss is missing", NSP, lambda p, n, y, z: mlm(p, y)),
        Mistake("the MLM loss is missing", ASKED, lambda p, n, y, z: F.cross_entropy(n, z)),
    ),
    hints=(
        "What does 0 mean in each of the two kinds of labels?",
        "The two losses ignore different things: MLM leaves out -100, NSP leaves out nothing.",
        "F.cross_entropy(prediction_logits[labels != -100], labels[labels != -100]) + "
        "F.cross_entropy(nsp_logits, next_sentence_label)",
    ),
)  # fmt: skip


# 4: a step of Adam

Step = tuple[Tensor, Tensor, Tensor]


def reference_adam(
    weight: Tensor,
    gradient: Tensor,
    m: Tensor,
    v: Tensor,
    step: int,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    decay: float,
    corrected: bool,
) -> Step:
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    fair_m, fair_v = m, v
    if corrected:
        fair_m, fair_v = m / (1 - beta1**step), v / (1 - beta2**step)
    weight = weight - lr * decay * weight
    return weight - lr * fair_m / (fair_v.sqrt() + eps), m, v


def adam_with(**changes: Callable[..., Any]) -> Callable[..., Step]:
    """The reference with some arguments replaced. Each new one is made from the given ones."""

    def answer(weight, gradient, m, v, step, lr, betas, eps, decay, corrected):
        given = {
            "weight": weight, "gradient": gradient, "m": m, "v": v, "step": step, "lr": lr,
            "betas": betas, "eps": eps, "decay": decay, "corrected": corrected,
        }  # fmt: skip
        return reference_adam(**(given | {name: make(given) for name, make in changes.items()}))

    return answer


def adam_moving(direction: Callable[..., Tensor]) -> Callable[..., Step]:
    """Right averages, and another direction made from m, v, their corrections and eps."""

    def answer(weight, gradient, m, v, step, lr, betas, eps, decay, corrected):
        beta1, beta2 = betas
        m, v = m.lerp(gradient, 1 - beta1), v.lerp(gradient**2, 1 - beta2)
        fair = (1 - beta1**step, 1 - beta2**step) if corrected else (1.0, 1.0)
        return weight - lr * decay * weight - lr * direction(m, v, *fair, eps), m, v

    return answer


def decayed_afterwards(weight, gradient, m, v, step, lr, betas, eps, decay, corrected) -> Step:
    weight, m, v = reference_adam(weight, gradient, m, v, step, lr, betas, eps, 0.0, corrected)
    return weight * (1 - lr * decay), m, v


def uphill(weight, gradient, m, v, step, lr, betas, eps, decay, corrected) -> Step:
    return reference_adam(weight, gradient, m, v, step, -lr, betas, eps, -decay, corrected)


def corrections_kept(weight, gradient, m, v, step, lr, betas, eps, decay, corrected) -> Step:
    weight, m, v = reference_adam(weight, gradient, m, v, step, lr, betas, eps, decay, corrected)
    fair = [1 - beta**step if corrected else 1.0 for beta in betas]
    return weight, m / fair[0], v / fair[1]


def mostly_new(weight, gradient, m, v, step, lr, betas, eps, decay, corrected) -> Step:
    m, v = m.lerp(gradient, betas[0]), v.lerp(gradient**2, betas[1])
    fair = [1 - beta**step if corrected else 1.0 for beta in betas]
    move = (m / fair[0]) / ((v / fair[1]).sqrt() + eps)
    return weight - lr * decay * weight - lr * move, m, v


def one_step_behind(weight, gradient, m, v, step, lr, betas, eps, decay, corrected) -> Step:
    fair = [1 - beta**step if corrected else 1.0 for beta in betas]
    move = (m / fair[0]) / ((v / fair[1]).sqrt() + eps)
    _, m, v = reference_adam(weight, gradient, m, v, step, lr, betas, eps, decay, corrected)
    return weight - lr * decay * weight - lr * move, m, v


def adam_cases(seed: int) -> list[Case]:
    """First and later steps, with and without correction, and numbers large enough to show all."""
    cases = []
    for shape, step, corrected, lr, betas, eps, decay in (
        ((5,), 1, True, 0.1, (0.9, 0.999), 1e-6, 0.3),
        ((5,), 1, False, 0.1, (0.9, 0.999), 1e-6, 0.3),
        ((2, 3), 3, True, 0.2, (0.8, 0.95), 0.1, 0.5),
        ((4,), 12, False, 0.3, (0.7, 0.9), 0.2, 0.4),
    ):
        weight, gradient, m, v = draw(shape, shape, shape, shape, seed=seed + step)
        m, v = (m, v.square()) if step > 1 else (torch.zeros(shape), torch.zeros(shape))
        cases.append((weight, gradient, m, v, step, lr, betas, eps, decay, corrected))
    return cases


adam_step = Exercise(
    name="adam_step",
    chapter=6,
    reference=reference_adam,
    cases=adam_cases,
    returns={"weight": "...", "m": "...", "v": "..."},
    mistakes=(
        Mistake("the bias correction is missing: both averages start at 0 and are too small", ADAM,
                adam_with(corrected=lambda a: False)),
        Mistake("the bias is always corrected: with corrected=False, leave it as it is",
                ADAM, adam_with(corrected=lambda a: True)),
        Mistake("only m is corrected: v is too small, too, and for much longer", ADAM,
                adam_moving(lambda m, v, c1, c2, eps: m / c1 / (v.sqrt() + eps))),
        Mistake("only v is corrected: m is too small, too", ADAM,
                adam_moving(lambda m, v, c1, c2, eps: m / ((v / c2).sqrt() + eps))),
        Mistake("v was corrected after taking the root: correct v itself", ADAM,
                adam_moving(lambda m, v, c1, c2, eps: m / c1 / (v.sqrt() / c2 + eps))),
        Mistake("eps is inside the root: add it after taking the root", ADAM,
                adam_moving(lambda m, v, c1, c2, eps: m / c1 / (v / c2 + eps).sqrt())),
        Mistake("m is divided by v, not by its root", ADAM,
                adam_moving(lambda m, v, c1, c2, eps: m / c1 / (v / c2 + eps))),
        Mistake("m and v are multiplied by 1 - beta ** step: divide, so that they grow",
                ADAM, adam_moving(lambda m, v, c1, c2, eps: m * c1 / ((v * c2).sqrt() + eps))),
        Mistake("the correction counts one step too many: the first step is number 1, not 2", ADAM,
                adam_with(step=lambda a: a["step"] + 1)),
        Mistake("the correction counts one step too few, so the first divides by 0", ADAM,
                adam_with(step=lambda a: a["step"] - 1)),
        Mistake("the two betas are swapped: the first is for m, the second for v", ADAM,
                adam_with(betas=lambda a: a["betas"][::-1])),
        Mistake("old and new are swapped in the averages: beta belongs to the old average", ADAM,
                mostly_new),
        Mistake("the step used the old averages: let the new gradient in first", ADAM,
                one_step_behind),
        Mistake("the corrected averages came back: return m and v without the correction", ADAM,
                corrections_kept),
        Mistake("decay is part of the gradient, so it enters m and v: AdamW keeps it out",
                ADAM, adam_with(
                    gradient=lambda a: a["gradient"] + a["decay"] * a["weight"],
                    decay=lambda a: 0.0)),
        Mistake("decay uses the new weight: use the weight before the step", ADAM,
                decayed_afterwards),
        Mistake("decay is not multiplied by the learning rate", ADAM,
                adam_with(decay=lambda a: a["decay"] / a["lr"])),
        Mistake("the weight decay is missing", ADAM, adam_with(decay=lambda a: 0.0)),
        Mistake("the step goes uphill: subtract it from the weight", ADAM, uphill),
    ),
    hints=(
        "Five lines: two averages, their corrections, the decay, the step.",
        "The new m is beta1 of the old and 1 - beta1 of the gradient. Corrected: divided by "
        "1 - beta ** step, for the step only: m and v are returned without it.",
        "weight - lr * decay * weight - lr * fair_m / (fair_v.sqrt() + eps), with "
        "fair_m = m / (1 - beta1**step)",
    ),
)  # fmt: skip


# 5: the schedule


def reference_rate(step: int, steps: int, warmup: int) -> float:
    if step < warmup:
        return step / warmup
    return max(0.0, 1 - step / steps)


def down(step: int, steps: int) -> float:
    """BERT's line down, which counts from step 0."""
    return max(0.0, 1 - step / steps)


def rate_cases(seed: int) -> list[Case]:
    """On both sides of each border, and beyond the end."""
    generator = np.random.default_rng(seed)
    cases = []
    for share in (4, 10):
        steps = int(generator.integers(60, 200))
        warmup = steps // share
        places = (0, 1, warmup // 2, warmup - 1, warmup, warmup + 1, steps // 2, steps - 1, steps)
        cases += [(step, steps, warmup) for step in (*places, steps + 9)]
    return cases


rate_at = Exercise(
    name="rate_at",
    chapter=6,
    reference=reference_rate,
    cases=rate_cases,
    returns={"rate": ""},
    mistakes=(
        Mistake("the line down starts at the end of the warm-up, as Hugging Face's: "
                "BERT's starts at 0", AROUND,
                lambda s, n, w: s / w if s < w else max(0.0, (n - s) / (n - w))),
        Mistake("there is no warm-up: the first step has the whole rate", AROUND,
                lambda s, n, w: down(s, n)),
        Mistake("after the last step the rate is negative, so training goes uphill: keep it at 0",
                AROUND, lambda s, n, w: s / w if s < w else 1 - s / n),
        Mistake("off by one: at step `warmup` the rate follows the line down already",
                AROUND, lambda s, n, w: s / w if s <= w else down(s, n)),
        Mistake("the line up is one step ahead: at step 0 the rate is 0", AROUND,
                lambda s, n, w: (s + 1) / w if s < w else down(s, n)),
        Mistake("the rate never comes down: after the warm-up it stays at 1", AROUND,
                lambda s, n, w: min(1.0, s / w)),
        Mistake("the two lines are multiplied: during the warm-up the rate is step / warmup",
                AROUND, lambda s, n, w: min(1.0, s / w) * down(s, n)),
        Mistake("this is the lower of the two lines, which turns before the warm-up is over",
                AROUND, lambda s, n, w: min(s / w, down(s, n))),
        Mistake("the line down ends a step too early: it reaches 0 at step `steps`", AROUND,
                lambda s, n, w: s / w if s < w else max(0.0, 1 - s / (n - 1))),
        Mistake("// divides whole numbers, so the rate stays 0 during the warm-up: use /", AROUND,
                lambda s, n, w: s // w if s < w else down(s, n)),
        Mistake("the line up is divided by `steps`, so it never gets near 1: divide by `warmup`",
                AROUND, lambda s, n, w: s / n if s < w else down(s, n)),
        Mistake("the rate falls along a cosine: BERT's falls along a straight line", AROUND,
                lambda s, n, w: s / w if s < w else
                (1 + math.cos(math.pi * min(1.0, s / n))) / 2),
        Mistake("the rate falls with the root of the step, as the Transformer's: BERT's is a line",
                AROUND, lambda s, n, w: s / w if s < w else math.sqrt(w / s)),
    ),
    hints=(
        "Draw it: two straight lines, with a small drop from the first to the second.",
        "Up: 0 at step 0, 1 at step `warmup`. Down: 1 at step 0, 0 at step `steps`, and no lower.",
        "step / warmup if step < warmup else max(0.0, 1 - step / steps)",
    ),
)  # fmt: skip


# 6: repair the list of what is decayed


def reference_decayed(named: dict[str, Tensor]) -> list[str]:
    return [name for name, tensor in named.items() if tensor.dim() >= 2]


def sparing(*parts: str) -> Callable[[dict[str, Tensor]], list[str]]:
    """All names that contain none of these parts."""
    return lambda named: [name for name in named if not any(part in name for part in parts)]


def decayed_cases(seed: int) -> list[Case]:
    """Names of minibert, of Hugging Face, and of models with other habits."""
    D, V, H = 4, 7, 2
    ours = {
        "bert.embeddings.word_embeddings.weight": (V, D),
        "bert.embeddings.norm.weight": (D,),
        "bert.embeddings.norm.bias": (D,),
        "bert.encoder.layers.0.attention.query.weight": (D, D),
        "bert.encoder.layers.0.attention.query.bias": (D,),
        "bert.encoder.layers.0.attention_norm.weight": (D,),
    }
    theirs = {
        "bert.embeddings.position_embeddings.weight": (V, D),
        "bert.embeddings.LayerNorm.weight": (D,),
        "bert.embeddings.LayerNorm.bias": (D,),
        "bert.encoder.layer.0.output.dense.weight": (D, D),
        "bert.encoder.layer.0.output.dense.bias": (D,),
        "cls.predictions.bias": (V,),
    }
    others = {
        "ln_1.gamma": (D,),
        "ln_1.beta": (D,),
        "relative_attention_bias.weight": (V, H),
        "convolution.kernel": (D, D, 3),
        "norm_after.projection.weight": (D, D),
        "temperature": (),
    }
    return [
        ({name: draw(shape, seed=seed)[0] for name, shape in names.items()},)
        for names in (ours, theirs, others)
    ]


decayed_names = Exercise(
    name="decayed_names",
    chapter=6,
    reference=reference_decayed,
    cases=decayed_cases,
    returns={"names": ""},
    mistakes=(
        Mistake("the list only knows norms called LayerNorm: all other gains are decayed",
                ADAM, sparing("bias", "LayerNorm.weight")),
        Mistake("everything is decayed, gains and biases too", ADAM, list),
        Mistake("nothing is decayed: matrices and embeddings should be", ADAM, lambda named: []),
        Mistake("these are the spared ones: return the names of those that are decayed", ADAM,
                lambda named: [name for name, tensor in named.items() if tensor.dim() < 2]),
        Mistake("embeddings are spared: they have two axes, and BERT decays them", ADAM,
                lambda named: [n for n in reference_decayed(named) if "embeddings" not in n]),
        Mistake("only biases are spared, by name: gains of norms start at 1 and should stay there",
                ADAM, sparing("bias")),
        Mistake("only norms are spared, by name: biases are not decayed either", ADAM,
                sparing("norm", "LayerNorm")),
        Mistake("\"norm\" matches neither \"LayerNorm\" nor \"ln_1\": don't rely on names",
                ADAM, sparing("bias", "norm")),
        Mistake("both spellings of norm match, but \"ln_1.gamma\" doesn't: don't rely on names",
                ADAM, sparing("bias", "norm", "LayerNorm")),
        Mistake("every \"weight\" is decayed, even the gains of norms, but no \"kernel\" is",
                ADAM, lambda named: [name for name in named if name.endswith("weight")]),
        Mistake("only tensors with exactly two axes are decayed: a kernel has three", ADAM,
                lambda named: [name for name, tensor in named.items() if tensor.dim() == 2]),
        Mistake("only single numbers are spared: gains and biases have one axis", ADAM,
                lambda named: [name for name, tensor in named.items() if tensor.dim() >= 1]),
        Mistake("the names are right, but sorted: they keep the order of the dict", ADAM,
                lambda named: sorted(reference_decayed(named))),
    ),
    hints=(
        "Everyone names parts differently. What do gains and biases have in common?",
        "They are vectors: one axis, or none. Matrices and embeddings have two or more.",
        "[name for name, tensor in named.items() if tensor.dim() >= 2]",
    ),
)  # fmt: skip


# 7: a whole step, in parts

Parts = Sequence[tuple[Tensor, Tensor]]
Update = tuple[Tensor, Tensor, Tensor]


def reference_update(weight: Tensor, bias: Tensor, parts: Parts, lr: float, limit: float) -> Update:
    weights = [weight.clone().requires_grad_(), bias.clone().requires_grad_()]
    count = sum((labels != -100).sum() for _, labels in parts)
    loss = torch.zeros(())
    for states, labels in parts:
        logits = states @ weights[0].T + weights[1]
        loss = loss + F.cross_entropy(logits, labels, reduction="sum") / count
    gradients = torch.autograd.grad(loss, weights)
    length = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    scale = lr * (limit / length).clamp(max=1.0)
    return loss.detach(), weight - scale * gradients[0], bias - scale * gradients[1]


Scored = list[tuple[Tensor, Tensor]]
"""Logits and labels of each part."""


def tokens_in(scored: Scored) -> int:
    """How many tokens are asked in all parts together."""
    return sum(int((labels != -100).sum()) for _, labels in scored)


def summed(scored: Scored) -> Tensor:
    """The sum of the losses of all tokens asked."""
    return sum(F.cross_entropy(*part, reduction="sum") for part in scored)


def one_mean(scored: Scored) -> Tensor:
    return summed(scored) / tokens_in(scored)


def length_of(gradients: Sequence[Tensor]) -> Tensor:
    return torch.cat([gradient.flatten() for gradient in gradients]).norm()


def shortened(gradients: Sequence[Tensor], limit: float, length: Tensor | None = None):
    """The gradients, clipped as if they had this length, or by their own."""
    length = length_of(gradients) if length is None else length
    return [gradient * (limit / length).clamp(max=1.0) for gradient in gradients]


def update_with(loss_of: Callable = one_mean, clip: Callable = shortened) -> Callable[..., Update]:
    """A step with another loss of all parts, or another way to clip."""

    def answer(weight, bias, parts, lr, limit):
        weights = [weight.clone().requires_grad_(), bias.clone().requires_grad_()]
        scored = [(states @ weights[0].T + weights[1], labels) for states, labels in parts]
        loss = loss_of(scored)
        gradients = clip(torch.autograd.grad(loss, weights), limit)
        return loss.detach(), weight - lr * gradients[0], bias - lr * gradients[1]

    return answer


def parts_clipped(weight: Tensor, bias: Tensor, parts: Parts, lr: float, limit: float) -> Update:
    weights = [weight.clone().requires_grad_(), bias.clone().requires_grad_()]
    scored = [(states @ weights[0].T + weights[1], labels) for states, labels in parts]
    losses = [summed([part]) / tokens_in(scored) for part in scored]
    found = []
    for loss in losses:
        gradients = torch.autograd.grad(loss, weights, retain_graph=True)
        found.append(shortened(gradients, limit, length_of(gradients).clamp(min=1e-12)))
    totals = [sum(gradients) for gradients in zip(*found, strict=True)]
    return sum(losses).detach(), weight - lr * totals[0], bias - lr * totals[1]


def clipped_on_the_way(weight, bias, parts, lr, limit) -> Update:
    weights = [weight.clone().requires_grad_(), bias.clone().requires_grad_()]
    scored = [(states @ weights[0].T + weights[1], labels) for states, labels in parts]
    so_far = [torch.zeros_like(weight), torch.zeros_like(bias)]
    for part in scored:
        loss = summed([part]) / tokens_in(scored)
        gradients = torch.autograd.grad(loss, weights, retain_graph=True)
        so_far = shortened([a + b for a, b in zip(so_far, gradients, strict=True)], limit)
    return one_mean(scored).detach(), weight - lr * so_far[0], bias - lr * so_far[1]


def clipped_before_dividing(weight, bias, parts, lr, limit) -> Update:
    count = tokens_in(list(parts))
    loss, *moved = update_with(summed)(weight, bias, parts, lr / count, limit)
    return loss / count, *moved


def uphill_update(weight, bias, parts, lr, limit) -> Update:
    return reference_update(weight, bias, parts, -lr, limit)


def measured_afterwards(weight, bias, parts, lr, limit) -> Update:
    _, weight, bias = reference_update(weight, bias, parts, lr, limit)
    return one_mean([(states @ weight.T + bias, labels) for states, labels in parts]), weight, bias


def update_cases(seed: int) -> list[Case]:
    """Different parts: one gradient is too long, two are not, and one part asks nothing."""
    cases = []
    for D, V, lengths, asked, lr, limit in (
        (3, 5, (4, 9), (1, 8), 0.5, 0.2),
        (4, 6, (5, 2, 7), (3, 0, 4), 0.3, 8.0),
        (2, 7, (6, 3, 2), (5, 2, 1), 0.2, 5.0),
    ):
        weight, bias, *states = draw((V, D), (V,), *((n, D) for n in lengths), seed=seed)
        parts = []
        for part, number in zip(states, asked, strict=True):
            labels = draw_ids(V, len(part), seed=seed + len(part))
            labels[torch.arange(len(part)) >= number] = -100
            parts.append((2 * part, labels))
        cases.append((weight, bias, parts, lr, limit))
    return cases


accumulated_step = Exercise(
    name="accumulated_step",
    chapter=6,
    reference=reference_update,
    cases=update_cases,
    returns={"loss": "", "weight": "V D", "bias": "V"},
    mistakes=(
        Mistake("this is the mean of the parts' means: tokens of a part with few count more",
                PARTS, update_with(lambda s: sum(F.cross_entropy(*p) for p in s) / len(s))),
        Mistake("the parts' means were added: add losses, and divide once by all hidden tokens",
                PARTS, update_with(lambda s: sum(F.cross_entropy(*p) for p in s))),
        Mistake("a part without hidden tokens has mean 0/0 = NaN, and 0 * NaN = NaN: take sums",
                PARTS, update_with(lambda s: sum(
                    F.cross_entropy(*p) * tokens_in([p]) for p in s) / tokens_in(s))),
        Mistake("losses were summed but not divided by the number of hidden tokens", PARTS,
                update_with(summed)),
        Mistake("the sum was divided by the number of parts: divide by the hidden tokens", PARTS,
                update_with(lambda s: summed(s) / len(s))),
        Mistake("the sum was divided by all positions: divide by the hidden tokens", ASKED,
                update_with(lambda s: summed(s) / sum(len(labels) for _, labels in s))),
        Mistake("positions with the label -100 count, as if 0 were right there", ASKED,
                update_with(lambda s: one_mean([(x, y.clamp(min=0)) for x, y in s]))),
        Mistake("only the last part counts: the other gradients were thrown away", PARTS,
                update_with(lambda s: summed(s[-1:]) / tokens_in(s))),
        Mistake("only the first part counts", PARTS,
                update_with(lambda s: summed(s[:1]) / tokens_in(s))),
        Mistake("the gradient is not clipped", AROUND, update_with(clip=lambda g, limit: g)),
        Mistake("weight and bias were clipped separately: measure their length together",
                AROUND, update_with(clip=lambda g, limit: [shortened([x], limit)[0] for x in g])),
        Mistake("each part was clipped separately: clip once, after the last part", AROUND,
                parts_clipped),
        Mistake("the running sum was clipped after each part: clip once, after the last part",
                AROUND, clipped_on_the_way),
        Mistake("the gradient was clipped and then divided by the hidden tokens: divide first",
                AROUND, clipped_before_dividing),
        Mistake("each number was clipped, which changes the direction: limit the length",
                AROUND, update_with(clip=lambda g, limit: [x.clamp(-limit, limit) for x in g])),
        Mistake("short gradients were made longer: clipping only shortens", AROUND,
                update_with(clip=lambda g, limit: [x * limit / length_of(g) for x in g])),
        Mistake("the lengths of weight and bias were added: add their squares, then take the root",
                AROUND, update_with(
                    clip=lambda g, limit: shortened(g, limit, sum(x.norm() for x in g)))),
        Mistake("the root is missing: this is the squared length", AROUND,
                update_with(clip=lambda g, limit: shortened(g, limit, length_of(g) ** 2))),
        Mistake("the limit is not used: the gradient was clipped to a length of 1", AROUND,
                update_with(clip=lambda g, limit: shortened(g, 1.0))),
        Mistake("the step goes uphill: subtract lr times the gradient", ADAM, uphill_update),
        Mistake("the loss was measured after the step: the gradient belongs to the loss before it",
                LOOP, measured_afterwards),
    ),
    hints=(
        "Count, go through the parts, clip, step. Which of these happen only once?",
        "Count the hidden tokens in all parts. Each part's loss is a sum, divided by that count, "
        "and backward() adds up. Then clip weight and bias as one, then step.",
        "(F.cross_entropy(states @ weight.T + bias, labels, reduction='sum') / count).backward(), "
        "then nn.utils.clip_grad_norm_([weight, bias], limit)",
    ),
)  # fmt: skip


# Blanks in the chapter


def reference_masked_loss(head: Callable[[Tensor], Tensor], states: Tensor, labels: Tensor):
    asked = labels != -100
    return F.cross_entropy(head(states[asked]), labels[asked])


def scored(answer: Callable, weight: Tensor, states: Tensor, labels: Tensor) -> tuple[Any, int]:
    """The loss, and how many states the head was given."""
    seen: list[int] = []

    def head(x: Tensor) -> Tensor:
        seen.append(math.prod(x.shape[:-1]))
        return x @ weight.T

    loss = call(answer, head, states, labels)
    return loss, sum(seen)


def masked_loss_cases(seed: int) -> list[Case]:
    """Rows ask different numbers of tokens, and 0 is one of the answers."""
    cases = []
    for B, T, D, V in ((3, 6, 4, 7), (2, 5, 3, 4)):
        weight, states = draw((V, D), (B, T, D), seed=seed)
        labels = 1 + draw_ids(V - 1, B, T, seed=seed)
        labels[:, 1] = 0
        for row in range(B):
            labels[row, row + 2 :] = -100
        cases.append((weight, 2 * states, labels))
    return cases


masked_loss = Exercise(
    name="masked_loss",
    chapter=6,
    reference=reference_masked_loss,
    cases=masked_loss_cases,
    returns={"loss": "", "number of states that the head saw": ""},
    run=scored,
    mistakes=(
        Mistake("the loss is right, but the head saw every position: pick the states before the "
                "head", ASKED,
                lambda head, x, y: F.cross_entropy(head(x).flatten(0, 1), y.flatten())),
        Mistake("these are the positions that don't count: the label -100 means that nothing "
                "is hidden there", ASKED,
                lambda head, x, y: F.cross_entropy(head(x[y == -100]), y[y == -100])),
        Mistake("0 was left out, too: it's a token like any other, and only -100 is ignored",
                ASKED, lambda head, x, y: F.cross_entropy(head(x[y > 0]), y[y > 0])),
        Mistake("the places were chosen by `labels != 0`: the label to leave out is -100",
                ASKED, lambda head, x, y: F.cross_entropy(head(x[y != 0]), y[y != 0])),
        Mistake("this is a sum: divide by the number of hidden tokens, or leave the mean to "
                "F.cross_entropy", LOSS,
                lambda head, x, y: F.cross_entropy(head(x[y != -100]), y[y != -100],
                                                   reduction="sum")),
        Mistake("the softmax was taken twice: F.cross_entropy wants logits, and takes a softmax "
                "itself", LOSS,
                lambda head, x, y: F.cross_entropy(head(x[y != -100]).softmax(-1), y[y != -100])),
        Mistake("the sum was divided by all positions: divide by the hidden tokens", ASKED,
                lambda head, x, y: F.cross_entropy(head(x[y != -100]), y[y != -100],
                                                   reduction="sum") / y.numel()),
        Mistake("each row's mean was averaged: every hidden token should count the same", ASKED,
                lambda head, x, y: torch.stack([
                    reference_masked_loss(head, *row) for row in zip(x, y, strict=True)
                ]).mean()),
    ),
)  # fmt: skip


def reference_clip(gradients: Sequence[Tensor], limit: float) -> tuple[list[Tensor], Tensor]:
    length = length_of(gradients)
    return [g * min(1.0, limit / length) for g in gradients], length


def clip_cases(seed: int) -> list[Case]:
    """One gradient that is too long, and one that is not."""
    return [(draw((3, 4), (5,), (2, 2, 2), seed=seed), 0.7), (draw((4,), (2, 3), seed=seed), 9.0)]


def clip_with(change: Callable[..., list[Tensor]]) -> Callable:
    """A wrong way to shorten, with the right length."""
    return lambda gradients, limit: (change(gradients, limit), length_of(gradients))


def clip_by(length: Callable[[Sequence[Tensor]], Tensor]) -> Callable:
    """A wrong length, by which the gradients are shortened."""

    def answer(gradients: Sequence[Tensor], limit: float) -> tuple[list[Tensor], Tensor]:
        return shortened(gradients, limit, length(gradients)), length(gradients)

    return answer


clip = Exercise(
    name="clip",
    chapter=6,
    reference=reference_clip,
    cases=clip_cases,
    returns={"gradients": "", "length": ""},
    mistakes=(
        Mistake("each tensor was clipped by itself, which changes the direction: measure the "
                "length of all together", AROUND,
                clip_with(lambda gradients, limit: [shortened([g], limit)[0] for g in gradients])),
        Mistake("each number was clipped, which changes the direction: shorten the whole gradient",
                AROUND, clip_with(lambda gradients, limit: [
                    g.clamp(-limit, limit) for g in gradients])),
        Mistake("short gradients were made longer: clipping only shortens, so the factor is at "
                "most 1", AROUND, clip_with(lambda gradients, limit: [
                    g * limit / length_of(gradients) for g in gradients])),
        Mistake("long gradients stay long and short ones shrink: the factor is the smaller of 1 "
                "and limit / length", AROUND, clip_with(lambda gradients, limit: [
                    g * (limit / length_of(gradients)).clamp(min=1.0) for g in gradients])),
        Mistake("the lengths of the tensors were added: add their squares, then take the root",
                AROUND,
                clip_by(lambda gradients: torch.stack([g.norm() for g in gradients]).sum())),
        Mistake("the root is missing: this is the squared length", AROUND,
                clip_by(lambda gradients: length_of(gradients) ** 2)),
        Mistake("this is the largest number, not the length: the length is the root of the sum of "
                "squares", AROUND,
                clip_by(lambda gradients: torch.cat([g.flatten().abs() for g in gradients]).max())),
        Mistake("this is the length after clipping: return the length before it", AROUND,
                lambda gradients, limit: (shortened(gradients, limit),
                                          length_of(shortened(gradients, limit)))),
        Mistake("nothing was clipped", AROUND, clip_with(lambda gradients, limit: list(gradients))),
    ),
)  # fmt: skip


class Line(nn.Module):
    """A model of one layer whose loss is large enough to be clipped."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone())

    def forward(self, x: Tensor, y: Tensor) -> SimpleNamespace:
        return SimpleNamespace(loss=(x @ self.weight - y).square().mean())


def three_steps(answer: Callable, weight: Tensor, batches: Sequence[dict], limit: float) -> Any:
    """The losses that came back, and the weight after each step."""
    model = Line(weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses, weights = [], []
    for batch in batches:
        loss = call(answer, model, batch, optimizer, limit)
        if isinstance(loss, Tensor):
            raise Unfit("the loss came back as a tensor, which keeps the whole graph in memory: "
                        "return loss.item()")  # fmt: skip
        if loss is None:
            raise Unfit("nothing came back: return the loss")
        losses.append(loss)
        weights.append(model.weight.detach().clone())
    return torch.tensor(losses), torch.stack(weights)


def reference_training_step(
    model: nn.Module, batch: dict, optimizer: torch.optim.Optimizer, limit: float = 1.0
) -> float:
    optimizer.zero_grad()
    loss = model(**batch).loss
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), limit)
    optimizer.step()
    return loss.item()


def training_step_cases(seed: int) -> list[Case]:
    """Three batches each; the first limit shortens every gradient, the second none."""
    cases = []
    for limit in (0.5, 100.0):
        weight, *parts = draw((3,), *[(5, 3), (5,)] * 3, seed=seed)
        xs, ys = parts[::2], parts[1::2]
        batches = [{"x": x, "y": 3 * y} for x, y in zip(xs, ys, strict=True)]
        cases.append((weight, batches, limit))
    return cases


def in_order(order: str) -> Callable:
    """A step that does these things in this order: zero, loss, back, clip, move."""

    def answer(model: Line, batch: dict, optimizer: torch.optim.Optimizer, limit: float) -> float:
        loss = torch.zeros(())
        for name in order.split():
            if name == "zero":
                optimizer.zero_grad()
            elif name == "loss":
                loss = model(**batch).loss
            elif name == "back":
                loss.backward()
            elif name == "clip":
                nn.utils.clip_grad_norm_(model.parameters(), limit)
            else:
                optimizer.step()
        return loss.item()

    return answer


training_step = Exercise(
    name="training_step",
    chapter=6,
    reference=reference_training_step,
    cases=training_step_cases,
    returns={"losses of three steps": "", "weights after them": ""},
    run=three_steps,
    mistakes=(
        Mistake("gradients of earlier steps are still there, because `backward` adds to them: "
                "begin with optimizer.zero_grad()", LOOP, in_order("loss back clip move")),
        Mistake("the step comes before the gradient: it uses the gradient of the last batch", LOOP,
                in_order("loss move zero back clip")),
        Mistake("the gradient wasn't clipped before the step: clip between backward and step",
                LOOP, in_order("zero loss back move")),
        Mistake("the weights don't move: backward or step is missing, or zero_grad comes between "
                "them", LOOP, in_order("zero loss back clip")),
        Mistake("the limit isn't used: the gradient was clipped to a length of 1", LOOP,
                lambda model, batch, optimizer, limit: reference_training_step(
                    model, batch, optimizer)),
        Mistake("the loss was measured after the step: return the loss that the step was made for",
                LOOP, in_order("zero loss back clip move loss")),
    ),
)  # fmt: skip


EXERCISES = (
    first_loss,
    cross_entropy,
    pretraining_loss,
    adam_step,
    rate_at,
    decayed_names,
    accumulated_step,
)
BLANKS = (masked_loss, clip, training_step)
