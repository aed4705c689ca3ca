"""Losses of distillation: each by hand and by a witness, who learns and who must not."""

from dataclasses import replace

import pytest
import torch
import transformers
from torch import nn
from torch.testing import assert_close
from toy_distillation import EVERYTHING, config, model, padded_batch

from minibert.distillation.losses import (
    attention_map_loss,
    attention_scores,
    hidden_state_loss,
    relation_loss,
    relations,
    soft_target_loss,
)
from minibert.distillation.objective import (
    DistillationObjective,
    StudentAndProjections,
    Transfer,
    layer_map,
    run_model,
)
from minibert.heads import (
    BertForMultipleChoice,
    BertForSequenceClassification,
    BertForTokenClassification,
)
from minibert.pretraining.run import cut


def loss_of(objective, learner, batches):
    """As the trainer adds it up."""
    totals = {}
    for batch in batches:
        for name, number in objective.counts(batch).items():
            totals[name] = totals.get(name, 0) + number
    return sum(
        value / totals[name]
        for batch in batches
        for name, value in objective.sums(learner, batch).items()
        if name.endswith("_loss")
    )


# Each loss


def test_soft_targets_by_hand():
    """Logits 2 ln 3 and 0 at T = 2 are 3/4 and 1/4; equal logits are 1/2 and 1/2."""
    teacher = torch.tensor([[3.0, 1.0]]).log() * 2
    student = torch.zeros(1, 2)
    want = 0.75 * torch.tensor(1.5).log() + 0.25 * torch.tensor(0.5).log()
    assert_close(soft_target_loss(student, teacher, 2.0), 4 * want)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 7.0])
def test_soft_targets_are_torchs_divergence(temperature):
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 6, 9) * 3
    want = nn.KLDivLoss(reduction="batchmean")(
        (student / temperature).log_softmax(-1), (teacher / temperature).softmax(-1)
    )
    assert_close(soft_target_loss(student, teacher, temperature), want * temperature**2)


def test_at_a_high_temperature_logits_are_matched():
    """The gradient goes to (z - v) / C where both have mean 0 (Hinton et al., 2015, 2.1)."""
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 1, 6)
    student = (student - student.mean()).requires_grad_()
    teacher = teacher - teacher.mean()
    soft_target_loss(student, teacher, 100.0).backward()
    assert_close(student.grad, (student.detach() - teacher) / 6, rtol=0.05, atol=1e-3)


def test_no_row_no_loss():
    assert soft_target_loss(torch.zeros(0, 5), torch.zeros(0, 5), 2.0) == 0


def test_padding_has_no_part_in_states():
    student = torch.tensor([[[1.0, 3.0], [0.0, 0.0], [9.0, 9.0]]])  # (1, 3, 2)
    teacher = torch.tensor([[[0.0, 0.0], [0.0, 2.0], [0.0, 0.0]]])
    mask = torch.tensor([[1, 1, 0]])
    assert hidden_state_loss(student, teacher, mask) == (5 + 2) / 2
    assert hidden_state_loss(student[:, :2], teacher[:, :2]) == (5 + 2) / 2


def test_padding_has_no_part_in_maps():
    """As a query and as a key; rows with fewer tokens weigh as many tokens as they have."""
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 2, 3, 5, 5)  # two rows, three heads
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    error = (student - teacher) ** 2
    by_query = [error[0, :, q].mean() for q in range(5)] + [
        error[1, :, q, :2].mean() for q in range(2)
    ]
    assert_close(attention_map_loss(student, teacher, mask), torch.stack(by_query).mean())
    alone = attention_map_loss(student[:1], teacher[:1])
    assert_close(alone, attention_map_loss(student[:1], teacher[:1], mask[:1]))


def test_padding_has_no_part_in_relations():
    torch.manual_seed(0)
    student, teacher = torch.randn(1, 6, 8), torch.randn(1, 6, 16)
    mask = torch.tensor([[1, 1, 1, 1, 0, 0]])

    def both(heads, mask, length):
        return [relations(x[:, :length], x[:, :length], heads, mask) for x in (student, teacher)]

    for heads in (1, 2, 4):
        whole = relation_loss(*both(heads, mask, 6), mask)
        assert_close(whole, relation_loss(*both(heads, None, 4)))


def test_relations_by_hand():
    """Two tokens, one head of size 4: softmax of inner products over sqrt(4)."""
    x = torch.tensor([[[2.0, 0, 0, 0], [0, 2.0, 0, 0]]])  # (1, 2, 4)
    same = torch.tensor(2.0).exp() / (torch.tensor(2.0).exp() + 1)
    want = torch.stack([torch.stack([same, 1 - same]), torch.stack([1 - same, same])])
    assert_close(relations(x, x, 1).exp()[0, 0], want)


