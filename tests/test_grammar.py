"""Minimal pairs: minimal, balanced, scored as a slow loop scores them, read from others' files."""

import json
import math
import random
import re
import sys
from collections import Counter
from functools import cache

import datasets
import pytest
import scipy.stats
import torch
import transformers
from command import run

from minibert.analysis import grammar
from minibert.analysis.grammar import (
    Score,
    mean_accuracy,
    score_minimal_pairs,
    score_snapshots,
    score_table,
    scores_as_json,
)
from minibert.config import BertConfig
from minibert.data.grammar_templates import TEMPLATES
from minibert.data.minimal_pairs import (
    Pair,
    Phenomenon,
    choose_phenomena,
    load_minimal_pairs,
    make_minimal_pairs,
)
from minibert.finetuning.metrics import proportion_interval
from minibert.inference import pseudo_likelihood
from minibert.inference.pseudo_likelihood import pseudo_log_likelihood, pseudo_log_likelihoods
from minibert.model import BertForPreTraining
from minibert.tokenizer import SPECIAL_TOKENS, BertTokenizer
from minibert.viz.grammar_curve import draw_grammar_curve

WORDS = sorted(
    {
        word
        for template in TEMPLATES
        for text in (template.good, *(v for values in template.slots.values() for v in values))
        for word in re.findall(r"[a-z]+|[.?]", re.sub(r"\{\w+\}", " ", text))
    }
)
TOKENIZER = BertTokenizer([*SPECIAL_TOKENS, *WORDS])
FEW = "the boy boys dog dogs this these bought ."
NAMES = [template.name for template in TEMPLATES]
each_template = pytest.mark.parametrize("template", TEMPLATES, ids=NAMES)


def small_bert(seed=0, tokenizer=TOKENIZER):
    torch.manual_seed(seed)
    config = BertConfig.preset(
        "tiny", vocab_size=tokenizer.vocab_size, max_position_embeddings=32, initializer_range=0.2
    )
    return BertForPreTraining(config, next_sentence=False).eval()


@cache
def ours(seed=0):
    return {one.name: one for one in make_minimal_pairs(TOKENIZER, seed=seed)}


def pairs_of(template, seed=0):
    return ours(seed)[template.name].pairs


# --- our own pairs -------------------------------------------------------------------------------


def test_there_are_about_twenty_phenomena_of_a_hundred_pairs():
    found = make_minimal_pairs(TOKENIZER)
    assert [len(one.pairs) for one in found] == [100] * len(TEMPLATES)
    assert len({one.name for one in found}) == len(found) >= 20
    assert len({one.category for one in found}) >= 10


@each_template
def test_a_pair_differs_in_one_word_or_in_the_order_of_words(template):
    for good, bad in pairs_of(template):
        good, bad = TOKENIZER.tokenize(good), TOKENIZER.tokenize(bad)
        if template.bad:
            assert good != bad and Counter(good) == Counter(bad)
        else:
            assert len(good) == len(bad)
            assert sum(a != b for a, b in zip(good, bad, strict=True)) == 1


@each_template
def test_each_form_is_right_in_half_of_the_pairs(template):
    right, wrong = Counter(), Counter()
    for good, bad in pairs_of(template):
        right.update(TOKENIZER.tokenize(good))
        wrong.update(TOKENIZER.tokenize(bad))
    assert right == wrong


@each_template
def test_the_seed_decides_and_no_pair_comes_twice(template):
    pairs = pairs_of(template)
    again = {one.name: one for one in make_minimal_pairs(TOKENIZER)}
    assert pairs == again[template.name].pairs != pairs_of(template, seed=1)
    assert len({pair.good for pair in pairs}) == len({pair.bad for pair in pairs}) == len(pairs)
    assert not {pair.good for pair in pairs} & {pair.bad for pair in pairs}


@each_template
def test_no_word_fills_two_slots(template):
    """ "The boy that the boy saw" would be another kind of sentence."""
    words = [set(re.findall(r"\w+", " ".join(values))) for values in template.slots.values()]
    shared = {"the", "is", "here", "in", "well", "hard", "at", "on"}  # within phrases
    for number, some in enumerate(words):
        for others in words[:number]:
            assert not (some & others) - shared


