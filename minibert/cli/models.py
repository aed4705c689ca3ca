"""Models, loaded by name with the heads that a command needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from minibert.heads import BertWithHead
    from minibert.model import BertForPreTraining, BertModel
    from minibert.tokenizer import BertTokenizer


def corpus_of(folder: Path) -> str | None:
    """The name of the corpus that a model of ours learned from, or None for other models."""
    from minibert.files import read_json

    file = folder / "run.json"
    corpus = read_json(file).get("corpus") if file.exists() else None
    return corpus if isinstance(corpus, str) else None


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


def load_speaking(name: str) -> tuple[BertForPreTraining | BertWithHead, BertTokenizer]:
    """A model with the head that its `config.json` names, or else with its head for words."""
    from minibert.finetuning.task_heads import HEAD_CLASSES, architecture, load_finetuned
    from minibert.model import load

    return load_finetuned(name) if architecture(name) in HEAD_CLASSES else load(name)
