"""What heads do, in numbers; heads switched off.

Attention comes and goes as numpy arrays: (L, H, T, T), after the softmax, rows looking at columns,
as `AttentionData.weights()` gives it. What is measured for each head is an (L, H), in float64.
Attention says where a head looks, not what the model makes of it. Only the functions that take a
model tell that: they change something and measure what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from scipy.sparse.csgraph import maximum_flow
from scipy.special import entr
from torch import Tensor, nn

from minibert.data.batches import Batch
from minibert.model import IGNORE_INDEX, BertForPreTraining, BertModel, evaluating
from minibert.tokenizer import CLS, MASK, SEP, SPECIAL_TOKENS, UNK, BertTokenizer, is_punctuation

ROLES = {
    "previous": "previous token",
    "next": "next token",
    "self": "itself",
    "same": "same token",
    CLS: CLS,
    SEP: SEP,
    "punctuation": "punctuation",
}
"""What a head may look at, and what it is called in a label."""
WORTH_NAMING = 0.25
"""The share of a head's attention that a role must have for the head to be called after it."""
SPREAD_OUT = 0.9
"""The share of the greatest entropy, log T, above which a head looks everywhere."""
FLOW_UNITS = 1 << 30
"""What an attention of 1 is for the flow, which counts in whole 32-bit numbers."""
PROBE_TEST_SHARE = 0.2
PROBE_L2 = 1e-3


def head_roles(attention: np.ndarray, tokens: Sequence[str]) -> dict[str, np.ndarray]:
    """How much each head looks at what (Clark et al., 2019, section 3): (L, H) for each role.

    A role's number is the share of a row's attention that goes to the role's columns, from 0 to 1,
    as a mean over the rows that have such a column: `previous` and `next` token, `self`, `same`
    (other places of the same token; special tokens aside, for two `[UNK]` are two words), `[CLS]`,
    `[SEP]`, `punctuation`. Where no row has one, as `same` in a text that repeats nothing, it is
    NaN: there was nothing to look at, and 0 would say that the head looks away. Roles overlap, so
    they do not add up to 1. `same` is not in the paper.

    `entropy` is in nats, a mean over all rows: 0 for one column a row, log T for all alike.
    """
    attention = _checked(attention, tokens)
    roles = {}
    for role, columns in _columns(tokens).items():
        rows = columns.any(1)  # (T,)
        shares = (attention * columns).sum(-1)  # (L, H, T)
        found = shares[..., rows].mean(-1) if rows.any() else np.full(shares.shape[:2], np.nan)
        roles[role] = found  # (L, H)
    return roles | {"entropy": entr(attention).sum(-1).mean(-1)}


def describe_heads(attention: np.ndarray, tokens: Sequence[str]) -> list[list[str]]:
    """A short label for each head, such as `previous token 63 %`: L lists of H.

    It names the role with the greatest share in `head_roles`. A head whose entropy is near its
    maximum is `spread out`, whatever its shares: in a text of commas it looks at commas too. One
    without a role that has a quarter of its attention is `no single role`.
    """
    roles = head_roles(attention, tokens)
    spread_out = roles.pop("entropy") > SPREAD_OUT * np.log(len(tokens))  # (L, H)
    shares = np.stack([roles[role] for role in ROLES])  # (roles, L, H)
    best, share = np.nanargmax(shares, axis=0), np.nanmax(shares, axis=0)  # (L, H); `self` is there
    names = list(ROLES.values())

    def label(layer: int, head: int) -> str:
        if spread_out[layer, head]:
            return "spread out"
        if share[layer, head] < WORTH_NAMING:
            return "no single role"
        return f"{names[best[layer, head]]} {100 * share[layer, head]:.0f} %"

    layers, heads = best.shape
    return [[label(layer, head) for head in range(heads)] for layer in range(layers)]


def attention_distance(attention: np.ndarray) -> np.ndarray:
    """How far each head looks, (L, H): the mean of |i - j| in tokens, weighted by the attention
    of row i to column j (Vig and Belinkov, 2019)."""
    attention = _checked(attention)
    place = np.arange(attention.shape[-1])
    distance = np.abs(place[:, None] - place)  # (T, T)
    return (attention * distance).sum((-2, -1)) / attention.sum((-2, -1))


