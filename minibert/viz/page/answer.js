// What a page shows of a text: a reply to each request, in the form that minibert/viz/explorer.py
// describes. There a Python kernel answers, here the model in the page does.

import { Bert, rowOf, softmax } from "./model.js";
import { describeHeads } from "./roles.js";
import { BertTokenizer } from "./tokenizer.js";
import { decode, unpack } from "./weights.js";
import { wordsOf } from "./words.js";

const GUESSES = 8;

export class Answerer {
  /** `data` is what minibert/viz/page writes: `{config, tokens, lowerCase, characters, models}`. */
  constructor(data) {
    this.config = data.config;
    this.tokenizer = new BertTokenizer(data.tokens, data.lowerCase, data.characters);
    this.models = data.models;
  }

  /** The model of a snapshot, unpacked when it is first asked for. */
  model(snapshot = 0) {
    const kept = this.models[snapshot];
    kept.bert ??= new Bert(this.config, unpack(kept.table, decode(kept.bytes)));
    return kept.bert;
  }

  /**
   * The reply to a request `{seq, text, pair, snapshot, masked, off}`: a generator, which pauses
   * between two layers. An `error` says in a line what is wrong with the request. With `layersOf`,
   * a place, the reply has the guesses there after each layer. With `stepsOf`, a place, it has the
   * guesses there of each snapshot. With `trace`, `{layer, head, token}`, it has the numbers of that
   * token's way.
   */
  *answer(request) {
    const { text, pair = null, snapshot = 0, masked = [], off = [] } = request;
    const { tokens, ids, segments } = this.tokenizer.encode(text, pair);
    const room = this.config.max_position_embeddings, special = pair === null ? 2 : 3;
    if (tokens.length === special) return { seq: request.seq, error: "Write at least one word." };
    if (tokens.length > room) {
      return {
        seq: request.seq,
        error: `The text has ${tokens.length - special} tokens, and this model reads at most `
          + `${room - special}. Make it shorter.`,
      };
    }
    const hidden = tokens.slice();
    for (const place of masked) {
      ids[place] = this.tokenizer.id("[MASK]");
      tokens[place] = "[MASK]";
    }
    const bert = this.model(snapshot);
    const before = off.length ? yield* bert.run(ids, segments) : null;
    const isOff = new Set(off.map(([layer, head]) => `${layer},${head}`));
    const run = yield* bert.run(ids, segments, isOff);
    const looked = { bert, tokens, ids, segments, run };
    const { layersOf = null, stepsOf = null, trace = null } = request;
    const byStep = stepsOf === null ? null : yield* this.sharesByStep(ids, segments, isOff, stepsOf);
    return {
      seq: request.seq,
      error: "",
      tokens,
      hidden,
      words: wordsOf(hidden),
      masked,
      segments,
      layers: bert.L,
      heads: bert.H,
      ...this.attentionOf(run, before, tokens),
      ...this.headsOf(bert, run, before, { ids, hidden, masked, pair }),
      byLayer: layersOf === null ? null : this.sharesByLayer(looked, layersOf),
      byStep,
      trace: trace === null ? null
        : { ...this.traceOf(looked, trace), off: isOff.has(`${trace.layer},${trace.head}`) },
    };
  }

  /** The attention, L * H * T * T bytes with 255 for 1; the roles of heads; how far they moved. */
  attentionOf(run, before, tokens) {
    const layers = run.blocks.map((block) => block.attention.weights); // L of (H, T, T)
    const attention = new Uint8Array(layers.length * layers[0].length);
    layers.forEach((weights, layer) =>
      attention.set(weights.map((weight) => Math.round(255 * weight)), layer * weights.length));
    const roles = layers.map((weights) =>
      describeHeads(weights, tokens, this.tokenizer.is.punctuation));
    const change = before && layers.map((weights, layer) =>
      distances(weights, before.blocks[layer].attention.weights, tokens.length));
    return { attention, roles, change };
  }

  /** What the heads on top say: guesses for each `[MASK]`, whether B follows A, labels. */
  headsOf(bert, run, before, { ids, hidden, masked, pair }) {
    const last = (some) => some.blocks.at(-1).states;
    const shares = (logits) => (logits ? softmax(logits) : null);
    const compare = (now, then) =>
      Array.from(now, (share, i) => ({ share, before: then ? then[i] : null }));
    const answers = { guesses: null, follows: null, labels: null };
    if (bert.has("mlm_head.dense.weight")) {
      const places = ids.flatMap((id, place) => (id === this.tokenizer.id("[MASK]") ? [place] : []));
      const now = this.sharesAt(bert, last(run), places);
      const then = before && this.sharesAt(bert, last(before), places);
      answers.guesses = places.map((place, i) => {
        const was = masked.includes(place) ? hidden[place] : null;
        const words = this.likeliest(now[i], then && then[i], was);
        return { name: places.length > 1 ? `Blank ${i + 1}` : "Guesses", place, was, words, shares: now[i] };
      });
    }
    if (pair !== null && bert.has("nsp_head.weight")) {
      const [now, then] = [run, before].map((some) => some && shares(bert.nextSentence(last(some))));
      answers.follows = compare(now, then)[0];
    }
    if (this.config.labels) {
      const [now, then] = [run, before].map((some) => some && this.judge(bert.classify(last(some))));
      answers.labels = compare(now, then).map((one, i) => ({ label: this.config.labels[i], ...one }));
    }
    return answers;
  }

