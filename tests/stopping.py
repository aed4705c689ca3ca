"""A pretraining run that is stopped in its middle, as a user or a cluster stops it."""

import os
import signal
from contextlib import contextmanager

import pytest

from minibert.pretraining.run import cut


@contextmanager
def stopped_in_step(number):
    """SIGTERM comes in the step of this number, from 1, of what is trained meanwhile."""
    begun = 0

    def cut_and_stop(batch, parts):
        nonlocal begun
        begun += 1
        if begun == number:
            os.kill(os.getpid(), signal.SIGTERM)
        return cut(batch, parts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minibert.pretraining.run.cut", cut_and_stop)
        yield
