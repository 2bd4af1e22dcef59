// Step a kernel over the picture: Eq. (1) of chapter 1 with numbers that a reader can change, in its two readings.
// @ts-check

const PICTURE = [3, 0, 1, 2, 7, 1, 5, 8, 9, 3, 2, 7, 2, 5, 1, 0, 1, 3, 1, 7, 4, 2, 1, 6, 2];
const EDGE = [1, 0, -1, 1, 0, -1, 1, 0, -1];
const N = 5;
const K = 3;

/**
 * One partial map: one channel (5, 5) under one slice of a kernel (3, 3), with zeros around it.
 * @param {number[]} X @param {number[]} slice @param {number} stride @param {number} padding
 */
function partialMap(X, slice, stride, padding) {
  const size = Math.floor((N + 2 * padding - K) / stride) + 1;
  return Array.from({ length: size * size }, (_, n) => products(X, slice, stride, padding, Math.floor(n / size), n % size).reduce((sum, [x, k]) => sum + x * k, 0));
}

/**
 * The nine pairs, number of the picture and number of the kernel, behind Y(i, j).
 * @param {number[]} X @param {number[]} slice @param {number} stride @param {number} padding @param {number} i @param {number} j
 */
function products(X, slice, stride, padding, i, j) {
  return slice.map((k, n) => {
    const row = i * stride + Math.floor(n / K) - padding;
    const column = j * stride + (n % K) - padding;
    const inside = row >= 0 && row < N && column >= 0 && column < N;
    return [inside ? X[row * N + column] : 0, k];
  });
}

class StepAKernel {
  /** @param {HTMLElement} place @param {string} link */
  constructor(place, link) {
    this.place = place;
    /** X[c], kernels[o][c] */
    this.X = [PICTURE, PICTURE.map((_, n) => PICTURE[24 - n]), PICTURE.map((value) => 9 - value)];
    this.kernels = [[EDGE, [0, 0, 0, 0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0]], [[1, 1, 1, 0, 0, 0, -1, -1, -1], EDGE, [0, 1, 0, 0, 0, 0, 0, 0, 0]]];
    this.at = 0;
    this.read(link);
    this.build();
  }

  /** The settings, then the tables that they need. */
  build() {
    const again = () => this.tables();
    const kept = (/** @type {HTMLSelectElement | undefined} */ list, /** @type {string} */ usual) => list?.value ?? usual;
    this.channels = choice([["1", "1 channel, 1 kernel"], ["3", "3 channels, 2 kernels"]], kept(this.channels, this.first?.[0] ?? "1"), again);
    this.view = choice([["kernel 0", "kernel 0: all its slices, added"], ["kernel 1", "kernel 1: all its slices, added"], ...[0, 1, 2].map((c) => /** @type {[string, string]} */ ([`channel ${c}`, `channel ${c}: its slice of each kernel`]))], this.first?.[1] ?? "kernel 0", again);
    this.stride = choice([["1", "1"], ["2", "2"]], this.first?.[2] ?? "1", again);
    this.padding = choice([["0", "0"], ["1", "1"], ["2", "2"]], this.first?.[3] ?? "0", again);
    this.viewRow = labelled("View", this.view);
    this.body = make("div", {});
    this.sum = make("p", { role: "status", class: "live-sum" });
    this.told = make("p", { role: "status", class: "live-told" });
    const step = (/** @type {number} */ by) => () => { this.at = (this.at + by + this.size ** 2) % this.size ** 2; this.update(); };
    this.place.replaceChildren(make("div", {},
      make("div", { class: "live-controls" }, labelled("Picture", this.channels), this.viewRow, labelled("Stride s", this.stride), labelled("Padding p", this.padding)),
      this.body, this.sum,
      make("p", { class: "live-buttons" },
        make("button", { type: "button", onclick: step(-1) }, "Step back"),
        make("button", { type: "button", onclick: step(1) }, "Step"),
        make("button", { type: "button", onclick: () => this.share() }, "Copy link")), this.told));
    this.tables();
  }

  get s() { return Number(this.stride?.value); }
  get p() { return Number(this.padding?.value); }
  get size() { return Math.floor((N + 2 * this.p - K) / this.s) + 1; }

  /** The pairs (kernel o, channel c) that this view shows. @returns {[number, number][]} */
  get pairs() {
    if (this.channels?.value === "1") return [[0, 0]];
    const [kind, number] = /** @type {string} */ (this.view?.value).split(" ");
    return kind === "kernel" ? [0, 1, 2].map((c) => [Number(number), c]) : [0, 1].map((o) => [o, Number(number)]);
  }

