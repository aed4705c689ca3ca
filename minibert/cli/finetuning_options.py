"""What `minibert finetune`, `glue` and `predict` share."""

from __future__ import annotations

from typing import Any

import click

FEW_ROWS = 500
"""With fewer training rows asked for, fine-tuning is a quick look, and runs one seed."""
KINDS_OF_TEXTS = ("classification", "multi-label", "regression", "tagging")
"""Kinds of task whose rows can be given as a text each, without a file."""


def training_options(command: Any) -> Any:
    """How fine-tuning goes, alike for one task and for many."""
    options = [
        click.option(
            "--rows", type=click.IntRange(min=2), help="Learn from so many rows, not all."
        ),
        click.option(
            "--seeds", type=click.IntRange(min=1),
            help="Runs, each with another head and order.  [default: 3, and 1 with --quick or "
            f"--rows below {FEW_ROWS}]",
        ),
        click.option("--quick", is_flag=True, help="A first look: one seed."),
        click.option("--epochs", type=float, default=3.0, show_default=True),
        click.option("--batch-size", type=click.IntRange(min=1), default=32, show_default=True),
        click.option(
            "--max-length", type=click.IntRange(min=8), default=128, show_default=True,
            help="Tokens.",
        ),
        click.option(
            "--lr", type=float,
            help="The learning rate.  [default: by the model's width; 3e-4 for mini-sotu, 3e-5 for "
            "BERT-base]",
        ),
        click.option("--frozen", is_flag=True, help="Train the head alone."),
        click.option(
            "--layer-decay", type=float, default=1.0, show_default=True,
            help="The rate of each layer is this times that of the one above.",
        ),
        click.option(
            "--pooling", type=click.Choice(("cls", "mean", "query")), default="cls",
            show_default=True, help="How a text becomes one vector.",
        ),
        click.option(
            "--dropout", type=click.FloatRange(0, 1, max_open=True), default=0.1,
            show_default=True,
        ),
        click.option("--resume", is_flag=True, help="Go on in OUT, with the same options."),
        click.option("--overwrite", is_flag=True, help="Replace what an earlier call left in OUT."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def choose_seeds(seeds: int | None, quick: bool, rows: int | None) -> range:
    """Three, or one for a quick look, as `--rows 200` is; what was not asked for is said."""
    if quick and seeds is not None:
        raise click.UsageError("--quick is one seed: give either --quick or --seeds")
    if seeds is None and not quick and rows is not None and rows < FEW_ROWS:
        click.echo(f"One seed, as --rows {rows} is a quick look; with another the score may be")
        click.echo("several points higher or lower. --seeds 3 shows by how much.")
        return range(1)
    return range(1 if quick else seeds or 3)
