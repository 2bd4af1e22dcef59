"""What a notebook's stored pictures depend on: its cells, what draws them, and sometimes all code behind its imports.

nbval compares the text of each output, and not the picture. A changed plotting function would leave old pictures on the
pages without a word. So `make notebooks` stores this list with each notebook, and `make test` fails when it differs.
Comments and docstrings do not count, because no picture depends on them.
"""

import ast
import functools
import hashlib
import io
import json
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DRAWING = ("matplotlib", "pillow")  # what turns numbers into pixels: their lines in requirements.txt
NO_PICTURE = "practice"  # this part checks answers: what it says is text, which solutions assert and nbval compares
KEY = "made_from"  # in the metadata of a notebook
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def made_from(notebook: dict[str, Any], root: Path = ROOT) -> dict[str, str]:
    """A short hash of each thing that the pictures depend on and that their compared text does not show, by name."""
    shown = [cell for cell in notebook["cells"] if cell["cell_type"] == "code" and "remove-cell" not in tags(cell)]
    code = "\n\n".join("".join(cell["source"]) for cell in shown)
    drawn_by = "from cbam_lite import plot\n" + ("import cbam_lite.diagrams" if "cbam_lite.diagrams" in code else "")
    files = behind(code if any(map(is_not_compared, notebook["cells"])) else drawn_by, root)
    lock = (root / "requirements.txt").read_text().splitlines()
    pins = [line for line in lock if line.split("==")[0] in DRAWING]
    hashes = {file.relative_to(root).as_posix(): short_hash(content(file)) for file in sorted(files)}
    return {"cells": short_hash(code.encode()), **hashes, "requirements.txt": short_hash("\n".join(pins).encode())}


def tags(cell: dict[str, Any]) -> list[str]:
    found: list[str] = cell["metadata"].get("tags", [])
    return found


def is_not_compared(cell: dict[str, Any]) -> bool:
    """Whether a cell shows a picture and nbval leaves its text alone: then nothing else tells that numbers changed."""
    return "nbval-ignore-output" in tags(cell) and any(
        "image/png" in output.get("data", {}) for output in cell.get("outputs", [])
    )


def stale(path: Path, root: Path = ROOT) -> list[str]:
    """What has changed since the notebook stored its pictures; empty if nothing has."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    stored, now = notebook["metadata"].get(KEY, {}), made_from(notebook, root)
    return sorted(name for name in stored.keys() | now.keys() if stored.get(name) != now.get(name))


# ---- which files stand behind an import ------------------------------------------------------------------------------


def behind(code: str, root: Path = ROOT) -> set[Path]:
    """The files of cbam_lite that this code imports, those that they import, and the data beside them."""
    files: set[Path] = set()
    waiting = set(imported(code, root))
    while waiting:
        file = waiting.pop()
        if file not in files and file.parent.name != NO_PICTURE:
            files |= {file, *data_of(file)}
            waiting |= set(imported(file.read_text(encoding="utf-8"), root))
    return files


def imported(code: str, root: Path) -> Iterator[Path]:
    """The modules of cbam_lite that code names, wherever its imports stand; `cbam_lite` itself is only a list."""
    for node in ast.walk(parsed(python_only(code))):
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "cbam_lite":
            yield from (module_of(f"{node.module}.{alias.name}", root) for alias in node.names)
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("cbam_lite.")]
            yield from (module_of(name, root) for name in names)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "cbam_lite" and node.attr[:2] != "__":
            yield module_of(f"cbam_lite.{node.attr}", root)


def module_of(name: str, root: Path) -> Path:
    """The file in which `cbam_lite.part.name` is written: a module, or a name in one, or in the package's list."""
    parent, _, last = name.rpartition(".")
    for dotted in (name, parent):
        file = root.joinpath(*dotted.split(".")).with_suffix(".py")
        if file.is_file():
            return file
    listed = root.joinpath(*parent.split("."), "__init__.py")
    for node in ast.walk(parsed(listed.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and any(last in (alias.asname, alias.name) for alias in node.names):
            return module_of(f"{node.module}.{last}", root)
    raise ValueError(f"{name} is in no file of cbam_lite: look at the import, or teach tools/sources.py to find it")


def data_of(file: Path) -> Iterator[Path]:
    """The files beside a module that it names: "papers.csv", or all of a folder, as "results"."""
    for node in ast.walk(parsed(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"\w[\w.]*", node.value):
            beside = file.with_name(node.value)
            if beside.is_file():
                yield beside
            elif beside.is_dir() and beside.name != "__pycache__":
                yield from (inside for inside in beside.iterdir() if inside.is_file() and inside.suffix != ".py")


# ---- what counts in a file -------------------------------------------------------------------------------------------


def content(file: Path) -> bytes:
    """What a picture can depend on: data as they are, code without its comments and docstrings."""
    return bare(file.read_text(encoding="utf-8")).encode() if file.suffix == ".py" else file.read_bytes()


@functools.cache
def bare(code: str) -> str:
    """Code without comments, docstrings and empty lines. By position, so that it is the same in every Python."""
    lines = code.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(parsed(code)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            text = node.body[0]
            lines[text.lineno - 1 : text.end_lineno] = [""] * len(lines[text.lineno - 1 : text.end_lineno])
    return "\n".join(line.rstrip() for line in lines if line.strip())


parsed = functools.cache(ast.parse)  # all notebooks ask for the same files


def python_only(code: str) -> str:
    """Cells without their magics (%pip), which are no Python."""
    return re.sub(r"^(\s*)[%!].*$", r"\1pass", code, flags=re.M)


def short_hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:10]
