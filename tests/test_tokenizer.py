"""The tokenizer from scratch, against `BertTokenizerFast` and BERT's real English vocabulary."""

import json
import sys
import unicodedata
import warnings

import pytest
import tokenizers
import transformers
from hard_texts import HARD
from hypothesis import example, given, settings
from hypothesis import strategies as st
from witnesses import minilm_directory

from minibert.tokenizer import SPECIAL_TOKENS, BertTokenizer

VOCAB = minilm_directory() / "vocab.txt"
OURS = {lower: BertTokenizer(VOCAB, do_lower_case=lower) for lower in (True, False)}
THEIRS = {
    lower: transformers.BertTokenizerFast(vocab=dict(OURS[lower].vocab), do_lower_case=lower)
    for lower in (True, False)
}


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
@settings(max_examples=100, deadline=None)
@given(texts=st.lists(TEXT, max_size=4))
@example(texts=HARD)
@example(texts=["  tax\x1ces\u00a0tax\tes  ", "tax es", ""])  # \x1c is removed, and joins
def test_the_bulk_encoder_gives_the_same_ids(lower, texts):
    ours = OURS[lower]
    want = [ours.convert_tokens_to_ids(ours.tokenize(text)) for text in texts]
    assert ours.encode_batch(texts) == want


def test_a_large_text_does_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr("minibert.tokenizer.WORDS_REMEMBERED", 100)
    tokenizer, most = BertTokenizer(VOCAB), 0
    for part in range(8):
        text = " ".join(f"{part}and{number}" for number in range(30))
        assert tokenizer.encode_batch([text]) == [tokenizer(text)["input_ids"][1:-1]]
        most = max(most, len(tokenizer._ids_of_words))
    assert 60 <= most <= 100


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
    with pytest.raises(
        ValueError, match=r"tokenizer\.json: it is not BERT's: it holds no word pieces"
    ):
        BertTokenizer.from_pretrained(tmp_path)


WORDS = [
    *SPECIAL_TOKENS,
    "the",
    "The",
    "cat",
    "##s",
    "a",
    "e1",
    "[",
    "]",
    "<",
    ">",
    ".",
    "caf",
    "##é",
]
TEXTS = ["the [e1] cat <e1> [MASK]", "The Cats. [mask] zzz [MASK]cat", "café 猫cat 猫"]


def write(folder, **files):
    """A small BERT's folder; files are `tokenizer_config={...}`, None for one that is not there."""
    (folder / "config.json").write_text('{"model_type": "bert"}')
    for name, values in files.items():
        if name == "vocab":
            (folder / "vocab.txt").write_text("\n".join(values) + "\n")
        elif values is not None:
            (folder / f"{name}.json").write_text(json.dumps(values))


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"added_tokens": {"[MASK]": 4}, "special_tokens_map": {"mask_token": "[MASK]"}},
        {"special_tokens_map": {"mask_token": {"content": "[MASK]", "lstrip": True}}},
        {"special_tokens_map": {"additional_special_tokens": ["[MASK]"]}},
        {"tokenizer_config": {"extra_special_tokens": {}, "additional_special_tokens": []}},
        {"tokenizer_config": {"do_lower_case": False, "strip_accents": False}},
        {"tokenizer_config": {"do_lower_case": True, "strip_accents": True, "bos_token": None}},
        {"tokenizer_config": {"added_tokens_decoder": {"4": {"content": "[MASK]"}}}},
        {"tokenizer_config": {"never_split": ["the"], "padding_side": "right"}},
        {"added_tokens": {"[e1]": 18, "<e1>": 19}},
        {"special_tokens_map": {"additional_special_tokens": ["<e1>"]}},
        {"special_tokens_map": {"mask_token": {"content": "[MASK]", "normalized": True}}},
        {"special_tokens_map": {"cls_token": "the"}},
        {"tokenizer_config": {"extra_special_tokens": ["<e1>"]}},
        {"tokenizer_config": {"extra_special_tokens": {"e_token": "<e1>"}}},
        {"tokenizer_config": {"mask_token": {"content": "[MASK]", "__type": "AddedToken"}}},
        {"tokenizer_config": {"added_tokens_decoder": {"18": {"content": "<e1>"}}}},
        {"tokenizer_config": {"unk_token": "a"}},
        {"tokenizer_config": {"bos_token": "a"}},
        {"tokenizer_config": {"padding_side": "left"}},
        {"tokenizer_config": {"strip_accents": False}},
        {"tokenizer_config": {"do_lower_case": False, "strip_accents": True}},
        {"tokenizer_config": {"tokenize_chinese_chars": False}},
    ],
)  # fmt: skip
def test_settings_give_the_ids_of_transformers_or_are_refused(tmp_path, files):
    write(tmp_path, vocab=WORDS, **files)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    plain = BertTokenizer(WORDS, files.get("tokenizer_config", {}).get("do_lower_case", True))
    want = theirs(TEXTS, padding=True)["input_ids"]
    if want != plain(TEXTS)["input_ids"]:
        ((name, _),) = files.items()
        with pytest.raises(ValueError, match=rf"{name}\.json: \w+ is not BERT's: "):
            BertTokenizer.from_pretrained(tmp_path)
        return
    ours = BertTokenizer.from_pretrained(tmp_path)
    assert ours(TEXTS)["input_ids"] == want
    ours.save(tmp_path)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert again(TEXTS, padding=True)["input_ids"] == want


