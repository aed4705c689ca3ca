"""`minibert distill`: a small BERT that learns from a larger BERT."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Any

import click

from minibert.cli.group import command
from minibert.cli.options import (
    MODEL,
    check_duration,
    corpus_argument,
    count,
    duration_options,
    flag,
    given_options,
    out_folder,
    pick,
    resume_options,
    seed_option,
)
from minibert.cli.terminal import say

RUN_OPTIONS = ("minutes", "steps", "layers", "hidden_size", "heads", "seed")
LABELS = {"neighbours": "counting neighbours", "most_frequent": "most frequent token"}


@command(
    "minibert distill mini sotu -o runs/student --minutes 5",
    "minibert distill mini sotu -o runs/alone --minutes 5 --alone",
    "minibert distill mini sotu -o runs/student --resume",
)
@click.argument("teacher", help=f"A BERT that guesses masked words: {MODEL}")
@corpus_argument
@out_folder("Folder for the student.")
@duration_options
@count("--layers", "Layers of the student.", 2)
@count("--hidden hidden_size", "Hidden size of the student.", 128)
@count(
    "--heads",
    "Heads in each layer.  [default: one for each 64 of --hidden; the teacher's, if it is as wide]",
)
@seed_option
@flag("--alone", "Train the same student without the teacher, to compare. Other options may stay.")
@resume_options
@click.pass_context
def distill(ctx: click.Context, teacher: str, corpus: str, out: Path, **options: Any) -> None:
    """Train a small BERT with the help of TEACHER.

    Ctrl-C finishes the step, saves, and stops; --resume continues.
    """
    from dataclasses import replace

    from minibert.data.hub import pinned
    from minibert.distillation.run import DistillationRun, distill, read_distillation
    from minibert.pretraining.run_data import find_corpus
    from minibert.training.run_folder import Session

    earlier = read_distillation(out) if options["resume"] else None
    texts = find_corpus(pinned(corpus, earlier.corpus) if earlier else corpus)
    changes = pick(given_options(ctx), RUN_OPTIONS)
    run = replace(earlier or DistillationRun("", ""), **changes, teacher=teacher, corpus=texts.name)
    if options["alone"]:
        run = replace(run, transfer=None)
    check_duration(run)
    if distill(texts, out, run, Session(options["resume"], options["overwrite"], say)):
        _say_results(out)
        say(f"Done: {out}.")
    else:
        again = f"minibert distill {quote(teacher)} {quote(corpus)} -o {quote(str(out))} --resume"
        say(f"Stopped and saved. Continue with: {again}")


def _say_results(out: Path) -> None:
    """Print a line for teacher, student and baselines."""
    from minibert.distillation.comparison import before_and_after

    for name, numbers in before_and_after(out).items():
        line = f"{LABELS.get(name, name):19s} {numbers['mlm_accuracy']:6.1%} of masked tokens right"
        if "weights" in numbers:
            line += (
                f"  {numbers['weights'] / 1e6:6.2f} million weights, "
                f"{numbers['megabytes']:5.1f} MB, "
                f"{numbers['tokens_per_second_1']:7,.0f} tokens/s one text at a time, "
                f"{numbers['tokens_per_second_32']:7,.0f} of 32"
            )
        say(line)
