"""The table of scores: means, intervals, digits, confusion."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from minibert.finetuning.results import Result, shown


def result(*accuracies, labels=("a", "b"), counts=None):
    of_each = [{"accuracy": x, "macro F1": x / 2} for x in accuracies]
    counts = counts or {label: {label: 3, labels[0]: 1} for label in labels}
    return Result(
        "toy",
        "classification",
        {"minibert": of_each, "counting": of_each[:1]},
        {"minibert": [{}] * (len(accuracies) - 1) + [counts], "counting": [{}]},
        saved=len(accuracies) - 1,
    )


def test_the_table_of_three_seeds():
    table = result(0.81, 0.84, 0.86).table()
    half = 4.303 * np.std([81, 84, 86], ddof=1) / 3**0.5  # Student's t, from a table
    assert "mean of 3 seeds and its 95 % interval" in table
    lines = [line.split() for line in table.splitlines()]
    assert ["minibert", "83.7", "±", f"{half:.1f}", "%"] in lines
    assert ["counting", "81.0", "%"] in lines


def test_of_two_seeds_both_are_shown():
    """Their interval is 12.7 standard errors to each side: wider than anything one learns from."""
    table = result(0.81, 0.83).table()
    assert "82.0 (81.0 to 83.0) %" in table and "±" not in table
    assert "two say little" in table
    assert "seeds" not in result(0.81).table() and "81.0 %" in result(0.81).table()


@pytest.mark.parametrize(
    ("measure", "values", "text"),
    [
        ("accuracy", [0.5], "50.0 %"),
        ("Pearson correlation", [0.9171], "0.917"),
        ("mean absolute error", [52.5537], "52.6"),
        ("mean absolute error", [0.98765], "0.988"),
        ("mean absolute error", [1234.5], "1234"),
        ("mean absolute error", [0.0], "0.00"),
        ("mean absolute error", [1.0, 1.1], "1.05 (1.00 to 1.10)"),
    ],
)
def test_as_many_digits_as_tell(measure, values, text):
    assert shown(measure, values) == text


def test_which_class_was_taken_for_which():
    counts = {"19th": {"19th": 7, "20th": 3}, "20th": {"20th": 9, "19th": 1, "other": 2}}
    lines = [line.split() for line in result(0.5, counts=counts).table().splitlines()]
    place = lines.index(["19th", "20th", "other"])
    by_hand = (14 / 18, 18 / 24)  # twice what is right, over what is there and what was given
    assert lines[place + 1] == ["19th", "7", "3", "0", "F1", f"{by_hand[0]:.1%}"]
    assert lines[place + 2] == ["20th", "1", "9", "2", "F1", f"{by_hand[1]:.1%}"]
    assert lines[place + 3] == ["other", "0", "0", "0"]  # never right: no F1


@pytest.mark.parametrize("several", [6, 7])
def test_a_table_is_narrow_however_long_names_are(several):
    labels = [f"{number} is a rather long label" for number in range(several)]
    table = result(0.81, 0.84, 0.86, labels=labels).table()
    assert max(map(len, table.splitlines())) <= 90
    assert ("by row" in table) == (several == 6)


def test_a_file_of_other_results_is_refused(tmp_path):
    file = tmp_path / "results.json"
    right = asdict(result(0.5))
    wrong = {"scores": 3, "counts": {"minibert": []}, "saved": "1"}
    file.write_text(json.dumps(right))
    assert Result.read(file) == result(0.5)
    for values in ({"task": "sotu"}, *({**right, name: value} for name, value in wrong.items())):
        file.write_text(json.dumps(values))
        with pytest.raises(ValueError, match="does not hold the results of minibert finetune"):
            Result.read(file)
