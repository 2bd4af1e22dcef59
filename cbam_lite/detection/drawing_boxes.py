"""Pictures of boxes: the image with what was found, and the map of each box.

A box is what a detector gives, so its colour is that of outputs. A white line on both sides keeps it apart from a dark
surface, and white letters stand on its colour. The label slides along with the box: on the left of the image it reaches
to the right, on the right to the left, so that it ends inside, however large the picture is in the end. Where another
label stands already, it takes another side of its box.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cbam_lite.checks import tensor, whole
from cbam_lite.detection.explaining_boxes import Explanation
from cbam_lite.photographs.report import made
from cbam_lite.plot import OUTPUT, SMALL, Array, draw_cam, draw_image, figure

if TYPE_CHECKING:  # Matplotlib takes long to import
    from matplotlib.axes import Axes

Place = tuple[float, float, float, float]  # x, y in pixels of the image; the share of the label left of it, and below
GAP = 3.5  # points from the letters past the end of their frame


def draw_boxes(
    ax: Axes,
    image: Tensor | Array,
    boxes: Tensor,
    labels: Tensor | Sequence[int],
    names: Sequence[str],
    confidences: Tensor | Sequence[float] | None = None,
    title: str = "",
    *,
    colour: str | Sequence[str] = OUTPUT,
    size: float = SMALL,
) -> None:
    """An image with boxes, and the name of its class beside each.

    Args:
        ax: where to draw.
        image: a tensor (3, H, W) or an array (H, W, 3), from 0 to 1.
        boxes: (n, 4), x0, y0, x1, y1 in pixels of the image.
        labels: (n,), each an index into `names`.
        names: of the classes. "" leaves a box without letters.
        confidences: (n,), written behind the names.
        title: of the picture.
        colour: of the boxes, one for all or one for each; take `plot.INPUT` for the true ones.
        size: of the letters, in points.

    Raises:
        ValueError: lengths do not fit together, a label has no name, a box is NaN, or the image is no picture.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> image, (boxes, labels) = make_boxed_defects(2)[1]
        >>> draw_boxes(plt.gca(), image, boxes, labels, ("scratch", "pit", "crack", "stain", "dent", "inclusion"))
    """
    words = texts(boxes, labels, names, confidences)
    colours = [colour] * len(words) if isinstance(colour, str) else list(colour)
    if len(colours) != len(words):
        raise ValueError(f"{len(colours)} colours for {len(words)} boxes: give one for all, or one for each")
    shape = shape_of(image)
    draw_image(ax, image, title)
    where = places(ax, boxes.tolist(), words, shape, size)
    for i in reversed(range(len(words))):  # so that the first box, the most confident, is on top
        draw_box(ax, boxes[i].tolist(), words[i], where[i], colours[i], size)


def texts(
    boxes: Tensor, labels: Tensor | Sequence[int], names: Sequence[str], confidences: Tensor | Sequence[float] | None
) -> list[str]:
    """What is written at each box, or an error where lengths, labels or boxes do not fit."""
    if tensor("boxes", boxes, "n, 4").shape[1] != 4 or not boxes.isfinite().all():
        raise ValueError(f"boxes {tuple(boxes.shape)} must be (n, 4), x0, y0, x1, y1, without NaN or infinity")
    if isinstance(names, str):
        raise TypeError(f"names={names!r} must be a list of names, one for each class: data.classes")
    numbers = [int(label) for label in labels]
    sure = [None] * len(numbers) if confidences is None else [float(value) for value in confidences]
    if not len(boxes) == len(numbers) == len(sure):
        raise ValueError(f"{len(boxes)} boxes, {len(numbers)} labels, {len(sure)} confidences: give one for each box")
    if wrong := [label for label in numbers if not 0 <= label < len(names)]:
        raise ValueError(f"label {wrong[0]} has no name among {len(names)}, {', '.join(names):.60}: count from 0")
    pairs = zip((names[label] for label in numbers), sure, strict=True)
    return [name if value is None else f"{name} {value:.2f}".strip() for name, value in pairs]


def shape_of(image: Tensor | Array) -> tuple[int, int]:
    """Height and width of a picture."""
    axes = (1, 2, 0) if isinstance(image, Tensor) else (0, 1, 2)
    if image.ndim != 3 or image.shape[axes[2]] != 3:
        raise ValueError(f"image is {tuple(image.shape)}: give a tensor (3, H, W) or an array (H, W, 3)")
    return image.shape[axes[0]], image.shape[axes[1]]


def draw_box(ax: Axes, box: Sequence[float], text: str, place: Place, colour: str, size: float) -> None:
    """One box over what is drawn already, with its label at that place."""
    from matplotlib.offsetbox import AnnotationBbox, TextArea
    from matplotlib.patches import Rectangle

    x0, y0, x1, y1 = (value - 0.5 for value in box)  # Matplotlib counts from the middle of the first pixel
    for line, width in (("white", 3.2), (colour, 1.6)):
        ax.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=line, linewidth=width))
    if text:
        x, y, across, up = place
        letters = TextArea(text, textprops={"color": "white", "size": size})
        inwards = (GAP * (1 - 2 * across), GAP * (1 - 2 * up))  # what is aligned are the letters, without their frame
        style = {"boxstyle": "round,pad=0.2", "facecolor": colour, "edgecolor": "white", "linewidth": 0.8}
        options: Any = {"boxcoords": "offset points", "box_alignment": (across, up), "annotation_clip": False}
        ax.add_artist(AnnotationBbox(letters, (x - 0.5, y - 0.5), inwards, bboxprops=style, fontsize=size, **options))


def places(
    ax: Axes, boxes: Sequence[Sequence[float]], words: Sequence[str], shape: tuple[int, int], size: float
) -> list[Place]:
    """Where each label stands: on the first of its sides where no other is, or where it covers least of the others.

    First each looks at those before it, then, once more, at all others.
    """
    rooms = [room(ax, text, shape, size) for text in words]
    options = [sides(box, shape, high) for box, (_, high, _) in zip(boxes, rooms, strict=True)]
    frames = [
        [frame_of(place, wide, seen) for place in of_one]
        for of_one, (wide, _, seen) in zip(options, rooms, strict=True)
    ]
    chosen: dict[int, int] = {}
    labelled = [i for i, text in enumerate(words) if text]
    for i in labelled * 2:
        others = [frames[j][side] for j, side in chosen.items() if j != i]
        covered = [sum(common(frame, other) for other in others) for frame in frames[i]]
        chosen[i] = covered.index(min(covered))
    return [of_one[chosen.get(i, 0)] for i, of_one in enumerate(options)]


def room(ax: Axes, text: str, shape: tuple[int, int], size: float) -> tuple[float, float, float]:
    """Of a label, in pixels of the image: its width, the height that it needs, and the height that it covers.

    What it needs is rather too much, because the layout may still change a little.
    """
    from matplotlib.textpath import TextPath

    (H, W), extent = shape, ax.get_window_extent()
    points = min(float(extent.height) / H, float(extent.width) / W) * 72 / ax.figure.dpi  # for one pixel
    wide = float(TextPath((0, 0), text, size=size).get_extents().width) if text else 0.0
    return (wide + 0.6 * size) / points, (1.5 * size + 2 * GAP) / points, (1.4 * size + GAP) / points


def sides(box: Sequence[float], shape: tuple[int, int], high: float) -> list[Place]:
    """Where a label of that height may stand, and which point of it: its share from the left, and from below.

    The point that is a share s from the left of the image is a share s from the left of the label. So the label is
    inside, as long as it is not wider than the image. It may stand above the box and below it, where there is room, at
    the middle or at an end, and inside, at the top.
    """
    (x0, y0, x1, y1), (H, W) = box, shape
    middle, left, right = (min(max(x, 0), W) for x in ((x0 + x1) / 2, x0, x1))
    above, below = [(y0, 0.0)] * (y0 >= high), [(y1, 1.0)] * (y1 <= H - high)
    inside = (min(max(y0, 0), max(H - high, 0)), 1.0)
    around = [(middle, *side) for side in above + below] + [(x, *side) for side in above + below for x in (left, right)]
    return [(x, y, x / W, up) for x, y, up in (*around, (middle, *inside))]


def frame_of(place: Place, wide: float, high: float) -> tuple[float, float, float, float]:
    """The label at a place as a box, x0, y0, x1, y1."""
    x, y, across, up = place
    left, top = x - across * wide, y - (1 - up) * high
    return left, top, left + wide, top + high


def common(a: Sequence[float], b: Sequence[float]) -> float:
    """The area that two boxes share."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0) * max(height, 0)


