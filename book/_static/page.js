// Whatever is wider than its box (an equation, code, an output, a table) scrolls inside it. Cut off, an equation can read as
// another one, so such a box says that it goes on: custom.css fades the edge behind which more stands, a hint below it says
// "scroll", and it takes focus, so that the arrow keys scroll it. A box that shows all it holds gets none of this.
const WIDE = ".katex-display, .bd-article pre, .pst-scrollable-table-container";

const watcher = new ResizeObserver((entries) => later(entries.map((entry) => entry.target)));
const waiting = new Set();

// All sizes are read first, and then written, so that a page of a hundred boxes is laid out once.
function later(boxes) {
  if (waiting.size === 0) {
    requestAnimationFrame(() => {
      const states = [...waiting].map((box) => [box, hiddenSides(box)]);
      waiting.clear();
      states.forEach(([box, sides]) => mark(box, sides));
    });
  }
  boxes.forEach((box) => waiting.add(box));
}

function hiddenSides(box) {
  const hidden = box.scrollWidth - box.clientWidth;
  if (hidden <= 1) {  // widths are rounded
    return "";
  }
  return [box.scrollLeft > 1 && "left", box.scrollLeft < hidden - 1 && "right"].filter(Boolean).join(" ");
}

function mark(box, sides) {
  if (sides === (box.dataset.more ?? "")) {
    return;
  }
  if (!sides) {
    ["data-more", "tabindex", "role", "aria-label"].forEach((name) => box.removeAttribute(name));
    box.hint?.remove();
    return;
  }
  box.dataset.more = sides;
  box.tabIndex = 0;
  box.setAttribute("role", "group");  // many regions would crowd a screen reader's list of landmarks
  box.setAttribute("aria-label", `${nameOf(box)}, wider than the page: scrolls sideways`);
  if (!box.hint) {
    box.hint = document.createElement("span");
    box.hint.className = "scroll-hint";
    box.hint.setAttribute("aria-hidden", "true");  // the label says it
  }
  if (!box.hint.isConnected) {
    const equation = box.closest("div.math");
    equation ? equation.append(box.hint) : box.after(box.hint);
  }
}

function nameOf(box) {
  if (box.matches(".katex-display")) {
    return "Equation";
  }
  return box.matches("pre") ? (box.closest(".cell_output") ? "Output" : "Code") : "Table";
}

// KaTeX draws on DOMContentLoaded, before this; equations change their width when their fonts arrive; boxes that are folded
// have none until they are opened, which the observer sees.
window.addEventListener("load", () => document.fonts.ready.then(() => {
  document.querySelectorAll(WIDE).forEach((box) => {
    watcher.observe(box);
    box.addEventListener("scroll", () => later([box]), {passive: true});
  });
}));
