"""Run each notebook as Colab would: alone in an empty folder, with the built wheel and nothing else of this repository.

    python tools/alone.py --dependencies-of .venv/bin/python

The wheel goes into a fresh virtual environment that borrows torch and the rest from the environment of the named Python.
"""

import argparse
import subprocess
import sys
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


def environment(folder: Path, donor: str) -> Path:
    """A virtual environment with the donor's third-party packages.

    They come through a path line in a .pth file. Python does not read the .pth files behind such a line, so an editable
    installation of this repository in the donor stays out of sight.
    """
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    output(donor, "-m", "venv", folder)
    python = folder / "bin/python"
    (Path(output(python, "-c", where)) / "borrowed.pth").write_text(output(donor, "-c", where) + "\n")
    kernel = "import ipykernel.kernelspec as k; k.install(prefix=__import__('sys').prefix)"
    output(python, "-c", kernel)
    return python


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dependencies-of", required=True, metavar="PYTHON")
    donor = str(Path(parser.parse_args().dependencies_of).absolute())
    notebooks = sorted((ROOT / "book").glob("*.ipynb"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = environment(folder / "venv", donor)
        output(python, "-m", "pip", "install", "--quiet", "--no-deps", wheel(folder))
        versions = "import sys, torch, numpy; print(sys.version.split()[0], torch.__version__, numpy.__version__)"
        print("Python, torch, numpy:", output(python, "-c", versions))
        for notebook in notebooks:
            empty = folder / notebook.stem
            empty.mkdir()
            (empty / notebook.name).write_bytes(notebook.read_bytes())
            start = time.perf_counter()
            output(python, "-c", RUNNER, notebook.name, where=empty)
            print(f"{notebook.name} ran alone in {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
