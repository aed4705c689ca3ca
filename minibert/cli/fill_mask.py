"""`minibert fill-mask`: the likeliest words for each blank."""

from __future__ import annotations

import click

from minibert.cli.group import CommandWithExamples
from minibert.cli.terminal import listed


@click.command(
    "fill-mask",
    cls=CommandWithExamples,
    examples=(
        'minibert fill-mask mini-sotu "The [MASK] of the Union"',
        'minibert fill-mask runs/demo --top-k 10 "Peace and [MASK]."',
    ),
)
@click.argument("model")
@click.argument("text")
@click.option("--top-k", type=click.IntRange(min=1), default=5, show_default=True)
def fill_mask(model: str, text: str, top_k: int) -> None:
    """The likeliest words for each [MASK] in TEXT.

    MODEL is `mini-sotu`, a folder, or a name on the hub.
    """
    from minibert.inference.fill_mask import fill_mask
    from minibert.model import load

    bert, tokenizer = load(model)
    for number, guesses in enumerate(fill_mask(bert, tokenizer, text, top_k), start=1):
        click.echo(f"[MASK] {number}: {listed(guesses)}")
