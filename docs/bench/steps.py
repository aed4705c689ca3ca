"""A step of pretraining, by ours and by what one would otherwise use."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from ctypes.util import find_library
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from harness import Timed, alternate, once, over_ours, precision, table, times, told
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from minibert.config import BertConfig
from minibert.corpus import load_corpus
from minibert.model import IGNORE_INDEX, BertForPreTraining, LinearCrossEntropy
from minibert.optim import adam
from minibert.pretraining import PretrainingObjective, Run, prepare_data
from minibert.pretraining_data import Batch, Masking, PairBatches, TokenizedCorpus
from minibert.tokenizer import BertTokenizer
from minibert.trainer import Plan, Trainer, keep_freed_memory

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "runs" / "bench"
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
    model = BertForPreTraining(setting.config)
    optimizers = [adam(model.parameters(), LR)]

    def run(steps: int) -> float:
        clock: list[float] = []
        with tempfile.TemporaryDirectory() as out, open(os.devnull, "w") as nowhere:
            plan = Plan(steps + 1, bf16=setting.bf16, evaluate_every=None, save_every=None)
            trainer = Trainer(
                model,
                PretrainingObjective(),
                optimizers,
                lambda done: 1.0,
                lambda step: [setting.batches(step)],
                plan,
                Path(out),
                after_step=lambda step: clock.append(time.perf_counter()),
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
    loss_only: bool = True,
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
    model = BertForPreTraining(config).train()
    model.bert.embeddings.word_embeddings.sparse = sparse
    optimizer = adam(model.parameters(), LR)
    for group in optimizer.param_groups:
        group["fused"] = fused
    forward = torch.compile(model, dynamic=True) if compiled else model

    def loss_of(batch: Batch) -> Tensor:
        if not every_logit:
            return forward(**batch, loss_only=loss_only).loss
        labels, is_random = batch["labels"], batch["next_sentence_label"]
        out = forward(**{name: batch[name] for name in MODEL_INPUTS})
        masked = F.cross_entropy(out.prediction_logits.flatten(0, 1).float(), labels.flatten())
        return masked + F.cross_entropy(out.seq_relationship_logits.float(), is_random)

    return bare(setting, model, optimizer, loss_of)


MODEL_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
TRIED: dict[str, dict[str, Any]] = {
    "as it is": {},
    "the last layer everywhere": {"loss_only": False},
    "that, and logits everywhere": {"loss_only": False, "every_logit": True},
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


def preload(library: str) -> dict[str, str]:
    """The environment of a process that allocates with another library, where there is one."""
    found = find_library(library)
    if found is None:
        return {}
    return {"LD_PRELOAD": found}


ENVIRONMENTS = {
    "jemalloc instead": preload("jemalloc"),
    "tcmalloc instead": preload("tcmalloc_minimal"),
}
CONTENDERS: dict[str, dict[str, Callable[[Setting], Timed]]] = {
    "step": STEP_CONTENDERS,
    "tried": {
        name: lambda setting, options=options: our_loop(setting, **options)
        for name, options in TRIED.items()
        if ENVIRONMENTS.get(name) != {}
    },
}


class OwnProcess:
    """A contender in a process of its own: nothing that one does to its process helps another."""

    def __init__(self, setting: Setting, group: str, name: str) -> None:
        arguments = [setting.shape, str(setting.length), str(int(setting.bf16)), group, name]
        self.process = subprocess.Popen(
            [sys.executable, str(HERE), "contend", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **ENVIRONMENTS.get(name, {})},
            text=True,
        )

    def __call__(self, steps: int) -> float:
        """Its turn, while the others wait."""
        print(steps, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def close(self) -> None:
        """It ends when there are no more turns."""
        self.process.communicate()


def contend(shape: str, length: str, bf16: str, group: str, name: str) -> None:
    """The other side of `OwnProcess`: a number of steps a line, the seconds of one in return."""
    answers, sys.stdout = sys.stdout, sys.stderr  # a `Trainer` prints
    run = CONTENDERS[group][name](Setting(shape, int(length), bool(int(bf16))))
    for line in sys.stdin:
        print(run(int(line)), file=answers, flush=True)


def own_processes(setting: Setting, group: str, steps: int) -> dict[str, list[float]]:
    """Seconds of a step of each contender of a group, which take turns."""
    contenders = {name: OwnProcess(setting, group, name) for name in CONTENDERS[group]}
    seconds = alternate(contenders, steps)
    for contender in contenders.values():
        contender.close()
    return seconds


def measure_step() -> Iterator[dict[str, Any]]:
    """A step of pretraining, MLM and NSP, of every shape, length and precision."""
    for shape, length, bf16 in product(PLACES, LENGTHS, (False, True)):
        setting = Setting(shape, length, bf16)
        seconds = own_processes(setting, "step", steps=2)
        real = statistics.mean(int(setting.batches(n)["attention_mask"].sum()) for n in range(3))
        yield told(seconds, shape=shape, length=length, bf16=bf16, tokens=real)


def step_table(lines: list[dict[str, Any]]) -> str:
    """A row for each setting: our tokens a second, and how many times longer the others take."""
    rows = []
    for line in lines:
        ratios = over_ours(line["seconds"])
        ours = line["tokens"] / statistics.median(line["seconds"]["minibert"])
        others = [times(ratio) for ratio in list(ratios.values())[1:]]
        rows.append((line["shape"], str(line["length"]), precision(line), f"{ours:,.0f}", *others))
    others = [f"{name}: times as long" for name in list(STEP_CONTENDERS)[1:]]
    return table(("shape", "T", "precision", "minibert: tokens/s", *others), rows)


def measure_tried() -> Iterator[dict[str, Any]]:
    """A step with one thing changed, over a step as it is."""
    for shape, length, bf16 in (("tiny", 64, True), ("mini", 128, False), ("mini", 128, True)):
        seconds = own_processes(Setting(shape, length, bf16), "tried", steps=3)
        yield told(seconds, shape=shape, length=length, bf16=bf16)


def tried_table(lines: list[dict[str, Any]]) -> str:
    """A row for each thing changed, a column for each setting."""
    header = [f"{line['shape']}, {line['length']}, {precision(line)}" for line in lines]
    ratios = [over_ours(line["seconds"]) for line in lines]
    rows = [(name, *(times(ratio[name]) for ratio in ratios)) for name in list(ratios[0])[1:]]
    return table(("a step with", *header), rows)


def measure_memory() -> Iterator[dict[str, Any]]:
    """The most memory that a process had, which took three steps."""
    for shape, length in (("mini", 128), ("base", 128)):
        peaks = {}
        for name in STEP_CONTENDERS:
            command = [sys.executable, str(HERE), "peak", shape, str(length), name]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            peaks[name] = int(output.splitlines()[-1])
        yield {"shape": shape, "length": length, "bytes": peaks}


def print_peak(shape: str, length: str, name: str) -> None:
    """A process that `measure_memory` starts, on Linux."""
    STEP_CONTENDERS[name](Setting(shape, int(length), False))(2)
    status = Path("/proc/self/status").read_text("utf-8")
    (peak,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    print(int(peak.split()[1]) * 1024)


def memory_table(lines: list[dict[str, Any]]) -> str:
    """A row for each shape."""
    rows = [
        (line["shape"], str(line["length"]), *(f"{b / 1e9:.2f} GB" for b in line["bytes"].values()))
        for line in lines
    ]
    return table(("shape", "T", *STEP_CONTENDERS), rows)


PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "linear", "scaled_dot_product", "mkldnn")


def measure_products() -> Iterator[dict[str, Any]]:
    """Of our step: its share of time in products, and how near it is to the processor's best."""
    keep_freed_memory()
    for shape in PLACES:
        for bf16 in (False, True):
            setting = Setting(shape, 128, bf16)
            model = BertForPreTraining(setting.config)
            optimizer = adam(model.parameters(), LR)
            batch = setting.batches(0)

            def step(model=model, optimizer=optimizer, batch=batch, bf16=bf16) -> None:
                with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                    loss = model(**batch, loss_only=True).loss
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()

            with FlopCounterMode(display=False) as counter:
                step()
            step()
            with profile(activities=[ProfilerActivity.CPU]) as profiled:
                for _ in range(3):
                    step()
            events = profiled.key_averages()
            total = sum(event.self_cpu_time_total for event in events)
            in_products = sum(
                event.self_cpu_time_total
                for event in events
                if any(event.key.removeprefix("aten::").lstrip("_").startswith(p) for p in PRODUCTS)
            )
            seconds = alternate({"step": once(step)}, 2)["step"]
            best = best_product(torch.bfloat16 if bf16 else torch.float32)
            speed = counter.get_total_flops() / statistics.median(seconds)
            yield {
                "shape": shape,
                "bf16": bf16,
                "share in products": in_products / total,
                "flops of a step": counter.get_total_flops(),
                "flops a second": speed,
                "best flops a second": best,
            }


def best_product(dtype: torch.dtype, size: int = 2048) -> float:
    """Operations a second of a large product, the best of ten."""
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    run = once(lambda: a @ b)
    return 2 * size**3 / min(run(1) for _ in range(10))


def products_table(lines: list[dict[str, Any]]) -> str:
    """A row for each shape and precision."""
    rows = [
        (
            line["shape"],
            precision(line),
            f"{line['share in products']:.0%}",
            f"{line['flops a second'] / 1e9:.0f}",
            f"{line['best flops a second'] / 1e9:.0f}",
            f"{line['flops a second'] / line['best flops a second']:.0%}",
        )
        for line in lines
    ]
    header = (
        "shape",
        "precision",
        "time in products",
        "GFLOP/s of a step",
        "of one large product",
        "share",
    )
    return table(header, rows)
