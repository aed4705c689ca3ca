"""`minibert grade`: a class's exercise notebooks, graded by nbgrader.

What is handed in is Python, and can do whatever Python can. Each notebook runs in a process of its
own with a time limit, a memory limit and no network (Linux: a network namespace; elsewhere Python's
sockets refuse), but as you: it can read and write your files. Locked cells are the exercise's, and
before each check whatever cells have put in the checks' place is undone. That is enough for
mistakes and obvious cheats, and no hindrance to somebody who has read this file.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import html
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from threading import Event
from types import ModuleType
from typing import Any

from filelock import FileLock
from tqdm import tqdm

from minibert.course.submissions import JUNK, Submission, collect
from minibert.files import read_text

Row = dict[str, str]
Rows = dict[tuple[str, str], Row]
"""The rows of the table, by student and file."""
COLUMNS = (
    "student", "notebook", "status", "points", "max_points", "to_grade", "to_grade_cells",
    "reason", "feedback", "file", "hash",
)  # fmt: skip
"""Of every row of `grades.csv`; after these come the points of each exercise."""
NOT_GRADED = "not graded"
NO_SCRIPTS = (
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
)
"""In a page of feedback: pictures and colours are shown, nothing runs and nothing is fetched."""


@dataclass(frozen=True)
class Limits:
    """What one notebook may use."""

    seconds: int = 120
    """For all of it; a single cell gets a quarter."""
    gigabytes: float = 4.0


def grade(
    submissions: Path,
    out: Path,
    exercises: Path | None = None,
    limits: Limits | None = None,
    jobs: int = 2,
    say: Callable[[str], Any] = print,
) -> list[Row]:
    """Grade into `out` what is new or changed in `submissions`; all rows of the table.

    Raises `ValueError` or `OSError`, before anything is written, where nbgrader is missing or a
    folder cannot be used.
    """
    if find_spec("nbgrader") is None:
        raise ValueError("grading needs nbgrader: pip install 'minibert[teaching]'")
    limits = limits or Limits()
    sources = find_exercises(exercises)
    if not submissions.is_dir():
        raise FileNotFoundError(f"{submissions} is not a folder")
    here, there = submissions.resolve(), out.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise ValueError(f"{out} and {submissions} must not lie one inside the other")
    read_grades(out)
    if not any(submissions.iterdir()):
        raise FileNotFoundError(f"nothing was handed in: {submissions} is empty")
    fence = network_fence()
    say(
        f"A notebook gets {limits.seconds} s, {limits.gigabytes:g} GB and no network ("
        + ("a namespace without one)." if fence else "Python's sockets refuse; nothing else does).")
    )
    out.mkdir(parents=True, exist_ok=True)
    stop = Event()
    with (
        FileLock(out / ".lock", timeout=0),
        tempfile.TemporaryDirectory() as copies,
        ThreadPoolExecutor(jobs) as pool,
    ):
        rows, tasks = read_grades(out), []
        try:
            for found in collect(submissions, sources, Path(copies)):
                if not found.contents:
                    put(rows, row_of(found, {"reason": found.reason}))
                elif not is_graded(found, rows, out, key := fingerprint(found, sources, limits)):
                    tasks.append(pool.submit(grade_one, found, key, sources, limits, fence, stop))
            write_grades(out, rows)
            for task in tqdm(as_completed(tasks), "grading", len(tasks), disable=None):
                row, page = task.result()
                if page:
                    (out / "feedback").mkdir(exist_ok=True)
                    write(out / row["feedback"], page)
                put(rows, row)
                write_grades(out, rows)
        finally:
            stop.set()  # on Ctrl-C, what runs is ended; what is done has been written
            pool.shutdown(cancel_futures=True)
    return list(rows.values())


def find_exercises(folder: Path | None) -> dict[str, Path]:
    """The exercises by name: of a folder, or else of `exercises/` beside the package or here.

    Raises `FileNotFoundError` where there are none.
    """
    beside = Path(__file__).parents[2] / "exercises"
    folder = folder or (beside if beside.is_dir() else Path("exercises"))
    found = {file.stem: file for file in sorted(folder.glob("*.ipynb"))}
    if not found:
        raise FileNotFoundError(
            f"there are no exercise notebooks in {folder}: say where they are with --exercises"
        )
    return found


def fingerprint(found: Submission, sources: dict[str, Path], limits: Limits) -> str:
    """The same as long as a submission, its exercise and the limits are."""
    parts = (
        found.contents.read_bytes(),
        sources[found.exercise].read_bytes(),
        str(limits).encode(),
    )
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


# One notebook, in a process of its own


def network_fence() -> list[str]:
    """A command that runs another one without a network; none where that is not allowed."""
    fence = ["unshare", "--map-root-user", "--net"]
    try:
        allowed = subprocess.run([*fence, "true"], capture_output=True).returncode == 0
    except OSError:
        allowed = False
    return fence if allowed else []


def grade_one(
    found: Submission,
    key: str,
    sources: dict[str, Path],
    limits: Limits,
    fence: list[str],
    stop: Event,
) -> tuple[Row, str]:
    """The row of a submission, and its page of feedback; "" where it could not be graded."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        job = {"name": found.exercise, "seconds": limits.seconds, "fenced": bool(fence)}
        job["memory"] = int(limits.gigabytes * 2**30)
        try:
            shutil.copy(found.contents, folder / "submission.ipynb")
            shutil.copy(sources[found.exercise], folder / "exercise.ipynb")
            (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
            run_watched(fence, folder, limits, stop)
            result = json.loads((folder / "result.json").read_text("utf-8"))
        except Exception as error:  # whatever it is, the others are graded
            result = {"reason": f"it could not be graded: {error}"}
        page = result.pop("page", "")
    return row_of(found, result, key), page


def run_watched(fence: list[str], folder: Path, limits: Limits, stop: Event) -> None:
    """Run this module on a folder. Raises `RuntimeError` where it does not come to its end."""
    import psutil

    home = folder / "home"
    home.mkdir()
    # Nobody's settings, kernels or caches: the same points on every machine.
    private = ("HOME", "TMPDIR", "IPYTHONDIR", "MPLCONFIGDIR")
    private += ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    environment = os.environ | dict.fromkeys(private, str(home))
    environment |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    # nbgrader looks for alembic; this package need not be installed.
    paths = {"PATH": Path(sys.executable).parent, "PYTHONPATH": Path(__file__).parents[2]}
    for variable, first in paths.items():
        environment[variable] = f"{first}{os.pathsep}{os.environ.get(variable, '')}"
    # The cells' own limits are kept inside, and leave a page. This is for when that fails.
    end = time.monotonic() + limits.seconds + 180
    most = (limits.gigabytes + 1) * 2**30
    log = folder / "log.txt"
    command = [*fence, sys.executable, "-m", "minibert.course.grading", str(folder)]
    with log.open("wb") as output, subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder,
        env=environment, start_new_session=True,
    ) as process:  # fmt: skip
        family = {psutil.Process(process.pid)}
        try:
            while process.poll() is None:
                memory = 0
                for member in list(family):
                    with contextlib.suppress(psutil.Error):  # it has ended
                        family.update(member.children())
                        memory += member.memory_info().rss
                if stop.wait(0.1):
                    raise RuntimeError("stopped")
                if time.monotonic() > end:
                    raise RuntimeError("it took too long, and could not be interrupted")
                if memory > most:
                    raise RuntimeError(f"it took more than {limits.gigabytes:g} GB of memory")
        finally:
            for member in family:
                with contextlib.suppress(psutil.Error):
                    member.kill()
    if process.returncode:
        said = log.read_text("utf-8", "replace").strip().splitlines()
        raise RuntimeError(said[-1] if said else f"exit code {process.returncode}")


