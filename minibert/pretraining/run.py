"""Pretraining: from a corpus to a BERT in a folder. Three recipes, one table.

Two begin with nothing; `continue` goes on from the weights of another BERT.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn

from minibert.config import BertConfig
from minibert.data.batches import Batch, PackedBatches, PairBatches
from minibert.data.corpora import HUB, PREPARED, Corpus, Sentences, load_corpus
from minibert.data.masking import EVALUATION_MASKING, Masking
from minibert.data.shards import PreparedCorpus, is_prepared
from minibert.data.streaming import (
    STREAM,
    StreamedBatches,
    StreamedCorpus,
    TrainingCorpus,
    beginning,
)
from minibert.data.tokenized_corpora import AnyCorpus, TokenizedCorpus, write_tokens
from minibert.files import find_directory, read_json, to_disk, write_json
from minibert.model import IGNORE_INDEX, BertForPreTraining
from minibert.pretraining.counted_embeddings import (
    cooccurrence_embeddings,
    sinusoidal_positions,
    token_counts,
)
from minibert.pretraining.given_start import MLM_HEAD, load_with_new_heads
from minibert.pretraining.neighbour_start import start_from_neighbours
from minibert.tokenizer import BertTokenizer
from minibert.training.fast import FastBertForPreTraining, SampledSoftmax
from minibert.training.optimizers import Schedule, adam, linear, muon, warmup_stable_decay
from minibert.training.processes import is_main, main_first, rank, shard, whole, world_size
from minibert.training.trainer import Numbers, Plan, Trainer, check_settings, read_history

HELD_OUT_BATCHES = 16
HELD_OUT_ROWS = 64
HELD_OUT_LENGTH = 64
HELD_OUT_SEED = 12345
"""Masks of the held-out text are the same in every run, so runs can be compared."""


@dataclass(frozen=True)
class Recipe:
    """How a BERT is pretrained; its architecture is the config's."""

    optimizer: str
    """`adam`: without bias correction, as the original; `adamw`: with it; `muon`: Muon + AdamW."""
    lr: float
    schedule: str
    """`linear` as the original, or `wsd`: warm-up, stable, decay."""
    warmup: float
    """The share of training that the learning rate rises in."""
    masking: Masking
    next_sentence: bool
    """MLM + NSP on sentence pairs; else MLM alone, on packed sequences without padding."""
    dropout: float | None
    """None: as the config of the given weights has it."""
    batch_size: int
    max_length: int
    init: str
    """Where weights start. `random`: the MLM bias at 0. `cooccurrence`: the token matrix from
    counts, the bias from the log of each token's frequency. `neighbours`: likewise, and the first
    layer looks at the tokens left and right. `given`: all is in weights that are there already."""
    bf16: bool
    """Matrix products in bfloat16, where the processor has it."""
    attention: str = "sdpa"
    """The config's `attn_implementation` while training. On a CPU ours takes less time for short
    sequences: torch's built-in saves memory there, and pays for it on the way back."""
    positions: str = "random"
    """Where the position matrix starts: `random`, or `sinusoidal`."""
    matrix_lr: float = 0.0
    """Muon's."""
    ns_steps: int = 5
    """How exactly Muon makes its updates orthogonal; 3 take less time and train as well."""
    decay: float = 0.0
    """The share of training that `wsd` falls in."""
    sampled_softmax: bool = False
    """Score masked tokens against a part of the vocabulary, drawn anew in each step."""
    elsewhere: float = 0.0
    """With `next_sentence`: of the random second sentences, the share from the same document."""


