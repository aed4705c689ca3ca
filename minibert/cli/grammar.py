"""`minibert grammar`: does a model prefer grammatical sentences?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from minibert.cli.group import command
from minibert.cli.options import FILE, count, flag, model_argument, option, out_file
from minibert.cli.outputs import check_free
from minibert.cli.terminal import say


@command(
    "minibert grammar mini",
    "minibert grammar mini --show reflexive_number",
    "minibert grammar runs/mine --data hf:nyu-mll/blimp --pairs 100 -o blimp.json",
    "minibert grammar runs/mine --curve grammar.png",
)
@model_argument
@count("--pairs", "Pairs of each phenomenon.  [default: 100, or all of --data]")
@click.option(
    "--data", metavar="SOURCE",
    help="Use other pairs: a folder of BLiMP's .jsonl or Zorro's .txt files, or hf:NAME.",
)  # fmt: skip
@click.option("--show", metavar="PHENOMENON", help="Print the pairs of this phenomenon only.")
@out_file("Write the scores to this .json file.")
@option("--curve", "Draw accuracy during a run with --snapshots, in this .png or .svg file.", FILE)
@flag("--overwrite", "Replace the files.")
def grammar(
    model: str, out: Path | None, curve: Path | None, overwrite: bool, **chosen: Any
) -> None:
    """Test whether MODEL prefers grammatical sentences.

    A grammatical sentence and one that differs in a single point are compared by
    pseudo-log-likelihood. Our own pairs cover about 25 phenomena, in words
    of the model's vocabulary; the column `pairs` shows how many could be formed.
    """
    from minibert.analysis.grammar import score_minimal_pairs, score_table, scores_as_json
    from minibert.data.minimal_pairs import choose_phenomena
    from minibert.files import write_json
    from minibert.model import load
    from minibert.pretraining.snapshots import read_snapshots

    check_free(out, (".json",), overwrite)
    check_free(curve, (".png", ".svg"), overwrite)
    bert, tokenizer = load(model if curve is None else next(iter(read_snapshots(model).values())))
    phenomena = choose_phenomena(tokenizer, chosen["data"], chosen["pairs"], chosen["show"])
    if curve is None:
        scores = score_minimal_pairs(bert, tokenizer, phenomena)
    else:
        scores = _draw_curve(model, phenomena, curve)
    if chosen["show"] is not None:
        _say_pairs(scores[0])
    for line in score_table(scores).split("\n"):
        say(line)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_json(out, scores_as_json(scores))
    for path in (out, curve):
        if path is not None:
            say(str(path))


def _draw_curve(model: str, phenomena: Any, curve: Path) -> Any:
    """Score the snapshots of a run, and draw their accuracy. Returns the scores of the last."""
    from minibert.analysis.grammar import mean_accuracy, score_snapshots
    from minibert.viz.grammar_curve import draw_grammar_curve

    scored = []
    for step, scores in score_snapshots(model, phenomena):
        say(f"step {step:7,}: {mean_accuracy(scores)[0]:.1%}")
        scored.append((step, scores))
    draw_grammar_curve(scored).save(curve)
    return scored[-1][1]


def _say_pairs(score: Any) -> None:
    """Print the pairs of one phenomenon, and which sentence the model prefers."""
    for pair, difference in zip(score.phenomenon.pairs, score.differences, strict=True):
        verdict = "right" if difference > 0 else "tie" if difference == 0 else "wrong"
        say(f"{verdict} {difference:+7.2f}  {pair.good} / {pair.bad}")
