"""The exercises of chapter 11, a real BERT."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load, save
from torch import Tensor

from minibert.course.checks.engine import Case, Exercise, Mistake, call, draw, prediction

FILES = "A directory of real weights"
NAMES = "From their names to yours"
LAYERS = "Layer by layer"
VECTORS = "Sentence vectors"
FRESH = "Guessing words: a fresh head"
GPU = "Optional: to a GPU, and past it"
COST = "What it would cost"

Weights = dict[str, Tensor]


def draw_mask(lengths: Sequence[int]) -> Tensor:
    """(B, T): 1 for each token, 0 for padding."""
    return (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()


def draw_weights(shapes: dict[str, tuple[int, ...]], seed: int) -> Weights:
    """A tensor for each name."""
    return dict(zip(shapes, draw(*shapes.values(), seed=seed), strict=True))


# 1: memory, before you buy any

bytes_a_weight = Exercise(
    name="bytes_a_weight",
    chapter=11,
    reference=(16, 16),
    cases=lambda seed: [()],
    returns={"the answer": ""},
    run=prediction,
    mistakes=(
        Mistake("these are the weights alone: training also keeps a gradient for each weight, and "
                "AdamW's two averages", COST, (4, 2)),
        Mistake("AdamW's two averages are missing: together they take twice as much as the weights",
                COST, (8, 4)),
        Mistake("one average is missing: AdamW keeps two for each weight, of the gradient and of "
                "its square", COST, (12, 12)),
        Mistake("the gradients are missing: there is one for each weight", COST, (12, 14)),
        Mistake("mixed precision doesn't halve everything: the optimiser's averages stay in "
                "float32, and so does its copy of the weights", COST, (16, 8)),
        Mistake("in mixed precision the optimiser needs a float32 copy of the weights, because "
                "bfloat16 loses small steps", GPU, (16, 12)),
        Mistake("in this kind of mixed precision the gradients are in bfloat16, too", COST,
                (16, 18)),
        Mistake("this is what the optimiser keeps: add the weights and the gradients", COST,
                (8, 8)),
        Mistake("in mixed precision there are two copies of the weights, in bfloat16 and in "
                "float32", COST, (16, 14)),
        Mistake("these are bits: a byte has eight", COST, (128, 128)),
        Mistake("this is how many numbers there are per weight: each takes two or four bytes", COST,
                (4, 5)),
    ),
    hints=(
        "How many numbers does training keep for each weight?",
        "The weight, its gradient, and AdamW's two averages. In mixed precision the first two take "
        "two bytes each. The averages take four each, and so does the optimiser's copy.",
        "4 + 4 + 4 + 4, and 2 + 2 + 4 + 4 + 4",
    ),
)  # fmt: skip


# 2: names and kernels of a TensorFlow checkpoint

ENDS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "output_weights": "weight",
    "output_bias": "bias",
}
OF_TRAINING = ("adam_m", "adam_v", "global_step")


def reference_from_tensorflow(variables: Weights) -> Weights:
    found = {}
    for name, tensor in variables.items():
        *path, last = name.split("/")
        if last in OF_TRAINING:
            continue
        if last not in ENDS:
            path.append(last)
        place = re.sub(r"layer_(\d+)", r"layer.\1", ".".join(path))
        found[f"{place}.{ENDS.get(last, 'weight')}"] = tensor.T if last == "kernel" else tensor
    return found


def last_of(name: str) -> str:
    return name.split("/")[-1]


def converted_with(
    left: Callable[[str], bool] = lambda name: last_of(name) in OF_TRAINING,
    rename: Callable[[str], str] | None = None,
    turn: Callable[[str, Tensor], Tensor] | None = None,
) -> Callable[[Weights], Weights]:
    """Other variables left out, other names, or other tensors transposed."""

    def answer(variables):
        found = {}
        for name, tensor in variables.items():
            if not left(name):
                new = rename(name) if rename else renamed(name)
                found[new] = turn(name, tensor) if turn else turned_kernel(name, tensor)
        return found

    return answer


def renamed(name: str, ends: dict[str, str] = ENDS, layer: str = r"layer.\1") -> str:
    """One variable's new name, by a table of ends and a way to write the layer."""
    *path, last = name.split("/")
    if last not in ends:
        path.append(last)
    place = re.sub(r"layer_(\d+)", layer, ".".join(path))
    return f"{place}.{ends[last]}" if last in ends else f"{place}.weight"


def turned_kernel(name: str, tensor: Tensor) -> Tensor:
    return tensor.T if last_of(name) == "kernel" else tensor


def turned_if(condition: Callable[[str, Tensor], bool]) -> Callable[[Weights], Weights]:
    """Another choice of what is transposed."""
    return converted_with(turn=lambda name, x: x.T if condition(name, x) else x)


def is_square(tensor: Tensor) -> bool:
    return tensor.dim() == 2 and tensor.shape[0] == tensor.shape[1]


def next_layer(name: str) -> str:
    return re.sub(r"layer_(\d+)", lambda m: f"layer_{int(m[1]) + 1}", name)


def numbered_in_order(variables: Weights) -> Weights:
    """Layers numbered in the order of their sorted names: 0, 1, 10, 11, 2."""
    layers = sorted({m[0] for name in variables if (m := re.search(r"layer_\d+", name))})
    return converted_with(
        rename=lambda name: renamed(
            re.sub(r"layer_\d+", lambda m: f"layer_{layers.index(m[0])}", name)
        )
    )(variables)


def without_table(*names: str) -> dict[str, str]:
    """The table of ends, in which these names don't change."""
    return ENDS | {name: name for name in names}


