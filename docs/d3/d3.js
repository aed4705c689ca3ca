// The functions of d3 5 that bertviz's three views call, and no more.
export { hsl } from "d3-color";
export { default as scaleOrdinal } from "d3-scale/src/ordinal.js"; // the whole brings time along
export { select, selectAll } from "d3-selection";
export { line } from "d3-shape";
export const version = "5, the part that bertviz needs";

// Colours of heads and layers. Not d3's own ten: these are told apart with any colour vision
// (Petroff, 2021, "Accessible Color Sequences for Data Visualization").
export const schemeCategory10 = [
  "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
  "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
];
