"""`minibert glue`: a model on GLUE's nine tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from minibert.cli.finetuning_options import choose_seeds, training_options
from minibert.cli.group import command
from minibert.cli.models import load_body
from minibert.cli.options import FOLDER, model_argument, option, out_folder, settings
from minibert.cli.terminal import say


@command(
    "minibert glue mini -o runs/glue",
    "minibert glue runs/mine -o runs/glue --data GLUE/ --tasks sst2,mrpc --rows 2000",
)
@model_argument
@out_folder("Folder for the table, and for a folder of each task.")
@option("--data", "GLUE's folders, in this folder.  [default: from the hub]", FOLDER)
@click.option("--tasks", metavar="NAME,NAME", help="Only these tasks.  [default: all nine]")
@training_options
def glue(model: str, out: Path, **options: Any) -> None:
    """Fine-tune MODEL on GLUE's nine tasks.

    Scores are on GLUE's validation rows, because its test labels are hidden. Its million training
    rows are too many for most CPUs: use --rows, --seeds and --tasks.
    """
    from minibert.data.glue_tasks import GLUE, load_glue
    from minibert.data.splits import subsample
    from minibert.finetuning.glue import TABLE, run_glue
    from minibert.finetuning.settings import Finetuning, Runs, body_settings

    use = settings(Finetuning, options)
    runs = Runs(options["resume"], options["overwrite"], say, seeds=choose_seeds(options))
    tasks = options["tasks"]
    names = tuple(dict.fromkeys(tasks.split(","))) if tasks else tuple(GLUE)
    bert, tokenizer = load_body(model, **body_settings(options["dropout"]))
    data = {name: subsample(load_glue(name, options["data"]), options["rows"]) for name in names}
    table = run_glue(bert, tokenizer, data, out, use, runs)
    if table is None:
        say("Stopped and saved. Continue with the same command and --resume")
        return
    say()
    for line in table.split("\n"):
        say(line)
    say(f"\nIn {out}: {TABLE}, and a folder for each task.")
