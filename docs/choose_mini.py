"""Which shape, vocabulary and settings `mini` has: short runs behind the table in its card.

    python docs/choose_mini.py [CHOICE ...]

Every run takes the same number of tokens from the library and is measured on its held-out
documents, 15 % masked, all by `[MASK]`. Bits are per character, so that vocabularies compare. A
run is one line of `docs/choose_mini.jsonl`, and is not repeated if it is there.
"""

from __future__ import annotations

import json
import math
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from short_run import Length, train_briefly

from minibert.config import BertConfig
from minibert.data.corpora import Sentences, load_corpus
from minibert.data.masking import Masking
from minibert.data.tokenized_corpora import TokenizedCorpus, write_tokens
from minibert.pretraining.recipes import RECIPES
from minibert.pretraining.run_data import RunData
from minibert.pretraining.start_new import make_model
from minibert.tokenizer import BertTokenizer

HERE = Path(__file__).parent
RESULTS = HERE / "choose_mini.jsonl"
DATA = HERE.parent / "runs" / "choose_mini"
TOKENS = 6_144_000
"""Of each run: half of the library."""

BASE: dict[str, Any] = {
    "layers": 4, "hidden": 256, "vocab": 8192, "length": 64, "batch": 64, "masking": 0.3,
    "lr": 2e-3, "matrix_lr": 0.01, "nsp": False,
}  # fmt: skip
CHOICES: dict[str, dict[str, Any]] = {
    "base": {},
    "six layers": {"layers": 6},
    "vocabulary 16k": {"vocab": 16384},
    "six layers, 16k": {"layers": 6, "vocab": 16384},
    "narrow and deep": {"layers": 12, "hidden": 192},
    "masking 15 %": {"masking": 0.15},
    "masking 40 %": {"masking": 0.4},
    "length 128": {"length": 128, "batch": 32},
    "higher rates": {"lr": 3e-3, "matrix_lr": 0.02},
    "sentence pairs": {"nsp": True},
    "sentence pairs, length 128": {"nsp": True, "length": 128, "batch": 32},
}


def texts(vocab_size: int) -> tuple[RunData, float]:
    """Training and held-out tokens and the tokenizer, and held-out characters per token."""
    folder = DATA / str(vocab_size)
    if not (folder / "characters.json").exists():
        training, held_out = load_corpus("library").split()
        tokenizer = BertTokenizer.train(Sentences(training), vocab_size)
        tokenizer.save(folder)
        write_tokens(training, tokenizer, folder / "training")
        write_tokens(held_out, tokenizer, folder / "held_out")
        characters = sum(len(sentence) for sentence in Sentences(held_out))
        (folder / "characters.json").write_text(str(characters), encoding="utf-8")
    held_out = TokenizedCorpus.open(folder / "held_out")
    characters = int((folder / "characters.json").read_text("utf-8"))
    training = TokenizedCorpus.open(folder / "training")
    data = RunData(training, held_out, BertTokenizer.from_pretrained(folder))
    return data, characters / held_out.num_tokens


def train(choice: dict[str, Any]) -> dict[str, float]:
    """One run, and what it came to."""
    data, characters_per_token = texts(choice["vocab"])
    recipe = replace(
        RECIPES["fast"],
        lr=choice["lr"],
        matrix_lr=choice["matrix_lr"],
        warmup=0.1,
        masking=Masking(choice["masking"]),
        objective="mlm+nsp" if choice["nsp"] else "mlm",
        batch_size=choice["batch"],
        max_length=choice["length"],
    )
    config = BertConfig(
        vocab_size=data.tokenizer.vocab_size,
        hidden_size=choice["hidden"],
        num_hidden_layers=choice["layers"],
        num_attention_heads=choice["hidden"] // 64,
        intermediate_size=4 * choice["hidden"],
        max_position_embeddings=128,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation="eager",
    )
    model = make_model(recipe, config, data.training, seed=0)
    steps = round(TOKENS / choice["batch"] / choice["length"])
    started = time.process_time()
    history = train_briefly(model, recipe, data, Length(steps))
    measured = history[-1]["held_out"]
    return {
        "weights": sum(p.numel() for p in model.parameters()),
        "accuracy": round(measured["mlm_accuracy"], 4),
        "loss": round(measured["mlm_loss"], 3),
        "bits_per_character": round(measured["mlm_loss"] / math.log(2) / characters_per_token, 3),
        "nsp_accuracy": round(history[-2].get("nsp_accuracy", 0.0), 3),
        "core_minutes": round((time.process_time() - started) / 60, 1),
    }


def main() -> None:
    """Run the choices that are asked for, or all."""
    done = {}
    if RESULTS.exists():
        lines = map(json.loads, RESULTS.read_text("utf-8").splitlines())
        done = {line["choice"]: line for line in lines}
    for name in sys.argv[1:] or CHOICES:
        if name in done:
            continue
        settings = {**BASE, **CHOICES[name]}
        line = {"choice": name, "settings": settings, "result": train(settings)}
        print(line, flush=True)
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
