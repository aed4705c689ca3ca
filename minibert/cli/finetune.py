"""`minibert finetune`: a new head on a model, trained and scored."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from minibert.cli.finetuning_options import KINDS_OF_TEXTS, choose_seeds, training_options
from minibert.cli.group import command
from minibert.cli.models import load_body
from minibert.cli.options import model_argument, out_folder, settings
from minibert.cli.terminal import say

if TYPE_CHECKING:
    from minibert.data.splits import TaskData


def list_tasks(ctx: click.Context, _: click.Parameter, is_asked: bool) -> None:
    """Print the tasks that come with the package, and exit."""
    if is_asked and not ctx.resilient_parsing:
        from minibert.data.tasks import TASKS

        width = max(map(len, TASKS))
        for name, what in TASKS.items():
            say(f"{name:{width}}  {what}")
        ctx.exit()


@command(
    "minibert finetune mini --task sotu-party -o runs/party",
    "minibert finetune mini --task sotu-year --rows 2000 --seeds 1 -o runs/year",
    "minibert finetune runs/mine --data reviews.csv --label stars -o runs/stars",
    "minibert finetune --tasks",
)
@model_argument
@click.option(
    "--tasks", is_flag=True, is_eager=True, expose_value=False, callback=list_tasks,
    help="List the tasks that come with the package, and exit.",
)  # fmt: skip
@click.option("--task", help="A task that comes with the package.")
@click.option(
    "--data", help="Your own rows: a .csv, .tsv or .jsonl file, a folder of them, or hf:NAME."
)
@out_folder("Folder for the model and its scores.")
@click.option("--kind", help="The kind of task in --data.  [default: what its columns suggest]")
@click.option("--text", help="The column of --data with the text.  [default: text]")
@click.option("--text-pair", help="The column of --data with the second text of a pair.")
@click.option("--label", help="The column of --data with the answer to learn.  [default: label]")
@click.option(
    "--document", help="The column of --data that names a row's document. No document is split."
)
@training_options
def finetune(model: str, out: Path, **options: Any) -> None:
    """Train MODEL with a new head for a task of yours.

    Baselines are scored too. If --data has no test file, one row in ten is kept for the test and
    one in ten for validation.
    """
    from minibert.data.splits import subsample
    from minibert.data.tasks import describe
    from minibert.finetuning.run import RESULTS, finetune
    from minibert.finetuning.settings import Finetuning, Runs, body_settings

    use = settings(Finetuning, options)
    runs = Runs(options["resume"], options["overwrite"], say, seeds=choose_seeds(options))
    data = subsample(_load(options), options["rows"])
    for line in describe(data):
        say(line)
    bert, tokenizer = load_body(model, **body_settings(options["dropout"]))
    result = finetune(bert, tokenizer, data, out, use, runs)
    if result is None:
        say("Stopped and saved. Continue with the same command and --resume")
        return
    say(f"\nOn the {len(data.test):,} test rows")
    for line in result.table().split("\n"):
        say(line)
    say(f"\nIn {out}: the model, and all scores in {RESULTS}. For answers to new texts:")
    asks = '"..."' if data.kind in KINDS_OF_TEXTS else "--data FILE"
    say(f"  minibert predict {quote(str(out))} {asks}")


def _load(options: dict[str, Any]) -> TaskData:
    """The rows of --task or --data."""
    from minibert.data.labelled_rows import Columns
    from minibert.data.labelled_texts import load_data
    from minibert.data.tasks import load_task

    task, data = options["task"], options["data"]
    if (task is None) == (data is None):
        raise click.UsageError("give either --task or --data")
    if task is None:
        return load_data(data, options["kind"], settings(Columns, options))
    for name in ("kind", "text", "text_pair", "label", "document"):
        if options[name] is not None:
            option = f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{option} is for --data: a --task has its own columns and kind")
    return load_task(task)
