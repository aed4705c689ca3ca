"""`minibert distill`: a small BERT that learns from a larger BERT."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Any

import click

from minibert.cli.group import CommandWithExamples

# Options of `minibert distill` that say what the teacher passes on.
TRANSFER_OPTIONS = ("temperature", "alpha", "hidden_weight", "attention")


@click.command(
    cls=CommandWithExamples,
    examples=(
        "minibert distill mini-sotu sotu -o runs/student --minutes 5",
        "minibert distill mini-sotu sotu -o runs/alone --minutes 5 --alone",
        "minibert distill mini-sotu sotu -o runs/student --resume",
    ),
)
@click.argument("teacher")
@click.argument("corpus")
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder for the student."
)
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Train so long ...")
@click.option("--steps", type=click.IntRange(min=1), help="... or so many steps.")
@click.option("--layers", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--hidden", "hidden_size", type=click.IntRange(min=1), default=128, show_default=True)
@click.option(
    "--heads", type=click.IntRange(min=1),
    help="One for each 64 of --hidden if not given; the teacher's where it is as wide.",
)  # fmt: skip
@click.option(
    "--temperature", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True,
    help="What the logits of both are divided by.",
)  # fmt: skip
@click.option(
    "--alpha", type=click.FloatRange(0, 1), default=0.0, show_default=True,
    help="The weight of the true tokens; the teacher's guesses have the rest.",
)  # fmt: skip
@click.option(
    "--hidden-weight", type=click.FloatRange(min=0), default=0.0, show_default=True,
    help="The weight of the teacher's hidden states.",
)  # fmt: skip
@click.option(
    "--attention", type=click.Choice(("none", "maps", "relations")), default="none",
    show_default=True, help="What is learned of the teacher's attention.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--alone", is_flag=True,
    help="Train the same student without its teacher, to compare; all else may stay.",
)  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on with the run in OUT; needs no other option.")
@click.option("--overwrite", is_flag=True, help="Replace the run in OUT.")
@click.pass_context
def distill(
    ctx: click.Context,
    teacher: str,
    corpus: str,
    out: Path,
    alone: bool,
    resume: bool,
    overwrite: bool,
    **options: Any,
) -> None:
    """Train a small BERT on CORPUS with the help of TEACHER, a larger one.

    TEACHER is `mini-sotu`, a folder, or a name on the hub, and guesses masked words; CORPUS is as
    in `pretrain`. Ctrl-C finishes the step, saves, and stops; --resume goes on.
    """
    from dataclasses import replace

    from minibert.data.hub import pinned
    from minibert.distillation.comparison import before_and_after
    from minibert.distillation.objective import Transfer
    from minibert.distillation.run import DistillationRun, distill, read_distillation
    from minibert.pretraining.run_data import find_corpus

    run = read_distillation(out) if resume else DistillationRun("", "")
    given = {
        name: value
        for name, value in options.items()
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    }
    passed_on = {name: given.pop(name) for name in TRANSFER_OPTIONS if name in given}
    transfer = replace(run.transfer or Transfer(), **passed_on)
    if alone or (resume and run.transfer is None and not passed_on):
        transfer = None
    texts = find_corpus(pinned(corpus, run.corpus))
    run = replace(run, teacher=teacher, corpus=texts.name, transfer=transfer, **given)
    if (run.steps is None) == (run.minutes is None):
        raise click.UsageError("say how long: either --steps or --minutes")
    if not distill(texts, out, run, resume, overwrite, say=click.echo):
        again = f"minibert distill {quote(teacher)} {quote(corpus)} -o {quote(str(out))} --resume"
        click.echo(f"Stopped and saved. Go on with: {again}")
        return
    for name, numbers in before_and_after(out).items():
        size = ""
        if "weights" in numbers:
            size = (
                f"{numbers['weights'] / 1e6:6.2f} million weights, {numbers['megabytes']:5.1f} MB, "
                f"{numbers['tokens_per_second_1']:7,.0f} tokens/s one text at a time, "
                f"{numbers['tokens_per_second_32']:7,.0f} of 32"
            )
        label = {"neighbours": "counting neighbours", "most_frequent": "most frequent token"}
        right = f"{numbers['mlm_accuracy']:6.1%} of masked tokens right"
        click.echo(f"{label.get(name, name):19s} {right}  {size}".rstrip())
    click.echo(f"Done: {out}.")
