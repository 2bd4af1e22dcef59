// Paint a defect: a surface of our generator, a brush, and what two shipped networks say of it at every stroke.
// @ts-check
/* global LIVE_FILES */

/** @typedef {{brush: string, size: number, contrast: number}} Brush */
/** @typedef {{classes: string[], surfaces: {name: string, pixels: string}[], networks: Record<string, string>}} Files */

const SIDE = 64;
const P = SIDE * SIDE;
const BRUSHES = { scratch: "Scratch", crack: "Crack", pit: "Pit", stain: "Stain", eraser: "Eraser" };
const STAGES = ["layer1", "layer2", "layer3", "layer4"];
const BROWN = [0.7, 1, 1.5]; // how a stain's change is shared among red, green and blue

class Surface {
  /** @param {Uint8Array} bytes (3, 64, 64) */
  constructor(bytes) {
    this.clean = Float64Array.from(bytes, (value) => value / 255);
    this.change = new Float64Array(3 * P);
  }

  get pixels() {
    return this.clean.map((value, n) => Math.min(1, Math.max(0, value + this.change[n])));
  }

  /** Where the reader painted. */
  get mask() {
    return Array.from({ length: P }, (_, n) => [0, P, 2 * P].some((c) => Math.abs(this.change[c + n]) > 0.02));
  }

  /** One touch of the brush at (x, y), in pixels. @param {Brush} brush @param {number} x @param {number} y */
  touch({ brush, size, contrast }, x, y) {
    const reach = Math.ceil(3 * size + 2);
    for (let i = Math.max(0, Math.floor(y) - reach); i <= Math.min(SIDE - 1, Math.floor(y) + reach); i++) {
      for (let j = Math.max(0, Math.floor(x) - reach); j <= Math.min(SIDE - 1, Math.floor(x) + reach); j++) {
        const change = contrast * changeAt(brush, size, j + 0.5 - x, i + 0.5 - y);
        for (let c = 0; c < 3; c++) {
          const at = c * P + i * SIDE + j;
          const part = change * (brush === "stain" ? BROWN[c] : 1);
          if (brush === "eraser" ? change : Math.abs(part) > Math.abs(this.change[at])) this.change[at] = brush === "eraser" ? 0 : part;
        }
      }
    }
  }
}

/**
 * How much brighter a pixel gets at (dx, dy) from the brush: the looks of the generator's defects (cbam_lite/training/flaws.py).
 * @param {string} brush @param {number} size @param {number} dx @param {number} dy
 */
function changeAt(brush, size, dx, dy) {
  const inside = (/** @type {number} */ outside) => Math.min(1, Math.max(0, 0.5 - outside));
  const distance = Math.hypot(dx, dy);
  if (brush === "scratch") {
    const core = inside(distance - size / 4);
    const flank = inside(Math.hypot(dx, dy - size / 2) - size / 4);
    return core > 0.3 ? 0.42 * core : -0.22 * flank; // bright where it reflects, with a dark flank
  }
  if (brush === "crack") return -0.42 * inside(distance - size / 4);
  if (brush === "pit") return inside(distance - 0.7 * size) * (-0.28 + (0.3 * (dx + dy)) / size); // bright at the far rim
  if (brush === "stain") return -0.13 * inside(distance - 2.5 * size) - 0.1 * Math.max(0, 1 - Math.abs(distance - 2.5 * size) / 1.6);
  return inside(distance - size);
}

class PaintADefect {
  /** @param {HTMLElement} place @param {Files} files @param {string} link what a link said, or "" */
  constructor(place, files, link) {
    this.files = files;
    this.networks = Object.entries(files.networks).map(([name, text]) => ({ name, net: new LiveNetwork(readSafetensors(bytesOf(text).buffer)) }));
    /** @type {{surface: number, strokes: (Brush & {points: number[]})[]}} */
    this.state = { surface: 0, strokes: [] };
    /** @type {number | undefined} the picture of the screen that will show the last change */
    this.waiting = undefined;
    this.cursor = { x: SIDE / 2, y: SIDE / 2, shown: false };
    this.build(place);
    this.read(link);
    this.repaint();
  }

