"""BERT in a page, opened and asked: what its tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Locator, Page

TEXT = "The Congress must pass the [MASK] bill."


def opened(page: Page, file: Path) -> Page:
    page.goto(file.as_uri())
    answered(page, 0)
    return page


def answered(page: Page, number: int) -> int:
    """Wait for an answer after the one of this number. Returns the number of the new one."""
    page.wait_for_function(
        "n => Number(document.querySelector('.app')?.dataset.seq ?? 0) > n", arg=number
    )
    return number_of(page)


def number_of(page: Page) -> int:
    return int(page.locator(".app").get_attribute("data-seq"))


def do(page: Page, action: Callable[[], object]) -> None:
    """Do this, and wait for the answer."""
    before = number_of(page)
    action()
    answered(page, before)


def show(page: Page, tab: str) -> Locator:
    do(page, lambda: page.locator(f"#tab-{tab}").click())
    return page.locator(f"#view-{tab}")


def bars(table: Locator) -> list[tuple[str, str]]:
    rows = table.locator("tbody tr").all()
    return [(r.locator("th").inner_text(), r.locator("td").last.inner_text()) for r in rows]


def widths(bars: Locator) -> list[float]:
    """How much of the space around it each bar takes, 0 to 1."""
    return bars.evaluate_all(
        "all => all.map((bar) => bar.getBoundingClientRect().width / bar.parentNode.clientWidth)"
    )


def slow_down(page: Page) -> None:
    """What is asked from now on reaches the page's thread a while later."""
    page.evaluate(
        """() => {
            const post = Worker.prototype.postMessage;
            Worker.prototype.postMessage = function (request) {
                setTimeout(() => post.call(this, request), 300);
            };
        }"""
    )


def percent(share: float) -> str:
    if share < 0.0005:
        return "< 0.1 %"
    return f"{100 * share:.{1 if share < 0.0995 else 0}f} %"
