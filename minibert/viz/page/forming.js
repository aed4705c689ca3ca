// How an answer forms: the likeliest words in columns, one for each layer or each step of training.

import { largest } from "./answer.js";
import { between, coloursOf, make, percent, shorten } from "./dom.js";

const WORDS = 5;

/**
 * A table of `columns`, `[{name, shares}]` with shares (V): the likeliest words of each, the darker
 * the likelier, and in the last row how likely the word is there that the last column puts first.
 */
export function formingTable(host, caption, columns, tokens) {
  const { ramp: [paper, mid], ink } = coloursOf(host);
  const [winner] = largest(columns.at(-1).shares, 1);
  const listed = columns.map(({ shares }) => largest(shares, WORDS));
  const cell = ({ shares }, id) => {
    const td = make("td", { class: id === winner ? "winner" : null },
      make("span", { dir: "auto" }, shorten(tokens[id])), make("small", {}, percent(shares[id])));
    td.style.background = between(paper, mid, 0.6 * shares[id]);
    td.style.color = ink;
    return td;
  };
  return make("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": caption },
    make("table", { class: "forming" },
      make("caption", {}, caption),
      make("thead", {}, make("tr", {}, make("td"),
        ...columns.map(({ name }) => make("th", { scope: "col" }, name)))),
      make("tbody", {},
        ...Array.from({ length: WORDS }, (_, rank) => make("tr", {},
          make("th", { scope: "row" }, `${rank + 1}.`),
          ...columns.map((column, i) => cell(column, listed[i][rank])))),
        make("tr", { class: "final" },
          make("th", { scope: "row", dir: "auto" }, shorten(tokens[winner])),
          ...columns.map(({ shares }) => make("td", {}, percent(shares[winner])))))));
}
