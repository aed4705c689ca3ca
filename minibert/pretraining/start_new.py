"""A new BERT at the start of its run: its weights are random, or come from counts."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from minibert.config import BertConfig
from minibert.data.batches import Batch
from minibert.data.streaming import TrainingCorpus
from minibert.model import BertForPreTraining
from minibert.pretraining.counted_embeddings import (
    cooccurrence_embeddings,
    sinusoidal_positions,
    token_counts,
)
from minibert.pretraining.recipes import Recipe
from minibert.pretraining.run_data import HELD_OUT_LENGTH
from minibert.pretraining.start_from_bigrams import start_from_neighbours
from minibert.training.fast import SampledSoftmax


def make_config(recipe: Recipe, preset: str, vocab_size: int) -> BertConfig:
    """The preset's sizes with the recipe's choices, long enough for training and held-out text."""
    return BertConfig.preset(
        preset,
        vocab_size=vocab_size,
        max_position_embeddings=max(HELD_OUT_LENGTH, recipe.max_length),
        hidden_dropout_prob=recipe.dropout,
        attention_probs_dropout_prob=recipe.dropout,
        attn_implementation=recipe.attention,
    )


def make_model(
    recipe: Recipe,
    config: BertConfig,
    corpus: TrainingCorpus,
    seed: int,
    batch: Batch | None = None,
) -> BertForPreTraining:
    """A new BERT at the recipe's start. It counts tokens in the corpus's first shard.

    `batch` is a training batch, which a start from neighbours is scaled to.
    """
    torch.manual_seed(seed)
    model = recipe.task.make_model(config)
    vocab_size, hidden_size = config.vocab_size, config.hidden_size
    embeddings = model.bert.embeddings
    with torch.no_grad():
        if recipe.init == "cooccurrence":
            embeddings.word_embeddings.weight.copy_(
                cooccurrence_embeddings(corpus.shard(0).tokens, vocab_size, hidden_size, seed=seed)
            )
        if recipe.init in ("cooccurrence", "neighbours"):
            model.mlm_head.decoder.bias.copy_(log_frequency(corpus, vocab_size))
        if recipe.init == "neighbours":
            assert batch is not None
            start_from_neighbours(model, corpus.shard(0).tokens, batch, seed)
        if recipe.positions == "sinusoidal":
            embeddings.position_embeddings.weight.copy_(
                sinusoidal_positions(config.max_position_embeddings, hidden_size)
            )
    return model


def make_sampled_softmax(recipe: Recipe, corpus: TrainingCorpus, vocab_size: int) -> SampledSoftmax:
    """For batches of the recipe's size."""
    targets = round(recipe.masking.probability * recipe.batch_size * recipe.max_length)
    return SampledSoftmax(token_counts(corpus.shard(0).tokens, vocab_size), targets)


def log_frequency(corpus: TrainingCorpus, vocab_size: int) -> Tensor:
    """The log of each token's share of a corpus (V,): the best guess that ignores the context."""
    counts = token_counts(corpus.shard(0).tokens, vocab_size) + 1  # no token is impossible
    return torch.from_numpy(np.log(counts / counts.sum()))
