"""The live figures of the built book in a headless Chromium: time from the click to the first result, time for each
change, and bytes over the wire before and after the start, compressed as GitHub Pages does.

    make book && .venv/bin/python benchmarks/live.py
"""

import statistics
import sys
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Locator, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "book" / "site"), str(ROOT / "tools")]

from browser import installed  # noqa: E402
from looking import BOOK, serve  # noqa: E402

RUNS = 5
SETTLE = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def touch(page: Page, live: Locator, n: int) -> None:
    box = live.locator(".live-canvas").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * (0.2 + 0.1 * n), box["y"] + box["height"] / 2)


def step(page: Page, live: Locator, n: int) -> None:
    live.get_by_role("button", name="Step", exact=True).click()


def move(page: Page, live: Locator, n: int) -> None:
    live.get_by_label("F, channel 0, row 1, column 1", exact=True).fill(str(n))


FIGURES: dict[str, tuple[str, str, Callable[[Page, Locator, int], None]]] = {
    "paint a defect": ("welcome", "paint", touch),
    "step a kernel": ("convolution", "kernel", step),
    "move a number": ("cbam", "gates", move),
}


def seconds(page: Page, do: Callable[[], object]) -> float:
    """From the call until the browser has drawn what follows from it, by the browser's clock."""
    start = page.evaluate("() => performance.now()")
    do()
    page.evaluate(SETTLE)
    return float(page.evaluate("() => performance.now()") - start) / 1000


def measured(page: Page, address: str, figure: str) -> list[str]:
    name, kind, change = FIGURES[figure]
    sizes: list[int] = []
    page.on("response", lambda response: sizes.append(int(response.headers.get("content-length", 0))))
    page.goto(f"{address}/book/{name}.html", wait_until="networkidle")
    before = sum(sizes)
    live = page.locator(f".live[data-live={kind}]")
    live.scroll_into_view_if_needed()

    def start() -> None:
        live.get_by_role("button").first.click()
        page.wait_for_selector(f".live[data-live={kind}][data-state=running]")

    first = seconds(page, start)
    live.scroll_into_view_if_needed()
    changes = [seconds(page, lambda n=n: change(page, live, n)) for n in range(RUNS)]  # type: ignore[misc]
    each = statistics.median(changes)
    return [
        figure,
        f"{first:.2f} s",
        f"{each:.2f} s",
        f"{before / 1000:.0f} kB",
        f"{sum(sizes) / 1000 - before / 1000:.0f} kB",
    ]


def main() -> None:
    print("| figure | click to first result | each change (median of five) | page before | after the start, more |")
    print("|---|---|---|---|---|")
    with sync_playwright() as playwright, serve(BOOK) as address:
        browser = playwright.chromium.launch(executable_path=installed())
        for figure in FIGURES:
            page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            print("| " + " | ".join(measured(page, address, figure)) + " |", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
