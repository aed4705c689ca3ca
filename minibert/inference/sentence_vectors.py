"""One vector for a sentence, from its tokens' (Reimers and Gurevych, 2019), and how to pass it on.

`sentence-transformers` gives the same vectors from the folder that is written here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from minibert.files import new_folder
from minibert.model import BertForPreTraining, BertModel, evaluating
from minibert.tokenizer import CLS, PAD, SEP, BertTokenizer

POOLINGS = ("mean", "cls")


@torch.no_grad()
def sentence_vectors(
    model: BertModel | BertForPreTraining,
    tokenizer: BertTokenizer,
    texts: Sequence[str],
    pooling: str = "mean",
    normalize: bool = False,
    max_length: int | None = None,
    batch_size: int = 32,
) -> np.ndarray:
    """Texts -> vectors (N, D), float32: the mean of a text's last states, or that of its `[CLS]`.

    `normalize` makes each of length 1, so that a dot product is a cosine. A text is cut to
    `max_length` tokens, `[CLS]` and `[SEP]` counted: to as many as the model has positions if not
    given. Texts of about the same length share a batch. Raises `ValueError` for a pooling that
    there is not, a lone string, or a length that the model does not hold.
    """
    check_pooling(pooling)
    if isinstance(texts, str):
        raise ValueError("texts must be a list of texts, not one string")
    longest = check_length(model, max_length)
    cls, sep, pad = (tokenizer.vocab[token] for token in (CLS, SEP, PAD))
    rows = [[cls, *ids[: longest - 2], sep] for ids in tokenizer.encode_batch(texts)]
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
    device = next(model.parameters()).device
    vectors = np.empty((len(rows), model.config.hidden_size), dtype=np.float32)
    with evaluating(model):
        for start in range(0, len(order), batch_size):
            places = order[start : start + batch_size]
            width = len(rows[places[-1]])
            ids = torch.tensor([rows[p] + [pad] * (width - len(rows[p])) for p in places])  # (B, T)
            lengths = torch.tensor([len(rows[p]) for p in places])  # (B,)
            # Not by id: a text may say [PAD].
            mask = (torch.arange(width) < lengths[:, None]).long()  # (B, T)
            states = model(ids.to(device), mask.to(device)).last_hidden_state  # (B, T, D)
            pooled = pool(states.float(), mask.to(device), pooling)  # (B, D)
            if normalize:
                pooled = torch.nn.functional.normalize(pooled, dim=-1)
            vectors[places] = pooled.cpu().numpy()
    return vectors


def pool(states: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """States (B, T, D) and mask (B, T), 1 for real tokens -> (B, D).

    The mean is over all real tokens, `[CLS]` and `[SEP]` among them; `cls` is the first state as it
    is, without the pooler.
    """
    if pooling == "cls":
        return states[:, 0]
    weights = mask[..., None].to(states.dtype)  # (B, T, 1)
    return (states * weights).sum(1) / weights.sum(1)


def export_sentence_transformer(
    model: BertModel | BertForPreTraining,
    tokenizer: BertTokenizer,
    out: str | Path,
    pooling: str = "mean",
    normalize: bool = False,
    max_length: int | None = None,
) -> None:
    """Write a folder from which `SentenceTransformer(out).encode` gives `sentence_vectors`.

    The body alone goes into it: sentence vectors need no head. The files are those that every
    version of sentence-transformers since 2 reads. Raises `FileExistsError` for a folder with
    something in it, and `ValueError` as `sentence_vectors` does.
    """
    check_pooling(pooling)
    longest = check_length(model, max_length)
    out = new_folder(out)
    body = model.bert if isinstance(model, BertForPreTraining) else model
    body.save_pretrained(out, tokenizer)
    steps = [("Transformer", ""), ("Pooling", "1_Pooling")]
    if normalize:
        steps.append(("Normalize", "2_Normalize"))
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
    for name, values in (
        ("modules.json", modules),
        ("sentence_bert_config.json", {"max_seq_length": longest, "do_lower_case": False}),
        ("1_Pooling/config.json", how),
    ):
        file = out / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    if normalize:
        (out / "2_Normalize").mkdir()


def check_pooling(pooling: str) -> None:
    """Raise `ValueError` for a way to pool that there is not."""
    if pooling not in POOLINGS:
        raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, not {pooling!r}")


def check_length(model: BertModel | BertForPreTraining, max_length: int | None) -> int:
    """The tokens that a text is cut to. Raises `ValueError` for more than the model holds."""
    positions = model.config.max_position_embeddings
    if max_length is not None and not 2 <= max_length <= positions:
        raise ValueError(
            f"max_length must lie in 2..{positions}, as many as the model has positions, not "
            f"{max_length}"
        )
    return max_length or positions
