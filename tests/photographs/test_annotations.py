"""COCO, labelme and Pascal VOC: masks, boxes and labels, against pixels that the test sets itself."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layouts import hole, photo, save
from PIL import Image

from cbam_lite import coco_file, labelme_folder, voc_folder
from cbam_lite.photographs.annotations import json_of, of_runs, outline_of, run_lengths

HOLE = [5, 4, 3, 2]  # of `hole`: x, y, width, height in 12 x 16 pixels
LOADED = [[15, 16, 24, 24]]  # the same in 48 x 48


def runs(mask: np.ndarray) -> list[int]:  # type: ignore[type-arg]
    """Run lengths of a mask, column by column, by counting."""
    counts, value = [0], False
    for pixel in mask.T.flatten() > 0:
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts


def letters(counts: list[int]) -> str:
    """COCO's rleToString, as its C code has it."""
    text = ""
    for i, x in enumerate(counts):
        x -= counts[i - 2] if i > 2 else 0
        more = True
        while more:
            c = x & 31
            x >>= 5
            more = x != -1 if c & 16 else x != 0
            text += chr((c | 32 if more else c) + 48)
    return text


SEGMENTATIONS: dict[str, Any] = {
    "polygon": [[5, 4, 7, 4, 7, 5, 5, 5]],
    "runs": {"size": [12, 16], "counts": runs(hole())},
    "letters": {"size": [12, 16], "counts": letters(runs(hole()))},
    "box": [],
}


def coco(folder: Path, **mark: Any) -> Path:
    """A COCO file of two images; the first has one hole of the category 9, called crack."""
    for name in ("b/2.png", "a/1.png"):
        save(folder / "images" / name, photo())
    images = [{"id": i, "file_name": name, "height": 12, "width": 16} for i, name in ((3, "b/2.png"), (1, "a/1.png"))]
    marks = [{"image_id": 3, "category_id": 9, "bbox": HOLE} | mark]
    kinds = [{"id": 9, "name": "crack"}, {"id": 2, "name": "rust"}]
    (folder / "file.json").write_text(json.dumps({"images": images, "annotations": marks, "categories": kinds}))
    return folder / "file.json"


@pytest.mark.parametrize("kind", SEGMENTATIONS)
def test_coco_marks_the_same_in_every_form(kind: str, tmp_path: Path) -> None:
    data = coco_file(coco(tmp_path, segmentation=SEGMENTATIONS[kind]), tmp_path / "images", 48)
    assert data.classes == ("clean", "rust", "crack")
    assert data.paths == ("a/1.png", "b/2.png")
    assert data.labels.tolist() == [0, 2]
    assert data.boxes.tolist() == [[0, 0, 0, 0], *LOADED]
    assert data.objects is not None
    assert [boxes.tolist() for boxes in data.objects] == [[], [[15, 16, 24, 24, 2]]]


def test_run_lengths_are_those_of_the_letters() -> None:
    random = np.random.default_rng(0)
    for share in (0.02, 0.5, 0.9):
        mask = np.kron(random.random((11, 7)) < share, np.ones((9, 13), bool))
        assert run_lengths(letters(runs(mask))) == runs(mask)
        assert (of_runs(runs(mask), mask.shape) == mask).all()


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ({"bbox": [5, 4, 30, 2]}, r"b.2.png: the box \(5, 4, 35, 6\) of 'crack' is none inside 16x12"),
        ({"category_id": 5}, r"file.json is no COCO file: KeyError\(5\)"),
        ({"image_id": 77}, r"is no COCO file: KeyError\(77\)"),
        ({"segmentation": [[5, 4, 7, 4, 7]]}, r"file.json is no COCO file: ValueError\("),
        ({"bbox": [5, 4, 3]}, r"file.json is no COCO file: ValueError\("),
        ({"segmentation": {"size": [12, 16], "counts": [3, 4]}}, "run lengths add up to 7, but the mask has 12x16"),
    ],
)
def test_coco_files_that_are_wrong(mark: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        coco_file(coco(tmp_path, **mark), tmp_path / "images", 48)


def test_a_photograph_of_another_size_than_was_marked(tmp_path: Path) -> None:
    file = coco(tmp_path)
    save(tmp_path / "images/b/2.png", photo(16, 12))
    with pytest.raises(ValueError, match=r"2.png is 12x16, but was marked as 16x12: give the image that was marked"):
        coco_file(file, tmp_path / "images", 48)


def labelme(folder: Path, *shapes: tuple[str, str, list[list[float]]]) -> None:
    save(folder / "1.jpg", photo())
    save(folder / "2.jpg", photo())
    marks = [{"label": label, "shape_type": kind, "points": points} for label, kind, points in shapes]
    (folder / "1.json").write_text(json.dumps({"imageHeight": 12, "imageWidth": 16, "shapes": marks}))


def test_labelme(tmp_path: Path) -> None:
    labelme(
        tmp_path,
        ("rust", "circle", [[12, 2], [12, 3]]),
        ("crack", "polygon", [[5, 4], [8, 4], [8, 6], [5, 6]]),
        ("crack", "point", [[1, 1]]),
    )
    data = labelme_folder(tmp_path, 48)
    assert data.classes == ("clean", "crack", "rust")
    assert data.labels.tolist() == [1, 0]
    assert data.objects is not None
    assert data.objects[0].tolist() == [[33, 4, 39, 12, 2], [15, 16, 24, 24, 1]]
    assert data.masks is not None
    assert data.masks[0, 20, 18]
    assert data.masks[0, 8, 36]
    assert not data.masks[0, 40].any()
    assert not data.masks[1].any()
    assert data.notes == (
        "1 shape without an area left out: point in 1.jpg",
        "1 image with objects of several classes, labelled by the largest: 1.jpg",
    )


def test_labelme_files_that_are_wrong(tmp_path: Path) -> None:
    labelme(tmp_path)
    (tmp_path / "1.json").write_text("{")
    with pytest.raises(ValueError, match=r"1.json is no JSON"):
        labelme_folder(tmp_path, 48)
    (tmp_path / "1.json").write_text('{"shapes": [{"points": []}]}')
    with pytest.raises(ValueError, match=r"1.json is no file of labelme: KeyError\('label'\)"):
        labelme_folder(tmp_path, 48)
    for points in ([[1]], [["a", 2]], 3, [[1, 2, 3]]):
        labelme(tmp_path, ("crack", "polygon", points))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"1.json is no file of labelme: (Value|Type)Error\("):
            labelme_folder(tmp_path, 48)
    (tmp_path / "1.json").unlink()
    with pytest.raises(ValueError, match=r"holds no name.json beside its images"):
        labelme_folder(tmp_path, 48)


