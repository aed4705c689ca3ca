"""Distillation: a large BERT, the teacher, helps to train a small one, the student.

Both read the same masked text. Beside the token that was hidden, the student is told what the
teacher thinks of every token (Hinton et al., 2015), and, where it is wanted, what the teacher's
hidden states and its attention look like on the way (Jiao et al., 2020; Wang et al., 2021).
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minibert.attention import additive_mask, merge_heads, split_heads
from minibert.config import BertConfig
from minibert.data.batches import Batch
from minibert.data.corpora import Corpus
from minibert.data.masking import Masking
from minibert.data.shards import PreparedCorpus
from minibert.data.streaming import StreamedCorpus, TrainingCorpus
from minibert.files import find_directory, read_json
from minibert.model import IGNORE_INDEX, BertForPreTraining, evaluating, load
from minibert.pretraining.counting_baselines import CountBaselines
from minibert.pretraining.run import (
    HELD_OUT_LENGTH,
    RECIPES,
    PretrainingObjective,
    Recipe,
    has_bf16,
    held_out_batches,
    make_batches,
    make_model,
    make_optimizers,
    make_schedule,
    open_data,
    run_folder,
    write_corpus,
    write_data_once,
)
from minibert.training.recording import recording
from minibert.training.trainer import Numbers, Objective, Plan, Trainer, check_settings
from minibert.weights import PretrainedModel

ATTENTION = ("none", "maps", "relations")
VECTORS = ("query", "key", "value")
LAYERS = ("uniform", "last")

# The losses: each compares the student with the teacher, and is 0 where they agree.


def soft_target_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """How far the student's guesses are from the teacher's: logits (N, V) twice -> ().

    The mean over rows of KL(teacher || student), both softened by the temperature T, times T^2:
    gradients fall as 1/T^2, and would lose their weight beside the hard loss (Hinton et al., 2015,
    2). It is the cross-entropy less a part that the student cannot change. No row, no loss: 0.
    """
    teacher = (teacher_logits.float() / temperature).log_softmax(-1)  # (N, V)
    student = (student_logits.float() / temperature).log_softmax(-1)
    divergence = (teacher.exp() * (teacher - student)).sum(-1)  # (N,)
    return divergence.sum() / max(1, len(divergence)) * temperature**2


def hidden_state_loss(
    student: Tensor, teacher: Tensor, attention_mask: Tensor | None = None
) -> Tensor:
    """Mean squared error of states (B, T, D), padding left out -> () (Jiao et al., 2020)."""
    return _mean_of_real((student.float() - teacher.float()).square().mean(-1), attention_mask)


def attention_map_loss(
    student: Tensor, teacher: Tensor, attention_mask: Tensor | None = None
) -> Tensor:
    """Mean squared error of attention scores (B, H, T, T), padding left out -> ().

    Of scores and not of weights: what `attention_scores` gives, before the softmax, as Jiao et al.
    (2020) found better.
    """
    error = (student.float() - teacher.float()).square().mean(1)  # (B, T, T)
    if attention_mask is None:
        return error.mean()
    keys = attention_mask[:, None].to(error.dtype)  # (B, 1, T)
    error = (error * keys).sum(-1) / keys.sum(-1).clamp(min=1)  # (B, T)
    return _mean_of_real(error, attention_mask)


def relation_loss(student: Tensor, teacher: Tensor, attention_mask: Tensor | None = None) -> Tensor:
    """Mean KL(teacher || student) of `relations` (B, R, T, T), padding left out -> ()."""
    divergence = (teacher.exp() * (teacher - student)).sum(-1).mean(1)  # (B, T)
    return _mean_of_real(divergence, attention_mask)


def attention_scores(query: Tensor, key: Tensor, num_heads: int) -> Tensor:
    """Q K^T / sqrt(K) of each head: (B, T, D) twice -> (B, H, T, T)."""
    query, key = split_heads(query, num_heads), split_heads(key, num_heads)  # (B, H, T, K)
    return query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])


def relations(a: Tensor, b: Tensor, num_heads: int, attention_mask: Tensor | None = None) -> Tensor:
    """How much each token's `a` has to do with every `b`: (B, T, D) twice -> log of (B, R, T, T).

    Of queries and keys with the layer's own number of heads these are the attention weights, which
    MiniLM transfers, with the relations of values to values (Wang et al., 2020). Its second version
    takes queries to queries, keys to keys and values to values, each with any number R of relation
    heads, so that teacher and student may differ in width and heads (Wang et al., 2021).
    """
    scores = attention_scores(a, b, num_heads)
    mask = additive_mask(attention_mask, scores.dtype)
    return (scores if mask is None else scores + mask).float().log_softmax(-1)


def _mean_of_real(values: Tensor, attention_mask: Tensor | None) -> Tensor:
    """The mean of (B, T) over real tokens."""
    if attention_mask is None:
        return values.mean()
    real = attention_mask.to(values.dtype)
    return (values * real).sum() / real.sum().clamp(min=1)


# Who learns what from whom


@dataclass(frozen=True)
class Transfer:
    """What is passed on besides the hidden token, and how much each part weighs."""

    temperature: float = 1.0
    alpha: float = 0.0
    """The weight of the hard loss, over the hidden tokens; the soft targets have the rest. After
    1000 steps a student of `mini-sotu` had 32.1 % of hidden tokens right with these defaults, and
    29.6 % with temperature 2 and alpha 0.5 (three seeds each, speeches for validation)."""
    hidden_weight: float = 0.0
    """Of the hidden states, the embeddings among them."""
    attention: str = "none"
    """`maps`: the scores of each head (Jiao et al., 2020), at every layer of the student;
    `relations`: of queries, of keys and of values, at the last (Wang et al., 2021)."""
    attention_weight: float = 1.0
    layers: str = "uniform"
    """Which of the teacher's layers are the student's: see `layer_map`."""
    relation_heads: int | None = None
    """R; None: as many as the teacher has heads."""

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature must be a number above 0, not {self.temperature}")
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha must lie between 0 and 1, not {self.alpha}")
        for name in ("hidden_weight", "attention_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}")
        for name, choices in (("attention", ATTENTION), ("layers", LAYERS)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} {getattr(self, name)!r} is not one of {list(choices)}")


def layer_map(student_layers: int, teacher_layers: int, kind: str = "uniform") -> tuple[int, ...]:
    """For each layer of the student the teacher's that it imitates, both counted from 0.

    `uniform` takes the last of every k layers, so that the last one belongs to the last; `last`
    takes the last ones. Raises `ValueError` for a student with more layers than the teacher.
    """
    if kind not in LAYERS:
        raise ValueError(f"layers {kind!r} is not one of {list(LAYERS)}")
    if not 1 <= student_layers <= teacher_layers:
        raise ValueError(
            f"a student with {student_layers} layers cannot imitate a teacher with "
            f"{teacher_layers}: it needs at least one, and no more than the teacher has"
        )
    if kind == "last":
        return tuple(range(teacher_layers - student_layers, teacher_layers))
    return tuple((i + 1) * teacher_layers // student_layers - 1 for i in range(student_layers))


class StudentAndProjections(nn.Module):
    """What is trained: the student and, where its states are narrower, what makes them comparable.

    A projection (D of the student -> D of the teacher) stands at each hidden state. It is learned
    with the student, and of no use afterwards.
    """

    def __init__(self, student: PretrainedModel, teacher: BertConfig, transfer: Transfer) -> None:
        super().__init__()
        self.student = student
        width = student.config.hidden_size
        states = student.config.num_hidden_layers + 1 if transfer.hidden_weight else 0
        self.projections = nn.ModuleList(
            nn.Identity()
            if width == teacher.hidden_size
            else nn.Linear(width, teacher.hidden_size, bias=False)
            for _ in range(states)
        )


@dataclass
class Seen:
    """What a model made of a batch."""

    logits: Tensor  # (N, C), where the batch has a label; C is V for masked tokens
    hidden_states: tuple[Tensor, ...]  # L + 1 of (B, T, D)
    vectors: dict[str, list[Tensor]]  # queries, keys, values: L of (B, T, D)


def see(model: PretrainedModel, batch: Batch, vectors: Sequence[str] = ()) -> Seen:
    """Logits where the batch has a label, all hidden states, and the `vectors` asked for.

    Queries and keys are those that attention compares, so a position scheme has turned them.
    """
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    asked = batch["labels"] != IGNORE_INDEX  # (B,) or (B, T)
    layers = [layer.attention for layer in model.bert.encoder.layers] if vectors else []
    with (
        recording(attention.positions for attention in layers) as compared,
        recording(attention.value for attention in layers) as values,
    ):
        if isinstance(model, BertForPreTraining):  # its head is wide: the asked positions alone
            out = model.bert(**inputs, output_hidden_states=True)
            logits = model.mlm_head(out.last_hidden_state[asked])  # (N, V)
        else:
            out = model(**inputs, output_hidden_states=True)
            logits = out.logits[asked]  # (N, C)
    compared = [merge_heads(x) for x in compared]  # query, key, query, key ...: (B, T, D)
    caught = {"query": compared[0::2], "key": compared[1::2], "value": values}
    return Seen(logits, out.hidden_states, caught)


class DistillationObjective:
    """The student's own loss and the teacher's part in it, for a `StudentAndProjections`.

    Teacher and student both guess masked tokens, or both have the same head whose logits choose
    between classes. Every term has its weight in it already; `cross_entropy` is the hard loss
    without. The teacher is in eval mode and without a gradient, and no part of what is trained.
    Raises `ValueError` for two models that cannot be compared.
    """

    def __init__(
        self, teacher: PretrainedModel, student: PretrainedModel, transfer: Transfer
    ) -> None:
        check_pair(teacher.config, student.config, transfer)
        kinds = [
            BertForPreTraining if isinstance(model, BertForPreTraining) else type(model)
            for model in (teacher, student)
        ]
        if kinds[0] is not kinds[1]:
            raise ValueError(
                f"the teacher is a {kinds[0].__name__} and the student a {kinds[1].__name__}: "
                "they must have the same head"
            )
        theirs, mine = getattr(teacher, "labels", ()), getattr(student, "labels", ())
        if theirs != mine:
            raise ValueError(
                f"the teacher's labels are {list(theirs)} and the student's {list(mine)}: they "
                "must be the same, in the same order"
            )
        self.teacher = teacher
        self.transfer = transfer
        self.layers = layer_map(
            student.config.num_hidden_layers, teacher.config.num_hidden_layers, transfer.layers
        )
        self.vectors = () if transfer.attention == "none" else VECTORS
        self.accuracy = "mlm_accuracy" if isinstance(teacher, BertForPreTraining) else "accuracy"

    def counts(self, batch: Batch) -> Numbers:
        """Labels for the guesses; tokens without padding for states and attention."""
        labels = int((batch["labels"] != IGNORE_INDEX).sum())
        mask = batch.get("attention_mask")
        tokens = batch["input_ids"].numel() if mask is None else int(mask.sum())
        of_labels = ("hard_loss", "soft_loss", "cross_entropy", self.accuracy)
        return {
            "tokens": tokens,
            **dict.fromkeys(of_labels, labels),
            **dict.fromkeys(("hidden_loss", "attention_loss"), tokens),
        }

    def sums(self, model: StudentAndProjections, batch: Batch) -> dict[str, Tensor]:
        """Each term and metric, summed over what it counts; terms that are not wanted left out."""
        transfer, counts = self.transfer, self.counts(batch)
        student = see(model.student, batch, self.vectors)
        with torch.no_grad(), evaluating(self.teacher):
            teacher = see(self.teacher, batch, self.vectors)
        labels = batch["labels"][batch["labels"] != IGNORE_INDEX]  # (N,)
        mask = batch.get("attention_mask")
        if mask is not None:
            mask = mask.flatten(0, -2)  # (B, T); several texts in a row are so many rows
        cross_entropy = F.cross_entropy(student.logits.float(), labels, reduction="sum")
        soft = soft_target_loss(student.logits, teacher.logits, transfer.temperature)
        terms = {
            "hard_loss": transfer.alpha * cross_entropy,
            "soft_loss": (1 - transfer.alpha) * soft * counts["soft_loss"],
        }
        if transfer.hidden_weight:
            loss = self.hidden_loss(model.projections, student, teacher, mask)
            terms["hidden_loss"] = transfer.hidden_weight * loss * counts["hidden_loss"]
        if transfer.attention != "none":
            loss = self.attention_loss(student, teacher, mask)
            terms["attention_loss"] = transfer.attention_weight * loss * counts["attention_loss"]
        right = (student.logits.argmax(-1) == labels).sum()
        return {**terms, "cross_entropy": cross_entropy.detach(), self.accuracy: right}

    def hidden_loss(
        self, projections: nn.ModuleList, student: Seen, teacher: Seen, mask: Tensor | None
    ) -> Tensor:
        """Summed over the embeddings and the student's layers."""
        places = (0, *(layer + 1 for layer in self.layers))  # state 0 is the embeddings
        states = zip(projections, student.hidden_states, places, strict=True)
        return sum(
            hidden_state_loss(project(state), teacher.hidden_states[place], mask)
            for project, state, place in states
        )

    def attention_loss(self, student: Seen, teacher: Seen, mask: Tensor | None) -> Tensor:
        """Of maps summed over the student's layers; of relations over queries, keys and values."""
        heads = self.teacher.config.num_attention_heads
        if self.transfer.attention == "maps":

            def scores(seen: Seen, layer: int) -> Tensor:
                return attention_scores(
                    seen.vectors["query"][layer], seen.vectors["key"][layer], heads
                )

            return sum(
                attention_map_loss(scores(student, mine), scores(teacher, theirs), mask)
                for mine, theirs in enumerate(self.layers)
            )
        heads = self.transfer.relation_heads or heads

        def last(seen: Seen, name: str) -> Tensor:
            return relations(seen.vectors[name][-1], seen.vectors[name][-1], heads, mask)

        return sum(relation_loss(last(student, n), last(teacher, n), mask) for n in VECTORS)


