"""One file: its pixels as a person sees them, upright and from 0 to 255, or why it cannot be read."""

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from PIL.Image import Image

DEPTHS = (8, 10, 12, 14, 16)  # bits that cameras put into 16
ORIENTATION = 0x0112  # the EXIF tag


@contextmanager
def opened(path: Path) -> "Iterator[Image]":
    """An open picture; whatever Pillow says against the file names it."""
    from PIL import Image, UnidentifiedImageError  # comes with Matplotlib

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large, but still allowed
            with Image.open(path) as picture:
                yield picture
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"{path} is too large: make it smaller, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust it ({error})"
        ) from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError) as error:  # words for damaged files
        if str(path) in str(error) and isinstance(error, ValueError) and not isinstance(error, UnidentifiedImageError):
            raise  # said already
        raise ValueError(f"{path} cannot be read as an image: replace it or take it away ({error})") from error


def read_image(path: Path, mode: str, bits: int | None = None) -> NDArray[np.uint8]:
    """The pixels of a file, (H, W, 3) for the mode "RGB" or (H, W) for "L", turned upright as its EXIF tag says.

    A file with 16 bits is divided by 2^bits - 1, so that this value is white. None takes the fewest of 8, 10, 12, 14
    and 16 that hold the values of this file; who reads several files passes one number for all (see `survey`).
    """
    from PIL import ImageOps

    with opened(path) as picture:
        upright = ImageOps.exif_transpose(picture)
        if not deep(picture):
            return np.array(upright.convert(mode))
        values = whole_values(path, upright)
        white = 2 ** (bits_of(path, int(values.max())) if bits is None else bits) - 1
        grey = np.rint(np.minimum(values, white) * (255 / white)).astype(np.uint8)
        return grey if mode == "L" else np.repeat(grey[..., None], 3, 2)


def deep(picture: "Image") -> bool:
    """Whether a picture has more than 8 bits: Pillow's own conversion would cut them off at 255."""
    return picture.mode.startswith(("I", "F"))


def whole_values(path: Path, picture: "Image") -> NDArray[np.int64]:
    """The pixels (H, W) of a picture with 16 or 32 bits, or an error where they are no brightness."""
    values = np.asarray(picture)
    if values.dtype.kind == "f" or values.min() < 0:
        raise ValueError(
            f"{path} holds {'fractions' if values.dtype.kind == 'f' else 'negative numbers'} from {values.min():g} to "
            f"{values.max():g}, and nothing says which is white: save it with 8 or 16 bits"
        )
    return values.astype(np.int64)


def bits_of(path: Path, highest: int) -> int:
    """The fewest bits of `DEPTHS` that hold the highest value."""
    for bits in DEPTHS:
        if highest < 2**bits:
            return bits
    raise ValueError(f"{path} holds the value {highest}, more than 16 bits: save it with 8 or 16 bits")


@dataclass(frozen=True)
class Survey:
    """What the heads of some files say before any is loaded; `bits` is one number for all that have more than 8."""

    bits: int | None
    deep: int
    colours: int
    turned: int
    pages: int


def survey(paths: Iterable[Path]) -> Survey:
    """Look at files before they are read: bits, EXIF orientation and pages.

    One rule for all 16-bit files: the fewest of 8, 10, 12, 14 and 16 bits that hold every value of every file. A scale
    for each file would hide that one photograph is darker than another.
    """
    bits: list[int] = []
    colours = turns = pages = 0
    for path in paths:
        with opened(path) as picture:
            colours += ";16" in str(getattr(picture, "tile", "")) and not deep(picture)
            if picture.format != "PNG" or "exif" in picture.info:  # a PNG would be read to its end to look for the tag
                turns += picture.getexif().get(ORIENTATION, 1) != 1
            pages += picture.format != "MPO" and getattr(picture, "is_animated", False)  # MPO: what telephones write
            if deep(picture):
                picture.seek(0)
                bits.append(bits_of(path, int(whole_values(path, picture).max())))
    return Survey(max(bits, default=None), len(bits), colours, turns, pages)


def turned(path: Path) -> int:
    """How the EXIF tag of a file says that its pixels lie, 1 to 8; 5 to 8 swap height and width."""
    with opened(path) as picture:
        return int(picture.getexif().get(ORIENTATION, 1))


def resized(pixels: NDArray[np.uint8], size: int) -> Tensor:
    """(H, W, 3) -> (3, size, size), uint8, or (H, W) -> (size, size); antialiased, the aspect ratio is not kept."""
    values = torch.from_numpy(pixels).float()
    values = values.permute(2, 0, 1)[None] if values.dim() == 3 else values[None, None]  # (1, 3 or 1, H, W)
    values = torch.nn.functional.interpolate(values, (size, size), mode="bilinear", antialias=True)[0]
    values = values.round().clamp(0, 255).byte()
    return values if pixels.ndim == 3 else values[0]


def resized_mask(mask: Tensor, size: int) -> Tensor:
    """(H, W) bool -> (size, size) bool, true where any pixel of the mask falls, so that thin defects stay."""
    return torch.nn.functional.adaptive_max_pool2d(mask[None].float(), size)[0] > 0


def existing(folder: str | Path, what: str, name: str = "folder") -> Path:
    """The folder as a path, ``~`` replaced by the home folder, or an error that says what it should hold."""
    if not isinstance(folder, str | os.PathLike):
        raise TypeError(f"{name} must be a path, got {folder!r} of type {type(folder).__name__}")
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: give the one that holds {what}")
    return folder
