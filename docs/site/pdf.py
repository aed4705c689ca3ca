"""The chapters and the glossary as one PDF: `make pdf`, into `build/minibert.pdf`.

Sphinx makes one page of them, and Chromium prints it, without scripts: nothing is folded then.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright
from sphinx.cmd.build import main as sphinx

from build import HERE, ROOT, prepare

STYLE = "width: 100%; text-align: center; font-size: 8px"
FOOTER = f'<p style="{STYLE}"><span class="pageNumber"></span></p>'
MARGIN = {side: "18mm" for side in ("top", "bottom", "left", "right")}


def main(arguments: list[str]) -> int:
    """Print into a folder, `build/` if none is given."""
    out = Path(arguments[0]).resolve() if arguments else ROOT / "build"
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit(
            "no Chromium prints the PDF: install one, for example with apt-get install chromium"
        )
    source, made = out / "site-source", out / "site-print"
    prepare(source, solutions=False)
    extra = f"html_extra_path={source / 'extra'}"
    options = ["-q", "-W", "-d", str(out / "print-doctrees"), "-D", "root_doc=print", "-D", extra]
    failed = sphinx([*options, "-c", str(HERE), "-b", "singlehtml", str(source), str(made)])
    if failed:
        return failed
    page_file = made / "print.html"  # where a chapter's pictures are one folder nearer
    text = page_file.read_text(encoding="utf-8")
    page_file.write_text(text.replace('src="../pictures/', 'src="pictures/'), encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_context(java_script_enabled=False).new_page()
        page.goto(page_file.as_uri())
        page.pdf(
            path=out / "minibert.pdf", format="A4", margin=MARGIN, print_background=True,
            outline=True, tagged=True, display_header_footer=True, header_template="<p></p>",
            footer_template=FOOTER,
        )  # fmt: skip
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
