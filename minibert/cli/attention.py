"""`minibert attention`: what heads look at, as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from minibert.cli.group import command
from minibert.cli.models import load_any
from minibert.cli.options import TEXT, count, flag, model_argument, option, out_file
from minibert.cli.outputs import all_or_none, check_free
from minibert.cli.terminal import say

VIEW = click.Choice(("map", "head", "model", "neuron"))


@command(
    'minibert attention runs/demo "The state of the Union" -o page.html',
    'minibert attention mini "The state of the Union" --layer 1 --head 3',
    'minibert attention mini "Who pays?" --pair "The people do." -o pair.html',
)
@model_argument
@click.argument("text", type=TEXT, help="The text to look at.")
@option("--view", "A map, or one of bertviz's views (head, model, neuron).", VIEW, "map")
@option("--pair", "A second text: the other sentence of a pair.", TEXT)
@count("--layer", "Only this layer. The first is 0.", least=0)
@count("--head", "Only this head. The first is 0.", least=0)
@out_file(
    "The page. A map is also saved as a .png beside it.",
    default="attention.html",
    show_default=True,
)
@flag("--overwrite", "Replace the files.")
def attention(model: str, text: str, out: Path, overwrite: bool, **chosen: Any) -> None:
    """Draw what the heads of MODEL look at in TEXT."""
    is_map = chosen["view"] == "map"
    files = [out, out.with_suffix(".png")] if is_map else [out]
    for file, suffix in zip(files, (".html", ".png"), strict=False):
        check_free(file, (suffix,), overwrite)
    page = _make_page(model, text, **chosen)
    with all_or_none(*files):
        page.save(out)
        for file in files[1:]:
            page.picture.save(file)
    say(" and ".join(map(str, files)))


def _make_page(
    model: str, text: str, view: str, pair: str | None, layer: int | None, head: int | None
) -> Any:
    from minibert.viz.attention_data import AttentionData
    from minibert.viz.attention_map import map_page
    from minibert.viz.bertviz_views import head_view, model_view, neuron_view

    bert, tokenizer = load_any(model)
    data = AttentionData.from_model(bert, tokenizer, text, pair, queries_and_keys=view == "neuron")
    if view == "map":
        return map_page(data, text if pair is None else f"{text} / {pair}", layer, head)
    if view == "head":
        return head_view(data, layer=layer, heads=head)
    if view == "model":
        return model_view(data, include_layers=layer, include_heads=head)
    return neuron_view(data, layer or 0, head or 0)
