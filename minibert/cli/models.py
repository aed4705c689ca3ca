"""Models, loaded by name with the heads that a command needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minibert.model import BertForPreTraining, BertModel
    from minibert.tokenizer import BertTokenizer


def load_body(name: str, **overrides: Any) -> tuple[BertModel, BertTokenizer]:
    """A model that need not have the heads of pretraining."""
    from minibert.files import find_directory
    from minibert.model import BertModel
    from minibert.tokenizer import BertTokenizer

    found = find_directory(name)
    return BertModel.from_pretrained(found, **overrides), BertTokenizer.from_pretrained(found)


def load_any(name: str) -> tuple[BertModel | BertForPreTraining, BertTokenizer]:
    """A model with its head that guesses words if it has one."""
    from minibert.model import load

    try:
        return load(name)
    except ValueError:  # no such head; whatever else is wrong is told again
        return load_body(name)
