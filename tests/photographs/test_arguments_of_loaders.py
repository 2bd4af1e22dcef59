"""What is given in place of an argument of the loaders: the error names it and says what to give."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layouts import hole, photo, save

import cbam_lite
from cbam_lite import LabelledImages

NOT_SIZES = ["text", None, 0.5, (8, 8), True, 0, -1]
NOT_PATHS = [None, 3, ["a"]]
SHARED: dict[str, list[Any]] = {
    "size": NOT_SIZES,
    "classes": [3, "crack", ["zz"], ["crack", "crack"], [1, 2]],
    "groups": [3, "text", [1] * 99, lambda path: [path], lambda path: path.parts[9]],
    "bits": ["text", 0.5, True, 0, 17],
}
CASES: dict[str, tuple[Callable[..., LabelledImages], dict[str, Any], dict[str, list[Any]]]] = {
    "image_folder": (cbam_lite.image_folder, {"folder": "plain"}, {"folder": NOT_PATHS}),
    "masked_folder": (
        cbam_lite.masked_folder,
        {"folder": "masked"},
        {"folder": NOT_PATHS, "masks": NOT_PATHS[1:], "threshold": ["text", None, float("nan"), True]},
    ),
    "mvtec_folder": (
        cbam_lite.mvtec_folder,
        {"folder": "mvtec", "part": "test"},
        {"folder": NOT_PATHS, "part": [None, "valid", 3], "threshold": ["text", None]},
    ),
    "csv_file": (cbam_lite.csv_file, {"file": "plain/table.csv"}, {"file": NOT_PATHS, "folder": NOT_PATHS[1:]}),
    "coco_file": (
        cbam_lite.coco_file, {"file": "file.json", "images": "plain"}, {"file": NOT_PATHS, "images": NOT_PATHS}
    ),
    "labelme_folder": (cbam_lite.labelme_folder, {"folder": "labelme"}, {"folder": NOT_PATHS}),
    "voc_folder": (cbam_lite.voc_folder, {"folder": "voc"}, {"folder": NOT_PATHS}),
}  # fmt: skip


@pytest.fixture
def layouts_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One image of a crack in every layout."""
    monkeypatch.chdir(tmp_path)
    for name in ("plain/crack/1.png", "masked/crack/1.jpg", "mvtec/test/crack/1.png", "labelme/1.png"):
        save(Path(name), photo())
    save(Path("voc/JPEGImages/1.jpg"), photo())
    for name in ("masked/crack/1.png", "mvtec/ground_truth/crack/1_mask.png"):
        save(Path(name), hole())
    Path("plain/table.csv").write_text("path,label\ncrack/1.png,crack")
    image = {"id": 1, "file_name": "crack/1.png", "height": 12, "width": 16}
    mark = {"image_id": 1, "category_id": 1, "bbox": [5, 4, 3, 2]}
    kinds = [{"id": 1, "name": "crack"}]
    Path("file.json").write_text(json.dumps({"images": [image], "annotations": [mark], "categories": kinds}))
    shape = {"label": "crack", "points": [[5, 4], [8, 4], [8, 6]]}
    Path("labelme/1.json").write_text(json.dumps({"shapes": [shape]}))
    Path("voc/Annotations").mkdir()
    box = "<xmin>6</xmin><ymin>5</ymin><xmax>8</xmax><ymax>6</ymax>"
    Path("voc/Annotations/1.xml").write_text(f"<a><object><name>crack</name><bndbox>{box}</bndbox></object></a>")


@pytest.mark.usefixtures("layouts_of_all")
@pytest.mark.parametrize("case", CASES)
def test_arguments_of_another_kind_are_named(case: str) -> None:
    load, right, wrong = CASES[case]
    right = {"size": 48} | right
    data = load(**right)
    assert data.classes[int(data.labels[0])] == "crack"
    assert len(data) == 1
    assert data.masks is None or data.boxes[0].tolist()[:2] == [15, 16]
    for name, values in (SHARED | wrong).items():
        for value in values:
            with pytest.raises((TypeError, ValueError)) as said:
                load(**(right | {name: value}))
            assert name in str(said.value), f"{name}={value!r} gave {said.value}"


@pytest.mark.usefixtures("layouts_of_all")
@pytest.mark.parametrize("case", CASES)
def test_classes_and_groups_can_be_given_to_every_loader(case: str) -> None:
    load, right, _ = CASES[case]
    data = load(**({"size": 8} | right), classes=("zebra", "crack"), groups=lambda path: path.stem)
    assert (data.classes, data.labels.tolist()) == (("zebra", "crack"), [1])
    assert data.groups is not None
    assert data.groups.tolist() == [0]
    assert data.paths is not None
    assert data.paths[0].endswith(("1.png", "1.jpg"))


@pytest.mark.parametrize("case", CASES)
def test_what_is_not_there_is_named(case: str, tmp_path: Path) -> None:
    load, right, _ = CASES[case]
    missing = {name: value if name == "part" else tmp_path / value for name, value in right.items()}
    with pytest.raises(FileNotFoundError, match=r"is not a (folder|file): give"):
        load(**({"size": 8} | missing))


def test_a_numpy_number_is_a_size(tmp_path: Path) -> None:
    save(tmp_path / "crack/1.png", photo())
    assert cbam_lite.image_folder(tmp_path, np.int64(8)).images.shape == (1, 3, 8, 8)  # type: ignore[arg-type]
