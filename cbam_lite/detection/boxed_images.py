"""Images with boxes: one container for what a detector learns from, and one for the objects of one image."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from cbam_lite.training.images import LabelledImages, pictures, positions


class Objects(NamedTuple):
    """What is marked in one image: boxes (n, 4), float32, x0, y0, x1, y1 in its pixels, and labels (n,), int64.

    Example:
        >>> pit = Objects(torch.tensor([[10.0, 10, 20, 22]]), torch.tensor([0]))
        >>> len(pit.labels)
        1
    """

    boxes: Tensor
    labels: Tensor


@dataclasses.dataclass(frozen=True, repr=False)
class BoxedImages(Dataset[tuple[Tensor, Objects]]):
    """Images in memory, each with any number of boxed objects. ``image, objects = data[0]``.

    Args:
        images: (N, 3, H, W), uint8, RGB, all of one size; `letterbox` brings others to it.
        objects: for each image its `Objects`, or a pair (boxes, labels): boxes (n, 4) as x0, y0, x1, y1 in pixels of
            `images`, labels (n,), each an index into `classes`. An image without objects has n = 0.
        classes: the names of the classes. "Nothing there" is no class.
        masks: for each image the pixels of each of its objects, (n, H, W), bool; None where nobody marked them.
        paths: where each image came from.
        notes: sentences on what was left out or changed while reading.

    Raises:
        ValueError: lengths or shapes do not fit together, a label has no class, or a box is not inside its image or
            has no area; the error names the image and the box.
        TypeError: the images are not uint8 tensors, or another part is of another kind than stands here.

    Example:
        >>> images = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
        >>> pit = Objects(torch.tensor([[10.0, 10, 20, 22]]), torch.tensor([0]))
        >>> nothing = Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
        >>> BoxedImages(images, (pit, nothing), ("pit", "crack"))
        BoxedImages(2 of 64x64 pixels with 1 object: 1 pit, 0 crack; 1 without any)
    """

    images: Tensor
    objects: tuple[Objects, ...]
    classes: tuple[str, ...]
    masks: tuple[Tensor, ...] | None = None
    paths: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        pictures(self.images)
        N, _, H, W = self.images.shape
        if isinstance(self.classes, str) or not all(isinstance(name, str) for name in self.classes):
            raise TypeError(f"classes must be a tuple of names, got {self.classes!r:.60}")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes={list(self.classes)} names a class twice: give each once")
        for name in ("objects", "masks", "paths"):
            part = getattr(self, name)
            if part is not None and (isinstance(part, str | Tensor) or len(part) != N):
                raise ValueError(f"there are {len(part)} {name} for {N} images: give one for each, in a tuple")
        checked = tuple(checked_objects(f"objects[{i}]", o, H, W, self.classes) for i, o in enumerate(self.objects))
        object.__setattr__(self, "objects", checked)
        for i, (mask, (boxes, _)) in enumerate(zip(self.masks or (), checked, strict=False)):
            if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != (len(boxes), H, W):
                got = f"{mask.dtype} {tuple(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
                raise ValueError(f"masks[{i}] is {got}: give bool {(len(boxes), H, W)}, one for each box")

    def __repr__(self) -> str:
        """What is there, in a line: the pixels themselves would fill pages."""
        N, _, H, W = self.images.shape
        labels = torch.cat([objects.labels for objects in self.objects]) if N else torch.zeros(0, dtype=torch.long)
        counts = torch.bincount(labels, minlength=len(self.classes)).tolist()
        kinds = ", ".join(f"{count} {name}" for name, count in zip(self.classes, counts, strict=True))
        empty = sum(not len(objects.labels) for objects in self.objects)
        some = f"{len(labels)} object{'s' * (len(labels) != 1)}"
        return f"BoxedImages({N} of {H}x{W} pixels with {some}: {kinds}; {empty} without any)"

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Objects]:
        """One image (3, H, W) as float32 from 0 to 1, and its objects."""
        return self.images[index].float() / 255, self.objects[index]

    def take(self, index: Tensor | Sequence[int] | slice) -> "BoxedImages":
        """The images that `index` names (a slice, a bool mask (N,), or positions)."""
        index = index if isinstance(index, slice) else positions(index, len(self))
        where = torch.arange(len(self))[index].tolist()
        grey = self.images.stride(1) == 0  # three equal channels in the memory of one, which indexing would copy
        images = self.images[:, :1][index].expand(-1, 3, -1, -1) if grey else self.images[index]
        return dataclasses.replace(
            self,
            images=images,
            objects=tuple(self.objects[i] for i in where),
            masks=None if self.masks is None else tuple(self.masks[i] for i in where),
            paths=None if self.paths is None else tuple(self.paths[i] for i in where),
        )


def checked_objects(name: str, objects: Any, H: int, W: int, classes: Sequence[str]) -> Objects:
    """Boxes and labels if they are inside an image of that size, as float32 and int64."""
    if not isinstance(objects, tuple | list) or len(objects) != 2:
        raise TypeError(f"{name} must be Objects(boxes, labels), got {type(objects).__name__}")
    boxes, labels = objects
    if not isinstance(boxes, Tensor) or boxes.dim() != 2 or boxes.shape[1] != 4:
        got = tuple(boxes.shape) if isinstance(boxes, Tensor) else type(boxes).__name__
        raise ValueError(f"the boxes of {name} are {got}, expected a tensor (n, 4): x0, y0, x1, y1")
    whole_numbers = isinstance(labels, Tensor) and not labels.is_floating_point() and labels.dtype != torch.bool
    if not whole_numbers or labels.shape != boxes.shape[:1]:
        got = f"{labels.dtype} {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
        raise ValueError(f"the labels of {name} are {got}, expected int64 ({len(boxes)},): one for each box")
    boxes, labels = boxes.float(), labels.long()
    x0, y0, x1, y1 = boxes.unbind(1)
    fits = (x0 >= 0) & (x0 < x1) & (x1 <= W) & (y0 >= 0) & (y0 < y1) & (y1 <= H)  # false for NaN
    for ok, what in (
        (fits, f"no x0, y0, x1, y1 with x0 < x1 and y0 < y1 inside {W}x{H}"),
        ((labels >= 0) & (labels < len(classes)), f"of a class that is not among {len(classes)}: count from 0"),
    ):
        if not bool(ok.all()):
            i = int((~ok).nonzero()[0])
            numbers = [round(value, 3) for value in boxes[i].tolist()]
            raise ValueError(f"{name}, box {i} is {numbers}, class {labels[i]}, {what}")
    return Objects(boxes, labels)


def boxed(data: LabelledImages, background: str | None = "clean") -> BoxedImages:
    """The boxes that a loader found (`coco_file`, `voc_folder`, `labelme_folder`, `pcb_folder`), for a detector.

    Those loaders resize images to a square, which changes the shape of what is shown; `yolo_folder` and `coco_boxes`
    keep it.

    Args:
        data: images with `objects`.
        background: the class that means "nothing there"; it is left out, and the classes behind it move up. None keeps
            all classes.

    Raises:
        ValueError: the data have no boxes, or a box is of the background class.

    Example:
        >>> boxed(pcb_folder("PCBData")).classes
        ('open', 'short', 'mousebite', 'spur', 'copper', 'pin-hole')
    """
    if data.objects is None:
        raise ValueError("these images have no boxes: read them with coco_file, voc_folder, yolo_folder, for example")
    gone = data.classes.index(background) if background in data.classes else len(data.classes)
    if any(bool((boxes[:, 4] == gone).any()) for boxes in data.objects):
        raise ValueError(f"a box is of the class {background!r}: give background=None to keep it as a class")
    objects = tuple(Objects(o[:, :4].float(), o[:, 4] - (o[:, 4] > gone).long()) for o in data.objects)
    classes = tuple(name for i, name in enumerate(data.classes) if i != gone)
    return BoxedImages(data.images, objects, classes, None, data.paths, data.notes)
