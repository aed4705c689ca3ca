"""The training loop: exact resume, safe saving, stopping, and loss over everything."""

import contextlib
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from toy_trainer import Squares, Toy, toy, toy_batch
from tqdm import tqdm

from minibert.training import checkpoints
from minibert.training import trainer as trainer_module
from minibert.training.history import read_history
from minibert.training.trainer import Plan

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks the process to kill it")


def last_checkpoint(out):
    return sorted((out / "checkpoints").glob("step-*"))[-1]


def assert_same_run(one, other):
    """Weights, optimisers' state and history are bitwise the same."""
    a, b = last_checkpoint(one), last_checkpoint(other)
    assert a.name == b.name
    for name in ("model.safetensors", "optimizers.pt"):
        assert (a / name).read_bytes() == (b / name).read_bytes(), name

    def timeless(out):
        return [
            {k: v for k, v in line.items() if k not in ("seconds", "tokens_per_second")}
            for line in read_history(out)
        ]

    assert timeless(one) == timeless(other)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole")
    assert toy(out).train()
    return out


def stop_after(step, trainer):
    """A batch function that raises SIGTERM when the batch of `step` is asked for."""
    batches = trainer.data.batches

    def stopping(number):
        if number == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return batches(number)

    trainer.data = replace(trainer.data, batches=stopping)
    return trainer


@pytest.mark.parametrize("stops", [[0], [1, 2, 3], [5], [13], [20, 21], [38], [39]])
def test_resume_is_bitwise(tmp_path, whole, stops):
    for step in stops:
        trainer = toy(tmp_path)
        assert trainer.resume() is None
        finished = stop_after(step, trainer).train()
        assert finished == (step == 39)
        assert trainer.step == step + 1  # the step was finished, and saved
    trainer = toy(tmp_path)
    trainer.resume()
    assert trainer.step == stops[-1] + 1
    assert trainer.train()
    assert_same_run(whole, tmp_path)


def test_negative_control_of_resume(tmp_path, whole):
    """The comparison above sees a difference where there is one: one number off in one moment."""
    trainer = toy(tmp_path)
    stop_after(13, trainer).train()
    trainer = toy(tmp_path)
    trainer.resume()
    state = trainer.optimizers[0].state[next(trainer.model.parameters())]
    state["exp_avg"].view(-1)[0] += 1e-6
    trainer.train()
    with pytest.raises(AssertionError, match=r"model\.safetensors"):
        assert_same_run(whole, tmp_path)


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    toy(tmp_path).train()
    before = (tmp_path / "history.jsonl").read_text()
    trainer = toy(tmp_path)
    trainer.resume()
    assert trainer.train()
    assert (tmp_path / "history.jsonl").read_text() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_handlers_are_given_back(tmp_path, number):
    before = signal.getsignal(number)
    toy(tmp_path, steps=2).train()
    assert signal.getsignal(number) is before


# Killing


def in_child(work):
    """Run `work` in a forked process; its process id."""
    if child := os.fork():
        return child
    # tqdm's own lock is a semaphore that a forked process shares with us: a child that is killed
    # while it draws its bar would hold it for ever, and no bar could be drawn here again.
    tqdm.set_lock(threading.RLock())
    code = 1
    try:
        with open(os.devnull, "w") as null, contextlib.redirect_stderr(null):
            work()
        code = 0
    finally:
        os._exit(code)


def kill_at_call(name, number):
    """Make the `number`-th call of a function that saving uses the process's last act."""
    function = getattr(checkpoints, name)
    calls = iter(range(1, 10**9))

    def deadly(*args, **kwargs):
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)

    setattr(checkpoints, name, deadly)