def test_voc_counts_from_one(tmp_path: Path) -> None:
    save(tmp_path / "JPEGImages/1.jpg", photo())
    save(tmp_path / "JPEGImages/2.jpg", photo())
    (tmp_path / "Annotations").mkdir()
    box = "<xmin>6</xmin><ymin>5</ymin><xmax>8</xmax><ymax>6</ymax>"
    text = (
        "<annotation><size><width>16</width><height>12</height></size><object><name>crack</name><part><name>x</name></part>"
        f"<bndbox>{box}</bndbox></object></annotation>"
    )
    (tmp_path / "Annotations/1.xml").write_text(text)
    data = voc_folder(tmp_path, 48)
    assert data.classes == ("clean", "crack")
    assert data.labels.tolist() == [1, 0]
    assert data.boxes.tolist() == [*LOADED, [0, 0, 0, 0]]
    (tmp_path / "Annotations/1.xml").write_text(text.replace("<xmin>6</xmin>", ""))
    with pytest.raises(ValueError, match=r"1.xml is no file of Pascal VOC"):
        voc_folder(tmp_path, 48)


# ---- edges that a small mistake would move ---------------------------------------------------------------------------


@pytest.mark.parametrize(("x0", "width"), [(-1, 17), (0, 17), (-1, 18)])
def test_a_box_may_stand_out_by_a_pixel(x0: float, width: float, tmp_path: Path) -> None:
    for box in ([x0, 4, width, 2], [5, x0, 3, width - 4]):
        assert coco_file(coco(tmp_path, bbox=box), tmp_path / "images", 48).labels.tolist() == [0, 2]