def check_pair(teacher: BertConfig, student: BertConfig, transfer: Transfer) -> None:
    """Raise `ValueError` for a student that this teacher cannot teach in this way."""
    if teacher.vocab_size != student.vocab_size:
        raise ValueError(
            f"the teacher has {teacher.vocab_size} tokens and the student {student.vocab_size}: "
            "they must read the same vocabulary"
        )
    layer_map(student.num_hidden_layers, teacher.num_hidden_layers, transfer.layers)
    mine, theirs = student.num_attention_heads, teacher.num_attention_heads
    if transfer.attention == "maps" and mine != theirs:
        raise ValueError(
            f"maps are compared head by head, and of heads the student has {mine} and the teacher "
            f"{theirs}: give the student as many, or take relations"
        )
    heads = transfer.relation_heads or theirs
    for who, config in (("student", student), ("teacher", teacher)):
        if transfer.attention == "relations" and config.hidden_size % heads:
            raise ValueError(
                f"the {who} is {config.hidden_size} wide, which does not divide by {heads} "
                "relation heads"
            )


# A run


@dataclass(frozen=True)
class DistillationRun:
    """Everything that a run depends on. It is kept in `run.json` and checkpoints."""

    teacher: str
    corpus: str
    layers: int = 2
    hidden_size: int = 128
    heads: int | None = None
    """None: one for each 64 dimensions, or the teacher's where the student is as wide."""
    transfer: Transfer | None = Transfer()
    """None: the student is trained alone, for comparison."""
    recipe: Recipe = RECIPES["fast"]
    steps: int | None = None
    minutes: float | None = None
    seed: int = 0


