"""Run a module on a folder in a watched process, with limits, and end everything that it started.

On Linux the process gets its own namespace: it has no network, sees no other processes, and takes
whatever it started with it when it ends. If namespaces are not allowed, the process adopts the
orphans of its children and ends them. On other systems, only children that were seen are ended.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from minibert.settings import Count, Positive, check

SPARE_SECONDS = 180
SPARE_GIGABYTES = 1.0
"""What the process may use beyond its limits, which the notebook's Python enforces itself."""
MOST_PROCESSES = 40
ORPHANS_COME_HERE = 36
"""PR_SET_CHILD_SUBREAPER of Linux's prctl."""

NO_NETWORK = ("unshare", "--map-root-user", "--net")
FENCES = ((*NO_NETWORK, "--pid", "--fork", "--kill-child", "--mount-proc"), NO_NETWORK, ())
"""Commands that isolate the command after them, the best first."""


@dataclass(frozen=True)
class Limits:
    """What one notebook may use."""

    seconds: Count = 120
    """For the whole notebook; a single cell gets a quarter."""
    gigabytes: Positive = 4.0

    def __post_init__(self) -> None:
        check(self)


def find_fence() -> tuple[str, ...]:
    """The best command of `FENCES` that this system allows."""
    for fence in FENCES[:-1]:
        with contextlib.suppress(OSError):
            if subprocess.run([*fence, "true"], capture_output=True).returncode == 0:
                return fence
    return ()


def run_watched(
    module: str, folder: Path, fence: tuple[str, ...], limits: Limits, stop: Event
) -> None:
    """Run `python -m module folder`. Raises `RuntimeError` unless it succeeds within the limits."""
    log = folder / "log.txt"
    # Standard input stays open as long as this process lives. The child ends when it closes.
    with log.open("wb") as output, subprocess.Popen(
        [*fence, sys.executable, "-m", module, str(folder)], cwd=folder, start_new_session=True,
        stdin=subprocess.PIPE, stdout=output, stderr=output, env=private_environment(folder),
    ) as process:  # fmt: skip
        family = Family(process.pid)
        end = time.monotonic() + limits.seconds + SPARE_SECONDS
        try:
            while process.poll() is None:
                number, memory = family.size()
                if stop.wait(0.1):
                    raise RuntimeError("stopped")
                if time.monotonic() > end:
                    raise RuntimeError("it took too long, and could not be interrupted")
                if number > MOST_PROCESSES:
                    raise RuntimeError(f"it started more than {MOST_PROCESSES} processes")
                if memory > (limits.gigabytes + SPARE_GIGABYTES) * 2**30:
                    raise RuntimeError(f"it took more than {limits.gigabytes:g} GB of memory")
        finally:
            family.end()
    if process.returncode:
        said = log.read_text("utf-8", "replace").strip().splitlines()
        raise RuntimeError(said[-1] if said else f"exit code {process.returncode}")


def private_environment(folder: Path) -> dict[str, str]:
    """An environment without anybody's settings, kernels and caches: points must not differ."""
    home = folder / "home"
    home.mkdir()
    private = ["HOME", "TMPDIR", "IPYTHONDIR", "MPLCONFIGDIR"]
    private += ["JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"]
    environment = os.environ | dict.fromkeys(private, str(home))
    environment |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    package = Path(__file__).parents[2]  # it need not be installed
    environment["PYTHONPATH"] = f"{package}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    return environment


class Family:
    """A process and everything it has started, children of children too."""

    def __init__(self, pid: int) -> None:
        import psutil

        self.top = psutil.Process(pid)
        self.descendants: set[psutil.Process] = set()

    def living(self) -> set:
        """The descendants that are still running. A process that was seen once is remembered."""
        import psutil

        with contextlib.suppress(psutil.Error):  # the top has ended
            self.descendants.update(self.top.children(recursive=True))
        ended = set()
        for process in self.descendants:
            try:
                if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                    ended.add(process)
            except psutil.Error:
                ended.add(process)
        self.descendants -= ended
        return set(self.descendants)

    def size(self) -> tuple[int, int]:
        """The number of processes and the bytes of memory they hold together."""
        import psutil

        memory, everyone = 0, {self.top, *self.living()}
        for process in everyone:
            with contextlib.suppress(psutil.Error):
                memory += process.memory_info().rss
        return len(everyone), memory

    def end(self, top_too: bool = True) -> None:
        """Kill them all, and repeat until none is left, because some may start others meanwhile."""
        import psutil

        deadline = time.monotonic() + 10
        while (living := self.living()) and time.monotonic() < deadline:
            for process in living:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(living, timeout=0.1)
        if top_too:
            with contextlib.suppress(psutil.Error):
                self.top.kill()


@contextmanager
def nobody_left_behind() -> Iterator[None]:
    """Used by the watched process: its descendants end with it, and it ends with its parent."""
    family = Family(os.getpid())
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(ORPHANS_COME_HERE, 1, 0, 0, 0)

    def wait_for_the_parents_end() -> None:
        os.read(sys.stdin.fileno(), 1)
        family.end(top_too=False)
        os._exit(1)

    threading.Thread(target=wait_for_the_parents_end, daemon=True).start()
    try:
        yield
    finally:
        family.end(top_too=False)
