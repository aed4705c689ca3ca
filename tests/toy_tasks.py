"""A small task of each kind, and a small BERT that learns it in seconds."""

import random

import torch

from minibert.config import BertConfig
from minibert.data.splits import TaskData
from minibert.finetuning.settings import Finetuning, Runs
from minibert.model import BertModel
from minibert.tokenizer import BertTokenizer

WORDS = "red green blue yes no north south one two three four five".split()  # noqa: SIM905


TOKENIZER = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "."])


COLOURS = ("red", "green", "blue")


FAST = Finetuning(epochs=12, batch_size=16, max_length=24, lr=3e-3, pooling="mean", patience=20)
QUIET = Runs(seeds=(0,), say=lambda _: None)


def small_bert(**changes):
    torch.manual_seed(0)
    sizes = {
        "vocab_size": TOKENIZER.vocab_size,
        "max_position_embeddings": 24,
        "hidden_size": 32,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    return BertModel(BertConfig.preset("tiny", **{**sizes, **changes}))


def row(kind, rng):
    """A task that reading solves, and counting words too: the answer is a word of the text."""
    words = rng.choices([w for w in WORDS if w not in COLOURS], k=rng.randint(3, 7))
    colour = rng.choice(COLOURS)
    place = rng.randrange(len(words))
    coloured = [*words[:place], colour, *words[place:]]
    text = " ".join(coloured)
    if kind == "classification":
        return {"text": text, "label": colour}
    if kind == "multi-label":
        return {"text": text, "label": [w for w in ("yes", "no") if w in words]}
    if kind == "regression":
        return {"text": text, "label": 1900.0 + 50 * COLOURS.index(colour)}
    if kind == "tagging":
        return {"words": coloured, "tags": ["COL" if w in COLOURS else "O" for w in coloured]}
    if kind == "question-answering":
        answers = [{"text": colour, "start": text.index(colour)}]
        if rng.random() < 0.3:
            text, answers = " ".join(words), []
        return {"question": "one .", "context": text, "answers": answers}
    choices = [*rng.sample(["five", "four", "three"], 2), colour]
    rng.shuffle(choices)
    return {"text": " ".join(words), "choices": choices, "label": choices.index(colour)}


def toy(kind, train=240, validation=40, test=40):
    rng = random.Random(0)
    rows = [row(kind, rng) for _ in range(train + validation + test)]
    labels = {"classification": COLOURS, "multi-label": ("no", "yes"), "tagging": ("COL", "O")}
    return TaskData(
        f"toy {kind}",
        kind,
        labels.get(kind, ()),
        rows[:train],
        rows[train : train + validation],
        rows[train + validation :],
    )