def tensorflow_cases(seed: int) -> list[Case]:
    """Square and other kernels, layers up to 10, heads, and what only training needs."""
    D, F, V = 3, 5, 4
    embeddings = {
        "bert/embeddings/word_embeddings": (V, D),
        "bert/embeddings/token_type_embeddings": (D, D),
        "bert/embeddings/LayerNorm/gamma": (D,),
        "bert/embeddings/LayerNorm/beta": (D,),
        "bert/embeddings/word_embeddings/adam_m": (V, D),
        "bert/embeddings/word_embeddings/adam_v": (V, D),
    }
    layers = {
        f"bert/encoder/layer_{layer}/{part}": shape
        for layer in (0, 2, 10)
        for part, shape in {
            "attention/self/query/kernel": (D, D),
            "attention/self/query/bias": (D,),
            "attention/output/LayerNorm/beta": (D,),
            "attention/output/LayerNorm/gamma": (D,),
            "intermediate/dense/kernel": (D, F),
            "output/dense/kernel": (F, D),
        }.items()
    }
    heads = {
        "bert/pooler/dense/kernel": (D, D),
        "cls/predictions/transform/dense/kernel": (D, D),
        "cls/predictions/output_bias": (V,),
        "cls/seq_relationship/output_weights": (2, D),
        "cls/seq_relationship/output_bias": (2,),
        "global_step": (),
    }
    return [(draw_weights(part, seed + V),) for part in (embeddings, layers, heads)]


from_tensorflow = Exercise(
    name="from_tensorflow",
    chapter=11,
    reference=reference_from_tensorflow,
    cases=tensorflow_cases,
    returns={"weights": ""},
    mistakes=(
        Mistake("kernels are not transposed: TensorFlow stores (in, out) and nn.Linear (out, in), "
                "and a square matrix fits either way", NAMES, turned_if(lambda name, x: False)),
        Mistake("every matrix is transposed: transpose kernels only", NAMES,
                turned_if(lambda name, x: x.dim() == 2)),
        Mistake("square kernels are not transposed: they fit either way, so nothing complains",
                NAMES,
                turned_if(lambda name, x: last_of(name) == "kernel" and not is_square(x))),
        Mistake("output_weights are transposed: they are (out, in) already, because TensorFlow's "
                "BERT transposes them when it multiplies", NAMES,
                turned_if(lambda name, x: last_of(name) in ("kernel", "output_weights"))),
        Mistake("embeddings are transposed: they are tables of rows in both", NAMES,
                turned_if(lambda name, x: last_of(name) == "kernel" or "_emb" in last_of(name))),
        Mistake("only the queries' kernels are transposed: all kernels must be", NAMES,
                turned_if(lambda name, x: name.endswith("query/kernel"))),
        Mistake("kernels were reshaped: that gives the right shape, but the numbers are in the "
                "wrong places, so transpose", NAMES, converted_with(
                    turn=lambda name, x: x.reshape(x.T.shape)
                    if last_of(name) == "kernel" else x)),
        Mistake("gamma and beta are swapped: gamma is the gain (weight), and beta is the bias",
                NAMES,
                converted_with(rename=lambda name: renamed(
                    name, ENDS | {"gamma": "bias", "beta": "weight"}))),
        Mistake("gamma and beta still have their old names: they become weight and bias", NAMES,
                converted_with(rename=lambda name: renamed(name, without_table("gamma", "beta")))),
        Mistake("kernels still have their old name: it becomes weight", NAMES,
                converted_with(rename=lambda name: renamed(name, without_table("kernel")))),
        Mistake("output_weights and output_bias still have their old names: they become weight and "
                "bias", NAMES, converted_with(rename=lambda name: renamed(
                    name, without_table("output_weights", "output_bias")))),
        Mistake("the names of embeddings must end in .weight", NAMES,
                converted_with(rename=lambda name: renamed(name).replace(
                    "_embeddings.weight", "_embeddings"))),
        Mistake("Adam's averages came along: they belong to the training run, not to the model",
                FILES,
                converted_with(left=lambda name: name == "global_step")),
        Mistake("global_step came along: it counts steps of training, and the model has no such "
                "weight",
                FILES, converted_with(left=lambda name: "adam_" in name)),
        Mistake("Adam's averages and global_step came along: both belong to the training run",
                FILES,
                converted_with(left=lambda name: False)),
        Mistake("Adam's averages replaced the weights: leave out every name that ends in adam_m or "
                "adam_v", FILES,
                lambda variables: converted_with(
                    left=lambda name: name == "global_step",
                    rename=lambda name: renamed(re.sub("/adam_[mv]$", "", name)))(variables)),
        Mistake("layer_0 is still one word: it becomes layer.0, a list and a place in it", NAMES,
                converted_with(rename=lambda name: renamed(name, layer=r"layer_\1"))),
        Mistake("the list is called layer in Hugging Face's names, without an s", NAMES,
                converted_with(rename=lambda name: renamed(name, layer=r"layers.\1"))),
        Mistake("layers are counted from 1 here: both count from 0", NAMES,
                converted_with(rename=lambda name: renamed(next_layer(name)))),
        Mistake("layers were numbered in the order of their sorted names, where 10 comes before 2: "
                "take the number from the name", NAMES, numbered_in_order),
        Mistake("the bert. at the beginning is gone: keep it, because the file holds heads as well",
                NAMES,
                converted_with(rename=lambda name: renamed(name).removeprefix("bert."))),
        Mistake("the names still have slashes: they become dots", NAMES,
                converted_with(rename=lambda name: renamed(name).replace(".", "/"))),
    ),
    hints=(
        "Split the name at its slashes. The last piece says what to do.",
        "Make a table for the last piece. Transpose kernels only, and skip Adam's averages and "
        "the step. A last piece that isn't in the table is an embedding, and gets .weight.",
        "re.sub(r'layer_(\\d+)', r'layer.\\1', '.'.join(path)), and "
        "tensor.T if last == 'kernel' else tensor",
    ),
)  # fmt: skip


# 3: repair the loading that says nothing


