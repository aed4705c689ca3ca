"""The page of feedback for a notebook: its cells, its outputs, and the points of each check.

The cells were written by students and the page opens in a teacher's browser, so it must not run,
load or redirect anything. Text is escaped, HTML is reduced to the tags and attributes listed here,
and pictures are data inside the page.
"""

from __future__ import annotations

import html
import re
from base64 import b64encode
from typing import Any

import nh3
from nbconvert.filters import Highlight2HTML, ansi2html
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments.formatters import HtmlFormatter

from minibert.course.submitted_notebook import grade_id

TAGS = {
    "a", "abbr", "b", "blockquote", "br", "caption", "code", "dd", "del", "div", "dl", "dt", "em",
    "figcaption", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "ins", "kbd",
    "li", "mark", "ol", "p", "pre", "q", "s", "samp", "small", "span", "strong", "sub", "sup",
    "table", "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul", "var",
}  # fmt: skip
DROPPED_WITH_THEIR_TEXT = {"script", "style", "title", "template", "iframe", "object"}
ATTRIBUTES = {
    "a": {"href"},
    "img": {"src", "alt"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
}
MOST_TAGS = 5_000
Grades = dict[str, tuple[float | None, float]]
"""Points and maximum of each graded cell. No points yet (None) where a person has to read."""
PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp|svg\+xml);base64,[\w+/=]*")
PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<title>{title}</title><style>
body {{ font: 16px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em }}
section {{ margin: 1em 0; overflow-x: auto }}
section.named {{ border: 1px solid #999; padding: 0 1em }}
header {{ border-bottom: 1px solid #999; margin: 0 -1em; padding: .3em 1em; background: #eee }}
pre {{ margin: .7em 0; white-space: pre-wrap; overflow-wrap: anywhere }}
img {{ max-width: 100% }}
td, th {{ text-align: left; padding: .1em .7em .1em 0; vertical-align: top }}
{colours}
.ansi-red-fg {{ color: #b22222 }}
.ansi-green-fg {{ color: #006400 }}
.ansi-bold {{ font-weight: bold }}
</style></head><body><h1>{title}</h1>
<p>{summary}</p>
{cells}
</body></html>
"""


def page(notebook: Any, title: str, grades: Grades) -> str:
    """The page of a graded notebook."""
    points = sum(got or 0 for got, _ in grades.values())
    waiting = sum(most for got, most in grades.values() if got is None)
    summary = f"{points:g} of {sum(most for _, most in grades.values()):g} points" + (
        f", and {waiting:g} to be graded by hand" if waiting else ""
    )
    return PAGE.format(
        title=html.escape(title),
        summary=summary,
        colours=HtmlFormatter().get_style_defs(".highlight"),
        cells="\n".join(section(cell, grades) for cell in notebook.cells),
    )


def section(cell: Any, grades: Grades) -> str:
    """One cell with its outputs, under a heading if it has a name."""
    if cell.cell_type == "code":
        parts = [highlight(cell.source), *map(show_output, cell.outputs)]
    elif cell.cell_type == "markdown":
        parts = [markdown(cell.source, cell.get("attachments", {}))]
    else:
        parts = [preformatted(cell.source)]
    if not (name := grade_id(cell)):
        return f"<section>{''.join(parts)}</section>"
    got, most = grades.get(name, (None, None))
    score = ""
    if most is not None:
        score = f": {got:g} of {most:g}" if got is not None else f": to be graded, {most:g}"
    name = html.escape(name)
    head = f"<header><strong>{name}</strong>{score}</header>"
    return f'<section class="named" id="{name}">{head}{"".join(parts)}</section>'


def show_output(output: Any) -> str:
    """An output, in the richest form that a page without scripts can show."""
    if output.output_type == "stream":
        return preformatted(output.text)
    if output.output_type == "error":
        return preformatted("\n".join(output.traceback))
    data = output.data
    for mime in PICTURES:
        if mime in data:
            return picture(mime, "".join(data[mime].split()), data.get("text/plain", ""))
    if "image/svg+xml" in data:  # shown as a picture it runs nothing and fetches nothing
        packed = b64encode(data["image/svg+xml"].encode()).decode()
        return picture("image/svg+xml", packed, data.get("text/plain", ""))
    if "text/html" in data:
        return f"<div>{clean(data['text/html'])}</div>"
    if "text/markdown" in data:
        return markdown(data["text/markdown"])
    return preformatted(data.get("text/plain") or data.get("text/latex", ""))


def picture(mime: str, base64: str, alt: str) -> str:
    """A picture inside the page."""
    alt, base64 = html.escape(alt or "a picture"), html.escape(base64)
    return clean(f'<img alt="{alt}" src="data:{mime};base64,{base64}">')


def preformatted(text: str) -> str:
    """Printed text, with its terminal colours."""
    return f"<pre>{ansi2html(text)}</pre>"


def highlight(source: str) -> str:
    """Python with its colours."""
    try:
        return Highlight2HTML(pygments_lexer="ipython3")(source)
    except Exception:  # whatever a lexer finds too hard is shown without colours
        return preformatted(source)


def markdown(source: str, attachments: dict[str, Any] | None = None) -> str:
    """Markdown as clean HTML."""
    try:
        renderer = IPythonRenderer(
            escape=False, attachments=attachments or {}, exclude_anchor_links=True
        )
        return f"<div>{clean(MarkdownWithMath(renderer=renderer).render(source))}</div>"
    except Exception:  # an attachment is missing, or nesting is too deep
        return preformatted(source)


def clean(text: str) -> str:
    """HTML reduced to what is allowed, every tag closed."""
    if text.count("<") > MOST_TAGS:  # deep nesting takes the square of its depth
        return "<p>(This has too many tags to be shown.)</p>"
    return nh3.clean(
        text,
        tags=TAGS,
        clean_content_tags=DROPPED_WITH_THEIR_TEXT,
        attributes=ATTRIBUTES,
        attribute_filter=allowed_value,
        url_schemes={"http", "https", "mailto", "data"},
        url_relative="deny",
    )


def allowed_value(tag: str, attribute: str, value: str) -> str | None:
    """An attribute's value, or None where it would fetch something or hide where it leads."""
    if attribute == "src":
        return value if PICTURE.fullmatch(value) else None
    if attribute == "href":
        return value if re.match(r"(https?|mailto):", value) else None
    if attribute in ("colspan", "rowspan"):
        return value if re.fullmatch(r"\d{1,3}", value) else None
    return value
