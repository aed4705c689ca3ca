"""What axe-core has to say about a page: can it be used without eyes or mouse?"""

from __future__ import annotations

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Frame, Page

GRAVE = ("serious", "critical")
# Frames inside have pages of their own, to be asked about by themselves.
RUN = "(part) => axe.run(part ?? document, {resultTypes: ['violations'], iframes: false})"


def axe(page: Page | Frame, part: str | None = None) -> list[str]:
    """The serious and critical violations in a page or frame, or in what the selector names.

    It works in a sandboxed frame with a Content-Security-Policy too, if the sandbox allows scripts.
    """
    page.evaluate(AXE_SCRIPT)
    return [
        f"{violation['id']} ({violation['impact']}): {violation['help']}: {node['html']}"
        for violation in page.evaluate(RUN, part)["violations"]
        if violation["impact"] in GRAVE
        for node in violation["nodes"]
    ]
