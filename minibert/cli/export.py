"""`minibert export`: a model as other programs load it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minibert.cli.group import command
from minibert.cli.models import load_any
from minibert.cli.options import count, flag, model_argument, option
from minibert.cli.outputs import whole_folder
from minibert.cli.terminal import say

if TYPE_CHECKING:
    from minibert.model import BertForPreTraining, BertModel


@command(
    "minibert export runs/mine for-transformers/",
    "minibert export runs/mine vectors/ --sentence-transformers --normalize",
)
@model_argument
@click.argument("out", type=click.Path(path_type=Path), help="A new or empty folder.")
@flag(
    "--sentence-transformers",
    "Write what sentence-transformers loads: the model without heads, and how to pool.",
)
@option(
    "--pooling",
    "A text's vector: the mean of its tokens' vectors, or the vector of [CLS].  [default: mean]",
    click.Choice(("mean", "cls")),
)
@flag("--normalize", "Scale each vector to length 1.")
@count("--max-length", "Tokens in a text. Longer texts are cut.", least=2)
def export(model: str, out: Path, sentence_transformers: bool, **vectors: Any) -> None:
    """Write MODEL to a folder for other libraries.

    OUT is for transformers, or for sentence-transformers. The model keeps its head for guessing
    words, if it has one. Optimiser and history stay behind.
    """
    if not sentence_transformers and any(vectors.values()):
        raise click.UsageError(
            "--pooling, --normalize and --max-length describe sentence vectors: add "
            "--sentence-transformers"
        )
    bert, tokenizer = load_any(model)
    if sentence_transformers:
        from minibert.inference.sentence_vectors import export_sentence_transformer

        vectors["pooling"] = vectors["pooling"] or "mean"
        with whole_folder(out) as folder:
            export_sentence_transformer(bert, tokenizer, folder, **vectors)
        loaded = f'sentence_transformers.SentenceTransformer("{out}")'
    else:
        _check_all_is_read(model, bert)
        with whole_folder(out) as folder:
            bert.save_pretrained(folder, tokenizer)
        loaded = f'transformers.AutoModel.from_pretrained("{out}")'
    say(f"{out}. In Python: {loaded}")


def _check_all_is_read(name: str, bert: BertModel | BertForPreTraining) -> None:
    """Raise `ValueError` for a model with a head that was passed over."""
    from minibert.files import find_directory, listed
    from minibert.weights import read_shapes

    tensors = read_shapes(find_directory(name))
    if lost := sorted(n for n in tensors if bert.passes_over and n.startswith(bert.passes_over)):
        raise ValueError(f"{name} has a head that would be lost: {listed(lost)}")
