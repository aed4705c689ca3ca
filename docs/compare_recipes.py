"""Which recipe learns most: the runs behind `docs/recipes.md`.

    python docs/compare_recipes.py lr start parts final    # some or all groups

Each run is one line of `docs/recipes.jsonl`, and is not run again if it is there. Runs that are
compared by steps do not change with other work on the machine; those of `final` have equal time,
and want a quiet one. Only `final` is measured on the held-out speeches that every run of `sotu` is
measured on: all choices are made with others, held out of the rest.
"""

from __future__ import annotations

import json
import statistics
import sys
from dataclasses import replace
from pathlib import Path

from short_run import Length, train_briefly

from minibert.data.corpora import load_corpus
from minibert.data.masking import Masking
from minibert.finetuning.metrics import interval
from minibert.pretraining.recipes import RECIPES
from minibert.pretraining.run import Run, prepare_data
from minibert.pretraining.start_new import make_config, make_model

HERE = Path(__file__).parent
RESULTS = HERE / "recipes.jsonl"
DATA = HERE.parent / "runs" / "compare_recipes"

FAST = {"recipe": "fast", "steps": 1000}
ORIGINAL = {"recipe": "original", "steps": 6000}  # it leaves its plateau late, if at all
MUON, ADAMW = {"optimizer": "muon", "lr": 3e-3}, {"optimizer": "adamw", "lr": 1e-3}
STARTS = (
    {"init": "random", "positions": "random"},
    {"init": "cooccurrence", "positions": "random"},
    {"init": "cooccurrence", "positions": "sinusoidal"},
)
SEEDS = (0, 1, 2)
GROUPS = {
    "lr": [
        {**FAST, "lr": lr, "matrix_lr": matrix_lr}
        for lr, matrix_lr in (
            (1.5e-3, 0.02),
            (3e-3, 0.02),
            (6e-3, 0.02),
            (3e-3, 0.01),
            (3e-3, 0.04),
        )
    ]
    + [{**FAST, "optimizer": "adamw", "lr": lr} for lr in (5e-4, 1e-3, 2e-3)]
    + [{**ORIGINAL, "lr": lr} for lr in (2.5e-4, 1e-3, 4e-3)],
    "start": [
        {**FAST, **optimizer, **start, "seed": seed}
        for seed in SEEDS
        for optimizer in (MUON, ADAMW)
        for start in STARTS
    ],
    "parts": [
        FAST,
        {**FAST, **ADAMW},
        {**FAST, "masking": 0.15},
        {**FAST, "masking": 0.4},
        {**FAST, "dropout": 0.1},
        {**FAST, "next_sentence": True},
        {**FAST, "schedule": "linear"},
        {**FAST, "bf16": False},
        {**FAST, "batch_size": 32, "steps": 2000},
        {**FAST, "max_length": 32, "batch_size": 128},
    ],
    "final": [
        {"recipe": recipe, "minutes": 5.0, "seed": seed}
        for seed in SEEDS
        for recipe in ("original", "fast")
    ],
}
TITLES = {
    "final": "Both recipes, five minutes each",
    "lr": "Learning rates",
    "start": "Where the token and position matrices start",
    "parts": "The fast recipe with one thing changed",
}
NOTES = {
    "start": "`init cooccurrence` also starts the bias of the MLM head, at the log of each\n"
    "token's frequency, and `random` starts it at 0. Chapter 2, section 7, compares starts of the\n"
    "token matrix with the same bias.",
}


def train(settings: dict, group: str) -> dict[str, float]:
    """One run; its steps, and accuracy and loss on held-out text."""
    settings = dict(settings)
    name, seed = settings.pop("recipe"), settings.pop("seed", 0)
    length = Length(settings.pop("steps", None), settings.pop("minutes", None))
    if "next_sentence" in settings:  # as the lines of `recipes.jsonl` have it
        settings["objective"] = "mlm+nsp" if settings.pop("next_sentence") else "mlm"
    if "masking" in settings:
        settings["masking"] = Masking(settings["masking"])
    recipe = replace(RECIPES[name], **settings)
    corpus, data = load_corpus("sotu"), DATA / "final"
    if group != "final":
        corpus, data = corpus.split()[0], DATA / "choices"
    data.mkdir(parents=True, exist_ok=True)
    texts = prepare_data(corpus, Run("sotu"), data)
    config = make_config(recipe, "tiny", texts.tokenizer.vocab_size)
    model = make_model(recipe, config, texts.training, seed)
    history = train_briefly(model, recipe, texts, length, seed)
    measured = history[-1]["held_out"]
    return {
        "steps": history[-1]["step"],
        "accuracy": round(measured["mlm_accuracy"], 4),
        "loss": round(measured["mlm_loss"], 3),
    }


def results() -> list[dict]:
    """The runs so far."""
    if not RESULTS.exists():
        return []
    return [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]


def tables() -> list[str]:
    """Lines of `docs/recipes.md`: a row for each set of settings, the mean over its seeds."""
    lines = [
        "# Earlier comparisons of `fast`",
        "",
        "Made by `python docs/compare_recipes.py`: preset tiny (2 layers, 128 wide) on `sotu`,",
        "vocabulary 8192, two CPU cores. All but the first table are measured on other speeches,",
        "so no choice was made on what the first shows.",
        "",
    ]
    done = results()
    for group, title in TITLES.items():
        rows: dict[str, list[dict]] = {}
        for line in done:
            if line["group"] == group:
                settings = {k: v for k, v in line["settings"].items() if k != "seed"}
                label = ", ".join(f"{k} {v}" for k, v in settings.items())
                rows.setdefault(label, []).append(line["result"])
        if not rows:
            continue
        lines += [f"## {title}", "", *([NOTES[group], ""] if group in NOTES else [])]
        lines += ["| settings | seeds | steps | accuracy | loss |"]
        lines += ["|---|---|---|---|---|"]
        for label, found in rows.items():
            accuracy = mean([100 * result["accuracy"] for result in found], 1)
            loss = mean([result["loss"] for result in found], 2)
            steps = round(statistics.mean(result["steps"] for result in found))
            lines.append(f"| {label} | {len(found)} | {steps} | {accuracy} % | {loss} |")
        lines.append("")
    return lines


def mean(values: list[float], digits: int) -> str:
    """`31.2`, or `31.2 ± 0.4` of more than one: a 95 % interval over seeds."""
    middle, error = interval(values)
    return f"{middle:.{digits}f}" + ("" if error is None else f" ± {error:.{digits}f}")


def main() -> None:
    """Run the groups that are asked for; `docs/speedrun.py` writes the page."""
    for group in sys.argv[1:]:
        for settings in GROUPS[group]:
            if any(r["group"] == group and r["settings"] == settings for r in results()):
                continue
            print(group, settings, flush=True)
            line = {"group": group, "settings": settings, "result": train(settings, group)}
            with RESULTS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
