"""Questions and passages that a corpus gives for free, without anybody who asks or answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from minibert.data.corpora import Document
from minibert.data.library import as_sentence, read_library, read_synsets

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


def definition_pairs() -> tuple[list[TextPair], list[TextPair]]:
    """WordNet's definitions, and an example of each: pairs for training, and held-out pairs.

    The word that is defined is in the example alone, so a definition has few words in common with
    its example. Pairs of a document that the library holds out are held out. Raises
    `FileNotFoundError` if the archives have not been fetched.
    """
    documents = (document for document in read_library() if document.source.name == "wordnet")
    is_held_out = {document.title: document.is_held_out for document in documents}
    training: list[TextPair] = []
    held_out: list[TextPair] = []
    for title, synsets in read_synsets():
        for _, _, meaning, examples in synsets:
            if title in is_held_out and meaning and examples:
                pair = TextPair(as_sentence(meaning), as_sentence(examples[0]), f"wordnet: {title}")
                (held_out if is_held_out[title] else training).append(pair)
    return training, held_out
