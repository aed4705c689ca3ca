"""Fine-tuning: a pretrained BERT, a new head, labelled rows (Devlin et al., 2019, 3.2 and 4).

One run is `train_head`; `finetune` is several with different seeds, their scores on the test rows,
and the baselines beside them.
"""

from __future__ import annotations

import hashlib
import math
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from tqdm import tqdm

from minibert.config import BertConfig
from minibert.data.batches import Batch
from minibert.data.features import Feature, best_span, collate, make_features
from minibert.data.splits import TaskData
from minibert.data.tables import Row
from minibert.files import find_directory, read_json, write_json
from minibert.finetuning.baselines import baseline_answers
from minibert.finetuning.metrics import (
    LOWER_IS_BETTER,
    Counts,
    Scores,
    class_counts,
    class_f1,
    interval,
    score,
)
from minibert.heads import (
    BertForMultipleChoice,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertWithHead,
)
from minibert.model import IGNORE_INDEX, BertModel, evaluating
from minibert.tokenizer import BertTokenizer
from minibert.training.hardware import best_device, has_bf16
from minibert.training.history import read_history
from minibert.training.optimizers import adam, linear
from minibert.training.run_folder import remove_files, run_folder
from minibert.training.settings import check_same
from minibert.training.trainer import Data, Numbers, Plan, Record, Trainer

PROBLEM_TYPE = {
    "classification": "single_label_classification",
    "multi-label": "multi_label_classification",
    "regression": "regression",
}
HEADS: dict[str, type[BertWithHead]] = {
    **dict.fromkeys(PROBLEM_TYPE, BertForSequenceClassification),
    "tagging": BertForTokenClassification,
    "question-answering": BertForQuestionAnswering,
    "multiple-choice": BertForMultipleChoice,
}
PREDICTION_BATCH = 32
BATCHES_SORTED = 8
"""Training batches that are made together, so that texts of about one length share a batch."""
LOG_EVERY = 5
"""Steps. The first line of the history is also what the estimate of the whole time rests on."""
FEWEST_VALIDATION_ROWS = 100
FORWARD_SHARE = 1 / 3
"""Of a training step's time: the backward pass takes about twice as long as the forward pass."""
LONGEST_ANSWER = 30
"""Tokens of an answer span, at most."""
BEST = "best.safetensors"