def grade_here(folder: Path) -> dict[str, Any]:
    """Grade the notebook in a folder by nbgrader: what goes into its row, and its page."""
    import nbformat

    job = json.loads((folder / "job.json").read_text("utf-8"))
    name, student = job["name"], "student"
    exercise = nbformat.read(folder / "exercise.ipynb", as_version=4)
    try:
        notebook = nbformat.read(folder / "submission.ipynb", as_version=4)
        nbformat.validate(notebook)
    except Exception as error:
        return {"reason": f"this is no notebook: {error}"}
    if not {grade_id(cell) for cell in notebook.cells} & set(graded_cells(exercise)):
        return {"reason": "none of the exercise's cells is in it: this is another notebook"}
    remarks = restore(notebook, exercise)
    attempted = is_attempted(notebook, exercise)
    for place, content in ("source", exercise), (f"submitted/{student}", notebook):
        file = folder / place / name / f"{name}.ipynb"
        file.parent.mkdir(parents=True)
        nbformat.write(content, file)

    from nbgrader import preprocessors as steps
    from nbgrader.apps import NbGraderAPI
    from traitlets.config import Config

    config = Config()
    config.CourseDirectory.root = str(folder)
    # An exercise has no solutions to be cleared.
    config.GenerateAssignment.preprocessors = [
        steps.LockCells, steps.CheckCellMetadata, steps.ComputeChecksums, steps.SaveCells,
    ]  # fmt: skip
    config.Autograde.autograde_preprocessors = [
        watched_execute(job, remarks), steps.LimitOutput, steps.SaveAutoGrades,
    ]  # fmt: skip
    if job["fenced"]:
        # The namespace's loopback is down: Jupyter talks through sockets in the folder.
        config.KernelManager.transport = "ipc"
        config.KernelManager.ip = str(folder / "ipc")
    api = NbGraderAPI(config=config)
    for done in (
        api.generate_assignment(name),
        api.autograde(name, student),
        api.generate_feedback(name, student),
    ):
        if not done["success"]:
            errors = re.findall(
                r"^ *([\w.]*(?:Error|Exception)\b.*)", done.get("log", ""), re.MULTILINE
            )
            raise RuntimeError((errors or [done["error"]])[-1])
    with api.gradebook as book:
        grades = book.find_submission_notebook(name, name, student).grades
        by_hand = {g.name: g.max_score for g in grades if g.needs_manual_grade}
        points = {g.name: g.auto_score or 0 for g in grades if not g.needs_manual_grade}
        max_points = sum(g.max_score for g in grades)
    page = folder / "feedback" / student / name / f"{name}.html"
    return {
        "status": "graded" if attempted else "not attempted",
        "points": sum(points.values()),
        "max_points": max_points,
        "to_grade": sum(by_hand.values()),
        "to_grade_cells": ", ".join(by_hand),
        "reason": "; ".join(remarks),
        "page": page.read_text("utf-8").replace("<head>", "<head>" + NO_SCRIPTS, 1),
        "exercises": {cell.removeprefix("check_"): n for cell, n in points.items()},
    }


