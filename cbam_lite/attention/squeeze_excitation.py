"""Which channels matter? Squeeze-and-excitation (SE).

Hu, Shen, Sun, "Squeeze-and-Excitation Networks", CVPR 2018, equations (2) to (4).
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
    scale,
    start_at_zero,
    without_autocast,
)
from cbam_lite.checks import choose


class SqueezeExcitation(nn.Module):
    """Squeeze each channel to one number, excite it through two small layers, scale the channel by the result.

    .. math::

        z = \\mathrm{pool}(F), \\qquad s = \\sigma(W_2\\, \\delta(W_1 z)), \\qquad \\tilde F = s \\otimes F

    with :math:`\\delta` the ReLU and :math:`\\sigma` the gate function.

    Few hidden units may all start silent: the ReLU gives 0 for every image, and W_1 and W_2 do not learn. On maps
    ``torch.rand(8, 16, 8, 8)`` that befell 87 of 200 seeds with one unit (16 channels, r = 16), 37 with two and 9 with
    four. For narrow maps take ``reduction=4`` or ``hidden=4``, at least.

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

    Example:
        >>> squeeze = SqueezeExcitation(64, reduction=16)
        >>> squeeze(torch.rand(8, 64, 56, 56)).shape
        torch.Size([8, 64, 56, 56])
        >>> sum(p.numel() for p in squeeze.parameters())  # 64 * 4 + 4 and 4 * 64 + 64
        580
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        *,
        hidden: int | float | None = None,
        bias: bool = True,
        pool: str = "avg",
        gate: GateFunction = "sigmoid",
        init: Init = "default",
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
        weight = like_weight(self.W_1)
        B, C, H, W = check_map(F, self.channels, weight)
        z = POOLS[self.pool](F, (2, 3)).flatten(1)  # (B, C)
        with without_autocast(F):
            hidden = self.W_1(in_dtype(z, weight.dtype)).relu()  # (B, C/r)
            return self.gate(self.W_2(hidden)[:, :, None, None])  # (B, C, 1, 1)

    @one_node
    def forward(self, F: Tensor) -> Tensor:
        """F scaled by its gate s, (B, C, H, W) as F is."""
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
        """As a common Keras listing has it: r = 16, no bias, He-normal initial values."""
        module = cls(channels, reduction, **({"bias": False} | options))
        if module.gate.init == "default":
            he_normal(module.W_1, module.W_2)
        return module