  // ---- what is on the page --------------------------------------------------------------------------------------------

  /** @param {HTMLElement} place */
  build(place) {
    const again = () => this.show();
    this.surfaces = choice(this.files.surfaces.map(({ name }, n) => [String(n), name]), "0", () => this.start(Number(this.surfaces?.value)));
    this.stage = choice(STAGES.map((stage) => [stage, stage]), "layer3", again);
    this.label = choice([["-1", "what it says"], .../** @type {[string, string][]} */ (this.files.classes.map((name, n) => [String(n), name]))], "-1", again);
    this.size = make("input", { type: "range", min: 1, max: 8, step: 0.5, value: 3 });
    this.contrast = make("input", { type: "range", min: 0.25, max: 1.5, step: 0.25, value: 1 });
    this.open = make("input", { type: "checkbox", onchange: again });
    const brushes = make("fieldset", { class: "live-brushes" }, make("legend", {}, "Brush"));
    this.brushes = Object.entries(BRUSHES).map(([value, text], n) => {
      const radio = make("input", { type: "radio", name: `brush-${PaintADefect.count}`, value, checked: n === 0 });
      brushes.append(make("label", {}, radio, text));
      return radio;
    });
    PaintADefect.count += 1;
    this.canvas = make("canvas", {
      class: "live-canvas", tabindex: 0, role: "application",
      "aria-label": "Surface of 64 by 64 pixels. Paint with the mouse or a finger. With the keyboard: arrow keys move the brush, the space bar paints.",
    });
    this.listen(this.canvas);
    const buttons = make("p", { class: "live-buttons" },
      make("button", { type: "button", onclick: () => this.undo() }, "Undo"),
      make("button", { type: "button", onclick: () => this.start(this.state.surface) }, "Clear"),
      make("button", { type: "button", onclick: () => this.share() }, "Copy link"));
    this.told = make("p", { role: "status", class: "live-told" });
    this.status = make("p", { role: "status", class: "visually-hidden" }); // the cards show the same
    this.cards = this.networks.map(({ name }) => this.card(name));
    place.replaceChildren(make("div", { class: "live-paint" },
      make("div", { class: "live-easel" }, this.canvas, buttons, this.told),
      make("div", { class: "live-controls" }, brushes, labelled("Size", this.size), labelled("Contrast", this.contrast), labelled("Surface", this.surfaces),
        labelled("Map at", this.stage), labelled("of the class", this.label), labelled("Gates off (all 1)", this.open)),
      this.status,
      make("div", { class: "live-cards" }, ...this.cards.map((card) => card.element))));
  }

  /** What one network says. @param {string} name */
  card(name) {
    const map = make("canvas", { class: "live-map", role: "img" });
    const says = make("ol", { class: "live-classes" });
    const inside = make("p", { class: "live-energy" });
    const gates = make("div", { class: "live-gates" });
    const element = make("section", { class: "live-card", "aria-label": `The ${name} network` }, make("p", { class: "live-name" }, name), map, inside, says, gates);
    return { name, element, map, says, inside, gates };
  }

  // ---- painting ---------------------------------------------------------------------------------------------------------

