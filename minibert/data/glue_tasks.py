"""The nine tasks of GLUE (Wang et al., 2019), from the hub or from GLUE's own files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from minibert.data.hub import read_hub
from minibert.data.labelled_rows import Columns
from minibert.data.labelled_texts import from_parts
from minibert.data.splits import TaskData
from minibert.data.tables import Placed, read_folder


class GlueTask(NamedTuple):
    """A task of GLUE: its columns, its labels in the order of their numbers, and its metrics."""

    text: str
    text_pair: str | None
    labels: tuple[str, ...]
    metrics: tuple[str, ...]


_ENTAILMENT = ("entailment", "not_entailment")
GLUE = {
    "cola": GlueTask("sentence", None, ("unacceptable", "acceptable"), ("matthews",)),
    "sst2": GlueTask("sentence", None, ("negative", "positive"), ("accuracy",)),
    "mrpc": GlueTask(
        "sentence1", "sentence2", ("not_equivalent", "equivalent"), ("accuracy", "f1")
    ),
    "qqp": GlueTask("question1", "question2", ("not_duplicate", "duplicate"), ("accuracy", "f1")),
    "stsb": GlueTask("sentence1", "sentence2", (), ("pearson", "spearman")),
    "mnli": GlueTask(
        "premise", "hypothesis", ("entailment", "neutral", "contradiction"), ("accuracy",)
    ),
    "qnli": GlueTask("question", "sentence", _ENTAILMENT, ("accuracy",)),
    "rte": GlueTask("sentence1", "sentence2", _ENTAILMENT, ("accuracy",)),
    "wnli": GlueTask("sentence1", "sentence2", _ENTAILMENT[::-1], ("accuracy",)),
}
"""GLUE's nine tasks (Wang et al., 2019), with the metrics that it reports."""
_GLUE_PARTS = {
    "train": ("train",),
    "test": ("validation", "validation_matched", "dev", "dev_matched"),
}
# Names of columns in GLUE's own files.
_GLUE_COLUMNS = {
    "Quality": "label",
    "is_duplicate": "label",
    "score": "label",
    "gold_label": "label",
    "#1 String": "sentence1",
    "#2 String": "sentence2",
}
_MNLI_COLUMNS = {"sentence1": "premise", "sentence2": "hypothesis"}
_COLA_HEADER = ("source", "label", "note", "sentence")


def load_glue(task: str, folder: str | Path | None = None) -> TaskData:
    """One of the nine tasks, from the hub or from `folder`. Raises as `load_task` does."""
    if task not in GLUE:
        raise ValueError(f"GLUE has no task {task!r}; it has {', '.join(GLUE)}")
    if folder is None:
        try:
            parts, _ = read_hub(f"nyu-mll/glue:{task}", "label", _GLUE_PARTS)
        except ImportError as error:
            raise ImportError(f"{error}; or give a folder with GLUE's files (--data)") from None
        return glue_task(task, parts)
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    there = sorted(folder.iterdir())
    found = [path for path in there if path.name.lower().replace("-", "") == task]
    if not found:
        raise FileNotFoundError(f"{folder} has no folder {task}")
    header = _COLA_HEADER if task == "cola" else None
    return glue_task(task, read_folder(found[0], _GLUE_PARTS, header))


def glue_task(task: str, parts: Mapping[str, Sequence[Placed]]) -> TaskData:
    """A task of GLUE from its rows, with the columns of `datasets` or of GLUE's own files.

    The labels of GLUE's test are hidden. So its validation is the test here (the matched half in
    MNLI), and one training row in ten is validation.
    """
    glue = GLUE[task]
    names = {**_GLUE_COLUMNS, **(_MNLI_COLUMNS if task == "mnli" else {})}
    renamed = {
        part: [
            (place, {names.get(column, column): value for column, value in raw.items()})
            for place, raw in rows
        ]
        for part, rows in parts.items()
    }
    kind = "classification" if glue.labels else "regression"
    return from_parts(
        f"glue/{task}", renamed, kind, Columns(glue.text, glue.text_pair), glue.labels
    )
