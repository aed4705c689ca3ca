"""The likeliest tokens for each `[MASK]` in a text."""

from __future__ import annotations

import torch

from minibert.model import evaluating
from minibert.modernbert.model import MaskedLM
from minibert.tokenizer import MASK, BertTokenizer


@torch.no_grad()
def fill_mask(
    model: MaskedLM, tokenizer: BertTokenizer, text: str, top_k: int = 5
) -> list[list[tuple[str, float]]]:
    """For each `[MASK]` in the text, the `top_k` likeliest tokens with their probabilities.

    Each mask is filled while the others are still masked. Raises `ValueError` if there is no mask.
    """
    inputs = tokenizer([text], return_tensors="pt")
    masked = inputs["input_ids"] == tokenizer.vocab[MASK]  # (1, T)
    if not masked.any():
        raise ValueError(f"there is no {MASK} in the text: put one where a word is to be guessed")
    with evaluating(model):
        states = model.bert(**inputs).last_hidden_state[masked]  # (M, D)
        logits = model.mlm_head(states)  # (M, V)
    # A model may have more rows than its tokenizer has tokens: V is often rounded up.
    probabilities = logits.softmax(-1)[:, : tokenizer.vocab_size]
    probabilities, ids = probabilities.topk(min(top_k, probabilities.shape[-1]))
    return [
        list(zip(tokenizer.convert_ids_to_tokens(row), p.tolist(), strict=True))
        for row, p in zip(ids.tolist(), probabilities, strict=True)
    ]
