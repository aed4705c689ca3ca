// One head as links: the tokens that look on the left, what they look at on the right.

import { arrow, coloursOf, drawing, make, percent, shorten } from "./dom.js";

export const FAINTEST = 0.02; // weights below this are not drawn: they would only be haze
const ROW = 22, LABEL = 140, MIDDLE = 140, TOP = 26; // sizes, in px
const FONT = "14px system-ui, 'Noto Sans', sans-serif";

export class Links {
  /** `chosen()` is called when a click or Enter chooses a token, or no longer chooses it. */
  constructor(chosen) {
    this.chosen = chosen;
    this.looked = null; // {column: 0 or 1, token}: what the pointer or the keyboard is on
    this.pinned = null; // the chosen one, whose links stay when the pointer leaves
    this.root = make("div", { class: "links", tabindex: "-1" });
  }

  /** What the lines are of: `{column, token}`, or null for all. */
  get shown() {
    return this.looked ?? this.pinned;
  }

  /** `weight(row, column)` is the chosen head's; `name` says which head that is. */
  draw({ tokens }, weight, name, isOff) {
    if (this.tokens?.length !== tokens.length) this.looked = this.pinned = null; // of another text
    Object.assign(this, { tokens, weight, colours: coloursOf(this.root) });
    const focused = this.root.contains(document.activeElement) ? this.shown : null;
    const width = 2 * LABEL + MIDDLE, height = TOP + tokens.length * ROW + 4;
    const svg = drawing(width, height, {
      role: "group",
      "aria-label": `Links of ${name}. Arrow keys move from token to token; Enter keeps the links of a token.`,
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
    if (focused) this.labels[focused.column][focused.token].focus();
  }

  word(words, x, y, anchor, attributes = {}) {
    return make("text", {
      x, y, "text-anchor": anchor, fill: this.colours.ink, style: `font: ${FONT}`, ...attributes,
    }, words);
  }

  label(column, token) {
    const { tokens } = this;
    const x = column ? LABEL + MIDDLE : 0, y = TOP + token * ROW, at = { column, token };
    return make("g", {
      role: "button", tabindex: -1, "aria-label": this.say(column, token), style: "cursor: pointer",
      onmouseenter: () => this.look(at), onfocus: () => this.look(at), onclick: () => this.choose(at),
    },
    make("rect", { x, y, width: LABEL, height: ROW, rx: 3, fill: this.colours.paper }),
    this.word(shorten(tokens[token]), column ? x + 8 : x + LABEL - 8, y + 16, column ? "start" : "end"),
    make("title", {}, tokens[token]));
  }

  /** The lines of all tokens, or of the one that is looked at, with its shares beside the others. */
  drawLines() {
    const { tokens, shown } = this;
    const lines = [];
    tokens.forEach((_, row) => tokens.forEach((_, column) => {
      if (shown && shown.token !== (shown.column ? column : row)) return;
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
      if (shown && side !== shown.column) {
        share = shown.column ? this.weight(token, shown.token) : this.weight(shown.token, token);
      }
      const isShown = isSame(shown, { column: side, token });
      box.setAttribute("fill", isShown ? background : share ? link : paper);
      box.setAttribute("fill-opacity", isShown || !share ? 1 : 0.35 * share);
      box.setAttribute("stroke", isShown ? chosen : "none");
      label.setAttribute("tabindex", isShown || (!shown && !side && !token) ? 0 : -1);
      label.setAttribute("aria-pressed", isSame(this.pinned, { column: side, token }));
      const name = shorten(tokens[token]);
      word.textContent = share < FAINTEST ? name
        : side ? `${name}  ${percent(share)}` : `${percent(share)}  ${name}`;
    }));
  }

  look(at) {
    if (isSame(at, this.looked)) return;
    if (!at && this.root.querySelector(":focus-visible")) return; // the keyboard holds it
    this.looked = at;
    this.drawLines();
  }

  /** Keep the links of this token, or let go of them if they were kept. */
  choose(at) {
    this.pinned = isSame(at, this.pinned) ? null : at;
    this.drawLines();
    this.chosen();
  }

  move(event) {
    const at = this.shown ?? { column: 0, token: 0 }, last = this.tokens.length - 1;
    const ends = { Home: [-last, 0], End: [last, 0] };
    const step = arrow(event.key) ?? ends[event.key];
    if (event.key === "Enter" || event.key === " ") this.choose(at);
    else if (step) {
      const within = (value, most) => Math.max(0, Math.min(most, value));
      this.labels[within(at.column + step[1], 1)][within(at.token + step[0], last)].focus();
    } else return;
    event.preventDefault();
  }

  /** The drawing with lines of text above it, as a picture of its own. */
  picture(...lines) {
    const [svg] = this.root.children, { width, height } = svg.viewBox.baseVal;
    const head = 10 + lines.length * ROW, copy = svg.cloneNode(true);
    copy.setAttribute("y", head);
    const texts = lines.map((line, i) =>
      this.word(shorten(line, 56), 8, 20 + i * ROW, "start", i ? {} : { "font-weight": "bold" }));
    return drawing(width, height + head, { role: "img", "aria-label": lines.join(". ") },
      make("rect", { width, height: height + head, fill: this.colours.paper }), ...texts, copy);
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

const isSame = (one, other) => one?.column === other?.column && one?.token === other?.token;
