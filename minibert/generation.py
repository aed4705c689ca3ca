"""Writing with a bidirectional model: filling in what is masked."""

from __future__ import annotations

import torch

from minibert.model import BertForPreTraining, evaluating
from minibert.tokenizer import MASK, BertTokenizer


@torch.no_grad()
def fill_mask(
    model: BertForPreTraining, tokenizer: BertTokenizer, text: str, top_k: int = 5
) -> list[list[tuple[str, float]]]:
    """For each `[MASK]` in the text, the `top_k` likeliest tokens with their probabilities.

    Every mask is filled with the others still masked. Raises `ValueError` where there is none.
    """
    inputs = tokenizer([text], return_tensors="pt")
    masked = inputs["input_ids"] == tokenizer.vocab[MASK]  # (1, T)
    if not masked.any():
        raise ValueError(f"there is no {MASK} in the text: put one where a word is to be guessed")
    with evaluating(model):
        logits = model(**inputs).prediction_logits[masked]  # (M, V)
    # A model may have more rows than its tokenizer has tokens: V is often rounded up.
    probabilities = logits.softmax(-1)[:, : tokenizer.vocab_size]
    probabilities, ids = probabilities.topk(min(top_k, probabilities.shape[-1]))
    return [
        list(zip(tokenizer.convert_ids_to_tokens(row), p.tolist(), strict=True))
        for row, p in zip(ids.tolist(), probabilities, strict=True)
    ]
