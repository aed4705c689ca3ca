"""A step of pretraining, in a process for each of those that do one: its time, its memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from ctypes.util import find_library
from itertools import product
from pathlib import Path
from typing import Any

from contenders import LENGTHS, PLACES, STEP_CONTENDERS, TRIED, Setting, our_loop
from harness import Timed, alternate, over_ours, precision, table, times, told
from matplotlib.figure import Figure

from minibert.viz.style import PALETTE, plot

HERE = Path(__file__).parent


def preload(library: str) -> dict[str, str]:
    """The environment of a process that allocates with another library, where there is one."""
    found = find_library(library)
    if found is None:
        return {}
    return {"LD_PRELOAD": found}


ENVIRONMENTS = {
    "jemalloc instead": preload("jemalloc"),
    "tcmalloc instead": preload("tcmalloc_minimal"),
}
CONTENDERS: dict[str, dict[str, Callable[[Setting], Timed]]] = {
    "step": STEP_CONTENDERS,
    "tried": {
        name: lambda setting, options=options: our_loop(setting, **options)
        for name, options in TRIED.items()
        if ENVIRONMENTS.get(name) != {}
    },
}


class OwnProcess:
    """A contender in a process of its own: nothing that one does to its process helps another."""

    def __init__(self, setting: Setting, group: str, name: str) -> None:
        arguments = [setting.shape, str(setting.length), str(int(setting.bf16)), group, name]
        self.process = subprocess.Popen(
            [sys.executable, str(HERE), "contend", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **ENVIRONMENTS.get(name, {})},
            text=True,
        )

    def __call__(self, steps: int) -> float:
        """Its turn, while the others wait."""
        print(steps, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def close(self) -> None:
        """It ends when there are no more turns."""
        self.process.communicate()


def contend(shape: str, length: str, bf16: str, group: str, name: str) -> None:
    """The other side of `OwnProcess`: a number of steps a line, the seconds of one in return."""
    answers, sys.stdout = sys.stdout, sys.stderr  # a `Trainer` prints
    run = CONTENDERS[group][name](Setting(shape, int(length), bool(int(bf16))))
    for line in sys.stdin:
        print(run(int(line)), file=answers, flush=True)


def own_processes(setting: Setting, group: str, steps: int) -> dict[str, list[float]]:
    """Seconds of a step of each contender of a group, which take turns."""
    contenders = {name: OwnProcess(setting, group, name) for name in CONTENDERS[group]}
    seconds = alternate(contenders, steps)
    for contender in contenders.values():
        contender.close()
    return seconds


def measure_step() -> Iterator[dict[str, Any]]:
    """A step of pretraining, MLM and NSP, of every shape, length and precision."""
    for shape, length, bf16 in product(PLACES, LENGTHS, (False, True)):
        setting = Setting(shape, length, bf16)
        seconds = own_processes(setting, "step", steps=2)
        real = statistics.mean(int(setting.batches(n)["attention_mask"].sum()) for n in range(3))
        yield told(seconds, shape=shape, length=length, bf16=bf16, tokens=real)


def step_table(lines: list[dict[str, Any]]) -> str:
    """A row for each setting: our tokens a second, and how many times longer the others take."""
    rows = []
    for line in lines:
        ratios = over_ours(line["seconds"])
        ours = line["tokens"] / statistics.median(line["seconds"]["minibert"])
        others = [times(ratio) for ratio in list(ratios.values())[1:]]
        rows.append((line["shape"], str(line["length"]), precision(line), f"{ours:,.0f}", *others))
    others = [f"{name}: times as long" for name in list(STEP_CONTENDERS)[1:]]
    return table(("shape", "T", "precision", "minibert: tokens/s", *others), rows)


def draw_step(lines: list[dict[str, Any]]) -> Figure:
    """How many times longer the others take: a column for each, a mark for each setting."""
    figure, columns = plot(1, len(STEP_CONTENDERS) - 1, width=10, height=3.2)
    places = list(product(PLACES, LENGTHS))
    for axes, name in zip(columns, list(STEP_CONTENDERS)[1:], strict=True):
        axes.axhline(1, color="0.5", linewidth=1)
        for marker, shift, bf16 in (("o", -0.15, False), ("s", 0.15, True)):
            for line in lines:
                if line["bf16"] == bf16:
                    ratios = over_ours(line["seconds"])[name]
                    middle = statistics.median(ratios)
                    axes.errorbar(
                        places.index((line["shape"], line["length"])) + shift,
                        middle,
                        [[middle - min(ratios)], [max(ratios) - middle]],
                        color=PALETTE[int(bf16)],
                        marker=marker,
                        linestyle="",
                        label=precision(line),
                    )
        labels = [f"{length}" + f"\n{shape}" * (length == 128) for shape, length in places]
        axes.set_xticks(range(len(places)), labels)
        axes.set_title(name)
        axes.sharey(columns[0])
    columns[0].set(ylabel="times as long as ours", ylim=(0, None))
    found = dict(zip(*reversed(columns[0].get_legend_handles_labels()), strict=True))
    columns[0].legend(found.values(), found.keys())
    return figure


def measure_tried() -> Iterator[dict[str, Any]]:
    """A step with one thing changed, over a step as it is."""
    for shape, length, bf16 in (("tiny", 64, True), ("mini", 128, False), ("mini", 128, True)):
        seconds = own_processes(Setting(shape, length, bf16), "tried", steps=3)
        yield told(seconds, shape=shape, length=length, bf16=bf16)


def tried_table(lines: list[dict[str, Any]]) -> str:
    """A row for each thing changed, a column for each setting."""
    header = [f"{line['shape']}, {line['length']}, {precision(line)}" for line in lines]
    ratios = [over_ours(line["seconds"]) for line in lines]
    rows = [(name, *(times(ratio[name]) for ratio in ratios)) for name in list(ratios[0])[1:]]
    return table(("a step with", *header), rows)


def measure_memory() -> Iterator[dict[str, Any]]:
    """The most memory that a process had, which took three steps."""
    for shape, length in (("mini", 128), ("base", 128)):
        peaks = {}
        for name in STEP_CONTENDERS:
            command = [sys.executable, str(HERE), "peak", shape, str(length), name]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            peaks[name] = int(output.splitlines()[-1])
        yield {"shape": shape, "length": length, "bytes": peaks}


def print_peak(shape: str, length: str, name: str) -> None:
    """A process that `measure_memory` starts, on Linux."""
    STEP_CONTENDERS[name](Setting(shape, int(length), False))(2)
    status = Path("/proc/self/status").read_text("utf-8")
    (peak,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    print(int(peak.split()[1]) * 1024)


def memory_table(lines: list[dict[str, Any]]) -> str:
    """A row for each shape."""
    rows = [
        (line["shape"], str(line["length"]), *(f"{b / 1e9:.2f} GB" for b in line["bytes"].values()))
        for line in lines
    ]
    return table(("shape", "T", *STEP_CONTENDERS), rows)
