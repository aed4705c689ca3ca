// The walk: one word's way through BERT, stop by stop, with the numbers that it really has.

import { make, percent, shorten } from "./dom.js";
import { bars } from "./guesses.js";
import { number, reach, strip, vectorRow } from "./strips.js";

const SMALL = 4; // px, the side of a cell where two strips stand side by side
const NO_GUESS = "This model has no head that guesses words. What it says of the text is above.";

/**
 * The stops: a title, the chapter of the course that builds this part, a sentence, a drawing.
 * `t` is a trace, as answer.js makes it, and `host` an element for the colours.
 */
export const STOPS = [
  {
    title: "Text becomes pieces",
    chapter: "1, Tokens and segments",
    say: (t) =>
      `BERT reads pieces of words from a list of its own, its vocabulary. Your text is ${t.tokens.length} `
      + "pieces, and each has a number. Frequent words are one piece. Rare words are several, and ## marks a "
      + "piece that continues a word. [CLS] always comes first and [SEP] ends a sentence.",
    draw: (t) => [
      make("div", { class: "pieces" }, ...t.tokens.map((token, place) =>
        make("span", { class: place === t.token ? "piece here" : "piece" },
          make("b", {}, shorten(token)), make("small", {}, `${t.ids[place]}`)))),
    ],
  },
  {
    title: "A piece becomes a vector",
    chapter: "2, Embeddings",
    say: (t) =>
      `The number ${t.ids[t.token]} picks a row from a table that BERT learned: a vector, which is a list of `
      + `${t.embedding.sum.length} numbers. A second table says that the piece is at position ${t.token}, and a third `
      + `that it is in sentence ${"AB"[t.segments[t.token]]}. The three rows are added. LayerNorm then shifts and `
      + "stretches the sum, so that every word's numbers have the same average and the same spread.",
    draw: (t, host) => {
      const { token, position, segment, sum, states } = t.embedding;
      const scale = reach(token, position, segment, sum);
      return [
        vectorRow(host, shorten(t.tokens[t.token]), token, { scale }),
        vectorRow(host, `+ position ${t.token}`, position, { scale }),
        vectorRow(host, `+ segment ${"AB"[t.segments[t.token]]}`, segment, { scale }),
        vectorRow(host, "= sum", sum, { scale }),
        vectorRow(host, "LayerNorm", states),
      ];
    },
  },
  {
    title: "Query, key, value",
    chapter: "3, Attention",
    say: (t) =>
      `Layer ${t.layer} multiplies the vector by three learned matrices. In head ${t.head}, the query says `
      + "what this word looks for, the key says what it can be found by, and the value is what it "
      + "hands over when it is found.",
    draw: (t, host) => [
      vectorRow(host, t.layer ? `after layer ${t.layer - 1}` : "embedding", t.before),
      vectorRow(host, "query", t.query),
      vectorRow(host, "key", t.key),
      vectorRow(host, "value", t.value),
    ],
  },
  {
    title: "The query meets every key",
    chapter: "3, Attention",
    say: (t) =>
      `The query of ${quote(t)} is multiplied with the key of each word, number by number. The `
      + `${t.query.length} products are added up and divided by √${t.query.length}, because sums of more numbers are `
      + "larger. The result is a score. A high score means that this word is what the query looks for.",
    draw: (t, host) => {
      const products = t.keys.map((key) => key.map((x, i) => x * t.query[i]));
      const [keys, multiplied] = [t.keys, products].map((vectors) => reach(...vectors));
      const cell = SMALL;
      return [everyWord(t, (place) => [
        strip(host, t.keys[place], { scale: keys, title: "key:", cell }),
        strip(host, products[place], { scale: multiplied, title: "query times key:", cell }),
        number(t.scores[place]),
      ], ["key", "query × key", "score"], {
        before: ["query", strip(host, t.query, { title: "query:", cell }), "", ""],
      })];
    },
  },
  {
    title: "Scores become shares",
    chapter: "3, Attention",
    say: (t) =>
      "Softmax turns the scores into shares that add up to 100 %: it raises e to the power of each score and "
      + "divides by the sum. One point more makes a share 2.7 times as large, so a lead of a few points takes "
      + `nearly all. These are the attention weights. ${quote(t)} gives most to ${strongest(t)}.`,
    draw: (t) => [
      everyWord(t, (place) => [number(t.scores[place]), share(t.weights[place])], ["score", "share"]),
    ],
  },
  {
    title: "Values are mixed",
    chapter: "3, Attention",
    say: (t) =>
      (t.off
        ? `Head ${t.head} of layer ${t.layer} is switched off, so it passes nothing on: its context is 0. `
          + "Otherwise it would be the sum of the values, each as strong as its share says."
        : "Each word hands over its value, as strongly as its share says. The sum is what this head has "
          + `found for ${quote(t)}: its context.`),
    draw: (t, host) => {
      const scale = reach(...t.values);
      return [everyWord(t, (place) => [
        share(t.weights[place]), strip(host, t.values[place], { scale, title: "value:" }),
      ], ["share", "value"], {
        after: ["= context", "", strip(host, t.context, { scale, title: "context:" })],
      })];
    },
  },
  {
    title: "The heads come together",
    chapter: "3, Attention",
    say: (t) =>
      `The other heads of the layer do the same with matrices of their own. The ${t.heads} contexts lie side by `
      + "side, one more matrix mixes them, and the result is added to the vector that the layer was given. "
      + "So a layer changes a word's vector and never replaces it.",
    draw: (t, host) => [
      vectorRow(host, `${t.heads} contexts`, t.contexts),
      vectorRow(host, "mixed", t.output),
      vectorRow(host, "+ before", t.before),
      vectorRow(host, "LayerNorm", t.attended),
    ],
  },
  {
    title: "Each word thinks by itself",
    chapter: "4, Encoder",
    say: (t) => {
      const active = t.inner.filter((x) => x > 0.1).length;
      return `The feed-forward part looks at no other word. It widens the vector to ${t.inner.length} `
        + `numbers and lets through mostly those above 0, here ${active} that are larger than 0.1. Then it narrows `
        + "the vector again.";
    },
    draw: (t, host) => [
      vectorRow(host, `${t.inner.length} wide`, t.inner, { columns: 64 }),
      vectorRow(host, "narrowed", t.forward),
      vectorRow(host, "+ before", t.attended),
      vectorRow(host, "LayerNorm", t.after),
    ],
  },
  {
    title: "The same again, layer by layer",
    chapter: "4, Encoder",
    say: (t) =>
      `That was layer ${t.layer}. BERT has ${t.states.length - 1} such layers, each with weights of its own, `
      + `and each reads what the one before it wrote. This is ${quote(t)} after every one of them.`,
    draw: (t, host) => t.states.map((state, layer) =>
      vectorRow(host, layer ? `after layer ${layer - 1}` : "embedding", state)),
  },
  {
    title: "The vector becomes a guess",
    chapter: "6, Pretraining",
    say: (t) =>
      "The last vector is compared with the row of every piece in the vocabulary. Each comparison gives a "
      + "number, the logit, and softmax turns the logits into probabilities. "
      + (t.tokens[t.token] === "[MASK]"
        ? "The piece at the top is BERT's guess for the blank."
        : "This word is not hidden, so BERT mostly repeats it. Choose a blank to see a real guess."),
    draw: (t, host) => (t.guess === null ? [make("p", {}, NO_GUESS)] : [
      vectorRow(host, "transformed", t.guess.transformed),
      make("div", { class: "two" },
        logits(t.guess.words),
        bars("probability", t.guess.words.map(({ token, share }) => ({ name: token, share, before: null })))),
    ]),
  },
];

