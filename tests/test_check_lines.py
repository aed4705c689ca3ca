"""What `check` says and in which order it looks, and what it keeps."""

import json
import re
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

import minibert
from minibert import check
from minibert.course import checks
from minibert.course.checks import chapter_13
from minibert.course.checks.engine import (
    Exercise,
    Mistake,
    judge,
    kind_of,
    module,
    plain_numbers,
    prediction,
    short,
)


def doubled(x, scale):
    return x * 2 * scale


SIZES = ((2, 3, 5), (4, 2, 3))
EXERCISE = Exercise(
    name="doubled",
    chapter=3,
    reference=doubled,
    cases=lambda seed: [(torch.arange(b * t * d).view(b, t, d) / 7, 1.5) for b, t, d in SIZES],
    returns={"doubled": "B T D"},
    mistakes=(
        Mistake("it is halved", "Heads", lambda x, s: x / 2 * s),
        Mistake("it is NaN, as 0 is divided by 0", "Heads", lambda x, s: x * s * 2 + 0 * (x / x)),
    ),
    hints=("a", "b", "c"),
)


def line(answer, exercise=EXERCISE):
    return judge(exercise, answer).line


def not_written(x, scale):
    raise NotImplementedError


def test_nothing_written_is_no_mistake():
    for answer in (None, ..., not_written):
        verdict = judge(EXERCISE, answer)
        assert verdict.line == "not written yet" and not verdict.tried and not verdict.passed


def test_nothing_returned():
    assert line(lambda x, s: None) == "nothing came back: does it end in `return`?"


def with_an_error(x, scale):
    half = x.sum() / 2
    return half @ scale


def test_an_error_keeps_the_learners_own_line():
    said = line(with_an_error)
    assert "in your line" in said and said.endswith("return half @ scale")
    assert said.startswith(("TypeError", "RuntimeError")) and "\n" not in said


def with_an_error_in_torch(x, scale):
    return nn.functional.softmax(x, dim=9)


def test_of_an_error_in_a_library_the_learners_line_is_shown():
    said = line(with_an_error_in_torch)
    assert said.startswith("IndexError") and said.endswith("return nn.functional.softmax(x, dim=9)")


def test_a_long_value_is_cut():
    for value, shown in (("x" * 58, repr("x" * 58)), ("x" * 59, "'" + "x" * 56 + "...")):
        assert short(value) == shown and len(shown) == 60


def test_an_answer_cannot_end_python():
    def leave(x, scale):
        raise SystemExit("bye")

    assert line(leave).startswith("SystemExit: bye")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda x, s: (x * 2 * s).tolist(), "doubled is a list, not a torch.Tensor"),
        (lambda x, s: (x * 2 * s).numpy(), "doubled is an ndarray, not a torch.Tensor"),
        (lambda x, s: (x * 2 * s).double(), "doubled is of torch.float64, not of torch.float32"),
        (
            lambda x, s: (x * 2 * s).transpose(1, 2),
            "doubled has the shape (2, 5, 3), not (2, 3, 5), which is (B, T, D): T and D are "
            "swapped",
        ),
        (lambda x, s: (x * 2 * s)[..., :1], "doubled has the shape (2, 3, 1), not (2, 3, 5)"),
        (lambda x, s: x / 2 * s, "it is halved; see chapter 3, Heads"),
        (lambda x, s: x * s * 2 + 0 * (x / x), "it is NaN, as 0 is divided by 0"),
        (lambda x, s: x * float("nan"), "doubled has 30 NaN, the first at [0, 0, 0]"),
        (
            lambda x, s: torch.where(x == x.max(), 0.0, x * 2 * s),
            "doubled is off by up to 12.43: at [1, 2, 4] it is 0 and should be 12.43",
        ),
        (lambda x, s: x.mul_(2 * s), "the answer is right, but x was changed in place: write x = "),
    ],
)
def test_what_is_wrong_is_said_in_order(answer, said):
    assert line(answer).startswith(said)


def test_a_module_that_changes_its_input_is_told_its_name():
    class InPlace(chapter_13.ReferenceStack):
        def forward(self, x):
            for norm, part in zip(self.norms, self.parts, strict=True):
                x += part(norm(x))
            return self.last_norm(x)

    said = line(InPlace, chapter_13.pre_norm_stack)
    assert said.startswith("the answer is right, but x was changed in place: write x = x + ...")


def test_of_a_mask_it_says_true_and_false_and_how_many_places_are_wrong():
    exercise = Exercise(
        name="real",
        chapter=3,
        reference=lambda ids: ids > 0,
        cases=lambda seed: [(torch.tensor([[5, 2, 0, 0], [3, 1, 4, 0]]),)],
        returns={"mask": "B T"},
        mistakes=(),
        hints=("a", "b", "c"),
    )
    said = line(lambda ids: ids > 1, exercise)
    assert said == "mask is wrong in 1 of 8 places: at [1, 1] it is False and should be True"