TEACHER = "teacher"
"""In `data`: the teacher. A run that is resumed needs no other folder."""
REPORT = "distillation.json"


def distill(
    corpus: Corpus | PreparedCorpus,
    out: str | Path,
    run: DistillationRun,
    resume: bool = False,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
    watch: Callable[[dict[str, Any]], None] | None = None,
) -> bool:
    """Train a student of `run.teacher` into the folder `out`; returns whether it came to its end.

    `out`, `resume`, `overwrite` and `watch` are as in `pretrain`, and so are batches, optimiser and
    what is measured on. A student that is trained alone (`run.transfer` is None) has the same start
    and the same batches. Raises `FileExistsError` for a folder with something in it, and
    `ValueError` for what cannot be taught, trained on or resumed.
    """
    out, recipe, transfer = Path(out), run.recipe, run.transfer
    plan = Plan(run.steps, run.minutes, bf16=recipe.bf16 and has_bf16())
    if not resume:  # refused before an earlier run is removed
        if find_directory(run.teacher).resolve().is_relative_to(out.resolve()):
            raise ValueError(f"the teacher {run.teacher} lies in {out}, where the student is to go")
        config = load(run.teacher)[0].config
        check_pair(config, student_config(config, run), transfer or Transfer())

    def write(directory: Path) -> None:
        given, tokenizer = load(run.teacher)
        tokens = write_corpus(corpus, tokenizer, directory, say)
        make_batches(recipe, tokens, tokenizer, run.seed)  # refuses what it can make none of
        given.save_pretrained(directory / TEACHER)

    with run_folder(out, resume, overwrite), ExitStack() as at_the_end:
        if resume:
            check_settings(out, asdict(read_distillation(out)), asdict(run))
        write_data_once(out, asdict(run), write)
        training, held_out, tokenizer = open_data(out, say)
        if isinstance(training, StreamedCorpus):
            at_the_end.callback(training.close)
        teacher = BertForPreTraining.from_pretrained(
            out / "data" / TEACHER, attn_implementation=recipe.attention
        )
        student = make_student(teacher, training, run)
        batches = make_batches(recipe, training, tokenizer, run.seed)
        objective: Objective = PretrainingObjective()
        model: nn.Module = student
        if transfer is not None:
            objective = DistillationObjective(teacher, student, transfer)
            model = StudentAndProjections(student, teacher.config, transfer)
        for part in (model, teacher):
            part.to("cuda" if torch.cuda.is_available() else "cpu")
        trainer = Trainer(
            model,
            objective,
            make_optimizers(recipe, model),
            make_schedule(recipe),
            lambda step: [batches(step)],
            plan,
            out,
            seed=run.seed,
            held_out=[] if held_out is None else held_out_batches(held_out, tokenizer),
            settings=asdict(run),
            watch=watch,
        )
        if resume and (warning := trainer.resume()):
            say(warning)
        say(
            f"Training a student of {number_of_weights(student) / 1e6:.1f} million weights, "
            + ("alone" if transfer is None else f"with {run.teacher} as its teacher, of ")
            + ("" if transfer is None else f"{number_of_weights(teacher) / 1e6:.1f} million")
            + (f", from step {trainer.step}." if trainer.step else ".")
        )
        finished = trainer.train()
        student.cpu().save_pretrained(out, tokenizer)
        return finished


