"""The command `minibert`. Each subcommand is a file: it reads options, calls the package, prints.

Nothing here imports torch before a command runs: `minibert --help` must not wait.
"""

from __future__ import annotations

import click

from minibert.cli.group import LazyGroup


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="minibert")
@click.pass_context
def main(ctx: click.Context) -> None:
    """BERT, small enough to read and exact enough to hold real weights.

    Begin with `minibert demo`: it pretrains a BERT on real text before your eyes.
    `minibert COMMAND --help` explains a command and gives examples.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
