// BERT's tokenizer: clean, split into words, then WordPiece. The same steps, under the same names,
// are in minibert/tokenizer.py, and both give the same ids.

export const SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
const MAX_CHARS_PER_WORD = 100;
const WRITTEN_OUT = /(\[PAD\]|\[UNK\]|\[CLS\]|\[SEP\]|\[MASK\])/;

/** Ranges of code points, "41-5A 61" in hexadecimal, as a test of one character. */
export function oneOf(ranges) {
  const parts = ranges.split(" ").filter(Boolean).map((range) => {
    const [first, last = first] = range.split("-");
    return `\\u{${first}}-\\u{${last}}`;
  });
  const pattern = new RegExp(`^[${parts.join("")}]$`, "u");
  return (char) => parts.length > 0 && pattern.test(char);
}

export class BertTokenizer {
  /**
   * `tokens` in the order of their ids. `characters` says which characters are `dropped`, are a
   * `space`, a word of their own (`ideograph`, `punctuation`), an accent (`mark`), are `whole`
   * (never taken apart) or have a small letter (`capital`): ranges for each. They come from Python,
   * because each version of Unicode has other tables.
   */
  constructor(tokens, lowerCase, characters) {
    this.tokens = tokens;
    this.vocab = new Map(tokens.map((token, id) => [token, id]));
    this.lowerCase = lowerCase;
    this.is = Object.fromEntries(
      Object.entries(characters).map(([kind, ranges]) => [kind, oneOf(ranges)]));
    this.words = new Map(); // word -> pieces: texts repeat their words
  }

  id(token) {
    return this.vocab.get(token) ?? this.vocab.get("[UNK]");
  }

  /** Drop control characters, make every white space a blank, put blanks around ideographs. */
  clean(text) {
    let cleaned = "";
    for (const char of text) {
      if (this.is.dropped(char)) continue;
      if (this.is.space(char)) cleaned += " ";
      else cleaned += this.is.ideograph(char) ? ` ${char} ` : char;
    }
    return cleaned;
  }

  /** Separate letters from their accents (NFD), and drop the accents. */
  stripAccents(text) {
    let parts = "", run = "";
    for (const char of text) {
      if (this.is.whole(char)) {
        parts += run.normalize("NFD") + char;
        run = "";
      } else run += char;
    }
    return [...(parts + run.normalize("NFD"))].filter((char) => !this.is.mark(char)).join("");
  }

  /** Words and marks of punctuation; in lower case and without accents if the model is uncased. */
  basicTokenize(text) {
    text = this.clean(text);
    if (this.lowerCase) {
      text = [...this.stripAccents(text)]
        .map((char) => (this.is.capital(char) ? char.toLowerCase() : char)).join("");
    }
    return [...text].map((char) => (this.is.punctuation(char) ? ` ${char} ` : char)).join("")
      .split(" ").filter(Boolean);
  }

  /** The longest piece in the vocabulary, again and again; `[UNK]` if none fits. */
  wordpiece(word) {
    const chars = [...word];
    if (chars.length > MAX_CHARS_PER_WORD) return ["[UNK]"];
    const pieces = [];
    for (let start = 0, end; start < chars.length; start = end) {
      const prefix = start ? "##" : "";
      for (end = chars.length; end > start; end--) {
        if (this.vocab.has(prefix + chars.slice(start, end).join(""))) break;
      }
      if (end === start) return ["[UNK]"];
      pieces.push(prefix + chars.slice(start, end).join(""));
    }
    return pieces;
  }

  /** Word pieces. A special token that is written out in the text stays whole. */
  tokenize(text) {
    return text.split(WRITTEN_OUT).flatMap((part) => {
      if (SPECIAL_TOKENS.includes(part)) return [part];
      return this.basicTokenize(part).flatMap((word) => {
        if (!this.words.has(word)) this.words.set(word, this.wordpiece(word));
        return this.words.get(word);
      });
    });
  }

  /** `[CLS] A [SEP]`, or `[CLS] A [SEP] B [SEP]`: `{tokens, ids, segments}`. */
  encode(text, pair = null) {
    const tokens = ["[CLS]", ...this.tokenize(text), "[SEP]"];
    const segments = tokens.map(() => 0);
    if (pair !== null) {
      const second = [...this.tokenize(pair), "[SEP]"];
      tokens.push(...second);
      segments.push(...second.map(() => 1));
    }
    return { tokens, segments, ids: tokens.map((token) => this.id(token)) };
  }
}
