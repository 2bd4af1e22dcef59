// The networks of the book in the reader's browser: a few operations on maps, each of which can pass its gradient back.
// Numbers are what cbam_lite computes: the tests compare them, in a browser. No library, nothing is fetched from elsewhere.
// @ts-check

/** A map (C, H, W), a vector (C, 1, 1), or a gate over places (1, H, W); `back` adds to the gradients of what made it. */
class LiveMap {
  /** @param {number} C @param {number} H @param {number} W @param {Float64Array=} data @param {(() => void)=} back */
  constructor(C, H, W, data, back) {
    this.C = C;
    this.H = H;
    this.W = W;
    this.data = data ?? new Float64Array(C * H * W);
    this.grad = new Float64Array(C * H * W);
    this.back = back ?? (() => {});
    LiveMap.tape?.push(this);
  }

  /** @type {LiveMap[] | null} all maps in the order in which they were made, while a gradient is wanted */
  static tape = null;
}

/**
 * The gradient of one number of `of` by all maps that `compute` made before it.
 * @template T
 * @param {() => T} compute @param {(made: T) => [LiveMap, number]} of @returns {T}
 */
function withGradient(compute, of) {
  const tape = (LiveMap.tape = /** @type {LiveMap[]} */ ([]));
  const made = compute();
  LiveMap.tape = null;
  const [last, index] = of(made);
  last.grad[index] = 1;
  for (const map of tape.reverse()) {
    map.back();
  }
  return made;
}

