"""Random changes of a batch that keep its boxes right: what `fit_detector` takes as `change`.

Each is called with images (B, 3, H, W), the `Objects` of each image and a generator, and gives both anew.
"""

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor, nn

from cbam_lite.checks import function, number, positive_int
from cbam_lite.detection.boxed_images import Objects
from cbam_lite.training.batches import randomly
from cbam_lite.training.settings import name_of

Changed = tuple[Tensor, list[Objects]]
Change = Callable[[Tensor, Sequence[Objects], Generator], Changed]
GREY = 0.5  # what stands around a picture that was made smaller


def with_objects(images: Tensor, objects: Sequence[Objects], g: Generator) -> tuple[int, int, int]:
    """B, H and W, or an error that says what is wrong with a batch."""
    B, C, H, W = randomly("images", images, g).shape
    if len(objects) != B:
        raise ValueError(f"there are objects of {len(objects)} images, but {B} images: give one for each")
    return B, H, W


def flips_with_boxes(images: Tensor, objects: Sequence[Objects], g: Generator) -> Changed:
    """Each image mirrored left to right, and top to bottom, with probability 1/2.

    Example:
        >>> image, objects = make_boxed_defects(1)[0]
        >>> images, changed = flips_with_boxes(image[None], [objects], torch.Generator().manual_seed(0))
        >>> len(changed[0].boxes) == len(objects.boxes)
        True
    """
    B, H, W = with_objects(images, objects, g)
    boxes = [one.boxes for one in objects]
    for dim, low, high, side in ((3, 0, 2, W), (2, 1, 3, H)):
        mirrored = torch.rand(B, generator=g) < 0.5
        images = torch.where(mirrored.to(images.device)[:, None, None, None], images.flip(dim), images)
        for i in mirrored.nonzero()[:, 0].tolist():
            boxes[i] = boxes[i].clone()
            boxes[i][:, low], boxes[i][:, high] = side - boxes[i][:, high], side - boxes[i][:, low].clone()
    return images, [Objects(b, one.labels) for b, one in zip(boxes, objects, strict=True)]


def lights_with_boxes(images: Tensor, objects: Sequence[Objects], g: Generator) -> Changed:
    """Each image in other light: multiplied by 0.6 to 1.4, then up to 0.15 is added or taken away. Boxes stay."""
    B, H, W = with_objects(images, objects, g)
    gain, offset = torch.rand(2, B, 1, 1, 1, generator=g).to(images)
    return (images * (0.6 + 0.8 * gain) + 0.3 * offset - 0.15).clamp(0, 1), list(objects)


# ---- another place, another size ------------------------------------------------------------------------------------


def inside(boxes: Tensor, labels: Tensor, H: float, W: float, keep: float) -> Objects:
    """Boxes cut off at the border of a picture; those of which less than `keep` of the area remains are dropped."""
    limits = boxes.new_tensor([W, H, W, H])
    cut = boxes.clamp_min(0).minimum(limits)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    left = (cut[:, 2:] - cut[:, :2]).clamp_min(0).prod(1)
    kept = (left >= keep * area) & (left > 0)
    return Objects(cut[kept], labels[kept])


def crops(size: int, keep: float = 0.4) -> Change:
    """One random square of each image; in three of four it holds the centre of an object, if the image has any.

    A box of which less than `keep` of the area remains is dropped. What is left of its object then counts as
    background, which is a small lie; a detector that has to name each sliver at a border is told a larger one.

    Args:
        size: the side of the squares, a multiple of 32; the images must be at least so large.
        keep: from 0 to 1.

    Example:
        >>> image, objects = make_boxed_defects(1, size=256)[0]
        >>> crops(128)(image[None], [objects], torch.Generator().manual_seed(0))[0].shape
        torch.Size([1, 3, 128, 128])
    """
    if positive_int("size", size) % 32:
        raise ValueError(f"size={size} must be a multiple of 32: use {32 * max(1, round(size / 32))}")
    return functools.partial(cropped, size=size, keep=number("keep", keep, 0, 1))


def cropped(images: Tensor, objects: Sequence[Objects], g: Generator, size: int, keep: float) -> Changed:
    """See `crops`."""
    B, H, W = with_objects(images, objects, g)
    if min(H, W) < size:
        raise ValueError(
            f"images are {H}x{W}, smaller than the crops of size={size}: use size<={32 * (min(H, W) // 32)}"
        )
    found, changed = [], list[Objects]()
    for image, (boxes, labels) in zip(images, objects, strict=True):
        chance, which, across, down = torch.rand(4, generator=g).tolist()
        left, top = across * (W - size), down * (H - size)
        if len(boxes) and chance < 0.75:
            cx, cy = ((boxes[:, :2] + boxes[:, 2:]) / 2)[int(which * len(boxes))].tolist()
            left, top = min(max(cx - across * size, 0), W - size), min(max(cy - down * size, 0), H - size)
        x, y = int(left), int(top)
        found.append(image[:, y : y + size, x : x + size])
        changed.append(inside(boxes - boxes.new_tensor([x, y, x, y]), labels, size, size, keep))
    return torch.stack(found), changed


def scales(low: float = 0.7, high: float = 1.4, keep: float = 0.4) -> Change:
    """Each image made smaller or larger about its centre, by a factor from `low` to `high`; grey comes in.

    Args:
        low, high: above 0; the logarithm of the factor is uniform.
        keep: as in `crops`.

    Example:
        >>> image, objects = make_boxed_defects(1)[0]
        >>> scales()(image[None], [objects], torch.Generator().manual_seed(0))[0].shape
        torch.Size([1, 3, 128, 128])
    """
    number("low", low, 0.05, 20)
    return functools.partial(scaled, low=low, high=number("high", high, low, 20), keep=number("keep", keep, 0, 1))


def scaled(images: Tensor, objects: Sequence[Objects], g: Generator, low: float, high: float, keep: float) -> Changed:
    """See `scales`."""
    B, H, W = with_objects(images, objects, g)
    factor = low * (high / low) ** torch.rand(B, generator=g)  # (B,)
    theta = torch.zeros(B, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 / factor
    where = nn.functional.affine_grid(theta, [B, 1, H, W], align_corners=False).to(images)
    moved = nn.functional.grid_sample(images - GREY, where, align_corners=False) + GREY  # zeros outside become grey
    changed = []
    for f, (boxes, labels) in zip(factor, objects, strict=True):
        middle = boxes.new_tensor([W, H, W, H]) / 2
        changed.append(inside((boxes - middle) * f.to(boxes) + middle, labels, H, W, keep))
    return moved, changed


def in_turn(*changes: Change) -> Change:
    """Several changes, one after the other.

    Example:
        >>> change = in_turn(crops(64), flips_with_boxes)
        >>> image, objects = make_boxed_defects(1)[0]
        >>> change(image[None], [objects], torch.Generator().manual_seed(0))[0].shape
        torch.Size([1, 3, 64, 64])
    """
    for i, change in enumerate(changes):
        function(f"changes[{i}]", change, "give one of images, objects and a generator, flips_with_boxes for example")
    return functools.partial(one_after_the_other, changes=Changes(changes))


class Changes(tuple[Change, ...]):
    """A tuple whose text names what is in it, so that a checkpoint tells two of them apart."""

    def __repr__(self) -> str:
        return f"({', '.join(map(name_of, self))})"


def one_after_the_other(images: Tensor, objects: Sequence[Objects], g: Generator, changes: Changes) -> Changed:
    """See `in_turn`."""
    found = list(objects)
    for change in changes:
        images, found = change(images, found, g)
    return images, found
