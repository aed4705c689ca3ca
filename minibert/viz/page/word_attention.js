// What one word looks at in each layer: the mean over the layer's heads.

import { between, coloursOf, make, percent, shorten } from "./dom.js";
import { Scrolls } from "./scrolls.js";

export class WordAttention {
  constructor() {
    this.place = null;
    this.select = make("select", { onchange: () => this.follow(Number(this.select.value)) });
    this.table = new Scrolls("Attention of one word, by layer");
    this.root = make("div", { class: "word-attention" },
      make("h2", {}, "Where one word looks, in each layer"),
      make("p", { class: "note" }, "The average over the heads of a layer."),
      make("div", { class: "picks" }, make("label", {}, "Word", this.select)),
      this.table.root);
  }

  follow(place) {
    this.place = place;
    this.draw(this.data);
  }

  /** `data` is a reply: its tokens, layers, heads and attention. */
  draw(data) {
    this.data = data;
    const { tokens, layers } = data;
    if (this.place === null || this.place >= tokens.length) this.place = Math.max(0, tokens.indexOf("[MASK]"));
    this.select.replaceChildren(...tokens.map((token, place) =>
      make("option", { value: place }, `${place}: ${shorten(token)}`)));
    this.select.value = `${this.place}`;
    const { ramp: [paper, mid] } = coloursOf(this.root);
    const cell = (share) => {
      const td = make("td", {}, percent(share));
      td.style.background = between(paper, mid, 0.8 * share);
      return td;
    };
    const shares = Array.from({ length: layers }, (_, layer) => meanOverHeads(data, this.place, layer));
    this.table.fill(make("table", {},
      make("thead", {}, make("tr", {}, make("td"),
        ...shares.map((_, layer) => make("th", { scope: "col" }, `layer ${layer}`)))),
      make("tbody", {}, ...tokens.map((token, column) => make("tr", {},
        make("th", { scope: "row", dir: "auto" }, shorten(token)),
        ...shares.map((row) => cell(row[column])))))));
  }
}

/** The mean over a layer's heads of what the word at `place` gives to each token, 0 to 1. */
export function meanOverHeads({ tokens, heads, attention }, place, layer) {
  const T = tokens.length;
  return tokens.map((_, column) => {
    let sum = 0;
    for (let head = 0; head < heads; head++) sum += attention[((layer * heads + head) * T + place) * T + column];
    return sum / heads / 255;
  });
}