def test_relation_loss_is_torchs_divergence():
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 3, 4, 5, 5).log_softmax(-1)
    want = nn.KLDivLoss(reduction="batchmean", log_target=True)(
        student.flatten(0, 2), teacher.flatten(0, 2)
    )
    assert_close(relation_loss(student, teacher), want)


def test_what_is_seen_is_what_transformers_has(tmp_path):
    """Hidden states and attention of the same folder; queries to keys are the attention itself."""
    ours = model()
    ours.save_pretrained(tmp_path)
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(
        tmp_path, attn_implementation="eager"
    ).eval()
    batch = padded_batch()
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        seen = run_model(ours, batch, ("query", "key"))
        want = theirs(**inputs, output_hidden_states=True, output_attentions=True)
    real = batch["attention_mask"].bool()
    assert_close(seen.logits, want.logits[batch["labels"] != -100], rtol=1e-4, atol=1e-4)
    for state, wanted in zip(seen.hidden_states, want.hidden_states, strict=True):
        assert_close(state[real], wanted[real], rtol=1e-4, atol=1e-4)
    for query, key, wanted in zip(
        seen.vectors["query"], seen.vectors["key"], want.attentions, strict=True
    ):
        weights = relations(query, key, 4, batch["attention_mask"]).exp()
        assert_close(weights, wanted, rtol=1e-4, atol=1e-5)
        scores = attention_scores(query, key, 4)
        hidden_keys = ~real[:, None, None]
        assert_close(scores.masked_fill(hidden_keys, -1e30).softmax(-1), weights)


# Layers


@pytest.mark.parametrize(
    ("student", "teacher", "want"),
    [
        (2, 4, (1, 3)),
        (4, 12, (2, 5, 8, 11)),
        (6, 12, (1, 3, 5, 7, 9, 11)),
        (3, 4, (0, 1, 3)),
        (1, 4, (3,)),
        (4, 4, (0, 1, 2, 3)),
    ],
)
def test_layer_map(student, teacher, want):
    assert layer_map(student, teacher) == want


@pytest.mark.parametrize("sizes", [(5, 4), (0, 4)])
def test_a_student_with_more_layers_has_no_map(sizes):
    with pytest.raises(ValueError, match="cannot imitate"):
        layer_map(*sizes)


# Who learns


@pytest.mark.parametrize("transfer", EVERYTHING)
def test_the_teachers_own_weights_leave_nothing_to_learn(transfer):
    teacher, student = model(), model()
    transfer = replace(transfer, alpha=0.0)
    learner = StudentAndProjections(student, teacher.config, transfer)
    sums = DistillationObjective(teacher, student, transfer).sums(learner, padded_batch())
    losses = {name: value.item() for name, value in sums.items() if name.endswith("_loss")}
    assert set(losses) == {"hard_loss", "soft_loss", "hidden_loss", "attention_loss"}
    assert losses == pytest.approx(dict.fromkeys(losses, 0.0), abs=1e-4)
    other = DistillationObjective(teacher, other_student := model(seed=1), transfer).sums(
        StudentAndProjections(other_student, teacher.config, transfer), padded_batch()
    )
    assert all(other[n] > 1 for n in losses if n != "hard_loss")


@pytest.mark.parametrize("transfer", EVERYTHING)
def test_only_student_and_projections_learn(transfer):
    teacher, student = model(), model(seed=1, layers=2, hidden=32)
    learner = StudentAndProjections(student, teacher.config, transfer)
    assert not {id(p) for p in teacher.parameters()} & {id(p) for p in learner.parameters()}
    loss_of(DistillationObjective(teacher, student, transfer), learner, [padded_batch()]).backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert len(learner.projections) == 3
    for name, parameter in learner.named_parameters():
        no_use = name.endswith("key.bias") and transfer.attention == "none"
        assert no_use or (parameter.grad is not None and parameter.grad.abs().sum() > 0), name


def test_the_parts_are_weighed_as_they_say():
    teacher, student, batch = model(), model(seed=1, layers=2, hidden=32), padded_batch()
    plain = Transfer(alpha=0.5, hidden_weight=1.0, attention="relations")
    learner = StudentAndProjections(student, teacher.config, plain)
    once = DistillationObjective(teacher, student, plain).sums(learner, batch)
    other = replace(plain, alpha=0.25, hidden_weight=3.0, attention_weight=2.0)
    again = DistillationObjective(teacher, student, other).sums(learner, batch)
    factors = {"hard_loss": 0.5, "soft_loss": 1.5, "hidden_loss": 3.0, "attention_loss": 2.0}
    for name, factor in factors.items():
        assert_close(again[name], once[name] * factor)
    out = student(**batch)
    masked = (batch["labels"] != -100).sum()
    assert_close(once["cross_entropy"], out.mlm_loss * masked)
    assert_close(once["hard_loss"], out.mlm_loss * masked / 2)
    assert once["mlm_accuracy"] == out.mlm_correct


