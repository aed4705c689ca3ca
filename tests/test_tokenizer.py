"""The tokenizer from scratch, against `BertTokenizerFast` and BERT's real English vocabulary."""

import json
import sys
import unicodedata

import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from witnesses import minilm_directory

from minibert.tokenizer import SPECIAL_TOKENS, BertTokenizer

VOCAB = minilm_directory() / "vocab.txt"
OURS = {lower: BertTokenizer(VOCAB, do_lower_case=lower) for lower in (True, False)}
THEIRS = {
    lower: transformers.BertTokenizerFast(vocab=dict(OURS[lower].vocab), do_lower_case=lower)
    for lower in (True, False)
}
HARD = [
    "The animal didn't cross the street because it was too tired.",
    "unaffable UNAFFABLE Ünäffäble",
    "我爱北京天安门 and 東京 ひらがな 한국어",
    "e\u0301 o\u0308\u0323 \u0130stanbul ΣΊΣΥΦΟΣ ß \u1e9e",
    "a\u200bb\u200dc\ufeffd\x00e\x07f\ufffdg\u00adh\ue000i",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1eb\U0001f1f7 \u2764\ufe0f",
    "x" * 100 + " " + "x" * 101,
    "before[MASK]after [CLS][SEP] [mask] [ MASK ] [PAD]x",
    "tabs\tand\r\nlines\u2028and\u3000spaces\u00a0\u1680here\x85\x0b\x0c\x1c",
    "$5 + 3 = <8> `x` ^ ~ | \u00a3 \u20ac \u00a7 \u2014 \u00ab\u00bb",
    "",
    "   ",
]


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("text", HARD)
def test_hard_text(text, lower):
    assert OURS[lower].tokenize(text) == THEIRS[lower].tokenize(text)


def known(char: str) -> bool:
    """Whether this Python's Unicode has the character (and it is no half of a surrogate pair)."""
    return unicodedata.category(char) not in ("Cn", "Cs")


@pytest.mark.parametrize("lower", [True, False])
def test_every_character_there_is(lower):
    for start in range(0, sys.maxunicode + 1, 1 << 10):
        chars = [c for c in map(chr, range(start, start + (1 << 10))) if known(c)]
        text = " ".join(f"a{char}b" for char in chars)
        assert OURS[lower].tokenize(text) == THEIRS[lower].tokenize(text), hex(start)


# Parts that plain random text would hardly ever hold.
TEXT = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cn", "Cs"]), max_size=8),
        st.sampled_from([*SPECIAL_TOKENS, "##ing", "unaffable", "e\u0301", "x" * 101, " ", "我"]),
    ),
    max_size=8,
).map("".join)


@pytest.mark.parametrize("lower", [True, False])
@settings(max_examples=400, deadline=None)
@given(text=TEXT)
def test_any_text(lower, text):
    assert OURS[lower].tokenize(text) == THEIRS[lower].tokenize(text)


@pytest.mark.parametrize("lower", [True, False])
def test_the_bulk_encoder_gives_the_same_ids(lower):
    ours = OURS[lower]
    want = [ours.convert_tokens_to_ids(ours.tokenize(text)) for text in HARD]
    assert ours.encode_batch(HARD) == want


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("text", [text for text in HARD if "'" not in text])
def test_decoding(lower, text):
    ids = OURS[lower](text)["input_ids"]
    want = THEIRS[lower].decode(ids, clean_up_tokenization_spaces=True)
    assert OURS[lower].decode(ids) == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("The nation's ships don't sail.", "the nation's ships don't sail."),
        ("We'll, THEY'RE; a 'good' one!", "we'll, they're ; a ' good ' one!"),
        ("unaffable", "unaffable"),
    ],
)
def test_decoded_text_can_be_read_and_is_tokenized_alike(text, want):
    tokens = OURS[True].tokenize(text)
    assert OURS[True].decode(OURS[True].convert_tokens_to_ids(tokens)) == want
    assert OURS[True].tokenize(want) == tokens


@settings(max_examples=200, deadline=None)
@given(first=st.integers(1, 12), second=st.integers(1, 12), max_length=st.integers(5, 24))
def test_truncation_takes_from_the_longer_side(first, second, max_length):
    a, b = "a " * first, "b " * second
    want = THEIRS[True](a, b, truncation="longest_first", max_length=max_length)
    assert OURS[True](a, b, max_length=max_length) == dict(want)


@pytest.mark.parametrize("max_length", [None, 20, 9, 4])
@pytest.mark.parametrize("pair", [None, "How are you today, my dear old friend?"])
def test_input_format(pair, max_length):
    text = "Hello there, general: unaffable."
    want = THEIRS[True](text, pair, truncation=max_length is not None, max_length=max_length)
    assert OURS[True](text, pair, max_length=max_length) == dict(want)


