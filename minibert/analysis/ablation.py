"""Heads switched off, and the difference that each of them makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from minibert.data.batches import Batch
from minibert.model import IGNORE_INDEX, BertForPreTraining, evaluating
from minibert.tokenizer import MASK, UNK, BertTokenizer
from minibert.weights import PretrainedModel


@contextmanager
def without_heads(model: PretrainedModel, heads: Iterable[tuple[int, int]]) -> Iterator[None]:
    """Switch off the given (layer, head) pairs inside this `with` (Michel et al., 2019).

    The output projection then gets 0 in place of the head's K columns of the context. The
    projection's bias stays, because it belongs to no head. The weights are not changed, and all
    heads are on again at the end, also after an error. Raises `ValueError` for a head that the
    model does not have.
    """
    layers = model.body.encoder.layers
    num_heads = model.config.num_attention_heads
    with ExitStack() as hooks:
        for layer, head in heads:
            for name, one, number in (("layer", layer, len(layers)), ("head", head, num_heads)):
                if not 0 <= one < number:
                    raise ValueError(f"there is no {name} {one}: they go from 0 to {number - 1}")
            output = layers[layer].attention.output
            size = output.in_features // num_heads  # K
            off = torch.zeros_like(output.weight[0], dtype=torch.bool)  # (D,)
            off[head * size : (head + 1) * size] = True
            hooks.enter_context(output.register_forward_pre_hook(_zero(off)))
        yield


def _zero(off: Tensor) -> Callable:
    """A forward pre-hook that sets the columns (D,) that are `off` to 0 in an input (B, T, D)."""
    return lambda module, args: (args[0].masked_fill(off, 0.0),)


def ablate_log_probability(
    model: BertForPreTraining, tokenizer: BertTokenizer, text: str, answer: str
) -> np.ndarray:
    """The change of log p(`answer`) at the `[MASK]` without each head: (L, H), in nats.

    The change is after minus before, so a head below 0 supported the answer (Michel et al., 2019,
    measured in this way how much a model's score depends on a head). Raises `ValueError` unless the
    text has exactly one `[MASK]` and the answer is a single token of the vocabulary.
    """
    inputs, place, answer_id = encode_question(model, tokenizer, text, answer)
    return _change_without_each_head(
        model, lambda: log_probability(model(**inputs).prediction_logits, place, answer_id).item()
    )


def ablate_loss(model: BertForPreTraining, batches: Sequence[Batch]) -> np.ndarray:
    """The change of the MLM loss without each head: (L, H), in nats per masked token.

    The change is after minus before, so a head above 0 was useful (Michel et al., 2019). The loss
    is the mean over the masked positions of all batches; `held_out_batches` gives such batches.
    The model reads each of them L H + 1 times, so a few are enough. Raises `ValueError` if nothing
    is masked.
    """
    device = _device(model)
    batches = [{name: value.to(device) for name, value in batch.items()} for batch in batches]
    masked = [int((batch["labels"] != IGNORE_INDEX).sum()) for batch in batches]
    if sum(masked) == 0:
        raise ValueError("no position of these batches has a label: there is no loss to measure")

    def loss() -> float:
        means = [model(**batch).mlm_loss.item() for batch in batches]
        return float(np.average(means, weights=masked))

    return _change_without_each_head(model, loss)


def _change_without_each_head(
    model: BertForPreTraining, measure: Callable[[], float]
) -> np.ndarray:
    """`measure()` with each head off in turn, minus `measure()` with all heads on: (L, H)."""
    config = model.config
    change = np.empty((config.num_hidden_layers, config.num_attention_heads))
    with evaluating(model), torch.no_grad():
        before = measure()
        for layer, head in np.ndindex(change.shape):
            with without_heads(model, [(layer, head)]):
                change[layer, head] = measure() - before
    return change


def encode_question(
    model: nn.Module, tokenizer: BertTokenizer, text: str, answer: str
) -> tuple[dict[str, Tensor], int, int]:
    """The model's inputs, the position of the `[MASK]`, and the id of the answer."""
    encoded = tokenizer([text], return_tensors="pt")
    places = (encoded["input_ids"][0] == tokenizer.vocab[MASK]).nonzero().flatten().tolist()
    if len(places) != 1:
        raise ValueError(f"there are {len(places)} {MASK} in the text: put exactly one")
    # A piece such as `##s` is in the vocabulary, but tokenizing it would split it.
    pieces = [answer] if answer in tokenizer.vocab else tokenizer.tokenize(answer)
    if len(pieces) != 1 or pieces[0] == UNK:
        raise ValueError(
            f"the answer {answer!r} is {pieces} to the tokenizer: choose a single token of its "
            "vocabulary"
        )
    device = _device(model)
    inputs = {name: value.to(device) for name, value in encoded.items()}
    return inputs, places[0], tokenizer.vocab[pieces[0]]


def log_probability(logits: Tensor, place: int, token_id: int) -> Tensor:
    """Logits (1, T, V) -> the log-probability of one token at one position, ()."""
    return logits[0, place].double().log_softmax(-1)[token_id]


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
