// The explorer, as a browser shows it. It asks for a look (`request`) and draws the answer (`reply`),
// both as minibert/viz/explorer.py describes them. Layers, heads and tokens are counted from 0.

import { download, make } from "./page/dom.js";
import { Panel } from "./page/panel.js";

const TYPING_PAUSE = 150; // ms without a key before a text is asked for
const PATIENCE = 5000; // ms without an answer before that is said

export function render({ model, el }) {
  const explorer = new Explorer(model, el);
  return () => explorer.close();
}

class Explorer {
  constructor(model, el) {
    this.model = model;
    this.live = model.get("live");
    this.sent = 0; // the number of the last request
    this.answered = 0;
    this.waiting = false; // whether something changed while an answer was on its way
    this.request = structuredClone(model.get("request"));
    this.panels = [];
    this.root = make("section", {
      class: "minibert-explorer", lang: "en", "aria-label": "Attention explorer",
    });
    this.controls = this.root.appendChild(make("div", { class: "controls" }));
    this.alert = this.root.appendChild(make("p", { class: "alert", role: "alert" }));
    this.sides = this.root.appendChild(make("div", { class: "sides" }));
    this.status = this.root.appendChild(make("p", { class: "status", role: "status" }));
    this.buildControls();
    el.append(this.root);
    this.onReply = () => this.draw(model.get("reply"));
    this.onMessage = (message) => download("attention.html", "text/html", message.document);
    model.on("change:reply", this.onReply);
    model.on("msg:custom", this.onMessage);
    this.draw(model.get("reply"));
  }

  close() {
    this.model.off("change:reply", this.onReply);
    this.model.off("msg:custom", this.onMessage);
    clearTimeout(this.typing);
    clearTimeout(this.patience);
  }

  buildControls() {
    const { request, live } = this;
    const field = (name, words) =>
      make("label", {}, words, make("input", {
        type: "text", dir: "auto", spellcheck: "false", value: request[name],
        readonly: live ? null : "",
        oninput: (event) => {
          request[name] = event.target.value;
          for (const panel of request.panels) panel.masked = []; // the places are of the old text
          this.askSoon();
        },
      }));
    this.controls.append(field("text", request.pair === null ? "Text" : "Sentence A"));
    if (request.pair !== null) this.controls.append(field("pair", "Sentence B"));
    const steps = this.model.get("steps");
    if (live && steps.length) {
      const shown = make("output", {}, `step ${steps[request.snapshot]}`);
      const slider = make("input", {
        type: "range", min: 0, max: steps.length - 1, value: request.snapshot,
        "aria-valuetext": `step ${steps[request.snapshot]}`,
        oninput: (event) => {
          request.snapshot = Number(event.target.value);
          shown.textContent = `step ${steps[request.snapshot]}`;
          slider.setAttribute("aria-valuetext", shown.textContent);
          this.askSoon();
        },
      });
      this.controls.append(make("label", { class: "steps" }, "Training", slider, shown));
    }
    if (live) {
      this.controls.append(make("button", {
        type: "button", onclick: () => this.model.send({ save: "html" }),
      }, "Save as HTML"));
    } else {
      this.controls.append(make("p", { class: "note" },
        "As it was when this was saved: heads and tokens can be looked at. To type, call explore(...) "
        + "in a notebook."));
    }
  }

  askSoon() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.ask(), TYPING_PAUSE);
  }

  say(words) {
    this.status.textContent = words;
  }

  /** Send the request; while an answer is on its way, only remember that there is a newer one. */
  ask() {
    if (!this.live) return;
    if (this.answered < this.sent) {
      this.waiting = true;
      return;
    }
    this.waiting = false;
    this.sent = this.request.seq = this.answered + 1;
    this.model.set("request", structuredClone(this.request));
    this.model.save_changes();
    this.patience = setTimeout(() => {
      this.alert.textContent = "No answer yet: the kernel is busy, or was restarted and this cell not run.";
    }, PATIENCE);
  }

  draw(reply) {
    const begun = performance.now();
    clearTimeout(this.patience);
    this.answered = this.sent = Math.max(reply.seq, this.answered);
    this.alert.textContent = reply.error;
    if (!reply.error) {
      reply.panels.forEach((data, number) => {
        if (!this.panels[number]) {
          this.panels[number] = new Panel(this, this.request.panels[number]);
          this.sides.append(this.panels[number].root);
        }
        this.panels[number].draw(data);
      });
      this.status.textContent = this.panels.map((panel) => panel.say()).join(" ");
    }
    requestAnimationFrame(() => {
      this.root.dataset.milliseconds = Math.round(performance.now() - begun);
      this.root.dataset.seq = reply.seq;
    });
    if (this.waiting) this.ask();
  }
}