def rollout(attention: np.ndarray) -> np.ndarray:
    """How much of each input position is in each position after each layer: (L, T, T).

    Abnar and Zuidema (2020): the mean over heads, half of it replaced by the residual (each
    position looking at itself), multiplied up to the layer. Rows add up to 1.
    """
    mixed = _with_residual(attention)  # (L, T, T)
    rolled = [mixed[0]]
    for layer in mixed[1:]:
        rolled.append(layer @ rolled[-1])
    return np.stack(rolled)


def attention_flow(attention: np.ndarray, token: int) -> np.ndarray:
    """How much can flow from each input position to position `token` of the last layer: (T,).

    Abnar and Zuidema (2020): attention is a network of pipes, one from each position to each
    position of the layer below, as wide as the weights that `rollout` multiplies. The flow to an
    input is the most that fits through at once, from 0 to 1; each input has the pipes for itself,
    so the flows do not add up to 1. None is below its rollout, which is one way to fill the pipes.

    It takes T maximum flows over (L + 1) T nodes and L T^2 pipes: by Dinic's method O(L^3 T^4) each
    at worst, in practice nearer to L T^2. Raises `ValueError` for a token outside the text.
    """
    mixed = _with_residual(attention)  # (L, T, T)
    layers, length, _ = mixed.shape
    if not 0 <= token < length:
        raise ValueError(f"there is no token {token}: they go from 0 to {length - 1}")
    units = np.rint(mixed * FLOW_UNITS).astype(np.int32)
    layer, row, column = units.nonzero()
    nodes = (layers + 1) * length  # layer by layer, the inputs first
    pipes = sparse.csr_array(
        (units[layer, row, column], ((layer + 1) * length + row, layer * length + column)),
        shape=(nodes, nodes),
    )
    top = layers * length + token
    flows = [maximum_flow(pipes, top, place).flow_value for place in range(length)]
    return np.array(flows) / FLOW_UNITS


@contextmanager
def without_heads(
    model: BertModel | BertForPreTraining, heads: Iterable[tuple[int, int]]
) -> Iterator[None]:
    """Inside this `with`, the (layer, head) pairs are switched off (Michel et al., 2019).

    A head that is off gives 0 to the output projection, in place of its K columns of the context;
    the projection's bias stays, being no head's. The weights are not touched, and at the end, by an
    error too, everything is as before. Raises `ValueError` for a head that the model does not have.
    """
    body = model.bert if isinstance(model, BertForPreTraining) else model
    layers = body.encoder.layers
    with ExitStack() as hooks:
        for layer, head in heads:
            num_heads = body.config.num_attention_heads
            for name, one, number in (("layer", layer, len(layers)), ("head", head, num_heads)):
                if not 0 <= one < number:
                    raise ValueError(f"there is no {name} {one}: they go from 0 to {number - 1}")
            output = layers[layer].attention.output
            size = output.in_features // num_heads  # K
            off = torch.zeros_like(output.weight[0], dtype=torch.bool)  # (D,)
            off[head * size : (head + 1) * size] = True
            hooks.enter_context(output.register_forward_pre_hook(_zero(off)))
        yield


def ablate_log_probability(
    model: BertForPreTraining, tokenizer: BertTokenizer, text: str, answer: str
) -> np.ndarray:
    """What switching off each head alone does to log p(`answer`) at the `[MASK]`: (L, H), in nats.

    The change is after minus before: below 0, the head spoke for the answer (Michel et al., 2019,
    measured in this way how much a model's score depends on a head). Raises `ValueError` where the
    text has not exactly one `[MASK]`, or the answer is not one token of the vocabulary.
    """
    inputs, mask, answer_id = _question(model, tokenizer, text, answer)
    return _change_without_each_head(
        model, lambda: _log_probability(model(**inputs).prediction_logits, mask, answer_id).item()
    )


