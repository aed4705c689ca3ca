"""The command's frame: subcommands that load when they are needed, and errors in one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, NoReturn

import click

from minibert.cli.terminal import complain, terminal

BAD_INPUT = (ValueError, OSError, FloatingPointError, ImportError)
REPORT = "This is a bug in minibert: please report it, with what MINIBERT_TRACEBACK=1 shows"
STOPPED = 130
"""What a shell reports for a program that Ctrl-C ended."""

GROUPS = {
    "Start here": ("demo",),
    "Teach a class": ("grade",),
    "Use a model": (
        "fill-mask", "generate", "perplexity", "grammar", "search", "attention", "page", "info",
        "export",
    ),
    "Train your own": ("pretrain", "corpus", "prepare", "distill"),
    "Fine-tune": ("finetune", "predict", "glue"),
}  # fmt: skip
"""Commands in the order of the README. Each is a function in a module of the same name."""


class LazyGroup(click.Group):
    """Loads a subcommand's module on demand. Every run ends in one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, group by group."""
        return [name for names in GROUPS.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        if cmd_name not in self.list_commands(ctx):
            return None
        name = cmd_name.replace("-", "_")
        return getattr(import_module(f"minibert.cli.{name}"), name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Commands with the first sentence of their help, group by group."""
        width = max(map(len, self.list_commands(ctx)))
        limit = formatter.width - width - 6
        for title, names in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [
                        (name.ljust(width), command.get_short_help_str(limit))
                        for name in names
                        if (command := self.get_command(ctx, name))
                    ]
                )

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run a command and exit: with 0, with 2 for bad input, or with 1 for a bug in minibert."""
        with terminal():
            code = self._exit_code(*args, **{**kwargs, "standalone_mode": False})
        sys.exit(code)

    def _exit_code(self, *args: Any, **kwargs: Any) -> int:
        try:
            super().main(*args, **kwargs)
            return 0
        except click.ClickException as error:
            told = error.format_message().rstrip(".")
            if isinstance(error, click.UsageError) and error.ctx is not None:
                told += f" (see {error.ctx.command_path} --help)"
            complain(told)
            return 2
        except click.Abort:
            complain("stopped by Ctrl-C")
            return STOPPED
        except Exception as error:  # the last chance to say it in one line
            if os.environ.get("MINIBERT_TRACEBACK"):
                raise
            told = str(error) or type(error).__name__
            if isinstance(error, BAD_INPUT):
                complain(told)
                return 2
            complain(f"{type(error).__name__}: {told.rstrip('.')}. {REPORT}")
            return 1


class CommandWithExamples(click.Command):
    """A command whose help ends with examples, line by line."""

    def __init__(self, *args: Any, examples: tuple[str, ...] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, unwrapped."""
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"  {example}\n")


def command(*examples: str) -> Callable[[Callable[..., None]], click.Command]:
    """Make a command, named as its function, with these examples in its help."""
    return click.command(cls=CommandWithExamples, examples=examples)
