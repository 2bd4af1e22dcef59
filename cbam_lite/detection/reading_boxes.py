"""Boxes that others marked, in YOLO's text files or in a COCO file, with their images, each letterboxed."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cbam_lite.checks import whole
from cbam_lite.detection.boxed_images import BoxedImages, Objects
from cbam_lite.detection.label_files import (
    NAMES,
    Corners,
    Line,
    label_file,
    lines_of,
    names_below,
    refuse_several_parts,
    refuse_without_partner,
)
from cbam_lite.detection.letterboxing import Letterbox, letterbox
from cbam_lite.photographs.annotations import json_of
from cbam_lite.photographs.finding import count, images_below, some
from cbam_lite.photographs.loading import about, class_names, side
from cbam_lite.photographs.reading import existing, read_image, survey
from cbam_lite.photographs.tables import existing_file

BESIDE = (".txt", ".yaml", ".yml", ".names", ".data", ".cfg", ".cache")  # what stands in a folder of YOLO
ROUNDING = 0.01  # pixels: what the six decimals of a label file may lose


class Mark(NamedTuple):
    """A box as it was written: where that stands, its class, and its corners."""

    where: str
    kind: str
    corners: Corners


class Marked(NamedTuple):
    """An image and its boxes: in pixels of an image of the size (H, W) `noted`, or in shares of it where None is."""

    path: Path
    name: str
    marks: list[Mark]
    noted: tuple[int, int] | None = None


# ---- YOLO -----------------------------------------------------------------------------------------------------------


def yolo_folder(
    folder: str | Path, size: int, *, classes: Sequence[str] | None = None, bits: int | None = None
) -> BoxedImages:
    """Images with YOLO's label files: ``images/1.jpg`` with ``labels/1.txt``, or ``1.txt`` beside ``1.jpg``.

    A line is ``class cx cy w h``: the number of the class from 0, then centre and size as shares of width and height.
    They are those of the image as a person sees it, turned upright as its EXIF tag says; Ultralytics reads them so,
    too. An image without a label file, or with an empty one, has no objects. A box that reaches out of its image by 1
    pixel or 1/1000 of its side at most is cut off; a box that is marked twice counts once. The notes say how many.

    Args:
        folder: the folder of images, or one above it. ``folder/images/train`` reads the training part, where
            ``labels/train`` has its label files.
        size: the side of the squares that images are letterboxed to.
        classes: the names of the classes in the order of the result, ``train.classes`` for test images. None takes all
            of ``data.yaml``, ``classes.txt`` or ``obj.names``, else the numbers up to the largest.
        bits: see `image_folder`.

    Raises:
        FileNotFoundError: there is no such folder, or no image in it.
        ValueError: no image has a label file, a label file has no image, a line is none of five numbers or its box no
            part of the image, or a class has no name; the error names file and line.
        TypeError: an argument is of another kind.
        ImportError: there is a ``data.yaml``, but not PyYAML.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("photographs/crack/1.txt").write_text("0 0.5 0.5 0.25 0.25")
        >>> yolo_folder("photographs", size=64, classes=["crack"])
        BoxedImages(2 of 64x64 pixels with 1 object: 1 crack; 1 without any)
    """
    side(size)
    if classes is not None:
        class_names((), classes, ())
    files = images_below(existing(folder, "images and YOLO's label files").absolute(), known=BESIDE)
    if not files.images:
        raise FileNotFoundError(f"{files.root} holds no images: expected images/1.jpg and labels/1.txt")
    refuse_several_parts(files)
    labels = {path: label_file(path) for path in files.images}
    found_labels = {label for label in labels.values() if label is not None}
    refuse_without_partner(files, labels, found_labels)
    lines = {path: [] if label is None else lines_of(label) for path, label in labels.items()}
    names, source = names_below(files.root, found_labels)
    names = names or list(numbered(lines) if classes is None else classes)
    if not names:
        raise ValueError(f"no label file of {files.root} has a box, and nothing names the classes: give classes=[...]")
    named_files = list(zip(files.images, files.names(), strict=True))
    found = [Marked(path, name, [named(line, names) for line in lines[path]]) for path, name in named_files]
    notes = [*files.notes, f"the classes are named by {source}"] if source else list(files.notes)
    if not source and classes is None:
        notes.append(f"the classes are called by their numbers, for there is none of {', '.join(NAMES)}: give classes")
    if bare := [name for path, name in named_files if labels[path] is None]:
        notes.append(f"{count(len(bare), 'image')} without a label file, so without objects: {some(bare)}")
    return boxed_images(found, size, names, classes, bits, notes)


def numbered(lines: Mapping[Path, list[Line]]) -> list[str]:
    """Numbers for names, up to the largest."""
    return [str(i) for i in range(1 + max((kind for part in lines.values() for _, kind, _ in part), default=-1))]


def named(line: Line, names: Sequence[str]) -> Mark:
    """A line with the name of its class instead of the number."""
    where, kind, corners = line
    if kind >= len(names):
        raise ValueError(f"{where}: class {kind}, but only 0 to {len(names) - 1} have names: {some(names)}")
    return Mark(where, names[kind], corners)


# ---- COCO -----------------------------------------------------------------------------------------------------------


def coco_boxes(
    file: str | Path,
    images: str | Path,
    size: int,
    *,
    classes: Sequence[str] | None = None,
    bits: int | None = None,
) -> BoxedImages:
    """A COCO file (``instances.json``) with the folder of its images: the boxes alone, each image letterboxed.

    Boxes are ``x, y, width, height`` in pixels of the upright image. Crowds (``iscrowd``: one box around many objects)
    are left out. What is cut off, counts once and is noted is as in `yolo_folder`. Images stand in the order of their
    paths.

    Args:
        file: the JSON file.
        images: the folder that ``file_name`` is relative to.
        size: the side of the squares that images are letterboxed to.
        classes: the names of the classes in the order of the result. None takes the categories in the order of their
            ids.
        bits: see `image_folder`.

    Raises:
        FileNotFoundError: the file is not there, or an image that it names.
        ValueError: the file is no COCO file, or a box is no part of its image; the error names the annotation.
        TypeError: an argument is of another kind.

    Example:
        >>> data = coco_boxes("instances.json", "photographs", size=64)
        >>> data, data.objects[0].boxes
        (BoxedImages(2 of 64x64 pixels with 1 object: 1 crack; 1 without any), tensor([[24., 24., 40., 40.]]))
    """
    side(size)
    table = existing_file(file, "the JSON file that COCO's tools write")
    root, content = existing(images, "the images of the JSON file", "images"), json_of(table)
    try:
        kinds = sorted(content["categories"], key=lambda kind: kind["id"])
        names = {kind["id"]: str(kind["name"]) for kind in kinds}
        found = {
            image["id"]: Marked(root / name_of(image), name_of(image), [], (image["height"], image["width"]))
            for image in content["images"]
        }
        refuse_twice(table, "the id of a category", [kind["id"] for kind in kinds])
        refuse_twice(table, "the name of a category", list(names.values()))
        refuse_twice(table, "the id of an image", [image["id"] for image in content["images"]])
        refuse_twice(table, "the name of a file", [marked.name for marked in found.values()])
        crowds = put_marks(table, content["annotations"], found, names)
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{table} is no COCO file: {error!r} is missing or of another kind") from error
    if not found:
        raise ValueError(f"{table} names no image: look into its 'images'")
    for path, *_ in found.values():
        if not path.is_file():
            raise FileNotFoundError(f"{path} is named, but not there: give the folder that paths are relative to")
    notes = [f"{count(crowds, 'crowd')} left out"] if crowds else []
    order = sorted(found.values(), key=lambda marked: marked.name)
    return boxed_images(order, size, list(names.values()), classes, bits, notes)


def put_marks(table: Path, marks: Sequence[Any], found: Mapping[Any, Marked], names: Mapping[Any, str]) -> int:
    """Put each annotation to its image; the number of crowds, which are left out."""
    crowds = 0
    for i, mark in enumerate(marks):
        where = f"{table}, annotation {mark.get('id', f'number {i}')}"
        for key, known in (("image_id", found), ("category_id", names)):
            if mark[key] not in known:
                raise ValueError(f"{where}: {key} is {mark[key]!r}, which the file does not describe")
        if mark.get("iscrowd"):
            crowds += 1
        else:
            kind = names[mark["category_id"]]
            found[mark["image_id"]].marks.append(Mark(where, kind, coco_corners(where, mark)))
    return crowds


def name_of(image: Mapping[str, Any]) -> str:
    return str(image["file_name"].replace("\\", "/"))


def coco_corners(where: str, mark: Mapping[str, Any]) -> Corners:
    """The corners of COCO's x, y, width, height, or an error that says what stands there instead."""
    box = mark["bbox"]
    numbers = isinstance(box, list) and all(isinstance(v, int | float) and math.isfinite(v) for v in box)
    if not numbers or len(box) != 4 or min(box[2:]) <= 0:
        raise ValueError(f"{where}: bbox is {box!r:.60}, expected x, y, width and height, the last two above 0")
    x, y, w, h = box
    return x, y, x + w, y + h


