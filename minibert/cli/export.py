"""`minibert export`: a model as other programs load it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from minibert.cli.group import CommandWithExamples
from minibert.cli.models import load_any

if TYPE_CHECKING:
    from minibert.model import BertForPreTraining, BertModel


@click.command(
    cls=CommandWithExamples,
    examples=(
        "minibert export runs/mine for-transformers/",
        "minibert export runs/mine vectors/ --sentence-transformers --normalize",
    ),
)
@click.argument("model")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--sentence-transformers", is_flag=True,
    help="Write what sentence-transformers loads: the model without heads, and how to pool.",
)  # fmt: skip
@click.option(
    "--pooling", type=click.Choice(("mean", "cls")),
    help="A sentence's vector: the mean of its tokens' (if not given), or that of [CLS].",
)  # fmt: skip
@click.option("--normalize", is_flag=True, help="Make each vector of length 1.")
@click.option("--max-length", type=click.IntRange(min=2), help="Tokens that a text is cut to.")
def export(
    model: str,
    out: Path,
    sentence_transformers: bool,
    pooling: str | None,
    normalize: bool,
    max_length: int | None,
) -> None:
    """Write MODEL into the folder OUT, for transformers or sentence-transformers.

    MODEL is `mini-sotu`, a folder, or a name on the hub. What belongs to its training stays behind.
    """
    if not sentence_transformers and (pooling or normalize or max_length):
        raise click.UsageError(
            "--pooling, --normalize and --max-length say how sentences become vectors: they go "
            "with --sentence-transformers"
        )
    bert, tokenizer = load_any(model)
    if sentence_transformers:
        from minibert.inference.sentence_vectors import export_sentence_transformer

        export_sentence_transformer(bert, tokenizer, out, pooling or "mean", normalize, max_length)
        loaded = f'sentence_transformers.SentenceTransformer("{out}")'
    else:
        from minibert.files import new_folder

        _check_all_is_read(model, bert)
        bert.save_pretrained(new_folder(out), tokenizer)
        loaded = f'transformers.AutoModel.from_pretrained("{out}")'
    click.echo(f"{out}. In Python: {loaded}")


def _check_all_is_read(name: str, bert: BertModel | BertForPreTraining) -> None:
    """Raise `ValueError` for a model with a head that was passed over."""
    from minibert.files import find_directory
    from minibert.weights import read_weights

    tensors = [n.removeprefix("bert.") for n in read_weights(find_directory(name))]
    if lost := sorted(n for n in tensors if bert.passes_over and n.startswith(bert.passes_over)):
        raise ValueError(f"{name} has a head that would be lost: {', '.join(lost)}")