def ablate_loss(model: BertForPreTraining, batches: Sequence[Batch]) -> np.ndarray:
    """What switching off each head alone does to the MLM loss: (L, H), in nats a masked token.

    The change is after minus before: above 0, the head was of use (Michel et al., 2019). The loss
    is a mean over the masked positions of all batches together; `held_out_batches` gives such
    batches. Each is gone through L H + 1 times, so few will do. Raises `ValueError` where nothing
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


def gradient_x_attention(
    model: BertForPreTraining, tokenizer: BertTokenizer, text: str, answer: str
) -> np.ndarray:
    """Each attention weight times the gradient of log p(`answer`) at the `[MASK]`: (L, H, T, T).

    In nats. Above 0, the weight speaks for the answer: to first order, this is what log p would
    lose were the weight 0, all that follows from it in later layers included, the other weights of
    its row staying as they are. Below 0, it speaks for something else. It is gradient times input
    (Shrikumar et al., 2016) for attention; Grad-SAM (Barkan et al., 2021) keeps only the gradients
    above 0, and so never tells what speaks against. Raises `ValueError` as `ablate_log_probability`
    does.
    """
    inputs, mask, answer_id = _question(model, tokenizer, text, answer)
    with evaluating(model), torch.enable_grad():
        out = model(**inputs, output_attentions=True)
        log_probability = _log_probability(out.prediction_logits, mask, answer_id)
        gradients = torch.autograd.grad(log_probability, out.attentions)  # L of (1, H, T, T)
    products = [a.detach() * g for a, g in zip(out.attentions, gradients, strict=True)]
    return torch.cat(products).double().cpu().numpy()


@dataclass(frozen=True)
class Probe:
    """How well a linear probe reads labels off states: accuracies from 0 to 1, on the test part."""

    accuracy: float
    control_accuracy: float
    """On labels that say nothing but which word it is."""
    majority: float
    """What guessing the commonest label of the training part gets right."""

    @property
    def selectivity(self) -> float:
        """How much of the accuracy is not to be had by remembering words."""
        return self.accuracy - self.control_accuracy


def linear_probe(states: np.ndarray, labels: np.ndarray, words: np.ndarray, seed: int = 0) -> Probe:
    """Are the labels in the states, in a way that a linear map can read (Hewitt and Liang, 2019)?

    `states` are (N, D), `labels` (N,) whole numbers, `words` (N,) the token ids of the states. A
    softmax regression with an L2 penalty learns from four fifths of the occurrences and is tested
    on the rest. So does a second one, for the paper's control task: each word type has a random
    label, drawn as the labels are distributed. That can be learned by remembering words alone,
    since occurrences of a word fall on both sides. The same seed gives the same numbers. Raises
    `ValueError` where the lengths differ, and for fewer than five states or two labels.
    """
    states, labels, words = np.asarray(states, np.float64), np.asarray(labels), np.asarray(words)
    number = len(states)
    if states.ndim != 2 or labels.shape != (number,) or words.shape != (number,):
        raise ValueError(
            f"states are {states.shape}, labels {labels.shape} and words {words.shape}: they must "
            "be (N, D), (N,) and (N,), one of each for every token"
        )
    names, labels = np.unique(labels, return_inverse=True)  # labels are now 0, 1, ...
    if number < 5 or len(names) < 2:
        raise ValueError(
            f"there are {number} states with {len(names)} different labels: a probe needs at least "
            "5 with 2"
        )
    rng = np.random.default_rng(seed)
    test, train = np.split(rng.permutation(number), [int(PROBE_TEST_SHARE * number)])
    word_types, type_of = np.unique(words, return_inverse=True)
    control = rng.choice(labels, len(word_types))[type_of]  # (N,)
    spread = states[train].std(0)
    states = (states - states[train].mean(0)) / np.where(spread == 0, 1, spread)

    def accuracy(targets: np.ndarray) -> float:
        weight, bias = _softmax_regression(states[train], targets[train], len(names))
        return float(((states[test] @ weight + bias).argmax(1) == targets[test]).mean())

    commonest = np.bincount(labels[train]).argmax()
    return Probe(accuracy(labels), accuracy(control), float((labels[test] == commonest).mean()))


def _checked(attention: np.ndarray, tokens: Sequence[str] | None = None) -> np.ndarray:
    """(L, H, T, T) in float64, for T tokens."""
    attention = np.asarray(attention, dtype=np.float64)
    if attention.ndim != 4 or attention.shape[2] != attention.shape[3] or 0 in attention.shape:
        raise ValueError(
            f"the attention is {attention.shape}: it must be (L, H, T, T), as "
            "AttentionData.weights() gives it"
        )
    if tokens is not None and len(tokens) != attention.shape[-1]:
        raise ValueError(f"there are {len(tokens)} tokens for attention over {attention.shape[-1]}")
    return attention


def _columns(tokens: Sequence[str]) -> dict[str, np.ndarray]:
    """For each of `ROLES` a (T, T), true where the column has that role for the row."""
    names = np.array(tokens, dtype=object)  # as they are: a numpy string loses what ends in NUL
    place = np.arange(len(tokens))
    ahead = place - place[:, None]  # (T, T): how far the column is after the row
    word = np.array([token not in SPECIAL_TOKENS for token in tokens])
    punctuation = np.array([token != "" and all(map(is_punctuation, token)) for token in tokens])

    def for_every_row(columns: np.ndarray) -> np.ndarray:
        return np.broadcast_to(columns, ahead.shape)

    return {
        "previous": ahead == -1,
        "next": ahead == 1,
        "self": ahead == 0,
        "same": (names == names[:, None]) & (ahead != 0) & word,
        CLS: for_every_row(names == CLS),
        SEP: for_every_row(names == SEP),
        "punctuation": for_every_row(punctuation),
    }


def _with_residual(attention: np.ndarray) -> np.ndarray:
    """(L, H, T, T) -> (L, T, T): the mean over heads, half of it replaced by the identity."""
    attention = _checked(attention)
    return (attention.mean(1) + np.eye(attention.shape[-1])) / 2


def _zero(off: Tensor) -> Callable:
    """A forward pre-hook that sets the columns (D,) that are `off` to 0 in an input (B, T, D)."""
    return lambda module, args: (args[0].masked_fill(off, 0.0),)


def _change_without_each_head(
    model: BertForPreTraining, measure: Callable[[], float]
) -> np.ndarray:
    """`measure()` with each head off in turn, less `measure()` with all on: (L, H)."""
    config = model.config
    change = np.empty((config.num_hidden_layers, config.num_attention_heads))
    with evaluating(model), torch.no_grad():
        before = measure()
        for layer, head in np.ndindex(change.shape):
            with without_heads(model, [(layer, head)]):
                change[layer, head] = measure() - before
    return change


def _question(
    model: nn.Module, tokenizer: BertTokenizer, text: str, answer: str
) -> tuple[dict[str, Tensor], int, int]:
    """The text as the model takes it, the place of its `[MASK]`, and the id of the answer."""
    inputs = tokenizer([text], return_tensors="pt")
    places = (inputs["input_ids"][0] == tokenizer.vocab[MASK]).nonzero().flatten().tolist()
    if len(places) != 1:
        raise ValueError(f"there are {len(places)} {MASK} in the text: put exactly one")
    # A piece such as `##s` stands in the vocabulary and would be cut up as text.
    pieces = [answer] if answer in tokenizer.vocab else tokenizer.tokenize(answer)
    if len(pieces) != 1 or pieces[0] == UNK:
        raise ValueError(
            f"the answer {answer!r} is {pieces} to the tokenizer: choose one that is a single "
            "token of its vocabulary"
        )
    device = _device(model)
    inputs = {name: value.to(device) for name, value in inputs.items()}
    return inputs, places[0], tokenizer.vocab[pieces[0]]


def _log_probability(logits: Tensor, place: int, token_id: int) -> Tensor:
    """Logits (1, T, V) -> the log-probability of one token at one place, ()."""
    return logits[0, place].double().log_softmax(-1)[token_id]


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _softmax_regression(
    states: np.ndarray, labels: np.ndarray, num_labels: int
) -> tuple[np.ndarray, np.ndarray]:
    """The weight (D, labels) and bias (labels,) with the least cross-entropy and L2 penalty."""
    x, y = torch.from_numpy(states), torch.from_numpy(labels)
    weight = torch.zeros(x.shape[1], num_labels, dtype=x.dtype, requires_grad=True)
    bias = torch.zeros(num_labels, dtype=x.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(x @ weight + bias, y) + PROBE_L2 * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    return weight.detach().numpy(), bias.detach().numpy()
