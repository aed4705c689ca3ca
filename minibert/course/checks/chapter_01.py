"""The exercises and blanks of chapter 1, tokens and segments."""

from __future__ import annotations

import random
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise

import torch
from torch import Tensor

from minibert.course.checks.engine import Case, Exercise, Mistake, prediction

WORDS = "From text to words"
PIECES = "From words to pieces"
VOCABULARY = "Where a vocabulary comes from"
SEGMENTS = "Special tokens and segments"
BATCH = "A batch: padding and its mask"
MISTAKES = "Mistakes people make here"

Row = tuple[list[int], list[int]]
"""ids and segments of one sequence."""


# 1: two words, cut by hand

two_words = Exercise(
    name="two_words",
    chapter=1,
    reference=("unt", "##ax", "##ed", "[UNK]"),
    cases=lambda seed: [()],
    returns={"the list of tokens": ""},
    run=prediction,
    mistakes=(
        Mistake("untaxed is split by its meaning, but unt is longer than un, and the longest piece "
                "wins",
                PIECES, ("un", "##tax", "##ed", "[UNK]")),
        Mistake("##ed is longer than ##e, and the longest piece wins", PIECES,
                ("unt", "##ax", "##e", "##d", "[UNK]")),
        Mistake("a piece that continues a word starts with ##",
                PIECES, ("unt", "ax", "ed", "[UNK]")),
        Mistake("taxing went back from taxi to tax, but the longest match never gives a piece back",
                PIECES, ("unt", "##ax", "##ed", "tax", "##ing")),
        Mistake("both words are split by their meaning, but the longest match looks only at length",
                PIECES, ("un", "##tax", "##ed", "tax", "##ing")),
        Mistake("these are the shortest pieces that fit: take the longest", PIECES,
                ("un", "##tax", "##e", "##d", "tax", "##ing")),
        Mistake("taxing can't be finished, so the whole word is [UNK], and taxi ##n is dropped",
                PIECES, ("unt", "##ax", "##ed", "taxi", "##n", "[UNK]")),
        Mistake("taxing can't be finished, so the whole word is [UNK], and taxi is dropped", PIECES,
                ("unt", "##ax", "##ed", "taxi", "[UNK]")),
        Mistake("the vocabulary has no ##g, so taxing can't be finished", PIECES,
                ("unt", "##ax", "##ed", "taxi", "##n", "##g")),
        Mistake("the vocabulary has no ##ng, so taxing can't be finished", PIECES,
                ("unt", "##ax", "##ed", "taxi", "##ng")),
        Mistake("untaxed can be split, so only taxing is unknown", PIECES, ("[UNK]", "[UNK]")),
        Mistake("this is a list for each word: write one list for the whole text", PIECES,
                (["unt", "##ax", "##ed"], ["[UNK]"])),
    ),
    hints=(
        "Look at the beginning of the word. Which pieces fit there? Only the longest counts.",
        "untaxed begins with un and with unt, and taxing with tax and with taxi. Take the longer "
        "piece and never go back.",
        "untaxed: after unt, the rest is axed, which begins with ##ax. taxing: after taxi and ##n, "
        "the rest is g.",
    ),
)  # fmt: skip


# 2: words and marks


def reference_split_words(text: str, uncased: bool) -> list[str]:
    if uncased:
        parts = unicodedata.normalize("NFD", text)
        text = "".join(c.lower() for c in parts if unicodedata.category(c) != "Mn")
    spaced = ""
    for char in text:
        ascii_mark = "!" <= char <= "~" and not char.isalnum()
        if ascii_mark or unicodedata.category(char).startswith("P"):
            spaced += f" {char} "
        else:
            spaced += char
    return spaced.split()


def splitter(
    is_mark: Callable[[str], bool] | None = None, normal: Callable[[str], str] | None = None
) -> Callable[[str, bool], list[str]]:
    """The reference, with another rule for marks or another way to lose accents and case."""

    def answer(text: str, uncased: bool) -> list[str]:
        if normal is not None:
            text, uncased = (normal(text) if uncased else text), False
        if is_mark is None:
            return reference_split_words(text, uncased)
        if uncased:
            text = no_accents(text).lower()
        return "".join(f" {c} " if is_mark(c) else c for c in text).split()

    return answer


def no_accents(text: str, form: str = "NFD") -> str:
    return "".join(
        char for char in unicodedata.normalize(form, text) if unicodedata.category(char) != "Mn"
    )


def is_bert_mark(char: str) -> bool:
    return len(reference_split_words(f"a{char}a", False)) > 1


def marks_in_runs(text: str, uncased: bool) -> list[str]:
    """Marks that touch each other as one word."""
    words = []
    for chunk in text.split():
        marks = None
        for word in reference_split_words(chunk, uncased):
            if is_bert_mark(word) and marks:
                words[-1] += word
            else:
                words.append(word)
            marks = is_bert_mark(word)
    return words


def text_cases(seed: int) -> list[Case]:
    texts = [
        "Don't spend $1,000... a+b < c_d^2!",
        " Café, nai\u0308ve  Ångström: “Straße” – 5€ for ½ of 20° ",
        "",
    ]
    numbers = random.Random(seed)
    # Letters, digits, marks, and signs that look like marks but aren't. There's no Σ, because its
    # lower case depends on whether you convert a whole word or each character.
    alphabet = [*"aBéÑ9½ß€°§¿…“–$+_^~!.@[`{ ", "e\u0301", " ", " "]
    texts += ["".join(numbers.choices(alphabet, k=24)) for _ in range(6)]
    return [(text, uncased) for text in texts for uncased in (True, False)]


