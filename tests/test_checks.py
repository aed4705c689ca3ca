"""The checks of the exercises: right answers pass, each mistake has its own sentence."""

import ast
import copy
import inspect
import itertools
import re
import textwrap
from importlib import import_module
from pathlib import Path

import nbformat
import numpy as np
import pytest

from minibert.course import checks
from minibert.course.checks.engine import Exercise, judge, same

ROOT = Path(__file__).parents[1]
BLANKS = checks.blanks()
EXERCISES = checks.exercises() | BLANKS


@pytest.mark.parametrize("name", EXERCISES)
def test_each_mistake_has_its_own_sentence(name):
    exercise = EXERCISES[name]
    wrong = {}
    for mistake in exercise.mistakes:
        verdict = judge(exercise, mistake.answer)
        expected = exercise.line(mistake)
        if verdict.passed or verdict.line != expected:
            wrong[mistake.says] = verdict.line
    assert not wrong


def test_names_of_exercises_differ():
    modules = [file.stem for file in Path(checks.__file__).parent.glob("chapter_*.py")]
    chapters = [import_module(f"minibert.course.checks.{name}") for name in modules]
    found = [(*module.EXERCISES, *getattr(module, "BLANKS", ())) for module in chapters]
    assert sum(map(len, found)) == len(EXERCISES) >= 36
    assert sum(len(exercise.mistakes) for exercise in EXERCISES.values()) >= 60


def test_sentences_of_an_exercise_differ():
    for exercise in EXERCISES.values():
        assert len({m.says for m in exercise.mistakes}) == len(exercise.mistakes), exercise.name


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_what_it_points_at_is_there(exercise: Exercise):
    for chapter in {mistake.chapter or exercise.chapter for mistake in exercise.mistakes}:
        (file,) = (ROOT / "notebooks").glob(f"{chapter:02}_*.ipynb")
        headings = {
            heading
            for cell in nbformat.read(file, as_version=4).cells
            if cell.cell_type == "markdown"
            for heading in re.findall(r"^## (?:\d+\. )?(.+)$", cell.source, re.MULTILINE)
        }
        pointers = {m.see for m in exercise.mistakes if (m.chapter or exercise.chapter) == chapter}
        assert pointers <= headings
    assert len(exercise.hints) == (0 if exercise.name in BLANKS else 3)


# Right answers, more than one way each

RIGHT = {
    name: answers
    for file in sorted((ROOT / "tests" / "right_answers").glob("chapter_*.py"))
    for name, answers in import_module(f"tests.right_answers.{file.stem}").RIGHT.items()
}


def test_every_exercise_has_two_right_answers_besides_its_reference():
    assert RIGHT.keys() == EXERCISES.keys()
    assert all(len(answers) >= 2 for answers in RIGHT.values())


@pytest.mark.parametrize("name", EXERCISES)
def test_right_answers_pass(name):
    for answer in [EXERCISES[name].reference, *RIGHT[name]]:
        assert judge(EXERCISES[name], answer).line == "passed"


# Mutants: the reference, changed at random places


SWAPS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.MatMult: ast.Mult,
    ast.Pow: ast.Mult, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt,
    ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.And: ast.Or, ast.Or: ast.And, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}  # fmt: skip
OTHER_NAMES = {
    "softmax": ("log_softmax", "sigmoid"), "sum": ("mean", "amax"), "mean": ("sum", "amax"),
    "sqrt": ("exp",), "amax": ("amin",), "exp": ("log1p",), "log": ("exp",), "max": ("min",),
    "min": ("max",), "round": ("ceil", "floor"), "transpose": ("reshape",), "any": ("all",),
    "all": ("any",), "var": ("std",), "square": ("abs",), "argmax": ("argmin",),
}  # fmt: skip


def mutants(source: str):
    """Every source that differs from this one in one place of its syntax tree, and the change."""
    tree = ast.parse(source)
    for number, node in enumerate(ast.walk(tree)):
        for kind, change in changes(node, tree):
            mutant = copy.deepcopy(tree)
            target = next(itertools.islice(ast.walk(mutant), number, None))
            change(target)
            yield kind, ast.unparse(ast.fix_missing_locations(mutant))


