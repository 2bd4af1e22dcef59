"""Run each notebook as Colab would: alone in an empty folder, with the built wheel and nothing else of this repository.

    python tools/alone.py [WHEEL]   without a wheel, one is built

The wheel goes into a fresh virtual environment that borrows torch and the rest from the environment this runs in.
"""

import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

RUNNER = """
import sys, nbformat, cbam_lite
from nbclient import NotebookClient
assert cbam_lite.__file__.startswith(sys.prefix), f"not the wheel's cbam_lite: {cbam_lite.__file__}"
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
"""


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


def run(python: Path, notebook: Path, folder: Path) -> None:
    """Run one notebook in a new folder that holds nothing else."""
    empty = folder / notebook.stem
    empty.mkdir()
    (empty / notebook.name).write_bytes(notebook.read_bytes())
    start = time.perf_counter()
    output(python, "-c", RUNNER, notebook.name, where=empty)
    print(f"{notebook.name} ran alone in {time.perf_counter() - start:.0f} s", flush=True)


def main() -> None:
    named = [Path(argument).resolve() for argument in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = environment(folder / "venv")
        install(named[0] if named else wheel(folder), python)
        versions = "import sys, torch, numpy; print(sys.version.split()[0], torch.__version__, numpy.__version__)"
        print("Python, torch, numpy:", output(python, "-c", versions), flush=True)
        for notebook in sorted((ROOT / "book").glob("*.ipynb")):
            run(python, notebook, folder)


if __name__ == "__main__":
    main()
