"""`minibert predict`: answers of a fine-tuned model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from minibert.cli.finetuning_options import KINDS_OF_TEXTS
from minibert.cli.group import CommandWithExamples
from minibert.cli.terminal import printable


@click.command(
    cls=CommandWithExamples,
    examples=(
        'minibert predict runs/party "We must balance the budget."',
        "minibert predict runs/stars --data new.csv -o answers.csv",
    ),
)
@click.argument("model")
@click.argument("texts", nargs=-1)
@click.option("--data", help="Rows instead of TEXTS: a .csv, .tsv or .jsonl file.")
@click.option("--text", help="Its column with the text.")
@click.option("--text-pair", help="Its column with the second text.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, dir_okay=False),
    help="A .csv or .jsonl file for the answers; else they are printed.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
def predict(
    model: str,
    texts: tuple[str, ...],
    data: str | None,
    text: str | None,
    text_pair: str | None,
    out: Path | None,
    overwrite: bool,
) -> None:
    """The answers of MODEL, the folder of `minibert finetune` or a Hugging Face BERT with a head.

    Each answer comes with its probability. For tagging, words are what blanks separate.
    """
    from minibert.data.labelled_rows import Columns
    from minibert.data.labelled_texts import read_unlabelled
    from minibert.finetuning.predict import predict
    from minibert.finetuning.task_heads import finetuned_length, kind_of, load_finetuned

    if bool(texts) == (data is not None):
        raise click.UsageError("it takes either TEXTS or --data")
    if out is not None and out.suffix not in (".csv", ".jsonl"):
        raise click.UsageError(f"{out} must end in .csv or .jsonl")
    if out is not None and out.exists() and not overwrite:
        raise click.UsageError(f"{out} is there already: give another name or --overwrite")
    bert, tokenizer = load_finetuned(model)
    kind = kind_of(bert)
    if data is not None:
        rows = read_unlabelled(data, kind, Columns(text, text_pair))
    else:
        rows = _rows_of_texts(kind, texts)
    predictions = predict(bert, tokenizer, rows, finetuned_length(model))
    answers = [
        {**row, "prediction": p.answer, "probability": p.probability}
        for row, p in zip(rows, predictions, strict=True)
    ]
    if out is None:
        for answer in answers:
            click.echo(_told(answer))
    else:
        _write_rows(answers, out)
        click.echo(f"{len(answers)} answers in {out}")


def _rows_of_texts(kind: str, texts: tuple[str, ...]) -> list[dict[str, Any]]:
    """Texts of a command line as rows."""
    if any(not text.strip() for text in texts):
        raise click.UsageError("a text is empty")
    if kind not in KINDS_OF_TEXTS:
        raise click.UsageError(f"this model is for {kind}: give its rows with --data")
    if kind == "tagging":
        return [{"words": text.split()} for text in texts]
    return [{"text": text} for text in texts]


def _told(answer: dict[str, Any]) -> str:
    """An answer in a line."""
    given, share = answer["prediction"], answer["probability"]
    if "words" in answer:
        told = " ".join(f"{w}/{tag}" for w, tag in zip(answer["words"], given, strict=True))
        return printable(told)
    if isinstance(given, list):
        told = ", ".join(f"{name} {p:.0%}" for name, p in zip(given, share, strict=True)) or "none"
    elif isinstance(given, float):
        told = f"{given:.4g}"
    else:
        told = f"{given if given != '' else '(no answer)'} {share:.0%}"
    return printable(f"{told:20s}  {answer.get('text', answer.get('question'))}")


def _write_rows(rows: list[dict[str, Any]], out: Path) -> None:
    """As `.jsonl`, or as `.csv` with lists as JSON."""
    import csv
    import json

    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", encoding="utf-8", newline="") as stream:
        if out.suffix == ".jsonl":
            stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            return
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()}
            )