const Live = {
  /**
   * Equation (1) of chapter 1 at every place: all kernels (O, C, k, k) over all channels, with zeros around the map.
   * @param {LiveMap} x @param {Float32Array} kernels @param {number} O @param {number} k @param {number} stride
   */
  convolve(x, kernels, O, k, stride) {
    const { C, H, W } = x;
    const p = k >> 1;
    const rows = Math.floor((H + 2 * p - k) / stride) + 1;
    const columns = Math.floor((W + 2 * p - k) / stride) + 1;
    const y = new LiveMap(O, rows, columns);
    // Each row under one weight of one kernel: `visit(index in y, index in x, weight, how many)`.
    const walk = (/** @type {(y: number, x: number, k: number, n: number) => void} */ visit) => {
      for (let weight = 0; weight < O * C * k * k; weight++) {
        const b = weight % k;
        const a = Math.floor(weight / k) % k;
        const c = Math.floor(weight / (k * k)) % C;
        const o = Math.floor(weight / (k * k * C));
        const from = Math.max(0, Math.ceil((p - b) / stride));
        const to = Math.min(columns, Math.floor((W - 1 + p - b) / stride) + 1);
        for (let i = 0; i < rows; i++) {
          const row = i * stride + a - p;
          if (row < 0 || row >= H) continue;
          visit((o * rows + i) * columns + from, (c * H + row) * W + from * stride + b - p, kernels[weight], to - from);
        }
      }
    };
    const from = x.data;
    const to = y.data;
    walk((t, s, weight, n) => {
      for (; n > 0; n--, t++, s += stride) to[t] += weight * from[s];
    });
    const behind = y.grad;
    const before = x.grad;
    y.back = () => walk((t, s, weight, n) => {
      for (; n > 0; n--, t++, s += stride) before[s] += weight * behind[t];
    });
    return y;
  },

  /** A norm in evaluation: each channel times a number, plus a number. @param {LiveMap} x @param {Norm} norm */
  norm(x, norm) {
    const y = new LiveMap(x.C, x.H, x.W);
    const P = x.H * x.W;
    const scale = norm.weight.map((gamma, c) => gamma / Math.sqrt(norm.variance[c] + norm.epsilon));
    for (let n = 0; n < y.data.length; n++) {
      const c = Math.floor(n / P);
      y.data[n] = (x.data[n] - norm.mean[c]) * scale[c] + norm.bias[c];
    }
    y.back = () => y.grad.forEach((g, n) => (x.grad[n] += g * scale[Math.floor(n / P)]));
    return y;
  },

  /** @param {LiveMap} x */
  relu(x) {
    const y = new LiveMap(x.C, x.H, x.W, x.data.map((value) => Math.max(0, value)));
    y.back = () => y.grad.forEach((g, n) => (x.grad[n] += x.data[n] > 0 ? g : 0));
    return y;
  },

  /** @param {LiveMap} x */
  sigmoid(x) {
    const y = new LiveMap(x.C, x.H, x.W, x.data.map((value) => 1 / (1 + Math.exp(-value))));
    y.back = () => y.grad.forEach((g, n) => (x.grad[n] += g * y.data[n] * (1 - y.data[n])));
    return y;
  },

  /** @param {LiveMap} a @param {LiveMap} b */
  add(a, b) {
    const y = new LiveMap(a.C, a.H, a.W, a.data.map((value, n) => value + b.data[n]));
    y.back = () => y.grad.forEach((g, n) => { a.grad[n] += g; b.grad[n] += g; });
    return y;
  },

  /** The map times a gate, which is repeated to fit: (C, 1, 1) or (1, H, W). @param {LiveMap} x @param {LiveMap} gate */
  scale(x, gate) {
    const P = x.H * x.W;
    const at = gate.H * gate.W === 1 && P > 1 ? (/** @type {number} */ n) => Math.floor(n / P)
      : gate.C === 1 ? (/** @type {number} */ n) => n % P : (/** @type {number} */ n) => n;
    const y = new LiveMap(x.C, x.H, x.W, x.data.map((value, n) => value * gate.data[at(n)]));
    y.back = () => y.grad.forEach((g, n) => {
      x.grad[n] += g * gate.data[at(n)];
      gate.grad[at(n)] += g * x.data[n];
    });
    return y;
  },

  /** The average over places, (C, 1, 1). @param {LiveMap} x */
  average(x) {
    const P = x.H * x.W;
    const y = new LiveMap(x.C, 1, 1);
    x.data.forEach((value, n) => (y.data[Math.floor(n / P)] += value / P));
    y.back = () => x.grad.forEach((_, n) => (x.grad[n] += y.grad[Math.floor(n / P)] / P));
    return y;
  },

  /** The maximum over places, (C, 1, 1). @param {LiveMap} x */
  maximum(x) {
    const P = x.H * x.W;
    return pick(x, x.C, 1, 1, P, (group, n) => group * P + n);
  },

  /** The average and the maximum over channels, stacked: (2, H, W). @param {LiveMap} x */
  descriptors(x) {
    const P = x.H * x.W;
    const mean = new LiveMap(1, x.H, x.W);
    x.data.forEach((value, n) => (mean.data[n % P] += value / x.C));
    mean.back = () => x.grad.forEach((_, n) => (x.grad[n] += mean.grad[n % P] / x.C));
    const most = pick(x, 1, x.H, x.W, x.C, (place, c) => c * P + place);
    const y = new LiveMap(2, x.H, x.W);
    y.data.set(mean.data);
    y.data.set(most.data, P);
    y.back = () => y.grad.forEach((g, n) => ((n < P ? mean : most).grad[n % P] += g));
    return y;
  },

  /** A linear layer on a vector. @param {LiveMap} x @param {Float32Array} weight (O, C) @param {Float32Array=} bias */
  linear(x, weight, bias) {
    const O = weight.length / x.C;
    const y = new LiveMap(O, 1, 1);
    for (let o = 0; o < O; o++) {
      y.data[o] = bias ? bias[o] : 0;
      for (let c = 0; c < x.C; c++) y.data[o] += weight[o * x.C + c] * x.data[c];
    }
    y.back = () => y.grad.forEach((g, o) => x.grad.forEach((_, c) => (x.grad[c] += g * weight[o * x.C + c])));
    return y;
  },
};

/** @typedef {{weight: Float32Array, bias: Float32Array, mean: Float32Array, variance: Float32Array, epsilon: number}} Norm */

/**
 * The maximum of each group; ties share the gradient, as `amax` does.
 * @param {LiveMap} x @param {number} C @param {number} H @param {number} W @param {number} size of a group
 * @param {(group: number, n: number) => number} index
 */
function pick(x, C, H, W, size, index) {
  const y = new LiveMap(C, H, W);
  y.data.fill(-Infinity);
  y.data.forEach((_, group) => {
    for (let n = 0; n < size; n++) y.data[group] = Math.max(y.data[group], x.data[index(group, n)]);
  });
  y.back = () => y.grad.forEach((g, group) => {
    const ties = [];
    for (let n = 0; n < size; n++) if (x.data[index(group, n)] === y.data[group]) ties.push(index(group, n));
    ties.forEach((n) => (x.grad[n] += g / ties.length));
  });
  return y;
}
