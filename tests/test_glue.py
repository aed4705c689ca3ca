"""GLUE's nine tasks on small files of their shape; the table, against scikit-learn and scipy."""

import json
import random
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from toy_tasks import FAST, TOKENIZER, small_bert
from witnesses import hub_rows

from minibert.data.glue_tasks import GLUE, load_glue
from minibert.finetuning.glue import SYSTEMS, glue_scores, glue_table, run_glue
from minibert.finetuning.metrics import class_counts, score
from minibert.finetuning.results import Result
from minibert.finetuning.settings import Runs
from minibert.training.trainer import Trainer

SETTINGS = replace(FAST, epochs=1, max_length=12, patience=2)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """40 training rows of every task, and 20 more."""
    folder = tmp_path_factory.mktemp("GLUE")
    for name in GLUE:
        (folder / name).mkdir()
        dev = "validation_matched" if name == "mnli" else "validation"
        for stem, rows in (("train", hub_rows(name, 0, 40)), (dev, hub_rows(name, 40, 60))):
            text = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / name / f"{stem}.jsonl").write_text(text)
    return folder


def test_nine_tasks_and_a_table(files, tmp_path, monkeypatch):
    out, said = tmp_path / "out", []
    tasks = {name: load_glue(name, files) for name in GLUE}
    arguments = (small_bert(), TOKENIZER, tasks, out, SETTINGS)
    runs = Runs(seeds=[0], say=said.append)
    train = Trainer.train
    calls = iter(range(100))

    def stopped_at_the_fifth(trainer):
        if next(calls) == 4:
            watch = trainer.record.watch
            look = lambda line: (watch(line), trainer.stop())
            trainer.record = replace(trainer.record, watch=look)
        return train(trainer)

    monkeypatch.setattr("minibert.finetuning.head_training.LOG_EVERY", 1)
    monkeypatch.setattr(Trainer, "train", stopped_at_the_fifth)
    assert run_glue(*arguments, runs) is None
    monkeypatch.setattr(Trainer, "train", lambda trainer: next(calls) and train(trainer))
    with pytest.raises(FileExistsError, match="holds a run already: --resume continues it"):
        run_glue(*arguments, runs)
    table = run_glue(*arguments, replace(runs, resume=True))
    assert next(calls) == 10  # nine runs and the interrupted one: no finished run is repeated
    assert (out / "glue.md").read_text() == table + "\n"
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    assert lines[0] == ["task", "metric", *SYSTEMS]
    metrics = [(name, metric) for name in GLUE for metric in GLUE[name].metrics]
    assert [tuple(line[:2]) for line in lines[2:]] == [*metrics, ("average", "")]
    for (name, _), line in zip(metrics, lines[2:], strict=False):
        paired = GLUE[name].text_pair is not None
        assert [bool(cell) for cell in line[2:]] == [True, True, True, paired]
    for name in GLUE:
        assert (out / name / "model.safetensors").exists()
    rte = {"rte": tasks["rte"]}
    anew = run_glue(*arguments[:2], rte, out, SETTINGS, replace(runs, overwrite=True))
    assert anew.splitlines()[2] == next(x for x in table.splitlines() if x.startswith("| rte "))


def outcome(task, seeds=3):
    """A `Result` from answers drawn at random, and the answers of minibert and two baselines."""
    rng = random.Random(task)
    labels = GLUE[task].labels
    draw = (lambda: rng.choice(labels)) if labels else (lambda: rng.uniform(0, 5))
    rows = [{"label": draw()} for _ in range(50)]
    kind = "classification" if labels else "regression"
    answers = {
        name: [[draw() for _ in rows] for _ in range(runs)]
        for name, runs in (("minibert", seeds), ("majority", 1), ("TF-IDF + a model", 1))
    }
    of_each = lambda measure: {
        name: [measure(kind, rows, given) for given in runs] for name, runs in answers.items()
    }
    result = Result(task, kind, of_each(score), of_each(class_counts), 0)
    return result, [row["label"] for row in rows], answers


WITNESSES = {
    "accuracy": lambda right, given, _: sklearn.metrics.accuracy_score(right, given),
    "matthews": lambda right, given, _: sklearn.metrics.matthews_corrcoef(right, given),
    "f1": lambda right, given, labels: sklearn.metrics.f1_score(right, given, pos_label=labels[1]),
    "pearson": lambda right, given, _: scipy.stats.pearsonr(right, given)[0],
    "spearman": lambda right, given, _: scipy.stats.spearmanr(right, given)[0],
}


@pytest.mark.parametrize("task", GLUE)
def test_each_task_is_scored_by_its_own_metrics(task):
    result, right, answers = outcome(task)
    scores = glue_scores(task, result)
    for system, name in zip(SYSTEMS, answers, strict=False):
        want = [
            [WITNESSES[metric](right, given, GLUE[task].labels) for metric in GLUE[task].metrics]
            for given in answers[name]
        ]
        np.testing.assert_allclose(scores[system], want, atol=1e-12)


def test_the_average_is_over_tasks_and_a_task_counts_once():
    results = {task: outcome(task)[0] for task in ("cola", "mrpc", "stsb")}
    by_hand = [
        np.mean([np.mean(glue_scores(task, results[task])["minibert"][seed]) for task in results])
        for seed in range(3)
    ]
    half = scipy.stats.t.ppf(0.975, 2) * scipy.stats.sem(by_hand)
    average = glue_table(results).splitlines()[-1]
    assert average.startswith(f"| average |  | {100 * np.mean(by_hand):.1f} ± {100 * half:.1f} % |")
    assert average.endswith("|  |")  # no task here has the fourth


def test_without_datasets_one_line_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r"install the library datasets.*; or give a folder"):
        load_glue("rte")


def test_what_cannot_be_loaded_is_named(files, tmp_path):
    with pytest.raises(ValueError, match=re.escape("GLUE has no task 'squad'")):
        load_glue("squad", files)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        load_glue("rte", tmp_path / "nowhere")
