"""Attention inside a residual network: ResNet, its wide and grouped relatives, and where attention stands in them.

He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016 (ResNet).

Xie, Girshick, Dollár, Tu, He, "Aggregated Residual Transformations for Deep Neural Networks", CVPR 2017 (ResNeXt).

The modules are called as torchvision calls them, so its weights fit; ``layer1.0.attention`` is new.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from torch import Tensor, nn

from cbam_lite.checks import choose, made, number, positive_int

AttentionMaker = Callable[[int], nn.Module]  # channels in, a module (B, C, H, W) -> (B, C, H, W) out

LAYOUTS = ("v1.5", "v1")
STEMS = ("imagenet", "deep", "half", "small")


def convolution(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size at stride 1, without bias (a norm follows), with He's initial values."""
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, groups=groups, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


def attention_or_none(attention: AttentionMaker | None, channels: int) -> nn.Module:
    """The attention of one block; `nn.Identity`, which has no weights, in a plain network."""
    return nn.Identity() if attention is None else made(attention, channels)


def shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """The identity where the shapes agree, else a 1x1 convolution and a norm."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(convolution(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels))


def first_layer(stem: str, channels: int) -> nn.Module:
    """From the image to the first map; a norm and a ReLU follow."""
    if stem in ("half", "small"):
        return convolution(3, channels, 3, stride=2 if stem == "half" else 1)
    if stem == "imagenet":
        return convolution(3, channels, 7, stride=2)
    half = channels // 2
    narrow = [convolution(3, half, 3, stride=2), nn.BatchNorm2d(half), nn.ReLU(inplace=True)]
    again = [convolution(half, half, 3), nn.BatchNorm2d(half), nn.ReLU(inplace=True)]
    return nn.Sequential(*narrow, *again, convolution(half, channels, 3))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, then attention, then the addition: x + attention(F(x))."""

    expansion = 1

    def __init__(
        self, in_channels: int, planes: int, stride: int, width: int, groups: int, layout: str, attention: Any
    ) -> None:
        super().__init__()
        self.conv1 = convolution(in_channels, planes, 3, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = convolution(planes, planes, 3)
        self.bn2 = nn.BatchNorm2d(planes)
        self.attention = attention_or_none(attention, planes)
        self.downsample = shortcut(in_channels, planes, stride)
        self.relu = nn.ReLU(inplace=True)

    def branch(self, x: Tensor) -> Tensor:
        """F(x): the map that attention sees."""
        F = self.relu(self.bn1(self.conv1(x)))  # (B, planes, H/s, W/s)
        return self.bn2(self.conv2(F))

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.attention(self.branch(x)) + self.downsample(x))


class Bottleneck(nn.Module):
    """1x1 to a narrow width, 3x3, 1x1 back to four times the planes, then attention, then the addition.

    The stride of the block stands in the 3x3 ("v1.5", torchvision and the released CBAM code) or in the first 1x1
    ("v1", the paper of ResNet, and what the GFLOPs of the SE and CBAM papers count).
    """

    expansion = 4

    def __init__(
        self, in_channels: int, planes: int, stride: int, width: int, groups: int, layout: str, attention: Any
    ) -> None:
        super().__init__()
        first, second = (stride, 1) if layout == "v1" else (1, stride)
        self.conv1 = convolution(in_channels, width, 1, first)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = convolution(width, width, 3, second, groups)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = convolution(width, 4 * planes, 1)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.attention = attention_or_none(attention, 4 * planes)
        self.downsample = shortcut(in_channels, 4 * planes, stride)
        self.relu = nn.ReLU(inplace=True)

    def branch(self, x: Tensor) -> Tensor:
        """F(x): the map that attention sees."""
        F = self.relu(self.bn1(self.conv1(x)))  # (B, width, H, W), v1: (B, width, H/s, W/s)
        F = self.relu(self.bn2(self.conv2(F)))  # (B, width, H/s, W/s)
        return self.bn3(self.conv3(F))  # (B, 4 planes, H/s, W/s)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.attention(self.branch(x)) + self.downsample(x))


