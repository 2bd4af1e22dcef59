"""Print the path of a Chromium for the tests of the built pages: found, else installed.

Where none can be had, CI (the variable CI is set) fails; elsewhere we print a warning and an empty line.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)


def candidates() -> Iterator[str]:
    """Where a browser may be: on the PATH, among the applications of macOS, in Playwright's own folder."""
    yield from filter(None, map(shutil.which, NAMES))
    yield from (path for path in MAC if Path(path).exists())
    yield playwrights_own()


def playwrights_own() -> str:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        return playwright.chromium.executable_path


def starts(path: str) -> bool:
    """Whether the browser runs: one without its libraries, or a stub that asks for a snap, does not."""
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def installed() -> str | None:
    """A browser that is there already: BROWSER_PATH, else the first candidate that starts."""
    named = os.environ.get("BROWSER_PATH")
    if named:
        if not starts(named):
            sys.exit(f"BROWSER_PATH={named} does not start: name the executable of a Chromium, or unset it")
        return named
    return next(filter(starts, candidates()), None)


def attempt(*command: str) -> None:
    """Run an installer, its words on stderr. Whether it helped is seen by looking for a browser again."""
    try:
        subprocess.run(command, stdout=sys.stderr, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        print(f"{' '.join(command)} took more than 5 minutes", file=sys.stderr)


def install() -> None:
    """Playwright's own Chromium where it can be downloaded, else the distribution's for root on Debian."""
    attempt(sys.executable, "-m", "playwright", "install", "chromium")
    if installed() is None and shutil.which("apt-get") and os.geteuid() == 0:
        attempt("apt-get", "update", "--quiet")
        attempt("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "chromium")


def main() -> int:
    if installed() is None:
        install()
    path = installed()
    print(path or "")
    if path is None:
        print("No browser was found and none could be installed: set BROWSER_PATH to a Chromium.", file=sys.stderr)
    return int(path is None and bool(os.environ.get("CI")))


if __name__ == "__main__":
    sys.exit(main())