@dataclass(frozen=True)
class Finetuning:
    """How a head and its body are trained."""

    epochs: float = 3.0
    batch_size: int = 32
    max_length: int = 128
    """Tokens; never more than the model holds."""
    lr: float | None = None
    """Of the head; of the body too, unless it decays. None: `default_rate` of the body."""
    frozen: bool = False
    """Train the head (and its pooler) alone."""
    layer_decay: float = 1.0
    """The learning rate of each layer is this times that of the layer above."""
    pooling: str = "cls"
    """How a text becomes one vector: see `BertForSequenceClassification`."""
    warmup: float = 0.1
    patience: int = 2
    """Stop after so many epochs without a lower validation loss; the best weights are kept."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "max_length", "lr", "patience"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be above 0, not {value}")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"layer_decay must be above 0 and at most 1, not {self.layer_decay}")


# The model and its batches


def make_head(bert: BertModel, data: TaskData, settings: Finetuning, seed: int) -> BertWithHead:
    """A new head for this kind of task on a copy of `bert`."""
    torch.manual_seed(seed)
    kind = HEADS[data.kind]
    if data.kind in PROBLEM_TYPE:
        labels = data.labels or ("value",)
        model = kind.from_bert(bert, labels, PROBLEM_TYPE[data.kind], settings.pooling)
    elif data.kind == "tagging":
        model = kind.from_bert(bert, data.labels)
    else:
        model = kind.from_bert(bert)
    if settings.frozen:
        model.freeze_body()
    return model


def make_optimizers(model: BertWithHead, lr: float, layer_decay: float) -> list:
    """AdamW for each layer, with a rate that falls from the head down to the embeddings.

    Lower layers hold what is common to all text, and need to change less (Howard and Ruder, 2018).
    """
    layers = list(model.bert.encoder.layers)
    below = [model.bert.embeddings, *layers]  # the lowest first
    inside = {id(p) for part in below for p in part.parameters()}
    above = [p for p in model.parameters() if id(p) not in inside]
    parts = [*([*part.parameters()] for part in below), above]
    learning = [[p for p in part if p.requires_grad] for part in parts]
    highest = len(parts) - 1
    return [
        adam(part, lr * layer_decay ** (highest - depth))
        for depth, part in enumerate(learning)
        if part
    ]


def default_rate(config: BertConfig) -> float:
    """The learning rate for a body of this width D: 3e-4 * (256 / D)^2, to one digit.

    Wider bodies need smaller steps. The rule joins two rates that are known to work: 3e-4 for
    `mini-sotu` (D = 256, measured in `docs/tasks.md`), and 3e-5 for BERT-base (D = 768; Devlin et
    al., 2019, A.3, chose between 2e-5 and 5e-5). In between, MiniLM (D = 384) gets 1e-4. No rate
    is above 1e-3.
    """
    return float(f"{min(1e-3, 3e-4 * (256 / config.hidden_size) ** 2):.0e}")


def body_settings(dropout: float) -> dict[str, Any]:
    """What `BertModel.from_pretrained` is given, beside a path, for a body that will be fine-tuned.

    Dropout falls on hidden states alone. On attention weights it changed no score, and took a fifth
    of a step's time. On a CPU, torch's fused attention is slow with a gradient: a step takes a
    quarter less with the one from scratch.
    """
    return {
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": 0.0,
        "attn_implementation": "sdpa" if torch.cuda.is_available() else "eager",
    }


def validation_sample(data: TaskData) -> list[Row]:
    """The validation rows that a run looks at: half as many as it trains on, and 100 at least.

    More would take longer than training does. The sample depends on the data alone, so that the
    validation losses of two seeds can be compared.
    """
    several = max(FEWEST_VALIDATION_ROWS, len(data.train) // 2)
    if several >= len(data.validation):
        return data.validation
    return random.Random(0).sample(data.validation, several)


def feature_length(feature: Feature) -> int:
    """Tokens, of its longest sequence."""
    return max(len(ids) for ids, _ in feature.sequences)


@dataclass(frozen=True)
class ShuffledBatches:
    """Features in batches by step: every one once an epoch, in an order of the epoch's own.

    A batch is padded to its longest text. So the shuffled features of `BATCHES_SORTED` batches at a
    time are sorted by length before they are cut into batches, and the batches of an epoch are
    shuffled again: less padding, and still another company for each text in every epoch.
    """

    features: Sequence[Feature]
    kind: str
    tokenizer: BertTokenizer
    batch_size: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """The last batch of an epoch may be smaller."""
        return math.ceil(len(self.features) / self.batch_size)

    def __call__(self, step: int) -> list[Batch]:
        epoch, number = divmod(step, self.steps_per_epoch)
        chosen = self._epoch(epoch)[number]
        return [collate([self.features[i] for i in chosen], self.kind, self.tokenizer)]

    @cached_property
    def lengths(self) -> np.ndarray:
        """Of each feature, (N,)."""
        return np.array([feature_length(feature) for feature in self.features])

    def _epoch(self, epoch: int) -> list[np.ndarray]:
        """Which features are in each batch of an epoch."""
        chance = np.random.default_rng([self.seed, epoch])
        order = chance.permutation(len(self.features))
        together = BATCHES_SORTED * self.batch_size
        for start in range(0, len(order), together):
            bucket = order[start : start + together]
            order[start : start + together] = bucket[self.lengths[bucket].argsort(kind="stable")]
        batches = [
            order[start : start + self.batch_size]
            for start in range(0, len(order), self.batch_size)
        ]
        return [batches[i] for i in chance.permutation(len(batches))]


def batches_by_length(
    features: Sequence[Feature], kind: str, tokenizer: BertTokenizer
) -> list[tuple[list[int], Batch]]:
    """All features, those of a length together, which pads least: (which ones, the batch)."""
    order = sorted(range(len(features)), key=lambda i: feature_length(features[i]))
    chunks = [order[i : i + PREDICTION_BATCH] for i in range(0, len(features), PREDICTION_BATCH)]
    return [(chunk, collate([features[i] for i in chunk], kind, tokenizer)) for chunk in chunks]


class TaskObjective:
    """The head's own loss, summed over what was asked: rows, or words."""

    def counts(self, batch: Batch) -> Numbers:
        """Rows, or tagged words; `tokens` without padding."""
        asked = len(batch["input_ids"])
        if "labels" in batch and batch["labels"].shape == batch["input_ids"].shape:  # (B, T)
            asked = int((batch["labels"] != IGNORE_INDEX).sum())
        return {"tokens": int(batch["attention_mask"].sum()), "task_loss": asked}

    def sums(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The loss as a sum."""
        return {"task_loss": model(**batch).loss * self.counts(batch)["task_loss"]}


# One run


def train_head(
    bert: BertModel,
    tokenizer: BertTokenizer,
    data: TaskData,
    out: str | Path,
    settings: Finetuning = Finetuning(),
    seed: int = 0,
    watch: Callable[[dict[str, Any]], None] | None = None,
) -> BertWithHead | None:
    """Fine-tune a copy of `bert` in the folder `out`; a run that was stopped there goes on.

    Returns the model as it was where its validation loss was lowest, in eval mode, or None where a
    signal stopped it. After each epoch, and at the end, that loss is measured on the
    `validation_sample`. A regression is learned in standard units, and gives its own in the end.
    `watch` is called with each line of the history, and how many `steps` there will be.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    model = make_head(bert, data, settings, seed)
    model.to(best_device())
    max_length = min(settings.max_length, model.config.max_position_embeddings)
    standard = Standard.of(data)

    def features(rows: Sequence[Row]) -> list[Feature]:
        return make_features(standard.rows(rows), data.kind, data.labels, tokenizer, max_length)

    batches = ShuffledBatches(features(data.train), data.kind, tokenizer, settings.batch_size, seed)
    steps = max(1, round(settings.epochs * batches.steps_per_epoch))
    plan = Plan(
        steps,
        schedule=linear(settings.warmup),
        seed=seed,
        bf16=has_bf16(),
        log_every=LOG_EVERY,
        evaluate_every=batches.steps_per_epoch,
        save_every=steps,  # and once a minute
    )
    looked_at = features(validation_sample(data))
    held_out = [batch for _, batch in batches_by_length(looked_at, data.kind, tokenizer)]
    lr = settings.lr or default_rate(bert.config)
    stopping = EarlyStopping(settings.patience)

    def look(line: dict[str, Any]) -> None:
        if "held_out" in line:
            if not math.isfinite(line["held_out"]["loss"]):
                raise FloatingPointError(
                    f"the validation loss at step {line['step']} is not finite: try a lower "
                    f"learning rate than {lr:g}"
                )
            if stopping.is_best(line):
                save_model(model, str(out / BEST))
            if stopping.is_over():
                trainer.stop()
        if watch is not None:
            watch({**line, "steps": steps})

    trainer = Trainer(
        model,
        TaskObjective(),
        make_optimizers(model, lr, settings.layer_decay),
        Data(batches, held_out),
        plan,
        Record(out, {**asdict(settings), "lr": lr, "task": data.name, "seed": seed}, look),
    )
    trainer.resume()
    stopping.read(read_history(out))
    if not stopping.is_over() and not trainer.train() and not stopping.is_over():
        return None
    load_model(model, str(out / BEST))
    standard.fold(model)
    return model.cpu().eval()


@dataclass(frozen=True)
class Standard:
    """The units in which a regression is learned: a number less its mean, over its deviation.

    A head starts near 0 and moves by small steps: it would take thousands of them to reach 1900.
    """

    mean: float = 0.0
    deviation: float = 1.0

    @classmethod
    def of(cls, data: TaskData) -> Standard:
        """From the training rows of a regression; for anything else nothing changes."""
        if data.kind != "regression":
            return cls()
        numbers = np.array([row["label"] for row in data.train], dtype=float)
        return cls(float(numbers.mean()), float(numbers.std()) or 1.0)

    def rows(self, rows: Sequence[Row]) -> list[Row]:
        """Rows in these units."""
        if self == Standard():
            return list(rows)
        return [{**row, "label": (row["label"] - self.mean) / self.deviation} for row in rows]

    @torch.no_grad()
    def fold(self, model: BertWithHead) -> None:
        """Make the head give the number itself: its last matrix is linear, and so is this."""
        if self != Standard():
            model.classifier.weight.mul_(self.deviation)
            model.classifier.bias.mul_(self.deviation).add_(self.mean)


class EarlyStopping:
    """Keeps the step whose validation loss was lowest; it is over after `patience` worse ones."""

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.best = math.inf
        self.worse = 0

    def read(self, history: Sequence[dict[str, Any]]) -> None:
        """What a run that goes on has seen already."""
        for line in history:
            if "held_out" in line:
                self.is_best(line)

    def is_best(self, line: dict[str, Any]) -> bool:
        """Whether this evaluation is the best so far."""
        loss = line["held_out"]["loss"]
        better = loss < self.best
        self.best, self.worse = (loss, 0) if better else (self.best, self.worse + 1)
        return better

    def is_over(self) -> bool:
        """Whether too many evaluations have brought nothing."""
        return self.worse >= self.patience


# Answers


def kind_of(model: BertWithHead) -> str:
    """The kind of task that a model answers."""
    if isinstance(model, BertForSequenceClassification):
        return next(kind for kind, problem in PROBLEM_TYPE.items() if problem == model.problem_type)
    return next(kind for kind, head in HEADS.items() if type(model) is head)


@dataclass(frozen=True)
class Prediction:
    """An answer, in the form that `score` takes, and how sure the model is."""

    answer: Any
    probability: Any
    """Of the answer; for several labels, or for tags, one for each; None for a number."""


@torch.no_grad()
def predict(
    model: BertWithHead,
    tokenizer: BertTokenizer,
    rows: Sequence[Row],
    max_length: int = 128,
    bf16: bool = False,
) -> list[Prediction]:
    """The model's answer to each row. Labels in the rows are not looked at.

    `bf16` is faster where the processor multiplies bfloat16 matrices; now and then it changes an
    answer between two that are nearly as probable. It is not for numbers, of which bfloat16 keeps
    three digits: a regression is computed in float32 all the same.
    """
    kind = kind_of(model)
    bare = [{k: v for k, v in row.items() if k not in ("label", "tags", "answers")} for row in rows]
    max_length = min(max_length, model.config.max_position_embeddings)
    features = make_features(bare, kind, model.labels, tokenizer, max_length)
    outputs: list[Any] = [None] * len(features)
    bf16 = bf16 and kind != "regression"
    device = next(model.parameters()).device
    with evaluating(model), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for chosen, batch in batches_by_length(features, kind, tokenizer):
            out = model(**{name: tensor.to(device) for name, tensor in batch.items()})
            logits = (
                torch.stack([out.start_logits, out.end_logits], 1)  # (B, 2, T)
                if kind == "question-answering"
                else out.logits
            )
            for i, row in zip(chosen, logits, strict=True):
                outputs[i] = row.float().cpu()
    windows: list[list[tuple[Feature, Tensor]]] = [[] for _ in rows]
    for feature, output in zip(features, outputs, strict=True):
        windows[feature.row].append((feature, output))
    if kind == "tagging":
        return [_tags(of_row, model.labels) for of_row in windows]
    if kind == "question-answering":
        return [_span(row, of_row) for row, of_row in zip(rows, windows, strict=True)]
    return [_one(kind, of_row[0][1], model.labels) for of_row in windows]


def _one(kind: str, logits: Tensor, labels: tuple[str, ...]) -> Prediction:
    """From the logits (C,) of one row."""
    if kind == "regression":
        return Prediction(float(logits[0]), None)
    if kind == "multi-label":
        shares = dict(zip(labels, logits.sigmoid().tolist(), strict=True))
        given = {label: share for label, share in shares.items() if share > 0.5}
        return Prediction(list(given), list(given.values()))
    share, number = logits.softmax(-1).max(-1)
    answer = int(number) if kind == "multiple-choice" else labels[int(number)]
    return Prediction(answer, float(share))


def _tags(windows: list[tuple[Feature, Tensor]], labels: tuple[str, ...]) -> Prediction:
    """The tag of each word, from the logits (T, C) at its first piece."""
    shares = [logits[list(feature.places)].softmax(-1).max(-1) for feature, logits in windows]
    tags = [labels[number] for _, numbers in shares for number in numbers.tolist()]
    return Prediction(tags, [share for values, _ in shares for share in values.tolist()])


def _span(row: Row, windows: list[tuple[Feature, Tensor]]) -> Prediction:
    """The best span of all windows, or none where `[CLS]` is better in every one of them."""
    best, text = -math.inf, ""
    null = math.inf
    for feature, (start_logits, end_logits) in windows:
        T = len(feature.offsets)
        start_logits, end_logits = start_logits[:T], end_logits[:T]
        null = min(null, float(start_logits[0] + end_logits[0]))
        allowed = torch.tensor([offset is not None for offset in feature.offsets])  # (T,)
        if not allowed.any():
            continue
        start, end, sure = best_span(start_logits, end_logits, allowed, LONGEST_ANSWER)
        if sure > best:
            best = sure
            text = row["context"][feature.offsets[start][0] : feature.offsets[end][1]]
    share = 1 / (1 + math.exp(-abs(best - null)))  # of the two: the softmax of their sums
    return Prediction(text if best > null else "", share)


def evaluate(
    model: BertWithHead, tokenizer: BertTokenizer, rows: Sequence[Row], max_length: int = 128
) -> Scores:
    """Every measure of the model's kind of task, on these rows."""
    answers = [p.answer for p in predict(model, tokenizer, rows, max_length)]
    return score(kind_of(model), rows, answers)


# Several runs, beside the baselines


@dataclass(frozen=True)
class Result:
    """Test scores of every seed, and of the baselines."""

    task: str
    kind: str
    scores: dict[str, list[Scores]]
    """By name, `minibert` first: one for each seed; of a baseline one."""
    counts: dict[str, list[Counts]]
    """Of classes and tags, how often each was given where each was right; in the same order."""
    saved: int
    """Which of minibert's runs was saved: the one with the lowest validation loss."""

    @classmethod
    def read(cls, file: Path) -> Result:
        """From a `results.json`. Raises `ValueError` for another file."""
        try:
            return cls(**read_json(file))
        except TypeError:
            raise ValueError(f"{file} does not hold the results of minibert finetune") from None

    def table(self) -> str:
        """For each measure a line for each; and, of a few classes, how often which was taken."""
        runs = len(self.scores["minibert"])
        width = max(len(name) for name in self.scores) + 3
        lines = [over_seeds(runs)] if runs > 1 else []
        for measure in self.scores["minibert"][0]:
            lines.append(measure)
            for name, of_name in self.scores.items():
                cell = shown(measure, [run[measure] for run in of_name])
                lines.append(f"  {name:{width}}{cell}")
        counts = self.counts["minibert"][self.saved]
        if counts and len(labels := _all_labels(counts)) <= MOST_LABELS_SHOWN:
            lines += confusion(counts, labels)
        return "\n".join(lines)


MOST_LABELS_SHOWN = 6
LABEL_WIDTH = 11


def _all_labels(counts: Counts) -> list[str]:
    return sorted(set(counts).union(*counts.values()))


def confusion(counts: Counts, labels: Sequence[str]) -> list[str]:
    """A table in lines: what is right by row, what was given by column, F1 of each class."""
    cut = lambda label: f"{label[: LABEL_WIDTH - 1]:>{LABEL_WIDTH}}"
    lines = [
        "the saved model: right by row, given by column",
        f"{'':{LABEL_WIDTH}}" + "".join(map(cut, labels)),
    ]
    f1 = class_f1(counts)
    for label in labels:
        given = counts.get(label, {})
        cells = "".join(f"{given.get(other, 0):{LABEL_WIDTH}}" for other in labels)
        lines.append(cut(label) + cells + (f"   F1 {f1[label]:6.1%}" if label in f1 else ""))
    return lines


def over_seeds(runs: int) -> str:
    """What `shown` means by its numbers."""
    if runs == 2:
        return "minibert: mean of 2 seeds and, in brackets, both; two tell little of a third"
    return f"minibert: mean of {runs} seeds and its 95 % interval"


def shown(measure: str, values: Sequence[float]) -> str:
    """`84.1 ± 0.6 %`, the 95 % interval of the mean (Student's t); of one value itself.

    Of two it would be thirteen times as wide as they are apart: they are shown instead.
    """
    mean, half = interval(values)
    factor, digits, unit = 100.0, 1, " %"
    if measure.endswith("correlation"):
        factor, digits, unit = 1.0, 3, ""
    elif measure in LOWER_IS_BETTER:  # in the units of the task: three digits that count
        factor, digits, unit = 1.0, max(0, 2 - math.floor(math.log10(mean or 1))), ""
    cell = lambda value: f"{value * factor:.{digits}f}"
    if len(values) == 2:
        return f"{cell(mean)} ({cell(min(values))} to {cell(max(values))}){unit}"
    return cell(mean) + ("" if half is None else f" ± {cell(half)}") + unit


SETTINGS = "finetuning.json"
RESULTS = "results.json"
FILES = (RESULTS, "seed-*", "config.json", "model.safetensors", "vocab.txt")
FILES += ("tokenizer_config.json",)


def finetune(
    bert: BertModel,
    tokenizer: BertTokenizer,
    data: TaskData,
    out: str | Path,
    settings: Finetuning = Finetuning(),
    seeds: Sequence[int] = (0, 1, 2),
    resume: bool = False,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
    watch: Callable[[dict[str, Any]], None] | None = None,
) -> Result | None:
    """Fine-tune with each seed, score all on the test rows, and set the baselines beside them.

    The model whose validation loss is lowest is saved in `out`, a Hugging Face directory, with the
    scores of all in `results.json`. None says that a signal stopped it: `resume` goes on, and
    gives what there is of a call that was finished. `overwrite` begins anew in the folder of an
    earlier call. Raises `FileExistsError` for a folder with something in it otherwise, and
    `ValueError` for what cannot be resumed.
    """
    out = Path(out)
    settings = replace(settings, lr=settings.lr or default_rate(bert.config))
    with run_folder(out, resume, overwrite, SETTINGS, FILES):
        told = {
            "task": data.name,
            "rows": [len(data.train), len(data.validation), len(data.test)],
            "body": _digest(bert),
            "dropout": bert.config.hidden_dropout_prob,
            **asdict(settings),
            "seeds": list(seeds),
        }
        if resume:
            check_same(out, read_json(out / SETTINGS), told)
            if (out / RESULTS).exists():
                return Result.read(out / RESULTS)
        write_json(out / SETTINGS, told)
        clock = Clock(data, settings, say, watch)
        of_seeds: list[list[Any]] = []
        best: tuple[float, int, BertWithHead] | None = None
        for number, seed in enumerate(seeds):
            phase = f"Seed {number + 1} of {len(seeds)}"
            say(f"{phase}: training on {len(data.train):,} rows, learning rate {settings.lr:g}.")
            clock.seeds_left = len(seeds) - number
            model = train_head(bert, tokenizer, data, out / f"seed-{seed}", settings, seed, clock)
            if model is None:
                return None
            say(f"{phase}: scoring {len(data.test):,} test rows.")
            model.to(best_device())
            asked = predict(model, tokenizer, data.test, settings.max_length, has_bf16())
            model.cpu()
            of_seeds.append([prediction.answer for prediction in asked])
            loss = lowest_loss(out / f"seed-{seed}")
            if best is None or loss < best[0]:
                best = (loss, number, model)
        say("Fitting the baselines.")
        _, saved, model = best
        model.save_pretrained(out, tokenizer)
        result = _scored(data, of_seeds, saved)
        write_json(out / RESULTS, asdict(result))
        for seed in seeds:  # their history stays
            remove_files(out / f"seed-{seed}", ("checkpoints", BEST))
        return result


def _scored(data: TaskData, of_seeds: list[list[Any]], saved: int) -> Result:
    """The answers of each seed beside the baselines', with every measure of the task."""
    baselines = {name: [given] for name, given in baseline_answers(data).items()}
    answers = {"minibert": of_seeds, **baselines}

    def of_each(measure: Callable[[str, Sequence[Row], Any], Any]) -> dict[str, list[Any]]:
        return {
            name: [measure(data.kind, data.test, given) for given in runs]
            for name, runs in answers.items()
        }

    return Result(data.name, data.kind, of_each(score), of_each(class_counts), saved)


@dataclass
class Clock:
    """Says, once, how long the seeds that are left will take, from a run's first line of history.

    Steps go on as fast as they began. A row that is only read, for validation or the test, takes a
    third of the time of one that is trained on. Every line goes on to `watch`.
    """

    data: TaskData
    settings: Finetuning
    say: Callable[[str], None]
    watch: Callable[[dict[str, Any]], None] | None = None
    seeds_left: int = 1
    has_said: bool = False

    def __call__(self, line: dict[str, Any]) -> None:
        """A line of the history, with the number of `steps` of the run."""
        if not self.has_said:
            self.has_said = True
            with tqdm.external_write_mode():  # the bar makes room
                self.say(self.estimate(line))
        if self.watch is not None:
            self.watch(line)

    def estimate(self, line: dict[str, Any]) -> str:
        """`About 3 minutes for 3 seeds; --quick runs one.`"""
        training = line["seconds"] / line["step"] * line["steps"]
        trained = self.settings.epochs * len(self.data.train)
        read = self.settings.epochs * len(validation_sample(self.data)) + len(self.data.test)
        share = 1.0 if self.settings.frozen else FORWARD_SHARE
        seconds = self.seeds_left * training * (1 + share * read / trained)
        several = f"for {self.seeds_left} seeds; --quick runs one."
        return f"About {duration(seconds)} {several if self.seeds_left > 1 else 'in all.'}"


def duration(seconds: float) -> str:
    """`40 seconds`, `3 minutes`, `2.5 hours`: as exact as an estimate is."""
    if seconds < 90:
        return f"{max(10, 10 * round(seconds / 10))} seconds"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} minutes"
    return f"{seconds / 3600:.1f} hours"


