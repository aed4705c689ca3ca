"""`minibert prepare`: a corpus as token shards, whatever happens on the way."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from filelock import FileLock
from processes import context
from stopping import stopped_in_step

from minibert.cli import main
from minibert.data.batches import PackedBatches, PairBatches
from minibert.data.corpora import load_corpus
from minibert.data.masking import Masking
from minibert.data.shards import PreparedCorpus, is_whole, prepare, write_sums
from minibert.model import IGNORE_INDEX
from minibert.pretraining.recipes import RECIPES
from minibert.pretraining.run import Run, pretrain
from minibert.pretraining.run_data import find_corpus
from minibert.training.history import read_history
from minibert.training.run_folder import Session

WORDS = [
    "the", "a", "cat", "dog", "old", "man", "sister", "sees", "likes", "hears", "house", "bank",
]  # fmt: skip

pytestmark = pytest.mark.usefixtures("measured_on_less")


def text(rng, sentences=12, words=WORDS):
    return " ".join(
        " ".join(rng.choice(words, 5)).capitalize() + "."
        for _ in range(int(rng.integers(2, sentences)))
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A dataset of three files with 60, 40 and 50 texts, by its name. Each has a favourite word."""
    folder, rng = tmp_path_factory.mktemp("dataset"), np.random.default_rng(0)
    for number, rows in enumerate((60, 40, 50)):
        words = WORDS + 6 * [WORDS[number]]
        lines = [json.dumps({"text": text(rng, words=words)}) for _ in range(rows)]
        (folder / f"train-{number}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"hf:{folder}"


@pytest.fixture(scope="module", autouse=True)
def workers_that_need_no_imports():
    """Where `prepare` is called here; the command, which some tests start, spawns its workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minibert.data.shards.get_context", lambda _: context)
        yield


@pytest.fixture(scope="module")
def prepared(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards") / "tokens"
    assert prepare(dataset, folder, vocab_size=100, workers=2) == 3
    return folder


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def test_each_part_is_a_shard_and_all_of_the_text_is_there(dataset, prepared):
    found, corpus = PreparedCorpus.open(prepared), load_corpus(dataset)
    decoded = {}
    for kind, tokens in (("training", found.training), ("held_out", found.held_out)):
        ids = np.concatenate([tokens.shard(n).tokens for n in range(len(tokens.sizes))])
        decoded[kind] = "".join(found.tokenizer.tokens[i].removeprefix("##") for i in ids)
        assert len(tokens.sizes) == 3
        assert tokens.num_tokens == len(ids)
    for kind, documents in zip(("training", "held_out"), corpus.split(), strict=True):
        texts = ["".join(doc.sentences).replace(" ", "").lower() + "[SEP]" for doc in documents]
        assert decoded[kind] == "".join(texts)


@pytest.mark.long
def test_killed_again_and_again_it_ends_as_in_quiet(dataset, prepared, tmp_path):
    out, killed = tmp_path / "tokens", 0
    command = [sys.executable, "-m", "minibert", "prepare", dataset, "-o", str(out)]
    command += ["--vocab-size", "100", "--workers", "2"]
    for seconds in (3.0, 5.0, 7.0):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
    assert killed
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert files(out) == files(prepared)


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="processes are looked for in /proc")
def test_no_worker_outlives_a_killed_prepare(dataset, tmp_path):
    def alive():
        return [pid for pid in os.listdir("/proc") if pid.isdigit() and is_ours(pid)]

    def is_ours(pid):
        try:
            with open(f"/proc/{pid}/environ", "rb") as stream:
                return str(tmp_path).encode() in stream.read()
        except OSError:
            return False

    command = [sys.executable, "-m", "minibert", "prepare", dataset, "-o", str(tmp_path / "tokens")]
    process = subprocess.Popen(
        [*command, "--vocab-size", "100", "--workers", "2"],
        env={**os.environ, "WHOSE": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert soon((tmp_path / "tokens" / "training").exists)  # a worker is at work
    assert len(alive()) >= 3
    process.kill()
    process.wait()
    assert soon(lambda: not alive())


def soon(is_so, seconds=60):
    end = time.monotonic() + seconds
    while not is_so() and time.monotonic() < end:
        time.sleep(0.02)
    return is_so()


def swap_two_pieces(vocabulary):
    lines = vocabulary.read_text("utf-8").splitlines()
    lines[-2:] = lines[:-3:-1]
    vocabulary.write_text("\n".join(lines) + "\n", "utf-8", newline="\n")


@pytest.mark.parametrize("change", [Path.unlink, swap_two_pieces])
def test_another_vocabulary_beside_its_shards_is_noticed(dataset, prepared, tmp_path, change):
    shutil.copytree(prepared, tmp_path / "tokens")
    change(tmp_path / "tokens" / "vocab.txt")
    said = "the vocabulary in .* is not what its shards were made with: prepare"
    with pytest.raises(ValueError, match=said):
        prepare(dataset, tmp_path / "tokens", vocab_size=100)
    with pytest.raises(ValueError, match=said):
        PreparedCorpus.open(tmp_path / "tokens").check()


def test_texts_that_have_changed_are_not_mixed_with_what_they_were(tmp_path):
    """A text changes, then the call is made again."""
    rng = np.random.default_rng(1)
    texts, out = tmp_path / "texts", tmp_path / "tokens"
    texts.mkdir()
    for number in range(40):
        (texts / f"{number:02}.txt").write_text(text(rng), encoding="utf-8")
    assert prepare(str(texts), out, vocab_size=100) == 1
    assert prepare(str(texts), out, vocab_size=100) == 1
    changed = texts / "07.txt"
    before = changed.stat()
    changed.write_text(changed.read_text("utf-8").replace("a", "o"), encoding="utf-8")
    assert changed.stat().st_size == before.st_size
    with pytest.raises(ValueError, match=r"the texts in .* are not those that .* was begun with"):
        prepare(str(texts), out, vocab_size=100)
    changed.unlink()
    with pytest.raises(ValueError, match=r"the texts in .* are not those that .* was begun with"):
        prepare(str(texts), out, vocab_size=100)


def test_a_run_notices_that_its_tokens_are_others(dataset, prepared, tmp_path):
    """Prepared anew as before is the same; from another text, it is not."""
    tokens, other = tmp_path / "tokens", tmp_path / "other.txt"
    shutil.copytree(prepared, tokens)
    small = replace(RECIPES["fast"], batch_size=8, max_length=16)
    run = Run(str(tokens), recipe=small, steps=3, vocab_size=100)
    with stopped_in_step(1):
        assert not pretrain(find_corpus(str(tokens)), tmp_path / "run", run)
    rewrite(tokens / "training" / "00001" / "tokens.bin", "u2", 0, 7)
    with pytest.raises(ValueError, match=r"part 00001 of .* is damaged"):
        pretrain(find_corpus(str(tokens)), tmp_path / "run", run, Session(resume=True))
    shutil.rmtree(tokens)
    other.write_text("An other text, of other words. " * 30, encoding="utf-8")
    prepare(str(other), tokens, vocab_size=100)
    with pytest.raises(ValueError, match=r"holds other tokens than when the run in .* began"):
        pretrain(find_corpus(str(tokens)), tmp_path / "run", run, Session(resume=True))
    shutil.rmtree(tokens)
    prepare(dataset, tokens, vocab_size=100, workers=2)
    assert pretrain(find_corpus(str(tokens)), tmp_path / "run", run, Session(resume=True))


def test_what_is_not_of_a_part_is_not_trained_on(prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / "tokens")
    for kind in ("training", "held_out"):
        shutil.copytree(prepared / kind / "00000", tmp_path / "tokens" / kind / "00000 copy")
        (tmp_path / "tokens" / kind / ".DS_Store").touch()
    found, expected = (PreparedCorpus.open(f) for f in (tmp_path / "tokens", prepared))
    assert found.training.num_tokens == expected.training.num_tokens
    assert found.held_out.num_tokens == expected.held_out.num_tokens


def test_a_call_that_was_killed_in_its_first_write_is_made_again(dataset, tmp_path):
    (tmp_path / "prepare.json.writing").write_text('{"corp')
    assert prepare(dataset, tmp_path, vocab_size=100, workers=2) == 3


def test_what_was_damaged_is_made_anew(dataset, prepared, tmp_path):
    whole = files(prepared)
    file = prepared / "training" / "00001" / "tokens.bin"
    damaged = bytearray(file.read_bytes())
    damaged[10] ^= 1
    file.write_bytes(damaged)
    corpus = PreparedCorpus.open(prepared)
    said = r"part 00001 of .* is damaged: call `minibert prepare` again"
    with pytest.raises(ValueError, match=said):
        corpus.check()
    run = Run(corpus.name, recipe=RECIPES["fast"], steps=1, vocab_size=100)
    with pytest.raises(ValueError, match="part 00001 of"):
        pretrain(corpus, tmp_path / "run", run)
    prepare(dataset, prepared, vocab_size=100)
    assert files(prepared) == whole


@pytest.mark.parametrize("recipe", ["original", "fast"])
def test_pretraining_takes_the_folder_and_resumes(prepared, tmp_path, recipe):
    """Stopped in the middle and resumed is as not stopped: with either kind of batches."""
    small = replace(RECIPES[recipe], batch_size=8, max_length=16)
    corpus = find_corpus(str(prepared))
    run = Run(corpus.name, recipe=small, steps=10, vocab_size=100)
    assert pretrain(corpus, tmp_path / "whole", run)

    with stopped_in_step(1):
        assert not pretrain(corpus, tmp_path / "stopped", run)
    assert pretrain(corpus, tmp_path / "stopped", run, Session(resume=True))
    ends = [(tmp_path / n / "model.safetensors").read_bytes() for n in ("whole", "stopped")]
    assert ends[0] == ends[1]
    assert "mlm_accuracy" in read_history(tmp_path / "whole")[-1]["held_out"]


def test_from_the_command_line_the_vocabulary_is_that_of_the_folder(prepared, tmp_path):
    command = ["pretrain", str(prepared), "-o", str(tmp_path / "run"), "--steps", "1"]
    command += ["--recipe", "fast", "--batch-size", "8", "--max-length", "16"]
    assert CliRunner().invoke(main, command).exit_code == 0
    assert (tmp_path / "run" / "vocab.txt").read_bytes() == (prepared / "vocab.txt").read_bytes()
    found = CliRunner().invoke(main, [*command, "--overwrite", "--vocab-size", "90"])
    assert "was prepared with vocab_size 100, not 90" in found.stderr


def change_json(file, **changes):
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **changes}), "utf-8")


def rewrite(file, dtype, place, value):
    array = np.fromfile(file, dtype)
    array[place] = value
    array.tofile(file)


DAMAGE = {
    "objects": ("tokens must be uint16 or uint32", lambda f: arrays(f, tokens=["O", 1])),
    "another size": ("tokens must be", lambda f: arrays(f, tokens=["uint8", 1])),
    "floats": (
        "sentence_starts must be int64",
        lambda f: arrays(f, sentence_starts=["float64", 1]),
    ),
    "no dtype": ("document_starts must be", lambda f: arrays(f, document_starts=7)),
    "a length below 0": ("tokens must be", lambda f: arrays(f, tokens=["uint16", -1])),
    "too long": (r"tokens\.bin is damaged: it has", lambda f: arrays(f, tokens=["uint16", 10**15])),
    "an end elsewhere": ("do not fit", lambda f: rewrite(f / "document_starts.bin", "i8", -1, 7)),
    "an id too high": ("do not fit", lambda f: rewrite(f / "tokens.bin", "u2", 0, 60000)),
    "a step back": ("do not fit", lambda f: rewrite(f / "sentence_starts.bin", "i8", 1, 0)),
    "a late beginning": ("do not fit", lambda f: rewrite(f / "sentence_starts.bin", "i8", 0, 1)),
}


def arrays(folder, **changes):
    change_json(folder / "arrays.json", **changes)


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_under_new_checksums_is_an_error_and_no_crash(prepared, tmp_path, name):
    """Whoever changes a shard can change its checksum too."""
    message, damage = DAMAGE[name]
    shutil.copytree(prepared, tmp_path / "tokens")
    damage(tmp_path / "tokens" / "training" / "00001")
    write_sums(tmp_path / "tokens", "00001")
    with pytest.raises(ValueError, match=message):
        PreparedCorpus.open(tmp_path / "tokens").check()


def test_a_record_that_names_no_file_vouches_for_none(prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / "tokens")
    for name in ("00000", "tokenizer"):
        (tmp_path / "tokens" / "parts" / f"{name}.json").write_text("{}")
        assert not is_whole(tmp_path / "tokens", name)
    with pytest.raises(ValueError, match=r"part 00000 of .* is damaged"):
        PreparedCorpus.open(tmp_path / "tokens").check()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with a name")
def test_a_pipe_in_place_of_a_shard_is_not_waited_for(prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / "tokens")
    file = tmp_path / "tokens" / "held_out" / "00002" / "tokens.bin"
    file.unlink()
    os.mkfifo(file)
    corpus = PreparedCorpus.open(tmp_path / "tokens")
    with pytest.raises(ValueError, match=r"part 00002 of .* is damaged"):
        corpus.check()
    with pytest.raises(ValueError, match=r"tokens\.bin is damaged: it has 0 of"):
        _ = corpus.held_out.sizes


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"parts": 10**9}, "has 3 of 1000000000 parts"),
        ({"parts": 0}, r"prepare\.json is damaged"),
        ({"parts": "3"}, r"prepare\.json is damaged"),
        ({"corpus": 3}, r"prepare\.json is damaged"),
        ({"vocab_size": [100]}, r"prepare\.json is damaged"),
        ({"version": None}, r"prepare\.json is damaged"),
    ],
)
def test_settings_that_prepare_never_wrote_are_refused(
    dataset, prepared, tmp_path, settings, message
):
    shutil.copytree(prepared, tmp_path / "tokens")
    change_json(tmp_path / "tokens" / "prepare.json", **settings)
    with pytest.raises(ValueError, match=message):
        PreparedCorpus.open(tmp_path / "tokens")
    with pytest.raises(ValueError, match=r"prepare\.json is damaged|begun with parts 1000000000"):
        prepare(dataset, tmp_path / "tokens", vocab_size=100)


def test_one_process_at_a_time(dataset, prepared):
    with (
        FileLock(prepared / ".lock"),
        pytest.raises(FileExistsError, match="another process is preparing a corpus in"),
    ):
        prepare(dataset, prepared, vocab_size=100)


def test_sequences_come_from_all_shards_alike(prepared):
    """Each token is as likely to be in one as any other, but for those at the ends of a shard."""
    found = PreparedCorpus.open(prepared)
    batches = PackedBatches(found.training, found.tokenizer, Masking(), 200, 16, seed=0)
    seen = np.zeros(100)
    for step in range(100):
        batch = batches(step)
        ids = torch.where(batch["labels"] == IGNORE_INDEX, batch["input_ids"], batch["labels"])
        seen += np.bincount(ids[:, 1:-1].flatten(), minlength=100)
    written = np.zeros(100)
    for number in range(3):
        written += np.bincount(found.training.shard(number).tokens, minlength=100)
    assert np.abs(seen / seen.sum() - written / written.sum()).max() < 0.005
    rows = {tuple(row[1:-1].tolist()) for row in ids}
    for number in range(3):  # sequences are read from each, and from nowhere between two
        tokens = found.training.shard(number).tokens
        rows -= {
            tuple(row.tolist()) for row in np.lib.stride_tricks.sliding_window_view(tokens, 14)
        }
    assert rows == set()


def test_pairs_visit_every_shard_once_a_pass(prepared):
    """And both sides of a pair are of one shard."""
    found = PreparedCorpus.open(prepared)
    pairs = PairBatches(found.training, found.tokenizer, Masking(), 8, 16, seed=0)
    sizes = sorted(found.training.sizes[:, 0].tolist())
    orders = [[pairs._visit(3 * n + place)[0].num_tokens for place in range(3)] for n in range(8)]
    assert all(sorted(order) == sizes for order in orders)
    assert len({tuple(order) for order in orders}) > 2
    steps = pairs._place(10**6)
    assert steps[0] > 3
    assert pairs(10**6)["input_ids"].equal(pairs(10**6)["input_ids"])


def test_the_order_of_shards_is_the_seeds_wherever_a_run_goes_on(prepared):
    """A resumed run begins in the middle of a pass, and knows nothing of what came before."""
    found = PreparedCorpus.open(prepared)

    def shards(seed, visits):
        pairs = PairBatches(found.training, found.tokenizer, Masking(), 8, 16, seed=seed)
        return [pairs._visit(number)[0].num_tokens for number in visits]

    whole = shards(0, range(24))
    assert [shards(0, [number])[0] for number in range(23, -1, -1)] == whole[::-1]
    assert shards(1, range(24)) != whole


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--vocab-size", "90"], "was begun with vocab_size 100, not 90: choose another folder"),
        (["--from", "mini"], "was begun with from None, not mini"),
        (["--from", "mini", "--vocab-size", "9"], "mini has its own vocabulary"),
    ],
)
def test_other_settings_are_refused(dataset, prepared, arguments, message):
    found = CliRunner().invoke(main, ["prepare", dataset, "-o", str(prepared), *arguments])
    assert found.exit_code == 2
    assert message in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_it_mixes_with_nothing(dataset, prepared, tmp_path):
    (tmp_path / "mine.txt").write_text("Mine. And yours.")
    with pytest.raises(FileExistsError, match="holds other files"):
        prepare(dataset, tmp_path)
    with pytest.raises(ValueError, match="lies in the corpus itself"):
        prepare(str(tmp_path), tmp_path / "tokens")
    with pytest.raises(ValueError, match="holds a corpus as tokens"):
        load_corpus(prepared)
    (prepared / "parts" / "00002.json").rename(tmp_path / "away.json")
    with pytest.raises(ValueError, match="has 2 of 3 parts: call `minibert prepare` again"):
        PreparedCorpus.open(prepared)
    (tmp_path / "away.json").rename(prepared / "parts" / "00002.json")
    with pytest.raises(ValueError, match="prepared with vocab_size 100, not 200"):
        pretrain(
            PreparedCorpus.open(prepared),
            tmp_path / "run",
            Run("", recipe=RECIPES["fast"], steps=1, vocab_size=200),
        )


def test_for_a_bert_that_is_there(dataset, tmp_path):
    """Its vocabulary; another is refused."""
    prepare(dataset, tmp_path / "tokens", start="mini", workers=2)
    small = replace(RECIPES["continue"], batch_size=8, max_length=16)
    corpus = find_corpus(str(tmp_path / "tokens"))
    run = Run(corpus.name, recipe=small, steps=2, start="mini")
    assert pretrain(corpus, tmp_path / "run", run)
    command = ["pretrain", corpus.name, "-o", str(tmp_path / "run"), "--resume"]
    assert CliRunner().invoke(main, command).exit_code == 0
    prepare(dataset, tmp_path / "others", vocab_size=100, workers=2)
    said = "another vocabulary than the model's: prepare it with --from"
    with pytest.raises(ValueError, match=said):
        pretrain(find_corpus(str(tmp_path / "others")), tmp_path / "other run", run)
