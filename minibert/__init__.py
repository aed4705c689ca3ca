"""minibert: BERT, small enough to read and exact enough to hold real weights."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minibert.config import BertConfig as BertConfig
    from minibert.heads import BertForMultipleChoice as BertForMultipleChoice
    from minibert.heads import BertForQuestionAnswering as BertForQuestionAnswering
    from minibert.heads import BertForSequenceClassification as BertForSequenceClassification
    from minibert.heads import BertForTokenClassification as BertForTokenClassification
    from minibert.model import BertForPreTraining as BertForPreTraining
    from minibert.model import BertModel as BertModel
    from minibert.model import load as load
    from minibert.modernbert.config import ModernBertConfig as ModernBertConfig
    from minibert.modernbert.model import ModernBertForMaskedLM as ModernBertForMaskedLM
    from minibert.modernbert.model import ModernBertModel as ModernBertModel
    from minibert.tokenizer import BertTokenizer as BertTokenizer

# Imported when first asked for: torch takes seconds to load, and `minibert --help` needs none.
_HOME = {
    "BertConfig": "config",
    "BertForMultipleChoice": "heads",
    "BertForPreTraining": "model",
    "BertForQuestionAnswering": "heads",
    "BertForSequenceClassification": "heads",
    "BertForTokenClassification": "heads",
    "BertModel": "model",
    "BertTokenizer": "tokenizer",
    "ModernBertConfig": "modernbert.config",
    "ModernBertForMaskedLM": "modernbert.model",
    "ModernBertModel": "modernbert.model",
    "load": "model",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name == "check":
        return import_module("minibert.course.checks")
    if name not in _HOME:
        raise AttributeError(f"module 'minibert' has no attribute {name!r}")
    return getattr(import_module(f"minibert.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
