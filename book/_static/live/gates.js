// Move a number and see where it goes: SE, or CBAM with a 3 x 3 convolution, on a map that is small enough to print.
// @ts-check

/**
 * @typedef {{F: number[][], W_0: number[], W_1: number[], kernel: number[]}} Story two channels of 3 x 3, one or two hidden units
 * @typedef {Record<string, number[]>} Found every number on the screen by its symbol
 */

const PEAK = [1, 2, 1, 2, 6, 2, 1, 2, 1];
const FLAT = [2, 2, 2, 2, 2, 2, 2, 2, 2];
const CENTRE = [0, 0, 0, 0, 1, 0, 0, 0, 0];
const AROUND = [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5];
/** @type {Record<string, Story>} */
const STORIES = {
  "Equal averages, different peaks": { F: [PEAK, FLAT], W_0: [1, -1], W_1: [1, -1], kernel: [...FLAT.map(() => 0), ...CENTRE] },
  "A dead gate: the hidden unit is silent": { F: [PEAK, FLAT], W_0: [-1, -1], W_1: [1, -1], kernel: [...CENTRE, ...CENTRE] },
  "The average decides where": { F: [PEAK, FLAT], W_0: [1, -1], W_1: [1, -1], kernel: [...AROUND, ...FLAT.map(() => 0)] },
  "The maximum decides where": { F: [PEAK, FLAT], W_0: [1, -1], W_1: [1, -1], kernel: [...FLAT.map(() => 0), ...AROUND] },
  "The gate of channels hides the peak: change the order": { F: [PEAK, FLAT], W_0: [1, -1], W_1: [-1, 1], kernel: [...FLAT.map(() => 0), ...CENTRE] },
};
const SIDE_OF_MAP = 3;
const sigma = (/** @type {number} */ z) => 1 / (1 + Math.exp(-z));
const meanOf = (/** @type {number[]} */ values) => values.reduce((a, b) => a + b, 0) / values.length;

/**
 * CBAM, equations (2) and (3) of chapter 3, step by step; with `placesFirst` the two gates change their places.
 * @param {Story} story @param {boolean=} placesFirst @returns {Found}
 */
function cbam(story, placesFirst = false) {
  const first = placesFirst ? whichPlaces(story.F, story) : whichChannels(story.F, story);
  const F_prime = scaled(story.F, first);
  const second = placesFirst ? whichChannels(F_prime, story) : whichPlaces(F_prime, story);
  const F_second = scaled(F_prime, second);
  return { ...first, ...second, "F′0": F_prime[0], "F′1": F_prime[1], "F″0": F_second[0], "F″1": F_second[1] };
}

/** @param {number[][]} F @param {Story} story @returns {Found} */
function whichChannels(F, { W_0, W_1 }) {
  const neuron = (/** @type {number[]} */ d) => Math.max(0, d.reduce((sum, value, c) => sum + W_0[c] * value, 0));
  const F_avg = F.map(meanOf);
  const F_max = F.map((channel) => Math.max(...channel));
  const hidden = [neuron(F_avg), neuron(F_max)];
  const z = W_1.map((w) => w * hidden[0] + w * hidden[1]);
  return { F_avg, F_max, hidden, z, M_c: z.map(sigma) };
}

/** @param {number[][]} F @param {Story} story @returns {Found} */
function whichPlaces(F, { kernel }) {
  const map_avg = F[0].map((_, n) => meanOf(F.map((channel) => channel[n])));
  const map_max = F[0].map((_, n) => Math.max(...F.map((channel) => channel[n])));
  const z_s = map_avg.map((_, n) => filtered(map_avg, kernel.slice(0, 9), n) + filtered(map_max, kernel.slice(9), n));
  return { map_avg, map_max, z_s, M_s: z_s.map(sigma) };
}

/** A map times a gate of channels or of places. @param {number[][]} F @param {Found} gate */
function scaled(F, { M_c, M_s }) {
  return F.map((channel, c) => channel.map((value, n) => value * (M_c ? M_c[c] : M_s[n])));
}

/** SE, equations of chapter 2, without biases. @param {Story} story @returns {Found} */
function se({ F, W_0, W_1 }) {
  const z = F.map(meanOf);
  const hidden = [Math.max(0, z.reduce((sum, value, c) => sum + W_0[c] * value, 0))];
  const s = W_1.map((w) => sigma(w * hidden[0]));
  return { z_c: z, hidden, s, "F̃0": F[0].map((value) => value * s[0]), "F̃1": F[1].map((value) => value * s[1]) };
}

