"""A corpus that comes through the network: here a folder of files stands in for the hub."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from stopping import stopped_in_step

from minibert import stream as streams
from minibert.corpus import load_corpus
from minibert.model import IGNORE_INDEX
from minibert.pretraining import RECIPES, Run, open_data, pretrain
from minibert.pretraining_data import Masking, PackedBatches
from minibert.stream import StreamedBatches, StreamedCorpus, take
from minibert.trainer import read_history

SMALL = {name: replace(RECIPES[name], batch_size=8, max_length=16) for name in ("original", "fast")}


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


def test_windows_follow_each_other_through_a_file_and_begin_anew(dataset):
    """Documents of a file in order, those that are held out left out, pass after pass."""
    rows = streams.hub_dataset(dataset)
    file = load_corpus(dataset).parts[1]
    expected = texts_of(file.split()[0])
    place, found = {"rows": None, "document": 0}, []
    for _ in range(30):
        documents, place = take(lambda: rows.shard(3, 1), place["rows"], place["document"])
        place = json.loads(json.dumps(place))
        found += texts_of(documents)
    assert len(found) > 3 * len(expected)
    repeated = expected * (len(found) // len(expected) + 1)
    assert found == repeated[: len(found)]


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


def test_a_stopped_run_resumes_bitwise_though_its_windows_are_gone(trained, dataset, tmp_path):
    name = trained.name
    assert len(list((trained / "data" / "positions").iterdir())) > 5

    out = tmp_path / "run"
    with stopped_in_step(21):
        assert not pretrain(load_corpus(dataset), out, run_of(dataset, name))
    windows = list((out / "data" / "windows").iterdir())
    assert 1 <= len(windows) <= 3  # used ones are removed
    shutil.rmtree(out / "data" / "windows")
    assert pretrain(load_corpus(dataset), out, run_of(dataset, name), resume=True)
    assert (out / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()
    assert "mlm_accuracy" in read_history(out)[-1]["held_out"]


def test_two_processes_have_the_batches_of_one(dataset, tmp_path):
    """Twenty steps of two real processes, each making every other window: the same weights."""
    script = (
        "import sys; from dataclasses import replace; from minibert import stream as s\n"
        "from minibert.corpus import load_corpus\n"
        "from minibert.distributed import process_group\n"
        "from minibert.pretraining import RECIPES, Run, pretrain\n"
        "s.WINDOW_CHARACTERS, s.SAMPLE_CHARACTERS = 2000, 8000\n"
        "recipe = replace(RECIPES['original'], batch_size=8, max_length=16, dropout=0.0)\n"
        "run = Run(sys.argv[1], recipe=recipe, steps=20, vocab_size=100)\n"
        "with process_group():\n"
        "    assert pretrain(load_corpus(sys.argv[1]), sys.argv[2], run, say=lambda _: None)\n"
    )
    (tmp_path / "train.py").write_text(script)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    for name, how in (("one", []), ("two", torchrun)):
        command = [sys.executable, *how, str(tmp_path / "train.py"), dataset, str(tmp_path / name)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    torch.testing.assert_close(two, one, rtol=0, atol=1e-5)


def test_what_goes_wrong_is_said(dataset, trained, tmp_path, monkeypatch):
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
    training, _, tokenizer = open_data(trained)
    away = StreamedCorpus("hf:no/such-dataset", training.sample, tokenizer, tmp_path)
    with pytest.raises(FileNotFoundError, match="cannot be read"):  # in a thread, and told here
        away.window(0)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'minibert\[datasets\]'"):
        load_corpus(dataset)
