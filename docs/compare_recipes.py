"""Which recipe learns most: the runs behind `docs/recipes.md`.

    python docs/compare_recipes.py lr-fast lr-original start final    # some or all groups
    python docs/compare_recipes.py --table                            # the table alone

Each run is one line of `docs/recipes.jsonl`, and is not run again if it is there. The runs of a
sweep have equal steps, so that other work on the machine does not change them; those of `final`
have equal time, and want a quiet machine. All are measured on the held-out speeches.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from minibert.corpus import load_corpus
from minibert.pretraining import (
    RECIPES,
    PretrainingObjective,
    Run,
    has_bf16,
    held_out_batches,
    make_batches,
    make_config,
    make_model,
    make_optimizers,
    make_schedule,
    prepare_data,
)
from minibert.trainer import Plan, Trainer, read_history

HERE = Path(__file__).parent
RESULTS = HERE / "recipes.jsonl"
DATA = HERE.parent / "runs" / "compare_recipes"

FAST = {"recipe": "fast", "steps": 1000}
ORIGINAL = {"recipe": "original", "steps": 2000}  # its batches are half as large
GROUPS = {
    "lr-fast": [
        {**FAST, "lr": lr, "matrix_lr": matrix_lr}
        for lr, matrix_lr in (
            (1.5e-3, 0.02),
            (3e-3, 0.02),
            (6e-3, 0.02),
            (3e-3, 0.01),
            (3e-3, 0.04),
        )
    ],
    "lr-original": [{**ORIGINAL, "lr": lr} for lr in (2.5e-4, 5e-4, 1e-3, 2e-3)],
    "start": [
        {**FAST, "optimizer": optimizer, "lr": lr, "init": init, "seed": seed}
        for seed in (0, 1, 2)
        for optimizer, lr in (("muon", 3e-3), ("adamw", 1e-3))
        for init in ("random", "cooccurrence")
    ],
    "final": [
        {"recipe": recipe, "minutes": 5.0, "seed": seed}
        for seed in (0, 1, 2)
        for recipe in ("original", "fast")
    ],
}
TITLES = {
    "lr-fast": "Learning rates of the fast recipe",
    "lr-original": "Learning rates of the original recipe",
    "start": "What the token matrix starts from",
    "final": "Both recipes, five minutes each",
}


def train(settings: dict) -> dict[str, float]:
    """One run; its steps, and accuracy and loss on held-out text."""
    settings = dict(settings)
    name, seed = settings.pop("recipe"), settings.pop("seed", 0)
    plan = {"steps": settings.pop("steps", None), "minutes": settings.pop("minutes", None)}
    recipe = replace(RECIPES[name], **settings)
    DATA.mkdir(parents=True, exist_ok=True)
    training, held_out, tokenizer = prepare_data(load_corpus("sotu"), Run("sotu"), DATA)
    model = make_model(recipe, make_config(recipe, "tiny", tokenizer.vocab_size), training, seed)
    batches = make_batches(recipe, training, tokenizer, seed)
    with tempfile.TemporaryDirectory() as out:
        trainer = Trainer(
            model,
            PretrainingObjective(),
            make_optimizers(recipe, model),
            make_schedule(recipe),
            lambda step: [batches(step)],
            Plan(**plan, bf16=recipe.bf16 and has_bf16(), evaluate_every=None, save_every=None),
            Path(out),
            seed=seed,
            held_out=held_out_batches(held_out, tokenizer),
        )
        if not trainer.train():
            sys.exit("stopped")
        measured = read_history(Path(out))[-1]["held_out"]
    return {
        "steps": trainer.step,
        "accuracy": round(measured["mlm_accuracy"], 4),
        "loss": round(measured["mlm_loss"], 3),
    }


def results() -> list[dict]:
    """The runs so far."""
    if not RESULTS.exists():
        return []
    return [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]


def write_table() -> None:
    """`docs/recipes.md`: a row for each set of settings, the mean over its seeds."""
    lines = ["# The recipes, compared", ""]
    lines += ["Made by `python docs/compare_recipes.py`: preset tiny (2 layers, 128 wide) on the"]
    lines += ["State of the Union messages, vocabulary 8192, on two CPU cores. Accuracy and loss"]
    lines += ["are of masked tokens in held-out speeches, 15 % masked, all by `[MASK]`. ± is the"]
    lines += ["standard deviation over seeds; a row without it is a single seed.", ""]
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
        lines += [f"## {title}", "", "| settings | seeds | steps | accuracy | loss |"]
        lines += ["|---|---|---|---|---|"]
        for label, found in rows.items():
            accuracy = [100 * result["accuracy"] for result in found]
            loss = [result["loss"] for result in found]
            steps = round(statistics.mean(result["steps"] for result in found))
            lines.append(
                f"| {label} | {len(found)} | {steps} | {mean(accuracy, 1)} % | {mean(loss, 2)} |"
            )
        lines.append("")
    (HERE / "recipes.md").write_text("\n".join(lines), encoding="utf-8")


def mean(values: list[float], digits: int) -> str:
    """`31.2`, or `31.2 ± 0.4` of more than one."""
    text = f"{statistics.mean(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ± {statistics.stdev(values):.{digits}f}"


def main() -> None:
    """Run the groups that are asked for, and write the table after each run."""
    for group in [name for name in sys.argv[1:] if name != "--table"]:
        for settings in GROUPS[group]:
            if any(r["group"] == group and r["settings"] == settings for r in results()):
                continue
            print(group, settings, flush=True)
            line = {"group": group, "settings": settings, "result": train(settings)}
            with RESULTS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            write_table()
    write_table()


if __name__ == "__main__":
    main()
