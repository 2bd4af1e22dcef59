"""Run the notebooks of the book (or those named) from top to bottom and store their outputs, without time stamps."""

import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

BOOK = Path(__file__).resolve().parent.parent / "book"


def run(path: Path) -> None:
    """Run one notebook in place. An error in a cell stops here and leaves the file as it was."""
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    where = {"metadata": {"path": str(path.parent)}}
    plain: dict[str, Any] = {"record_timing": False, "coalesce_streams": True}  # the same file each time
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=where, **plain).execute()
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:] or sorted(map(str, BOOK.glob("*.ipynb")))):
        print("running", path.name, flush=True)
        run(path)
