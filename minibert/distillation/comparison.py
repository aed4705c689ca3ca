"""Teacher, student and counting, side by side: size, speed, and masked tokens predicted."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from minibert.data.batches import Batch
from minibert.distillation.run import TEACHER
from minibert.files import write_json
from minibert.model import IGNORE_INDEX, BertForPreTraining, evaluating
from minibert.pretraining.counting_baselines import CountBaselines
from minibert.pretraining.run_data import open_data
from minibert.training.run_folder import DATA
from minibert.training.trainer import Numbers

REPORT = "distillation.json"


def before_and_after(out: str | Path) -> dict[str, Numbers]:
    """Teacher, student and counting, on the text that the run in `out` held out.

    Also written to `out/distillation.json`. Empty if nothing was held out.
    """
    out = Path(out)
    data = open_data(out, say=lambda _: None)
    batches = data.held_out_batches()
    if not batches:
        return {}
    folders = {"teacher": out / DATA / TEACHER, "student": out}
    models = {name: BertForPreTraining.from_pretrained(f) for name, f in folders.items()}
    counted = CountBaselines(data.training.shard(0).tokens, data.tokenizer.vocab_size)
    result = compare(models, batches)
    for name, accuracy in counted.accuracy(batches).items():
        result[name] = {"mlm_accuracy": accuracy}
    write_json(out / REPORT, result)
    return result


def compare(
    models: Mapping[str, BertForPreTraining], batches: Sequence[Batch], rounds: int = 9
) -> dict[str, Numbers]:
    """For each model its size, its speed here, and the share of masked tokens that it predicts.

    `megabytes` are its weights in fp32. `tokens_per_second` are without a gradient, for one
    sequence at a time and for 32 together. The models take turns, so that other work on the machine
    slows all of them, and the median of `rounds` counts.
    """
    seconds: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds + 1):
        for size in (1, 32):
            ids = batches[0]["input_ids"][:size]
            for name, model in models.items():
                with torch.inference_mode(), evaluating(model):
                    begun = time.perf_counter()
                    model.bert(ids)
                    taken = time.perf_counter() - begun
                seconds.setdefault((name, size), []).append(taken / ids.numel())
    found = {}
    for name, model in models.items():
        weights = sum(parameter.numel() for parameter in model.parameters())  # tied: once
        tokens = model.bert.embeddings.word_embeddings.weight.numel()
        found[name] = {
            "weights": weights,
            "weights_without_tokens": weights - tokens,
            "megabytes": weights * 4 / 1e6,
            # the first round is a warm-up
            "tokens_per_second_1": 1 / statistics.median(seconds[name, 1][1:]),
            "tokens_per_second_32": 1 / statistics.median(seconds[name, 32][1:]),
            "mlm_accuracy": mlm_accuracy(model, batches),
        }
    return found


@torch.no_grad()
def mlm_accuracy(model: BertForPreTraining, batches: Sequence[Batch]) -> float:
    """The share of the batches' masked tokens that the model predicts."""
    with evaluating(model):
        right = sum(int(model(**batch).mlm_correct) for batch in batches)
    return right / max(1, sum(int((b["labels"] != IGNORE_INDEX).sum()) for b in batches))
