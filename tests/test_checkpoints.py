"""A checkpoint that is whole by its checksums, and of another kind: refused in one line."""

import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file

from minibert.files import sha256
from minibert.training.checkpoints import CHECKSUMS, OPTIMIZERS, STATE, WEIGHTS, Checkpoints
from minibert.training.history import read_history
from minibert.training.optimizers import adam, muon
from minibert.training.trainer import Data, Plan, Record, Trainer


class Squares:
    def counts(self, batch):
        return {"tokens": len(batch["x"]), "square_loss": len(batch["x"])}

    def sums(self, model, batch):
        return {"square_loss": (model(batch["x"]) ** 2).sum()}


def trainer(out, optimizers=None, width=3, **plan):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, width), torch.nn.Linear(width, 2))
    made = optimizers(model) if optimizers else muon(model, 0.01, 0.02)
    plan = {"steps": 2, **plan}
    batches = Data(lambda step: [{"x": torch.ones(5, 4)}])
    return Trainer(model, Squares(), made, batches, Plan(**plan), Record(out, {"seed": 0}))


@pytest.fixture
def out(tmp_path):
    assert trainer(tmp_path).train()
    return tmp_path


def change(out, file, edit):
    """Edit a file of the checkpoint, and renew its checksum."""
    (directory,) = Checkpoints(out).all()
    edit(directory / file)
    sums = {name: sha256(directory / name) for name in (WEIGHTS, OPTIMIZERS, STATE)}
    (directory / CHECKSUMS).write_text(json.dumps(sums), encoding="utf-8")


def test_a_checkpoint_that_nobody_changed_is_resumed(out):
    change(out, STATE, lambda file: None)
    again = trainer(out)
    assert again.resume() is None and again.step == 2


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"step": 2**70}, "says step"),
        ({"step": 1}, "says step 1, its folder step-000000002"),
        ({"step": -1}, "step must be"),
        ({"step": "2"}, "step must be"),
        ({"step": True}, "step must be"),
        ({"step": 2.0}, "step must be"),
        ({"seconds": None}, "seconds must be"),
        ({"seconds": float("nan")}, "seconds must be"),
        ({"window": []}, "window must be"),
        ({"window": {"sums": {}, "counts": {}}}, "window must hold"),
        ({"window": {"sums": {"a": "b"}, "counts": {}, "since": 0.0}}, "window must hold"),
        ({"settings": "none"}, "settings must be"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_progress_of_other_types_is_refused(out, changes, says):
    def edit(file):
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))

    change(out, STATE, edit)
    with pytest.raises(ValueError, match=rf"state\.json.*{says}"):
        trainer(out).resume()


def test_a_checkpoint_beyond_the_end_of_the_run_is_refused(out):
    with pytest.raises(ValueError, match="is of step 2, and this run has 1 steps"):
        trainer(out, steps=1).resume()


def states_of(optimizers):
    return [optimizer.state_dict() for optimizer in optimizers]


@pytest.mark.parametrize(
    "states",
    [
        [],
        {},
        3,
        [{}, {}],
        [{"state": {}, "param_groups": []}] * 2,
        ["muon", "adamw"],
        "another order",
        "other optimizers",
        "another width",
    ],
)
def test_the_state_of_other_optimizers_is_refused(out, tmp_path_factory, states):
    def edit(file):
        value = states
        if states == "another order":
            value = torch.load(file)[::-1]
        if states == "another width":
            other = trainer(tmp_path_factory.mktemp("wide"), width=7)
            other.train()
            value = states_of(other.optimizers)
        if states == "other optimizers":
            folder = tmp_path_factory.mktemp("other")
            other = trainer(folder, lambda model: [adam(model.parameters(), 0.1)])
            other.train()
            value = states_of(other.optimizers)
        torch.save(value, file)

    change(out, OPTIMIZERS, edit)
    with pytest.raises(ValueError, match=r"optimizers\.pt is not the state of this run's"):
        trainer(out).resume()


