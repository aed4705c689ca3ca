"""Pretraining: from a corpus to a BERT in a folder. Two recipes, one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from minibert.config import BertConfig
from minibert.embeddings import cooccurrence_embeddings
from minibert.model import IGNORE_INDEX, BertForPreTraining
from minibert.optim import Schedule, adam, linear, muon, warmup_stable_decay
from minibert.pretraining_data import (
    EVALUATION_MASKING,
    Batch,
    Masking,
    PackedBatches,
    PairBatches,
    TokenizedCorpus,
)
from minibert.tokenizer import BertTokenizer
from minibert.trainer import Numbers

HELD_OUT_BATCHES = 16
HELD_OUT_SEED = 12345
"""Masks of the held-out text are the same in every run, so runs can be compared."""


@dataclass(frozen=True)
class Recipe:
    """How a BERT is pretrained; its architecture is the config's."""

    optimizer: str
    """`adam`: without bias correction, as the original; `adamw`: with it; `muon`: Muon + AdamW."""
    lr: float
    schedule: str
    """`linear` as the original, or `wsd`: warm-up, stable, decay."""
    warmup: float
    """The share of training that the learning rate rises in."""
    masking: Masking
    next_sentence: bool
    """MLM + NSP on sentence pairs; else MLM alone, on packed sequences without padding."""
    dropout: float
    batch_size: int
    max_length: int
    init: str
    """Where the token matrix starts: `random`, or `cooccurrence`."""
    bf16: bool
    """Matrix products in bfloat16, where the processor has it."""
    matrix_lr: float = 0.0
    """Muon's."""
    decay: float = 0.0
    """The share of training that `wsd` falls in."""


RECIPES = {
    "original": Recipe(
        optimizer="adam",
        lr=1e-3,
        schedule="linear",
        warmup=0.1,
        masking=Masking(),
        next_sentence=True,
        dropout=0.1,
        batch_size=32,
        max_length=64,
        init="random",
        bf16=False,
    ),
    "fast": Recipe(
        optimizer="muon",
        lr=6e-3,
        matrix_lr=0.02,
        schedule="wsd",
        warmup=0.02,
        decay=0.5,
        masking=Masking(probability=0.3),
        next_sentence=False,
        dropout=0.0,
        batch_size=64,
        max_length=64,
        init="cooccurrence",
        bf16=True,
    ),
}


class PretrainingObjective:
    """MLM over masked tokens and, where the batch has its labels, NSP over pairs."""

    def __init__(self, next_sentence: bool) -> None:
        self.next_sentence = next_sentence
        self.loss_terms = ("mlm_loss", "nsp_loss") if next_sentence else ("mlm_loss",)

    def counts(self, batch: Batch) -> Numbers:
        """Masked tokens and pairs; `tokens` without padding."""
        masked = int((batch["labels"] != IGNORE_INDEX).sum())
        mask = batch.get("attention_mask")
        tokens = batch["input_ids"].numel() if mask is None else int(mask.sum())
        counts = {"tokens": tokens, "mlm_loss": masked, "mlm_accuracy": masked}
        if self.next_sentence:
            pairs = len(batch["next_sentence_label"])
            counts |= {"nsp_loss": pairs, "nsp_accuracy": pairs}
        return counts

    def sums(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Summed losses, and how many predictions were right."""
        out = model(**batch)
        masked = (batch["labels"] != IGNORE_INDEX).sum()
        sums = {"mlm_loss": out.mlm_loss * masked, "mlm_accuracy": out.mlm_correct}
        if self.next_sentence:
            labels = batch["next_sentence_label"]  # (B,)
            sums["nsp_loss"] = out.next_sentence_loss * len(labels)
            sums["nsp_accuracy"] = (out.seq_relationship_logits.argmax(-1) == labels).sum()
        return sums


def has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 matrices in hardware; elsewhere it is slower."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def make_model(
    recipe: Recipe, config: BertConfig, corpus: TokenizedCorpus, seed: int
) -> BertForPreTraining:
    """A BERT at its start."""
    torch.manual_seed(seed)
    model = BertForPreTraining(config, recipe.next_sentence)
    if recipe.init == "cooccurrence":
        matrix = cooccurrence_embeddings(
            corpus.tokens, config.vocab_size, config.hidden_size, seed=seed
        )
        with torch.no_grad():
            model.bert.embeddings.word_embeddings.weight.copy_(matrix)
    return model


def make_optimizers(recipe: Recipe, model: nn.Module) -> list[torch.optim.Optimizer]:
    """The optimisers that the recipe names."""
    if recipe.optimizer == "muon":
        return muon(model, recipe.lr, recipe.matrix_lr)
    return [adam(model.parameters(), recipe.lr, bias_correction=recipe.optimizer == "adamw")]


def make_schedule(recipe: Recipe) -> Schedule:
    """The schedule that the recipe names."""
    if recipe.schedule == "linear":
        return linear(recipe.warmup)
    return warmup_stable_decay(recipe.warmup, recipe.decay)


def make_batches(
    recipe: Recipe, corpus: TokenizedCorpus, tokenizer: BertTokenizer, seed: int
) -> Callable[[int], Batch]:
    """Batches by step."""
    kind = PairBatches if recipe.next_sentence else PackedBatches
    return kind(corpus, tokenizer, recipe.masking, recipe.batch_size, recipe.max_length, seed)


def held_out_batches(
    recipe: Recipe, corpus: TokenizedCorpus, tokenizer: BertTokenizer
) -> list[Batch]:
    """What a model is measured on: held-out text of the recipe's kind, every choice fixed."""
    measured = replace(recipe, masking=EVALUATION_MASKING)
    batches = make_batches(measured, corpus, tokenizer, HELD_OUT_SEED)
    return [batches(step) for step in range(HELD_OUT_BATCHES)]
