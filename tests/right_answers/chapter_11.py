"""Right answers to the exercises of chapter 11, at least two ways each besides the reference."""

import functools
import json
import math
import struct

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig as TheirConfig
from transformers import BertForPreTraining as TheirModel

from minibert.config import BertConfig
from minibert.encoder import BertEncoder
from minibert.model import MaskedLMHead


def counted_bytes():
    """What a step of torch's AdamW keeps, in float32 and with bfloat16 for weights and gradients.

    Its float32 copy of the weights is what a mixed-precision optimiser steps on.
    """

    def stepped(dtype):
        weight = torch.nn.Parameter(torch.zeros(1000, dtype=dtype))
        weight.grad = torch.zeros_like(weight)
        optimizer = torch.optim.AdamW([weight])
        optimizer.step()
        averages = [x for x in optimizer.state[weight].values() if x.numel() == weight.numel()]
        return [weight, weight.grad], averages

    def size(tensors):
        return sum(x.numel() * x.element_size() for x in tensors) // 1000

    full, averages = stepped(torch.float32)
    half, _ = stepped(torch.bfloat16)
    return size(full) + size(averages), size(half) + size([full[0], *averages])


def by_cases_from_tensorflow(variables):
    found = {}
    for name, tensor in variables.items():
        if name.endswith(("/adam_m", "/adam_v")) or name == "global_step":
            continue
        name = name.replace("/", ".").replace("layer_", "layer.")
        if name.endswith(".kernel"):
            name, tensor = name.replace(".kernel", ".weight"), tensor.transpose(0, 1).contiguous()
        elif name.endswith(".gamma"):
            name = name.replace(".gamma", ".weight")
        elif name.endswith(".beta"):
            name = name.replace(".beta", ".bias")
        elif name.endswith("_embeddings"):
            name += ".weight"
        found[name.replace("output_bias", "bias").replace("output_weights", "weight")] = tensor
    return found


@functools.cache
def their_names():
    config = TheirConfig(
        vocab_size=4, hidden_size=4, num_hidden_layers=11, num_attention_heads=1,
        intermediate_size=4, max_position_embeddings=4,
    )  # fmt: skip
    return TheirModel(config).state_dict().keys()


def by_their_names_from_tensorflow(variables):
    """Each of Hugging Face's own names, and which variable it must have been."""
    found = {}
    for theirs in their_names():
        path, _, last = theirs.replace("layer.", "layer_").replace(".", "/").rpartition("/")
        for end in {"weight": ("kernel", "gamma", "", "output_weights")}.get(
            last, ("bias", "beta", "output_bias")
        ):
            tensor = variables.get(f"{path}/{end}".rstrip("/"))
            if tensor is not None:
                found[theirs] = torch.einsum("io->oi", tensor) if end == "kernel" else tensor
    return found


def torch_load_checked(wanted, given):
    """torch's own loading, strict, into a module of these parameters."""
    holder = torch.nn.ParameterDict()
    own = {name.replace(".", "/"): torch.zeros_like(x) for name, x in wanted.items()}
    holder.update(own)
    given = {n[5:] if n.startswith("bert.") else n: x for n, x in given.items()}
    given = {n.replace(".", "/"): x for n, x in given.items() if "position_ids" not in n}
    try:
        holder.load_state_dict(given)
    except RuntimeError as error:
        raise ValueError(str(error)) from None
    return {name.replace("/", "."): x.detach() for name, x in holder.items()}


def listed_load_checked(wanted, given):
    found, problems = {}, []
    for name, tensor in given.items():
        name = name.removeprefix("bert.")
        if name.endswith("position_ids"):
            continue
        if name not in wanted:
            problems.append(f"extra: {name}")
        elif wanted[name].size() != tensor.size():
            problems.append(f"misshapen: {name}")
        found[name] = tensor
    problems += [f"missing: {name}" for name in wanted if name not in found]
    if problems:
        raise ValueError("; ".join(problems))
    return {name: found[name] for name in wanted}


def loop_similarities(states, attention_mask):
    vectors = [x[m == 1].mean(0) for x, m in zip(states, attention_mask, strict=True)]
    return torch.stack(
        [torch.stack([F.cosine_similarity(a, b, 0) for b in vectors]) for a in vectors]
    )


