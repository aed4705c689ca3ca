// A part of the page that may be wider than the window, which scrolls sideways by itself.

import { make } from "./dom.js";

export class Scrolls {
  /** `name` is what a screen reader calls it. A line above it says when there is more to the right. */
  constructor(name) {
    this.hint = make("p", { class: "note", hidden: "" }, "→ There is more to the right: scroll sideways.");
    this.content = make("div", { class: "content" });
    this.window = make("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": name }, this.content);
    this.root = make("div", {}, this.hint, this.window);
    const sizes = new ResizeObserver(() => {
      this.hint.hidden = this.window.scrollWidth <= this.window.clientWidth;
    });
    sizes.observe(this.window);
    sizes.observe(this.content);
  }

  fill(...children) {
    this.content.replaceChildren(...children);
  }
}
