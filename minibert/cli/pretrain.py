"""`minibert pretrain`: a corpus to a BERT in a folder."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Any

import click

from minibert.cli.group import CommandWithExamples

# Options of `minibert pretrain` that change a recipe.
RECIPE_OPTIONS = ("init", "lr", "batch_size", "max_length", "dropout")


def _presets() -> tuple[str, ...]:
    return ("tiny", "tiny-4-heads", "mini", "mini-6-layers", "small", "base")


@click.command(
    cls=CommandWithExamples,
    examples=(
        "minibert pretrain sotu -o runs/one --minutes 10 --recipe fast",
        "minibert pretrain my-texts/ -o runs/mine --preset mini --steps 5000",
        "minibert pretrain my-texts/ -o runs/mine --from mini-sotu --minutes 5",
        "minibert pretrain sotu -o runs/one --resume",
    ),
)
@click.argument("corpus")
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder for the model."
)
@click.option(
    "--from", "start", metavar="MODEL",
    help="Go on from a BERT that is there: `mini-sotu`, a folder, or a name on the hub. Its size "
    "and its vocabulary are kept.",
)  # fmt: skip
@click.option("--preset", type=click.Choice(_presets()), help="The size; tiny if not given.")
@click.option(
    "--recipe", type=click.Choice(("original", "fast", "speedrun", "continue")),
    help="As BERT was trained, which takes hours to show (if not given); what learns most on a "
    "CPU; what learns most there in five minutes; or what goes with --from (no other will do).",
)  # fmt: skip
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Train so long ...")
@click.option("--steps", type=click.IntRange(min=1), help="... or so many steps.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--vocab-size", type=click.IntRange(min=6), help="Word pieces; 8192 if not given.")
@click.option(
    "--init", type=click.Choice(("random", "cooccurrence", "neighbours")),
    help="Where the token matrix starts; the recipe's choice if not given.",
)  # fmt: skip
@click.option("--lr", type=click.FloatRange(min=0, min_open=True), help="Instead of the recipe's.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Instead of the recipe's.")
@click.option("--max-length", type=click.IntRange(min=8), help="Tokens in a sequence, likewise.")
@click.option("--dropout", type=click.FloatRange(0, 1, max_open=True), help="Likewise.")
@click.option(
    "--accumulate", type=click.IntRange(min=1), default=1, show_default=True,
    help="Cut each batch into so many parts, for less memory.",
)  # fmt: skip
@click.option("--snapshots", is_flag=True, help="Keep the model as it was on the way, too.")
@click.option(
    "--shard", is_flag=True,
    help="With torchrun: each process has a part of every weight, for a model that does not fit.",
)  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on with the run in OUT; needs no other option.")
@click.option("--overwrite", is_flag=True, help="Replace the run in OUT.")
@click.pass_context
def pretrain(
    ctx: click.Context,
    corpus: str,
    out: Path,
    resume: bool,
    overwrite: bool,
    snapshots: bool,
    shard: bool,
    **options: Any,
) -> None:
    """Pretrain a BERT on CORPUS: `sotu`, a folder of .txt files (each a document), or a file.

    CORPUS may be a folder that `minibert prepare` made, too, or `hf:NAME`, a dataset of the
    Hugging Face hub, which comes through the network as it is needed.

    Ctrl-C finishes the step, saves, and stops; --resume goes on as if it had never stopped.
    `torchrun --nproc-per-node N -m minibert pretrain ...` does the same in N processes.
    """
    from dataclasses import replace

    from minibert.data.hub import pinned
    from minibert.data.shards import PreparedCorpus
    from minibert.files import SHIPPED
    from minibert.pretraining.recipes import RECIPES
    from minibert.pretraining.run import Run, pretrain, read_run
    from minibert.pretraining.run_data import find_corpus
    from minibert.training.processes import is_main, launcher, process_group

    given = {
        name: value
        for name, value in options.items()
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    }
    start = Path(given.get("start", ""))
    if "start" in given and given["start"] not in SHIPPED and start.expanduser().is_dir():
        given["start"] = str(start.expanduser().resolve())
    changes = {name: given.pop(name) for name in RECIPE_OPTIONS if name in given}
    recipe = given.pop("recipe", None)
    earlier = read_run(out) if resume else None
    texts = find_corpus(pinned(corpus, earlier.corpus) if earlier else corpus)
    if isinstance(texts, PreparedCorpus) and "start" not in given and not resume:
        given.setdefault("vocab_size", texts.vocab_size)
    if earlier is not None:
        run = earlier
        base = RECIPES[recipe] if recipe else run.recipe
        run = replace(run, recipe=replace(base, **changes), **given)
    else:
        base = RECIPES[recipe or ("continue" if "start" in given else "original")]
        run = Run(corpus="", recipe=replace(base, **changes), **given)
    if (run.steps is None) == (run.minutes is None):
        raise click.UsageError("say how long: either --steps or --minutes")
    run = replace(run, corpus=texts.name)
    with process_group():
        say = click.echo if is_main() else lambda text: None
        finished = pretrain(
            texts, out, run, resume, overwrite, say=say, snapshots=snapshots, sharded=shard
        )
        if finished:
            say(f'Done: {out}. Try: minibert fill-mask {quote(str(out))} "The [MASK] of the Union"')
        else:
            again = f"{launcher()}minibert pretrain {quote(corpus)} -o {quote(str(out))} --resume"
            say(f"Stopped and saved. Go on with: {again}" + (" --shard" if shard else ""))
