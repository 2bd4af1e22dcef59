"""Where? The spatial gate M_s of CBAM, equation (3).

Woo, Park, Lee, Kweon, "CBAM: Convolutional Block Attention Module", ECCV 2018.
"""

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
    he_normal,
    in_dtype,
    pool_names,
    scale,
    start_at_zero,
    without_autocast,
)
from cbam_lite.checks import positive_int


class ChannelPool(nn.Module):
    """Describe each place by pools over its channels: (B, C, H, W) -> (B, P, H, W), in the order of `pools`."""

    def __init__(self, pools: tuple[str, ...]) -> None:
        super().__init__()
        self.pools = pools

    def forward(self, F: Tensor) -> Tensor:
        return torch.cat([POOLS[pool](F, (1,)) for pool in self.pools], dim=1)

    def extra_repr(self) -> str:
        return "+".join(self.pools)


class SpatialAttention(nn.Module):
    """Where: describe each place by pools over its channels, look at k x k places at once, give each place a gate.

    .. math::

        M_s(F) = \\sigma\\big(f^{7 \\times 7}([F^s_{avg}; F^s_{max}])\\big)

    Args:
        channels: C, the channels of the map.
        kernel_size: k, odd; 7 is the paper's better one of 3 and 7.
        pool: descriptors joined by "+" in the order of the convolution's input channels ("avg+max" in the paper,
            "max+avg" in the released code), or "conv" for a learnt 1x1 convolution to one map.
        bias: whether the convolution has a bias.
        bn: whether a batch norm follows the convolution. The paper does not mention it, the released code has it.
        gate: "sigmoid", "hardsigmoid", "tanh" or "relu".
        init: "default" keeps PyTorch's initial values: a fresh gate is about 0.5. "identity" starts as the exact
            identity: the last layer (batch norm, or convolution without one) is zero and the gate is twice the sigmoid.
        device, dtype: of the weights, as in torch's own layers.

    Shape: (B, C, H, W) -> (B, C, H, W), in the dtype and memory format of the input. `attention` gives M_s alone.

    Raises:
        ValueError: the kernel size is even, or an option or the shape of a map does not fit.
        TypeError: the dtype of a map is not that of the module (autocast is fine).

    Example:
        >>> spatial_gate = SpatialAttention(64)
        >>> spatial_gate.attention(torch.rand(8, 64, 56, 56)).shape  # M_s
        torch.Size([8, 1, 56, 56])
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 7,
        *,
        pool: str = "avg+max",
        bias: bool = False,
        bn: bool = True,
        gate: GateFunction = "sigmoid",
        init: Init = "default",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        odd_kernel(kernel_size)
        self.channels = positive_int("channels", channels)
        learnt = pool == "conv"
        pools = () if learnt else pool_names(pool, instead=", nor 'conv' (in CBAM: spatial_pool, or 'none')")
        self.descriptors = nn.Conv2d(channels, 1, 1, bias=False) if learnt else ChannelPool(pools)
        self.conv = nn.Conv2d(len(pools) or 1, 1, kernel_size, padding=kernel_size // 2, bias=bias)
        self.norm = nn.BatchNorm2d(1) if bn else nn.Identity()
        self.gate = Gate(gate, init)
        if init == "identity":
            start_at_zero(self.norm if bn else self.conv)
        self.to(device, dtype)

    def check(self, F: Tensor) -> tuple[int, int, int, int]:
        """B, C, H, W of a map that fits; in training the batch norm needs more than one place."""
        B, C, H, W = check_map(F, self.channels, like_weight(self.conv))
        if self.training and isinstance(self.norm, nn.BatchNorm2d) and B * H * W == 1:
            raise ValueError(
                "one place (B=1, H=1, W=1) has no variance for the batch norm of the spatial gate to train on: "
                "use module.eval(), a batch of 2 or more, or bn=False"
            )
        return B, C, H, W

    def attention(self, F: Tensor) -> Tensor:
        """M_s(F), shape (B, 1, H, W)."""
        weight = like_weight(self.conv)
        B, C, H, W = self.check(F)
        descriptors = self.descriptors(F)  # (B, P, H, W)
        with without_autocast(F):
            z = self.norm(self.conv(in_dtype(descriptors, weight.dtype)))  # (B, 1, H, W)
            return self.gate(z)

    @one_node
    def forward(self, F: Tensor) -> Tensor:
        """F scaled by M_s(F), (B, C, H, W) as F is."""
        return scale(F, self.attention(F))

    def extra_repr(self) -> str:
        return f"channels={self.channels}"

    @classmethod
    def paper(cls, channels: int, **options: Any) -> Self:
        """As printed: one 7x7 convolution over [avg; max], no batch norm, no bias."""
        return cls(channels, **({"bn": False} | options))

    @classmethod
    def official(cls, channels: int, **options: Any) -> Self:
        """As the authors' released code: [max; avg], batch norm with momentum 0.01 that starts with weight 0.

        The zero weight makes every fresh spatial gate exactly 0.5: the network starts with a uniform map.
        """
        module = cls(channels, **({"pool": "max+avg"} | options))
        official_norm(module.norm)
        return module

    @classmethod
    def timm(cls, channels: int, **options: Any) -> Self:
        """As timm's ``SpatialAttn``: [avg; max], batch norm with PyTorch's defaults."""
        return cls(channels, **options)

    @classmethod
    def keras(cls, channels: int, **options: Any) -> Self:
        """As ``kobiso/CBAM-keras`` on GitHub: [avg; max], no bias, no norm, He-normal initial values."""
        module = cls(channels, **({"bn": False} | options))
        if module.gate.init == "default":
            he_normal(module.conv)
        return module


def official_norm(norm: nn.Module) -> None:
    """The released code's batch norm in the spatial gate: slow statistics, and weight 0 at the start."""
    if isinstance(norm, nn.BatchNorm2d):
        norm.momentum = 0.01
        start_at_zero(norm)


def one(F: Tensor) -> Tensor:
    """The gate that changes nothing."""
    return F.new_ones((1, 1, 1, 1))


class NoSpatialAttention(nn.Module):
    """The ablation without a spatial gate: M_s = 1 everywhere."""

    def attention(self, F: Tensor) -> Tensor:
        return one(F)

    def forward(self, F: Tensor) -> Tensor:
        return F