def reference_load_checked(wanted: Weights, given: Weights) -> Weights:
    found = {name.removeprefix("bert."): tensor for name, tensor in given.items()}
    found.pop("embeddings.position_ids", None)
    if found.keys() != wanted.keys():
        raise ValueError(f"missing or extra: {sorted(found.keys() ^ wanted.keys())}")
    for name, tensor in wanted.items():
        if found[name].shape != tensor.shape:
            raise ValueError(f"{name} is {tuple(found[name].shape)}, not {tuple(tensor.shape)}")
    return found


def bare(given: Weights) -> Weights:
    """The file's weights, by the model's names."""
    found = {name.removeprefix("bert."): tensor for name, tensor in given.items()}
    return {name: x for name, x in found.items() if name != "embeddings.position_ids"}


def fitting(wanted: Weights, found: Weights) -> Weights:
    """The new model's tensors, replaced by the file's where name and shape fit."""
    fits = {name for name, x in found.items() if name in wanted and wanted[name].shape == x.shape}
    return {name: found[name] if name in fits else x for name, x in wanted.items()}


def load_with(
    names: Callable[[Weights], Weights] = bare,
    missing: bool = True,
    extra: bool = True,
    shapes: Callable[[Tensor, Tensor], bool] | None = lambda got, want: got.shape == want.shape,
    result: Callable[[Weights, Weights], Weights] | None = None,
) -> Callable[[Weights, Weights], Weights]:
    """Names read in another way, a check left out, or another result returned."""

    def answer(wanted, given):
        found = names(given)
        if missing and wanted.keys() - found.keys():
            raise ValueError("missing")
        if extra and found.keys() - wanted.keys():
            raise ValueError("extra")
        both = [name for name in wanted if name in found]
        if shapes and not all(shapes(found[name], wanted[name]) for name in both):
            raise ValueError("of another shape")
        if result:
            return result(wanted, found)
        return {name: found.get(name, tensor) for name, tensor in wanted.items()}

    return answer


def can_be_spread(got: Tensor, want: Tensor) -> bool:
    try:
        return torch.broadcast_shapes(got.shape, want.shape) == want.shape
    except RuntimeError:
        return False


def spread(wanted: Weights, found: Weights) -> Weights:
    return {name: found[name].expand_as(tensor).clone() for name, tensor in wanted.items()}


def reshaped(wanted: Weights, found: Weights) -> Weights:
    return {name: found[name].reshape(tensor.shape) for name, tensor in wanted.items()}


def in_their_order(wanted: Weights, given: Weights) -> Weights:
    """The first tensor for the first name, whatever it is called."""
    found = list(bare(given).values())
    if len(found) != len(wanted):
        raise ValueError("another number of tensors")
    if any(a.shape != b.shape for a, b in zip(found, wanted.values(), strict=True)):
        raise ValueError("of another shape")
    return dict(zip(wanted, found, strict=True))


def loaded_or_refused(answer: Any, wanted: Weights, given: Weights) -> Any:
    """Whether the file was loaded or refused with a ValueError, and what was returned."""
    try:
        return "loaded", call(answer, wanted, given)
    except ValueError:
        return "refused", {}


def load_cases(seed: int) -> list[Case]:
    """Both kinds of names, the buffer of old files, and seven ways in which tensors don't fit."""
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (5, 3),
        "encoder.layer.0.dense.weight": (3, 4),
        "encoder.layer.0.dense.bias": (3,),
        "encoder.layer.1.dense.bias": (3,),
        "colbert.weight": (2, 3),
    }
    wanted, given = draw_weights(shapes, seed), draw_weights(shapes, seed + 1)
    ids = {"embeddings.position_ids": torch.arange(5.0)[None]}
    weight, bias = "encoder.layer.0.dense.weight", "encoder.layer.1.dense.bias"
    without = {name: tensor for name, tensor in given.items() if name != bias}
    givens = [
        given,
        dict(reversed(given.items())),
        ids | given,
        given | {"pooler.dense.bias": given[bias]},
        without,
        without | {"encoder.layer.2.dense.bias": given[bias]},
        given | {weight: given[weight].T.contiguous()},
        given | {bias: given[bias][:1]},
        given | {bias: given[bias][None]},
        given | {"encoder.layer.0.dense.bias": torch.ones(4)},
    ]
    prefixed = [{f"bert.{name}": x for name, x in part.items()} for part in givens]
    usual = [{n: x for n, x in part.items() if n != "colbert.weight"} for part in (wanted, given)]
    return [tuple(usual), *((wanted, part) for part in (*givens[:3], *prefixed))]


