// BERT in a page: sentences on top, and below them the views of what BERT makes of them, in tabs.

import { AttentionView } from "./attention_view.js";
import { BlankChoice } from "./blanks.js";
import { download, make, percent } from "./dom.js";
import { GuessView } from "./guess_view.js";
import { Kernel } from "./kernel.js";
import { LayersView } from "./layers_view.js";
import { Sentence } from "./sentence.js";
import { BertTokenizer } from "./tokenizer.js";
import { TrainingView } from "./training_view.js";
import { WalkView } from "./walk_view.js";

const TYPING_PAUSE = 30; // ms without a key before a text is read
const TITLES = {
  guess: "Guess", attention: "Attention", walk: "Step by step", layers: "Layer by layer", training: "During training",
};

export class App {
  /**
   * `data` as `Answerer` reads it, with `name`, `steps` of the snapshots and `start`; `source` is the
   * script of the page. A view has a `root`; `wants(seen)`, what to ask about the tokens of the first
   * text; and `draw(replies, sentences)`.
   */
  constructor(data, source, el) {
    this.data = data;
    this.kernel = new Kernel(data, source);
    this.tokenizer = new BertTokenizer(data.tokens, data.lowerCase, data.characters);
    this.snapshot = data.models.length - 1;
    this.heads = { off: data.start.off };
    this.seq = 0;
    this.sentences = [this.sentence(data.start)];
    this.views = this.buildViews();
    this.build(el);
    this.show("guess");
  }

  sentence(start) {
    return new Sentence(this.tokenizer, start, () => this.askSoon(TYPING_PAUSE));
  }

  /** The views that this model has something to show in. */
  buildViews() {
    const { data } = this, ask = () => this.askSoon(0), blank = new BlankChoice(ask);
    const host = { say: (words) => this.say(words), hide: (masked) => this.hide(masked) };
    return {
      guess: new GuessView(data),
      attention: new AttentionView(data, host, this.heads),
      walk: new WalkView(ask, data.start.course),
      ...(this.guesses() ? { layers: new LayersView(data.tokens, blank) } : {}),
      ...(data.models.length > 1 && this.guesses() ? { training: new TrainingView(data, blank) } : {}),
    };
  }

