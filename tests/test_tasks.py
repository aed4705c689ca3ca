"""Tasks by name: each has a line, can be described, and is found or named."""

import pytest

from minibert.data.published_tasks import PUBLISHED
from minibert.data.sotu_tasks import SOTU
from minibert.data.splits import TaskData
from minibert.data.tasks import TASKS, describe, load_task


@pytest.fixture(scope="module", params=SOTU)
def task(request):
    return load_task(request.param)


def test_every_task_has_a_line():
    assert set(TASKS) == set(SOTU) | set(PUBLISHED)


def test_a_task_in_a_few_lines():
    rows = [
        {"text": "one two", "label": "a", "document": "x"},
        {"text": "three four five six", "label": "b", "document": "x"},
    ]
    lines = describe(TaskData("t", "classification", ("a", "b"), rows * 2, rows, rows[:1]))
    assert lines == [
        "t (classification)",
        "train: 4 rows of 1 documents, 3 words each; a 50.0%, b 50.0%",
        "validation: 2 rows of 1 documents, 3 words each; a 50.0%, b 50.0%",
        "test: 1 rows of 1 documents, 2 words each; a 100.0%",
    ]


def test_every_kind_can_be_described(task):
    lines = describe(task)
    assert len(lines) == 4 and f"{len(task.test):,} rows" in lines[3]


def test_no_such_task():
    with pytest.raises(ValueError, match="no task 'sotu-mood'; there are sotu-century"):
        load_task("sotu-mood")
    with pytest.raises(ValueError, match="GLUE has no task 'squad'; it has cola"):
        load_task("glue/squad")
