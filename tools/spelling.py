"""Check the spelling of prose and code, in notebooks that of the cells without their stored pictures."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACES = ("book", "cbam_lite", "tests", "tools", "benchmarks", *sorted(path.name for path in ROOT.glob("*.md")))


def words(notebook: Path) -> str:
    """The sources of the cells, without outputs."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells)


def main() -> int:
    codespell = [sys.executable, "-m", "codespell_lib", "--toml", str(ROOT / "pyproject.toml")]
    with tempfile.TemporaryDirectory() as folder:
        for notebook in (ROOT / "book").glob("*.ipynb"):
            (Path(folder) / f"{notebook.stem}.md").write_text(words(notebook), encoding="utf-8")
        in_notebooks = subprocess.run([*codespell, "."], cwd=folder, check=False).returncode
    return in_notebooks or subprocess.run([*codespell, *PLACES], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
