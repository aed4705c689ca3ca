"""`minibert generate`: a BERT writes."""

from __future__ import annotations

from typing import Any

import click

from minibert.cli.group import CommandWithExamples

METHODS = ("left-to-right", "gibbs", "mask-predict")


@click.command(
    cls=CommandWithExamples,
    examples=(
        'minibert generate mini-sotu "The [MASK] of the [MASK] must be [MASK]."',
        'minibert generate mini-sotu "The American people" --length 12 --top-p 0.9 --samples 3',
        "minibert generate mini-sotu --length 12 --method gibbs --steps 300 --show",
        'minibert generate runs/demo "Peace" --length 8 --method mask-predict --passes 4 --show',
    ),
)
@click.argument("model")
@click.argument("text", default="")
@click.option(
    "--length", type=click.IntRange(min=1),
    help="TEXT is a beginning: write so many tokens after it, and a full stop.",
)  # fmt: skip
@click.option(
    "--method", type=click.Choice(METHODS), default="left-to-right", show_default=True,
    help="In what order masks are filled.",
)  # fmt: skip
@click.option(
    "--temperature", type=float,
    help="Below 1: more of the likely; 0: the likeliest alone.  [default: 1; mask-predict: 0]",
)  # fmt: skip
@click.option("--top-k", type=int, help="Draw from so many of the likeliest tokens.")
@click.option("--top-p", type=float, help="Draw from the likeliest that have this share together.")
@click.option("--seed", type=click.IntRange(0, 2**32), default=0, show_default=True)
@click.option(
    "--samples", type=click.IntRange(min=1), default=1, show_default=True,
    help="So many texts, with this seed and those after it.",
)  # fmt: skip
@click.option("--steps", type=click.IntRange(min=1), help="Of gibbs.  [default: 200]")
@click.option("--passes", type=click.IntRange(min=1), help="Of mask-predict.  [default: 10]")
@click.option("--show", is_flag=True, help="Print the steps on the way, too.")
def generate(
    model: str,
    text: str,
    length: int | None,
    method: str,
    seed: int,
    samples: int,
    show: bool,
    steps: int | None,
    passes: int | None,
    **sampling: float | None,
) -> None:
    """Fill each [MASK] in TEXT with one token; or write on after TEXT, with --length.

    MODEL is `mini-sotu`, a folder, or a name on the hub.
    """
    from minibert.inference.generation import (
        Sampling,
        gibbs,
        left_to_right,
        make_frame,
        mask_predict,
    )
    from minibert.model import load

    options: dict[str, Any] = {}
    for name, value, of in (("steps", steps, "gibbs"), ("passes", passes, "mask-predict")):
        if value is not None:
            if method != of:
                raise click.UsageError(f"--{name} is for --method {of}: leave it out")
            options[name] = value
    if sampling["temperature"] is None:
        sampling["temperature"] = 0.0 if method == "mask-predict" else 1.0
    options["sampling"] = Sampling(**sampling)
    write = {"left-to-right": left_to_right, "gibbs": gibbs, "mask-predict": mask_predict}[method]
    frame = text if length is None else make_frame(text, length)
    if not frame:
        raise click.UsageError(
            "there is nothing to fill: give a text with [MASK] in it, or --length"
        )
    bert, tokenizer = load(model)
    for number in range(seed, seed + samples):
        made = write(bert, tokenizer, frame, seed=number, **options)
        if show:
            from minibert.viz.forming import forming_text

            click.echo(forming_text(made))
        click.echo(made.text)
