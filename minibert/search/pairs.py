"""Questions and passages that a corpus gives for free: a sentence, and the text that follows it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from minibert.data.corpora import Document

FEWEST_WORDS = 5
"""A shorter sentence, such as "Thank you.", says nothing of what follows it."""


class TextPair(NamedTuple):
    """A query, the passage that answers it, and the document that both are from."""

    query: str
    passage: str
    document: str


def text_pairs(documents: Iterable[Document], sentences: int = 4) -> list[TextPair]:
    """Each document in blocks: one sentence as the query, the next `sentences` as its passage.

    This is the inverse cloze task (Lee et al., 2019, 3.2), with whole blocks, so that no sentence
    is in two pairs. A block whose first sentence has fewer than five words is left out, and so is
    the end of a document if it is too short for a block.
    """
    pairs = []
    for document in documents:
        block = 1 + sentences
        for start in range(0, len(document.sentences) - sentences, block):
            query, *passage = document.sentences[start : start + block]
            if len(query.split()) >= FEWEST_WORDS:
                pairs.append(TextPair(query, " ".join(passage), document.name))
    return pairs