@needs_fork
@pytest.mark.parametrize("kills", [6, pytest.param(30, marks=pytest.mark.long)])
def test_kills(tmp_path, whole, kills):
    """kill -9 at random moments, every third one inside a save; then it ends bitwise the same."""
    rng = random.Random(0)
    killed = inside = 0
    while killed < kills:
        out = tmp_path / "run"

        forced = (rng.choice(["to_disk", "sha256"]), rng.randint(1, 12))

        def work(forced=forced if killed % 3 == 0 else None, out=out):
            if forced:
                kill_at_call(*forced)
            trainer = toy(out)
            trainer.resume()
            trainer.train()

        child = in_child(work)
        if killed % 3:
            time.sleep(rng.uniform(0.002, 0.15))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            killed += 1
            inside += any((out / "checkpoints").glob("writing-*"))
        else:
            assert os.WEXITSTATUS(status) == 0
            assert_same_run(whole, out)
            shutil.rmtree(out)
    assert inside >= kills // 6, "hardly any kill fell into a save"
    trainer = toy(out)
    trainer.resume()
    assert trainer.train()
    assert_same_run(whole, out)


# Damage


@pytest.mark.parametrize(
    "file", ["model.safetensors", "optimizers.pt", "state.json", "sha256.json"]
)
@pytest.mark.parametrize("how", ["truncated", "altered", "gone"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path, whole, file, how):
    """And so are the lines of the history that belong to its steps."""
    stop_after(20, toy(tmp_path)).train()
    newest = last_checkpoint(tmp_path) / file
    data = newest.read_bytes()
    if how == "truncated":
        newest.write_bytes(data[: len(data) // 2])
    elif how == "altered":
        newest.write_bytes(data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])
    else:
        newest.unlink()
    trainer = toy(tmp_path)
    warning = trainer.resume()
    assert "step-000000021 is damaged" in warning and "continuing from step-000000020" in warning
    assert trainer.train()
    assert_same_run(whole, tmp_path)


def test_a_damaged_checkpoint_is_put_aside_and_not_removed(tmp_path):
    stop_after(17, toy(tmp_path)).train()
    (last_checkpoint(tmp_path) / "sha256.json").write_text("[]")
    (tmp_path / "checkpoints" / "writing-000000099").mkdir()
    toy(tmp_path).resume()
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == ["damaged-000000018", "step-000000015"]


def test_slow_steps_are_saved_by_the_clock(tmp_path, whole, monkeypatch):
    monkeypatch.setattr("minibert.training.trainer.SECONDS_BETWEEN_SAVES", 0.0)
    trainer = toy(tmp_path, save_every=1000)
    stop_after(17, trainer).train()
    assert [p.name[-2:] for p in sorted(tmp_path.glob("checkpoints/*"))] == ["17", "18"]


def test_no_whole_checkpoint_is_an_error(tmp_path):
    stop_after(3, toy(tmp_path)).train()
    (last_checkpoint(tmp_path) / "state.json").write_text("{}")
    with pytest.raises(ValueError, match=r"no checkpoint in .* is whole"):
        toy(tmp_path).resume()


def test_other_settings_are_listed(tmp_path):
    stop_after(3, toy(tmp_path)).train()
    with pytest.raises(ValueError, match="other settings: seed was 0, now 1; steps was 40, now 41"):
        toy(tmp_path, steps=41, seed=1).resume()


def limit_file_size(size):
    import resource  # not on Windows, where nothing forks either

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@needs_fork
@pytest.mark.parametrize(("size", "what"), [(2500, "save .*step-000000015"), (300, "write to")])
def test_a_full_disk_loses_nothing(tmp_path, whole, size, what):
    """No file may grow any more: that is said, and the checkpoint before is whole."""
    stop_after(9, toy(tmp_path)).train()
    trainer = toy(tmp_path)
    trainer.resume()

    def work():
        limit_file_size(size)
        with pytest.raises(OSError, match=rf"cannot {what}.*checkpoint is .*step-000000010"):
            trainer.train()

    _, status = os.waitpid(in_child(work), 0)
    assert os.WEXITSTATUS(status) == 0
    assert not list((tmp_path / "checkpoints").glob("writing-*"))
    trainer = toy(tmp_path)
    trainer.resume()
    trainer.train()
    assert_same_run(whole, tmp_path)


def test_a_loss_that_is_not_a_number_stops_the_run(tmp_path):
    def batches(step):
        batch = toy_batch(step)
        if step == 12:
            batch["y"][0] = float("nan")
        return [batch]

    trainer = toy(tmp_path, batches=batches)
    with pytest.raises(FloatingPointError, match=r"nan at step 12: .*step-000000010"):
        trainer.train()
    tensors = load_file(last_checkpoint(tmp_path) / "model.safetensors")
    assert all(tensor.isfinite().all() for tensor in tensors.values())


# What is learned from


class Uneven(Squares):
    """Only rows whose first number is above a bound count: a different number in each batch."""

    def counts(self, batch):
        number = int((batch["x"][:, 0] > 0).sum())
        return {"tokens": len(batch["x"]), "square_loss": number}

    def sums(self, model, batch):
        counted = batch["x"][:, 0] > 0
        error = model(batch["x"])[:, 0] - batch["y"]
        return {"square_loss": (error[counted] ** 2).sum()}


@pytest.fixture
def no_clipping(monkeypatch):
    monkeypatch.setattr("minibert.training.trainer.MAX_GRADIENT_NORM", 1e9)


def gradient_after_a_step(out, batches, objective):
    trainer = toy(out, steps=1, batches=batches, objective=objective)
    trainer.model.layers[1].p = 0.0
    trainer.train()
    return torch.cat([p.grad.flatten() for p in trainer.model.parameters()])


def test_accumulated_loss_is_the_mean_over_everything(tmp_path, no_clipping):
    batch = toy_batch(0, rows=16)
    parts = [{k: v[a:b] for k, v in batch.items()} for a, b in ((0, 3), (3, 9), (9, 16))]
    counts = [Uneven().counts(part)["square_loss"] for part in parts]
    assert len(set(counts)) > 1
    whole = gradient_after_a_step(tmp_path / "a", lambda step: [batch], Uneven())
    accumulated = gradient_after_a_step(tmp_path / "b", lambda step: parts, Uneven())
    torch.testing.assert_close(accumulated, whole, rtol=1e-5, atol=1e-6)

    class Naive(Uneven):  # the mean of the parts' means: the mistake
        def sums(self, model, batch):
            sums = super().sums(model, batch)
            mean = sums["square_loss"] / self.counts(batch)["square_loss"]
            return {"square_loss": mean * sum(counts) / len(parts)}

    naive = gradient_after_a_step(tmp_path / "c", lambda step: parts, Naive())
    assert (naive - whole).norm() / whole.norm() > 0.01


def test_clipping_is_global(tmp_path, monkeypatch):
    monkeypatch.setattr("minibert.training.trainer.MAX_GRADIENT_NORM", 0.01)
    trainer = toy(tmp_path, steps=1)
    trainer.train()
    norms = torch.stack([p.grad.norm() for p in trainer.model.parameters()])
    assert norms.norm().item() == pytest.approx(0.01, rel=1e-3)
    assert norms.max() < 0.01


def test_dropout_differs_from_step_to_step_and_depends_on_the_seed(tmp_path):
    """The random numbers of a step are a function of (seed, step): never those of another."""
    drawn = {}
    for seed in (0, 1):
        trainer = toy(tmp_path / str(seed), steps=4, seed=seed)
        keep = drawn.setdefault(seed, [])
        trainer.model.layers[1].register_forward_hook(
            lambda module, inputs, output, keep=keep: (
                keep.append(output == 0) if module.training else None
            )
        )
        trainer.train()
    masks = [mask for seed in drawn for mask in drawn[seed]]
    assert len(masks) == 8
    same = [torch.equal(a, b) for i, a in enumerate(masks) for b in masks[:i]]
    assert not any(same)


def test_schedule_reaches_every_optimizer(tmp_path):
    seen = []
    trainer = toy(tmp_path, steps=4)
    step = trainer.optimizers[0].step
    trainer.optimizers[0].step = lambda: (
        seen.append([o.param_groups[0]["lr"] for o in trainer.optimizers]),
        step(),
    )
    trainer.train()
    assert seen == [pytest.approx([0.01 * f, 0.1 * f]) for f in (1, 0.75, 0.5, 0.25)]


def test_half_a_line_of_history_is_left_out(tmp_path, whole):
    shutil.copy(whole / "history.jsonl", tmp_path)
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"step": 99, "lo')
    assert read_history(tmp_path) == read_history(whole)


def test_history_holds_means_and_held_out(tmp_path, whole):
    lines = read_history(whole)
    assert [line["step"] for line in lines if "square_loss" in line] == [7, 14, 21, 28, 35, 40]
    held_out = [line for line in lines if "held_out" in line]
    assert [line["step"] for line in held_out] == [10, 20, 30, 40]
    assert held_out[-1]["held_out"]["loss"] < held_out[0]["held_out"]["loss"]
    # By the slow way, from the saved weights.
    model = Toy().eval()
    model.load_state_dict(load_file(last_checkpoint(whole) / "model.safetensors"))
    batch = toy_batch(10_000)
    with torch.no_grad():
        loss = torch.nn.functional.mse_loss(model(batch["x"])[:, 0], batch["y"])
    assert held_out[-1]["held_out"]["loss"] == pytest.approx(loss.item(), rel=1e-5)


def test_training_learns(whole):
    lines = [line for line in read_history(whole) if "square_loss" in line]
    losses = {line["step"]: line["loss"] for line in lines}  # each the mean of seven steps
    assert losses[35] < 0.8 * losses[7]


def test_minutes_end_a_run(tmp_path):
    trainer = toy(tmp_path, steps=None, minutes=0.3 / 60)
    assert trainer.train()
    assert trainer.seconds >= 0.3 and trainer.step > 1
    again = toy(tmp_path, steps=None, minutes=0.3 / 60)
    again.resume()
    assert again.step == trainer.step
    assert again.train() and again.step == trainer.step


@pytest.mark.parametrize("plan", [{}, {"steps": 1, "minutes": 1.0}, {"steps": 0}, {"minutes": -1}])
def test_a_plan_says_how_long(plan):
    with pytest.raises(ValueError):
        Plan(**plan)


@needs_fork
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_a_real_process_cleanly(tmp_path, whole, number):
    """It finishes its step, saves, and returns; the run can be resumed."""
    (hears, at_work), (waits, go_on) = os.pipe(), os.pipe()

    def batches(step):
        if step == 3:
            os.write(at_work, b".")
            os.read(waits, 1)
        return [toy_batch(step)]

    def work():
        assert not toy(tmp_path, batches=batches).train()

    child = in_child(work)
    assert os.read(hears, 1)
    os.kill(child, number)
    os.write(go_on, b".")
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    trainer = toy(tmp_path)
    trainer.resume()
    assert trainer.step == 4
    trainer.train()
    assert_same_run(whole, tmp_path)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators need no telling")
def test_freed_memory_is_used_again():
    """The kernel gives each page once, not once for each tensor; at the end it gets them back."""
    program = """if True:
        import psutil, resource, torch
        from minibert.training.hardware import keep_freed_memory, return_freed_memory
        def pages():
            for _ in range(20):  # the heap has found its size after a few
                torch.ones(1 << 24)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for _ in range(20):
                torch.ones(1 << 24)
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        def megabytes():
            return psutil.Process().memory_info().rss >> 20
        print(pages())
        keep_freed_memory()
        print(pages(), megabytes())
        return_freed_memory()
        print(megabytes())
    """
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    before, kept, full, trimmed = map(int, done.stdout.split())
    assert kept < 20 < before
    assert trimmed < full - 60  # a tensor has 64 MB


def test_memory_is_kept_while_training_alone(tmp_path, monkeypatch):
    """And returned when a run ends, also on an error."""
    calls = []
    for name in ("keep_freed_memory", "return_freed_memory"):
        monkeypatch.setattr(trainer_module, name, lambda name=name: calls.append(name))
    toy(tmp_path / "one", steps=1).train()
    assert calls == ["keep_freed_memory", "return_freed_memory"]
    with pytest.raises(ZeroDivisionError):
        toy(tmp_path / "two", batches=lambda step: 1 // 0).train()
    assert calls == 2 * ["keep_freed_memory", "return_freed_memory"]
