"""Build the HTML book from the stored notebooks, with warnings as errors.

    python tools/build_book.py           what has not changed is taken from the last build
    python tools/build_book.py --fresh   from nothing

No notebook is run: `make notebooks` stores what the cells give, `make test` proves it. Sphinx itself sees which pages
changed; what it does not see (our extension, the installed versions) makes us start from nothing.
"""

import hashlib
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sources import stale

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("book/_ext", "requirements.txt", "_config.yml", "_toc.yml")
MADE = ("html", "jupyter_execute", ".doctrees")  # _build also holds environments, which stay


def fingerprint(root: Path) -> str:
    """A hash of what all pages depend on besides their own files."""
    digest = hashlib.sha256(sys.version.encode())
    for part in PARTS:
        files = [root / part] if (root / part).is_file() else sorted((root / part).rglob("*"))
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def build(root: Path, fresh: bool = False) -> int:
    """Build into _build/html; returns the exit status of the build."""
    output = root / "_build"
    stamp = output / "fingerprint"
    current = fingerprint(root)
    if fresh or not stamp.exists() or stamp.read_text() != current:
        for made in MADE:
            shutil.rmtree(output / made, ignore_errors=True)
    stamp.unlink(missing_ok=True)  # written again only after a good build, so a failure fails the second time, too
    jupyter_book = str(Path(sys.executable).with_name("jupyter-book"))
    command = [jupyter_book, "build", str(root), "-W", "--keep-going", "--quiet"]
    status = subprocess.run(command, cwd=root, check=False).returncode
    if status == 0:
        stamp.write_text(current)
    return status


def old_pictures(root: Path) -> list[str]:
    """A line for each notebook whose pictures may be older than the code that draws them."""
    changed = {path.name: stale(path) for path in sorted((root / "book").glob("*.ipynb"))}
    return [
        f"{name} may show old pictures ({', '.join(what[:3])} changed): run `make notebooks`."
        for name, what in changed.items()
        if what
    ]


if __name__ == "__main__":
    with ThreadPoolExecutor() as pool:  # the build is another process, so this costs no time
        warnings = pool.submit(old_pictures, ROOT)
        status = build(ROOT, fresh="--fresh" in sys.argv[1:])
    if status:
        sys.exit(f"The book did not build (status {status}): the first warning above says where.")
    print(*warnings.result(), f"\nThe book is built. Open {ROOT / '_build/html/index.html'}", sep="\n", end=" ")
    print("in a browser, or run `make serve`.")