def grade_id(cell: Any) -> str:
    """nbgrader's name of a cell, "" for one without."""
    about = cell.metadata.get("nbgrader")
    return str(about.get("grade_id", "")) if isinstance(about, dict) else ""


def graded_cells(exercise: Any) -> dict[str, Any]:
    """The cells that are graded or hold answers, by name."""
    return {grade_id(cell): cell for cell in exercise.cells if grade_id(cell)}


def restore(notebook: Any, exercise: Any) -> list[str]:
    """Give a submission the exercise's metadata and the checks that it lacks; say what was amiss.

    nbgrader believes the submission's metadata (what counts, what is run, by which kernel), and
    grades no cell that is gone. The text of locked cells it restores itself.
    """
    own, remarks = graded_cells(exercise), []
    notebook.metadata = exercise.metadata
    for cell in notebook.cells:
        ours = own.get(grade_id(cell))
        cell.metadata = ours.metadata if ours else {}
        if ours and ours.metadata.nbgrader.locked and cell.source.strip() != ours.source.strip():
            remarks.append(f"{grade_id(cell)} was changed: put back")
    after = len(notebook.cells)
    for name, ours in own.items():
        names = [grade_id(cell) for cell in notebook.cells]
        if name in names:
            after = names.index(name) + 1
        elif ours.metadata.nbgrader.grade:
            notebook.cells.insert(after, ours)
            after += 1
            remarks.append(f"{name} was missing: put back")
    return remarks


def is_attempted(notebook: Any, exercise: Any) -> bool:
    """Whether any of the cells for answers is not as it was given."""
    given = graded_cells(exercise)
    return any(
        cell.source.strip() != given[grade_id(cell)].source.strip()
        for cell in notebook.cells
        if grade_id(cell) and not cell.metadata.nbgrader.locked
    )


