"""Judge an answer to an exercise: one line that says what is wrong, and where to read on.

The answer and the reference run on a few small cases. The checks look for these faults, in this
order: nothing written, nothing returned, an error, the wrong type or dtype, the wrong shape, a
known mistake, NaN, and finally the largest difference. Each exercise has a catalogue of mistakes,
which are small wrong answers. If a mistake gives the same numbers as the learner's answer, its
sentence says what is wrong.
"""

from __future__ import annotations

import copy
import inspect
import linecache
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Case = tuple[Any, ...]
RTOL, ATOL = 1e-4, 1e-5


@dataclass(frozen=True)
class Mistake:
    """A small wrong answer, the sentence about it, and the section that explains it."""

    says: str
    see: str
    """The heading in its chapter, without its number: `Masks: what must not be seen`."""
    answer: Any
    chapter: int | None = None
    """The chapter of that section, if it isn't the exercise's own."""


def call(answer: Callable, *case: Any) -> Any:
    """The usual way to run an answer: call it with the case as its arguments."""
    if not callable(answer):
        raise Unfit(f"this is {kind_of(answer)}, not a function")
    return answer(*case)


@dataclass(frozen=True)
class Exercise:
    """One exercise: the right answer, known mistakes, and hints."""

    name: str
    chapter: int
    reference: Any
    """The right answer: a function, a module's class, or for a prediction the value itself."""
    cases: Callable[[int], Sequence[Case]]
    """Small inputs that distinguish mistakes, drawn from a seed. Answers are judged on seed 0."""
    returns: Mapping[str, str]
    """Names and axes of what is returned: `{"context": "B H T K", "weights": "B H T T"}`."""
    mistakes: tuple[Mistake, ...]
    hints: tuple[str, ...] = ()
    """A nudge, the idea, the line. A blank in a chapter has none: its answer is folded below it."""
    run: Callable = field(default=call, repr=False)
    """How an answer runs on a case."""

    def line(self, mistake: Mistake) -> str:
        """What is said about a known mistake."""
        return f"{mistake.says}; see chapter {mistake.chapter or self.chapter}, {mistake.see}"


@dataclass(frozen=True)
class Verdict:
    """Whether an answer passed, and the line that says so or says what is wrong."""

    passed: bool
    line: str
    tried: bool = True
    """Whether anything was written."""


NOT_YET = Verdict(False, "not written yet", tried=False)


class Unfit(Exception):
    """Raised by `run` for an answer that cannot be used. The message is the line."""


def judge(exercise: Exercise, answer: Any) -> Verdict:
    """Whether an answer is right, and the line about it."""
    if answer is None or answer is ...:
        return NOT_YET
    found: list[tuple[Any, Any]] = []
    changed: list[int] = []
    for case in exercise.cases(0):
        want = exercise.run(exercise.reference, *copy.deepcopy(case))
        given = copy.deepcopy(case)
        try:
            got = exercise.run(answer, *given)
        except NotImplementedError:
            return NOT_YET
        except Unfit as error:
            return Verdict(False, str(error))
        except (Exception, SystemExit) as error:
            return Verdict(False, raised(error))
        if complaint := wrong_kind(got, want, exercise.returns):
            return Verdict(False, complaint)
        changed += [i for i, (a, b) in enumerate(zip(given, case, strict=True)) if not same(a, b)]
        found.append((got, want))
    if all(same(got, want) for got, want in found):
        if changed:
            return Verdict(
                False,
                f"the answer is right, but {input_name(exercise, changed[0])} was changed in "
                "place: write x = x + ... and not x += ..., or work on a copy",
            )
        return Verdict(True, "passed")
    if mistake := recognise(exercise, [got for got, _ in found]):
        return Verdict(False, exercise.line(mistake))
    if not callable(exercise.reference):  # a prediction: the line must not give the answer away
        return Verdict(False, f"{next(iter(exercise.returns))} is not {short(found[0][0])}")
    return Verdict(False, difference(found, exercise.returns))


def recognise(exercise: Exercise, outputs: Sequence[Any]) -> Mistake | None:
    """The mistake in the catalogue that gives these outputs on every case."""
    cases = exercise.cases(0)
    for mistake in exercise.mistakes:
        made = (exercise.run(mistake.answer, *copy.deepcopy(case)) for case in cases)
        if all(same(a, b) for a, b in zip(made, outputs, strict=True)):
            return mistake
    return None


# Saying what is wrong


