"""Pretraining: from a corpus to a BERT in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch

from minibert.config import PRESETS, BertConfig
from minibert.data.batches import Batch
from minibert.data.corpora import Corpus
from minibert.data.shards import PreparedCorpus
from minibert.data.streaming import StreamedCorpus
from minibert.files import find_directory
from minibert.model import BertForPreTraining
from minibert.pretraining.recipes import RECIPES, Recipe, make_batches, make_optimizers, make_plan
from minibert.pretraining.run_data import RunData, make_tokenizer, open_data, write_corpus
from minibert.pretraining.snapshots import SNAPSHOTS, is_snapshot, snapshot_folder
from minibert.pretraining.start_from_model import START, load_with_new_heads, read_start, save_start
from minibert.pretraining.start_new import make_config, make_model, make_sampled_softmax
from minibert.settings import Count, Natural, Positive, at_least, check, one_of
from minibert.training.fast import FastBertForPreTraining
from minibert.training.hardware import best_device
from minibert.training.processes import (
    full_state,
    is_main,
    main_first,
    rank,
    shard_weights,
    world_size,
)
from minibert.training.run_folder import (
    DATA,
    Session,
    check_same,
    read_settings,
    run_folder,
    write_data_once,
)
from minibert.training.trainer import Data, Record, Trainer
from minibert.weights import Undrawn

PRESET, VOCAB_SIZE = "tiny", 8192
COUNTING = {
    "cooccurrence": "Counting which tokens are near each other, to start the token matrix from.",
    "neighbours": "Counting which tokens are next to each other, to start the model from.",
}


@dataclass(frozen=True)
class Run:
    """Everything that a pretraining run depends on. It is kept in `run.json` and checkpoints."""

    corpus: str
    preset: Annotated[str, one_of(PRESETS)] | None = None
    """None: `tiny`, or the size of the weights that it starts from."""
    recipe: Recipe = RECIPES["original"]
    steps: Count | None = None
    minutes: Positive | None = None
    vocab_size: Annotated[int, at_least(6)] | None = None
    """None: 8192, or the vocabulary of the weights that it starts from."""
    accumulate: Count = 1
    """Parts that the batch of a step is cut into, for less memory. The result is the same, except
    for dropout, which is drawn anew for each part."""
    seed: Natural = 0
    start: str | None = None
    """The BERT to start from: a name in `SHIPPED`, a folder, a name on the hub. Its config and its
    tokenizer are kept. None: a new BERT."""

    def __post_init__(self) -> None:
        check(self)
        if self.start is None:
            if self.recipe.init == "given":
                raise ValueError(
                    "this recipe starts from weights: say which (--from MODEL), or take another"
                )
            if self.recipe.dropout is None:
                raise ValueError("dropout must be a number, as no weights are given")
        elif self.preset is not None or self.vocab_size is not None:
            raise ValueError(
                f"{self.start} has its own size and vocabulary: leave --preset and --vocab-size "
                "out, or --from"
            )
        elif self.recipe.init != "given":
            raise ValueError(
                f"{self.start} has its own weights, and this recipe starts with new ones: take the "
                "recipe `continue`, without --init"
            )

    def filled_in(self) -> Run:
        """With the size and vocabulary of a new BERT, if they were not given."""
        if self.start is not None:
            return self
        return replace(self, preset=self.preset or PRESET, vocab_size=self.vocab_size or VOCAB_SIZE)


def pretrain(
    corpus: Corpus | PreparedCorpus,
    out: str | Path,
    run: Run,
    session: Session = Session(),
    snapshots: bool = False,
    sharded: bool = False,
) -> bool:
    """Pretrain a BERT into the folder `out`. Returns False if a signal stopped it.

    `out` becomes a Hugging Face BERT directory that also holds `run.json`, `history.jsonl`, `data/`
    and `checkpoints/`. `snapshots` keeps copies of the model during training: see `read_snapshots`.
    `sharded`, for many processes, gives each process a part of every weight. Raises
    `FileExistsError` if `out` has other files in it, and `ValueError` for a corpus that cannot be
    trained on and for a run that cannot be resumed or started.
    """
    out, run = Path(out), run.filled_in()
    recipe, resume = run.recipe, session.resume
    if sharded and world_size() == 1:
        raise ValueError("--shard is for many processes: start them with torchrun")
    plan = make_plan(recipe, run.steps, run.minutes, run.seed)
    if run.start is not None and not resume:  # refused before an earlier run is removed
        check_outside(out, run.start, "the new run")
        with Undrawn():  # its weights are needed later
            read_start(run.start, recipe, run.seed)
    write = partial(_write_data, corpus, run, say=session.say)
    with open_run(corpus, out, run, session, read_run, write) as data:
        batches = make_batches(recipe, data.training, data.tokenizer, run.seed)
        model = starting_model(run, data, batches, out, session).to(best_device())
        if sharded:
            # Parts of the last layer are used alone, so it is gathered with the whole model.
            shard_weights(model, model.bert.encoder.layers[:-1])
        saver = Saver(model, run, data, out)
        snapshots = snapshots or (resume and (out / SNAPSHOTS).exists())
        trainer = Trainer(
            model,
            recipe.task.make_objective(),
            make_optimizers(recipe, model),
            Data(parts_of_this_process(batches, run.accumulate), data.held_out_batches()),
            plan,
            Record(out, asdict(run), session.watch, saver.snapshot if snapshots else None),
        )
        if resume and (warning := trainer.resume()):
            session.say(warning)
        session.say(_beginning(run, data, model, trainer.step))
        if snapshots and trainer.step == 0:
            saver.snapshot(0)
        finished = trainer.train()
        saver.save(out)
        return finished


@contextmanager
def open_run(
    corpus: Corpus | PreparedCorpus,
    out: Path,
    run: Any,
    session: Session,
    read: Callable[[Path], Any],
    write: Callable[[Path], None],
) -> Iterator[RunData]:
    """The folder of a run, reserved for this process, and what the run learns from.

    `write` writes that data once, and `read` reads the settings of a run that is resumed. Raises
    `ValueError` if they differ from `run`.
    """
    with ExitStack() as at_the_end:
        if is_main():
            at_the_end.enter_context(run_folder(out, session))
        with main_first():
            if session.resume:
                check_same(out, asdict(read(out)), asdict(run))
                if isinstance(corpus, PreparedCorpus) and is_main():
                    corpus.check()  # shards may have changed since
            write_data_once(out, asdict(run), write)
            data = open_data(out, session.say)
        at_the_end.callback(data.close)
        yield data


def check_outside(out: Path, model: str, what: str) -> None:
    """Raise `ValueError` for a model in the folder that a run will replace."""
    if find_directory(model).resolve().is_relative_to(out.resolve()):
        raise ValueError(f"{model} is in {out}, which {what} would replace: choose another folder")


def prepare_data(
    corpus: Corpus | PreparedCorpus, run: Run, out: Path, say: Callable[[str], None] = print
) -> RunData:
    """What a run learns from. It is made once and kept in `out/data`, for a resumed run too."""
    run = run.filled_in()
    write_data_once(out, asdict(run), partial(_write_data, corpus, run, say=say))
    return open_data(out, say)


def _write_data(
    corpus: Corpus | PreparedCorpus, run: Run, directory: Path, say: Callable[[str], None]
) -> None:
    start = None if run.start is None else read_start(run.start, run.recipe, run.seed)
    tokenizer = start[1] if start else make_tokenizer(corpus, run.vocab_size or 0, say)
    tokens = write_corpus(corpus, tokenizer, directory, say)
    make_batches(run.recipe, tokens, tokenizer, run.seed)  # raises if it can make none
    if start and run.start:
        save_start(directory, start, tokens, run.start, say)


def starting_model(
    run: Run, data: RunData, batches: Callable[[int], Batch], out: Path, session: Session
) -> BertForPreTraining:
    """The model at the start of a run. Its weights do not matter if a checkpoint will be loaded."""
    recipe, start = run.recipe, out / DATA / START
    saved = session.resume and any((out / "checkpoints").glob("step-*"))
    if session.resume and not saved:
        session.say("Nothing was saved yet: beginning at step 0.")
    given = {"attn_implementation": recipe.attention}
    if run.start is None:
        assert run.preset is not None  # it is filled in
        config = make_config(recipe, run.preset, data.tokenizer.vocab_size)
    else:
        config = BertConfig.from_pretrained(start, **given)
    if saved:
        model = recipe.task.make_model(config)
    elif run.start is not None:
        model, _, _ = load_with_new_heads(start, recipe.task.make_model, **given)
    else:
        if recipe.init in COUNTING:
            session.say(COUNTING[recipe.init])
        model = make_model(recipe, config, data.training, run.seed, batches(0))
    if recipe.sampled_softmax:
        assert isinstance(model, FastBertForPreTraining)
        model.sampled_softmax = make_sampled_softmax(recipe, data.training, config.vocab_size)
    return model


class Saver:
    """Saves the model of a run as a Hugging Face directory, also if each process has a part."""

    def __init__(self, model: BertForPreTraining, run: Run, data: RunData, out: Path) -> None:
        self.model = model
        self.task = run.recipe.task
        self.tokenizer = data.tokenizer
        self.out = out

    def save(self, directory: Path) -> None:
        """All processes must call this. The main process writes."""
        weights = full_state(self.model.state_dict())
        if is_main():
            with torch.device("meta"):
                model = self.task.make_model(self.model.config)
            model.load_state_dict(weights, assign=True)
            model.save_pretrained(directory, self.tokenizer)

    def snapshot(self, step: int) -> None:
        """Keep the model of this step, if it is one of those that are kept."""
        if is_snapshot(step):
            self.save(snapshot_folder(self.out, step))


def _beginning(run: Run, data: RunData, model: BertForPreTraining, step: int) -> str:
    """What is trained on what."""
    number = sum(p.numel() for p in model.parameters())
    return (
        f"Training {number / 1e6:.1f} million weights ({run.preset or run.start}) on "
        f"{data.training.num_tokens / 1e6:.2f} million tokens"
        + (" and what follows" if isinstance(data.training, StreamedCorpus) else "")
        + (f", from step {step}." if step else ".")
    )


def parts_of_this_process(
    batches: Callable[[int], Batch], accumulate: int
) -> Callable[[int], list[Batch]]:
    """The batches of a step, cut for the processes and for accumulation."""
    return lambda step: cut(batches(step), world_size() * accumulate)[rank() :: world_size()]


def cut(batch: Batch, parts: int) -> list[Batch]:
    """A batch as `parts` smaller batches, whose numbers of rows differ by one at most.

    Raises `ValueError` if some of them would be empty.
    """
    rows = len(next(iter(batch.values())))
    if rows < parts:
        raise ValueError(
            f"a batch of {rows} cannot be cut into {parts} parts (processes x --accumulate): make "
            "--batch-size larger"
        )
    pieces = [value.tensor_split(parts) for value in batch.values()]
    return [dict(zip(batch, piece, strict=True)) for piece in zip(*pieces, strict=True)]


def read_run(out: Path) -> Run:
    """The `Run` that `out/run.json` holds. Raises as `read_settings` does."""
    return read_settings(
        out, "run", lambda values: Run(recipe=Recipe.from_dict(values.pop("recipe")), **values)
    )
