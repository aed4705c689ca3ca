"""Distillation: a large BERT, the teacher, helps to train a small BERT, the student.

Both read the same masked text. The student learns to predict not only the masked token but the
teacher's probability of every token (Hinton et al., 2015). If wanted, it also imitates the
teacher's hidden states and attention (Jiao et al., 2020; Wang et al., 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from minibert.config import BertConfig
from minibert.data.corpora import Corpus
from minibert.data.shards import PreparedCorpus
from minibert.data.streaming import TrainingCorpus
from minibert.distillation.objective import (
    DistillationObjective,
    StudentAndProjections,
    Transfer,
    check_pair,
    layer_map,
)
from minibert.model import BertForPreTraining, load
from minibert.pretraining.recipes import RECIPES, Recipe, make_batches, make_optimizers, make_plan
from minibert.pretraining.run import check_outside, open_run
from minibert.pretraining.run_data import HELD_OUT_LENGTH, write_corpus
from minibert.pretraining.start_new import make_model
from minibert.settings import Count, Natural, Positive, check
from minibert.training.hardware import best_device
from minibert.training.run_folder import DATA, Session, read_settings
from minibert.training.trainer import Data, Record, Trainer

PLAIN = Transfer()
TEACHER = "teacher"
"""In `data`: the teacher. A resumed run needs no other folder."""


@dataclass(frozen=True)
class DistillationRun:
    """Everything that a run depends on. It is kept in `run.json` and checkpoints."""

    teacher: str
    corpus: str
    layers: Count = 2
    hidden_size: Count = 128
    heads: Count | None = None
    """None: one for each 64 dimensions, or the teacher's if the student is as wide."""
    transfer: Transfer | None = PLAIN
    """None: the student is trained alone, for comparison."""
    recipe: Recipe = RECIPES["fast"]
    steps: Count | None = None
    minutes: Positive | None = None
    seed: Natural = 0

    def __post_init__(self) -> None:
        check(self)
        if self.recipe.objective != "mlm":
            raise ValueError(f"a student learns masked tokens alone, not {self.recipe.objective}")


def distill(
    corpus: Corpus | PreparedCorpus,
    out: str | Path,
    run: DistillationRun,
    session: Session = Session(),
) -> bool:
    """Train a student of `run.teacher` into the folder `out`. Returns False if a signal stopped it.

    Folder, batches, optimizers and measurements are the same as in `pretrain`. If `run.transfer` is
    None, the student is trained alone, from the same start and with the same batches. Raises
    `FileExistsError` for a folder that is not empty, and `ValueError` for a corpus, a teacher or a
    run that does not fit.
    """
    out, recipe, resume, say = Path(out), run.recipe, session.resume, session.say
    plan = make_plan(recipe, run.steps, run.minutes, run.seed)
    if not resume:  # refused before an earlier run is removed
        check_outside(out, run.teacher, "the student")
        config = load(run.teacher)[0].config
        check_pair(config, student_config(config, run), run.transfer or PLAIN)

    def write(directory: Path) -> None:
        given, tokenizer = load(run.teacher)
        tokens = write_corpus(corpus, tokenizer, directory, say)
        make_batches(recipe, tokens, tokenizer, run.seed)  # raises if it can make none
        given.save_pretrained(directory / TEACHER)

    with open_run(corpus, out, run, session, read_distillation, write) as data:
        teacher = BertForPreTraining.from_pretrained(
            out / DATA / TEACHER, attn_implementation=recipe.attention
        ).to(best_device())
        student = make_student(teacher, data.training, run)
        model, objective = _lesson(teacher, student, run)
        model.to(best_device())
        batches = make_batches(recipe, data.training, data.tokenizer, run.seed)
        trainer = Trainer(
            model,
            objective,
            make_optimizers(recipe, model),
            Data(lambda step: [batches(step)], data.held_out_batches()),
            plan,
            Record(out, asdict(run), session.watch),
        )
        if resume and (warning := trainer.resume()):
            say(warning)
        say(_beginning(run, teacher, student, trainer.step))
        finished = trainer.train()
        student.cpu().save_pretrained(out, data.tokenizer)
        return finished


