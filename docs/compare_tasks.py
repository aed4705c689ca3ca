"""How well mini-sotu learns each task: the runs behind `docs/tasks.md`.

    python docs/compare_tasks.py settings               # which settings are the defaults
    python docs/compare_tasks.py tasks                  # mini-sotu on every task, three seeds
    python docs/compare_tasks.py tasks sotu-year sts-b  # on some of them
    python docs/compare_tasks.py baselines              # what counting reaches; takes names, too
    python docs/compare_tasks.py                        # the tables, put into docs/tasks.md

Each run is one line of `docs/tasks.jsonl`, and is not run again if it is there. What is chosen is
chosen on validation rows; the test rows are asked by `tasks` and `baselines` alone.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from minibert.data.splits import TaskData, subsample
from minibert.data.tasks import load_task
from minibert.files import find_directory
from minibert.finetuning.baselines import baseline_answers
from minibert.finetuning.head_training import HeadTraining
from minibert.finetuning.metrics import score
from minibert.finetuning.predict import evaluate
from minibert.finetuning.results import shown
from minibert.finetuning.settings import Finetuning, body_settings
from minibert.model import BertModel
from minibert.tokenizer import BertTokenizer

RESULTS = Path(__file__).parent / "tasks.jsonl"
PAGE = RESULTS.with_suffix(".md")
MODEL = "mini-sotu"
DROPOUT = 0.1

RATES = ({"lr": 1e-4}, {"lr": 3e-4}, {"lr": 1e-3})
POOLINGS = ({"pooling": "mean"}, {"pooling": "query"})
SETTINGS = {
    "sotu-century": (*RATES, *POOLINGS, {"epochs": 6}),
    "sotu-year": (*RATES, *POOLINGS, {"epochs": 6}),
    "sotu-case": (*RATES, {"epochs": 6}),
}
"""What is tried on each task; what is not named is as in `START`."""
START = {"lr": 3e-4, "epochs": 3.0, "pooling": "cls"}
SETTINGS_ROWS, SETTINGS_VALIDATION = 1000, 400

TASKS = (
    "sotu-century", "sotu-year", "sotu-party", "sotu-case", "sotu-cloze", "sotu-next",
    "sotu-choice", "sotu-delivery", "sotu-punctuation", "sotu-facts", "sts-b", "boolq",
)  # fmt: skip
TASKS_ROWS = 2000
SEEDS = (0, 1, 2)


def lines() -> list[dict[str, Any]]:
    """What has been run."""
    if not RESULTS.exists():
        return []
    return [json.loads(line) for line in RESULTS.read_text("utf-8").splitlines()]


def once(run: dict[str, Any], work: Any) -> None:
    """`run` with the scores that `work()` gives, as a line of the results, if it is not there."""
    if any(run.items() <= line.items() for line in lines()):
        return
    line = {**run, "scores": work()}
    with RESULTS.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")
    print(line, flush=True)


def body() -> tuple[BertModel, BertTokenizer]:
    """The shipped checkpoint, with the settings that `minibert finetune` gives it."""
    found = find_directory(MODEL)
    bert = BertModel.from_pretrained(found, **body_settings(DROPOUT))
    return bert, BertTokenizer.from_pretrained(found)


def train_and_score(data: TaskData, asked: list, settings: Finetuning, seed: int) -> dict:
    """The scores of one run on the rows `asked`."""
    bert, tokenizer = body()
    with tempfile.TemporaryDirectory() as out:
        model = HeadTraining(bert, tokenizer, data, out, settings, seed).train()
    if model is None:
        sys.exit("stopped")
    return evaluate(model, tokenizer, asked, settings.max_length)


def run_settings(names: list[str]) -> None:
    """Every setting on validation rows, first with one seed and then with the next."""
    for seed in SEEDS[:2]:
        for task in names or SETTINGS:
            data = subsample(load_task(task), SETTINGS_ROWS)
            some = random.Random(0).sample(data.validation, SETTINGS_VALIDATION)
            data = replace(data, validation=some)
            for changes in SETTINGS[task]:
                use = {**START, **changes}
                run = {"group": "settings", "task": task, "rows": SETTINGS_ROWS, **use}
                once(
                    {**run, "seed": seed},
                    lambda data=data, use=use, seed=seed: train_and_score(
                        data, data.validation, Finetuning(**use), seed
                    ),
                )


def run_tasks(names: list[str]) -> None:
    """Every task with the defaults and each seed, scored on its test rows."""
    for task in names or TASKS:
        data = subsample(load_task(task), TASKS_ROWS)
        for seed in SEEDS:
            once(
                {"group": "tasks", "task": task, "rows": len(data.train), "seed": seed},
                lambda data=data, seed=seed: train_and_score(data, data.test, Finetuning(), seed),
            )


def run_baselines(names: list[str]) -> None:
    """The baselines of every task, from the same training rows."""
    for task in names or TASKS:
        data = subsample(load_task(task), TASKS_ROWS)
        once(
            {"group": "baselines", "task": task, "rows": len(data.train)},
            lambda data=data: {
                name: score(data.kind, data.test, answers)
                for name, answers in baseline_answers(data).items()
            },
        )


# --- tables ------------------------------------------------------------------------------------

MEASURES = {
    "classification": ("accuracy", "macro F1"),
    "tagging": ("accuracy", "macro F1"),
    "multi-label": ("micro F1", "all labels right"),
    "regression": ("mean absolute error", "Pearson correlation"),
    "question-answering": ("F1", "exact match"),
    "multiple-choice": ("accuracy",),
}
"""What the tables show of each kind."""


def line(*cells: str) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def measures(scores: dict[str, float]) -> tuple[str, ...]:
    """Those that are shown, by the scores that a run has."""
    return next(names for names in MEASURES.values() if names[0] in scores and names[-1] in scores)


def settings_table() -> list[str]:
    """A row for each setting, both seeds, on validation rows."""
    rows: dict[tuple, list[dict]] = {}
    for run in lines():
        if run["group"] == "settings":
            key = (run["task"], run["lr"], run["epochs"], run["pooling"])
            rows.setdefault(key, []).append(run["scores"])
    table = [line("task", "lr", "epochs", "pooling", "measure", "seeds 0 and 1")]
    table.append(line(*["---"] * 6))
    for (task, lr, epochs, pooling), runs in sorted(rows.items(), key=str):
        measure = measures(runs[0])[0]
        cells = (task, f"{lr:g}", f"{epochs:g}", pooling, measure)
        both = ", ".join(shown(measure, [run[measure]]) for run in runs)
        table.append(line(*cells, both))
    return table


def tasks_table() -> list[str]:
    """A row for each measure of a task that was run with every seed and has its baselines."""
    runs: dict[str, list[dict]] = {}
    baselines = {}
    for run in lines():
        if run["group"] == "tasks":
            runs.setdefault(run["task"], []).append(run["scores"])
        elif run["group"] == "baselines":
            baselines[run["task"]] = run["scores"]
    table = [line("task", "measure", "mini-sotu", "no reading", "counting")]
    table.append(line(*["---"] * 5))
    for task in TASKS:
        if len(runs.get(task, ())) < len(SEEDS) or task not in baselines:
            continue
        names = list(baselines[task])
        for measure in measures(runs[task][0]):
            of_each = [shown(measure, [baselines[task][name][measure]]) for name in names]
            counting = "; ".join(
                f"{cell} ({name.removeprefix('... of ').split(' + ')[0]})"
                for name, cell in zip(names[1:], of_each[1:], strict=True)
            )
            ours = shown(measure, [scores[measure] for scores in runs[task]])
            table.append(line(task, measure, ours, of_each[0], counting))
    return table


def with_tables(text: str) -> str:
    """`docs/tasks.md` with its tables as they are now."""
    for table in (settings_table(), tasks_table()):
        start = text.index(table[0])
        end = text.index("\n\n", start)
        text = text[:start] + "\n".join(table) + text[end:]
    return text


GROUPS = {"settings": run_settings, "tasks": run_tasks, "baselines": run_baselines}

if __name__ == "__main__":
    torch.set_num_threads(1)
    group, *names = sys.argv[1:] or [""]
    if group:
        GROUPS[group](names)
    else:
        print("\n".join([*settings_table(), "", *tasks_table()]))
        PAGE.write_text(with_tables(PAGE.read_text("utf-8")), encoding="utf-8")
