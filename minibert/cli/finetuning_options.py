"""What `minibert finetune`, `glue` and `predict` share."""

from __future__ import annotations

from typing import Any

import click

from minibert.cli.options import BELOW_1, count, flag, option, overwrite_option, together
from minibert.cli.terminal import say

POOLING = click.Choice(("cls", "mean", "query"))
FEW_ROWS = 500
"""With fewer training rows than this, fine-tuning is a quick look and runs one seed."""
KINDS_OF_TEXTS = ("classification", "multi-label", "regression", "tagging")
"""Kinds of task whose rows are single texts, which need no file."""


training_options = together(
    count("--rows", "Train on this many rows.  [default: all]", least=2),
    count(
        "--seeds",
        "Runs, each with a new head and another order of rows.  [default: 3; 1 with --quick or "
        f"--rows below {FEW_ROWS}]",
    ),
    flag("--quick", "Take a first look: run one seed."),
    option("--epochs", "Passes over the training rows.", float, 3.0),
    count("--batch-size", "Rows in a batch.", 32),
    count("--max-length", "Tokens in a text. Longer texts are cut.", 128, least=8),
    option(
        "--lr",
        "The learning rate.  [default: by the model's width: 3e-4 for mini, 3e-5 for BERT-base]",
        float,
    ),
    flag("--frozen", "Train the head alone."),
    option("--layer-decay", "Learning rate of a layer, relative to the layer above.", float, 1.0),
    option("--pooling", "How a text becomes one vector.", POOLING, "cls"),
    option("--dropout", "Probability of dropout.", BELOW_1, 0.1),
    flag("--resume", "Continue in OUT, with the same options."),
    overwrite_option,
)
"""How fine-tuning goes, for one task or for many."""


def choose_seeds(options: dict[str, Any]) -> range:
    """Three seeds, or one for a quick look, such as `--rows 200`. A choice of ours is printed."""
    seeds, quick, rows = options["seeds"], options["quick"], options["rows"]
    if quick and seeds is not None:
        raise click.UsageError("--quick runs one seed: give either --quick or --seeds")
    if seeds is None and not quick and rows is not None and rows < FEW_ROWS:
        say(f"One seed, because --rows {rows} is a quick look. Another seed may score several")
        say("points higher or lower; --seeds 3 shows by how much.")
        return range(1)
    return range(1 if quick else seeds or 3)
