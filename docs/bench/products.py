"""A step of ours against the best that the processor does: how near it is to one large product."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

import torch
from contenders import LR, PLACES, Setting
from harness import alternate, once, precision, table
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from minibert.model import BertForPreTraining
from minibert.optim import adam
from minibert.trainer import keep_freed_memory

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
