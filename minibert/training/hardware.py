"""What this machine computes with: its device, bfloat16, and the memory of large tensors."""

from __future__ import annotations

import ctypes
import sys

import torch

# Options of glibc's `mallopt`, from malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
LARGEST_MMAP_THRESHOLD = 32 << 20  # where glibc's own adjustment ends; it trims at twice as much
DEFAULT_MMAP_MAX = 65_536


def best_device() -> torch.device:
    """A GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_bf16() -> bool:
    """Whether this machine multiplies bfloat16 matrices in hardware. Without that they are slow.

    A processor that can, but whose torch is held back by `ATEN_CPU_CAPABILITY`, counts as one that
    cannot: torch's attention would refuse such matrices.
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    if torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2"):
        return False
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def keep_freed_memory() -> None:
    """Let the whole process keep freed memory, which Linux's C library returns to the kernel.

    A training step frees tensors as large as those that the next step needs. If their pages were
    returned, the kernel would have to zero and hand out each of them again. `Trainer.train` calls
    this at its start and `return_freed_memory` at its end. Other systems need neither.
    """
    if libc := _glibc():
        libc.mallopt(M_MMAP_MAX, 0)  # pages of a tensor's own would be returned with it
        libc.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)


def return_freed_memory() -> None:
    """Undo `keep_freed_memory`, and return what is free now.

    The thresholds are those that glibc itself arrives at after it has freed a large tensor.
    """
    if libc := _glibc():
        libc.mallopt(M_MMAP_MAX, DEFAULT_MMAP_MAX)
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
        libc.mallopt(M_TRIM_THRESHOLD, 2 * LARGEST_MMAP_THRESHOLD)
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """The C library of this process if it has these options; musl, for one, does not."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
