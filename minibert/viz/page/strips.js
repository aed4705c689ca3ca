// Vectors as strips of coloured cells: one colour above 0, another below 0, and paper at 0.

import { between, coloursOf, make } from "./dom.js";

const CELL = 7; // the side of a cell, in px

/** The largest distance from 0 in some vectors, so that they can share a scale. */
export const reach = (...vectors) =>
  vectors.reduce((most, vector) => vector.reduce((m, x) => Math.max(m, Math.abs(x)), most), 1e-9);

/** How strong a number's colour is, 0 to 1: a square root, so that small numbers can be seen. */
export const strength = (value, scale) => Math.sqrt(Math.min(1, Math.abs(value) / scale));

export const number = (x) => `${x <= -0.005 ? "−" : ""}${Math.abs(x).toFixed(2)}`;

/**
 * A vector as a strip, in rows of `columns` cells, with its first numbers for people who cannot see it.
 * `host` is an element of the page, for its colours; `scale` is the value of the full colour.
 */
export function strip(host, vector, { columns = 64, scale = reach(vector), title = "", cell = CELL } = {}) {
  const { below, above, paper } = coloursOf(host);
  const width = Math.min(columns, vector.length), rows = Math.ceil(vector.length / width);
  const first = Array.from(vector.slice(0, 4), number).join(", ");
  const canvas = make("canvas", {
    class: "strip", width, height: rows, role: "img",
    "aria-label": `${title} ${vector.length} numbers, the first are ${first}`.trim(),
  });
  canvas.style.width = `${width * cell}px`;
  canvas.style.height = `${rows === 1 ? 2 * CELL : rows * cell}px`;
  const context = canvas.getContext("2d");
  vector.forEach((value, i) => {
    context.fillStyle = between(paper, value < 0 ? below : above, strength(value, scale));
    context.fillRect(i % width, Math.floor(i / width), 1, 1);
  });
  canvas.title = `${first}, …`;
  return canvas;
}

/** A named strip with its first numbers beside it. */
export function vectorRow(host, name, vector, options = {}) {
  return make("div", { class: "vector" },
    make("span", { class: "name" }, name),
    strip(host, vector, { title: `${name}:`, ...options }),
    make("span", { class: "numbers", "aria-hidden": "true" },
      `${Array.from(vector.slice(0, 3), number).join("  ")} …`));
}