RECIPES = {
    "original": Recipe(
        optimizer="adam",
        lr=1e-3,
        schedule="linear",
        warmup=0.1,
        masking=Masking(),
        next_sentence=True,
        dropout=0.1,
        batch_size=32,
        max_length=64,
        init="random",
        bf16=False,
    ),
    "fast": Recipe(
        optimizer="muon",
        lr=3e-3,
        matrix_lr=0.02,
        schedule="wsd",
        warmup=0.02,
        decay=0.5,
        masking=Masking(probability=0.3),
        next_sentence=False,
        dropout=0.0,
        batch_size=64,
        max_length=64,
        init="cooccurrence",
        positions="sinusoidal",
        bf16=True,
        attention="eager",
    ),
    "speedrun": Recipe(
        optimizer="muon",
        lr=3e-3,
        matrix_lr=0.02,
        ns_steps=3,
        schedule="wsd",
        warmup=0.02,
        decay=0.5,
        masking=Masking(probability=0.4, mask=1.0, random=0.0),
        next_sentence=False,
        dropout=0.0,
        batch_size=64,
        max_length=64,
        init="neighbours",
        sampled_softmax=True,
        bf16=True,
        attention="eager",
    ),
    "continue": Recipe(
        optimizer="adamw",
        lr=3e-4,
        schedule="linear",
        warmup=0.1,
        masking=Masking(),
        next_sentence=False,
        dropout=None,
        batch_size=32,
        max_length=64,
        init="given",
        bf16=True,
        attention="eager",
    ),
}


