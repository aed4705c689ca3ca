"""Minimal pairs: two sentences that differ in one point, of which only one is grammatical.

`make_minimal_pairs` fills our own templates with words that a model's vocabulary knows;
`load_minimal_pairs` reads BLiMP and Zorro.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from minibert.data.grammar_templates import SLOT, TEMPLATES, Template
from minibert.data.hub import HUB, read_hub
from minibert.data.tables import Placed, read_rows
from minibert.files import read_text
from minibert.tokenizer import BertTokenizer

OVERSAMPLING = 20
"""The number of fillings drawn per pair, because some repeat a sentence."""


class Pair(NamedTuple):
    """A grammatical sentence and an ungrammatical one."""

    good: str
    bad: str


@dataclass(frozen=True)
class Phenomenon:
    """The pairs that test one point of grammar."""

    name: str
    category: str
    pairs: tuple[Pair, ...]


# --- our own pairs -----------------------------------------------------------------------------


def make_minimal_pairs(
    tokenizer: BertTokenizer, pairs: int = 100, seed: int = 0
) -> list[Phenomenon]:
    """Up to `pairs` pairs of each of `TEMPLATES`, drawn by `seed`, without repetition.

    Every word is one token of `tokenizer`. A template has fewer pairs, or none, if the vocabulary
    lacks its words. Raises `ValueError` if `pairs` is odd, because a form that is right in one pair
    is wrong in the next.
    """
    if pairs < 2 or pairs % 2:
        raise ValueError(f"pairs is {pairs}: give an even number, 2 or more")
    return [
        Phenomenon(template.name, template.category, _fill(template, tokenizer, pairs, seed))
        for template in TEMPLATES
    ]


_ALTERNATION = re.compile(r"([\[<])([^/\]>]*)/([^/\]>]*)[\]>]")


def _fill(template: Template, tokenizer: BertTokenizer, pairs: int, seed: int) -> tuple[Pair, ...]:
    slots = {
        name: [value for value in values if _is_known(value, tokenizer)]
        for name, values in template.slots.items()
    }
    if not _is_known(SLOT.sub(" ", template.good), tokenizer):
        return ()
    fillings = math.prod(map(len, slots.values()))
    generator = random.Random(f"{template.name} {seed}")
    found: list[Pair] = []
    used: set[str] = set()  # two fillings may share a sentence
    for number in generator.sample(range(fillings), min(OVERSAMPLING * pairs, fillings)):
        if len(found) == pairs:
            break
        filling = {}
        for name, values in slots.items():  # digits of `number` in a mixed base, one per slot
            number, digit = divmod(number, len(values))
            filling[name] = values[digit]
        new = _expand(template, filling)
        sentences = {sentence for pair in new for sentence in pair}
        if not sentences & used:
            found += new
            used |= sentences
    return tuple(found)


def _expand(template: Template, filling: dict[str, str]) -> list[Pair]:
    """The pairs of a filled template: two, or one if the contrast is the order of words."""
    good, bad = template.good.format(**filling), template.bad.format(**filling)
    if bad:
        return [Pair(good, bad)]
    return [Pair(_choose(good, side, side), _choose(good, side, 1 - side)) for side in (0, 1)]


def _is_known(text: str, tokenizer: BertTokenizer) -> bool:
    """Whether each word is a single token, without the marks of a template."""
    text = re.sub(r"[][<>/]", " ", text)
    return tokenizer.tokenize(text) == tokenizer.basic_tokenize(text)


def _choose(text: str, context: int, form: int) -> str:
    """The text with side `context` of each `[a/b]`, and side `form` of each `<a/b>`."""
    chosen = _ALTERNATION.sub(lambda m: m[2 + (context if m[1] == "[" else form)], text)
    return " ".join(chosen.split())


# --- others' pairs -----------------------------------------------------------------------------


def load_minimal_pairs(source: str | Path) -> list[Phenomenon]:
    """The pairs of a dataset on the hub, or in a folder of files.

    - `"hf:nyu-mll/blimp"`: all paradigms of BLiMP (Warstadt et al., 2020), through the library
      `datasets`. `"hf:nyu-mll/blimp:adjunct_island"` is one paradigm.
    - A folder of `.jsonl` files, as in BLiMP's repository. As on the hub, a row has at least
      `sentence_good`, `sentence_bad`, `UID` (the phenomenon) and `linguistics_term` (its category).
    - A folder of `.txt` files, as in Zorro (Huebner et al., 2021; the repository phueb/Zorro,
      `sentences/babyberta`). Each line is a sentence, first the ungrammatical sentence of a pair
      and then the grammatical one. `category-phenomenon.txt` names both.

    Words may have several tokens here. Raises `FileNotFoundError` if there is nothing to read,
    `ImportError` without `datasets`, and `ValueError`, with file and line, for a row that is not a
    pair.
    """
    if str(source).startswith(HUB):
        return _from_rows(_hub_rows(str(source).removeprefix(HUB)))
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there is no folder {folder}: give one, or hf:NAME for a dataset of the hub"
        )
    files = sorted(folder.iterdir())
    rows = [row for file in files if file.suffix == ".jsonl" for row in read_rows(file)]
    found = _from_rows(rows) + [_read_zorro(file) for file in files if file.suffix == ".txt"]
    if not found:
        raise FileNotFoundError(
            f"{folder} has no .jsonl file, as BLiMP has them, and no .txt file, as Zorro has them"
        )
    return found


def _hub_rows(name: str) -> list[Placed]:
    names = [name]
    if ":" not in name:
        with suppress(ImportError):  # `read_hub` says what to install
            from datasets import get_dataset_config_names

            names = [f"{name}:{config}" for config in get_dataset_config_names(name)]
    return [row for one in names for rows in read_hub(one, "UID")[0].values() for row in rows]


def _from_rows(rows: Sequence[Placed]) -> list[Phenomenon]:
    """Rows of BLiMP, in the order in which each phenomenon first appears."""
    found: dict[tuple[str, str], list[Pair]] = {}
    for place, row in rows:
        texts = []
        for column in ("UID", "linguistics_term", "sentence_good", "sentence_bad"):
            text = row.get(column)
            if not isinstance(text, str) or not text.strip():
                raise ValueError(f"{place} has no text in the column {column}: BLiMP's rows do")
            texts.append(text.strip())
        name, category, good, bad = texts
        found.setdefault((name, category.replace("_", " ")), []).append(Pair(good, bad))
    return [Phenomenon(*names, tuple(pairs)) for names, pairs in found.items()]


def _read_zorro(file: Path) -> Phenomenon:
    lines = read_text(file).rstrip().split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise ValueError(f"{file}, line {number} is empty: each line holds a sentence")
    if len(lines) % 2:
        raise ValueError(
            f"{file} has {len(lines)} lines: give an even number, for each pair the ungrammatical "
            "sentence and then the grammatical one"
        )
    category, _, name = file.stem.rpartition("-")
    pairs = zip(lines[1::2], lines[::2], strict=True)
    return Phenomenon(
        name,
        (category or name).replace("_", " "),
        tuple(Pair(g.strip(), b.strip()) for g, b in pairs),
    )


def choose_phenomena(
    tokenizer: BertTokenizer,
    source: str | Path | None = None,
    pairs: int | None = None,
    name: str | None = None,
) -> list[Phenomenon]:
    """The first `pairs` of each phenomenon, from our templates or from `source`.

    The default is 100 of ours, or all of `source`. With a `name`, only the phenomenon of that name
    is returned. Raises `ValueError` if it is missing, and what the two functions above raise.
    """
    if source is None:
        found = make_minimal_pairs(tokenizer, 100 if pairs is None else pairs)
    else:
        found = [replace(one, pairs=one.pairs[:pairs]) for one in load_minimal_pairs(source)]
    if name is None:
        return found
    chosen = [phenomenon for phenomenon in found if phenomenon.name == name]
    if not chosen:
        names = ", ".join(phenomenon.name for phenomenon in found)
        raise ValueError(f"there is no phenomenon {name}; there are {names}")
    return chosen
