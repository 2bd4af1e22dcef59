"""Random changes of a batch that keep its boxes right: what `fit_detector` takes as `change`.

Each is called with images (B, 3, H, W), the `Objects` of each image and a generator, and gives both anew.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from cbam_lite.checks import function, number, positive_int, tensor
from cbam_lite.detection.boxed_images import Objects, checked_objects
from cbam_lite.training.batches import randomly
from cbam_lite.training.settings import name_of

Changed = tuple[Tensor, list[Objects]]
Change = Callable[[Tensor, Sequence[Objects], Generator], Changed]
GREY = 0.5  # what stands around a picture that was made smaller
THIN = 0.01  # pixels: what is cut to less has a side that rounds to nothing in the next change
ANY: Any = range(2**31)  # a change knows no names of classes: each label from 0 on is fine


def with_objects(images: Tensor, objects: Sequence[Objects], g: Generator) -> tuple[int, int, list[Objects]]:
    """H, W and the objects of each image, float32 and int64, or an error that says what is wrong with a batch."""
    B, C, H, W = tensor("images", randomly("images", images, g), "B, C, H, W", floating=True, least=1).shape
    if isinstance(objects, Objects | str) or not isinstance(objects, Sequence):
        raise TypeError(
            f"objects must be a list with the Objects of each image, got {type(objects).__name__}: for one image "
            "use [objects]"
        )
    if len(objects) != B:
        raise ValueError(f"there are objects of {len(objects)} images, but {B} images: give one for each")
    return H, W, [checked_objects(f"objects[{i}]", one, H, W, ANY) for i, one in enumerate(objects)]


def flips_with_boxes(images: Tensor, objects: Sequence[Objects], g: Generator) -> Changed:
    """Each image mirrored left to right, and top to bottom, with probability 1/2.

    Example:
        >>> image, objects = make_boxed_defects(1)[0]
        >>> images, changed = flips_with_boxes(image[None], [objects], torch.Generator().manual_seed(0))
        >>> len(changed[0].boxes) == len(objects.boxes)
        True
    """
    H, W, before = with_objects(images, objects, g)
    boxes = [one.boxes for one in before]
    for dim, low, high, side in ((3, 0, 2, W), (2, 1, 3, H)):
        mirrored = torch.rand(len(images), generator=g) < 0.5
        images = torch.where(mirrored.to(images.device)[:, None, None, None], images.flip(dim), images)
        for i in mirrored.nonzero()[:, 0].tolist():
            boxes[i] = boxes[i].clone()
            boxes[i][:, low], boxes[i][:, high] = side - boxes[i][:, high], side - boxes[i][:, low].clone()
    return images, [Objects(b, one.labels) for b, one in zip(boxes, before, strict=True)]


def lights_with_boxes(images: Tensor, objects: Sequence[Objects], g: Generator) -> Changed:
    """Each image in other light: multiplied by 0.6 to 1.4, then up to 0.15 is added or taken away. Boxes stay.

    What leaves 0 to 1 is cut off.

    Example:
        >>> image, objects = make_boxed_defects(1)[0]
        >>> images, same = lights_with_boxes(image[None], [objects], torch.Generator().manual_seed(0))
        >>> torch.equal(same[0].boxes, objects.boxes)
        True
    """
    H, W, same = with_objects(images, objects, g)
    gain, offset = torch.rand(2, len(images), 1, 1, 1, generator=g).to(images)
    return (images * (0.6 + 0.8 * gain) + 0.3 * offset - 0.15).clamp(0, 1), same


# ---- another place, another size ------------------------------------------------------------------------------------


def inside(boxes: Tensor, labels: Tensor, H: float, W: float, keep: float) -> Objects:
    """Boxes cut off at the border of a picture; those of which less than `keep` of the area remains are dropped."""
    limits = boxes.new_tensor([W, H, W, H])
    cut = boxes.clamp_min(0).minimum(limits)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    sides = (cut[:, 2:] - cut[:, :2]).clamp_min(0)
    kept = (sides.prod(1) >= keep * area) & (sides > THIN).all(1)
    return Objects(cut[kept], labels[kept])


def crops(size: int, keep: float = 0.4) -> Change:
    """One random square of each image; in three of four it lies around an object's centre, if the image has any.

    Which object, and where in the square its centre lies, is random; squares stay in the image, to a whole pixel. A box
    of which less than `keep` of the area remains is dropped: a sliver teaches nothing. It is still visible, and counts
    as background, which is a small lie; a detector that has to name each sliver at a border is told a larger one.

    Args:
        size: the side of the squares, a multiple of 32; the images must be at least so large.
        keep: from 0 to 1.

    Raises:
        ValueError: `size` is no multiple of 32, or `keep` is outside its range; when called, an image is smaller.

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
    H, W, before = with_objects(images, objects, g)
    if min(H, W) < size:
        fix = f"use size<={32 * (min(H, W) // 32)}" if min(H, W) >= 32 else "letterbox them to at least 32x32"
        raise ValueError(f"images are {H}x{W}, smaller than the crops of size={size}: {fix}")
    found, changed = [], list[Objects]()
    for image, (boxes, labels) in zip(images, before, strict=True):
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

    Raises:
        ValueError: a number is outside its range, or `high` is below `low`.

    Example:
        >>> image, objects = make_boxed_defects(1)[0]
        >>> scales()(image[None], [objects], torch.Generator().manual_seed(0))[0].shape
        torch.Size([1, 3, 128, 128])
    """
    low = number("low", low, 0.05, 20)
    return functools.partial(scaled, low=low, high=number("high", high, low, 20), keep=number("keep", keep, 0, 1))


def scaled(images: Tensor, objects: Sequence[Objects], g: Generator, low: float, high: float, keep: float) -> Changed:
    """See `scales`."""
    H, W, before = with_objects(images, objects, g)
    B = len(images)
    factor = low * (high / low) ** torch.rand(B, generator=g)  # (B,)
    theta = torch.zeros(B, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 / factor
    where = nn.functional.affine_grid(theta, [B, 1, H, W], align_corners=False).to(images)
    moved = nn.functional.grid_sample(images - GREY, where, align_corners=False) + GREY  # zeros outside become grey
    changed = []
    for f, (boxes, labels) in zip(factor, before, strict=True):
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
    for change in changes:
        images, objects = change(images, objects, g)
    return images, list(objects)
