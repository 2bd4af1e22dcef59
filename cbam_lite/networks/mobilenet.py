"""Attention inside MobileNet v1, whose blocks have no shortcut.

Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications", 2017.
"""

from torch import Tensor, nn

from cbam_lite.checks import number, positive_int
from cbam_lite.networks.resnet import AttentionMaker, attention_or_none, convolution

# (channels before the width multiplier, stride) of the 13 blocks
BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip


class SeparableBlock(nn.Module):
    """Attention, a depthwise 3x3, a pointwise 1x1, attention: space first, channels second."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, attention: AttentionMaker | None) -> None:
        super().__init__()
        self.attention_in = attention_or_none(attention, in_channels)
        self.depthwise = convolution(in_channels, in_channels, 3, stride, groups=in_channels)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.pointwise = convolution(in_channels, out_channels, 1)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.attention = attention_or_none(attention, out_channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        F = self.relu(self.bn1(self.depthwise(self.attention_in(x))))  # (B, in_channels, H/s, W/s)
        F = self.relu(self.bn2(self.pointwise(F)))  # (B, out_channels, H/s, W/s)
        return self.attention(F)


class MobileNet(nn.Module):
    """MobileNet v1 with attention at the beginning and at the end of each block.

    The CBAM paper does not say where attention stands. Two modules for each block, one with the block's input channels
    and size and one with its output's, are what its Table 5 adds up to; see the book's chapter on networks.

    Args:
        attention: called with the channels of each place, as in `ResNet`; None is the plain network.
        width: multiplies all channels, rounded down; the CBAM paper uses 0.7 and 1.
        num_classes: outputs of the last layer.

    Shape: (B, 3, H, W) -> (B, num_classes).

    Raises:
        ValueError: the width leaves no channels.

    Example:
        >>> MobileNet(CBAM, width=0.7, num_classes=10)(torch.rand(2, 3, 224, 224)).shape
        torch.Size([2, 10])
    """

    def __init__(self, attention: AttentionMaker | None = None, *, width: float = 1.0, num_classes: int = 1000) -> None:
        super().__init__()
        channels = int(32 * number("width", width))
        if channels < 1:
            raise ValueError(f"width={width} leaves {channels} channels in the first layer: use width>={1 / 32}")
        positive_int("num_classes", num_classes)
        self.conv1 = convolution(3, channels, 3, stride=2)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        blocks = []
        for out, stride in BLOCKS:
            blocks.append(SeparableBlock(channels, int(out * width), stride, attention))
            channels = int(out * width)
        self.blocks = nn.Sequential(*blocks)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)

    def features(self, x: Tensor) -> Tensor:
        """The map of the last block, (B, C, H/32, W/32)."""
        return self.blocks(self.relu(self.bn1(self.conv1(x))))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.avgpool(self.features(x)).flatten(1))
