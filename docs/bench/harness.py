"""Contenders that take turns, and pages with tables of what was measured.

Contenders take turns, A B C A B C, with the same threads and the same texts. What is compared are
ratios within a round, and of these the median: other work on the machine slows all alike. What was
measured goes to a JSON file, with the machine, and from there into the page's tables.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from minibert.training.hardware import has_bf16

ROUNDS = 5
Timed = Callable[[int], float]
"""Does so many steps; returns the seconds of one."""


def alternate(contenders: dict[str, Timed], steps: int) -> dict[str, list[float]]:
    """Seconds of a step of each contender, a number a round; one round before warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(ROUNDS + 1):
        for name, run in contenders.items():
            taken = run(steps)
            if number:
                seconds[name].append(taken)
    return seconds


def once(work: Callable[[], Any]) -> Timed:
    """Something to be done `steps` times."""

    def run(steps: int) -> float:
        begun = time.perf_counter()
        for _ in range(steps):
            work()
        return (time.perf_counter() - begun) / steps

    return run


def told(seconds: dict[str, list[float]], **about: Any) -> dict[str, Any]:
    """A line of the results, printed as it comes."""
    ratios = {
        name: round(statistics.median(ratio), 2) for name, ratio in over_ours(seconds).items()
    }
    print(
        *about.values(),
        {n: f"{statistics.median(s):.4f} s" for n, s in seconds.items()},
        ratios,
        flush=True,
    )
    return {**about, "seconds": seconds}


def over_ours(seconds: dict[str, list[float]]) -> dict[str, list[float]]:
    """How many times longer each takes than the first of them, a number a round."""
    ours = next(iter(seconds.values()))
    return {
        name: [theirs / of_ours for theirs, of_ours in zip(taken, ours, strict=True)]
        for name, taken in seconds.items()
    }


def table(header: Sequence[str], rows: list[Sequence[str]]) -> str:
    """Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def times(ratios: list[float]) -> str:
    """`2.31 (2.25 to 2.40)`: the median over rounds, the least and the most."""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def precision(line: dict[str, Any]) -> str:
    """As a table has it."""
    return "bf16" if line["bf16"] else "fp32"


def machine() -> str:
    """What this ran on."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text("utf-8").splitlines()
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        name = next(iter(names), name)
    bf16 = "" if has_bf16() else "out"
    return (
        f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, with{bf16} bfloat16 "
        f"products, on {platform.system()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}, transformers {version('transformers')}"
    )


Groups = dict[str, tuple[Callable[[], Iterator[dict[str, Any]]], Callable[[list], str]]]
"""What measures, a line at a time, and what makes a table of the lines."""


def page_with(results: dict[str, Any], page: Path, groups: Groups) -> str:
    """The page, with the tables where it has their names."""
    text = page.read_text("utf-8")
    for name, result in results.items():
        begin, end = f"<!-- {name} -->", "<!-- end -->"
        start = text.index(begin) + len(begin)
        _, write = groups[name]
        inside = f"\n\n{write(result['lines'])}\n\nOn {result['machine']}.\n\n"
        text = text[:start] + inside + text[text.index(end, start) :]
    return text


def measure(names: list[str], file: Path, page: Path, groups: Groups) -> dict[str, Any]:
    """Groups of these names: into the file, and from all that is there, which is returned, into
    the page."""
    results = json.loads(file.read_text("utf-8")) if file.exists() else {}
    for name in names:
        results[name] = {"machine": machine(), "lines": []}
        for line in groups[name][0]():
            results[name]["lines"].append(line)
            file.write_text(json.dumps(results) + "\n", encoding="utf-8")
    page.write_text(page_with(results, page, groups), encoding="utf-8")
    return results