const quote = (t) => `“${shorten(t.tokens[t.token])}”`;

function strongest(t) {
  const place = t.weights.indexOf(Math.max(...t.weights));
  return `${place === t.token ? "itself" : `“${shorten(t.tokens[place])}”`} (${percent(t.weights[place])})`;
}

function share(weight) {
  const bar = make("span", { class: "share" }, make("b"), ` ${percent(weight)}`);
  bar.firstChild.style.width = `${Math.round(80 * weight)}px`;
  return bar;
}

/** A row for each word of the text, with what `cells(place)` gives. */
function everyWord(t, cells, heads, { before = null, after = null } = {}) {
  const extra = (row) => (row === null ? [] : [make("tr", { class: "extra" },
    make("th", { scope: "row" }, row[0]), ...row.slice(1).map((cell) => make("td", {}, cell)))]);
  return make("table", { class: "words" },
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "word"),
      ...heads.map((head) => make("th", { scope: "col" }, head)))),
    make("tbody", {}, ...extra(before), ...t.tokens.map((token, place) =>
      make("tr", { class: place === t.token ? "here" : null },
        make("th", { scope: "row", dir: "auto" }, shorten(token)),
        ...cells(place).map((cell) => make("td", {}, cell)))), ...extra(after)));
}

function logits(words) {
  return make("table", { class: "words" },
    make("caption", {}, "logit"),
    make("tbody", {}, ...words.map(({ token, logit }) => make("tr", {},
      make("th", { scope: "row", dir: "auto" }, shorten(token)), make("td", {}, number(logit))))));
}

