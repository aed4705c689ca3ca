"""GLUE (Wang et al., 2019): fine-tuning on nine tasks, and one table of their scores.

The test labels are hidden, so scores are on GLUE's validation rows. No choice is made on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from minibert.data.glue_tasks import GLUE
from minibert.data.splits import TaskData
from minibert.files import write_text
from minibert.finetuning.metrics import class_f1
from minibert.finetuning.results import Result, over_seeds, shown
from minibert.finetuning.run import finetune
from minibert.finetuning.settings import Finetuning, Runs
from minibert.finetuning.task_heads import SETTINGS
from minibert.model import BertModel
from minibert.tokenizer import BertTokenizer

TABLE = "glue.md"
MEASURES = {
    "accuracy": "accuracy",
    "matthews": "Matthews correlation",
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
}
"""GLUE's metrics by the names that `score` gives them; `f1` is the F1 of the second class."""
SYSTEMS = ("minibert", "no reading", "TF-IDF", "shared words")


def run_glue(
    bert: BertModel,
    tokenizer: BertTokenizer,
    tasks: Mapping[str, TaskData],
    out: str | Path,
    settings: Finetuning,
    runs: Runs,
) -> str | None:
    """Fine-tune on each task in its own folder in `out`. Returns the table, also in `glue.md`.

    Returns None if a signal interrupted it: `runs.resume` continues, and repeats no finished task.
    Raises what `finetune` raises.
    """
    out = Path(out)
    results = {}
    for name, data in tasks.items():
        runs.say(f"\n{name}: {len(data.train):,} training rows.")
        is_begun = (out / name / SETTINGS).exists()
        of_task = replace(
            runs, resume=runs.resume and is_begun, overwrite=runs.overwrite and is_begun
        )
        result = finetune(bert, tokenizer, data, out / name, settings, of_task)
        if result is None:
            return None
        results[name] = result
    table = glue_table(results)
    write_text(out / TABLE, table + "\n")
    return table


def glue_table(results: Mapping[str, Result]) -> str:
    """In Markdown: each metric of each task, and GLUE's average over tasks."""
    runs = len(next(iter(results.values())).scores["minibert"])
    lines = [over_seeds(runs), ""] if runs > 1 else []
    lines += [_line("task", "metric", *SYSTEMS), _line(*["---"] * (2 + len(SYSTEMS)))]
    averaged: dict[str, list[np.ndarray]] = {system: [] for system in SYSTEMS}
    for task, result in results.items():
        scores = glue_scores(task, result)
        for number, metric in enumerate(GLUE[task].metrics):
            cells = [
                shown(metric, scores[system][:, number].tolist()) if system in scores else ""
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
    """By system: (runs, metrics), in the order of the task's metrics in `GLUE`."""

    def value(metric: str, number: int, name: str) -> float:
        if metric == "f1":
            return class_f1(result.counts[name][number]).get(GLUE[task].labels[1], 0.0)
        return result.scores[name][number][MEASURES[metric]]

    scores = {}
    for place, (name, runs) in enumerate(result.scores.items()):
        system = SYSTEMS[place] if place < 2 else name.split(" + ")[0]
        scores[system] = np.array(
            [
                [value(metric, number, name) for metric in GLUE[task].metrics]
                for number in range(len(runs))
            ]
        )
    return scores


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
