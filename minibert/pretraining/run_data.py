"""The data of a run in `out/data`: a tokenizer, tokens to train on, and held-out tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from minibert.data.batches import Batch, PackedBatches
from minibert.data.corpora import PREPARED, Corpus, Sentences, load_corpus
from minibert.data.hub import HUB
from minibert.data.masking import EVALUATION_MASKING
from minibert.data.shards import PreparedCorpus, is_prepared
from minibert.data.streaming import STREAM, StreamedCorpus, TrainingCorpus, beginning
from minibert.data.tokenized_corpora import AnyCorpus, TokenizedCorpus, write_tokens
from minibert.files import read_json, write_json
from minibert.tokenizer import BertTokenizer
from minibert.training.processes import rank, world_size
from minibert.training.run_folder import DATA

HELD_OUT_BATCHES = 16
HELD_OUT_ROWS = 64
HELD_OUT_LENGTH = 64
HELD_OUT_SEED = 12345
"""The masks of the held-out text are the same in every run, so that runs can be compared."""


class RunData(NamedTuple):
    """Tokens to train on, held-out tokens (None if there are too few), and the tokenizer."""

    training: TrainingCorpus
    held_out: AnyCorpus | None
    tokenizer: BertTokenizer

    def held_out_batches(self) -> list[Batch]:
        """As the function of this name. Empty without held-out tokens."""
        return [] if self.held_out is None else held_out_batches(self.held_out, self.tokenizer)

    def close(self) -> None:
        """Stop the download of a streamed corpus."""
        if isinstance(self.training, StreamedCorpus):
            self.training.close()


def held_out_batches(corpus: AnyCorpus, tokenizer: BertTokenizer) -> list[Batch]:
    """The batches that measure every model, whatever its recipe: same text, same masks."""
    batches = PackedBatches(
        corpus, tokenizer, EVALUATION_MASKING, HELD_OUT_ROWS, HELD_OUT_LENGTH, HELD_OUT_SEED
    )
    return [batches(step) for step in range(HELD_OUT_BATCHES)]


def find_corpus(source: str) -> Corpus | PreparedCorpus:
    """A folder that `minibert prepare` made, or a corpus by any name that `load_corpus` takes.

    Raises what `PreparedCorpus.open` and `load_corpus` do.
    """
    return PreparedCorpus.open(source) if is_prepared(source) else load_corpus(source)


def make_tokenizer(
    corpus: Corpus | PreparedCorpus, vocab_size: int, say: Callable[[str], None] = print
) -> BertTokenizer:
    """The vocabulary that a corpus was prepared with, or a new one.

    Raises `ValueError` if the corpus was prepared with another size.
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


def write_corpus(
    corpus: Corpus | PreparedCorpus,
    tokenizer: BertTokenizer,
    directory: Path,
    say: Callable[[str], None] = print,
) -> AnyCorpus:
    """Write the tokenizer, the training tokens and the held-out tokens. Returns training tokens.

    A prepared corpus stays where it is, and only its path is written. Of a corpus on the hub, only
    the beginning is written. Raises `ValueError` for a prepared corpus that has another vocabulary
    or is damaged.
    """
    tokenizer.save(directory)
    if isinstance(corpus, PreparedCorpus):
        if tokenizer.vocab != corpus.tokenizer.vocab:
            raise ValueError(
                f"{corpus.name} was prepared with another vocabulary than the model's: prepare it "
                "with --from and this model"
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
        say("The corpus is a single document, so nothing is held out and nothing is measured.")
    else:
        write_tokens(held_out, tokenizer, directory / "held_out")
    return tokens


def open_data(out: Path, say: Callable[[str], None] = print) -> RunData:
    """What `write_corpus` wrote into `out/data`.

    Raises `ValueError` if a prepared corpus has changed since, or if a file is damaged.
    """
    data = out / DATA
    tokenizer = BertTokenizer.from_pretrained(data)
    training: TrainingCorpus
    held_out: AnyCorpus | None
    if (data / PREPARED).exists():
        prepared = PreparedCorpus.open(_text(data / PREPARED, "folder"))
        if prepared.sha256 != _text(data / PREPARED, "sha256"):
            raise ValueError(f"{prepared.name} holds other tokens than when the run in {out} began")
        training, held_out = prepared.training, prepared.held_out
    else:
        training = TokenizedCorpus.open(data / "training")
        held_out = TokenizedCorpus.open(data / "held_out") if (data / "held_out").exists() else None
    if (data / STREAM).exists():
        assert isinstance(training, TokenizedCorpus)  # the beginning of a stream
        name = _text(data / STREAM, "name")
        training = StreamedCorpus(name, training, tokenizer, data, rank(), world_size())
    if held_out is not None and held_out.sizes[:, 0].max() < HELD_OUT_LENGTH:
        say("The held-out text is shorter than one sequence: nothing is measured.")
        held_out = None
    return RunData(training, held_out, tokenizer)


def _text(file: Path, name: str) -> str:
    """A text in a JSON file. Raises `ValueError` for anything else."""
    value = read_json(file).get(name)
    if not isinstance(value, str):
        raise ValueError(f"{file}: {name} must be text, not {value!r}")
    return value
