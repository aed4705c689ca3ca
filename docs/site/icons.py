"""A Sphinx extension: the ten icons that the pages have, in the place of the theme's 1.5 MB script.

Drawings of icons come out of the theme's own script, when the site is built.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from sphinx.application import Sphinx

NAME = re.compile(r'<i class="fa-solid fa-([a-z-]+)')
DRAWN_BY_SCRIPTS = {"xmark"}
SCRIPT = """// The icons of this site: <i class="fa-solid fa-NAME"> becomes a drawing.
const ICONS = %s;
const drawIcons = () => document.querySelectorAll("i.fa-solid").forEach((i) => {
  const icon = ICONS[[...i.classList].map((c) => c.slice(3)).find((name) => ICONS[name])];
  if (!icon || i.firstChild) return;
  const [width, height, path] = icon;
  const box = `aria-hidden="true" viewBox="0 0 ${width} ${height}"`;
  i.innerHTML = `<svg ${box}><path d="${path}"/></svg>`;
});
drawIcons();
new MutationObserver(drawIcons).observe(document.body, { childList: true, subtree: true });
"""


def write(app: Sphinx, error: Exception | None) -> None:
    """When all pages are there: a script with the icons that they name."""
    if error or app.builder.name != "html":
        return
    out = Path(app.outdir)
    pages = (page.read_text(encoding="utf-8") for page in out.rglob("*.html"))
    names = DRAWN_BY_SCRIPTS.union(*(NAME.findall(page) for page in pages))
    script = out / "_static" / "scripts" / "fontawesome.js"
    drawn = script.read_text(encoding="utf-8")
    icons = {name: icon(name, drawn) for name in sorted(names)}
    script.write_text(SCRIPT % json.dumps(icons), encoding="utf-8")


def icon(name: str, script: str) -> tuple[int, int, str]:
    """Width, height and path of an icon. Of several styles, the solid one comes last."""
    pattern = rf'[{{,]"?{name}"?:\[(\d+),(\d+),\[[^\]]*\],"[^"]*","([^"]+)"'
    *_, (width, height, path) = re.findall(pattern, script)
    return int(width), int(height), path


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
