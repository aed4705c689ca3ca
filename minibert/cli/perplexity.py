"""`minibert perplexity`: how surprising texts are to a model."""

from __future__ import annotations

from pathlib import Path

import click

from minibert.cli.group import CommandWithExamples


@click.command(
    cls=CommandWithExamples,
    examples=(
        'minibert perplexity mini-sotu "The state of the Union." "Union state of the the."',
        "minibert perplexity runs/demo --file sentences.txt --within-word",
    ),
)
@click.argument("model")
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option(
    "--file", type=click.Path(path_type=Path, dir_okay=False), help="Instead: a text in each line."
)
@click.option(
    "--within-word", is_flag=True, help="Guess a piece of a word without the pieces after it."
)
def perplexity(model: str, texts: tuple[str, ...], file: Path | None, within_word: bool) -> None:
    """How surprising each TEXT is to MODEL, each token being guessed from all others.

    Prints the pseudo-perplexity, the number of tokens, and the text; at the end, that of all texts.
    It compares texts for one model, not models with different vocabularies.

    MODEL is `mini-sotu`, a folder, or a name on the hub.
    """
    from minibert.files import read_text
    from minibert.inference.pseudo_likelihood import pseudo_log_likelihood, pseudo_perplexity
    from minibert.model import load

    if bool(texts) == (file is not None):
        raise click.UsageError("give either texts or --file")
    lines = enumerate(texts if file is None else read_text(file).split("\n"), start=1)
    named = [(number, line.strip()) for number, line in lines if file is None or line.strip()]
    if not named:
        raise click.UsageError(f"{file} holds no text")
    bert, tokenizer = load(model)
    scores = []
    for number, text in named:
        try:
            scores.append(pseudo_log_likelihood(bert, tokenizer, text, within_word))
        except ValueError as error:
            where = f"text {number}" if file is None else f"{file}, line {number}"
            raise ValueError(f"{where}: {error}") from None
        _say_perplexity(pseudo_perplexity(scores[-1:]), len(scores[-1].tokens), text)
    if len(scores) > 1:
        count = sum(len(one.tokens) for one in scores)
        _say_perplexity(pseudo_perplexity(scores), count, f"all {len(scores)} texts")


def _say_perplexity(value: float, tokens: int, text: str) -> None:
    click.echo(f"{value:10.2f}  {tokens:5d} token{' s'[tokens != 1]}  {text}")
