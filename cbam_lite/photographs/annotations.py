"""What annotation programs write: COCO, labelme and Pascal VOC, as masks, boxes and labels."""

import json
import math
import xml.etree.ElementTree as xml
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cbam_lite.photographs.finding import count, images_below, some
from cbam_lite.photographs.loading import Box, Groups, Photograph, loaded, side
from cbam_lite.photographs.reading import existing
from cbam_lite.photographs.tables import existing_file
from cbam_lite.training.images import LabelledImages

Points = list[tuple[float, float]]  # x, y in pixels of the file


@dataclass
class Shape:
    """One marked object: its class, its box, and its outline or its pixels where these are known."""

    name: str
    box: tuple[float, float, float, float]
    outlines: list[Points] = field(default_factory=list)
    pixels: Callable[[], NDArray[np.bool_]] | None = None


def coco_file(
    file: str | Path,
    images: str | Path,
    size: int,
    *,
    clean: str = "clean",
    classes: Sequence[str] | None = None,
    groups: Groups = None,
    bits: int | None = None,
) -> LabelledImages:
    """A COCO file (``instances.json``) with the folder of its images.

    The label of an image is the class of its largest object; an image without objects is `clean`. Masks come from
    polygons and run lengths, from boxes where there is neither. `objects` has all boxes of each image.

    Args:
        file: the JSON file.
        images: the folder that ``file_name`` is relative to.
        size: images and masks are resized to size x size, boxes with them.
        clean: the name of the class without objects.
        classes: see `image_folder`. None takes `clean`, then the categories in the order of their ids.
        groups, bits: see `image_folder`.

    Raises:
        FileNotFoundError: the file is not there, or an image that it names.
        ValueError: the file is no COCO file, or a box lies outside its image.
        TypeError: an argument is of another kind.

    Example:
        >>> data = coco_file("instances.json", "photographs", size=64)
        >>> data.classes, data.labels.tolist()
        (('clean', 'crack'), [1, 0])
    """
    side(size)
    table = existing_file(file, "the JSON file that COCO's tools write")
    root, content = existing(images, "the images of the JSON file", "images"), json_of(table)
    try:
        names = {kind["id"]: kind["name"] for kind in sorted(content["categories"], key=lambda kind: kind["id"])}
        shapes: dict[Any, list[Shape]] = defaultdict(list)
        sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
        for mark in content["annotations"]:
            shapes[mark["image_id"]].append(coco_shape(mark, names, sizes[mark["image_id"]]))
        found = [(image["file_name"], sizes[image["id"]], shapes[image["id"]]) for image in content["images"]]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{table} is no COCO file: {error!r} is missing or of another kind") from error
    order = [clean, *(name for name in names.values() if name != clean)]
    return marked(root, found, size, clean, classes or order, groups, bits)


def coco_shape(mark: Mapping[str, Any], names: Mapping[Any, str], size: tuple[int, int]) -> Shape:
    """One annotation: polygons, run lengths (a list, or the letters that COCO's tools make of it), or a box alone."""
    x, y, width, height = mark["bbox"]
    shape = Shape(names[mark["category_id"]], (x, y, x + width, y + height))
    parts = mark.get("segmentation") or []
    if isinstance(parts, Mapping):
        counts = parts["counts"]
        counts = run_lengths(counts) if isinstance(counts, str) else counts
        shape.pixels = partial(of_runs, counts, tuple(parts["size"]))
    else:
        shape.outlines = [list(zip(part[::2], part[1::2], strict=True)) for part in parts]
    return shape


def run_lengths(letters: str) -> list[int]:
    """COCO's letters as run lengths: 5 bits in each, the sixth says "more", and from the third on differences."""
    counts: list[int] = []
    value = shift = 0
    for letter in letters.encode():
        bits = letter - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    return counts


