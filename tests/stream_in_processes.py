"""Pretraining on a streamed corpus, in one process of many or the only one."""

import os
import signal
from contextlib import nullcontext
from dataclasses import replace

from stopping import stopped_in_step

from minibert.data import streaming
from minibert.data.corpora import load_corpus
from minibert.pretraining.recipes import RECIPES
from minibert.pretraining.run import Run, pretrain
from minibert.training.processes import process_group
from minibert.training.run_folder import Session


def die_in(name, place):
    """The process is killed after, or for `rmtree` before, the call that names this place."""
    real = getattr(streaming, name)

    def struck(*arguments, **options):
        if name == "rmtree" and place in str(arguments):
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*arguments, **options)
        if place in str(arguments):
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(streaming, name, struck)


def main(dataset, out, stop_in_step=None, die=None):
    """Twenty steps, or what is left of them."""
    streaming.WINDOW_CHARACTERS, streaming.SAMPLE_CHARACTERS = 2000, 8000
    if die:
        die_in(*die)
    recipe = replace(RECIPES["original"], batch_size=8, max_length=16, dropout=0.0)
    run = Run(dataset, recipe=recipe, steps=20, vocab_size=100)
    with process_group(), stopped_in_step(stop_in_step) if stop_in_step else nullcontext():
        session = Session(resume=(out / "run.json").exists(), say=lambda _: None)
        pretrain(load_corpus(dataset), out, run, session)
