"""Corpora as token ids in files, which are mapped into memory: a corpus may be larger than memory.

arrays.json           the dtype and length of each array below
tokens.bin            ids, document after document
sentence_starts.bin   where sentences begin in the tokens
document_starts.bin   where documents begin in the sentences
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np

from minibert.data.corpora import Document
from minibert.files import read_json
from minibert.tokenizer import SEP, BertTokenizer

CHARACTERS_AT_ONCE = 1 << 20
ARRAYS = "arrays.json"
DTYPES = {
    "tokens": ("uint16", "uint32"),
    "sentence_starts": ("int64",),
    "document_starts": ("int64",),
}
"""The arrays, and the dtypes that each may have."""


def token_dtype(vocab_size: int) -> str:
    """The dtype that ids are written in."""
    return "uint16" if vocab_size <= 1 << 16 else "uint32"


@dataclass(frozen=True)
class TokenizedCorpus:
    """All ids of a corpus in one array, and where its sentences and documents begin.

    Every document ends with one `[SEP]`, which counts as a sentence: it keeps documents
    apart in sequences that run from one document into the next.
    """

    tokens: np.ndarray  # (N,) ids
    sentence_starts: np.ndarray  # (S + 1,) places in `tokens`; the last is N
    document_starts: np.ndarray  # (documents + 1,) places in `sentence_starts`; the last is S

    @classmethod
    def open(cls, directory: Path) -> TokenizedCorpus:
        """Map what `write_tokens` wrote into memory, without reading it.

        Raises `ValueError` for files that `write_tokens` did not write, or that changed in length.
        """
        file, arrays = directory / ARRAYS, {}
        described = read_json(file)
        for name, dtypes in DTYPES.items():
            match described.get(name):
                case [str(dtype), int(length)] if dtype in dtypes and length > 0:
                    arrays[name] = _map(directory / f"{name}.bin", dtype, length)
                case _:
                    wanted = f"{' or '.join(dtypes)} and a length"
                    raise ValueError(f"{file} is damaged: {name} must be {wanted}")
        corpus = cls(**arrays)
        ends = corpus.document_starts[-1], corpus.sentence_starts[-1]
        if ends != (len(corpus.sentence_starts) - 1, len(corpus.tokens)):
            raise ValueError(f"{directory} is damaged: its arrays do not fit together")
        return corpus

    def check(self, directory: Path, vocab_size: int) -> None:
        """Raise `ValueError` for ids outside the vocabulary, or starts that do not rise."""
        starts = (self.sentence_starts, self.document_starts)
        fits = self.tokens.dtype == token_dtype(vocab_size) and self.tokens.max() < vocab_size
        if not fits or any(each[0] != 0 or (np.diff(each) <= 0).any() for each in starts):
            raise ValueError(f"{directory} is damaged: its arrays do not fit together")

    @property
    def num_documents(self) -> int:
        return len(self.document_starts) - 1

    @cached_property
    def document_starts_without_separators(self) -> np.ndarray:
        """Where documents begin (documents + 1,), counted in sentences other than `[SEP]`."""
        return self.document_starts - np.arange(len(self.document_starts))

    @property
    def num_tokens(self) -> int:
        return len(self.tokens)

    @property
    def sizes(self) -> np.ndarray:
        """Its number of tokens and documents (1, 2): it is a corpus of one shard."""
        return np.array([[self.num_tokens, self.num_documents]])

    def shard(self, number: int) -> TokenizedCorpus:
        return self

    def read(self, number: int, start: int, length: int) -> np.ndarray:
        """Some tokens of a shard (length,)."""
        return self.tokens[start : start + length]


def _map(file: Path, dtype: str, length: int) -> np.ndarray:
    whole = length * np.dtype(dtype).itemsize
    size = file.stat().st_size if file.is_file() else 0
    if size != whole:
        raise ValueError(f"{file} is damaged: it has {size} of {whole} bytes")
    return np.memmap(file, dtype=dtype, mode="r")


@dataclass(frozen=True)
class ShardedCorpus:
    """A corpus in shards, each a folder that `write_tokens` wrote.

    There may be more shards than files can be open, and more tokens than fit into memory, so
    `read` does not map a shard.
    """

    directories: tuple[Path, ...]

    @cached_property
    def sizes(self) -> np.ndarray:
        """The number of tokens and documents of each shard (shards, 2)."""
        opened = (TokenizedCorpus.open(directory) for directory in self.directories)
        return np.array([(shard.num_tokens, shard.num_documents) for shard in opened])

    @property
    def num_tokens(self) -> int:
        return int(self.sizes[:, 0].sum())

    def shard(self, number: int) -> TokenizedCorpus:
        """One shard, mapped into memory."""
        return TokenizedCorpus.open(self.directories[number])

    def read(self, number: int, start: int, length: int) -> np.ndarray:
        """Some tokens of a shard (length,), read from its file."""
        file, dtype = self.directories[number] / "tokens.bin", self._dtype
        return np.fromfile(file, dtype, length, offset=start * dtype.itemsize)

    @cached_property
    def _dtype(self) -> np.dtype:
        return self.shard(0).tokens.dtype


AnyCorpus = TokenizedCorpus | ShardedCorpus


def write_tokens(
    documents: Iterable[Document], tokenizer: BertTokenizer, directory: Path
) -> TokenizedCorpus:
    """Tokenize documents into files in `directory`, about a megabyte of text at a time.

    Raises `ValueError` if there is no document.
    """
    directory.mkdir(parents=True, exist_ok=True)
    dtypes = {name: possible[0] for name, possible in DTYPES.items()}
    dtypes["tokens"] = token_dtype(tokenizer.vocab_size)
    lengths = dict.fromkeys(DTYPES, 0)
    separator = tokenizer.vocab[SEP]

    with ExitStack() as stack:
        files = {
            name: stack.enter_context((directory / f"{name}.bin").open("wb")) for name in DTYPES
        }

        def write(name: str, values: list[int] | np.ndarray) -> None:
            files[name].write(np.asarray(values, dtype=dtypes[name]).tobytes())
            lengths[name] += len(values)

        write("document_starts", [0])
        write("sentence_starts", [0])
        for group in _groups(documents):
            encoded = iter(tokenizer.encode_batch([s for doc in group for s in doc.sentences]))
            for document in group:
                sentences = [ids for ids in islice(encoded, len(document.sentences)) if ids]
                sentences.append([separator])
                starts = lengths["tokens"] + np.cumsum([len(ids) for ids in sentences])
                write("tokens", [token for ids in sentences for token in ids])
                write("sentence_starts", starts)
                write("document_starts", [lengths["sentence_starts"] - 1])
    if lengths["tokens"] == 0:
        raise ValueError("the corpus is empty: there is no document in it")
    arrays = {name: (dtypes[name], lengths[name]) for name in DTYPES}
    (directory / ARRAYS).write_text(json.dumps(arrays), encoding="utf-8")
    return TokenizedCorpus.open(directory)


def _groups(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Batches of documents, about 1 MB of text each."""
    group: list[Document] = []
    size = 0
    for document in documents:
        group.append(document)
        size += sum(map(len, document.sentences))
        if size >= CHARACTERS_AT_ONCE:
            yield group
            group, size = [], 0
    if group:
        yield group