  /** Logits of a classifier as what they mean: probabilities, or numbers of a regression. */
  judge(logits) {
    const kind = this.config.problem_type;
    if (kind === "regression") return logits;
    if (kind === "multi_label_classification") return logits.map((x) => 1 / (1 + Math.exp(-x)));
    return softmax(logits);
  }

  /** The probability of each token at each of M places of states (T, D): M arrays (V). */
  sharesAt(bert, states, places) {
    if (!places.length) return [];
    const picked = new Float32Array(places.length * bert.D);
    places.forEach((place, i) => picked.set(rowOf(states, place, bert.D), i * bert.D));
    const { logits } = bert.predict(picked);
    const rows = logits.length / places.length; // a model may have more rows than tokens
    return places.map((_, i) =>
      softmax(logits.slice(i * rows, i * rows + this.tokenizer.tokens.length)));
  }

  /** The likeliest tokens now and before, and the hidden one: `[{token, share, before}]`. */
  likeliest(now, then, was) {
    const listed = new Set(largest(now, GUESSES));
    if (then) largest(then, GUESSES).forEach((id) => listed.add(id));
    if (was !== null) listed.add(this.tokenizer.id(was));
    return [...listed].sort((a, b) => now[b] - now[a]).map((id) => ({
      token: this.tokenizer.tokens[id], share: now[id], before: then ? then[id] : null,
    }));
  }

  /** The guesses at a place after each of the L + 1 states, through the same MLM head: L + 1 (V). */
  sharesByLayer({ bert, run }, place) {
    const states = [run.embeddings.states, ...run.blocks.map((block) => block.states)];
    return states.map((state) => this.sharesAt(bert, state, [place])[0]);
  }

  /** The guesses at a place of each snapshot's model: S arrays (V). */
  *sharesByStep(ids, segments, off, place) {
    const steps = [];
    for (const snapshot of this.models.keys()) {
      const bert = this.model(snapshot);
      const { blocks } = yield* bert.run(ids, segments, off);
      steps.push(this.sharesAt(bert, blocks.at(-1).states, [place])[0]);
    }
    return steps;
  }

  /** Every number of one token on its way through one head of one layer. */
  traceOf({ bert, tokens, ids, segments, run }, { layer, head, token }) {
    const { D, H } = bert, K = D / H, T = tokens.length;
    const { embeddings, blocks } = run;
    const { attention, attended, inner, forward, states } = blocks[layer];
    const before = layer ? blocks[layer - 1].states : embeddings.states;
    // Copies: what is sent to another thread takes the whole matrix along that it is a part of.
    const at = (matrix, place = token) => rowOf(matrix, place, D).slice();
    const inHead = (matrix, place = token) => at(matrix, place).slice(head * K, (head + 1) * K);
    const everywhere = (matrix) => tokens.map((_, place) => inHead(matrix, place));
    const row = (matrix) => rowOf(matrix, head * T + token, T).slice();
    const traced = {
      tokens, ids, segments, layer, head, token, heads: H,
      embedding: Object.fromEntries(
        Object.entries(embeddings).map(([name, matrix]) => [name, at(matrix)])),
      before: at(before),
      query: inHead(attention.query),
      key: inHead(attention.key),
      value: inHead(attention.value),
      keys: everywhere(attention.key),
      values: everywhere(attention.value),
      scores: row(attention.scores),
      weights: row(attention.weights),
      context: inHead(attention.context),
      contexts: at(attention.context),
      output: at(attention.output),
      attended: at(attended),
      inner: rowOf(inner, token, inner.length / T).slice(),
      forward: at(forward),
      after: at(states),
      states: [embeddings.states, ...blocks.map((block) => block.states)].map((state) => at(state)),
      guess: null,
    };
    if (bert.has("mlm_head.dense.weight")) {
      const { transformed, logits } = bert.predict(traced.states.at(-1));
      const top = largest(logits.subarray(0, this.tokenizer.tokens.length), GUESSES);
      const [shares] = this.sharesAt(bert, traced.states.at(-1), [0]);
      traced.guess = {
        transformed,
        words: top.map((id) => ({
          token: this.tokenizer.tokens[id], logit: logits[id], share: shares[id],
        })),
      };
    }
    return traced;
  }
}

/** Run a generator to its end without a pause. */
export function finish(steps) {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** Where the `count` largest numbers are, the largest first. */
export function largest(numbers, count) {
  const found = [];
  for (let i = 0; i < numbers.length; i++) {
    if (found.length === count && numbers[i] <= numbers[found[count - 1]]) continue;
    let at = found.length;
    while (at > 0 && numbers[found[at - 1]] < numbers[i]) at--;
    found.splice(at, 0, i);
    found.length = Math.min(found.length, count);
  }
  return found;
}

/** How much of its attention each head moved, 0 to 1: the mean over rows, for H heads (H, T, T). */
function distances(now, then, T) {
  const moved = new Array(now.length / (T * T)).fill(0);
  now.forEach((weight, i) => {
    moved[Math.floor(i / (T * T))] += Math.abs(weight - then[i]) / (2 * T);
  });
  return moved;
}