def test_a_float_is_shown_to_six_digits():
    assert (
        short(4.048326587115812) == "4.04833" and short(2.0) == "2.0" and short(10**9) == f"{10**9}"
    )


def test_a_body_that_wants_a_bool_mask_turns_down_another():
    def with_float_mask(body, input_ids, attention_mask):
        def given(ids, mask, positions):
            return body(ids, mask.float(), positions)

        return chapter_13.reference_unpadded(given, input_ids, attention_mask)

    said = line(with_float_mask, chapter_13.unpadded)
    assert said.startswith("ValueError: body takes a bool mask, not one of torch.float32")


def test_the_code_in_a_hint_has_its_own_lines(capsys):
    for _ in range(3):
        check.hint("unpadded")
    assert "\n    text, place = real.nonzero(as_tuple=True)\n" in capsys.readouterr().out


def test_a_type_has_the_article_that_is_read_aloud():
    for value in (7, np.zeros(2), OrderedDict()):
        assert kind_of(value) == f"an {type(value).__name__}"
    for value in (7.0, [7], None, np.uint8(7), torch.zeros(2), {7}):
        assert kind_of(value) == f"a {type(value).__name__}"


def test_an_answer_right_on_one_shape_alone_does_not_pass():
    assert line(lambda x, s: x * 2 * s if len(x) == 2 else x).startswith("doubled is off by")


