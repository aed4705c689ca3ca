"""`minibert glue`: a model on GLUE's nine tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from minibert.cli.finetuning_options import choose_seeds, training_options
from minibert.cli.group import CommandWithExamples
from minibert.cli.models import load_body
from minibert.cli.terminal import warnings_in_a_line


@click.command(
    cls=CommandWithExamples,
    examples=(
        "minibert glue mini-sotu -o runs/glue",
        "minibert glue runs/mine -o runs/glue --data GLUE/ --tasks sst2,mrpc --rows 2000",
    ),
)
@click.argument("model")
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path),
    help="Folder for a folder of each task, and the table.",
)  # fmt: skip
@click.option(
    "--data", type=click.Path(path_type=Path),
    help="A folder with a folder for each task; else the library datasets fetches them.",
)  # fmt: skip
@click.option("--tasks", metavar="NAME,NAME", help="These alone, of the nine.")
@training_options
def glue(
    model: str,
    out: Path,
    data: Path | None,
    tasks: str | None,
    rows: int | None,
    seeds: int | None,
    quick: bool,
    dropout: float,
    resume: bool,
    overwrite: bool,
    **settings: Any,
) -> None:
    """Fine-tune MODEL on GLUE's nine tasks, one after the other, and print one table.

    Scores are on GLUE's validation rows, as its test labels are hidden. All of it, a million rows
    to learn from, is much for a CPU: --rows, --seeds and --tasks make it less.
    """
    from minibert.data.glue_tasks import GLUE
    from minibert.finetuning.glue import TABLE, load_glue, run_glue
    from minibert.finetuning.settings import Finetuning, Runs, body_settings

    use = Finetuning(**settings)
    runs = Runs(choose_seeds(seeds, quick, rows), resume, overwrite, click.echo)
    names = tuple(dict.fromkeys(tasks.split(","))) if tasks else tuple(GLUE)
    bert, tokenizer = load_body(model, **body_settings(dropout))
    with warnings_in_a_line():
        table = run_glue(bert, tokenizer, load_glue(names, data, rows), out, use, runs)
    if table is None:
        click.echo("Stopped and saved. Go on with the same command and --resume")
        return
    click.echo(f"\n{table}\n\nIn {out}: {TABLE}, and a folder for each task.")