split_words = Exercise(
    name="split_words",
    chapter=1,
    reference=reference_split_words,
    cases=text_cases,
    returns={"words": ""},
    mistakes=(
        Mistake("the text is split at spaces only, so muddy. and muddy are two different words",
                MISTAKES, splitter(lambda c: False)),
        Mistake("ASCII signs such as $ and + stick to words: Unicode calls them symbols, BERT "
                "marks",
                WORDS, splitter(lambda c: unicodedata.category(c).startswith("P"))),
        Mistake("marks beyond ASCII, such as “ and –, stick to words", WORDS,
                splitter(lambda c: c in string.punctuation)),
        Mistake("signs beyond ASCII, such as € and °, are split off, but they aren't marks to BERT",
                WORDS, splitter(lambda c: unicodedata.category(c)[0] in "PS")),
        Mistake("everything but letters and digits is split off, but signs beyond ASCII aren't "
                "marks",
                WORDS, splitter(lambda c: not c.isalnum())),
        Mistake("the underscore counts as a letter, as in \\w, but to BERT it's a mark", WORDS,
                splitter(lambda c: c != "_" and is_bert_mark(c))),
        Mistake("the apostrophe stays in its word, but to BERT it's a mark like any other", WORDS,
                splitter(lambda c: c != "'" and is_bert_mark(c))),
        Mistake("marks are thrown away, but each is a word", WORDS,
                lambda text, uncased: [word for word in reference_split_words(text, uncased)
                                       if not is_bert_mark(word[0])]),
        Mistake("marks in a row stay together, but each is a separate word", WORDS,
                marks_in_runs),
        Mistake("capitals are kept, but uncased means lower case", WORDS,
                splitter(normal=no_accents)),
        Mistake("accents are kept, but uncased models drop them too", WORDS,
                splitter(normal=str.lower)),
        Mistake("accents are kept, because NFC joins letters and accents: NFD takes them apart",
                WORDS, splitter(normal=lambda text: no_accents(text, "NFC").lower())),
        Mistake("NFKD takes apart more than accents: ½ becomes three characters", WORDS,
                splitter(normal=lambda text: no_accents(text, "NFKD").lower())),
        Mistake("everything beyond ASCII is lost: drop only the accents", WORDS,
                splitter(normal=lambda text: unicodedata.normalize("NFD", text)
                         .encode("ascii", "ignore").decode().lower())),
        Mistake("casefold changes more than case: ß becomes ss", WORDS,
                splitter(normal=lambda text: no_accents(text).casefold())),
        Mistake("the cased text was changed too: if `uncased` is false, case and accents stay",
                WORDS, lambda text, uncased: reference_split_words(text, True)),
        Mistake("the cased text lost its accents: drop them only if `uncased` is true", WORDS,
                lambda text, uncased: reference_split_words(no_accents(text), uncased)),
        Mistake("`uncased` is used the wrong way round", WORDS,
                lambda text, uncased: reference_split_words(text, not uncased)),
    ),
    hints=(
        "These are three of the chapter's four rules, in order. Which of them depend on `uncased`?",
        "For accents, use NFD and drop the category Mn. For marks, put a space on both sides of "
        "each, and split at spaces in the end.",
        'A mark is ("!" <= c <= "~" and not c.isalnum()) or unicodedata.category(c)[0] == "P".',
    ),
)  # fmt: skip


# 3: the longest match


def reference_cut(word: str, vocab: set[str], max_chars: int) -> list[str]:
    if len(word) > max_chars:
        return ["[UNK]"]
    found, start = [], 0
    while start < len(word):
        sign = "##" if start else ""
        fits = [e for e in range(len(word), start, -1) if sign + word[start:e] in vocab]
        if not fits:
            return ["[UNK]"]
        found.append(sign + word[start : fits[0]])
        start = fits[0]
    return found


def cutter(
    choose: Callable = max, first: str = "", later: str = "##", failed: Callable | None = None
) -> Callable[[str, set[str], int], list[str]]:
    """The reference with another choice among ends that fit, other signs, another failure."""

    def answer(word: str, vocab: set[str], max_chars: int) -> list[str]:
        if len(word) > max_chars:
            return ["[UNK]"]
        found, start = [], 0
        while start < len(word):
            sign = later if start else first
            fits = [e for e in range(start + 1, len(word) + 1) if sign + word[start:e] in vocab]
            if not fits:
                return failed(found) if failed else ["[UNK]"]
            end = choose(fits)
            found.append(sign + word[start:end])
            start = end
        return found

    return answer


def all_cuts(word: str, vocab: set[str], start: int = 0) -> Iterable[list[str]]:
    """Every way to cut a word, longer pieces first."""
    if start == len(word):
        yield []
    sign = "##" if start else ""
    for end in range(len(word), start, -1):
        if (piece := sign + word[start:end]) in vocab:
            yield from ([piece, *rest] for rest in all_cuts(word, vocab, end))


def cut_with_a_way_back(word, vocab, max_chars):
    return next(iter(all_cuts(word, vocab)), ["[UNK]"]) if len(word) <= max_chars else ["[UNK]"]


def cut_into_fewest(word, vocab, max_chars):
    best: list[list[str] | None] = [[]]  # for each beginning of the word
    for end in range(1, len(word) + 1):
        ways = [
            [*best[start], piece]
            for start in range(end)
            if best[start] is not None
            and (piece := ("##" if start else "") + word[start:end]) in vocab
        ]
        best.append(min(ways, key=len, default=None))
    return ["[UNK]"] if best[-1] is None or len(word) > max_chars else best[-1]


def cut_from_the_end(word, vocab, max_chars):
    found, end = [], len(word)
    while end and end <= max_chars:
        pieces = (("##" if start else "") + word[start:end] for start in range(end))
        piece = next((piece for piece in pieces if piece in vocab), None)
        if piece is None:
            return ["[UNK]"]
        found.insert(0, piece)
        end -= len(piece.removeprefix("##"))
    return found if not end else ["[UNK]"]


