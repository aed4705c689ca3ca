"""A folder of texts to search: its passages, and a file that keeps their vectors current."""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from tqdm import tqdm

from minibert.data.corpora import split_sentences
from minibert.files import locked, read_text, regular, write_whole
from minibert.inference.sentence_vectors import sentence_vectors
from minibert.model import BertModel
from minibert.search.index import SearchIndex
from minibert.tokenizer import BertTokenizer

SUFFIXES = (".txt", ".md")
LONGEST = 400
"""Characters in a passage, which are about 90 tokens. A sentence that is longer is cut."""
OWN_FOLDER = ".minibert-search"
"""Where the vectors of a folder are, within it."""
VECTORS = "vectors.safetensors"
TEXTS_AT_ONCE = 256
"""Passages that are encoded between two looks at the progress bar."""

_PIECES = re.compile(rf"\S.{{0,{LONGEST - 1}}}(?!\S)|\S{{{LONGEST}}}")


class Passage(NamedTuple):
    """A few sentences, and where they are."""

    file: Path
    line: int
    """The first is 1."""
    text: str


def cut_passages(text: str) -> list[tuple[int, str]]:
    """Sentences in a row, up to `LONGEST` characters, each with the line that it begins on."""
    line_ends = list(accumulate(len("".join(line.split())) for line in text.split("\n")))
    passages: list[tuple[int, str]] = []
    seen = 0  # characters, blanks not counted
    for sentence in split_sentences(text):
        for piece in _PIECES.findall(sentence):
            if passages and len(passages[-1][1]) + 1 + len(piece) <= LONGEST:
                line, before = passages[-1]
                passages[-1] = line, f"{before} {piece}"
            else:
                passages.append((bisect_right(line_ends, seen) + 1, piece))
            seen += len(piece) - piece.count(" ")
    return passages


def read_texts(folder: Path) -> dict[Path, str]:
    """The `.txt` and `.md` files of a folder and of the folders below it, without hidden files.

    Warns of files that cannot be read. Raises `FileNotFoundError` or `ValueError` if there is no
    such folder, or no text in it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder")
    texts, faults = {}, []
    for file in sorted(folder.rglob("*")):
        is_hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if file.suffix in SUFFIXES and not is_hidden and file.is_file():
            try:
                texts[file] = read_text(file)
            except (OSError, ValueError) as error:
                faults.append(error)
    if faults:
        more = f" (and {len(faults) - 1} more)" if faults[1:] else ""
        warnings.warn(f"left out: {faults[0]}{more}", stacklevel=2)
    if not any(text.strip() for text in texts.values()):
        raise ValueError(f"{folder} holds no text: files that end in {' or '.join(SUFFIXES)}")
    return texts


def index_folder(
    folder: Path, bert: BertModel, tokenizer: BertTokenizer, kept_in: Path | None = None
) -> tuple[SearchIndex, list[Passage]]:
    """An index of a folder's passages, and the passages in the same order.

    Vectors are kept in `kept_in`, or else in the folder itself. So only texts that are new or have
    changed are encoded. Raises the errors of `read_texts`, `ValueError` for a damaged file of
    vectors, and `OSError` where none can be written.
    """
    texts = read_texts(folder)
    passages = {_digest(text): cut_passages(text) for text in texts.values()}
    kept_in = kept_in or folder / OWN_FOLDER
    _make_writable(kept_in)
    with locked(kept_in, "indexing"):
        made_by = fingerprint(bert, tokenizer)
        known = _read(kept_in / VECTORS, made_by)
        size = bert.config.hidden_size
        vectors = {
            digest: known[digest]
            for digest, of in passages.items()
            if digest in known and known[digest].shape == (len(of), size)
        }
        missing = {digest: of for digest, of in passages.items() if digest not in vectors}
        try:
            for digest, encoded in _encode(missing, bert, tokenizer):
                vectors[digest] = encoded
        finally:  # after Ctrl-C, too: what is encoded need not be encoded again
            if missing or set(vectors) != set(known):
                _write(kept_in / VECTORS, made_by, vectors)
    found, rows = [], []
    for file, text in texts.items():
        digest = _digest(text)
        found += [Passage(file, line, passage) for line, passage in passages[digest]]
        rows.append(vectors[digest])
    index = SearchIndex(bert, tokenizer, [p.text for p in found], vectors=np.concatenate(rows))
    return index, found


def fingerprint(bert: BertModel, tokenizer: BertTokenizer) -> str:
    """A checksum of all that a vector depends on apart from its text."""
    digest = hashlib.sha256()
    settings = [LONGEST, bert.config.to_dict(), tokenizer.tokens, tokenizer.do_lower_case]
    digest.update(json.dumps(settings, default=str).encode("utf-8", "surrogatepass"))
    for name, tensor in sorted(bert.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


def _make_writable(folder: Path) -> None:
    """Make a folder. Raises an `OSError` that says so if it is a file or cannot be written to."""
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file, not a folder for vectors")
    with suppress(PermissionError):
        folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} cannot be written to: keep vectors elsewhere")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _encode(
    texts: Mapping[str, list[tuple[int, str]]], bert: BertModel, tokenizer: BertTokenizer
) -> Iterator[tuple[str, np.ndarray]]:
    """The vectors of each text's passages (N, D), several texts at once."""
    with tqdm(total=sum(map(len, texts.values())), unit=" passages", disable=None) as bar:
        for group in _groups(texts):
            flat = [passage for digest in group for _, passage in texts[digest]]
            vectors = sentence_vectors(bert, tokenizer, flat, normalize=True)
            ends = np.cumsum([len(texts[digest]) for digest in group])
            yield from zip(group, np.split(vectors, ends[:-1]), strict=True)
            bar.update(len(flat))


def _groups(texts: Mapping[str, list[tuple[int, str]]]) -> Iterable[list[str]]:
    """Texts in groups that have `TEXTS_AT_ONCE` passages or more."""
    group: list[str] = []
    for digest in texts:
        group.append(digest)
        if sum(len(texts[d]) for d in group) >= TEXTS_AT_ONCE:
            yield group
            group = []
    if group:
        yield group


def _read(file: Path, made_by: str) -> dict[str, np.ndarray]:
    """The vectors that a file holds, by the digests of their texts; none of another model."""
    if not file.exists():
        return {}
    try:
        with safe_open(regular(file), framework="numpy") as tensors:
            made_with = (tensors.metadata() or {}).get("made_by")
            names = tensors.keys() if made_with == made_by else ()
            vectors = {name: tensors.get_tensor(name) for name in names}
    except SafetensorError:
        made_with = None
    if made_with is None:
        raise ValueError(
            f"{file} is damaged, or minibert did not write it: delete it, or keep vectors elsewhere"
        )
    return vectors


def _write(file: Path, made_by: str, vectors: Mapping[str, np.ndarray]) -> None:
    kept = {name: np.ascontiguousarray(rows) for name, rows in vectors.items()}
    write_whole(file, lambda writing: save_file(kept, writing, {"made_by": made_by}))
