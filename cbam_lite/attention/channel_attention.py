"""Which channels? The channel gate M_c of CBAM, equation (2).

Woo, Park, Lee, Kweon, "CBAM: Convolutional Block Attention Module", ECCV 2018.
"""

from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Self  # torch needs it, too; in typing from Python 3.11 on

from cbam_lite.attention.inputs import check_map, hidden_units, like_weight, one_node
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


class ChannelAttention(nn.Module):
    """Which channels: describe each channel by several pools, pass every descriptor through one shared MLP, add.

    .. math::

        M_c(F) = \\sigma\\big(W_1\\,\\delta(W_0 F^c_{avg}) + W_1\\,\\delta(W_0 F^c_{max})\\big)

    Few hidden units may all start silent, as `SqueezeExcitation` says with numbers; with both pools 83 of 200 seeds
    with one unit, 32 with two.

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

    Example:
        >>> channel_gate = ChannelAttention(64, reduction=16)
        >>> channel_gate.attention(torch.rand(8, 64, 56, 56)).shape  # M_c
        torch.Size([8, 64, 1, 1])
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        *,
        hidden: int | float | None = None,
        bias: bool = True,
        pool: str = "avg+max",
        gate: GateFunction = "sigmoid",
        init: Init = "default",
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
        weight = like_weight(self.W_0)
        B, C, H, W = check_map(F, self.channels, weight)
        descriptors = torch.stack([POOLS[pool](F, (2, 3)).flatten(1) for pool in self.pools])  # (P, B, C)
        with without_autocast(F):
            hidden = self.W_0(in_dtype(descriptors, weight.dtype)).relu()  # (P, B, C/r)
            return self.gate(self.W_1(hidden).sum(0)[:, :, None, None])  # (B, C, 1, 1)

    @one_node
    def forward(self, F: Tensor) -> Tensor:
        """F scaled by M_c(F), (B, C, H, W) as F is."""
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
        """As ``kobiso/CBAM-keras`` on GitHub: r = 8, biases 0, He-normal initial values."""
        module = cls(channels, reduction, **({"bias": True} | options))
        if module.gate.init == "default":
            he_normal(module.W_0, module.W_1)
        return module
