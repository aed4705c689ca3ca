"""`minibert search`: the passages of a folder that answer a question."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from minibert.cli.group import command
from minibert.cli.models import load_body
from minibert.cli.options import FOLDER, TEXT, count, option
from minibert.cli.terminal import say


@command(
    'minibert search my-texts/ "Who pays for the roads?" --model runs/search',
    "minibert search my-texts/ --model sentence-transformers/all-MiniLM-L6-v2",
)
@click.argument("folder", type=FOLDER, help="Texts: files that end in .txt or .md.")
@click.argument("question", type=TEXT, required=False, help="What to look for.")
@click.option(
    "--model",
    required=True,
    help="A model that was trained for search: a folder or a name on the Hugging Face hub.",
)
@count("--top-k", "How many passages to print.", 5)
@option("--index", "Keep vectors in this folder, not in FOLDER/.minibert-search.", FOLDER)
def search(folder: Path, question: str | None, model: str, top_k: int, index: Path | None) -> None:
    """Find the passages of FOLDER that are nearest to QUESTION.

    Without a QUESTION, the command reads one question from each line until a line is empty. The
    first search encodes all texts. Later searches encode only what is new or has changed.
    """
    from minibert.search.folder import index_folder

    if question is not None and not question.strip():
        raise click.UsageError("the question is empty")
    bert, tokenizer = load_body(model)
    found, passages = index_folder(folder, bert, tokenizer, index)
    for asked in [question] if question is not None else _questions():
        for hit in found.search(asked, top_k):
            passage = passages[hit.number]
            say(f"{hit.score:5.2f}  {passage.file.relative_to(folder)}:{passage.line}")
            say(f"       {passage.text}")


def _questions() -> Iterator[str]:
    """The lines that a user types, up to the first empty line."""
    prompt = "Question: " if sys.stdin.isatty() else ""
    while True:
        try:
            asked = input(prompt)
        except EOFError:
            return
        if not asked.strip():
            return
        yield TEXT.convert(asked, None, None)
