// A short label for each head, as minibert/analysis/attention_patterns.py gives it.

import { SPECIAL_TOKENS } from "./tokenizer.js";

const WORTH_NAMING = 0.25; // a head is named after a role that gets this proportion of its attention
const SPREAD_OUT = 0.9; // above this proportion of the largest entropy, log T, it looks everywhere

/** For each role, whether column j has it for row i. */
function rolesOf(tokens, isPunctuation) {
  const marks = tokens.map((token) => token !== "" && [...token].every(isPunctuation));
  return {
    "previous token": (i, j) => j === i - 1,
    "next token": (i, j) => j === i + 1,
    itself: (i, j) => j === i,
    "same token": (i, j) => j !== i && tokens[i] === tokens[j] && !SPECIAL_TOKENS.includes(tokens[i]),
    "[CLS]": (i, j) => tokens[j] === "[CLS]",
    "[SEP]": (i, j) => tokens[j] === "[SEP]",
    punctuation: (i, j) => marks[j],
  };
}

/** The label of one head, whose weights (T, T) begin at `start`: such as "previous token 63 %". */
function describe(weights, start, T, roles) {
  let entropy = 0;
  for (let at = start; at < start + T * T; at++) {
    if (weights[at] > 0) entropy -= (weights[at] * Math.log(weights[at])) / T;
  }
  if (entropy > SPREAD_OUT * Math.log(T)) return "spread out";
  let best = null, most = -1;
  for (const [name, has] of Object.entries(roles)) {
    let sum = 0, rows = 0;
    for (let i = 0; i < T; i++) {
      let share = null;
      for (let j = 0; j < T; j++) {
        if (has(i, j)) share = (share ?? 0) + weights[start + i * T + j];
      }
      if (share !== null) {
        sum += share;
        rows += 1;
      }
    }
    if (rows && sum / rows > most) [best, most] = [name, sum / rows];
  }
  return most < WORTH_NAMING ? "no single role" : `${best} ${(100 * most).toFixed(0)} %`;
}

/** Labels for H heads of one layer with weights (H, T, T). */
export function describeHeads(weights, tokens, isPunctuation) {
  const T = tokens.length, roles = rolesOf(tokens, isPunctuation);
  return Array.from({ length: weights.length / (T * T) }, (_, head) =>
    describe(weights, head * T * T, T, roles));
}
