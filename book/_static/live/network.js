// The shipped defect networks, plain and with CBAM, from their own weight files, and Grad-CAM of them.
// @ts-check

/** @typedef {Record<string, {shape: number[], data: Float32Array}>} Weights */

/**
 * The tensors of a safetensors file: eight bytes for the length of the header, the header as JSON, the numbers.
 * @param {ArrayBuffer} bytes @returns {Weights}
 */
function readSafetensors(bytes) {
  const length = Number(new DataView(bytes).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 8, length)));
  /** @type {Weights} */
  const weights = {};
  for (const [name, entry] of Object.entries(header)) {
    if (entry.dtype !== "F32") continue;
    const [from, to] = entry.data_offsets;
    weights[name] = { shape: entry.shape, data: new Float32Array(bytes.slice(8 + length + from, 8 + length + to)) };
  }
  return weights;
}

class LiveNetwork {
  /** @param {Weights} weights */
  constructor(weights) {
    this.weights = weights;
  }

  /** @param {string} name @returns {Norm} */
  norm(name) {
    const { weights } = this;
    const [weight, bias, mean, variance] = ["weight", "bias", "running_mean", "running_var"].map((part) => weights[`${name}.${part}`].data);
    return { weight, bias, mean, variance, epsilon: 1e-5 };
  }

  /** A convolution and its norm. @param {LiveMap} x @param {string} conv @param {string} norm @param {number} stride */
  filtered(x, conv, norm, stride) {
    const { shape, data } = this.weights[`${conv}.weight`];
    return Live.norm(Live.convolve(x, data, shape[0], shape[2], stride), this.norm(norm));
  }

  /**
   * CBAM as chapter 3 writes it, (2) and (3). With `open`, both gates are 1.
   * @param {LiveMap} F @param {string} name @param {boolean} open @param {Gates} gates
   */
  attention(F, name, open, gates) {
    if (!(`${name}.channel_attention.W_0.weight` in this.weights)) return F;
    const w = (/** @type {string} */ part) => this.weights[`${name}.channel_attention.${part}`].data;
    const mlp = (/** @type {LiveMap} */ d) => Live.linear(Live.relu(Live.linear(d, w("W_0.weight"), w("W_0.bias"))), w("W_1.weight"), w("W_1.bias"));
    const M_c = Live.sigmoid(Live.add(mlp(Live.average(F)), mlp(Live.maximum(F))));
    const F_prime = open ? F : Live.scale(F, M_c);
    const spatial = `${name}.spatial_attention`;
    const kernel = this.weights[`${spatial}.conv.weight`];
    const z = Live.convolve(Live.descriptors(F_prime), kernel.data, 1, kernel.shape[2], 1);
    const M_s = Live.sigmoid(Live.norm(z, this.norm(`${spatial}.norm`)));
    gates.push({ name, M_c, M_s });
    return open ? F : Live.scale(F_prime, M_s);
  }

  /**
   * Logits, gates and the output of each stage for an image (3, H, W) with values from 0 to 1.
   * @param {Float64Array} image @param {number} H @param {number} W @param {boolean=} open gates
   */
  run(image, H, W, open = false) {
    /** @type {Gates} */
    const gates = [];
    let x = Live.relu(this.filtered(new LiveMap(3, H, W, image), "conv1", "bn1", 2));
    /** @type {Record<string, LiveMap>} */
    const stages = {};
    for (const stage of ["layer1", "layer2", "layer3", "layer4"]) {
      const block = `${stage}.0`;
      const stride = stage === "layer1" ? 1 : 2;
      const inside = Live.relu(this.filtered(x, `${block}.conv1`, `${block}.bn1`, stride));
      const F = this.filtered(inside, `${block}.conv2`, `${block}.bn2`, 1);
      const projected = `${block}.downsample.0.weight` in this.weights;
      const shortcut = projected ? this.filtered(x, `${block}.downsample.0`, `${block}.downsample.1`, stride) : x;
      x = Live.relu(Live.add(this.attention(F, `${block}.attention`, open, gates), shortcut));
      stages[stage] = x;
    }
    const logits = Live.linear(Live.average(x), this.weights["fc.weight"].data, this.weights["fc.bias"].data);
    return { logits, gates, stages };
  }

  /**
   * The run, and Grad-CAM's signed map of one class at one stage: the channels weighed by their mean gradient.
   * @param {Float64Array} image @param {number} H @param {number} W @param {string} stage @param {number | null} label
   * @param {boolean=} open
   */
  explain(image, H, W, stage, label, open = false) {
    const found = withGradient(
      () => this.run(image, H, W, open),
      ({ logits }) => [logits, label ?? argmax(logits.data)],
    );
    const A = found.stages[stage];
    const P = A.H * A.W;
    const map = new Float64Array(P);
    for (let c = 0; c < A.C; c++) {
      const w = A.grad.subarray(c * P, (c + 1) * P).reduce((sum, g) => sum + g, 0) / P;
      for (let n = 0; n < P; n++) map[n] += w * A.data[c * P + n];
    }
    return { ...found, map: { H: A.H, W: A.W, data: map } };
  }
}

/** @typedef {{name: string, M_c: LiveMap, M_s: LiveMap}[]} Gates */

/** @param {ArrayLike<number>} values */
function argmax(values) {
  return Array.from(values).reduce((best, value, n) => (value > values[best] ? n : best), 0);
}

/** @param {ArrayLike<number>} logits */
function softmax(logits) {
  const most = Math.max(...Array.from(logits));
  const powers = Array.from(logits, (z) => Math.exp(z - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}
