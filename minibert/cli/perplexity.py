"""`minibert perplexity`: how surprising texts are to a model."""

from __future__ import annotations

from pathlib import Path

import click

from minibert.cli.group import command
from minibert.cli.options import FILE, TEXT, model_argument, option
from minibert.cli.terminal import say


@command(
    'minibert perplexity mini "The state of the Union." "Union state of the the."',
    "minibert perplexity runs/demo --file sentences.txt",
)
@model_argument
@click.argument("texts", type=TEXT, nargs=-1, metavar="[TEXT]...", help="Texts to score.")
@option("--file", "Score the lines of this file instead.", FILE)
def perplexity(model: str, texts: tuple[str, ...], file: Path | None) -> None:
    """Print how surprising each TEXT is to MODEL.

    MODEL guesses each token from all others. A line has the pseudo-perplexity, the number of
    tokens, and the text; the last line is about all texts together. The numbers compare texts for
    one model, not models with different vocabularies.
    """
    from minibert.files import errors_name
    from minibert.inference.pseudo_likelihood import pseudo_log_likelihood, pseudo_perplexity
    from minibert.model import load

    if bool(texts) == (file is not None):
        raise click.UsageError("give either texts or --file")
    named = [(f"text {i}", text) for i, text in enumerate(texts, start=1)]
    if file is not None:
        named = _read_lines(file)
    bert, tokenizer = load(model)
    scores = []
    for where, text in named:
        with errors_name(where):
            scores.append(pseudo_log_likelihood(bert, tokenizer, text))
        _say_perplexity(pseudo_perplexity(scores[-1:]), len(scores[-1].tokens), text)
    if len(scores) > 1:
        count = sum(len(one.tokens) for one in scores)
        _say_perplexity(pseudo_perplexity(scores), count, f"all {len(scores)} texts")


def _read_lines(file: Path) -> list[tuple[str, str]]:
    """A file's lines that hold text, each with its place."""
    from minibert.files import read_text

    lines = enumerate(read_text(file).split("\n"), start=1)
    named = [(f"{file}, line {number}", line.strip()) for number, line in lines if line.strip()]
    if not named:
        raise click.UsageError(f"{file} holds no text")
    return named


def _say_perplexity(value: float, tokens: int, text: str) -> None:
    say(f"{value:10.2f}  {tokens:5d} token{' s'[tokens != 1]}  {text}")
