// The explorer, as a browser shows it. It asks for a look (`request`) and draws the answer (`reply`),
// both as minibert/viz/explorer.py describes them. Layers, heads and tokens are counted from 0.

const SVG = "http://www.w3.org/2000/svg";
const TYPING_PAUSE = 150; // ms without a key before a text is asked for
const PATIENCE = 5000; // ms without an answer before that is said
const FAINTEST = 0.02; // weights below this are not drawn: they would only be haze
const ROW = 22, LABEL = 140, MIDDLE = 140, TOP = 26; // sizes in the drawing of links, in px
const INK = "#111111", LINK = "#0072B2", CHOSEN = "#D55E00";
const FONT = "14px system-ui, 'Noto Sans', sans-serif";

function render({ model, el }) {
  const explorer = new Explorer(model, el);
  return () => explorer.close();
}

/** An element: `make("button", {class: "x", onclick: f}, "text", child)`. Text stays text. */
function make(tag, attributes = {}, ...children) {
  const isDrawing = ["svg", "g", "rect", "path", "text", "title"].includes(tag);
  const node = isDrawing ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  // JupyterLab would run its shortcuts, `d` `d` deletes a cell, unless what has the focus says that
  // the keys are its own; on an element around it that is too late.
  if (tag === "button" || tag === "input" || "tabindex" in attributes) {
    node.setAttribute("data-lm-suppress-shortcuts", "true");
  }
  node.append(...children);
  return node;
}

const percent = (share) =>
  share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
const shorten = (token) => ([...token].length > 16 ? [...token].slice(0, 15).join("") + "…" : token);

/** White to dark blue for 0 to 255, as the pixels of a canvas: alpha, blue, green, red. */
const BLUES = Uint32Array.from({ length: 256 }, (_, value) => {
  const [from, to, share] = value < 128
    ? [[255, 255, 255], [66, 146, 198], value / 128]
    : [[66, 146, 198], [8, 48, 107], (value - 128) / 127];
  const [red, green, blue] = from.map((start, i) => Math.round(start + (to[i] - start) * share));
  return 0xff000000 + blue * 0x10000 + green * 0x100 + red;
});

class Explorer {
  constructor(model, el) {
    this.model = model;
    this.live = model.get("live");
    this.sent = 0; // the number of the last request
    this.answered = 0;
    this.waiting = false; // whether something changed while an answer was on its way
    this.request = structuredClone(model.get("request"));
    this.panels = [];
    this.root = make("section", {
      class: "minibert-explorer", lang: "en", "aria-label": "Attention explorer",
    });
    this.controls = this.root.appendChild(make("div", { class: "controls" }));
    this.alert = this.root.appendChild(make("p", { class: "alert", role: "alert" }));
    this.sides = this.root.appendChild(make("div", { class: "sides" }));
    this.status = this.root.appendChild(make("p", { class: "status", role: "status" }));
    this.buildControls();
    el.append(this.root);
    this.onReply = () => this.draw(model.get("reply"));
    this.onMessage = (message) => download("attention.html", "text/html", message.document);
    model.on("change:reply", this.onReply);
    model.on("msg:custom", this.onMessage);
    this.draw(model.get("reply"));
  }

  close() {
    this.model.off("change:reply", this.onReply);
    this.model.off("msg:custom", this.onMessage);
    clearTimeout(this.typing);
    clearTimeout(this.patience);
  }

  buildControls() {
    const { request, live } = this;
    const field = (name, words) =>
      make("label", {}, words, make("input", {
        type: "text", dir: "auto", spellcheck: "false", value: request[name],
        readonly: live ? null : "",
        oninput: (event) => {
          request[name] = event.target.value;
          for (const panel of request.panels) panel.masked = []; // the places are of the old text
          this.askSoon();
        },
      }));
    this.controls.append(field("text", request.pair === null ? "Text" : "Sentence A"));
    if (request.pair !== null) this.controls.append(field("pair", "Sentence B"));
    const steps = this.model.get("steps");
    if (live && steps.length) {
      const shown = make("output", {}, `step ${steps[request.snapshot]}`);
      const slider = make("input", {
        type: "range", min: 0, max: steps.length - 1, value: request.snapshot,
        "aria-valuetext": `step ${steps[request.snapshot]}`,
        oninput: (event) => {
          request.snapshot = Number(event.target.value);
          shown.textContent = `step ${steps[request.snapshot]}`;
          slider.setAttribute("aria-valuetext", shown.textContent);
          this.askSoon();
        },
      });
      this.controls.append(make("label", { class: "steps" }, "Training", slider, shown));
    }
    if (live) {
      this.controls.append(make("button", {
        type: "button", onclick: () => this.model.send({ save: "html" }),
      }, "Save as HTML"));
    } else {
      this.controls.append(make("p", { class: "note" },
        "As it was when this was saved: heads and tokens can be looked at. To type, call explore(...) "
        + "in a notebook."));
    }
  }

