"""`minibert prepare`: a corpus to shards of tokens."""

from __future__ import annotations

import os
from pathlib import Path
from shlex import quote

import click

from minibert.cli.group import CommandWithExamples


@click.command(
    cls=CommandWithExamples,
    examples=(
        "minibert prepare my-texts/ -o tokens/",
        "minibert prepare my-texts/ -o tokens/ --vocab-size 30522 --workers 8",
        "minibert pretrain tokens/ -o runs/mine --minutes 60 --recipe fast",
    ),
)
@click.argument("corpus")
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder for the tokens."
)
@click.option("--vocab-size", type=click.IntRange(min=6), help="Word pieces; 8192 if not given.")
@click.option(
    "--from", "start", metavar="MODEL",
    help="Take the vocabulary of this BERT, to go on from it: `mini-sotu`, a folder, or a name on "
    "the hub.",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(min=1), default=lambda: os.cpu_count() or 1,
    show_default="one a core", help="Processes, of about 0.3 GB each.",
)  # fmt: skip
def prepare(
    corpus: str, out: Path, vocab_size: int | None, start: str | None, workers: int
) -> None:
    """Turn CORPUS (as in `pretrain`) into shards of tokens, for one that is large.

    About 64 MB of text make a shard; each is written by a process, and has checksums. Ctrl-C stops;
    the same command goes on with what is left, and makes anew what was damaged. `pretrain` takes
    the folder for a corpus; it need not fit into memory.
    """
    from minibert.data.shards import prepare

    shards = prepare(corpus, out, vocab_size, start, workers, say=click.echo)
    number = "1 shard" if shards == 1 else f"{shards} shards"
    click.echo(f"Done: {out}, {number}. Try: minibert pretrain {quote(str(out))} -o ...")