def test_the_state_of_adam_is_no_state_of_berts_adam(tmp_path):
    kinds = [
        lambda model, correct=correct: [adam(model.parameters(), 0.1, bias_correction=correct)]
        for correct in (True, False)
    ]
    assert trainer(tmp_path, kinds[0]).train()
    with pytest.raises(ValueError, match=r"it has \['exp_avg', 'exp_avg_sq', 'step'\], not"):
        trainer(tmp_path, kinds[1]).resume()


def test_garbage_for_a_state_is_refused(out):
    change(out, OPTIMIZERS, lambda file: file.write_bytes(b"garbage"))
    with pytest.raises(ValueError, match=r"optimizers\.pt is not the state of this run's"):
        trainer(out).resume()


def test_rates_and_decay_are_the_runs_own(out):
    def edit(file):
        states = torch.load(file)
        for state in states:
            for group in state["param_groups"]:
                group["weight_decay"] = "x"
        torch.save(states, file)

    change(out, OPTIMIZERS, edit)
    again = trainer(out)
    again.resume()
    assert again.optimizers[0].param_groups[0]["weight_decay"] == 0.01


@pytest.mark.parametrize("how", ["another shape", "missing", "garbage"])
def test_other_weights_are_refused(out, how):
    def edit(file):
        weights = load_file(file)
        if how == "another shape":
            weights["0.bias"] = torch.zeros(7)
        if how == "missing":
            del weights["0.bias"]
        save_file(weights, file)
        if how == "garbage":
            file.write_bytes(b"garbage")

    change(out, WEIGHTS, edit)
    with pytest.raises(ValueError, match=r"model\.safetensors (has no 0\.bias|is not a whole)"):
        trainer(out).resume()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes of this kind")
@pytest.mark.parametrize("file", [WEIGHTS, OPTIMIZERS, STATE, CHECKSUMS])
@pytest.mark.timeout(60)
def test_a_pipe_in_place_of_a_file_is_damage(out, file):
    (directory,) = Checkpoints(out).all()
    (directory / file).unlink()
    os.mkfifo(directory / file)
    with pytest.raises(ValueError, match=rf"no checkpoint .*{file} is not a regular file"):
        trainer(out).resume()


def test_folders_of_other_names_are_no_checkpoints(out):
    (out / "checkpoints" / "step-last").mkdir()
    assert [path.name for path in Checkpoints(out).all()] == ["step-000000002"]
    assert trainer(out).resume() is None


def test_a_million_steps_more_are_newer(tmp_path):
    """By number, not by name."""
    for step in (999_999_999, 1_000_000_000):
        Checkpoints(tmp_path).path(step).mkdir(parents=True)
    names = [path.name for path in Checkpoints(tmp_path).all()]
    assert names == ["step-999999999", "step-1000000000"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("[1]", "must be a JSON object"),
        ("5", "must be a JSON object"),
        ("{", "must be a JSON object"),
        ('{"seconds": 1.0}', "step must be .* not None"),
        ('{"step": "1", "seconds": 1.0}', "step must be .* not '1'"),
        ('{"step": 1, "seconds": NaN}', "seconds must be .* not nan"),
        ("[" * 100_000, "must be a JSON object"),
    ],
)
def test_a_history_of_other_lines_is_refused(out, line, says):
    lines = (out / "history.jsonl").read_text("utf-8")
    (out / "history.jsonl").write_text(f"{line}\n{lines}", encoding="utf-8")
    with pytest.raises(ValueError, match=f"history.jsonl, line 1: .*{says}"):
        read_history(out)


def test_everything_is_on_the_disk_before_a_checkpoint_has_its_name(tmp_path, monkeypatch):
    synced = []

    def to_disk(path):
        synced.append((path.name, Checkpoints(tmp_path).path(2).exists()))

    monkeypatch.setattr("minibert.training.checkpoints.to_disk", to_disk)
    trainer(tmp_path).train()
    files = {WEIGHTS, OPTIMIZERS, STATE, CHECKSUMS, "writing-000000002", "history.jsonl"}
    assert {name for name, is_named in synced if not is_named} == files
    assert synced[-1] == ("checkpoints", True)