  /** @param {HTMLCanvasElement} canvas */
  listen(canvas) {
    let painting = false;
    const where = (/** @type {PointerEvent} */ event) => {
      const box = canvas.getBoundingClientRect();
      return [((event.clientX - box.left) / box.width) * SIDE, ((event.clientY - box.top) / box.height) * SIDE];
    };
    canvas.addEventListener("pointerdown", (event) => {
      painting = true;
      canvas.setPointerCapture(event.pointerId);
      this.cursor.shown = false;
      this.begin();
      this.stroke(...where(event));
    });
    canvas.addEventListener("pointermove", (event) => painting && this.stroke(...where(event)));
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, () => {
        if (painting) this.say();
        painting = false;
      });
    }
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => { this.cursor.shown = false; this.show(); });
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const move = moves[/** @type {keyof moves} */ (event.key)];
    if (!move && event.key !== " ") return;
    event.preventDefault();
    this.cursor.shown = true;
    if (move) {
      const far = event.shiftKey ? 8 : 2;
      this.cursor.x = Math.min(SIDE - 0.5, Math.max(0.5, this.cursor.x + far * move[0]));
      this.cursor.y = Math.min(SIDE - 0.5, Math.max(0.5, this.cursor.y + far * move[1]));
      this.show();
    } else {
      this.begin();
      this.stroke(this.cursor.x, this.cursor.y);
      this.say();
    }
  }

  begin() {
    const brush = this.brushes?.find((radio) => radio.checked)?.value ?? "scratch";
    this.state.strokes.push({ brush, size: Number(this.size?.value), contrast: Number(this.contrast?.value), points: [] });
  }

  /** @param {...number} point */
  stroke(...point) {
    const stroke = this.state.strokes[this.state.strokes.length - 1];
    const [x, y] = point.map((value) => Math.round(value * 4) / 4);
    this.along(stroke, stroke.points.slice(-2), [x, y]);
    stroke.points.push(x, y);
    this.show();
  }

  /** @param {Brush} stroke @param {number[]} from @param {number[]} to */
  along(stroke, from, to) {
    const [x, y] = from.length ? from : to;
    const steps = Math.max(1, Math.ceil(2 * Math.hypot(to[0] - x, to[1] - y)));
    for (let n = from.length ? 1 : steps; n <= steps; n++) {
      this.surface?.touch(stroke, x + ((to[0] - x) * n) / steps, y + ((to[1] - y) * n) / steps);
    }
  }

  /** @param {number} surface */
  start(surface) {
    this.state = { surface, strokes: [] };
    this.repaint();
  }

  undo() {
    this.state.strokes.pop();
    this.repaint();
  }

  /** The surface and all strokes anew. */
  repaint() {
    this.surface = new Surface(bytesOf(this.files.surfaces[this.state.surface].pixels));
    for (const stroke of this.state.strokes) {
      for (let n = 0; n < stroke.points.length; n += 2) {
        this.along(stroke, n ? stroke.points.slice(n - 2, n) : [], stroke.points.slice(n, n + 2));
      }
    }
    this.show();
    this.say();
  }

  // ---- what the networks say --------------------------------------------------------------------------------------------

  /** At most once for each picture of the screen. */
  show() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = undefined;
      this.draw();
    });
  }

  draw() {
    if (!this.surface || !this.canvas) return;
    const { pixels, mask } = this.surface;
    fill(this.canvas, SIDE, SIDE, (n) => [pixels[n], pixels[P + n], pixels[2 * P + n]].map((value) => 255 * value));
    if (this.cursor.shown) this.cross();
    const label = Number(this.label?.value ?? -1);
    const found = this.networks.map(({ net }) => net.explain(pixels, SIDE, SIDE, this.stage?.value ?? "layer3", label < 0 ? null : label, this.open?.checked));
    this.cards?.forEach((card, n) => this.fillCard(card, found[n], pixels, mask));
  }

  cross() {
    const context = /** @type {CanvasRenderingContext2D} */ (this.canvas?.getContext("2d"));
    context.strokeStyle = "#fff";
    context.strokeRect(this.cursor.x - 2, this.cursor.y - 2, 4, 4);
    context.strokeStyle = "#000";
    context.strokeRect(this.cursor.x - 3, this.cursor.y - 3, 6, 6);
  }

  /** @param {any} card @param {any} found @param {Float64Array} pixels @param {boolean[]} mask */
  fillCard(card, found, pixels, mask) {
    const map = resized(found.map, SIDE, SIDE);
    const most = Math.max(1e-12, ...map);
    fill(card.map, SIDE, SIDE, (n) => {
      const grey = (85 * (pixels[n] + pixels[P + n] + pixels[2 * P + n]));
      const value = Math.max(0, map[n]) / most;
      return viridis(value).map((part) => grey * 0.45 + part * 0.55);
    });
    const chances = softmax(found.logits.data);
    const order = chances.map((_, n) => n).sort((a, b) => chances[b] - chances[a]).slice(0, 3);
    card.says.replaceChildren(...order.map((n) => make("li", { style: `--share: ${100 * chances[n]}%` }, `${this.files.classes[n]} ${percent(chances[n])}`)));
    const painted = mask.filter(Boolean).length / P;
    const share = energy(map, mask);
    const inside = !painted ? "nothing is painted yet" : Number.isNaN(share) ? "the map is empty" : `${percent(share)} of the map's energy lies in what you painted, ${percent(painted)} of the surface`;
    card.inside.textContent = inside;
    card.map.setAttribute("aria-label", `Grad-CAM over the surface; ${inside}`);
    const legend = found.gates.length ? [make("p", { class: "live-legend" }, "Gates of each block, over places and of each channel: dark is 0, bright is 1.")] : [];
    card.gates.replaceChildren(...legend, ...found.gates.flatMap((/** @type {any} */ gate, /** @type {number} */ n) => this.gate(gate, n, mask)));
    card.summary = `${card.name} says ${this.files.classes[order[0]]}, ${percent(chances[order[0]])}; ${inside}`;
  }

  /** Both gates of one block. @param {{M_c: LiveMap, M_s: LiveMap}} gate @param {number} n @param {boolean[]} mask */
  gate({ M_c, M_s }, n, mask) {
    const channels = make("canvas", { class: "live-strip", role: "img", "aria-label": `channel gate of block ${n + 1}, ${M_c.C} values` });
    fill(channels, M_c.C, 1, (c) => viridis(M_c.data[c]));
    const places = make("canvas", { class: "live-places", role: "img", "aria-label": `spatial gate of block ${n + 1}, ${M_s.H} x ${M_s.W} values` });
    fill(places, M_s.W, M_s.H, (place) => viridis(M_s.data[place]));
    const wide = resized(M_s, SIDE, SIDE);
    const mean = (/** @type {boolean} */ inside) => {
      const chosen = wide.filter((_, place) => mask[place] === inside);
      return chosen.length ? (chosen.reduce((a, b) => a + b, 0) / chosen.length).toFixed(2) : "–";
    };
    return [make("div", { class: "live-gate" }, make("span", {}, `block ${n + 1}`), places, channels, make("span", {}, `painted ${mean(true)}, elsewhere ${mean(false)}`))];
  }

  /** Tell a screen reader, once a stroke has ended. */
  say() {
    requestAnimationFrame(() => {
      this.draw();
      if (this.status && this.cards) this.status.textContent = this.cards.map((/** @type {any} */ card) => card.summary).join(". ") + ".";
    });
  }

  // ---- a link keeps it --------------------------------------------------------------------------------------------------

  get link() {
    const strokes = this.state.strokes.map(({ brush, size, contrast, points }) => [Object.keys(BRUSHES).indexOf(brush), size, contrast, ...points].join(","));
    const settings = [this.state.surface, this.stage?.value, this.label?.value, this.open?.checked ? 1 : 0];
    return `#paint=${[settings.join(","), ...strokes].join(";")}`;
  }

  /** @param {string} link */
  read(link) {
    const [settings, ...strokes] = link.replace("#paint=", "").split(";");
    const [surface, stage, label, open] = settings.split(",");
    if (!link || !(Number(surface) >= 0 && Number(surface) < this.files.surfaces.length)) return;
    const lines = strokes.map((text) => text.split(",").map(Number)).filter((line) => line.every(Number.isFinite) && line.length >= 5);
    this.state = { surface: Number(surface), strokes: lines.map(([brush, size, contrast, ...points]) => ({ brush: Object.keys(BRUSHES)[brush] ?? "scratch", size, contrast, points })) };
    if (this.surfaces) this.surfaces.value = surface;
    if (this.stage && STAGES.includes(stage)) this.stage.value = stage;
    if (this.label && Number(label) >= -1 && Number(label) < this.files.classes.length) this.label.value = String(Number(label));
    if (this.open) this.open.checked = open === "1";
  }

  share() {
    shareLink(this.link, this.told);
  }
}

PaintADefect.count = 0;

/** @param {number} share */
function percent(share) {
  return `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
}

LiveFigures.paint = (place, link) => void new PaintADefect(place, LIVE_FILES, link);
