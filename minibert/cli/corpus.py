"""`minibert corpus`: what a corpus holds."""

from __future__ import annotations

import click

from minibert.cli.group import CommandWithExamples
from minibert.cli.options import corpus_argument
from minibert.cli.terminal import say


@click.command(
    cls=CommandWithExamples, examples=("minibert corpus library", "minibert corpus my-texts/")
)
@corpus_argument
def corpus(corpus: str) -> None:
    """Count the documents and words of CORPUS."""
    from minibert.data.counting import count_by_source

    rows = count_by_source(corpus)
    say(f"{'':12s} {'training':>20s} {'held out':>20s}")
    say(f"{'source':12s} {'documents':>9s} {'words':>10s} {'documents':>9s} {'words':>10s}")
    for row in rows:
        train, held_out = row.training, row.held_out
        say(
            f"{row.source:12s} {train.documents:9,d} {train.words:10,d} "
            f"{held_out.documents:9,d} {held_out.words:10,d}  {row.licence}"
        )
