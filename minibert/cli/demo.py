"""`minibert demo`: from nothing to a BERT that fills blanks, in a page that runs it."""

from __future__ import annotations

import time
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from minibert.cli.group import command
from minibert.cli.options import ABOVE_0, FOLDER, option, seed_option
from minibert.cli.terminal import percentages, say

if TYPE_CHECKING:
    from minibert.model import BertForPreTraining
    from minibert.pretraining.counting_baselines import CountBaselines
    from minibert.tokenizer import BertTokenizer

BLANKS = (
    "The [MASK] of the Union.",
    "The President of the United [MASK].",
    "We must protect the rights of the [MASK] people.",
    "The budget for the next fiscal [MASK].",
    "I recommend that [MASK] pass this law.",
)
SENTENCE = "The Congress of the United States must pass the budget."
"""Whose attention the demo draws."""
SYSTEMS = {
    "minibert": "minibert",
    "neighbours": "counting what comes between two neighbours (counting sees both of them)",
    "most_frequent": "the most frequent token, always",
}


@command("minibert demo", "minibert demo --minutes 2 -o runs/short")
@option("--minutes", "How long to train.", ABOVE_0, 5.0)
@option("-o --out", "Folder for the model. An earlier run in it is replaced.", FOLDER, "runs/demo")
@seed_option
def demo(minutes: float, out: Path, seed: int) -> None:
    """Pretrain a BERT on real text, and watch it fill blanks.

    At the end its attention is drawn, and its guesses are compared with counting.
    """
    from minibert.data.corpora import load_corpus
    from minibert.model import load
    from minibert.pretraining.recipes import RECIPES
    from minibert.pretraining.run import Run, pretrain
    from minibert.training.run_folder import Session

    begun = time.monotonic()
    say(f"1. Pretraining for {minutes:g} minutes on the State of the Union messages.")
    run = Run("sotu", "tiny-4-heads", RECIPES["speedrun"], minutes=minutes, seed=seed)
    if not pretrain(load_corpus("sotu"), out, run, Session(overwrite=True, say=say)):
        say(f"Stopped and saved. Continue with: minibert pretrain sotu -o {_quoted(out)} --resume")
        return
    say("\n2. Counting, for comparison.")
    model, tokenizer = load(out)
    baselines, accuracies = _measure(out, tokenizer)
    say("\n3. Filling blanks. Each guess with its probability.")
    for text in BLANKS:
        _fill_blank(text, model, tokenizer, baselines)
    say("\n4. Masked tokens guessed right, in speeches that the model never saw:")
    for name, label in SYSTEMS.items():
        say(f"   {accuracies[name]:6.1%}  {label}")
    if accuracies["minibert"] <= accuracies["neighbours"]:
        say(f"   This machine was too slow or too busy to beat counting in {minutes:g} minutes.")
        say(f"   Give it more time: minibert demo --minutes {2 * minutes:g}")
    _draw(model, tokenizer, out)
    say(f"\nThat took {(time.monotonic() - begun) / 60:.1f} minutes. Your turn:")
    say(f"   open {_quoted(out / 'bert.html')} in a browser, or type")
    say(f'   minibert fill-mask {_quoted(out)} "We need more [MASK] in the world."')


def _measure(out: Path, tokenizer: BertTokenizer) -> tuple[CountBaselines, dict[str, float]]:
    """The counts of the training text, and the accuracies of the model and of counting."""
    from minibert.data.tokenized_corpora import TokenizedCorpus
    from minibert.files import write_json
    from minibert.pretraining.counting_baselines import CountBaselines
    from minibert.pretraining.run_data import held_out_batches
    from minibert.training.history import read_history

    training = TokenizedCorpus.open(out / "data" / "training")
    held_out = TokenizedCorpus.open(out / "data" / "held_out")
    baselines = CountBaselines(training.tokens, tokenizer.vocab_size)
    counted = baselines.accuracy(held_out_batches(held_out, tokenizer))
    measured = [line["held_out"] for line in read_history(out) if "held_out" in line][-1]
    accuracies = {"minibert": measured["mlm_accuracy"], **counted}
    write_json(out / "demo.json", accuracies)
    return baselines, accuracies


def _fill_blank(
    text: str, model: BertForPreTraining, tokenizer: BertTokenizer, baselines: CountBaselines
) -> None:
    """Print what the model guesses, and what counting does."""
    from minibert.inference.fill_mask import fill_mask

    ids = [int(i) for i in tokenizer([text])["input_ids"][0]]
    place = ids.index(tokenizer.vocab["[MASK]"])
    counted = {
        "neighbours": baselines.neighbours(ids[place - 1], ids[place + 1], 3),
        "most frequent": baselines.most_frequent(3),
    }
    say(f"\n   {text}")
    say(f"     {'minibert':14s} {percentages(fill_mask(model, tokenizer, text, top_k=3)[0])}")
    for name, guesses in counted.items():
        words = [(tokenizer.tokens[number], share) for number, share in guesses]
        say(f"     {name:14s} {percentages(words)}")


def _draw(model: BertForPreTraining, tokenizer: BertTokenizer, out: Path) -> None:
    """Draw the attention map, put the model into a page, and list the files of the demo."""
    from minibert.viz.attention_data import AttentionData
    from minibert.viz.attention_map import map_page
    from minibert.viz.page import page as page_of

    page_of(model, tokenizer, BLANKS[0], corpus="sotu").save(out / "bert.html")
    page = map_page(AttentionData.from_model(model, tokenizer, SENTENCE), SENTENCE)
    page.save(out / "attention.html")
    assert page.picture is not None  # a map has one
    page.picture.save(out / "attention.png")
    say(f"\n5. In {out}:")
    for name, what in (
        ("bert.html", "your BERT in a page: open it in a browser, and type"),
        ("attention.html", f"what each head looks at in “{SENTENCE}”"),
        ("attention.png", "the same as a picture"),
        ("model.safetensors", "the model; transformers' AutoModel can load the folder too"),
        ("history.jsonl", "loss, accuracy and speed during training"),
        ("demo.json", "the accuracies above"),
    ):
        say(f"   {name:18s} {what}")


def _quoted(out: Path) -> str:
    return quote(str(out))
