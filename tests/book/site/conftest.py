"""The built book, served as GitHub Pages serves it, and one browser for all tests of the site."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from looking import BOOK, serve
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
