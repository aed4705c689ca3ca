"""Does a model prefer grammatical sentences? Minimal pairs, scored by pseudo-log-likelihood.

The model is right about a pair if the grammatical sentence has the higher pseudo-log-likelihood
(Salazar et al., 2020, section 4.2, on BLiMP). A tie counts as half. Chance is 50 %.

`score_minimal_pairs` gives a `Score` for each phenomenon, and `score_snapshots` does so along a
training. The pairs come from `minimal_pairs.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from minibert.data.minimal_pairs import Phenomenon
from minibert.finetuning.metrics import proportion_interval
from minibert.inference.pseudo_likelihood import pseudo_log_likelihoods
from minibert.model import BertForPreTraining, load
from minibert.pretraining.snapshots import read_snapshots
from minibert.tokenizer import BertTokenizer

CHANCE = 0.5


@dataclass(frozen=True)
class Score:
    """How a model did on one phenomenon."""

    phenomenon: Phenomenon
    differences: tuple[float, ...]
    """For each pair, how much more likely the grammatical sentence is, in nats."""

    @property
    def number(self) -> int:
        """How many pairs there are."""
        return len(self.differences)

    @property
    def right(self) -> float:
        """In how many pairs the model prefers the grammatical sentence; a tie is half a pair."""
        return sum(1.0 if d > 0 else 0.5 if d == 0 else 0.0 for d in self.differences)

    @property
    def accuracy(self) -> float:
        """The proportion of pairs that are right; NaN where there are no pairs."""
        return self.right / self.number if self.number else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The ends of the accuracy's 95 % interval, as if the pairs were independent draws.

        It says how sure the accuracy is over sentences of the same template, not of others.
        """
        return proportion_interval(self.right, self.number)


def score_minimal_pairs(
    model: BertForPreTraining, tokenizer: BertTokenizer, phenomena: Sequence[Phenomenon]
) -> list[Score]:
    """For each phenomenon, by how much the model prefers the grammatical sentence of each pair.

    A sentence's pseudo-log-likelihood is the sum over its tokens, so of two sentences of different
    length the shorter is often preferred. Raises `ValueError` for a sentence that the model cannot
    take.
    """
    texts = [text for phenomenon in phenomena for pair in phenomenon.pairs for text in pair]
    totals = iter(pseudo_log_likelihoods(model, tokenizer, texts))
    return [
        Score(phenomenon, tuple(next(totals) - next(totals) for _ in phenomenon.pairs))
        for phenomenon in phenomena
    ]


def score_snapshots(
    run: str | Path, phenomena: Sequence[Phenomenon]
) -> Iterator[tuple[int, list[Score]]]:
    """The scores of each model that the run kept, with its step, the finished model last.

    Raises `FileNotFoundError` where the run has no snapshots.
    """
    for step, folder in read_snapshots(run).items():
        yield step, score_minimal_pairs(*load(folder), phenomena)


def mean_accuracy(scores: Sequence[Score]) -> tuple[float, float, float]:
    """The mean over phenomena that have pairs, and the ends of its 95 % interval.

    Another choice of phenomena would give another mean; the interval is about these. It combines
    their intervals, as of independent proportions (Zou and Donner, 2008). Raises `ValueError` where
    no phenomenon has a pair.
    """
    scores = [score for score in scores if score.number]
    if not scores:
        raise ValueError(
            "there are no pairs to score: the model's vocabulary lacks the words of the templates"
        )
    mean = math.fsum(score.accuracy for score in scores) / len(scores)
    below = math.hypot(*(score.accuracy - score.interval[0] for score in scores)) / len(scores)
    above = math.hypot(*(score.interval[1] - score.accuracy for score in scores)) / len(scores)
    return mean, mean - below, mean + above


def by_category(scores: Sequence[Score]) -> dict[str, list[Score]]:
    """The scores of each category, in the order in which the categories first appear."""
    found: dict[str, list[Score]] = {}
    for score in scores:
        found.setdefault(score.phenomenon.category, []).append(score)
    return found


def score_table(scores: Sequence[Score]) -> str:
    """Accuracy and interval of each phenomenon, below its category, and their mean."""
    width = max(len(score.phenomenon.name) for score in scores) + 2
    lines = [f"{'':{width}}  pairs  accuracy  95 % interval"]
    for category, of_category in by_category(scores).items():
        lines.append(category)
        for score in of_category:
            row = f"{'  ' + score.phenomenon.name:{width}}  {score.number:5d}"
            if score.number:
                lines.append(f"{row}  {_row(score.accuracy, *score.interval)}")
            else:
                lines.append(f"{row}  (the vocabulary lacks its words)")
    counted = [score for score in scores if score.number]
    name = f"mean of {len(counted)} phenomen{'on' if len(counted) == 1 else 'a'}"
    total = sum(score.number for score in counted)
    lines.append(f"{name:{width}}  {total:5d}  {_row(*mean_accuracy(scores))}")
    lines.append(f"{'chance':{width}}         {CHANCE:8.1%}")
    return "\n".join(lines)


def _row(accuracy: float, low: float, high: float) -> str:
    return f"{accuracy:8.1%}  {low:.1%} to {high:.1%}"


def scores_as_json(scores: Sequence[Score]) -> dict[str, object]:
    """What `score_table` says, for a file."""
    mean, low, high = mean_accuracy(scores)
    return {
        "mean": {"accuracy": mean, "low": low, "high": high},
        "chance": CHANCE,
        "phenomena": {
            score.phenomenon.name: {
                "category": score.phenomenon.category,
                "pairs": score.number,
                "accuracy": score.accuracy if score.number else None,
                "low": score.interval[0],
                "high": score.interval[1],
            }
            for score in scores
        },
    }
