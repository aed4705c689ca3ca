"""A small corpus of sentences that have an order, and settings of runs on it."""

from dataclasses import replace

import numpy as np

from minibert.pretraining.recipes import RECIPES
from minibert.pretraining.run import Run


def small_texts(number=25):
    rng = np.random.default_rng(0)
    subjects = ("the cat", "a dog", "the old man", "my sister")
    verbs = ("sees", "likes", "follows", "hears")
    return [
        " ".join(
            f"{rng.choice(subjects)} {rng.choice(verbs)} {rng.choice(subjects)}.".capitalize()
            for _ in range(20)
        )
        for _ in range(number)
    ]


def small(name, **changes):
    return replace(RECIPES[name], **{"batch_size": 8, "max_length": 24, **changes})


def small_run(name="fast", steps=12, **changes):
    return Run("texts", "tiny", small(name), steps=steps, vocab_size=80, **changes)
