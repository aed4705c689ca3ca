"""What a machine can do, as torch is told to use it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CPUINFO = Path("/proc/cpuinfo")
ATTEND = """
import torch
from minibert.training.hardware import has_bf16
x = torch.randn(1, 2, 64, 64)
with torch.autocast("cpu", torch.bfloat16, enabled=has_bf16()):
    torch.nn.functional.scaled_dot_product_attention(x, x, x)
print(has_bf16())
"""


def answer(**level: str) -> str:
    """What `has_bf16` says in a new process without a GPU, where attention must work as well."""
    environment = {n: v for n, v in os.environ.items() if n != "ATEN_CPU_CAPABILITY"}
    environment |= {"CUDA_VISIBLE_DEVICES": "", **level}
    run = [sys.executable, "-c", ATTEND]
    done = subprocess.run(run, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("level", ["avx2", "default"])
def test_what_it_may_not_use_it_does_not_have(level):
    assert answer(ATEN_CPU_CAPABILITY=level) == "False"


@pytest.mark.skipif(not CPUINFO.exists(), reason="only Linux says what a processor can do")
def test_what_the_processor_says_it_has():
    flags = CPUINFO.read_text("utf-8").split()
    assert answer() == str("avx512_bf16" in flags or "amx_bf16" in flags)
