// The chosen head's weights as a table, for people who read numbers or hear them.

import { make, percent, shorten } from "./dom.js";
import { Scrolls } from "./scrolls.js";

export class WeightsTable {
  constructor() {
    this.table = new Scrolls("Weights of the head");
    this.root = make("details", { ontoggle: () => this.fill() },
      make("summary", {}, "This head as a table"), this.table.root);
  }

  /** `weight(row, column)` is the head's; `name` says which head that is. */
  draw(tokens, weight, name) {
    Object.assign(this, { tokens, weight, name });
    this.fill();
  }

  fill() {
    if (!this.root.open) return; // T * T cells, made only when they are read
    const { tokens, weight, name } = this;
    this.table.fill(make("table", { class: "weights" },
      make("caption", {}, `${name}: how much the word of each row looks at the word of each column`),
      make("thead", {}, make("tr", {}, make("td"),
        ...tokens.map((token) => make("th", { scope: "col", dir: "auto" }, shorten(token))))),
      make("tbody", {}, ...tokens.map((token, row) => make("tr", {},
        make("th", { scope: "row", dir: "auto" }, shorten(token)),
        ...tokens.map((_, column) => make("td", {}, percent(weight(row, column)))))))));
  }
}
