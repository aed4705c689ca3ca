"""A step of ours against the best that the processor does: how near it is to one large product."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import torch
from contenders import LR, PLACES, Setting
from harness import alternate, once, precision, table, told
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from minibert.model import BertModel
from minibert.training.fast import FastBertForPreTraining
from minibert.training.hardware import keep_freed_memory
from minibert.training.optimizers import adam

PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "linear", "scaled_dot_product", "mkldnn")
KINDS: dict[str, tuple[str, ...]] = {
    "products of matrices, attention": PRODUCTS,
    "dropout": ("native_dropout", "bernoulli", "fused_dropout"),
    "GELU, tanh": ("gelu", "tanh"),
    "LayerNorm": ("native_layer_norm",),
    "softmax, cross-entropy": ("softmax", "log_softmax", "nll_loss", "cross_entropy", "logsumexp"),
    "optimiser, clipping": ("fused_adam", "foreach", "linalg_vector_norm"),
}
"""What the names of torch's operators begin with."""
THE_REST = "number by number, copies, look-ups"


def our_step(setting: Setting) -> Callable[[], None]:
    """A step of ours, again and again on the same batch."""
    model = FastBertForPreTraining(setting.config)
    optimizer = adam(model.parameters(), LR)
    batch = setting.batches(0)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=setting.bf16):
            loss = model(**batch).loss
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def shares(work: Callable[[], None]) -> dict[str, float]:
    """Of the time of something, by the operator that it was spent in; one call warms up."""
    work()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(3):
            work()
    events = profiled.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    return {event.key: event.self_cpu_time_total / total for event in events}


def kind_of(operator: str) -> str:
    """Which of `KINDS` an operator is of."""
    name = operator.removeprefix("aten::").lstrip("_")
    return next((kind for kind, names in KINDS.items() if name.startswith(names)), THE_REST)


def measure_products() -> Iterator[dict[str, Any]]:
    """Of our step: its share of time in products, and how near it is to the processor's best."""
    keep_freed_memory()
    for shape, bf16 in product(PLACES, (False, True)):
        step = our_step(Setting(shape, 128, bf16))
        with FlopCounterMode(display=False) as counter:
            step()
        in_products = sum(
            share for name, share in shares(step).items() if kind_of(name) == next(iter(KINDS))
        )
        seconds = alternate({"step": once(step)}, 2)["step"]
        best = best_product(torch.bfloat16 if bf16 else torch.float32)
        speed = counter.get_total_flops() / statistics.median(seconds)
        yield {
            "shape": shape,
            "bf16": bf16,
            "share in products": in_products,
            "flops of a step": counter.get_total_flops(),
            "flops a second": speed,
            "best flops a second": best,
        }


def measure_profile() -> Iterator[dict[str, Any]]:
    """Where the time goes, at mini shape: of a step, and of the states of a batch."""
    keep_freed_memory()
    for bf16 in (False, True):
        setting = Setting("mini", 128, bf16)
        body = BertModel(setting.config).eval()
        ids = setting.batches(0)["input_ids"]

        def states(body: BertModel = body, ids: Tensor = ids, bf16: bool = bf16) -> None:
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                body(ids)

        for what, work in (("a step", our_step(setting)), ("states", states)):
            found = dict.fromkeys((*KINDS, THE_REST), 0.0)
            for name, share in shares(work).items():
                found[kind_of(name)] += share
            seconds = alternate({what: once(work)}, 2)[what]
            yield told({what: seconds}, what=what, bf16=bf16, shares=found)


def profile_table(lines: list[dict[str, Any]]) -> str:
    """A row for each kind of operator: milliseconds."""
    rows = []
    whole = [1e3 * statistics.median(line["seconds"][line["what"]]) for line in lines]
    for kind in lines[0]["shares"]:
        parts = [line["shares"][kind] for line in lines]
        rows.append((kind, *(f"{p * w:.0f} ({p:.0%})" for p, w in zip(parts, whole, strict=True))))
    rows.append(("together", *(f"{milliseconds:.0f}" for milliseconds in whole)))
    return table(("ms", *(f"{line['what']}, {precision(line)}" for line in lines)), rows)


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
