"""Many processes take the same steps as one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import train_in_processes
from processes import in_processes

from minibert.training import processes as distributed
from minibert.training.history import read_history

SCRIPT = Path(__file__).with_name("train_in_processes.py")
CLOSE = {"rtol": 0, "atol": 1e-5}


def train(out, processes, **arguments):
    """Train in so many processes. Returns whether that succeeded."""
    out.mkdir(exist_ok=True)
    failure = in_processes(processes, out / "log.txt", train_in_processes.main, out, **arguments)
    print(failure)
    return not failure


def torchrun(out, processes, **arguments):
    """The same with torch's own command, as a user starts it."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={processes}", SCRIPT]
    done = subprocess.run(
        [*command, json.dumps({"out": str(out), **arguments})],
        env={**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    print(done.stderr)
    return done.returncode == 0


def end(out):
    return torch.load(out / "end.pt", weights_only=True)


def assert_close(one, other, what):
    for name, tensor in one[what].items():
        torch.testing.assert_close(other[what][name], tensor, **CLOSE, msg=name)


def seen(out):
    """What was trained on: step and rows, those of all processes together, sorted."""
    rows = {}
    for file in out.glob("seen-*.jsonl"):
        of_file = {}
        for line in file.read_text().splitlines():
            step, new = json.loads(line)
            of_file.setdefault(step, []).extend(new)
        for step, of_step in of_file.items():
            rows[step, file.name] = sorted(of_step)
    return rows


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Twenty steps of one process."""
    out = tmp_path_factory.mktemp("alone")
    assert train(out, 1)
    return out


@pytest.mark.parametrize(
    ("start", "accumulate", "sharded"),
    [
        (torchrun, 1, False),
        (train, 1, True),
        (train, 2, False),
        (train, 2, True),
    ],
)
def test_two_processes_take_the_steps_of_one(tmp_path, alone, start, accumulate, sharded):
    assert start(tmp_path, 2, accumulate=accumulate, sharded=sharded)
    assert_close(end(alone), end(tmp_path), "weights")
    assert_close(end(alone), end(tmp_path), "gradients")
    for line, other in zip(read_history(alone), read_history(tmp_path), strict=True):
        for name in ("loss", "mlm_loss", "nsp_loss", "mlm_accuracy"):
            if name in line:
                assert other[name] == pytest.approx(line[name], abs=1e-4), name


def test_the_naive_mean_does_not(tmp_path):
    """The comparison above sees the fault that it is there for, in the first gradient already."""
    for name, processes, naive in (("one", 1, False), ("two", 2, False), ("naive", 2, True)):
        arguments = {"steps": 1, "naive": naive}
        assert train(tmp_path / name, processes, **arguments)
    one, two, naive = (end(tmp_path / name) for name in ("one", "two", "naive"))
    assert_close(one, two, "gradients")
    with pytest.raises(AssertionError):
        assert_close(one, naive, "gradients")


@pytest.mark.parametrize(
    ("processes", "was_sharded", "sharded"),
    [
        (1, False, False),
        (3, False, False),
        (1, True, False),
        (3, False, True),
    ],
)
def test_a_run_of_two_resumes_on_any_number(tmp_path, alone, processes, was_sharded, sharded):
    """A signal to one of two stops both; others go on with the batches that come next."""
    assert train(tmp_path, 2, stop_at=6, sharded=was_sharded)
    assert (tmp_path / "checkpoints" / "step-000000007").exists()
    assert train(tmp_path, processes, resume=True, sharded=sharded)
    assert_close(end(alone), end(tmp_path), "weights")
    whole = {step: rows for (step, _), rows in seen(alone).items()}
    parts = seen(tmp_path)
    assert {step: rows for (step, _), rows in parts.items()} == whole
    assert len(parts) == len(whole)  # none of them twice


def test_a_process_that_is_killed_leaves_a_checkpoint(tmp_path, alone):
    assert not torchrun(tmp_path, 2, kill=10)
    assert not (tmp_path / "end.pt").exists()
    assert train(tmp_path, 2, resume=True)
    assert_close(end(alone), end(tmp_path), "weights")
    steps = [line["step"] for line in read_history(tmp_path) if "loss" in line]
    assert steps == list(range(1, 21))


@pytest.mark.parametrize(
    ("world", "here", "expected"),
    [
        (1, "1", ""),
        (2, "2", "torchrun --nproc-per-node 2 -m "),
        (64, "8", "torchrun ... -m "),
    ],
)
def test_the_command_that_goes_on_starts_as_many(monkeypatch, world, here, expected):
    monkeypatch.setattr(distributed, "world_size", lambda: world)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", here)
    assert distributed.launcher() == expected