def test_a_word_that_the_vocabulary_lacks_is_not_used():
    """Other words take its place; where a word of the frame is missing, there are no pairs."""
    gone = {"boy", "boys", "these", "himself", "ever"}
    tokenizer = BertTokenizer([*SPECIAL_TOKENS, *(w for w in WORDS if w not in gone), "bo", "##y"])
    numbers = {one.name: len(one.pairs) for one in make_minimal_pairs(tokenizer)}
    for one in make_minimal_pairs(tokenizer):
        for text in (text for pair in one.pairs for text in pair):
            assert tokenizer.tokenize(text) == re.findall(r"\w+|[.?]", text)
    assert numbers["verb_next_to_subject"] == numbers["determiner_next_to_noun"] == 100
    for name in ("reflexive_gender", "reflexive_number", "ever_in_scope_of_nobody"):
        assert numbers[name] == 0
    few = BertTokenizer([*SPECIAL_TOKENS, *re.findall(r"\S+", FEW)])
    numbers = {one.name: len(one.pairs) for one in make_minimal_pairs(few)}
    assert numbers.pop("determiner_next_to_noun") == 2 and set(numbers.values()) == {0}


@pytest.mark.parametrize("pairs", [-2, 0, 7])
def test_a_number_of_pairs_that_cannot_be_balanced(pairs):
    with pytest.raises(ValueError, match=f"pairs is {pairs}: give an even number, 2 or more"):
        make_minimal_pairs(TOKENIZER, pairs)


# --- scores --------------------------------------------------------------------------------------


@torch.no_grad()
def test_scores_are_those_of_a_loop_over_hugging_faces_model(tmp_path):
    small_bert().save_pretrained(tmp_path, TOKENIZER)
    theirs = transformers.BertForMaskedLM.from_pretrained(tmp_path).eval()

    def by_hand(text):
        ids = torch.tensor(TOKENIZER(text)["input_ids"])
        total = 0.0
        for place in range(1, len(ids) - 1):
            masked = ids.clone()
            masked[place] = TOKENIZER.vocab["[MASK]"]
            logits = theirs(masked[None]).logits[0, place]
            total += logits.log_softmax(-1)[ids[place]].item()
        return total

    phenomena = make_minimal_pairs(TOKENIZER, 2)[::6]
    scores = score_minimal_pairs(small_bert(), TOKENIZER, phenomena)
    for phenomenon, score in zip(phenomena, scores, strict=True):
        want = [by_hand(good) - by_hand(bad) for good, bad in phenomenon.pairs]
        assert score.differences == pytest.approx(want, abs=1e-4)
    assert max(abs(d) for score in scores for d in score.differences) > 1


@pytest.mark.parametrize("batch_tokens", [1, 70, 8192])
def test_many_texts_score_as_one_does(monkeypatch, batch_tokens):
    monkeypatch.setattr(pseudo_likelihood, "BATCH_TOKENS", batch_tokens)
    bert = small_bert()
    texts = [
        text for one in make_minimal_pairs(TOKENIZER, 2)[::4] for pair in one.pairs for text in pair
    ]
    got = pseudo_log_likelihoods(bert, TOKENIZER, texts)
    want = [pseudo_log_likelihood(bert, TOKENIZER, text).total for text in texts]
    assert got == pytest.approx(want, abs=1e-4)


@pytest.mark.parametrize("text", ["", "the [MASK] is here.", "the boy [SEP]", "the " * 31])
def test_a_text_that_cannot_be_scored_is_named(text):
    with pytest.raises(ValueError) as one:
        pseudo_log_likelihood(small_bert(), TOKENIZER, text)
    with pytest.raises(ValueError, match=r"\(text 2, ") as many:
        pseudo_log_likelihoods(small_bert(), TOKENIZER, ["the boy.", text])
    assert str(many.value)[:20] == str(one.value)[:20]


@each_template
def test_without_context_exactly_half_are_right(template):
    """A model whose guesses are the same everywhere, whatever they are."""
    bert = small_bert()
    for parameter in bert.parameters():
        parameter.data.zero_()
    bias = bert.mlm_head.decoder.bias.data
    bias.copy_(3 * torch.randn(len(bias), generator=torch.Generator().manual_seed(1)))
    (score,) = score_minimal_pairs(bert, TOKENIZER, [ours()[template.name]])
    assert score.accuracy == 0.5


