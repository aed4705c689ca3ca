"""Datasets of the Hugging Face hub, through the library `datasets`: texts, and labelled rows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from minibert.data.tables import PART_NAMES, Placed, Row, place_rows, shown

if TYPE_CHECKING:
    from datasets import DatasetBuilder, IterableDataset

HUB = "hf:"
"""How the name of a dataset on the hub begins."""
PATIENCE = 60
"""Seconds that the hub may take to describe a dataset."""


def hub_dataset(name: str) -> tuple[str, IterableDataset]:
    """`hf:NAME[@REVISION][:CONFIG]` with its revision, and the rows of its split `train`.

    The rows are downloaded while they are read. Raises `ImportError` without the library
    `datasets`, `FileNotFoundError` if there is no such dataset, and `ValueError` if it has no
    column `text`.
    """
    path, _, config = name.removeprefix(HUB).partition(":")
    path, _, revision = path.partition("@")
    builder = _find(path, config, revision)
    try:
        rows = builder.as_streaming_dataset("train")
    except (OSError, ValueError, RuntimeError) as error:
        raise FileNotFoundError(f"{name} cannot be read: {error}") from None
    if builder.base_path is None:  # left by an earlier download, of an unknown revision
        raise FileNotFoundError(
            f"{name} cannot be read: it cannot be downloaded from the hub (is there a network?)"
        )
    columns = rows.column_names or list(next(iter(rows), {}))
    if "text" not in columns:
        raise ValueError(f"{name} has no column text; it has {', '.join(columns)}")
    on_hub = re.match(r"hf://datasets/[^@]+@([^/]+)", builder.base_path)
    at = f"@{on_hub[1]}" if on_hub else ""  # a folder has no revisions
    return f"{HUB}{path}{at}" + (f":{config}" if config else ""), rows


def text_of(row: Row, file: int, number: int) -> str:
    """What a dataset's row has in its column `text`, and "" for null.

    `file` and `number` count from 0. Raises `ValueError` with the row's place for other values.
    """
    text = row["text"]
    if not isinstance(text, str | None):
        place = f"file {file + 1} of the dataset, row {number + 1}"
        raise ValueError(f"{place}: the column text holds {shown(text)}, which is not text")
    return text or ""


def pinned(source: str, earlier: str) -> str:
    """`earlier` if it is the dataset `source` at a revision: a resumed run keeps its revision."""
    return earlier if source.startswith(HUB) and source == re.sub("@[^:]+", "", earlier) else source


def read_hub(
    name: str, label: str, names: Mapping[str, tuple[str, ...]] = PART_NAMES
) -> tuple[dict[str, list[Placed]], list[str] | None]:
    """The parts of a labelled dataset, NAME[:CONFIG], and the names of its labels if numbered.

    Raises as `hub_dataset` does, and `ValueError` without a split `train`.
    """
    path, _, config = name.partition(":")
    _find(path, config)
    from datasets import load_dataset

    splits = load_dataset(path, config or None)
    parts = {
        part: place_rows(f"{name} {split}", splits[split])
        for part, stems in names.items()
        for split in stems
        if split in splits
    }
    if "train" not in parts:
        raise ValueError(f"the dataset {name} has no split train; it has {', '.join(splits)}")
    feature = splits["train"].features.get(label)
    feature = getattr(feature, "feature", feature)  # of a list of labels
    return parts, getattr(feature, "names", None)


def _find(path: str, config: str = "", revision: str = "") -> DatasetBuilder:
    """What `datasets` knows about a dataset, within `PATIENCE`."""
    try:
        from datasets import load_dataset_builder
    except ImportError:
        raise ImportError(
            f"to read {path} from the hub, install the library datasets: "
            "pip install 'minibert[datasets]'"
        ) from None
    answers: SimpleQueue[DatasetBuilder | Exception] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put(load_dataset_builder(path, config or None, revision=revision or None))
        except Exception as error:  # of any kind, because a thread's errors are lost
            answers.put(error)

    Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=PATIENCE)
    except Empty:
        answer = TimeoutError(f"the hub did not answer within {PATIENCE} seconds")
    if isinstance(answer, OSError | ValueError | RuntimeError):
        raise FileNotFoundError(f"{HUB}{path} cannot be read: {answer}") from None
    if isinstance(answer, Exception):
        raise answer
    return answer
