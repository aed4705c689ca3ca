"""Writing: sampling as transformers does it, each method replayed slowly, known distributions."""

import itertools
import math
import re
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from transformers.generation.logits_process import (
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from minibert.config import BertConfig
from minibert.inference.fill_mask import fill_mask
from minibert.inference.generation import (
    GREEDY,
    Sampling,
    ancestral,
    by_confidence,
    gibbs,
    left_to_right,
    make_frame,
    mask_predict,
)
from minibert.inference.pseudo_likelihood import pseudo_log_likelihood
from minibert.model import BertForPreTraining, load
from minibert.tokenizer import MASK, SPECIAL_TOKENS, BertTokenizer

FRAME = "The [MASK] of the [MASK] must, in 1923, [MASK] [MASK] café."


METHODS = [
    left_to_right,
    partial(gibbs, steps=30),
    partial(mask_predict, passes=3),
    partial(ancestral, steps=2),
    partial(by_confidence, steps=2),
]


NAMES = ["left_to_right", "gibbs", "mask_predict", "ancestral", "by_confidence"]


each_method = pytest.mark.parametrize("write", METHODS, ids=NAMES)


@pytest.fixture(scope="module")
def shipped():
    return load("mini")


@pytest.fixture(scope="module")
def small(shipped):
    """Random weights, large enough that some tokens are much likelier than others."""
    torch.manual_seed(0)
    config = BertConfig.preset(
        "tiny", vocab_size=shipped[1].vocab_size, hidden_size=32, intermediate_size=64,
        num_attention_heads=4, max_position_embeddings=128, initializer_range=0.4,
    )  # fmt: skip
    return BertForPreTraining(config, next_sentence=False).eval(), shipped[1]


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("top_k", [None, 1, 7, 1000])
@pytest.mark.parametrize("top_p", [None, 0.05, 0.6, 0.999, 1.0])
def test_tokens_are_drawn_with_the_shares_of_transformers(temperature, top_k, top_p):
    logits = 3 * torch.randn(20, 50, generator=torch.Generator().manual_seed(1)).double()
    logits[:, 3] = logits[:, 4]  # two that are equally likely
    want = TemperatureLogitsWarper(temperature)(None, logits)
    if top_k is not None:
        want = TopKLogitsWarper(top_k)(None, want)
    if top_p is not None:
        want = TopPLogitsWarper(top_p)(None, want)
    ours = Sampling(temperature, top_k, top_p).probabilities(logits)
    assert torch.equal(ours > 0, want > -math.inf)
    torch.testing.assert_close(ours, want.softmax(-1), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("sampling", "want"),
    [
        (Sampling(), [0.1, 0.5, 0.1, 0.3]),
        (GREEDY, [0, 1, 0, 0]),
        (Sampling(temperature=0.5), [1 / 36, 25 / 36, 1 / 36, 9 / 36]),  # squares
        (Sampling(top_k=2), [0, 0.625, 0, 0.375]),
        (Sampling(top_p=0.49), [0, 1, 0, 0]),
        (Sampling(top_p=0.75), [0, 0.625, 0, 0.375]),
        (Sampling(temperature=0.5, top_p=0.7), [0, 25 / 34, 0, 9 / 34]),  # the squares' nucleus
        (Sampling(temperature=1e-300), [0, 1, 0, 0]),
        (Sampling(temperature=1e300), [0.25, 0.25, 0.25, 0.25]),
    ],
)
def test_shares_by_hand(sampling, want):
    logits = torch.tensor([0.1, 0.5, 0.1, 0.3], dtype=torch.float64).log() + 7
    assert sampling.probabilities(logits).tolist() == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize(
    "wrong",
    [
        dict(temperature=-0.1), dict(temperature=math.nan), dict(temperature=math.inf),
        dict(top_k=0), dict(top_k=-3), dict(top_p=0.0), dict(top_p=1.01), dict(top_p=math.nan),
    ],
)  # fmt: skip
def test_sampling_refuses_what_makes_no_sense(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name} must be a .*, not "):
        Sampling(**wrong)


@each_method
def test_a_seed_is_a_text(small, write):
    state = torch.get_rng_state()
    first = write(*small, FRAME, Sampling(), seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert write(*small, FRAME, Sampling(), seed=3) == first
    assert len({write(*small, FRAME, Sampling(), seed=seed).text for seed in range(6)}) > 3


@each_method
@pytest.mark.parametrize("sampling", [Sampling(), GREEDY], ids=["sampled", "greedy"])
def test_the_frame_stays_and_every_mask_is_filled(small, write, sampling):
    made = write(*small, FRAME, sampling, seed=1)
    frame = small[1].tokenize(FRAME)
    assert made.steps[0].tokens == tuple(frame) and made.steps[0].written == ()
    assert MASK not in made.tokens and made.tokens == made.steps[-1].tokens
    for step in made.steps:
        assert len(step.tokens) == len(step.ids) == len(frame)
        assert tuple(small[1].convert_tokens_to_ids(step.tokens)) == step.ids
        for given, token in zip(frame, step.tokens, strict=True):
            assert given in (MASK, token)
    assert made.text == small[1].decode(made.steps[-1].ids)
    assert re.match(r"the.* must, in 1923,.* caf.*\.$", made.text)


def all_probabilities(model, tokenizer, ids):
    """(T - 2, V), the long way: everything computed, everything there."""
    ids = [tokenizer.vocab["[CLS]"], *ids, tokenizer.vocab["[SEP]"]]
    with torch.no_grad():
        return model(torch.tensor([ids])).prediction_logits[0, 1:-1].softmax(-1)


@each_method
def test_each_step_replayed(small, write):
    """What was written was masked, all else was seen, and the model gave it that probability."""
    model, tokenizer = small
    made = write(model, tokenizer, FRAME, Sampling(temperature=2.0), seed=2)
    for before, step in itertools.pairwise(made.steps):
        ids = list(before.ids)
        for place in step.written:
            ids[place] = tokenizer.vocab[MASK]
        probabilities = all_probabilities(model, tokenizer, ids)
        for place, p in zip(step.written, step.probabilities, strict=True):
            assert p == pytest.approx(float(probabilities[place, step.ids[place]]), rel=1e-3)
            ids[place] = step.ids[place]
        assert tuple(ids) == step.ids


@each_method
def test_no_special_token_and_no_row_without_a_token_is_written(write):
    tokenizer = BertTokenizer([*SPECIAL_TOKENS, "a", "b", "##c"])
    config = BertConfig.preset("tiny", vocab_size=tokenizer.vocab_size + 40)
    model = BertForPreTraining(config, next_sentence=False).eval()
    with torch.no_grad():
        model.mlm_head.decoder.bias[: len(SPECIAL_TOKENS)] = 50
        model.mlm_head.decoder.bias[tokenizer.vocab_size :] = 50
    for sampling in (GREEDY, Sampling(), Sampling(top_k=40), Sampling(100.0, top_p=0.9)):
        made = write(model, tokenizer, make_frame("a", 12, "b"), sampling)
        assert set(made.tokens) <= {"a", "b", "##c"}


@each_method
def test_a_model_in_training_writes_without_dropout_and_stays_there(write):
    tokenizer = BertTokenizer([*SPECIAL_TOKENS, *"abcdefgh"])
    model = BertForPreTraining(
        BertConfig.preset("tiny", vocab_size=13, hidden_dropout_prob=0.5), next_sentence=False
    )
    tracked = []  # by autograd: memory for nothing
    model.bert.register_forward_hook(
        lambda _, args, out: tracked.append(out.last_hidden_state.requires_grad)
    )
    want = write(model.eval(), tokenizer, make_frame("a", 6))
    assert write(model.train(), tokenizer, make_frame("a", 6)) == want
    assert model.training
    scores = [pseudo_log_likelihood(model.train(on), tokenizer, "a b c") for on in (True, False)]
    assert scores[0] == scores[1]
    assert tracked and not any(tracked)


@each_method
@pytest.mark.parametrize(
    ("frame", "says"),
    [
        ("", "the text is empty"),
        (" \u200b\n", "the text is empty"),
        ("The state of the Union.", r"no \[MASK\] in the text"),
        ("The [mask]", r"no \[MASK\] in the text"),
        ("The [MASK]. [SEP] A pair", r"a \[SEP\] in the text.*one text alone"),
        ("[CLS] The [MASK]", r"a \[CLS\] in the text"),
        ("[MASK] [PAD]", r"a \[PAD\] in the text"),
        ("[MASK]" * 127, "the text is 127 tokens long and 126 fit"),
    ],
)
def test_frames_that_cannot_be_filled(small, write, frame, says):
    with pytest.raises(ValueError, match=says):
        write(*small, frame)


@pytest.mark.parametrize(
    "frame",
    ["[MASK]", "[MASK][MASK]", "[MASK] 我 \U0001f600 \ud800 e\u0301 [MASK]", "##[MASK]##"],
)
@each_method
def test_odd_frames(small, write, frame):
    """What the vocabulary lacks is [UNK], and stays."""
    made = write(*small, frame)
    assert MASK not in made.tokens
    assert made.tokens.count("[UNK]") == small[1].tokenize(frame).count("[UNK]")
    made.text.encode("utf-8")


def test_as_long_as_the_model_takes(small):
    assert len(mask_predict(*small, make_frame("", 126, ""), passes=1).tokens) == 126


def test_a_frame_of_a_prompt_and_a_length(small):
    assert make_frame("The people", 2) == "The people [MASK] [MASK] ."
    assert make_frame("", 1, end="") == "[MASK]"
    assert make_frame("The [MASK] is", 1, "?") == "The [MASK] is [MASK] ?"
    with pytest.raises(ValueError, match="the length is 0"):
        make_frame("The people", 0)


@pytest.mark.parametrize(
    "frame", ["The [MASK] of the [MASK] is [MASK].", "[MASK] [MASK] people.", "We [MASK]"]
)
def test_left_to_right_without_chance_is_fill_mask_again_and_again(shipped, frame):
    made = left_to_right(*shipped, frame, GREEDY)
    text, found = frame, []
    while MASK in text:
        word, p = fill_mask(*shipped, text)[0][0]
        assert word not in SPECIAL_TOKENS and not word.startswith("##"), "choose another frame"
        text, found = text.replace(MASK, word, 1), [*found, p]
    assert list(made.tokens) == shipped[1].tokenize(text)
    assert [p for step in made.steps for p in step.probabilities] == pytest.approx(found, rel=1e-3)
    places = [place for step in made.steps for place in step.written]
    assert places == sorted(places) and len(places) == frame.count(MASK)


@pytest.mark.parametrize(
    "write", [partial(mask_predict, passes=1), partial(by_confidence, steps=1)]
)
def test_one_pass_fills_each_mask_by_itself(shipped, write):
    frame = make_frame("The American people", 9)
    made = write(*shipped, frame)
    want = [guesses[0] for guesses in fill_mask(*shipped, frame)]
    (step,) = made.steps[1:]
    assert [step.tokens[place] for place in step.written] == [word for word, _ in want]
    assert list(step.probabilities) == pytest.approx([p for _, p in want], rel=1e-3)


@pytest.mark.parametrize(
    ("masks", "passes", "counts"),
    [(12, 4, [12, 9, 6, 3]), (10, 4, [10, 7, 5, 2]), (3, 5, [3, 2, 1, 1]), (4, 2, [4, 2])],
)
def test_mask_predict_writes_the_least_sure_again(small, masks, passes, counts):
    """As the paper has it, N (passes - t) / passes of them."""
    made = mask_predict(*small, make_frame("In this", masks), passes=passes)
    assert [len(step.written) for step in made.steps[1:]] == counts
    sureness = {}
    for number, step in enumerate(made.steps[1:]):
        if number:
            kept = set(sureness) - set(step.written)
            assert max(sureness[i] for i in step.written) <= min(sureness[i] for i in kept)
        sureness.update(zip(step.written, step.probabilities, strict=True))


class Conditionals(nn.Module):
    """A model of two tokens whose every conditional is known, in the place of a BERT.

    `first[b]` and `second[a]` are the distributions of a token given the other; the last row also
    is the one while the other is masked. A token that is not masked is given away, as to a BERT.
    """

    def __init__(self, tokenizer, first, second):
        super().__init__()
        self.config = SimpleNamespace(max_position_embeddings=4)
        self.here = nn.Parameter(torch.zeros(()))
        self.mask = tokenizer.vocab[MASK]
        self.tables = [torch.tensor(table).log() for table in (first, second)]
        self.mlm_head = nn.Identity()

    def bert(self, ids):
        logits = torch.full((1, 4, len(SPECIAL_TOKENS) + 3), -1e9, dtype=torch.float64)
        pair = ids[0, 1:3].tolist()
        for own in (0, 1):
            if pair[own] != self.mask:
                logits[0, 1 + own, pair[own]] = 0
                continue
            other = pair[1 - own]
            row = -1 if other == self.mask else other - len(SPECIAL_TOKENS)
            logits[0, 1 + own, len(SPECIAL_TOKENS) :] = self.tables[own][row]
        return SimpleNamespace(last_hidden_state=logits)


JOINT = np.array([[0.30, 0.02, 0.08], [0.05, 0.25, 0.05], [0.02, 0.08, 0.15]])


STEPS = 16_000


def visited(first, second, seed):
    """How often each pair of tokens was there in a long chain, (3, 3)."""
    tokenizer = BertTokenizer([*SPECIAL_TOKENS, "x", "y", "z"])
    model = Conditionals(tokenizer, first, second)
    made = gibbs(model, tokenizer, "[MASK] [MASK]", steps=STEPS, seed=seed)
    pairs = np.array([step.ids for step in made.steps[100:]]) - len(SPECIAL_TOKENS)
    return np.bincount(3 * pairs[:, 0] + pairs[:, 1], minlength=9).reshape(3, 3) / len(pairs)


def test_gibbs_draws_from_the_joint_distribution_that_the_conditionals_have(record_property):
    """With conditionals of one joint distribution, it is that one that is sampled."""
    given_second = (JOINT / JOINT.sum(0)).T  # (b, a)
    given_first = JOINT / JOINT.sum(1, keepdims=True)  # (a, b)
    distance = abs(visited(given_second, given_first, seed=0) - JOINT).sum() / 2
    record_property("measured", f"Gibbs: total variation from the joint {distance:.3f}")
    assert distance < 0.025
    # The bound tells apart: from tokens that ignore each other it is far off.
    independent = np.outer(JOINT.sum(1), JOINT.sum(0))
    assert abs(independent - JOINT).sum() / 2 > 0.25


def test_gibbs_with_conditionals_of_no_joint_distribution():
    """It then reaches the chain's own stationary distribution: the left eigenvector for 1."""
    rng = np.random.default_rng(5)
    first, second = rng.dirichlet([0.4] * 3, 3), rng.dirichlet([0.4] * 3, 3)
    chain = np.zeros((9, 9))
    for a, b, new in np.ndindex(3, 3, 3):
        chain[3 * a + b, 3 * new + b] += first[b, new] / 2
        chain[3 * a + b, 3 * a + new] += second[a, new] / 2
    values, vectors = np.linalg.eig(chain.T)
    stationary = np.real(vectors[:, np.argmax(values.real)])
    stationary = (stationary / stationary.sum()).reshape(3, 3)
    assert abs(visited(first, second, seed=1) - stationary).sum() / 2 < 0.025


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [(None, JOINT), (2, JOINT), (1, np.outer(JOINT.sum(1), JOINT.sum(0)))],
    ids=["a step for each token", "two steps", "one step for all"],
)
def test_ancestral_sampling_draws_from_the_joint_distribution(steps, wanted):
    """One token at a time it is exact. Tokens of one step ignore each other."""
    tokenizer = BertTokenizer([*SPECIAL_TOKENS, "x", "y", "z"])
    given_second = np.vstack([(JOINT / JOINT.sum(0)).T, JOINT.sum(1)])  # (b or masked, a)
    given_first = np.vstack([JOINT / JOINT.sum(1, keepdims=True), JOINT.sum(0)])
    model = Conditionals(tokenizer, given_second, given_first)
    seen, firsts = np.zeros((3, 3)), []
    for seed in range(1000):
        made = ancestral(model, tokenizer, "[MASK] [MASK]", steps=steps, seed=seed)
        seen[tuple(np.array(made.steps[-1].ids) - len(SPECIAL_TOKENS))] += 1
        firsts.append(made.steps[1].written[0])
    assert abs(seen / seen.sum() - wanted).sum() / 2 < 0.07
    assert steps == 1 or np.mean(firsts) == pytest.approx(0.5, abs=0.05)  # in either order


@pytest.mark.parametrize("write", [ancestral, by_confidence])
@pytest.mark.parametrize(
    ("masks", "steps", "counts"),
    [(12, 4, [3, 3, 3, 3]), (10, 4, [2, 3, 2, 3]), (3, 5, [1, 1, 1]), (3, None, [1, 1, 1])],
)
def test_each_step_writes_its_part_and_nothing_again(small, write, masks, steps, counts):
    made = write(*small, make_frame("In this", masks), steps=steps)
    assert [len(step.written) for step in made.steps[1:]] == counts
    written = [place for step in made.steps for place in step.written]
    assert len(set(written)) == len(written)


def test_the_surest_are_written_first(small):
    made = by_confidence(*small, make_frame("In this", 9), steps=3)
    for before, step in itertools.pairwise(made.steps):
        probabilities = all_probabilities(*small, before.ids)
        probabilities[:, [small[1].vocab[token] for token in SPECIAL_TOKENS]] = 0
        best = probabilities.max(-1).values
        left = [place for place, token in enumerate(before.tokens) if token == MASK]
        surest = sorted(left, key=lambda place: -best[place])[: len(step.written)]
        assert sorted(surest) == list(step.written)


def test_gibbs_visits_each_mask_first_and_then_at_random(small):
    made = gibbs(*small, make_frame("The", 6), Sampling(), steps=60)
    order = [place for step in made.steps for place in step.written]
    assert len(order) == 60 and sorted(order[:6]) == [1, 2, 3, 4, 5, 6] != order[:6]
    assert set(order[6:]) == set(order[:6])
    assert any(one == other for one, other in itertools.pairwise(order))  # no sweeps


def test_burn_in_draws_from_the_softmax_as_it_is(small):
    """Greedy only from the 21st of 40 steps on."""
    model, tokenizer = small
    made = gibbs(model, tokenizer, FRAME, GREEDY, steps=40)
    likeliest = []
    for before, step in itertools.pairwise(made.steps):
        (place,) = step.written
        ids = [*before.ids[:place], tokenizer.vocab[MASK], *before.ids[place + 1 :]]
        best = int(all_probabilities(model, tokenizer, ids)[place].argmax())
        likeliest.append(step.ids[place] == best)
    assert all(likeliest[20:]) and not all(likeliest[:20])


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (partial(gibbs, steps=3), "steps is 3: the 4 masks"),
        (partial(mask_predict, passes=0), "passes is 0"),
        (partial(ancestral, steps=0), "steps is 0"),
        (partial(by_confidence, steps=-1), "steps is -1"),
    ],
)
def test_numbers_of_steps_that_make_no_sense(small, write, says):
    with pytest.raises(ValueError, match=says):
        write(*small, FRAME)
