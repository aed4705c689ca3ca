"""The exercises of chapter 8, fine-tuning."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minibert.config import BertConfig
from minibert.course.checks.engine import (
    Case,
    Exercise,
    Mistake,
    Unfit,
    call,
    draw,
    draw_ids,
    kind_of,
    plain_numbers,
    two_decimals,
)
from minibert.model import BertModel

SPLIT = "A real task, split by document"
HEAD = "A head, by hand"
BASELINE = "Beside every score, a baseline"
FROZEN = "Frozen against full"
WORTH = "What is pretraining worth?"
LORA = "LoRA: two thin matrices"
NUMBER = "A number instead of a class"
LABELS = "A label for every word"
SPANS = "Spans: question answering"
PEOPLE = "Mistakes people make here"


# 1: the scores of a model that has read nothing


majority_scores = Exercise(
    name="majority_scores",
    chapter=8,
    reference=(0.6, 0.25),
    cases=lambda seed: [()],
    returns={"the answer": ""},
    run=two_decimals,
    mistakes=(
        Mistake("0.75 is the F1 of the class that is always said: the other two have 0 each, and "
                "they count", BASELINE, (0.6, 0.75)),
        Mistake("the classes were weighed by their texts: in macro-F1 each class counts the same",
                BASELINE, (0.6, 0.45)),
        Mistake("that is micro-F1, which is the accuracy once more: macro is a mean over classes",
                BASELINE, (0.6, 0.6)),
        Mistake("that is the mean recall: F1 has the precision in it too", BASELINE,
                (0.6, 1 / 3)),
        Mistake("that is the mean precision: F1 has the recall in it too", BASELINE, (0.6, 0.2)),
        Mistake("precision and recall were averaged plainly: F1 is 2 P R / (P + R)", BASELINE,
                (0.6, 0.8 / 3)),
        Mistake("precision and recall were multiplied: F1 is twice that, divided by their sum",
                BASELINE, (0.6, 0.3)),
        Mistake("a class that is never said has an F1 of 0, and that does not make the mean 0",
                BASELINE, (0.6, 0.0)),
        Mistake("that guesser draws every class with equal probability: this one always says the "
                "same",
                BASELINE, (1 / 3, 0.3)),
        Mistake("that is a guesser who draws classes by their shares: this one always says the "
                "same", BASELINE, (0.46, 1 / 3)),
        Mistake("the two are swapped: accuracy comes first", BASELINE, (0.25, 0.6)),
        Mistake("these are per cent: shares go from 0 to 1", BASELINE, (60, 25)),
    ),
    hints=(
        "It says one class, whatever it reads. How often is that right, and how often right in "
        "each class?",
        "For the class that it says, precision is 0.6 and recall is 1. For the other two, what is "
        "found is nothing. Macro-F1 is the mean of three numbers.",
        "F1 is 2 * 0.6 * 1 / (0.6 + 1) for one class, and 0 for two",
    ),
)  # fmt: skip


# 2: a label for every word


def reference_align(word_labels: list[int], word_ids: list[int | None]) -> list[int]:
    labels, previous = [], None
    for word in word_ids:
        asked = word is not None and word != previous
        labels.append(word_labels[word] if asked else -100)
        previous = word
    return labels


Piece = tuple[int | None, bool, bool]
"""The word of a piece (None: a special token), whether it is its first, whether its last."""


def pieces_of(word_ids: list[int | None]) -> list[Piece]:
    around = [None, *word_ids, None]
    return [
        (word, word != before, word != after)
        for before, word, after in zip(around, word_ids, around[2:], strict=False)
    ]


def aligned_with(
    special: int | None = -100, rest: int | None = -100, place: int = 1, shift: int = 0
) -> Callable[..., list[int]]:
    """Other labels for special tokens and later pieces (None: those are left out), another piece
    that is asked (1: the first, 2: the last), or the label of another word."""

    def answer(word_labels, word_ids):
        labels = []
        for piece in pieces_of(word_ids):
            word = piece[0]
            if word is None:
                labels.append(special)
            else:
                labels.append(word_labels[word + shift] if piece[place] else rest)
        return [label for label in labels if label is not None]

    return answer


def label_on_every_piece(word_labels: list[int], word_ids: list[int | None]) -> list[int]:
    return [-100 if word is None else word_labels[word] for word in word_ids]


def labels_in_turn(word_labels: list[int], word_ids: list[int | None]) -> list[int]:
    labels = iter(word_labels)
    return [
        next(labels) if w is not None and first else -100 for w, first, _ in pieces_of(word_ids)
    ]


def labels_by_position(word_labels: list[int], word_ids: list[int | None]) -> list[int]:
    return (word_labels + [-100] * len(word_ids))[: len(word_ids)]


def labels_after_cls(word_labels: list[int], word_ids: list[int | None]) -> list[int]:
    return ([-100, *word_labels] + [-100] * len(word_ids))[: len(word_ids)]


def label_of_minus_one(word_labels: list[int], word_ids: list[int | None]) -> list[int]:
    right = reference_align(word_labels, word_ids)
    return [
        word_labels[-1] if word is None else label
        for word, label in zip(word_ids, right, strict=True)
    ]


def whole_words_alone(word_labels: list[int], word_ids: list[int | None]) -> list[int]:
    return [
        word_labels[word] if word is not None and first and last else -100
        for word, first, last in pieces_of(word_ids)
    ]


def align_cases(seed: int) -> list[Case]:
    """Words in one to three pieces; one of which nothing is left; a text that was cut; padding."""
    rng = np.random.default_rng(seed)
    cases = []
    for W, gone, kept, padding in ((4, None, 4, 0), (7, 3, 7, 2), (6, None, 4, 1)):
        word_labels = rng.permutation([0, 1, 1, 2, 3, 4, 0])[:W].tolist()
        pieces = rng.permutation([1, 2, 3, 2, 1, 1, 3])[:W]
        words = [word for word in range(kept) if word != gone]
        ids = [word for word in words for _ in range(pieces[word])]
        cases.append((word_labels, [None, *ids, None, *[None] * padding]))
    return cases


align_labels = Exercise(
    name="align_labels",
    chapter=8,
    reference=reference_align,
    cases=align_cases,
    returns={"labels": "T"},
    mistakes=(
        Mistake("every piece has its word's label: a long word then counts several times, so label "
                "the first piece alone", LABELS, label_on_every_piece),
        Mistake("later pieces have class 0, a label like any other: -100 asks nothing", LABELS,
                aligned_with(rest=0)),
        Mistake("special tokens have class 0, a label like any other: -100 asks nothing", LABELS,
                aligned_with(special=0)),
        Mistake("special tokens and later pieces have class 0: most of what is asked then is that "
                "class, and -100 asks nothing", LABELS, aligned_with(special=0, rest=0)),
        Mistake("special tokens have the label of the last word, as if None were -1", LABELS,
                label_of_minus_one),
        Mistake("labels were taken in turn: after a word of which no piece is left, all are one "
                "too early; the word's number says which label is its own", LABELS,
                labels_in_turn),
        Mistake("labels are set by position, as if each token were a word: word_ids says whose "
                "piece a token is", LABELS, labels_by_position),
        Mistake("each word was taken to be one token: labels begin after [CLS], but after the "
                "first word in pieces they are too early", LABELS, labels_after_cls),
        Mistake("the last piece of a word has its label: BERT's rule is the first", LABELS,
                aligned_with(place=2)),
        Mistake("words in several pieces are passed over whole: their first piece has the label",
                LABELS, whole_words_alone),
        Mistake("-1 means nothing to F.cross_entropy: what it passes over is -100", LABELS,
                aligned_with(special=-1, rest=-1)),
        Mistake("each word has the label of the word before: words are counted from 0", LABELS,
                aligned_with(shift=-1)),
        Mistake("special tokens are left out: there is one label a token, -100 for these", LABELS,
                aligned_with(special=None)),
        Mistake("later pieces are left out: there is one label a token, -100 for these", LABELS,
                aligned_with(rest=None)),
        Mistake("special tokens and later pieces are left out: there is one label a token", LABELS,
                aligned_with(special=None, rest=None)),
    ),
    hints=(
        "Which tokens are asked? Go through word_ids from left to right; what do you have to "
        "remember?",
        "A token is asked if it has a word and the token before it has another one, or none. Its "
        "label is that of the word with this number.",
        "word_labels[word] if word is not None and word != previous else -100",
    ),
)  # fmt: skip


# 3: no document on two sides

Rows = tuple[list[int], list[int]]


def reference_split(documents: list[str], order: list[str], share: float) -> Rows:
    held_out = set()
    for document in order:
        if sum(name in held_out for name in documents) >= share * len(documents):
            break
        held_out.add(document)
    rows = range(len(documents))
    train = [row for row in rows if documents[row] not in held_out]
    return train, [row for row in rows if documents[row] in held_out]


def rows_apart(documents: Sequence[str], held_out: Callable[[int], bool]) -> Rows:
    """Rows that are not held out, and rows that are."""
    rows = range(len(documents))
    return [row for row in rows if not held_out(row)], [row for row in rows if held_out(row)]


def by_order(make: Callable[[list[str], list[str]], list[str]]) -> Callable[..., Rows]:
    """The reference, with the documents taken in another order."""
    return lambda documents, order, share: reference_split(documents, make(documents, order), share)


def first_rows(documents: list[str], order: list[str], share: float) -> Rows:
    return rows_apart(documents, lambda row: row < math.ceil(share * len(documents)))


def last_rows(documents: list[str], order: list[str], share: float) -> Rows:
    kept = len(documents) - math.ceil(share * len(documents))
    return rows_apart(documents, lambda row: row >= kept)


def every_other_row(documents: list[str], order: list[str], share: float) -> Rows:
    return rows_apart(documents, lambda row: row % round(1 / share) == 0)


def documents_counted(documents: list[str], order: list[str], share: float) -> Rows:
    held_out = order[: math.ceil(share * len(order))]
    return rows_apart(documents, lambda row: documents[row] in held_out)


def documents_that_fit(skip: bool) -> Callable[..., Rows]:
    """No document that goes beyond the share: it ends there, or the next one is tried."""

    def answer(documents, order, share):
        held_out, count = [], 0
        for document in order:
            if count + documents.count(document) <= share * len(documents):
                held_out.append(document)
                count += documents.count(document)
            elif not skip:
                break
        return rows_apart(documents, lambda row: documents[row] in held_out)

    return answer


def one_document_more(documents: list[str], order: list[str], share: float) -> Rows:
    return reference_split(documents, order, share + 0.5 / len(documents))


def document_cut_in_two(documents: list[str], order: list[str], share: float) -> Rows:
    by_document = sorted(range(len(documents)), key=lambda row: order.index(documents[row]))
    held_out = by_document[: math.ceil(share * len(documents))]
    return rows_apart(documents, lambda row: row in held_out)


def first_alone(documents: list[str], order: list[str], share: float) -> Rows:
    return rows_apart(documents, lambda row: documents[row] == order[0])


def one_row_a_document(documents: list[str], order: list[str], share: float) -> Rows:
    _, test = reference_split(documents, order, share)
    firsts = [row for row in test if documents[row] not in documents[:row]]
    return rows_apart(documents, lambda row: row in firsts)


def split_told(change: Callable[..., tuple]) -> Callable[..., tuple]:
    """The right rows, told in another way: `change` gets them and the three arguments."""
    return lambda *case: change(*reference_split(*case), *case)


def split_cases(seed: int) -> list[Case]:
    """Documents of unlike length, not in one run; the share is reached exactly, or gone beyond."""
    rng = np.random.default_rng(seed)
    cases = []
    for lengths, order, share in (
        ({"adams": 4, "bush": 2, "carter": 6, "dwight": 8}, "bush carter adams dwight", 0.4),
        ({"polk": 3, "grant": 5, "hayes": 4, "taft": 2, "ford": 2},
         "ford taft grant polk hayes", 0.5),
        ({"tyler": 7, "monroe": 1, "pierce": 9, "hoover": 3}, "monroe pierce hoover tyler", 0.2),
    ):  # fmt: skip
        documents = [name for name, length in lengths.items() for _ in range(length)]
        mixed = [documents[row] for row in rng.permutation(len(documents))]
        cases += [(documents, order.split(), share), (mixed, order.split(), share)]
    return cases


split_by_document = Exercise(
    name="split_by_document",
    chapter=8,
    reference=reference_split,
    cases=split_cases,
    returns={"train": "", "test": ""},
    mistakes=(
        Mistake("the first rows were held out: where the cut falls into a document, it is on both "
                "sides", SPLIT, first_rows),
        Mistake("the last rows were held out: where the cut falls into a document, it is on both "
                "sides", SPLIT, last_rows),
        Mistake("rows were held out at regular steps: every document is then on both sides",
                SPLIT, every_other_row),
        Mistake("the last document was cut so that the share is exact: its halves are on different "
                "sides", SPLIT, document_cut_in_two),
        Mistake("of each document one row was held out, and the rest of it is learned", SPLIT,
                one_row_a_document),
        Mistake("the share is one of documents: it is rows that are counted", SPLIT,
                documents_counted),
        Mistake("the document that goes beyond the share was left out: at least the share is "
                "wanted", SPLIT, documents_that_fit(skip=False)),
        Mistake("documents that go beyond the share were skipped for smaller ones: take them in "
                "`order`", SPLIT, documents_that_fit(skip=True)),
        Mistake("where the share is reached exactly, one document more was taken", SPLIT,
                one_document_more),
        Mistake("only the first document was held out", SPLIT, first_alone),
        Mistake("documents were taken as they come in the rows: `order` says in which order", SPLIT,
                by_order(lambda documents, order: list(dict.fromkeys(documents)))),
        Mistake("documents were taken by the alphabet: `order` says in which order", SPLIT,
                by_order(lambda documents, order: sorted(order))),
        Mistake("documents were taken from the end of `order`", SPLIT,
                by_order(lambda documents, order: order[::-1])),
        Mistake("the largest documents were taken first: `order` says in which order", SPLIT,
                by_order(lambda documents, order: sorted(order, key=documents.count)[::-1])),
        Mistake("the two sides are swapped: the training rows come first", SPLIT,
                split_told(lambda train, test, *case: (test, train))),
        Mistake("the share was taken as the share of training rows", SPLIT,
                lambda documents, order, share: reference_split(documents, order, 1 - share)),
        Mistake("the test rows are among the training rows too", SPLIT,
                split_told(lambda train, test, documents, *_: (list(range(len(documents))), test))),
        Mistake("the sides are right, but the test rows are in the order of the documents: they "
                "should keep theirs", SPLIT, split_told(lambda train, test, documents, order, _: (
                    train, sorted(test, key=lambda row: order.index(documents[row]))))),
        Mistake("these are documents: the numbers of rows are asked for", SPLIT,
                split_told(lambda train, test, documents, *_: (
                    [documents[row] for row in train], [documents[row] for row in test]))),
    ),
    hints=(
        "What is put on a side: a row or a document? And what is counted?",
        "Take documents in `order` until the rows that belong to them are enough. Then go through "
        "the rows and look up their documents.",
        "for document in order: if count >= share * len(documents): break; held_out.add(document); "
        "count += documents.count(document)",
    ),
)  # fmt: skip


# 4: repair three losses


def reference_head_loss(logits: Tensor, labels: Tensor, problem_type: str) -> Tensor:
    if problem_type == "regression":
        return F.mse_loss(logits.squeeze(-1), labels)
    if problem_type == "multi_label_classification":
        return F.binary_cross_entropy_with_logits(logits, labels)
    return F.cross_entropy(logits, labels)


LossOf = Callable[[Tensor, Tensor], Tensor]


def every_pair(logits: Tensor, labels: Tensor) -> Tensor:
    """What torch makes of (B, 1) and (B,): a mean over B times B differences."""
    return (logits - labels).square().mean()


def after_softmax(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits.softmax(-1), labels)


def after_sigmoid(logits: Tensor, labels: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits.sigmoid(), labels)


def losses_with(
    one: LossOf | None = None, several: LossOf | None = None, number: LossOf | None = None
) -> Callable[..., Tensor]:
    """Other losses for one class, for several, for a number."""

    def answer(logits, labels, problem_type):
        kinds = {
            "single_label_classification": one,
            "multi_label_classification": several,
            "regression": number,
        }
        loss_of = kinds[problem_type]
        if loss_of is None:
            return reference_head_loss(logits, labels, problem_type)
        return loss_of(logits, labels)

    return answer


def error_of(loss: Callable[[Tensor], Tensor]) -> LossOf:
    """A loss of what is guessed less what is right, (B,)."""
    return lambda logits, labels: loss(logits[:, 0] - labels)


def head_cases(seed: int) -> list[Case]:
    cases = []
    for B, C in ((4, 3), (5, 6)):
        one, several, number, years = draw((B, C), (B, C), (B, 1), (B,), seed=seed + B)
        cases += [
            (2 * one, draw_ids(C, B, seed=seed + B), "single_label_classification"),
            (2 * several, draw_ids(2, B, C, seed=seed + B).float(),
             "multi_label_classification"),
            (number, years, "regression"),
        ]  # fmt: skip
    return cases


head_loss = Exercise(
    name="head_loss",
    chapter=8,
    reference=reference_head_loss,
    cases=head_cases,
    returns={"loss": ""},
    mistakes=(
        Mistake("all three bugs are there still: a softmax and a sigmoid before losses that have "
                "their own, and (B, 1) less (B,), which is (B, B)", PEOPLE,
                losses_with(after_softmax, after_sigmoid, every_pair)),
        Mistake("a softmax comes before F.cross_entropy, which contains one, and a sigmoid before "
                "a loss that contains it: both want logits", PEOPLE,
                losses_with(after_softmax, after_sigmoid)),
        Mistake("the sigmoid is right now; the softmax is taken twice, and (B, 1) less (B,) is "
                "(B, B)", PEOPLE, losses_with(one=after_softmax, number=every_pair)),
        Mistake("the softmax is right now; the sigmoid is taken twice, and (B, 1) less (B,) is "
                "(B, B)", PEOPLE, losses_with(several=after_sigmoid, number=every_pair)),
        Mistake("the softmax is taken twice: F.cross_entropy wants logits, it has one in it", HEAD,
                losses_with(one=after_softmax)),
        Mistake("the sigmoid is taken twice: a loss \"with logits\" has it in it", HEAD,
                losses_with(several=after_sigmoid)),
        Mistake("(B, 1) less (B,) is (B, B): each guess was held against every text's number, and "
                "the best guess is then the mean for all", NUMBER, losses_with(number=every_pair)),
        Mistake("the logarithm of a sigmoid is no logit: the loss \"with logits\" takes it itself",
                HEAD, losses_with(several=lambda x, y: F.binary_cross_entropy_with_logits(
                    F.logsigmoid(x), y))),
        Mistake("several labels may be true at once: they do not share one softmax, each has its "
                "own sigmoid", HEAD, losses_with(
                    several=lambda x, y: -(y * x.log_softmax(-1)).sum(-1).mean())),
        Mistake("labels that are not true count as well: a sigmoid's loss has two terms", HEAD,
                losses_with(several=lambda x, y: -(y * F.logsigmoid(x)).mean())),
        Mistake("the labels of a text were added up: the mean is over texts and labels", HEAD,
                losses_with(several=lambda x, y: F.binary_cross_entropy_with_logits(
                    x, y, reduction="sum") / len(x))),
        Mistake("losses of one class were added up: take their mean, or the step grows with B",
                HEAD, losses_with(one=lambda x, y: F.cross_entropy(x, y, reduction="sum"))),
        Mistake("squared errors were added up: take their mean, or the step grows with B", NUMBER,
                losses_with(number=error_of(lambda e: e.square().sum()))),
        Mistake("the root of the mean square is for reading: the loss is the mean square", NUMBER,
                losses_with(number=error_of(lambda e: e.square().mean().sqrt()))),
        Mistake("this is the mean absolute error: the loss asked for is the mean square", NUMBER,
                losses_with(number=error_of(lambda e: e.abs().mean()))),
        Mistake("the sigmoid keeps a number between 0 and 1: a regression takes it as it is",
                NUMBER, losses_with(number=lambda x, y: F.mse_loss(x[:, 0].sigmoid(), y))),
        Mistake("the guess was rounded: a rounded number has no gradient", NUMBER,
                losses_with(number=lambda x, y: F.mse_loss(x[:, 0].round(), y))),
        Mistake("the mean of the errors lets those above and below cancel: square them first",
                NUMBER, losses_with(number=error_of(lambda e: e.mean().square()))),
    ),
    hints=(
        "Read what each of the three losses of torch wants: logits or shares? And print the shape "
        "of (B, 1) less (B,).",
        "Two of them have the softmax or the sigmoid in them. In the third, the guesses need the "
        "shape of the labels.",
        "F.cross_entropy(logits, labels), F.binary_cross_entropy_with_logits(logits, labels), "
        "F.mse_loss(logits.squeeze(-1), labels)",
    ),
)  # fmt: skip


# 5: repair frozen layers that still drop out


class Classifier(nn.Module):
    """A BERT with a head: `bert`, `dropout`, `classifier`."""

    def __init__(self, config: BertConfig, num_labels: int) -> None:
        super().__init__()
        self.bert = BertModel(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, num_labels)

    def forward(self, input_ids: Tensor) -> Tensor:
        """(B, T) -> (B, C)."""
        return self.classifier(self.dropout(self.bert(input_ids).pooler_output))


def reference_train_head(model: Classifier) -> None:
    model.train()
    model.bert.eval().requires_grad_(False)


def frozen_with(
    freezes: Callable[[str], bool] = lambda name: name.startswith("bert."),
    quiet: Callable[[Classifier], object] = lambda model: model.train().bert.eval(),
) -> Callable[[Classifier], None]:
    """Other weights without a gradient, or other parts without dropout."""

    def answer(model):
        for name, parameter in model.named_parameters():
            if freezes(name):
                parameter.requires_grad = False
        quiet(model)

    return answer


def body_but(*parts: str) -> Callable[[str], bool]:
    """The body's weights, but for those with one of these in their names."""
    return lambda name: name.startswith("bert.") and not any(part in name for part in parts)


