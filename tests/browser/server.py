"""A JupyterLab of its own for the tests, which also serves Notebook 7."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

import nbformat
from nbformat.sign import NotebookNotary

REPOSITORY = Path(__file__).parents[2]
SECONDS_TO_START = 60.0
DIRECT = build_opener(ProxyHandler({}))  # a proxy does not know this machine's 127.0.0.1
NOTIFICATIONS = "lab/user-settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
# A page and its kernel for each test: the kernels are forked, because their imports take longest.
LAB = """
from jupyterlab.labapp import main
from tests.forked_kernels import fork_kernels

fork_kernels()
main()
"""
NO_NEWS = {"fetchNews": "false", "checkForUpdates": False}


class JupyterServer:
    """A server on a free port of this machine; all that it reads and writes lies in `folder`.

    The user's own settings, trusted notebooks and running servers are neither seen nor touched.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.data = folder / "data"
        self.log = folder / "server.log"
        self.root.mkdir(parents=True)
        settings = folder / "config" / NOTIFICATIONS
        settings.parent.mkdir(parents=True)
        settings.write_text(json.dumps(NO_NEWS))
        self.numbers = count(1)
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}/"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-c", LAB, "--no-browser", "--allow-root"),
                    "--ServerApp.ip=127.0.0.1",
                    f"--ServerApp.port={port}",
                    "--ServerApp.port_retries=0",
                    f"--ServerApp.root_dir={self.root}",
                    # Only this machine can reach it, and for a minute.
                    "--IdentityProvider.token=",
                    "--ServerApp.disable_check_xsrf=True",
                    # So that tests can wait until what they asked for is done.
                    "--LabApp.expose_app_in_browser=True",
                    "--JupyterNotebookApp.expose_app_in_browser=True",
                ],
                env=_environment(folder, self.data),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait()

    def write(self, notebook: nbformat.NotebookNode) -> str:
        """Put the notebook, unsigned, into the server's root. Returns its name there."""
        name = f"notebook-{next(self.numbers)}.ipynb"
        nbformat.write(notebook, self.root / name)
        return name

    def read(self, name: str) -> nbformat.NotebookNode:
        """The notebook as it was last saved."""
        return nbformat.read(self.root / name, as_version=4)

    def trust(self, name: str) -> None:
        """Let the outputs of the saved notebook do what they like, as `jupyter trust` does."""
        NotebookNotary(data_dir=str(self.data)).sign(self.read(name))

    def untrust(self, name: str) -> None:
        """Forget that the saved notebook was run here, as if somebody else had sent it."""
        NotebookNotary(data_dir=str(self.data)).unsign(self.read(name))

    def shut_kernels_down(self) -> None:
        """End every kernel, and wait until it has ended."""
        for session in json.loads(self._call("GET", "api/sessions")):
            self._call("DELETE", f"api/sessions/{session['id']}")

    def stop(self) -> None:
        """End the server, and its kernels with it."""
        self.process.terminate()  # it takes its kernels along, and asks nobody
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + SECONDS_TO_START
        while True:
            with suppress(URLError):
                self._call("GET", "api/status")
                return
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(0.1)  # ends at once if the server has died
            if self.process.returncode is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"JupyterLab did not start:\n{self.log.read_text()}")

    def _call(self, method: str, path: str) -> bytes:
        with DIRECT.open(Request(self.url + path, method=method), timeout=30) as answer:
            return answer.read()


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _environment(folder: Path, data: Path) -> dict[str, str]:
    """What the server and its kernels see: this repository's minibert, and no Jupyter settings."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "PYTEST"))}
    return ours | {
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(data),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
        "PYTHONPATH": str(REPOSITORY),
    }
