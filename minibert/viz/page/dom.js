// Elements, numbers in words, colours and downloads: what every drawing needs.

const SVG = "http://www.w3.org/2000/svg";
const DRAWN = new Set(["svg", "g", "rect", "path", "line", "circle", "text", "tspan", "title"]);

/** An element: `make("button", {class: "x", onclick: f}, "text", child)`. Text stays text. */
export function make(tag, attributes = {}, ...children) {
  const node = DRAWN.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  // JupyterLab would run its shortcuts, `d` `d` deletes a cell, unless what has the focus says that
  // the keys are its own; on an element around it that is too late.
  if (["button", "input", "select"].includes(tag) || "tabindex" in attributes) {
    node.setAttribute("data-lm-suppress-shortcuts", "true");
  }
  node.append(...children);
  return node;
}

/** An SVG drawing, which can be saved as a file of its own. */
export const drawing = (width, height, attributes, ...children) =>
  make("svg", { xmlns: SVG, width, height, viewBox: `0 0 ${width} ${height}`, ...attributes }, ...children);

export const percent = (share) =>
  share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;

export const shorten = (token, most = 16) =>
  [...token].length > most ? `${[...token].slice(0, most - 1).join("")}…` : token;

/** The colours of the page around a node: of a light one, unless its style says otherwise. */
export function coloursOf(node) {
  const style = getComputedStyle(node);
  const colour = (name, otherwise) => style.getPropertyValue(`--${name}`).trim() || otherwise;
  return {
    ink: colour("ink", "#111111"),
    faint: colour("faint", "#555555"),
    paper: colour("paper", "#ffffff"),
    link: colour("link", "#0072b2"),
    chosen: colour("chosen", "#d55e00"),
    looked: colour("looked", "#ffe8d6"),
    ramp: [colour("paper", "#ffffff"), colour("mid", "#4292c6"), colour("most", "#08306b")],
    below: colour("below", "#b35806"),
    above: colour("above", "#542788"),
  };
}

const channels = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));

/** A colour between two, `share` from 0 to 1. */
export function between(from, to, share) {
  const [a, b] = [channels(from), channels(to)];
  return `#${a.map((start, i) =>
    Math.round(start + (b[i] - start) * share).toString(16).padStart(2, "0")).join("")}`;
}

/** 256 colours through three, as the pixels of a canvas: alpha, blue, green, red. */
export function pixelRamp([low, middle, high]) {
  return Uint32Array.from({ length: 256 }, (_, value) => {
    const colour = value < 128 ? between(low, middle, value / 128) : between(middle, high, (value - 128) / 127);
    const [red, green, blue] = channels(colour);
    return 0xff000000 + blue * 0x10000 + green * 0x100 + red;
  });
}

export function download(name, type, content) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/** Save an SVG drawing under a name that ends in .svg or .png. */
export function saveDrawing(svg, name) {
  const source = new XMLSerializer().serializeToString(svg);
  if (name.endsWith(".svg")) {
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

/** Arrow keys within a group: the step in rows and columns, or null for another key. */
export const arrow = (key) =>
  ({ ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] })[key] ?? null;
