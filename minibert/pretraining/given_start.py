"""A run that starts from the weights of another BERT, which may lack some heads."""

from __future__ import annotations

from pathlib import Path

from minibert.config import BertConfig
from minibert.files import find_directory
from minibert.model import BertForPreTraining
from minibert.tokenizer import BertTokenizer
from minibert.weights import load_hf_state_dict, read_weights, to_hf_state_dict

MLM_HEAD, NSP_HEAD, POOLER = "the head that guesses masked words", "the NSP head", "the pooler"
_HEADS = {"cls.predictions.": MLM_HEAD, "cls.seq_relationship.": NSP_HEAD, "pooler.": POOLER}


def load_with_new_heads(
    name_or_path: str | Path, next_sentence: bool = False, **overrides: object
) -> tuple[BertForPreTraining, BertTokenizer, set[str]]:
    """A BERT to go on pretraining, in eval mode, its tokenizer, and which of its heads are new.

    The body is the one that is given, and so is each head that it has; one that it lacks is
    initialised at random. Without `next_sentence`, NSP and the pooler are left out, and so is in
    any case the head of another task. `overrides` change the config. Raises as `load` does.
    """
    directory = find_directory(name_or_path)
    tokenizer = BertTokenizer.from_pretrained(directory)
    tensors = read_weights(directory)
    model = BertForPreTraining(BertConfig.from_pretrained(directory, **overrides), next_sentence)
    if model.config.vocab_size < tokenizer.vocab_size:
        raise ValueError(
            f"{directory} has {tokenizer.vocab_size} tokens and vectors for "
            f"{model.config.vocab_size}: not all of them can be looked up"
        )
    there = {p for p in _HEADS for name in tensors if name.removeprefix("bert.").startswith(p)}
    wanted = set(_HEADS) if next_sentence else {"cls.predictions."}
    missing = tuple(wanted - there)
    new = {
        name: tensor.clone()
        for name, tensor in to_hf_state_dict(model).items()
        if missing and name.removeprefix("bert.").startswith(missing)
    }
    passed_over = ("classifier.", "qa_outputs.", *(set(_HEADS) - wanted))
    load_hf_state_dict(model, {**new, **tensors}, passed_over)
    return model.eval(), tokenizer, {_HEADS[prefix] for prefix in missing}
