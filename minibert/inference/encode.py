"""One text as the ids that a model reads."""

from __future__ import annotations

import torch
from torch import Tensor

from minibert.modernbert.model import MaskedLM
from minibert.tokenizer import CLS, PAD, SEP, BertTokenizer


def encode_text(model: MaskedLM, tokenizer: BertTokenizer, text: str) -> Tensor:
    """The ids of one text (T,), on the model's device.

    Raises `ValueError` for a text that is empty, longer than the model can read, or contains a
    special token other than `[MASK]` and `[UNK]`.
    """
    tokens = tokenizer.tokenize(text)
    room = model.config.max_position_embeddings - 2
    if not tokens:
        raise ValueError("the text is empty: give at least one word")
    if stray := [token for token in (PAD, CLS, SEP) if token in tokens]:
        raise ValueError(f"there is a {stray[0]} in the text: take it out, and give one text alone")
    if len(tokens) > room:
        raise ValueError(f"the text is {len(tokens)} tokens long and {room} fit: shorten it")
    device = next(model.parameters()).device
    return torch.tensor(tokenizer(text)["input_ids"], device=device)
