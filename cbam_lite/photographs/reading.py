"""One file or one folder: read it, resize it, or say why not."""

import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def read_image(path: Path, mode: str) -> NDArray[np.uint8]:
    """The pixels of a file, (H, W, 3) for the mode "RGB" or (H, W) for "L"."""
    from PIL import Image, UnidentifiedImageError  # comes with Matplotlib

    try:
        with Image.open(path) as picture:
            return np.array(picture.convert(mode))
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"{path} is too large: make it smaller, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust it ({error})"
        ) from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:  # Pillow's words for damaged files
        raise ValueError(f"{path} cannot be read as an image: replace it or take it away ({error})") from error


def resized(pixels: NDArray[np.uint8], size: int) -> Tensor:
    """(H, W, 3) -> (3, size, size), uint8, or (H, W) -> (size, size); antialiased, the aspect ratio is not kept."""
    values = torch.from_numpy(pixels).float()
    values = values.permute(2, 0, 1)[None] if values.dim() == 3 else values[None, None]  # (1, 3 or 1, H, W)
    values = torch.nn.functional.interpolate(values, (size, size), mode="bilinear", antialias=True)[0]
    values = values.round().clamp(0, 255).byte()
    return values if pixels.ndim == 3 else values[0]


def existing(folder: str | Path, what: str) -> Path:
    if not isinstance(folder, str | os.PathLike):
        raise TypeError(f"folder must be a path, got {folder!r} of type {type(folder).__name__}")
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: give the one that holds {what}")
    return folder


def resized_mask(mask: Tensor, size: int) -> Tensor:
    """(H, W) bool -> (size, size) bool, true where any pixel of the mask falls, so that thin defects stay."""
    return torch.nn.functional.adaptive_max_pool2d(mask[None].float(), size)[0] > 0
