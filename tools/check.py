"""Everything CI runs: one stage of the Makefile after the other, stopping at the first that fails."""

import subprocess
import sys
import time

from browser import installed

# The cheap stages stand first. `site` builds the book, and looks at what it built.
STAGES = ("lint", "unit", "nbval", "site")

NO_BROWSER = """
********************************************************************************
*  THE TESTS OF THE SITE DID NOT RUN: no browser was found or could be had.    *
*  Install Chromium, or set BROWSER_PATH to one, and run `make site`.          *
********************************************************************************"""


def run(stages: tuple[str, ...]) -> dict[str, float]:
    """Seconds of each stage that ran; the last one failed if some are missing."""
    seconds: dict[str, float] = {}
    for stage in stages:
        print(f"\n==== {stage} ====", flush=True)
        start = time.perf_counter()
        status = subprocess.run(["make", "--no-print-directory", stage], check=False).returncode
        seconds[stage] = time.perf_counter() - start
        if status != 0:
            report(seconds)
            sys.exit(f"make {stage} failed; the stages after it did not run.")
    return seconds


def report(seconds: dict[str, float]) -> None:
    print("\n" + "\n".join(f"{stage:8} {spent:5.0f} s" for stage, spent in seconds.items()))
    print(f"{'together':8} {sum(seconds.values()):5.0f} s", flush=True)


if __name__ == "__main__":
    report(run(STAGES))
    if installed() is None:
        print(NO_BROWSER)
    else:
        print("All checks passed.")
