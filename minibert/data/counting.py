"""How many documents and words a corpus holds, source by source."""

from __future__ import annotations

from dataclasses import dataclass, field

from minibert.data.corpora import load_corpus
from minibert.data.library import SOURCES


@dataclass
class Count:
    """Documents, and their words as blanks separate them."""

    documents: int = 0
    words: int = 0

    def add(self, documents: int, words: int) -> None:
        """Count more."""
        self.documents += documents
        self.words += words


@dataclass
class SourceCount:
    """What comes from one source, for training and held out."""

    source: str
    licence: str = ""
    training: Count = field(default_factory=Count)
    held_out: Count = field(default_factory=Count)


def count_by_source(name: str) -> list[SourceCount]:
    """Count a corpus, as `load_corpus` finds it; several sources are also added together."""
    licences = {source.name: f"{source.licence}: {source.description}" for source in SOURCES}
    counts: dict[str, SourceCount] = {}
    together = SourceCount("together")
    training, held_out = load_corpus(name).split()
    for part, documents in (("training", training), ("held_out", held_out)):
        for document in documents:
            source = document.name.partition(":")[0] if name == "library" else name
            row = counts.setdefault(source, SourceCount(source, licences.get(source, "")))
            words = sum(len(sentence.split()) for sentence in document.sentences)
            for counted in (row, together):
                getattr(counted, part).add(1, words)
    return [*counts.values(), *([together] if len(counts) > 1 else [])]
