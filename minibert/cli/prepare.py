"""`minibert prepare`: a large corpus as shards of tokens."""

from __future__ import annotations

import os
from pathlib import Path
from shlex import quote

import click

from minibert.cli.group import command
from minibert.cli.options import corpus_argument, out_folder, vocab_size_option
from minibert.cli.terminal import say


@command(
    "minibert prepare my-texts/ -o tokens/",
    "minibert prepare my-texts/ -o tokens/ --vocab-size 30522 --workers 8",
    "minibert pretrain tokens/ -o runs/mine --minutes 60 --recipe fast",
)
@corpus_argument
@out_folder("Folder for the tokens.")
@vocab_size_option
@click.option(
    "--from", "start", metavar="MODEL",
    help="Use the vocabulary of this BERT, to start from it later: `mini`, a folder, or a "
    "name on the Hugging Face hub.",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(min=1), default=lambda: os.cpu_count() or 1,
    show_default="one for each core", help="Processes, each with about 0.3 GB of memory.",
)  # fmt: skip
def prepare(
    corpus: str, out: Path, vocab_size: int | None, start: str | None, workers: int
) -> None:
    """Turn a large CORPUS into shards of tokens.

    `pretrain` reads such a folder without loading all of it. A shard holds about 64 MB of text. It
    is written by one process, with checksums. Ctrl-C stops; the same command then continues with
    what is left, and redoes what was damaged.
    """
    from minibert.data.shards import prepare

    shards = prepare(corpus, out, vocab_size, start, workers, say=say)
    number = "1 shard" if shards == 1 else f"{shards} shards"
    say(f"Done: {out}, {number}. Try: minibert pretrain {quote(str(out))} -o ...")
