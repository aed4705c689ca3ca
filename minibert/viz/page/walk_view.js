// The tab "Step by step": the walk of one word through BERT, forward and back, in a chosen head.

import { make, shorten } from "./dom.js";
import { Scrolls } from "./scrolls.js";
import { STOPS } from "./walk_stops.js";

export class WalkView {
  /**
   * `ask()` is called when another word, layer or head is chosen. `course` is the address of the
   * course's chapters, if the page links to them.
   */
  constructor(ask, course) {
    this.ask = ask;
    this.course = course;
    this.stop = 0;
    this.at = { layer: 0, head: 0, token: null };
    this.place = make("p", { class: "place" });
    this.title = make("h2", { tabindex: "-1" });
    this.words = make("p", { class: "saying" });
    this.drawn = new Scrolls("Drawing of this stop");
    this.legend = make("p", { class: "note" },
      "A coloured square is a number: purple above 0, orange below 0, and no colour at 0. "
      + "The stronger the colour, the further from 0.");
    this.off = make("p", { class: "note" }, "This head is switched off, so BERT does not use what it computes here.");
    this.chapter = make("p", { class: "note" });
    this.back = make("button", { type: "button", onclick: () => this.go(-1) }, "← Back");
    this.next = make("button", { type: "button", class: "main", onclick: () => this.go(1) }, "Next →");
    this.pick = ["token", "layer", "head"].map((name) => {
      const select = make("select", { onchange: () => this.follow(name, Number(select.value)) });
      return make("label", {}, { token: "Word", layer: "Layer", head: "Head" }[name], select);
    });
    this.root = make("section", { class: "view walk", onkeydown: (event) => this.key(event) },
      make("div", { class: "picks" }, ...this.pick),
      make("div", { class: "steps" }, this.back, this.next, this.place),
      this.title, this.words, this.off, this.drawn.root,
      this.legend, this.chapter);
  }

  /** What to trace in a text of these tokens: at first a blank, if there is one. */
  wants(seen) {
    const { at } = this;
    if (at.token === null || at.token >= seen.length) {
      const blank = seen.indexOf("[MASK]");
      at.token = blank < 0 ? Math.min(1, seen.length - 1) : blank;
    }
    return { trace: { ...at } };
  }

  follow(name, value) {
    this.at[name] = value;
    this.ask();
  }

  go(step) {
    const to = this.stop + step;
    if (to < 0 || to > STOPS.length) return;
    this.stop = to % STOPS.length; // after the last stop comes the first
    this.drawStop();
    this.title.focus();
  }

  key(event) {
    if (event.target.closest("select, .scrolls")) return; // the keys are theirs
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) {
      event.preventDefault();
      this.go(step);
    }
  }

  draw([{ trace }]) {
    this.trace = trace;
    this.drawStop();
  }

  drawStop() {
    const { trace } = this;
    const stop = STOPS[this.stop];
    const choices = {
      token: trace.tokens.map((token, place) => `${place}: ${shorten(token)}`),
      layer: Array.from({ length: trace.states.length - 1 }, (_, i) => `${i}`),
      head: Array.from({ length: trace.heads }, (_, i) => `${i}`),
    };
    ["token", "layer", "head"].forEach((name, i) => {
      const select = this.pick[i].querySelector("select");
      select.replaceChildren(...choices[name].map((words, value) => make("option", { value }, words)));
      select.value = `${trace[name]}`;
    });
    this.place.textContent = `Stop ${this.stop + 1} of ${STOPS.length}`;
    this.title.textContent = stop.title;
    this.words.textContent = stop.say(trace);
    this.drawn.fill(...stop.draw(trace, this.root));
    this.off.hidden = !(trace.off && stop.inHead);
    this.legend.hidden = !this.drawn.root.querySelector(".strip");
    const name = `chapter ${stop.chapter}`;
    const link = { href: `${this.course}/${stop.file}.html`, target: "_top" };
    this.chapter.replaceChildren(
      "In the minibert course you build this in ", this.course ? make("a", link, name) : name, ".");
    this.back.disabled = this.stop === 0;
    this.next.textContent = this.stop === STOPS.length - 1 ? "Start again" : "Next →";
  }
}
