// BERT's forward pass. Each function is one step of the paper, and the names of the weights are
// those of minibert's modules, so this file can be read beside minibert/model.py.
//
// A matrix of T rows is a Float32Array with its rows one after the other. Dimensions: T tokens,
// D hidden size, H heads, K = D / H head size, F feed-forward size, V vocabulary.

/** x * Phi(x), the activation that BERT was published with (Hendrycks and Gimpel, 2016). */
function gelu(x) {
  return (x * (1 + erf(x / Math.SQRT2))) / 2;
}

/** The error function, to 1.5e-7 (Abramowitz and Stegun, 7.1.26). */
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const polynomial =
    t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return Math.sign(x) * (1 - polynomial * Math.exp(-x * x));
}

function geluTanh(x) {
  return (x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))) / 2;
}

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const silu = (x) => x * sigmoid(x);

/** The activations that `hidden_act` may name. */
export const ACTIVATIONS = {
  gelu,
  gelu_python: gelu,
  gelu_new: geluTanh,
  gelu_pytorch_tanh: geluTanh,
  relu: (x) => Math.max(0, x),
  sigmoid,
  tanh: Math.tanh,
  silu,
  swish: silu,
};

/** x (T, I) times the rows of weight (O, I), plus bias (O): (T, O). */
export function linear(x, weight, bias) {
  const O = bias.length, I = weight.length / O, T = x.length / I;
  const y = new Float32Array(T * O);
  // Four rows of x and two of weight at a time, so that each number is read less often: this is
  // where nearly all of the time goes, and it takes half as long so.
  const inFours = O % 2 ? 0 : T - (T % 4);
  for (let t = 0; t < inFours; t += 4) {
    const a = t * I, b = a + I, c = b + I, d = c + I;
    for (let o = 0; o < O; o += 2) {
      const v = o * I, w = v + I;
      let va = bias[o], vb = va, vc = va, vd = va;
      let wa = bias[o + 1], wb = wa, wc = wa, wd = wa;
      for (let i = 0; i < I; i++) {
        const vi = weight[v + i], wi = weight[w + i];
        const ai = x[a + i], bi = x[b + i], ci = x[c + i], di = x[d + i];
        va += vi * ai;
        vb += vi * bi;
        vc += vi * ci;
        vd += vi * di;
        wa += wi * ai;
        wb += wi * bi;
        wc += wi * ci;
        wd += wi * di;
      }
      const at = t * O + o;
      y[at] = va;
      y[at + 1] = wa;
      y[at + O] = vb;
      y[at + O + 1] = wb;
      y[at + 2 * O] = vc;
      y[at + 2 * O + 1] = wc;
      y[at + 3 * O] = vd;
      y[at + 3 * O + 1] = wd;
    }
  }
  for (let t = inFours; t < T; t++) {
    for (let o = 0; o < O; o++) {
      let sum = bias[o];
      for (let i = 0; i < I; i++) sum += weight[o * I + i] * x[t * I + i];
      y[t * O + o] = sum;
    }
  }
  return y;
}

/** Each row (D) moved to mean 0 and variance 1, then scaled and shifted. */
export function layerNorm(x, gain, shift, eps) {
  const D = gain.length;
  const y = new Float32Array(x.length);
  for (let start = 0; start < x.length; start += D) {
    let mean = 0, variance = 0;
    for (let d = 0; d < D; d++) mean += x[start + d] / D;
    for (let d = 0; d < D; d++) variance += (x[start + d] - mean) ** 2 / D;
    const scale = 1 / Math.sqrt(variance + eps);
    for (let d = 0; d < D; d++) y[start + d] = (x[start + d] - mean) * scale * gain[d] + shift[d];
  }
  return y;
}

/** Numbers to probabilities, in place, for `size` of them from `start`. */
export function softmax(x, start = 0, size = x.length) {
  let largest = -Infinity, sum = 0;
  for (let i = start; i < start + size; i++) largest = Math.max(largest, x[i]);
  for (let i = start; i < start + size; i++) sum += x[i] = Math.exp(x[i] - largest);
  for (let i = start; i < start + size; i++) x[i] /= sum;
  return x;
}

/**
 * softmax(Q K^T / sqrt(K)) V in H heads (Vaswani et al., 2017, 3.2).
 *
 * `query` is (Q, D), `key` and `value` are (T, D), and head h has K of the D columns. Returns the
 * `scores` and `weights` (H, Q, T) and the `context` (Q, D), 0 in heads for which `isOff(h)`.
 */
export function attention(query, key, value, D, H, isOff = () => false) {
  const K = D / H, Q = query.length / D, T = key.length / D;
  const scores = new Float32Array(H * Q * T);
  for (let h = 0; h < H; h++) {
    for (let i = 0; i < Q; i++) {
      for (let j = 0; j < T; j++) {
        let dot = 0;
        for (let k = h * K; k < (h + 1) * K; k++) dot += query[i * D + k] * key[j * D + k];
        scores[(h * Q + i) * T + j] = dot / Math.sqrt(K);
      }
    }
  }
  const weights = scores.slice();
  for (let row = 0; row < H * Q; row++) softmax(weights, row * T, T); // over keys
  const context = new Float32Array(Q * D);
  for (let h = 0; h < H; h++) {
    if (isOff(h)) continue;
    for (let i = 0; i < Q; i++) {
      for (let j = 0; j < T; j++) {
        const weight = weights[(h * Q + i) * T + j];
        for (let k = h * K; k < (h + 1) * K; k++) context[i * D + k] += weight * value[j * D + k];
      }
    }
  }
  return { scores, weights, context };
}

