"""One vector for a sentence, from its tokens' vectors (Reimers and Gurevych, 2019), and its export.

`sentence-transformers` computes the same vectors from the folder that is written here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from minibert.attention import mean_of_real_tokens
from minibert.files import new_folder, write_json, write_text
from minibert.model import evaluating
from minibert.modernbert.weights import PretrainedModernBert
from minibert.tokenizer import CLS, PAD, SEP, BertTokenizer
from minibert.weights import PretrainedModel

SENTENCE_POOLINGS = ("mean", "cls")
"""The mean over all real tokens, `[CLS]` and `[SEP]` included; the state of `[CLS]` without the
pooler."""
BATCH_SIZE = 32


@torch.no_grad()
def sentence_vectors(
    model: PretrainedModel | PretrainedModernBert,
    tokenizer: BertTokenizer,
    texts: Sequence[str],
    pooling: str = "mean",
    normalize: bool = False,
    max_length: int | None = None,
) -> np.ndarray:
    """Texts -> vectors (N, D), float32, from the last states of a text's tokens.

    `pooling` is one of `SENTENCE_POOLINGS`. `normalize` gives each vector length 1, so that a dot
    product is a cosine. A text is cut to `max_length` tokens, `[CLS]` and `[SEP]` included; None
    means the number of the model's positions. Texts of similar length share a batch. Raises
    `ValueError` for an unknown pooling, a single string, or a length that the model cannot read.
    """
    _check_pooling(pooling)
    if isinstance(texts, str):
        raise ValueError("texts must be a list of texts, not one string")
    longest = _checked_length(model, max_length)
    cls, sep, pad = (tokenizer.vocab[token] for token in (CLS, SEP, PAD))
    rows = [[cls, *ids[: longest - 2], sep] for ids in tokenizer.encode_batch(texts)]
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
    device = next(model.parameters()).device
    vectors = np.empty((len(rows), model.config.hidden_size), dtype=np.float32)
    with evaluating(model):
        for start in range(0, len(order), BATCH_SIZE):
            places = order[start : start + BATCH_SIZE]
            width = len(rows[places[-1]])
            ids = torch.tensor([rows[p] + [pad] * (width - len(rows[p])) for p in places])  # (B, T)
            lengths = torch.tensor([len(rows[p]) for p in places])  # (B,)
            # Not by id: a text may contain [PAD].
            mask = (torch.arange(width) < lengths[:, None]).long().to(device)  # (B, T)
            states = model.body(ids.to(device), mask).last_hidden_state.float()  # (B, T, D)
            pooled = states[:, 0] if pooling == "cls" else mean_of_real_tokens(states, mask)
            if normalize:
                pooled = torch.nn.functional.normalize(pooled, dim=-1)
            vectors[places] = pooled.cpu().numpy()
    return vectors


def export_sentence_transformer(
    model: PretrainedModel,
    tokenizer: BertTokenizer,
    out: str | Path,
    pooling: str = "mean",
    normalize: bool = False,
    max_length: int | None = None,
) -> None:
    """Write a folder from which `SentenceTransformer(out).encode` computes `sentence_vectors`.

    It holds the body without heads, in files that every version of sentence-transformers since 2
    can read. Raises `FileExistsError` for a folder that is not empty, and `ValueError` as
    `sentence_vectors` does.
    """
    _check_pooling(pooling)
    longest = _checked_length(model, max_length)
    out = new_folder(out)
    model.body.save_pretrained(out, tokenizer)
    steps = [("Transformer", ""), ("Pooling", "1_Pooling")]
    if normalize:
        steps.append(("Normalize", "2_Normalize"))
    for _, folder in steps[1:]:
        (out / folder).mkdir()
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(steps)
    ]
    how = {
        "word_embedding_dimension": model.config.hidden_size,
        "pooling_mode_cls_token": pooling == "cls",
        "pooling_mode_mean_tokens": pooling == "mean",
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }
    write_json(out / "1_Pooling" / "config.json", how)
    limits = {"max_seq_length": longest, "do_lower_case": False}
    write_json(out / "sentence_bert_config.json", limits)
    write_text(out / "modules.json", json.dumps(modules, indent=2) + "\n")


def _check_pooling(pooling: str) -> None:
    if pooling not in SENTENCE_POOLINGS:
        raise ValueError(f"pooling must be one of {', '.join(SENTENCE_POOLINGS)}, not {pooling!r}")


def _checked_length(model: PretrainedModel | PretrainedModernBert, max_length: int | None) -> int:
    """The number of tokens that a text is cut to."""
    positions = model.config.max_position_embeddings
    if max_length is not None and not 2 <= max_length <= positions:
        raise ValueError(
            f"max_length must be in 2..{positions}, because the model has {positions} positions, "
            f"not {max_length}"
        )
    return max_length or positions