  build(el) {
    this.texts = make("div", { class: "texts" }, ...this.sentences.map((one) => one.root));
    this.pairButton = make("button", { type: "button", onclick: () => this.togglePair() });
    this.compareButton = make("button", { type: "button", onclick: () => this.toggleCompare() });
    this.offButton = make("button", { type: "button", class: "warn", onclick: () => this.allOn() });
    this.pairNote = make("p", { class: "note" }, this.whatForPair());
    this.onlyFirst = make("p", { class: "note" }, "This shows the first text. The tab Guess compares both.");
    this.alert = make("p", { class: "alert", role: "alert" });
    this.status = make("p", { class: "unseen", role: "status" });
    this.tabs = {};
    for (const [name, { root }] of Object.entries(this.views)) {
      this.tabs[name] = make("button", {
        type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `view-${name}`,
        onclick: () => this.show(name),
      }, TITLES[name]);
      Object.assign(root, { id: `view-${name}`, role: "tabpanel" });
      root.classList.add("empty"); // until the first reply
      root.setAttribute("aria-labelledby", `tab-${name}`);
    }
    this.root = make("div", { class: "app" },
      make("header", {}, make("h1", {}, "BERT in a page"),
        make("p", {}, "A language model that runs in this file. Write something, and hide a word by pressing it: "
          + "BERT guesses what it was."),
        make("p", { class: "note" }, `${this.data.name}.${this.data.learnedFrom ? ` ${this.data.learnedFrom}` : ""}`)),
      this.texts, this.examples(),
      make("div", { class: "more" }, this.pairButton, this.compareButton, this.offButton, this.slider()),
      this.pairNote, this.alert,
      make("div", { class: "tabs", role: "tablist", onkeydown: (event) => this.moveInTabs(event) },
        ...Object.values(this.tabs)),
      this.onlyFirst, ...Object.values(this.views).map(({ root }) => root), this.status,
      make("footer", {}, make("button", { type: "button", onclick: () => this.saveCopy() },
        "Save a copy of this page")));
    el.replaceChildren(this.root);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.askSoon(0));
  }

  /** Whether the model guesses words. */
  guesses() {
    return "mlm_head.dense.weight" in this.data.models[0].table;
  }

  /** What a second sentence is for, which depends on what the model was taught. */
  whatForPair() {
    if (this.data.config.labels) {
      return "This model reads both sentences at once. That is for questions about a pair, such as whether both say the same.";
    }
    const reads = "BERT reads both sentences at once, so a word can look at the words of either. ";
    return "nsp_head.weight" in this.data.models[0].table
      ? `${reads}In its training it also learned to say whether the second sentence follows the first. Try a second `
        + "sentence that does, and then another that doesn’t."
      : `${reads}A second sentence can therefore change a guess in the first. This model was never taught whether one `
        + "sentence follows another.";
  }

  /** Sentences to begin with, if the model guesses words, and two to compare. */
  examples() {
    const button = (words, show) => make("button", {
      type: "button", class: "small", onclick: () => { this.allOn(); show(); },
    }, words);
    const { examples, comparison } = this.data;
    const buttons = !this.guesses() ? [] : [
      ...examples.map((text) => button(text.replace("[MASK]", "___"), () => this.sentences[0].rewrite(text))),
      button(`Compare “${comparison.words[0]}” with “${comparison.words[1]}”`, () => this.compare(comparison.texts)),
    ];
    return make("div", { class: "examples", hidden: buttons.length ? null : "" }, "Try: ", ...buttons);
  }

  /** The slider over the snapshots of a training. */
  slider() {
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

  /** Put two texts beside each other, and show their guesses. */
  compare(texts) {
    if (this.sentences.length === 1) this.toggleCompare();
    texts.forEach((text, i) => this.sentences[i].rewrite(text));
    this.show("guess");
  }

  allOn() {
    this.heads.off = [];
    this.askSoon(0);
  }

  /** Hide these places of the first text: the view of attention has changed them, or its heads. */
  hide(masked) {
    this.sentences[0].masked = masked;
    this.sentences[0].draw();
    this.askSoon(0);
  }

  show(tab) {
    const { walk, attention } = this.views;
    if (this.tab === "walk") attention.chosen = walk.at; // both show the same head
    if (tab === "walk") Object.assign(walk.at, attention.chosen);
    this.tab = tab;
    for (const [name, button] of Object.entries(this.tabs)) {
      button.setAttribute("aria-selected", `${name === tab}`);
      button.tabIndex = name === tab ? 0 : -1;
      this.views[name].root.hidden = name !== tab;
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
    const replies = [], { tab } = this, sentences = [...this.sentences];
    for (const [number, one] of sentences.entries()) {
      const wants = number === 0 ? this.views[tab].wants(one.seen) : {};
      replies.push(await this.kernel.ask({
        seq: (this.seq += 1), ...one.written(), masked: one.masked, off: this.heads.off, snapshot: this.snapshot, ...wants,
      }));
    }
    const bad = replies.find(({ error }) => error);
    this.alert.textContent = bad ? bad.error : "";
    this.root.classList.toggle("stale", Boolean(bad)); // what is shown is of an earlier text
    if (!bad && tab === this.tab) this.draw(replies, sentences); // another tab has asked for its own
  }

  draw(replies, sentences) {
    const { off } = this.heads, hasPair = sentences[0].pair !== null;
    this.pairButton.textContent = hasPair ? "Remove the second sentence" : "Add a second sentence";
    this.pairNote.hidden = !hasPair;
    this.compareButton.textContent = sentences.length > 1 ? "Stop comparing" : "Compare with another text";
    this.offButton.hidden = !off.length;
    this.offButton.textContent = `${off.length} ${off.length === 1 ? "head is" : "heads are"} off: switch on`;
    this.onlyFirst.hidden = sentences.length === 1 || this.tab === "guess";
    this.views[this.tab].draw(replies, sentences);
    this.views[this.tab].root.classList.remove("empty");
    this.say(replies.map(inWords).join(" "));
  }

  say(words) {
    this.status.textContent = words;
  }

  /** The page as a file again, which opens with the text and the heads that are shown now. */
  saveCopy() {
    const [{ text, pair, masked }] = this.sentences;
    const start = JSON.stringify({ text, pair, masked, off: this.heads.off }).replaceAll("<", "\\u003c");
    document.getElementById("start").textContent = start;
    const copy = document.documentElement.cloneNode(true);
    copy.querySelector("#app").replaceChildren();
    download("bert.html", "text/html", `<!doctype html>\n${copy.outerHTML}`);
  }
}

/** A reply for people who cannot see it. */
export const inWords = ({ guesses, follows, labels }) => [
  ...(guesses ?? []).map(({ words: [{ token, share, before }] }) =>
    `Best guess: ${token}, ${percent(share)}${before === null ? "" : ` was ${percent(before)}`}.`),
  ...(follows ? [`The second sentence follows: ${percent(follows.share)}.`] : []),
  ...(labels ? [labels.map(({ label, share }) => `${label}: ${share.toFixed(2)}`).join(", ")] : []),
].join(" ");
