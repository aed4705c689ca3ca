"""Right answers to the exercises of chapter 10, at least two ways each besides the reference."""

import math

import torch
import torch.nn.functional as F

from minibert.config import BertConfig
from minibert.model import BertModel


def counted(**sizes):
    """Millions of weights of a model that is really made."""
    with torch.device("meta"):
        model = BertModel(BertConfig(**sizes), add_pooling_layer=False)
    return sum(weight.numel() for weight in model.parameters()) / 1e6


def torch_soft(student_logits, teacher_logits, temperature):
    guesses = F.log_softmax(student_logits / temperature, dim=-1)
    targets = F.softmax(teacher_logits / temperature, dim=-1)
    return F.kl_div(guesses, targets, reduction="batchmean") * temperature**2


def entropy_soft(student_logits, teacher_logits, temperature):
    """Cross-entropy with soft labels, less the teacher's entropy, as torch counts both."""
    targets = (teacher_logits / temperature).softmax(-1)
    entropy = torch.distributions.Categorical(targets).entropy().mean()
    return temperature**2 * (F.cross_entropy(student_logits / temperature, targets) - entropy)


def loop_soft(student_logits, teacher_logits, temperature):
    total = 0.0
    for student, teacher in zip(student_logits.tolist(), teacher_logits.tolist(), strict=True):
        p, q = ([math.exp((x - max(row)) / temperature) for x in row] for row in (teacher, student))
        p, q = ([x / sum(shares) for x in shares] for shares in (p, q))
        total += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    return torch.tensor(total / len(student_logits) * temperature**2)


def flat_distillation(student_logits, teacher_logits, labels, temperature, alpha):
    flat = labels.flatten()
    keep = flat.ne(-100)
    student, teacher = student_logits.flatten(0, 1), teacher_logits.flatten(0, 1)
    hard = F.cross_entropy(student, flat, ignore_index=-100)
    return alpha * hard + (1 - alpha) * torch_soft(student[keep], teacher[keep], temperature)


def weighed_distillation(student_logits, teacher_logits, labels, temperature, alpha):
    """Every position, with a weight of 0 where nothing is asked."""
    asked = (labels != -100).float()
    right = student_logits.log_softmax(-1).gather(-1, labels.clamp(min=0)[..., None]).squeeze(-1)
    each = F.kl_div(
        (student_logits / temperature).log_softmax(-1),
        (teacher_logits / temperature).log_softmax(-1),
        reduction="none",
        log_target=True,
    ).sum(-1)
    both = (1 - alpha) * temperature**2 * each - alpha * right
    return (both * asked).sum() / asked.sum()


def loop_matches(student_layers, teacher_layers):
    found, layers_each = [0], teacher_layers // student_layers
    for _ in range(student_layers):
        found.append(found[-1] + layers_each)
    return found


def torch_hidden(student_states, teacher_states, projection, attention_mask):
    total = 0.0
    for student, teacher in zip(student_states, teacher_states, strict=True):
        kept = attention_mask.bool()
        total = total + F.mse_loss(F.linear(student, projection)[kept], teacher[kept])
    return total / len(student_states)


def weighed_hidden(student_states, teacher_states, projection, attention_mask):
    squares = (torch.stack(student_states) @ projection.T - torch.stack(teacher_states)) ** 2
    weights = attention_mask[None, :, :, None].expand_as(squares)
    return (squares * weights).sum() / weights.sum()


def torch_relations(student_values, teacher_values, attention_mask):
    """torch's own attention of values to values, and its divergence, text by text."""
    total, rows = 0.0, 0
    for student, teacher, mask in zip(student_values, teacher_values, attention_mask, strict=True):
        length = int(mask.sum())
        student, teacher = student[:, :length], teacher[:, :length]  # (H, n, K): no padding
        eye = torch.eye(length).expand(len(student), -1, -1)
        relations = [
            F.scaled_dot_product_attention(value, value, eye) for value in (student, teacher)
        ]
        total += F.kl_div(relations[0].log(), relations[1], reduction="sum")
        rows += len(student) * length
    return total / rows


def masked_relations(student_values, teacher_values, attention_mask):
    mask = (1 - attention_mask[:, None, None, :]) * torch.finfo(torch.float32).min
    shares = []
    for value in (student_values, teacher_values):
        scores = torch.einsum("bhik,bhjk->bhij", value, value) / math.sqrt(value.shape[-1])
        shares.append((scores + mask).softmax(-1).clamp(min=1e-30))
    each = (shares[1] * (shares[1] / shares[0]).log()).sum(-1).mean(1)  # (B, T)
    return (each * attention_mask).sum() / attention_mask.sum()


def optimizer_step(student, teacher, inputs, temperature, lr):
    optimizer = torch.optim.SGD(student.parameters(), lr=lr)
    optimizer.zero_grad()
    with torch.no_grad():
        teacher_logits = teacher.eval()(inputs)
    loss = torch_soft(student(inputs), teacher_logits, temperature)
    loss.backward()
    optimizer.step()
    return loss.detach()


def frozen_step(student, teacher, inputs, temperature, lr):
    """The teacher frozen by its parameters; no optimiser, and no `.grad`."""
    teacher.eval().requires_grad_(False)
    loss = entropy_soft(student(inputs), teacher(inputs), temperature)
    weights = list(student.parameters())
    gradients = torch.autograd.grad(loss, weights)
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.data -= lr * gradient
    return loss.detach()


BASE = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}
HALF = {"hidden_size": 384, "num_attention_heads": 12, "intermediate_size": 1536}

RIGHT = {
    # DistilBERT and MiniLM-L12-H384, as their papers count them; and our own models, counted.
    "student_sizes": [
        [66, 33],
        (counted(num_hidden_layers=6, **BASE), counted(num_hidden_layers=12, **HALF)),
    ],
    "soft_target_loss": [torch_soft, entropy_soft, loop_soft],
    "distillation_loss": [flat_distillation, weighed_distillation],
    "matched_states": [
        loop_matches,
        lambda student, teacher: list(range(0, teacher + 1, teacher // student)),
    ],
    "hidden_loss": [torch_hidden, weighed_hidden],
    "relation_loss": [torch_relations, masked_relations],
    "distillation_step": [optimizer_step, frozen_step],
}
