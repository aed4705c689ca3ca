"""A corpus as token shards in a folder: made by many processes, in as many tries as it takes.

    prepare.json            what it is made from
    vocab.txt, ...          the tokenizer
    training/00000/         the tokens of the corpus's first part, to train on
    held_out/00000/         those to measure on
    parts/tokenizer.json    the tokenizer is done; the checksums of its files
    parts/00000.json        so is this part

A part that is whole is not made again. The corpus must stay as it is until all are made.
"""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import get_context, parent_process
from pathlib import Path
from shutil import rmtree
from typing import Any

from tqdm import tqdm

from minibert.data.corpora import HUB, PREPARED, Sentences, load_corpus, pinned
from minibert.data.tokenized_corpora import ShardedCorpus, write_tokens
from minibert.files import LOCK, find_directory, locked, read_json, sha256, to_disk, write_json
from minibert.tokenizer import BertTokenizer

KINDS = ("training", "held_out")
TOKENIZER = "tokenizer"
VOCABULARY_CHARACTERS = 200_000_000
"""A vocabulary is learned from the first documents of every part, so much text altogether."""


def prepare(
    source: str,
    out: str | Path,
    vocab_size: int | None = None,
    start: str | None = None,
    workers: int = 1,
    say: Callable[[str], None] = print,
) -> int:
    """Write a corpus (as `load_corpus` takes it) into `out` as token shards; returns how many.

    A vocabulary of `vocab_size` pieces (8192 if not given) is learned, or that of the BERT `start`
    is taken. A call that was stopped is made again, and does what is left; one that came to its end
    does what was damaged since. Raises `FileExistsError` for a folder with something else in it, or
    where another process is at work, and `ValueError` for other settings, or other texts, than it
    was begun with.
    """
    out = Path(out)
    if start is not None and vocab_size is not None:
        raise ValueError(f"{start} has its own vocabulary: leave --vocab-size out, or --from")
    if is_prepared(out):  # a dataset on the hub may have another revision by now
        source = pinned(source, read_json(out / PREPARED)["corpus"])
    corpus = load_corpus(source)
    if Path(corpus.name) in (out.resolve(), *out.resolve().parents):
        raise ValueError(f"{out} lies in the corpus itself: choose another folder")
    count = len(corpus.parts)
    settings: dict[str, Any] = {"corpus": corpus.name, "parts": count, "from": start}
    settings["vocab_size"] = None if start else vocab_size or 8192
    with own_folder(out, settings, corpus.version):
        if not part_file(out, TOKENIZER).exists():
            if start is None:
                say(f"Learning a vocabulary of {settings['vocab_size']} word pieces.")
                sample, _ = corpus.head(VOCABULARY_CHARACTERS).split()
                tokenizer = BertTokenizer.train(Sentences(sample), settings["vocab_size"])
            else:
                tokenizer = BertTokenizer.from_pretrained(find_directory(start))
            tokenizer.save(out)
            write_sums(out, TOKENIZER, [out / "vocab.txt", out / "tokenizer_config.json"])
        elif not is_whole(out, TOKENIZER):
            raise ValueError(
                f"the vocabulary in {out} is not what its shards were made with: prepare into "
                "another folder"
            )
        left = [number for number in range(count) if not is_whole(out, part_name(number))]
        if len(left) < count:
            say(f"{count - len(left)} of {count} parts are there.")
        write_parts(corpus.name, out, left, workers)
    return count


