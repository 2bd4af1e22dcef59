"""Which channels, and where? The convolutional block attention module (CBAM).

Woo, Park, Lee, Kweon, "CBAM: Convolutional Block Attention Module", ECCV 2018::

    F'  = M_c(F)  * F         Eq. (1)        M_c(F) = sigmoid(MLP(AvgPool(F)) + MLP(MaxPool(F)))          Eq. (2)
    F'' = M_s(F') * F'        Eq. (1)        M_s(F) = sigmoid(conv7x7([AvgPool(F); MaxPool(F)]))          Eq. (3)
"""

from collections.abc import Callable
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
    pool_names,
    positive_int,
    rescale,
    scale,
    start_at_zero,
    without_autocast,
)

Attention = Callable[[Tensor], Tensor]  # a map in, its gate out


class ChannelAttention(nn.Module):
    """Which channels: describe each channel by several pools, pass every descriptor through one shared MLP, add.

    .. math::

        M_c(F) = \\sigma\\big(W_1\\,\\delta(W_0 F^c_{avg}) + W_1\\,\\delta(W_0 F^c_{max})\\big)

    Args:
        channels: C, the channels of the map.
        reduction: r; the hidden layer has C // r units (floor).
        hidden: hidden units as a number (int) or a share of C (float); overrides `reduction`.
        bias: whether both layers have a bias. The released code has one, and the paper's parameter counts need it.
        pool: descriptors joined by "+", from "avg", "max", "lse", "lp". The paper's best is "avg+max".
        gate: "sigmoid", "hardsigmoid", "tanh" or "relu".
        init: "default" keeps PyTorch's initial values: a fresh gate is about 0.5. "identity" starts as the exact
            identity: W_1 is zero and the gate is twice the sigmoid.
        device, dtype: of the weights, as in torch's own layers.

    Shape: (B, C, H, W) -> (B, C, H, W), in the dtype and memory format of the input. `attention` gives M_c alone.

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
        pool: str = "avg+max",
        gate: str = "sigmoid",
        init: str = "default",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        units = hidden_units(channels, reduction, hidden)
        self.channels = channels
        self.pools = pool_names(pool)
        self.W_0 = nn.Linear(channels, units, bias)
        self.W_1 = nn.Linear(units, channels, bias)
        self.gate = Gate(gate, init)
        if init == "identity":
            start_at_zero(self.W_1)
        self.to(device, dtype)

    def attention(self, F: Tensor) -> Tensor:
        """M_c(F), shape (B, C, 1, 1). The P descriptors go through the shared MLP in one call."""
        weight = self.W_0.weight
        B, C, H, W = check_map(F, self.channels, weight)
        descriptors = torch.stack([POOLS[pool](F, (2, 3)).flatten(1) for pool in self.pools])  # (P, B, C)
        with without_autocast(F):
            hidden = self.W_0(in_dtype(descriptors, weight.dtype)).relu()  # (P, B, C/r)
            return self.gate(self.W_1(hidden).sum(0)[:, :, None, None])  # (B, C, 1, 1)

    def forward(self, F: Tensor) -> Tensor:
        if fused.covers(self, F):  # on a GPU: the same in fewer passes over the map
            return fused.run(self, F)
        return scale(F, self.attention(F))

    def extra_repr(self) -> str:
        return f"channels={self.channels}, pool={'+'.join(self.pools)!r}"

    @classmethod
    def paper(cls, channels: int, reduction: int = 16, **options: Any) -> Self:
        """As printed: W_0 and W_1 without biases, r = 16."""
        return cls(channels, reduction, **({"bias": False} | options))

    @classmethod
    def official(cls, channels: int, reduction: int = 16, **options: Any) -> Self:
        """As the authors' released code: with biases, r = 16."""
        return cls(channels, reduction, **({"bias": True} | options))

    @classmethod
    def timm(cls, channels: int, reduction: int = 16, **options: Any) -> Self:
        """As timm's ``ChannelAttn``: hidden units C / r rounded half up, at least 1, no bias."""
        return cls(
            channels,
            **({"hidden": max(1, int(channels / reduction + 0.5)), "bias": False} | options),
        )

    @classmethod
    def keras(cls, channels: int, reduction: int = 8, **options: Any) -> Self:
        """As the Keras listing among the founding articles: r = 8, biases 0, He-normal initial values."""
        module = cls(channels, reduction, **({"bias": True} | options))
        if module.gate.init == "default":
            he_normal(module.W_0, module.W_1)
        return module


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
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 7,
        *,
        pool: str = "avg+max",
        bias: bool = False,
        bn: bool = True,
        gate: str = "sigmoid",
        init: str = "default",
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
        B, C, H, W = check_map(F, self.channels, self.conv.weight)
        if self.training and isinstance(self.norm, nn.BatchNorm2d) and B * H * W == 1:
            raise ValueError(
                "one place (B=1, H=1, W=1) has no variance for the batch norm of the spatial gate to train on: "
                "use module.eval(), a batch of 2 or more, or bn=False"
            )
        return B, C, H, W

    def attention(self, F: Tensor) -> Tensor:
        """M_s(F), shape (B, 1, H, W)."""
        weight = self.conv.weight
        B, C, H, W = self.check(F)
        descriptors = self.descriptors(F)  # (B, P, H, W)
        with without_autocast(F):
            z = self.norm(self.conv(in_dtype(descriptors, weight.dtype)))  # (B, 1, H, W)
            return self.gate(z)

    def forward(self, F: Tensor) -> Tensor:
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
        """As the Keras listing among the founding articles: [avg; max], no bias, no norm, He-normal initial values."""
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


