"""The command's frame: subcommands that load when they are needed, and errors in one line."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

GROUPS = {
    "Start here": ("demo",),
    "Teach a class": ("grade",),
    "Use a model": (
        "fill-mask",
        "generate",
        "perplexity",
        "grammar",
        "attention",
        "info",
        "export",
    ),
    "Train your own": ("pretrain", "corpus", "prepare", "distill"),
    "Fine-tune": ("finetune", "predict", "glue"),
}
"""Commands in the order of the README. Each is a function in a module of the same name."""


class LazyGroup(click.Group):
    """Loads a subcommand's module on demand; every run ends in one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, group by group."""
        return [name for names in GROUPS.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None if there is none of that name."""
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

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Bad input is exit code 2; a fault of our own is 1, its traceback on request."""
        try:
            return super().main(*args, **kwargs)
        except (ValueError, OSError, FloatingPointError, ImportError) as error:
            if "MINIBERT_TRACEBACK" in os.environ:
                raise
            click.echo(f"Error: {' '.join(str(error).split())}", err=True)
            sys.exit(2)
        except Exception as error:
            if "MINIBERT_TRACEBACK" in os.environ:
                raise
            click.echo(
                f"Error: {type(error).__name__}: {' '.join(str(error).split())}. This is a fault "
                "in minibert: set MINIBERT_TRACEBACK=1 to see where",
                err=True,
            )
            sys.exit(1)


class CommandWithExamples(click.Command):
    """A command whose help ends with examples, line by line."""

    def __init__(self, *args: Any, examples: tuple[str, ...] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Examples as they are typed."""
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"  {example}\n")
