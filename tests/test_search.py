"""Search: free pairs, the contrastive loss, batches, ranks, an index, and what training brings."""

import math

import numpy as np
import pytest
import torch

from minibert.config import BertConfig
from minibert.data.corpora import Document
from minibert.data.library import SOURCES, LibraryDocument
from minibert.inference.sentence_vectors import sentence_vectors
from minibert.model import BertModel
from minibert.search.contrastive import (
    Contrastive,
    ContrastiveBatches,
    SentenceEncoder,
    info_nce,
    train_sentence_vectors,
)
from minibert.search.index import SearchIndex
from minibert.search.pairs import TextPair, definition_pairs, text_pairs
from minibert.search.ranking import ranks, recall_at, reciprocal_ranks
from minibert.tokenizer import SPECIAL_TOKENS, BertTokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TOKENIZER = BertTokenizer([*SPECIAL_TOKENS, *LETTERS])
PAIRS = [TextPair(f"{x} {y}", f"{y} {x} {x}", "d") for x in LETTERS[:6] for y in LETTERS[6:11]]


def small_bert():
    torch.manual_seed(0)
    sizes = dict(hidden_size=32, intermediate_size=64, max_position_embeddings=16)
    return BertModel(BertConfig.preset("tiny", vocab_size=31, **sizes)).eval()


def test_pairs_are_blocks_of_a_document():
    long = [f"This is sentence number {n}." for n in range(8)]
    documents = [Document("one", tuple(long)), Document("two", ("Too short.", "b", "c", "d"))]
    assert text_pairs(documents, sentences=2) == [
        TextPair(long[0], f"{long[1]} {long[2]}", "one"),
        TextPair(long[3], f"{long[4]} {long[5]}", "one"),
    ]  # 6 and 7 are no block, and "Too short." asks nothing
    assert [pair.query for pair in text_pairs(documents, sentences=3)] == [long[0], long[4]]


def test_definitions_lack_their_word_and_are_held_out_with_their_document(monkeypatch):
    """Two synsets a document here. "noun 4" nearly repeats a held-out text, so it is nowhere."""
    line = "0000 03 {} 01 {} 0 000 | {}  "
    nouns = [
        line.format("n", "dog", 'a canine; "the dog barked"; "two dogs"'),
        line.format("n", "cat", "a feline"),
        line.format("n", "rain", 'water that falls; "the rain fell"'),
        line.format("n", "snow", 'ice that falls; "snow fell"'),
        line.format("n", "hail", 'pellets of ice; "hail hurts"'),
    ]
    verbs = [line.format("v", "run", 'move fast; "Run!"')]
    files = {"noun": nouns, "verb": verbs}
    monkeypatch.setattr("minibert.data.library.GLOSSES", 2)
    monkeypatch.setattr(
        "minibert.data.library.read_archived",
        lambda wheel, member: "\n".join(files.get(member.rpartition(".")[2], [])),
    )
    (wordnet,) = (source for source in SOURCES if source.name == "wordnet")
    kept = {"noun 0": False, "noun 2": True, "verb 0": False}
    documents = [LibraryDocument(wordnet, title, "", held) for title, held in kept.items()]
    monkeypatch.setattr("minibert.search.pairs.read_library", lambda: documents)
    training, held_out = definition_pairs()
    assert training == [
        TextPair("A canine.", "The dog barked.", "wordnet: noun 0"),
        TextPair("Move fast.", "Run!", "wordnet: verb 0"),
    ]
    assert held_out == [
        TextPair("Water that falls.", "The rain fell.", "wordnet: noun 2"),
        TextPair("Ice that falls.", "Snow fell.", "wordnet: noun 2"),
    ]


@pytest.mark.parametrize("more", [0, 2])
def test_the_loss_by_hand(more):
    """A softmax over cosines by temperature; further passages are negatives only."""
    rng = np.random.default_rng(0)
    queries, passages = rng.normal(size=(3, 4)), rng.normal(size=(3 + more, 4))
    wanted = 0.0
    for b in range(3):
        scores = [float(queries[b] @ passage) / 0.5 for passage in passages]
        wanted += math.log(sum(math.exp(s - scores[b]) for s in scores))
    right = ((queries @ passages.T).argmax(1) == np.arange(3)).sum()
    loss, found = info_nce(torch.tensor(queries), torch.tensor(passages), 0.5)
    assert float(loss) == pytest.approx(wanted) and int(found) == right


def test_the_encoder_is_sentence_vectors_at_length_1():
    bert, texts = small_bert(), ["a b c", "d", "e f g h i j"]
    (batch,) = ContrastiveBatches(
        [TextPair(text, text, "") for text in texts], TOKENIZER, Contrastive(batch_size=3)
    )(0)
    with torch.no_grad():
        got = SentenceEncoder(bert)(batch["query_ids"], batch["query_mask"])
    wanted = sentence_vectors(bert, TOKENIZER, texts, normalize=True)
    order = [(wanted @ row.numpy()).argmax() for row in got]
    assert sorted(order) == [0, 1, 2]
    np.testing.assert_allclose(got.numpy(), wanted[order], atol=1e-6)


