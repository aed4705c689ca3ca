"""What a notebook starts ends with it, and its limits hold for all of it together."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event, Timer

import psutil
import pytest

from minibert.course import grading, sandbox
from minibert.course.sandbox import FENCES, Limits, run_watched

ROOT = Path(__file__).parents[1]
FENCES_HERE = [f for f in FENCES if not f or subprocess.run([*f, "true"]).returncode == 0]
DAEMON = """
import os, sys, time
def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(300)
        os._exit(0)
    os.wait()
"""
START = DAEMON + "from minibert.course.sandbox import nobody_left_behind\n"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks and namespaces of Linux")


@pytest.fixture(params=FENCES_HERE, ids=len)
def fence(request):
    return request.param


@pytest.fixture
def marked(monkeypatch):
    """The processes of this test, found by a mark in their environment."""
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    monkeypatch.setenv("MARK_OF_A_TEST", mark)

    def living():
        found = []
        for process in psutil.process_iter():
            try:
                if (
                    process.pid != os.getpid()
                    and process.environ().get("MARK_OF_A_TEST") == mark
                    and process.status() != psutil.STATUS_ZOMBIE
                ):
                    found.append(process)
            except psutil.Error:
                pass
        return found

    yield living
    for process in living():
        process.kill()


def run(folder, fence, source, stop=None, **limits):
    (folder / "told.py").write_text(START + source)
    run_watched("told", folder, fence, Limits(**limits), stop or Event())


def until(condition):
    """Wait for what comes in an instant."""
    end = time.monotonic() + 60
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def test_daemons_end_with_the_process(tmp_path, fence, marked):
    run(tmp_path, fence, "with nobody_left_behind():\n    daemon(); daemon()\n    open('x', 'w')")
    assert (tmp_path / "x").exists()
    assert until(lambda: not marked())


def test_daemons_end_when_the_process_is_stopped(tmp_path, fence, marked):
    stop = Event()
    source = "with nobody_left_behind():\n    daemon()\n    open('x', 'w')\n    time.sleep(300)"
    Timer(0, lambda: until((tmp_path / "x").exists) and stop.set()).start()
    with pytest.raises(RuntimeError, match="stopped"):
        run(tmp_path, fence, source, stop)
    assert until(lambda: not marked())


def test_daemons_are_counted(tmp_path, fence, marked):
    source = "with nobody_left_behind():\n    for _ in range(60): daemon()\n    time.sleep(300)"
    with pytest.raises(RuntimeError, match="more than 40 processes"):
        run(tmp_path, fence, source)
    assert until(lambda: not marked())


def test_memory_of_daemons_counts(tmp_path, fence, marked, monkeypatch):
    monkeypatch.setattr(sandbox, "SPARE_GIGABYTES", 0.1)
    source = (
        "with nobody_left_behind():\n    a = bytes([1]) * (8 * 10**7)\n"
        "    for _ in range(4): daemon()\n    time.sleep(300)"
    )
    with pytest.raises(RuntimeError, match=r"more than 0\.1 GB of memory"):
        run(tmp_path, fence, source, gigabytes=0.1)
    assert until(lambda: not marked())


def test_what_takes_too_long_is_ended(tmp_path, marked, monkeypatch):
    monkeypatch.setattr(sandbox, "SPARE_SECONDS", -0.5)
    with pytest.raises(RuntimeError, match="too long"):
        run(tmp_path, (), "time.sleep(300)", seconds=1)
    assert until(lambda: not marked())


def test_an_error_is_told_by_its_last_line(tmp_path, fence):
    with pytest.raises(RuntimeError, match=r"^ValueError: so it goes$"):
        run(tmp_path, fence, "raise ValueError('so it goes')")
    with pytest.raises(RuntimeError, match=r"^exit code 7$"):
        (tmp_path / "home").rmdir()
        run(tmp_path, fence, "os._exit(7)")


def test_nobodys_settings_are_used(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", "/mine")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    made = sandbox.private_environment(tmp_path)
    assert made["IPYTHONDIR"] == made["HOME"] == str(tmp_path / "home")
    assert made["HF_HUB_OFFLINE"] == "1" and made["PYTHONPATH"].startswith(str(ROOT))
    assert (made["OMP_NUM_THREADS"], made["CUDA_VISIBLE_DEVICES"]) == ("1", "")


def test_what_has_ended_is_not_counted():
    """A notebook may start more processes than the limit, one after another."""
    family = sandbox.Family(os.getpid())
    before = family.living()
    with subprocess.Popen(["sleep", "300"]) as process:
        assert {child.pid for child in family.living() - before} == {process.pid}
        number, memory = family.size()
        process.kill()
    assert family.living() <= before
    assert family.size()[0] < number and memory > 0


def test_a_fence_has_no_network_and_no_other_processes(tmp_path):
    if not FENCES_HERE[0]:
        pytest.skip("this system allows no namespaces")
    assert sandbox.find_fence() == FENCES_HERE[0]
    source = (
        "import socket\ntry:\n    socket.create_connection(('192.0.2.1', 9), 1)\n"
        "except OSError as error:\n    sys.exit(str(error.errno))"
    )
    with pytest.raises(RuntimeError, match=r"^101$"):  # ENETUNREACH
        run(tmp_path, sandbox.find_fence(), source)


@pytest.mark.parametrize("limits", [{"seconds": 0}, {"gigabytes": 0}, {"gigabytes": float("nan")}])
def test_limits_are_above_zero(limits):
    with pytest.raises(ValueError, match="must be a"):
        Limits(**limits)


def test_a_signal_is_no_exception_in_the_middle_of_something(signals_arrive):
    """It could come while a lock is held that the notebooks' threads need."""
    before = signal.getsignal(signal.SIGTERM)
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        stop = Event()
        with grading.signals_set(stop):
            os.kill(os.getpid(), getattr(signal, name))
            os.kill(os.getpid(), getattr(signal, name))
            assert stop.wait(1)
    assert signal.getsignal(signal.SIGTERM) == before


GRADE = """
import sys
from pathlib import Path
from minibert.course import grading
grading.ONE_NOTEBOOK = "told"
if "no fence" in sys.argv: grading.find_fence = lambda: ()
grading.grade(Path("in"), Path("out"), Path("exercises"))
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT", "SIGKILL", "SIGKILL no fence"])
def test_grade_takes_its_notebooks_along_whatever_ends_it(tmp_path, marked, signals_arrive, name):
    """And the copies of submissions are gone too, unless it was given no time for that."""
    for folder in ("in/ann", "in/bob", "exercises", "path", "tmp"):
        (tmp_path / folder).mkdir(parents=True)
    for folder in ("in/ann", "in/bob", "exercises"):
        (tmp_path / folder / "a.ipynb").write_text("{}")
    source = "with nobody_left_behind():\n    daemon()\n    open('begun', 'w')\n    time.sleep(300)"
    (tmp_path / "path" / "told.py").write_text(START + source)
    paths = f"{tmp_path / 'path'}{os.pathsep}{ROOT}"
    environment = os.environ | {"PYTHONPATH": paths, "TMPDIR": str(tmp_path / "tmp")}
    name, _, fence = name.partition(" ")
    with subprocess.Popen(
        [sys.executable, "-c", GRADE, fence],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert until(lambda: len(list((tmp_path / "tmp").glob("*/begun"))) == 2)
        process.send_signal(getattr(signal, name))
        process.wait(60)
    assert process.returncode != 0
    assert until(lambda: not marked())
    assert name == "SIGKILL" or not list((tmp_path / "tmp").iterdir())
    assert (tmp_path / "out" / "grades.csv").exists()