@pytest.mark.parametrize(
    "box", [[-1.5, 4, 3, 2], [5, -1.5, 3, 2], [5, 4, 12.5, 2], [5, 4, 3, 9.5], [5, 4, 0, 2], [5, 4, 3, 0]]
)
def test_a_box_that_stands_out_further_or_is_empty_is_refused(box: list[float], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is none inside 16x12: mark it anew"):
        coco_file(coco(tmp_path, bbox=box), tmp_path / "images", 48)


def test_a_box_alone_marks_every_pixel_that_it_touches(tmp_path: Path) -> None:
    data = coco_file(coco(tmp_path, bbox=[2, 3, 4, 5]), tmp_path / "images", 48)
    assert data.masks is not None
    rows, columns = data.masks[1].nonzero().T
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (3 * 4, 8 * 4, 2 * 3, 6 * 3)
    assert data.masks[1].sum() == 20 * 12


def test_coco_names_and_the_largest_object(tmp_path: Path) -> None:
    file = coco(tmp_path)
    content = json.loads(file.read_text())
    small = {"image_id": 3, "category_id": 2, "bbox": [0, 0, 5, 1]}
    content["annotations"].insert(0, small)
    file.write_text(json.dumps(content))
    data = coco_file(file, tmp_path / "images", 48, clean="rust")
    assert data.classes == ("rust", "crack")
    assert data.labels.tolist() == [0, 1], "5 x 1 pixels are fewer than 3 x 2, though wider"
    assert data.notes == ("1 image with objects of several classes, labelled by the largest: b/2.png",)
    content["annotations"][0]["bbox"] = [0, 0, 7, 1]
    content["annotations"] += [{"image_id": 1, "category_id": k, "bbox": [1, 1, k, 2]} for k in (2, 9)]
    file.write_text(json.dumps(content))
    data = coco_file(file, tmp_path / "images", 48)
    assert data.labels.tolist() == [2, 1]
    assert data.notes[0].startswith("2 images with objects of several classes")


def test_labelme_s_shapes(tmp_path: Path) -> None:
    labelme(
        tmp_path,
        ("crack", "rectangle", [[5, 4], [7, 5]]),
        ("crack", "line", [[5, 4], [7, 5]]),
        ("crack", "polygon", [[5, 4], [7, 5]]),
        ("crack", "rectangle", [[5, 4]]),
        ("crack", "circle", [[5, 4]]),
    )
    data = labelme_folder(tmp_path, 48)
    assert data.notes == (
        "4 shapes without an area left out: line in 1.jpg, polygon in 1.jpg, rectangle in 1.jpg and 1 more",
    )
    assert data.masks is not None
    rows, columns = data.masks[0].nonzero().T
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (16, 24, 15, 24)
    assert data.masks[0].sum() == 8 * 9


def test_a_circle_is_round() -> None:
    outline = outline_of("circle", [[10, 20], [13, 24]])
    assert outline is not None
    assert len({(round(x, 6), round(y, 6)) for x, y in outline}) == 64
    assert [math.dist((10, 20), corner) for corner in outline] == pytest.approx([5] * 64)
    assert outline[0] == pytest.approx((15, 20))
    assert outline[16] == pytest.approx((10, 25))


def test_labelme_images_of_another_size_than_noted(tmp_path: Path) -> None:
    labelme(tmp_path, ("crack", "polygon", [[5, 4], [8, 4], [8, 6]]))
    save(tmp_path / "1.jpg", photo(12, 18))
    with pytest.raises(ValueError, match=r"1.jpg is 18x12, but was marked as 16x12"):
        labelme_folder(tmp_path, 48)


def test_voc_images_of_another_size_than_noted_and_several_objects(tmp_path: Path) -> None:
    def noted(width: int, height: int, *names: str) -> None:
        end = "<ymin>5</ymin><xmax>8</xmax><ymax>6</ymax></bndbox></object>"
        boxes = "".join(f"<object><name> {x} </name><bndbox><xmin>{6 - n}</xmin>{end}" for n, x in enumerate(names))
        size = f"<size><width>{width}</width><height>{height}</height></size>"
        (tmp_path / "Annotations/1.xml").write_text(f"<annotation>{size}{boxes}</annotation>")

    save(tmp_path / "JPEGImages/1.jpg", photo())
    (tmp_path / "JPEGImages/notes.txt").write_text("")
    (tmp_path / "Annotations").mkdir()
    noted(16, 12, "rust", "crack")
    data = voc_folder(tmp_path, 48, clean="good")
    assert (data.classes, data.labels.tolist()) == (("good", "crack", "rust"), [1])
    assert data.objects is not None
    assert data.objects[0].tolist() == [[15, 16, 24, 24, 2], [12, 16, 24, 24, 1]]
    assert data.notes == (
        "1 file that is no image left out: notes.txt",
        "1 image with objects of several classes, labelled by the largest: 1.jpg",
    )
    noted(12, 16, "rust")
    with pytest.raises(ValueError, match=r"1.jpg is 16x12, but was marked as 12x16"):
        voc_folder(tmp_path, 48)
    (tmp_path / "Annotations/1.xml").write_text("<a>")
    with pytest.raises(
        ValueError, match=r"1.xml is no file of Pascal VOC: expected object/bndbox/xmin and so on \(no ele"
    ):
        voc_folder(tmp_path, 48)
    (tmp_path / "Annotations/1.xml").unlink()
    with pytest.raises(ValueError, match=r"Annotations holds no name.xml for any image of .*JPEGImages"):
        voc_folder(tmp_path, 48)


@pytest.mark.filterwarnings("ignore:1 image equal to another")
def test_bits_and_groups_reach_the_photographs(tmp_path: Path) -> None:
    file = coco(tmp_path)
    for name in ("b/2.png", "a/1.png"):
        Image.fromarray(np.full((12, 16), 1000, np.uint16)).save(tmp_path / "images" / name)
    data = coco_file(file, tmp_path / "images", 8, bits=12, groups=[5, 4])
    assert data.images.unique().tolist() == [62]
    assert data.groups is not None
    assert data.groups.tolist() == [0, 1]


def test_json_is_read_as_utf_8_whatever_the_system_prefers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, real = [], Path.read_text

    def noted(path: Path, encoding: str | None = None) -> str:
        asked.append(encoding)
        return real(path, encoding)

    monkeypatch.setattr(Path, "read_text", noted)
    (tmp_path / "1.json").write_bytes('{"label": "Riß"}'.encode())
    assert json_of(tmp_path / "1.json") == {"label": "Riß"}
    assert asked == ["utf-8"]