def draw_explained(ax: Axes, explanation: Explanation, i: int, title: str = "", *, size: float = SMALL) -> None:
    """Why this box? Its map over the image, from 0 to its peak, and the box. The title has the peak of the raw map.

    Peaks of two boxes are no measure of which is surer: the log confidence of a sure box has a small gradient.

    Args:
        ax: where to draw.
        explanation: what `explain_boxes` gives.
        i: which box, the most confident is 0.
        title: written before the peak.
        size: of the letters at the box, in points.

    Raises:
        ValueError: there is no box of that number.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> why = explain_boxes(yolo_tiny(num_classes=6, width=0.25), torch.rand(3, 128, 128), confidence=0.0, most=1)
        >>> draw_explained(plt.gca(), why, 0)
        >>> plt.gca().get_title()
        'peak ...'
    """
    number = chosen(explanation, i)
    peaks = explanation.peaks[number]
    several = ",\n".join(f"{layer} {peak:.2g}" for layer, peak in peaks.items())  # one line would be too wide
    values = several if len(peaks) > 1 else f"{max(peaks.values()):.2g}"
    draw_cam(ax, explanation.image, explanation.maps[number], f"{title}, peak {values}".removeprefix(", "))
    ax.set_xlabel("")  # the peak of the map after resizing, which would be a second number for one thing
    text = f"{explanation.names[number]} {explanation.confidences[number]:.2f}"
    box = explanation.boxes[number].tolist()
    (place,) = places(ax, [box], [text], shape_of(explanation.image), size)
    draw_box(ax, box, text, place, OUTPUT, size)


