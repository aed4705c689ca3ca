"""Weights as bytes for a page: one byte for most numbers, and a scale for each row of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

LARGEST = 127
"""The largest whole number of a quantised weight, for the largest weight of its row."""


def pack(model: nn.Module, exact: bool = False) -> tuple[dict[str, dict[str, Any]], bytes]:
    """The model's weights: a table of their places, and the bytes that `weights.js` unpacks.

    The table has for each name its `kind`, its `shape` and where it begins, `at`. The layers'
    matrices, the token table and the pooler, which are nearly all of a BERT, are `int8`: the scales
    of all rows in float32, then the rows. The other matrices are `float16`: in the MLM head alone,
    `int8` would change as many guesses as in all layers together. With `exact` all matrices are
    `float16`. Biases and LayerNorms are `float32`. A matrix that two modules share is there once,
    under its first name.
    """
    table: dict[str, dict[str, Any]] = {}
    packed = bytearray()
    seen: set[int] = set()
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() in seen:
            continue
        seen.add(tensor.data_ptr())
        kind = _kind(name, tensor, exact)
        packed += bytes(-len(packed) % 4)  # each begins where a float32 may
        table[name] = {"kind": kind, "shape": list(tensor.shape), "at": len(packed)}
        packed += _bytes(tensor.float(), kind)
    return table, bytes(packed)


def _kind(name: str, tensor: Tensor, exact: bool) -> str:
    if tensor.dim() < 2:
        return "float32"
    is_large = name.endswith(("word_embeddings.weight", "pooler.weight"))
    is_large = is_large or "encoder.layers." in name
    return "int8" if is_large and not exact else "float16"


def _bytes(tensor: Tensor, kind: str) -> bytes:
    if kind == "int8":
        scales, whole = quantise(tensor)
        return _little(scales, "<f4") + whole.numpy().tobytes()
    return _little(tensor, "<f4" if kind == "float32" else "<f2")


def _little(tensor: Tensor, dtype: str) -> bytes:
    return tensor.numpy().astype(np.dtype(dtype)).tobytes()


def quantise(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix (O, I) -> scales (O,) and whole numbers (O, I) in int8, whose product is near it."""
    scales = matrix.abs().amax(1) / LARGEST  # (O,)
    scales = scales.where(scales > 0, 1.0)  # a row of zeros
    return scales, (matrix / scales[:, None]).round().to(torch.int8)