def lowest_loss(out: Path) -> float:
    """The validation loss of a run where it was best."""
    return min(line["held_out"]["loss"] for line in read_history(out) if "held_out" in line)


def _digest(bert: BertModel) -> str:
    """Tells two sets of weights apart."""
    digest = hashlib.sha256()
    for value in bert.state_dict().values():
        digest.update(value.cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def load_finetuned(name_or_path: str | Path) -> tuple[BertWithHead, BertTokenizer]:
    """A model with the head that its folder says, in eval mode, and its tokenizer.

    Raises `FileNotFoundError` where there is none, and `ValueError` for one without such a head.
    """
    directory = find_directory(name_or_path)
    names = read_json(directory / "config.json").get("architectures") or [""]
    kinds = {kind.__name__: kind for kind in HEADS.values()}
    if names[0] not in kinds:
        raise ValueError(
            f"{name_or_path} is a {names[0] or 'model of no known kind'}, without a head that "
            "answers: fine-tune it first (minibert finetune)"
        )
    model = kinds[names[0]].from_pretrained(directory)
    return model, BertTokenizer.from_pretrained(directory)


def longest(name_or_path: str | Path) -> int:
    """The `max_length` that a model was fine-tuned with, or what it holds where nothing tells."""
    file = find_directory(name_or_path) / SETTINGS
    return read_json(file).get("max_length", sys.maxsize) if file.exists() else sys.maxsize
