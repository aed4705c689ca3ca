"""Corpora: documents, each a sequence of sentences.

Devlin et al. (2019), 3.1, ask for documents instead of shuffled sentences, because a sentence has a
next one only within its document. The held-out text consists of whole documents too.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from minibert.data.hub import HUB, hub_dataset, text_of
from minibert.data.library import read_library, read_sotu
from minibert.files import read_text

HELD_OUT_EVERY = 20
"""One document in 20 is held out for validation."""

PART_BYTES = 1 << 26
"""The least text in a part of a folder of files."""
PART_FILES = HELD_OUT_EVERY
"""The fewest files in such a part, so that at least one document of each part is held out."""
PREPARED = "prepare.json"
"""The file that `minibert prepare` leaves in a folder."""

_ENDINGS = re.compile(r"""[.!?]["'”’)\]]*\s+(?=["'“‘(\[]?[A-Z0-9])|[。！？]""")
_PARAGRAPHS = re.compile(r"\n\s*\n")
# A full stop after one of these, or after a single capital, ends no sentence.
_ABBREVIATIONS = re.compile(
    r"(Mr|Mrs|Ms|Dr|Messrs|Gen|Gov|Hon|Rev|Sen|Rep|Col|Capt|Lt|Sgt|St|Jr|Sr|No|Art|Sec|vs)"
)


@dataclass(frozen=True)
class Document:
    """A name, and the sentences in order."""

    name: str
    sentences: tuple[str, ...]


Text = tuple[str, str]
"""A name and a text."""
Part = Callable[[], Iterable[Text]]
"""A function that begins a new pass over the texts of a part."""


class Corpus:
    """Documents to iterate over as often as needed, one in memory at a time.

    A corpus consists of parts, which can be read alone. It leaves out documents without text.
    `version` changes with the files: it is a checksum of their names, sizes and times. `held_out`
    names the documents that `split` holds out; without it, `split` chooses them by number.
    """

    def __init__(
        self, name: str, *parts: Part, version: str = "", held_out: Collection[str] | None = None
    ) -> None:
        self.name = name
        self.version = version
        self.held_out = held_out
        self._parts = parts

    def __iter__(self) -> Iterator[Document]:
        for part in self._parts:
            for name, text in part():
                if sentences := split_sentences(text):
                    yield Document(name, tuple(sentences))

    @property
    def parts(self) -> list[Corpus]:
        """Each part as a corpus."""
        return [Corpus(self.name, part, held_out=self.held_out) for part in self._parts]

    def _select(self, select: Callable[[Iterable[Text]], Iterator[Text]]) -> list[Part]:
        """Parts with the texts that `select` takes from each part."""

        def selected(part: Part) -> Part:
            return lambda: select(part())

        return [selected(part) for part in self._parts]

    def head(self, characters: int) -> Corpus:
        """The first documents of each part, about so many characters in all."""

        def first(texts: Iterable[Text]) -> Iterator[Text]:
            left = characters // len(self._parts)
            for name, text in texts:
                yield name, text
                left -= len(text)
                if left <= 0:
                    return

        return Corpus(self.name, *self._select(first), held_out=self.held_out)

    def split(self) -> tuple[Corpus, Corpus]:
        """A corpus for training and a held-out corpus, of whole documents, so that nothing leaks.

        Without names in `held_out`, the 2nd, 22nd, ... document of each part is held out. A regular
        choice covers a corpus that is ordered, for example by year, from end to end.
        """
        return self._keep(held_out=False), self._keep(held_out=True)

    def _keep(self, held_out: bool) -> Corpus:
        def keep(texts: Iterable[Text]) -> Iterator[Text]:
            present = (text for text in texts if text[1].strip())
            for number, (name, text) in enumerate(present):
                by_number = number % HELD_OUT_EVERY == 1
                if (by_number if self.held_out is None else name in self.held_out) == held_out:
                    yield name, text

        name = f"{self.name}, {'held out' if held_out else 'for training'}"
        return Corpus(name, *self._select(keep))


@dataclass(frozen=True)
class Sentences:
    """All sentences of a corpus, to iterate over as often as needed."""

    corpus: Corpus

    def __iter__(self) -> Iterator[str]:
        return (sentence for document in self.corpus for sentence in document.sentences)


def split_sentences(text: str) -> list[str]:
    """The sentences of plain text, which end at blank lines and at `.`, `!` or `?`.

    This is a rule of thumb. It knows titles (`Mr.`) and initials (`J. Q. Adams`), and nothing of
    any language beyond its punctuation.
    """
    sentences = []
    for paragraph in _PARAGRAPHS.split(text):
        start = after = 0  # of the sentence, and of the text after the last mark
        for ending in _ENDINGS.finditer(paragraph):
            last_word = paragraph[after : ending.start()].rsplit(maxsplit=1)[-1:]
            after = ending.end()
            word = last_word[0].strip("\"'“‘([") if last_word else ""
            is_initial = len(word) == 1 and word.isupper() and word != "I"
            if ending[0].startswith(".") and (_ABBREVIATIONS.fullmatch(word) or is_initial):
                continue
            sentences.append(paragraph[start:after])
            start = after
        sentences.append(paragraph[start:])
    return [" ".join(s.split()) for s in sentences if s.strip()]


def load_corpus(source: str | Path | Iterable[str]) -> Corpus:
    """A corpus by name, from files, or from texts.

    - `"sotu"`: the State of the Union messages since 1790, each a document.
    - `"library"`: nine million words of general English; see `data/library.py`.
    - a folder: every `.txt` file in it and below it is a document; a file: one document.
    - `"hf:NAME"`, `"hf:NAME:CONFIG"`: the column `text` of a dataset on the Hugging Face hub, a
      document in each row, downloaded while it is read. It is the newest revision, which becomes
      part of the corpus's name, or the revision in `"hf:NAME@REVISION:CONFIG"`.
    - an iterable of texts, each a document. A generator's texts are kept in memory.

    Raises `FileNotFoundError` if there is no such corpus, `ValueError` for a corpus without text
    or a file that is not UTF-8 (when it is read), and `ImportError` for a name on the hub without
    the library `datasets`.
    """
    if source == "sotu":
        return _sotu()
    if source == "library":
        return _library()
    if isinstance(source, str) and source.startswith(HUB):
        return _check_not_empty(_hub_corpus(source))
    if isinstance(source, str | Path):
        path = Path(source).expanduser().resolve()
        if (path / PREPARED).exists():
            raise ValueError(f"{path} holds a corpus as tokens, which only `pretrain` reads")
        if path.is_dir():
            files = sorted(p for p in path.rglob("*.txt") if p.is_file())
            if not files:
                raise ValueError(f"{path} holds no .txt file")
        elif path.is_file():
            files = [path]
        else:
            raise FileNotFoundError(
                f"there is no corpus {str(source)!r}: give 'sotu', 'library', a folder of .txt "
                "files or a file"
            )
        corpus = Corpus(str(path), *map(_texts_of, _groups(files)), version=_version(files))
    else:
        texts = list(source) if iter(source) is source else source
        corpus = Corpus(
            "texts", lambda: ((f"text {number}", text) for number, text in enumerate(texts))
        )
    return _check_not_empty(corpus)


def _check_not_empty(corpus: Corpus) -> Corpus:
    if next(iter(corpus), None) is None:
        raise ValueError(f"the corpus {corpus.name} is empty: there is no word in it")
    return corpus


def _groups(files: list[Path]) -> list[list[Path]]:
    """Files in parts; a remainder too small for a part goes to the last one."""
    groups: list[list[Path]] = [[]]
    size = 0
    for file in files:
        if size >= PART_BYTES and len(groups[-1]) >= PART_FILES:
            groups.append([])
            size = 0
        groups[-1].append(file)
        size += file.stat().st_size
    if len(groups) > 1 and len(groups[-1]) < PART_FILES:
        last = groups.pop()
        groups[-1].extend(last)
    return groups


def _version(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        stat = file.stat()
        digest.update(os.fsencode(f"{file} {stat.st_size} {stat.st_mtime_ns}\n"))
    return digest.hexdigest()


def _texts_of(files: list[Path]) -> Part:
    return lambda: ((str(file), read_text(file)) for file in files)


def _hub_corpus(source: str) -> Corpus:
    """A dataset, with each of its files as a part."""
    name, rows = hub_dataset(source)

    def texts(part: int) -> Iterator[Text]:
        for number, row in enumerate(rows.shard(rows.num_shards, part)):
            yield f"{name} {part} {number}", text_of(row, part, number)

    return Corpus(name, *(partial(texts, part) for part in range(rows.num_shards)))


def _library() -> Corpus:
    named = [(f"{document.source.name}: {document.title}", document) for document in read_library()]
    held_out = {name for name, document in named if document.is_held_out}
    texts = [(name, document.text) for name, document in named]
    return Corpus("library", lambda: texts, held_out=held_out)


def _sotu() -> Corpus:
    texts = [(f"sotu {title}", text) for title, text in read_sotu()]
    return Corpus("sotu", lambda: texts)


def count_by_source(name: str) -> dict[str, np.ndarray]:
    """The counts of each source of a corpus, (2, 2): training and held out; documents and words.

    Words are what blanks separate. Several sources are also added together.
    """
    counts: dict[str, np.ndarray] = defaultdict(lambda: np.zeros((2, 2), dtype=int))
    for part, documents in enumerate(load_corpus(name).split()):
        for document in documents:
            source = document.name.partition(":")[0] if name == "library" else name
            words = sum(len(sentence.split()) for sentence in document.sentences)
            counts[source][part] += 1, words
    if len(counts) > 1:
        counts["together"] = np.sum([*counts.values()], axis=0)
    return counts