def cut_and_go_on(word, vocab, max_chars):
    """Each character that does not fit becomes a separate [UNK]."""
    found, start = [], 0
    while start < len(word) <= max_chars:
        sign = "##" if start else ""
        fits = [e for e in range(start + 1, len(word) + 1) if sign + word[start:e] in vocab]
        found.append(sign + word[start : fits[-1]] if fits else "[UNK]")
        start = fits[-1] if fits else start + 1
    return found if len(word) <= max_chars else ["[UNK]"]


def cut_never_whole(word, vocab, max_chars):
    return reference_cut(word, vocab - {word}, max_chars)


def word_cases(seed: int) -> list[Case]:
    law = {"un", "out", "law", "##law", "##s", "##ful", "##fully", "##ly", "the", "them", "##me"}
    cases = [(word, law, 10) for word in ("unlawfully", "outlaws", "theme", "law", "")]
    cases += [("a" * n, {"a", "##a", "##aa"}, 100) for n in (99, 100, 101)]
    numbers = random.Random(seed)
    pieces = [a + b + c for a in "abc" for b in ("", *"abc") for c in ("", *"abc")]
    for _ in range(4):
        # Most of the shorter pieces and some of the longer: some words have a way, some none.
        vocab = {sign + piece for piece in pieces for sign in ("", "##")
                 if numbers.random() < (0.9, 0.6, 0.3)[len(piece) - 1]}  # fmt: skip
        for length in (1, 2, 3, 4, 5, 6, 6, 7, 7, 8):
            cases.append(("".join(numbers.choices("abc", k=length)), vocab, 7))
    return cases


cut = Exercise(
    name="cut",
    chapter=1,
    reference=reference_cut,
    cases=word_cases,
    returns={"pieces": ""},
    mistakes=(
        Mistake("the shortest piece that fits is taken: take the longest", PIECES, cutter(min)),
        Mistake("later pieces are looked up without ##, but law and ##law are two entries", PIECES,
                cutter(later="")),
        Mistake("later pieces come back without ##, but law and ##law are two entries", PIECES,
                lambda word, vocab, n: [p.removeprefix("##")
                                        for p in reference_cut(word, vocab, n)]),
        Mistake("the first piece has ##, which is only for pieces that continue a word", PIECES,
                cutter(first="##")),
        Mistake("the pieces found so far are kept before [UNK], but the whole word is unknown",
                PIECES, cutter(failed=lambda found: [*found, "[UNK]"])),
        Mistake("the rest that doesn't fit is dropped without a trace: the whole word is [UNK]",
                PIECES, cutter(failed=lambda found: found)),
        Mistake("a word that can't be split comes back unchanged: it should be [UNK]", PIECES,
                lambda word, vocab, n: [word] if reference_cut(word, vocab, n) == ["[UNK]"]
                else reference_cut(word, vocab, n)),
        Mistake("it continues after [UNK], but one part without a piece makes the whole word "
                "unknown",
                PIECES, cut_and_go_on),
        Mistake("it goes back and tries shorter pieces, but the longest match never gives a "
                "piece back",
                PIECES, cut_with_a_way_back),
        Mistake("these are the fewest pieces, but the longest match doesn't look ahead", PIECES,
                cut_into_fewest),
        Mistake("the word is split from its end: start at its beginning", PIECES,
                cut_from_the_end),
        Mistake("the whole word is never tried: the first end to try is the end of the word",
                PIECES, cut_never_whole),
        Mistake("the word is never split: a word that isn't an entry is spelled with pieces",
                PIECES, lambda word, vocab, n: [word] * bool(word) if word in vocab or not word
                else ["[UNK]"]),
        Mistake("long words are split too, but a word of more than max_chars characters is [UNK]",
                PIECES, lambda word, vocab, n: reference_cut(word, vocab, len(word))),
        Mistake("a word of exactly max_chars characters became [UNK]: only longer words do",
                PIECES, lambda word, vocab, n: reference_cut(word, vocab, n - 1)),
        Mistake("an empty word has no pieces, so the list is empty", PIECES,
                lambda word, vocab, n: reference_cut(word, vocab, n) or ["[UNK]"]),
    ),
    hints=(
        "You need two loops. One walks through the word, the other tries ends, the farthest first.",
        "Remember where the next piece begins. If that isn't 0, the piece needs ##. If no end "
        "fits, the whole word is [UNK].",
        "for end in range(len(word), start, -1): if sign + word[start:end] in vocab: break",
    ),
)  # fmt: skip


# 4: ids and segments


def reference_join_pair(
    first: list[int], second: list[int] | None, cls: int, sep: int
) -> tuple[list[int], list[int]]:
    ids = [cls, *first, sep]
    segments = [0] * len(ids)
    if second is not None:
        ids = [*ids, *second, sep]
        segments = segments + [1] * (len(second) + 1)
    return ids, segments


def with_segments(change: Callable) -> Callable:
    """The reference, its segments made by `change(segments, number_of_zeros, number_of_ones)`."""

    def answer(first, second, cls, sep):
        ids, segments = reference_join_pair(first, second, cls, sep)
        return ids, change(segments, segments.count(0), segments.count(1))

    return answer


def without(place: Callable) -> Callable:
    """The reference, without the special token at `place(first, second)`, if there is one."""

    def answer(first, second, cls, sep):
        ids, segments = reference_join_pair(first, second, cls, sep)
        i = place(first, second)
        if i is not None:
            del ids[i], segments[i]
        return ids, segments

    return answer


def second_cls(first, second, cls, sep):
    if second is None:
        return reference_join_pair(first, second, cls, sep)
    return reference_join_pair(first, [cls, *second], cls, sep)