def input_name(exercise: Exercise, number: int) -> str:
    """An input as the learner's code names it, if the reference has a parameter for each input."""
    reference, inputs = exercise.reference, len(exercise.cases(0)[0])
    if isinstance(reference, type) and issubclass(reference, nn.Module):  # sizes, weights, inputs
        names = ["sizes", "weights", *list(inspect.signature(reference.forward).parameters)[1:]]
    else:
        names = list(inspect.signature(reference).parameters)
    return names[number] if len(names) == inputs else f"input number {number + 1}"


def raised(error: BaseException) -> str:
    """The error, and the last line of the learner's own code that led to it."""
    ours = (str(__file__).rsplit("/", 1)[0], torch.__path__[0], np.__path__[0])
    lines = [
        frame for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(ours)
    ]  # fmt: skip
    where = ""
    if lines:
        source = (lines[-1].line or linecache.getline(lines[-1].filename, lines[-1].lineno)).strip()
        where = f", in your line {lines[-1].lineno}: {source}" if source else ""
    return f"{type(error).__name__}: {' '.join(str(error).split()).rstrip('.')}{where}"


def wrong_kind(got: Any, want: Any, returns: Mapping[str, str]) -> str | None:
    """What is wrong with the type, dtype or shape of what came back, or None."""
    if got is None:
        return "nothing came back: does it end in `return`?"
    names = list(returns)
    if isinstance(want, tuple) and len(names) > 1:
        if not isinstance(got, tuple) or len(got) != len(want):
            number = len(got) if isinstance(got, tuple) else 1
            return f"{number} of {len(want)} things came back: return {', '.join(names)}"
        pairs = zip(names, got, want, strict=True)
        return next((c for n, g, w in pairs if (c := wrong_kind(g, w, {n: returns[n]}))), None)
    (name,) = names
    if isinstance(want, Tensor | np.ndarray):
        kind = type(want)
        if not isinstance(got, kind):
            return f"{name} is {kind_of(got)}, not a {full_name(kind)}"
        if tuple(got.shape) != tuple(want.shape):
            return wrong_shape(name, tuple(got.shape), tuple(want.shape), returns[name].split())
        if got.dtype != want.dtype:
            return f"{name} is of {got.dtype}, not of {want.dtype}"
    elif isinstance(want, bool) or not isinstance(want, int | float):
        if type(got) is not type(want):
            return f"{name} is {kind_of(got)}, not {kind_of(want)}"
    elif isinstance(got, bool) or not isinstance(got, int | float):
        return f"{name} is {kind_of(got)}, not a number"
    return None


def kind_of(value: Any) -> str:
    """A value's type with its article: `an int`, `a list`, `an ndarray`."""
    name = type(value).__name__
    article = "an" if name.lower().startswith(("a", "e", "i", "o", "nd")) else "a"
    return f"{article} {name}"


def full_name(kind: type) -> str:
    """A type as a learner writes it: `torch.Tensor`, `numpy.ndarray`."""
    return f"{kind.__module__.split('.')[0]}.{kind.__name__}"


def wrong_shape(name: str, got: tuple[int, ...], want: tuple[int, ...], axes: Sequence[str]) -> str:
    """The returned shape, the right shape with its axes, and whether two axes were swapped."""
    line = f"{name} has the shape {got}, not {want}"
    if len(axes) == len(want):
        line += f", which is ({', '.join(axes)})"
        moved = [i for i in range(len(want)) if len(got) == len(want) and got[i] != want[i]]
        if len(moved) == 2 and (got[moved[0]], got[moved[1]]) == (want[moved[1]], want[moved[0]]):
            line += f": {axes[moved[0]]} and {axes[moved[1]]} are swapped"
    return line


def difference(found: Sequence[tuple[Any, Any]], returns: Mapping[str, str]) -> str:
    """NaN, or else the largest difference and where it is."""
    names = list(returns)
    worst = (-1.0, "")
    for got, want in found:
        parts = zip(names, got, want, strict=True) if len(names) > 1 else [(names[0], got, want)]
        for name, g, w in parts:
            if same(g, w):
                continue
            if isinstance(w, dict):
                return difference_of_dicts(name, g, w)
            if not isinstance(w, Tensor | np.ndarray):
                return f"{name} is {short(g)}, not {short(w)}"
            is_bool = w.dtype in (torch.bool, np.bool_)
            g, w = (torch.as_tensor(x).detach().double() for x in (g, w))
            if g.isnan().any():
                where = tuple(g.isnan().nonzero()[0].tolist())
                return f"{name} has {int(g.isnan().sum())} NaN, the first at {list(where)}"
            off = (g - w).abs()
            place = np.unravel_index(int(off.argmax()), tuple(off.shape))
            place = tuple(int(i) for i in place)
            line = (
                f"{name} is off by up to {off[place]:.4g}: at {list(place)} it is "
                f"{g[place]:.4g} and should be {w[place]:.4g}"
            )
            if is_bool:
                line = (
                    f"{name} is wrong in {int(off.sum())} of {off.numel()} places: at "
                    f"{list(place)} it is {bool(g[place])} and should be {bool(w[place])}"
                )
            worst = max(worst, (float(off[place]), line))
    return worst[1]


