"""`minibert info`: sizes, weights and training of a model."""

from __future__ import annotations

from pathlib import Path

from minibert.cli.group import command
from minibert.cli.models import load_body
from minibert.cli.options import model_argument
from minibert.cli.terminal import say


@command("minibert info mini", "minibert info runs/demo")
@model_argument
def info(model: str) -> None:
    """Print the sizes, the weights and the training of MODEL."""
    from minibert.files import find_directory

    bert, tokenizer = load_body(model)
    config = bert.config
    rows = {
        "layers": config.num_hidden_layers,
        "hidden size": config.hidden_size,
        "heads": f"{config.num_attention_heads} of {config.head_size}",
        "feed-forward": f"{config.intermediate_size}, {config.hidden_act}",
        "longest text": f"{config.max_position_embeddings} tokens",
        "vocabulary": f"{tokenizer.vocab_size}, {'un' * tokenizer.do_lower_case}cased",
        "weights": f"{sum(p.numel() for p in bert.parameters()):,}",
        **_training(find_directory(model)),
    }
    for name, value in rows.items():
        say(f"{name:13s} {value}")


def _training(folder: Path) -> dict[str, str]:
    """How a model was trained, if its folder is a run of ours."""
    from minibert.distillation.run import read_distillation
    from minibert.files import read_json
    from minibert.pretraining.run import read_run
    from minibert.training.history import read_history

    if not (folder / "run.json").exists():
        return {}
    rows = {}
    if "teacher" in read_json(folder / "run.json"):
        student = read_distillation(folder)
        task = student.recipe.task
        rows["corpus"] = student.corpus
        rows["teacher"] = "none" if student.transfer is None else student.teacher
    else:
        run = read_run(folder)
        task = run.recipe.task
        rows["corpus"] = run.corpus
        if run.start is not None:
            rows["started from"] = run.start
    history = read_history(folder)
    for line in history[-1:]:
        rows["trained"] = f"{line['step']} steps, {line['seconds']:.0f} s"
    for line in [line for line in history if "held_out" in line][-1:]:
        accuracy = f"{line['held_out'][task.metric]:.1%} {task.metric_says}"
        rows["held out"] = f"{accuracy}, after {line['step']} steps"
    return rows
