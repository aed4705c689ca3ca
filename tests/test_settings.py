"""Settings refuse what they are not annotated as, and differences are listed."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import pytest

from minibert.data.masking import Masking
from minibert.distillation.objective import Transfer
from minibert.distillation.run import DistillationRun
from minibert.pretraining.recipes import RECIPES
from minibert.pretraining.run import Run
from minibert.settings import Count, Positive, Share, check, one_of
from minibert.training.run_folder import check_same
from minibert.training.trainer import Plan


@dataclass(frozen=True)
class Settings:
    rate: Positive = 1.0
    share: Share | None = None
    rows: Count = 1
    how: Annotated[str, one_of(("slow", "fast"))] = "slow"
    loud: bool = False
    masking: Masking = Masking()  # noqa: RUF009

    def __post_init__(self):
        check(self)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("rate", (1, 0.5, 10**400), (0, -1, math.nan, math.inf, "1", True, None)),
        ("share", (0, 1, None), (-0.1, 1.1, math.nan, "none", 2**70)),
        ("rows", (1, 2**40), (0, 1.0, True, None, "1")),
        ("how", ("fast",), ("cosine", None, 1, ["fast"])),
        ("loud", (True,), (1, 0, None, "yes")),
        ("masking", (Masking(0.3),), (0.3, None, {"probability": 0.3})),
    ],
)
def test_a_setting_is_what_its_annotation_says(name, good, bad):
    for value in good:
        assert getattr(Settings(**{name: value}), name) == value
    for value in bad:
        with pytest.raises(ValueError, match=rf"^{name} must be .*, not "):
            Settings(**{name: value})


RECIPE = RECIPES["fast"]


@pytest.mark.parametrize(
    ("settings", "changes"),
    [
        (RECIPE, {"optimizer": "lion"}),
        (RECIPE, {"schedule": "cosine"}),
        (RECIPE, {"init": "zeros"}),
        (RECIPE, {"positions": "rotary"}),
        (RECIPE, {"attention": "flash"}),
        (RECIPE, {"objective": "electra"}),
        (RECIPE, {"lr": 0.0}),
        (RECIPE, {"warmup": 1.5}),
        (RECIPE, {"dropout": 1.0}),
        (RECIPE, {"batch_size": 8.5}),
        (RECIPE, {"max_length": 2}),
        (RECIPE, {"bf16": "yes"}),
        (RECIPE, {"ns_steps": 0}),
        (RECIPE, {"elsewhere": -0.5}),
        (RECIPE, {"masking": 0.3}),
        (RECIPE, {"matrix_lr": 0.0}),  # Muon needs one
        (RECIPE, {"decay": 0.0}),  # and so does `wsd`: it divides by it
        (RECIPE, {"decay": 0.99}),  # more than warm-up leaves
        (Run("sotu"), {"preset": "huge"}),
        (Run("sotu"), {"steps": 0}),
        (Run("sotu"), {"minutes": math.nan}),
        (Run("sotu"), {"vocab_size": 5}),
        (Run("sotu"), {"accumulate": 0}),
        (Run("sotu"), {"seed": -1}),
        (Run("sotu"), {"corpus": 3}),
        (Run("sotu"), {"recipe": "fast"}),
        (Run("sotu"), {"recipe": replace(RECIPE, dropout=None)}),
        (Plan(steps=1), {"steps": 1.5}),
        (Plan(steps=1), {"log_every": 0}),
        (Plan(steps=1), {"bf16": 1}),
        (Transfer(), {"temperature": 0.0}),
        (Transfer(), {"attention": "all"}),
        (DistillationRun("mini", "sotu"), {"layers": 0}),
        (DistillationRun("mini", "sotu"), {"heads": 1.5}),
        (DistillationRun("mini", "sotu"), {"recipe": RECIPES["original"]}),  # has NSP
    ],
)
def test_every_kind_of_settings_checks_itself(settings, changes):
    with pytest.raises(ValueError):
        replace(settings, **changes)


def test_differences_are_listed_and_other_versions_settings_ignored():
    old = {"lr": 1, "masking": {"mask": 0.8, "gone": 1}, "seed": 0}
    new = {"lr": 2, "masking": {"mask": 1.0}, "seed": 0, "new": True}
    with pytest.raises(ValueError, match=r"other settings: lr was 1, now 2; masking.mask was 0.8"):
        check_same(Path("run"), old, new)
    check_same(Path("run"), {**old, "lr": 2}, {**new, "masking": {"mask": 0.8}})
