"""Mask files: each program means "marked" in its own way. They are read rightly, or refused with the fix."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cbam_lite.photographs.reading import ORIENTATION, deep, opened, turned, whole_values

if TYPE_CHECKING:
    from PIL.Image import Image

MOST = 0.5  # a defect that covers more of its image is rare; an inverted mask covers more, as a rule


def read_mask(path: Path, threshold: float, image: Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The marked pixels (H, W) of a mask file, which must have the shape of its image.

    Where the mask has the size of the image before its EXIF tag turned it upright, the mask is turned, too.

    Raises:
        ValueError: the sizes differ, there is content but none above the threshold, or colours and transparency
            disagree.
    """
    with opened(path) as picture:
        values = mask_values(path, upright_as(picture, image, shape), threshold)
    if values.shape != shape:
        raise ValueError(
            f"{image} is {shape[1]}x{shape[0]}, its mask {values.shape[1]}x{values.shape[0]}: "
            "a mask needs the size of its image"
        )
    marked = values > threshold
    if values.any() and not marked.any():
        raise ValueError(
            f"{path} has content, but no pixel above threshold={threshold:g}; its largest value is {values.max():g}: "
            f"use threshold=0 if every value but 0 is marked"
        )
    return marked


def upright_as(picture: "Image", image: Path, shape: tuple[int, int]) -> "Image":
    """A mask turned as its own EXIF tag says, or as its image is where only that makes the sizes agree."""
    from PIL import ImageOps

    W, H = picture.size
    exif = picture.getexif()
    if exif.get(ORIENTATION, 1) == 1 and (H, W) != shape and (W, H) == shape and turned(image) > 4:
        exif[ORIENTATION] = turned(image)
    return ImageOps.exif_transpose(picture)


def mask_values(path: Path, picture: "Image", threshold: float) -> NDArray[np.float32]:
    """How strongly each pixel is marked, (H, W), from 0 to 255, wherever the file says it: grey, palette or alpha."""
    if deep(picture):
        whole = whole_values(path, picture)
        return (whole / (257 if whole.max() > 255 else 1)).astype(np.float32)
    palette = picture.mode in ("P", "PA")
    pixels = np.asarray(picture.convert("RGBA"))
    colour, alpha = pixels[..., :3], pixels[..., 3].astype(np.float32)
    values = colour.max(2).astype(np.float32)
    if palette and (colour.max(2) != colour.min(2)).any():  # colours that stand for classes, dark ones too
        values = np.where(values > 0, 255, 0).astype(np.float32)
    if (alpha == 255).all():
        return values
    if (colour == colour[0, 0]).all():  # one colour, so all that it says is in its transparency
        return alpha
    if not np.array_equal((values > threshold) & (alpha > threshold), alpha > threshold):
        raise ValueError(
            f"{path} has colours and transparency that mark different pixels: save the mask as black and white, "
            "without transparency"
        )
    return alpha


def refuse_inverted(shares: dict[str, float], inverted: bool | None) -> str | None:
    """An error where the masks of a folder seem to mark what is good; a sentence where a few do.

    `shares` has for each image the share of marked pixels. Nothing is said where the caller decided (`inverted`).
    """
    marked = sorted(share for share in shares.values() if share > 0)
    if inverted is not None or not marked:
        return None
    middle = marked[(len(marked) - 1) // 2]
    if middle > MOST:
        raise ValueError(
            f"half of the {len(marked)} masks with content mark {middle:.0%} of their image or more, so they seem to "
            "be inverted: use inverted=True if white is good, inverted=False if the defects are so large"
        )
    large = [name for name, share in shares.items() if share > 0.9]
    if not large:
        return None
    named = ", ".join(f"{name} {shares[name]:.1%}" for name in large[:3])
    return f"{len(large)} of {len(marked)} masks mark more than 90% of their image, as an inverted mask does: {named}"
