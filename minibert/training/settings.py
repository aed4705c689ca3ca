"""Settings that check themselves against their annotations, and how two sets of them differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin, get_type_hints


class Rule(NamedTuple):
    """What a setting must be, in words and as a test."""

    wanted: str
    holds: Callable[[Any], bool]


def _number(wanted: str, holds: Callable[[float], bool]) -> Rule:
    return Rule(wanted, lambda v: type(v) in (int, float) and math.isfinite(v) and holds(v))


Positive = Annotated[float, _number("a number above 0", lambda v: v > 0)]
NotNegative = Annotated[float, _number("a number, 0 or more", lambda v: v >= 0)]
Share = Annotated[float, _number("a number between 0 and 1", lambda v: 0 <= v <= 1)]
Dropout = Annotated[float, _number("a number from 0 to below 1", lambda v: 0 <= v < 1)]


def at_least(lowest: int) -> Rule:
    """A whole number that is not below `lowest`."""
    return Rule(f"a whole number, {lowest} or more", lambda v: type(v) is int and v >= lowest)


Count = Annotated[int, at_least(1)]
Natural = Annotated[int, at_least(0)]


def one_of(choices: Collection[str]) -> Rule:
    """One of these names."""
    return Rule(f"one of {', '.join(choices)}", lambda v: isinstance(v, str) and v in choices)


def check(settings: object) -> None:
    """Raise a `ValueError` for the first field of a dataclass that is not what it is annotated as.

    An annotation is a class, a `Rule` (in `Annotated`), or one of these or None.
    """
    kind: Any = type(settings)
    for name, (hint, or_none) in _hints(kind).items():
        value = getattr(settings, name)
        rule = _rule(hint)
        if not (or_none and value is None) and not rule.holds(value):
            raise ValueError(f"{name} must be {rule.wanted}, not {value!r}")


@cache
def _hints(kind: type) -> dict[str, tuple[Any, bool]]:
    """For each field what it must be, and whether it may be None instead."""
    hints = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        hints[name] = (options[0], type(None) in options)
    return hints


def _rule(hint: Any) -> Rule:
    if get_origin(hint) is Annotated:
        return hint.__metadata__[0]
    if not isinstance(hint, type):
        hint = get_origin(hint) or object
    words = {bool: "true or false", str: "text", dict: "a JSON object"}
    return Rule(words.get(hint, f"a {hint.__name__}"), lambda v: isinstance(v, hint))


def check_same(out: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raise a `ValueError` that lists what differs between the run in `out` and the wanted one.

    A setting that only one of the two has belongs to another version of minibert, and is ignored.
    """
    if differences := _differences(old, new):
        raise ValueError(f"{out} was begun with other settings: {'; '.join(differences)}")


def _differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    differences = []
    for name in sorted(old.keys() & new.keys()):
        was, now = old[name], new[name]
        if isinstance(was, dict) and isinstance(now, dict):
            differences += _differences(was, now, f"{prefix}{name}.")
        elif was != now:
            differences.append(f"{prefix}{name} was {was!r}, now {now!r}")
    return differences
