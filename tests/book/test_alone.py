"""Each notebook runs as in Colab: in an empty folder, with the wheel, without the repository. `make alone`."""

import subprocess
import zipfile
from pathlib import Path

import alone
import pytest

NOTEBOOKS = sorted((alone.ROOT / "book").glob("*.ipynb"))


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


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_alone(python: Path, notebook: Path, tmp_path: Path) -> None:
    alone.run(python, notebook, tmp_path)


def test_failing_notebook_fails_alone(python: Path, tmp_path: Path) -> None:
    cell = '{"cell_type": "code", "source": "1 / 0", "metadata": {}, "outputs": [], "execution_count": null, "id": "a"}'
    notebook = tmp_path / "broken.ipynb"
    notebook.write_text(f'{{"cells": [{cell}], "metadata": {{}}, "nbformat": 4, "nbformat_minor": 5}}')
    with pytest.raises(subprocess.CalledProcessError):
        alone.run(python, notebook, tmp_path)
