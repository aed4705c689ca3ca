"""`minibert fill-mask`: the likeliest words for each blank."""

from __future__ import annotations

import click

from minibert.cli.group import command
from minibert.cli.options import TEXT, count, model_argument
from minibert.cli.terminal import percentages, say


@command(
    'minibert fill-mask mini "He opened the [MASK] and looked inside."',
    'minibert fill-mask runs/demo --top-k 10 "Peace and [MASK]."',
)
@model_argument
@click.argument("text", type=TEXT, help="A text with [MASK] in it.")
@count("--top-k", "How many words to print.", 5)
def fill_mask(model: str, text: str, top_k: int) -> None:
    """Print the likeliest words for each [MASK] in TEXT."""
    from minibert.inference.fill_mask import fill_mask
    from minibert.model import load

    bert, tokenizer = load(model)
    for number, guesses in enumerate(fill_mask(bert, tokenizer, text, top_k), start=1):
        say(f"[MASK] {number}: {percentages(guesses)}")
