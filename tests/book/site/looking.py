"""Serve a folder of HTML and note down what a browser sees there: what every test of the site is about."""

import functools
import gzip
import http.server
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Response, Route

ROOT = Path(__file__).resolve().parents[3]
BOOK = Path(os.environ.get("BOOK_HTML", ROOT / "_build" / "html")).resolve()
HEIGHTS = {1280: 900, 390: 844}  # a laptop, a phone
THEMES = ("light", "dark")
# Colours that fade from one theme to the other would be measured on their way.
NO_FADING = """
  const style = document.createElement("style");
  style.textContent = "*, *::before, *::after { transition: none !important; animation: none !important; }";
  document.addEventListener("DOMContentLoaded", () => document.head.append(style));
"""
SETTLED = """async () => {
  await document.fonts.ready;
  for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
}"""
# Of letters that look the same in both themes, up to the last parent, axe-core needs to measure the first only. Code
# and equations have thousands of such spans, which it would measure one by one for minutes.
COLOURED = "pre span, code span, dt.sig span, .katex-html span"
NOTE_LOOKS = """(coloured) => {
  const known = new Map([[null, ""]]);
  const looks = (element) => {
    if (!known.has(element)) {
      const {color, backgroundColor, backgroundImage, opacity, fontSize, fontWeight} = getComputedStyle(element);
      const own = [color, backgroundColor, backgroundImage, opacity, fontSize, fontWeight];
      known.set(element, `${own};${looks(element.parentElement)}`);
    }
    return known.get(element);
  };
  document.querySelectorAll(coloured).forEach((span) => { span.looks = (span.looks ?? "") + looks(span); });
}"""
KEEP_ONE_OF_EACH = """(coloured) => {
  const seen = new Set();
  const again = (looks) => seen.has(looks) || !seen.add(looks);
  [...document.querySelectorAll(coloured)].filter((span) => again(span.looks)).forEach((span) => {
    span.replaceWith(...span.childNodes);
  });
}"""
NOTE = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
TEXT = {".html", ".css", ".js", ".svg", ".json"}  # GitHub Pages compresses these, and no pictures or fonts


class Handler(http.server.SimpleHTTPRequestHandler):
    """Sends text compressed with gzip, as GitHub Pages does."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.suffix not in TEXT or not path.is_file():
            super().do_GET()
            return
        body = gzip.compress(path.read_bytes())
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output free of the server's log."""


class Server(http.server.ThreadingHTTPServer):
    """Keeps silent about a browser that closes a page before all of it has come."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve the folder on a free port of this machine; gives the address, with a slash at its end."""
    server = Server(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class View:
    """What one load of one page at one width, and a look at it in one theme, showed."""

    width: int = 0
    sizes: dict[str, int] = field(default_factory=dict)  # bytes over the wire, for each address
    failed: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)  # requests to any other host
    errors: list[str] = field(default_factory=list)  # of the console
    solution: str = "none"  # whether the first folded solution "opens" by keyboard, or is "stuck"
    overflow: int = 0  # pixels by which the page is wider than the window
    text: str = ""
    tracebacks: int = 0
    images: list[dict[str, Any]] = field(default_factory=list)
    equations: dict[str, int] = field(default_factory=dict)
    equation_links: list[dict[str, str]] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)  # of equations, that lie over something
    beyond: list[str] = field(default_factory=list)  # formulas that reach out of the page
    boxes: list[dict[str, Any]] = field(default_factory=list)  # that can hide a part of what they hold
    cells: int = 0
    copy_buttons: int = 0
    violations: list[str] = field(default_factory=list)  # axe-core: serious and critical


def look(browser: Browser, address: str, page_name: str, width: int) -> dict[str, View]:
    """Load the page with an empty cache, and note everything in each theme."""
    loaded = View(width=width)
    viewport = {"width": width, "height": HEIGHTS[width]}
    context = browser.new_context(viewport=viewport, color_scheme=THEMES[0], reduced_motion="reduce")
    context.add_init_script(NO_FADING)
    page = context.new_page()
    listen(page, address, loaded)
    page.goto(address + page_name)
    page.evaluate(SETTLED)
    open_what_is_folded(page, loaded)
    views = {}
    for theme in THEMES:
        turn_to(page, theme)
        views[theme] = replace(loaded, **page.evaluate(NOTE), violations=[])
        page.evaluate(NOTE_LOOKS, COLOURED)
    page.evaluate(KEEP_ONE_OF_EACH, COLOURED)
    for theme in reversed(THEMES):  # the last one is still on
        turn_to(page, theme)
        # Preloading asks for style sheets at wrong addresses.
        report = Axe().run(page, options={"preload": False, "resultTypes": ["violations"]})
        views[theme].violations += [describe(each) for each in report.response["violations"] if is_serious(each)]
    context.close()
    return views


def turn_to(page: Page, theme: str) -> None:
    """Show the page in a theme, as the reader's system would."""
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    page.evaluate(SETTLED)


def listen(page: Page, address: str, view: View) -> None:
    """Note requests and console messages. Requests to other hosts are noted and stopped."""

    def request(route: Route) -> None:
        if route.request.url.startswith((address, "data:", "blob:")):
            return route.continue_()
        view.elsewhere.append(route.request.url)
        return route.abort()

    def response(answer: Response) -> None:
        view.sizes[answer.url] = int(answer.headers.get("content-length", 0))
        if answer.status >= 400:
            view.failed.append(f"{answer.status} {answer.url}")

    def console(message: ConsoleMessage) -> None:
        if message.type == "error":
            view.errors.append(message.text)

    page.route("**/*", request)
    page.on("response", response)
    page.on("requestfailed", lambda failure: view.failed.append(failure.url))
    page.on("console", console)
    page.on("pageerror", lambda error: view.errors.append(str(error)))


def open_what_is_folded(page: Page, view: View) -> None:
    """Open the first solution by keyboard, then all that is folded, so that it is measured, too."""
    solution = page.locator("div.tag_solution details").first
    if solution.count():
        solution.locator("summary").focus()
        closed = solution.get_attribute("open") is None
        page.keyboard.press("Enter")
        view.solution = "opens" if closed and solution.get_attribute("open") is not None else "stuck"
    page.evaluate("document.querySelectorAll('article details').forEach((fold) => { fold.open = true; })")
    page.evaluate(SETTLED)


def is_serious(violation: dict[str, Any]) -> bool:
    """Whether axe-core calls it serious or critical."""
    return violation["impact"] in ("serious", "critical")


def describe(violation: dict[str, Any]) -> str:
    """The rule and the first places where it is broken."""
    places = [node["html"][:120] for node in violation["nodes"][:3]]
    return f"{violation['id']}: {violation['help']} in {len(violation['nodes'])} places, such as {places}"