const add = (x, y) => x.map((value, i) => value + y[i]);

/** Row `row` of a matrix whose rows have `size` numbers. */
export const rowOf = (matrix, row, size) => matrix.subarray(row * size, (row + 1) * size);

export class Bert {
  /** `config` as in Hugging Face's config.json; `weights`, a Float32Array for each name. */
  constructor(config, weights) {
    this.config = config;
    this.weights = weights;
    this.D = config.hidden_size;
    this.H = config.num_attention_heads;
    this.L = config.num_hidden_layers;
    this.activation = ACTIVATIONS[config.hidden_act];
  }

  has(name) {
    return name in this.weights;
  }

  linear(name, x) {
    return linear(x, this.weights[`${name}.weight`], this.weights[`${name}.bias`]);
  }

  norm(name, x) {
    const { [`${name}.weight`]: gain, [`${name}.bias`]: shift } = this.weights;
    return layerNorm(x, gain, shift, this.config.layer_norm_eps);
  }

  /** Token + position + segment, then LayerNorm: `{token, position, segment, sum, states}`, (T, D). */
  embed(ids, segments) {
    const { D, weights } = this;
    const pick = (name, rows) => {
      const x = new Float32Array(rows.length * D);
      rows.forEach((row, t) => x.set(rowOf(weights[`bert.embeddings.${name}.weight`], row, D), t * D));
      return x;
    };
    const token = pick("word_embeddings", ids);
    const position = pick("position_embeddings", ids.map((_, t) => t));
    const segment = pick("token_type_embeddings", segments);
    const sum = add(add(token, position), segment);
    return { token, position, segment, sum, states: this.norm("bert.embeddings.norm", sum) };
  }

  /**
   * Self-attention over states x (T, D), and its output projection.
   * Heads in the set `off` give 0 in place of their context, as minibert.analysis.ablation does.
   */
  attend(layer, x, off) {
    const name = `bert.encoder.layers.${layer}.attention`;
    const [query, key, value] = ["query", "key", "value"].map((part) => this.linear(`${name}.${part}`, x));
    const isOff = (head) => off.has(`${layer},${head}`);
    const found = attention(query, key, value, this.D, this.H, isOff);
    return { query, key, value, ...found, output: this.linear(`${name}.output`, found.context) };
  }

  /** One block: attention, then feed-forward, each with a residual sum and LayerNorm. */
  block(layer, x, off) {
    const name = `bert.encoder.layers.${layer}`;
    const attention = this.attend(layer, x, off);
    const attended = this.norm(`${name}.attention_norm`, add(x, attention.output));
    const inner = this.linear(`${name}.feed_forward.intermediate`, attended).map(this.activation);
    const forward = this.linear(`${name}.feed_forward.output`, inner);
    const states = this.norm(`${name}.feed_forward_norm`, add(attended, forward));
    return { attention, attended, inner, forward, states };
  }

  /**
   * The whole encoder, layer by layer: a generator, so that whoever runs it can pause between two
   * layers. Returns `{embeddings, blocks}`.
   */
  *run(ids, segments, off = new Set()) {
    const embeddings = this.embed(ids, segments);
    const blocks = [];
    let x = embeddings.states;
    for (let layer = 0; layer < this.L; layer++) {
      yield layer;
      const block = this.block(layer, x, off);
      blocks.push(block);
      x = block.states;
    }
    return { embeddings, blocks };
  }

  /** The MLM head over states (M, D): the transformed states (M, D) and logits (M, V). */
  predict(x) {
    const dense = this.linear("mlm_head.dense", x).map(this.activation);
    const transformed = this.norm("mlm_head.norm", dense);
    const tokens = this.weights["bert.embeddings.word_embeddings.weight"]; // the decoder is tied
    return { transformed, logits: linear(transformed, tokens, this.weights["mlm_head.decoder.bias"]) };
  }

  /** `[CLS]`'s state of the last layer (T, D), through the pooler: (D). */
  pool(states) {
    return this.linear("bert.pooler", rowOf(states, 0, this.D)).map(Math.tanh);
  }

  /** The logits of NSP, or null: is next, is random. */
  nextSentence(states) {
    return this.has("nsp_head.weight") ? this.linear("nsp_head", this.pool(states)) : null;
  }

  /** The logits of a classifier (C), or null. */
  classify(states) {
    if (!this.has("classifier.weight")) return null;
    return this.linear("classifier", POOLINGS[this.config.pooling](this, states));
  }

  /** The mean of all rows (T, D): (D). */
  mean(states) {
    const mean = new Float32Array(this.D);
    states.forEach((value, i) => { mean[i % this.D] += (value * this.D) / states.length; });
    return mean;
  }

  /** Attention whose single query is the mean of all tokens: (D). */
  poolByQuery(states) {
    const linear = (part, x) => this.linear(`pooling_layer.attention.${part}`, x);
    const query = linear("query", this.mean(states));
    const { context } = attention(query, linear("key", states), linear("value", states), this.D, this.H);
    return linear("output", context);
  }
}

/** How a text's states become one vector, by the name in `pooling`. */
const POOLINGS = {
  cls: (bert, states) => bert.pool(states),
  mean: (bert, states) => bert.mean(states),
  query: (bert, states) => bert.poolByQuery(states),
};