  askSoon() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.ask(), TYPING_PAUSE);
  }

  /** Send the request; while an answer is on its way, only remember that there is a newer one. */
  ask() {
    if (!this.live) return;
    if (this.answered < this.sent) {
      this.waiting = true;
      return;
    }
    this.waiting = false;
    this.sent = this.request.seq = this.answered + 1;
    this.model.set("request", structuredClone(this.request));
    this.model.save_changes();
    this.patience = setTimeout(() => {
      this.alert.textContent = "No answer yet: the kernel is busy, or was restarted and this cell not run.";
    }, PATIENCE);
  }

  draw(reply) {
    const begun = performance.now();
    clearTimeout(this.patience);
    this.answered = this.sent = Math.max(reply.seq, this.answered);
    this.alert.textContent = reply.error;
    if (!reply.error) {
      reply.panels.forEach((data, number) => {
        if (!this.panels[number]) {
          this.panels[number] = new Panel(this, this.request.panels[number]);
          this.sides.append(this.panels[number].root);
        }
        this.panels[number].draw(data);
      });
      this.status.textContent = this.panels.map((panel) => panel.say()).join(" ");
    }
    requestAnimationFrame(() => {
      this.root.dataset.milliseconds = Math.round(performance.now() - begun);
      this.root.dataset.seq = reply.seq;
    });
    if (this.waiting) this.ask();
  }
}

/** One model's side: its heads, its links, its guesses. */
class Panel {
  constructor(explorer, request) {
    this.explorer = explorer;
    this.request = request; // {masked, off}
    this.layer = this.head = 0;
    this.looked = null; // {column: 0 or 1, token}: what the pointer or the keyboard is on
    this.name = make("h3");
    this.heads = make("div", {
      class: "heads", role: "radiogroup", "aria-label": "Heads: a row for each layer",
      onkeydown: (event) => this.moveInHeads(event),
    });
    this.chosen = make("p", { class: "chosen" });
    this.toggle = make("button", { type: "button", onclick: () => this.toggleHead() });
    this.allOn = make("button", { type: "button", onclick: () => this.switchAllOn() }, "All heads on");
    this.links = make("div", { class: "links", tabindex: "-1" });
    this.guesses = make("div", { class: "guesses" });
    const saves = ["svg", "png"].map((kind) =>
      make("button", { type: "button", onclick: () => this.save(kind) },
        `Save links as ${kind.toUpperCase()}`));
    if (!explorer.live) this.toggle.hidden = true;
    this.root = make("div", { class: "side" }, this.name,
      make("div", { class: "left" }, this.heads, this.chosen, this.toggle, this.allOn, this.guesses),
      make("div", {}, this.links, ...saves));
  }

