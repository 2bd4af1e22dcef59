"""The examples in the docstrings of public names: every name has one, and each runs and gives what it says."""

import doctest
import json

import pytest
import torch
from PIL import Image

import cbam_lite

NAMES = [name for name in cbam_lite.__all__ if name != "__version__"]
ON_CUDA = {"attend"}
FROM_THE_NET = {"torchvision_data"}


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
    words = {public: getattr(cbam_lite, public) for public in cbam_lite.__all__} | {"torch": torch}
    (example,) = doctest.DocTestFinder(recurse=False).find(getattr(cbam_lite, name), name, module=False, globs=words)
    assert example.examples, f"{name} has no example in its docstring"
    if name in FROM_THE_NET or (name in ON_CUDA and not torch.cuda.is_available()):
        pytest.skip("needs CUDA" if name in ON_CUDA else "fetches a data set")
    if "torchvision." in example.docstring:
        example.globs["torchvision"] = pytest.importorskip("torchvision")
    said: list[str] = []
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    doctest.DocTestRunner(optionflags=options, verbose=False).run(example, out=said.append)
    assert not said, "".join(said)