def test_all_right_all_wrong_and_ties(monkeypatch):
    phenomena = make_minimal_pairs(TOKENIZER, 10)
    good = {pair.good for one in phenomena for pair in one.pairs}
    for preferred, accuracy in ((1.0, 1.0), (-1.0, 0.0), (0.0, 0.5)):
        totals = lambda *a, value=preferred: [value * (text in good) for text in a[2]]
        monkeypatch.setattr(grammar, "pseudo_log_likelihoods", totals)
        scores = score_minimal_pairs(None, TOKENIZER, phenomena)
        assert {score.accuracy for score in scores} == {accuracy}
        assert mean_accuracy(scores)[0] == accuracy


@pytest.mark.parametrize(("right", "number"), [(0, 1), (3, 10), (50, 100), (97, 100), (100, 100)])
def test_the_interval_is_wilsons(right, number):
    want = scipy.stats.binomtest(right, number).proportion_ci(0.95, method="wilson")
    assert proportion_interval(right, number) == pytest.approx(tuple(want), abs=1e-6)


def score_of(name, right, number, category="agreement"):
    differences = (1.0,) * right + (-1.0,) * (number - right)
    return Score(Phenomenon(name, category, ()), differences)


def test_the_interval_of_the_mean_holds_the_truth_in_95_of_100_cases():
    """Phenomena of known accuracy, drawn a thousand times."""
    draw, truths = random.Random(0), [0.4, 0.6, 0.8, 0.95, 0.5, 0.7]
    held = 0
    for _ in range(1000):
        scores = [score_of("a", sum(draw.random() < p for _ in range(50)), 50) for p in truths]
        _, low, high = mean_accuracy(scores)
        held += low <= math.fsum(truths) / len(truths) <= high
    assert 930 <= held <= 970


def test_the_table_says_how_many_pairs_there_are():
    scores = [score_of("one", 3, 4), score_of("two", 0, 0), score_of("three", 1, 4, "islands")]
    lines = score_table(scores).splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "pairs accuracy 95 % interval",
        "agreement",
        "one 4 75.0% 30.1% to 95.4%",
        "two 0 (the vocabulary lacks its words)",
        "islands",
        "three 4 25.0% 4.6% to 69.9%",
        "mean of 2 phenomena 8 50.0% 25.3% to 74.7%",
        "chance 50.0%",
    ]
    told = scores_as_json(scores)
    assert told["mean"]["accuracy"] == 0.5
    assert told["phenomena"]["two"]["accuracy"] is None
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    with pytest.raises(ValueError, match="vocabulary lacks the words"):
        score_table(scores[1:2])


# --- others' pairs -------------------------------------------------------------------------------


def blimp_rows(name, number):
    """Rows of the shape of BLiMP's, with its columns."""
    return [
        {
            "sentence_good": f"The boys see {n}.",
            "sentence_bad": f"The boys sees {n}.",
            "field": "morphology",
            "linguistics_term": "subject_verb_agreement",
            "UID": name,
            "simple_LM_method": True,
            "pair_id": n,
        }
        for n in range(number)
    ]


def blimp(name, number):
    pairs = (Pair(row["sentence_good"], row["sentence_bad"]) for row in blimp_rows(name, number))
    return Phenomenon(name, "subject verb agreement", tuple(pairs))


