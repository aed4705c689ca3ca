"""The course as a site: `make site`, into `build/site/`. It opens by double-click.

Chapters, exercises and documents are copied with their stored outputs into `build/site-source/`,
and what only the site has is put in. Sphinx turns them into pages, without a network. A warning is
an error.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import nbformat
from sphinx.cmd.build import main as sphinx

import minibert
from minibert.viz import page

import api
from chapters import for_site
from exercises import with_help

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
DOCUMENTS = ("glossary", "teaching", "recipes", "tasks", "performance", "scaling", "contributing")


def prepare(source: Path, solutions: bool) -> None:
    """Copy what the site shows, with or without the solutions of exercises."""
    shutil.rmtree(source, ignore_errors=True)
    pictures = source / "extra" / "pictures"
    pictures.mkdir(parents=True)
    for folder in ("notebooks", "exercises"):
        (source / folder).mkdir(parents=True)
        for file in sorted((ROOT / folder).glob("*.ipynb")):
            notebook = nbformat.read(file, as_version=4)
            for_site(notebook, f"{folder}/{file.name}", pictures)
            if folder == "exercises":
                solved = nbformat.read(ROOT / "solutions" / file.name, as_version=4)
                with_help(notebook, solved if solutions else None)
            for cell in notebook.cells:
                if cell.cell_type == "markdown":
                    cell.source = within_the_site(cell.source, folder)
            nbformat.write(notebook, source / folder / file.name)
    (source / "docs").mkdir()
    for name in DOCUMENTS:
        text = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
        (source / "docs" / f"{name}.md").write_text(within_the_site(text, "docs"), encoding="utf-8")
    for file in (ROOT / "docs").glob("*.png"):
        shutil.copy(file, source / "docs")
    api.write(source / "api")
    number = len(list((source / "notebooks").iterdir()))
    for name in ("index.md", "print.md"):
        text = (HERE / name).read_text(encoding="utf-8").replace("{{chapters}}", str(number))
        (source / name).write_text(text, encoding="utf-8")
    page(*minibert.load("mini"), course="notebooks").save(source / "extra" / "bert.html")


def within_the_site(text: str, folder: str) -> str:
    """Markdown of `folder` whose links to files that the site doesn't have are plain words."""

    def kept(found: re.Match) -> str:
        target = found[2].split("#")[0]
        if not target or target.startswith(("http://", "https://")):
            return found[0]
        file = (ROOT / folder / target).resolve().relative_to(ROOT)
        there = file.parts[0] in ("notebooks", "exercises") or (
            file.parts[0] == "docs" and (file.suffix == ".png" or file.stem in DOCUMENTS)
        )
        return found[0] if there else found[1]

    return re.sub(r"(?<!!)\[([^\]]+)\]\(([^)]+)\)", kept, text)


def main(arguments: list[str]) -> int:
    """Build into a folder, `build/` if none is given; `--no-solutions` leaves the solutions out."""
    folders = [Path(argument) for argument in arguments if not argument.startswith("--")]
    out = (folders or [ROOT / "build"])[0].resolve()
    source, site = out / "site-source", out / "site"
    prepare(source, solutions="--no-solutions" not in arguments)
    shutil.rmtree(site, ignore_errors=True)
    extra = f"html_extra_path={source / 'extra'}"
    options = ["-q", "-W", "--keep-going", "-d", str(out / "site-doctrees"), "-D", extra]
    return sphinx([*options, "-c", str(HERE), "-b", "html", str(source), str(site)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
