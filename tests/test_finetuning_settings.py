"""How a head is trained: values that are refused, and defaults that depend on the body."""

import pytest

from minibert.config import BertConfig
from minibert.finetuning.settings import Finetuning, Runs, default_rate


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="epochs must be a number above 0, not 0"):
        Finetuning(epochs=0)
    with pytest.raises(ValueError, match=r"layer_decay must be .* up to 1, not 1\.1"):
        Finetuning(layer_decay=1.1)
    with pytest.raises(ValueError, match="pooling must be one of cls, mean, query, not 'max'"):
        Finetuning(pooling="max")
    with pytest.raises(ValueError, match="warmup must be a number from 0 to 1, not 2"):
        Finetuning(warmup=2)
    for seeds in ((), (1, 2, 1)):
        with pytest.raises(ValueError, match="seeds must be different numbers, at least one"):
            Runs(seeds=seeds)


@pytest.mark.parametrize(
    ("width", "rate"), [(256, 3e-4), (384, 1e-4), (768, 3e-5), (1024, 2e-5), (32, 1e-3)]
)
def test_the_rate_depends_on_the_width_of_the_body(width, rate):
    assert default_rate(BertConfig.preset("tiny", vocab_size=9, hidden_size=width)) == rate
