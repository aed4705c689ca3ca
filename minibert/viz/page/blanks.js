// Which of a text's blanks a view is about, where it can show only one of them.

import { make } from "./dom.js";

export class BlankChoice {
  /** `ask()` is called when another blank is chosen. */
  constructor(ask) {
    this.ask = ask;
    this.number = 0;
  }

  /** The place of the chosen blank among these tokens, or null if they have none. */
  placeIn(tokens) {
    const places = tokens.flatMap((token, place) => (token === "[MASK]" ? [place] : []));
    this.number = Math.min(this.number, Math.max(0, places.length - 1));
    return places[this.number] ?? null;
  }

  /** A menu of `count` blanks, if there are several. */
  menu(count) {
    if (count < 2) return [];
    const select = make("select", { onchange: () => this.choose(Number(select.value)) },
      ...Array.from({ length: count }, (_, i) => make("option", { value: i }, `blank ${i + 1}`)));
    select.value = `${this.number}`;
    return [make("div", { class: "picks" }, make("label", {}, "Which blank", select))];
  }

  choose(number) {
    this.number = number;
    this.ask();
  }
}