def refuse_twice(table: Path, what: str, values: Sequence[Any]) -> None:
    """An error where a value stands there more than once: one of them would be lost."""
    if twice := [value for value, times in Counter(values).items() if times > 1]:
        raise ValueError(f"{table} has {what} more than once: {some(twice)}; leave one of each")


# ---- what both share ------------------------------------------------------------------------------------------------


def boxed_images(
    found: Sequence[Marked],
    size: int,
    names: Sequence[str],
    classes: Sequence[str] | None,
    bits: int | None,
    notes: Sequence[str],
) -> BoxedImages:
    """Read the images one by one into memory that is taken once; the boxes become tensors at the end."""
    order = class_names((), names if classes is None else classes, ())
    for mark in (mark for marked in found for mark in marked.marks):
        if mark.kind not in order:
            raise ValueError(f"{mark.where}: the class {mark.kind!r} is not one of classes={list(order)}: add it")
    heads = survey(marked.path for marked in found)
    bits = heads.bits if bits is None else whole("bits", bits, 1, 16)
    images = torch.empty(len(found), 3, size, size, dtype=torch.uint8)
    boxes: list[tuple[Letterbox, list[tuple[Corners, int]]]] = []
    brightest, seen = [], Seen([], [])
    for i, marked in enumerate(found):
        pixels = read_image(marked.path, "RGB", bits)
        images[i], where = letterbox(torch.from_numpy(pixels).permute(2, 0, 1), size)
        brightest.append(int(pixels.max()))
        boxes.append((where, boxes_in_pixels(marked, pixels.shape[:2], order, seen)))
    objects = tuple(as_objects(where, part) for where, part in boxes)
    notes = [*notes, *about(heads, bits, torch.tensor(brightest)), *seen.notes(), *thin(objects, found, size)]
    return BoxedImages(images, objects, order, None, tuple(marked.name for marked in found), tuple(notes))


