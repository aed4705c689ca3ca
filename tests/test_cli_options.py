"""What is typed arrives: options of commands that work for long, of which only the call is made."""

from pathlib import Path

import pytest
from command import run
from small_runs import small_texts

from minibert.course.grading import Limits
from minibert.distillation.objective import Transfer
from minibert.pretraining.recipes import RECIPES


@pytest.fixture
def called(monkeypatch):
    """Replaces a function of the package. Its arguments are kept, and `returned` comes back."""

    def replace(place, returned):
        calls = []
        monkeypatch.setattr(place, lambda *args, **named: calls.append((args, named)) or returned)
        return calls

    return replace


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    file = tmp_path_factory.mktemp("text") / "text.txt"
    file.write_text("\n\n".join(small_texts()), encoding="utf-8")
    return file


def values(settings, names):
    return {name: getattr(settings, name) for name in names}


def test_pretrain(called, text, tmp_path):
    calls = called("minibert.pretraining.run.pretrain", True)
    of_recipe = {
        "init": "random", "lr": 0.25, "batch_size": 5, "max_length": 10, "dropout": 0.5,
    }  # fmt: skip
    of_run = {"preset": "mini", "steps": 9, "seed": 7, "vocab_size": 99, "accumulate": 3}
    options = [f"--{n.replace('_', '-')}={value}" for n, value in (of_recipe | of_run).items()]
    begin = ("pretrain", text, "-o", tmp_path / "out")
    run(*begin, *options, "--recipe=speedrun", "--snapshots", "--overwrite")
    (_, out, made, session), named = calls.pop()
    assert out == tmp_path / "out" and named == {"snapshots": True, "sharded": False}
    assert (session.resume, session.overwrite) == (False, True)
    assert values(made, of_run) == of_run and values(made.recipe, of_recipe) == of_recipe
    assert made.recipe.objective == RECIPES["speedrun"].objective
    assert made.recipe.optimizer == RECIPES["speedrun"].optimizer == "muon"

    run(*begin, "--minutes", 1.5)
    (_, _, made, session), named = calls.pop()
    assert (made.minutes, made.steps, made.seed, made.start) == (1.5, None, 0, None)
    assert made.recipe == RECIPES["original"] and named == {"snapshots": False, "sharded": False}
    assert (session.resume, session.overwrite) == (False, False)

    run(*begin, "--steps", 1, "--from", "mini", "--shard")
    (_, _, made, _), named = calls.pop()
    assert (made.start, made.recipe, named["sharded"]) == ("mini", RECIPES["continue"], True)


def test_a_stopped_pretrain_says_how_to_go_on(called, text, tmp_path):
    called("minibert.pretraining.run.pretrain", False)
    begin = ("pretrain", text, "-o", tmp_path / "my run", "--steps", 1)
    again = f"Continue with: minibert pretrain {text} -o '{tmp_path / 'my run'}' --resume"
    assert run(*begin).endswith(f"{again}\n")
    assert run(*begin, "--shard").endswith(f"{again} --shard\n")


def test_distill(called, text, tmp_path):
    calls = called("minibert.distillation.run.distill", False)
    of_run = {"steps": 9, "layers": 3, "heads": 8, "seed": 7}
    options = [f"--{n.replace('_', '-')}={value}" for n, value in of_run.items()]
    begin = ("distill", "mini", text, "-o", tmp_path / "out")
    shown = run(*begin, *options, "--hidden=256", "--overwrite")
    assert shown.endswith(
        f"Continue with: minibert distill mini {text} -o {tmp_path / 'out'} --resume\n"
    )
    (_, out, made, session), _ = calls.pop()
    assert (out, made.teacher, made.corpus) == (tmp_path / "out", "mini", str(text))
    assert values(made, of_run) == of_run and made.hidden_size == 256
    assert made.transfer == Transfer()
    assert (session.resume, session.overwrite) == (False, True)

    run(*begin, "--minutes", 1.5)
    (_, _, made, _), _ = calls.pop()
    assert (made.minutes, made.transfer) == (1.5, Transfer())
    assert (made.layers, made.hidden_size, made.heads, made.seed) == (2, 128, None, 0)


def test_prepare(called, text, tmp_path):
    calls = called("minibert.data.shards.prepare", 1)
    shown = run("prepare", text, "-o", tmp_path, "--vocab-size", 99, "--workers", 3)
    assert calls.pop()[0] == (str(text), tmp_path, 99, None, 3)
    assert f"Done: {tmp_path}, 1 shard." in shown
    run("prepare", text, "-o", tmp_path, "--from", "mini")
    assert calls.pop()[0][:4] == (str(text), tmp_path, None, "mini")


def test_grade(called, tmp_path):
    rows = [{"status": status} for status in ("graded", "not graded", "not attempted")]
    calls = called("minibert.course.grading.grade", rows)
    limits = ("--time-limit", 9, "--memory-limit", 1.5)
    shown = run("grade", "in", "-o", "out", "--exercises", "mine", "--jobs", 5, *limits)
    assert calls.pop()[0] == (Path("in"), Path("out"), Path("mine"), Limits(9, 1.5), 5)
    assert "3 notebooks, 1 of them not graded" in shown
    run("grade", "in", "-o", "out")
    assert calls.pop()[0] == (Path("in"), Path("out"), None, Limits(120, 4.0), 2)


def test_demo(called, tmp_path):
    calls = called("minibert.pretraining.run.pretrain", False)
    shown = run("demo", "-o", tmp_path / "my demo", "--minutes", 0.5, "--seed", 7)
    assert shown.endswith(f"minibert pretrain sotu -o '{tmp_path / 'my demo'}' --resume\n")
    (corpus, out, made, session), _ = calls.pop()
    assert (corpus.name, out) == ("sotu", tmp_path / "my demo")
    assert (made.minutes, made.steps, made.seed) == (0.5, None, 7)
    assert made.recipe == RECIPES["speedrun"] and session.overwrite
    run("demo", "-o", tmp_path)
    assert calls.pop()[0][2].minutes == 5