def pair_cases(seed: int) -> list[Case]:
    numbers = random.Random(seed)

    def ids(length: int) -> list[int]:
        return [numbers.randint(200, 900) for _ in range(length)]

    lengths = ((3, 2), (1, 4), (4, None), (0, 2), (2, 0), (0, None), (5, 3))
    return [
        (ids(a), None if b is None else ids(b), *numbers.sample(range(2, 110), 2))
        for a, b in lengths
    ]


join_pair = Exercise(
    name="join_pair",
    chapter=1,
    reference=reference_join_pair,
    cases=pair_cases,
    returns={"ids": "", "segments": ""},
    mistakes=(
        Mistake("segment 1 begins with the first [SEP], which belongs to A", SEGMENTS,
                with_segments(lambda s, a, b: [0] * (a - 1) + [1] * (b + 1) if b else s)),
        Mistake("segment 1 begins one token late: the first token of B is in segment 0", SEGMENTS,
                with_segments(lambda s, a, b: [0] * (a + 1) + [1] * (b - 1) if b else s)),
        Mistake("the last [SEP] is in segment 0, but it belongs to B", SEGMENTS,
                with_segments(lambda s, a, b: [*s[:-1], 0])),
        Mistake("all segments are 0, but B and its [SEP] are segment 1", SEGMENTS,
                with_segments(lambda s, a, b: [0] * len(s))),
        Mistake("segments start at 1: A is 0, and B is 1", SEGMENTS,
                with_segments(lambda s, a, b: [number + 1 for number in s])),
        Mistake("segments are swapped: A is 0, and B is 1", SEGMENTS,
                with_segments(lambda s, a, b: [1 - number for number in s])),
        Mistake("special tokens have no segment here, but they need one too", SEGMENTS,
                with_segments(lambda s, a, b: [0] * (a - 2) + [1] * max(0, b - 1))),
        Mistake("[CLS] is missing", SEGMENTS, without(lambda a, b: 0)),
        Mistake("the [SEP] after B is missing", SEGMENTS,
                without(lambda a, b: None if b is None else -1)),
        Mistake("there is no [SEP] between A and B", SEGMENTS,
                without(lambda a, b: None if b is None else len(a) + 1)),
        Mistake("the [SEP] is missing if there is only one text", SEGMENTS,
                without(lambda a, b: -1 if b is None else None)),
        Mistake("B begins with a second [CLS], but a sequence has only one", SEGMENTS,
                second_cls),
        Mistake("an empty B was treated as no B: only None means that there is no B", SEGMENTS,
                lambda a, b, cls, sep: reference_join_pair(a, b or None, cls, sep)),
        Mistake("there is a second [SEP] although there is no B", SEGMENTS,
                lambda a, b, cls, sep: reference_join_pair(a, b or [], cls, sep)),
        Mistake("[CLS] and [SEP] are swapped", SEGMENTS,
                lambda a, b, cls, sep: reference_join_pair(a, b, sep, cls)),
        Mistake("B comes before A", SEGMENTS,
                lambda a, b, cls, sep: reference_join_pair(a, b, cls, sep) if b is None
                else reference_join_pair(b, a, cls, sep)),
    ),
    hints=(
        "First write both lists for A alone. What does B add to each of them?",
        "A alone has len(first) + 2 zeros. B adds its tokens and one [SEP], all in segment 1.",
        "ids = [cls, *first, sep, *second, sep]; [0] * (len(first) + 2) + [1] * (len(second) + 1)",
    ),
)  # fmt: skip


# 5: repair: cut the longer side


def reference_truncate_longest(
    first: list[int], second: list[int], max_length: int
) -> tuple[list[int], list[int]]:
    a, b = len(first), len(second)
    for _ in range(a + b + 3 - max_length):
        if a > b:
            a = a - 1
        else:
            b = b - 1
    return first[:a], second[:b]


def keep(lengths: Callable[[int, int, int], tuple[int, int]]) -> Callable:
    """An answer that keeps `lengths(a, b, room)` tokens, where the pair is too long."""

    def answer(first, second, max_length):
        a, b, room = len(first), len(second), max_length - 3
        a, b = (a, b) if a + b <= room else lengths(a, b, room)
        return first[:a], second[:b]

    return answer


def at_a_tie_a(a: int, b: int, room: int) -> tuple[int, int]:
    while a + b > room:
        a, b = (a - 1, b) if a >= b else (a, b - 1)
    return a, b


def the_shorter(a: int, b: int, room: int) -> tuple[int, int]:
    while a + b > room:
        a, b = (a - 1, b) if b == 0 or 0 < a < b else (a, b - 1)
    return a, b


def in_turns(a: int, b: int, room: int) -> tuple[int, int]:
    turn = 0
    while a + b > room:
        a, b = (a - 1, b) if b == 0 or (turn and a) else (a, b - 1)
        turn = 1 - turn
    return a, b


def from_the_front(first, second, max_length):
    a, b = map(len, reference_truncate_longest(first, second, max_length))
    return first[len(first) - a :], second[len(second) - b :]


def long_pair_cases(seed: int) -> list[Case]:
    numbers = random.Random(seed)
    sizes = [(3, 12, 12), (12, 3, 12), (7, 7, 12), (6, 8, 11), (4, 5, 12), (4, 5, 11), (0, 9, 8),
             (9, 0, 8), (2, 2, 3), (5, 6, 30)]  # fmt: skip
    sizes += [
        (numbers.randint(0, 9), numbers.randint(0, 9), numbers.randint(3, 20)) for _ in range(8)
    ]
    return [(numbers.choices(range(5, 900), k=a), numbers.choices(range(5, 900), k=b), n)
            for a, b, n in sizes]  # fmt: skip