def changes(node, tree):
    """What can be done to a node: the kind, and a function that changes its copy in place."""
    if isinstance(node, ast.BinOp) and type(node.op) in SWAPS:
        yield "another operator", lambda n: setattr(n, "op", SWAPS[type(n.op)]())
        yield "operands swapped", lambda n: n.__dict__.update(left=n.right, right=n.left)
    if isinstance(node, ast.BoolOp):
        yield "and, or", lambda n: setattr(n, "op", SWAPS[type(n.op)]())
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        yield "another comparison", lambda n: n.ops.__setitem__(0, SWAPS[type(n.ops[0])]())
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield "one more", lambda n: setattr(n, "value", n.value + 1)
        yield "one less", lambda n: setattr(n, "value", n.value - 1)
        yield "another number", lambda n: setattr(n, "value", n.value * 2 + 3)
    if isinstance(node, ast.Constant) and type(node.value) is bool:
        yield "True, False", lambda n: setattr(n, "value", not n.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "no minus", lambda n: setattr(n, "op", ast.UAdd())
    if isinstance(node, ast.Attribute):
        for other in OTHER_NAMES.get(node.attr, ()):
            yield "another function", lambda n, other=other: setattr(n, "attr", other)
    if isinstance(node, ast.Call):
        if len(node.args) == 2:
            yield "arguments swapped", lambda n: n.args.reverse()
        for place in range(len(node.keywords)):
            yield "no keyword", lambda n, place=place: n.keywords.pop(place)
    if isinstance(node, ast.Return) and node.value is not None:
        yield "negated", lambda n: setattr(n, "value", ast.UnaryOp(ast.USub(), n.value))
    if isinstance(node, ast.FunctionDef):
        for place, statement in enumerate(node.body):
            if isinstance(statement, ast.Assign | ast.AugAssign | ast.For | ast.If):
                yield (
                    "no statement",
                    lambda n, place=place: n.body.__setitem__(place, ast.Pass()),
                )
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        for other in sorted(parameters(tree) - {node.id}):
            if node.id in parameters(tree):
                yield "another parameter", lambda n, other=other: setattr(n, "id", other)


def parameters(tree) -> set[str]:
    return {a.arg for n in ast.walk(tree) if isinstance(n, ast.arguments) for a in n.args}


def is_equivalent(exercise, mutant) -> bool:
    """The same as the reference on every case of many other seeds."""
    for seed in range(1, 13):
        for case in exercise.cases(seed):
            want = exercise.run(exercise.reference, *copy.deepcopy(case))
            try:
                got = exercise.run(mutant, *copy.deepcopy(case))
            except Exception:
                return False
            if not same(got, want):
                return False
    return True


def rejected(exercise, source) -> bool:
    """Whether a check turns down an answer in this source."""
    return not judge(exercise, made(exercise, source)).passed


def made(exercise, source):
    """The answer that a source defines, among the names of the reference's module."""
    space = dict(vars(inspect.getmodule(exercise.reference)))
    exec(compile(source, "<mutant>", "exec"), space)
    return space[exercise.reference.__name__]


def source_of(exercise) -> str:
    return textwrap.dedent(inspect.getsource(exercise.reference))


WRITTEN = [name for name, exercise in EXERCISES.items() if callable(exercise.reference)]
FEW = 3


@pytest.mark.parametrize("name", WRITTEN)
def test_a_few_mutants_of_the_reference_are_rejected(name):
    """Of different kinds, spread over the source. All of them are tried below."""
    exercise = EXERCISES[name]
    by_kind = {}
    for kind, mutant in mutants(source_of(exercise)):
        by_kind.setdefault(kind, []).append(mutant)
    kinds, survivors = sorted(by_kind), {}
    first = sorted(EXERCISES).index(name)  # other kinds for other exercises
    for number in range(first, first + min(FEW, len(kinds))):
        kind = kinds[number % len(kinds)]
        mutant = by_kind[kind][first % len(by_kind[kind])]
        if not rejected(exercise, mutant) and not is_equivalent(exercise, made(exercise, mutant)):
            survivors[kind] = mutant
    assert by_kind and not survivors


@pytest.mark.long
@pytest.mark.parametrize("chapter", sorted({e.chapter for e in EXERCISES.values()}))
def test_mutants_of_the_reference_are_rejected(chapter, record_property):
    """All of them, or they are the reference in other words; the kill rate goes to the output."""
    found, equivalent, survivors = 0, [], []
    for name in WRITTEN:
        exercise = EXERCISES[name]
        if exercise.chapter != chapter:
            continue
        for kind, mutant in mutants(source_of(exercise)):
            if rejected(exercise, mutant):
                found += 1
            elif is_equivalent(exercise, made(exercise, mutant)):
                equivalent.append((name, kind, mutant))
            else:
                survivors.append((name, kind, mutant))
    total = found + len(equivalent) + len(survivors)
    line = f"{total} mutants, {found} rejected, {len(equivalent)} the same in other words"
    record_property("measured", f"exercises {chapter}: {line}")
    assert not survivors, survivors
    assert total > 50


def test_an_array_may_be_a_view_that_runs_backwards():
    assert same(np.arange(3.0)[::-1], np.array([2.0, 1.0, 0.0]))
    assert not same(np.arange(3.0)[::-1], np.arange(3.0))


@pytest.mark.parametrize(
    ("a", "b"),
    [((1, 2), [1, 2]), ([True, False], [1, 0]), ({0: 1}, [1]), ("1", 1), (None, False), ({1}, [1])],
)
def test_values_of_another_type_are_others(a, b):
    """Also within a list, where no line about types comes first."""
    for one, two in ((a, b), (b, a), ([a], [b]), ({"x": a}, {"x": b})):
        assert not same(one, two)


def test_whole_numbers_are_the_same_only_if_they_are_equal():
    """Rounding is for what is not whole: one id among thousands off by 1 is wrong."""
    ids = np.array([100_000, 7])
    assert same(ids, ids.copy()) and same(list(ids), list(ids))
    assert not same(ids, ids + np.array([1, 0]))
    assert same(np.array([100_000.0]), np.array([100_001.0]))
