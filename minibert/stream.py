"""A corpus that comes through the network while a run goes on, and is never there as a whole.

It comes in windows, each a few million tokens that some steps are drawn from. Window w is
the next piece of file w mod n of the dataset's n files; where the next one of that file begins is
kept. So any window can be made again, and a batch stays a function of (seed, step): for a run that
is resumed, and on any number of processes, which make the windows in turn, each its own ahead of
time.

    data/stream.json            the dataset's name
    data/training/, held_out/   the first documents of its first file
    data/windows/000012/        the tokens of a window; those that were used up are removed
    data/positions/000012.json  where its file goes on after it
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from queue import SimpleQueue
from shutil import rmtree
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np

from minibert.corpus import HELD_OUT_EVERY, Corpus, Document, hub_dataset, split_sentences
from minibert.distributed import is_main, rank, world_size
from minibert.files import read_json, to_disk, write_json
from minibert.pretraining_data import Batch, ShardedCorpus, TokenizedCorpus, write_tokens
from minibert.tokenizer import BertTokenizer

if TYPE_CHECKING:
    from datasets import IterableDataset

STREAM = "stream.json"
WINDOW_CHARACTERS = 1 << 24
SAMPLE_CHARACTERS = 1 << 25
"""What the vocabulary, the start and the held-out text are taken from."""
PATIENCE = 0.05
"""Seconds between two looks for a window that is not there yet."""


@dataclass(frozen=True)
class StreamedCorpus:
    """A dataset of the hub, window by window."""

    name: str
    sample: TokenizedCorpus
    tokenizer: BertTokenizer
    directory: Path
    _errors: list[Exception] = field(default_factory=list)
    """Of the thread that makes windows."""

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
        if not self._position(0).exists():
            self.window(0)
        return read_json(self._position(0))["tokens"]

    def window(self, number: int) -> TokenizedCorpus:
        """The tokens of a window, which are waited for. Raises what went wrong with them."""
        for later in range(number, number + world_size() + 1):
            if later % world_size() == rank():
                self._queue.put(later)  # one that is there is not made again
        wait_for(self._window(number) / "arrays.json", self._errors)
        if is_main():
            for old in sorted((self.directory / "windows").iterdir()):
                if old.name < f"{number - 1:06}":  # others may still read the one before
                    remove(old)
        return TokenizedCorpus.open(self._window(number))

    @cached_property
    def _queue(self) -> SimpleQueue[int]:
        queue: SimpleQueue[int] = SimpleQueue()
        Thread(target=self._make_all, args=(queue,), daemon=True).start()
        return queue

    @cached_property
    def _rows(self) -> IterableDataset:
        return hub_dataset(self.name)

    def _window(self, number: int) -> Path:
        return self.directory / "windows" / f"{number:06}"

    def _position(self, number: int) -> Path:
        return self.directory / "positions" / f"{number:06}.json"

    def _make_all(self, queue: SimpleQueue[int]) -> None:
        try:
            while True:
                self._make(queue.get())
        except Exception as error:  # whatever it is: a thread's error is seen by nobody else
            self._errors.append(error)

    def _make(self, number: int) -> None:
        """Write a window, and where its file goes on."""
        final = self._window(number)
        if final.exists():
            return
        n = self._rows.num_shards
        place = {"rows": None, "document": 0}
        if number >= n:
            wait_for(self._position(number - n), self._errors)  # it may be another process's
            place = read_json(self._position(number - n))
        documents, place = take(
            lambda: self._rows.shard(n, number % n), place["rows"], place["document"]
        )
        writing = final.with_name(f"writing-{number:06}")
        rmtree(writing, ignore_errors=True)
        tokens = write_tokens(documents, self.tokenizer, writing).num_tokens
        for path in (*writing.iterdir(), writing):
            to_disk(path)
        self._position(number).parent.mkdir(exist_ok=True)
        write_json(self._position(number), {**place, "tokens": tokens})
        writing.rename(final)


def beginning(corpus: Corpus) -> Corpus:
    """The first documents of the dataset's first file."""
    return corpus.parts[0].head(SAMPLE_CHARACTERS)


def remove(window: Path) -> None:
    """A window is there as a whole, or not at all: a run may be killed in between."""
    gone = window.with_name("gone")
    rmtree(gone, ignore_errors=True)
    with suppress(PermissionError):  # Windows keeps what a process still has open
        window.rename(gone)
        rmtree(gone, ignore_errors=True)


def wait_for(path: Path, errors: list[Exception]) -> None:
    """Until a file is there. Raises the error that keeps it from being made."""
    while not path.exists():
        if errors:
            raise errors[0]
        time.sleep(PATIENCE)


def take(
    open_rows: Callable[[], IterableDataset], position: dict[str, Any] | None, number: int
) -> tuple[list[Document], dict[str, Any]]:
    """The next documents to train on, and the place after them; after the last row, the first.

    `position` is the state of the rows, None at their beginning, and `number` how many documents
    came before. Those that `Corpus.split` holds out are left out. Raises `ValueError` where there
    is no text.
    """
    taken: list[Document] = []
    characters = 0
    rows = open_rows()
    if position is not None:
        rows.load_state_dict(position)
    while True:
        for row in rows:
            text = row["text"] or ""
            if not text.strip():
                continue
            if number % HELD_OUT_EVERY != 1:
                taken.append(Document("", tuple(split_sentences(text))))
                characters += len(text)
            number += 1
            if characters >= WINDOW_CHARACTERS:
                return taken, {"rows": rows.state_dict(), "document": number}
        if number == 0:
            raise ValueError("a file of the dataset has no text")
        rows, number = open_rows(), 0


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
