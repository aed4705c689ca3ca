"""What `minibert finetune`, `glue` and `predict` share."""

from __future__ import annotations

from typing import Any

import click

from minibert.cli.terminal import say

FEW_ROWS = 500
"""With fewer training rows than this, fine-tuning is a quick look and runs one seed."""
KINDS_OF_TEXTS = ("classification", "multi-label", "regression", "tagging")
"""Kinds of task whose rows are single texts, which need no file."""


def training_options(command: Any) -> Any:
    """How fine-tuning goes, for one task or for many."""
    options = [
        click.option(
            "--rows", type=click.IntRange(min=2),
            help="Train on this many rows.  [default: all]",
        ),
        click.option(
            "--seeds", type=click.IntRange(min=1),
            help="Runs, each with a new head and another order of rows.  [default: 3; 1 with "
            f"--quick or --rows below {FEW_ROWS}]",
        ),
        click.option("--quick", is_flag=True, help="Take a first look: run one seed."),
        click.option(
            "--epochs", type=float, default=3.0, show_default=True,
            help="Passes over the training rows.",
        ),
        click.option(
            "--batch-size", type=click.IntRange(min=1), default=32, show_default=True,
            help="Rows in a batch.",
        ),
        click.option(
            "--max-length", type=click.IntRange(min=8), default=128, show_default=True,
            help="Tokens in a text. Longer texts are cut.",
        ),
        click.option(
            "--lr", type=float,
            help="The learning rate.  [default: by the model's width: 3e-4 for mini-sotu, 3e-5 for "
            "BERT-base]",
        ),
        click.option("--frozen", is_flag=True, help="Train the head alone."),
        click.option(
            "--layer-decay", type=float, default=1.0, show_default=True,
            help="Learning rate of each layer, as a share of that of the layer above.",
        ),
        click.option(
            "--pooling", type=click.Choice(("cls", "mean", "query")), default="cls",
            show_default=True, help="How a text becomes one vector.",
        ),
        click.option(
            "--dropout", type=click.FloatRange(0, 1, max_open=True), default=0.1,
            show_default=True, help="Probability of dropout.",
        ),
        click.option("--resume", is_flag=True, help="Continue in OUT, with the same options."),
        click.option("--overwrite", is_flag=True, help="Replace what is in OUT."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


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
