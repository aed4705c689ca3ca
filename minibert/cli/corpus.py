"""`minibert corpus`: what a corpus holds."""

from __future__ import annotations

import click

from minibert.cli.group import CommandWithExamples


@click.command(
    cls=CommandWithExamples, examples=("minibert corpus library", "minibert corpus my-texts/")
)
@click.argument("corpus")
def corpus(corpus: str) -> None:
    """Show what CORPUS (as in `pretrain`) holds: documents, words, and what is held out."""
    from minibert.data.corpora import load_corpus
    from minibert.data.library import SOURCES

    parts = load_corpus(corpus).split()
    counts: dict[str, list[int]] = {}
    for place, part in enumerate(parts):
        for document in part:
            source = document.name.partition(":")[0] if corpus == "library" else corpus
            row = counts.setdefault(source, [0, 0, 0, 0])
            row[2 * place] += 1
            row[2 * place + 1] += sum(len(sentence.split()) for sentence in document.sentences)
    licences = {source.name: f"{source.licence}: {source.description}" for source in SOURCES}
    rows = [(name, *row, licences.get(name, "")) for name, row in counts.items()]
    if len(rows) > 1:
        rows.append(("together", *map(sum, zip(*counts.values(), strict=True)), ""))
    click.echo(f"{'':12s} {'training':>20s} {'held out':>20s}")
    click.echo(f"{'source':12s} {'documents':>9s} {'words':>10s} {'documents':>9s} {'words':>10s}")
    for name, *numbers, licence in rows:
        click.echo("{:12s} {:9,d} {:10,d} {:9,d} {:10,d}  {}".format(name, *numbers, licence))
