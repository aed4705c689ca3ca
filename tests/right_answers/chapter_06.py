"""Right answers to the exercises of chapter 6, at least two ways each besides the reference."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from minibert.training.optimizers import BertAdam, is_decayed, linear


def loop_cross_entropy(logits, right):
    losses = []
    for row, answer in zip(logits.tolist(), right.tolist(), strict=True):
        largest = max(row)
        total = sum(math.exp(logit - largest) for logit in row)
        losses.append(math.log(total) + largest - row[answer])
    return torch.tensor(sum(losses) / len(losses))


def chapter_cross_entropy(logits, right):
    share = logits.softmax(-1)[torch.arange(len(right)), right]
    return -share.log().mean()


def one_hot_cross_entropy(logits, right):
    chosen = F.one_hot(right, logits.shape[-1])
    return ((logits.logsumexp(-1, keepdim=True) - logits) * chosen).sum() / len(right)


def flat_pretraining(prediction_logits, nsp_logits, labels, next_sentence_label):
    criterion = nn.CrossEntropyLoss()  # ignores -100
    mlm_loss = criterion(prediction_logits.flatten(0, 1), labels.flatten())
    return mlm_loss + criterion(nsp_logits, next_sentence_label)


def weighed_pretraining(prediction_logits, nsp_logits, labels, next_sentence_label):
    asked = (labels != -100).float()
    shares = prediction_logits.log_softmax(-1)
    right = shares.gather(-1, labels.clamp(min=0)[..., None]).squeeze(-1)
    mlm_loss = -(right * asked).sum() / asked.sum()
    return mlm_loss + F.nll_loss(nsp_logits.log_softmax(-1), next_sentence_label)


def torch_adam(weight, gradient, m, v, step, lr, betas, eps, decay, corrected):
    """torch's and minibert's optimisers, given the averages of the steps before."""
    parameter = nn.Parameter(weight.clone())
    kind = torch.optim.AdamW if corrected else BertAdam
    optimizer = kind([parameter], lr=lr, betas=betas, eps=eps, weight_decay=decay)
    names = ("exp_avg", "exp_avg_sq") if corrected else ("m", "v")
    state = dict(zip(names, (m.clone(), v.clone()), strict=True))
    optimizer.state[parameter] = state | {"step": torch.tensor(float(step - 1))}
    parameter.grad = gradient.clone()
    optimizer.step()
    return parameter.detach(), *(optimizer.state[parameter][name] for name in names)


def numpy_adam(weight, gradient, m, v, step, lr, betas, eps, decay, corrected):
    w, g, m, v = (x.double().numpy() for x in (weight, gradient, m, v))
    m = m + (1 - betas[0]) * (g - m)
    v = v + (1 - betas[1]) * (g * g - v)
    fair = 1 - np.array(betas) ** step if corrected else np.ones(2)
    w = (1 - lr * decay) * w - lr * (m / fair[0]) / (np.sqrt(v / fair[1]) + eps)
    return tuple(torch.from_numpy(x).float() for x in (w, m, v))


def array_rate(step, steps, warmup):
    return float(np.where(step < warmup, step / warmup, np.clip(1 - step / steps, 0, None)))


def package_rate(step, steps, warmup):
    return linear(warmup / steps)(step / steps)


def loop_decayed(named):
    found = []
    for name in named:
        if len(named[name].shape) > 1:
            found.append(name)
    return found


def backward_step(weight, bias, parts, lr, limit):
    """As with a real model: `backward` for each part, torch's clipping, torch's SGD."""
    weight, bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())
    optimizer = torch.optim.SGD([weight, bias], lr=lr)
    count = sum(int((labels != -100).sum()) for _, labels in parts)
    total = torch.tensor(0.0)
    for states, labels in parts:
        loss = F.cross_entropy(F.linear(states, weight, bias), labels, reduction="sum") / count
        loss.backward()
        total += loss.detach()
    nn.utils.clip_grad_norm_([weight, bias], limit)
    optimizer.step()
    return total, weight, bias


def step_by_formula(weight, bias, parts, lr, limit):
    """All parts as one; the gradient of a softmax is its shares minus what is right."""
    states = torch.cat([states for states, _ in parts])
    labels = torch.cat([labels for _, labels in parts])
    states, labels = states[labels != -100], labels[labels != -100]
    logits = states @ weight.T + bias
    off = (logits.softmax(-1) - F.one_hot(labels, len(bias))) / len(labels)
    for_weight, for_bias = off.T @ states, off.sum(0)
    length = math.sqrt(for_weight.square().sum() + for_bias.square().sum())
    shrink = min(1.0, limit / length)
    loss = F.cross_entropy(logits, labels)
    return loss, weight - lr * shrink * for_weight, bias - lr * shrink * for_bias


def masked_rows(head, states, labels):
    """Flat places, and the loss by hand."""
    places = (labels.flatten() != -100).nonzero()[:, 0]
    shares = head(states.flatten(0, 1)[places]).log_softmax(-1)
    return -shares.gather(1, labels.flatten()[places, None]).mean()


def masked_ignoring(head, states, labels):
    rows, places = (labels != -100).nonzero(as_tuple=True)
    picked = labels[rows, places]
    return F.cross_entropy(head(states[rows, places]), picked, reduction="sum") / len(picked)


def torch_clip(gradients, limit):
    holders = [nn.Parameter(torch.zeros_like(g)) for g in gradients]
    for holder, g in zip(holders, gradients, strict=True):
        holder.grad = g.clone()
    length = nn.utils.clip_grad_norm_(holders, limit)
    return [holder.grad for holder in holders], length


def loop_clip(gradients, limit):
    length = sum((g**2).sum() for g in gradients).sqrt()
    if length > limit:
        return [g / length * limit for g in gradients], length
    return list(gradients), length


def step_that_cleans_up(model, batch, optimizer, limit=1.0):
    loss = model(**batch).loss
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), limit)
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.detach())


def step_by_grad(model, batch, optimizer, limit=1.0):
    weights = list(model.parameters())
    loss = model(**batch).loss
    clipped, _ = loop_clip(torch.autograd.grad(loss, weights), limit)
    for weight, gradient in zip(weights, clipped, strict=True):
        weight.grad = gradient
    optimizer.step()
    return loss.detach().item()


RIGHT = {
    "first_loss": [11.0, 11.02, math.log(2 * 30522), torch.tensor(30522.0).log() + math.log(2)],
    "cross_entropy": [
        F.cross_entropy,
        loop_cross_entropy,
        chapter_cross_entropy,
        one_hot_cross_entropy,
    ],
    "pretraining_loss": [flat_pretraining, weighed_pretraining],
    "adam_step": [torch_adam, numpy_adam],
    "rate_at": [array_rate, package_rate],
    "decayed_names": [
        loop_decayed,
        lambda named: [name for name, tensor in named.items() if is_decayed(tensor)],
        lambda named: list(filter(lambda name: named[name].ndim not in (0, 1), named)),
    ],
    "accumulated_step": [backward_step, step_by_formula],
    "masked_loss": [masked_rows, masked_ignoring],
    "clip": [torch_clip, loop_clip],
    "training_step": [step_that_cleans_up, step_by_grad],
}
