"""Features in batches: shuffled for training, ordered by length for reading."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from minibert.data.batches import Batch
from minibert.data.features import Feature, collate
from minibert.data.splits import TaskData
from minibert.data.tables import Row
from minibert.tokenizer import BertTokenizer

PREDICTION_BATCH = 32
BATCHES_SORTED = 8
"""Training batches that are made together, so that texts of similar length share a batch."""
FEWEST_VALIDATION_ROWS = 100


def validation_sample(data: TaskData) -> list[Row]:
    """The validation rows that a run looks at: half as many as it trains on, and at least 100.

    More would take longer than training does. The sample depends on the data alone, so the
    validation losses of two seeds can be compared.
    """
    size = max(FEWEST_VALIDATION_ROWS, len(data.train) // 2)
    if size >= len(data.validation):
        return data.validation
    return random.Random(0).sample(data.validation, size)


def feature_length(feature: Feature) -> int:
    """The number of tokens in its longest sequence."""
    return max(len(ids) for ids, _ in feature.sequences)


@dataclass(frozen=True)
class ShuffledBatches:
    """The batches of each step. Each epoch visits every feature once, in a new order.

    A batch is padded to its longest text. To save padding, the shuffled features of
    `BATCHES_SORTED` batches at a time are sorted by length before they are cut into batches. The
    batches of an epoch are then shuffled again.
    """

    features: Sequence[Feature]
    kind: str
    tokenizer: BertTokenizer
    batch_size: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """The last batch of an epoch may be smaller."""
        return math.ceil(len(self.features) / self.batch_size)

    def __call__(self, step: int) -> list[Batch]:
        epoch, number = divmod(step, self.steps_per_epoch)
        chosen = self._epoch(epoch)[number]
        return [collate([self.features[i] for i in chosen], self.kind, self.tokenizer)]

    @cached_property
    def lengths(self) -> np.ndarray:
        """The length of each feature, (N,)."""
        return np.array([feature_length(feature) for feature in self.features])

    def _epoch(self, epoch: int) -> list[np.ndarray]:
        """Which features are in each batch of an epoch."""
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(len(self.features))
        together = BATCHES_SORTED * self.batch_size
        for start in range(0, len(order), together):
            bucket = order[start : start + together]
            order[start : start + together] = bucket[self.lengths[bucket].argsort(kind="stable")]
        starts = range(0, len(order), self.batch_size)
        batches = [order[start : start + self.batch_size] for start in starts]
        return [batches[i] for i in rng.permutation(len(batches))]


def batches_by_length(
    features: Sequence[Feature], kind: str, tokenizer: BertTokenizer
) -> list[tuple[list[int], Batch]]:
    """All features, sorted by length to save padding: (their numbers, the batch)."""
    order = sorted(range(len(features)), key=lambda i: feature_length(features[i]))
    chunks = [order[i : i + PREDICTION_BATCH] for i in range(0, len(features), PREDICTION_BATCH)]
    return [(chunk, collate([features[i] for i in chunk], kind, tokenizer)) for chunk in chunks]
