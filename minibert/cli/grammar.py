"""`minibert grammar`: does a model prefer grammatical sentences?"""

from __future__ import annotations

from pathlib import Path

import click

from minibert.cli.group import CommandWithExamples
from minibert.cli.terminal import printable


@click.command(
    cls=CommandWithExamples,
    examples=(
        "minibert grammar mini-sotu",
        "minibert grammar mini-sotu --show reflexive_number",
        "minibert grammar runs/mine --data hf:nyu-mll/blimp --pairs 100 -o blimp.json",
        "minibert grammar runs/mine --curve grammar.png",
    ),
)
@click.argument("model")
@click.option(
    "--pairs", type=click.IntRange(min=1),
    help="Pairs of each phenomenon.  [default: 100, or all of --data]",
)  # fmt: skip
@click.option(
    "--data", metavar="SOURCE",
    help="Instead of our own pairs: a folder of BLiMP's .jsonl or Zorro's .txt files, or hf:NAME.",
)  # fmt: skip
@click.option("--show", metavar="PHENOMENON", help="This one alone, pair by pair.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A .json file for the scores.",
)
@click.option(
    "--curve", type=click.Path(path_type=Path, dir_okay=False),
    help="A .png or .svg file: accuracy along the training of a run with --snapshots.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
def grammar(
    model: str,
    pairs: int | None,
    data: str | None,
    show: str | None,
    out: Path | None,
    curve: Path | None,
    overwrite: bool,
) -> None:
    """How often MODEL prefers a grammatical sentence to one that differs in a single point.

    The two are compared by pseudo-log-likelihood. Our own pairs are about 25 phenomena, in words
    that the model's vocabulary has; the column `pairs` says how many it can form.

    MODEL is `mini-sotu`, a folder, or a name on the hub.
    """
    from minibert.analysis.grammar import (
        mean_accuracy,
        score_minimal_pairs,
        score_snapshots,
        score_table,
        scores_as_json,
    )
    from minibert.data.minimal_pairs import choose_phenomena
    from minibert.files import write_json
    from minibert.model import load
    from minibert.pretraining.snapshots import read_snapshots

    for path, suffixes in ((out, (".json",)), (curve, (".png", ".svg"))):
        if path is not None and path.suffix not in suffixes:
            raise click.UsageError(f"{path} must end in {' or '.join(suffixes)}")
        if path is not None and path.exists() and not overwrite:
            raise click.UsageError(f"{path} is there already: give another name or --overwrite")
    bert, tokenizer = load(model if curve is None else next(iter(read_snapshots(model).values())))
    phenomena = choose_phenomena(tokenizer, data, pairs, show)
    if curve is None:
        scores = score_minimal_pairs(bert, tokenizer, phenomena)
    else:
        from minibert.viz.grammar_curve import draw_grammar_curve

        along = []
        for step, scores in score_snapshots(model, phenomena):
            click.echo(f"step {step:7,}: {mean_accuracy(scores)[0]:.1%}")
            along.append((step, scores))
        draw_grammar_curve(along).save(curve)
    if show is not None:
        for pair, difference in zip(scores[0].phenomenon.pairs, scores[0].differences, strict=True):
            verdict = "right" if difference > 0 else "tie" if difference == 0 else "wrong"
            click.echo(printable(f"{verdict} {difference:+7.2f}  {pair.good} / {pair.bad}"))
    click.echo(score_table(scores))
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_json(out, scores_as_json(scores))
    for path in (out, curve):
        if path is not None:
            click.echo(path)
