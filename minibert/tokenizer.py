"""BERT's tokenizer from scratch: basic splitting, then WordPiece (Devlin et al., 2019, 3).

Text -> clean -> words -> word pieces -> ids. This is the one to read. `encode_batch` gives the
same ids through Rust's `tokenizers`, for a whole corpus.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import tokenizers
import torch
from torch import Tensor

from minibert.files import find_directory, read_json, read_text

if TYPE_CHECKING:
    from transformers import BertTokenizerFast

PAD, UNK, CLS, SEP, MASK = SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MAX_CHARS_PER_WORD = 100
MAX_ALPHABET = 1000

# Blocks of CJK ideographs: each character is a word of its own. Hangul and kana are not here.
_CJK = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),  # as `tokenizers` has it; Unicode's block begins at 0x2B820
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


# Accents, punctuation and format characters that Unicode gained after version 8, where the tables
# of `tokenizers` stop: to it they are letters, whatever Python's own tables say. Hexadecimal ranges
# (a range may span letters too); found by comparing every code point, as tests/test_tokenizer.py
# does again.
_NEWER_RANGES = """
61D 7FD 890-8E2 9FD-9FE A76 AFA-AFF B55 C04-C3C C77 C84 D00 D3B-D3C D81 EBA ECE 180F-1886 1ABF-1ACE
1B7D-1B7E 1DF6-1DFB 2E43-2E5D A82C A8C5 A8FF A9BD 10D24-10F89 11070-11074 110C2-110CD 111CF
1123E-11241 1133B 11438-1145E 11660-1166C 116B9 1182F-11FFF 12FF1-13455 16E97-16F4F 16FE2-16FE4
1CF00-1CF46 1E000-1E4EF 1E944-1E95F
"""
_NEWER = re.compile(
    "(["
    + "".join(
        "-".join(chr(int(end, 16)) for end in low_high.split("-"))
        for low_high in _NEWER_RANGES.split()
    )
    + "])"
)
# Three characters changed category since.
_CHANGED = {"\u166d": "Po", "\u1734": "Mn", "\U000111c9": "Po"}


@lru_cache(maxsize=4096)
def category(char: str) -> str:
    """Unicode's general category, as `tokenizers` knows it: `Lu`, `Mn`, `Po`, ..."""
    if char in _CHANGED:
        return _CHANGED[char]
    return "Lo" if _NEWER.match(char) else unicodedata.category(char)


def is_cjk(char: str) -> bool:
    """Whether the character is a CJK ideograph."""
    return any(low <= ord(char) <= high for low, high in _CJK)


def is_control(char: str) -> bool:
    """Whether the character is dropped: control, format, private use; not tab and line ends."""
    return char not in "\t\n\r" and category(char) in ("Cc", "Cf", "Co")


def is_punctuation(char: str) -> bool:
    """Unicode's punctuation, and ASCII's symbols too: `$`, `+`, `<` are split off as `!` is."""
    ascii_symbol = "!" <= char <= "/" or ":" <= char <= "@" or "[" <= char <= "`"
    return ascii_symbol or "{" <= char <= "~" or category(char).startswith("P")


def clean(text: str) -> str:
    """Drop control characters; every white space becomes a blank; blanks around ideographs."""
    chars = []
    for char in text:
        if char in "\0\ufffd" or is_control(char):
            continue
        if char.isspace():
            chars.append(" ")
        elif is_cjk(char):
            chars.append(f" {char} ")
        else:
            chars.append(char)
    return "".join(chars)


def strip_accents(text: str) -> str:
    """Take letters and accents apart (NFD) and drop the accents: `é` becomes `e`."""
    parts = [
        part if _NEWER.fullmatch(part) else unicodedata.normalize("NFD", part)
        for part in _NEWER.split(text)
    ]
    return "".join(char for char in "".join(parts) if category(char) != "Mn")


def lower(text: str) -> str:
    """Lower-case one character at a time, so that no letter depends on its neighbours."""
    return "".join(char.lower() for char in text)


