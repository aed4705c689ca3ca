"""Which attention weights speak for an answer, measured by gradients."""

from __future__ import annotations

import numpy as np
import torch

from minibert.analysis.ablation import encode_question, log_probability
from minibert.model import BertForPreTraining, evaluating
from minibert.tokenizer import BertTokenizer


def gradient_x_attention(
    model: BertForPreTraining, tokenizer: BertTokenizer, text: str, answer: str
) -> np.ndarray:
    """Each attention weight times the gradient of log p(`answer`) at the `[MASK]`: (L, H, T, T).

    In nats. To first order, this is what log p would lose if the weight were 0, including the
    effects in later layers, while the rest of its row stays the same. A weight above 0
    speaks for the answer, and a weight below 0 for something else. It is gradient times input
    (Shrikumar et al., 2016), applied to attention. Grad-SAM (Barkan et al., 2021) keeps only the
    gradients above 0, so it cannot show what speaks against the answer. Raises `ValueError` as
    `ablate_log_probability` does.
    """
    inputs, place, answer_id = encode_question(model, tokenizer, text, answer)
    with evaluating(model), torch.enable_grad():
        out = model(**inputs, output_attentions=True)
        result = log_probability(out.prediction_logits, place, answer_id)
        gradients = torch.autograd.grad(result, out.attentions)  # L of (1, H, T, T)
    products = [a.detach() * g for a, g in zip(out.attentions, gradients, strict=True)]
    return torch.cat(products).double().cpu().numpy()
