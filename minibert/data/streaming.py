"""A corpus that is downloaded during training, and never stored as a whole.

It arrives in windows of a few million tokens, and a run draws some steps from each. The dataset's
files are read in eight lanes: lane n reads files n, n + 8, n + 16, ... one after another. Window w
is the next piece of lane w mod 8, and the position after it is saved. So any window can be made
again, and a batch remains a function of (seed, step), in a resumed run too, and on any number of
processes. These make the windows in turn, ahead of time.

    data/stream.json            the dataset's name and revision
    data/training/, held_out/   the first documents of its first file
    data/windows/000012/        the tokens of a window, which is removed after its use
    data/positions/000012.json  the position of its lane after it
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from queue import Empty, SimpleQueue
from shutil import rmtree
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import numpy as np

from minibert.data.batches import Batch
from minibert.data.corpora import HELD_OUT_EVERY, Corpus, Document, split_sentences
from minibert.data.hub import hub_dataset, text_of
from minibert.data.tokenized_corpora import ARRAYS, ShardedCorpus, TokenizedCorpus, write_tokens
from minibert.files import read_json, to_disk, write_json
from minibert.tokenizer import BertTokenizer

if TYPE_CHECKING:
    from datasets import IterableDataset

STREAM = "stream.json"
LANES = 8
"""How many files are read in turn, because neighbours in one file are often similar."""
WINDOW_CHARACTERS = 1 << 24
SAMPLE_CHARACTERS = 1 << 25
"""The text that the vocabulary, the start and the held-out documents come from."""
PATIENCE = 0.05
"""Seconds between two looks for a missing window."""


@dataclass
class StreamedCorpus:
    """A dataset of the hub, window by window. Call `close` after the last."""

    name: str
    sample: TokenizedCorpus
    tokenizer: BertTokenizer
    directory: Path
    rank: int = 0
    """The number of this process among the `world_size` that train together."""
    world_size: int = 1
    _maker: WindowMaker | None = None
    """Started by the first call of `window`."""

    def shard(self, number: int) -> TokenizedCorpus:
        """The sample, to count tokens in before training."""
        return self.sample

    @property
    def num_tokens(self) -> int:
        """The number of tokens in the sample."""
        return self.sample.num_tokens

    @cached_property
    def tokens_of_window(self) -> int:
        """The number of tokens in the first window; all windows have as many characters."""
        file = position_file(self.directory, 0)
        if not file.exists():
            self.window(0)
        return read_position(file)[1]

    def window(self, number: int) -> TokenizedCorpus:
        """Wait for the tokens of a window. Raises the error that prevented them."""
        if self._maker is None:
            self._maker = WindowMaker(self, number)
        maker = self._maker
        for later in range(number, number + self.world_size + 1):
            if later % self.world_size == self.rank:
                maker.wanted.put(later)  # a window that exists is not made again
        folder = self.directory / "windows" / f"{number:06}"
        while not is_made(folder):  # perhaps by another process
            if maker.error is not None:
                raise maker.error
            time.sleep(PATIENCE)
        if self.rank == 0:
            for old in sorted((self.directory / "windows").iterdir()):
                if old.name < f"{number - 1:06}":  # other processes may still read the last window
                    remove_window(old)
        return TokenizedCorpus.open(folder)

    def close(self) -> None:
        """Make no more windows."""
        if self._maker is not None:
            self._maker.close()
            self._maker = None


class WindowMaker(Thread):
    """Makes windows on request, while training reads them."""

    def __init__(self, corpus: StreamedCorpus, first: int) -> None:
        super().__init__(daemon=True)
        self.wanted: SimpleQueue[int] = SimpleQueue()
        self.error: Exception | None = None
        self._corpus = corpus
        self._first = first
        self._closed = Event()
        self.start()

    def run(self) -> None:
        """The thread's work: windows on request, until `close`."""
        try:
            name, rows = hub_dataset(self._corpus.name)
            if name != self._corpus.name:
                raise ValueError(f"the hub has {name} and not {self._corpus.name}")
            lanes = [Lane(rows, number) for number in range(min(LANES, rows.num_shards))]
            while not self._closed.is_set():
                with suppress(Empty):
                    self._make(self.wanted.get(timeout=PATIENCE), lanes)
        except Exception as error:  # of any kind, for `window` to raise
            self.error = error

    def close(self) -> None:
        """Write nothing more, but do not wait for the network."""
        self._closed.set()
        self.join(10)

    def _make(self, number: int, lanes: list[Lane]) -> None:
        """Write a window, and the position of its lane after it."""
        directory, tokenizer = self._corpus.directory, self._corpus.tokenizer
        final = directory / "windows" / f"{number:06}"
        if is_made(final):
            return
        lane, before = lanes[number % len(lanes)], number - len(lanes)
        lane.go_to(lane.start if before < 0 else self._place_after(before))
        documents = lane.next_window(self._closed)
        if self._closed.is_set():
            return
        writing = final.with_name(f"writing-{number:06}")
        rmtree(writing, ignore_errors=True)
        tokens = write_tokens(documents, tokenizer, writing).num_tokens
        for path in (*writing.iterdir(), writing):
            to_disk(path)
        position = position_file(directory, number)
        position.parent.mkdir(exist_ok=True)
        write_json(position, {"place": asdict(lane.place), "tokens": tokens})
        to_disk(position.parent)  # no window without its position
        rmtree(final, ignore_errors=True)  # if it is not whole
        writing.rename(final)

    def _place_after(self, number: int) -> Place:
        """The position after a window, which another process may be making right now."""
        file = position_file(self._corpus.directory, number)
        while not file.exists() and not self._closed.is_set():
            if number < self._first:  # training is past it
                raise ValueError(f"{file} is lost, and the run cannot go on: begin a new one")
            time.sleep(PATIENCE)
        return read_position(file)[0]


