"""A corpus that comes through the network: here a folder of files stands in for the hub."""

import json
import shutil
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, replace
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest
import stream_in_processes
import torch
from click.testing import CliRunner
from datasets import load_dataset_builder
from processes import in_processes
from safetensors.torch import load_file
from stopping import stopped_in_step

from minibert.cli import main
from minibert.data import hub as hub_module
from minibert.data import streaming as streams
from minibert.data.batches import PackedBatches
from minibert.data.corpora import load_corpus
from minibert.data.hub import hub_dataset
from minibert.data.labelled_texts import load_data
from minibert.data.masking import Masking
from minibert.data.streaming import Lane, Place, StreamedBatches, StreamedCorpus, WindowMaker
from minibert.files import read_json
from minibert.model import IGNORE_INDEX
from minibert.pretraining.recipes import RECIPES
from minibert.pretraining.run import Run, pretrain
from minibert.pretraining.run_data import open_data
from minibert.training.history import read_history
from minibert.training.run_folder import Session

SMALL = {name: replace(RECIPES[name], batch_size=8, max_length=16) for name in ("original", "fast")}

pytestmark = pytest.mark.usefixtures("measured_on_less")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Three files with 30, 50 and 40 texts, each of which says which it is."""
    folder = tmp_path_factory.mktemp("dataset")
    for number, rows in enumerate((30, 50, 40)):
        texts = [
            " ".join(f"File {number} row {row} line {i}." for i in range(12)) for row in range(rows)
        ]
        lines = [json.dumps({"text": text}) for text in ["", *texts]]  # and one that is empty
        (folder / f"train-{number}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"hf:{folder}"


@pytest.fixture(autouse=True)
def small_windows(monkeypatch):
    monkeypatch.setattr(streams, "WINDOW_CHARACTERS", 2000)
    monkeypatch.setattr(streams, "SAMPLE_CHARACTERS", 8000)


def run_of(dataset, recipe="fast", steps=40):
    return Run(dataset, recipe=SMALL[recipe], steps=steps, vocab_size=100)


@pytest.fixture(scope="module", params=["original", "fast"])
def trained(request, dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("streamed") / request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "WINDOW_CHARACTERS", 2000)
        patch.setattr(streams, "SAMPLE_CHARACTERS", 8000)
        assert pretrain(load_corpus(dataset), out, run_of(dataset, request.param))
    return out


def texts_of(documents):
    return [" ".join(document.sentences) for document in documents]


@pytest.mark.parametrize("number", [0, 1])
def test_a_lane_reads_file_after_file_and_begins_anew(dataset, monkeypatch, number):
    """Documents in order, those that are held out left out, pass after pass; by one that goes on,
    by one that begins at a place, and by one that comes by now and then."""
    monkeypatch.setattr(streams, "LANES", 2)
    parts = load_corpus(dataset).parts
    expected = [text for file in range(number, 3, 2) for text in texts_of(parts[file].split()[0])]
    _, rows = hub_dataset(dataset)
    steady, seldom, found = Lane(rows, number), Lane(rows, number), []
    for step in range(40):
        place = Place(**json.loads(json.dumps(asdict(steady.place))))
        documents = steady.next_window(Event())
        lanes = [Lane(rows, number), *([seldom] if step % 3 == 0 else [])]
        for lane in lanes:
            lane.go_to(place)
            assert lane.next_window(Event()) == documents
            assert lane.place == steady.place
        found += texts_of(documents)
    assert len(found) > 2 * len(expected)
    repeated = expected * (len(found) // len(expected) + 1)
    assert found == repeated[: len(found)]


def test_a_lane_that_goes_on_reads_no_row_twice(dataset, monkeypatch):
    """A file is not gone through again from its beginning for each window."""
    monkeypatch.setattr(streams, "LANES", 2)
    read = Counter()

    class Counted:
        num_shards = 3

        def shard(self, n, file):
            return (read.update([file]) or row for row in rows.shard(n, file))

    _, rows = hub_dataset(dataset)
    lane = Lane(Counted(), 1)
    while lane.place.row < 40:
        lane.go_to(lane.place)
        lane.next_window(Event())
    assert read == {1: lane.place.row}


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ('{"text": 7}', "row 1: the column text holds 7, which is not text"),
        ('{"text": null}\n{"text": 0}', "row 2: the column text holds 0, which is not text"),
        (
            '{"text": ["A text."]}',
            r"row 1: the column text holds \[.A text\..\], which is not text",
        ),
        ('{"text": {"en": "A"}}', "row 1: the column text holds {.en.: .A.}, which is not text"),
    ],
)
def test_a_column_of_something_else_than_text_is_named_with_its_row(tmp_path, rows, says):
    """As a corpus, and as a stream."""
    (tmp_path / "train.jsonl").write_text(rows + "\n")
    name, found = hub_dataset(f"hf:{tmp_path}")
    for read in (lambda: load_corpus(name), lambda: Lane(found, 0).next_window(Event())):
        with pytest.raises(ValueError, match=f"^file 1 of the dataset, {says}$"):
            read()


@pytest.mark.parametrize("place", [Place(1, row=10**15), Place(0), Place(9)])
def test_a_lane_refuses_a_place_that_it_does_not_have(dataset, monkeypatch, place):
    monkeypatch.setattr(streams, "LANES", 2)
    _, rows = hub_dataset(dataset)
    with pytest.raises(ValueError, match=rf"no row \d+ in file {place.file}: begin a new run"):
        Lane(rows, 1).go_to(place)


@pytest.mark.parametrize(
    "position",
    [
        {},
        {"place": {"file": "1", "row": 0, "document": 0}, "tokens": 9},
        {"place": {"file": 1, "row": -1, "document": 0}, "tokens": 9},
        {"place": {"file": 1, "row": 0, "document": 0}, "tokens": 0},
    ],
)
def test_a_position_that_was_never_written_is_refused(tmp_path, position):
    (tmp_path / "000001.json").write_text(json.dumps(position))
    with pytest.raises(ValueError, match=r"000001\.json is damaged"):
        streams.read_position(tmp_path / "000001.json")


@pytest.fixture
def hub(dataset, monkeypatch):
    """`some/texts` as the hub has it: its newest revision, and those that were asked for."""
    hub = SimpleNamespace(newest="first", asked=[])

    def stand_in(path, config, revision):
        hub.asked.append(revision)
        builder = load_dataset_builder(dataset.removeprefix("hf:"), config)
        builder.base_path = f"hf://datasets/{path}@{revision or hub.newest}"
        return builder

    monkeypatch.setattr("datasets.load_dataset_builder", stand_in)
    return hub


def test_the_revision_is_in_the_name(hub, trained, tmp_path):
    for name, pinned in (
        ("hf:some/texts", "hf:some/texts@first"),
        ("hf:some/texts:default", "hf:some/texts@first:default"),
        ("hf:some/texts@abc:default", "hf:some/texts@abc:default"),
    ):
        assert load_corpus(name).name == pinned
    training, _, tokenizer = open_data(trained)
    StreamedCorpus("hf:some/texts@abc", training.sample, tokenizer, tmp_path).window(0)
    assert hub.asked == [None, None, "abc", "abc"]


def test_the_same_command_goes_on_with_the_same_revision(hub, tmp_path, monkeypatch):
    """Though there is a newer one by then."""

    def called(*command):
        found = CliRunner().invoke(main, [*command])
        return found.exit_code, found.output

    run, tokens = str(tmp_path / "run"), str(tmp_path / "tokens")
    small = [
        "--recipe",
        "fast",
        "--steps",
        "8",
        "--batch-size",
        "8",
        "--max-length",
        "16",
        "--vocab-size",
        "100",
    ]
    with stopped_in_step(3):
        code, said = called("pretrain", "hf:some/texts", "-o", run, *small)
    assert "Continue with: minibert pretrain hf:some/texts -o" in said
    hub.newest = "second"
    assert called("pretrain", "hf:some/texts", "-o", run, "--resume")[0] == 0
    assert read_json(tmp_path / "run" / "run.json")["corpus"] == "hf:some/texts@first"

    monkeypatch.setattr(
        "minibert.data.shards.write_parts", lambda *_: None
    )  # they have no such hub
    assert called("prepare", "hf:some/texts", "-o", tokens, "--vocab-size", "100")[0] == 0
    hub.newest = "third"
    assert called("prepare", "hf:some/texts", "-o", tokens, "--vocab-size", "100")[0] == 0
    assert read_json(tmp_path / "tokens" / "prepare.json")["corpus"] == "hf:some/texts@second"
    code, said = called("prepare", "hf:some/texts@third", "-o", tokens, "--vocab-size", "100")
    assert (code, "with corpus hf:some/texts@second, not hf:some/texts@third" in said) == (2, True)


def test_nothing_of_the_held_out_text_is_trained_on(trained, dataset):
    training, held_out, tokenizer = open_data(trained)
    made = [training.window(number) for number in range(9)]
    pieces = lambda ids: " ".join(tokenizer.tokens[i] for i in ids)
    seen = {line for window in made for line in pieces(window.tokens).split("[SEP]")}
    kept = {line for line in pieces(held_out.tokens).split("[SEP]") if line.strip()}
    assert kept and not kept & seen
    files = {line.split()[1] for line in seen if line.strip()}
    assert files == {"0", "1", "2"}  # window after window


def test_each_step_is_drawn_from_its_window(trained, dataset):
    training, _, tokenizer = open_data(trained)
    batches = StreamedBatches(
        training,
        lambda corpus, seed: PackedBatches(corpus, tokenizer, Masking(), 8, 16, seed),
        8 * 16,
        seed=0,
    )
    for number in (0, 1, 5, 1):  # an earlier one is made again
        batch = batches(number * batches.steps_of_window)
        ids = torch.where(batch["labels"] == IGNORE_INDEX, batch["input_ids"], batch["labels"])
        tokens = training.window(number).tokens
        there = {
            tuple(row) for row in np.lib.stride_tricks.sliding_window_view(tokens, 14).tolist()
        }
        assert {tuple(row[1:-1].tolist()) for row in ids} <= there


def test_each_window_has_a_seed_of_its_own():
    corpus = SimpleNamespace(tokens_of_window=45, window=lambda number: number)
    seeds = Counter()

    def make(window, seed):
        seeds[seed] += 1
        return lambda step: (window, step)

    for seed in (0, 1):
        batches = StreamedBatches(corpus, make, tokens_of_step=10, seed=seed)
        assert [batches(step) for step in (0, 3, 4, 9)] == [(0, 0), (0, 3), (1, 0), (2, 1)]
    assert set(seeds.values()) == {1} and len(seeds) == 6


def test_a_stopped_run_resumes_bitwise_though_its_windows_are_gone(trained, dataset, tmp_path):
    name = trained.name
    assert len(list((trained / "data" / "positions").iterdir())) > 5

    out = tmp_path / "run"
    with stopped_in_step(21):
        assert not pretrain(load_corpus(dataset), out, run_of(dataset, name))
    windows = list((out / "data" / "windows").iterdir())
    assert 1 <= len(windows) <= 3  # used ones are removed
    shutil.rmtree(out / "data" / "windows")
    assert pretrain(load_corpus(dataset), out, run_of(dataset, name), Session(resume=True))
    assert (out / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()
    assert "mlm_accuracy" in read_history(out)[-1]["held_out"]


def train(dataset, out, processes=1, **how):
    """Twenty steps in so many processes, or what is left of them. Returns how they failed."""
    log = out.with_name("log.txt")
    return in_processes(processes, log, stream_in_processes.main, dataset, out, **how)


def weights(out):
    return load_file(out / "model.safetensors")


@pytest.fixture(scope="module")
def in_quiet(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("quiet") / "one"
    assert not train(dataset, out)
    return out


def test_two_processes_have_the_batches_of_one(dataset, in_quiet, tmp_path):
    """Twenty steps of two real processes, each making every other window: the same weights."""
    assert not train(dataset, tmp_path / "two", processes=2)
    torch.testing.assert_close(weights(tmp_path / "two"), weights(in_quiet), rtol=0, atol=1e-5)


@pytest.mark.parametrize("processes", [1, 3])
def test_a_run_of_two_goes_on_in_another_number(dataset, in_quiet, tmp_path, processes):
    assert not train(dataset, tmp_path / "run", stop_in_step=8, processes=2)
    assert [p.name for p in (tmp_path / "run" / "checkpoints").glob("step-*")] == ["step-000000008"]
    assert not train(dataset, tmp_path / "run", processes=processes)
    torch.testing.assert_close(weights(tmp_path / "run"), weights(in_quiet), rtol=0, atol=1e-5)


def test_killed_among_its_windows_it_ends_as_in_quiet(dataset, in_quiet, tmp_path):
    """Whatever one of two does with it, a window is there as a whole, or not at all."""
    out = tmp_path / "run"
    for die in (("write_tokens", "writing-000001"), ("write_json", "000003"), ("rmtree", "gone-")):
        assert "-9" in train(dataset, out, processes=2, die=die)
    assert not train(dataset, out, processes=2)
    torch.testing.assert_close(weights(out), weights(in_quiet), rtol=0, atol=1e-5)


def test_a_window_that_is_not_whole_is_made_again(trained):
    training, _, _ = open_data(trained)
    whole = training.window(4).tokens.tolist()
    training.close()
    (trained / "data" / "windows" / "000004" / "arrays.json").unlink()
    again, _, _ = open_data(trained)
    assert again.window(4).tokens.tolist() == whole


def test_a_lost_position_is_said(dataset, trained, tmp_path):
    """And not waited for."""
    shutil.copytree(trained, tmp_path / "run")
    for kind in ("windows", "positions"):
        for path in (tmp_path / "run" / "data" / kind).glob("00000[1-9]*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    training, _, _ = open_data(tmp_path / "run")
    with pytest.raises(ValueError, match=r"000003\.json is lost, and the run cannot go on"):
        training.window(6)


def test_nothing_is_written_once_a_run_has_ended(dataset, tmp_path):
    """Another may begin in the same folder."""
    data = tmp_path / "run" / "data"
    others = set(threading.enumerate())
    with stopped_in_step(3):
        assert not pretrain(load_corpus(dataset), tmp_path / "run", run_of(dataset))
    assert not [t for t in set(threading.enumerate()) - others if isinstance(t, WindowMaker)]
    before = sorted(data.rglob("*"))
    time.sleep(0.5)
    assert sorted(data.rglob("*")) == before


def test_a_hub_that_never_answers_is_not_waited_for(monkeypatch):
    never = Event()
    monkeypatch.setattr("datasets.load_dataset_builder", lambda *_, **__: never.wait())
    monkeypatch.setattr(hub_module, "PATIENCE", 0.02)
    try:
        for load in (load_corpus, load_data):
            with pytest.raises(FileNotFoundError, match="hf:a/b cannot be read: the hub did"):
                load("hf:a/b")
    finally:
        never.set()


def download_of_any_revision(path, config, revision):
    """What `datasets` gives without a network where the dataset was downloaded once."""
    builder = load_dataset_builder(path, config)
    builder.base_path = None
    return builder


def test_what_goes_wrong_is_said(dataset, trained, tmp_path, monkeypatch):
    # Without a network the hub is asked again and again, for half a minute each time.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    (tmp_path / "blank").mkdir()
    (tmp_path / "blank" / "train.jsonl").write_text('{"text": " "}\n{"text": ""}\n')
    with pytest.raises(ValueError, match="is empty"):
        load_corpus(f"hf:{tmp_path / 'blank'}")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "train.jsonl").write_text('{"body": "A text."}\n')
    with pytest.raises(ValueError, match="has no column text; it has body"):
        load_corpus(f"hf:{tmp_path / 'other'}")
    with pytest.raises(FileNotFoundError, match="hf:no/such-dataset cannot be read"):
        load_corpus("hf:no/such-dataset")
    with monkeypatch.context() as patch:
        patch.setattr("datasets.load_dataset_builder", download_of_any_revision)
        with pytest.raises(FileNotFoundError, match="cannot be downloaded from the hub"):
            load_corpus(dataset)
    training, _, tokenizer = open_data(trained)
    away = StreamedCorpus("hf:no/such-dataset", training.sample, tokenizer, tmp_path)
    with pytest.raises(FileNotFoundError, match="cannot be read"):  # in a thread, and told here
        away.window(0)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'minibert\[datasets\]'"):
        load_corpus(dataset)
