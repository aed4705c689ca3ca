"""The command `minibert`, run in this process as a user would type it."""

from __future__ import annotations

from click.testing import CliRunner

from minibert.cli import main


def run(*arguments, expect=0, charset="utf-8"):
    """What it prints. Whatever goes wrong must be one line and an exit code."""
    result = CliRunner(charset=charset).invoke(main, [str(a) for a in arguments])
    assert result.exit_code == expect, result.output
    assert "Traceback" not in result.output
    if expect:
        assert result.stderr.startswith("Error: ") or "\nError: " in result.stderr
        assert result.stderr.splitlines()[-1].startswith("Error: ")
    return result.output
