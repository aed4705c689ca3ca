// BERT in a page: a sentence on top, and below it four or five ways to look at what BERT makes of it.

import { largest } from "./answer.js";
import { ByLayer } from "./by_layer.js";
import { coloursOf, download, drawing, make, percent, saveDrawing, shorten } from "./dom.js";
import { formingTable } from "./forming.js";
import { bars } from "./guesses.js";
import { Kernel } from "./kernel.js";
import { Panel } from "./panel.js";
import { Sentence } from "./sentence.js";
import { BertTokenizer } from "./tokenizer.js";
import { Walk } from "./walk.js";

const TYPING_PAUSE = 60; // ms without a key before a text is read
const SHOWN = 8;
const TABS = [
  ["guess", "Guess"], ["look", "Attention"], ["walk", "Step by step"], ["layers", "Layer by layer"],
  ["training", "During training"],
];

export class App {
  /** `data` as `Answerer` reads it, with `name`, `steps` of the snapshots and `start`; `source`. */
  constructor(data, source, el) {
    this.data = data;
    this.kernel = new Kernel(data, source);
    this.tokenizer = new BertTokenizer(data.tokens, data.lowerCase, data.characters);
    this.snapshot = data.models.length - 1;
    this.off = [];
    this.seq = 0;
    this.blank = 0; // which of the blanks the layers and the training show
    this.sentences = [this.sentence(data.start)];
    this.host = { live: true, ask: () => this.askSoon(0), say: (words) => this.say(words) };
    this.request = { masked: [], off: this.off }; // the panel's, changed by it in place
    this.panel = new Panel({ ...this.host, ask: () => this.fromPanel() }, this.request,
      { width: 380, largest: 84 });
    this.layered = new ByLayer();
    this.walk = new Walk(() => this.askSoon(0));
    this.onlyFirst = make("p", { class: "note" }, "This is the first text. The comparison is under Guess.");
    this.build(el);
    this.show("guess");
  }

  sentence(start) {
    return new Sentence(this.tokenizer, start, () => this.askSoon(TYPING_PAUSE));
  }