def test_blimp_by_its_name(tmp_path, monkeypatch):
    """The library `datasets` takes a folder of that name, with the hub's files, for the hub."""
    folder = tmp_path / "nyu-mll" / "blimp"
    card = ["---", "configs:"]
    for name, number in (("first", 3), ("second", 2)):
        (folder / name).mkdir(parents=True)
        rows = datasets.Dataset.from_list(blimp_rows(name, number))
        rows.to_parquet(folder / name / "train-00000-of-00001.parquet")
        card += [f"- config_name: {name}", "  data_files:", "  - split: train"]
        card += [f"    path: {name}/train-*"]
    (folder / "README.md").write_text("\n".join([*card, "---"]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    assert load_minimal_pairs("hf:nyu-mll/blimp") == [blimp("first", 3), blimp("second", 2)]
    assert load_minimal_pairs("hf:nyu-mll/blimp:second") == [blimp("second", 2)]


def test_without_the_library_datasets_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'minibert\[datasets\]'"):
        load_minimal_pairs("hf:nyu-mll/blimp")


def test_blimp_in_its_own_files(tmp_path):
    for name, number in (("second", 2), ("first", 3)):
        lines = "".join(json.dumps(row) + "\n" for row in blimp_rows(name, number))
        (tmp_path / f"{name}.jsonl").write_text(lines)
    (tmp_path / "notes.md").write_text("not ours")
    assert load_minimal_pairs(tmp_path) == [blimp("first", 3), blimp("second", 2)]


ZORRO = "where is the boys ?\nwhere is the boy ?\nwhere are the boy ?\nwhere are the boys ?\n"


def test_zorro_has_the_ungrammatical_sentence_first(tmp_path):
    (tmp_path / "agreement_subject_verb-in_simple_question.txt").write_text(ZORRO)
    (tmp_path / "island-effects-adjunct_island.txt").write_text(ZORRO)
    first, second = load_minimal_pairs(tmp_path)
    assert (first.category, first.name) == ("agreement subject verb", "in_simple_question")
    assert (second.category, second.name) == ("island-effects", "adjunct_island")
    assert first.pairs == (
        Pair("where is the boy ?", "where is the boys ?"),
        Pair("where are the boys ?", "where are the boy ?"),
    )


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("a-b.txt", ZORRO + "one more .\n", r"a-b\.txt has 5 lines: give an even number"),
        ("a-b.txt", "one .\n\ntwo .\n", r"a-b\.txt, line 2 is empty"),
        ("a-b.txt", " \n", r"a-b\.txt, line 1 is empty"),
        ("a.jsonl", '{"sentence_good": "a"}', r"a\.jsonl, line 1 has no text in the column UID"),
        (
            "a.jsonl",
            '\n{"UID": "a", "linguistics_term": "b", "sentence_good": "c", "sentence_bad": 3}',
            r"a\.jsonl, line 2 has no text in the column sentence_bad",
        ),
        ("a.jsonl", "{", r"a\.jsonl, line 1 is not JSON"),
        ("a.csv", "a,b\n", r"has no \.jsonl file, as BLiMP has them, and no \.txt file"),
    ],
)
def test_what_is_no_pair_is_named(tmp_path, file, text, says):
    (tmp_path / file).write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=says):
        load_minimal_pairs(tmp_path)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*new: give one, or hf:NAME"):
        load_minimal_pairs(tmp_path / "new")


# --- along a training, and in a terminal ---------------------------------------------------------


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A run's folder: two snapshots, and the finished model."""
    out = tmp_path_factory.mktemp("run")
    for seed, step in enumerate((0, 10)):
        small_bert(seed).save_pretrained(out / "snapshots" / f"step-{step:09d}", TOKENIZER)
    small_bert(2).save_pretrained(out, TOKENIZER)
    (out / "history.jsonl").write_text('{"step": 12, "loss": 1.0, "seconds": 1.0}\n')
    return out


def test_each_snapshot_is_scored(kept):
    phenomena = make_minimal_pairs(TOKENIZER, 4)[::5]
    along = list(score_snapshots(kept, phenomena))
    assert [step for step, _ in along] == [0, 10, 12]
    for seed, (_, scores) in enumerate(along):
        assert scores == score_minimal_pairs(small_bert(seed), TOKENIZER, phenomena)
    assert along[0][1] != along[1][1] != along[2][1]


def test_the_curve_goes_through_the_scores(tmp_path):
    """A panel for all and one for each category, but for what has no pairs."""
    none = score_of("none", 0, 0, "nothing")
    along = [
        (step, [score_of("one", one, 10), none, score_of("two", two, 10, "islands")])
        for step, one, two in ((0, 5, 3), (10, 7, 3), (25, 9, 7))
    ]
    picture = draw_grammar_curve(along)
    assert picture.alt.endswith(
        "At step 0 and at step 25: all phenomena 40% and 80%, agreement 50% and 90%, "
        "islands 30% and 70%."
    )
    panels = [ax for ax in picture.figure.axes if ax.get_visible()]
    assert [ax.get_title() for ax in panels] == ["all phenomena", "agreement", "islands"]
    want = ([0.4, 0.5, 0.8], [0.5, 0.7, 0.9], [0.3, 0.3, 0.7])
    for ax, accuracies in zip(panels, want, strict=True):
        chance, line = ax.lines
        assert list(chance.get_ydata()) == [0.5, 0.5]
        assert line.get_xdata().tolist() == [0, 10, 25]
        assert line.get_ydata() == pytest.approx(accuracies)
    (band,) = panels[1].collections
    assert band.get_datalim(panels[1].transData).get_points()[:, 1] == pytest.approx(
        [proportion_interval(5, 10)[0], proportion_interval(9, 10)[1]]
    )
    assert draw_grammar_curve(along[:1]).save(tmp_path / "one.svg").stat().st_size > 0
    with pytest.raises(ValueError, match="there is no step to draw"):
        draw_grammar_curve([])


