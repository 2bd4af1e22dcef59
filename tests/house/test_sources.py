"""A picture on a page is one that today's code draws: what a notebook stores about it is compared with the sources."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import sources

NOTEBOOKS = sorted((sources.ROOT / "book").glob("*.ipynb"))

PLOT = '"""Pictures."""\nfrom cbam_lite.maps import resize\nBLUE = "#0072B2"  # of the input\n'
MAPS = "def resize(x):\n    '''Larger.'''\n    return 2 * x\n"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_notebook_shows_an_old_picture(path: Path) -> None:
    assert sources.stale(path) == [], f"these have changed since {path.name} drew its pictures: run `make notebooks`"


# ---- a small package, and a notebook that draws with it --------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "__init__.py": "from cbam_lite.train import fit\nfrom cbam_lite import plot as plot\n",
        "plot.py": PLOT,
        "maps.py": MAPS,
        "train.py": "TABLE = 'table.csv'\n\ndef fit():\n    from cbam_lite import steps\n",
        "steps.py": "STEP = 1\n",
        "table.csv": "1,2\n",
        "unused.py": "",
    }
    (tmp_path / "cbam_lite").mkdir()
    for name, text in files.items():
        (tmp_path / "cbam_lite" / name).write_text(text)
    (tmp_path / "requirements.txt").write_text("matplotlib==3.0\npillow==9.0\ntorch==2.0\n")
    return tmp_path


def notebook(root: Path, *tags: str) -> Path:
    """It draws one picture, by a training."""
    picture = {"output_type": "display_data", "data": {"image/png": "", "text/plain": "a picture"}}
    cell = {"cell_type": "code", "metadata": {"tags": [*tags]}, "outputs": [picture]}
    cell["source"] = "%pip install x\nfrom cbam_lite import fit, plot\nplot.show(fit())"
    content: dict[str, Any] = {"cells": [cell], "metadata": {}}
    content["metadata"][sources.KEY] = sources.made_from(content, root)
    path = root / f"{len(tags)}.ipynb"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("name", "text", "is_stale"),
    [
        ("cbam_lite/plot.py", PLOT.replace("#0072B2", "#B20072"), True),
        ("cbam_lite/plot.py", PLOT.replace("of the input", "another comment"), False),
        ("cbam_lite/plot.py", PLOT.replace("Pictures.", "Another docstring,\n\nof three lines."), False),
        ("cbam_lite/maps.py", MAPS.replace("2 * x", "3 * x"), True),  # plot imports it
        ("cbam_lite/maps.py", MAPS.replace("Larger", "Twice as large"), False),
        ("requirements.txt", "matplotlib==3.1\npillow==9.0\ntorch==2.0\n", True),
        ("requirements.txt", "matplotlib==3.0\npillow==9.0\ntorch==2.1\n", False),
        ("cbam_lite/unused.py", "X = 1\n", False),
    ],
)
@pytest.mark.parametrize("tags", [(), ("nbval-ignore-output",)], ids=["compared", "not compared"])
def test_what_draws_counts_for_every_notebook(
    root: Path, name: str, text: str, is_stale: bool, tags: tuple[str, ...]
) -> None:
    path = notebook(root, *tags)
    assert sources.stale(path, root) == []
    (root / name).write_text(text)
    assert sources.stale(path, root) == ([name] if is_stale else [])


@pytest.mark.parametrize("name", ["cbam_lite/train.py", "cbam_lite/steps.py", "cbam_lite/table.csv"])
def test_what_computes_counts_where_nbval_does_not_compare(root: Path, name: str) -> None:
    compared, ignored = notebook(root), notebook(root, "nbval-ignore-output")
    (root / name).write_text((root / name).read_text() + "MORE = 1\n")
    assert sources.stale(ignored, root) == [name]
    assert sources.stale(compared, root) == []


def test_changed_cell_counts(root: Path) -> None:
    path = notebook(root)
    path.write_text(path.read_text().replace("plot.show(", "plot.draw("))
    assert sources.stale(path, root) == ["cells"]


def test_notebook_that_stores_nothing_is_stale(root: Path) -> None:
    path = notebook(root)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"metadata": {}}))
    assert "cbam_lite/plot.py" in sources.stale(path, root)


def test_unknown_import_is_an_error(root: Path) -> None:
    with pytest.raises(ValueError, match=r"cbam_lite\.nothing is in no file"):
        sources.behind("from cbam_lite import nothing", root)


def test_attribute_of_the_package_counts(root: Path) -> None:
    assert root / "cbam_lite" / "train.py" in sources.behind("import cbam_lite\ncbam_lite.fit()", root)


def test_changed_plotting_function_makes_real_pages_stale(tmp_path: Path) -> None:
    shutil.copytree(sources.ROOT / "cbam_lite", tmp_path / "cbam_lite")
    shutil.copy(sources.ROOT / "requirements.txt", tmp_path)
    plot = tmp_path / "cbam_lite" / "plot.py"
    assert [path.name for path in NOTEBOOKS if sources.stale(path, tmp_path)] == []
    plot.write_text(plot.read_text().replace("dpi=170", "dpi=171"))
    assert [sources.stale(path, tmp_path) for path in NOTEBOOKS] == [["cbam_lite/plot.py"]] * len(NOTEBOOKS)
