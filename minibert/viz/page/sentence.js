// One text of the page: the fields to type in, and its words, which a click hides.

import { make, shorten } from "./dom.js";
import { toggled, wordsOf } from "./words.js";

export class Sentence {
  /** `start` is `{text, pair, masked}`. `tokenizer` splits what is typed, and then `changed()` is called. */
  constructor(tokenizer, start, changed) {
    this.tokenizer = tokenizer;
    this.changed = changed;
    this.text = start.text;
    this.pair = start.pair ?? null;
    this.masked = start.masked ?? [];
    this.tokens = this.split();
    this.label = make("span", {}, "Sentence");
    this.first = this.field("text", this.label);
    this.second = this.field("pair", "Second sentence");
    this.chips = make("div", { class: "chips", role: "group", "aria-label": "Words: press one to hide it" });
    this.inPieces = make("p", { class: "note" },
      "A word with a line in it has no entry in BERT’s vocabulary, so it is split into pieces, and ## marks a piece that "
      + "continues a word. If you hide such a word, each piece becomes a blank.");
    this.root = make("div", { class: "sentence" }, this.first, this.second, this.chips, this.inPieces);
    this.draw();
  }

  field(name, words) {
    return make("label", {}, words, make("input", {
      type: "text", dir: "auto", spellcheck: "false", autocomplete: "off", value: this[name] ?? "",
      oninput: (event) => this.write(name, event.target.value),
    }));
  }

  /** What is asked about: `___` and `[mask]` are blanks too. */
  written() {
    const blanks = (text) => text && text.replace(/_{2,}|\[mask\]/gi, "[MASK]");
    return { text: blanks(this.text), pair: this.pair?.trim() ? blanks(this.pair) : null };
  }

  /** The tokens that BERT sees: hidden words are blanks. */
  get seen() {
    return this.tokens.map((token, place) => (this.masked.includes(place) ? "[MASK]" : token));
  }

  split() {
    const { text, pair } = this.written();
    return this.tokenizer.encode(text, pair).tokens;
  }

  /** Put a text in place of the first or second sentence. Hidden words that stay, stay hidden. */
  write(name, value) {
    this[name] = value;
    const before = this.tokens;
    this.tokens = this.split();
    this.masked = carried(this.masked, before, this.tokens);
    this.draw();
    this.changed();
  }

  /** Another text in place of the first sentence, with nothing hidden. */
  rewrite(text) {
    this.masked = [];
    this.first.querySelector("input").value = text;
    this.write("text", text);
  }

  /** Put a guess in place of a blank, or of the word that is hidden there. */
  fill(place, token) {
    const isHidden = this.masked.includes(place);
    const number = isHidden ? wordsOf(this.tokens)[place]
      : this.tokens.slice(0, place).filter((other) => other === "[MASK]").length;
    if (isHidden) this.masked = toggled({ words: wordsOf(this.tokens), masked: this.masked }, place);
    const [name, value] = isHidden
      ? replaced(this.written(), number, token, (text) => this.tokenizer.tokenize(text))
      : filled(this.written(), number, token);
    const field = name === "text" ? this.first : this.second;
    field.querySelector("input").value = value;
    this.write(name, value);
  }

  showPair(isShown) {
    this.write("pair", isShown ? this.second.querySelector("input").value : null);
  }

  toggle(token) {
    this.masked = toggled({ words: wordsOf(this.tokens), masked: this.masked }, token);
    this.draw();
    this.changed();
  }

  draw() {
    this.second.hidden = this.pair === null;
    const words = wordsOf(this.tokens);
    this.inPieces.hidden = !words.some((word, place) => word !== null && word === words[place - 1]);
    const focused = [...this.chips.children].indexOf(document.activeElement);
    const chips = [];
    this.tokens.forEach((token, place) => {
      const isFirst = words[place] === null || words[place] !== words[place - 1];
      if (!isFirst || ["[CLS]", "[PAD]"].includes(token)) return;
      if (words[place] === null) {
        if (token === "[SEP]" && place === this.tokens.length - 1) return;
        chips.push(make("span", { class: token === "[MASK]" ? "chip hidden" : "chip special" },
          token === "[MASK]" ? "?" : shorten(token)));
        return;
      }
      const pieces = this.tokens.filter((_, other) => words[other] === words[place]);
      const isHidden = this.masked.includes(place);
      chips.push(make("button", {
        type: "button", class: isHidden ? "chip hidden" : "chip", dir: "auto",
        "aria-pressed": `${isHidden}`, "aria-label": `hide ${pieces.join(" ")}`,
        title: isHidden ? "Show this word again" : "Hide this word",
        onclick: () => this.toggle(place),
      }, ...pieces.map((piece) => make("span", {}, shorten(piece)))));
    });
    this.chips.replaceChildren(...chips);
    if (focused >= 0) this.chips.children[Math.min(focused, chips.length - 1)]?.focus();
  }
}

/** The hidden places of the tokens `before`, as places of the tokens `after` an edit. */
export function carried(masked, before, after) {
  const shorter = Math.min(before.length, after.length);
  let start = 0, end = 0;
  while (start < shorter && before[start] === after[start]) start++;
  while (end < shorter - start && before.at(-1 - end) === after.at(-1 - end)) end++;
  return masked.flatMap((place) => {
    if (place < start) return [place];
    if (place >= before.length - end) return [place + after.length - before.length];
    return before.length === after.length ? [place] : []; // another word in the same place
  });
}

/** The text of `{text, pair}` that holds blank `number`, with `token` in its place: `[name, text]`. */
export function filled({ text, pair }, number, token) {
  const parts = text.split("[MASK]"), typed = parts.length - 1;
  if (number >= typed) return ["pair", filled({ text: pair }, number - typed, token)[1]];
  const before = parts.slice(0, number + 1).join("[MASK]"), after = parts.slice(number + 1).join("[MASK]");
  return ["text", before + token + after];
}

/** The text of `{text, pair}` that holds word `number`, with `token` in its place: `[name, text]`. */
export function replaced({ text, pair }, number, token, tokenize) {
  const count = (part) => 1 + Math.max(-1, ...wordsOf(tokenize(part)).filter((word) => word !== null));
  const inText = count(text);
  if (number >= inText) return ["pair", replaced({ text: pair }, number - inText, token, tokenize)[1]];
  const [start, end] = [number, number + 1].map((words) => {
    // The last place that divides the text, but no word of it, after so many words.
    for (let at = text.length; at > 0; at--) {
      if (count(text.slice(0, at)) === words && words + count(text.slice(at)) === inText) return at;
    }
    return 0;
  });
  return ["text", text.slice(0, start) + token + text.slice(end - text.slice(start, end).match(/\s*$/)[0].length)];
}
