// Whoever answers: the model in a thread of its own, or, where no thread may be started, here.

import { Answerer } from "./answer.js";

const LISTEN = `
let answerer = null;
self.onmessage = ({ data }) => {
  if (answerer === null) answerer = new answer.Answerer(data);
  else self.postMessage(answer.finish(answerer.answer(data)));
};`;

export class Kernel {
  /** `data` is what `Answerer` reads, `source` the script of this page, which defines `answer`. */
  constructor(data, source) {
    this.data = data;
    this.asked = []; // {request, resolve}, answered in turn
    try {
      const file = new Blob([source, LISTEN], { type: "text/javascript" });
      this.worker = new Worker(URL.createObjectURL(file));
      this.worker.onmessage = (event) => this.asked.shift().resolve(event.data);
      this.worker.onerror = () => this.answerHere();
      this.worker.postMessage(data);
    } catch {
      this.answerHere(); // the browser starts no thread for a file
    }
  }

  /** A promise of the reply to this request. */
  ask(request) {
    return new Promise((resolve) => {
      this.asked.push({ request, resolve });
      if (this.worker) this.worker.postMessage(request);
      else if (this.asked.length === 1) this.work();
    });
  }

  answerHere() {
    this.worker?.terminate();
    this.worker = null;
    this.answerer = new Answerer(this.data);
    if (this.asked.length) this.work();
  }

  /** Answer what is asked, layer by layer, so that typing comes in between. */
  async work() {
    while (this.asked.length) {
      const steps = this.answerer.answer(this.asked[0].request);
      let step = steps.next();
      while (!step.done) {
        await new Promise((resolve) => setTimeout(resolve));
        step = steps.next();
      }
      this.asked.shift().resolve(step.value);
    }
  }
}
