"""Letterbox: an image of any shape in a square, without changing the shape of what it shows, and the way back.

The image is scaled until it just fits, and grey fills the rest, evenly on both sides. The sides of the scaled image are
whole pixels, so the scale is (rounded side) / (original side), which may differ a little between height and width. Both
ways use these two numbers, so one undoes the other exactly.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cbam_lite.checks import height_and_width, tensor, whole
from cbam_lite.explaining.gradcam import resize

GREY = 128  # of 0 to 255; 0.5 of 0 to 1


@dataclass(frozen=True)
class Letterbox:
    """Where an image stands in its square, and the way there and back for boxes and maps.

    Args:
        original: height and width of the image, in pixels.
        size: height and width of what it is put into.

    Raises:
        ValueError: a side is below 1.
        TypeError: an argument is not a pair of whole numbers.

    Example:
        >>> where = Letterbox(original=(300, 400), size=(416, 416))
        >>> where.inner, where.top, where.left
        ((312, 416), 52, 0)
        >>> where.boxes_in(torch.tensor([[0.0, 0, 400, 300]]))
        tensor([[  0.,  52., 416., 364.]])
    """

    original: tuple[int, int]
    size: tuple[int, int]

    def __post_init__(self) -> None:
        for name in ("original", "size"):
            object.__setattr__(self, name, height_and_width(name, getattr(self, name)))

    @property
    def inner(self) -> tuple[int, int]:
        """Height and width of the scaled image. A side keeps at least one pixel, however thin the image is."""
        (H, W), (high, wide) = self.original, self.size
        fit = min(high / H, wide / W)
        return min(max(round(H * fit), 1), high), min(max(round(W * fit), 1), wide)

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the letterbox for each pixel of the image, of its height and of its width."""
        (H, W), (h, w) = self.original, self.inner
        return h / H, w / W

    @property
    def top(self) -> int:
        """The first row of the image. Where the padding is odd, the larger part is below."""
        return (self.size[0] - self.inner[0]) // 2

    @property
    def left(self) -> int:
        """The first column of the image. Where the padding is odd, the larger part is on the right."""
        return (self.size[1] - self.inner[1]) // 2

    def boxes_in(self, boxes: Tensor) -> Tensor:
        """Boxes of the image, (n, 4) as x0, y0, x1, y1, in pixels of the letterbox. float32, float64 for float64.

        Raises:
            ValueError: the boxes are not (n, 4), or hold NaN.
            TypeError: they are no tensor.
        """
        original, inner, corner = self.in_axes_of(boxes)
        return as_given(boxes.double() * inner / original + corner, boxes)

    def boxes_out(self, boxes: Tensor) -> Tensor:
        """Boxes of the letterbox, (n, 4), in pixels of the image, and cut off at its border.

        A box that stands in the padding alone comes back without an area.

        Raises:
            ValueError: the boxes are not (n, 4), or hold NaN.
            TypeError: they are no tensor.
        """
        original, inner, corner = self.in_axes_of(boxes)
        found = (boxes.double() - corner) * original / inner
        return as_given(torch.minimum(found.clamp_min(0), original), boxes)

    def maps_out(self, maps: Tensor) -> Tensor:
        """Maps of the letterbox, at the size of the image: (B, size) -> (B, original). The padding is cut away.

        Bilinear, corners not aligned, as `resize`. A map of the network's last layers is first brought to the size of
        the letterbox: ``where.maps_out(resize(maps, where.size))``.

        Raises:
            ValueError: the maps are of another size.
            TypeError: they are no floating-point numbers.
        """
        B, H, W = tensor("maps", maps, "B, H, W", floating=True).shape
        if (H, W) != self.size:
            raise ValueError(
                f"maps are {H}x{W}, the letterbox {self.size[0]}x{self.size[1]}: use resize(maps, {self.size}) first"
            )
        h, w = self.inner
        return resize(maps[:, self.top : self.top + h, self.left : self.left + w], self.original)

    def in_axes_of(self, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """original, inner, and the corner of the image, each as x, y, x, y: (4,), float64; and a check of the boxes."""
        if tensor("boxes", boxes, "n, 4").shape[1] != 4:
            raise ValueError(f"boxes have the shape {tuple(boxes.shape)}, expected (n, 4): x0, y0, x1, y1 of each")
        if bool(boxes.isnan().any()):
            i = int(boxes.isnan().any(1).nonzero()[0])
            raise ValueError(f"boxes[{i}] is {boxes[i].tolist()}: NaN is no place, look where it comes from")
        (H, W), (h, w) = self.original, self.inner
        rows = torch.tensor([[W, H] * 2, [w, h] * 2, [self.left, self.top] * 2], dtype=torch.float64)
        original, inner, corner = rows.to(boxes.device)
        return original, inner, corner


def as_given(values: Tensor, boxes: Tensor) -> Tensor:
    """Values in the dtype of the boxes, float32 at least: they are reckoned in float64, so that W stays W."""
    return values.to(torch.promote_types(boxes.dtype, torch.float32))


def letterbox(image: Tensor, size: int | tuple[int, int]) -> tuple[Tensor, Letterbox]:
    """An image in a square of `size`, scaled by min(size / H, size / W), with grey around it, and where it stands.

    Resizing is bilinear and antialiased, as in all loaders of this package.

    Args:
        image: (3, H, W), uint8, or floating-point numbers from 0 to 1.
        size: the side of the square in pixels, or (height, width).

    Returns:
        The letterboxed image, (3, size, size) in the dtype of `image`, padded with 128, or 0.5 in floating-point
        numbers, and its `Letterbox`.

    Raises:
        ValueError: the image is not (3, H, W), its numbers are not from 0 to 1, or `size` is below 1.
        TypeError: the image is no tensor, or neither uint8 nor floating-point.

    Example:
        >>> image = torch.zeros(3, 40, 80, dtype=torch.uint8)
        >>> square, where = letterbox(image, 64)
        >>> square.shape, where.inner, square[0, :17:8, 0]
        (torch.Size([3, 64, 64]), (32, 64), tensor([128, 128,   0], dtype=torch.uint8))
        >>> where.boxes_out(torch.tensor([[16.0, 16, 32, 48]]))
        tensor([[20.,  0., 40., 40.]])
    """
    _, H, W = picture(image).shape
    where = Letterbox((H, W), size_of(size))
    (h, w), (high, wide) = where.inner, where.size
    values = image.to(torch.promote_types(image.dtype, torch.float32))  # float16 has no antialiasing on every device
    values = nn.functional.interpolate(values[None], (h, w), mode="bilinear", antialias=True)[0]
    values = values if image.is_floating_point() else values.round().clamp(0, 255)
    grey = 0.5 if image.is_floating_point() else GREY
    sides = (where.left, wide - w - where.left, where.top, high - h - where.top)
    return nn.functional.pad(values.to(image.dtype), sides, value=grey), where


def picture(image: Tensor) -> Tensor:
    """The image if it is (3, H, W), uint8 or from 0 to 1, or an error that says how to make it so."""
    C, H, W = tensor("image", image, "3, H, W").shape
    if C != 3:
        fix = "image.permute(2, 0, 1)" if W == 3 else "image.expand(3, -1, -1)" if C == 1 else "three channels, RGB"
        raise ValueError(f"image has the shape {tuple(image.shape)}, expected (3, H, W): use {fix}")
    if image.dtype == torch.uint8:
        return image
    if not image.is_floating_point():
        raise TypeError(f"image is {image.dtype}: give uint8 from 0 to 255, or floating-point numbers from 0 to 1")
    low, high = float(image.detach().min()), float(image.detach().max())
    if not (-1e-3 <= low and high <= 1 + 1e-3):  # false for NaN
        fix = "divide by 255" if 0 <= low <= high <= 255 else "letterbox before you normalise, and look for NaN"
        raise ValueError(f"image runs from {low:.4g} to {high:.4g}, but grey is 0.5 of 0 to 1: {fix}")
    return image


def size_of(size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width, of a side or of a pair."""
    if isinstance(size, tuple | list):
        return height_and_width("size", size)
    return whole("size", size, 1), whole("size", size, 1)
