// Probabilities as bars, with a mark where they were before heads were switched off.

import { make, percent, shorten } from "./dom.js";

/** A table of bars: `rows` are `{name, share, before}`; `choose(name)`, if given, is for a click. */
export function bars(caption, rows, choose = null) {
  return make("table", { class: "bars" },
    make("caption", {}, caption),
    make("tbody", {}, ...rows.map(({ name, share, before }) => make("tr", {},
      make("th", { scope: "row", dir: "auto" }, choose
        ? make("button", { type: "button", class: "word", onclick: () => choose(name) }, shorten(name))
        : shorten(name)),
      make("td", { class: "bar" }, bar(share, before)),
      make("td", {}, percent(share), ...(before === null ? [] : [make("small", {}, ` was ${percent(before)}`)])),
    ))));
}

function bar(share, before) {
  const bar = make("span", { "aria-hidden": "true" }, make("b"), make("i"));
  bar.children[0].style.width = `${100 * share}%`;
  bar.children[1].style.left = `${100 * (before ?? share)}%`;
  bar.children[1].hidden = before === null;
  return bar;
}

/** What stands over the guesses for a blank that was a word, or was typed. */
export const captionOf = (name, was) => (was === null ? name : `${name} (it was “${shorten(was)}”)`);

/** The table of one `[MASK]`: `{place, was, words}`, and a `name` if it has one. */
export function guessesOf({ place, was, words, name = `[MASK] at token ${place}` }) {
  const rows = words.map(({ token, share, before }) => ({ name: token, share, before }));
  return bars(captionOf(name, was), rows);
}
