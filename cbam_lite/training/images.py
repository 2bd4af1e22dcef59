"""Images with labels, and with masks and boxes where they are known: one container."""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from cbam_lite.checks import tensor


@dataclasses.dataclass(frozen=True, repr=False)
class LabelledImages(Dataset[tuple[Tensor, int]]):
    """Images in memory, with what is known about them. It is a PyTorch data set: ``image, label = data[0]``.

    Args:
        images: (N, 3, H, W), uint8, RGB.
        labels: (N,), int64, each an index into `classes`.
        classes: the names of the classes.
        masks: (N, H, W), bool, the pixels of the object or defect; None where nobody marked them.
        groups: (N,), int64; images that show the same thing share a number, and `split` keeps them together.
        objects: for each image its marked boxes (n, 5), int64: x0, y0, x1, y1 in pixels of `images`, then the class;
            x1 and y1 are the first column and row outside. None where nobody marked boxes.
        paths: where each image came from, relative to the folder that was read, with ``/`` on every system.
        notes: sentences on what was left out or changed while reading.

    Raises:
        ValueError: lengths, shapes or labels do not fit together, or a box is not inside its image.
        TypeError: the images are not uint8 tensors, or another part is of another kind than stands here.

    Example:
        >>> images = torch.randint(256, (4, 3, 64, 64), dtype=torch.uint8)
        >>> data = LabelledImages(images, torch.tensor([0, 0, 1, 1]), ("good", "crack"))
        >>> data
        LabelledImages(4 of 64x64 pixels: 2 good, 2 crack)
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    masks: Tensor | None = None
    groups: Tensor | None = None
    objects: tuple[Tensor, ...] | None = None
    paths: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        pictures(self.images)
        if isinstance(self.classes, str) or not isinstance(self.classes, Sequence):
            raise TypeError(
                f"classes must be a tuple of names, got {self.classes!r} of type {type(self.classes).__name__}"
            )
        N, _, H, W = self.images.shape
        described("labels", self.labels, (N,), "whole numbers, for names classes.index(name)")
        if self.masks is not None:
            described("masks", self.masks, (N, H, W), "bool, e.g. masks > 127 for 0 and 255, masks > 0 for 0 and 1")
        if self.groups is not None:
            described("groups", self.groups, (N,), "whole numbers, one for each thing that is shown")
        if N and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.classes):
            raise ValueError(
                f"labels run from {self.labels.min()} to {self.labels.max()}, but there are {len(self.classes)} classes"
            )
        if self.objects is not None:
            inside(self.objects, N, H, W, len(self.classes))
        texts("notes", self.notes)
        if self.paths is not None and len(texts("paths", self.paths)) != N:
            raise ValueError(f"there are {len(self.paths)} paths for {N} images: give one for each")

    def __repr__(self) -> str:
        """What is there, in a line: the pixels themselves would fill pages."""
        N, _, H, W = self.images.shape
        counts = torch.bincount(self.labels, minlength=len(self.classes)).tolist()
        kinds = ", ".join(f"{count} {name}" for name, count in zip(self.classes, counts, strict=True))
        known = [name for name in ("masks", "groups", "objects") if getattr(self, name) is not None]
        return f"LabelledImages({N} of {H}x{W} pixels: {kinds}{'; with ' + ' and '.join(known) if known else ''})"

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """One image (3, H, W) as float32 from 0 to 1, and its label."""
        return self.images[index].float() / 255, int(self.labels[index])

    @property
    def boxes(self) -> Tensor:
        """The box around each mask, (N, 4), int64: x0, y0, x1, y1 in pixels; see `boxes_of`."""
        if self.masks is None:
            raise ValueError("these images have no masks, so there is nothing to put boxes around")
        return boxes_of(self.masks)

    def take(self, index: Tensor | slice) -> "LabelledImages":
        """The images that `index` names (a slice, a bool mask (N,), or positions)."""
        index = index if isinstance(index, slice) else positions(index, len(self))
        where = torch.arange(len(self))[index].tolist()
        return dataclasses.replace(
            self,
            images=self.images[index],
            labels=self.labels[index],
            masks=None if self.masks is None else self.masks[index],
            groups=None if self.groups is None else self.groups[index],
            objects=None if self.objects is None else tuple(self.objects[i] for i in where),
            paths=None if self.paths is None else tuple(self.paths[i] for i in where),
        )


def pictures(images: Tensor) -> None:
    """An error unless these are images (N, 3, H, W) of uint8; it says how to make them so."""
    if not isinstance(images, Tensor):
        shape = getattr(images, "shape", ())
        last = len(shape) == 4 and shape[3] == 3
        fix = ".permute(0, 3, 1, 2) for this array (N, H, W, 3)" if last else " for an array"
        raise TypeError(
            f"images must be a torch.Tensor (N, 3, H, W) of uint8, got {type(images).__name__}: "
            f"use torch.from_numpy(images){fix}"
        )
    if images.dtype != torch.uint8:
        raise TypeError(f"images are {images.dtype}: give uint8 from 0 to 255, {as_bytes(images)}")
    if images.dim() != 4 or images.shape[1] != 3:
        last = images.dim() == 4 and images.shape[3] == 3
        grey = images.dim() == 4 and images.shape[1] == 1
        fix = ": use images.permute(0, 3, 1, 2)" if last else ": use images.expand(-1, 3, -1, -1)" if grey else ""
        raise ValueError(f"images have the shape {tuple(images.shape)}, expected (N, 3, H, W){fix}")


def as_bytes(images: Tensor) -> str:
    """How these numbers become uint8, which depends on their range: 0 to 1 and 0 to 255 need different steps."""
    if images.dtype == torch.bool or images.is_complex() or not images.numel():
        return "e.g. images.byte() * 255 for True and False, (images * 255).round().byte() for 0 to 1"
    low, high = float(images.min()), float(images.max())
    if not 0 <= low <= high <= 65535:
        return f"but these run from {low:.3g} to {high:.3g}: undo what was subtracted and divided, then use .byte()"
    if high <= 1:
        return "with (images * 255).round().byte(), because these run from 0 to 1"
    if high <= 255:
        return f"with images.round().byte(), because these run up to {high:.4g}"
    return f"with (images / {2 ** int(high).bit_length() - 1} * 255).round().byte(), because these run up to {high:.5g}"


def inside(objects: Sequence[Tensor], N: int, H: int, W: int, classes: int) -> None:
    """An error unless there are boxes (n, 5) for each of N images, all inside it and of a class that exists."""
    if isinstance(objects, Tensor | str) or not isinstance(objects, Sequence):
        raise TypeError(f"objects must be a tuple with boxes (n, 5) for each image, got {type(objects).__name__}")
    if len(objects) != N:
        raise ValueError(f"there are objects for {len(objects)} images, but {N} images: give (0, 5) where none is")
    for number, boxes in enumerate(objects):
        name = f"objects[{number}]"
        if not isinstance(boxes, Tensor) or boxes.dim() != 2 or boxes.shape[1] != 5:
            got = tuple(boxes.shape) if isinstance(boxes, Tensor) else type(boxes).__name__
            raise ValueError(f"{name} is {got}, expected a tensor (n, 5): x0, y0, x1, y1, class")
        described(name, boxes, (len(boxes), 5), "int64")
        x0, y0, x1, y1, kind = boxes.unbind(1)
        fits = (x0 >= 0) & (x0 < x1) & (x1 <= W) & (y0 >= 0) & (y0 < y1) & (y1 <= H)
        if not bool((fits & (kind >= 0) & (kind < classes)).all()):
            wrong = boxes[~(fits & (kind >= 0) & (kind < classes))][0].tolist()
            raise ValueError(
                f"{name} has {wrong}, which is no x0, y0, x1, y1 inside {W}x{H} with a class below {classes}"
            )


def texts(name: str, values: Sequence[str]) -> Sequence[str]:
    """The values if they are a sequence of strings."""
    if isinstance(values, str) or not isinstance(values, Sequence) or not all(isinstance(v, str) for v in values):
        raise TypeError(f"{name} must be a tuple of strings, got {values!r:.60} of type {type(values).__name__}")
    return values


def described(name: str, values: Tensor, shape: tuple[int, ...], wanted: str) -> None:
    """An error unless the values are a tensor of this shape, of bool where bool is wanted, else of whole numbers."""
    if not isinstance(values, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor {shape}, got {type(values).__name__}: give {wanted}")
    if tuple(values.shape) != shape:
        raise ValueError(f"{name} have the shape {tuple(values.shape)}, but {shape[0]} images need {shape}")
    whole_numbers = not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)
    if values.dtype != torch.bool if name == "masks" else not whole_numbers:
        raise TypeError(f"{name} are {values.dtype}: give {wanted}")


def positions(index: Tensor | Sequence[int], N: int) -> Tensor:
    """An index of images as a tensor: a bool mask (N,), or whole numbers below N."""
    try:
        found = torch.as_tensor(index)
    except (TypeError, ValueError, RuntimeError):
        found = torch.zeros(())  # no index, which is said next
    if found.dim() != 1 or found.is_complex() or (found.is_floating_point() and len(found)):
        raise TypeError(f"index={index!r:.60} must be a slice, a bool mask (N,), or a list of positions")
    found = found if found.dtype == torch.bool else found.long()
    fits = len(found) == N if found.dtype == torch.bool else bool(((found >= -N) & (found < N)).all())
    if not fits:
        raise ValueError(f"index of {len(found)} does not fit {N} images: give a mask ({N},), or positions below {N}")
    return found


def boxes_of(masks: Tensor) -> Tensor:
    """The smallest box around each mask: (N, H, W) bool -> (N, 4) int64.

    A box is x0, y0, x1, y1 in pixels; x1 and y1 are the first column and row outside, so the width is x1 - x0. An empty
    mask has the box 0, 0, 0, 0.
    """
    if tensor("masks", masks, "N, H, W").dtype != torch.bool:
        raise TypeError(f"masks are {masks.dtype}: give bool, e.g. masks > 127")
    N, H, W = masks.shape
    columns, rows = masks.any(1).byte(), masks.any(2).byte()  # (N, W), (N, H); argmax needs numbers
    x0, y0 = columns.argmax(1), rows.argmax(1)  # argmax finds the first of equal values
    x1, y1 = W - columns.flip(1).argmax(1), H - rows.flip(1).argmax(1)
    return torch.stack([x0, y0, x1, y1], 1) * masks.any(2).any(1)[:, None]
