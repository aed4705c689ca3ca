"""`minibert grade`: a class's exercise notebooks, graded by nbgrader.

A notebook is Python and can do whatever Python can. Each one runs in a separate process with a time
limit, a memory limit and no network (`sandbox.py`), but as you, so it can read and write your
files. Locked cells are put back, and so are functions that cells replaced, before each check. That
is enough for mistakes and obvious cheats, but it does not stop somebody who has read this file.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from typing import Any

from tqdm import tqdm

from minibert.course.grade_table import Row, Rows, csv_text, index_page, key_of, read_grades, row_of
from minibert.course.sandbox import Limits, find_fence, run_watched
from minibert.course.submissions import Submission, collect
from minibert.files import locked, write_text

ONE_NOTEBOOK = "minibert.course.notebook_grading"
"""The module that grades one notebook, which runs in a separate process."""


@dataclass(frozen=True)
class Task:
    """A notebook to be graded, and how."""

    found: Submission
    contents: Path
    exercise: Path
    fingerprint: str
    limits: Limits
    fence: tuple[str, ...]


def grade(
    submissions: Path,
    out: Path,
    exercises: Path | None = None,
    limits: Limits | None = None,
    jobs: int = 2,
    say: Callable[[str], Any] = print,
) -> list[Row]:
    """Grade into `out` what is new or changed in `submissions`. Returns all rows of the table.

    Raises `ValueError` or `OSError` before anything is written if nbgrader is missing or a folder
    cannot be used, and `KeyboardInterrupt` after Ctrl-C, SIGTERM or SIGHUP.
    """
    for module in ("nbgrader", "nh3", "psutil"):
        if find_spec(module) is None:
            raise ValueError(f"grading needs {module}: pip install 'minibert[teaching]'")
    limits = limits or Limits()
    sources = find_exercises(exercises)
    check_folders(submissions, out)
    fence = find_fence()
    say(
        f"A notebook gets {limits.seconds} s, {limits.gigabytes:g} GB and no network ("
        + ("a namespace without one)." if fence else "Python's sockets refuse; nothing else does).")
    )
    out.mkdir(parents=True, exist_ok=True)
    stop = Event()
    with (
        locked(out, "grading"),
        signals_set(stop),
        tempfile.TemporaryDirectory() as copies,
        ThreadPoolExecutor(jobs) as pool,
    ):
        rows, running = read_grades(out), []
        try:
            for found in collect(submissions, sources, Path(copies)):
                if not found.contents:
                    put(rows, row_of(found, {"reason": found.reason}))
                    continue
                source = sources[found.exercise]
                mark = fingerprint(found.contents, source, limits)
                task = Task(found, found.contents, source, mark, limits, fence)
                if not is_graded(task, rows, out):
                    running.append(pool.submit(grade_one, task, stop))
            write_grades(out, rows)
            for done in tqdm(as_completed(running), "grading", len(running), disable=None):
                if stop.is_set():
                    break
                row, page = done.result()
                if page:
                    (out / "feedback").mkdir(exist_ok=True)
                    write_text(out / row["feedback"], page)
                put(rows, row)
                write_grades(out, rows)
            stopped = stop.is_set()
        finally:
            stop.set()  # nothing runs on, even after an error
            pool.shutdown(cancel_futures=True)
    if stopped:
        raise KeyboardInterrupt
    return list(rows.values())


def check_folders(submissions: Path, out: Path) -> None:
    """Raise `ValueError` or `OSError` for a folder that cannot be read from, or written to."""
    if not submissions.is_dir():
        raise FileNotFoundError(f"{submissions} is not a folder")
    here, there = submissions.resolve(), out.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise ValueError(f"{out} and {submissions} must not lie one inside the other")
    read_grades(out)
    if not any(submissions.iterdir()):
        raise FileNotFoundError(f"nothing was handed in: {submissions} is empty")


@contextmanager
def signals_set(stop: Event) -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP set the event in this block.

    They must not raise an exception, because that could come in the middle of an import, whose
    lock would then keep the threads from ending their notebooks.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")]
    before = {number: signal.getsignal(number) for number in numbers if number}
    before = {n: old for n, old in before.items() if old not in (None, signal.SIG_IGN)}
    for number in before:
        signal.signal(number, lambda *_: stop.set())
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def find_exercises(folder: Path | None) -> dict[str, Path]:
    """The exercises by name, from a folder, or from `exercises/` near the package or here.

    Raises `FileNotFoundError` if there are none.
    """
    beside = Path(__file__).parents[2] / "exercises"
    folder = folder or (beside if beside.is_dir() else Path("exercises"))
    found = {file.stem: file for file in sorted(folder.glob("*.ipynb"))}
    if not found:
        raise FileNotFoundError(
            f"there are no exercise notebooks in {folder}: say where they are with --exercises"
        )
    return found


def fingerprint(submission: Path, source: Path, limits: Limits) -> str:
    """The same as long as a submission, its exercise and the limits stay the same."""
    parts = (submission.read_bytes(), source.read_bytes(), str(limits).encode())
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def grade_one(task: Task, stop: Event) -> tuple[Row, str]:
    """The row of a submission, and its page of feedback, "" if it could not be graded."""
    limits, found = task.limits, task.found
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        job = {"name": found.exercise, "seconds": limits.seconds, "fenced": bool(task.fence)}
        job["memory"] = int(limits.gigabytes * 2**30)
        try:
            shutil.copy(task.contents, folder / "submission.ipynb")
            shutil.copy(task.exercise, folder / "exercise.ipynb")
            (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
            run_watched(ONE_NOTEBOOK, folder, task.fence, limits, stop)
            result = json.loads((folder / "result.json").read_text("utf-8"))
        except Exception as error:  # the remaining notebooks must be graded anyway
            result = {"reason": f"it could not be graded: {error}"}
        page = result.pop("page", "")
    return row_of(found, result, task.fingerprint), page


def put(rows: Rows, row: Row) -> None:
    """Put a row in its place: each submission has one."""
    rows[row["key"]] = row


def is_graded(task: Task, rows: Rows, out: Path) -> bool:
    """Whether a submission has its row and its page, and has not changed since."""
    row = rows.get(key_of(task.found.student, task.found.file))
    return row is not None and row["hash"] == task.fingerprint and (out / row["feedback"]).is_file()


def write_grades(out: Path, rows: Rows) -> None:
    """The table, and the page that links everything."""
    write_text(out / "grades.csv", csv_text(rows))
    write_text(out / "index.html", index_page(rows))