def student_config(teacher: BertConfig, run: DistillationRun) -> BertConfig:
    """The teacher's config in the student's size, for the recipe's dropout and length.

    Raises `ValueError` for a teacher that cannot read as much at once as the recipe gives it.
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
        hidden_dropout_prob=run.recipe.dropout,
        attention_probs_dropout_prob=run.recipe.dropout,
        attn_implementation=run.recipe.attention,
    )


def make_student(
    teacher: BertForPreTraining, corpus: TrainingCorpus, run: DistillationRun
) -> BertForPreTraining:
    """A student at its start: the recipe's, or the teacher's own layers where it is as wide.

    Which layers, `layer_map` says (Sanh et al., 2019, took every second one).
    """
    student = make_model(run.recipe, student_config(teacher.config, run), corpus, run.seed)
    if student.config.hidden_size == teacher.config.hidden_size:
        layers = layer_map(
            run.layers, teacher.config.num_hidden_layers, (run.transfer or Transfer()).layers
        )
        copy_layers(teacher, student, layers)
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
    """The `DistillationRun` that `out/run.json` holds.

    Raises `FileNotFoundError` where there is none and `ValueError` where it is of another kind.
    """
    if not (out / "run.json").exists():
        raise FileNotFoundError(f"there is no run in {out}")
    try:
        values = read_json(out / "run.json")
        recipe, transfer = values.pop("recipe"), values.pop("transfer")
        return DistillationRun(
            recipe=Recipe(masking=Masking(**recipe.pop("masking")), **recipe),
            transfer=None if transfer is None else Transfer(**transfer),
            **values,
        )
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{out / 'run.json'} is no distillation of this minibert: {error}"
        ) from None


# Before and after


def before_and_after(out: str | Path) -> dict[str, Numbers]:
    """Teacher, student and counting, on the text that the run in `out` held out.

    Also written to `out/distillation.json`. Empty where nothing was held out.
    """
    out = Path(out)
    training, held_out, tokenizer = open_data(out, say=lambda _: None)
    if held_out is None:
        return {}
    batches = held_out_batches(held_out, tokenizer)
    folders = {"teacher": out / "data" / TEACHER, "student": out}
    models = {name: BertForPreTraining.from_pretrained(f) for name, f in folders.items()}
    counted = CountBaselines(training.shard(0).tokens, tokenizer.vocab_size).accuracy(batches)
    result = {
        **compare(models, batches),
        **{name: {"mlm_accuracy": accuracy} for name, accuracy in counted.items()},
    }
    (out / REPORT).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return result


def compare(
    models: Mapping[str, BertForPreTraining], batches: Sequence[Batch], rounds: int = 9
) -> dict[str, Numbers]:
    """For each model its size, its speed here, and the share of masked tokens that it gets right.

    `megabytes` are its weights in fp32. `tokens_per_second` are of reading, without a gradient, one
    sequence at a time and 32 at once; the models take turns, so that other work on the machine
    meets all of them, and the median of `rounds` counts.
    """
    seconds: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds + 1):
        for size in (1, 32):
            ids = batches[0]["input_ids"][:size]
            for name, model in models.items():
                with torch.inference_mode(), evaluating(model):
                    begun = time.perf_counter()
                    model.bert(ids)
                    taken = time.perf_counter() - begun
                seconds.setdefault((name, size), []).append(taken / ids.numel())
    found = {}
    for name, model in models.items():
        weights = number_of_weights(model)
        tokens = model.bert.embeddings.word_embeddings.weight.numel()
        found[name] = {
            "weights": weights,
            "weights_without_tokens": weights - tokens,
            "megabytes": weights * 4 / 1e6,
            # the first round is a warm-up
            "tokens_per_second_1": 1 / statistics.median(seconds[name, 1][1:]),
            "tokens_per_second_32": 1 / statistics.median(seconds[name, 32][1:]),
            "mlm_accuracy": mlm_accuracy(model, batches),
        }
    return found


@torch.no_grad()
def mlm_accuracy(model: BertForPreTraining, batches: Sequence[Batch]) -> float:
    """The share of the batches' masked tokens that the model guesses."""
    with evaluating(model):
        right = sum(int(model(**batch).mlm_correct) for batch in batches)
    return right / max(1, sum(int((b["labels"] != IGNORE_INDEX).sum()) for b in batches))


def number_of_weights(model: nn.Module) -> int:
    """Each weight once: the token matrix is the decoder too."""
    return sum(parameter.numel() for parameter in model.parameters())
