"""`minibert predict`: answers of a fine-tuned model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from minibert.cli.finetuning_options import KINDS_OF_TEXTS
from minibert.cli.group import command
from minibert.cli.options import TEXT, flag, out_file
from minibert.cli.outputs import check_free
from minibert.cli.terminal import say


@command(
    'minibert predict runs/party "We must balance the budget."',
    "minibert predict runs/stars --data new.csv -o answers.csv",
)
@click.argument(
    "model", help="A folder of `minibert finetune`, or a Hugging Face BERT with a head."
)
@click.argument("texts", type=TEXT, nargs=-1, metavar="[TEXT]...", help="Texts to answer.")
@click.option("--data", help="Answer the rows of this .csv, .tsv or .jsonl file instead.")
@click.option("--text", help="The column of --data with the text.  [default: text]")
@click.option("--text-pair", help="The column of --data with the second text of a pair.")
@out_file("Write the answers to this .csv or .jsonl file.")
@flag("--overwrite", "Replace the file.")
def predict(
    model: str, texts: tuple[str, ...], out: Path | None, overwrite: bool, **options: Any
) -> None:
    """Print what a fine-tuned MODEL answers.

    Each answer comes with its probability. For tagging, a text's words are separated by blanks.
    """
    from minibert.data.labelled_rows import Columns
    from minibert.data.labelled_texts import read_unlabelled
    from minibert.files import write_whole
    from minibert.finetuning.predict import predict
    from minibert.finetuning.task_heads import finetuned_length, kind_of, load_finetuned

    data = options["data"]
    if bool(texts) == (data is not None):
        raise click.UsageError("give either texts or --data")
    check_free(out, (".csv", ".jsonl"), overwrite)
    bert, tokenizer = load_finetuned(model)
    kind = kind_of(bert)
    if data is not None:
        rows = read_unlabelled(data, kind, Columns(options["text"], options["text_pair"]))
    else:
        rows = _rows_of_texts(kind, texts)
    predictions = predict(bert, tokenizer, rows, finetuned_length(model))
    answers = [
        {**row, "prediction": p.answer, "probability": p.probability}
        for row, p in zip(rows, predictions, strict=True)
    ]
    if out is None:
        for answer in answers:
            say(_in_a_line(answer))
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    write = _write_jsonl if out.suffix == ".jsonl" else _write_csv
    write_whole(out, lambda file: write(answers, file))
    say(f"{len(answers)} answers in {out}")


def _rows_of_texts(kind: str, texts: tuple[str, ...]) -> list[dict[str, Any]]:
    """Texts of a command line as rows."""
    if any(not text.strip() for text in texts):
        raise click.UsageError("a text is empty")
    if kind not in KINDS_OF_TEXTS:
        raise click.UsageError(f"this model is for {kind}: give its rows with --data")
    if kind == "tagging":
        return [{"words": text.split()} for text in texts]
    return [{"text": text} for text in texts]


def _in_a_line(answer: dict[str, Any]) -> str:
    """An answer, its probability, and the text."""
    given, share = answer["prediction"], answer["probability"]
    if "words" in answer:
        return " ".join(f"{w}/{tag}" for w, tag in zip(answer["words"], given, strict=True))
    if isinstance(given, list):
        told = ", ".join(f"{name} {p:.0%}" for name, p in zip(given, share, strict=True)) or "none"
    elif isinstance(given, float):
        told = f"{given:.4g}"
    else:
        told = f"{given if given != '' else '(no answer)'} {share:.0%}"
    return f"{told:20s}  {answer.get('text', answer.get('question'))}"


def _write_jsonl(rows: list[dict[str, Any]], file: Path) -> None:
    import json

    with file.open("w", encoding="utf-8", newline="") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _write_csv(rows: list[dict[str, Any]], file: Path) -> None:
    """Lists as JSON, and no cell that a spreadsheet would take for a formula."""
    import csv
    import json

    from minibert.data.tables import no_formula

    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([no_formula(name) for name in rows[0]])
        for row in rows:
            cells = (json.dumps(v) if isinstance(v, list) else v for v in row.values())
            writer.writerow([no_formula(c) if isinstance(c, str) else c for c in cells])
