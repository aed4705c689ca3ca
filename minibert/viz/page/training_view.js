// The tab "During training": what BERT guessed for a blank at the steps of training that were kept.

import { make } from "./dom.js";
import { likeliestTable } from "./likeliest_table.js";

export class TrainingView {
  /** `data` has the vocabulary, `tokens`, and the `steps`. `blank` is the `BlankChoice` of this view. */
  constructor(data, blank) {
    this.data = data;
    this.blank = blank;
    this.root = make("section", { class: "view" });
  }

  wants(seen) {
    return { stepsOf: this.blank.placeIn(seen) };
  }

  draw([{ byStep, guesses }]) {
    if (!byStep) {
      this.root.replaceChildren(make("p", { class: "hint" },
        "Press a word above to hide it. You then see what BERT guessed earlier in its training."));
      return;
    }
    const columns = byStep.map((shares, i) => ({ name: `${this.data.steps[i]}`, shares }));
    this.root.replaceChildren(
      make("p", { class: "saying" },
        "This is the same model at several steps of its training. Move the slider above to see everything else as it "
        + "was then."),
      ...this.blank.menu(guesses.length),
      likeliestTable(this.root, "The likeliest words after so many steps of training", columns, this.data.tokens));
  }
}
