"""Batches for training and for reading: each row once, similar lengths together."""

import random

import pytest
from toy_tasks import TOKENIZER, toy

from minibert.data.features import Feature
from minibert.finetuning.batches import ShuffledBatches, validation_sample


def test_each_row_is_seen_once_an_epoch_in_another_order():
    features = [Feature(i, [([i], [0])], 0) for i in range(10)]
    batches = ShuffledBatches(features, "classification", TOKENIZER, batch_size=4, seed=1)
    assert batches.steps_per_epoch == 3

    def epoch(number):
        steps = range(3 * number, 3 * number + 3)
        return [int(i) for step in steps for batch in batches(step) for i in batch["input_ids"]]

    assert sorted(epoch(0)) == sorted(epoch(1)) == list(range(10))
    assert epoch(0) != epoch(1) and epoch(0) == epoch(0)


def test_texts_of_one_length_share_a_batch():
    """Padded alike, at random, each row would be about as long as the longest."""
    rng = random.Random(0)
    lengths = [rng.randint(4, 128) for _ in range(640)]
    features = [Feature(i, [([5] * length, [0] * length)], 0) for i, length in enumerate(lengths)]
    batches = ShuffledBatches(features, "classification", TOKENIZER, batch_size=16, seed=1)
    epoch = [batches(step)[0]["attention_mask"] for step in range(batches.steps_per_epoch)]
    padded = sum(mask.numel() for mask in epoch)
    assert padded < 1.15 * sum(lengths) < 0.7 * 640 * 128
    of_batches = [int(mask.sum(1).max()) for mask in epoch]
    assert of_batches != sorted(of_batches)  # short texts are not all read first


@pytest.mark.parametrize(
    ("train", "validation", "looked_at"), [(200, 1064, 100), (2000, 1064, 1000), (2000, 60, 60)]
)
def test_validation_is_on_a_sample_in_proportion(train, validation, looked_at):
    data = toy("classification", train=train, validation=validation)
    sample = validation_sample(data)
    assert len(sample) == looked_at
    assert {id(row) for row in sample} <= {id(row) for row in data.validation}
    assert len({id(row) for row in sample}) == looked_at
    assert sample == validation_sample(data)  # the same for every seed
    assert looked_at == validation or sample != data.validation[:looked_at]