  draw(data) {
    const isNewShape = !this.data || data.layers !== this.data.layers || data.heads !== this.data.heads;
    const bytes = data.attention;
    this.data = data;
    this.bytes = bytes instanceof DataView
      ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) : bytes;
    this.name.textContent = data.name;
    this.name.hidden = !data.name;
    if (this.looked && this.looked.token >= data.tokens.length) this.looked = null;
    if (isNewShape) this.buildHeads();
    this.drawHeads();
    this.drawLinks();
    this.drawGuesses();
  }

  /** The weight of `row` for `column`, 0 to 1. */
  weight(row, column, layer = this.layer, head = this.head) {
    const T = this.data.tokens.length;
    return this.bytes[((layer * this.data.heads + head) * T + row) * T + column] / 255;
  }

  isOff(layer, head) {
    return this.request.off.some(([l, h]) => l === layer && h === head);
  }

  // Heads

  buildHeads() {
    const { layers, heads } = this.data;
    const side = Math.max(24, Math.min(52, Math.floor(420 / heads)));
    this.layer = Math.min(this.layer, layers - 1);
    this.head = Math.min(this.head, heads - 1);
    this.cells = [];
    this.heads.style.gridTemplateColumns = `auto repeat(${heads}, ${side}px)`;
    this.heads.replaceChildren(make("span", { class: "corner", "aria-hidden": "true" }, "layer, head"));
    for (let head = 0; head < heads; head++) {
      this.heads.append(make("span", { "aria-hidden": "true" }, `${head}`));
    }
    for (let layer = 0; layer < layers; layer++) {
      this.heads.append(make("span", { "aria-hidden": "true" }, `${layer}`));
      this.cells.push(Array.from({ length: heads }, (_, head) => {
        const cell = make("button", {
          type: "button", role: "radio", onclick: () => this.choose(layer, head),
        }, make("canvas", { "aria-hidden": "true" }), make("i", { "aria-hidden": "true" }));
        cell.style.height = `${side}px`;
        this.heads.append(cell);
        return cell;
      }));
    }
  }

  drawHeads() {
    const T = this.data.tokens.length;
    this.cells.forEach((row, layer) => row.forEach((cell, head) => {
      const [canvas, bar] = cell.children;
      const isChosen = layer === this.layer && head === this.head;
      const change = this.data.change ? this.data.change[layer][head] : 0;
      const off = this.isOff(layer, head);
      cell.setAttribute("aria-checked", isChosen);
      cell.tabIndex = isChosen ? 0 : -1;
      cell.classList.toggle("off", off);
      const said = `layer ${layer}, head ${head}: ${off ? "off" : this.data.roles[layer][head]}`;
      cell.setAttribute("aria-label", change ? `${said}, changed by ${percent(change)}` : said);
      cell.title = cell.getAttribute("aria-label");
      bar.style.width = `${100 * change}%`;
      this.paint(canvas, (layer * this.data.heads + head) * T * T, T);
    }));
    const off = this.isOff(this.layer, this.head);
    this.chosen.textContent =
      `Layer ${this.layer}, head ${this.head}: ${off ? "off" : this.data.roles[this.layer][this.head]}`;
    this.allOn.hidden = !this.explorer.live || !this.request.off.length;
    this.toggle.textContent = off ? "Switch this head on" : "Switch this head off";
  }

  /**
   * A head's map, a pixel for each weight. One scale for all heads, or an even look would seem to
   * be a pattern; as square roots, so that faint weights can be seen.
   */
  paint(canvas, start, T) {
    const weights = this.bytes.subarray(start, start + T * T);
    canvas.width = canvas.height = T;
    canvas.style.imageRendering = T > 48 ? "auto" : "pixelated"; // smaller than drawn: smooth
    const context = canvas.getContext("2d");
    const image = context.createImageData(T, T);
    const pixels = new Uint32Array(image.data.buffer);
    for (let i = 0; i < pixels.length; i++) {
      pixels[i] = BLUES[Math.round(Math.sqrt(255 * weights[i]))];
    }
    context.putImageData(image, 0, 0);
  }

  choose(layer, head) {
    this.layer = layer;
    this.head = head;
    this.drawHeads();
    this.drawLinks();
    this.explorer.status.textContent = this.say();
  }

  moveInHeads(event) {
    const move = {
      ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
    }[event.key];
    if (!move) return;
    event.preventDefault();
    const { layers, heads } = this.data;
    this.choose((this.layer + move[0] + layers) % layers, (this.head + move[1] + heads) % heads);
    this.cells[this.layer][this.head].focus();
  }

  toggleHead() {
    const { off } = this.request;
    if (this.isOff(this.layer, this.head)) {
      this.request.off = off.filter(([l, h]) => l !== this.layer || h !== this.head);
    } else {
      off.push([this.layer, this.head]);
    }
    this.explorer.ask();
  }

  switchAllOn() {
    this.request.off = [];
    this.explorer.ask();
    this.toggle.focus(); // the button that was pressed goes away
  }

  // Links

  drawLinks() {
    const { tokens } = this.data;
    const hadFocus = this.links.contains(document.activeElement) && this.looked;
    const width = 2 * LABEL + MIDDLE, height = TOP + tokens.length * ROW + 4;
    const svg = make("svg", {
      xmlns: SVG, width, height, viewBox: `0 0 ${width} ${height}`, role: "group",
      "aria-label": `Links of layer ${this.layer}, head ${this.head}. Arrow keys move from token to `
        + "token; Enter masks a word.",
      onmouseleave: () => this.look(null), onkeydown: (event) => this.moveInLinks(event),
    });
    svg.append(
      make("rect", { width, height, fill: "#ffffff" }),
      this.word("looks", LABEL - 8, 16, "end", { fill: "#555555" }),
      this.word("is looked at", LABEL + MIDDLE + 8, 16, "start", { fill: "#555555" }),
    );
    this.lines = svg.appendChild(make("g", { fill: "none", stroke: LINK, "aria-hidden": "true" }));
    this.labels = [0, 1].map((column) => tokens.map((_, token) => svg.appendChild(
      this.label(column, token))));
    const { scrollTop } = this.links;
    this.links.replaceChildren(svg);
    this.links.scrollTop = scrollTop;
    this.drawLines();
    if (hadFocus) this.labels[this.looked.column][this.looked.token].focus();
  }

  word(words, x, y, anchor, attributes = {}) {
    return make("text", { x, y, "text-anchor": anchor, fill: INK, style: `font: ${FONT}`, ...attributes },
      words);
  }

  label(column, token) {
    const { tokens, words, masked } = this.data;
    const x = column ? LABEL + MIDDLE : 0, y = TOP + token * ROW;
    const canMask = this.explorer.live && words[token] !== null;
    const first = this.looked ?? { column: 0, token: 0 };
    return make("g", {
      role: "button", tabindex: first.column === column && first.token === token ? 0 : -1,
      "aria-label": this.sayToken(column, token),
      "aria-pressed": canMask ? masked.includes(token) : null,
      "aria-disabled": canMask ? null : "true",
      style: canMask ? "cursor: pointer" : "cursor: default",
      onmouseenter: () => this.look({ column, token }), onfocus: () => this.look({ column, token }),
      onclick: () => this.toggleMask(token),
    },
    make("rect", { x, y, width: LABEL, height: ROW, rx: 3, fill: "#ffffff" }),
    this.word(shorten(tokens[token]), column ? x + 8 : x + LABEL - 8, y + 16, column ? "start" : "end"),
    make("title", {}, tokens[token]));
  }

  /** The lines of all tokens, or of the one that is looked at, with its shares beside the others. */
  drawLines() {
    const { tokens } = this.data;
    const { looked } = this;
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
    this.labels.forEach((column, side) => column.forEach((label, token) => {
      const [box, word] = label.children;
      let share = 0;
      if (looked && side !== looked.column) {
        share = looked.column ? this.weight(token, looked.token) : this.weight(looked.token, token);
      }
      const isLooked = looked && looked.column === side && looked.token === token;
      box.setAttribute("fill", isLooked ? "#ffe8d6" : share ? LINK : "#ffffff");
      box.setAttribute("fill-opacity", isLooked || !share ? 1 : 0.35 * share);
      box.setAttribute("stroke", isLooked ? CHOSEN : "none");
      label.setAttribute("tabindex", isLooked || (!looked && !side && !token) ? 0 : -1);
      const shown = shorten(this.data.tokens[token]);
      word.textContent = share < FAINTEST ? shown
        : side ? `${shown}  ${percent(share)}` : `${percent(share)}  ${shown}`;
    }));
  }

  look(at) {
    if (at?.column === this.looked?.column && at?.token === this.looked?.token) return;
    if (!at && this.links.contains(document.activeElement)) return; // the keyboard holds it
    this.looked = at;
    this.drawLines();
  }

  moveInLinks(event) {
    const { tokens } = this.data;
    const at = this.looked ?? { column: 0, token: 0 };
    const move = {
      ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0],
      Home: [0, -tokens.length], End: [0, tokens.length],
    }[event.key];
    if (event.key === "Enter" || event.key === " ") this.toggleMask(at.token);
    else if (move) {
      const within = (value, last) => Math.max(0, Math.min(last, value));
      this.labels[within(at.column + move[0], 1)][within(at.token + move[1], tokens.length - 1)].focus();
    } else return;
    event.preventDefault();
  }

  /** Hide the whole word that this token is part of, or show it again. */
  toggleMask(token) {
    const { words, masked } = this.data;
    if (!this.explorer.live || words[token] === null) return;
    const places = words.flatMap((word, place) => (word === words[token] ? [place] : []));
    this.request.masked = masked.includes(token)
      ? masked.filter((place) => !places.includes(place)) : [...masked, ...places].sort((a, b) => a - b);
    this.explorer.ask();
  }

  // Guesses

  drawGuesses() {
    const { guesses } = this.data;
    if (guesses === null) {
      this.guesses.replaceChildren(make("p", {}, "This model has no head that guesses words."));
      return;
    }
    if (!guesses.length) {
      this.guesses.replaceChildren(make("p", {}, this.explorer.live
        ? "Click a word in the links to mask it, or type [MASK]: its guesses stand here."
        : "No word is masked."));
      return;
    }
    this.guesses.replaceChildren(...guesses.map(({ place, was, words }) => make("table", {},
      make("caption", {}, `[MASK] at token ${place}${was === null ? "" : `, which was ${was}`}`),
      make("tbody", {}, ...words.map(({ token, share, before }) => make("tr", {},
        make("th", { scope: "row", dir: "auto" }, shorten(token)),
        make("td", { class: "bar" }, this.bar(share, before)),
        make("td", {}, before === null ? percent(share) : `${percent(share)}, was ${percent(before)}`),
      ))))));
  }

  bar(share, before) {
    const bar = make("span", { "aria-hidden": "true" }, make("b"), make("i"));
    bar.children[0].style.width = `${100 * share}%`;
    bar.children[1].style.left = `${100 * (before ?? share)}%`;
    bar.children[1].hidden = before === null;
    return bar;
  }

  // Words

  /** What is to be seen, for who cannot see it. */
  say() {
    const { tokens, guesses } = this.data;
    let strongest = [0, 0, -1];
    tokens.forEach((_, row) => tokens.forEach((_, column) => {
      const weight = this.weight(row, column);
      if (weight > strongest[2]) strongest = [row, column, weight];
    }));
    const [row, column, weight] = strongest;
    const said = [
      `${tokens.length} tokens. ${this.chosen.textContent}; strongest: ${tokens[row]} looks at `
      + `${tokens[column]} with ${percent(weight)}.`,
    ];
    for (const { place, words } of guesses ?? []) {
      const [{ token, share, before }] = words;
      said.push(`Token ${place}: ${token} ${percent(share)}`
        + `${before === null ? "" : `, was ${percent(before)}`}.`);
    }
    return said.join(" ");
  }

  sayToken(column, token) {
    const { tokens } = this.data;
    const others = tokens.map((other, place) =>
      [column ? this.weight(place, token) : this.weight(token, place), other]);
    const strongest = others.sort((a, b) => b[0] - a[0]).slice(0, 3)
      .filter(([share]) => share >= FAINTEST)
      .map(([share, other]) => `${other} ${percent(share)}`).join(", ");
    return `${tokens[token]}, token ${token}, ${column ? "is looked at by" : "looks at"} ${
      strongest || `none with ${percent(FAINTEST)}`}`;
  }

  // Saving

  save(kind) {
    const name = `attention-layer-${this.layer}-head-${this.head}.${kind}`;
    const svg = this.links.querySelector("svg");
    const source = new XMLSerializer().serializeToString(svg);
    if (kind === "svg") {
      download(name, "image/svg+xml", source);
      return;
    }
    const image = new Image();
    image.onload = () => {
      const canvas = make("canvas", { width: 2 * svg.width.baseVal.value, height: 2 * svg.height.baseVal.value });
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob((blob) => download(name, "image/png", blob));
    };
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(source)}`;
  }
}

function download(name, type, content) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

export default { render };