/** One place of a 3 x 3 convolution with zeros around. @param {number[]} map @param {number[]} kernel @param {number} n */
function filtered(map, kernel, n) {
  return kernel.reduce((sum, weight, k) => {
    const i = Math.floor(n / SIDE_OF_MAP) + Math.floor(k / 3) - 1;
    const j = (n % SIDE_OF_MAP) + (k % 3) - 1;
    const inside = i >= 0 && i < SIDE_OF_MAP && j >= 0 && j < SIDE_OF_MAP;
    return sum + (inside ? weight * map[i * SIDE_OF_MAP + j] : 0);
  }, 0);
}

class MoveANumber {
  /** @param {HTMLElement} place @param {string} link */
  constructor(place, link) {
    this.se = place.dataset.mode === "SE";
    this.placesFirst = false;
    this.compute = (/** @type {Story} */ story) => (this.se ? se(story) : cbam(story, this.placesFirst));
    /** @type {Map<Numbers, () => number[]>} where the numbers of a table that a reader may change are kept */
    this.sources = new Map();
    /** @type {Record<string, Numbers>} */
    this.found = {};
    this.story = structuredClone(Object.values(STORIES)[0]);
    this.read(link);
    this.build(place);
    this.update();
  }

  /** @param {HTMLElement} place */
  build(place) {
    const names = Object.keys(STORIES).filter((_, n) => !this.se || n < 2);
    const stories = choice(names.map((name) => [name, name]), names[0], () => {
      this.story = structuredClone(STORIES[stories.value]);
      this.update();
    });
    const given = (/** @type {string} */ symbol, /** @type {string} */ name, /** @type {number} */ rows, /** @type {number} */ columns, /** @type {() => number[]} */ values, /** @type {string} */ colour) => {
      const table = new Numbers(symbol, name, rows, columns, () => this.update(), colour);
      this.watch(table, values);
      return table;
    };
    const first = this.se ? "W₁" : "W₀";
    const second = this.se ? "W₂" : "W₁";
    this.given = {
      F0: given("F, channel 0", "F, channel 0", 3, 3, () => this.story.F[0], "input"),
      F1: given("F, channel 1", "F, channel 1", 3, 3, () => this.story.F[1], "input"),
      W_0: given(first, `weights ${first}`, 1, 2, () => this.story.W_0, "channel"),
      W_1: given(second, `weights ${second}`, 2, 1, () => this.story.W_1, "channel"),
    };
    const found = (/** @type {string} */ key, /** @type {string} */ symbol, /** @type {string} */ name, /** @type {number} */ rows, /** @type {number} */ columns, /** @type {string} */ colour) => (this.found[key] = new Numbers(symbol, name, rows, columns, undefined, colour));
    const lines = this.se ? this.linesOfSE(found) : this.linesOfCBAM(found, given);
    const order = choice([["", "which channels, then where (CBAM)"], ["places", "where, then which channels"]], this.placesFirst ? "places" : "", () => {
      this.placesFirst = order.value !== "";
      this.build(place);
      this.update();
      this.order?.focus();
    });
    this.order = order;
    this.told = make("p", { role: "status", class: "live-told" });
    this.status = make("p", { role: "status", class: "live-sum" });
    place.replaceChildren(make("div", {}, make("div", { class: "live-controls" }, labelled("Story", stories), ...(this.se ? [] : [labelled("Order", order)])), ...lines, this.status,
      make("p", { class: "live-buttons" }, make("button", { type: "button", onclick: () => this.share() }, "Copy link")), this.told));
  }

  /** @param {Function} found */
  linesOfSE(found) {
    const g = /** @type {any} */ (this.given);
    return [
      row(g.F0, g.F1),
      row("squeeze:", found("z_c", "z", "z, the averages", 2, 1, "channel")),
      row("excite:", g.W_0, found("hidden", "δ(W₁ z)", "hidden unit", 1, 1, "channel"), g.W_1, found("s", "s", "s, the gates", 2, 1, "channel")),
      row("scale:", found("F̃0", "F̃, channel 0", "F tilde, channel 0", 3, 3, "output"), found("F̃1", "F̃, channel 1", "F tilde, channel 1", 3, 3, "output")),
    ];
  }