load_checked = Exercise(
    name="load_checked",
    chapter=11,
    reference=reference_load_checked,
    cases=load_cases,
    returns={"what was done": "", "weights": ""},
    run=loaded_or_refused,
    mistakes=(
        Mistake("whatever doesn't fit is skipped silently, as with strict=False: if all names "
                "begin with bert., nothing fits and the model stays random", NAMES,
                fitting),
        Mistake("the names fit now, but tensors that are missing, extra or of another shape are "
                "still skipped silently", NAMES,
                lambda wanted, given: fitting(wanted, bare(given))),
        Mistake("a missing tensor goes unnoticed: that weight stays random", NAMES,
                load_with(missing=False)),
        Mistake("an extra tensor goes unnoticed: it may be a layer that your model lacks", NAMES,
                load_with(extra=False)),
        Mistake("missing and extra tensors go unnoticed: compare names as well as shapes", NAMES,
                load_with(missing=False, extra=False)),
        Mistake("shapes are not compared: a name may be right and the size wrong", NAMES,
                load_with(shapes=None)),
        Mistake("a tensor of another shape is skipped: that weight stays random", NAMES,
                load_with(shapes=None, result=fitting)),
        Mistake("one number was spread over a whole vector: copy_ broadcasts, so compare the "
                "shapes first", NAMES,
                load_with(shapes=can_be_spread, result=spread)),
        Mistake("only the number of elements was compared: a kernel that wasn't transposed has the "
                "same number, in another shape", NAMES,
                load_with(shapes=lambda got, want: got.numel() == want.numel(), result=reshaped)),
        Mistake("only the number of dimensions was compared: compare the whole shapes", NAMES,
                load_with(shapes=lambda got, want: got.dim() == want.dim())),
        Mistake("names that begin with bert. are refused: they belong to the same weights", NAMES,
                load_with(lambda given: {
                    n: x for n, x in given.items() if n != "embeddings.position_ids"})),
        Mistake("names without bert. are refused: both kinds of file exist",
                NAMES, load_with(lambda given: bare(
                    {n: x for n, x in given.items() if n.startswith("bert.")}))),
        Mistake("bert. was removed everywhere, even from colbert.: remove it at the beginning only",
                NAMES,
                load_with(lambda given: bare(
                    {n.replace("bert.", ""): x for n, x in given.items()}))),
        Mistake("position_ids were refused: they are the numbers 0, 1, 2, ... in old files, so "
                "skip them", FILES,
                load_with(lambda given: {n.removeprefix("bert."): x for n, x in given.items()})),
        Mistake("position_ids came along: they are the numbers 0, 1, 2, ... in old files, and no "
                "weights", FILES,
                load_with(result=lambda wanted, found: found, names=lambda given: {
                    n.removeprefix("bert."): x for n, x in given.items()}, extra=False)),
        Mistake("everything was checked, but then the new model's own weights were returned", NAMES,
                load_with(result=lambda wanted, found: wanted)),
        Mistake("tensors were taken by their order: take them by their names", NAMES,
                in_their_order),
        Mistake("only the number of tensors was compared: the names may still differ", NAMES,
                lambda wanted, given: load_with(
                    missing=len(bare(given)) != len(wanted),
                    extra=len(bare(given)) != len(wanted))(wanted, given)),
        Mistake("everything is refused, even files that fit", NAMES,
                load_with(names=lambda given: {}, missing=True)),
    ),
    hints=(
        "In which three ways can two dicts of tensors fail to fit?",
        "First remove the prefix and position_ids. Then compare the two sets of names, and each "
        "shape. If anything doesn't fit, raise a ValueError that says what.",
        "if found.keys() != wanted.keys(): raise ValueError(sorted(found.keys() ^ wanted.keys()))",
    ),
)  # fmt: skip


# 4: sentence vectors, compared


def reference_similarities(states: Tensor, attention_mask: Tensor) -> Tensor:
    real = attention_mask.unsqueeze(2)
    pooled = (states * real).sum(dim=1) / real.sum(dim=1)
    unit = pooled / pooled.norm(dim=-1, keepdim=True)
    return unit @ unit.T


