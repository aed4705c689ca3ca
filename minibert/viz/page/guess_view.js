// The tab "Guess": what BERT says of the text, as bars, and the same blank compared in two texts.

import { largest } from "./answer.js";
import { coloursOf, drawing, make, percent, saveDrawing, shorten } from "./dom.js";
import { bars, captionOf } from "./guesses.js";

const SHOWN = 6; // words of each text that are compared
const WIDTH = 520, LINE = 24; // of a saved picture, in px

export class GuessView {
  /** `data` is the page's: `{config, tokens}`. */
  constructor(data) {
    this.data = data;
    this.root = make("section", { class: "view guess" });
  }

  wants() {
    return {};
  }

  /** `replies` are those to the `sentences`, one or two. */
  draw(replies, sentences) {
    this.sentence = sentences[0];
    this.root.replaceChildren(...this.judgements(replies), ...this.guesses(replies));
  }

  /** The labels of a classifier, and whether the second sentence follows the first. */
  judgements(replies) {
    return [
      ...replies.flatMap(({ labels }, i) => (labels ? [this.labels(labels, i)] : [])),
      ...replies.flatMap(({ follows }) => (follows
        ? [bars("Does the second sentence follow the first?", [{ name: "yes", ...follows }])] : [])),
    ];
  }

  labels(labels, number) {
    if (this.data.config.problem_type === "regression") {
      return make("p", { class: "number" }, labels.map(({ label, share }) => `${label}: ${share.toFixed(2)}`).join(", "));
    }
    const rows = labels.map(({ label, share, before }) => ({ name: label, share, before }));
    return bars(number ? "What the model says of the second text" : "What the model says", rows);
  }

  guesses([first, second]) {
    if (!first.guesses) return [];
    if (second) {
      const both = Math.min(first.guesses.length, second.guesses.length);
      if (!both) return [make("p", { class: "hint" }, "Hide a word in both texts. You can then compare the guesses.")];
      return Array.from({ length: both }, (_, i) => this.compared(
        [first, second].map(({ guesses }) => guesses[i].shares),
        both > 1 ? `Blank ${i + 1} in both texts` : "The blank in both texts"));
    }
    const blanks = first.guesses.length;
    if (!blanks) return [make("p", { class: "hint" }, "Press a word above to hide it. BERT then guesses what it was.")];
    return first.guesses.map((one, i) => this.blank(one, blanks > 1 ? `Blank ${i + 1}` : "BERT’s guesses"));
  }

  /** The guesses for one blank. A click on a guess puts it into the text. */
  blank({ place, was, words }, name) {
    const rows = words.map(({ token, share, before }) => ({ name: token, share, before }));
    const caption = captionOf(name, was);
    return make("div", { class: "card" },
      bars(caption, rows, (token) => this.sentence.fill(place, token)),
      make("div", {}, "Save as ", ...["svg", "png"].map((kind) => make("button", {
        type: "button", class: "small", onclick: () => this.save(caption, rows, kind),
      }, kind.toUpperCase()))));
  }

  /** One blank in two texts: a row for each word that either text makes likely. */
  compared(both, caption) {
    const bar = (share, kind) => {
      const span = make("span", { class: kind, "aria-hidden": "true" });
      span.style.width = `${100 * share}%`;
      return span;
    };
    return make("table", { class: "both" },
      make("caption", {}, caption),
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "guess"), make("td"),
        make("th", { scope: "col", class: "one" }, "first"), make("th", { scope: "col", class: "two" }, "second"))),
      make("tbody", {}, ...comparison(...both, SHOWN).map(({ id, shares: [one, two] }) => make("tr", {},
        make("th", { scope: "row", dir: "auto" }, shorten(this.data.tokens[id])),
        make("td", { class: "bar" }, bar(one, "one"), bar(two, "two")),
        make("td", {}, percent(one)), make("td", {}, percent(two))))));
  }

  save(caption, rows, kind) {
    const { ink, paper, link } = coloursOf(this.root);
    const text = { "font-family": "system-ui, sans-serif", "font-size": 14, fill: ink };
    const height = 64 + rows.length * LINE;
    saveDrawing(drawing(WIDTH, height, {},
      make("rect", { width: WIDTH, height, fill: paper }),
      make("text", { x: 10, y: 22, ...text }, shorten(this.sentence.text, 64)),
      make("text", { x: 10, y: 44, ...text, "font-weight": 600 }, caption),
      ...rows.flatMap(({ name, share }, i) => {
        const y = 56 + i * LINE;
        return [
          make("text", { x: 140, y: y + 16, ...text, "text-anchor": "end" }, shorten(name)),
          make("rect", { x: 150, y: y + 4, width: Math.max(1, 290 * share), height: 15, fill: link }),
          make("text", { x: 158 + 290 * share, y: y + 16, ...text }, percent(share)),
        ];
      })), `guesses.${kind}`);
  }
}

/** The likeliest `count` tokens of both, the likeliest first: `[{id, shares: [first, second]}]`. */
export function comparison(first, second, count) {
  const ids = new Set([...largest(first, count), ...largest(second, count)]);
  return [...ids].map((id) => ({ id, shares: [first[id], second[id]] }))
    .sort((a, b) => Math.max(...b.shares) - Math.max(...a.shares));
}