def _lesson(
    teacher: BertForPreTraining, student: BertForPreTraining, run: DistillationRun
) -> tuple[nn.Module, Any]:
    """What is trained, and what it learns: with the teacher, or alone."""
    if run.transfer is None:
        return student, run.recipe.task.make_objective()
    model = StudentAndProjections(student, teacher.config, run.transfer)
    return model, DistillationObjective(teacher, student, run.transfer)


def _beginning(
    run: DistillationRun, teacher: BertForPreTraining, student: BertForPreTraining, step: int
) -> str:
    """Who learns from whom."""
    millions = [sum(p.numel() for p in model.parameters()) / 1e6 for model in (student, teacher)]
    how = f"with {run.teacher} as its teacher, of {millions[1]:.1f} million"
    return (
        f"Training a student of {millions[0]:.1f} million weights, "
        + ("alone" if run.transfer is None else how)
        + (f", from step {step}." if step else ".")
    )


def student_config(teacher: BertConfig, run: DistillationRun) -> BertConfig:
    """The teacher's config in the student's size, with the recipe's dropout and length.

    Raises `ValueError` for a teacher that cannot read sequences as long as the recipe's.
    """
    length = max(HELD_OUT_LENGTH, run.recipe.max_length)
    if length > teacher.max_position_embeddings:
        raise ValueError(
            f"the teacher reads {teacher.max_position_embeddings} tokens at most, and sequences "
            f"have {length}"
        )
    as_wide = run.hidden_size == teacher.hidden_size
    heads = teacher.num_attention_heads if as_wide else max(1, run.hidden_size // 64)
    return replace(
        teacher,
        num_hidden_layers=run.layers,
        hidden_size=run.hidden_size,
        num_attention_heads=run.heads or heads,
        intermediate_size=teacher.intermediate_size * run.hidden_size // teacher.hidden_size,
        max_position_embeddings=length,
        hidden_dropout_prob=run.recipe.dropout or 0.0,
        attention_probs_dropout_prob=run.recipe.dropout or 0.0,
        attn_implementation=run.recipe.attention,
    )


def make_student(
    teacher: BertForPreTraining, corpus: TrainingCorpus, run: DistillationRun
) -> BertForPreTraining:
    """A student at its start: the recipe's, or the teacher's own layers if it is as wide.

    `layer_map` says which layers (Sanh et al., 2019, took every second layer).
    """
    student = make_model(run.recipe, student_config(teacher.config, run), corpus, run.seed)
    if student.config.hidden_size == teacher.config.hidden_size:
        copy_layers(teacher, student, layer_map(run.layers, teacher.config.num_hidden_layers))
    return student


@torch.no_grad()
def copy_layers(
    teacher: BertForPreTraining, student: BertForPreTraining, layers: Sequence[int]
) -> None:
    """Embeddings, MLM head and the given layers of a teacher of the same width."""
    theirs, mine = teacher.bert, student.bert
    positions = mine.embeddings.position_embeddings.weight
    positions.copy_(theirs.embeddings.position_embeddings.weight[: len(positions)])
    for name in ("word_embeddings", "token_type_embeddings", "norm"):
        getattr(mine.embeddings, name).load_state_dict(
            getattr(theirs.embeddings, name).state_dict()
        )
    for layer, source in zip(mine.encoder.layers, layers, strict=True):
        layer.load_state_dict(theirs.encoder.layers[source].state_dict())
    student.mlm_head.load_state_dict(teacher.mlm_head.state_dict())


def read_distillation(out: Path) -> DistillationRun:
    """The `DistillationRun` that `out/run.json` holds. Raises as `read_settings` does."""

    def make(values: dict[str, Any]) -> DistillationRun:
        recipe, transfer = Recipe.from_dict(values.pop("recipe")), values.pop("transfer")
        if transfer is not None:
            transfer = Transfer.from_dict(transfer)
        return DistillationRun(recipe=recipe, transfer=transfer, **values)

    return read_settings(out, "distillation", make)
