"""Three parts of labelled texts: nothing leaks from one into another."""

import os
import subprocess
import sys
import warnings

import pytest
from labelled_files import CSV, ROWS, everything, jsonl, write

from minibert.data.labelled_texts import from_parts, load_data
from minibert.data.splits import subsample
from minibert.data.tables import place_rows


def test_documents_stay_whole_and_duplicates_together(tmp_path):
    rows = [{"text": f"t {n}", "label": "ab"[n % 2], "document": f"d {n // 7}"} for n in range(210)]
    task = load_data(jsonl(tmp_path / "a.jsonl", rows))
    sides = [{r["document"] for r in part} for part in (task.train, task.validation, task.test)]
    assert [len(side) for side in sides] == [24, 3, 3]
    assert len(set().union(*sides)) == 30

    rows = [{"text": f"Text  {n // 3}"[n % 2 :], "label": "ab"[n % 2]} for n in range(300)]
    rows = [{**row, "text": row["text"].lstrip("T").upper()} for row in rows]
    task = load_data(jsonl(tmp_path / "b.jsonl", rows))
    sides = [
        {" ".join(r["text"].lower().split()) for r in part}
        for part in (task.train, task.validation, task.test)
    ]
    assert len(set().union(*sides)) == sum(len(side) for side in sides)
    assert len(everything(task)) == 300


def test_every_label_has_its_share_of_each_part(tmp_path):
    rows = [{"text": f"t {n}", "label": "a" if n % 10 else "rare"} for n in range(1000)]
    rows += [{"text": "the only one", "label": "only"}]
    for seed in range(5):
        task = load_data(jsonl(tmp_path / "a.jsonl", rows), seed=seed)
        for part in (task.validation, task.test):
            assert 95 <= len(part) <= 105
            assert 9 <= sum(row["label"] == "rare" for row in part) <= 11
        assert "only" in {row["label"] for row in task.train}


def test_rows_with_a_label_of_their_own_are_trained_on_and_none_is_lost(tmp_path):
    rows = [{"text": f"t {n}", "label": "ab"[n % 2]} for n in range(100)]
    rows += [{"text": f"u {n}", "label": f"only {n}"} for n in range(40)]
    task = load_data(jsonl(tmp_path / "a.jsonl", rows))
    assert sorted(everything(task), key=str) == sorted(rows, key=str)
    assert {row["label"] for row in task.train} == {row["label"] for row in rows}
    assert len(task.validation) > 5 and len(task.test) > 5


def test_the_split_is_the_seeds_and_the_same_in_every_process(tmp_path):
    path = write(tmp_path / "a.csv", CSV)
    program = (
        "import sys; from minibert.data.labelled_texts import load_data; "
        "print(load_data(sys.argv[1], seed=int(sys.argv[2])))"
    )

    def split(seed, hash_seed):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", program, str(path), seed]
        return subprocess.run(command, env=environment, capture_output=True, check=True).stdout

    assert split("0", "1") == split("0", "2") != split("1", "1")


def test_a_subsample_has_other_rows_with_another_seed_and_the_same_test(tmp_path):
    task = load_data(write(tmp_path / "a.csv", CSV))
    drawn = [subsample(task, 12, seed) for seed in (0, 0, 1)]
    texts = [{row["text"] for row in each.train} for each in drawn]
    assert texts[0] == texts[1] != texts[2] and len(texts[0]) == len(texts[2]) == 12
    assert all(each.test == task.test and each.validation == task.validation for each in drawn)
    assert subsample(task, None) is task and subsample(task, 1000) is task
    with pytest.raises(ValueError, match=r"1 rows of a\.csv do not have every label: take more"):
        subsample(task, 1)


def test_a_folder_is_taken_as_it_is(tmp_path):
    rows = [ROWS["classification"](n) for n in range(60)]
    jsonl(tmp_path / "train.jsonl", rows[:40])
    jsonl(tmp_path / "dev.jsonl", rows[40:50])
    jsonl(tmp_path / "test.jsonl", rows[50:])
    task = load_data(tmp_path)
    assert [task.train, task.validation, task.test] == [rows[:40], rows[40:50], rows[50:]]

    (tmp_path / "dev.jsonl").unlink()
    task = load_data(tmp_path)
    assert task.test == rows[50:] and len(task.validation) == 4
    assert sorted(task.train + task.validation, key=str) == sorted(rows[:40], key=str)

    jsonl(tmp_path / "test.jsonl", [*rows[50:], {"text": "x", "text_pair": "p", "label": "z"}])
    with pytest.raises(ValueError, match=r"test\.jsonl, line 11: the label 'z' .* 'x', 'y'"):
        load_data(tmp_path)
    write(tmp_path / "test.csv", CSV)
    with pytest.raises(ValueError, match=r"two files for test: test\.csv and test\.jsonl"):
        load_data(tmp_path)
    (tmp_path / "train.jsonl").unlink()
    (tmp_path / "test.csv").unlink()
    with pytest.raises(FileNotFoundError, match="no file for train"):
        load_data(tmp_path)


def test_a_text_on_two_sides_is_warned_of(tmp_path):
    rows = [ROWS["classification"](n) for n in range(60)]
    parts = {"train": rows[:40], "validation": rows[40:50], "test": [*rows[37:40], *rows[50:]]}
    placed = {part: place_rows(part, each) for part, each in parts.items()}
    with pytest.warns(UserWarning, match="t: 3 of 13 rows of test are in train too, so"):
        from_parts("t", placed)
    placed["test"] = placed["test"][3:]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_parts("t", placed)


def test_labels_that_are_numbers_get_their_names_and_hidden_ones_are_left_out():
    rows = [{"text": f"t {n}", "label": n % 2} for n in range(20)]
    hidden = [{"text": f"h {n}", "label": -1} for n in range(5)]
    parts = {"train": place_rows("train", [*rows, *hidden]), "test": place_rows("test", hidden)}
    task = from_parts("t", parts, label_names=["no", "yes"])
    assert task.labels == ("no", "yes")
    assert {row["text"]: row["label"] for row in everything(task)} == {
        f"t {n}": ["no", "yes"][n % 2] for n in range(20)
    }
    rows[3]["label"] = 2
    with pytest.raises(ValueError, match="train, row 4: the label 2 is not one of 'no', 'yes'"):
        from_parts("t", {"train": place_rows("train", rows)}, label_names=["no", "yes"])


def test_squads_own_form_of_answers():
    squad = {
        "id": "1",
        "question": "Who?",
        "context": "Ada and Bob.",
        "answers": {"text": ["Bob", "Ada"], "answer_start": [8, 0]},
    }
    parts = {part: place_rows(part, [squad]) for part in ("train", "validation", "test")}
    with pytest.warns(UserWarning, match="are in train too"):
        (row,) = from_parts("squad", parts).test
    assert row["answers"] == [{"text": "Bob", "start": 8}, {"text": "Ada", "start": 0}]
