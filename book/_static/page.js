// Let the keyboard reach every box that scrolls sideways (wide code, tables, equations), as it reaches links.
function makeScrollableBoxesFocusable() {
  for (const box of document.querySelectorAll("pre, div.math, .pst-scrollable-table-container")) {
    if (box.scrollWidth > box.clientWidth) {
      box.tabIndex = 0;
    }
  }
}

window.addEventListener("load", makeScrollableBoxesFocusable);
window.addEventListener("resize", makeScrollableBoxesFocusable);
document.addEventListener("toggle", makeScrollableBoxesFocusable, true);