@pytest.mark.parametrize(
    ("file", "values", "says"),
    [
        ("tokenizer_config", {"tokenizer_class": "BertJapaneseTokenizer"}, "BertJapaneseTokenizer"),
        ("tokenizer_config", {"tokenizer_class": 3}, "tokenizer_class"),
        ("tokenizer_config", {"do_lower_case": "false"}, "do_lower_case"),
        ("tokenizer_config", {"do_lower_case": []}, "do_lower_case"),
        ("tokenizer_config", {"strip_accents": "no"}, "strip_accents"),
        ("tokenizer_config", {"added_tokens_decoder": 5}, "added_tokens_decoder"),
        ("tokenizer_config", {"added_tokens_decoder": {"5": 5}}, "added_tokens_decoder"),
        ("tokenizer_config", {"extra_special_tokens": "<e1>"}, "extra_special_tokens"),
        ("tokenizer_config", {"mask_token": ["[MASK]"]}, "mask_token"),
        ("special_tokens_map", {"mask_token": {"content": {}}}, "mask_token"),
    ],
)
def test_a_setting_of_another_type_is_one_line_that_names_file_and_field(
    tmp_path, file, values, says
):
    write(tmp_path, vocab=WORDS, **{file: values})
    with pytest.raises(ValueError, match=rf"{file}\.json: {says} is not BERT's|{says}") as error:
        BertTokenizer.from_pretrained(tmp_path)
    assert f"{file}.json: " in str(error.value) and "\n" not in str(error.value)


def rust_file(lower=True, **changes):
    """What transformers writes as `tokenizer.json`, with `model__vocab={...}` for changes."""
    fast = transformers.BertTokenizerFast(
        vocab={word: number for number, word in enumerate(WORDS)}, do_lower_case=lower
    )
    values = json.loads(fast.backend_tokenizer.to_str())
    for path, value in changes.items():
        place = values
        *parents, last = path.split("__")
        for name in parents:
            place = place[name]
        place[last] = value
    return values


CHANGED = [
    {},
    {
        "truncation": {
            "direction": "Right",
            "max_length": 4,
            "strategy": "LongestFirst",
            "stride": 0,
        }
    },
    {"decoder": None},
    {"normalizer__strip_accents": True},
    {"normalizer__strip_accents": False},
    {"normalizer__clean_text": False},
    {"normalizer__handle_chinese_chars": False},
    {"normalizer": {"type": "Lowercase"}},
    {"normalizer": None},
    {"pre_tokenizer": {"type": "Whitespace"}},
    {"pre_tokenizer": None},
    {"model__max_input_chars_per_word": 3},
    {"model__unk_token": "a"},
    {"model__continuing_subword_prefix": "@@"},
    {"post_processor": None},
    {"added_tokens": []},
    {"model__vocab": {word: 2 * number for number, word in enumerate(WORDS)}},
]


