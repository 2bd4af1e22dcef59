"""Print the path of a Chromium for the tests of the built pages: found, or installed, or nothing with a warning."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)


def installed() -> str | None:
    """A browser that is there already: BROWSER_PATH, one on the PATH, one of macOS, or Playwright's own."""
    named = os.environ.get("BROWSER_PATH")
    if named:
        if not Path(named).exists():
            sys.exit(f"BROWSER_PATH={named} does not exist: name the executable of a Chromium, or unset it")
        return named
    on_path = next(filter(None, map(shutil.which, NAMES)), None)
    return on_path or next((path for path in MAC if Path(path).exists()), None) or playwrights_own()


def playwrights_own() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def install() -> None:
    """Playwright's own Chromium where it can be downloaded, else the distribution's for root on Debian."""
    playwright = [sys.executable, "-m", "playwright", "install", "chromium"]
    if subprocess.run(playwright, stdout=sys.stderr, timeout=300, check=False).returncode == 0:
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "--quiet"], stdout=sys.stderr, check=False)
        subprocess.run(["apt-get", "install", "--yes", "--quiet", "chromium"], stdout=sys.stderr, check=False)


if __name__ == "__main__":
    if installed() is None:
        install()
    path = installed()
    if path is None:
        print("No browser was found and none could be installed: set BROWSER_PATH to a Chromium.", file=sys.stderr)
    print(path or "")
