"""From token ids to vectors: token + position + segment (Devlin et al., 2019, 3 and figure 2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from minibert.config import BertConfig


class BertEmbeddings(nn.Module):
    """The sum of three learned vectors a token, then LayerNorm, then dropout."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.max_length = config.max_position_embeddings
        padding = config.pad_token_id if 0 <= config.pad_token_id < config.vocab_size else None
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding)
        self.adds_positions = config.position_embedding_type == "absolute"
        if self.adds_positions:  # in other schemes the attention is given the positions
            self.position_embeddings = nn.Embedding(self.max_length, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> Tensor:
        """Ids (B, T) -> vectors (B, T, D).

        `token_type_ids` (B, T) default to segment 0, `position_ids` (B, T) to 0, 1, ..., T - 1.
        Raises `ValueError` for an id outside the vocabulary or a sequence longer than the model.
        """
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        if position_ids is None:
            position_ids = positions_from_0(input_ids)
        check_ids("position", position_ids, self.max_length)
        check_ids("input_ids", input_ids, self.word_embeddings.num_embeddings)
        check_ids("token_type_ids", token_type_ids, self.token_type_embeddings.num_embeddings)
        x = self.word_embeddings(input_ids)  # (B, T, D)
        if self.adds_positions:
            x = x + self.position_embeddings(position_ids)
        x = x + self.token_type_embeddings(token_type_ids)
        return self.dropout(self.norm(x))


def positions_from_0(input_ids: Tensor) -> Tensor:
    """Ids (B, T) -> the positions 0, 1, ..., T - 1 of their tokens (1, T)."""
    return torch.arange(input_ids.shape[1], device=input_ids.device)[None]


def check_ids(name: str, ids: Tensor, size: int) -> None:
    """Raise `ValueError` for ids that a table of `size` rows lacks; torch's own error is obscure.

    On a GPU nothing is checked: looking at the ids would wait for the device at every step.
    """
    if torch.compiler.is_compiling() or ids.is_cuda or ids.numel() == 0:
        return
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= size:
        if name == "position":
            raise ValueError(
                f"the sequence has {high + 1} tokens but the model holds at most {size} "
                "(max_position_embeddings): truncate it"
            )
        raise ValueError(
            f"{name} has the id {low if low < 0 else high}, outside 0..{size - 1}: "
            "do the tokenizer and the model belong together?"
        )
