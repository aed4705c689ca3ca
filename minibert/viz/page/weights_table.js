// The chosen head's weights as a table, for who reads numbers or hears them.

import { make, percent, shorten } from "./dom.js";

export class WeightsTable {
  constructor() {
    this.table = make("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": "Weights of the head" });
    this.root = make("details", { ontoggle: () => this.fill() },
      make("summary", {}, "This head as a table"), this.table);
  }

  /** `weight(row, column)` is the head's; `name` says which head that is. */
  draw(tokens, weight, name) {
    Object.assign(this, { tokens, weight, name });
    this.fill();
  }

  fill() {
    if (!this.root.open) return; // T * T cells, made only when they are read
    const { tokens, weight, name } = this;
    this.table.replaceChildren(make("table", { class: "weights" },
      make("caption", {}, `${name}: how much the word of a row looks at the word of a column`),
      make("thead", {}, make("tr", {}, make("td"),
        ...tokens.map((token) => make("th", { scope: "col", dir: "auto" }, shorten(token))))),
      make("tbody", {}, ...tokens.map((token, row) => make("tr", {},
        make("th", { scope: "row", dir: "auto" }, shorten(token)),
        ...tokens.map((_, column) => make("td", {}, percent(weight(row, column)))))))));
  }
}