def of_runs(counts: Sequence[int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Run lengths, not marked first and column by column, as marked pixels (H, W)."""
    H, W = size
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    if len(flat) != H * W:
        raise ValueError(f"run lengths add up to {len(flat)}, but the mask has {H}x{W} pixels: write the file anew")
    return flat.reshape(W, H).T


def labelme_folder(
    folder: str | Path,
    size: int,
    *,
    clean: str = "clean",
    classes: Sequence[str] | None = None,
    groups: Groups = None,
    bits: int | None = None,
) -> LabelledImages:
    """Images with the JSON files of labelme beside them: ``name.jpg`` and ``name.json``.

    Polygons, rectangles and circles become masks and boxes; points and lines are left out, and said. The label of an
    image is the class of its largest shape. An image without a JSON file, or with one without shapes, is `clean`.

    Args:
        folder: the folder of images and JSON files, and of folders with them.
        size, clean, groups, bits: see `coco_file`.
        classes: see `image_folder`. None takes `clean`, then the labels in alphabetical order.

    Raises:
        FileNotFoundError: there is no such folder, or no image in it.
        ValueError: a JSON file is not one of labelme, or no image has one.
        TypeError: an argument is of another kind.

    Example:
        >>> data = labelme_folder("labelled", size=64)
        >>> data.classes, data.objects[0].tolist()
        (('clean', 'crack'), [[24, 24, 40, 40, 1]])
    """
    side(size)
    files = images_below(existing(folder, "images with labelme's JSON files"), known=(".json",))
    notes, found = list(files.notes), []
    left_out: list[str] = []
    for path, name in zip(files.images, files.names(), strict=True):
        shapes, stored = [], path.with_suffix(".json")
        content = json_of(stored) if stored.is_file() else {"shapes": []}
        try:
            kinds = [(mark.get("shape_type", "polygon"), mark) for mark in content["shapes"]]
            marks = [(mark["label"], kind, outline_of(kind, mark["points"])) for kind, mark in kinds]
            size_of = (content["imageHeight"], content["imageWidth"]) if "imageHeight" in content else None
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{stored} is no file of labelme: {error!r} is missing or of another kind") from error
        for label, kind, outline in marks:
            if outline is None:
                left_out.append(f"{kind} in {name}")
            else:
                shapes.append(Shape(label, box_around(outline), [outline]))
        found.append((name, size_of, shapes))
    if not found:
        raise FileNotFoundError(f"{files.root} holds no images: expected name.jpg and name.json")
    if not any(path.with_suffix(".json").is_file() for path in files.images):
        raise ValueError(f"{files.root} holds no name.json beside its images: is it labelme's folder?")
    if left_out:
        notes.append(f"{count(len(left_out), 'shape')} without an area left out: {some(left_out)}")
    order = [clean, *sorted({shape.name for _, _, shapes in found for shape in shapes} - {clean})]
    return marked(files.root, found, size, clean, classes or order, groups, bits, notes)


def outline_of(kind: str, points: Sequence[Sequence[float]]) -> Points | None:
    """The outline of one of labelme's shapes; None for those that have no area."""
    corners = [(float(x), float(y)) for x, y in points]
    if kind == "polygon" and len(corners) > 2:
        return corners
    if kind == "rectangle" and len(corners) == 2:
        (x0, y0), (x1, y1) = corners
        return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    if kind == "circle" and len(corners) == 2:
        (x, y), radius = corners[0], math.dist(*corners)
        turns = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        return [(x + radius * math.cos(turn), y + radius * math.sin(turn)) for turn in turns]
    return None


def voc_folder(
    folder: str | Path,
    size: int,
    *,
    clean: str = "clean",
    classes: Sequence[str] | None = None,
    groups: Groups = None,
    bits: int | None = None,
) -> LabelledImages:
    """Pascal VOC's layout: ``JPEGImages/name.jpg`` and ``Annotations/name.xml`` with the boxes of its objects.

    Masks hold the boxes. VOC counts pixels from 1 and takes the last with it, which is undone here. The label of an
    image is the class of its largest box; an image without a file of boxes, or with one without objects, is `clean`.

    Args:
        folder: the folder that holds JPEGImages and Annotations.
        size, clean, groups, bits: see `coco_file`.
        classes: see `image_folder`. None takes `clean`, then the names of the objects in alphabetical order.

    Raises:
        FileNotFoundError: there is no such folder, or no image in it.
        ValueError: a file is not one of VOC, or no image has one.
        TypeError: an argument is of another kind.

    Example:
        >>> data = voc_folder("voc", size=64)
        >>> data.classes, data.objects[0].tolist()
        (('clean', 'crack'), [[24, 24, 40, 40, 1]])
    """
    side(size)
    root = existing(folder, "JPEGImages and Annotations")
    files = images_below(existing(root / "JPEGImages", "the images"))
    notes = existing(root / "Annotations", "name.xml for each image")
    found = []
    for name in files.names():
        path = notes / Path(name).with_suffix(".xml")
        found.append((name, *(voc_shapes(path) if path.is_file() else (None, []))))
    if not found:
        raise FileNotFoundError(f"{files.root} holds no images: expected name.jpg")
    if not any((notes / Path(name).with_suffix(".xml")).is_file() for name in files.names()):
        raise ValueError(f"{notes} holds no name.xml for any image of {files.root}")
    order = [clean, *sorted({shape.name for _, _, shapes in found for shape in shapes} - {clean})]
    return marked(files.root, found, size, clean, classes or order, groups, bits, files.notes)


def voc_shapes(path: Path) -> tuple[tuple[int, int] | None, list[Shape]]:
    """The size (H, W) and the objects of one XML file."""
    try:
        tree = xml.parse(path)
        extent, shapes = tree.find("size"), []
        for mark in tree.iter("object"):
            x0, y0, x1, y1 = (float(mark.findtext(f"bndbox/{key}", "")) for key in ("xmin", "ymin", "xmax", "ymax"))
            shapes.append(Shape(mark.findtext("name", "").strip(), (x0 - 1, y0 - 1, x1, y1)))
        size = None if extent is None else (int(extent.findtext("height", "")), int(extent.findtext("width", "")))
    except (xml.ParseError, ValueError) as error:
        raise ValueError(f"{path} is no file of Pascal VOC: expected object/bndbox/xmin and so on ({error})") from error
    return size, shapes


# ---- what all three share --------------------------------------------------------------------------------------------


def json_of(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: write it anew ({error})") from error


def box_around(outline: Points) -> tuple[float, float, float, float]:
    xs, ys = zip(*outline, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def marked(
    root: Path,
    found: Sequence[tuple[str, tuple[int, int] | None, list[Shape]]],
    size: int,
    clean: str,
    classes: Sequence[str],
    groups: Groups,
    bits: int | None,
    notes: Sequence[str] = (),
) -> LabelledImages:
    """Images with their shapes, sorted by path: each has the label of its largest shape."""
    photographs = []
    for name, shape_of_image, shapes in sorted(found, key=lambda entry: entry[0]):
        if not (root / name).is_file():
            raise FileNotFoundError(
                f"{root / name} is named, but not there: give the folder that paths are relative to"
            )
        largest = max(shapes, key=lambda shape: area(shape.box), default=None)
        boxes: tuple[Box, ...] = tuple((*shape.box, shape.name) for shape in shapes)
        pixels = partial(filled, root / name, shape_of_image, shapes)
        label = clean if largest is None else largest.name
        photographs.append(Photograph(root / name, name, label, pixels, boxes))
    mixed = [name for name, _, shapes in found if len({shape.name for shape in shapes}) > 1]
    if mixed:
        sentence = (
            f"{count(len(mixed), 'image')} with objects of several classes, labelled by the largest: {some(mixed)}"
        )
        notes = [*notes, sentence]
    return loaded(photographs, side(size), classes=classes, groups=groups, bits=bits, notes=notes)


def area(box: tuple[float, float, float, float]) -> float:
    x0, y0, x1, y1 = box
    return (x1 - x0) * (y1 - y0)


def filled(
    path: Path, noted: tuple[int, int] | None, shapes: Sequence[Shape], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """The pixels (H, W) inside any of the shapes, each checked against its image."""
    from PIL import Image, ImageDraw

    H, W = size
    if noted is not None and tuple(noted) != size:
        raise ValueError(f"{path} is {W}x{H}, but was marked as {noted[1]}x{noted[0]}: give the image that was marked")
    canvas = Image.new("1", (W, H))
    pen, whole = ImageDraw.Draw(canvas), np.zeros(size, bool)
    for shape in shapes:
        x0, y0, x1, y1 = shape.box
        if not (-1 <= x0 < x1 <= W + 1 and -1 <= y0 < y1 <= H + 1):
            raise ValueError(f"{path}: the box {shape.box} of {shape.name!r} is none inside {W}x{H}: mark it anew")
        if shape.pixels is not None:
            whole |= shape.pixels()
        elif shape.outlines:
            for outline in shape.outlines:
                pen.polygon(outline, fill=1)
        else:
            pen.rectangle((x0, y0, math.ceil(x1) - 1, math.ceil(y1) - 1), fill=1)
    return whole | np.array(canvas)