def test_batches_are_padded():
    texts = ["one", "one two three four"]
    want = THEIRS[True](texts, padding=True)
    assert OURS[True](texts) == dict(want)


@pytest.mark.parametrize("lower", [True, False])
def test_saved_directory_loads_in_transformers(tmp_path, lower):
    OURS[lower].save(tmp_path)
    theirs = transformers.BertTokenizerFast.from_pretrained(tmp_path)
    again = BertTokenizer.from_pretrained(tmp_path)
    for text in HARD:
        assert theirs.tokenize(text) == again.tokenize(text) == OURS[lower].tokenize(text)
    assert OURS[lower].to_fast().tokenize("Héllo Wörld") == OURS[lower].tokenize("Héllo Wörld")


@pytest.mark.parametrize("lower", [True, False])
def test_a_directory_that_transformers_saved_loads(tmp_path, lower):
    OURS[lower].to_fast().save_pretrained(tmp_path)
    again = BertTokenizer.from_pretrained(tmp_path)
    assert again.tokens == OURS[lower].tokens and again.do_lower_case is lower


def test_a_tokenizer_of_another_kind_is_named(tmp_path):
    transformers.GPT2TokenizerFast(vocab={"a": 0}, merges=[]).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"not BERT's: it holds no word pieces"):
        BertTokenizer.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"strip_accents": False}, "strip_accents"),
        ({"tokenize_chinese_chars": False}, "tokenize_chinese_chars"),
        ({"tokenizer_class": "BertJapaneseTokenizer"}, "BertJapaneseTokenizer"),
        ({"added_tokens_decoder": {"9": {"content": "[ENT]"}}}, r"\[ENT\]"),
    ],
)
def test_settings_that_change_ids_are_refused(tmp_path, config, says):
    OURS[True].save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=says):
        BertTokenizer.from_pretrained(tmp_path)


def test_added_tokens_are_refused(tmp_path):
    theirs = OURS[True].to_fast()
    theirs.add_tokens(["zorgblat"])
    theirs.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="tokens of its own: zorgblat"):
        BertTokenizer.from_pretrained(tmp_path)


def test_case_is_read_from_tokenizer_json_too(tmp_path):
    OURS[False].to_fast().save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    assert not BertTokenizer.from_pretrained(tmp_path).do_lower_case


def test_saving_over_another_tokenizer_leaves_nothing_of_it(tmp_path):
    OURS[False].to_fast().save_pretrained(tmp_path)
    small = BertTokenizer([*SPECIAL_TOKENS, "a"])
    small.save(tmp_path)
    theirs = transformers.BertTokenizerFast.from_pretrained(tmp_path)
    assert len(theirs) == BertTokenizer.from_pretrained(tmp_path).vocab_size == 6


def test_what_a_call_takes():
    tokenizer = OURS[True]
    assert tokenizer(("a", "b c"), ("d", "e")) == tokenizer(["a", "b c"], ["d", "e"])
    for text, pair in ((["a", "b"], ["c"]), (["a", "b"], "c"), ("a", ["b", "c"])):
        with pytest.raises(ValueError, match="as many pairs"):
            tokenizer(text, pair)
    with pytest.raises(ValueError, match="'np'"):
        tokenizer("a", return_tensors="np")


def test_a_vocabulary_without_special_tokens_is_named(tmp_path):
    (tmp_path / "vocab.txt").write_text("a\nb\n")
    with pytest.raises(ValueError, match="MASK"):
        BertTokenizer(tmp_path / "vocab.txt")


@pytest.mark.parametrize("lower", [True, False])
def test_training(tmp_path, lower):
    text = ["The cat sat on the mat, and the Cat sat again."] * 5 + ["Café numbers: 1 2 3"]
    trained = BertTokenizer.train(text, vocab_size=70, do_lower_case=lower)
    assert trained.tokens[:5] == list(SPECIAL_TOKENS)
    assert trained.vocab_size <= 70
    assert all(trained.tokens == BertTokenizer.train(text, 70, lower).tokens for _ in range(5))
    assert ("C" in "".join(trained.tokens[5:])) is not lower
    trained.save(tmp_path)
    theirs = transformers.BertTokenizerFast.from_pretrained(tmp_path)
    assert theirs(text[0])["input_ids"] == trained(text[0])["input_ids"]
    assert "[UNK]" not in trained.tokenize(text[0])
    with pytest.raises(ValueError, match="too small"):
        BertTokenizer.train(text, vocab_size=10)
