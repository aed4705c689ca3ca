"""Which head answers which kind of task: made new on a body, or loaded from a folder."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from minibert.data.splits import TaskData
from minibert.files import errors_name, field, find_directory, read_json
from minibert.finetuning.settings import Finetuning
from minibert.heads import (
    BertForMultipleChoice,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertWithHead,
)
from minibert.model import BertModel
from minibert.tokenizer import BertTokenizer

PROBLEM_TYPE = {
    "classification": "single_label_classification",
    "multi-label": "multi_label_classification",
    "regression": "regression",
}
HEADS: dict[str, type[BertWithHead]] = {
    **dict.fromkeys(PROBLEM_TYPE, BertForSequenceClassification),
    "tagging": BertForTokenClassification,
    "question-answering": BertForQuestionAnswering,
    "multiple-choice": BertForMultipleChoice,
}
HEAD_CLASSES = {head.__name__: head for head in HEADS.values()}
SETTINGS = "finetuning.json"
"""The file of a fine-tuned model's folder that holds the settings it was trained with."""


def make_head(bert: BertModel, data: TaskData, settings: Finetuning, seed: int) -> BertWithHead:
    """A new head for this kind of task on a copy of `bert`."""
    torch.manual_seed(seed)
    head = HEADS[data.kind]
    if data.kind in PROBLEM_TYPE:
        labels = data.labels or ("value",)
        model = head.from_bert(bert, labels, PROBLEM_TYPE[data.kind], settings.pooling)
    elif data.kind == "tagging":
        model = head.from_bert(bert, data.labels)
    else:
        model = head.from_bert(bert)
    if settings.frozen:
        model.freeze_body()
    return model


def kind_of(model: BertWithHead) -> str:
    """The kind of task that a model answers."""
    if isinstance(model, BertForSequenceClassification):
        return next(kind for kind, problem in PROBLEM_TYPE.items() if problem == model.problem_type)
    return next(kind for kind, head in HEADS.items() if isinstance(model, head))


def architecture(name_or_path: str | Path) -> str:
    """The class that a model's `config.json` names, or nothing if it names none."""
    file = find_directory(name_or_path) / "config.json"
    values = read_json(file)
    with errors_name(file):
        return str((field(values, "architectures", list, []) or [""])[0])


def load_finetuned(name_or_path: str | Path) -> tuple[BertWithHead, BertTokenizer]:
    """A model in eval mode, with the head that its `config.json` names, and its tokenizer.

    Raises `FileNotFoundError` if there is no such model, and `ValueError` if it has no such head.
    """
    name = architecture(name_or_path)
    if name not in HEAD_CLASSES:
        raise ValueError(
            f"{name_or_path} is a {name or 'model of no known kind'}, without a head that "
            "answers: fine-tune it first (minibert finetune)"
        )
    directory = find_directory(name_or_path)
    return HEAD_CLASSES[name].from_pretrained(directory), BertTokenizer.from_pretrained(directory)


def finetuned_length(name_or_path: str | Path) -> int:
    """The `max_length` that a model was fine-tuned with; no limit if its folder does not say.

    Raises `ValueError` if the folder's file is damaged.
    """
    file = find_directory(name_or_path) / SETTINGS
    length = read_json(file).get("max_length", sys.maxsize) if file.exists() else sys.maxsize
    if not isinstance(length, int):
        raise ValueError(f"{file}: max_length must be a whole number, not {length!r}")
    return length