def split_punctuation(word: str) -> list[str]:
    """`don't!` -> `don`, `'`, `t`, `!`."""
    words: list[str] = []
    new_word = True
    for char in word:
        if is_punctuation(char):
            words.append(char)
            new_word = True
        elif new_word:
            words.append(char)
            new_word = False
        else:
            words[-1] += char
    return words


class BertTokenizer:
    """Text to ids and back, with a vocabulary of word pieces.

    `vocab_file` holds one token a line, its number being its id; a sequence of tokens will do too.
    Equal to `transformers.BertTokenizerFast`, but that a capital letter younger than this Python's
    Unicode tables keeps its case. Raises `ValueError` where a special token is missing.
    """

    def __init__(self, vocab_file: str | Path | Sequence[str], do_lower_case: bool = True) -> None:
        if isinstance(vocab_file, str | Path):
            name = str(vocab_file)
            lines = read_text(Path(vocab_file)).removesuffix("\n").split("\n")
            self.tokens = [line.removesuffix("\r") for line in lines]
        else:
            name, self.tokens = "the vocabulary", list(vocab_file)
        self.vocab = {token: number for number, token in enumerate(self.tokens)}
        self.do_lower_case = do_lower_case
        if missing := [token for token in SPECIAL_TOKENS if token not in self.vocab]:
            raise ValueError(f"{name} lacks {', '.join(missing)}: it is not a BERT vocabulary")

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path) -> BertTokenizer:
        """From a Hugging Face BERT directory or hub name.

        Reads `vocab.txt` or, in its absence, `tokenizer.json`, and `tokenizer_config.json` if it is
        there. Raises `FileNotFoundError` where there is neither, and `ValueError` where it is not a
        BERT's.
        """
        directory = find_directory(name_or_path)
        config_file = directory / "tokenizer_config.json"
        config = read_json(config_file) if config_file.exists() else {}
        rust_file = directory / "tokenizer.json"
        rust = read_json(rust_file) if rust_file.exists() else {}
        normalizer = rust.get("normalizer") or {}
        lower = config.get("do_lower_case", normalizer.get("lowercase", True))
        _check_is_bert(directory, {**normalizer, **config}, rust, lower)
        if (directory / "vocab.txt").is_file():
            return cls(directory / "vocab.txt", lower)
        if rust:
            vocab = rust["model"]["vocab"]
            return cls(sorted(vocab, key=vocab.__getitem__), lower)
        raise FileNotFoundError(f"{directory} holds neither vocab.txt nor tokenizer.json")

    @classmethod
    def train(
        cls, texts: Iterable[str], vocab_size: int = 8192, do_lower_case: bool = True
    ) -> BertTokenizer:
        """A vocabulary of at most `vocab_size` pieces learned from `texts`, by `tokenizers`.

        First come the five special tokens, `[PAD]` being 0, then the 1000 most frequent
        characters, as beginnings and as continuations, then what was merged. The same texts give
        the same vocabulary. They are gone through twice: a generator is kept in memory. Raises
        `ValueError` where `vocab_size` cannot even hold the characters.
        """
        texts = list(texts) if iter(texts) is texts else texts
        learner = _rust_tokenizer({t: i for i, t in enumerate(SPECIAL_TOKENS)}, do_lower_case)
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(learner.normalizer.normalize_str(text))
        common = sorted(counts, key=lambda char: (-counts[char], char))
        alphabet = sorted([char for char in common if not char.isspace()][:MAX_ALPHABET])
        # Left alone the trainer numbers the continuations in hash order, another one each time,
        # and settles ties between merges by number. Numbering them first makes it repeatable.
        first = [*SPECIAL_TOKENS, *alphabet, *(f"##{char}" for char in alphabet)]
        if len(first) > vocab_size:
            raise ValueError(
                f"vocab_size {vocab_size} is too small: the special tokens and the text's single "
                f"characters alone are {len(first)}"
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
        """Words and punctuation, lower-cased and without accents where the model is uncased."""
        text = clean(text)
        if self.do_lower_case:
            text = lower(strip_accents(text))
        return [piece for word in text.split() for piece in split_punctuation(word)]

    def wordpiece(self, word: str) -> list[str]:
        """The longest piece that the vocabulary has, again and again; `[UNK]` if none fits.

        Pieces after the first bear `##`.
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
        for part in _split_on_special_tokens(text):
            if part in SPECIAL_TOKENS:
                pieces.append(part)
            else:
                for word in self.basic_tokenize(part):
                    pieces += self.wordpiece(word)
        return pieces

    def convert_tokens_to_ids(self, tokens: Iterable[str] | str) -> list[int] | int:
        """Ids of tokens; what the vocabulary lacks is `[UNK]`."""
        if isinstance(tokens, str):
            return self.vocab.get(tokens, self.vocab[UNK])
        return [self.vocab.get(token, self.vocab[UNK]) for token in tokens]

    def convert_ids_to_tokens(self, ids: Iterable[int]) -> list[str]:
        """Tokens of ids."""
        return [self.tokens[int(number)] for number in ids]

    def decode(self, ids: Iterable[int]) -> str:
        """Ids to a text: pieces joined, no blank before a full stop, `nation ' s` as `nation's`.

        Case, accents and blanks that the tokenizer dropped do not come back.
        """
        text = self._rust.decoder.decode(self.convert_ids_to_tokens(ids))
        return re.sub(r"(?<=\w) ' (?=(?:s|t|d|m|re|ve|ll)\b)", "'", text, flags=re.IGNORECASE)

    def __call__(
        self,
        text: str | list[str],
        pair: str | list[str] | None = None,
        max_length: int | None = None,
        return_tensors: str | None = None,
    ) -> dict[str, list | Tensor]:
        """`[CLS] A [SEP]`, or with a pair `[CLS] A [SEP] B [SEP]`, as the model takes it.

        Returns `input_ids`, `token_type_ids` (0 up to the first `[SEP]`, 1 after it) and
        `attention_mask` (1 for real tokens, 0 for padding).

        One text gives lists of length T; a list of texts gives lists of lists, padded to the
        longest. `max_length` truncates the longer side first. `return_tensors="pt"` gives (B, T).
        """
        batched = isinstance(text, list | tuple)
        texts = text if batched else [text]
        pairs = pair if isinstance(pair, list | tuple) else [pair] * len(texts)
        if len(pairs) != len(texts) or (batched and isinstance(pair, str)):
            raise ValueError(f"there are {len(texts)} texts: give as many pairs, as a list")
        if return_tensors not in (None, "pt"):
            raise ValueError(f"return_tensors must be 'pt' or None, not {return_tensors!r}")
        rows = [self._encode(a, b, max_length) for a, b in zip(texts, pairs, strict=True)]
        longest = max((len(ids) for ids, _ in rows), default=0)
        pad = self.vocab[PAD]
        encoded: dict[str, list | Tensor] = {
            "input_ids": [ids + [pad] * (longest - len(ids)) for ids, _ in rows],
            "token_type_ids": [types + [0] * (longest - len(types)) for _, types in rows],
            "attention_mask": [[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in rows],
        }
        if return_tensors == "pt":
            return {name: torch.tensor(value) for name, value in encoded.items()}
        return encoded if batched else {name: value[0] for name, value in encoded.items()}

    def _encode(self, a: str, b: str | None, max_length: int | None) -> tuple[list[int], list[int]]:
        first = self.convert_tokens_to_ids(self.tokenize(a))
        second = [] if b is None else self.convert_tokens_to_ids(self.tokenize(b))
        if max_length is not None:
            truncate_longest_first(first, second, max_length - (2 if b is None else 3))
        cls, sep = self.vocab[CLS], self.vocab[SEP]
        ids, types = [cls, *first, sep], [0] * (len(first) + 2)
        if b is not None:
            ids, types = [*ids, *second, sep], types + [1] * (len(second) + 1)
        return ids, types

    @cached_property
    def _rust(self) -> tokenizers.Tokenizer:
        return _rust_tokenizer(self.vocab, self.do_lower_case)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of many texts, without `[CLS]` and `[SEP]`: `tokenize` in Rust, on all cores."""
        encodings = self._rust.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The ids of a text and, for each, the characters that it stands for: from, up to."""
        encoding = self._rust.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def to_fast(self) -> BertTokenizerFast:
        """The same tokenizer as `transformers` has it."""
        from transformers import BertTokenizerFast

        return BertTokenizerFast(vocab=dict(self.vocab), do_lower_case=self.do_lower_case)

    def save(self, directory: str | Path) -> None:
        """Write `vocab.txt` and `tokenizer_config.json`, which `BertTokenizerFast` reads."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        lines = "".join(f"{token}\n" for token in self.tokens)
        (directory / "vocab.txt").write_text(lines, encoding="utf-8", newline="\n")
        # One of another vocabulary would go before ours in transformers.
        (directory / "tokenizer.json").unlink(missing_ok=True)
        config = {"tokenizer_class": "BertTokenizer", "do_lower_case": self.do_lower_case}
        text = json.dumps(config, indent=2) + "\n"
        (directory / "tokenizer_config.json").write_text(text, encoding="utf-8")


def truncate_longest_first(first: list[int], second: list[int], room: int) -> None:
    """Take tokens off the end of the longer side until both fit into `room` together.

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


def _check_is_bert(directory: Path, config: dict, rust: dict, lower: bool) -> None:
    """Raise `ValueError` for a tokenizer that would give other ids than ours.

    `config` is what its files set, `rust` what `tokenizer.json` holds, if it is there: all that
    transformers 5 saves.
    """
    added = [token["content"] for token in rust.get("added_tokens", [])]
    added += [token["content"] for token in config.get("added_tokens_decoder", {}).values()]
    extra = sorted(set(added) - set(SPECIAL_TOKENS))
    model = rust.get("model", {"type": "WordPiece", "vocab": {}})
    numbers = sorted(model["vocab"].values()) if model.get("type") == "WordPiece" else None
    problems = [
        problem
        for problem, is_there in (
            ("it holds no word pieces", numbers is None),
            ("its ids have gaps", numbers is not None and numbers != list(range(len(numbers)))),
            (f"it is a {config.get('tokenizer_class')}", not _is_bert_class(config)),
            (f"it has tokens of its own: {', '.join(extra)}", extra),
            (
                "strip_accents is not as do_lower_case",
                config.get("strip_accents") not in (None, lower),
            ),
            ("tokenize_chinese_chars is off", config.get("tokenize_chinese_chars") is False),
            ("handle_chinese_chars is off", config.get("handle_chinese_chars") is False),
        )
        if is_there
    ]
    if problems:
        raise ValueError(f"the tokenizer in {directory} is not BERT's: {'; '.join(problems)}")


def _is_bert_class(config: dict) -> bool:
    name = config.get("tokenizer_class") or "BertTokenizer"
    return name in ("BertTokenizer", "BertTokenizerFast")


def _rust_tokenizer(vocab: dict[str, int], do_lower_case: bool) -> tokenizers.Tokenizer:
    rust = tokenizers.Tokenizer(
        tokenizers.models.WordPiece(
            dict(vocab), unk_token=UNK, max_input_chars_per_word=MAX_CHARS_PER_WORD
        )
    )
    rust.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=do_lower_case)
    rust.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    rust.decoder = tokenizers.decoders.WordPiece()
    rust.add_special_tokens([token for token in SPECIAL_TOKENS if token in vocab])
    return rust


def _split_on_special_tokens(text: str) -> list[str]:
    """The text in parts, special tokens as parts of their own."""
    parts = [text]
    for token in SPECIAL_TOKENS:
        split: list[str] = []
        for part in parts:
            if part in SPECIAL_TOKENS:
                split.append(part)
                continue
            for piece in part.split(token):
                split += [piece, token]
            split.pop()
        parts = split
    return [part for part in parts if part]
