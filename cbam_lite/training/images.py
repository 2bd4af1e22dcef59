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

    Raises:
        ValueError: lengths, shapes or labels do not fit together.
        TypeError: the images are not uint8 tensors, or labels, masks, groups or classes are of another kind.

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

    def __post_init__(self) -> None:
        if not isinstance(self.images, Tensor):
            raise TypeError(
                f"images must be a torch.Tensor (N, 3, H, W) of uint8, got {type(self.images).__name__}: "
                "use torch.from_numpy(images).permute(0, 3, 1, 2) for an array (N, H, W, 3)"
            )
        if self.images.dtype != torch.uint8:
            raise TypeError(f"images are {self.images.dtype}: give uint8 from 0 to 255, e.g. (images * 255).byte()")
        if self.images.dim() != 4 or self.images.shape[1] != 3:
            last = self.images.dim() == 4 and self.images.shape[3] == 3
            fix = ": use images.permute(0, 3, 1, 2)" if last else ""
            raise ValueError(f"images have the shape {tuple(self.images.shape)}, expected (N, 3, H, W){fix}")
        if isinstance(self.classes, str) or not isinstance(self.classes, Sequence):
            raise TypeError(
                f"classes must be a tuple of names, got {self.classes!r} of type {type(self.classes).__name__}"
            )
        N, _, H, W = self.images.shape
        described("labels", self.labels, (N,), "whole numbers, for names classes.index(name)")
        if self.masks is not None:
            described("masks", self.masks, (N, H, W), "bool, e.g. masks > 127")
        if self.groups is not None:
            described("groups", self.groups, (N,), "whole numbers, one for each thing that is shown")
        if N and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.classes):
            raise ValueError(
                f"labels run from {self.labels.min()} to {self.labels.max()}, but there are {len(self.classes)} classes"
            )

    def __repr__(self) -> str:
        """What is there, in a line: the pixels themselves would fill pages."""
        N, _, H, W = self.images.shape
        counts = torch.bincount(self.labels, minlength=len(self.classes)).tolist()
        kinds = ", ".join(f"{count} {name}" for name, count in zip(self.classes, counts, strict=True))
        known = [name for name in ("masks", "groups") if getattr(self, name) is not None]
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
        masks = None if self.masks is None else self.masks[index]
        groups = None if self.groups is None else self.groups[index]
        return LabelledImages(self.images[index], self.labels[index], self.classes, masks, groups)


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
