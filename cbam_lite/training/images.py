"""Images with labels, and with masks and boxes where they are known: one container, and loaders for data people use."""

import dataclasses

import torch
from torch import Tensor
from torch.utils.data import Dataset

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp")


@dataclasses.dataclass(frozen=True)
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
        TypeError: the images are not uint8.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    masks: Tensor | None = None
    groups: Tensor | None = None

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8:
            raise TypeError(f"images are {self.images.dtype}: give uint8 from 0 to 255, e.g. (images * 255).byte()")
        if self.images.dim() != 4 or self.images.shape[1] != 3:
            raise ValueError(f"images have the shape {tuple(self.images.shape)}, expected (N, 3, H, W)")
        N, _, H, W = self.images.shape
        expected = {"labels": (N,), "masks": (N, H, W), "groups": (N,)}
        for name, shape in expected.items():
            values = getattr(self, name)
            if values is not None and tuple(values.shape) != shape:
                raise ValueError(f"{name} have the shape {tuple(values.shape)}, but {N} images of {H}x{W} need {shape}")
        if N and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.classes):
            raise ValueError(
                f"labels run from {self.labels.min()} to {self.labels.max()}, but there are {len(self.classes)} classes"
            )

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
        masks = None if self.masks is None else self.masks[index]
        groups = None if self.groups is None else self.groups[index]
        return LabelledImages(self.images[index], self.labels[index], self.classes, masks, groups)


def boxes_of(masks: Tensor) -> Tensor:
    """The smallest box around each mask: (N, H, W) bool -> (N, 4) int64.

    A box is x0, y0, x1, y1 in pixels; x1 and y1 are the first column and row outside, so the width is x1 - x0. An empty
    mask has the box 0, 0, 0, 0.
    """
    N, H, W = masks.shape
    columns, rows = masks.any(1).byte(), masks.any(2).byte()  # (N, W), (N, H); argmax needs numbers
    x0, y0 = columns.argmax(1), rows.argmax(1)  # argmax finds the first of equal values
    x1, y1 = W - columns.flip(1).argmax(1), H - rows.flip(1).argmax(1)
    return torch.stack([x0, y0, x1, y1], 1) * masks.any(2).any(1)[:, None]


def split(data: LabelledImages, share: float, seed: int = 0) -> tuple[LabelledImages, LabelledImages]:
    """Two parts; the second holds about `share` of the images. Images of one group stay on one side.

    Without groups every image is a group of its own. Near-duplicates on both sides would make a test score worthless.

    Raises:
        ValueError: the share is not between 0 and 1, or one part would be empty.
    """
    groups = torch.arange(len(data)) if data.groups is None else data.groups
    names, sizes = torch.unique(groups, return_counts=True)
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    before = sizes[order].cumsum(0) - sizes[order]  # images in the groups drawn earlier
    second = torch.isin(groups, names[order][before < share * len(data)])
    if not 0 < share < 1 or second.all() or not second.any():
        raise ValueError(
            f"share={share} of {len(data)} images in {len(names)} groups leaves one part empty: "
            "use a share between 0 and 1, and more groups"
        )
    return data.take(~second), data.take(second)


def similar_groups(images: Tensor, threshold: float = 0.9) -> Tensor:
    """A number for each image, (N,); images whose thumbnails correlate above `threshold` get the same one, in chains.

    Two exposures of one thing are almost the same picture. Thumbnails are grey, 48x48, and compared by Pearson's
    correlation, so brightness and contrast do not count. Memory grows as N^2.
    """
    thumbnails = torch.nn.functional.interpolate(images.float().mean(1, keepdim=True), (48, 48), mode="area").flatten(1)
    thumbnails = torch.nn.functional.normalize(thumbnails - thumbnails.mean(1, keepdim=True))  # (N, 2304)
    alike = thumbnails @ thumbnails.T > threshold
    alike |= torch.eye(len(images), dtype=torch.bool, device=images.device)
    groups = torch.arange(len(images), device=images.device)
    while True:  # each image takes the smallest number among those it is like, until nothing changes
        smallest = torch.where(alike, groups, len(images)).amin(1)
        if torch.equal(smallest, groups):
            return groups
        groups = smallest


PCB_CLASSES = ("clean", "open", "short", "mousebite", "spur", "copper", "pin-hole")


TORCHVISION = {"cifar10": "CIFAR10", "fashion-mnist": "FashionMNIST"}
