"""The built book, served as GitHub Pages serves it, and one browser for all tests of the site."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from looking import BOOK, View, look, serve
from playwright.sync_api import Browser, sync_playwright


@pytest.fixture(scope="session")
def book() -> Path:
    """The folder of the built HTML: BOOK_HTML, or _build/html."""
    if not (BOOK / "book" / "welcome.html").is_file():
        pytest.fail(f"there is no built book in {BOOK}: run `make book`, or set BOOK_HTML to its folder")
    return BOOK


@pytest.fixture(scope="session")
def address(book: Path) -> Iterator[str]:
    """Where the built book is served."""
    with serve(book) as url:
        yield url


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium: BROWSER_PATH, else Playwright's own, else one on the PATH."""
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        names = ("chromium", "chromium-browser", "google-chrome")
        found = os.environ.get("BROWSER_PATH") or (own if Path(own).exists() else None)
        path = found or next(filter(None, map(shutil.which, names)), None)
        if path is None:
            say = "no browser: run `playwright install chromium`, install chromium, or set BROWSER_PATH"
            pytest.fail(say) if os.environ.get("CI") else pytest.skip(say)
        quiet = ["--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        chromium = playwright.chromium.launch(executable_path=path, args=quiet)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def views(browser: Browser, address: str) -> dict[tuple[str, int, str], View]:
    """What was seen so far: each page is loaded once for each width and theme, and the tests share it."""
    return Views(browser, address)


class Views(dict[tuple[str, int, str], View]):
    """Looks at (page, width, theme) when it is asked for the first time."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.browser, self.address = browser, address

    def __missing__(self, key: tuple[str, int, str]) -> View:
        page, width, theme = key
        self[key] = look(self.browser, self.address, page, width, theme)
        return self[key]
