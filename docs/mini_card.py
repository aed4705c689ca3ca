"""The card of `mini`, `minibert/mini/README.md`. Its numbers come from what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minibert.data.library import SOURCES
from minibert.files import read_json, write_text
from minibert.training.history import read_history
from minibert.viz.style import PALETTE, plot

HOURS = (1, 5, 10, 20)
"""After so many hours the card says how good the model was."""

CARD = Path(__file__).with_suffix(".md")
"""The card with names in place of numbers."""


def write_card(folder: Path, result: dict[str, Any]) -> None:
    """Write the card and its curve into the model's folder, from its `measured.json`."""
    run, config = read_json(folder / "run.json"), read_json(folder / "config.json")
    recipe, sources = run["recipe"], result["sources"]
    points = [
        (line["seconds"] / 3600, line["step"], line["held_out"]["mlm_accuracy"])
        for line in read_history(folder)
        if "held_out" in line
    ]
    draw(folder, points)
    tokens_a_step = recipe["batch_size"] * recipe["max_length"] / 1e6
    decay = round(recipe["decay"] * run["steps"])
    guesses = result["sentences"]
    means = {
        kind: sum(line[kind] for line in sources.values()) / len(sources)
        for kind in ("mini", "neighbours", "most_frequent")
    }
    text = CARD.read_text("utf-8").format(
        layers=config["num_hidden_layers"],
        width=config["hidden_size"],
        heads=config["num_attention_heads"],
        positions=config["max_position_embeddings"],
        weights=result["weights"] / 1e6,
        megabytes=(folder / "model.safetensors").stat().st_size / 1e6,
        rows=result["rows"],
        length=result["length"],
        sources="\n".join(
            f"| {name} | {percent(line['mini'])} ± {100 * line['±']:.1f} "
            f"| {percent(line['neighbours'])} | {percent(line['most_frequent'])} |"
            for name, line in sources.items()
        ),
        mean=percent(means["mini"]),
        mean_neighbours=percent(means["neighbours"]),
        mean_frequent=percent(means["most_frequent"]),
        alone=interval(result["single sentences"]),
        another=interval(result["nsp, another document"]),
        elsewhere=interval(result["nsp, elsewhere"]),
        first=sum(line["first is right"] for line in guesses.values()),
        three=sum(line["one of three is right"] for line in guesses.values()),
        all=len(guesses),
        sentences="\n".join(
            f"| {text} | {', '.join(line['guesses'])} | {mark(line)} |"
            for text, line in guesses.items()
        ),
        lowest=percent(points[0][2]),
        highest=percent(points[-1][2]),
        hours="\n".join(
            f"| {hours:.1f} | {step:,} | {step * tokens_a_step:.0f} | {percent(share)} |"
            for hours, step, share in moments(points)
        ),
        steps=run["steps"],
        batch=recipe["batch_size"],
        max_length=recipe["max_length"],
        tokens=round(run["steps"] * tokens_a_step),
        seed=run["seed"],
        spent=points[-1][0],
        decay=decay,
        masked=100 * recipe["masking"]["probability"],
        licences="\n".join(f"| {s.name} | {s.description} | {s.licence} |" for s in SOURCES),
    )
    write_text(folder / "README.md", text)


def moments(points: list[tuple[float, int, float]]) -> list[tuple[float, int, float]]:
    """The last evaluation before each of `HOURS`, and the very last."""
    ends = [max(i for i, (hours, *_) in enumerate(points) if hours <= h) for h in HOURS]
    return [points[i] for i in sorted({*ends, len(points) - 1})]


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def interval(share_and_error: list[float]) -> str:
    share, error = share_and_error
    return f"{percent(share)} ± {100 * error:.1f}"


def mark(line: dict[str, bool]) -> str:
    """How good three guesses are, in words."""
    if line["first is right"]:
        return "right"
    return "one of three" if line["one of three is right"] else "wrong"


def draw(folder: Path, points: list[tuple[float, int, float]]) -> None:
    """Held-out accuracy against steps, `curve.png`."""
    figure, ax = plot()
    ax.plot([step for _, step, _ in points], [100 * share for *_, share in points], PALETTE[0])
    ax.set_xscale("log")
    ax.set_xlabel("training steps")
    ax.set_ylabel("held-out masked\ntokens right (%)")
    figure.savefig(folder / "curve.png", dpi=100)
