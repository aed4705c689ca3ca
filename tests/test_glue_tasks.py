"""GLUE: by its names on the hub, as the hub's files, and as its own."""

import json

import datasets
import pytest
from witnesses import ON_THE_HUB, hub_rows

from minibert.data.glue_tasks import GLUE, glue_task
from minibert.data.tables import place_rows
from minibert.data.tasks import load_task

# GLUE's own files: folder, header (CoLA's has none), the label as it is written.
OWN_FILES = {
    "cola": ("CoLA", None, lambda n: str(n % 2)),
    "sst2": ("SST-2", "sentence label", lambda n: str(n % 2)),
    "mrpc": ("MRPC", "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String", lambda n: str(n % 2)),
    "qqp": ("QQP", "id qid1 qid2 question1 question2 is_duplicate", lambda n: str(n % 2)),
    "stsb": ("STS-B", "index genre sentence1 sentence2 score", lambda n: f"{n % 6}.000"),
    "mnli": (
        "MNLI",
        "index promptID genre sentence1 sentence2 label1 gold_label",
        lambda n: ("entailment", "neutral", "contradiction")[n % 3],
    ),
    "qnli": ("QNLI", "index question sentence label", lambda n: GLUE["qnli"].labels[n % 2]),
    "rte": ("RTE", "index sentence1 sentence2 label", lambda n: GLUE["rte"].labels[n % 2]),
    "wnli": ("WNLI", "index sentence1 sentence2 label", lambda n: str(n % 2)),
}


@pytest.mark.parametrize("name", GLUE)
def test_glue_by_its_name(tmp_path, monkeypatch, name):
    """The library `datasets` takes a folder of that name, with the hub's files, for the hub."""
    splits = dict.fromkeys(("train", "validation", "validation_matched"), hub_rows(name, 0, 40))
    card = ["---", "configs:", f"- config_name: {name}", "  data_files:"]
    folder = tmp_path / "nyu-mll" / "glue"
    folder.mkdir(parents=True)
    names = ON_THE_HUB[name][1]
    for split, rows in splits.items():
        table = datasets.Dataset.from_list(rows)
        if names:
            table = table.cast_column("label", datasets.ClassLabel(names=list(names)))
        table.to_parquet(folder / f"{split}.parquet")
        card += [f"  - split: {split}", f"    path: {split}.parquet"]
    (folder / "README.md").write_text("\n".join([*card, "---"]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    parts = {part: place_rows("", splits[part]) for part in ("train", "validation")}
    want = glue_task(name, parts)
    got = load_task(f"glue/{name}")
    assert (got.kind, got.labels) == (want.kind, want.labels)
    assert (got.train, got.validation, got.test) == (want.train, want.validation, want.test)


@pytest.mark.parametrize("name", GLUE)
def test_glue_as_on_the_hub(tmp_path, name):
    columns, names = ON_THE_HUB[name]
    folder = tmp_path / name
    folder.mkdir()
    validation = "validation_matched" if name == "mnli" else "validation"
    files = {
        "train": hub_rows(name, 0, 60),
        validation: hub_rows(name, 60, 80),
        "test": hub_rows(name, 80, 90, hidden=True),
        "validation_mismatched": hub_rows(name, 90, 95),
    }
    for stem, rows in files.items():
        (folder / f"{stem}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    task = load_task(f"glue/{name}", tmp_path)
    assert task.labels == (names or ())
    assert [len(task.train), len(task.validation), len(task.test)] == [54, 6, 20]
    for number, row in enumerate(task.test, start=60):
        label = names[number % len(names)] if names else number % 6
        expected = dict(zip(("text", "text_pair"), (f"{c} {number}" for c in columns)))  # noqa: B905
        assert row == expected | {"label": label}
    parts = {"train": place_rows("t", files["train"]), "test": place_rows("v", files[validation])}
    assert glue_task(name, parts) == task


@pytest.mark.parametrize("name", GLUE)
def test_glue_in_its_own_files(tmp_path, name):
    folder, header, label = OWN_FILES[name]
    names = header.split("\t" if "\t" in header else " ") if header else None

    def lines(first, last):
        if names is None:
            return [f'gj04\t{label(n)}\t*\tA "sentence {n}' for n in range(first, last)]
        labels = ("label", "score", "is_duplicate", "gold_label", "Quality")
        return [
            "\t".join(label(n) if c in labels else f'A "{c} {n}' for c in names)
            for n in range(first, last)
        ]

    (tmp_path / folder).mkdir()
    dev = "dev_matched" if name == "mnli" else "dev"
    for stem, first, last in (("train", 0, 60), (dev, 60, 80)):
        content = [*(["\t".join(names)] if names else []), *lines(first, last)]
        (tmp_path / folder / f"{stem}.tsv").write_text("\n".join(content) + "\n")
    (tmp_path / folder / "test.tsv").write_text("index\tsentence\n0\tIts labels are hidden\n")
    task = load_task(f"glue/{name}", tmp_path)
    assert task.labels == (ON_THE_HUB[name][1] or ())
    assert [len(task.train), len(task.validation), len(task.test)] == [54, 6, 20]
    for number, row in enumerate(task.test, start=60):
        assert row["text"].startswith('A "') and row["text"].endswith(f" {number}")
        assert ("text_pair" in row) == (len(ON_THE_HUB[name][0]) == 2)
        written = label(number)
        if name == "stsb":
            assert row["label"] == float(written)
        else:
            assert row["label"] == (task.labels[int(written)] if written.isdigit() else written)


def test_a_folder_without_the_task_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no folder rte"):
        load_task("glue/rte", tmp_path)