/** The tab of the walk: where it is, forward and back, and which word and head it follows. */
export class Walk {
  /** `ask()` is called when another word, layer or head is to be followed. */
  constructor(ask) {
    this.ask = ask;
    this.stop = 0;
    this.at = { layer: 0, head: 0, token: null };
    this.place = make("p", { class: "place" });
    this.title = make("h2", { tabindex: "-1" });
    this.words = make("p", { class: "saying" });
    this.drawn = make("div", { class: "drawn" });
    this.chapter = make("p", { class: "note" });
    this.back = make("button", { type: "button", onclick: () => this.go(-1) }, "← Back");
    this.next = make("button", { type: "button", class: "main", onclick: () => this.go(1) }, "Next →");
    this.pick = ["token", "layer", "head"].map((name) => {
      const select = make("select", { onchange: () => this.follow(name, Number(select.value)) });
      return make("label", {}, { token: "Word", layer: "Layer", head: "Head" }[name], select);
    });
    this.root = make("div", { class: "walk", onkeydown: (event) => this.key(event) },
      make("div", { class: "picks" }, ...this.pick),
      make("div", { class: "steps" }, this.back, this.next, this.place),
      this.title, this.words, this.drawn,
      make("p", { class: "note" }, "A coloured square is a number: purple above 0, orange below 0, white at 0. "
        + "The stronger the colour, the further from 0."),
      this.chapter);
  }

  /** What is to be traced in a text of these tokens: a blank if there is one. */
  wanted(tokens, layers, heads) {
    const { at } = this;
    if (at.token === null || at.token >= tokens.length) {
      const blank = tokens.indexOf("[MASK]");
      at.token = blank < 0 ? Math.min(1, tokens.length - 1) : blank;
    }
    at.layer = Math.min(at.layer, layers - 1);
    at.head = Math.min(at.head, heads - 1);
    return { ...at };
  }

  follow(name, value) {
    this.at[name] = value;
    this.ask();
  }

  go(step) {
    const to = this.stop + step;
    if (to < 0 || to > STOPS.length) return;
    this.stop = to % STOPS.length; // after the last stop comes the first
    this.draw(this.trace);
    this.title.focus();
  }

  key(event) {
    if (event.target.tagName === "SELECT") return;
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) {
      event.preventDefault();
      this.go(step);
    }
  }

  draw(trace) {
    this.trace = trace;
    const stop = STOPS[this.stop];
    const choices = {
      token: trace.tokens.map((token, place) => `${place}: ${shorten(token)}`),
      layer: Array.from({ length: trace.states.length - 1 }, (_, i) => `${i}`),
      head: Array.from({ length: trace.heads }, (_, i) => `${i}`),
    };
    ["token", "layer", "head"].forEach((name, i) => {
      const select = this.pick[i].querySelector("select");
      select.replaceChildren(...choices[name].map((words, value) => make("option", { value }, words)));
      select.value = `${trace[name]}`;
    });
    this.place.textContent = `Stop ${this.stop + 1} of ${STOPS.length}`;
    this.title.textContent = stop.title;
    this.words.textContent = stop.say(trace);
    this.drawn.replaceChildren(...stop.draw(trace, this.root));
    this.chapter.textContent = `In the minibert course you build this in chapter ${stop.chapter}.`;
    this.back.disabled = this.stop === 0;
    this.next.textContent = this.stop === STOPS.length - 1 ? "Start again" : "Next →";
  }
}
