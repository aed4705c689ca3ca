"""Small models to distil, and what there is to learn from them."""

from dataclasses import replace

import torch

from minibert import BertConfig, BertForPreTraining
from minibert.distillation.objective import Transfer

VOCAB = 75
HALF = Transfer(temperature=2.0, alpha=0.5)
EVERYTHING = (
    replace(HALF, hidden_weight=1.0, attention="maps"),
    replace(HALF, hidden_weight=0.5, attention="relations", attention_weight=2.0),
)


def config(layers=4, hidden=64, heads=4, **changes):
    values = {
        "vocab_size": VOCAB,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * hidden,
        "max_position_embeddings": 64,
        "initializer_range": 0.2,  # far from uniform guesses and attention
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    return BertConfig(**values | changes)


def model(seed=0, kind=BertForPreTraining, **changes):
    torch.manual_seed(seed)
    extra = {"next_sentence": False} if kind is BertForPreTraining else {}
    return kind(config(**changes), **extra).eval()


def padded_batch(seed=0):
    """Three rows of 12, 9 and 5 real tokens, and garbage in the padding."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, VOCAB, (3, 12), generator=generator)
    mask = torch.arange(12) < torch.tensor([[12], [9], [5]])
    labels = torch.where(torch.rand(3, 12, generator=generator) < 0.4, ids, -100)
    labels = torch.where(mask, labels, -100)
    labels[:, 1] = ids[:, 1]
    return {"input_ids": ids, "attention_mask": mask.long(), "labels": labels}
