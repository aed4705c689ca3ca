// The tab "Layer by layer": what BERT would guess for a blank if it ended after each layer.

import { make } from "./dom.js";
import { likeliestTable } from "./likeliest_table.js";

export class LayersView {
  /** `tokens` is the vocabulary, and `blank` the `BlankChoice` that this view is about. */
  constructor(tokens, blank) {
    this.tokens = tokens;
    this.blank = blank;
    this.root = make("section", { class: "view" });
  }

  wants(seen) {
    return { layersOf: this.blank.placeIn(seen) };
  }

  draw([{ byLayer, guesses }]) {
    if (!byLayer) {
      this.root.replaceChildren(make("p", { class: "hint" },
        "Press a word above to hide it. You then see BERT’s guess form, layer by layer."));
      return;
    }
    const columns = byLayer.map((shares, layer) => ({ name: layer ? `layer ${layer - 1}` : "embedding", shares }));
    this.root.replaceChildren(
      make("p", { class: "saying" },
        "Only the last layer was trained to guess. But every layer changes the same vectors, so we can take them after "
        + "any layer and make a guess from them. The table shows what BERT would guess if it ended there."),
      ...this.blank.menu(guesses.length),
      likeliestTable(this.root, "The likeliest words after each layer", columns, this.tokens));
  }
}
