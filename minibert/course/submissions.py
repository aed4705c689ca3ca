"""Find the notebooks that a class handed in, in folders and in zips as platforms export them.

A zip can name any place on the disk, so its names are never used to write files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from pathlib import Path, PurePosixPath
from zipfile import ZipFile, ZipInfo

JUNK = re.compile(r"(^|/)(__MACOSX|\.[^./][^/]*|Thumbs\.db|desktop\.ini)(/|$)", re.IGNORECASE)
"""Files that systems and Jupyter leave behind."""
COPY = re.compile(r"(-\d+|\s*\(\d+\)|-Copy\d+)$")
"""What browsers and platforms add to the name of a file that is submitted again."""
LARGEST = 50 * 2**20
"""Bytes of one file, and of everything in a zip inside a zip."""
LARGEST_ZIP = 40 * LARGEST
MOST_FILES = 10_000
LINK = "this is a link, which is not followed"

Found = tuple[str, bytes | str | None]
"""A path, and a notebook's bytes, or what is wrong with it, or None for any other file."""


@dataclass(frozen=True)
class Submission:
    """A notebook that was handed in, or the reason why a file cannot be graded."""

    student: str
    exercise: str
    """The exercise's name, "" if the file's name contains none."""
    file: str
    """Its path in the folder of submissions, which may lead through zips."""
    contents: Path | None
    """A copy of it."""
    reason: str = ""


def collect(folder: Path, exercises: Collection[str], copies: Path) -> list[Submission]:
    """Everything in a folder that is a notebook or should be one. Notebooks are copied to `copies`.

    Students are named after their folder or zip. A single zip with the folders or zips of several
    students holds the whole class. Some platforms put all files into one folder and the student
    before the exercise's name: `doe_jane_1234_03_attention.ipynb`.
    """
    found: list[tuple[PurePosixPath, Path | str | None]] = []
    names: set[str] = set()
    for number, (name, contents) in enumerate(walk(folder)):
        name = unused(str(PurePosixPath(name)), names)
        if isinstance(contents, bytes):
            kept = copies / f"{number}.ipynb"
            kept.write_bytes(contents)
            found.append((PurePosixPath(name), kept))
        else:
            found.append((PurePosixPath(name), contents))
    skip = 0
    tops = {path.parts[0] for path, _ in found}
    if len(tops) == 1 and str(*tops).lower().endswith(".zip"):
        owners = {student(p.parts[1:], exercises) for p, kept in found if isinstance(kept, Path)}
        skip = int(len(owners) > 1 and "" not in owners)
    submissions: list[Submission] = []
    without: dict[str, PurePosixPath] = {}
    for path, copy in found:
        who = student(path.parts[skip:], exercises) or student(path.parts, ()) or path.stem
        if copy is None:
            if len(path.parts) > skip:
                without.setdefault(who, path)
            continue
        exercise = split_name(path.stem, exercises)[1]
        reason = copy if isinstance(copy, str) else ""
        if isinstance(copy, Path) and not copy.stat().st_size:
            reason = "the file is empty"
        elif not reason and not exercise:
            reason = f"no exercise has this name: there are {', '.join(exercises)}"
        whole = copy if isinstance(copy, Path) and not reason else None
        submissions.append(Submission(who, exercise, str(path), whole, reason))
    with_one = {submission.student for submission in submissions}
    return submissions + [
        Submission(who, "", path.parts[0], None, "there is no notebook in it")
        for who, path in without.items()
        if who not in with_one
    ]


def unused(name: str, names: set[str]) -> str:
    """A name that no other file has, because a zip may hold several files of the same name."""
    tries = (name if number == 1 else f"{name} ({number})" for number in count(1))
    names.add(found := next(name for name in tries if name not in names))
    return found


def student(parts: Sequence[str], exercises: Collection[str]) -> str:
    """The student whose file this is, by its path, or "" if the path does not say."""
    parts = [part for part in parts if part.strip("./")]
    if len(parts) > 1 or (parts and parts[0].lower().endswith(".zip")):
        return re.sub(r"\.zip$", "", parts[0], flags=re.IGNORECASE)
    return split_name(PurePosixPath(parts[0]).stem, exercises)[0] if parts else ""


