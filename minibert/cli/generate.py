"""`minibert generate`: a BERT writes."""

from __future__ import annotations

from typing import Any

import click

from minibert.cli.group import command
from minibert.cli.options import TEXT, count, flag, model_argument, option, seed_option, settings
from minibert.cli.terminal import say

METHOD = click.Choice(("left-to-right", "gibbs", "mask-predict", "ancestral", "confidence"))
METHOD_OPTIONS = {"steps": ("gibbs", "ancestral", "confidence"), "passes": ("mask-predict",)}
GREEDY = ("mask-predict", "confidence")


@command(
    'minibert generate mini "The [MASK] of the [MASK] must be [MASK]."',
    'minibert generate mini "The American people" --length 12 --top-p 0.9 --samples 3',
    "minibert generate mini --length 12 --method gibbs --steps 300 --show",
    'minibert generate runs/demo "Peace" --length 8 --method mask-predict --passes 4 --show',
)
@model_argument
@click.argument(
    "text", type=TEXT, default="", help="A text with [MASK] in it, or with --length a beginning."
)
@count("--length", "Write this many tokens after TEXT, and a full stop.")
@option("--method", "The order in which masks are filled.", METHOD, "left-to-right")
@option(
    "--temperature",
    "Below 1 favours likely tokens; 0 always takes the likeliest.  [default: 1, or 0 for "
    "mask-predict and confidence]",
    float,
)
@option("--top-k", "Draw from this many of the likeliest tokens.", int)
@option("--top-p", "Draw from the likeliest tokens that have this much probability.", float)
@seed_option
@count("--samples", "Write this many texts, with --seed and the seeds after it.", 1)
@count("--steps", "Steps of gibbs, ancestral or confidence.  [default: 200, or one for each mask]")
@count("--passes", "Passes of mask-predict.  [default: 10]")
@flag("--show", "Also print the text as it forms.")
def generate(model: str, text: str, length: int | None, method: str, **options: Any) -> None:
    """Fill each [MASK] in TEXT, or continue TEXT with --length."""
    from minibert.inference.generation import (
        Sampling,
        ancestral,
        by_confidence,
        gibbs,
        left_to_right,
        make_frame,
        mask_predict,
    )
    from minibert.model import load

    more = {name: value for name in METHOD_OPTIONS if (value := options[name]) is not None}
    for name in more:
        if method not in METHOD_OPTIONS[name]:
            methods = " or ".join(METHOD_OPTIONS[name])
            raise click.UsageError(f"--{name} is for --method {methods}: leave it out")
    if options["temperature"] is None:
        options["temperature"] = 0.0 if method in GREEDY else 1.0
    sampling = settings(Sampling, options)
    write = {
        "left-to-right": left_to_right,
        "gibbs": gibbs,
        "mask-predict": mask_predict,
        "ancestral": ancestral,
        "confidence": by_confidence,
    }[method]
    frame = text if length is None else make_frame(text, length)
    if not frame:
        raise click.UsageError(
            "there is nothing to fill: give a text with [MASK] in it, or --length"
        )
    bert, tokenizer = load(model)
    first = options["seed"]
    for seed in range(first, first + options["samples"]):
        made = write(bert, tokenizer, frame, seed=seed, sampling=sampling, **more)
        if options["show"]:
            from minibert.viz.forming import forming_text

            for line in forming_text(made).split("\n"):
                say(line)
        say(made.text)