def summed_similarities(states, attention_mask):
    """The length is divided out, so the sum does as well as the mean."""
    sums = torch.einsum("ntd,nt->nd", states, attention_mask.to(states.dtype))
    products = sums @ sums.T
    lengths = products.diagonal().sqrt()
    return products / lengths / lengths[:, None]


def loop_bias(input_ids, attention_mask, vocab_size):
    counts = [1] * vocab_size
    for ids, mask in zip(input_ids.tolist(), attention_mask.tolist(), strict=True):
        for token, real in zip(ids, mask, strict=True):
            counts[token] += real
    return torch.tensor([math.log(count / sum(counts)) for count in counts])


def one_hot_bias(input_ids, attention_mask, vocab_size):
    counts = (F.one_hot(input_ids, vocab_size) * attention_mask[..., None]).sum((0, 1))
    return (counts.float() + 1).log().log_softmax(-1)


def mean_of_counts(losses, counts):
    return losses.sum() / float(np.mean(counts))


def weighed_losses(losses, counts):
    weights = torch.full_like(losses, len(counts) / sum(counts))
    return (losses * weights).sum()


def by_parts_cost(layers, hidden, length, vocabulary, asked, tokens, speed, used, price):
    block = 4 * hidden * hidden + 2 * hidden * 4 * hidden + 2 * length * hidden
    head = hidden * hidden + hidden * vocabulary
    operations = 6 * (layers * block + asked * head)
    hours = tokens / 3600 * (operations / (used * speed))
    return operations, hours, price * hours


def counted_cost(layers, hidden, length, vocabulary, asked, tokens, speed, used, price):
    """Operations as torch counts them, in a step of our own BERT that has no numbers in it."""
    config = BertConfig(
        vocab_size=vocabulary, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=4,
        intermediate_size=4 * hidden, max_position_embeddings=length, attn_implementation="eager",
    )  # fmt: skip
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        encoder, head = BertEncoder(config), MaskedLMHead(config)
        embedded = torch.zeros(1, length, hidden, requires_grad=True)  # to look up costs nothing
        states, _, _ = encoder(embedded)
        head(states[0, : int(asked * length)]).sum().backward()
    operations = counter.get_total_flops() / length
    hours = operations * tokens / speed / used / 3600
    return operations, hours, hours * price


def struct_read_tensor(raw, name):
    (length,) = struct.unpack_from("<Q", raw)
    entry = json.loads(raw[8 : 8 + length].decode())[name]
    data = memoryview(raw)[8 + length :][slice(*entry["data_offsets"])]
    kind = {"F32": np.float32, "I64": np.int64}[entry["dtype"]]
    return torch.from_numpy(np.frombuffer(data, kind).reshape(entry["shape"]).copy())


def safetensors_read_tensor(raw, name):
    return load(raw)[name]


def loop_difference(mine, theirs, attention_mask):
    found = 0.0
    for a, b, mask in zip(mine, theirs, attention_mask.tolist(), strict=True):
        apart = (a - b).abs().amax(-1).tolist()
        found = max(found, *(x for x, real in zip(apart, mask, strict=True) if real))
    return torch.tensor(found)


def multiplied_difference(mine, theirs, attention_mask):
    return ((mine - theirs) * attention_mask.unsqueeze(-1)).abs().amax()


def sorted_matches(queries, texts, number):
    cosines = F.cosine_similarity(queries[:, None], texts[None], dim=-1)
    return cosines.argsort(dim=-1, descending=True)[:, :number]


def nearest_unit_matches(queries, texts, number):
    """The closest points on the unit sphere are those with the largest cosines."""
    apart = torch.cdist(F.normalize(queries), F.normalize(texts))
    return apart.topk(number, largest=False).indices


RIGHT = {
    "bytes_a_weight": [[16, 16], counted_bytes()],
    "from_tensorflow": [by_cases_from_tensorflow, by_their_names_from_tensorflow],
    "load_checked": [torch_load_checked, listed_load_checked],
    "similarities": [loop_similarities, summed_similarities],
    "fresh_bias": [loop_bias, one_hot_bias],
    "process_loss": [mean_of_counts, weighed_losses],
    "training_cost": [by_parts_cost, counted_cost],
    "read_tensor": [struct_read_tensor, safetensors_read_tensor],
    "largest_difference": [loop_difference, multiplied_difference],
    "best_matches": [sorted_matches, nearest_unit_matches],
}
