"""Slides of the chapters: `make slides`, or `make slides ONLY="03 04"`, into `build/slides/`.

Each chapter becomes one page that needs no network: reveal.js is put into it, and formulas are
written as MathML. What is on which slide stands in the notebooks: a cell's *Slide Type* in
JupyterLab (property inspector, the gears at the upper right). Of a picture its code is left out.
"""

from __future__ import annotations

import re
import sys
from importlib.resources import files
from pathlib import Path

import nbformat
from latex2mathml.converter import convert
from nbconvert import SlidesExporter

ROOT = Path(__file__).parents[1]
REVEAL = files("sphinx_revealjs") / "_static" / "revealjs" / "dist"
FORMULA = re.compile(r"(```.*?```|`[^`]*`)|\$\$(.+?)\$\$|\$([^$\n]+?)\$", re.DOTALL)
OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./[^)]*\)")
# nbconvert's own template fetches reveal.js, MathJax, jQuery and more from elsewhere.
TEMPLATE = """
{%- extends 'reveal/index.html.j2' -%}
{% block header %}<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{{ resources.title }}</title>
<style>{{ resources.reveal_css }}</style>
{{ resources.include_css("static/index.css") }}
{{ resources.include_css("static/theme-light.css") }}
<style>
:root { --jp-content-font-size1: 26px; --jp-code-font-size: 20px; --jp-cell-prompt-width: 0px }
html, body, main { height: 100% }
.reveal { font: 26px/1.35 system-ui, sans-serif }
.reveal .slides { text-align: left }
.reveal .slides section { max-height: 800px; overflow-y: auto }
.reveal h1, .reveal h2 { font: bold 1.6em system-ui, sans-serif; text-transform: none }
.reveal pre { box-shadow: none; width: auto; margin: 0.3em 0; font-size: 20px }
.reveal img { max-height: 60vh }
.jp-Notebook { padding: 0 }
.jp-InputPrompt, .jp-OutputPrompt, a.anchor-link { display: none }
</style></head>{% endblock header %}
{% block footer_js %}
<script>{{ resources.reveal_js }}</script>
<script>
Reveal.initialize({width: 1280, height: 800, margin: 0.03, hash: true, slideNumber: "c/t",
  transition: "none", center: false});
</script>
{% endblock footer_js %}
"""


def deck(notebook: nbformat.NotebookNode, title: str) -> str:
    """The page of a chapter."""
    notebook = nbformat.from_dict(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            text = FORMULA.sub(in_mathml, cell.source)
            text = OUTSIDE.sub(r"\1", text)  # slides are shown without the repository around them
            cell.source = text.replace(".ipynb)", ".html)")
        elif any("<img" in str(o.get("data", {}).get("text/html", "")) for o in cell.outputs):
            cell.metadata["transient"] = {"remove_source": True}
    theme = (REVEAL / "theme" / "white.css").read_text(encoding="utf-8")
    resources = {
        "title": title,
        # Its web font would be fetched; the system's is as good.
        "reveal_css": (REVEAL / "reveal.css").read_text(encoding="utf-8")
        + re.sub(r"@import[^;]+;", "", theme),
        "reveal_js": (REVEAL / "reveal.js").read_text(encoding="utf-8").split("//# source")[0],
    }
    page, _ = SlidesExporter(raw_template=TEMPLATE).from_notebook_node(notebook, resources)
    return page


def in_mathml(found: re.Match) -> str:
    """A formula as MathML; code stays as it is."""
    code, block, inline = found.groups()
    if code is not None:
        return code
    return convert(" ".join((block or inline).split()), display="block" if block else "inline")


def main(prefixes: list[str]) -> None:
    out = ROOT / "build" / "slides"
    out.mkdir(parents=True, exist_ok=True)
    for file in sorted((ROOT / "notebooks").glob("*.ipynb")):
        if not prefixes or file.name.startswith(tuple(prefixes)):
            notebook = nbformat.read(file, as_version=4)
            title = notebook.cells[0].source.split("\n")[0].removeprefix("# ")
            page = out / f"{file.stem}.html"
            page.write_text(deck(notebook, title), encoding="utf-8")
            print(page.relative_to(ROOT))


if __name__ == "__main__":
    main(sys.argv[1:])
