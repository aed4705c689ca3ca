"""BERT's tokenizer from scratch: basic splitting, then WordPiece (Devlin et al., 2019, 3).

Text -> clean -> words -> word pieces -> ids. `encode_batch` gives the same ids through Rust's
`tokenizers`, fast enough for a whole corpus.
"""

from __future__ import annotations

import re
import reprlib
import string
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tokenizers
import torch

from minibert.files import (
    JSON_LIMIT,
    errors_name,
    find_directory,
    listed,
    read_json,
    read_text,
    write_json,
    write_text,
)

if TYPE_CHECKING:
    from transformers import BertTokenizerFast

PAD, UNK, CLS, SEP, MASK = SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_SPECIAL = re.compile(f"({'|'.join(map(re.escape, SPECIAL_TOKENS))})")
_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
MAX_CHARS_PER_WORD = 100
MAX_ALPHABET = 1000
WORDS_REMEMBERED = 1 << 17
"""About 30 MB of words and their ids. If there are more, all are forgotten."""


def _one_of(ranges: str) -> re.Pattern[str]:
    """The pattern of one character in ranges of hexadecimal numbers."""
    return re.compile(
        "([" + re.sub(r"\s*(\w+)", lambda found: chr(int(found[1], 16)), ranges) + "])"
    )


# CJK ideographs are words of one character; Hangul and kana are not. Unicode's block at 2B820
# begins at 2B920 for `tokenizers`.
IDEOGRAPH = _one_of(
    "4E00-9FFF 3400-4DBF 20000-2A6DF 2A700-2B73F 2B740-2B81F 2B920-2CEAF F900-FAFF 2F800-2FA1F"
)
# Accents, punctuation and format characters that Unicode gained after version 8, where the tables
# of `tokenizers` end: there they are letters. (A range may span letters too.) They were found by
# comparing every code point, and tests/test_tokenizer.py compares them again.
NEWER = _one_of("""
61D 7FD 890-8E2 9FD-9FE A76 AFA-AFF B55 C04-C3C C77 C84 D00 D3B-D3C D81 EBA ECE 180F-1886 1ABF-1ACE
1B7D-1B7E 1DF6-1DFB 2E43-2E5D A82C A8C5 A8FF A9BD 10D24-10F89 11070-11074 110C2-110CD 111CF
1123E-11241 1133B 11438-1145E 11660-1166C 116B9 1182F-11FFF 12FF1-13455 16E97-16F4F 16FE2-16FE4
1CF00-1CF46 1E000-1E4EF 1E944-1E95F""")
# Three characters changed category since.
_CHANGED = {"\u166d": "Po", "\u1734": "Mn", "\U000111c9": "Po"}


@lru_cache(maxsize=4096)
def category(char: str) -> str:
    """Unicode's general category, as `tokenizers` knows it: `Lu`, `Mn`, `Po`, ..."""
    if char in _CHANGED:
        return _CHANGED[char]
    return "Lo" if NEWER.match(char) else unicodedata.category(char)


def is_punctuation(char: str) -> bool:
    """Whether the character is a separate word: Unicode's punctuation, and ASCII's symbols."""
    return char in string.punctuation or category(char).startswith("P")


def clean(text: str) -> str:
    """Drop control characters, make every white space a blank, put blanks around ideographs."""
    dropped = ("Cc", "Cf", "Co")  # control, format, private use
    kept = (c for c in text if c in "\t\n\r" or (c != "\ufffd" and category(c) not in dropped))
    return IDEOGRAPH.sub(r" \1 ", "".join(" " if char.isspace() else char for char in kept))


def strip_accents(text: str) -> str:
    """Separate letters from accents (NFD) and drop the accents: `é` becomes `e`."""
    parts = [
        part if NEWER.fullmatch(part) else unicodedata.normalize("NFD", part)
        for part in NEWER.split(text)
    ]
    return "".join(char for char in "".join(parts) if category(char) != "Mn")


