"""A whole model, ready to use: one that comes with the package, or one in a folder."""

from __future__ import annotations

from pathlib import Path

from minibert.files import find_directory
from minibert.model import BertForPreTraining
from minibert.tokenizer import BertTokenizer

SHIPPED = {"mini-sotu": Path(__file__).parent / "mini-sotu"}
"""Checkpoints that come with the package, each with a card beside its weights (`README.md`)."""


def find_checkpoint(name_or_path: str | Path) -> Path:
    """The folder of a shipped checkpoint by its name, of a run, or of a model on the hub.

    Raises `FileNotFoundError` where there is none of them.
    """
    try:
        return find_directory(SHIPPED.get(str(name_or_path), name_or_path))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}. With the package comes {', '.join(SHIPPED)}") from None


def load(name_or_path: str | Path) -> tuple[BertForPreTraining, BertTokenizer]:
    """A pretrained BERT, in eval mode, and its tokenizer.

    `name_or_path` is a name in `SHIPPED`, the folder of a run, or a Hugging Face BERT with a masked
    language head. Raises `FileNotFoundError` where there is none and `ValueError` where it is not a
    BERT's.
    """
    directory = find_checkpoint(name_or_path)
    return BertForPreTraining.from_pretrained(directory), BertTokenizer.from_pretrained(directory)