truncate_longest = Exercise(
    name="truncate_longest",
    chapter=1,
    reference=reference_truncate_longest,
    cases=long_pair_cases,
    returns={"first": "", "second": ""},
    mistakes=(
        Mistake("the joined pair is cut at its end, so B can lose everything while A loses nothing",
                MISTAKES, keep(lambda a, b, room: (min(a, room), max(0, room - a)))),
        Mistake("A loses everything before B loses anything: the longer side loses first", SEGMENTS,
                keep(lambda a, b, room: (max(0, room - b), min(b, room)))),
        Mistake("each side gets half of the room, so what a short side doesn't need is wasted",
                SEGMENTS, keep(lambda a, b, room: (min(a, room // 2), min(b, room // 2)))),
        Mistake("both sides shrink in proportion, but the shorter side should be spared", SEGMENTS,
                keep(lambda a, b, room: (room * a // (a + b), room - room * a // (a + b)))),
        Mistake("the sides take turns, but the shorter side should be spared", SEGMENTS,
                keep(in_turns)),
        Mistake("the shorter side is cut: cut the longer", SEGMENTS, keep(the_shorter)),
        Mistake("A loses a token when both are equally long, but here B does",
                SEGMENTS, keep(at_a_tie_a)),
        Mistake("tokens are taken off the front: take them off the end", SEGMENTS, from_the_front),
        Mistake("there's no room left for [CLS] and two [SEP]", SEGMENTS,
                lambda a, b, n: reference_truncate_longest(a, b, n + 3)),
        Mistake("a pair has three special tokens, not two: [CLS] and two [SEP]", SEGMENTS,
                lambda a, b, n: reference_truncate_longest(a, b, n + 1)),
        Mistake("one token too many is lost: a pair that just fits is left alone", SEGMENTS,
                lambda a, b, n: reference_truncate_longest(a, b, n - 1) if n > 3
                else reference_truncate_longest(a, b, n)),
        Mistake("only one token is lost, however long the pair is: use while instead of if",
                SEGMENTS,
                lambda a, b, n: reference_truncate_longest(a, b, max(n, len(a) + len(b) + 2))),
        Mistake("nothing is cut", SEGMENTS, lambda a, b, n: (a[:], b[:])),
    ),
    hints=(
        "Take 3 and 12 tokens, with room for 9. How many of each does the code leave?",
        "As long as the pair doesn't fit, the side that is longer at that moment loses one token. "
        "You can count down two lengths first and slice the lists at the end.",
        "while a + b > room: if a > b: a -= 1, else: b -= 1. Then first[:a], second[:b].",
    ),
)  # fmt: skip


# 6: a batch and its mask


def reference_pad_batch(rows: list[Row], pad_id: int) -> tuple[Tensor, Tensor, Tensor]:
    T = max(len(ids) for ids, _ in rows)
    input_ids, token_type_ids, attention_mask = [], [], []
    for ids, segments in rows:
        missing = T - len(ids)
        input_ids.append(ids + [pad_id] * missing)
        token_type_ids.append(segments + [0] * missing)
        attention_mask.append([1] * len(ids) + [0] * missing)
    return torch.tensor(input_ids), torch.tensor(token_type_ids), torch.tensor(attention_mask)


def padded(change: Callable) -> Callable:
    """The reference, its three tensors changed by `change(ids, segments, mask, pad_id)`."""

    def answer(rows, pad_id):
        return change(*reference_pad_batch(rows, pad_id), pad_id)

    return answer


def rolled(tensor: Tensor, mask: Tensor) -> Tensor:
    """(B, T) -> (B, T), with the padding of each row on the left."""
    shifts = (mask == 0).sum(1).tolist()
    return torch.stack([row.roll(n) for row, n in zip(tensor, shifts, strict=True)])


def last_segment(rows: list[Row], pad_id: int) -> tuple[Tensor, Tensor, Tensor]:
    ids, segments, mask = reference_pad_batch(rows, pad_id)
    last = torch.tensor([row[-1] for _, row in rows])[:, None]  # (B, 1)
    return ids, torch.where(mask == 1, segments, last), mask


def batch_cases(seed: int) -> list[Case]:
    numbers = random.Random(seed)
    cases = []
    # The second pad_id is not 0. Real tokens have the ids 0 and pad_id too.
    for pad_id, lengths in ((0, (6, 4)), (7, (3, 8, 5)), (1, (5, 1, 4, 2)), (9, (4,))):
        rows = []
        for length in lengths:
            ids = [numbers.choice([2, 11, 12, 13, 250]) for _ in range(length)]
            ids[numbers.randrange(length)] = 0
            ids[numbers.randrange(length)] = pad_id
            zeros = numbers.randint(1, length)
            rows.append((ids, [0] * zeros + [1] * (length - zeros)))
        cases.append((rows, pad_id))
    # A single text and a pair: their last segments differ.
    rows = [([2, 0, 7, 3], [0, 0, 0, 0]), ([2, 8, 3, 0, 7, 3], [0, 0, 0, 1, 1, 1]),
            ([2, 7, 3, 0, 3], [0, 0, 0, 1, 1])]  # fmt: skip
    return [*cases, (rows, 7)]


pad_batch = Exercise(
    name="pad_batch",
    chapter=1,
    reference=reference_pad_batch,
    cases=batch_cases,
    returns={"input_ids": "B T", "token_type_ids": "B T", "attention_mask": "B T"},
    mistakes=(
        Mistake("the mask is made from id != 0, but [PAD] may have another id, and 0 may be a "
                "real token",
                BATCH, padded(lambda ids, s, m, pad: (ids, s, (ids != 0).long()))),
        Mistake("the mask is made from id != pad_id, but a real token may have that id: use "
                "lengths",
                BATCH, padded(lambda ids, s, m, pad: (ids, s, (ids != pad).long()))),
        Mistake("the mask is inverted: 1 is for tokens and 0 for padding", BATCH,
                padded(lambda ids, s, m, pad: (ids, s, 1 - m))),
        Mistake("the mask is 1 everywhere, but it should be 0 for padding", BATCH,
                padded(lambda ids, s, m, pad: (ids, s, torch.ones_like(m)))),
        Mistake("the mask is 1 for B only: these are the segments, but the mask marks all tokens",
                BATCH, padded(lambda ids, s, m, pad: (ids, s, s.clone()))),
        Mistake("the mask is padded with pad_id: it should be 0 for padding, whatever its id",
                BATCH, padded(lambda ids, s, m, pad: (ids, s, torch.where(m == 1, m, pad)))),
        Mistake("the padding is on the left: BERT's padding is on the right", BATCH,
                padded(lambda ids, s, m, pad: (rolled(ids, m), rolled(s, m), rolled(m, m)))),
        Mistake("ids are padded on the left, but segments and mask on the right", BATCH,
                padded(lambda ids, s, m, pad: (rolled(ids, m), s, m))),
        Mistake("padding has segment 1: it should have segment 0", BATCH,
                padded(lambda ids, s, m, pad: (ids, torch.where(m == 1, s, 1), m))),
        Mistake("segments are padded with pad_id: padding has segment 0, whatever its id", BATCH,
                padded(lambda ids, s, m, pad: (ids, torch.where(m == 1, s, pad), m))),
        Mistake("padding has the last segment of its row: it should have segment 0", BATCH,
                last_segment),
        Mistake("ids are padded with 0, but the id of [PAD] is pad_id", BATCH,
                padded(lambda ids, s, m, pad: (torch.where(m == 1, ids, 0), s, m))),
        Mistake("segments and mask came back in the wrong order", BATCH,
                padded(lambda ids, s, m, pad: (ids, m, s))),
    ),
    hints=(
        "How many positions does each row lack? All three lists need that many more.",
        "Pad ids with pad_id and segments with 0. The mask needs only the lengths.",
        "torch.tensor([[1] * len(ids) + [0] * (T - len(ids)) for ids, _ in rows])",
    ),
)  # fmt: skip


# 7: merges


def reference_learn_merges(counts: dict[str, int], number: int) -> list[str]:
    spelled = {word: [word[0], *("##" + char for char in word[1:])] for word in counts}
    made: list[str] = []
    for _ in range(number):
        pairs: Counter[tuple[str, str]] = Counter()
        for word, pieces in spelled.items():
            for pair in pairwise(pieces):
                pairs[pair] += counts[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        made.append(best[0] + best[1].removeprefix("##"))
        spelled = {word: merged(pieces, best, made[-1]) for word, pieces in spelled.items()}
    return made


def merged(pieces: list[str], pair: tuple[str, str], new: str) -> list[str]:
    """The pieces of a word, with every occurrence of the pair made one piece."""
    out: list[str] = []
    for piece in pieces:
        if out and (out[-1], piece) == pair:
            out[-1] = new
        else:
            out.append(piece)
    return out


def merged_by_replace(pieces: list[str], pair: tuple[str, str], new: str) -> list[str]:
    return " ".join(pieces).replace(" ".join(pair), new).split()


def merged_once(pieces: list[str], pair: tuple[str, str], new: str) -> list[str]:
    """Only the first occurrence in a word is merged."""
    for i, found in enumerate(pairwise(pieces)):
        if found == pair:
            return [*pieces[:i], new, *pieces[i + 2 :]]
    return pieces


def merged_from_the_right(pieces: list[str], pair: tuple[str, str], new: str) -> list[str]:
    return merged(pieces[::-1], pair[::-1], new)[::-1]


def plain_name(a: str, b: str) -> str:
    return a + b.removeprefix("##")


def learner(
    worth: Callable = lambda both, a, b: both,
    tie: Callable = lambda pairs, made: min(pairs),
    name: Callable = plain_name,
    sign: str = "##",
    weigh: Callable = lambda count: count,
    neighbours: Callable = pairwise,
    merge: Callable = merged,
) -> Callable[[dict[str, int], int], list[str]]:
    """The reference in parts, each of which can be replaced by a wrong one."""

    def answer(counts: dict[str, int], number: int) -> list[str]:
        spelled = {word: [word[0], *(sign + char for char in word[1:])] for word in counts}
        made: list[str] = []
        for _ in range(number):
            pairs, single = Counter(), Counter()
            for word, pieces in spelled.items():
                for piece in pieces:
                    single[piece] += weigh(counts[word])
                for pair in neighbours(pieces):
                    pairs[pair] += weigh(counts[word])
            if not pairs:
                break
            values = {(a, b): worth(both, single[a], single[b]) for (a, b), both in pairs.items()}
            highest = max(values.values())
            best = tie([pair for pair, value in values.items() if value == highest], made)
            made.append(name(*best))
            spelled = {word: merge(pieces, best, made[-1]) for word, pieces in spelled.items()}
        return made

    return answer


def most_common_at_the_start(counts: dict[str, int], number: int) -> list[str]:
    """The pairs are counted once, and never again."""
    pairs: Counter[tuple[str, str]] = Counter()
    for word, count in counts.items():
        for pair in pairwise([word[0], *("##" + char for char in word[1:])]):
            pairs[pair] += count
    best = sorted(pairs, key=lambda pair: (-pairs[pair], pair))[:number]
    return [plain_name(*pair) for pair in best]


def with_the_letters(counts: dict[str, int], number: int) -> list[str]:
    letters = sorted({char for word in counts for char in word})
    return [*letters, *("##" + char for char in letters), *reference_learn_merges(counts, number)]


def oldest(pairs: list[tuple[str, str]], made: list[str]) -> tuple[str, str]:
    """The pair whose pieces came first into the vocabulary, which is the chapter's rule."""

    def place(piece: str) -> tuple[int, int, str]:
        return (1, made.index(piece), "") if piece in made else (0, piece.startswith("##"), piece)

    return min(pairs, key=lambda pair: (place(pair[0]), place(pair[1])))


def count_cases(seed: int) -> list[Case]:
    taxes = {"tax": 6, "taxes": 4, "dues": 3, "tariff": 1}
    cases = [(taxes, number) for number in (0, 1, 4, 9)]
    cases += [({"banana": 2, "bandana": 3, "a": 5, "aaaaaa": 1}, 8), ({"a": 3}, 2)]
    cases += [({"abcb": 2, "abc": 1, "bcb": 3, "bc": 2, "cbcb": 1}, number) for number in (2, 20)]
    numbers = random.Random(seed)
    for number in (2, 5, 9, 40):
        words = {"".join(numbers.choices("abc", k=numbers.randint(1, 6))): numbers.randint(1, 4)
                 for _ in range(8)}  # fmt: skip
        cases.append((words, number))
    return cases


learn_merges = Exercise(
    name="learn_merges",
    chapter=1,
    reference=reference_learn_merges,
    cases=count_cases,
    returns={"pieces": ""},
    mistakes=(
        Mistake("pairs are ranked by the score, which prefers the rarest letters: rank them by "
                "count",
                VOCABULARY, learner(worth=lambda both, a, b: both / (a * b))),
        Mistake("the rarest pair is merged: merge the most frequent", VOCABULARY,
                learner(worth=lambda both, a, b: -both)),
        Mistake("each word counts once, but a pair occurs as often as its words do in the text",
                VOCABULARY, learner(weigh=lambda count: 1)),
        Mistake("a pair counts only once per word, but banana has ##a ##n twice", VOCABULARY,
                learner(neighbours=lambda pieces: dict.fromkeys(pairwise(pieces)))),
        Mistake("of equally frequent pairs, the last in the alphabet is merged: take the first",
                VOCABULARY, learner(tie=lambda pairs, made: max(pairs))),
        Mistake("of equally frequent pairs, the first to be found is merged: the alphabet decides",
                VOCABULARY, learner(tie=lambda pairs, made: pairs[0])),
        Mistake("of equally frequent pairs, the oldest is merged: here the alphabet decides",
                VOCABULARY, learner(tie=oldest)),
        Mistake("the pairs are counted only once, but each merge makes new pairs", VOCABULARY,
                most_common_at_the_start),
        Mistake("the new piece has ## in its middle", VOCABULARY,
                learner(name=lambda a, b: a + b)),
        Mistake("the new piece has lost the ## at its front, which it needs inside a word",
                VOCABULARY, learner(name=lambda a, b: (a + b).replace("##", ""))),
        Mistake("the new piece always has ##, but a piece that begins a word has none", VOCABULARY,
                learner(name=lambda a, b: "##" + (a + b).replace("##", ""))),
        Mistake("words are spelled without ##, so t and ##t became the same piece", VOCABULARY,
                learner(sign="")),
        Mistake("a replace in the joined string also changes longer pieces that begin in the "
                "same way",
                VOCABULARY, learner(merge=merged_by_replace)),
        Mistake("only the first occurrence in a word is merged", VOCABULARY,
                learner(merge=merged_once)),
        Mistake("words are merged from right to left: in ##a ##a ##a, the first two become one "
                "piece",
                VOCABULARY, learner(merge=merged_from_the_right)),
        Mistake("the characters are in the list: return only the pieces that were merged",
                VOCABULARY, with_the_letters),
        Mistake("there is one merge too many", VOCABULARY,
                lambda counts, number: reference_learn_merges(counts, number + 1)),
        Mistake("there is one merge too few", VOCABULARY,
                lambda counts, number: reference_learn_merges(counts, max(0, number - 1))),
    ),
    hints=(
        "Repeat three steps: count pairs, choose one, and make it one piece in every word.",
        "Keep a dictionary from each word to its pieces. Each word adds its count to every pair of "
        "neighbours in it. To break ties, compare (-count, pair).",
        "best = min(pairs, key=lambda pair: (-pairs[pair], pair)); the new piece is "
        'best[0] + best[1].removeprefix("##").',
    ),
)  # fmt: skip

EXERCISES = (
    two_words,
    split_words,
    cut,
    join_pair,
    truncate_longest,
    pad_batch,
    learn_merges,
)


# Blanks in the chapter


def reference_longest_piece(word: str, start: int, vocab: set[str]) -> str:
    sign = "##" if start else ""
    for end in range(len(word), start, -1):
        if sign + word[start:end] in vocab:
            return sign + word[start:end]
    return ""


def piece_finder(choose: Callable = max, first: str = "", later: str = "##") -> Callable:
    """The reference with another choice among ends that fit, and other signs."""

    def answer(word: str, start: int, vocab: set[str]) -> str:
        sign = later if start else first
        ends = [e for e in range(start + 1, len(word) + 1) if sign + word[start:e] in vocab]
        return sign + word[start : choose(ends)] if ends else ""

    return answer


def piece_cases(seed: int) -> list[Case]:
    vocab = {"mu", "mud", "##d", "##dy", "##y", "dy", "fish", "##er", "##erm", "##en", "##men",
             "##fish", "the", "them", "##me", "m"}  # fmt: skip
    places = (("muddy", 0), ("muddy", 3), ("muddy", 4), ("muddy", 2), ("fishermen", 0),
              ("fishermen", 4), ("fishermen", 7), ("theme", 0), ("theme", 4), ("fish", 0),
              ("us", 0), ("dy", 0))  # fmt: skip
    return [(word, start, vocab) for word, start in places]


longest_piece = Exercise(
    name="longest_piece",
    chapter=1,
    reference=reference_longest_piece,
    cases=piece_cases,
    returns={"piece": ""},
    mistakes=(
        Mistake("this is the shortest piece that fits: try the whole rest first, then less", PIECES,
                piece_finder(min)),
        Mistake("a piece that continues a word was looked up without ##: ##dy and dy are two "
                "entries", PIECES, piece_finder(later="")),
        Mistake("the piece came back without its ##, which is part of the entry", PIECES,
                lambda word, start, vocab: reference_longest_piece(word, start, vocab)
                .removeprefix("##")),
        Mistake("a piece at position 0 begins the word, so it has no ##", PIECES,
                piece_finder(first="##")),
        Mistake("the whole rest of the word was never tried: the first end is len(word)", PIECES,
                lambda word, start, vocab: reference_longest_piece(
                    word, start, vocab - {word[start:], "##" + word[start:]})),
        Mistake("`start` isn't used: the piece begins there, not at the beginning of the word",
                PIECES, lambda word, start, vocab: reference_longest_piece(word, 0, vocab)),
        Mistake("where nothing fits, give back an empty string: `cut` makes it [UNK]", PIECES,
                lambda word, start, vocab: reference_longest_piece(word, start, vocab) or "[UNK]"),
        Mistake("the rest came back although it isn't in the vocabulary: nothing fits, so it's an "
                "empty string", PIECES, lambda word, start, vocab:
                reference_longest_piece(word, start, vocab) or word[start:]),
    ),
)  # fmt: skip


def reference_segment_ids(first: list[str], second: list[str]) -> list[int]:
    return [0] * (len(first) + 2) + [1] * (len(second) + 1)


def zeros_and_ones(zeros: int, ones: int) -> Callable[[list[str], list[str]], list[int]]:
    """An answer with so many zeros more than A has tokens, and so many ones more than B."""
    return lambda first, second: [0] * (len(first) + zeros) + [1] * (len(second) + ones)


segment_ids = Exercise(
    name="segment_ids",
    chapter=1,
    reference=reference_segment_ids,
    cases=lambda seed: [(["bank", "mu", "##d", "##dy", "."], ["we", "fish", "##ed", "."]),
                        (["yes"], ["we", "sat", "on", "it", "."]), (["we", "sat"], [])],
    returns={"segments": ""},
    mistakes=(
        Mistake("segment 1 begins with the first [SEP], which belongs to A", SEGMENTS,
                zeros_and_ones(1, 2)),
        Mistake("[CLS] and the two [SEP] need a segment too: 2 tokens in A, 1 in B", SEGMENTS,
                zeros_and_ones(0, 0)),
        Mistake("A has two special tokens, [CLS] and [SEP]", SEGMENTS, zeros_and_ones(1, 1)),
        Mistake("B has a [SEP] at its end", SEGMENTS, zeros_and_ones(2, 0)),
        Mistake("B has one special token, its [SEP]: the sequence has only one [CLS]", SEGMENTS,
                zeros_and_ones(2, 2)),
        Mistake("segment 1 begins one token late: the first token of B is in segment 0", SEGMENTS,
                zeros_and_ones(3, 0)),
        Mistake("the last [SEP] belongs to B, so it's in segment 1", SEGMENTS,
                lambda a, b: [0] * (len(a) + 2) + [1] * len(b) + [0]),
        Mistake("the segments are swapped: A is 0, and B is 1", SEGMENTS,
                lambda a, b: [1 - s for s in reference_segment_ids(a, b)]),
        Mistake("everything is segment 0, but B and its [SEP] are segment 1", SEGMENTS,
                lambda a, b: [0] * (len(a) + len(b) + 3)),
    ),
)  # fmt: skip


def reference_mask(lengths: list[int]) -> Tensor:
    T = max(lengths)
    return torch.tensor([[1] * n + [0] * (T - n) for n in lengths])


mask_from_lengths = Exercise(
    name="mask_from_lengths",
    chapter=1,
    reference=reference_mask,
    cases=lambda seed: [([5, 3],), ([2, 6, 4],), ([1, 4],), ([3],)],
    returns={"mask": "B T"},
    mistakes=(
        Mistake("the mask is inverted: 1 is for tokens and 0 for padding", BATCH,
                lambda lengths: 1 - reference_mask(lengths)),
        Mistake("the mask is 1 everywhere, but it should be 0 for padding", BATCH,
                lambda lengths: torch.ones_like(reference_mask(lengths))),
        Mistake("the padding is on the left: BERT's padding is on the right", BATCH,
                lambda lengths: reference_mask(lengths).flip(1)),
        Mistake("one padding position is marked as real: positions count from 0, so use < and "
                "not <=", BATCH,
                lambda lengths: reference_mask([n + 1 for n in lengths])[:, : max(lengths)]),
        Mistake("the last token of each row is hidden: a row of length n has n ones", BATCH,
                lambda lengths: torch.tensor([[int(i < n - 1) for i in range(max(lengths))]
                                              for n in lengths])),
        Mistake("every row has the mask of the first: each length makes its own row", BATCH,
                lambda lengths: torch.tensor([[int(i < lengths[0]) for i in range(max(lengths))]
                                              for _ in lengths])),
        Mistake("each row has a single 1: all positions before its length are 1", BATCH,
                lambda lengths: torch.tensor([[int(i == n - 1) for i in range(max(lengths))]
                                              for n in lengths])),
    ),
)  # fmt: skip

BLANKS = (longest_piece, segment_ids, mask_from_lengths)