def mean_vector(states: Tensor, mask: Tensor) -> Tensor:
    """(N, T, D), (N, T) -> (N, D): the mean of the real tokens."""
    return (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def cosines(vectors: Tensor) -> Tensor:
    unit = F.normalize(vectors, dim=-1)
    return unit @ unit.T


def similar_by(pool: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """Another vector of a sentence."""
    return lambda states, mask: cosines(pool(states, mask))


def compared_by(compare: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """Another comparison of the vectors (N, D)."""
    return lambda states, mask: compare(mean_vector(states, mask))


def greatest(states: Tensor, mask: Tensor) -> Tensor:
    return states.masked_fill(mask[..., None] == 0, -torch.inf).amax(1)


def last_token(states: Tensor, mask: Tensor) -> Tensor:
    return states[torch.arange(len(states)), mask.sum(1) - 1]


def without_specials(states: Tensor, mask: Tensor) -> Tensor:
    """The mean without [CLS] and the last real token, [SEP]."""
    inner = mask.clone()
    inner[torch.arange(len(mask)), mask.sum(1) - 1] = 0
    inner[:, 0] = 0
    return mean_vector(states, inner)


def mean_of_pairs(states: Tensor, mask: Tensor) -> Tensor:
    """The mean cosine of all pairs of tokens, one from each sentence."""
    unit = mean_vector(F.normalize(states, dim=-1), mask)
    return unit @ unit.T


def similarity_cases(seed: int) -> list[Case]:
    cases = []
    for D, lengths in ((4, (3, 6, 4)), (3, (7, 3)), (6, (4, 5, 3, 8))):
        states, shift = draw((len(lengths), max(lengths), D), (D,), seed=seed + D)
        cases.append((states + 0.5 * shift, draw_mask(lengths)))
    return cases


similarities = Exercise(
    name="similarities",
    chapter=11,
    reference=reference_similarities,
    cases=similarity_cases,
    returns={"similarities": "N N"},
    mistakes=(
        Mistake("padding was averaged in: the states at padding don't belong to the sentence",
                VECTORS, similar_by(lambda x, mask: x.mean(1))),
        Mistake("only padding was averaged: the mask is 1 for real tokens", VECTORS,
                similar_by(lambda x, mask: (x * (1 - mask)[..., None]).sum(1))),
        Mistake("this is the state of [CLS]: the sentence's vector is the mean of all real tokens",
                VECTORS, similar_by(lambda x, mask: x[:, 0])),
        Mistake("this is the state of the last token: the sentence's vector is the mean of all",
                VECTORS, similar_by(last_token)),
        Mistake("this is the state at the last position, which is padding in short sentences: take "
                "the mean of all real tokens",
                VECTORS, similar_by(lambda x, mask: x[:, -1])),
        Mistake("these are maxima over the tokens (max pooling): take the mean",
                VECTORS, similar_by(greatest)),
        Mistake("[CLS] and [SEP] were left out: they are part of the mean", VECTORS,
                similar_by(without_specials)),
        Mistake("the vectors don't have length 1: long vectors seem similar to everything",
                VECTORS, compared_by(lambda v: v @ v.T)),
        Mistake("only one of the two vectors has length 1: divide both by their lengths", VECTORS,
                compared_by(lambda v: F.normalize(v, dim=-1) @ v.T)),
        Mistake("vectors were divided by their squared length: the root is missing", VECTORS,
                compared_by(lambda v: (v / v.square().sum(-1, keepdim=True))
                            @ (v / v.square().sum(-1, keepdim=True)).T)),
        Mistake("each column was divided by its length: divide each sentence's vector, with dim=-1",
                VECTORS,
                compared_by(lambda v: F.normalize(v, dim=0) @ F.normalize(v, dim=0).T)),
        Mistake("vectors were divided by the sum of their absolute values: a length is the root of "
                "the sum of squares", VECTORS,
                compared_by(lambda v: F.normalize(v, p=1, dim=-1)
                            @ F.normalize(v, p=1, dim=-1).T)),
        Mistake("tokens were divided by their lengths, but the mean wasn't: take the mean first, "
                "and then divide it by its length", VECTORS, mean_of_pairs),
        Mistake("tokens were divided by their lengths before the mean: average the states as they "
                "are",
                VECTORS, similar_by(lambda x, mask: mean_vector(F.normalize(x, dim=-1), mask))),
        Mistake("the mean of each vector was subtracted first: that makes a correlation, not a "
                "cosine", VECTORS,
                compared_by(lambda v: cosines(v - v.mean(-1, keepdim=True)))),
        Mistake("the mean of all sentences was subtracted first: then the result depends on what "
                "else is in the batch", VECTORS, compared_by(lambda v: cosines(v - v.mean(0)))),
        Mistake("these are cosine distances: return the cosine, not 1 minus the cosine", VECTORS,
                compared_by(lambda v: 1 - cosines(v))),
        Mistake("these are angles: return the cosine itself", VECTORS,
                compared_by(lambda v: cosines(v).clamp(-1, 1).arccos())),
        Mistake("these are distances between the vectors: return cosines", VECTORS,
                compared_by(lambda v: (v[:, None] - v).norm(dim=-1))),
        Mistake("the cosines were rescaled to 0 to 1: leave them between -1 and 1", VECTORS,
                compared_by(lambda v: (1 + cosines(v)) / 2)),
        Mistake("a softmax makes each row add up to 1: similarities aren't shares", VECTORS,
                compared_by(lambda v: cosines(v).softmax(-1))),
    ),
    hints=(
        "Make one vector for each sentence, then keep only its direction.",
        "Multiply the states by the mask, add them up, divide by the number of real tokens, and "
        "then by the length of the result. A matrix product compares each with each.",
        "unit = pooled / pooled.norm(dim=-1, keepdim=True); unit @ unit.T",
    ),
)  # fmt: skip


# 5: the bias of a fresh head


def reference_fresh_bias(input_ids: Tensor, attention_mask: Tensor, vocab_size: int) -> Tensor:
    seen = input_ids[attention_mask == 1]
    counts = torch.bincount(seen, minlength=vocab_size) + 1
    return (counts / counts.sum()).log()


def counted(input_ids: Tensor, attention_mask: Tensor, vocab_size: int) -> Tensor:
    return torch.bincount(input_ids[attention_mask == 1], minlength=vocab_size).float()


def bias_of(make: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """Another bias made of the counts (V,)."""
    return lambda ids, mask, V: make(counted(ids, mask, V))


def share(counts: Tensor) -> Tensor:
    return counts / counts.sum()


def with_padding(input_ids: Tensor, attention_mask: Tensor, vocab_size: int) -> Tensor:
    return share(torch.bincount(input_ids.flatten(), minlength=vocab_size) + 1.0).log()


def in_texts(input_ids: Tensor, attention_mask: Tensor, vocab_size: int) -> Tensor:
    """In how many texts each token occurs."""
    texts = [
        counted(ids, mask, vocab_size) > 0
        for ids, mask in zip(input_ids, attention_mask, strict=True)
    ]
    return torch.stack(texts).sum(0).float()


def bias_cases(seed: int) -> list[Case]:
    """Padding is token 0; in one case the last tokens of the vocabulary never occur."""
    cases = []
    for V, below, lengths in ((6, 6, (9, 5, 7)), (9, 5, (8, 3)), (4, 4, (2, 12, 6, 5))):
        generator = torch.Generator().manual_seed(seed + V)
        mask = draw_mask(lengths)
        ids = torch.randint(1, below, mask.shape, generator=generator)
        cases.append((ids.minimum(torch.roll(ids, 1)) * mask, mask, V))
    return cases


fresh_bias = Exercise(
    name="fresh_bias",
    chapter=11,
    reference=reference_fresh_bias,
    cases=bias_cases,
    returns={"bias": "V"},
    mistakes=(
        Mistake("a token that never occurs has the bias -inf: if it is ever the right answer, the "
                "loss is infinite", FRESH, bias_of(lambda n: share(n).log())),
        Mistake("padding was counted: then [PAD] seems to be a frequent token", FRESH,
                with_padding),
        Mistake("these are shares: the bias is added to logits, so take their logarithm", FRESH,
                bias_of(lambda n: share(n + 1))),
        Mistake("these are logarithms of counts: divide by their sum first, so that the shares add "
                "up to 1", FRESH, bias_of(lambda n: (n + 1).log())),
        Mistake("the counts were divided by the old sum: after adding 1 to each, divide by the new "
                "sum, or the shares add up to more than 1", FRESH,
                bias_of(lambda n: ((n + 1) / n.sum()).log())),
        Mistake("1 was added to the shares: add it to the counts", FRESH,
                bias_of(lambda n: share(n).log1p())),
        Mistake("only tokens that never occur got 1 more: add 1 to every count", FRESH,
                bias_of(lambda n: share(n.clamp(min=1)).log())),
        *(
            Mistake(f"{added:g} was added to the shares: add 1 to the counts instead", FRESH,
                    bias_of(lambda n, added=added: (share(n) + added).log()))
            for added in (1e-3, 1e-5, 1e-6, 1e-8, 1e-9, 1e-10, 1e-12)
        ),
        Mistake("the sign is wrong: frequent tokens need the largest bias", FRESH,
                bias_of(lambda n: -share(n + 1).log())),
        Mistake("this is the logarithm to base 2: the softmax undoes the natural logarithm", FRESH,
                bias_of(lambda n: share(n + 1).log2())),
        Mistake("this is the logarithm to base 10: the softmax undoes the natural logarithm", FRESH,
                bias_of(lambda n: share(n + 1).log10())),
        Mistake("every token has the same share, as with a bias of 0: count the tokens", FRESH,
                bias_of(lambda n: share(torch.ones_like(n)).log())),
        Mistake("a bias of 0 makes all V tokens equally likely: count the tokens",
                FRESH, bias_of(torch.zeros_like)),
        Mistake("this counts the texts that contain a token: count how often it occurs",
                FRESH, lambda ids, mask, V: share(in_texts(ids, mask, V) + 1).log()),
        Mistake("the biases are sorted: number i must belong to the token with id i", FRESH,
                bias_of(lambda n: share(n + 1).log().sort(descending=True).values)),
        Mistake("this is a softmax of the counts: divide them by their sum", FRESH,
                bias_of(lambda n: n.log_softmax(-1))),
    ),
    hints=(
        "What does the head say if its logits are the bias alone?",
        "Count the ids whose mask is 1, add 1 to every count, divide by the new sum, and take the "
        "logarithm.",
        "counts = torch.bincount(input_ids[attention_mask == 1], minlength=vocab_size) + 1; "
        "(counts / counts.sum()).log()",
    ),
)  # fmt: skip


# 6: repair the loss of one process among many


def reference_process_loss(losses: Tensor, counts: list[int]) -> Tensor:
    return losses.sum() * len(counts) / sum(counts)


def process_cases(seed: int) -> list[Case]:
    """Different numbers of tokens; a process without any, this one or another."""
    cases = []
    for number, counts in ((5, [5, 2, 9]), (1, [7, 1]), (0, [3, 0, 4, 6]), (6, [2, 8, 6, 0])):
        (losses,) = draw((number,), seed=seed + number)
        cases.append((losses.square(), counts))
    return cases


process_loss = Exercise(
    name="process_loss",
    chapter=11,
    reference=reference_process_loss,
    cases=process_cases,
    returns={"loss": ""},
    mistakes=(
        Mistake("this is the mean over this process alone: a token counts more in a process that "
                "has few, and without any token it's NaN", GPU,
                lambda x, counts: x.mean()),
        Mistake("this is still the mean over this process alone, without NaN: a token counts more "
                "in a process that has few", GPU, lambda x, counts: x.mean().nan_to_num()),
        Mistake("multiply by the number of processes, because averaging gradients divides by it",
                GPU,
                lambda x, counts: x.sum() / sum(counts)),
        Mistake("multiply by the number of processes, and take a sum, because the mean of no token "
                "is NaN", GPU,
                lambda x, counts: x.mean() * len(x) / sum(counts)),
        Mistake("without a token the mean is NaN, and 0 times NaN is NaN: take the sum of the "
                "losses", GPU,
                lambda x, counts: x.mean() * len(x) * len(counts) / sum(counts)),
        Mistake("this is the sum: divide it by the number of tokens in all processes", GPU,
                lambda x, counts: x.sum()),
        Mistake("this divides by the number of processes once more: averaging already does that, "
                "so multiply", GPU,
                lambda x, counts: x.sum() / len(counts) / sum(counts)),
        Mistake("the sum was multiplied by the number of processes, but not divided by the tokens "
                "of all processes",
                GPU, lambda x, counts: x.sum() * len(counts)),
        Mistake("the sum was divided by the number of processes: divide by the tokens of all "
                "processes, and multiply by their number", GPU,
                lambda x, counts: x.sum() / len(counts)),
        Mistake("this is the mean over this process, divided by the number of processes: averaging "
                "does that already, and tokens still count unequally",
                GPU, lambda x, counts: x.mean() / len(counts)),
        Mistake("this is the mean over this process, times the number of processes: tokens still "
                "count unequally", GPU, lambda x, counts: x.mean() * len(counts)),
        Mistake("the sum was divided by the largest count: divide by the mean count", GPU,
                lambda x, counts: x.sum() / max(counts)),
        Mistake("the sum was divided by the count of the first process: divide by the mean count",
                GPU,
                lambda x, counts: x.sum() / counts[0]),
        Mistake("processes without a token were left out: gradients are averaged over all of them",
                GPU,
                lambda x, counts: x.sum() * sum(c > 0 for c in counts) / sum(counts)),
        Mistake("the sum was divided by the tokens of the other processes: divide by the tokens of "
                "all", GPU,
                lambda x, counts: x.sum() * len(counts) / (sum(counts) - len(x))),
    ),
    hints=(
        "Write down the mean over all tokens, and then what averaging makes of the losses that the "
        "processes return.",
        "Averaging gives (loss 1 + ... + loss W) / W. It should give (sum 1 + ... + sum W) / all.",
        "losses.sum() * len(counts) / sum(counts)",
    ),
)  # fmt: skip


# 7: what a training costs

Cost = tuple[float, float, float]


def reference_training_cost(
    layers: int,
    hidden: int,
    length: int,
    vocabulary: int,
    asked: float,
    tokens: float,
    speed: float,
    used: float,
    price: float,
) -> Cost:
    matrices = 2 * 12 * hidden**2
    scores = 2 * 2 * length * hidden
    head = 2 * hidden**2 + 2 * hidden * vocabulary
    operations = 3 * (layers * (matrices + scores) + asked * head)
    hours = tokens * operations / (speed * used) / 3600
    return operations, hours, hours * price


def cost_with(
    matrices: Callable[[int], float] = lambda D: 24 * D**2,
    scores: Callable[[int, int], float] = lambda T, D: 4 * T * D,
    head: Callable[[int, int], float] = lambda D, V: 2 * D**2 + 2 * D * V,
    more: Callable[[int, int], float] = lambda D, V: 0,
    passes: float = 3,
    share: Callable[[float], float] = lambda asked: asked,
    depth: Callable[[int], int] = lambda layers: layers,
    seconds: float = 3600,
    rate: Callable[[float, float], float] = lambda speed, used: speed * used,
    pay: Callable[[float, float], float] = lambda hours, price: hours * price,
) -> Callable[..., Cost]:
    """One part counted differently, or another way to get hours and a price."""

    def answer(layers, hidden, length, vocabulary, asked, tokens, speed, used, price):
        operations = passes * (
            depth(layers) * (matrices(hidden) + scores(length, hidden))
            + share(asked) * head(hidden, vocabulary)
            + more(hidden, vocabulary)
        )
        hours = tokens * operations / rate(speed, used) / seconds
        return operations, hours, pay(hours, price)

    return answer


training_cost = Exercise(
    name="training_cost",
    chapter=11,
    reference=reference_training_cost,
    cases=lambda seed: [
        (12, 768, 512, 30522, 0.125, 137e9, 312e12, 0.4, 2.0),
        (2, 128, 64, 8192, 0.25, 3e8, 2e11, 0.7, 0.05),
        (4, 96, 256, 512, 0.5, 5e9, 1e13, 0.3, 0.7),
    ],
    returns={"operations": "", "hours": "", "price": ""},
    mistakes=(
        Mistake("this is the forward pass alone: the backward pass adds twice as much", COST,
                cost_with(passes=1)),
        Mistake("the backward pass costs as much as two forward passes, one for the states and one "
                "for the weights: that makes three in all", COST, cost_with(passes=2)),
        Mistake("a multiplication with its addition counts as two operations", COST,
                cost_with(passes=1.5)),
        Mistake("attention's two products are missing, queries with keys and weights with values: "
                "they grow with the length", COST, cost_with(scores=lambda T, D: 0)),
        Mistake("one of attention's products is missing: there are two, queries with keys and "
                "weights with values", COST,
                cost_with(scores=lambda T, D: 2 * T * D)),
        Mistake("attention's products are counted for a whole text, T squared: count T for one "
                "token", COST,
                cost_with(scores=lambda T, D: 4 * T**2 * D)),
        Mistake("the head is counted at every position: it works on the hidden tokens only",
                COST, cost_with(share=lambda asked: 1)),
        Mistake("the head is missing: it works on the share `asked` of all tokens", COST,
                cost_with(share=lambda asked: 0)),
        Mistake("the head's second matrix is missing, D times V", COST,
                cost_with(head=lambda D, V: 2 * D**2)),
        Mistake("the head's first matrix is missing, D times D", COST,
                cost_with(head=lambda D, V: 2 * D * V)),
        Mistake("the token matrix is counted in the embeddings as well: a row is looked up there, "
                "and nothing is multiplied", COST, cost_with(more=lambda D, V: 2 * D * V)),
        Mistake("the feed-forward is missing: it has two matrices, D times 4 D and back", COST,
                cost_with(matrices=lambda D: 8 * D**2)),
        Mistake("a third of a layer's weights is missing: attention has four matrices of D times "
                "D, and the feed-forward has one of D times 4 D and one back", COST,
                cost_with(matrices=lambda D: 16 * D**2)),
        Mistake("attention's output matrix is missing: there are four matrices in it, not three",
                COST,
                cost_with(matrices=lambda D: 22 * D**2)),
        Mistake("this is one layer: multiply by `layers`", COST,
                cost_with(depth=lambda layers: 1)),
        Mistake("this assumes that the device always runs at its highest speed: multiply the speed "
                "by `used`", COST, cost_with(rate=lambda speed, used: speed)),
        Mistake("a smaller share `used` makes the run shorter here: the speed is speed times used",
                COST,
                cost_with(rate=lambda speed, used: speed / used)),
        Mistake("the speed was multiplied by 1 - used: multiply it by used", COST,
                cost_with(rate=lambda speed, used: speed * (1 - used))),
        Mistake("these are seconds: an hour has 3600", COST, cost_with(seconds=1)),
        Mistake("these are minutes: an hour has 3600 seconds", COST, cost_with(seconds=60)),
        Mistake("these are days: return hours", COST, cost_with(seconds=86400)),
        Mistake("the hours were divided by the price: multiply", COST,
                cost_with(pay=lambda hours, price: hours / price)),
        Mistake("this is the price of one hour: multiply by the hours", COST,
                cost_with(pay=lambda hours, price: price)),
    ),
    hints=(
        "Follow one token through the model, and count the matrices it is multiplied by.",
        "Forward, a layer costs 2 times 12 D squared, plus 2 times 2 T D for attention's two "
        "products. The head costs 2 D squared plus 2 D V, times `asked`. Then take three times all "
        "of that.",
        "3 * (layers * (24 * hidden**2 + 4 * length * hidden) + asked * (2 * hidden**2 + "
        "2 * hidden * vocabulary))",
    ),
)  # fmt: skip


EXERCISES = (
    bytes_a_weight,
    from_tensorflow,
    load_checked,
    similarities,
    fresh_bias,
    process_loss,
    training_cost,
)


# Blanks in the chapter

TYPES = {"F32": torch.float32, "I64": torch.int64}


def reference_read_tensor(raw: bytes, name: str) -> Tensor:
    return load(raw)[name]


def read_from(start: Callable[[bytes], int], turned: bool = False) -> Callable[..., Tensor]:
    """The bytes between an entry's offsets, counted from another place, or column by column."""

    def answer(raw, name):
        entry = header_of(raw)[name]
        begin, end = (start(raw) + offset for offset in entry["data_offsets"])
        found = torch.frombuffer(bytearray(raw[begin:end]), dtype=TYPES[entry["dtype"]])
        return found.reshape(entry["shape"][::-1]).T if turned else found.reshape(entry["shape"])

    return answer


def after_header(raw: bytes) -> int:
    return 8 + int.from_bytes(raw[:8], "little")


def header_of(raw: bytes) -> dict[str, Any]:
    return json.loads(raw[8 : after_header(raw)])


def by_place(place: int) -> Callable[[bytes, str], Tensor]:
    """The tensor at a place in the file, whatever its name."""
    return lambda raw, name: load(raw)[
        sorted(load(raw), key=lambda n: header_of(raw)[n]["data_offsets"])[place]
    ]


def read_cases(seed: int) -> list[Case]:
    """Files of three tensors, all of one shape and type, of which the second is to be read."""
    floats = draw(*[(3, 3)] * 3, seed=seed)
    integers = [torch.arange(4).reshape(2, 2) + 7 * n for n in range(3)]
    names = ("key.weight", "query.weight", "value.weight")
    files = [save(dict(zip(names, each, strict=True))) for each in (floats, integers)]
    return [(raw, "query.weight") for raw in files]


read_tensor = Exercise(
    name="read_tensor",
    chapter=11,
    reference=reference_read_tensor,
    cases=read_cases,
    returns={"tensor": "rows columns"},
    mistakes=(
        Mistake("the offsets count from the end of the header: add its length and the 8 bytes "
                "before it", FILES, read_from(lambda raw: 0)),
        Mistake("the tensor begins 8 bytes too early: the header comes after the 8 bytes that give "
                "its length", FILES, read_from(lambda raw: after_header(raw) - 8)),
        Mistake("these bytes are part of the header: add its length to the offsets", FILES,
                read_from(lambda raw: 8)),
        Mistake("the numbers fill columns here: they come row by row, so reshape them to the shape "
                "in the entry", FILES, read_from(after_header, turned=True)),
        Mistake("this is the first tensor of the file: take the entry with the given name", FILES,
                by_place(0)),
        Mistake("this is the last tensor of the file: take the entry with the given name", FILES,
                by_place(-1)),
    ),
)  # fmt: skip


def reference_largest_difference(mine: Tensor, theirs: Tensor, attention_mask: Tensor) -> Tensor:
    return (mine - theirs)[attention_mask == 1].abs().max()


def difference_cases(seed: int) -> list[Case]:
    """States whose largest difference is below 0; in the first batch, padding differs more."""
    cases = []
    for lengths, padding in (((5, 3), 40), ((2, 6, 4), 0)):
        shape = (len(lengths), max(lengths), 4)
        states, error = draw(shape, shape, seed=seed + len(lengths))
        mask = draw_mask(lengths)
        error[-1, 1, 2] = -3 - error[mask == 1].abs().max()
        cases.append((states, states - error - padding * (1 - mask)[..., None], mask))
    return cases


largest_difference = Exercise(
    name="largest_difference",
    chapter=11,
    reference=reference_largest_difference,
    cases=difference_cases,
    returns={"difference": ""},
    mistakes=(
        Mistake("padding was compared as well: pick the rows whose mask is 1", LAYERS,
                lambda a, b, mask: (a - b).abs().max()),
        Mistake("only padding was compared: the mask is 1 for real tokens", LAYERS,
                lambda a, b, mask: (a - b)[mask == 0].abs().max()),
        Mistake("the sign counts here, so a large negative difference goes unnoticed: take the "
                "absolute value first", LAYERS, lambda a, b, mask: (a - b)[mask == 1].max()),
        Mistake("this is the mean difference: one wrong number among many hardly changes a mean",
                LAYERS, lambda a, b, mask: (a - b)[mask == 1].abs().mean()),
        Mistake("this is the difference of the two largest numbers: subtract first, then take the "
                "largest", LAYERS,
                lambda a, b, mask: (a[mask == 1].max() - b[mask == 1].max()).abs()),
        Mistake("this is the length of the whole difference: take its largest number", LAYERS,
                lambda a, b, mask: (a - b)[mask == 1].norm()),
        Mistake("only the first text was compared", LAYERS,
                lambda a, b, mask: (a - b)[0][mask[0] == 1].abs().max()),
    ),
)  # fmt: skip


def reference_best_matches(queries: Tensor, texts: Tensor, number: int) -> Tensor:
    return (queries @ F.normalize(texts, dim=-1).T).topk(number).indices


def best_by(scores: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """Another score (Q, N)."""
    return lambda queries, texts, number: scores(queries, texts).topk(number).indices


def matching(queries: Tensor, texts: Tensor) -> Tensor:
    return F.normalize(queries, dim=-1) @ F.normalize(texts, dim=-1).T


def match_cases(seed: int) -> list[Case]:
    """Texts of very different lengths, so that a dot product finds others than the cosine."""
    cases = []
    for shapes, number in ((((3, 6), (7, 6)), 2), (((4, 5), (9, 5)), 3)):
        queries, texts = draw(*shapes, seed=seed + number)
        cases.append((queries, texts * torch.arange(1.0, len(texts) + 1)[:, None], number))
    return cases


best_matches = Exercise(
    name="best_matches",
    chapter=11,
    reference=reference_best_matches,
    cases=match_cases,
    returns={"places": "Q number"},
    mistakes=(
        Mistake("these are dot products: divide each text by its length, or long vectors seem "
                "close to every question", VECTORS, best_by(lambda q, t: q @ t.T)),
        Mistake("these are the worst matches: take the largest cosines", VECTORS,
                best_by(lambda q, t: -matching(q, t))),
        Mistake("the best matches come last: put the best first", VECTORS,
                lambda q, t, number: matching(q, t).topk(number).indices.flip(-1)),
        Mistake("these are the closest by distance, where long vectors are far from everything: "
                "compare directions", VECTORS, best_by(lambda q, t: -torch.cdist(q, t))),
        Mistake("each column was divided by its length: it is each text's vector, so dim=-1",
                VECTORS, best_by(lambda q, t: F.normalize(q, dim=0) @ F.normalize(t, dim=0).T)),
    ),
)  # fmt: skip

BLANKS = (read_tensor, largest_difference, best_matches)
