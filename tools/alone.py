"""Run each notebook as Colab would: alone in an empty folder, with the built wheel and nothing else of this repository.

    python tools/alone.py --nbval   under nbval, two at a time: what the cells give must be what the notebook stores
    python tools/alone.py           one after the other, for an environment whose numbers may differ in the last digits

The wheel goes into a fresh virtual environment that borrows torch and the rest from the environment this runs in.
"""

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))

RUNNER = """
import sys, nbformat, cbam_lite
from nbclient import NotebookClient
assert cbam_lite.__file__.startswith(sys.prefix), f"not the wheel's cbam_lite: {cbam_lite.__file__}"
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
"""
NBVAL = (
    *("-m", "pytest", "-q", "--nbval", "--nbval-current-env", "--nbval-cell-timeout=120"),
    *("-p", "no:cacheprovider", "-p", "no:python"),
    *("-n", "auto", "--dist", "loadfile"),  # the cells of one notebook stay together
)


def output(*command: str | Path, where: Path = ROOT) -> str:
    """What the command prints; its own error output shows when it fails."""
    return subprocess.run(command, cwd=where, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def wheel(folder: Path) -> Path:
    """Build the wheel of this tree."""
    output(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, ROOT)
    return next(folder.glob("cbam_lite-*.whl"))


def environment(folder: Path) -> Path:
    """The Python of a new virtual environment that borrows the third-party packages of ours.

    They come through a path line in a .pth file. Python does not read the .pth files behind such a line, so an editable
    installation of this repository stays out of sight.
    """
    output(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    own = Path(output(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"))
    (own / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    output(python, "-m", "ipykernel", "install", "--prefix", folder)
    return python


def install(wheel: Path, python: Path) -> None:
    output(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel)


def copies(notebooks: Iterable[Path], folder: Path) -> list[Path]:
    """Each notebook in a new folder that holds nothing else."""
    result = []
    for notebook in notebooks:
        (folder / notebook.stem).mkdir(parents=True)
        result.append(Path(shutil.copy(notebook, folder / notebook.stem)))
    return result


def run(python: Path, notebook: Path) -> None:
    """Run one notebook in its folder; an error in a cell is an error here."""
    start = time.perf_counter()
    output(python, "-c", RUNNER, notebook.name, where=notebook.parent)
    print(f"{notebook.name} ran alone in {time.perf_counter() - start:.0f} s", flush=True)


def compare(python: Path, folder: Path) -> int:
    """Run all notebooks below the folder under nbval, each on one thread; returns pytest's exit status."""
    threads = os.environ | {"OMP_NUM_THREADS": "1"}
    notebooks = sorted(folder.glob("*/*.ipynb"), key=lambda path: -path.stat().st_size)  # the long ones start first
    return subprocess.run([python, *NBVAL, *notebooks], cwd=folder, env=threads, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=Path, help="all of the book by default")
    parser.add_argument("--wheel", type=Path, help="one that is built already")
    parser.add_argument("--nbval", action="store_true", help="compare what the cells give with what is stored")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = environment(folder / "venv")
        install(options.wheel or wheel(folder), python)
        versions = "import sys, torch, numpy; print(sys.version.split()[0], torch.__version__, numpy.__version__)"
        print("Python, torch, numpy:", output(python, "-c", versions), flush=True)
        notebooks = copies(options.notebooks or NOTEBOOKS, folder / "notebooks")
        if options.nbval:
            return compare(python, folder / "notebooks")
        for notebook in notebooks:
            run(python, notebook)
    return 0


if __name__ == "__main__":
    sys.exit(main())
