"""`minibert demo`: from nothing to a BERT that fills blanks and shows its attention."""

from __future__ import annotations

import time
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from minibert.cli.attention import write_map
from minibert.cli.group import CommandWithExamples
from minibert.cli.terminal import listed

if TYPE_CHECKING:
    from minibert.tokenizer import BertTokenizer

BLANKS = (
    "The [MASK] of the Union.",
    "The President of the United [MASK].",
    "We must protect the rights of the [MASK] people.",
    "The budget for the next fiscal [MASK].",
    "I recommend that [MASK] pass this law.",
)
LOOKED_AT = "The Congress of the United States must pass the budget."


@click.command(
    cls=CommandWithExamples, examples=("minibert demo", "minibert demo --minutes 2 -o runs/short")
)
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), default=5.0, show_default=True,
    help="How long to train.",
)  # fmt: skip
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default="runs/demo", show_default=True,
    help="Where the model goes. An earlier run there is replaced.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
def demo(minutes: float, out: Path, seed: int) -> None:
    """From nothing to a BERT that was pretrained on real text, fills blanks and shows attention."""
    import json

    import numpy as np

    from minibert.data.corpora import load_corpus
    from minibert.data.tokenized_corpora import TokenizedCorpus
    from minibert.inference.fill_mask import fill_mask
    from minibert.model import load
    from minibert.pretraining.counting_baselines import CountBaselines
    from minibert.pretraining.recipes import RECIPES
    from minibert.pretraining.run import Run, pretrain
    from minibert.pretraining.run_data import held_out_batches
    from minibert.training.history import read_history

    begun = time.monotonic()
    click.echo(f"1. Pretraining for {minutes:g} minutes, on the State of the Union messages.")
    run = Run("sotu", "tiny-4-heads", RECIPES["speedrun"], minutes=minutes, seed=seed)
    finished = pretrain(load_corpus("sotu"), out, run, overwrite=True, say=click.echo)
    if not finished:
        click.echo(f"Stopped. Go on with: minibert pretrain sotu -o {quote(str(out))} --resume")
        return

    click.echo("\n2. Counting, for comparison.")
    model, tokenizer = load(out)
    training = TokenizedCorpus.open(out / "data" / "training")
    held_out = TokenizedCorpus.open(out / "data" / "held_out")
    baselines = CountBaselines(training.tokens, tokenizer.vocab_size)
    counted = baselines.accuracy(held_out_batches(held_out, tokenizer))
    measured = [line["held_out"] for line in read_history(out) if "held_out" in line][-1]
    result = {"minibert": measured["mlm_accuracy"], **counted}
    (out / "demo.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")

    click.echo("\n3. Filling blanks. Each guess with its probability.")
    for text in BLANKS:
        ids = np.array(tokenizer([text])["input_ids"][0])
        place = int(np.flatnonzero(ids == tokenizer.vocab["[MASK]"])[0])
        guesses = {
            "minibert": fill_mask(model, tokenizer, text, top_k=3)[0],
            "neighbours": _words(
                baselines.neighbours(ids[place - 1], ids[place + 1], 3), tokenizer
            ),
            "most frequent": _words(baselines.most_frequent(3), tokenizer),
        }
        click.echo(f"\n   {text}")
        for name, found in guesses.items():
            click.echo(f"     {name:14s} {listed(found)}")

    click.echo("\n4. Masked tokens guessed right, in speeches that it never saw:")
    for name, label in (
        ("minibert", "minibert"),
        ("neighbours", "counting what stands between two neighbours (it is shown both)"),
        ("most_frequent", "the most frequent token, always"),
    ):
        click.echo(f"   {result[name]:6.1%}  {label}")
    if result["minibert"] <= result["neighbours"]:
        click.echo(
            f"   This machine was too slow, or too busy, to pass counting in {minutes:g} minutes.\n"
            f"   Give it more time: minibert demo --minutes {2 * minutes:g}"
        )

    page = out / "attention.html"
    write_map(model, tokenizer, LOOKED_AT, page)
    click.echo(f"\n5. In {out}:")
    for name, what in (
        ("attention.html", f"what each head looks at in “{LOOKED_AT}”"),
        ("attention.png", "the same as a picture"),
        ("model.safetensors", "the model; transformers' AutoModel reads the folder too"),
        ("history.jsonl", "loss, accuracy and speed on the way"),
        ("demo.json", "the accuracies above"),
    ):
        click.echo(f"   {name:18s} {what}")
    click.echo(
        f"\nThat took {(time.monotonic() - begun) / 60:.1f} minutes. Your turn:\n"
        f'   minibert fill-mask {quote(str(out))} "We need more [MASK] in the world."'
    )


def _words(guesses: list[tuple[int, float]], tokenizer: BertTokenizer) -> list[tuple[str, float]]:
    return [(tokenizer.tokens[number], share) for number, share in guesses]
