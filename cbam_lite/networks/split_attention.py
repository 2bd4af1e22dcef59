"""Where softmax replaces the sigmoid: split attention lets several branches compete for each channel.

Zhang et al., "ResNeSt: Split-Attention Networks", 2020.
"""

from typing import Any

import torch
from torch import Tensor, nn

from cbam_lite.attention.inputs import one_node
from cbam_lite.checks import positive_int
from cbam_lite.networks.resnet import AttentionMaker, ResNet, attention_or_none, convolution


class SplitAttention(nn.Module):
    """A 3x3 convolution in R branches, whose outputs are mixed per channel by weights that sum to 1.

    .. math::

        U_1, \\dots, U_R = \\delta(\\mathrm{conv}(F)), \\qquad
        z = \\mathrm{avg}\\Big(\\sum_r U_r\\Big), \\qquad
        a = \\mathrm{softmax}_r\\big(W_2\\, \\delta(W_1 z)\\big), \\qquad
        V = \\sum_r a_r \\otimes U_r

    One branch has nobody to compete with, its softmax would always be 1. So with ``radix=1`` the gate is a sigmoid, and
    the module is squeeze-and-excitation behind a convolution.

    Args:
        in_channels, out_channels: of the convolution.
        radix: R, the number of branches.
        groups: of the convolution and of the two small layers (the paper's cardinality K).
        reduction: the hidden layer has in_channels * radix / reduction units, at least 32.

    Shape: (B, in_channels, H, W) -> (B, out_channels, H, W). `attention` gives the weights, (B, R, out_channels).

    Raises:
        ValueError: the groups do not divide the channels; or a training batch of one image, whose 1x1 map has no
            variance for the batch norm.

    Example:
        >>> SplitAttention(64, 128)(torch.rand(2, 64, 28, 28)).shape
        torch.Size([2, 128, 28, 28])
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, radix: int = 2, groups: int = 1, reduction: int = 4
    ) -> None:
        super().__init__()
        sizes = {"in_channels": in_channels, "out_channels": out_channels, "radix": radix, "groups": groups}
        for name, value in (sizes | {"reduction": reduction}).items():
            positive_int(name, value)
        if in_channels % (groups * radix) or out_channels % groups:
            raise ValueError(
                f"groups={groups} times radix={radix} must divide in_channels={in_channels}, and groups must divide "
                f"out_channels={out_channels}: use groups=1, or channels that are multiples of {groups * radix}"
            )
        units = max(in_channels * radix // reduction, 32)
        self.radix, self.groups = radix, groups
        self.conv = convolution(in_channels, out_channels * radix, 3, groups=groups * radix)
        self.bn0 = nn.BatchNorm2d(out_channels * radix)
        self.fc1 = nn.Conv2d(out_channels, units, 1, groups=groups)
        self.bn1 = nn.BatchNorm2d(units)
        self.fc2 = nn.Conv2d(units, out_channels * radix, 1, groups=groups)

    def attention(self, branches: Tensor) -> Tensor:
        """The weights a of branches (B, R, C, H, W): (B, R, C)."""
        B, R, C, H, W = branches.shape
        if self.training and B == 1:
            raise ValueError("one image (B=1) has no variance for batch norm to train on: use a batch of 2 or eval()")
        z = branches.sum(1).mean((2, 3), keepdim=True)  # (B, C, 1, 1)
        logits = self.fc2(self.bn1(self.fc1(z)).relu())  # (B, K R C/K, 1, 1), group after group
        logits = logits.view(B, self.groups, R, C // self.groups).transpose(1, 2)  # (B, R, K, C/K)
        weights = logits.softmax(1) if R > 1 else torch.sigmoid(logits)
        return weights.reshape(B, R, C)

    @one_node
    def forward(self, F: Tensor) -> Tensor:
        U = self.bn0(self.conv(F)).relu()  # (B, R C, H, W)
        branches = U.unflatten(1, (self.radix, -1))  # (B, R, C, H, W)
        a = self.attention(branches)[..., None, None]  # (B, R, C, 1, 1)
        return (a * branches).sum(1)  # (B, C, H, W)


class SplitBottleneck(nn.Module):
    """A bottleneck whose 3x3 is split attention; averages, not strides, make the map smaller."""

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        planes: int,
        stride: int,
        width: int,
        groups: int,
        layout: str,
        attention: AttentionMaker | None,
    ) -> None:
        super().__init__()
        out_channels = 4 * planes
        self.conv1 = convolution(in_channels, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = SplitAttention(width, width, groups=groups)
        self.avd_last = nn.AvgPool2d(3, stride, padding=1) if stride > 1 else nn.Identity()
        self.conv3 = convolution(width, out_channels, 1)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.attention = attention_or_none(attention, out_channels)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or in_channels != out_channels:
            smaller = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
            self.downsample = nn.Sequential(
                smaller, convolution(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels)
            )
        self.relu = nn.ReLU(inplace=True)

    def branch(self, x: Tensor) -> Tensor:
        """F(x): the map that attention sees."""
        F = self.relu(self.bn1(self.conv1(x)))  # (B, width, H, W)
        F = self.avd_last(self.conv2(F))  # (B, width, H/s, W/s)
        return self.bn3(self.conv3(F))  # (B, 4 planes, H/s, W/s)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.attention(self.branch(x)) + self.downsample(x))


def resnest50(attention: AttentionMaker | None = None, **options: Any) -> ResNet:
    """ResNeSt-50 (radix 2, one group, deep stem, averages for strides): `ResNet` with `SplitBottleneck`.

    Example:
        >>> model = resnest50(num_classes=10)
    """
    return ResNet(SplitBottleneck, (3, 4, 6, 3), attention, **({"stem": "deep"} | options))
