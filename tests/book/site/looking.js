async () => {
  // What stands on the page, for looking.py.
  const article = document.querySelector("article") ?? document.body;
  const count = (selector) => document.querySelectorAll(selector).length;
  const all = (selector, note) => [...document.querySelectorAll(selector)].map(note);
  const number = (element) => element?.textContent.match(/[(]([0-9.]+)[)]/)?.[1] ?? "none";
  const target = (link) => document.getElementById(link.getAttribute("href").slice(1));
  const place = (element) => element.getBoundingClientRect();
  const words = (element) => element.textContent.trim().slice(0, 40);
  const meet = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  const frames = async () => { for (let n = 0; n < 3; n++) await new Promise(requestAnimationFrame); };

  // Numbers that lie over their equation, and formulas that reach out of the text.
  const numbers = all("div.math", (math) => [math.querySelector(".eqno"), math.querySelector(".katex-display")])
    .filter(([eqno, equation]) => eqno && equation && meet(place(eqno), place(equation)))
    .map(([eqno]) => words(eqno));
  const scrolls = "pre, .katex-display, .pst-scrollable-table-container";
  const inline = all("span.math .base", (base) => base).filter((base) => !base.closest(scrolls));
  const beyond = [...inline, ...all("div.math", (math) => math)]
    .filter((formula) => place(formula).right > place(article).right + 1)
    .map(words);

  // Boxes that can hide a part of what they hold, as they stand, and scrolled to their end.
  const heardOnly = (element) => element.closest(".katex-mathml, .visually-hidden, .sr-only");
  const cuts = (element) => element.clientWidth > 0 && element.scrollWidth > element.clientWidth + 1
    && getComputedStyle(element).overflowX !== "visible" && !heardOnly(element);
  const isSeen = (hint, box) => !!hint && hint.getClientRects().length > 0
    && getComputedStyle(hint).visibility === "visible" && getComputedStyle(hint, "::after").content.includes("scroll")
    && place(hint).left >= 0 && place(hint).right <= document.documentElement.clientWidth
    && !meet(place(hint), place(box));
  const cue = (box) => ({
    more: box.dataset.more ?? "",
    faded: getComputedStyle(box).maskImage.includes("gradient"),
    hint: isSeen((box.closest("div.math") ?? box.parentElement).querySelector(":scope > .scroll-hint"), box),
  });
  const found = [...article.querySelectorAll("*")].filter((element) => element.matches(scrolls) || cuts(element));
  const boxes = found.map((box) => ({
    what: `${box.tagName.toLowerCase()}.${box.className} ${words(box)}`,
    scrolls: ["auto", "scroll"].includes(getComputedStyle(box).overflowX),
    output: box.matches(".cell_output pre"),
    hidden: cuts(box) ? box.scrollWidth - box.clientWidth : 0,
    focus: box.tabIndex === 0 && box.getAttribute("role") === "group" && !!box.ariaLabel,
    start: cue(box),
  }));
  found.forEach((box) => { box.scrollLeft = box.scrollWidth; });
  await frames();
  found.forEach((box, n) => { boxes[n].end = cue(box); box.scrollLeft = 0; });
  await frames();

  return {
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    text: article.innerText,
    tracebacks: all(".cell_output", (o) => o.innerText).filter((text) => text.includes("Traceback")).length,
    images: all("img", (i) => ({
      src: i.src, alt: i.alt, hidden: i.hasAttribute("alt") && !!i.closest("a.logo"),
      figure: !!i.closest(".cell_output"), width: place(i).width,
    })),
    equations: {rendered: count(".katex"), sources: count("span.math, div.math"), wrong: count(".katex-error")},
    equation_links: all('a[href^="#equation-"]:not(.headerlink)', (link) =>
      ({link: number(link), equation: number(target(link)?.querySelector(".eqno"))})),
    numbers, beyond, boxes,
    cells: count(".cell_input .highlight"),
    copy_buttons: count(".cell_input button.copybtn"),
  };
}