def chosen(explanation: Explanation, i: int) -> int:
    if not isinstance(explanation, Explanation):
        raise TypeError(f"explanation must be what explain_boxes gives, got {type(explanation).__name__}")
    if not len(explanation):
        raise ValueError(f"there is no box to draw: {explanation}")
    return whole("i", i, 0, len(explanation) - 1)


def save_explained(explanation: Explanation, folder: str | Path) -> list[Path]:
    """A picture for each box, ``00_pit_0.87.png``: the image with the box, and beside it the map with the box.

    Pictures of the same names are written anew; others in the folder stay.

    Args:
        explanation: what `explain_boxes` gives.
        folder: it is made if it is not there.

    Returns:
        The paths, one for each box; none if nothing was found.

    Raises:
        NotADirectoryError: the folder is a file.
        TypeError: `explanation` is none.

    Example:
        >>> why = explain_boxes(yolo_tiny(num_classes=6, width=0.25), torch.rand(3, 128, 128), confidence=0.0, most=1)
        >>> [path.name for path in save_explained(why, "boxes")]
        ['00_class_..._0....png']
    """
    if not isinstance(explanation, Explanation):
        raise TypeError(f"explanation must be what explain_boxes gives, got {type(explanation).__name__}")
    root, paths = made("folder", folder), []
    for i, name in enumerate(explanation.names):
        path = root / f"{i:02d}_{safe(name)}_{explanation.confidences[i]:.2f}.png"
        save_one(explanation, i, path)
        paths.append(path)
    return paths


def safe(name: str) -> str:
    """A class name as a part of a file name: letters, digits, "-" and "_"."""
    return re.sub(r"[^\w-]+", "_", name).strip("_")[:60] or "class"


def save_one(explanation: Explanation, i: int, path: Path) -> None:
    H, W = shape_of(explanation.image)
    height = min(max(2.6 * H / W, 1.0), 6.0) + 0.2
    some = torch.tensor([i])
    name, box = explanation.names[i], explanation.boxes[some]
    alt = f"What was found, {name}, and the map of what speaks for it."
    with figure(f"Why this box? {name}", alt, columns=2, height=height, file=path) as (left, right):
        sure = explanation.confidences[some]
        draw_boxes(left, explanation.image, box, explanation.labels[some], explanation.classes, sure, "found")
        draw_explained(right, explanation, i)
