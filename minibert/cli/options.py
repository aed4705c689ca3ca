"""Arguments and options that several commands have, each with one wording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click

Settings = TypeVar("Settings")


class Text(click.ParamType[str]):
    """A text. What the shell passed on in another encoding is refused, not guessed at."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text itself."""
        if any("\ud800" <= char <= "\udfff" for char in value):
            self.fail(f"{value} is not UTF-8", param, ctx)
        return value


TEXT = Text()
MODEL = "`mini-sotu`, a folder, or a name on the Hugging Face hub."

model_argument = click.argument("model", help=MODEL)
corpus_argument = click.argument(
    "corpus",
    help="`sotu`, `library`, a .txt file, a folder of such files (each a document), a folder that "
    "`minibert prepare` made, or hf:NAME, a dataset on the Hugging Face hub.",
)
minutes_option = click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), help="Train for this long."
)
steps_option = click.option(
    "--steps", type=click.IntRange(min=1), help="Train for this many steps instead."
)
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True,
    help="Fixes every random choice.",
)  # fmt: skip
resume_option = click.option(
    "--resume", is_flag=True, help="Continue the run in OUT. No other option is needed."
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace what is in OUT.")


def out_folder(help: str) -> Any:
    """The option -o for a folder."""
    return click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help=help)


def out_file(help: str, **more: Any) -> Any:
    """The option -o for a file."""
    return click.option(
        "-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help=help, **more
    )


def check_duration(run: Any) -> None:
    """Raise `click.UsageError` unless a run has either a number of steps or a time."""
    if (run.steps is None) == (run.minutes is None):
        raise click.UsageError("say how long to train: either --steps or --minutes")


def given_options(ctx: click.Context) -> dict[str, Any]:
    """The options on the command line, without those that have their default."""
    typed = click.core.ParameterSource.COMMANDLINE
    return {
        option.name: ctx.params[option.name]
        for option in ctx.command.params
        if isinstance(option, click.Option)
        and option.name is not None
        and ctx.get_parameter_source(option.name) is typed
    }


def pick(options: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Take the options with these names out of `options`."""
    return {name: options.pop(name) for name in names if name in options}


def settings(kind: type[Settings], options: dict[str, Any]) -> Settings:
    """Take the fields of a dataclass out of `options`, and make one."""
    return kind(**pick(options, [field.name for field in fields(kind)]))  # type: ignore[arg-type]
