"""Files that the tests write."""

from pathlib import Path

import numpy as np
from PIL import Image


def save(path: Path, pixels: np.ndarray) -> None:  # type: ignore[type-arg]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


RANDOM = np.random.default_rng(0)


def photo(H: int = 12, W: int = 16) -> np.ndarray:  # type: ignore[type-arg]
    """Random grey pixels, so that no two photographs are equal."""
    return RANDOM.integers(0, 250, (H, W))


def hole(H: int = 12, W: int = 16, marked: int = 255) -> np.ndarray:  # type: ignore[type-arg]
    """A mask: 2 x 3 pixels are marked, from row 4 and column 5 on."""
    mask = np.zeros((H, W), np.uint8)
    mask[4:6, 5:8] = marked
    return mask
