// All heads as small maps: a row for each layer. One of them is chosen.

import { arrow, coloursOf, make, percent, pixelRamp } from "./dom.js";

const SMALLEST = 24; // px

export class HeadGrid {
  /**
   * `choose(layer, head)` is called for a click or an arrow key. `width` is that of a row of maps,
   * `largest` that of a single one, in px. Maps of 80 px have their head's role under them.
   */
  constructor(choose, { width, largest }) {
    Object.assign(this, { choose, width, largest });
    this.root = make("div", {
      class: "heads", role: "radiogroup", "aria-label": "Heads: a row for each layer",
      onkeydown: (event) => this.move(event),
    });
  }

  build({ layers, heads }) {
    const side = Math.max(SMALLEST, Math.min(this.largest, Math.floor(this.width / heads)));
    const hidden = { "aria-hidden": "true" };
    this.root.style.gridTemplateColumns = `auto repeat(${heads}, minmax(0, ${side}px))`;
    this.root.replaceChildren(make("span", { class: "corner", ...hidden }, "layer, head"));
    for (let head = 0; head < heads; head++) this.root.append(make("span", hidden, `${head}`));
    this.cells = [];
    for (let layer = 0; layer < layers; layer++) {
      this.root.append(make("span", hidden, `${layer}`));
      this.cells.push(Array.from({ length: heads }, (_, head) => {
        const cell = make("button", {
          type: "button", role: "radio", onclick: () => this.choose(layer, head),
        }, make("canvas", hidden), make("i", hidden));
        const role = make("small", { ...hidden, hidden: side < 80 ? "" : null });
        this.root.append(make("div", {}, cell, role));
        return cell;
      }));
    }
  }

  /** `data` has layers, heads, tokens, bytes, roles, change; `isOff(layer, head)`. */
  draw(data, chosen, isOff) {
    const isNewShape = this.data?.layers !== data.layers || this.data?.heads !== data.heads;
    this.data = data;
    this.chosen = chosen;
    if (isNewShape) this.build(data);
    const ramp = pixelRamp(coloursOf(this.root).ramp);
    this.cells.forEach((row, layer) => row.forEach((cell, head) => {
      const [canvas, bar] = cell.children, role = cell.nextSibling;
      const isChosen = layer === chosen.layer && head === chosen.head;
      const change = data.change && !isOff(layer, head) ? data.change[layer][head] : 0;
      cell.setAttribute("aria-checked", isChosen);
      cell.tabIndex = isChosen ? 0 : -1;
      cell.classList.toggle("off", isOff(layer, head));
      role.textContent = isOff(layer, head) ? "off" : data.roles[layer][head].replace(" %", "\u00a0%");
      const said = `layer ${layer}, head ${head}: ${isOff(layer, head) ? "off" : data.roles[layer][head]}`;
      cell.setAttribute("aria-label", change ? `${said}, changed by ${percent(change)}` : said);
      cell.title = cell.getAttribute("aria-label");
      bar.style.width = `${100 * change}%`;
      this.paint(canvas, layer, head, ramp);
    }));
  }

  /**
   * A head's map, a pixel for each weight. One scale for all heads, or an even look would seem to
   * be a pattern; as square roots, so that faint weights can be seen.
   */
  paint(canvas, layer, head, ramp) {
    const T = this.data.tokens.length;
    const start = (layer * this.data.heads + head) * T * T;
    canvas.width = canvas.height = T;
    canvas.style.imageRendering = T > 48 ? "auto" : "pixelated"; // smaller than drawn: smooth
    const context = canvas.getContext("2d");
    const image = context.createImageData(T, T);
    const pixels = new Uint32Array(image.data.buffer);
    for (let i = 0; i < pixels.length; i++) {
      pixels[i] = ramp[Math.round(Math.sqrt(255 * this.data.bytes[start + i]))];
    }
    context.putImageData(image, 0, 0);
  }

  move(event) {
    const step = arrow(event.key);
    if (!step) return;
    event.preventDefault();
    const { layers, heads } = this.data;
    const layer = (this.chosen.layer + step[0] + layers) % layers;
    const head = (this.chosen.head + step[1] + heads) % heads;
    this.choose(layer, head);
    this.cells[layer][head].focus();
  }
}