class PretrainingObjective:
    """MLM over masked tokens and, where the batch has its labels, NSP over pairs."""

    def counts(self, batch: Batch) -> Numbers:
        """Masked tokens and pairs; `tokens` without padding."""
        masked = int((batch["labels"] != IGNORE_INDEX).sum())
        mask = batch.get("attention_mask")
        tokens = batch["input_ids"].numel() if mask is None else int(mask.sum())
        counts = {"tokens": tokens, "mlm_loss": masked, "mlm_accuracy": masked}
        if "next_sentence_label" in batch:
            pairs = len(batch["next_sentence_label"])
            counts |= {"nsp_loss": pairs, "nsp_accuracy": pairs}
        return counts

    def sums(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Summed losses, and how many predictions were right."""
        out = model(**batch)
        masked = (batch["labels"] != IGNORE_INDEX).sum()
        sums = {"mlm_loss": out.mlm_loss * masked, "mlm_accuracy": out.mlm_correct}
        if "next_sentence_label" in batch:
            labels = batch["next_sentence_label"]  # (B,)
            sums["nsp_loss"] = out.next_sentence_loss * len(labels)
            sums["nsp_accuracy"] = (out.seq_relationship_logits.argmax(-1) == labels).sum()
        return sums


def has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 matrices in hardware; elsewhere it is slower."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def make_config(recipe: Recipe, preset: str, vocab_size: int) -> BertConfig:
    """The preset's sizes with the recipe's choices, as long as either kind of text needs."""
    return BertConfig.preset(
        preset,
        vocab_size=vocab_size,
        max_position_embeddings=max(HELD_OUT_LENGTH, recipe.max_length),
        hidden_dropout_prob=recipe.dropout,
        attention_probs_dropout_prob=recipe.dropout,
        attn_implementation=recipe.attention,
    )


def make_model(
    recipe: Recipe,
    config: BertConfig,
    corpus: TrainingCorpus,
    seed: int,
    batch: Batch | None = None,
) -> FastBertForPreTraining:
    """A BERT at its start. What is counted for it is counted in the corpus's first shard.

    `batch` is one to train on, which a start from neighbours is scaled to.
    """
    torch.manual_seed(seed)
    model = FastBertForPreTraining(config, recipe.next_sentence)
    vocab_size, hidden_size = config.vocab_size, config.hidden_size
    embeddings = model.bert.embeddings
    with torch.no_grad():
        if recipe.init == "cooccurrence":
            embeddings.word_embeddings.weight.copy_(
                cooccurrence_embeddings(corpus.shard(0).tokens, vocab_size, hidden_size, seed=seed)
            )
            model.mlm_head.decoder.bias.copy_(log_frequency(corpus, vocab_size))
        if recipe.init == "neighbours":
            model.mlm_head.decoder.bias.copy_(log_frequency(corpus, vocab_size))
            start_from_neighbours(model, corpus.shard(0).tokens, batch, seed)
        if recipe.positions == "sinusoidal":
            embeddings.position_embeddings.weight.copy_(
                sinusoidal_positions(config.max_position_embeddings, hidden_size)
            )
    return model


def make_sampled_softmax(recipe: Recipe, corpus: TrainingCorpus, vocab_size: int) -> SampledSoftmax:
    """One for batches of the recipe's size."""
    targets = round(recipe.masking.probability * recipe.batch_size * recipe.max_length)
    return SampledSoftmax(token_counts(corpus.shard(0).tokens, vocab_size), targets)


def log_frequency(corpus: AnyCorpus, vocab_size: int) -> Tensor:
    """The log of each token's share of a corpus (V,): what guesses best without looking."""
    counts = token_counts(corpus.shard(0).tokens, vocab_size) + 1  # none is impossible
    return torch.from_numpy(np.log(counts / counts.sum()))


def read_start(
    name_or_path: str, recipe: Recipe, seed: int
) -> tuple[BertForPreTraining, BertTokenizer, set[str]]:
    """The BERT that a run goes on from, its tokenizer, and which of its heads are new.

    Raises `FileNotFoundError` and `ValueError` as `load_with_new_heads` does, and `ValueError` for
    a BERT with fewer positions than the sequences have tokens.
    """
    names = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    dropout = {} if recipe.dropout is None else dict.fromkeys(names, recipe.dropout)
    torch.manual_seed(seed)  # for the heads that are new
    model, tokenizer, new = load_with_new_heads(name_or_path, recipe.next_sentence, **dropout)
    positions = model.config.max_position_embeddings
    longest = max(HELD_OUT_LENGTH, recipe.max_length)
    if positions < longest:
        raise ValueError(
            f"{name_or_path} has {positions} positions: too few for sequences of {longest} tokens, "
            f"which it would be trained (max_length {recipe.max_length}) or measured on "
            f"({HELD_OUT_LENGTH})"
        )
    return model, tokenizer, new


def make_optimizers(recipe: Recipe, model: nn.Module) -> list[torch.optim.Optimizer]:
    """The optimisers that the recipe names."""
    if recipe.optimizer == "muon":
        return muon(model, recipe.lr, recipe.matrix_lr, ns_steps=recipe.ns_steps)
    return [adam(model.parameters(), recipe.lr, bias_correction=recipe.optimizer == "adamw")]


def make_schedule(recipe: Recipe) -> Schedule:
    """The schedule that the recipe names."""
    if recipe.schedule == "linear":
        return linear(recipe.warmup)
    return warmup_stable_decay(recipe.warmup, recipe.decay)


def make_batches(
    recipe: Recipe, corpus: TrainingCorpus, tokenizer: BertTokenizer, seed: int
) -> Callable[[int], Batch]:
    """Batches by step."""
    size, length = recipe.batch_size, recipe.max_length

    def make(corpus: AnyCorpus, seed: int) -> Callable[[int], Batch]:
        settings = (corpus, tokenizer, recipe.masking, size, length, seed)
        if recipe.next_sentence:
            return PairBatches(*settings, recipe.elsewhere)
        return PackedBatches(*settings)

    if isinstance(corpus, StreamedCorpus):
        return StreamedBatches(corpus, make, size * length, seed)
    return make(corpus, seed)


def held_out_batches(corpus: AnyCorpus, tokenizer: BertTokenizer) -> list[Batch]:
    """What every model is measured on, whatever its recipe: the same text with the same masks."""
    batches = PackedBatches(
        corpus, tokenizer, EVALUATION_MASKING, HELD_OUT_ROWS, HELD_OUT_LENGTH, HELD_OUT_SEED
    )
    return [batches(step) for step in range(HELD_OUT_BATCHES)]


@dataclass(frozen=True)
class Run:
    """Everything that a pretraining run depends on. It is kept in `run.json` and checkpoints."""

    corpus: str
    preset: str | None = None
    """`tiny` if not given; that of the weights where there is a `start`."""
    recipe: Recipe = RECIPES["original"]
    steps: int | None = None
    minutes: float | None = None
    vocab_size: int | None = None
    """8192 if not given; likewise."""
    accumulate: int = 1
    """Batches that the batch of a step is cut into, for less memory; but for dropout, which is
    drawn anew for each, the result is the same."""
    seed: int = 0
    start: str | None = None
    """The BERT to go on from: a name in `SHIPPED`, a folder, a name on the hub. Its config and its
    tokenizer are kept. None: a new one."""

    def __post_init__(self) -> None:
        if self.start is None:
            if self.recipe.init == "given":
                raise ValueError(
                    "this recipe goes on from weights: say which (--from MODEL), or take another"
                )
            for name, value in (("preset", "tiny"), ("vocab_size", 8192)):
                if getattr(self, name) is None:
                    object.__setattr__(self, name, value)
        elif self.preset is not None or self.vocab_size is not None:
            raise ValueError(
                f"{self.start} has its own size and vocabulary: leave --preset and --vocab-size "
                "out, or --from"
            )
        elif self.recipe.init != "given":
            raise ValueError(
                f"{self.start} has its own weights, and this recipe begins with new ones: take the "
                "recipe `continue`, without --init"
            )


def pretrain(
    corpus: Corpus | PreparedCorpus,
    out: str | Path,
    run: Run,
    resume: bool = False,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
    watch: Callable[[dict[str, Any]], None] | None = None,
    snapshots: bool = False,
    sharded: bool = False,
) -> bool:
    """Pretrain a BERT into the folder `out`; returns whether it came to its end.

    `out` becomes a Hugging Face BERT directory, and has `run.json`, `history.jsonl`, `data/` and
    `checkpoints/` besides. `resume` goes on with a run that was stopped, `overwrite` begins anew in
    the folder of an earlier one. `watch` is called with each line of `history.jsonl` as it is
    written. `snapshots` keeps the model as it was on the way, for looking at how it learned: see
    `read_snapshots`. `sharded`, with many processes, leaves each a part of every weight. Raises
    `FileExistsError` for a folder with something in it otherwise, and `ValueError` for what cannot
    be trained on or resumed, or started from.
    """
    out = Path(out)
    if sharded and world_size() == 1:
        raise ValueError("--shard is for many processes: start them with torchrun")
    plan = Plan(run.steps, run.minutes, bf16=run.recipe.bf16 and has_bf16())
    if run.start is not None and not resume:  # refused before an earlier run is removed
        if find_directory(run.start).resolve().is_relative_to(out.resolve()):
            raise ValueError(f"{run.start} lies in {out}, where the new run is to go")
        read_start(run.start, run.recipe, run.seed)
    folder = run_folder(out, resume, overwrite) if is_main() else nullcontext()
    with folder, ExitStack() as at_the_end:
        with main_first():
            if resume:
                check_settings(out, asdict(read_run(out)), asdict(run))
            training, held_out, tokenizer = prepare_data(corpus, run, out, say)
        if isinstance(training, StreamedCorpus):
            at_the_end.callback(training.close)
        recipe, start = run.recipe, out / "data" / START
        if run.start is None:
            config = make_config(recipe, run.preset, tokenizer.vocab_size)
        else:
            config = BertConfig.from_pretrained(start, attn_implementation=recipe.attention)
        batches = make_batches(recipe, training, tokenizer, run.seed)
        if resume and any((out / "checkpoints").glob("step-*")):
            model = FastBertForPreTraining(config, recipe.next_sentence)  # its weights follow
        else:
            if resume:
                say("Nothing was saved yet: beginning at step 0.")
            if recipe.init == "cooccurrence":
                say("Counting which tokens stand near each other: the token matrix starts there.")
            if recipe.init == "neighbours":
                say("Counting which tokens stand next to each other: the model starts there.")
            if run.start is None:
                model = make_model(recipe, config, training, run.seed, batches(0))
            else:
                model = FastBertForPreTraining.from_pretrained(
                    start, attn_implementation=recipe.attention
                )
        model.to("cuda" if torch.cuda.is_available() else "cpu")
        if recipe.sampled_softmax:
            model.sampled_softmax = make_sampled_softmax(recipe, training, config.vocab_size)
        if sharded:
            # Parts of the last layer are used alone, so its weights are gathered with the model's.
            shard(model, model.bert.encoder.layers[:-1])

        def save(directory: Path) -> None:
            weights = whole(model.state_dict())  # of all processes
            if is_main():
                with torch.device("meta"):
                    whole_model = BertForPreTraining(config, recipe.next_sentence)
                whole_model.load_state_dict(weights, assign=True)
                whole_model.save_pretrained(directory, tokenizer)

        snapshots = snapshots or (resume and (out / SNAPSHOTS).exists())

        def keep_snapshot(step: int) -> None:
            if snapshots and is_snapshot(step):
                save(out / SNAPSHOTS / f"step-{step:09d}")

        trainer = Trainer(
            model,
            PretrainingObjective(),
            make_optimizers(recipe, model),
            make_schedule(recipe),
            lambda step: cut(batches(step), world_size() * run.accumulate)[rank() :: world_size()],
            plan,
            out,
            seed=run.seed,
            held_out=[] if held_out is None else held_out_batches(held_out, tokenizer),
            settings=asdict(run),
            watch=watch,
            after_step=keep_snapshot,
        )
        if resume and (warning := trainer.resume()):
            say(warning)
        number = sum(p.numel() for p in model.parameters())
        say(
            f"Training {number / 1e6:.1f} million weights ({run.preset or run.start}) on "
            f"{training.num_tokens / 1e6:.2f} million tokens"
            + (" and what follows" if isinstance(training, StreamedCorpus) else "")
            + (f", from step {trainer.step}." if trainer.step else ".")
        )
        if trainer.step == 0:
            keep_snapshot(0)
        finished = trainer.train()
        save(out)
        return finished


def is_snapshot(step: int) -> bool:
    """Whether the model is kept after this many steps: 0, 10, 30, 100, 300, 1000 and so on.

    Much is learned early: on a logarithmic scale these are about equally far apart.
    """
    return step == 0 or (step >= 10 and str(step).rstrip("0") in ("1", "3"))


def read_snapshots(out: str | Path) -> dict[int, Path]:
    """The models that `pretrain(..., snapshots=True)` kept, by step, and the finished one last.

    Each is a folder that `minibert.load` takes. Raises `FileNotFoundError` where there are none.
    """
    out = Path(out)
    folders = sorted((out / SNAPSHOTS).glob("step-*"))
    found = {int(folder.name.split("-")[1]): folder for folder in folders}
    if not found:
        raise FileNotFoundError(
            f"{out} has no snapshots: keep them with pretrain(..., snapshots=True), or --snapshots"
        )
    history = read_history(out)
    if history and (out / "model.safetensors").exists():
        found[history[-1]["step"]] = out
    return found


def cut(batch: Batch, parts: int) -> list[Batch]:
    """A batch as `parts` smaller ones, of as many rows or one less.

    Raises `ValueError` where there would be nothing in some of them.
    """
    rows = len(next(iter(batch.values())))
    if rows < parts:
        raise ValueError(
            f"a batch of {rows} cannot be cut into {parts} parts (processes x --accumulate): make "
            "--batch-size larger"
        )
    pieces = [value.tensor_split(parts) for value in batch.values()]
    return [dict(zip(batch, piece, strict=True)) for piece in zip(*pieces, strict=True)]


DATA_WRITING = "data.writing"
START = "start"
"""In `data`: the model as it was given, new heads included. A run needs no other folder."""
SNAPSHOTS = "snapshots"
LOCK = ".lock"
RUN_FILES = ("history.jsonl", "config.json", "model.safetensors", "vocab.txt", "data")
RUN_FILES += ("tokenizer_config.json", "checkpoints", "demo.json")
RUN_FILES += ("attention.html", "attention.png", "distillation.json", SNAPSHOTS)


@contextmanager
def run_folder(
    out: Path,
    resume: bool,
    overwrite: bool,
    settings_file: str = "run.json",
    files: Sequence[str] = RUN_FILES,
) -> Iterator[None]:
    """The folder of a run: there, writable, holding nobody else's work, and this process's alone.

    A run is known by its `settings_file`. Of an earlier one to be overwritten `files` are removed
    (names, or patterns of them), and the settings stay: until there are new ones they say whose
    folder it is.
    """
    if resume and overwrite:
        raise ValueError("--resume goes on with what is there, --overwrite removes it: choose one")
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is a file, not a folder")
    is_run = (out / settings_file).exists()
    if resume and not is_run:
        raise FileNotFoundError(f"there is no run in {out} to resume")
    # A run that was killed while it prepared its data leaves these, and nothing to resume.
    left = (LOCK, DATA_WRITING, f"{settings_file}.writing")
    if out.exists() and any(p.name not in left for p in out.iterdir()):
        if not is_run:
            raise FileExistsError(f"{out} holds files that are no run of minibert: choose another")
        if not (resume or overwrite):
            raise FileExistsError(
                f"{out} holds a run already: --resume goes on with it, --overwrite begins anew"
            )
    out.mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK):
        raise PermissionError(f"{out} cannot be written to")
    lock = FileLock(out / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise FileExistsError(
            f"another process is training in {out}: stop it first, or choose another folder"
        ) from None
    try:
        if overwrite:
            remove(out, files)
        yield
    finally:
        lock.release()


def remove(out: Path, patterns: Sequence[str]) -> None:
    """Remove the files and folders in `out` of these names."""
    for path in [path for pattern in patterns for path in out.glob(pattern)]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def prepare_data(
    corpus: Corpus | PreparedCorpus, run: Run, out: Path, say: Callable[[str], None] = print
) -> tuple[TrainingCorpus, AnyCorpus | None, BertTokenizer]:
    """Tokenizer, training tokens and held-out tokens (None if the corpus is a single document).

    Made once and kept in `out/data`; a run that is resumed takes them from there.
    """

    def write(directory: Path) -> None:
        if run.start is None:
            tokenizer = make_tokenizer(corpus, run.vocab_size, say)
        else:
            model, tokenizer, new = read_start(run.start, run.recipe, run.seed)
        tokens = write_corpus(corpus, tokenizer, directory, say)
        make_batches(run.recipe, tokens, tokenizer, run.seed)  # refuses what it can make none of
        if run.start is not None:
            if new:
                say(f"{run.start} lacks {', '.join(sorted(new))}: new, at random.")
            if MLM_HEAD in new:
                with torch.no_grad():
                    frequency = log_frequency(tokens, model.config.vocab_size)
                    model.mlm_head.decoder.bias.copy_(frequency)
            model.save_pretrained(directory / START, tokenizer)

    write_data_once(out, asdict(run), write)
    return open_data(out, say)


def find_corpus(source: str) -> Corpus | PreparedCorpus:
    """What `minibert prepare` left in a folder, or a corpus as `load_corpus` takes it.

    Raises what `PreparedCorpus.open` and `load_corpus` do.
    """
    return PreparedCorpus.open(source) if is_prepared(source) else load_corpus(source)


def make_tokenizer(
    corpus: Corpus | PreparedCorpus, vocab_size: int, say: Callable[[str], None] = print
) -> BertTokenizer:
    """The vocabulary that a corpus was prepared with, or a new one.

    Raises `ValueError` where the prepared one was to have another size.
    """
    if isinstance(corpus, PreparedCorpus):
        if corpus.vocab_size != vocab_size:
            raise ValueError(
                f"{corpus.name} was prepared with vocab_size {corpus.vocab_size}, not {vocab_size}"
            )
        return corpus.tokenizer
    if corpus.name.startswith(HUB):
        corpus = beginning(corpus)
    training, _ = corpus.split()
    say(f"Learning a vocabulary of {vocab_size} word pieces from {corpus.name}.")
    return BertTokenizer.train(Sentences(training), vocab_size)


def write_data_once(out: Path, settings: dict[str, Any], write: Callable[[Path], None]) -> None:
    """`out/data` as `write` writes it, and `settings` as `out/run.json`: both, or neither."""
    data = out / "data"
    if data.exists():
        return
    writing = out / DATA_WRITING
    shutil.rmtree(writing, ignore_errors=True)
    try:
        write(writing)
    except BaseException:  # Ctrl-C too: nothing is left in the way of another try
        shutil.rmtree(writing, ignore_errors=True)
        raise
    write_json(out / "run.json", settings)
    for path in (*writing.rglob("*"), writing):
        to_disk(path)
    writing.rename(data)
    to_disk(out)


def write_corpus(
    corpus: Corpus | PreparedCorpus,
    tokenizer: BertTokenizer,
    directory: Path,
    say: Callable[[str], None] = print,
) -> AnyCorpus:
    """Write the tokenizer, the tokens to train on, which are returned, and those held out.

    Of a corpus that is prepared, only where it is; of one on the hub, what its run begins with.
    Raises `ValueError` where it was prepared with another vocabulary, or is damaged.
    """
    tokenizer.save(directory)
    if isinstance(corpus, PreparedCorpus):
        if tokenizer.vocab != corpus.tokenizer.vocab:
            raise ValueError(
                f"{corpus.name} was prepared with another vocabulary than the model has: prepare "
                "it with --from and this model"
            )
        corpus.check()
        write_json(directory / PREPARED, {"folder": corpus.name, "sha256": corpus.sha256})
        return corpus.training
    if corpus.name.startswith(HUB):
        write_json(directory / STREAM, {"name": corpus.name})
        corpus = beginning(corpus)
    training, held_out = corpus.split()
    tokens = write_tokens(training, tokenizer, directory / "training")
    if next(iter(held_out), None) is None:
        say("The corpus is a single document: nothing is held out, so nothing is measured.")
    else:
        write_tokens(held_out, tokenizer, directory / "held_out")
    return tokens


def open_data(
    out: Path, say: Callable[[str], None] = print
) -> tuple[TrainingCorpus, AnyCorpus | None, BertTokenizer]:
    """What `write_corpus` wrote into `out/data`.

    Raises `ValueError` where a folder of `prepare`'s has other tokens since.
    """
    data = out / "data"
    tokenizer = BertTokenizer.from_pretrained(data)
    training: TrainingCorpus
    held_out: AnyCorpus | None
    if (data / PREPARED).exists():
        begun_with = read_json(data / PREPARED)
        prepared = PreparedCorpus.open(begun_with["folder"])
        if prepared.sha256 != begun_with["sha256"]:
            raise ValueError(
                f"{prepared.name} holds other tokens than those that {out} was begun with"
            )
        training, held_out = prepared.training, prepared.held_out
    else:
        training = TokenizedCorpus.open(data / "training")
        held_out = TokenizedCorpus.open(data / "held_out") if (data / "held_out").exists() else None
    if (data / STREAM).exists():
        name = read_json(data / STREAM)["name"]
        training = StreamedCorpus(name, training, tokenizer, data, rank(), world_size())
    if held_out is not None and held_out.sizes[:, 0].max() < HELD_OUT_LENGTH:
        say("The held-out text is shorter than one sequence: nothing is measured.")
        held_out = None
    return training, held_out, tokenizer


def read_run(out: Path) -> Run:
    """The `Run` that `out/run.json` holds.

    Raises `FileNotFoundError` where there is none and `ValueError` where it is of another kind.
    """
    if not (out / "run.json").exists():
        raise FileNotFoundError(f"there is no run in {out}")
    try:
        values = read_json(out / "run.json")
        recipe = values.pop("recipe")
        return Run(recipe=Recipe(masking=Masking(**recipe.pop("masking")), **recipe), **values)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{out / 'run.json'} is no run of this minibert: {error}") from None
