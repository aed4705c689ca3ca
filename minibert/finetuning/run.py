"""Fine-tuning: a pretrained BERT, a new head, labelled rows (Devlin et al., 2019, 3.2 and 4).

`finetune` trains once for each seed, scores every model on the test rows, and compares the scores
with baselines. A single run is `HeadTraining`.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from minibert.data.splits import TaskData
from minibert.files import read_json, write_json
from minibert.finetuning.baselines import baseline_answers
from minibert.finetuning.head_training import BEST, HeadTraining, lowest_loss
from minibert.finetuning.predict import predict
from minibert.finetuning.results import Result
from minibert.finetuning.settings import Finetuning, Runs, default_rate
from minibert.finetuning.task_heads import SETTINGS
from minibert.finetuning.time_estimate import TimeEstimate
from minibert.heads import BertWithHead
from minibert.model import BertModel
from minibert.tokenizer import BertTokenizer
from minibert.training.hardware import best_device, has_bf16
from minibert.training.run_folder import MODEL_FILES, check_same, remove_files, run_folder

RESULTS = "results.json"
FILES = (RESULTS, "seed-*", *MODEL_FILES)


def finetune(
    bert: BertModel,
    tokenizer: BertTokenizer,
    data: TaskData,
    out: str | Path,
    settings: Finetuning = Finetuning(),
    runs: Runs = Runs(),
) -> Result | None:
    """Fine-tune with each seed, and score every model and the baselines on the test rows.

    The model with the lowest validation loss is saved in `out`, a Hugging Face directory, and all
    scores in `results.json`. Returns None if a signal interrupted it. `runs.resume` then continues,
    and reads the results of a call that was finished; `runs.overwrite` replaces an earlier call.
    Raises `FileExistsError` for any other folder that is not empty, and `ValueError` for a call
    that cannot be resumed.
    """
    out = Path(out)
    settings = replace(settings, lr=settings.lr or default_rate(bert.config))
    with run_folder(out, runs, SETTINGS, FILES):
        kept = {
            "task": data.name,
            "rows": [len(data.train), len(data.validation), len(data.test)],
            "body": _digest(bert),
            "dropout": bert.config.hidden_dropout_prob,
            **asdict(settings),
            "seeds": list(runs.seeds),
        }
        if runs.resume:
            check_same(out, read_json(out / SETTINGS), kept)
            if (out / RESULTS).exists():
                return Result.read(out / RESULTS)
        write_json(out / SETTINGS, kept)
        trained = _train_seeds(bert, tokenizer, data, out, settings, runs)
        if trained is None:
            return None
        answers, saved, model = trained
        runs.say("Fitting the baselines.")
        model.save_pretrained(out, tokenizer)
        baselines = {name: [given] for name, given in baseline_answers(data).items()}
        result = Result.of(data, {"minibert": answers, **baselines}, saved)
        write_json(out / RESULTS, asdict(result))
        for seed in runs.seeds:  # their history stays
            remove_files(out / f"seed-{seed}", ("checkpoints", BEST))
        return result


def _train_seeds(
    bert: BertModel,
    tokenizer: BertTokenizer,
    data: TaskData,
    out: Path,
    settings: Finetuning,
    runs: Runs,
) -> tuple[list[list[Any]], int, BertWithHead] | None:
    """The answers of each run to the test rows, and the number and model of the best run.

    Best is the lowest validation loss. None if a signal interrupted a run.
    """
    estimate = TimeEstimate(data, settings, runs.say)
    answers: list[list[Any]] = []
    losses: list[float] = []
    for number, seed in enumerate(runs.seeds):
        phase = f"Seed {number + 1} of {len(runs.seeds)}"
        rows = f"{len(data.train):,} rows, learning rate {settings.lr:g}"
        runs.say(f"{phase}: training on {rows}.")
        estimate.seeds_left = len(runs.seeds) - number
        training = HeadTraining(bert, tokenizer, data, out / f"seed-{seed}", settings, seed)
        model = training.train(lambda line: _report(line, estimate, runs))
        if model is None:
            return None
        runs.say(f"{phase}: scoring {len(data.test):,} test rows.")
        model.to(best_device())
        given = predict(model, tokenizer, data.test, settings.max_length, has_bf16())
        answers.append([prediction.answer for prediction in given])
        losses.append(lowest_loss(out / f"seed-{seed}"))
        if losses[-1] < min(losses[:-1], default=math.inf):
            saved, best = number, model.cpu()
    return answers, saved, best


def _report(line: dict[str, Any], estimate: TimeEstimate, runs: Runs) -> None:
    """A line of a run's history, to all who want it."""
    estimate(line)
    if runs.watch is not None:
        runs.watch(line)


def _digest(bert: BertModel) -> str:
    """A short checksum of the weights: different bodies have different ones."""
    digest = hashlib.sha256()
    for value in bert.state_dict().values():
        digest.update(value.cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]
