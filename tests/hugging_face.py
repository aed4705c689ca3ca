"""Hugging Face's BERTs with random weights, and a batch for them and for ours."""

import torch
import transformers
from torch.testing import assert_close

from minibert import weights

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
CONFIGS = [
    {"hidden_size": 24, "num_attention_heads": 3, "num_hidden_layers": 3, "hidden_act": "gelu"},
    {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2, "hidden_act": "gelu_new"},
    {"hidden_size": 16, "num_attention_heads": 1, "num_hidden_layers": 1, "hidden_act": "relu"},
    *(
        {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 2, "hidden_act": act}
        for act in ("gelu_pytorch_tanh", "sigmoid", "tanh", "silu")
    ),
]


def hf_model(kind, sizes):
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=97,
        intermediate_size=56,
        max_position_embeddings=20,
        initializer_range=0.2,  # large enough that a wrong part is seen
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation="eager",
        **sizes,
    )
    model = kind(config)
    with torch.no_grad():  # biases and LayerNorms too, or a lost one would not be seen
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.train()


def batch():
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 97, (3, 11), generator=generator)
    ids[0, 8] = 0  # [PAD], though no mask hides it
    mask = torch.ones(3, 11, dtype=torch.long)
    mask[1, 7:] = 0
    mask[2, 4:] = 0
    ids[mask == 0] = 0
    segments = torch.zeros(3, 11, dtype=torch.long)
    segments[:, 3:6] = 1
    labels = torch.full((3, 11), -100)
    labels[0, [1, 5]], labels[1, 2], labels[2, 3] = 7, 8, 0
    return (
        {
            "input_ids": ids,
            "attention_mask": mask,
            "token_type_ids": segments,
        },
        labels,
        torch.tensor([0, 1, 0]),
    )


def gradients_by_hf_name(model):
    return {
        weights.hf_name(name).removeprefix("bert."): parameter.grad
        for name, parameter in model.named_parameters()
    }


def assert_same_gradients(ours, theirs):
    wanted = {n.removeprefix("bert."): p.grad for n, p in theirs.named_parameters()}
    got = gradients_by_hf_name(ours)
    assert set(got) == set(wanted)
    for name, gradient in wanted.items():
        assert_close(got[name], gradient, **CLOSE, msg=lambda m, name=name: f"{name}: {m}")
