"""YOLO's label files and COCO's boxes, against rectangles that the test paints itself."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from cbam_lite.detection.boxed_images import BoxedImages
from cbam_lite.detection.label_files import box_of
from cbam_lite.detection.letterboxing import Letterbox, letterbox
from cbam_lite.detection.reading_boxes import coco_boxes, yolo_folder

H, W = 60, 100  # of the photographs; the scale to 50 is 1/2, with 10 rows above
BOX = (20, 10, 60, 30)  # x0, y0, x1, y1, white on black
LINE = "0.4 0.33333333 0.4 0.33333333"
INSIDE = [10, 15, 30, 25]  # the same in 50 x 50


def photo(path: Path, box: tuple[int, int, int, int] | None = BOX, **options: Any) -> None:
    pixels = np.zeros((H, W), np.uint8)
    if box is not None:
        x0, y0, x1, y1 = box
        pixels[y0:y1, x0:x1] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def write(path: Path, text: str = f"1 {LINE}\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def yolo(folder: Path, text: str = f"1 {LINE}\n") -> Path:
    """One photograph with its label file, and one without."""
    photo(folder / "images/1.png")
    photo(folder / "images/2.png", None)
    write(folder / "labels/1.txt", text)
    write(folder / "labels/2.txt", "")
    return folder


def is_read(data: BoxedImages, classes: tuple[str, ...] = ("0", "1")) -> None:
    """The two photographs of `yolo`, and the box where its pixels are."""
    assert data.classes == classes
    assert [objects.labels.tolist() for objects in data.objects] == [[1], []]
    assert data.objects[0].boxes.shape == (1, 4)
    assert (data.objects[0].boxes - torch.tensor(INSIDE)).abs().max() < 1e-4
    assert data.objects[1].boxes.shape == (0, 4)
    assert data.images.shape == (2, 3, 50, 50)
    assert (data.images[0, :, 16:24, 11:29] == 255).all()
    assert (data.images[:, :, :10] == 128).all()
    assert not data.images[1, :, 10:40].any()


# ---- YOLO: layouts --------------------------------------------------------------------------------------------------


def test_images_and_labels(tmp_path: Path) -> None:
    data = yolo_folder(yolo(tmp_path), 50)
    is_read(data)
    assert data.paths == ("images/1.png", "images/2.png")
    assert data.notes == (
        "the classes are called by their numbers, for there is none of classes.txt, obj.names, data.yaml: give classes",
    )


def test_label_files_beside_the_images(tmp_path: Path) -> None:
    for name, box in (("1", BOX), ("2", None)):
        photo(tmp_path / f"{name}.png", box)
    write(tmp_path / "1.txt")
    data = yolo_folder(tmp_path, 50)
    is_read(data)
    assert data.notes[-1] == "1 image without a label file, so without objects: 2.png"


@pytest.mark.parametrize(
    ("images", "labels", "folder"),
    [
        ("images/train", "labels/train", "images/train"),
        ("images/train", "labels/train", ""),
        ("images/train", "labels/train", "images"),
        ("train/images", "train/labels", "train"),
        ("images/a/images", "images/a/labels", ""),
        ("images/a b", "labels/a b", ""),
    ],
)
def test_ultralytics_layouts(images: str, labels: str, folder: str, tmp_path: Path) -> None:
    photo(tmp_path / images / "1.png")
    photo(tmp_path / images / "2.png", None)
    write(tmp_path / labels / "1.txt")
    write(tmp_path / "data.yaml", "names: [pit, crack]\ntrain: images/train\n")
    is_read(yolo_folder(tmp_path / folder, 50), ("pit", "crack"))


def test_a_relative_path_finds_its_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    yolo(tmp_path)
    for here, folder in ((tmp_path, "images"), (tmp_path / "images", ".")):
        monkeypatch.chdir(here)
        is_read(yolo_folder(folder, 50))


def test_parts_are_read_one_by_one(tmp_path: Path) -> None:
    for part in ("train", "val"):
        photo(tmp_path / "images" / part / "1.png")
        write(tmp_path / "labels" / part / "1.txt")
    with pytest.raises(ValueError, match=r"holds images/train and images/val, .* yolo_folder\(folder / 'images/val', "):
        yolo_folder(tmp_path, 50)
    assert len(yolo_folder(tmp_path / "images/val", 50)) == 1


def test_files_that_stand_beside_label_files(tmp_path: Path) -> None:
    yolo(tmp_path)
    for name in ("train.txt", "labels/train.txt", "labels/README.txt", "images/autosplit_val.txt", "notes.txt"):
        write(tmp_path / name, "images/1.png\n")
    write(tmp_path / "labels/classes.txt", "pit\ncrack\n")
    write(tmp_path / "labels.cache", "x")
    data = yolo_folder(tmp_path, 50)
    is_read(data, ("pit", "crack"))
    assert data.notes == ("the classes are named by classes.txt",)


# ---- YOLO: names of classes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "pit\ncrack\ndust\n\n"),
        ("labels/classes.txt", "\ufeffpit\r\ncrack\r\ndust"),
        ("obj.names", "pit\ncrack\ndust\n"),
        ("data.yaml", "nc: 3\nnames: ['pit', 'crack', 'dust']\n"),
        ("data.yaml", "names:\n  0: pit\n  1: crack\n  2: dust\n"),
    ],
)
def test_names_of_classes(name: str, text: str, tmp_path: Path) -> None:
    yolo(tmp_path)
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    data = yolo_folder(tmp_path, 50)
    is_read(data, ("pit", "crack", "dust"))
    assert data.notes == (f"the classes are named by {Path(name).name}",)


def test_given_classes_name_the_numbers(tmp_path: Path) -> None:
    data = yolo_folder(yolo(tmp_path), 50, classes=["pit", "crack", "dust"])
    is_read(data, ("pit", "crack", "dust"))
    assert data.notes == ()


def test_given_classes_order_what_a_file_names(tmp_path: Path) -> None:
    write(yolo(tmp_path) / "classes.txt", "pit\ncrack\n")
    data = yolo_folder(tmp_path, 50, classes=["crack", "pit"])
    assert data.classes == ("crack", "pit")
    assert data.objects[0].labels.tolist() == [0], "number 1 is crack whatever the order"
    with pytest.raises(ValueError, match=r"1.txt, line 1: the class 'crack' is not one of classes=\['pit'\]: add it"):
        yolo_folder(tmp_path, 50, classes=["pit"])


def test_names_that_do_not_agree(tmp_path: Path) -> None:
    write(yolo(tmp_path) / "classes.txt", "pit\ncrack\n")
    write(tmp_path / "data.yaml", "names: [pit, crack]")
    assert yolo_folder(tmp_path, 50).classes == ("pit", "crack")
    write(tmp_path / "data.yaml", "names: [crack, pit]")
    with pytest.raises(ValueError, match=r"classes.txt names the classes .* take the wrong one away"):
        yolo_folder(tmp_path, 50)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("classes.txt", "", "expected at least one name"),
        ("classes.txt", "a\n\nb\n", "no line empty"),
        ("classes.txt", "a\na\n", "each once"),
        ("data.yaml", "names: [a, a]", "each once"),
        ("data.yaml", "names: {1: a, 2: b}", r"counts from 0: KeyError\(0\)"),
        ("data.yaml", "names: ab", "names is 'ab'"),
        ("data.yaml", "nc: 3", r"KeyError\('names'\)"),
        ("data.yaml", "- 3", "has no 'names'"),
        ("data.yaml", "", "has no 'names'"),
        ("data.yaml", "names: [a, no]", "the name False is no text.*put it in quotes"),
        ("data.yaml", "names: [a", "has no 'names'"),
    ],
)
def test_names_that_are_none(name: str, text: str, said: str, tmp_path: Path) -> None:
    write(yolo(tmp_path) / name, text)
    with pytest.raises(ValueError, match=said):
        yolo_folder(tmp_path, 50)


def test_a_file_of_names_that_is_no_text(tmp_path: Path) -> None:
    (yolo(tmp_path) / "classes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"classes.txt is no text: expected the names"):
        yolo_folder(tmp_path, 50)


def test_without_pyyaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    is_read(yolo_folder(yolo(tmp_path), 50))  # it is not needed
    write(tmp_path / "data.yaml", "names: [a, b]")
    with pytest.raises(ImportError, match=r"data.yaml is read by PyYAML: pip install pyyaml"):
        yolo_folder(tmp_path, 50)


def test_an_image_that_is_called_classes(tmp_path: Path) -> None:
    photo(tmp_path / "classes.png")
    write(tmp_path / "classes.txt")
    assert yolo_folder(tmp_path, 50).objects[0].labels.tolist() == [1]


# ---- YOLO: lines ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 0.5 0.5 0.2", "4 numbers, not the five of 'class cx cy w h': is a number missing"),
        ("0 0.5 0.5 0.2 0.2 0.9", "6 numbers.*a box with its confidence"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.2", "7 numbers.*the outline of a segmentation"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2", "9 numbers.*turned box"),
        ("pit 0.5 0.5 0.2 0.2", "expected 'class cx cy w h', five numbers, got 'pit 0.5"),
        ("0,0.5,0.5,0.2,0.2", "five numbers, got"),
        ("0 0,5 0,5 0,2 0,2", "five numbers, got"),
        ("-1 0.5 0.5 0.2 0.2", "the class is -1: classes are whole numbers from 0"),
        ("1.5 0.5 0.5 0.2 0.2", "the class is 1.5"),
        ("nan 0.5 0.5 0.2 0.2", "the class is nan"),
        ("inf 0.5 0.5 0.2 0.2", "the class is inf"),
        ("1000000000 0.5 0.5 0.2 0.2", "the class is 1000000000: .* 0 to 9999"),
        ("0 nan 0.5 0.2 0.2", r"cx, cy, w, h are \[nan, 0.5, 0.2, 0.2\]"),
        ("0 0.5 inf 0.2 0.2", "are .*inf"),
        ("0 0.5 0.5 0 0.2", "w and h above 0"),
        ("0 0.5 0.5 0.2 -0.2", "w and h above 0"),
        (
            "0 0.95 0.5 0.2 0.2",
            r"box \[85.0, 24.0, 105.0, 36.0\] in pixels reaches 5 pixels out of its image of 100x60",
        ),
        ("0 0.5 0.01 0.2 0.2", "reaches 5.4 pixels out"),
        ("0 50 30 20 20", "reaches .* YOLO's numbers are shares from 0 to 1"),
        ("0 0.5 0.5 0.00001 0.2", "has no area inside its image of 100x60"),
        ("0 1.004 0.5 0.008 0.2", "has no area"),
        ("0 1e308 0.5 1e308 0.2", "pixels out of its image"),
        ("\0\0\0", "five numbers, got"),
    ],
)
def test_lines_that_are_no_boxes(line: str, said: str, tmp_path: Path) -> None:
    yolo(tmp_path, f"\n1 {LINE}\n{line}\n")
    with pytest.raises(ValueError, match=said) as error:
        yolo_folder(tmp_path, 50)
    assert str(error.value).startswith(f"{tmp_path / 'labels/1.txt'}, line 3: "), "the empty line counts"


def test_binary_garbage(tmp_path: Path) -> None:
    (yolo(tmp_path) / "labels/1.txt").write_bytes(bytes(range(256)))
    with pytest.raises(ValueError, match=r"1.txt is no text: expected lines of 'class cx cy w h'"):
        yolo_folder(tmp_path, 50)


numbers = st.one_of(st.floats().map(repr), st.integers(-1, 3).map(str), st.text(max_size=4))


@given(st.one_of(st.text(max_size=40), st.lists(numbers, min_size=4, max_size=6).map(" ".join)))
@example("3 0.5 0.25 0.5 0.25")
def test_any_line_is_a_box_or_a_named_error(line: str) -> None:
    said = ""
    try:
        where, kind, (x0, y0, x1, y1) = box_of("here", line)
    except ValueError as error:
        said = str(error)
    if said:
        assert said.startswith("here: ")
    else:
        assert where == "here"
        assert 0 <= kind <= 9999
        assert (x1 >= x0, y1 >= y0) == (True, True), "and no NaN"


def test_a_class_without_a_name(tmp_path: Path) -> None:
    yolo(tmp_path, f"0 {LINE}\n5 {LINE}\n")
    write(tmp_path / "classes.txt", "pit\ncrack\n")
    said = r"labels.1.txt, line 2: class 5, but only 0 to 1 have names: pit, crack"
    with pytest.raises(ValueError, match=said):
        yolo_folder(tmp_path, 50)
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(ValueError, match=said):
        yolo_folder(tmp_path, 50, classes=["pit", "crack"])
    assert yolo_folder(tmp_path, 50).classes == tuple("012345")


def test_whole_numbers_may_be_written_as_floats(tmp_path: Path) -> None:
    is_read(yolo_folder(yolo(tmp_path, f"1.0 {LINE}\n"), 50))


def test_a_box_that_reaches_out_by_a_pixel_is_cut_off(tmp_path: Path) -> None:
    yolo(tmp_path, "0 0.5 0.5 1 1\n0 0.954 0.5 0.1 0.5\n0 0.1 0.1 0.20001 0.2\n")  # 0.4 and 0.0005 pixels beyond
    data = yolo_folder(tmp_path, 50)
    boxes = data.objects[0].boxes
    assert boxes[0].tolist() == [0, 10, 50, 40], "the whole image"
    assert torch.allclose(boxes[1], torch.tensor([45.2, 17.5, 50, 32.5]))
    assert boxes[1, 2] == 50
    assert boxes[2, 0] == 0, "cut off, though it is no more than rounding"
    assert data.notes[-1].startswith("1 object cut off at the border, 0.4 pixels at most: ")
    assert data.notes[-1].endswith("1.txt, line 2")


def test_the_tolerance_of_a_large_image(tmp_path: Path) -> None:
    Image.new("L", (4000, 10)).save(tmp_path / "1.png")
    write(tmp_path / "1.txt", "0 0.9509 0.5 0.1 1")  # 3.6 pixels, 0.9 thousandths
    assert len(yolo_folder(tmp_path, 50).objects[0].boxes) == 1
    write(tmp_path / "1.txt", "0 0.9511 0.5 0.1 1")  # 4.4 pixels
    with pytest.raises(ValueError, match=r"reaches 4\.4 pixels out of its image of 4000x10"):
        yolo_folder(tmp_path, 50)


def test_a_box_that_is_marked_twice_counts_once(tmp_path: Path) -> None:
    yolo(tmp_path, f"1 {LINE}\n0 {LINE}\n1 {LINE}\n")
    data = yolo_folder(tmp_path, 50)
    assert data.objects[0].labels.tolist() == [1, 0], "two classes are two objects"
    assert data.notes[-1] == f"1 object marked twice, counted once: {tmp_path / 'labels/1.txt'}, line 3"


def test_a_box_that_vanishes_is_noted(tmp_path: Path) -> None:
    data = yolo_folder(yolo(tmp_path, "0 0.5 0.5 0.015 0.5\n0 0.5 0.5 0.025 0.5\n"), 50)
    assert data.notes[-1] == "1 object thinner than a pixel at size=50: images/1.png"


# ---- YOLO: files without partners -----------------------------------------------------------------------------------


def test_images_without_label_files(tmp_path: Path) -> None:
    yolo(tmp_path)
    for i in range(3, 9):
        photo(tmp_path / f"images/{i}.png", None)
    data = yolo_folder(tmp_path, 50)
    assert len(data) == 8
    assert data.notes[-1] == (
        "6 images without a label file, so without objects: images/3.png, images/4.png, images/5.png and 3 more"
    )


def test_no_image_has_a_label_file(tmp_path: Path) -> None:
    photo(tmp_path / "images/1.png")
    with pytest.raises(ValueError, match=r"none of 1 image below .* has a label file: looked for") as error:
        yolo_folder(tmp_path, 50)
    for place in ("labels/1.txt", "images/1.txt"):
        assert str(tmp_path / place) in str(error.value)


@pytest.mark.parametrize("name", ["labels/7.txt", "images/7.txt", "labels/old/7.txt"])
def test_a_label_file_without_its_image(name: str, tmp_path: Path) -> None:
    write(yolo(tmp_path) / name)
    with pytest.raises(ValueError, match=rf"1 label file without an image: .*{Path(name).name}; put the images back"):
        yolo_folder(tmp_path, 50)


def test_a_label_file_without_its_image_in_a_mirrored_folder(tmp_path: Path) -> None:
    photo(tmp_path / "images/train/1.png")
    write(tmp_path / "labels/train/1.txt")
    write(tmp_path / "labels/train/2.txt")
    with pytest.raises(ValueError, match=r"1 label file without an image: .*2\.txt"):
        yolo_folder(tmp_path / "images/train", 50)


def test_two_images_that_share_a_label_file(tmp_path: Path) -> None:
    photo(yolo(tmp_path) / "images/1.bmp")
    with pytest.raises(ValueError, match=r"1\.bmp and .*1\.png share the label file .*1\.txt: take one"):
        yolo_folder(tmp_path, 50)


def test_two_label_files_of_an_image(tmp_path: Path) -> None:
    write(yolo(tmp_path) / "images/1.txt")
    with pytest.raises(ValueError, match=r"1.png has two label files, .*labels.1.txt and .*images.1.txt: take one"):
        yolo_folder(tmp_path, 50)


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is not a folder: give the one that holds images and YOLO's label"):
        yolo_folder(tmp_path / "nowhere", 50)
    with pytest.raises(FileNotFoundError, match=r"holds no images: expected images/1.jpg and labels/1.txt"):
        yolo_folder(tmp_path, 50)
    yolo(tmp_path, "")
    with pytest.raises(ValueError, match=r"no label file of .* has a box, and nothing names the classes"):
        yolo_folder(tmp_path, 50)
    assert repr(yolo_folder(tmp_path, 50, classes=["pit"])).endswith("with 0 objects: 0 pit; 2 without any)")


def test_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    (yolo(tmp_path) / "images/1.png").write_bytes(b"\x89PNG\r\n\x1a\n garbage")
    with pytest.raises(ValueError, match=r"1.png cannot be read as an image"):
        yolo_folder(tmp_path, 50)


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"size": 0}, ValueError, "size=0 must be at least 1"),
        ({"size": (50, 50)}, TypeError, "size must be one whole number"),
        ({"classes": "pit"}, TypeError, "classes must be a list of names"),
        ({"classes": ["a", "a"]}, ValueError, "names a class twice"),
        ({"bits": 20}, ValueError, "bits=20 must be at most 16"),
        ({"folder": 3}, TypeError, "folder must be a path"),
    ],
)
def test_arguments_that_are_wrong(options: dict[str, Any], kind: type[Exception], said: str, tmp_path: Path) -> None:
    with pytest.raises(kind, match=said):
        yolo_folder(**{"folder": yolo(tmp_path), "size": 50} | options)


# ---- pixels of other kinds ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_those_of_the_upright_image(orientation: int, tmp_path: Path) -> None:
    """The file stores its pixels turned, as a camera does, and the EXIF tag says how to turn them back."""
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's name for what undoes the turning
    yolo(tmp_path)
    with Image.open(tmp_path / "images/1.png") as upright:
        stored = upright.transpose(Image.Transpose(back[orientation])) if orientation > 1 else upright.copy()
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "images/1.png", exif=exif)
    data = yolo_folder(tmp_path, 50)
    is_read(data)
    assert ("1 image turned upright, as the EXIF tag says" in data.notes) == (orientation > 1)


def test_16_bits(tmp_path: Path) -> None:
    pixels = np.zeros((H, W), np.uint16)
    pixels[10:30, 20:60] = 4095
    yolo(tmp_path)
    Image.fromarray(pixels).save(tmp_path / "images/1.png")
    data = yolo_folder(tmp_path, 50)
    is_read(data)
    assert any("(12 bits)" in note and "pass bits=12" in note for note in data.notes)
    assert yolo_folder(tmp_path, 50, bits=16).images[0, 0, 20, 20] == 16


def test_deep_colours_that_use_their_lower_bits_are_refused(tmp_path: Path) -> None:
    """The padding is brighter than any pixel: it must not hide that all of these are dark."""
    write(tmp_path / "1.txt")
    raw = np.full((H, W, 3), 4095, ">u2")  # a PNG with 16 bits for each colour, which Pillow reads, but does not write
    (tmp_path / "1.png").write_bytes(png_of_16_bits(raw))
    with pytest.raises(ValueError, match="the brightest of the upper 8 bits is 15; multiply the values"):
        yolo_folder(tmp_path, 50)


def png_of_16_bits(pixels: np.ndarray) -> bytes:  # type: ignore[type-arg]
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_every_image_is_letterboxed_by_its_own_shape(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for i, (high, wide) in enumerate(((31, 77), (77, 31), (50, 50), (200, 3))):
        pixels = random.integers(0, 256, (high, wide, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        write(tmp_path / f"{i}.txt", "0 0.3 0.6 0.4 0.2\n")
        square, where = letterbox(torch.from_numpy(pixels).permute(2, 0, 1), 48)
        data = yolo_folder(tmp_path, 48).take([i])
        assert torch.equal(data.images[0], square)
        expected = torch.tensor([[0.1 * wide, 0.5 * high, 0.5 * wide, 0.7 * high]])
        assert torch.allclose(data.objects[0].boxes, where.boxes_in(expected), atol=1e-4)


# ---- COCO -----------------------------------------------------------------------------------------------------------

X, Y, WIDE, HIGH = BOX[0], BOX[1], BOX[2] - BOX[0], BOX[3] - BOX[1]


def coco(folder: Path, *marks: dict[str, Any], **parts: Any) -> Path:
    """A COCO file of two images, whose ids and names stand in different orders, with one box of the category 9."""
    photo(folder / "images/a/2.png", None)
    photo(folder / "images/a/1.png")
    images = [{"id": i, "file_name": f"a/{n}.png", "height": H, "width": W} for i, n in ((3, 2), (7, 1))]
    mark = {"id": 50, "image_id": 7, "category_id": 9, "bbox": [X, Y, WIDE, HIGH], "iscrowd": 0}
    content = {
        "images": images,
        "annotations": [mark | other for other in marks or ({},)],
        "categories": [{"id": 9, "name": "crack"}, {"id": 2, "name": "pit"}],
    }
    return write(folder / "file.json", json.dumps(content | parts))


def test_coco(tmp_path: Path) -> None:
    data = coco_boxes(coco(tmp_path), tmp_path / "images", 50)
    is_read(data, ("pit", "crack"))
    assert data.paths == ("a/1.png", "a/2.png")
    assert data.objects[0].boxes.tolist() == [INSIDE]
    assert data.notes == ()


def test_coco_agrees_with_yolo(tmp_path: Path) -> None:
    boxes = np.random.default_rng(0).uniform(2, 20, (12, 4)).tolist()
    file = coco(tmp_path, *({"id": i, "bbox": box} for i, box in enumerate(boxes)))
    lines = (f"1 {(x + w / 2) / W!r} {(y + h / 2) / H!r} {w / W!r} {h / H!r}\n" for x, y, w, h in boxes)
    yolo(tmp_path / "yolo", "".join(lines))
    a, b = coco_boxes(file, tmp_path / "images", 50), yolo_folder(tmp_path / "yolo", 50)
    assert torch.equal(a.images, b.images)
    assert torch.allclose(a.objects[0].boxes, b.objects[0].boxes, atol=1e-4)
    x, y, w, h = boxes[0]
    where = Letterbox((H, W), (50, 50)).boxes_in(torch.tensor([[x, y, x + w, y + h]]))
    assert torch.allclose(a.objects[0].boxes[:1], where)


def test_coco_is_that_of_pycocotools(tmp_path: Path) -> None:
    tools = pytest.importorskip("pycocotools.coco")
    marks = ({"id": 1}, {"id": 2, "category_id": 2, "bbox": [1.5, 2.25, 30, 20]}, {"id": 3, "image_id": 3})
    file = coco(tmp_path, *marks, {"id": 4, "iscrowd": 1})
    reference, data = tools.COCO(str(file)), coco_boxes(file, tmp_path / "images", 100)  # 100: a scale of 1
    for i, objects in zip((7, 3), data.objects, strict=True):
        found = reference.loadAnns(reference.getAnnIds(imgIds=[i], iscrowd=False))
        corners = [[x, y + 20, x + w, y + h + 20] for x, y, w, h in (mark["bbox"] for mark in found)]
        assert objects.boxes.tolist() == corners
        names = [reference.loadCats([mark["category_id"]])[0]["name"] for mark in found]
        assert [data.classes[label] for label in objects.labels] == names


def test_crowds_are_left_out(tmp_path: Path) -> None:
    file = coco(tmp_path, {}, {"id": 51, "iscrowd": 1, "bbox": [0, 0, 90, 50]})
    data = coco_boxes(file, tmp_path / "images", 50)
    is_read(data, ("pit", "crack"))
    assert data.notes == ("1 crowd left out",)


def test_coco_notes(tmp_path: Path) -> None:
    far = ({"id": 52, "bbox": [90, 10, 10.5, 30]}, {"id": 53, "bbox": [-0.25, 10, 10.25, 30]})
    file = coco(tmp_path, {}, {"id": 51}, *far)
    data = coco_boxes(file, tmp_path / "images", 50)
    assert data.objects[0].boxes.tolist() == [INSIDE, [45, 15, 50, 30], [0, 15, 5, 30]]
    assert data.notes == (
        f"2 objects cut off at the border, 0.5 pixels at most: {file}, annotation 52, {file}, annotation 53",
        f"1 object marked twice, counted once: {file}, annotation 51",
    )


def test_coco_with_given_classes(tmp_path: Path) -> None:
    file = coco(tmp_path)
    data = coco_boxes(file, tmp_path / "images", 50, classes=["crack", "dust"])
    assert data.classes == ("crack", "dust")
    assert data.objects[0].labels.tolist() == [0]
    with pytest.raises(ValueError, match=r"annotation 50: the class 'crack' is not one of classes=\['pit'\]"):
        coco_boxes(file, tmp_path / "images", 50, classes=["pit"])


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ({"bbox": [20, 10, 0, 20]}, r"annotation 50: bbox is \[20, 10, 0, 20\], expected x, y, width and height"),
        ({"bbox": [20, 10, 5, -1]}, "the last two above 0"),
        ({"bbox": [20, 10, 5]}, r"bbox is \[20, 10, 5\]"),
        ({"bbox": [20, 10, float("nan"), 5]}, "bbox is .*nan"),
        ({"bbox": ["20", 10, 5, 5]}, "bbox is"),
        ({"bbox": None}, "bbox is None"),
        ({"bbox": [10**400, 10, 5, 5]}, "is no COCO file: OverflowError"),
        ({"bbox": [20, 10, 90, 20]}, r"50: the box \[20, 10, 110, 30\] in pixels reaches 10 pixels out of .* 100x60"),
        ({"bbox": [-1.5, 10, 20, 20]}, r"reaches 1\.5 pixels out"),
        ({"bbox": [100.5, 10, 0.4, 20]}, "has no area inside"),
        ({"category_id": 4}, "annotation 50: category_id is 4, which the file does not describe"),
        ({"image_id": 4}, "annotation 50: image_id is 4, which the file does not describe"),
        ({"image_id": [4]}, "is no COCO file: TypeError"),
    ],
)
def test_coco_annotations_that_are_wrong(mark: dict[str, Any], said: str, tmp_path: Path) -> None:
    file = coco(tmp_path, mark)
    with pytest.raises(ValueError, match=said) as error:
        coco_boxes(file, tmp_path / "images", 50)
    assert str(error.value).startswith(str(file))


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"categories": [{"id": 9, "name": "a"}, {"id": 9, "name": "b"}]}, "the id of a category more than once: 9"),
        ({"categories": [{"id": 9, "name": "a"}, {"id": 8, "name": "a"}]}, "the name of a category more than once: a"),
        ({"categories": None}, "is no COCO file: TypeError"),
        ({"categories": [{"id": 9}]}, r"is no COCO file: KeyError\('name'\)"),
        ({"images": [], "annotations": []}, "names no image"),
        ({"images": [{"id": 7, "file_name": "a/1.png"}]}, r"is no COCO file: KeyError\('height'\)"),
        ({"annotations": {"a": 1}}, "is no COCO file: AttributeError"),
        ({"annotations": [{}]}, r"is no COCO file: KeyError\('image_id'\)"),
    ],
)
def test_coco_files_that_are_wrong(parts: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        coco_boxes(coco(tmp_path, **parts), tmp_path / "images", 50)


@pytest.mark.parametrize("key", ["id", "file_name"])
def test_coco_images_that_are_named_twice(key: str, tmp_path: Path) -> None:
    file = coco(tmp_path)
    content = json.loads(file.read_text())
    content["images"][0][key] = content["images"][1][key]
    file.write_text(json.dumps(content))
    with pytest.raises(
        ValueError, match=r"file.json has the (id of an image|name of a file) more than once: (7|a/1.png)"
    ):
        coco_boxes(file, tmp_path / "images", 50)


def test_coco_files_that_are_not_there(tmp_path: Path) -> None:
    file = coco(tmp_path)
    with pytest.raises(FileNotFoundError, match="is not a file: give the JSON file"):
        coco_boxes(tmp_path / "no.json", tmp_path / "images", 50)
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        coco_boxes(file, tmp_path / "nowhere", 50)
    with pytest.raises(FileNotFoundError, match=r"a.2.png is named, but not there: give the folder"):
        coco_boxes(file, tmp_path, 50)
    file.write_bytes(b"\xff\x00")
    with pytest.raises(ValueError, match="is no JSON"):
        coco_boxes(file, tmp_path / "images", 50)


def test_a_photograph_of_another_size_than_was_marked(tmp_path: Path) -> None:
    file = coco(tmp_path)
    Image.new("L", (H, W)).save(tmp_path / "images/a/1.png")
    with pytest.raises(ValueError, match=r"1.png is 60x100, but was marked as 100x60: give the image that was marked"):
        coco_boxes(file, tmp_path / "images", 50)


def test_coco_paths_with_backslashes(tmp_path: Path) -> None:
    file = coco(tmp_path)
    file.write_text(file.read_text().replace("a/1.png", r"a\\1.png"))
    assert coco_boxes(file, tmp_path / "images", 50).paths == ("a/1.png", "a/2.png")
