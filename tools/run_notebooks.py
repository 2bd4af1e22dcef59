"""Run the notebooks of the book whose pictures are out of date, and store what they give, without time stamps.

    python tools/run_notebooks.py                     those that `stale` has something against
    python tools/run_notebooks.py book/cbam.ipynb     this one, in any case

CBAM_LITE_DATA names the folder with the real photographs of the chapter on Grad-CAM.
"""

import os
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from sources import KEY, made_from, stale

os.environ["OMP_NUM_THREADS"] = "1"  # as when nbval compares: short trainings differ by the number of threads
BOOK = Path(__file__).resolve().parent.parent / "book"


def run(path: Path) -> None:
    """Run one notebook in place. An error in a cell, or a picture that would be lost, leaves the file as it was."""
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    before = pictures(notebook)
    where = {"metadata": {"path": str(path.parent)}}
    plain: dict[str, Any] = {"record_timing": False, "coalesce_streams": True}  # the same file each time
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=where, **plain).execute()
    if lost := [number for number, (old, new) in enumerate(zip(before, pictures(notebook), strict=True)) if old > new]:
        sys.exit(f"{path.name}: cells {lost} had a picture and give none: name the data with CBAM_LITE_DATA=...")
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        KEY: made_from(notebook),
    }
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]


def pictures(notebook: Any) -> list[int]:
    """How many pictures each cell shows."""
    return [sum("image/png" in output.get("data", {}) for output in cell.get("outputs", [])) for cell in notebook.cells]


if __name__ == "__main__":
    named = [Path(argument) for argument in sys.argv[1:]]
    for path in named or sorted(BOOK.glob("*.ipynb")):
        changed = stale(path)
        if named or changed:
            print("running", path.name, f"(changed: {', '.join(changed[:3])})" if changed else "", flush=True)
            run(path)
