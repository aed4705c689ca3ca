"""`minibert corpus`: what a corpus holds."""

from __future__ import annotations

from minibert.cli.group import command
from minibert.cli.options import corpus_argument
from minibert.cli.terminal import say


@command("minibert corpus library", "minibert corpus my-texts/")
@corpus_argument
def corpus(corpus: str) -> None:
    """Count the documents and words of CORPUS."""
    from minibert.data.corpora import count_by_source
    from minibert.data.library import SOURCES

    licences = {source.name: f"{source.licence}: {source.description}" for source in SOURCES}
    counts = count_by_source(corpus)
    say(f"{'':12s} {'training':>20s} {'held out':>20s}")
    say(f"{'source':12s} {'documents':>9s} {'words':>10s} {'documents':>9s} {'words':>10s}")
    for source, ((documents, words), (held_out, held_out_words)) in counts.items():
        numbers = f"{documents:9,d} {words:10,d} {held_out:9,d} {held_out_words:10,d}"
        say(f"{source:12s} {numbers}  {licences.get(source, '')}")