  /** Whether the partial maps on the screen belong to one kernel, and are added. */
  get added() {
    return this.channels?.value === "3" && this.view?.value.startsWith("kernel");
  }

  tables() {
    if (this.viewRow) this.viewRow.hidden = this.channels?.value === "1";
    this.at = Math.min(this.at, this.size ** 2 - 1);
    const update = () => this.update();
    this.rows = this.pairs.map(([o, c]) => {
      const one = this.pairs.length === 1;
      const X = new Numbers(one ? "X" : `X, channel ${c}`, `picture, channel ${c}`, N, N, (values) => { this.X[c] = values; update(); }, "input");
      const slice = new Numbers(one ? "K" : `K, kernel ${o}, slice ${c}`, `kernel ${o}, slice ${c}`, K, K, (values) => { this.kernels[o][c] = values; update(); }, "channel");
      const Y = new Numbers(one ? "Y" : "partial map", `output of kernel ${o}, channel ${c}`, this.size, this.size, undefined, "output");
      X.set(this.X[c]);
      slice.set(this.kernels[o][c]);
      Y.cells.forEach((cell, n) => cell.addEventListener("click", () => { this.at = n; this.update(); }));
      return { o, c, X, slice, Y };
    });
    this.total = this.added ? new Numbers("Y: all added", "sum of the partial maps", this.size, this.size, undefined, "output") : null;
    this.body?.replaceChildren(...this.rows.map(({ X, slice, Y }) => row(X, "⋆", slice, "=", Y)), ...(this.total ? [row("all added:", this.total)] : []));
    this.update();
  }

  update() {
    const i = Math.floor(this.at / this.size);
    const j = this.at % this.size;
    const sums = new Array(this.size ** 2).fill(0);
    const lines = (this.rows ?? []).map(({ o, c, X, slice, Y }) => {
      const map = partialMap(this.X[c], this.kernels[o][c], this.s, this.p);
      map.forEach((value, n) => (sums[n] += value));
      this.rows?.filter((other) => other.c === c).forEach((other) => other.X.set(this.X[c]));
      Y.set(map);
      Y.mark((n) => n === this.at);
      X.mark((n) => this.under(n, i, j));
      const pairs = products(this.X[c], this.kernels[o][c], this.s, this.p, i, j);
      const terms = pairs.map(([x, k]) => `${bracket(x)}·${bracket(k)}`).join(" + ");
      const name = this.rows?.length === 1 ? `Y(${i}, ${j})` : `kernel ${o}, channel ${c}, place (${i}, ${j})`;
      slice.mark(() => false);
      return `${name} = ${terms} = ${short(map[this.at])}`;
    });
    this.total?.set(sums);
    this.total?.mark((n) => n === this.at);
    if (this.total) lines.push(`Y(${i}, ${j}) = ${short(sums[this.at])}`);
    this.sum?.replaceChildren(...lines.map((line) => make("span", {}, line)));
  }

  /** Whether a number of the picture lies under the kernel. @param {number} n @param {number} i @param {number} j */
  under(n, i, j) {
    const row = Math.floor(n / N) + this.p - i * this.s;
    const column = (n % N) + this.p - j * this.s;
    return row >= 0 && row < K && column >= 0 && column < K;
  }

  // ---- a link keeps it --------------------------------------------------------------------------------------------------

  share() {
    const settings = [this.channels, this.view, this.stride, this.padding].map((list) => list?.value.replace(" ", "_"));
    const numbers = [...this.X.flat(), ...this.kernels.flat(2)];
    shareLink(`#kernel=${[...settings, this.at, ...numbers].join(",")}`, this.told);
  }

  /** @param {string} link */
  read(link) {
    const parts = link.replace("#kernel=", "").split(",");
    const numbers = parts.slice(5).map(Number);
    if (!link || numbers.length !== 3 * N * N + 6 * K * K || !numbers.every(Number.isFinite)) return;
    this.first = parts.slice(0, 4).map((text) => text.replace("_", " "));
    this.at = Math.max(0, Math.floor(Number(parts[4])) || 0);
    this.X = [0, 1, 2].map((c) => numbers.slice(c * N * N, (c + 1) * N * N));
    const slices = Array.from({ length: 6 }, (_, n) => numbers.slice(3 * N * N + n * K * K, 3 * N * N + (n + 1) * K * K));
    this.kernels = [slices.slice(0, 3), slices.slice(3)];
  }
}

/** @param {number} value */
function bracket(value) {
  return value < 0 ? `(${short(value)})` : short(value);
}

LiveFigures.kernel = (place, link) => void new StepAKernel(place, link);
