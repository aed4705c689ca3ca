"""Reranking: the NSP head as a cross-encoder, its training, and the new order."""

import numpy as np
import pytest
import torch
import transformers

from minibert.config import BertConfig
from minibert.model import BertForPreTraining
from minibert.search.pairs import TextPair
from minibert.search.ranking import ranks
from minibert.search.reranking import (
    CrossEncoder,
    Reranking,
    RerankingBatches,
    RerankingObjective,
    pair_scores,
    rerank,
    train_reranker,
)
from minibert.tokenizer import SPECIAL_TOKENS, BertTokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TOKENIZER = BertTokenizer([*SPECIAL_TOKENS, *LETTERS])
PAIRS = [TextPair(f"{x} {y}", f"{y} {x} {x}", "d") for x in LETTERS[:6] for y in LETTERS[6:11]]


def small_bert(**more):
    torch.manual_seed(0)
    sizes = dict(hidden_size=32, intermediate_size=64, max_position_embeddings=16)
    return BertForPreTraining(BertConfig.preset("tiny", vocab_size=31, **sizes), **more).eval()


def test_scores_are_hugging_faces(tmp_path):
    """Its head for the next sentence, over pairs of different lengths."""
    model = small_bert()
    model.save_pretrained(tmp_path, TOKENIZER)
    theirs = transformers.BertForNextSentencePrediction.from_pretrained(tmp_path).eval()
    reader = transformers.AutoTokenizer.from_pretrained(tmp_path)
    pairs = [("a b", "c"), ("d", "e f g h"), ("i j k", "l")] * 13  # more than a batch
    with torch.no_grad():
        logits = [theirs(**reader(*pair, return_tensors="pt")).logits[0] for pair in pairs]
    wanted = [float(is_next - is_random) for is_next, is_random in logits]
    assert pair_scores(model, TOKENIZER, pairs) == pytest.approx(wanted, abs=1e-5)
    assert pair_scores(model, TOKENIZER, []).shape == (0,)


def test_the_loss_by_hand():
    model = small_bert()
    batches = RerankingBatches(PAIRS, ["z"] * 30, TOKENIZER, Reranking(batch_size=4, max_length=9))
    (batch,) = batches(0)
    sums = RerankingObjective().sums(CrossEncoder(model), batch)
    texts = [TOKENIZER.decode(ids) for ids in batch["input_ids"].tolist()]
    scores = CrossEncoder(model)(**batch).detach().numpy()
    loss = sum(-np.log(np.exp(scores[i]) / (np.exp(scores[i]) + np.exp(scores[i + 4])))
               for i in range(4))  # fmt: skip
    assert sums["reranking_loss"].item() == pytest.approx(loss, rel=1e-5)
    assert int(sums["right"]) == (scores[:4] > scores[4:]).sum()
    assert all("z" in text for text in texts[4:]) and not any("z" in text for text in texts[:4])
    assert RerankingObjective().counts(batch)["reranking_loss"] == 4


def test_each_epoch_visits_every_pair_once_with_its_own_negative():
    negatives = [f"z {pair.query}" for pair in PAIRS]
    batches = RerankingBatches(PAIRS, negatives, TOKENIZER, Reranking(batch_size=10, max_length=16))
    seen = []
    for step in range(3):
        (batch,) = batches(step)
        own, wrong = batch["input_ids"][:10].tolist(), batch["input_ids"][10:].tolist()
        for right, other in zip(own, wrong, strict=True):
            x, y = right[1:3]
            assert right == [2, x, y, 3, y, x, x, 3]
            assert other == [2, x, y, 3, TOKENIZER.vocab["z"], x, y, 3]
            seen.append((x, y))
    assert len(set(seen)) == len(PAIRS)


def test_a_new_order():
    """The two best of each query change places if their new scores say so; others stay behind."""
    scores = np.array([[0.9, 0.8, 0.7, 0.1], [0.1, 0.2, 0.3, 0.4]])
    best = np.array([[0, 1], [3, 2]])
    new = rerank(scores, best, np.array([[-50.0, -10.0], [3.0, 2.0]]))
    assert np.argsort(-new, axis=1).tolist() == [[1, 0, 2, 3], [3, 2, 1, 0]]
    assert ranks(new, np.array([1, 0])).tolist() == [1, 4]
    assert scores[0, 0] == 0.9  # unchanged


def test_training_prefers_the_own_passage(tmp_path):
    """The wrong passage has the query's first letter, too: only the second says which is right."""
    rng = np.random.default_rng(0)
    pairs, negatives = [], []
    for _ in range(200):
        x, y, z = rng.choice(list(LETTERS[:8]), 3, replace=False)
        pairs.append(TextPair(f"{x} {y}", f"{x} {y}", "d"))
        negatives.append(f"{x} {z}")
    model = small_bert()
    train_reranker(
        model, TOKENIZER, pairs[:160], negatives[:160], tmp_path,
        Reranking(steps=150, batch_size=16, max_length=16, lr=3e-3),
    )  # fmt: skip
    queries = [pair.query for pair in pairs[160:]]
    right = pair_scores(
        model, TOKENIZER, list(zip(queries, (p.passage for p in pairs[160:]), strict=True))
    )
    wrong = pair_scores(model, TOKENIZER, list(zip(queries, negatives[160:], strict=True)))
    assert not model.training and (right > wrong).mean() > 0.9


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (dict(settings=Reranking()), r"max_length must be in 5..16, not 128"),
        (dict(settings=Reranking(batch_size=31, max_length=16)), "too few for a batch of 31"),
        (dict(negatives=["a"]), "30 pairs and 1 negatives"),
        (dict(model=small_bert(next_sentence=False)), "no NSP head"),
    ],
)
def test_what_cannot_be_trained(change, says, tmp_path):
    given = dict(
        model=small_bert(), tokenizer=TOKENIZER, pairs=PAIRS, negatives=["a"] * 30,
        out=tmp_path / "run", settings=Reranking(batch_size=4, max_length=16),
    )  # fmt: skip
    with pytest.raises(ValueError, match=says):
        train_reranker(**{**given, **change})
    assert not (tmp_path / "run").exists()
