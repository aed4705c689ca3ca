"""`minibert page`: a model in one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minibert.cli.group import command
from minibert.cli.models import corpus_of, load_speaking
from minibert.cli.options import TEXT, flag, model_argument, option, out_file
from minibert.cli.outputs import check_free
from minibert.cli.terminal import say


@command(
    "minibert page mini -o bert.html",
    'minibert page runs/demo --text "We must pass the [MASK]." -o demo.html',
    "minibert page runs/demo --snapshots -o training.html",
)
@model_argument
@option("--text", "The text that the page opens with.", TEXT)
@option("--pair", "A second text: the other sentence of a pair.", TEXT)
@flag("--exact", "Weights in half precision: a page of twice the size.")
@flag("--snapshots", "Add a slider over the snapshots of the run MODEL.")
@option("--course", "The address of a site's chapters, to link to from the walk.", TEXT)
@out_file("The page.", default="bert.html", show_default=True)
@flag("--overwrite", "Replace the file.")
def page(model: str, out: Path, overwrite: bool, snapshots: bool, **shown: Any) -> None:
    """Put MODEL into one HTML file that runs it.

    The file opens by double-click, in any browser, without Python and without a network. MODEL
    guesses hidden words or is a classifier.
    """
    from minibert.files import find_directory
    from minibert.viz.page.page import page as make_page

    check_free(out, (".html",), overwrite)
    bert, tokenizer = load_speaking(model)
    corpus = corpus_of(find_directory(model))
    made = make_page(
        bert, tokenizer, **shown, snapshots=model if snapshots else None, corpus=corpus
    )
    made.save(out)
    say(f"{out}, {made.size / 1e6:.1f} MB: open it in a browser")
