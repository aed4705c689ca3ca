"""The losses of distillation. Each compares student and teacher, and is 0 where they agree."""

from __future__ import annotations

import math

from torch import Tensor

from minibert.attention import additive_mask, split_heads


def soft_target_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """How far the student's guesses are from the teacher's: logits (N, V) twice -> ().

    The mean over rows of KL(teacher || student), both softened by the temperature T, times T^2.
    Gradients fall as 1/T^2, so without that factor they would lose weight against the hard loss
    (Hinton et al., 2015, 2). It is the cross-entropy minus a part that the student cannot change.
    0 if there are no rows.
    """
    teacher = (teacher_logits.float() / temperature).log_softmax(-1)  # (N, V)
    student = (student_logits.float() / temperature).log_softmax(-1)
    divergence = (teacher.exp() * (teacher - student)).sum(-1)  # (N,)
    return divergence.sum() / max(1, len(divergence)) * temperature**2


def hidden_state_loss(
    student: Tensor, teacher: Tensor, attention_mask: Tensor | None = None
) -> Tensor:
    """Mean squared error of states (B, T, D), padding left out -> () (Jiao et al., 2020)."""
    return _mean_of_real((student.float() - teacher.float()).square().mean(-1), attention_mask)


def attention_map_loss(
    student: Tensor, teacher: Tensor, attention_mask: Tensor | None = None
) -> Tensor:
    """Mean squared error of attention scores (B, H, T, T), padding left out -> ().

    Scores are what `attention_scores` gives, before the softmax. Jiao et al. (2020) found that they
    transfer better than the weights after it.
    """
    error = (student.float() - teacher.float()).square().mean(1)  # (B, T, T)
    if attention_mask is None:
        return error.mean()
    keys = attention_mask[:, None].to(error.dtype)  # (B, 1, T)
    error = (error * keys).sum(-1) / keys.sum(-1).clamp(min=1)  # (B, T)
    return _mean_of_real(error, attention_mask)


def relation_loss(student: Tensor, teacher: Tensor, attention_mask: Tensor | None = None) -> Tensor:
    """Mean KL(teacher || student) of `relations` (B, R, T, T), padding left out -> ()."""
    divergence = (teacher.exp() * (teacher - student)).sum(-1).mean(1)  # (B, T)
    return _mean_of_real(divergence, attention_mask)


def attention_scores(query: Tensor, key: Tensor, num_heads: int) -> Tensor:
    """Q K^T / sqrt(K) of each head: (B, T, D) twice -> (B, H, T, T)."""
    query, key = split_heads(query, num_heads), split_heads(key, num_heads)  # (B, H, T, K)
    return query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])


def relations(a: Tensor, b: Tensor, num_heads: int, attention_mask: Tensor | None = None) -> Tensor:
    """How much each token's `a` attends to every `b`: (B, T, D) twice -> log of (B, R, T, T).

    For queries and keys with the layer's own number of heads these are the attention weights, which
    MiniLM transfers together with the relations of values to values (Wang et al., 2020). Its second
    version relates queries to queries, keys to keys and values to values, with any number R of
    relation heads, so teacher and student may differ in width and heads (Wang et al., 2021).
    """
    scores = attention_scores(a, b, num_heads)
    mask = additive_mask(attention_mask, scores.dtype)
    return (scores if mask is None else scores + mask).float().log_softmax(-1)


def _mean_of_real(values: Tensor, attention_mask: Tensor | None) -> Tensor:
    """The mean of (B, T) over real tokens."""
    if attention_mask is None:
        return values.mean()
    real = attention_mask.to(values.dtype)
    return (values * real).sum() / real.sum().clamp(min=1)
