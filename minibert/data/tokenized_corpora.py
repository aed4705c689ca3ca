"""Corpora as token ids in files, which are mapped into memory: they may be larger than memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np

from minibert.data.corpora import Document
from minibert.files import read_json
from minibert.tokenizer import SEP, BertTokenizer

CHARACTERS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class TokenizedCorpus:
    """The ids of a corpus in a row, and where its sentences and documents begin.

    Every document ends with one `[SEP]`, which counts as a sentence of its own: it keeps documents
    apart where sequences run over their borders.
    """

    tokens: np.ndarray  # (N,) ids
    sentence_starts: np.ndarray  # (S + 1,) places in `tokens`; the last is N
    document_starts: np.ndarray  # (documents + 1,) places in `sentence_starts`; the last is S

    @classmethod
    def open(cls, directory: Path) -> TokenizedCorpus:
        """What `write_tokens` wrote, mapped into memory and not read.

        Raises `ValueError` for a file that is not as long as it was.
        """
        arrays = {}
        for name, (dtype, length) in read_json(directory / "arrays.json").items():
            file = directory / f"{name}.bin"
            size, whole = file.stat().st_size, length * np.dtype(dtype).itemsize
            if size != whole:
                raise ValueError(f"{file} is damaged: it has {size} of {whole} bytes")
            arrays[name] = np.memmap(file, dtype=dtype, mode="r")
        return cls(**arrays)

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
        """It is a corpus of one shard (1, 2): its tokens and documents."""
        return np.array([[self.num_tokens, self.num_documents]])

    def shard(self, number: int) -> TokenizedCorpus:
        return self

    def read(self, number: int, start: int, length: int) -> np.ndarray:
        """Some tokens of a shard (length,)."""
        return self.tokens[start : start + length]


@dataclass(frozen=True)
class ShardedCorpus:
    """A corpus in shards, each a folder that `write_tokens` wrote.

    More of them may be there than files can be open, and more tokens than fit into memory: what is
    read here and there is not mapped.
    """

    directories: tuple[Path, ...]

    @cached_property
    def sizes(self) -> np.ndarray:
        """How many tokens and documents each shard has (shards, 2)."""
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

    Raises `ValueError` where there is no document.
    """
    directory.mkdir(parents=True, exist_ok=True)
    dtypes = {
        "tokens": "uint16" if tokenizer.vocab_size <= 1 << 16 else "uint32",
        "sentence_starts": "int64",
        "document_starts": "int64",
    }
    files = {name: (directory / f"{name}.bin").open("wb") for name in dtypes}
    separator = tokenizer.vocab[SEP]
    num_tokens = num_sentences = num_documents = 0

    def write(name: str, values: list[int] | np.ndarray) -> None:
        files[name].write(np.asarray(values, dtype=dtypes[name]).tobytes())

    write("document_starts", [0])
    write("sentence_starts", [0])
    for group in _groups(documents):
        encoded = iter(tokenizer.encode_batch([s for doc in group for s in doc.sentences]))
        for document in group:
            sentences = [ids for ids in islice(encoded, len(document.sentences)) if ids]
            sentences.append([separator])
            starts = num_tokens + np.cumsum([len(ids) for ids in sentences])
            write("tokens", [token for ids in sentences for token in ids])
            write("sentence_starts", starts)
            num_tokens, num_sentences = int(starts[-1]), num_sentences + len(sentences)
            num_documents += 1
            write("document_starts", [num_sentences])
    for file in files.values():
        file.close()
    if num_sentences == 0:
        raise ValueError("the corpus is empty: there is no document in it")
    lengths = (num_tokens, num_sentences + 1, num_documents + 1)
    arrays = dict(zip(dtypes, zip(dtypes.values(), lengths, strict=True), strict=True))
    (directory / "arrays.json").write_text(json.dumps(arrays), encoding="utf-8")
    return TokenizedCorpus.open(directory)


def _groups(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Documents by handfuls of about the same amount of text."""
    group: list[Document] = []
    size = 0
    for document in documents:
        group.append(document)
        size += sum(len(sentence) for sentence in document.sentences)
        if size >= CHARACTERS_AT_ONCE:
            yield group
            group, size = [], 0
    if group:
        yield group
