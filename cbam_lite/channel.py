"""Which channels matter? Squeeze-and-excitation (SE) and efficient channel attention (ECA).

SE: Hu, Shen, Sun, "Squeeze-and-Excitation Networks", CVPR 2018, equations (2) to (4).

ECA: Wang et al., "ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks", CVPR 2020.
"""

import math
from typing import Any, Self

import torch
from torch import Tensor, nn

from cbam_lite import fused
from cbam_lite.parts import (
    POOLS,
    Gate,
    check_map,
    choose,
    he_normal,
    hidden_units,
    in_dtype,
    odd_kernel,
    positive_int,
    scale,
    start_at_zero,
    without_autocast,
)


class SqueezeExcitation(nn.Module):
    """Squeeze each channel to one number, excite it through two small layers, scale the channel by the result.

    .. math::

        z = \\mathrm{pool}(F), \\qquad s = \\sigma(W_2\\, \\delta(W_1 z)), \\qquad \\tilde F = s \\otimes F

    with :math:`\\delta` the ReLU and :math:`\\sigma` the gate function.

    On a GPU, `forward` runs as fused kernels where `cbam_lite.why_not` has nothing against it; the result is the same.

    Args:
        channels: C, the channels of the map.
        reduction: r; the hidden layer has C // r units (floor). The paper's ablation finds 16 a good trade.
        hidden: hidden units as a number (int) or a share of C (float); overrides `reduction`.
        bias: whether both layers have a bias. The released Caffe code has one, the journal paper drops it.
        pool: the squeeze: "avg" (the paper's choice), "max", "lse" or "lp".
        gate: "sigmoid", "hardsigmoid", "tanh" or "relu".
        init: "default" keeps PyTorch's initial values: a fresh gate is about 0.5. "identity" starts as the exact
            identity: W_2 is zero and the gate is twice the sigmoid.
        device, dtype: of the weights, as in torch's own layers.

    Shape: (B, C, H, W) -> (B, C, H, W), in the dtype and memory format of the input.

    Raises:
        ValueError: no hidden units are left, or an option or the shape of a map does not fit.
        TypeError: the dtype of a map is not that of the module (autocast is fine).
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        *,
        hidden: int | float | None = None,
        bias: bool = True,
        pool: str = "avg",
        gate: str = "sigmoid",
        init: str = "default",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        units = hidden_units(channels, reduction, hidden)
        self.channels = channels
        self.pool = choose("pool", pool, POOLS)
        self.W_1 = nn.Linear(channels, units, bias)
        self.W_2 = nn.Linear(units, channels, bias)
        self.gate = Gate(gate, init)
        if init == "identity":
            start_at_zero(self.W_2)
        self.to(device, dtype)

    def attention(self, F: Tensor) -> Tensor:
        """The gate s, shape (B, C, 1, 1)."""
        weight = self.W_1.weight
        B, C, H, W = check_map(F, self.channels, weight)
        z = POOLS[self.pool](F, (2, 3)).flatten(1)  # (B, C)
        with without_autocast(F):
            hidden = self.W_1(in_dtype(z, weight.dtype)).relu()  # (B, C/r)
            return self.gate(self.W_2(hidden)[:, :, None, None])  # (B, C, 1, 1)

    def forward(self, F: Tensor) -> Tensor:
        if fused.covers(self, F):  # on a GPU: the same in fewer passes over the map
            return fused.run(self, F)
        return scale(F, self.attention(F))

    def extra_repr(self) -> str:
        return f"channels={self.channels}, pool={self.pool!r}"

    @classmethod
    def paper(cls, channels: int, reduction: int = 16, **options: Any) -> Self:
        """As printed: s = sigma(W_2 delta(W_1 z)), no bias, r = 16."""
        return cls(channels, reduction, **({"bias": False} | options))

    @classmethod
    def official(cls, channels: int, reduction: int = 16, **options: Any) -> Self:
        """As the authors' released Caffe models: r = 16, with biases."""
        return cls(channels, reduction, **({"bias": True} | options))

    @classmethod
    def timm(cls, channels: int, reduction: int = 16, **options: Any) -> Self:
        """As timm's ``SEModule``: hidden units rounded to a multiple of 8, at least 8, with biases."""
        units = max(8, int(channels / reduction + 4) // 8 * 8)
        return cls(channels, **({"hidden": units, "bias": True} | options))

    @classmethod
    def keras(cls, channels: int, reduction: int = 16, **options: Any) -> Self:
        """As the Keras listing among the founding articles: r = 16, no bias, He-normal initial values."""
        module = cls(channels, reduction, **({"bias": False} | options))
        if module.gate.init == "default":
            he_normal(module.W_1, module.W_2)
        return module


def eca_kernel_size(channels: int, gamma: float = 2, b: float = 1) -> int:
    """ECA's kernel size: the odd number at or above t = int(abs((log2 C + b) / gamma)).

    64 channels give 3, 128 to 1024 give 5, 2048 give 7. Four channels or fewer give 1: no exchange between channels.
    """
    if gamma == 0:
        raise ValueError("gamma=0 divides by zero: the paper uses gamma=2")
    t = int(abs((math.log2(positive_int("channels", channels)) + b) / gamma))
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
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int | None = None,
        *,
        gamma: float = 2,
        b: float = 1,
        pool: str = "avg",
        gate: str = "sigmoid",
        init: str = "default",
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
        weight = self.conv.weight
        B, C, H, W = check_map(F, self.channels, weight)
        y = POOLS[self.pool](F, (2, 3)).view(B, 1, C)  # one row of C numbers
        with without_autocast(F):
            return self.gate(self.conv(in_dtype(y, weight.dtype)).view(B, C, 1, 1))

    def forward(self, F: Tensor) -> Tensor:
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
        """As the Keras listing among the founding articles: the formula with gamma = 2, b = 1."""
        return cls(channels, **options)
