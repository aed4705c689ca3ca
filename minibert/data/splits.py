"""Labelled rows in three parts, train, validation and test, which are checked together."""

from __future__ import annotations

import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from minibert.data.labelled_rows import reads, row_labels
from minibert.data.tables import PART_NAMES, Placed, Row, count, shown
from minibert.files import listed


@dataclass(frozen=True)
class TaskData:
    """A task: its rows in three parts. `labels` is () unless the task has classes or tags."""

    name: str
    kind: str
    labels: tuple[str, ...]
    train: list[Row]
    validation: list[Row]
    test: list[Row]


def subsample(data: TaskData, rows: int | None, seed: int = 0) -> TaskData:
    """The task with a random subsample of `rows` training rows; validation and test stay whole.

    Raises `ValueError` if a label is missing from the subsample.
    """
    if rows is None or rows >= len(data.train):
        return data
    drawn = random.Random(seed).sample(data.train, rows)
    found = {label for row in drawn for label in row_labels(data.kind, row)}
    if len(found) < len(data.labels):
        raise ValueError(f"{rows} rows of {data.name} do not have every label: take more")
    return replace(data, train=drawn)


def three_parts(
    name: str, kind: str, parts: dict[str, list[Placed]], seed: int
) -> dict[str, list[Placed]]:
    """The missing parts are taken from the training rows."""
    if len(parts) == 3:
        return parts
    train, *held_out = (parts[part] for part in PART_NAMES if part in parts)
    dealt = _deal(name, kind, train, seed, with_test=not held_out)
    return {**dealt, "test": held_out[0]} if held_out else dealt


def _deal(
    name: str, kind: str, rows: list[Placed], seed: int, with_test: bool
) -> dict[str, list[Placed]]:
    """One group in ten for validation, and one in ten for the test; the rest for training.

    Shuffled groups are sorted by label before every tenth is taken, so each label has its share of
    each part.
    """
    groups: dict[str, list[int]] = {}
    for number, (_, row) in enumerate(rows):
        groups.setdefault(_group(row), []).append(number)
    if len(groups) < 10:
        what = "document" if "document" in rows[0][1] else "different text"
        raise ValueError(
            f"{name} has {count(len(groups), what)}, too few to hold some out: give at least 10, "
            "or a folder with files train, validation and test"
        )
    order = list(groups.values())
    random.Random(seed).shuffle(order)
    order.sort(key=lambda group: _rank(kind, rows[group[0]][1]))
    dealt: dict[str, list[list[int]]] = {"train": [], "validation": [], "test": []}
    for number, group in enumerate(order):
        part = {4: "validation", 9: "test" if with_test else "train"}.get(number % 10, "train")
        dealt[part].append(group)

    def labels(group: list[int]) -> set[str]:
        return {label for number in group for label in row_labels(kind, rows[number][1])}

    # A label that only held-out rows have cannot be learned, so these rows go to training.
    known = set().union(*map(labels, dealt["train"]))
    for part in ("validation", "test"):
        dealt["train"] += [group for group in dealt[part] if labels(group) - known]
        dealt[part] = [group for group in dealt[part] if not labels(group) - known]
        if not dealt[part] and (part == "validation" or with_test):
            raise ValueError(f"{name}: too many labels have a single row, so none can be held out")
    return {
        part: [rows[number] for number in sorted(number for group in groups for number in group)]
        for part, groups in dealt.items()
    }


def _group(row: Row) -> str:
    """Rows with the same group stay in the same part."""
    if "document" in row:
        return row["document"]
    text = row.get("context") or row.get("text") or " ".join(row["words"])
    return " ".join(text.casefold().split())


def _rank(kind: str, row: Row) -> Any:
    if kind == "regression":
        return row["label"]
    return str(row["label"]) if kind in ("classification", "multi-label") else ""


def checked(
    name: str,
    kind: str,
    parts: Mapping[str, Sequence[Placed]],
    label_names: Sequence[str] | None = None,
) -> TaskData:
    """A task from three parts of rows that `read_row` would return.

    Raises `ValueError` if all labels are the same, and for a label that training lacks. Warns of
    texts that are in two parts.
    """
    labels: tuple[str, ...] = ()
    train = [row for _, row in parts["train"]]
    if kind in ("classification", "multi-label", "tagging"):
        found = {label for row in train for label in row_labels(kind, row)}
        labels = tuple(label_names or sorted(found))
        if len(found) < (1 if kind == "multi-label" else 2):
            only = f" but {min(found)!r}" if found else ""
            raise ValueError(f"{name}: there is no label{only} to train on: give at least two")
        for place, row in (*parts["validation"], *parts["test"]):
            if unknown := set(row_labels(kind, row)) - set(labels):
                raise ValueError(
                    f"{place}: the label {shown(min(unknown))} is not in the training rows, which "
                    f"have {listed(map(shown, labels))}"
                )
    elif kind == "regression" and len({row["label"] for row in train}) < 2:
        raise ValueError(f"{name}: every target to train on is {train[0]['label']}: give others")
    elif kind == "multiple-choice":
        several = len(train[0]["choices"])
        for place, row in (placed for part in parts.values() for placed in part):
            if len(row["choices"]) != several:
                raise ValueError(
                    f"{place}: {len(row['choices'])} choices, but the first row has {several}"
                )
    rows = {part: [row for _, row in placed] for part, placed in parts.items()}
    _warn_of_leaks(name, rows)
    return TaskData(name, kind, labels, rows["train"], rows["validation"], rows["test"])


def _warn_of_leaks(name: str, parts: Mapping[str, list[Row]]) -> None:
    seen = {part: {reads(row) for row in rows} for part, rows in parts.items()}
    for held_out, learnt in (("test", "train"), ("validation", "train"), ("test", "validation")):
        if both := sum(reads(row) in seen[learnt] for row in parts[held_out]):
            warnings.warn(
                f"{name}: {both} of {len(parts[held_out])} rows of {held_out} are in {learnt} too, "
                "so a score on them says little",
                stacklevel=4,
            )
