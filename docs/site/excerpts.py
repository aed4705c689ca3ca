"""What the search shows of a page it has found, in a file that works without a server.

Sphinx's search fetches each page it has found, which a browser refuses to a page that was opened by
double-click. So the text of all pages goes into one script, and the search reads it from there.
"""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

from sphinx.application import Sphinx

SILENT = ("script", "style", "svg", "math")
SCRIPT = """// The text of every page, for the excerpts of the search.
const TEXTS = %s;
const fetchElsewhere = window.fetch;
window.fetch = (address) => {
  const page = new URL(address, location.href).href.split("#")[0];
  const name = Object.keys(TEXTS).find((name) => page.endsWith("/" + name));
  if (!name) return fetchElsewhere(address);
  const main = document.createElement("div");
  main.setAttribute("role", "main");
  main.textContent = TEXTS[name];
  return Promise.resolve(new Response(main.outerHTML));
};
"""


class Text(HTMLParser):
    """The words of a page's article."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = self.silent = 0
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.inside += tag == "article"
        self.silent += tag in SILENT

    def handle_endtag(self, tag: str) -> None:
        self.inside -= tag == "article"
        self.silent -= tag in SILENT

    def handle_data(self, data: str) -> None:
        if self.inside and not self.silent:
            self.words.append(data)


def text_of(page: str) -> str:
    """The text of a page, on one line."""
    parser = Text()
    parser.feed(page)
    return " ".join("".join(parser.words).split())


def write(app: Sphinx, error: Exception | None) -> None:
    """When all pages are there: put their text into `_static/excerpts.js`."""
    if error or app.builder.name != "html":
        return
    out = Path(app.outdir)
    pages = {
        f"{name}.html": text_of((out / f"{name}.html").read_text(encoding="utf-8"))
        for name in sorted(app.project.docnames)
    }
    script = SCRIPT % json.dumps(pages, ensure_ascii=False)
    (out / "_static" / "excerpts.js").write_text(script, encoding="utf-8")


def only_for_the_search(app: Sphinx, page: str, *_: object) -> None:
    """The script is as long as the site, so only the search loads it."""
    if page == "search":
        app.add_js_file("excerpts.js", priority=900)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", only_for_the_search)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
