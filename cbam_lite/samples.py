"""The photograph that the chapters look at, shipped with the package so that no page downloads anything."""

from pathlib import Path

import torch
from torch import Tensor


def cat_photo() -> Tensor:
    """Chelsea the cat: (3, 192, 192), RGB, float32 from 0 to 1.

    Source: photograph by Stefan van der Walt, CC0, from scikit-image's samples; cropped and made smaller here.

    Example:
        >>> cat_photo().shape
        torch.Size([3, 192, 192])
    """
    import matplotlib.image

    pixels = matplotlib.image.imread(Path(__file__).with_name("cat.png"))  # (H, W, 3), 0 to 1
    return torch.from_numpy(pixels[..., :3].copy()).permute(2, 0, 1).contiguous()
