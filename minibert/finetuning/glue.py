"""GLUE (Wang et al., 2019): nine tasks learned one after the other, and one table at the end.

Its test labels are hidden: scores are on its validation rows, which no choice here is made on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from minibert.data.glue_tasks import GLUE
from minibert.data.splits import subsample
from minibert.data.tasks import load_task
from minibert.finetuning.metrics import class_f1
from minibert.finetuning.run import SETTINGS, Finetuning, Result, finetune, over_seeds, shown
from minibert.model import BertModel
from minibert.tokenizer import BertTokenizer

TABLE = "glue.md"
MEASURES = {
    "accuracy": "accuracy",
    "matthews": "Matthews correlation",
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
}
"""GLUE's metrics by the names that `score` gives them; `f1` is of the second class alone."""
SYSTEMS = ("minibert", "no reading", "TF-IDF", "shared words")


def run_glue(
    bert: BertModel,
    tokenizer: BertTokenizer,
    out: str | Path,
    settings: Finetuning,
    tasks: Sequence[str] = tuple(GLUE),
    folder: str | Path | None = None,
    rows: int | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    resume: bool = False,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> str | None:
    """Fine-tune on each of `tasks` in a folder of its own in `out`; the table, also in `glue.md`.

    The data is from the library `datasets`, or from `folder` (see `load_task`), and all of it is
    read before the first task is learned. None says that a signal stopped it: `resume` goes on,
    and does no finished task again. Raises what `load_task` and `finetune` raise.
    """
    out = Path(out)
    try:
        data = {name: subsample(load_task(f"glue/{name}", folder), rows) for name in tasks}
    except ImportError as error:
        raise ImportError(f"{error}; or give a folder with GLUE's files (--data)") from None
    results = {}
    for name in tasks:
        say(f"\n{name}: {len(data[name].train):,} rows to learn from.")
        begun = (out / name / SETTINGS).exists()
        result = finetune(
            bert, tokenizer, data[name], out / name, settings, seeds,
            resume and begun, overwrite and begun, say,
        )  # fmt: skip
        if result is None:
            return None
        results[name] = result
    table = glue_table(results)
    (out / TABLE).write_text(table + "\n", encoding="utf-8")
    return table


def glue_table(results: Mapping[str, Result]) -> str:
    """In Markdown: each metric of each task, and the average as GLUE has it."""
    runs = len(next(iter(results.values())).scores["minibert"])
    lines = [over_seeds(runs), ""] if runs > 1 else []
    lines += [_line("task", "metric", *SYSTEMS), _line(*["---"] * (2 + len(SYSTEMS)))]
    averaged: dict[str, list[np.ndarray]] = {system: [] for system in SYSTEMS}
    for task, result in results.items():
        scores = glue_scores(task, result)
        for number, metric in enumerate(GLUE[task].metrics):
            cells = [
                shown(metric, scores[system][:, number]) if system in scores else ""
                for system in SYSTEMS
            ]
            lines.append(_line(task, metric, *cells))
        for system, of_system in scores.items():
            averaged[system].append(of_system.mean(1))  # over the metrics of a task
    cells = [
        shown("average", np.mean(of_tasks, axis=0)) if len(of_tasks) == len(results) else ""
        for of_tasks in averaged.values()
    ]
    return "\n".join([*lines, _line("average", "", *cells)])


def glue_scores(task: str, result: Result) -> dict[str, np.ndarray]:
    """By system: (runs, metrics), in the order that `GLUE` has them in."""
    scores = {}
    for place, (name, runs) in enumerate(result.scores.items()):
        system = SYSTEMS[place] if place < 2 else name.split(" + ")[0]
        scores[system] = np.array(
            [
                [
                    class_f1(counts).get(GLUE[task].labels[1], 0.0)
                    if metric == "f1"
                    else run[MEASURES[metric]]
                    for metric in GLUE[task].metrics
                ]
                for run, counts in zip(runs, result.counts[name], strict=True)
            ]
        )
    return scores


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