class ResNet(nn.Module):
    """A residual network of four stages, with attention in every block, after the last norm and before the addition.

    Args:
        block: `BasicBlock`, `Bottleneck` or `SplitBottleneck`.
        depths: blocks in each of the four stages.
        attention: called with the channels of each block: `CBAM`, `CBAM.official`, ... or a function of your own.
            None is the plain network.
        num_classes: outputs of the last layer.
        stem: "imagenet" (7x7 of stride 2, then max pooling: a quarter of the size), "deep" (three 3x3 instead of the
            7x7, as ResNeSt has it), "half" (3x3 of stride 2, for images of 64 to 128 pixels) or "small" (3x3 of stride
            1, for images of 32 to 64 pixels).
        layout: "v1.5" or "v1", where a bottleneck has its stride; see `Bottleneck`. Basic blocks have no choice.
        planes: channels of the first stage before expansion; each stage doubles them.
        stem_channels: channels of the stem; None takes `planes`.
        groups, group_width: of the 3x3 in a bottleneck; 32 groups of 4 make a ResNeXt. None of them changes a basic
            block.

    Shape: (B, 3, H, W) -> (B, num_classes).

    Raises:
        ValueError: an option or the number of stages does not fit.
        TypeError: `attention` is no class or function that makes a module, or a size is no whole number.

    Example:
        >>> from cbam_lite.networks.resnet import BasicBlock
        >>> model = ResNet(BasicBlock, (1, 1, 1, 1), CBAM, num_classes=8, stem="half")  # as `defect_net` is
        >>> model(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 8])
    """

    def __init__(
        self,
        block: Callable[..., nn.Module],
        depths: Sequence[int],
        attention: AttentionMaker | None = None,
        *,
        num_classes: int = 1000,
        stem: Literal["imagenet", "deep", "half", "small"] = "imagenet",
        layout: Literal["v1.5", "v1"] = "v1.5",
        planes: int = 64,
        stem_channels: int | None = None,
        groups: int = 1,
        group_width: int = 64,
    ) -> None:
        super().__init__()
        choose("layout", layout, LAYOUTS)
        choose("stem", stem, STEMS)
        if not isinstance(depths, Sequence):
            raise TypeError(f"depths={depths!r:.60} must be four whole numbers, such as (2, 2, 2, 2)")
        if len(depths) != 4:
            raise ValueError(f"depths={list(depths)} has {len(depths)} stages, but a ResNet has 4")
        for stage, depth in enumerate(depths):
            positive_int(f"depths[{stage}]", depth)
        channels = planes if stem_channels is None else stem_channels
        sizes = {"num_classes": num_classes, "planes": planes, "stem_channels": channels}
        for name, value in (sizes | {"groups": groups, "group_width": group_width}).items():
            positive_int(name, value)
        if stem == "deep" and channels < 2:
            raise ValueError("stem='deep' halves its channels: use stem_channels=2 or more")
        if block is not BasicBlock and planes * group_width < 64:
            raise ValueError(
                f"planes={planes} with group_width={group_width} leaves 0 channels for each group: use "
                f"group_width>={-(-64 // planes)}"
            )
        self.conv1 = first_layer(stem, channels)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if stem in ("half", "small") else nn.MaxPool2d(3, stride=2, padding=1)
        stages = []
        for stage, depth in enumerate(depths):
            P = planes * 2**stage
            width = P * group_width // 64 * groups
            blocks = []
            for index in range(depth):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(block(channels, P, stride, width, groups, layout, attention))
                channels = P * block.expansion  # type: ignore[attr-defined]
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)

    def features(self, x: Tensor) -> Tensor:
        """The map of the last stage, (B, C, H/32, W/32); with the stem "half" H/16, with "small" H/8."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.avgpool(self.features(x)).flatten(1))


def resnet18(attention: AttentionMaker | None = None, **options: Any) -> ResNet:
    """`ResNet` of 18 layers; options as there.

    Example:
        >>> resnet18(CBAM, num_classes=10)(torch.rand(2, 3, 224, 224)).shape
        torch.Size([2, 10])
    """
    return ResNet(BasicBlock, (2, 2, 2, 2), attention, **options)


def resnet34(attention: AttentionMaker | None = None, **options: Any) -> ResNet:
    """`ResNet` of 34 layers; options as there.

    Example:
        >>> model = resnet34(SqueezeExcitation, stem="small", num_classes=10)  # for images of 32 pixels
    """
    return ResNet(BasicBlock, (3, 4, 6, 3), attention, **options)


def resnet50(attention: AttentionMaker | None = None, **options: Any) -> ResNet:
    """`ResNet` of 50 layers; options as there.

    Example:
        >>> model = resnet50(CBAM.official)
        >>> model = resnet50(lambda channels: CBAM(channels, reduction=8), layout="v1")
    """
    return ResNet(Bottleneck, (3, 4, 6, 3), attention, **options)


def resnet101(attention: AttentionMaker | None = None, **options: Any) -> ResNet:
    """`ResNet` of 101 layers; options as there.

    Example:
        >>> model = resnet101(CBAM.official)
    """
    return ResNet(Bottleneck, (3, 4, 23, 3), attention, **options)


def resnet152(attention: AttentionMaker | None = None, **options: Any) -> ResNet:
    """`ResNet` of 152 layers; options as there.

    Example:
        >>> model = resnet152(CBAM.official)
    """
    return ResNet(Bottleneck, (3, 8, 36, 3), attention, **options)


def wide_resnet18(attention: AttentionMaker | None = None, *, width: float = 1.5, **options: Any) -> ResNet:
    """The CBAM paper's ResNet-18 with stages `width` times as wide; it uses 1.5 and 2.

    The stem keeps 64 channels: the paper does not say so, but only then do its parameters and GFLOPs come out.

    Example:
        >>> model = wide_resnet18(CBAM.official, width=2)
    """
    planes = round(64 * number("width", width))
    if planes < 1:
        raise ValueError(f"width={width} leaves {planes} channels in the first stage: use width>={1 / 64}")
    return ResNet(BasicBlock, (2, 2, 2, 2), attention, **({"planes": planes, "stem_channels": 64} | options))


def resnext50(attention: AttentionMaker | None = None, **options: Any) -> ResNet:
    """ResNeXt-50 (32x4d): 32 groups of 4 channels in the first stage.

    Example:
        >>> model = resnext50(CBAM.official)
    """
    return ResNet(Bottleneck, (3, 4, 6, 3), attention, **({"groups": 32, "group_width": 4} | options))


def resnext101(attention: AttentionMaker | None = None, **options: Any) -> ResNet:
    """ResNeXt-101 (32x4d): 32 groups of 4 channels in the first stage.

    Example:
        >>> model = resnext101(CBAM.official)
    """
    return ResNet(Bottleneck, (3, 4, 23, 3), attention, **({"groups": 32, "group_width": 4} | options))