def test_grammar_in_a_terminal(kept, tmp_path):
    out = tmp_path / "new" / "scores.json"
    shown = run("grammar", kept, "--pairs", 4, "-o", out)
    told = json.loads(out.read_text())
    scores = score_minimal_pairs(small_bert(2), TOKENIZER, make_minimal_pairs(TOKENIZER, 4))
    assert told == scores_as_json(scores)
    assert shown == f"{score_table(scores)}\n{out}\n"
    assert "exists already" in run("grammar", kept, "-o", out, expect=2)
    one = run("grammar", kept, "--pairs", 4, "--show", NAMES[0], "-o", out, "--overwrite")
    for line, pair, difference in zip(
        one.splitlines(), scores[0].phenomenon.pairs, scores[0].differences, strict=False
    ):
        verdict = "right" if difference > 0 else "wrong"
        assert line == f"{verdict} {difference:+7.2f}  {pair.good} / {pair.bad}"
    assert list(json.loads(out.read_text())["phenomena"]) == [NAMES[0]]


def test_the_curve_in_a_terminal_of_others_pairs(kept, tmp_path):
    (tmp_path / "agreement-questions.txt").write_text(2 * ZORRO)
    curve = tmp_path / "curve.png"
    shown = run("grammar", kept, "--data", tmp_path, "--pairs", 3, "--curve", curve)
    assert curve.read_bytes().startswith(b"\x89PNG")
    lines = shown.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == [f"step {s:7}" for s in (0, 10, 12)]
    assert lines[4] == "agreement" and lines[5].split()[:2] == ["questions", "3"]
    assert lines[-1] == str(curve)
    phenomena = choose_phenomena(TOKENIZER, str(tmp_path), 3, None)
    last = score_table(score_minimal_pairs(small_bert(2), TOKENIZER, phenomena))
    assert "\n".join(lines[3:-1]) == last  # of the finished model
    drawn = curve.read_bytes()
    again = run("grammar", kept, "--pairs", 2, "--curve", curve, expect=2)
    assert "curve.png exists already" in again and curve.read_bytes() == drawn


def test_a_model_that_knows_nothing_ties(tmp_path):
    """Every token is as likely as any other, so both sentences are."""
    model = small_bert()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    model.save_pretrained(tmp_path, TOKENIZER)
    shown = run("grammar", tmp_path, "--pairs", 2, "--show", NAMES[0]).splitlines()
    assert [line.split()[:2] for line in shown[:2]] == [["tie", "+0.00"]] * 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{plain}", "--curve", "{new}.png"], "has no snapshots"),
        (["{run}", "--curve", "{new}.jpg"], "must end in .png or .svg"),
        (["{run}", "-o", "{new}.txt"], "must end in .json"),
        (["{run}", "--pairs", "3"], "give an even number"),
        (["{run}", "--pairs", "0"], "Invalid value for '--pairs'"),
        (["{run}", "--show", "spelling"], "no phenomenon spelling; there are verb_next_to_subject"),
        (["{run}", "--data", "{new}"], "there is no folder"),
        (["{run}", "--data", "{long}"], "the text is 31 tokens long and 30 fit"),
        (["{few}"], "vocabulary lacks the words"),
        (["{new}"], "is not a directory"),
    ],
)
def test_what_goes_wrong_is_one_line(kept, tmp_path, arguments, says):
    few = BertTokenizer([*SPECIAL_TOKENS, "the", "."])
    small_bert(tokenizer=few).save_pretrained(tmp_path / "few", few)
    small_bert().save_pretrained(tmp_path / "plain", TOKENIZER)
    (tmp_path / "long").mkdir()
    (tmp_path / "long" / "a-b.txt").write_text("the boy .\n" + "the " * 31 + "\n")
    places = {name: tmp_path / name for name in ("few", "plain", "long", "new")}
    places["run"] = kept
    assert says in run("grammar", *(a.format(**places) for a in arguments), expect=2)