# The arrangements of the paper's Table 3: which gate acts first and which second, given M_c and M_s. The paper names
# the parallel one without an equation; here both gates look at F and are multiplied.
ORDERS: dict[str, Callable[[Attention, Attention], tuple[Attention, Attention]]] = {
    "channel-first": lambda M_c, M_s: (M_c, M_s),
    "spatial-first": lambda M_c, M_s: (M_s, M_c),
    "parallel": lambda M_c, M_s: (lambda F: M_c(F) * M_s(F), one),
}


class CBAM(nn.Module):
    """Refine a map twice: by which channels matter, then by where.

    .. math::

        F' = M_c(F) \\otimes F, \\qquad F'' = M_s(F') \\otimes F'

    Args:
        channels: C, the channels of the map.
        reduction: r of the channel gate's MLP.
        hidden: its hidden units as a number (int) or a share of C (float); overrides `reduction`.
        mlp_bias: whether the MLP has biases.
        pool: the channel gate's descriptors, see `ChannelAttention`.
        spatial_pool: the spatial gate's descriptors, see `SpatialAttention`; "none" leaves that gate out.
        kernel_size: k of the spatial gate, 3 or 7 in the paper.
        conv_bias: whether the spatial convolution has a bias.
        bn: whether a batch norm follows it.
        order: "channel-first" (the paper's best), "spatial-first" or "parallel".
        gate: gate function of both: "sigmoid", "hardsigmoid", "tanh" or "relu".
        init: "default" keeps PyTorch's initial values: both gates start near 0.5, so a fresh CBAM gives about a quarter
            of its input. "identity" starts as the exact identity, for inserting into a trained network.
        device, dtype: of the weights, as in torch's own layers.

    The defaults are equations (1) to (3) with the biases and the batch norm of the released code, because the paper's
    parameter counts include them. `CBAM.paper`, `.official`, `.timm` and `.keras` give those conventions exactly.

    On a GPU, `forward` runs as fused kernels where `cbam_lite.why_not` has nothing against it; the result is the same.

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
        mlp_bias: bool = True,
        pool: str = "avg+max",
        spatial_pool: str = "avg+max",
        kernel_size: int = 7,
        conv_bias: bool = False,
        bn: bool = True,
        order: str = "channel-first",
        gate: str = "sigmoid",
        init: str = "default",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.order = choose("order", order, ORDERS)
        self.channel_attention = ChannelAttention(
            channels,
            reduction,
            hidden=hidden,
            bias=mlp_bias,
            pool=pool,
            gate=gate,
            init=init,
        )
        self.spatial_attention = (
            NoSpatialAttention()
            if spatial_pool == "none"
            else SpatialAttention(
                channels,
                kernel_size,
                pool=spatial_pool,
                bias=conv_bias,
                bn=bn,
                gate=gate,
                init=init,
            )
        )
        self.to(device, dtype)

    def forward(self, F: Tensor) -> Tensor:
        if fused.covers(self, F):  # on a GPU: the same in fewer passes over the map
            return fused.run(self, F)
        M_1, M_2 = ORDERS[self.order](self.channel_attention.attention, self.spatial_attention.attention)  # M_c, M_s
        F_prime = scale(F, M_1(F))  # F'  = M_c(F)  * F      Eq. (1)
        return rescale(F_prime, M_2(F_prime))  # F'' = M_s(F') * F'

    def extra_repr(self) -> str:
        return f"order={self.order!r}"

    @classmethod
    def paper(cls, channels: int, reduction: int = 16, **options: Any) -> Self:
        """As printed: MLP without biases, [avg; max] into one 7x7 convolution, no batch norm."""
        return cls(channels, reduction, **({"mlp_bias": False, "bn": False} | options))

    @classmethod
    def official(cls, channels: int, reduction: int = 16, **options: Any) -> Self:
        """As the authors' released code: MLP with biases, [max; avg], batch norm (momentum 0.01, weight 0 at first)."""
        cbam = cls(channels, reduction, **({"spatial_pool": "max+avg"} | options))
        official_norm(getattr(cbam.spatial_attention, "norm", nn.Identity()))
        return cbam

    @classmethod
    def timm(cls, channels: int, reduction: int = 16, **options: Any) -> Self:
        """As timm's ``CbamModule``: hidden units C / r rounded half up, at least 1, no MLP bias, [avg; max], norm."""
        return cls(
            channels,
            **({"hidden": max(1, int(channels / reduction + 0.5)), "mlp_bias": False} | options),
        )

    @classmethod
    def keras(cls, channels: int, reduction: int = 8, **options: Any) -> Self:
        """As the Keras listing among the founding articles: r = 8, biases 0, [avg; max], no norm, He-normal values."""
        cbam = cls(channels, reduction, **({"bn": False} | options))
        if cbam.channel_attention.gate.init == "default":
            he_normal(*(layer for layer in cbam.modules() if isinstance(layer, nn.Linear | nn.Conv2d)))
        return cbam
