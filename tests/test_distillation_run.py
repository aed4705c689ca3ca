"""Whole runs of distillation: what they write, resume, remember and refuse."""

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
from torch.testing import assert_close
from toy_distillation import EVERYTHING, VOCAB, model, padded_batch

import minibert
from minibert.cli import main
from minibert.data.corpora import load_corpus
from minibert.distillation.comparison import before_and_after, compare, mlm_accuracy
from minibert.distillation.objective import (
    DistillationObjective,
    Transfer,
    layer_map,
)
from minibert.distillation.run import DistillationRun, copy_layers, distill, read_distillation
from minibert.pretraining.recipes import make_batches
from minibert.pretraining.run import Run, pretrain
from minibert.tokenizer import BertTokenizer
from minibert.training.history import read_history
from minibert.training.run_folder import REPORTS, Session, run_folder

pytestmark = pytest.mark.usefixtures("measured_on_less")


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
