"""How many documents and words a corpus holds, source by source."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from minibert.data.corpora import load_corpus


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
