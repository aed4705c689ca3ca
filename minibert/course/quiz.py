"""A chapter's quiz, the same five questions before and after: `from minibert.course import quiz`.

    quiz.before(3, "")        # the questions; write your letters between the quotes
    quiz.after(3, "abcda")    # how many are right, and a reason for every option

The page is plain HTML, so that a stored notebook shows it without a kernel.
"""

from __future__ import annotations

import html
import re

from minibert.course.quizzes import LETTERS, Question, questions

STYLE = "margin: 0.3em 0 0.3em 1.5em"


class Quiz:
    """Questions as a notebook shows them."""

    def __init__(self, title: str, lines: list[str]) -> None:
        self.title = title
        self.lines = lines

    def __repr__(self) -> str:
        text = re.sub(r"<[^>]+>", "", "\n".join(self.lines).replace("<p>", "\n<p>"))
        return html.unescape(f"{self.title}\n{text}")

    def _repr_html_(self) -> str:
        body = "\n".join(self.lines)
        return f'<section aria-label="{html.escape(self.title)}">\n{body}\n</section>'


def before(chapter: int, answers: str) -> Quiz:
    """The questions and their options, without a verdict. `answers` is noted for later."""
    asked = questions(chapter)
    chosen = letters(answers, len(asked))
    if isinstance(chosen, Quiz):
        return chosen
    title = f"Quiz before chapter {chapter}"
    if chosen:
        noted = " ".join(chosen)
        line = f"<p><b>Noted: {noted}.</b> The same questions return after the chapter.</p>"
        return Quiz(title, [line])
    lines = [line for number, one in enumerate(asked, 1) for line in _asks(number, one)]
    folded = f"<details><summary><b>{len(asked)} questions</b></summary>"
    return Quiz(title, [folded, *lines, "</details>"])


def after(chapter: int, answers: str) -> Quiz:
    """How many answers are right, then the questions with a reason behind each option."""
    asked = questions(chapter)
    chosen = letters(answers, len(asked))
    if isinstance(chosen, Quiz):
        return chosen
    lines = []
    if chosen:
        right = sum(letter == one.right for letter, one in zip(chosen, asked, strict=True))
        lines.append(f"<p><b>{right} of {len(asked)} right.</b></p>")
    for number, one in enumerate(asked, 1):
        letter = chosen[number - 1] if chosen else ""
        lines += _asks(number, one, reasons=True, chosen=letter)
    return Quiz(f"Quiz after chapter {chapter}", lines)


def letters(answers: str, number: int) -> list[str] | Quiz:
    """The letters in "a b, C": one for each question, or none yet; or what is wrong with them."""
    found = re.sub(r"[\s,;.]", "", answers).lower()
    if found and (len(found) != number or not set(found) <= set(LETTERS)):
        return _wrong(number)
    return list(found)


def _wrong(number: int) -> Quiz:
    example = (LETTERS * 2)[:number]
    line = (
        f"<p>Write {number} letters from a to d, one for each question: <code>{example}</code></p>"
    )
    return Quiz("Quiz", [line])


def _asks(number: int, asked: Question, reasons: bool = False, chosen: str = "") -> list[str]:
    """A question and its options; with `reasons`, each option opens to say why."""
    lines = [f"<p><b>{number}.</b> {_inline(asked.asks)}</p>"]
    for letter, option in zip(LETTERS, asked.options, strict=False):
        says = f"<b>{letter}</b>&ensp;{_inline(option.says)}"
        if not reasons:
            lines.append(f'<div style="{STYLE}">{says}</div>')
            continue
        verdict = "Right" if letter == asked.right else "No"
        mark = "&ensp;(your answer)" if letter == chosen else ""
        opened = " open" if letter == chosen else ""
        lines.append(
            f'<details style="{STYLE}"{opened}><summary>{says}{mark}</summary>'
            f"<p><b>{verdict}.</b> {_inline(option.because)}</p></details>"
        )
    if reasons:
        lines.append(f'<p style="{STYLE}"><i>Section: {_inline(asked.see)}</i></p>')
    return lines


def _inline(text: str) -> str:
    """Text as HTML, with `code` as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
