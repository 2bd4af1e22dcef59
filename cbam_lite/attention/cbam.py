"""Which channels, and where? The convolutional block attention module (CBAM).

Woo, Park, Lee, Kweon, "CBAM: Convolutional Block Attention Module", ECCV 2018::

    F'  = M_c(F)  * F         Eq. (1)        M_c(F) = sigmoid(MLP(AvgPool(F)) + MLP(MaxPool(F)))          Eq. (2)
    F'' = M_s(F') * F'        Eq. (1)        M_s(F) = sigmoid(conv7x7([AvgPool(F); MaxPool(F)]))          Eq. (3)
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from typing_extensions import Self  # torch needs it, too; in typing from Python 3.11 on

from cbam_lite.attention.channel_attention import ChannelAttention
from cbam_lite.attention.inputs import one_node
from cbam_lite.attention.parts import (
    GateFunction,
    Init,
    he_normal,
    scale,
)
from cbam_lite.attention.spatial_attention import NoSpatialAttention, SpatialAttention, official_norm
from cbam_lite.checks import choose

ORDERS = ("channel-first", "spatial-first", "parallel")  # the arrangements of the paper's Table 3


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

    Forward hooks on `channel_attention` and `spatial_attention` see F, F' and F''. With ``order="parallel"`` the two
    are asked for their gates alone and not called, so such hooks stay silent. Hooks on their ``gate`` are called in
    every order, and `record_attention` records both. ``torch.fx`` sees a CBAM as one node (`inputs.one_node`), so
    ``torch.fx.symbolic_trace`` and torchvision's ``create_feature_extractor`` take the networks around it.

    Shape: (B, C, H, W) -> (B, C, H, W), in the dtype and memory format of the input.

    Raises:
        ValueError: no hidden units are left, or an option or the shape of a map does not fit.
        TypeError: the dtype of a map is not that of the module (autocast is fine).

    Example:
        >>> attention = CBAM(64)
        >>> F = torch.rand(8, 64, 56, 56)
        >>> attention(F).shape
        torch.Size([8, 64, 56, 56])
        >>> model = resnet50(attention=CBAM.official)  # in every block of a network
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
        order: Literal["channel-first", "spatial-first", "parallel"] = "channel-first",
        gate: GateFunction = "sigmoid",
        init: Init = "default",
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

    @one_node
    def forward(self, F: Tensor) -> Tensor:
        """F'' for a map F, both (B, C, H, W)."""
        if self.order == "parallel":  # the paper names it without an equation; here both gates look at F
            return scale(F, self.channel_attention.attention(F) * self.spatial_attention.attention(F))
        gates: tuple[nn.Module, nn.Module] = self.channel_attention, self.spatial_attention
        first, second = gates if self.order == "channel-first" else reversed(gates)
        F_prime = first(F)  # F'  = M_c(F)  * F      Eq. (1)
        return second(F_prime)  # F'' = M_s(F') * F'

    def extra_repr(self) -> str:
        return f"order={self.order!r}"

    @classmethod
    def paper(cls, channels: int, reduction: int = 16, **options: Any) -> Self:
        """As printed: MLP without biases, [avg; max] into one 7x7 convolution, no batch norm."""
        return cls(channels, reduction, **({"mlp_bias": False, "bn": False} | options))

    @classmethod
    def official(cls, channels: int, reduction: int = 16, **options: Any) -> Self:
        """As the authors' released code: MLP with biases, [max; avg], batch norm (momentum 0.01, weight 0 at first).

        pytorchcv's copy of these networks has PyTorch's momentum 0.1. That changes no output in evaluation, but while
        training the running statistics follow each batch ten times as fast. For that, one line for each module:
        ``cbam.spatial_attention.norm.momentum = 0.1``.
        """
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
        """As ``kobiso/CBAM-keras`` on GitHub: r = 8, biases 0, [avg; max], no norm, He-normal values.

        Listings in the style of TensorFlow 1.9 give the hidden units as a share and the convolution a bias:
        ``CBAM.keras(C, hidden=0.5, conv_bias=True)``.

        Trained weights move over by transposing, because Keras keeps the outputs of a layer on the last axis. With
        NumPy arrays from ``layer.get_weights()``::

            def move(layer, kernel, bias=None):  # Dense: (in, out); Conv2D: (k, k, in, out)
                kernel = kernel.T if kernel.ndim == 2 else kernel.transpose(3, 2, 0, 1)
                layer.weight.data = torch.tensor(kernel)
                if bias is not None:
                    layer.bias.data = torch.tensor(bias)

            move(cbam.channel_attention.W_0, *dense_1.get_weights())
            move(cbam.channel_attention.W_1, *dense_2.get_weights())
            move(cbam.spatial_attention.conv, *conv2d.get_weights())

        Maps are (B, H, W, C) in Keras: ``x.transpose(0, 3, 1, 2)`` is what goes in here.
        """
        cbam = cls(channels, reduction, **({"bn": False} | options))
        if cbam.channel_attention.gate.init == "default":
            he_normal(*(layer for layer in cbam.modules() if isinstance(layer, nn.Linear | nn.Conv2d)))
        return cbam
