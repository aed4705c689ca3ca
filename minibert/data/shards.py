"""A corpus as token shards in a folder, made by many processes, which may be interrupted.

    prepare.json            where the corpus comes from, and settings
    vocab.txt, ...          the tokenizer
    training/00000/         tokens to train on, from the first part of the corpus
    held_out/00000/         tokens to measure on, from the same part
    parts/tokenizer.json    checksums of the tokenizer's files, once they are written
    parts/00000.json        checksums of the first part's files, once they are written

A part that is whole is not made again. The corpus must not change until all parts are made.
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

from minibert.data.corpora import PREPARED, Sentences, load_corpus
from minibert.data.hub import HUB, pinned
from minibert.data.tokenized_corpora import ARRAYS, DTYPES, ShardedCorpus, write_tokens
from minibert.files import find_directory, read_json, reserved, sha256, to_disk, write_json
from minibert.tokenizer import BertTokenizer

KINDS = ("training", "held_out")
TOKENIZER = "tokenizer"
TOKENIZER_FILES = ("vocab.txt", "tokenizer_config.json")
VOCABULARY_CHARACTERS = 200_000_000
"""How much text a vocabulary is learned from: the first documents of every part."""


def prepare(
    source: str,
    out: str | Path,
    vocab_size: int | None = None,
    start: str | None = None,
    workers: int = 1,
    say: Callable[[str], None] = print,
) -> int:
    """Write a corpus (as `load_corpus` takes it) into `out` as token shards; returns how many.

    It learns a vocabulary of `vocab_size` pieces (8192 by default), or takes the vocabulary of the
    BERT `start`. The same call continues after an interruption, and repairs a damaged folder.
    Raises `FileExistsError` for a folder with other files in it, or if another process is at work
    there, and `ValueError` for other settings or other texts than at the first call.
    """
    out = Path(out)
    if start is not None and vocab_size is not None:
        raise ValueError(f"{start} has its own vocabulary: leave --vocab-size out, or --from")
    if is_prepared(out):  # a dataset on the hub may have another revision by now
        source = pinned(source, read_settings(out)["corpus"])
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
            write_sums(out, TOKENIZER)
        elif not is_whole(out, TOKENIZER):
            raise ValueError(
                f"the vocabulary in {out} is not what its shards were made with: prepare into "
                "another folder"
            )
        left = [number for number in range(count) if not is_whole(out, part_name(number))]
        if len(left) < count:
            say(f"{count - len(left)} of {count} parts are made already.")
        write_parts(corpus.name, out, left, workers)
    return count


@contextmanager
def own_folder(out: Path, settings: dict[str, Any], version: str) -> Iterator[None]:
    """Reserve the folder `out` for this process, these settings and these texts."""
    with reserved(out, PREPARED, "preparing a corpus") as begun:
        if begun:
            earlier = read_settings(out)
            for name, value in settings.items():
                if earlier[name] != value:
                    raise ValueError(
                        f"{out} was begun with {name} {earlier[name]}, not {value}: choose "
                        "another folder"
                    )
            if earlier["version"] != version:
                raise ValueError(
                    f"the texts in {settings['corpus']} are not those that {out} was begun with: "
                    "choose another folder"
                )
        else:
            write_json(out / PREPARED, {**settings, "version": version})
        yield


def read_settings(folder: Path) -> dict[str, Any]:
    """What `prepare` was called with. Raises `ValueError` for anything that it did not write."""
    settings = read_json(folder / PREPARED)
    match settings:
        case {
            "corpus": str(),
            "parts": int(parts),
            "from": str() | None,
            "vocab_size": int() | None,
            "version": str(),
        } if parts > 0:
            return settings
    raise ValueError(f"{folder / PREPARED} is damaged: prepare the corpus into another folder")


def write_parts(source: str, out: Path, numbers: list[int], workers: int) -> None:
    """Write parts of a corpus in a pool of processes."""
    if not numbers:
        return
    # Spawned, because a forked process inherits locks of threads that do not run in it.
    pool = ProcessPoolExecutor(min(workers, len(numbers)), get_context("spawn"), initializer=alone)
    try:
        tasks = [pool.submit(write_part, source, number, out) for number in numbers]
        for done in tqdm(as_completed(tasks), total=len(tasks), unit="part"):
            done.result()
    except BrokenProcessPool:
        raise OSError(
            "a process that wrote a part was killed, perhaps for its memory: call it again, with "
            "fewer --workers, to continue"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def alone() -> None:
    """Set up a process of the pool: one thread, and it ends when the main process ends."""
    os.environ["RAYON_NUM_THREADS"] = "1"  # `tokenizers`
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # without a traceback

    def follow() -> None:
        if parent := parent_process():
            parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def write_part(source: str, number: int, out: Path) -> None:
    """Write the tokens of one part of a corpus."""
    tokenizer, name = BertTokenizer.from_pretrained(out), part_name(number)
    part = load_corpus(source).parts[number]
    part_file(out, name).unlink(missing_ok=True)  # it is not whole while it is made again
    for kind, documents in zip(KINDS, part.split(), strict=True):
        directory = out / kind / name
        rmtree(directory, ignore_errors=True)  # of a call that was interrupted
        if next(iter(documents), None) is None:
            continue
        write_tokens(documents, tokenizer, directory)
        to_disk(directory)
    write_sums(out, name)


def written_files(out: Path, name: str) -> list[Path]:
    """The files of a part, or of the tokenizer."""
    if name == TOKENIZER:
        return [out / file for file in TOKENIZER_FILES]
    folders = [out / kind / name for kind in KINDS]
    arrays = (ARRAYS, *(f"{array}.bin" for array in DTYPES))
    return [folder / file for folder in folders if folder.exists() for file in arrays]


def write_sums(out: Path, name: str) -> None:
    """Record that a part, or the tokenizer, is written, with the checksums of its files."""
    files = written_files(out, name)
    for file in files:
        to_disk(file)
    part_file(out, name).parent.mkdir(exist_ok=True)
    sums = {file.relative_to(out).as_posix(): sha256(file) for file in files}
    write_json(part_file(out, name), sums)


def is_whole(out: Path, name: str) -> bool:
    """Whether the files of a part, or of the tokenizer, still have their checksums."""
    try:
        sums = read_json(part_file(out, name))
    except (OSError, ValueError):
        return False
    files = {file.relative_to(out).as_posix(): file for file in written_files(out, name)}
    return (
        bool(files)
        and sums.keys() == files.keys()
        and all(file.is_file() and sha256(file) == sums[key] for key, file in files.items())
    )


def part_name(number: int) -> str:
    """The name of a part in its folder."""
    return f"{number:05}"


def part_file(out: Path, name: str) -> Path:
    """The record of a part, or of the tokenizer, which exists once it is written."""
    return out / "parts" / f"{name}.json"


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
        count = read_settings(folder)["parts"]
        # Files are counted first, because a damaged count may be anything.
        done = min(count, len([*part_file(folder, "").parent.glob("[0-9]*.json")]))
        if done == count:
            done = sum(part_file(folder, part_name(number)).exists() for number in range(count))
        if done < count:
            raise ValueError(
                f"{folder} has {done} of {count} parts: call `minibert prepare` again, as before"
            )
        return cls(folder)

    def check(self) -> None:
        """Read all files. Raise `ValueError` if one is not what `prepare` wrote."""
        for part in self.parts:
            if not is_whole(self.folder, part):
                raise ValueError(
                    f"part {part} of {self.folder} is damaged: call `minibert prepare` again, as "
                    "before, which makes it again"
                )
        if not is_whole(self.folder, TOKENIZER):
            raise ValueError(
                f"the vocabulary in {self.folder} is not what its shards were made with: prepare "
                "the corpus into another folder"
            )
        for corpus in (self.training, self.held_out):
            if corpus is None:
                continue
            for number, directory in enumerate(corpus.directories):
                corpus.shard(number).check(directory, self.tokenizer.vocab_size)

    @cached_property
    def parts(self) -> list[str]:
        """The names of its parts."""
        return [part_name(number) for number in range(read_settings(self.folder)["parts"])]

    @property
    def sha256(self) -> str:
        """A checksum of all that was written, from the checksums of the files."""
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
        """The size that was asked for, which a small corpus may not have reached."""
        return read_settings(self.folder)["vocab_size"] or self.tokenizer.vocab_size

    @property
    def training(self) -> ShardedCorpus:
        return ShardedCorpus(self._shards("training"))

    @property
    def held_out(self) -> ShardedCorpus | None:
        """None if nothing is held out."""
        shards = self._shards("held_out")
        return ShardedCorpus(shards) if shards else None

    def _shards(self, kind: str) -> tuple[Path, ...]:
        folders = (self.folder / kind / part for part in self.parts)
        return tuple(folder for folder in folders if folder.exists())  # a part may lack it


def is_prepared(source: str | Path) -> bool:
    """Whether `prepare` wrote into this folder."""
    return not str(source).startswith(HUB) and (Path(source).expanduser() / PREPARED).exists()
