// The likeliest words in columns, one for each layer or each step of training.

import { largest } from "./answer.js";
import { between, coloursOf, make, percent, shorten } from "./dom.js";
import { Scrolls } from "./scrolls.js";

const WORDS = 5;

/**
 * A table of `columns`, `[{name, shares}]` with shares (V): the likeliest words of each, darker for a
 * higher probability. The last row follows the word that wins in the last column.
 */
export function likeliestTable(host, caption, columns, tokens) {
  const { ramp: [paper, mid], ink } = coloursOf(host);
  const { winner, ranks } = ranked(columns.map(({ shares }) => shares), WORDS);
  const cell = ({ shares }, id) => {
    const td = make("td", { class: id === winner ? "winner" : null },
      make("span", { dir: "auto" }, shorten(tokens[id])), make("small", {}, percent(shares[id])));
    td.style.background = between(paper, mid, 0.6 * shares[id]);
    td.style.color = ink;
    return td;
  };
  const scrolls = new Scrolls(caption);
  scrolls.fill(make("table", { class: "likeliest" },
    make("caption", {}, caption),
    make("thead", {}, make("tr", {}, make("td"),
      ...columns.map(({ name }) => make("th", { scope: "col" }, name)))),
    make("tbody", {},
      ...ranks.map((ids, rank) => make("tr", {},
        make("th", { scope: "row" }, `${rank + 1}.`),
        ...columns.map((column, i) => cell(column, ids[i])))),
      make("tr", { class: "final" },
        make("th", { scope: "row", dir: "auto" }, shorten(tokens[winner])),
        ...columns.map(({ shares }) => make("td", {}, percent(shares[winner])))))));
  return scrolls.root;
}

/** `winner`, the likeliest of the last column, and for each rank the ids at it, one for each column. */
export function ranked(columns, count) {
  const listed = columns.map((shares) => largest(shares, count));
  const ranks = listed[0].map((_, rank) => listed.map((ids) => ids[rank]));
  return { winner: listed.at(-1)[0], ranks };
}
