"""The weights that a page holds, read from its bytes without its JavaScript."""

import math

import numpy as np
import torch

from minibert.viz.page.pack import pack


def rounded(model):
    """The model's state, with each weight as it is in a page."""
    table, content = pack(model)
    state = {}
    for name, where in table.items():
        shape, at = where["shape"], where["at"]
        size = math.prod(shape)
        if where["kind"] == "int8":
            scales = np.frombuffer(content, "<f4", shape[0], at)
            whole = np.frombuffer(content, "i1", size, at + 4 * shape[0]).reshape(shape)
            values = scales[:, None] * whole
        else:
            dtype = {"float32": "<f4", "float16": "<f2"}[where["kind"]]
            values = np.frombuffer(content, dtype, size, at).reshape(shape).astype("f4")
        state[name] = torch.from_numpy(values.copy())
    if "mlm_head.norm.weight" in state:  # the decoder is the token table
        state["mlm_head.decoder.weight"] = state["bert.embeddings.word_embeddings.weight"]
    return state
