// Whatever scrolls inside its own box (a wide equation, code, a table) can be scrolled by keyboard only when it takes focus.
// The theme sees to code and tables when the page loads; equations, and what stands in a folded solution, are left to us.
function letWideBoxesTakeFocus() {
  document.querySelectorAll(".katex-display, pre, .pst-scrollable-table-container").forEach((box) => {
    if (box.scrollWidth > box.clientWidth) {
      box.tabIndex = 0;
    }
  });
}

// Equations change their width when their fonts arrive, folded boxes have none until they are opened.
window.addEventListener("load", () => document.fonts.ready.then(letWideBoxesTakeFocus));
window.addEventListener("resize", letWideBoxesTakeFocus);
document.addEventListener("toggle", letWideBoxesTakeFocus, true);