def test_with_alpha_0_the_true_tokens_do_not_matter():
    teacher, student, batch = model(), model(seed=1, layers=2, hidden=32), padded_batch()
    wrong = {**batch, "labels": torch.where(batch["labels"] == -100, -100, 7)}
    gradients = []
    for given in (batch, wrong):
        for alpha in (0.0, 0.5):
            transfer = Transfer(alpha=alpha)
            learner = StudentAndProjections(student, teacher.config, transfer)
            student.zero_grad()
            loss_of(DistillationObjective(teacher, student, transfer), learner, [given]).backward()
            gradients.append(student.mlm_head.dense.weight.grad.clone())
    assert_close(gradients[0], gradients[2])
    assert not torch.allclose(gradients[1], gradients[3])


@pytest.mark.parametrize("transfer", EVERYTHING)
def test_accumulating_changes_nothing(transfer):
    """Rows of unlike length, in one piece and in three."""
    teacher, student, batch = model(), model(seed=1, layers=2, hidden=32), padded_batch()
    learner = StudentAndProjections(student, teacher.config, transfer)
    objective = DistillationObjective(teacher, student, transfer)
    whole = loss_of(objective, learner, [batch])
    assert_close(loss_of(objective, learner, cut(batch, 3)), whole, rtol=1e-5, atol=1e-5)


def test_a_teacher_left_in_training_teaches_without_dropout():
    teacher = model(hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5)
    student, batch = model(seed=1, layers=2, hidden=32), padded_batch()
    objective = DistillationObjective(teacher, student, EVERYTHING[0])
    learner = StudentAndProjections(student, teacher.config, EVERYTHING[0])
    want = objective.sums(learner, batch)
    teacher.train()
    assert_close(objective.sums(learner, batch), want)
    assert teacher.training  # as it was found


# Other heads


def head_batch(kind):
    batch = padded_batch()
    ids, mask = batch["input_ids"], batch["attention_mask"]
    if kind is BertForMultipleChoice:  # one question of three choices
        return {
            "input_ids": ids[None],
            "attention_mask": mask[None],
            "labels": torch.tensor([2]),
        }
    if kind is BertForTokenClassification:
        return {**batch, "labels": torch.where(batch["labels"] == -100, -100, ids % 2)}
    return {**batch, "labels": torch.tensor([1, 0, 1])}


@pytest.mark.parametrize(
    "kind", [BertForSequenceClassification, BertForTokenClassification, BertForMultipleChoice]
)
def test_a_fine_tuned_teacher_teaches_a_student_with_its_head(kind):
    teacher = model(kind=kind)
    student = model(seed=1, kind=kind, layers=2, hidden=32)
    batch = head_batch(kind)
    for transfer in EVERYTHING:
        objective = DistillationObjective(teacher, student, transfer)
        learner = StudentAndProjections(student, teacher.config, transfer)
        counts, sums = objective.counts(batch), objective.sums(learner, batch)
        assert set(sums) <= set(counts) and counts["tokens"] == 12 + 9 + 5
        assert_close(sums["cross_entropy"] / counts["cross_entropy"], student(**batch).loss)
        assert all(sums[n] > 0 for n in sums if n.endswith("_loss"))
        itself = DistillationObjective(teacher, teacher, transfer).sums(
            StudentAndProjections(teacher, teacher.config, transfer), batch
        )
        for name in ("soft_loss", "hidden_loss", "attention_loss"):
            assert itself[name].item() == pytest.approx(0, abs=1e-4)


# What is refused


@pytest.mark.parametrize(
    ("changes", "transfer", "says"),
    [
        ({"vocab_size": 80}, Transfer(), "75 tokens and the student 80"),
        ({"layers": 5}, Transfer(), "cannot imitate"),
        ({"hidden": 32, "heads": 2}, Transfer(attention="maps"), "the student has 2 heads and"),
        ({"hidden": 30, "heads": 2}, Transfer(attention="relations"), "student is 30 wide"),
    ],
)
def test_a_pair_that_does_not_fit_is_named(changes, transfer, says):
    with pytest.raises(ValueError, match=says):
        DistillationObjective(model(), model(**changes), transfer)


def test_heads_that_differ_are_named():
    with pytest.raises(ValueError, match="must have the same head"):
        DistillationObjective(model(), model(kind=BertForTokenClassification), Transfer())
    teacher, student = (
        BertForTokenClassification(config(), labels) for labels in (("a", "b"), ("b", "a"))
    )
    with pytest.raises(ValueError, match="in the same order"):
        DistillationObjective(teacher, student, Transfer())


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": 0.0},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"alpha": 1.1},
        {"alpha": float("nan")},
        {"hidden_weight": -1.0},
        {"attention_weight": float("nan")},
        {"attention": "all"},
    ],
)
def test_a_transfer_that_makes_no_sense_is_refused(values):
    with pytest.raises(ValueError, match=next(iter(values))):
        Transfer(**values)
