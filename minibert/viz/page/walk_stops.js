// The stops of the walk: at each, one step of BERT in words and as a drawing of its real numbers.

import { make, percent, shorten } from "./dom.js";
import { bars } from "./guesses.js";
import { number, reach, strip, vectorRow } from "./strips.js";

const SMALL = 4; // px, the side of a cell where two strips stand side by side
const NO_GUESS = "This model has no head that guesses words. What it says of the text is above.";

/**
 * The stops: a title, the chapter of the course that builds this part and its `file`, whether it is
 * `inHead`, a part of one head, a sentence, a drawing.
 * `t` is a trace, as answer.js makes it, and `host` an element for the colours.
 */
export const STOPS = [
  {
    title: "Text becomes pieces",
    chapter: "1, Tokens and segments",
    file: "01_tokens_and_segments",
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
    file: "02_embeddings",
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
    file: "03_attention",
    inHead: true,
    say: (t) =>
      `Layer ${t.layer} multiplies the vector by three learned matrices. In head ${t.head}, the query describes `
      + "what this word is looking for, the key describes what it has to offer, and the value is what it passes on "
      + "when a word looks at it.",
    draw: (t, host) => [
      vectorRow(host, t.layer ? `after layer ${t.layer - 1}` : "embedding", t.before),
      vectorRow(host, "query", t.query),
      vectorRow(host, "key", t.key),
      vectorRow(host, "value", t.value),
    ],
  },
  {
    title: "The query is compared with every key",
    chapter: "3, Attention",
    file: "03_attention",
    inHead: true,
    say: (t) =>
      `The query of ${quote(t)} is multiplied with the key of each word, number by number. The `
      + `${t.query.length} products are added up. Their sum is divided by √${t.query.length}, or else it would grow with `
      + "the number of products. The result is a score. A high score means that this word is what the query looks for.",
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
    file: "03_attention",
    inHead: true,
    say: (t) =>
      "Softmax turns the scores into shares that add up to 100 %. A score that is one point higher makes the share "
      + "2.7 times as large, because softmax takes e, about 2.7, to the power of each score and then divides by the "
      + `sum. These shares are the attention weights. ${quote(t)} gives most to ${strongest(t)}.`,
    draw: (t) => [
      everyWord(t, (place) => [number(t.scores[place]), share(t.weights[place])], ["score", "share"]),
    ],
  },
  {
    title: "Values are mixed",
    chapter: "3, Attention",
    file: "03_attention",
    say: (t) =>
      (t.off
        ? `Head ${t.head} of layer ${t.layer} is switched off, so it passes nothing on: its context is 0. `
          + "Otherwise it would be the sum of the values, each multiplied by its share."
        : "The value of each word is multiplied by its share. The sum of them all is the context, which is what "
          + `this head has found for ${quote(t)}.`),
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
    file: "03_attention",
    say: (t) =>
      `The other heads of the layer do the same with matrices of their own. The ${t.heads} contexts lie side by `
      + "side, one more matrix mixes them, and the result is added to the vector that the layer was given. "
      + "So a layer changes a word's vector and never replaces it.",
    draw: (t, host) => [
      vectorRow(host, `${t.heads} contexts`, t.contexts),
      vectorRow(host, "mixed", t.output),
      vectorRow(host, "+ before", t.before),
      vectorRow(host, "= sum", plus(t.output, t.before)),
      vectorRow(host, "LayerNorm", t.attended),
    ],
  },
  {
    title: "Each word thinks by itself",
    chapter: "4, Encoder",
    file: "04_encoder",
    say: (t) => {
      const active = t.inner.filter((x) => x > 0.1).length;
      return `The feed-forward part looks at no other word. It widens the vector to ${t.inner.length} `
        + `numbers, and its activation keeps mostly those above 0. Here ${active} of them are larger than 0.1. Then `
        + "the vector becomes as narrow as before.";
    },
    draw: (t, host) => [
      vectorRow(host, `${t.inner.length} wide`, t.inner, { columns: 64 }),
      vectorRow(host, "narrowed", t.forward),
      vectorRow(host, "+ before", t.attended),
      vectorRow(host, "= sum", plus(t.forward, t.attended)),
      vectorRow(host, "LayerNorm", t.after),
    ],
  },
  {
    title: "The same again, layer by layer",
    chapter: "4, Encoder",
    file: "04_encoder",
    say: (t) =>
      `That was layer ${t.layer}. BERT has ${t.states.length - 1} such layers, each with weights of its own, `
      + `and each reads what the one before it wrote. This is ${quote(t)} after every one of them.`,
    draw: (t, host) => t.states.map((state, layer) =>
      vectorRow(host, layer ? `after layer ${layer - 1}` : "embedding", state)),
  },
  {
    title: "The vector becomes a guess",
    chapter: "6, Pretraining",
    file: "06_pretraining",
    say: (t) =>
      "One more dense layer transforms the last vector. The result is compared with the row of every piece in the "
      + "vocabulary. Each comparison gives a number, the logit, and softmax turns the logits into probabilities. "
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

const plus = (one, other) => one.map((x, i) => x + other[i]);
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
