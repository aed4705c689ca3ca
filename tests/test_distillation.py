"""Distillation: each loss by hand and by a witness, who learns and who must not, and whole runs."""

import os
import re
import shutil
import signal
from dataclasses import asdict, replace

import pytest
import torch
import transformers
from click.testing import CliRunner
from safetensors.torch import load_file
from small_runs import small, small_texts
from torch import nn
from torch.testing import assert_close

import minibert
from minibert import BertConfig, BertForPreTraining
from minibert.cli import main
from minibert.data.corpora import load_corpus
from minibert.distillation.comparison import before_and_after, compare, mlm_accuracy
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
from minibert.distillation.run import DistillationRun, copy_layers, distill, read_distillation
from minibert.heads import (
    BertForMultipleChoice,
    BertForSequenceClassification,
    BertForTokenClassification,
)
from minibert.pretraining.recipes import make_batches
from minibert.pretraining.run import Run, cut, pretrain
from minibert.tokenizer import BertTokenizer
from minibert.training.history import read_history
from minibert.training.run_folder import REPORTS, Session, run_folder

pytestmark = pytest.mark.usefixtures("measured_on_less")

VOCAB = 75
HALF = Transfer(temperature=2.0, alpha=0.5)
EVERYTHING = (
    replace(HALF, hidden_weight=1.0, attention="maps"),
    replace(HALF, hidden_weight=0.5, attention="relations", attention_weight=2.0),
)