def test_each_epoch_visits_every_pair_once_beside_its_own_passage():
    settings = Contrastive(batch_size=10, max_length=6)
    batches = ContrastiveBatches(PAIRS, TOKENIZER, settings, [f"z {p.query}" for p in PAIRS])
    epochs = []
    for epoch in range(2):
        seen = []
        for step in range(3 * epoch, 3 * epoch + 3):
            (batch,) = batches(step)
            assert batch["query_ids"].shape == (10, 4) and batch["passage_ids"].shape == (20, 5)
            assert (batch["query_mask"] == 1).all()
            for query, own, wrong in zip(
                batch["query_ids"],
                batch["passage_ids"][:10],
                batch["passage_ids"][10:],
                strict=True,
            ):
                x, y = query[1:3].tolist()
                assert own.tolist() == [2, y, x, x, 3]
                assert wrong.tolist() == [2, TOKENIZER.vocab["z"], x, y, 3]
                seen.append((x, y))
        assert len(set(seen)) == len(PAIRS)
        epochs.append(seen)
    assert epochs[0] != epochs[1]


def test_long_texts_are_cut_and_short_ones_padded():
    pairs = [TextPair("a b c d e f g", "a", ""), TextPair("a", "b c", "")]
    (batch,) = ContrastiveBatches(pairs, TOKENIZER, Contrastive(batch_size=2, max_length=5))(0)
    rows = sorted(batch["query_ids"].tolist())
    assert rows == [[2, 5, 3, 0, 0], [2, 5, 6, 7, 3]]
    assert sorted(batch["query_mask"].sum(1).tolist()) == [3, 5]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (dict(batch_size=64, max_length=8), "there are 30 pairs, too few for a batch of 64"),
        (dict(batch_size=4, max_length=17), r"max_length must be in 3..16, not 17"),
        (dict(batch_size=4, max_length=2), r"max_length must be in 3..16, not 2"),
    ],
)
def test_what_cannot_be_trained(settings, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        train_sentence_vectors(
            small_bert(), TOKENIZER, PAIRS, tmp_path / "run", Contrastive(**settings)
        )
    assert not (tmp_path / "run").exists()


def test_a_temperature_of_0_is_refused():
    with pytest.raises(ValueError, match="temperature must be"):
        Contrastive(temperature=0)


def test_ranks_by_hand():
    scores = np.array([[0.1, 0.9, 0.5], [0.3, 0.3, 0.3], [0.2, 0.1, 0.7]])
    rank = ranks(scores, np.array([2, 0, 2]))
    assert rank.tolist() == [2, 3, 1]  # the same score for all: last
    assert recall_at(1, rank).tolist() == [0, 0, 1] and recall_at(2, rank).tolist() == [1, 0, 1]
    assert reciprocal_ranks(rank) == pytest.approx([1 / 2, 1 / 3, 1])


def test_an_index_finds_the_nearest():
    bert, passages = small_bert(), [pair.passage for pair in PAIRS]
    index = SearchIndex(bert, TOKENIZER, passages)
    hits = index.search("a g", k=4)
    vectors = sentence_vectors(bert, TOKENIZER, ["a g", *passages])
    cosines = [
        float(v @ vectors[0] / np.linalg.norm(v) / np.linalg.norm(vectors[0])) for v in vectors[1:]
    ]
    best = sorted(range(len(passages)), key=lambda n: -cosines[n])[:4]
    assert [hit.number for hit in hits] == best
    assert [hit.score for hit in hits] == pytest.approx([cosines[n] for n in best], abs=1e-5)


def test_training_brings_queries_to_their_passages(tmp_path):
    """A passage has other letters than its query: which belong together has to be learned."""
    other = dict(zip(LETTERS, LETTERS[13:] + LETTERS[:13], strict=True))
    pairs = [pair._replace(passage=" ".join(map(other.get, pair.query.split()))) for pair in PAIRS]
    settings = Contrastive(steps=60, batch_size=15, max_length=8, lr=3e-3, temperature=0.1)
    queries, passages = [p.query for p in pairs], [p.passage for p in pairs]

    def found(bert):
        rank = ranks(SearchIndex(bert, TOKENIZER, passages).scores(queries), np.arange(len(pairs)))
        return recall_at(1, rank).mean()

    bert = small_bert()
    before = found(bert)
    trained = train_sentence_vectors(bert, TOKENIZER, pairs, tmp_path, settings)
    assert not trained.training and found(trained) > max(0.9, before + 0.3)


def test_training_on_a_cpu_avoids_the_slow_backward_pass_of_fused_attention(tmp_path, monkeypatch):
    monkeypatch.setattr("minibert.search.training.best_device", lambda: torch.device("cpu"))
    bert, seen = small_bert(), []
    attention = bert.encoder.layers[0].attention
    attention.register_forward_hook(lambda module, *_: seen.append(module.implementation))
    settings = Contrastive(steps=2, batch_size=4, max_length=8)
    train_sentence_vectors(bert, TOKENIZER, PAIRS, tmp_path, settings)
    assert set(seen) == {"eager"} and attention.implementation == "sdpa"