@pytest.mark.parametrize("changes", CHANGED, ids=str)
def test_tokenizer_json_gives_the_ids_of_tokenizers_or_is_refused(tmp_path, changes):
    values = rust_file(**changes)
    write(tmp_path, tokenizer=values)
    theirs = tokenizers.Tokenizer.from_str(json.dumps(values))
    theirs.no_truncation()
    texts = [*TEXTS, "c\x00at ca\u200bt", "cat... <<a>>"]
    want = [theirs.encode(text).ids for text in texts]
    if want != [BertTokenizer(WORDS)(text)["input_ids"] for text in texts]:
        (part,) = {name.split("__")[0] for name in changes}
        with pytest.raises(
            ValueError, match=rf"tokenizer\.json: its .*{part}.* would give other ids"
        ):
            BertTokenizer.from_pretrained(tmp_path)
    else:
        ours = BertTokenizer.from_pretrained(tmp_path)
        assert [ours(text)["input_ids"] for text in texts] == want


@pytest.mark.parametrize(
    "text",
    ["[]", "3", "{", '{"a": ' * 100_000, '{"model": 3}', '{"model": {"type": "WordPiece"}}', "",
     json.dumps(rust_file(model__vocab={"a": "b"})), json.dumps(rust_file(added_tokens=3)),
     json.dumps(rust_file(model__vocab={"[UNK]": 0})), json.dumps(rust_file(normalizer=[]))],
)  # fmt: skip
def test_a_tokenizer_json_of_another_type_is_one_line(tmp_path, text):
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(ValueError) as error:
        BertTokenizer.from_pretrained(tmp_path)
    line = str(error.value)
    assert line.startswith(f"{tmp_path / 'tokenizer.json'}: ") and len(line) < 400


def test_two_vocabularies_that_differ_are_refused(tmp_path):
    write(tmp_path, vocab=[*WORDS, "more"], tokenizer=rust_file())
    with pytest.raises(ValueError, match=r"vocab\.txt and tokenizer\.json hold different tokens"):
        BertTokenizer.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("stated", "in_rust", "lower"),
    [(True, False, True), (False, True, False), (None, False, False)],
)
@pytest.mark.parametrize("vocab", [True, False])
def test_where_two_files_disagree_about_case_one_is_chosen_aloud(
    tmp_path, stated, in_rust, lower, vocab
):
    config = {"tokenizer_class": "BertTokenizer", "do_lower_case": stated}
    write(tmp_path, tokenizer=rust_file(lower=in_rust), tokenizer_config=config)
    if vocab:
        write(tmp_path, vocab=WORDS)
    with pytest.warns(UserWarning, match=f"disagree .* do_lower_case to be {lower}"):
        ours = BertTokenizer.from_pretrained(tmp_path)
    assert ours.do_lower_case is lower
    if stated is not None:  # then it is transformers' choice too
        theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
        assert ours(TEXTS)["input_ids"] == theirs(TEXTS, padding=True)["input_ids"]


@pytest.mark.parametrize("lower", [True, False])
def test_where_files_agree_about_case_nothing_is_said(tmp_path, lower):
    write(tmp_path, tokenizer=rust_file(lower=lower), tokenizer_config={"do_lower_case": lower})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert BertTokenizer.from_pretrained(tmp_path).do_lower_case is lower


def test_a_huge_vocabulary_is_not_read(tmp_path):
    with (tmp_path / "vocab.txt").open("wb") as stream:
        stream.truncate(500_000_000)  # sparse: it takes no room on the disk
    with pytest.raises(ValueError, match=r"vocab\.txt has 500,000,000 bytes"):
        BertTokenizer.from_pretrained(tmp_path)


def test_saving_over_another_tokenizer_leaves_nothing_of_it(tmp_path):
    OURS[False].to_fast().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    small = BertTokenizer([*SPECIAL_TOKENS, "a"])
    (tmp_path / "added_tokens.json").write_text('{"b": 6}')
    (tmp_path / "special_tokens_map.json").write_text('{"additional_special_tokens": ["c"]}')
    small.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
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


def test_training_keeps_the_commonest_characters(monkeypatch):
    """Counted after lower-casing and without accents: e three times, b twice, the others once."""
    monkeypatch.setattr("minibert.tokenizer.MAX_ALPHABET", 2)
    trained = BertTokenizer.train(["\u00c9 e\u0301 e A", "bb c"], vocab_size=9)
    assert trained.tokens == [*SPECIAL_TOKENS, "b", "e", "##b", "##e"]
