// Which pieces are one word, which of them are hidden, and how they read together.

import { SPECIAL_TOKENS } from "./tokenizer.js";

/** The number of the word that each token is a piece of; null for special tokens. */
export function wordsOf(tokens) {
  let number = -1;
  return tokens.map((token, place) => {
    if (SPECIAL_TOKENS.includes(token)) return null;
    const continues = token.startsWith("##") && place > 0 && !SPECIAL_TOKENS.includes(tokens[place - 1]);
    if (!continues) number += 1;
    return number;
  });
}

/** The masked places once the word of this token is hidden, or shown again if it was. */
export function toggled({ words, masked }, token) {
  const places = words.flatMap((word, place) => (word === words[token] ? [place] : []));
  return masked.includes(token)
    ? masked.filter((place) => !places.includes(place))
    : [...masked, ...places].sort((a, b) => a - b);
}

/** Tokens as a text again, without [CLS] and the last [SEP]; a slash divides two sentences. */
export function spelled(tokens) {
  const inside = tokens.slice(tokens[0] === "[CLS]" ? 1 : 0, tokens.at(-1) === "[SEP]" ? -1 : undefined);
  return inside.reduce((text, token) => {
    if (token === "[SEP]") return `${text} /`;
    if (token.startsWith("##")) return text + token.slice(2);
    return text ? `${text} ${token}` : token;
  }, "");
}