def watched_execute(job: dict[str, Any], remarks: list[str]) -> type:
    """nbgrader's way to run a notebook, made to come to its end and to keep the checks clean."""
    from nbclient.exceptions import DeadKernelError
    from nbformat.v4 import new_code_cell, new_output
    from nbgrader.preprocessors import Execute

    def stopped(why: str) -> Any:
        return new_output("error", ename="Stopped", evalue=why, traceback=[why])

    class WatchedExecute(Execute):
        begun = False
        end, a_cell = math.inf, 240.0
        """When all must be done, and the seconds for a cell; at first for importing torch."""
        over = ""
        """Why nothing more is run."""

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.error_on_timeout = stopped("stopped: this took too long")
            self.iopub_timeout = 30  # for what was printed to come in, on a busy machine

        def _get_timeout(self, cell: Any) -> float:
            return max(1, min(self.a_cell, self.end - time.monotonic()))

        def preprocess_cell(self, cell: Any, resources: Any, index: int) -> tuple[Any, Any]:
            if cell.cell_type != "code":
                return cell, resources
            if not self.begun:
                self.quietly(f"keep({job['memory']}, {not job['fenced']})")
                self.begun, self.a_cell = True, job["seconds"] / 4
                self.end = time.monotonic() + job["seconds"]
            name = grade_id(cell) or f"cell {index + 1}"
            graded = bool(grade_id(cell)) and cell.metadata.nbgrader.grade
            if self.over:
                cell.outputs = [stopped(f"not run: {self.over}")]
                return cell, resources
            try:
                if graded:
                    self.quietly("fresh_check()")
                super().preprocess_cell(cell, resources, index)
                if any(output.get("ename") == "Stopped" for output in cell.outputs):
                    remarks.append(f"{name} took too long")
                    self.quietly("fresh_check()")  # does it still answer?
            except (RuntimeError, TimeoutError) as error:
                dead = isinstance(error, DeadKernelError)
                self.over = f"{name} {'ended Python' if dead else 'does not let go of Python'}"
                remarks.append(f"{self.over}: what comes after was not run")
                cell.outputs.append(stopped(self.over))
            if graded and cell.source.startswith("check.") and not cell.outputs:
                remarks.append(f"{name} said nothing, which it cannot: no points")
                cell.outputs = [stopped("this was kept from running")]
            if not self.over and time.monotonic() > self.end:
                self.over = "the time is up"
                remarks.append(f"the time was up after {name}")
            for output in cell.outputs:
                if output.get("ename") == "MemoryError":
                    remarks.append(f"{name} ran out of memory")
                if graded and output.output_type == "stream":
                    output.name = "stdout"  # nbgrader gives no points where there is a warning
            return cell, resources

        def quietly(self, call: str) -> None:
            """Call a function of this module in the notebook's Python."""
            code = new_code_cell(f"__import__('minibert.course.grading').course.grading.{call}")
            first = self.nb.cells[0]
            self.execute_cell(code, 0, store_history=False)
            self.nb.cells[0] = first  # its place was taken
            for output in code.outputs:
                if output.output_type == "error":
                    raise RuntimeError(f"{output.ename}: {output.evalue}")

    return WatchedExecute


# In the notebook's Python, before cells and between them

_kept: dict[str, tuple[ModuleType, dict[str, Any]]] = {}
KEPT = ("builtins", "copy", "importlib", "math", "minibert", "numpy", "os", "torch")


def keep(memory: int, refuse_network: bool) -> None:
    """Before the first cell: set the limits, and remember what cells might put other things for."""
    import_module("minibert.course.checks").exercises()  # brings torch and numpy
    for name, module in sys.modules.items():
        if name.partition(".")[0] in KEPT:
            _kept[name] = module, {k: v for k, v in vars(module).items() if callable(v)}
    try:
        import resource

        # Beyond what torch has mapped by now, which is much, and differs from build to build.
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
    except (ImportError, OSError, ValueError):
        pass  # not Linux: whoever started this watches the memory
    if refuse_network:
        import socket

        def refused(*_: Any, **__: Any) -> None:
            raise OSError("there is no network while a notebook is graded")

        socket.socket.connect = socket.socket.connect_ex = refused
        socket.create_connection = socket.getaddrinfo = refused


def fresh_check() -> None:
    """Before a check: the functions of Python, torch and minibert as they were, and new checks."""
    for name, (module, functions) in _kept.items():
        sys.modules[name] = module
        module.__dict__.update(functions)
    for name in [name for name in sys.modules if name.startswith("minibert.course.checks")]:
        del sys.modules[name]
    os.environ["NBGRADER_EXECUTION"] = "autograde"
    sys.modules["__main__"].check = import_module("minibert.course.checks")


# What comes out


def row_of(found: Submission, result: dict[str, Any], key: str = "") -> Row:
    """The row of a submission. What could not be graded has no hash, so it is tried again."""
    row = dict.fromkeys(COLUMNS, "")
    row |= {"student": found.student, "file": found.file, "status": NOT_GRADED}
    row["notebook"] = found.exercise or Path(found.file).name
    if "status" in result:
        row |= {"hash": key, "feedback": f"feedback/{page_name(found)}"}
    row |= {column: value for column, value in result.items() if column in COLUMNS}
    row |= result.get("exercises", {})
    return {
        column: plain(f"{value:g}" if isinstance(value, float) else str(value))
        for column, value in row.items()
    }


