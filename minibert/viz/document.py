"""A self-contained page: a sandboxed frame in a notebook, or a file.

It loads nothing from elsewhere, and its text cannot become markup. Scripts inside the frame have no
access to the notebook around it.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minibert.files import write_text
from minibert.viz.style import Picture

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)
BASE_STYLE = """
:root { color-scheme: light; }
body { margin: 0.5rem; background: #fff; color: #111; font: 0.9rem/1.4 system-ui, sans-serif; }
"""
# JupyterLab drops frame and style in a notebook that is not trusted, and the picture shows.
FALLBACK_STYLE = "<style>.minibert-page + .minibert-picture { display: none; }</style>"


def script_json(value: Any) -> str:
    """`value` as JSON for a `<script>`: nothing in it can end the script."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


class Document:
    """An HTML document.

    `title` names it, `body` and `style` are HTML and CSS, `scripts` run in order at the body's end.
    `picture` replaces it if no script may run, and its alt text describes the page; a page that is
    nothing without its scripts has none. `height` is the height of the frame in CSS pixels. A
    longer page scrolls.
    """

    policy = POLICY
    base_style = BASE_STYLE

    def __init__(
        self,
        title: str,
        body: str,
        picture: Picture | None,
        style: str = "",
        scripts: Sequence[str] = (),
        height: int = 480,
    ) -> None:
        self.title = title
        self.body = body
        self.picture = picture
        self.style = style
        self.scripts = tuple(scripts)
        self.height = height

    @property
    def html(self) -> str:
        """The whole page as HTML, the same for the same input."""
        scripts = "\n".join(f"<script>{script}</script>" for script in self.scripts)
        return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{self.policy}">
<title>{html.escape(self.title)}</title>
<style>{self.base_style}{self.style}</style>
</head>
<body>
<main>
{self.body}
</main>
{scripts}
</body>
</html>
"""

    def save(self, path: str | Path) -> Path:
        """Write the page to `path`, which ends in .html. Returns the path."""
        path = Path(path)
        if path.suffix != ".html":
            raise ValueError(f"{path} must end in .html: it is a page")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, self.html)
        return path

    def __repr__(self) -> str:
        return f"{self.title}. {self.picture.alt}" if self.picture else self.title

    def _repr_html_(self) -> str:
        frame = (
            f'<iframe class="minibert-page" sandbox="allow-scripts allow-downloads" '
            f'title="{html.escape(self.title)}" '
            f'style="width: 100%; height: {self.height}px; border: 1px solid #ccc; '
            f'background: #fff; color-scheme: light" '
            f'srcdoc="{html.escape(self.html)}"></iframe>'
        )
        if self.picture is None:
            return frame
        picture = self.picture._repr_html_().replace("<img ", '<img class="minibert-picture" ', 1)
        return f"{FALLBACK_STYLE}{frame}{picture}"