def split_name(stem: str, exercises: Collection[str]) -> tuple[str, str]:
    """Split a file's name into what comes before an exercise's name and that name, or ("", "")."""
    stem = COPY.sub("", stem)
    for name in exercises:
        if stem == name or stem.endswith("_" + name):
            return stem[: -len(name)].rstrip("_"), name
    return "", ""


def walk(folder: Path) -> Iterator[Found]:
    """Everything in a folder and in its zips."""
    for place, folders, files in os.walk(folder):
        folders.sort()
        for path in (Path(place, name) for name in sorted(folders + files)):
            name, kind = path.relative_to(folder).as_posix(), path.suffix.lower()
            if JUNK.search(name):
                continue
            if path.is_symlink():
                yield name, LINK
            elif kind == ".zip" and path.is_file():
                yield from unzip(path, name, LARGEST_ZIP)
            elif kind == ".ipynb" and path.is_file():
                yield name, read(path)
            else:
                yield name, None


def read(file: Path) -> bytes | str:
    """A file's bytes, or why they cannot be read."""
    try:
        return too_large(file.stat().st_size) or file.read_bytes()
    except OSError as error:
        return f"this cannot be read: {error.strerror}"


def too_large(size: int) -> str:
    """What is wrong with a file of this many bytes, or ""."""
    return f"this is larger than {LARGEST // 2**20} MB" if size > LARGEST else ""


def unzip(file: Path | BytesIO, label: str, most: int) -> Iterator[Found]:
    """Everything in a zip, up to `most` bytes."""
    spent = 0
    try:
        with ZipFile(file) as archive:
            for number, info in enumerate(archive.infolist()):
                for name, contents in read_member(archive, info, label):
                    spent += len(contents or "")
                    if spent > most or number > MOST_FILES:
                        much = f"{most // 2**20} MB or {MOST_FILES} files"
                        yield label, f"this zip unpacks to more than {much}"
                        return
                    yield name, contents
        yield label, None  # an empty one is somebody's too
    except Exception as error:  # zipfile has a dozen kinds for what is no zip
        yield label, f"this zip cannot be read: {error}"


def read_member(archive: ZipFile, info: ZipInfo, label: str) -> Iterator[Found]:
    """One member of a zip, or everything in it if it is a zip itself."""
    name = real_name(info)
    kind, label = PurePosixPath(name).suffix.lower(), f"{label}/{name}"
    if name.startswith("/") or re.match("[A-Za-z]:", name) or ".." in name.split("/"):
        yield label, "its name in the zip leads out of the zip's folder"
    elif JUNK.search(name):
        return
    elif info.external_attr >> 28 == 0o12:
        yield label, LINK
    elif kind not in (".ipynb", ".zip") or info.is_dir():
        yield label, None
    else:
        try:
            contents = too_large(info.file_size) or archive.read(info)
        except Exception as error:  # damaged, encrypted, packed as Python cannot unpack
            contents = f"this cannot be unpacked: {error}"
        if kind == ".ipynb" or isinstance(contents, str):
            yield label, contents
        elif label.lower().count(".zip/") > 1:
            yield label, "this is a zip in a zip in a zip"
        else:
            yield from unzip(BytesIO(contents), label, LARGEST)


def real_name(info: ZipInfo) -> str:
    """The intended name of a file in a zip, with "/" between folders.

    zipfile assumes code page 437 unless a flag says UTF-8. But the name may still be UTF-8, or
    Windows' Western code page, whose accented letters look Greek in 437.
    """
    name = info.filename
    if not info.flag_bits & 0x800:
        raw = name.encode("cp437", "replace")
        high = {byte for byte in raw if byte >= 0x80}
        try:
            name = raw.decode("utf-8")
        except UnicodeDecodeError:
            if min(high) >= 0xC0 and high != {0xE1}:  # 0xE1 is ß in 437
                name = raw.decode("cp1252")
    return name.replace("\\", "/").removeprefix("./")
