"""The examples of the reference: every name has one, in its docstring or on its page, and each gives what it says."""

import dataclasses
import doctest
import importlib
import inspect
import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

import cbam_lite

NAMES = [name for name in cbam_lite.__all__ if name != "__version__"]
ON_CUDA = {"attend"}
FROM_THE_NET = {"torchvision_data"}
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
PAGES = sorted((Path(__file__).resolve().parents[2] / "book" / "api").glob("*.md"))


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A folder to write into, with the photographs that the examples read."""
    monkeypatch.chdir(tmp_path)
    grey = Image.new("RGB", (80, 80), (120, 120, 120))
    hole = Image.new("L", (80, 80))
    hole.paste(255, (30, 30, 50, 50))
    crack = Image.composite(Image.new("RGB", (80, 80)), grey, hole)
    for name in ("photographs/crack/1.png", "photographs/good/1.png", "tiles/MT_Crack/Imgs/1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (crack if "rack" in name else grey).save(tmp_path / name)
    hole.save(tmp_path / "tiles/MT_Crack/Imgs/1.png")
    for name in ("train/good/1.png", "test/good/1.png", "test/crack/1.png", "ground_truth/crack/1_mask.png"):
        (tmp_path / "bottle" / name).parent.mkdir(parents=True, exist_ok=True)
        (hole if "mask" in name else crack if "crack" in name else grey).save(tmp_path / "bottle" / name)
    annotated(tmp_path, crack)
    board = tmp_path / "PCBData/group0"
    (board / "0001").mkdir(parents=True)
    (board / "0001_not").mkdir()
    for name in ("1_test.jpg", "1_temp.jpg"):
        grey.resize((640, 640)).save(board / "0001" / name)
    (board / "0001_not" / "1.txt").write_text("100 100 120 130 1\n")


def annotated(folder, picture):
    """The same hole as a table, and as three programs write it."""
    (folder / "labels.csv").write_text("path,label\nphotographs/crack/1.png,crack\nphotographs/good/1.png,good\n")
    images = [
        {"id": i, "file_name": f"{kind}/1.png", "height": 80, "width": 80} for i, kind in enumerate(("crack", "good"))
    ]
    hole = {"image_id": 0, "category_id": 7, "bbox": [30, 30, 20, 20]}
    coco = {"images": images, "annotations": [hole], "categories": [{"id": 7, "name": "crack"}]}
    (folder / "instances.json").write_text(json.dumps(coco))
    for name in ("labelled", "voc/JPEGImages", "voc/Annotations"):
        (folder / name).mkdir(parents=True)
    picture.save(folder / "labelled/1.png")
    shape = {"label": "crack", "shape_type": "rectangle", "points": [[30, 30], [50, 50]]}
    (folder / "labelled/1.json").write_text(json.dumps({"shapes": [shape], "imageHeight": 80, "imageWidth": 80}))
    picture.save(folder / "voc/JPEGImages/1.jpg")
    box = "".join(
        f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), (31, 31, 50, 50), strict=True)
    )
    text = f"<annotation><object><name>crack</name><bndbox>{box}</bndbox></object></annotation>"
    (folder / "voc/Annotations/1.xml").write_text(text)


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_public_name_runs(name, folders):
    finder = doctest.DocTestFinder(recurse=False)
    (example,) = finder.find(getattr(cbam_lite, name), name, module=False, globs=words())
    assert example.examples, f"{name} has no example in its docstring"
    if name in FROM_THE_NET or (name in ON_CUDA and not torch.cuda.is_available()):
        pytest.skip("needs CUDA" if name in ON_CUDA else "fetches a data set")
    if "torchvision." in example.docstring:
        example.globs["torchvision"] = pytest.importorskip("torchvision")
    assert not complaints(example)


def words() -> dict[str, object]:
    """What an example sees: all that `from cbam_lite import *` gives, its modules, and torch."""
    modules = ("faithfulness", "gradcam", "localize", "plot")
    return {name: getattr(cbam_lite, name) for name in (*cbam_lite.__all__, *modules)} | {"torch": torch}


def complaints(example: doctest.DocTest) -> str:
    """What doctest says about an example that does not give what it says."""
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=OPTIONS, verbose=False)
    runner.run(example, out=said.append, clear_globs=False)
    return "".join(said)


# ---- the pages of the reference --------------------------------------------------------------------------------------


def sessions(page: Path) -> list[str]:
    """The examples that stand on the page itself, beside those of the docstrings."""
    return re.findall(r"^```pycon\n(.*?)^```$", page.read_text(), re.M | re.S)


def without_example(page: Path) -> list[str]:
    """The full names on a page that no example uses. What only holds a function's results needs none of its own."""
    lines = re.findall(r"^(?:>>>|\.\.\.) ([^#\n]*)", "".join(sessions(page)), re.M)  # of code, without comments
    used = set(re.findall(r"\w+", " ".join(lines)))
    named = re.findall(r"automodule:: (\S+)\n +:members: (.+)", page.read_text())
    constants = re.findall(r"py:data:: (\w+)\n +:module: (\S+)", page.read_text())
    pairs = [(module, name) for module, names in named for name in names.split(", ")]
    pairs += [(module, name) for name, module in constants]
    things = {f"{module}.{name}": getattr(importlib.import_module(module), name) for module, name in pairs}
    return [
        name
        for name, thing in things.items()
        if ">>>" not in (inspect.getdoc(thing) or "")
        and not (dataclasses.is_dataclass(thing) or hasattr(thing, "_fields"))  # or a NamedTuple
        and name.rpartition(".")[2] not in used
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_name_of_a_page_has_an_example(page: Path) -> None:
    assert without_example(page) == []


def test_a_name_without_an_example_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```{eval-rst}\n.. automodule:: cbam_lite.explaining.localize\n   :members: peak, energy, area\n```\n"
        "```pycon\n>>> peak(maps)  # area\nenergy\n```\n"
    )
    assert without_example(page) == ["cbam_lite.explaining.localize.energy", "cbam_lite.explaining.localize.area"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_sessions_of_a_page_run(page: Path, folders: None) -> None:
    parser, globs = doctest.DocTestParser(), words()
    for number, text in enumerate(sessions(page), 1):
        example = parser.get_doctest(text, globs, f"{page.name}, session {number}", str(page), 0)
        assert not complaints(example)
        globs = example.globs  # a later session of the page may go on with what an earlier one made
