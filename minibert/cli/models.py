"""Models, loaded by name with the heads that a command needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minibert.heads import BertForSequenceClassification
    from minibert.model import BertForPreTraining, BertModel
    from minibert.tokenizer import BertTokenizer


def load_body(name: str, **overrides: Any) -> tuple[BertModel, BertTokenizer]:
    """A model without its pretraining heads, which it may lack."""
    from minibert.files import find_directory
    from minibert.model import BertModel
    from minibert.tokenizer import BertTokenizer

    found = find_directory(name)
    return BertModel.from_pretrained(found, **overrides), BertTokenizer.from_pretrained(found)


def load_any(name: str) -> tuple[BertModel | BertForPreTraining, BertTokenizer]:
    """A model, with its head for guessing words if there is one."""
    from minibert.model import load

    try:
        return load(name)
    except ValueError:  # no such head, or an error that loading the body raises again
        return load_body(name)


def load_speaking(
    name: str,
) -> tuple[BertForPreTraining | BertForSequenceClassification, BertTokenizer]:
    """A model that guesses words, or a classifier, by what its `config.json` says."""
    from minibert.finetuning.task_heads import load_finetuned
    from minibert.heads import BertForSequenceClassification
    from minibert.model import load

    try:
        bert, tokenizer = load_finetuned(name)
    except ValueError:  # not fine-tuned; whatever else is wrong is told again
        return load(name)
    if not isinstance(bert, BertForSequenceClassification):
        raise ValueError(f"{name} is a {type(bert).__name__}: a page can show a classifier")
    return bert, tokenizer
