"""`minibert attention`: what heads look at, as a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from minibert.cli.group import CommandWithExamples
from minibert.cli.models import load_any

if TYPE_CHECKING:
    from minibert.model import BertForPreTraining, BertModel
    from minibert.tokenizer import BertTokenizer
    from minibert.viz.explorer import Explorer
    from minibert.viz.page import Page

VIEWS = ("map", "head", "model", "neuron", "explorer")


@click.command(
    cls=CommandWithExamples,
    examples=(
        'minibert attention runs/demo "The state of the Union" -o page.html',
        'minibert attention mini-sotu "The state of the Union" --layer 1 --head 3',
        'minibert attention mini-sotu "The state of the [MASK]" --view explorer',
        'minibert attention mini-sotu "Who pays?" --pair "The people do." -o pair.html',
    ),
)
@click.argument("model")
@click.argument("text")
@click.option(
    "--view", type=click.Choice(VIEWS), default="map", show_default=True,
    help="A picture; one of bertviz's views (head, model, neuron); or the explorer.",
)  # fmt: skip
@click.option("--pair", metavar="TEXT", help="A second text, as the other sentence of a pair.")
@click.option("--layer", type=click.IntRange(min=0), help="This layer alone; the first is 0.")
@click.option("--head", type=click.IntRange(min=0), help="This head alone; the first is 0.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, dir_okay=False), default="attention.html",
    show_default=True, help="The page; of a map, a .png of the same name goes beside it.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
def attention(
    model: str,
    text: str,
    view: str,
    pair: str | None,
    layer: int | None,
    head: int | None,
    out: Path,
    overwrite: bool,
) -> None:
    """What the heads of MODEL look at in TEXT, as a page.

    MODEL is `mini-sotu`, a folder, or a name on the hub.
    """
    if out.suffix != ".html":
        raise click.UsageError(f"{out} must end in .html: it is a page")
    written = [out, out.with_suffix(".png")] if view == "map" else [out]
    taken = [path for path in written if path.exists()]
    if taken and not overwrite:
        raise click.UsageError(f"{taken[0]} is there already: give another name or --overwrite")
    if view == "explorer" and (layer, head) != (None, None):
        raise click.UsageError("the explorer shows all heads: leave --layer and --head out")
    bert, tokenizer = load_any(model)
    if view == "map":
        write_map(bert, tokenizer, text, out, pair, layer, head)
    else:
        _make_view(view, bert, tokenizer, text, pair, layer, head).save(out)
    click.echo(" and ".join(str(path) for path in written))


def _make_view(
    view: str,
    model: BertModel | BertForPreTraining,
    tokenizer: BertTokenizer,
    text: str,
    pair: str | None,
    layer: int | None,
    head: int | None,
) -> Page | Explorer:
    from minibert.viz.attention_data import AttentionData
    from minibert.viz.bertviz_views import head_view, model_view, neuron_view
    from minibert.viz.explorer import explore

    if view == "explorer":
        return explore(model, tokenizer, text, pair)
    data = AttentionData.from_model(model, tokenizer, text, pair, queries_and_keys=view == "neuron")
    if view == "head":
        return head_view(data, layer=layer, heads=head)
    if view == "model":
        return model_view(data, include_layers=layer, include_heads=head)
    return neuron_view(data, layer or 0, head or 0)


def write_map(
    model: BertModel | BertForPreTraining,
    tokenizer: BertTokenizer,
    text: str,
    out: Path,
    pair: str | None = None,
    layer: int | None = None,
    head: int | None = None,
) -> None:
    from html import escape

    from minibert.viz.attention_data import AttentionData
    from minibert.viz.attention_map import attention_map
    from minibert.viz.page import Page

    data = AttentionData.from_model(model, tokenizer, text, pair)
    picture = attention_map(data, layer=layer, head=head)
    title = f"Attention: {text}" if pair is None else f"Attention: {text} / {pair}"
    body = f"""<h1>{escape(title)}</h1>
<p>Each square is one head. A row is a token that looks, a column one that is looked at; the darker,
the more. Every row adds up to 1.</p>
{picture._repr_html_()}
<p>{escape(picture.alt)}</p>"""
    style = "body { margin: 2rem auto; max-width: 70rem; padding: 0 1rem } img { max-width: 100% }"
    Page(title, body, picture, style).save(out)
    picture.save(out.with_suffix(".png"))