def train_and_see(answer: Any, model: Classifier, input_ids: Tensor) -> tuple:
    """What can learn, and what drops out: told from two passes, so it does not matter how."""
    call(answer, model)
    learning = [name for name, p in model.named_parameters() if p.requires_grad]
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first, second = (model.bert(input_ids).last_hidden_state for _ in range(2))
        ones = model.dropout(torch.ones(100))
    return learning, not torch.equal(first, second), not bool(ones.eq(1).all())


def frozen_cases(seed: int) -> list[Case]:
    """A model that was training, and one that was not."""
    cases = []
    for L, training in ((1, True), (3, False)):
        config = BertConfig(
            vocab_size=9, hidden_size=8, num_hidden_layers=L, num_attention_heads=2,
            intermediate_size=16, max_position_embeddings=6, hidden_dropout_prob=0.5,
            attention_probs_dropout_prob=0.5,
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = Classifier(config, num_labels=3).train(training)
        cases.append((model, torch.arange(12).view(2, 6) % 9))
    return cases


train_head = Exercise(
    name="train_head",
    chapter=8,
    reference=reference_train_head,
    cases=frozen_cases,
    returns={
        "what can learn": "",
        "that the body drops out": "",
        "that the head drops out": "",
    },
    run=train_and_see,
    mistakes=(
        Mistake("the body learns nothing, but it drops out: it is in training mode, so the same "
                "text has other features in each epoch", FROZEN,
                frozen_with(quiet=nn.Module.train)),
        Mistake("whether anything drops out is left as it came: after an evaluation the head "
                "trains without dropout, at the start the body trains with it", FROZEN,
                frozen_with(quiet=lambda model: None)),
        Mistake("the whole model is in evaluation mode: the head should drop out, it is trained",
                FROZEN, frozen_with(quiet=nn.Module.eval)),
        Mistake("evaluation mode stops dropout, not learning: the body's weights have a gradient "
                "still", FROZEN, frozen_with(lambda name: False)),
        Mistake("the whole model is in evaluation mode, and all of it learns: only the body should "
                "be quiet, and it should not learn", FROZEN,
                frozen_with(lambda name: False, nn.Module.eval)),
        Mistake("the head is frozen as well: nothing is left that could learn", FROZEN,
                frozen_with(lambda name: True)),
        Mistake("the head is frozen, and the body learns: it is the other way round", FROZEN,
                frozen_with(lambda name: not name.startswith("bert."))),
        Mistake("nothing is frozen", FROZEN, frozen_with(lambda name: False, nn.Module.train)),
        Mistake("only the embeddings are frozen: the body is embeddings, encoder and pooler",
                FROZEN, frozen_with(lambda name: name.startswith("bert.embeddings"))),
        Mistake("the embeddings are not frozen", FROZEN, frozen_with(body_but("embeddings"))),
        Mistake("the pooler is not frozen: it came with the body, and `model.bert` holds it",
                FROZEN, frozen_with(body_but("pooler"))),
        Mistake("only the encoder's layers are frozen: embeddings and pooler are of the body too",
                FROZEN, frozen_with(body_but("embeddings", "pooler"))),
        Mistake("the norms of the body are not frozen", FROZEN, frozen_with(body_but("norm"))),
        Mistake("the biases of the body are not frozen: to train these alone is a separate method, "
                "BitFit", FROZEN, frozen_with(body_but("bias"))),
    ),
    hints=(
        "Give the body the same text twice. Are its states the same?",
        "Two things, and neither brings the other: what has no gradient does not learn, and what "
        "is in evaluation mode does not drop out. train() sets all parts of a model.",
        "model.train(), and after it model.bert.eval()",
    ),
)  # fmt: skip


# 5, second part: LoRA


class ReferenceLoRA(nn.Module):
    def __init__(self, linear: nn.Linear, r: int, alpha: float) -> None:
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.A = nn.Parameter(torch.randn(r, linear.in_features) / linear.in_features**0.5)
        self.B = nn.Parameter(torch.zeros(linear.out_features, r))
        self.scale = alpha / r

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return self.linear(x) + self.scale * (x @ self.A.T @ self.B.T)

    def merged(self) -> nn.Linear:
        merged = copy.deepcopy(self.linear)
        with torch.no_grad():
            merged.weight += self.scale * (self.B @ self.A)
        return merged


@dataclass
class Faults:
    """What a wrong layer does instead. Each part is a function, and None is the right one."""

    scale: Callable[[float, int], float] | None = None
    at_start: Callable[[Any], object] | None = None
    """Changes the layer once it is made."""
    forward: Callable[[Any, Tensor], Tensor] | None = None
    merged: Callable[[Any], nn.Module] | None = None


def lora_with(**faults: Any) -> type[nn.Module]:
    """A layer with these `Faults`."""
    given = Faults(**faults)

    class Answer(ReferenceLoRA):
        def __init__(self, linear, r, alpha):
            super().__init__(linear, r, alpha)
            if given.scale is not None:
                self.scale = given.scale(alpha, r)
            if given.at_start is not None:
                given.at_start(self)

        def forward(self, x):
            return super().forward(x) if given.forward is None else given.forward(self, x)

        def merged(self):
            return super().merged() if given.merged is None else given.merged(self)

    return Answer


def starting_with(A: Callable[[Tensor], object], B: Callable[[Tensor], object] = nn.init.zeros_):
    """Other numbers at the start."""

    def start(layer):
        A(layer.A)
        B(layer.B)

    return start


def as_buffers(layer: ReferenceLoRA) -> None:
    for name in ("A", "B"):
        matrix = getattr(layer, name).detach()
        delattr(layer, name)
        layer.register_buffer(name, matrix)


def merged_with(change: Callable[[Any, nn.Linear], Tensor]) -> Callable[[Any], nn.Module]:
    """Another matrix after the merge."""

    def merged(layer):
        linear = copy.deepcopy(layer.linear)
        with torch.no_grad():
            linear.weight.copy_(change(layer, linear))
        return linear

    return merged


def merged_in_place(layer: ReferenceLoRA) -> nn.Linear:
    with torch.no_grad():
        layer.linear.weight += layer.scale * (layer.B @ layer.A)
    return layer.linear


def merged_without_bias(layer: ReferenceLoRA) -> nn.Linear:
    merged = ReferenceLoRA.merged(layer)
    nn.init.zeros_(merged.bias)
    return merged


def lora_and_see(
    answer: Any, linear: nn.Linear, r: int, alpha: float, matrices: tuple[Tensor, Tensor], x: Tensor
) -> tuple:
    """The layer at its start, and what it computes with these A and B."""
    layer = call(answer, linear, r, alpha)
    if not isinstance(layer, nn.Module):
        raise Unfit(f"this makes {kind_of(layer)}, not a torch.nn.Module")
    for name, matrix in zip("AB", matrices, strict=True):
        own = getattr(layer, name, None)
        if not isinstance(own, Tensor):
            raise Unfit(f"the layer has no matrix {name}")
        if own.shape != matrix.shape:
            raise Unfit(f"{name} has the shape {tuple(own.shape)}, not {tuple(matrix.shape)}")
    number = sum(p.numel() for p in layer.parameters() if p.requires_grad)
    starts = [start_of(matrix) for matrix in (layer.A, layer.B)]
    with torch.no_grad():
        layer.A.copy_(matrices[0])
        layer.B.copy_(matrices[1])
    out = layer(x)
    slope = gradient(out.square().sum(), layer.A)
    with torch.no_grad():
        merges = []
        for _ in range(2):
            merged = layer.merged()
            if not isinstance(merged, nn.Linear):
                raise Unfit(f"`merged` gives {kind_of(merged)}, not an nn.Linear")
            merges.append(merged(x))
        return number, *starts, out.detach(), slope, *merges, layer(x)


def start_of(matrix: Tensor) -> str:
    if not matrix.any():
        return "zeros"
    return "random numbers" if len(matrix.unique()) > 1 else "equal numbers"


def gradient(loss: Tensor, of: Tensor) -> Tensor:
    """Zeros where no gradient arrives."""
    if not (loss.requires_grad and of.requires_grad):
        return torch.zeros_like(of)
    (found,) = torch.autograd.grad(loss, of, allow_unused=True)
    return torch.zeros_like(of) if found is None else found


def lora_cases(seed: int) -> list[Case]:
    cases = []
    for D, r, alpha in ((4, 2, 6.0), (6, 3, 1.5), (5, 4, 8.0)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + D)
            linear = nn.Linear(D, D)
        A, B, x = draw((r, D), (D, r), (2, 3, D), seed=seed + D)
        cases.append((linear, r, alpha, (A, B), x))
    return cases


lora = Exercise(
    name="lora",
    chapter=8,
    reference=ReferenceLoRA,
    cases=lora_cases,
    returns={
        "the number of weights that learn": "",
        "what A starts with": "",
        "what B starts with": "",
        "the output": "... D",
        "the gradient of A": "r D",
        "the output of the merged layer": "... D",
        "the output of a second merge": "... D",
        "the output after merging": "... D",
    },
    run=lora_and_see,
    mistakes=(
        Mistake("alpha / r is missing: without it the change grows with r", LORA,
                lora_with(scale=lambda alpha, r: 1.0)),
        Mistake("the change is multiplied by alpha and not divided by r", LORA,
                lora_with(scale=lambda alpha, r: alpha)),
        Mistake("the change is divided by r and not multiplied by alpha", LORA,
                lora_with(scale=lambda alpha, r: 1 / r)),
        Mistake("the scale is upside down: it is alpha / r", LORA,
                lora_with(scale=lambda alpha, r: r / alpha)),
        Mistake("alpha is divided by the square root of r: some variants do that, but LoRA divides "
                "by r", LORA, lora_with(scale=lambda alpha, r: alpha / r**0.5)),
        Mistake("A starts with zeros as well: then neither A nor B ever gets a gradient", LORA,
                lora_with(at_start=starting_with(nn.init.zeros_))),
        Mistake("B starts with random numbers: then training doesn't start from the layer that was "
                "pretrained", LORA,
                lora_with(at_start=starting_with(nn.init.normal_, nn.init.normal_))),
        Mistake("A starts with zeros and B with random numbers: it is A that is random here", LORA,
                lora_with(at_start=starting_with(nn.init.zeros_, nn.init.normal_))),
        Mistake("all numbers of A are equal: its r rows then learn the same thing, so they are one "
                "direction and not r", LORA, lora_with(at_start=starting_with(nn.init.ones_))),
        Mistake("the given layer learns as well: freeze its weight and its bias", LORA,
                lora_with(at_start=lambda layer: layer.linear.requires_grad_(True))),
        Mistake("the bias of the given layer learns as well: freeze it too", LORA,
                lora_with(at_start=lambda layer: layer.linear.bias.requires_grad_(True))),
        Mistake("A and B don't learn: make each an nn.Parameter", LORA,
                lora_with(at_start=as_buffers)),
        Mistake("only B learns: A needs a gradient too", LORA,
                lora_with(at_start=lambda layer: layer.A.requires_grad_(False))),
        Mistake("no gradient reaches A and B, because the product was computed without gradients",
                LORA, lora_with(forward=lambda layer, x: layer.linear(x) + layer.scale * (
                    x @ layer.A.T @ layer.B.T).detach())),
        Mistake("rows are taken for columns: x is multiplied by B A, not by its transpose", LORA,
                lora_with(forward=lambda layer, x: (
                    layer.linear(x) + layer.scale * (x @ layer.B @ layer.A)))),
        Mistake("rows are taken for columns in the merge: B A itself is added to the weight, not "
                "its transpose", LORA, lora_with(merged=merged_with(
                    lambda layer, linear: linear.weight + layer.scale * (layer.B @ layer.A).T))),
        Mistake("rows are taken for columns twice, in the output and in the merge: x @ A.T @ B.T "
                "goes with B @ A", LORA, lora_with(
                    forward=lambda layer, x: (
                        layer.linear(x) + layer.scale * (x @ layer.B @ layer.A)),
                    merged=merged_with(lambda layer, linear: (
                        linear.weight + layer.scale * (layer.B @ layer.A).T)))),
        Mistake("the output is the change alone: add it to the output of the given layer", LORA,
                lora_with(forward=lambda layer, x: layer.scale * (x @ layer.A.T @ layer.B.T))),
        Mistake("A and B got the output of the given layer: they get its input", LORA,
                lora_with(forward=lambda layer, x: layer.linear(x) + layer.scale * (
                    layer.linear(x) @ layer.A.T @ layer.B.T))),
        Mistake("the given layer's output is scaled as well: alpha / r belongs to B A alone", LORA,
                lora_with(forward=lambda layer, x: layer.scale * (
                    layer.linear(x) + x @ layer.A.T @ layer.B.T))),
        Mistake("the merge forgets alpha / r", LORA, lora_with(merged=merged_with(
            lambda layer, linear: linear.weight + layer.B @ layer.A))),
        Mistake("the merged layer is the given layer: B A was not added", LORA,
                lora_with(merged=lambda layer: copy.deepcopy(layer.linear))),
        Mistake("the merged weight is the change alone: add it to the given weight", LORA,
                lora_with(merged=merged_with(
                    lambda layer, linear: layer.scale * (layer.B @ layer.A)))),
        Mistake("the merge subtracts the change: that takes a merge back", LORA,
                lora_with(merged=merged_with(
                    lambda layer, linear: linear.weight - layer.scale * (layer.B @ layer.A)))),
        Mistake("the merge loses the bias", LORA, lora_with(merged=merged_without_bias)),
        Mistake("the change is merged into the layer itself, which still adds B A: it counts twice "
                "now, and again with each merge, so work on a copy", LORA,
                lora_with(merged=merged_in_place)),
    ),
    hints=(
        "Which of the three matrices learns? And what is the product of B and A at the start?",
        "x @ A.T makes r numbers of D, and @ B.T makes D numbers of these r. For the merge, copy "
        "the given layer and add to the copy's weight.",
        "self.linear(x) + self.alpha / self.r * (x @ self.A.T @ self.B.T)",
    ),
)  # fmt: skip


# 6: an interval over seeds


def reference_interval(scores: np.ndarray) -> tuple[float, float]:
    from scipy import stats  # here, because every check of any chapter imports this module

    R = len(scores)
    standard_error = scores.std(ddof=1) / np.sqrt(R)
    return scores.mean(), stats.t.ppf(0.975, R - 1) * standard_error


def t_of(R: int, share: float = 0.975, off: int = 1) -> float:
    """How many standard errors the half width is, for R runs."""
    from scipy import stats

    return float(stats.t.ppf(share, R - off))


def interval_with(
    half: Callable[[np.ndarray], float], centre: Callable[[np.ndarray], float] = np.mean
) -> Callable[[np.ndarray], tuple[float, float]]:
    """Another half width, or something else than the mean."""
    return lambda scores: (float(centre(scores)), float(half(scores)))


def half_width(scores: np.ndarray) -> float:
    return float(reference_interval(scores)[1])


def standard_error(scores: np.ndarray, ddof: int = 1) -> float:
    return float(scores.std(ddof=ddof) / np.sqrt(len(scores)))


def interval_cases(seed: int) -> list[Case]:
    rng = np.random.default_rng(seed)
    return [(0.8 + 0.05 * rng.normal(size=R),) for R in (3, 5, 8)]


seed_interval = Exercise(
    name="seed_interval",
    chapter=8,
    reference=reference_interval,
    cases=interval_cases,
    returns={"the mean": "", "the half width": ""},
    run=plain_numbers,
    mistakes=(
        Mistake("1.96 is for hundreds of runs: with few, the t distribution gives more, at three "
                "runs 4.30", WORTH, interval_with(lambda x: 1.96 * standard_error(x))),
        Mistake("1.96 is for hundreds of runs, and numpy's std divides by R: ddof=1", WORTH,
                interval_with(lambda x: 1.96 * standard_error(x, ddof=0))),
        Mistake("numpy's std divides by R: from a sample it is R - 1, which is ddof=1", WORTH,
                interval_with(lambda x: t_of(len(x)) * standard_error(x, ddof=0))),
        Mistake("this says how runs scatter, not how well their mean is known: divide by the root "
                "of R", WORTH, interval_with(lambda x: t_of(len(x)) * x.std(ddof=1))),
        Mistake("the spread was divided by R, not by its root", WORTH,
                interval_with(lambda x: t_of(len(x)) * x.std(ddof=1) / len(x))),
        Mistake("this is the root of R - 1: that minus 1 is in the spread already", WORTH,
                interval_with(lambda x: t_of(len(x)) * x.std(ddof=1) / np.sqrt(len(x) - 1))),
        Mistake("this is the standard deviation: a 95 % interval of the mean is asked for", WORTH,
                interval_with(lambda x: x.std(ddof=1))),
        Mistake("this is how the runs scatter, by numpy's std: a 95 % interval of their mean is "
                "asked for", WORTH, interval_with(np.std)),
        Mistake("this is the standard error: the factor from the t distribution is missing", WORTH,
                interval_with(standard_error)),
        Mistake("ppf(0.95) leaves 5 % on one side, so this is a 90 % interval: 0.975", WORTH,
                interval_with(lambda x: t_of(len(x), 0.95) * standard_error(x))),
        Mistake("the sign is wrong: 0.025 is the lower end", WORTH,
                interval_with(lambda x: -half_width(x))),
        Mistake("R runs leave R - 1 degrees of freedom", WORTH,
                interval_with(lambda x: t_of(len(x), off=0) * standard_error(x))),
        Mistake("R - 2 degrees of freedom are for two means or a line: here one mean was taken",
                WORTH, interval_with(lambda x: t_of(len(x), off=2) * standard_error(x))),
        Mistake("the variance was taken: its root is missing", WORTH,
                interval_with(lambda x: t_of(len(x)) * x.var(ddof=1) / np.sqrt(len(x)))),
        Mistake("this is the whole width: plus or minus is half of it", WORTH,
                interval_with(lambda x: 2 * half_width(x))),
        Mistake("these are the two ends: the mean and the half width are asked for", WORTH,
                interval_with(
                    lambda x: x.mean() + half_width(x), lambda x: x.mean() - half_width(x))),
        Mistake("half of what lies between the worst run and the best only grows with more runs",
                WORTH, interval_with(lambda x: np.ptp(x) / 2)),
        Mistake("the best run is no estimate: with more seeds it only gets better", WORTH,
                interval_with(half_width, np.max)),
        Mistake("this is the median: the interval is one of the mean", WORTH,
                interval_with(half_width, np.median)),
    ),
    hints=(
        "Which of the two would shrink with a hundred runs: how they scatter, or how well their "
        "mean is known?",
        "The sample's standard deviation (ddof=1), divided by the root of R, times the number of "
        "the t distribution with R - 1 degrees of freedom that leaves 2.5 % above it.",
        "stats.t.ppf(0.975, R - 1) * scores.std(ddof=1) / R**0.5",
    ),
)  # fmt: skip


# 7: the best span

Span = tuple[int, int]


def reference_span(
    start_logits: Tensor, end_logits: Tensor, context: Tensor, max_length: int
) -> Span:
    scores = start_logits[:, None] + end_logits
    places = torch.arange(len(context))
    lengths = places - places[:, None] + 1
    allowed = context[:, None] & context & (lengths > 0) & (lengths <= max_length)
    spans = scores.masked_fill(~allowed, -torch.inf)
    if scores[0, 0] >= spans.max():
        return 0, 0
    start, end = divmod(spans.argmax().item(), len(context))
    return start, end


def sums(start_logits: Tensor, end_logits: Tensor) -> Tensor:
    """(T,), (T,) -> (T, T)."""
    return start_logits[:, None] + end_logits


def span_with(
    scores: Callable[[Tensor, Tensor], Tensor] = sums,
    shortest: int | None = 1,
    longer: int | None = 0,
    null: Callable[[Tensor, Tensor, Tensor], Tensor] | None = lambda s, e, table: table[0, 0],
    where: Callable[[Tensor], Tensor] = lambda context: context,
) -> Callable[..., Span]:
    """Other scores; other lengths (None: any); another score of no answer (None: there is always
    one); another part of the text."""

    def answer(start_logits, end_logits, context, max_length):
        T = len(context)
        table, inside = scores(start_logits, end_logits), where(context)
        lengths = torch.arange(T) - torch.arange(T)[:, None] + 1
        allowed = inside[:, None] & inside
        if shortest is not None:
            allowed &= lengths >= shortest
        if longer is not None:
            allowed &= lengths <= max_length + longer
        spans = table.masked_fill(~allowed, -torch.inf)
        if null is not None and null(start_logits, end_logits, table) >= spans.max():
            return 0, 0
        return divmod(int(spans.argmax()), T)

    return answer


def apart(start_logits, end_logits, context, max_length) -> Span:
    return int(start_logits.argmax()), int(end_logits.argmax())


def apart_in_context(start_logits, end_logits, context, max_length) -> Span:
    starts, ends = (x.masked_fill(~context, -torch.inf) for x in (start_logits, end_logits))
    if start_logits[0] + end_logits[0] >= starts.max() + ends.max():
        return 0, 0
    return int(starts.argmax()), int(ends.argmax())


def one_after_the_other(first: str) -> Callable[..., Span]:
    """The best start, and of the ends that go with it the best; or the ends first."""

    def answer(start_logits, end_logits, context, max_length):
        places = torch.arange(len(context))
        if first == "start":
            start = int(start_logits.masked_fill(~context, -torch.inf).argmax())
            fits = context & (places >= start) & (places < start + max_length)
            end = int(end_logits.masked_fill(~fits, -torch.inf).argmax())
        else:
            end = int(end_logits.masked_fill(~context, -torch.inf).argmax())
            fits = context & (places <= end) & (places > end - max_length)
            start = int(start_logits.masked_fill(~fits, -torch.inf).argmax())
        found = start_logits[start] + end_logits[end]
        return (0, 0) if start_logits[0] + end_logits[0] >= found else (start, end)

    return answer


def all_logits(start_logits: Tensor, end_logits: Tensor) -> Tensor:
    """The mean over a span's tokens of both logits; only where there are tokens."""
    T = len(start_logits)
    both = start_logits + end_logits
    table = torch.full((T, T), -torch.inf)
    for start in range(T):
        for end in range(start, T):
            table[start, end] = both[start : end + 1].mean()
    return table


def span_told(change: Callable[[int, int, Tensor], Span]) -> Callable[..., Span]:
    """The right span, told in another way."""

    def answer(start_logits, end_logits, context, max_length):
        start, end = reference_span(start_logits, end_logits, context, max_length)
        return (start, end) if end == 0 else change(start, end, context)

    return answer


def span_cases(seed: int) -> list[Case]:
    """[CLS] question [SEP] context [SEP]: in one of five, [CLS] has high scores."""
    cases = []
    for number in range(40):
        T, question = 9 + number % 6, 2 + number % 2
        start_logits, end_logits = draw((T,), (T,), seed=100 * seed + number)
        places = torch.arange(T)
        context = (places > question + 1) & (places < T - 1)
        if number % 5 == 4:
            start_logits[0], end_logits[0] = start_logits[0] + 1, end_logits[0].abs() + 0.5
        cases.append((2 * start_logits, 2 * end_logits, context, 1 + number % 3))
    return cases


best_span = Exercise(
    name="best_span",
    chapter=8,
    reference=reference_span,
    cases=span_cases,
    returns={"start": "", "end": ""},
    run=plain_numbers,
    mistakes=(
        Mistake("start and end were chosen separately, from all tokens: the end may come before "
                "the start, or in the question", SPANS, apart),
        Mistake("start and end were chosen separately: the end may come before the start, or far "
                "behind it", SPANS, apart_in_context),
        Mistake("the best start was fixed first: a start that is a little worse may have a far "
                "better end", SPANS, one_after_the_other("start")),
        Mistake("the best end was fixed first: an end that is a little worse may have a far better "
                "start", SPANS, one_after_the_other("end")),
        Mistake("the end may come before the start: of all pairs only those in order are spans",
                SPANS, span_with(shortest=None)),
        Mistake("the end may be the token before the start: a span has one token at least", SPANS,
                span_with(shortest=0)),
        Mistake("an answer of one token is not allowed here: start and end may be the same", SPANS,
                span_with(shortest=2)),
        Mistake("max_length is not used", SPANS, span_with(longer=None)),
        Mistake("spans are one token too long: from start to end there are end - start + 1", SPANS,
                span_with(longer=1)),
        Mistake("spans of max_length tokens are left out: they are allowed", SPANS,
                span_with(longer=-1)),
        Mistake("answers in the question are allowed: `context` says where one may be", SPANS,
                span_with(where=lambda context: torch.arange(len(context)) > 0)),
        Mistake("the [SEP] at the end is part of an answer: `context` says where one may be",
                SPANS, span_with(where=lambda context: context | (
                    torch.arange(len(context)) == len(context) - 1))),
        Mistake("there is always an answer here: [CLS] may have the best score, and then there is "
                "none", SPANS, span_with(null=None)),
        Mistake("no answer was chosen by its start alone: its score is a sum of two logits, as any "
                "span's", SPANS, span_with(null=lambda s, e, table: s[0])),
        Mistake("an answer was refused for a score below 0: it must beat the score of [CLS]", SPANS,
                span_with(null=lambda s, e, table: torch.zeros(()))),
        Mistake("[CLS] was chosen as soon as it has the best start: its score as a span decides",
                SPANS, span_with(null=lambda s, e, table: (
                    table[0, 0] if s.argmax() > 0 else torch.tensor(torch.inf)))),
        Mistake("logits were multiplied: two that are far below 0 make a large product", SPANS,
                span_with(scores=lambda s, e: s[:, None] * e)),
        Mistake("shares were added: of two things that must both hold they are multiplied, which "
                "is the sum of logits", SPANS,
                span_with(scores=lambda s, e: sums(s.softmax(-1), e.softmax(-1)))),
        Mistake("all logits within a span were averaged: a start counts where it starts, an end "
                "where it ends", SPANS, span_with(scores=all_logits)),
        Mistake("only the start counts in this score", SPANS,
                span_with(scores=lambda s, e: s[:, None] + 0 * e)),
        Mistake("the end was set one further, as in a slice: it is the answer's last token", SPANS,
                span_told(lambda start, end, context: (start, end + 1))),
        Mistake("places are counted from where the context begins: count from [CLS]", SPANS,
                span_told(lambda start, end, context: (
                    start - int(context.int().argmax()), end - int(context.int().argmax())))),
        Mistake("start and end are swapped", SPANS,
                span_told(lambda start, end, context: (end, start))),
        Mistake("this is the place and the length: the last token's place is asked for", SPANS,
                span_told(lambda start, end, context: (start, end - start + 1))),
    ),
    hints=(
        "How many pairs (start, end) are there, and which of them are spans that may be said?",
        "Make the table of all sums, start down and end across, put -inf where a pair is not "
        "allowed, take the largest; then hold it against the score of [CLS].",
        "(start_logits[:, None] + end_logits).masked_fill(~allowed, -torch.inf), then "
        "divmod(argmax, T)",
    ),
)  # fmt: skip


EXERCISES = (
    majority_scores,
    align_labels,
    split_by_document,
    head_loss,
    train_head,
    lora,
    seed_interval,
    best_span,
)