def plain(text: str) -> str:
    """Text for a cell of a spreadsheet: one line, of a fair length, and no formula."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    text = text if len(text) <= 300 else text[:297] + "..."
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def page_name(found: Submission) -> str:
    """A file name that no other submission has, and that every system allows."""
    key = hashlib.sha256(f"{found.student}\n{found.file}".encode("utf-8", "replace")).hexdigest()
    return re.sub(r"[^\w-]+", "-", f"{found.student[:60]}-{found.exercise}-{key[:8]}") + ".html"


def put(rows: Rows, row: Row) -> None:
    """Put a row in its place: one for each file of a student."""
    rows[row["student"], row["file"]] = row


def is_graded(found: Submission, rows: Rows, out: Path, key: str) -> bool:
    """Whether a submission has its row and its page, and is what it was then."""
    row = rows.get((plain(found.student), plain(found.file)))
    return row is not None and row["hash"] == key and (out / row["feedback"]).is_file()


def read_grades(out: Path) -> Rows:
    """The rows that are there already. Raises `ValueError` for a folder of something else."""
    table = out / "grades.csv"
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"{out} is not a folder")
    ours = {"grades.csv", "index.html", "feedback"} if table.is_file() else set()
    foreign = sorted(
        p.name for p in out.glob("*") if p.name not in ours and not JUNK.search(p.name)
    )
    if foreign:
        raise ValueError(f"{out} holds {foreign[0]}, which is not of `minibert grade`")
    if not table.exists():
        return {}
    reader = csv.DictReader(StringIO(read_text(table)))
    if not set(COLUMNS) <= set(reader.fieldnames or ()):
        raise ValueError(f"{table} is not as `minibert grade` left it: its columns are others")
    rows: Rows = {}
    for row in reader:
        put(rows, {column: text or "" for column, text in row.items() if column})
    return rows


def write_grades(out: Path, rows: Rows) -> None:
    """The table, and the page that links all, sorted by student."""
    table = sorted(rows.values(), key=lambda r: (r["student"].casefold(), r["notebook"], r["file"]))
    exercises = dict.fromkeys(key for row in table for key in row if key not in COLUMNS)
    text = StringIO()
    writer = csv.DictWriter(text, [*COLUMNS, *exercises], restval="")
    writer.writeheader()
    writer.writerows(table)
    write(out / "grades.csv", "\ufeff" + text.getvalue())  # the mark tells Excel that it is UTF-8
    write(out / "index.html", index(table))


def write(file: Path, text: str) -> None:
    """Write a file whole or not at all."""
    writing = file.with_name("." + file.name)
    writing.write_text(text, encoding="utf-8", newline="")
    writing.replace(file)


INDEX = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Grades</title><style>
body {{ font: 16px/1.4 system-ui, sans-serif; margin: 2em }}
td, th {{ text-align: left; padding: .2em 1em .2em 0; vertical-align: top }}
</style></head><body><h1>Grades</h1>
<p><a href="grades.csv">grades.csv</a> has the points of each exercise.</p>
<table><tr><th>student</th><th>notebook</th><th>status</th><th>points</th><th>to be graded by hand
</th><th>remarks</th></tr>
{rows}
</table></body></html>
"""


def index(table: list[Row]) -> str:
    """The page that links every page of feedback, and in it every cell that waits for a reader."""
    lines = []
    for row in table:
        safe = {key: html.escape(value) for key, value in row.items()}
        page, cells = safe["feedback"], filter(None, safe["to_grade_cells"].split(", "))
        by_hand = ", ".join(f'<a href="{page}#{cell}">{cell}</a>' for cell in cells)
        columns = (
            safe["student"],
            f'<a href="{page}">{safe["notebook"]}</a>' if page else safe["notebook"],
            safe["status"],
            f"{safe['points']} of {safe['max_points']}" if safe["max_points"] else "",
            f"{by_hand} ({safe['to_grade']})" if by_hand else "",
            safe["reason"],
        )
        lines.append("<tr>" + "".join(f"<td>{column}</td>" for column in columns) + "</tr>")
    return INDEX.format(rows="\n".join(lines))


if __name__ == "__main__":
    place = Path(sys.argv[1])
    (place / "result.json").write_text(json.dumps(grade_here(place)), encoding="utf-8")