class Two(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.one, self.two = nn.Linear(size, size), nn.Linear(size, size)

    def forward(self, x):
        return self.two(self.one(x))


class Swapped(Two):
    def __init__(self, size):
        nn.Module.__init__(self)
        self.two, self.one = nn.Linear(size, size), nn.Linear(size, size)


class Nameless(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.first, self.two = nn.Linear(size, size), nn.Linear(size, size)


class Wide(Two):
    def __init__(self, size):
        super().__init__(size)
        self.one = nn.Linear(size, 2 * size)


def weights(size=3):
    torch.manual_seed(1)
    return dict(Two(size).state_dict())


MODULE = Exercise(
    name="two",
    chapter=3,
    reference=Two,
    cases=lambda seed: [({"size": 3}, weights(), torch.ones(2, 3))],
    returns={"out": "B D"},
    mistakes=(),
    hints=("a", "b", "c"),
    run=module,
)


def test_modules_get_their_weights_by_name():
    assert line(Swapped, MODULE) == "passed"  # made in another order
    assert line(Nameless, MODULE).startswith("the module has no parameter one.bias: it has first")
    assert line(Wide, MODULE) == "one.weight has the shape (6, 3), not (3, 3)"
    assert line(lambda size: 3, MODULE) == "this makes an int, not a torch.nn.Module"
    assert line(Two(3), MODULE) == "this is a module that is made already: give the class itself"
    assert line(4, MODULE) == "this is an int, not a class"
    assert line(4) == "this is an int, not a function"


def test_a_prediction_is_its_own_answer():
    exercise = Exercise(
        name="number",
        chapter=3,
        reference=0.75,
        cases=lambda seed: [()],
        returns={"the share": ""},
        mistakes=(Mistake("that is what is left", "Heads", 0.25),),
        hints=("a", "b", "c"),
        run=prediction,
    )
    assert line(0.75, exercise) == line(3 / 4, exercise) == "passed"
    assert line(0.25, exercise) == "that is what is left; see chapter 3, Heads"
    assert line(0.5, exercise) == "the share is not 0.5"
    assert line(np.float64(0.75), exercise) == line(torch.tensor(0.75), exercise) == "passed"
    assert line("0.75", exercise) == "the share is a str, not a number"
    assert line(..., exercise) == "not written yet"


def test_of_a_dict_the_first_key_that_is_wrong_is_named():
    exercise = Exercise(
        name="named",
        chapter=3,
        reference=lambda size: {"a": torch.zeros(size), "b": torch.ones(2, 3)},
        cases=lambda seed: [(2,), (4,)],
        returns={"weights": ""},
        mistakes=(),
        hints=("a", "b", "c"),
    )
    a, b = torch.zeros(2), torch.ones(2, 3)
    for answer, said in (
        ({"a": a}, "weights has no 'b'"),
        ({"a": a, "b": b, "c": b}, "weights has 'c', which does not belong there"),
        ({"a": a, "b": b.T}, "weights['b'] has the shape (3, 2), not (2, 3)"),
        ({"a": a, "b": 1.0}, "weights['b'] is a float, not a torch.Tensor"),
        ({"a": a, "b": 2 * b}, "weights['b'] is off by up to 1: at [0, 0] it is 2 and should be 1"),
        ({"b": b, "a": a}, "weights['a'] has the shape (2,), not (4,)"),  # right on one case alone
    ):
        assert line(lambda size, answer=answer: dict(answer), exercise) == said
    assert line(lambda size: {"b": b, "a": torch.zeros(size)}, exercise) == "passed"


def test_numbers_may_be_numpys_or_torchs():
    exercise = Exercise(
        name="ends",
        chapter=3,
        reference=lambda x: (0, float(x)),
        cases=lambda seed: [(2.5,)],
        returns={"first": "", "last": ""},
        mistakes=(),
        hints=("a", "b", "c"),
        run=plain_numbers,
    )
    assert line(lambda x: (np.int64(0), torch.tensor(x)), exercise) == "passed"
    assert line(lambda x: (0, torch.tensor([x])), exercise) == "last is a Tensor, not a number"
    assert line(lambda x: (False, x), exercise) == "first is a bool, not a number"
    assert line(lambda x: 0, exercise) == "1 of 2 things came back: return first, last"
    assert line(2.5, exercise) == "this is a float, not a function"


# The front


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    return tmp_path


def right(x, num_heads):
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def test_the_line_is_printed_and_progress_is_kept(folder, capsys):
    assert minibert.check is checks
    check.split_heads(not_written)
    assert capsys.readouterr().out == "split_heads: not written yet\n"
    assert not (folder / "progress.json").exists()
    check.split_heads(lambda x, h: x)
    assert "has the shape" in capsys.readouterr().out
    assert json.loads((folder / "progress.json").read_text()) == {"split_heads": "tried"}
    check.split_heads(right)
    check.split_heads(lambda x, h: x)  # what has passed stays passed
    assert json.loads((folder / "progress.json").read_text()) == {"split_heads": "passed"}
    assert "chapter 3: 1 of " in check.progress().alt
    assert check.progress(3).alt.count("chapter") == 1


def test_a_box_is_full_when_passed_and_half_full_when_tried(folder):
    (folder / "progress.json").write_text('{"split_heads": "passed", "merge_heads": "tried"}')
    names = [e.name for e in checks.exercises().values() if e.chapter == 3]
    boxes = check.progress(3).figure.axes[0].patches  # an outline and what it holds, one by one
    pairs = zip(boxes[::2], boxes[1::2], strict=True)
    shares = [inner.get_width() / outer.get_width() for outer, inner in pairs]
    found = {name: share for name, share in zip(names, shares, strict=True) if share}
    assert found == pytest.approx({"split_heads": 1.0, "merge_heads": 0.5})


def test_an_answer_is_judged_where_nothing_can_be_kept(folder, capsys):
    (folder / "progress.json").mkdir()
    check.split_heads(right)
    assert capsys.readouterr().out == "split_heads: passed\n"


def test_a_long_line_is_broken_between_words():
    words = ["short"] * 20 + ["x" * 100, "a-b" * 40]
    lines = checks.in_lines(" ".join(words))
    assert [word for line in lines for word in line.split(" ")] == words
    assert all(len(line) <= 85 for line in lines if " " in line)


def test_a_damaged_progress_file_is_begun_anew(folder, capsys):
    for damage in ("", "{", "[1]", '{"split_heads": 7}'):
        (folder / "progress.json").write_text(damage)
        assert "chapter 3: 0 of " in check.progress(3).alt
        check.split_heads(right)
        assert "chapter 3: 1 of " in check.progress(3).alt


def test_while_grading_what_is_wrong_is_an_error_and_nothing_is_kept(folder, monkeypatch, capsys):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    check.split_heads(right)
    with pytest.raises(checks.NotPassed, match=re.escape("split_heads: not written yet")) as error:
        check.split_heads(not_written)
    assert error.value._render_traceback_() == ["split_heads: not written yet"]
    assert not (folder / "progress.json").exists()


def test_hints_come_one_at_a_time(capsys):
    for number, hint in enumerate(checks.exercises()["merge_heads"].hints, start=1):
        check.hint("merge_heads")
        assert " ".join(capsys.readouterr().out.split()) == f"hint {number} of 3: {hint}"
    check.hint("merge_heads")
    assert capsys.readouterr().out.startswith("hint 3 of 3")


def test_a_hint_can_be_asked_with_the_function_itself(capsys):
    def pooled_query(x, mask):
        raise NotImplementedError

    check.hint(pooled_query)
    assert capsys.readouterr().out.startswith("hint 1 of 3")


def test_an_unknown_chapter_is_said_to_be_unknown():
    with pytest.raises(ValueError, match="no exercises of chapter 99"):
        check.progress(99)


def test_an_unknown_exercise_names_those_there_are():
    with pytest.raises(AttributeError, match=r"no exercise 'attend'; there are .*split_heads"):
        check.attend(lambda: None)
