"""The ground of these tests: what they look for is found where it is."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from minibert.viz.document import Document
from minibert.viz.style import plot, show
from tests.browser.axe import axe
from tests.browser.notebook import Frontend


def test_what_a_page_does_wrong_is_noted(page: Page):
    """In a frame as well as in the page itself."""
    page.set_content(
        "<img src='https://example.org/1.png'>"
        "<iframe srcdoc='<img src=https://example.org/2.png>'></iframe>"
        "<script>alert('look'); new WebSocket('wss://example.org/3'); nothing.at.all</script>"
    )
    page.wait_for_load_state()
    found, page.outside_requests[:] = sorted(page.outside_requests), []
    assert found == [
        "https://example.org/1.png",
        "https://example.org/2.png",
        "wss://example.org/3",
    ]
    assert page.dialogs.pop() == "look"
    assert page.errors == ["nothing is not defined"]


def test_axe_finds_what_cannot_be_used_in_a_sandboxed_frame(page: Page):
    """The policy of a frame keeps no scripts out that the test brings."""
    bad = Document("A page", "<select></select>", show(plot()[0], "A plot."))
    page.set_content(bad._repr_html_())
    (line,) = axe(page.frames[1])
    assert line.startswith("select-name (critical)") and line.endswith("<select></select>")
    assert axe(page, ".minibert-page") == []


def test_cells_that_fail_are_told_and_a_new_kernel_knows_nothing(lab: Frontend):
    """The second cell fails once the first has run twice in one kernel."""
    page = lab.run("runs = globals().get('runs', 0) + 1\nruns", "1 / (2 - runs)", "'end'")
    with pytest.raises(AssertionError, match="ZeroDivisionError: division by zero"):
        lab.run_all()
    expect(page.locator(".jp-OutputArea-output").first).to_have_text("2")
    lab.reopen()
    lab.run_all()
    expect(page.locator(".jp-OutputArea-output").first).to_have_text("1")
