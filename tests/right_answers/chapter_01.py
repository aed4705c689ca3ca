"""Right answers to the exercises of chapter 1, at least two ways each besides the reference."""

import itertools
import re
import unicodedata
from collections import Counter

import numpy as np
import torch
from tokenizers import models
from torch.nn.utils.rnn import pad_sequence

from minibert.tokenizer import SPECIAL_TOKENS, BertTokenizer, truncate_longest_first


def packages_words(text, uncased):
    return BertTokenizer(SPECIAL_TOKENS, do_lower_case=uncased).basic_tokenize(text)


def regular_expression_words(text, uncased):
    if uncased:
        text = text.lower()  # before the accents go
        text = "".join(
            char
            for char in unicodedata.normalize("NFD", text)
            if unicodedata.category(char) != "Mn"
        )
    marks = "".join(
        chr(n)
        for n in range(33, 0x3000)
        if (n < 127 and not chr(n).isalnum()) or unicodedata.category(chr(n))[0] == "P"
    )
    return re.findall(f"[{re.escape(marks)}]|[^ {re.escape(marks)}]+", text)


def rust_cut(word, vocab, max_chars):
    numbers = {piece: number for number, piece in enumerate(["[UNK]", *sorted(vocab)])}
    model = models.WordPiece(numbers, unk_token="[UNK]", max_input_chars_per_word=max_chars)
    return [token.value for token in model.tokenize(word)]


def packages_cut(word, vocab, max_chars):
    tokenizer = BertTokenizer([*SPECIAL_TOKENS, *vocab])
    return tokenizer.wordpiece(word) if len(word) <= max_chars else ["[UNK]"]


def recursive_cut(word, vocab, max_chars, sign=""):
    if len(word) > max_chars:
        return ["[UNK]"]
    if not word:
        return []
    for end in reversed(range(1, len(word) + 1)):
        if sign + word[:end] in vocab:
            rest = recursive_cut(word[end:], vocab, max_chars, "##")
            return rest if rest == ["[UNK]"] else [sign + word[:end], *rest]
    return ["[UNK]"]


def joined_by_loop(first, second, cls, sep):
    ids, segments = [cls], [0]
    for number, part in enumerate((first, second)):
        if part is not None:
            for token in [*part, sep]:
                ids.append(token)
                segments.append(number)
    return ids, segments


def joined_at_once(first, second, cls, sep):
    tail = [] if second is None else [*second, sep]
    ids = [cls, *first, sep, *tail]
    return ids, [int(i > len(first) + 1) for i in range(len(ids))]


def popping(first, second, max_length):
    first, second = list(first), list(second)
    while len(first) + len(second) > max_length - 3:
        (first if len(first) > len(second) else second).pop()
    return first, second


def without_a_loop(first, second, max_length):
    room = max_length - 3
    if len(first) + len(second) > room:
        a = min(len(first), max(room - len(second), (room + 1) // 2))
        first, second = first[:a], second[: room - a]
    return first, second


def packages_truncation(first, second, max_length):
    """The package's rule differs at a tie, where A was the shorter: begin with B as long as A."""
    first, second = first[:], second[:]
    if len(first) < len(second):
        spare = max(0, len(first) + len(second) - (max_length - 3))
        second = second[: len(second) - min(spare, len(second) - len(first))]
    truncate_longest_first(second, first, max_length - 3)
    return first, second


def torch_batch(rows, pad_id):
    ids = pad_sequence(
        [torch.tensor(ids) for ids, _ in rows], batch_first=True, padding_value=pad_id
    )
    segments = pad_sequence([torch.tensor(s) for _, s in rows], batch_first=True)
    lengths = torch.tensor([len(ids) for ids, _ in rows])
    return ids, segments, (torch.arange(ids.shape[1]) < lengths[:, None]).long()


def numpy_batch(rows, pad_id):
    shape = len(rows), max(len(ids) for ids, _ in rows)
    out = [np.full(shape, filling, dtype=np.int64) for filling in (pad_id, 0, 0)]
    for i, (ids, segments) in enumerate(rows):
        for array, values in zip(out, (ids, segments, 1), strict=True):
            array[i, : len(ids)] = values
    return tuple(torch.from_numpy(array) for array in out)


def merges_in_strings(counts, number):
    """As Sennrich's: words as strings with blanks, and a pattern with borders."""
    words = {" ".join([w[0]] + ["##" + c for c in w[1:]]): n for w, n in counts.items()}
    made = []
    while len(made) < number:
        pairs = Counter()
        for spelled, count in words.items():
            pieces = spelled.split()
            for pair in itertools.pairwise(pieces):
                pairs[pair] += count
        if not pairs:
            return made
        (a, b), _ = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[0]
        made.append(a + b[2:])
        pattern = re.compile(rf"(?<!\S){re.escape(a)} {re.escape(b)}(?!\S)")
        words = {pattern.sub(made[-1], spelled): n for spelled, n in words.items()}
    return made


def merges_by_place(counts, number):
    spelled = [([w[0], *map("##{}".format, w[1:])], n) for w, n in counts.items()]
    made = []
    for _ in range(number):
        found = {}
        for pieces, count in spelled:
            for i in range(1, len(pieces)):
                pair = pieces[i - 1], pieces[i]
                found[pair] = found.get(pair, 0) + count
        best = [pair for pair in sorted(found) if found[pair] == max(found.values())][:1]
        for a, b in best:
            made.append(a + b.replace("##", ""))
            for pieces, _ in spelled:
                i = 0
                while i + 1 < len(pieces):
                    if (pieces[i], pieces[i + 1]) == (a, b):
                        pieces[i : i + 2] = made[-1:]
                    i += 1
    return made


def longest_by_length(word, start, vocab):
    """All entries that fit, without a loop over ends."""
    rest, sign = word[start:], "##" if start else ""
    fits = [piece for piece in vocab if piece.startswith(sign) and len(piece) > len(sign)]
    fits = [piece for piece in fits if rest.startswith(piece[len(sign) :])]
    return max(fits, key=len, default="")


def longest_by_shortening(word, start, vocab):
    piece = ("##" if start > 0 else "") + word[start:]
    while piece not in vocab and piece.strip("#"):
        piece = piece[:-1]
    return piece.replace("##", "") and piece


RIGHT = {
    "two_words": [["unt", "##ax", "##ed", "[UNK]"], ("unt", "##ax", "##ed", "[UNK]")],
    "split_words": [packages_words, regular_expression_words],
    "cut": [rust_cut, packages_cut, recursive_cut],
    "join_pair": [joined_by_loop, joined_at_once],
    "truncate_longest": [popping, without_a_loop, packages_truncation],
    "pad_batch": [torch_batch, numpy_batch],
    "learn_merges": [merges_in_strings, merges_by_place],
    "longest_piece": [longest_by_length, longest_by_shortening],
    "segment_ids": [
        lambda first, second: [int(i > len(first) + 1) for i in range(len(first + second) + 3)],
        lambda first, second: joined_at_once(first, second, "[CLS]", "[SEP]")[1],
    ],
    "mask_from_lengths": [
        lambda lengths: pad_sequence(
            [torch.ones(n, dtype=torch.long) for n in lengths], batch_first=True
        ),
        lambda lengths: torch.tensor([[int(i < n) for i in range(max(lengths))] for n in lengths]),
    ],
}
