"""The reference of the package: a page for each folder of the README's table, from docstrings."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click

import minibert
from minibert.cli import main as command

LEFT_OUT = (
    "minibert.__main__",
    "minibert.course.checks.chapter_",
    "minibert.course.quizzes.chapter_",
)
"""Catalogues of wrong answers and questions, which would give the exercises away."""

FOLDERS = {
    "data": "text to batches",
    "training": "one loop, its checkpoints and optimisers",
    "pretraining": "from batches to a BERT",
    "finetuning": "from a BERT to a task",
    "distillation": "from a large BERT to a small one",
    "inference": "blanks, texts, sentence vectors",
    "modernbert": "the modern encoder",
    "search": "find texts by what they mean",
    "analysis": "what heads do, in numbers",
    "viz": "views and drawings",
    "course": "checks, quizzes, grading",
}


def modules(package: str) -> list[str]:
    """Every module of a package and below it, its own name first."""
    spec = find_spec(package)
    assert spec and spec.submodule_search_locations
    below = pkgutil.walk_packages(spec.submodule_search_locations, f"{package}.")
    return [package, *(module.name for module in below)]


def pages() -> dict[str, str]:
    """The reference's pages as Markdown, by their names."""
    core = [m.name for m in pkgutil.iter_modules(minibert.__path__, "minibert.") if not m.ispkg]
    made = {"core": _page("BERT itself", core)}
    for folder, about in FOLDERS.items():
        made[folder] = _page(f"minibert.{folder}: {about}", modules(f"minibert.{folder}"))
    made["command"] = _command()
    return made


def _command() -> str:
    """The help of each subcommand, as the terminal shows it."""
    parts = ["# The command"]
    context = click.Context(command, info_name="minibert", terminal_width=88, max_content_width=88)
    for name in command.list_commands(context):
        subcommand = command.get_command(context, name)
        inside = click.Context(subcommand, parent=context, info_name=name)
        parts.append(f"## minibert {name}\n\n```text\n{subcommand.get_help(inside)}\n```")
    return "\n\n".join(parts) + "\n"


def members(name: str) -> dict[str, str]:
    """The public functions and classes that a module defines: `{"BertModel": "class"}`."""
    kinds = {}
    for member, value in vars(import_module(name)).items():
        public = not member.startswith("_") and getattr(value, "__module__", None) == name
        if public and inspect.isclass(value):
            kinds[member] = "class"
        elif public and inspect.isroutine(value) and value.__doc__:
            kinds[member] = "function"
    return kinds


def _page(title: str, names: list[str]) -> str:
    """A heading for each module. Modules have no entries of their own in the index, because some
    views are called as their module."""
    parts = [f"# {title}"]
    for name in names:
        if name.startswith(LEFT_OUT):
            continue
        lines = [f".. automodule:: {name}", "   :no-index:", "", f".. currentmodule:: {name}"]
        for member, kind in members(name).items():
            lines += ["", f".. auto{kind}:: {member}"]
            if kind == "class":
                lines.append("   :members:")
        text = "\n".join(lines)
        parts.append(f"## {name}\n\n```{{eval-rst}}\n{text}\n```")
    return "\n\n".join(parts) + "\n"


def write(folder: Path) -> None:
    """Write all pages."""
    folder.mkdir(parents=True)
    for name, text in pages().items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
