"""Style, types, spelling, and the tests of what changed: `make quick`, in at most a minute.

What changed is what git knows: since the branch left origin/main, or else since the last commit. The tests of
`cbam_lite/part/name.py` are `tests/part/test_name*.py`, or all of `tests/part/` if there are none of that name.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 60
SOURCES = ("cbam_lite", "tests", "tools", "benchmarks", "experiments", "book/_ext")
CHECKS = (
    ("ruff", "check", *SOURCES),
    ("ruff", "format", "--check", *SOURCES),
    ("mypy", "cbam_lite", "tools"),
)


def git(*command: str) -> list[str]:
    """The lines that git prints; none where it fails."""
    return subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True, check=False).stdout.splitlines()


def changed() -> list[str]:
    """Files that differ from where the branch left origin/main (or from the last commit), and new ones."""
    start = git("merge-base", "HEAD", "origin/main") or ["HEAD"]
    return sorted({*git("diff", "--name-only", start[0]), *git("ls-files", "--others", "--exclude-standard")})


def tested_by(path: str, root: Path) -> list[str]:
    """The test files or folders of one file; none where only `make nbval` or `make site` looks at it."""
    file, first = Path(path), path.split("/")[0]
    if path.startswith("tests/book/site/") or first in ("benchmarks", "book"):
        return ["tests/book/test_notebooks.py"] if path.endswith(".ipynb") else []
    if first == "tests":
        return [path if file.name.startswith("test_") else str(file.parent)] if (root / path).exists() else []
    if file.name == "__init__.py":
        return ["tests/house/test_import.py", "tests/house/test_layout.py"]  # a list of what there is
    if first in ("cbam_lite", "experiments"):
        folder = Path("tests", *file.parts[first == "cbam_lite" : -1])
    else:
        folder = Path("tests/house")
    own = sorted(str(test.relative_to(root)) for test in (root / folder).glob(f"test_{file.stem}*.py"))
    return own or ([str(folder)] if (root / folder).is_dir() and folder != Path("tests") else [])


def run(command: tuple[str, ...], left: float) -> None:
    """Run a check in the seconds that are left; one that fails or takes longer ends here."""
    print("==", " ".join(command), flush=True)
    threads = os.environ | {"OMP_NUM_THREADS": "1"}
    try:
        status = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=threads, timeout=left).returncode
    except subprocess.TimeoutExpired:
        sys.exit(f"The tests of what changed take more than {SECONDS} seconds: run `make test`.")
    if status:
        sys.exit(f"{command[0]} failed.")


def main() -> None:
    end = time.monotonic() + SECONDS
    files = changed()
    notebooks = [file for file in files if re.fullmatch(r"book/\w+\.ipynb", file)]
    tests = sorted({test for file in files for test in tested_by(file, ROOT)})
    for command in CHECKS:
        run(command, end - time.monotonic())
    subprocess.run([sys.executable, ROOT / "tools" / "spelling.py"], cwd=ROOT, check=True)
    if tests:
        workers = ("-n", "auto", "--dist", "worksteal") if len(tests) > 1 else ()
        run(("pytest", *tests, "--maxfail=3", *workers), end - time.monotonic())
    print(f"\n{len(files)} files changed; {', '.join(tests) or 'none of them has tests'}: good.", flush=True)
    if notebooks:
        print(f"Not run: {', '.join(notebooks)}. `make nbval` does.")


if __name__ == "__main__":
    main()