def config(layers=4, hidden=64, heads=4, **changes):
    values = {
        "vocab_size": VOCAB,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * hidden,
        "max_position_embeddings": 64,
        "initializer_range": 0.2,  # far from uniform guesses and attention
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    return BertConfig(**values | changes)


def model(seed=0, kind=BertForPreTraining, **changes):
    torch.manual_seed(seed)
    extra = {"next_sentence": False} if kind is BertForPreTraining else {}
    return kind(config(**changes), **extra).eval()


def padded_batch(seed=0):
    """Three rows of 12, 9 and 5 real tokens, and garbage in the padding."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, VOCAB, (3, 12), generator=generator)
    mask = torch.arange(12) < torch.tensor([[12], [9], [5]])
    labels = torch.where(torch.rand(3, 12, generator=generator) < 0.4, ids, -100)
    labels = torch.where(mask, labels, -100)
    labels[:, 1] = ids[:, 1]
    return {"input_ids": ids, "attention_mask": mask.long(), "labels": labels}


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


# Runs


@pytest.fixture(scope="module")
def corpus():
    return load_corpus(small_texts())


@pytest.fixture(scope="module")
def teacher_folder(corpus, tmp_path_factory):
    """A small BERT at its start, with the vocabulary of the texts."""
    out = tmp_path_factory.mktemp("teacher") / "run"
    tokenizer = BertTokenizer.train(
        [s for d in corpus.split()[0] for s in d.sentences], vocab_size=80
    )
    started = model(vocab_size=tokenizer.vocab_size, initializer_range=0.02)
    started.save_pretrained(out, tokenizer)
    return out


def small_distillation(teacher, steps=8, **changes):
    values = {
        "layers": 2,
        "hidden_size": 32,
        "heads": 4,
        "transfer": EVERYTHING[1],
        "recipe": small("fast", dropout=0.1),
    }
    return DistillationRun(str(teacher), "texts", steps=steps, **values | changes)


@pytest.fixture(scope="module")
def student_folder(corpus, teacher_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("student") / "run"
    assert distill(corpus, out, small_distillation(teacher_folder))
    return out


def test_the_folder_is_a_hugging_face_model_of_the_student_alone(student_folder):
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(student_folder).eval()
    ours, tokenizer = minibert.load(student_folder)
    inputs = tokenizer(["The cat [MASK] a dog."], return_tensors="pt")
    with torch.no_grad():
        assert_close(
            ours(**inputs).prediction_logits, theirs(**inputs).logits, atol=1e-5, rtol=1e-5
        )
    assert theirs.config.hidden_size == 32
    assert not [n for n in ours.state_dict() if "projection" in n or "teacher" in n]


def test_a_run_leaves_the_teacher_as_it_was(corpus, teacher_folder, tmp_path, monkeypatch):
    """In its folder bitwise; and in memory, in eval mode, while the student drops out."""
    seen = []

    class Watched(DistillationObjective):
        def __init__(self, teacher, student, transfer):
            super().__init__(teacher, student, transfer)
            before = {n: t.clone() for n, t in teacher.state_dict().items()}
            seen.append((teacher, student, before))

    monkeypatch.setattr("minibert.distillation.run.DistillationObjective", Watched)
    before = {p: p.read_bytes() for p in teacher_folder.rglob("*") if p.is_file()}
    assert distill(corpus, tmp_path / "run", small_distillation(teacher_folder))
    assert {p: p.read_bytes() for p in teacher_folder.rglob("*") if p.is_file()} == before
    ((teacher, student, weights),) = seen
    assert not teacher.training and student.config.hidden_dropout_prob == 0.1
    assert all(torch.equal(t, weights[n]) for n, t in teacher.state_dict().items())
    (checkpoint,) = (tmp_path / "run" / "checkpoints").glob("*/model.safetensors")
    names = set(load_file(checkpoint))
    assert {name.split(".")[0] for name in names} == {"student", "projections"}


def test_a_stopped_run_resumes_bitwise_without_the_teachers_folder(
    corpus, teacher_folder, student_folder, tmp_path, monkeypatch
):
    teacher = tmp_path / "teacher"
    shutil.copytree(teacher_folder, teacher)
    run, out = small_distillation(teacher), tmp_path / "run"

    def first_batch_and_stop(*arguments):
        batches = make_batches(*arguments)
        stops = iter([signal.SIGTERM])

        def stopping(step):
            for number in stops:
                os.kill(os.getpid(), number)
            return batches(step)

        return stopping

    with monkeypatch.context() as patch:
        patch.setattr("minibert.distillation.run.make_batches", first_batch_and_stop)
        assert not distill(corpus, out, run)
    assert [p.name for p in (out / "checkpoints").iterdir()] == ["step-000000001"]
    shutil.rmtree(teacher)
    assert distill(corpus, out, run, Session(resume=True))
    for name in ("model.safetensors", "config.json", "vocab.txt"):
        assert (out / name).read_bytes() == (student_folder / name).read_bytes(), name


def test_alone_is_what_pretraining_would_be(corpus, teacher_folder, tmp_path):
    recipe = small("fast")
    alone = small_distillation(
        teacher_folder, hidden_size=128, heads=2, transfer=None, recipe=recipe
    )
    assert distill(corpus, tmp_path / "alone", alone)
    assert pretrain(
        corpus, tmp_path / "plain", Run("texts", "tiny", recipe, steps=8, vocab_size=80)
    )
    for name in ("model.safetensors", "vocab.txt"):
        one, other = (tmp_path / folder / name for folder in ("alone", "plain"))
        assert one.read_bytes() == other.read_bytes()
    measured = [
        [line["held_out"] for line in read_history(tmp_path / folder) if "held_out" in line]
        for folder in ("alone", "plain")
    ]
    assert measured[0] == measured[1]


def test_a_student_as_wide_as_its_teacher_starts_from_its_layers():
    teacher, student = model(layers=4), model(seed=1, layers=2)
    copy_layers(teacher, student, layer_map(2, 4))
    for mine, theirs in enumerate((1, 3)):
        got, want = student.bert.encoder.layers[mine], teacher.bert.encoder.layers[theirs]
        assert all(torch.equal(v, want.state_dict()[n]) for n, v in got.state_dict().items())
    whole = model(seed=1, layers=4, max_position_embeddings=32)
    copy_layers(teacher, whole, layer_map(4, 4))
    batch = padded_batch()
    assert torch.equal(whole(**batch).prediction_logits, teacher(**batch).prediction_logits)
    assert whole.mlm_head.decoder.weight is whole.bert.embeddings.word_embeddings.weight


def test_a_run_begins_with_the_teachers_layers_where_it_can(corpus, teacher_folder, tmp_path):
    recipe = small("fast", lr=1e-12, matrix_lr=1e-12)
    run = small_distillation(teacher_folder, layers=4, hidden_size=64, steps=1, recipe=recipe)
    assert distill(corpus, tmp_path / "run", run)
    student, _ = minibert.load(tmp_path / "run")
    teacher, _ = minibert.load(teacher_folder)
    name = "bert.encoder.layers.2.attention.query.weight"
    assert_close(student.state_dict()[name], teacher.state_dict()[name])


def test_a_student_learns_from_its_teacher_alone(corpus, tmp_path):
    """With alpha 0 it never hears of the true token, and yet comes to guess as its teacher does."""
    recipe = small("fast")
    assert pretrain(
        corpus, tmp_path / "teacher", Run("texts", "tiny", recipe, steps=200, vocab_size=80)
    )
    run = small_distillation(
        tmp_path / "teacher", steps=200, recipe=recipe, transfer=Transfer(alpha=0.0), hidden_size=64
    )
    assert distill(corpus, tmp_path / "run", run)
    lines = [line for line in read_history(tmp_path / "run") if "soft_loss" in line]
    assert all(line["hard_loss"] == 0 for line in lines)
    assert lines[-1]["soft_loss"] < 0.3 * lines[0]["soft_loss"]
    found = before_and_after(tmp_path / "run")
    assert found["student"]["mlm_accuracy"] > 2 * found["most_frequent"]["mlm_accuracy"]


def test_before_and_after(student_folder, teacher_folder):
    found = before_and_after(student_folder)
    assert list(found) == ["teacher", "student", "most_frequent", "neighbours"]
    history = read_history(student_folder)
    last = [line["held_out"] for line in history if "held_out" in line][-1]
    # held out in bfloat16 where the processor has it
    assert found["student"]["mlm_accuracy"] == pytest.approx(last["mlm_accuracy"], abs=0.01)
    layer = 4 * (32 * 32 + 32) + 2 * 32 * 128 + 128 + 32 + 4 * 32
    without = (64 + 2) * 32 + 2 * 32 + 2 * layer + 32 * 32 + 32 + 2 * 32 + VOCAB
    assert found["student"]["weights_without_tokens"] == without
    assert found["student"]["weights"] == without + VOCAB * 32
    assert found["student"]["megabytes"] == pytest.approx((without + VOCAB * 32) * 4e-6)
    assert all(
        found[n][f"tokens_per_second_{b}"] > 0 for n in ("teacher", "student") for b in (1, 32)
    )


def test_accuracy_is_measured_without_dropout():
    tested = model(hidden_dropout_prob=0.5).train()
    batches = [padded_batch(seed) for seed in range(4)]
    found = mlm_accuracy(tested, batches)
    assert tested.training
    tested.eval()
    logits = [tested(**b).prediction_logits.argmax(-1) for b in batches]
    right = sum((x == b["labels"]).sum() for x, b in zip(logits, batches, strict=True))
    asked = sum((b["labels"] != -100).sum() for b in batches)
    assert found == right / asked
    assert compare({"it": tested}, batches, rounds=1)["it"]["mlm_accuracy"] == found


def test_a_run_is_remembered(student_folder, teacher_folder, corpus):
    run = small_distillation(teacher_folder)
    assert asdict(read_distillation(student_folder)) == asdict(run)
    with pytest.raises(ValueError, match=r"transfer\.temperature was 2\.0, now 5\.0"):
        other = replace(run, transfer=replace(run.transfer, temperature=5.0))
        distill(corpus, student_folder, other, Session(resume=True))
    with pytest.raises(ValueError, match=r"seed was 0, now 1; transfer was"):
        distill(corpus, student_folder, replace(run, seed=1, transfer=None), Session(resume=True))


def test_overwriting_leaves_nothing_of_the_earlier_run(student_folder, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(student_folder, out)
    before_and_after(out)
    for name in REPORTS:  # the demo's too
        (out / name).touch()
    with run_folder(out, Session(overwrite=True)):
        assert {p.name for p in out.iterdir()} == {".lock", "run.json"}


# The command


def command(*arguments, expect=0):
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == expect, result.output
    assert "Traceback" not in result.output
    return result.output


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    for number, text in enumerate(small_texts()):
        (folder / f"{number:02}.txt").write_text(text, encoding="utf-8")
    return folder


def test_the_command(teacher_folder, texts, tmp_path):
    out, size = tmp_path / "run", ("--layers", 2, "--hidden", 32, "--heads", 4)
    options = ("-o", out, *size, "--steps", 2)
    shown = command("distill", teacher_folder, texts, *options)
    for name in ("teacher", "student", "counting neighbours", "most frequent token"):
        assert re.search(rf"{name} +\d+\.\d% of masked tokens right", shown), name
    assert read_distillation(out).transfer == Transfer()
    assert str(teacher_folder) in command("info", out)
    command("distill", teacher_folder, texts, "-o", out, "--resume")
    command("distill", teacher_folder, texts, *options, "--alone", "--overwrite")
    assert read_distillation(out).transfer is None
    command("distill", teacher_folder, texts, "-o", out, "--resume")
    assert "teacher       none" in command("info", out)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{teacher}", "{texts}", "-o", "{new}"], "--steps or --minutes"),
        (["nowhere/at/all", "{texts}", "-o", "{new}", "--steps", "1"], "is not a directory"),
        (["{body}", "{texts}", "-o", "{new}", "--steps", "1"], "no head that guesses"),
        (["{short}", "{texts}", "-o", "{new}", "--steps", "1"], "reads 16 tokens at most"),
        (["{teacher}", "nowhere", "-o", "{new}", "--steps", "1"], "no corpus 'nowhere'"),
        (["{teacher}", "{texts}", "-o", "{new}", "--steps", "1", "--layers", "9"], "9 layers"),
        (
            ["{teacher}", "{texts}", "-o", "{new}", "--steps", "1", "--heads", "3"],
            "does not divide",
        ),
        (["{teacher}", "{texts}", "-o", "{new}", "--resume"], "there is no run"),
        (["{teacher}", "{texts}", "-o", "{student}", "--steps", "1"], "--overwrite begins anew"),
        (
            ["{student}", "{texts}", "-o", "{student}", "--steps", "1", "--overwrite"],
            "which the student would replace",
        ),
        (["{teacher}", "{texts}", "-o", "{plain}", "--resume"], "is not a distillation"),
    ],
)
def test_one_line_says_what_is_wrong(
    arguments, says, teacher_folder, student_folder, texts, tmp_path
):
    places = {"teacher": teacher_folder, "student": student_folder, "texts": texts}
    places |= {name: tmp_path / name for name in ("new", "body", "short", "plain")}
    tokenizer = BertTokenizer.from_pretrained(teacher_folder)
    model().bert.save_pretrained(places["body"], tokenizer)
    model(max_position_embeddings=16).save_pretrained(places["short"], tokenizer)
    places["plain"].mkdir()
    (places["plain"] / "run.json").write_text('{"recipe": {}, "preset": "tiny"}')
    before = (student_folder / "model.safetensors").read_bytes()
    shown = command("distill", *(a.format(**places) for a in arguments), expect=2)
    assert shown.splitlines()[-1].startswith("Error: ") and says in shown
    assert not places["new"].exists()
    assert (student_folder / "model.safetensors").read_bytes() == before
