"""Each notebook runs as in Colab: in an empty folder, with the wheel, without the repository; `make nbval` does it."""

import json
import subprocess
import zipfile
from pathlib import Path

import alone
import pytest


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return alone.wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """An environment with the pinned packages and the wheel. Before the wheel comes, it must not know cbam_lite."""
    folder = tmp_path_factory.mktemp("alone")
    python = alone.environment(folder / "venv")
    before = subprocess.run([python, "-c", "import torch, cbam_lite"], cwd=folder, capture_output=True, text=True)
    assert "No module named 'cbam_lite'" in before.stderr, f"the repository's own cbam_lite is seen: {before}"
    alone.install(wheel, python)
    return python


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    package = alone.ROOT / "cbam_lite"
    files = [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == {path.relative_to(alone.ROOT).as_posix() for path in files}


def test_package_is_the_wheels(python: Path, tmp_path: Path) -> None:
    file = alone.output(python, "-c", "import cbam_lite; print(cbam_lite.__file__)", where=tmp_path)
    assert Path(file).is_relative_to(python.parent.parent)


def small_notebook(folder: Path, code: str, prints: str) -> Path:
    """A notebook of one cell that stores this as its output."""
    outputs = [{"output_type": "stream", "name": "stdout", "text": prints}] if prints else []
    cell = {"cell_type": "code", "source": code, "metadata": {}, "outputs": outputs, "execution_count": 1, "id": "a"}
    notebook = folder / "small.ipynb"
    notebook.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return notebook


def test_copies_stand_alone(tmp_path: Path) -> None:
    notebook = small_notebook(tmp_path, "1", "")
    (copy,) = alone.copies([notebook], tmp_path / "copies")
    assert [*copy.parent.iterdir()] == [copy]
    assert copy.read_bytes() == notebook.read_bytes()


def test_failing_notebook_fails_alone(python: Path, tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        alone.run(python, small_notebook(tmp_path, "1 / 0", ""))


@pytest.mark.parametrize(("stored", "status"), [("2\n", 0), ("3\n", 1)], ids=["the same", "another"])
def test_output_must_be_what_is_stored(python: Path, tmp_path: Path, stored: str, status: int) -> None:
    alone.copies([small_notebook(tmp_path, "import cbam_lite\nprint(1 + 1)", stored)], tmp_path / "copies")
    assert alone.compare(python, tmp_path / "copies") == status
