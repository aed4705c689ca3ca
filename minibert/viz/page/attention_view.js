// The tab "Attention": all heads, the links of a chosen head, and where one word looks in each layer.

import { make } from "./dom.js";
import { Panel } from "./panel.js";
import { WordAttention } from "./word_attention.js";

export class AttentionView {
  /** `host` is the panel's, and `heads` the heads that are off, `{off}`, which the panel changes. */
  constructor({ config }, host, heads) {
    this.heads = heads;
    this.request = { masked: [], off: heads.off };
    const ask = () => {
      heads.off = this.request.off;
      host.hide(this.request.masked);
    };
    this.panel = new Panel({ live: true, say: host.say, ask }, this.request, { width: 380, largest: 84 });
    this.word = new WordAttention();
    this.root = make("section", { class: "view" },
      make("p", { class: "saying" },
        "To understand a word, BERT looks at the words around it. The part that looks is called a head. For every "
        + "word, a head decides how much to look at each of the others. This model has "
        + `${config.num_hidden_layers} layers of ${config.num_attention_heads} heads, and each small map below is one `
        + "head. A row is a word that looks, a column is a word that it looks at, and a stronger colour means that it "
        + "looks more. [CLS] and [SEP] are markers that BERT adds at the ends of a text, and many heads look mostly at "
        + "them. Choose a head to see it as links. Then switch it off, and see whether the guess changes. Not every "
        + "head matters for every guess."),
      this.panel.root, this.word.root);
  }

  /** The head that is looked at: `{layer, head}`. */
  get chosen() {
    return this.panel.chosen;
  }

  set chosen({ layer, head }) {
    this.panel.chosen = { layer, head };
  }

  wants() {
    return {};
  }

  draw([first]) {
    this.request.masked = first.masked;
    this.request.off = this.heads.off;
    this.panel.draw(first);
    this.word.draw(first);
  }
}
