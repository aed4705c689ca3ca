"""The quizzes: well-formed questions, and what a learner who types letters is told."""

import re
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import nbformat
import pytest

from minibert.course import quiz, quizzes

ROOT = Path(__file__).parents[1]
CHAPTERS = [int(m.name[-2:]) for m in iter_modules(quizzes.__path__)]
RIGHT = {n: "".join(q.right for q in quizzes.questions(n)) for n in CHAPTERS}


@pytest.fixture(params=CHAPTERS)
def chapter(request):
    return request.param


def test_there_are_five_questions_with_one_right_answer(chapter):
    asked = quizzes.questions(chapter)
    assert len(asked) == 5
    for one in asked:
        assert 3 <= len(one.options) <= 4
        assert one.right in quizzes.LETTERS[: len(one.options)]
        assert len({option.says for option in one.options}) == len(one.options)
        assert all(option.because for option in one.options)


def test_the_right_letter_cannot_be_guessed(chapter):
    """No letter is right three times, and the right option isn't always the longest."""
    right = RIGHT[chapter]
    assert max(map(right.count, right)) <= 2
    longest = [max(one.options, key=lambda o: len(o.says)) for one in quizzes.questions(chapter)]
    chosen = [one.chosen(one.right) for one in quizzes.questions(chapter)]
    assert sum(a is b for a, b in zip(longest, chosen, strict=True)) <= 2


def test_questions_point_at_a_section_and_the_chapter_asks_twice(chapter):
    (file,) = (ROOT / "notebooks").glob(f"{chapter:02}_*.ipynb")
    notebook = nbformat.read(file, as_version=4)
    prose = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    headings = set(re.findall(r"^##+ (?:\d+\. )?(.+)$", prose, re.MULTILINE))
    assert {one.see for one in quizzes.questions(chapter)} <= headings
    code = [c.source for c in notebook.cells if c.cell_type == "code"]
    assert f'quiz.before({chapter}, "")' in code and f'quiz.after({chapter}, "")' in code


def test_before_gives_nothing_away(chapter):
    page = quiz.before(chapter, "")._repr_html_()
    for one in quizzes.questions(chapter):
        assert not any(quiz._inline(option.because) in page for option in one.options)
    assert page.count("<details") == 1, "folded, so that the chapter begins with its own question"


def test_answers_are_noted_and_then_counted(chapter):
    right = RIGHT[chapter]
    noted = repr(quiz.before(chapter, right))
    assert " ".join(right) in noted and "right" not in noted
    assert "5 of 5 right" in repr(quiz.after(chapter, right.upper()))
    assert "5 of 5 right" in repr(quiz.after(chapter, ", ".join(right)))
    first = "a" if right[0] != "a" else "b"
    page = quiz.after(chapter, first + right[1:])._repr_html_()
    assert "4 of 5 right" in page and page.count("<details") == page.count("<summary")
    assert page.count(" open>") == page.count("(your answer)") == 5


def test_every_reason_can_be_opened_without_a_kernel(chapter):
    page = quiz.after(chapter, "")._repr_html_()
    assert "<script" not in page and "of 5" not in page
    for one in quizzes.questions(chapter):
        assert all(quiz._inline(option.because) in page for option in one.options)
    assert page.count("<b>Right.</b>") == 5


@pytest.mark.parametrize("answers", ["abc", "abcdab", "abcde", "12345", "five"])
def test_other_letters_are_asked_for_again(answers):
    for ask in (quiz.before, quiz.after):
        assert "Write 5 letters" in repr(ask(CHAPTERS[0], answers))


def test_a_chapter_without_a_quiz():
    with pytest.raises(ValueError, match="no quiz for chapter 99"):
        quiz.before(99, "")


def test_code_in_a_question_is_code_and_signs_stay_signs():
    assert quiz._inline("`a < b` & c") == "<code>a &lt; b</code> &amp; c"


def test_the_modules_are_the_chapters():
    for number in CHAPTERS:
        assert import_module(f"minibert.course.quizzes.chapter_{number:02}").QUESTIONS
