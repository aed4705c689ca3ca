"""What a machine can do, as torch is told to use it."""

import os
import subprocess
import sys

import pytest
import torch

from minibert.training.hardware import has_bf16

ATTEND = """
import torch
from minibert.training.hardware import has_bf16
x = torch.randn(1, 2, 64, 64)
with torch.autocast("cpu", torch.bfloat16, enabled=has_bf16()):
    torch.nn.functional.scaled_dot_product_attention(x, x, x)
print(has_bf16())
"""


@pytest.mark.parametrize("level", ["avx2", "default"])
def test_what_it_may_not_use_it_does_not_have(level):
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": level}
    run = [sys.executable, "-c", ATTEND]
    done = subprocess.run(run, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


@pytest.mark.skipif(not os.path.exists("/proc/cpuinfo"), reason="Linux says what a processor can")
def test_what_the_processor_says_it_has():
    if torch.cuda.is_available() or "ATEN_CPU_CAPABILITY" in os.environ:
        pytest.skip("torch uses something else than the whole processor")
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        flags = file.read().split()
    assert has_bf16() == ("avx512_bf16" in flags or "amx_bf16" in flags)