  /** @param {Function} found @param {Function} given */
  linesOfCBAM(found, given) {
    const g = /** @type {any} */ (this.given);
    g.K_avg = given("kernel over averages", "kernel over averages", 3, 3, () => this.story.kernel.slice(0, 9), "spatial");
    g.K_max = given("kernel over maxima", "kernel over maxima", 3, 3, () => this.story.kernel.slice(9), "spatial");
    const F = this.placesFirst ? "F′" : "F";
    const channels = [
      row("describe:", found("F_avg", `${F} avg`, "the averages", 2, 1, "channel"), found("F_max", `${F} max`, "the maxima", 2, 1, "channel")),
      row("one shared MLP:", g.W_0, found("hidden", "hidden, avg and max", "hidden unit for average and maximum", 1, 2, "channel"), g.W_1, found("z", "z, added", "z, the sum of both", 2, 1, "channel"), found("M_c", "M_c = σ(z)", "M c, the channel gate", 2, 1, "channel")),
    ];
    const G = this.placesFirst ? "F" : "F′";
    const places = [
      row("over channels:", found("map_avg", `average of ${G}`, "average over channels", 3, 3, "spatial"), found("map_max", `maximum of ${G}`, "maximum over channels", 3, 3, "spatial")),
      row("convolve:", g.K_avg, g.K_max, found("z_s", "z, a place each", "z of each place", 3, 3, "spatial"), found("M_s", "M_s = σ(z)", "M s, the spatial gate", 3, 3, "spatial")),
    ];
    const [gate, other] = this.placesFirst ? ["M_s", "M_c"] : ["M_c", "M_s"];
    return [
      row(g.F0, g.F1),
      ...(this.placesFirst ? places : channels),
      row(`F′ = ${gate} ⊗ F:`, found("F′0", "F′, channel 0", "F prime, channel 0", 3, 3, "neutral"), found("F′1", "F′, channel 1", "F prime, channel 1", 3, 3, "neutral")),
      ...(this.placesFirst ? channels : places),
      row(`F″ = ${other} ⊗ F′:`, found("F″0", "F″, channel 0", "F second, channel 0", 3, 3, "output"), found("F″1", "F″, channel 1", "F second, channel 1", 3, 3, "output")),
    ];
  }

  /** While a number has the focus or the pointer, mark all that changes when it moves. @param {Numbers} table @param {() => number[]} values */
  watch(table, values) {
    table.cells.forEach((cell, n) => {
      const show = () => this.mark(table, n);
      const hide = () => this.mark(null, 0);
      cell.addEventListener("focusin", show);
      cell.addEventListener("pointerenter", show);
      cell.addEventListener("focusout", hide);
      cell.addEventListener("pointerleave", () => !cell.contains(document.activeElement) && hide());
    });
    this.sources.set(table, values);
  }

  /** @param {Numbers | null} table @param {number} n */
  mark(table, n) {
    const before = this.compute(this.story);
    const moved = structuredClone(this.story);
    if (table) this.put(moved, table, n, table.values[n] + 1e-3);
    const after = this.compute(moved);
    for (const [key, found] of Object.entries(this.found)) {
      found.mark((m) => table !== null && Math.abs(after[key][m] - before[key][m]) > 1e-12);
    }
  }

  /** @param {Story} story @param {Numbers} table @param {number} n @param {number} value */
  put(story, table, n, value) {
    const g = /** @type {any} */ (this.given);
    if (table === g.F0) story.F[0][n] = value;
    else if (table === g.F1) story.F[1][n] = value;
    else if (table === g.W_0) story.W_0[n] = value;
    else if (table === g.W_1) story.W_1[n] = value;
    else story.kernel[(table === g.K_max ? 9 : 0) + n] = value;
  }

  /** All numbers anew: from the fields if a reader changed one, else from the story. */
  update() {
    const tables = Object.values(this.given ?? {});
    const edited = tables.find((table) => table.cells.some((cell) => cell.contains(document.activeElement)));
    if (edited) edited.values.forEach((value, n) => this.put(this.story, edited, n, value));
    tables.forEach((table) => table.set(this.sources.get(table)?.() ?? []));
    const found = this.compute(this.story);
    Object.entries(this.found).forEach(([key, table]) => table.set(found[key]));
    const gates = this.se ? found.s : found.M_c;
    const words = this.se ? "s" : "M_c";
    if (this.status) this.status.textContent = `${words} = (${gates.map(short).join(", ")})` + (this.se ? "" : `; M_s in the middle = ${short(found.M_s[4])}, in the corner = ${short(found.M_s[0])}`);
  }

  // ---- a link keeps it --------------------------------------------------------------------------------------------------

  share() {
    const { F, W_0, W_1, kernel } = this.story;
    shareLink(`#gates=${[...F.flat(), ...W_0, ...W_1, ...kernel].join(",")}`, this.told);
  }

  /** @param {string} link */
  read(link) {
    const numbers = link.replace("#gates=", "").split(",").map(Number);
    if (!link || numbers.length !== 40 || !numbers.every(Number.isFinite)) return;
    const [F0, F1, W_0, W_1, kernel] = [[0, 9], [9, 18], [18, 20], [20, 22], [22, 40]].map(([from, to]) => numbers.slice(from, to));
    this.story = { F: [F0, F1], W_0, W_1, kernel };
  }
}

LiveFigures.gates = (place, link) => void new MoveANumber(place, link);