class Seen(NamedTuple):
    """What is mended while boxes are read: how far some reached out of their image, and which stood there twice."""

    beyond: list[tuple[float, str]]
    twice: list[str]

    def notes(self) -> list[str]:
        """Sentences on it."""
        notes = []
        if self.beyond:
            far, places = max(self.beyond)[0], some(where for _, where in self.beyond)
            notes.append(
                f"{count(len(self.beyond), 'object')} cut off at the border, {far:.2g} pixels at most: {places}"
            )
        if self.twice:
            notes.append(f"{count(len(self.twice), 'object')} marked twice, counted once: {some(self.twice)}")
        return notes


def boxes_in_pixels(
    marked: Marked, shape: tuple[int, ...], order: Sequence[str], seen: Seen
) -> list[tuple[Corners, int]]:
    """The boxes of an image in its pixels, each once, with their classes."""
    H, W = shape
    if marked.noted not in (None, (H, W)):
        high, wide = marked.noted
        raise ValueError(
            f"{marked.path} is {W}x{H}, but was marked as {wide}x{high}: give the image that was marked, upright"
        )
    across, down = (W, H) if marked.noted is None else (1, 1)
    found: dict[tuple[Corners, int], None] = {}
    for mark in marked.marks:
        x0, y0, x1, y1 = mark.corners
        corners = cut_off(mark.where, (x0 * across, y0 * down, x1 * across, y1 * down), H, W, seen)
        box = (corners, order.index(mark.kind))
        if box in found:
            seen.twice.append(mark.where)
        found[box] = None
    return list(found)


def cut_off(where: str, corners: Corners, H: int, W: int, seen: Seen) -> Corners:
    """The part of a box inside its image, or an error where it reaches out too far, or nothing is left."""
    x0, y0, x1, y1 = corners
    out_x, out_y = max(-x0, x1 - W, 0), max(-y0, y1 - H, 0)
    numbers = [round(value, 2) for value in corners]
    if out_x > max(1, W / 1000) or out_y > max(1, H / 1000):
        raise ValueError(
            f"{where}: the box {numbers} in pixels reaches {max(out_x, out_y):.4g} pixels out of its image of {W}x{H}: "
            "mark it anew; YOLO's numbers are shares from 0 to 1, COCO's pixels"
        )
    if max(out_x, out_y) > ROUNDING:
        seen.beyond.append((max(out_x, out_y), where))
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, W), min(y1, H)
    if not (x1 - x0 > ROUNDING and y1 - y0 > ROUNDING):
        raise ValueError(f"{where}: the box {numbers} in pixels has no area inside its image of {W}x{H}: mark it anew")
    return x0, y0, x1, y1


def as_objects(where: Letterbox, boxes: Sequence[tuple[Corners, int]]) -> Objects:
    """Boxes of the image as tensors, in pixels of the letterbox."""
    corners = torch.tensor([corners for corners, _ in boxes], dtype=torch.float64).reshape(-1, 4)
    labels: Tensor = torch.tensor([kind for _, kind in boxes], dtype=torch.long)
    return Objects(where.boxes_in(corners).float(), labels)


def thin(objects: Sequence[Objects], found: Sequence[Marked], size: int) -> list[str]:
    """A sentence on boxes that letterboxing makes smaller than a pixel, which no network can find."""
    small = [
        marked.name
        for marked, (boxes, _) in zip(found, objects, strict=True)
        for w, h in (boxes[:, 2:] - boxes[:, :2]).tolist()
        if min(w, h) < 1
    ]
    return [f"{count(len(small), 'object')} thinner than a pixel at size={size}: {some(small)}"] if small else []
