"""`minibert page`: a model in one HTML file."""

from __future__ import annotations

from pathlib import Path

import click

from minibert.cli.group import command
from minibert.cli.models import load_speaking
from minibert.cli.options import TEXT, model_argument, out_file
from minibert.cli.outputs import check_free
from minibert.cli.terminal import say


@command(
    "minibert page mini-sotu -o bert.html",
    'minibert page runs/demo --text "We must pass the [MASK]." -o demo.html',
    "minibert page runs/demo --snapshots -o training.html",
)
@model_argument
@click.option("--text", type=TEXT, help="The text that the page opens with.")
@click.option("--pair", type=TEXT, help="A second text: the other sentence of a pair.")
@click.option("--exact", is_flag=True, help="Weights in half precision: a page of twice the size.")
@click.option("--snapshots", is_flag=True, help="Add a slider over the snapshots of the run MODEL.")
@out_file("The page.", default="bert.html", show_default=True)
@click.option("--overwrite", is_flag=True, help="Replace the file.")
def page(
    model: str,
    text: str | None,
    pair: str | None,
    exact: bool,
    snapshots: bool,
    out: Path,
    overwrite: bool,
) -> None:
    """Put MODEL into one HTML file that runs it.

    The file opens by double-click, in any browser, without Python and without a network. MODEL
    guesses hidden words or is a classifier.
    """
    from minibert.viz.page.page import page as make_page

    check_free(out, (".html",), overwrite)
    bert, tokenizer = load_speaking(model)
    made = make_page(bert, tokenizer, text, pair, exact, model if snapshots else None)
    made.save(out)
    say(f"{out}, {made.size / 1e6:.1f} MB: open it in a browser")
