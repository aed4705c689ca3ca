"""A real browser, a real JupyterLab, and a page of its own for every test.

A test that leaves behind a request to elsewhere or a dialog fails, whatever else it checks.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Dialog, Page, Route, WebSocket, expect, sync_playwright

import minibert
from minibert.model import BertForPreTraining
from minibert.tokenizer import BertTokenizer
from minibert.viz import page as bert_page
from tests.browser.bert_page import TEXT
from tests.browser.notebook import PATIENCE, Frontend
from tests.browser.server import JupyterServer
from tests.rounded import rounded

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # What goes around the interception below ends here, such as a WebSocket.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
OUTSIDE = re.compile(r"^(https?|wss?)://(?!(127\.0\.0\.1|localhost)[:/])")
expect.set_options(timeout=PATIENCE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of this folder where there is no browser."""
    skip = pytest.mark.skip("NOTHING IS TESTED IN A BROWSER. No Chromium: apt-get install chromium")
    for item in items:
        if CHROMIUM is None and Path(__file__).parent in item.path.parents:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page, without cookies or cache, that reaches this machine alone.

    `page.outside_requests` are the addresses that it asked for elsewhere, `page.dialogs` the texts
    of its dialogs, `page.errors` the errors that no script caught.
    """
    context = browser.new_context(service_workers="block")
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.outside_requests, page.dialogs, page.errors = [], [], []

    def refuse(route: Route) -> None:
        page.outside_requests.append(route.request.url)
        route.abort()

    def note_socket(socket: WebSocket) -> None:
        if OUTSIDE.match(socket.url):
            page.outside_requests.append(socket.url)

    def dismiss(dialog: Dialog) -> None:
        if dialog.type == "beforeunload":  # Jupyter asks whether to leave what is not saved
            dialog.accept()
        else:
            page.dialogs.append(dialog.message)
            dialog.dismiss()

    context.route(OUTSIDE, refuse)
    context.on("dialog", dismiss)
    page.on("websocket", note_socket)
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    yield page
    context.close()
    assert not page.outside_requests, "the page asked for something from elsewhere"
    assert not page.dialogs, "a dialog came up"


@pytest.fixture(scope="session")
def shipped() -> tuple[BertForPreTraining, BertTokenizer]:
    """The model as the page holds it: its weights are rounded."""
    model, tokenizer = minibert.load("mini")
    model.load_state_dict(rounded(model))
    return model, tokenizer


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BERT in a page."""
    folder = tmp_path_factory.mktemp("page")
    return bert_page(*minibert.load("mini"), TEXT).save(folder / "bert.html")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """JupyterLab and Notebook 7."""
    server = JupyterServer(tmp_path_factory.mktemp("jupyter"))
    yield server
    server.stop()


@pytest.fixture
def lab(server: JupyterServer, page: Page) -> Iterator[Frontend]:
    """JupyterLab, with nothing else open."""
    yield Frontend(server, page, "lab/tree/{name}?reset")
    page.close()
    server.shut_kernels_down()


@pytest.fixture
def notebook7(server: JupyterServer, page: Page) -> Iterator[Frontend]:
    """Notebook 7."""
    yield Frontend(server, page, "notebooks/{name}")
    page.close()
    server.shut_kernels_down()


@pytest.fixture(params=["lab", pytest.param("notebook7", marks=pytest.mark.long)])
def frontend(request: pytest.FixtureRequest) -> Frontend:
    """JupyterLab; and Notebook 7, which is made of the same parts, in `make test-all`."""
    return request.getfixturevalue(request.param)
