"""Tasks by name: a list of them, their data, and a description of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from minibert.data.glue_tasks import load_glue
from minibert.data.labelled_rows import reads, row_labels
from minibert.data.published_tasks import PUBLISHED
from minibert.data.sotu_tasks import SOTU, sotu_task
from minibert.data.splits import TaskData
from minibert.data.tables import PART_NAMES, Row

TASKS = {
    "sotu-century": "the century of a paragraph: 19th, 20th or 21st",
    "sotu-party": "the party of the president who speaks: Democratic or Republican",
    "sotu-delivery": "spoken or written",
    "sotu-facts": "multi-label: party, century and delivery of a paragraph, all at once",
    "sotu-year": "regression: the year of a paragraph",
    "sotu-case": "tagging: which words of a sentence had capitals",
    "sotu-punctuation": "tagging: which mark followed each word of a paragraph",
    "sotu-next": "pairs: does the second sentence follow the first, or is it from elsewhere",
    "sotu-choice": "multiple choice: which of four sentences follows",
    "sotu-cloze": "question answering: a sentence with a gap, to be filled from its paragraph",
    "sts-b": "pairs, regression: how alike two sentences are, 0 to 5 (make data)",
    "boolq": "pairs: yes or no, a question and a passage of Wikipedia (make data)",
    "narrativeqa": "question answering over long summaries of stories (make data)",
    "conll-2003": "tagging: names of people, places, ... in news; research only (make data)",
    "sms-spam": "spam or ham: is a text message advertising (make data)",
    "trec": "what a question asks for: a person, a place, a number, ... (make data)",
    "rotten-tomatoes": "sentiment of a sentence about a film; rights unclear (make data)",
}
"""A line about every task. GLUE's tasks have a table of their own, `GLUE`."""


def load_task(name: str, folder: str | Path | None = None) -> TaskData:
    """A task of `TASKS` by its name, or `glue/` and the name of a task of `GLUE`.

    GLUE's tasks come from the Hugging Face hub, or from `folder`, which has a folder for each.
    Raises `ValueError` for an unknown name, and `FileNotFoundError` if the data is missing.
    """
    if name.startswith("glue/"):
        return load_glue(name.removeprefix("glue/"), folder)
    if name in SOTU:
        return sotu_task(name)
    if name in PUBLISHED:
        return PUBLISHED[name]()
    raise ValueError(f"there is no task {name!r}; there are {', '.join(TASKS)}, and glue/...")


def describe(task: TaskData) -> list[str]:
    """A task in four lines: for each part its rows, documents, words per row, and labels."""
    lines = [f"{task.name} ({task.kind})"]
    for part in PART_NAMES:
        rows: list[Row] = getattr(task, part)
        words = sum(len(reads(row).split()) for row in rows) / max(len(rows), 1)
        line = f"{part}: {len(rows):,} rows"
        if documents := {row["document"] for row in rows if "document" in row}:
            line += f" of {len(documents):,} documents"
        lines.append(f"{line}, {words:.0f} words each; {_target_line(task, rows)}")
    return lines


def _target_line(task: TaskData, rows: list[Row]) -> str:
    if task.kind == "regression":
        targets = [row["label"] for row in rows]
        return f"from {min(targets):g} to {max(targets):g}, mean {sum(targets) / len(targets):.4g}"
    if task.kind == "question-answering":
        return f"{sum(not row['answers'] for row in rows) / len(rows):.1%} without an answer"
    if task.kind == "multiple-choice":
        return f"one of {len(rows[0]['choices'])}"
    counts = Counter(label for row in rows for label in row_labels(task.kind, row))
    whole = len(rows) if task.kind == "multi-label" else sum(counts.values())
    return ", ".join(f"{label} {number / whole:.1%}" for label, number in counts.most_common())