@contextmanager
def own_folder(out: Path, settings: dict[str, Any], version: str) -> Iterator[None]:
    """The folder `out`, of these settings and texts, for this process alone."""
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is a file, not a folder")
    begun = out / PREPARED
    left = (LOCK, f"{PREPARED}.writing")  # of a call that was killed at its beginning
    if out.exists() and not begun.exists() and any(p.name not in left for p in out.iterdir()):
        raise FileExistsError(f"{out} holds something else: choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    with locked(out, "preparing a corpus"):
        if begun.exists():
            earlier = read_json(begun)
            for name, value in settings.items():
                if earlier.get(name) != value:
                    raise ValueError(
                        f"{out} was begun with {name} {earlier.get(name)}, not {value}: choose "
                        "another folder"
                    )
            if earlier.get("version") != version:
                raise ValueError(
                    f"the texts in {settings['corpus']} are not those that {out} was begun with: "
                    "choose another folder"
                )
        else:
            write_json(begun, {**settings, "version": version})
        yield


def write_parts(source: str, out: Path, numbers: list[int], workers: int) -> None:
    """Parts of a corpus, so many at a time, each in a process."""
    if not numbers:
        return
    # Spawned and not forked: a fork has half of each thread that was running.
    pool = ProcessPoolExecutor(min(workers, len(numbers)), get_context("spawn"), initializer=alone)
    try:
        tasks = [pool.submit(write_part, source, number, out) for number in numbers]
        for done in tqdm(as_completed(tasks), total=len(tasks), unit="part"):
            done.result()
    except BrokenProcessPool:
        raise OSError(
            "a process that wrote a part was killed (is there too little memory? then take fewer "
            "--workers); the same call goes on with what is left"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def alone() -> None:
    """In a process of the pool: one thread for each, and an end when the main one has its end."""
    os.environ["RAYON_NUM_THREADS"] = "1"  # `tokenizers`
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # without a traceback

    def follow() -> None:
        parent_process().join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def write_part(source: str, number: int, out: Path) -> None:
    """The tokens of one part of a corpus."""
    tokenizer = BertTokenizer.from_pretrained(out)
    part = load_corpus(source).parts[number]
    # It is not whole while it is made anew.
    part_file(out, part_name(number)).unlink(missing_ok=True)
    written: list[Path] = []
    for kind, documents in zip(KINDS, part.split(), strict=True):
        directory = shard_folder(out, kind, part_name(number))
        rmtree(directory, ignore_errors=True)  # of a try that was stopped
        if next(iter(documents), None) is None:
            continue
        write_tokens(documents, tokenizer, directory)
        written += sorted(directory.iterdir())
        to_disk(directory)
    write_sums(out, part_name(number), written)


def write_sums(out: Path, name: str, files: list[Path]) -> None:
    """Say that a part, or the tokenizer, is done: files in `out`, and what is in them."""
    for file in files:
        to_disk(file)
    part_file(out, name).parent.mkdir(exist_ok=True)
    sums = {file.relative_to(out).as_posix(): sha256(file) for file in files}
    write_json(part_file(out, name), sums)


def shard_folder(out: Path, kind: str, part: str) -> Path:
    """Where the tokens of a part go."""
    return out / kind / part


def part_name(number: int) -> str:
    """What a part is called in its folder."""
    return f"{number:05}"


def part_file(out: Path, name: str) -> Path:
    """Is there when the part, or the tokenizer, is done."""
    return out / "parts" / f"{name}.json"


def is_whole(out: Path, name: str) -> bool:
    """Whether a part, or the tokenizer, is done, and its files are as they were."""
    try:
        sums = read_json(part_file(out, name))
    except (OSError, ValueError):
        return False
    return all((out / name).exists() and sha256(out / name) == sums[name] for name in sums)


@dataclass(frozen=True)
class PreparedCorpus:
    """What `prepare` wrote into a folder."""

    folder: Path

    @classmethod
    def open(cls, folder: str | Path) -> PreparedCorpus:
        """Raises `FileNotFoundError` for another folder, `ValueError` for an unfinished one."""
        folder = Path(folder).expanduser().resolve()
        if not is_prepared(folder):
            raise FileNotFoundError(f"{folder} holds no corpus that `minibert prepare` made")
        parts = cls(folder).parts
        count, done = len(parts), sum(part_file(folder, part).exists() for part in parts)
        if done < count:
            raise ValueError(
                f"{folder} has {done} of {count} parts: call `minibert prepare` again, as before"
            )
        return cls(folder)

    def check(self) -> None:
        """Raise `ValueError` for a file that is not as it was. All of them are read."""
        for part in self.parts:
            if not is_whole(self.folder, part):
                raise ValueError(
                    f"part {part} of {self.folder} is damaged: call `minibert prepare` again, as "
                    "before, which makes it anew"
                )
        if not is_whole(self.folder, TOKENIZER):
            raise ValueError(
                f"the vocabulary in {self.folder} is not what its shards were made with: prepare "
                "the corpus into another folder"
            )

    @property
    def parts(self) -> list[str]:
        """The names of its parts."""
        return [part_name(number) for number in range(read_json(self.folder / PREPARED)["parts"])]

    @property
    def sha256(self) -> str:
        """Of all that was written: of the checksums of its files."""
        digest = hashlib.sha256()
        for name in (TOKENIZER, *self.parts):
            digest.update(part_file(self.folder, name).read_bytes())
        return digest.hexdigest()

    @property
    def name(self) -> str:
        return str(self.folder)

    @cached_property
    def tokenizer(self) -> BertTokenizer:
        return BertTokenizer.from_pretrained(self.folder)

    @property
    def vocab_size(self) -> int:
        """What was asked for, which a small corpus need not have reached."""
        return read_json(self.folder / PREPARED)["vocab_size"] or self.tokenizer.vocab_size

    @property
    def training(self) -> ShardedCorpus:
        return ShardedCorpus(self._shards("training"))

    @property
    def held_out(self) -> ShardedCorpus | None:
        """None where nothing is."""
        shards = self._shards("held_out")
        return ShardedCorpus(shards) if shards else None

    def _shards(self, kind: str) -> tuple[Path, ...]:
        folders = (shard_folder(self.folder, kind, part) for part in self.parts)
        return tuple(folder for folder in folders if folder.exists())  # a part may lack it


def is_prepared(source: str | Path) -> bool:
    """Whether this is a folder of `prepare`'s."""
    return not str(source).startswith(HUB) and (Path(source).expanduser() / PREPARED).exists()
