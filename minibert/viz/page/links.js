// One head as links: the tokens that look on the left, what they look at on the right.

import { arrow, coloursOf, drawing, make, percent, shorten } from "./dom.js";

export const FAINTEST = 0.02; // weights below this are not drawn: they would only be haze
const ROW = 22, LABEL = 140, MIDDLE = 140, TOP = 26; // sizes, in px
const FONT = "14px system-ui, 'Noto Sans', sans-serif";

export class Links {
  /** `toggleMask(token)` is called for a click or Enter on a word. */
  constructor(toggleMask) {
    this.toggleMask = toggleMask;
    this.looked = null; // {column: 0 or 1, token}: what the pointer or the keyboard is on
    this.root = make("div", { class: "links", tabindex: "-1" });
  }

  /** `weight(row, column)` is the chosen head's; `name` says which head that is. */
  draw({ tokens, words, masked }, weight, name, { canMask, isOff }) {
    Object.assign(this, { tokens, words, masked, weight, canMask, colours: coloursOf(this.root) });
    if (this.looked && this.looked.token >= tokens.length) this.looked = null;
    const hadFocus = this.root.contains(document.activeElement) && this.looked;
    const width = 2 * LABEL + MIDDLE, height = TOP + tokens.length * ROW + 4;
    const svg = drawing(width, height, {
      role: "group",
      "aria-label": `Links of ${name}. Arrow keys move from token to token; Enter masks a word.`,
      onmouseleave: () => this.look(null), onkeydown: (event) => this.move(event),
    });
    const faint = { fill: this.colours.faint };
    svg.append(
      make("rect", { width, height, fill: this.colours.paper }),
      this.word("looks", LABEL - 8, 16, "end", faint),
      this.word("is looked at", LABEL + MIDDLE + 8, 16, "start", faint),
    );
    this.lines = svg.appendChild(
      make("g", {
        fill: "none", stroke: this.colours.link, opacity: isOff ? 0.25 : null, "aria-hidden": "true",
      }));
    this.labels = [0, 1].map((column) =>
      tokens.map((_, token) => svg.appendChild(this.label(column, token))));
    const { scrollTop } = this.root;
    this.root.replaceChildren(svg);
    this.root.scrollTop = scrollTop;
    this.drawLines();
    if (hadFocus) this.labels[this.looked.column][this.looked.token].focus();
  }

  word(words, x, y, anchor, attributes = {}) {
    return make("text", {
      x, y, "text-anchor": anchor, fill: this.colours.ink, style: `font: ${FONT}`, ...attributes,
    }, words);
  }

  label(column, token) {
    const { tokens, words, masked } = this;
    const x = column ? LABEL + MIDDLE : 0, y = TOP + token * ROW;
    const canMask = this.canMask && words[token] !== null;
    const first = this.looked ?? { column: 0, token: 0 };
    return make("g", {
      role: "button", tabindex: first.column === column && first.token === token ? 0 : -1,
      "aria-label": this.say(column, token),
      "aria-pressed": canMask ? `${masked.includes(token)}` : null,
      "aria-disabled": canMask ? null : "true",
      style: canMask ? "cursor: pointer" : "cursor: default",
      onmouseenter: () => this.look({ column, token }), onfocus: () => this.look({ column, token }),
      onclick: () => this.toggleMask(token),
    },
    make("rect", { x, y, width: LABEL, height: ROW, rx: 3, fill: this.colours.paper }),
    this.word(shorten(tokens[token]), column ? x + 8 : x + LABEL - 8, y + 16, column ? "start" : "end"),
    make("title", {}, tokens[token]));
  }

  /** The lines of all tokens, or of the one that is looked at, with its shares beside the others. */
  drawLines() {
    const { tokens, looked } = this;
    const lines = [];
    tokens.forEach((_, row) => tokens.forEach((_, column) => {
      if (looked && looked.token !== (looked.column ? column : row)) return;
      const weight = this.weight(row, column);
      if (weight < FAINTEST) return;
      const [y1, y2] = [row, column].map((place) => TOP + (place + 0.5) * ROW);
      lines.push(make("path", {
        d: `M${LABEL},${y1} C${LABEL + MIDDLE / 2},${y1} ${LABEL + MIDDLE / 2},${y2} ${LABEL + MIDDLE},${y2}`,
        "stroke-opacity": weight.toFixed(3), "stroke-width": (1 + 2 * weight).toFixed(2),
      }));
    }));
    this.lines.replaceChildren(...lines);
    const { link, chosen, paper, looked: background } = this.colours;
    this.labels.forEach((column, side) => column.forEach((label, token) => {
      const [box, word] = label.children;
      let share = 0;
      if (looked && side !== looked.column) {
        share = looked.column ? this.weight(token, looked.token) : this.weight(looked.token, token);
      }
      const isLooked = looked && looked.column === side && looked.token === token;
      box.setAttribute("fill", isLooked ? background : share ? link : paper);
      box.setAttribute("fill-opacity", isLooked || !share ? 1 : 0.35 * share);
      box.setAttribute("stroke", isLooked ? chosen : "none");
      label.setAttribute("tabindex", isLooked || (!looked && !side && !token) ? 0 : -1);
      const shown = shorten(tokens[token]);
      word.textContent = share < FAINTEST ? shown
        : side ? `${shown}  ${percent(share)}` : `${percent(share)}  ${shown}`;
    }));
  }

  look(at) {
    if (at?.column === this.looked?.column && at?.token === this.looked?.token) return;
    if (!at && this.root.contains(document.activeElement)) return; // the keyboard holds it
    this.looked = at;
    this.drawLines();
  }

  move(event) {
    const at = this.looked ?? { column: 0, token: 0 }, last = this.tokens.length - 1;
    const ends = { Home: [-last, 0], End: [last, 0] };
    const step = arrow(event.key) ?? ends[event.key];
    if (event.key === "Enter" || event.key === " ") this.toggleMask(at.token);
    else if (step) {
      const within = (value, most) => Math.max(0, Math.min(most, value));
      this.labels[within(at.column + step[1], 1)][within(at.token + step[0], last)].focus();
    } else return;
    event.preventDefault();
  }

  say(column, token) {
    const others = this.tokens.map((other, place) =>
      [column ? this.weight(place, token) : this.weight(token, place), other]);
    const strongest = others.sort((a, b) => b[0] - a[0]).slice(0, 3)
      .filter(([share]) => share >= FAINTEST)
      .map(([share, other]) => `${other} ${percent(share)}`).join(", ");
    return `${this.tokens[token]}, token ${token}, ${column ? "is looked at by" : "looks at"} ${
      strongest || `none with ${percent(FAINTEST)}`}`;
  }
}
