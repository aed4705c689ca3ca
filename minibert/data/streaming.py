"""A corpus that comes through the network while a run goes on, and is never there as a whole.

It comes in windows, each a few million tokens that some steps are drawn from, and in lanes, each
every eighth of the dataset's files, which are read one after another. Window w is the next piece of
lane w mod 8; where the one after it begins is kept. So any window can be made again, and a batch
stays a function of (seed, step): for a run that is resumed, and on any number of processes, which
make the windows in turn, each its own ahead of time.

    data/stream.json            the dataset's name and revision
    data/training/, held_out/   the first documents of its first file
    data/windows/000012/        the tokens of a window; those that were used up are removed
    data/positions/000012.json  where its lane goes on after it
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
from minibert.data.corpora import HELD_OUT_EVERY, Corpus, Document, hub_dataset, split_sentences
from minibert.data.tokenized_corpora import ShardedCorpus, TokenizedCorpus, write_tokens
from minibert.files import read_json, to_disk, write_json
from minibert.tokenizer import BertTokenizer

if TYPE_CHECKING:
    from datasets import IterableDataset

STREAM = "stream.json"
LANES = 8
"""Files that are read side by side: what follows each other in one is often alike."""
WINDOW_CHARACTERS = 1 << 24
SAMPLE_CHARACTERS = 1 << 25
"""What the vocabulary, the start and the held-out text are taken from."""
PATIENCE = 0.05
"""Seconds between two looks for a window that is not there yet."""


@dataclass
class StreamedCorpus:
    """A dataset of the hub, window by window. Call `close` when no more are needed."""

    name: str
    sample: TokenizedCorpus
    tokenizer: BertTokenizer
    directory: Path
    rank: int = 0
    """The number of this process, of the `world_size` that train together."""
    world_size: int = 1
    _maker: WindowMaker | None = None
    """Once there was a need for it."""

    def shard(self, number: int) -> TokenizedCorpus:
        """What there is to count in at the start."""
        return self.sample

    @property
    def num_tokens(self) -> int:
        """Those that are there from the start."""
        return self.sample.num_tokens

    @cached_property
    def tokens_of_window(self) -> int:
        """Those of the first window; all have as many characters."""
        file = position_file(self.directory, 0)
        if not file.exists():
            self.window(0)
        return read_json(file)["tokens"]

    def window(self, number: int) -> TokenizedCorpus:
        """The tokens of a window, which are waited for. Raises what went wrong with them."""
        if self._maker is None:
            self._maker = WindowMaker(self, number)
        maker = self._maker
        for later in range(number, number + self.world_size + 1):
            if later % self.world_size == self.rank:
                maker.wanted.put(later)  # one that is there is not made again
        folder = window_folder(self.directory, number)
        while not is_made(folder):  # by another process, it may be
            if maker.error is not None:
                raise maker.error
            time.sleep(PATIENCE)
        if self.rank == 0:
            for old in sorted((self.directory / "windows").iterdir()):
                if old.name < f"{number - 1:06}":  # others may still read the one before
                    remove(old)
        return TokenizedCorpus.open(folder)

    def close(self) -> None:
        """Make no more windows. Those that are there stay."""
        if self._maker is not None:
            self._maker.close()
            self._maker = None


class WindowMaker(Thread):
    """Makes the windows that are wanted, beside the training that reads them."""

    def __init__(self, corpus: StreamedCorpus, first: int) -> None:
        super().__init__(daemon=True)
        self.wanted: SimpleQueue[int] = SimpleQueue()
        self.error: Exception | None = None
        self._corpus = corpus
        self._first = first
        self._closed = Event()
        self.start()

    def run(self) -> None:
        """What the thread does."""
        try:
            name, rows = hub_dataset(self._corpus.name)
            if name != self._corpus.name:
                raise ValueError(f"{self._corpus.name} is not to be had: there is {name}")
            lanes = [Lane(rows, number) for number in range(min(LANES, rows.num_shards))]
            while not self._closed.is_set():
                with suppress(Empty):
                    self._make(self.wanted.get(timeout=PATIENCE), lanes)
        except Exception as error:  # whatever it is: a thread's error is seen by nobody else
            self.error = error

    def close(self) -> None:
        """Nothing is written any more, or soon: what waits for the network is not waited for."""
        self._closed.set()
        self.join(10)

    def _make(self, number: int, lanes: list[Lane]) -> None:
        """Write a window, and where its lane goes on."""
        directory, tokenizer = self._corpus.directory, self._corpus.tokenizer
        final = window_folder(directory, number)
        if is_made(final):
            return
        lane, before = lanes[number % len(lanes)], number - len(lanes)
        lane.go_to(lane.start if before < 0 else self._place_after(before))
        documents = lane.take(self._closed)
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
        rmtree(final, ignore_errors=True)  # one that is not whole
        writing.rename(final)

    def _place_after(self, number: int) -> Place:
        """Where the lane of a window goes on, which another process may just be making."""
        file = position_file(self._corpus.directory, number)
        while not file.exists() and not self._closed.is_set():
            if number < self._first:  # training is past it
                raise ValueError(f"{file} is lost, and the run cannot go on: begin anew")
            time.sleep(PATIENCE)
        return Place(**read_json(file)["place"])


def window_folder(directory: Path, number: int) -> Path:
    """Where the tokens of a window are."""
    return directory / "windows" / f"{number:06}"


def position_file(directory: Path, number: int) -> Path:
    """Says where the lane of a window goes on after it."""
    return directory / "positions" / f"{number:06}.json"


def is_made(window: Path) -> bool:
    """Whether a window is there: as a whole, or not at all."""
    return (window / "arrays.json").exists()


def remove(window: Path) -> None:
    """A run may be killed in between: what is left of it is no window any more."""
    for gone in window.parent.glob("gone-*"):
        rmtree(gone, ignore_errors=True)
    with suppress(OSError):  # some systems keep what a process still has open
        rmtree(window.rename(window.with_name(f"gone-{window.name}")), ignore_errors=True)


def beginning(corpus: Corpus) -> Corpus:
    """The first documents of the dataset's first file."""
    return corpus.parts[0].head(SAMPLE_CHARACTERS)


@dataclass(frozen=True)
class Place:
    """Where a lane goes on: in which file, after how many of its rows and of its documents."""

    file: int
    row: int = 0
    document: int = 0


class Lane:
    """Every `LANES`-th file of a dataset: their documents, one after another, again and again."""

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
        """To a place where this or another lane like it has been, past all that lies before it."""
        if place.file != self.place.file or place.row < self.place.row:
            self._open(place.file)
        for _ in range(place.row - self.place.row):
            next(self._rows, None)
        self.place = place

    def take(self, stop: Event) -> list[Document]:
        """The documents of a window, but for those that `Corpus.split` holds out.

        Fewer, once `stop` is set. Raises `ValueError` where there is no text.
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
            text, document = row["text"] or "", self.place.document
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
    """Batches of one window after another; `make` makes those of a window, given a seed."""

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
