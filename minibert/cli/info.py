"""`minibert info`: sizes, weights and training of a model."""

from __future__ import annotations

import click

from minibert.cli.group import CommandWithExamples
from minibert.cli.models import load_body


@click.command(cls=CommandWithExamples, examples=("minibert info runs/demo",))
@click.argument("model")
def info(model: str) -> None:
    """Sizes, weights and training of MODEL: `mini-sotu`, a folder, or a name on the hub."""
    from minibert.files import find_directory

    bert, tokenizer = load_body(model)
    folder = find_directory(model)
    config = bert.config
    rows = [
        ("layers", config.num_hidden_layers),
        ("hidden size", config.hidden_size),
        ("heads", f"{config.num_attention_heads} of {config.head_size}"),
        ("feed-forward", f"{config.intermediate_size}, {config.hidden_act}"),
        ("longest text", f"{config.max_position_embeddings} tokens"),
        ("vocabulary", f"{tokenizer.vocab_size}, {'un' * tokenizer.do_lower_case}cased"),
        ("weights", f"{sum(p.numel() for p in bert.parameters()):,}"),
    ]
    if (folder / "run.json").exists():
        from minibert.distillation.run import read_distillation
        from minibert.files import read_json
        from minibert.pretraining.run import read_run
        from minibert.training.history import read_history

        is_student = "teacher" in read_json(folder / "run.json")
        run = read_distillation(folder) if is_student else read_run(folder)
        rows.append(("corpus", run.corpus))
        if is_student:
            rows.append(("teacher", "none" if run.transfer is None else run.teacher))
        elif run.start is not None:
            rows.append(("started from", run.start))
        history = read_history(folder)
        for line in history[-1:]:
            rows.append(("trained", f"{line['step']} steps, {line['seconds']:.0f} s"))
        for line in [line for line in history if "held_out" in line][-1:]:
            task = run.recipe.task
            accuracy = f"{line['held_out'][task.metric]:.1%} {task.metric_says}"
            rows.append(("held out", f"{accuracy}, after {line['step']} steps"))
    for name, value in rows:
        click.echo(f"{name:13s} {value}")
