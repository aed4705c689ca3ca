// One model's side: its heads, the links of the chosen head, and its guesses.

import { make, percent, saveDrawing } from "./dom.js";
import { bars, guessesOf } from "./guesses.js";
import { HeadGrid } from "./heads.js";
import { Links } from "./links.js";
import { WeightsTable } from "./weights_table.js";
import { spelled, toggled } from "./words.js";

export class Panel {
  /**
   * `host` is `{live, ask(), say(words)}`: whether anything can be changed, how to ask for a new
   * reply, and where to say what is shown. `request` is `{masked, off}`, changed in place.
   * `sizes` are those of the maps.
   */
  constructor(host, request, sizes = { width: 420, largest: 52 }) {
    this.host = host;
    this.request = request;
    this.chosen = { layer: 0, head: 0 };
    this.grid = new HeadGrid((layer, head) => this.choose(layer, head), sizes);
    this.links = new Links(() => this.drawHide());
    this.numbers = new WeightsTable();
    this.name = make("h3");
    this.head = make("p", { class: "chosen" });
    this.toggle = make("button", { type: "button", onclick: () => this.toggleHead() });
    this.allOn = make("button", { type: "button", onclick: () => this.switchAllOn() }, "All heads on");
    this.hide = make("button", { type: "button", hidden: "", onclick: () => this.toggleMask(this.links.pinned.token) });
    this.allLinks = make("button", { type: "button", hidden: "", onclick: () => this.links.choose(this.links.pinned) },
      "Show all links");
    this.guesses = make("div", { class: "guesses" });
    this.changes = make("p", { class: "note" },
      "The bar at the bottom of a map shows how much that head changed when you switched others off.");
    const saves = ["svg", "png"].map((kind) =>
      make("button", { type: "button", onclick: () => this.save(kind) },
        `Save links as ${kind.toUpperCase()}`));
    if (!host.live) this.toggle.hidden = true;
    this.root = make("div", { class: "side" }, this.name,
      make("div", {}, this.grid.root, this.changes),
      make("div", { class: "head" }, this.head, this.toggle, this.allOn, this.links.root,
        this.allLinks, this.hide, ...saves, this.numbers.root),
      this.guesses);
  }

  draw(data) {
    const { attention } = data;
    this.data = { ...data, bytes: attention instanceof DataView
      ? new Uint8Array(attention.buffer, attention.byteOffset, attention.byteLength) : attention };
    this.name.textContent = data.name ?? "";
    this.name.hidden = !data.name;
    this.drawHeads();
    this.drawGuesses();
  }

  /** The weight of `row` for `column` in the chosen head, 0 to 1. */
  weight(row, column) {
    const T = this.data.tokens.length, { layer, head } = this.chosen;
    return this.data.bytes[((layer * this.data.heads + head) * T + row) * T + column] / 255;
  }

  isOff(layer, head) {
    return this.request.off.some(([l, h]) => l === layer && h === head);
  }

  drawHeads() {
    const { layer, head } = this.chosen, off = this.isOff(layer, head);
    this.grid.draw(this.data, this.chosen, (l, h) => this.isOff(l, h));
    const weight = (row, column) => this.weight(row, column);
    this.links.draw(this.data, weight, `layer ${layer}, head ${head}`, off);
    this.drawHide();
    this.numbers.draw(this.data.tokens, weight, `Layer ${layer}, head ${head}`);
    this.head.textContent = `Layer ${layer}, head ${head}: ${off ? "off" : this.data.roles[layer][head]}`;
    this.changes.hidden = !this.data.change;
    this.allOn.hidden = !this.host.live || !this.request.off.length;
    this.toggle.textContent = off ? "Switch this head on" : "Switch this head off";
  }

  /** The buttons for the word that is chosen in the links. */
  drawHide() {
    const { pinned } = this.links, { words, masked } = this.data;
    this.allLinks.hidden = !pinned;
    this.hide.hidden = !this.host.live || !pinned || words[pinned.token] === null;
    if (!this.hide.hidden) this.hide.textContent = masked.includes(pinned.token) ? "Show this word again" : "Hide this word";
  }

  choose(layer, head) {
    this.chosen = { layer, head };
    this.drawHeads();
    this.host.say(this.say());
  }

  toggleHead() {
    const { layer, head } = this.chosen, { off } = this.request;
    if (this.isOff(layer, head)) this.request.off = off.filter(([l, h]) => l !== layer || h !== head);
    else off.push([layer, head]);
    this.host.ask();
  }

  switchAllOn() {
    this.request.off = [];
    this.host.ask();
    this.toggle.focus(); // the button that was pressed goes away
  }

  /** Hide the whole word that this token is part of, or show it again. */
  toggleMask(token) {
    if (!this.host.live || this.data.words[token] === null) return;
    this.request.masked = toggled(this.data, token);
    this.host.ask();
  }

  drawGuesses() {
    const { guesses, labels } = this.data;
    let shown;
    if (labels) shown = [bars("What the model says", labels.map(({ label, ...rest }) => ({ name: label, ...rest })))];
    else if (guesses === null) shown = [make("p", {}, "This model has no head that guesses words.")];
    else if (guesses.length) shown = guesses.map(guessesOf);
    else {
      shown = [make("p", {}, this.host.live
        ? "Click a word in the links and hide it, or type [MASK]. The guesses then appear here."
        : "No word is masked.")];
    }
    this.guesses.replaceChildren(...shown);
  }

  /** What is shown, for people who cannot see it. */
  say() {
    const { tokens, guesses } = this.data;
    let strongest = [0, 0, -1];
    tokens.forEach((_, row) => tokens.forEach((_, column) => {
      const weight = this.weight(row, column);
      if (weight > strongest[2]) strongest = [row, column, weight];
    }));
    const [row, column, weight] = strongest;
    const said = [
      `${tokens.length} tokens. ${this.head.textContent}; strongest: ${tokens[row]} looks at `
      + `${tokens[column]} with ${percent(weight)}.`,
    ];
    for (const { place, words } of guesses ?? []) {
      const [{ token, share, before }] = words;
      said.push(`Token ${place}: ${token} ${percent(share)}`
        + `${before === null ? "" : ` was ${percent(before)}`}.`);
    }
    return said.join(" ");
  }

  save(kind) {
    const { layer, head } = this.chosen;
    saveDrawing(this.links.picture(spelled(this.data.tokens), this.head.textContent),
      `attention-layer-${layer}-head-${head}.${kind}`);
  }
}