class BertTokenizer:
    """Text to ids and back, with a vocabulary of word pieces.

    `vocab_file` has one token a line, and the line's number is its id; or it is a sequence of
    tokens. Ids equal those of `transformers.BertTokenizerFast`, except that a capital letter
    younger than this Python's Unicode tables keeps its case. Raises `ValueError` if a special token
    is missing.
    """

    def __init__(self, vocab_file: str | Path | Sequence[str], do_lower_case: bool = True) -> None:
        if isinstance(vocab_file, str | Path):
            name = str(vocab_file)
            lines = read_text(Path(vocab_file), JSON_LIMIT).removesuffix("\n").split("\n")
            self.tokens = [line.removesuffix("\r") for line in lines]
        else:
            name, self.tokens = "the vocabulary", list(vocab_file)
        self.vocab = {token: number for number, token in enumerate(self.tokens)}
        self.do_lower_case = do_lower_case
        self._ids_of_words: dict[str, list[int]] = {}
        if missing := [token for token in SPECIAL_TOKENS if token not in self.vocab]:
            raise ValueError(f"{name} lacks {', '.join(missing)}: it is not a BERT vocabulary")

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path) -> BertTokenizer:
        """The tokenizer of a Hugging Face BERT directory or hub name.

        `do_lower_case` in `tokenizer_config.json` decides about case; if it is missing,
        `tokenizer.json` does. A warning says so if they disagree (transformers lower-cases if it is
        missing). Raises `ValueError` for a setting with which Hugging Face's ids would be others.
        """
        directory = find_directory(name_or_path)
        settings = {n: read_json(file) for n in _SETTINGS if (file := directory / n).exists()}
        vocab_file, rust_file = directory / "vocab.txt", directory / "tokenizer.json"
        rust = _read_rust(rust_file) if rust_file.exists() else None
        if vocab_file.exists():
            tokenizer = cls(vocab_file)
        elif rust is not None:
            tokenizer = cls(rust.tokens)
        else:
            raise FileNotFoundError(f"{directory} holds neither vocab.txt nor tokenizer.json")
        stated = settings.get("tokenizer_config.json", {}).get("do_lower_case")
        tokenizer.do_lower_case = stated is None or stated
        if rust is not None and rust.tokens != tokenizer.tokens:
            raise ValueError(f"{directory}: vocab.txt and tokenizer.json hold different tokens")
        if rust is not None and rust.do_lower_case != tokenizer.do_lower_case:
            tokenizer.do_lower_case = rust.do_lower_case if stated is None else stated
            line = (
                f"{directory}: tokenizer.json and tokenizer_config.json disagree about lower case"
            )
            line += f"; minibert takes do_lower_case to be {tokenizer.do_lower_case}"
            warnings.warn(line, stacklevel=2)
        for name, values in settings.items():
            with errors_name(directory / name):
                tokens = {"added_tokens": list(values)} if name == "added_tokens.json" else values
                _check_settings(tokens, tokenizer.do_lower_case)
        return tokenizer

    @classmethod
    def train(
        cls, texts: Iterable[str], vocab_size: int = 8192, do_lower_case: bool = True
    ) -> BertTokenizer:
        """A vocabulary of at most `vocab_size` pieces learned from `texts`, by `tokenizers`.

        The five special tokens come first (`[PAD]` is 0), then the 1000 most frequent characters,
        both as beginnings and as continuations, then longer pieces. The same texts give the same
        vocabulary. They are read twice, so a generator is kept in memory. Raises `ValueError` if
        `vocab_size` cannot even hold the characters.
        """
        texts = list(texts) if iter(texts) is texts else texts
        learner = _rust_tokenizer({t: i for i, t in enumerate(SPECIAL_TOKENS)}, do_lower_case)
        written: Counter[str] = Counter()
        for text in texts:
            written.update(text)
        counts: Counter[str] = Counter()
        for char, number in written.items():
            for normal in learner.normalizer.normalize_str(char):
                counts[normal] += number
        common = sorted(counts, key=lambda char: (-counts[char], char))
        alphabet = sorted([char for char in common if not char.isspace()][:MAX_ALPHABET])
        # The trainer numbers continuations in hash order, which changes from run to run, and breaks
        # ties between merges by number. We number them first, so that training is repeatable.
        first = [*SPECIAL_TOKENS, *alphabet, *(f"##{char}" for char in alphabet)]
        if len(first) > vocab_size:
            raise ValueError(
                f"vocab_size {vocab_size} is too small: the special tokens and the texts' single "
                f"characters alone need {len(first)}"
            )
        trainer = tokenizers.trainers.WordPieceTrainer(
            vocab_size=vocab_size,
            special_tokens=first,
            limit_alphabet=len(alphabet),
            initial_alphabet=alphabet,
            show_progress=False,
        )
        learner.train_from_iterator(texts, trainer)
        vocab = learner.get_vocab()
        return cls(sorted(vocab, key=vocab.__getitem__), do_lower_case)

    @property
    def vocab_size(self) -> int:
        """V, the number of tokens."""
        return len(self.tokens)

    def basic_tokenize(self, text: str) -> list[str]:
        """Words and punctuation; lower-cased and without accents if the model is uncased."""
        text = clean(text)
        if self.do_lower_case:
            # One character at a time, so that no letter depends on its neighbours.
            text = "".join(char.lower() for char in strip_accents(text))
        return "".join(f" {char} " if is_punctuation(char) else char for char in text).split()

    def wordpiece(self, word: str) -> list[str]:
        """The longest piece in the vocabulary, again and again; `[UNK]` if none fits.

        Pieces after the first begin with `##`.
        """
        if len(word) > MAX_CHARS_PER_WORD:
            return [UNK]
        pieces: list[str] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(len(word), start, -1):
                if (piece := prefix + word[start:end]) in self.vocab:
                    break
            else:
                return [UNK]
            pieces.append(piece)
            start = end
        return pieces

    def tokenize(self, text: str) -> list[str]:
        """Word pieces. A special token written out in the text stays whole."""
        pieces: list[str] = []
        for part in _SPECIAL.split(text):
            if part in SPECIAL_TOKENS:
                pieces.append(part)
            else:
                for word in self.basic_tokenize(part):
                    pieces += self.wordpiece(word)
        return pieces

    def convert_tokens_to_ids(self, tokens: Iterable[str] | str) -> list[int] | int:
        """Ids of tokens; a token that is not in the vocabulary is `[UNK]`."""
        if isinstance(tokens, str):
            return self.vocab.get(tokens, self.vocab[UNK])
        return [self.vocab.get(token, self.vocab[UNK]) for token in tokens]

    def _ids(self, text: str) -> list[int]:
        return [self.vocab.get(token, self.vocab[UNK]) for token in self.tokenize(text)]

    def convert_ids_to_tokens(self, ids: Iterable[int]) -> list[str]:
        """Tokens of ids."""
        return [self.tokens[int(number)] for number in ids]

    def decode(self, ids: Iterable[int]) -> str:
        """Ids to a text: pieces joined, no blank before a full stop, `nation ' s` as `nation's`."""
        text = self._rust.decoder.decode(self.convert_ids_to_tokens(ids))
        return re.sub(r"(?<=\w) ' (?=(?:s|t|d|m|re|ve|ll)\b)", "'", text, flags=re.IGNORECASE)

    def __call__(
        self,
        text: str | list[str],
        pair: str | list[str] | None = None,
        max_length: int | None = None,
        return_tensors: str | None = None,
    ) -> dict[str, Any]:
        """`[CLS] A [SEP]`, or with a pair `[CLS] A [SEP] B [SEP]`, as the model reads it.

        Returns `input_ids`, `token_type_ids` (0 up to the first `[SEP]`, 1 after it) and
        `attention_mask` (1 for real tokens, 0 for padding).
        One text gives lists of length T; a list of texts gives lists of lists, padded to the
        longest. `max_length` truncates the longer side first. `return_tensors="pt"` gives (B, T).
        """
        batched = not isinstance(text, str)
        texts = [text] if isinstance(text, str) else text
        pairs = pair if isinstance(pair, list | tuple) else [pair] * len(texts)
        if len(pairs) != len(texts) or (batched and isinstance(pair, str)):
            raise ValueError(f"there are {len(texts)} texts: give as many pairs, as a list")
        if return_tensors not in (None, "pt"):
            raise ValueError(f"return_tensors must be 'pt' or None, not {return_tensors!r}")
        rows = [
            self.join(self._ids(a), None if b is None else self._ids(b), max_length)
            for a, b in zip(texts, pairs, strict=True)
        ]
        longest = max((len(ids) for ids, _ in rows), default=0)
        pad = self.vocab[PAD]
        encoded: dict[str, Any] = {
            "input_ids": [ids + [pad] * (longest - len(ids)) for ids, _ in rows],
            "token_type_ids": [types + [0] * (longest - len(types)) for _, types in rows],
            "attention_mask": [[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in rows],
        }
        if return_tensors == "pt":
            return {name: torch.tensor(value) for name, value in encoded.items()}
        return encoded if batched else {name: value[0] for name, value in encoded.items()}

    def join(
        self, first: list[int], second: list[int] | None = None, max_length: int | None = None
    ) -> tuple[list[int], list[int]]:
        """Ids and segments of `[CLS] A [SEP]` or `[CLS] A [SEP] B [SEP]`, cut to fit."""
        a, b = list(first), list(second or ())
        if max_length is not None:
            truncate_longest_first(a, b, max_length - (2 if second is None else 3))
        cls, sep = self.vocab[CLS], self.vocab[SEP]
        ids, segments = [cls, *a, sep], [0] * (len(a) + 2)
        if second is not None:
            ids, segments = [*ids, *b, sep], segments + [1] * (len(b) + 1)
        return ids, segments

    @cached_property
    def _rust(self) -> tokenizers.Tokenizer:
        return _rust_tokenizer(self.vocab, self.do_lower_case)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of many texts, without `[CLS]` and `[SEP]`: `tokenize` in Rust, on all cores.

        Spaces separate words whatever is around them, so each different word is tokenized once,
        and remembered for the next batch.
        """
        split = [text.split(" ") for text in texts]
        ids = self._ids_of_words
        new = list({word for parts in split for word in parts if word not in ids})
        encodings = self._rust.encode_batch_fast(new, add_special_tokens=False)
        ids.update((word, encoding.ids) for word, encoding in zip(new, encodings, strict=True))
        encoded = [[token for word in parts for token in ids[word]] for parts in split]
        if len(ids) > WORDS_REMEMBERED:
            self._ids_of_words = {}  # another thread may still be reading the old one
        return encoded

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The ids of a text and, for each, the characters that it covers: start and end."""
        encoding = self._rust.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def to_fast(self) -> BertTokenizerFast:
        """The same tokenizer in `transformers`."""
        from transformers import BertTokenizerFast

        return BertTokenizerFast(vocab=dict(self.vocab), do_lower_case=self.do_lower_case)

    def save(self, directory: str | Path) -> None:
        """Write `vocab.txt` and `tokenizer_config.json`, which `BertTokenizerFast` reads."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        write_text(directory / "vocab.txt", "".join(f"{token}\n" for token in self.tokens))
        config = {"tokenizer_class": "BertTokenizer", "do_lower_case": self.do_lower_case}
        write_json(directory / "tokenizer_config.json", config)
        # What another tokenizer left here would change what transformers reads.
        for other in ("tokenizer.json", "added_tokens.json", "special_tokens_map.json"):
            (directory / other).unlink(missing_ok=True)


def truncate_longest_first(first: list[int], second: list[int], room: int) -> None:
    """Remove tokens from the end of the longer side until both sides fit into `room` together.

    Once they are equally long, the side that was longer at first keeps the odd token.
    """
    if room < 0:
        raise ValueError("max_length leaves no room for [CLS] and [SEP]")
    tie = second if len(first) > len(second) else first
    while len(first) + len(second) > room:
        if len(first) == len(second):
            tie.pop()
        else:
            max(first, second, key=len).pop()


def _check_settings(values: dict[str, Any], lower: bool) -> None:
    """Raise `ValueError` for a setting of Hugging Face's that would give other ids than ours."""
    is_berts = {
        "tokenizer_class": ("BertTokenizer", "BertTokenizerFast"),
        "do_lower_case": (True, False),
        "strip_accents": (lower,),
        "tokenize_chinese_chars": (True,),
        "clean_text": (True,),
        "split_special_tokens": (False,),
        "padding_side": ("right",),
        "truncation_side": ("right",),
        **{f"{token[1:-1].lower()}_token": (token,) for token in SPECIAL_TOKENS},
    }
    for name, value in values.items():
        if name in is_berts or (name.endswith("_token") and not isinstance(value, bool)):
            given = [value]
        elif name.endswith(("tokens", "tokens_decoder")):
            given = list(value.values()) if isinstance(value, dict) else value
            given = given if isinstance(given, list) else [given]
        else:
            continue
        for one in given:
            if isinstance(one, dict) and not (one.get("single_word") or one.get("normalized")):
                one = one.get("content")
            if one is not None and one not in is_berts.get(name, SPECIAL_TOKENS):
                raise ValueError(f"{name} is not BERT's: {reprlib.repr(one)}")


def _read_rust(file: Path) -> BertTokenizer:
    """The tokenizer of a `tokenizer.json`. Raises `ValueError` that names what is not BERT's."""
    text = read_text(file, JSON_LIMIT)
    with errors_name(file):
        try:
            theirs = tokenizers.Tokenizer.from_str(text)
            theirs.no_truncation()  # transformers truncates and pads only when asked
            theirs.no_padding()
            pair = theirs.encode(UNK, PAD)
        except Exception as error:  # it has no narrower class
            raise ValueError(f"tokenizers cannot read it: {error}") from None
        if not isinstance(m := theirs.model, tokenizers.models.WordPiece):
            raise ValueError("it is not BERT's: it holds no word pieces")
        vocab = theirs.get_vocab(with_added_tokens=False)
        tokens = sorted(vocab, key=vocab.__getitem__)
        lower = bool(getattr(theirs.normalizer, "lowercase", True))
        ours = BertTokenizer(tokens, lower)
        added = theirs.get_added_tokens_decoder().values()
        plain = [t.content for t in added if not (t.single_word or t.normalized)]
        normalizer = tokenizers.normalizers.BertNormalizer
        settings = (m.unk_token, m.continuing_subword_prefix, m.max_input_chars_per_word)
        both = ours.join([ours.vocab[UNK]], [ours.vocab[PAD]])
        is_berts = {
            f"added_tokens ({listed(t.content for t in added)})": len(added) == len(plain)
            and sorted(plain) == sorted(SPECIAL_TOKENS),
            "normalizer": repr(theirs.normalizer)
            in {repr(normalizer(True, True, accents, lower)) for accents in (None, lower)},
            "pre_tokenizer": repr(theirs.pre_tokenizer) == repr(ours._rust.pre_tokenizer),
            "model": settings == (UNK, "##", MAX_CHARS_PER_WORD)
            and [vocab[token] for token in tokens] == list(range(len(tokens))),  # no gaps
            "post_processor": (pair.ids, pair.type_ids) == both,
        }
        if wrong := [part for part, is_equal in is_berts.items() if not is_equal]:
            raise ValueError(f"its {' and '.join(wrong)} would give other ids than BERT's")
    return ours


def _rust_tokenizer(vocab: dict[str, int], do_lower_case: bool) -> tokenizers.Tokenizer:
    model = tokenizers.models.WordPiece
    rust = tokenizers.Tokenizer(
        model(dict(vocab), unk_token=UNK, max_input_chars_per_word=MAX_CHARS_PER_WORD)
    )
    rust.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=do_lower_case)
    rust.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    rust.decoder = tokenizers.decoders.WordPiece()
    rust.add_special_tokens([token for token in SPECIAL_TOKENS if token in vocab])
    return rust
