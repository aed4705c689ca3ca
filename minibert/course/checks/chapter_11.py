"""The exercises of chapter 11, a real BERT."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from minibert.course.checks.engine import Case, Exercise, Mistake, call, draw, prediction

FILES = "A directory of real weights"
NAMES = "From their names to yours"
LAYERS = "Layer by layer"
VECTORS = "Sentence vectors"
FRESH = "Guessing words: a fresh head"
GPU = "To a GPU, and past it"
COST = "What it would cost"

Weights = dict[str, Tensor]


def draw_mask(lengths: Sequence[int]) -> Tensor:
    """(B, T): 1 for each token, 0 for padding."""
    return (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()


def draw_weights(shapes: dict[str, tuple[int, ...]], seed: int) -> Weights:
    """A tensor for each name."""
    return dict(zip(shapes, draw(*shapes.values(), seed=seed), strict=True))


# 1: memory, before anything is bought

bytes_a_weight = Exercise(
    name="bytes_a_weight",
    chapter=11,
    reference=(16, 16),
    cases=lambda seed: [()],
    returns={"the answer": ""},
    run=prediction,
    mistakes=(
        Mistake("these are the weights alone: a training also keeps a gradient for each, and "
                "AdamW's two averages", GPU, (4, 2)),
        Mistake("AdamW's two averages are missing: they are twice as large as the weights", GPU,
                (8, 4)),
        Mistake("AdamW keeps two averages for each weight, of the gradient and of its square", GPU,
                (12, 12)),
        Mistake("the gradients are missing: there is one for each weight", GPU, (12, 14)),
        Mistake("in mixed precision not everything is halved: what the optimiser keeps stays in "
                "float32, and it keeps the weights as well", GPU, (16, 8)),
        Mistake("in mixed precision the optimiser keeps a float32 copy of the weights: a small "
                "step would be lost in bfloat16", GPU, (16, 12)),
        Mistake("in mixed precision the gradients are in bfloat16 too", GPU, (16, 18)),
        Mistake("this is what the optimiser keeps: weights and gradients come on top", GPU, (8, 8)),
        Mistake("in mixed precision the weights are there twice, in bfloat16 and in float32", GPU,
                (16, 14)),
        Mistake("these are bits: a byte has eight", GPU, (128, 128)),
        Mistake("these are numbers for each weight: each takes bytes, two or four", GPU, (4, 5)),
    ),
    hints=(
        "How many numbers of the same shape as the weights does a training keep?",
        "Weight, gradient, and AdamW's two averages. In mixed precision the first two are in two "
        "bytes, the averages in four, and the optimiser has a copy of the weights in four.",
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
    """Other variables left out, other names, or other tensors turned."""

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
    """Layers get numbers in the order in which their names are sorted: 0, 1, 10, 11, 2."""
    layers = sorted({m[0] for name in variables if (m := re.search(r"layer_\d+", name))})
    return converted_with(
        rename=lambda name: renamed(
            re.sub(r"layer_\d+", lambda m: f"layer_{layers.index(m[0])}", name)
        )
    )(variables)


def without_table(*names: str) -> dict[str, str]:
    """The table of ends, in which these stay as they are."""
    return ENDS | {name: name for name in names}


def tensorflow_cases(seed: int) -> list[Case]:
    """Square kernels and others, twelve layers, a head, and what only a training needs."""
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
        Mistake("kernels are not transposed: TensorFlow has them as (in, out), nn.Linear as (out, "
                "in), and a square one fits either way", NAMES, turned_if(lambda name, x: False)),
        Mistake("every matrix is transposed: only what is called kernel is", NAMES,
                turned_if(lambda name, x: x.dim() == 2)),
        Mistake("square kernels are not transposed: they fit either way, so no error is "
                "raised", NAMES,
                turned_if(lambda name, x: last_of(name) == "kernel" and not is_square(x))),
        Mistake("output_weights are transposed: they are (out, in) already, TensorFlow's BERT "
                "transposes them when it multiplies", NAMES,
                turned_if(lambda name, x: last_of(name) in ("kernel", "output_weights"))),
        Mistake("embeddings are transposed: a table of rows is the same in both", NAMES,
                turned_if(lambda name, x: last_of(name) == "kernel" or "_emb" in last_of(name))),
        Mistake("only the kernels of queries are transposed, not the kernels of other "
                "layers", NAMES,
                turned_if(lambda name, x: name.endswith("query/kernel"))),
        Mistake("kernels were reshaped, not transposed: the shape is right and the numbers are in "
                "the wrong places", NAMES, converted_with(
                    turn=lambda name, x: x.reshape(x.T.shape)
                    if last_of(name) == "kernel" else x)),
        Mistake("gamma and beta are swapped: gamma is the gain, the weight, beta the bias", NAMES,
                converted_with(rename=lambda name: renamed(
                    name, ENDS | {"gamma": "bias", "beta": "weight"}))),
        Mistake("gamma and beta keep their old names: they are weight and bias", NAMES,
                converted_with(rename=lambda name: renamed(name, without_table("gamma", "beta")))),
        Mistake("kernels keep their old name: it is weight", NAMES,
                converted_with(rename=lambda name: renamed(name, without_table("kernel")))),
        Mistake("what the head calls output_weights and output_bias keeps these names: they are "
                "weight and bias", NAMES, converted_with(rename=lambda name: renamed(
                    name, without_table("output_weights", "output_bias")))),
        Mistake("tables of embeddings have no .weight at their end", NAMES,
                converted_with(rename=lambda name: renamed(name).replace(
                    "_embeddings.weight", "_embeddings"))),
        Mistake("Adam's averages came along: they are of the training, not of the model", FILES,
                converted_with(left=lambda name: name == "global_step")),
        Mistake("global_step came along: it counts the training, the model has no such weight",
                FILES, converted_with(left=lambda name: "adam_" in name)),
        Mistake("everything of the training came along: Adam's averages and global_step", FILES,
                converted_with(left=lambda name: False)),
        Mistake("Adam's averages took the places of the weights", FILES,
                lambda variables: converted_with(
                    left=lambda name: name == "global_step",
                    rename=lambda name: renamed(re.sub("/adam_[mv]$", "", name)))(variables)),
        Mistake("layer_0 is still one word: it is layer.0, a list and a place in it", NAMES,
                converted_with(rename=lambda name: renamed(name, layer=r"layer_\1"))),
        Mistake("the lists are called layer in Hugging Face's names, without an s", NAMES,
                converted_with(rename=lambda name: renamed(name, layer=r"layers.\1"))),
        Mistake("layers are counted from 1: from 0 in both", LAYERS,
                converted_with(rename=lambda name: renamed(next_layer(name)))),
        Mistake("layers were numbered in the order of their sorted names, in which 10 comes before "
                "2: take the number out of the name", LAYERS, numbered_in_order),
        Mistake("the bert. at the beginning is gone: beside a head, the body keeps it", NAMES,
                converted_with(rename=lambda name: renamed(name).removeprefix("bert."))),
        Mistake("the names still have slashes: they are dots", NAMES,
                converted_with(rename=lambda name: renamed(name).replace(".", "/"))),
    ),
    hints=(
        "Split at the slashes. What happens depends on the last piece.",
        "A table for the last piece, .T for kernels alone, nothing for Adam's and the step; where "
        "the last piece is in no table, it is an embedding and .weight comes after it.",
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
    """Names as the model has them, and weights alone."""
    found = {name.removeprefix("bert."): tensor for name, tensor in given.items()}
    return {name: x for name, x in found.items() if name != "embeddings.position_ids"}


def fitting(wanted: Weights, found: Weights) -> Weights:
    """What fits of what was found; everything else stays as it is in the new model."""
    fits = {name for name, x in found.items() if name in wanted and wanted[name].shape == x.shape}
    return {name: found[name] if name in fits else x for name, x in wanted.items()}


def load_with(
    names: Callable[[Weights], Weights] = bare,
    missing: bool = True,
    extra: bool = True,
    shapes: Callable[[Tensor, Tensor], bool] | None = lambda got, want: got.shape == want.shape,
    result: Callable[[Weights, Weights], Weights] | None = None,
) -> Callable[[Weights, Weights], Weights]:
    """Another reading of names, another check left out, or something else that comes back."""

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
    """What was done, and what came back; a ValueError is a refusal."""
    try:
        return "loaded", call(answer, wanted, given)
    except ValueError:
        return "refused", {}


def load_cases(seed: int) -> list[Case]:
    """Names of both kinds, a buffer of old files, and seven ways in which tensors cannot fit."""
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
        Mistake("what does not fit is left out without a word, as by strict=False: names that "
                "begin with bert. all fail to fit, and the model that comes back is random", NAMES,
                fitting),
        Mistake("the names fit now, but what is missing, too many or of another shape is still "
                "left out without a word", NAMES,
                lambda wanted, given: fitting(wanted, bare(given))),
        Mistake("a missing tensor is not noticed: that weight stays random", NAMES,
                load_with(missing=False)),
        Mistake("a tensor too many is not noticed: it may be a layer that your model lacks", NAMES,
                load_with(extra=False)),
        Mistake("missing and superfluous tensors go unnoticed: only shapes were "
                "compared", NAMES, load_with(missing=False, extra=False)),
        Mistake("shapes are not compared: names may agree where sizes do not", NAMES,
                load_with(shapes=None)),
        Mistake("a tensor of another shape is left out: that weight stays random", NAMES,
                load_with(shapes=None, result=fitting)),
        Mistake("one number was spread over a whole vector: copy_ broadcasts, so look at the "
                "shapes first", NAMES, load_with(shapes=can_be_spread, result=spread)),
        Mistake("as many numbers are not the same shape: a kernel that is not transposed was "
                "squeezed in", NAMES,
                load_with(shapes=lambda got, want: got.numel() == want.numel(), result=reshaped)),
        Mistake("only the numbers of dimensions were compared, not the shapes", NAMES,
                load_with(shapes=lambda got, want: got.dim() == want.dim())),
        Mistake("names that begin with bert. are refused: they are the same weights", NAMES,
                load_with(lambda given: {
                    n: x for n, x in given.items() if n != "embeddings.position_ids"})),
        Mistake("names that do not begin with bert. are refused: both kinds of file are about",
                NAMES, load_with(lambda given: bare(
                    {n: x for n, x in given.items() if n.startswith("bert.")}))),
        Mistake("bert. was removed everywhere, even from colbert.: remove it only at the "
                "beginning", NAMES, load_with(lambda given: bare(
                    {n.replace("bert.", ""): x for n, x in given.items()}))),
        Mistake("position_ids were refused: they are numbers from 0 up that old files hold, not a "
                "weight", FILES,
                load_with(lambda given: {n.removeprefix("bert."): x for n, x in given.items()})),
        Mistake("position_ids came along: they are numbers from 0 up that old files hold, not a "
                "weight", FILES, load_with(result=lambda wanted, found: found, names=lambda given: {
                    n.removeprefix("bert."): x for n, x in given.items()}, extra=False)),
        Mistake("everything was checked, and then the new model's own weights came back", NAMES,
                load_with(result=lambda wanted, found: wanted)),
        Mistake("tensors were taken in their order, not by their names", NAMES, in_their_order),
        Mistake("only the number of tensors was compared: names may differ all the same", NAMES,
                lambda wanted, given: load_with(
                    missing=len(bare(given)) != len(wanted),
                    extra=len(bare(given)) != len(wanted))(wanted, given)),
        Mistake("everything is refused, even what fits", NAMES,
                load_with(names=lambda given: {}, missing=True)),
    ),
    hints=(
        "What are the three ways in which two dicts of tensors cannot fit?",
        "First make the names alike: removeprefix, and away with position_ids. Then compare the "
        "sets of names, then each shape; raise ValueError, and say what it is that does not fit.",
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
    """The mean cosine of every token of the one with every token of the other."""
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
        Mistake("padding was averaged in: a short sentence gets a vector of mostly nothing",
                VECTORS, similar_by(lambda x, mask: x.mean(1))),
        Mistake("only padding was averaged: the mask is 1 where there is a token", VECTORS,
                similar_by(lambda x, mask: (x * (1 - mask)[..., None]).sum(1))),
        Mistake("the vector of [CLS] was taken: this model was trained for the mean of all tokens",
                VECTORS, similar_by(lambda x, mask: x[:, 0])),
        Mistake("the last token's vector was taken: that is for models that read left to right",
                VECTORS, similar_by(last_token)),
        Mistake("the last position's vector was taken, and in short sentences that is padding",
                VECTORS, similar_by(lambda x, mask: x[:, -1])),
        Mistake("this is the greatest number of each dimension, max pooling: the mean is asked for",
                VECTORS, similar_by(greatest)),
        Mistake("[CLS] and [SEP] were left out: in this model's mean they count", VECTORS,
                similar_by(without_specials)),
        Mistake("the vectors were not brought to length 1: long ones seem similar to everything",
                VECTORS, compared_by(lambda v: v @ v.T)),
        Mistake("only one of the two was brought to length 1", VECTORS,
                compared_by(lambda v: F.normalize(v, dim=-1) @ v.T)),
        Mistake("vectors were divided by their squared length: the root is missing", VECTORS,
                compared_by(lambda v: (v / v.square().sum(-1, keepdim=True))
                            @ (v / v.square().sum(-1, keepdim=True)).T)),
        Mistake("each dimension was brought to length 1 over the sentences: it is each sentence's "
                "vector, so dim=-1", VECTORS,
                compared_by(lambda v: F.normalize(v, dim=0) @ F.normalize(v, dim=0).T)),
        Mistake("vectors were divided by the sum of their sizes: their length is the root of the "
                "sum of squares", VECTORS,
                compared_by(lambda v: F.normalize(v, p=1, dim=-1)
                            @ F.normalize(v, p=1, dim=-1).T)),
        Mistake("tokens were brought to length 1 before the mean, and the mean was not: first the "
                "mean, then its length", VECTORS, mean_of_pairs),
        Mistake("tokens were brought to length 1 before the mean: each counts as long as it is",
                VECTORS, similar_by(lambda x, mask: mean_vector(F.normalize(x, dim=-1), mask))),
        Mistake("the mean of each vector was taken away first: that is a correlation, and the "
                "cosine leaves vectors where they are", VECTORS,
                compared_by(lambda v: cosines(v - v.mean(-1, keepdim=True)))),
        Mistake("the mean of all sentences was taken away first: then it depends on what else is "
                "in the batch", VECTORS, compared_by(lambda v: cosines(v - v.mean(0)))),
        Mistake("these are distances of cosines, 1 less the cosine", VECTORS,
                compared_by(lambda v: 1 - cosines(v))),
        Mistake("these are angles: the cosine itself is asked for", VECTORS,
                compared_by(lambda v: cosines(v).clamp(-1, 1).arccos())),
        Mistake("these are distances between the vectors, not cosines", VECTORS,
                compared_by(lambda v: (v[:, None] - v).norm(dim=-1))),
        Mistake("cosines were moved to lie between 0 and 1: they lie between -1 and 1", VECTORS,
                compared_by(lambda v: (1 + cosines(v)) / 2)),
        Mistake("rows were made to add up to 1: similarities are no shares", VECTORS,
                compared_by(lambda v: cosines(v).softmax(-1))),
    ),
    hints=(
        "Two steps: one vector a sentence, and then only its direction.",
        "Sum of the states times the mask, divided by the number of real tokens; divided by its "
        "length; all products with all.",
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
    """In how many texts each token stands."""
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
        Mistake("a token that never occurs has the bias -inf: it can never be learned, and where "
                "it is right the loss is infinite", FRESH, bias_of(lambda n: share(n).log())),
        Mistake("padding was counted: the head would guess [PAD] most of the time", FRESH,
                with_padding),
        Mistake("these are shares: the bias is added to logits, so it is their logarithm", FRESH,
                bias_of(lambda n: share(n + 1))),
        Mistake("these are logarithms of counts: divide by the sum first, so that the shares add "
                "up to 1", FRESH, bias_of(lambda n: (n + 1).log())),
        Mistake("the counts were divided by the tokens alone: with one more for each of V tokens, "
                "the shares add up to more than 1", FRESH,
                bias_of(lambda n: ((n + 1) / n.sum()).log())),
        Mistake("the one was added after dividing: to the counts", FRESH,
                bias_of(lambda n: share(n).log1p())),
        Mistake("only tokens that never occur got a count of 1: every token gets one more", FRESH,
                bias_of(lambda n: share(n.clamp(min=1)).log())),
        *(
            Mistake(f"{added:g} was added to the shares, not 1 to the counts", FRESH,
                    bias_of(lambda n, added=added: (share(n) + added).log()))
            for added in (1e-3, 1e-5, 1e-6, 1e-8, 1e-9, 1e-10, 1e-12)
        ),
        Mistake("the sign is wrong: frequent tokens have the greatest bias", FRESH,
                bias_of(lambda n: -share(n + 1).log())),
        Mistake("the logarithm is to the base of 2: the softmax undoes the natural one", FRESH,
                bias_of(lambda n: share(n + 1).log2())),
        Mistake("the logarithm is to the base of 10: the softmax undoes the natural one", FRESH,
                bias_of(lambda n: share(n + 1).log10())),
        Mistake("every token has the same share: that is what a bias of 0 says", FRESH,
                bias_of(lambda n: share(torch.ones_like(n)).log())),
        Mistake("a bias of 0 makes all V tokens equally likely: the first loss is then log V",
                FRESH, bias_of(torch.zeros_like)),
        Mistake("the texts that contain a token were counted, not how often it occurs",
                FRESH, lambda ids, mask, V: share(in_texts(ids, mask, V) + 1).log()),
        Mistake("the biases are sorted: each belongs to its token's id", FRESH,
                bias_of(lambda n: share(n + 1).log().sort(descending=True).values)),
        Mistake("the softmax was taken of counts: divide them by their sum", FRESH,
                bias_of(lambda n: n.log_softmax(-1))),
    ),
    hints=(
        "What does the head say before it has learned anything, if its logits are the bias alone?",
        "Count the ids whose mask is 1, add 1 to every count, divide by the new sum, logarithm.",
        "counts = torch.bincount(input_ids[attention_mask == 1], minlength=vocab_size) + 1; "
        "(counts / counts.sum()).log()",
    ),
)  # fmt: skip


# 6: repair the loss of one process among many


def reference_process_loss(losses: Tensor, counts: list[int]) -> Tensor:
    return losses.sum() * len(counts) / sum(counts)


def process_cases(seed: int) -> list[Case]:
    """Unlike numbers of tokens, and a process that has none: this one, or another."""
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
        Mistake("this is the process's own mean: a token of a process with few weighs more, and "
                "without a token it is 0/0, NaN", GPU, lambda x, counts: x.mean()),
        Mistake("this is the process's own mean, NaN taken care of: a token of a process with few "
                "still weighs more", GPU, lambda x, counts: x.mean().nan_to_num()),
        Mistake("the number of processes is missing: gradients are averaged over them, so each "
                "divides by it once more", GPU, lambda x, counts: x.sum() / sum(counts)),
        Mistake("the number of processes is missing, and without a token a mean is NaN", GPU,
                lambda x, counts: x.mean() * len(x) / sum(counts)),
        Mistake("0 times NaN is NaN: where there is no token, take a sum and not a mean", GPU,
                lambda x, counts: x.mean() * len(x) * len(counts) / sum(counts)),
        Mistake("this is the sum: it is not divided by all processes' tokens", GPU,
                lambda x, counts: x.sum()),
        Mistake("the number of processes divides once more: it is what the averaging has already "
                "divided by, so multiply", GPU,
                lambda x, counts: x.sum() / len(counts) / sum(counts)),
        Mistake("the sum was multiplied by the number of processes, but not divided by the tokens",
                GPU, lambda x, counts: x.sum() * len(counts)),
        Mistake("the sum was divided by the number of processes: by the tokens of all, and times "
                "the processes", GPU, lambda x, counts: x.sum() / len(counts)),
        Mistake("the own mean was divided by the number of processes: averaging does that already",
                GPU, lambda x, counts: x.mean() / len(counts)),
        Mistake("the own mean was multiplied by the number of processes: each token's weight still "
                "depends on its process", GPU, lambda x, counts: x.mean() * len(counts)),
        Mistake("every process was divided by the greatest count: by the mean count", GPU,
                lambda x, counts: x.sum() / max(counts)),
        Mistake("this divides by the first process's tokens: by the mean count of all", GPU,
                lambda x, counts: x.sum() / counts[0]),
        Mistake("processes without a token were not counted: gradients are averaged over all",
                GPU, lambda x, counts: x.sum() * sum(c > 0 for c in counts) / sum(counts)),
        Mistake("the sum was divided by the other processes' tokens: by those of all", GPU,
                lambda x, counts: x.sum() * len(counts) / (sum(counts) - len(x))),
    ),
    hints=(
        "Write down the mean over all tokens of all processes, and what the averaging makes of the "
        "losses that the processes give it.",
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
    """Another count of one part, or another way from operations to hours and to a price."""

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
        Mistake("this is the forward pass alone: the backward pass costs twice as much again", COST,
                cost_with(passes=1)),
        Mistake("the backward pass costs two forward passes, one for the states and one for the "
                "weights: all in all three", COST, cost_with(passes=2)),
        Mistake("a multiplication and an addition are two operations", COST,
                cost_with(passes=1.5)),
        Mistake("attention's products are missing, of queries with keys and of weights with "
                "values: they grow with the length", COST, cost_with(scores=lambda T, D: 0)),
        Mistake("one of attention's products is missing: there are two, queries with keys and "
                "weights with values", COST, cost_with(scores=lambda T, D: 2 * T * D)),
        Mistake("attention's products are those of a whole text, T squared: a token has T of them",
                COST, cost_with(scores=lambda T, D: 4 * T**2 * D)),
        Mistake("the head counts at every position: it is asked only where something is hidden",
                COST, cost_with(share=lambda asked: 1)),
        Mistake("the head is missing: with a small model, it is a large part", COST,
                cost_with(share=lambda asked: 0)),
        Mistake("the head's decoder is missing: D times V for each token that is asked", COST,
                cost_with(head=lambda D, V: 2 * D**2)),
        Mistake("the head's dense layer is missing: D times D before the decoder", COST,
                cost_with(head=lambda D, V: 2 * D * V)),
        Mistake("the token matrix counts in the embeddings too: a row is looked up there, and "
                "nothing is multiplied", COST, cost_with(more=lambda D, V: 2 * D * V)),
        Mistake("the feed-forward layer is missing: two matrices of D times 4 D", COST,
                cost_with(matrices=lambda D: 8 * D**2)),
        Mistake("a third of a layer's matrices is missing: attention has four of D times D, the "
                "feed-forward layer one of D times 4 D up and one down", COST,
                cost_with(matrices=lambda D: 16 * D**2)),
        Mistake("attention's output matrix is missing: it has four, not three", COST,
                cost_with(matrices=lambda D: 22 * D**2)),
        Mistake("this is one layer: there are `layers` of them", COST,
                cost_with(depth=lambda layers: 1)),
        Mistake("the hours are those of a device that is always at its highest speed: a share of "
                "it is used", COST, cost_with(rate=lambda speed, used: speed)),
        Mistake("the share that is used makes it faster here: divide by it", COST,
                cost_with(rate=lambda speed, used: speed / used)),
        Mistake("the share that is not used was counted", COST,
                cost_with(rate=lambda speed, used: speed * (1 - used))),
        Mistake("these are seconds: an hour has 3600", COST, cost_with(seconds=1)),
        Mistake("these are minutes: an hour has 3600 seconds", COST, cost_with(seconds=60)),
        Mistake("these are days: hours are asked for", COST, cost_with(seconds=86400)),
        Mistake("the hours were divided by the price of one: multiply", COST,
                cost_with(pay=lambda hours, price: hours / price)),
        Mistake("this is the price of one hour, not of all", COST,
                cost_with(pay=lambda hours, price: price)),
    ),
    hints=(
        "Go along one token's way and count the matrices that it is multiplied by.",
        "Forward, for a token: 2 times 12 D squared a layer, 2 times 2 T D for attention's two "
        "products, and for the share that is asked 2 D squared and 2 D V. Three times that.",
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
