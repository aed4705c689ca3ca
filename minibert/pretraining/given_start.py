"""A run that starts from the weights of another BERT, which may lack some heads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from minibert.config import BertConfig
from minibert.files import errors_name, find_directory
from minibert.model import BertForPreTraining
from minibert.tokenizer import BertTokenizer
from minibert.weights import (
    HEAD_PREFIXES,
    check_sizes,
    load_hf_state_dict,
    read_shapes,
    read_weights,
    to_hf_state_dict,
)

MLM_HEAD = HEAD_PREFIXES["cls.predictions."]


def load_with_new_heads(
    name_or_path: str | Path,
    make_model: Callable[[BertConfig], BertForPreTraining],
    **overrides: object,
) -> tuple[BertForPreTraining, BertTokenizer, set[str]]:
    """A BERT to pretrain further, in eval mode, its tokenizer, and which of its heads are new.

    `make_model` gives a model with the heads that will be trained. Its body, and each of its heads
    that the given weights have, are those of the given weights; other heads start at random. Heads
    that it does not have are left out. `overrides` change the config. Raises as `load` does.
    """
    directory = find_directory(name_or_path)
    tokenizer = BertTokenizer.from_pretrained(directory)
    tensors = read_weights(directory)
    config = BertConfig.from_pretrained(directory, **overrides)
    with errors_name(directory):
        check_sizes(config, read_shapes(directory))
    model = make_model(config)
    if model.config.vocab_size < tokenizer.vocab_size:
        raise ValueError(
            f"{directory} has {tokenizer.vocab_size} tokens and vectors for "
            f"{model.config.vocab_size}: not all of them can be looked up"
        )
    at_random = to_hf_state_dict(model)
    wanted, there = _heads(at_random), _heads(tensors)
    missing = tuple(wanted - there)
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
