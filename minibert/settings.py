"""Settings that check themselves against their annotations."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Collection
from functools import cache
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin, get_type_hints


class Rule(NamedTuple):
    """What a setting must be, in words and as a test."""

    wanted: str
    holds: Callable[[Any], bool]


def number(wanted: str, holds: Callable[[float], bool]) -> Rule:
    """A finite number for which `holds` is true."""

    def is_one(value: Any) -> bool:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and -math.inf < value < math.inf and holds(value)

    return Rule(wanted, is_one)


Positive = Annotated[float, number("a number above 0", lambda v: v > 0)]
NotNegative = Annotated[float, number("a number, 0 or more", lambda v: v >= 0)]
Share = Annotated[float, number("a number from 0 to 1", lambda v: 0 <= v <= 1)]
PositiveShare = Annotated[float, number("a number above 0, up to 1", lambda v: 0 < v <= 1)]
Dropout = Annotated[float, number("a number from 0 to below 1", lambda v: 0 <= v < 1)]


def at_least(lowest: int) -> Rule:
    """A whole number that is not below `lowest`."""
    return Rule(f"a whole number, {lowest} or more", lambda v: type(v) is int and v >= lowest)


Whole = Annotated[int, Rule("a whole number", lambda v: type(v) is int)]
Count = Annotated[int, at_least(1)]
Natural = Annotated[int, at_least(0)]


def one_of(choices: Collection[str]) -> Rule:
    """One of these names."""
    return Rule(f"one of {', '.join(choices)}", lambda v: isinstance(v, str) and v in choices)


def check(settings: object) -> None:
    """Raise a `ValueError` for the first field of a dataclass that does not fit its annotation.

    An annotation is a class, a `Rule` (in `Annotated`), or several of these.
    """
    kind: Any = type(settings)
    for name, rules in _rules(kind).items():
        value = getattr(settings, name)
        if not any(rule.holds(value) for rule in rules):
            raise ValueError(f"{name} must be {rules[0].wanted}, not {reprlib.repr(value)}")


@cache
def _rules(kind: type) -> dict[str, list[Rule]]:
    """What each field may be."""
    rules = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        rules[name] = [_rule(option) for option in options]
    return rules


def _rule(hint: Any) -> Rule:
    if get_origin(hint) is Annotated:
        return hint.__metadata__[0]
    if not isinstance(hint, type):
        hint = get_origin(hint) or object
    words = {bool: "true or false", str: "text", dict: "a JSON object"}
    return Rule(words.get(hint, f"a {hint.__name__}"), lambda v: isinstance(v, hint))
