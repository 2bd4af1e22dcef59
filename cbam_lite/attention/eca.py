"""Which channels matter? Efficient channel attention (ECA): SE without the bottleneck.

Wang et al., "ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks", CVPR 2020.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Self  # torch needs it, too; in typing from Python 3.11 on

from cbam_lite.attention.inputs import check_map, like_weight, odd_kernel, one_node
from cbam_lite.attention.parts import (
    POOLS,
    Gate,
    GateFunction,
    Init,
    in_dtype,
    scale,
    start_at_zero,
    without_autocast,
)
from cbam_lite.checks import choose, number, positive_int


def eca_kernel_size(channels: int, gamma: float = 2, b: float = 1) -> int:
    """ECA's kernel size: the odd number at or above t = int(abs((log2 C + b) / gamma)).

    64 channels give 3, 128 to 1024 give 5, 2048 give 7. Four channels or fewer give 1: no exchange between channels.

    Example:
        >>> [eca_kernel_size(C) for C in (64, 256, 2048)]
        [3, 5, 7]
    """
    if number("gamma", gamma) == 0:
        raise ValueError("gamma=0 divides by zero: the paper uses gamma=2")
    t = int(abs((math.log2(positive_int("channels", channels)) + number("b", b)) / gamma))
    return t if t % 2 else t + 1


class EfficientChannelAttention(nn.Module):
    """SE without the bottleneck: each channel's gate looks at its k neighbours in channel order only.

    .. math::

        y = \\mathrm{avg}(F), \\qquad s = \\sigma(\\mathrm{conv1d}_k(y)), \\qquad \\tilde F = s \\otimes F

    One kernel of k weights serves all channels, so the module has k parameters.

    Args:
        channels: C, the channels of the map.
        kernel_size: k, odd. None takes the paper's formula, `eca_kernel_size(channels, gamma, b)`.
        gamma, b: the constants of that formula.
        pool, gate, device, dtype: as in `SqueezeExcitation`.
        init: as there; "identity" zeroes the kernel.

    Shape: (B, C, H, W) -> (B, C, H, W), in the dtype and memory format of the input.

    Raises:
        ValueError: the kernel size is even, or an option or the shape of a map does not fit.
        TypeError: the dtype of a map is not that of the module (autocast is fine).

    Example:
        >>> EfficientChannelAttention(256)
        EfficientChannelAttention(
          channels=256, pool='avg'
          (conv): Conv1d(1, 1, kernel_size=(5,), stride=(1,), padding=(2,), bias=False)
          (gate): Gate(...)
        )
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int | None = None,
        *,
        gamma: float = 2,
        b: float = 1,
        pool: str = "avg",
        gate: GateFunction = "sigmoid",
        init: Init = "default",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        k = eca_kernel_size(channels, gamma, b) if kernel_size is None else odd_kernel(kernel_size)
        self.channels = positive_int("channels", channels)
        self.pool = choose("pool", pool, POOLS)
        self.conv = nn.Conv1d(1, 1, k, padding=k // 2, bias=False)
        self.gate = Gate(gate, init)
        if init == "identity":
            start_at_zero(self.conv)
        self.to(device, dtype)

    def attention(self, F: Tensor) -> Tensor:
        """The gate s, shape (B, C, 1, 1)."""
        weight = like_weight(self.conv)
        B, C, H, W = check_map(F, self.channels, weight)
        y = POOLS[self.pool](F, (2, 3)).view(B, 1, C)  # one row of C numbers
        with without_autocast(F):
            return self.gate(self.conv(in_dtype(y, weight.dtype)).view(B, C, 1, 1))

    @one_node
    def forward(self, F: Tensor) -> Tensor:
        """F scaled by its gate s, (B, C, H, W) as F is."""
        return scale(F, self.attention(F))

    def extra_repr(self) -> str:
        return f"channels={self.channels}, pool={self.pool!r}"

    @classmethod
    def paper(cls, channels: int, **options: Any) -> Self:
        """k from the paper's formula with gamma = 2, b = 1."""
        return cls(channels, **options)

    @classmethod
    def official(cls, channels: int, **options: Any) -> Self:
        """As the authors' released layer: k = 3 unless told. Their released networks set k per stage by hand."""
        return cls(channels, **({"kernel_size": 3} | options))

    @classmethod
    def timm(cls, channels: int, **options: Any) -> Self:
        """As timm's ``EcaModule``: the formula, but k is at least 3."""
        return cls(channels, **({"kernel_size": max(3, eca_kernel_size(channels))} | options))

    @classmethod
    def keras(cls, channels: int, **options: Any) -> Self:
        """As a common Keras listing has it: the formula with gamma = 2, b = 1."""
        return cls(channels, **options)
