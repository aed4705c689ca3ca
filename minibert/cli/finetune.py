"""`minibert finetune`: a head on a model, trained and scored."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Any

import click

from minibert.cli.finetuning_options import KINDS_OF_TEXTS, choose_seeds, training_options
from minibert.cli.group import CommandWithExamples
from minibert.cli.models import load_body
from minibert.cli.terminal import printable, warnings_in_a_line


@click.command(
    cls=CommandWithExamples,
    examples=(
        "minibert finetune mini-sotu --task sotu-party -o runs/party",
        "minibert finetune mini-sotu --task sotu-year --rows 2000 --seeds 1 -o runs/year",
        "minibert finetune runs/mine --data reviews.csv --label stars -o runs/stars",
        "minibert finetune --tasks",
    ),
)
@click.argument("model", required=False)
@click.option("--task", help="A task that comes along; --tasks lists them.")
@click.option("--data", help="Your own: a .csv, .tsv or .jsonl file, a folder of them, or hf:NAME.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="Folder for the model and its scores."
)
@click.option("--tasks", is_flag=True, help="List the tasks that come along, and stop.")
@click.option("--kind", help="The kind of --data, where its columns do not say.")
@click.option("--text", help="The column of --data that holds the text ...")
@click.option("--text-pair", help="... the second text ...")
@click.option("--label", help="... what is to be learned ...")
@click.option("--document", help="... and where a row is from: no document is split.")
@training_options
def finetune(
    model: str | None,
    task: str | None,
    data: str | None,
    out: Path | None,
    tasks: bool,
    rows: int | None,
    seeds: int | None,
    quick: bool,
    dropout: float,
    resume: bool,
    overwrite: bool,
    kind: str | None,
    text: str | None,
    text_pair: str | None,
    label: str | None,
    document: str | None,
    **settings: Any,
) -> None:
    """Put a new head on MODEL, train both on labelled rows, and score them beside baselines.

    MODEL is `mini-sotu`, a folder, or a name on the hub. Of --data without a test file of its own,
    one row in ten is kept for the test and one in ten for validation.
    """
    from minibert.data.tasks import TASKS

    if tasks:
        width = max(map(len, TASKS))
        for name, what in TASKS.items():
            click.echo(f"{name:{width}}  {what}")
        return
    if model is None or out is None or (task is None) == (data is None):
        raise click.UsageError("it takes a MODEL, -o OUT, and either --task or --data")
    columns = {"text": text, "text_pair": text_pair, "label": label, "document": document}
    for name, value in {"kind": kind, **columns}.items():
        if task is not None and value is not None:
            option = f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{option} is for --data: a --task has its own columns and kind")
    from minibert.data.labelled_rows import Columns
    from minibert.data.labelled_texts import load_data
    from minibert.data.splits import subsample
    from minibert.data.tasks import describe, load_task
    from minibert.finetuning.run import RESULTS, finetune
    from minibert.finetuning.settings import Finetuning, Runs, body_settings

    use = Finetuning(**settings)
    runs = Runs(choose_seeds(seeds, quick, rows), resume, overwrite, click.echo)
    with warnings_in_a_line():
        labelled = load_task(task) if task else load_data(data, kind, Columns(**columns))
    labelled = subsample(labelled, rows)
    for line in describe(labelled):
        click.echo(printable(line))
    bert, tokenizer = load_body(model, **body_settings(dropout))
    result = finetune(bert, tokenizer, labelled, out, use, runs)
    if result is None:
        click.echo("Stopped and saved. Go on with the same command and --resume")
        return
    click.echo(f"\nOn the {len(labelled.test):,} test rows")
    for line in result.table().split("\n"):
        click.echo(printable(line))
    click.echo(f"\nIn {out}: the model, and all scores in {RESULTS}. Answers to new texts:")
    asks = '"..."' if labelled.kind in KINDS_OF_TEXTS else "--data FILE"
    click.echo(f"  minibert predict {quote(str(out))} {asks}")
