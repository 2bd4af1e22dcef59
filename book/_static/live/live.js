// Live figures. A page holds an empty <div class="live" data-live="paint">, which Colab and GitHub show as nothing. Here it gets
// a button; only then are the scripts of that figure loaded. They are plain scripts, not modules, so that a book which is
// opened from a disk has them, too. Each figure's last script says in `LiveFigures` how it starts.
// @ts-check

/** @type {Record<string, (place: HTMLElement, link: string) => void>} */
const LiveFigures = {};

/** @type {Record<string, {title: string, text: string, scripts: string[]}>} */
const LIVE = {
  paint: {
    title: "Paint a defect",
    text: "The plain and the CBAM network of this book, in your browser, at every stroke.",
    scripts: ["parts", "engine", "network", "files", "paint"],
  },
  kernel: {
    title: "Step a kernel over the picture",
    text: "Change its numbers, the stride and the padding.",
    scripts: ["parts", "kernel"],
  },
  gates: {
    title: "Move a number, and see where it goes",
    text: "A map small enough to print, through both gates.",
    scripts: ["parts", "gates"],
  },
};
const LIVE_FOLDER = /** @type {HTMLScriptElement} */ (document.currentScript).src.replace(/live\.js.*$/, "");

/** @param {string} name @returns {Promise<void>} */
function loadScript(name) {
  return new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = `${LIVE_FOLDER}${name}.js`;
    script.onload = () => done();
    script.onerror = () => failed(new Error(`${name}.js did not load`));
    document.head.append(script);
  });
}

/** @type {Record<string, Promise<void>>} */
const loaded = {};

/** @param {HTMLElement} place @param {string} name @param {string} link */
async function startLive(place, name, link) {
  const button = place.querySelector("button");
  if (button) button.disabled = true;
  try {
    for (const script of LIVE[name].scripts) {
      await (loaded[script] ??= loadScript(script));
    }
    LiveFigures[name](place, link);
    place.dataset.state = "running";
    /** @type {HTMLElement | null} */ (place.querySelector("[tabindex='0'], button, select, input"))?.focus({ preventScroll: true });
  } catch (error) {
    place.append(`The live figure did not start: ${error}. The figures of the page show the same, without moving.`);
  }
}

document.addEventListener("DOMContentLoaded", () => {
  for (const place of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("div.live[data-live]"))) {
    const name = place.dataset.live ?? "";
    const { title, text } = LIVE[name];
    const link = location.hash.startsWith(`#${name}=`) ? location.hash : "";
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = title;
    button.addEventListener("click", () => startLive(place, name, ""));
    const words = document.createElement("span");
    words.textContent = text;
    place.append(button, words);
    place.setAttribute("role", "group");
    place.setAttribute("aria-label", title);
    if (link) {
      startLive(place, name, link).then(() => place.scrollIntoView({ block: "center" }));
    }
  }
});
