// What the live figures share: making elements, colours, and pictures of numbers.
// @ts-check

/**
 * An element with attributes and children; `on...` attributes are listeners.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {Record<string, any>} attributes @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children);
  return element;
}

/** A labelled control. @param {string} label @param {HTMLElement} control */
function labelled(label, control) {
  control.id = `live-${(labels += 1)}`;
  return make("div", { class: "live-control" }, make("label", { for: control.id }, label), control);
}

let labels = 0;

/** A list to choose from. @param {[string, string][]} options value and text @param {string} chosen @param {() => void} changed */
function choice(options, chosen, changed) {
  const list = make("select", { onchange: changed });
  list.append(...options.map(([value, text]) => make("option", { value, selected: value === chosen }, text)));
  return list;
}

// Matplotlib's viridis at nine places, which the book uses for gates and for maps of values from 0 up.
const VIRIDIS = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37]];

/** The colour of a value from 0 to 1. @param {number} value @returns {number[]} red, green, blue */
function viridis(value) {
  const place = Math.min(Math.max(value, 0), 1) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(place), VIRIDIS.length - 2);
  return VIRIDIS[low].map((part, n) => part + (VIRIDIS[low + 1][n] - part) * (place - low));
}

/**
 * Fill a canvas of W x H pixels with colours; CSS gives it its size on the page.
 * @param {HTMLCanvasElement} canvas @param {number} W @param {number} H @param {(n: number) => number[]} colour red, green, blue
 */
function fill(canvas, W, H, colour) {
  canvas.width = W;
  canvas.height = H;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const picture = context.createImageData(W, H);
  for (let n = 0; n < W * H; n++) {
    picture.data.set([...colour(n).map(Math.round), 255], 4 * n);
  }
  context.putImageData(picture, 0, 0);
}

/**
 * A map (h, w) at H x W, bilinear, corners not aligned.
 * @param {{H: number, W: number, data: Float64Array}} map @param {number} H @param {number} W
 */
function resized(map, H, W) {
  const out = new Float64Array(H * W);
  const line = (/** @type {number} */ place, /** @type {number} */ n, /** @type {number} */ all) => {
    const at = Math.max(0, ((place + 0.5) * n) / all - 0.5);
    const low = Math.min(Math.floor(at), n - 1);
    return { low, high: Math.min(low + 1, n - 1), part: at - low };
  };
  for (let i = 0; i < H; i++) {
    const y = line(i, map.H, H);
    for (let j = 0; j < W; j++) {
      const x = line(j, map.W, W);
      const row = (/** @type {number} */ r) => map.data[r * map.W + x.low] * (1 - x.part) + map.data[r * map.W + x.high] * x.part;
      out[i * W + j] = row(y.low) * (1 - y.part) + row(y.high) * y.part;
    }
  }
  return out;
}

/**
 * The share of a map's positive values that lies in a mask; NaN where it is 0 everywhere.
 * @param {Float64Array} map @param {ArrayLike<number | boolean>} mask
 */
function energy(map, mask) {
  let inside = 0;
  let all = 0;
  map.forEach((value, n) => {
    all += Math.max(0, value);
    inside += mask[n] ? Math.max(0, value) : 0;
  });
  return inside / all;
}

/** The bytes of a base64 text. @param {string} text */
function bytesOf(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** A number as short as it can be: 3, 0.5, 0.982, -4. @param {number} value */
function short(value) {
  const text = Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(3).replace(/\.?0+$/, "");
  return (text === "-0" ? "0" : text).replace("-", "−");
}

/**
 * A table of numbers under the symbol that the equations have for it. Those that a reader may change are fields: type, use the
 * arrow keys, or drag sideways.
 */
class Numbers {
  /**
   * @param {string} symbol as the equations write it, "F′" @param {string} name for a screen reader, "F prime, channel 0"
   * @param {number} rows @param {number} columns @param {((values: number[]) => void)=} changed makes the numbers fields
   * @param {string=} colour "input", "channel", "spatial" or "output": the colour language of the book
   */
  constructor(symbol, name, rows, columns, changed, colour = "") {
    this.values = new Array(rows * columns).fill(0);
    this.changed = changed;
    this.cells = this.values.map((_, n) => this.cell(`${name}, row ${Math.floor(n / columns)}, column ${n % columns}`, n));
    const lines = Array.from({ length: rows }, (_, i) => make("tr", {}, ...this.cells.slice(i * columns, (i + 1) * columns)));
    this.element = make("figure", { class: `live-numbers ${colour && `live-${colour}`}` },
      make("table", { "aria-label": name }, make("tbody", {}, ...lines)), make("figcaption", {}, symbol));
  }

  /** @param {string} name @param {number} n */
  cell(name, n) {
    if (!this.changed) return make("td", {});
    const field = make("input", { type: "number", step: 0.5, "aria-label": name, oninput: () => this.take(n, field.valueAsNumber) });
    let from = /** @type {{x: number, value: number} | null} */ (null);
    field.addEventListener("pointerdown", (event) => { from = { x: event.clientX, value: this.values[n] }; });
    field.addEventListener("pointermove", (event) => {
      if (!from || Math.abs(event.clientX - from.x) < 6) return;
      field.setPointerCapture(event.pointerId);
      this.take(n, from.value + Math.round((event.clientX - from.x) / 8) * 0.5);
      field.value = String(this.values[n]);
    });
    ["pointerup", "pointercancel"].forEach((end) => field.addEventListener(end, () => { from = null; }));
    return make("td", {}, field);
  }

  /** A reader gave a number. @param {number} n @param {number} value */
  take(n, value) {
    if (Number.isFinite(value) && Math.abs(value) <= 1000) {
      this.values[n] = value;
      this.changed?.(this.values);
    }
  }

  /** @param {ArrayLike<number>} values */
  set(values) {
    this.values = Array.from(values);
    this.cells.forEach((cell, n) => {
      const field = cell.querySelector("input");
      if (!field) cell.textContent = short(this.values[n]);
      else if (field !== document.activeElement || field.valueAsNumber !== this.values[n]) field.value = String(this.values[n]);
    });
  }

  /** Mark the numbers of which this says yes. @param {(n: number) => boolean} chosen */
  mark(chosen) {
    this.cells.forEach((cell, n) => cell.classList.toggle("live-marked", chosen(n)));
  }
}

/** A row of tables, with what stands between them. @param {...(Numbers | Node | string)} parts */
function row(...parts) {
  return make("div", { class: "live-row" }, ...parts.map((part) => (part instanceof Numbers ? part.element : typeof part === "string" ? make("span", {}, part) : part)));
}

/** Put the state into the address bar and, where the browser allows it, on the clipboard. @param {string} link @param {HTMLElement | undefined} told */
function shareLink(link, told) {
  history.replaceState(null, "", link);
  const done = () => { if (told) told.textContent = "The link is in the address bar, and copied where the browser allows it."; };
  (navigator.clipboard?.writeText(location.href) ?? Promise.resolve()).then(done, done);
}