  build(el) {
    const { data } = this;
    this.texts = make("div", { class: "texts" }, ...this.sentences.map((one) => one.root));
    this.pairButton = make("button", { type: "button", onclick: () => this.togglePair() });
    this.compareButton = make("button", { type: "button", onclick: () => this.toggleCompare() });
    this.offButton = make("button", { type: "button", class: "warn", onclick: () => this.allOn() });
    this.slider = this.buildSlider();
    this.alert = make("p", { class: "alert", role: "alert" });
    this.status = make("p", { class: "unseen", role: "status" });
    const tabs = TABS.filter(([name]) => this.has(name));
    this.tabs = Object.fromEntries(tabs.map(([name, words]) => [name, make("button", {
      type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `view-${name}`,
      onclick: () => this.show(name),
    }, words)]));
    this.views = Object.fromEntries(tabs.map(([name]) => [name, make("section", {
      role: "tabpanel", id: `view-${name}`, "aria-labelledby": `tab-${name}`, class: `view ${name}`,
    })]));
    this.views.look.append(
      make("p", { class: "saying" },
        "To understand a word, BERT looks at the words around it. What looks is called a head: each head "
        + "decides for every word how much it looks at every other. This model has "
        + `${data.config.num_hidden_layers} layers of ${data.config.num_attention_heads} heads, and here they `
        + "are as small maps, with a row for each word that looks and a column for each word that is "
        + "looked at: the darker, the more. Choose a head to see it as links. Then switch it off, and see whether "
        + "the guess changes. Not every head matters for every guess."),
      this.panel.root, this.layered.root);
    this.views.walk.append(this.walk.root);
    for (const { root } of [this.panel, this.layered, this.walk]) root.hidden = true; // until the first reply
    this.root = make("div", { class: "app" },
      make("header", {}, make("h1", {}, "BERT in a page"),
        make("p", {}, "A language model that runs in this file. Write something, and hide a word by pressing it: "
          + "BERT guesses what it was."),
        make("p", { class: "note" }, data.name)),
      this.texts, this.examples(),
      make("div", { class: "more" }, this.pairButton, this.compareButton, this.offButton, this.slider),
      this.alert,
      make("div", { class: "tabs", role: "tablist", onkeydown: (event) => this.moveInTabs(event) },
        ...Object.values(this.tabs)),
      this.onlyFirst, ...Object.values(this.views), this.status,
      make("footer", {}, make("button", { type: "button", onclick: () => this.saveCopy() },
        "Save a copy of this page")));
    el.replaceChildren(this.root);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.askSoon(0));
  }

  /** Sentences to begin with, if the model guesses words. */
  examples() {
    const buttons = this.guesses() ? this.data.examples.map((text) => make("button", {
      type: "button", class: "small", onclick: () => this.sentences[0].rewrite(text),
    }, text.replace("[MASK]", "___"))) : [];
    return make("div", { class: "examples", hidden: buttons.length ? null : "" }, "Try: ", ...buttons);
  }

  has(tab) {
    if (tab === "training") return this.data.models.length > 1;
    return tab !== "layers" || this.guesses();
  }

  guesses() {
    return "mlm_head.dense.weight" in this.data.models[0].table;
  }

  buildSlider() {
    const { steps } = this.data;
    const words = () => `after ${steps[this.snapshot]} steps`;
    const shown = make("output", {}, words());
    const slider = make("input", {
      type: "range", min: 0, max: steps.length - 1, value: this.snapshot, "aria-valuetext": words(),
      oninput: () => {
        this.snapshot = Number(slider.value);
        shown.textContent = words();
        slider.setAttribute("aria-valuetext", words());
        this.askSoon(0);
      },
    });
    return make("label", { class: "training", hidden: steps.length > 1 ? null : "" }, "Training ", slider, shown);
  }

  togglePair() {
    const isShown = this.sentences[0].pair !== null;
    for (const one of this.sentences) one.showPair(!isShown);
    if (!isShown) this.sentences[0].second.querySelector("input").focus();
  }

  toggleCompare() {
    if (this.sentences.length === 1) {
      const { text, pair, masked } = this.sentences[0];
      this.sentences.push(this.sentence({ text, pair, masked: [...masked] }));
      this.texts.append(this.sentences[1].root);
      this.sentences[1].first.querySelector("input").focus();
    } else this.sentences.pop().root.remove();
    const names = this.sentences.length > 1 ? ["First text", "Second text"] : ["Sentence"];
    this.sentences.forEach((one, i) => { one.label.textContent = names[i]; });
    this.askSoon(0);
  }

  allOn() {
    this.off = this.request.off = [];
    this.askSoon(0);
  }

  /** A click in the links hides a word of the first text; the button there switches a head. */
  fromPanel() {
    this.off = this.request.off;
    const [first] = this.sentences;
    first.masked = this.request.masked;
    first.draw();
    this.askSoon(0);
  }

  show(tab) {
    if (tab === "walk") Object.assign(this.walk.at, this.panel.chosen); // the head that was looked at
    this.tab = tab;
    for (const [name, button] of Object.entries(this.tabs)) {
      button.setAttribute("aria-selected", `${name === tab}`);
      button.tabIndex = name === tab ? 0 : -1;
      this.views[name].hidden = name !== tab;
    }
    this.askSoon(0);
  }

  moveInTabs(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const names = Object.keys(this.tabs);
    this.show(names.at((names.indexOf(this.tab) + step) % names.length));
    this.tabs[this.tab].focus();
  }

  askSoon(pause) {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.ask(), pause);
  }

  /** Ask about what is shown; while an answer is on its way, only remember to ask again. */
  async ask() {
    if (this.isAsking) {
      this.isLate = true;
      return;
    }
    this.isAsking = true;
    const begun = performance.now();
    do {
      this.isLate = false;
      await this.answer();
    } while (this.isLate);
    this.isAsking = false;
    this.root.dataset.milliseconds = Math.round(performance.now() - begun);
    this.root.dataset.seq = this.seq;
  }

  async answer() {
    const replies = [], { tab } = this;
    for (const [number, one] of this.sentences.entries()) {
      replies.push(await this.kernel.ask(this.requestFor(one, number)));
    }
    const bad = replies.find(({ error }) => error);
    this.alert.textContent = bad ? bad.error : "";
    this.root.classList.toggle("stale", Boolean(bad)); // what is shown is of an earlier text
    if (bad) return;
    this.replies = replies;
    const columns = tab === "training" ? await this.byStep() : null;
    if (tab === this.tab) this.draw(replies, columns); // another tab has asked for its own
  }

  requestFor(one, number) {
    const { tokens, masked } = one, { text, pair } = one.written();
    const seen = tokens.map((token, place) => (masked.includes(place) ? "[MASK]" : token));
    const isFirst = number === 0;
    const { num_hidden_layers: layers, num_attention_heads: heads } = this.data.config;
    return {
      seq: (this.seq += 1), text, pair, masked, off: this.off, snapshot: this.snapshot,
      layersOf: isFirst && this.tab === "layers" ? this.blankOf(seen) : null,
      trace: isFirst && this.tab === "walk" ? this.walk.wanted(seen, layers, heads) : null,
    };
  }

  /** The place of the chosen blank, or null. */
  blankOf(tokens) {
    const blanks = tokens.flatMap((token, place) => (token === "[MASK]" ? [place] : []));
    this.blank = Math.min(this.blank, Math.max(0, blanks.length - 1));
    return blanks[this.blank] ?? null;
  }

  /** The guesses for the chosen blank after each kept step of training. */
  async byStep() {
    const columns = [];
    for (const [snapshot, step] of this.data.steps.entries()) {
      const { guesses } = await this.kernel.ask({ ...this.requestFor(this.sentences[0], 0), snapshot });
      if (!guesses?.length) return null;
      columns.push({ name: `${step}`, shares: guesses[Math.min(this.blank, guesses.length - 1)].shares });
    }
    return columns;
  }

  draw(replies, columns) {
    const [first] = replies;
    this.pairButton.textContent = first.segments.includes(1) ? "− second sentence" : "+ second sentence";
    this.compareButton.textContent = this.sentences.length > 1 ? "− comparison" : "+ compare with another text";
    this.offButton.hidden = !this.off.length;
    this.offButton.textContent =
      `${this.off.length} ${this.off.length === 1 ? "head is" : "heads are"} off: switch on`;
    this.onlyFirst.hidden = this.sentences.length === 1 || this.tab === "guess";
    if (this.tab === "guess") this.views.guess.replaceChildren(...this.drawGuesses(replies));
    if (this.tab === "look") {
      this.request.masked = first.masked;
      this.request.off = this.off;
      this.panel.draw(first);
      this.layered.draw(first);
      this.panel.root.hidden = this.layered.root.hidden = false;
    }
    if (this.tab === "walk") {
      this.walk.draw(first.trace);
      this.walk.root.hidden = false;
    }
    if (this.tab === "layers") this.views.layers.replaceChildren(...this.drawLayers(first));
    if (this.tab === "training") this.views.training.replaceChildren(...this.drawTraining(columns));
    this.say(this.inWords(replies));
  }

  say(words) {
    this.status.textContent = words;
  }

  drawGuesses(replies) {
    const shown = [];
    const [first] = replies;
    if (first.labels) shown.push(...replies.map((reply, i) => this.drawLabels(reply, i)));
    if (first.follows) {
      shown.push(...replies.filter(({ follows }) => follows).map(({ follows }) => bars(
        "Does the second sentence follow the first?", [{ name: "yes", ...follows }])));
    }
    const judges = "nsp_head.weight" in this.data.models[0].table;
    if (first.segments.includes(1) && !judges && !first.labels) {
      shown.push(make("p", { class: "note" }, "This model was never taught whether one sentence follows another, so it "
        + "only reads both."));
    }
    const blanks = first.guesses?.length ?? 0;
    if (replies.length === 2 && first.guesses) {
      const both = Math.min(blanks, replies[1].guesses.length);
      for (let i = 0; i < both; i++) shown.push(this.drawBoth(replies.map(({ guesses }) => guesses[i]), i));
      if (!both) shown.push(make("p", { class: "hint" }, "Hide a word in both texts, and the guesses are compared."));
    } else if (blanks) shown.push(...first.guesses.map((one, i) => this.drawBlank(one, i, blanks)));
    else if (first.guesses) {
      shown.push(make("p", { class: "hint" }, "Press a word above to hide it. BERT then guesses what it was."));
    }
    return shown;
  }

  drawLabels({ labels }, number) {
    const rows = labels.map(({ label, share, before }) => ({ name: label, share, before }));
    if (this.data.config.problem_type === "regression") {
      return make("p", { class: "number" }, labels.map(({ label, share }) => `${label}: ${share.toFixed(2)}`).join(", "));
    }
    return bars(number ? "What the model says of the second text" : "What the model says", rows);
  }

  drawBlank({ place, was, words }, i, blanks) {
    const rows = words.map(({ token, share, before }) => ({ name: token, share, before }));
    const name = blanks > 1 ? `Blank ${i + 1}` : "BERT’s guesses";
    const caption = was === null ? name : `${name} (it was “${shorten(was)}”)`;
    const table = bars(caption, rows, (token) => this.fill(place, token));
    return make("div", { class: "card" }, table,
      make("div", {}, "Save as ", ...["svg", "png"].map((kind) => make("button", {
        type: "button", class: "small", onclick: () => this.saveGuesses(caption, rows, kind),
      }, kind.toUpperCase()))));
  }

  /** The same blank in two texts: a row for each word that either finds likely. */
  drawBoth(both, i) {
    const ids = new Set(both.flatMap(({ shares }) => largest(shares, SHOWN - 2)));
    const rows = [...ids].map((id) => ({ token: this.data.tokens[id], shares: both.map(({ shares }) => shares[id]) }))
      .sort((a, b) => Math.max(...b.shares) - Math.max(...a.shares));
    const bar = (share, kind) => {
      const span = make("span", { class: kind, "aria-hidden": "true" });
      span.style.width = `${100 * share}%`;
      return span;
    };
    return make("table", { class: "both" },
      make("caption", {}, `Blank ${i + 1} of both texts`),
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "guess"), make("td"),
        make("th", { scope: "col", class: "one" }, "first"), make("th", { scope: "col", class: "two" }, "second"))),
      make("tbody", {}, ...rows.map(({ token, shares }) => make("tr", {},
        make("th", { scope: "row", dir: "auto" }, shorten(token)),
        make("td", { class: "bar" }, bar(shares[0], "one"), bar(shares[1], "two")),
        make("td", {}, percent(shares[0])), make("td", {}, percent(shares[1]))))));
  }

  /** Put a guess in place of the blank: typed, it is a word of the text; hidden, it comes back. */
  fill(place, token) {
    const [first] = this.sentences;
    if (first.masked.includes(place)) {
      first.toggle(place);
      return;
    }
    const number = first.tokens.slice(0, place).filter((other) => other === "[MASK]").length;
    let seen = -1;
    const texts = first.written();
    const typed = (texts.text.match(/\[MASK\]/g) ?? []).length;
    const isInFirst = typed > number, skip = isInFirst ? 0 : typed;
    const name = isInFirst ? "text" : "pair";
    const written = texts[name].replace(/\[MASK\]/g, (blank) => {
      seen += 1;
      return seen === number - skip ? token : blank;
    });
    first[isInFirst ? "first" : "second"].querySelector("input").value = written;
    first.write(name, written);
  }

  chooseBlank(count) {
    if (count < 2) return [];
    const select = make("select", { onchange: () => { this.blank = Number(select.value); this.askSoon(0); } },
      ...Array.from({ length: count }, (_, i) => make("option", { value: i }, `blank ${i + 1}`)));
    select.value = `${this.blank}`;
    return [make("div", { class: "picks" }, make("label", {}, "Which blank", select))];
  }

  drawLayers({ byLayer, guesses }) {
    if (!byLayer) return [make("p", { class: "hint" }, "Press a word above to hide it, and see its guess form, layer by layer.")];
    const columns = byLayer.map((shares, layer) => ({ name: layer ? `layer ${layer - 1}` : "embedding", shares }));
    return [
      make("p", { class: "saying" },
        "Only the last layer was trained to guess. But every layer writes into the same vectors, so the last step "
        + "of the model can read each of them: this is what it would guess if BERT ended there."),
      ...this.chooseBlank(guesses.length),
      formingTable(this.root, "The likeliest words after each layer", columns, this.data.tokens),
    ];
  }

  drawTraining(columns) {
    if (!columns) return [make("p", { class: "hint" }, "Press a word above to hide it, and see what BERT guessed earlier in its training.")];
    return [
      make("p", { class: "saying" },
        "The same model at several steps of its training. The slider above shows everything else as it was then."),
      ...this.chooseBlank(this.replies[0].guesses.length),
      formingTable(this.root, "The likeliest words after so many steps of training", columns, this.data.tokens),
    ];
  }

  /** What changed, for who cannot see it. */
  inWords(replies) {
    return replies.flatMap(({ guesses, follows, labels }) => [
      ...(guesses ?? []).map(({ words: [{ token, share, before }] }) =>
        `Best guess: ${token}, ${percent(share)}${before === null ? "" : `, was ${percent(before)}`}.`),
      ...(follows ? [`The second sentence follows: ${percent(follows.share)}.`] : []),
      ...(labels ? [labels.map(({ label, share }) => `${label}: ${share.toFixed(2)}`).join(", ")] : []),
    ]).join(" ");
  }

  saveGuesses(caption, rows, kind) {
    const { ink, paper, link } = coloursOf(this.root);
    const width = 520, line = 24, text = { "font-family": "system-ui, sans-serif", "font-size": 14, fill: ink };
    const [{ text: sentence }] = this.sentences;
    const svg = drawing(width, 64 + rows.length * line, {},
      make("rect", { width, height: 64 + rows.length * line, fill: paper }),
      make("text", { x: 10, y: 22, ...text }, shorten(sentence, 64)),
      make("text", { x: 10, y: 44, ...text, "font-weight": 600 }, caption),
      ...rows.flatMap(({ name, share }, i) => {
        const y = 56 + i * line;
        return [
          make("text", { x: 140, y: y + 16, ...text, "text-anchor": "end" }, shorten(name)),
          make("rect", { x: 150, y: y + 4, width: Math.max(1, 290 * share), height: 15, fill: link }),
          make("text", { x: 158 + 290 * share, y: y + 16, ...text }, percent(share)),
        ];
      }));
    saveDrawing(svg, `guesses.${kind}`);
  }

  /** The page as a file again, which opens with the texts that are shown now. */
  saveCopy() {
    const [{ text, pair, masked }] = this.sentences;
    const start = JSON.stringify({ text, pair, masked }).replaceAll("<", "\\u003c");
    document.getElementById("start").textContent = start;
    const copy = document.documentElement.cloneNode(true);
    copy.querySelector("#app").replaceChildren();
    download("bert.html", "text/html", `<!doctype html>\n${copy.outerHTML}`);
  }
}