def position_file(directory: Path, number: int) -> Path:
    """The file with the position of a window's lane after it, and its number of tokens."""
    return directory / "positions" / f"{number:06}.json"


def is_made(window: Path) -> bool:
    """Whether a window exists, as a whole."""
    return (window / ARRAYS).exists()


def remove_window(window: Path) -> None:
    """Rename a window, then remove it, so that a killed process leaves no half of a window."""
    for gone in window.parent.glob("gone-*"):
        rmtree(gone, ignore_errors=True)
    with suppress(OSError):  # some systems keep what a process still has open
        rmtree(window.rename(window.with_name(f"gone-{window.name}")), ignore_errors=True)


def beginning(corpus: Corpus) -> Corpus:
    """The first documents of the dataset's first file."""
    return corpus.parts[0].head(SAMPLE_CHARACTERS)


@dataclass(frozen=True)
class Place:
    """A position in a lane: the file, and the rows and documents of it that were read."""

    file: int
    row: int = 0
    document: int = 0


def read_position(file: Path) -> tuple[Place, int]:
    """The position after a window, and its number of tokens. Raises `ValueError` if damaged."""
    match read_json(file):
        case {
            "place": {"file": int(number), "row": int(row), "document": int(document)},
            "tokens": int(tokens),
        } if min(number, row, document) >= 0 and tokens > 0:
            return Place(number, row, document), tokens
    raise ValueError(f"{file} is damaged, and the run cannot go on: begin a new one")


class Lane:
    """Documents of every `LANES`-th file of a dataset, one after another, in endless passes."""

    def __init__(self, rows: IterableDataset, number: int) -> None:
        self._dataset = rows
        self._files = range(number, rows.num_shards, LANES)
        self.start = Place(number)
        self._open(number)

    def _open(self, file: int) -> None:
        self.place = Place(file)
        self._rows: Iterator[dict[str, Any]] = iter(
            self._dataset.shard(self._dataset.num_shards, file)
        )

    def go_to(self, place: Place) -> None:
        """Skip to a place where this lane was before, perhaps in another process.

        Raises `ValueError` for a place that the lane does not have.
        """
        lost = f"the dataset has no row {place.row} in file {place.file}: begin a new run"
        if place.file not in self._files:
            raise ValueError(lost)
        if place.file != self.place.file or place.row < self.place.row:
            self._open(place.file)
        for _ in range(place.row - self.place.row):
            if next(self._rows, None) is None:
                raise ValueError(lost)
        self.place = place

    def next_window(self, stop: Event) -> list[Document]:
        """The documents of a window, except those that `Corpus.split` holds out.

        Returns early once `stop` is set. Raises `ValueError` if there is no text.
        """
        taken: list[Document] = []
        characters = 0
        ended = 0
        while characters < WINDOW_CHARACTERS and not stop.is_set():
            row = next(self._rows, None)
            if row is None:
                ended += 1
                if ended > len(self._files) and not taken:
                    raise ValueError(f"the files {list(self._files)} of the dataset have no text")
                following = self._files.index(self.place.file) + 1
                self._open(self._files[following % len(self._files)])
                continue
            text, document = text_of(row, self.place.file, self.place.row), self.place.document
            if text.strip():
                if document % HELD_OUT_EVERY != 1:
                    taken.append(Document("", tuple(split_sentences(text))))
                    characters += len(text)
                document += 1
            self.place = replace(self.place, row=self.place.row + 1, document=document)
        return taken


TrainingCorpus = TokenizedCorpus | ShardedCorpus | StreamedCorpus


@dataclass(frozen=True)
class StreamedBatches:
    """Batches of one window after another. `make` takes a window and a seed."""

    corpus: StreamedCorpus
    make: Callable[[TokenizedCorpus, int], Callable[[int], Batch]]
    tokens_of_step: int
    seed: int

    @cached_property
    def steps_of_window(self) -> int:
        return max(1, self.corpus.tokens_of_window // self.tokens_of_step)

    @cached_property
    def _batches(self) -> Callable[[int], Callable[[int], Batch]]:
        def make(number: int) -> Callable[[int], Batch]:
            seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
            return self.make(self.corpus.window(number), seed)

        return lru_cache(maxsize=1)(make)

    def __call__(self, step: int) -> Batch:
        """The batch of a step."""
        number, place = divmod(step, self.steps_of_window)
        return self._batches(number)(place)
