"""The page about speed says what was measured."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from minibert.config import BertConfig
from minibert.model import IGNORE_INDEX, BertForPreTraining

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(autouse=True)
def found(monkeypatch):
    monkeypatch.syspath_prepend(DOCS)  # for `short_run`
    monkeypatch.syspath_prepend(DOCS / "bench")


@pytest.mark.parametrize("name", ["performance", "scaling"])
def test_the_tables_are_those_of_the_measurements(name):
    from harness import page_with
    from pages import PAGES

    results = json.loads((DOCS / f"{name}.json").read_text("utf-8"))
    page = DOCS / f"{name}.md"
    assert page_with(results, page, PAGES[name]) == page.read_text("utf-8")
    assert set(results) == set(PAGES[name])  # nothing of a page was not measured


def test_operations_are_those_that_torch_counts():
    from growing import operations

    config = BertConfig.preset("tiny", vocab_size=1000)
    model = BertForPreTraining(config, next_sentence=False)
    ids = torch.randint(5, 1000, (4, 40))
    labels = torch.where(torch.arange(40) % 4 == 0, ids, IGNORE_INDEX)
    with FlopCounterMode(display=False) as counter:
        model(ids, labels=labels).loss.backward()
    assert counter.get_total_flops() == pytest.approx(ids.numel() * operations(config, 40, 0.25))


def test_packed_sequences_have_the_same_loss_and_gradients():
    """Twelve sequences in rows of 32, and a row for each: none sees anything of another."""
    from reading import packed, padded

    torch.manual_seed(0)
    config = BertConfig.preset("tiny", vocab_size=300, attention_probs_dropout_prob=0.0)
    model = BertForPreTraining(replace(config, hidden_dropout_prob=0.0), next_sentence=False)
    sequences = [torch.randint(5, 300, (int(n),)) for n in torch.randint(2, 17, (12,))]
    found = {}
    for name, batch in (
        ("padded", padded(sequences)),
        ("packed", packed(sequences, 32)),
    ):
        is_read = (batch["input_ids"] != 0) & (batch["input_ids"] % 3 == 0)
        labels = torch.where(is_read, batch["input_ids"], IGNORE_INDEX)
        loss = model(**batch, labels=labels).loss
        model.zero_grad()
        loss.backward()
        found[name] = [
            loss.detach(),
            *(p.grad.clone() for p in model.parameters() if p.grad is not None),
        ]
        found[name, "rows"] = len(labels)
    assert found["packed", "rows"] < len(sequences) / 2
    torch.testing.assert_close(found["packed"], found["padded"])
