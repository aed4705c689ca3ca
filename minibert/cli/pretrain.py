"""`minibert pretrain`: from a corpus to a BERT in a folder."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from minibert.cli.group import command
from minibert.cli.options import (
    ABOVE_0,
    BELOW_1,
    check_duration,
    corpus_argument,
    count,
    duration_options,
    flag,
    given_options,
    option,
    out_folder,
    pick,
    resume_options,
    seed_option,
    vocab_size_option,
)
from minibert.cli.terminal import say

if TYPE_CHECKING:
    from minibert.pretraining.run import Run

PRESETS = ("tiny", "tiny-4-heads", "mini", "mini-6-layers", "small", "base")
RECIPES = ("original", "fast", "speedrun", "continue")
INITS = ("random", "cooccurrence", "neighbours")
OBJECTIVES = ("mlm", "mlm+nsp", "diffusion")
RECIPE_OPTIONS = ("objective", "init", "lr", "batch_size", "max_length", "dropout")
"""Options that change a recipe."""
RUN_OPTIONS = ("start", "preset", "minutes", "steps", "seed", "vocab_size", "accumulate")


@command(
    "minibert pretrain sotu -o runs/one --minutes 10 --recipe fast",
    "minibert pretrain my-texts/ -o runs/mine --preset mini --steps 5000",
    "minibert pretrain my-texts/ -o runs/mine --from mini --minutes 5",
    "minibert pretrain sotu -o runs/one --resume",
)
@corpus_argument
@out_folder("Folder for the model.")
@click.option(
    "--from", "start", metavar="MODEL",
    help="Start from this BERT, and keep its size and vocabulary: `mini`, a folder, or a name "
    "on the Hugging Face hub.",
)  # fmt: skip
@option("--preset", "The model's size.  [default: tiny]", click.Choice(PRESETS))
@click.option(
    "--recipe", type=click.Choice(RECIPES),
    help="original: as BERT was trained, which takes hours to show results; fast: learns the most "
    "on a CPU; speedrun: learns the most there in five minutes; continue: for --from, which takes "
    "no other.  [default: original, or continue]",
)  # fmt: skip
@duration_options
@seed_option
@vocab_size_option
@option(
    "--objective",
    "What is learned: masked tokens, next sentences too, or masked tokens with any share hidden.  "
    "[default: the recipe's]",
    click.Choice(OBJECTIVES),
)
@option("--init", "How the token matrix starts.  [default: the recipe's]", click.Choice(INITS))
@option("--lr", "The learning rate.  [default: the recipe's]", ABOVE_0)
@count("--batch-size", "Sequences in a batch.  [default: the recipe's]")
@count("--max-length", "Tokens in a sequence.  [default: the recipe's]", least=8)
@option("--dropout", "Probability of dropout.  [default: the recipe's]", BELOW_1)
@count("--accumulate", "Split each batch into this many parts, which takes less memory.", 1)
@flag("--snapshots", "Also keep the model at stages of its training.")
@flag(
    "--shard",
    "With torchrun: each process holds a part of every weight, for a model too large for one.",
)
@resume_options
@click.pass_context
def pretrain(ctx: click.Context, corpus: str, out: Path, **options: Any) -> None:
    """Pretrain a BERT on CORPUS.

    Ctrl-C finishes the step, saves, and stops; --resume continues as if the run had never stopped.
    `torchrun --nproc-per-node N -m minibert pretrain ...` does the same in N processes.
    """
    from minibert.data.hub import pinned
    from minibert.pretraining.run import pretrain, read_run
    from minibert.pretraining.run_data import find_corpus
    from minibert.training.processes import is_main, launcher, process_group
    from minibert.training.run_folder import Session

    earlier = read_run(out) if options["resume"] else None
    texts = find_corpus(pinned(corpus, earlier.corpus) if earlier else corpus)
    run = _choose_run(texts, earlier, given_options(ctx))
    check_duration(run)
    shard = options["shard"]
    with process_group():
        tell = say if is_main() else lambda text: None
        finished = pretrain(
            texts, out, run, Session(options["resume"], options["overwrite"], tell),
            snapshots=options["snapshots"], sharded=shard,
        )  # fmt: skip
        if finished:
            blank = '"The [MASK] of the Union"'
            tell(f"Done: {out}. Try: minibert fill-mask {quote(str(out))} {blank}")
        else:
            again = f"{launcher()}minibert pretrain {quote(corpus)} -o {quote(str(out))} --resume"
            tell(f"Stopped and saved. Continue with: {again}{' --shard' if shard else ''}")


def _choose_run(texts: Any, earlier: Run | None, given: dict[str, Any]) -> Run:
    """The run that the options describe: a new one, or an earlier one with changes."""
    from dataclasses import replace

    from minibert.data.shards import PreparedCorpus
    from minibert.files import SHIPPED
    from minibert.pretraining.recipes import RECIPES
    from minibert.pretraining.run import Run

    changes, recipe = pick(given, RECIPE_OPTIONS), given.get("recipe")
    given = pick(given, RUN_OPTIONS)
    start = given.get("start")
    if start and start not in SHIPPED and (folder := Path(start).expanduser()).is_dir():
        given["start"] = str(folder.resolve())
    if isinstance(texts, PreparedCorpus) and start is None and earlier is None:
        given.setdefault("vocab_size", texts.vocab_size)
    if earlier is None:
        base = RECIPES[recipe or ("original" if start is None else "continue")]
    else:
        base = RECIPES[recipe] if recipe else earlier.recipe
    make = Run if earlier is None else partial(replace, earlier)
    return make(corpus=texts.name, recipe=replace(base, **changes), **given)
