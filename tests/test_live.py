"""The curve that is drawn while a model trains."""

import html
import re

import pytest
from toy_trainer import toy

from minibert.training.history import read_history
from minibert.viz import live
from minibert.viz.live import LiveCurve

LOSS = re.compile(r"on training ([\d.]+) at step (\d+)")
HELD_OUT = re.compile(r"on held-out text ([\d.]+) at step (\d+)")


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when told to."""
    seconds = [0.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: seconds[0])
    return seconds


def alt(curve):
    page = curve.widget.value
    (text,) = re.findall(r'alt="([^"]*)"', page)
    return html.unescape(text)


def test_it_ends_with_the_numbers_of_the_run(tmp_path):
    """What it says of a real training is what the history holds."""
    curve = LiveCurve()
    toy(tmp_path, watch=curve).train()
    history = read_history(tmp_path)
    assert curve.history == history
    training, held_out = history[-2], history[-1]
    assert LOSS.search(alt(curve)).groups() == (f"{training['loss']:.2f}", "40")
    assert HELD_OUT.search(alt(curve)).groups() == (f"{held_out['held_out']['loss']:.2f}", "40")


def test_training_is_not_held_up_by_pictures(clock):
    curve = LiveCurve()
    curve({"step": 1, "loss": 9.0})
    first = curve.widget.value
    curve({"step": 2, "loss": 8.0})
    assert curve.widget.value == first
    clock[0] += live.SECONDS_BETWEEN_PICTURES
    curve({"step": 3, "loss": 7.0})
    assert LOSS.search(alt(curve)).groups() == ("7.00", "3")
    curve({"step": 3, "held_out": {"loss": 6.5}})
    assert HELD_OUT.search(alt(curve)).groups() == ("6.50", "3")
