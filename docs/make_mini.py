"""Makes the BERT that the package ships, `minibert.load("mini")`: train, measure, write.

    python docs/make_mini.py train runs/mini              # the same again goes on with it
    python docs/make_mini.py train runs/mini-1 --seed 1 --tenth
    python docs/make_mini.py measure runs/mini            # on held-out documents, to the screen
    python docs/make_mini.py ship runs/mini               # into the package, with its card

`make data` fetches the text. A run that was stopped loses less than a minute.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from mini_card import write_card
from safetensors.torch import load_file, save_file

from minibert.data.batches import Batch, PackedBatches, PairBatches, SentenceBatches
from minibert.data.corpora import load_corpus
from minibert.data.library import SOURCES
from minibert.data.masking import EVALUATION_MASKING
from minibert.data.tokenized_corpora import TokenizedCorpus, write_tokens
from minibert.files import SHIPPED, read_json, write_json
from minibert.inference.fill_mask import fill_mask
from minibert.model import IGNORE_INDEX, BertForPreTraining, load
from minibert.pretraining.counting_baselines import CountBaselines
from minibert.pretraining.recipes import RECIPES
from minibert.pretraining.run import Run, pretrain
from minibert.tokenizer import BertTokenizer
from minibert.training.run_folder import Session

STEPS = 36_000
"""Of 64 sequences of up to 128 tokens: 280 million tokens, some twenty passes."""
RECIPE = replace(
    RECIPES["fast"],
    objective="mlm+nsp",
    elsewhere=0.5,
    sentences=0.25,
    decay=0.42,
    max_length=128,
    lr=2e-3,
    matrix_lr=0.01,
)
"""As `fast`, but on sentence pairs, and in a quarter of the steps on single sentences, with gentler
rates for a longer run."""

COPIED = ("config.json", "vocab.txt", "tokenizer_config.json", "history.jsonl", "run.json")
"""Files of the run that are shipped as they are."""

LENGTH, ROWS, BATCHES, SEED = 128, 64, 8, 12345
"""What is measured on each source: this many batches of so many sequences."""

SENTENCES = {
    "The cat sat on the [MASK].": "floor table bed ground mat chair roof wall grass window tree",
    "Paris is the capital of [MASK].": "france",
    "London is the capital of [MASK].": "england britain",
    "He opened the [MASK] and looked inside.": "door window box letter book bag gate case",
    "She poured the milk into a [MASK].": "glass cup bowl bottle pot dish",
    "The dog began to [MASK] loudly.": "bark howl cry",
    "Water freezes when it is very [MASK].": "cold",
    "The opposite of hot is [MASK].": "cold",
    "A bird can [MASK] in the sky.": "fly be sing",
    "There are seven days in a [MASK].": "week",
    "The sun rises in the [MASK].": "east morning sky",
    "She was hungry, so she ate some [MASK].": "food bread meat fruit fish cake",
    "They went to [MASK] because they were tired.": "bed sleep rest",
    "The king and the [MASK] sat on their thrones.": "queen",
    "Two plus two is [MASK].": "four",
    "He put on his coat because it was [MASK].": "cold wet",
    "The snow on the mountain is [MASK].": "white cold deep",
    "The doctor works in a [MASK].": "hospital",
    "A triangle has [MASK] sides.": "three",
    "The ship sailed across the [MASK].": "sea ocean river lake water bay channel atlantic",
    "He read the [MASK] from the first page to the last.": "book letter story text",
    "My father and my [MASK] live in a small house.": "mother",
}
"""What to guess, and the answers that count as right. Chosen before the model was trained."""


@click.group()
def main() -> None:
    """Train, measure and ship `mini`."""


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--seed", default=0)
@click.option("--tenth", is_flag=True, help="A tenth of the steps.")
def train(out: Path, seed: int, tenth: bool) -> None:
    """Begin a run in the folder OUT, or go on with it."""
    run = Run("library", "mini-6-layers", RECIPE, STEPS // 10 if tenth else STEPS, seed=seed)
    session = Session(resume=(out / "run.json").exists())
    pretrain(load_corpus("library"), out, run, session, snapshots=True)


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
def measure(out: Path) -> None:
    """Print what the model in the folder OUT guesses right."""
    print(json.dumps(measured(out, out), indent=2))


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
def ship(out: Path) -> None:
    """Write the model of the run in OUT into the package, rounded to fp16, and measure that."""
    shipped = SHIPPED["mini"]
    shipped.mkdir(exist_ok=True)
    for name in COPIED:
        (shipped / name).write_bytes((out / name).read_bytes())
    weights = {name: tensor.half() for name, tensor in load_file(out / "model.safetensors").items()}
    save_file(weights, shipped / "model.safetensors", metadata={"format": "pt"})
    result = measured(shipped, out)
    write_json(shipped / "measured.json", result)
    write_card(shipped, result)


@main.command()
def card() -> None:
    """Write the card of the shipped model again, from what was measured."""
    write_card(SHIPPED["mini"], read_json(SHIPPED["mini"] / "measured.json"))


def measured(folder: Path, out: Path) -> dict[str, Any]:
    """What the model in `folder` guesses right, on the held-out documents of the run in `out`.

    Masked tokens by source, NSP by where B comes from, and the sentences above.
    """
    model, tokenizer = load(folder)
    training = TokenizedCorpus.open(out / "data" / "training")
    held_out = TokenizedCorpus.open(out / "data" / "held_out")
    alone = SentenceBatches(held_out, tokenizer, EVALUATION_MASKING, ROWS, LENGTH, SEED)
    counts = CountBaselines(training.tokens, tokenizer.vocab_size)
    sources = {}
    for name, batches in batches_by_source(out, tokenizer).items():
        accuracy, error = masked_accuracy(model, batches)
        sources[name] = {"mini": accuracy, "±": error, **counts.accuracy(batches)}
    return {
        "weights": sum(parameter.numel() for parameter in model.parameters()),
        "rows": ROWS * BATCHES,
        "length": LENGTH,
        "sources": sources,
        "single sentences": masked_accuracy(model, [alone(step) for step in range(BATCHES)]),
        "mean": float(np.mean([line["mini"] for line in sources.values()])),
        "nsp, another document": nsp_accuracy(model, held_out, tokenizer, elsewhere=0.0),
        "nsp, elsewhere": nsp_accuracy(model, held_out, tokenizer, elsewhere=1.0),
        "sentences": {text: guesses(model, tokenizer, text) for text in SENTENCES},
    }


def batches_by_source(out: Path, tokenizer: BertTokenizer) -> dict[str, list[Batch]]:
    """Held-out text of each source, 15 % masked, all by `[MASK]`."""
    _, held_out = load_corpus("library").split()
    documents = list(held_out)
    found = {}
    for source in SOURCES:
        own = [d for d in documents if d.name.startswith(f"{source.name}: ")]
        corpus = write_tokens(own, tokenizer, out / "held_out_by_source" / source.name)
        batches = PackedBatches(corpus, tokenizer, EVALUATION_MASKING, ROWS, LENGTH, SEED)
        found[source.name] = [batches(step) for step in range(BATCHES)]
    return found


@torch.no_grad()
def masked_accuracy(model: BertForPreTraining, batches: list[Batch]) -> tuple[float, float]:
    """The share of masked tokens guessed right, and its 95 % interval over sequences."""
    shares = []
    for batch in batches:
        masked = batch["labels"] != IGNORE_INDEX  # (B, T)
        out = model.bert(batch["input_ids"], batch.get("attention_mask"))
        states = out.last_hidden_state[masked]  # (M, D)
        right = torch.zeros_like(masked)
        right[masked] = model.mlm_head(states).argmax(-1) == batch["labels"][masked]
        shares.append(right.sum(1) / masked.sum(1))  # (B,)
    return share_and_interval(torch.cat(shares).numpy())


@torch.no_grad()
def nsp_accuracy(
    model: BertForPreTraining, corpus: TokenizedCorpus, tokenizer: BertTokenizer, elsewhere: float
) -> tuple[float, float]:
    """The share of 2,000 held-out pairs told right, and its 95 % interval; chance is a half."""
    batches = PairBatches(corpus, tokenizer, EVALUATION_MASKING, 50, LENGTH, SEED, elsewhere)
    right = []
    for step in range(40):
        batch = batches(step)
        labels = batch.pop("labels")
        is_random = batch.pop("next_sentence_label")  # (B,)
        seen = labels != IGNORE_INDEX
        batch["input_ids"][seen] = labels[seen]  # nothing is masked
        pooled = model.bert(**batch).pooler_output
        right.append(model.nsp_head(pooled).argmax(-1) == is_random)
    return share_and_interval(torch.cat(right).float().numpy())


def share_and_interval(shares: np.ndarray) -> tuple[float, float]:
    """The mean of many values (N,), and how far its 95 % interval reaches to each side."""
    error = 1.96 * shares.std(ddof=1) / np.sqrt(len(shares))
    return round(float(shares.mean()), 4), round(float(error), 4)


def guesses(model: BertForPreTraining, tokenizer: BertTokenizer, text: str) -> dict[str, Any]:
    """The three likeliest words for the blank, and whether one of them, or the first, is right."""
    words = [token for token, _ in fill_mask(model, tokenizer, text, top_k=3)[0]]
    right = SENTENCES[text].split()
    return {
        "guesses": words,
        "first is right": words[0] in right,
        "one of three is right": any(word in right for word in words),
    }


if __name__ == "__main__":
    main()