def difference_of_dicts(name: str, got: dict, want: dict) -> str:
    """A key that is missing or superfluous, or else what is wrong with the first wrong value."""
    if missing := [key for key in want if key not in got]:
        return f"{name} has no {missing[0]!r}"
    if more := [key for key in got if key not in want]:
        return f"{name} has {more[0]!r}, which does not belong there"
    key = next(key for key in want if not same(got[key], want[key]))
    returns = {f"{name}[{key!r}]": ""}
    return wrong_kind(got[key], want[key], returns) or difference([(got[key], want[key])], returns)


def short(value: Any) -> str:
    """A value in at most 60 characters, a float to six digits."""
    if type(value) is float:
        value = float(f"{value:.6g}")
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


# Comparing


def same(a: Any, b: Any) -> bool:
    """Whether two values are the same up to rounding. NaN equals NaN."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        if not (a.is_floating_point() or a.is_complex()):
            return torch.equal(a, b)
        return torch.allclose(a, b, rtol=RTOL, atol=ATOL, equal_nan=True)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return same(*(torch.from_numpy(x.copy()) for x in (a, b)))  # a view may run backwards
    if isinstance(a, float) or isinstance(b, float):
        if not all(isinstance(x, int | float) for x in (a, b)):
            return False
        return bool(np.isclose(a, b, rtol=RTOL, atol=ATOL, equal_nan=True))
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, nn.Module):
        return same(dict(a.state_dict()), dict(b.state_dict()))
    if isinstance(a, torch.Generator | np.random.Generator):
        return True  # answers are meant to draw from it
    return bool(a == b)


# Making cases, and ways to use an answer


def draw(*shapes: tuple[int, ...], seed: int) -> list[Tensor]:
    """Normal numbers of these shapes."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def draw_ids(below: int, *shape: int, seed: int) -> Tensor:
    """Whole numbers from 0 up to, but not including, `below`."""
    return torch.randint(below, shape, generator=torch.Generator().manual_seed(seed))


def prediction(answer: Any, *case: Any) -> Any:
    """Run a prediction, a value that was worked out before anything ran: it is the answer itself.

    Several numbers may be a list, a tuple, a `torch.Size`, an array or a tensor.
    """
    if isinstance(answer, Tensor | np.ndarray | np.generic):
        answer = answer.tolist()
    return tuple(answer) if isinstance(answer, list | tuple) else answer


def two_decimals(answer: Any, *case: Any) -> Any:
    """Run a prediction of several numbers, compared to two decimals."""
    found = prediction(answer)
    if isinstance(found, tuple) and all(isinstance(x, int | float) for x in found):
        return tuple(round(float(x), 2) for x in found)
    return found


def plain_numbers(answer: Callable, *case: Any) -> Any:
    """Run a function that returns numbers, possibly numpy's or torch's, alone or in a tuple."""

    def plain(value: Any) -> Any:
        is_number = isinstance(value, np.generic | Tensor) and value.ndim == 0
        return value.item() if is_number else value

    found = call(answer, *case)
    return tuple(map(plain, found)) if isinstance(found, tuple) else plain(found)


def module(answer: Callable[..., nn.Module], sizes: dict, weights: dict, *inputs: Any) -> Any:
    """Run a class: make it with `sizes`, set its `weights` by name, and call it in eval mode.

    Weights go over by name, so neither the order in which parts are made nor a seed can matter.
    """
    if isinstance(answer, nn.Module):
        raise Unfit("this is a module that is made already: give the class itself")
    if not callable(answer):
        raise Unfit(f"this is {kind_of(answer)}, not a class")
    made = answer(**sizes)
    if not isinstance(made, nn.Module):
        raise Unfit(f"this makes {kind_of(made)}, not a torch.nn.Module")
    own = {name: tuple(tensor.shape) for name, tensor in made.state_dict().items()}
    if missing := sorted(weights.keys() - own.keys()):
        raise Unfit(f"the module has no parameter {missing[0]}: it has {', '.join(own) or 'none'}")
    if more := sorted(own.keys() - weights.keys()):
        raise Unfit(f"the module has a parameter too many: {more[0]}")
    for name, tensor in weights.items():
        if own[name] != tuple(tensor.shape):
            raise Unfit(f"{name} has the shape {own[name]}, not {tuple(tensor.shape)}")
    made.load_state_dict(weights)
    with torch.no_grad():
        return made.eval()(*inputs)
