"""A run that starts from another BERT, which may lack some of the heads that will be trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path

import torch

from minibert.config import BertConfig
from minibert.data.tokenized_corpora import AnyCorpus
from minibert.files import errors_name, find_directory
from minibert.model import BertForPreTraining
from minibert.pretraining.recipes import Recipe
from minibert.pretraining.run_data import HELD_OUT_LENGTH
from minibert.pretraining.start_new import log_frequency
from minibert.tokenizer import BertTokenizer
from minibert.weights import (
    HEAD_PREFIXES,
    Undrawn,
    check_sizes,
    load_hf_state_dict,
    read_shapes,
    read_weights,
    to_hf_state_dict,
)

MLM_HEAD = HEAD_PREFIXES["cls.predictions."]
START = "start"
"""In `data`: the BERT that the run starts from, with its new heads."""


def load_with_new_heads(
    name_or_path: str | Path,
    make_model: Callable[[BertConfig], BertForPreTraining],
    **overrides: object,
) -> tuple[BertForPreTraining, BertTokenizer, set[str]]:
    """A BERT to pretrain further, in eval mode, its tokenizer, and which of its heads are new.

    `make_model` makes a model with the heads that will be trained. It gets the body and the heads
    of the given weights. Heads that these lack start at random, and heads that it does not need are
    left out. `overrides` change the config. Raises as `load` does.
    """
    directory = find_directory(name_or_path)
    tokenizer = BertTokenizer.from_pretrained(directory)
    tensors = read_weights(directory)
    config = BertConfig.from_pretrained(directory, **overrides)
    with errors_name(directory):
        check_sizes(config, read_shapes(directory))
    with torch.device("meta"):  # names without numbers
        wanted, there = _heads(to_hf_state_dict(make_model(config))), _heads(tensors)
    missing = tuple(wanted - there)
    with nullcontext() if missing else Undrawn():
        model = make_model(config)
    if model.config.vocab_size < tokenizer.vocab_size:
        raise ValueError(
            f"{directory} has {tokenizer.vocab_size} tokens, but vectors for only "
            f"{model.config.vocab_size} of them"
        )
    at_random = to_hf_state_dict(model)
    new = {
        name: tensor.clone()
        for name, tensor in at_random.items()
        if missing and name.removeprefix("bert.").startswith(missing)
    }
    load_hf_state_dict(model, {**new, **tensors}, tuple(set(HEAD_PREFIXES) - wanted))
    return model.eval(), tokenizer, {HEAD_PREFIXES[prefix] for prefix in missing}


def _heads(names: Iterable[str]) -> set[str]:
    """The prefixes of the heads that these tensors belong to."""
    return {
        prefix
        for prefix in HEAD_PREFIXES
        for name in names
        if name.removeprefix("bert.").startswith(prefix)
    }


def read_start(
    name_or_path: str, recipe: Recipe, seed: int
) -> tuple[BertForPreTraining, BertTokenizer, set[str]]:
    """The BERT that a run starts from, its tokenizer, and which of its heads are new.

    Raises `FileNotFoundError` and `ValueError` as `load_with_new_heads` does, and `ValueError` for
    a BERT with fewer positions than the sequences have tokens.
    """
    names = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    dropout = {} if recipe.dropout is None else dict.fromkeys(names, recipe.dropout)
    torch.manual_seed(seed)  # for the new heads
    model, tokenizer, new = load_with_new_heads(name_or_path, recipe.task.make_model, **dropout)
    positions = model.config.max_position_embeddings
    longest = max(HELD_OUT_LENGTH, recipe.max_length)
    if positions < longest:
        raise ValueError(
            f"{name_or_path} has {positions} positions, too few for sequences of {longest} tokens "
            f"(the run trains on {recipe.max_length} and measures on {HELD_OUT_LENGTH})"
        )
    return model, tokenizer, new


def save_start(
    directory: Path,
    start: tuple[BertForPreTraining, BertTokenizer, set[str]],
    corpus: AnyCorpus,
    name: str,
    say: Callable[[str], None] = print,
) -> None:
    """Write what `read_start` returned. The bias of a new MLM head becomes the log frequencies."""
    model, tokenizer, new = start
    if new:
        say(f"{name} lacks {', '.join(sorted(new))}, which will start at random.")
    if MLM_HEAD in new:
        with torch.no_grad():
            model.mlm_head.decoder.bias.copy_(log_frequency(corpus, model.config.vocab_size))
    model.save_pretrained(directory / START, tokenizer)
